//! A weight matrix times a few rows of activations: the product in linear layers and convolutions.
//!
//! A row is staged first (a *patch*: what one output pixel sees, in the form that the layout's instructions want), then
//! [`Lane::tile`] multiplies several patches at once with a few channels' weights, so that each load serves several
//! products. Forms and tile sizes belong to the layout and are the same on every machine; only single instructions
//! differ, so a plan for one target runs bit-equal on all.
#![allow(unsafe_code)]

use super::depthwise::{Filter, Line};
#[cfg(mixel_columns)]
use super::helium;
use super::view::{In, Out};
use super::{Backend, dsp, dsp_depthwise, portable};
use crate::kernels::requant::{Channel, Channels, Clamp, Quantized, Scale};
use crate::pack::{Depth, Layout};

/// Most rows in a tile.
pub const MAX_ROWS: usize = if cfg!(target_os = "none") { 4 } else { 32 };
/// Most channels in a tile.
pub const MAX_CHANNELS: usize = 16;

/// Sums of a tile: `[row][channel]`.
pub type Sums = [[i32; MAX_CHANNELS]; MAX_ROWS];

/// Rows to multiply: `rows` patches of `depth` values, one after the other.
#[derive(Clone, Copy)]
pub struct Patches<'a> {
    /// Their memory.
    pub bytes: In<'a, u8>,
    /// How many, at most [`MAX_ROWS`].
    pub rows: usize,
    /// Values in each.
    pub depth: usize,
    /// Whether they were written by [`Lane::stage`]; otherwise they are plain values, and there are as many rows as
    /// [`Lane::direct`] allows.
    pub staged: bool,
}

/// Where the patches of a tile are staged.
#[derive(Clone, Copy)]
pub struct Staging<'a> {
    /// Weight order of the plan.
    pub layout: Layout,
    /// [`Lane::tile_bytes`] bytes.
    pub bytes: Out<'a, u8>,
    /// Values of a patch.
    pub depth: usize,
    /// Patches are made of runs of so many values, or of a multiple.
    pub run: usize,
}

/// Windows of a row of outputs, or rows of a matrix.
#[derive(Clone, Copy)]
pub struct Windows<'r, 'a, X> {
    /// The rows of the image that they see, of one length; those outside of the image are empty.
    pub rows: &'r [In<'a, X>],
    /// Where the first one begins in each of them: in front of it, if it sticks out.
    pub from: isize,
    /// Values from one to the next.
    pub step: usize,
    /// Values of one in each row.
    pub len: usize,
    /// How many there are.
    pub count: usize,
    /// The value outside of the image.
    pub outside: X,
    /// Whether no other windows follow.
    pub last: bool,
}

/// Rows of bytes at any distance: value `k` of row `r` is at `r * steps[0] + k * steps[1]`.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    /// Their memory.
    pub x: In<'a, i8>,
    /// From row to row, and from value to value.
    pub steps: [usize; 2],
    /// How many there are.
    pub count: usize,
}

/// How sums become outputs.
#[derive(Clone, Copy)]
pub struct Rounding {
    /// Zero point and range.
    pub clamp: Clamp,
    /// Whether the range is the whole of int8, zero point included, and all shifts are 33 or more: the usual case, for which
    /// layouts have shorter ways.
    pub simple: bool,
}

impl Rounding {
    /// Looks through all channels once.
    pub fn new(channels: &Channels<'_>, clamp: Clamp) -> Self {
        let whole = clamp == Clamp::full::<i8>(clamp.zero_point);
        let inside = (clamp.min..=clamp.max).contains(&clamp.zero_point);
        // Four shifts at a time: those of a plan are below 64, so that only 33 and more reach the highest bit.
        let (words, count) = (channels.shift.len() / 4, channels.shift.len());
        // SAFETY: the words lie in the window.
        let words = (0..words).map(|word| unsafe {
            channels.shift.as_ptr().add(word * 4).cast::<u32>().read_unaligned().wrapping_add(0x5f5f_5f5f)
        });
        let high = words.fold(0x8080_8080, |all, word| all & word);
        let rest = (count & !3..count).all(|channel| channels.shift.get(channel) >= 33);
        Self { clamp, simple: whole && inside && rest && high == 0x8080_8080 }
    }
}

/// Rows of `depth` values that a tile of the layout takes at best.
pub const fn rows(layout: Layout, depth: usize) -> usize {
    match layout {
        Layout::Generic => 2,
        Layout::Helium => dense_rows(depth),
        Layout::ArmDsp => dsp::ROWS,
        Layout::X86 | Layout::Aarch64 => MAX_ROWS,
    }
}

/// Whether the layout has [`Lane::strided`].
pub const fn strides(layout: Layout) -> bool {
    matches!(layout, Layout::ArmDsp)
}

/// Rows that take about a kilobyte, so that little is spent on each tile: an even number.
const fn dense_rows(depth: usize) -> usize {
    match depth {
        0..=16 => 64,
        17..=32 => 32,
        33..=64 => 16,
        65..=128 => 8,
        129..=168 => 6,
        169..=256 => 4,
        _ => 2,
    }
}

/// Activation types that matrices are multiplied with.
pub trait Lane: Quantized {
    /// Bytes of a tile's patches of `depth` values, staged in runs of `run` or a multiple.
    fn tile_bytes(layout: Layout, depth: usize, run: usize) -> usize;

    /// Writes `values` into patch `patch`, from value `at` on.
    fn stage(tile: &Staging<'_>, patch: usize, at: usize, values: In<'_, Self>);

    /// Writes all patches of a tile: patch `p` takes `len` values of each of `rows`, those from `from + p * step` on.
    fn stage_all(tile: &Staging<'_>, rows: &[In<'_, Self>], from: usize, (step, len): (usize, usize)) {
        for (row, values) in rows.iter().enumerate() {
            for patch in 0..self::rows(tile.layout, tile.depth) {
                Self::stage(tile, patch, row * len, values.window(from + patch * step, len));
            }
        }
    }

    /// Writes `value` into `count` values of patch `patch`, from value `at` on.
    fn pad(tile: &Staging<'_>, patch: usize, at: usize, count: usize, value: Self);

    /// To be called when all patches are staged.
    fn complete(_tile: &Staging<'_>) {}

    /// Rows of depthwise outputs that [`Lane::line`] wants at once.
    fn lines(_filter: &Filter<'_>) -> usize {
        1
    }

    /// Scratch bytes that [`Lane::line`] asks for, for `width` outputs a row.
    fn line_bytes(_filter: &Filter<'_>, _width: usize) -> usize {
        0
    }

    /// Rows of depthwise outputs for filters that the layout has a shorter way for: how many of the first channels are
    /// done, 0 when it has none. Rows, weights and channels are as long as [`super::depthwise::line`] found them.
    fn line<Y: Quantized>(
        _line: &Line<'_, Self>,
        _filter: &Filter<'_>,
        _scratch: Out<'_, u8>,
        _y: Out<'_, Y>,
    ) -> usize {
        0
    }

    /// Whether `rows` rows of `depth` plain values can be multiplied where they lie, when the outputs do not share their
    /// memory.
    fn direct(_layout: Layout, rows: usize, _depth: usize) -> bool {
        rows == 1
    }

    /// Computes all outputs of patches whose layout has a shorter way than tile by tile; false when it has none.
    fn outputs<Y: Quantized>(
        (_backend, _layout): (Backend, Layout),
        _patches: Patches<'_>,
        _weights: In<'_, i8>,
        _channels: &Channels<'_>,
        _rounding: Rounding,
        _y: (Out<'_, Y>, usize),
    ) -> bool {
        false
    }

    /// Outputs of one row of plain values that the layout's loop takes; [`Lane::outputs`] without the ways for others.
    fn row<Y: Quantized>(
        _patches: Patches<'_>,
        _weights: In<'_, i8>,
        _channels: &Channels<'_>,
        _rounding: Rounding,
        _y: Out<'_, Y>,
    ) {
    }

    /// Outputs of rows at any distance by way of `tile`, of layouts whose loops write outputs at any distance too:
    /// that of channel `c` of row `r` goes to `y` at `r * steps[0] + c * steps[1]`. Without `COMMON` for those that
    /// the layout's loop takes. See [`strides`].
    fn strided<Y: Quantized, const COMMON: bool>(
        _rows: Strided<'_>,
        _tile: &Staging<'_>,
        _weights: In<'_, i8>,
        _channels: &Channels<'_>,
        _rounding: Rounding,
        _y: (Out<'_, Y>, [usize; 2]),
    ) {
    }

    /// Outputs of windows, one after the other, in a loop of the layout's through `tile`, whose first `staged` patches are there
    /// already; `y` begins with theirs, and those of each window are `stride` elements behind those of the one before. How many
    /// patches are left staged for the windows that follow, too few for a tile; none, with nothing done, when the layout has no such
    /// loop, whatever the windows.
    fn windows<Y: Quantized>(
        _windows: Windows<'_, '_, Self>,
        _tile: (&Staging<'_>, usize),
        _weights: In<'_, i8>,
        _channels: &Channels<'_>,
        _rounding: Rounding,
        _y: Out<'_, Y>,
        _stride: usize,
    ) -> Option<usize> {
        None
    }

    /// Multiplies patches with the first channels of `weights`, which begin at a multiple of the layout's channel block,
    /// and gives the number of channels; 0 when a patch or the weights are too short.
    fn tile(
        layout: Layout,
        patches: Patches<'_>,
        inputs: Depth,
        weights: In<'_, i8>,
        sums: &mut Sums,
    ) -> usize;
}

/// Bytes of a patch of plain int8 values.
pub const fn patch_bytes(layout: Layout, depth: usize) -> usize {
    if matches!(layout, Layout::Helium) { depth } else { depth.next_multiple_of(4) }
}

impl Lane for i8 {
    fn tile_bytes(layout: Layout, depth: usize, run: usize) -> usize {
        match layout {
            Layout::ArmDsp => dsp::tile_bytes(depth, run),
            _ => rows(layout, depth) * patch_bytes(layout, depth),
        }
    }

    fn stage(tile: &Staging<'_>, patch: usize, at: usize, values: In<'_, i8>) {
        match tile.layout {
            Layout::ArmDsp => dsp::stage(tile, patch, at, values),
            _ => {
                let start = patch * patch_bytes(tile.layout, tile.depth) + at;
                tile.bytes.window(start, values.len()).cast().copy_from(&values);
            }
        }
    }

    fn stage_all(tile: &Staging<'_>, rows: &[In<'_, i8>], from: usize, (step, len): (usize, usize)) {
        if tile.layout == Layout::ArmDsp {
            return dsp::stage_all(tile, rows, from, (step, len));
        }
        let count = self::rows(tile.layout, tile.depth);
        for (row, values) in rows.iter().enumerate() {
            let (at, values) = (row * len, values.window(from, (count - 1) * step + len));
            // Patches that lie one after the other, as the rows do.
            let order = tile.layout.matrix();
            let plain = order.by_columns || order.segmented && len.is_multiple_of(4);
            if plain && step == len && len == tile.depth {
                tile.bytes.cast().copy_from(&values);
                continue;
            }
            for patch in 0..count {
                Self::stage(tile, patch, at, values.window(patch * step, len));
            }
        }
    }

    fn pad(tile: &Staging<'_>, patch: usize, at: usize, count: usize, value: i8) {
        match tile.layout {
            Layout::ArmDsp => dsp::pad(tile, patch, at, count, value),
            _ => {
                let start = patch * patch_bytes(tile.layout, tile.depth) + at;
                super::fill(tile.bytes.window(start, count), value as u8);
            }
        }
    }

    fn complete(tile: &Staging<'_>) {
        if tile.layout == Layout::ArmDsp {
            dsp::complete(tile);
        }
    }

    fn direct(layout: Layout, rows: usize, depth: usize) -> bool {
        let order = layout.matrix();
        if order.segmented {
            depth.is_multiple_of(order.depth)
        } else {
            rows == 1 || layout == Layout::Helium
        }
    }

    fn lines(filter: &Filter<'_>) -> usize {
        match filter.layout {
            Layout::ArmDsp => dsp_depthwise::lines(filter),
            _ => 1,
        }
    }

    fn line_bytes(filter: &Filter<'_>, width: usize) -> usize {
        match filter.layout {
            Layout::ArmDsp => dsp_depthwise::line_bytes(filter, width),
            _ => 0,
        }
    }

    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    fn line<Y: Quantized>(
        line: &Line<'_, i8>,
        filter: &Filter<'_>,
        scratch: Out<'_, u8>,
        y: Out<'_, Y>,
    ) -> usize {
        match filter.layout {
            Layout::ArmDsp if size_of::<Y>() == 1 => dsp_depthwise::line(line, filter, scratch, y.cast()),
            _ => 0,
        }
    }

    // Called for each form of the weights, it would take 100 bytes of stack more.
    #[inline(always)]
    fn outputs<Y: Quantized>(
        (_backend, layout): (Backend, Layout),
        patches: Patches<'_>,
        weights: In<'_, i8>,
        channels: &Channels<'_>,
        rounding: Rounding,
        y: (Out<'_, Y>, usize),
    ) -> bool {
        #[cfg(not(target_os = "none"))]
        if layout.matrix().segmented {
            let Patches { bytes, rows: count, depth: len, .. } = patches;
            let (starts, step) = (In::new(&[0]), len.next_multiple_of(4));
            let rows = super::rows::Rows { bytes: bytes.cast(), starts, len, step, count, lines: 1, line: 0 };
            let (y, on) = ((y.0, [y.1, 0]), (_backend, layout));
            return super::rows::outputs(on, rows, weights, channels, rounding.clamp, y);
        }
        match layout {
            Layout::ArmDsp if patches.staged => dsp::outputs(patches, weights, channels, rounding, y),
            Layout::ArmDsp => dsp::row(patches, weights, channels, rounding, y.0),
            #[cfg(mixel_columns)]
            Layout::Helium => {
                let Patches { bytes, rows: count, depth, .. } = patches;
                helium::product::Product::new([depth; 2], weights, *channels, rounding.clamp)
                    .is_some_and(|product| product.outputs(bytes.cast(), count, y))
            }
            _ => false,
        }
    }

    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    fn row<Y: Quantized>(
        patches: Patches<'_>,
        weights: In<'_, i8>,
        channels: &Channels<'_>,
        rounding: Rounding,
        y: Out<'_, Y>,
    ) {
        dsp::row(patches, weights, channels, rounding, y);
    }

    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    fn windows<Y: Quantized>(
        windows: Windows<'_, '_, i8>,
        tile: (&Staging<'_>, usize),
        weights: In<'_, i8>,
        channels: &Channels<'_>,
        rounding: Rounding,
        y: Out<'_, Y>,
        stride: usize,
    ) -> Option<usize> {
        let there = tile.0.layout == Layout::ArmDsp && size_of::<Y>() == 1;
        let (factors, y) = (dsp::Factors::bytes(weights), (y.cast(), stride));
        there.then(|| dsp::windows(windows, tile, factors, channels, rounding, y)).flatten()
    }

    fn strided<Y: Quantized, const COMMON: bool>(
        rows: Strided<'_>,
        tile: &Staging<'_>,
        weights: In<'_, i8>,
        channels: &Channels<'_>,
        rounding: Rounding,
        y: (Out<'_, Y>, [usize; 2]),
    ) {
        if strides(tile.layout) {
            dsp::strided::<Y, COMMON>(tile, rows, weights, channels, rounding, y);
        }
    }

    fn tile(
        layout: Layout,
        patches: Patches<'_>,
        _inputs: Depth,
        weights: In<'_, i8>,
        sums: &mut Sums,
    ) -> usize {
        match layout {
            Layout::Generic => plain::<i8>(patches, patch_bytes(layout, patches.depth), weights, sums),
            Layout::ArmDsp | Layout::Helium | Layout::X86 | Layout::Aarch64 => 0,
        }
    }
}

impl Lane for i16 {
    fn tile_bytes(layout: Layout, depth: usize, _run: usize) -> usize {
        rows(layout, depth) * depth * 2
    }

    fn stage(tile: &Staging<'_>, patch: usize, at: usize, values: In<'_, i16>) {
        tile.bytes.window((patch * tile.depth + at) * 2, values.len() * 2).cast().copy_from(&values);
    }

    fn pad(tile: &Staging<'_>, patch: usize, at: usize, count: usize, value: i16) {
        tile.bytes.window((patch * tile.depth + at) * 2, count * 2).cast::<i16>().fill(value);
    }

    /// One channel at a time, in any order of weights: 16-bit layers are few and small.
    fn tile(
        layout: Layout,
        patches: Patches<'_>,
        inputs: Depth,
        weights: In<'_, i8>,
        sums: &mut Sums,
    ) -> usize {
        let order = layout.matrix();
        if order.channels == 1 {
            return plain::<i16>(patches, patches.depth, weights, sums);
        }
        let x = patches.bytes.cast::<i16>();
        if order.len(order.channels, inputs).is_none_or(|len| weights.len() < len) {
            return 0;
        }
        for (row, sums) in sums.iter_mut().enumerate().take(patches.rows) {
            let x = x.window(row * patches.depth, patches.depth);
            for (channel, sum) in sums.iter_mut().enumerate().take(order.channels) {
                *sum = (0..x.len()).fold(0i32, |sum, index| {
                    let weight = weights.get(order.index(inputs, channel, index));
                    sum.wrapping_add(x.get(index).wide().wrapping_mul(weight as i32))
                });
            }
        }
        order.channels.min(MAX_CHANNELS)
    }
}

/// Bias and scale of one channel.
///
/// # Safety
/// `channel` is below the lengths of all three arrays.
#[inline(always)]
pub(super) unsafe fn channel_at(channels: &Channels<'_>, channel: usize) -> Channel {
    // SAFETY: the caller's.
    unsafe {
        let (multiplier, shift) =
            (channels.multiplier.get_unchecked(channel), channels.shift.get_unchecked(channel));
        Channel { bias: channels.bias.get_unchecked(channel), scale: Scale { multiplier, shift } }
    }
}

/// Turns the sums of `count` channels from `first` on into outputs: row `r` goes to `y` from element `r * stride` on.
/// Nothing happens when the channels or `y` do not reach that far.
#[inline]
pub fn finish<Y: Quantized>(
    sums: &Sums,
    (rows, count): (usize, usize),
    channels: &Channels<'_>,
    first: usize,
    clamp: Clamp,
    (y, stride): (Out<'_, Y>, usize),
) {
    let end = first + count;
    let complete =
        channels.bias.len() >= end && channels.multiplier.len() >= end && channels.shift.len() >= end;
    if !complete || !(1..=MAX_CHANNELS).contains(&count) || rows == 0 || y.len() < (rows - 1) * stride + count
    {
        return;
    }
    for channel in 0..count {
        // SAFETY: first + channel is below all three lengths.
        let finish = unsafe { channel_at(channels, first + channel) };
        for (row, sums) in sums.iter().enumerate().take(rows) {
            // SAFETY: channel < count <= MAX_CHANNELS, and the last row's last channel lies in `y`.
            unsafe {
                let value = finish.apply(*sums.get_unchecked(channel), clamp);
                y.as_mut_ptr().add(row * stride + channel).write(value);
            }
        }
    }
}

/// Weights in plain order: two channels at a time, or the last one.
fn plain<X: Quantized>(patches: Patches<'_>, stride: usize, weights: In<'_, i8>, sums: &mut Sums) -> usize {
    let Patches { depth, rows, .. } = patches;
    let x = patches.bytes.cast::<X>();
    let needed = (rows.saturating_sub(1) * stride) + if rows > 0 { depth } else { 0 };
    if depth == 0 || weights.len() < depth || x.len() < needed || rows > MAX_ROWS {
        return 0;
    }
    let channels = if weights.len() >= 2 * depth { 2 } else { 1 };
    for (pair, sums) in sums.chunks_exact_mut(2).enumerate().take(rows.div_ceil(2)) {
        let [first, second] = sums else { continue };
        let both = pair * 2 + 1 < rows;
        // SAFETY: `needed` covers every row up to `rows`, and weights hold `channels` rows of `depth`.
        unsafe {
            let (x, w) = (x.as_ptr().add(pair * 2 * stride), weights.as_ptr());
            if both && channels == 2 {
                let [a, b] = portable::dots::<X, 2, 2>(x, stride, w, depth);
                first[..2].copy_from_slice(&a);
                second[..2].copy_from_slice(&b);
            } else {
                for (row, sums) in [first, second].into_iter().enumerate().take(1 + both as usize) {
                    for (channel, sum) in sums.iter_mut().enumerate().take(channels) {
                        let (x, w) = (x.add(row * stride), w.add(channel * depth));
                        let [[only]] = portable::dots::<X, 1, 1>(x, stride, w, depth);
                        *sum = only;
                    }
                }
            }
        }
    }
    channels
}
