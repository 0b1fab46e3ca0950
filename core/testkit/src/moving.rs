//! Cases of operators that combine, move, pick or resample elements.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::gather::{self, GatherParams};
use mixel_core::kernels::movement::{self, Loop, MoveParams};
use mixel_core::kernels::reduce::{self, Combine, ReduceParams};
use mixel_core::kernels::requant::Scale;
use mixel_core::kernels::resize::{self, ResizeParams};
use mixel_core::pack::Layout;
use mixel_core::plan::write::{Constant, WriteError, Writer};

use crate::bench::{narrowed, widened};
use crate::linear::Activation;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Runs one case of a reduction of `[a, b, c, d]` over the axes of the mask; dimension 2 has `present` rows if it varies.
///
/// # Errors
/// What went wrong first.
pub fn check_reduce<X: Activation, Y: Activation>(
    (dims, axes, present): ([usize; 4], u8, Option<usize>),
    combine: Combine,
    kind: OpKind,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let reduced = |axis: usize| axes >> axis & 1 == 1;
    let zeros = [random.range(-128, 127), random.range(-128, 127)];
    let out: [usize; 4] = core::array::from_fn(|axis| if reduced(axis) { 1 } else { dims[axis] });
    let (mut input, mut output) = (tensor(X::DTYPE, dims, zeros[0]), tensor(Y::DTYPE, out, zeros[1]));
    if present.is_some() {
        input.dynamic = 0b0100;
        output.dynamic = 0b0100 & !axes;
    }
    let up = Y::MAX.ilog2() as i32 - X::MAX.ilog2() as i32;
    let scale = Scale { multiplier: random.range(1 << 29, 1 << 30), shift: (30 - up) as u8 };
    let params = ReduceParams { combine, axes, scale, min: Y::MIN, max: Y::MAX };
    let x = pool.random::<X>(random, input.elements())?;
    let values = widened(&mut pool, x)?;
    let (expected, members) = (pool.take::<i32>(output.elements())?, pool.take::<i32>(x.len())?);
    for (to, expected) in expected.iter_mut().enumerate() {
        let mut count = 0;
        for (from, value) in values.iter().enumerate() {
            let (mut rest, mut target, mut stride, mut inside) = (from, 0, 1, true);
            for axis in (0..4).rev() {
                let at = rest % dims[axis];
                rest /= dims[axis];
                target += if reduced(axis) { 0 } else { at * stride };
                stride *= out[axis];
                inside &= axis != 2 || present.is_none_or(|present| at < present);
            }
            if target == to && inside {
                members[count] = *value;
                count += 1;
            }
        }
        *expected = reduce::reference(&members[..count], &params, zeros);
    }
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let rows = present.map_or((0, 0), |present| (dims[2], present));
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows }
        .run(pool, expected, |_| Ok(params.encode()))
}

/// Runs one move that writes every element of its output.
///
/// # Errors
/// What went wrong first.
pub fn check_move<X: Activation>(
    (from, to): ([usize; 4], [usize; 4]),
    params: &MoveParams,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let (input, output) = (tensor(X::DTYPE, from, 0), tensor(X::DTYPE, to, 0));
    let x = pool.random::<X>(random, input.elements())?;
    let expected = pool.take::<X>(output.elements())?;
    movement::reference(x, params, params.fill.map(X::narrow), expected);
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind: OpKind::Move, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |_| Ok(params.encode()),
    )
}

fn indices(writer: &mut Writer<'_>, values: &[u16]) -> Result<Constant, WriteError> {
    Ok(Constant { offset: writer.data(bytemuck::cast_slice(values))?, count: values.len() })
}

/// Runs one case of a gather along `axis`.
///
/// # Errors
/// What went wrong first.
pub fn check_gather<X: Activation>(
    axis: usize,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let dims = [2, 3, 4, 5];
    let mut list = [0u16; 7];
    list.iter_mut().for_each(|index| *index = random.size(0, dims[axis] - 1) as u16);
    let mut out = dims;
    out[axis] = list.len();
    let (input, output) = (tensor(X::DTYPE, dims, 0), tensor(X::DTYPE, out, 0));
    let x = pool.random::<X>(random, input.elements())?;
    let expected = pool.take::<X>(output.elements())?;
    gather::reference(x, dims[axis], dims[axis + 1..].iter().product(), &list, expected);
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind: OpKind::Gather, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| Ok(GatherParams { axis: axis as u8, indices: indices(writer, &list)? }.encode()),
    )
}

/// Runs one case of a resize with random taps, some of them without weight.
///
/// # Errors
/// What went wrong first.
pub fn check_resize<X: Activation>(
    kind: OpKind,
    bits: u8,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let (from, to) = ([3, 5, 6], [7, 4]);
    let (input, output) = (tensor(X::DTYPE, [1, 3, 5, 6], 9), tensor(X::DTYPE, [1, 7, 4, 6], 9));
    let mut taps = |inputs: usize, count: usize| {
        let list = pool.take::<u16>(3 * count)?;
        for tap in list.chunks_exact_mut(3) {
            tap[0] = random.size(0, inputs - 1) as u16;
            tap[1] = random.size(0, inputs - 1) as u16;
            tap[2] = if random.range(0, 2) == 0 { 0 } else { random.range(0, 1 << bits) as u16 };
        }
        Ok::<_, Failure>(&*list)
    };
    let (rows, columns) = (taps(from[0], to[0])?, taps(from[1], to[1])?);
    let x = pool.random::<X>(random, input.elements())?;
    let expected = pool.take::<i32>(output.elements())?;
    resize::reference(widened(&mut pool, x)?, from, (rows, columns), bits, expected);
    let expected = narrowed::<X>(&mut pool, expected)?;
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| {
            let (rows, columns) = (indices(writer, rows)?, indices(writer, columns)?);
            Ok(ResizeParams { bits, rows, columns }.encode())
        },
    )
}

/// A move with loops given as (count, step in the input, step in the output).
fn moves(from: u32, to: u32, fill: Option<i32>, list: &[(u32, i32, i32)]) -> MoveParams {
    let loops = list.iter().map(|&(count, from_step, to_step)| Loop { count, from_step, to_step });
    MoveParams { from, to, fill, dynamic: 0, loops: loops.collect() }
}

/// All sets of axes, all kinds of moves, all types.
pub fn run(bench: &mut Bench<'_, '_>) {
    let mut random = Random::new(23);
    for (axes, present) in (1..16).flat_map(|axes| [(axes, None), (axes, Some(0)), (axes, Some(3))]) {
        for combine in [Combine::Mean, Combine::Sum, Combine::Max] {
            let case = ([2, 3, 4, 3], axes, present);
            bench.once(format_args!("Reduce {combine:?} {axes:04b} {present:?}"), |pool| {
                check_reduce::<i8, i8>(case, combine, OpKind::Reduce, pool, &mut random)
            });
            bench.once(format_args!("Reduce16 {combine:?} {axes:04b} {present:?}"), |pool| {
                check_reduce::<i16, i16>(case, combine, OpKind::Reduce16, pool, &mut random)
            });
        }
    }
    let moves = [
        ("transpose", ([1, 2, 3, 4], [1, 4, 2, 3]), moves(0, 0, None, &[(4, 1, 6), (2, 12, 3), (3, 4, 1)])),
        (
            "long rows across",
            ([1, 2, 9, 14], [1, 2, 14, 9]),
            moves(0, 0, None, &[(2, 126, 126), (9, 14, 1), (14, 1, 9)]),
        ),
        (
            "long columns along",
            ([1, 2, 9, 14], [1, 2, 14, 9]),
            moves(0, 0, None, &[(2, 126, 126), (14, 1, 9), (9, 14, 1)]),
        ),
        (
            "part across, upside down",
            ([1, 1, 8, 17], [1, 1, 9, 8]),
            moves(3, 64, None, &[(8, 17, 1), (9, 1, -8)]),
        ),
        ("planes to pixels", ([1, 3, 5, 7], [1, 5, 7, 3]), moves(0, 0, None, &[(35, 1, 3), (3, 35, 1)])),
        ("pixels to planes", ([1, 5, 7, 3], [1, 3, 5, 7]), moves(0, 0, None, &[(35, 3, 1), (3, 1, 35)])),
        ("slice", ([1, 2, 3, 4], [1, 2, 3, 2]), moves(8, 0, None, &[(2, 12, 6), (3, -4, 2), (2, 2, 1)])),
        ("pad", ([1, 2, 3, 4], [1, 4, 5, 4]), moves(0, 24, Some(-3), &[(2, 12, 20), (3, 4, 4), (4, 1, 1)])),
        ("expand", ([1, 1, 1, 5], [1, 1, 4, 5]), moves(0, 0, None, &[(4, 0, 5), (5, 1, 1)])),
        (
            "repeat",
            ([1, 2, 2, 3], [1, 4, 4, 3]),
            moves(0, 0, None, &[(2, 6, 24), (2, 0, 12), (2, 3, 6), (2, 0, 3), (3, 1, 1)]),
        ),
        (
            "shuffle",
            ([1, 2, 2, 8], [1, 4, 4, 2]),
            moves(0, 0, None, &[(2, 16, 16), (2, 4, 8), (2, 8, 4), (2, 2, 2), (2, 1, 1)]),
        ),
    ];
    for (name, shapes, params) in moves {
        bench.once(format_args!("Move {name} i8"), |pool| {
            check_move::<i8>(shapes, &params, pool, &mut random)
        });
        bench.once(format_args!("Move {name} i16"), |pool| {
            check_move::<i16>(shapes, &params, pool, &mut random)
        });
    }
    for axis in 0..4 {
        bench.once(format_args!("Gather {axis} i8"), |pool| check_gather::<i8>(axis, pool, &mut random));
        bench.once(format_args!("Gather {axis} i16"), |pool| check_gather::<i16>(axis, pool, &mut random));
    }
    for bits in [1, 4, 11] {
        bench.once(format_args!("Resize {bits}"), |pool| {
            check_resize::<i8>(OpKind::Resize, bits, pool, &mut random)
        });
        bench.once(format_args!("Resize16 {bits}"), |pool| {
            check_resize::<i16>(OpKind::Resize16, bits + 4, pool, &mut random)
        });
    }
}
