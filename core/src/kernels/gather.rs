//! Slices of a tensor by constant indices along one axis: `y[.., i, ..] = x[.., indices[i], ..]`.

use super::nest::{Lanes, blocks};
use super::{Kernel, OpKind, Run};
use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};
use crate::plan::{Fault, Operator};

/// The operator.
pub struct Gather;

/// The parameters as the plan stores them. Input and output have the same type, any of all types, and the same dimensions
/// but for the axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatherParams {
    /// Dimension 0 to 3 (of the four); it does not vary at run time.
    pub axis: u8,
    /// u16, as many as the output has along the axis, each below the input's dimension.
    pub indices: Constant,
}

impl GatherParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().u8(self.axis).constant(self.indices.offset, self.indices.count)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self { axis: cursor.u8(), indices: Constant::read(&mut cursor) };
        cursor.finished().then_some(params)
    }
}

impl Kernel for Gather {
    const KIND: OpKind = OpKind::Gather;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, y) = operator.unary()?;
        if x.dtype != y.dtype {
            return Err(Fault::Types);
        }
        let params = GatherParams::read(operator.params()).ok_or(Fault::Params)?;
        let axis = params.axis as usize;
        let dim = *x.dims.get(axis).ok_or(Fault::Params)?;
        if (0..4).any(|other| other != axis && x.dims[other] != y.dims[other]) {
            return Err(Fault::Shapes);
        }
        if x.dynamic != y.dynamic || x.dynamic >> axis & 1 == 1 {
            return Err(Fault::Dynamic);
        }
        let indices = operator.slice::<u16>(params.indices);
        let right = (0..indices.len()).all(|index| (indices.get(index) as u32) < dim);
        if right && indices.len() == y.dims[axis] as usize { Ok(()) } else { Err(Fault::Constants) }
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = GatherParams::read(run.operator().params()) else { return };
        let axis = params.axis as usize;
        let Ok(lanes) = Lanes::new(&input, axis, axis, run.rows()) else { return };
        let (x, y) = (run.read_bytes(&input), run.write_bytes(&output));
        let (indices, len) = (run.operator().slice::<u16>(params.indices), lanes.stride * input.dtype.size());
        for block in blocks(&input, axis, run.rows()) {
            for place in 0..indices.len() {
                let from = (block * lanes.bound + indices.get(place) as usize) * len;
                let to = (block * indices.len() + place) * len;
                y.window(to, len).copy_from(&x.window(from, len));
            }
        }
    }
}

/// The specification: `x` is `[outer][dim][inner]`, `y` is `[outer][indices][inner]`.
pub fn reference<T: Copy>(x: &[T], dim: usize, inner: usize, indices: &[u16], y: &mut [T]) {
    for (x, y) in x.chunks_exact(dim * inner).zip(y.chunks_exact_mut(indices.len() * inner)) {
        for (&index, y) in indices.iter().zip(y.chunks_exact_mut(inner)) {
            y.copy_from_slice(&x[index as usize * inner..][..inner]);
        }
    }
}
