//! Running a plan on a board.

use std::{path::Path, time::Duration};

use mixel_wire::{
    job::{ALL_ROWS, Kind, Request},
    record::{Hello, Record, Refusal, read},
};

use super::{
    Board, Link, Unit,
    firmware::{Built, Program, build},
    probe,
    qemu::{ICOUNT_SHIFT, emulate},
};
use crate::{Error, ErrorKind, Result};

/// Samples of one job: the emulated boards have 16 MB for plan, job and arena together.
pub(super) const JOB_BYTES: usize = 4 << 20;

/// The input of one inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// Raw little-endian elements of every input of the plan, in its order.
    Tensors {
        /// Rows present of a plan with a bounded row axis; none for the bound.
        rows: Option<u32>,
        /// Bytes of every input.
        inputs: Vec<Vec<u8>>,
    },
    /// Text for the plan's text front end.
    Text(String),
}

/// What shall be done besides running the samples.
#[derive(Clone, Debug)]
pub struct Options {
    /// Timed runs of the first sample; 0 measures neither time nor stack.
    pub runs: u32,
    /// CRC-32 of every operator's output for every sample.
    pub checksums: bool,
    /// The whole output of this operator for every sample.
    pub dump: Option<u32>,
    /// Keep the plan's states from one sample to the next.
    pub keep_state: bool,
    /// When to give up a job that does not end.
    pub timeout: Duration,
}

impl Default for Options {
    /// Outputs only, two minutes.
    fn default() -> Self {
        Self { runs: 0, checksums: false, dump: None, keep_state: false, timeout: Duration::from_secs(120) }
    }
}

/// Smallest, middle and largest of some runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The smallest.
    pub min: u64,
    /// The middle one, the lower of two.
    pub median: u64,
    /// The largest.
    pub max: u64,
}

impl Spread {
    fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let (&min, &max) = (values.first()?, values.last()?);
        Some(Self { min, median: values[(values.len() - 1) / 2], max })
    }
}

/// Where the time goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What is counted.
    pub unit: Unit,
    /// A whole run that nobody watches.
    pub total: Spread,
    /// Every operator in the plan's order; their sum lacks the walk from one to the next.
    pub ops: Vec<Spread>,
    /// Bytes of stack that a run takes.
    pub stack_bytes: u32,
}

/// What came back from a board.
#[derive(Clone, Debug)]
pub struct DeviceRun {
    /// For every sample, every output's raw little-endian elements.
    pub outputs: Vec<Vec<Vec<u8>>>,
    /// For every sample, every operator's CRC-32 (of [`mixel_wire::crc32`]), if asked for.
    pub checksums: Vec<Vec<u32>>,
    /// For every sample, the output of the operator asked for.
    pub dumps: Vec<Vec<u8>>,
    /// Times, if asked for.
    pub profile: Option<Profile>,
    /// Arena of the plan in bytes.
    pub arena_bytes: u32,
    /// What the board logged.
    pub log: Vec<String>,
}

/// Runs `samples` through `plan` on `board`.
///
/// # Errors
/// Those of [`Runner::build`] and [`Runner::run`].
pub fn run(board: &Board, plan: &[u8], samples: &[Sample], options: &Options) -> Result<DeviceRun> {
    Runner::build(board)?.run(plan, samples, options)
}

/// The program of a board that runs any plan, built once for many.
pub struct Runner<'b> {
    board: &'b Board,
    built: Built,
}

impl<'b> Runner<'b> {
    /// Builds it.
    ///
    /// # Errors
    /// [`ErrorKind::Setup`] when a tool is missing, with the command that installs it.
    pub fn build(board: &'b Board) -> Result<Self> {
        let (package, feature) = board.runner;
        let built = build(board, &Program { package, feature, profile: "release", variables: &[] })?;
        Ok(Self { board, built })
    }

    /// Runs `samples` through `plan`.
    ///
    /// # Errors
    /// [`ErrorKind::Plan`] when the board refuses the plan; [`ErrorKind::Input`] when it refuses a sample;
    /// [`ErrorKind::Device`] when the board is not there, does not end in time or stops.
    pub fn run(&self, plan: &[u8], samples: &[Sample], options: &Options) -> Result<DeviceRun> {
        let board = self.board;
        let mut answer = Answer::default();
        for (first, batch) in batches(samples, options) {
            // Only the first batch is measured.
            let runs = if first == 0 { options.runs } else { 0 };
            let request = Request {
                runs,
                checksums: options.checksums,
                keep_state: options.keep_state,
                dump: options.dump,
            };
            let job = encode(&request, batch);
            let (records, exit, log) = exchange(board, &self.built, plan, &job, options.timeout)?;
            answer.log.extend(log);
            answer.take(board, &records, exit, options)?;
        }
        answer.finish(board, samples.len())
    }
}

/// Gives plan and job to the runner: its records, exit code and log.
pub(super) fn exchange(
    board: &Board,
    built: &Built,
    plan: &[u8],
    job: &[u8],
    timeout: Duration,
) -> Result<(Vec<u8>, Option<i32>, Vec<String>)> {
    match board.link {
        Link::Emulated { machine } => {
            let folder = tempfile::tempdir()
                .map_err(|error| Error::new(ErrorKind::Io, "", "no temporary folder").caused_by(error))?;
            let at = |name: &str| folder.path().join(name);
            write(&at("plan.mxl"), plan)?;
            write(&at("job"), job)?;
            let ran = emulate(machine, built, folder.path(), timeout)?;
            // A program that stopped before it made the file answered nothing.
            Ok((std::fs::read(at("records")).unwrap_or_default(), ran.exit, ran.log))
        }
        Link::Attached { chip, storage, storage_bytes } => {
            probe::run(board, chip, (storage, storage_bytes), built, plan, job, timeout)
        }
    }
}

/// Splits the samples into jobs; states go from one sample to the next only inside one.
fn batches<'a>(samples: &'a [Sample], options: &Options) -> Vec<(usize, &'a [Sample])> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, sample) in samples.iter().enumerate() {
        let size = size(sample);
        if bytes + size > JOB_BYTES && index > start && !options.keep_state {
            batches.push((start, &samples[start..index]));
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    batches.push((start, &samples[start..]));
    batches
}

fn size(sample: &Sample) -> usize {
    match sample {
        Sample::Text(text) => text.len() + 16,
        Sample::Tensors { inputs, .. } => inputs.iter().map(|input| input.len() + 4).sum::<usize>() + 12,
    }
}

fn encode(request: &Request, samples: &[Sample]) -> Vec<u8> {
    let mut job = request.head(samples.len() as u32).to_vec();
    let words = |job: &mut Vec<u8>, words: &[u32]| {
        job.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    for sample in samples {
        match sample {
            Sample::Text(text) => {
                words(&mut job, &[Kind::Text.code(), ALL_ROWS, 1, text.len() as u32]);
                job.extend(text.as_bytes());
            }
            Sample::Tensors { rows, inputs } => {
                words(&mut job, &[Kind::Tensors.code(), rows.unwrap_or(ALL_ROWS), inputs.len() as u32]);
                for input in inputs {
                    words(&mut job, &[input.len() as u32]);
                    job.extend(input);
                }
            }
        }
    }
    job
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| {
        Error::new(ErrorKind::Io, path.display().to_string(), "cannot be written").caused_by(error)
    })
}

/// The records of all jobs so far.
#[derive(Default)]
struct Answer {
    outputs: Vec<Vec<Vec<u8>>>,
    checksums: Vec<Vec<u32>>,
    dumps: Vec<Vec<u8>>,
    totals: Vec<u64>,
    ops: Vec<Vec<u64>>,
    stack_bytes: u32,
    arena_bytes: u32,
    log: Vec<String>,
}

impl Answer {
    /// Takes the records of the next job.
    fn take(&mut self, board: &Board, records: &[u8], exit: Option<i32>, options: &Options) -> Result<()> {
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new(ErrorKind::Device, board.name, "its answer cannot be read")
                .hint(
                    "the firmware and this mixel are of different versions; build both from the same sources",
                )
                .caused_by(error)
        };
        let mut hello = None;
        let mut ended = false;
        for record in read(records) {
            match record {
                Ok(Record::Hello(head)) => {
                    self.arena_bytes = head.arena_bytes;
                    hello = Some(head);
                }
                // Records come in the order of samples and outputs, so pushing keeps them in place.
                Ok(Record::Output(_, 0, bytes)) => self.outputs.push(vec![bytes.to_vec()]),
                Ok(Record::Output(_, _, bytes)) => {
                    let outputs = self.outputs.last_mut().ok_or_else(|| broken("no first output".into()))?;
                    outputs.push(bytes.to_vec());
                }
                Ok(Record::Checksums(_, words)) => self.checksums.push(words.iter().collect()),
                Ok(Record::Dump(_, _, bytes)) => self.dumps.push(bytes.to_vec()),
                Ok(Record::Ticks { total, ops, .. }) => {
                    let hello = hello.ok_or_else(|| broken("no first record".into()))?;
                    self.totals.push(count(&hello, total));
                    self.ops.push(ops.iter().map(|ticks| count(&hello, u64::from(ticks))).collect());
                }
                Ok(Record::Stack(bytes)) => self.stack_bytes = bytes,
                Ok(Record::Refused(code, text)) => {
                    return Err(refused(board, Refusal::from_code(code), text));
                }
                Ok(Record::End(_)) => ended = true,
                // Of recordings, which are run elsewhere.
                Ok(Record::Window(_) | Record::Stages { .. }) => {}
                // What a stopped program left half written is told by its end below.
                Err(_) if exit != Some(0) => break,
                Err(error) => return Err(broken(error.to_string().into())),
            }
        }
        if ended { Ok(()) } else { Err(self.stopped(board, exit, options)) }
    }

    /// The board stopped before the job was done.
    fn stopped(&self, board: &Board, exit: Option<i32>, options: &Options) -> Error {
        let log = self.log.join("\n  ");
        match exit {
            None => Error::new(
                ErrorKind::Device,
                board.name,
                format!("no end after {} s; it said:\n  {log}", options.timeout.as_secs()),
            )
            .hint("give it fewer samples or runs, or more time"),
            Some(exit) => Error::new(
                ErrorKind::Device,
                board.name,
                format!("the program on the board stopped with code {exit}; it said:\n  {log}"),
            )
            .hint("a plan that was accepted must not do that: please report it with the plan"),
        }
    }

    fn finish(self, board: &Board, samples: usize) -> Result<DeviceRun> {
        if self.outputs.len() != samples {
            return Err(Error::new(
                ErrorKind::Device,
                board.name,
                format!("{} of {samples} samples were answered", self.outputs.len()),
            ));
        }
        let ops = self.ops.first().map_or(0, Vec::len);
        let per_op = (0..ops)
            .filter_map(|op| Spread::of(self.ops.iter().filter_map(|run| run.get(op).copied()).collect()));
        let profile = Spread::of(self.totals.clone()).map(|total| Profile {
            unit: board.unit,
            total,
            ops: per_op.collect(),
            stack_bytes: self.stack_bytes,
        });
        Ok(DeviceRun {
            outputs: self.outputs,
            checksums: self.checksums,
            dumps: self.dumps,
            profile,
            arena_bytes: self.arena_bytes,
            log: self.log,
        })
    }
}

/// Instructions or cycles between two readings of the clock.
pub(super) fn count(hello: &Hello, ticks: u64) -> u64 {
    let ticks = ticks.saturating_sub(u64::from(hello.overhead));
    if hello.tick_picoseconds == 0 {
        return ticks;
    }
    let picoseconds = ticks * u64::from(hello.tick_picoseconds);
    let instruction = 1000u64 << ICOUNT_SHIFT;
    (picoseconds + instruction / 2) / instruction
}

pub(super) fn refused(board: &Board, refusal: Option<Refusal>, text: &[u8]) -> Error {
    let text = String::from_utf8_lossy(text).into_owned();
    let kind = match refusal {
        Some(Refusal::Plan | Refusal::Session) => ErrorKind::Plan,
        Some(Refusal::Sample) => ErrorKind::Input,
        _ => ErrorKind::Device,
    };
    let error = Error::new(kind, board.name, format!("the board refuses: {text}"));
    match refusal {
        Some(Refusal::Plan) => error.hint(format!(
            "compile the model again with `--target {}` (or generic) and this version of mixel",
            board.target
        )),
        Some(Refusal::Session | Refusal::Memory) => {
            error.hint("the model is too large for the board; `mixel inspect` shows what it needs")
        }
        Some(Refusal::Sample) => error.hint("`mixel inspect` lists the inputs with their shapes and types"),
        Some(Refusal::Job) => error.hint("build mixel and its firmware from the same sources"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mixel_wire::job::Job;

    fn tensors(bytes: usize) -> Sample {
        Sample::Tensors { rows: Some(3), inputs: vec![vec![7; bytes], vec![1, 2]] }
    }

    #[test]
    fn a_job_reads_back_on_the_other_side() {
        let samples = [tensors(5), Sample::Text("spiele Jazz".into())];
        let bytes = encode(&Request { runs: 4, checksums: true, ..Request::default() }, &samples);
        assert_eq!(bytes.len(), 24 + samples.iter().map(size).sum::<usize>());
        let job = Job::new_checked(&bytes).unwrap();
        assert_eq!(job.request().runs, 4);
        let read: Vec<_> = job.samples().collect();
        assert_eq!(read[0].rows, Some(3));
        assert_eq!(read[0].parts().collect::<Vec<_>>(), [&[7u8; 5][..], &[1, 2]]);
        assert_eq!((read[1].kind, read[1].rows), (Kind::Text, None));
        assert_eq!(read[1].parts().next(), Some(&b"spiele Jazz"[..]));
    }

    #[test]
    fn large_inputs_go_in_several_jobs_unless_state_is_kept() {
        let samples = vec![tensors(JOB_BYTES / 2); 5];
        let mut options = Options::default();
        let parts: Vec<_> = batches(&samples, &options).iter().map(|(at, b)| (*at, b.len())).collect();
        assert_eq!(parts, [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]);
        options.keep_state = true;
        assert_eq!(batches(&samples, &options).len(), 1);
        assert_eq!(batches(&[], &options), [(0, &[][..])]);
    }

    #[test]
    fn ticks_become_instructions() {
        let hello =
            Hello { version: 1, unit: 0, tick_picoseconds: 40_000, arena_bytes: 0, ops: 0, overhead: 8 };
        // 1,000 instructions of 6.4 ticks, with every error that two readings can have.
        for ticks in 6407..=6409 {
            assert_eq!(count(&hello, ticks), 1000);
        }
        assert_eq!(count(&hello, 3), 0);
        assert_eq!(count(&Hello { tick_picoseconds: 0, ..hello }, 1608), 1600);
    }

    #[test]
    fn the_middle_of_an_even_number_is_the_lower() {
        assert_eq!(Spread::of(vec![9, 1, 4, 5]), Some(Spread { min: 1, median: 4, max: 9 }));
        assert_eq!(Spread::of(vec![]), None);
    }
}
