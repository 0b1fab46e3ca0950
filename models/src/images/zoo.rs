//! The models of the zoo that take pictures: which network, and the one recipe of all.

use super::train::Recipe;
use crate::spach::{Architecture, Mixer};

/// A model of the zoo, or a control beside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Model {
    /// SPACH-T32, convolution alone.
    SpachConv,
    /// SPACH-T32, attention.
    SpachAttn,
    /// SPACH-T32, token MLP.
    SpachMlp,
    /// SPACH-T32, four blocks of convolution and two of attention.
    SpachHybrid,
    /// SPACH-T48, convolution alone: about as many parameters as T32 with attention.
    SpachConv48,
    /// Control: [`Model::SpachAttn`] without the depthwise convolutions.
    AttnAlone,
    /// Control: [`Model::SpachMlp`] without the depthwise convolutions.
    MlpAlone,
    /// Control: no spatial operator at all, patches that meet in the mean only.
    NoSpace,
}

impl Model {
    /// Those of the zoo.
    pub const ZOO: [Self; 4] = [Self::SpachConv, Self::SpachAttn, Self::SpachMlp, Self::SpachHybrid];

    /// Those and what is compared with them.
    pub const ALL: [Self; 5] =
        [Self::SpachConv, Self::SpachAttn, Self::SpachMlp, Self::SpachHybrid, Self::SpachConv48];

    /// Whether it is trained for its score only.
    pub const fn is_control(self) -> bool {
        matches!(self, Self::AttnAlone | Self::MlpAlone | Self::NoSpace)
    }

    /// Name of its files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpachConv => "spach-conv",
            Self::SpachAttn => "spach-attn",
            Self::SpachMlp => "spach-mlp",
            Self::SpachHybrid => "spach-hybrid",
            Self::SpachConv48 => "spach-conv48",
            Self::AttnAlone => "attn-alone",
            Self::MlpAlone => "mlp-alone",
            Self::NoSpace => "no-space",
        }
    }

    /// Its network.
    pub fn architecture(self) -> Architecture {
        use Mixer::{Attention, Mlp, Pass};
        let (width, blocks) = match self {
            Self::SpachConv | Self::NoSpace => (32, [Pass; 6]),
            Self::SpachConv48 => (48, [Pass; 6]),
            Self::SpachAttn | Self::AttnAlone => (32, [Attention; 6]),
            Self::SpachMlp | Self::MlpAlone => (32, [Mlp; 6]),
            Self::SpachHybrid => (32, [Pass, Pass, Pass, Pass, Attention, Attention]),
        };
        let depthwise = !matches!(self, Self::AttnAlone | Self::MlpAlone | Self::NoSpace);
        Architecture { depthwise, ..Architecture::tiny(width, blocks.to_vec()) }
    }
}

/// The recipe of all models, chosen on the development set.
pub const RECIPE: Recipe =
    Recipe { epochs: 20, batch: 64, learning_rate: 8e-3, weight_decay: 0.05, smoothing: 0.05, moved: true };
