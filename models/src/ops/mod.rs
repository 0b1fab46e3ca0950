//! Operations that the training library lacks or has slowly, with their gradients.

mod attention;
mod depthwise;
mod functions;
mod gelu;
#[cfg(test)]
mod gradients;
mod projection;
mod simd;

pub use attention::{Layout, attention};
pub use depthwise::depthwise;
pub use gelu::gelu;
pub use projection::{ABSENT, project};
