//! Rows that are normalised: layer norm and softmax.

use super::super::normal::{Affine, Rows, Weights};
use super::super::view::{In, Out};

/// What [`affine_row`] works on.
#[repr(C)]
struct AffineTask {
    x: *const i8,
    y: *mut i8,
    gamma: *const i32,
    beta: *const i32,
    count: usize,
    factor: i32,
    sum: i32,
    /// To the left.
    shift: i32,
    zero_point: i32,
    inverse: i32,
    min: i32,
    max: i32,
}

/// See [`super::super::normal::moments`].
pub fn moments(x: In<'_, i8>) -> (i32, i32) {
    let mut both = [0; 2];
    // SAFETY: the window has so many elements.
    unsafe { sums(x.as_ptr(), x.len(), &mut both) };
    (both[0], both[1])
}

/// See [`super::super::normal::affine`].
pub fn affine(x: In<'_, i8>, y: Out<'_, i8>, affine: &Affine<'_>) {
    let [factor, sum, inverse] = affine.standard;
    let task = AffineTask {
        x: x.as_ptr(),
        y: y.as_mut_ptr(),
        gamma: affine.gamma.as_ptr(),
        beta: affine.beta.as_ptr(),
        count: y.len(),
        factor,
        sum,
        shift: -(affine.shift as i32),
        zero_point: affine.clamp.zero_point,
        inverse,
        min: affine.clamp.min,
        max: affine.clamp.max,
    };
    // SAFETY: the caller found operands, gains and offsets as long as the results.
    unsafe { affine_row(&task) }
}

/// Sum and sum of squares.
///
/// # Safety
/// `x` is valid for `count` reads.
#[unsafe(naked)]
unsafe extern "C" fn sums(x: *const i8, count: usize, both: &mut [i32; 2]) {
    helium!(
        "push {{r4, lr}}",
        "movs r4, #0",
        "mov r12, r4",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r0], #16",
        "vaddva.s8 r12, q0",
        "vmladava.s8 r4, q0, q0",
        "letp lr, 2b",
        "3:",
        "strd r12, r4, [r2]",
        "pop {{r4, pc}}",
    )
}

/// # Safety
/// Operands, gains and offsets are valid for `count` reads, results for writes; results lie at or in front of operands that
/// they share memory with.
#[unsafe(naked)]
unsafe extern "C" fn affine_row(task: *const AffineTask) {
    helium!(
        "push {{r4-r9, lr}}",
        "vpush {{d8-d9}}",
        "ldrd r1, r2, [r0, #36]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        "ldr r1, [r0, #44]",
        "vdup.32 q4, r1",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7, r8}}",
        "wlstp.32 lr, r4, 3f",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vmul.i32 q0, q0, r5",
        "vsub.i32 q0, q0, r6",
        "vmulh.s32 q0, q0, q2",
        "vldrw.u32 q1, [r2], #16",
        "vmulh.s32 q0, q0, q1",
        "vldrw.u32 q1, [r3], #16",
        "vadd.i32 q0, q0, q1",
        "vrshl.s32 q0, r7",
        "vadd.i32 q0, q0, r8",
        "vmax.s32 q0, q0, q3",
        "vmin.s32 q0, q0, q4",
        "vstrb.32 q0, [r1], #4",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d9}}",
        "pop {{r4-r9, pc}}",
    )
}

/// Rows that are normalised together, a lane each where roots are taken.
const LANES: usize = 4;
/// Most elements of rows whose variance times `n^2`, at most 2^14 `n^2`, fits 32 bits.
const SHORT: usize = 256;

/// What [`moments_of_four`], [`standards_of_four`] and [`affine_of_four`] work on.
#[repr(C)]
struct Four {
    /// The elements' sum, then what is taken from them.
    sum: [i32; LANES],
    /// The sum of their squares, then their factor.
    factor: [i32; LANES],
    /// The factor of the difference.
    inverse: [i32; LANES],
    n: usize,
    fraction: u32,
    epsilon: [u32; 2],
    /// What half the leading zeros of the variance lack to the shift of sum and factor.
    shift: i32,
    x: *const i8,
    y: *mut i8,
    gamma: *const i32,
    beta: *const i32,
    /// To the left.
    last_shift: i32,
    zero_point: i32,
    min: i32,
    max: i32,
}

/// See [`super::super::normal::rows`]; gains and offsets are as many as a row has elements.
pub fn rows(x: In<'_, i8>, y: Out<'_, i8>, rows: &Rows<'_>) -> usize {
    let n = rows.n;
    if n > SHORT || n == 0 || !n.is_multiple_of(LANES) {
        return 0;
    }
    let mut four = Four {
        sum: [0; LANES],
        factor: [0; LANES],
        inverse: [0; LANES],
        n,
        fraction: rows.fraction as u32,
        epsilon: [rows.epsilon as u32, (rows.epsilon >> 32) as u32],
        shift: rows.z_bits as i32 + rows.fraction as i32 / 2 - 30,
        x: x.as_ptr(),
        y: y.as_mut_ptr(),
        gamma: rows.gamma.as_ptr(),
        beta: rows.beta.as_ptr(),
        last_shift: -(rows.shift as i32),
        zero_point: rows.clamp.zero_point,
        min: rows.clamp.min,
        max: rows.clamp.max,
    };
    let blocks = x.len() / (LANES * n);
    for _ in 0..blocks {
        // SAFETY: four rows more lie in both windows; gains and offsets are as many as a row has elements.
        unsafe {
            moments_of_four(&mut four);
            standards_of_four(&mut four);
            affine_of_four(&mut four);
        }
    }
    blocks * LANES
}

/// Sets sums and sums of squares of four rows.
///
/// # Safety
/// `x` is valid for reads of four rows.
#[unsafe(naked)]
unsafe extern "C" fn moments_of_four(four: *mut Four) {
    // r1 row, r2 elements, r3 rows left, r4 and r12 sums, r5 element.
    helium!(
        "push {{r4, r5, r7, lr}}",
        "ldr r1, [r0, #68]",
        "ldr r2, [r0, #48]",
        "movs r3, #4",
        "1:",
        "movs r4, #0",
        "mov r12, r4",
        "mov r5, r1",
        "add r1, r2",
        "dlstp.8 lr, r2",
        "2:",
        "vldrb.u8 q0, [r5], #16",
        "vaddva.s8 r12, q0",
        "vmladava.s8 r4, q0, q0",
        "letp lr, 2b",
        "str r4, [r0, #16]",
        "str r12, [r0], #4",
        "subs r3, #1",
        "bne 1b",
        "pop {{r4, r5, r7, pc}}",
    )
}

/// Makes sums, factors and inverses of `Standard::new` from sums and squares: the steps of
/// [`crate::kernels::fixed::reciprocal_root`], a row a lane, 64 bits in two registers.
///
/// # Safety
/// The task is valid for reads and writes.
#[unsafe(naked)]
unsafe extern "C" fn standards_of_four(four: *mut Four) {
    // q0 sums, q1 low half, then the normalised variance, q2 high half, q3 leading zeros, then shifts, q4 root.
    helium!(
        "vpush {{d8-d13}}",
        "ldrd r1, r2, [r0, #48]",
        "vldrw.u32 q0, [r0]",
        "vldrw.u32 q1, [r0, #16]",
        "vmul.i32 q1, q1, r1",
        "vmul.i32 q2, q0, q0",
        "vsub.i32 q1, q1, q2",
        "vmov q2, q1",
        "vshl.u32 q1, r2",
        "sub.w r3, r2, #32",
        "vshl.u32 q2, r3",
        // Epsilon, with the carry.
        "ldrd r3, r12, [r0, #56]",
        "vadd.i32 q1, q1, r3",
        "vdup.32 q3, r3",
        "vadd.i32 q2, q2, r12",
        "movs r3, #1",
        "vpt.u32 hi, q3, q1",
        "vaddt.i32 q2, q2, r3",
        // At least 1.
        "vorr q3, q1, q2",
        "vpt.i32 eq, q3, zr",
        "vaddt.i32 q1, q1, r3",
        // An even number of leading zeros goes.
        "vclz.i32 q3, q2",
        "vclz.i32 q4, q1",
        "vpt.i32 eq, q2, zr",
        "vaddt.i32 q3, q3, q4",
        "vbic.i32 q3, #1",
        "vshl.u32 q2, q2, q3",
        "movs r3, #32",
        "vsub.i32 q4, q3, r3",
        "vshl.u32 q1, q1, q4",
        "vorr q1, q1, q2",
        "vshr.u32 q3, q3, #1",
        "ldr r3, [r0, #64]",
        "vadd.i32 q3, q3, r3",
        // The line, and four steps.
        "mov.w r3, #0x4e000000",
        "vdup.32 q2, r3",
        "vmulh.u32 q2, q1, q2",
        "movw r3, #41088",
        "movt r3, #34942",
        "vdup.32 q4, r3",
        "vsub.i32 q4, q4, q2",
        "mov.w r3, #0x60000000",
        "vdup.32 q5, r3",
        ".rept 4",
        "vmulh.u32 q2, q4, q4",
        "vmul.i32 q6, q4, q4",
        "vshl.i32 q2, q2, #1",
        "vsri.32 q2, q6, #31",
        "vmulh.u32 q2, q1, q2",
        "vqsub.u32 q2, q5, q2",
        "vmul.i32 q6, q4, q2",
        "vmulh.u32 q4, q4, q2",
        "vshl.i32 q4, q4, #2",
        "vsri.32 q4, q6, #30",
        ".endr",
        "mvn r3, #0x80000000",
        "vdup.32 q2, r3",
        "vmin.u32 q4, q4, q2",
        // Shifts to the left of sum and factor, to the right of the root.
        "vmov.i32 q5, #0",
        "vmov.i32 q6, #31",
        "vmax.s32 q2, q3, q5",
        "vmin.s32 q2, q2, q6",
        "vdup.32 q1, r1",
        "vshl.s32 q0, q0, q2",
        "vshl.s32 q1, q1, q2",
        "vmin.s32 q2, q3, q5",
        "vneg.s32 q6, q6",
        "vmax.s32 q2, q2, q6",
        "vshl.s32 q4, q4, q2",
        "vstrw.32 q0, [r0]",
        "vstrw.32 q1, [r0, #16]",
        "vstrw.32 q4, [r0, #32]",
        "vpop {{d8-d13}}",
        "bx lr",
    )
}

/// Normalises four rows, and goes on to those behind them.
///
/// # Safety
/// Operands are valid for reads of four rows, results for writes, gains and offsets for reads of a row; results lie at or in front
/// of operands that they share memory with. A row is a multiple of four elements.
#[unsafe(naked)]
unsafe extern "C" fn affine_of_four(four: *mut Four) {
    // r0 operands, r1 results, r2 gains, r3 offsets, r4 elements, r5 taken from the elements, r6 shift, r7 zero point, r8 task,
    // r9 row, r10 and r11 gains and offsets of the first element; q1 gains and offsets, q2 inverse, q5 factor.
    helium!(
        "push {{r4-r11, lr}}",
        "vpush {{d8-d11}}",
        "mov r8, r0",
        "ldrd r1, r2, [r8, #92]",
        "vdup.32 q3, r1",
        "vdup.32 q4, r2",
        "ldr r4, [r8, #48]",
        "ldrd r0, r1, [r8, #68]",
        "ldrd r10, r11, [r8, #76]",
        "ldrd r6, r7, [r8, #84]",
        "mov r9, r8",
        "1:",
        "ldr r5, [r9, #16]",
        "vdup.32 q5, r5",
        "ldr r5, [r9, #32]",
        "vdup.32 q2, r5",
        "ldr r5, [r9], #4",
        "rsbs r5, r5, #0",
        "mov r2, r10",
        "mov r3, r11",
        "dlstp.32 lr, r4",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vmlas.s32 q0, q5, r5",
        "vmulh.s32 q0, q0, q2",
        "vldrw.u32 q1, [r2], #16",
        "vmulh.s32 q0, q0, q1",
        "vldrw.u32 q1, [r3], #16",
        "vadd.i32 q0, q0, q1",
        "vrshl.s32 q0, r6",
        "vadd.i32 q0, q0, r7",
        "vmax.s32 q0, q0, q3",
        "vmin.s32 q0, q0, q4",
        "vstrb.32 q0, [r1], #4",
        "letp lr, 2b",
        "sub r5, r9, r8",
        "cmp r5, #16",
        "bne 1b",
        "strd r0, r1, [r8, #68]",
        "vpop {{d8-d11}}",
        "pop {{r4-r11, pc}}",
    )
}

/// What [`sum_row`] and [`quotient_row`] work on.
#[repr(C)]
struct Row {
    x: *const i8,
    y: *mut i8,
    /// Bytes from an element to the one four further.
    step: usize,
    low: *const u32,
    high: *const u32,
    count: usize,
    /// To the left.
    shift: i32,
    zero_point: i32,
    max: i32,
    /// Entries of the table of high parts.
    entries: usize,
    factor: i32,
    /// Bytes from an element to the next.
    stride: usize,
}

impl Row {
    fn new(x: In<'_, i8>, stride: usize, weights: &Weights<'_>, max: i32) -> Self {
        Self {
            x: x.as_ptr(),
            y: core::ptr::null_mut(),
            step: 4 * stride,
            low: weights.low.as_ptr(),
            high: weights.high.as_ptr(),
            count: x.len().div_ceil(stride.max(1)),
            shift: 0,
            zero_point: 0,
            max,
            entries: weights.high.len(),
            factor: 0,
            stride,
        }
    }
}

/// See [`super::super::normal::largest`].
pub fn largest(x: In<'_, i8>, stride: usize) -> i32 {
    // SAFETY: the elements lie in the window.
    unsafe {
        if stride == 1 {
            largest_of(x.as_ptr(), x.len())
        } else {
            largest_apart(x.as_ptr(), x.len().div_ceil(stride.max(1)), stride)
        }
    }
}

/// See [`super::super::normal::sum`].
pub fn sum(x: In<'_, i8>, stride: usize, weights: &Weights<'_>, max: i32) -> u64 {
    // SAFETY: the elements lie in the window; differences are at most 255, so low parts are entries, and high parts are
    // compared.
    unsafe { sum_row(&Row::new(x, stride, weights, max)) }
}

/// See [`super::super::normal::quotients`].
pub fn quotients(
    (x, y): (In<'_, i8>, Out<'_, i8>),
    stride: usize,
    weights: &Weights<'_>,
    (max, factor, shift): (i32, i32, u8),
    zero_point: i32,
) {
    let shift = 32 - shift as i32;
    let row = Row { y: y.as_mut_ptr(), shift, zero_point, factor, ..Row::new(x, stride, weights, max) };
    // SAFETY: as for `sum`; the results lie in a window as long.
    unsafe { quotient_row(&row) }
}

/// # Safety
/// `x` is valid for `count` reads.
#[unsafe(naked)]
unsafe extern "C" fn largest_of(x: *const i8, count: usize) -> i32 {
    helium!(
        "push {{r7, lr}}",
        "mov r2, r0",
        "mvn r0, #127",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r2], #16",
        "vmaxv.s8 r0, q0",
        "letp lr, 2b",
        "3:",
        "sxtb r0, r0",
        "pop {{r7, pc}}",
    )
}

/// # Safety
/// `x` is valid for `count` reads `stride` apart.
#[unsafe(naked)]
unsafe extern "C" fn largest_apart(x: *const i8, count: usize, stride: usize) -> i32 {
    helium!(
        "push {{r4, lr}}",
        "mov r3, r0",
        "movs r4, #0",
        "vidup.u32 q1, r4, #1",
        "vmul.i32 q1, q1, r2",
        "lsls r2, r2, #2",
        "mvn r0, #127",
        "wlstp.32 lr, r1, 3f",
        "2:",
        "vldrb.s32 q0, [r3, q1]",
        "add r3, r2",
        "vmaxv.s32 r0, q0",
        "letp lr, 2b",
        "3:",
        "pop {{r4, pc}}",
    )
}

/// The weights' sum: low and high parts of four differences are looked up at once.
///
/// # Safety
/// `x` is valid for `count` reads `stride` apart, of no value above `max`; the tables for 16 and `entries` reads.
#[unsafe(naked)]
unsafe extern "C" fn sum_row(row: *const Row) -> u64 {
    // r2 step, r3 and r4 tables; q4 largest, q5 15, q6 entries, q7 places.
    helium!(
        "push {{r4-r8, lr}}",
        "vpush {{d8-d15}}",
        "ldrd r1, r2, [r0, #32]",
        "vdup.32 q4, r1",
        "vdup.32 q6, r2",
        "vmov.i32 q5, #15",
        "ldr r1, [r0, #44]",
        "movs r2, #0",
        "vidup.u32 q7, r2, #1",
        "vmul.i32 q7, q7, r1",
        "ldm r0, {{r0, r1, r2, r3, r4, r5}}",
        "movs r6, #0",
        "movs r7, #0",
        "wlstp.32 lr, r5, 3f",
        "2:",
        "vldrb.s32 q0, [r0, q7]",
        "add r0, r2",
        "vsub.i32 q0, q4, q0",
        "vshr.u32 q1, q0, #4",
        "vand q0, q0, q5",
        "vldrw.u32 q2, [r3, q0, uxtw #2]",
        "vpt.u32 hi, q6, q1",
        "vldrwt.u32 q3, [r4, q1, uxtw #2]",
        "vmulh.u32 q2, q2, q3",
        "vaddlva.u32 r6, r7, q2",
        "letp lr, 2b",
        "3:",
        "mov r0, r6",
        "mov r1, r7",
        "vpop {{d8-d15}}",
        "pop {{r4-r8, pc}}",
    )
}

/// Weights times the factor of the row.
///
/// # Safety
/// As for [`sum_row`]; `y` is valid for as many writes, which may be of the inputs' places.
#[unsafe(naked)]
unsafe extern "C" fn quotient_row(row: *const Row) {
    // As in `sum_row`; r6 shift, r7 zero point, r8 factor.
    helium!(
        "push {{r4-r8, lr}}",
        "vpush {{d8-d15}}",
        "ldrd r1, r2, [r0, #32]",
        "vdup.32 q4, r1",
        "vdup.32 q6, r2",
        "vmov.i32 q5, #15",
        "ldrd r8, r1, [r0, #40]",
        "movs r2, #0",
        "vidup.u32 q7, r2, #1",
        "vmul.i32 q7, q7, r1",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7}}",
        "wlstp.32 lr, r5, 3f",
        "2:",
        "vldrb.s32 q0, [r0, q7]",
        "add r0, r2",
        "vsub.i32 q0, q4, q0",
        "vshr.u32 q1, q0, #4",
        "vand q0, q0, q5",
        "vldrw.u32 q2, [r3, q0, uxtw #2]",
        "vpt.u32 hi, q6, q1",
        "vldrwt.u32 q3, [r4, q1, uxtw #2]",
        "vmulh.u32 q2, q2, q3",
        "vdup.32 q3, r8",
        "vmulh.s32 q2, q2, q3",
        "vrshl.s32 q2, r6",
        "vadd.i32 q2, q2, r7",
        "vqmovnb.s32 q2, q2",
        "vqmovnb.s16 q2, q2",
        "vstrb.32 q2, [r1, q7]",
        "add r1, r2",
        "letp lr, 2b",
        "3:",
        "vpop {{d8-d15}}",
        "pop {{r4-r8, pc}}",
    )
}
