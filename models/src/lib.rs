//! The networks of the zoo.
#![deny(unsafe_code)]

pub mod augment;
pub mod batch;
pub mod data;
pub mod metrics;
pub mod onnx;
pub mod ops;
pub mod pnlp_mixer;
pub mod train;
pub mod zoo;
