//! Windows that slide over an image: the geometry that convolutions and pools share.

use core::ops::Range;

use crate::arch::view::{Element, In, Out, span};
use crate::pack::Depth;
use crate::plan::cursor::Cursor;
use crate::plan::{Operator, Tensor, write};

/// A window of `kernel` taps, `dilation` apart, moved by `stride`; (height, width) each. Taps above and left of the image
/// are `pad`; what sticks out below and right follows from the size of the output.
///
/// One-dimensional operators have height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps.
    pub kernel: [u16; 2],
    /// Step between outputs (of a transposed convolution: between inputs).
    pub stride: [u16; 2],
    /// Distance of taps.
    pub dilation: [u16; 2],
    /// Rows above and columns left of the image.
    pub pad: [u16; 2],
}

/// The part of a (height, width) pair that belongs to an axis: 0 for rows, 1 for columns.
pub(super) fn along<T>([rows, columns]: [T; 2], axis: usize) -> T {
    if axis == 0 { rows } else { columns }
}

/// More bytes than a plan has memory, which is below 2 GiB, and few enough for a table of channels more to fit 32 bits.
pub(super) const TOO_MANY: usize = i32::MAX as usize;

/// Bytes of scratch memory for `bytes` bytes and, behind them, `kept` rows of `input`; at most [`TOO_MANY`].
pub(super) fn scratch(bytes: usize, kept: usize, input: &Tensor) -> usize {
    let rows = kept.saturating_mul(input.row_elements() * input.dtype.size());
    bytes.min(TOO_MANY).next_multiple_of(4).saturating_add(rows).min(TOO_MANY)
}

/// Bytes of scratch memory for `bytes` bytes and, behind them at a whole word, `room` more; at most [`TOO_MANY`].
pub(super) fn with_room(bytes: usize, room: usize) -> usize {
    if room == 0 { bytes } else { bytes.next_multiple_of(4).saturating_add(room).min(TOO_MANY) }
}

/// Height and width of an image.
pub(super) fn size(tensor: &Tensor) -> [usize; 2] {
    let [_, height, width, _] = tensor.dims;
    [height as usize, width as usize]
}

impl Window {
    /// Appends the window to `params`: eight short integers, in the order of the fields.
    pub fn encode(&self, params: write::Params) -> write::Params {
        let fields = [self.kernel, self.stride, self.dilation, self.pad];
        fields.into_iter().flatten().fold(params, write::Params::u16)
    }

    /// Reads what [`Window::encode`] writes, as it is for the rows that `operator` sees.
    pub fn read(operator: &Operator<'_>, cursor: &mut Cursor<'_>) -> Self {
        let mut window = Self::whole(cursor);
        if let Some(view) = operator.view() {
            window.pad[0] = view.pad;
        }
        window
    }

    /// Reads what [`Window::encode`] writes.
    #[inline(never)]
    pub fn whole(cursor: &mut Cursor<'_>) -> Self {
        let mut pair = || [cursor.short(), cursor.short()];
        Self { kernel: pair(), stride: pair(), dilation: pair(), pad: pair() }
    }

    /// Whether kernel, stride and dilation are not zero.
    pub fn valid(&self) -> bool {
        let ([kh, kw], [down, across], [below, beside]) = (self.kernel, self.stride, self.dilation);
        !(kh == 0 || kw == 0 || down == 0 || across == 0 || below == 0 || beside == 0)
    }

    /// Rows (`axis` 0) or columns (1) from the first tap to the last, both included.
    pub fn extent(&self, axis: usize) -> usize {
        (along(self.kernel, axis) as usize).saturating_sub(1) * along(self.dilation, axis) as usize + 1
    }

    /// Rows (`axis` 0) or columns (1) from the first tap of the first of `count` outputs to the last tap of the last one, as
    /// [`span`] counts.
    pub fn seen(&self, axis: usize, count: usize) -> usize {
        span(count, along(self.stride, axis) as usize, self.extent(axis))
    }

    /// The inputs of an output in memory, of `groups` groups of `channels` channels in all: the rows of the window, or its
    /// taps where those of a row do not lie next to each other.
    pub fn depth(&self, channels: usize, groups: usize) -> Depth {
        let channels = channels.checked_div(groups).unwrap_or(0);
        Depth::window(self.kernel, channels, groups == 1 && self.dilation[1] == 1)
    }

    /// Row or column of the first tap for output row or column `output`.
    #[inline]
    pub fn start(&self, axis: usize, output: usize) -> isize {
        (output * along(self.stride, axis) as usize) as isize - along(self.pad, axis) as isize
    }

    /// Which taps of a window that begins at `start` lie inside an image of `size`.
    #[inline]
    pub fn inside(&self, axis: usize, start: isize, size: usize) -> Range<usize> {
        let (kernel, dilation) = (along(self.kernel, axis) as usize, along(self.dilation, axis) as usize);
        let before = (-start).max(0) as usize;
        let until = (size as isize - start).max(0) as usize;
        if dilation == 1 {
            return before.min(kernel)..until.min(kernel);
        }
        let ceil =
            |distance: usize| (distance + dilation).saturating_sub(1).checked_div(dilation).unwrap_or(0);
        ceil(before).min(kernel)..ceil(until).min(kernel)
    }

    /// Whether no position overflows for these sizes of input and output.
    pub fn fits(&self, input: &Tensor, output: &Tensor) -> bool {
        let (from, to) = (size(input), size(output));
        [0, 1].into_iter().all(|axis| {
            let last = (along(to, axis) as u64).saturating_sub(1) * along(self.stride, axis) as u64;
            let edge = along(self.pad, axis) as u64 + self.extent(axis) as u64;
            last + edge + along(from, axis) as u64 <= i32::MAX as u64
        })
    }

    /// Input rows that are kept in scratch memory while an output overwrites them, so that it may lie in the input's place.
    pub fn kept(&self) -> usize {
        let above = self.pad[0] as usize;
        (if self.stride[0] == 1 { above + 1 } else { above }).min(self.extent(0))
    }

    /// See [`super::Kernel::reach`], for a kernel that goes through `Rows`, which keeps `kept` rows.
    ///
    /// When output row `oy` is complete, everything in front of input row `start(oy) + kept` has been read, and nothing
    /// behind it need have been.
    pub fn reach(&self, input: &Tensor, output: &Tensor, kept: usize) -> isize {
        let bytes = |tensor: &Tensor| {
            let row = tensor.dims[2] as isize * tensor.dims[3] as isize * tensor.dtype.size() as isize;
            (tensor.dims[1] as usize, row)
        };
        let ((height, from), (rows, to)) = (bytes(input), bytes(output));
        let images = input.dims[0] as usize;
        // Behind the input's end nothing is shared.
        let mut reach = input.bytes() as isize;
        for image in 0..images {
            for row in 0..rows {
                let next = (self.start(0, row) + kept as isize).max(0) as usize;
                let last =
                    (self.start(0, rows - 1) + self.extent(0) as isize).max(0).min(height as isize) as usize;
                let unread = if next < last {
                    image * height + next
                } else if image + 1 < images {
                    (image + 1) * height
                } else {
                    continue;
                };
                let written = (image * rows + row + 1) as isize * to;
                reach = reach.min(unread as isize * from - written);
            }
        }
        reach
    }
}

/// The rows of one image for a kernel whose output may overwrite them from the top down: rows that are still needed are
/// moved into a ring before that.
pub(super) struct Rows<'a, X> {
    image: In<'a, X>,
    ring: Out<'a, X>,
    length: usize,
    height: usize,
    kept: usize,
    saved: usize,
}

impl<'a, X: Element> Rows<'a, X> {
    /// Rows of `length` elements; `ring` has room for `kept` of them, which is 0 when nothing is overwritten.
    pub fn new(image: In<'a, X>, height: usize, length: usize, ring: Out<'a, X>, kept: usize) -> Self {
        Self { image, ring, length, height, kept, saved: 0 }
    }

    /// Rows of the image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// To be called before output is written whose window begins at row `top`, with growing `top`.
    pub fn advance(&mut self, top: isize) {
        if self.kept == 0 {
            return;
        }
        let until = ((top + self.kept as isize).max(0) as usize).min(self.height);
        while self.saved < until {
            if self.saved as isize >= top {
                let row = self.image.window(self.saved * self.length, self.length);
                self.slot(self.saved).copy_from(&row);
            }
            self.saved += 1;
        }
    }

    fn slot(&self, row: usize) -> Out<'a, X> {
        let slot = row.checked_rem(self.kept).unwrap_or(0);
        self.ring.window(slot * self.length, self.length)
    }

    /// Row `row` of the image.
    #[inline]
    pub fn get(&self, row: usize) -> In<'a, X> {
        if row < self.saved {
            self.slot(row).reader()
        } else {
            self.image.window(row * self.length, self.length)
        }
    }
}

/// Whether an output may overwrite its input: they share memory, or are not placed yet (drafts have all offsets zero).
pub(super) fn overlap(input: &Tensor, output: &Tensor) -> bool {
    super::shared(input, output)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::plan::{DType, Place};

    pub fn image(height: u32, width: u32, channels: u32) -> Tensor {
        let (dims, place, dtype) = ([1, height, width, channels], Place::Arena, DType::I8);
        Tensor { dims, offset: 0, scale: 1.0, zero_point: 0, dynamic: 0, rank: 4, place, dtype }
    }

    #[test]
    fn windows_see_what_lies_between_their_taps() {
        let window = Window { kernel: [3, 1], stride: [2, 5], dilation: [4, 1], pad: [0, 0] };
        assert_eq!((window.seen(0, 1), window.seen(0, 3), window.seen(1, 3)), (9, 13, 11));
        let most = Window { kernel: [1; 2], stride: [u16::MAX; 2], dilation: [1; 2], pad: [0; 2] };
        assert_eq!(most.seen(0, usize::MAX), usize::MAX);
    }

    #[test]
    fn scratch_memory_is_never_less_for_more() {
        let input = image(1, 1 << 14, 1 << 14);
        assert_eq!((scratch(5, 0, &input), scratch(8, 3, &image(1, 5, 7))), (8, 8 + 3 * 35));
        // What would wrap to 0 in 32 bits, and in 64.
        assert_eq!(scratch(0, 16, &input), TOO_MANY);
        assert_eq!(scratch(0, usize::MAX / (1 << 28) + 1, &input), TOO_MANY);
        assert_eq!((scratch(usize::MAX, 0, &input), scratch(usize::MAX, 1, &input)), (TOO_MANY, TOO_MANY));
    }
}
