//! tract, in process.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::{DimFact, DimLike, Factoid, InferenceModelExt};

use super::{Engine, Loaded};

struct Tract {
    name: String,
    model: Arc<TypedRunnableModel>,
    inputs: TVec<TValue>,
}

/// The model at `path` for one sample with `rows` rows where they vary, optimized, with inputs of zeros.
pub fn load(name: &str, path: &Path, rows: usize) -> Loaded {
    let words = |error: TractError| format!("{error:#}");
    let mut model = tract_onnx::onnx().model_for_path(path).map_err(words)?;
    let mut inputs = TVec::new();
    for index in 0..model.input_outlets().map_err(words)?.len() {
        let fact = model.input_fact(index).map_err(words)?.clone();
        let dtype = fact.datum_type.concretize().ok_or("an input of unknown type")?;
        let size = |(axis, dim): (usize, &DimFact)| match dim.concretize().and_then(|dim| dim.to_usize().ok())
        {
            Some(size) => size,
            None => [1, rows][usize::from(axis > 0)],
        };
        let dims: TVec<usize> = fact.shape.dims().enumerate().map(size).collect();
        model.set_input_fact(index, InferenceFact::dt_shape(dtype, &dims)).map_err(words)?;
        inputs.push(Tensor::zero_dt(dtype, &dims).map_err(words)?.into_tvalue());
    }
    let model = model.into_optimized().and_then(|model| model.into_runnable()).map_err(words)?;
    Ok(Box::new(Tract { name: name.into(), model, inputs }))
}

impl Engine for Tract {
    fn name(&self) -> &str {
        &self.name
    }

    fn time(&mut self, runs: u32) -> Result<Vec<u64>, String> {
        let run = |_| {
            let inputs = self.inputs.clone();
            let start = Instant::now();
            self.model.run(inputs).map_err(|error| format!("{error:#}"))?;
            Ok(start.elapsed().as_nanos() as u64)
        };
        (0..runs).map(run).collect()
    }
}
