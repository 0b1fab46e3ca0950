//! Depthwise rows: some rows of outputs at once, from planes.
//!
//! The rows that they see are scattered into planes, one a channel, `[column][row]`: the window of an output is then one run
//! of bytes, a load and a `VMLADAV`, and that of the output below it begins one byte further (or as many as the stride).

use super::super::depthwise::Filter;
use super::super::view::{In, Out, span};
use super::{CHANNELS, limit, short};
#[cfg(not(mixel_helium))]
use crate::kernels::requant::{Channel, Clamp, Scale};
use crate::pack::{DepthwiseOrder, TAPS};

/// Most rows that a band of outputs sees.
pub const MAX_ROWS: usize = 16;
/// Bytes that planes take at most where more is not needed.
const ROOM: usize = 1280;
/// Bytes that planes of whole rows take at most: 32 columns of 3x3 kernels with their borders.
const WHOLE: usize = 1664;

/// Rows, columns and channels that are worked on at once.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Rows of outputs.
    pub rows: usize,
    /// Columns of outputs.
    pub columns: usize,
    /// Channels: 8 or 16.
    pub lanes: usize,
    /// Places of a column in a plane.
    pitch: usize,
}

impl Shape {
    /// That of a filter for rows of `width` outputs, with at most `lanes` channels; none when windows do not fit a vector, channels are not a multiple of 8 or
    /// not each for itself, or a shift is below 33.
    pub fn new(filter: &Filter<'_>, width: usize, lanes: usize) -> Option<Self> {
        let [height, columns] = filter.window.kernel.map(usize::from);
        let DepthwiseOrder::Columns { pitch } = filter.layout.depthwise([height, columns]) else {
            return None;
        };
        let single = filter.channels.bias.len() == filter.depth && filter.depth.is_multiple_of(8);
        if !single || !short(&filter.channels) || filter.window.dilation != [1, 1] || width == 0 {
            return None;
        }
        let [down, across] = filter.window.stride.map(usize::from);
        let rows = (pitch - height).checked_div(down)? + 1;
        let lanes = if filter.depth.is_multiple_of(16) { lanes } else { 8 };
        let most = (ROOM / (pitch * lanes)).max(columns);
        let outputs = (most - columns).checked_div(across).unwrap_or(0) + 1;
        Some(Self { rows, columns: width.div_ceil(width.div_ceil(outputs)), lanes, pitch })
    }

    /// With whole rows of `width` outputs, if their planes are not too large.
    pub fn whole(self, filter: &Filter<'_>, width: usize) -> Option<Self> {
        let whole = Self { columns: width, ..self };
        (whole.bytes(filter) <= WHOLE).then_some(whole)
    }

    /// One row of outputs at a time.
    pub fn single(self) -> Self {
        Self { rows: 1, ..self }
    }

    /// Bytes of a plane.
    fn plane(self, filter: &Filter<'_>) -> usize {
        filter.window.seen(1, self.columns).saturating_mul(self.pitch)
    }

    /// Bytes of scratch memory. A load of the last window reaches behind its plane.
    pub fn bytes(self, filter: &Filter<'_>) -> usize {
        self.plane(filter).saturating_mul(self.lanes).saturating_add(TAPS)
    }
}

/// What a band of outputs sees, and where it goes.
pub struct Band<'a> {
    /// The rows of the image from the first that the first row of outputs sees, from their first column on; empty for rows
    /// outside.
    pub rows: &'a [In<'a, i8>],
    /// Columns of the image.
    pub width: usize,
    /// What lies outside.
    pub outside: i8,
    /// Rows of outputs.
    pub count: usize,
    /// Outputs of a row.
    pub outputs: usize,
    /// Row of the image in `rows` that the next band sees as its first, and where it is kept before outputs take its place.
    pub keep: Option<(usize, Out<'a, i8>)>,
}

/// Computes a band: row `r` of its outputs goes to `y` from `r * stride` on. Nothing happens when something is too short.
pub fn band(
    band: &Band<'_>,
    (filter, shape): (&Filter<'_>, Shape),
    scratch: Out<'_, i8>,
    (y, stride): (Out<'_, i8>, usize),
) {
    let Filter { window, depth, channels, clamp, .. } = *filter;
    let (plane, pitch, lanes) = (shape.plane(filter), shape.pitch, shape.lanes);
    let ([kernel, _], [down, across]) = (window.kernel.map(usize::from), window.stride.map(usize::from));
    let (seen, length) = (span(band.count, down, kernel), band.width.saturating_mul(depth));
    let inputs = band.rows.len() == seen
        && seen <= pitch
        && band.rows.iter().all(|row| row.is_empty() || row.len() >= length);
    let constants = filter.weights.len() >= depth.saturating_mul(TAPS)
        && channels.multiplier.len() >= depth
        && channels.shift.len() >= depth;
    let room = scratch.len() >= shape.bytes(filter)
        && band.count > 0
        && y.len() >= span(band.count, stride, band.outputs.saturating_mul(depth));
    if !inputs || !constants || !room {
        return;
    }
    let kept = band.keep.and_then(|(row, place)| Some((*band.rows.get(row)?, place)));
    // A copy has one run at least.
    let kept = kept.filter(|(row, place)| !row.is_empty() && place.len() >= length && band.width > 0);
    let planes = scratch.as_mut_ptr();
    let mut first = 0;
    while first < band.outputs {
        let outputs = shape.columns.min(band.outputs - first);
        let all = plane / pitch;
        let start = window.start(1, first);
        let left = ((-start).max(0) as usize).min(all);
        let column = start.max(0) as usize;
        let inside = band.width.saturating_sub(column).min(all - left);
        let mut rows = [core::ptr::null::<i8>(); MAX_ROWS];
        for (pointer, row) in rows.iter_mut().zip(band.rows).filter(|(_, row)| !row.is_empty()) {
            *pointer = row.as_ptr().wrapping_add(column * depth);
        }
        let mut strip = Strip {
            rows: rows.as_ptr(),
            pitch,
            to: planes,
            step: depth,
            columns: [left, inside, all - left - inside],
            plane,
            outside: band.outside as i32,
            count: seen,
            channel: 0,
        };
        let mut windows = Windows {
            y: y.as_mut_ptr().wrapping_add(first * depth),
            shift: channels.shift.as_ptr(),
            bias: channels.bias.as_ptr(),
            multiplier: channels.multiplier.as_ptr(),
            x: planes,
            w: filter.weights.as_ptr(),
            blocks: 0,
            width: outputs,
            first_steps: [CHANNELS, CHANNELS, 4 * CHANNELS, 4 * CHANNELS],
            second_steps: [CHANNELS * plane, CHANNELS * TAPS, usize::MAX, 0],
            pixel: depth,
            zero_point: clamp.zero_point,
            plane,
            step: across * pitch,
            rows: band.count,
            down,
            stride,
            row: [0; 3],
        };
        while strip.channel < depth {
            (windows.x, windows.blocks) = (planes, lanes / CHANNELS);
            // SAFETY: rows hold `width` columns of `depth` channels, of which `inside` are read for `lanes` channels; scratch
            // memory holds their planes; weights, constants and outputs are those of `depth` channels, a multiple of `lanes`;
            // what is kept holds as much as a row.
            unsafe {
                scatter(&mut strip, lanes);
                if let Some((row, place)) = kept {
                    let (from, to) = (row.as_ptr().add(strip.channel), place.as_mut_ptr().add(strip.channel));
                    super::runs::copy(from, to, lanes, band.width, &[depth, depth]);
                }
                multiply(&mut windows);
            }
            strip.channel += lanes;
        }
        first += outputs;
    }
    for row in 0..band.count {
        limit(y.window(row * stride, band.outputs * depth), clamp);
    }
}

/// What is written as planes.
#[repr(C)]
struct Strip {
    /// The first column inside of the first channel of each row; null for rows outside of the image.
    rows: *const *const i8,
    /// From a column's place to the next.
    pitch: usize,
    to: *mut i8,
    /// From one pixel to the next.
    step: usize,
    /// Columns in front of the image, in it, behind it.
    columns: [usize; 3],
    /// From one channel's plane to the next.
    plane: usize,
    /// What lies outside.
    outside: i32,
    /// Rows.
    count: usize,
    /// Channel of the first plane.
    channel: usize,
}

/// Writes rows as planes of `lanes` channels, `[column][row]`.
///
/// # Safety
/// Rows have their columns of so many channels (8 or 16); there is room for as many planes.
#[cfg(mixel_helium)]
unsafe fn scatter(strip: &mut Strip, lanes: usize) {
    // SAFETY: the caller's.
    unsafe { if lanes == 16 { scatter_16(strip) } else { scatter_8(strip) } }
}

#[cfg(not(mixel_helium))]
unsafe fn scatter(strip: &mut Strip, lanes: usize) {
    let [left, inside, right] = strip.columns;
    for row in 0..strip.count {
        // SAFETY: the caller's.
        let from = unsafe { *strip.rows.add(row) };
        for (column, lane) in (0..left + inside + right).flat_map(|c| (0..lanes).map(move |l| (c, l))) {
            let within = column.wrapping_sub(left);
            // SAFETY: the caller's.
            unsafe {
                let value = if from.is_null() || within >= inside {
                    strip.outside as i8
                } else {
                    *from.add(within * strip.step + strip.channel + lane)
                };
                *strip.to.add(lane * strip.plane + column * strip.pitch + row) = value;
            }
        }
    }
}

/// Defines a function that scatters rows. `VSTRB.16` stores eight channels at once, each into its plane.
#[cfg(mixel_helium)]
macro_rules! scatter {
    ($name:ident, [$($store:literal),*], [$($move:literal),*]) => {
        /// # Safety
        /// As for [`scatter`].
        #[unsafe(naked)]
        unsafe extern "C" fn $name(strip: *mut Strip) {
            // r1 rows, r2 pitch, r3 plane bytes of this row, r4 step, r5-r7 columns, r9 place, r0 inputs, r11 channel, r12 rows
            // left; q1 and q2 offsets of the planes, q3 outside.
            helium!(
                "push {{r4-r11, lr}}",
                "mov r8, r0",
                "ldm r0, {{r1, r2, r3, r4, r5, r6, r7, r9, r10}}",
                "movs r0, #0",
                "vidup.u16 q1, r0, #1",
                "vmul.i16 q1, q1, r9",
                "lsl r9, r9, #3",
                "vadd.i16 q2, q1, r9",
                "vdup.16 q3, r10",
                "ldrd r12, r11, [r8, #36]",
                "2:",
                "ldr r0, [r1], #4",
                "mov r9, r3",
                "adds r3, #1",
                "cmp r0, #0",
                "beq 7f",
                "add r0, r11",
                "wls lr, r5, 4f",
                "3:",
                $($store,)*
                "add r9, r2",
                "le lr, 3b",
                "4:",
                "wls lr, r6, 6f",
                "5:",
                $($move,)*
                "add r0, r4",
                "add r9, r2",
                "le lr, 5b",
                "6:",
                "mov r10, r7",
                "b 8f",
                "7:",
                "add r10, r5, r6",
                "add r10, r7",
                "8:",
                "wls lr, r10, 10f",
                "9:",
                $($store,)*
                "add r9, r2",
                "le lr, 9b",
                "10:",
                "subs r12, #1",
                "bne 2b",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

#[cfg(mixel_helium)]
scatter!(scatter_8, ["vstrb.16 q3, [r9, q1]"], ["vldrb.u16 q0, [r0]", "vstrb.16 q0, [r9, q1]"]);
#[cfg(mixel_helium)]
scatter!(
    scatter_16,
    ["vstrb.16 q3, [r9, q1]", "vstrb.16 q3, [r9, q2]"],
    ["vldrb.u16 q0, [r0]", "vstrb.16 q0, [r9, q1]", "vldrb.u16 q0, [r0, #8]", "vstrb.16 q0, [r9, q2]"]
);

/// Planes times weights. The first eight words are loaded together; they move by their steps from four channels to the next four.
#[repr(C)]
struct Windows {
    y: *mut i8,
    shift: *const u8,
    bias: *const i32,
    multiplier: *const i32,
    /// The first channel's plane.
    x: *const i8,
    w: *const i8,
    /// Blocks of four channels that are left.
    blocks: usize,
    /// Outputs of a channel in a row.
    width: usize,
    first_steps: [usize; 4],
    second_steps: [usize; 4],
    /// From one output of a channel to the next.
    pixel: usize,
    zero_point: i32,
    /// From one channel's plane to the next.
    plane: usize,
    /// From one window to the next.
    step: usize,
    /// Rows of outputs.
    rows: usize,
    /// From one window to the one below it.
    down: usize,
    /// From one row of outputs to the next.
    stride: usize,
    /// Room for the place of a row: outputs, windows, rows left.
    row: [usize; 3],
}

/// Outputs of a row from which on they go in pairs, and the most for which places of a pair's outputs are 16 bits.
#[cfg(mixel_helium)]
const WIDE: usize = 8;
#[cfg(mixel_helium)]
const MOST: usize = u16::MAX as usize - CHANNELS;

/// Outputs from planes, saturated to int8.
///
/// # Safety
/// There are a block, a row and an output; planes are valid for 16 bytes from every window on, and shifts are 33 to 62.
#[cfg(mixel_helium)]
unsafe fn multiply(windows: &mut Windows) {
    // SAFETY: the caller's.
    unsafe {
        match windows.step {
            6 if windows.width >= WIDE && windows.pixel < MOST => pairs_by_6(windows),
            6 => windows_by_6(windows),
            12 => windows_by_12(windows),
            _ => windows_by(windows),
        }
    }
}

#[cfg(not(mixel_helium))]
unsafe fn multiply(windows: &mut Windows) {
    for channel in 0..windows.blocks * CHANNELS {
        // SAFETY: the caller's.
        let finish = unsafe {
            let scale =
                Scale { multiplier: *windows.multiplier.add(channel), shift: *windows.shift.add(channel) };
            Channel { bias: *windows.bias.add(channel), scale }
        };
        for (row, column) in (0..windows.rows).flat_map(|r| (0..windows.width).map(move |c| (r, c))) {
            let from = channel * windows.plane + row * windows.down + column * windows.step;
            // SAFETY: the caller's.
            unsafe {
                let sum = (0..TAPS).fold(0i32, |sum, tap| {
                    let (x, w) = (*windows.x.add(from + tap), *windows.w.add(channel * TAPS + tap));
                    sum.wrapping_add(x as i32 * w as i32)
                });
                let place = windows.y.add(row * windows.stride + column * windows.pixel + channel);
                place.write(finish.apply(sum, Clamp::full::<i8>(windows.zero_point)));
            }
        }
    }
    let channels = windows.blocks * CHANNELS;
    windows.y = windows.y.wrapping_add(channels);
    windows.shift = windows.shift.wrapping_add(channels);
    windows.bias = windows.bias.wrapping_add(channels);
    windows.multiplier = windows.multiplier.wrapping_add(channels);
    windows.w = windows.w.wrapping_add(channels * TAPS);
}

/// Defines a function for rows of depthwise outputs from planes: a load and a `VMLADAV` an output, four channels at a time, so that
/// their sums become one vector.
#[cfg(mixel_helium)]
macro_rules! windows {
    ($name:ident, $after:literal, [$($move:literal),*]) => {
        /// # Safety
        /// As for [`multiply`].
        #[unsafe(naked)]
        unsafe extern "C" fn $name(windows: *mut Windows) {
            // r0, r2, r4, r6 sums; r1 outputs, r3 from pixel to pixel, r5 zero point, r7 task, r8-r11 windows, r12 their step;
            // q0-q3 weights, q4 multipliers, q5 shifts to the left, q6 bias, q7 inputs and outputs.
            helium!(
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "mov r7, r0",
                "ldrd r3, r5, [r7, #64]",
                "2:",
                "ldm r7, {{r1, r2, r4, r6, r8, r10}}",
                "vldrb.u32 q5, [r2]",
                "vldrw.u32 q6, [r4]",
                "vldrw.u32 q4, [r6]",
                "movs r0, #32",
                "vneg.s32 q5, q5",
                "vadd.i32 q5, q5, r0",
                "vldrb.u8 q0, [r10]",
                "vldrb.u8 q1, [r10, #16]",
                "vldrb.u8 q2, [r10, #32]",
                "vldrb.u8 q3, [r10, #48]",
                "ldr r2, [r7, #80]",
                // A row.
                "4:",
                "strd r1, r8, [r7, #92]",
                "str r2, [r7, #100]",
                "ldr lr, [r7, #28]",
                "ldrd r0, r12, [r7, #72]",
                "add r9, r8, r0",
                "add r10, r9, r0",
                "add r11, r10, r0",
                "dls lr, lr",
                "3:",
                concat!("vldrb.u8 q7, [r8]", $after),
                "vmladav.s8 r0, q7, q0",
                concat!("vldrb.u8 q7, [r9]", $after),
                "vmladav.s8 r2, q7, q1",
                concat!("vldrb.u8 q7, [r10]", $after),
                "vmladav.s8 r4, q7, q2",
                concat!("vldrb.u8 q7, [r11]", $after),
                "vmladav.s8 r6, q7, q3",
                $($move,)*
                "vmov q7[2], q7[0], r0, r4",
                "vmov q7[3], q7[1], r2, r6",
                "vadd.i32 q7, q7, q6",
                "vmulh.s32 q7, q7, q4",
                "vrshl.s32 q7, q7, q5",
                "vadd.i32 q7, q7, r5",
                "vqmovnb.s32 q7, q7",
                "vqmovnb.s16 q7, q7",
                "vstrb.32 q7, [r1]",
                "add r1, r3",
                "le lr, 3b",
                "ldrd r1, r8, [r7, #92]",
                "ldrd r0, r4, [r7, #84]",
                "ldr r2, [r7, #100]",
                "add r8, r0",
                "add r1, r4",
                "subs r2, #1",
                "bne 4b",
                "vldrw.u32 q0, [r7]",
                "vldrw.u32 q1, [r7, #32]",
                "vadd.i32 q0, q0, q1",
                "vstrw.32 q0, [r7]",
                "vldrw.u32 q0, [r7, #16]",
                "vldrw.u32 q1, [r7, #48]",
                "vadd.i32 q0, q0, q1",
                "vstrw.32 q0, [r7, #16]",
                "ldr r0, [r7, #24]",
                "cmp r0, #0",
                "bne 2b",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

// Steps of 3x3 kernels, with stride 1 and 2, fit into the loads.
#[cfg(mixel_helium)]
windows!(windows_by_6, ", #6", []);
#[cfg(mixel_helium)]
windows!(windows_by_12, ", #12", []);
#[cfg(mixel_helium)]
windows!(windows_by, "", ["add r8, r12", "add r9, r12", "add r10, r12", "add r11, r12"]);

/// As [`windows!`] with windows 6 bytes apart: outputs of two columns are narrowed together. Sums begin with the bias, which leaves a
/// register for the second column.
///
/// # Safety
/// As for [`multiply`]; places of the outputs of two columns fit 16 bits.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn pairs_by_6(windows: *mut Windows) {
    // r0, r2, r4, r6 sums; r1 outputs, r3 from a pair of pixels to the next, r5 zero point, r7 task and bias, r8-r11 windows;
    // q0-q3 weights, q4 multipliers, q5 shifts to the left, q6 and q7 inputs and outputs. On the stack: places, task, bias.
    helium!(
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "mov r7, r0",
        "ldrd r3, r5, [r7, #64]",
        "movs r2, #0",
        "vidup.u32 q6, r2, #1",
        "mov.w r2, #0x10001",
        "vmul.i32 q6, q6, r2",
        "lsls r2, r3, #16",
        "vadd.i32 q6, q6, r2",
        "lsls r3, r3, #1",
        "sub sp, #24",
        "vstrw.32 q6, [sp]",
        "str r7, [sp, #16]",
        "2:",
        "ldm r7, {{r1, r2, r4, r6, r8, r10}}",
        "str r4, [sp, #20]",
        "vldrb.u32 q5, [r2]",
        "vldrw.u32 q4, [r6]",
        "movs r0, #32",
        "vneg.s32 q5, q5",
        "vadd.i32 q5, q5, r0",
        "vldrb.u8 q0, [r10]",
        "vldrb.u8 q1, [r10, #16]",
        "vldrb.u8 q2, [r10, #32]",
        "vldrb.u8 q3, [r10, #48]",
        "ldr r2, [r7, #80]",
        // A row.
        "4:",
        "strd r1, r8, [r7, #92]",
        "str r2, [r7, #100]",
        "ldr r2, [r7, #28]",
        "ldr r0, [r7, #72]",
        "add r9, r8, r0",
        "add r10, r9, r0",
        "add r11, r10, r0",
        "lsrs r2, r2, #1",
        "ldr r7, [sp, #20]",
        "dls lr, r2",
        "3:",
        "ldm r7, {{r0, r2, r4, r6}}",
        "vldrb.u8 q6, [r8], #6",
        "vmladava.s8 r0, q6, q0",
        "vldrb.u8 q6, [r9], #6",
        "vmladava.s8 r2, q6, q1",
        "vldrb.u8 q6, [r10], #6",
        "vmladava.s8 r4, q6, q2",
        "vldrb.u8 q6, [r11], #6",
        "vmladava.s8 r6, q6, q3",
        "vmov q7[2], q7[0], r0, r4",
        "vmov q7[3], q7[1], r2, r6",
        "vmulh.s32 q7, q7, q4",
        "vrshl.s32 q7, q7, q5",
        "ldm r7, {{r0, r2, r4, r6}}",
        "vldrb.u8 q6, [r8], #6",
        "vmladava.s8 r0, q6, q0",
        "vldrb.u8 q6, [r9], #6",
        "vmladava.s8 r2, q6, q1",
        "vldrb.u8 q6, [r10], #6",
        "vmladava.s8 r4, q6, q2",
        "vldrb.u8 q6, [r11], #6",
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
        // The last column of an odd number.
        "ldr r4, [sp, #16]",
        "ldr r4, [r4, #28]",
        "lsls r4, r4, #31",
        "beq 5f",
        "ldm r7, {{r0, r2, r4, r6}}",
        "vldrb.u8 q6, [r8], #6",
        "vmladava.s8 r0, q6, q0",
        "vldrb.u8 q6, [r9], #6",
        "vmladava.s8 r2, q6, q1",
        "vldrb.u8 q6, [r10], #6",
        "vmladava.s8 r4, q6, q2",
        "vldrb.u8 q6, [r11], #6",
        "vmladava.s8 r6, q6, q3",
        "vmov q7[2], q7[0], r0, r4",
        "vmov q7[3], q7[1], r2, r6",
        "vmulh.s32 q7, q7, q4",
        "vrshl.s32 q7, q7, q5",
        "vadd.i32 q7, q7, r5",
        "vqmovnb.s32 q7, q7",
        "vqmovnb.s16 q7, q7",
        "vstrb.32 q7, [r1]",
        "5:",
        "ldr r7, [sp, #16]",
        "ldrd r1, r8, [r7, #92]",
        "ldrd r0, r4, [r7, #84]",
        "ldr r2, [r7, #100]",
        "add r8, r0",
        "add r1, r4",
        "subs r2, #1",
        "bne 4b",
        "vldrw.u32 q0, [r7]",
        "vldrw.u32 q1, [r7, #32]",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r7]",
        "vldrw.u32 q0, [r7, #16]",
        "vldrw.u32 q1, [r7, #48]",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r7, #16]",
        "ldr r0, [r7, #24]",
        "cmp r0, #0",
        "bne 2b",
        "add sp, #24",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}
