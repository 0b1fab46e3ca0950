//! Elements from one place to another.

use super::super::moving::Plane;
use super::super::view::{In, Out};
use super::runs;

/// See [`super::super::moving::plane`]; both ends of both walks were found inside.
pub fn plane(x: In<'_, u8>, y: Out<'_, u8>, [from, to]: [usize; 2], plane: &Plane) -> bool {
    let Plane { rows, inner, row_steps, steps } = *plane;
    let (mut from, mut to) = (x.as_ptr().wrapping_add(from).cast(), y.as_mut_ptr().wrapping_add(to).cast());
    match steps {
        [1, 1] => {
            let steps = row_steps.map(|step| step as usize);
            // SAFETY: all runs lie in their windows, which do not share memory.
            unsafe { runs::copy(from, to, inner, rows, &steps) }
        }
        // Places of eight bytes are 16 bits.
        [step @ 0..=0x1fff, 1] => {
            for _ in 0..rows {
                // SAFETY: the row lies in both windows.
                unsafe { gather(from, to, inner, step as usize) }
                (from, to) = (from.wrapping_offset(row_steps[0]), to.wrapping_offset(row_steps[1]));
            }
        }
        _ => return false,
    }
    true
}

/// Copies `count` bytes that lie `step` apart to one run.
///
/// # Safety
/// `from` is valid for reads of the bytes, `to` for `count` writes; eight steps fit 16 bits.
#[unsafe(naked)]
unsafe extern "C" fn gather(from: *const i8, to: *mut i8, count: usize, step: usize) {
    helium!(
        "push {{r4, lr}}",
        "movs r4, #0",
        "vidup.u16 q1, r4, #1",
        "vmul.i16 q1, q1, r3",
        "lsls r3, r3, #3",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrb.u16 q0, [r0, q1]",
        "add r0, r3",
        "vstrb.16 q0, [r1], #8",
        "letp lr, 2b",
        "3:",
        "pop {{r4, pc}}",
    )
}
