//! [`crate::spach`] as an ONNX file.
//!
//! Input `image`, float `[N, S, S, 3]`, pixels in 0..1, channels last as a camera gives them; output `logits`, `[N, C]`. Tokens are `[N, side, side, width]`, so the
//! depthwise convolutions stand between two transpositions, which a runtime with channels last drops.
//!
//! Folded: the normalisation of pixels into the stem, the scale of the attention into the queries, the gain of an attention into
//! its last linear layer. The gain of a token MLP is a factor of each channel behind a product over tokens, and stays.

use tract_onnx::pb::tensor_proto::DataType;

use super::{Dim, Graph, float, int, ints, picture};
use crate::images::Normalisation;
use crate::spach::{Architecture, COLOURS, GROUP_NORM_EPSILON, Mixer, NORM_EPSILON};
use crate::weights::Weight;

/// Input: the image.
pub const IMAGE: &str = "image";
/// Output: logits.
pub const LOGITS: &str = "logits";
/// Metadata: accuracy on the development set in percent, by which a seed is chosen.
pub const DEV_ACCURACY: &str = "mixel.dev_accuracy";

/// The network as an ONNX file.
///
/// `name` is the graph's; `labels` are the names of the classes; `dev` is the accuracy on the development set in percent.///
/// # Panics
/// If the weights are not those of `architecture`.
pub fn export(
    name: &str,
    architecture: &Architecture,
    normalisation: &Normalisation,
    weights: &[Weight],
    labels: &[String],
    dev: f64,
) -> Vec<u8> {
    let mut graph = Graph::new(name, &folded(architecture, normalisation, weights));
    let patch = architecture.patch as i64;
    let strides = [ints("kernel_shape", &[patch, patch]), ints("strides", &[patch, patch])];
    let map = graph.node("Transpose", "stem/map", &[IMAGE], [ints("perm", &[0, 3, 1, 2])]);
    let map = graph.node("Conv", "stem/patches", &[&map, "stem/w", "stem/b"], strides);
    let tokens = graph.node("Transpose", "stem/tokens", &[&map], [ints("perm", &[0, 2, 3, 1])]);
    let mut t = norm(&mut graph, "stem", &tokens);
    let mut side = architecture.image / architecture.patch;
    let mut width = architecture.width;
    for (index, blocks) in architecture.stages.iter().enumerate() {
        if index > 0 {
            (side, width) = (side / 2, 2 * width);
            t = down(&mut graph, &format!("down{index}"), &t, (side, width));
        }
        for (block, &mixer) in blocks.iter().enumerate() {
            let path = format!("stage{index}/block{block}");
            let mut y = t.clone();
            if mixer != Mixer::Pass {
                let mixed = match mixer {
                    Mixer::Attention => attention(&mut graph, architecture.head, &path, &t, (side, width)),
                    Mixer::Pass | Mixer::Mlp => token_mlp(&mut graph, &path, &t, (side, width)),
                };
                y = graph.node("Add", &format!("{path}/space/sum"), &[&y, &mixed], []);
            }
            if architecture.depthwise {
                let filtered = depthwise(&mut graph, &path, &t, width);
                y = graph.node("Add", &format!("{path}/depthwise/sum"), &[&y, &filtered], []);
            }
            let path = format!("{path}/channels");
            let x = norm(&mut graph, &path, &y);
            let x = graph.linear(&format!("{path}/first"), "w", "b", &x);
            let x = graph.node("Gelu", &format!("{path}/gelu"), &[&x], []);
            let x = graph.linear(&format!("{path}/second"), "w", "b", &x);
            t = graph.node("Add", &format!("{path}/sum"), &[&y, &x], []);
        }
    }
    let x = norm(&mut graph, "last", &t);
    let axes = graph.list("last/axes", &[1, 2]);
    let mean = graph.node("ReduceMean", "last/mean", &[&x, &axes], [int("keepdims", 0)]);
    let product = graph.node("MatMul", "head/w/product", &[&mean, "head/w"], []);
    graph.named_node("Add", "head/b/sum", &[&product, "head/b"], LOGITS, []);

    let side = architecture.image as i64;
    graph.input(IMAGE, DataType::Float, Dim::Symbol("N"), &[side, side, COLOURS as i64]);
    graph.output(LOGITS, Dim::Symbol("N"), &[architecture.classes as i64]);
    let labels = ("mixel.labels", serde_json::to_string(labels).expect("strings"));
    let own = [labels, (DEV_ACCURACY, dev.to_string())];
    graph.file(&[&picture("classes")[..], &own].concat())
}

fn norm(graph: &mut Graph, path: &str, x: &str) -> String {
    let (scale, bias) = (format!("{path}/norm_scale"), format!("{path}/norm_bias"));
    let attributes = [int("axis", -1), float("epsilon", NORM_EPSILON)];
    graph.node("LayerNormalization", &format!("{path}/norm"), &[x, &scale, &bias], attributes)
}

/// Every 2 x 2 tokens through a linear layer, and the normalisation over the map; `side` and `width` are those after it.
fn down(graph: &mut Graph, path: &str, t: &str, (side, width): (usize, usize)) -> String {
    let part = |part: &str| format!("{path}/{part}");
    let map = graph.node("Transpose", &part("map"), &[t], [ints("perm", &[0, 3, 1, 2])]);
    let attributes = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    let map = graph.node("Conv", &part("conv"), &[&map, &part("w")], attributes);
    // As one channel, whose normalisation is that over all.
    let one = graph.list(&part("one"), &[0, 1, -1]);
    let flat = graph.node("Reshape", &part("flat"), &[&map, &one], []);
    let (ones, zeros) = (graph.floats(&part("unit"), &[1.0]), graph.floats(&part("zero"), &[0.0]));
    let epsilon = [float("epsilon", GROUP_NORM_EPSILON)];
    let standard = graph.node("InstanceNormalization", &part("standard"), &[&flat, &ones, &zeros], epsilon);
    let shape = graph.list(&part("shape"), &[0, width as i64, side as i64, side as i64]);
    let map = graph.node("Reshape", &part("back"), &[&standard, &shape], []);
    let map = graph.node("Mul", &part("scaled"), &[&map, &part("norm_scale")], []);
    let map = graph.node("Add", &part("moved"), &[&map, &part("norm_bias")], []);
    graph.node("Transpose", &part("tokens"), &[&map], [ints("perm", &[0, 2, 3, 1])])
}

fn depthwise(graph: &mut Graph, path: &str, t: &str, width: usize) -> String {
    let part = |part: &str| format!("{path}/depthwise/{part}");
    let map = graph.node("Transpose", &part("map"), &[t], [ints("perm", &[0, 3, 1, 2])]);
    let attributes = [ints("kernel_shape", &[3, 3]), ints("pads", &[1, 1, 1, 1]), int("group", width as i64)];
    let map = graph.node("Conv", &part("conv"), &[&map, &part("w"), &part("b")], attributes);
    graph.node("Transpose", &part("tokens"), &[&map], [ints("perm", &[0, 2, 3, 1])])
}

fn attention(graph: &mut Graph, head: usize, path: &str, t: &str, (side, width): (usize, usize)) -> String {
    let path = format!("{path}/space");
    let part = |part: &str| format!("{path}/{part}");
    let (tokens, heads) = ((side * side) as i64, (width / head).max(1) as i64);
    let x = norm(graph, &path, t);
    let split = |graph: &mut Graph, name: &str, perm: &[i64]| {
        let x = graph.linear(&part(name), "w", "b", &x);
        let shape = graph.list(&part(&format!("{name}/shape")), &[0, tokens, heads, width as i64 / heads]);
        let x = graph.node("Reshape", &part(&format!("{name}/split")), &[&x, &shape], []);
        graph.node("Transpose", &part(&format!("{name}/heads")), &[&x], [ints("perm", perm)])
    };
    let query = split(graph, "query", &[0, 2, 1, 3]);
    let key = split(graph, "key", &[0, 2, 3, 1]);
    let value = split(graph, "value", &[0, 2, 1, 3]);
    let scores = graph.node("MatMul", &part("scores"), &[&query, &key], []);
    let shares = graph.node("Softmax", &part("shares"), &[&scores], [int("axis", -1)]);
    let sums = graph.node("MatMul", &part("sums"), &[&shares, &value], []);
    let sums = graph.node("Transpose", &part("sums/tokens"), &[&sums], [ints("perm", &[0, 2, 1, 3])]);
    let shape = graph.list(&part("sums/shape"), &[0, side as i64, side as i64, width as i64]);
    let sums = graph.node("Reshape", &part("sums/merged"), &[&sums, &shape], []);
    graph.linear(&part("second"), "w", "b", &sums)
}

fn token_mlp(graph: &mut Graph, path: &str, t: &str, (side, width): (usize, usize)) -> String {
    let path = format!("{path}/space");
    let part = |part: &str| format!("{path}/{part}");
    let x = norm(graph, &path, t);
    let shape = graph.list(&part("rows/shape"), &[0, (side * side) as i64, width as i64]);
    let x = graph.node("Reshape", &part("rows"), &[&x, &shape], []);
    let x = graph.node("Transpose", &part("columns"), &[&x], [ints("perm", &[0, 2, 1])]);
    let x = graph.linear(&part("first"), "w", "b", &x);
    let x = graph.node("Gelu", &part("gelu"), &[&x], []);
    let x = graph.linear(&part("second"), "w", "b", &x);
    let x = graph.node("Transpose", &part("back"), &[&x], [ints("perm", &[0, 2, 1])]);
    let shape = graph.list(&part("map/shape"), &[0, side as i64, side as i64, width as i64]);
    let x = graph.node("Reshape", &part("map"), &[&x, &shape], []);
    graph.node("Mul", &part("gained"), &[&x, &part("gain")], [])
}

/// The weights as the graph has them.
fn folded(architecture: &Architecture, normalisation: &Normalisation, weights: &[Weight]) -> Vec<Weight> {
    let named =
        |name: &str| weights.iter().find(|weight| weight.name == name).expect("a weight of the architecture");
    let mut out = Vec::new();
    for weight in weights {
        let (path, part) = weight.name.rsplit_once('/').expect("names with a path");
        let block = path.strip_suffix("/space/first").or_else(|| path.strip_suffix("/space/second"));
        let attended = block.is_some_and(|block| is_attention(architecture, block));
        match path {
            "stem" if part == "w" => {
                let (w, b) = stem(architecture, normalisation, weight, named("stem/b"));
                out.extend([w, b]);
            }
            "stem" if part == "b" => {}
            path if path.starts_with("down") && part == "w" => {
                out.push(filters(weight, 2, weight.shape[0] / 4))
            }
            path if path.starts_with("down") => {
                out.push(Weight { shape: vec![weight.shape[0], 1, 1], ..weight.clone() });
            }
            path if path.ends_with("/depthwise") && part == "w" => {
                let channels = weight.shape[1];
                let values =
                    (0..channels).flat_map(|channel| weight.values.iter().skip(channel).step_by(channels));
                let values = values.copied().collect();
                out.push(Weight { shape: vec![channels, 1, 3, 3], values, ..weight.clone() });
            }
            path if attended && path.ends_with("/first") => out.extend(heads(architecture, weight)),
            path if attended => {
                let space = path.strip_suffix("/second").expect("the second layer");
                let gain = &named(&format!("{space}/gain")).values;
                let scaled = |row: &[f32]| row.iter().zip(gain).map(|(a, b)| a * b).collect::<Vec<f32>>();
                let values = weight.values.chunks_exact(gain.len()).flat_map(scaled).collect();
                out.push(Weight { values, ..weight.clone() });
            }
            path if part == "gain" && is_attention(architecture, path.trim_end_matches("/space")) => {}
            _ => out.push(weight.clone()),
        }
    }
    out
}

/// Whether the block called `stageI/blockJ` has attention.
fn is_attention(architecture: &Architecture, block: &str) -> bool {
    architecture.stages.iter().enumerate().any(|(stage, blocks)| {
        let mut blocks = blocks.iter().enumerate();
        blocks
            .any(|(index, &mixer)| mixer == Mixer::Attention && block == format!("stage{stage}/block{index}"))
    })
}

/// A linear layer over a square of `side` x `side` tokens or pixels, as filters.
fn filters(weight: &Weight, side: usize, channels: usize) -> Weight {
    let outputs = weight.shape[1];
    let mut values = Vec::with_capacity(weight.values.len());
    for output in 0..outputs {
        for channel in 0..channels {
            let places = (0..side * side).map(|place| (place * channels + channel) * outputs + output);
            values.extend(places.map(|at| weight.values[at]));
        }
    }
    Weight { name: weight.name.clone(), shape: vec![outputs, channels, side, side], values }
}

/// The stem with the normalisation of pixels in it.
fn stem(
    architecture: &Architecture,
    normalisation: &Normalisation,
    weight: &Weight,
    bias: &Weight,
) -> (Weight, Weight) {
    let mut scaled = weight.clone();
    let mut moved = bias.clone();
    for (row, values) in scaled.values.chunks_exact_mut(architecture.width).enumerate() {
        let colour = row % COLOURS;
        for (value, bias) in values.iter_mut().zip(&mut moved.values) {
            *value *= normalisation.factor[colour];
            *bias -= *value * normalisation.mean[colour];
        }
    }
    (filters(&scaled, architecture.patch, COLOURS), moved)
}

/// The layers of queries, keys and values, apart.
fn heads(architecture: &Architecture, weight: &Weight) -> [Weight; 3] {
    let columns = *weight.shape.last().expect("a dimension");
    let width = columns / 3;
    let scale = 1.0 / (architecture.head.min(width) as f32).sqrt();
    let (path, part) = weight.name.rsplit_once("/first/").expect("a first layer");
    let shape = [&weight.shape[..weight.shape.len() - 1], &[width]].concat();
    let part_of = |index: usize, name: &str, scale: f32| {
        let rows = weight.values.chunks_exact(columns).map(|row| &row[index * width..][..width]);
        let values = rows.flatten().map(|value| value * scale).collect();
        Weight { name: format!("{path}/{name}/{part}"), shape: shape.clone(), values }
    };
    [part_of(0, "query", scale), part_of(1, "key", 1.0), part_of(2, "value", 1.0)]
}
