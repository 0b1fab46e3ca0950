//! Operations that the training library lacks or has slowly, with their gradients.

mod gelu;
mod projection;

pub use gelu::gelu;
pub use projection::{ABSENT, project};
