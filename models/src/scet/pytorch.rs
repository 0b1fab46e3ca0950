//! Weights of a PyTorch state dict, from a .safetensors file, under the names of the official repository
//! (github AlexZou14/SCET at 1356aca, `model/scet_net.py`).

use std::fmt;
use std::path::{Path, PathBuf};

use safetensors::tensor::Dtype;
use safetensors::{SafeTensorError, SafeTensors};

use super::Architecture;
use crate::weights::Weight;

/// What the toolbox that trained the official weights puts in front of every name.
const WRAPPER: &str = "generator.";

/// A file whose weights could not be taken.
#[derive(Debug)]
pub struct ImportError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: ImportErrorKind,
}

/// What is wrong with a file of weights.
#[derive(Debug)]
pub enum ImportErrorKind {
    /// It could not be read.
    Unreadable(std::io::Error),
    /// It is no .safetensors file.
    Format(SafeTensorError),
    /// A tensor of the architecture, given here, is not in it.
    Missing(String),
    /// A tensor of it, given here, is none of the architecture's.
    Unknown(String),
    /// A tensor has another shape than the architecture's.
    Shape {
        /// Its name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The architecture's.
        expected: Vec<usize>,
    },
    /// A tensor, given here, is not of type f32.
    Type(String, Dtype),
    /// A tensor, given here, holds an infinity or no number.
    NotFinite(String),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            ImportErrorKind::Unreadable(error) => write!(f, "{path} could not be read: {error}"),
            ImportErrorKind::Format(error) => write!(
                f,
                "{path} is no .safetensors file: {error}; save the state dict with safetensors.torch.save_file"
            ),
            ImportErrorKind::Missing(name) => write!(
                f,
                "{path}: tensor `{name}` is missing; give the size (channels, blocks, scale) that the weights were trained for"
            ),
            ImportErrorKind::Unknown(name) => write!(
                f,
                "{path}: tensor `{name}` is none of this network's; give the size (blocks) that the weights were trained for"
            ),
            ImportErrorKind::Shape { name, found, expected } => write!(
                f,
                "{path}: tensor `{name}` is {found:?} where the network has {expected:?}; give the size that the weights were trained for"
            ),
            ImportErrorKind::Type(name, dtype) => {
                write!(f, "{path}: tensor `{name}` is of type {dtype:?}; convert it to float32")
            }
            ImportErrorKind::NotFinite(name) => {
                write!(f, "{path}: tensor `{name}` holds values that are not finite; train it again")
            }
        }
    }
}

impl std::error::Error for ImportError {}

/// The weights of `architecture` from the file at `path`, in the order of [`Architecture::parameters`]. Names may have
/// `generator.` in front.
///
/// # Errors
/// The file cannot be read, or its tensors are not exactly the architecture's.
pub fn read(architecture: &Architecture, path: &Path) -> Result<Vec<Weight>, ImportError> {
    let failed = |kind| ImportError { path: path.into(), kind };
    let bytes = std::fs::read(path).map_err(|error| failed(ImportErrorKind::Unreadable(error)))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| failed(ImportErrorKind::Format(error)))?;
    take(architecture, &tensors).map_err(failed)
}

fn take(architecture: &Architecture, tensors: &SafeTensors<'_>) -> Result<Vec<Weight>, ImportErrorKind> {
    let wrapped = tensors.names().iter().all(|name| name.starts_with(WRAPPER));
    let in_file =
        |name: &str| if wrapped { format!("{WRAPPER}{name}", name = official(name)) } else { official(name) };
    let weights = architecture
        .parameters()
        .into_iter()
        .map(|(name, shape, _)| {
            let given = in_file(&name);
            let tensor = tensors.tensor(&given).map_err(|_| ImportErrorKind::Missing(given.clone()))?;
            if tensor.shape() != shape {
                let found = tensor.shape().to_vec();
                return Err(ImportErrorKind::Shape { name: given, found, expected: shape });
            }
            if tensor.dtype() != Dtype::F32 {
                return Err(ImportErrorKind::Type(given, tensor.dtype()));
            }
            let (quads, _) = tensor.data().as_chunks::<4>();
            let values: Vec<f32> = quads.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(ImportErrorKind::NotFinite(given));
            }
            Ok(Weight { name, shape, values })
        })
        .collect::<Result<Vec<Weight>, _>>()?;
    let known: Vec<String> = weights.iter().map(|weight| in_file(&weight.name)).collect();
    match tensors.names().into_iter().find(|name| !known.iter().any(|known| known == name)) {
        Some(name) => Err(ImportErrorKind::Unknown(name.to_string())),
        None => Ok(weights),
    }
}

/// The official repository's name of a parameter.
///
/// # Panics
/// If it is no name of [`Architecture::parameters`].
pub fn official(name: &str) -> String {
    let (path, leaf) = name.rsplit_once('/').expect("a path and a leaf");
    let kind = match leaf {
        "b" | "norm_bias" => "bias",
        _ => "weight",
    };
    let transformer = "path1.1.arr.0";
    match (path, leaf) {
        ("shallow", _) => format!("conv3.{kind}"),
        ("mdta", "temperature") => format!("{transformer}.attn.temperature"),
        ("mdta", _) => format!("{transformer}.norm1.body.{kind}"),
        ("mdta/qkv", _) => format!("{transformer}.attn.qkv.{kind}"),
        ("mdta/local", _) => format!("{transformer}.attn.qkv_dwconv.{kind}"),
        ("mdta/out", _) => format!("{transformer}.attn.project_out.{kind}"),
        ("gdfn", _) => format!("{transformer}.norm2.body.{kind}"),
        ("gdfn/in", _) => format!("{transformer}.ffn.project_in.{kind}"),
        ("gdfn/local", _) => format!("{transformer}.ffn.dwconv.{kind}"),
        ("gdfn/out", _) => format!("{transformer}.ffn.project_out.{kind}"),
        ("deep/up", _) => format!("path1.2.{kind}"),
        ("deep/image", _) => format!("path1.4.{kind}"),
        ("image", _) => format!("path2.1.{kind}"),
        _ => {
            let (block, layer) = path
                .strip_prefix("scpa")
                .and_then(|rest| rest.split_once('/'))
                .unwrap_or_else(|| panic!("`{name}` is a parameter of the network"));
            let layer = match layer {
                "split_a" => "conv1_a",
                "split_b" => "conv1_b",
                "plain" => "k1.0",
                "map" => "PAConv.k2",
                "mapped" => "PAConv.k3",
                "calibrated" => "PAConv.k4",
                "merge" => "conv3",
                _ => panic!("`{name}` is a parameter of the network"),
            };
            format!("path1.0.arr.{block}.{layer}.{kind}")
        }
    }
}
