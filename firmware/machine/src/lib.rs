//! Which machine of QEMU a program is for.
//!
//! One of the features `an385` (Cortex-M3), `an386` (M4), `an500` (M7), `an505` (M33), `an547` (M55)
//! chooses it. The crate brings the linker's `memory.x` and what a program must know of the addresses.

#![no_std]
#![forbid(unsafe_code)]

include!(concat!(env!("OUT_DIR"), "/machine.rs"));
