//! Recordings as arrays, for NumPy: one array a column, in an `.npz` file.
//!
//! | array | type | |
//! |---|---|---|
//! | `t` | int64 | microseconds |
//! | `x`, `y` | uint16 | column and row from the top left |
//! | `p` | uint8 | 1 where it got brighter, 0 where it got darker |
//! | `geometry` | uint16 `[2]` | width and height of the sensor, if they are known |
//! | `trigger_t`, `trigger_id`, `trigger_p` | int64, uint8, uint8 | edges on the trigger pins, if there are any |
//!
//! On the way in whole numbers of any type do, and -1 for darker.

use std::io::Cursor;

use mixel_core::events::{Counts, Event, Geometry, Trigger};

use super::{Edge, Recording, TimedEvent};
use crate::arrays::{Array, ArrayData, read_npz_from};
use crate::{Error, ErrorKind, Result};

/// Whether the bytes begin as those of a zip archive.
pub fn is_npz(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04")
}

/// The recording in the bytes of an `.npz` file. `given` is the sensor's geometry, for a file that does not say it.
///
/// # Errors
/// [`ErrorKind::Format`] if it is no archive of arrays, [`ErrorKind::Input`] as for [`Recording::of_arrays`].
pub fn decode(bytes: &[u8], given: Option<Geometry>) -> Result<Recording> {
    let mut recording = Recording::of_arrays(&read_npz_from(Cursor::new(bytes), "")?, "")?;
    if let (None, Some(given)) = (recording.geometry, given) {
        recording.geometry = Some(given);
        recording
            .events
            .retain(|TimedEvent { event, .. }| event.x() < given.width && event.y() < given.height);
        let all = recording.counts.events;
        recording.counts.events = recording.events.len() as u64;
        recording.counts.off_sensor = (all - recording.counts.events) as u32;
    }
    Ok(recording)
}

impl Recording {
    /// The recording as the arrays above.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] only.
    pub fn arrays(&self) -> Result<Vec<(String, Array)>> {
        let (events, triggers) = (&self.events, &self.triggers);
        let mut columns = vec![
            ("t", ArrayData::I64(events.iter().map(|event| event.t as i64).collect())),
            ("x", ArrayData::U16(events.iter().map(|event| event.event.x()).collect())),
            ("y", ArrayData::U16(events.iter().map(|event| event.event.y()).collect())),
            ("p", ArrayData::U8(events.iter().map(|event| event.event.on().into()).collect())),
        ];
        if let Some(Geometry { width, height }) = self.geometry {
            columns.push(("geometry", ArrayData::U16(vec![width, height])));
        }
        if !triggers.is_empty() {
            columns.extend([
                ("trigger_t", ArrayData::I64(triggers.iter().map(|edge| edge.t as i64).collect())),
                ("trigger_id", ArrayData::U8(triggers.iter().map(|edge| edge.trigger.id).collect())),
                ("trigger_p", ArrayData::U8(triggers.iter().map(|edge| edge.trigger.value.into()).collect())),
            ]);
        }
        let array = |(name, data): (&str, ArrayData)| Ok((name.to_owned(), Array::new(&[data.len()], data)?));
        columns.into_iter().map(array).collect()
    }

    /// The recording in the arrays above, of which `t`, `x`, `y` and `p` must be there.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when they are not, or do not fit together.
    pub fn of_arrays(arrays: &[(String, Array)], path: &str) -> Result<Self> {
        let refuse = |message: String| {
            Error::new(ErrorKind::Input, path, message).hint(
                "a recording holds the whole numbers t, x, y and p of each event, as `mixel events convert` writes them",
            )
        };
        let optional = |name: &str| -> Result<Option<Vec<i64>>> {
            let Some((_, array)) = arrays.iter().find(|(own, _)| own == name) else { return Ok(None) };
            let numbers = whole_numbers(&array.data).filter(|_| array.dims.len() == 1);
            numbers.map(Some).ok_or_else(|| refuse(format!("`{name}` is no list of whole numbers")))
        };
        let column =
            |name: &str| optional(name)?.ok_or_else(|| refuse(format!("there is no array `{name}`")));
        let (t, x, y, p) = (column("t")?, column("x")?, column("y")?, column("p")?);
        if [&x, &y, &p].iter().any(|other| other.len() != t.len()) {
            return Err(refuse("t, x, y and p differ in length".into()));
        }
        let geometry = match optional("geometry")?.as_deref() {
            None => None,
            Some(&[width @ 1..=0x8000, height @ 1..=0x8000]) => {
                Some(Geometry::new(width as u16, height as u16))
            }
            Some(sides) => return Err(refuse(format!("`geometry` is {sides:?}, not a width and a height"))),
        };
        let bounds = geometry.unwrap_or(Geometry::ANY);
        let place = |at: i64, side: u16| u16::try_from(at).ok().filter(|&at| at < side);
        let brighter = |p: i64| (-1..=1).contains(&p).then_some(p > 0);
        let mut events = Vec::with_capacity(t.len());
        for ((&t, &x), (&y, &p)) in t.iter().zip(&x).zip(y.iter().zip(&p)) {
            let here = |what: String| refuse(format!("event {} {what}", events.len()));
            let at = u64::try_from(t).map_err(|_| here(format!("is at {t} us")))?;
            let (Some(x), Some(y)) = (place(x, bounds.width), place(y, bounds.height)) else {
                let Geometry { width, height } = bounds;
                return Err(here(format!("lies at ({x}, {y}), outside of {width}x{height} pixels")));
            };
            let on = brighter(p).ok_or_else(|| here(format!("has the polarity {p}")))?;
            events.push(TimedEvent { t: at, event: Event::new(at as u32, x, y, on) });
        }
        let mut triggers = Vec::new();
        if let Some(t) = optional("trigger_t")? {
            let (ids, levels) = (column("trigger_id")?, column("trigger_p")?);
            if [&ids, &levels].iter().any(|other| other.len() != t.len()) {
                return Err(refuse("trigger_t, trigger_id and trigger_p differ in length".into()));
            }
            for ((&t, &id), &level) in t.iter().zip(&ids).zip(&levels) {
                let edge = (u64::try_from(t).ok(), u8::try_from(id).ok(), brighter(level));
                let (Some(at), Some(id), Some(value)) = edge else {
                    return Err(refuse(format!("trigger {} is at {t} us, {id}, {level}", triggers.len())));
                };
                triggers.push(Edge { t: at, trigger: Trigger { t: at as u32, id, value } });
            }
        }
        if !events.is_sorted_by_key(|event| event.t) || !triggers.is_sorted_by_key(|edge| edge.t) {
            return Err(refuse("time goes back".into()));
        }
        let counts =
            Counts { events: events.len() as u64, triggers: triggers.len() as u32, ..Counts::default() };
        Ok(Self { format: "npz".into(), geometry, events, triggers, counts, ..Self::default() })
    }
}

/// The elements if they are whole numbers.
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
