//! A kernel as a plan of one operator.

use mixel::aligned::Aligned;
use mixel::compile::Target;
use mixel::graph::{
    Arithmetic, Clip, Coordinates, Function, Graph, Node, Op, Pooling, Quantization, Reduction, Sampling,
    Shape, ShuffleMode, Value, ValueId, Window,
};
use mixel::quantize::{Options, Quantized, WeightRule, quantize};
use mixel::{Error, ErrorKind};
use mixel_core::plan::DType;

use crate::definition::{self, Kernel, Operator};

/// The quantized graph of `kernel`: inputs, random constants, one node.
///
/// # Errors
/// A definition that makes no valid operator.
pub fn quantized(kernel: &Kernel) -> mixel::Result<Quantized> {
    let dtype = if kernel.bits == 16 { DType::I16 } else { DType::I8 };
    let wrong = |message| Error::new(ErrorKind::Usage, &kernel.name, message);
    let rule = kernel.weights.as_deref().map(|form| form.parse::<WeightRule>().map_err(wrong)).transpose()?;
    // Three of four weights of a sparse layer are zero.
    let zeros = if kernel.weights.as_deref() == Some("sparse") { 0.75 } else { 0.0 };
    let mut build = Build { graph: Graph::default(), random: fastrand::Rng::with_seed(1), dtype, zeros };
    build.operator(&kernel.operator);
    let options = Options { weights: rule.into_iter().collect(), ..Options::default() };
    quantize(build.graph, None, &options)
}

/// The plan for `target`.
///
/// # Errors
/// Those of lowering, planning and emitting.
pub fn plan(quantized: &Quantized, target: Target) -> mixel::Result<Aligned> {
    let program = mixel::lower::lower(quantized, target.layout())?;
    let program = mixel::plan::with_attention(program)?;
    let placement = mixel::plan::place(&program)?;
    let (program, placement, _) = mixel::plan::spare_copies(program, placement, Vec::new())?;
    let (program, placement) = mixel::plan::shorten(program, placement, None)?;
    mixel::emit::emit(&program, &placement, true)
}

/// The graph under construction. Quantizations are ordinary ones: a range of a few units, zero inside.
struct Build {
    graph: Graph,
    random: fastrand::Rng,
    dtype: DType,
    /// Share of zeros among constants.
    zeros: f32,
}

impl Build {
    fn operator(&mut self, operator: &Operator) {
        match operator {
            Operator::Conv(conv) => self.conv(conv, false),
            Operator::ConvTranspose(conv) => self.conv(conv, true),
            Operator::ConvPart(conv) => self.conv_parts(conv),
            &Operator::Linear { rows, inputs, outputs } => {
                let x = self.input(&[1, rows, inputs]);
                let (weights, bias) = self.layer(&[outputs, inputs], inputs);
                self.node(Op::Linear { clip: Clip::NONE }, &[x, weights, bias], &[1, rows, outputs]);
            }
            &Operator::LinearTurned { rows, inputs, outputs } => {
                let (x, turn) = (self.input(&[1, inputs, rows]), Op::Transpose { perm: vec![0, 2, 1] });
                self.node_as(turn.clone(), &[x], &[1, rows, inputs], None);
                let (weights, bias) = self.layer(&[outputs, inputs], inputs);
                let x = self.graph.outputs.remove(0);
                self.node(Op::Linear { clip: Clip::NONE }, &[x, weights, bias], &[1, rows, outputs]);
                let y = self.graph.outputs.remove(0);
                self.node_as(turn, &[y], &[1, outputs, rows], None);
            }
            &Operator::Matmul { heads, rows, inner, columns, transpose_b } => {
                // Products of two 16-bit numbers do not fit their sums: only the output can be wide.
                let output = std::mem::replace(&mut self.dtype, DType::I8);
                let a = self.input(&[1, heads, rows, inner]);
                let b = if transpose_b { [columns, inner] } else { [inner, columns] };
                let b = self.input(&[1, heads, b[0], b[1]]);
                self.dtype = output;
                let op = Op::MatMul { transpose_b, scale: 1.0 / (inner as f32).sqrt() };
                self.node(op, &[a, b], &[1, heads, rows, columns]);
            }
            &Operator::Attention { heads, queries, keys, inner } => {
                let (x, k) = (self.input(&[1, heads, queries, inner]), self.input(&[1, heads, keys, inner]));
                let op = Op::MatMul { transpose_b: true, scale: 1.0 / (inner as f32).sqrt() };
                self.node(op, &[x, k], &[1, heads, queries, keys]);
                let scores = self.graph.outputs.remove(0);
                let given = Quantization { scale: 1.0 / 256.0, zero_point: -128, dtype: DType::I8 };
                self.node_as(Op::Softmax { axis: 3 }, &[scores], &[1, heads, queries, keys], Some(given));
                let weights = self.graph.outputs.remove(0);
                let values = self.input(&[1, heads, keys, inner]);
                let op = Op::MatMul { transpose_b: false, scale: 1.0 };
                self.node(op, &[weights, values], &[1, heads, queries, inner]);
            }
            &Operator::Projection { words, hashes, slots, bins, outputs } => {
                // Bins are plain integers: no quantization.
                let x = self.value("x", &[1, words, hashes], None);
                self.graph.inputs.push(x);
                let weights = self.constant(&[slots, bins, outputs], 0.1);
                let bias = self.constant(&[outputs], 0.1);
                self.node(Op::Projection, &[x, weights, bias], &[1, words, outputs]);
            }
            Operator::Softmax { dims, axis } => {
                let x = self.input(dims);
                let scale = if self.dtype == DType::I16 { 1.0 / 32768.0 } else { 1.0 / 256.0 };
                let zero_point = if self.dtype == DType::I16 { 0 } else { -128 };
                let given = Quantization { scale, zero_point, dtype: self.dtype };
                self.node_as(Op::Softmax { axis: *axis }, &[x], dims, Some(given));
            }
            &Operator::LayerNorm { rows, channels } => {
                let x = self.input(&[1, rows, channels]);
                let (gamma, beta) = (self.constant(&[channels], 1.0), self.constant(&[channels], 0.5));
                self.node(Op::LayerNorm { epsilon: 1e-5 }, &[x, gamma, beta], &[1, rows, channels]);
            }
            &Operator::GroupNorm { input: [height, width, channels], groups } => {
                let dims = [1, height, width, channels];
                let x = self.input(&dims);
                let (gamma, beta) = (self.constant(&[channels], 1.0), self.constant(&[channels], 0.5));
                self.node(Op::GroupNorm { groups, epsilon: 1e-5 }, &[x, gamma, beta], &dims);
            }
            &Operator::L2Norm { rows, channels } => {
                let x = self.input(&[1, rows, channels]);
                self.node(Op::L2Norm { axes: vec![2], epsilon: 1e-6 }, &[x], &[1, rows, channels]);
            }
            Operator::Gelu { dims } => {
                let x = self.input(dims);
                self.node(Op::Unary(vec![Function::Gelu]), &[x], dims);
            }
            Operator::Add { dims } => self.binary(Arithmetic::Add, dims),
            Operator::Mul { dims } => self.binary(Arithmetic::Mul, dims),
            Operator::Div { dims } => self.binary(Arithmetic::Div, dims),
            Operator::Requantize { dims } => {
                let x = self.input(dims);
                let given = Quantization { scale: 0.001, zero_point: 0, dtype: DType::I16 };
                self.node_as(Op::Identity, &[x], dims, Some(given));
            }
            Operator::MaxPool(pool) => self.pool(pool, Pooling::Max),
            Operator::AveragePool(pool) => self.pool(pool, Pooling::Average),
            Operator::Mean { dims, axis } => {
                let x = self.input(dims);
                let mut reduced = dims.clone();
                reduced[*axis] = 1;
                self.node(Op::Reduce { reduction: Reduction::Mean, axes: vec![*axis] }, &[x], &reduced);
            }
            &Operator::Transpose { dims: [rows, columns] } => {
                let x = self.input(&[rows, columns]);
                self.node_as(Op::Transpose { perm: vec![1, 0] }, &[x], &[columns, rows], None);
            }
            &Operator::Gather { dims: [rows, columns] } => {
                let x = self.input(&[rows, columns]);
                let indices = (0..rows).map(|row| row * 7 % rows).collect();
                self.node_as(Op::Gather { axis: 0, indices }, &[x], &[rows, columns], None);
            }
            &Operator::Resize { input: [height, width, channels] } => {
                let x = self.input(&[1, height, width, channels]);
                let op = Op::Resize {
                    sampling: Sampling::Bilinear,
                    coordinates: Coordinates::HalfPixel,
                    scales: [2.0; 2],
                };
                self.node_as(op, &[x], &[1, 2 * height, 2 * width, channels], None);
            }
            Operator::Sum3 { dims } => {
                let inputs = [self.input(dims), self.input(dims), self.input(dims)];
                self.node(Op::Sum3 { clip: Clip::NONE }, &inputs, dims);
            }
            Operator::Join { dims } => {
                let inputs = [self.input(dims), self.input(dims)];
                let axis = dims.len() - 1;
                let mut whole = dims.clone();
                whole[axis] *= 2;
                self.node_as(Op::Concat { axis }, &inputs, &whole, None);
            }
            &Operator::Shuffle { input: [height, width, channels] } => {
                let x = self.input(&[1, height, width, channels]);
                let op = Op::DepthToSpace { block: 2, mode: ShuffleMode::Crd };
                self.node_as(op, &[x], &[1, 2 * height, 2 * width, channels / 4], None);
            }
            &Operator::ChannelAttention { input: [height, width, channels], heads } => {
                let dims = [1, height, width, channels];
                let temperatures = self.graph.constant("temperatures", &[heads], vec![2.0; heads]);
                let inputs = [self.input(&dims), self.input(&dims), temperatures];
                self.node_as(Op::ChannelAttention, &inputs, &[1, 1, channels, channels], None);
            }
        }
    }

    fn conv(&mut self, conv: &definition::Window, transposed: bool) {
        let &definition::Window {
            input: [height, width, channels],
            outputs,
            kernel,
            stride,
            dilation,
            pad,
            groups,
        } = conv;
        let x = self.input(&[1, height, width, channels]);
        let inner = channels / groups;
        let (weights, bias) =
            self.layer(&[outputs, kernel[0], kernel[1], inner], kernel[0] * kernel[1] * inner);
        let window = Window { kernel, stride, dilation, pad };
        let clip = Clip::NONE;
        let (op, size) = if transposed {
            let size = |axis: usize, from: usize| {
                (from - 1) * stride[axis] + (kernel[axis] - 1) * dilation[axis] + 1
                    - pad[axis]
                    - pad[axis + 2]
            };
            (Op::ConvTranspose { window, groups, clip }, [size(0, height), size(1, width)])
        } else {
            (Op::Conv { window, groups, clip }, places(&window, [height, width]))
        };
        self.node(op, &[x, weights, bias], &[1, size[0], size[1], outputs]);
    }

    fn conv_parts(&mut self, conv: &definition::Window) {
        self.conv(conv, false);
        let (first, part) = (self.graph.nodes[0].clone(), self.graph.value(self.graph.outputs[0]).clone());
        let inner = conv.input[2] / conv.groups;
        let [height, width] = conv.kernel;
        let (weights, bias) = self.layer(&[conv.outputs, height, width, inner], height * width * inner);
        self.node_as(first.op, &[first.inputs[0], weights, bias], &part.shape.dims, part.given);
        let parts = std::mem::take(&mut self.graph.outputs);
        let mut whole = part.shape.dims;
        whole[3] *= 2;
        self.node_as(Op::Concat { axis: 3 }, &parts, &whole, None);
    }

    fn pool(&mut self, pool: &definition::Pool, pooling: Pooling) {
        let &definition::Pool { input: [height, width, channels], kernel, stride } = pool;
        let x = self.input(&[1, height, width, channels]);
        let window = Window { kernel, stride, dilation: [1; 2], pad: [0; 4] };
        let size = places(&window, [height, width]);
        self.node_as(Op::Pool { pooling, window }, &[x], &[1, size[0], size[1], channels], None);
    }

    fn binary(&mut self, op: Arithmetic, dims: &[usize]) {
        let inputs = [self.input(dims), self.input(dims)];
        self.node(Op::Binary { op, clip: Clip::NONE }, &inputs, dims);
    }

    /// A range of a few units in the type of the activations.
    fn ordinary(&self, units: f32) -> Quantization {
        match self.dtype {
            DType::I16 => Quantization { scale: units / 65536.0, zero_point: 0, dtype: DType::I16 },
            _ => Quantization { scale: units / 256.0, zero_point: -3, dtype: DType::I8 },
        }
    }

    fn value(&mut self, name: &str, dims: &[usize], given: Option<Quantization>) -> ValueId {
        let shape = Shape::fixed(dims);
        self.graph.add(Value { name: name.into(), shape, given, ..Value::default() })
    }

    fn input(&mut self, dims: &[usize]) -> ValueId {
        let name = format!("x{}", self.graph.inputs.len());
        let given = self.ordinary(4.0);
        let id = self.value(&name, dims, Some(given));
        self.graph.inputs.push(id);
        id
    }

    fn constant(&mut self, dims: &[usize], size: f32) -> ValueId {
        let mut one = || match self.random.f32() < self.zeros {
            true => 0.0,
            false => (self.random.f32() * 2.0 - 1.0) * size,
        };
        let data = (0..dims.iter().product()).map(|_| one()).collect();
        self.graph.constant(format!("c{}", self.graph.values.len()), dims, data)
    }

    /// Weights for sums of `depth` products, and a bias.
    fn layer(&mut self, dims: &[usize], depth: usize) -> (ValueId, ValueId) {
        (self.constant(dims, (3.0 / depth as f32).sqrt()), self.constant(&dims[..1], 0.1))
    }

    /// The node and the output, which is quantized on its own.
    fn node(&mut self, op: Op, inputs: &[ValueId], dims: &[usize]) {
        let given = self.ordinary(6.0);
        self.node_as(op, inputs, dims, Some(given));
    }

    /// The node and the output; without `given` its quantization follows from the input's.
    fn node_as(&mut self, op: Op, inputs: &[ValueId], dims: &[usize], given: Option<Quantization>) {
        let output = self.value("y", dims, given);
        self.graph.nodes.push(Node { name: op.name().into(), op, inputs: inputs.to_vec(), output });
        self.graph.outputs.push(output);
    }
}

/// Places of a window in an image.
fn places(window: &Window, size: [usize; 2]) -> [usize; 2] {
    let Window { kernel, stride, dilation, pad } = window;
    [0, 1].map(|axis| {
        let reach = (kernel[axis] - 1) * dilation[axis] + 1;
        (size[axis] + pad[axis] + pad[axis + 2] - reach) / stride[axis] + 1
    })
}
