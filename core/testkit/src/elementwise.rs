//! Cases of sums, products, quotients, tables and changes of quantization.

use mixel_core::kernels::add::{self, AddParams};
use mixel_core::kernels::lut::{Lut16Params, LutParams, reference, reference16};
use mixel_core::kernels::lut_steps::{self, LutStepsParams};
use mixel_core::kernels::requant::{Quantized, Scale};
use mixel_core::kernels::requantize::{self, RescaleParams};
use mixel_core::kernels::sum3::{self, Sum3Params};
use mixel_core::kernels::{OpKind, div, mul};
use mixel_core::pack::Layout;
use mixel_core::plan::write::Constant;

use crate::bench::{narrowed, widened};
use crate::linear::Activation;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Shapes of the two operands; the output has the larger of every dimension. And rows present in dimension 2, if they vary.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// First operand.
    pub a: [usize; 4],
    /// Second operand.
    pub b: [usize; 4],
    /// Rows present of dimension 2, which varies in all operands that have it.
    pub present: Option<usize>,
}

/// Runs one case of the operator `kind` (of Add, Mul and Div, or their 16-bit forms) on types `X`, `X` to `Y`.
///
/// # Errors
/// What went wrong first.
pub fn check<X: Activation, Y: Activation>(
    case: Case,
    kind: OpKind,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let dims: [usize; 4] = core::array::from_fn(|axis| case.a[axis].max(case.b[axis]));
    let zeros = core::array::from_fn(|_| random.range(-128, 127));
    let [mut a, mut b] =
        [(case.a, zeros[0]), (case.b, zeros[1])].map(|(dims, zero)| tensor(X::DTYPE, dims, zero));
    let mut output = tensor(Y::DTYPE, dims, zeros[2]);
    if case.present.is_some() {
        for tensor in [&mut a, &mut b, &mut output] {
            tensor.dynamic = if tensor.dims[2] > 1 { 0b0100 } else { 0 };
        }
    }
    let (left, right) = (pool.random::<X>(random, a.elements())?, pool.random::<X>(random, b.elements())?);
    let (wide_a, wide_b) =
        (repeated(&mut pool, left, case.a, dims)?, repeated(&mut pool, right, case.b, dims)?);
    let expected = pool.take::<i32>(output.elements())?;
    // Steps of input and output are about as large.
    let up = Y::MAX.ilog2() as i32 - X::MAX.ilog2() as i32;
    let (min, max) = (random.range(Y::MIN, 0), Y::MAX);
    let add = AddParams {
        a: random.range(1 << 19, 1 << 20),
        b: random.range(-(1 << 20), 1 << 20),
        shift: (20 - up) as u8,
        min,
        max,
    };
    let scale = |random: &mut Random, one: i32| Scale {
        multiplier: random.range(1 << 28, 1 << 30),
        shift: (one - up) as u8,
    };
    let (product, quotient) = (scale(random, 29 + X::MAX.ilog2() as i32), scale(random, 26));
    let factor = RescaleParams {
        scale: if matches!(kind, OpKind::Div | OpKind::Div16) { quotient } else { product },
        min,
        max,
    };
    let params = match kind {
        OpKind::Add | OpKind::Add16 => {
            add::reference(wide_a, wide_b, &add, zeros, expected);
            add.encode()
        }
        OpKind::Mul | OpKind::Mul16 => {
            mul::reference(wide_a, wide_b, &factor, zeros, expected);
            factor.encode()
        }
        _ => {
            div::reference(wide_a, wide_b, &factor, zeros, expected);
            factor.encode()
        }
    };
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let rows = case.present.map_or((0, 0), |present| (dims[2], present));
    let inputs = [(a, bytemuck::cast_slice(left)), (b, bytemuck::cast_slice(right))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows }
        .run(pool, expected, |_| Ok(params.clone()))
}

/// `values` of shape `from`, repeated to the shape `to`.
fn repeated<'m, X: Quantized>(
    pool: &mut Pool<'m>,
    values: &[X],
    from: [usize; 4],
    to: [usize; 4],
) -> Result<&'m [i32], Failure> {
    let out = pool.take::<i32>(to.into_iter().product())?;
    for (index, out) in out.iter_mut().enumerate() {
        let (mut rest, mut at, mut stride) = (index, 0, 1);
        for axis in (0..4).rev() {
            at += if from[axis] == 1 { 0 } else { rest % to[axis] * stride };
            rest /= to[axis];
            stride *= from[axis];
        }
        *out = values[at].wide();
    }
    Ok(out)
}

/// A sum of three tensors of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Three {
    /// The shape.
    pub dims: [usize; 4],
    /// Rows present of dimension 2, if it varies.
    pub present: Option<usize>,
    /// Largest factor.
    pub most: i32,
    /// The factors' common shift for an output of the inputs' type.
    pub shift: i32,
}

impl Three {
    /// An ordinary sum: results are about as large as operands.
    const fn of(dims: [usize; 4]) -> Self {
        Self { dims, present: None, most: 1 << 19, shift: 20 }
    }
}

/// Runs one case of a sum of three on types `X` to `Y`.
///
/// # Errors
/// What went wrong first.
pub fn check_sum3<X: Activation, Y: Activation>(
    case: Three,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let Three { dims, present, most, shift } = case;
    let kind = if (X::MAX, Y::MAX) == (127, 127) { OpKind::Sum3 } else { OpKind::Sum3_16 };
    let dynamic = if present.is_some() { 0b0100 } else { 0 };
    let shaped = |tensor| mixel_core::plan::Tensor { dynamic, ..tensor };
    let zeros: [i32; 3] = core::array::from_fn(|_| random.range(-128, 127));
    let zero = random.range(-128, 127);
    let inputs = zeros.map(|zero| shaped(tensor(X::DTYPE, dims, zero)));
    let output = shaped(tensor(Y::DTYPE, dims, zero));
    let (a, b, c) = (
        pool.random::<X>(random, output.elements())?,
        pool.random::<X>(random, output.elements())?,
        pool.random::<X>(random, output.elements())?,
    );
    let wide = [widened(&mut pool, a)?, widened(&mut pool, b)?, widened(&mut pool, c)?];
    let expected = pool.take::<i32>(output.elements())?;
    let up = Y::MAX.ilog2() as i32 - X::MAX.ilog2() as i32;
    let params = Sum3Params {
        factors: [most, random.range(-most, most), random.range(-most, most)],
        shift: (shift - up) as u8,
        min: random.range(Y::MIN, 0),
        max: random.range(0, Y::MAX),
    };
    sum3::reference(wide, &params, (zeros, zero), expected);
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let [of_a, of_b, of_c] = inputs;
    let inputs =
        [(of_a, bytemuck::cast_slice(a)), (of_b, bytemuck::cast_slice(b)), (of_c, bytemuck::cast_slice(c))];
    let rows = present.map_or((0, 0), |present| (dims[2], present));
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows }
        .run(pool, expected, |_| Ok(params.encode()))
}

/// Runs one case of a change of quantization.
///
/// # Errors
/// What went wrong first.
pub fn check_requantize<X: Activation, Y: Activation>(
    dims: [usize; 4],
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let zeros = [random.range(-128, 127), random.range(-128, 127)];
    let (input, output) = (tensor(X::DTYPE, dims, zeros[0]), tensor(Y::DTYPE, dims, zeros[1]));
    let x = pool.random::<X>(random, input.elements())?;
    let up = Y::MAX.ilog2() as i32 - X::MAX.ilog2() as i32;
    let scale = Scale { multiplier: random.range(1 << 29, i32::MAX), shift: (30 - up) as u8 };
    let params = RescaleParams { scale, min: Y::MIN, max: random.range(0, Y::MAX) };
    let expected = pool.take::<i32>(x.len())?;
    requantize::reference(widened(&mut pool, x)?, &params, zeros, expected);
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind: OpKind::Requantize, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |_| Ok(params.encode()),
    )
}

fn check_lut(count: usize, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let x = pool.random::<i8>(random, count)?;
    let mut table = [0i8; 256];
    table.iter_mut().for_each(|entry| *entry = random.range(-128, 127) as i8);
    let expected = pool.take::<i8>(count)?;
    reference(x, &table, expected);
    let shape = tensor(i8::DTYPE, [1, 1, 1, count], 0);
    let inputs = [(shape, bytemuck::cast_slice(x))];
    Job { kind: OpKind::Lut, layout: Layout::Generic, inputs: &inputs, output: shape, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| {
            let offset = writer.data(bytemuck::cast_slice(&table))?;
            Ok(LutParams { table: Constant { offset, count: table.len() } }.encode())
        },
    )
}

/// A table whose steps have `bits` bits.
fn check_lut_steps(count: usize, bits: u32, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let x = pool.random::<i8>(random, count)?;
    let (mut table, mut entry) = ([0i8; 256], random.range(-128, 127) as i8);
    let least = random.range(-3, 0);
    for place in &mut table {
        *place = entry;
        let step = least + random.range(0, (1 << bits) - 1);
        // Steps that would leave the range are the least in size.
        entry = i8::try_from(entry as i32 + step).unwrap_or(entry);
    }
    let expected = pool.take::<i8>(count)?;
    reference(x, &table, expected);
    let shape = tensor(i8::DTYPE, [1, 1, 1, count], 0);
    let inputs = [(shape, bytemuck::cast_slice(x))];
    let bytes = lut_steps::pack(&table, |_| ()).ok_or(Failure::Memory)?;
    Job { kind: OpKind::LutSteps, layout: Layout::Generic, inputs: &inputs, output: shape, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| {
            let offset = writer.data_with(bytes, |room| {
                let mut room = room.iter_mut();
                lut_steps::pack(&table, |byte| room.next().into_iter().for_each(|place| *place = byte));
            })?;
            Ok(LutStepsParams { steps: Constant { offset, count: bytes } }.encode())
        },
    )
}

fn check_lut16<Y: Activation>(shift: u8, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let x = pool.random::<i16>(random, 300)?;
    let mut table = [0i16; 513];
    table.iter_mut().for_each(|entry| *entry = random.range(-32768, 32767) as i16);
    let expected = pool.take::<i32>(x.len())?;
    reference16(x, &table, shift, 8 * size_of::<Y>() as u32, expected);
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let (input, output) = (tensor(i16::DTYPE, [1, 1, 3, 100], 0), tensor(Y::DTYPE, [1, 1, 3, 100], 0));
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind: OpKind::Lut16, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| {
            let offset = writer.data(bytemuck::cast_slice(&table))?;
            Ok(Lut16Params { table: Constant { offset, count: table.len() }, shift }.encode())
        },
    )
}

/// Counts around the four, sixteen and sixty-four that go at once, rows that vary, the largest factors with results that
/// saturate on both sides, and the smallest and largest shifts with and without room for the zero point in 32 bits.
fn sums_of_three(bench: &mut Bench<'_, '_>, random: &mut Random) {
    for count in [1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 131] {
        let case = Three::of([1, 1, 1, count]);
        bench.once(format_args!("Sum3 {count}"), |pool| check_sum3::<i8, i8>(case, pool, random));
    }
    let image = Three::of([1, 3, 5, 7]);
    for (most, shift) in [(1 << 21, 20), (1 << 21, 22), (1 << 21, 23), (1 << 21, 30), (1, 1), (255, 8)] {
        let case = Three { most, shift, ..image };
        bench.once(format_args!("Sum3 {most} >> {shift}"), |pool| check_sum3::<i8, i8>(case, pool, random));
    }
    for present in [0, 1, 5, 8] {
        let case = Three { present: Some(present), ..Three::of([1, 2, 8, 3]) };
        bench.once(format_args!("Sum3 {present} rows"), |pool| check_sum3::<i8, i8>(case, pool, random));
        bench.once(format_args!("Sum3_16 {present} rows"), |pool| check_sum3::<i16, i16>(case, pool, random));
    }
    bench.once(format_args!("Sum3_16 i8->i16"), |pool| check_sum3::<i8, i16>(image, pool, random));
    bench.once(format_args!("Sum3_16 i16->i8"), |pool| check_sum3::<i16, i8>(image, pool, random));
}

/// Equal shapes, every way of repeating, single elements, rows that vary.
pub fn run(bench: &mut Bench<'_, '_>) {
    let static_shapes = [
        ([1, 3, 5, 7], [1, 3, 5, 7]),
        ([1, 3, 5, 7], [1, 1, 1, 7]),
        ([1, 1, 1, 1], [2, 3, 5, 7]),
        ([1, 3, 5, 7], [1, 3, 5, 1]),
        ([1, 3, 1, 7], [1, 1, 5, 7]),
        ([2, 1, 5, 1], [1, 3, 1, 7]),
        ([1, 2, 1, 70], [1, 2, 1, 1]),
        ([1, 1, 1, 33], [1, 1, 1, 33]),
        ([1, 1, 1, 1], [1, 1, 1, 1]),
    ];
    let varying =
        [0, 1, 5, 8].map(|present| Case { a: [1, 2, 8, 3], b: [1, 2, 8, 3], present: Some(present) });
    let cases = static_shapes.into_iter().map(|(a, b)| Case { a, b, present: None }).chain(varying);
    let mut random = Random::new(21);
    for (narrow, wide) in
        [(OpKind::Add, OpKind::Add16), (OpKind::Mul, OpKind::Mul16), (OpKind::Div, OpKind::Div16)]
    {
        for case in cases.clone() {
            let Case { a, b, present } = case;
            bench.once(format_args!("{narrow:?} {a:?} {b:?} {present:?}"), |pool| {
                check::<i8, i8>(case, narrow, pool, &mut random)
            });
            bench.once(format_args!("{wide:?} {a:?} {b:?} {present:?}"), |pool| {
                check::<i16, i16>(case, wide, pool, &mut random)
            });
        }
        let case = Case { a: [1, 3, 5, 7], b: [1, 3, 5, 7], present: None };
        bench.once(format_args!("{wide:?} i16->i8"), |pool| check::<i16, i8>(case, wide, pool, &mut random));
        bench.once(format_args!("{wide:?} i8->i16"), |pool| check::<i8, i16>(case, wide, pool, &mut random));
    }
    sums_of_three(bench, &mut random);
    let dims = [1, 2, 3, 50];
    bench.once(format_args!("Requantize i8->i8"), |pool| check_requantize::<i8, i8>(dims, pool, &mut random));
    bench.once(format_args!("Requantize i8->i16"), |pool| {
        check_requantize::<i8, i16>(dims, pool, &mut random)
    });
    bench.once(format_args!("Requantize i16->i8"), |pool| {
        check_requantize::<i16, i8>(dims, pool, &mut random)
    });
    bench.once(format_args!("Requantize i16->i16"), |pool| {
        check_requantize::<i16, i16>(dims, pool, &mut random)
    });
    for count in [1, 4, 255] {
        bench.once(format_args!("Lut {count}"), |pool| check_lut(count, pool, &mut random));
        for bits in [0, 1, 2, 3, 5, 6] {
            bench.once(format_args!("LutSteps {count} of {bits} bits"), |pool| {
                check_lut_steps(count, bits, pool, &mut random)
            });
        }
    }
    bench.once(format_args!("Lut16 i16->i16"), |pool| check_lut16::<i16>(0, pool, &mut random));
    bench.once(format_args!("Lut16 i16->i8"), |pool| check_lut16::<i8>(8, pool, &mut random));
}
