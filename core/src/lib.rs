//! mixel-core: everything that may run on a device.
#![no_std]
#![deny(unsafe_code)]

pub mod events;
pub mod text;
