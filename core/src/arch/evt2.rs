//! Words of EVT2.0 in blocks, for machines that run ahead of their branches.

use crate::events::Event;

/// What a loop over words needs to know.
#[derive(Clone, Copy)]
pub struct Run {
    /// Upper bits of the time; the low six are clear.
    pub base: u32,
    /// Added to a place, sets bit 15 if the column is off the sensor, bit 31 if the row is.
    pub limits: u32,
    /// Time of the event before.
    pub t: u32,
}

impl Run {
    /// Words that are checked and converted together.
    pub const BLOCK: usize = 16;
}

/// Puts as many words as are events on the sensor in time order into `free`, in whole blocks but for the last; gives their number and
/// the time of the last.
#[inline]
#[allow(unsafe_code)]
pub fn events(words: &[[u8; 4]], free: &mut [Event], run: Run) -> (usize, u32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if super::Backend::best() != super::Backend::Portable {
        // SAFETY: all but the portable backend have AVX2.
        return unsafe { super::x86::evt2::events(words, free, run) };
    }
    portable(words, free, run)
}

/// The same with what every machine has. What may not be shows in the sign of a number for each word, so that the loop over a block has
/// no branch and becomes vectors.
fn portable(words: &[[u8; 4]], free: &mut [Event], run: Run) -> (usize, u32) {
    const BLOCK: usize = Run::BLOCK;
    let Run { base, limits, mut t } = run;
    let mut events = 0;
    for (block, room) in words.as_chunks::<BLOCK>().0.iter().zip(free.as_chunks_mut::<BLOCK>().0) {
        let mut violations = [0; BLOCK];
        let mut before = t;
        for ((slot, word), violation) in room.iter_mut().zip(block).zip(&mut violations) {
            let w = u32::from_le_bytes(*word);
            let t = base | w >> 22 & 0x3F;
            // Types 0 and 1 leave bits 29..31 clear.
            let kind = w | w << 1 | w << 2;
            let place = (w & 0x7FF) << 17 | w >> 11 & 0x7FF;
            let off = place.wrapping_add(limits);
            *violation = (kind | off | off << 16 | t.wrapping_sub(before)) as i32;
            before = t;
            *slot = Event::packed(t, place | (w & 1 << 28) >> 12);
        }
        if violations.iter().fold(0, |all, one| all | one) < 0 {
            let n = violations.iter().position(|&violation| violation < 0).unwrap_or(BLOCK);
            t = n.checked_sub(1).and_then(|last| room.get(last)).map_or(t, |last| last.t);
            return (events + n, t);
        }
        (events, t) = (events + BLOCK, before);
    }
    (events, t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_reads_as_all_do() {
        let mut state = 1u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut all = 0;
        for round in 0..if cfg!(miri) { 101 } else { 5_000 } {
            // 640 x 480.
            let run =
                Run { base: 0xFFFF_FF40, limits: (0x4000 - 480) << 17 | (0x8000 - 640), t: 0xFFFF_FF00 };
            let mut low = 0;
            let words = [0; 100].map(|_: u8| {
                low = (low + random(2)).min(63);
                let word = random(2) << 28 | low << 22 | random(640) << 11 | random(480);
                let word = match random(60) {
                    0 => random(1 << 32),
                    1 => word | 0x7FF,
                    2 => word - (1 << 22).min(word),
                    3 => word | 1 << (29 + random(3)),
                    _ => word,
                };
                (word as u32).to_le_bytes()
            });
            let words = &words[..round % 101];
            let mut room = [[Event::default(); 70]; 2];
            let [this, every] = &mut room;
            let of_this = events(words, this, run);
            assert_eq!(of_this, portable(words, every, run));
            assert_eq!(this[..of_this.0], every[..of_this.0]);
            all += of_this.0;
        }
        assert!(all > if cfg!(miri) { 100 } else { 50_000 }, "{all}");
    }
}
