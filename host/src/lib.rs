//! mixel: from a trained ONNX network to a verified int8 plan for microcontrollers.
//!
//! The stages in the order of the pipeline: ONNX file -> [`import`] -> [`graph`] and its passes -> [`quantize`] ->
//! [`lower`] (operators of a plan) -> [`plan`] (memory) -> [`emit`] (bytes, read back by `mixel-core`). [`mod@reference`]
//! runs the float model with tract, [`events`] reads recordings of event cameras, [`image`] pictures, [`validate`] compares, [`device`] runs plans on boards, [`cli`] is the command.
#![deny(unsafe_code)]

pub mod aligned;
pub mod arrays;
pub mod cli;
pub mod compile;
pub mod device;
pub mod emit;
pub mod error;
pub mod events;
pub mod graph;
mod guard;
pub mod image;
pub mod import;
pub mod inspect;
pub mod lower;
pub mod plan;
pub mod program;
pub mod quantize;
pub mod reference;
pub mod report;
pub mod run;
pub mod samples;
pub mod validate;

pub use error::{Error, ErrorKind, Result};

/// The code in the repository's front page compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
