//! Cases of embeddings.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::embedding::{EmbeddingParams, reference};
use mixel_core::pack::Layout;
use mixel_core::plan::DType;
use mixel_core::plan::write::Constant;
use mixel_core::text::ABSENT;

use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Sizes of an embedding.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Bound of the numbers.
    pub length: usize,
    /// Numbers present at run time; none for a static shape.
    pub present: Option<usize>,
    /// Rows of the table that numbers name.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
}

/// Runs one case, with numbers that name no row among the others.
///
/// # Errors
/// What went wrong first.
pub fn check(case: Case, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let Case { length, present, rows, width } = case;
    let x = pool.take::<u16>(length)?;
    for (place, number) in x.iter_mut().enumerate() {
        *number = match place % 4 {
            1 => rows as u16,
            3 => ABSENT,
            _ => random.range(0, rows.max(1) as i32 - 1) as u16,
        };
    }
    let table = pool.random::<i8>(random, (rows + 1) * width)?;
    let expected = pool.take::<i8>(length * width)?;
    reference(&x[..present.unwrap_or(length)], table, width, expected);
    let mut input = tensor(DType::U16, [1, 1, length, 1], 0);
    let mut output = tensor(DType::I8, [1, 1, length, width], random.range(-128, 127));
    if present.is_some() {
        (input.dynamic, output.dynamic) = (0b0100, 0b0100);
    }
    let bound = present.map_or((0, 0), |present| (length, present));
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind: OpKind::Embedding, layout: Layout::Generic, inputs: &inputs, output, rows: bound }.run(
        pool,
        expected,
        |writer| {
            let offset = writer.data(bytemuck::cast_slice(table))?;
            Ok(EmbeddingParams { table: Constant { offset, count: table.len() } }.encode())
        },
    )
}

/// Rows that vary, a table with nothing to be named, single elements.
pub fn run(bench: &mut Bench<'_, '_>) {
    let case = Case { length: 9, present: None, rows: 5, width: 19 };
    let cases = [
        case,
        Case { present: Some(6), ..case },
        Case { present: Some(0), ..case },
        Case { rows: 0, ..case },
        Case { length: 1, rows: 1, width: 1, ..case },
    ];
    for (index, case) in cases.into_iter().enumerate() {
        let mut random = Random::new(index as u32 + 640);
        bench.once(format_args!("Embedding {index}"), |pool| check(case, pool, &mut random));
    }
}
