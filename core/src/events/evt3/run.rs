//! What the loops over words of EVT3.0 know and share. Two loops do the same: `selecting` for machines that run ahead of their branches,
//! with `block` for sparse streams, and `branching` for those that do not.

use core::slice::Iter;

use crate::events::Counts;

/// Most events of a vector base.
pub(super) const VECTOR: usize = 32;

/// More than any word.
pub(super) const NONE: u32 = 0x1_0000;

/// What the loops over words know, in 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    /// Bounds of single events and of rows; 0 while events do not pass.
    pub(super) width: u32,
    pub(super) height: u32,
    /// The time word that changes nothing.
    pub(super) high_word: u32,
    /// The least low time that may be taken here: that of `t`. More than any if none may.
    pub(super) low: u32,
    pub(super) clock_base: u32,
    pub(super) t: u32,
    /// The row, ready to be or-ed into an event.
    pub(super) row: u32,
    /// Next column of a vector and its polarity; `None` until a base is known.
    pub(super) base: Option<(u32, u32)>,
}

impl Run {
    /// Nothing may pass.
    pub(super) const CLOSED: Self =
        Self { width: 0, height: 0, high_word: NONE, low: NONE, clock_base: 0, t: 0, row: 0, base: None };

    /// A low time that moves on, a repeated time word, a word to be skipped; false for others.
    #[inline(always)]
    pub(super) fn small(&mut self, w: u32, counts: &mut Counts) -> bool {
        if w >> 12 == 6 && w & 0xFFF >= self.low {
            self.low = w & 0xFFF;
            self.t = self.clock_base | self.low;
            true
        } else if is_other(w) {
            count_other(w, counts);
            true
        } else {
            w == self.high_word
        }
    }

    /// If `w` is a base and the 32 pixels that sensors send together come after it (VECT_12, VECT_12, VECT_8), takes them: their
    /// events as a mask.
    #[inline(always)]
    pub(super) fn triple(&mut self, w: u32, words: &mut Iter<'_, [u8; 2]>) -> Option<u32> {
        let x = w & 0x7FF;
        if w >> 12 != 3 || x + VECTOR as u32 > self.width {
            return None;
        }
        let (&[a, b, c], rest) = words.as_slice().split_first_chunk()?;
        let [a, b, c] = [a, b, c].map(|word| u32::from(u16::from_le_bytes(word)));
        if (a | b << 16) & 0xF000_F000 != 0x4000_4000 || c >> 12 != 5 {
            return None;
        }
        *words = rest.iter();
        self.base = Some((x + VECTOR as u32, w >> 11 & 1));
        Some(a & 0xFFF | (b & 0xFFF) << 12 | c << 24)
    }
}

/// Whether a word is skipped but not reserved: CONTINUED_4, IMU, OTHERS, CONTINUED_12.
#[inline(always)]
pub(super) fn is_other(w: u32) -> bool {
    w >= 0xD000 || w >> 12 == 7
}

pub(super) fn count_other(w: u32, counts: &mut Counts) {
    if let Some(n) = counts.other_words.get_mut(w as usize >> 12) {
        *n = n.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;
    use crate::events::Event;

    /// All that a loop makes of words: its events, the first odd word, what is left, and what it knows then. The branching one with
    /// that for sparse streams in front of it, now and then.
    fn run_through(
        mut run: Run,
        block: &[[u8; 2]],
        selecting: bool,
    ) -> (Vec<Event>, Option<u32>, usize, Counts, Run) {
        let (mut events, mut counts, mut words) = (Vec::new(), Counts::default(), block.iter());
        loop {
            let mut free = [Event::default(); 2 * VECTOR];
            let (n, odd) = if selecting {
                run.selecting(&mut words, &mut free, &mut counts)
            } else {
                let sparse = if !block.len().is_multiple_of(3) && words.len() > 2 {
                    run.sparse(&mut words, &mut free[..VECTOR], &mut counts)
                } else {
                    0
                };
                let (more, odd) = run.branching(&mut words, &mut free[sparse..], &mut counts);
                (sparse + more, odd)
            };
            events.extend_from_slice(&free[..n]);
            if odd.is_some() || words.len() == 0 {
                return (events, odd, words.len(), counts, run);
            }
            assert!(n > 0, "with so much room a loop comes forward");
        }
    }

    fn numbers() -> impl FnMut(u64) -> u64 {
        let mut state = 1u64;
        move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        }
    }

    /// Only one of the two loops runs on a machine; both must read the same.
    #[test]
    fn both_loops_agree() {
        let mut random = numbers();
        let mut vectors = 0;
        for round in 0..20_000 {
            let width = if round % 5 == 0 { 0 } else { 1 + random(0x800) as u32 };
            let run = Run {
                width,
                height: if width > 0 { 700 } else { 0 },
                high_word: 0x8123,
                low: 100,
                clock_base: 0x12_3000,
                t: 0x12_3064,
                row: 5 << 17,
                base: None,
            };
            let mut block = Vec::new();
            for _ in 0..random(130) {
                let any = random(1 << 16) as u16;
                let word = match random(40) {
                    0 => any,
                    1 => 0x8123,
                    2 => 0x6000 | any & 0x7F,
                    3 => 0x7000 | any & 0xFFF,
                    4 => 0x4000 | any & 0xFFF,
                    5..=8 => {
                        let more = [random(1 << 12), random(1 << 12), random(1 << 12)].map(|n| n as u16);
                        let [a, b, c] = more;
                        block.extend([0x3000 | any & 0xCFF, 0x4000 | a, 0x4000 | b].map(u16::to_le_bytes));
                        0x5000 | c
                    }
                    9..=20 => any & 0x3FF,
                    _ => 0x2000 | any & 0xBFF,
                };
                block.push(word.to_le_bytes());
            }
            let [branching, selecting] = [false, true].map(|selecting| run_through(run, &block, selecting));
            vectors += u32::from(selecting.4.base.is_some());
            assert_eq!(branching, selecting);
        }
        assert!(vectors > 1000, "{vectors}");
    }

    /// Blocks of words, with whatever may end one or hide in it, beside the loop that knows no blocks.
    #[test]
    fn both_loops_agree_on_sparse_streams() {
        let mut random = numbers();
        let mut events = 0;
        for round in 0..10_000 {
            let width = if round % 3 == 0 { 0x800 } else { 640 };
            let run = Run {
                width,
                height: if round % 4 == 0 { 0x800 } else { 480 },
                high_word: if round % 7 == 0 { NONE } else { 0x8123 },
                low: if round % 11 == 0 { NONE } else { 100 },
                clock_base: 0x12_3000,
                t: 0x12_3064,
                row: 5 << 17,
                base: None,
            };
            let (mut low, mut words) = (100, Vec::new());
            let odd = random(2) * random(400);
            for _ in 0..random(120) {
                let any = random(1 << 16) as u16;
                words.extend([0x8123; 5].iter().take(random(6).saturating_sub(2) as usize));
                if random(5) > 0 {
                    low = (low + random(9)).min(0xFFF);
                    words.push(0x6000 | low as u16);
                }
                match random(1 + odd) {
                    1 => words.push(any),
                    2 => words.push(0x6000 | (low as u16 - any % 3)),
                    3 => words.extend([0xE014, 0xF000 | any & 0xFFF, 0xF123, 0x7000 | any & 0xFFF, 0xD000]),
                    4 => words.extend([0x6000 | low as u16; 3]),
                    _ => {}
                }
                words.push(any & 0x800 | random(480) as u16);
                words.extend(
                    [0x2000 | any & 0x800 | random(640) as u16; 4]
                        .iter()
                        .take(1 + (random(20) / 17) as usize),
                );
            }
            let block: Vec<_> = words.iter().map(|word| word.to_le_bytes()).collect();
            let [branching, selecting] = [false, true].map(|selecting| run_through(run, &block, selecting));
            events += selecting.0.len();
            assert_eq!(branching, selecting);
        }
        assert!(events > 300_000, "{events}");
    }
}
