//! Engines that take turns, so that whatever else the machine does falls on all of them.

use std::time::Duration;

use crate::engine::Engine;

/// Time of one engine's turn, about.
const TURN: Duration = Duration::from_millis(15);
/// Runs before those that count.
const WARM_UP: u32 = 5;
/// Runs of a turn at most and at least.
const RUNS: (u64, u64) = (5, 400);

/// Times of one engine.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// The median of every round, in microseconds.
    pub rounds: Vec<f64>,
    /// The shortest run of all, in microseconds.
    pub min_us: f64,
}

impl Times {
    /// The median of the rounds, in microseconds.
    pub fn median_us(&self) -> f64 {
        median(&mut self.rounds.clone())
    }

    /// How long an inference takes against `other`'s in the same round: the median of the rounds.
    pub fn ratio(&self, other: &Times) -> f64 {
        median(
            &mut self
                .rounds
                .iter()
                .zip(&other.rounds)
                .map(|(ours, theirs)| ours / theirs)
                .collect::<Vec<_>>(),
        )
    }
}

/// Runs all `engines` in turn, `rounds` times. An engine that fails once is out, with the reason.
pub fn measure(engines: &mut [Box<dyn Engine>], rounds: u32) -> Vec<Result<Times, String>> {
    let mut runs = Vec::new();
    let mut all = Vec::new();
    for engine in engines.iter_mut() {
        let first = engine.time(WARM_UP);
        let shortest = first.as_ref().ok().and_then(|times| times.iter().min().copied()).unwrap_or(1);
        runs.push((TURN.as_nanos() as u64 / shortest.max(1)).clamp(RUNS.0, RUNS.1) as u32);
        all.push(first.map(|_| Times { rounds: Vec::new(), min_us: f64::INFINITY }));
    }
    for _ in 0..rounds {
        for ((engine, runs), result) in engines.iter_mut().zip(&runs).zip(&mut all) {
            let Ok(times) = result else { continue };
            match engine.time(*runs) {
                Ok(turn) => times.add(&turn),
                Err(reason) => *result = Err(reason),
            }
        }
    }
    all
}

impl Times {
    fn add(&mut self, nanoseconds: &[u64]) {
        let mut times: Vec<f64> = nanoseconds.iter().map(|&time| time as f64 / 1e3).collect();
        self.min_us = times.iter().copied().fold(self.min_us, f64::min);
        self.rounds.push(median(&mut times));
    }
}

/// The middle of `values`, of two the upper; not a number when there are none.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `step` more nanoseconds a run than the time before.
    struct Slower(u64, u64);

    impl Engine for Slower {
        fn name(&self) -> &str {
            "slower"
        }

        fn time(&mut self, runs: u32) -> Result<Vec<u64>, String> {
            self.0 += self.1;
            if self.0 > 1_000_000_000 { Err("too slow".into()) } else { Ok(vec![self.0; runs as usize]) }
        }
    }

    #[test]
    fn engines_take_turns_and_ratios_are_those_of_a_round() {
        let mut engines: Vec<Box<dyn Engine>> = vec![
            Box::new(Slower(0, 1_000_000)),
            Box::new(Slower(0, 2_000_000)),
            Box::new(Slower(0, 300_000_000)),
        ];
        let all = measure(&mut engines, 5);
        let (one, two) = (all[0].as_ref().unwrap(), all[1].as_ref().unwrap());
        assert_eq!(one.rounds, [2e3, 3e3, 4e3, 5e3, 6e3]);
        assert_eq!((one.median_us(), one.min_us), (4e3, 2e3));
        assert_eq!((one.ratio(two), two.ratio(one)), (0.5, 2.0));
        assert_eq!(all[2], Err("too slow".into()));
    }
}
