//! mixel.

use std::time::Instant;

use mixel::aligned::Aligned;
use mixel::device::Sample;
use mixel::run::{feed, open, session};
use mixel_core::arch::Backend;

use super::Engine;

/// A plan on one backend. Filling the inputs is not timed, as inputs of the others stay where they are.
pub struct Ours {
    name: String,
    backend: Backend,
    plan: Aligned,
    sample: Sample,
}

impl Ours {
    /// The engine called `name` on a `backend` that this machine has.
    pub fn new(name: String, backend: Backend, plan: &[u8], sample: Sample) -> Self {
        Self { name, backend, plan: Aligned::from(plan), sample }
    }
}

impl Engine for Ours {
    fn name(&self) -> &str {
        &self.name
    }

    fn time(&mut self, runs: u32) -> Result<Vec<u64>, String> {
        let plan = open(&self.plan, &self.name).map_err(|error| error.to_string())?;
        let mut arena = Aligned::zeroed(plan.arena_bytes());
        let mut session = session(plan, &mut arena).map_err(|error| error.to_string())?;
        session.set_backend(self.backend).ok_or("the backend is gone")?;
        let run = |_| {
            feed(&mut session, 0, &self.sample).map_err(|error| error.to_string())?;
            let start = Instant::now();
            session.run();
            Ok(start.elapsed().as_nanos() as u64)
        };
        (0..runs).map(run).collect()
    }
}
