//! Cases of sparse projections.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::projection::{ProjectionParams, reference};
use mixel_core::kernels::requant::Clamp;
use mixel_core::pack::Layout;
use mixel_core::plan::DType;
use mixel_core::text::ABSENT;

use crate::linear::Activation;
use crate::packed::Form;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Sizes of a projection.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Bound of the words.
    pub length: usize,
    /// Words that have bins.
    pub words: usize,
    /// Words present at run time; none for a static shape.
    pub present: Option<usize>,
    /// Bins of a word.
    pub hashes: usize,
    /// Words in the window.
    pub slots: usize,
    /// Bins of a filter.
    pub bins: usize,
    /// Outputs of a word.
    pub width: usize,
}

/// Runs one case with output type `Y`.
///
/// # Errors
/// What went wrong first.
pub fn check<Y: Activation>(
    case: Case,
    kind: OpKind,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let Case { length, words, present, hashes, slots, bins, width } = case;
    let x = pool.take::<u16>(length * hashes)?;
    x.fill(ABSENT);
    for bin in x.iter_mut().take(words * hashes) {
        *bin = random.range(0, bins as i32 - 1) as u16;
    }
    let form = Form::of(kind);
    let weights = form.weights(&mut pool, random, (slots * bins, width))?;
    let channels = pool.channels(random, width, 1, Y::MAX > i8::MAX as i32)?;
    let clamp = Clamp { zero_point: random.range(-128, 127), min: Y::MIN, max: Y::MAX };
    let features = pool.take::<i32>(slots * bins)?;
    let expected = pool.take::<Y>(length * width)?;
    let seen = present.unwrap_or(length) * hashes;
    reference((&x[..seen], hashes), (weights, slots, bins), &channels.view(), clamp, features, expected);
    let mut input = tensor(DType::U16, [1, 1, length, hashes], 0);
    let mut output = tensor(Y::DTYPE, [1, 1, length, width], clamp.zero_point);
    if present.is_some() {
        (input.dynamic, output.dynamic) = (0b0100, 0b0100);
    }
    let rows = present.map_or((0, 0), |present| (length, present));
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows }.run(pool, expected, |writer| {
        let weights = form.write_rows(writer, weights, (slots * bins, width))?;
        let channels = channels.write(writer)?;
        let (min, max) = (clamp.min, clamp.max);
        Ok(ProjectionParams { slots: slots as u16, bins: bins as u16, weights, channels, min, max }.encode())
    })
}

/// Sentences without words, of one word, full ones, and static shapes with absent words.
pub fn run(bench: &mut Bench<'_, '_>) {
    let case = Case { length: 5, words: 5, present: None, hashes: 4, slots: 3, bins: 16, width: 21 };
    let cases = [
        case,
        Case { words: 2, ..case },
        Case { words: 0, ..case },
        Case { present: Some(3), ..case },
        Case { present: Some(1), slots: 1, ..case },
        Case { present: Some(0), ..case },
        Case { slots: 5, width: 16, ..case },
        Case { hashes: 9, width: 37, ..case },
    ];
    for (index, case) in cases.into_iter().enumerate() {
        let mut random = Random::new(index as u32 + 600);
        bench.once(format_args!("Projection {index}"), |pool| {
            check::<i8>(case, OpKind::Projection, pool, &mut random)
        });
        bench.once(format_args!("Projection16 {index}"), |pool| {
            check::<i16>(case, OpKind::Projection16, pool, &mut random)
        });
    }
}
