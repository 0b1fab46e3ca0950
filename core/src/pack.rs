//! Weight orders of all targets. Everything here compiles and runs on every host: a plan is packed where it is compiled,
//! and can be run anywhere.

pub mod bitmap;
pub mod int4;

pub use bitmap::Bitmap;
pub use int4::Int4Order;

/// The target whose kernels the weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
pub enum Layout {
    /// Plain order: one output channel after the other.
    Generic = 0,
    /// Armv7E-M and Armv8-M with the DSP extension.
    ArmDsp = 1,
    /// Armv8.1-M with Helium. (Code 2 was its order before windows went column by column.)
    Helium = 5,
    /// x86-64 with AVX2 or better.
    X86 = 3,
    /// aarch64 with NEON.
    Aarch64 = 4,
}

impl Layout {
    /// All layouts.
    pub const ALL: [Layout; 5] = [Self::Generic, Self::ArmDsp, Self::Helium, Self::X86, Self::Aarch64];

    /// The layout with this code.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|layout| *layout as u16 == code)
    }

    /// Constants lie at multiples of this in memory, as far as the plan does: what the longest loads are fastest from, a cache
    /// line for x86-64; on microcontrollers a word.
    pub const fn align(self) -> usize {
        match self {
            Self::X86 => 64,
            Self::Aarch64 => 16,
            _ => crate::plan::format::CONSTANT_ALIGN,
        }
    }

    /// How the layout orders a weight matrix.
    pub const fn matrix(self) -> MatrixOrder {
        let order = MatrixOrder { channels: 1, depth: 1, by_columns: false, segmented: false, head: 0 };
        match self {
            Self::Generic => order,
            Self::Helium => MatrixOrder { channels: 4, depth: 16, by_columns: true, ..order },
            Self::ArmDsp => MatrixOrder { channels: 2, depth: 4, ..order },
            Self::X86 => MatrixOrder { channels: 16, depth: 4, segmented: true, head: 64, ..order },
            Self::Aarch64 => MatrixOrder { channels: 4, depth: 4, segmented: true, ..order },
        }
    }

    /// How the layout orders the weights of a depthwise convolution with a `kernel` of (height, width).
    pub const fn depthwise(self, [height, width]: [usize; 2]) -> DepthwiseOrder {
        match self {
            Self::Helium if height > 0 && width > 0 && height * width <= TAPS => {
                DepthwiseOrder::Columns { pitch: pitch(height, width) }
            }
            Self::ArmDsp if height == 3 && width == 3 => DepthwiseOrder::Pairs,
            _ => DepthwiseOrder::Taps,
        }
    }
}

/// Taps of a channel that one vector holds.
pub(crate) const TAPS: usize = 16;

/// Rows of a column that [`DepthwiseOrder::Columns`] has room for: those of as many as four rows of outputs, as far as the
/// window's columns of so many rows fit a vector.
const fn pitch(height: usize, width: usize) -> usize {
    let most = match (TAPS - height).checked_div(width - 1) {
        Some(most) => most,
        None => TAPS,
    };
    if most < height + 3 { most } else { height + 3 }
}

/// Order of depthwise weights `[taps][channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthwiseOrder {
    /// Tap by tap, as they are.
    Taps,
    /// Channel by channel, in each column by column of `pitch` taps, filled up with zeros to 16. The window of the next row
    /// of outputs is then what lies one place further.
    Columns {
        /// Places of a column, at least its taps.
        pitch: usize,
    },
    /// 3x3 as 16-bit values in blocks of four channels, in them column by column, in them rows 0 and 1 of each channel, then
    /// row 2 of channels 0, 2, 1 and 3. A ragged end is filled with zeros.
    Pairs,
}

impl DepthwiseOrder {
    /// Elements that weights of `taps` x `channels` take; none when there are too many.
    pub const fn len(self, taps: usize, channels: usize) -> Option<usize> {
        match self {
            Self::Taps => taps.checked_mul(channels),
            Self::Columns { .. } => channels.checked_mul(TAPS),
            Self::Pairs => channels.div_ceil(4).checked_mul(72),
        }
    }

    /// Packs `weights` (`[height][width][channels]` of a kernel of (height, width)) into `out`, which has
    /// [`DepthwiseOrder::len`] elements.
    pub fn pack(self, weights: &[i8], [_, width]: [usize; 2], channels: usize, out: &mut [i8]) {
        match self {
            Self::Taps => out.iter_mut().zip(weights).for_each(|(place, &value)| *place = value),
            Self::Columns { pitch } => {
                out.fill(0);
                let (channels, width) = (channels.max(1), width.max(1));
                for (index, &value) in weights.iter().enumerate() {
                    let (tap, channel) = (index / channels, index % channels);
                    if let Some(place) = out.get_mut(channel * TAPS + tap % width * pitch + tap / width) {
                        *place = value;
                    }
                }
            }
            Self::Pairs => {
                out.fill(0);
                let channels = channels.max(1);
                for (index, &value) in weights.iter().enumerate() {
                    let place = Self::pair(index / channels, index % channels);
                    for (place, byte) in out.iter_mut().skip(place).zip((value as i16).to_le_bytes()) {
                        *place = byte as i8;
                    }
                }
            }
        }
    }

    /// Where the two bytes of a weight lie in [`DepthwiseOrder::Pairs`].
    #[inline(always)]
    pub const fn pair(tap: usize, channel: usize) -> usize {
        let (row, column, lane) = (tap / 3, tap % 3, channel % 4);
        let within = if row < 2 { lane * 2 + row } else { 8 + lane % 2 * 2 + lane / 2 };
        channel / 4 * 72 + column * 24 + within * 2
    }
}

/// The inputs of one output: `segments` runs of `len` values that lie together in memory, as the rows of a window do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    /// Runs.
    pub segments: usize,
    /// Inputs of a run.
    pub len: usize,
    /// Pixels of a run, which are columns of the window.
    pub columns: usize,
}

impl Depth {
    /// All inputs in one run.
    pub const fn whole(len: usize) -> Self {
        Self { segments: 1, len, columns: 1 }
    }

    /// The inputs of a window of `kernel` (height, width) taps of `channels` values each, `adjacent` when its taps in a row
    /// lie next to each other.
    pub fn window(kernel: [u16; 2], channels: usize, adjacent: bool) -> Self {
        let [height, width] = kernel.map(usize::from);
        if adjacent {
            Self { segments: height, len: width * channels, columns: width }
        } else {
            Self { segments: height * width, len: channels, columns: 1 }
        }
    }

    /// Inputs.
    pub const fn total(self) -> usize {
        self.segments * self.len
    }
}

/// Order of a weight matrix `[outputs][depth]`: blocks of `channels` outputs, in them groups of `depth` inputs, in them
/// output by output. Ragged ends are filled with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixOrder {
    /// Outputs that lie together.
    pub channels: usize,
    /// Inputs of one output that lie together.
    pub depth: usize,
    /// Whether the inputs of a window go column by column, in each the rows, and not row by row.
    pub by_columns: bool,
    /// Whether every segment of the inputs is filled up to whole groups, not just their end.
    pub segmented: bool,
    /// Bytes in front of every block: for each of its outputs, -128 times the sum of its weights as i32. What multiplies
    /// unsigned with signed bytes takes inputs 128 higher, and begins with this.
    pub head: usize,
}

/// `count` with what fills the last group of `step`. A step of 0, which no order has, is no panic in the firmware.
const fn filled(count: usize, step: usize) -> usize {
    match count.checked_rem(step) {
        None | Some(0) => count,
        Some(rest) => count + (step - rest),
    }
}

/// Most inputs of an output. Blocks, of up to 16 outputs whose inputs are filled up to four times as many, have a length then.
const MOST_INPUTS: usize = usize::MAX / 128;

impl MatrixOrder {
    /// Inputs with the fill.
    pub const fn padded(self, depth: Depth) -> usize {
        if self.segmented {
            depth.segments * filled(depth.len, self.depth)
        } else {
            filled(depth.total(), self.depth)
        }
    }

    /// Elements that a matrix of `outputs` x `depth` takes; none when there are too many.
    pub const fn len(self, outputs: usize, depth: Depth) -> Option<usize> {
        let known = matches!(depth.segments.checked_mul(depth.len), Some(total) if total <= MOST_INPUTS);
        match filled(outputs, self.channels).checked_div(self.channels) {
            Some(blocks) if known => blocks.checked_mul(self.block_len(depth)),
            _ => None,
        }
    }

    /// Elements of a block, of at most [`MOST_INPUTS`].
    const fn block_len(self, depth: Depth) -> usize {
        self.head + self.channels * self.padded(depth)
    }

    /// Where the block that begins with `output` begins, in a matrix that has a [`MatrixOrder::len`].
    pub const fn block(self, depth: Depth, output: usize) -> usize {
        match output.checked_div(self.channels) {
            Some(block) => block * self.block_len(depth),
            None => 0,
        }
    }

    /// Where element (`output`, `input`) of a matrix lies.
    #[inline(always)]
    pub const fn index(self, depth: Depth, output: usize, input: usize) -> usize {
        let input = match input.checked_div(depth.len) {
            Some(segment) if self.segmented => {
                segment * depth.len.next_multiple_of(self.depth) + input % depth.len
            }
            Some(segment) if self.by_columns && depth.columns > 1 => {
                let (pixel, within) = (depth.len / depth.columns, input % depth.len);
                (within / pixel * depth.segments + segment) * pixel + within % pixel
            }
            _ => input,
        };
        let group = (input / self.depth) * self.channels * self.depth;
        let within = (output % self.channels) * self.depth + input % self.depth;
        self.block(depth, output) + self.head + group + within
    }

    /// Packs `weights` (`[outputs][depth]`) into `out`, which has [`MatrixOrder::len`] elements.
    pub fn pack(self, weights: &[i8], outputs: usize, depth: Depth, out: &mut [i8]) {
        out.fill(0);
        for (row, values) in weights.chunks_exact(depth.total().max(1)).take(outputs).enumerate() {
            for (column, &value) in values.iter().enumerate() {
                if let Some(place) = out.get_mut(self.index(depth, row, column)) {
                    *place = value;
                }
            }
        }
        for block in 0..if self.head > 0 { outputs.div_ceil(self.channels) } else { 0 } {
            for output in block * self.channels..(block + 1) * self.channels {
                let sum = self.head_of(|place| out.get(place).copied().unwrap_or(0), depth, output);
                let head = out.iter_mut().skip(self.head_at(depth, output));
                head.zip(sum.to_le_bytes()).for_each(|(place, byte)| *place = byte as i8);
            }
        }
    }

    /// Where the head has its sum of `output`.
    const fn head_at(self, depth: Depth, output: usize) -> usize {
        self.block(depth, output) + 4 * (output % self.channels)
    }

    /// What the head of a matrix that `get` reads has for `output`.
    fn head_of(self, get: impl Fn(usize) -> i8, depth: Depth, output: usize) -> i32 {
        let start = self.block(depth, output) + self.head + (output % self.channels) * self.depth;
        let groups =
            (0..self.padded(depth) / self.depth).map(|group| start + group * self.channels * self.depth);
        let weights = groups.flat_map(|group| (group..group + self.depth).map(&get));
        weights.fold(0i32, |sum, weight| sum.wrapping_add(weight as i32)).wrapping_mul(-128)
    }

    /// Whether all heads of a matrix that `get` reads are what [`MatrixOrder::pack`] writes.
    pub fn heads_hold(self, get: impl Fn(usize) -> i8, outputs: usize, depth: Depth) -> bool {
        self.head == 0
            || (0..outputs.next_multiple_of(self.channels)).all(|output| {
                let at = self.head_at(depth, output);
                let head = [at, at + 1, at + 2, at + 3].map(|place| get(place) as u8);
                i32::from_le_bytes(head) == self.head_of(&get, depth, output)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_its_own_place() {
        for layout in Layout::ALL {
            let order = layout.matrix();
            for depth in [Depth::whole(7), Depth::window([3, 5], 1, false), Depth::window([3, 2], 2, true)] {
                let outputs = 5;
                let mut seen = heapless::Vec::<bool, 2048>::new();
                seen.resize(order.len(outputs, depth).unwrap(), false).unwrap();
                for output in 0..outputs {
                    for input in 0..depth.total() {
                        let place = &mut seen[order.index(depth, output, input)];
                        assert!(!*place, "{layout:?}");
                        *place = true;
                    }
                }
            }
        }
    }

    #[test]
    fn there_are_no_lengths_beyond_what_numbers_hold() {
        // Twice as much as there are addresses, which wraps to 0.
        let half = 1 << (usize::BITS / 2);
        for order in Layout::ALL.map(Layout::matrix) {
            assert_eq!(order.len(half, Depth::whole(half)), None);
            assert_eq!(order.len(2 * half, Depth { segments: half, len: half, columns: 1 }), None);
            assert_eq!(order.len(2 * order.channels, Depth::whole(usize::MAX)), None);
            let block = order.head + order.channels * order.padded(Depth::whole(half));
            assert_eq!(order.len(2 * order.channels, Depth::whole(half)), Some(2 * block));
        }
    }

    #[test]
    fn heads_are_sums_and_are_checked() {
        let (order, depth) = (Layout::X86.matrix(), Depth::window([2, 5], 1, true));
        let weights: [i8; 170] = core::array::from_fn(|index| (index * 37 % 251) as u8 as i8);
        let mut packed = [0i8; 2 * (64 + 16 * 16)];
        assert_eq!(order.len(17, depth), Some(packed.len()));
        order.pack(&weights, 17, depth, &mut packed);
        let sum: i32 = weights[..10].iter().map(|&weight| weight as i32).sum();
        let head: [u8; 4] = core::array::from_fn(|index| packed[index] as u8);
        assert_eq!(i32::from_le_bytes(head), -128 * sum);
        assert!(order.heads_hold(|place| packed[place], 17, depth));
        packed[order.index(depth, 16, 9)] ^= 1;
        assert!(!order.heads_hold(|place| packed[place], 17, depth));
    }
}
