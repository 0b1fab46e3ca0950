//! Work follows the scene: multiplications and instructions of the Event Transformer against the number of tokens, on generated streams.

mod support;

use std::path::Path;
use std::time::Duration;

use mixel::aligned::Aligned;
use mixel::compile::{CalibrationData, CompileOptions, Prepared, Target, prepare};
use mixel::device::{EventRun, board, doctor, run_events};
use mixel::events::answers;
use mixel::inspect::inspect;
use mixel::run::open;
use mixel_core::event_session::Stage;
use mixel_core::events::Event;
use mixel_core::events::encode::{Encoder, Evt2Encoder, header};
use mixel_core::events::header::Encoding;
use mixel_core::events::histogram::HistogramMemory;
use mixel_core::kernels::OpKind;
use mixel_core::plan::{Place, RawPlan, Rows};
use mixel_core::profile::Unobserved;
use mixel_core::{All, EventSession, Session};
use support::recordings::{SENSOR, written};

/// Length of a window of `evt-nmnist`.
const WINDOW_US: u32 = 50_000;

/// Its patches, and its bound on tokens.
const PATCHES: usize = 81;
const MOST: usize = 64;

/// Windows with these numbers of active patches. An active patch has 2 x 2 pixels with events in both halves of the window; a single
/// pixel, of the last patch, is there in any case and makes no patch active.
fn scene(windows: &[usize]) -> Vec<Event> {
    let mut events = Vec::new();
    for (window, &active) in (0u32..).zip(windows) {
        let start = window * WINDOW_US;
        let mut at = |t: u32, x: usize, y: usize| {
            events.push(Event::new(start + t, x as u16, y as u16, !(x + y).is_multiple_of(2)));
        };
        for half in 0..2 {
            at(25_000 * half + 1, 33, 33);
            // 37 has no factor in common with 81: every patch once, all over the picture.
            for (order, patch) in (0..active).map(|index| index * 37 % PATCHES).enumerate() {
                let (column, row) = (patch % 9, patch / 9);
                let t = 25_000 * half + 200 + 300 * order as u32;
                (0..4).for_each(|pixel| at(t, 4 * column + pixel % 2, 4 * row + pixel / 2));
            }
        }
    }
    events
}

/// The events as a recording in EVT 2.0.
fn recording(events: &[Event]) -> Vec<u8> {
    let mut text = String::new();
    header(Encoding::Evt2, SENSOR, &mut text).unwrap();
    [text.into_bytes(), encoded(events)].concat()
}

fn encoded(events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (mut encoder, mut put) = (Evt2Encoder::default(), |word: &[u8]| bytes.extend_from_slice(word));
    events.iter().for_each(|&event| encoder.event(event, &mut put).unwrap());
    bytes
}

/// Two windows of 8 active patches with `pause` windows without events between them; `ticking` if the sensor says its time every 16 us
/// all the same.
fn paused(pause: u32, ticking: bool) -> Vec<u8> {
    let mut bytes = recording(&scene(&[8]));
    if ticking {
        let times = (1..pause * WINDOW_US / 16).map(|tick| WINDOW_US + 16 * tick);
        bytes.extend(times.flat_map(|t| (0x8 << 28 | t >> 6).to_le_bytes()));
    }
    let mut again = scene(&[8]);
    again.iter_mut().for_each(|event| event.t += (1 + pause) * WINDOW_US);
    bytes.extend(encoded(&again));
    bytes
}

/// `evt-nmnist`, calibrated on generated windows.
fn model() -> Prepared {
    let folder = tempfile::tempdir().unwrap();
    let shown: Vec<Vec<u8>> =
        (1..8).map(|step| recording(&scene(&[4 * step, 9 * step, 6 * step, step]))).collect();
    let calibration =
        CalibrationData::Recordings(written(folder.path(), shown.iter().map(|bytes| &bytes[..])));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo/evt-nmnist.onnx");
    prepare(&path, &CompileOptions { calibration, ..CompileOptions::default() }).unwrap()
}

/// Multiplications of a plan's layers and matrix products with `tokens` rows present.
fn products(plan: &RawPlan<'_>, tokens: usize) -> usize {
    let rows = Rows::new(tokens, plan.max_rows());
    let operators = plan.operators().map(|operator| match operator.kind {
        OpKind::Linear => {
            let (x, y) = operator.unary().unwrap();
            x.dims_with(rows).iter().product::<usize>() * y.inner()
        }
        OpKind::Attention => {
            // Each value of queries and of outputs takes as many products as there are keys.
            let ([x, _, values], y) = operator.ternary().unwrap();
            let both = [x, y].map(|tensor| tensor.dims_with(rows).iter().product::<usize>());
            both.iter().sum::<usize>() * values.dims_with(rows)[2]
        }
        _ => 0,
    });
    operators.sum()
}

#[test]
fn multiplications_are_a_constant_and_a_share_for_each_token() {
    let compiled = model().compile(Target::Generic).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    // 16 latents of width 32, heads together as wide: 13 layers of the latents, attention of 16 rows to the extra row and to the
    // 17 rows of the latents themselves (scores and sums), and the head.
    let constant = 13 * 16 * 32 * 32 + 2 * 16 * 32 * (1 + 17) + 32 * 32 + 32 * 10;
    // A token: 64 values to 32, embedding, two layers, key and value, and a column of attention. Tokens do not look at each other:
    // nothing grows with their square.
    let token = 64 * 32 + 5 * 32 * 32 + 2 * 16 * 32;
    for tokens in 0..=MOST {
        assert_eq!(products(&plan, tokens), constant + token * tokens, "{tokens} tokens");
    }
    assert_eq!(inspect(&plan).macs as usize, constant + token * MOST, "as the kernels count them");
    println!("evt-nmnist: {constant} + {token} T + 0 T^2 multiplications a window");
}

#[test]
fn windows_of_none_one_most_and_more_tokens() {
    let compiled = model().compile(Target::Generic).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    let (all, seen) = answers(plan, [&scene(&[0, 1, MOST, MOST + 1, PATCHES, 0])[..]]).unwrap();
    let tokens: Vec<(usize, usize)> =
        all.iter().map(|answer| (answer.emitted.tokens, answer.emitted.dropped_tokens)).collect();
    assert_eq!(tokens, [(0, 0), (1, 0), (MOST, 0), (MOST, 1), (MOST, PATCHES - MOST), (0, 0)]);
    assert_eq!((seen.windows, seen.tokens, seen.dropped_tokens), (6, 1 + 3 * MOST as u64, 18));

    // The patch that is left out is the one with the fewest pixels: without it the answer is the same.
    let full = scene(&[MOST]);
    let mut faint = full.clone();
    let (column, row) = (MOST * 37 % PATCHES % 9, MOST * 37 % PATCHES / 9);
    for pixel in 0..2 {
        faint.push(Event::new(49_000, (4 * column + pixel) as u16, (4 * row) as u16, true));
    }
    let (full, faint) = (answers(plan, [&full[..]]).unwrap().0, answers(plan, [&faint[..]]).unwrap().0);
    assert_eq!((faint[0].emitted.tokens, faint[0].emitted.dropped_tokens), (MOST, 1));
    assert_eq!(faint[0].outputs, full[0].outputs);
}

#[test]
fn a_reset_gives_the_first_latents_back() {
    let compiled = model().compile(Target::Generic).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    let kept = |arena: &[u8]| -> Vec<Vec<u8>> {
        let states = plan.states().map(|state| plan.tensor(state.tensor).unwrap());
        let region = &arena[plan.tensor_bytes() + plan.scratch_bytes()..];
        states.map(|state| region[state.offset as usize..][..state.bytes()].to_vec()).collect()
    };
    let first: Vec<Vec<u8>> = plan
        .states()
        .map(|state| {
            let initial = plan.tensor(state.initial).unwrap();
            assert_eq!(initial.place, Place::Data);
            let data = plan.section(mixel_core::plan::format::Section::Data);
            data[initial.offset as usize..][..initial.bytes()].to_vec()
        })
        .collect();
    assert_eq!(first.len(), 1, "the latents");
    // What is in the arena after some windows, and after as many and a reset.
    let after = |reset: bool| {
        let mut arena = Aligned::zeroed(plan.arena_bytes());
        let (mut lookup, mut patches, mut counts) = ([0; 102], [0; PATCHES], [0; PATCHES * 64]);
        let memory = HistogramMemory { lookup: &mut lookup, patches: &mut patches, counts: &mut counts };
        let session = Session::<All>::new(plan, &mut arena).unwrap();
        let mut session = EventSession::new(session, memory).unwrap();
        session.feed(&scene(&[5, 20, 64, 0, 3]), &mut Unobserved, &mut |_| {});
        assert_eq!(session.seen().windows, 4);
        if reset {
            session.reset();
            assert_eq!(session.seen().windows, 0);
        }
        kept(&arena)
    };
    assert_ne!(after(false), first);
    assert_eq!(after(true), first);
}

/// Instructions of decoding, counting, tokens and the network, of all windows.
fn stages(run: &EventRun) -> [u64; 4] {
    [Stage::Decode, Stage::Accumulate, Stage::Tokens, Stage::Network].map(|stage| run.stages[stage as usize])
}

#[test]
fn instructions_follow_the_tokens() {
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    const TOKENS: [usize; 10] = [0, 1, 2, 4, 8, 16, 32, MOST, MOST + 1, PATCHES];
    const WINDOWS: usize = 4;
    const PAUSE: u32 = 20;
    let prepared = model();
    let mut recordings: Vec<Vec<u8>> =
        TOKENS.iter().map(|&tokens| recording(&scene(&[tokens; WINDOWS]))).collect();
    recordings.extend([paused(0, false), paused(PAUSE, false), paused(PAUSE, true)]);
    for (name, target) in [("mps2-an386", Target::CortexM4), ("mps3-an547", Target::CortexM55)] {
        let compiled = prepared.compile(target).unwrap();
        let plan = open(&compiled.plan, "").unwrap();
        let limit = Duration::from_secs(600);
        let runs = run_events(board(name).unwrap(), &compiled.plan, &recordings, limit).unwrap();
        println!("{name}: instructions a window");
        println!(
            "| active patches | tokens | events | decode | accumulate | tokens | network | all but T = 0 | to half |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        let mut before = None;
        let nothing: u64 = stages(&runs[0]).iter().sum();
        for (active, run) in TOKENS.iter().zip(&runs) {
            assert_eq!(
                run.answers,
                answers(plan, [&scene(&[*active; WINDOWS])[..]]).unwrap().0,
                "{name}: {active}"
            );
            let tokens = run.answers[0].emitted.tokens;
            let own = stages(run).iter().sum::<u64>() - nothing;
            let ratio =
                before.filter(|&(half, _)| 2 * half == tokens).map(|(_, half)| own as f64 / half as f64);
            let [decode, accumulate, emit, network] = stages(run).map(|sum| sum / WINDOWS as u64);
            println!(
                "| {active} | {tokens} | {} | {decode} | {accumulate} | {emit} | {network} | {} | {} |",
                run.events as usize / WINDOWS,
                own / WINDOWS as u64,
                ratio.map_or("".into(), |ratio| format!("{ratio:.2}"))
            );
            assert!(ratio.is_none_or(|ratio| ratio <= 2.1), "{name}: {active}: {ratio:?}");
            before = (tokens > 0).then_some((tokens, own));
        }
        let [none, silent, ticking] = &runs[TOKENS.len()..] else { panic!("{} recordings", runs.len()) };
        for run in [silent, ticking] {
            assert_eq!((run.seen().windows, run.seen().skipped), (2, PAUSE), "{name}");
        }
        let windows = u64::from(PAUSE);
        let [none, silent, ticking] = [none, silent, ticking].map(|run| stages(run).iter().sum::<u64>());
        let (silent, ticking) = (silent.saturating_sub(none) / windows, (ticking - none) / windows);
        println!(
            "{name}: a window without an event: {silent} instructions, {ticking} with the sensor's time words"
        );
        assert!(silent <= 10, "{name}: {silent}");
    }
}
