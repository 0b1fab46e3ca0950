//! Models of images: super-resolution with [`crate::scet`].
//!
//! [`pairs`] reads images and makes them small, [`planes`] holds them as numbers, [`train`] trains on patches of them, [`score`]
//! measures an exported network in float and in int8, [`zoo`] ties these into models.

pub mod pairs;
pub mod planes;
pub mod score;
pub mod train;
pub mod zoo;
