//! Cases of products of two activations.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::matmul::{MatMulParams, reference};
use mixel_core::kernels::requant::{Clamp, Scale};
use mixel_core::pack::Layout;

use crate::linear::Activation;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Sizes of a product.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// First and second dimension.
    pub batches: [usize; 2],
    /// m, k, n.
    pub sizes: [usize; 3],
    /// Whether the second operand is transposed.
    pub transposed: bool,
    /// Whether it is the same for all of the first and second dimension.
    pub shared: bool,
    /// Which of m, k, n vary, and the rows present.
    pub present: Option<([bool; 3], usize)>,
}

/// Runs one case with types `X`, `X` to `Y`.
///
/// # Errors
/// What went wrong first.
pub fn check<X: Activation, Y: Activation>(
    case: Case,
    kind: OpKind,
    layout: Layout,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let Case { batches: [outer, heads], sizes: [m, k, n], transposed, shared, present } = case;
    let count = outer * heads;
    let a = pool.random::<X>(random, count * m * k)?;
    let b = pool.random::<X>(random, if shared { k * n } else { count * k * n })?;
    // Near zero as well: products of far zero points saturate.
    let far = [5, 127][random.size(0, 1)];
    let zeros = [random.range(-far - 1, far), random.range(-far - 1, far)];
    let typical = if X::MAX > i8::MAX as i32 { 53 } else { 38 } - if Y::MAX > i8::MAX as i32 { 8 } else { 0 };
    let scale = Scale { multiplier: random.range(1 << 30, i32::MAX), shift: typical };
    let clamp = Clamp { zero_point: random.range(-128, 127), min: Y::MIN, max: Y::MAX };
    let mut dynamic = [0u8; 3];
    let (mut bound, mut rows) = (0, 0);
    if let Some(([on_m, on_k, on_n], present)) = present {
        let (k_axis, n_axis) = if transposed { (3, 2) } else { (2, 3) };
        let bit = |on: bool, axis: usize| (on as u8) << axis;
        dynamic =
            [bit(on_m, 2) | bit(on_k, 3), bit(on_k, k_axis) | bit(on_n, n_axis), bit(on_m, 2) | bit(on_n, 3)];
        bound = if on_m {
            m
        } else if on_k {
            k
        } else {
            n
        };
        rows = present;
        // What is not present must not count: k is cut off by making its surplus in the first operand zero.
        for (index, value) in a.iter_mut().enumerate() {
            if on_k && index % k >= present {
                *value = X::narrow(zeros[0]);
            }
        }
    }
    let expected = pool.take::<Y>(count * m * n)?;
    let seconds = b.chunks_exact(k * n).cycle();
    for ((a, b), y) in a.chunks_exact(m * k).zip(seconds).zip(expected.chunks_exact_mut(m * n)) {
        reference((a, zeros[0]), (b, zeros[1]), transposed, (scale, clamp), [m, k, n], y);
    }
    let [b_outer, b_heads] = if shared { [1, 1] } else { [outer, heads] };
    let second = if transposed { [b_outer, b_heads, n, k] } else { [b_outer, b_heads, k, n] };
    let mut tensors = [
        tensor(X::DTYPE, [outer, heads, m, k], zeros[0]),
        tensor(X::DTYPE, second, zeros[1]),
        tensor(Y::DTYPE, [outer, heads, m, n], clamp.zero_point),
    ];
    tensors.iter_mut().zip(dynamic).for_each(|(tensor, dynamic)| tensor.dynamic = dynamic);
    let inputs = [(tensors[0], bytemuck::cast_slice(a)), (tensors[1], bytemuck::cast_slice(b))];
    let job = Job { kind, layout, inputs: &inputs, output: tensors[2], rows: (bound, rows) };
    job.run(pool, expected, |_| {
        Ok(MatMulParams { transposed, scale, min: clamp.min, max: clamp.max }.encode())
    })
}

/// Attention-like products, static and with rows that vary.
pub fn run(bench: &mut Bench<'_, '_>) {
    for (index, transposed) in [false, true].into_iter().enumerate() {
        let mut random = Random::new(index as u32 + 500);
        // Of the last one, columns are more than are packed at a time.
        let some = [[1, 1, 1], [3, 5, 7], [8, 16, 16], [5, 16, 17], [9, 7, 12], [2, 33, 4], [6, 19, 75]];
        for sizes in some {
            let case = Case { batches: [1, 2], sizes, transposed, shared: false, present: None };
            let [m, k, n] = sizes;
            bench.each_layout(format_args!("MatMul {m}x{k}x{n} transposed {transposed}"), |pool, layout| {
                check::<i8, i8>(case, OpKind::MatMul, layout, pool, &mut random)
            });
            bench
                .each_layout(format_args!("MatMul16 {m}x{k}x{n} transposed {transposed}"), |pool, layout| {
                    check::<i16, i8>(case, OpKind::MatMul16, layout, pool, &mut random)
                });
        }
        for (batches, sizes) in [([1, 4], [2, 5, 3]), ([2, 2], [3, 16, 5])] {
            let case = Case { batches, sizes, transposed, shared: true, present: None };
            let [m, k, n] = sizes;
            let name =
                format_args!("MatMul {batches:?} times {m}x{k}x{n}, one second transposed {transposed}");
            bench.each_layout(name, |pool, layout| {
                check::<i8, i8>(case, OpKind::MatMul, layout, pool, &mut random)
            });
        }
        for present in [0, 1, 4, 6] {
            let rows = [
                ([6, 8, 5], [true, false, false]),
                ([6, 8, 6], [true, false, true]),
                ([6, 6, 20], [true, true, false]),
                ([5, 6, 7], [false, true, false]),
            ];
            for (sizes, on) in rows {
                let present_rows = Some((on, present));
                let case = Case { batches: [2, 1], sizes, transposed, shared: false, present: present_rows };
                bench.each_layout(
                    format_args!("MatMul {present} of 6 on {on:?} transposed {transposed}"),
                    |pool, layout| check::<i8, i8>(case, OpKind::MatMul, layout, pool, &mut random),
                );
            }
        }
    }
}
