//! The core's conformance cases on an emulated board: every operator against its specification, in every weight
//! layout that this core runs. The log names what fails and ends with the number of cases; the exit code is the
//! verdict.

#![no_std]
#![no_main]

use cortex_m_rt::entry;
use mixel_emulated::{Exit, bulk, exit};

#[entry]
fn main() -> ! {
    let memory = bulk().unwrap_or_default();
    let (mut passed, mut failed) = (0u32, 0u32);
    mixel_testkit::run_all(memory, &mut |name, result| match result {
        Ok(()) => passed += 1,
        Err(failure) => {
            failed += 1;
            defmt::error!("{=str}: {}", name, defmt::Debug2Format(&failure));
        }
    });
    defmt::info!("{=u32} cases passed, {=u32} failed", passed, failed);
    exit(if failed == 0 && passed > 0 { Exit::Done } else { Exit::Refused })
}
