//! Depthwise 3x3 convolution of the Arm DSP layout.
//!
//! With stride 1 two rows of outputs are computed at a time, which see four rows of the image: a column of two channels is staged as
//! pairs of rows 0 and 1 and pairs of rows 2 and 3, so that a pair and one value more are what each output sees of it. Other strides
//! go row by row, four channels at a time: a column is six words, `(row 0, row 1)` of each channel, then `(channel 0, channel 2)` and
//! `(channel 1, channel 3)` of row 2. Either way a column is widened and paired once for all outputs of the rows that see it, and of
//! three multiplications two take both halves or one does for two rows. The weights lie in the order of the second way, as 16-bit
//! values ([`crate::pack::DepthwiseOrder::Pairs`]).
//!
//! Other machines, cores with Helium among them, and filters that do not qualify, read that order in [`super::depthwise`].
#![allow(unsafe_code)]

#[cfg(all(mixel_dsp, not(mixel_helium)))]
use super::armv7em::{ImageRow, Pairs, Quads, StagedRows, depthwise_pairs, depthwise_row};
use super::depthwise::Filter;
#[cfg(all(mixel_dsp, not(mixel_helium)))]
use super::depthwise::Line;
#[cfg(all(mixel_dsp, not(mixel_helium)))]
use super::view::Out;

/// Bytes of a column of four channels that is staged for one row of outputs.
const COLUMN: usize = 24;
/// Bytes of a column of two channels that is staged for two rows.
const PAIR: usize = 16;

/// Whether the filter is one of those that this file is for.
fn fits(filter: &Filter<'_>) -> bool {
    filter.window.kernel == [3, 3] && filter.window.dilation[1] == 1 && filter.outputs == filter.depth
}

/// Whether all channels of the filter go this file's way.
pub(super) fn takes(filter: &Filter<'_>) -> bool {
    let aligned = filter.weights.as_ptr().cast::<u32>().is_aligned();
    fits(filter) && filter.simple && aligned && filter.depth.is_multiple_of(4)
}

/// See [`super::matrix::Lane::lines`].
pub(super) fn lines(filter: &Filter<'_>) -> usize {
    let slides = filter.window.stride == [1, 1] && filter.window.dilation[0] == 1;
    1 + (slides && fits(filter)) as usize
}

/// See [`super::matrix::Lane::line_bytes`].
pub(super) fn line_bytes(filter: &Filter<'_>, width: usize) -> usize {
    let column = if lines(filter) == 1 { COLUMN } else { 2 * PAIR };
    if fits(filter) { filter.window.seen(1, width).saturating_mul(column) } else { 0 }
}

/// See [`super::matrix::Lane::line`].
#[cfg(all(mixel_dsp, not(mixel_helium)))]
pub(super) fn line(line: &Line<'_, i8>, filter: &Filter<'_>, scratch: Out<'_, u8>, y: Out<'_, i8>) -> usize {
    let (width, quads) = (line.pixels, filter.depth / 4);
    let room = scratch.cast::<u32>().len() * 4 >= line_bytes(filter, width);
    let aligned = filter.weights.as_ptr().cast::<u32>().is_aligned();
    if !fits(filter) || width == 0 || quads == 0 || !room || !aligned || !filter.simple {
        return 0;
    }
    // Columns outside of the image are the same for all channels.
    let columns = filter.window.seen(1, width);
    let before = (filter.window.pad[1] as usize).min(columns);
    let staged = Staged { columns, before, inside: line.width.min(columns - before), words: scratch.cast() };
    match lines(filter) {
        1 => rows(line, filter, &staged, y),
        _ => pairs(line, filter, &staged, y),
    }
    quads * 4
}

/// Columns on their way to the outputs.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
struct Staged<'a> {
    /// All that the outputs see.
    columns: usize,
    /// Those in front of the image.
    before: usize,
    /// Those inside.
    inside: usize,
    /// Their memory.
    words: Out<'a, u32>,
}

#[cfg(all(mixel_dsp, not(mixel_helium)))]
impl Staged<'_> {
    /// Fills the columns outside, of so many words each from `start` on, with two values.
    fn fill(&self, start: usize, words: usize, outside: i8) {
        let pair = (outside as u16 as u32) * 0x1_0001;
        let behind = self.before + self.inside;
        self.words.window(start, self.before * words).fill(pair);
        self.words.window(start + behind * words, (self.columns - behind) * words).fill(pair);
    }
}

/// Two rows of outputs, or the last one, of all groups of four channels.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
fn pairs(line: &Line<'_, i8>, filter: &Filter<'_>, staged: &Staged<'_>, y: Out<'_, i8>) {
    let Staged { columns, before, inside, words } = *staged;
    let plane = columns * PAIR;
    [0, plane / 4].into_iter().for_each(|start| staged.fill(start, PAIR / 4, line.outside));
    let outside = [line.outside; 4];
    let row = |index| image_row(line, filter, &outside, index);
    let to = words.as_mut_ptr().cast::<u8>().wrapping_add(before * PAIR);
    let rows = |first: usize| {
        let ((upper, after_upper), (lower, after_lower)) = (row(first), row(first + 1));
        let to = to.wrapping_add(first * PAIR / 4);
        StagedRows {
            rows: [upper, lower],
            to: [to.cast(), to.wrapping_add(plane).cast()],
            next: [after_upper, after_lower],
        }
    };
    let (weights, channels) = (filter.weights.as_ptr().cast(), &filter.channels);
    // SAFETY: rows hold the image's columns, of which whole groups of four channels are read, or are four values that are read again
    // and again; the staged columns, weights, channels and outputs were found long enough.
    unsafe {
        depthwise_pairs(Pairs {
            w: weights,
            bias: channels.bias.as_ptr(),
            multiplier: channels.multiplier.as_ptr(),
            shift: channels.shift.as_ptr(),
            y: y.as_mut_ptr(),
            staged: [rows(0), rows(2)],
            inside,
            x: words.as_mut_ptr(),
            plane,
            length: line.pixels * filter.depth,
            quads: filter.depth / 4,
            zero_point: filter.clamp.zero_point,
            below: if line.count == 2 { line.stride } else { 0 },
            next: filter.depth - 1,
        });
    }
}

/// One row of outputs, four channels after four.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
fn rows(line: &Line<'_, i8>, filter: &Filter<'_>, staged: &Staged<'_>, y: Out<'_, i8>) {
    let Staged { before, inside, words, .. } = *staged;
    staged.fill(0, COLUMN / 4, line.outside);
    let outside = [line.outside; 4];
    let row = |index| image_row(line, filter, &outside, index);
    let ((first, after_first), (second, after_second), (third, after_third)) = (row(0), row(1), row(2));
    let (weights, channels) = (filter.weights.as_ptr().cast(), &filter.channels);
    // SAFETY: rows hold the image's columns, of which whole groups of four channels are read, or are four values that are read again
    // and again; the staged columns, weights, channels and outputs were found long enough.
    unsafe {
        depthwise_row(Quads {
            w: weights,
            bias: channels.bias.as_ptr(),
            multiplier: channels.multiplier.as_ptr(),
            shift: channels.shift.as_ptr(),
            y: y.as_mut_ptr(),
            rows: [first, second, third],
            next: [after_first, after_second, after_third],
            inside,
            to: words.as_mut_ptr().wrapping_add(before * COLUMN / 4),
            x: words.as_mut_ptr(),
            length: line.pixels * filter.depth,
            quads: filter.depth / 4,
            zero_point: filter.clamp.zero_point,
            depth: filter.depth,
            back: (3 * COLUMN).wrapping_sub(filter.window.stride[1] as usize * COLUMN),
        });
    }
}

/// A row that the outputs see, with the bytes to its next four channels: four values that stay when it is outside.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
fn image_row(line: &Line<'_, i8>, filter: &Filter<'_>, outside: &[i8; 4], index: usize) -> (ImageRow, usize) {
    match line.rows.get(index) {
        Some(row) if !row.is_empty() => (ImageRow { from: row.as_ptr(), step: filter.depth }, 4),
        _ => (ImageRow { from: outside.as_ptr(), step: 0 }, 0),
    }
}
