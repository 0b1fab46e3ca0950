//! The loop: chunks to events, events to windows, windows to answers.

use mixel_core::EventSession;
use mixel_core::event_session::{Answer, Stage, Watch};
use mixel_core::events::accumulator::{Tallied, Tally};
use mixel_core::events::{Event, Gap, Sink};
use mixel_core::kernels::OpSet;
use mixel_core::profile::Clock;

use crate::times::Times;
use crate::{Chunk, Decode, EventSource, Report};

/// Hears what comes of the stream.
pub trait Listen<O> {
    /// A window was run.
    fn answer(&mut self, answer: &Answer<'_, '_, '_, O>);

    /// The stream is not continuous here.
    fn gap(&mut self, gap: &Gap);
}

/// What stands between a source and a session, for one stream.
///
/// A gap does not end anything: the window that is open goes on in the sensor's time with what there is, and the plan keeps
/// its states. A program that wants otherwise resets the session when it hears of the gap.
pub struct Application<'c, D, C> {
    decoder: D,
    times: Times<'c, C>,
    chunks: u32,
    losses: u32,
    lost_bytes: u64,
    /// Time of the first event, once it is known in full.
    first: Option<u64>,
    worst_age: u32,
}

/// Takes what the decoder finds.
struct Path<'x, S, W, L> {
    session: &'x mut S,
    times: &'x mut W,
    listener: &'x mut L,
    /// Time of the first event of the stream.
    first: Option<u32>,
}

impl<O: OpSet, W: Watch, L: Listen<O>> Sink for Path<'_, EventSession<'_, '_, '_, O>, W, L> {
    fn events(&mut self, events: &[Event]) {
        self.first = self.first.or_else(|| events.first().map(|event| event.t));
        self.session.feed(events, self.times, &mut |answer| self.listener.answer(&answer));
    }

    fn tallies(&self) -> bool {
        self.session.tallies()
    }

    fn tally(&mut self, t: u32) -> Option<Tally<'_>> {
        // The first one is to be seen.
        self.first.and_then(|_| self.session.tally(t))
    }

    fn tallied(&mut self, tallied: Tallied) {
        self.session.tallied(tallied);
    }

    fn gap(&mut self, gap: Gap) {
        self.listener.gap(&gap);
    }
}

impl<'c, D: Decode, C: Clock> Application<'c, D, C> {
    /// Decodes with `decoder` and measures with `clock`, whose readings from one stage to the next are less than a round apart.
    pub fn new(decoder: D, clock: &'c mut C) -> Self {
        let times = Times::new(clock);
        Self { decoder, times, chunks: 0, losses: 0, lost_bytes: 0, first: None, worst_age: 0 }
    }

    /// Waits for the next chunk of `source` and does all that it brings; false at the end of the stream.
    ///
    /// Windows end when the decoder's time has passed their end, in a quiet scene too.
    ///
    /// # Errors
    /// Those of the source.
    pub fn step<S: EventSource, O: OpSet>(
        &mut self,
        session: &mut EventSession<'_, '_, '_, O>,
        source: &mut S,
        listener: &mut impl Listen<O>,
    ) -> Result<bool, S::Error> {
        self.times.wait();
        let chunk = source.next_chunk()?;
        self.times.enter(Stage::Decode);
        let Some(Chunk { bytes, lost, filled }) = chunk else { return Ok(false) };
        self.chunks = self.chunks.saturating_add(1);
        if let Some(lost) = lost {
            self.losses = self.losses.saturating_add(1);
            self.lost_bytes += u64::from(lost);
            self.decoder.resync(lost);
        }
        let first = self.first.map(|first| first as u32);
        let mut path = Path { session, times: &mut self.times, listener, first };
        self.decoder.decode(bytes, &mut path);
        let first = path.first;
        if let Some(now) = self.decoder.now() {
            self.first =
                self.first.or_else(|| Some(now.saturating_sub(u64::from((now as u32).wrapping_sub(first?)))));
            session.advance(now as u32, &mut self.times, &mut |answer| listener.answer(&answer));
        }
        if let Some(filled) = filled {
            self.worst_age = self.worst_age.max(self.times.since(filled));
        }
        Ok(true)
    }

    /// Runs the window that is open at the end of the stream.
    pub fn finish<O: OpSet>(
        &mut self,
        session: &mut EventSession<'_, '_, '_, O>,
        listener: &mut impl Listen<O>,
    ) {
        session.finish(&mut self.times, &mut |answer| listener.answer(&answer));
        self.times.wait();
    }

    /// Steps to the end of `source`, then finishes.
    ///
    /// # Errors
    /// Those of the source.
    pub fn run<S: EventSource, O: OpSet>(
        &mut self,
        session: &mut EventSession<'_, '_, '_, O>,
        source: &mut S,
        listener: &mut impl Listen<O>,
    ) -> Result<(), S::Error> {
        while self.step(session, source, listener)? {}
        self.finish(session, listener);
        Ok(())
    }

    /// What is to be told so far.
    pub fn report<O: OpSet>(&self, session: &EventSession<'_, '_, '_, O>) -> Report {
        let (stages, waiting) = self.times.sums();
        let (first, last) = (self.first.unwrap_or(0), self.decoder.now().unwrap_or(0));
        Report {
            counts: *self.decoder.counts(),
            seen: session.seen(),
            chunks: self.chunks,
            losses: self.losses,
            lost_bytes: self.lost_bytes,
            sensor_us: last.saturating_sub(first),
            stages,
            waiting,
            worst_age: self.worst_age,
        }
    }
}
