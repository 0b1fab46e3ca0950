//! All conformance cases on this machine, and random ones.

use mixel_core::kernels::{OpKind, lean};
use mixel_core::pack::Layout;
use mixel_core::plan::RawPlan;
use mixel_testkit::conv::{self, Case};
use mixel_testkit::{Failure, MEMORY, Pool, Random, attention, linear, matmul, normalising, turned};

#[test]
fn all_cases_agree_with_their_reference() {
    let mut memory = vec![0u8; MEMORY];
    let (mut cases, mut failed) = (0, Vec::new());
    let every = if cfg!(miri) { 89 } else { 1 };
    mixel_testkit::run_some(&mut memory, every, &mut |name, result| {
        cases += 1;
        if let Err(failure) = result {
            failed.push(format!("{name}: {failure}"));
        }
    });
    for backend in mixel_core::arch::Backend::ALL.iter().filter(|backend| !backend.available()) {
        println!("SKIPPED: backend {backend}: this machine does not have it");
    }
    assert!(cases >= 300 / every, "only {cases} cases were run");
    assert!(failed.is_empty(), "{} of {cases} failed:\n{}", failed.len(), failed.join("\n"));
}

/// How many of some convolutions with random weights and scales kernels without common ways take, and how many they leave.
fn lean_ones(kind: OpKind, layout: Layout, channels: usize, dilation: u16) -> (usize, usize) {
    let mut memory = vec![0u8; MEMORY];
    let (mut taken, mut left) = (0, 0);
    for seed in 0..if cfg!(miri) { 2 } else { 40 } {
        let mut look = |bytes: &[u8]| {
            let operator = RawPlan::open(bytes).unwrap().operator(0).unwrap();
            if lean(&operator) { taken += 1 } else { left += 1 }
        };
        let random = &mut Random::new(seed);
        let pool = Pool::inspected(&mut memory, &mut look);
        let case = Case::new([1, 8, 8, channels], channels, [3, 3], 1, [1, 1], 1).dilated([1, dilation]);
        conv::check::<i8, i8>(case, kind, layout, pool, random).unwrap();
    }
    (taken, left)
}

#[test]
fn kernels_without_common_ways_take_the_usual_operators_of_arm_dsp_only() {
    for kind in [OpKind::Conv, OpKind::ConvPart, OpKind::Depthwise] {
        assert!(lean_ones(kind, Layout::ArmDsp, 8, 1).0 > 0, "{kind:?}");
        assert_eq!(lean_ones(kind, Layout::ArmDsp, 8, 2).0, 0, "{kind:?} dilated");
        for layout in [Layout::Generic, Layout::Helium] {
            assert_eq!(lean_ones(kind, layout, 8, 1).0, 0, "{kind:?} {layout:?}");
        }
    }
    assert_eq!(lean_ones(OpKind::Depthwise, Layout::ArmDsp, 6, 1).0, 0);
}

#[test]
fn a_softmax_of_rows_takes_the_last_axis_with_any_rows_of_others() {
    let mut memory = vec![0u8; MEMORY];
    let mut taken_in = |seed: u32, layout: Layout, axis: usize, present: Option<(usize, usize)>| {
        let mut taken = None;
        let mut look = |bytes: &[u8]| taken = Some(lean(&RawPlan::open(bytes).unwrap().operator(0).unwrap()));
        let pool = Pool::inspected(&mut memory, &mut look);
        let case = normalising::Case { dims: [1, 2, 6, 4], axes: (axis, axis), present };
        normalising::check_softmax::<i8, i8>(case, (OpKind::Softmax, layout), pool, &mut Random::new(seed))
            .unwrap();
        taken.unwrap()
    };
    // Generic plans may have a shorter table, which the loops do not take.
    let generic: Vec<bool> = (0..32).map(|seed| taken_in(seed, Layout::Generic, 3, None)).collect();
    assert!(generic.contains(&true) && generic.contains(&false));
    let mut taken = |axis, present| taken_in(1, Layout::ArmDsp, axis, present);
    assert!(taken(3, None) && taken(3, Some((2, 4))) && taken(3, Some((1, 1))));
    assert!(!taken(2, None) && !taken(2, Some((2, 4))) && !taken(3, Some((3, 2))));
}

/// Runs `check` with many seeds, for every layout.
fn for_seeds(check: impl Fn(Pool<'_>, &mut Random, Layout) -> Result<(), Failure>) {
    let mut memory = vec![0u8; MEMORY];
    for seed in 0..if cfg!(miri) { 1 } else { 1500 } {
        for layout in Layout::ALL {
            if let Err(failure) = check(Pool::new(&mut memory), &mut Random::new(seed), layout) {
                panic!("seed {seed}, {layout:?}: {failure}");
            }
        }
    }
}

#[test]
fn random_convolutions_agree_apart_and_overlapped() {
    for_seeds(|pool, random, layout| {
        conv::check::<i8, i8>(Case::random(random), OpKind::Conv, layout, pool, random)
    });
}

#[test]
fn random_convolutions_make_their_part_and_nothing_else() {
    for_seeds(|pool, random, layout| {
        conv::check::<i8, i8>(Case::random(random), OpKind::ConvPart, layout, pool, random)
    });
}

#[test]
fn random_convolutions_with_packed_weights_agree() {
    for_seeds(|pool, random, layout| {
        let kind = [OpKind::ConvInt4, OpKind::ConvSparse][random.size(0, 1)];
        conv::check::<i8, i8>(Case::random(random), kind, layout, pool, random)
    });
}

#[test]
fn random_transposed_convolutions_agree() {
    for_seeds(|pool, random, layout| {
        conv::check::<i8, i8>(Case::random(random), OpKind::ConvTranspose, layout, pool, random)
    });
}

#[test]
fn random_depthwise_convolutions_agree_apart_and_overlapped() {
    for_seeds(|pool, random, layout| {
        let case = Case::random(random);
        let channels = random.size(1, 40);
        let multiplier = [1, 1, 1, 2, 3][random.size(0, 4)];
        let input = [case.input[0], case.input[1], case.input[2], channels];
        let case = Case { input, outputs: channels * multiplier, ..case };
        conv::check::<i8, i8>(case, OpKind::Depthwise, layout, pool, random)
    });
}

#[test]
fn random_linear_layers_agree_apart_and_overlapped() {
    for_seeds(|pool, random, layout| {
        let case = linear_case(random);
        linear::check::<i8, i8>(case, OpKind::Linear, layout, pool, random)
    });
}

#[test]
fn random_linear_layers_make_their_part_and_nothing_else() {
    for_seeds(|pool, random, layout| {
        linear::check::<i8, i8>(linear_case(random), OpKind::LinearPart, layout, pool, random)
    });
}

#[test]
fn random_linear_layers_read_and_write_columns() {
    for_seeds(|pool, random, layout| turned::check(turned::Case::random(random), layout, pool, random));
}

#[test]
fn random_linear_layers_with_packed_weights_agree_apart_and_overlapped() {
    for_seeds(|pool, random, layout| {
        let case = linear::Case { depth: random.size(1, 67), ..linear_case(random) };
        let kind = [OpKind::LinearInt4, OpKind::LinearSparse][random.size(0, 1)];
        linear::check::<i8, i8>(case, kind, layout, pool, random)
    });
}

#[test]
fn random_products_of_activations_agree() {
    for_seeds(|pool, random, layout| {
        let sizes @ [m, _, n] = [random.size(1, 10), random.size(1, 33), random.size(1, 72)];
        let present = [None, Some(([true, false, m == n], random.size(0, m)))][random.size(0, 1)];
        let (transposed, shared) = (random.size(0, 1) == 1, random.size(0, 1) == 1);
        let case = matmul::Case { batches: [1, random.size(1, 2)], sizes, transposed, shared, present };
        matmul::check::<i8, i8>(case, OpKind::MatMul, layout, pool, random)
    });
}

#[test]
fn random_attention_agrees_apart_and_overlapped() {
    for_seeds(|pool, random, layout| attention::check(attention::Case::random(random), layout, pool, random));
}

fn linear_case(random: &mut Random) -> linear::Case {
    let rows = random.size(1, 12);
    let present = [None, Some(random.size(0, rows))][random.size(0, 1)];
    linear::Case { rows, present, depth: random.size(1, 40), outputs: random.size(1, 40) }
}
