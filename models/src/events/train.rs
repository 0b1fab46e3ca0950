//! Training on recordings ([`crate::course`]), window by window: the memory's gradient runs back through all of a recording.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::Recording;
use super::front_end::{Frame, FrontEnd};
use super::noise::Noise;
use crate::course::{Course, Passes, Schedule};
use crate::train::argmax;
use crate::weights::{self, Parameter, Weight};

/// What is chosen on the recordings held out for choices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the training set.
    pub epochs: usize,
    /// Recordings a step.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Share of the target spread over all classes.
    pub smoothing: f32,
    /// Weight of all answers before the last one, which has 1; the later ones count more.
    pub early: f32,
    /// Noise on the recordings.
    pub noise: Noise,
}

/// Decay of the average of weights, a step.
const AVERAGE_DECAY: f32 = 0.995;

/// A network that answers after every window of a recording, without its weights.
pub trait Design {
    /// The network with its weights.
    type Network: Module;

    /// Name, shape and start of every parameter, in the order of the network's fields.
    fn parameters(&self) -> Vec<Parameter>;

    /// The network with the given weights, on `device`.
    fn network(&self, weights: &[Weight], device: &Device) -> Self::Network;

    /// Logits `[recordings, C]` after the first, the second ... window of each recording, up to the longest. What comes
    /// after a recording's end has no meaning.
    fn answers(network: &Self::Network, recordings: &[Vec<Frame>], device: &Device) -> Vec<Tensor<2>>;
}

/// How much the answer after window `index` of `windows` counts.
fn answer_weight(index: usize, windows: usize, early: f32) -> f32 {
    let before = windows.saturating_sub(1);
    match index.cmp(&before) {
        // The weights of all of them sum to `early`.
        std::cmp::Ordering::Less => early * 2.0 * (index + 1) as f32 / (before * windows) as f32,
        std::cmp::Ordering::Equal => 1.0,
        std::cmp::Ordering::Greater => 0.0,
    }
}

/// Trains a network from a seed; the same seed gives the same weights.
///
/// `report` is called after every epoch with its number, the mean loss and the averaged weights.
pub fn train<D: Design>(
    design: &D,
    front_end: &FrontEnd,
    recordings: &[Recording],
    recipe: &Recipe,
    seed: u64,
    report: impl FnMut(usize, f32, &[Weight]),
) -> Vec<Weight> {
    let mut rng = StdRng::seed_from_u64(seed);
    let device = Device::flex().autodiff();
    let start = weights::start(design.parameters(), &mut rng);
    let model = design.network(&start, &device);
    let passes = Passes { epochs: recipe.epochs, examples: recordings.len(), batch: recipe.batch };
    let schedule = Schedule {
        steps: passes.steps(),
        peak: recipe.learning_rate,
        weight_decay: recipe.weight_decay,
        average_decay: AVERAGE_DECAY,
    };
    let course = Course::new(model, design.parameters(), start, schedule);
    let loss = |model: &D::Network, batch: &[usize], rng: &mut StdRng| {
        let frames: Vec<Vec<Frame>> = batch
            .iter()
            .map(|&index| {
                let geometry = front_end.histogram.geometry;
                let events = recipe.noise.apply(&recordings[index].events, geometry, rng);
                front_end.frames(&events, rng.random_range(0..front_end.window_us))
            })
            .collect();
        let labels = batch.iter().map(|&index| recordings[index].label);
        loss(&D::answers(model, &frames, &device), &frames, labels, recipe, &device)
    };
    passes.run(course, &mut rng, loss, report)
}

/// Mean cross-entropy of the answers after every window, weighted by [`answer_weight`].
fn loss(
    answers: &[Tensor<2>],
    recordings: &[Vec<Frame>],
    labels: impl Iterator<Item = usize> + Clone,
    recipe: &Recipe,
    device: &Device,
) -> Tensor<1> {
    let mut total = Tensor::<1>::zeros([1], device);
    let mut weight = 0.0;
    for (index, logits) in answers.iter().enumerate() {
        let [rows, classes] = logits.dims();
        let mut target = vec![0.0; rows * classes];
        for ((row, label), frames) in target.chunks_exact_mut(classes).zip(labels.clone()).zip(recordings) {
            let share = answer_weight(index, frames.len(), recipe.early);
            row.fill(share * recipe.smoothing / classes as f32);
            row[label] += share * (1.0 - recipe.smoothing);
            weight += share;
        }
        let target = Tensor::<2>::from_data(TensorData::new(target, [rows, classes]), device);
        total = total + (target * log_softmax(logits.clone(), 1)).sum();
    }
    total.mul_scalar(-1.0 / weight.max(1.0))
}

/// Logits after every window of every recording.
pub fn logits<D: Design>(design: &D, weights: &[Weight], recordings: &[Vec<Frame>]) -> Vec<Vec<Vec<f32>>> {
    let device = Device::flex();
    let network = design.network(weights, &device);
    let mut all = Vec::with_capacity(recordings.len());
    for chunk in recordings.chunks(50) {
        let mut answers = vec![Vec::new(); chunk.len()];
        for (index, logits) in D::answers(&network, chunk, &device).into_iter().enumerate() {
            let [_, classes] = logits.dims();
            let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
            for ((answers, frames), row) in answers.iter_mut().zip(chunk).zip(logits.chunks_exact(classes)) {
                if index < frames.len() {
                    answers.push(row.to_vec());
                }
            }
        }
        all.extend(answers);
    }
    all
}

/// The class of every recording: that of the answer after its last window.
pub fn predict<D: Design>(design: &D, weights: &[Weight], recordings: &[Vec<Frame>]) -> Vec<usize> {
    logits(design, weights, recordings)
        .iter()
        .map(|answers| answers.last().map_or(0, |logits| argmax(logits)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_before_the_last_share_their_weight() {
        for windows in 1..9 {
            let weights: Vec<f32> = (0..10).map(|index| answer_weight(index, windows, 0.3)).collect();
            assert_eq!(weights[windows - 1], 1.0);
            assert!(weights[windows..].iter().all(|&weight| weight == 0.0));
            let early: f32 = weights[..windows - 1].iter().sum();
            assert!(windows == 1 || (early - 0.3).abs() < 1e-6, "{windows}: {early}");
            assert!(weights[..windows].is_sorted());
        }
    }
}
