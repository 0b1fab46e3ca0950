//! One plan and nothing else: reset code, the plan's checksum (or its check, with a set for any plan), a session, one run on zeros.
//!
//! `mixel profile` builds it to say what mixel takes of a board's flash. It has no logs, no transport, no
//! files and no formatting; a panic, if there could be one, would loop. The only trace of the emulator is the
//! exit call at the end: three instructions.

#![no_std]
#![no_main]

use core::hint::black_box;

use cortex_m_rt::entry;
use mixel_core::{Plan, Session};
use mixel_machine as _;

include!(concat!(env!("OUT_DIR"), "/plan.rs"));

/// No chip, no interrupts: one empty entry, since the linker script wants a table.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [u32; 1] = [0];

#[entry]
fn main() -> ! {
    static mut ARENA: Aligned<[u8; ARENA_BYTES]> = Aligned([0; ARENA_BYTES]);
    exit(infer(&mut ARENA.0))
}

/// Whether the plan was taken and run.
fn infer(arena: &mut [u8]) -> bool {
    // The optimiser shall not look into the plan: another plan with the same operators must take the same flash.
    let Ok(plan) = Plan::<ops::Ops>::with_ops(black_box(&PLAN.0)) else { return false };
    let Ok(mut session) = Session::new(plan, arena) else { return false };
    black_box(session.input(0));
    session.run();
    black_box(session.output(0));
    true
}

/// Ends QEMU with code 0 or 1; a real board would go to sleep here.
fn exit(done: bool) -> ! {
    /// `SYS_EXIT` of Arm's semihosting, and its two reasons: application exit, run-time error.
    const SYS_EXIT: u32 = 0x18;
    const DONE: u32 = 0x2_0026;
    const FAILED: u32 = 0x2_0023;
    // SAFETY: the emulator takes the call and does not come back; a board without a debugger faults.
    unsafe {
        core::arch::asm!("bkpt 0xAB", in("r0") SYS_EXIT, in("r1") if done { DONE } else { FAILED }, options(nostack));
    }
    #[expect(clippy::empty_loop, reason = "nothing is left to do")]
    loop {}
}

/// The smallest that can be; nothing here panics.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
