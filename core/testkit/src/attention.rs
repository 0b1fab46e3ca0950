//! Cases of attention.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::attention::AttentionParams;
use mixel_core::kernels::matmul::{self, MatMulParams};
use mixel_core::kernels::requant::{Clamp, Scale};
use mixel_core::kernels::softmax::{self, SoftmaxParams};
use mixel_core::pack::Layout;
use mixel_core::plan::DType;

use crate::normalising::{falling, words};
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// First and second dimension.
    pub batches: [usize; 2],
    /// Queries m, their values k, keys n, values of an output d.
    pub sizes: [usize; 4],
    /// Whether keys are `[.., n, k]`, and values `[.., d, n]`.
    pub transposed: [bool; 2],
    /// Whether keys, and values, are the same for all of the first and second dimension.
    pub shared: [bool; 2],
    /// Which of m, k, n and d vary, and the rows present.
    pub present: Option<([bool; 4], usize)>,
}

impl Case {
    /// Anything of a few values, with more queries than a block has now and then.
    pub fn random(random: &mut Random) -> Self {
        let many = random.size(0, 3) == 0;
        let [m, k, n, d] = if many { [110, 8, 12, 8] } else { [9, 20, 40, 20] };
        let sizes = [
            random.size(if many { 30 } else { 1 }, m),
            random.size(1, k),
            random.size(1, n),
            random.size(1, d),
        ];
        let mut either = || random.size(0, 1) == 1;
        let (transposed, shared, vary) = ([either(), either()], [either(), either()], either());
        let axis = random.size(0, 3);
        let varies: [bool; 4] = core::array::from_fn(|size| sizes[size] == sizes[axis]);
        let present = vary.then(|| (varies, random.size(0, sizes[axis])));
        Self { batches: [1, random.size(1, 3)], sizes, transposed, shared, present }
    }
}

/// A scale of sums of some products, and a range that is mostly all of int8.
fn product(random: &mut Random, transposed: bool) -> MatMulParams {
    let scale = Scale { multiplier: random.range(1 << 30, i32::MAX), shift: random.range(37, 39) as u8 };
    let (min, max) = if random.size(0, 3) > 0 { (-128, 127) } else { (-100, 90) };
    MatMulParams { transposed, scale, min, max }
}

/// Runs one case, against the references of the three operators that it stands for.
///
/// # Errors
/// What went wrong first.
pub fn check(case: Case, layout: Layout, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let Case { batches: [outer, heads], sizes: [m, k, n, d], transposed, shared, present } = case;
    let count = outer * heads;
    let x = pool.random::<i8>(random, count * m * k)?;
    let keys = pool.random::<i8>(random, if shared[0] { k * n } else { count * k * n })?;
    let values = pool.random::<i8>(random, if shared[1] { n * d } else { count * n * d })?;
    let zeros: [i32; 6] = core::array::from_fn(|_| {
        let far = [5, 127][random.size(0, 1)];
        random.range(-far - 1, far)
    });
    let [zero_x, zero_keys, zero_values, zero_scores, zero_weights, zero_y] = zeros;
    let (low, high) = (falling(random, 60), falling(random, 40));
    // Layouts without loops for it take any part of the table, and what is beyond has no weight.
    let whole = matches!(layout, Layout::Generic | Layout::ArmDsp);
    let (low, high) = (&low[..16], &high[..if whole { 16 } else { random.size(1, 16) }]);
    let (scores, sums) = (product(random, transposed[0]), product(random, transposed[1]));
    let scale = Scale { multiplier: 1 << 30, shift: 22 };

    let mut dynamic = [0u8; 4];
    let (mut bound, mut rows) = (0, 0);
    let mut keys_present = n;
    if let Some((vary, present)) = present {
        let [on_m, on_k, on_n, on_d] = vary;
        let bit = |on: bool, axis: usize| (on as u8) << axis;
        let sides = |on: [bool; 2], transposed: bool| {
            let [first, second] = if transposed { [on[1], on[0]] } else { on };
            bit(first, 2) | bit(second, 3)
        };
        dynamic = [
            sides([on_m, on_k], false),
            sides([on_k, on_n], transposed[0]),
            sides([on_n, on_d], transposed[1]),
            sides([on_m, on_d], false),
        ];
        let varying = case.sizes.into_iter().zip(vary).find(|(_, on)| *on);
        (bound, rows) = (varying.map_or(0, |(size, _)| size), present);
        // What is not there of a query must not count.
        for (_, value) in x.iter_mut().enumerate().filter(|(index, _)| on_k && index % k >= present) {
            *value = zero_x as i8;
        }
        keys_present = if on_n { present } else { n };
    }

    let expected = pool.take::<i8>(count * m * d)?;
    let row = pool.take::<i8>(n)?;
    let (wide, shares) = (pool.take::<i32>(n)?, pool.take::<i32>(n)?);
    let clamp = |params: &MatMulParams, zero_point| {
        (params.scale, Clamp { zero_point, min: params.min, max: params.max })
    };
    let weight = |difference: u32| {
        let [low, high] = [low.get(difference as usize % 16), high.get(difference as usize / 16)]
            .map(|entry| entry.copied());
        ((low.unwrap_or(0) as u64 * high.unwrap_or(0) as u64) >> 32) as u32
    };
    let weights_clamp = Clamp { zero_point: zero_weights, min: -128, max: 127 };
    let (all_keys, all_values) = (keys.chunks_exact(k * n).cycle(), values.chunks_exact(n * d).cycle());
    let matrices = x.chunks_exact(m * k).zip(expected.chunks_exact_mut(m * d));
    for ((x, y), (keys, values)) in matrices.zip(all_keys.zip(all_values)) {
        for (x, y) in x.chunks_exact(k).zip(y.chunks_exact_mut(d)) {
            let (keys, values) = ((keys, zero_keys), (values, zero_values));
            matmul::reference((x, zero_x), keys, transposed[0], clamp(&scores, zero_scores), [1, k, n], row);
            row.iter().zip(wide.iter_mut()).for_each(|(&score, wide)| *wide = score.into());
            softmax::reference(
                &wide[..keys_present],
                weight,
                scale,
                weights_clamp,
                &mut shares[..keys_present],
            );
            // Keys that are not there have no weight.
            shares[keys_present..].fill(zero_weights);
            row.iter_mut().zip(shares.iter()).for_each(|(weight, &share)| *weight = share as i8);
            matmul::reference((row, zero_weights), values, transposed[1], clamp(&sums, zero_y), [1, n, d], y);
        }
    }

    let second = |shared: bool, transposed: bool, [down, across]: [usize; 2]| {
        let [outer, heads] = if shared { [1, 1] } else { [outer, heads] };
        if transposed { [outer, heads, across, down] } else { [outer, heads, down, across] }
    };
    let mut tensors = [
        tensor(DType::I8, [outer, heads, m, k], zero_x),
        tensor(DType::I8, second(shared[0], transposed[0], [k, n]), zero_keys),
        tensor(DType::I8, second(shared[1], transposed[1], [n, d]), zero_values),
        tensor(DType::I8, [outer, heads, m, d], zero_y),
    ];
    tensors.iter_mut().zip(dynamic).for_each(|(tensor, dynamic)| tensor.dynamic = dynamic);
    let [x_tensor, keys_tensor, values_tensor, output] = tensors;
    let inputs = [
        (x_tensor, bytemuck::cast_slice(x)),
        (keys_tensor, bytemuck::cast_slice(keys)),
        (values_tensor, bytemuck::cast_slice(values)),
    ];
    let job = Job { kind: OpKind::Attention, layout, inputs: &inputs, output, rows: (bound, rows) };
    job.run(pool, expected, |writer| {
        let (low, high) = (words(writer, low)?, words(writer, high)?);
        let softmax = SoftmaxParams { axis: 3, low, high, scale };
        Ok(AttentionParams { zero_points: [zero_scores, zero_weights], scores, softmax, sums }.encode())
    })
}

/// One and several heads, both orientations, operands that are repeated, one key, odd sizes, queries beyond a block, rows that vary.
pub fn run(bench: &mut Bench<'_, '_>) {
    let case = Case {
        batches: [1, 2],
        sizes: [5, 4, 7, 6],
        transposed: [true, false],
        shared: [false; 2],
        present: None,
    };
    let mut random = Random::new(910);
    let mut each = |case: Case| {
        let Case { batches, sizes, transposed, shared, present } = case;
        bench.each_layout(
            format_args!("Attention {batches:?} {sizes:?} {transposed:?} {shared:?} {present:?}"),
            |pool, layout| check(case, layout, pool, &mut random),
        );
    };
    let orientations = [[false, false], [false, true], [true, false], [true, true]];
    for transposed in orientations {
        for sizes in [[1, 1, 1, 1], [7, 3, 1, 5], [8, 33, 17, 8], [37, 8, 17, 4], [100, 4, 6, 3]] {
            each(Case { sizes, transposed, ..case });
        }
        for present in [0, 1, 4, 6] {
            let on = |vary| Some((vary, present));
            each(Case { sizes: [6, 8, 5, 4], transposed, present: on([true, false, false, false]), ..case });
            each(Case { sizes: [7, 8, 6, 4], transposed, present: on([false, false, true, false]), ..case });
            each(Case { sizes: [6, 4, 6, 9], transposed, present: on([true, false, true, false]), ..case });
        }
    }
    for (batches, shared) in [
        ([1, 1], [false; 2]),
        ([1, 3], [true, false]),
        ([3, 1], [false, true]),
        ([2, 2], [true; 2]),
        ([1, 4], [true; 2]),
    ] {
        each(Case { batches, shared, ..case });
        each(Case { batches, shared, sizes: [35, 8, 4, 8], transposed: [false, true], ..case });
    }
    each(Case { sizes: [6, 6, 6, 6], present: Some(([true; 4], 4)), ..case });
    each(Case {
        shared: [true; 2],
        sizes: [9, 4, 5, 4],
        present: Some(([true, false, false, false], 5)),
        ..case
    });
}
