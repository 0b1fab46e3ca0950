//! The graph: what a network computes, in real numbers, channels last.
//!
//! Import builds it, passes rewrite it, quantization chooses integers for it, lowering turns it into operators of a
//! plan. Nodes stand in execution order and have one output each. Images are `[N, H, W, C]`; the batch is always 1.

pub mod passes;

use std::borrow::Cow;
use std::fmt;

/// Index of a value in [`Graph::values`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub usize);

/// A network.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// All tensors, constants included. Values that nothing uses any more are allowed.
    pub values: Vec<Value>,
    /// Operators in execution order.
    pub nodes: Vec<Node>,
    /// Inputs in the model's order.
    pub inputs: Vec<ValueId>,
    /// Outputs in the model's order.
    pub outputs: Vec<ValueId>,
    /// What turns raw input into the first input, and what the classes are called.
    pub front_end: FrontEndSpec,
    /// Bound and name of the dimension that varies at run time, if there is one.
    pub rows: Option<Rows>,
    /// Inputs that are outputs of the run before.
    pub states: Vec<State>,
    /// Inputs and outputs that the model itself has with the channels in front of rows and columns.
    pub channels_first: Vec<ValueId>,
}

/// An input that is an output of the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// One of [`Graph::inputs`].
    pub input: ValueId,
    /// Its place in [`Graph::outputs`].
    pub output: usize,
    /// A constant: the input's value before the first run.
    pub initial: ValueId,
}

/// The one dimension that varies at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Its name in the model.
    pub name: String,
    /// Its bound.
    pub max: usize,
}

/// A model's front end, from its metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrontEndSpec {
    /// Text hashing, if the first input is made from text.
    pub text: Option<TextSpec>,
    /// Windows and patches, if the first two inputs are made from events.
    pub events: Option<EventSpec>,
    /// Range of pixels, if the one input is a picture.
    pub image: Option<mixel_core::plan::ImageFrontEnd>,
    /// Class names.
    pub labels: Vec<String>,
}

/// Parameters of the event front end (papers: Event Transformer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSpec {
    /// Patches and what is counted in them, checked.
    pub histogram: mixel_core::events::histogram::HistogramConfig,
    /// Length of a window in microseconds.
    pub window_us: u32,
}

/// Parameters of the text front end (papers: pNLP-Mixer).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSpec {
    /// Hash parameters and sizes, checked.
    pub text: mixel_core::text::TextFrontEnd,
    /// What the first output means.
    pub head: mixel_core::plan::TextHead,
}

/// A shape: bounds, and which dimensions are the number of rows present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Bounds.
    pub dims: Vec<usize>,
    /// Bit i: `dims[i]` varies at run time up to its bound, which is [`Rows::max`].
    pub dynamic: u8,
}

impl Shape {
    /// A static shape.
    pub fn fixed(dims: &[usize]) -> Self {
        Self { dims: dims.to_vec(), dynamic: 0 }
    }

    /// Number of elements at the bound.
    pub fn elements(&self) -> usize {
        self.dims.iter().product()
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The shape whose axis i is axis `perm[i]` of this one.
    #[must_use]
    pub fn transposed(&self, perm: &[usize]) -> Self {
        let dims = perm.iter().map(|&axis| self.dims[axis]).collect();
        let dynamic = perm.iter().enumerate().map(|(to, &from)| (self.dynamic >> from & 1) << to).sum();
        Self { dims, dynamic }
    }

    /// The shape with a dimension of `size` put in at `axis`.
    #[must_use]
    pub fn inserted(&self, axis: usize, size: usize) -> Self {
        let mut dims = self.dims.clone();
        dims.insert(axis, size);
        let below = self.dynamic & ((1 << axis) - 1);
        Self { dims, dynamic: below | (self.dynamic & !below) << 1 }
    }

    /// Whether dimension `axis` varies.
    pub fn is_dynamic(&self, axis: usize) -> bool {
        self.dynamic >> axis & 1 == 1
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (axis, dim) in self.dims.iter().enumerate() {
            let (separator, bound) =
                (if axis > 0 { "x" } else { "" }, if self.is_dynamic(axis) { "<=" } else { "" });
            write!(f, "{separator}{bound}{dim}")?;
        }
        Ok(())
    }
}

/// A tensor.
#[derive(Clone, Debug, Default)]
pub struct Value {
    /// Name, unique in the graph; that of the ONNX tensor where there is one.
    pub name: String,
    /// Shape.
    pub shape: Shape,
    /// Its elements, if it is a constant.
    pub constant: Option<Constant>,
    /// Quantization that the model itself states (QuantizeLinear / DequantizeLinear on this tensor).
    pub given: Option<Quantization>,
    /// The tensor of the float model that it equals.
    pub origin: Option<Origin>,
}

/// Where in the float model a value can be observed: `value = transpose(tensor, perm) * channel_scale` (last axis),
/// element for element in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// Name of the ONNX tensor.
    pub tensor: String,
    /// Transposition from the ONNX tensor's axes; empty for none. The element count is the same; how the elements are
    /// divided into dimensions may differ (a value of 1x1xLxC can come from a tensor of 1xCxL by [0, 2, 1]).
    pub perm: Vec<usize>,
    /// Factor for each index of the value's last axis, from cross-layer equalization; empty for none.
    pub channel_scale: Vec<f32>,
    /// Channels of the ONNX tensor that the value's last axis has, in its order; empty for all of them as they are.
    pub channels: Vec<usize>,
}

impl Origin {
    /// The part of the observed tensor that the value has: its elements, and its dimensions in the order of the tensor.
    pub fn cut<'d>(&self, data: &'d [f32], dims: &[usize]) -> (Cow<'d, [f32]>, Vec<usize>) {
        let axis = self.perm.last().copied().or_else(|| dims.len().checked_sub(1));
        let Some(axis) = axis.filter(|&axis| axis < dims.len() && !self.channels.is_empty()) else {
            return (Cow::Borrowed(data), dims.to_vec());
        };
        let inner: usize = dims[axis + 1..].iter().product();
        let channels = |block: &'d [f32]| {
            self.channels.iter().filter_map(move |channel| block.get(channel * inner..(channel + 1) * inner))
        };
        let cut = data.chunks((dims[axis] * inner).max(1)).flat_map(channels).flatten().copied().collect();
        let mut dims = dims.to_vec();
        dims[axis] = self.channels.len();
        (Cow::Owned(cut), dims)
    }

    /// Where channels of a value that is found here are found, in this order; none where each has its own factor.
    pub fn of_channels(&self, channels: impl Iterator<Item = usize>) -> Option<Self> {
        let own = |channel: usize| self.channels.get(channel).copied();
        let channels = match self.channels.is_empty() {
            true => channels.collect(),
            false => channels.map(own).collect::<Option<_>>()?,
        };
        self.channel_scale.is_empty().then(|| Self { channels, ..self.clone() })
    }
}

/// Elements of a constant, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Real values.
    pub data: Vec<f32>,
    /// The integers behind them, where the model states them; kept through layout changes.
    pub integers: Option<Integers>,
}

/// Integers of a constant that the model quantized itself: `real = scale * (integer - zero_point)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Integers {
    /// Row-major, as many as the constant has elements.
    pub data: Vec<i32>,
    /// One scale, or one for each index of `axis`.
    pub scales: Vec<f32>,
    /// One zero point a scale.
    pub zero_points: Vec<i32>,
    /// Axis of the scales when there are several.
    pub axis: usize,
    /// 8 or 32 bits, 4, or 16.
    pub bits: u8,
}

/// Quantization of an activation: `real = scale * (integer - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantization {
    /// Real value of one step.
    pub scale: f32,
    /// Integer for zero. uint8 models are shifted to int8 on import.
    pub zero_point: i32,
    /// Integer type: I8 or I16.
    pub dtype: mixel_core::plan::DType,
}

/// An operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name; that of the ONNX node where there is one.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Inputs; which ones is said with each [`Op`].
    pub inputs: Vec<ValueId>,
    /// The output.
    pub output: ValueId,
}

/// Kernel, stride, padding and dilation of a sliding window; height before width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel size.
    pub kernel: [usize; 2],
    /// Step.
    pub stride: [usize; 2],
    /// Dilation.
    pub dilation: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pad: [usize; 4],
}

/// Range that is fused to the end of an operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clip {
    /// Smallest value, or minus infinity.
    pub min: f32,
    /// Largest value, or infinity.
    pub max: f32,
}

impl Clip {
    /// No limits.
    pub const NONE: Self = Self { min: f32::NEG_INFINITY, max: f32::INFINITY };
}

/// Functions of one real value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Function {
    Clip(Clip),
    LeakyRelu {
        alpha: f32,
    },
    HardSwish,
    HardSigmoid {
        alpha: f32,
        beta: f32,
    },
    Sigmoid,
    /// `x * sigmoid(x)`, also called Swish.
    Silu,
    Tanh,
    /// Exact, with erf.
    Gelu,
    /// The tanh form.
    GeluTanh,
    Elu {
        alpha: f32,
    },
    Erf,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Abs,
    Softplus,
    /// `scale * x + offset`.
    Affine {
        scale: f32,
        offset: f32,
    },
    Power {
        exponent: f32,
    },
}

/// Arithmetic on two tensors, with ONNX (NumPy) broadcasting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
}

/// What is done over a window or over axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Pooling {
    Max,
    /// Mean; padding is not counted.
    Average,
    /// Mean; padding counts as zeros.
    AverageWithPad,
}

/// How reduced axes are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Reduction {
    Mean,
    Sum,
    Max,
}

/// Resampling kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Sampling {
    Nearest { rounding: NearestRounding },
    Bilinear,
}

/// ONNX `nearest_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum NearestRounding {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
}

/// ONNX `coordinate_transformation_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Coordinates {
    HalfPixel,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
}

/// Order of the channels in DepthToSpace (channels last: C = block*block*c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ShuffleMode {
    /// Depth-column-row: channel = (i*block + j) * c + k.
    Dcr,
    /// Column-row-depth (PixelShuffle): channel = k * block*block + i*block + j.
    Crd,
}

/// Operators. Inputs in brackets, activations unless called constant.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// [x `N,H,W,C`, constant weights `O,KH,KW,C/groups`, constant bias `O`].
    Conv {
        /// Window.
        window: Window,
        /// Groups; C for depthwise.
        groups: usize,
        /// Fused range.
        clip: Clip,
    },
    /// [x `N,H,W,C`, constant weights `O,KH,KW,C/groups`, constant bias `O`]. Output size from its shape.
    ConvTranspose {
        /// Window; `pad` is what is cut off.
        window: Window,
        /// Groups.
        groups: usize,
        /// Fused range.
        clip: Clip,
    },
    /// [x `..,K`, constant weights `N,K`, constant bias `N`].
    Linear {
        /// Fused range.
        clip: Clip,
    },
    /// [a `..,M,K`, b `..,K,N`, or `..,N,K` with `transpose_b`], both activations; leading dimensions broadcast.
    MatMul {
        /// Whether b has its last two dimensions swapped.
        transpose_b: bool,
        /// Factor on the product, folded in (attention's 1/sqrt(d)).
        scale: f32,
    },
    /// `[a, b]`, either may be a constant.
    Binary {
        /// Which.
        op: Arithmetic,
        /// Fused range.
        clip: Clip,
    },
    /// `[a, b, c]`, activations of the output's shape: a sum that is rounded once.
    Sum3 {
        /// Fused range.
        clip: Clip,
    },
    /// `[x]`, functions applied first to last.
    Unary(Vec<Function>),
    /// `[x]`.
    Softmax {
        /// Axis.
        axis: usize,
    },
    /// [x, constant gamma, constant beta], over the last axis.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// [x `N,..,C`, constant gamma `C`, constant beta `C`], statistics of each group over all positions.
    GroupNorm {
        /// Number of groups; C for instance normalisation.
        groups: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// `[x]`: x / max(||x||_2 over `axes`, epsilon).
    L2Norm {
        /// Axes.
        axes: Vec<usize>,
        /// Lower bound of the norm.
        epsilon: f32,
    },
    /// [queries `1,H,W,C`, keys `1,H,W,C`, constant temperatures, one a head]: `1,1,C,C` with the softmax over the
    /// channels j of a head of `temperature * cosine(query channel i, key channel j)` over all positions, and zeros between heads.
    ChannelAttention,
    /// [x `N,H,W,C`].
    Pool {
        /// Which.
        pooling: Pooling,
        /// Window.
        window: Window,
    },
    /// `[x]`, over `axes`; the output shape says whether they are kept.
    Reduce {
        /// Which.
        reduction: Reduction,
        /// Axes of x.
        axes: Vec<usize>,
    },
    /// `[x]`: the same elements in the output's shape.
    Reshape,
    /// `[x]`: the same values under another quantization.
    Identity,
    /// `[x]`: output axis i is input axis `perm[i]`.
    Transpose {
        /// Permutation.
        perm: Vec<usize>,
    },
    /// `[x0, x1, ..]`.
    Concat {
        /// Axis.
        axis: usize,
    },
    /// `[x]`: from `starts`, steps `steps` (never 0, may be negative), as many as the output has, one entry an axis.
    Slice {
        /// First index.
        starts: Vec<usize>,
        /// Step.
        steps: Vec<isize>,
    },
    /// `[x]`: constant padding, one entry an axis.
    Pad {
        /// Elements in front.
        before: Vec<usize>,
        /// Elements behind.
        after: Vec<usize>,
        /// Fill.
        value: f32,
    },
    /// `[x]`: constant indices along an axis.
    Gather {
        /// Axis.
        axis: usize,
        /// Indices, in range.
        indices: Vec<usize>,
    },
    /// `[x]`: repeat dimensions of size 1 up to the output's shape.
    Expand,
    /// [x `N,H,W,C`].
    DepthToSpace {
        /// Block size.
        block: usize,
        /// Channel order.
        mode: ShuffleMode,
    },
    /// [x `N,H,W,C`], inverse of [`ShuffleMode::Dcr`].
    SpaceToDepth {
        /// Block size.
        block: usize,
    },
    /// [x `N,H,W,C`] to the output's size.
    Resize {
        /// Kernel.
        sampling: Sampling,
        /// How output positions map to input positions.
        coordinates: Coordinates,
        /// Factors height, width as the model states them.
        scales: [f32; 2],
    },
    /// [bins `1,L,n`, constant weights `slots,m,H`, constant bias `H`]: gather-accumulate bottleneck of pNLP-Mixer. With one
    /// slot and one bin a row it is a look-up by indices that are known at run time.
    Projection,
}

impl Op {
    /// Short name for tables and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv { .. } => "Conv",
            Op::ConvTranspose { .. } => "ConvTranspose",
            Op::Linear { .. } => "Linear",
            Op::MatMul { .. } => "MatMul",
            Op::Binary { op: Arithmetic::Add, .. } => "Add",
            Op::Binary { op: Arithmetic::Sub, .. } => "Sub",
            Op::Binary { op: Arithmetic::Mul, .. } => "Mul",
            Op::Binary { op: Arithmetic::Div, .. } => "Div",
            Op::Sum3 { .. } => "Sum3",
            Op::Unary(_) => "Unary",
            Op::Softmax { .. } => "Softmax",
            Op::LayerNorm { .. } => "LayerNorm",
            Op::GroupNorm { .. } => "GroupNorm",
            Op::L2Norm { .. } => "L2Norm",
            Op::ChannelAttention => "ChannelAttention",
            Op::Pool { pooling: Pooling::Max, .. } => "MaxPool",
            Op::Pool { .. } => "AveragePool",
            Op::Reduce { .. } => "Reduce",
            Op::Reshape => "Reshape",
            Op::Identity => "Identity",
            Op::Transpose { .. } => "Transpose",
            Op::Concat { .. } => "Concat",
            Op::Slice { .. } => "Slice",
            Op::Pad { .. } => "Pad",
            Op::Gather { .. } => "Gather",
            Op::Expand => "Expand",
            Op::DepthToSpace { .. } => "DepthToSpace",
            Op::SpaceToDepth { .. } => "SpaceToDepth",
            Op::Resize { .. } => "Resize",
            Op::Projection => "Projection",
        }
    }
}

impl Graph {
    /// The value behind `id`.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The value behind `id`, to change.
    pub fn value_mut(&mut self, id: ValueId) -> &mut Value {
        &mut self.values[id.0]
    }

    /// Adds a value.
    pub fn add(&mut self, value: Value) -> ValueId {
        self.values.push(value);
        ValueId(self.values.len() - 1)
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: impl Into<String>, dims: &[usize], data: Vec<f32>) -> ValueId {
        let constant = Some(Constant { data, integers: None });
        self.add(Value { name: name.into(), shape: Shape::fixed(dims), constant, ..Value::default() })
    }

    /// Index of the node that computes `id`; none for inputs and constants.
    pub fn producer(&self, id: ValueId) -> Option<usize> {
        self.nodes.iter().position(|node| node.output == id)
    }

    /// Indices of the nodes that read `id`.
    pub fn consumers(&self, id: ValueId) -> Vec<usize> {
        (0..self.nodes.len()).filter(|&node| self.nodes[node].inputs.contains(&id)).collect()
    }

    /// Makes every reader of `old`, and the output list, take `new` instead.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        let inputs = self.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut());
        for id in inputs.chain(self.outputs.iter_mut()).filter(|id| **id == old) {
            *id = new;
        }
    }

    /// Removes nodes whose output nobody reads.
    pub fn remove_dead(&mut self) {
        loop {
            let used: std::collections::HashSet<ValueId> = self
                .nodes
                .iter()
                .flat_map(|node| node.inputs.iter().copied())
                .chain(self.outputs.iter().copied())
                .collect();
            let before = self.nodes.len();
            self.nodes.retain(|node| used.contains(&node.output));
            if self.nodes.len() == before {
                return;
            }
        }
    }
}
