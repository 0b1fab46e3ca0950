//! Cases of weights in fewer bytes than one each: against the same references with the same weights as dense ones.

use mixel_core::kernels::OpKind;
use mixel_core::pack::{Bitmap, Depth, Int4Order, Layout};
use mixel_core::plan::write::{Constant, WriteError, Writer};

use crate::conv::{self, Case};
use crate::{Bench, Failure, Pool, Random, linear, projection};

/// How an operator stores its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A byte each.
    Dense,
    /// Four bits each.
    Int4,
    /// A bitmap, and the values that are not zero.
    Sparse,
}

impl Form {
    /// That of `kind`.
    pub fn of(kind: OpKind) -> Self {
        match kind {
            OpKind::LinearInt4 | OpKind::ConvInt4 | OpKind::ProjectionInt4 => Self::Int4,
            OpKind::LinearSparse | OpKind::ConvSparse => Self::Sparse,
            _ => Self::Dense,
        }
    }

    /// Random weights `[outputs][depth]` that the form can store, their extremes among them. Of a sparse matrix rows are empty,
    /// full or in between; one in four is empty or full throughout.
    ///
    /// # Errors
    /// [`Failure::Memory`].
    pub fn weights<'m>(
        self,
        pool: &mut Pool<'m>,
        random: &mut Random,
        (outputs, depth): (usize, usize),
    ) -> Result<&'m mut [i8], Failure> {
        let weights = pool.random::<i8>(random, outputs * depth)?;
        match self {
            Self::Dense => {}
            Self::Int4 => weights.iter_mut().for_each(|weight| *weight >>= 4),
            Self::Sparse => {
                let all = [Some(0), Some(8), None, None, None, None, None, None][random.size(0, 7)];
                for row in weights.chunks_exact_mut(depth.max(1)) {
                    let eighths = all.unwrap_or([0, 1, 2, 4, 7, 8][random.size(0, 5)]);
                    for weight in row {
                        *weight = if random.range(0, 7) < eighths { (*weight).max(-127) | 1 } else { 0 };
                    }
                }
            }
        }
        Ok(weights)
    }

    /// Adds `weights` (`groups` matrices `[outputs][depth]` in plain order) to a plan, in the layout's order.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn write(
        self,
        writer: &mut Writer<'_>,
        layout: Layout,
        weights: &[i8],
        (groups, outputs, depth): (usize, usize, Depth),
    ) -> Result<Constant, WriteError> {
        let full = WriteError::Full(None);
        let size = match self {
            Self::Dense => layout.matrix().len(outputs, depth).ok_or(full)?,
            Self::Int4 => layout.int4().len(outputs, depth.total()).ok_or(full)?,
            Self::Sparse => {
                let values = weights.iter().filter(|weight| **weight != 0).count();
                let count = Bitmap::len(groups * outputs, depth.total(), values).ok_or(full)?;
                let pack = |room: &mut [u8]| {
                    Bitmap::pack(weights, depth.total(), bytemuck::cast_slice_mut(room));
                };
                return Ok(Constant { offset: writer.data_with(count, pack)?, count });
            }
        };
        let offset = writer.data_with(groups * size, |room| {
            let room = bytemuck::cast_slice_mut::<u8, i8>(room).chunks_exact_mut(size);
            for (matrix, room) in weights.chunks_exact(outputs * depth.total()).zip(room) {
                match self {
                    Self::Int4 => layout.int4().pack(matrix, depth.total(), room),
                    _ => layout.matrix().pack(matrix, outputs, depth, room),
                }
            }
        })?;
        Ok(Constant { offset, count: groups * size })
    }

    /// Adds the weights of a projection, `[rows][width]`, to a plan.
    ///
    /// # Errors
    /// [`WriteError::Full`].
    pub fn write_rows(
        self,
        writer: &mut Writer<'_>,
        weights: &[i8],
        (rows, width): (usize, usize),
    ) -> Result<Constant, WriteError> {
        let order = Int4Order::WORDS;
        let count = match self {
            Self::Int4 => order.len(rows, width).ok_or(WriteError::Full(None))?,
            _ => weights.len(),
        };
        let offset = writer.data_with(count, |room| {
            let room = bytemuck::cast_slice_mut::<u8, i8>(room);
            match self {
                Self::Int4 => order.pack(weights, width, room),
                _ => room.copy_from_slice(weights),
            }
        })?;
        Ok(Constant { offset, count })
    }
}

/// Sizes around the edges of groups, words and tiles.
pub fn run(bench: &mut Bench<'_, '_>) {
    let sizes =
        [(1, 1, 1), (1, 7, 3), (1, 8, 4), (1, 12, 5), (1, 33, 17), (1, 64, 10), (1, 131, 5), (2, 4, 4)];
    let more = [(3, 9, 6), (4, 32, 2), (5, 31, 1), (6, 40, 7), (7, 16, 33), (9, 63, 4), (3, 65, 8)];
    for (kind, name) in [(OpKind::LinearInt4, "LinearInt4"), (OpKind::LinearSparse, "LinearSparse")] {
        for (rows, depth, outputs) in sizes.into_iter().chain(more) {
            let case = linear::Case { rows, present: None, depth, outputs };
            let mut random = Random::new((rows * 1000 + depth * 10 + outputs) as u32);
            bench.each_layout(format_args!("{name} {rows}x{depth}->{outputs}"), |pool, layout| {
                linear::check::<i8, i8>(case, kind, layout, pool, &mut random)
            });
        }
        for present in [0, 1, 2, 5, 7] {
            let case = linear::Case { rows: 7, present: Some(present), depth: 13, outputs: 9 };
            let mut random = Random::new(present as u32);
            bench.each_layout(format_args!("{name} {present} of 7x13->9"), |pool, layout| {
                linear::check::<i8, i8>(case, kind, layout, pool, &mut random)
            });
        }
    }
    let windows = [
        ("3x3", Case::new([1, 6, 7, 8], 8, [3, 3], 1, [1, 1], 1)),
        ("3x3 rgb s2", Case::new([1, 9, 9, 3], 5, [3, 3], 2, [1, 1], 1)),
        ("3x3 in 2 groups", Case::new([1, 5, 6, 8], 6, [3, 3], 1, [1, 1], 2)),
        ("1-D dilated", Case::new([1, 1, 17, 6], 9, [1, 3], 1, [0, 2], 1).dilated([1, 2])),
        ("1x1 s2", Case::new([1, 6, 5, 16], 17, [1, 1], 2, [0, 0], 1)),
    ];
    for (kind, name) in [(OpKind::ConvInt4, "ConvInt4"), (OpKind::ConvSparse, "ConvSparse")] {
        for (index, (window, case)) in windows.into_iter().enumerate() {
            let mut random = Random::new(index as u32 + 700);
            bench.each_layout(format_args!("{name} {window}"), |pool, layout| {
                conv::check::<i8, i8>(case, kind, layout, pool, &mut random)
            });
        }
    }
    let case =
        projection::Case { length: 5, words: 4, present: None, hashes: 4, slots: 3, bins: 16, width: 21 };
    let cases = [case, projection::Case { width: 8, ..case }, projection::Case { present: Some(2), ..case }];
    for (index, case) in cases.into_iter().enumerate() {
        let mut random = Random::new(index as u32 + 800);
        bench.once(format_args!("ProjectionInt4 {index}"), |pool| {
            projection::check::<i8>(case, OpKind::ProjectionInt4, pool, &mut random)
        });
    }
}
