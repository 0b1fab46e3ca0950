//! The clock: the free counter of the FPGAIO block.
//!
//! Under `-icount shift=N` QEMU's virtual time moves 2^N ns with every instruction and this counter
//! follows it, so instructions = ticks x tick length / 2^N. With N = 6 a tick is less than one
//! instruction and 32 bits hold 2,684 million of them (40 ns ticks) or 3,355 million (50 ns).
//! Two readings always cost the same; [`Clock::overhead`] says how much.

use mixel_machine::FPGAIO;
pub use mixel_machine::TICK_PICOSECONDS;

const COUNTER: *const u32 = (FPGAIO + 0x18) as *const u32;
const PRESCALE: *mut u32 = (FPGAIO + 0x1C) as *mut u32;

/// The running counter.
#[derive(Clone, Copy, Debug)]
pub struct Clock(());

impl Clock {
    /// Starts the counter at the full rate of its input.
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

    /// Ticks between two readings with nothing between them.
    pub fn overhead(&self) -> u32 {
        let start = self.now();
        self.now().wrapping_sub(start)
    }
}
