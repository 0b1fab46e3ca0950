//! Weight orders of all targets. Everything here compiles and runs on every host: a plan is packed where it is compiled,
//! and can be run anywhere.

/// The target whose kernels the weights are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
pub enum Layout {
    /// Plain order: one output channel after the other.
    Generic = 0,
    /// Armv7E-M and Armv8-M with the DSP extension.
    ArmDsp = 1,
    /// Armv8.1-M with Helium.
    Helium = 2,
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

    /// How the layout orders a weight matrix.
    pub const fn matrix(self) -> MatrixOrder {
        match self {
            Self::Generic => MatrixOrder { channels: 1, depth: 1 },
            Self::ArmDsp => MatrixOrder { channels: 2, depth: 4 },
            Self::Helium => MatrixOrder { channels: 1, depth: 1 },
            Self::X86 => MatrixOrder { channels: 16, depth: 4 },
            Self::Aarch64 => MatrixOrder { channels: 4, depth: 4 },
        }
    }

    /// How the layout orders the weights of a depthwise convolution with a `kernel` of (height, width).
    pub const fn depthwise(self, _kernel: [usize; 2]) -> DepthwiseOrder {
        DepthwiseOrder::Taps
    }
}

/// Order of depthwise weights `[taps][channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthwiseOrder {
    /// Tap by tap, as they are.
    Taps,
}

impl DepthwiseOrder {
    /// Elements that weights of `taps` x `channels` take; none when there are too many.
    pub const fn len(self, taps: usize, channels: usize) -> Option<usize> {
        match self {
            Self::Taps => taps.checked_mul(channels),
        }
    }

    /// Packs `weights` (`[taps][channels]`) into `out`, which has [`DepthwiseOrder::len`] elements.
    pub fn pack(self, weights: &[i8], _channels: usize, out: &mut [i8]) {
        match self {
            Self::Taps => out.iter_mut().zip(weights).for_each(|(place, &value)| *place = value),
        }
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
}

impl MatrixOrder {
    /// Elements that a matrix of `outputs` x `depth` takes.
    pub const fn len(self, outputs: usize, depth: usize) -> usize {
        outputs.next_multiple_of(self.channels) * depth.next_multiple_of(self.depth)
    }

    /// Where element (`output`, `input`) of a matrix with `depth` inputs lies.
    #[inline(always)]
    pub const fn index(self, depth: usize, output: usize, input: usize) -> usize {
        let padded = depth.next_multiple_of(self.depth);
        let block = (output / self.channels) * self.channels * padded;
        let group = (input / self.depth) * self.channels * self.depth;
        block + group + (output % self.channels) * self.depth + input % self.depth
    }

    /// Packs `weights` (`[outputs][depth]`) into `out`, which has [`MatrixOrder::len`] elements.
    pub fn pack(self, weights: &[i8], outputs: usize, depth: usize, out: &mut [i8]) {
        out.fill(0);
        for (row, values) in weights.chunks_exact(depth.max(1)).take(outputs).enumerate() {
            for (column, &value) in values.iter().enumerate() {
                if let Some(place) = out.get_mut(self.index(depth, row, column)) {
                    *place = value;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_has_its_own_place() {
        for layout in Layout::ALL {
            let order = layout.matrix();
            let (outputs, depth) = (5, 7);
            let mut seen = heapless::Vec::<bool, 256>::new();
            seen.resize(order.len(outputs, depth), false).unwrap();
            for output in 0..outputs {
                for input in 0..depth {
                    let place = &mut seen[order.index(depth, output, input)];
                    assert!(!*place, "{layout:?}");
                    *place = true;
                }
            }
        }
    }
}
