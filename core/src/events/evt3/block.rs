//! Many words at once, for machines that compare eight words in one instruction and run ahead of their branches.
//!
//! Read word by word, a sparse stream makes each event wait for the one before: where it begins is known when all words in front of
//! it have been looked at. Here the words of a block are sorted by kind first, a bit a word; then every event finds its row and its
//! time by itself, as the last ones before it, and words that say nothing cost nothing more.

use super::run::{NONE, Run, count_other};
use crate::events::{Counts, Event};

/// Words of a block: the bits of a mask.
pub(super) const BLOCK: usize = 64;

/// Words sorted at once, the bits of a 16-bit lane.
const GROUP: usize = 16;

/// Which words of a block are of which kind.
#[derive(Default)]
struct Kinds {
    /// Events and rows on the sensor.
    events: u64,
    rows: u64,
    lows: u64,
    /// Skipped and counted.
    others: u64,
    /// None of these, and no repeated TIME_HIGH.
    odd: u64,
}

impl Kinds {
    #[inline(always)]
    fn of(block: &[[u8; 2]; BLOCK], run: &Run) -> Self {
        let (width, height) = (run.width as u16, run.height as u16);
        // Where there is none, a word that is skipped anyway.
        let high = if run.high_word == NONE { 0xFFFF } else { run.high_word as u16 };
        let mut all = Self::default();
        for (i, group) in block.as_chunks::<GROUP>().0.iter().enumerate() {
            let [mut events, mut rows, mut lows, mut others, mut highs] = [0u16; 5];
            for (lane, &word) in group.iter().enumerate() {
                let w = u16::from_le_bytes(word);
                // Kind and place in one number, without polarity and origin.
                let place = w & 0xF7FF;
                let bit = |is: bool| if is { 1 << lane } else { 0 };
                events |= bit(place.wrapping_sub(0x2000) < width);
                rows |= bit(place < height);
                lows |= bit(w & 0xF000 == 0x6000);
                others |= bit((w & 0xF000 == 0x7000) | (w >= 0xD000));
                highs |= bit(w == high);
            }
            let at = |bits: u16| u64::from(bits) << (GROUP * i);
            all.events |= at(events);
            all.rows |= at(rows);
            all.lows |= at(lows);
            all.others |= at(others);
            all.odd |= at(!(events | rows | lows | others | highs));
        }
        all
    }
}

/// The lowest `n` bits.
#[inline(always)]
fn below(n: u32) -> u64 {
    u64::MAX.checked_shl(n).map_or(u64::MAX, |above| !above)
}

impl Run {
    /// Takes the words in front of the first odd one, as far as there is room for their events. Gives the number of events and that
    /// of words; 0 of both if a low time falls, or none may be taken.
    #[inline(always)]
    pub(super) fn block(
        &mut self,
        block: &[[u8; 2]; BLOCK],
        free: &mut [Event],
        counts: &mut Counts,
    ) -> (usize, usize) {
        let Self { t: known, low, clock_base, row, .. } = *self;
        if low > 0xFFF {
            return (0, 0);
        }
        let Kinds { mut events, rows, mut lows, others, odd } = Kinds::of(block, self);
        let n = odd.trailing_zeros();
        events &= below(n);
        lows &= below(n);
        let word = |at: u32| u32::from(u16::from_le_bytes(block[at as usize % BLOCK]));
        // The last of these words, or what was known before.
        let time = |lows: u64| lows.checked_ilog2().map_or(known, |at| clock_base | word(at) & 0xFFF);
        let row = |rows: u64| rows.checked_ilog2().map_or(row, |at| (word(at) & 0x7FF) << 17);

        // The subtraction sets the bits from each low time to the event that uses it, but clears that of one within.
        if lows & !events.wrapping_sub(lows) != 0 {
            // Some low time is replaced before an event uses it: what the events say of the order is not all.
            let (mut left, mut last, mut fall) = (lows, low, 0i32);
            while left != 0 {
                let low = word(left.trailing_zeros()) & 0xFFF;
                fall |= low.wrapping_sub(last) as i32;
                last = low;
                left &= left - 1;
            }
            if fall < 0 {
                return (0, 0);
            }
        }
        let (mut end, mut last, mut fall) = (0, known, 0i32);
        for slot in free {
            if events == 0 {
                break;
            }
            let up_to = events ^ (events - 1);
            let (t, w) = (time(lows & up_to), word(events.trailing_zeros()));
            fall |= t.wrapping_sub(last) as i32;
            last = t;
            *slot = Event::packed(t, row(rows & up_to) | w & 0x7FF | (w & 0x800) << 5);
            end += 1;
            events &= events - 1;
        }
        // What there was no room for comes again.
        let n = n.min(events.trailing_zeros());
        let t = time(lows & below(n));
        if (fall | t.wrapping_sub(last) as i32) < 0 {
            return (0, 0);
        }
        let row = row(rows & below(n));
        (self.t, self.low, self.row) = (t, t & 0xFFF, row);
        let mut others = others & below(n);
        while others != 0 {
            count_other(word(others.trailing_zeros()), counts);
            others &= others - 1;
        }
        (end, n as usize)
    }
}
