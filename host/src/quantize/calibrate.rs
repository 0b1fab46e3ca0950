//! Calibration: the float model on sample inputs, and what its tensors held.

use std::collections::BTreeMap;

use super::statistics::Statistics;
use super::{Calibration, Options, equalize};
use crate::arrays::Array;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, ValueId};
use crate::reference::{Reference, States};

/// As [`calibrate_sequences`] with samples that have nothing to do with each other; in a model with states they are one
/// sequence.
///
/// # Errors
/// Those of [`calibrate_sequences`].
pub fn calibrate(
    graph: &Graph,
    reference: &Reference,
    samples: &[Vec<Array>],
    options: &Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Statistics> {
    let together = if graph.states.is_empty() { 1 } else { samples.len().max(1) };
    let sequences: Vec<Vec<Vec<Array>>> = samples.chunks(together).map(<[_]>::to_vec).collect();
    calibrate_sequences(graph, reference, &sequences, options, progress)
}

/// Runs `reference` on every sample (the model's inputs in its order but for the states, one sample each) and observes all values of
/// `graph` that the float model has. States go from one sample of a sequence to the next. `progress` hears how many runs of how many are done. Choices of `options` that need
/// histograms take a second pass over the samples.
///
/// # Errors
/// [`ErrorKind::Calibration`] when there is no sample or a value is not finite, and those of [`Reference::observe`].
pub fn calibrate_sequences(
    graph: &Graph,
    reference: &Reference,
    sequences: &[Vec<Vec<Array>>],
    options: &Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Statistics> {
    let samples: usize = sequences.iter().map(Vec::len).sum();
    if samples == 0 {
        return Err(Error::new(ErrorKind::Calibration, "", "there is no calibration sample")
            .hint("give arrays with at least one sample along their first axis"));
    }
    let mut observed: BTreeMap<&str, Vec<ValueId>> = BTreeMap::new();
    for (index, value) in graph.values.iter().enumerate() {
        if let (Some(origin), None) = (&value.origin, &value.constant) {
            observed.entry(&origin.tensor).or_default().push(ValueId(index));
        }
    }
    let mut tensors: Vec<String> = observed.keys().map(|&tensor| tensor.to_owned()).collect();
    let kept = States::new(graph)?.outputs();
    tensors.extend(kept.into_iter().filter(|name| !observed.contains_key(name.as_str())));
    let passes = if options.calibration == Calibration::MinMax { 1 } else { 2 };
    let runs = passes * samples;
    let mut observe = |graph: &Graph, pass: usize, statistics: &mut Statistics| -> Result<()> {
        let mut states = States::new(graph)?;
        let steps = sequences.iter().flat_map(|sequence| sequence.iter().enumerate());
        for (done, (at, sample)) in (pass * samples..).zip(steps) {
            progress(done, runs);
            if at == 0 {
                states = States::new(graph)?;
            }
            let inputs = states.inputs(sample);
            reference.observe(&inputs, &tensors, &mut |tensor, array| {
                states.keep(tensor, array);
                let data = array.data.to_f32();
                for &id in observed.get(tensor).into_iter().flatten() {
                    let value = graph.value(id);
                    let Some(origin) = &value.origin else { continue };
                    let channels = value.shape.dims.last().copied().unwrap_or(1);
                    let (data, dims) = origin.cut(&data, &array.dims);
                    match pass {
                        0 => statistics.entry(id).add(&data, &dims, origin, channels),
                        _ => statistics.entry(id).add_to_histogram(&data, &dims, origin, channels),
                    }
                }
            })?;
        }
        Ok(())
    };
    let mut statistics = Statistics::new(graph);
    observe(graph, 0, &mut statistics)?;
    if let Some(id) = statistics.first_not_finite() {
        let message = "is NaN or infinite for some calibration sample";
        return Err(Error::new(ErrorKind::Calibration, &graph.value(id).name, message).hint(
            "look for NaN, infinities or very large numbers in the calibration inputs and the weights",
        ));
    }
    if passes == 2 {
        // Histograms are of the values as they will be quantized, so equalization, which depends on the channels'
        // ranges alone, is anticipated.
        let (mut equal, mut scaled) = (graph.clone(), statistics.clone());
        equalize(&mut equal, &mut scaled, options);
        observe(&equal, 1, &mut scaled)?;
        for (value, scaled) in statistics.values.iter_mut().zip(scaled.values) {
            if let (Some(value), Some(scaled)) = (value, scaled) {
                value.histogram = scaled.histogram;
            }
        }
    }
    progress(runs, runs);
    Ok(statistics)
}
