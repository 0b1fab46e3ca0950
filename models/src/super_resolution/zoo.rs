//! The models of the zoo that take images: which network, which recipe.

use super::train::Recipe;
use crate::scet::{Architecture, Parts, Size};

/// A model of the zoo. Only the small ones are trained here; the paper's sizes take weights from PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// Twice as many pixels a side, 16 channels.
    ScetX2,
    /// Four times as many, 16 channels.
    ScetX4,
    /// The paper's network, twice as many.
    ScetFullX2,
    /// The paper's network, three times as many.
    ScetFullX3,
    /// The paper's network, four times as many.
    ScetFullX4,
}

impl Model {
    /// Those that are trained here.
    pub const TRAINED: [Self; 2] = [Self::ScetX2, Self::ScetX4];

    /// Name of its files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScetX2 => "scet-x2",
            Self::ScetX4 => "scet-x4",
            Self::ScetFullX2 => "scet-full-x2",
            Self::ScetFullX3 => "scet-full-x3",
            Self::ScetFullX4 => "scet-full-x4",
        }
    }

    /// Its network.
    pub const fn architecture(self) -> Architecture {
        Architecture::new(match self {
            Self::ScetX2 => Size::tiny(2),
            Self::ScetX4 => Size::tiny(4),
            Self::ScetFullX2 => Size::full(2),
            Self::ScetFullX3 => Size::full(3),
            Self::ScetFullX4 => Size::full(4),
        })
    }

    /// Its recipe. Steps are what an hour of a shared core allowed, not where learning ends.
    pub const fn recipe(self) -> Recipe {
        // As many pixels at high resolution whatever the scale, within a factor of two.
        let patch = if self.architecture().size.scale == 2 { 48 } else { 32 };
        Recipe { steps: 4_000, rounded_steps: 600, batch: 8, patch, learning_rate: 2e-3, luma: 1.0 }
    }
}

/// A network with a part left out, trained for fewer steps beside one with all parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ablation {
    /// Name in its file's.
    pub name: &'static str,
    /// What is there.
    pub parts: Parts,
}

/// All of them, the network with all parts first.
pub const ABLATIONS: [Ablation; 4] = [
    Ablation { name: "all", parts: Parts::ALL },
    Ablation { name: "no-map", parts: Parts { map: false, ..Parts::ALL } },
    Ablation { name: "no-attention", parts: Parts { attention: false, ..Parts::ALL } },
    Ablation { name: "no-feed-forward", parts: Parts { feed_forward: false, ..Parts::ALL } },
];

/// Steps of each ablation.
pub const ABLATION_STEPS: usize = 400;
