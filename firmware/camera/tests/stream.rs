//! Streams through the whole loop: as they are, and with an interrupt that is faster than the program.

use std::cell::RefCell;
use std::convert::Infallible;

use mixel_camera::{
    Application, Chunk, Decode, EventSource, Exchange, Listen, Producer, Report, Stored, event_memory,
    event_memory_len,
};
use mixel_core::event_session::Answer;
use mixel_core::events::encode::{Encoder, Evt2Encoder, Record5Encoder};
use mixel_core::events::evt2::Evt2;
use mixel_core::events::histogram::{HistogramConfig, log1p_table};
use mixel_core::events::patch::Grid;
use mixel_core::events::record5::Record5;
use mixel_core::events::{Event, Gap, GapCause, Geometry};
use mixel_core::kernels::OpKind;
use mixel_core::pack::Layout;
use mixel_core::plan::format::{NO_NAME, Section};
use mixel_core::plan::write::{MemorySizes, Params, WriteError, Writer};
use mixel_core::plan::{DType, Direction, EventFrontEnd, FrontEnd, Place, Tensor};
use mixel_core::profile::Clock;
use mixel_core::{All, EventSession, Plan, Session};

const SENSOR: Geometry = Geometry::new(34, 34);
const GRID: Grid = Grid { left: -1, top: -1, shift: 0, patch: 6, columns: 6, rows: 6 };
const TOKENS: usize = 16;
const CONFIG: HistogramConfig =
    HistogramConfig { geometry: SENSOR, grid: GRID, bins: 2, least_pixels: 2, max_tokens: TOKENS as u16 };
const WINDOW_US: u32 = 10_000;

#[repr(align(16))]
struct Aligned<const N: usize>([u8; N]);

/// A plan whose network hands the tokens through.
fn plan() -> Box<Aligned<8192>> {
    let dim = CONFIG.token_dim();
    let mut memory = vec![0; 1024 * Section::COUNT];
    let mut writer = Writer::new(&mut memory, [1024; Section::COUNT]);
    let mut write = || -> Result<_, WriteError> {
        let ragged = |dtype, inner: usize, offset: usize| Tensor {
            dtype,
            place: Place::Arena,
            dynamic: 0b0100,
            rank: 2,
            dims: [1, 1, TOKENS as u32, inner as u32],
            offset: offset as u32,
            scale: 1.0,
            zero_point: 0,
        };
        let table: Vec<u8> = log1p_table(32).iter().map(|&value| value as u8).collect();
        let values = writer.data(&table)?;
        let identity: Vec<u8> = (i8::MIN..=i8::MAX).map(|x| x as u8).collect();
        let identity = writer.data(&identity)?;
        let tokens = writer.tensor(&ragged(DType::I8, dim, 0))?;
        let patches = writer.tensor(&ragged(DType::U16, 1, 2 * TOKENS * dim))?;
        let output = writer.tensor(&ragged(DType::I8, dim, TOKENS * dim))?;
        let params = Params::new().constant(identity, 256);
        writer.operator(OpKind::Lut, &[tokens], &[output], params.bytes())?;
        writer.port(tokens, Direction::Input, NO_NAME)?;
        writer.port(patches, Direction::Input, NO_NAME)?;
        writer.port(output, Direction::Output, NO_NAME)?;
        let events = EventFrontEnd { histogram: CONFIG, window_us: WINDOW_US, table: values };
        writer.front_end(&FrontEnd::Events(events), [])?;
        let bytes = 2 * TOKENS * dim + 2 * TOKENS;
        let sizes = MemorySizes { tensors: bytes as u32, scratch: 0, state: 0, max_rows: TOKENS as u32 };
        let mut plan = Box::new(Aligned([0; 8192]));
        writer.finish(Layout::Generic, sizes, &mut plan.0)?;
        Ok(plan)
    };
    write().unwrap()
}

/// Some dots that wander over the sensor, three events a dot and millisecond, for `ms` milliseconds.
fn wandering(ms: u32) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut dots: Vec<(u16, u16)> = (0..4).map(|_| (random.u16(4..30), random.u16(4..30))).collect();
    let mut events = Vec::new();
    for t in 0..ms {
        let mut times: Vec<u32> = (0..12).map(|_| 1000 * t + random.u32(..1000)).collect();
        times.sort_unstable();
        for (index, &time) in times.iter().enumerate() {
            let (x, y) = &mut dots[index % 4];
            (*x, *y) = ((*x + random.u16(..3)).clamp(1, 34) - 1, (*y + random.u16(..3)).clamp(1, 34) - 1);
            events.push(Event::new(time, *x, *y, random.bool()));
        }
    }
    events
}

/// The bytes of `events`, and where each begins.
fn encode(mut encoder: impl Encoder, events: &[Event]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for &event in events {
        encoder.event(event, &mut |more| bytes.extend_from_slice(more)).unwrap();
        places.push(bytes.len());
    }
    encoder.finish(&mut |more| bytes.extend_from_slice(more));
    (bytes, places)
}

/// A clock of one tick a reading, which lets something else run first.
struct Ticks<F> {
    now: u32,
    meanwhile: F,
}

impl<F: FnMut(u32)> Clock for Ticks<F> {
    fn now(&mut self) -> u32 {
        self.now += 1;
        (self.meanwhile)(self.now);
        self.now
    }
}

/// End, tokens and output of every window; every gap.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    answers: Vec<(u32, u32, usize, Vec<u8>)>,
    gaps: Vec<Gap>,
}

impl Listen<All> for Heard {
    fn answer(&mut self, answer: &Answer<'_, '_, '_, All>) {
        let (window, output) = (answer.window, answer.session.output(0));
        self.answers.push((window.end, window.events, answer.emitted.tokens, output.to_vec()));
    }

    fn gap(&mut self, gap: &Gap) {
        self.gaps.push(*gap);
    }
}

/// Notes where in the stream something was lost: place and bytes.
struct Noted<S> {
    source: S,
    place: usize,
    losses: Vec<(usize, usize)>,
}

impl<S> Noted<S> {
    fn new(source: S) -> Self {
        Self { source, place: 0, losses: Vec::new() }
    }
}

impl<S: EventSource<Error = Infallible>> EventSource for Noted<S> {
    type Error = Infallible;

    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, Infallible> {
        let chunk = self.source.next_chunk()?;
        if let Some(chunk) = chunk {
            if let Some(lost) = chunk.lost {
                self.losses.push((self.place, lost as usize));
                self.place += lost as usize;
            }
            self.place += chunk.bytes.len();
        }
        Ok(chunk)
    }
}

/// Runs `source` to its end.
fn run<S: EventSource<Error = Infallible>>(
    source: &mut S,
    decoder: impl Decode,
    clock: &mut impl Clock,
) -> (Heard, Report) {
    let plan = plan();
    let plan = Plan::new_checked(&plan.0).unwrap();
    let mut arena = Box::new(Aligned([0; 8192]));
    let mut memory = vec![0u32; 4096];
    let memory = event_memory(&CONFIG, bytemuck::cast_slice_mut(&mut memory)).unwrap();
    let session = Session::<All>::new(plan, &mut arena.0).unwrap();
    let mut session = EventSession::new(session, memory).unwrap();
    let mut heard = Heard::default();
    let mut application = Application::new(decoder, clock);
    application.run(&mut session, source, &mut heard).unwrap();
    let report = application.report(&session);
    (heard, report)
}

/// Runs the stream through an [`Exchange`] of three buffers of `len` bytes. An interrupt delivers the next buffer while the
/// program is idle, and `rate` times in a hundred readings of the clock, which it takes all the time while it works.
fn overrun(
    stream: &[u8],
    len: usize,
    rate: u32,
    decoder: impl Decode,
) -> (Heard, Report, Vec<(usize, usize)>) {
    type Buffer = Box<[u8]>;
    let exchange: Exchange<Buffer, 3> = Exchange::new();
    let line: RefCell<Option<(Producer<'_, Buffer, 3>, std::slice::Chunks<'_, u8>)>> = RefCell::new(None);
    let interrupt = |now: u32| {
        let mut line = line.borrow_mut();
        let (producer, chunks) = line.as_mut().unwrap();
        match chunks.next() {
            Some(bytes) => {
                producer.buffer()[..bytes.len()].copy_from_slice(bytes);
                producer.swap(bytes.len(), now);
            }
            None => producer.end(),
        }
    };
    let buffer = || vec![0; len].into();
    let (producer, consumer) = exchange.split(buffer(), [buffer(), buffer()], || interrupt(0));
    *line.borrow_mut() = Some((producer, stream.chunks(len)));
    let mut random = fastrand::Rng::with_seed(rate.into());
    let meanwhile = |now| {
        if random.u32(..100) < rate {
            interrupt(now);
        }
    };
    let mut source = Noted::new(consumer);
    let (heard, report) = run(&mut source, decoder, &mut Ticks { now: 0, meanwhile });
    (heard, report, source.losses)
}

#[test]
fn a_source_that_is_not_too_fast_loses_nothing() {
    let (stream, _) = encode(Evt2Encoder::default(), &wandering(500));
    let mut clock = Ticks { now: 0, meanwhile: |_| () };
    let (whole, _) = run(&mut Stored::new(&stream, stream.len()), Evt2::new(SENSOR), &mut clock);
    assert!(whole.answers.len() > 40 && whole.answers.iter().any(|(_, _, tokens, _)| *tokens > 2));
    for chunk in [1, 7, 40, 1000] {
        let (parts, report) = run(&mut Stored::new(&stream, chunk), Evt2::new(SENSOR), &mut clock);
        assert_eq!(parts, whole, "chunks of {chunk}");
        assert_eq!((report.losses, report.lost_bytes, report.counts.gaps), (0, 0, 0));
        assert_eq!(report.counts.bytes, stream.len() as u64);
    }
    let (heard, report, losses) = overrun(&stream, 40, 0, Evt2::new(SENSOR));
    assert_eq!((heard, losses), (whole, vec![]));
    assert_eq!(report.chunks, stream.len().div_ceil(40) as u32);
    // 12 events a millisecond.
    assert!((11_900..12_200).contains(&report.event_rate()), "{}", report.event_rate());
}

#[test]
fn an_interrupt_that_is_too_fast_leaves_gaps_that_are_all_told() {
    let events = wandering(2000);
    let (stream, places) = encode(Evt2Encoder::default(), &events);
    for rate in [2, 10, 40, 90] {
        let (heard, report, losses) = overrun(&stream, 400, rate, Evt2::new(SENSOR));
        let lost: usize = losses.iter().map(|(_, lost)| lost).sum();
        println!(
            "rate {rate}: {} losses, {lost} of {} bytes, {} gaps",
            losses.len(),
            stream.len(),
            heard.gaps.len()
        );
        assert!(lost > 0);
        assert_eq!((report.losses, report.lost_bytes), (losses.len() as u32, lost as u64));
        assert_eq!(
            report.counts.bytes + report.lost_bytes,
            stream.len() as u64,
            "every byte is accounted for"
        );
        assert_eq!(report.counts.gaps as usize, heard.gaps.len());
        // A loss at the very end has no time after it; a buffer has some time words, so every other one has.
        let inside: Vec<_> = losses.iter().filter(|(place, lost)| place + lost < stream.len()).collect();
        assert_eq!(heard.gaps.len(), inside.len());
        for (gap, (place, lost)) in heard.gaps.iter().zip(inside) {
            assert_eq!((gap.cause, gap.lost_bytes as usize), (GapCause::Lost, *lost));
            assert!(gap.before <= gap.after);
            let inside =
                places.iter().zip(&events).filter(|(at, _)| (*place + 1..=place + lost).contains(*at));
            for (_, event) in inside {
                // The decoder knows the time after a gap to the 64 us of a time word.
                assert!(gap.before <= event.t && event.t <= gap.after + 63, "{event:?} is not in {gap:?}");
            }
        }
        // Buffers hold whole words, so what was not lost is decoded, but for events before the next time word.
        let kept = places
            .iter()
            .filter(|at| !losses.iter().any(|(place, lost)| (place + 1..=place + lost).contains(at)));
        let decoded = report.counts.events + u64::from(report.counts.before_sync);
        assert_eq!(decoded, kept.count() as u64);
        assert_eq!(report.counts.off_sensor, 0);
        assert_eq!(report.counts.violations(), u64::from(report.counts.gaps));
        assert!(report.worst_age > 0);
        let events_in_windows: u32 = heard.answers.iter().map(|(_, events, ..)| events).sum();
        assert_eq!(u64::from(events_in_windows), report.counts.events);
    }
}

#[test]
fn formats_without_time_words_go_on_behind_a_gap_when_buffers_hold_whole_records() {
    let (stream, _) = encode(Record5Encoder::default(), &wandering(1000));
    let (heard, report, losses) = overrun(&stream, 500, 20, Record5::bin(SENSOR));
    assert!(!losses.is_empty() && heard.gaps.len() >= losses.len() - 1);
    assert_eq!(report.counts.events * 5 + report.lost_bytes, stream.len() as u64);
    assert_eq!(report.counts.off_sensor, 0);
}

#[test]
fn stages_and_waiting_sum_up_to_all_of_the_time() {
    let (stream, _) = encode(Evt2Encoder::default(), &wandering(300));
    let mut clock = Ticks { now: 0, meanwhile: |_| () };
    let (_, report) = run(&mut Stored::new(&stream, 100), Evt2::new(SENSOR), &mut clock);
    let all: u64 = report.stages.iter().map(|sum| sum.total).sum::<u64>() + report.waiting.total;
    // The first reading starts the clock, and every other ends an interval of one tick.
    assert_eq!(all, u64::from(clock.now) - 1);
    let [.., network, answer] = report.stages;
    assert_eq!((network.total, answer.total), (report.seen.windows.into(), report.seen.windows.into()));
    assert!(report.stages.iter().all(|sum| sum.worst >= 1 && sum.worst <= sum.total));
}

#[test]
fn memory_that_is_too_small_says_what_it_should_be() {
    let needs = event_memory_len(&CONFIG);
    assert_eq!(needs, 4 * 102 + 2 * 36 + 36 * 144);
    let mut words = vec![0u32; needs.div_ceil(4) + 1];
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
    assert!(event_memory(&CONFIG, &mut bytes[..needs]).is_ok());
    assert_eq!(event_memory(&CONFIG, &mut bytes[..needs - 1]).unwrap_err().needs, needs);
    assert_eq!(event_memory(&CONFIG, &mut bytes[1..]).unwrap_err().needs, needs);
}
