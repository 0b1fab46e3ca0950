//! Records: what the runner answers.
//!
//! ```text
//! record = tag | length | payload of that many bytes
//! ```
//!
//! A stream that does not end with [`Record::End`] was cut short: the program on the board stopped.

use crate::{take, take_word};

/// Why the runner did not do the job. The numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Refusal {
    /// The job is not a job of this version.
    Job = 1,
    /// The plan is not a valid plan, or is for another layout than the runner's core.
    Plan = 2,
    /// The session cannot be made: the arena of the board is too small or an operator is missing.
    Session = 3,
    /// A sample does not fit the plan: number or size of its parts, rows, or its kind.
    Sample = 4,
    /// The plan does not fit the memory that the board has for it.
    Memory = 5,
}

impl Refusal {
    /// The refusal with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        [Refusal::Job, Refusal::Plan, Refusal::Session, Refusal::Sample, Refusal::Memory]
            .into_iter()
            .find(|refusal| *refusal as u32 == code)
    }
}

/// What the clock of a board counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Unit {
    /// Ticks of virtual time, which QEMU derives from executed instructions.
    EmulatedTicks = 0,
    /// Clock cycles of the core.
    Cycles = 1,
}

/// The first record: the plan was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// [`crate::VERSION`] of the runner.
    pub version: u32,
    /// What the clock counts, a [`Unit`].
    pub unit: u32,
    /// Length of a tick in picoseconds of virtual time; 0 on a board that counts cycles.
    pub tick_picoseconds: u32,
    /// Arena of the plan in bytes.
    pub arena_bytes: u32,
    /// Operators of the plan.
    pub ops: u32,
    /// Ticks between two readings of the clock with nothing between them; it is in every time.
    pub overhead: u32,
}

/// One record of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// The plan was taken.
    Hello(Hello),
    /// An output of a sample: sample, output, raw little-endian elements.
    Output(u32, u32, &'a [u8]),
    /// Checksums of the outputs of all operators for a sample.
    Checksums(u32, Words<'a>),
    /// The output of the operator asked for: sample, operator, bytes.
    Dump(u32, u32, &'a [u8]),
    /// A timed run: its number, ticks of a whole run that nobody watches, ticks of every operator in another.
    Ticks {
        /// Number of the run, from 0.
        run: u32,
        /// Ticks of a whole run that nobody watches, low word first on the way.
        total: u64,
        /// Ticks of the operators in the plan's order, from another run.
        ops: Words<'a>,
    },
    /// Bytes of stack that a run takes.
    Stack(u32),
    /// The job was refused: a [`Refusal`] and a sentence.
    Refused(u32, &'a [u8]),
    /// A window of a recording was run; its outputs follow.
    Window(Window),
    /// Where the time went in a recording, after its last window.
    Stages {
        /// The sample.
        sample: u32,
        /// Events decoded.
        events: u32,
        /// For each stage (decode, accumulate, tokens, network, answer): ticks, low word first, and how often it was
        /// entered, which is how many readings of the clock are in the ticks.
        stages: Words<'a>,
    },
    /// The job is done; number of samples.
    End(u32),
}

/// A window of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The sample.
    pub sample: u32,
    /// Its last microsecond.
    pub end: u32,
    /// Events in it.
    pub events: u32,
    /// Empty windows skipped before it.
    pub skipped: u32,
    /// Tokens.
    pub tokens: u32,
    /// Active patches beyond the bound.
    pub dropped: u32,
    /// Events outside of the grid.
    pub outside: u32,
}

/// Little-endian words inside a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    /// The words in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (words, _) = self.0.as_chunks::<4>();
        words.iter().map(|word| u32::from_le_bytes(*word))
    }
}

/// Tags of the records, part of the format.
pub mod tag {
    #![expect(missing_docs, reason = "named after the records")]
    pub const HELLO: u32 = 1;
    pub const OUTPUT: u32 = 2;
    pub const CHECKSUMS: u32 = 3;
    pub const DUMP: u32 = 4;
    pub const TICKS: u32 = 5;
    pub const STACK: u32 = 6;
    pub const REFUSED: u32 = 7;
    pub const END: u32 = 8;
    pub const WINDOW: u32 = 9;
    pub const STAGES: u32 = 10;
}

/// The head of a record with `tag` whose payload is `words` and then `tail` bytes.
///
/// The writer sends it in pieces, because no record is ever whole in a board's memory.
pub fn head(tag: u32, words: usize, tail: usize) -> [u8; 8] {
    let mut head = [0; 8];
    head[..4].copy_from_slice(&tag.to_le_bytes());
    head[4..].copy_from_slice(&((words * 4 + tail) as u32).to_le_bytes());
    head
}

/// Why bytes are not a stream of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// The stream ends inside a record.
    Truncated,
    /// A tag that this version does not know.
    Tag(u32),
    /// A payload too short for its tag.
    Payload(u32),
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RecordError::Truncated => f.write_str("the answer ends inside a record"),
            RecordError::Tag(tag) => write!(f, "the answer has an unknown record {tag}"),
            RecordError::Payload(tag) => write!(f, "record {tag} of the answer is too short"),
        }
    }
}

impl core::error::Error for RecordError {}

/// Reads the records of `bytes` one after the other; an error is the last item.
pub fn read(bytes: &[u8]) -> impl Iterator<Item = Result<Record<'_>, RecordError>> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let record = take_record(&mut rest);
        if record.is_err() {
            rest = &[];
        }
        Some(record)
    })
}

fn take_record<'a>(bytes: &mut &'a [u8]) -> Result<Record<'a>, RecordError> {
    let tag = take_word(bytes).ok_or(RecordError::Truncated)?;
    let len = take_word(bytes).ok_or(RecordError::Truncated)?;
    let mut payload = take(bytes, len).ok_or(RecordError::Truncated)?;
    let mut word = || take_word(&mut payload).ok_or(RecordError::Payload(tag));
    Ok(match tag {
        tag::HELLO => Record::Hello(Hello {
            version: word()?,
            unit: word()?,
            tick_picoseconds: word()?,
            arena_bytes: word()?,
            ops: word()?,
            overhead: word()?,
        }),
        tag::OUTPUT => {
            let (sample, output) = (word()?, word()?);
            Record::Output(sample, output, payload)
        }
        tag::CHECKSUMS => {
            let sample = word()?;
            Record::Checksums(sample, Words(payload))
        }
        tag::DUMP => {
            let (sample, op) = (word()?, word()?);
            Record::Dump(sample, op, payload)
        }
        tag::TICKS => {
            let (run, low, high) = (word()?, word()?, word()?);
            let total = u64::from(high) << 32 | u64::from(low);
            Record::Ticks { run, total, ops: Words(payload) }
        }
        tag::STACK => Record::Stack(word()?),
        tag::REFUSED => {
            let code = word()?;
            Record::Refused(code, payload)
        }
        tag::END => Record::End(word()?),
        tag::WINDOW => Record::Window(Window {
            sample: word()?,
            end: word()?,
            events: word()?,
            skipped: word()?,
            tokens: word()?,
            dropped: word()?,
            outside: word()?,
        }),
        tag::STAGES => {
            let (sample, events) = (word()?, word()?);
            Record::Stages { sample, events, stages: Words(payload) }
        }
        other => return Err(RecordError::Tag(other)),
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{vec, vec::Vec};

    fn record(tag: u32, words: &[u32], tail: &[u8]) -> Vec<u8> {
        let mut bytes = head(tag, words.len(), tail.len()).to_vec();
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(tail);
        bytes
    }

    #[test]
    fn reads_back_what_was_written() {
        let bytes = [
            record(tag::HELLO, &[1, 0, 40_000, 16_000, 12, 3], &[]),
            record(tag::OUTPUT, &[0, 1], b"xyz"),
            record(tag::TICKS, &[2, 90, 1, 40, 50], &[]),
            record(tag::REFUSED, &[Refusal::Plan as u32], b"checksum"),
            record(tag::END, &[1], &[]),
            record(tag::WINDOW, &[0, 50_000, 700, 1, 20, 3, 2], &[]),
            record(tag::STAGES, &[0, 700, 90, 1, 5], &[]),
        ]
        .concat();
        let records: Vec<_> = read(&bytes).map(Result::unwrap).collect();
        let Record::Ticks { run: 2, total: 0x1_0000_005A, ops } = records[2] else {
            panic!("{:?}", records[2])
        };
        assert_eq!(ops.iter().collect::<Vec<_>>(), [40, 50]);
        assert_eq!(records[1], Record::Output(0, 1, b"xyz"));
        assert_eq!(records[3], Record::Refused(2, b"checksum"));
        assert_eq!(records[4], Record::End(1));
        let window =
            Window { sample: 0, end: 50_000, events: 700, skipped: 1, tokens: 20, dropped: 3, outside: 2 };
        assert_eq!(records[5], Record::Window(window));
        let Record::Stages { sample: 0, events: 700, stages } = records[6] else {
            panic!("{:?}", records[6])
        };
        assert_eq!(stages.iter().collect::<Vec<_>>(), [90, 1, 5]);
    }

    #[test]
    fn a_cut_or_foreign_stream_ends_with_an_error() {
        let bytes = record(tag::OUTPUT, &[0, 1], b"xyz");
        for len in 1..bytes.len() {
            let records: Vec<_> = read(&bytes[..len]).collect();
            assert_eq!(records, vec![Err(RecordError::Truncated)], "{len}");
        }
        let short = record(tag::STACK, &[], &[]);
        assert_eq!(read(&short).next(), Some(Err(RecordError::Payload(tag::STACK))));
        let foreign = record(99, &[], &[]);
        assert_eq!(read(&foreign).next(), Some(Err(RecordError::Tag(99))));
    }

    #[test]
    fn refusals_keep_their_numbers() {
        for code in 1..=5 {
            assert_eq!(Refusal::from_code(code).map(|refusal| refusal as u32), Some(code));
        }
        assert_eq!(Refusal::from_code(6), None);
    }
}
