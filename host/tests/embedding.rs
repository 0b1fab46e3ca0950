//! Rows of a constant matrix by numbers that come at run time: what comes out is the matrix in steps of the output, rounded once.

mod support;

use mixel::device::Sample;
use mixel::lower::lower;
use mixel::quantize::{Options, WeightForm, WeightRule, quantize, quantize_value};
use mixel::run::{on_host, open};
use mixel_core::kernels::OpKind;
use mixel_core::pack::Layout;
use mixel_core::plan::DType;
use support::onnx::{Int, Onnx};

const ROWS: usize = 7;
const WIDTH: usize = 6;
const STEP: mixel::graph::Quantization =
    mixel::graph::Quantization { scale: 0.011, zero_point: -3, dtype: DType::I8 };

fn model() -> Onnx {
    let mut model = Onnx::new(21);
    model.input_of("numbers", 7, &[5]).random("table", &[ROWS as i64, WIDTH as i64]);
    model.node("Gather", &["table", "numbers"], "g", &[("axis", Int(0))]);
    model.floats("s", &[], &[STEP.scale]).bytes("z", &[], &[STEP.zero_point as i8]);
    model.node("QuantizeLinear", &["g", "s", "z"], "y", &[]).output("y");
    model
}

#[test]
fn rows_are_rounded_once_and_what_names_none_is_zero() {
    let graph = model().load().unwrap();
    let table = graph.values.iter().find_map(|value| {
        let constant = value.constant.as_ref()?;
        (constant.data.len() == ROWS * WIDTH).then(|| constant.data.clone())
    });
    let table = table.unwrap();
    let numbers: [u16; 5] = [3, 6, ROWS as u16, 0, u16::MAX];
    let row = |&number: &u16| match table.get(usize::from(number) * WIDTH..) {
        Some(rest) if !rest.is_empty() => rest[..WIDTH].to_vec(),
        _ => vec![0.0; WIDTH],
    };
    let wanted: Vec<u8> =
        numbers.iter().flat_map(row).map(|real| quantize_value(real.into(), &STEP) as u8).collect();
    let samples = [Sample::Tensors {
        rows: None,
        inputs: vec![numbers.iter().flat_map(|number| number.to_le_bytes()).collect()],
    }];
    for (form, kind) in [(WeightForm::Int8, OpKind::Embedding), (WeightForm::Int4, OpKind::ProjectionInt4)] {
        let options = Options { weights: vec![WeightRule { form, layers: None }], ..Options::default() };
        let quantized = quantize(graph.clone(), None, &options).unwrap();
        for layout in Layout::ALL {
            let program = lower(&quantized, layout).unwrap();
            let kinds: Vec<OpKind> = program.operators.iter().map(|operator| operator.kind).collect();
            assert_eq!(kinds, [kind]);
            let placement = mixel::plan::place(&program).unwrap();
            let plan = mixel::emit::emit(&program, &placement, false).unwrap();
            let found = on_host(open(&plan, "").unwrap(), &samples, &mut |_, _, _| {}).unwrap();
            if kind == OpKind::Embedding {
                assert_eq!(found[0][0], wanted, "{layout:?}");
            }
            let none = &found[0][0][4 * WIDTH..];
            assert!(none.iter().all(|&value| value as i8 == -3), "{form:?}: {none:?}");
        }
    }
}
