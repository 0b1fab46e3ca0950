//! The clock: the free counter of the FPGAIO block.
//!
//! Under `-icount shift=N` QEMU's virtual time moves 2^N ns with every instruction and this counter
//! follows it, so instructions = ticks x tick length / 2^N. With N = 8 an instruction is more than five
//! ticks: two readings, each wrong by less than a tick, still round to the exact number of instructions.
//! 32 bits hold 671 million of them (40 ns ticks); a slower counter of the same block tells how often
//! the fast one went round.

use mixel_machine::FPGAIO;
pub use mixel_machine::TICK_PICOSECONDS;

const HUNDREDTHS: *const u32 = (FPGAIO + 0x14) as *const u32;
const COUNTER: *const u32 = (FPGAIO + 0x18) as *const u32;
const PRESCALE: *mut u32 = (FPGAIO + 0x1C) as *mut u32;

/// The running counters.
#[derive(Clone, Copy, Debug)]
pub struct Clock(());

impl Clock {
    /// Starts the fast counter at the full rate of its input.
    pub fn start() -> Self {
        // SAFETY: the prescaler register of the machine's FPGAIO block; 0 divides by one. The register
        // has no other user.
        unsafe { PRESCALE.write_volatile(0) };
        Self(())
    }

    /// Ticks since some moment; differences are right modulo 2^32.
    #[inline(always)]
    pub fn now(&self) -> u32 {
        // SAFETY: the counter register of the machine's FPGAIO block; a reading changes nothing.
        unsafe { COUNTER.read_volatile() }
    }

    /// Hundredths of a second of virtual time since some moment.
    fn hundredths(&self) -> u32 {
        // SAFETY: the 100 Hz counter of the same block; a reading changes nothing.
        unsafe { HUNDREDTHS.read_volatile() }
    }

    /// Ticks that `work` takes, however many.
    pub fn ticks_of(&self, work: impl FnOnce()) -> u64 {
        let began = self.hundredths();
        let start = self.now();
        work();
        let ticks = self.now().wrapping_sub(start);
        unwrap(ticks, self.hundredths().wrapping_sub(began))
    }
}

/// The ticks of a time whose length is `hundredths` of a second, within two of them, and whose ticks modulo
/// 2^32 are `ticks`.
pub fn unwrap(ticks: u32, hundredths: u32) -> u64 {
    let about = u64::from(hundredths) * (10_000_000_000 / u64::from(TICK_PICOSECONDS));
    let rounds = (about + (1 << 31)).saturating_sub(u64::from(ticks)) >> 32;
    (rounds << 32) + u64::from(ticks)
}
