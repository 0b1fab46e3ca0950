//! Small ONNX models made by hand, and the check that import means what the oracle computes.

use mixel::graph::Graph;
use mixel::import::{self, ImportOptions};
use mixel::reference::Reference;
use mixel::{Error, arrays::Array};
use prost::Message;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension::Value as Dim};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use super::{array, assert_close, interpreter, tensor};

/// An attribute value.
#[derive(Debug)]
pub enum Attr<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [i64]),
    Text(&'a str),
}
pub use Attr::{Float, Int, Ints, Text};

/// A model under construction.
pub struct Onnx {
    pub proto: ModelProto,
    seed: u32,
}

impl Onnx {
    /// An empty model of operator set `opset`.
    pub fn new(opset: i64) -> Self {
        let import = OperatorSetIdProto { domain: String::new(), version: opset };
        let proto = ModelProto {
            ir_version: 8,
            opset_import: vec![import],
            graph: Some(GraphProto { name: "g".into(), ..Default::default() }),
            ..Default::default()
        };
        Self { proto, seed: 12345 }
    }

    pub fn graph(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("made with one")
    }

    /// A float input; negative sizes become names: -1 is `N`, -2 is `T`.
    pub fn input(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        let input = info(name, 1, dims);
        self.graph().input.push(input);
        self
    }

    pub fn input_of(&mut self, name: &str, kind: i32, dims: &[i64]) -> &mut Self {
        let input = info(name, kind, dims);
        self.graph().input.push(input);
        self
    }

    pub fn output(&mut self, name: &str) -> &mut Self {
        let output =
            ValueInfoProto { name: name.into(), r#type: info(name, 1, &[]).r#type, ..Default::default() };
        self.graph().output.push(output);
        self
    }

    /// A node with one output; the node is named like it.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attr)],
    ) -> &mut Self {
        self.node_of(op, inputs, &[output], attributes)
    }

    pub fn node_of(
        &mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attr)],
    ) -> &mut Self {
        let attribute = attributes.iter().map(|(name, value)| {
            let mut proto = AttributeProto { name: (*name).into(), ..Default::default() };
            match value {
                Int(i) => (proto.r#type, proto.i) = (2, *i),
                Float(f) => (proto.r#type, proto.f) = (1, *f),
                Ints(ints) => (proto.r#type, proto.ints) = (7, ints.to_vec()),
                Text(text) => (proto.r#type, proto.s) = (3, text.as_bytes().to_vec()),
            }
            proto
        });
        let node = NodeProto {
            op_type: op.into(),
            name: format!("node_{}", outputs[0]),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: outputs.iter().map(|&name| name.into()).collect(),
            attribute: attribute.collect(),
            ..Default::default()
        };
        self.graph().node.push(node);
        self
    }

    fn weight(&mut self, name: &str, kind: i32, dims: &[i64], raw: Vec<u8>) -> &mut Self {
        let tensor = TensorProto {
            name: name.into(),
            data_type: kind,
            dims: dims.to_vec(),
            raw_data: raw,
            ..Default::default()
        };
        self.graph().initializer.push(tensor);
        self
    }

    /// A constant of ONNX type number `kind`.
    pub fn raw(&mut self, name: &str, kind: i32, dims: &[i64], raw: Vec<u8>) -> &mut Self {
        self.weight(name, kind, dims, raw)
    }

    pub fn floats(&mut self, name: &str, dims: &[i64], data: &[f32]) -> &mut Self {
        self.weight(name, 1, dims, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    pub fn halves(&mut self, name: &str, dims: &[i64], data: &[f32]) -> &mut Self {
        self.weight(name, 10, dims, data.iter().flat_map(|&x| half::f16::from_f32(x).to_le_bytes()).collect())
    }

    pub fn ints(&mut self, name: &str, data: &[i64]) -> &mut Self {
        self.weight(name, 7, &[data.len() as i64], data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    pub fn bytes(&mut self, name: &str, dims: &[i64], data: &[i8]) -> &mut Self {
        self.weight(name, 3, dims, data.iter().map(|&x| x as u8).collect())
    }

    pub fn unsigned(&mut self, name: &str, dims: &[i64], data: &[u8]) -> &mut Self {
        self.weight(name, 2, dims, data.to_vec())
    }

    pub fn words(&mut self, name: &str, dims: &[i64], data: &[i32]) -> &mut Self {
        self.weight(name, 6, dims, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// A constant of pseudo-random values in -1..1.
    pub fn random(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        let data = noise(dims.iter().product::<i64>() as usize, self.seed);
        self.seed = self.seed.wrapping_mul(31).wrapping_add(7);
        self.floats(name, dims, &data)
    }

    pub fn metadata(&mut self, key: &str, value: &str) -> &mut Self {
        self.proto.metadata_props.push(StringStringEntryProto { key: key.into(), value: value.into() });
        self
    }

    pub fn encoded(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// Writes the model and applies `f` to its path.
    pub fn with_file<T>(&self, f: impl FnOnce(&std::path::Path) -> T) -> T {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("model.onnx");
        std::fs::write(&path, self.encoded()).expect("writable");
        f(&path)
    }

    pub fn load(&self) -> Result<Graph, Error> {
        self.load_with(&ImportOptions::default())
    }

    pub fn load_with(&self, options: &ImportOptions) -> Result<Graph, Error> {
        self.with_file(|path| import::load(path, options))
    }

    /// Checks import and passes against the oracle on pseudo-random inputs, and every value against its origin. Returns
    /// the tidy graph.
    pub fn check(&self, what: &str) -> Graph {
        self.check_with(what, &ImportOptions::default(), 1.0)
    }

    pub fn check_with(&self, what: &str, options: &ImportOptions, span: f32) -> Graph {
        self.with_file(|path| {
            let plain = import::load_plain(path, options).unwrap_or_else(|error| panic!("{what}: {error}"));
            let tidy = import::load(path, options).unwrap_or_else(|error| panic!("{what}: {error}"));
            let reference = Reference::load(path, options).unwrap_or_else(|error| panic!("{what}: {error}"));
            let inputs: Vec<Array> = plain
                .inputs
                .iter()
                .enumerate()
                .map(|(index, &id)| {
                    let dims = &plain.value(id).shape.dims;
                    let data = noise(dims.iter().product(), 99 + index as u32);
                    array(dims, data.iter().map(|x| x * span).collect())
                })
                .collect();
            let expected = reference.run(&inputs).unwrap_or_else(|error| panic!("{what}: {error}"));
            let tensors: Vec<_> = inputs.iter().map(tensor).collect();
            for (stage, graph) in [("plain", &plain), ("tidy", &tidy)] {
                let what = format!("{what}, {stage}");
                assert_sound(&what, graph);
                for (ours, theirs) in interpreter::outputs(graph, &tensors).iter().zip(&expected) {
                    assert_eq!(ours.dims, theirs.dims, "{what}");
                    assert_close(&what, &ours.data, &theirs.data.to_f32(), 2e-5);
                }
                assert_origins(&what, graph, &reference, &inputs);
            }
            tidy
        })
    }
}

/// Pseudo-random values in -1..1.
pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(u64::from(seed));
    (0..count).map(|_| random.f32() * 2.0 - 1.0).collect()
}

fn info(name: &str, kind: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| Dimension {
        value: Some(match size {
            -1 => Dim::DimParam("N".into()),
            -2 => Dim::DimParam("T".into()),
            size => Dim::DimValue(size),
        }),
        ..Default::default()
    };
    let shape = (!dims.is_empty()).then(|| TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type: kind, shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
}

/// Nodes in execution order, unique names, constants that fill their shapes.
pub fn assert_sound(what: &str, graph: &Graph) {
    let mut names = std::collections::HashSet::new();
    let mut known: std::collections::HashSet<_> = graph.inputs.iter().copied().collect();
    for (index, value) in graph.values.iter().enumerate() {
        assert!(names.insert(&value.name), "{what}: two values are called {}", value.name);
        if let Some(constant) = &value.constant {
            assert_eq!(constant.data.len(), value.shape.elements(), "{what}: {}", value.name);
            if let Some(integers) = &constant.integers {
                assert_eq!(integers.data.len(), constant.data.len(), "{what}: {}", value.name);
            }
            known.insert(mixel::graph::ValueId(index));
        }
    }
    for node in &graph.nodes {
        assert!(node.inputs.iter().all(|id| known.contains(id)), "{what}: {} comes too early", node.name);
        assert!(known.insert(node.output), "{what}: {} computes what is there", node.name);
    }
    assert!(graph.outputs.iter().all(|id| known.contains(id)), "{what}: an output is missing");
}

/// Every value equals the tensor that it claims to be.
pub fn assert_origins(what: &str, graph: &Graph, reference: &Reference, inputs: &[Array]) {
    let values = interpreter::run(graph, &inputs.iter().map(tensor).collect::<Vec<_>>());
    let claims: Vec<_> = graph
        .values
        .iter()
        .zip(&values)
        .filter(|(value, computed)| value.constant.is_none() && computed.is_some())
        .filter_map(|(value, computed)| Some((value, computed.as_ref()?, value.origin.as_ref()?)))
        .collect();
    let mut names: Vec<String> = claims.iter().map(|(_, _, origin)| origin.tensor.clone()).collect();
    names.sort();
    names.dedup();
    let mut tensors = std::collections::HashMap::new();
    let mut keep = |name: &str, array: &Array| {
        tensors.insert(name.to_owned(), array.clone());
    };
    reference.observe(inputs, &names, &mut keep).unwrap_or_else(|error| panic!("{what}: {error}"));
    for (value, computed, origin) in claims {
        let observed = &tensors[&origin.tensor];
        let whole = observed.data.to_f32();
        let (data, dims) = origin.cut(&whole, &observed.dims);
        let expected = interpreter::transposed(&interpreter::Tensor::new(&dims, data.to_vec()), &origin.perm);
        let what = format!("{what}: {} from {origin:?}", value.name);
        assert_close(&what, &computed.data, &expected.data, 2e-5);
    }
}
