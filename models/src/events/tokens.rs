//! Frames as the [`EventTransformer`] takes them.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::front_end::Frame;
use super::train::Design;
use crate::event_transformer::{Architecture, Batch, EventTransformer};
use crate::weights::{Parameter, Weight};

/// What a count is in a token: `ln(1 + count)`.
pub fn logs() -> [f32; 256] {
    std::array::from_fn(|count| (count as f32).ln_1p())
}

/// Window `index` of each recording; one that has ended has no tokens.
fn batch(recordings: &[Vec<Frame>], index: usize, token: usize, device: &Device) -> Batch {
    let logs = logs();
    let (mut tokens, mut patches, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for frames in recordings {
        if let Some(frame) = frames.get(index) {
            tokens.extend(frame.counts.iter().map(|&count| logs[usize::from(count)]));
            patches.extend(frame.patches.iter().map(|&patch| i32::from(patch)));
        }
        ends.push(patches.len());
    }
    if patches.is_empty() {
        tokens.resize(token, 0.0);
        patches.push(0);
    }
    let rows = patches.len();
    Batch {
        tokens: Tensor::from_data(TensorData::new(tokens, [rows, token]), device),
        patches: Tensor::from_data(TensorData::new(patches, [rows, 1]), (device, DType::I32)),
        ends,
    }
}

impl Design for Architecture {
    type Network = EventTransformer;

    fn parameters(&self) -> Vec<Parameter> {
        self.parameters()
    }

    fn network(&self, weights: &[Weight], device: &Device) -> EventTransformer {
        EventTransformer::new(self, weights, device)
    }

    fn answers(network: &EventTransformer, recordings: &[Vec<Frame>], device: &Device) -> Vec<Tensor<2>> {
        let mut memory = network.reset(recordings.len());
        let windows = recordings.iter().map(Vec::len).max().unwrap_or(0);
        (0..windows)
            .map(|index| {
                let batch = batch(recordings, index, network.token(), device);
                let (logits, next) = network.step(batch, memory.clone());
                memory = next;
                logits
            })
            .collect()
    }
}
