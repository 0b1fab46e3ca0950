//! Seeds beside each other.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};

/// Runs seeds 0 to `seeds`, `jobs` at a time; results in the order of the seeds.
///
/// A training step hardly gains from a second thread; a second seed does. Each has a pool of one thread.
///
/// # Errors
/// A thread could not be made.
pub fn run<T: Send>(
    seeds: u64,
    jobs: u64,
    run: impl Fn(u64) -> T + Sync,
) -> Result<Vec<T>, ThreadPoolBuildError> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let pools = (0..jobs.min(seeds))
        .map(|_| ThreadPoolBuilder::new().num_threads(1).build())
        .collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| {
                pool.install(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            break;
                        }
                        let result = run(seed);
                        done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((seed, result));
                    }
                });
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(seed, _)| *seed);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_are_in_the_order_of_the_seeds() {
        let squares = super::run(7, 3, |seed| {
            std::thread::sleep(std::time::Duration::from_millis(7 - seed));
            seed * seed
        });
        assert_eq!(squares.unwrap(), [0, 1, 4, 9, 16, 25, 36]);
    }
}
