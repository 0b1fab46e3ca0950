//! Element by element.

use super::super::elementwise::{Product, Sum};
use super::super::view::{In, Out};
use super::limit;

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
            2 => {
                sums_2(task.cast());
                limit(y, sum.clamp);
            }
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

/// Sums of elements of two operands with factors: sixteen at a time, which are narrowed together and saturated to int8, then four at a
/// time. The first product takes the constant with it.
///
/// # Safety
/// Operands and results are valid for `count` reads and writes, and results lie at or in front of operands that they share
/// memory with.
#[unsafe(naked)]
unsafe extern "C" fn sums_2(task: *const Task<2>) {
    helium!(
        "push {{r4-r9, lr}}",
        "vpush {{d8-d15}}",
        "mov r9, r0",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7, r8}}",
        "vdup.32 q4, r4",
        "adr r4, 5f",
        "vldrb.u8 q5, [r4]",
        "lsrs r4, r3, #4",
        "wls lr, r4, 3f",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vmlas.s32 q0, q4, r6",
        "vmla.s32 q0, q1, r5",
        "vrshl.s32 q0, r7",
        "vldrb.s32 q2, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vmlas.s32 q2, q4, r6",
        "vmla.s32 q2, q1, r5",
        "vrshl.s32 q2, r7",
        "vqmovnb.s32 q0, q0",
        "vqmovnt.s32 q0, q2",
        "vldrb.s32 q6, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vmlas.s32 q6, q4, r6",
        "vmla.s32 q6, q1, r5",
        "vrshl.s32 q6, r7",
        "vldrb.s32 q7, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vmlas.s32 q7, q4, r6",
        "vmla.s32 q7, q1, r5",
        "vrshl.s32 q7, r7",
        "vqmovnb.s32 q6, q6",
        "vqmovnt.s32 q6, q7",
        "vqadd.s16 q0, q0, r8",
        "vqadd.s16 q6, q6, r8",
        "vqmovnb.s16 q0, q0",
        "vqmovnt.s16 q0, q6",
        "vstrb.8 q0, [r2, q5]",
        "adds r2, #16",
        "le lr, 2b",
        "3:",
        "ldrd r4, r9, [r9, #36]",
        "vdup.32 q2, r4",
        "vdup.32 q3, r9",
        "and r3, r3, #15",
        "wlstp.32 lr, r3, 4f",
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
        "4:",
        "vpop {{d8-d15}}",
        "pop {{r4-r9, pc}}",
        // Where bytes go that are narrowed twice.
        ".p2align 2",
        "5:",
        ".byte 0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15",
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

/// Eight products: q0 and q1 elements, q5 128, r4 and r5 what is added to them moved up by 7, q4 multiplier, r7 shift, r8 zero point, q2
/// and q3 limits; q6 products. Factors are 16 bits, moved up by 7 each, for the upper half of the product with the multiplier.
macro_rules! eight_products {
    () => {
        "vmlas.s16 q0, q5, r4
        vmlas.s16 q1, q5, r5
        vmullb.s16 q6, q0, q1
        vmullt.s16 q0, q0, q1
        vmulh.s32 q6, q6, q4
        vmulh.s32 q0, q0, q4
        vrshl.s32 q6, r7
        vrshl.s32 q0, r7
        vqmovnb.s32 q6, q6
        vqmovnt.s32 q6, q0
        vqadd.s16 q6, q6, r8
        vmax.s16 q6, q6, q2
        vmin.s16 q6, q6, q3"
    };
}

/// Products of elements from their zero points, eight at a time; of the last ones only loads and stores have a predicate, as 32 bits
/// have no half.
///
/// # Safety
/// As for [`sums_2`].
#[unsafe(naked)]
unsafe extern "C" fn products(task: *const Task<2>) {
    helium!(
        "push {{r4-r9, lr}}",
        "vpush {{d8-d13}}",
        "ldrd r1, r2, [r0, #36]",
        "vdup.16 q2, r1",
        "vdup.16 q3, r2",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7, r8}}",
        "vdup.32 q4, r6",
        "movs r6, #128",
        "vdup.16 q5, r6",
        "lsls r4, r4, #7",
        "lsls r5, r5, #7",
        "lsrs r6, r3, #3",
        "wls lr, r6, 3f",
        "2:",
        "vldrb.s16 q0, [r0], #8",
        "vldrb.s16 q1, [r1], #8",
        eight_products!(),
        "vstrb.16 q6, [r2], #8",
        "le lr, 2b",
        "3:",
        "and r3, r3, #7",
        "vctp.16 r3",
        "vpstt",
        "vldrbt.s16 q0, [r0]",
        "vldrbt.s16 q1, [r1]",
        eight_products!(),
        "vpst",
        "vstrbt.16 q6, [r2]",
        "vpop {{d8-d13}}",
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
