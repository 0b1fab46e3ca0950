//! Products of two activations: the second operand is brought into the order of weights first, once for all rows of the first.
//!
//! `sum (a - za) * (b - zb)` is `sum a * b` with a part that belongs to a column, which is its bias, and one that belongs to a
//! row, which is added to all of its sums.

use super::super::product::Matrices;
use super::super::view::{Out, span};
use super::product::{Row, row_of_one_scale};
use super::{CHANNELS, GROUP, limit};
#[cfg(not(mixel_helium))]
use crate::kernels::requant::{Channel, Clamp, Scale};

/// Bytes of scratch memory for a second operand of `depth` rows and `columns` columns: the columns, and their biases.
pub fn bytes(depth: usize, columns: usize) -> usize {
    columns.next_multiple_of(CHANNELS).saturating_mul(depth.next_multiple_of(GROUP) + size_of::<i32>())
}

/// Results `[rows][columns]`, rows `stride` apart. Nothing happens, and false comes back, when something is too short or too
/// far apart.
pub fn multiply(matrices: &Matrices<'_>, scratch: Out<'_, i32>, (y, stride): (Out<'_, i8>, usize)) -> bool {
    let Matrices { a: (a, a_row), zero_a, b: (b, [down, across]), zero_b, sizes, scale, clamp } = *matrices;
    let [rows, depth, columns] = sizes;
    let there = rows > 0 && depth > 0 && columns > 0;
    let operands =
        a.len() >= span(rows, a_row, depth) && b.len() >= span(depth, down, span(columns, across, 1));
    let room =
        scratch.len() * size_of::<i32>() >= bytes(depth, columns) && y.len() >= span(rows, stride, columns);
    // Places of eight values are 16 bits.
    if !there || !operands || !room || scale.shift < 33 || down > u16::MAX as usize / 8 {
        return false;
    }
    let filled = columns.next_multiple_of(CHANNELS);
    let (biases, block) = (scratch.as_mut_ptr(), depth.next_multiple_of(GROUP) * CHANNELS);
    let packed = biases.wrapping_add(filled).cast::<i8>();
    for column in 0..columns {
        let to = packed.wrapping_add(column / CHANNELS * block + column % CHANNELS * GROUP);
        // SAFETY: the column lies in `b`, its place and its bias in the scratch memory.
        unsafe {
            let sum = pack(b.as_ptr().add(column * across), to, depth, down);
            let both = (depth as i32).wrapping_mul(zero_a).wrapping_mul(zero_b);
            biases.add(column).write(both.wrapping_sub(sum.wrapping_mul(zero_a)));
        }
    }
    let (multiplier, shift) = ([scale.multiplier; CHANNELS], [scale.shift; CHANNELS]);
    let whole = columns / CHANNELS;
    // Rows of one group go all at once, where there is room for what a last block gives too much.
    let blocks = columns == filled || stride >= filled && y.len() >= span(rows, stride, filled);
    let at_once = depth <= GROUP && blocks;
    if at_once {
        let mut task = Shallow {
            y: y.as_mut_ptr(),
            bias: biases,
            w: packed,
            blocks: filled / CHANNELS,
            x: a.as_ptr(),
            rows,
            step: a_row,
            stride,
            zero_point: clamp.zero_point,
            multiplier: scale.multiplier,
            // The upper half of twice the product is shifted.
            shift: 31 - scale.shift as i32,
            factor: -zero_b,
            depth,
        };
        // SAFETY: all rows lie in `a` and have places in `y`, packed columns and biases are whole blocks.
        unsafe { shallow(&mut task) }
    }
    for row in if at_once { rows } else { 0 }..rows {
        let x = a.as_ptr().wrapping_add(row * a_row);
        // SAFETY: the row has `depth` values.
        let sum = if zero_b == 0 { 0 } else { unsafe { total(x, depth) } };
        let mut task = Row {
            y: y.as_mut_ptr().wrapping_add(row * stride),
            shift: shift.as_ptr(),
            x,
            depth,
            bias: biases,
            multiplier: multiplier.as_ptr(),
            w: packed,
            blocks: whole,
            zero_point: clamp.zero_point,
            thirty_two: 32,
            offset: sum.wrapping_mul(zero_b).wrapping_neg(),
        };
        // What a last block gives too much lies where the next row's results come, but for the last row.
        let spills = row + 1 < rows && stride >= CHANNELS;
        task.blocks = if spills { filled / CHANNELS } else { whole };
        // SAFETY: packed columns and biases are whole blocks; those that are not filled are of no consequence, and only the
        // columns that there are stay results.
        unsafe {
            if task.blocks > 0 {
                row_of_one_scale(&task);
            }
            if columns > task.blocks * CHANNELS {
                let (mut rest, to) = ([0i8; CHANNELS], task.y.add(whole * CHANNELS));
                (task.y, task.blocks) = (rest.as_mut_ptr(), 1);
                (task.w, task.bias) = (packed.add(whole * block), biases.add(whole * CHANNELS));
                row_of_one_scale(&task);
                to.copy_from_nonoverlapping(rest.as_ptr(), columns - whole * CHANNELS);
            }
        }
    }
    if stride == columns {
        limit(y.window(0, rows * columns), clamp);
    } else {
        (0..rows).for_each(|row| limit(y.window(row * stride, columns), clamp));
    }
    true
}

/// What [`shallow`] works on.
#[repr(C)]
struct Shallow {
    y: *mut i8,
    bias: *const i32,
    w: *const i8,
    /// Blocks of four columns.
    blocks: usize,
    x: *const i8,
    rows: usize,
    /// From a row to the next.
    step: usize,
    /// From a row of results to the next.
    stride: usize,
    zero_point: i32,
    multiplier: i32,
    /// To the left.
    shift: i32,
    /// Of a row's sum.
    factor: i32,
    /// Values of a row, 1 to 16.
    depth: usize,
}

/// Rows of one group times blocks of four columns, which stay in registers.
///
/// # Safety
/// There are a block and a row; rows, columns, biases and results are as long as the task asks for, and the shift is -31 to -2.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn shallow(task: *mut Shallow) {
    // r0, r2, r4, r6 sums, r12 that of the row; r1 results, r3 row, r5 zero point, r7 factor of the row's sum, r8 step, r9 stride,
    // r10 multiplier, r11 shift; q0-q3 columns, q4 bias, q7 inputs and results.
    helium!(
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "push {{r0}}",
        "ldrd r8, r9, [r0, #24]",
        "ldrd r5, r10, [r0, #32]",
        "ldrd r11, r7, [r0, #40]",
        "ldr r2, [r0, #48]",
        "vctp.8 r2",
        "2:",
        "ldr r0, [sp]",
        "ldm r0, {{r1, r2, r4, r6}}",
        "ldrd r3, r12, [r0, #16]",
        "vldrw.u32 q4, [r2], #16",
        "vldrb.u8 q0, [r4], #16",
        "vldrb.u8 q1, [r4], #16",
        "vldrb.u8 q2, [r4], #16",
        "vldrb.u8 q3, [r4], #16",
        "subs r6, #1",
        "strd r2, r4, [r0, #4]",
        "str r6, [r0, #12]",
        "adds r2, r1, #4",
        "str r2, [r0]",
        "dls lr, r12",
        "3:",
        "vpst",
        "vldrbt.u8 q7, [r3]",
        "add r3, r8",
        "vaddv.s8 r12, q7",
        "vmladav.s8 r0, q7, q0",
        "vmladav.s8 r2, q7, q1",
        "vmladav.s8 r4, q7, q2",
        "vmladav.s8 r6, q7, q3",
        "mul r12, r12, r7",
        "vmov q7[2], q7[0], r0, r4",
        "vmov q7[3], q7[1], r2, r6",
        "vadd.i32 q7, q7, q4",
        "vadd.i32 q7, q7, r12",
        "vqdmulh.s32 q7, q7, r10",
        "vrshl.s32 q7, r11",
        "vadd.i32 q7, q7, r5",
        "vqmovnb.s32 q7, q7",
        "vqmovnb.s16 q7, q7",
        "vstrb.32 q7, [r1]",
        "add r1, r9",
        "le lr, 3b",
        "ldr r0, [sp]",
        "ldr r6, [r0, #12]",
        "cmp r6, #0",
        "bne 2b",
        "add sp, #4",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

#[cfg(not(mixel_helium))]
unsafe fn shallow(task: &mut Shallow) {
    let scale = Scale { multiplier: task.multiplier, shift: (31 - task.shift) as u8 };
    for (row, column) in (0..task.rows).flat_map(|row| (0..task.blocks * CHANNELS).map(move |c| (row, c))) {
        // SAFETY: the caller's.
        unsafe {
            let x = task.x.add(row * task.step);
            let w = task.w.add(column / CHANNELS * CHANNELS * GROUP + column % CHANNELS * GROUP);
            let sum = (0..task.depth).fold(*task.bias.add(column), |sum, at| {
                let (x, w) = (*x.add(at) as i32, *w.add(at) as i32);
                sum.wrapping_add(x * w).wrapping_add(x.wrapping_mul(task.factor))
            });
            let finish = Channel { bias: 0, scale };
            let value = finish.apply(sum, Clamp::full::<i8>(task.zero_point));
            task.y.add(row * task.stride + column).write(value);
        }
    }
}

/// Brings `depth` values that lie `step` apart to groups of 16 bytes, 64 from one to the next, filled up with zeros; gives
/// their sum.
///
/// # Safety
/// `from` is valid for reads of the values, `to` for writes of whole groups; eight steps fit 16 bits.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn pack(from: *const i8, to: *mut i8, depth: usize, step: usize) -> i32 {
    // r4 eight steps, r6 sum; q1 places.
    helium!(
        "push {{r4, r6, r7, lr}}",
        "movs r6, #0",
        "vidup.u16 q1, r6, #1",
        "vmul.i16 q1, q1, r3",
        "movs r6, #0",
        "lsls r4, r3, #3",
        "2:",
        "vctp.16 r2",
        "vpstt",
        "vldrbt.s16 q0, [r0, q1]",
        "vaddvat.s16 r6, q0",
        "vstrb.16 q0, [r1]",
        "add r0, r4",
        "subs r2, #8",
        "it ls",
        "movls r2, #0",
        "vctp.16 r2",
        "vpstt",
        "vldrbt.s16 q0, [r0, q1]",
        "vaddvat.s16 r6, q0",
        "vstrb.16 q0, [r1, #8]",
        "add r0, r4",
        "adds r1, #64",
        "subs r2, #8",
        "bhi 2b",
        "mov r0, r6",
        "pop {{r4, r6, r7, pc}}",
    )
}

#[cfg(not(mixel_helium))]
unsafe fn pack(from: *const i8, to: *mut i8, depth: usize, step: usize) -> i32 {
    (0..depth.next_multiple_of(GROUP)).fold(0, |sum, at| {
        // SAFETY: the caller's.
        unsafe {
            let value = if at < depth { *from.add(at * step) } else { 0 };
            to.add(at / GROUP * GROUP * CHANNELS + at % GROUP).write(value);
            sum + value as i32
        }
    })
}

/// The sum of `count` values.
///
/// # Safety
/// `values` is valid for `count` reads.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn total(values: *const i8, count: usize) -> i32 {
    helium!(
        "push {{r7, lr}}",
        "mov r2, r0",
        "movs r0, #0",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r2], #16",
        "vaddva.s8 r0, q0",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

#[cfg(not(mixel_helium))]
unsafe fn total(values: *const i8, count: usize) -> i32 {
    // SAFETY: the caller's.
    (0..count).map(|index| unsafe { *values.add(index) } as i32).sum()
}
