//! [`crate::event_transformer`] as an ONNX file: one window.
//!
//! Inputs are `tokens`, float `[tokens, token]`, `ln(1 + count)` of the active patches; `patches`, int64 `[tokens]`, the number of
//! each token's patch; and `memory`, float `[L, D]`, whose default is the memory before the first window. Outputs are `logits`,
//! `[1, C]`, and `memory_out`, the memory for the next window. The metadata say how events become tokens.
//!
//! Two products are folded: positions are a table that is added to the embedded patches, and the scale of the attention is in the
//! queries' weights.

use tract_onnx::pb::tensor_proto::DataType;

use super::{Dim, Graph, int, ints};
use crate::event_transformer::{Architecture, Size};
use crate::events::front_end::FrontEnd;
use crate::weights::Weight;

/// Input: tokens.
pub const TOKENS: &str = "tokens";
/// Input: number of each token's patch.
pub const PATCHES: &str = "patches";
/// Input: memory from the window before.
pub const MEMORY: &str = "memory";
/// Output: logits.
pub const LOGITS: &str = "logits";
/// Output: memory for the window after.
pub const MEMORY_OUT: &str = "memory_out";

/// The network as an ONNX file.
///
/// `name` is the graph's; `labels` are the names of the classes.
///
/// # Panics
/// If the weights are not those of `architecture`.
pub fn export(
    name: &str,
    architecture: &Architecture,
    front_end: &FrontEnd,
    weights: &[Weight],
    labels: &[String],
) -> Vec<u8> {
    let Size { width, latents, own, .. } = architecture.size;
    let mut graph = Graph::new(name, &folded(architecture, weights));

    let patch = graph.linear("projection", "w", "b", TOKENS);
    let patch = graph.node("Gelu", "projection/gelu", &[&patch], []);
    let patch = graph.linear("embedding", "w", "b", &patch);
    let place = graph.node("Gather", "position/rows", &["position", PATCHES], [int("axis", 0)]);
    let placed = graph.node("Add", "embedding/placed", &[&patch, &place], []);
    let x = graph.node("Gelu", "embedding/gelu", &[&placed], []);
    let mut deep = x.clone();
    for path in ["tokens/up", "tokens/down"] {
        deep = graph.linear(path, "w", "b", &deep);
        deep = graph.node("Relu", &format!("{path}/relu"), &[&deep], []);
    }
    let x = graph.node("Add", "tokens/residual", &[&x, &deep], []);

    let mut z = block(&mut graph, architecture, "cross", &x, MEMORY);
    for index in 0..own {
        z = block(&mut graph, architecture, &format!("own{index}"), &z, &z);
    }
    let sum = graph.node("Add", "memory/sum", &[MEMORY, &z], []);
    let memory = graph.named_norm("memory", &sum, MEMORY_OUT);

    let pooled = graph.linear("pool", "w", "b", &memory);
    let pooled = graph.node("Relu", "pool/relu", &[&pooled], []);
    let axes = graph.list("pool/axes", &[0]);
    let pooled = graph.node("ReduceMean", "pool/mean", &[&pooled, &axes], [int("keepdims", 1)]);
    let hidden = graph.linear("hidden", "w", "b", &pooled);
    let hidden = graph.node("Relu", "hidden/relu", &[&hidden], []);
    let product = graph.node("MatMul", "head/w/product", &[&hidden, "head/w"], []);
    graph.named_node("Add", "head/b/sum", &[&product, "head/b"], LOGITS, []);

    let (rows, columns) = (Dim::Fixed(latents as i64), width as i64);
    graph.input(TOKENS, DataType::Float, Dim::Symbol(TOKENS), &[architecture.token as i64]);
    graph.input(PATCHES, DataType::Int64, Dim::Symbol(TOKENS), &[]);
    graph.input(MEMORY, DataType::Float, rows, &[columns]);
    graph.output(LOGITS, Dim::Fixed(1), &[architecture.classes as i64]);
    graph.output(MEMORY_OUT, rows, &[columns]);
    graph.file(&metadata(front_end, labels))
}

/// How events become tokens, what is state, and the names of the classes.
fn metadata(front_end: &FrontEnd, labels: &[String]) -> Vec<(&'static str, String)> {
    let config = front_end.histogram;
    let (geometry, grid) = (config.geometry, config.grid);
    vec![
        ("mixel.front_end", "events".into()),
        ("mixel.events.representation", "histogram".into()),
        ("mixel.events.sensor", format!("{}x{}", geometry.width, geometry.height)),
        (
            "mixel.events.grid",
            format!(
                "{},{},{},{},{},{}",
                grid.left, grid.top, grid.shift, grid.patch, grid.columns, grid.rows
            ),
        ),
        ("mixel.events.bins", config.bins.to_string()),
        ("mixel.events.window_us", front_end.window_us.to_string()),
        ("mixel.events.least_pixels", config.least_pixels.to_string()),
        ("mixel.events.max_tokens", config.max_tokens.to_string()),
        ("mixel.state", format!("{MEMORY}={MEMORY_OUT}")),
        ("mixel.labels", serde_json::to_string(labels).expect("strings")),
    ]
}

/// One block of attention and MLP: `memory` attends to `rows`.
fn block(graph: &mut Graph, architecture: &Architecture, path: &str, rows: &str, memory: &str) -> String {
    let Size { width, heads, .. } = architecture.size;
    let part = |part: &str| format!("{path}/{part}");
    let rows = graph.norm(&part("rows"), rows);
    let normal = graph.norm(&part("memory"), memory);
    let split = |graph: &mut Graph, name: &str, source: &str, extra: Option<&str>, perm: &[i64]| {
        let mut x = graph.linear(&part(name), "w", "b", source);
        if let Some(extra) = extra {
            x = graph.node("Concat", &part(&format!("{name}/all")), &[&x, &part(extra)], [int("axis", 0)]);
        }
        let shape = graph.list(&part(&format!("{name}/shape")), &[0, heads as i64, (width / heads) as i64]);
        let x = graph.node("Reshape", &part(&format!("{name}/split")), &[&x, &shape], []);
        graph.node("Transpose", &part(&format!("{name}/heads")), &[&x], [ints("perm", perm)])
    };
    let query = split(graph, "query", &normal, None, &[1, 0, 2]);
    let key = split(graph, "key", &rows, Some("extra_key"), &[1, 2, 0]);
    let value = split(graph, "value", &rows, Some("extra_value"), &[1, 0, 2]);
    let scores = graph.node("MatMul", &part("scores"), &[&query, &key], []);
    let attention = graph.node("Softmax", &part("attention"), &[&scores], [int("axis", -1)]);
    let attended = graph.node("MatMul", &part("sums"), &[&attention, &value], []);
    let attended = graph.node("Transpose", &part("sums/rows"), &[&attended], [ints("perm", &[1, 0, 2])]);
    let shape = graph.list(&part("sums/shape"), &[0, width as i64]);
    let attended = graph.node("Reshape", &part("sums/merged"), &[&attended, &shape], []);
    let out = graph.linear(&part("out"), "w", "b", &attended);
    let z = graph.node("Add", &part("attended/sum"), &[memory, &out], []);

    let x = graph.norm(&part("attended"), &z);
    let x = graph.linear(&part("mlp0"), "w", "b", &x);
    let x = graph.node("Gelu", &part("mlp0/gelu"), &[&x], []);
    let x = graph.norm(&part("inner"), &x);
    let x = graph.linear(&part("mlp1"), "w", "b", &x);
    let x = graph.node("Gelu", &part("mlp1/gelu"), &[&x], []);
    let x = graph.linear(&part("mlp2"), "w", "b", &x);
    graph.node("Add", &part("residual"), &[&z, &x], [])
}

/// The weights with positions as a table `[patches, D]` and the scale of the attention in the queries.
fn folded(architecture: &Architecture, weights: &[Weight]) -> Vec<Weight> {
    let Size { width, projection, heads, .. } = architecture.size;
    let position = architecture.size.position();
    let scale = 1.0 / ((width / heads) as f32).sqrt();
    let named =
        |name: &str| weights.iter().find(|weight| weight.name == name).expect("a weight of the architecture");
    let (patch, place) = named("embedding/w").values.split_at(projection * width);
    let row = |values: &[f32]| -> Vec<f32> {
        (0..width)
            .map(|column| {
                values.iter().zip(place.iter().skip(column).step_by(width)).map(|(a, b)| a * b).sum()
            })
            .collect()
    };
    weights
        .iter()
        .map(|weight| match weight.name.as_str() {
            "embedding/w" => {
                Weight { shape: vec![projection, width], values: patch.to_vec(), ..weight.clone() }
            }
            "position" => Weight {
                shape: vec![weight.shape[0], width],
                values: weight.values.chunks_exact(position).flat_map(row).collect(),
                ..weight.clone()
            },
            name if name.contains("/query/") => {
                Weight { values: weight.values.iter().map(|value| value * scale).collect(), ..weight.clone() }
            }
            _ => weight.clone(),
        })
        .collect()
}
