//! The models of the zoo: which data, which network, which recipe.

use std::path::Path;

use crate::augment::Noise;
use crate::data::{Corpus, DataError, Example, clinc, snips, tsv};
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
                noise: Noise { hash_dropout: 0.05, word_dropout: 0.0, span_swap: 0.3, shift: 0.0 },
            },
            Self::PnlpClinc => Recipe {
                epochs: 60,
                batch: 64,
                learning_rate: 1e-2,
                weight_decay: 0.1,
                smoothing: 0.05,
                noise: Noise { hash_dropout: 0.2, word_dropout: 0.1, span_swap: 0.0, shift: 0.6 },
            },
        }
    }

    /// The model's metrics in percent, named by [`Model::metrics`].
    pub fn score(self, labels: &[String], examples: &[Example], predicted: &[Vec<usize>]) -> Vec<f64> {
        // A word beyond the network's length has no prediction, which is never right.
        let missing = labels.len();
        let (mut flat, mut expected) = (Vec::new(), Vec::new());
        let mut spans = SpanCounts::default();
        for (example, predicted) in examples.iter().zip(predicted) {
            let mut predicted = predicted.clone();
            predicted.resize(example.target.len(), missing);
            let names = |tags: &[usize]| -> Vec<&str> {
                tags.iter().map(|&tag| labels.get(tag).map_or("O", String::as_str)).collect()
            };
            spans.add(&names(&predicted), &names(&example.target));
            flat.extend(predicted);
            expected.extend(&example.target);
        }
        let accuracy = accuracy(&flat, &expected);
        match self.head() {
            Head::Sequence => vec![accuracy],
            Head::Tokens => vec![spans.f1(), accuracy],
        }
    }

    /// Names of the metrics, the one that decides first.
    pub const fn metrics(self) -> &'static [&'static str] {
        match self.head() {
            Head::Sequence => &["accuracy"],
            Head::Tokens => &["span F1", "word accuracy"],
        }
    }
}
