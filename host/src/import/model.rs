//! The ONNX file: reading it, its nodes' attributes, its input sizes.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, type_proto};
use tract_onnx::prelude::{Framework, Tensor};

use super::ImportOptions;
use super::structure::check_size;
use crate::graph::Rows;
use crate::guard::guarded;
use crate::{Error, ErrorKind, Result};

/// Operator sets that are understood.
pub const OPSETS: std::ops::RangeInclusive<i64> = 11..=22;
/// Element types that a weight may have, by their number in `TensorProto.DataType`.
const WEIGHT_TYPES: [i32; 9] = [1, 2, 3, 4, 5, 6, 7, 9, 10];
const DOUBLE: i32 = 11;
/// `TensorProto.DataType` of four-bit integers, two a byte, the first one in the low bits: UINT4 and INT4 (opset 21); and of
/// bytes of the same sign.
const FOUR_BITS: [(i32, i32); 2] = [(21, 2), (22, 3)];
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// A decoded ONNX model, its dynamic dimensions named and bounded.
pub struct Model {
    /// Without its graph.
    proto: ModelProto,
    /// The graph.
    pub graph: GraphProto,
    /// Folder of external weight files.
    pub folder: PathBuf,
    /// Version of the default operator set.
    pub opset: i64,
    /// The dimension that varies at run time.
    pub rows: Option<Rows>,
    /// Inputs that are outputs of the run before.
    pub states: Vec<StateSpec>,
}

/// An input that is an output of the run before, from the metadata entry `mixel.state` (`INPUT=OUTPUT`, separated by commas).
pub struct StateSpec {
    /// The input.
    pub input: String,
    /// The output.
    pub output: String,
    /// Its value before the first run: the initializer of the input's name, which is none of the model's weights then.
    pub initial: Option<TensorProto>,
}

/// Key of the metadata entry with the states.
const STATE_KEY: &str = "mixel.state";

impl Model {
    /// Reads and checks the file: that it is ONNX, that its operator set is handled, that its weights are there, and that
    /// at most one dimension beside the batch varies and has a bound.
    pub fn read(path: &Path, options: &ImportOptions) -> Result<Self> {
        let shown = path.display().to_string();
        let mut file = std::fs::File::open(path).map_err(|error| {
            Error::new(ErrorKind::Io, &shown, "cannot be opened").hint("check the path").caused_by(error)
        })?;
        let broken = |message: String| {
            let hint =
                "export it again, or copy it again: an ONNX file is one protocol buffer of type ModelProto";
            Error::new(ErrorKind::Format, &shown, message).hint(hint)
        };
        let mut proto = tract_onnx::onnx()
            .proto_model_for_read(&mut file)
            .map_err(|error| broken(format!("is not an ONNX model, or is cut off ({:#})", error)))?;
        let graph = proto.graph.take().filter(|graph| !graph.output.is_empty());
        let opset = proto
            .opset_import
            .iter()
            .find(|import| matches!(import.domain.as_str(), "" | "ai.onnx"))
            .map(|import| import.version);
        let (Some(graph), Some(opset)) = (graph, opset) else {
            return Err(broken(
                "is not an ONNX model, or is cut off (it has no graph or no operator set)".into(),
            ));
        };
        if !OPSETS.contains(&opset) {
            let message = format!("uses ONNX operator set {opset}");
            let hint = format!("export with an opset from {} to {}", OPSETS.start(), OPSETS.end());
            return Err(Error::new(ErrorKind::Unsupported, shown, message).hint(hint));
        }
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let mut model = Self { proto, graph, folder, opset, rows: None, states: Vec::new() };
        super::structure::check(&model.graph)?;
        model.widen_four_bits()?;
        model.check_weights()?;
        model.take_states()?;
        model.name_dimensions();
        model.rows = model.find_rows(options)?;
        model.check_sizes()?;
        Ok(model)
    }

    /// Value of a metadata entry.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.proto.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// Names of the inputs that are not weights, in order.
    pub fn inputs(&self) -> Vec<&str> {
        let weights = self.weight_names();
        let inputs = self.graph.input.iter().map(|input| input.name.as_str());
        inputs.filter(|name| !weights.contains(name)).collect()
    }

    /// Names of the outputs, in order.
    pub fn outputs(&self) -> Vec<&str> {
        self.graph.output.iter().map(|output| output.name.as_str()).collect()
    }

    /// The first of [`Model::inputs`] with the dimension that varies, and its axis.
    pub fn ragged_input(&self) -> Option<(usize, usize)> {
        let rows = self.rows.as_ref()?;
        self.inputs().iter().enumerate().find_map(|(index, name)| {
            let input = self.graph.input.iter().find(|input| input.name == **name)?;
            let named =
                |value: &Option<Dim>| matches!(value, Some(Dim::DimParam(name)) if *name == rows.name);
            Some((index, dims(input).position(|dim| named(&dim.value))?))
        })
    }

    /// The model with a batch of 1 and `rows` in the varying dimension. Shapes that the file states for anything but
    /// inputs are dropped, because exporters bake other sizes into them.
    pub fn with_sizes(&self, rows: usize) -> ModelProto {
        let mut graph = self.graph.clone();
        graph.value_info.clear();
        for dim in graph.input.iter_mut().flat_map(dims_mut) {
            if let Some(Dim::DimParam(name)) = &dim.value {
                let varies = self.rows.as_ref().is_some_and(|rows| rows.name == *name);
                dim.value = Some(Dim::DimValue(if varies { rows as i64 } else { 1 }));
            }
        }
        ModelProto { graph: Some(graph), ..self.proto.clone() }
    }

    /// Makes inputs of the states, which have a default in the file.
    fn take_states(&mut self) -> Result<()> {
        let Some(entry) = self.metadata(STATE_KEY).map(str::to_owned) else { return Ok(()) };
        for pair in entry.split(',') {
            let refuse = |message: String| {
                Error::new(ErrorKind::Format, STATE_KEY, message)
                    .hint("the entry is INPUT=OUTPUT, separated by commas; docs/pipeline.md describes it")
            };
            let (input, output) = pair.split_once('=').ok_or_else(|| refuse(format!("`{pair}` has no =")))?;
            let weights = &mut self.graph.initializer;
            let initial = weights.iter().position(|weight| weight.name == input);
            let initial = initial.map(|index| weights.remove(index));
            if !self.inputs().contains(&input) || !self.outputs().contains(&output) {
                return Err(refuse(format!("`{input}` is no input, or `{output}` no output, of the model")));
            }
            self.states.push(StateSpec { input: input.to_owned(), output: output.to_owned(), initial });
        }
        Ok(())
    }

    /// Inputs and weights must have sizes within reason.
    fn check_sizes(&self) -> Result<()> {
        let max = self.rows.as_ref().map_or(1, |rows| rows.max);
        for input in &self.graph.input {
            let size = |dim: &Dimension| match (&dim.value, &self.rows) {
                (Some(Dim::DimValue(size)), _) => usize::try_from(*size).unwrap_or(0),
                (Some(Dim::DimParam(name)), Some(rows)) if *name == rows.name => max,
                _ => 1,
            };
            check_size(&input.name, &dims(input).map(size).collect::<Vec<_>>())?;
        }
        self.graph.initializer.iter().try_for_each(|weight| {
            let sizes = weight.dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(usize::MAX));
            check_size(&weight.name, &sizes.collect::<Vec<_>>())
        })
    }

    fn weight_names(&self) -> HashSet<&str> {
        self.graph.initializer.iter().map(|weight| weight.name.as_str()).collect()
    }

    /// Makes bytes of four-bit initializers: the same integers in a type that tract knows.
    fn widen_four_bits(&mut self) -> Result<()> {
        let graph = &mut self.graph;
        let attributes = graph.node.iter_mut().flat_map(|node| &mut node.attribute);
        let constants = attributes.filter_map(|attribute| attribute.t.as_mut());
        for weight in graph.initializer.iter_mut().chain(constants) {
            let Some((_, byte)) = FOUR_BITS.into_iter().find(|(code, _)| *code == weight.data_type) else {
                continue;
            };
            let count =
                weight.dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim.try_into().ok()?));
            let count = count.unwrap_or(usize::MAX);
            let packed: Vec<u8> = match weight.raw_data.is_empty() {
                true => weight.int32_data.iter().map(|&pair| pair as u8).collect(),
                false => std::mem::take(&mut weight.raw_data),
            };
            if weight.data_location == Some(EXTERNAL) || packed.len() != count.div_ceil(2) {
                let message = format!("{} bytes for {count} weights of four bits", packed.len());
                let hint = "store two in a byte, inside the model file";
                return Err(Error::new(ErrorKind::Format, &weight.name, message).hint(hint));
            }
            let signed = |nibble: u8| if byte == 3 { (nibble as i8) << 4 >> 4 } else { nibble as i8 };
            let integers = packed.iter().flat_map(|&pair| [signed(pair & 15), signed(pair >> 4)]);
            weight.raw_data = integers.take(count).map(|integer| integer as u8).collect();
            weight.int32_data.clear();
            weight.data_type = byte;
        }
        Ok(())
    }

    /// Weights must be there and of a type that is handled.
    fn check_weights(&self) -> Result<()> {
        let graph = &self.graph;
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        for weight in graph.initializer.iter().chain(attributes.filter_map(|attribute| attribute.t.as_ref()))
        {
            if !WEIGHT_TYPES.contains(&weight.data_type) && weight.data_type != DOUBLE {
                let message = format!("constant of ONNX type number {} is not handled", weight.data_type);
                let hint = "store it as float32, float16, int8, uint8, int32 or int64";
                return Err(Error::new(ErrorKind::Unsupported, &weight.name, message).hint(hint));
            }
            if weight.data_location == Some(EXTERNAL) {
                self.check_external(weight)?;
            }
        }
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map(|values| values.name.as_str()).unwrap_or_default();
            let message = "sparse initializers are not handled";
            return Err(Error::new(ErrorKind::Unsupported, name, message).hint("export dense weights"));
        }
        Ok(())
    }

    fn check_external(&self, weight: &TensorProto) -> Result<()> {
        let entry = weight.external_data.iter().find(|entry| entry.key == "location");
        let location = entry.map(|entry| entry.value.as_str()).unwrap_or_default();
        let file = self.folder.join(location);
        if location.is_empty() || !file.is_file() {
            let message = format!("weights are kept in the file {}, which is not there", file.display());
            let hint = "put it beside the model, or export with weights inside";
            return Err(Error::new(ErrorKind::Io, &weight.name, message).hint(hint));
        }
        Ok(())
    }

    /// Gives a name to every input dimension without a size: `INPUT_AXIS`.
    fn name_dimensions(&mut self) {
        for input in &mut self.graph.input {
            let name = input.name.clone();
            for (axis, dim) in dims_mut(input).enumerate() {
                let known = match &dim.value {
                    Some(Dim::DimValue(size)) => *size > 0,
                    Some(Dim::DimParam(name)) => !name.is_empty() && name != "?",
                    None => false,
                };
                if !known {
                    dim.value = Some(Dim::DimParam(format!("{name}_{axis}")));
                }
            }
        }
    }

    /// The one named dimension that is not the batch (a first dimension that has no bound).
    fn find_rows(&self, options: &ImportOptions) -> Result<Option<Rows>> {
        let bounds: HashMap<&str, usize> =
            options.max.iter().map(|(name, max)| (name.as_str(), *max)).collect();
        // The words of a text and the tokens of a window are bounded by the front end.
        let front_end = super::front_end::read(self)?;
        let words = front_end.text.map(|spec| spec.text.length());
        let weights = self.weight_names();
        let tokens = front_end.events.map(|spec| spec.histogram.max_tokens.into());
        let first = self.graph.input.iter().find(|input| !weights.contains(input.name.as_str()));
        let first = first.and_then(|input| dims(input).next()?.value.as_ref());
        let ragged = match first {
            Some(Dim::DimParam(name)) => tokens.map(|max: usize| (name.as_str(), max)),
            _ => None,
        };
        let bounds: HashMap<&str, usize> = ragged.into_iter().chain(bounds).collect();
        let (mut rows, mut batch) = (None::<Rows>, HashSet::new());
        let inputs = || self.graph.input.iter().filter(|input| !weights.contains(input.name.as_str()));
        for input in inputs() {
            if let Some(Dim::DimParam(name)) = dims(input).next().and_then(|dim| dim.value.as_ref())
                && !bounds.contains_key(name.as_str())
            {
                batch.insert(name.as_str());
            }
        }
        for input in inputs() {
            for (axis, dim) in dims(input).enumerate() {
                let Some(Dim::DimParam(name)) = &dim.value else { continue };
                if batch.contains(name.as_str()) || rows.as_ref().is_some_and(|rows| rows.name == *name) {
                    continue;
                }
                let Some(max) = bounds.get(name.as_str()).copied().or(words) else {
                    let message = format!("dimension {axis} is `{name}`, whose size is not known");
                    let hint = format!("give its largest size: --max {name}=N");
                    return Err(Error::new(ErrorKind::Shape, &input.name, message).hint(hint));
                };
                if let Some(other) = &rows {
                    let message = format!("both `{}` and `{name}` vary; one dimension may", other.name);
                    let hint = "export the model with one of them fixed";
                    return Err(Error::new(ErrorKind::Shape, &input.name, message).hint(hint));
                }
                if max == 0 {
                    let message = format!("the bound of `{name}` is 0");
                    return Err(Error::new(ErrorKind::Usage, "--max", message).hint("give at least 1"));
                }
                rows = Some(Rows { name: name.clone(), max });
            }
        }
        if let Some((name, _)) =
            options.max.iter().find(|(name, _)| rows.as_ref().is_none_or(|rows| rows.name != *name))
        {
            let message = format!("no input of the model has a dimension `{name}`");
            let hint = "see the input shapes with `mixel inspect`";
            return Err(Error::new(ErrorKind::Usage, "--max", message).hint(hint));
        }
        Ok(rows)
    }
}

/// The values of an initializer that is kept in the file itself.
pub fn weight(tensor: &TensorProto) -> Result<Tensor> {
    let load = || tract_onnx::tensor::load_tensor(&*tract_onnx::data_resolver::default(), tensor, None);
    guarded(load).map_err(|error| {
        Error::new(ErrorKind::Format, &tensor.name, format!("its values cannot be read ({error:#})"))
            .hint("check the model with onnx.checker")
    })
}

fn dims(input: &tract_onnx::pb::ValueInfoProto) -> impl Iterator<Item = &Dimension> {
    let tensor = input.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    tensor
        .and_then(|type_proto::Value::TensorType(tensor)| tensor.shape.as_ref())
        .into_iter()
        .flat_map(|s| &s.dim)
}

fn dims_mut(input: &mut tract_onnx::pb::ValueInfoProto) -> impl Iterator<Item = &mut Dimension> {
    let tensor = input.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    let shape = tensor.and_then(|type_proto::Value::TensorType(tensor)| tensor.shape.as_mut());
    shape.into_iter().flat_map(|shape| &mut shape.dim)
}

/// Attributes and names of a node.
pub trait NodeExt {
    /// Its name, or that of its first output.
    fn label(&self) -> &str;
    /// Integer attribute.
    fn int(&self, name: &str) -> Option<i64>;
    /// Integer list attribute.
    fn ints(&self, name: &str) -> Option<&[i64]>;
    /// Real attribute.
    fn float(&self, name: &str) -> Option<f32>;
    /// Text attribute.
    fn text(&self, name: &str) -> Option<&str>;
    /// Name of input `index`, if it is connected.
    fn input_name(&self, index: usize) -> Option<&str>;
    /// An error of kind Unsupported about this node.
    fn unsupported(&self, reason: impl std::fmt::Display, hint: &str) -> Error;
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

impl NodeExt for NodeProto {
    fn label(&self) -> &str {
        if self.name.is_empty() { self.output.first().map_or("", String::as_str) } else { &self.name }
    }

    fn int(&self, name: &str) -> Option<i64> {
        attribute(self, name).map(|attribute| attribute.i)
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        attribute(self, name).map(|attribute| attribute.ints.as_slice())
    }

    fn float(&self, name: &str) -> Option<f32> {
        attribute(self, name).map(|attribute| attribute.f)
    }

    fn text(&self, name: &str) -> Option<&str> {
        attribute(self, name).and_then(|attribute| std::str::from_utf8(&attribute.s).ok())
    }

    fn input_name(&self, index: usize) -> Option<&str> {
        self.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    fn unsupported(&self, reason: impl std::fmt::Display, hint: &str) -> Error {
        Error::new(ErrorKind::Unsupported, self.label(), format!("{}: {reason}", self.op_type)).hint(hint)
    }
}
