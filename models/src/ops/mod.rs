//! Operations that the training library lacks or has slowly, with their gradients.

mod attention;
mod depthwise;
mod functions;
mod gelu;
#[cfg(test)]
mod gradients;
mod norm;
mod projection;
mod simd;
mod sublayer;

pub use attention::{Layout, attention};
pub use depthwise::depthwise;
pub use gelu::gelu;
pub use norm::layer_norm;
pub use projection::{ABSENT, project};
pub use sublayer::{Kind, Parameters, Sublayer, sublayer};
