//! Windows of tokens, for the float model and through a plan.

use mixel_core::event_session::{Answer, Seen};
use mixel_core::events::Event;
use mixel_core::events::histogram::{Histogram, HistogramConfig, HistogramMemory};
use mixel_core::events::patch::{Emitted, Grid};
use mixel_core::events::window::{self, Cut, Step, Windows};
use mixel_core::plan::{FrontEnd, Plan};
use mixel_core::profile::Unobserved;
use mixel_core::{All, EventSession, Session};

use crate::aligned::Aligned;
use crate::arrays::{Array, ArrayData};
use crate::graph::EventSpec;
use crate::{Error, ErrorKind, Result};

/// The tokens of one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Patch of each token, rising.
    pub patches: Vec<u16>,
    /// Counts, `[tokens][y][x][polarity * bins + bin]`.
    pub counts: Vec<u8>,
}

impl Window {
    /// The inputs of the float model: `ln(1 + count)`, `[tokens, token_dim]`, and int64 `[tokens]`.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] only.
    pub fn arrays(&self, spec: &EventSpec) -> Result<Vec<Array>> {
        let tokens = self.counts.iter().map(|&count| f32::from(count).ln_1p()).collect();
        let patches = self.patches.iter().map(|&patch| patch.into()).collect();
        let rows = self.patches.len();
        Ok(vec![
            Array::new(&[rows, spec.histogram.token_dim()], ArrayData::F32(tokens))?,
            Array::new(&[rows], ArrayData::I64(patches))?,
        ])
    }
}

/// Memory of a histogram.
struct Memory {
    lookup: Vec<u32>,
    patches: Vec<u16>,
    counts: Vec<u8>,
}

impl Memory {
    fn new(config: &HistogramConfig) -> Self {
        Self {
            lookup: vec![0; Grid::lookup_len(config.geometry)],
            patches: vec![0; config.grid.patches()],
            counts: vec![0; config.counts_len()],
        }
    }

    fn lend(&mut self) -> HistogramMemory<'_> {
        HistogramMemory { lookup: &mut self.lookup, patches: &mut self.patches, counts: &mut self.counts }
    }
}

/// All windows of `events`, the oldest first.
///
/// # Errors
/// [`ErrorKind::Format`] when the numbers of the front end make no sense together.
pub fn windows(spec: &EventSpec, mut events: &[Event]) -> Result<Vec<Window>> {
    let broken =
        |error: &dyn std::fmt::Display| Error::new(ErrorKind::Format, "mixel.events", error.to_string());
    let mut memory = Memory::new(&spec.histogram);
    let mut histogram = Histogram::new(spec.histogram, memory.lend()).map_err(|error| broken(&error))?;
    let cut = Cut::Time { period: spec.window_us };
    let mut cutter = Windows::new(cut, spec.histogram.bins).map_err(|error| broken(&error))?;
    let mut all = Vec::new();
    let mut close = |histogram: &mut Histogram<'_>| {
        let mut window = Window::default();
        histogram.emit(|token| {
            window.patches.push(token.patch);
            window.counts.extend_from_slice(token.values);
        });
        all.push(window);
    };
    while let Some(step) = cutter.next(&mut events) {
        match step {
            Step::Events { events, bin, .. } => histogram.add(events, bin),
            Step::Close(_) => close(&mut histogram),
        }
    }
    if cutter.finish().is_some() {
        close(&mut histogram);
    }
    Ok(all)
}

/// What a plan answers to one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The window.
    pub window: window::Window,
    /// Its tokens.
    pub emitted: Emitted,
    /// Every output's little-endian bytes.
    pub outputs: Vec<Vec<u8>>,
}

/// Runs `parts`, pieces of one stream after each other, through `plan` on this machine: an answer a window.
///
/// # Errors
/// [`ErrorKind::Input`] when the plan has no event front end.
pub fn answers<'e>(
    plan: Plan<'_>,
    parts: impl IntoIterator<Item = &'e [Event]>,
) -> Result<(Vec<Answered>, Seen)> {
    let refuse = |error: mixel_core::SessionError| {
        Error::new(ErrorKind::Input, "--events", error.to_string())
            .hint("give a model whose metadata has `mixel.front_end` = `events`")
    };
    let FrontEnd::Events(front_end) = plan.front_end() else {
        return Err(refuse(mixel_core::SessionError::NotEvents));
    };
    let mut memory = Memory::new(&front_end.histogram);
    let mut arena = Aligned::zeroed(plan.arena_bytes());
    let session = Session::<All>::new(plan, &mut arena).map_err(refuse)?;
    let mut session = EventSession::new(session, memory.lend()).map_err(refuse)?;
    let outputs = plan.outputs().count();
    let mut all = Vec::new();
    let mut take = |answer: Answer<'_, '_, '_, All>| {
        let outputs = (0..outputs).map(|output| answer.session.output(output).to_vec()).collect();
        all.push(Answered { window: answer.window, emitted: answer.emitted, outputs });
    };
    for part in parts {
        session.feed(part, &mut Unobserved, &mut take);
    }
    session.finish(&mut Unobserved, &mut take);
    let seen = session.seen();
    Ok((all, seen))
}
