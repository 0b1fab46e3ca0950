//! From events to answers: a plan with an event front end, the windows that it cuts and the patches that it counts.
//!
//! ```text
//! sensor bytes --Decoder--> &[Event] --EventSession--> windows -> active patches -> network -> an Answer a window
//! ```
//!
//! Everything is in sensor time, so the answers do not depend on how the stream was divided. A window without events is not
//! run at all, one without an active patch is run with no token. State goes from window to window until
//! [`EventSession::reset`].

use crate::events::Event;
use crate::events::accumulator::{Accumulator, Tallied, Tally};
use crate::events::histogram::{Histogram, HistogramMemory};
use crate::events::patch::Emitted;
use crate::events::window::Window;
use crate::kernels::OpSet;
use crate::plan::{EventFrontEnd, FrontEnd};
use crate::profile::Unobserved;
use crate::session::{Session, SessionError};

/// Part of the work on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Stage {
    /// Outside of the session: bytes become events. Or counts, where the decoder asks for a [`Tally`]: then both are
    /// here.
    Decode,
    /// Events are cut into windows and counted.
    Accumulate,
    /// Active patches become rows of the input.
    Tokens,
    /// The network runs.
    Network,
    /// The caller takes the answer.
    Answer,
}

impl Stage {
    /// All stages, in the order of the work.
    pub const ALL: [Self; 5] = [Self::Decode, Self::Accumulate, Self::Tokens, Self::Network, Self::Answer];
}

/// Hears when the work goes on to another stage.
pub trait Watch {
    /// From now on it is `stage`.
    fn enter(&mut self, stage: Stage);
}

impl Watch for Unobserved {
    #[inline(always)]
    fn enter(&mut self, _stage: Stage) {}
}

/// What was seen since the last reset, and what was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Seen {
    /// Windows that were run.
    pub windows: u32,
    /// Windows without an event, which were not.
    pub skipped: u32,
    /// Tokens of all windows.
    pub tokens: u64,
    /// Active patches beyond the bound on tokens.
    pub dropped_tokens: u64,
    /// Events outside of the grid.
    pub outside: u64,
}

/// A window that has been run.
pub struct Answer<'s, 'p, 'a, O> {
    /// The window.
    pub window: Window,
    /// Its tokens and what was left out of them.
    pub emitted: Emitted,
    /// Its outputs are those of the window.
    pub session: &'s Session<'p, 'a, O>,
}

/// A session that takes events.
pub struct EventSession<'p, 'a, 'm, O> {
    session: Session<'p, 'a, O>,
    accumulator: Accumulator<'m>,
    front_end: EventFrontEnd,
    values: &'p [u8; 256],
    seen: Seen,
}

impl<'p, 'a, 'm, O: OpSet> EventSession<'p, 'a, 'm, O> {
    /// Takes a session of a plan with an event front end, and memory for the counts of a window
    /// ([`HistogramMemory`] says how much).
    ///
    /// # Errors
    /// [`SessionError::NotEvents`], [`SessionError::EventMemory`].
    pub fn new(session: Session<'p, 'a, O>, memory: HistogramMemory<'m>) -> Result<Self, SessionError> {
        let FrontEnd::Events(front_end) = session.plan().front_end() else {
            return Err(SessionError::NotEvents);
        };
        let windows = front_end.windows().ok_or(SessionError::NotEvents)?;
        let values = front_end.values(session.plan()).ok_or(SessionError::NotEvents)?;
        let histogram = Histogram::new(front_end.histogram, memory).map_err(|_| SessionError::EventMemory)?;
        let accumulator = Accumulator { windows, histogram };
        Ok(Self { session, accumulator, front_end, values, seen: Seen::default() })
    }

    /// What the plan says of its events.
    pub fn front_end(&self) -> &EventFrontEnd {
        &self.front_end
    }

    /// What was seen since the last reset.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// Takes the next events of the stream and calls `answer` for every window that ends before one of them.
    pub fn feed(
        &mut self,
        mut events: &[Event],
        watch: &mut impl Watch,
        answer: &mut impl FnMut(Answer<'_, 'p, 'a, O>),
    ) {
        watch.enter(Stage::Accumulate);
        while let Some(window) = self.accumulator.next(&mut events) {
            self.close(window, watch, answer);
            watch.enter(Stage::Accumulate);
        }
        watch.enter(Stage::Decode);
    }

    /// For [`Sink::tallies`](crate::events::Sink::tallies).
    #[inline]
    pub fn tallies(&self) -> bool {
        self.accumulator.tallies()
    }

    /// For [`Sink::tally`](crate::events::Sink::tally): a sink that feeds this session may let the decoder count by
    /// itself. No window ends by that.
    #[inline]
    pub fn tally(&mut self, t: u32) -> Option<Tally<'_>> {
        self.accumulator.tally(t)
    }

    /// For [`Sink::tallied`](crate::events::Sink::tallied).
    #[inline]
    pub fn tallied(&mut self, tallied: Tallied) {
        self.accumulator.tallied(tallied);
    }

    /// Runs the open window if sensor time, `now`, has passed its end: windows end in a quiet scene too.
    pub fn advance(
        &mut self,
        now: u32,
        watch: &mut impl Watch,
        answer: &mut impl FnMut(Answer<'_, 'p, 'a, O>),
    ) {
        if let Some(window) = self.accumulator.windows.advance(now) {
            self.close(window, watch, answer);
            watch.enter(Stage::Decode);
        }
    }

    /// Runs the open window as it is: the recording is at its end.
    pub fn finish(&mut self, watch: &mut impl Watch, answer: &mut impl FnMut(Answer<'_, 'p, 'a, O>)) {
        if let Some(window) = self.accumulator.windows.finish() {
            self.close(window, watch, answer);
            watch.enter(Stage::Decode);
        }
    }

    /// Forgets the open window, all state and the counts: the next event is the first of another stream.
    pub fn reset(&mut self) {
        self.session.reset();
        self.accumulator.histogram.clear();
        if let Some(windows) = self.front_end.windows() {
            self.accumulator.windows = windows;
        }
        self.seen = Seen::default();
    }

    fn close(
        &mut self,
        window: Window,
        watch: &mut impl Watch,
        answer: &mut impl FnMut(Answer<'_, 'p, 'a, O>),
    ) {
        watch.enter(Stage::Tokens);
        let emitted = self.session.set_tokens(&mut self.accumulator.histogram, self.values);
        watch.enter(Stage::Network);
        self.session.run();
        self.seen.windows = self.seen.windows.saturating_add(1);
        self.seen.skipped = self.seen.skipped.saturating_add(window.skipped);
        self.seen.tokens += emitted.tokens as u64;
        self.seen.dropped_tokens += emitted.dropped_tokens as u64;
        self.seen.outside += u64::from(emitted.outside);
        watch.enter(Stage::Answer);
        answer(Answer { window, emitted, session: &self.session });
    }
}
