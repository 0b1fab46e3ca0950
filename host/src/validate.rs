//! Is the integer model right? Against the float model operator by operator, against boards bit by bit.

use std::collections::{BTreeMap, BTreeSet};

use clap::ValueEnum;
use mixel_core::kernels::OpKind;
use mixel_core::plan::format::crc32_more;
use mixel_core::plan::{Direction, FrontEnd, TextHead};
use mixel_core::text::split_words;
use serde::Serialize;

use crate::arrays::Array;
use crate::compile::{Compiled, Prepared, Target};
use crate::device::{self, Board, Sample};
use crate::graph::{Origin, Quantization};
use crate::quantize::{dequantize_value, quantize_value};
use crate::reference::Reference;
use crate::report::Progress;
use crate::run::{on_host, open};
use crate::samples::{Case, reals, reference_inputs, sample};
use crate::{Error, ErrorKind, Result};

/// Decibels beyond which nothing is told apart: an exact tensor has no noise at all.
const MOST_DB: f64 = 200.0;

/// How one operator's output compares with the float model.
#[derive(Clone, Debug, Serialize)]
pub struct Layer {
    /// The operator's name.
    pub name: String,
    /// What it does.
    pub op: String,
    /// Signal to quantization noise in decibels over all samples, within 200 and -200; none where the float model has no
    /// such tensor.
    pub sqnr_db: Option<f64>,
}

/// Comparison with the float model.
#[derive(Clone, Debug, Serialize)]
pub struct Fidelity {
    /// Number of samples.
    pub samples: usize,
    /// All operators in order.
    pub layers: Vec<Layer>,
    /// Of the first output, or what goes into its softmax.
    pub sqnr_db: f64,
    /// Share of rows of the first output whose largest value is at the same place.
    pub top1_agreement: f64,
}

impl Fidelity {
    /// The first operator below `threshold` decibels.
    pub fn first_below(&self, threshold: f64) -> Option<&Layer> {
        self.layers.iter().find(|layer| layer.sqnr_db.is_some_and(|db| db < threshold))
    }
}

/// Comparison of a board with this machine.
#[derive(Clone, Debug, Serialize)]
pub struct BoardResult {
    /// The board.
    pub board: String,
    /// Whether all operators of all samples gave the same bytes.
    pub bit_equal: bool,
    /// The first operator that did not, its index and the sample.
    pub first_difference: Option<Difference>,
}

/// Where a board differs.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Difference {
    pub op: usize,
    pub name: String,
    pub sample: usize,
}

/// Signal and noise of one tensor.
#[derive(Clone, Copy, Default)]
struct Power {
    signal: f64,
    noise: f64,
    count: usize,
}

impl Power {
    fn add(&mut self, expected: f64, got: f64) {
        self.signal += expected * expected;
        self.noise += (expected - got) * (expected - got);
        self.count += 1;
    }

    fn db(self) -> Option<f64> {
        (self.count > 0).then(|| (10.0 * (self.signal / self.noise).log10()).clamp(-MOST_DB, MOST_DB)).map(
            |db| {
                // No signal and no noise.
                if db.is_nan() { MOST_DB } else { db }
            },
        )
    }
}

/// Compares `compiled` on this machine with `reference` for all `cases`.
///
/// # Errors
/// [`ErrorKind::Input`] for cases that do not fit, [`ErrorKind::Reference`] when the float model does not run.
pub fn fidelity(
    prepared: &Prepared,
    compiled: &Compiled,
    reference: &Reference,
    cases: &[Case],
) -> Result<Fidelity> {
    let (program, graph) = (&compiled.program, &prepared.quantized().graph);
    let plan = open(&compiled.plan, "")?;
    let view = |tensor: u16| {
        let value = graph.value(program.tensors[tensor as usize].value?);
        Some(View { origin: value.origin.as_ref()?, stated: value.given })
    };
    let operators = program.operators.iter().enumerate();
    let whole = operators.map(|(index, operator)| (!program.unfinished(index)).then_some(operator));
    let views: Vec<Option<View<'_>>> =
        whole.map(|operator| operator.and_then(|operator| view(*operator.outputs.first()?))).collect();
    let output = program.ports.iter().find(|port| port.direction == Direction::Output);
    let output = output.map(|port| (program.tensors[port.tensor as usize].tensor, view(port.tensor)));
    let seen = views.iter().flatten().chain(output.iter().flat_map(|(_, view)| view));
    let tensors: BTreeSet<String> = seen.map(|view| view.origin.tensor.clone()).collect();
    let tensors: Vec<String> = tensors.into_iter().collect();

    let mut powers = vec![Power::default(); views.len()];
    let (mut agreeing, mut rows) = (0, 0);
    let progress = Progress::new("comparing with the float model");
    for (index, case) in cases.iter().enumerate() {
        progress.step(index, cases.len());
        let mut expected = BTreeMap::new();
        let inputs = reference_inputs(&plan, case)?;
        reference.observe(&inputs, &tensors, &mut |name, array| {
            expected.insert(name.to_owned(), array.clone());
        })?;
        let expect = |view: &View<'_>, channels| view.of(expected.get(&view.origin.tensor)?, channels);
        let outputs = on_host(plan, &[sample(&plan, case)?], &mut |_, operator, bytes| {
            let Some(view) = &views[operator] else { return };
            let tensor = &program.tensors[program.operators[operator].outputs[0] as usize].tensor;
            let values = reals(tensor, bytes);
            if let Some(expected) = expect(view, tensor.inner()).filter(|all| all.len() == values.len()) {
                let pairs = expected.into_iter().zip(values);
                pairs.for_each(|(expected, value)| powers[operator].add(expected.into(), value.into()));
            }
        })?;
        if let Some((tensor, Some(view))) = &output
            && let Some(expected) = expect(view, tensor.inner())
        {
            let got = reals(tensor, &outputs[0][0]);
            let present = rows_that_count(plan.front_end(), case, tensor.outer());
            let pairs = expected.chunks(tensor.inner()).zip(got.chunks(tensor.inner())).take(present);
            rows += present;
            agreeing += pairs.filter(|(expected, got)| argmax(expected) == argmax(got)).count();
        }
    }
    let layers: Vec<Layer> = program
        .operators
        .iter()
        .zip(&powers)
        .map(|(operator, power)| Layer {
            name: operator.name.clone(),
            op: format!("{:?}", operator.kind),
            sqnr_db: power.db(),
        })
        .collect();
    let sqnr_db = final_operators(compiled).iter().find_map(|&operator| layers[operator].sqnr_db);
    let sqnr_db = sqnr_db.ok_or_else(|| {
        Error::new(ErrorKind::Reference, "", "no operator of the plan gives a tensor that the float model has too")
            .hint("in a model that only changes shapes there is nothing to compare; report any other with the model")
    })?;
    let top1_agreement = if rows == 0 { 1.0 } else { agreeing as f64 / rows as f64 };
    Ok(Fidelity { samples: cases.len(), layers, sqnr_db, top1_agreement })
}

/// Words of a tagged sentence, or all rows.
fn rows_that_count(front_end: FrontEnd, case: &Case, all: usize) -> usize {
    match (front_end, case) {
        (FrontEnd::Text { head: TextHead::Tokens, .. }, Case::Text(text)) => {
            split_words(text.as_bytes()).count().min(all)
        }
        _ => all,
    }
}

/// Operators whose output says how good the model is, best first: what goes into a last softmax, the last one itself,
/// then those before it.
fn final_operators(compiled: &Compiled) -> Vec<usize> {
    let program = &compiled.program;
    let root = |mut tensor: u16| {
        while let Some(of) = program.tensors[tensor as usize].alias_of {
            tensor = of;
        }
        tensor
    };
    let producer = |tensor: u16| {
        program
            .operators
            .iter()
            .rposition(|operator| operator.outputs.iter().any(|&output| root(output) == root(tensor)))
    };
    let output = program.ports.iter().find(|port| port.direction == Direction::Output);
    let Some(last) = output.and_then(|port| producer(port.tensor)) else { return Vec::new() };
    let mut order: Vec<usize> = (0..=last).rev().collect();
    if is_softmax(program.operators[last].kind)
        && let Some(before) = program.operators[last].inputs.first().and_then(|&tensor| producer(tensor))
    {
        order.insert(0, before);
    }
    order
}

fn is_softmax(kind: OpKind) -> bool {
    format!("{kind:?}").starts_with("Softmax")
}

/// What an operator's output is compared with.
struct View<'g> {
    origin: &'g Origin,
    /// The quantization that the model itself states; rounding and clipping by it are then part of the model.
    stated: Option<Quantization>,
}

impl View<'_> {
    /// The float model's tensor `array` in the order, scale and quantization of the value.
    fn of(&self, array: &Array, channels: usize) -> Option<Vec<f32>> {
        let origin = self.origin;
        let whole = array.data.to_f32();
        let (data, found) = origin.cut(&whole, &array.dims);
        let mut values = if origin.perm.is_empty() {
            data.into_owned()
        } else {
            if origin.perm.len() != found.len() || origin.perm.iter().any(|&axis| axis >= found.len()) {
                return None;
            }
            let dims: Vec<usize> = origin.perm.iter().map(|&axis| found[axis]).collect();
            let strides: Vec<usize> =
                origin.perm.iter().map(|&axis| found[axis + 1..].iter().product()).collect();
            let place = |mut index: usize| {
                let axes = dims.iter().zip(&strides).rev();
                axes.fold(0, |place, (&dim, &stride)| {
                    let at = place + index % dim * stride;
                    index /= dim;
                    at
                })
            };
            (0..data.len()).map(|index| data[place(index)]).collect()
        };
        if origin.channel_scale.len() == channels {
            for (index, value) in values.iter_mut().enumerate() {
                *value *= origin.channel_scale[index % channels];
            }
        }
        if let Some(stated) = &self.stated {
            let seen = |x: f32| dequantize_value(quantize_value(x.into(), stated), stated) as f32;
            values.iter_mut().for_each(|value| *value = seen(*value));
        }
        Some(values)
    }
}

fn argmax(values: &[f32]) -> usize {
    let best = values.iter().enumerate().reduce(|best, next| if next.1 > best.1 { next } else { best });
    best.map_or(0, |(index, _)| index)
}

/// Runs `cases` on `board` and on this machine, with the plan for the board's own target.
///
/// # Errors
/// [`ErrorKind::Device`] and [`ErrorKind::Setup`] when the board cannot run.
pub fn on_board(prepared: &Prepared, board: &Board, cases: &[Case]) -> Result<BoardResult> {
    let target = target_of(board)?;
    let compiled = prepared.compile(target)?;
    let plan = open(&compiled.plan, "")?;
    let samples: Vec<Sample> = cases.iter().map(|case| sample(&plan, case)).collect::<Result<_>>()?;
    let mut expected: Vec<Vec<u32>> = vec![Vec::new(); samples.len()];
    let outputs = on_host(plan, &samples, &mut |sample, operator, bytes| {
        // An operator in strips is seen once a strip; boards sum up in the same way.
        let sums = &mut expected[sample];
        sums.resize(sums.len().max(operator + 1), 0);
        sums[operator] = crc32_more(sums[operator], bytes);
    })?;
    let options = device::Options { checksums: true, ..device::Options::default() };
    let got = {
        let _progress = Progress::new(format!("running on {}", board.name));
        device::run(board, &compiled.plan, &samples, &options)?
    };
    let first_difference =
        expected.iter().zip(&got.checksums).enumerate().find_map(|(sample, (host, board))| {
            // What is not written yet of a tensor may be anything.
            let mut whole = (0..host.len()).filter(|&op| !compiled.program.unfinished(op));
            let op = whole.find(|&op| board.get(op) != Some(&host[op]))?;
            Some(Difference { op, name: compiled.program.operators[op].name.clone(), sample })
        });
    let bit_equal =
        first_difference.is_none() && outputs == got.outputs && got.checksums.len() == expected.len();
    Ok(BoardResult { board: board.name.to_owned(), bit_equal, first_difference })
}

/// The target whose plans `board` runs fastest.
///
/// # Errors
/// [`ErrorKind::Internal`] when the board's description names none.
pub fn target_of(board: &Board) -> Result<Target> {
    Target::from_str(board.target, false)
        .map_err(|message| Error::new(ErrorKind::Internal, board.name, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::ArrayData;
    use mixel_core::plan::DType;

    #[test]
    fn decibels_of_a_tenth_of_noise() {
        let mut power = Power::default();
        [1.0, -1.0].iter().for_each(|&x| power.add(x, x * 0.9));
        assert!((power.db().unwrap() - 20.0).abs() < 1e-9);
        assert_eq!(Power::default().db(), None);
        let mut exact = Power::default();
        exact.add(0.0, 0.0);
        assert_eq!(exact.db(), Some(MOST_DB));
    }

    #[test]
    fn a_channels_first_tensor_is_compared_channels_last() {
        let array = Array::new(&[1, 2, 3], ArrayData::F32(vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])).unwrap();
        let origin = Origin { perm: vec![0, 2, 1], channel_scale: vec![1.0, 10.0], ..Origin::default() };
        let mut view = View { origin: &origin, stated: None };
        assert_eq!(view.of(&array, 2).unwrap(), [0.0, 30.0, 1.0, 40.0, 2.0, 50.0]);
        view.stated = Some(Quantization { scale: 1.0, zero_point: 100, dtype: DType::I8 });
        assert_eq!(view.of(&array, 2).unwrap(), [0.0, 27.0, 1.0, 27.0, 2.0, 27.0]);
    }
}
