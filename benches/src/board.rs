//! Instructions on emulated boards.

use std::collections::BTreeMap;
use std::time::Duration;

use mixel::compile::Target;
use mixel::device::{self, Board, Options, Runner, Sample, boards};
use mixel::validate::target_of;

/// A board with its runner built.
pub struct Counter {
    board: &'static Board,
    runner: Runner<'static>,
    target: Target,
}

/// What a run takes on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Instructions of the whole run.
    pub total: u64,
    /// Instructions of its operators.
    pub operators: u64,
    /// Bytes of stack.
    pub stack_bytes: u32,
    /// Bytes of the arena.
    pub arena_bytes: u32,
}

/// All emulated boards, or those whose core or name is among `only`; for each that is lacking its name and the reason.
pub fn counters(only: &[String]) -> (Vec<Counter>, Vec<(String, String)>) {
    let (mut ready, mut lacking) = (Vec::new(), Vec::new());
    let asked = |board: &Board| only.is_empty() || only.iter().any(|name| name == board.name);
    for board in boards().iter().filter(|board| board.is_emulated() && asked(board)) {
        let runner =
            device::doctor::checks().into_iter().find(|check| !check.optional && !check.ok()).map_or_else(
                || Runner::build(board).map_err(|error| error.to_string()),
                |lack| Err(format!("{}: {}", lack.name, lack.found.err().unwrap_or_default())),
            );
        match runner.and_then(|runner| Ok((runner, target_of(board).map_err(|error| error.to_string())?))) {
            Ok((runner, target)) => ready.push(Counter { board, runner, target }),
            Err(reason) => lacking.push((board.name.to_owned(), reason)),
        }
    }
    (ready, lacking)
}

impl Counter {
    /// The board's name.
    pub fn name(&self) -> &'static str {
        self.board.name
    }

    /// Its core, as in `cortex-m4`: the key of figures.
    pub fn core(&self) -> String {
        self.board.core.to_lowercase()
    }

    /// The target whose plans it runs fastest.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Counts one run of `plan`.
    ///
    /// # Errors
    /// Those of [`Runner::run`].
    pub fn count(&self, plan: &[u8], sample: &Sample) -> mixel::Result<Count> {
        let options = Options { runs: 1, timeout: Duration::from_secs(300), ..Options::default() };
        let ran = self.runner.run(plan, std::slice::from_ref(sample), &options)?;
        let profile = ran.profile.ok_or_else(|| {
            mixel::Error::new(mixel::ErrorKind::Device, self.board.name, "the board gave no measurements")
        })?;
        Ok(Count {
            total: profile.total.median,
            operators: profile.ops.iter().map(|operator| operator.median).sum(),
            stack_bytes: profile.stack_bytes,
            arena_bytes: ran.arena_bytes,
        })
    }
}

/// Counts by core.
pub type Counts = BTreeMap<String, Count>;
