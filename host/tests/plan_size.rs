//! Plans stay small: a super-resolution network with its 15.3 kB of weights in at most 24 kB, and another form of its constants
//! changes no output.

use std::path::Path;

use mixel::compile::{CalibrationData, CompileOptions, Target, prepare};
use mixel_core::kernels::OpKind;
use mixel_core::plan::Plan;

/// The goal for `models/zoo/scet-x2.onnx`, names included.
const GOAL: usize = 24_000;
/// What it takes today, with a margin for other calibration: names and all. For Helium constants keep their usual form.
const MOST: [(Target, usize); 3] =
    [(Target::Generic, 23_800), (Target::CortexM4, GOAL), (Target::CortexM55, 29_500)];

fn compiled(model: &str, target: Target, strip: bool) -> mixel::compile::Compiled {
    let options = CompileOptions { calibration: CalibrationData::Random, strip, ..CompileOptions::default() };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo").join(model);
    prepare(&path, &options).unwrap().compile(target).unwrap()
}

#[test]
fn a_super_resolution_network_fits_its_goal() {
    for (target, most) in MOST {
        let bytes = compiled("scet-x2.onnx", target, false).plan.len();
        assert!(bytes <= most, "{target:?}: {bytes} bytes, {most} are allowed, the goal is {GOAL}");
    }
    for target in [Target::Generic, Target::CortexM4] {
        let bytes = compiled("scet-x2.onnx", target, true).plan.len();
        assert!(bytes <= 23_000, "{target:?}: {bytes} bytes without names, 23,000 are allowed");
    }
}

#[test]
fn an_intent_classifier_fits_its_goal() {
    for target in [Target::Generic, Target::CortexM4] {
        let bytes = compiled("pnlp-intent.onnx", target, false).plan.len();
        assert!(bytes <= 51_000, "{target:?}: {bytes} bytes, 51,000 are allowed, the goal is 52,000");
    }
}

#[test]
fn short_forms_are_taken_and_names_stay() {
    let whole = compiled("scet-x2.onnx", Target::CortexM4, false);
    let plan = Plan::new_checked(&whole.plan).unwrap();
    let kinds: Vec<OpKind> = plan.operators().map(|operator| operator.kind).collect();
    assert!(kinds.contains(&OpKind::LutSteps) && !kinds.contains(&OpKind::Lut));
    assert!(plan.operators().filter(|operator| operator.has_short_channels()).count() > 30);
    let names: Vec<String> = whole.program.operators.iter().map(|operator| operator.name.clone()).collect();
    assert_eq!(mixel::inspect::names(&plan), names);
    let stripped = compiled("scet-x2.onnx", Target::CortexM4, true);
    assert_eq!(mixel::inspect::names(&Plan::new_checked(&stripped.plan).unwrap()), Vec::<String>::new());
}
