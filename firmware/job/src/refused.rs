//! Why a job is not done.

use core::fmt;

use mixel_core::{PlanError, SessionError};
use mixel_wire::{job::JobError, record::Refusal};

/// Why a job is not done. The host gets the number and the sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The job itself is not valid.
    Job(JobError),
    /// The plan is not valid here.
    Plan(PlanError),
    /// No session can be made of it.
    Session(SessionError),
    /// The board's memory is too small.
    Memory {
        /// Bytes for the arena and a word an operator.
        needs: usize,
        /// Bytes that are there.
        has: usize,
    },
    /// A sample has too few or too many arrays.
    Parts {
        /// Its number.
        sample: u32,
        /// Arrays that it has.
        arrays: usize,
        /// Inputs of the plan.
        inputs: usize,
    },
    /// An array has the wrong size.
    Bytes {
        /// The sample's number.
        sample: u32,
        /// The input.
        index: usize,
        /// Bytes of the array.
        found: usize,
        /// Bytes of the input.
        takes: usize,
    },
    /// A job has recordings and other samples.
    Mixed {
        /// The sample that is of another kind than the first.
        sample: u32,
    },
    /// A recording whose format is not known, or not read here.
    Recording {
        /// The sample.
        sample: u32,
    },
    /// The session does not take a sample's rows or text.
    Input {
        /// The sample's number.
        sample: u32,
        /// Its reason.
        error: SessionError,
    },
}

impl Refused {
    /// Its number in the record.
    pub fn code(&self) -> Refusal {
        match self {
            Refused::Job(_) => Refusal::Job,
            Refused::Plan(_) => Refusal::Plan,
            Refused::Session(_) => Refusal::Session,
            Refused::Memory { .. } => Refusal::Memory,
            Refused::Parts { .. }
            | Refused::Bytes { .. }
            | Refused::Mixed { .. }
            | Refused::Recording { .. }
            | Refused::Input { .. } => Refusal::Sample,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Job(error) => error.fmt(f),
            Refused::Plan(error) => error.fmt(f),
            Refused::Session(error) => error.fmt(f),
            Refused::Memory { needs, has } => {
                write!(f, "the plan needs {needs} bytes of memory, the board has {has}")
            }
            Refused::Parts { sample, arrays, inputs } => {
                write!(f, "sample {sample}: {arrays} arrays for {inputs} inputs")
            }
            Refused::Bytes { sample, index, found, takes } => {
                write!(f, "sample {sample}: {found} bytes for input {index}, which takes {takes}")
            }
            Refused::Mixed { sample } => {
                write!(f, "sample {sample}: a job has recordings only, or none")
            }
            Refused::Recording { sample } => {
                write!(f, "sample {sample}: no decoder on the board reads this recording")
            }
            Refused::Input { sample, error } => write!(f, "sample {sample}: {error}"),
        }
    }
}

impl core::error::Error for Refused {}
