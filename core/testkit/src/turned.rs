//! Cases of linear layers that read or write columns.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::linear::{LinearParams, reference};
use mixel_core::kernels::requant::Clamp;
use mixel_core::kernels::turned::Turned;
use mixel_core::pack::{Depth, Layout};
use mixel_core::plan::DType;

use crate::packed::Form;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Matrices of activations, their rows, depth and outputs, and what is turned.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The two dimensions in front.
    pub matrices: [usize; 2],
    /// Rows of each: columns where they are turned.
    pub rows: usize,
    /// Inputs of a row.
    pub depth: usize,
    /// Outputs of a row.
    pub outputs: usize,
    /// Input, output or both.
    pub turned: Turned,
}

impl Case {
    /// Any sizes of some columns and rows.
    pub fn random(random: &mut Random) -> Self {
        let sides = random.range(1, 3);
        Self {
            matrices: [random.size(1, 2), random.size(1, 2)],
            rows: random.size(1, 40),
            depth: random.size(1, 40),
            outputs: random.size(1, 24),
            turned: Turned { input: sides & 1 != 0, output: sides & 2 != 0 },
        }
    }
}

/// Matrices of `rows` rows of `size` elements, with rows and elements exchanged.
fn transposed<'m>(pool: &mut Pool<'m>, x: &'m [i8], [rows, size]: [usize; 2]) -> Result<&'m [i8], Failure> {
    let y = pool.take::<i8>(x.len())?;
    for (at, &x) in x.iter().enumerate() {
        let (matrix, row, column) = (at / (rows * size), at / size % rows, at % size);
        y[(matrix * size + column) * rows + row] = x;
    }
    Ok(y)
}

/// Runs one case.
///
/// # Errors
/// What went wrong first.
pub fn check(case: Case, layout: Layout, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let Case { matrices: [images, heads], rows, depth, outputs, turned } = case;
    let (kind, matrices) = (OpKind::LinearTurned, images * heads);
    let x: &[i8] = pool.random::<i8>(random, matrices * rows * depth)?;
    let form = Form::of(kind);
    let weights = form.weights(&mut pool, random, (outputs, depth))?;
    let channels = pool.channels(random, outputs, depth, false)?;
    // The whole range has shorter ways on some targets.
    let max = [127, 127, random.range(0, 127)][random.size(0, 2)];
    let clamp = Clamp { zero_point: random.range(-128, 127), min: -128, max };
    let made = pool.take::<i8>(matrices * rows * outputs)?;
    reference(x, weights, &channels.view(), clamp, depth, made);
    let made: &[i8] = made;
    let x = if turned.input { transposed(&mut pool, x, [rows, depth])? } else { x };
    let expected = if turned.output { transposed(&mut pool, made, [rows, outputs])? } else { made };
    let dims = |turned: bool, size: usize| {
        if turned { [images, heads, size, rows] } else { [images, heads, rows, size] }
    };
    let input = tensor(DType::I8, dims(turned.input, depth), random.range(-128, 127));
    let output = tensor(DType::I8, dims(turned.output, outputs), clamp.zero_point);
    Job { kind, layout, inputs: &[(input, bytemuck::cast_slice(x))], output, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| {
            let weights = form.write(writer, layout, weights, (1, outputs, Depth::whole(depth)))?;
            let channels = channels.write(writer)?;
            let layer = LinearParams { weights, channels, min: clamp.min, max: clamp.max };
            Ok(layer.encode_turned(turned))
        },
    )
}

/// Sizes around the edges of tiles and of what is transposed at once.
pub fn run(bench: &mut Bench<'_, '_>) {
    let sizes =
        [(1, 1, 1), (3, 4, 2), (4, 8, 5), (5, 7, 4), (8, 12, 16), (14, 33, 9), (35, 64, 6), (2, 300, 3)];
    for (rows, depth, outputs) in sizes {
        for (input, output) in [(true, false), (false, true), (true, true)] {
            let turned = Turned { input, output };
            let case = Case { matrices: [1, 1 + rows % 2], rows, depth, outputs, turned };
            let mut random = Random::new((rows * 1000 + depth * 10 + outputs) as u32);
            bench.each_layout(
                format_args!("LinearTurned {rows}x{depth}->{outputs} {input} {output}"),
                |pool, layout| check(case, layout, pool, &mut random),
            );
        }
    }
}
