//! How much stack a piece of work takes.
//!
//! The free stack below the caller is painted with a pattern, the work runs, and the lowest word that
//! lost its paint tells the depth. Interrupts that come meanwhile are counted in, as they are in life.

#![no_std]

use core::arch::asm;

const PAINT: u32 = 0x5AFE_57AC;
/// No work of ours goes deeper; painting more would only cost time.
const WINDOW: usize = 128 * 1024;

unsafe extern "C" {
    /// End of the static data, from the linker script of cortex-m-rt: the stack may grow down to it.
    static _stack_end: u32;
}

/// Runs `work` and gives its result with the bytes of stack that it took, at most 128 kB.
///
/// A word that the work reserves but never writes keeps its paint; below the deepest write it does not
/// count.
#[inline(never)]
pub fn stack_of<R>(work: impl FnOnce() -> R) -> (R, u32) {
    let floor = (&raw const _stack_end) as usize;
    let top = paint(floor);
    let result = work();
    let low = lowest_touched(floor.max(top.saturating_sub(WINDOW)), top);
    (result, (top - low) as u32)
}

/// Paints from the floor (or the window's end) up to the stack pointer and returns the latter.
#[inline(always)]
fn paint(floor: usize) -> usize {
    let top: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, sp", out(reg) top, options(nomem, nostack, preserves_flags)) };
    let from = floor.max(top.saturating_sub(WINDOW));
    // SAFETY: everything from `_stack_end` up to the stack pointer is free stack: no live object is
    // there, and the loop neither calls nor pushes. An interrupt may use the same memory meanwhile; its
    // frames are dead when it returns.
    unsafe {
        asm!(
            "2:",
            "cmp {at}, {top}",
            "bhs 3f",
            "str {paint}, [{at}]",
            "adds {at}, #4",
            "b 2b",
            "3:",
            at = inout(reg) from => _,
            top = in(reg) top,
            paint = in(reg) PAINT,
            options(nostack)
        );
    }
    top
}

fn lowest_touched(from: usize, top: usize) -> usize {
    let mut at = from;
    // SAFETY: the same aligned words as `paint` wrote, all of them in RAM; volatile because the work's
    // dead frames are no objects that the compiler knows.
    while at < top && unsafe { (at as *const u32).read_volatile() } == PAINT {
        at += 4;
    }
    at
}
