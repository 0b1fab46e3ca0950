//! The channels of several tensors one behind the other, at every position: a concatenation along the last axis.

use super::movement::copy;
use super::{Kernel, OpKind, Run};
use crate::arch::moving::Plane;
use crate::plan::{Fault, Operator};

/// The operator: inputs `[n, h, w, c_i]` of one type, output `[n, h, w, sum of c_i]` of that type. No parameters.
pub struct Join;

impl Kernel for Join {
    const KIND: OpKind = OpKind::Join;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        if operator.outputs != 1 || operator.inputs == 0 {
            return Err(Fault::Operands);
        }
        let y = operator.output(0)?;
        let mut channels = 0;
        for index in 0..operator.inputs as usize {
            let x = operator.input(index)?;
            if x.dtype != y.dtype {
                return Err(Fault::Types);
            }
            if x.dims[..3] != y.dims[..3] || x.dynamic | y.dynamic != 0 {
                return Err(Fault::Shapes);
            }
            channels += x.inner();
        }
        match (channels == y.inner(), operator.params().finished()) {
            (true, true) => Ok(()),
            (false, _) => Err(Fault::Shapes),
            (true, false) => Err(Fault::Params),
        }
    }

    fn run(run: &Run<'_>) {
        let Ok(output) = run.operator().output(0) else { return };
        let (size, row) = (output.dtype.size(), output.inner() * output.dtype.size());
        let y = run.write_bytes(&output);
        let mut to = 0;
        for index in 0..run.operator().inputs as usize {
            let Ok(input) = run.operator().input(index) else { return };
            let inner = input.inner() * size;
            let row_steps = [inner as isize, row as isize];
            let plane = Plane { rows: input.outer(), inner, row_steps, steps: [1, 1] };
            copy(run.read_bytes(&input), y, [0, to], &plane);
            to += inner;
        }
    }
}

/// The specification: the rows of `inputs`, which are their elements and their channels, behind each other.
pub fn reference<T: Copy>(inputs: &[(&[T], usize)], y: &mut [T]) {
    let channels: usize = inputs.iter().map(|(_, channels)| channels).sum();
    for (at, y) in y.iter_mut().enumerate() {
        let (position, mut channel) = (at / channels, at % channels);
        for &(x, own) in inputs {
            if channel < own {
                *y = x[position * own + channel];
                break;
            }
            channel -= own;
        }
    }
}
