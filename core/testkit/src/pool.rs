//! Cases of pools.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::conv::Shapes;
use mixel_core::kernels::pool::{AveragePoolParams, MaxPoolParams, average_reference, max_reference};
use mixel_core::kernels::requant::{Clamp, Scale};
use mixel_core::pack::Layout;
use mixel_core::plan::write::Constant;

use crate::conv::Case;
use crate::linear::Activation;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Runs one case of the largest value.
///
/// # Errors
/// What went wrong first.
pub fn check_max<X: Activation>(
    case: Case,
    kind: OpKind,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let shapes =
        Shapes { input: case.input, output: [case.input[0], case.size[0], case.size[1], case.input[3]] };
    let x = pool.random::<X>(random, shapes.input.into_iter().product())?;
    let clamp = Clamp { zero_point: 0, min: random.range(X::MIN, 0), max: X::MAX };
    let input = tensor(X::DTYPE, shapes.input, 3);
    let output = tensor(X::DTYPE, shapes.output, 3);
    let expected = pool.take::<X>(output.elements())?;
    max_reference(x, &case.window, clamp, shapes, expected);
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(pool, expected, |_| {
        Ok(MaxPoolParams { window: case.window, min: clamp.min, max: clamp.max }.encode())
    })
}

/// Runs one case of the mean.
///
/// # Errors
/// What went wrong first.
pub fn check_average<X: Activation, Y: Activation>(
    case: Case,
    count_padding: bool,
    kind: OpKind,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let shapes =
        Shapes { input: case.input, output: [case.input[0], case.size[0], case.size[1], case.input[3]] };
    let window = case.window;
    let x = pool.random::<X>(random, shapes.input.into_iter().product())?;
    let input = tensor(X::DTYPE, shapes.input, random.range(-128, 127));
    let clamp = Clamp { zero_point: random.range(-128, 127), min: Y::MIN, max: Y::MAX };
    let output = tensor(Y::DTYPE, shapes.output, clamp.zero_point);
    let taps = window.kernel[0] as usize * window.kernel[1] as usize;
    let smallest = if count_padding { taps } else { 1 };
    // Input and output steps of about the same size, whatever the types; the factor of 1 tap is below 1.
    let factor = random.range(1 << 29, i32::MAX / 2);
    let multipliers = pool.take::<i32>(taps + 1 - smallest)?;
    for (index, multiplier) in multipliers.iter_mut().enumerate() {
        *multiplier = factor / (index + smallest) as i32;
    }
    let scale = |count: usize| Scale { multiplier: multipliers[count - smallest], shift: 30 };
    let expected = pool.take::<Y>(output.elements())?;
    average_reference((x, input.zero_point), (&window, count_padding), scale, clamp, shapes, expected);
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| {
            let offset = writer.data(bytemuck::cast_slice(multipliers))?;
            let multipliers = Constant { offset, count: multipliers.len() };
            let (min, max, smallest) = (clamp.min, clamp.max, smallest as u16);
            Ok(AveragePoolParams { window, count_padding, smallest, multipliers, shift: 30, min, max }
                .encode())
        },
    )
}

/// Local and global pools, with and without padding.
pub fn run(bench: &mut Bench<'_, '_>) {
    let cases = [
        ("2x2", Case::new([1, 6, 6, 8], 8, [2, 2], 2, [0, 0], 1)),
        ("3x3 padded", Case::new([2, 5, 7, 9], 9, [3, 3], 1, [1, 1], 1)),
        ("3x3 s2 padded", Case::new([1, 8, 7, 3], 3, [3, 3], 2, [1, 1], 1)),
        ("global", Case::new([1, 5, 4, 17], 17, [5, 4], 1, [0, 0], 1)),
        ("1-D", Case::new([1, 1, 15, 5], 5, [1, 4], 3, [0, 0], 1)),
    ];
    for (index, (name, case)) in cases.into_iter().enumerate() {
        let mut random = Random::new(index as u32 + 400);
        bench.once(format_args!("MaxPool {name}"), |pool| {
            check_max::<i8>(case, OpKind::MaxPool, pool, &mut random)
        });
        bench.once(format_args!("MaxPool16 {name}"), |pool| {
            check_max::<i16>(case, OpKind::MaxPool16, pool, &mut random)
        });
        for count_padding in [false, true] {
            let counting = if count_padding { " counting padding" } else { "" };
            bench.once(format_args!("AveragePool {name}{counting}"), |pool| {
                check_average::<i8, i8>(case, count_padding, OpKind::AveragePool, pool, &mut random)
            });
            bench.once(format_args!("AveragePool16 {name}{counting}"), |pool| {
                check_average::<i16, i16>(case, count_padding, OpKind::AveragePool16, pool, &mut random)
            });
        }
    }
}
