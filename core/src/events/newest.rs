//! Thinning of recordings: of the events of a pixel and polarity in a time bin, only the newest stays.
//!
//! EvT+ does this with bins of a third of a window, on absolute time and before windows are cut, so that an event may be displaced by one
//! of the next window. That needs the bin's end: this filter holds a bin back. A device merges within its surface instead
//! ([`SurfaceConfig::merge_ticks`](super::surface::SurfaceConfig::merge_ticks)), which waits for nothing.

use super::{Event, Geometry};

/// Holds back the events of the current bin.
#[derive(Debug)]
pub struct Newest<'m> {
    geometry: Geometry,
    bin_us: u32,
    bin: u32,
    held: &'m mut [Event],
    len: usize,
    /// Place in `held` of the newest event of each pixel and polarity; only entries of held events mean anything.
    newest: &'m mut [u32],
    early: u32,
}

impl<'m> Newest<'m> {
    /// Length of the `newest` memory.
    pub const fn map_len(geometry: Geometry) -> usize {
        geometry.width as usize * geometry.height as usize * 2
    }

    /// Bins of `bin_us` microseconds from time 0. `held` takes the events of a bin; `newest` is [`map_len`](Self::map_len) long.
    /// `None` if it is shorter, or if there is no place for an event or no time in a bin.
    pub fn new(
        geometry: Geometry,
        bin_us: u32,
        held: &'m mut [Event],
        newest: &'m mut [u32],
    ) -> Option<Self> {
        let enough = bin_us > 0 && !held.is_empty() && newest.len() >= Self::map_len(geometry);
        enough.then_some(Self { geometry, bin_us, bin: 0, held, len: 0, newest, early: 0 })
    }

    /// Takes events (others than of the geometry pass by) and gives those of finished bins, in order.
    pub fn add(&mut self, events: &[Event], mut out: impl FnMut(&[Event])) {
        for &event in events {
            let bin = event.t / self.bin_us;
            let full = self.len == self.held.len();
            if bin != self.bin || full {
                self.early += u32::from(bin == self.bin);
                self.finish(&mut out);
                self.bin = bin;
            }
            let Some(key) = self.key(event) else { continue };
            if let (Some(at), Some(slot)) = (self.newest.get_mut(key), self.held.get_mut(self.len)) {
                *at = self.len as u32;
                *slot = event;
                self.len += 1;
            }
        }
    }

    /// Gives the events held back.
    pub fn finish(&mut self, mut out: impl FnMut(&[Event])) {
        let mut kept = 0;
        for i in 0..self.len {
            let Some(&event) = self.held.get(i) else { break };
            let newest = self.key(event).and_then(|key| self.newest.get(key));
            if newest == Some(&(i as u32))
                && let Some(slot) = self.held.get_mut(kept)
            {
                *slot = event;
                kept += 1;
            }
        }
        self.len = 0;
        match self.held.get(..kept) {
            Some(events) if kept > 0 => out(events),
            _ => {}
        }
    }

    /// Bins that were given in parts, because they had more events than there is place; later parts do not displace earlier ones.
    pub fn early(&self) -> u32 {
        self.early
    }

    fn key(&self, event: Event) -> Option<usize> {
        let Geometry { width, height } = self.geometry;
        let inside = event.x() < width && event.y() < height;
        let pixel = usize::from(event.y()) * usize::from(width) + usize::from(event.x());
        inside.then_some(pixel * 2 + usize::from(event.on()))
    }
}
