//! Calibration: the float model on sample inputs, and what its tensors held.

use std::collections::BTreeMap;

use super::statistics::Statistics;
use super::{Calibration, Options, equalize};
use crate::arrays::Array;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Graph, ValueId};
use crate::reference::Reference;

/// Runs `reference` on every sample (the model's inputs in its order, one sample each) and observes all values of
/// `graph` that the float model has. `progress` hears how many runs of how many are done. Choices of `options` that need
/// histograms take a second pass over the samples.
///
/// # Errors
/// [`ErrorKind::Calibration`] when there is no sample, and those of [`Reference::observe`].
pub fn calibrate(
    graph: &Graph,
    reference: &Reference,
    samples: &[Vec<Array>],
    options: &Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Statistics> {
    if samples.is_empty() {
        return Err(Error::new(ErrorKind::Calibration, "", "there is no calibration sample")
            .hint("give arrays with at least one sample along their first axis"));
    }
    let mut observed: BTreeMap<&str, Vec<ValueId>> = BTreeMap::new();
    for (index, value) in graph.values.iter().enumerate() {
        if let (Some(origin), None) = (&value.origin, &value.constant) {
            observed.entry(&origin.tensor).or_default().push(ValueId(index));
        }
    }
    let tensors: Vec<String> = observed.keys().map(|&tensor| tensor.to_owned()).collect();
    let passes = if options.calibration == Calibration::MinMax { 1 } else { 2 };
    let runs = passes * samples.len();
    let mut observe = |graph: &Graph, pass: usize, statistics: &mut Statistics| -> Result<()> {
        for (index, sample) in samples.iter().enumerate() {
            progress(pass * samples.len() + index, runs);
            reference.observe(sample, &tensors, &mut |tensor, array| {
                let data = array.data.to_f32();
                for &id in observed.get(tensor).into_iter().flatten() {
                    let value = graph.value(id);
                    let Some(origin) = &value.origin else { continue };
                    let channels = value.shape.dims.last().copied().unwrap_or(1);
                    match pass {
                        0 => statistics.entry(id).add(&data, &array.dims, origin, channels),
                        _ => statistics.entry(id).add_to_histogram(&data, &array.dims, origin, channels),
                    }
                }
            })?;
        }
        Ok(())
    };
    let mut statistics = Statistics::new(graph);
    observe(graph, 0, &mut statistics)?;
    if passes == 2 {
        // Histograms are of the values as they will be quantized, so equalization, which depends on the channels'
        // ranges alone, is anticipated.
        let (mut equal, mut scaled) = (graph.clone(), statistics.clone());
        if options.equalize {
            equalize(&mut equal, &mut scaled);
        }
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
