//! Recordings of event cameras: from files ([`files`], [`nmnist`]) or of drawn people ([`gestures`], [`simulator`]) to windows of
//! tokens ([`front_end`], [`tokens`]), noise on them ([`noise`]), training over the windows of a recording ([`train`]), the
//! network in int8 ([`exported`]), cross-validation ([`folds`]), and what a network has to beat ([`baselines`], [`cnn`],
//! [`controls`]). [`zoo`] ties one of each into a model.

pub mod baselines;
pub mod cnn;
pub mod controls;
pub mod exported;
pub mod files;
pub mod folds;
pub mod front_end;
pub mod gestures;
pub mod nmnist;
pub mod noise;
pub mod simulator;
pub mod tokens;
pub mod train;
pub mod zoo;

use mixel_core::events::Event;

/// A recording and its class.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Events in the order of time.
    pub events: Vec<Event>,
    /// Its class.
    pub label: usize,
}
