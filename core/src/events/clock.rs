//! The wrapping clock of EVT2, EVT2.1 and EVT3: TIME_HIGH words to 64-bit microseconds.

use super::Counts;

/// What a TIME_HIGH word did to the clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The value was already known.
    Same,
    /// Time moved forward, or became known.
    Forward,
    /// The word does not follow; the time is held until another word agrees with it.
    Held,
    /// Two words agreed on a time that does not follow: the clock took it over.
    Jump,
}

/// A clock whose upper `BITS` bits come in time words, above `LOW` bits that come elsewhere.
///
/// Half-range rule: a fall by at least half the range is a wrap; a smaller fall is a violation, counted and held. If the word after
/// it agrees (equal or one more), the sender's clock was set back: counting goes on from there, and the output, which never
/// decreases, from where it stood.
#[derive(Clone, Debug)]
pub(super) struct Clock<const BITS: u32, const LOW: u32> {
    /// The last believed time word.
    high: Option<u32>,
    /// Microseconds at that word, wraps included.
    base: u64,
    /// A word which did not follow from `high`.
    suspect: Option<u32>,
    /// Largest rise, in time words, believed without a second word.
    max_rise: u32,
}

impl<const BITS: u32, const LOW: u32> Clock<BITS, LOW> {
    pub(super) const fn new() -> Self {
        Self { high: None, base: 0, suspect: None, max_rise: u32::MAX }
    }

    pub(super) fn set_max_step(&mut self, us: u32) {
        self.max_rise = (us >> LOW).max(1);
    }

    /// Microseconds with the low bits 0.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// The last time word, if repeating it changes nothing.
    pub(super) fn settled(&self) -> Option<u32> {
        if self.suspect.is_none() { self.high } else { None }
    }

    /// Places the clock near `us`, known from elsewhere: the next time word is taken as the reading nearest to it.
    pub(super) fn expect(&mut self, us: u64) {
        self.suspect = None;
        // The word half a range behind the expected time: whatever comes next is then a step forward of less than a range.
        let start = us.saturating_sub(1 << (BITS + LOW - 1)) >> LOW;
        self.base = start << LOW;
        self.high = None;
    }

    /// Takes a time word that is one more than the last, and no other: true for a step forward without anything to
    /// count.
    pub(super) fn next(&mut self, raw: u32) -> bool {
        let next = self.settled().is_some_and(|high| raw == high + 1);
        if next {
            self.high = Some(raw);
            self.base += 1 << LOW;
        }
        next
    }

    /// Takes a time word of `BITS` bits.
    pub(super) fn word(&mut self, raw: u32, counts: &mut Counts) -> Step {
        let mask = (1u32 << BITS) - 1;
        let raw = raw & mask;
        let Some(high) = self.high else {
            // The first reading at or after the base that ends in `raw`.
            let rise = raw.wrapping_sub((self.base >> LOW) as u32) & mask;
            self.high = Some(raw);
            self.base += u64::from(rise) << LOW;
            return Step::Forward;
        };
        let rise = raw.wrapping_sub(high) & mask;
        let wrap = raw < high && high - raw >= 1 << (BITS - 1);
        if rise == 0 {
            self.suspect = None;
            return Step::Same;
        }
        let agreed = self.suspect.is_some_and(|s| raw.wrapping_sub(s) & mask <= 1);
        let follows = raw > high || wrap;
        if follows && (rise <= self.max_rise || agreed) {
            let step = if rise <= self.max_rise { Step::Forward } else { Step::Jump };
            counts.wraps += u32::from(wrap);
            self.high = Some(raw);
            self.base += u64::from(rise) << LOW;
            self.suspect = None;
            return step;
        }
        if !follows {
            counts.time_high_back = counts.time_high_back.saturating_add(1);
        }
        if agreed {
            self.high = Some(raw);
            self.suspect = None;
            return Step::Jump;
        }
        self.suspect = Some(raw);
        Step::Held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Evt3Clock = Clock<12, 12>;

    fn run(words: &[u32]) -> (Vec24, Counts) {
        let (mut clock, mut counts) = (Evt3Clock::new(), Counts::default());
        let mut out = [0; 8];
        for (at, &word) in out.iter_mut().zip(words) {
            clock.word(word, &mut counts);
            *at = clock.base() >> 12;
        }
        (out, counts)
    }

    type Vec24 = [u64; 8];

    #[test]
    fn a_fall_of_half_the_range_is_a_wrap() {
        let (out, counts) = run(&[0x800, 0x000, 0x001]);
        assert_eq!(out[..3], [0x800, 0x1000, 0x1001]);
        assert_eq!((counts.wraps, counts.time_high_back), (1, 0));
    }

    #[test]
    fn a_smaller_fall_is_counted_and_held() {
        let (out, counts) = run(&[0x800, 0x001, 0x801]);
        assert_eq!(out[..3], [0x800, 0x800, 0x801]);
        assert_eq!((counts.wraps, counts.time_high_back), (0, 1));
    }

    #[test]
    fn two_words_that_agree_set_the_clock_back_but_not_the_output() {
        let (out, counts) = run(&[0x700, 0x100, 0x101, 0x102]);
        assert_eq!(out[..4], [0x700, 0x700, 0x700, 0x701]);
        assert_eq!((counts.wraps, counts.time_high_back), (0, 2));
    }

    #[test]
    fn a_rise_above_the_limit_needs_a_second_word() {
        let (mut clock, mut counts) = (Evt3Clock::new(), Counts::default());
        clock.set_max_step(3 * 4096);
        let steps = [5, 6, 0x400, 7, 0x400, 0x401].map(|w| clock.word(w, &mut counts));
        assert_eq!(steps, [Step::Forward, Step::Forward, Step::Held, Step::Forward, Step::Held, Step::Jump]);
        assert_eq!(clock.base() >> 12, 0x401);
    }

    #[test]
    fn an_expected_time_gives_the_epoch() {
        let mut counts = Counts::default();
        let mut clock = Evt3Clock::new();
        clock.word(0x123, &mut counts);
        let slept_until = (7 << 24) + (0x010 << 12);
        clock.expect(slept_until);
        clock.word(0xFFE, &mut counts);
        assert_eq!(clock.base(), (6 << 24) + (0xFFE << 12), "a little before the expected time");
        clock.expect(slept_until);
        clock.word(0x012, &mut counts);
        assert_eq!(clock.base(), (7 << 24) + (0x012 << 12), "a little after it");
    }
}
