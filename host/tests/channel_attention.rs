//! Attention between channels (Restormer's and SCET's MDTA) as exporters write it, through the compiler.

mod support;

use mixel::graph::{Graph, Op};
use support::mdta::{self, Norm};
use support::onnx::Onnx;

fn model(norm: Norm) -> Onnx {
    let mut model = Onnx::new(17);
    model.input("x", &[1, mdta::C, 6, 5]);
    mdta::attention(&mut model, ("x", "y"), [6, 5], norm);
    model.output("y");
    model
}

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

/// Queries, keys and values have layers of their own, and attention works on images as they lie in memory.
#[test]
fn written_out_attention_is_found() {
    for norm in [Norm::Normalize, Norm::Lp] {
        let graph = model(norm).check(&format!("{norm:?}"));
        let convs = ["Conv"; 6];
        let [first, rest @ ..] = &names(&graph)[..] else { panic!("no nodes") };
        let [rest @ .., last] = rest else { panic!("one node") };
        assert_eq!((*first, *last), ("Transpose", "Transpose"));
        let mut sorted = rest.to_vec();
        sorted.sort_unstable();
        assert_eq!(
            sorted,
            [&["Add", "ChannelAttention"][..], &convs, &["Conv", "MatMul"]].concat(),
            "{norm:?}"
        );
        let attention = graph.nodes.iter().find(|node| node.op == Op::ChannelAttention).unwrap();
        let temperatures = graph.value(attention.inputs[2]).constant.as_ref().unwrap();
        assert_eq!(temperatures.data, [1.3, 4.0]);
    }
}
