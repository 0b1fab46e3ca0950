//! The models of the zoo: which data, which network, which recipe.

use std::path::Path;

use crate::augment::Noise;
use crate::data::Example;
use crate::data::{Corpus, DataError, clinc, snips, tsv};
use crate::metrics::{SpanCounts, accuracy};
use crate::pnlp_mixer::{Architecture, Head, Size};
use crate::train::Recipe;

/// A model of the zoo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// The intent of a SNIPS sentence.
    PnlpIntent,
    /// The slot of every word of a SNIPS sentence.
    PnlpSlots,
    /// The in-scope intent of a CLINC150 sentence.
    PnlpClinc,
}

impl Model {
    /// Name of its files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PnlpIntent => "pnlp-intent",
            Self::PnlpSlots => "pnlp-slots",
            Self::PnlpClinc => "pnlp-clinc",
        }
    }

    /// What it predicts.
    pub const fn head(self) -> Head {
        match self {
            Self::PnlpIntent | Self::PnlpClinc => Head::Sequence,
            Self::PnlpSlots => Head::Tokens,
        }
    }

    /// Reads its data.
    ///
    /// # Errors
    /// The data are missing or malformed.
    pub fn corpus(self, folder: &Path) -> Result<Corpus, DataError> {
        match self {
            Self::PnlpIntent => snips::load(folder, tsv::Target::Intent),
            Self::PnlpSlots => snips::load(folder, tsv::Target::Tags),
            Self::PnlpClinc => clinc::load(folder),
        }
    }

    /// Its network for a number of classes.
    pub const fn architecture(self, classes: usize) -> Architecture {
        Architecture { size: Size::NANO, head: self.head(), classes }
    }

    /// Its recipe, chosen on the development set.
    pub const fn recipe(self) -> Recipe {
        match self {
            Self::PnlpIntent => Recipe {
                epochs: 20,
                batch: 64,
                learning_rate: 2e-3,
                weight_decay: 0.01,
                smoothing: 0.1,
                noise: Noise { hash_dropout: 0.1, word_dropout: 0.1, span_swap: 0.0, shift: 0.0 },
            },
            Self::PnlpSlots => Recipe {
                epochs: 30,
                batch: 64,
                learning_rate: 3e-3,
                weight_decay: 0.01,
                smoothing: 0.05,
                noise: Noise { hash_dropout: 0.1, word_dropout: 0.02, span_swap: 0.5, shift: 0.3 },
            },
            Self::PnlpClinc => Recipe {
                epochs: 60,
                batch: 64,
                learning_rate: 3e-3,
                weight_decay: 0.01,
                smoothing: 0.1,
                noise: Noise { hash_dropout: 0.2, word_dropout: 0.1, span_swap: 0.0, shift: 0.2 },
            },
        }
    }

    /// The model's metric in percent: accuracy over sentences, or span F1.
    pub fn score(self, labels: &[String], examples: &[Example], predicted: &[Vec<usize>]) -> f64 {
        match self.head() {
            Head::Sequence => {
                let first = |target: &Vec<usize>| target.first().copied().unwrap_or(usize::MAX);
                let predicted: Vec<usize> = predicted.iter().map(first).collect();
                let expected: Vec<usize> = examples.iter().map(|e| first(&e.target)).collect();
                accuracy(&predicted, &expected)
            }
            Head::Tokens => {
                let mut counts = SpanCounts::default();
                for (example, predicted) in examples.iter().zip(predicted) {
                    let names = |tags: &[usize]| -> Vec<&str> {
                        tags.iter().map(|&tag| labels[tag].as_str()).collect()
                    };
                    counts.add(&names(predicted), &names(&example.target));
                }
                counts.f1()
            }
        }
    }
}
