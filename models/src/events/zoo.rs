//! The models of the zoo that take events: which data, which network, which recipe.

use std::path::Path;

use super::Recording;
use super::front_end::FrontEnd;
use super::noise::Noise;
use super::train::Recipe;
use super::{gestures, nmnist};
use crate::data::DataError;
use crate::event_transformer::{Architecture, Size};

/// A model of the zoo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// The digit of an N-MNIST recording.
    EvtNmnist,
    /// The gesture of a simulated person, see [`gestures`].
    EvtGesture,
}

/// Recordings with a split.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// For fitting.
    pub train: Vec<Recording>,
    /// For choices.
    pub dev: Vec<Recording>,
    /// For the report only.
    pub test: Vec<Recording>,
    /// For the report only, of another origin than the rest.
    pub foreign: Vec<Recording>,
    /// Where they came from.
    pub sources: Vec<String>,
}

impl Model {
    /// Name of its files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EvtNmnist => "evt-nmnist",
            Self::EvtGesture => "evt-gesture",
        }
    }

    /// Reads its recordings.
    ///
    /// # Errors
    /// The data are missing or malformed.
    pub fn corpus(self, folder: &Path) -> Result<Corpus, DataError> {
        match self {
            Self::EvtNmnist => nmnist::load(folder),
            Self::EvtGesture => gestures::corpus(folder),
        }
    }

    /// Its front end.
    pub const fn front_end(self) -> FrontEnd {
        match self {
            Self::EvtNmnist => FrontEnd::NMNIST,
            Self::EvtGesture => FrontEnd::DVS128,
        }
    }

    /// Its network.
    pub const fn architecture(self) -> Architecture {
        let histogram = self.front_end().histogram;
        let classes = match self {
            Self::EvtNmnist => nmnist::CLASSES,
            Self::EvtGesture => gestures::LABELS.len(),
        };
        let grid = (histogram.grid.columns as usize, histogram.grid.rows as usize);
        Architecture { size: Size::TINY, token: histogram.token_dim(), grid, classes }
    }

    /// Its recipe, chosen on the development set.
    pub const fn recipe(self) -> Recipe {
        match self {
            Self::EvtNmnist => Recipe {
                epochs: 80,
                batch: 32,
                learning_rate: 4e-3,
                weight_decay: 0.05,
                smoothing: 0.05,
                early: 0.3,
                noise: Noise {
                    shift: 2.5,
                    turn: 0.2,
                    scale: 0.15,
                    slant: 0.2,
                    stretch: 0.1,
                    dropout: 0.2,
                    late: 0.2,
                },
            },
            Self::EvtGesture => Recipe {
                epochs: 16,
                batch: 32,
                learning_rate: 4e-3,
                weight_decay: 0.05,
                smoothing: 0.05,
                early: 0.3,
                noise: Noise {
                    shift: 6.0,
                    turn: 0.1,
                    scale: 0.15,
                    slant: 0.1,
                    stretch: 0.2,
                    dropout: 0.3,
                    late: 0.2,
                },
            },
        }
    }
}
