//! Generated recordings, and AEDAT4 files of them.

use std::io::{Read, Write};

use mixel::events::aedat4::Compression;
use mixel::events::{Edge, Recording, TimedEvent};
use mixel_core::events::{Event, Geometry, Trigger};

/// A recording that begins at `start` us: bursts along rows, single events, equal times, pauses up to `pause` us, triggers of
/// channels below 16.
pub fn generated(seed: u64, count: usize, geometry: Geometry, start: u64, pause: u64) -> Recording {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut events, mut triggers, mut t) = (Vec::new(), Vec::new(), start);
    while events.len() < count {
        let (x, y, on) = (random.u16(..geometry.width), random.u16(..geometry.height), random.bool());
        match random.u8(..20) {
            0 => t += random.u64(..=pause),
            1 => {
                let trigger = Trigger { t: t as u32, id: random.u8(..16), value: random.bool() };
                triggers.push(Edge { t, trigger });
            }
            2..6 => {
                let row = (x..geometry.width.min(x + 40)).filter(|_| random.bool()).collect::<Vec<_>>();
                events.extend(row.iter().map(|&x| TimedEvent { t, event: Event::new(t as u32, x, y, on) }));
            }
            6..12 => t += random.u64(..90),
            _ => events.push(TimedEvent { t, event: Event::new(t as u32, x, y, on) }),
        }
    }
    events.truncate(count);
    Recording { geometry: Some(geometry), events, triggers, ..Recording::default() }
}

/// Sixteen bytes of an AEDAT4 event.
pub fn packed(&TimedEvent { t, event }: &TimedEvent) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&t.to_le_bytes());
    bytes[8..10].copy_from_slice(&event.x().to_le_bytes());
    bytes[10..12].copy_from_slice(&event.y().to_le_bytes());
    bytes[12] = event.on().into();
    bytes
}

fn sized(buffer: Vec<u8>) -> Vec<u8> {
    [&(buffer.len() as u32).to_le_bytes()[..], &buffer].concat()
}

/// Numbers as little-endian bytes, one type each.
macro_rules! bytes {
    ($($number:expr),* $(,)?) => { [$(&$number.to_le_bytes()[..]),*].concat() };
}

/// The FlatBuffer of a list of events.
pub fn event_packet(events: &[[u8; 16]]) -> Vec<u8> {
    // Root, name, vtable of one field, table, padding, vector.
    let start = [bytes!(16u32), b"EVTS".to_vec(), bytes!(6u16, 8u16, 4u16, 0u16, 8i32, 8u32, 0u32)].concat();
    sized([start, bytes!(events.len() as u32), events.concat()].concat())
}

/// The FlatBuffer of a list of triggers `(t, type)`.
pub fn trigger_packet(triggers: &[(i64, i8)]) -> Vec<u8> {
    let start = [bytes!(16u32), b"TRIG".to_vec(), bytes!(6u16, 8u16, 4u16, 0u16, 8i32, 4u32)].concat();
    // Each record with a vtable of its own: 8 bytes of vtable, 16 of table.
    let offsets = (0..triggers.len()).flat_map(|i| bytes!((4 * (triggers.len() - i) + 24 * i + 8) as u32));
    let records = triggers
        .iter()
        .flat_map(|(t, kind)| [bytes!(8u16, 16u16, 4u16, 12u16, 8i32), bytes!(t, kind), vec![0; 3]].concat());
    let list: Vec<u8> = offsets.chain(records).collect();
    sized([start, bytes!(triggers.len() as u32), list].concat())
}

/// The head of a file with streams `(number, type)`.
pub fn head(compression: i32, table: i64, geometry: Geometry, streams: &[(i32, &str)]) -> Vec<u8> {
    let Geometry { width, height } = geometry;
    let streams: String = streams
        .iter()
        .map(|(id, kind)| {
            format!(
                r#"<node name="{id}"><attr key="typeIdentifier" type="string">{kind}</attr>
                <node name="info"><attr key="sizeX">{width}</attr><attr key="sizeY">{height}</attr></node></node>"#
            )
        })
        .collect();
    let xml = format!(r#"<dv version="2.0"><node name="outInfo" path="/">{streams}</node></dv>"#);
    let vtable = bytes!(10u16, 20u16, 4u16, 8u16, 16u16, 0u16);
    let start = [bytes!(20u32), b"IOHE".to_vec(), vtable, bytes!(12i32, compression, table, 4u32)].concat();
    let head = sized([start, bytes!(xml.len() as u32), xml.into_bytes(), vec![0]].concat());
    [b"#!AER-DAT4.0\r\n".to_vec(), head].concat()
}

pub fn compressed(compression: Compression, packet: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => packet.to_vec(),
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(packet).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            ruzstd::encoding::compress_to_vec(packet, ruzstd::encoding::CompressionLevel::Fastest)
        }
    }
}

/// A packet in its frame.
pub fn framed(stream: i32, body: &[u8]) -> Vec<u8> {
    [&bytes!(stream, body.len() as i32)[..], body].concat()
}

pub fn code(compression: Compression) -> i32 {
    match compression {
        Compression::None => 0,
        Compression::Lz4 => 1,
        Compression::Zstd => 3,
    }
}

/// `recording` as an AEDAT4 file with packets of IMU samples between those of events, and a table of packets or none behind them.
pub fn aedat4(recording: &Recording, compression: Compression, with_table: bool) -> Vec<u8> {
    let streams = [(0, "EVTS"), (1, "IMUS"), (2, "TRIG")];
    let geometry = recording.geometry.unwrap();
    let mut packets = Vec::new();
    for events in recording.events.chunks(100) {
        let packet = event_packet(&events.iter().map(packed).collect::<Vec<_>>());
        packets.extend(framed(0, &compressed(compression, &packet)));
        packets.extend(framed(1, b"no flat buffer"));
    }
    let triggers: Vec<(i64, i8)> =
        recording.triggers.iter().map(|e| (e.t as i64, if e.trigger.value { 1 } else { 2 })).collect();
    packets.extend(framed(2, &compressed(compression, &trigger_packet(&triggers))));
    let start = head(code(compression), 0, geometry, &streams).len();
    let table = if with_table { (start + packets.len()) as i64 } else { -1 };
    let head = head(code(compression), table, geometry, &streams);
    let end = if with_table { &b"the table, which nobody reads"[..] } else { &[] };
    [&head[..], &packets, end].concat()
}

/// Gives its bytes in parts of random length.
pub struct InParts<'a> {
    pub bytes: &'a [u8],
    pub most: usize,
    pub random: fastrand::Rng,
}

impl Read for InParts<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = self.random.usize(1..=self.most);
        let part = &self.bytes[..most.min(self.bytes.len())];
        let count = (&part[..]).read(buffer)?;
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}
