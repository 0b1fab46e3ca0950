//! The definitions: all of them can be measured, and no kind of kernel is missing.

use std::collections::BTreeSet;

use mixel::compile::Target;
use mixel::run::{on_host, open};
use mixel_benches::definition::{Operator, folder, kernels, models};
use mixel_benches::engine::noise;
use mixel_benches::kernel::{plan, quantized};
use mixel_core::kernels::OpKind;

#[test]
fn every_kernel_makes_a_plan_that_runs() {
    let mut kinds = BTreeSet::new();
    for kernel in kernels().unwrap() {
        let quantized = quantized(&kernel).unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
        for target in [Target::Generic, Target::CortexM4, Target::CortexM55, Target::X86_64, Target::Aarch64]
        {
            let bytes = plan(&quantized, target).unwrap_or_else(|error| panic!("{}: {error}", kernel.name));
            let plan = open(&bytes, &kernel.name).unwrap();
            kinds.extend(plan.operators().map(|operator| operator.kind as u16));
            let two = matches!(kernel.operator, Operator::ChannelAttention { .. } | Operator::ConvPart(_));
            assert_eq!(plan.operator_count(), 1 + usize::from(two), "{} {target:?}", kernel.name);
            let sample = noise(&bytes, None).unwrap();
            let outputs = on_host(plan, &[sample], &mut |_, _, _| {}).unwrap();
            let first = outputs[0][0][0];
            assert!(outputs[0][0].iter().any(|&byte| byte != first), "{}: one value everywhere", kernel.name);
        }
    }
    // A Feed computes nothing.
    kinds.insert(OpKind::Feed as u16);
    let missing: Vec<&OpKind> = OpKind::ALL.iter().filter(|&&kind| !kinds.contains(&(kind as u16))).collect();
    assert!(missing.is_empty(), "benches/definitions/kernels.toml has no {missing:?}");
}

#[test]
fn models_of_the_repository_are_there() {
    let models = models().unwrap();
    assert_eq!(models.iter().filter(|model| model.onnx.starts_with("mlperf-tiny/")).count(), 5);
    for model in models.iter().filter(|model| model.onnx.starts_with("models/")) {
        assert!(folder().join("..").join(&model.onnx).is_file(), "{}", model.name);
    }
}
