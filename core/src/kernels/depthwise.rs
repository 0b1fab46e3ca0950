//! Convolution of every channel on its own: input `[n, h, w, c]`, output `[n, oh, ow, c * multiplier]`, where output
//! channel `k` sees input channel `k / multiplier`.

use super::Run;
use super::conv::{Shapes, dynamic};
#[cfg(mixel_columns)]
use super::depthwise_bands::Bands;
use super::requant::{Channels, Clamp, Quantized};
use super::short_channels::{Source, shifts_fit};
use super::wide::narrow_and_wide;
use super::window::{self, Rows, Window, overlap};
use crate::arch::Backend;
use crate::arch::depthwise::{self, Line, MAX_HEIGHT};
use crate::arch::matrix::{Lane, Rounding};
use crate::arch::view::In;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Tensor};

/// The operator, int8 to int8. Kernels are at most [`MAX_HEIGHT`] rows high.
pub struct Depthwise;

/// [`Depthwise`] without the common way (see [`super::lean`]).
pub struct DepthwiseLean;

/// The operator with 16-bit input or output.
pub struct Depthwise16;

/// The parameters as the plan stores them; the multiplier follows from the shapes.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseParams {
    /// Geometry.
    pub window: Window,
    /// `[kh][kw][c * multiplier]` i8 in the layout's order ([`crate::pack::Layout::depthwise`]).
    pub weights: Constant,
    /// [`super::requant::Channels`] block of all output channels; the count is in bytes.
    pub channels: Constant,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl DepthwiseParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.window
            .encode(write::Params::new())
            .constant(self.weights.offset, self.weights.count)
            .constant(self.channels.offset, self.channels.count)
            .range(self.min, self.max)
    }
}

struct Filter<'p> {
    window: Window,
    weights: In<'p, i8>,
    channels: Channels<'p>,
    clamp: Clamp,
}

impl<'p> Filter<'p> {
    fn read(operator: &Operator<'p>, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let window = Window::read(operator, &mut cursor);
        let weights = operator.constant(&mut cursor);
        let weights = match operator.channels() {
            Source::Scratch { weights: Some(weights), .. } => *weights,
            _ => weights,
        };
        let channels = Channels::read(operator, &mut cursor, output.inner());
        let clamp = Clamp::read(&mut cursor, output.zero_point);
        let complete = cursor.finished() && window.valid() && window.kernel[0] as usize <= MAX_HEIGHT;
        complete.then_some(Self { window, weights, channels, clamp })
    }

    fn taps(&self) -> usize {
        self.window.kernel[0] as usize * self.window.kernel[1] as usize
    }

    /// As the micro-kernels want it, for `depth` input and `outputs` output channels.
    fn with(&self, operator: &Operator<'p>, [depth, outputs]: [usize; 2]) -> depthwise::Filter<'p> {
        depthwise::Filter {
            backend: Backend::Portable,
            layout: operator.plan().layout(),
            window: self.window,
            weights: self.weights,
            depth,
            outputs,
            channels: self.channels,
            clamp: self.clamp,
            simple: Rounding::new(&self.channels, self.clamp).simple,
        }
    }
}

fn check<Y: Quantized>(operator: &Operator<'_>) -> Result<(), Fault> {
    let (input, output) = operator.unary()?;
    let filter = Filter::read(operator, &output).ok_or(Fault::Params)?;
    dynamic(&filter.window, &input, &output)?;
    let multiplied = output.inner().is_multiple_of(input.inner());
    if input.dims[0] != output.dims[0] || !multiplied || !filter.window.fits(&input, &output) {
        return Err(Fault::Shapes);
    }
    let order = operator.plan().layout().depthwise(filter.window.kernel.map(usize::from));
    let size = order.len(filter.taps(), output.inner());
    let complete = size == Some(filter.weights.len()) && filter.channels.valid(output.inner());
    if !complete && !operator.vouched() {
        return Err(Fault::Constants);
    }
    if filter.clamp.valid::<Y>() { Ok(()) } else { Err(Fault::Params) }
}

/// What the layout's micro-kernel asks for, and behind it the rows that an output in the input's place would overwrite too
/// early.
fn scratch<X: Lane>(operator: &Operator<'_>) -> usize {
    let Ok((input, output)) = operator.unary() else { return 0 };
    let Some(filter) = Filter::read(operator, &output) else { return 0 };
    let full = filter.with(operator, [input.inner(), output.inner()]);
    let kept = kept::<X>(&full, &input, &output);
    let width = output.dims[2] as usize;
    #[cfg(mixel_columns)]
    if let Some(bands) = bands(&full, &input, &output) {
        return bands.scratch(&full, &input);
    }
    let bytes = window::scratch(X::line_bytes(&full, width), kept, &input);
    // Which way it goes is known when it runs.
    #[cfg(not(target_os = "none"))]
    let bytes = bytes.max(super::depthwise_rows::scratch(&full, &input, &output));
    bytes
}

/// How the Helium layout goes over 8-bit images, if it has a way of its own.
#[cfg(mixel_columns)]
fn bands(filter: &depthwise::Filter<'_>, input: &Tensor, output: &Tensor) -> Option<Bands> {
    let narrow = (input.dtype, output.dtype) == (DType::I8, DType::I8);
    if narrow { Bands::new(filter, input, output) } else { None }
}

/// Input rows that are kept from being overwritten: some more when rows of outputs are computed at once.
fn kept<X: Lane>(filter: &depthwise::Filter<'_>, input: &Tensor, output: &Tensor) -> usize {
    if overlap(input, output) { filter.window.kept() + X::lines(filter) - 1 } else { 0 }
}

fn reach(operator: &Operator<'_>, _input: usize) -> Option<isize> {
    let (input, output) = operator.unary().ok()?;
    let window = Filter::read(operator, &output)?.window;
    Some(window.reach(&input, &output, window.kept()))
}

fn macs(operator: &Operator<'_>) -> u64 {
    let Ok((_, output)) = operator.unary() else { return 0 };
    Filter::read(operator, &output).map_or(0, |filter| output.elements() as u64 * filter.taps() as u64)
}

fn run<X: Lane, Y: Quantized>(run: &Run<'_>) {
    lines::<X, Y, true>(run);
}

/// The operator, with the common way for channels that the layout's does not take, or without it.
fn lines<X: Lane, Y: Quantized, const COMMON: bool>(run: &Run<'_>) {
    let Ok((input, output)) = run.operator().unary() else { return };
    let Some(filter) = Filter::read(run.operator(), &output) else { return };
    let window = filter.window;
    let (x, y) = (run.read::<X>(&input), run.write::<Y>(&output));
    let [images, height, width, depth] = input.dims_with(run.rows());
    let [_, out_height, out_width, out_depth] = output.dims_with(run.rows());
    let (length, out_length) = (input.dims[2] as usize * depth, output.dims[2] as usize * out_depth);
    let image = input.dims[1] as usize * length;
    let out_image = output.dims[1] as usize * out_length;
    let filter =
        depthwise::Filter { backend: run.backend(), ..filter.with(run.operator(), [depth, out_depth]) };
    #[cfg(not(target_os = "none"))]
    if super::depthwise_rows::run(run, &filter, (&input, &output)) {
        return;
    }
    #[cfg(mixel_columns)]
    if let Some(bands) = bands(&filter, &input, &output) {
        return bands.run(run, &filter, (&input, &output));
    }
    let line_bytes = X::line_bytes(&filter, output.dims[2] as usize);
    let scratch = run.scratch::<u8>(0, line_bytes);
    let kept = kept::<X>(&filter, &input, &output);
    let ring = run.scratch::<X>(line_bytes.next_multiple_of(4), kept * length);
    let mut table = [In::new(&[]); MAX_HEIGHT];
    for n in 0..images {
        let mut rows = Rows::new(x.window(n * image, image), height, length, ring, kept);
        let mut oy = 0;
        while oy < out_height {
            let count = X::lines(&filter).min(out_height - oy);
            let (top, seen) = (window.start(0, oy), window.kernel[0] as usize + count - 1);
            rows.advance(top);
            for (index, row) in table.iter_mut().enumerate().take(seen) {
                let at = top + (index * window.dilation[0] as usize) as isize;
                let inside = (0..height as isize).contains(&at);
                *row = if inside { rows.get(at as usize) } else { In::new(&[]) };
            }
            let line = Line {
                rows: table.get(..seen).unwrap_or(&[]),
                width,
                outside: X::narrow(input.zero_point),
                count,
                pixels: out_width,
                stride: out_length,
            };
            depthwise::line::<X, Y, COMMON>(
                &line,
                &filter,
                scratch,
                y.window(n * out_image + oy * out_length, y.len()),
            );
            oy += count;
        }
    }
}

/// Whether the layout's way takes all channels.
pub(super) fn lean(operator: &Operator<'_>) -> bool {
    let Ok((input, output)) = operator.unary() else { return false };
    let takes = |filter: Filter<'_>| depthwise::lean(&filter.with(operator, [input.inner(), output.inner()]));
    Filter::read(operator, &output).is_some_and(takes) && shifts_fit(operator)
}

impl super::Kernel for DepthwiseLean {
    const KIND: super::OpKind = super::OpKind::Depthwise;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        Depthwise::check(operator)?;
        if lean(operator) { Ok(()) } else { Err(Fault::Lean) }
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        Depthwise::scratch(operator)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        Depthwise::reach(operator, input)
    }

    fn macs(operator: &Operator<'_>) -> u64 {
        macs(operator)
    }

    fn run(run: &Run<'_>) {
        if super::LOOPS { lines::<i8, i8, false>(run) } else { Depthwise::run(run) }
    }
}

narrow_and_wide!(Depthwise, Depthwise16, scratch::<i8>, scratch::<i16>);

/// The specification: `y[n][oy][ox][k]` from the sum over the taps of input channel `k / multiplier` times weight, where
/// taps outside the image hold `outside`, the input's zero point. `weights` are `[kh][kw][c * multiplier]`.
pub fn reference<X: Quantized, Y: Quantized>(
    (x, outside): (&[X], X),
    (weights, window): (&[i8], &Window),
    channels: &Channels<'_>,
    clamp: Clamp,
    shapes: Shapes,
    y: &mut [Y],
) {
    let ([_, height, width, depth], [images, out_height, out_width, out_depth]) =
        (shapes.input, shapes.output);
    let [kh, kw] = window.kernel.map(usize::from);
    for (index, y) in y.iter_mut().enumerate().take(images * out_height * out_width * out_depth) {
        let (k, pixel) = (index % out_depth, index / out_depth);
        let (ox, oy, n) = (pixel % out_width, pixel / out_width % out_height, pixel / out_width / out_height);
        let mut sum = 0i32;
        for (ky, kx) in (0..kh * kw).map(|tap| (tap / kw, tap % kw)) {
            let iy = window.start(0, oy) + (ky * window.dilation[0] as usize) as isize;
            let ix = window.start(1, ox) + (kx * window.dilation[1] as usize) as isize;
            let inside = (0..height as isize).contains(&iy) && (0..width as isize).contains(&ix);
            let value = if inside {
                x[((n * height + iy as usize) * width + ix as usize) * depth + k / (out_depth / depth)]
            } else {
                outside
            };
            sum = sum.wrapping_add(value.wide() * weights[(ky * kw + kx) * out_depth + k] as i32);
        }
        *y = channels.finish(k, sum, clamp);
    }
}
