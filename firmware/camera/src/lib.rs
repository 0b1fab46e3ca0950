//! From the bytes of an event camera to answers, on any board.
//!
//! ```text
//! interrupt: Producer --Exchange--> Consumer \
//! recording in flash: Stored                  > EventSource --Application--> answers, gaps, report
//! file or serial port: Reader                /
//! ```
//!
//! * An [`EventSource`] hands out the stream, a [`Chunk`] at a time, and says before which chunk bytes are missing.
//! * An [`Exchange`] stands between an interrupt that fills buffers and the program that reads them. When the program falls
//!   behind, whole buffers are dropped, the oldest first, and their bytes are counted.
//! * An [`Application`] decodes, cuts windows, runs the network and measures every stage. What was lost reaches the decoder
//!   ([`Decoder::resync`](mixel_core::events::Decoder::resync)) and comes back as a gap with the sensor's time before and after it.
//!
//! Nothing here knows a chip; nothing is unsafe. It is tested on the host.

#![no_std]

mod application;
mod decode;
mod exchange;
#[cfg(feature = "defmt")]
mod log;
mod memory;
mod report;
mod source;
mod times;

pub use application::{Application, Listen};
pub use decode::Decode;
pub use exchange::{Consumer, Exchange, Producer};
#[cfg(feature = "defmt")]
pub use log::{Log, log_report};
pub use memory::{TooSmall, event_memory, event_memory_len};
pub use report::{Report, Sum};
pub use source::{Chunk, EventSource, Reader, Stored};
