//! Weights of which many are zero: a bit for each, and a byte for those that are not zero.

use crate::arch::view::In;

/// A matrix `[outputs][depth]` of int8 weights, the same bytes in every layout: `outputs` u32, the index of each output's first
/// value; `outputs` rows of bits, [`Bitmap::row_bytes`] bytes each, where bit `i % 8` of byte `i / 8` says that the weight of
/// input `i` has a value; the values, i8, output by output.
#[derive(Clone, Copy)]
pub struct Bitmap<'p> {
    /// Inputs.
    pub depth: usize,
    /// Index of each output's first value.
    pub starts: In<'p, u32>,
    /// Which weights have a value.
    pub bits: In<'p, u8>,
    /// Their values.
    pub values: In<'p, i8>,
}

impl<'p> Bitmap<'p> {
    /// Bytes of one output's bits.
    pub const fn row_bytes(depth: usize) -> usize {
        depth.div_ceil(8)
    }

    /// Bytes of a matrix of `outputs` x `depth` with `values` values; none when there are too many.
    pub const fn len(outputs: usize, depth: usize, values: usize) -> Option<usize> {
        match outputs.checked_mul(4 + Self::row_bytes(depth)) {
            Some(head) => head.checked_add(values),
            None => None,
        }
    }

    /// Packs `weights` (`[outputs][depth]`) into `out`, which has [`Bitmap::len`] bytes for those that are not zero.
    pub fn pack(weights: &[i8], depth: usize, out: &mut [i8]) {
        out.fill(0);
        let (depth, row_bytes) = (depth.max(1), Self::row_bytes(depth));
        let outputs = weights.len() / depth;
        let (bits, values) = (4 * outputs, (4 + row_bytes) * outputs);
        let mut count = 0;
        for (output, row) in weights.chunks_exact(depth).enumerate() {
            let start = out.iter_mut().skip(4 * output);
            start.zip((count as u32).to_le_bytes()).for_each(|(place, byte)| *place = byte as i8);
            for (input, &weight) in row.iter().enumerate().filter(|(_, weight)| **weight != 0) {
                let byte = bits + output * row_bytes + input / 8;
                if let Some(place) = out.get_mut(byte) {
                    *place |= (1u8 << (input % 8)) as i8;
                }
                if let Some(place) = out.get_mut(values + count) {
                    *place = weight;
                }
                count += 1;
            }
        }
    }

    /// The parts of `packed`; none when it is too short for the sizes.
    pub fn new(packed: In<'p, i8>, outputs: usize, depth: usize) -> Option<Self> {
        let head = Self::len(outputs, depth, 0).filter(|&head| head <= packed.len())?;
        let starts = packed.window(0, 4 * outputs).cast();
        let bits = packed.window(4 * outputs, head - 4 * outputs).cast();
        Some(Self { depth, starts, bits, values: packed.window(head, packed.len() - head) })
    }

    /// Whether every output's bits are as many as the values from its start to the next one's, no bit lies behind the last
    /// input, and no value is left over.
    pub fn valid(&self, outputs: usize) -> bool {
        let row_bytes = Self::row_bytes(self.depth);
        let mut count = 0;
        for output in 0..outputs {
            if self.starts.get(output) as usize != count {
                return false;
            }
            let bits = self.bits.window(output * row_bytes, row_bytes);
            count += (0..row_bytes).map(|at| bits.get(at).count_ones() as usize).sum::<usize>();
            if !self.depth.is_multiple_of(8) && bits.get(row_bytes - 1) >> (self.depth % 8) != 0 {
                return false;
            }
        }
        let complete = self.starts.len() == outputs && self.bits.len() == outputs * row_bytes;
        complete && count == self.values.len()
    }

    /// `count` outputs from `first` on. Their starts still count from the first value of all.
    pub fn window(&self, first: usize, count: usize) -> Self {
        let row_bytes = Self::row_bytes(self.depth);
        let bits = self.bits.window(first * row_bytes, count * row_bytes);
        Self { starts: self.starts.window(first, count), bits, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: [i8; 22] = [0, 5, 0, 0, -1, 0, 0, 0, 0, 0, 127, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -128];

    #[repr(align(4))]
    struct Packed([i8; 16]);

    fn packed() -> Packed {
        let mut packed = Packed([0; 16]);
        assert_eq!(Bitmap::len(2, 11, 4), Some(16));
        Bitmap::pack(&WEIGHTS, 11, &mut packed.0);
        packed
    }

    #[test]
    fn bits_and_values_are_those_of_the_weights() {
        let packed = packed();
        let starts = [0, 0, 0, 0, 3, 0, 0, 0].map(|byte| byte as i8);
        assert_eq!(packed.0[..8], starts);
        assert_eq!(packed.0[8..], [0b0001_0010, 0b100, 0, 0b100, 5, -1, 127, -128]);
        assert!(Bitmap::new(In::new(&packed.0), 2, 11).unwrap().valid(2));
    }

    #[test]
    fn whatever_disagrees_is_not_valid() {
        let valid = |packed: &Packed, len| {
            Bitmap::new(In::new(&packed.0[..len]), 2, 11).is_some_and(|bitmap| bitmap.valid(2))
        };
        assert!(valid(&packed(), 16));
        // A value too few, and fewer bytes than the head.
        assert!(!valid(&packed(), 15) && !valid(&packed(), 11));
        // A start that is off, a bit more, a bit less, a bit moved to the next output, and one behind the last input.
        for (at, change) in [(4, 1), (8, 1), (8, 2), (11, 8)] {
            let mut other = packed();
            other.0[at] ^= change;
            assert!(!valid(&other, 16), "byte {at} ^ {change}");
        }
        let mut moved = packed();
        (moved.0[9], moved.0[10]) = (0, 1);
        assert!(!valid(&moved, 16));
    }
}
