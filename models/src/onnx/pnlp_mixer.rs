//! [`crate::pnlp_mixer`] as an ONNX file.
//!
//! The first dimension of input and output is the symbol `N`. The input `features` is the dense form of the front end
//! ([`mixel_core::text::TextFrontEnd::features`]): a runtime that knows the metadata replaces the first product by sums
//! of weight rows, any other runs the graph as it stands.

use serde::Serialize;
use tract_onnx::pb::tensor_proto::DataType;

use super::{Dim, Graph, int, ints};
use crate::pnlp_mixer::{Architecture, Head};
use crate::weights::Weight;

/// Key of the model's metadata that describes the front end, as JSON.
pub const FRONT_END_KEY: &str = "mixel.frontend";
/// Input of the graph, `[N, L, (2w+1) * m]`.
pub const INPUT: &str = "features";
/// Output of the graph, `[N, C]` or `[N, L, C]`.
pub const OUTPUT: &str = "logits";

/// The front end in the model's metadata.
#[derive(Serialize)]
struct FrontEnd<'a> {
    kind: &'a str,
    hash: &'a str,
    units: &'a str,
    n: u16,
    m: u16,
    window: u16,
    length: u16,
    labels: &'a [String],
    head: &'a str,
}

/// The network as an ONNX file.
///
/// `name` is the graph's; `labels` are the names of the classes.
pub fn export(name: &str, architecture: &Architecture, weights: &[Weight], labels: &[String]) -> Vec<u8> {
    let size = architecture.size;
    let length = i64::from(size.length);
    let classes = architecture.classes as i64;
    let mut graph = Graph::new(name, weights);
    let mut x = graph.linear("bottleneck", "w", "b", INPUT);
    for layer in 0..size.layers {
        let path = format!("mixer{layer}/token");
        let normal = graph.norm(&path, &x);
        let columns =
            graph.node("Transpose", &format!("{path}/columns"), &[&normal], [ints("perm", &[0, 2, 1])]);
        let mixed = graph.mlp(&path, &columns);
        let rows = graph.node("Transpose", &format!("{path}/rows"), &[&mixed], [ints("perm", &[0, 2, 1])]);
        x = graph.node("Add", &format!("{path}/residual"), &[&x, &rows], []);

        let path = format!("mixer{layer}/channel");
        let normal = graph.norm(&path, &x);
        let mixed = graph.mlp(&path, &normal);
        x = graph.node("Add", &format!("{path}/residual"), &[&x, &mixed], []);
    }
    let shape = match architecture.head {
        Head::Sequence => {
            let value = graph.linear("pool/value", "w", "b", &x);
            let score = graph.linear("pool/score", "w", "b", &x);
            let attention = graph.node("Softmax", "pool/attention", &[&score], [int("axis", 1)]);
            let weighted = graph.node("Mul", "pool/weighted", &[&attention, &value], []);
            let axes = graph.list("pool/axes", &[1]);
            x = graph.node("ReduceSum", "pool/sum", &[&weighted, &axes], [int("keepdims", 0)]);
            vec![classes]
        }
        Head::Tokens => vec![length, classes],
    };
    let product = graph.node("MatMul", "head/w/product", &[&x, "head/w"], []);
    graph.named_node("Add", "head/b/sum", &[&product, "head/b"], OUTPUT, []);

    let n = Dim::Symbol("N");
    graph.input(INPUT, DataType::Float, n, &[length, size.features() as i64]);
    graph.output(OUTPUT, n, &shape);
    let front_end = FrontEnd {
        kind: "text",
        hash: "fnv1a-fmix",
        units: "byte3",
        n: size.n,
        m: size.m,
        window: size.window,
        length: size.length,
        labels,
        head: match architecture.head {
            Head::Sequence => "sequence",
            Head::Tokens => "tokens",
        },
    };
    let front_end = serde_json::to_string(&front_end).expect("strings and numbers");
    graph.file(&[(FRONT_END_KEY, front_end)])
}
