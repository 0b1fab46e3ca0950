//! What a model has to beat: majority class, naive Bayes on words, a linear classifier on the same hashes, and for tags
//! every word's most frequent one.

use std::collections::{BTreeMap, HashMap};

use mixel_core::text::{TextFrontEnd, split_words};
use rand::seq::SliceRandom;
use rand::{SeedableRng, rngs::StdRng};

use crate::batch::Sentence;
use crate::data::Example;
use crate::train::argmax;

/// The class that occurs most often in `examples`, the first of equals.
pub fn majority(examples: &[Example], classes: usize) -> usize {
    let mut counts = vec![0; classes];
    for class in examples.iter().flat_map(|example| &example.target) {
        counts[*class] += 1;
    }
    most_frequent(&counts)
}

fn most_frequent(counts: &[usize]) -> usize {
    (0..counts.len()).rev().max_by_key(|&class| counts[class]).unwrap_or(0)
}

/// Lower-cased words of a text.
fn words(text: &str) -> impl Iterator<Item = String> {
    split_words(text.as_bytes()).map(|word| String::from_utf8_lossy(word).to_lowercase())
}

/// Multinomial naive Bayes on lower-cased words; unknown words are ignored.
pub struct NaiveBayes {
    /// Log of the share of each class.
    prior: Vec<f64>,
    /// Word -> log-probability under each class.
    likelihood: HashMap<String, Vec<f64>>,
}

impl NaiveBayes {
    /// Fits sentences with one class each; `pseudo_count` is added to every word's count in every class.
    pub fn fit(examples: &[Example], classes: usize, pseudo_count: f64) -> Self {
        let mut sentences = vec![0_usize; classes];
        let mut totals = vec![0_usize; classes];
        let mut counts: HashMap<String, Vec<usize>> = HashMap::new();
        for example in examples {
            for &class in &example.target {
                sentences[class] += 1;
                for word in words(&example.text) {
                    counts.entry(word).or_insert_with(|| vec![0; classes])[class] += 1;
                    totals[class] += 1;
                }
            }
        }
        let added = pseudo_count * counts.len() as f64;
        let likelihood = counts
            .into_iter()
            .map(|(word, counts)| {
                let logs = counts
                    .iter()
                    .zip(&totals)
                    .map(|(&count, &total)| ((count as f64 + pseudo_count) / (total as f64 + added)).ln())
                    .collect();
                (word, logs)
            })
            .collect();
        let prior =
            sentences.iter().map(|&count| (count as f64 / examples.len().max(1) as f64).ln()).collect();
        Self { prior, likelihood }
    }

    /// Words that it knows.
    pub fn vocabulary(&self) -> usize {
        self.likelihood.len()
    }

    /// The most probable class of a sentence.
    pub fn predict(&self, text: &str) -> usize {
        let mut scores = self.prior.clone();
        for logs in words(text).filter_map(|word| self.likelihood.get(&word)) {
            for (score, log) in scores.iter_mut().zip(logs) {
                *score += log;
            }
        }
        let mut best = 0;
        for class in 1..scores.len() {
            if scores[class] > scores[best] {
                best = class;
            }
        }
        best
    }
}

/// Every word's most frequent tag; a word never seen has the tag most frequent overall.
pub struct FrequentTag {
    tags: BTreeMap<String, usize>,
    otherwise: usize,
}

impl FrequentTag {
    /// Fits sentences with a tag a word.
    pub fn fit(examples: &[Example], classes: usize) -> Self {
        let mut counts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for example in examples {
            for (word, &tag) in words(&example.text).zip(&example.target) {
                counts.entry(word).or_insert_with(|| vec![0; classes])[tag] += 1;
            }
        }
        Self {
            tags: counts.into_iter().map(|(word, counts)| (word, most_frequent(&counts))).collect(),
            otherwise: majority(examples, classes),
        }
    }

    /// Words that it knows.
    pub fn vocabulary(&self) -> usize {
        self.tags.len()
    }

    /// A tag for every word of a sentence.
    pub fn predict(&self, text: &str) -> Vec<usize> {
        words(text).map(|word| self.tags.get(&word).copied().unwrap_or(self.otherwise)).collect()
    }
}

/// A linear classifier on a count of bins: softmax regression by Adam with a linearly falling rate.
pub struct Linear {
    /// `[bins + 1][classes]`, the bias last.
    weights: Vec<f32>,
    classes: usize,
}

/// A sentence's counting Bloom filters summed over its words: (bin, count), only those that are not zero.
pub type Counts = Vec<(u16, f32)>;

/// The summed filter of a sentence.
pub fn summed_filter(sentence: &Sentence) -> Counts {
    let mut counts = BTreeMap::new();
    for &bin in &sentence.bins {
        *counts.entry(bin).or_insert(0.0) += 1.0;
    }
    counts.into_iter().collect()
}

/// For every word, the features that the network's bottleneck sees: bin `slot * m + bin`.
pub fn window_counts(front_end: &TextFrontEnd, sentence: &Sentence) -> Vec<Counts> {
    let n = front_end.n();
    (0..sentence.bins.len() / n)
        .map(|position| {
            let mut counts = BTreeMap::new();
            for slot in 0..front_end.slots() {
                let word = (position + slot)
                    .checked_sub(front_end.window())
                    .and_then(|word| sentence.bins.get(word * n..(word + 1) * n));
                for &bin in word.into_iter().flatten() {
                    *counts.entry((slot * front_end.m()) as u16 + bin).or_insert(0.0) += 1.0;
                }
            }
            counts.into_iter().collect()
        })
        .collect()
}

/// Training of [`Linear`], chosen on the development set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearRecipe {
    /// Passes over the training set.
    pub epochs: usize,
    /// First learning rate of Adam.
    pub learning_rate: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
}

impl Linear {
    /// Fits counts with one class each.
    pub fn fit(
        examples: &[(Counts, usize)],
        bins: usize,
        classes: usize,
        recipe: &LinearRecipe,
        seed: u64,
    ) -> Self {
        const BATCH: usize = 64;
        const BETA: (f32, f32) = (0.9, 0.999);
        let mut model = Self { weights: vec![0.0; (bins + 1) * classes], classes };
        let (mut first, mut second) = (model.weights.clone(), model.weights.clone());
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut rng = StdRng::seed_from_u64(seed);
        let steps = examples.len().div_ceil(BATCH) * recipe.epochs;
        let mut step = 0;
        for _ in 0..recipe.epochs {
            order.shuffle(&mut rng);
            for chunk in order.chunks(BATCH) {
                let mut gradient = vec![0.0_f32; model.weights.len()];
                for &index in chunk {
                    let (counts, class) = &examples[index];
                    let mut error = model.probabilities(counts);
                    error[*class] -= 1.0;
                    for &(bin, count) in counts.iter().chain(&[(bins as u16, 1.0)]) {
                        let row = &mut gradient[usize::from(bin) * classes..][..classes];
                        for (gradient, error) in row.iter_mut().zip(&error) {
                            *gradient += count * error / chunk.len() as f32;
                        }
                    }
                }
                let rate = recipe.learning_rate * (1.0 - step as f32 / steps as f32);
                step += 1;
                let correction = (1.0 - BETA.0.powi(step), 1.0 - BETA.1.powi(step));
                let moments = first.iter_mut().zip(&mut second);
                for ((weight, gradient), (first, second)) in
                    model.weights.iter_mut().zip(&gradient).zip(moments)
                {
                    *first = BETA.0 * *first + (1.0 - BETA.0) * gradient;
                    *second = BETA.1 * *second + (1.0 - BETA.1) * gradient * gradient;
                    let direction = *first / correction.0 / ((*second / correction.1).sqrt() + 1e-8);
                    *weight -= rate * (direction + recipe.weight_decay * *weight);
                }
            }
        }
        model
    }

    fn scores(&self, counts: &Counts) -> Vec<f32> {
        let bias = self.weights.len() - self.classes;
        let mut scores = self.weights[bias..].to_vec();
        for &(bin, count) in counts {
            let row = &self.weights[usize::from(bin) * self.classes..][..self.classes];
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += count * weight;
            }
        }
        scores
    }

    fn probabilities(&self, counts: &Counts) -> Vec<f32> {
        let mut scores = self.scores(counts);
        let peak = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for score in &mut scores {
            *score = (*score - peak).exp();
            sum += *score;
        }
        for score in &mut scores {
            *score /= sum;
        }
        scores
    }

    /// The class with the highest score.
    pub fn predict(&self, counts: &Counts) -> usize {
        argmax(&self.scores(counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(text: &str, target: &[usize]) -> Example {
        Example { text: text.into(), target: target.into() }
    }

    #[test]
    fn naive_bayes_with_one_added_to_every_count() {
        let examples =
            [example("play jazz", &[0]), example("play Blues now", &[0]), example("rain today", &[1])];
        let model = NaiveBayes::fit(&examples, 2, 1.0);
        assert_eq!(model.vocabulary(), 6);
        // Five words of class 0, two of class 1, six in the vocabulary.
        assert!((model.likelihood["play"][0] - (3.0_f64 / 11.0).ln()).abs() < 1e-12);
        assert!((model.likelihood["play"][1] - (1.0_f64 / 8.0).ln()).abs() < 1e-12);
        assert_eq!(model.predict("PLAY something"), 0);
        assert_eq!(model.predict("rain rain"), 1);
        assert_eq!(model.predict("unknown"), 0);
    }

    #[test]
    fn frequent_tag_falls_back_to_the_commonest() {
        let examples = [example("a b", &[1, 2]), example("a c", &[1, 0]), example("d e f", &[0, 0, 0])];
        let model = FrequentTag::fit(&examples, 3);
        assert_eq!(model.predict("b A x"), [2, 1, 0]);
        assert_eq!(majority(&examples, 3), 0);
    }

    #[test]
    fn linear_separates_bins() {
        let examples: Vec<(Counts, usize)> =
            (0..90_u16).map(|i| (vec![(i % 3, 2.0), (3 + i % 7, 1.0)], usize::from(i % 3))).collect();
        let recipe = LinearRecipe { epochs: 30, learning_rate: 0.1, weight_decay: 0.0 };
        let model = Linear::fit(&examples, 10, 3, &recipe, 1);
        assert_eq!(model.weights.len(), 33);
        assert!(examples.iter().all(|(counts, class)| model.predict(counts) == *class));
    }
}
