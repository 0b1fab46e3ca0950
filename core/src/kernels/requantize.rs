//! The same values under another quantization: `y = clamp(zy + round((x - zx) * scale))`. int8 or int16 on either side; for
//! int8 to int8 a [`super::lut`] is faster.

use super::nest::elementwise_reach;
use super::requant::{Clamp, Scale};
use super::width::{Bits16, check_clamp, check_unary, map};
use super::{Kernel, OpKind, Run};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, write};

/// The operator.
pub struct Requantize;

/// A factor and a range: the parameters of [`super::OpKind::Requantize`], of [`super::mul`] and of [`super::div`] as the plan
/// stores them. Zero points are those of the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescaleParams {
    /// Requantize: `scale_x / scale_y`, the shift at least 19. Mul: `scale_a * scale_b / scale_y`, the multiplier within
    /// +-2^30, the shift at least 19 for int8.
    /// Div: `scale_a / (scale_b * scale_y)`, the shift at most 42.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl RescaleParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.scale.encode(write::Params::new()).range(self.min, self.max)
    }

    pub(super) fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let mut params = Self { scale: Scale::read(&mut cursor), min: 0, max: 0 };
        (params.min, params.max) = cursor.range();
        cursor.finished().then_some(params)
    }

    pub(super) fn clamp(&self, zero_point: i32) -> Clamp {
        Clamp { zero_point, min: self.min, max: self.max }
    }
}

impl Kernel for Requantize {
    const KIND: OpKind = OpKind::Requantize;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (_, y) = check_unary::<Bits16>(operator)?;
        let params = RescaleParams::read(operator.params()).ok_or(Fault::Params)?;
        if !(19..=62).contains(&params.scale.shift) {
            return Err(Fault::Params);
        }
        check_clamp(params.clamp(y.zero_point), &y)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = RescaleParams::read(run.operator().params()) else { return };
        let clamp = params.clamp(output.zero_point);
        map::<Bits16>(run, |x| clamp.limit32(params.scale.apply_small(x - input.zero_point)));
    }
}

/// The specification, with the zero points of input and output.
pub fn reference(x: &[i32], params: &RescaleParams, zero_points: [i32; 2], y: &mut [i32]) {
    for (x, y) in x.iter().zip(y) {
        *y = params.clamp(zero_points[1]).limit(params.scale.apply(x - zero_points[0]));
    }
}
