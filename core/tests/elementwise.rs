//! Sums, products, quotients, tables and changes of quantization, against exact arithmetic.

mod support;

use mixel_core::kernels::add::{self, AddParams};
use mixel_core::kernels::lut::{self, Lut16Params, LutParams};
use mixel_core::kernels::requantize::RescaleParams;
use mixel_core::kernels::sum3::{self, Sum3Params};
use mixel_core::kernels::{OpKind, div, mul, requantize};
use mixel_core::plan::DType::{self, I8, I16};
use mixel_core::plan::{Fault, Tensor};
use support::{Case, Data, Random, UNTOUCHED, real, scale, scale_bits, tensor, worst};

/// Element `index` of `y`'s shape in a tensor that is repeated to it.
fn repeated(x: &Tensor, y: &Tensor, index: usize) -> usize {
    let (mut rest, mut at, mut stride) = (index, 0, 1);
    for axis in (0..4).rev() {
        let i = rest % y.dims[axis] as usize;
        rest /= y.dims[axis] as usize;
        at += if x.dims[axis] == 1 { 0 } else { i * stride };
        stride *= x.dims[axis] as usize;
    }
    at
}

fn spread(x: &Tensor, y: &Tensor, values: &[i32]) -> Vec<i32> {
    (0..y.elements()).map(|index| values[repeated(x, y, index)]).collect()
}

const SHAPES: [[[u32; 4]; 2]; 9] = [
    [[1, 3, 5, 7], [1, 3, 5, 7]],
    [[1, 3, 5, 7], [1, 1, 1, 7]],
    [[1, 3, 5, 7], [1, 1, 1, 1]],
    [[1, 1, 1, 1], [2, 3, 5, 7]],
    [[1, 3, 5, 7], [1, 3, 5, 1]],
    [[1, 3, 1, 7], [1, 1, 5, 7]],
    [[2, 1, 5, 1], [1, 3, 1, 7]],
    [[1, 1, 1, 33], [1, 1, 1, 33]],
    [[1, 1, 1, 1], [1, 1, 1, 1]],
];

fn output_dims(dims: [[u32; 4]; 2]) -> [u32; 4] {
    core::array::from_fn(|axis| dims[0][axis].max(dims[1][axis]))
}

fn add_params(a: f64, b: f64, wide: bool, y: DType) -> AddParams {
    let most = a.abs().max(b.abs());
    let shift = if wide { scale(most).shift } else { (20 - most.log2().floor() as i32).min(30) as u8 };
    let factor = |real: f64| (real * 2f64.powi(shift as i32)).round() as i32;
    let (min, max) = y.range();
    AddParams { a: factor(a), b: factor(b), shift, min, max }
}

const TYPES: [[DType; 3]; 5] = [[I8, I8, I8], [I16, I16, I16], [I8, I16, I16], [I16, I8, I8], [I16, I16, I8]];

#[test]
fn sums_are_correctly_rounded() {
    let mut random = Random::new(1);
    for (dims, types) in SHAPES.iter().flat_map(|dims| TYPES.iter().map(move |types| (dims, types))) {
        let zero = |random: &mut Random, dtype: DType| if dtype == I8 { random.range(-128, 127) } else { 0 };
        let [a, b] = [0, 1].map(|i| tensor(types[i], dims[i], zero(&mut random, types[i])));
        let y = tensor(types[2], output_dims(*dims), zero(&mut random, types[2]));
        let kind = if types == &[I8; 3] { OpKind::Add } else { OpKind::Add16 };
        let ranges = types.map(|dtype| if dtype == I8 { 1.0 } else { 256.0 });
        let (ra, rb) = (random.real(0.01, 2.0), random.real(-2.0, 2.0));
        let params = add_params(
            ra / ranges[0] * ranges[2],
            rb / ranges[1] * ranges[2],
            kind == OpKind::Add16,
            types[2],
        );
        let case = Case::new(kind, &[a, b], y, params.encode());
        let values = [random.fill(&a), random.fill(&b)];
        let out = case.run(&values);
        let (va, vb) = (spread(&a, &y, &values[0]), spread(&b, &y, &values[1]));
        let mut expected = vec![0; out.len()];
        add::reference(&va, &vb, &params, [a.zero_point, b.zero_point, y.zero_point], &mut expected);
        assert_eq!(out, expected, "{kind:?} {dims:?}");
        let exact: Vec<f64> = va
            .iter()
            .zip(&vb)
            .map(|(va, vb)| {
                let (va, vb) = ((va - a.zero_point) as f64, (vb - b.zero_point) as f64);
                let (fa, fb) = (params.a as f64, params.b as f64);
                (va * fa + vb * fb) / 2f64.powi(params.shift as i32) + y.zero_point as f64
            })
            .collect();
        assert!(worst(&out, &exact, types[2]) <= 0.5);
        // Against the factors before they became integers: 2 * 255 * 2^-21 more for 8 bits.
        let exact: Vec<f64> = va
            .iter()
            .zip(&vb)
            .map(|(va, vb)| {
                let (va, vb) = ((va - a.zero_point) as f64, (vb - b.zero_point) as f64);
                va * ra / ranges[0] * ranges[2] + vb * rb / ranges[1] * ranges[2] + y.zero_point as f64
            })
            .collect();
        assert!(worst(&out, &exact, types[2]) <= 0.501);
    }
}

#[test]
fn sums_round_half_up_and_clamp() {
    let (a, y) = (tensor(I8, [1, 1, 1, 6], 0), tensor(I8, [1, 1, 1, 6], 0));
    let params = AddParams { a: 1 << 19, b: 0, shift: 20, min: -1, max: 60 };
    let case = Case::new(OpKind::Add, &[a, a], y, params.encode());
    let out = case.run(&[vec![-3, -1, 1, 3, 127, -128], vec![9; 6]]);
    assert_eq!(out, [-1, 0, 1, 2, 60, -1]);
}

/// Sums of three against exact rational arithmetic, which is that of the integers here: `floor(sum + 1/2)` over a common
/// denominator of a power of two, the zero point added and limited.
#[test]
fn sums_of_three_round_once() {
    let mut random = Random::new(11);
    let mut saturated = 0;
    for (case, dims) in [[1, 3, 5, 7], [1, 1, 1, 64], [1, 1, 1, 67], [1, 1, 1, 1], [1, 9, 1, 33]]
        .iter()
        .flat_map(|dims| (0..8).map(move |case| (case, *dims)))
    {
        let x = [0; 3].map(|_: i32| tensor(I8, dims, random.range(-128, 127)));
        let y = tensor(I8, dims, random.range(-128, 127));
        // The largest factors that there are among them, and shifts on both sides of what leaves room for the zero point.
        let most = if case == 0 { 1 << 21 } else { random.range(1, 1 << 21) };
        let factors =
            [most, random.range(-most, most), if case == 1 { most } else { random.range(-most, 0) }];
        let shift = [20, 21, 22, 23, 30, 1, 19, 16][case];
        let (low, high) = (random.range(-128, 0), random.range(1, 127));
        let params = Sum3Params { factors, shift, min: low, max: high };
        let values = x.map(|x| random.fill(&x));
        let out = Case::new(OpKind::Sum3, &x, y, params.encode()).run(&values);
        for (index, &out) in out.iter().enumerate() {
            let sum: i128 =
                (0..3).map(|i| i128::from(values[i][index] - x[i].zero_point) * i128::from(factors[i])).sum();
            // floor(sum / 2^shift + 1/2) = floor((2 sum + 2^shift) / 2^(shift + 1))
            let denominator = 1i128 << shift;
            let rounded = (2 * sum + denominator).div_euclid(2 * denominator) + i128::from(y.zero_point);
            assert_eq!(i128::from(out), rounded.clamp(low.into(), high.into()), "{params:?} at {index}");
            saturated += usize::from(rounded != i128::from(out));
        }
    }
    assert!(saturated > 100, "{saturated} results saturated");
}

#[test]
fn sums_of_three_differ_from_two_sums() {
    // First of all 0.25 + 0.25 - 0.25: rounded after the first sum, 0.5 is 1, and 1 - 0.25 gives 1.
    let shape = tensor(I8, [1, 1, 1, 5], 0);
    let params = Sum3Params { factors: [1, 1, -1], shift: 2, min: -128, max: 127 };
    let case = Case::new(OpKind::Sum3, &[shape; 3], shape, params.encode());
    let out = case.run(&[vec![1, 2, -1, -2, 3], vec![1, 2, -1, -1, 3], vec![1, 2, 0, -1, 0]]);
    assert_eq!(out, [0, 1, 0, 0, 2], "0.25, 0.5, -0.5, -0.5, 1.5: halves round up");
}

#[test]
fn sums_of_three_of_16_bits_are_correctly_rounded() {
    let mut random = Random::new(12);
    for [from, other, to] in [[I16, I16, I16], [I8, I16, I16], [I16, I8, I8], [I8, I8, I16]] {
        let zero = |random: &mut Random, dtype: DType| if dtype == I8 { random.range(-128, 127) } else { 0 };
        let x = [from, other, from].map(|dtype| tensor(dtype, [1, 3, 5, 7], zero(&mut random, dtype)));
        let y = tensor(to, [1, 3, 5, 7], zero(&mut random, to));
        let range = |dtype: DType| if dtype == I8 { 1.0 } else { 256.0 };
        let real = x.map(|x| random.real(-1.0, 1.0) / range(x.dtype) * range(to));
        let shift = scale(real.iter().fold(0.0, |most: f64, real| most.max(real.abs()))).shift;
        let factors = real.map(|real| (real * 2f64.powi(shift.into())).round() as i32);
        let (min, max) = to.range();
        let params = Sum3Params { factors, shift, min, max };
        let values = x.map(|x| random.fill(&x));
        let out = Case::new(OpKind::Sum3_16, &x, y, params.encode()).run(&values);
        let exact: Vec<f64> = (0..out.len())
            .map(|at| {
                let part = |i: usize| (values[i][at] - x[i].zero_point) as f64 * real[i];
                part(0) + part(1) + part(2) + y.zero_point as f64
            })
            .collect();
        assert!(worst(&out, &exact, to) <= 0.501);
        let mut expected = vec![0; out.len()];
        let zeros = (x.map(|x| x.zero_point), y.zero_point);
        sum3::reference([&values[0], &values[1], &values[2]], &params, zeros, &mut expected);
        assert_eq!(out, expected);
    }
}

#[test]
fn sums_of_three_refuse_what_does_not_fit() {
    let shape = tensor(I8, [1, 2, 3, 4], 0);
    let params = Sum3Params { factors: [1 << 20; 3], shift: 20, min: -128, max: 127 };
    let fault = |kind: OpKind, inputs: &[Tensor], params: Sum3Params| {
        Case::new(kind, inputs, shape, params.encode()).fault()
    };
    assert_eq!(fault(OpKind::Sum3, &[shape; 3], params), None);
    assert_eq!(fault(OpKind::Sum3, &[shape; 2], params), Some(Fault::Operands));
    let row = tensor(I8, [1, 1, 1, 4], 0);
    assert_eq!(fault(OpKind::Sum3, &[shape, shape, row], params), Some(Fault::Shapes));
    let wide = tensor(I16, [1, 2, 3, 4], 0);
    assert_eq!(fault(OpKind::Sum3, &[shape, wide, shape], params), Some(Fault::Types));
    assert_eq!(fault(OpKind::Sum3_16, &[shape, wide, shape], params), None);
    let large = Sum3Params { factors: [1, (1 << 21) + 1, 1], ..params };
    assert_eq!(fault(OpKind::Sum3, &[shape; 3], large), Some(Fault::Params));
    assert_eq!(fault(OpKind::Sum3_16, &[shape; 3], large), None);
    for shift in [0, 31] {
        assert_eq!(fault(OpKind::Sum3, &[shape; 3], Sum3Params { shift, ..params }), Some(Fault::Params));
    }
    for (min, max) in [(-129, 0), (0, 128), (1, 0)] {
        assert_eq!(fault(OpKind::Sum3, &[shape; 3], Sum3Params { min, max, ..params }), Some(Fault::Params));
    }
}

#[test]
fn constants_take_part() {
    let mut random = Random::new(2);
    let x = tensor(I8, [1, 4, 4, 8], -3);
    let y = tensor(I8, [1, 4, 4, 8], 5);
    let mut data = Data::default();
    data.u16(&[1, 2, 3]);
    let values = random.fill(&tensor(I8, [1, 1, 1, 8], 0));
    let b = data.tensor(tensor(I8, [1, 1, 1, 8], 7), &values);
    let params = add_params(0.7, 0.3, false, I8);
    let case = Case::new(OpKind::Add, &[x, b], y, params.encode()).with_data(data);
    let input = random.fill(&x);
    let mut expected = vec![0; y.elements()];
    add::reference(&input, &spread(&b, &y, &values), &params, [-3, 7, 5], &mut expected);
    assert_eq!(case.run(&[input]), expected);
}

#[test]
fn only_rows_present_are_computed() {
    let mut random = Random::new(3);
    let mut x = tensor(I8, [1, 2, 8, 4], 0);
    x.dynamic = 0b0100;
    let params = add_params(0.5, 0.5, false, I8);
    for rows in [0, 1, 5, 8] {
        let case = Case::new(OpKind::Add, &[x, x], x, params.encode()).with_rows(8, rows);
        let values = [random.fill(&x), random.fill(&x)];
        let out = case.run(&values);
        let mut all = vec![0; x.elements()];
        add::reference(&values[0], &values[1], &params, [0; 3], &mut all);
        for (index, (out, all)) in out.iter().zip(&all).enumerate() {
            let present = index / 4 % 8 < rows;
            assert_eq!(*out, if present { *all } else { UNTOUCHED as i32 }, "{rows} rows, element {index}");
        }
    }
    // Learned positions: a constant at the bound next to rows that vary. The other way round would read absent rows.
    let mut still = x;
    still.dynamic = 0;
    assert_eq!(Case::new(OpKind::Add, &[x, still], x, params.encode()).with_rows(8, 3).fault(), None);
    let refused = Case::new(OpKind::Add, &[x, x], still, params.encode()).with_rows(8, 3);
    assert_eq!(refused.fault(), Some(Fault::Shapes));
}

#[test]
fn products_and_quotients_are_correctly_rounded() {
    let mut random = Random::new(4);
    for (dims, types) in SHAPES.iter().flat_map(|dims| TYPES.iter().map(move |types| (dims, types))) {
        let narrow = types == &[I8; 3];
        let zero = |random: &mut Random, dtype: DType| if dtype == I8 { random.range(-128, 127) } else { 0 };
        let [a, b] = [0, 1].map(|i| tensor(types[i], dims[i], zero(&mut random, types[i])));
        let y = tensor(types[2], output_dims(*dims), zero(&mut random, types[2]));
        let (min, max) = y.dtype.range();
        let values = [random.fill(&a), random.fill(&b)];
        let (va, vb) = (spread(&a, &y, &values[0]), spread(&b, &y, &values[1]));
        let zeros = [a.zero_point, b.zero_point, y.zero_point];
        let mut expected = vec![0; y.elements()];
        let centred = || va.iter().zip(&vb).map(|(va, vb)| ((va - zeros[0]) as f64, (vb - zeros[1]) as f64));

        let steps = types.map(|dtype| if dtype == I8 { 128.0 } else { 32768.0 });
        let factor = random.real(0.3, 2.0) * steps[2] / steps[0] / steps[1];
        let params = RescaleParams { scale: scale_bits(factor, 30), min, max };
        let kind = if narrow { OpKind::Mul } else { OpKind::Mul16 };
        let out = Case::new(kind, &[a, b], y, params.encode()).run(&values);
        mul::reference(&va, &vb, &params, zeros, &mut expected);
        assert_eq!(out, expected);
        let exact: Vec<f64> =
            centred().map(|(va, vb)| va * vb * real(params.scale) + zeros[2] as f64).collect();
        assert!(worst(&out, &exact, types[2]) <= 0.5 + 1e-9);

        let params = RescaleParams { scale: scale_bits(random.real(0.1, 30.0), 31), min, max };
        let kind = if narrow { OpKind::Div } else { OpKind::Div16 };
        let out = Case::new(kind, &[a, b], y, params.encode()).run(&values);
        div::reference(&va, &vb, &params, zeros, &mut expected);
        assert_eq!(out, expected);
        let exact: Vec<f64> = centred()
            .map(|(va, vb)| match (va, vb) {
                (0.0, 0.0) => zeros[2] as f64,
                _ => va * real(params.scale) / vb + zeros[2] as f64,
            })
            .collect();
        assert!(worst(&out, &exact, types[2]) <= 0.5 + 1e-9);
    }
}

#[test]
fn division_by_zero_saturates() {
    let x = tensor(I8, [1, 1, 1, 3], 0);
    for (multiplier, expected) in [(1 << 30, [127, -128, 5]), (-(1 << 30), [-128, 127, 5])] {
        let params = RescaleParams {
            scale: mixel_core::kernels::requant::Scale { multiplier, shift: 30 },
            min: -128,
            max: 127,
        };
        let y = tensor(I8, x.dims, 5);
        let case = Case::new(OpKind::Div, &[x, x], y, params.encode());
        assert_eq!(case.run(&[vec![1, -1, 0], vec![0; 3]]), expected);
    }
}

#[test]
fn requantization_between_all_types() {
    let mut random = Random::new(5);
    for (from, to) in [(I8, I8), (I8, I16), (I16, I8), (I16, I16)] {
        for dims in [[1, 3, 4, 5], [1, 1, 1, 1], [1, 1, 1, 300]] {
            let (x, y) = (tensor(from, dims, -7), tensor(to, dims, 9));
            let factor = y.dtype.range().1 as f64 / x.dtype.range().1 as f64 * random.real(0.3, 3.0);
            let (min, max) = y.dtype.range();
            let params = RescaleParams { scale: scale(factor), min, max };
            let values = random.fill(&x);
            let out =
                Case::new(OpKind::Requantize, &[x], y, params.encode()).run(core::slice::from_ref(&values));
            let mut expected = vec![0; out.len()];
            requantize::reference(&values, &params, [-7, 9], &mut expected);
            assert_eq!(out, expected);
            let exact: Vec<f64> =
                values.iter().map(|value| (value + 7) as f64 * real(params.scale) + 9.0).collect();
            assert!(worst(&out, &exact, to) <= 0.5 + 1e-9);
        }
    }
}

#[test]
fn tables() {
    let mut random = Random::new(6);
    let x = tensor(I8, [1, 2, 3, 50], 0);
    let table: [i8; 256] = core::array::from_fn(|_| random.range(-128, 127) as i8);
    let mut data = Data::default();
    let params = LutParams { table: data.i8(&table) };
    let values = random.fill(&x);
    let out =
        Case::new(OpKind::Lut, &[x], x, params.encode()).with_data(data).run(core::slice::from_ref(&values));
    let mut expected = vec![0; values.len()];
    let narrow: Vec<i8> = values.iter().map(|&value| value as i8).collect();
    lut::reference(&narrow, &table, &mut expected);
    assert_eq!(out, expected.iter().map(|&value| value as i32).collect::<Vec<_>>());
}

#[test]
fn interpolated_tables_keep_their_bound() {
    let mut random = Random::new(7);
    // tanh on -8 .. 8: the second derivative is at most 0.77.
    let step = 8.0 / 32768.0;
    for (to, shift) in [(I16, 0u8), (I8, 8)] {
        let entry = |index: i32| {
            let x = (index * 128 - 32768) as f64 * step;
            ((x.tanh() * 32767.0).round() as i32).clamp(-32768, 32767) as i16
        };
        let table: [i16; 513] = core::array::from_fn(|index| entry(index as i32));
        let mut data = Data::default();
        let params = Lut16Params { table: data.i16(&table), shift };
        let (x, y) = (tensor(I16, [1, 1, 7, 501], 0), tensor(to, [1, 1, 7, 501], 0));
        let mut values = random.fill(&x);
        values[..4].copy_from_slice(&[-32768, 32767, 0, -1]);
        let out = Case::new(OpKind::Lut16, &[x], y, params.encode())
            .with_data(data)
            .run(core::slice::from_ref(&values));
        let narrow: Vec<i16> = values.iter().map(|&value| value as i16).collect();
        let mut expected = vec![0; out.len()];
        lut::reference16(&narrow, &table, shift, if to == I8 { 8 } else { 16 }, &mut expected);
        assert_eq!(out, expected);
        let unit = 2f64.powi(shift as i32);
        let exact: Vec<f64> = values.iter().map(|&x| (x as f64 * step).tanh() * 32767.0 / unit).collect();
        // Entries and result are rounded, and the line leaves the curve by at most (128 step)^2 / 8 * 0.77.
        let line = (128.0 * step).powi(2) / 8.0 * 0.77 * 32767.0;
        assert!(worst(&out, &exact, to) <= 0.5 + (0.5 + line) / unit);
    }
    // From 8 to 16 bits the table has every result.
    let (x, y) = (tensor(I8, [1, 1, 1, 256], 0), tensor(I16, [1, 1, 1, 256], 0));
    let table: [i16; 256] = core::array::from_fn(|_| random.range(-32768, 32767) as i16);
    let mut data = Data::default();
    let params = Lut16Params { table: data.i16(&table), shift: 0 };
    let out =
        Case::new(OpKind::Lut16, &[x], y, params.encode()).with_data(data).run(&[(-128..128).collect()]);
    assert_eq!(out, table.map(i32::from));
}
