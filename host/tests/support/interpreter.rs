//! A plain float interpreter of the graph: each operator written out as its definition in `mixel::graph` says.

use mixel::graph::{
    Arithmetic, Clip, Coordinates, Function, Graph, NearestRounding, Op, Pooling, Reduction, Sampling,
    ShuffleMode, ValueId, Window,
};

/// A tensor of reals.
#[derive(Clone, Debug)]
pub struct Tensor {
    pub dims: Vec<usize>,
    pub data: Vec<f32>,
}

impl Tensor {
    pub fn new(dims: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(dims.iter().product::<usize>(), data.len(), "{dims:?}");
        Self { dims: dims.to_vec(), data }
    }

    fn build(dims: &[usize], mut f: impl FnMut(&[usize]) -> f32) -> Self {
        let data = indices(dims).map(|index| f(&index)).collect();
        Self::new(dims, data)
    }

    fn at(&self, index: &[usize]) -> f32 {
        self.data[offset(&self.dims, index)]
    }

    /// The element under ONNX broadcasting.
    fn broadcast(&self, index: &[usize]) -> f32 {
        let skip = index.len() - self.dims.len();
        let index: Vec<usize> =
            index[skip..].iter().zip(&self.dims).map(|(&i, &dim)| if dim == 1 { 0 } else { i }).collect();
        self.at(&index)
    }
}

fn offset(dims: &[usize], index: &[usize]) -> usize {
    assert_eq!(dims.len(), index.len());
    index.iter().zip(dims).fold(0, |offset, (&i, &dim)| {
        assert!(i < dim, "{index:?} outside {dims:?}");
        offset * dim + i
    })
}

fn indices(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let dims = dims.to_vec();
    (0..dims.iter().product()).map(move |mut flat: usize| {
        let mut index = vec![0; dims.len()];
        for axis in (0..dims.len()).rev() {
            index[axis] = flat % dims[axis];
            flat /= dims[axis];
        }
        index
    })
}

/// Values of all tensors of `graph`, constants included, for the given inputs.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Option<Tensor>> {
    run_with(graph, inputs, &|_, x| x)
}

/// The output of `graph` in its integers, with every value rounded to the quantization that the model states.
pub fn quantized_output(graph: &Graph, input: &Tensor) -> Vec<f32> {
    let step = |id: ValueId, x: f32| match graph.value(id).given {
        Some(given) => (x / given.scale).round_ties_even() + given.zero_point as f32,
        None => panic!("{} has no quantization", graph.value(id).name),
    };
    let round = |id: ValueId, x: f32| match graph.value(id).given {
        Some(given) => (step(id, x).clamp(-128.0, 127.0) - given.zero_point as f32) * given.scale,
        None => x,
    };
    let values = run_with(graph, std::slice::from_ref(input), &round);
    let output = graph.outputs[0];
    let output_values = &values[output.0].as_ref().expect("the output is computed").data;
    output_values.iter().map(|&x| step(output, x)).collect()
}

/// [`run`], with `adjust` applied to every element that an operator computes.
fn run_with(graph: &Graph, inputs: &[Tensor], adjust: &dyn Fn(ValueId, f32) -> f32) -> Vec<Option<Tensor>> {
    let mut values: Vec<Option<Tensor>> = graph
        .values
        .iter()
        .map(|value| value.constant.as_ref().map(|c| Tensor::new(&value.shape.dims, c.data.clone())))
        .collect();
    for (id, input) in graph.inputs.iter().zip(inputs) {
        assert_eq!(graph.value(*id).shape.dims, input.dims);
        values[id.0] = Some(input.clone());
    }
    for node in &graph.nodes {
        let inputs: Vec<&Tensor> = node
            .inputs
            .iter()
            .map(|id| values[id.0].as_ref().unwrap_or_else(|| panic!("{}: input not computed", node.name)))
            .collect();
        let dims = &graph.value(node.output).shape.dims;
        let mut result = evaluate(&node.op, &inputs, dims);
        result.data.iter_mut().for_each(|x| *x = adjust(node.output, *x));
        assert_eq!(&result.dims, dims, "{}: {:?}", node.name, node.op);
        values[node.output.0] = Some(result);
    }
    values
}

/// Outputs of `graph`.
pub fn outputs(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut values = run(graph, inputs);
    let take = |id: &ValueId| values[id.0].clone().expect("an output is computed");
    let outputs = graph.outputs.iter().map(take).collect();
    values.clear();
    outputs
}

fn clipped(x: f32, clip: &Clip) -> f32 {
    x.max(clip.min).min(clip.max)
}

/// What `op` makes of `inputs`, in a tensor of `dims`.
pub fn evaluate(op: &Op, inputs: &[&Tensor], dims: &[usize]) -> Tensor {
    let x = inputs[0];
    match op {
        Op::Conv { window, groups, clip } => conv(x, inputs[1], inputs[2], window, *groups, clip, dims),
        Op::ConvTranspose { window, groups, clip } => {
            conv_transpose(x, inputs[1], inputs[2], window, *groups, clip, dims)
        }
        Op::Linear { clip } => Tensor::build(dims, |index| {
            let (&n, row) = index.split_last().unwrap();
            let mut sum = f64::from(inputs[2].data[n]);
            for k in 0..inputs[1].dims[1] {
                let at = [row, &[k]].concat();
                sum += f64::from(x.at(&at)) * f64::from(inputs[1].at(&[n, k]));
            }
            clipped(sum as f32, clip)
        }),
        Op::MatMul { transpose_b, scale } => Tensor::build(dims, |index| {
            let (batch, last) = index.split_at(index.len() - 2);
            let mut sum = 0.0f64;
            for k in 0..*x.dims.last().unwrap() {
                let b = if *transpose_b { [last[1], k] } else { [k, last[1]] };
                let left = x.broadcast(&[batch, &[last[0], k]].concat());
                sum += f64::from(left) * f64::from(inputs[1].broadcast(&[batch, &b].concat()));
            }
            (sum * f64::from(*scale)) as f32
        }),
        Op::Binary { op, clip } => Tensor::build(dims, |index| {
            let (a, b) = (x.broadcast(index), inputs[1].broadcast(index));
            let result = match op {
                Arithmetic::Add => a + b,
                Arithmetic::Sub => a - b,
                Arithmetic::Mul => a * b,
                Arithmetic::Div => a / b,
            };
            clipped(result, clip)
        }),
        Op::Sum3 { clip } => {
            Tensor::build(dims, |index| clipped(inputs.iter().map(|operand| operand.at(index)).sum(), clip))
        }
        Op::Unary(functions) => {
            let apply = |x: &f32| functions.iter().fold(*x, |x, function| unary(function, x));
            Tensor::new(&x.dims, x.data.iter().map(apply).collect())
        }
        Op::Softmax { axis } => {
            let line = |index: &[usize]| line(x, index, *axis);
            Tensor::build(dims, |index| {
                let line = line(index);
                let max = line.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let sum: f64 = line.iter().map(|x| f64::from(x - max).exp()).sum();
                (f64::from(x.at(index) - max).exp() / sum) as f32
            })
        }
        Op::LayerNorm { epsilon } => Tensor::build(dims, |index| {
            let line = line(x, index, dims.len() - 1);
            let c = index[dims.len() - 1];
            normalised(&line, x.at(index), *epsilon) * inputs[1].data[c] + inputs[2].data[c]
        }),
        Op::GroupNorm { groups, epsilon } => {
            let channels = dims[dims.len() - 1];
            let size = channels / groups;
            Tensor::build(dims, |index| {
                let c = index[dims.len() - 1];
                let members: Vec<f32> = indices(dims)
                    .filter(|i| i[dims.len() - 1] / size == c / size)
                    .map(|i| x.at(&i))
                    .collect();
                normalised(&members, x.at(index), *epsilon) * inputs[1].data[c] + inputs[2].data[c]
            })
        }
        Op::L2Norm { axes, epsilon } => Tensor::build(dims, |index| {
            let same =
                |i: &Vec<usize>| (0..dims.len()).all(|axis| axes.contains(&axis) || i[axis] == index[axis]);
            let sum: f64 = indices(dims).filter(same).map(|i| f64::from(x.at(&i)).powi(2)).sum();
            x.at(index) / (sum.sqrt() as f32).max(*epsilon)
        }),
        Op::ChannelAttention => channel_attention(x, inputs[1], &inputs[2].data, dims),
        Op::Pool { pooling, window } => Tensor::build(dims, |index| pool(x, *pooling, window, index)),
        Op::Reduce { reduction, axes } => {
            let kept: Vec<usize> = (0..x.dims.len()).filter(|axis| !axes.contains(axis)).collect();
            let sizes: Vec<usize> = kept.iter().map(|&axis| x.dims[axis]).collect();
            let reduced = Tensor::build(&sizes, |index| {
                let same = |i: &Vec<usize>| kept.iter().zip(index).all(|(&axis, &at)| i[axis] == at);
                let members: Vec<f32> = indices(&x.dims).filter(same).map(|i| x.at(&i)).collect();
                let sum: f64 = members.iter().map(|&x| f64::from(x)).sum();
                match reduction {
                    Reduction::Mean => (sum / members.len() as f64) as f32,
                    Reduction::Sum => sum as f32,
                    Reduction::Max => members.iter().copied().fold(f32::NEG_INFINITY, f32::max),
                }
            });
            Tensor::new(dims, reduced.data)
        }
        Op::Reshape => Tensor::new(dims, x.data.clone()),
        Op::Identity => x.clone(),
        Op::Transpose { perm } => Tensor::build(dims, |index| {
            let mut from = vec![0; index.len()];
            for (to, &axis) in perm.iter().enumerate() {
                from[axis] = index[to];
            }
            x.at(&from)
        }),
        Op::Concat { axis } => Tensor::build(dims, |index| {
            let mut index = index.to_vec();
            for part in inputs {
                if index[*axis] < part.dims[*axis] {
                    return part.at(&index);
                }
                index[*axis] -= part.dims[*axis];
            }
            panic!("concatenation is too short");
        }),
        Op::Slice { starts, steps } => Tensor::build(dims, |index| {
            let at = |axis: usize| (starts[axis] as isize + steps[axis] * index[axis] as isize) as usize;
            x.at(&(0..index.len()).map(at).collect::<Vec<_>>())
        }),
        Op::Pad { before, after, value } => {
            for axis in 0..dims.len() {
                assert_eq!(dims[axis], before[axis] + x.dims[axis] + after[axis]);
            }
            Tensor::build(dims, |index| {
                let from: Option<Vec<usize>> = (0..index.len())
                    .map(|axis| index[axis].checked_sub(before[axis]).filter(|&i| i < x.dims[axis]))
                    .collect();
                from.map_or(*value, |from| x.at(&from))
            })
        }
        Op::Gather { axis, indices } => Tensor::build(dims, |index| {
            let mut from = index.to_vec();
            from[*axis] = indices[index[*axis]];
            x.at(&from)
        }),
        Op::Expand => Tensor::build(dims, |index| x.broadcast(index)),
        Op::DepthToSpace { block, mode } => Tensor::build(dims, |index| {
            let (b, channels) = (*block, dims[3]);
            let (i, j, k) = (index[1] % b, index[2] % b, index[3]);
            let channel = match mode {
                ShuffleMode::Dcr => (i * b + j) * channels + k,
                ShuffleMode::Crd => k * b * b + i * b + j,
            };
            x.at(&[index[0], index[1] / b, index[2] / b, channel])
        }),
        Op::SpaceToDepth { block } => Tensor::build(dims, |index| {
            let (b, channels) = (*block, x.dims[3]);
            let (i, j, k) = (index[3] / channels / b, index[3] / channels % b, index[3] % channels);
            x.at(&[index[0], index[1] * b + i, index[2] * b + j, k])
        }),
        Op::Resize { sampling, coordinates, scales } => Tensor::build(dims, |index| {
            let y = source(index[1], x.dims[1], dims[1], scales[0], *coordinates);
            let z = source(index[2], x.dims[2], dims[2], scales[1], *coordinates);
            let at = |h: isize, w: isize| {
                let clamp = |i: isize, size: usize| i.clamp(0, size as isize - 1) as usize;
                x.at(&[index[0], clamp(h, x.dims[1]), clamp(w, x.dims[2]), index[3]])
            };
            match sampling {
                Sampling::Nearest { rounding } => at(nearest(y, *rounding), nearest(z, *rounding)),
                Sampling::Bilinear => {
                    let (h, w) = (y.floor(), z.floor());
                    let (fh, fw) = (y - h, z - w);
                    let (h, w) = (h as isize, w as isize);
                    (at(h, w) * (1.0 - fw) + at(h, w + 1) * fw) * (1.0 - fh)
                        + (at(h + 1, w) * (1.0 - fw) + at(h + 1, w + 1) * fw) * fh
                }
            }
        }),
        Op::Projection => panic!("a projection works on bins, not on reals"),
    }
}

/// Elements of `x` along `axis` through `index`.
fn line(x: &Tensor, index: &[usize], axis: usize) -> Vec<f32> {
    let mut index = index.to_vec();
    (0..x.dims[axis])
        .map(|i| {
            index[axis] = i;
            x.at(&index)
        })
        .collect()
}

fn normalised(members: &[f32], x: f32, epsilon: f32) -> f32 {
    let count = members.len() as f64;
    let mean = members.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = members.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    ((f64::from(x) - mean) / (variance + f64::from(epsilon)).sqrt()) as f32
}

/// Position of kernel tap `tap` of output `out` in the input, if it is inside.
fn tap(out: usize, tap: usize, axis: usize, window: &Window, size: usize) -> Option<usize> {
    (out * window.stride[axis] + tap * window.dilation[axis])
        .checked_sub(window.pad[axis])
        .filter(|&at| at < size)
}

fn conv(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    window: &Window,
    groups: usize,
    clip: &Clip,
    dims: &[usize],
) -> Tensor {
    let (inside, outside) = (w.dims[3], dims[3] / groups);
    assert_eq!(inside * groups, x.dims[3]);
    for axis in 0..2 {
        let reach = (dims[axis + 1] - 1) * window.stride[axis]
            + (window.kernel[axis] - 1) * window.dilation[axis]
            + 1;
        assert!(
            reach <= x.dims[axis + 1] + window.pad[axis] + window.pad[axis + 2],
            "the window leaves the padding"
        );
    }
    Tensor::build(dims, |index| {
        let (o, group) = (index[3], index[3] / outside);
        let mut sum = f64::from(b.data[o]);
        for i in 0..window.kernel[0] {
            for j in 0..window.kernel[1] {
                let h = tap(index[1], i, 0, window, x.dims[1]);
                let (Some(h), Some(v)) = (h, tap(index[2], j, 1, window, x.dims[2])) else { continue };
                for c in 0..inside {
                    let at = x.at(&[index[0], h, v, group * inside + c]);
                    sum += f64::from(at) * f64::from(w.at(&[o, i, j, c]));
                }
            }
        }
        clipped(sum as f32, clip)
    })
}

fn conv_transpose(
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    window: &Window,
    groups: usize,
    clip: &Clip,
    dims: &[usize],
) -> Tensor {
    let (inside, outside) = (w.dims[3], dims[3] / groups);
    let mut sums = vec![0.0f64; dims.iter().product()];
    for from in indices(&x.dims) {
        for i in 0..window.kernel[0] {
            for j in 0..window.kernel[1] {
                let to = |axis: usize, tap: usize| {
                    (from[axis + 1] * window.stride[axis] + tap * window.dilation[axis])
                        .checked_sub(window.pad[axis])
                        .filter(|&at| at < dims[axis + 1])
                };
                let (Some(h), Some(v)) = (to(0, i), to(1, j)) else { continue };
                let group = from[3] / inside;
                for o in group * outside..(group + 1) * outside {
                    let product = f64::from(x.at(&from)) * f64::from(w.at(&[o, i, j, from[3] % inside]));
                    sums[offset(dims, &[from[0], h, v, o])] += product;
                }
            }
        }
    }
    Tensor::build(dims, |index| {
        clipped((sums[offset(dims, index)] + f64::from(b.data[index[3]])) as f32, clip)
    })
}

fn pool(x: &Tensor, pooling: Pooling, window: &Window, index: &[usize]) -> f32 {
    let mut members = Vec::new();
    for i in 0..window.kernel[0] {
        for j in 0..window.kernel[1] {
            let h = tap(index[1], i, 0, window, x.dims[1]);
            if let (Some(h), Some(v)) = (h, tap(index[2], j, 1, window, x.dims[2])) {
                members.push(x.at(&[index[0], h, v, index[3]]));
            }
        }
    }
    let sum: f32 = members.iter().sum();
    match pooling {
        Pooling::Max => members.into_iter().fold(f32::NEG_INFINITY, f32::max),
        Pooling::Average => sum / members.len() as f32,
        Pooling::AverageWithPad => sum / (window.kernel[0] * window.kernel[1]) as f32,
    }
}

fn source(out: usize, from: usize, to: usize, scale: f32, coordinates: Coordinates) -> f32 {
    let out = out as f32;
    match coordinates {
        Coordinates::HalfPixel => (out + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel if to == 1 => 0.0,
        Coordinates::PytorchHalfPixel => (out + 0.5) / scale - 0.5,
        Coordinates::AlignCorners if to == 1 => 0.0,
        Coordinates::AlignCorners => out * (from - 1) as f32 / (to - 1) as f32,
        Coordinates::Asymmetric => out / scale,
    }
}

fn nearest(x: f32, rounding: NearestRounding) -> isize {
    (match rounding {
        NearestRounding::RoundPreferFloor => (x - 0.5).ceil(),
        NearestRounding::RoundPreferCeil => (x + 0.5).floor(),
        NearestRounding::Floor => x.floor(),
        NearestRounding::Ceil => x.ceil(),
    }) as isize
}

fn unary(function: &Function, x: f32) -> f32 {
    let x = f64::from(x);
    let y = match *function {
        Function::Clip(clip) => return clipped(x as f32, &clip),
        Function::LeakyRelu { alpha } => {
            if x < 0.0 {
                f64::from(alpha) * x
            } else {
                x
            }
        }
        Function::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Function::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Silu => x / (1.0 + (-x).exp()),
        Function::Tanh => x.tanh(),
        Function::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Function::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Function::Elu { alpha } => {
            if x < 0.0 {
                f64::from(alpha) * x.exp_m1()
            } else {
                x
            }
        }
        Function::Erf => erf(x),
        Function::Exp => x.exp(),
        Function::Log => x.ln(),
        Function::Sqrt => x.sqrt(),
        Function::Reciprocal => 1.0 / x,
        Function::Abs => x.abs(),
        Function::Softplus => x.exp().ln_1p(),
        Function::Affine { scale, offset } => f64::from(scale) * x + f64::from(offset),
        Function::Power { exponent } => x.powf(f64::from(exponent)),
    };
    y as f32
}

/// The error function by its series, which converges for the sizes used in tests.
fn erf(x: f64) -> f64 {
    if x.abs() > 5.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}

/// `x` transposed by `perm`, if it is not empty.
pub fn transposed(x: &Tensor, perm: &[usize]) -> Tensor {
    if perm.is_empty() {
        return x.clone();
    }
    let dims: Vec<usize> = perm.iter().map(|&axis| x.dims[axis]).collect();
    evaluate(&Op::Transpose { perm: perm.to_vec() }, &[x], &dims)
}

/// Softmax of the cosines between the channels of `q` and of `k` in each head.
fn channel_attention(q: &Tensor, k: &Tensor, temperatures: &[f32], dims: &[usize]) -> Tensor {
    let channels = dims[3];
    let width = channels / temperatures.len();
    let channel = |x: &Tensor, channel: usize| -> Vec<f64> {
        x.data.iter().skip(channel).step_by(channels).map(|&x| f64::from(x)).collect()
    };
    let unit = |x: &Tensor, at: usize| {
        let x = channel(x, at);
        let norm = x.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
        x.into_iter().map(|x| x / norm).collect::<Vec<f64>>()
    };
    let mut result = Tensor::new(dims, vec![0.0; channels * channels]);
    for row in 0..channels {
        let head = row / width * width;
        let cosine = |partner: usize| -> f64 {
            unit(q, row).iter().zip(unit(k, partner)).map(|(q, k)| q * k).sum::<f64>()
                * f64::from(temperatures[row / width])
        };
        let powers: Vec<f64> = (head..head + width).map(|partner| cosine(partner).exp()).collect();
        for (at, power) in powers.iter().enumerate() {
            result.data[row * channels + head + at] = (power / powers.iter().sum::<f64>()) as f32;
        }
    }
    result
}
