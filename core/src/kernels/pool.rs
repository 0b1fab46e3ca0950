//! Largest value and mean of a window: input `[n, h, w, c]`, output `[n, oh, ow, c]`.

use super::conv::Shapes;
use super::requant::{Channel, Clamp, Quantized, Scale};
use super::wide::narrow_and_wide;
use super::window::{Window, size};
use super::{Kernel, OpKind, Run};
use crate::arch::matrix::Lane;
use crate::arch::pool::{self, Fold, LANES, Taps};
use crate::arch::view::In;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Tensor};

/// The largest value, int8 to int8.
pub struct MaxPool;

/// The largest value, int16 to int16.
pub struct MaxPool16;

/// The mean, int8 to int8.
pub struct AveragePool;

/// The mean with 16-bit input or output.
pub struct AveragePool16;

/// The parameters of [`super::OpKind::MaxPool`] as the plan stores them. Input and output have the same scale and zero
/// point; taps outside the image do not take part.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolParams {
    /// Geometry.
    pub window: Window,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl MaxPoolParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.window.encode(write::Params::new()).range(self.min, self.max)
    }
}

/// The parameters of [`super::OpKind::AveragePool`] as the plan stores them.
///
/// The mean over `count` taps is one multiplication and one rounding: the factor
/// `multipliers[count - smallest] / 2^shift` holds the input's scale, the output's and `1 / count`, so a device never
/// divides. `smallest` is the least number of taps that any output has inside the image.
#[derive(Clone, Copy, Debug)]
pub struct AveragePoolParams {
    /// Geometry; dilation is 1.
    pub window: Window,
    /// Whether taps outside the image count, as zeros: then `count` is always `kh * kw`, and so is `smallest`.
    pub count_padding: bool,
    /// Number of taps of the first multiplier.
    pub smallest: u16,
    /// `round(input scale / (output scale * count) * 2^shift)` as i32, for `count` from `smallest` upwards to the largest
    /// number of taps that any output has.
    pub multipliers: Constant,
    /// Shift of all multipliers, 1 to 62: the largest for which the first multiplier is below 2^31.
    pub shift: u8,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl AveragePoolParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.window
            .encode(write::Params::new())
            .u8(self.count_padding as u8)
            .u16(self.smallest)
            .constant(self.multipliers.offset, self.multipliers.count)
            .u8(self.shift)
            .range(self.min, self.max)
    }
}

/// What pools of both kinds ask for: the same channels, and every window with a tap inside the image.
fn check_shapes(window: &Window, input: &Tensor, output: &Tensor) -> Result<(), Fault> {
    if input.dynamic | output.dynamic != 0 {
        return Err(Fault::Dynamic);
    }
    if !window.valid() {
        return Err(Fault::Params);
    }
    let same = input.dims[0] == output.dims[0] && input.inner() == output.inner();
    if !same || !window.fits(input, output) {
        return Err(Fault::Shapes);
    }
    let inside = |axis: usize, size: usize, steps: usize| {
        (0..steps).all(|step| !window.inside(axis, window.start(axis, step), size).is_empty())
    };
    let ([height, width], [rows, columns]) = (size(input), size(output));
    if inside(0, height, rows) && inside(1, width, columns) { Ok(()) } else { Err(Fault::Shapes) }
}

/// Calls `store(element of the output, result)` for every output: `fold` over the taps inside the image from `start`,
/// then `finish` of that and the number of those taps.
fn pool<X: Quantized>(
    window: &Window,
    (input, output): (&Tensor, &Tensor),
    x: In<'_, X>,
    (start, fold): (i32, Fold),
    mut finish: impl FnMut(usize, i32, usize),
) {
    let [_, height, width, channels] = input.dims.map(|dim| dim as usize);
    let [images, out_height, out_width, _] = output.dims.map(|dim| dim as usize);
    let [down, across] = window.dilation.map(usize::from);
    let (row_step, column_step) = (down * width * channels, across * channels);
    let mut place = 0;
    for n in 0..images {
        for oy in 0..out_height {
            let top = window.start(0, oy);
            let ys = window.inside(0, top, height);
            let iy = (top + (ys.start * down) as isize).max(0) as usize;
            for ox in 0..out_width {
                let left = window.start(1, ox);
                let xs = window.inside(1, left, width);
                let ix = (left + (xs.start * across) as isize).max(0) as usize;
                let first = ((n * height + iy) * width + ix) * channels;
                let taps = Taps { first, rows: ys.len(), columns: xs.len(), row_step, column_step };
                let inside = taps.rows * taps.columns;
                let mut channel = 0;
                while channel < channels {
                    let lanes = LANES.min(channels - channel);
                    let mut values = [start; LANES];
                    pool::fold(fold, x, &Taps { first: first + channel, ..taps }, lanes, &mut values);
                    for value in values.iter().take(lanes) {
                        finish(place, *value, inside);
                        place += 1;
                    }
                    channel += lanes;
                }
            }
        }
    }
}

struct Largest {
    window: Window,
    clamp: Clamp,
}

impl Largest {
    fn read(operator: &Operator<'_>) -> Option<Self> {
        let mut cursor = operator.params();
        let window = Window::read(operator, &mut cursor);
        let clamp = Clamp::read(&mut cursor, 0);
        cursor.finished().then_some(Self { window, clamp })
    }

    fn check<X: Quantized>(operator: &Operator<'_>, dtype: DType) -> Result<(), Fault> {
        let (input, output) = operator.unary()?;
        if (input.dtype, output.dtype) != (dtype, dtype) {
            return Err(Fault::Types);
        }
        let Self { window, clamp } = Self::read(operator).ok_or(Fault::Params)?;
        check_shapes(&window, &input, &output)?;
        let same = input.zero_point == output.zero_point;
        if same && clamp.valid::<X>() { Ok(()) } else { Err(Fault::Params) }
    }

    fn reach(operator: &Operator<'_>) -> Option<isize> {
        let (input, output) = operator.unary().ok()?;
        Some(Self::read(operator)?.window.reach(&input, &output, 0))
    }

    fn run<X: Quantized>(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(Self { window, clamp }) = Self::read(run.operator()) else { return };
        let (x, y) = (run.read::<X>(&input), run.write::<X>(&output));
        pool(&window, (&input, &output), x, (X::MIN, Fold::Max), |place, value, _| {
            y.set(place, clamp.apply(value as i64));
        });
    }
}

impl Kernel for MaxPool {
    const KIND: OpKind = OpKind::MaxPool;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        Largest::check::<i8>(operator, DType::I8)
    }

    fn reach(operator: &Operator<'_>, _input: usize) -> Option<isize> {
        Largest::reach(operator)
    }

    fn run(run: &Run<'_>) {
        Largest::run::<i8>(run);
    }
}

impl Kernel for MaxPool16 {
    const KIND: OpKind = OpKind::MaxPool16;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        Largest::check::<i16>(operator, DType::I16)
    }

    fn reach(operator: &Operator<'_>, _input: usize) -> Option<isize> {
        Largest::reach(operator)
    }

    fn run(run: &Run<'_>) {
        Largest::run::<i16>(run);
    }
}

struct Mean<'p> {
    window: Window,
    count_padding: bool,
    smallest: usize,
    multipliers: In<'p, i32>,
    shift: u8,
    clamp: Clamp,
}

impl<'p> Mean<'p> {
    fn read(operator: &Operator<'p>, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let window = Window::read(operator, &mut cursor);
        let (count_padding, smallest) = (cursor.u8(), cursor.short() as usize);
        let multipliers = operator.constant(&mut cursor);
        let shift = cursor.u8();
        let clamp = Clamp::read(&mut cursor, output.zero_point);
        let count_padding = match count_padding {
            0 => false,
            1 => true,
            _ => return None,
        };
        cursor.finished().then_some(Self { window, count_padding, smallest, multipliers, shift, clamp })
    }

    /// The factor for an output with `inside` taps inside the image; none when the plan does not have it.
    fn scale(&self, inside: usize) -> Option<Scale> {
        let taps = self.window.kernel[0] as usize * self.window.kernel[1] as usize;
        let index = (if self.count_padding { taps } else { inside }).checked_sub(self.smallest)?;
        let multiplier = self.multipliers.get(index);
        (index < self.multipliers.len()).then_some(Scale { multiplier, shift: self.shift })
    }
}

fn check<Y: Quantized>(operator: &Operator<'_>) -> Result<(), Fault> {
    let (input, output) = operator.unary()?;
    let mean = Mean::read(operator, &output).ok_or(Fault::Params)?;
    check_shapes(&mean.window, &input, &output)?;
    if mean.window.dilation != [1, 1] || !mean.clamp.valid::<Y>() {
        return Err(Fault::Params);
    }
    let inside = |axis: usize, step: usize, size: usize| {
        mean.window.inside(axis, mean.window.start(axis, step), size).len()
    };
    let ([height, width], [rows, columns]) = (size(&input), size(&output));
    for oy in 0..rows {
        for ox in 0..columns {
            let scale = mean.scale(inside(0, oy, height) * inside(1, ox, width)).ok_or(Fault::Constants)?;
            if !scale.valid() {
                return Err(Fault::Params);
            }
        }
    }
    Ok(())
}

fn reach(operator: &Operator<'_>, _input: usize) -> Option<isize> {
    let (input, output) = operator.unary().ok()?;
    Some(Mean::read(operator, &output)?.window.reach(&input, &output, 0))
}

fn macs(_operator: &Operator<'_>) -> u64 {
    0
}

fn run<X: Lane, Y: Quantized>(run: &Run<'_>) {
    let Ok((input, output)) = run.operator().unary() else { return };
    let Some(mean) = Mean::read(run.operator(), &output) else { return };
    let (x, y) = (run.read::<X>(&input), run.write::<Y>(&output));
    pool(&mean.window, (&input, &output), x, (0, Fold::Sum), |place, sum, inside| {
        let Some(scale) = mean.scale(inside) else { return };
        let bias = input.zero_point.wrapping_mul(inside as i32).wrapping_neg();
        y.set(place, Channel { bias, scale }.apply(sum, mean.clamp));
    });
}

narrow_and_wide!(AveragePool, AveragePool16, |_| 0, |_| 0);

/// Positions of the input, as element numbers without the channel, that output pixel (n, oy, ox) sees.
fn seen(window: &Window, input: [usize; 4], [n, oy, ox]: [usize; 3]) -> impl Iterator<Item = usize> {
    let [_, height, width, _] = input;
    let (top, left) = (window.start(0, oy), window.start(1, ox));
    let ([kh, kw], dilation) = (window.kernel.map(usize::from), window.dilation.map(|step| step as isize));
    (0..kh * kw).filter_map(move |tap| {
        let (iy, ix) = (top + (tap / kw) as isize * dilation[0], left + (tap % kw) as isize * dilation[1]);
        let inside = (0..height as isize).contains(&iy) && (0..width as isize).contains(&ix);
        inside.then(|| (n * height + iy as usize) * width + ix as usize)
    })
}

/// The specification of the largest value: over the taps inside the image, clamped.
pub fn max_reference<X: Quantized>(x: &[X], window: &Window, clamp: Clamp, shapes: Shapes, y: &mut [X]) {
    let [_, out_height, out_width, channels] = shapes.output;
    for (index, y) in y.iter_mut().enumerate() {
        let (c, pixel) = (index % channels, index / channels);
        let at = [pixel / out_width / out_height, pixel / out_width % out_height, pixel % out_width];
        let largest = seen(window, shapes.input, at).map(|place| x[place * channels + c].wide()).max();
        *y = X::narrow(largest.unwrap_or(X::MIN).max(clamp.min).min(clamp.max));
    }
}

/// The specification of the mean: `clamp(zero + round(scale(count) * sum of (x - zero of x)))` over the taps inside the
/// image, where `count` is their number, or with `count_padding` that of all taps.
pub fn average_reference<X: Quantized, Y: Quantized>(
    (x, zero_point): (&[X], i32),
    (window, count_padding): (&Window, bool),
    scale: impl Fn(usize) -> Scale,
    clamp: Clamp,
    shapes: Shapes,
    y: &mut [Y],
) {
    let [_, out_height, out_width, channels] = shapes.output;
    for (index, y) in y.iter_mut().enumerate() {
        let (c, pixel) = (index % channels, index / channels);
        let at = [pixel / out_width / out_height, pixel / out_width % out_height, pixel % out_width];
        let values = seen(window, shapes.input, at).map(|place| x[place * channels + c].wide() - zero_point);
        let (count, sum) = values.fold((0, 0), |(count, sum), value| (count + 1, sum + value));
        let taps = window.kernel[0] as usize * window.kernel[1] as usize;
        *y = clamp.apply(scale(if count_padding { taps } else { count }).apply(sum));
    }
}
