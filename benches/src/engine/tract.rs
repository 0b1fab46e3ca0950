//! tract, in process.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mixel::import::{ImportOptions, Model};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::InferenceModelExt;

use super::Engine;

struct Tract {
    name: String,
    model: Arc<TypedRunnableModel>,
    inputs: TVec<TValue>,
}

/// The model at `path` with fixed sizes (a batch of 1, rows at their bound), optimized, with inputs of zeros.
pub fn load(name: &str, path: &Path) -> Result<Box<dyn Engine>, String> {
    let words = |error: TractError| format!("{error:#}");
    let model = Model::read(path, &ImportOptions::default()).map_err(|error| error.to_string())?;
    let rows = model.rows.as_ref().map_or(1, |rows| rows.max);
    let folder = model.folder.to_string_lossy();
    let parsed = tract_onnx::onnx().parse(&model.with_sizes(rows), Some(&folder)).map_err(words)?;
    let model = parsed.model.into_optimized().and_then(|model| model.into_runnable()).map_err(words)?;
    let mut inputs = TVec::new();
    for outlet in model.model().input_outlets().map_err(words)? {
        let fact = model.model().outlet_fact(*outlet).map_err(words)?;
        let dims = fact.shape.as_concrete().ok_or("an input of unknown size")?;
        inputs.push(Tensor::zero_dt(fact.datum_type, dims).map_err(words)?.into_tvalue());
    }
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
