//! Weights of four bits, two a byte.

use super::{Layout, filled};

/// Added to a weight of -8 to 7 to make what is stored.
pub const OFFSET: i32 = 8;

/// Order of a matrix `[outputs][depth]` of weights from -8 to 7: blocks of `channels` outputs, in them groups of `2 * half`
/// inputs, in them output by output `half` bytes. Byte `b` holds input `b` of the group in its low four bits and input
/// `half + b` in the high ones, each with [`OFFSET`] added, so that a mask or a shift unpacks many at once. The last group has
/// half of the inputs that are left, rounded up to `step` bytes. What no input or output fills is a weight of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Int4Order {
    /// Outputs that lie together.
    pub channels: usize,
    /// Bytes of one output in a whole group.
    pub half: usize,
    /// Bytes that those of the last group are a multiple of.
    pub step: usize,
}

impl Layout {
    /// How the layout orders a matrix of four-bit weights.
    pub const fn int4(self) -> Int4Order {
        match self {
            Self::ArmDsp => Int4Order { channels: 4, half: 4, step: 4 },
            Self::Helium => Int4Order { channels: 4, half: 16, step: 1 },
            _ => Int4Order { channels: 1, half: 16, step: 1 },
        }
    }
}

impl Int4Order {
    /// One output after the other in whole words of eight weights, the same for every layout: rows that are added.
    pub const WORDS: Self = Self { channels: 1, half: 4, step: 4 };

    /// Bytes of one output.
    pub const fn row_bytes(self, depth: usize) -> usize {
        let whole = self.group(depth);
        whole * self.half + self.width(depth, whole)
    }

    /// The group of input `input`. A size of 0, which no order has, is no panic in the firmware.
    const fn group(self, input: usize) -> usize {
        match input.checked_div(2 * self.half) {
            Some(group) => group,
            None => 0,
        }
    }

    /// Bytes of one output in group `group`.
    pub const fn width(self, depth: usize, group: usize) -> usize {
        let rest = depth.saturating_sub(group * 2 * self.half);
        if rest >= 2 * self.half { self.half } else { filled(rest.div_ceil(2), self.step) }
    }

    /// Bytes that a matrix of `outputs` x `depth` takes; none when there are too many.
    pub const fn len(self, outputs: usize, depth: usize) -> Option<usize> {
        filled(outputs, self.channels).checked_mul(self.row_bytes(depth))
    }

    /// Byte and lowest bit of element (`output`, `input`).
    pub const fn place(self, depth: usize, output: usize, input: usize) -> (usize, u32) {
        let group = self.group(input);
        let within = input - group * 2 * self.half;
        let width = self.width(depth, group);
        let lane = match output.checked_rem(self.channels) {
            Some(lane) => lane,
            None => 0,
        };
        let block = (output - lane) * self.row_bytes(depth) + group * self.half * self.channels;
        let high = within >= width;
        (block + lane * width + within - if high { width } else { 0 }, if high { 4 } else { 0 })
    }

    /// Packs `weights` (`[outputs][depth]`, each -8 to 7; others lose their high bits) into `out`, which has
    /// [`Int4Order::len`] bytes.
    pub fn pack(self, weights: &[i8], depth: usize, out: &mut [i8]) {
        out.fill(0x88u8 as i8);
        for (output, row) in weights.chunks_exact(depth.max(1)).enumerate() {
            for (input, &weight) in row.iter().enumerate() {
                let (byte, bit) = self.place(depth, output, input);
                if let Some(place) = out.get_mut(byte) {
                    let nibble = (weight as i32 + OFFSET) as u8 & 15;
                    *place = (*place as u8 & !(15 << bit) | nibble << bit) as i8;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_is_read_back_where_it_was_put() {
        let layouts = [Layout::Generic, Layout::ArmDsp, Layout::Helium].map(Layout::int4);
        let orders = layouts.into_iter().chain([Int4Order::WORDS]);
        for order in orders {
            for (outputs, depth) in [(1, 1), (3, 7), (4, 8), (5, 12), (2, 31), (2, 32), (3, 33), (6, 63)] {
                let weights: [i8; 400] = core::array::from_fn(|index| (index * 7 % 16) as i8 - 8);
                let weights = &weights[..outputs * depth];
                let mut packed = [0i8; 1024];
                let packed = &mut packed[..order.len(outputs, depth).unwrap()];
                order.pack(weights, depth, packed);
                for (index, &weight) in weights.iter().enumerate() {
                    let (byte, bit) = order.place(depth, index / depth, index % depth);
                    let stored = packed[byte] as u8 >> bit & 15;
                    assert_eq!(stored as i32 - OFFSET, weight as i32, "{order:?} {outputs}x{depth} {index}");
                }
                let zeros = packed.iter().flat_map(|&byte| [byte as u8 & 15, byte as u8 >> 4]);
                let filled = 2 * packed.len() - weights.len();
                let zero = weights.iter().filter(|&&weight| weight == 0).count() + filled;
                assert_eq!(zeros.filter(|&stored| stored as i32 == OFFSET).count(), zero, "the fill is zero");
            }
        }
    }

    #[test]
    fn rows_take_half_a_byte_a_weight() {
        let rows = |order: Int4Order| [1, 2, 8, 9, 31, 32, 33].map(|depth| order.row_bytes(depth));
        assert_eq!(rows(Layout::Generic.int4()), [1, 1, 4, 5, 16, 16, 17]);
        assert_eq!(rows(Layout::ArmDsp.int4()), [4, 4, 4, 8, 16, 16, 20]);
    }
}
