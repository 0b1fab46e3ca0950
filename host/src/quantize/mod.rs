//! Quantization: integers for every value of a graph.
//!
//! A model that states its quantization (QDQ) keeps it to the last integer. A float model gets int8 activations with one
//! scale and zero point a tensor, from ranges that calibration saw, and int8 weights (int4 where asked) with one scale an output
//! channel.
//! Around that: cross-layer equalization before, bias correction after, and 16-bit activations where they are asked for
//! or where the noise of eight bits is predicted to be too loud.

mod calibrate;
mod equalize;
mod forms;
mod hoist;
mod pixels;
mod range;
mod scheme;
mod statistics;
mod weights;

use std::collections::BTreeMap;

pub use calibrate::{calibrate, calibrate_sequences};
pub use equalize::equalize;
pub use forms::{WeightForm, WeightRule};
pub use range::{Histogram, Range, dequantize_value, quantize_value};
pub use scheme::predicted_sqnr_db;
pub use statistics::{Channel, Observed, Statistics};
pub use weights::{Weights, fits_int4};

use mixel_core::plan::DType;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, Node, Op, Quantization, ValueId};

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
#[derive(Clone, Debug, PartialEq)]
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
    /// In what form weights are stored; of several rules about a layer the last one counts.
    pub weights: Vec<WeightRule>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            activations: Activations::Auto,
            calibration: Calibration::MinMax,
            bias_correction: true,
            equalize: false,
            least_sqnr_db: 20.0,
            weights: Vec::new(),
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
    if let Some(statistics) = &mut statistics {
        equalize(&mut graph, statistics, options);
    }
    let statistics = statistics.as_ref();
    hoist::functions(&mut graph, statistics, options);
    let (mut weights, mut notes) = weights_of(&graph, options)?;
    let (activations, more) = scheme::assign(&graph, statistics, options, &weights)?;
    notes.extend(more);
    eight_bits_between_wide(&graph, options, &activations, &mut weights, &mut notes)?;
    if let Some(statistics) = statistics.filter(|_| options.bias_correction) {
        for index in 0..graph.nodes.len() {
            correct_bias(&mut graph, index, &weights, statistics);
        }
    }
    Ok(Quantized { graph, activations, weights, notes })
}

/// Nodes with constant weights: the node, the constant, and the axis of its output channels.
fn weighted(graph: &Graph) -> impl Iterator<Item = (&Node, ValueId, usize)> + Clone {
    graph.nodes.iter().filter_map(|node| {
        let (axis, &id) = (weights::output_axis(&node.op)?, node.inputs.get(1)?);
        graph.value(id).constant.is_some().then_some((node, id, axis))
    })
}

/// The weights of all nodes in the forms that are asked for, and where a form is not to be had.
fn weights_of(graph: &Graph, options: &Options) -> Result<(BTreeMap<ValueId, Weights>, Vec<Note>)> {
    forms::check_names(&options.weights, weighted(graph).map(|(node, ..)| node))?;
    let (mut all, mut notes) = (BTreeMap::new(), Vec::new());
    for (node, id, axis) in weighted(graph) {
        let value = graph.value(id);
        let Some(constant) = &value.constant else { continue };
        let rule = forms::rule_of(&options.weights, node);
        let mut weights = Weights::new(node, constant, &value.shape.dims, axis, rule.form)?;
        let lacks = match rule.form {
            WeightForm::Int4 if !crate::lower::packs(node, &value.shape, WeightForm::Int4) => {
                Some("its kernel has no weights of four bits")
            }
            WeightForm::Int4 if !fits_int4(&weights.data) => {
                Some("the model states integer weights that do not fit in four bits")
            }
            WeightForm::Sparse if !crate::lower::packs(node, &value.shape, WeightForm::Sparse) => {
                Some("its kernel has no sparse weights")
            }
            _ => None,
        };
        if let Some(reason) = lacks {
            keep_eight_bits(&rule, node, reason, &mut notes)?;
            weights = Weights::new(node, constant, &value.shape.dims, axis, WeightForm::Int8)?;
        }
        all.insert(id, weights);
    }
    Ok((all, notes))
}

/// Kernels with 16-bit input or output have weights of a byte only.
fn eight_bits_between_wide(
    graph: &Graph,
    options: &Options,
    activations: &[Option<Quantization>],
    all: &mut BTreeMap<ValueId, Weights>,
    notes: &mut Vec<Note>,
) -> Result<()> {
    let wide = |id: ValueId| activations[id.0].is_some_and(|quantization| quantization.dtype == DType::I16);
    for (node, id, axis) in weighted(graph).filter(|(node, ..)| wide(node.inputs[0]) || wide(node.output)) {
        let value = graph.value(id);
        let (Some(weights), Some(constant)) = (all.get_mut(&id), &value.constant) else { continue };
        if weights.form != WeightForm::Int8 {
            let rule = forms::rule_of(&options.weights, node);
            keep_eight_bits(&rule, node, "it has 16-bit activations", notes)?;
            *weights = Weights::new(node, constant, &value.shape.dims, axis, WeightForm::Int8)?;
        }
    }
    Ok(())
}

/// A remark that `node` keeps a byte a weight; an error when it was asked for by name. Nobody asked in the case of
/// [`WeightForm::Auto`].
fn keep_eight_bits(rule: &WeightRule, node: &Node, reason: &str, notes: &mut Vec<Note>) -> Result<()> {
    match &rule.layers {
        _ if rule.form == WeightForm::Auto => Ok(()),
        None => {
            let message = format!("its weights keep a byte each: {reason}");
            notes.push(Note { path: node.name.clone(), message });
            Ok(())
        }
        Some(layers) => Err(Error::new(ErrorKind::Unsupported, &node.name, reason)
            .hint(format!("leave it out of --weights ...:{layers}"))),
    }
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
