//! Boards: emulated by QEMU or attached to a probe.
//!
//! [`boards`] lists them, [`run`] pushes a plan with its inputs into the runner firmware and reads
//! back outputs, checksums, times and memory, [`flash_bytes`] measures what a plan's own firmware
//! takes. The firmware is built when it is needed, from the `firmware/` folder of mixel's sources.
//! [`doctor`] says what is missing on this machine for it.
//!
//! On an emulated board the clock follows executed instructions (QEMU `-icount shift=8`: 256 ns of virtual
//! time each). A tick of its counter is 40 or 50 ns, so counts are exact.

mod board;
pub mod doctor;
mod events;
mod firmware;
mod flash;
mod log;
mod probe;
mod process;
mod qemu;
mod run;

pub use board::{Board, Link, Unit, board, boards};
pub use events::{EventRun, run_events};
pub use flash::{FlashBytes, FlashProfile, flash_bytes};
pub use qemu::{ProgramRun, run_program};
pub use run::{DeviceRun, Options, Profile, Runner, Sample, Spread, run};
