//! Quantization: integers for every value of a graph.
//!
//! A model that states its quantization (QDQ) keeps it to the last integer. A float model gets int8 activations with one
//! scale and zero point a tensor, from ranges that calibration saw, and int8 weights with one scale an output channel.
//! Around that: cross-layer equalization before, bias correction after, and 16-bit activations where they are asked for
//! or where the noise of eight bits is predicted to be too loud.

mod calibrate;
mod equalize;
mod range;
mod scheme;
mod statistics;
mod weights;

use std::collections::BTreeMap;

pub use calibrate::{calibrate, calibrate_sequences};
pub use equalize::equalize;
pub use range::{Histogram, Range, dequantize_value, quantize_value};
pub use scheme::predicted_sqnr_db;
pub use statistics::{Channel, Observed, Statistics};
pub use weights::Weights;

use crate::error::Result;
use crate::graph::{Graph, Op, Quantization, ValueId};

/// Width of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activations {
    /// int8 everywhere.
    Int8,
    /// int16 wherever the operators can.
    Int16,
    /// int8, and int16 where eight bits are predicted to be too noisy and the operators can.
    Auto,
}

/// How a range is chosen from what was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Calibration {
    /// All of it.
    MinMax,
    /// The share of values that is kept, for example 0.9999; what is outside is clipped.
    Percentile(f32),
    /// The range with the least mean squared error.
    Mse,
}

/// What to do, with defaults that suit small image and keyword models.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Width of activations.
    pub activations: Activations,
    /// Choice of ranges.
    pub calibration: Calibration,
    /// Whether biases make up for the mean error of rounded weights.
    pub bias_correction: bool,
    /// Whether channel ranges are balanced between layers first. Off by default: with a scale for every output channel it
    /// gains nothing on ordinary models and costs up to half a decibel (docs/pipeline.md); on for models whose channels
    /// differ much in size.
    pub equalize: bool,
    /// With [`Activations::Auto`]: predicted signal to noise of a value in decibels below which it gets 16 bits.
    pub least_sqnr_db: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            activations: Activations::Auto,
            calibration: Calibration::MinMax,
            bias_correction: true,
            equalize: false,
            least_sqnr_db: 20.0,
        }
    }
}

/// A graph with integers chosen for everything in it.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The graph, equalized and with corrected biases.
    pub graph: Graph,
    /// Quantization of every activation by [`ValueId`], constant operands included; none for weights and plain integers.
    pub activations: Vec<Option<Quantization>>,
    /// Weights of linear layers by the constant that they come from.
    pub weights: BTreeMap<ValueId, Weights>,
    /// Where a width is not the ordinary or the asked one, and why.
    pub notes: Vec<Note>,
}

/// A remark on a node or tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Its name.
    pub path: String,
    /// The remark.
    pub message: String,
}

impl Quantized {
    /// Quantization of `id`, if it is an activation.
    pub fn activation(&self, id: ValueId) -> Option<Quantization> {
        self.activations.get(id.0).copied().flatten()
    }
}

/// Chooses integers for `graph`. `statistics` are those that [`calibrate`] made with the same options; a model that
/// states all its quantizations needs none.
///
/// # Errors
/// [`crate::ErrorKind::Calibration`] for a float model without statistics, [`crate::ErrorKind::Quantization`] and
/// [`crate::ErrorKind::Unsupported`] for a stated quantization that has gaps or another form than mixel's.
pub fn quantize(mut graph: Graph, statistics: Option<&Statistics>, options: &Options) -> Result<Quantized> {
    let mut statistics = statistics.cloned();
    if let Some(statistics) = statistics.as_mut().filter(|_| options.equalize) {
        equalize(&mut graph, statistics);
    }
    let statistics = statistics.as_ref();
    let mut weights = BTreeMap::new();
    for node in &graph.nodes {
        let (Some(axis), Some(&id)) = (weights::output_axis(&node.op), node.inputs.get(1)) else { continue };
        let value = graph.value(id);
        if let Some(constant) = &value.constant {
            weights.insert(id, Weights::new(node, constant, &value.shape.dims, axis)?);
        }
    }
    let (activations, notes) = scheme::assign(&graph, statistics, options, &weights)?;
    if let Some(statistics) = statistics.filter(|_| options.bias_correction) {
        for index in 0..graph.nodes.len() {
            correct_bias(&mut graph, index, &weights, statistics);
        }
    }
    Ok(Quantized { graph, activations, weights, notes })
}

/// Takes the mean error that rounded weights make out of the bias of node `index`, if it has both as float constants.
fn correct_bias(
    graph: &mut Graph,
    index: usize,
    weights: &BTreeMap<ValueId, Weights>,
    statistics: &Statistics,
) {
    let node = &graph.nodes[index];
    let groups = match node.op {
        Op::Conv { groups, .. } => groups,
        Op::Linear { .. } => 1,
        _ => return,
    };
    let [input, id, bias] = node.inputs[..] else { return };
    let (Some(chosen), Some(observed)) = (weights.get(&id), statistics.get(input)) else { return };
    let value = graph.value(id);
    let Some(constant) = value.constant.as_ref().filter(|constant| constant.integers.is_none()) else {
        return;
    };
    let errors = chosen.mean_error(&constant.data, &value.shape.dims, groups, observed);
    // A bias that several layers share is corrected for none.
    let own = graph.consumers(bias).len() == 1;
    if let Some(bias) = graph.value_mut(bias).constant.as_mut().filter(|bias| own && bias.integers.is_none())
    {
        bias.data.iter_mut().zip(errors).for_each(|(bias, error)| *bias -= error as f32);
    }
}
