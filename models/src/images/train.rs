//! Training on images ([`crate::course`]), moved and mirrored, with smoothed labels.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{SeedableRng, rngs::StdRng};

use super::augment::View;
use super::{Image, Normalisation};
use crate::course::{Course, Passes, Schedule};
use crate::spach::{Architecture, Spach};
use crate::train::argmax;
use crate::weights::Weight;

/// What is chosen on the images held out for choices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the training set.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Share of the target spread over all classes.
    pub smoothing: f32,
    /// Whether images are moved and mirrored.
    pub moved: bool,
}

/// Decay of the average of weights, a step.
const AVERAGE_DECAY: f32 = 0.998;

/// Trains a network from a seed; the same seed gives the same weights.
///
/// `report` is called after every epoch with its number, the mean loss and the averaged weights.
pub fn train(
    architecture: &Architecture,
    images: &[Image],
    recipe: &Recipe,
    seed: u64,
    report: impl FnMut(usize, f32, &[Weight]),
) -> Vec<Weight> {
    let mut rng = StdRng::seed_from_u64(seed);
    let device = Device::flex().autodiff();
    let start = architecture.start(&mut rng);
    let model = Spach::new(architecture, &start, &device);
    let passes = Passes { epochs: recipe.epochs, examples: images.len(), batch: recipe.batch };
    let schedule = Schedule {
        steps: passes.steps(),
        peak: recipe.learning_rate,
        weight_decay: recipe.weight_decay,
        average_decay: AVERAGE_DECAY,
    };
    let course = Course::new(model, architecture.parameters(), start, schedule);
    let loss = |model: &Spach, batch: &[usize], rng: &mut StdRng| {
        let views = batch.iter().map(|&index| {
            let view = if recipe.moved { View::random(rng) } else { View::default() };
            (view, &images[index])
        });
        let logits = model.forward(architecture, patches(architecture, views, &device));
        let labels = batch.iter().map(|&index| images[index].label);
        cross_entropy(logits, labels, recipe.smoothing, &device)
    };
    passes.run(course, &mut rng, loss, report)
}

/// The patches of images, each in a view.
fn patches<'a>(
    architecture: &Architecture,
    images: impl Iterator<Item = (View, &'a Image)>,
    device: &Device,
) -> Tensor<2> {
    let mut values = Vec::new();
    for (view, image) in images {
        view.patches(image, architecture.patch, &Normalisation::CIFAR10, &mut values);
    }
    let shape = [values.len() / architecture.patch_values(), architecture.patch_values()];
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Mean cross-entropy against labels of which `smoothing` is spread over all classes.
fn cross_entropy(
    logits: Tensor<2>,
    labels: impl Iterator<Item = usize>,
    smoothing: f32,
    device: &Device,
) -> Tensor<1> {
    let [images, classes] = logits.dims();
    let mut target = vec![smoothing / classes as f32; images * classes];
    for (row, label) in target.chunks_exact_mut(classes).zip(labels) {
        row[label] += 1.0 - smoothing;
    }
    let target = Tensor::<2>::from_data(TensorData::new(target, [images, classes]), device);
    (target * log_softmax(logits, 1)).sum().mul_scalar(-1.0 / images as f32)
}

/// Logits of images, unmoved.
pub fn logits(architecture: &Architecture, weights: &[Weight], images: &[Image]) -> Vec<Vec<f32>> {
    let device = Device::flex();
    let network = Spach::new(architecture, weights, &device).no_grad();
    let mut all = Vec::with_capacity(images.len());
    for chunk in images.chunks(100) {
        let views = chunk.iter().map(|image| (View::default(), image));
        let logits = network.forward(architecture, patches(architecture, views, &device));
        let [_, classes] = logits.dims();
        let logits: Vec<f32> = logits.into_data().iter::<f32>().collect();
        all.extend(logits.chunks_exact(classes).map(<[f32]>::to_vec));
    }
    all
}

/// The class of every image.
pub fn predict(architecture: &Architecture, weights: &[Weight], images: &[Image]) -> Vec<usize> {
    logits(architecture, weights, images).iter().map(|logits| argmax(logits)).collect()
}
