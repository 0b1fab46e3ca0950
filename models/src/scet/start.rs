//! Weights that training starts from: an image, and not noise.

use rand::Rng;

use super::Architecture;
use crate::weights::{self, Weight};

/// How much quieter than PyTorch's default the deep path starts.
const DEEP: f32 = 0.1;

impl Architecture {
    /// Fresh weights. The same generator state gives the same weights.
    ///
    /// The shallow path starts as bilinear up-sampling, of the three colours where there are three channels at high resolution
    /// and of their mean otherwise, and the deep one a tenth as loud as PyTorch's default.
    pub fn start(&self, rng: &mut impl Rng) -> Vec<Weight> {
        let mut weights = weights::start(self.parameters(), rng);
        for weight in &mut weights {
            match weight.name.as_str() {
                "shallow/w" => self.enlarge(&mut weight.values),
                "image/w" => self.pass_on(&mut weight.values),
                "shallow/b" | "image/b" => weight.values.fill(0.0),
                "deep/image/w" | "deep/image/b" => weight.values.iter_mut().for_each(|value| *value *= DEEP),
                _ => {}
            }
        }
        weights
    }

    /// Channels at high resolution that start as an image.
    fn colours(&self) -> usize {
        if self.size.shuffled() < 3 { 1 } else { 3 }
    }

    /// Makes the channels that become an image at high resolution its phases.
    fn enlarge(&self, shallow: &mut [f32]) {
        let (scale, colours) = (self.size.scale, self.colours());
        let phases = scale * scale;
        for (channel, kernels) in shallow.chunks_exact_mut(3 * 9).take(colours * phases).enumerate() {
            let (colour, phase) = (channel / phases, channel % phases);
            let taps = bilinear(phase / scale, phase % scale, scale);
            for (input, kernel) in kernels.chunks_exact_mut(9).enumerate() {
                let share = if colours == 1 { 1.0 / 3.0 } else { f32::from(input == colour) };
                kernel.copy_from_slice(&taps.map(|tap| share * tap));
            }
        }
    }

    /// Passes the image at high resolution on as it is.
    fn pass_on(&self, image: &mut [f32]) {
        let (shuffled, colours) = (self.size.shuffled(), self.colours());
        for (index, kernel) in image.chunks_exact_mut(9).enumerate() {
            let (output, input) = (index / shuffled, index % shuffled);
            if input < colours {
                kernel.fill(0.0);
                kernel[4] = f32::from(colours == 1 || output == input);
            }
        }
    }
}

/// The 3 x 3 kernel on the small image that gives the pixel at (`row`, `column`) of the `scale` x `scale` that stand for
/// its middle.
fn bilinear(row: usize, column: usize, scale: usize) -> [f32; 9] {
    let line = |phase: usize| {
        let offset = (phase as f32 + 0.5) / scale as f32 - 0.5;
        [(-offset).max(0.0), 1.0 - offset.abs(), offset.max(0.0)]
    };
    let (rows, columns) = (line(row), line(column));
    std::array::from_fn(|tap| rows[tap / 3] * columns[tap % 3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scet::Size;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn the_bilinear_kernels_keep_the_mean() {
        for scale in [2, 3, 4] {
            for phase in 0..scale * scale {
                let kernel = bilinear(phase / scale, phase % scale, scale);
                assert!((kernel.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{kernel:?}");
            }
        }
        assert_eq!(bilinear(0, 1, 2), [0.0, 0.1875, 0.0625, 0.0, 0.5625, 0.1875, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_start() {
        let start = |seed| Architecture::new(Size::tiny(2)).start(&mut StdRng::seed_from_u64(seed));
        assert_eq!(start(3), start(3));
        assert_ne!(start(3), start(4));
    }
}
