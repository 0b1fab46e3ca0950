//! A float interpreter of graphs and a way to run plans, for tests of the stages in between.
#![allow(dead_code)]

use std::collections::HashMap;

use mixel::graph::{
    Arithmetic, Clip, Constant, Graph, Node, Op, Origin, Pooling, Quantization, Reduction, Shape, Value,
    ValueId, Window,
};
use mixel::lower::function;
use mixel::quantize::{Options, Quantized, Statistics, dequantize_value, quantize, quantize_value};
use mixel_core::kernels::All;
use mixel_core::pack::Layout;
use mixel_core::plan::{DType, Plan};
use mixel_core::session::Session;

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
        let origin = Origin { tensor: name.to_owned(), perm: Vec::new(), channel_scale: Vec::new() };
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

/// All values of `graph` for `inputs`, in double precision inside an operator and float between them.
pub fn evaluate(graph: &Graph, inputs: &[Vec<f32>]) -> HashMap<ValueId, Vec<f32>> {
    let mut values: HashMap<ValueId, Vec<f32>> = HashMap::new();
    for (index, value) in graph.values.iter().enumerate() {
        if let Some(Constant { data, .. }) = &value.constant {
            values.insert(ValueId(index), data.clone());
        }
    }
    for (id, data) in graph.inputs.iter().zip(inputs) {
        values.insert(*id, data.clone());
    }
    for node in &graph.nodes {
        let inputs: Vec<&[f32]> = node.inputs.iter().map(|id| values[id].as_slice()).collect();
        let shapes: Vec<&[usize]> = node.inputs.iter().map(|id| &graph.value(*id).shape.dims[..]).collect();
        let output = compute(&node.op, &inputs, &shapes, &graph.value(node.output).shape.dims);
        values.insert(node.output, output);
    }
    values
}

fn compute(op: &Op, inputs: &[&[f32]], shapes: &[&[usize]], to: &[usize]) -> Vec<f32> {
    let limit = |x: f64, clip: &Clip| x.clamp(clip.min as f64, clip.max as f64) as f32;
    let x = inputs[0];
    match op {
        Op::Linear { clip } => {
            let (outputs, depth) = (shapes[1][0], shapes[1][1]);
            let row = |row: &[f32]| -> Vec<f32> {
                (0..outputs)
                    .map(|n| {
                        let products = row.iter().zip(&inputs[1][n * depth..]);
                        let sum: f64 = products.map(|(x, w)| *x as f64 * *w as f64).sum();
                        limit(sum + inputs[2][n] as f64, clip)
                    })
                    .collect()
            };
            x.chunks(depth).flat_map(row).collect()
        }
        Op::Conv { window, groups, clip } => {
            let (h, w, c) = (shapes[0][1], shapes[0][2], shapes[0][3]);
            let (outputs, kh, kw, inner) = (shapes[1][0], shapes[1][1], shapes[1][2], shapes[1][3]);
            let mut y = Vec::new();
            for (oy, ox) in (0..to[1]).flat_map(|oy| (0..to[2]).map(move |ox| (oy, ox))) {
                for o in 0..outputs {
                    let mut sum = inputs[2][o] as f64;
                    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                        let iy =
                            (oy * window.stride[0] + ky * window.dilation[0]).wrapping_sub(window.pad[0]);
                        let ix =
                            (ox * window.stride[1] + kx * window.dilation[1]).wrapping_sub(window.pad[1]);
                        if iy >= h || ix >= w {
                            continue;
                        }
                        for i in 0..inner {
                            let channel = o / (outputs / groups) * inner + i;
                            let weight = inputs[1][((o * kh + ky) * kw + kx) * inner + i];
                            sum += x[(iy * w + ix) * c + channel] as f64 * weight as f64;
                        }
                    }
                    y.push(limit(sum, clip));
                }
            }
            y
        }
        Op::Pool { pooling, window } => {
            let (h, w, c) = (shapes[0][1], shapes[0][2], shapes[0][3]);
            let mut y = Vec::new();
            for (oy, ox) in (0..to[1]).flat_map(|oy| (0..to[2]).map(move |ox| (oy, ox))) {
                for channel in 0..c {
                    let mut taps = Vec::new();
                    for (ky, kx) in
                        (0..window.kernel[0]).flat_map(|ky| (0..window.kernel[1]).map(move |kx| (ky, kx)))
                    {
                        let iy = (oy * window.stride[0] + ky).wrapping_sub(window.pad[0]);
                        let ix = (ox * window.stride[1] + kx).wrapping_sub(window.pad[1]);
                        if iy < h && ix < w {
                            taps.push(x[(iy * w + ix) * c + channel]);
                        }
                    }
                    y.push(match pooling {
                        Pooling::Max => taps.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                        Pooling::Average => taps.iter().sum::<f32>() / taps.len() as f32,
                        Pooling::AverageWithPad => {
                            taps.iter().sum::<f32>() / (window.kernel[0] * window.kernel[1]) as f32
                        }
                    });
                }
            }
            y
        }
        Op::Binary { op, clip } => {
            let pick = |operand: usize, index: usize| {
                let (mut at, mut stride, mut rest) = (0, 1, index);
                let dims = shapes[operand];
                for axis in (0..to.len()).rev() {
                    let own = (axis + dims.len()).checked_sub(to.len()).map_or(1, |own| dims[own]);
                    at += if own == 1 { 0 } else { rest % to[axis] * stride };
                    stride *= own;
                    rest /= to[axis];
                }
                inputs[operand][at] as f64
            };
            let apply = |index: usize| {
                let (a, b) = (pick(0, index), pick(1, index));
                let y = match op {
                    Arithmetic::Add => a + b,
                    Arithmetic::Sub => a - b,
                    Arithmetic::Mul => a * b,
                    Arithmetic::Div => a / b,
                };
                limit(y, clip)
            };
            (0..to.iter().product()).map(apply).collect()
        }
        Op::Unary(functions) => x.iter().map(|&x| function::chain(functions, x as f64) as f32).collect(),
        Op::Softmax { .. } => {
            let row = |row: &[f32]| -> Vec<f32> {
                let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f32 = row.iter().map(|x| (x - top).exp()).sum();
                row.iter().map(|x| (x - top).exp() / sum).collect()
            };
            x.chunks(*to.last().unwrap()).flat_map(row).collect()
        }
        Op::LayerNorm { epsilon } => {
            let row = |row: &[f32]| -> Vec<f32> {
                let n = row.len() as f64;
                let mean = row.iter().map(|&x| x as f64).sum::<f64>() / n;
                let variance = row.iter().map(|&x| (x as f64 - mean).powi(2)).sum::<f64>() / n;
                let scale = 1.0 / (variance + *epsilon as f64).sqrt();
                let normal = row.iter().map(|&x| (x as f64 - mean) * scale);
                normal
                    .enumerate()
                    .map(|(c, z)| (z * inputs[1][c] as f64 + inputs[2][c] as f64) as f32)
                    .collect()
            };
            x.chunks(*to.last().unwrap()).flat_map(row).collect()
        }
        Op::Reduce { reduction: Reduction::Mean, axes } if axes[..] == [1, 2] => {
            let c = shapes[0][3];
            let positions = (x.len() / c) as f32;
            (0..c).map(|channel| x.iter().skip(channel).step_by(c).sum::<f32>() / positions).collect()
        }
        Op::Reshape | Op::Identity => x.to_vec(),
        Op::Transpose { perm } => gather(to, |at| {
            let mut from = vec![0; at.len()];
            perm.iter().zip(at).for_each(|(&axis, &index)| from[axis] = index);
            x[flat(&from, shapes[0])]
        }),
        Op::Slice { starts, steps } => gather(to, |at| {
            let place = |axis: usize| (starts[axis] as isize + at[axis] as isize * steps[axis]) as usize;
            x[flat(&(0..at.len()).map(place).collect::<Vec<_>>(), shapes[0])]
        }),
        Op::Pad { before, value, .. } => gather(to, |at| {
            let from: Vec<usize> =
                at.iter().zip(before).map(|(at, before)| at.wrapping_sub(*before)).collect();
            let inside = from.iter().zip(shapes[0]).all(|(at, dim)| at < dim);
            if inside { x[flat(&from, shapes[0])] } else { *value }
        }),
        Op::Concat { axis } => gather(to, |at| {
            let mut from = at.to_vec();
            let part = shapes.iter().position(|dims| {
                let inside = from[*axis] < dims[*axis];
                if !inside {
                    from[*axis] -= dims[*axis];
                }
                inside
            });
            let part = part.unwrap();
            inputs[part][flat(&from, shapes[part])]
        }),
        Op::DepthToSpace { block, .. } => gather(to, |at| {
            let depth = (at[1] % block * block + at[2] % block) * to[3] + at[3];
            x[flat(&[at[0], at[1] / block, at[2] / block, depth], shapes[0])]
        }),
        Op::SpaceToDepth { block } => gather(to, |at| {
            let c = shapes[0][3];
            let (i, j) = (at[3] / c / block, at[3] / c % block);
            x[flat(&[at[0], at[1] * block + i, at[2] * block + j, at[3] % c], shapes[0])]
        }),
        Op::MatMul { transpose_b, scale } => {
            let rank = to.len();
            let (m, n) = (to[rank - 2], to[rank - 1]);
            let k = shapes[0][rank - 1];
            gather(to, |at| {
                let (row, column) = (at[rank - 2], at[rank - 1]);
                let batch = flat(&at[..rank - 2], &to[..rank - 2]);
                let b = |i: usize| if *transpose_b { column * k + i } else { i * n + column };
                let product = |i: usize| x[(batch * m + row) * k + i] * inputs[1][batch * k * n + b(i)];
                (0..k).map(product).sum::<f32>() * scale
            })
        }
        other => panic!("the test's interpreter has no {other:?}"),
    }
}

fn gather(dims: &[usize], mut pick: impl FnMut(&[usize]) -> f32) -> Vec<f32> {
    let count = dims.iter().product();
    let mut at = vec![0; dims.len()];
    let mut result = Vec::with_capacity(count);
    for _ in 0..count {
        result.push(pick(&at));
        for axis in (0..dims.len()).rev() {
            at[axis] += 1;
            if at[axis] < dims[axis] {
                break;
            }
            at[axis] = 0;
        }
    }
    result
}

fn flat(at: &[usize], dims: &[usize]) -> usize {
    at.iter().zip(dims).fold(0, |flat, (at, dim)| flat * dim + at)
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
