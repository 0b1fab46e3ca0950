//! Checks of the emulated board itself, before anything is believed that it measures.
//!
//! Run by `cargo xtask test` under `-icount shift=8`, with a file `input` of 5 bytes "mixel" in the
//! working directory. The exit code is the verdict.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use embedded_io::Write;
use mixel_emulated::{Clock, Exit, RecordFile, TICK_PICOSECONDS, bulk, exit, read, unwrap};
use mixel_gauge::stack_of;

/// Nanoseconds of virtual time that an instruction takes, as `-icount shift=8` says.
const NANOSECONDS: u64 = 256;

#[entry]
fn main() -> ! {
    let clock = Clock::start();
    let mut passed = true;
    let mut check = |name: &'static str, ok: bool| {
        if ok {
            defmt::info!("{=str}: ok", name);
        } else {
            defmt::error!("{=str}: failed", name);
            passed = false;
        }
    };
    check("instructions of a loop of known length", counts_instructions(&clock));
    check("times beyond the counter", counts_rounds());
    check("stack of a frame of known size", gauges_stack());
    check("large memory", uses_bulk());
    check("files", copies_a_file());
    exit(if passed { Exit::Done } else { Exit::Refused })
}

/// 200,000 rounds of three instructions, and up to three to begin with; what the readings themselves take is
/// taken away.
fn counts_instructions(clock: &Clock) -> bool {
    let overhead = clock.ticks_of(|| ());
    let ticks = clock.ticks_of(|| {
        // SAFETY: counts a register down.
        unsafe {
            core::arch::asm!("2:", "nop", "subs {n}, #1", "bne 2b", n = inout(reg) 200_000 => _, options(nomem, nostack));
        }
    });
    let picoseconds = (ticks - overhead) * u64::from(TICK_PICOSECONDS);
    let instructions = (picoseconds + 500 * NANOSECONDS) / (1000 * NANOSECONDS);
    defmt::info!("{=u64} instructions, {=u64} ticks of overhead", instructions, overhead);
    (600_000..=600_003).contains(&instructions)
}

/// Times longer than the 32-bit counter holds: the slow counter is right within two hundredths.
fn counts_rounds() -> bool {
    let hundredth = 10_000_000_000 / u64::from(TICK_PICOSECONDS);
    [5, hundredth, (1 << 32) - 1, 1 << 32, (7 << 32) + 12_345, (9 << 32) - 1].into_iter().all(|ticks| {
        let hundredths = ticks / hundredth;
        [hundredths.saturating_sub(1), hundredths, hundredths + 1]
            .into_iter()
            .all(|about| unwrap(ticks as u32, about as u32) == ticks)
    })
}

fn gauges_stack() -> bool {
    #[inline(never)]
    fn frame<const N: usize>() -> u8 {
        let mut bytes = [0u8; N];
        black_box(&mut bytes);
        bytes[N / 2]
    }
    let (_, nothing) = stack_of(|| ());
    let (_, small) = stack_of(frame::<1024>);
    let (_, large) = stack_of(frame::<20_000>);
    defmt::info!("stack {=u32}, {=u32}, {=u32} bytes", nothing, small, large);
    nothing == 0 && (1024..1100).contains(&small) && (20_000..20_100).contains(&large)
}

fn uses_bulk() -> bool {
    let Some(memory) = bulk() else { return false };
    let (first, last) = (memory.as_ptr() as usize, memory.len() - 1);
    memory[0] = 17;
    memory[last] = 42;
    black_box(&mut *memory);
    first % 16 == 0 && memory[0] == 17 && memory[last] == 42 && memory.len() == 16 << 20 && bulk().is_none()
}

fn copies_a_file() -> bool {
    let mut bytes = [0; 8];
    let Ok(len) = read(c"input", &mut bytes) else { return false };
    let missing = read(c"no such file", &mut []).is_err();
    let too_large = read(c"input", &mut [0; 4]).is_err();
    let written = RecordFile::create(c"output").and_then(|mut file| {
        file.write_all(&bytes[..2])?;
        file.write_all(&bytes[2..len])
    });
    &bytes[..len] == b"mixel" && missing && too_large && written.is_ok()
}
