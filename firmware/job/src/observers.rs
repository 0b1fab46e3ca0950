//! What is watched of a run.

use embedded_io::Write;
use mixel_core::profile::{Clock, Observer};
use mixel_wire::crc32_more;

use crate::records::Records;

/// Changes the little-endian word of operator `index`; `words` has room for all. An operator in strips is seen several times
/// a run, so words begin at zero and sum up.
fn change(words: &mut [u8], index: usize, change: impl FnOnce(u32) -> u32) {
    if let Some(word) = words.as_chunks_mut::<4>().0.get_mut(index) {
        *word = change(u32::from_le_bytes(*word)).to_le_bytes();
    }
}

/// Ticks of every operator.
pub struct Times<'a, C> {
    clock: &'a mut C,
    words: &'a mut [u8],
    started: u32,
}

impl<'a, C: Clock> Times<'a, C> {
    /// Measures into `words`.
    pub fn new(clock: &'a mut C, words: &'a mut [u8]) -> Self {
        words.fill(0);
        Self { clock, words, started: 0 }
    }
}

impl<C: Clock> Observer for Times<'_, C> {
    #[inline(always)]
    fn begin(&mut self, _index: usize) {
        self.started = self.clock.now();
    }

    #[inline(always)]
    fn end(&mut self, index: usize, _output: &[u8]) {
        let ticks = self.clock.now().wrapping_sub(self.started);
        change(self.words, index, |sum| sum.wrapping_add(ticks));
    }
}

/// CRC-32 of every operator's output, and the whole output of one, which is sent at once.
pub struct Compare<'a, W: Write> {
    words: &'a mut [u8],
    records: &'a mut Records<W>,
    sample: u32,
    dump: Option<u32>,
    sent: Result<(), W::Error>,
}

impl<'a, W: Write> Compare<'a, W> {
    /// Writes checksums into `words` and sends the output of operator `dump` as that of `sample`.
    pub fn new(words: &'a mut [u8], records: &'a mut Records<W>, sample: u32, dump: Option<u32>) -> Self {
        words.fill(0);
        Self { words, records, sample, dump, sent: Ok(()) }
    }

    /// Whether what was to be sent was sent.
    pub fn finish(self) -> Result<(), W::Error> {
        self.sent
    }
}

impl<W: Write> Observer for Compare<'_, W> {
    fn begin(&mut self, _index: usize) {}

    fn end(&mut self, index: usize, output: &[u8]) {
        change(self.words, index, |sum| crc32_more(sum, output));
        if self.dump == Some(index as u32) && self.sent.is_ok() {
            self.sent = self.records.dump(self.sample, index as u32, output);
        }
    }
}
