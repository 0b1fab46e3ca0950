//! The runner of the emulated boards: one program a machine, any plan.
//!
//! QEMU's working directory has the plan (`plan.mxl`) and the job (`job`); the records go to
//! `records`. A refusal is written there too and ends with exit code 10.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use mixel_core::profile;
use mixel_emulated::{Clock, Exit, FileError, RecordFile, TICK_PICOSECONDS, bulk, exit, read};
use mixel_job::{Board, Outcome, execute};
use mixel_wire::record::Unit;

/// A machine of QEMU under `-icount`.
struct Emulated(Clock);

impl profile::Clock for Emulated {
    #[inline(always)]
    fn now(&mut self) -> u32 {
        self.0.now()
    }
}

impl Board for Emulated {
    const UNIT: Unit = Unit::EmulatedTicks;
    const TICK_PICOSECONDS: u32 = TICK_PICOSECONDS;

    fn ticks_of(&mut self, work: impl FnOnce()) -> u64 {
        self.0.ticks_of(work)
    }

    fn stack_of(&mut self, work: impl FnOnce()) -> u32 {
        mixel_gauge::stack_of(work).1
    }
}

#[entry]
fn main() -> ! {
    exit(match run() {
        Ok(outcome) => outcome,
        Err((file, error)) => {
            defmt::error!("file {=str}: {}", file, error);
            Exit::Refused
        }
    })
}

fn run() -> Result<Exit, (&'static str, FileError)> {
    let at = |file| move |error| (file, error);
    let memory = bulk().unwrap_or_default();
    let plan_bytes = read(c"plan.mxl", memory).map_err(at("plan.mxl"))?;
    let (plan, memory) = split_aligned(memory, plan_bytes);
    let job_bytes = read(c"job", memory).map_err(at("job"))?;
    let (job, memory) = split_aligned(memory, job_bytes);
    let records = RecordFile::create(c"records").map_err(at("records"))?;
    let mut board = Emulated(Clock::start());
    match execute(&plan[..plan_bytes], &job[..job_bytes], memory, &mut board, records)
        .map_err(at("records"))?
    {
        Outcome::Done => Ok(Exit::Done),
        Outcome::Refused(refused) => {
            defmt::error!("refused: {}", defmt::Display2Format(&refused));
            Ok(Exit::Refused)
        }
    }
}

/// Splits behind `len` bytes so that both parts begin at multiples of 16, as `memory` does.
fn split_aligned(memory: &mut [u8], len: usize) -> (&mut [u8], &mut [u8]) {
    let at = len.next_multiple_of(16).min(memory.len());
    memory.split_at_mut(at)
}
