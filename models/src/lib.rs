//! The networks of mixel's zoo: what they are ([`pnlp_mixer`]), the data they learn from ([`data`]), how they are
//! trained ([`course`], [`train`] with the noise of [`augment`]), what they have to beat ([`baselines`], [`controls`]), and how
//! they leave as ONNX files ([`onnx`]). [`zoo`] ties one of each into a model.
//!
//! Nothing here runs on a device: the exported graph goes through the `mixel` command.
#![deny(unsafe_code)]

pub mod augment;
pub mod baselines;
pub mod batch;
pub mod controls;
pub mod course;
pub mod data;
pub mod event_transformer;
pub mod events;
pub mod images;
pub mod jobs;
pub mod metrics;
pub mod onnx;
pub mod ops;
pub mod pnlp_mixer;
pub mod scet;
pub mod spach;
pub mod super_resolution;
pub mod table;
pub mod train;
pub mod weights;
pub mod zoo;
