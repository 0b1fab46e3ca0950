//! Benchmarks: kernels and whole models, on emulated boards and on this machine, beside other engines.
//!
//! What is measured is data: `definitions/kernels.toml` and `definitions/models.toml` ([`definition`]). A kernel becomes
//! a plan of one operator ([`kernel`]), so that kernels and models are measured alike: instructions on boards
//! ([`board`]), time on this machine by engines that take turns ([`engine`], [`rounds`]). What was measured goes into a
//! file of `records/`, by date and machine ([`record`]).
//!
//! `cargo xtask bench` runs it all; docs/performance.md says how.

pub mod board;
pub mod definition;
pub mod engine;
pub mod kernel;
pub mod record;
pub mod rounds;
