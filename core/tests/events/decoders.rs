//! Each rule of the formats, encoders against decoders, and bytes that no sensor sent.
use mixel_core::events::aedat::{Address, Aedat2, Aedat3, Sensor};
use mixel_core::events::dat::Layout;
use mixel_core::events::encode::{
    self, Aedat2Encoder, Aedat3Encoder, DatEncoder, EdvsEncoder, EncodeError, Encoder, Evt2Encoder,
    Evt3Encoder, Evt21Encoder, Record5Encoder,
};
use mixel_core::events::evt2::Evt2;
use mixel_core::events::evt3::Evt3;
use mixel_core::events::evt21::WordOrder;
use mixel_core::events::header::{self, Encoding, Header, HeaderError};
use mixel_core::events::record5::Record5;
use mixel_core::events::{Counts, Decoder, Event, Format, GapCause, Geometry, Trigger};

use crate::model;
use crate::support::{Log, Random, data, decode, decode_in_chunks, encode, stream};

const HD: Geometry = Geometry::new(1280, 720);

const ALL: [Encoding; 13] = [
    Encoding::Evt2,
    Encoding::Evt21(WordOrder::Little),
    Encoding::Evt21(WordOrder::Legacy),
    Encoding::Evt3,
    Encoding::Dat(Layout::V1),
    Encoding::Dat(Layout::V2),
    Encoding::Dat(Layout::Trigger),
    Encoding::Aedat2(Address::Davis),
    Encoding::Aedat2(Address::Dvs128),
    Encoding::Aedat3,
    Encoding::Bin,
    Encoding::Bs2,
    Encoding::Edvs,
];

fn words16(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn words32(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn evt3(words: &[u16]) -> (Log, Counts) {
    decode(Encoding::Evt3, HD, &words16(words))
}

fn feed<F: Format>(mut decoder: Decoder<F>, bytes: &[u8]) -> (Log, Counts) {
    let mut log = Log::default();
    decoder.decode(bytes, &mut log);
    (log, *decoder.counts())
}

fn times(log: &Log) -> Vec<u64> {
    log.events.iter().map(|e| e.0).collect()
}

// The pitfalls of the hardware notes, section 1.7, in their order.

#[test]
fn pitfall_1_nothing_before_time_row_and_base_are_known() {
    let (log, counts) = evt3(&[
        0x0005, 0x2007, 0x3010, 0x4003, // row, event, base, two events: no time
        0x6001, 0xA101, // low time and trigger: no time
        0x8002, 0x2007, 0x6003, 0x2008, // the row before is known, so these two are events
    ]);
    assert_eq!(log.events.iter().map(|e| e.1.x()).collect::<Vec<_>>(), [7, 8]);
    assert_eq!((counts.before_sync, counts.off_sensor, counts.triggers), (3, 0, 0));
    let (log, counts) = evt3(&[0x8002, 0x6000, 0x2007, 0x4001, 0x0001, 0x5001, 0x3020, 0x5001]);
    assert_eq!(log.plain(), [Event::new(0x2000, 0x20, 1, false)]);
    assert_eq!(counts.before_sync, 3, "no row, no row, no base");
    let (log, counts) = decode(Encoding::Evt2, HD, &words32(&[0x1000_0000, 0x8000_0001, 0x1000_0801]));
    assert_eq!((log.plain(), counts.before_sync), (vec![Event::new(64, 1, 1, true)], 1));
    let evt21 = [0x1000_0000_0000_0007u64, 0x8000_0001_0000_0000, 0x1000_0000_0000_0005]
        .map(u64::to_le_bytes)
        .concat();
    let (log, counts) = decode(Encoding::Evt21(WordOrder::Little), HD, &evt21);
    assert_eq!((log.events.len(), counts.before_sync), (2, 3));
}

#[test]
fn pitfall_2_a_low_time_that_steps_back_is_no_wrap() {
    let (log, counts) =
        evt3(&[0x8001, 0x0000, 0x6320, 0x2001, 0x632B, 0x6321, 0x2002, 0x6310, 0x2003, 0x6322, 0x2004]);
    assert_eq!(
        times(&log),
        [0x1320, 0x1321, 0x1321, 0x1322],
        "a step over which no event lies is taken back, else time is held"
    );
    assert_eq!((counts.time_low_back, counts.wraps), (2, 0));
}

#[test]
fn pitfall_3_low_bits_are_0_between_a_new_time_high_and_the_next_low() {
    let (log, counts) = evt3(&[
        0x8001, 0x0000, 0x6FF0, 0x2001, 0x8001, 0x2002, 0x8002, 0x2003, 0x8002, 0x2004, 0x6004, 0x2005,
    ]);
    assert_eq!(times(&log), [0x1FF0, 0x1FF0, 0x2000, 0x2000, 0x2004]);
    assert_eq!(counts.unsettled, 2);
}

#[test]
fn pitfall_4_half_a_range_back_is_a_wrap_and_less_is_a_violation() {
    let (log, counts) = evt3(&[0x0000, 0x8FFF, 0x6001, 0x2001, 0x87FF, 0x6001, 0x2001]);
    assert_eq!(times(&log), [0xFF_F001, 0x17F_F001]);
    assert_eq!((counts.wraps, counts.time_high_back), (1, 0));
    let (log, counts) = evt3(&[0x0000, 0x8FFF, 0x6001, 0x2001, 0x8800, 0x6001, 0x2001]);
    assert_eq!(times(&log), [0xFF_F001, 0xFF_F001]);
    assert_eq!((counts.wraps, counts.time_high_back), (0, 1));
    let (log, counts) = decode(Encoding::Evt2, HD, &words32(&[0x8FFF_FFFF, 0, 0x8000_0000, 0]));
    assert_eq!((times(&log), counts.wraps), (vec![(1 << 34) - 64, 1 << 34], 1));
    let record = |t: u32| [1, 1, (t >> 16) as u8, (t >> 8) as u8, t as u8];
    let bytes = [0x60_0000, 0x20_0000, 0x10_0000].map(record).concat();
    let (log, counts) = decode(Encoding::Bs2, HD, &bytes);
    assert_eq!(times(&log), [0x60_0000, 0xA0_0000, 0xA0_0000]);
    assert_eq!((counts.wraps, counts.time_high_back), (1, 1));
    let dat = [0xFFFF_FFFFu64, 5, 3].map(u64::to_le_bytes).concat();
    let (log, counts) = decode(Encoding::Dat(Layout::V2), HD, &dat);
    assert_eq!(times(&log), [0xFFFF_FFFF, 0x1_0000_0005, 0x1_0000_0005]);
    assert_eq!((counts.wraps, counts.time_high_back), (1, 1));
}

#[test]
fn pitfall_5_continued_words_are_skipped_by_type() {
    let counts_in = [0xE014, 0xF123, 0xF456, 0x7001, 0x2001];
    let short = [0xE019, 0xF123, 0xF456, 0x2002, 0xE0FF, 0x2003, 0xD000, 0x2004];
    let (log, counts) = evt3(&[&[0x8001, 0x0000][..], &counts_in, &short].concat());
    assert_eq!(log.events.len(), 4);
    assert_eq!([0x7, 0xD, 0xE, 0xF].map(|kind: usize| counts.other_words[kind]), [1, 1, 3, 4]);
    assert_eq!(counts.reserved, 0);
    // An OTHERS of EVT2 without its CONTINUED, and an event that looks like data of one.
    let (log, counts) = decode(
        Encoding::Evt2,
        HD,
        &words32(&[0x8000_0001, 0xE000_0014, 0x0000_0001, 0xE000_0014, 0xF000_0000]),
    );
    assert_eq!(
        (log.events.len(), counts.other_words[0xE], counts.other_words[0xF], counts.reserved),
        (1, 2, 1, 0)
    );
}

#[test]
fn pitfall_6_vectors_are_read_word_by_word() {
    let words = words16(&[0x8001, 0x0003, 0x3804, 0x4801, 0x4FFF, 0x5F81, 0x6005, 0x5001, 0x4002]);
    let (whole, counts) = decode(Encoding::Evt3, HD, &words);
    let columns: Vec<u16> = whole.events.iter().map(|e| e.1.x()).collect();
    let wanted: Vec<u16> = [4, 15].into_iter().chain(16..28).chain([28, 35, 36, 45]).collect();
    assert_eq!(columns, wanted);
    assert!(whole.events.iter().all(|e| e.1.on()));
    assert_eq!(counts.violations(), 0);
    for at in 0..words.len() {
        let (mut log, mut decoder) = (Log::default(), Evt3::new(HD));
        decoder.decode(&words[..at], &mut log);
        assert_eq!(decoder.carried(), at % 2);
        decoder.decode(&words[at..], &mut log);
        assert_eq!(log, whole);
    }
}

#[test]
fn pitfall_7_what_lies_off_the_sensor_is_dropped_and_counted() {
    let geometry = Geometry::new(100, 50);
    let words = [
        0x8001, 0x0001, 0x2063, 0x2064, 0x305C, 0x4FFF, 0x4FFF, 0x5001, 0x0032, 0x2001, 0x3000, 0x4003,
        0x0031, 0x2002,
    ];
    let (log, counts) = decode(Encoding::Evt3, geometry, &words16(&words));
    assert_eq!(log.events.len(), 1 + 8 + 1);
    assert_eq!(counts.off_sensor, 1 + (4 + 12 + 1) + (1 + 2));
    // A base that runs far beyond 2047 stays outside.
    let mut words = vec![0x8001, 0x0001, 0x37FF];
    words.extend([0x4FFF; 20_000]);
    let (log, counts) = decode(Encoding::Evt3, Geometry::ANY, &words16(&words));
    assert!(counts.off_sensor > 200_000 && log.events.iter().all(|e| e.1.x() >= 0x7FF));
    let (log, counts) =
        decode(Encoding::Evt2, geometry, &words32(&[0x8000_0001, 100 << 11, 50, 99 << 11 | 49]));
    assert_eq!((log.events.len(), counts.off_sensor), (1, 2));
    let evt21 = [0x8000_0001u64 << 32, (96 << 11 | 49) << 32 | 0xFF, (64 << 11 | 50) << 32 | 0xFF]
        .map(u64::to_le_bytes)
        .concat();
    let (log, counts) = decode(Encoding::Evt21(WordOrder::Little), geometry, &evt21);
    assert_eq!((log.events.len(), counts.off_sensor), (4, 12));
}

#[test]
fn pitfall_8_reserved_words_are_counted() {
    let (log, counts) = evt3(&[0x8001, 0x0001, 0x1000, 0x9000, 0xB000, 0xC000, 0x2001]);
    assert_eq!((log.events.len(), counts.reserved), (1, 4));
    let (log, counts) = decode(
        Encoding::Evt2,
        HD,
        &words32(&[0x8000_0001, 0x2000_0000, 0xB000_0000, 0xC000_0000, 0x7000_0000, 1]),
    );
    assert_eq!((log.events.len(), counts.reserved), (1, 4));
    assert_eq!(counts.other_words[0xB], 1);
}

#[test]
fn pitfall_9_origins_and_triggers_from_another_source() {
    let davis = |x: u32, y: u32, p: u32, t: u32| {
        [(y << 22 | x << 12 | p << 11).to_be_bytes(), t.to_be_bytes()].concat()
    };
    let aps = [(1u32 << 31).to_be_bytes(), 1u32.to_be_bytes()].concat();
    let imu = [(1u32 << 10).to_be_bytes(), 1u32.to_be_bytes()].concat();
    let bytes = [davis(5, 0, 1, 10), aps, davis(5, 179, 0, 11), imu, davis(240, 0, 0, 12)].concat();
    let (log, counts) = feed(Aedat2::new(Geometry::new(240, 180), Address::Davis), &bytes);
    assert_eq!(log.plain(), [Event::new(10, 5, 179, true), Event::new(11, 5, 0, false)]);
    assert_eq!((counts.off_sensor, counts.other_words[0], counts.other_words[1]), (1, 1, 1));
    let dvs = [(3u32 << 8 | 5 << 1 | 1).to_be_bytes(), 9u32.to_be_bytes()].concat();
    let (log, _) = feed(Aedat2::new(Geometry::new(128, 128), Address::Dvs128), &dvs);
    assert_eq!(log.plain(), [Event::new(9, 5, 124, true)]);
    // A trigger a little behind the events keeps its own time.
    let trigger = 0xA << 28 | 2 << 22 | 6 << 8 | 1;
    let (log, counts) = decode(Encoding::Evt2, HD, &words32(&[0x8000_0001, 9 << 22, trigger, 10 << 22]));
    assert_eq!(log.triggers, [Trigger { t: 66, id: 6, value: true }]);
    assert_eq!((times(&log), counts.violations()), (vec![73, 74], 0));
}

#[test]
fn pitfall_10_any_alignment() {
    let events = stream(3, 500, HD, 100, 50);
    for lead in 0..8 {
        let bytes = [vec![0; lead], encode(Evt3Encoder::default(), &events)].concat();
        assert!(decode(Encoding::Evt3, HD, &bytes[lead..]).0.plain() == events);
    }
}

#[test]
fn pitfall_11_resync_forgets_and_reports_the_gap() {
    let mut log = Log::default();
    let mut decoder = Evt3::new(HD);
    decoder.decode(&words16(&[0x8001, 0x0001, 0x6010, 0x2001]), &mut log);
    decoder.decode(&[0x05], &mut log);
    decoder.resync(100);
    decoder.decode(&words16(&[0x2002, 0x6020, 0x2003]), &mut log);
    assert!(log.gaps.is_empty(), "until the time is known again");
    decoder.decode(&words16(&[0x8003, 0x2004, 0x5001, 0x0002, 0x2005]), &mut log);
    assert_eq!(
        log.events.iter().map(|e| (e.0, e.1.x(), e.1.y())).collect::<Vec<_>>(),
        [(0x1010, 1, 1), (0x3000, 5, 2)]
    );
    assert_eq!(decoder.counts().before_sync, 4);
    let gap = log.gaps[0];
    assert_eq!(
        (gap.cause, gap.lost_bytes, gap.before, gap.after, log.gaps.len()),
        (GapCause::Lost, 101, 0x1000, 0x3000, 1)
    );
    let mut decoder = Evt2::new(HD);
    let mut log = Log::default();
    decoder.decode(&words32(&[0x8000_0001, 1 << 22]), &mut log);
    decoder.resync(7);
    decoder.resync(8);
    decoder.decode(&words32(&[2 << 22, 0x8000_0001, 3 << 22]), &mut log);
    assert_eq!((times(&log), log.gaps.len(), log.gaps[0].lost_bytes), (vec![65, 67], 1, 15));
}

#[test]
fn pitfall_12_32_bit_times_and_their_upper_half() {
    let start = 0xFFFF_FF00u64;
    let mut words = Vec::new();
    for i in 0..16u64 {
        let t = start + 40 * i;
        words.extend([0x8000_0000 | (t >> 6) as u32, (t & 63) as u32 >> 1 << 23]);
    }
    let (log, _) = decode(Encoding::Evt2, HD, &words32(&words));
    assert_eq!(log.epoch, 1);
    assert_eq!(times(&log), (0..16).map(|i| start + 40 * i).collect::<Vec<_>>());
    assert_eq!(log.events[15].1.t, 0xFFFF_FF00u32.wrapping_add(600));
}

#[test]
fn a_set_back_clock_goes_on_and_is_reported() {
    let high = |n: u32| 0x8000_0000 | n;
    let words = [high(0x1000), 5 << 22, high(0x10), high(0x10), 6 << 22, high(0x11), 0];
    let (log, counts) = decode(Encoding::Evt2, HD, &words32(&words));
    assert_eq!(times(&log), [0x40005, 0x40006, 0x40040]);
    assert_eq!((counts.time_high_back, counts.gaps, log.gaps[0].cause), (2, 1, GapCause::ClockJump));
}

#[test]
fn a_step_limit_rides_out_a_flipped_time_word() {
    let words = words32(&[
        0x8000_0001,
        0x8000_0001,
        0,
        0x8000_8001,
        0,
        0x8000_0001,
        0,
        0x8000_0002,
        0,
        0x8001_0000,
        0x8001_0000,
        0,
    ]);
    let (log, counts) = feed(Evt2::new(HD).with_max_step(200), &words);
    assert_eq!(times(&log), [64, 64, 64, 128, 0x40_0000]);
    assert_eq!((counts.time_high_back, counts.gaps), (0, 1), "a jump that is confirmed is a gap");
    let (log, _) = feed(Evt2::new(HD), &words);
    assert_eq!(times(&log)[1], 0x8001 << 6, "without a limit the word is believed");
}

#[test]
fn an_expected_time_gives_the_wraps_slept_through() {
    let mut log = Log::default();
    let mut decoder = Evt3::new(HD);
    decoder.decode(&words16(&[0x8100, 0x0000, 0x2000]), &mut log);
    let awake = (5u64 << 24) + 0x20_0000;
    decoder.expect_time(awake);
    decoder.decode(&words16(&[0x81F0, 0x0000, 0x2000]), &mut log);
    assert_eq!(times(&log), [0x10_0000, (5 << 24) + 0x1F_0000]);
    assert_eq!(log.gaps.len(), 1);
}

#[test]
fn n_mnist_overflow_markers_move_the_time() {
    let bytes = [[1, 2, 0x80, 0, 9], [0, 240, 0, 0, 0], [3, 33, 0, 0, 5], [0, 240, 0, 0, 0], [4, 5, 0, 0, 5]]
        .concat();
    let (log, counts) = decode(Encoding::Bin, Geometry::new(34, 34), &bytes);
    assert_eq!(times(&log), [9, 8197, 16_389]);
    assert_eq!((counts.events, counts.violations(), log.events[0].1.on()), (3, 0, true));
    let (log, counts) = decode(Encoding::Bs2, Geometry::new(34, 34), &bytes);
    assert_eq!((log.events.len(), counts.off_sensor), (3, 2), "in .bs2 it is a row like others");
}

#[test]
fn records_are_found_again_after_lost_and_damaged_bytes() {
    let sensor = Geometry::new(34, 34);
    let events = stream(3, 20_000, sensor, 0, 50);
    let clean = encode(Record5Encoder::default(), &events);
    let decoder = || Record5::bs2(sensor).with_max_step(500);
    let (log, counts) = feed(decoder(), &clean);
    assert_eq!((log.plain(), counts.violations()), (events.clone(), 0));

    // Ten places with one, two ... ten bytes missing.
    let mut lost = clean.clone();
    for place in (1..=10).rev() {
        lost.drain(9_000 * place..9_000 * place + place);
    }
    let (log, counts) = feed(decoder(), &lost);
    let got = log.plain();
    assert!(got.len() > events.len() - 120, "{} of {}", got.len(), events.len());
    assert_eq!(got.last(), events.last());
    let skipped: u32 = log.gaps.iter().map(|gap| gap.lost_bytes).sum();
    assert!((8..100).contains(&skipped) && counts.gaps >= 8, "{skipped} bytes, {counts:?}");
    let mut parts = Log::default();
    let mut again = decoder();
    lost.chunks(7).for_each(|chunk| again.decode(chunk, &mut parts));
    assert!(parts == log && *again.counts() == counts);

    // A time that is far ahead costs its own event; a clock that is set back or has slept goes on.
    let at = |t: u32| [1, 2, (t >> 16) as u8, (t >> 8) as u8, t as u8];
    let (log, counts) = feed(decoder(), &[at(10), at(4_000_000), at(20), at(30)].concat());
    assert_eq!((times(&log), counts.reserved), (vec![10, 20, 30], 1));
    let row = |from: u32| (0..10).flat_map(move |step| at(from + 20 * step)).collect::<Vec<u8>>();
    let (log, counts) = feed(decoder(), &[row(5_000), row(100), row(90_000)].concat());
    assert_eq!(times(&log)[8..], [5_160, 5_180, 5_180, 5_200, 95_080, 95_100]);
    assert_eq!((log.gaps.len(), counts.reserved), (2, 16));
}

#[test]
fn dat_version_1_and_triggers() {
    let v1 = (u64::from(1u32 << 17 | 200 << 9 | 300) << 32 | 77).to_le_bytes();
    assert_eq!(decode(Encoding::Dat(Layout::V1), HD, &v1).0.plain(), [Event::new(77, 300, 200, true)]);
    let trigger = (u64::from(6u32 << 8 | 1) << 32 | 78).to_le_bytes();
    assert_eq!(
        decode(Encoding::Dat(Layout::Trigger), HD, &trigger).0.triggers,
        [Trigger { t: 78, id: 6, value: true }]
    );
}

fn packet(kind: u16, overflow: u32, events: &[(u32, u32)]) -> Vec<u8> {
    let n = events.len() as u32;
    let head = [u32::from(kind), 8, 4, overflow, n, n, n].map(u32::to_le_bytes).concat();
    [head, events.iter().flat_map(|&(d, t)| [d.to_le_bytes(), t.to_le_bytes()].concat()).collect()].concat()
}

#[test]
fn aedat3_packets() {
    let place = |x: u32, y: u32, p: u32| x << 17 | y << 2 | p << 1 | 1;
    let polarity = packet(1, 0, &[(place(5, 6, 1), 10), (place(5, 6, 0) & !1, 11), (place(128, 6, 0), 12)]);
    let frame = [[2u32, 36, 12, 0, 1, 1, 1].map(u32::to_le_bytes).concat(), vec![1; 36]].concat();
    let special = packet(0, 0, &[(2 << 1 | 1, 14), (3 << 1 | 1, 15), (9 << 1 | 1, 16)]);
    let later = packet(1, 2, &[(place(7, 8, 0), 3)]);
    let bytes = [polarity.clone(), frame, special, later.clone()].concat();
    let geometry = Geometry::new(128, 128);
    let (log, counts) = feed(Aedat3::new(geometry), &bytes);
    let last = Event::new(3, 7, 8, false);
    assert_eq!(log.events, [(10, Event::new(10, 5, 6, true)), ((2 << 31) + 3, last)]);
    assert_eq!(log.triggers, [Trigger { t: 14, id: 0, value: true }, Trigger { t: 15, id: 0, value: false }]);
    assert_eq!((counts.reserved, counts.off_sensor, counts.other_words[2], counts.gaps), (1, 1, 1, 0));
    // A damaged head: the next one is found, and the bytes between are reported.
    let broken = [polarity, vec![0xFF; 13], later].concat();
    let (log, _) = feed(Aedat3::new(geometry), &broken);
    assert_eq!(log.events.len(), 2);
    assert_eq!(
        log.gaps.iter().map(|g| (g.cause, g.lost_bytes)).collect::<Vec<_>>(),
        [(GapCause::Framing, 13)]
    );
}

#[test]
fn edvs_finds_its_step_again_and_wraps() {
    let bytes = [[0x85, 0x83, 0xFF, 0xF0], [0x86, 0x04, 0x00, 0x10]].concat();
    let (log, counts) = decode(Encoding::Edvs, Geometry::new(128, 128), &bytes);
    assert_eq!(
        log.events,
        [(0xFFF0, Event::new(0xFFF0, 3, 5, false)), (0x1_0010, Event::new(0x1_0010, 4, 6, true))]
    );
    assert_eq!(counts.wraps, 1);
    let (log, counts) =
        decode(Encoding::Edvs, Geometry::new(128, 128), &[&[0x12, 0x7F][..], &bytes].concat());
    assert_eq!((log.events.len(), counts.reserved, log.gaps[0].lost_bytes), (2, 2, 2));
}

#[test]
fn what_is_encoded_is_decoded() {
    // Over the 24-bit wrap, over pauses of several of them, and over the 32-bit wrap.
    for (start, pause, n) in
        [(0, 40, 20_000), (0xFF_FF00, 3000, 5000), (7, 40_000_000, 300), (u32::MAX - 70_000, 300, 5000)]
    {
        let events = stream(u64::from(start) + 1, n, HD, start, pause);
        let check = |encoding, bytes: Vec<u8>| {
            for most in [1, 13, 1000, u64::MAX >> 1] {
                let (log, counts) = decode_in_chunks(encoding, HD, &bytes, most, most);
                // EVT3 knows no more than 24 bits of the first time.
                let first = events[0].t;
                let missing = if encoding == Encoding::Evt3 { first & !0xFF_FFFF } else { 0 };
                let moved = |e: &Event| Event::new(e.t.wrapping_sub(missing), e.x(), e.y(), e.on());
                assert!(
                    log.events.iter().map(|e| e.1).eq(events.iter().map(moved)),
                    "{encoding:?} from {start}"
                );
                assert_eq!((counts.violations(), counts.before_sync), (0, 0));
                let span: u64 = events.windows(2).map(|w| u64::from(w[1].t.wrapping_sub(w[0].t))).sum();
                assert_eq!(log.events.last().unwrap().0, u64::from(first - missing) + span);
            }
        };
        check(Encoding::Evt2, encode(Evt2Encoder::default(), &events));
        check(Encoding::Evt3, encode(Evt3Encoder::default(), &events));
        check(Encoding::Dat(Layout::V2), encode(DatEncoder::default(), &events));
        check(Encoding::Aedat3, encode(Aedat3Encoder::default(), &events));
        for order in [WordOrder::Little, WordOrder::Legacy] {
            check(Encoding::Evt21(order), encode(Evt21Encoder::new(order), &events));
        }
        // Nothing is lost under a step limit either, except for what it is there to doubt.
        if pause <= 300 {
            let (log, _) = feed(Evt2::new(HD).with_max_step(200), &encode(Evt2Encoder::default(), &events));
            assert!(log.plain() == events);
        }
    }
    for Sensor { geometry, address, .. } in Sensor::ALL {
        let events = stream(5, 5000, geometry, u32::MAX - 70_000, 300_000);
        let bytes = encode(Aedat2Encoder::new(geometry, address), &events);
        for most in [1, 13, 1000, u64::MAX >> 1] {
            let (log, counts) = decode_in_chunks(Encoding::Aedat2(address), geometry, &bytes, most, most);
            assert!(log.plain() == events, "{geometry:?}");
            assert_eq!((counts.violations(), log.epoch), (0, 1), "{geometry:?}");
        }
    }
    let sensor = Sensor::DVS128.geometry;
    let events = stream(6, 5000, sensor, 60_000, 5_000);
    let bytes = encode(EdvsEncoder::default(), &events);
    for most in [1, 13, 1000, u64::MAX >> 1] {
        let (log, counts) = decode_in_chunks(Encoding::Edvs, sensor, &bytes, most, most);
        assert!(log.plain() == events && counts.wraps > 10 && counts.violations() == 0);
    }
    let small = Geometry::new(240, 180);
    let events = stream(9, 9000, small, 50, 30_000);
    let bytes = encode(Record5Encoder::default(), &events);
    for encoding in [Encoding::Bin, Encoding::Bs2] {
        assert!(decode_in_chunks(encoding, small, &bytes, 64, 1).0.plain() == events);
    }
}

#[test]
fn recordings_survive_transcoding() {
    let Some(bytes) = data("events/evt2_sample.raw") else { return };
    let geometry = Geometry::new(640, 480);
    let whole = decode(Encoding::Evt2, geometry, &bytes[164..]).0;
    let events = whole.plain();
    for order in [WordOrder::Little, WordOrder::Legacy] {
        let evt21 = encode(Evt21Encoder::new(order), &events);
        assert!(decode(Encoding::Evt21(order), geometry, &evt21).0 == whole);
    }
    let evt3 = encode(Evt3Encoder::default(), &events);
    assert!(decode(Encoding::Evt3, geometry, &evt3).0 == whole);
}

#[test]
fn encoders_use_vectors_where_they_are_shorter() {
    let row: Vec<Event> = (0..32).map(|x| Event::new(5, 100 + x, 7, true)).collect();
    assert_eq!(encode(Evt3Encoder::default(), &row).len(), 2 * (3 + 4));
    assert_eq!(encode(Evt21Encoder::default(), &row).len(), 8 * 2);
    assert_eq!(encode(Evt3Encoder::default(), &row[..2]).len(), 2 * (3 + 2));
    let falling: Vec<Event> = row.iter().rev().copied().collect();
    assert_eq!(decode(Encoding::Evt3, HD, &encode(Evt3Encoder::default(), &falling)).0.plain(), falling);
}

#[test]
fn aedat2_addresses_and_aedat3_packets_as_written() {
    let event = Event::new(0x0102_0304, 5, 6, true);
    let address = |sensor: Sensor| {
        let bytes = encode(Aedat2Encoder::new(sensor.geometry, sensor.address), &[event]);
        assert_eq!(bytes[4..], [1, 2, 3, 4]);
        u32::from_be_bytes(bytes[..4].try_into().unwrap())
    };
    assert_eq!(address(Sensor::DVS128), 121 << 8 | 5 << 1 | 1);
    assert_eq!(address(Sensor::DAVIS346), 253 << 22 | 5 << 12 | 1 << 11);

    // One packet for what fits into it, another where the upper time bits change, and an edge alone.
    let place = |x: u32, y: u32, on: u32| x << 17 | y << 2 | on << 1 | 1;
    let (early, late) = (Event::new(0x7FFF_FFFF, 5, 6, true), Event::new(0x8000_0001, 0x7FFF, 0x7FFF, false));
    let edge = |value| Trigger { t: 0x8000_0002, id: 0, value };
    let (mut bytes, mut encoder) = (Vec::new(), Aedat3Encoder::default());
    let mut put = |b: &[u8]| bytes.extend_from_slice(b);
    for event in [early, early, late] {
        encoder.event(event, &mut put).unwrap();
    }
    encoder.trigger(edge(true), &mut put).unwrap();
    encoder.trigger(edge(false), &mut put).unwrap();
    encoder.finish(&mut put);
    encoder.finish(&mut put);
    let from_source = |mut packet: Vec<u8>| {
        packet[2] = 1;
        packet
    };
    let wanted = [
        packet(1, 0, &[(place(5, 6, 1), 0x7FFF_FFFF); 2]),
        packet(1, 1, &[(place(0x7FFF, 0x7FFF, 0), 1)]),
        packet(0, 1, &[(2 << 1 | 1, 2)]),
        packet(0, 1, &[(3 << 1 | 1, 2)]),
    ];
    assert_eq!(bytes, wanted.map(from_source).concat());
    assert_eq!(encode(Aedat3Encoder::default(), &[event; 300]).len(), 3 * 28 + 300 * 8);
}

/// Events with a trigger after every seventh, at its time, and a late one after a pause.
fn with_triggers<E: Encoder>(mut encoder: E, events: &[Event], triggers: &[Trigger]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |b: &[u8]| bytes.extend_from_slice(b);
    let mut next = triggers.iter();
    for (index, &event) in events.iter().enumerate() {
        encoder.event(event, &mut put).unwrap();
        if index % 7 == 6 {
            encoder.trigger(*next.next().unwrap(), &mut put).unwrap();
        }
    }
    for &trigger in next {
        encoder.trigger(trigger, &mut put).unwrap();
    }
    encoder.finish(&mut put);
    bytes
}

#[test]
fn triggers_are_written_among_the_events() {
    for seed in 0..10 {
        let events = stream(seed, 700, HD, 4_000, 1_000_000);
        let mut random = Random(seed);
        let mut trigger = |t: u32| Trigger { t, id: random.below(16) as u8, value: random.below(2) == 1 };
        let mut triggers: Vec<Trigger> = events.iter().skip(6).step_by(7).map(|e| trigger(e.t)).collect();
        triggers.push(trigger(events.last().unwrap().t + 30_000_000));
        let evt2 = with_triggers(Evt2Encoder::default(), &events, &triggers);
        let evt21 = with_triggers(Evt21Encoder::default(), &events, &triggers);
        let legacy = with_triggers(Evt21Encoder::new(WordOrder::Legacy), &events, &triggers);
        let evt3 = with_triggers(Evt3Encoder::default(), &events, &triggers);
        for (encoding, bytes) in [
            (Encoding::Evt2, evt2),
            (Encoding::Evt21(WordOrder::Little), evt21),
            (Encoding::Evt21(WordOrder::Legacy), legacy),
            (Encoding::Evt3, evt3),
        ] {
            let (log, counts) = decode(encoding, HD, &bytes);
            assert!(log.plain() == events, "{encoding:?}");
            assert_eq!(log.triggers, triggers, "{encoding:?}");
            assert_eq!(counts.violations(), 0, "{encoding:?}");
        }
        // AEDAT3.1 has one channel.
        triggers.iter_mut().for_each(|trigger| trigger.id = 0);
        let aedat3 = with_triggers(Aedat3Encoder::default(), &events, &triggers);
        for most in [1, 50, u64::MAX >> 1] {
            let (log, counts) = decode_in_chunks(Encoding::Aedat3, HD, &aedat3, most, seed);
            assert!(log.plain() == events && log.triggers == triggers);
            assert_eq!(counts.violations(), 0);
        }
    }
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    let mut none = |_: &[u8]| {};
    let after = |t: u32| Event::new(t, 0, 0, true);
    assert_eq!(
        Evt3Encoder::default().event(Event::new(0, 2048, 0, true), &mut none),
        Err(EncodeError::Place)
    );
    assert_eq!(
        Record5Encoder::default().event(Event::new(0, 0, 240, true), &mut none),
        Err(EncodeError::Place)
    );
    let mut evt2 = Evt2Encoder::default();
    evt2.event(after(10), &mut none).unwrap();
    assert_eq!(evt2.event(after(9), &mut none), Err(EncodeError::TimeBack));
    assert_eq!(Record5Encoder::default().event(after(1 << 23), &mut none), Err(EncodeError::Pause));
    let mut record = Record5Encoder::default();
    record.event(after(5_000_000), &mut none).unwrap();
    assert_eq!(
        record.event(after(5_000_000 + (1 << 22) + 1), &mut none),
        Err(EncodeError::Pause),
        "a wrap that would not show"
    );
    assert_eq!(record.event(after(8_000_000), &mut none), Ok(()));
    let edge = |id: u8| Trigger { t: 20, id, value: true };
    assert_eq!(evt2.trigger(edge(31), &mut none), Ok(()));
    assert_eq!(evt2.trigger(edge(32), &mut none), Err(EncodeError::Channel));
    assert_eq!(evt2.trigger(Trigger { t: 19, ..edge(0) }, &mut none), Err(EncodeError::TimeBack));
    assert_eq!(Evt21Encoder::default().trigger(edge(32), &mut none), Err(EncodeError::Channel));
    assert_eq!(Evt3Encoder::default().trigger(edge(16), &mut none), Err(EncodeError::Channel));
    assert_eq!(DatEncoder::default().trigger(edge(0), &mut none), Err(EncodeError::Channel));
    assert_eq!(record.trigger(edge(0), &mut none), Err(EncodeError::Channel));
    let at = |x: u16, y: u16| Event::new(10, x, y, true);
    for (width, height, address, x, y) in [
        (128, 128, Address::Dvs128, 128, 0),
        (128, 128, Address::Dvs128, 0, 128),
        (346, 260, Address::Davis, 346, 0),
        (346, 260, Address::Davis, 0, 260),
        // Beyond the bits of an address, which count rows from below.
        (200, 200, Address::Dvs128, 128, 199),
        (200, 200, Address::Dvs128, 0, 71),
        (2000, 2000, Address::Davis, 1024, 1999),
        (2000, 2000, Address::Davis, 0, 1487),
    ] {
        let mut aedat2 = Aedat2Encoder::new(Geometry::new(width, height), address);
        assert_eq!(aedat2.event(at(x, y), &mut none), Err(EncodeError::Place), "{width}x{height}: {x}, {y}");
        // Each has one neighbour that fits.
        let fits = [(x.wrapping_sub(1), y), (x, y.wrapping_sub(1)), (x, y + 1)];
        assert!(fits.into_iter().any(|(x, y)| aedat2.event(at(x, y), &mut none).is_ok()));
        assert_eq!(aedat2.event(Event::new(9, 0, height - 1, true), &mut none), Err(EncodeError::TimeBack));
        assert_eq!(aedat2.trigger(edge(0), &mut none), Err(EncodeError::Channel));
    }
    assert_eq!(EdvsEncoder::default().event(at(128, 0), &mut none), Err(EncodeError::Place));
    assert_eq!(EdvsEncoder::default().event(at(0, 128), &mut none), Err(EncodeError::Place));
    assert_eq!(EdvsEncoder::default().event(after(1 << 16), &mut none), Err(EncodeError::Pause));
    let mut edvs = EdvsEncoder::default();
    edvs.event(after(10), &mut none).unwrap();
    assert_eq!(edvs.event(after(9), &mut none), Err(EncodeError::TimeBack));
    assert_eq!(edvs.event(after(10 + (1 << 16)), &mut none), Err(EncodeError::Pause));
    assert_eq!(edvs.event(after(9 + (1 << 16)), &mut none), Ok(()));
    let mut dat = DatEncoder::default();
    dat.event(after(10), &mut none).unwrap();
    assert_eq!(dat.event(after(9), &mut none), Err(EncodeError::TimeBack));
    let mut aedat3 = Aedat3Encoder::default();
    aedat3.event(after(10), &mut none).unwrap();
    assert_eq!(aedat3.event(after(9), &mut none), Err(EncodeError::TimeBack));
    assert_eq!(aedat3.trigger(Trigger { t: 9, ..edge(0) }, &mut none), Err(EncodeError::TimeBack));
    assert_eq!(aedat3.trigger(edge(1), &mut none), Err(EncodeError::Channel));
    assert_eq!(aedat3.event(after(10), &mut none), Ok(()), "what was refused leaves no trace");
}

#[test]
fn aedat3_holds_times_up_to_what_a_reader_believes() {
    // A pause of almost 2^31 us before each event, up to 2^47 us.
    let (mut bytes, mut encoder) = (Vec::new(), Aedat3Encoder::default());
    let mut put = |b: &[u8]| bytes.extend_from_slice(b);
    let step = (1u64 << 31) - 1;
    let mut t = 0;
    while t >> 47 == 0 {
        encoder.event(Event::new(t as u32, 1, 1, true), &mut put).unwrap();
        t += step;
    }
    assert_eq!(encoder.event(Event::new(t as u32, 1, 1, true), &mut put), Err(EncodeError::Late));
    encoder.finish(&mut put);
    let (log, counts) = decode(Encoding::Aedat3, HD, &bytes);
    assert!(times(&log).into_iter().eq((0..t / step).map(|i| i * step)));
    assert_eq!(counts.violations(), 0);
}

// Bytes that no sensor sent.

fn agrees(model: &model::Model, log: &Log, counts: &Counts) {
    assert!(log.events == model.events);
    assert_eq!(log.triggers, model.triggers);
    let counted =
        [counts.before_sync, counts.off_sensor, counts.reserved, counts.time_high_back, counts.time_low_back];
    assert_eq!(
        counted,
        [model.before_sync, model.off_sensor, model.reserved, model.high_back, model.low_back]
    );
}

#[test]
fn decoders_agree_with_the_plain_reading_on_any_words() {
    for seed in 0..300 {
        let mut random = Random(seed);
        // Mostly events, rows and slow time, with every other kind between them.
        let rare = 1 + random.below(40);
        let (mut high, mut low) = (random.below(4096) as u16, 0);
        let evt3: Vec<u16> = (0..2000)
            .map(|_| {
                let any = random.next() as u16;
                match random.below(12) {
                    _ if random.below(rare) == 0 => any,
                    0..=5 => 0x2000 | any & 0xBFF,
                    6..=8 => any & 0x3FF,
                    9 => {
                        low = (low + any % 5) & 0xFFF;
                        0x6000 | low
                    }
                    10 => {
                        high = (high + u16::from(any.is_multiple_of(16))) & 0xFFF;
                        0x8000 | high
                    }
                    _ => [0x3000 | any & 0xBFF, 0x4000 | any & 0xFFF, 0x5000 | any & 0xFFF][any as usize % 3],
                }
            })
            .collect();
        let geometry = Geometry::new(900, 700);
        let bytes = words16(&evt3);
        let (log, counts) = decode(Encoding::Evt3, geometry, &bytes);
        agrees(&model::evt3(&bytes, geometry), &log, &counts);
        let (parts, parts_counts) = decode_in_chunks(Encoding::Evt3, geometry, &bytes, 50, seed);
        assert!((parts, parts_counts) == (log, counts));

        let mut time = random.next() as u32 >> 6;
        let evt2: Vec<u32> = (0..2000)
            .map(|_| {
                let any = random.next() as u32;
                time += any % 3;
                match random.below(30) {
                    _ if random.below(rare) == 0 => any,
                    0 => 0x8000_0000 | time >> 6,
                    _ => any & 0x101F_F9FF | (time & 63) << 22,
                }
            })
            .collect();
        let bytes = words32(&evt2);
        let (log, counts) = decode(Encoding::Evt2, geometry, &bytes);
        agrees(&model::evt2(&bytes, geometry), &log, &counts);
        let (parts, parts_counts) = decode_in_chunks(Encoding::Evt2, geometry, &bytes, 50, seed);
        assert!((parts, parts_counts) == (log, counts));
    }
}

#[test]
fn random_bytes_give_no_panic_no_event_outside_and_no_time_back() {
    for encoding in ALL {
        for seed in 0..40 {
            let mut random = Random(seed);
            let bytes: Vec<u8> = (0..3000).map(|_| random.next() as u8).collect();
            let geometry =
                if encoding == Encoding::Edvs { Geometry::new(128, 128) } else { Geometry::new(300, 200) };
            // `decode` checks places and times.
            let whole = decode(encoding, geometry, &bytes);
            let parts = decode_in_chunks(encoding, geometry, &bytes, 9, seed);
            assert!(parts == whole, "{encoding:?}");
        }
    }
}

#[test]
fn a_hundredth_of_the_bytes_lost_or_flipped_is_survived_and_counted() {
    let events = stream(4, 60_000, HD, 1000, 20);
    let streams = [
        (Encoding::Evt2, encode(Evt2Encoder::default(), &events)),
        (Encoding::Evt21(WordOrder::Legacy), encode(Evt21Encoder::new(WordOrder::Legacy), &events)),
        (Encoding::Evt3, encode(Evt3Encoder::default(), &events)),
        (Encoding::Dat(Layout::V2), encode(DatEncoder::default(), &events)),
    ];
    for (encoding, clean) in streams {
        for lose in [false, true] {
            let mut random = Random(11);
            let mut bytes = Vec::with_capacity(clean.len());
            for &byte in &clean {
                match random.below(100) {
                    0 if lose => {}
                    0 => bytes.push(byte ^ 1 << random.below(8)),
                    _ => bytes.push(byte),
                }
            }
            let (log, counts) = decode(encoding, HD, &bytes);
            assert!(!log.events.is_empty());
            assert!(counts.violations() > 100, "{encoding:?} counts damage: {counts:?}");
        }
    }
}

#[test]
fn a_live_decoder_keeps_its_time_on_a_damaged_stream() {
    let events = stream(4, 60_000, HD, 1000, 20);
    let span = events[59_999].t - events[0].t;
    let mut random = Random(12);
    let mut bytes = encode(Evt3Encoder::default(), &events);
    for byte in &mut bytes {
        if random.below(100) == 0 {
            *byte ^= 1 << random.below(8);
        }
    }
    let (log, counts) = feed(Evt3::new(HD).with_max_step(12_288), &bytes);
    let seen = (log.events.last().unwrap().0 - log.events[0].0) as u32;
    assert!(seen.abs_diff(span) < span / 10, "{seen} of {span} us");
    assert!(counts.events > 50_000, "{counts:?}");
}

// Headers.

fn headed(text: &str) -> Header {
    header::parse(text.as_bytes()).unwrap()
}

#[test]
fn raw_headers() {
    let full = "% Date 2024\n% evt 3.0\n% format EVT3;height=720;width=1280\n% end\n";
    let wanted = Header { len: full.len(), encoding: Some(Encoding::Evt3), geometry: Some(HD) };
    assert_eq!(headed(full), wanted);
    assert_eq!(
        header::parse(&[full.as_bytes(), b"% not a header"].concat()),
        Ok(wanted),
        "nothing after the end line"
    );
    let short = headed("% evt 2.0\r\n% system_ID 21\r\n%\x01\x02");
    assert_eq!((short.len, short.geometry), (27, Some(Geometry::new(640, 480))));
    let order = |text: &str| headed(text).encoding;
    assert_eq!(order("% evt 2.1\n% endianness little\n"), Some(Encoding::Evt21(WordOrder::Little)));
    assert_eq!(
        order("% format EVT21;height=1;width=1;endianness=legacy\n"),
        Some(Encoding::Evt21(WordOrder::Legacy))
    );
    assert_eq!(order("% evt 2.1\n% system_ID 49\n"), Some(Encoding::Evt21(WordOrder::Legacy)));
    assert_eq!(order("% evt 2.1\n% system_ID 61\n"), Some(Encoding::Evt21(WordOrder::Little)));
    assert_eq!(headed("% evt 2.0\n% geometry 320x320\n").geometry, Some(Geometry::new(320, 320)));
    assert_eq!(headed("%x"), Header { len: 0, encoding: None, geometry: None });
    assert_eq!(header::parse(b"% evt 3.0"), Err(HeaderError::Incomplete));
    assert_eq!(header::parse(b"%"), Err(HeaderError::Incomplete));
}

#[test]
fn dat_and_aedat_headers() {
    let dat =
        headed("% Data file containing CD events\n% Version 2\n% Width 304\n% Height 240\n\u{c}\u{8}rest");
    assert_eq!(
        (dat.encoding, dat.geometry),
        (Some(Encoding::Dat(Layout::V2)), Some(Geometry::new(304, 240)))
    );
    let bad = header::parse(b"% Version 2\n\x07\x08");
    assert_eq!(bad, Err(HeaderError::DatRecord { kind: 7, size: 8 }));
    assert_eq!(header::parse(b"% Version 2\n\x07"), Err(HeaderError::Incomplete));
    let davis = "#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# HardwareInterface: DAVIS240C\r\n";
    let bytes = [davis.as_bytes(), b"#\x80\x01\x02\n"].concat();
    let header = header::parse(&bytes).unwrap();
    assert_eq!(
        (header.len, header.encoding),
        (davis.len(), Some(Encoding::Aedat2(Address::Davis))),
        "a record may begin with #"
    );
    assert_eq!(header.geometry, Some(Geometry::new(240, 180)));
    // A record may look like a line of text too, behind the line that ends the header.
    for end in ["#End Of ASCII Header\r\n", "# End of ASCII Header\r\n", "#!END-HEADER\r\n"] {
        let text = format!("#!AER-DAT2.0\r\n# AEChip: Davis640\r\n{end}");
        let header = header::parse(&[text.as_bytes(), b"# AEChi\n"].concat()).unwrap();
        assert_eq!((header.len, header.geometry), (text.len(), Some(Geometry::new(640, 480))));
    }
    let aedat3 = "#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#!END-HEADER\r\n";
    let header = header::parse(&[aedat3.as_bytes(), b"#"].concat()).unwrap();
    assert_eq!((header.len, header.encoding), (aedat3.len(), Some(Encoding::Aedat3)));
}

#[test]
fn a_header_that_names_an_unknown_format_is_not_guessed_over() {
    // Behind each are bytes that 5-byte records take without a violation.
    let words = [0u8; 100];
    for text in [
        "% evt 4.0\n% geometry 640x480\n% end\n",
        "% format EVT4;height=720;width=1280\n",
        "#!AER-DAT1.0\r\n",
    ] {
        let file = [text.as_bytes(), &words].concat();
        let geometry = text.contains("640x480").then_some(Geometry::new(640, 480));
        let geometry = geometry.or(text.contains("width").then_some(Geometry::new(1280, 720)));
        let refused = Err(HeaderError::Unknown { len: text.len(), geometry });
        assert_eq!(header::detect(&file, file.len() as u64), refused, "{text}");
        assert_eq!(header::parse(&file), refused, "{text}");
    }
    let both = headed("% evt 4.0\n% format EVT3;height=720;width=1280\n% end\n");
    assert_eq!(both.encoding, Some(Encoding::Evt3), "what is known counts");
    let file = [&b"% date 202401\n% end\n"[..], &words].concat();
    assert_eq!(
        header::detect(&file, file.len() as u64).unwrap().encoding,
        Some(Encoding::Bin),
        "none is named"
    );
}

#[test]
fn written_headers_are_read_and_formats_are_known_by_content() {
    let events = stream(21, 2000, Geometry::new(200, 180), 500, 30);
    let bytes = |encoding| match encoding {
        Encoding::Evt2 => encode(Evt2Encoder::default(), &events),
        Encoding::Evt21(order) => encode(Evt21Encoder::new(order), &events),
        Encoding::Evt3 => encode(Evt3Encoder::default(), &events),
        Encoding::Dat(_) => encode(DatEncoder::default(), &events),
        _ => encode(Record5Encoder::default(), &events),
    };
    for encoding in [ALL[0], ALL[1], ALL[2], ALL[3], ALL[5], Encoding::Bin] {
        let words = bytes(encoding);
        let mut text = String::new();
        encode::header(encoding, Geometry::new(200, 180), &mut text).unwrap();
        let file = [text.as_bytes(), &words].concat();
        let header = header::detect(&file[..4096], file.len() as u64).unwrap();
        assert_eq!((header.len, header.encoding), (text.len(), Some(encoding)));
        if !matches!(encoding, Encoding::Dat(_)) {
            let bare = header::detect(&words[..4096], words.len() as u64).unwrap();
            assert_eq!(bare.encoding, Some(encoding), "without its header");
        }
    }
    let check = |encoding, geometry, said, words: Vec<u8>| {
        let mut text = String::new();
        encode::header(encoding, geometry, &mut text).unwrap();
        let file = [text.as_bytes(), &words].concat();
        let header = header::detect(&file[..4096], file.len() as u64).unwrap();
        assert_eq!(header, Header { len: text.len(), encoding: Some(encoding), geometry: said });
    };
    for Sensor { geometry, address, .. } in Sensor::ALL {
        // The first record begins with '#', as a line of a header does.
        let row = geometry.height.checked_sub(1 + (0x23 << 2)).unwrap_or(5);
        let mut events = stream(22, 2000, geometry, 500, 30);
        events[0] = Event::new(1, 0, row, true);
        let words = encode(Aedat2Encoder::new(geometry, address), &events);
        check(Encoding::Aedat2(address), geometry, Some(geometry), words);
        check(Encoding::Aedat3, geometry, Some(geometry), encode(Aedat3Encoder::default(), &events));
    }
    // No AEDAT sensor has these pixels.
    let (geometry, words) = (Geometry::new(200, 180), encode(Aedat3Encoder::default(), &events));
    check(Encoding::Aedat3, geometry, None, words);
    let words = encode(Aedat2Encoder::new(geometry, Address::Davis), &events);
    check(Encoding::Aedat2(Address::Davis), geometry, None, words);
    assert_eq!(header::detect(b"", 0).unwrap().encoding, None);
    assert_eq!(header::detect(&[0xB7; 999], 999).unwrap().encoding, None);
}
