//! Matrix tiles of the Helium layout: four channels by two inputs, sixteen products an instruction.
//!
//! `VMLADAVA.S8` adds 16 products to a general register, so inputs stay the plain bytes that they are, and weights lie in
//! blocks of four channels by sixteen inputs. The last group of inputs is loaded under a predicate: nothing behind a row is
//! read. Four sums become one vector for the output scale, whose 32-bit form of the rounding rule holds for shifts from
//! 33 on; layers with a smaller one, and other machines, go through [`tile`].
#![allow(unsafe_code)]

#[cfg(mixel_helium)]
use super::armv8_1m;
#[cfg(mixel_helium)]
use super::depthwise::MAX_HEIGHT;
use super::depthwise::{Filter, Line};
#[cfg(mixel_helium)]
use super::elementwise::Sum;
#[cfg(mixel_helium)]
use super::matrix::Staging;
use super::matrix::{Patches, Sums};
use super::view::{In, Out};
use crate::kernels::requant::Quantized;
#[cfg(mixel_helium)]
use crate::kernels::requant::{Channels, Clamp};
use crate::pack::{Layout, TAPS};

/// Channels of a block.
pub(super) const CHANNELS: usize = 4;
/// Inputs of a group.
pub(super) const GROUP: usize = 16;

/// Rows that are staged at once: an even number that takes about a kilobyte, so that little is spent on each tile.
pub(super) const fn rows(depth: usize) -> usize {
    match depth {
        0..=64 => 16,
        65..=128 => 8,
        129..=168 => 6,
        169..=256 => 4,
        _ => 2,
    }
}

/// See [`super::matrix::Lane::tile`].
pub(super) fn tile(patches: Patches<'_>, weights: In<'_, i8>, sums: &mut Sums) -> usize {
    let Patches { bytes, rows, depth, .. } = patches;
    let groups = depth.div_ceil(GROUP);
    if bytes.len() < rows * depth || weights.len() < groups * GROUP * CHANNELS {
        return 0;
    }
    for (row, sums) in sums.iter_mut().enumerate().take(rows) {
        for (channel, sum) in sums.iter_mut().enumerate().take(CHANNELS) {
            *sum = (0..depth).fold(0i32, |sum, at| {
                let place = (at / GROUP * CHANNELS + channel) * GROUP + at % GROUP;
                // SAFETY: `place` lies below the rounded depth of four channels, the input in its row.
                let (x, w) = unsafe { (bytes.get_unchecked(row * depth + at), weights.get_unchecked(place)) };
                sum.wrapping_add(x as i8 as i32 * w as i32)
            });
        }
    }
    CHANNELS
}

/// See [`super::elementwise::add`]; the lengths are equal.
#[cfg(mixel_helium)]
pub(super) fn add(a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, sum: &Sum) {
    let task = armv8_1m::Add {
        a: a.as_ptr(),
        b: b.as_ptr(),
        y: y.as_mut_ptr(),
        count: y.len(),
        factors: sum.factors,
        zero: sum.zero,
        shift: -(sum.shift as i32),
        zero_point: sum.clamp.zero_point,
        min: sum.clamp.min,
        max: sum.clamp.max,
    };
    // SAFETY: the windows have as many elements, and a verified plan lays results so that they may be written in order.
    unsafe { armv8_1m::add(&task) }
}

/// See [`super::matrix::Lane::gather`].
#[cfg(mixel_helium)]
pub(super) fn gather(
    tile: &Staging<'_>,
    patch: usize,
    rows: &[In<'_, i8>],
    windows: impl Iterator<Item = (usize, [usize; 3])>,
    outside: i8,
) {
    let mut pointers = [core::ptr::null::<i8>(); MAX_HEIGHT];
    let mut length = usize::MAX;
    for (pointer, row) in pointers.iter_mut().zip(rows).filter(|(_, row)| !row.is_empty()) {
        *pointer = row.as_ptr();
        length = length.min(row.len());
    }
    for (place, (from, runs)) in (patch..).zip(windows) {
        let to = tile.bytes.window(place * tile.depth, tile.depth);
        let [before, inside, after] = runs;
        if from + inside > length || rows.len() * (before + inside + after) > to.len() || rows.is_empty() {
            return;
        }
        let to = to.as_mut_ptr().cast();
        let (rows, height) = (pointers.as_ptr(), rows.len());
        let task = armv8_1m::Gather { rows, height, from, runs, to, outside: outside as i32 };
        // SAFETY: rows and the patch were found long enough.
        unsafe { armv8_1m::gather(&task) }
    }
}

/// See [`super::matrix::Lane::stage_all`].
#[cfg(mixel_helium)]
pub(super) fn stage_all(tile: &Staging<'_>, at: usize, values: In<'_, i8>, (step, len): (usize, usize)) {
    let rows = rows(tile.depth);
    let place = tile.bytes.window(at, tile.bytes.len());
    if values.len() < (rows - 1) * step + len || place.len() < (rows - 1) * tile.depth + len {
        return;
    }
    // Rows that follow each other are one run.
    let (len, rows) = if step == len && len == tile.depth { (len * rows, 1) } else { (len, rows) };
    // SAFETY: values and places were found long enough; scratch memory is apart from tensors.
    unsafe { armv8_1m::copy(values.as_ptr(), place.as_mut_ptr().cast(), len, rows, &[step, tile.depth]) }
}

/// All outputs of rows that lie one after the other; false, with nothing done, when something is too short or a shift too
/// small.
#[cfg(mixel_helium)]
pub(super) fn outputs(
    patches: Patches<'_>,
    weights: In<'_, i8>,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, stride): (Out<'_, i8>, usize),
) -> bool {
    let Patches { bytes, rows, depth, .. } = patches;
    let count = channels.bias.len();
    let groups = depth.div_ceil(GROUP);
    let inputs = depth > 0 && rows > 0 && bytes.len() >= rows * depth;
    let constants = weights.len() >= count.next_multiple_of(CHANNELS) * groups * GROUP
        && channels.multiplier.len() == count
        && channels.shift.len() == count;
    if !inputs || !constants || y.len() < (rows - 1) * stride + count {
        return false;
    }
    if !short(channels) {
        return false;
    }
    let (x, whole) = (bytes.as_ptr().cast(), count / CHANNELS);
    let mut task = armv8_1m::Row {
        w: weights.as_ptr(),
        x,
        depth,
        bias: channels.bias.as_ptr(),
        multiplier: channels.multiplier.as_ptr(),
        shift: channels.shift.as_ptr(),
        y: y.as_mut_ptr(),
        blocks: whole,
        zero_point: clamp.zero_point,
        thirty_two: 32,
        min: clamp.min,
        max: clamp.max,
    };
    // SAFETY: everything was found long enough for `rows` rows and `whole` blocks, shifts are 33 or more.
    unsafe {
        if whole > 0 && rows > 1 {
            even_rows(&task, rows & !1, stride);
        }
        if whole > 0 && rows & 1 == 1 {
            task.x = x.add((rows - 1) * depth);
            task.y = y.as_mut_ptr().add((rows - 1) * stride);
            armv8_1m::row(&task);
        }
    }
    let rest = count % CHANNELS;
    if rest > 0 {
        let channels = channels.window(whole * CHANNELS, rest);
        let (mut bias, mut multiplier, mut shift) = ([0; CHANNELS], [0; CHANNELS], [33; CHANNELS]);
        for channel in 0..rest {
            let part = channels.channel(channel);
            (bias[channel], multiplier[channel], shift[channel]) =
                (part.bias, part.scale.multiplier, part.scale.shift);
        }
        let mut block = [0i8; CHANNELS];
        (task.bias, task.multiplier, task.shift) = (bias.as_ptr(), multiplier.as_ptr(), shift.as_ptr());
        (task.y, task.blocks) = (block.as_mut_ptr(), 1);
        for row in 0..rows {
            // SAFETY: as above; the arrays hold one block of channels, of which the weights have a whole one.
            unsafe {
                task.w = weights.as_ptr().add(whole * CHANNELS * groups * GROUP);
                task.x = x.add(row * depth);
                armv8_1m::row(&task);
            }
            y.window(row * stride + whole * CHANNELS, rest).copy_from(&In::new(&block));
        }
    }
    true
}

/// An even number of rows times whole blocks.
///
/// # Safety
/// As for [`armv8_1m::row`], for `rows` rows of inputs, and of outputs `stride` apart.
#[cfg(mixel_helium)]
unsafe fn even_rows(row: &armv8_1m::Row, rows: usize, stride: usize) {
    let groups = row.depth.div_ceil(GROUP);
    let mut task = armv8_1m::Pairs {
        w: row.w,
        bias: row.bias,
        end: row.y.wrapping_add(rows * stride),
        multiplier: row.multiplier,
        groups: groups - 1,
        zero_point: row.zero_point,
        back: row.depth as isize - (groups * GROUP) as isize,
        step: row.depth,
        stride,
        shift: row.shift,
        y: row.y,
        blocks: row.blocks,
        x: [row.x, row.x.wrapping_add(row.depth)],
        first_steps: [groups * GROUP * CHANNELS, 4 * CHANNELS, CHANNELS, 4 * CHANNELS],
        second_steps: [CHANNELS, CHANNELS, usize::MAX, 0],
        last: row.depth - (groups - 1) * GROUP,
        min: row.min,
        max: row.max,
    };
    // SAFETY: the caller's.
    unsafe { armv8_1m::pairs(&mut task) }
}

/// Whether the 32-bit form of the rounding rule holds for all channels.
#[cfg(mixel_helium)]
fn short(channels: &Channels<'_>) -> bool {
    // SAFETY: the shifts are as many bytes.
    unsafe { armv8_1m::least(channels.shift.as_ptr(), channels.shift.len()) >= 33 }
}

/// Channels of a strip and bytes of each one's plane, for a filter that has a strip: one whose windows fit a vector and whose
/// channels are a multiple of 8, each for itself.
fn planes(filter: &Filter<'_>, width: usize) -> Option<(usize, usize)> {
    let [height, columns] = filter.window.kernel.map(usize::from);
    let adjacent = filter.window.dilation[1] == 1 && filter.channels.bias.len() == filter.depth;
    if !adjacent || height * columns > TAPS || !filter.depth.is_multiple_of(8) || width == 0 {
        return None;
    }
    let plane = ((width - 1) * filter.window.stride[1] as usize + columns) * height;
    Some((if filter.depth.is_multiple_of(16) && plane <= 64 { 16 } else { 8 }, plane))
}

/// See [`super::matrix::Lane::line_bytes`]. A load of the last window reaches behind its plane.
pub(super) fn line_bytes(filter: &Filter<'_>, width: usize) -> usize {
    planes(filter, width).map_or(0, |(channels, plane)| channels * plane + TAPS)
}

/// See [`super::matrix::Lane::line`], for weights of which every channel's lie together.
pub(super) fn line<X: Quantized, Y: Quantized>(
    line: &Line<'_, X>,
    filter: &Filter<'_>,
    scratch: Out<'_, u8>,
    y: Out<'_, Y>,
) -> bool {
    if Layout::Helium.depthwise(filter.window.kernel.map(usize::from)) == crate::pack::DepthwiseOrder::Taps {
        return false;
    }
    #[cfg(mixel_helium)]
    if size_of::<X>() == 1 && size_of::<Y>() == 1 && strips(line, filter, scratch, y.cast()) {
        return true;
    }
    let _ = scratch;
    let Filter { window, depth, channels, clamp, .. } = filter;
    let [height, columns] = window.kernel.map(usize::from);
    let count = channels.bias.len();
    for index in 0..y.len() {
        let (pixel, channel) = (index.checked_div(count).unwrap_or(0), index.checked_rem(count).unwrap_or(0));
        let from = (channel * depth).checked_div(count).unwrap_or(0);
        let mut sum = 0i32;
        for (kx, ky) in (0..columns).flat_map(|kx| (0..height).map(move |ky| (kx, ky))) {
            let column = window.start(1, pixel) + (kx * window.dilation[1] as usize) as isize;
            let row = line.rows.get(ky).filter(|row| !row.is_empty());
            let value = match row {
                Some(row) if (0..line.width as isize).contains(&column) => {
                    row.get(column as usize * depth + from)
                }
                _ => line.outside,
            };
            let weight = filter.weights.get(channel * TAPS + kx * height + ky);
            sum = sum.wrapping_add(value.widen().wrapping_mul(weight as i32));
        }
        y.set(index, channels.finish(channel, sum, *clamp));
    }
    true
}

/// A row of outputs by way of strips; false, with nothing done, when there is no such way.
#[cfg(mixel_helium)]
fn strips<X: Quantized>(
    line: &Line<'_, X>,
    filter: &Filter<'_>,
    scratch: Out<'_, u8>,
    y: Out<'_, i8>,
) -> bool {
    let Filter { window, depth, channels, clamp, .. } = *filter;
    let width = y.len().checked_div(depth).unwrap_or(0);
    let Some((lanes, plane)) = planes(filter, width) else { return false };
    let (height, stride) = (window.kernel[0] as usize, window.stride[1] as usize);
    let (all, left) = (plane / height, window.pad[1] as usize);
    let left = left.min(all);
    let inside = line.width.min(all - left);
    if scratch.len() < lanes * plane + TAPS || filter.weights.len() < depth * TAPS || !short(&channels) {
        return false;
    }
    let mut rows = [core::ptr::null::<i8>(); MAX_HEIGHT];
    for (pointer, row) in rows.iter_mut().zip(line.rows) {
        *pointer = if row.is_empty() { core::ptr::null() } else { row.as_ptr().cast() };
    }
    let planes = scratch.as_mut_ptr().cast::<i8>();
    let mut strip = armv8_1m::Strip {
        rows: rows.as_ptr(),
        height,
        to: planes,
        step: depth,
        columns: [left, inside, all - left - inside],
        plane,
        outside: line.outside.widen(),
        left: height,
        channel: 0,
    };
    let blocks = lanes / CHANNELS;
    let mut task = armv8_1m::Windows {
        y: y.as_mut_ptr(),
        shift: channels.shift.as_ptr(),
        bias: channels.bias.as_ptr(),
        multiplier: channels.multiplier.as_ptr(),
        x: planes,
        w: filter.weights.as_ptr(),
        blocks,
        width,
        first_steps: [CHANNELS, CHANNELS, 4 * CHANNELS, 4 * CHANNELS],
        second_steps: [CHANNELS * plane, CHANNELS * TAPS, usize::MAX, 0],
        stride: depth,
        zero_point: clamp.zero_point,
        plane,
        step: stride * height,
    };
    while strip.channel < depth {
        // SAFETY: rows hold `line.width` columns of `depth` channels, of which `inside` are read for `lanes` channels; scratch
        // memory holds their planes; weights, constants and outputs are those of `depth` channels.
        unsafe {
            if lanes == 16 {
                armv8_1m::strip_16(&mut strip)
            } else {
                armv8_1m::strip_8(&mut strip)
            }
            match task.step {
                3 => armv8_1m::windows_by_3(&mut task),
                6 => armv8_1m::windows_by_6(&mut task),
                _ => armv8_1m::windows_by(&mut task),
            }
        }
        strip.channel += lanes;
        (task.x, task.blocks) = (planes, blocks);
    }
    if clamp != Clamp::full::<i8>(clamp.zero_point) {
        // SAFETY: the outputs of this row.
        unsafe { armv8_1m::limit(y.as_mut_ptr(), y.len(), clamp.min, clamp.max) }
    }
    true
}
