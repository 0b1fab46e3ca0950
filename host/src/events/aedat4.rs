//! AEDAT4, the container of iniVation's DV.
//!
//! ```text
//! #!AER-DAT4.0\r\n
//! u32 length, FlatBuffer IOHE {0: i32 compression, 1: i64 place of the data table, 2: string XML}
//! packets {i32 stream, i32 size, body}; the body, decompressed, is u32 length and a FlatBuffer named like its stream's type:
//!   EVTS {0: vector of {i64 t us, i16 x, i16 y, u8 on, 3 bytes}}
//!   TRIG {0: vector of tables {0: i64 t us, 1: i8 type}}
//! data table: where each packet lies (not needed here)
//! ```
//!
//! The XML names the streams by number, with their type and the sensor's size. The origin is at the top left. Schemas:
//! dv-processing, `include/dv-processing/data/*.fbs`.

use std::collections::BTreeMap;
use std::io::{self, Read};

use mixel_core::events::{Event, Geometry, Trigger};

use super::flat::Table;
use super::{Edge, Recording, TimedEvent};
use crate::{Error, ErrorKind, Result};

const VERSION: &[u8] = b"#!AER-DAT4.0\r\n";

/// Bytes of the head, and of a packet before and after decompression, at most. DV writes packets of some 10 kB to 1 MB; a damaged
/// or hostile length must not take all memory.
const LARGEST: u64 = 1 << 26;

/// Bytes of a packet after decompression for each byte before, at most: what LZ4 can reach. Events reach some ten.
const MOST_RATIO: u64 = 256;

/// How the packets are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4 frames, fast or high.
    Lz4,
    /// Zstandard frames, fast or high.
    Zstd,
}

impl Compression {
    /// As it is written in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// What the container holds.
#[derive(Clone, Debug)]
pub struct Contents {
    /// How the packets are compressed.
    pub compression: Compression,
    /// Packets of each type of stream; those that are neither events nor triggers are skipped.
    pub packets: BTreeMap<String, u64>,
    /// Records in the trigger packets. Edges on a pin are among the recording's triggers; resets, generated edges and frame marks are not.
    pub trigger_records: u64,
    /// Packets of events that were left out: those of other streams than the first.
    pub packets_of_other_cameras: u64,
}

/// Reads a recording. `given` is the sensor's geometry, for a head that does not say it.
///
/// # Errors
/// [`ErrorKind::Format`] for whatever is not as above, a file that is cut off included.
pub fn read(input: impl Read, given: Option<Geometry>) -> Result<Recording> {
    let mut input = Input { input, at: 0 };
    if input.bytes(VERSION.len() as u64, "its first line")? != VERSION {
        return Err(broken("does not begin with #!AER-DAT4.0"));
    }
    let Head { compression, table, streams } = Head::read(&mut input)?;
    let first = streams.iter().find(|(_, stream)| stream.kind == "EVTS").map(|(&id, _)| id);
    let geometry = first.and_then(|id| streams.get(&id)?.geometry).or(given);
    let mut recording = Recording { format: "AEDAT4".into(), geometry, ..Recording::default() };
    let mut contents =
        Contents { compression, packets: BTreeMap::new(), trigger_records: 0, packets_of_other_cameras: 0 };
    while table.is_none_or(|table| input.at < table) {
        let start = input.at;
        let here = |what: &str| broken(format!("the packet at byte {start} {what}"));
        let Some(id) = input.number_or_end("a packet")? else {
            // A recorder that was stopped hard writes no table: its file ends behind a packet.
            match table {
                None => break,
                Some(table) => return Err(broken(format!("is cut off at byte {start} of at least {table}"))),
            }
        };
        let size = i32::from_le_bytes(input.number("a packet")?);
        let size = u64::try_from(size).map_err(|_| here("has a negative size"))?;
        let id = i32::from_le_bytes(id);
        let stream = streams
            .get(&id)
            .ok_or_else(|| here(&format!("is of stream {id}, which the head does not name")))?;
        *contents.packets.entry(stream.kind.clone()).or_default() += 1;
        match stream.kind.as_str() {
            "EVTS" if Some(id) == first => {
                let packet = unpacked(input.bytes(size, "a packet")?, compression);
                let packet = packet.map_err(|error| here("cannot be decompressed").caused_by(error))?;
                let events = Table::root(&packet, *b"EVTS").and_then(|table| table.structs(0));
                take_events(&mut recording, events.ok_or_else(|| here("is no list of events"))?);
            }
            "TRIG" => {
                let packet = unpacked(input.bytes(size, "a packet")?, compression);
                let packet = packet.map_err(|error| here("cannot be decompressed").caused_by(error))?;
                let records = take_triggers(&mut recording, &packet);
                contents.trigger_records += records.ok_or_else(|| here("is no list of triggers"))?;
            }
            kind => {
                contents.packets_of_other_cameras += u64::from(kind == "EVTS");
                input.skip(size, "a packet")?;
            }
        }
    }
    if table.is_some_and(|table| input.at != table) {
        return Err(broken("its packets do not end where it says that they end"));
    }
    recording.counts.bytes = input.at;
    recording.counts.events = recording.events.len() as u64;
    recording.counts.triggers = recording.triggers.len() as u32;
    recording.aedat4 = Some(contents);
    Ok(recording)
}

fn broken(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Format, "", message)
        .hint("the file is damaged or not finished: copy it again, or write it again with DV")
}

/// Bytes with their place.
struct Input<R> {
    input: R,
    at: u64,
}

impl<R: Read> Input<R> {
    /// The next `size` bytes, which belong to `what`.
    fn bytes(&mut self, size: u64, what: &str) -> Result<Vec<u8>> {
        if size > LARGEST {
            let at = self.at;
            return Err(broken(format!("{what} at byte {at} claims {size} bytes, more than {LARGEST}")));
        }
        // Grows with what is there, not with what is claimed.
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(size).read_to_end(&mut bytes);
        self.moved(read.map(|read| read as u64), size, what)?;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        self.number_or_end(what)?.ok_or_else(|| self.cut_off(what))
    }

    /// None if the input ends here.
    fn number_or_end<const N: usize>(&mut self, what: &str) -> Result<Option<[u8; N]>> {
        let mut bytes = Vec::new();
        let read = self.input.by_ref().take(N as u64).read_to_end(&mut bytes);
        if bytes.is_empty() && read.is_ok() {
            return Ok(None);
        }
        self.moved(read.map(|read| read as u64), N as u64, what)?;
        Ok(bytes.first_chunk().copied())
    }

    fn skip(&mut self, size: u64, what: &str) -> Result<()> {
        let read = io::copy(&mut self.input.by_ref().take(size), &mut io::sink());
        self.moved(read, size, what)
    }

    fn moved(&mut self, read: io::Result<u64>, size: u64, what: &str) -> Result<()> {
        let read = read.map_err(|error| broken("cannot be read").caused_by(error))?;
        self.at += read;
        if read < size { Err(self.cut_off(what)) } else { Ok(()) }
    }

    fn cut_off(&self, what: &str) -> Error {
        broken(format!("is cut off in {what}, at byte {}", self.at))
    }
}

/// A stream as the head describes it.
struct Stream {
    kind: String,
    geometry: Option<Geometry>,
}

/// What is in front of the packets.
struct Head {
    compression: Compression,
    /// Where the packets end and the data table begins, if it was written.
    table: Option<u64>,
    streams: BTreeMap<i32, Stream>,
}

impl Head {
    fn read(input: &mut Input<impl Read>) -> Result<Self> {
        let length: [u8; 4] = input.number("its head")?;
        let body = input.bytes(u32::from_le_bytes(length).into(), "its head")?;
        let sized = [&length[..], &body].concat();
        let fields = || {
            let table = Table::root(&sized, *b"IOHE")?;
            Some((table.number(0)?, table.number(1)?, table.text(2)?))
        };
        let (compression, place, xml) = fields().ok_or_else(|| broken("its head is malformed"))?;
        let compression = match i32::from_le_bytes(compression) {
            0 => Compression::None,
            1 | 2 => Compression::Lz4,
            3 | 4 => Compression::Zstd,
            other => return Err(broken(format!("compression {other} is not known"))),
        };
        let table = u64::try_from(i64::from_le_bytes(place)).ok().filter(|&place| place > 0);
        Ok(Self { compression, table, streams: streams(xml)? })
    }
}

/// The streams that the XML names: the children of the node `outInfo`.
fn streams(xml: &str) -> Result<BTreeMap<i32, Stream>> {
    let document = roxmltree::Document::parse(xml.trim_end_matches('\0'))
        .map_err(|error| broken("the XML of its head is malformed").caused_by(error))?;
    let is_node = |node: &roxmltree::Node<'_, '_>, name: &str| {
        node.has_tag_name("node") && node.attribute("name") == Some(name)
    };
    let Some(list) = document.descendants().find(|node| is_node(node, "outInfo")) else {
        return Err(broken("its head names no streams"));
    };
    let mut streams = BTreeMap::new();
    for node in list.children().filter(|node| node.has_tag_name("node")) {
        let value = |of: roxmltree::Node<'_, '_>, key: &str| {
            let mut attributes = of.children().filter(|child| child.has_tag_name("attr"));
            attributes.find(|child| child.attribute("key") == Some(key))?.text().map(str::to_owned)
        };
        let id = node.attribute("name").and_then(|name| name.parse().ok());
        let (Some(id), Some(kind)) = (id, value(node, "typeIdentifier")) else {
            return Err(broken("its head describes a stream without number or type"));
        };
        let info = node.children().find(|child| is_node(child, "info"));
        let side = |name: &str| value(info?, name)?.parse().ok().filter(|&side: &u16| side > 0);
        let geometry = side("sizeX").zip(side("sizeY")).map(|(width, height)| Geometry::new(width, height));
        streams.insert(id, Stream { kind, geometry });
    }
    Ok(streams)
}

/// A packet as it was before compression.
fn unpacked(packet: Vec<u8>, compression: Compression) -> io::Result<Vec<u8>> {
    let most = LARGEST.min(MOST_RATIO * packet.len() as u64);
    let mut bytes = Vec::new();
    match compression {
        Compression::None => return Ok(packet),
        Compression::Lz4 => {
            lz4_flex::frame::FrameDecoder::new(&packet[..]).take(most + 1).read_to_end(&mut bytes)?
        }
        Compression::Zstd => {
            ruzstd::decoding::StreamingDecoder::new_with_max_window_size(&packet[..], LARGEST)
                .map_err(io::Error::other)?
                .take(most + 1)
                .read_to_end(&mut bytes)?
        }
    };
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("there are more than {most} bytes in it")));
    }
    Ok(bytes)
}

/// Time as decoders give it: it never falls. A negative one is no time.
fn held(t: i64, last: Option<u64>, fallen: &mut u32) -> Option<u64> {
    let t = u64::try_from(t).ok()?;
    *fallen = fallen.saturating_add(last.is_some_and(|last| t < last).into());
    Some(last.map_or(t, |last| t.max(last)))
}

fn take_events(recording: &mut Recording, events: &[[u8; 16]]) {
    let bounds = recording.geometry.unwrap_or(Geometry::ANY);
    let Recording { events: list, counts, .. } = recording;
    for &[a, b, c, d, e, f, g, h, x0, x1, y0, y1, on, ..] in events {
        let t = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let Some(t) = held(t, list.last().map(|event| event.t), &mut counts.time_high_back) else {
            counts.reserved = counts.reserved.saturating_add(1);
            continue;
        };
        // A negative coordinate is a large one here.
        let (x, y) = (u16::from_le_bytes([x0, x1]), u16::from_le_bytes([y0, y1]));
        if x >= bounds.width || y >= bounds.height {
            counts.off_sensor = counts.off_sensor.saturating_add(1);
            continue;
        }
        list.push(TimedEvent { t, event: Event::new(t as u32, x, y, on != 0) });
    }
}

/// Returns how many records there are; `None` if the packet is malformed.
fn take_triggers(recording: &mut Recording, packet: &[u8]) -> Option<u64> {
    let Recording { triggers: list, counts, .. } = recording;
    let mut records = 0;
    for record in Table::root(packet, *b"TRIG")?.tables(0)? {
        let record = record?;
        records += 1;
        let (t, [kind]) = (i64::from_le_bytes(record.number(0)?), record.number(1)?);
        // Of the signal on the pin: 1 rising edge, 2 falling edge, 3 pulse.
        if !(1..=3).contains(&kind) {
            continue;
        }
        match held(t, list.last().map(|edge| edge.t), &mut counts.time_high_back) {
            Some(t) => list.push(Edge { t, trigger: Trigger { t: t as u32, id: 0, value: kind != 2 } }),
            None => counts.reserved = counts.reserved.saturating_add(1),
        }
    }
    Some(records)
}
