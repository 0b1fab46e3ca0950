//! Running recordings on a board: from sensor bytes to an answer a window.

use std::time::Duration;

use mixel_core::event_session::{Seen, Stage};
use mixel_core::events::patch::Emitted;
use mixel_core::events::window::Window;
use mixel_wire::{
    job::{ALL_ROWS, Kind, Request},
    record::{Hello, Record, Refusal, read},
};

use super::firmware::{Program, build};
use super::run::{JOB_BYTES, count, exchange, refused};
use super::{Board, Unit};
use crate::events::Answered;
use crate::{Error, ErrorKind, Result};

/// What came of one recording.
#[derive(Clone, Debug)]
pub struct EventRun {
    /// An answer a window.
    pub answers: Vec<Answered>,
    /// Events that the board decoded.
    pub events: u32,
    /// What is counted of the stages.
    pub unit: Unit,
    /// Instructions or cycles of every stage, in the order of [`Stage::ALL`].
    pub stages: [u64; Stage::ALL.len()],
    /// Arena of the plan in bytes.
    pub arena_bytes: u32,
}

impl EventRun {
    /// Sums over all windows.
    pub fn seen(&self) -> Seen {
        let mut seen = Seen::default();
        for Answered { window, emitted, .. } in &self.answers {
            seen.windows += 1;
            seen.skipped += window.skipped;
            seen.tokens += emitted.tokens as u64;
            seen.dropped_tokens += emitted.dropped_tokens as u64;
            seen.outside += u64::from(emitted.outside);
        }
        seen
    }
}

/// Runs `recordings` (whole files) through `plan` on `board`, each from a fresh state.
///
/// # Errors
/// Those of [`super::run()`].
pub fn run_events(
    board: &Board,
    plan: &[u8],
    recordings: &[Vec<u8>],
    timeout: Duration,
) -> Result<Vec<EventRun>> {
    let (package, feature) = board.runner;
    let built = build(board, &Program { package, feature, profile: "release", variables: &[] })?;
    let mut runs = Vec::new();
    let mut rest = recordings;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |recording: &&Vec<u8>| {
            bytes += recording.len() + 16;
            bytes <= JOB_BYTES
        };
        let (batch, after) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = after;
        let (records, exit, log) = exchange(board, &built, plan, &encode(batch), timeout)?;
        let done = take(board, &records, exit)?;
        if done.len() != batch.len() {
            let said = log.join("\n  ");
            let message =
                format!("{} of {} recordings were answered; it said:\n  {said}", done.len(), batch.len());
            return Err(Error::new(ErrorKind::Device, board.name, message)
                .hint("give it more time, or fewer recordings"));
        }
        runs.extend(done);
    }
    Ok(runs)
}

fn encode(recordings: &[Vec<u8>]) -> Vec<u8> {
    let mut job = Request::default().head(recordings.len() as u32).to_vec();
    for recording in recordings {
        for word in [Kind::Events.code(), ALL_ROWS, 1, recording.len() as u32] {
            job.extend(word.to_le_bytes());
        }
        job.extend(recording);
    }
    job
}

/// The runs that are whole in `records`.
fn take(board: &Board, records: &[u8], exit: Option<i32>) -> Result<Vec<EventRun>> {
    let (mut hello, mut runs) = (None::<Hello>, Vec::new());
    let mut answers: Vec<Answered> = Vec::new();
    for record in read(records) {
        match record {
            Ok(Record::Hello(head)) => hello = Some(head),
            Ok(Record::Window(window)) => answers.push(Answered {
                window: Window {
                    end: window.end,
                    events: window.events,
                    skipped: window.skipped,
                    active: true,
                },
                emitted: Emitted {
                    tokens: window.tokens as usize,
                    dropped_tokens: window.dropped as usize,
                    outside: window.outside,
                },
                outputs: Vec::new(),
            }),
            Ok(Record::Output(_, _, bytes)) => {
                if let Some(answer) = answers.last_mut() {
                    answer.outputs.push(bytes.to_vec());
                }
            }
            Ok(Record::Stages { events, stages, .. }) => {
                let words: Vec<u32> = stages.iter().collect();
                let mut sums = [0; Stage::ALL.len()];
                for (sum, stage) in sums.iter_mut().zip(words.as_chunks::<3>().0) {
                    *sum = hello.as_ref().map_or(0, |hello| instructions(hello, stage));
                }
                runs.push(EventRun {
                    answers: std::mem::take(&mut answers),
                    events,
                    unit: board.unit,
                    stages: sums,
                    arena_bytes: hello.map_or(0, |hello| hello.arena_bytes),
                });
            }
            Ok(Record::Refused(code, text)) => return Err(refused(board, Refusal::from_code(code), text)),
            Ok(_) => {}
            // What a stopped program left half written is told by the number of recordings.
            Err(_) if exit != Some(0) => break,
            Err(error) => {
                return Err(Error::new(ErrorKind::Device, board.name, "its answer cannot be read")
                    .hint("build mixel and its firmware from the same sources")
                    .caused_by(error.to_string()));
            }
        }
    }
    Ok(runs)
}

/// Instructions or cycles of a stage, without the readings of the clock that are in its ticks.
fn instructions(hello: &Hello, [low, high, entered]: &[u32; 3]) -> u64 {
    let ticks = u64::from(*high) << 32 | u64::from(*low);
    let readings = u64::from(*entered) * u64::from(hello.overhead);
    count(&Hello { overhead: 0, ..*hello }, ticks.saturating_sub(readings))
}
