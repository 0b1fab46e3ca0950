//! Encoders: events in time order to the bytes of a format, for transcoding and for tests.
//!
//! Bytes go to a closure as they arise. The time encoders repeat TIME_HIGH at most every 16 us of event time, as sensors do, so that a
//! reader can join anywhere, and in pauses send what a reader needs to follow the wraps. An event or trigger that goes back in time,
//! or does not fit the format's fields, is refused: [`EncodeError`].

use core::fmt;

use super::aedat::{Address, FALLING, OVERFLOWS, POLARITY, RISING, SPECIAL, Sensor};
use super::evt21::WordOrder;
use super::header::Encoding;
use super::{Event, Geometry, Trigger};

/// Why an event or trigger cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EncodeError {
    /// It is earlier than the one before it.
    TimeBack,
    /// Its column or row does not fit the format.
    Place,
    /// The pause before it is longer than the format's clock can tell.
    Pause,
    /// It is later than the format's clock can tell.
    Late,
    /// The format has no triggers, or none of this channel.
    Channel,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeBack => "the event is earlier than the one before it",
            Self::Place => "the place of the event does not fit the format",
            Self::Pause => "the pause before the event is longer than the format can tell",
            Self::Late => "the event is later than the format can tell",
            Self::Channel => "the format has no triggers of this channel",
        })
    }
}

impl core::error::Error for EncodeError {}

/// Writes the text (and the two bytes of DAT) that goes in front of the words of `encoding`; nothing for formats without a header.
///
/// AEDAT names the sensor ([`Sensor`]): one of other pixels has to be told to the reader.
pub fn header(encoding: Encoding, geometry: Geometry, out: &mut impl fmt::Write) -> fmt::Result {
    let Geometry { width, height } = geometry;
    let (version, format, order) = match encoding {
        Encoding::Evt2 => ("2.0", "EVT2", ""),
        Encoding::Evt21(WordOrder::Little) => ("2.1", "EVT21", ";endianness=little"),
        Encoding::Evt21(WordOrder::Legacy) => ("2.1", "EVT21", ";endianness=legacy"),
        Encoding::Evt3 => ("3.0", "EVT3", ""),
        Encoding::Dat(_) => {
            // Type 12, size 8.
            return write!(
                out,
                "% Data file containing CD events\n% Version 2\n% Width {width}\n% Height {height}\n\u{c}\u{8}"
            );
        }
        Encoding::Aedat2(address) => {
            let name = match (address, Sensor::of(geometry)) {
                (_, Some(sensor)) if sensor.address == address => sensor.name,
                (Address::Dvs128, _) => Sensor::DVS128.name,
                (Address::Davis, _) => "DAVIS",
            };
            return write!(out, "#!AER-DAT2.0\r\n# AEChip: {name}\r\n#End Of ASCII Header\r\n");
        }
        Encoding::Aedat3 => {
            let name = Sensor::of(geometry).map_or("Unknown", |sensor| sensor.name);
            // The format asks for the time of day; events do not know it.
            return write!(
                out,
                "#!AER-DAT3.1\r\n#Format: RAW\r\n#Source {SOURCE}: {name}\r\n\
                 #Start-Time: 1970-01-01 00:00:00 (TZ+0000)\r\n#!END-HEADER\r\n"
            );
        }
        _ => return Ok(()),
    };
    write!(
        out,
        "% evt {version}\n% format {format};height={height};width={width}{order}\n% geometry {width}x{height}\n% end\n"
    )
}

/// Writes events and triggers of one format.
pub trait Encoder {
    /// Takes the next event; its bytes may come later, with the event that ends a vector.
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError>;

    /// Takes the next trigger, in time order with the events. Refused by formats that do not mix both.
    fn trigger(&mut self, _trigger: Trigger, _put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        Err(EncodeError::Channel)
    }

    /// Writes what is held back.
    fn finish(&mut self, put: &mut impl FnMut(&[u8]));
}

/// The whole time of what comes next, at `t`; formats with a full time in each event need no more.
fn follow(now: Option<u64>, t: u32) -> Result<u64, EncodeError> {
    let before = now.unwrap_or(t.into());
    let rise = t.wrapping_sub(before as u32);
    if rise < 1 << 31 { Ok(before + u64::from(rise)) } else { Err(EncodeError::TimeBack) }
}

/// Microseconds after which TIME_HIGH is repeated.
const BEAT: u64 = 16;

/// The time side of EVT2, EVT2.1 and EVT3.
#[derive(Clone, Debug, Default)]
struct TimeHigh {
    /// Time of the last event with its wraps.
    now: Option<u64>,
    /// When TIME_HIGH was last written.
    written: u64,
}

impl TimeHigh {
    /// Moves to `t` and calls `word` with each TIME_HIGH to be written (with `bits` bits, above `low` others).
    fn advance(
        &mut self,
        t: u32,
        bits: u32,
        low: u32,
        mut word: impl FnMut(u32),
    ) -> Result<u64, EncodeError> {
        let Some(before) = self.now else {
            let now = u64::from(t);
            (self.now, self.written) = (Some(now), now);
            word((now >> low) as u32 & ((1 << bits) - 1));
            return Ok(now);
        };
        let rise = t.wrapping_sub(before as u32);
        if rise >= 1 << 31 {
            return Err(EncodeError::TimeBack);
        }
        let now = before + u64::from(rise);
        // Steps that a reader does not take for a fall.
        let quarter = 1u64 << (bits + low - 2);
        let mut at = self.written;
        while now - at > quarter {
            at += quarter;
            word((at >> low) as u32 & ((1 << bits) - 1));
        }
        if now >> low != self.written >> low || now - self.written >= BEAT {
            let jump = (now >> low) - (at >> low) > 1;
            // A reader with a step limit wants to see a jump twice.
            for _ in 0..=u32::from(jump || at != self.written) {
                word((now >> low) as u32 & ((1 << bits) - 1));
            }
            self.written = now;
        }
        self.now = Some(now);
        Ok(now)
    }
}

/// Events of one row, polarity and time in rising columns, collected into one mask.
#[derive(Clone, Copy, Debug)]
struct Vector {
    t: u64,
    y: u16,
    on: bool,
    base: u16,
    mask: u32,
}

impl Vector {
    fn of(t: u64, event: Event) -> Self {
        Self { t, y: event.y(), on: event.on(), base: event.x(), mask: 1 }
    }

    /// True if the event went into the mask without changing the order of events.
    fn join(&mut self, t: u64, event: Event) -> bool {
        let bit = event.x().wrapping_sub(self.base);
        let joins =
            (t, event.y(), event.on()) == (self.t, self.y, self.on) && bit < 32 && self.mask >> bit == 0;
        if joins {
            self.mask |= 1 << bit;
        }
        joins
    }
}

fn fits(event: Event, width: u16, height: u16) -> Result<(), EncodeError> {
    if event.x() < width && event.y() < height { Ok(()) } else { Err(EncodeError::Place) }
}

/// The trigger word of EVT2, which is the upper half of that of EVT2.1.
fn trigger_word(trigger: Trigger) -> Result<u32, EncodeError> {
    if trigger.id > 0x1F {
        return Err(EncodeError::Channel);
    }
    Ok(0xA << 28 | (trigger.t & 0x3F) << 22 | u32::from(trigger.id) << 8 | u32::from(trigger.value))
}

/// EVT2.0.
#[derive(Clone, Debug, Default)]
pub struct Evt2Encoder {
    time: TimeHigh,
}

impl Evt2Encoder {
    fn advance(&mut self, t: u32, put: &mut impl FnMut(&[u8])) -> Result<u64, EncodeError> {
        self.time.advance(t, 28, 6, |high| put(&(0x8 << 28 | high).to_le_bytes()))
    }
}

impl Encoder for Evt2Encoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        fits(event, 2048, 2048)?;
        let t = self.advance(event.t, put)?;
        let word = u32::from(event.on()) << 28
            | (t as u32 & 0x3F) << 22
            | u32::from(event.x()) << 11
            | u32::from(event.y());
        put(&word.to_le_bytes());
        Ok(())
    }

    fn trigger(&mut self, trigger: Trigger, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        let word = trigger_word(trigger)?;
        self.advance(trigger.t, put)?;
        put(&word.to_le_bytes());
        Ok(())
    }

    fn finish(&mut self, _put: &mut impl FnMut(&[u8])) {}
}

/// EVT2.1; pixels of a row at one time go into one word as long as their columns rise.
#[derive(Clone, Debug, Default)]
pub struct Evt21Encoder {
    order: WordOrder,
    time: TimeHigh,
    vector: Option<Vector>,
}

impl Evt21Encoder {
    /// An encoder with this order of the halves.
    pub fn new(order: WordOrder) -> Self {
        Self { order, ..Self::default() }
    }

    fn advance(&mut self, t: u32, put: &mut impl FnMut(&[u8])) -> Result<u64, EncodeError> {
        let order = self.order;
        self.time.advance(t, 28, 6, |high| Self::put(order, 0x8 << 60 | u64::from(high) << 32, put))
    }

    fn put(order: WordOrder, word: u64, put: &mut impl FnMut(&[u8])) {
        let word = match order {
            WordOrder::Little => word,
            WordOrder::Legacy => word.rotate_left(32),
        };
        put(&word.to_le_bytes());
    }
}

impl Encoder for Evt21Encoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        fits(event, 2048, 2048)?;
        let t = self.time.now.map_or(event.t.into(), |now| now + u64::from(event.t.wrapping_sub(now as u32)));
        if self.vector.as_mut().is_some_and(|v| v.join(t, event)) {
            return Ok(());
        }
        self.finish(put);
        let t = self.advance(event.t, put)?;
        self.vector = Some(Vector::of(t, event));
        Ok(())
    }

    fn trigger(&mut self, trigger: Trigger, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        let word = trigger_word(trigger)?;
        self.finish(put);
        self.advance(trigger.t, put)?;
        Self::put(self.order, u64::from(word) << 32, put);
        Ok(())
    }

    fn finish(&mut self, put: &mut impl FnMut(&[u8])) {
        if let Some(v) = self.vector.take() {
            let control =
                u64::from(v.on) << 28 | (v.t & 0x3F) << 22 | u64::from(v.base) << 11 | u64::from(v.y);
            Self::put(self.order, control << 32 | u64::from(v.mask), put);
        }
    }
}

/// EVT3.0; vectors (12, 12, 8) where they are shorter than single events.
#[derive(Clone, Debug, Default)]
pub struct Evt3Encoder {
    time: TimeHigh,
    /// The last TIME_LOW and the TIME_HIGH it belongs to.
    low: Option<u64>,
    row: Option<u16>,
    vector: Option<Vector>,
}

impl Evt3Encoder {
    fn advance(&mut self, t: u32, put: &mut impl FnMut(&[u8])) -> Result<u64, EncodeError> {
        let written = self.time.written;
        let t = self.time.advance(t, 12, 12, |high| put(&(0x8000 | high as u16).to_le_bytes()))?;
        if written != self.time.written {
            // The row comes again with each TIME_HIGH, for readers that join here.
            self.row = None;
        }
        if self.low != Some(t) {
            put(&(0x6000 | t as u16 & 0xFFF).to_le_bytes());
            self.low = Some(t);
        }
        Ok(t)
    }
}

impl Encoder for Evt3Encoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        fits(event, 2048, 2048)?;
        let t = self.time.now.map_or(event.t.into(), |now| now + u64::from(event.t.wrapping_sub(now as u32)));
        if self.vector.as_mut().is_some_and(|v| v.join(t, event)) {
            return Ok(());
        }
        self.finish(put);
        let t = self.advance(event.t, put)?;
        if self.row != Some(event.y()) {
            put(&event.y().to_le_bytes());
            self.row = Some(event.y());
        }
        self.vector = Some(Vector::of(t, event));
        Ok(())
    }

    fn trigger(&mut self, trigger: Trigger, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        if trigger.id > 0xF {
            return Err(EncodeError::Channel);
        }
        self.finish(put);
        self.advance(trigger.t, put)?;
        put(&(0xA000 | u16::from(trigger.id) << 8 | u16::from(trigger.value)).to_le_bytes());
        Ok(())
    }

    fn finish(&mut self, put: &mut impl FnMut(&[u8])) {
        let Some(mut v) = self.vector.take() else { return };
        let on = u16::from(v.on) << 11;
        let vectors = match 32 - v.mask.leading_zeros() {
            0..=12 => 1,
            13..=24 => 2,
            _ => 3,
        };
        if v.mask.count_ones() <= 1 + vectors {
            while v.mask != 0 {
                put(&(0x2000 | on | (v.base + v.mask.trailing_zeros() as u16)).to_le_bytes());
                v.mask &= v.mask - 1;
            }
            return;
        }
        put(&(0x3000 | on | v.base).to_le_bytes());
        for (kind, shift, bits) in
            [(0x4000, 0, 0xFFF), (0x4000, 12, 0xFFF), (0x5000, 24, 0xFF)].into_iter().take(vectors as usize)
        {
            put(&(kind | (v.mask >> shift & bits) as u16).to_le_bytes());
        }
    }
}

/// DAT version 2 records, without a header ([`header`]).
#[derive(Clone, Debug, Default)]
pub struct DatEncoder {
    now: Option<u64>,
}

impl Encoder for DatEncoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        fits(event, 1 << 14, 1 << 14)?;
        self.now = Some(follow(self.now, event.t)?);
        let place = u32::from(event.on()) << 28 | u32::from(event.y()) << 14 | u32::from(event.x());
        put(&(u64::from(place) << 32 | u64::from(event.t)).to_le_bytes());
        Ok(())
    }

    fn finish(&mut self, _put: &mut impl FnMut(&[u8])) {}
}

/// AEDAT2 records, without a header ([`header`]).
#[derive(Clone, Debug)]
pub struct Aedat2Encoder {
    geometry: Geometry,
    address: Address,
    now: Option<u64>,
}

impl Aedat2Encoder {
    /// An encoder for a sensor of this geometry, from whose lowest row rows are counted: the decoder's must be the same.
    pub const fn new(geometry: Geometry, address: Address) -> Self {
        Self { geometry, address, now: None }
    }
}

impl Encoder for Aedat2Encoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        let Geometry { width, height } = self.geometry;
        let (columns, rows) = match self.address {
            Address::Davis => (1 << 10, 1 << 9),
            Address::Dvs128 => (1 << 7, 1 << 7),
        };
        fits(event, width.min(columns), height)?;
        let (x, from_below, on) = (u32::from(event.x()), height - 1 - event.y(), u32::from(event.on()));
        if from_below >= rows {
            return Err(EncodeError::Place);
        }
        self.now = Some(follow(self.now, event.t)?);
        let address = match self.address {
            Address::Davis => u32::from(from_below) << 22 | x << 12 | on << 11,
            Address::Dvs128 => u32::from(from_below) << 8 | x << 1 | on,
        };
        put(&(u64::from(address) << 32 | u64::from(event.t)).to_be_bytes());
        Ok(())
    }

    fn finish(&mut self, _put: &mut impl FnMut(&[u8])) {}
}

/// Events in a full AEDAT3.1 packet: its head is then a 37th of it, and an encoder takes 1 KiB.
const PACKET: usize = 128;

/// The source of AEDAT3.1 packets, which the header describes.
const SOURCE: u32 = 1;

/// AEDAT3.1 packets, without a header ([`header`]). An edge, of channel 0 only, is a packet of its own, so that it keeps its place
/// among the events.
#[derive(Clone, Debug)]
pub struct Aedat3Encoder {
    /// Time of the last event or edge with its wraps.
    now: Option<u64>,
    /// The events of the next packet, all with the overflows of `now`.
    held: [Event; PACKET],
    len: usize,
}

impl Default for Aedat3Encoder {
    fn default() -> Self {
        Self { now: None, held: [Event::default(); PACKET], len: 0 }
    }
}

impl Aedat3Encoder {
    fn advance(&mut self, t: u32, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        let now = follow(self.now, t)?;
        if now >> 31 >= u64::from(OVERFLOWS) {
            return Err(EncodeError::Late);
        }
        if self.now.is_some_and(|before| now >> 31 != before >> 31) {
            self.finish(put);
        }
        self.now = Some(now);
        Ok(())
    }

    fn head(&self, kind: u16, events: usize, put: &mut impl FnMut(&[u8])) {
        let (overflow, n) = ((self.now.unwrap_or(0) >> 31) as u32, events as u32);
        // Kind and source, bytes of an event, where its time is, and all events are there and valid.
        for field in [SOURCE << 16 | u32::from(kind), 8, 4, overflow, n, n, n] {
            put(&field.to_le_bytes());
        }
    }

    fn record(data: u32, t: u32, put: &mut impl FnMut(&[u8])) {
        put(&(u64::from(t & 0x7FFF_FFFF) << 32 | u64::from(data << 1 | 1)).to_le_bytes());
    }
}

impl Encoder for Aedat3Encoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        self.advance(event.t, put)?;
        if let Some(slot) = self.held.get_mut(self.len) {
            *slot = event;
            self.len += 1;
        }
        if self.len == PACKET {
            self.finish(put);
        }
        Ok(())
    }

    fn trigger(&mut self, trigger: Trigger, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        if trigger.id != 0 {
            return Err(EncodeError::Channel);
        }
        self.advance(trigger.t, put)?;
        self.finish(put);
        self.head(SPECIAL, 1, put);
        Self::record(if trigger.value { RISING } else { FALLING }, trigger.t, put);
        Ok(())
    }

    fn finish(&mut self, put: &mut impl FnMut(&[u8])) {
        let events = self.held.get(..self.len).unwrap_or(&[]);
        if events.is_empty() {
            return;
        }
        self.head(POLARITY, events.len(), put);
        for event in events {
            // Every place of an `Event` fits.
            let (x, y, on) = (u32::from(event.x()), u32::from(event.y()), u32::from(event.on()));
            Self::record(x << 16 | y << 1 | on, event.t, put);
        }
        self.len = 0;
    }
}

/// Records of an eDVS. Its 16-bit clock leaves no pauses from 65.5 ms on.
#[derive(Clone, Debug, Default)]
pub struct EdvsEncoder {
    now: Option<u64>,
}

impl Encoder for EdvsEncoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        fits(event, 128, 128)?;
        let now = follow(self.now, event.t)?;
        if now - self.now.unwrap_or(0) > u64::from(u16::MAX) {
            return Err(EncodeError::Pause);
        }
        self.now = Some(now);
        let [high, low] = (now as u16).to_be_bytes();
        put(&[1 << 7 | event.y() as u8, u8::from(!event.on()) << 7 | event.x() as u8, high, low]);
        Ok(())
    }

    fn finish(&mut self, _put: &mut impl FnMut(&[u8])) {}
}

/// 5-byte records; rows up to 239, so that no event is a marker in `.bin`.
#[derive(Clone, Debug, Default)]
pub struct Record5Encoder {
    last: Option<u32>,
}

impl Encoder for Record5Encoder {
    fn event(&mut self, event: Event, put: &mut impl FnMut(&[u8])) -> Result<(), EncodeError> {
        fits(event, 256, 240)?;
        const RANGE: u32 = 1 << 23;
        let last = self.last.unwrap_or(0);
        let (before, rise) = (last % RANGE, event.t.wrapping_sub(last));
        if self.last.is_some() && rise >= 1 << 31 {
            return Err(EncodeError::TimeBack);
        }
        // A reader sees a wrap as a fall by half the range.
        let after = before.wrapping_add(rise) % RANGE;
        if (before + rise) / RANGE != u32::from(after + RANGE / 2 <= before) {
            return Err(EncodeError::Pause);
        }
        self.last = Some(event.t);
        let [_, b2, b3, b4] = event.t.to_be_bytes();
        put(&[event.x() as u8, event.y() as u8, u8::from(event.on()) << 7 | b2 & 0x7F, b3, b4]);
        Ok(())
    }

    fn finish(&mut self, _put: &mut impl FnMut(&[u8])) {}
}
