//! The runner of the Pico 2: runs the plan and the job that the host wrote into its flash.
//!
//! Storage begins with the lengths of plan and job and eight empty bytes, then come both, each at a multiple of
//! 16. Records leave as log lines `record: [..]`. Ticks are cycles of the core. **Not run on hardware.**

#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m::peripheral::{DCB, DWT};
use cortex_m_rt::entry;
use mixel_core::profile;
use mixel_job::{Board, Outcome, execute};
use mixel_rp2350::{Exit, clocks, exit, hal, storage};
use mixel_wire::record::Unit;

/// What is left of the 512 kB for the arena, beside the stack.
const MEMORY: usize = 384 * 1024;

#[repr(C, align(16))]
struct Aligned([u8; MEMORY]);

/// The cycle counter of the core.
struct Cycles;

impl Cycles {
    fn start(mut dcb: DCB, mut dwt: DWT) -> Self {
        dcb.enable_trace();
        dwt.enable_cycle_counter();
        Self
    }
}

impl profile::Clock for Cycles {
    #[inline(always)]
    fn now(&mut self) -> u32 {
        DWT::cycle_count()
    }
}

impl Board for Cycles {
    const UNIT: Unit = Unit::Cycles;
    const TICK_PICOSECONDS: u32 = 0;

    fn stack_of(&mut self, work: impl FnOnce()) -> u32 {
        mixel_gauge::stack_of(work).1
    }
}

/// Records as log lines.
struct Log;

impl embedded_io::ErrorType for Log {
    type Error = Infallible;
}

impl embedded_io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        for line in bytes.chunks(64) {
            defmt::info!("record: {=[u8]:02x}", line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[entry]
fn main() -> ! {
    static mut ARENA: Aligned = Aligned([0; MEMORY]);
    let (Some(core), Some(mut chip)) = (cortex_m::Peripherals::take(), hal::pac::Peripherals::take()) else {
        exit(Exit::Refused)
    };
    clocks(chip.XOSC, chip.CLOCKS, chip.PLL_SYS, chip.PLL_USB, &mut chip.RESETS, chip.WATCHDOG);
    let mut board = Cycles::start(core.DCB, core.DWT);
    let Some((plan, job)) = plan_and_job(storage()) else {
        defmt::error!("no plan and job in flash: let `mixel` write them");
        exit(Exit::Refused)
    };
    let Ok(outcome) = execute(plan, job, &mut ARENA.0, &mut board, Log);
    exit(match outcome {
        Outcome::Done => Exit::Done,
        Outcome::Refused(refused) => {
            defmt::error!("refused: {}", defmt::Display2Format(&refused));
            Exit::Refused
        }
    })
}

/// What the host wrote into storage.
fn plan_and_job(storage: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = storage.split_at_checked(16)?;
    let length = |at: usize| {
        let bytes = head.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes) as usize)
    };
    let (plan, job) = (length(0)?, length(4)?);
    let start = plan.checked_next_multiple_of(16)?;
    Some((rest.get(..plan)?, rest.get(start..start.checked_add(job)?)?))
}
