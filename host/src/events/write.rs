//! Recordings as the bytes of another format.

use std::io::Cursor;
use std::path::Path;

use mixel_core::events::aedat::Sensor;
use mixel_core::events::dat::Layout;
use mixel_core::events::encode::{
    self, Aedat2Encoder, Aedat3Encoder, DatEncoder, EdvsEncoder, EncodeError, Encoder, Evt2Encoder,
    Evt3Encoder, Evt21Encoder, Record5Encoder,
};
use mixel_core::events::evt21::WordOrder;
use mixel_core::events::header::Encoding;
use mixel_core::events::{Geometry, Trigger};

use super::{Edge, Recording, TimedEvent};
use crate::arrays::write_npz_to;
use crate::{Error, ErrorKind, Result};

/// A format that recordings are written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Format {
    /// EVT2.0 words
    Evt2,
    /// EVT2.1 words, as a GENX320 orders them
    Evt21,
    /// EVT2.1 words, as older sensors order them
    Evt21Legacy,
    /// EVT3.0 words
    Evt3,
    /// DAT records, version 2
    Dat,
    /// AEDAT2 records of a DVS128 or a DAVIS
    Aedat2,
    /// AEDAT3.1 packets
    Aedat3,
    /// 5-byte records of N-MNIST
    Bin,
    /// 4-byte records of an eDVS
    Edvs,
    /// Arrays for NumPy
    Npz,
}

impl Format {
    /// The format that is named like the end of `path`.
    pub fn of_path(path: &Path) -> Option<Self> {
        clap::ValueEnum::from_str(path.extension()?.to_str()?, true).ok()
    }

    /// As the format calls itself.
    pub fn name(self) -> &'static str {
        match self {
            Self::Evt2 => "EVT2.0",
            Self::Evt21 | Self::Evt21Legacy => "EVT2.1",
            Self::Evt3 => "EVT3.0",
            Self::Dat => "DAT",
            Self::Aedat2 => "AEDAT2",
            Self::Aedat3 => "AEDAT3.1",
            Self::Bin => "N-MNIST bin",
            Self::Edvs => "eDVS",
            Self::Npz => "npz",
        }
    }

    /// Whether `trigger` stands among the events; others are left out. DAT keeps them in files of their own, AEDAT3.1 has one channel.
    pub fn keeps(self, trigger: Trigger) -> bool {
        match self {
            Self::Evt2 | Self::Evt21 | Self::Evt21Legacy | Self::Evt3 | Self::Npz => true,
            Self::Aedat3 => trigger.id == 0,
            Self::Dat | Self::Aedat2 | Self::Bin | Self::Edvs => false,
        }
    }

    /// The pixels that a file says for a recording of `extent`. AEDAT names a sensor, and AEDAT2 needs one.
    pub fn said(self, extent: Geometry) -> Option<Geometry> {
        match self {
            Self::Aedat2 => Some(Sensor::holding(extent).geometry),
            Self::Aedat3 => Sensor::of(extent).map(|sensor| sensor.geometry),
            Self::Bin | Self::Edvs => None,
            Self::Evt2 | Self::Evt21 | Self::Evt21Legacy | Self::Evt3 | Self::Dat | Self::Npz => Some(extent),
        }
    }

    /// What it can hold, for those who have more.
    fn limits(self) -> &'static str {
        match self {
            Self::Evt2 | Self::Evt21 | Self::Evt21Legacy => {
                "columns and rows to 2047, trigger channels to 31, pauses of 35 minutes"
            }
            Self::Evt3 => "columns and rows to 2047, trigger channels to 15, pauses of 35 minutes",
            Self::Dat => "columns and rows to 16383, pauses of 35 minutes",
            Self::Aedat2 => "columns to 639, rows to 479, pauses of 35 minutes",
            Self::Aedat3 => "columns and rows to 32767, pauses of 35 minutes, times to 4.4 years",
            Self::Bin => "columns to 255, rows to 239, pauses of 4.19 seconds",
            Self::Edvs => "columns and rows to 127, pauses of 65.5 milliseconds",
            Self::Npz => "everything",
        }
    }

    /// Times from which a recording may not start, in microseconds: a reader could not tell them from earlier ones.
    fn first_time_limit(self) -> u64 {
        match self {
            // Some words reach further, but the encoders take 32 bits.
            Self::Evt2 | Self::Evt21 | Self::Evt21Legacy | Self::Dat | Self::Aedat2 | Self::Aedat3 => 1 << 32,
            Self::Evt3 => 1 << 24,
            Self::Bin => 1 << 23,
            Self::Edvs => 1 << 16,
            Self::Npz => u64::MAX,
        }
    }
}

/// The bytes of `recording` as a file of `format`. Its header says what [`Format::said`] says of [`Recording::extent`]; triggers are
/// written if the format [keeps](Format::keeps) them.
///
/// # Errors
/// [`ErrorKind::Input`] for an event or trigger that the format cannot hold.
pub fn encode(recording: &Recording, format: Format) -> Result<Vec<u8>> {
    let evt21 = |order| stream(Evt21Encoder::new(order), Encoding::Evt21(order), recording, format);
    match format {
        Format::Evt2 => stream(Evt2Encoder::default(), Encoding::Evt2, recording, format),
        Format::Evt21 => evt21(WordOrder::Little),
        Format::Evt21Legacy => evt21(WordOrder::Legacy),
        Format::Evt3 => stream(Evt3Encoder::default(), Encoding::Evt3, recording, format),
        Format::Dat => stream(DatEncoder::default(), Encoding::Dat(Layout::V2), recording, format),
        Format::Aedat2 => {
            let Sensor { geometry, address, .. } = Sensor::holding(recording.extent());
            let encoder = Aedat2Encoder::new(geometry, address);
            stream(encoder, Encoding::Aedat2(address), recording, format)
        }
        Format::Aedat3 => stream(Aedat3Encoder::default(), Encoding::Aedat3, recording, format),
        Format::Bin => stream(Record5Encoder::default(), Encoding::Bin, recording, format),
        Format::Edvs => stream(EdvsEncoder::default(), Encoding::Edvs, recording, format),
        Format::Npz => {
            let mut file = Cursor::new(Vec::new());
            write_npz_to(&mut file, &recording.arrays()?)?;
            Ok(file.into_inner())
        }
    }
}

/// Header, and events with triggers in the order of their times; of equal times the events first.
fn stream<E: Encoder>(
    encoder: E,
    encoding: Encoding,
    recording: &Recording,
    format: Format,
) -> Result<Vec<u8>> {
    let events = &recording.events;
    let kept = recording.triggers.iter().filter(|edge| format.keeps(edge.trigger));
    let mut triggers: Vec<Edge> = kept.copied().collect();
    // Their source is another than that of the events: they may come out of order.
    triggers.sort_by_key(|edge| edge.t);
    let starts = [events.first().map(|event| event.t), triggers.first().map(|edge| edge.t)];
    let start = starts.into_iter().flatten().min().unwrap_or(0);
    if start >= format.first_time_limit() {
        let (name, limit) = (format.name(), format.first_time_limit());
        let message = format!("starts at {start} us; in {name} it must start before {limit} us");
        return Err(
            Error::new(ErrorKind::Input, "", message).hint("--from-zero counts time from the first event")
        );
    }
    let mut header = String::new();
    let extent = recording.extent();
    encode::header(encoding, format.said(extent).unwrap_or(extent), &mut header).map_err(|error| {
        Error::new(ErrorKind::Internal, "", "the header cannot be written").caused_by(error)
    })?;
    let mut stream = Stream { encoder, format, bytes: header.into_bytes(), last: start };
    let mut triggers = triggers.into_iter().peekable();
    for event in events {
        while let Some(edge) = triggers.next_if(|edge| edge.t < event.t) {
            stream.trigger(edge)?;
        }
        stream.event(event)?;
    }
    triggers.try_for_each(|edge| stream.trigger(edge))?;
    let Stream { mut encoder, mut bytes, .. } = stream;
    encoder.finish(&mut |part| bytes.extend_from_slice(part));
    Ok(bytes)
}

/// A stream that is being written.
struct Stream<E> {
    encoder: E,
    format: Format,
    bytes: Vec<u8>,
    /// Time of the last event or trigger.
    last: u64,
}

impl<E: Encoder> Stream<E> {
    fn event(&mut self, &TimedEvent { t, event }: &TimedEvent) -> Result<()> {
        let written = self
            .move_to(t)
            .and_then(|()| self.encoder.event(event, &mut |part| self.bytes.extend_from_slice(part)));
        let (x, y) = (event.x(), event.y());
        written.map_err(|error| self.refuse(&format!("event at ({x}, {y})"), t, error))
    }

    fn trigger(&mut self, Edge { t, trigger }: Edge) -> Result<()> {
        let written = self
            .move_to(t)
            .and_then(|()| self.encoder.trigger(trigger, &mut |part| self.bytes.extend_from_slice(part)));
        written.map_err(|error| self.refuse(&format!("trigger of channel {}", trigger.id), t, error))
    }

    /// The encoders see 32 bits of the time: a pause must be shorter than half their range.
    fn move_to(&mut self, t: u64) -> std::result::Result<(), EncodeError> {
        let pause = t.checked_sub(self.last).ok_or(EncodeError::TimeBack)?;
        self.last = t;
        if pause < 1 << 31 { Ok(()) } else { Err(EncodeError::Pause) }
    }

    fn refuse(&self, what: &str, t: u64, error: EncodeError) -> Error {
        let (name, limits) = (self.format.name(), self.format.limits());
        Error::new(ErrorKind::Input, "", format!("{name} cannot hold the {what}, {t} us: {error}"))
            .hint(format!("{name} holds {limits}; npz holds everything"))
    }
}
