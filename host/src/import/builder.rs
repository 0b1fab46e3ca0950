//! The graph while it is being built, and the ways to add to it.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::{DatumType, Tensor};

use super::facts::{Fact, Facts};
use super::layout;
use super::model::{Model, NodeExt};
use crate::graph::{Constant, Graph, Node, Op, Origin, Quantization, Shape, Value, ValueId};
use crate::{Error, ErrorKind, Result};

/// The graph so far and where ONNX tensors are in it.
pub struct Builder<'a> {
    /// The file.
    pub model: &'a Model,
    facts: &'a Facts,
    /// What is built.
    pub graph: Graph,
    tensors: HashMap<String, ValueId>,
    /// ONNX nodes that read a tensor.
    readers: HashSet<&'a str>,
    names: HashSet<String>,
}

impl<'a> Builder<'a> {
    /// An empty graph.
    pub fn new(model: &'a Model, facts: &'a Facts) -> Self {
        let nodes = model.graph.node.iter();
        let mut readers: HashSet<&str> = nodes.flat_map(|node| &node.input).map(String::as_str).collect();
        readers.extend(model.outputs());
        let graph = Graph { rows: model.rows.clone(), ..Graph::default() };
        Self { model, facts, graph, tensors: HashMap::new(), readers, names: HashSet::new() }
    }

    /// What is known of tensor `name`.
    pub fn fact(&self, name: &str) -> Result<&'a Fact> {
        self.facts.get(name)
    }

    /// What is known of output `index` of `node`.
    pub fn output_fact(&self, node: &NodeProto, index: usize) -> Result<&'a Fact> {
        match node.output.get(index) {
            Some(name) => self.fact(name),
            None => Err(node.unsupported("has no such output", "check the model with onnx.checker")),
        }
    }

    /// What is known of input `index` of `node`.
    pub fn input_fact(&self, node: &NodeProto, index: usize) -> Result<&'a Fact> {
        self.fact(self.required(node, index)?)
    }

    /// Whether anything reads output `index` of `node`.
    pub fn is_read(&self, node: &NodeProto, index: usize) -> bool {
        node.output.get(index).is_some_and(|name| self.readers.contains(name.as_str()))
    }

    /// Whether all outputs of `node` are known constants, and it works on none whose integers are to be kept.
    pub fn is_constant(&self, node: &NodeProto) -> bool {
        let known = |name: &String| self.facts.get(name).is_ok_and(|fact| fact.constant.is_some());
        let integers =
            |id: &ValueId| self.graph.value(*id).constant.as_ref().is_some_and(|c| c.integers.is_some());
        let kept = |name: &String| self.tensors.get(name).is_some_and(integers);
        node.output.iter().filter(|name| !name.is_empty()).all(known) && !node.input.iter().any(kept)
    }

    /// Whether all outputs of `node` depend on the number of rows only. They make shapes, which are known already.
    pub fn is_shape(&self, node: &NodeProto) -> bool {
        let mut names = node.output.iter().filter(|name| !name.is_empty());
        names.all(|name| self.facts.get(name).is_ok_and(|fact| fact.varies))
    }

    fn required<'n>(&self, node: &'n NodeProto, index: usize) -> Result<&'n str> {
        node.input_name(index).ok_or_else(|| {
            node.unsupported(format!("input {index} is missing"), "check the model with onnx.checker")
        })
    }

    /// The value of input `index` of `node`, which must be connected.
    pub fn input(&mut self, node: &NodeProto, index: usize) -> Result<ValueId> {
        let name = self.required(node, index)?;
        self.value(name)
    }

    /// The value of input `index` of `node` if it is connected.
    pub fn optional(&mut self, node: &NodeProto, index: usize) -> Result<Option<ValueId>> {
        node.input_name(index).map(|name| self.value(name)).transpose()
    }

    /// The value of tensor `name`; a constant is made when it is first asked for.
    pub fn value(&mut self, name: &str) -> Result<ValueId> {
        if let Some(&id) = self.tensors.get(name) {
            return Ok(id);
        }
        let fact = self.fact(name)?;
        let Some(tensor) = &fact.constant else {
            if fact.varies {
                let message = "depends on the number of rows, and an operator computes with it";
                let hint = "only shapes may follow the number of rows; fix it when exporting";
                return Err(Error::new(ErrorKind::Unsupported, name, message).hint(hint));
            }
            let message = "is used before it is computed";
            return Err(
                Error::new(ErrorKind::Format, name, message).hint("check the model with onnx.checker")
            );
        };
        let constant = Constant { data: floats(name, tensor)?, integers: None };
        let value = layout::constant_value(self.unique(name), constant, fact.shape.clone());
        let id = self.graph.add(value);
        self.bind(name, id);
        Ok(id)
    }

    /// Says that tensor `name` is `id`.
    pub fn bind(&mut self, name: &str, id: ValueId) {
        self.tensors.insert(name.to_owned(), id);
    }

    /// Integers of a constant input, such as axes or sizes. None if the input is not connected.
    pub fn integers(&self, node: &NodeProto, index: usize) -> Result<Option<Vec<i64>>> {
        let Some(name) = node.input_name(index) else { return Ok(None) };
        let Some(tensor) = &self.fact(name)?.constant else {
            return Err(
                node.unsupported(format!("input `{name}` is computed at run time"), "make it a constant")
            );
        };
        Ok(Some(cast::<i64>(name, tensor)?))
    }

    /// Real numbers of a constant input. None if the input is not connected.
    pub fn reals(&self, node: &NodeProto, index: usize) -> Result<Option<Vec<f32>>> {
        let Some(name) = node.input_name(index) else { return Ok(None) };
        let Some(tensor) = &self.fact(name)?.constant else {
            return Err(
                node.unsupported(format!("input `{name}` is computed at run time"), "make it a constant")
            );
        };
        Ok(Some(floats(name, tensor)?))
    }

    /// The constant behind `id`, which must be one: a weight, called `what` in the message.
    pub fn weight(&self, node: &NodeProto, id: ValueId, what: &str) -> Result<&Constant> {
        self.graph.value(id).constant.as_ref().ok_or_else(|| {
            node.unsupported(
                format!("its {what} are computed at run time"),
                "only constant weights are handled; fold them when exporting",
            )
        })
    }

    /// Shape of `id`.
    pub fn shape(&self, id: ValueId) -> Shape {
        self.graph.value(id).shape.clone()
    }

    /// A name that is not taken, made from `name`.
    pub fn unique(&mut self, name: &str) -> String {
        let mut unique = name.to_owned();
        let mut count = 1;
        while !self.names.insert(unique.clone()) {
            count += 1;
            unique = format!("{name}#{count}");
        }
        unique
    }

    /// Adds a node with a value of its own that is no ONNX tensor; both are called `name`.
    pub fn emit(&mut self, name: &str, op: Op, inputs: &[ValueId], shape: Shape) -> ValueId {
        let name = self.unique(name);
        let value = Value { name: name.clone(), shape, ..Value::default() };
        let output = self.graph.add(value);
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    /// Adds the node that computes output `index` of `node`.
    pub fn output(&mut self, node: &NodeProto, index: usize, op: Op, inputs: &[ValueId]) -> Result<ValueId> {
        let shape = self.output_fact(node, index)?.shape.clone();
        let tensor = &node.output[index];
        let (given, origin) = self.meaning(node, index, inputs, vec![])?;
        let value = Value { name: self.unique(tensor), shape, given, origin, ..Value::default() };
        let output = self.graph.add(value);
        self.graph.nodes.push(Node { name: node.label().to_owned(), op, inputs: inputs.to_vec(), output });
        self.bind(tensor, output);
        Ok(output)
    }

    /// Quantization and origin of an output. Integer tensors keep the quantization of what they are made of, and are no
    /// tensors of the float model.
    fn meaning(
        &self,
        node: &NodeProto,
        index: usize,
        inputs: &[ValueId],
        perm: Vec<usize>,
    ) -> Result<(Option<Quantization>, Option<Origin>)> {
        let tensor = node.output[index].clone();
        if is_real(self.output_fact(node, index)?.dtype) {
            return Ok((None, Some(Origin { tensor, perm, ..Origin::default() })));
        }
        let mut given =
            inputs.iter().map(|&id| self.graph.value(id)).filter(|value| value.constant.is_none());
        let first = given.next().and_then(|value| value.given);
        if given.any(|value| value.given != first) {
            let hint = "put it between DequantizeLinear and QuantizeLinear";
            return Err(node.unsupported("combines integers of different quantization", hint));
        }
        Ok((first, None))
    }

    /// Adds the operator of `node`, with one output.
    pub fn finish(&mut self, node: &NodeProto, op: Op, inputs: &[ValueId]) -> Result<()> {
        self.output(node, 0, op, inputs).map(|_| ())
    }

    /// `id` transposed; a constant is rearranged at once.
    pub fn transposed(&mut self, id: ValueId, perm: &[usize]) -> ValueId {
        if perm.iter().enumerate().all(|(to, &from)| to == from) {
            return id;
        }
        let value = self.graph.value(id).clone();
        let shape = value.shape.transposed(perm);
        let name = format!("{}:{}", value.name, if is_to_channels_last(perm) { "nhwc" } else { "t" });
        if let Some(constant) = &value.constant {
            let constant = layout::transposed(constant, &value.shape.dims, perm);
            let name = self.unique(&name);
            return self.graph.add(layout::constant_value(name, constant, shape));
        }
        let transposed = self.emit(&name, Op::Transpose { perm: perm.to_vec() }, &[id], shape);
        let origin = value.origin.filter(|origin| origin.perm.is_empty());
        self.graph.value_mut(transposed).origin =
            origin.map(|origin| Origin { perm: perm.to_vec(), ..origin });
        self.graph.value_mut(transposed).given = value.given;
        transposed
    }

    /// `id` in another shape; a constant is reshaped at once.
    pub fn reshaped(&mut self, id: ValueId, shape: Shape) -> ValueId {
        let value = self.graph.value(id).clone();
        if value.shape == shape {
            return id;
        }
        let name = format!("{}:r", value.name);
        if let Some(constant) = &value.constant {
            let constant = layout::reshaped(constant, &value.shape.dims, &shape.dims);
            let name = self.unique(&name);
            return self.graph.add(layout::constant_value(name, constant, shape));
        }
        let reshaped = self.emit(&name, Op::Reshape, &[id], shape);
        self.graph.value_mut(reshaped).origin = value.origin;
        self.graph.value_mut(reshaped).given = value.given;
        reshaped
    }

    /// `id` of shape `N,C,H,W` as `N,H,W,C`; `N,C,L` as `N,1,L,C`.
    pub fn channels_last(&mut self, node: &NodeProto, id: ValueId) -> Result<ValueId> {
        match self.shape(id).rank() {
            4 => Ok(self.transposed(id, &[0, 2, 3, 1])),
            3 => {
                let id = self.transposed(id, &[0, 2, 1]);
                let shape = self.shape(id).inserted(1, 1);
                Ok(self.reshaped(id, shape))
            }
            rank => Err(node.unsupported(
                format!("data has {rank} dimensions"),
                "one and two spatial dimensions are handled (3 or 4 dimensions in all)",
            )),
        }
    }

    /// Adds `op`, which computes the output of `node` channels last from `inputs`, and brings it back to channels first.
    pub fn finish_nhwc(&mut self, node: &NodeProto, op: Op, inputs: &[ValueId]) -> Result<()> {
        let shape = self.output_fact(node, 0)?.shape.clone();
        let tensor = node.output[0].clone();
        let last = if shape.rank() == 3 { vec![0, 2, 1] } else { vec![0, 2, 3, 1] };
        let mut nhwc = shape.transposed(&last);
        if shape.rank() == 3 {
            nhwc = nhwc.inserted(1, 1);
        }
        let mut id = self.emit(node.label(), op, inputs, nhwc);
        let name = self.unique(&format!("{tensor}:nhwc"));
        let (given, origin) = self.meaning(node, 0, inputs, last.clone())?;
        let value = self.graph.value_mut(id);
        (value.name, value.given, value.origin) = (name, given, origin);
        if shape.rank() == 3 {
            id = self.reshaped(id, shape.transposed(&last));
        }
        let perm = if shape.rank() == 3 { vec![0, 2, 1] } else { vec![0, 3, 1, 2] };
        let (given, origin) = self.meaning(node, 0, inputs, vec![])?;
        let back = self.emit(&tensor, Op::Transpose { perm }, &[id], shape);
        let value = self.graph.value_mut(back);
        (value.given, value.origin) = (given, origin);
        self.bind(&tensor, back);
        Ok(())
    }

    /// A new constant.
    pub fn constant(&mut self, name: &str, dims: &[usize], data: Vec<f32>) -> ValueId {
        let name = self.unique(name);
        self.graph.constant(name, dims, data)
    }
}

fn is_to_channels_last(perm: &[usize]) -> bool {
    perm.len() >= 3 && perm.last() == Some(&1) && perm[0] == 0
}

/// Index of ONNX axis `axis` (negative counts from the end) among `rank`.
pub fn axis_index(node: &NodeProto, axis: i64, rank: usize) -> Result<usize> {
    let index = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(index).ok().filter(|&index| index < rank.max(1)).ok_or_else(|| {
        let message = format!("axis {axis} is outside {rank} dimensions");
        Error::new(ErrorKind::Shape, node.label(), message).hint("check the model with onnx.checker")
    })
}

/// Whether tensors of this type hold real numbers.
pub fn is_real(dtype: DatumType) -> bool {
    matches!(dtype, DatumType::F16 | DatumType::F32 | DatumType::F64)
}

/// Elements of a constant as real numbers; float16 is widened, double rounded to nearest.
pub fn floats(name: &str, tensor: &Tensor) -> Result<Vec<f32>> {
    cast::<f32>(name, tensor)
}

/// Elements of a constant as `T`.
pub fn cast<T: tract_onnx::prelude::Datum + Copy>(name: &str, tensor: &Tensor) -> Result<Vec<T>> {
    let elements =
        tensor.cast_to::<T>().and_then(|tensor| Ok(tensor.try_as_plain_ram()?.as_slice::<T>()?.to_vec()));
    elements.map_err(|error| {
        let message = format!("constant of type {:?} is not handled ({error:#})", tensor.datum_type());
        Error::new(ErrorKind::Unsupported, name, message)
    })
}
