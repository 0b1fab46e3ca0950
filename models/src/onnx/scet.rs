//! [`crate::scet`] as an ONNX file for small images of one size.
//!
//! Input `image` is float `[1, 3, H, W]`, the small image in [0, 1]; output `large` is float `[1, 3, sH, sW]`, clipped to [0, 1].
//! The attention between channels is written as PyTorch exporters write it: q and k by pixels, normalised over these, their
//! product, its temperature and softmax, and the product with v. Nothing is folded.

use std::fmt;
use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{ModelProto, TensorProto};

use super::{Dim, Graph, float, int, ints, picture, text};
use crate::scet::network::SLOPE;
use crate::scet::{Architecture, Size};
use crate::weights::Weight;

/// Input: the small image.
pub const IMAGE: &str = "image";
/// Output: the large image.
pub const LARGE: &str = "large";

/// The network as an ONNX file for images of `height` x `width`. `name` is the graph's.
///
/// # Panics
/// If the weights are not those of `architecture`.
pub fn export(
    name: &str,
    architecture: &Architecture,
    [height, width]: [usize; 2],
    weights: &[Weight],
) -> Vec<u8> {
    let Size { blocks, scale, .. } = architecture.size;
    let mut graph = Graph::new(name, weights);
    let shallow = conv(&mut graph, weights, "shallow", IMAGE);
    let mut x = shallow.clone();
    for block in 0..blocks {
        x = scpa(&mut graph, weights, architecture, &format!("scpa{block}"), &x);
    }
    if architecture.parts.attention {
        x = mdta(&mut graph, weights, &architecture.size, [height, width], &x);
    }
    if architecture.parts.feed_forward {
        x = gdfn(&mut graph, weights, &architecture.size, &x);
    }
    let up = conv(&mut graph, weights, "deep/up", &x);
    let deep = shuffle(&mut graph, "deep/shuffle", scale, &up);
    let deep = conv(&mut graph, weights, "deep/image", &deep);
    let shallow = shuffle(&mut graph, "shuffle", scale, &shallow);
    let shallow = conv(&mut graph, weights, "image", &shallow);
    let sum = graph.node("Add", "sum", &[&deep, &shallow], []);
    let [least, most] =
        [("clip/least", 0.0), ("clip/most", 1.0)].map(|(name, value)| graph.scalar(name, value));
    graph.named_node("Clip", "clip", &[&sum, &least, &most], LARGE, []);

    let size = |scale: usize| [3, (scale * height) as i64, (scale * width) as i64];
    graph.input(IMAGE, DataType::Float, Dim::Fixed(1), &size(1));
    graph.output(LARGE, Dim::Fixed(1), &size(scale));
    graph.file(&picture("image"))
}

/// The weights in a file of [`export`].
///
/// # Errors
/// The file cannot be read, is no ONNX file, or lacks a weight of `architecture` in its shape.
pub fn read(architecture: &Architecture, path: &Path) -> Result<Vec<Weight>, ReadError> {
    let failed = |kind| ReadError { path: path.into(), kind };
    let bytes = std::fs::read(path).map_err(|error| failed(ReadErrorKind::Unreadable(error)))?;
    let model = ModelProto::decode(&bytes[..]).map_err(|error| failed(ReadErrorKind::Format(error)))?;
    let constants = model.graph.map_or_else(Vec::new, |graph| graph.initializer);
    architecture
        .parameters()
        .into_iter()
        .map(|(name, shape, _)| {
            let dims: Vec<i64> = shape.iter().map(|&length| length as i64).collect();
            let bytes = 4 * shape.iter().product::<usize>();
            let fits = |constant: &&TensorProto| {
                (&constant.name, &constant.dims, constant.raw_data.len()) == (&name, &dims, bytes)
            };
            let Some(constant) = constants.iter().find(fits) else {
                return Err(failed(ReadErrorKind::Missing(name, shape)));
            };
            let (quads, _) = constant.raw_data.as_chunks::<4>();
            let values = quads.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            Ok(Weight { name, shape, values })
        })
        .collect()
}

/// A file whose weights could not be taken.
#[derive(Debug)]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ReadErrorKind,
}

/// What is wrong with a file.
#[derive(Debug)]
pub enum ReadErrorKind {
    /// It could not be read.
    Unreadable(std::io::Error),
    /// It is no ONNX file.
    Format(prost::DecodeError),
    /// It has no float weight of this name and shape.
    Missing(String, Vec<usize>),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ReadErrorKind::Unreadable(error) => write!(f, "{path} could not be read: {error}"),
            ReadErrorKind::Format(error) => write!(f, "{path} is no ONNX file: {error}"),
            ReadErrorKind::Missing(name, shape) => write!(
                f,
                "{path} has no weight `{name}` of shape {shape:?}; give a file that was exported from the same model"
            ),
        }
    }
}

impl std::error::Error for ReadError {}

/// A convolution that keeps height and width, with the bias that it has.
fn conv(graph: &mut Graph, weights: &[Weight], path: &str, x: &str) -> String {
    let (name, bias) = (format!("{path}/w"), format!("{path}/b"));
    let shape =
        |name: &str| weights.iter().find(|weight| weight.name == name).map(|weight| &weight.shape[..]);
    let Some(&[outputs, _, rows, columns]) = shape(&name) else {
        panic!("`{name}` is a convolution of the architecture")
    };
    // The depthwise ones mix neighbours behind a layer that mixes channels.
    let group = if path.ends_with("/local") { outputs } else { 1 };
    let [top, left] = [rows / 2, columns / 2].map(|pad| pad as i64);
    let attributes = [
        ints("kernel_shape", &[rows as i64, columns as i64]),
        ints("pads", &[top, left, top, left]),
        int("group", group as i64),
    ];
    let inputs: &[&str] = if shape(&bias).is_some() { &[x, &name, &bias] } else { &[x, &name] };
    graph.node("Conv", &format!("{path}/conv"), inputs, attributes)
}

fn leaky_relu(graph: &mut Graph, path: &str, x: &str) -> String {
    graph.node("LeakyRelu", &format!("{path}/lrelu"), &[x], [float("alpha", SLOPE)])
}

fn shuffle(graph: &mut Graph, name: &str, scale: usize, x: &str) -> String {
    graph.node("DepthToSpace", name, &[x], [int("blocksize", scale as i64), text("mode", "CRD")])
}

fn scpa(graph: &mut Graph, weights: &[Weight], architecture: &Architecture, path: &str, x: &str) -> String {
    let part = |part: &str| format!("{path}/{part}");
    let mut active = |name: &str, x: &str| {
        let x = conv(graph, weights, &part(name), x);
        leaky_relu(graph, &part(name), &x)
    };
    let a = active("split_a", x);
    let a = active("plain", &a);
    let b = active("split_b", x);
    let mut mapped = conv(graph, weights, &part("mapped"), &b);
    if architecture.parts.map {
        let map = conv(graph, weights, &part("map"), &b);
        let map = graph.node("Sigmoid", &part("map/sigmoid"), &[&map], []);
        mapped = graph.node("Mul", &part("map/product"), &[&mapped, &map], []);
    }
    let b = conv(graph, weights, &part("calibrated"), &mapped);
    let b = leaky_relu(graph, &part("calibrated"), &b);
    let both = graph.node("Concat", &part("both"), &[&a, &b], [int("axis", 1)]);
    let merged = conv(graph, weights, &part("merge"), &both);
    graph.node("Add", &part("residual"), &[x, &merged], [])
}

/// Layer normalisation over the channels of each pixel.
fn norm(graph: &mut Graph, path: &str, x: &str) -> String {
    let last = graph.node("Transpose", &format!("{path}/pixels"), &[x], [ints("perm", &[0, 2, 3, 1])]);
    let normal = graph.norm(path, &last);
    graph.node("Transpose", &format!("{path}/channels"), &[&normal], [ints("perm", &[0, 3, 1, 2])])
}

fn mdta(graph: &mut Graph, weights: &[Weight], size: &Size, [height, width]: [usize; 2], x: &str) -> String {
    let Size { channels, heads, .. } = *size;
    let normal = norm(graph, "mdta", x);
    let qkv = conv(graph, weights, "mdta/qkv", &normal);
    let qkv = conv(graph, weights, "mdta/local", &qkv);
    let sizes = graph.list("mdta/sizes", &[channels as i64; 3]);
    let parts = ["mdta/query", "mdta/key", "mdta/value"];
    graph.split("mdta/split", &[&qkv, &sizes], &parts, 1);
    let rows = [1, heads, channels / heads, height * width].map(|length| length as i64);
    let rows = graph.list("mdta/rows", &rows);
    let [query, key, value] =
        parts.map(|part| graph.node("Reshape", &format!("{part}/rows"), &[part, &rows], []));
    let unit = |graph: &mut Graph, part: &str, x: &str| {
        graph.node("LpNormalization", &format!("{part}/unit"), &[x], [int("axis", -1), int("p", 2)])
    };
    let query = unit(graph, "mdta/query", &query);
    let key = unit(graph, "mdta/key", &key);
    let key = graph.node("Transpose", "mdta/key/columns", &[&key], [ints("perm", &[0, 1, 3, 2])]);
    let scores = graph.node("MatMul", "mdta/scores", &[&query, &key], []);
    let scores = graph.node("Mul", "mdta/scores/warm", &[&scores, "mdta/temperature"], []);
    let attention = graph.node("Softmax", "mdta/attention", &[&scores], [int("axis", -1)]);
    let attended = graph.node("MatMul", "mdta/sums", &[&attention, &value], []);
    let image = [1, channels, height, width].map(|length| length as i64);
    let image = graph.list("mdta/image", &image);
    let attended = graph.node("Reshape", "mdta/sums/image", &[&attended, &image], []);
    let out = conv(graph, weights, "mdta/out", &attended);
    graph.node("Add", "mdta/residual", &[x, &out], [])
}

fn gdfn(graph: &mut Graph, weights: &[Weight], size: &Size, x: &str) -> String {
    let normal = norm(graph, "gdfn", x);
    let inner = conv(graph, weights, "gdfn/in", &normal);
    let inner = conv(graph, weights, "gdfn/local", &inner);
    let sizes = graph.list("gdfn/sizes", &[size.hidden() as i64; 2]);
    graph.split("gdfn/split", &[&inner, &sizes], &["gdfn/gate", "gdfn/value"], 1);
    let gate = graph.node("Gelu", "gdfn/gate/gelu", &["gdfn/gate"], []);
    let gated = graph.node("Mul", "gdfn/product", &[&gate, "gdfn/value"], []);
    let out = conv(graph, weights, "gdfn/out", &gated);
    graph.node("Add", "gdfn/residual", &[x, &out], [])
}
