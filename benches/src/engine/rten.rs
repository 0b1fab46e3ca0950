//! rten, in process.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rten::{DataType, Dimension, Model, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueType};
use rten_tensor::Tensor;

use super::{Engine, Loaded};

struct Rten {
    name: String,
    model: Model,
    threads: Arc<ThreadPool>,
    inputs: Vec<(NodeId, Value)>,
}

/// The model at `path` with inputs of zeros, one sample, `rows` rows where they vary.
pub fn load(name: &str, path: &Path, rows: usize) -> Loaded {
    let model = Model::load_file(path).map_err(|error| error.to_string())?;
    let mut inputs = Vec::new();
    for &id in model.input_ids() {
        let info = model.node_info(id).ok_or("an input without a description")?;
        let dims = info.shape().ok_or("an input of unknown size")?;
        let size = |(axis, dim): (usize, &Dimension)| match dim {
            Dimension::Fixed(size) => *size,
            Dimension::Symbolic(_) => [1, rows][usize::from(axis > 0)],
        };
        let dims: Vec<usize> = dims.iter().enumerate().map(size).collect();
        let value = match info.dtype() {
            Some(ValueType::Tensor(DataType::Int8)) => Value::from(Tensor::<i8>::zeros(&dims)),
            Some(ValueType::Tensor(DataType::UInt8)) => Value::from(Tensor::<u8>::zeros(&dims)),
            Some(ValueType::Tensor(DataType::Int32)) => Value::from(Tensor::<i32>::zeros(&dims)),
            _ => Value::from(Tensor::<f32>::zeros(&dims)),
        };
        inputs.push((id, value));
    }
    let threads = Arc::new(ThreadPool::with_num_threads(1));
    Ok(Box::new(Rten { name: name.into(), model, threads, inputs }))
}

impl Engine for Rten {
    fn name(&self) -> &str {
        &self.name
    }

    fn time(&mut self, runs: u32) -> Result<Vec<u64>, String> {
        let run = |_| {
            let inputs: Vec<(NodeId, ValueOrView)> =
                self.inputs.iter().map(|(id, value)| (*id, value.as_view().into())).collect();
            let mut options = RunOptions::default();
            options.thread_pool = Some(self.threads.clone());
            let start = Instant::now();
            self.model
                .run(inputs, self.model.output_ids(), Some(options))
                .map_err(|error| error.to_string())?;
            Ok(start.elapsed().as_nanos() as u64)
        };
        (0..runs).map(run).collect()
    }
}
