//! Watching a run, operator by operator.

/// Called around every operator of [`crate::Session::run_observed`].
pub trait Observer {
    /// Whether anyone looks: otherwise nothing is called.
    const WATCHES: bool = true;

    /// Operator `index` is about to run.
    fn begin(&mut self, index: usize);

    /// Operator `index` is done; `output` are the bytes of its first output, at the bound of its shape. An operator that runs
    /// in strips is told of once a strip, each time with the rows that are new.
    fn end(&mut self, index: usize, output: &[u8]);
}

/// Watches nothing; costs nothing.
pub struct Unobserved;

impl Observer for Unobserved {
    const WATCHES: bool = false;

    #[inline(always)]
    fn begin(&mut self, _index: usize) {}

    #[inline(always)]
    fn end(&mut self, _index: usize, _output: &[u8]) {}
}

/// A counter that only goes up, wrapping at 2^32: cycles, instructions or timer ticks.
pub trait Clock {
    /// The counter now.
    fn now(&mut self) -> u32;
}

/// Time of one operator over all runs so far, in the clock's unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Record {
    /// Shortest run.
    pub min: u32,
    /// Longest run.
    pub max: u32,
    /// Sum over all runs.
    pub total: u64,
    /// Number of runs.
    pub runs: u32,
}

/// An observer that times up to `N` operators; later ones are not recorded.
pub struct Profiler<C, const N: usize> {
    clock: C,
    started: u32,
    records: heapless::Vec<Record, N>,
}

impl<C: Clock, const N: usize> Profiler<C, N> {
    /// Nothing recorded yet.
    pub fn new(clock: C) -> Self {
        Self { clock, started: 0, records: heapless::Vec::new() }
    }

    /// One record an operator, in execution order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl<C: Clock, const N: usize> Observer for Profiler<C, N> {
    fn begin(&mut self, index: usize) {
        while self.records.len() <= index
            && self.records.push(Record { min: u32::MAX, ..Record::default() }).is_ok()
        {}
        self.started = self.clock.now();
    }

    fn end(&mut self, index: usize, _output: &[u8]) {
        let ticks = self.clock.now().wrapping_sub(self.started);
        if let Some(record) = self.records.get_mut(index) {
            record.min = record.min.min(ticks);
            record.max = record.max.max(ticks);
            record.total += ticks as u64;
            record.runs += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Steps(u32);
    impl Clock for Steps {
        fn now(&mut self) -> u32 {
            self.0 = self.0.wrapping_mul(3).wrapping_add(1);
            self.0
        }
    }

    #[test]
    fn times_wrap_and_surplus_operators_are_ignored() {
        let mut profiler = Profiler::<_, 1>::new(Steps(u32::MAX));
        for index in 0..2 {
            profiler.begin(index);
            profiler.end(index, &[]);
        }
        assert_eq!(profiler.records().len(), 1);
        // From -2 to -5 modulo 2^32, and nothing more.
        assert_eq!(
            profiler.records()[0],
            Record { min: u32::MAX - 2, max: u32::MAX - 2, total: (u32::MAX - 2) as u64, runs: 1 }
        );
    }
}
