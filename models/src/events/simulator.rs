//! An event sensor looking at a rendered scene: what a recording would contain if every pixel were ideal but for what
//! [`Sensor`] names.
//!
//! * A pixel remembers the logarithm of the light at its last event and fires when the light has moved from there by its
//!   threshold, once a threshold, at the interpolated time between two pictures of the scene.
//! * Thresholds differ from pixel to pixel by a fixed error.
//! * After an event a pixel is blind for the refractory time; what would have fired then is lost.
//! * Background activity: events of either polarity at random pixels and times.
//!
//! Not modelled: the bandwidth of the pixel (dim light is as fast as bright light), leak events, crosstalk, the readout's
//! arbitration and its limit of events a second.

use mixel_core::events::{Event, Geometry};
use rand::Rng;

/// An event sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sensor {
    /// Its pixels.
    pub geometry: Geometry,
    /// Change of the logarithm of light that makes an event.
    pub threshold: f32,
    /// Largest error of a pixel's threshold, as a share of it.
    pub mismatch: f32,
    /// Microseconds that a pixel is blind after an event.
    pub refractory_us: u32,
    /// Background events a second and pixel.
    pub noise_hz: f32,
}

/// A pixel's state.
struct Pixel {
    /// Logarithm of the light at the last picture.
    light: f32,
    /// The level from which a change is measured.
    reference: f32,
    threshold: f32,
    /// When it sees again.
    ready: u32,
}

impl Sensor {
    /// The events of `duration_us` microseconds, in the order of time.
    ///
    /// `scene` paints the light at a time, positive, row by row; it is called every `step_us`, from 0 on.
    pub fn record(
        &self,
        duration_us: u32,
        step_us: u32,
        mut scene: impl FnMut(u32, &mut [f32]),
        rng: &mut impl Rng,
    ) -> Vec<Event> {
        let width = usize::from(self.geometry.width);
        let mut picture = vec![1.0; width * usize::from(self.geometry.height)];
        scene(0, &mut picture);
        let mut pixels: Vec<Pixel> = picture
            .iter()
            .map(|light| {
                let light = light.ln();
                let error = self.mismatch * rng.random_range(-1.0..=1.0);
                Pixel { light, reference: light, threshold: self.threshold * (1.0 + error), ready: 0 }
            })
            .collect();
        let mut events = Vec::new();
        for start in (0..duration_us).step_by(step_us as usize) {
            let end = duration_us.min(start + step_us);
            scene(end, &mut picture);
            for (index, (pixel, light)) in pixels.iter_mut().zip(&picture).enumerate() {
                let place = ((index % width) as u16, (index / width) as u16);
                pixel.follow(light.ln(), (start, end), self.refractory_us, |t, on| {
                    events.push(Event::new(t, place.0, place.1, on));
                });
            }
        }
        self.add_noise(duration_us, &mut events, rng);
        events.sort_by_key(|event| event.t);
        events
    }

    fn add_noise(&self, duration_us: u32, events: &mut Vec<Event>, rng: &mut impl Rng) {
        let Geometry { width, height } = self.geometry;
        let rate = f64::from(self.noise_hz) * f64::from(width) * f64::from(height) * 1e-6;
        // Times between events of a Poisson process; infinite without noise.
        let mut wait = || -(1.0 - rng.random::<f64>()).ln() / rate;
        let mut times = Vec::new();
        let mut t = wait();
        while t < f64::from(duration_us) {
            times.push(t as u32);
            t += wait();
        }
        for t in times {
            let (x, y) = (rng.random_range(0..width), rng.random_range(0..height));
            events.push(Event::new(t, x, y, rng.random()));
        }
    }
}

impl Pixel {
    /// Light that moves evenly to `to` in a span of time.
    fn follow(
        &mut self,
        to: f32,
        (start, end): (u32, u32),
        refractory: u32,
        mut fire: impl FnMut(u32, bool),
    ) {
        let from = std::mem::replace(&mut self.light, to);
        let on = to > from;
        let step = if on { self.threshold } else { -self.threshold };
        while (to - self.reference - step) * step >= 0.0 && to != from {
            self.reference += step;
            let share = ((self.reference - from) / (to - from)).clamp(0.0, 1.0);
            let t = start + (share * (end - start) as f32) as u32;
            if t >= self.ready {
                self.ready = t + refractory;
                fire(t, on);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    const IDEAL: Sensor = Sensor {
        geometry: Geometry::new(8, 6),
        threshold: 0.2,
        mismatch: 0.0,
        refractory_us: 0,
        noise_hz: 0.0,
    };

    fn record(sensor: Sensor, scene: impl FnMut(u32, &mut [f32])) -> Vec<Event> {
        sensor.record(100_000, 1_000, scene, &mut StdRng::seed_from_u64(1))
    }

    /// All pixels brighten evenly in logarithm, by `total` over the recording.
    fn ramp(total: f32) -> impl FnMut(u32, &mut [f32]) {
        move |t, picture| picture.fill((total * t as f32 / 100_000.0).exp())
    }

    #[test]
    fn a_still_scene_is_silent() {
        assert!(record(IDEAL, |_, picture| picture.fill(0.3)).is_empty());
    }

    #[test]
    fn a_ramp_fires_once_a_threshold_at_even_times() {
        let events = record(IDEAL, ramp(1.1));
        assert_eq!(events.len(), 5 * 48);
        for (index, event) in events.iter().enumerate() {
            let expected = 100_000.0 * 0.2 * (index / 48 + 1) as f32 / 1.1;
            assert!((event.t as f32 - expected).abs() < 20.0 && event.on(), "{event:?}, {expected}");
        }
        let falling = record(IDEAL, ramp(-1.1));
        assert_eq!(falling.len(), events.len());
        assert!(falling.iter().all(|event| !event.on()));
    }

    #[test]
    fn only_the_logarithm_of_light_counts() {
        let dim = |t: u32, picture: &mut [f32]| picture.fill(1e-3 * (1.1 * t as f32 / 100_000.0).exp());
        let (dim, bright) = (record(IDEAL, dim), record(IDEAL, ramp(1.1)));
        assert_eq!(dim.len(), bright.len());
    }

    #[test]
    fn a_moving_bright_bar_has_an_on_edge_in_front_and_an_off_edge_behind() {
        let events = record(IDEAL, |t, picture| {
            let left = (t as f32 / 20_000.0) as usize;
            for (index, light) in picture.iter_mut().enumerate() {
                // Behind the bar it is a little darker than before.
                *light = match index % 8 {
                    x if x < left => 0.45,
                    x if x < left + 2 => 1.0,
                    _ => 0.5,
                };
            }
        });
        // Column 3 brightens when the bar's front comes and darkens when its end leaves.
        let column: Vec<&Event> = events.iter().filter(|event| event.x() == 3 && event.y() == 0).collect();
        let (on, off): (Vec<&Event>, Vec<&Event>) = column.iter().partition(|event| event.on());
        assert_eq!((on.len(), off.len()), (3, 3), "ln 2 up and ln 2.2 down are three thresholds of 0.2");
        assert!(on.iter().all(|event| (39_000..=41_000).contains(&event.t)), "{on:?}");
        assert!(off.iter().all(|event| (79_000..=81_000).contains(&event.t)), "{off:?}");
    }

    #[test]
    fn a_blind_pixel_loses_events_and_keeps_its_distance() {
        let sensor = Sensor { refractory_us: 30_000, ..IDEAL };
        let events = record(sensor, ramp(4.0));
        let times: Vec<u32> = events.iter().filter(|e| e.x() == 2 && e.y() == 3).map(|e| e.t).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 30_000), "{times:?}");
        assert_eq!(times.len(), 4);
    }

    #[test]
    fn thresholds_differ_by_the_mismatch() {
        let sensor = Sensor { mismatch: 0.3, ..IDEAL };
        let mut counts = [0; 48];
        for event in record(sensor, ramp(8.0)) {
            counts[usize::from(event.y()) * 8 + usize::from(event.x())] += 1;
        }
        let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
        // 8 / (0.2 * 1.3) to 8 / (0.2 * 0.7).
        assert!(least >= 30 && most <= 57 && most - least > 15, "{least} to {most}");
    }

    #[test]
    fn noise_has_its_rate_and_both_polarities() {
        let sensor = Sensor { noise_hz: 500.0, ..IDEAL };
        let events = record(sensor, |_, picture| picture.fill(1.0));
        // 500 Hz x 48 pixels x 0.1 s = 2,400, deviation 49.
        assert!((2_200..2_600).contains(&events.len()), "{}", events.len());
        let on = events.iter().filter(|event| event.on()).count();
        assert!((on as f32 / events.len() as f32 - 0.5).abs() < 0.05);
        assert!(events.is_sorted_by_key(|event| event.t));
        assert!(events.iter().all(|event| event.x() < 8 && event.y() < 6));
    }

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let sensor = Sensor { noise_hz: 50.0, mismatch: 0.2, ..IDEAL };
        assert_eq!(record(sensor, ramp(2.0)), record(sensor, ramp(2.0)));
    }
}
