//! What the fuzz targets ask of decoders, headers, windows, plans and the text front end on any bytes.
use mixel_core::events::any::AnyDecoder;
use mixel_core::events::header::{self, Encoding};
use mixel_core::events::histogram::{Histogram, HistogramConfig, HistogramMemory};
use mixel_core::events::patch::Grid;
use mixel_core::events::surface::{self, Surface, SurfaceConfig, SurfaceMemory};
use mixel_core::events::window::{Cut, Step, Windows};
use mixel_core::events::{Event, Gap, Geometry, Sink, Trigger};
use mixel_core::kernels::needs;
use mixel_core::plan::write::seal;
use mixel_core::text::TextFrontEnd;
use mixel_core::{All, Plan, Session};

#[derive(Default, PartialEq)]
struct Log {
    epoch: u32,
    events: Vec<(u64, Event)>,
    triggers: Vec<Trigger>,
    gaps: Vec<Gap>,
}

impl Sink for Log {
    fn events(&mut self, events: &[Event]) {
        self.events.extend(events.iter().map(|&e| (u64::from(self.epoch) << 32 | u64::from(e.t), e)));
    }

    fn trigger(&mut self, trigger: Trigger) {
        self.triggers.push(trigger);
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    fn epoch(&mut self, high: u32) {
        self.epoch = high;
    }
}

/// No panic, no event off the sensor, no time that falls, the same in any chunks; and a resync in between breaks none of it. The first
/// byte chooses the chunks and the geometry.
pub fn decoder(encoding: Encoding, data: &[u8]) {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let geometry = match choice {
        _ if encoding == Encoding::Edvs => Geometry::new(128, 128),
        0..64 => Geometry::ANY,
        64..128 => Geometry::new(640, 480),
        n => Geometry::new(n.into(), 100),
    };
    let new = || AnyDecoder::new(encoding, geometry).expect("formats of the core only");
    let check = |log: &Log| {
        assert!(log.events.iter().all(|(_, e)| e.x() < geometry.width && e.y() < geometry.height));
        assert!(log.events.is_sorted_by_key(|e| e.0));
    };
    let (mut whole, mut decoder) = (Log::default(), new());
    decoder.decode(bytes, &mut whole);
    check(&whole);
    assert_eq!(decoder.counts().events, whole.events.len() as u64);

    let (mut parts, mut in_parts) = (Log::default(), new());
    for chunk in bytes.chunks(usize::from(choice % 16) + 1) {
        in_parts.decode(chunk, &mut parts);
    }
    assert!(parts == whole && in_parts.counts() == decoder.counts());

    let (mut log, mut resynced) = (Log::default(), new());
    for chunk in bytes.chunks(usize::from(choice) + 1) {
        resynced.decode(chunk, &mut log);
        resynced.resync(3);
    }
    check(&log);
}

/// Headers and format detection return, whatever the bytes.
pub fn headers(data: &[u8]) {
    if let Ok(header) = header::detect(data, data.len() as u64) {
        assert!(header.len <= data.len());
    }
}

/// Windows take every event once and in order; histogram and surface keep their bounds. Eight bytes an event, after four of settings.
pub fn windows(data: &[u8]) {
    let Some((&[how, period, count, phase], bytes)) = data.split_first_chunk() else { return };
    let geometry = Geometry::new(40, 30);
    let mut t = u32::from(phase) << 24;
    let events: Vec<Event> = bytes
        .chunks_exact(8)
        .map(|b| {
            t = t.wrapping_add(u32::from_le_bytes([b[0], b[1], b[2] & 0x3F, 0]));
            Event::new(t, u16::from_le_bytes([b[4], b[5]]), u16::from_le_bytes([b[6], b[7]]), b[3] & 1 != 0)
        })
        .collect();
    let period = (u32::from(period) + 1) * 1000;
    let cut = match how % 3 {
        0 => Cut::Time { period },
        1 => Cut::Count { events: u32::from(count) + 1 },
        _ => Cut::Either { period, events: u32::from(count) + 1 },
    };
    let mut windows = Windows::new(cut, 2).expect("an even period").aligned_to(u32::from(how) << 24);
    let grid = Grid { left: -3, top: 4, shift: how / 64, patch: 5, columns: 8, rows: 6 };
    let config = HistogramConfig { geometry, grid, bins: 2, least_pixels: 2, max_tokens: 9 };
    let (mut lookup, mut patches) = (vec![0; Grid::lookup_len(geometry)], vec![0; grid.patches()]);
    let mut counts = vec![0; config.counts_len()];
    let memory = HistogramMemory { lookup: &mut lookup, patches: &mut patches, counts: &mut counts };
    let mut histogram = Histogram::new(config, memory).expect("enough memory");
    let stamps = SurfaceConfig {
        geometry,
        grid,
        stamps: 3,
        tick: period / 1000 * 125,
        window_ticks: 8,
        merge_ticks: if how & 8 != 0 { 4 } else { 0 },
        slack: 0,
        least_pixels: 1,
        max_tokens: 7,
    };
    let (mut lookup, mut patches) =
        (vec![0; Grid::lookup_len(geometry)], vec![surface::Patch::EMPTY; grid.patches()]);
    let mut values = vec![0; stamps.values_len()];
    let memory = SurfaceMemory { lookup: &mut lookup, patches: &mut patches, values: &mut values };
    let mut surface = Surface::new(stamps, memory).expect("enough memory");

    let mut taken = Vec::new();
    for mut slice in events.chunks(usize::from(how) + 1) {
        while let Some(step) = windows.next(&mut slice) {
            match step {
                Step::Events { events, bin, end } => {
                    taken.extend_from_slice(events);
                    histogram.add(events, bin);
                    if matches!(cut, Cut::Time { .. }) {
                        surface.add(events, end);
                    }
                }
                Step::Close(window) => {
                    assert!(window.events > 0);
                    assert!(histogram.emit(|token| assert!(token.index < 9)).tokens <= 9);
                    assert!(surface.emit(window.end, |token| assert!(token.index < 7)).tokens <= 7);
                }
            }
        }
    }
    assert!(taken == events);
}

/// Most work of a plan that is run, in multiply-accumulates and bytes of its arena.
const MOST: u64 = 1 << 20;
/// What the memory around an arena holds.
const GUARD: u8 = 0x5A;

/// A plan of any bytes, its checksum made right, is refused, or runs without touching memory around its arena. Whether it ran.
pub fn plan(data: &[u8]) -> bool {
    let mut memory = vec![0; data.len() + 64];
    let start = memory.as_ptr().align_offset(64);
    let bytes = &mut memory[start..][..data.len()];
    bytes.copy_from_slice(data);
    seal(bytes);
    let Ok(plan) = Plan::<All>::new_checked(bytes) else { return false };
    let operators = (0..plan.operator_count()).filter_map(|index| plan.operator(index));
    let macs =
        operators.filter_map(|operator| Some(needs(&operator).ok()?.macs)).fold(0, u64::saturating_add);
    let arena_bytes = plan.arena_bytes();
    if macs > MOST || arena_bytes as u64 > MOST {
        return false;
    }
    let mut memory = vec![GUARD; arena_bytes + 128];
    let start = 32 + memory[32..].as_ptr().align_offset(64);
    let mut session = Session::new(plan, &mut memory[start..][..arena_bytes])
        .expect("an arena of the size that it asks for");
    for rows in [plan.max_rows(), 0] {
        session.set_rows(rows).expect("no more than the bound");
        for index in 0..plan.inputs().count() {
            session.input(index).iter_mut().zip(data).for_each(|(input, byte)| *input = *byte);
        }
        session.run();
    }
    let around = memory[..start].iter().chain(&memory[start + arena_bytes..]);
    assert!(around.into_iter().all(|&byte| byte == GUARD));
    true
}

/// Any bytes are words, as many as the length at most, with bins below their number. Four bytes of settings are in front.
pub fn text(data: &[u8]) {
    let Some((&[n, m, window, length], bytes)) = data.split_first_chunk() else { return };
    let Ok(front_end) = TextFrontEnd::new(n.into(), u16::from(m) << 3, window.into(), length.into()) else {
        return;
    };
    let mut bins = vec![0; front_end.bins_len()];
    let words = front_end.encode(bytes, &mut bins).expect("bins of the length that it asks for");
    assert!(words.present <= front_end.length());
    assert!(bins[..words.present * front_end.n()].iter().all(|&bin| usize::from(bin) < front_end.m()));
}
