//! ONNX export: the network as an ordinary float graph, its text front end described in the model's metadata.
//!
//! Operator set 20, so that LayerNormalization and Gelu are single operators. The first dimension of input and output
//! is the symbol `N`. The input `features` is the dense form of the front end
//! ([`mixel_core::text::TextFrontEnd::features`]): a runtime that knows the metadata replaces the first product by sums
//! of weight rows, any other runs the graph as it stands.

use prost::Message;
use serde::Serialize;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};

use crate::pnlp_mixer::{Architecture, Head, Weight};

/// Epsilon of every layer normalisation.
pub const LAYER_NORM_EPSILON: f32 = 1e-5;
/// Key of the model's metadata that describes the front end, as JSON.
pub const FRONT_END_KEY: &str = "mixel.frontend";
/// Input of the graph, `[N, L, (2w+1) * m]`.
pub const INPUT: &str = "features";
/// Output of the graph, `[N, C]` or `[N, L, C]`.
pub const OUTPUT: &str = "logits";

const IR_VERSION: i64 = 9;
const OPSET: i64 = 20;

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
            let axes = graph.axes("pool/axes", 1);
            x = graph.node("ReduceSum", "pool/sum", &[&weighted, &axes], [int("keepdims", 0)]);
            vec![classes]
        }
        Head::Tokens => vec![length, classes],
    };
    let product = graph.node("MatMul", "head/w/product", &[&x, "head/w"], []);
    graph.named_node("Add", "head/b/sum", &[&product, "head/b"], OUTPUT, []);

    let mut proto = graph.proto;
    proto.input.push(value_info(INPUT, &[length, size.features() as i64]));
    proto.output.push(value_info(OUTPUT, &shape));
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
    ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(proto),
        metadata_props: vec![StringStringEntryProto {
            key: FRONT_END_KEY.into(),
            value: serde_json::to_string(&front_end).expect("strings and numbers"),
        }],
        ..ModelProto::default()
    }
    .encode_to_vec()
}

/// A graph under construction. Every node has one output, named like the node.
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
        let (scale, bias) = (format!("{path}/norm_scale"), format!("{path}/norm_bias"));
        self.node(
            "LayerNormalization",
            &format!("{path}/norm"),
            &[x, &scale, &bias],
            [int("axis", -1), float("epsilon", LAYER_NORM_EPSILON)],
        )
    }

    /// A constant list of one axis.
    fn axes(&mut self, name: &str, axis: i64) -> String {
        self.proto.initializer.push(TensorProto {
            name: name.into(),
            dims: vec![1],
            data_type: DataType::Int64 as i32,
            raw_data: axis.to_le_bytes().to_vec(),
            ..TensorProto::default()
        });
        name.into()
    }
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

/// A float tensor with first dimension `N`.
fn value_info(name: &str, shape: &[i64]) -> ValueInfoProto {
    use tensor_shape_proto::{Dimension, dimension::Value};
    let dimension = |value| Dimension { value: Some(value), ..Dimension::default() };
    let dim = [dimension(Value::DimParam("N".into()))]
        .into_iter()
        .chain(shape.iter().map(|&length| dimension(Value::DimValue(length))))
        .collect();
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: DataType::Float as i32,
                shape: Some(TensorShapeProto { dim }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
