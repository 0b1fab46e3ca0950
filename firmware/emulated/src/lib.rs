//! QEMU's Arm boards as mixel's programs see them.
//!
//! Features choose the machine, see `mixel_machine`. Logs are defmt frames on semihosting's standard output, data goes through
//! semihosting files in QEMU's working directory, and the verdict is the [exit code](Exit).

#![no_std]

mod clock;
mod files;
mod memory;

pub use clock::{Clock, TICK_PICOSECONDS, unwrap};
pub use files::{FileError, InputFile, RecordFile, read};
pub use memory::bulk;

use cortex_m_rt::{ExceptionFrame, exception};
use defmt_semihosting as _;

/// How a program ends; the number is QEMU's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Exit {
    /// Everything asked for was done.
    Done = 0,
    /// It was refused, with a reason in the records or in the log.
    Refused = 10,
    /// A panic; the log has its place.
    Panic = 101,
    /// A fault of the core; the log has the program counter.
    Fault = 102,
}

/// Ends the program and QEMU with it.
pub fn exit(exit: Exit) -> ! {
    semihosting::process::exit(exit as i32)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    defmt::error!("{}", defmt::Display2Format(info));
    exit(Exit::Panic)
}

// SAFETY: the handler reads the frame that the core stacked and never returns, so no state is left
// half changed.
#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    defmt::error!("hard fault at {=u32:#010x}, called from {=u32:#010x}", frame.pc(), frame.lr());
    exit(Exit::Fault)
}
