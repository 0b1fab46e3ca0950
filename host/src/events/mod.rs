//! Recordings of event cameras: reading, writing and painting them, and the windows that a model with an event front end makes of
//! them.

pub mod aedat4;
mod flat;
mod float;
mod image;
mod npz;
mod picture;
mod recording;
mod windows;
mod write;

pub use float::FloatModel;
pub use image::{Image, ImageWriter};
pub use picture::{Picture, Style, paint};
pub use recording::{Edge, Reading, Recording, Stated, TimedEvent, list, list_recordings, read_bytes};
pub use windows::{Answered, Window, answers, windows};
pub use write::{Format, encode};
