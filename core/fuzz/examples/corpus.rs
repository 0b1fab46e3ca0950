//! Writes the first corpus of each target to `corpus/TARGET/`: short streams from the encoders, and headers.
//!
//! `cargo run --example corpus` from the fuzz folder.
use std::fs;
use std::path::Path;

use mixel_core::events::encode::{
    self, DatEncoder, Encoder, Evt2Encoder, Evt3Encoder, Evt21Encoder, Record5Encoder,
};
use mixel_core::events::evt21::WordOrder;
use mixel_core::events::header::Encoding;
use mixel_core::events::{Event, Geometry};
use mixel_core::kernels::OpKind;
use mixel_core::pack::Layout;
use mixel_testkit::conv::{self, Case};
use mixel_testkit::{Failure, MEMORY, Pool, Random, attention, embedding, linear, normalising, turned};

/// A row at once, single events, a pause over the wrap of EVT3, a repeated time.
fn events() -> Vec<Event> {
    let row = (0..20).map(|x| Event::new(1000, 30 + x + x / 7, 9, true));
    let alone = (0..12u32)
        .map(|i| Event::new(1100 + 900 * i, (i * 37 % 100) as u16, (i * 11 % 90) as u16, i % 3 == 0));
    let late = (0..6u32).map(|i| Event::new(20_000_000 + i / 2, 5 + i as u16, 6, i % 2 == 0));
    row.chain(alone).chain(late).collect()
}

fn encoded(mut encoder: impl Encoder, events: &[Event]) -> Vec<u8> {
    let mut bytes = vec![70];
    let mut put = |b: &[u8]| bytes.extend_from_slice(b);
    for &event in events {
        encoder.event(event, &mut put).expect("the corpus fits the formats");
    }
    encoder.finish(&mut put);
    bytes
}

type Make = fn(Pool<'_>, &mut Random) -> Result<(), Failure>;

/// Plans of one operator each.
const PLANS: [Make; 11] = [
    |pool, random| {
        let case = linear::Case { rows: 6, present: Some(3), depth: 9, outputs: 5 };
        linear::check::<i8, i8>(case, OpKind::Linear, Layout::ArmDsp, pool, random)
    },
    |pool, random| {
        let case = Case::new([1, 5, 6, 3], 4, [3, 3], 2, [1, 1], 1);
        conv::check::<i8, i8>(case, OpKind::Conv, Layout::X86, pool, random)
    },
    |pool, random| {
        let case = Case::new([1, 6, 5, 18], 18, [3, 3], 1, [1, 1], 1);
        conv::check::<i8, i8>(case, OpKind::Depthwise, Layout::Generic, pool, random)
    },
    |pool, random| {
        let case = Case::new([1, 4, 6, 2], 3, [3, 3], 1, [1, 1], 1);
        conv::check::<i8, i16>(case, OpKind::ConvTranspose16, Layout::Helium, pool, random)
    },
    |pool, random| {
        let case = linear::Case { rows: 3, present: None, depth: 13, outputs: 6 };
        linear::check::<i8, i8>(case, OpKind::LinearSparse, Layout::Generic, pool, random)
    },
    |pool, random| {
        let case = Case::new([1, 5, 6, 4], 3, [3, 3], 1, [1, 1], 1);
        conv::check::<i8, i8>(case, OpKind::ConvPart, Layout::ArmDsp, pool, random)
    },
    |pool, random| {
        let case = linear::Case { rows: 4, present: None, depth: 9, outputs: 5 };
        linear::check::<i8, i8>(case, OpKind::LinearPart, Layout::Generic, pool, random)
    },
    |pool, random| turned::check(turned::Case::random(random), Layout::ArmDsp, pool, random),
    |pool, random| {
        let case = embedding::Case { length: 5, present: Some(3), rows: 4, width: 7 };
        embedding::check(case, pool, random)
    },
    |pool, random| {
        let case = normalising::Case { dims: [1, 2, 6, 5], axes: (3, 3), present: Some((2, 4)) };
        normalising::check_softmax::<i8, i8>(case, (OpKind::Softmax, Layout::ArmDsp), pool, random)
    },
    |pool, random| {
        let case = attention::Case {
            batches: [1, 2],
            sizes: [5, 4, 7, 4],
            transposed: [true, false],
            shared: [false, true],
            present: Some(([true, false, false, false], 3)),
        };
        attention::check(case, Layout::ArmDsp, pool, random)
    },
];

fn plan(make: Make) -> Vec<u8> {
    let (mut memory, mut plan) = (vec![0; MEMORY], Vec::new());
    let mut keep = |bytes: &[u8]| plan.extend_from_slice(bytes);
    make(Pool::inspected(&mut memory, &mut keep), &mut Random::new(1)).expect("a plan");
    plan
}

fn main() -> std::io::Result<()> {
    let events = events();
    let early = &events[..32];
    let aedat2: Vec<u8> = early
        .iter()
        .flat_map(|e| {
            let davis = u32::from(e.y()) << 22 | u32::from(e.x()) << 12 | u32::from(e.on()) << 11;
            [davis.to_be_bytes(), e.t.to_be_bytes()].concat()
        })
        .collect();
    let head = [1u32, 8, 4, 0, 32, 32, 32].map(u32::to_le_bytes).concat();
    let aedat3 = early.iter().flat_map(|e| {
        let data = u32::from(e.x()) << 17 | u32::from(e.y()) << 2 | u32::from(e.on()) << 1 | 1;
        [data.to_le_bytes(), e.t.to_le_bytes()].concat()
    });
    let edvs = early.iter().flat_map(|e| {
        let [high, low] = (e.t as u16).to_be_bytes();
        [0x80 | e.y() as u8, u8::from(!e.on()) << 7 | e.x() as u8, high, low]
    });
    let windows =
        early.iter().flat_map(|e| [e.t as u8, (e.t >> 8) as u8, 0, 1, e.x() as u8, 0, e.y() as u8, 0]);
    let mut seeds = vec![
        ("evt2", encoded(Evt2Encoder::default(), &events)),
        ("evt21", encoded(Evt21Encoder::new(WordOrder::Legacy), &events)),
        ("evt3", encoded(Evt3Encoder::default(), &events)),
        ("dat", encoded(DatEncoder::default(), &events)),
        ("record5", encoded(Record5Encoder::default(), early)),
        ("aedat2", [vec![70], aedat2].concat()),
        ("aedat3", [70].into_iter().chain(head).chain(aedat3).collect()),
        ("edvs", [70].into_iter().chain(edvs).collect()),
        ("windows", [3, 5, 4, 0].into_iter().chain(windows).collect()),
        ("header", b"#!AER-DAT2.0\r\n# HardwareInterface: DAVIS240C\r\n\x01\x02".to_vec()),
    ];
    for encoding in [
        Encoding::Evt3,
        Encoding::Evt21(WordOrder::Little),
        Encoding::Dat(mixel_core::events::dat::Layout::V2),
    ] {
        let mut text = String::new();
        encode::header(encoding, Geometry::new(640, 480), &mut text).expect("a string takes everything");
        seeds.push(("header", text.into_bytes()));
    }
    seeds.extend(PLANS.map(|make| ("plan", plan(make))));
    seeds.push((
        "text",
        [b"\x10\x20\x01\x20".as_slice(), "play a l\u{e4}ndler, \u{bb}please\u{ab}".as_bytes()].concat(),
    ));
    for (i, (target, bytes)) in seeds.into_iter().enumerate() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("seed{i}")), bytes)?;
    }
    Ok(())
}
