//! The text in front of a recording, and which format a file has.
//!
//! Prophesee RAW and DAT files begin with lines that start exactly with `% `; AEDAT files with `#!AER-DAT` and lines that start with
//! `#`. Old RAW files name only `evt` and `system_ID`, some `.evt3` and all 5-byte files have no header: [`detect`] then asks the
//! decoders which of them finds nothing wrong.

use super::aedat::{Address, Sensor};
use super::any::AnyDecoder;
use super::dat::Layout;
use super::evt21::WordOrder;
use super::{Event, Geometry};

/// A byte format of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Encoding {
    /// EVT2.0.
    Evt2,
    /// EVT2.1.
    Evt21(WordOrder),
    /// EVT3.0.
    Evt3,
    /// DAT records.
    Dat(Layout),
    /// AEDAT2 records.
    Aedat2(Address),
    /// AEDAT3.1 packets.
    Aedat3,
    /// AEDAT4, which needs decompression and is read on the host only.
    Aedat4,
    /// 5-byte records with overflow markers (`.bin`).
    Bin,
    /// 5-byte records without (`.bs2`).
    Bs2,
    /// eDVS UART.
    Edvs,
}

/// What a recording says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Header {
    /// Bytes in front of the first event word.
    pub len: usize,
    /// The format, if it is known.
    pub encoding: Option<Encoding>,
    /// The sensor's pixels, if they are known.
    pub geometry: Option<Geometry>,
}

/// Why a header cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HeaderError {
    /// The bytes end inside of the header: give more.
    Incomplete,
    /// A DAT record size other than 8, or an unknown record type.
    DatRecord {
        /// Type byte.
        kind: u8,
        /// Size byte.
        size: u8,
    },
    /// A header of `len` bytes that names a format or a version for which there is no decoder. Behind it everything looks like
    /// 5-byte records, so nothing is guessed.
    Unknown {
        /// Bytes of the header.
        len: usize,
        /// The sensor's pixels, if it says them.
        geometry: Option<Geometry>,
    },
}

impl core::fmt::Display for HeaderError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Incomplete => f.write_str("the header does not end in the given bytes"),
            Self::DatRecord { kind, size } => {
                write!(f, "DAT records of type {kind} and {size} bytes are not known")
            }
            Self::Unknown { .. } => f.write_str("the header names a format that is not read"),
        }
    }
}

impl core::error::Error for HeaderError {}

/// Reads the header at the start of `bytes`. Without one the result is empty: `len` 0, nothing known.
pub fn parse(bytes: &[u8]) -> Result<Header, HeaderError> {
    if bytes.starts_with(b"#!AER-DAT") {
        aedat(bytes)
    } else if bytes.first() == Some(&b'%') && bytes.len() < 2 {
        Err(HeaderError::Incomplete)
    } else {
        prophesee(bytes)
    }
}

/// Splits off one line without its end; `None` if the line does not end here.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&b| b == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..)?))
}

fn number(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

#[derive(Default)]
struct Keys {
    evt: Option<&'static str>,
    order: Option<WordOrder>,
    system: Option<u32>,
    width: Option<u32>,
    height: Option<u32>,
    version: Option<u32>,
    dat: bool,
    /// A format is named that is none of `evt`.
    unknown: bool,
}

impl Keys {
    fn evt(value: &[u8]) -> Option<&'static str> {
        ["2.0", "2.1", "3.0"].into_iter().find(|v| value == v.as_bytes())
    }

    fn order(value: &[u8]) -> Option<WordOrder> {
        match value {
            b"little" => Some(WordOrder::Little),
            b"legacy" | b"big" => Some(WordOrder::Legacy),
            _ => None,
        }
    }

    fn format(&mut self, value: &[u8]) {
        for (i, part) in value.split(|&b| b == b';').enumerate() {
            let mut pair = part.splitn(2, |&b| b == b'=');
            match (pair.next().unwrap_or(&[]), pair.next()) {
                (b"EVT2", None) if i == 0 => self.evt = Some("2.0"),
                (b"EVT21", None) if i == 0 => self.evt = Some("2.1"),
                (b"EVT3", None) if i == 0 => self.evt = Some("3.0"),
                (name, None) if i == 0 && !name.is_empty() => self.unknown = true,
                (b"width", Some(n)) => self.width = number(n),
                (b"height", Some(n)) => self.height = number(n),
                (b"endianness", Some(v)) => self.order = Self::order(v),
                _ => {}
            }
        }
    }

    fn line(&mut self, text: &[u8]) {
        if text.starts_with(b"Data file containing") {
            self.dat = true;
            return;
        }
        let mut words = text.splitn(2, |&b| b == b' ');
        let (key, value) = (words.next().unwrap_or(&[]), words.next().unwrap_or(&[]).trim_ascii());
        match key {
            b"evt" => match Self::evt(value) {
                Some(version) => self.evt = self.evt.or(Some(version)),
                None => self.unknown = true,
            },
            b"format" => self.format(value),
            b"endianness" => self.order = Self::order(value),
            b"system_ID" => self.system = number(value),
            b"Version" => self.version = number(value),
            b"Width" => self.width = number(value),
            b"Height" => self.height = number(value),
            b"geometry" => {
                let mut sides = value.split(|&b| b == b'x').map(number);
                (self.width, self.height) = (sides.next().flatten(), sides.next().flatten());
            }
            _ => {}
        }
    }

    fn geometry(&self) -> Option<Geometry> {
        let side = |n: Option<u32>| n.and_then(|n| u16::try_from(n).ok()).filter(|&n| n > 0);
        match (side(self.width), side(self.height), self.system) {
            (Some(width), Some(height), _) => Some(Geometry::new(width, height)),
            // Recordings of these two cameras do not give their size.
            (_, _, Some(0x15)) => Some(Geometry::new(640, 480)),
            (_, _, Some(0x30)) => Some(Geometry::new(1280, 720)),
            _ => None,
        }
    }
}

fn prophesee(bytes: &[u8]) -> Result<Header, HeaderError> {
    let mut rest = bytes;
    let mut keys = Keys::default();
    // The words behind it may begin with a percent sign too: a header line has a space there.
    while rest.starts_with(b"% ") {
        let Some((text, after)) = line(rest) else { return Err(HeaderError::Incomplete) };
        rest = after;
        let text = text.get(2..).unwrap_or(&[]);
        if text == b"end" {
            break;
        }
        keys.line(text);
    }
    let mut len = bytes.len() - rest.len();
    if len == 0 {
        return Ok(Header { len, encoding: None, geometry: None });
    }
    let encoding = match keys.evt {
        Some("2.0") => Some(Encoding::Evt2),
        Some("2.1") => {
            let by_system = || {
                if keys.system.is_some_and(|id| id >= 0x37) { WordOrder::Little } else { WordOrder::Legacy }
            };
            Some(Encoding::Evt21(keys.order.unwrap_or_else(by_system)))
        }
        Some(_) => Some(Encoding::Evt3),
        None if keys.dat || keys.version.is_some() => {
            let (Some(&kind), Some(&size)) = (rest.first(), rest.get(1)) else {
                return Err(HeaderError::Incomplete);
            };
            len += 2;
            Some(Encoding::Dat(match (kind, size, keys.version) {
                (0 | 12, 8, Some(1)) => Layout::V1,
                (0 | 12, 8, _) => Layout::V2,
                (14, 8, _) => Layout::Trigger,
                _ => return Err(HeaderError::DatRecord { kind, size }),
            }))
        }
        None if keys.unknown => return Err(HeaderError::Unknown { len, geometry: keys.geometry() }),
        None => None,
    };
    Ok(Header { len, encoding, geometry: keys.geometry() })
}

fn aedat(bytes: &[u8]) -> Result<Header, HeaderError> {
    let mut rest = bytes;
    let mut header = Header { len: 0, encoding: None, geometry: None };
    let mut version = None;
    // A record may begin with '#': a header line is text up to its end.
    while rest.first() == Some(&b'#') {
        let Some((text, after)) = line(rest) else { return Err(HeaderError::Incomplete) };
        if text.iter().any(|&b| !(b == b'\t' || (b' '..=b'~').contains(&b))) {
            break;
        }
        rest = after;
        if version.is_none() {
            version = text.get(9..).map(<[u8]>::trim_ascii);
            match version {
                Some(b"2.0") => header.encoding = Some(Encoding::Aedat2(Address::Dvs128)),
                Some(b"3.1") => header.encoding = Some(Encoding::Aedat3),
                Some(b"4.0") => {
                    header.encoding = Some(Encoding::Aedat4);
                    break;
                }
                _ => {}
            }
            header.geometry = (version == Some(b"2.0")).then_some(Sensor::DVS128.geometry);
        } else if contains(text, b"DAVIS") || contains(text, b"Davis") {
            if let Some(Encoding::Aedat2(address)) = &mut header.encoding {
                *address = Address::Davis;
            }
            let sensor = if contains(text, b"346") {
                Some(Sensor::DAVIS346)
            } else if contains(text, b"240") {
                Some(Sensor::DAVIS240)
            } else if contains(text, b"DAVIS640") || contains(text, b"Davis640") {
                Some(Sensor::DAVIS640)
            } else {
                None
            };
            header.geometry = sensor.map(|sensor| sensor.geometry);
        } else if contains(text, b"DVS128") && version == Some(b"3.1") {
            header.geometry = Some(Sensor::DVS128.geometry);
        }
        // Behind these lines, of AEDAT3 and AEDAT2, a record may begin with whatever it likes.
        let comment = text.get(1..).unwrap_or(&[]).trim_ascii();
        if text == b"#!END-HEADER" || comment.eq_ignore_ascii_case(b"End Of ASCII Header") {
            break;
        }
    }
    header.len = bytes.len() - rest.len();
    if header.encoding.is_none() {
        return Err(HeaderError::Unknown { len: header.len, geometry: header.geometry });
    }
    Ok(header)
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}

/// The format of a file from its first bytes (4 KiB or more are good) and its length: its header if that says it, else the first of
/// EVT3, EVT2, EVT2.1 and `.bin` whose decoder finds events in `bytes` and nothing wrong with them.
///
/// `.bin` and `.bs2` are the same bytes as long as no row is 240: without that row, the answer is `.bin`.
pub fn detect(bytes: &[u8], file_len: u64) -> Result<Header, HeaderError> {
    let mut header = parse(bytes)?;
    if header.encoding.is_some() {
        return Ok(header);
    }
    let words = bytes.get(header.len..).unwrap_or(&[]);
    let geometry = header.geometry.unwrap_or(Geometry::ANY);
    header.encoding = [
        Encoding::Evt3,
        Encoding::Evt2,
        Encoding::Evt21(WordOrder::Little),
        Encoding::Evt21(WordOrder::Legacy),
        Encoding::Bin,
    ]
    .into_iter()
    .filter(|&encoding| encoding != Encoding::Bin || file_len.is_multiple_of(5))
    .find(|&encoding| {
        let Some(mut decoder) = AnyDecoder::new(encoding, geometry) else { return false };
        decoder.decode(words, &mut |_: &[Event]| {});
        let counts = decoder.counts();
        // A stream may be joined anywhere, but says its time within a few events.
        let wrong =
            counts.violations().saturating_sub(counts.time_low_back.into()) + u64::from(counts.before_sync);
        counts.events > 0 && wrong * 100 <= counts.events
    });
    Ok(header)
}
