//! Noise on training recordings, applied to their events. None of it changes the network that is exported.

use mixel_core::events::{Event, Geometry};
use rand::Rng;

/// How much noise; every range is symmetric and drawn evenly, a recording at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Largest shift in pixels.
    pub shift: f32,
    /// Largest turn in radians.
    pub turn: f32,
    /// Largest change of size, separately along x and y, as a share.
    pub scale: f32,
    /// Largest slant: columns moved a row.
    pub slant: f32,
    /// Largest change of speed, as a share.
    pub stretch: f32,
    /// Largest share of events left out.
    pub dropout: f64,
    /// Largest share of the recording missing at its start.
    pub late: f32,
}

impl Noise {
    /// The events moved about the middle of the sensor; those that leave it are gone.
    pub fn apply(&self, events: &[Event], geometry: Geometry, rng: &mut impl Rng) -> Vec<Event> {
        let mut draw = |range: f32| if range > 0.0 { rng.random_range(-range..range) } else { 0.0 };
        let (sin, cos) = draw(self.turn).sin_cos();
        let (wide, high) = (1.0 + draw(self.scale), 1.0 + draw(self.scale));
        let slant = draw(self.slant);
        let (right, down) = (draw(self.shift), draw(self.shift));
        let stretch = 1.0 + draw(self.stretch);
        let late = draw(self.late).max(0.0);
        let dropout = draw(self.dropout as f32).abs();
        let (middle_x, middle_y) =
            (f32::from(geometry.width - 1) / 2.0, f32::from(geometry.height - 1) / 2.0);
        let first = events.first().map_or(0, |event| event.t);
        let span = events.last().map_or(0, |event| event.t) - first;
        let from = first + (late * span as f32) as u32;
        let moved = |event: &Event, rng: &mut dyn rand::RngCore| {
            let (x, y) = (f32::from(event.x()) - middle_x, f32::from(event.y()) - middle_y);
            let (x, y) = (wide * (x + slant * y), high * y);
            let (x, y) = (cos * x - sin * y + right + middle_x, sin * x + cos * y + down + middle_y);
            // Rounded by chance, so that stretched edges have no gaps at regular places.
            let (x, y) = ((x + rng.random::<f32>()).floor(), (y + rng.random::<f32>()).floor());
            let inside = (0.0..f32::from(geometry.width)).contains(&x)
                && (0.0..f32::from(geometry.height)).contains(&y);
            let t = (event.t as f32 * stretch) as u32;
            inside.then(|| Event::new(t, x as u16, y as u16, event.on()))
        };
        events
            .iter()
            .filter(|event| event.t >= from)
            .filter_map(|event| {
                let kept = dropout <= 0.0 || rng.random::<f32>() >= dropout;
                kept.then(|| moved(event, rng)).flatten()
            })
            .collect()
    }
}
