//! mixel-core: everything that may run on a device.
//!
//! A [`Plan`] is one file with a quantized network in it: verified once ([`Plan::new_checked`]), never copied, never
//! failing after that. A [`Session`] joins it with an arena and runs its operators; [`kernels`] holds those, one file a
//! family, [`arch`] the instructions, [`pack`] the weight orders of all targets. [`text`] and [`events`] turn raw input
//! into input tensors; an [`EventSession`] takes events and gives an answer a window. [`profile`] tells where the time goes.
//!
//! There is no allocator, no panic, and floating point only in descriptions that nobody computes with. Quantized
//! arithmetic follows one rule, in [`kernels::requant`], so all machines give the same bytes.
#![no_std]
#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("plans are little-endian and read in place; big-endian targets are not supported");

pub mod arch;
pub mod event_session;
pub mod events;
pub mod kernels;
pub mod pack;
pub mod plan;
pub mod profile;
pub mod session;
pub mod text;

pub use event_session::EventSession;
pub use kernels::All;
pub use plan::{Plan, PlanError};
pub use session::{Session, SessionError};
