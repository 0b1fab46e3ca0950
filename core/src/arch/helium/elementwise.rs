//! Element by element.

use super::super::elementwise::{Product, Sum};
use super::super::view::{In, Out};

/// What [`sums_2`], [`sums_3`] and [`products`] work on.
#[repr(C)]
struct Task<const N: usize> {
    x: [*const i8; N],
    y: *mut i8,
    count: usize,
    /// Of a sum those of the operands, of a product what is added to them.
    terms: [i32; N],
    /// Of a sum the constant, of a product the multiplier.
    constant: i32,
    /// To the left.
    shift: i32,
    zero_point: i32,
    min: i32,
    max: i32,
}

/// See [`super::super::elementwise::add`]; the lengths are equal.
pub fn add<const N: usize>(x: [In<'_, i8>; N], y: Out<'_, i8>, sum: &Sum<N>) -> bool {
    let task = Task {
        x: x.map(|x| x.as_ptr()),
        y: y.as_mut_ptr(),
        count: y.len(),
        terms: sum.factors,
        constant: sum.zero,
        shift: -(sum.shift as i32),
        zero_point: sum.clamp.zero_point,
        min: sum.clamp.min,
        max: sum.clamp.max,
    };
    let task = &raw const task;
    // SAFETY: a task of N is one of the number that N is. The windows have as many elements, and a verified plan lays results
    // so that they may be written in order.
    unsafe {
        match N {
            2 => sums_2(task.cast()),
            3 => sums_3(task.cast()),
            _ => return false,
        }
    }
    true
}

/// See [`super::super::elementwise::multiply`]; the lengths are equal.
pub fn multiply(a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, product: &Product) {
    let task = Task {
        x: [a.as_ptr(), b.as_ptr()],
        y: y.as_mut_ptr(),
        count: y.len(),
        terms: product.zeros.map(|zero| -zero),
        constant: product.scale.multiplier,
        // As `Scale::apply_small` shifts the upper half of the product.
        shift: -(product.scale.shift.saturating_sub(18).min(31) as i32),
        zero_point: product.clamp.zero_point,
        min: product.clamp.min,
        max: product.clamp.max,
    };
    // SAFETY: as in `add`.
    unsafe { products(&task) }
}

/// See [`super::super::elementwise::lookup`].
pub fn lookup(x: In<'_, i8>, y: Out<'_, i8>, table: In<'_, i8>) {
    // SAFETY: as in `add`; the table has 256 entries.
    unsafe { entries(x.as_ptr(), y.as_mut_ptr(), x.len().min(y.len()), table.as_ptr()) }
}

/// Sums of elements of two operands with factors, four at a time; the first product takes the constant with it.
///
/// # Safety
/// Operands and results are valid for `count` reads and writes, and results lie at or in front of operands that they share
/// memory with.
#[unsafe(naked)]
unsafe extern "C" fn sums_2(task: *const Task<2>) {
    helium!(
        "push {{r4-r9, lr}}",
        "vpush {{d8-d9}}",
        "ldrd r1, r2, [r0, #36]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7, r8}}",
        "vdup.32 q4, r4",
        "wlstp.32 lr, r3, 3f",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vmlas.s32 q0, q4, r6",
        "vmla.s32 q0, q1, r5",
        "vrshl.s32 q0, r7",
        "vadd.i32 q0, q0, r8",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r2], #4",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d9}}",
        "pop {{r4-r9, pc}}",
    )
}

/// Sums of elements of three operands with factors, four at a time; the first product takes the constant with it.
///
/// # Safety
/// As for [`sums_2`].
#[unsafe(naked)]
unsafe extern "C" fn sums_3(task: *const Task<3>) {
    helium!(
        "push {{r4-r10, lr}}",
        "vpush {{d8-d9}}",
        "ldrd r1, r2, [r0, #44]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        "ldm r0, {{r0-r10}}",
        "vdup.32 q4, r5",
        "wlstp.32 lr, r4, 3f",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vmlas.s32 q0, q4, r8",
        "vmla.s32 q0, q1, r6",
        "vldrb.s32 q1, [r2], #4",
        "vmla.s32 q0, q1, r7",
        "vrshl.s32 q0, r9",
        "vadd.i32 q0, q0, r10",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r3], #4",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d9}}",
        "pop {{r4-r10, pc}}",
    )
}

/// Products of elements from their zero points, four at a time: 17 bits, moved up by 14 for the upper half of the product
/// with the multiplier.
///
/// # Safety
/// As for [`sums_2`].
#[unsafe(naked)]
unsafe extern "C" fn products(task: *const Task<2>) {
    helium!(
        "push {{r4-r9, lr}}",
        "vpush {{d8-d9}}",
        "ldrd r1, r2, [r0, #36]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7, r8}}",
        "vdup.32 q4, r6",
        "wlstp.32 lr, r3, 3f",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vadd.i32 q0, q0, r4",
        "vadd.i32 q1, q1, r5",
        "vmul.i32 q0, q0, q1",
        "vshl.i32 q0, q0, #14",
        "vmulh.s32 q0, q0, q4",
        "vrshl.s32 q0, r7",
        "vadd.i32 q0, q0, r8",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r2], #4",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d9}}",
        "pop {{r4-r9, pc}}",
    )
}

/// Entries of a table of 256, from -128 on, sixteen at a time.
///
/// # Safety
/// As for [`sums_2`]; the table is valid for 256 reads.
#[unsafe(naked)]
unsafe extern "C" fn entries(x: *const i8, y: *mut i8, count: usize, table: *const i8) {
    helium!(
        "push {{r7, lr}}",
        "movs r7, #128",
        "vdup.8 q1, r7",
        "wlstp.8 lr, r2, 3f",
        "2:",
        "vldrb.u8 q0, [r0], #16",
        "veor q0, q0, q1",
        "vldrb.u8 q2, [r3, q0]",
        "vstrb.8 q2, [r1], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}
