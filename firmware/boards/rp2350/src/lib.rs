//! Raspberry Pi Pico 2 (RP2350, Arm cores). Builds in CI; **not run on hardware**.

#![no_std]

pub use rp235x_hal as hal;

use defmt_rtt as _;
use hal::{Clock as _, block::ImageDef, clocks::ClocksManager, watchdog::Watchdog};

/// Tells the boot ROM to start this program in secure state.
#[unsafe(link_section = ".start_block")]
#[used]
static IMAGE: ImageDef = ImageDef::secure_exe();

/// Crystal of the Pico 2.
const CRYSTAL_HZ: u32 = 12_000_000;

/// Starts the clocks: 150 MHz for the core.
///
/// # Panics
/// When the crystal or a PLL does not start, which is a fault of the board.
pub fn clocks(
    xosc: hal::pac::XOSC,
    clocks: hal::pac::CLOCKS,
    pll_sys: hal::pac::PLL_SYS,
    pll_usb: hal::pac::PLL_USB,
    resets: &mut hal::pac::RESETS,
    watchdog: hal::pac::WATCHDOG,
) -> ClocksManager {
    let mut watchdog = Watchdog::new(watchdog);
    match hal::clocks::init_clocks_and_plls(CRYSTAL_HZ, xosc, clocks, pll_sys, pll_usb, resets, &mut watchdog)
    {
        Ok(clocks) => {
            defmt::info!("core at {=u32} Hz", clocks.system_clock.freq().to_Hz());
            clocks
        }
        Err(_) => defmt::panic!("the clocks do not start"),
    }
}

unsafe extern "C" {
    static _storage_start: u8;
    static _storage_end: u8;
}

/// The upper half of the flash, where the host writes plans and jobs.
pub fn storage() -> &'static [u8] {
    let (start, end) = (&raw const _storage_start, &raw const _storage_end);
    // SAFETY: the linker's memory map names this part of the memory-mapped flash, which this program never
    // writes; erased flash reads as ones.
    unsafe { core::slice::from_raw_parts(start, end as usize - start as usize) }
}

/// How a program under a debugger ends; the same numbers as on the emulated boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It was refused, with a reason in the records or in the log.
    Refused = 10,
    /// A panic; the log has its place.
    Panic = 101,
}

/// Ends the program, and with it `probe-rs run`.
pub fn exit(exit: Exit) -> ! {
    semihosting::process::exit(exit as i32)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    exit(Exit::Panic)
}
