//! Graphs by hand, and a way to run them as plans.

use std::collections::HashMap;

use mixel::graph::{Clip, Graph, Node, Op, Origin, Quantization, Shape, Value, ValueId, Window};
use mixel::quantize::{Options, Quantized, Statistics, dequantize_value, quantize, quantize_value};
use mixel_core::kernels::All;
use mixel_core::pack::Layout;
use mixel_core::plan::{DType, Plan};
use mixel_core::session::Session;

use crate::support::interpreter::{self, Tensor};

/// Graphs by hand.
pub struct Build {
    pub graph: Graph,
    random: fastrand::Rng,
}

impl Build {
    pub fn new(seed: u64) -> Self {
        Self { graph: Graph::default(), random: fastrand::Rng::with_seed(seed) }
    }

    /// Roughly normal numbers.
    pub fn normal(&mut self, count: usize, deviation: f32) -> Vec<f32> {
        let mut one = || (0..12).map(|_| self.random.f32()).sum::<f32>() - 6.0;
        (0..count).map(|_| one() * deviation).collect()
    }

    pub fn value(&mut self, name: &str, dims: &[usize]) -> ValueId {
        let origin = Origin { tensor: name.to_owned(), ..Origin::default() };
        let shape = Shape::fixed(dims);
        self.graph.add(Value { name: name.to_owned(), shape, origin: Some(origin), ..Value::default() })
    }

    pub fn input(&mut self, dims: &[usize]) -> ValueId {
        let id = self.value(&format!("input{}", self.graph.inputs.len()), dims);
        self.graph.inputs.push(id);
        id
    }

    pub fn node(&mut self, op: Op, inputs: &[ValueId], dims: &[usize]) -> ValueId {
        let name = format!("{}_{}", op.name(), self.graph.nodes.len());
        let output = self.value(&format!("{name}_out"), dims);
        self.graph.nodes.push(Node { name, op, inputs: inputs.to_vec(), output });
        output
    }

    pub fn random_constant(&mut self, dims: &[usize], deviation: f32) -> ValueId {
        let data = self.normal(dims.iter().product(), deviation);
        let name = format!("constant{}", self.graph.values.len());
        self.graph.constant(name, dims, data)
    }

    pub fn linear(&mut self, x: ValueId, outputs: usize, clip: Clip) -> ValueId {
        let mut dims = self.graph.value(x).shape.dims.clone();
        let inputs = dims.pop().unwrap();
        let weights = self.random_constant(&[outputs, inputs], (1.0 / inputs as f32).sqrt());
        let bias = self.random_constant(&[outputs], 0.1);
        dims.push(outputs);
        self.node(Op::Linear { clip }, &[x, weights, bias], &dims)
    }

    /// A convolution of `kernel` that keeps the size.
    pub fn conv(&mut self, x: ValueId, outputs: usize, kernel: usize, groups: usize, clip: Clip) -> ValueId {
        let mut dims = self.graph.value(x).shape.dims.clone();
        let inner = dims[3] / groups;
        let deviation = (1.0 / (kernel * kernel * inner) as f32).sqrt();
        let weights = self.random_constant(&[outputs, kernel, kernel, inner], deviation);
        let bias = self.random_constant(&[outputs], 0.1);
        dims[3] = outputs;
        let window = window(kernel, 1, kernel / 2);
        self.node(Op::Conv { window, groups, clip }, &[x, weights, bias], &dims)
    }

    pub fn output(mut self, id: ValueId) -> Graph {
        self.graph.outputs.push(id);
        self.graph
    }

    /// One random sample for each input.
    pub fn sample(&mut self) -> Vec<Vec<f32>> {
        let sizes: Vec<usize> =
            self.graph.inputs.iter().map(|id| self.graph.value(*id).shape.elements()).collect();
        sizes.into_iter().map(|size| self.normal(size, 1.0)).collect()
    }
}

pub const RELU: Clip = Clip { min: 0.0, max: f32::INFINITY };

pub fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 4] }
}

/// Random samples for `graph`'s inputs.
pub fn samples(graph: &Graph, count: usize, seed: u64) -> Vec<Vec<Vec<f32>>> {
    let mut build = Build { graph: graph.clone(), random: fastrand::Rng::with_seed(seed) };
    (0..count).map(|_| build.sample()).collect()
}

/// All values of `graph` for `inputs`, in float.
pub fn evaluate(graph: &Graph, inputs: &[Vec<f32>]) -> HashMap<ValueId, Vec<f32>> {
    let tensor = |(id, data): (&ValueId, &Vec<f32>)| Tensor::new(&graph.value(*id).shape.dims, data.clone());
    let inputs: Vec<Tensor> = graph.inputs.iter().zip(inputs).map(tensor).collect();
    let values = interpreter::run(graph, &inputs).into_iter().enumerate();
    values.filter_map(|(index, value)| Some((ValueId(index), value?.data))).collect()
}

/// Statistics of every value of `graph` over `samples`.
pub fn observe(graph: &Graph, samples: &[Vec<Vec<f32>>]) -> Statistics {
    let mut statistics = Statistics::new(graph);
    for sample in samples {
        for (id, data) in evaluate(graph, sample) {
            let value = graph.value(id);
            if let (Some(origin), Some(&channels)) = (&value.origin, value.shape.dims.last()) {
                statistics.entry(id).add(&data, &value.shape.dims, origin, channels);
            }
        }
    }
    statistics
}

/// Runs `quantized` through lowering, memory planning, emission and a session.
pub fn run(quantized: &Quantized, layout: Layout, inputs: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let program = mixel::lower::lower(quantized, layout).unwrap();
    let placement = mixel::plan::place(&program).unwrap();
    let bytes = mixel::emit::emit(&program, &placement, false).unwrap();
    let plan = Plan::<All>::new_checked(&bytes).unwrap();
    let mut arena = mixel::aligned::Aligned::zeroed(plan.arena_bytes());
    let mut session = Session::new(plan, &mut arena).unwrap();
    let graph = &quantized.graph;
    for (index, (id, data)) in graph.inputs.iter().zip(inputs).enumerate() {
        let quantization = quantized.activation(*id).unwrap();
        session.input(index).copy_from_slice(&to_bytes(data, &quantization));
    }
    session.run();
    let outputs = graph.outputs.iter().enumerate();
    outputs.map(|(index, id)| to_reals(session.output(index), &quantized.activation(*id).unwrap())).collect()
}

fn to_bytes(data: &[f32], quantization: &Quantization) -> Vec<u8> {
    let size = quantization.dtype.size();
    let integers = data.iter().map(|&x| quantize_value(x as f64, quantization));
    integers.flat_map(|q| q.to_le_bytes().into_iter().take(size)).collect()
}

fn to_reals(bytes: &[u8], quantization: &Quantization) -> Vec<f32> {
    let integer = |bytes: &[u8]| match quantization.dtype {
        DType::I16 => i16::from_le_bytes([bytes[0], bytes[1]]) as i32,
        _ => bytes[0] as i8 as i32,
    };
    let size = quantization.dtype.size();
    bytes.chunks(size).map(|bytes| dequantize_value(integer(bytes), quantization) as f32).collect()
}

/// Signal to noise in decibels of `found` against `wanted`.
pub fn sqnr_db<'a>(pairs: impl Iterator<Item = (&'a f32, &'a f32)>) -> f64 {
    let (signal, noise) = pairs.fold((0.0, 0.0), |(signal, noise), (wanted, found)| {
        let (wanted, found) = (*wanted as f64, *found as f64);
        (signal + wanted * wanted, noise + (wanted - found).powi(2))
    });
    10.0 * (signal / f64::max(noise, 1e-30)).log10()
}

/// Calibrates `graph` on random samples, quantizes, runs others in every layout and gives the worst output's SQNR.
pub fn measured_sqnr_db(graph: &Graph, options: &Options) -> f64 {
    let statistics = observe(graph, &samples(graph, 100, 1));
    let quantized = quantize(graph.clone(), Some(&statistics), options).unwrap();
    let tests = samples(graph, 8, 2);
    let mut pairs = vec![Vec::new(); graph.outputs.len()];
    for sample in &tests {
        let wanted = evaluate(graph, sample);
        let found = run(&quantized, Layout::Generic, sample);
        for layout in [Layout::ArmDsp, Layout::Helium, Layout::X86, Layout::Aarch64] {
            assert_eq!(run(&quantized, layout, sample), found, "{layout:?}");
        }
        for (index, id) in graph.outputs.iter().enumerate() {
            pairs[index].extend(wanted[id].iter().copied().zip(found[index].iter().copied()));
        }
    }
    if std::env::var_os("MIXEL_TRACE").is_some() {
        trace(&quantized, &tests[0], &evaluate(graph, &tests[0]));
    }
    let of = |pairs: &Vec<(f32, f32)>| sqnr_db(pairs.iter().map(|(wanted, found)| (wanted, found)));
    pairs.iter().map(of).fold(f64::INFINITY, f64::min)
}

/// Prints the SQNR of every node's output.
fn trace(quantized: &Quantized, sample: &[Vec<f32>], wanted: &HashMap<ValueId, Vec<f32>>) {
    let mut all = quantized.clone();
    all.graph.outputs = all.graph.nodes.iter().map(|node| node.output).collect();
    for (node, found) in all.graph.nodes.iter().zip(run(&all, Layout::Generic, sample)) {
        println!("{:16} {:6.1} dB", node.name, sqnr_db(wanted[&node.output].iter().zip(&found)));
    }
}
