//! Words of sparse EVT3.0 streams, for machines without branch prediction to speak of.

#[cfg(mixel_dsp)]
use core::marker::PhantomData;

use super::count::Places;
use crate::events::Event;

/// What a loop over words needs to know.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Pixels of a row, at most what 11 bits can tell.
    pub width: u32,
    /// Rows, at most as many.
    pub height: u32,
    /// The TIME_HIGH that changes nothing; more than any word if none.
    pub high_word: u32,
    /// The last microsecond that may be taken, one of this TIME_HIGH.
    pub latest: u32,
    /// How far the low time may still rise, at most 12 bits: what it says of a word is one subtraction and one comparison.
    pub rest: u32,
}

impl Bounds {
    /// The TIME_LOW of the last microsecond.
    fn latest_low(&self) -> u32 {
        0x6000 | self.latest & 0xFFF
    }
}

/// Takes events which come as \[TIME_HIGH\]... \[TIME_LOW\] ADDR_Y ADDR_X, and words to be skipped, which it adds to the numbers of their
/// kinds, up to the first word that needs more or event without a slot. Gives the number of events and that of words, and sets `rest`.
/// Of the ADDR_Y only those of events are taken.
#[inline]
pub fn events(
    words: &[[u8; 2]],
    free: &mut [Event],
    run: &mut Bounds,
    counts: &mut [u32; 16],
) -> (usize, usize) {
    #[cfg(mixel_dsp)]
    return dsp(words, free, run, counts);
    #[cfg(not(mixel_dsp))]
    {
        let all = free.len();
        let mut slots = free.iter_mut();
        let put = |event| slots.next().map(|slot| *slot = event).is_some();
        let n = portable(words, run, counts, put);
        (all - slots.len(), n)
    }
}

/// Slots from which on another round of words is worth it.
#[cfg(mixel_dsp)]
const ROUND: usize = 24;

/// With the DSP extension, which checks row and column in one instruction.
#[cfg(mixel_dsp)]
#[inline]
#[allow(unsafe_code)]
fn dsp(words: &[[u8; 2]], free: &mut [Event], run: &mut Bounds, counts: &mut [u32; 16]) -> (usize, usize) {
    let (Some(right), Some(bottom)) = (run.width.checked_sub(1), run.height.checked_sub(1)) else {
        return (0, 0);
    };
    let (first, slots) = (words.as_ptr(), free.as_mut_ptr());
    let mut taken = super::armv7em::Sparse {
        at: first,
        last: 0,
        slot: slots,
        largest: bottom | right << 16,
        high_word: run.high_word,
        latest: run.latest,
        rest: run.rest,
        end: first,
        counts,
        messages: 0,
    };
    let (mut events, mut n) = (0, 0);
    loop {
        // No event has fewer than two words, so that slots need not be counted.
        let (left, most) = (words.len() - n, 2 * (free.len() - events));
        let len = left.min(most);
        if len == 0 {
            break;
        }
        taken.end = taken.at.wrapping_add(len - 1);
        taken.last = taken.end.addr().saturating_sub(3 * size_of::<[u8; 2]>());
        // SAFETY: `len` words and half as many slots are left; no words lie at address 0, where `last` may be.
        unsafe { super::armv7em::sparse(&mut taken) };
        events = (taken.slot.addr() - slots.addr()) / size_of::<Event>();
        n = (taken.at.addr() - first.addr()) / size_of::<[u8; 2]>();
        // Most events have more, so that slots are left. Where few are, the batch is as good as full.
        if left <= most || taken.at < taken.end || free.len() - events < ROUND {
            break;
        }
    }
    run.rest = taken.rest;
    count_messages(taken.messages, counts);
    (events, n)
}

/// Counts the events of the words that [`events`] takes, instead of writing them down.
pub struct Counter<'c, 't> {
    #[cfg(mixel_dsp)]
    work: super::armv7em::Counting,
    #[cfg(mixel_dsp)]
    inside: bool,
    #[cfg(mixel_dsp)]
    memory: PhantomData<(&'c mut Places<'t>, &'c mut [u32; 16])>,
    #[cfg(not(mixel_dsp))]
    places: &'c mut Places<'t>,
    #[cfg(not(mixel_dsp))]
    counts: &'c mut [u32; 16],
    #[cfg(not(mixel_dsp))]
    sums: (u32, u32),
}

#[cfg(mixel_dsp)]
#[allow(unsafe_code)]
impl<'c, 't> Counter<'c, 't> {
    /// For events on a sensor of this size, at most what 11 bits can tell; `counts` are the numbers of skipped words by
    /// kind. `None` where there are no places for all of its pixels.
    pub fn new(
        places: &'c mut Places<'t>,
        counts: &'c mut [u32; 16],
        (width, height): (u32, u32),
    ) -> Option<Self> {
        let (right, bottom) = (width.checked_sub(1)?.min(0x7FF), height.checked_sub(1)?.min(0x7FF));
        if !(places.tables.cover(width, height) && places.hold()) {
            return None;
        }
        let (columns, rows) = places.tables.as_ptrs();
        let work = super::armv7em::Counting {
            at: core::ptr::null(),
            last: 0,
            largest: bottom | right << 16,
            high_word: 0,
            counts: places.counts.as_mut_ptr(),
            rest: 0,
            latest_low: 0,
            columns,
            rows,
            events: 0,
            size: places.size,
            marks: places.marks.as_mut_ptr(),
            end: core::ptr::null(),
            kinds: counts,
            messages: 0,
            outside: 0,
        };
        Some(Self { work, inside: places.tables.inside(), memory: PhantomData })
    }

    /// Takes words as [`events`] does, and sets `run.rest`. Gives their number.
    #[inline]
    pub fn take(&mut self, words: &[[u8; 2]], run: &mut Bounds) -> usize {
        let span = words.as_ptr_range();
        self.work.at = span.start;
        self.work.last = span.end.addr().saturating_sub(6 * size_of::<[u8; 2]>());
        self.work.end = span.end;
        (self.work.high_word, self.work.latest_low) = (run.high_word, run.latest_low());
        self.work.rest = run.rest;
        // SAFETY: the words are there, and as `new` has seen, entries for all that `largest` lets through, and counts
        // and marks for all sums of them.
        unsafe {
            if self.inside {
                super::armv7em::count_words_inside(&mut self.work);
            } else {
                super::armv7em::count_words(&mut self.work);
            }
        }
        run.rest = self.work.rest;
        (self.work.at.addr() - span.start.addr()) / size_of::<[u8; 2]>()
    }

    /// Events so far.
    pub fn events(&self) -> u32 {
        self.work.events
    }

    /// Events in all, and those of them without a place.
    pub fn finish(self) -> (u32, u32) {
        // SAFETY: the numbers are borrowed as long as this lives, and nothing else holds them now.
        count_messages(self.work.messages, unsafe { &mut *self.work.kinds });
        (self.work.events, self.work.outside)
    }
}

#[cfg(not(mixel_dsp))]
impl<'c, 't> Counter<'c, 't> {
    /// For events on a sensor of this size, at most what 11 bits can tell; `counts` are the numbers of skipped words by
    /// kind. `None` where there are no places for all of its pixels.
    pub fn new(
        places: &'c mut Places<'t>,
        counts: &'c mut [u32; 16],
        (width, height): (u32, u32),
    ) -> Option<Self> {
        let covers = width > 0 && height > 0 && places.tables.cover(width, height);
        covers.then_some(Self { places, counts, sums: (0, 0) })
    }

    /// Takes words as [`events`] does, and sets `run.rest`. Gives their number.
    pub fn take(&mut self, words: &[[u8; 2]], run: &mut Bounds) -> usize {
        let (places, (events, outside)) = (&mut *self.places, &mut self.sums);
        portable(words, run, self.counts, |event| {
            *events += 1;
            *outside += u32::from(!places.add(event));
            true
        })
    }

    /// Events so far.
    pub fn events(&self) -> u32 {
        self.sums.0
    }

    /// Events in all, and those of them without a place.
    pub fn finish(self) -> (u32, u32) {
        self.sums
    }
}

/// Adds the words of messages to the numbers of their kinds.
#[cfg(mixel_dsp)]
fn count_messages(messages: u32, counts: &mut [u32; 16]) {
    if messages > 0 {
        for (kind, words) in [(0x7, 1), (0xE, 1), (0xF, 2)] {
            counts[kind] = counts[kind].saturating_add(words * messages);
        }
    }
}

/// The same words with what every machine has, up to an event that is not taken. By itself, so that all it needs is in
/// registers. Gives the number of words.
#[cfg(not(mixel_dsp))]
#[inline(never)]
fn portable(
    words: &[[u8; 2]],
    run: &mut Bounds,
    counts: &mut [u32; 16],
    mut take: impl FnMut(Event) -> bool,
) -> usize {
    let (latest_low, Bounds { width, height, high_word, latest, mut rest }) = (run.latest_low(), *run);
    let mut left = words;
    let word = |bytes: [u8; 2]| u32::from(u16::from_le_bytes(bytes));
    let is_other = |w: u32| w >= 0xD000 || w >> 12 == 7;
    while let Some(&[first, _, _, _]) = left.first_chunk() {
        let mut a = word(first);
        if a == high_word {
            left = left.get(1..).unwrap_or_default();
            let Some(&[next, _, _]) = left.first_chunk() else { break };
            a = word(next);
        }
        let value = latest_low.wrapping_sub(a);
        if value <= rest {
            rest = value;
            left = left.get(1..).unwrap_or_default();
            let Some(&[next, _]) = left.first_chunk() else { break };
            a = word(next);
        }
        let y = a & 0xF7FF;
        if y < height {
            let Some(&[_, c]) = left.first_chunk() else { break };
            let c = word(c);
            let x = (c & 0xF7FF).wrapping_sub(0x2000);
            if x >= width {
                break;
            }
            if !take(Event::packed(latest - rest, y << 17 | x | (c & 0x800) << 5)) {
                break;
            }
            left = left.get(2..).unwrap_or_default();
        } else if is_other(a) {
            while let Some((&a, behind)) = left.split_first()
                && is_other(word(a))
            {
                if let Some(n) = counts.get_mut(word(a) as usize >> 12) {
                    *n = n.saturating_add(1);
                }
                left = behind;
            }
        } else if a != high_word {
            break;
        }
    }
    run.rest = rest;
    words.len() - left.len()
}
