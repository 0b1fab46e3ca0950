//! Prophesee DAT: 8-byte little-endian records after a text header and two bytes (type, size).
//!
//! ```text
//! u32 t (us, wraps after 71.6 min)
//! version 2: u32 [13:0] x, [27:14] y, [31:28] polarity
//! version 1: u32 [8:0] x, [16:9] y, [17] polarity
//! type 14:   u32 [0] value, [12:8] id                       triggers
//! ```

use super::{Decoder, Event, Format, Geometry, Out, Sink, Trigger};

/// DAT decoder, for the records behind the header (see [`header`](super::header)).
pub type Dat = Decoder<Words>;

/// What the records hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layout {
    /// Events with 9 + 8 bits of place (version 1).
    V1,
    /// Events with 14 + 14 bits of place (version 2).
    V2,
    /// External triggers (type 14).
    Trigger,
}

/// State between DAT records.
#[derive(Clone, Debug)]
pub struct Words {
    layout: Layout,
    t: Option<u64>,
}

impl Dat {
    /// A decoder of records of this layout.
    pub const fn new(geometry: Geometry, layout: Layout) -> Self {
        Self::with(Words { layout, t: None }, geometry)
    }
}

/// 64-bit time from a 32-bit reading: half-range rule, and a smaller step back is counted and held. Shared with AEDAT2.
pub(super) fn full_time<S: Sink + ?Sized>(last: &mut Option<u64>, raw: u32, out: &mut Out<'_, S>) -> u32 {
    let Some(before) = *last else {
        *last = Some(u64::from(raw));
        out.time_moved(u64::from(raw));
        return raw;
    };
    let rise = raw.wrapping_sub(before as u32);
    if rise >= 1 << 31 {
        out.counts.time_high_back = out.counts.time_high_back.saturating_add(1);
    } else if rise > 0 {
        let t = before + u64::from(rise);
        out.counts.wraps = out.counts.wraps.saturating_add(u32::from(t >> 32 != before >> 32));
        *last = Some(t);
        out.time_moved(t);
        return t as u32;
    }
    before as u32
}

impl Format for Words {
    const WORD: usize = 8;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        for record in bytes.as_chunks::<8>().0 {
            let record = u64::from_le_bytes(*record);
            let t = full_time(&mut self.t, record as u32, out);
            let data = (record >> 32) as u32;
            let (x, y, on) = match self.layout {
                Layout::V1 => (data & 0x1FF, data >> 9 & 0xFF, data >> 17 & 1 != 0),
                Layout::V2 => (data & 0x3FFF, data >> 14 & 0x3FFF, data >> 28 != 0),
                Layout::Trigger => {
                    out.trigger(Trigger { t, id: (data >> 8 & 0x1F) as u8, value: data & 1 != 0 });
                    continue;
                }
            };
            if x >= u32::from(out.geometry.width) || y >= u32::from(out.geometry.height) {
                out.counts.off_sensor = out.counts.off_sensor.saturating_add(1);
                continue;
            }
            out.push(Event::new(t, x as u16, y as u16, on));
        }
    }

    fn desync(&mut self) {}

    fn now(&self) -> Option<u64> {
        self.t
    }
}
