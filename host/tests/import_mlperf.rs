//! The nine models of MLPerf Tiny: import, passes and oracle.

mod support;

use mixel::arrays::read_npz;
use mixel::graph::{Graph, Op};
use mixel::import::{self, ImportOptions};
use mixel::reference::Reference;
use support::{assert_close, data, interpreter, tensor};

const MODELS: [&str; 9] =
    ["kws_float", "ic_float", "vww_float", "ad_float", "kws_qdq", "ic_qdq", "vww_qdq", "ad_qdq", "sww_qdq"];

fn print(graph: &Graph) {
    for node in &graph.nodes {
        let value = graph.value(node.output);
        let name: String = node.name.chars().take(30).collect();
        println!(
            "  {:12} {:20} {name} given={:?}",
            node.op.name(),
            value.shape.to_string(),
            value.given.map(|g| (g.scale, g.zero_point))
        );
    }
}

#[test]
fn all_models_import() {
    for name in MODELS {
        let Some(path) = data(&format!("mlperf-tiny/{name}.onnx")) else { continue };
        let graph = import::load(&path, &ImportOptions::default()).unwrap();
        println!("{name}");
        print(&graph);
        let moves = graph.nodes.iter().filter(|node| matches!(node.op, Op::Transpose { .. })).count();
        assert_eq!(moves, 0, "{name} keeps transpositions");
        if name.ends_with("qdq") {
            let mut values = graph.inputs.iter().copied().chain(graph.nodes.iter().map(|node| node.output));
            assert!(values.all(|id| graph.value(id).given.is_some()), "{name} loses quantization");
        }
        for node in &graph.nodes {
            if let (Op::Conv { .. } | Op::Linear { .. }, "qdq") = (&node.op, &name[name.len() - 3..]) {
                for &id in &node.inputs[1..] {
                    let constant = graph.value(id).constant.as_ref().unwrap();
                    let integers = constant.integers.as_ref().expect("its integers are kept");
                    assert_eq!(integers.data.len(), constant.data.len());
                }
            }
        }
    }
}

/// Float models: the graph computes what the oracle computes, and every origin is observed as stated.
#[test]
fn float_models_compute_the_same() {
    for name in ["kws", "ic", "vww", "ad"] {
        let Some(path) = data(&format!("mlperf-tiny/{name}_float.onnx")) else { continue };
        let Some(golden) = data(&format!("mlperf-tiny/{name}_float_golden.npz")) else { continue };
        let golden = read_npz(&golden).unwrap();
        let (inputs, outputs) = (&golden[0].1, &golden[1].1);
        let options = ImportOptions::default();
        let reference = Reference::load(&path, &options).unwrap();
        let plain = import::load_plain(&path, &options).unwrap();
        let tidy = import::load(&path, &options).unwrap();
        // One uniform and one smooth field; the interpreter is slow.
        for sample in [3, 20] {
            let input = inputs.sample(sample).unwrap();
            let expected = outputs.sample(sample).unwrap().data.to_f32();
            let observed = reference.run(std::slice::from_ref(&input)).unwrap();
            assert_close(name, &observed[0].data.to_f32(), &expected, 1e-4);
            for graph in [&plain, &tidy] {
                let ours = interpreter::outputs(graph, &[tensor(&input)]);
                assert_close(name, &ours[0].data, &expected, 1e-4);
            }
        }
    }
}

/// Quantized models: with every value rounded as stated, the graph gives what ONNX Runtime gives, but for ties.
#[test]
fn quantized_models_compute_the_same() {
    for name in ["kws", "ic", "vww", "ad", "sww"] {
        let Some(path) = data(&format!("mlperf-tiny/{name}_qdq.onnx")) else { continue };
        let Some(golden) = data(&format!("mlperf-tiny/{name}_ort_golden.npz")) else { continue };
        let golden = read_npz(&golden).unwrap();
        let (inputs, outputs) = (&golden[0].1, &golden[1].1);
        let graph = import::load(&path, &ImportOptions::default()).unwrap();
        let given = graph.value(graph.inputs[0]).given.unwrap();
        for sample in [3, 20] {
            let mut input = tensor(&inputs.sample(sample).unwrap());
            input.dims.clone_from(&graph.value(graph.inputs[0]).shape.dims);
            input.data.iter_mut().for_each(|x| *x = given.scale * (*x - given.zero_point as f32));
            let ours = interpreter::quantized_output(&graph, &input);
            let theirs = outputs.sample(sample).unwrap().data.to_f32();
            let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1.0, "{name}, sample {sample}: {ours:?} is not {theirs:?}");
        }
    }
}
