//! Rows of an image with their padding, for kernels of hosts: every row is copied once, so that windows are read from the
//! copies, nothing is gathered per pixel, and borders are pixels like all others.

use super::window::{TOO_MANY, Window};
use crate::arch::fill;
use crate::arch::view::{In, Out};
use crate::plan::Tensor;

/// Most output rows that are computed at once.
const LINES: usize = 8;

/// The image rows that some output rows see, one behind the other.
pub(super) struct PaddedRows<'w, 'r> {
    window: &'w Window,
    image: In<'r, i8>,
    /// Rows of the image, elements from one to the next, and of those the ones present.
    height: usize,
    length: usize,
    present: usize,
    /// Bytes of a row with padding, and of the padding in front.
    padded: usize,
    front: usize,
    outside: i8,
    memory: Out<'r, i8>,
    /// The rows that are there.
    rows: core::ops::Range<isize>,
}

impl<'w, 'r> PaddedRows<'w, 'r> {
    /// Output rows that are computed at once.
    pub fn lines(output: &Tensor) -> usize {
        LINES.min(output.dims[1] as usize)
    }

    /// Bytes of a row: up to the last tap of the last output, and the whole row.
    pub fn padded(window: &Window, input: &Tensor, output: &Tensor) -> usize {
        let seen = window.seen(1, output.dims[2] as usize);
        seen.max(window.pad[1] as usize + input.dims[2] as usize).saturating_mul(input.inner())
    }

    /// Bytes of scratch memory, of which `behind` lie behind the rows, for loads that reach beyond the last one; at most
    /// [`TOO_MANY`].
    pub fn bytes(window: &Window, input: &Tensor, output: &Tensor, behind: usize) -> usize {
        let rows = window.seen(0, Self::lines(output));
        rows.saturating_mul(Self::padded(window, input, output)).saturating_add(behind).min(TOO_MANY)
    }

    /// The rows of an image of `height` rows, with `width` pixels in each present. Padding holds `outside`.
    pub fn new(
        (window, outside): (&'w Window, i8),
        (input, output): (&Tensor, &Tensor),
        image: In<'r, i8>,
        [height, width]: [usize; 2],
        memory: Out<'r, i8>,
    ) -> Self {
        fill(memory.cast(), outside as u8);
        Self {
            window,
            image,
            height,
            length: input.dims[2] as usize * input.inner(),
            present: width * input.inner(),
            padded: Self::padded(window, input, output),
            front: window.pad[1] as usize * input.inner(),
            outside,
            memory,
            rows: 0..0,
        }
    }

    /// Copies what `lines` output rows from `first` on see to the front of the memory, where the first one begins with the
    /// first tap of its first output. `first` may only grow. Rows that are there are moved, because the outputs may have
    /// taken their place in the image.
    pub fn load(&mut self, first: usize, lines: usize) {
        let top = self.window.start(0, first);
        let steps = lines.saturating_sub(1) * self.window.stride[0] as usize;
        let end = top + (steps + self.window.extent(0)) as isize;
        let slot = |row: isize| (row - top).max(0) as usize * self.padded;
        let there = top.max(self.rows.start)..self.rows.end.max(top);
        if !there.is_empty() {
            let from = (there.start - self.rows.start) as usize * self.padded;
            let moved = self.memory.reader().window(from, there.len() * self.padded);
            self.memory.window(slot(there.start), moved.len()).copy_from(&moved);
        }
        for row in there.end.max(top)..end {
            if (0..self.height as isize).contains(&row) {
                let values = self.image.window(row as usize * self.length, self.present);
                self.memory.window(slot(row) + self.front, values.len()).copy_from(&values);
            } else {
                fill(self.memory.window(slot(row), self.padded).cast(), self.outside as u8);
            }
        }
        self.rows = top..end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::window::tests::image;

    #[test]
    fn rows_that_no_memory_holds_are_too_many() {
        let window = |stride| Window { kernel: [1; 2], stride, dilation: [1; 2], pad: [0; 2] };
        let bytes =
            |stride, input: &Tensor, output: &Tensor| PaddedRows::bytes(&window(stride), input, output, 4);
        assert_eq!(bytes([2, 3], &image(3, 4, 5), &image(2, 2, 1)), 3 * 4 * 5 + 4);
        // 2^16 rows of 2^16 bytes.
        assert_eq!(bytes([u16::MAX; 2], &image(1, 1, 1), &image(2, 2, 1)), TOO_MANY);
        // 2^18 rows of 2^30 pixels of 2^16 bytes.
        assert_eq!(bytes([37449, 32767], &image(1, 1, 1 << 16), &image(8, 32770, 1)), TOO_MANY);
    }
}
