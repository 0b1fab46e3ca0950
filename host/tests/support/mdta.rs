//! Attention between channels (Restormer's and SCET's MDTA) as exporters write it.

use super::onnx::{Attr, Int, Ints, Onnx};

pub const C: i64 = 8;
const HEADS: i64 = 2;

/// How the division by the norms is written.
#[derive(Clone, Copy, Debug)]
pub enum Norm {
    /// `torch.nn.functional.normalize`: the norm, a lower bound, repeated, a division.
    Normalize,
    /// `LpNormalization`.
    Lp,
}

/// Adds `y = x + project(attention(depthwise(queries, keys, values (x))))` for images of `height x width`.
pub fn attention(model: &mut Onnx, (x, y): (&str, &str), [height, width]: [i64; 2], norm: Norm) {
    model.random("qkv_w", &[3 * C, C, 1, 1]).random("dw_w", &[3 * C, 1, 3, 3]).random("out_w", &[C, C, 1, 1]);
    model.node("Conv", &[x, "qkv_w"], "qkv", &[]);
    let depthwise = [("group", Int(3 * C)), ("pads", Ints(&[1, 1, 1, 1]))];
    model.node("Conv", &["qkv", "dw_w"], "dw", &depthwise);
    model.ints("parts", &[C, C, C]).ints("heads", &[1, HEADS, C / HEADS, -1]);
    model.ints("back", &[1, C, height, width]);
    model.node_of("Split", &["dw", "parts"], &["q", "k", "v"], &[("axis", Int(1))]);
    for name in ["q", "k", "v"] {
        model.node("Reshape", &[name, "heads"], &format!("{name}_heads"), &[]);
    }
    model.ints("whole", &[1, HEADS, C / HEADS, height * width]).floats("least", &[], &[1e-12]);
    for name in ["q_heads", "k_heads"] {
        let [root, bound, wide, out] = ["root", "bound", "wide", "n"].map(|part| format!("{name}_{part}"));
        match norm {
            Norm::Lp => {
                model.node("LpNormalization", &[name], &out, &[("axis", Int(-1)), ("p", Int(2))]);
            }
            Norm::Normalize => {
                let l2: [(&str, Attr); 2] = [("axes", Ints(&[-1])), ("keepdims", Int(1))];
                model.node("ReduceL2", &[name], &root, &l2);
                model.node("Clip", &[&root, "least"], &bound, &[]).node(
                    "Expand",
                    &[&bound, "whole"],
                    &wide,
                    &[],
                );
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
    model.node("Add", &[x, "projected"], y, &[]);
}
