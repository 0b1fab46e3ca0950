//! The training loop over windows: the memory's gradient runs back through all of a recording.

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::Recording;
use super::front_end::{Frame, FrontEnd};
use super::noise::Noise;
use crate::train::{argmax, learning_rate};
use crate::weights::{self, Parameter, Weight, blend};

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

/// Decay of the average of weights, a step; it starts faster so that the start values are forgotten.
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
    mut report: impl FnMut(usize, f32, &[Weight]),
) -> Vec<Weight> {
    let mut rng = StdRng::seed_from_u64(seed);
    let device = Device::flex().autodiff();
    let mut average = weights::start(design.parameters(), &mut rng);
    let mut model = design.network(&average, &device);
    let mut optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(recipe.weight_decay).init();
    let mut order: Vec<usize> = (0..recordings.len()).collect();
    let steps_an_epoch = order.len().div_ceil(recipe.batch);
    let steps = steps_an_epoch * recipe.epochs;
    let mut step = 0;
    for epoch in 0..recipe.epochs {
        order.shuffle(&mut rng);
        let mut total = 0.0;
        for chunk in order.chunks(recipe.batch) {
            let frames: Vec<Vec<Frame>> = chunk
                .iter()
                .map(|&index| {
                    let geometry = front_end.histogram.geometry;
                    let events = recipe.noise.apply(&recordings[index].events, geometry, &mut rng);
                    front_end.frames(&events, rng.random_range(0..front_end.window_us))
                })
                .collect();
            let labels = chunk.iter().map(|&index| recordings[index].label);
            let loss = loss(&D::answers(&model, &frames, &device), &frames, labels, recipe, &device);
            total += loss.clone().into_scalar::<f32>();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(learning_rate(recipe.learning_rate, step, steps), model, gradients);
            step += 1;
            let decay = AVERAGE_DECAY.min(step as f32 / (step as f32 + 10.0));
            blend(&mut average, &weights::collect(&model, design.parameters()), decay);
        }
        report(epoch, total / steps_an_epoch as f32, &average);
    }
    average
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
