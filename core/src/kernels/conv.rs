//! Convolution in two dimensions (and in one, with height 1), with strides, dilation, padding and groups.
//!
//! Input `[n, h, w, cin]`, output `[n, oh, ow, cout]`. Taps outside the image count as the input's zero point, whose share
//! is in the bias, as everywhere.

use core::ops::Range;

#[cfg(mixel_columns)]
use super::conv_columns;
#[cfg(not(target_os = "none"))]
use super::conv_rows;
use super::matrix::{Dense, InPart, Lean, LeanInPart, Matrix, Weights};
use super::packed::{Int4, Sparse};
use super::part::{Made, Part, is_part, rows_of_tiles};
use super::requant::{Channels, Clamp, Quantized};
use super::short_channels::shifts_fit;
use super::wide::{lean, narrow, narrow_and_wide};
use super::window::{self, Rows, Window, overlap};
use super::{OpKind, Run};
use crate::arch::depthwise::MAX_HEIGHT;
use crate::arch::matrix::{self, Lane, Staging, Windows};
use crate::arch::view::In;
use crate::pack::{Depth, Layout};
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Tensor};

/// The operator, int8 to int8.
pub struct Conv;

/// [`Conv`] without the common ways (see [`super::lean`]).
pub struct ConvLean;

/// The operator with 16-bit input or output.
pub struct Conv16;

/// The operator with weights of four bits, int8 to int8.
pub struct ConvInt4;

/// The operator with a bitmap of the weights that are not zero, int8 to int8.
pub struct ConvSparse;

/// The operator, int8 to int8, for a [`Part`] of the output's channels.
pub struct ConvPart;

/// [`ConvPart`] without the common ways (see [`super::lean`]).
pub struct ConvPartLean;

/// [`Conv`] by the code of [`ConvPart`], so that operator sets with both kinds have it once.
pub struct ConvByPart;

/// [`ConvByPart`] without the common ways, as [`ConvPartLean`].
pub struct ConvByPartLean;

/// The parameters of [`super::OpKind::Conv`] and [`super::OpKind::ConvTranspose`] as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct ConvParams {
    /// Geometry.
    pub window: Window,
    /// Groups; each takes its own part of the input channels and gives its own part of the output channels.
    pub groups: u16,
    /// One matrix a group, one after the other, each `[cout / groups][kh][kw][cin / groups]` i8 seen as
    /// `cout / groups` outputs of depth `kh * kw * (cin / groups)` in the layout's matrix order, with the segments of
    /// [`Window::depth`] (one of a transposed convolution); of [`ConvInt4`] in the order of four-bit weights. Of
    /// [`ConvSparse`] one [`crate::pack::Bitmap`] of all groups' outputs. The count is in bytes, that of all.
    pub weights: Constant,
    /// [`super::requant::Channels`] block of all output channels; the count is in bytes.
    pub channels: Constant,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl ConvParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.behind(write::Params::new())
    }

    /// The bytes that [`ConvPart`] reads, for a convolution with [`Part::of_layer`] output channels.
    pub fn encode_part(&self, part: Part) -> write::Params {
        self.behind(part.encode())
    }

    fn behind(&self, params: write::Params) -> write::Params {
        self.window
            .encode(params)
            .u16(self.groups)
            .constant(self.weights.offset, self.weights.count)
            .constant(self.channels.offset, self.channels.count)
            .range(self.min, self.max)
    }
}

/// A convolution as it is run: geometry and matrices.
pub(super) struct Filter<'p, W = Dense> {
    pub window: Window,
    /// What it makes of the output.
    pub made: Made,
    pub matrix: Matrix<'p, W>,
}

impl<'p, W: Weights> Filter<'p, W> {
    /// What [`ConvParams::encode`] or [`ConvParams::encode_part`] writes; none when it does not divide the channels into groups, or
    /// the output does not have them.
    pub fn read(operator: &Operator<'p>, input: &Tensor, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let made = Made::read::<W>(operator, &mut cursor, output)?;
        let outputs = made.outputs();
        let window = Window::read(operator, &mut cursor);
        let groups = cursor.short() as usize;
        let divides = |channels: usize| groups > 0 && channels.is_multiple_of(groups);
        if !window.valid() || !divides(input.inner()) || !divides(outputs) {
            return None;
        }
        let taps = window.kernel[0] as usize * window.kernel[1] as usize;
        let depth = (input.inner() / groups).checked_mul(taps).filter(|&depth| depth <= 1 << 28)?;
        let transposed = matches!(operator.kind, OpKind::ConvTranspose | OpKind::ConvTranspose16);
        let depth = if transposed { Depth::whole(depth) } else { window.depth(input.inner(), groups) };
        let sizes = (groups, outputs / groups, depth);
        let matrix = Matrix::read(operator, &mut cursor, sizes, output.zero_point);
        cursor.finished().then_some(Self { window, made, matrix })
    }

    /// Shapes and constants that convolutions of both kinds ask for.
    pub fn check<Y: Quantized>(&self, input: &Tensor, output: &Tensor) -> Result<(), Fault> {
        if input.dims[0] != output.dims[0] || !self.window.fits(input, &self.made.image::<W>(output)) {
            return Err(Fault::Shapes);
        }
        self.matrix.check::<Y>()
    }

    /// Bytes of the staged patches.
    pub fn tile_bytes<X: Lane>(&self) -> usize {
        X::tile_bytes(self.matrix.layout, self.matrix.depth, self.run())
    }

    /// Values of one tap: the input channels of a group.
    fn run(&self) -> usize {
        let taps = self.window.kernel[0] as usize * self.window.kernel[1] as usize;
        self.matrix.depth.checked_div(taps).unwrap_or(0)
    }

    /// Whether the layout's kernel reads image rows: 8-bit ones, for hosts.
    #[cfg(not(target_os = "none"))]
    fn by_rows(&self, input: &Tensor) -> bool {
        self.matrix.layout.matrix().segmented && input.dtype == DType::I8
    }

    /// Whether the layout's kernel reads windows as columns: 8-bit ones of whole pixels, for Helium.
    #[cfg(mixel_columns)]
    fn by_columns(&self, input: &Tensor) -> bool {
        let adjacent = self.matrix.groups == 1 && self.window.dilation[1] == 1;
        W::BY_COLUMNS && adjacent && self.matrix.layout.matrix().by_columns && input.dtype == DType::I8
    }

    pub fn macs(&self, output: &Tensor) -> u64 {
        let Matrix { groups, outputs, depth, .. } = self.matrix;
        self.made.image::<W>(output).outer() as u64 * (groups * outputs) as u64 * depth as u64
    }
}

/// Whether the rows present may vary along an axis: both or neither shape does, and a step there is one row.
pub(super) fn dynamic(window: &Window, input: &Tensor, output: &Tensor) -> Result<(), Fault> {
    let steps = window.stride.into_iter().zip([0b0010, 0b0100]);
    let single = steps.into_iter().all(|(stride, bit)| input.dynamic & bit == 0 || stride == 1);
    let same = input.dynamic == output.dynamic && input.dynamic & 0b1001 == 0;
    if same && single { Ok(()) } else { Err(Fault::Dynamic) }
}

fn check<Y: Quantized, W: Weights>(operator: &Operator<'_>) -> Result<(), Fault> {
    let (input, output) = operator.unary()?;
    let filter = Filter::<W>::read(operator, &input, &output).ok_or(Fault::Params)?;
    dynamic(&filter.window, &input, &output)?;
    filter.check::<Y>(&input, &output)
}

/// Whether the layout's loop takes every row of outputs: windows of whole runs of bytes, four or more in each row.
pub(super) fn lean<W: Weights>(operator: &Operator<'_>) -> bool {
    let Ok((input, output)) = operator.unary() else { return false };
    Filter::<W>::read(operator, &input, &output).is_some_and(|Filter { window, matrix, .. }| {
        let runs = matrix.groups == 1 && window.dilation[1] == 1 && window.kernel[0] as usize <= MAX_HEIGHT;
        let long = window.kernel[1] as usize * input.inner() >= 4;
        matrix.layout == Layout::ArmDsp && runs && long && matrix.rounding().simple && shifts_fit(operator)
    })
}

/// Patches, behind them the rows that an output in the input's place would overwrite too early, and the rows that are stored as
/// blocks.
fn scratch<X: Lane, W: Weights>(operator: &Operator<'_>) -> usize {
    let Ok((input, output)) = operator.unary() else { return 0 };
    let Some(filter) = Filter::<W>::read(operator, &input, &output) else { return 0 };
    #[cfg(not(target_os = "none"))]
    if filter.by_rows(&input) {
        return conv_rows::scratch(&filter, &input, &output);
    }
    #[cfg(mixel_columns)]
    if filter.by_columns(&input) {
        return conv_columns::scratch(&filter, &input, &output);
    }
    let kept = if overlap(&input, &output) { filter.window.kept() } else { 0 };
    let bytes = window::scratch(filter.tile_bytes::<X>(), kept, &input);
    window::with_room(bytes, filter.made.room::<W>(&output, rows_of_tiles(filter.matrix.layout)))
}

fn reach<W: Weights>(operator: &Operator<'_>, _input: usize) -> Option<isize> {
    if is_part::<W>(operator) {
        return None;
    }
    let (input, output) = operator.unary().ok()?;
    let filter = Filter::<W>::read(operator, &input, &output)?;
    Some(filter.window.reach(&input, &output, filter.window.kept()))
}

fn macs(operator: &Operator<'_>) -> u64 {
    let Ok((input, output)) = operator.unary() else { return 0 };
    Filter::<InPart>::read(operator, &input, &output).map_or(0, |filter| filter.macs(&output))
}

fn run<X: Lane, Y: Quantized, W: Weights>(run: &Run<'_>) {
    let Ok((input, output)) = run.operator().unary() else { return };
    let Some(mut filter) = Filter::<W>::read(run.operator(), &input, &output) else { return };
    filter.matrix.backend = run.backend();
    #[cfg(not(target_os = "none"))]
    if filter.by_rows(&input) {
        return conv_rows::run::<Y, W>(run, &filter, (&input, &output));
    }
    #[cfg(mixel_columns)]
    if filter.by_columns(&input) {
        return conv_columns::run::<Y, W>(run, &filter, (&input, &output));
    }
    let Filter { window, made, matrix } = &filter;
    let x = run.read::<X>(&input);
    let [images, height, width, channels] = input.dims_with(run.rows());
    let [_, out_height, out_width, _] = output.dims_with(run.rows());
    let [out_height, out_width] = made.positions::<W>([out_height, out_width]);
    let length = input.dims[2] as usize * channels;
    let image = input.dims[1] as usize * length;
    let kept = if overlap(&input, &output) { window.kept() } else { 0 };
    let bytes = filter.tile_bytes::<X>();
    let tile = Staging {
        layout: matrix.layout,
        bytes: run.scratch::<u8>(0, bytes),
        depth: matrix.depth,
        run: filter.run(),
    };
    let ring = run.scratch::<X>(bytes.next_multiple_of(4), kept * length);
    let rows = rows_of_tiles(matrix.layout);
    let places = made.rows::<Y, W>(run, &output, (window::scratch(bytes, kept, &input), rows));
    let (y, out_channels) = (places.y, places.step);
    let (most, rounding) = (matrix::rows(matrix.layout, matrix.depth), matrix.rounding());
    let outside = X::narrow(input.zero_point);
    // A tile goes on in the next row where that row's outputs follow and one group is all.
    let goes_on = matrix.groups == 1 && (out_width == output.dims[2] as usize || output.dynamic == 0);
    for n in 0..images {
        let mut rows = Rows::new(x.window(n * image, image), height, length, ring, kept);
        let mut staged = 0;
        for oy in 0..out_height {
            let top = window.start(0, oy);
            rows.advance(top);
            let seen = Seen::new(window, &rows, top, width * channels);
            let row = places.of(n, oy);
            let last = !goes_on || oy + 1 == out_height || places.ends(oy);
            if let Some(windows) = seen.windows(window, &tile, (out_width, last), (channels, outside)) {
                let place = y.window(row - staged * out_channels, (staged + out_width) * out_channels);
                if let Some(left) =
                    matrix.apply_windows::<X, Y>(rounding, windows, (&tile, staged), place, out_channels)
                {
                    staged = left;
                    places.store(n, oy);
                    continue;
                }
            }
            if !W::COMMON {
                continue;
            }
            let mut ox = 0;
            while ox < out_width {
                let count = (most - staged).min(out_width - ox);
                let end = row + (ox + count) * out_channels;
                let total = staged + count;
                let full = total == most || !goes_on || (last && ox + count == out_width);
                let y = y.window(end - total * out_channels, total * out_channels);
                for group in 0..matrix.groups {
                    let gather = Gather {
                        window,
                        tile: &tile,
                        seen: &seen,
                        width,
                        channels,
                        first: group * tile.run,
                        outside,
                    };
                    gather.pixels(ox, staged, count);
                    if full {
                        let y = y.window(group * matrix.outputs, y.len());
                        matrix.apply_tile::<X, Y>((group, rounding), (&tile, total), y, out_channels);
                    }
                }
                staged = if full { 0 } else { total };
                ox += count;
            }
            places.store(n, oy);
        }
    }
}

/// The rows of the image that a row of outputs sees.
struct Seen<'r, 'a, X> {
    image: &'r Rows<'a, X>,
    /// Image row of the first kernel row.
    top: isize,
    dilation: usize,
    /// Kernel rows inside of the image.
    inside: Range<usize>,
    /// Those rows at their kernel row, as wide as the image is; empty ones outside, and for kernels taller than the table.
    table: [In<'a, X>; MAX_HEIGHT],
}

impl<'r, 'a, X: Lane> Seen<'r, 'a, X> {
    fn new(window: &Window, image: &'r Rows<'a, X>, top: isize, length: usize) -> Self {
        let (inside, dilation) = (window.inside(0, top, image.height()), window.dilation[0] as usize);
        let mut seen = Self { image, top, dilation, inside, table: [In::new(&[]); MAX_HEIGHT] };
        for ky in seen.inside.clone() {
            let row = seen.row(ky);
            if let Some(slot) = seen.table.get_mut(ky) {
                *slot = row.window(0, length);
            }
        }
        seen
    }

    /// The windows of a row of `count` outputs, which may be the `last` ones, if each of their rows lies together.
    fn windows(
        &self,
        window: &Window,
        tile: &Staging<'_>,
        (count, last): (usize, bool),
        (channels, outside): (usize, X),
    ) -> Option<Windows<'_, 'a, X>> {
        let [kernel_height, kernel_width] = window.kernel.map(usize::from);
        let together = window.dilation[1] == 1 && tile.run == channels;
        let rows = self.table.get(..kernel_height).filter(|_| together)?;
        let from = window.start(1, 0) * channels as isize;
        let (step, len) = (window.stride[1] as usize * channels, kernel_width * channels);
        Some(Windows { rows, from, step, len, count, outside, last })
    }

    /// The row of the image at kernel row `ky`, which is one of those inside.
    fn row(&self, ky: usize) -> In<'a, X> {
        self.image.get((self.top + (ky * self.dilation) as isize).max(0) as usize)
    }
}

/// Stages what output pixels see of one group of channels, which begins at channel `first`.
struct Gather<'r, 'a, X> {
    window: &'r Window,
    tile: &'r Staging<'a>,
    seen: &'r Seen<'r, 'a, X>,
    width: usize,
    channels: usize,
    first: usize,
    outside: X,
}

impl<X: Lane> Gather<'_, '_, X> {
    /// `count` pixels from column `ox` on of the row, into the patches from `patch` on.
    fn pixels(&self, ox: usize, patch: usize, count: usize) {
        let (window, depth) = (self.window, self.tile.run);
        let [kernel_height, kernel_width] = window.kernel.map(usize::from);
        let left = window.start(1, ox);
        let step = window.stride[1] as usize;
        let end = left + ((count - 1) * step + kernel_width) as isize;
        let whole = left >= 0 && end <= self.width as isize && self.seen.inside.len() == kernel_height;
        let one_run = window.dilation[1] == 1 && depth == self.channels;
        let table = self.seen.table.get(..kernel_height).filter(|_| one_run);
        match table {
            Some(rows) if whole && count == matrix::rows(self.tile.layout, self.tile.depth) => {
                X::stage_all(self.tile, rows, left as usize * depth, (step * depth, kernel_width * depth));
            }
            _ => {
                for pixel in 0..count {
                    self.pixel(left + (pixel * step) as isize, patch + pixel, one_run);
                }
            }
        }
    }

    /// One pixel: padding first where its window sticks out, and then what is inside.
    fn pixel(&self, left: isize, patch: usize, one_run: bool) {
        let (tile, window, depth) = (self.tile, self.window, self.tile.run);
        let [kernel_height, kernel_width] = window.kernel.map(usize::from);
        let dilation = window.dilation[1] as usize;
        let xs = window.inside(1, left, self.width);
        if xs.len() < kernel_width || self.seen.inside.len() < kernel_height {
            X::pad(tile, patch, 0, tile.depth, self.outside);
        }
        if xs.is_empty() {
            return;
        }
        let first = (left + (xs.start * dilation) as isize).max(0) as usize * self.channels + self.first;
        for ky in self.seen.inside.clone() {
            let row = self.seen.row(ky);
            let at = (ky * kernel_width + xs.start) * depth;
            if one_run {
                X::stage(tile, patch, at, row.window(first, xs.len() * depth));
            } else {
                for tap in 0..xs.len() {
                    let values = row.window(first + tap * dilation * self.channels, depth);
                    X::stage(tile, patch, at + tap * depth, values);
                }
            }
        }
    }
}

narrow_and_wide!(Conv, Conv16, scratch::<i8, Dense>, scratch::<i16, Dense>; Dense);
lean!(ConvLean, Conv, scratch::<i8, Lean>, lean::<Lean>; Lean);
narrow!(ConvPart, scratch::<i8, InPart>; InPart);
lean!(ConvPartLean, ConvPart, scratch::<i8, LeanInPart>, lean::<LeanInPart>; LeanInPart);
lean!(ConvByPart, Conv, scratch::<i8, InPart>, |_| true; InPart);
lean!(ConvByPartLean, Conv, scratch::<i8, LeanInPart>, lean::<LeanInPart>; LeanInPart);
narrow!(ConvInt4, scratch::<i8, Int4>; Int4);
narrow!(ConvSparse, scratch::<i8, Sparse>; Sparse);

/// Shapes of a convolution for its [`reference()`]: (n, h, w, c) of input and output.
#[derive(Clone, Copy, Debug)]
pub struct Shapes {
    /// Dimensions of the input.
    pub input: [usize; 4],
    /// Dimensions of the output.
    pub output: [usize; 4],
}

/// The specification: `y[n][oy][ox][k]` from the sum over the taps and the group's input channels of input times weight,
/// where taps outside the image hold `outside`, the input's zero point. `weights` are `[cout][kh][kw][cin / groups]`.
pub fn reference<X: Quantized, Y: Quantized>(
    (x, outside): (&[X], X),
    (weights, window, groups): (&[i8], &Window, usize),
    channels: &Channels<'_>,
    clamp: Clamp,
    shapes: Shapes,
    y: &mut [Y],
) {
    let ([_, height, width, cin], [images, out_height, out_width, cout]) = (shapes.input, shapes.output);
    let [kh, kw] = window.kernel.map(usize::from);
    let depth = cin / groups;
    for (index, y) in y.iter_mut().enumerate().take(images * out_height * out_width * cout) {
        let (k, pixel) = (index % cout, index / cout);
        let (ox, oy, n) = (pixel % out_width, pixel / out_width % out_height, pixel / out_width / out_height);
        let mut sum = 0i32;
        for (ky, kx, c) in (0..kh * kw * depth).map(|tap| (tap / depth / kw, tap / depth % kw, tap % depth)) {
            let iy = window.start(0, oy) + (ky * window.dilation[0] as usize) as isize;
            let ix = window.start(1, ox) + (kx * window.dilation[1] as usize) as isize;
            let inside = (0..height as isize).contains(&iy) && (0..width as isize).contains(&ix);
            let channel = k / (cout / groups) * depth + c;
            let value = if inside {
                x[((n * height + iy as usize) * width + ix as usize) * cin + channel]
            } else {
                outside
            };
            sum = sum.wrapping_add(value.wide() * weights[((k * kh + ky) * kw + kx) * depth + c] as i32);
        }
        *y = channels.finish(k, sum, clamp);
    }
}
