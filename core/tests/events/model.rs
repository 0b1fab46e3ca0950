//! EVT2 and EVT3 read word by word in the plainest way: what the decoders must agree with on any bytes.
use mixel_core::events::{Event, Geometry, Trigger};

#[derive(Default, Debug, PartialEq)]
pub struct Model {
    pub events: Vec<(u64, Event)>,
    pub triggers: Vec<Trigger>,
    pub before_sync: u32,
    pub off_sensor: u32,
    pub reserved: u32,
    pub high_back: u32,
    pub low_back: u32,
}

/// The half-range rule, and the second word that sets the clock back.
struct Clock {
    bits: u32,
    low: u32,
    high: Option<u64>,
    base: u64,
    suspect: Option<u64>,
}

impl Clock {
    /// True if the time changed or became known; a time that was known before does not count.
    fn word(&mut self, raw: u64, back: &mut u32) -> bool {
        let range = 1u64 << self.bits;
        let Some(high) = self.high.replace(raw) else {
            self.base = raw << self.low;
            return true;
        };
        if raw == high {
            self.suspect = None;
            return false;
        }
        if raw > high || high - raw >= range / 2 {
            self.base += ((raw + range - high) % range) << self.low;
            self.suspect = None;
            return true;
        }
        *back += 1;
        if self.suspect.is_some_and(|s| raw == s || raw == (s + 1) % range) {
            self.suspect = None;
            return true;
        }
        self.suspect = Some(raw);
        self.high = Some(high);
        false
    }
}

pub fn evt2(bytes: &[u8], geometry: Geometry) -> Model {
    let mut m = Model::default();
    let mut clock = Clock { bits: 28, low: 6, high: None, base: 0, suspect: None };
    let mut t = 0;
    for word in bytes.chunks_exact(4) {
        let w = u32::from_le_bytes(word.try_into().unwrap());
        match w >> 28 {
            0 | 1 if clock.high.is_none() => m.before_sync += 1,
            kind @ (0 | 1) => {
                let (x, y) = ((w >> 11 & 0x7FF) as u16, (w & 0x7FF) as u16);
                if x >= geometry.width || y >= geometry.height {
                    m.off_sensor += 1;
                    continue;
                }
                let new = clock.base + u64::from(w >> 22 & 0x3F);
                m.low_back += u32::from(new < t);
                t = new.max(t);
                m.events.push((t, Event::new(t as u32, x, y, kind == 1)));
            }
            8 => {
                clock.word((w & 0xFFF_FFFF).into(), &mut m.high_back);
                t = t.max(clock.base);
            }
            0xA if clock.high.is_some() => {
                let t = clock.base + u64::from(w >> 22 & 0x3F);
                m.triggers.push(Trigger { t: t as u32, id: (w >> 8 & 0x1F) as u8, value: w & 1 == 1 });
            }
            0xA | 0xD..=0xF => {}
            _ => m.reserved += 1,
        }
    }
    m
}

pub fn evt3(bytes: &[u8], geometry: Geometry) -> Model {
    let mut m = Model::default();
    let mut clock = Clock { bits: 12, low: 12, high: None, base: 0, suspect: None };
    let (mut t, mut low, mut last, mut row, mut base) = (0u64, 0, 0u64, None, None);
    let event = |m: &mut Model, t: u64, last: &mut u64, synced: bool, row: Option<u32>, x: u32, on: bool| {
        let Some(y) = row.filter(|_| synced) else {
            m.before_sync += 1;
            return;
        };
        if x >= geometry.width.into() || y >= geometry.height.into() {
            m.off_sensor += 1;
            return;
        }
        *last = t;
        m.events.push((t, Event::new(t as u32, x as u16, y as u16, on)));
    };
    for word in bytes.chunks_exact(2) {
        let w = u32::from(u16::from_le_bytes(word.try_into().unwrap()));
        let synced = clock.high.is_some();
        match w >> 12 {
            0 => row = Some(w & 0x7FF),
            2 => event(&mut m, t, &mut last, synced, row, w & 0x7FF, w & 0x800 != 0),
            3 => base = Some((w & 0x7FF, w & 0x800 != 0)),
            kind @ (4 | 5) => {
                let width = if kind == 4 { 12 } else { 8 };
                for i in (0..width).filter(|i| w >> i & 1 == 1) {
                    match base {
                        Some((x, on)) => event(&mut m, t, &mut last, synced, row, x + i, on),
                        None => m.before_sync += 1,
                    }
                }
                base = base.map(|(x, on)| (x + width, on));
            }
            6 if synced => {
                low = u64::from(w & 0xFFF);
                m.low_back += u32::from(clock.base + low < t);
                t = (clock.base + low).max(last);
            }
            6 => {}
            8 => {
                if clock.word((w & 0xFFF).into(), &mut m.high_back) {
                    low = 0;
                    t = clock.base.max(last);
                }
            }
            0xA if synced => {
                let t = clock.base + low;
                m.triggers.push(Trigger { t: t as u32, id: (w >> 8 & 0xF) as u8, value: w & 1 == 1 });
            }
            0x7 | 0xA | 0xD..=0xF => {}
            _ => m.reserved += 1,
        }
    }
    m
}
