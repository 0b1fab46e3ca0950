//! A recording as a list of events, whatever its format.

use std::path::{Path, PathBuf};

use mixel_core::events::any::AnyDecoder;
use mixel_core::events::header::{self, Encoding};
use mixel_core::events::{Counts, Event, Gap, Geometry, Sink, Trigger};

use crate::arrays::{Array, ArrayData, read_npz};
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

/// A whole recording.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The format's name.
    pub format: String,
    /// How its bytes are encoded; none for what has no decoder in the core.
    pub encoding: Option<Encoding>,
    /// The sensor's pixels, if the recording says them.
    pub geometry: Option<Geometry>,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Bytes in front of the first event.
    pub header_bytes: usize,
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
    /// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Format`] when no decoder finds events in it.
    pub fn read(path: &Path, geometry: Option<Geometry>) -> Result<Self> {
        let shown = path.display().to_string();
        if path.extension().is_some_and(|extension| extension == "npz") {
            return Self::of_arrays(&read_npz(path)?, &shown);
        }
        let bytes = std::fs::read(path).map_err(|error| {
            Error::new(ErrorKind::Io, &shown, "cannot be read").hint("check the path").caused_by(error)
        })?;
        Self::decode(&bytes, geometry).map_err(|error| Error { path: shown, ..error })
    }

    /// Decodes the bytes of a recording, header included.
    ///
    /// # Errors
    /// [`ErrorKind::Format`] when no decoder finds events in it.
    pub fn decode(bytes: &[u8], geometry: Option<Geometry>) -> Result<Self> {
        let refuse = |message: String| {
            Error::new(ErrorKind::Format, "", message).hint("docs/events.md lists the formats that are read")
        };
        let head = header::detect(bytes, bytes.len() as u64).map_err(|error| refuse(error.to_string()))?;
        let encoding = head.encoding.ok_or_else(|| refuse("is no recording of events".into()))?;
        let bounds = head.geometry.or(geometry).unwrap_or(Geometry::ANY);
        let mut decoder = AnyDecoder::new(encoding, bounds)
            .ok_or_else(|| refuse(format!("{} is not read here", name(encoding))))?;
        let mut log = Log::default();
        decoder.decode(bytes.get(head.len..).unwrap_or(&[]), &mut log);
        Ok(Self {
            format: name(encoding).to_owned(),
            encoding: Some(encoding),
            geometry: head.geometry.or(geometry),
            file_bytes: bytes.len(),
            header_bytes: head.len,
            events: log.events,
            triggers: log.triggers,
            gaps: log.gaps,
            counts: *decoder.counts(),
        })
    }

    /// The events of arrays `t` (microseconds), `x`, `y` and `p` (1 where it got brighter).
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when they are not there or do not fit together.
    pub fn of_arrays(arrays: &[(String, Array)], path: &str) -> Result<Self> {
        let refuse = |message: String| {
            Error::new(ErrorKind::Input, path, message)
                .hint("a recording holds the whole numbers t, x, y and p of each event, as `mixel events convert` writes them")
        };
        let column = |name: &str| -> Result<Vec<i64>> {
            let array = arrays.iter().find(|(own, _)| own == name).map(|(_, array)| &array.data);
            array
                .and_then(whole_numbers)
                .ok_or_else(|| refuse(format!("there are no whole numbers `{name}`")))
        };
        let (t, x, y, p) = (column("t")?, column("x")?, column("y")?, column("p")?);
        if [&x, &y, &p].iter().any(|other| other.len() != t.len()) {
            return Err(refuse("t, x, y and p differ in length".into()));
        }
        let mut events = Vec::with_capacity(t.len());
        let rows = t.iter().zip(&x).zip(y.iter().zip(&p));
        for ((&t, &x), (&y, &p)) in rows {
            let place = |at: i64| u16::try_from(at).ok().filter(|&at| at < 0x8000);
            let (Ok(t), Some(x), Some(y)) = (u64::try_from(t), place(x), place(y)) else {
                return Err(refuse(format!("event {} lies at ({x}, {y})", events.len())));
            };
            events.push(TimedEvent { t, event: Event::new(t as u32, x, y, p > 0) });
        }
        if events.windows(2).any(|pair| pair[1].t < pair[0].t) {
            return Err(refuse("time goes back".into()));
        }
        Ok(Self {
            format: "npz".into(),
            encoding: None,
            geometry: None,
            file_bytes: 0,
            header_bytes: 0,
            counts: Counts { events: events.len() as u64, ..Counts::default() },
            events,
            triggers: Vec::new(),
            gaps: Vec::new(),
        })
    }

    /// The events alone.
    pub fn plain(&self) -> Vec<Event> {
        self.events.iter().map(|timed| timed.event).collect()
    }
}

fn whole_numbers(data: &ArrayData) -> Option<Vec<i64>> {
    Some(match data {
        ArrayData::I8(data) => data.iter().map(|&x| x.into()).collect(),
        ArrayData::U8(data) => data.iter().map(|&x| x.into()).collect(),
        ArrayData::I16(data) => data.iter().map(|&x| x.into()).collect(),
        ArrayData::U16(data) => data.iter().map(|&x| x.into()).collect(),
        ArrayData::I32(data) => data.iter().map(|&x| x.into()).collect(),
        ArrayData::I64(data) => data.clone(),
        ArrayData::F32(_) | ArrayData::F64(_) => return None,
    })
}

/// The name of a format, as in the table of docs/events.md.
fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Evt2 => "EVT2.0",
        Encoding::Evt21(_) => "EVT2.1",
        Encoding::Evt3 => "EVT3.0",
        Encoding::Dat(_) => "DAT",
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

/// The recordings that `path` means: the files of a folder in the order of their names, or the file itself.
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
