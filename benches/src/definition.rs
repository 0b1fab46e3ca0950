//! What there is to measure, as people write it down.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Figures of another library by target.
pub type Figures = BTreeMap<String, f64>;

/// A kernel: one operator with its shapes, or two that make one tensor.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Name in tables and records.
    pub name: String,
    /// Bits of activations, 8 or 16.
    #[serde(default = "eight")]
    pub bits: u8,
    /// Form of the weights, as `mixel compile --weights` takes it.
    pub weights: Option<String>,
    /// What it does.
    pub operator: Operator,
    /// Instructions of CMSIS-NN's kernel for a multiply-accumulate, or for an element of the output where there are none.
    #[serde(default)]
    pub cmsis_nn: Figures,
}

/// Operators with their shapes; images are `[height, width, channels]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[allow(missing_docs)]
pub enum Operator {
    Conv(Window),
    ConvTranspose(Window),
    Linear {
        rows: usize,
        inputs: usize,
        outputs: usize,
    },
    /// Columns to columns.
    LinearTurned {
        rows: usize,
        inputs: usize,
        outputs: usize,
    },
    Matmul {
        heads: usize,
        rows: usize,
        inner: usize,
        columns: usize,
        transpose_b: bool,
    },
    /// Products of queries and keys, softmax, products with the values.
    Attention {
        heads: usize,
        queries: usize,
        keys: usize,
        inner: usize,
    },
    Projection {
        words: usize,
        hashes: usize,
        slots: usize,
        bins: usize,
        outputs: usize,
    },
    Softmax {
        dims: Vec<usize>,
        axis: usize,
    },
    LayerNorm {
        rows: usize,
        channels: usize,
    },
    GroupNorm {
        input: [usize; 3],
        groups: usize,
    },
    L2Norm {
        rows: usize,
        channels: usize,
    },
    Gelu {
        dims: Vec<usize>,
    },
    Add {
        dims: Vec<usize>,
    },
    Mul {
        dims: Vec<usize>,
    },
    Div {
        dims: Vec<usize>,
    },
    Requantize {
        dims: Vec<usize>,
    },
    MaxPool(Pool),
    AveragePool(Pool),
    Mean {
        dims: Vec<usize>,
        axis: usize,
    },
    Transpose {
        dims: [usize; 2],
    },
    Gather {
        dims: [usize; 2],
    },
    Resize {
        input: [usize; 3],
    },
    Sum3 {
        dims: Vec<usize>,
    },
    /// Two tensors of these dimensions, one behind the other along the last.
    Join {
        dims: Vec<usize>,
    },
    /// Two convolutions of one input that make a tensor together.
    ConvPart(Window),
    /// Blocks of two by two positions.
    Shuffle {
        input: [usize; 3],
    },
    /// Two operators: the sums over the image, and the softmax of cosines.
    ChannelAttention {
        input: [usize; 3],
        heads: usize,
    },
}

/// A convolution; a group for each channel makes it depthwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Window {
    pub input: [usize; 3],
    pub outputs: usize,
    pub kernel: [usize; 2],
    #[serde(default = "ones")]
    pub stride: [usize; 2],
    #[serde(default = "ones")]
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    #[serde(default)]
    pub pad: [usize; 4],
    #[serde(default = "one")]
    pub groups: usize,
}

/// A pooling window without padding.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Pool {
    pub input: [usize; 3],
    pub kernel: [usize; 2],
    #[serde(default = "ones")]
    pub stride: [usize; 2],
}

/// A whole model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name in tables and records.
    pub name: String,
    /// The model that mixel compiles.
    pub onnx: String,
    /// The same for LiteRT.
    pub tflite: Option<String>,
    /// The same for engines in float.
    pub float: Option<String>,
    /// What calibrates it, as `mixel compile --calib` takes it.
    pub calib: Option<String>,
    /// The input of a text model.
    pub text: Option<String>,
    /// Million instructions of CMSIS-NN's kernels by target.
    #[serde(default)]
    pub cmsis_nn: Figures,
    /// Whether `cargo xtask golden` looks at it.
    #[serde(default)]
    pub golden: bool,
}

fn eight() -> u8 {
    8
}

fn one() -> usize {
    1
}

fn ones() -> [usize; 2] {
    [1; 2]
}

/// The folder of this crate.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The kernels of `definitions/kernels.toml`.
///
/// # Errors
/// What is wrong with the file.
pub fn kernels() -> Result<Vec<Kernel>, String> {
    #[derive(Deserialize)]
    struct File {
        kernel: Vec<Kernel>,
    }
    read("kernels.toml").map(|file: File| file.kernel)
}

/// The models of `definitions/models.toml`.
///
/// # Errors
/// What is wrong with the file.
pub fn models() -> Result<Vec<Model>, String> {
    #[derive(Deserialize)]
    struct File {
        model: Vec<Model>,
    }
    read("models.toml").map(|file: File| file.model)
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> Result<T, String> {
    let path = folder().join("definitions").join(name);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Where a file of a definition is: in the repository, or among the data sets (`MIXEL_DATA`).
pub fn locate(path: &str) -> PathBuf {
    let root = folder().join("..");
    if ["models/", "host/"].iter().any(|own| path.starts_with(own)) {
        return root.join(path);
    }
    let data = std::env::var_os("MIXEL_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    data.join(path)
}
