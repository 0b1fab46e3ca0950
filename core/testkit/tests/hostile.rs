//! Damaged plans of every operator with weights, geometry or rows: each is refused, or runs without a panic and within its
//! arena.

use mixel_core::kernels::{OpKind, OpSet};
use mixel_core::pack::Layout;
use mixel_core::plan::format::{Section, header};
use mixel_core::plan::write::seal;
use mixel_core::{Plan, PlanError, Session};
use mixel_testkit::conv::{self, Case};
use mixel_testkit::{
    Failure, MEMORY, Pool, Random, attention, embedding, linear, matmul, pool, projection, turned,
};

/// Bytes at a multiple of 16.
struct Aligned(Vec<u128>);

impl Aligned {
    fn new(bytes: usize) -> Self {
        Self(vec![0; bytes.div_ceil(16)])
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

type Make = fn(Pool<'_>, &mut Random) -> Result<(), Failure>;

const MAKERS: [Make; 17] = [
    |pool, random| {
        let case = linear::Case { rows: 6, present: Some(3), depth: 9, outputs: 5 };
        linear::check::<i8, i8>(case, OpKind::Linear, Layout::ArmDsp, pool, random)
    },
    |pool, random| conv::check::<i8, i8>(Case::random(random), OpKind::Conv, Layout::Generic, pool, random),
    |pool, random| conv::check::<i16, i8>(Case::random(random), OpKind::Conv16, Layout::X86, pool, random),
    |pool, random| {
        let case = Case { present: Some(4), ..Case::new([1, 1, 9, 5], 7, [1, 3], 1, [0, 1], 1) };
        conv::check::<i8, i8>(case, OpKind::Conv, Layout::ArmDsp, pool, random)
    },
    |pool, random| {
        let case = Case::new([1, 6, 5, 18], 18, [3, 3], 1, [1, 1], 1);
        conv::check::<i8, i8>(case, OpKind::Depthwise, Layout::Generic, pool, random)
    },
    |pool, random| {
        conv::check::<i8, i8>(Case::random(random), OpKind::ConvTranspose, Layout::Generic, pool, random)
    },
    |pool, random| {
        let case = Case::new([1, 6, 6, 8], 8, [3, 3], 2, [1, 1], 1);
        pool::check_max::<i8>(case, OpKind::MaxPool, pool, random)?;
        Ok(())
    },
    |pool, random| {
        let case = Case::new([1, 6, 6, 8], 8, [3, 3], 2, [1, 1], 1);
        pool::check_average::<i8, i8>(case, false, OpKind::AveragePool, pool, random)
    },
    |pool, random| {
        let rows = Some(([true, true, false], 4));
        let (batches, sizes) = ([1, 2], [6, 6, 20]);
        let case = matmul::Case { batches, sizes, transposed: false, shared: false, present: rows };
        let layout = [Layout::ArmDsp, Layout::Helium, Layout::X86, Layout::Aarch64][random.size(0, 3)];
        matmul::check::<i8, i8>(case, OpKind::MatMul, layout, pool, random)
    },
    |pool, random| {
        let case = linear::Case { rows: 4, present: Some(3), depth: 21, outputs: 5 };
        linear::check::<i8, i8>(case, OpKind::LinearInt4, Layout::ArmDsp, pool, random)
    },
    |pool, random| {
        let case = linear::Case { rows: 6, present: Some(3), depth: 37, outputs: 5 };
        linear::check::<i8, i8>(case, OpKind::LinearSparse, Layout::Generic, pool, random)
    },
    |pool, random| {
        conv::check::<i8, i8>(Case::random(random), OpKind::ConvInt4, Layout::Generic, pool, random)
    },
    |pool, random| {
        conv::check::<i8, i8>(Case::random(random), OpKind::ConvSparse, Layout::ArmDsp, pool, random)
    },
    |pool, random| {
        let layout = [Layout::ArmDsp, Layout::Helium, Layout::X86][random.size(0, 2)];
        conv::check::<i8, i8>(Case::random(random), OpKind::ConvPart, layout, pool, random)
    },
    |pool, random| {
        let case = linear::Case { rows: 6, present: Some(3), depth: 20, outputs: 7 };
        linear::check::<i8, i8>(case, OpKind::LinearPart, Layout::Helium, pool, random)
    },
    |pool, random| {
        let layout = [Layout::ArmDsp, Layout::Generic, Layout::Helium, Layout::X86][random.size(0, 3)];
        turned::check(turned::Case::random(random), layout, pool, random)
    },
    |pool, random| {
        let layout = [Layout::ArmDsp, Layout::Helium, Layout::X86, Layout::Generic][random.size(0, 3)];
        attention::check(attention::Case::random(random), layout, pool, random)
    },
];

const PROJECTION: projection::Case =
    projection::Case { length: 5, words: 3, present: Some(4), hashes: 4, slots: 3, bins: 16, width: 21 };

const PROJECT: [Make; 3] = [
    |pool, random| projection::check::<i8>(PROJECTION, OpKind::Projection, pool, random),
    |pool, random| projection::check::<i8>(PROJECTION, OpKind::ProjectionInt4, pool, random),
    |pool, random| {
        let case = embedding::Case { length: 5, present: Some(3), rows: 4, width: 7 };
        embedding::check(case, pool, random)
    },
];

fn plan(make: Make, seed: u32) -> Vec<u8> {
    let mut memory = vec![0u8; MEMORY];
    let mut plan = Vec::new();
    let mut keep = |bytes: &[u8]| plan.extend_from_slice(bytes);
    make(Pool::inspected(&mut memory, &mut keep), &mut Random::new(seed)).expect("a plan");
    plan
}

/// Where sections that are not empty lie in the plan.
fn sections(plan: &[u8]) -> Vec<core::ops::Range<usize>> {
    let word = |at: usize| u32::from_le_bytes(plan[at..at + 4].try_into().unwrap()) as usize;
    let mut bounds: Vec<usize> = (0..Section::COUNT).map(|i| word(header::SECTIONS + 4 * i)).collect();
    bounds.push(plan.len());
    bounds.windows(2).map(|ends| ends[0]..ends[1]).filter(|section| !section.is_empty()).collect()
}

/// Changes one thing: a bit, a byte, a 32-bit field that becomes extreme, or two fields that change places.
fn damage(plan: &mut [u8], places: &[core::ops::Range<usize>], random: &mut Random) {
    let place = &places[random.size(0, places.len() - 1)];
    let at = random.size(place.start, place.end - 1);
    let word = place.start + (at - place.start) / 4 * 4;
    let whole = word + 4 <= place.end;
    match random.range(0, 5) {
        0 => plan[at] = random.bits() as u8,
        1 if whole => plan[word..word + 4].fill(0xFF),
        2 if whole => plan[word..word + 4].copy_from_slice(&[0, 0, 0, 0x10]),
        3 if whole => {
            let other = place.start + random.size(0, (place.len() - 4) / 4) * 4;
            for byte in 0..4 {
                plan.swap(word + byte, other + byte);
            }
        }
        _ => plan[at] ^= 1 << random.range(0, 7),
    }
}

/// Runs an accepted plan with every kind of row count between two guards.
fn run_within_bounds(bytes: &[u8], random: &mut Random) -> bool {
    let plan = match Plan::new_checked(bytes) {
        Ok(plan) => plan,
        Err(error) => {
            assert_ne!(error, PlanError::Misaligned);
            assert_ne!(error, PlanError::Checksum);
            return false;
        }
    };
    let arena = plan.arena_bytes();
    if arena > 1 << 22 {
        // Accepted, but larger than a test wants to run.
        return true;
    }
    let mut memory = Aligned::new(arena + 64);
    memory.bytes().iter_mut().for_each(|byte| *byte = random.bits() as u8);
    let before: Vec<u8> = memory.bytes().to_vec();
    let (front, rest) = memory.bytes().split_at_mut(16);
    let mut session = Session::new(plan, &mut rest[..arena]).expect("an aligned arena of the right size");
    for rows in [0, 1, plan.max_rows()] {
        session.set_rows(rows.min(plan.max_rows())).expect("within the bound");
        session.run();
    }
    assert_eq!(front, &before[..16]);
    assert_eq!(rest[arena..], before[16 + arena..]);
    true
}

#[test]
fn every_accepted_mutant_runs_in_bounds() {
    let rounds = if cfg!(miri) { 2 } else { 4000 };
    let (mut refused, mut ran) = (0, 0);
    for (index, make) in MAKERS.into_iter().chain(PROJECT).enumerate() {
        let original = plan(make, index as u32 + 1);
        let places = sections(&original);
        let mut random = Random::new(index as u32 + 77);
        for _ in 0..rounds {
            let mut mutant = Aligned::new(original.len());
            mutant.bytes()[..original.len()].copy_from_slice(&original);
            let mutant = &mut mutant.bytes()[..original.len()];
            for _ in 0..random.size(1, 3) {
                damage(mutant, &places, &mut random);
            }
            seal(mutant);
            if run_within_bounds(mutant, &mut random) { ran += 1 } else { refused += 1 }
        }
    }
    println!("{refused} refused, {ran} ran");
    assert!(cfg!(miri) || (ran > rounds && refused > rounds));
}

#[test]
fn damaged_headers_are_refused_or_run() {
    let original = plan(MAKERS[1], 5);
    let fields = header::LENGTH..header::SIZE;
    let mut random = Random::new(9);
    for _ in 0..if cfg!(miri) { 20 } else { 20_000 } {
        let mut mutant = Aligned::new(original.len());
        mutant.bytes()[..original.len()].copy_from_slice(&original);
        let mutant = &mut mutant.bytes()[..original.len()];
        damage(mutant, core::slice::from_ref(&fields), &mut random);
        seal(mutant);
        if let Ok(plan) = Plan::new_checked(mutant) {
            assert!(plan.bytes().len() <= original.len());
            if plan.arena_bytes() <= 1 << 22 {
                let mut arena = Aligned::new(plan.arena_bytes());
                Session::new(plan, arena.bytes()).expect("a session").run();
            }
        }
    }
}

mixel_core::op_set! {
    /// For the plan of the test below alone.
    struct ForOnePlan: Linear;
    // The test below verifies the plan first.
    verified: unsafe 0xB47A9DD9;
}

#[test]
fn a_set_for_one_plan_takes_no_other() {
    let original = plan(MAKERS[0], 3);
    let mut copy = Aligned::new(original.len());
    let plan = &mut copy.bytes()[..original.len()];
    plan.copy_from_slice(&original);
    let checked = Plan::new_checked(plan).expect("a plan");
    let vouched = ForOnePlan::VERIFIED.map(|verified| verified.checksum());
    assert_eq!(
        Some(checked.checksum()),
        vouched,
        "the plan of this test is another one now: write its checksum above"
    );

    let run = |bytes: &[u8]| {
        let mut arena = Aligned::new(1 << 16);
        let mut session =
            Session::new(Plan::<ForOnePlan>::with_ops(bytes)?, arena.bytes()).expect("a session");
        session.run();
        Ok::<_, PlanError>(session.output(0).to_vec())
    };
    let mut arena = Aligned::new(1 << 16);
    let mut session = Session::new(checked, arena.bytes()).expect("a session");
    session.run();
    assert_eq!(run(plan).expect("its plan"), session.output(0));

    // Damage is still noticed; what is whole and another plan is refused, though its operators are linked.
    *plan.last_mut().expect("bytes") ^= 1;
    assert_eq!(run(plan), Err(PlanError::Checksum));
    seal(plan);
    assert_eq!(run(plan), Err(PlanError::OtherPlan));
}

mixel_core::op_set! {
    /// Without what plans may have beside operators.
    struct Bare: Linear;
    strips: false;
    front_end: false;
    short_channels: false;
    states: false;
}

#[test]
fn what_a_set_leaves_out_is_refused_by_name() {
    let original = plan(MAKERS[0], 3);
    // `more` bytes at the end are the last section: groups that run in strips.
    let refused = |more: usize, change: fn(&mut [u8])| {
        let length = original.len() + more;
        let mut copy = Aligned::new(length);
        let plan = &mut copy.bytes()[..length];
        plan[..original.len()].copy_from_slice(&original);
        plan[header::LENGTH..header::LENGTH + 4].copy_from_slice(&(length as u32).to_le_bytes());
        change(plan);
        seal(plan);
        Plan::<Bare>::with_ops(plan).err()
    };
    assert_eq!(refused(0, |_| ()), None);
    assert_eq!(refused(0, |plan| plan[header::STATE_BYTES] = 16), Some(PlanError::StatesNotLinked));
    assert_eq!(refused(4, |_| ()), Some(PlanError::StripsNotLinked));
}

#[test]
fn every_truncation_is_refused() {
    let original = plan(MAKERS[0], 3);
    let mut copy = Aligned::new(original.len());
    copy.bytes()[..original.len()].copy_from_slice(&original);
    assert!(Plan::new_checked(&copy.bytes()[..original.len()]).is_ok());
    for length in (0..original.len()).step_by(if cfg!(miri) { 97 } else { 1 }) {
        assert!(Plan::new_checked(&copy.bytes()[..length]).is_err(), "{length} bytes were accepted");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let original = plan(MAKERS[0], 3);
    let mut copy = Aligned::new(original.len());
    copy.bytes()[..original.len()].copy_from_slice(&original);
    let step = if cfg!(miri) { 997 } else { 1 };
    for bit in (0..original.len() * 8).step_by(step) {
        copy.bytes()[bit / 8] ^= 1 << (bit % 8);
        assert!(Plan::new_checked(&copy.bytes()[..original.len()]).is_err(), "bit {bit} went unnoticed");
        copy.bytes()[bit / 8] ^= 1 << (bit % 8);
    }
}
