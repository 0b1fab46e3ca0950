//! Recordings of event cameras: reading them, and the windows that a model with an event front end makes of them.

mod recording;
mod windows;

pub use recording::{Edge, Recording, TimedEvent, list};
pub use windows::{Answered, Window, answers, windows};
