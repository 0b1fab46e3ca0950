//! Does a job of the host, on any board.
//!
//! The board brings the plan, the job, memory, a clock and a way out for the records; see `mixel_wire`
//! for what the bytes mean. Nothing is sent while something is timed.

#![no_std]
#![forbid(unsafe_code)]

mod events;
mod images;
mod observers;
mod records;
mod refused;

use embedded_io::Write;
use images::Images;
use mixel_core::profile::Unobserved;
use mixel_core::{All, Plan, Session, profile::Clock};
use mixel_wire::{
    job::{Job, Kind, Sample},
    record::Unit,
};
use observers::{Compare, Times};
use records::Records;
pub use refused::Refused;

/// What a board can measure.
pub trait Board: Clock {
    /// What its clock counts.
    const UNIT: Unit;
    /// Length of a tick in picoseconds of virtual time; 0 where ticks are cycles.
    const TICK_PICOSECONDS: u32;

    /// Runs `work` and gives the bytes of stack that it took.
    fn stack_of(&mut self, work: impl FnOnce()) -> u32;

    /// Ticks that `work` takes.
    fn ticks_of(&mut self, work: impl FnOnce()) -> u64 {
        let start = self.now();
        work();
        u64::from(self.now().wrapping_sub(start))
    }

    /// Ticks between two readings with nothing between them.
    fn overhead(&mut self) -> u32 {
        let start = self.now();
        self.now().wrapping_sub(start)
    }
}

/// How a job ended.
pub enum Outcome {
    /// All samples were run and sent.
    Done,
    /// The host asked for something that cannot be done; it was told so.
    Refused(Refused),
}

/// Runs `job` on `plan` and sends the records to `out`.
///
/// `plan` and `memory` lie at multiples of 16 bytes; `memory` takes the arena and one word for every
/// operator.
///
/// # Errors
/// What `out` gives. Everything else is an [`Outcome`].
pub fn execute<B: Board, W: Write>(
    plan: &[u8],
    job: &[u8],
    memory: &mut [u8],
    board: &mut B,
    out: W,
) -> Result<Outcome, W::Error> {
    let mut records = Records(out);
    match work(plan, job, memory, board, &mut records) {
        Ok(samples) => {
            records.end(samples)?;
            Ok(Outcome::Done)
        }
        Err(Stop::Refused(refused)) => {
            records.refused(&refused)?;
            Ok(Outcome::Refused(refused))
        }
        Err(Stop::Lost(error)) => Err(error),
    }
}

/// Why the work stops early.
enum Stop<E> {
    Refused(Refused),
    /// Records cannot be sent any more.
    Lost(E),
}

impl<E> From<Refused> for Stop<E> {
    fn from(refused: Refused) -> Self {
        Stop::Refused(refused)
    }
}

/// Every operator is linked: the runner takes any plan.
type AnySession<'p, 'a> = Session<'p, 'a, All>;

fn work<B: Board, W: Write>(
    plan: &[u8],
    job: &[u8],
    memory: &mut [u8],
    board: &mut B,
    records: &mut Records<W>,
) -> Result<u32, Stop<W::Error>> {
    let plan = Plan::new_checked(plan).map_err(Refused::Plan)?;
    let job = Job::new_checked(job).map_err(Refused::Job)?;
    let request = job.request();
    let ops = plan.operator_count();

    let too_small = Refused::Memory { needs: plan.arena_bytes() + ops * 4, has: memory.len() };
    let (arena, rest) = memory.split_at_mut_checked(plan.arena_bytes()).ok_or(too_small)?;
    let (words, rest) = rest.split_at_mut_checked(ops * 4).ok_or(too_small)?;
    let mut session = AnySession::new(plan, arena).map_err(Refused::Session)?;
    if job.samples().next().is_some_and(|sample| sample.kind == Kind::Events) {
        records.hello::<B>(&plan, board.overhead()).map_err(Stop::Lost)?;
        return events::work(session, &job, rest, board, records);
    }

    let lost = Stop::Lost;
    records.hello::<B>(&plan, board.overhead()).map_err(lost)?;
    let mut done = 0;
    for (number, sample) in (0u32..).zip(job.samples()) {
        if !request.keep_state {
            session.reset();
        }
        load(&mut session, &sample, number)?;
        let mut images = Images::new(&plan, sample, rest)?;
        if request.checksums || request.dump.is_some() {
            let mut compare = Compare::new(words, records, number, request.dump);
            session.run_streamed(&mut images, &mut compare);
            compare.finish().map_err(lost)?;
            if request.checksums {
                records.checksums(number, words).map_err(lost)?;
            }
        } else {
            session.run_streamed(&mut images, &mut Unobserved);
        }
        for output in 0..session.plan().outputs().count() {
            let bytes = images.output(output).unwrap_or(session.output(output));
            records.output(number, output as u32, bytes).map_err(lost)?;
        }
        done = number + 1;
    }
    if let (1.., Some(sample)) = (request.runs, job.samples().next()) {
        measure(&mut session, &sample, request.runs, (words, rest), board, records)?;
    }
    Ok(done)
}

/// Stack of one run, then `runs` timed ones, all from the same state and inputs.
fn measure<B: Board, W: Write>(
    session: &mut AnySession<'_, '_>,
    sample: &Sample<'_>,
    runs: u32,
    (words, rest): (&mut [u8], &mut [u8]),
    board: &mut B,
    records: &mut Records<W>,
) -> Result<(), Stop<W::Error>> {
    let afresh = |session: &mut AnySession<'_, '_>| {
        session.reset();
        load(session, sample, 0)
    };
    afresh(session)?;
    let plan = *session.plan();
    let mut images = Images::new(&plan, *sample, rest)?;
    let stack = board.stack_of(|| session.run_streamed(&mut images, &mut Unobserved));
    records.stack(stack).map_err(Stop::Lost)?;
    for run in 0..runs {
        afresh(session)?;
        let total = board.ticks_of(|| session.run_streamed(&mut images, &mut Unobserved));
        afresh(session)?;
        session.run_streamed(&mut images, &mut Times::new(board, words));
        records.ticks(run, total, words).map_err(Stop::Lost)?;
    }
    Ok(())
}

/// Puts a sample into the session's inputs.
fn load(session: &mut AnySession<'_, '_>, sample: &Sample<'_>, number: u32) -> Result<(), Refused> {
    let rows = sample.rows.map_or(session.plan().max_rows(), |rows| rows as usize);
    session.set_rows(rows).map_err(|error| Refused::Input { sample: number, error })?;
    match sample.kind {
        Kind::Text => {
            let text = sample.parts().next().unwrap_or_default();
            session.set_text(text).map_err(|error| Refused::Input { sample: number, error })?;
        }
        Kind::Events => return Err(Refused::Mixed { sample: number }),
        Kind::Tensors => {
            let inputs = session.plan().inputs().count();
            if sample.len() != inputs {
                return Err(Refused::Parts { sample: number, arrays: sample.len(), inputs });
            }
            for (index, part) in sample.parts().enumerate() {
                let plan = *session.plan();
                let port = plan.inputs().nth(index);
                let takes =
                    port.and_then(|port| plan.port_tensor(&port).ok()).map_or(0, |tensor| tensor.bytes());
                if part.len() != takes {
                    return Err(Refused::Bytes { sample: number, index, found: part.len(), takes });
                }
                // Images that come by rows are fetched during the run.
                if port.is_some_and(|port| plan.streamed(&port).is_none()) {
                    session.input(index).copy_from_slice(part);
                }
            }
        }
    }
    Ok(())
}
