//! Operations that the training library lacks or has slowly, with their gradients.

mod attention;
mod gelu;
mod projection;

pub use attention::{Layout, attention};
pub use gelu::gelu;
pub use projection::{ABSENT, project};
