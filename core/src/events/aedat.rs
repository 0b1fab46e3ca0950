//! AEDAT2 and AEDAT3.1, as written by jAER and cAER.
//!
//! AEDAT2: 8-byte big-endian records {u32 address, u32 t us} after `#` lines; the meaning of the address depends on the sensor
//! ([`Address`]). AEDAT3.1: packets of a 28-byte little-endian head and fixed-size events; polarity packets (type 1) hold
//! {u32 \[0\] valid, \[1\] polarity, \[16:2\] y, \[31:17\] x; i32 t}, t = overflow << 31 | t.

use super::dat::full_time;
use super::{Decoder, Event, Format, GapCause, Geometry, Out, Sink, Trigger};

/// AEDAT2 decoder, for the records behind the header.
pub type Aedat2 = Decoder<Words2>;

/// AEDAT3.1 decoder, for the packets behind the header.
pub type Aedat3 = Decoder<Packets>;

/// How an AEDAT2 address is read. Both have their origin at the bottom left; rows are turned over so that y grows downwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Address {
    /// \[31\] APS and \[10\] IMU or other records are skipped; y \[30:22\], x \[21:12\], polarity \[11\].
    Davis,
    /// y \[14:8\], x \[7:1\], polarity \[0\] (the coordinates as jAER names them; some readers swap them).
    Dvs128,
}

/// A sensor that AEDAT headers call by its name; they do not give its pixels in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sensor {
    /// As headers call it.
    pub name: &'static str,
    /// Its pixels.
    pub geometry: Geometry,
    /// How its AEDAT2 addresses are read.
    pub address: Address,
}

impl Sensor {
    /// DVS128.
    pub const DVS128: Self =
        Self { name: "DVS128", geometry: Geometry::new(128, 128), address: Address::Dvs128 };
    /// DAVIS240.
    pub const DAVIS240: Self =
        Self { name: "DAVIS240C", geometry: Geometry::new(240, 180), address: Address::Davis };
    /// DAVIS346.
    pub const DAVIS346: Self =
        Self { name: "DAVIS346", geometry: Geometry::new(346, 260), address: Address::Davis };
    /// DAVIS640.
    pub const DAVIS640: Self =
        Self { name: "DAVIS640", geometry: Geometry::new(640, 480), address: Address::Davis };

    /// All of them, the smallest first.
    pub const ALL: [Self; 4] = [Self::DVS128, Self::DAVIS240, Self::DAVIS346, Self::DAVIS640];

    /// The sensor with just these pixels.
    pub fn of(geometry: Geometry) -> Option<Self> {
        Self::ALL.into_iter().find(|sensor| sensor.geometry == geometry)
    }

    /// The smallest one with all pixels of `geometry`, or the largest one if none has them.
    pub fn holding(geometry: Geometry) -> Self {
        let holds = |own: Geometry| own.width >= geometry.width && own.height >= geometry.height;
        Self::ALL.into_iter().find(|sensor| holds(sensor.geometry)).unwrap_or(Self::DAVIS640)
    }
}

/// State between AEDAT2 records.
#[derive(Clone, Debug)]
pub struct Words2 {
    address: Address,
    t: Option<u64>,
}

impl Aedat2 {
    /// A decoder. The geometry must be the sensor's own, since rows are counted from below; for a DVS128 it is 128 x 128.
    pub const fn new(geometry: Geometry, address: Address) -> Self {
        Self::with(Words2 { address, t: None }, geometry)
    }
}

impl Format for Words2 {
    const WORD: usize = 8;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        for record in bytes.as_chunks::<8>().0 {
            let record = u64::from_be_bytes(*record);
            let a = (record >> 32) as u32;
            let (x, from_below, on) = match self.address {
                Address::Davis => {
                    if a & (1 << 31 | 1 << 10) != 0 {
                        let n = &mut out.counts.other_words[usize::from(a >> 31 == 0)];
                        *n = n.saturating_add(1);
                        continue;
                    }
                    (a >> 12 & 0x3FF, a >> 22 & 0x1FF, a >> 11 & 1 != 0)
                }
                Address::Dvs128 if a >= 1 << 15 => {
                    out.counts.reserved = out.counts.reserved.saturating_add(1);
                    continue;
                }
                Address::Dvs128 => (a >> 1 & 0x7F, a >> 8 & 0x7F, a & 1 != 0),
            };
            let t = full_time(&mut self.t, record as u32, out);
            let height = u32::from(out.geometry.height);
            if x >= u32::from(out.geometry.width) || from_below >= height {
                out.counts.off_sensor = out.counts.off_sensor.saturating_add(1);
                continue;
            }
            out.push(Event::new(t, x as u16, (height - 1 - from_below) as u16, on));
        }
    }

    fn desync(&mut self) {}

    fn now(&self) -> Option<u64> {
        self.t
    }
}

const HEAD: usize = 28;
pub(super) const SPECIAL: u16 = 0;
pub(super) const POLARITY: u16 = 1;

/// Types of special events: edges of the external input, and a pulse.
pub(super) const RISING: u32 = 2;
pub(super) const FALLING: u32 = 3;
const PULSE: u32 = 4;

/// Overflows from which a packet head is not believed: 4.4 years.
pub(super) const OVERFLOWS: u32 = 1 << 16;

/// Sizes of a whole event, from which a packet head is believed (frames are the largest).
const LARGEST_EVENT: u32 = 1 << 24;

/// State between the bytes of AEDAT3.1.
#[derive(Clone, Debug)]
pub struct Packets {
    /// The unfinished head or event.
    held: [u8; HEAD],
    len: usize,
    packet: Packet,
    /// Bytes skipped in search of a head.
    skipped: u32,
    t: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Packet {
    kind: u16,
    /// Bytes left in the packet.
    left: u64,
    overflow: u32,
}

impl Aedat3 {
    /// A decoder for a sensor of this geometry. Other packets than polarity and special are skipped.
    pub const fn new(geometry: Geometry) -> Self {
        let packet = Packet { kind: 0, left: 0, overflow: 0 };
        Self::with(Packets { held: [0; HEAD], len: 0, packet, skipped: 0, t: None }, geometry)
    }
}

impl Packets {
    /// A head is believed if its numbers fit together; else the search moves on by one byte.
    fn head(held: &[u8; HEAD]) -> Option<Packet> {
        let u16_at = |i: usize| u16::from_le_bytes([held[i], held[i + 1]]);
        let u32_at = |i: usize| u32::from_le_bytes([held[i], held[i + 1], held[i + 2], held[i + 3]]);
        let (kind, size, offset, overflow) = (u16_at(0), u32_at(4), u32_at(8), u32_at(12));
        let (capacity, number, valid) = (u32_at(16), u32_at(20), u32_at(24));
        let sane = kind < 64
            && (1..=LARGEST_EVENT).contains(&size)
            && offset < size
            && overflow < OVERFLOWS
            && valid <= number
            && number <= capacity
            && capacity < 1 << 31
            && (kind > POLARITY || size == 8);
        sane.then_some(Packet { kind, left: u64::from(size) * u64::from(number), overflow })
    }

    fn event<S: Sink + ?Sized>(&mut self, data: u32, t: u32, out: &mut Out<'_, S>) {
        if data & 1 == 0 || t >= 1 << 31 {
            // Marked invalid by a filter, or a negative time.
            out.counts.reserved = out.counts.reserved.saturating_add(1);
            return;
        }
        let mut t = u64::from(self.packet.overflow) << 31 | u64::from(t);
        match self.t {
            Some(before) if t < before => {
                out.counts.time_high_back = out.counts.time_high_back.saturating_add(1);
                t = before;
            }
            Some(before) if t == before => {}
            _ => {
                self.t = Some(t);
                out.time_moved(t);
            }
        }
        if self.packet.kind == SPECIAL {
            let kind = data >> 1 & 0x7F;
            if matches!(kind, RISING | FALLING | PULSE) {
                out.trigger(Trigger { t: t as u32, id: 0, value: kind != FALLING });
            }
            return;
        }
        let (x, y) = (data >> 17, data >> 2 & 0x7FFF);
        if x >= u32::from(out.geometry.width) || y >= u32::from(out.geometry.height) {
            out.counts.off_sensor = out.counts.off_sensor.saturating_add(1);
            return;
        }
        out.push(Event::new(t as u32, x as u16, y as u16, data >> 1 & 1 != 0));
    }

    fn byte<S: Sink + ?Sized>(&mut self, byte: u8, out: &mut Out<'_, S>) {
        if let Some(slot) = self.held.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
        if self.packet.left > 0 {
            self.packet.left -= 1;
            if self.len == 8 {
                self.len = 0;
                let [a, b, c, d, e, f, g, h, ..] = self.held;
                self.event(u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]), out);
            }
        } else if self.len == HEAD {
            match Self::head(&self.held) {
                Some(packet) => {
                    self.packet = packet;
                    self.len = 0;
                    if self.skipped > 0 {
                        let t = self.t.unwrap_or(0);
                        out.counts.reserved = out.counts.reserved.saturating_add(1);
                        out.gap(GapCause::Framing, self.skipped, t, t);
                        self.skipped = 0;
                    }
                }
                None => {
                    self.held.copy_within(1.., 0);
                    self.len -= 1;
                    self.skipped = self.skipped.saturating_add(1);
                }
            }
        }
    }
}

impl Format for Packets {
    const WORD: usize = 1;

    fn words<S: Sink + ?Sized>(&mut self, mut bytes: &[u8], out: &mut Out<'_, S>) {
        while !bytes.is_empty() {
            if self.packet.left > 0 && self.packet.kind > POLARITY {
                let n = self.packet.left.min(bytes.len() as u64);
                self.packet.left -= n;
                bytes = bytes.get(n as usize..).unwrap_or(&[]);
                if let Some(n) = out
                    .counts
                    .other_words
                    .get_mut(usize::from(self.packet.kind.min(15)))
                    .filter(|_| self.packet.left == 0)
                {
                    *n = n.saturating_add(1);
                }
            } else if let Some((&byte, rest)) = bytes.split_first() {
                self.byte(byte, out);
                bytes = rest;
            }
        }
    }

    fn desync(&mut self) {
        self.len = 0;
        self.packet.left = 0;
    }

    fn now(&self) -> Option<u64> {
        self.t
    }
}
