//! Matrix, bias and output scale of linear layers and convolutions.

use core::marker::PhantomData;

use super::requant::{Channels, Clamp, Quantized};
use crate::arch::Backend;
use crate::arch::matrix::{
    Lane, MAX_CHANNELS, MAX_ROWS, Patches, Rounding, Staging, Strided, Sums, Windows, finish,
};
use crate::arch::view::{In, Out};
use crate::pack::{Depth, Layout};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator};

/// How the weights of a matrix are stored. A type, so that firmware links only the forms that its plan has.
pub(super) trait Weights: Copy {
    /// The layout in whose way patches are staged for them, in plans of `layout`.
    fn staging(layout: Layout) -> Layout;

    /// Whether windows go column by column in layouts whose matrix order says so.
    #[cfg(mixel_columns)]
    const BY_COLUMNS: bool = false;

    /// Whether layers may go another way than the layout's loops; others are not linked.
    const COMMON: bool = true;

    /// Whether the outputs may be some of the channels of their tensor only.
    const PART: bool = false;

    /// As [`Lane::direct`].
    fn direct<X: Lane>(layout: Layout, rows: usize, depth: usize) -> bool;

    /// Whether the weights of `matrix` are what its sizes ask for.
    fn complete(matrix: &Matrix<'_, Self>) -> bool;

    /// As [`Matrix::apply_windows`].
    fn windows<X: Lane, Y: Quantized>(
        _matrix: &Matrix<'_, Self>,
        _rounding: Rounding,
        _windows: Windows<'_, '_, X>,
        _tile: (&Staging<'_>, usize),
        _y: Out<'_, Y>,
        _stride: usize,
    ) -> Option<usize> {
        None
    }

    /// As [`Matrix::apply`].
    fn apply<X: Lane, Y: Quantized>(
        matrix: &Matrix<'_, Self>,
        group: (usize, Rounding),
        patches: Patches<'_>,
        y: (Out<'_, Y>, usize),
    );

    /// As [`Matrix::apply_strided`].
    fn strided<X: Lane, Y: Quantized>(
        _matrix: &Matrix<'_, Self>,
        _rounding: Rounding,
        _rows: Strided<'_>,
        _tile: &Staging<'_>,
        _y: (Out<'_, Y>, [usize; 2]),
    ) {
    }
}

/// A byte a weight, in the layout's matrix order, with the common ways of multiplying or not, for all channels of a tensor or
/// some of them.
#[derive(Clone, Copy)]
pub(super) struct Dense<const COMMON: bool = true, const PART: bool = false>;

/// Weights of layers that the layout's loops take (see [`super::lean`]).
pub(super) type Lean = Dense<false>;

/// Weights of layers that may make a part of their output (see [`super::part`]).
pub(super) type InPart = Dense<true, true>;

/// Those without the common ways.
pub(super) type LeanInPart = Dense<false, true>;

/// `groups` matrices `[outputs][depth]` and the channels of all of them.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'p, W = Dense> {
    /// That of the staged patches.
    pub layout: Layout,
    pub groups: usize,
    pub outputs: usize,
    pub depth: usize,
    /// How the inputs lie in memory.
    pub inputs: Depth,
    /// The instructions to use.
    pub backend: Backend,
    /// In the form of `W`.
    pub weights: In<'p, i8>,
    channels: Channels<'p>,
    clamp: Clamp,
    /// Whether the channels were checked in another form.
    vouched: bool,
    form: PhantomData<W>,
}

impl<'p, W: Weights> Matrix<'p, W> {
    /// weights (constant), channels (constant), min i32, max i32. `outputs` are those of one group. Sessions set the backend.
    pub fn read(
        operator: &Operator<'p>,
        cursor: &mut Cursor<'_>,
        (groups, outputs, depth): (usize, usize, Depth),
        zero_point: i32,
    ) -> Self {
        let weights = operator.constant(cursor);
        let channels = Channels::read(operator, cursor, groups * outputs);
        let clamp = Clamp::read(cursor, zero_point);
        let (layout, backend) = (W::staging(operator.plan().layout()), Backend::Portable);
        let (inputs, depth) = (depth, depth.total());
        let (vouched, form) = (operator.vouched(), PhantomData);
        Self { layout, groups, outputs, depth, inputs, backend, weights, channels, clamp, vouched, form }
    }

    /// The channels of one group.
    pub fn channels(&self, group: usize) -> Channels<'p> {
        self.channels.window(group * self.outputs, self.outputs)
    }

    /// The dense matrix and the channels of one group.
    // In line, it costs the callers for Helium stack and 150 instructions a layer.
    #[inline(never)]
    fn group(&self, group: usize) -> (In<'p, i8>, Channels<'p>) {
        if self.groups == 1 {
            return (self.weights, self.channels);
        }
        let size = self.weights.len().checked_div(self.groups).unwrap_or(0);
        (self.weights.window(group * size, size), self.channels(group))
    }

    #[cfg(not(target_os = "none"))]
    fn heads_hold(&self) -> bool {
        let order = self.layout.matrix();
        (0..self.groups).all(|group| {
            let (weights, _) = self.group(group);
            order.heads_hold(|place| weights.get(place), self.outputs, self.inputs)
        })
    }

    /// Outputs of rows that are read where they lie, for one group: row `r` of line `l` goes to `y` from element
    /// `l * line_stride + r * stride` on.
    #[cfg(not(target_os = "none"))]
    pub fn apply_rows<Y: Quantized>(
        &self,
        group: usize,
        rows: crate::arch::rows::Rows<'_>,
        y: (Out<'_, Y>, [usize; 2]),
    ) {
        let (weights, channels) = self.group(group);
        let on = (self.backend, self.layout);
        crate::arch::rows::outputs(on, rows, weights, &channels, self.clamp, y);
    }

    /// The one group, for windows that are runs of bytes, `step` apart.
    #[cfg(mixel_columns)]
    pub fn columns(&self, step: usize) -> Option<crate::arch::helium::product::Product<'p>> {
        let (weights, channels) = self.group(0);
        crate::arch::helium::product::Product::new([self.depth, step], weights, channels, self.clamp)
    }

    /// Whether everything has the size that the shapes ask for.
    pub fn check<Y: Quantized>(&self) -> Result<(), Fault> {
        let aligned = (self.weights.as_ptr() as usize).is_multiple_of(4);
        let channels = self.vouched || self.channels.valid(self.groups * self.outputs);
        if !W::complete(self) || !aligned || !channels {
            return Err(Fault::Constants);
        }
        if self.clamp.valid::<Y>() { Ok(()) } else { Err(Fault::Params) }
    }

    /// How all its sums become outputs.
    pub fn rounding(&self) -> Rounding {
        if self.layout.matrix().segmented || self.layout.matrix().by_columns {
            // These layouts look at each block's shifts where they load them.
            return Rounding { clamp: self.clamp, simple: false };
        }
        Rounding::new(&self.channels, self.clamp)
    }

    /// As [`Lane::windows`], for a matrix of one group.
    pub fn apply_windows<X: Lane, Y: Quantized>(
        &self,
        rounding: Rounding,
        windows: Windows<'_, '_, X>,
        tile: (&Staging<'_>, usize),
        y: Out<'_, Y>,
        stride: usize,
    ) -> Option<usize> {
        W::windows(self, rounding, windows, tile, y, stride)
    }

    /// Outputs of the first `rows` patches of a tile for one group.
    pub fn apply_tile<X: Lane, Y: Quantized>(
        &self,
        (group, rounding): (usize, Rounding),
        (tile, rows): (&Staging<'_>, usize),
        y: Out<'_, Y>,
        stride: usize,
    ) {
        X::complete(tile);
        let patches = Patches { bytes: tile.bytes.reader(), rows, depth: self.depth, staged: true };
        self.apply::<X, Y>((group, rounding), patches, y, stride);
    }

    /// As [`Lane::strided`], for a matrix of one group.
    pub fn apply_strided<X: Lane, Y: Quantized>(
        &self,
        rounding: Rounding,
        rows: Strided<'_>,
        tile: &Staging<'_>,
        y: (Out<'_, Y>, [usize; 2]),
    ) {
        W::strided::<X, Y>(self, rounding, rows, tile, y);
    }

    /// Outputs of `patches` for one group: row `r` goes to `y` from element `r * stride` on.
    pub fn apply<X: Lane, Y: Quantized>(
        &self,
        (group, rounding): (usize, Rounding),
        patches: Patches<'_>,
        y: Out<'_, Y>,
        stride: usize,
    ) {
        W::apply::<X, Y>(self, (group, rounding), patches, (y, stride));
    }
}

impl<const COMMON: bool, const PART: bool> Weights for Dense<COMMON, PART> {
    const COMMON: bool = COMMON || !super::LOOPS;

    const PART: bool = PART;

    #[cfg(mixel_columns)]
    const BY_COLUMNS: bool = true;

    fn staging(layout: Layout) -> Layout {
        layout
    }

    fn direct<X: Lane>(layout: Layout, rows: usize, depth: usize) -> bool {
        X::direct(layout, rows, depth)
    }

    fn complete(matrix: &Matrix<'_, Self>) -> bool {
        let size = matrix.layout.matrix().len(matrix.outputs, matrix.inputs);
        let size = size.and_then(|size| size.checked_mul(matrix.groups));
        let complete = size == Some(matrix.weights.len());
        // Only layouts for hosts have heads.
        #[cfg(not(target_os = "none"))]
        let complete = complete && matrix.heads_hold();
        complete
    }

    fn windows<X: Lane, Y: Quantized>(
        matrix: &Matrix<'_, Self>,
        rounding: Rounding,
        windows: Windows<'_, '_, X>,
        tile: (&Staging<'_>, usize),
        y: Out<'_, Y>,
        stride: usize,
    ) -> Option<usize> {
        // Of a whole tensor the channels tell the step: less code than to pass it on.
        let stride = if PART { stride } else { matrix.channels.bias.len() };
        X::windows(windows, tile, matrix.weights, &matrix.channels, rounding, y, stride)
    }

    fn strided<X: Lane, Y: Quantized>(
        matrix: &Matrix<'_, Self>,
        rounding: Rounding,
        rows: Strided<'_>,
        tile: &Staging<'_>,
        y: (Out<'_, Y>, [usize; 2]),
    ) {
        X::strided::<Y, COMMON>(rows, tile, matrix.weights, &matrix.channels, rounding, y);
    }

    fn apply<X: Lane, Y: Quantized>(
        matrix: &Matrix<'_, Self>,
        (group, rounding): (usize, Rounding),
        patches: Patches<'_>,
        (y, stride): (Out<'_, Y>, usize),
    ) {
        let (weights, channels) = matrix.group(group);
        if !Self::COMMON {
            return X::row(patches, weights, &channels, rounding, y);
        }
        if X::outputs((matrix.backend, matrix.layout), patches, weights, &channels, rounding, (y, stride)) {
            return;
        }
        if patches.rows > MAX_ROWS {
            for first in (0..patches.rows).step_by(MAX_ROWS) {
                let (rows, depth) = (MAX_ROWS.min(patches.rows - first), matrix.depth);
                let bytes =
                    patches.bytes.window(first * depth * size_of::<X>(), rows * depth * size_of::<X>());
                let patches = Patches { bytes, rows, ..patches };
                matrix.apply::<X, Y>((group, rounding), patches, y.window(first * stride, y.len()), stride);
            }
            return;
        }
        let order = matrix.layout.matrix();
        let mut sums: Sums = [[0; MAX_CHANNELS]; MAX_ROWS];
        let mut first = 0;
        while first < matrix.outputs {
            let rest = weights.window(order.block(matrix.inputs, first), weights.len());
            let done = X::tile(matrix.layout, patches, matrix.inputs, rest, &mut sums);
            if done == 0 {
                return;
            }
            let count = done.min(matrix.outputs - first);
            let place = (y.window(first, y.len()), stride);
            finish(&sums, (patches.rows, count), &channels, first, matrix.clamp, place);
            first += done;
        }
    }
}
