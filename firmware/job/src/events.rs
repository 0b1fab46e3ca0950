//! Recordings: decoded in chunks as a sensor delivers them, an answer a window, time by stage.

use embedded_io::Write;
use mixel_camera::{Application, Listen, Report, Stored, event_memory};
use mixel_core::event_session::{Answer, Stage};
use mixel_core::events::any::AnyDecoder;
use mixel_core::events::{Gap, header};
use mixel_core::plan::FrontEnd;
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
    let has = memory.len();
    let memory =
        event_memory(&config, memory).map_err(|too_small| Refused::Memory { needs: too_small.needs, has })?;
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
        let decoder = encoding
            .and_then(|encoding| AnyDecoder::new(encoding, bounds))
            .ok_or(Refused::Recording { sample: number })?;
        let stream = bytes.get(head.map_or(0, |head| head.len)..).unwrap_or_default();
        session.reset();
        let mut send = Send { records, sample: number, outputs, sent: Ok(()) };
        let mut application = Application::new(decoder, board);
        let Ok(()) = application.run(&mut session, &mut Stored::new(stream, CHUNK), &mut send);
        send.sent.map_err(Stop::Lost)?;
        let report = application.report(&session);
        records.stages(number, report.counts.events as u32, &stages(&report)).map_err(Stop::Lost)?;
        done = number + 1;
    }
    Ok(done)
}

/// For every stage the ticks, low word first, and how often it ended.
fn stages(report: &Report) -> [u32; 3 * Stage::ALL.len()] {
    let mut words = [0; 3 * Stage::ALL.len()];
    for (three, sum) in words.chunks_exact_mut(3).zip(report.stages) {
        three.copy_from_slice(&[sum.total as u32, (sum.total >> 32) as u32, sum.entered]);
    }
    words
}

/// Sends answers, as long as that works.
struct Send<'r, W: Write> {
    records: &'r mut Records<W>,
    sample: u32,
    outputs: usize,
    sent: Result<(), W::Error>,
}

impl<W: Write> Send<'_, W> {
    fn send(&mut self, answer: &Answer<'_, '_, '_, All>) -> Result<(), W::Error> {
        let (window, emitted) = (answer.window, answer.emitted);
        self.records.window(&Window {
            sample: self.sample,
            end: window.end,
            events: window.events,
            skipped: window.skipped,
            tokens: emitted.tokens as u32,
            dropped: emitted.dropped_tokens as u32,
            outside: emitted.outside,
        })?;
        (0..self.outputs).try_for_each(|output| {
            self.records.output(self.sample, output as u32, answer.session.output(output))
        })
    }
}

impl<W: Write> Listen<All> for Send<'_, W> {
    fn answer(&mut self, answer: &Answer<'_, '_, '_, All>) {
        if self.sent.is_ok() {
            self.sent = self.send(answer);
        }
    }

    /// A recording in memory is whole; what is wrong inside of it, the host counts itself.
    fn gap(&mut self, _gap: &Gap) {}
}
