//! Where the time goes: ticks of every stage, in all and in the worst window.

use mixel_core::event_session::{Stage, Watch};
use mixel_core::profile::Clock;

use crate::report::Sum;

/// Behind the stages: waiting for the source.
const WAIT: usize = Stage::ALL.len();

/// Measures stages by the readings of a clock between them.
pub struct Times<'c, C> {
    clock: &'c mut C,
    /// What is being done, a stage or [`WAIT`].
    doing: usize,
    since: u32,
    /// Ticks since the last answer.
    open: [u64; WAIT + 1],
    sums: [Sum; WAIT + 1],
}

impl<'c, C: Clock> Times<'c, C> {
    pub fn new(clock: &'c mut C) -> Self {
        let since = clock.now();
        Self { clock, doing: WAIT, since, open: Default::default(), sums: Default::default() }
    }

    /// From now on the program waits.
    pub fn wait(&mut self) {
        self.change(WAIT);
    }

    /// Ticks since `moment`.
    pub fn since(&mut self, moment: u32) -> u32 {
        self.clock.now().wrapping_sub(moment)
    }

    /// Every stage, and waiting, so far.
    pub fn sums(&self) -> ([Sum; WAIT], Sum) {
        let mut sums = self.sums;
        for (sum, open) in sums.iter_mut().zip(self.open) {
            sum.total += open;
        }
        let [stages @ .., wait] = sums;
        (stages, wait)
    }

    #[inline(always)]
    fn change(&mut self, doing: usize) {
        let now = self.clock.now();
        if let (Some(ticks), Some(sum)) = (self.open.get_mut(self.doing), self.sums.get_mut(self.doing)) {
            *ticks += u64::from(now.wrapping_sub(self.since));
            sum.entered += 1;
        }
        (self.doing, self.since) = (doing, now);
    }

    /// A window is answered: what it took is known.
    fn close(&mut self) {
        for (sum, open) in self.sums.iter_mut().zip(&mut self.open) {
            sum.total += *open;
            sum.worst = sum.worst.max(*open);
            *open = 0;
        }
    }
}

impl<C: Clock> Watch for Times<'_, C> {
    #[inline(always)]
    fn enter(&mut self, stage: Stage) {
        self.change(stage as usize);
        if stage == Stage::Answer {
            self.close();
        }
    }
}
