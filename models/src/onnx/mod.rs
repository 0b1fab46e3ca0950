//! ONNX export: a network as an ordinary float graph, its front end described in the model's metadata.
//!
//! Operator set 20, so that LayerNormalization and Gelu are single operators.

pub mod event_transformer;
pub mod pnlp_mixer;
pub mod scet;
pub mod spach;

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

use crate::weights::Weight;

/// Epsilon of every layer normalisation.
pub const LAYER_NORM_EPSILON: f32 = 1e-5;

const IR_VERSION: i64 = 9;
const OPSET: i64 = 20;

/// The entry `key` of the metadata of an ONNX file, if it is one and has it.
pub fn metadata(file: &[u8], key: &str) -> Option<String> {
    let model = ModelProto::decode(file).ok()?;
    model.metadata_props.into_iter().find(|entry| entry.key == key).map(|entry| entry.value)
}

/// Metadata of a model that takes pictures with pixels of 0 to 1 and gives `output`, an `image` or `classes`.
fn picture(output: &str) -> [(&'static str, String); 3] {
    [("mixel.front_end", "image"), ("mixel.image.range", "0,1"), ("mixel.image.output", output)]
        .map(|(key, value)| (key, value.to_owned()))
}

/// A graph under construction. Every node but a Split has one output, named like the node.
struct Graph {
    proto: GraphProto,
}

impl Graph {
    fn new(name: &str, weights: &[Weight]) -> Self {
        let initializer = weights
            .iter()
            .map(|weight| TensorProto {
                name: weight.name.clone(),
                dims: weight.shape.iter().map(|&length| length as i64).collect(),
                data_type: DataType::Float as i32,
                raw_data: weight.values.iter().flat_map(|value| value.to_le_bytes()).collect(),
                ..TensorProto::default()
            })
            .collect();
        Self { proto: GraphProto { name: name.into(), initializer, ..GraphProto::default() } }
    }

    fn named_node<const A: usize>(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        output: &str,
        attributes: [AttributeProto; A],
    ) {
        self.proto.node.push(NodeProto {
            name: name.into(),
            op_type: op.into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            attribute: attributes.into(),
            ..NodeProto::default()
        });
    }

    fn node<const A: usize>(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: [AttributeProto; A],
    ) -> String {
        self.named_node(op, name, inputs, name, attributes);
        name.into()
    }

    /// Parts of the first input along `axis`, of the lengths that the second one lists.
    fn split(&mut self, name: &str, inputs: &[&str], outputs: &[&str], axis: i64) {
        self.proto.node.push(NodeProto {
            name: name.into(),
            op_type: "Split".into(),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: outputs.iter().map(|&output| output.into()).collect(),
            attribute: vec![int("axis", axis)],
            ..NodeProto::default()
        });
    }

    fn linear(&mut self, path: &str, weight: &str, bias: &str, x: &str) -> String {
        let (weight, bias) = (format!("{path}/{weight}"), format!("{path}/{bias}"));
        let product = self.node("MatMul", &format!("{weight}/product"), &[x, &weight], []);
        self.node("Add", &format!("{bias}/sum"), &[&product, &bias], [])
    }

    fn mlp(&mut self, path: &str, x: &str) -> String {
        let up = self.linear(path, "w1", "b1", x);
        let active = self.node("Gelu", &format!("{path}/gelu"), &[&up], []);
        self.linear(path, "w2", "b2", &active)
    }

    fn norm(&mut self, path: &str, x: &str) -> String {
        self.named_norm(path, x, &format!("{path}/norm"))
    }

    fn named_norm(&mut self, path: &str, x: &str, output: &str) -> String {
        let (scale, bias) = (format!("{path}/norm_scale"), format!("{path}/norm_bias"));
        let attributes = [int("axis", -1), float("epsilon", LAYER_NORM_EPSILON)];
        self.named_node(
            "LayerNormalization",
            &format!("{path}/norm"),
            &[x, &scale, &bias],
            output,
            attributes,
        );
        output.into()
    }

    /// A constant list: axes, or a shape.
    fn list(&mut self, name: &str, values: &[i64]) -> String {
        self.proto.initializer.push(TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Int64 as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name.into()
    }

    /// A constant vector.
    fn floats(&mut self, name: &str, values: &[f32]) -> String {
        self.proto.initializer.push(TensorProto {
            name: name.into(),
            dims: vec![values.len() as i64],
            data_type: DataType::Float as i32,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        });
        name.into()
    }

    /// A constant number.
    fn scalar(&mut self, name: &str, value: f32) -> String {
        self.proto.initializer.push(TensorProto {
            name: name.into(),
            data_type: DataType::Float as i32,
            raw_data: value.to_le_bytes().to_vec(),
            ..TensorProto::default()
        });
        name.into()
    }

    /// An input of the graph. The first dimension is `first`, the others are fixed.
    fn input(&mut self, name: &str, kind: DataType, first: Dim, rest: &[i64]) {
        self.proto.input.push(value_info(name, kind, first, rest));
    }

    /// A node's result, of floats, as an output of the graph.
    fn output(&mut self, name: &str, first: Dim, rest: &[i64]) {
        self.proto.output.push(value_info(name, DataType::Float, first, rest));
    }

    /// The file, with entries of metadata.
    fn file(self, metadata: &[(&str, String)]) -> Vec<u8> {
        let entry = |(key, value): &(&str, String)| StringStringEntryProto {
            key: (*key).into(),
            value: value.clone(),
        };
        ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: env!("CARGO_PKG_NAME").into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(self.proto),
            metadata_props: metadata.iter().map(entry).collect(),
            ..ModelProto::default()
        }
        .encode_to_vec()
    }
}

/// First dimension of an input or output.
#[derive(Clone, Copy)]
enum Dim {
    Symbol(&'static str),
    Fixed(i64),
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Int as i32, i, ..AttributeProto::default() }
}

fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::Ints as i32,
        ints: ints.to_vec(),
        ..AttributeProto::default()
    }
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: AttributeType::Float as i32, f, ..AttributeProto::default() }
}

fn text(name: &str, s: &str) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        r#type: AttributeType::String as i32,
        s: s.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}

fn value_info(name: &str, kind: DataType, first: Dim, rest: &[i64]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let first = match first {
        Dim::Symbol(symbol) => Value::DimParam(symbol.into()),
        Dim::Fixed(length) => Value::DimValue(length),
    };
    let dim = core::iter::once(first)
        .chain(rest.iter().map(|&length| Value::DimValue(length)))
        .map(|value| Dimension { value: Some(value), ..Dimension::default() })
        .collect();
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: kind as i32,
                shape: Some(TensorShapeProto { dim }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
