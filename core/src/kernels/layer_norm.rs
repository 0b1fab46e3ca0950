//! Layer normalisation over the last axis: `y = (x - mean) / sqrt(var + epsilon) * gamma + beta` in integers, from the
//! exact variance, rounded once at the end (docs/numerics.md).

use core::marker::PhantomData;

use super::fixed::{high, reciprocal_root};
use super::nest::elementwise_reach;
use super::requant::{Clamp, Scale, round_shift, round_shift32};
use super::width::{Bits8, Bits16, Sink, Source, Width, check_clamp, check_unary};
use super::{Kernel, OpKind, Run};
use crate::arch::Backend;
use crate::arch::normal;
use crate::arch::view::In;
use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Tensor};

/// The operator on the types of `W`.
pub struct LayerNormOf<W>(PhantomData<W>);
/// The operator on int8.
pub type LayerNorm = LayerNormOf<Bits8>;
/// The operator on any of int8 and int16.
pub type LayerNorm16 = LayerNormOf<Bits16>;

/// The parameters of [`super::OpKind::LayerNorm`], [`super::OpKind::GroupNorm`] and their 16-bit variants as the plan
/// stores them. `n` is the number of elements that share a mean: the last dimension, or positions times channels of one
/// group; at most 2^22 for 8-bit input and 2^14 for 16-bit input.
///
/// With `c = n * x - sum(x)` and `v = n * sum(x^2) - sum(x)^2`, the normalised value is
/// `z = c / sqrt(v + n^2 * epsilon)`; it lies within the square root of n. The output is
/// `clamp(zy + round((z * gamma + beta) / 2^shift))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormParams {
    /// Groups of channels; 1 for LayerNorm.
    pub groups: u16,
    /// `epsilon / scale_x^2`, multiplier not negative; multiplier 0 for none.
    pub epsilon: Scale,
    /// Fraction bits of `v`: even, the most for which `(2^k + epsilon / scale_x^2) * n^2 * 2^fraction` stays below 2^62,
    /// but at most 40, where k is 14 for 8-bit and 30 for 16-bit input.
    pub fraction: u8,
    /// i32 a channel: `round(gamma / scale_y * 2^(shift + 32 - q))`, where `q` is [`z_bits`]`(n)`.
    pub gamma: Constant,
    /// i32 a channel: `round(beta / scale_y * 2^shift)`, within +-2^30.
    pub beta: Constant,
    /// Fraction bits before the last rounding, 1 to 30: the most for which all gammas are below 2^31 and all betas within
    /// +-2^30.
    pub shift: u8,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

/// Fraction bits of the normalised value when `n` elements share a mean: all that a 32-bit integer has room for.
pub const fn z_bits(n: usize) -> u8 {
    28u32.saturating_sub(bits(n).div_ceil(2)) as u8
}

impl NormParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.epsilon
            .encode(write::Params::new().u16(self.groups))
            .u8(self.fraction)
            .constant(self.gamma.offset, self.gamma.count)
            .constant(self.beta.offset, self.beta.count)
            .u8(self.shift)
            .range(self.min, self.max)
    }

    pub(super) fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let mut params = Self {
            groups: cursor.short(),
            epsilon: Scale::read(&mut cursor),
            fraction: cursor.u8(),
            gamma: Constant::read(&mut cursor),
            beta: Constant::read(&mut cursor),
            shift: cursor.u8(),
            min: 0,
            max: 0,
        };
        (params.min, params.max) = cursor.range();
        cursor.finished().then_some(params)
    }
}

/// Bits that bound the variance of a type: 2^14 for 8 and 2^30 for 16 bits.
fn variance_bits(dtype: DType) -> u32 {
    if dtype == DType::I16 { 30 } else { 14 }
}

/// `ceil(log2(n))`.
const fn bits(n: usize) -> u32 {
    usize::BITS - n.saturating_sub(1).leading_zeros()
}

/// Checks everything that LayerNorm and GroupNorm have in common; `n` elements share a mean.
pub(super) fn check_norm<W: Width>(operator: &Operator<'_>, n: usize) -> Result<(), Fault> {
    let (x, y) = check_unary::<W>(operator)?;
    if x.dynamic & 0b1000 != 0 {
        return Err(Fault::Dynamic);
    }
    let params = NormParams::read(operator.params()).ok_or(Fault::Params)?;
    let variance = variance_bits(x.dtype);
    let fits = bits(n) <= if variance == 14 { 22 } else { 14 }
        && 2 * bits(n) + variance + params.fraction as u32 <= 62
        && params.fraction.is_multiple_of(2)
        && (1..=30).contains(&params.shift)
        && params.epsilon.valid()
        && params.epsilon.multiplier >= 0;
    if !fits {
        return Err(Fault::Params);
    }
    let (gamma, beta) = (operator.slice::<i32>(params.gamma), operator.slice::<i32>(params.beta));
    let bounded = |index| beta.get(index).unsigned_abs() <= 1 << 30;
    if (gamma.len(), beta.len()) != (x.inner(), x.inner()) || !(0..beta.len()).all(bounded) {
        return Err(Fault::Constants);
    }
    check_clamp(Clamp { zero_point: y.zero_point, min: params.min, max: params.max }, &y)
}

/// Elements that share a mean, gathered one by one.
#[derive(Clone, Copy, Default)]
pub(super) struct Moments {
    sum: i32,
    squares: i64,
}

impl Moments {
    /// Those of all elements of `x`.
    #[inline(always)]
    fn of(x: impl Source) -> Self {
        if let Some((sum, squares)) = x.narrow().and_then(normal::moments) {
            return Self { sum, squares: squares as i64 };
        }
        let mut moments = Self::default();
        (0..x.elements()).for_each(|index| moments.add(x.get(index)));
        moments
    }

    #[inline(always)]
    pub fn add(&mut self, x: i32) {
        self.sum = self.sum.wrapping_add(x);
        self.squares = self.squares.wrapping_add((x * x) as i64);
    }

    /// The standard form of `n` elements with these moments.
    pub fn standard(self, n: usize, params: &NormParams, z_bits: u8) -> Standard {
        self.with(n, scaled_square(n as u64, params.epsilon, params.fraction), params, z_bits)
    }

    /// As [`Moments::standard`], with what `epsilon` is for `n` elements.
    fn with(self, n: usize, epsilon: u64, params: &NormParams, z_bits: u8) -> Standard {
        self.standard_of(n, epsilon, params.fraction, z_bits)
    }

    #[inline(always)]
    fn standard_of(self, n: usize, epsilon: u64, fraction: u8, z_bits: u8) -> Standard {
        let (count, sum) = (n as i64, self.sum as i64);
        let variance = count.wrapping_mul(self.squares).wrapping_sub(sum.wrapping_mul(sum));
        let variance = (variance as u64).wrapping_shl(fraction as u32);
        Standard::new(n as i32, self.sum, variance.wrapping_add(epsilon), fraction, z_bits)
    }
}

/// What [`normal::affine`] takes, of a row with this sum and sum of squares.
#[cfg(all(mixel_vectors, not(miri)))]
pub(crate) fn standard((sum, squares): (i32, i32), rows: &normal::Rows<'_>) -> [i32; 3] {
    let moments = Moments { sum, squares: squares as i64 };
    moments.standard_of(rows.n, rows.epsilon, rows.fraction, rows.z_bits).pack()
}

/// `count^2 * factor * 2^fraction`, at most 2^62, right to 30 bits; `count` is below 2^32.
fn scaled_square(count: u64, factor: Scale, fraction: u8) -> u64 {
    let square = count.wrapping_mul(count).max(1);
    let leading = square.leading_zeros() as i32;
    // square = top * 2^(32 - leading)
    let product = (square << leading >> 32) * factor.multiplier.max(0) as u64;
    let exponent = 32 - leading + fraction as i32 - factor.shift as i32;
    let most = 1 << 62;
    match exponent {
        0.. if exponent < product.leading_zeros() as i32 => (product << exponent).min(most),
        0.. => most.min(product.saturating_mul(most)),
        _ => product.checked_shr(exponent.unsigned_abs()).unwrap_or(0).min(most),
    }
}

/// `z = (n * x - sum) / sqrt(d)` for every x, as two products: the shift that makes `n * x - sum` fill 32 bits is in its
/// parts, which may wrap where it does not.
#[derive(Clone, Copy)]
pub(super) struct Standard {
    count: i32,
    sum: i32,
    inverse: i32,
}

impl Standard {
    /// `square` is `d * 2^fraction`; z gets `z_bits` fraction bits. |z| is at most the square root of n, as it is by its
    /// meaning, so `n * x - sum` shifted stays within +-2^30.
    pub fn new(n: i32, sum: i32, square: u64, fraction: u8, z_bits: u8) -> Self {
        let (inverse, exponent) = reciprocal_root(square);
        // inverse = 2^(exponent + fraction / 2) / sqrt(d), and the high half of a product is 2^32 less. Where the sum
        // is too large to be shifted up (far more than 2^10 elements), the inverse has bits to spare.
        let shift = 32 + z_bits as i32 - exponent as i32 + fraction as i32 / 2;
        let (left, right) = (shift.clamp(0, 31) as u32, (-shift).clamp(0, 31) as u32);
        Self { count: n.wrapping_shl(left), sum: sum.wrapping_shl(left), inverse: inverse >> right }
    }

    /// z of one element.
    #[inline(always)]
    pub fn apply(self, x: i32) -> i32 {
        high(self.count.wrapping_mul(x).wrapping_sub(self.sum), self.inverse)
    }

    /// To three words of scratch memory.
    pub fn pack(self) -> [i32; 3] {
        [self.count, self.sum, self.inverse]
    }

    /// Back from [`Standard::pack`].
    #[inline(always)]
    pub fn unpack([count, sum, inverse]: [i32; 3]) -> Self {
        Self { count, sum, inverse }
    }
}

/// The last step of a normalisation: gain and offset of every channel.
#[derive(Clone, Copy)]
pub(super) struct Affine<'p> {
    backend: Backend,
    gamma: In<'p, i32>,
    beta: In<'p, i32>,
    shift: u8,
    clamp: Clamp,
}

impl<'p> Affine<'p> {
    pub fn new(run: &Run<'p>, params: &NormParams, output: &Tensor) -> Self {
        let operator = run.operator();
        Self {
            backend: run.backend(),
            gamma: operator.slice(params.gamma),
            beta: operator.slice(params.beta),
            shift: params.shift,
            clamp: Clamp { zero_point: output.zero_point, min: params.min, max: params.max },
        }
    }

    /// The channels from `first` on, at most `count` of them.
    #[inline(always)]
    pub fn window(&self, first: usize, count: usize) -> Self {
        Self { gamma: self.gamma.window(first, count), beta: self.beta.window(first, count), ..*self }
    }

    /// Sets `y` to the normalised `x`, one element a channel.
    #[inline(always)]
    pub fn map(&self, standard: Standard, x: impl Source, y: impl Sink) {
        if let (Some(x), Some(y)) = (x.narrow(), y.narrow()) {
            let Self { backend, gamma, beta, shift, clamp } = *self;
            let row = normal::Affine { backend, gamma, beta, shift, clamp, standard: standard.pack() };
            if normal::affine(x, y, &row) {
                return;
            }
        }
        let channels = self.gamma.len().min(self.beta.len());
        for channel in 0..x.elements().min(y.elements()).min(channels) {
            y.set(channel, self.apply(channel, standard.apply(x.get(channel))));
        }
    }

    /// Output of a channel from its z. |z| < 2^28, so the sum stays below 2^27 + 2^30 + 2^29.
    #[inline(always)]
    fn apply(&self, channel: usize, z: i32) -> i32 {
        let value = high(z, self.gamma.get(channel)).wrapping_add(self.beta.get(channel));
        self.clamp.limit32(round_shift32(value, self.shift))
    }
}

impl<W: Width> Kernel for LayerNormOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::LayerNorm16 } else { OpKind::LayerNorm };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        check_norm::<W>(operator, operator.input(0)?.inner())
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = NormParams::read(run.operator().params()) else { return };
        let affine = Affine::new(run, &params, &output);
        let (x, y) = (W::read(run, &input), W::write(run, &output));
        let n = input.inner();
        let (z_bits, epsilon) = (z_bits(n), scaled_square(n as u64, params.epsilon, params.fraction));
        let Affine { backend, gamma, beta, shift, clamp } = affine;
        let rows = normal::Rows {
            backend,
            n,
            gamma,
            beta,
            shift,
            clamp,
            epsilon,
            fraction: params.fraction,
            z_bits,
        };
        for (first, count) in input.row_spans(run.rows()) {
            let (span_x, span_y) = (x.window(first * n, count * n), y.window(first * n, count * n));
            let done = match (span_x.narrow(), span_y.narrow()) {
                (Some(x), Some(y)) => normal::rows(x, y, &rows),
                _ => 0,
            };
            for row in first + done..first + count {
                let (x, y) = (x.window(row * n, n), y.window(row * n, n));
                let moments = Moments::of(x);
                affine.map(moments.with(n, epsilon, &params, z_bits), x, y);
            }
        }
    }
}

/// The specification, for the elements `x` that share a mean, at most `bound` of them: element i belongs to channel
/// `channel(i)`, which indexes `gamma` and `beta`.
pub fn reference(
    x: &[i32],
    bound: usize,
    channel: impl Fn(usize) -> usize,
    (gamma, beta): (&[i32], &[i32]),
    params: &NormParams,
    clamp: Clamp,
    y: &mut [i32],
) {
    let (n, sum) = (x.len() as i128, x.iter().map(|&x| x as i128).sum::<i128>());
    let squares: i128 = x.iter().map(|&x| x as i128 * x as i128).sum();
    let epsilon = scaled_square(x.len() as u64, params.epsilon, params.fraction);
    let square = ((n * squares - sum * sum) << params.fraction) + epsilon as i128;
    let (inverse, exponent) = reciprocal_root(square as u64);
    let shift = 32 + z_bits(bound) as i32 + params.fraction as i32 / 2 - exponent as i32;
    for (index, (&x, y)) in x.iter().zip(y).enumerate() {
        let centred = (n * x as i128 - sum) << shift.max(0);
        let z = (centred * (inverse >> (-shift).max(0)) as i128) >> 32;
        let value = ((z * gamma[channel(index)] as i128) >> 32) + beta[channel(index)] as i128;
        *y = clamp.limit(round_shift(value as i64, params.shift));
    }
}
