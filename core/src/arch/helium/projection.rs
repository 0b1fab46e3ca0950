//! Sums of weight rows.

use super::super::view::{In, Out, span};
use super::short;
use crate::kernels::requant::{Channels, Clamp};

/// Channels whose sums stay in registers, of 16 bits each.
const LANES: usize = super::super::product::CHANNELS;
/// Rows whose sum fits 16 bits.
const MOST: usize = 256;

/// What [`add_rows`] works on.
#[repr(C)]
struct Rows {
    /// Numbers from here on name no row.
    count: usize,
    /// From row to row.
    width: usize,
    sums: *mut i32,
    /// Room for sums of 16 bits.
    narrow: [i16; LANES],
}

/// See [`super::super::product::add`]; false, with nothing done, for more rows than sums of 16 bits hold, or when weights or sums
/// are too few.
pub fn add(
    sums: &mut [i32],
    (rows, count): (In<'_, u16>, usize),
    (weights, width): (In<'_, i8>, usize),
) -> bool {
    let complete = sums.len() == LANES && weights.len() >= span(count, width, LANES);
    if !complete || rows.is_empty() || rows.len() > MOST {
        return false;
    }
    let mut task = Rows { count, width, sums: sums.as_mut_ptr(), narrow: [0; LANES] };
    // SAFETY: the numbers are so many, and every row below `count` has as many weights as there are sums.
    unsafe { add_rows(rows.as_ptr(), rows.len(), weights.as_ptr(), &mut task) };
    true
}

/// # Safety
/// `rows` is valid for `count` reads, at least one and at most [`MOST`]; `weights` for [`LANES`] reads from every row that they
/// name on; the task's sums for as many reads and writes.
#[unsafe(naked)]
unsafe extern "C" fn add_rows(rows: *const u16, count: usize, weights: *const i8, task: *mut Rows) {
    // r4 rows that there are, r5 width, r6 sums, r7 row; q0-q3 sums, q4 weights.
    helium!(
        "push {{r4-r8, lr}}",
        "vpush {{d8-d9}}",
        "ldm r3!, {{r4, r5, r6}}",
        "vmov.i32 q0, #0",
        "vmov.i32 q1, #0",
        "vmov.i32 q2, #0",
        "vmov.i32 q3, #0",
        "dls lr, r1",
        "2:",
        "ldrh r7, [r0], #2",
        "cmp r7, r4",
        "bhs 3f",
        "mla r7, r7, r5, r2",
        "vldrb.s16 q4, [r7]",
        "vadd.i16 q0, q0, q4",
        "vldrb.s16 q4, [r7, #8]",
        "vadd.i16 q1, q1, q4",
        "vldrb.s16 q4, [r7, #16]",
        "vadd.i16 q2, q2, q4",
        "vldrb.s16 q4, [r7, #24]",
        "vadd.i16 q3, q3, q4",
        "3:",
        "le lr, 2b",
        "vstrh.16 q0, [r3]",
        "vstrh.16 q1, [r3, #16]",
        "vstrh.16 q2, [r3, #32]",
        "vstrh.16 q3, [r3, #48]",
        "movs r7, #8",
        "dls lr, r7",
        "4:",
        "vldrh.s32 q0, [r3], #8",
        "vldrw.u32 q1, [r6]",
        "vadd.i32 q1, q1, q0",
        "vstrw.32 q1, [r6], #16",
        "le lr, 4b",
        "vpop {{d8-d9}}",
        "pop {{r4-r8, pc}}",
    )
}

/// What [`finish_row`] works on.
#[repr(C)]
struct Finish {
    sums: *const i32,
    bias: *const i32,
    multiplier: *const i32,
    shift: *const u8,
    y: *mut i8,
    count: usize,
    thirty_two: i32,
    zero_point: i32,
    min: i32,
    max: i32,
}

/// See [`super::super::product::finish`].
pub fn finish(sums: &[i32], channels: &Channels<'_>, clamp: Clamp, y: Out<'_, i8>) -> bool {
    let count = sums.len();
    let complete =
        [channels.bias.len(), channels.multiplier.len(), channels.shift.len(), y.len()].into_iter();
    if complete.min() < Some(count) || !short(channels) {
        return false;
    }
    let task = Finish {
        sums: sums.as_ptr(),
        bias: channels.bias.as_ptr(),
        multiplier: channels.multiplier.as_ptr(),
        shift: channels.shift.as_ptr(),
        y: y.as_mut_ptr(),
        count,
        thirty_two: 32,
        zero_point: clamp.zero_point,
        min: clamp.min,
        max: clamp.max,
    };
    // SAFETY: constants and results are as many as the sums; shifts are 33 or more.
    unsafe { finish_row(&task) };
    true
}

/// # Safety
/// Sums and constants are valid for `count` reads, results for writes.
#[unsafe(naked)]
unsafe extern "C" fn finish_row(task: *const Finish) {
    helium!(
        "push {{r4-r8, lr}}",
        "ldrd r1, r2, [r0, #32]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7}}",
        "wlstp.32 lr, r5, 3f",
        "2:",
        "vldrw.u32 q0, [r0], #16",
        "vldrw.u32 q1, [r1], #16",
        "vadd.i32 q0, q0, q1",
        "vldrw.u32 q1, [r2], #16",
        "vmulh.s32 q0, q0, q1",
        "vldrb.u32 q1, [r3], #4",
        "vneg.s32 q1, q1",
        "vadd.i32 q1, q1, r6",
        "vrshl.s32 q0, q0, q1",
        "vadd.i32 q0, q0, r7",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r4], #4",
        "letp lr, 2b",
        "3:",
        "pop {{r4-r8, pc}}",
    )
}
