//! One decoder for a format that is known at run time only.

use super::aedat::{Aedat2, Aedat3};
use super::dat::Dat;
use super::edvs::Edvs;
use super::evt2::Evt2;
use super::evt3::Evt3;
use super::evt21::Evt21;
use super::header::Encoding;
use super::record5::Record5;
use super::{Counts, Geometry, Sink};

/// Any of the decoders. A program for one sensor uses that sensor's decoder itself and holds no code of the others.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variants are the decoders")]
pub enum AnyDecoder {
    Evt2(Evt2),
    Evt21(Evt21),
    Evt3(Evt3),
    Dat(Dat),
    Aedat2(Aedat2),
    Aedat3(Aedat3),
    Record5(Record5),
    Edvs(Edvs),
}

macro_rules! each {
    ($self:expr, $decoder:ident => $do:expr) => {
        match $self {
            AnyDecoder::Evt2($decoder) => $do,
            AnyDecoder::Evt21($decoder) => $do,
            AnyDecoder::Evt3($decoder) => $do,
            AnyDecoder::Dat($decoder) => $do,
            AnyDecoder::Aedat2($decoder) => $do,
            AnyDecoder::Aedat3($decoder) => $do,
            AnyDecoder::Record5($decoder) => $do,
            AnyDecoder::Edvs($decoder) => $do,
        }
    };
}

impl AnyDecoder {
    /// The decoder for `encoding`; `None` for AEDAT4, which only the host reads.
    pub fn new(encoding: Encoding, geometry: Geometry) -> Option<Self> {
        Some(match encoding {
            Encoding::Evt2 => Self::Evt2(Evt2::new(geometry)),
            Encoding::Evt21(order) => Self::Evt21(Evt21::new(geometry, order)),
            Encoding::Evt3 => Self::Evt3(Evt3::new(geometry)),
            Encoding::Dat(layout) => Self::Dat(Dat::new(geometry, layout)),
            Encoding::Aedat2(address) => Self::Aedat2(Aedat2::new(geometry, address)),
            Encoding::Aedat3 => Self::Aedat3(Aedat3::new(geometry)),
            Encoding::Bin => Self::Record5(Record5::bin(geometry)),
            Encoding::Bs2 => Self::Record5(Record5::bs2(geometry)),
            Encoding::Edvs => Self::Edvs(Edvs::new()),
            Encoding::Aedat4 => return None,
        })
    }

    /// For streams that may be damaged: see [`Evt2::with_max_step`], [`Evt21::with_max_step`], [`Evt3::with_max_step`] and [`Record5::with_max_step`]. `None` for
    /// a format whose decoder has no such limit.
    pub fn with_max_step(self, us: u32) -> Option<Self> {
        match self {
            Self::Evt2(d) => Some(Self::Evt2(d.with_max_step(us))),
            Self::Evt21(d) => Some(Self::Evt21(d.with_max_step(us))),
            Self::Evt3(d) => Some(Self::Evt3(d.with_max_step(us))),
            Self::Record5(d) => Some(Self::Record5(d.with_max_step(us))),
            Self::Dat(_) | Self::Aedat2(_) | Self::Aedat3(_) | Self::Edvs(_) => None,
        }
    }

    /// See [`Decoder::decode`](super::Decoder::decode).
    pub fn decode<S: Sink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S) {
        each!(self, d => d.decode(bytes, sink));
    }

    /// See [`Decoder::resync`](super::Decoder::resync).
    pub fn resync(&mut self, lost_bytes: u32) {
        each!(self, d => d.resync(lost_bytes));
    }

    /// See [`Decoder::now`](super::Decoder::now).
    pub fn now(&self) -> Option<u64> {
        each!(self, d => d.now())
    }

    /// See [`Decoder::counts`](super::Decoder::counts).
    pub fn counts(&self) -> &Counts {
        each!(self, d => d.counts())
    }

    /// Bytes of an unfinished word or record.
    pub fn carried(&self) -> usize {
        each!(self, d => d.carried())
    }
}
