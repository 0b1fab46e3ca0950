//! Cases of linear layers.

use bytemuck::Pod;
use mixel_core::arch::matrix::Lane;
use mixel_core::kernels::OpKind;
use mixel_core::kernels::linear::{LinearParams, reference};
use mixel_core::kernels::requant::Clamp;
use mixel_core::pack::{Depth, Layout};
use mixel_core::plan::DType;

use crate::packed::Form;
use crate::part::Between;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Element types of activations and their codes.
pub trait Activation: Pod + Lane {
    /// Code of the type.
    const DTYPE: DType;
}

impl Activation for i8 {
    const DTYPE: DType = DType::I8;
}

impl Activation for i16 {
    const DTYPE: DType = DType::I16;
}

/// Rows (bound and present), depth and outputs of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Bound of the rows.
    pub rows: usize,
    /// Rows present; none for a static shape.
    pub present: Option<usize>,
    /// Inputs of a row.
    pub depth: usize,
    /// Outputs of a row.
    pub outputs: usize,
}

/// Runs one case with types `X` to `Y`; of [`OpKind::LinearPart`] between channels that it must leave alone.
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
    let Case { rows, present, depth, outputs } = case;
    let x = pool.random::<X>(random, rows * depth)?;
    let form = Form::of(kind);
    let weights = form.weights(&mut pool, random, (outputs, depth))?;
    let fine = X::MAX > i8::MAX as i32;
    let mut channels =
        pool.channels(random, outputs, if fine { depth << 16 } else { depth }, Y::MAX > i8::MAX as i32)?;
    channels.shorten(kind, layout, random);
    // The whole range has shorter ways on some targets.
    let max = [Y::MAX, Y::MAX, random.range(0, Y::MAX)][random.size(0, 2)];
    let clamp = Clamp { zero_point: random.range(-128, 127), min: Y::MIN, max };
    let made = pool.take::<Y>(rows * outputs)?;
    reference(x, weights, &channels.view(), clamp, depth, made);
    let part = kind == OpKind::LinearPart;
    let between = Between::random(part, random);
    let expected = between.expected(&mut pool, made, outputs)?;
    let mut input = tensor(X::DTYPE, [1, 1, rows, depth], random.range(-128, 127));
    let mut output = tensor(Y::DTYPE, [1, 1, rows, between.channels(outputs)], clamp.zero_point);
    if present.is_some() {
        (input.dynamic, output.dynamic) = (0b0100, 0b0100);
    }
    let rows = present.map_or((0, 0), |present| (rows, present));
    Job { kind, layout, inputs: &[(input, bytemuck::cast_slice(x))], output, rows }.run(
        pool,
        expected,
        |writer| {
            let weights = form.write(writer, layout, weights, (1, outputs, Depth::whole(depth)))?;
            let channels = channels.write(writer)?;
            let layer = LinearParams { weights, channels, min: clamp.min, max: clamp.max };
            Ok(if part { layer.encode_part(between.part(outputs)) } else { layer.encode() })
        },
    )
}

/// Sizes around the edges of tiles.
pub fn run(bench: &mut Bench<'_, '_>) {
    let sizes =
        [(1, 1, 1), (1, 4, 2), (1, 5, 3), (1, 16, 16), (1, 17, 17), (1, 64, 10), (2, 4, 4), (3, 8, 6)];
    let more = [(4, 7, 16), (5, 12, 12), (7, 16, 33), (9, 31, 4), (6, 8, 16), (1, 130, 5), (3, 3, 31)];
    // Groups of 16 inputs: two, and every remainder of four behind them.
    let deep = [
        (2, 32, 4),
        (4, 48, 8),
        (3, 64, 5),
        (2, 80, 12),
        (5, 93, 4),
        (2, 112, 4),
        (3, 200, 9),
        (70, 9, 8),
        (67, 8, 6),
        (9, 16, 3),
        (9, 20, 3),
    ];
    for (rows, depth, outputs) in sizes.into_iter().chain(more).chain(deep) {
        let case = Case { rows, present: None, depth, outputs };
        let mut random = Random::new((rows * 1000 + depth * 10 + outputs) as u32);
        bench.each_layout(format_args!("Linear {rows}x{depth}->{outputs}"), |pool, layout| {
            check::<i8, i8>(case, OpKind::Linear, layout, pool, &mut random)
        });
        bench.each_layout(format_args!("LinearPart {rows}x{depth}->{outputs}"), |pool, layout| {
            check::<i8, i8>(case, OpKind::LinearPart, layout, pool, &mut random)
        });
    }
    for present in [0, 1, 2, 3, 6, 7] {
        let case = Case { rows: 7, present: Some(present), depth: 12, outputs: 9 };
        let mut random = Random::new(present as u32);
        bench.each_layout(format_args!("Linear {present} of 7x12->9"), |pool, layout| {
            check::<i8, i8>(case, OpKind::Linear, layout, pool, &mut random)
        });
        bench.each_layout(format_args!("LinearPart {present} of 7x12->9"), |pool, layout| {
            check::<i8, i8>(case, OpKind::LinearPart, layout, pool, &mut random)
        });
    }
    let case = Case { rows: 5, present: None, depth: 11, outputs: 6 };
    let mut random = Random::new(16);
    bench.each_layout(format_args!("Linear16 i16->i8"), |pool, layout| {
        check::<i16, i8>(case, OpKind::Linear16, layout, pool, &mut random)
    });
    bench.each_layout(format_args!("Linear16 i8->i16"), |pool, layout| {
        check::<i8, i16>(case, OpKind::Linear16, layout, pool, &mut random)
    });
    bench.each_layout(format_args!("Linear16 i16->i16"), |pool, layout| {
        check::<i16, i16>(case, OpKind::Linear16, layout, pool, &mut random)
    });
}
