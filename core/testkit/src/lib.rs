//! Conformance cases: plans of one operator, made, verified and run in a buffer of the caller's and compared with the
//! kernel's `reference`; and event streams through their decoders. The same cases run on the host, on emulated and real boards and
//! under Miri.
//!
//! Every case runs for each weight layout that the build accepts, with input and output apart, and overlapping as far as
//! the operator allows; scratch memory is exactly what the operator asks for.
#![no_std]

pub mod attention;
mod bench;
pub mod channel_attention;
pub mod channels;
pub mod conv;
pub mod decoding;
pub mod elementwise;
pub mod embedding;
pub mod linear;
pub mod matmul;
pub mod moving;
pub mod naive;
pub mod normalising;
pub mod packed;
pub mod part;
pub mod pool;
pub mod projection;
mod random;
pub mod turned;

pub use bench::{Bench, Failure, Inspect, Job, Pool, UNWRITTEN, tensor};
pub use random::Random;

/// Bytes that [`run_all`] needs.
pub const MEMORY: usize = 64 * 1024;

/// Takes the name of a case and what came of it.
pub type Report<'r> = dyn FnMut(&str, Result<(), Failure>) + 'r;

/// Runs every case in `memory`, at least [`MEMORY`] bytes. Each case is reported once, also when there is too little memory.
pub fn run_all<'r>(memory: &'r mut [u8], report: &'r mut Report<'r>) {
    run_some(memory, 1, report);
}

/// As [`run_all`] with one of `every` cases, for interpreters.
pub fn run_some<'r>(memory: &'r mut [u8], every: usize, report: &'r mut Report<'r>) {
    let mut bench = Bench::new(memory, every, report);
    linear::run(&mut bench);
    turned::run(&mut bench);
    conv::run(&mut bench);
    pool::run(&mut bench);
    matmul::run(&mut bench);
    attention::run(&mut bench);
    projection::run(&mut bench);
    embedding::run(&mut bench);
    packed::run(&mut bench);
    elementwise::run(&mut bench);
    normalising::run(&mut bench);
    moving::run(&mut bench);
    channel_attention::run(&mut bench);
    channels::run(&mut bench);
    decoding::run(&mut bench);
}
