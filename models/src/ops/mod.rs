//! Operations that the training library lacks or has slowly, with their gradients.

mod attention;
mod channel_norm;
mod convolution;
mod depthwise;
mod functions;
mod gate;
mod gelu;
#[cfg(test)]
mod gradients;
mod leaky_relu;
mod norm;
mod planes;
mod projection;
mod rounding;
mod simd;
mod sublayer;

pub use attention::{Layout, attention};
pub use channel_norm::channel_norm;
pub use convolution::convolution;
pub use depthwise::depthwise;
pub use gate::gate;
pub use gelu::gelu;
pub use leaky_relu::leaky_relu;
pub use norm::layer_norm;
pub use projection::{ABSENT, project};
pub use rounding::{round_values, round_weights};
pub use sublayer::{Kind, Parameters, Sublayer, sublayer};

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;

/// The values of a contiguous tensor.
fn floats(tensor: &FloatTensor<Flex>) -> &[f32] {
    tensor.as_slice::<f32>().expect("contiguous f32 tensors")
}
