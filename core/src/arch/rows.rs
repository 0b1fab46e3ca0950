//! Rows times blocks of channels: the matrix product of the layouts for hosts ([`Layout::X86`], [`Layout::Aarch64`]).
//!
//! A row is read where it lies: segments of it may be rows of an image, and rows may overlap as the windows of neighbouring
//! pixels do, so that nothing is copied per pixel. Inputs are taken in groups of four. The last group of a segment may
//! reach up to three bytes beyond it; the weights there are zero.
#![allow(unsafe_code)]

use super::Backend;
use super::portable;
use super::view::{In, Out, span};
use crate::kernels::requant::{Channel, Channels, Clamp, Quantized, Scale};
use crate::pack::{Depth, Layout};

/// Rows to multiply: lines of so many, as the outputs of an image.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    /// Their memory.
    pub bytes: In<'a, i8>,
    /// Where the segments of the first row begin.
    pub starts: In<'a, u32>,
    /// Values in a segment.
    pub len: usize,
    /// Bytes from one row to the next.
    pub step: usize,
    /// How many in a line.
    pub count: usize,
    /// Lines.
    pub lines: usize,
    /// Bytes from one line to the next.
    pub line: usize,
}

/// Rows, weights and outputs as micro-kernels take them; everything was checked.
#[derive(Clone, Copy)]
pub(super) struct Task<Y> {
    /// The first row.
    pub x: *const i8,
    /// Where its segments begin, and how many there are.
    pub starts: *const u32,
    pub segments: usize,
    /// Groups of four in a segment.
    pub groups: usize,
    /// From one row to the next.
    pub step: usize,
    /// How many in a line, at least one.
    pub rows: usize,
    /// Lines, at least one, and bytes from one to the next.
    pub lines: usize,
    pub line: usize,
    /// The first block of weights, with its head.
    pub weights: *const i8,
    /// Bytes of a block.
    pub block: usize,
    /// Bias, multiplier and shift of every output.
    pub bias: *const i32,
    pub multiplier: *const i32,
    pub shift: *const u8,
    /// How many.
    pub outputs: usize,
    pub clamp: Clamp,
    /// Output 0 of the first row.
    pub y: *mut Y,
    /// From one row's outputs to the next, and from one line's.
    pub stride: usize,
    pub line_stride: usize,
}

impl<Y: Quantized> Task<Y> {
    /// Line `line` alone.
    #[inline(always)]
    pub fn at(&self, line: usize) -> Self {
        let (x, y) = (self.x.wrapping_add(line * self.line), self.y.wrapping_add(line * self.line_stride));
        Self { x, y, lines: 1, ..*self }
    }

    /// Where segment `index` of the first row begins.
    ///
    /// # Safety
    /// `index` is below `segments`.
    #[inline(always)]
    pub unsafe fn segment(&self, index: usize) -> *const i8 {
        // SAFETY: the caller's.
        self.x.wrapping_add(unsafe { *self.starts.add(index) } as usize)
    }

    /// Turns sums of outputs `first ..` of row `row` into the outputs that there are.
    ///
    /// # Safety
    /// `row` is below `rows`.
    #[inline(always)]
    pub unsafe fn finish<const C: usize>(&self, row: usize, first: usize, sums: [i32; C]) {
        for (sum, channel) in sums.into_iter().zip(first..self.outputs) {
            // SAFETY: channel < outputs, row < rows.
            unsafe {
                let scale =
                    Scale { multiplier: *self.multiplier.add(channel), shift: *self.shift.add(channel) };
                let finish = Channel { bias: *self.bias.add(channel), scale };
                *self.y.add(row * self.stride + channel) = finish.apply(sum, self.clamp);
            }
        }
    }
}

/// Computes all outputs of `rows`: output `c` of row `r` of line `l` goes to `y` at `l * line_stride + r * stride + c`.
/// `weights` are one matrix in the layout's order. Nothing happens, and false comes back, when something is too short or the layout has another order.
///
/// The outputs must not share memory with the rows.
pub fn outputs<Y: Quantized>(
    (backend, layout): (Backend, Layout),
    rows: Rows<'_>,
    weights: In<'_, i8>,
    channels: &Channels<'_>,
    clamp: Clamp,
    (y, [stride, line_stride]): (Out<'_, Y>, [usize; 2]),
) -> bool {
    let (order, count) = (layout.matrix(), channels.bias.len());
    let depth = Depth { segments: rows.starts.len(), len: rows.len, columns: 1 };
    if rows.count == 0 || rows.lines == 0 {
        return true;
    }
    let last = (0..rows.starts.len()).map(|index| rows.starts.get(index)).max().unwrap_or(0) as usize;
    let line = span(rows.count, rows.step, rows.len.next_multiple_of(order.depth));
    let inputs = last.saturating_add(span(rows.lines, rows.line, line)) <= rows.bytes.len();
    let constants = order.len(count, depth).is_some_and(|len| weights.len() >= len)
        && channels.multiplier.len() >= count
        && channels.shift.len() >= count;
    let room = y.len() >= span(rows.lines, line_stride, span(rows.count, stride, count));
    // Micro-kernels read the starts again when there are outputs.
    if !order.segmented || !inputs || !constants || !room || rows.starts.meets(&y) {
        return false;
    }
    let task = Task {
        x: rows.bytes.as_ptr(),
        starts: rows.starts.as_ptr(),
        segments: rows.starts.len(),
        groups: rows.len.div_ceil(order.depth),
        step: rows.step,
        rows: rows.count,
        lines: rows.lines,
        line: rows.line,
        weights: weights.as_ptr(),
        block: order.block(depth, order.channels),
        bias: channels.bias.as_ptr(),
        multiplier: channels.multiplier.as_ptr(),
        shift: channels.shift.as_ptr(),
        outputs: count,
        clamp,
        y: y.as_mut_ptr(),
        stride,
        line_stride,
    };
    let lines = (0..task.lines).map(|line| task.at(line));
    // SAFETY: every row's segments, the weights of all outputs, their constants and the outputs were found long enough, and the
    // starts are not overwritten; a backend is only there when the machine has its instructions.
    unsafe {
        match (layout, backend) {
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            (Layout::X86, Backend::Avx512Vnni) => super::x86::avx512::product(&task),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            (Layout::X86, Backend::AvxVnni) => lines.for_each(|task| super::x86::avx_vnni::product(&task)),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            (Layout::X86, Backend::Avx2) => lines.for_each(|task| super::x86::avx2::product(&task)),
            #[cfg(target_arch = "aarch64")]
            (Layout::Aarch64, Backend::NeonDotProduct) => {
                lines.for_each(|task| super::aarch64::matrix::product::<Y, true>(&task));
            }
            #[cfg(target_arch = "aarch64")]
            (Layout::Aarch64, Backend::Neon) => {
                lines.for_each(|task| super::aarch64::matrix::product::<Y, false>(&task));
            }
            (Layout::X86, _) => lines.for_each(|task| portable::product::<Y, 16>(&task, order.head)),
            _ => lines.for_each(|task| portable::product::<Y, 4>(&task, order.head)),
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether outputs of one channel are computed, from `bytes` into `y`.
    fn done(rows: Rows<'_>, y: Out<'_, i8>, strides: [usize; 2]) -> bool {
        let weights = [1; 16];
        let (bias, multiplier, shift) = ([0; 1], [1 << 30; 1], [31; 1]);
        let channels =
            Channels { bias: In::new(&bias), multiplier: In::new(&multiplier), shift: In::new(&shift) };
        let on = (Backend::Portable, Layout::Aarch64);
        outputs(on, rows, In::new(&weights), &channels, Clamp::full::<i8>(0), (y, strides))
    }

    #[test]
    fn steps_that_wrap_lead_outside() {
        let (bytes, mut y, half) = ([1; 16], [0; 8], 1 << (usize::BITS - 1));
        let (bytes, y) = (In::new(&bytes), Out::new(&mut y));
        let rows = Rows { bytes, starts: In::new(&[0]), len: 4, step: 4, count: 3, lines: 1, line: 0 };
        assert!(done(rows, y, [1, 0]) && y.get(2) == 2);
        // Twice that is 0, or that less one.
        assert!(!done(Rows { step: half, ..rows }, y, [1, 0]));
        assert!(!done(Rows { lines: 3, line: half, ..rows }, y, [1, 0]));
        assert!(!done(Rows { starts: In::new(&[u32::MAX]), step: usize::MAX / 2 + 1, ..rows }, y, [1, 0]));
        assert!(!done(rows, y, [half, 0]) && !done(Rows { lines: 3, ..rows }, y, [1, half]));
    }

    #[test]
    fn outputs_do_not_take_the_place_of_starts() {
        let mut words = [0u32; 4];
        let words = Out::new(&mut words);
        let bytes = [1; 16];
        let (bytes, starts) = (In::new(&bytes), words.reader().window(1, 1));
        let rows = Rows { bytes, starts, len: 4, step: 4, count: 3, lines: 1, line: 0 };
        assert!(!done(rows, words.cast(), [1, 0]) && !done(rows, words.window(1, 2).cast(), [1, 0]));
        assert!(done(rows, words.window(0, 1).cast(), [1, 0]));
    }
}
