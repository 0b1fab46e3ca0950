//! The element types that an operator is built for. The 8-bit and the 16-bit form of an operator are two kinds, so that
//! firmware for an int8 model does not carry the other one; they share their source through [`Width`].

use super::Run;
use super::nest::check_broadcast;
use super::requant::{Clamp, Quantized};
use crate::arch::view::{In, Out};
use crate::plan::{DType, Fault, Operator, Tensor};

/// Which types the operands have.
pub trait Width: 'static {
    /// Whether 16-bit operands are allowed.
    const WIDE: bool;
    /// An input.
    type Source<'a>: Source;
    /// An output.
    type Sink<'a>: Sink;

    /// Whether `dtype` is one of them.
    fn takes(dtype: DType) -> bool {
        dtype == DType::I8 || (Self::WIDE && dtype == DType::I16)
    }

    /// The elements of `tensor`, to read.
    fn read<'a>(run: &'a Run<'_>, tensor: &Tensor) -> Self::Source<'a>;

    /// The elements of `tensor`, to write.
    fn write<'a>(run: &'a Run<'_>, tensor: &Tensor) -> Self::Sink<'a>;
}

/// int8 on every side.
pub struct Bits8;
/// Any of int8 and int16 on every side.
pub struct Bits16;

/// Elements to read as wide integers.
pub trait Source: Copy {
    /// Element `index`, or zero outside.
    fn get(&self, index: usize) -> i32;
    /// As [`In::window`].
    fn window(&self, start: usize, len: usize) -> Self;
    /// Number of elements.
    fn elements(&self) -> usize;
    /// The elements as they are, if they have 8 bits.
    fn narrow(&self) -> Option<In<'_, i8>>;
}

/// Elements to write from integers in range.
pub trait Sink: Copy {
    /// Stores the low bits of `value` at `index`; nothing happens outside.
    fn set(&self, index: usize, value: i32);
    /// As [`Out::window`].
    fn window(&self, start: usize, len: usize) -> Self;
    /// Number of elements.
    fn elements(&self) -> usize;
    /// The elements as they are, if they have 8 bits.
    fn narrow(&self) -> Option<Out<'_, i8>>;
}

impl<T: Quantized> Source for In<'_, T> {
    #[inline(always)]
    fn get(&self, index: usize) -> i32 {
        In::get(self, index).wide()
    }

    #[inline(always)]
    fn window(&self, start: usize, len: usize) -> Self {
        In::window(self, start, len)
    }

    #[inline(always)]
    fn elements(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn narrow(&self) -> Option<In<'_, i8>> {
        (size_of::<T>() == 1).then(|| self.cast())
    }
}

impl<T: Quantized> Sink for Out<'_, T> {
    #[inline(always)]
    fn set(&self, index: usize, value: i32) {
        Out::set(self, index, T::narrow(value));
    }

    #[inline(always)]
    fn window(&self, start: usize, len: usize) -> Self {
        Out::window(self, start, len)
    }

    #[inline(always)]
    fn elements(&self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn narrow(&self) -> Option<Out<'_, i8>> {
        (size_of::<T>() == 1).then(|| self.cast())
    }
}

/// One of two types, told apart at every access.
#[derive(Clone, Copy)]
pub enum Either<A, B> {
    /// 8 bits.
    Narrow(A),
    /// 16 bits.
    Wide(B),
}

impl<A: Source, B: Source> Source for Either<A, B> {
    #[inline(always)]
    fn get(&self, index: usize) -> i32 {
        match self {
            Self::Narrow(source) => source.get(index),
            Self::Wide(source) => source.get(index),
        }
    }

    #[inline(always)]
    fn window(&self, start: usize, len: usize) -> Self {
        match self {
            Self::Narrow(source) => Self::Narrow(source.window(start, len)),
            Self::Wide(source) => Self::Wide(source.window(start, len)),
        }
    }

    #[inline(always)]
    fn elements(&self) -> usize {
        match self {
            Self::Narrow(source) => source.elements(),
            Self::Wide(source) => source.elements(),
        }
    }

    #[inline(always)]
    fn narrow(&self) -> Option<In<'_, i8>> {
        match self {
            Self::Narrow(source) => source.narrow(),
            Self::Wide(source) => source.narrow(),
        }
    }
}

impl<A: Sink, B: Sink> Sink for Either<A, B> {
    #[inline(always)]
    fn set(&self, index: usize, value: i32) {
        match self {
            Self::Narrow(sink) => sink.set(index, value),
            Self::Wide(sink) => sink.set(index, value),
        }
    }

    #[inline(always)]
    fn window(&self, start: usize, len: usize) -> Self {
        match self {
            Self::Narrow(sink) => Self::Narrow(sink.window(start, len)),
            Self::Wide(sink) => Self::Wide(sink.window(start, len)),
        }
    }

    #[inline(always)]
    fn elements(&self) -> usize {
        match self {
            Self::Narrow(sink) => sink.elements(),
            Self::Wide(sink) => sink.elements(),
        }
    }

    #[inline(always)]
    fn narrow(&self) -> Option<Out<'_, i8>> {
        match self {
            Self::Narrow(sink) => sink.narrow(),
            Self::Wide(sink) => sink.narrow(),
        }
    }
}

impl Width for Bits8 {
    const WIDE: bool = false;
    type Source<'a> = In<'a, i8>;
    type Sink<'a> = Out<'a, i8>;

    fn read<'a>(run: &'a Run<'_>, tensor: &Tensor) -> In<'a, i8> {
        run.read(tensor)
    }

    fn write<'a>(run: &'a Run<'_>, tensor: &Tensor) -> Out<'a, i8> {
        run.write(tensor)
    }
}

impl Width for Bits16 {
    const WIDE: bool = true;
    type Source<'a> = Either<In<'a, i8>, In<'a, i16>>;
    type Sink<'a> = Either<Out<'a, i8>, Out<'a, i16>>;

    fn read<'a>(run: &'a Run<'_>, tensor: &Tensor) -> Self::Source<'a> {
        if tensor.dtype == DType::I16 {
            Either::Wide(run.read(tensor))
        } else {
            Either::Narrow(run.read(tensor))
        }
    }

    fn write<'a>(run: &'a Run<'_>, tensor: &Tensor) -> Self::Sink<'a> {
        if tensor.dtype == DType::I16 {
            Either::Wide(run.write(tensor))
        } else {
            Either::Narrow(run.write(tensor))
        }
    }
}

/// The input and the output of an operator on types of `W` that gives one output an input.
///
/// # Errors
/// [`Fault::Operands`], [`Fault::Types`], or [`Fault::Shapes`] when their shapes differ.
pub(super) fn check_unary<W: Width>(operator: &Operator<'_>) -> Result<(Tensor, Tensor), Fault> {
    let (x, y) = operator.unary()?;
    if !W::takes(x.dtype) || !W::takes(y.dtype) {
        return Err(Fault::Types);
    }
    if (x.dims, x.dynamic) == (y.dims, y.dynamic) { Ok((x, y)) } else { Err(Fault::Shapes) }
}

/// The inputs and the output of an operator on types of `W` that repeats its inputs to the shape of its output.
///
/// # Errors
/// As [`check_unary`].
pub(super) fn check_binary<W: Width>(operator: &Operator<'_>) -> Result<(Tensor, Tensor, Tensor), Fault> {
    let (a, b, y) = operator.binary()?;
    if !W::takes(a.dtype) || !W::takes(b.dtype) || !W::takes(y.dtype) {
        return Err(Fault::Types);
    }
    check_broadcast(&a, &y)?;
    check_broadcast(&b, &y)?;
    Ok((a, b, y))
}

/// Whether the range of `clamp` is one of `output`'s type and not empty.
pub(super) fn check_clamp(clamp: Clamp, output: &Tensor) -> Result<(), Fault> {
    let (low, high) = output.dtype.range();
    if low <= clamp.min && clamp.min <= clamp.max && clamp.max <= high { Ok(()) } else { Err(Fault::Params) }
}

/// Sets every element of the output that is present to `function` of the input's; the shapes are the same.
#[inline(always)]
pub(super) fn map<W: Width>(run: &Run<'_>, function: impl Fn(i32) -> i32) {
    let Ok((input, output)) = run.operator().unary() else { return };
    let (x, y) = (W::read(run, &input), W::write(run, &output));
    let inner = input.inner();
    for (first, count) in input.row_spans(run.rows()) {
        let (x, y) = (x.window(first * inner, count * inner), y.window(first * inner, count * inner));
        for index in 0..x.elements().min(y.elements()) {
            y.set(index, function(x.get(index)));
        }
    }
}
