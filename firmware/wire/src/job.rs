//! The job: what the runner shall do.
//!
//! ```text
//! "MXJB" | version | runs | flags | dump | samples | sample ...
//! sample = kind | rows | parts | part ...
//! part   = length | bytes
//! ```
//!
//! Every field is a u32. `kind` is 0 for tensors (one part for each input of the plan, raw
//! little-endian elements), 1 for text (one part, UTF-8) and 2 for events (one part, the file of a
//! recording). `rows` is the number of rows present
//! of a plan with a bounded row axis, or [`ALL_ROWS`].

use crate::{VERSION, take, take_word};

/// First bytes of a job.
pub const MAGIC: [u8; 4] = *b"MXJB";
/// `rows` of a sample that leaves the row axis as the plan bounds it.
pub const ALL_ROWS: u32 = u32::MAX;
/// `dump` of a job that asks for no operator's output.
pub const NO_DUMP: u32 = u32::MAX;

const HEAD_BYTES: usize = 24;
const FLAG_CHECKSUMS: u32 = 1;
const FLAG_KEEP_STATE: u32 = 2;

/// What the runner shall do with the samples of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Timed runs of the first sample; 0 measures nothing.
    pub runs: u32,
    /// Send the CRC-32 of every operator's output for every sample.
    pub checksums: bool,
    /// Keep the states of the plan from one sample to the next; they start at zero either way.
    pub keep_state: bool,
    /// Send the whole output of this operator for every sample.
    pub dump: Option<u32>,
}

impl Default for Request {
    /// Outputs only.
    fn default() -> Self {
        Self { runs: 0, checksums: false, keep_state: false, dump: None }
    }
}

impl Request {
    /// The head of a job with `samples` samples; their bytes follow it.
    pub fn head(&self, samples: u32) -> [u8; HEAD_BYTES] {
        let mut flags = 0;
        if self.checksums {
            flags |= FLAG_CHECKSUMS;
        }
        if self.keep_state {
            flags |= FLAG_KEEP_STATE;
        }
        let words =
            [u32::from_le_bytes(MAGIC), VERSION, self.runs, flags, self.dump.unwrap_or(NO_DUMP), samples];
        let mut head = [0; HEAD_BYTES];
        for (bytes, word) in head.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        head
    }
}

/// How the parts of a sample are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One part for each input of the plan.
    Tensors,
    /// One part: UTF-8 text for the text front end.
    Text,
    /// One part: a recording for the event front end, header included. A job of events has no other samples.
    Events,
}

impl Kind {
    /// The field's value.
    pub const fn code(self) -> u32 {
        match self {
            Kind::Tensors => 0,
            Kind::Text => 1,
            Kind::Events => 2,
        }
    }
}

/// Why bytes are not a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobError {
    /// The first bytes are not [`MAGIC`].
    Magic,
    /// Another version, which is here.
    Version(u32),
    /// The bytes end too early.
    Truncated,
    /// Unknown kind of a sample.
    Kind(u32),
}

impl core::fmt::Display for JobError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            JobError::Magic => f.write_str("the job does not begin with MXJB"),
            JobError::Version(v) => {
                write!(f, "the job has version {v}, this runner reads {VERSION}")
            }
            JobError::Truncated => f.write_str("the job ends before its last sample"),
            JobError::Kind(k) => write!(f, "a sample has unknown kind {k}"),
        }
    }
}

impl core::error::Error for JobError {}

/// A job as it lies in memory.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    request: Request,
    samples: u32,
    bytes: &'a [u8],
}

impl<'a> Job<'a> {
    /// Reads and checks the whole of a job; what follows it is ignored.
    pub fn new_checked(mut bytes: &'a [u8]) -> Result<Self, JobError> {
        let magic = take_word(&mut bytes).ok_or(JobError::Truncated)?;
        if magic != u32::from_le_bytes(MAGIC) {
            return Err(JobError::Magic);
        }
        let mut word = || take_word(&mut bytes).ok_or(JobError::Truncated);
        let version = word()?;
        if version != VERSION {
            return Err(JobError::Version(version));
        }
        let (runs, flags, dump, samples) = (word()?, word()?, word()?, word()?);
        let request = Request {
            runs,
            checksums: flags & FLAG_CHECKSUMS != 0,
            keep_state: flags & FLAG_KEEP_STATE != 0,
            dump: (dump != NO_DUMP).then_some(dump),
        };
        let mut rest = bytes;
        for _ in 0..samples {
            take_sample(&mut rest)?;
        }
        Ok(Self { request, samples, bytes })
    }

    /// What is asked for.
    pub fn request(&self) -> Request {
        self.request
    }

    /// The samples in order.
    pub fn samples(&self) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        let mut rest = self.bytes;
        // `new_checked` has walked the same bytes, so no sample is lost here.
        (0..self.samples).map_while(move |_| take_sample(&mut rest).ok())
    }
}

fn take_sample<'a>(bytes: &mut &'a [u8]) -> Result<Sample<'a>, JobError> {
    let mut word = || take_word(bytes).ok_or(JobError::Truncated);
    let (kind, rows, parts) = (word()?, word()?, word()?);
    let kind = match kind {
        0 => Kind::Tensors,
        1 => Kind::Text,
        2 => Kind::Events,
        other => return Err(JobError::Kind(other)),
    };
    let start = *bytes;
    for _ in 0..parts {
        take_part(bytes).ok_or(JobError::Truncated)?;
    }
    Ok(Sample { kind, rows: (rows != ALL_ROWS).then_some(rows), parts, bytes: start })
}

fn take_part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = take_word(bytes)?;
    take(bytes, len)
}

/// One inference: its inputs.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// What the parts are.
    pub kind: Kind,
    /// Rows present, where the plan bounds a row axis and the sample has fewer.
    pub rows: Option<u32>,
    parts: u32,
    bytes: &'a [u8],
}

impl<'a> Sample<'a> {
    /// Number of parts.
    pub fn len(&self) -> usize {
        self.parts as usize
    }

    /// Whether there is no part.
    pub fn is_empty(&self) -> bool {
        self.parts == 0
    }

    /// The parts in order.
    pub fn parts(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.bytes;
        (0..self.parts).map_while(move |_| take_part(&mut rest))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn two_samples() -> Vec<u8> {
        let request = Request { runs: 3, checksums: true, keep_state: false, dump: Some(7) };
        let mut bytes = request.head(2).to_vec();
        for (kind, rows, parts) in
            [(Kind::Tensors, ALL_ROWS, &[&b"abc"[..], &b""[..]][..]), (Kind::Text, 5, &[b"play"])]
        {
            for word in [kind.code(), rows, parts.len() as u32] {
                bytes.extend(word.to_le_bytes());
            }
            for part in parts {
                bytes.extend((part.len() as u32).to_le_bytes());
                bytes.extend(*part);
            }
        }
        bytes
    }

    #[test]
    fn reads_back_what_was_written() {
        let bytes = two_samples();
        let job = Job::new_checked(&bytes).unwrap();
        assert_eq!(job.request().runs, 3);
        assert_eq!(job.request().dump, Some(7));
        assert!(job.request().checksums && !job.request().keep_state);
        let samples: Vec<_> = job.samples().collect();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples[0].parts().collect::<Vec<_>>(), [&b"abc"[..], b""]);
        assert_eq!(samples[0].rows, None);
        assert_eq!((samples[1].kind, samples[1].rows), (Kind::Text, Some(5)));
        assert_eq!(samples[1].parts().next(), Some(&b"play"[..]));
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = two_samples();
        for len in 0..bytes.len() {
            assert_eq!(
                Job::new_checked(&bytes[..len]).unwrap_err(),
                JobError::Truncated,
                "{len} of {} bytes",
                bytes.len()
            );
        }
    }

    #[test]
    fn other_versions_and_kinds_are_refused() {
        let mut bytes = two_samples();
        bytes[4] = 9;
        assert_eq!(Job::new_checked(&bytes).unwrap_err(), JobError::Version(9));
        let mut bytes = two_samples();
        bytes[HEAD_BYTES] = 3;
        assert_eq!(Job::new_checked(&bytes).unwrap_err(), JobError::Kind(3));
        assert_eq!(Job::new_checked(b"MXLP....").unwrap_err(), JobError::Magic);
    }
}
