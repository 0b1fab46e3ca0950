//! Recordings: decoded in chunks as a sensor delivers them, an answer a window, time by stage.

use embedded_io::Write;
use mixel_core::event_session::{Answer, Stage, Watch};
use mixel_core::events::any::AnyDecoder;
use mixel_core::events::histogram::HistogramMemory;
use mixel_core::events::patch::Grid;
use mixel_core::events::{Event, header};
use mixel_core::plan::FrontEnd;
use mixel_core::profile::Clock;
use mixel_core::{All, EventSession, SessionError};
use mixel_wire::{job::Job, job::Kind, record::Window};

use crate::records::Records;
use crate::{AnySession, Board, Refused, Stop};

/// Bytes that the decoder gets at once.
const CHUNK: usize = 512;

/// Runs all recordings of `job`, each from a fresh state.
pub fn work<B: Board, W: Write>(
    session: AnySession<'_, '_>,
    job: &Job<'_>,
    memory: &mut [u8],
    board: &mut B,
    records: &mut Records<W>,
) -> Result<u32, Stop<W::Error>> {
    let FrontEnd::Events(front_end) = session.plan().front_end() else {
        return Err(Refused::Session(SessionError::NotEvents).into());
    };
    let outputs = session.plan().outputs().count();
    let config = front_end.histogram;
    let (lookup, patches, counts) =
        (4 * Grid::lookup_len(config.geometry), 2 * config.grid.patches(), config.counts_len());
    let too_small = Refused::Memory { needs: lookup + patches + counts, has: memory.len() };
    let (lookup, rest) = memory.split_at_mut_checked(lookup).ok_or(too_small)?;
    let (patches, rest) = rest.split_at_mut_checked(patches).ok_or(too_small)?;
    let memory = HistogramMemory {
        lookup: bytemuck::try_cast_slice_mut(lookup).map_err(|_| too_small)?,
        patches: bytemuck::try_cast_slice_mut(patches).map_err(|_| too_small)?,
        counts: rest,
    };
    let mut session = EventSession::new(session, memory).map_err(Refused::Session)?;
    let mut done = 0;
    for (number, sample) in (0u32..).zip(job.samples()) {
        if sample.kind != Kind::Events {
            return Err(Refused::Mixed { sample: number }.into());
        }
        let bytes = sample.parts().next().unwrap_or_default();
        let head = header::detect(bytes, bytes.len() as u64).ok();
        let bounds = head.and_then(|head| head.geometry).unwrap_or(config.geometry);
        let encoding = head.and_then(|head| head.encoding);
        let mut decoder = encoding
            .and_then(|encoding| AnyDecoder::new(encoding, bounds))
            .ok_or(Refused::Recording { sample: number })?;
        let stream = bytes.get(head.map_or(0, |head| head.len)..).unwrap_or_default();
        session.reset();
        let mut sent = Ok(());
        let mut send = |answer: Answer<'_, '_, '_, All>| {
            if sent.is_ok() {
                sent = send(records, number, outputs, &answer);
            }
        };
        let mut times = Times::new(board);
        for chunk in stream.chunks(CHUNK) {
            decoder.decode(chunk, &mut |events: &[Event]| session.feed(events, &mut times, &mut send));
        }
        session.finish(&mut times, &mut send);
        let stages = times.finish();
        sent.map_err(Stop::Lost)?;
        records.stages(number, decoder.counts().events as u32, &stages).map_err(Stop::Lost)?;
        done = number + 1;
    }
    Ok(done)
}

fn send<W: Write>(
    records: &mut Records<W>,
    sample: u32,
    outputs: usize,
    answer: &Answer<'_, '_, '_, All>,
) -> Result<(), W::Error> {
    let (window, emitted) = (answer.window, answer.emitted);
    records.window(&Window {
        sample,
        end: window.end,
        events: window.events,
        skipped: window.skipped,
        tokens: emitted.tokens as u32,
        dropped: emitted.dropped_tokens as u32,
        outside: emitted.outside,
    })?;
    (0..outputs).try_for_each(|output| records.output(sample, output as u32, answer.session.output(output)))
}

/// Ticks of every stage.
struct Times<'b, B> {
    board: &'b mut B,
    stage: Stage,
    since: u32,
    ticks: [u64; Stage::ALL.len()],
    entered: [u32; Stage::ALL.len()],
}

impl<'b, B: Clock> Times<'b, B> {
    fn new(board: &'b mut B) -> Self {
        let since = board.now();
        let (ticks, entered) = Default::default();
        Self { board, stage: Stage::Decode, since, ticks, entered }
    }

    /// For every stage the ticks, low word first, and how often it was entered.
    fn finish(mut self) -> [u32; 3 * Stage::ALL.len()] {
        self.enter(Stage::Decode);
        let mut words = [0; 3 * Stage::ALL.len()];
        for ((three, ticks), entered) in words.chunks_exact_mut(3).zip(self.ticks).zip(self.entered) {
            three.copy_from_slice(&[ticks as u32, (ticks >> 32) as u32, entered]);
        }
        words
    }
}

impl<B: Clock> Watch for Times<'_, B> {
    #[inline(always)]
    fn enter(&mut self, stage: Stage) {
        let now = self.board.now();
        let at = self.stage as usize;
        if let (Some(ticks), Some(entered)) = (self.ticks.get_mut(at), self.entered.get_mut(at)) {
            *ticks += u64::from(now.wrapping_sub(self.since));
            *entered += 1;
        }
        (self.stage, self.since) = (stage, now);
    }
}
