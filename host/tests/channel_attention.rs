//! Attention between channels (Restormer's and SCET's MDTA) as exporters write it, through the compiler.

mod support;

use mixel::graph::{Graph, Op};
use support::onnx::{Attr, Int, Ints, Onnx};

const C: i64 = 8;
const HEADS: i64 = 2;
const H: i64 = 6;
const W: i64 = 5;

/// How the division by the norms is written.
#[derive(Clone, Copy, Debug)]
enum Norm {
    /// `torch.nn.functional.normalize`: the norm, a lower bound, repeated, a division.
    Normalize,
    /// `LpNormalization`.
    Lp,
}

/// x + project(attention(depthwise(queries, keys, values (x)))).
fn model(norm: Norm) -> Onnx {
    let mut model = Onnx::new(17);
    model.input("x", &[1, C, H, W]);
    model.random("qkv_w", &[3 * C, C, 1, 1]).random("dw_w", &[3 * C, 1, 3, 3]).random("out_w", &[C, C, 1, 1]);
    model.node("Conv", &["x", "qkv_w"], "qkv", &[]);
    let depthwise = [("group", Int(3 * C)), ("pads", Ints(&[1, 1, 1, 1]))];
    model.node("Conv", &["qkv", "dw_w"], "dw", &depthwise);
    model.ints("parts", &[C, C, C]).ints("shape", &[1, HEADS, C / HEADS, -1]).ints("back", &[1, C, H, W]);
    model.node_of("Split", &["dw", "parts"], &["q", "k", "v"], &[("axis", Int(1))]);
    for name in ["q", "k", "v"] {
        model.node("Reshape", &[name, "shape"], &format!("{name}_heads"), &[]);
    }
    model.ints("last", &[-1]).ints("whole", &[1, HEADS, C / HEADS, H * W]).floats("least", &[], &[1e-12]);
    for name in ["q_heads", "k_heads"] {
        let [root, bound, wide, out] = ["root", "bound", "wide", "n"].map(|part| format!("{name}_{part}"));
        match norm {
            Norm::Lp => {
                model.node("LpNormalization", &[name], &out, &[("axis", Int(-1)), ("p", Int(2))]);
            }
            Norm::Normalize => {
                let l2: [(&str, Attr); 2] = [("axes", Ints(&[-1])), ("keepdims", Int(1))];
                model.node("ReduceL2", &[name], &root, &l2);
                model.node("Clip", &[&root, "least"], &bound, &[]).node("Expand", &[&bound, "whole"], &wide, &[]);
                model.node("Div", &[name, &wide], &out, &[]);
            }
        }
    }
    model.node("Transpose", &["k_heads_n"], "k_t", &[("perm", Ints(&[0, 1, 3, 2]))]);
    model.floats("temperature", &[HEADS, 1, 1], &[1.3, 4.0]);
    model.node("MatMul", &["q_heads_n", "k_t"], "cosines", &[]);
    model.node("Mul", &["cosines", "temperature"], "logits", &[]);
    model.node("Softmax", &["logits"], "attention", &[("axis", Int(-1))]);
    model.node("MatMul", &["attention", "v_heads"], "mixed", &[]);
    model.node("Reshape", &["mixed", "back"], "image", &[]);
    model.node("Conv", &["image", "out_w"], "projected", &[]);
    model.node("Add", &["x", "projected"], "y", &[]).output("y");
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
        assert_eq!(sorted, [&["Add", "ChannelAttention"][..], &convs, &["Conv", "MatMul"]].concat(), "{norm:?}");
        let attention = graph.nodes.iter().find(|node| node.op == Op::ChannelAttention).unwrap();
        let temperatures = graph.value(attention.inputs[2]).constant.as_ref().unwrap();
        assert_eq!(temperatures.data, [1.3, 4.0]);
    }
}
