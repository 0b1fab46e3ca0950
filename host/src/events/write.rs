//! Recordings as the bytes of another format.

use std::io::Cursor;
use std::path::Path;

use mixel_core::events::dat::Layout;
use mixel_core::events::encode::{
    self, DatEncoder, EncodeError, Encoder, Evt2Encoder, Evt3Encoder, Evt21Encoder, Record5Encoder,
};
use mixel_core::events::evt21::WordOrder;
use mixel_core::events::header::Encoding;

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
    /// EVT3.0 words
    Evt3,
    /// DAT records, version 2
    Dat,
    /// 5-byte records of N-MNIST
    Bin,
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
            Self::Evt21 => "EVT2.1",
            Self::Evt3 => "EVT3.0",
            Self::Dat => "DAT",
            Self::Bin => "N-MNIST bin",
            Self::Npz => "npz",
        }
    }

    /// Whether triggers stand among the events. DAT keeps them in files of their own.
    pub fn has_triggers(self) -> bool {
        !matches!(self, Self::Dat | Self::Bin)
    }

    /// Whether the file says the sensor's pixels.
    pub fn has_geometry(self) -> bool {
        self != Self::Bin
    }

    /// What it can hold, for those who have more.
    fn limits(self) -> &'static str {
        match self {
            Self::Evt2 | Self::Evt21 => {
                "columns and rows to 2047, trigger channels to 31, pauses of 35 minutes"
            }
            Self::Evt3 => "columns and rows to 2047, trigger channels to 15, pauses of 35 minutes",
            Self::Dat => "columns and rows to 16383, pauses of 35 minutes",
            Self::Bin => "columns to 255, rows to 239, pauses of 4.19 seconds",
            Self::Npz => "everything",
        }
    }

    /// Times from which a recording may not start, in microseconds: a reader could not tell them from earlier ones.
    fn first_time_limit(self) -> u64 {
        match self {
            // The words reach further, but the encoders take 32 bits.
            Self::Evt2 | Self::Evt21 | Self::Dat => 1 << 32,
            Self::Evt3 => 1 << 24,
            Self::Bin => 1 << 23,
            Self::Npz => u64::MAX,
        }
    }
}

/// The bytes of `recording` as a file of `format`. Its header says [`Recording::extent`]; triggers are written if the format has them.
///
/// # Errors
/// [`ErrorKind::Input`] for an event or trigger that the format cannot hold.
pub fn encode(recording: &Recording, format: Format) -> Result<Vec<u8>> {
    match format {
        Format::Evt2 => stream(Evt2Encoder::default(), Encoding::Evt2, recording, format),
        Format::Evt21 => {
            let order = WordOrder::Little;
            stream(Evt21Encoder::new(order), Encoding::Evt21(order), recording, format)
        }
        Format::Evt3 => stream(Evt3Encoder::default(), Encoding::Evt3, recording, format),
        Format::Dat => stream(DatEncoder::default(), Encoding::Dat(Layout::V2), recording, format),
        Format::Bin => stream(Record5Encoder::default(), Encoding::Bin, recording, format),
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
    let mut triggers = if format.has_triggers() { recording.triggers.clone() } else { Vec::new() };
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
    encode::header(encoding, recording.extent(), &mut header).map_err(|error| {
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
