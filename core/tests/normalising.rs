//! Softmax and the norms, against real arithmetic in f64.

mod support;

use mixel_core::kernels::layer_norm::{NormParams, z_bits};
use mixel_core::kernels::requant::{Clamp, Scale};
use mixel_core::kernels::softmax::{self, SoftmaxParams};
use mixel_core::kernels::{OpKind, l2_norm::L2NormParams};
use mixel_core::plan::DType::{self, I8, I16};
use mixel_core::plan::{Fault, Rows, Tensor};
use support::{Case, Data, Random, UNTOUCHED, scale, tensor, worst};

/// Weights of the low parts of differences, and those of the high parts as long as they are above zero.
fn weights(scale: f64, input: DType) -> (Vec<u32>, Vec<u32>) {
    let entries = if input == I16 { 256 } else { 16 };
    let table = |every: f64| {
        let weight = move |d: usize| ((-scale * every * d as f64).exp() * (1u64 << 31) as f64).round() as u32;
        (0..entries).map(weight)
    };
    (table(1.0).collect(), table(entries as f64).take_while(|&weight| weight > 0).collect())
}

struct Soft {
    case: Case,
    scale_x: f64,
    scale_y: f64,
    axis: usize,
}

fn soft(x: Tensor, y: DType, axis: usize, scale_x: f64) -> Soft {
    let (scale_y, zero) = if y == I8 { (1.0 / 256.0, -128) } else { (1.0 / 32768.0, 0) };
    let mut data = Data::default();
    let (low, high) = weights(scale_x, x.dtype);
    let params = SoftmaxParams {
        axis: axis as u8,
        low: data.u32(&low),
        high: data.u32(&high),
        scale: Scale { multiplier: 1 << 30, shift: if y == I8 { 22 } else { 15 } },
    };
    let kind = if (x.dtype, y) == (I8, I8) { OpKind::Softmax } else { OpKind::Softmax16 };
    let mut output = x;
    (output.dtype, output.zero_point) = (y, zero);
    Soft { case: Case::new(kind, &[x], output, params.encode()).with_data(data), scale_x, scale_y, axis }
}

impl Soft {
    /// The lanes of all values, each with the indices of its elements that are present.
    fn lanes(&self) -> Vec<Vec<usize>> {
        let x = &self.case.inputs[0];
        let (dims, present) =
            (x.dims.map(|dim| dim as usize), x.dims_with(Rows::new(self.case.rows.1, self.case.rows.0)));
        let stride: usize = dims[self.axis + 1..].iter().product();
        let index = |i: [usize; 4]| ((i[0] * dims[1] + i[1]) * dims[2] + i[2]) * dims[3] + i[3];
        let mut starts = Vec::new();
        for a in 0..present[0] {
            for b in 0..present[1] {
                for c in 0..present[2] {
                    for d in 0..present[3] {
                        if [a, b, c, d][self.axis] == 0 {
                            starts.push(index([a, b, c, d]));
                        }
                    }
                }
            }
        }
        let lane = |start: usize| (0..present[self.axis]).map(|row| start + row * stride).collect();
        starts.into_iter().map(lane).collect()
    }

    /// How many of the outputs are not the correctly rounded real ones, and how many there are.
    fn errors(&self, values: &[i32], out: &[i32]) -> (usize, usize) {
        let (mut wrong, mut all) = (0, 0);
        let (low, high) = self.case.output.dtype.range();
        for lane in self.lanes() {
            let max = lane.iter().map(|&i| values[i]).max().unwrap_or(0);
            let weight = |i: usize| (self.scale_x * (values[i] - max) as f64).exp();
            let sum: f64 = lane.iter().map(|&i| weight(i)).sum();
            for &i in &lane {
                let real = weight(i) / sum / self.scale_y + self.case.output.zero_point as f64;
                let exact = (real + 0.5).floor().clamp(low as f64, high as f64);
                let distance = (out[i] as f64 - exact).abs();
                assert!(distance <= 1.0, "{} for {real}", out[i]);
                wrong += (distance > 0.0) as usize;
                all += 1;
            }
        }
        (wrong, all)
    }
}

#[test]
fn softmax_is_almost_always_correctly_rounded() {
    let mut random = Random::new(1);
    let shapes = [[1, 1, 1, 12], [1, 2, 9, 64], [1, 4, 33, 33], [1, 1, 1, 1], [1, 1, 3, 1000]];
    for (from, to) in [(I8, I8), (I16, I16), (I8, I16), (I16, I8)] {
        let (mut wrong, mut all) = (0, 0);
        for (dims, axis) in shapes.iter().flat_map(|dims| (0..4).map(move |axis| (dims, axis))) {
            for scale_x in [0.004, 0.05, 0.2, 1.5] {
                let scale_x = if from == I8 { scale_x } else { scale_x / 256.0 };
                let soft = soft(tensor(from, *dims, 17), to, axis, scale_x);
                let values = random.fill(&soft.case.inputs[0]);
                let out = soft.case.run(core::slice::from_ref(&values));
                let (w, a) = soft.errors(&values, &out);
                (wrong, all) = (wrong + w, all + a);
            }
        }
        println!("{from:?} to {to:?}: {wrong} of {all} differ from correct rounding");
        let allowed = if to == I8 { 0.0001 } else { 0.001 };
        assert!((wrong as f64) <= all as f64 * allowed, "{from:?} to {to:?}: {wrong} of {all}");
    }
}

#[test]
fn softmax_equals_its_reference_and_rounds_ties_up() {
    let mut random = Random::new(2);
    let soft = soft(tensor(I8, [1, 1, 1, 100], 0), I8, 3, 0.1);
    let values = random.fill(&soft.case.inputs[0]);
    let (low, high) = weights(0.1, I8);
    let weight = |d: u32| {
        let high = high.get(d as usize / 16).copied().unwrap_or(0);
        ((low[d as usize % 16] as u64 * high as u64) >> 32) as u32
    };
    let scale = Scale { multiplier: 1 << 30, shift: 22 };
    let clamp = Clamp { zero_point: -128, min: -128, max: 127 };
    let mut expected = vec![0; 100];
    softmax::reference(&values, weight, scale, clamp, &mut expected);
    assert_eq!(soft.case.run(&[values]), expected);
    // 512 equal elements are half a step each.
    let equal = self::soft(tensor(I8, [1, 1, 1, 512], 0), I8, 3, 0.1);
    assert_eq!(equal.case.run(&[vec![3; 512]]), [-127; 512]);
}

#[test]
fn softmax_leaves_absent_rows_out() {
    let mut random = Random::new(3);
    for (dims, dynamic, axis) in [
        ([1, 1, 8, 6], 0b0100, 2),
        ([1, 2, 8, 6], 0b0100, 2),
        ([1, 1, 8, 6], 0b0100, 3),
        ([1, 2, 8, 8], 0b1100, 3),
        ([1, 8, 3, 5], 0b0010, 1),
        ([1, 8, 3, 5], 0b0010, 3),
    ] {
        for rows in [0, 1, 5, 8] {
            for dtype in [I8, I16] {
                let mut x = tensor(dtype, dims, 0);
                x.dynamic = dynamic;
                let mut soft = soft(x, dtype, axis, if dtype == I8 { 0.05 } else { 0.0002 });
                soft.case = soft.case.with_rows(8, rows);
                let values = random.fill(&x);
                let out = soft.case.run(core::slice::from_ref(&values));
                assert_eq!(soft.errors(&values, &out).0, 0, "{dims:?} {rows} rows");
            }
        }
    }
}

#[test]
fn broken_softmax_tables_are_refused() {
    let x = tensor(I8, [1, 1, 1, 4], 0);
    const ONE: u32 = 1 << 31;
    let refuse = |low: &[u32], high: &[u32], shift: u8, axis: u8| {
        let mut data = Data::default();
        let scale = Scale { multiplier: 1 << 30, shift };
        let params = SoftmaxParams { axis, low: data.u32(low), high: data.u32(high), scale };
        Case::new(OpKind::Softmax, &[x], x, params.encode()).with_data(data).fault()
    };
    let low = [ONE; 16];
    assert_eq!(refuse(&low, &[ONE, 5], 22, 3), None);
    for high in [&[][..], &[5], &[ONE, ONE + 1], &[ONE; 17]] {
        assert_eq!(refuse(&low, high, 22, 3), Some(Fault::Constants), "{high:?}");
    }
    for low in [&[ONE; 15][..], &[ONE; 17], &[ONE + 1; 16], &[5; 16]] {
        assert_eq!(refuse(low, &[ONE], 22, 3), Some(Fault::Constants), "{low:?}");
    }
    assert_eq!(refuse(&low, &[ONE], 2, 3), Some(Fault::Params));
    assert_eq!(refuse(&low, &[ONE], 22, 4), Some(Fault::Params));
}

/// What a normalisation works with, in real numbers.
struct Norm {
    gamma: Vec<f64>,
    beta: Vec<f64>,
    epsilon: f64,
    scale_x: f64,
    scale_y: f64,
}

impl Norm {
    fn random(random: &mut Random, channels: u32, from: DType, to: DType) -> Self {
        let mut reals = |low, high| (0..channels).map(|_| random.real(low, high)).collect();
        let (gamma, beta) = (reals(-1.5, 1.5), reals(-1.0, 1.0));
        let unit = |dtype| if dtype == I8 { 1.0 } else { 1.0 / 256.0 };
        Self { gamma, beta, epsilon: 1e-5, scale_x: 0.05 * unit(from), scale_y: 0.03 * unit(to) }
    }

    fn params(&self, data: &mut Data, groups: u16, n: usize, from: DType, to: DType) -> NormParams {
        let log = (usize::BITS - (n - 1).leading_zeros()) as i32;
        let epsilon = self.epsilon / self.scale_x.powi(2);
        let range = 2f64.powi(if from == I8 { 14 } else { 30 }) + epsilon;
        let fraction = ((62 - 2 * log) - range.log2().ceil() as i32).min(40) & !1;
        let q = z_bits(n) as i32;
        let gammas: Vec<f64> = self.gamma.iter().map(|gamma| gamma / self.scale_y).collect();
        let betas: Vec<f64> = self.beta.iter().map(|beta| beta / self.scale_y).collect();
        let largest = |values: &[f64]| values.iter().fold(1e-9, |most: f64, value| most.max(value.abs()));
        let shift = (q - 1 - largest(&gammas).log2().floor() as i32 - 1)
            .min(29 - largest(&betas).log2().ceil() as i32)
            .clamp(1, 30);
        let fixed = |value: &f64, bits: i32| (value * 2f64.powi(bits)).round() as i32;
        let gamma: Vec<i32> = gammas.iter().map(|gamma| fixed(gamma, shift + 32 - q)).collect();
        let beta: Vec<i32> = betas.iter().map(|beta| fixed(beta, shift)).collect();
        let (min, max) = to.range();
        NormParams {
            groups,
            epsilon: scale(epsilon),
            fraction: fraction as u8,
            gamma: data.i32(&gamma),
            beta: data.i32(&beta),
            shift: shift as u8,
            min,
            max,
        }
    }

    /// The real outputs of elements that share a mean, in steps from the zero point.
    fn exact(&self, x: &[(usize, i32)], zero: i32) -> Vec<f64> {
        let n = x.len() as f64;
        let value = |x: i32| x as f64 * self.scale_x;
        let mean = x.iter().map(|(_, x)| value(*x)).sum::<f64>() / n;
        let variance = x.iter().map(|(_, x)| (value(*x) - mean).powi(2)).sum::<f64>() / n;
        let inverse = 1.0 / (variance + self.epsilon).sqrt();
        x.iter()
            .map(|&(channel, x)| {
                let y = (value(x) - mean) * inverse * self.gamma[channel] + self.beta[channel];
                y / self.scale_y + zero as f64
            })
            .collect()
    }
}

/// Rows of different spread: all, small, one step, constant, one outlier.
fn spread(random: &mut Random, x: &Tensor) -> Vec<i32> {
    let (low, high) = x.dtype.range();
    let mut values = Vec::new();
    for row in 0..x.outer() {
        let (low, high) = match row % 5 {
            0 => (low, high),
            1 => (-9, 4),
            2 => (low, low + 1),
            3 => (high, high),
            _ => (0, 0),
        };
        values.extend((0..x.inner()).map(|_| random.range(low, high)));
        if row % 5 == 4 {
            *values.last_mut().unwrap() = 1;
        }
    }
    values
}

#[test]
fn layer_norm_rounds_once() {
    let mut random = Random::new(4);
    for (from, to) in [(I8, I8), (I16, I16), (I8, I16), (I16, I8)] {
        let mut most: f64 = 0.0;
        for inner in [1, 2, 3, 16, 64, 65, 256, 4096] {
            let (x, y) = (tensor(from, [1, 1, 10, inner], 33), tensor(to, [1, 1, 10, inner], -4));
            let norm = Norm::random(&mut random, inner, from, to);
            let mut data = Data::default();
            let params = norm.params(&mut data, 1, inner as usize, from, to);
            let kind = if (from, to) == (I8, I8) { OpKind::LayerNorm } else { OpKind::LayerNorm16 };
            let values = spread(&mut random, &x);
            let out =
                Case::new(kind, &[x], y, params.encode()).with_data(data).run(core::slice::from_ref(&values));
            let rows = values.chunks(inner as usize).map(|row| row.iter().copied().enumerate().collect());
            let exact: Vec<f64> = rows.flat_map(|row: Vec<_>| norm.exact(&row, -4)).collect();
            most = most.max(worst(&out, &exact, to));
        }
        println!("layer norm {from:?} to {to:?}: {most}");
        assert!(most <= if to == I8 { 0.501 } else { 0.51 }, "{from:?} to {to:?}: {most}");
    }
}

#[test]
fn layer_norm_of_rows_present() {
    let mut random = Random::new(5);
    let mut x = tensor(I8, [1, 1, 6, 8], 0);
    x.dynamic = 0b0100;
    let norm = Norm::random(&mut random, 8, I8, I8);
    let mut data = Data::default();
    let params = norm.params(&mut data, 1, 8, I8, I8);
    let values = random.fill(&x);
    let case = Case::new(OpKind::LayerNorm, &[x], x, params.encode()).with_data(data);
    for rows in [0, 4, 6] {
        let out = case.clone().with_rows(6, rows).run(core::slice::from_ref(&values));
        assert!(out[rows * 8..].iter().all(|&value| value == UNTOUCHED as i32));
        let all = case.clone().with_rows(6, 6).run(core::slice::from_ref(&values));
        assert_eq!(out[..rows * 8], all[..rows * 8]);
    }
}

#[test]
fn group_and_instance_norm_round_once() {
    let mut random = Random::new(6);
    for (from, to) in [(I8, I8), (I16, I16), (I16, I8)] {
        let mut most: f64 = 0.0;
        for (dims, groups, rows) in [
            ([1, 4, 5, 6], 1, 0),
            ([1, 4, 5, 6], 2, 0),
            ([2, 4, 5, 6], 6, 0),
            ([1, 16, 16, 16], 4, 0),
            ([1, 9, 2, 8], 2, 5),
            ([1, 9, 2, 8], 8, 1),
        ] {
            let (mut x, mut y) = (tensor(from, dims, 3), tensor(to, dims, 1));
            (x.dynamic, y.dynamic) = if rows > 0 { (0b0010, 0b0010) } else { (0, 0) };
            let norm = Norm::random(&mut random, dims[3], from, to);
            let mut data = Data::default();
            let bound = x.elements() / dims[0] as usize / groups;
            let params = norm.params(&mut data, groups as u16, bound, from, to);
            let kind = if (from, to) == (I8, I8) { OpKind::GroupNorm } else { OpKind::GroupNorm16 };
            let case = Case::new(kind, &[x], y, params.encode()).with_data(data);
            let case = if rows > 0 { case.with_rows(dims[1] as usize, rows) } else { case };
            let values = random.fill(&x);
            let out = case.run(core::slice::from_ref(&values));
            let (image, channels) = (x.elements() / dims[0] as usize, dims[3] as usize);
            let present = if rows > 0 { rows * 2 * channels } else { image };
            for (start, group) in
                (0..dims[0] as usize).flat_map(|i| (0..groups).map(move |group| (i * image, group)))
            {
                let of_group = |index: &usize| index % channels / (channels / groups) == group;
                let indices: Vec<usize> = (start..start + present).filter(of_group).collect();
                let members: Vec<_> =
                    indices.iter().map(|&index| (index % channels, values[index])).collect();
                let got: Vec<i32> = indices.iter().map(|&index| out[index]).collect();
                most = most.max(worst(&got, &norm.exact(&members, 1), to));
            }
            assert!(out[present..image].iter().all(|&value| value == y_untouched(to)));
        }
        println!("group norm {from:?} to {to:?}: {most}");
        assert!(most <= if to == I8 { 0.501 } else { 0.51 }, "{from:?} to {to:?}: {most}");
    }
}

fn y_untouched(dtype: DType) -> i32 {
    if dtype == I8 { UNTOUCHED as i32 } else { UNTOUCHED as i32 * 257 }
}

#[test]
fn l2_norm_rounds_once() {
    let mut random = Random::new(7);
    for (from, to) in [(I8, I8), (I16, I16), (I8, I16), (I16, I8)] {
        let mut most: f64 = 0.0;
        for (dims, first, last) in [
            ([1, 1, 1, 1], 3, 3),
            ([1, 3, 4, 5], 3, 3),
            ([1, 1, 2, 300], 3, 3),
            ([1, 6, 7, 5], 1, 2),
            ([1, 1, 30, 8], 2, 2),
            ([1, 3, 4, 5], 0, 3),
        ] {
            for epsilon in [1e-12, 2.5, 4000.0] {
                let (x, y) = (tensor(from, dims, -5), tensor(to, dims, 2));
                let (low, high) = y.dtype.range();
                let scale_y = 1.0 / high as f64;
                let params = L2NormParams {
                    axes: ((1 << (last + 1)) - (1 << first)) as u8,
                    epsilon: scale(epsilon * epsilon),
                    scale: scale(1.0 / scale_y),
                    min: low,
                    max: high,
                };
                let kind = if (from, to) == (I8, I8) { OpKind::L2Norm } else { OpKind::L2Norm16 };
                let case = Case::new(kind, &[x], y, params.encode());
                let values = random.fill(&x);
                let out = case.run(core::slice::from_ref(&values));
                let d = dims.map(|dim| dim as usize);
                let count: usize = d[first..=last].iter().product();
                let stride: usize = d[last + 1..].iter().product();
                let lane = |index: usize| index / (count * stride) * stride + index % stride;
                let mut squares = vec![0.0; values.len()];
                for (index, x) in values.iter().enumerate() {
                    squares[lane(index)] += (*x as f64 + 5.0).powi(2);
                }
                let exact = |(index, x): (usize, &i32)| {
                    (*x as f64 + 5.0) / squares[lane(index)].sqrt().max(epsilon) / scale_y + 2.0
                };
                let exact: Vec<f64> = values.iter().enumerate().map(exact).collect();
                most = most.max(worst(&out, &exact, to));
                // No elements but zeros: zeros, whatever the bound of the norm.
                let zeros = case.run(&[vec![-5; values.len()]]);
                assert!(zeros.iter().all(|&value| value == 2));
            }
        }
        println!("l2 norm {from:?} to {to:?}: {most}");
        assert!(most <= 0.501, "{from:?} to {to:?}: {most}");
    }
}
