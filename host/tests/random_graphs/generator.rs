//! Small valid models at random: a chain of steps, each of which adds one operator or a little block of them to values
//! that are there.

use std::fmt::Write as _;

use crate::support::onnx::{Attr, Float, Int, Ints, Onnx, Text};

/// Sizes of channels: around the tiles of all backends (2, 4, 8, 16, 32, 64).
const CHANNELS: [usize; 19] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 65];
/// Sizes of images and rows.
const SIZES: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13];
/// Elements of a tensor at most.
const ELEMENTS: usize = 8192;
/// Steps of a graph at most.
pub const STEPS: usize = 9;
/// Name of the dimension that varies.
pub const ROWS: &str = "N";

/// A value of the model; images are channels first, sequences `[1, rows, channels]`.
#[derive(Clone, Debug)]
struct Value {
    name: String,
    dims: Vec<usize>,
    used: bool,
}

/// A model under construction.
pub struct Generator {
    pub model: Onnx,
    /// A line for each node.
    pub description: String,
    /// Inputs with their shapes at the bound, states left out.
    pub inputs: Vec<(String, Vec<usize>)>,
    /// Bound of the rows, when they vary.
    pub bound: Option<usize>,
    random: fastrand::Rng,
    values: Vec<Value>,
    constants: usize,
    state: Option<(String, String)>,
}

type StepOf = fn(&mut Generator, usize) -> Option<usize>;

const IMAGE_STEPS: [StepOf; 29] = [
    Generator::conv,
    Generator::conv,
    Generator::conv,
    Generator::pointwise,
    Generator::pointwise,
    Generator::depthwise,
    Generator::depthwise,
    Generator::residual,
    Generator::residual,
    Generator::squeeze_excite,
    Generator::conv_transpose,
    Generator::pool,
    Generator::pool,
    Generator::mix,
    Generator::function,
    Generator::concat,
    Generator::concat,
    Generator::slice,
    Generator::split,
    Generator::pad,
    Generator::gather,
    Generator::transpose,
    Generator::shuffle,
    Generator::resize,
    Generator::channel_norm,
    Generator::l2_norm,
    Generator::softmax,
    Generator::reduce,
    Generator::tokens,
];

const SEQUENCE_STEPS: [StepOf; 17] = [
    Generator::linear,
    Generator::linear,
    Generator::linear,
    Generator::layer_norm,
    Generator::attention,
    Generator::token_mixing,
    Generator::dilated,
    Generator::residual,
    Generator::mix,
    Generator::function,
    Generator::concat,
    Generator::slice,
    Generator::split,
    Generator::gather,
    Generator::l2_norm,
    Generator::softmax,
    Generator::reduce,
];

impl Generator {
    /// The model of `seed`, cut off behind `steps` steps.
    pub fn new(seed: u64, steps: usize) -> Self {
        let mut generator = Self {
            model: Onnx::new(21),
            description: String::new(),
            inputs: Vec::new(),
            bound: None,
            random: fastrand::Rng::with_seed(seed),
            values: Vec::new(),
            constants: 0,
            state: None,
        };
        generator.start();
        let all = generator.random.usize(1..=STEPS);
        for _ in 0..all.min(steps) {
            // Not every step is possible everywhere.
            while generator.step().is_none() {}
        }
        generator.end();
        generator
    }

    fn start(&mut self) {
        let mut dims = match self.random.u8(..3) {
            0 => vec![1, self.size(), self.channels()],
            _ => vec![1, self.channels(), self.size(), self.size()],
        };
        if dims.len() == 3 && self.random.bool() {
            self.bound = Some(dims[1].max(2));
            dims[1] = dims[1].max(2);
        }
        let shown: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        let shown = if self.bound.is_some() { vec![1, -1, shown[2]] } else { shown };
        self.model.input("x", &shown);
        self.inputs.push(("x".into(), dims.clone()));
        let _ = writeln!(self.description, "x: {dims:?}, rows vary: {}", self.bound.is_some());
        self.values.push(Value { name: "x".into(), dims, used: false });
    }

    fn step(&mut self) -> Option<usize> {
        // Within attention rows vary along other axes than steps look at.
        let whole = |at: &usize| self.bound.is_none() || self.values[*at].dims.len() == 3;
        let values: Vec<usize> = (0..self.values.len()).filter(whole).collect();
        // The newest value mostly, so that graphs are deep.
        let last = values[values.len() - 1];
        let x = if self.random.u8(..4) > 0 { last } else { self.choose(&values) };
        let step = match self.values[x].dims.len() {
            4 => self.choose(&IMAGE_STEPS),
            _ => self.choose(&SEQUENCE_STEPS),
        };
        step(self, x)
    }

    /// Makes outputs of the values that nothing reads.
    fn end(&mut self) {
        if self.random.u8(..6) == 0 {
            self.add_state();
        }
        if self.values.len() == 1 {
            self.add("Relu", &[0], &[], &[], self.values[0].dims.clone());
        }
        let kept = self.state.as_ref().map(|(_, output)| output.clone());
        let open = self.values.iter().filter(|value| !value.used && Some(&value.name) != kept.as_ref());
        for name in open.map(|value| value.name.clone()).collect::<Vec<_>>() {
            self.model.output(&name);
        }
        if let Some((input, output)) = &self.state {
            let (input, output) = (input.clone(), output.clone());
            self.model.output(&output).metadata("mixel.state", &format!("{input}={output}"));
        }
    }

    fn choose<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())]
    }

    fn size(&mut self) -> usize {
        self.choose(&SIZES)
    }

    fn channels(&mut self) -> usize {
        self.choose(&CHANNELS)
    }

    fn dims(&self, x: usize) -> Vec<usize> {
        self.values[x].dims.clone()
    }

    /// Whether the axis may hold rows that vary.
    fn varies(&self, axis: usize) -> bool {
        self.bound.is_some() && axis == 1
    }

    /// A node that reads values and then constants; its output.
    fn add(
        &mut self,
        op: &str,
        inputs: &[usize],
        constants: &[&str],
        attributes: &[(&str, Attr)],
        dims: Vec<usize>,
    ) -> usize {
        let name = format!("v{}", self.values.len());
        let mut names = Vec::new();
        for &input in inputs {
            self.values[input].used = true;
            names.push(self.values[input].name.clone());
        }
        names.extend(constants.iter().map(|&name| name.to_owned()));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let _ = writeln!(self.description, "{name} = {op}{names:?} {attributes:?} -> {dims:?}");
        self.model.node(op, &names, &name, attributes);
        self.values.push(Value { name, dims, used: false });
        self.values.len() - 1
    }

    fn name(&mut self) -> String {
        self.constants += 1;
        format!("c{}", self.constants)
    }

    /// Random numbers of about `size`.
    fn reals(&mut self, dims: &[usize], size: f32) -> String {
        let name = self.name();
        let data: Vec<f32> =
            (0..dims.iter().product()).map(|_| (self.random.f32() * 2.0 - 1.0) * size).collect();
        let shown: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        let _ = writeln!(self.description, "{name}: {dims:?}");
        self.model.floats(&name, &shown, &data);
        name
    }

    /// Weights that keep the size of what they are multiplied with, for sums of `depth` products.
    fn weights(&mut self, dims: &[usize], depth: usize) -> String {
        self.reals(dims, (3.0 / depth as f32).sqrt())
    }

    fn integers(&mut self, data: &[i64]) -> String {
        let name = self.name();
        let _ = writeln!(self.description, "{name} = {data:?}");
        self.model.ints(&name, data);
        name
    }

    fn scalar(&mut self, value: f32) -> String {
        let name = self.name();
        let _ = writeln!(self.description, "{name} = {value}");
        self.model.floats(&name, &[], &[value]);
        name
    }

    fn fits(dims: &[usize]) -> bool {
        dims.iter().all(|&dim| dim > 0) && dims.iter().product::<usize>() <= ELEMENTS
    }

    /// Kernel, stride, dilation and padding of a window over `size`, and how many places it has.
    fn window(&mut self, size: usize) -> Option<([usize; 3], [usize; 2], usize)> {
        let kernel = self.choose(&[1, 1, 2, 3, 3, 3, 4, 5]);
        let dilation = self.choose(&[1, 1, 1, 2]);
        let stride = self.choose(&[1, 1, 2, 3]);
        let reach = (kernel - 1) * dilation + 1;
        let pads = match self.random.u8(..3) {
            0 => [0; 2],
            1 => [(reach - 1) / 2; 2],
            _ => [self.random.usize(..reach.min(4)), self.random.usize(..reach.min(4))],
        };
        let places = (size + pads[0] + pads[1]).checked_sub(reach)? / stride + 1;
        Some(([kernel, stride, dilation], pads, places))
    }

    /// A convolution of `x` to `outputs` channels; none when the window does not fit.
    fn conv_of(&mut self, x: usize, outputs: usize, groups: usize) -> Option<usize> {
        let dims = self.dims(x);
        let (a, b) = (self.window(dims[2])?, self.window(dims[3])?);
        let to = vec![1, outputs, a.2, b.2];
        if !Self::fits(&to) {
            return None;
        }
        let inner = dims[1] / groups;
        let depth = inner * a.0[0] * b.0[0];
        let weights = self.weights(&[outputs, inner, a.0[0], b.0[0]], depth);
        let bias = self.reals(&[outputs], 0.5);
        let ints = |x: usize, y: usize| [x as i64, y as i64];
        let attributes = [
            ("strides", Ints(&ints(a.0[1], b.0[1]))),
            ("dilations", Ints(&ints(a.0[2], b.0[2]))),
            ("pads", Ints(&[a.1[0] as i64, b.1[0] as i64, a.1[1] as i64, b.1[1] as i64])),
            ("group", Int(groups as i64)),
        ];
        let y = self.add("Conv", &[x], &[&weights, &bias], &attributes, to);
        Some(self.activation(y))
    }

    fn conv(&mut self, x: usize) -> Option<usize> {
        let channels = self.values[x].dims[1];
        let groups = if self.random.u8(..4) == 0 { self.choose(&[1, 2, 3, 4]) } else { 1 };
        if !channels.is_multiple_of(groups) {
            return None;
        }
        let outputs = if groups == 1 { self.channels() } else { groups * self.random.usize(1..=9) };
        self.conv_of(x, outputs, groups)
    }

    fn depthwise(&mut self, x: usize) -> Option<usize> {
        let channels = self.values[x].dims[1];
        let multiplier = self.choose(&[1, 1, 1, 2, 3]);
        self.conv_of(x, channels * multiplier, channels)
    }

    /// A 1x1 convolution to `outputs` channels.
    fn pointwise_of(&mut self, x: usize, outputs: usize) -> Option<usize> {
        let mut dims = self.dims(x);
        let weights = self.weights(&[outputs, dims[1], 1, 1], dims[1]);
        let bias = self.reals(&[outputs], 0.5);
        dims[1] = outputs;
        Self::fits(&dims).then(|| self.add("Conv", &[x], &[&weights, &bias], &[], dims))
    }

    fn pointwise(&mut self, x: usize) -> Option<usize> {
        let outputs = self.channels();
        let y = self.pointwise_of(x, outputs)?;
        Some(self.activation(y))
    }

    fn conv_transpose(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let groups = self.choose(&[1, 1, 2]);
        if !dims[1].is_multiple_of(groups) {
            return None;
        }
        let outputs = self.random.usize(1..=12);
        let kernel = [self.random.usize(1..=4), self.random.usize(1..=4)];
        let stride = [self.random.usize(1..=3), self.random.usize(1..=3)];
        let mut pads = [0; 4];
        for (at, pad) in pads.iter_mut().enumerate() {
            *pad = self.random.usize(..kernel[at % 2]);
        }
        let length = |axis: usize| {
            ((dims[axis + 2] - 1) * stride[axis] + kernel[axis]).checked_sub(pads[axis] + pads[axis + 2])
        };
        let to = vec![1, outputs * groups, length(0)?, length(1)?];
        if !Self::fits(&to) {
            return None;
        }
        let weights = self.weights(&[dims[1], outputs, kernel[0], kernel[1]], dims[1] * kernel[0]);
        let attributes = [
            ("strides", Ints(&stride.map(|x| x as i64))),
            ("pads", Ints(&pads.map(|x| x as i64))),
            ("group", Int(groups as i64)),
        ];
        Some(self.add("ConvTranspose", &[x], &[&weights], &attributes, to))
    }

    /// Something that can be fused into the layer before, or nothing.
    fn activation(&mut self, x: usize) -> usize {
        let dims = self.dims(x);
        match self.random.u8(..6) {
            0 | 1 => self.add("Relu", &[x], &[], &[], dims),
            2 => {
                let (low, high) = (self.scalar(-0.25), self.scalar(1.5));
                self.add("Clip", &[x], &[&low, &high], &[], dims)
            }
            3 => self.add("LeakyRelu", &[x], &[], &[("alpha", Float(0.1))], dims),
            _ => x,
        }
    }

    fn function(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let plain =
            ["Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Gelu", "Elu", "Softplus", "Abs", "Erf", "Neg"];
        let op = self.choose(&plain);
        Some(self.add(op, &[x], &[], &[], dims))
    }

    fn pool(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        if self.random.u8(..5) == 0 {
            let op = self.choose(&["GlobalAveragePool", "GlobalMaxPool"]);
            return Some(self.add(op, &[x], &[], &[], vec![1, dims[1], 1, 1]));
        }
        let (a, b) = (self.window(dims[2])?, self.window(dims[3])?);
        // A window must see something besides padding.
        if a.0[2] > 1 || b.0[2] > 1 || a.1.iter().any(|&p| p >= a.0[0]) || b.1.iter().any(|&p| p >= b.0[0]) {
            return None;
        }
        let to = vec![1, dims[1], a.2, b.2];
        let (kernel, strides) = ([a.0[0] as i64, b.0[0] as i64], [a.0[1] as i64, b.0[1] as i64]);
        let pads = [a.1[0] as i64, b.1[0] as i64, a.1[1] as i64, b.1[1] as i64];
        let mut attributes =
            vec![("kernel_shape", Ints(&kernel)), ("strides", Ints(&strides)), ("pads", Ints(&pads))];
        let op = self.choose(&["MaxPool", "AveragePool"]);
        if op == "AveragePool" {
            attributes.push(("count_include_pad", Int(i64::from(self.random.bool()))));
        }
        Some(self.add(op, &[x], &[], &attributes, to))
    }

    /// A value of the same shape as `x`, made from it or found.
    fn companion(&mut self, x: usize) -> Option<usize> {
        let alike = |at: &usize| *at != x && self.values[*at].dims == self.values[x].dims;
        let found: Vec<usize> = (0..self.values.len()).filter(alike).collect();
        if !found.is_empty() && self.random.u8(..3) > 0 {
            return Some(self.choose(&found));
        }
        let dims = self.dims(x);
        match dims.len() {
            4 => self.pointwise_of(x, dims[1]),
            _ => self.linear_of(x, dims[2]),
        }
    }

    fn residual(&mut self, x: usize) -> Option<usize> {
        let y = self.companion(x)?;
        let dims = self.dims(x);
        let mut sum = self.add("Add", &[x, y], &[], &[], dims.clone());
        // Now and then a second branch: a sum of three.
        if self.random.bool()
            && let Some(z) = self.companion(x)
        {
            sum = self.add("Add", &[sum, z], &[], &[], dims);
        }
        Some(self.activation(sum))
    }

    /// Arithmetic on two tensors, or with a constant a channel.
    fn mix(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        match self.random.u8(..5) {
            0 => {
                let y = self.companion(x)?;
                Some(self.add("Sub", &[x, y], &[], &[], dims))
            }
            1 => {
                let y = self.companion(x)?;
                Some(self.add("Mul", &[x, y], &[], &[], dims))
            }
            2 => {
                // A divisor between 0.5 and 1.5.
                let y = self.companion(x)?;
                let y = self.add("Sigmoid", &[y], &[], &[], dims.clone());
                let half = self.scalar(0.5);
                let y = self.add("Add", &[y], &[&half], &[], dims.clone());
                Some(self.add("Div", &[x, y], &[], &[], dims))
            }
            kind => {
                let channels = if dims.len() == 4 { vec![dims[1], 1, 1] } else { vec![dims[2]] };
                let constant = self.reals(&channels, 1.0);
                let op = if kind == 3 { "Add" } else { "Mul" };
                Some(self.add(op, &[x], &[&constant], &[], dims))
            }
        }
    }

    /// A gate a channel from the mean of the image.
    fn squeeze_excite(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let mean = self.add("GlobalAveragePool", &[x], &[], &[], vec![1, dims[1], 1, 1]);
        let small = self.pointwise_of(mean, dims[1].div_ceil(2))?;
        let wide = self.pointwise_of(small, dims[1])?;
        let gate = self.add("Sigmoid", &[wide], &[], &[], vec![1, dims[1], 1, 1]);
        Some(self.add("Mul", &[x, gate], &[], &[], dims))
    }

    fn concat(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let axis = self.random.usize(1..dims.len());
        if self.varies(axis) {
            return None;
        }
        let fits = |at: &usize| {
            let other = &self.values[*at].dims;
            other.len() == dims.len() && (0..dims.len()).all(|a| a == axis || other[a] == dims[a])
        };
        let found: Vec<usize> = (0..self.values.len()).filter(fits).collect();
        let other = self.choose(&found);
        let other = if other == x { self.companion(x)? } else { other };
        let mut to = dims;
        to[axis] += self.values[other].dims[axis];
        let order = if self.random.bool() { [x, other] } else { [other, x] };
        Self::fits(&to).then(|| self.add("Concat", &order, &[], &[("axis", Int(axis as i64))], to))
    }

    fn slice(&mut self, x: usize) -> Option<usize> {
        let mut dims = self.dims(x);
        let axis = self.random.usize(1..dims.len());
        let size = dims[axis];
        if self.varies(axis) || size < 2 {
            return None;
        }
        let step = self.choose(&[1i64, 1, 2, -1]);
        let (start, end) = if step > 0 {
            let start = self.random.usize(..size);
            (start as i64, self.random.usize(start + 1..=size) as i64)
        } else {
            let start = self.random.usize(1..size);
            (start as i64, self.random.usize(..start) as i64)
        };
        dims[axis] = (end - start).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
        let names = [[start], [end], [axis as i64], [step]].map(|values| self.integers(&values));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Some(self.add("Slice", &[x], &names, &[], dims))
    }

    /// Two halves along the channels, multiplied or one behind the other again.
    fn split(&mut self, x: usize) -> Option<usize> {
        let mut dims = self.dims(x);
        let axis = if dims.len() == 4 { 1 } else { 2 };
        if dims[axis] < 2 || !dims[axis].is_multiple_of(2) {
            return None;
        }
        dims[axis] /= 2;
        let half = dims[axis] as i64;
        let mut part = |first: i64| {
            let names = [[first * half], [(first + 1) * half], [axis as i64]].map(|v| self.integers(&v));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.add("Slice", &[x], &names, &[], dims.clone())
        };
        let (a, b) = (part(0), part(1));
        if self.random.bool() {
            let gate = self.add("Sigmoid", &[b], &[], &[], dims.clone());
            return Some(self.add("Mul", &[a, gate], &[], &[], dims));
        }
        let a = self.add("Tanh", &[a], &[], &[], dims.clone());
        dims[axis] *= 2;
        Some(self.add("Concat", &[b, a], &[], &[("axis", Int(axis as i64))], dims))
    }

    fn pad(&mut self, x: usize) -> Option<usize> {
        let mut dims = self.dims(x);
        let mut pads = [0i64; 8];
        for axis in 1..4 {
            let most = if axis == 1 { 2 } else { 3 };
            let (before, after) = (self.random.usize(..most), self.random.usize(..most));
            (pads[axis], pads[axis + 4]) = (before as i64, after as i64);
            dims[axis] += before + after;
        }
        let (pads, fill) = (self.integers(&pads), self.choose(&[0.0, 0.0, 0.5]));
        let fill = self.scalar(fill);
        Self::fits(&dims).then(|| self.add("Pad", &[x], &[&pads, &fill], &[], dims))
    }

    fn gather(&mut self, x: usize) -> Option<usize> {
        let mut dims = self.dims(x);
        let axis = self.random.usize(1..dims.len());
        if self.varies(axis) {
            return None;
        }
        let count = self.random.usize(1..=dims[axis] + 1);
        let indices: Vec<i64> = (0..count).map(|_| self.random.usize(..dims[axis]) as i64).collect();
        dims[axis] = count;
        let indices = self.integers(&indices);
        Self::fits(&dims).then(|| self.add("Gather", &[x], &[&indices], &[("axis", Int(axis as i64))], dims))
    }

    fn transpose(&mut self, x: usize) -> Option<usize> {
        let perm = self.choose(&[[0, 1, 3, 2], [0, 2, 1, 3], [0, 3, 2, 1], [0, 2, 3, 1], [0, 3, 1, 2]]);
        let dims = perm.map(|axis| self.values[x].dims[axis]);
        let perm = perm.map(|axis| axis as i64);
        Some(self.add("Transpose", &[x], &[], &[("perm", Ints(&perm))], dims.to_vec()))
    }

    fn shuffle(&mut self, x: usize) -> Option<usize> {
        let [_, c, h, w] = self.dims(x)[..] else { return None };
        let block = self.choose(&[2, 2, 3]);
        let size = ("blocksize", Int(block as i64));
        if self.random.bool() {
            if !h.is_multiple_of(block) || !w.is_multiple_of(block) {
                return None;
            }
            let dims = vec![1, c * block * block, h / block, w / block];
            return Some(self.add("SpaceToDepth", &[x], &[], &[size], dims));
        }
        if !c.is_multiple_of(block * block) {
            return None;
        }
        let mode = ("mode", Text(self.choose(&["DCR", "CRD"])));
        let dims = vec![1, c / block / block, h * block, w * block];
        Some(self.add("DepthToSpace", &[x], &[], &[size, mode], dims))
    }

    fn resize(&mut self, x: usize) -> Option<usize> {
        let mut dims = self.dims(x);
        for axis in [2, 3] {
            dims[axis] = match self.random.u8(..3) {
                0 => dims[axis] * 2,
                1 => dims[axis],
                _ => self.size(),
            };
        }
        let sizes: Vec<i64> = dims.iter().map(|&dim| dim as i64).collect();
        let sizes = self.integers(&sizes);
        let coordinates = self.choose(&["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]);
        let mode = self.choose(&["linear", "nearest"]);
        let attributes = [("mode", Text(mode)), ("coordinate_transformation_mode", Text(coordinates))];
        Self::fits(&dims).then(|| self.add("Resize", &[x], &["", "", &sizes], &attributes, dims))
    }

    /// Batch, group or instance normalisation.
    fn channel_norm(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        // Statistics of one element are its own: nothing is left.
        let kind = if dims[2] * dims[3] < 2 { 0 } else { self.random.u8(..3) };
        let channels = dims[1];
        let (gamma, beta) = (self.reals(&[channels], 1.0), self.reals(&[channels], 0.5));
        if kind == 0 {
            let mean = self.reals(&[channels], 0.5);
            let name = self.name();
            let variance: Vec<f32> = (0..channels).map(|_| 0.5 + self.random.f32()).collect();
            self.model.floats(&name, &[channels as i64], &variance);
            return Some(self.add("BatchNormalization", &[x], &[&gamma, &beta, &mean, &name], &[], dims));
        }
        if kind == 1 {
            return Some(self.add("InstanceNormalization", &[x], &[&gamma, &beta], &[], dims));
        }
        let groups = self.choose(&[1, 2, 3, 4]);
        if !channels.is_multiple_of(groups) {
            return None;
        }
        let attributes = [("num_groups", Int(groups as i64))];
        Some(self.add("GroupNormalization", &[x], &[&gamma, &beta], &attributes, dims))
    }

    fn l2_norm(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let axis = if dims.len() == 4 { 1 } else { 2 };
        Some(self.add("LpNormalization", &[x], &[], &[("axis", Int(axis)), ("p", Int(2))], dims))
    }

    fn softmax(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let axis = self.random.usize(1..dims.len());
        Some(self.add("Softmax", &[x], &[], &[("axis", Int(axis as i64))], dims))
    }

    /// Over one axis or two, put back by an addition.
    fn reduce(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let op = self.choose(&["ReduceMean", "ReduceMean", "ReduceMax", "ReduceSum"]);
        let first = self.random.usize(1..dims.len());
        let mut axes = vec![first as i64];
        if first + 1 < dims.len() && self.random.bool() {
            axes.push(first as i64 + 1);
        }
        let mut to = dims.clone();
        axes.iter().for_each(|&axis| to[axis as usize] = 1);
        let axes = self.integers(&axes);
        let reduced = self.add(op, &[x], &[&axes], &[("keepdims", Int(1))], to);
        Some(self.add("Add", &[x, reduced], &[], &[], dims))
    }

    /// An image as a sequence of its pixels.
    fn tokens(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let shape = [1, dims[1], dims[2] * dims[3]];
        let name = self.integers(&shape.map(|dim| dim as i64));
        let flat = self.add("Reshape", &[x], &[&name], &[], shape.to_vec());
        let dims = vec![1, shape[2], shape[1]];
        Some(self.add("Transpose", &[flat], &[], &[("perm", Ints(&[0, 2, 1]))], dims))
    }

    fn linear_of(&mut self, x: usize, outputs: usize) -> Option<usize> {
        let mut dims = self.dims(x);
        let inputs = dims[2];
        dims[2] = outputs;
        if !Self::fits(&dims) {
            return None;
        }
        let (weights, bias) = (self.weights(&[inputs, outputs], inputs), self.reals(&[outputs], 0.5));
        let product = self.add("MatMul", &[x], &[&weights], &[], dims.clone());
        Some(self.add("Add", &[product], &[&bias], &[], dims))
    }

    fn linear(&mut self, x: usize) -> Option<usize> {
        let outputs = self.channels();
        let y = self.linear_of(x, outputs)?;
        Some(self.activation(y))
    }

    fn layer_norm(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let (gamma, beta) = (self.reals(&dims[2..], 1.0), self.reals(&dims[2..], 0.5));
        if dims[2] < 2 {
            return None;
        }
        Some(self.add("LayerNormalization", &[x], &[&gamma, &beta], &[("axis", Int(-1))], dims))
    }

    /// Softmax attention over the rows, with one head or two.
    fn attention(&mut self, x: usize) -> Option<usize> {
        let dims = self.dims(x);
        let (rows, heads, size) = (dims[1], self.random.usize(1..=2), self.choose(&[3, 4, 8, 9]));
        let varies = self.varies(1);
        let mut head = |perm: [i64; 4], to: [usize; 4]| {
            let y = self.linear_of(x, heads * size)?;
            let shape = self.integers(&[1, if varies { -1 } else { rows as i64 }, heads as i64, size as i64]);
            let y = self.add("Reshape", &[y], &[&shape], &[], vec![1, rows, heads, size]);
            Some(self.add("Transpose", &[y], &[], &[("perm", Ints(&perm))], to.to_vec()))
        };
        let q = head([0, 2, 1, 3], [1, heads, rows, size])?;
        let k = head([0, 2, 3, 1], [1, heads, size, rows])?;
        let v = head([0, 2, 1, 3], [1, heads, rows, size])?;
        let scores = vec![1, heads, rows, rows];
        if !Self::fits(&scores) {
            return None;
        }
        let product = self.add("MatMul", &[q, k], &[], &[], scores.clone());
        let factor = self.scalar(1.0 / (size as f32).sqrt());
        let scaled = self.add("Mul", &[product], &[&factor], &[], scores.clone());
        let weights = self.add("Softmax", &[scaled], &[], &[("axis", Int(-1))], scores);
        let y = self.add("MatMul", &[weights, v], &[], &[], vec![1, heads, rows, size]);
        let y =
            self.add("Transpose", &[y], &[], &[("perm", Ints(&[0, 2, 1, 3]))], vec![1, rows, heads, size]);
        let shape = self.integers(&[1, if varies { -1 } else { rows as i64 }, (heads * size) as i64]);
        let y = self.add("Reshape", &[y], &[&shape], &[], vec![1, rows, heads * size]);
        let y = self.linear_of(y, dims[2])?;
        Some(self.add("Add", &[x, y], &[], &[], dims))
    }

    /// A layer across the rows.
    fn token_mixing(&mut self, x: usize) -> Option<usize> {
        if self.varies(1) {
            return None;
        }
        let dims = self.dims(x);
        let outputs = self.size();
        let turned = vec![1, dims[2], dims[1]];
        let y = self.add("Transpose", &[x], &[], &[("perm", Ints(&[0, 2, 1]))], turned);
        let y = self.linear_of(y, outputs)?;
        let y = self.activation(y);
        Some(self.add("Transpose", &[y], &[], &[("perm", Ints(&[0, 2, 1]))], vec![1, outputs, dims[2]]))
    }

    /// A dilated convolution along the rows.
    fn dilated(&mut self, x: usize) -> Option<usize> {
        if self.varies(1) {
            return None;
        }
        let dims = self.dims(x);
        let depthwise = self.random.bool();
        let (kernel, dilation) = (self.random.usize(1..=5), self.random.usize(1..=3));
        let reach = (kernel - 1) * dilation;
        let (outputs, groups) = if depthwise { (dims[2], dims[2]) } else { (self.channels(), 1) };
        let inner = dims[2] / groups;
        let turned = vec![1, dims[2], dims[1]];
        let y = self.add("Transpose", &[x], &[], &[("perm", Ints(&[0, 2, 1]))], turned);
        let weights = self.weights(&[outputs, inner, kernel], inner * kernel);
        let attributes = [
            ("dilations", Ints(&[dilation as i64])),
            ("pads", Ints(&[reach as i64, 0])),
            ("group", Int(groups as i64)),
        ];
        let y = self.add("Conv", &[y], &[&weights], &attributes, vec![1, outputs, dims[1]]);
        let y = self.activation(y);
        Some(self.add("Transpose", &[y], &[], &[("perm", Ints(&[0, 2, 1]))], vec![1, dims[1], outputs]))
    }

    /// A memory that takes in the mean of the last value and is added to the next.
    fn add_state(&mut self) {
        let last = self.values.len() - 1;
        let dims = self.dims(last);
        let over: Vec<usize> = if dims.len() == 4 { vec![2, 3] } else { vec![1] };
        let mut to = dims.clone();
        over.iter().for_each(|&axis| to[axis] = 1);
        let axes = self.integers(&over.iter().map(|&axis| axis as i64).collect::<Vec<_>>());
        let mean = self.add("ReduceMean", &[last], &[&axes], &[("keepdims", Int(1))], to.clone());
        let shown: Vec<i64> = to.iter().map(|&dim| dim as i64).collect();
        self.model.input("memory", &shown).random("memory", &shown);
        let _ = writeln!(self.description, "memory: {to:?}, a state");
        self.values.push(Value { name: "memory".into(), dims: to.clone(), used: true });
        let memory = self.values.len() - 1;
        let sum = self.add("Add", &[memory, mean], &[], &[], to.clone());
        let kept = self.add("Tanh", &[sum], &[], &[], to);
        self.add("Add", &[last, kept], &[], &[], dims);
        self.state = Some(("memory".into(), self.values[kept].name.clone()));
    }
}
