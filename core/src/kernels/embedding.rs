//! Rows of a table by numbers that are known when the plan runs: embeddings of words, and of places.

use super::{Kernel, OpKind, Run};
use crate::arch::view::In;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator};

/// The operator: numbers, u16 `[1, 1, length, 1]`, to rows, int8 `[1, 1, length, width]`.
pub struct Embedding;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddingParams {
    /// `[rows + 1][width]` i8, each as it becomes a row of the output; the last one for every number that names no other.
    pub table: Constant,
}

impl EmbeddingParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().constant(self.table.offset, self.table.count)
    }
}

fn table<'p>(operator: &Operator<'p>) -> Option<In<'p, i8>> {
    let mut cursor = operator.params();
    let table = operator.constant(&mut cursor);
    cursor.finished().then_some(table)
}

impl Kernel for Embedding {
    const KIND: OpKind = OpKind::Embedding;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, y) = operator.unary()?;
        if (x.dtype, y.dtype) != (DType::U16, DType::I8) {
            return Err(Fault::Types);
        }
        if x.dims[..3] != y.dims[..3] || x.dims[..2] != [1, 1] || x.dims[3] != 1 {
            return Err(Fault::Shapes);
        }
        if x.dynamic != y.dynamic || x.dynamic & 0b1011 != 0 {
            return Err(Fault::Dynamic);
        }
        let table = table(operator).ok_or(Fault::Params)?;
        let whole = !table.is_empty() && table.len().checked_rem(y.inner()) == Some(0);
        if whole { Ok(()) } else { Err(Fault::Constants) }
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(table) = table(run.operator()) else { return };
        let (x, y) = (run.read::<u16>(&input), run.write::<i8>(&output));
        let width = output.inner();
        let last = table.len().checked_div(width).unwrap_or(0).saturating_sub(1);
        for place in 0..input.dims_with(run.rows())[2] {
            let row = last.min(x.get(place).into());
            y.window(place * width, width).copy_from(&table.window(row * width, width));
        }
    }
}

/// The specification, for rows of `width` elements.
pub fn reference(x: &[u16], table: &[i8], width: usize, y: &mut [i8]) {
    let count = table.len() / width;
    for (&number, y) in x.iter().zip(y.chunks_exact_mut(width)) {
        let row = if (number as usize) < count - 1 { number as usize } else { count - 1 };
        y.copy_from_slice(&table[row * width..][..width]);
    }
}
