//! Training on sentences ([`crate::course`]), with noise on each of them.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use mixel_core::text::{FrontEndError, TextFrontEnd};
use rand::{SeedableRng, rngs::StdRng};

use crate::augment::{Noise, Noisy, SpanPool};
use crate::batch::{Sentence, rows};
use crate::course::{Course, Passes, Schedule};
use crate::data::Example;
use crate::pnlp_mixer::{Architecture, Head, PnlpMixer};
use crate::weights::Weight;

/// What is chosen on the development set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the training set.
    pub epochs: usize,
    /// Sentences a step.
    pub batch: usize,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Share of the target spread over all classes.
    pub smoothing: f32,
    /// Noise on the sentences.
    pub noise: Noise,
}

/// Decay of the average of weights, a step.
const AVERAGE_DECAY: f32 = 0.999;

/// Sentences encoded for one network.
pub struct Encoded {
    front_end: TextFrontEnd,
    sentences: Vec<(Sentence, Vec<usize>)>,
}

impl Encoded {
    /// Encodes examples.
    ///
    /// # Errors
    /// The architecture's sizes are out of the front end's range.
    pub fn new(architecture: &Architecture, examples: &[Example]) -> Result<Self, FrontEndError> {
        let front_end = architecture.size.front_end()?;
        let sentences = examples
            .iter()
            .map(|example| {
                let sentence = Sentence::new(&front_end, &example.text);
                let mut target = example.target.clone();
                if architecture.head == Head::Tokens {
                    target.truncate(sentence.bins.len() / front_end.n());
                }
                (sentence, target)
            })
            .collect();
        Ok(Self { front_end, sentences })
    }

    /// The encoded sentences.
    pub fn sentences(&self) -> impl Iterator<Item = &Sentence> {
        self.sentences.iter().map(|(sentence, _)| sentence)
    }
}

/// Trains a network from a seed; the same seed gives the same weights.
///
/// `labels` are the names of the classes. `report` is called after every epoch with its number, the mean loss and the
/// averaged weights.
pub fn train(
    architecture: &Architecture,
    labels: &[String],
    data: &Encoded,
    recipe: &Recipe,
    seed: u64,
    report: impl FnMut(usize, f32, &[Weight]),
) -> Vec<Weight> {
    let mut rng = StdRng::seed_from_u64(seed);
    let device = Device::flex().autodiff();
    let start = architecture.start(&mut rng);
    let model = PnlpMixer::new(architecture, &start, &device);
    let pool = (architecture.head == Head::Tokens).then(|| {
        SpanPool::new(
            data.front_end.n(),
            labels,
            data.sentences.iter().map(|(sentence, target)| (sentence, target.as_slice())),
        )
    });
    let pool = pool.as_ref().map(|pool| (pool, labels));
    let shape = (data.front_end.n(), data.front_end.length());
    let passes = Passes { epochs: recipe.epochs, examples: data.sentences.len(), batch: recipe.batch };
    let schedule = Schedule {
        steps: passes.steps(),
        peak: recipe.learning_rate,
        weight_decay: recipe.weight_decay,
        average_decay: AVERAGE_DECAY,
    };
    let course = Course::new(model, architecture.parameters(), start, schedule);
    let loss = |model: &PnlpMixer, batch: &[usize], rng: &mut StdRng| {
        let noisy: Vec<Noisy> = batch
            .iter()
            .map(|&index| {
                let (sentence, target) = &data.sentences[index];
                recipe.noise.apply(sentence, target, pool, shape, rng)
            })
            .collect();
        let input = rows(&data.front_end, noisy.iter().map(|noisy| noisy.bins.as_slice()), &device);
        let scale = 1.0 / (1.0 - recipe.noise.hash_dropout as f32);
        let logits = model.forward(input, data.front_end.length(), scale);
        cross_entropy(architecture, logits, &noisy, recipe.smoothing, &device)
    };
    passes.run(course, &mut rng, loss, report)
}

/// Mean cross-entropy over the predictions that count: one a sentence, or one a word that is there.
fn cross_entropy(
    architecture: &Architecture,
    logits: Tensor<2>,
    noisy: &[Noisy],
    smoothing: f32,
    device: &Device,
) -> Tensor<1> {
    let [predictions, classes] = logits.dims();
    let length = usize::from(architecture.size.length);
    let mut target = vec![0.0; predictions * classes];
    let mut count = 0;
    for (index, noisy) in noisy.iter().enumerate() {
        let first = match architecture.head {
            Head::Sequence => index,
            Head::Tokens => index * length + noisy.shift,
        };
        for (offset, &class) in noisy.target.iter().enumerate() {
            let row = &mut target[(first + offset) * classes..][..classes];
            row.fill(smoothing / classes as f32);
            row[class] += 1.0 - smoothing;
            count += 1;
        }
    }
    let target = Tensor::<2>::from_data(TensorData::new(target, [predictions, classes]), device);
    (target * log_softmax(logits, 1)).sum().mul_scalar(-1.0 / count as f32)
}

/// Logits of encoded sentences, batch by batch: `[C]` a sentence, or `[L][C]` a sentence for a tokens head.
pub fn logits(architecture: &Architecture, weights: &[Weight], data: &Encoded) -> Vec<Vec<f32>> {
    let device = Device::flex();
    let model = PnlpMixer::new(architecture, weights, &device).no_grad();
    let mut out = Vec::with_capacity(data.sentences.len());
    for chunk in data.sentences.chunks(100) {
        let bins: Vec<Vec<Option<u16>>> =
            chunk.iter().map(|(sentence, _)| sentence.bins.iter().copied().map(Some).collect()).collect();
        let input = rows(&data.front_end, bins.iter().map(Vec::as_slice), &device);
        let logits = model.forward(input, data.front_end.length(), 1.0).into_data();
        let logits: Vec<f32> = logits.iter::<f32>().collect();
        let width = logits.len() / chunk.len();
        out.extend(logits.chunks_exact(width).map(<[f32]>::to_vec));
    }
    out
}

/// Index of the largest value, the first of equals.
pub fn argmax(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = index;
        }
    }
    best
}

/// Predicted classes of every sentence: one, or one a word; words beyond the length get none.
pub fn predict(architecture: &Architecture, weights: &[Weight], data: &Encoded) -> Vec<Vec<usize>> {
    let words = data.sentences.iter().map(|(sentence, _)| match architecture.head {
        Head::Sequence => 1,
        Head::Tokens => sentence.bins.len() / data.front_end.n(),
    });
    logits(architecture, weights, data)
        .iter()
        .zip(words)
        .map(|(logits, words)| logits.chunks_exact(architecture.classes).take(words).map(argmax).collect())
        .collect()
}
