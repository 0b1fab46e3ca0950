//! The operators: one file a family.
//!
//! A file holds the parameters as they stand in the plan, what shapes and types go together (`check`), a `reference`
//! that is the specification, and the implementation that sessions run. [`requant`] is the one place that rounds.
//!
//! Which operators are linked is a type, an [`OpSet`]: [`All`] for tools and tests, one made by [`crate::op_set!`] for
//! firmware that carries one model.

pub mod add;
pub mod attention;
pub mod channel_attention;
pub mod conv;
#[cfg(mixel_columns)]
mod conv_columns;
#[cfg(not(target_os = "none"))]
mod conv_rows;
pub mod conv_transpose;
pub mod depthwise;
#[cfg(mixel_columns)]
mod depthwise_bands;
#[cfg(not(target_os = "none"))]
mod depthwise_rows;
pub mod div;
pub mod embedding;
pub mod feed;
pub mod fixed;
pub mod gather;
pub mod group_norm;
pub mod join;
pub mod l2_norm;
pub mod layer_norm;
pub mod linear;
pub mod lut;
pub mod lut_steps;
pub mod matmul;
mod matrix;
pub mod movement;
pub mod mul;
pub mod nest;
mod packed;
#[cfg(not(target_os = "none"))]
mod padded_rows;
pub mod part;
pub mod pool;
pub mod projection;
mod projection_int4;
pub mod reduce;
pub mod requant;
pub mod requantize;
pub mod resize;
pub mod short_channels;
pub mod shuffle;
pub mod softmax;
pub mod sum3;
pub mod turned;
mod wide;
pub mod width;
pub mod window;

pub use add::{Add, Add16};
pub use attention::{Attention, AttentionLean};
pub use channel_attention::{CosineSoftmax, Gram};
pub use conv::{
    Conv, Conv16, ConvByPart, ConvByPartLean, ConvInt4, ConvLean, ConvPart, ConvPartLean, ConvSparse,
};
pub use conv_transpose::{ConvTranspose, ConvTranspose16};
pub use depthwise::{Depthwise, Depthwise16, DepthwiseLean};
pub use div::{Div, Div16};
pub use embedding::Embedding;
pub use feed::Feed;
pub use gather::Gather;
pub use group_norm::{GroupNorm, GroupNorm16};
pub use join::Join;
pub use l2_norm::{L2Norm, L2Norm16};
pub use layer_norm::{LayerNorm, LayerNorm16};
pub use linear::{
    Linear, Linear16, LinearByPart, LinearByPartLean, LinearInt4, LinearLean, LinearPart, LinearPartLean,
    LinearSparse,
};
pub use lut::{Lut, Lut16};
pub use lut_steps::LutSteps;
pub use matmul::{MatMul, MatMul16};
pub use movement::Move;
pub use mul::{Mul, Mul16};
pub use pool::{AveragePool, AveragePool16, MaxPool, MaxPool16};
pub use projection::{Projection, Projection16};
pub use projection_int4::ProjectionInt4;
pub use reduce::{Reduce, Reduce16};
pub use requantize::Requantize;
pub use resize::{Resize, Resize16};
pub use shuffle::Shuffle;
pub use softmax::{Softmax, Softmax16, SoftmaxLean};
pub use sum3::{Sum3, Sum3_16};
pub use turned::{LinearTurned, LinearTurnedLean};

use crate::arch::Backend;
use crate::arch::view::{Element, In, Lease, Out};
use crate::plan::format::Section;
use crate::plan::strips::Room;
use crate::plan::{Fault, Operator, Place, Rows, Tensor, Verified};

/// What an operator does. The numbers are those of the plan file; docs/format.md lists the retired ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u16)]
pub enum OpKind {
    /// Weights times every row: fully connected layers and 1x1 convolutions.
    Linear = 1,
    /// Look-up table over all 256 values: any function of one int8 value.
    Lut = 2,
    /// Convolution in two dimensions, with groups.
    Conv = 3,
    /// Convolution of every channel on its own.
    Depthwise = 4,
    /// Transposed convolution.
    ConvTranspose = 5,
    /// Largest value of a window.
    MaxPool = 6,
    /// Mean of a window.
    AveragePool = 7,
    /// Product of two activations.
    MatMul = 8,
    /// Sum of the weight rows that fingerprint bins name.
    Projection = 9,
    /// Sum of two tensors.
    Add = 10,
    /// Product of two tensors, element by element.
    Mul = 11,
    /// Quotient of two tensors, element by element.
    Div = 12,
    /// The same values under another quantization.
    Requantize = 13,
    /// Softmax along one axis.
    Softmax = 14,
    /// Layer normalisation over the last axis.
    LayerNorm = 15,
    /// Normalisation of groups of channels over all positions.
    GroupNorm = 16,
    /// Division by the Euclidean norm.
    L2Norm = 17,
    /// Mean, sum or largest value over axes.
    Reduce = 18,
    /// Elements from one place to another: transpose, slice, pad, concatenate.
    Move = 19,
    /// Slices by constant indices.
    Gather = 20,
    /// Bilinear or nearest resampling of images.
    Resize = 21,
    /// Products of the channels of queries and keys, summed over positions.
    Gram = 22,
    /// Softmax of the cosines between channels.
    CosineSoftmax = 23,
    /// Rows of an input that come from outside while the plan runs.
    Feed = 24,
    /// Channels of several tensors one behind the other.
    Join = 25,
    /// Depth to space.
    Shuffle = 26,
    /// [`OpKind::Conv`] that makes some of the channels of its output.
    ConvPart = 30,
    /// [`OpKind::Linear`] that makes some of the channels of its output.
    LinearPart = 31,
    /// [`OpKind::Linear`] that reads the columns of its input or writes those of its output.
    LinearTurned = 32,
    /// Rows of a table by numbers that are inputs.
    Embedding = 33,
    /// Softmax of the products of queries and keys, times the values.
    Attention = 34,
    /// [`OpKind::Linear`] with 16-bit input or output.
    Linear16 = 65,
    /// [`OpKind::Conv`] with 16-bit input or output.
    Conv16 = 67,
    /// [`OpKind::Depthwise`] with 16-bit input or output.
    Depthwise16 = 68,
    /// [`OpKind::ConvTranspose`] with 16-bit input or output.
    ConvTranspose16 = 69,
    /// [`OpKind::MaxPool`] on 16-bit values.
    MaxPool16 = 70,
    /// [`OpKind::AveragePool`] with 16-bit input or output.
    AveragePool16 = 71,
    /// [`OpKind::MatMul`] with a 16-bit input or output.
    MatMul16 = 72,
    /// [`OpKind::Projection`] with 16-bit output.
    Projection16 = 73,
    /// [`OpKind::Lut`] with a 16-bit input or output.
    Lut16 = 66,
    /// [`OpKind::Add`] with a 16-bit input or output.
    Add16 = 74,
    /// [`OpKind::Mul`] with a 16-bit input or output.
    Mul16 = 75,
    /// [`OpKind::Div`] with a 16-bit input or output.
    Div16 = 76,
    /// [`OpKind::Softmax`] with a 16-bit input or output.
    Softmax16 = 78,
    /// [`OpKind::LayerNorm`] with a 16-bit input or output.
    LayerNorm16 = 79,
    /// [`OpKind::GroupNorm`] with a 16-bit input or output.
    GroupNorm16 = 80,
    /// [`OpKind::L2Norm`] with a 16-bit input or output.
    L2Norm16 = 81,
    /// [`OpKind::Reduce`] with a 16-bit input or output.
    Reduce16 = 82,
    /// [`OpKind::Resize`] with a 16-bit input or output.
    Resize16 = 85,
    /// [`OpKind::Linear`] with weights of four bits.
    LinearInt4 = 129,
    /// [`OpKind::Conv`] with weights of four bits.
    ConvInt4 = 131,
    /// [`OpKind::Projection`] with weights of four bits.
    ProjectionInt4 = 137,
    /// [`OpKind::Linear`] with a bitmap of the weights that are not zero.
    LinearSparse = 193,
    /// [`OpKind::Conv`] with a bitmap of the weights that are not zero.
    ConvSparse = 195,
    /// [`OpKind::Lut`] with a table that is stored as steps.
    LutSteps = 29,
    /// Sum of three tensors of one shape.
    Sum3 = 28,
    /// [`OpKind::Sum3`] with a 16-bit input or output.
    Sum3_16 = 92,
}

impl OpKind {
    /// All kinds.
    pub const ALL: &'static [OpKind] = &[
        Self::Linear,
        Self::Lut,
        Self::LutSteps,
        Self::Conv,
        Self::Depthwise,
        Self::Add,
        Self::Mul,
        Self::Join,
        Self::Move,
        Self::LayerNorm,
        Self::Softmax,
        Self::Shuffle,
        Self::ConvPart,
        Self::LinearPart,
        Self::LinearTurned,
        Self::ConvTranspose,
        Self::MaxPool,
        Self::AveragePool,
        Self::MatMul,
        Self::Projection,
        Self::Embedding,
        Self::Attention,
        Self::Linear16,
        Self::Conv16,
        Self::Depthwise16,
        Self::ConvTranspose16,
        Self::MaxPool16,
        Self::AveragePool16,
        Self::MatMul16,
        Self::Projection16,
        Self::Div,
        Self::Requantize,
        Self::GroupNorm,
        Self::L2Norm,
        Self::Reduce,
        Self::Gather,
        Self::Resize,
        Self::Gram,
        Self::CosineSoftmax,
        Self::Feed,
        Self::Lut16,
        Self::Add16,
        Self::Mul16,
        Self::Div16,
        Self::Softmax16,
        Self::LayerNorm16,
        Self::GroupNorm16,
        Self::L2Norm16,
        Self::Reduce16,
        Self::Resize16,
        Self::LinearInt4,
        Self::ConvInt4,
        Self::ProjectionInt4,
        Self::LinearSparse,
        Self::ConvSparse,
        Self::Sum3,
        Self::Sum3_16,
    ];

    /// The kind with this code.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| *kind as u16 == code)
    }
}

/// One operator family member: all that a plan, a planner and a session need to know of it.
pub trait Kernel {
    /// The kind that it implements.
    const KIND: OpKind;

    /// Whether operands and parameters go together. After this, [`Kernel::run`] reads and writes within its operands.
    ///
    /// # Errors
    /// What does not fit.
    fn check(operator: &Operator<'_>) -> Result<(), Fault>;

    /// Bytes of scratch memory that a run needs.
    fn scratch(_operator: &Operator<'_>) -> usize {
        0
    }

    /// How far behind the start of input `input` the output may begin, in bytes, when the two share memory: the run is
    /// right whenever `output.offset - input.offset <= reach`. None when they must not share any.
    fn reach(_operator: &Operator<'_>, _input: usize) -> Option<isize> {
        None
    }

    /// Multiply-accumulates of one run at the bound.
    fn macs(_operator: &Operator<'_>) -> u64 {
        0
    }

    /// Computes the output.
    fn run(run: &Run<'_>);
}

/// A verified operator at work: windows on its operands.
pub struct Run<'r> {
    pub(crate) operator: Operator<'r>,
    pub(crate) lease: &'r Lease<'r>,
    pub(crate) rows: Rows,
    pub(crate) backend: Backend,
    /// Bytes of the scratch memory that channels in short form take ([`short_channels`]).
    pub(crate) reserved: usize,
}

impl<'r> Run<'r> {
    /// The operator.
    pub fn operator(&self) -> &Operator<'r> {
        &self.operator
    }

    /// Rows present in dimensions that vary.
    pub fn rows(&self) -> Rows {
        self.rows
    }

    /// The instructions to use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// All of `tensor`'s elements, to read; empty for another element size than `T`'s.
    pub fn read<T: Element>(&self, tensor: &Tensor) -> In<'_, T> {
        if size_of::<T>() != tensor.dtype.size() {
            return In::new(&[]);
        }
        match tensor.place {
            Place::Data => {
                let data = self.operator.plan().section(Section::Data);
                let start = tensor.offset as usize;
                In::from_bytes(data.get(start..start + tensor.bytes()).unwrap_or(&[]))
            }
            Place::Arena | Place::State => self.write::<T>(tensor).reader(),
        }
    }

    /// All of `tensor`'s elements, to write; empty for constants.
    pub fn write<T: Element>(&self, tensor: &Tensor) -> Out<'_, T> {
        let plan = self.operator.plan();
        let base = match tensor.place {
            Place::Data => return self.lease.window(0, 0),
            Place::Arena => 0,
            Place::State => plan.tensor_bytes() + plan.scratch_bytes(),
        };
        if size_of::<T>() != tensor.dtype.size() {
            return self.lease.window(0, 0);
        }
        self.lease.window(base + tensor.offset as usize, tensor.elements())
    }

    /// All of `tensor`'s bytes, to read.
    pub fn read_bytes(&self, tensor: &Tensor) -> In<'_, u8> {
        match tensor.dtype.size() {
            1 => self.read(tensor),
            2 => self.read::<u16>(tensor).cast(),
            _ => self.read::<u32>(tensor).cast(),
        }
    }

    /// All of `tensor`'s bytes, to write; empty for constants.
    pub fn write_bytes(&self, tensor: &Tensor) -> Out<'_, u8> {
        match tensor.dtype.size() {
            1 => self.write(tensor),
            2 => self.write::<u16>(tensor).cast(),
            _ => self.write::<u32>(tensor).cast(),
        }
    }

    /// `count` elements of the operator's scratch memory from byte `offset` on.
    pub fn scratch<T: Element>(&self, offset: usize, count: usize) -> Out<'_, T> {
        self.lease.window(self.operator.plan().tensor_bytes() + self.reserved + offset, count)
    }
}

/// A set of operators, known when the firmware is built.
pub trait OpSet: Sized {
    /// Room for groups of operators that run in strips (see [`crate::plan::strips`]).
    type Strips: Room;

    /// Whether there is any.
    const STRIPS: bool = Self::Strips::OPERATORS > 0;

    /// Whether plans may have a front end for text or events.
    const FRONT_END: bool;

    /// Whether operators may have their channels in short form (see [`short_channels`]).
    const SHORT_CHANNELS: bool;

    /// Whether plans may keep state from run to run.
    const STATES: bool;

    /// The one plan that the set is for, when the host verified it: a device then compares checksums and has no checks linked. None for
    /// any plan, verified where it is loaded.
    const VERIFIED: Option<Verified<Self>>;

    /// Shows `visitor` the kernel of `kind`; none when it is not in the set.
    fn visit<V: Visitor>(kind: OpKind, visitor: V) -> Option<V::Answer>;
}

/// Something to do with the kernel of an operator.
pub trait Visitor {
    /// What comes out.
    type Answer;

    /// Called with the kernel that was asked for.
    fn kernel<K: Kernel>(self) -> Self::Answer;
}

/// Makes a type that stands for a set of operators, so that only these are linked:
///
/// ```
/// mixel_core::op_set! {
///     /// What a small perceptron needs.
///     pub struct Perceptron: Linear, Lut;
/// }
///
/// mixel_core::op_set! {
///     /// What an image model needs that runs in strips of rows.
///     pub struct Image: Conv, Depthwise, Linear;
///     strips: true;
///     front_end: false;
///     short_channels: false;
///     states: false;
/// }
/// ```
///
/// `strips: 12;` says how many operators run in strips together at most, and so what stack that takes (`mixel compile --ops-rs` writes it
/// from the plan); `true` stands for as many as there may be. Without these lines there are no strips, and front ends, channels in short form and states are linked. A last line `verified: unsafe
/// 0x1234ABCD;` says that the set is for the one plan with that checksum, which was verified elsewhere: whoever writes it vouches for
/// that and for whom it gets plans from, as [`Verified::by_checksum`](crate::plan::Verified::by_checksum) asks. `mixel compile --ops-rs` does.
#[macro_export]
macro_rules! op_set {
    (@first $value:literal $($default:literal)?) => { $value };
    (@operators true $($default:tt)?) => { $crate::plan::strips::MAX_OPERATORS };
    (@operators false $($default:tt)?) => { 0 };
    (@operators $count:literal $($default:tt)?) => { $count };
    (
        $(#[$attribute:meta])* $visibility:vis struct $name:ident: $($kernel:ident),* $(,)?;
        $(strips: $strips:tt;)?
        $(front_end: $front_end:literal;)?
        $(short_channels: $short:literal;)?
        $(states: $states:literal;)?
        $(verified: unsafe $checksum:literal;)?
    ) => {
        $(#[$attribute])*
        $visibility struct $name;

        impl $crate::kernels::OpSet for $name {
            type Strips = $crate::plan::strips::UpTo<{ $crate::op_set!(@operators $($strips)? false) }>;
            const FRONT_END: bool = $crate::op_set!(@first $($front_end)? true);
            const SHORT_CHANNELS: bool = $crate::op_set!(@first $($short)? true);
            const STATES: bool = $crate::op_set!(@first $($states)? true);
            const VERIFIED: Option<$crate::plan::Verified<Self>> = $crate::__verified!($($checksum)?);

            fn visit<V: $crate::kernels::Visitor>(
                kind: $crate::kernels::OpKind,
                visitor: V,
            ) -> Option<V::Answer> {
                match kind {
                    $(<$crate::kernels::$kernel as $crate::kernels::Kernel>::KIND => Some(visitor.kernel::<$crate::kernels::$kernel>()),)*
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }
        }
    };
}

op_set! {
    /// Every operator of this crate.
    pub struct All: Linear, Lut, Lut16, Add, Add16, Mul, Mul16, Div, Div16, Requantize,
        Softmax, Softmax16, LayerNorm, LayerNorm16, GroupNorm, GroupNorm16, L2Norm, L2Norm16, Reduce, Reduce16, Move,
        Gather, Resize, Resize16, Gram, CosineSoftmax, Feed, Join, Shuffle, Conv, ConvPart, LinearPart, LinearTurned, Depthwise, ConvTranspose, MaxPool, AveragePool, MatMul, Projection, Embedding, Attention,
        Linear16, Conv16, Depthwise16, ConvTranspose16, MaxPool16, AveragePool16, MatMul16, Projection16,
        LinearInt4, ConvInt4, ProjectionInt4, LinearSparse, ConvSparse, Sum3, Sum3_16, LutSteps;
    strips: true;
}

struct Check<'a, 'p>(&'a Operator<'p>);

impl Visitor for Check<'_, '_> {
    type Answer = Result<usize, Fault>;

    fn kernel<K: Kernel>(self) -> Self::Answer {
        K::check(self.0)?;
        check_aliasing(self.0, K::reach)?;
        Ok(K::scratch(self.0))
    }
}

/// Not generic: once in the flash, not once a kernel.
#[inline(never)]
fn check_aliasing(
    operator: &Operator<'_>,
    reach: fn(&Operator<'_>, usize) -> Option<isize>,
) -> Result<(), Fault> {
    for o in 0..operator.outputs as usize {
        let output = operator.output(o)?;
        for other in 0..o {
            if shared(&output, &operator.output(other)?) {
                return Err(Fault::Aliasing);
            }
        }
        for i in 0..operator.inputs as usize {
            let input = operator.input(i)?;
            let distance = output.offset as isize - input.offset as isize;
            if shared(&output, &input) && reach(operator, i).is_none_or(|reach| distance > reach) {
                return Err(Fault::Aliasing);
            }
        }
    }
    Ok(())
}

/// Whether two tensors share memory.
pub(crate) fn shared(a: &Tensor, b: &Tensor) -> bool {
    let (a_start, b_start) = (a.offset as usize, b.offset as usize);
    a.place == b.place && a_start < b_start + b.bytes() && b_start < a_start + a.bytes()
}

/// Checks one operator: the scratch bytes that it needs, or what is wrong; none when `O` does not have it.
///
/// Out of line, so that the checks of all operators are linked once.
#[inline(never)]
pub(crate) fn check<O: OpSet>(operator: &Operator<'_>) -> Option<Result<usize, Fault>> {
    if !O::SHORT_CHANNELS {
        return O::visit(operator.kind, Check(operator));
    }
    let (operator, reserved) = match short_channels::checked(operator) {
        Ok(checked) => checked,
        Err(fault) => return Some(Err(fault)),
    };
    let needed = O::visit(operator.kind, Check(&operator))?;
    Some(needed.map(|scratch| scratch + reserved))
}

/// What the host's planner asks of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Scratch bytes.
    pub scratch: usize,
    /// Multiply-accumulates at the bound.
    pub macs: u64,
    /// For every input, how far behind its start the output may begin; none for no sharing. See [`Kernel::reach`].
    pub reach: [Option<isize>; crate::plan::operator::MAX_OPERANDS],
}

struct Ask<'a, 'p>(&'a Operator<'p>);

impl Visitor for Ask<'_, '_> {
    type Answer = Result<Needs, Fault>;

    fn kernel<K: Kernel>(self) -> Self::Answer {
        K::check(self.0)?;
        let mut reach = [None; crate::plan::operator::MAX_OPERANDS];
        for (input, reach) in reach.iter_mut().enumerate().take(self.0.inputs as usize) {
            *reach = K::reach(self.0, input);
        }
        Ok(Needs { scratch: K::scratch(self.0), macs: K::macs(self.0), reach })
    }
}

/// Whether this machine has the loops that lean kernels are left with: those of the Arm DSP layout.
pub const LOOPS: bool = cfg!(all(mixel_dsp, not(mixel_helium)));

/// Whether the kernel of the operator's kind that is without the common ways takes it: [`LinearLean`], [`ConvLean`],
/// [`LinearPartLean`], [`ConvPartLean`], [`LinearTurnedLean`], [`DepthwiseLean`] and [`AttentionLean`] have nothing but the
/// loops of the Arm DSP layout, [`SoftmaxLean`] goes along the last axis only, with all entries of its table where loops take
/// them. In an operator set they stand for their kind if every operator of the plan is one for them; the check of a plan with
/// others refuses it ([`Fault::Lean`]).
pub fn lean(operator: &Operator<'_>) -> bool {
    match operator.kind {
        OpKind::Linear | OpKind::LinearPart => linear::lean::<matrix::LeanInPart>(operator),
        OpKind::LinearTurned => turned::lean::<matrix::Lean>(operator),
        OpKind::Conv | OpKind::ConvPart => conv::lean::<matrix::LeanInPart>(operator),
        OpKind::Depthwise => depthwise::lean(operator),
        OpKind::Softmax => softmax::lean(operator),
        OpKind::Attention => attention::lean(operator),
        _ => false,
    }
}

/// Memory and work of an operator of a plan that may still be a draft (operands without their final offsets).
///
/// # Errors
/// What is wrong with its operands or parameters.
pub fn needs(operator: &Operator<'_>) -> Result<Needs, Fault> {
    let (operator, reserved) = short_channels::checked(operator)?;
    let needs = All::visit(operator.kind, Ask(&operator)).unwrap_or(Err(Fault::Code))?;
    Ok(Needs { scratch: needs.scratch + reserved, ..needs })
}

pub(crate) struct Execute<'r>(pub Run<'r>);

impl Visitor for Execute<'_> {
    type Answer = ();

    fn kernel<K: Kernel>(self) {
        K::run(&self.0);
    }
}
