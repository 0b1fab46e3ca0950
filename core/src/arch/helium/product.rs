//! Matrices: rows times blocks of four channels by groups of sixteen inputs.
//!
//! `VMLADAVA.S8` adds 16 products to a general register, so inputs stay the plain bytes that they are. The last group of
//! inputs is loaded under a predicate: nothing behind a row is read. Four sums become one vector for the output scale.

use super::super::view::{In, Out, span};
use super::{CHANNELS, GROUP, limit, short};
use crate::kernels::requant::{Channel, Channels, Clamp, Quantized, Scale};
use crate::pack::{Depth, Layout};

/// Rows times whole blocks of channels.
#[derive(Clone, Copy)]
struct Task {
    x: *const i8,
    step: usize,
    rows: usize,
    depth: usize,
    w: *const i8,
    bias: *const i32,
    multiplier: *const i32,
    shift: *const u8,
    blocks: usize,
    /// Channels of a block that are outputs; those behind them are of no consequence.
    kept: usize,
    y: *mut i8,
    stride: usize,
    zero_point: i32,
}

/// A matrix for rows of one length, which was looked through once.
pub struct Product<'a> {
    task: Task,
    channels: Channels<'a>,
    clamp: Clamp,
    short: bool,
}

impl<'a> Product<'a> {
    /// For rows of `depth` values, `step` bytes apart, which may overlap as the windows of neighbouring pixels do; none when weights
    /// or constants are too few.
    pub fn new(
        [depth, step]: [usize; 2],
        weights: In<'a, i8>,
        channels: Channels<'a>,
        clamp: Clamp,
    ) -> Option<Self> {
        let outputs = channels.bias.len();
        let needed = Layout::Helium.matrix().len(outputs, Depth::whole(depth));
        let complete = needed.is_some_and(|needed| weights.len() >= needed)
            && channels.multiplier.len() == outputs
            && channels.shift.len() == outputs;
        if depth == 0 || !complete {
            return None;
        }
        let task = Task {
            x: core::ptr::null(),
            step,
            rows: 0,
            depth,
            w: weights.as_ptr(),
            bias: channels.bias.as_ptr(),
            multiplier: channels.multiplier.as_ptr(),
            shift: channels.shift.as_ptr(),
            blocks: outputs / CHANNELS,
            kept: CHANNELS,
            y: core::ptr::null_mut(),
            stride: 0,
            zero_point: clamp.zero_point,
        };
        Some(Self { task, channels, clamp, short: short(&channels) })
    }

    /// All outputs of `count` rows: output `c` of row `r` goes to `y` at `r * stride + c`. Nothing happens, and false comes back, when
    /// something is too short.
    ///
    /// The outputs must not share memory with the rows.
    pub fn outputs<Y: Quantized>(
        &self,
        rows: In<'_, i8>,
        count: usize,
        (y, stride): (Out<'_, Y>, usize),
    ) -> bool {
        if count == 0 {
            return true;
        }
        let (outputs, Self { task, channels, clamp, short }) = (self.channels.bias.len(), self);
        if rows.len() < span(count, task.step, task.depth) || y.len() < span(count, stride, outputs) {
            return false;
        }
        let task = Task { x: rows.as_ptr(), rows: count, y: y.as_mut_ptr().cast(), stride, ..*task };
        // A place of an output in a tile is 16 bits.
        if size_of::<Y>() != 1 || stride > u16::MAX as usize / 2 - CHANNELS || !short {
            long(&task, outputs, *clamp, y);
            return true;
        }
        // SAFETY: rows, weights, constants and outputs were found long enough; shifts are 33 or more.
        unsafe {
            if outputs > task.blocks * CHANNELS {
                rest(&task, channels);
            }
            if task.blocks > 0 {
                multiply(&task);
            }
        }
        let y: Out<'_, i8> = y.cast();
        if stride == outputs {
            limit(y.window(0, count * outputs), *clamp);
        } else {
            (0..count).for_each(|row| limit(y.window(row * stride, outputs), *clamp));
        }
        true
    }
}

/// The last channels, behind the blocks of `task`; before the others, whose first outputs may be overwritten.
///
/// # Safety
/// As for [`multiply`], for a block more of weights and the channels that there are.
// Out of line, so that rows without last channels do not make room for its arrays.
#[inline(never)]
unsafe fn rest(task: &Task, channels: &Channels<'_>) {
    let (first, block) = (task.blocks * CHANNELS, task.depth.div_ceil(GROUP) * GROUP * CHANNELS);
    let (mut bias, mut multiplier, mut shift) = ([0; CHANNELS], [0; CHANNELS], [33; CHANNELS]);
    let places = bias.iter_mut().zip(&mut multiplier).zip(&mut shift);
    let mut kept = 0;
    for (((bias, multiplier), shift), channel) in places.zip(first..channels.bias.len()) {
        let channel = channels.channel(channel);
        (*bias, *multiplier, *shift) = (channel.bias, channel.scale.multiplier, channel.scale.shift);
        kept += 1;
    }
    let (bias, multiplier, shift) = (bias.as_ptr(), multiplier.as_ptr(), shift.as_ptr());
    let (w, y) = (task.w.wrapping_add(task.blocks * block), task.y.wrapping_add(first));
    let task = Task { bias, multiplier, shift, kept, w, y, blocks: 1, ..*task };
    let even = task.rows.saturating_sub(1) & !1;
    // SAFETY: the caller's; the arrays hold one block of channels, and a row follows those that have too much.
    unsafe {
        if even > 0 {
            multiply(&Task { rows: even, ..task });
        }
        let mut pair = [0i8; 2 * CHANNELS];
        for row in (even..task.rows).step_by(2) {
            let (x, y) = (task.x.wrapping_add(row * task.step), pair.as_mut_ptr());
            let rows = (task.rows - row).min(2);
            multiply(&Task { x, rows, kept: CHANNELS, y, stride: CHANNELS, ..task });
            for (row, y) in (row..row + rows).zip([0, CHANNELS]) {
                task.y.add(row * task.stride).copy_from_nonoverlapping(pair.as_ptr().add(y), kept);
            }
        }
    }
}

/// All outputs by the rule in 64 bits, or with 16 bits: few layers, and small ones.
#[inline(never)]
fn long<Y: Quantized>(task: &Task, outputs: usize, clamp: Clamp, y: Out<'_, Y>) {
    for row in 0..task.rows {
        for channel in 0..outputs {
            // SAFETY: the caller found rows, weights and constants long enough.
            let (sum, finish) = unsafe {
                let scale =
                    Scale { multiplier: *task.multiplier.add(channel), shift: *task.shift.add(channel) };
                (task.sum(row, channel), Channel { bias: *task.bias.add(channel), scale })
            };
            y.set(row * task.stride + channel, finish.apply(sum, clamp));
        }
    }
}

impl Task {
    /// Products of a row with a channel.
    ///
    /// # Safety
    /// The row and the channel's block are there.
    unsafe fn sum(&self, row: usize, channel: usize) -> i32 {
        let block = channel / CHANNELS * self.depth.div_ceil(GROUP) * GROUP * CHANNELS;
        (0..self.depth).fold(0i32, |sum, at| {
            let place = block + (at / GROUP * CHANNELS + channel % CHANNELS) * GROUP + at % GROUP;
            // SAFETY: the caller's.
            let (x, w) = unsafe { (*self.x.add(row * self.step + at), *self.w.add(place)) };
            sum.wrapping_add(x as i32 * w as i32)
        })
    }
}

/// Rows times blocks, outputs saturated to int8.
///
/// # Safety
/// The task describes at least one row, one block and one input; rows, weights, constants and outputs are as long as that
/// asks for, shifts are 33 to 62, and places of a tile's outputs fit 16 bits. Channels that are not kept may be written where the
/// outputs of the next pair of rows begin, and behind the others of a single row.
#[cfg(not(mixel_helium))]
unsafe fn multiply(task: &Task) {
    for row in 0..task.rows {
        for channel in (0..task.blocks * CHANNELS).filter(|channel| channel % CHANNELS < task.kept) {
            // SAFETY: the caller's.
            unsafe {
                let scale =
                    Scale { multiplier: *task.multiplier.add(channel), shift: *task.shift.add(channel) };
                let finish = Channel { bias: *task.bias.add(channel), scale };
                let value = finish.apply(task.sum(row, channel), Clamp::full::<i8>(task.zero_point));
                task.y.add(row * task.stride + channel).write(value);
            }
        }
    }
}

#[cfg(mixel_helium)]
unsafe fn multiply(task: &Task) {
    let &Task { x, step, rows, depth, w, bias, multiplier, shift, blocks, kept, y, stride, zero_point } =
        task;
    let groups = depth.div_ceil(GROUP);
    let last = depth - (groups - 1) * GROUP;
    // Rows of eight inputs are read with what is behind them, which the last one must not.
    let eight = (depth, step, kept) == (8, 8, CHANNELS);
    let (even, middle) = (rows.saturating_sub(eight as usize) & !1, groups.saturating_sub(2));
    if groups == 1 && even > 0 {
        let mut task = Shallow {
            y,
            shift,
            bias,
            multiplier,
            w,
            blocks,
            x,
            pairs: even / 2,
            first_steps: [CHANNELS, CHANNELS, 4 * CHANNELS, 4 * CHANNELS],
            second_steps: [GROUP * CHANNELS, usize::MAX, 0, 0],
            stride,
            zero_point,
            step,
            last,
            kept,
        };
        // SAFETY: the caller's; behind rows of eight inputs comes one more at least.
        unsafe {
            match (depth, step) {
                (8, _) if eight => shallow_by_8(&mut task),
                (16, 16) => shallow_by_16(&mut task),
                _ => shallow(&mut task),
            }
        }
    } else if even > 0 {
        let mut task = Pairs {
            w,
            down: 2 * stride,
            end: y.wrapping_add(even * stride),
            zero_point,
            more: middle.div_ceil(UNROLLED).saturating_sub(1),
            back: (2 * step) as isize - (groups * GROUP) as isize,
            bias,
            multiplier,
            shift,
            y,
            blocks,
            x: [x, x.wrapping_add(step)],
            entry: 0,
            first_steps: [groups * GROUP * CHANNELS, 0, CHANNELS, 0],
            second_steps: [4 * CHANNELS, 4 * CHANNELS, CHANNELS, CHANNELS],
            middle,
            skipped: middle.wrapping_neg() % UNROLLED * GROUP_BYTES,
            last,
            stride,
            kept,
        };
        // SAFETY: the caller's.
        unsafe { pairs(&mut task) };
    }
    for at in even..rows {
        let task = Row {
            y: y.wrapping_add(at * stride),
            shift,
            x: x.wrapping_add(at * step),
            depth,
            bias,
            multiplier,
            w,
            blocks,
            zero_point,
            thirty_two: 32,
            offset: 0,
        };
        // SAFETY: the caller's.
        unsafe { row(&task) };
    }
}

/// Groups of a round of [`pairs`], and bytes of the code of one.
#[cfg(mixel_helium)]
const UNROLLED: usize = 4;
#[cfg(mixel_helium)]
const GROUP_BYTES: usize = 14 * 4;

/// What [`pairs`] works on. The first six words are loaded together into registers. The first four, and those from `bias` on,
/// move by their steps from one block of channels to the next.
#[cfg(mixel_helium)]
#[repr(C)]
struct Pairs {
    /// Weights of the block.
    w: *const i8,
    /// From a pair of rows of outputs to the next.
    down: usize,
    /// Where the outputs of the block's channels end.
    end: *mut i8,
    zero_point: i32,
    /// Rounds of the loop over the groups between the first and the last, but for one.
    more: usize,
    /// From where a row's groups end to the row after the next.
    back: isize,
    bias: *const i32,
    multiplier: *const i32,
    shift: *const u8,
    y: *mut i8,
    /// Blocks that are left.
    blocks: usize,
    /// First and second row.
    x: [*const i8; 2],
    /// Where the groups in the middle begin.
    entry: usize,
    first_steps: [usize; 4],
    second_steps: [usize; 4],
    /// Groups in the middle.
    middle: usize,
    /// Bytes of code of the first round that are left out.
    skipped: usize,
    /// Inputs in the last group, 1 to 16.
    last: usize,
    stride: usize,
    /// Channels of a block that are outputs.
    kept: usize,
}

/// Pairs of rows times blocks of four channels, with two groups at least.
///
/// A group of 16 inputs is 6 loads and 8 `VMLADAVA` for 128 products. Eight sums take every register that may hold one
/// (even ones), link register included, so the loop counts in an odd one. It is unrolled by four and entered where the number of
/// groups asks for. The first group sets the sums, and the bias is added to four of them at once. Outputs of both rows are
/// narrowed together into halves of 32 bits, and one store brings each to its place.
///
/// # Safety
/// As for [`multiply`], with a pair of rows and two groups at least.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn pairs(task: *mut Pairs) {
    // Even registers: sums; r1 weights, r3 and r11 rows, r7 rounds, r9 task, r5 outputs.
    // q0 and q1 inputs, q2 weights, q3 multipliers, q4 shifts to the left, q5 bias, q6 places of outputs, q7 outputs.
    helium!(
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "mov r9, r0",
        // Places: channel i of the first row in the lower half of lane i, of the second row in the upper half; channels that
        // are not kept where the next pair begins, whose outputs come later.
        "ldrd r1, r2, [r9, #100]",
        "vctp.32 r2",
        "lsls r0, r1, #16",
        "movs r2, #0",
        "vidup.u32 q6, r2, #1",
        "mov.w r2, #0x10001",
        "vmul.i32 q6, q6, r2",
        "vadd.i32 q6, q6, r0",
        "lsls r1, r1, #1",
        "muls r1, r2, r1",
        "vdup.32 q7, r1",
        "vpsel q6, q6, q7",
        "ldr r0, [r9, #96]",
        "vctp.8 r0",
        "ldrd r0, r1, [r9, #88]",
        "adr.w r2, 4f",
        "cbz r0, 5f",
        "adr.w r2, 3f",
        "add r2, r1",
        "5:",
        "orr r2, r2, #1",
        "str r2, [r9, #52]",
        // A block of channels.
        "1:",
        "ldrd r0, r1, [r9, #24]",
        "vldrw.u32 q5, [r0]",
        "vldrw.u32 q3, [r1]",
        "ldrd r0, r5, [r9, #32]",
        "vldrb.u32 q4, [r0]",
        "movs r0, #32",
        "vneg.s32 q4, q4",
        "vadd.i32 q4, q4, r0",
        "ldrd r3, r11, [r9, #44]",
        "ldm r9, {{r1, r2, r4, r6, r7, r8}}",
        // A pair of rows.
        "2:",
        "vldrb.u8 q0, [r3], #16",
        "vldrb.u8 q1, [r11], #16",
        "vldrb.u8 q2, [r1], #16",
        "vmladav.s8 r0, q0, q2",
        "vmladav.s8 r8, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladav.s8 r2, q0, q2",
        "vmladav.s8 r10, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladav.s8 r4, q0, q2",
        "vmladav.s8 r12, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladav.s8 r6, q0, q2",
        "vmladav.s8 lr, q1, q2",
        "ldr pc, [r9, #52]",
        ".p2align 2",
        "3:",
        ".rept 4",
        "vldrb.u8 q0, [r3], #16",
        "vldrb.u8 q1, [r11], #16",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r0, q0, q2",
        "vmladava.s8 r8, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        ".endr",
        "cbz r7, 4f",
        "subs r7, #1",
        "b 3b",
        ".p2align 2",
        "4:",
        "vpstt",
        "vldrbt.u8 q0, [r3], #16",
        "vldrbt.u8 q1, [r11], #16",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r0, q0, q2",
        "vmladava.s8 r8, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vmov q7[2], q7[0], r0, r4",
        "vmov q7[3], q7[1], r2, r6",
        "vmov q0[2], q0[0], r8, r12",
        "vmov q0[3], q0[1], r10, lr",
        "vadd.i32 q7, q7, q5",
        "vadd.i32 q0, q0, q5",
        "vmulh.s32 q7, q7, q3",
        "vmulh.s32 q0, q0, q3",
        "ldm r9, {{r1, r2, r4, r6, r7, r8}}",
        "vrshl.s32 q7, q7, q4",
        "vrshl.s32 q0, q0, q4",
        "vqmovnb.s32 q7, q7",
        "vqmovnt.s32 q7, q0",
        "vqadd.s16 q7, q7, r6",
        "vqmovnb.s16 q7, q7",
        "vstrb.16 q7, [r5, q6]",
        "add r5, r2",
        "add r3, r8",
        "add r11, r8",
        "cmp r5, r4",
        "bne 2b",
        "vldrw.u32 q0, [r9]",
        "vldrw.u32 q1, [r9, #56]",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r9]",
        "vldrw.u32 q0, [r9, #24]",
        "vldrw.u32 q1, [r9, #72]",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r9, #24]",
        "ldr r0, [r9, #40]",
        "subs r0, #1",
        "str r0, [r9, #40]",
        "bne 1b",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

/// What [`shallow`] works on. The first eight words are loaded together; they move by their steps from one block of channels to
/// the next.
#[cfg(mixel_helium)]
#[repr(C)]
struct Shallow {
    y: *mut i8,
    shift: *const u8,
    bias: *const i32,
    multiplier: *const i32,
    w: *const i8,
    /// Blocks that are left.
    blocks: usize,
    x: *const i8,
    /// Pairs of rows.
    pairs: usize,
    first_steps: [usize; 4],
    second_steps: [usize; 4],
    stride: usize,
    zero_point: i32,
    /// From a row to the next.
    step: usize,
    /// Inputs of a row, 1 to 16.
    last: usize,
    /// Channels of a block that are outputs.
    kept: usize,
}

/// Defines a function for pairs of rows of one group times blocks of four channels: the block's weights stay in registers. Sums
/// begin with the bias, which leaves a register for the second row, so that both are narrowed together as in [`pairs`].
#[cfg(mixel_helium)]
macro_rules! shallow {
    ($name:ident, $load:literal, $to:literal) => {
        /// # Safety
        /// As for [`multiply`], with one group and a pair of rows; each is valid for as many reads as the load has bytes.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(task: *mut Shallow) {
            // r0, r2, r4, r6 sums; r1 outputs, r3 stride of a pair, r5 zero point, r7 task, r8 step, r10 bias, r11 row;
            // q0-q3 weights, q4 multipliers, q5 shifts to the left, q6 and q7 inputs and outputs.
            helium!(
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "mov r7, r0",
                // Places, as in `pairs`.
                "ldr r2, [r7, #80]",
                "vctp.32 r2",
                "ldrd r3, r5, [r7, #64]",
                "lsls r0, r3, #16",
                "movs r2, #0",
                "vidup.u32 q6, r2, #1",
                "mov.w r2, #0x10001",
                "vmul.i32 q6, q6, r2",
                "vadd.i32 q6, q6, r0",
                "lsls r3, r3, #1",
                "mul r0, r3, r2",
                "vdup.32 q7, r0",
                "vpsel q6, q6, q7",
                "sub sp, #16",
                "vstrw.32 q6, [sp]",
                "ldrd r8, r0, [r7, #72]",
                "vctp.8 r0",
                "2:",
                "ldm r7, {{r1, r2, r4, r6, r9, r10, r11, r12}}",
                "mov r10, r4",
                "vldrb.u32 q5, [r2]",
                "vldrw.u32 q4, [r6]",
                "movs r0, #32",
                "vneg.s32 q5, q5",
                "vadd.i32 q5, q5, r0",
                "vldrb.u8 q0, [r9]",
                "vldrb.u8 q1, [r9, #16]",
                "vldrb.u8 q2, [r9, #32]",
                "vldrb.u8 q3, [r9, #48]",
                "dls lr, r12",
                "3:",
                "ldm r10, {{r0, r2, r4, r6}}",
                concat!($load, "q7", $to),
                "vmladava.s8 r0, q7, q0",
                "vmladava.s8 r2, q7, q1",
                "vmladava.s8 r4, q7, q2",
                "vmladava.s8 r6, q7, q3",
                "vmov q7[2], q7[0], r0, r4",
                "vmov q7[3], q7[1], r2, r6",
                "vmulh.s32 q7, q7, q4",
                "vrshl.s32 q7, q7, q5",
                "ldm r10, {{r0, r2, r4, r6}}",
                concat!($load, "q6", $to),
                "vmladava.s8 r0, q6, q0",
                "vmladava.s8 r2, q6, q1",
                "vmladava.s8 r4, q6, q2",
                "vmladava.s8 r6, q6, q3",
                "vmov q6[2], q6[0], r0, r4",
                "vmov q6[3], q6[1], r2, r6",
                "vmulh.s32 q6, q6, q4",
                "vrshl.s32 q6, q6, q5",
                "vqmovnb.s32 q7, q7",
                "vqmovnt.s32 q7, q6",
                "vldrw.u32 q6, [sp]",
                "vqadd.s16 q7, q7, r5",
                "vqmovnb.s16 q7, q7",
                "vstrb.16 q7, [r1, q6]",
                "add r1, r3",
                "le lr, 3b",
                "vldrw.u32 q0, [r7]",
                "vldrw.u32 q1, [r7, #32]",
                "vadd.i32 q0, q0, q1",
                "vstrw.32 q0, [r7]",
                "vldrw.u32 q0, [r7, #16]",
                "vldrw.u32 q1, [r7, #48]",
                "vadd.i32 q0, q0, q1",
                "vstrw.32 q0, [r7, #16]",
                "ldr r0, [r7, #20]",
                "cmp r0, #0",
                "bne 2b",
                "add sp, #16",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

#[cfg(mixel_helium)]
shallow!(shallow_by_8, "vldrb.u8 ", ", [r11], #8");
#[cfg(mixel_helium)]
shallow!(shallow_by_16, "vldrb.u8 ", ", [r11], #16");
#[cfg(mixel_helium)]
shallow!(shallow, "vpst\nvldrbt.u8 ", ", [r11]\nadd r11, r8");

/// One row times blocks of channels.
#[repr(C)]
pub(super) struct Row {
    pub y: *mut i8,
    pub shift: *const u8,
    pub x: *const i8,
    pub depth: usize,
    pub bias: *const i32,
    pub multiplier: *const i32,
    pub w: *const i8,
    /// Blocks of four channels.
    pub blocks: usize,
    pub zero_point: i32,
    /// The constant 32.
    pub thirty_two: i32,
    /// What is added to all sums.
    pub offset: i32,
}

/// One row times blocks of four channels that all have the same scale, of which there are four.
///
/// # Safety
/// As for [`multiply`], with one row and four multipliers and shifts.
#[cfg(not(mixel_helium))]
pub(super) unsafe fn row_of_one_scale(row: &Row) {
    let Row { x, depth, w, blocks, y, zero_point, .. } = *row;
    let (bias, multiplier, shift) = (row.bias, row.multiplier, row.shift);
    let (rows, kept, stride) = (1, CHANNELS, 0);
    let task =
        Task { x, step: 0, rows, depth, w, bias, multiplier, shift, blocks, kept, y, stride, zero_point };
    for channel in 0..blocks * CHANNELS {
        // SAFETY: the caller's.
        unsafe {
            let finish =
                Channel { bias: *bias.add(channel), scale: Scale { multiplier: *multiplier, shift: *shift } };
            let sum = task.sum(0, channel).wrapping_add(row.offset);
            y.add(channel).write(finish.apply(sum, Clamp::full::<i8>(zero_point)));
        }
    }
}

/// Defines a function for one row: 5 loads and 4 `VMLADAVA` for 64 products.
#[cfg(mixel_helium)]
macro_rules! row {
    ($name:ident, $multipliers:literal, $shifts:literal) => {
        /// # Safety
        /// As for [`multiply`], with one row.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(task: *const Row) {
            // r0, r2, r4, r6 sums; r1 outputs, r3 shifts, r5 row, r7 depth, r8 bias, r9 multipliers, r10 weights, r11 inputs, r12
            // blocks; q0 inputs and outputs, q1 weights and scale.
            helium!(
                "push {{r4-r11, lr}}",
                "ldr r3, [r0, #40]",
                "ldrd r1, r2, [r0, #32]",
                "push {{r1, r2, r3, r4}}",
                "ldm r0, {{r1, r3, r5, r7, r8, r9, r10, r12}}",
                "2:",
                "ldrd r0, r2, [r8], #8",
                "ldrd r4, r6, [r8], #8",
                "mov r11, r5",
                "dlstp.8 lr, r7",
                "3:",
                "vldrb.u8 q0, [r11], #16",
                "vldrb.u8 q1, [r10], #16",
                "vmladava.s8 r0, q0, q1",
                "vldrb.u8 q1, [r10], #16",
                "vmladava.s8 r2, q0, q1",
                "vldrb.u8 q1, [r10], #16",
                "vmladava.s8 r4, q0, q1",
                "vldrb.u8 q1, [r10], #16",
                "vmladava.s8 r6, q0, q1",
                "letp lr, 3b",
                "vmov q0[2], q0[0], r0, r4",
                "vmov q0[3], q0[1], r2, r6",
                "ldr r0, [sp, #8]",
                concat!("vldrw.u32 q1, [r9]", $multipliers),
                "vadd.i32 q0, q0, r0",
                "vmulh.s32 q0, q0, q1",
                concat!("vldrb.u32 q1, [r3]", $shifts),
                "ldrd r0, r2, [sp]",
                "vneg.s32 q1, q1",
                "vadd.i32 q1, q1, r2",
                "vrshl.s32 q0, q0, q1",
                "vadd.i32 q0, q0, r0",
                "vqmovnb.s32 q0, q0",
                "vqmovnb.s16 q0, q0",
                "vstrb.32 q0, [r1], #4",
                "subs r12, #1",
                "bne 2b",
                "add sp, #16",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

#[cfg(mixel_helium)]
row!(row, ", #16", ", #4");
#[cfg(mixel_helium)]
row!(row_of_one_scale, "", "");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_wrap_lead_outside() {
        let (bias, multiplier, shift, weights) = ([0; 8], [1 << 30; 8], [33; 8], [1; 128]);
        let channels =
            Channels { bias: In::new(&bias), multiplier: In::new(&multiplier), shift: In::new(&shift) };
        let product =
            |depth, step| Product::new([depth, step], In::new(&weights), channels, Clamp::full::<i8>(0));
        // Eight times that, and four times, wrap to 0.
        assert!([3, 2].iter().all(|power| product(1 << (usize::BITS - power), 1).is_none()));
        let (rows, mut y, half) = ([1; 64], [0i8; 32], 1 << (usize::BITS - 1));
        let (rows, y) = (In::new(&rows), Out::new(&mut y));
        let done =
            |step, stride| product(16, step).is_some_and(|product| product.outputs(rows, 3, (y, stride)));
        assert!(done(16, 8) && y.get(23) == 2);
        // Twice that is 0.
        assert!(!done(half, 8) && !done(16, half));
    }
}
