//! Weights times every row: fully connected layers, projections and 1x1 convolutions.
//!
//! Input `[..., depth]`, output `[..., outputs]`, the same dimensions in front. Weights `[outputs][depth]` in the
//! layout's matrix order.

use super::requant::{Channels, Clamp, Quantized};
use super::{Kernel, OpKind, Run};
use crate::arch::view::{In, Out};
use crate::pack::MatrixOrder;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Tensor};

/// The operator, int8 to int8.
pub struct Linear;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct LinearParams {
    /// `[outputs][depth]` i8 in the layout's matrix order ([`MatrixOrder::pack`]).
    pub weights: Constant,
    /// [`Channels`] block of `outputs` channels; the count is in bytes ([`Channels::bytes`]).
    pub channels: Constant,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl LinearParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new()
            .constant(self.weights.offset, self.weights.count)
            .constant(self.channels.offset, self.channels.count)
            .i32(self.min)
            .i32(self.max)
    }
}

struct Params<'p> {
    weights: In<'p, i8>,
    channels: Channels<'p>,
    clamp: Clamp,
    order: MatrixOrder,
}

impl<'p> Params<'p> {
    /// weights (constant i8), channels (constant block), min i32, max i32.
    fn read(operator: &Operator<'p>, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let weights = operator.constant(&mut cursor);
        let channels = Channels::read(operator, &mut cursor, output.inner());
        let clamp = Clamp { zero_point: output.zero_point, min: cursor.i32(), max: cursor.i32() };
        let order = operator.plan().layout().matrix();
        cursor.finished().then_some(Self { weights, channels, clamp, order })
    }
}

impl Kernel for Linear {
    const KIND: OpKind = OpKind::Linear;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (input, output) = operator.unary()?;
        if (input.dtype, output.dtype) != (DType::I8, DType::I8) {
            return Err(Fault::Types);
        }
        if input.dims[..3] != output.dims[..3]
            || input.dynamic != output.dynamic
            || input.dynamic & 0b1000 != 0
        {
            return Err(Fault::Shapes);
        }
        let params = Params::read(operator, &output).ok_or(Fault::Params)?;
        let size = params.order.len(output.inner(), input.inner());
        if params.weights.len() != size || !params.channels.valid(output.inner()) {
            return Err(Fault::Constants);
        }
        if params.clamp.valid::<i8>() { Ok(()) } else { Err(Fault::Params) }
    }

    fn macs(operator: &Operator<'_>) -> u64 {
        operator.unary().map_or(0, |(input, output)| input.elements() as u64 * output.inner() as u64)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = Params::read(run.operator(), &output) else { return };
        let (x, y) = (run.read::<i8>(&input), run.write::<i8>(&output));
        let (depth, outputs) = (input.inner(), output.inner());
        for (first, count) in input.row_spans(run.rows()) {
            for row in first..first + count {
                let y = y.window(row * outputs, outputs);
                linear_row(x.window(row * depth, depth), &params, y);
            }
        }
    }
}

fn linear_row(x: In<'_, i8>, params: &Params<'_>, y: Out<'_, i8>) {
    for channel in 0..y.len() {
        let mut sum = 0i32;
        for index in 0..x.len() {
            let weight = params.weights.get(params.order.index(x.len(), channel, index));
            sum = sum.wrapping_add(x.get(index).widen() * weight.widen());
        }
        y.set(channel, params.channels.finish(channel, sum, params.clamp));
    }
}

/// The specification: `y[r][n] = clamp(zero + round(scale[n] * (bias[n] + sum_k x[r][k] * w[n][k])))`, with `weights` in
/// plain order `[outputs][depth]`.
pub fn reference(
    x: &[i8],
    weights: &[i8],
    channels: &Channels<'_>,
    clamp: Clamp,
    depth: usize,
    y: &mut [i8],
) {
    let outputs = channels.bias.len();
    for (x, y) in x.chunks_exact(depth).zip(y.chunks_exact_mut(outputs)) {
        for (channel, y) in y.iter_mut().enumerate() {
            let row = &weights[channel * depth..][..depth];
            let sum = x.iter().zip(row).fold(0i32, |sum, (&x, &w)| sum.wrapping_add(x as i32 * w as i32));
            *y = channels.finish(channel, sum, clamp);
        }
    }
}
