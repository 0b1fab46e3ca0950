//! A recording as a list of events, whatever its format.

use std::path::{Path, PathBuf};

use mixel_core::events::any::AnyDecoder;
use mixel_core::events::dat::Layout;
use mixel_core::events::evt21::WordOrder;
use mixel_core::events::header::{self, Encoding, Header, HeaderError};
use mixel_core::events::{Counts, Event, Gap, Geometry, Sink, Trigger};

use super::{aedat4, npz};
use crate::{Error, ErrorKind, Result};

/// An event with its whole time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedEvent {
    /// Microseconds.
    pub t: u64,
    /// The event; its time is the lower half of `t`.
    pub event: Event,
}

/// An edge on the trigger pin with its whole time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Microseconds.
    pub t: u64,
    /// The edge.
    pub trigger: Trigger,
}

/// A format that a recording without a header may be said to have: damage hides what its bytes would show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Stated {
    /// EVT2.0 words
    Evt2,
    /// EVT2.1 words, as a GENX320 orders them
    Evt21,
    /// EVT2.1 words, as older sensors order them
    Evt21Legacy,
    /// EVT3.0 words
    Evt3,
    /// 5-byte records of N-MNIST, in which row 240 adds to the time
    Bin,
    /// 5-byte records without such a row
    Bs2,
    /// 4-byte records of an eDVS
    Edvs,
}

impl Stated {
    fn encoding(self) -> Encoding {
        match self {
            Self::Evt2 => Encoding::Evt2,
            Self::Evt21 => Encoding::Evt21(WordOrder::Little),
            Self::Evt21Legacy => Encoding::Evt21(WordOrder::Legacy),
            Self::Evt3 => Encoding::Evt3,
            Self::Bin => Encoding::Bin,
            Self::Bs2 => Encoding::Bs2,
            Self::Edvs => Encoding::Edvs,
        }
    }
}

/// How to read a recording that does not say all of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// The sensor's pixels, for formats that do not say them.
    pub geometry: Option<Geometry>,
    /// The format; without this it is known by the content.
    pub format: Option<Stated>,
    /// Microseconds: a time that jumps ahead further is believed only when the next ones agree.
    pub max_step: Option<u32>,
}

/// A whole recording.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The format's name.
    pub format: String,
    /// How its bytes are encoded; none for what has no decoder in the core (AEDAT4, `.npz`).
    pub encoding: Option<Encoding>,
    /// The sensor's pixels, if the recording says them.
    pub geometry: Option<Geometry>,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Bytes of the text in front of the first event, and of the two numbers behind it in DAT; 0 in containers.
    pub header_bytes: usize,
    /// Bytes of a word that is not finished at the end.
    pub unfinished_bytes: usize,
    /// What an AEDAT4 container holds.
    pub aedat4: Option<aedat4::Contents>,
    /// All events in order.
    pub events: Vec<TimedEvent>,
    /// All edges in order.
    pub triggers: Vec<Edge>,
    /// Places where something is missing.
    pub gaps: Vec<Gap>,
    /// What the decoder saw and dropped.
    pub counts: Counts,
}

impl Recording {
    /// Reads the recording at `path`, by its content. `geometry` is that of the sensor for formats that do not say it.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Format`] when it is no recording.
    pub fn read(path: &Path, geometry: Option<Geometry>) -> Result<Self> {
        Self::read_as(path, &Reading { geometry, ..Reading::default() })
    }

    /// Reads the recording at `path` as `reading` says.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Format`] when it is no recording, [`ErrorKind::Usage`] when it contradicts
    /// `reading`.
    pub fn read_as(path: &Path, reading: &Reading) -> Result<Self> {
        Self::decode_as(&read_bytes(path)?, reading)
            .map_err(|error| Error { path: path.display().to_string(), ..error })
    }

    /// Decodes the bytes of a recording, header included.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] when no decoder finds events in it, or a container is damaged.
    pub fn decode(bytes: &[u8], geometry: Option<Geometry>) -> Result<Self> {
        Self::decode_as(bytes, &Reading { geometry, ..Reading::default() })
    }

    /// Decodes the bytes of a recording, header included, as `reading` says.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] when no decoder finds events in it, or a container is damaged; [`ErrorKind::Usage`] when it contradicts
    /// `reading`.
    pub fn decode_as(bytes: &[u8], reading: &Reading) -> Result<Self> {
        let &Reading { geometry, format, max_step } = reading;
        let refuse = |message: &str| {
            Error::new(ErrorKind::Format, "", message).hint(
                "docs/events.md lists the formats that are read; `mixel events` and `mixel run` take --format for a damaged recording \
                 without a header",
            )
        };
        if bytes.is_empty() {
            return Err(refuse("is empty"));
        }
        let container = |name: &str| match (format, max_step) {
            (Some(_), _) => Err(contradiction("--format", &format!("the recording is {name}"))),
            (_, Some(_)) => Err(contradiction("--max-step", &format!("{name} is read whole or refused"))),
            _ => Ok(()),
        };
        if npz::is_npz(bytes) {
            container("npz")?;
            return Ok(Self { file_bytes: bytes.len(), ..npz::decode(bytes, geometry)? });
        }
        let head = match format {
            Some(format) => stated(bytes, format)?,
            None => header::detect(bytes, bytes.len() as u64).map_err(|error| refuse(&error.to_string()))?,
        };
        let encoding = head.encoding.ok_or_else(|| refuse("is no recording of events"))?;
        let bounds = head.geometry.or(geometry).unwrap_or(Geometry::ANY);
        let Some(mut decoder) = AnyDecoder::new(encoding, bounds) else {
            container("AEDAT4")?;
            return Ok(Self { file_bytes: bytes.len(), ..aedat4::read(bytes, geometry)? });
        };
        if let Some(us) = max_step {
            let none = || contradiction("--max-step", &format!("{} has no such limit", name(encoding)));
            decoder = decoder.with_max_step(us).ok_or_else(none)?;
        }
        let mut log = Log::default();
        decoder.decode(bytes.get(head.len..).unwrap_or(&[]), &mut log);
        Ok(Self {
            format: name(encoding).to_owned(),
            encoding: Some(encoding),
            geometry: head.geometry.or(geometry),
            file_bytes: bytes.len(),
            header_bytes: head.len,
            unfinished_bytes: decoder.carried(),
            aedat4: None,
            events: log.events,
            triggers: log.triggers,
            gaps: log.gaps,
            counts: *decoder.counts(),
        })
    }

    /// Time of the earliest event or trigger in microseconds.
    pub fn start(&self) -> Option<u64> {
        // Triggers come from another source and may be out of order.
        let edges = self.triggers.iter().map(|edge| edge.t);
        self.events.first().map(|event| event.t).into_iter().chain(edges).min()
    }

    /// Lets everything happen `us` microseconds earlier, at most [`Self::start`].
    pub fn move_back(&mut self, us: u64) {
        for TimedEvent { t, event } in &mut self.events {
            *t -= us;
            *event = Event::new(*t as u32, event.x(), event.y(), event.on());
        }
        for Edge { t, trigger } in &mut self.triggers {
            *t -= us;
            trigger.t = *t as u32;
        }
    }

    /// The sensor's pixels if they are known, else the fewest that hold all events.
    pub fn extent(&self) -> Geometry {
        self.geometry.unwrap_or_else(|| {
            let side = |of: fn(Event) -> u16| self.events.iter().map(|event| of(event.event) + 1).max();
            Geometry::new(side(Event::x).unwrap_or(1), side(Event::y).unwrap_or(1))
        })
    }

    /// The events alone.
    pub fn plain(&self) -> Vec<Event> {
        self.events.iter().map(|timed| timed.event).collect()
    }
}

/// The bytes of the recording at `path`.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn read_bytes(path: &Path) -> Result<Vec<u8>> {
    let refuse =
        |message: &str, hint: &str| Error::new(ErrorKind::Io, path.display().to_string(), message).hint(hint);
    if path.is_dir() {
        return Err(refuse("is a folder", "give one recording in it"));
    }
    std::fs::read(path).map_err(|error| refuse("cannot be read", "check the path").caused_by(error))
}

/// An argument that the recording does not go with.
fn contradiction(argument: &str, why: &str) -> Error {
    Error::new(ErrorKind::Usage, "", format!("{argument} does not go with it: {why}"))
        .hint(format!("leave {argument} away"))
}

/// The header of a recording that is said to have `format`.
fn stated(bytes: &[u8], format: Stated) -> Result<Header> {
    let encoding = format.encoding();
    match header::parse(bytes) {
        Ok(Header { encoding: Some(said), .. }) if said != encoding => {
            let order = match said {
                Encoding::Evt21(WordOrder::Legacy) => " in the legacy order",
                Encoding::Evt21(WordOrder::Little) => " in the usual order",
                _ => "",
            };
            Err(contradiction("--format", &format!("the recording says {}{order}", name(said))))
        }
        Ok(head) => Ok(Header { encoding: Some(encoding), ..head }),
        Err(HeaderError::Unknown { len, geometry }) => Ok(Header { len, encoding: Some(encoding), geometry }),
        Err(error @ HeaderError::DatRecord { .. }) => {
            Err(contradiction("--format", &format!("the recording has a header of DAT, and {error}")))
        }
        // A damaged word may look like the beginning of a header.
        Err(_) => Ok(Header { len: 0, encoding: Some(encoding), geometry: None }),
    }
}

/// The name of a format, as in the table of docs/events.md.
fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Evt2 => "EVT2.0",
        Encoding::Evt21(_) => "EVT2.1",
        Encoding::Evt3 => "EVT3.0",
        Encoding::Dat(Layout::V1) => "DAT version 1",
        Encoding::Dat(Layout::V2) => "DAT version 2",
        Encoding::Dat(Layout::Trigger) => "DAT triggers",
        Encoding::Aedat2(_) => "AEDAT2",
        Encoding::Aedat3 => "AEDAT3.1",
        Encoding::Aedat4 => "AEDAT4",
        Encoding::Bin => "N-MNIST bin",
        Encoding::Bs2 => "bs2",
        Encoding::Edvs => "eDVS",
    }
}

/// Keeps everything.
#[derive(Default)]
struct Log {
    events: Vec<TimedEvent>,
    triggers: Vec<Edge>,
    gaps: Vec<Gap>,
    high: u64,
}

impl Sink for Log {
    fn events(&mut self, events: &[Event]) {
        let high = self.high;
        self.events.extend(events.iter().map(|&event| TimedEvent { t: high | u64::from(event.t), event }));
    }

    fn trigger(&mut self, trigger: Trigger) {
        self.triggers.push(Edge { t: self.high | u64::from(trigger.t), trigger });
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    fn epoch(&mut self, high: u32) {
        self.high = u64::from(high) << 32;
    }
}

/// The files that `path` means: those of a folder in the order of their names, or the file itself.
///
/// # Errors
/// [`ErrorKind::Io`] when it cannot be read.
pub fn list(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Io, path.display().to_string(), "cannot be listed").caused_by(error)
    };
    let entries = std::fs::read_dir(path).map_err(failed)?;
    let mut files =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

/// Ends of names of what lies beside recordings: their labels and descriptions.
const BESIDE: [&str; 4] = ["csv", "txt", "json", "md"];

/// The recordings that `path` means: a file, or those in a folder but for labels and descriptions.
///
/// # Errors
/// Those of [`list`]; [`ErrorKind::Input`] when there are none in the folder.
pub fn list_recordings(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = list(path)?;
    if path.is_dir() {
        let beside = |file: &Path| {
            file.extension().is_some_and(|end| BESIDE.iter().any(|name| end.eq_ignore_ascii_case(name)))
        };
        files.retain(|file| !beside(file));
    }
    if files.is_empty() {
        return Err(Error::new(ErrorKind::Input, path.display().to_string(), "holds no recordings")
            .hint("give a recording or a folder of them"));
    }
    Ok(files)
}
