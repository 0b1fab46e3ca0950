//! Windows, histogram and surface: against direct readings of their definitions, and against the published patch counts.
use std::collections::HashMap;

use mixel_core::events::header::Encoding;
use mixel_core::events::histogram::{Histogram, HistogramConfig, HistogramMemory, log1p_table};
use mixel_core::events::newest::Newest;
use mixel_core::events::patch::{Emitted, Grid, PatchError};
use mixel_core::events::surface::{self, Surface, SurfaceConfig, SurfaceMemory};
use mixel_core::events::window::{Cut, Step, Window, WindowError, Windows};
use mixel_core::events::{Event, Geometry};

use crate::support::{Random, data, decode, stream};

const DVS128: Geometry = Geometry::new(128, 128);

/// Cuts a stream given in slices of random length; the events, bins and end of each window.
fn cut(windows: &mut Windows, events: &[Event], seed: u64) -> Vec<(Window, Vec<(Event, u8)>)> {
    let (mut random, mut done, mut open) = (Random(seed), Vec::new(), Vec::new());
    let mut rest = events;
    while !rest.is_empty() {
        let (mut slice, after) = rest.split_at((1 + random.below(300) as usize).min(rest.len()));
        rest = after;
        while let Some(step) = windows.next(&mut slice) {
            match step {
                Step::Events { events, bin, .. } => open.extend(events.iter().map(|&e| (e, bin))),
                Step::Close(window) => done.push((window, std::mem::take(&mut open))),
            }
        }
    }
    done.extend(windows.finish().map(|window| (window, open)));
    done
}

fn at(times: &[u32]) -> Vec<Event> {
    times.iter().map(|&t| Event::new(t, 1, 1, true)).collect()
}

#[test]
fn time_windows_are_closed_on_the_right_and_lie_on_the_grid() {
    let mut windows = Windows::new(Cut::Time { period: 100 }, 2).unwrap();
    let cuts = cut(&mut windows, &at(&[150, 151, 200, 201, 300, 650]), 1);
    let ends: Vec<_> = cuts.iter().map(|(w, e)| (w.end, w.events, w.skipped, e.len())).collect();
    assert_eq!(ends, [(200, 3, 0, 3), (300, 2, 0, 2), (700, 1, 3, 1)]);
    let bins: Vec<u8> = cuts.iter().flat_map(|(_, e)| e.iter().map(|e| e.1)).collect();
    assert_eq!(bins, [0, 1, 1, 0, 1, 0], "the upper half of (100, 200] begins at 151");
}

#[test]
fn time_windows_end_at_the_last_event_of_a_recording() {
    let events = stream(5, 3000, DVS128, 12_345, 2000);
    let last = events.last().unwrap().t;
    for seed in 0..4 {
        let mut windows = Windows::new(Cut::Time { period: 700 }, 1).unwrap().aligned_to(last);
        let cuts = cut(&mut windows, &events, seed);
        assert_eq!(cuts.last().unwrap().0.end, last);
        for (window, events) in &cuts {
            assert_eq!((last - window.end) % 700, 0);
            assert!(events.iter().all(|(e, _)| e.t <= window.end && window.end - e.t < 700));
        }
        let all: Vec<Event> = cuts.iter().flat_map(|(_, e)| e.iter().map(|e| e.0)).collect();
        assert_eq!(all, events, "every event is in one window");
    }
}

#[test]
fn windows_pass_the_wrap_of_32_bit_time() {
    let start = u32::MAX - 5000;
    let events = stream(6, 2000, DVS128, start, 300);
    let moved: Vec<Event> =
        events.iter().map(|e| Event::new(e.t.wrapping_sub(start), e.x(), e.y(), e.on())).collect();
    for cut_by in [Cut::Time { period: 1000 }, Cut::Either { period: 1000, events: 70 }] {
        let windows = |phase| Windows::new(cut_by, 4).unwrap().aligned_to(phase);
        let (a, b) = (cut(&mut windows(start), &events, 1), cut(&mut windows(0), &moved, 2));
        let shape = |cuts: &[(Window, Vec<(Event, u8)>)], start: u32| -> Vec<(u32, u32, u32)> {
            cuts.iter().map(|(w, _)| (w.end.wrapping_sub(start), w.events, w.skipped)).collect()
        };
        assert_eq!(shape(&a, start), shape(&b, 0));
    }
}

#[test]
fn windows_by_count_and_by_either() {
    let mut by_count = Windows::new(Cut::Count { events: 4 }, 2).unwrap();
    let cuts = cut(&mut by_count, &at(&[1, 1, 1, 1, 1, 9, 9, 9, 10]), 1);
    assert_eq!(cuts.iter().map(|c| (c.0.end, c.0.events)).collect::<Vec<_>>(), [(1, 4), (9, 4), (10, 1)]);
    assert_eq!(cuts[0].1.iter().map(|e| e.1).collect::<Vec<_>>(), [0, 0, 1, 1]);
    let mut either = Windows::new(Cut::Either { period: 50, events: 3 }, 1).unwrap();
    let cuts = cut(&mut either, &at(&[100, 101, 102, 103, 149, 152, 153, 900]), 2);
    let ends: Vec<_> = cuts.iter().map(|c| (c.0.end, c.0.events)).collect();
    assert_eq!(ends, [(149, 3), (152, 3), (202, 1), (949, 1)].map(|(end, n)| (end, n)));
}

#[test]
fn quiet_windows_are_reported_inactive_and_time_alone_closes() {
    let mut windows = Windows::new(Cut::Time { period: 100 }, 1).unwrap().quiet_below(2);
    let events = at(&[10, 110, 120]);
    let mut slice = &events[..];
    assert!(matches!(windows.next(&mut slice), Some(Step::Events { end: 100, .. })));
    assert!(matches!(windows.next(&mut slice), Some(Step::Close(Window { active: false, events: 1, .. }))));
    assert!(matches!(windows.next(&mut slice), Some(Step::Events { end: 200, .. })));
    assert_eq!(windows.advance(200), None, "200 is still in the window");
    assert_eq!(windows.advance(201), Some(Window { end: 200, events: 2, skipped: 0, active: true }));
    assert_eq!(windows.advance(1000), None, "nothing in it");
    assert_eq!(windows.finish(), None);
}

#[test]
fn an_extended_window_goes_on_in_its_last_bin() {
    let mut windows = Windows::new(Cut::Time { period: 100 }, 2).unwrap();
    let events = at(&[10, 60, 130, 160]);
    let mut slice = &events[..];
    let mut bins = Vec::new();
    let mut extended = false;
    let mut closed = Vec::new();
    while let Some(step) = windows.next(&mut slice) {
        match step {
            Step::Events { events, bin, end } => bins.extend(events.iter().map(|_| (bin, end))),
            Step::Close(window) if !extended => {
                windows.extend(window, 50);
                extended = true;
            }
            Step::Close(window) => closed.push(window),
        }
    }
    assert_eq!(closed, [Window { end: 150, events: 3, skipped: 0, active: true }]);
    assert_eq!((bins.len(), bins[3].1), (4, 250));
    assert_eq!(bins[2].0, 1);
}

#[test]
fn impossible_windows_are_refused() {
    let new = |cut, bins| Windows::new(cut, bins).err();
    assert_eq!(new(Cut::Time { period: 0 }, 1), Some(WindowError::Period));
    assert_eq!(new(Cut::Time { period: (1 << 30) + 1 }, 1), Some(WindowError::Period));
    assert_eq!(new(Cut::Count { events: 0 }, 1), Some(WindowError::Count));
    assert_eq!(new(Cut::Time { period: 100 }, 0), Some(WindowError::Bins));
    assert_eq!(new(Cut::Time { period: 100 }, 3), Some(WindowError::Bins));
}

/// N-MNIST: 9 x 9 patches of 4 x 4.
fn nmnist() -> HistogramConfig {
    HistogramConfig {
        geometry: Geometry::new(34, 34),
        grid: Grid { left: -1, top: -1, shift: 0, patch: 4, columns: 9, rows: 9 },
        bins: 2,
        least_pixels: 2,
        max_tokens: 81,
    }
}

/// EvT on a DVS128: the central 108 x 108 pixels.
fn evt() -> HistogramConfig {
    HistogramConfig {
        geometry: DVS128,
        grid: Grid { left: 10, top: 10, shift: 0, patch: 6, columns: 18, rows: 18 },
        bins: 2,
        least_pixels: 3,
        max_tokens: 324,
    }
}

type Tokens = Vec<(u16, Vec<u8>)>;

/// Memory for one histogram, with more than is asked for in each slice.
struct Room {
    lookup: Vec<u32>,
    patches: Vec<u16>,
    counts: Vec<u8>,
}

impl Room {
    fn new(c: &HistogramConfig) -> Self {
        Self {
            lookup: vec![7; Grid::lookup_len(c.geometry) + 3],
            patches: vec![3; c.grid.patches() + 1],
            counts: vec![9; c.counts_len() + 5],
        }
    }

    fn histogram(&mut self, config: HistogramConfig) -> Result<Histogram<'_>, PatchError> {
        Histogram::new(
            config,
            HistogramMemory {
                lookup: &mut self.lookup,
                patches: &mut self.patches,
                counts: &mut self.counts,
            },
        )
    }
}

fn emit(histogram: &mut Histogram<'_>) -> (Tokens, Emitted) {
    let mut tokens = Tokens::new();
    let columns = u16::from(histogram.config().grid.columns);
    let emitted = histogram.emit(|t| {
        assert_eq!(t.index, tokens.len());
        assert_eq!((t.column.into(), t.row.into()), (t.patch % columns, t.patch / columns));
        tokens.push((t.patch, t.values.to_vec()));
    });
    assert_eq!(emitted.tokens, tokens.len());
    (tokens, emitted)
}

/// The definition: count per (y, x, polarity, bin), patches with enough pixels.
fn counted(c: &HistogramConfig, events: &[(Event, u8)]) -> (Tokens, u32) {
    let (side, bins) = (i32::from(c.grid.patch), usize::from(c.bins));
    let mut patches: std::collections::BTreeMap<u16, Vec<u8>> = Default::default();
    let mut outside = 0;
    for (event, bin) in events {
        let x = (i32::from(event.x()) - i32::from(c.grid.left)).div_euclid(1 << c.grid.shift);
        let y = (i32::from(event.y()) - i32::from(c.grid.top)).div_euclid(1 << c.grid.shift);
        let inside = x >= 0 && y >= 0 && x / side < c.grid.columns.into() && y / side < c.grid.rows.into();
        if !inside {
            outside += 1;
            continue;
        }
        let values = patches
            .entry((y / side * i32::from(c.grid.columns) + x / side) as u16)
            .or_insert(vec![0; c.token_dim()]);
        let pixel = (y % side * side + x % side) as usize;
        let at = pixel * 2 * bins + usize::from(event.on()) * bins + usize::from(*bin);
        values[at] = values[at].saturating_add(1);
    }
    let pixels = |v: &Vec<u8>| v.chunks(2 * bins).filter(|p| p.iter().any(|&n| n > 0)).count();
    patches.retain(|_, v| pixels(v) >= usize::from(c.least_pixels));
    (patches.into_iter().collect(), outside)
}

#[test]
fn histogram_counts_as_defined() {
    let scaled = HistogramConfig {
        geometry: Geometry::new(1280, 720),
        grid: Grid { left: 128, top: -8, shift: 4, patch: 6, columns: 10, rows: 7 },
        bins: 1,
        least_pixels: 1,
        max_tokens: 70,
    };
    for (config, pause) in [(nmnist(), 400), (evt(), 10), (scaled, 50)] {
        let mut room = Room::new(&config);
        let mut histogram = room.histogram(config).unwrap();
        let mut windows = Windows::new(Cut::Time { period: 4000 }, config.bins).unwrap();
        let events = stream(8, 40_000, config.geometry, 777, pause);
        let mut active = 0;
        for (_, events) in cut(&mut windows, &events, 3) {
            for (event, bin) in &events {
                histogram.add(&[*event], *bin);
            }
            let wanted = counted(&config, &events);
            assert_eq!(histogram.active(), wanted.0.len());
            let (tokens, emitted) = emit(&mut histogram);
            active += tokens.len();
            assert_eq!((tokens, emitted.outside), wanted);
            assert_eq!(emitted.dropped_tokens, 0);
        }
        assert!(active > 100, "the streams have active patches");
    }
}

#[test]
fn counts_saturate_and_a_cleared_window_leaves_nothing() {
    let config = nmnist();
    let mut room = Room::new(&config);
    let mut histogram = room.histogram(config).unwrap();
    let pair = [Event::new(0, 3, 3, true), Event::new(0, 4, 3, false)];
    for _ in 0..300 {
        histogram.add(&pair, 1);
    }
    let (tokens, _) = emit(&mut histogram);
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].1.iter().filter(|&&n| n == 255).count(), 2);
    histogram.add(&pair, 0);
    histogram.clear();
    assert_eq!(emit(&mut histogram), (Tokens::new(), Emitted::default()), "no token in an empty window");
}

#[test]
fn more_patches_than_tokens_keep_the_most_active_and_count_the_rest() {
    let mut config = nmnist();
    // Patch p gets p % 5 + 2 active pixels.
    let events: Vec<(Event, u8)> = (0..64u16)
        .flat_map(|p| {
            (0..p % 5 + 2)
                .map(move |i| (Event::new(0, p % 8 * 4 + 3 + i % 4, p / 8 * 4 + 3 + i / 4, true), 0))
        })
        .filter(|(e, _)| e.x() < 34 && e.y() < 34)
        .collect();
    let (all, _) = counted(&config, &events);
    let pixels = |t: &(u16, Vec<u8>)| t.1.iter().filter(|&&n| n > 0).count();
    for max in [0, 1, 11, 12, 13, 40, all.len() - 1, all.len(), 81] {
        config.max_tokens = max as u16;
        let mut room = Room::new(&config);
        let mut histogram = room.histogram(config).unwrap();
        events.iter().for_each(|(e, bin)| histogram.add(&[*e], *bin));
        let (tokens, emitted) = emit(&mut histogram);
        let mut wanted = all.clone();
        wanted.sort_by_key(|t| (std::cmp::Reverse(pixels(t)), t.0));
        wanted.truncate(max);
        wanted.sort();
        assert_eq!(tokens, wanted, "{max} tokens");
        assert_eq!(emitted.dropped_tokens, all.len().saturating_sub(max));
    }
}

#[test]
fn events_off_the_stated_sensor_are_outside() {
    let config = nmnist();
    let mut room = Room::new(&config);
    let mut histogram = room.histogram(config).unwrap();
    histogram.add(
        &[Event::new(0, 34, 0, true), Event::new(0, 0, 34, true), Event::new(0, 0x7FFF, 0x7FFF, true)],
        0,
    );
    assert_eq!(emit(&mut histogram).1.outside, 3);
}

#[test]
fn unfit_configurations_are_refused() {
    let config = nmnist();
    let with = |change: &dyn Fn(&mut HistogramConfig)| {
        let mut config = config;
        let mut room = Room::new(&config);
        change(&mut config);
        room.histogram(config).err()
    };
    assert_eq!(with(&|_| {}), None);
    assert_eq!(with(&|c| c.grid.patch = 0), Some(PatchError::Grid));
    assert_eq!(with(&|c| c.grid.rows = 0), Some(PatchError::Grid));
    assert_eq!(with(&|c| c.bins = 0), Some(PatchError::Config("bins")));
    assert_eq!(with(&|c| c.least_pixels = 17), Some(PatchError::Config("least_pixels")));
    assert_eq!(with(&|c| c.grid.rows = 10), Some(PatchError::Memory));
    assert_eq!(
        with(&|c| (c.grid.patch, c.grid.columns, c.grid.rows) = (255, 127, 128)),
        Some(PatchError::Grid)
    );
    assert_eq!(with(&|c| c.geometry = DVS128), Some(PatchError::Memory));
}

#[test]
fn log_table_is_the_rounded_logarithm() {
    for full in [1, 15, 33, 100, 255u8] {
        let table = log1p_table(full);
        for (n, &value) in table.iter().enumerate() {
            let part = (1.0 + n as f64).ln() / (1.0 + f64::from(full)).ln();
            assert_eq!(i32::from(value), (255.0 * part.min(1.0)).round() as i32 - 128, "{n} of {full}");
        }
    }
}

const EVT_PLUS: SurfaceConfig = SurfaceConfig {
    geometry: DVS128,
    grid: Grid { left: -1, top: -1, shift: 0, patch: 10, columns: 13, rows: 13 },
    stamps: 3,
    tick: 1000,
    window_ticks: 24,
    merge_ticks: 8,
    slack: 0,
    least_pixels: 7,
    max_tokens: 169,
};

/// Runs a surface over windows of a stream; what it emits for each.
fn surface_tokens(config: SurfaceConfig, cuts: &[(Window, Vec<(Event, u8)>)]) -> Vec<(Tokens, Emitted)> {
    let mut lookup = vec![0; Grid::lookup_len(config.geometry)];
    let mut patches = vec![surface::Patch::EMPTY; config.grid.patches()];
    let mut values = vec![5; config.values_len()];
    let memory = SurfaceMemory { lookup: &mut lookup, patches: &mut patches, values: &mut values };
    let mut surface = Surface::new(config, memory).unwrap();
    cuts.iter()
        .map(|(window, events)| {
            let events: Vec<Event> = events.iter().map(|e| e.0).collect();
            for part in events.chunks(100) {
                surface.add(part, window.end);
            }
            let mut tokens = Tokens::new();
            let emitted = surface.emit(window.end, |t| tokens.push((t.patch, t.values.to_vec())));
            (tokens, emitted)
        })
        .collect()
}

/// The definition: the newest stamp of each (x, y, p, floor(t / bin)) up to the window's end, the newest three of those, as ages; and the
/// patches with enough pixels of age up to a window.
fn stamped(c: &SurfaceConfig, history: &[Event], end: u32, bin: Option<u32>) -> Tokens {
    let mut stamps: HashMap<(u16, u16, bool), Vec<u32>> = HashMap::new();
    for e in history {
        let list = stamps.entry((e.x(), e.y(), e.on())).or_default();
        match (bin, list.last_mut()) {
            (Some(bin), Some(last)) if *last / bin == e.t / bin => *last = e.t,
            _ => list.push(e.t),
        }
    }
    let (side, k) = (u32::from(c.grid.patch), usize::from(c.stamps));
    let mut patches: std::collections::BTreeMap<u16, (Vec<u8>, std::collections::HashSet<u32>)> =
        Default::default();
    for ((x, y, on), list) in stamps {
        let (x, y) = (u32::from(x) + 1, u32::from(y) + 1);
        let patch = y / side * u32::from(c.grid.columns) + x / side;
        let pixel = y % side * side + x % side;
        let (values, active) =
            patches.entry(patch as u16).or_insert((vec![0; c.token_dim()], Default::default()));
        for (back, &t) in list.iter().rev().take(k).enumerate() {
            let age = end - t;
            let value = 255 - (age.saturating_sub(c.slack)).div_ceil(c.tick).min(255);
            values[pixel as usize * 2 * k + (k - 1 - back) * 2 + usize::from(on)] = value as u8;
            if back == 0 && age <= c.period() + c.slack {
                active.insert(pixel);
            }
        }
    }
    patches.retain(|_, (_, active)| active.len() >= usize::from(c.least_pixels));
    patches.into_iter().map(|(patch, (values, _))| (patch, values)).collect()
}

/// Movement that keeps coming back to the same pixels, with pauses longer than the span.
fn movement(seed: u64, n: usize) -> Vec<Event> {
    let mut random = Random(seed);
    let mut t = 5_000_000;
    (0..n)
        .map(|i| {
            t += random.below(40) as u32 + if random.below(n as u64 / 3) == 0 { 400_000 } else { 0 };
            let x = 20 + (i / 64 % 60) as u64 + random.below(12);
            Event::new(t, x as u16, 40 + random.below(25) as u16, random.below(2) == 1)
        })
        .collect()
}

#[test]
fn surface_holds_the_newest_stamps_as_defined() {
    let events = movement(1, 30_000);
    // Ends that are multiples of the bins make the merging in the surface the published one.
    let mut windows = Windows::new(Cut::Time { period: EVT_PLUS.period() }, 1).unwrap();
    let cuts = cut(&mut windows, &events, 9);
    let mut seen = 0;
    for slack in [0, 62] {
        for merge_ticks in [0, 8] {
            let config = SurfaceConfig { slack, merge_ticks, ..EVT_PLUS };
            // With slack the bins of the surface lie that much earlier.
            if slack > 0 && merge_ticks > 0 {
                continue;
            }
            for ((window, _), (tokens, _)) in cuts.iter().zip(surface_tokens(config, &cuts)).step_by(3) {
                let history = &events[..events.partition_point(|e| e.t <= window.end)];
                let bin = (merge_ticks > 0).then_some(8000);
                assert_eq!(
                    tokens,
                    stamped(&config, history, window.end, bin),
                    "window that ends at {}",
                    window.end
                );
                seen += tokens.len();
            }
        }
    }
    assert!(seen > 100);
}

#[test]
fn an_event_at_a_windows_end_counts_in_both_windows() {
    let burst = |t| (0..8).map(move |x| Event::new(t, x, 0, true));
    let events: Vec<Event> = burst(24_000).chain([Event::new(40_000, 100, 100, true)]).collect();
    let cuts = cut(&mut Windows::new(Cut::Time { period: 24_000 }, 1).unwrap(), &events, 1);
    let patches = |slack| -> Vec<Vec<u16>> {
        let tokens = surface_tokens(SurfaceConfig { slack, ..EVT_PLUS }, &cuts);
        tokens.iter().map(|(t, _)| t.iter().map(|t| t.0).collect()).collect()
    };
    assert_eq!(patches(0), [vec![0], vec![0]]);
    let earlier: Vec<Event> = burst(23_938).chain([Event::new(40_000, 100, 100, true)]).collect();
    let cuts = cut(&mut Windows::new(Cut::Time { period: 24_000 }, 1).unwrap(), &earlier, 1);
    let active = |slack| surface_tokens(SurfaceConfig { slack, ..EVT_PLUS }, &cuts)[1].1.tokens;
    assert_eq!((active(0), active(61), active(62)), (0, 0, 1));
}

#[test]
fn surface_drops_tokens_by_the_same_policy() {
    let cuts = cut(&mut Windows::new(Cut::Time { period: 24_000 }, 1).unwrap(), &movement(2, 6000), 1);
    let all = surface_tokens(EVT_PLUS, &cuts);
    for max_tokens in [0, 1, 5] {
        for ((tokens, emitted), (full, _)) in
            surface_tokens(SurfaceConfig { max_tokens, ..EVT_PLUS }, &cuts).iter().zip(&all)
        {
            assert_eq!(tokens.len(), full.len().min(max_tokens.into()));
            assert_eq!(emitted.dropped_tokens, full.len().saturating_sub(max_tokens.into()));
            assert!(tokens.iter().all(|t| full.contains(t)));
        }
    }
}

/// Found by fuzzing: the offset of an event outside overflowed.
#[test]
fn surface_counts_events_outside_of_grid_and_sensor() {
    let grid = Grid { left: 20, columns: 5, ..EVT_PLUS.grid };
    let places = [(0, 0), (19, 5), (70, 5), (128, 5), (5, 128), (0x7FFF, 0x7FFF), (20, 5)];
    let events: Vec<(Event, u8)> = places.iter().map(|&(x, y)| (Event::new(10, x, y, true), 0)).collect();
    let window = Window { end: 24_000, events: 7, skipped: 0, active: true };
    let emitted =
        surface_tokens(SurfaceConfig { grid, least_pixels: 1, ..EVT_PLUS }, &[(window, events)])[0].1;
    assert_eq!((emitted.tokens, emitted.outside), (1, 6));
}

fn thin(events: &[Event], bin: u32, room: usize, seed: u64) -> (Vec<Event>, u32) {
    let (mut held, mut map) = (vec![Event::default(); room], vec![0; Newest::map_len(DVS128)]);
    let mut newest = Newest::new(DVS128, bin, &mut held, &mut map).unwrap();
    let (mut out, mut random, mut rest) = (Vec::new(), Random(seed), events);
    while !rest.is_empty() {
        let (part, after) = rest.split_at((1 + random.below(200) as usize).min(rest.len()));
        newest.add(part, |e| out.extend_from_slice(e));
        rest = after;
    }
    newest.finish(|e| out.extend_from_slice(e));
    (out, newest.early())
}

#[test]
fn thinning_keeps_the_newest_of_a_bin_in_order() {
    let events = movement(3, 20_000);
    let (thinned, early) = thin(&events, 8000, 4096, 1);
    let mut newest = HashMap::new();
    for (i, e) in events.iter().enumerate() {
        newest.insert((e.x(), e.y(), e.on(), e.t / 8000), i);
    }
    let mut wanted: Vec<usize> = newest.into_values().collect();
    wanted.sort();
    assert_eq!(thinned, wanted.iter().map(|&i| events[i]).collect::<Vec<_>>());
    assert_eq!(early, 0);
    let (parts, early) = thin(&events, 8000, 64, 2);
    assert!(early > 0 && parts.len() > thinned.len() && parts.is_sorted_by_key(|e| e.t));
}

/// Clip: events, active patches over all windows, over the central 55, most in one of those, first six of those
/// (Event Transformer paper notes, EvT+ settings, measured with the published code).
const CLIPS: [(usize, usize, usize, usize, [usize; 6]); 10] = [
    (63_471, 917, 836, 23, [10, 8, 13, 15, 15, 18]),
    (84_260, 1032, 943, 27, [16, 19, 14, 22, 25, 26]),
    (113_063, 1532, 1396, 39, [25, 29, 26, 31, 24, 25]),
    (151_879, 2093, 1906, 46, [43, 46, 45, 40, 45, 38]),
    (181_179, 2026, 1878, 44, [18, 23, 30, 32, 30, 30]),
    (124_244, 1966, 1772, 45, [35, 34, 33, 36, 38, 32]),
    (159_617, 1925, 1777, 45, [14, 20, 19, 26, 29, 35]),
    (101_288, 1492, 1361, 34, [21, 20, 18, 17, 20, 22]),
    (141_773, 1657, 1518, 36, [28, 27, 25, 30, 24, 27]),
    (85_936, 833, 730, 20, [14, 15, 16, 12, 11, 12]),
];

#[test]
fn gesture_clips_give_the_published_patches() {
    for (clip, wanted) in (1..).zip(CLIPS) {
        let Some(bytes) = data(&format!("dvs-gesture/{clip}.bs2")) else { return };
        let events = decode(Encoding::Bs2, DVS128, &bytes).0.plain();
        assert_eq!(events.len(), wanted.0);
        let last = events.last().unwrap().t;
        // Half-precision values, thinned on absolute time before the cut.
        let config = SurfaceConfig { slack: 62, merge_ticks: 0, ..EVT_PLUS };
        let mut before = None;
        for seed in [1, 2] {
            let (thinned, early) = thin(&events, 8000, 16_384, seed);
            assert_eq!(early, 0);
            let mut windows =
                Windows::new(Cut::Time { period: config.period() }, 1).unwrap().aligned_to(last);
            let tokens = surface_tokens(config, &cut(&mut windows, &thinned, seed));
            let active: Vec<usize> = tokens.iter().map(|t| t.1.tokens).collect();
            assert_eq!(active.len(), 61);
            let central = &active[3..58];
            let sums = (active.iter().sum(), central.iter().sum(), *central.iter().max().unwrap());
            assert_eq!((sums, &central[..6]), ((wanted.1, wanted.2, wanted.3), &wanted.4[..]), "clip {clip}");
            assert!(before.is_none_or(|b| b == tokens), "any chunking gives the same tokens");
            before = Some(tokens);
        }
        println!("clip {clip}: {} active patches in 61 windows, as published", wanted.1);
    }
}
