//! Depthwise 3x3 convolution of the Arm DSP layout: four channels of a row of outputs at a time.
//!
//! A column of the image is staged as six words: `(row 0, row 1)` of each of the four channels, then `(channel 0, channel 2)` and
//! `(channel 1, channel 3)` of row 2. So two of the three rows take both halves of the multiplier, and a column is widened and paired
//! once for all outputs of the row that see it. The weights lie in the same order, as 16-bit values
//! ([`crate::pack::DepthwiseOrder::Pairs`]).
//!
//! Other machines, and filters that do not qualify, read that order in [`super::depthwise`].
#![allow(unsafe_code)]

#[cfg(mixel_dsp)]
use super::armv7em::{Quad, depthwise_quad, stage_columns};
use super::depthwise::Filter;
#[cfg(mixel_dsp)]
use super::depthwise::Line;
#[cfg(mixel_dsp)]
use super::view::{In, Out};

/// Bytes of a staged column.
const COLUMN: usize = 24;

/// Columns that `width` outputs see.
fn columns(filter: &Filter<'_>, width: usize) -> usize {
    width.saturating_sub(1) * filter.window.stride[1] as usize + 3
}

/// Whether the filter is one of those that this file is for.
fn fits(filter: &Filter<'_>) -> bool {
    filter.window.kernel == [3, 3] && filter.window.dilation[1] == 1 && filter.outputs == filter.depth
}

/// See [`super::matrix::Lane::line_bytes`].
pub(super) fn line_bytes(filter: &Filter<'_>, width: usize) -> usize {
    if fits(filter) { columns(filter, width) * COLUMN } else { 0 }
}

/// See [`super::matrix::Lane::line`].
#[cfg(mixel_dsp)]
pub(super) fn line(line: &Line<'_, i8>, filter: &Filter<'_>, scratch: Out<'_, u8>, y: Out<'_, i8>) -> usize {
    let (depth, staged) = (filter.depth, scratch.cast::<u32>());
    let width = y.len().checked_div(depth).unwrap_or(0);
    let columns = columns(filter, width);
    let w = filter.weights.as_ptr().cast::<u32>();
    let [first, second, third] = line.rows else { return 0 };
    let room = staged.len() >= columns * COLUMN / 4 && w.is_aligned();
    if !fits(filter) || width == 0 || !room || !filter.simple {
        return 0;
    }
    // Columns outside of the image are the same for all channels.
    let before = (filter.window.pad[1] as usize).min(columns);
    let inside = line.width.min(columns - before);
    let pair = (line.outside as u16 as u32) * 0x1_0001;
    staged.window(0, before * COLUMN / 4).fill(pair);
    staged.window((before + inside) * COLUMN / 4, (columns - before - inside) * COLUMN / 4).fill(pair);
    let outside = [line.outside; 4];
    let quads = depth / 4;
    for quad in 0..quads {
        let channel = quad * 4;
        let rows = [first, second, third].map(|row| match row.is_empty() {
            true => (outside.as_ptr(), 0),
            false => (row.as_ptr().wrapping_add(channel), depth),
        });
        // SAFETY: rows hold the image's columns, of which four channels from `channel` on are read, or are four values that are
        // read again and again; the staged columns, weights, channels and outputs were found long enough.
        unsafe {
            if inside > 0 {
                let to = staged.as_mut_ptr().add(before * COLUMN / 4);
                stage_columns(rows.as_ptr().cast(), inside, to);
            }
            let words = |array: In<'_, i32>| array.as_ptr().add(channel).cast::<[i32; 4]>().read();
            let shift = filter.channels.shift.as_ptr().add(channel).cast::<[u8; 4]>().read();
            let place = y.as_mut_ptr().add(channel);
            let quad = Quad {
                bias: words(filter.channels.bias),
                multiplier: words(filter.channels.multiplier),
                shift: shift.map(|shift| shift as i32 - 32),
                zero_point: filter.clamp.zero_point,
                depth,
                back: (3 * COLUMN).wrapping_sub(filter.window.stride[1] as usize * COLUMN),
                end: place.wrapping_add(width * depth),
            };
            depthwise_quad(staged.as_mut_ptr(), w.add(quad_words(channel)), &quad, place);
        }
    }
    quads * 4
}

/// Words of weights in front of the four channels from `channel` on.
#[cfg(mixel_dsp)]
const fn quad_words(channel: usize) -> usize {
    channel / 4 * 3 * COLUMN / 4
}
