//! Windows of pools.

use super::super::pool::{Fold, LANES, Taps};
use super::super::view::In;

/// What [`sums`] and [`maxima`] work on.
#[repr(C)]
struct Task {
    x: *const i8,
    rows: usize,
    columns: usize,
    row_step: usize,
    column_step: usize,
}

/// See [`super::super::pool::fold`]; the taps were found inside.
pub fn fold(fold: Fold, x: In<'_, i8>, taps: &Taps, values: &mut [i32; LANES]) {
    let Taps { rows, columns, row_step, column_step, .. } = *taps;
    let task = Task { x: x.as_ptr(), rows, columns, row_step, column_step };
    // SAFETY: the taps lie in the window, and there is one at least.
    unsafe {
        match fold {
            Fold::Sum => sums(&task, values),
            Fold::Max => maxima(&task, values),
        }
    }
}

/// Defines a function that folds the taps of eight channels.
macro_rules! folded {
    ($name:ident, $fold:literal) => {
        /// # Safety
        /// There are a row and a column, and `x` is valid for eight reads from every tap on.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(task: *const Task, values: &mut [i32; LANES]) {
            helium!(
                "push {{r4-r7, lr}}",
                "vldrw.u32 q0, [r1]",
                "vldrw.u32 q1, [r1, #16]",
                "ldm r0, {{r2, r3, r4, r5, r6}}",
                "2:",
                "mov r7, r2",
                "dls lr, r4",
                "3:",
                "vldrb.s32 q2, [r7]",
                "vldrb.s32 q3, [r7, #4]",
                concat!($fold, " q0, q0, q2"),
                concat!($fold, " q1, q1, q3"),
                "add r7, r6",
                "le lr, 3b",
                "add r2, r5",
                "subs r3, #1",
                "bne 2b",
                "vstrw.32 q0, [r1]",
                "vstrw.32 q1, [r1, #16]",
                "pop {{r4-r7, pc}}",
            )
        }
    };
}

folded!(sums, "vadd.i32");
folded!(maxima, "vmax.s32");
