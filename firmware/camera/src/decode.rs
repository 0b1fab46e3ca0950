//! What the loop needs of a decoder.

use mixel_core::events::any::AnyDecoder;
use mixel_core::events::{Counts, Decoder, Format, Sink};

/// A decoder: that of one sensor, or [`AnyDecoder`] where recordings come in several formats.
pub trait Decode {
    /// See [`Decoder::decode`].
    fn decode<S: Sink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S);
    /// See [`Decoder::resync`].
    fn resync(&mut self, lost_bytes: u32);
    /// See [`Decoder::now`].
    fn now(&self) -> Option<u64>;
    /// See [`Decoder::counts`].
    fn counts(&self) -> &Counts;
}

impl<F: Format> Decode for Decoder<F> {
    fn decode<S: Sink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S) {
        Decoder::decode(self, bytes, sink);
    }

    fn resync(&mut self, lost_bytes: u32) {
        Decoder::resync(self, lost_bytes);
    }

    fn now(&self) -> Option<u64> {
        Decoder::now(self)
    }

    fn counts(&self) -> &Counts {
        Decoder::counts(self)
    }
}

impl Decode for AnyDecoder {
    fn decode<S: Sink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S) {
        AnyDecoder::decode(self, bytes, sink);
    }

    fn resync(&mut self, lost_bytes: u32) {
        AnyDecoder::resync(self, lost_bytes);
    }

    fn now(&self) -> Option<u64> {
        AnyDecoder::now(self)
    }

    fn counts(&self) -> &Counts {
        AnyDecoder::counts(self)
    }
}
