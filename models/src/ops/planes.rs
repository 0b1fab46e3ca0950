//! Convolutions on planes: every output is a weighted sum of shifted inputs.
//!
//! Each image gets a border of zeros once, and then every tap is an offset into it. Rows run on into the border, so that the
//! loops are as long as a plane; what falls between the rows is left out in the end.

use pulp::{Simd, WithSimd};

use super::simd::{sum, vectorized};

/// Outputs of a dense convolution that are computed together.
const OUTPUTS: usize = 4;
/// Sources of a weight gradient that are computed together.
const SOURCES: usize = 4;
/// Vectors of pixels computed together.
const VECTORS: usize = 2;
/// Runs are whole numbers of so many pixels: of two of the longest vectors, with 16 lanes.
const PIXELS: usize = 32;

/// Which inputs make an output.
#[derive(Clone, Copy)]
pub(super) struct Layer {
    inputs: usize,
    outputs: usize,
    /// All of them; otherwise the one of its number.
    dense: bool,
}

impl Layer {
    pub(super) fn new([inputs, outputs]: [usize; 2], depth: usize) -> Self {
        let dense = depth == inputs;
        assert!(dense || (depth == 1 && inputs == outputs), "inputs and outputs of a convolution");
        Self { inputs, outputs, dense }
    }

    /// The convolution of all images.
    pub(super) fn apply(self, area: &Area, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
        let Self { inputs, outputs, dense } = self;
        let (pixels, run) = (area.height * area.width, area.run());
        let images = x.len() / (inputs * pixels);
        let sources = area.sources(if dense { inputs } else { 1 });
        let packed = if dense { pack(weight, outputs) } else { Vec::new() };
        let mut padded = area.border(inputs);
        let mut runs = vec![0.0; outputs.next_multiple_of(OUTPUTS) * run];
        let mut out = Vec::with_capacity(images * outputs * pixels);
        for x in x.chunks_exact(inputs * pixels) {
            area.pad(x, &mut padded);
            let (x, sums) = (&padded[..], &mut runs[..]);
            match dense {
                true => vectorized(Sums { area, x, sources: &sources, weights: &packed, bias, out: sums }),
                false => {
                    let (weights, _) = weight.as_chunks::<1>();
                    vectorized(Planes(Sums { area, x, sources: &sources, weights, bias, out: sums }));
                }
            }
            area.gather(&runs[..outputs * run], &mut out);
        }
        out
    }

    /// The gradients of weight and bias.
    pub(super) fn weight_gradient(self, area: &Area, grad: &[f32], x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let Self { inputs, outputs, dense } = self;
        let (pixels, run) = (area.height * area.width, area.run());
        let sources = area.sources(if dense { inputs } else { 1 });
        let (mut weight, mut bias) = (vec![0.0; outputs * sources.len()], vec![0.0; outputs]);
        let (mut padded, mut spread) = (area.border(inputs), vec![0.0; outputs * run]);
        for (x, grad) in x.chunks_exact(inputs * pixels).zip(grad.chunks_exact(outputs * pixels)) {
            area.pad(x, &mut padded);
            area.spread(grad, &mut spread);
            let (grad_runs, x, out) = (&spread[..], &padded[..], &mut weight[..]);
            match dense {
                true => vectorized(Products::<OUTPUTS> { area, grad: grad_runs, x, sources: &sources, out }),
                false => {
                    vectorized(Planes(Products::<1> { area, grad: grad_runs, x, sources: &sources, out }))
                }
            }
            for (bias, run) in bias.iter_mut().zip(spread.chunks_exact(run)) {
                *bias += vectorized(Sum(run));
            }
        }
        (weight, bias)
    }
}

/// Weights `[group of outputs][source][output of the group]` from `[output][source]`, filled up with zeros.
fn pack(weight: &[f32], outputs: usize) -> Vec<[f32; OUTPUTS]> {
    let sources = weight.len() / outputs;
    let value = |output: usize, source: usize| match output < outputs {
        true => weight[output * sources + source],
        false => 0.0,
    };
    (0..outputs.div_ceil(OUTPUTS))
        .flat_map(|group| (0..sources).map(move |source| (group, source)))
        .map(|(group, source)| std::array::from_fn(|lane| value(group * OUTPUTS + lane, source)))
        .collect()
}

/// The pixels of an image, and the taps of a convolution.
pub(super) struct Area {
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Taps in a row and in a column.
    pub size: usize,
}

impl Area {
    /// From a pixel with its border to the one below.
    fn stride(&self) -> usize {
        self.width + self.size - 1
    }

    /// Pixels of a channel with its border.
    fn plane(&self) -> usize {
        self.stride() * (self.height + self.size - 1)
    }

    /// Results of a channel, what falls between the rows included.
    fn run(&self) -> usize {
        (self.stride() * self.height).next_multiple_of(PIXELS)
    }

    /// Where in an image with its border the factors of the first result lie: every tap of every channel.
    fn sources(&self, channels: usize) -> Vec<usize> {
        let (size, stride, plane) = (self.size, self.stride(), self.plane());
        (0..channels * size * size)
            .map(|tap| {
                let (channel, row, column) = (tap / (size * size), tap / size % size, tap % size);
                channel * plane + row * stride + column
            })
            .collect()
    }

    /// Zeros for an image with its border, and behind it as many as a run reads beyond.
    fn border(&self, channels: usize) -> Vec<f32> {
        vec![0.0; channels * self.plane() + 2 * PIXELS]
    }

    /// The channels of an image with its border, each with as much behind it as a run reads beyond.
    fn planes<'x>(&self, padded: &'x [f32]) -> impl Iterator<Item = &'x [f32]> {
        padded.windows(self.plane() + 2 * PIXELS).step_by(self.plane())
    }

    /// Puts an image into its border.
    fn pad(&self, image: &[f32], padded: &mut [f32]) {
        let (edge, stride) = (self.size / 2, self.stride());
        let planes = padded.chunks_exact_mut(self.plane());
        for (image, padded) in image.chunks_exact(self.height * self.width).zip(planes) {
            if self.size == 1 {
                padded.copy_from_slice(image);
                continue;
            }
            let rows = padded[edge * stride + edge..].chunks_mut(stride);
            for (row, padded) in image.chunks_exact(self.width).zip(rows) {
                padded[..self.width].copy_from_slice(row);
            }
        }
    }

    /// Puts an image into runs, whose zeros between the rows stay.
    fn spread(&self, image: &[f32], runs: &mut [f32]) {
        let planes = image.chunks_exact(self.height * self.width);
        for (image, run) in planes.zip(runs.chunks_exact_mut(self.run())) {
            for (row, run) in image.chunks_exact(self.width).zip(run.chunks_mut(self.stride())) {
                run[..self.width].copy_from_slice(row);
            }
        }
    }

    /// Appends the image in runs, without what lies between the rows.
    fn gather(&self, runs: &[f32], image: &mut Vec<f32>) {
        for run in runs.chunks_exact(self.run()) {
            if self.size == 1 {
                image.extend_from_slice(&run[..self.height * self.width]);
            } else {
                for row in run.chunks(self.stride()).take(self.height) {
                    image.extend_from_slice(&row[..self.width]);
                }
            }
        }
    }
}

/// `out[o][p] = bias[o] + sum over s of weights[o][s] * x[sources[s] + p]`, `G` outputs at a time.
struct Sums<'a, const G: usize> {
    area: &'a Area,
    x: &'a [f32],
    sources: &'a [usize],
    weights: &'a [[f32; G]],
    bias: &'a [f32],
    out: &'a mut [f32],
}

impl<const G: usize> WithSimd for Sums<'_, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { area, x, sources, weights, bias, out } = self;
        let (run, pixels) = (area.run(), VECTORS * S::F32_LANES);
        let groups = weights.chunks_exact(sources.len()).zip(out.chunks_exact_mut(G * run));
        for (group, (weights, out)) in groups.enumerate() {
            let mut first = [[simd.splat_f32s(0.0); VECTORS]; G];
            for (sums, &bias) in first.iter_mut().zip(bias.iter().skip(group * G)) {
                sums.fill(simd.splat_f32s(bias));
            }
            for start in (0..run).step_by(pixels) {
                let mut sums = first;
                for (&source, weights) in sources.iter().zip(weights) {
                    let x = S::as_simd_f32s(&x[source + start..][..pixels]).0;
                    for output in 0..G {
                        let weight = simd.splat_f32s(weights[output]);
                        for vector in 0..VECTORS {
                            sums[output][vector] = simd.mul_add_f32s(weight, x[vector], sums[output][vector]);
                        }
                    }
                }
                for (sums, out) in sums.iter().zip(out.chunks_exact_mut(run)) {
                    S::as_mut_simd_f32s(&mut out[start..start + pixels]).0.copy_from_slice(sums);
                }
            }
        }
    }
}

/// `out[o][s] += sum over p of grad[o][p] * x[sources[s] + p]`, `G` outputs at a time.
struct Products<'a, const G: usize> {
    area: &'a Area,
    grad: &'a [f32],
    x: &'a [f32],
    sources: &'a [usize],
    out: &'a mut [f32],
}

impl<const G: usize> WithSimd for Products<'_, G> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { area, grad, x, sources, out } = self;
        let run = area.run();
        let outputs = grad.len() / run;
        for first in (0..outputs).step_by(G) {
            for (group, of_group) in sources.chunks(SOURCES).enumerate() {
                // A group that is not full repeats its last member, whose sums are then taken once.
                let mut rows = [&grad[..0]; G];
                for (lane, row) in rows.iter_mut().enumerate() {
                    *row = &grad[(first + lane).min(outputs - 1) * run..][..run];
                }
                let mut planes = [&x[..0]; SOURCES];
                for (lane, plane) in planes.iter_mut().enumerate() {
                    *plane = &x[of_group[lane.min(of_group.len() - 1)]..][..run];
                }
                let mut sums = [[simd.splat_f32s(0.0); SOURCES]; G];
                for start in (0..run).step_by(S::F32_LANES) {
                    for output in 0..G {
                        let grad = S::as_simd_f32s(&rows[output][start..][..S::F32_LANES]).0[0];
                        for source in 0..SOURCES {
                            let x = S::as_simd_f32s(&planes[source][start..][..S::F32_LANES]).0[0];
                            sums[output][source] = simd.mul_add_f32s(grad, x, sums[output][source]);
                        }
                    }
                }
                for (output, sums) in (first..outputs).zip(&sums) {
                    let out = &mut out[output * sources.len() + group * SOURCES..][..of_group.len()];
                    for (out, &sums) in out.iter_mut().zip(sums) {
                        *out += simd.reduce_sum_f32s(sums);
                    }
                }
            }
        }
    }
}

/// Sum of values.
struct Sum<'a>(&'a [f32]);

impl WithSimd for Sum<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        sum(simd, self.0)
    }
}

/// The same plane by plane, each output from the plane of its number.
struct Planes<T>(T);

impl WithSimd for Planes<Sums<'_, 1>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Sums { area, x, sources, weights, bias, out } = self.0;
        let layers = weights.chunks_exact(sources.len()).zip(bias.chunks_exact(1));
        for ((x, out), (weights, bias)) in area.planes(x).zip(out.chunks_exact_mut(area.run())).zip(layers) {
            Sums { area, x, sources, weights, bias, out }.with_simd(simd);
        }
    }
}

impl WithSimd for Planes<Products<'_, 1>> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Products { area, grad, x, sources, out } = self.0;
        let layers = grad.chunks_exact(area.run()).zip(out.chunks_exact_mut(sources.len()));
        for (x, (grad, out)) in area.planes(x).zip(layers) {
            Products::<1> { area, grad, x, sources, out }.with_simd(simd);
        }
    }
}
