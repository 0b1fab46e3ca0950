//! What all decoders share: whole words out of chunks split anywhere, batches of events, gap records.

use super::accumulator::{Tallied, Tally};
use super::{Counts, Event, Gap, GapCause, Geometry, Sink, Trigger};

/// Most events in one call of [`Sink::events`]: 2 KiB.
pub const BATCH: usize = 256;

/// Bytes of the largest fixed-size word (EVT2.1, DAT, AEDAT2).
const LARGEST_WORD: usize = 8;

/// One event format: how to read its words. Implemented by the types of the format modules; use it through [`Decoder`].
pub trait Format {
    /// Bytes of a word; 1 for formats that frame themselves.
    const WORD: usize;

    /// Reads a whole number of words.
    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>);

    /// Forgets everything that lost bytes may have changed; time is unknown until the stream says it again.
    fn desync(&mut self);

    /// Time of the last event or time word, in microseconds; `None` before the first.
    fn now(&self) -> Option<u64>;
}

/// A streaming decoder of format `F` with its carried bytes and its batch of events, which is most of its size.
///
/// Takes byte chunks split anywhere: the events are the same for every split. All of them are handed over before
/// [`decode`](Self::decode) returns.
#[derive(Clone, Debug)]
pub struct Decoder<F> {
    pub(super) format: F,
    geometry: Geometry,
    counts: Counts,
    batch: Batch,
    epoch: u32,
    gap: Option<Gap>,
    carry: [u8; LARGEST_WORD],
    carried: usize,
}

#[derive(Clone, Debug)]
struct Batch {
    events: [Event; BATCH],
    len: usize,
    /// Time of the last event of the batch before.
    last: Option<u32>,
}

/// Where a [`Format`] puts what it reads.
pub struct Out<'a, S: ?Sized> {
    /// Events outside of it are dropped by the format and counted.
    pub geometry: Geometry,
    /// Violations go here.
    pub counts: &'a mut Counts,
    batch: &'a mut Batch,
    epoch: &'a mut u32,
    gap: &'a mut Option<Gap>,
    sink: &'a mut S,
}

/// Bits of the columns `x + bit` that are below `limit`.
#[inline(always)]
pub(super) fn columns(x: u32, limit: u32) -> u32 {
    1u32.checked_shl(limit.saturating_sub(x)).map_or(u32::MAX, |bit| bit - 1)
}

impl<S: Sink + ?Sized> Out<'_, S> {
    /// Hands the batch over; called before anything else goes to the sink, so that the order stays.
    pub fn flush(&mut self) {
        let events = self.batch.events.get(..self.batch.len).unwrap_or(&[]);
        if let Some(last) = events.last() {
            self.counts.events += events.len() as u64;
            self.batch.last = Some(last.t);
            self.sink.events(events);
            self.batch.len = 0;
        }
    }

    /// Events given and not dropped so far.
    pub(super) fn events(&self) -> u64 {
        self.counts.events + self.batch.len as u64
    }

    /// Time of the last event.
    pub(super) fn last_time(&self) -> Option<u32> {
        let len = self.batch.len.checked_sub(1);
        len.and_then(|i| self.batch.events.get(i)).map(|e| e.t).or(self.batch.last)
    }

    /// Adds one event.
    #[inline]
    pub fn push(&mut self, event: Event) {
        if self.batch.len >= BATCH {
            self.flush();
        }
        if let Some(slot) = self.batch.events.get_mut(self.batch.len) {
            *slot = event;
            self.batch.len += 1;
        }
    }

    /// Adds an event for each bit of `mask` at `x + bit`; columns from `limit` on are dropped and counted.
    #[inline]
    pub(super) fn push_mask(&mut self, t: u32, x: u32, row: u32, mask: u32, limit: u32) {
        let kept = mask & columns(x, limit);
        if kept != mask {
            self.counts.off_sensor = self.counts.off_sensor.saturating_add((mask & !kept).count_ones());
        }
        if self.batch.len + 32 > BATCH {
            self.flush();
        }
        let mut left = kept;
        for slot in self.batch.events.iter_mut().skip(self.batch.len).take(32) {
            if left == 0 {
                break;
            }
            *slot = Event::packed(t, row | (x + left.trailing_zeros()));
            left &= left - 1;
        }
        self.batch.len += kept.count_ones() as usize;
    }

    /// Makes `n` places free, at most [`BATCH`].
    #[inline]
    pub(super) fn reserve(&mut self, n: usize) {
        if self.batch.len + n > BATCH {
            self.flush();
        }
    }

    /// The free places of the batch, at least as many as the last [`reserve`](Self::reserve) asked for, and the counts. Follow with
    /// [`commit`](Self::commit).
    #[inline]
    pub(super) fn free(&mut self) -> (&mut [Event], &mut Counts) {
        (self.batch.events.get_mut(self.batch.len..).unwrap_or(&mut []), self.counts)
    }

    /// Keeps the next `n` places.
    #[inline]
    pub(super) fn commit(&mut self, n: usize) {
        self.batch.len = (self.batch.len + n).min(BATCH);
    }

    /// Hands the batch over and asks for counts of events from `t` on. Follow with [`tallied`](Self::tallied) if there
    /// were any.
    #[inline]
    pub(super) fn tally(&mut self, t: u32) -> Option<(Tally<'_>, &mut Counts)> {
        if !self.sink.tallies() {
            return None;
        }
        if self.batch.len > 0 {
            self.flush();
        }
        Some((self.sink.tally(t)?, self.counts))
    }

    /// Passes on what was counted.
    #[inline]
    pub(super) fn tallied(&mut self, tallied: Tallied) {
        self.counts.events += u64::from(tallied.events);
        self.batch.last = Some(tallied.last);
        self.sink.tallied(tallied);
    }

    /// Passes a trigger on.
    pub fn trigger(&mut self, trigger: Trigger) {
        self.flush();
        self.counts.triggers = self.counts.triggers.saturating_add(1);
        self.sink.trigger(trigger);
    }

    /// Reports a gap that the format found in the stream.
    pub(super) fn gap(&mut self, cause: GapCause, lost_bytes: u32, before: u64, after: u64) {
        self.flush();
        self.counts.gaps = self.counts.gaps.saturating_add(1);
        self.sink.gap(Gap { cause, lost_bytes, before: before as u32, after: after as u32 });
    }

    /// To be called when the time has moved by a time word: closes a pending gap record and announces new upper time bits.
    pub(super) fn time_moved(&mut self, us: u64) {
        if let Some(gap) = self.gap.take() {
            self.gap(gap.cause, gap.lost_bytes, u64::from(gap.before), us);
        }
        let epoch = (us >> 32) as u32;
        if epoch != *self.epoch {
            self.flush();
            *self.epoch = epoch;
            self.sink.epoch(epoch);
        }
    }
}

impl<F: Format> Decoder<F> {
    pub(super) const fn with(format: F, geometry: Geometry) -> Self {
        Self {
            format,
            geometry,
            counts: Counts {
                bytes: 0,
                events: 0,
                triggers: 0,
                before_sync: 0,
                off_sensor: 0,
                reserved: 0,
                time_high_back: 0,
                time_low_back: 0,
                unsettled: 0,
                wraps: 0,
                gaps: 0,
                other_words: [0; 16],
            },
            batch: Batch { events: [Event { t: 0, place: 0 }; BATCH], len: 0, last: None },
            epoch: 0,
            gap: None,
            carry: [0; LARGEST_WORD],
            carried: 0,
        }
    }

    /// Reads `bytes` and gives everything in them to `sink`; up to one unfinished word is kept for the next call.
    pub fn decode<S: Sink + ?Sized>(&mut self, bytes: &[u8], sink: &mut S) {
        let Self { format, geometry, counts, batch, epoch, gap, carry, carried } = self;
        counts.bytes += bytes.len() as u64;
        let mut out = Out { geometry: *geometry, counts, batch, epoch, gap, sink };
        let mut bytes = bytes;
        if *carried > 0 {
            for slot in carry.iter_mut().take(F::WORD).skip(*carried) {
                let Some((&byte, rest)) = bytes.split_first() else { return };
                *slot = byte;
                *carried += 1;
                bytes = rest;
            }
            *carried = 0;
            if let Some(word) = carry.get(..F::WORD) {
                format.words(word, &mut out);
            }
        }
        if let Some((whole, rest)) = bytes.split_at_checked(bytes.len() - bytes.len() % F::WORD) {
            format.words(whole, &mut out);
            for (slot, &byte) in carry.iter_mut().zip(rest) {
                *slot = byte;
            }
            *carried = rest.len();
        }
        out.flush();
    }

    /// To be called when bytes of the stream are missing at this point (`lost_bytes` of them, 0 if not known): forgets the
    /// unfinished word and all state that those bytes may have changed, and drops events until the stream says its time again.
    /// The gap is reported then.
    pub fn resync(&mut self, lost_bytes: u32) {
        let before = self.format.now().unwrap_or(0) as u32;
        let lost_bytes = lost_bytes
            .saturating_add(self.carried as u32)
            .saturating_add(self.gap.map_or(0, |g| g.lost_bytes));
        self.gap = Some(Gap { cause: GapCause::Lost, lost_bytes, before, after: before });
        self.carried = 0;
        self.format.desync();
    }

    /// Sensor time of the last event or time word in microseconds; `None` until it is known. It moves in a quiet scene too:
    /// give it to a window so that it closes.
    pub fn now(&self) -> Option<u64> {
        self.format.now()
    }

    /// What was seen and what was dropped.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Bounds of the events.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Bytes of an unfinished word, kept from the last chunk.
    pub fn carried(&self) -> usize {
        self.carried
    }
}
