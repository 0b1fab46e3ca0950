//! Training on patches of image pairs ([`crate::course`]): absolute error.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::planes::Planes;
use crate::course::{Course, Schedule};
use crate::scet::network::Precision;
use crate::scet::{Architecture, Scet};
use crate::weights::Weight;

/// What is chosen on the images held out for choices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Steps in float.
    pub steps: usize,
    /// Steps behind them with weights and activations rounded to 8 bits, at a quarter of the learning rate.
    pub rounded_steps: usize,
    /// Patches a step.
    pub batch: usize,
    /// Side of a patch of the small image.
    pub patch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Weight of the error of the luma beside that of the three colours. The field measures luma alone.
    pub luma: f32,
}

/// Decay of the average of weights, a step.
const AVERAGE_DECAY: f32 = 0.999;
/// Luma of red, green and blue (ITU-R BT.601, studio range) in [0, 1].
pub const LUMA: [f32; 3] = [65.481 / 255.0, 128.553 / 255.0, 24.966 / 255.0];

/// Trains a network from a seed on pairs of a small and a large image; the same seed gives the same weights.
///
/// `report` is called every `every` steps with the number of steps, their mean loss and the averaged weights.
///
/// # Panics
/// If there are no pairs, or a small image is smaller than a patch.
pub fn train(
    architecture: &Architecture,
    pairs: &[[Planes; 2]],
    recipe: &Recipe,
    seed: u64,
    every: usize,
    mut report: impl FnMut(usize, f32, &[Weight]),
) -> Vec<Weight> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut average = architecture.start(&mut rng);
    let stages = [
        Stage { first: 0, steps: recipe.steps, peak: recipe.learning_rate, precision: Precision::Float },
        Stage {
            first: recipe.steps,
            steps: recipe.rounded_steps,
            peak: recipe.learning_rate / 4.0,
            precision: Precision::Rounded,
        },
    ];
    let training = Training { architecture, pairs, recipe, every };
    for stage in stages {
        average = training.run(&stage, average, &mut rng, &mut report);
        // A stage takes the same patches whatever came before it.
        rng = StdRng::seed_from_u64(seed);
    }
    average
}

/// Steps with a schedule and averaged weights of their own.
struct Stage {
    /// Steps before it.
    first: usize,
    steps: usize,
    /// Peak learning rate.
    peak: f64,
    precision: Precision,
}

/// What is the same in all stages.
struct Training<'a> {
    architecture: &'a Architecture,
    pairs: &'a [[Planes; 2]],
    recipe: &'a Recipe,
    every: usize,
}

impl Training<'_> {
    /// The averaged weights after `stage`, which begins with `start`.
    fn run(
        &self,
        stage: &Stage,
        start: Vec<Weight>,
        rng: &mut impl Rng,
        report: &mut impl FnMut(usize, f32, &[Weight]),
    ) -> Vec<Weight> {
        let Self { architecture, pairs, recipe, every } = *self;
        let device = Device::flex().autodiff();
        let model = Scet::new(architecture, &start, &device);
        let schedule = Schedule {
            steps: stage.steps,
            peak: stage.peak,
            weight_decay: 0.0,
            average_decay: AVERAGE_DECAY,
        };
        let mut course = Course::new(model, architecture.parameters(), start, schedule);
        let luma = Tensor::<4>::from_data(TensorData::new(LUMA.to_vec(), [1, 3, 1, 1]), &device);
        let mut total = 0.0;
        for step in 0..stage.steps {
            let (small, large): (Vec<Planes>, Vec<Planes>) = (0..recipe.batch)
                .map(|_| patch(&pairs[rng.random_range(0..pairs.len())], recipe.patch, rng))
                .unzip();
            let found = course.model().forward(Planes::batch(&small, &device), stage.precision);
            let error = found - Planes::batch(&large, &device);
            let of_luma = (error.clone() * luma.clone()).sum_dim(1).abs().mean();
            let loss = error.abs().mean() + of_luma.mul_scalar(recipe.luma);
            let value;
            (course, value) = course.step(loss);
            total += value;
            let done = step + 1;
            if done.is_multiple_of(every) {
                report(stage.first + done, total / every as f32, course.average());
                total = 0.0;
            }
        }
        course.into_average()
    }
}

/// A square of both images at the same place, laid in one of the eight ways.
fn patch([small, large]: &[Planes; 2], side: usize, rng: &mut impl Rng) -> (Planes, Planes) {
    let scale = large.width / small.width;
    let left = rng.random_range(0..=small.width - side);
    let top = rng.random_range(0..=small.height - side);
    let way = rng.random_range(0..8);
    let cut = |image: &Planes, scale: usize| {
        image.window(left * scale, top * scale, side * scale, side * scale).turned(way)
    };
    (cut(small, 1), cut(large, scale))
}

/// A network ready to enlarge images.
pub struct Enlarger {
    network: Scet,
    device: Device,
}

impl Enlarger {
    /// With the given weights.
    ///
    /// # Panics
    /// If the weights are not those of `architecture`.
    pub fn new(architecture: &Architecture, weights: &[Weight]) -> Self {
        let device = Device::flex();
        Self { network: Scet::new(architecture, weights, &device).no_grad(), device }
    }

    /// The large image, clipped to [0, 1].
    pub fn enlarge(&self, image: &Planes) -> Planes {
        let large =
            self.network.forward(Planes::batch(std::slice::from_ref(image), &self.device), Precision::Float);
        let [_, _, height, width] = large.dims();
        let values = large.clamp(0.0, 1.0).into_data().iter::<f32>().collect();
        Planes { width, height, values }
    }
}
