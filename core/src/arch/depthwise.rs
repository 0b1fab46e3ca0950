//! One row of outputs of a depthwise convolution.
//!
//! [`line()`] is what operators call. A layout with a body of its own for some filters gives it as [`Lane::line`]; everything
//! else goes the common way, pixel by pixel, a few channels at once.
#![allow(unsafe_code)]

use super::matrix::Lane;
use super::view::{In, Out, span};
use super::{Backend, portable};
use crate::kernels::requant::{Channel, Channels, Clamp, Quantized, Scale};
use crate::kernels::window::Window;
use crate::pack::{DepthwiseOrder, Layout, TAPS};

/// Tallest kernel.
pub const MAX_HEIGHT: usize = 16;

/// What a row of outputs sees, or some rows at once, each of which sees the rows of the one above but for the first, and one more.
pub struct Line<'a, X> {
    /// One row of the image a kernel row, from its first column on; empty for rows outside.
    pub rows: &'a [In<'a, X>],
    /// Columns of the image.
    pub width: usize,
    /// What taps outside the image hold.
    pub outside: X,
    /// Rows of outputs.
    pub count: usize,
    /// Outputs in a row.
    pub pixels: usize,
    /// Elements from a row of outputs to the next.
    pub stride: usize,
}

/// Geometry, weights, channels and range of the outputs.
#[derive(Clone, Copy)]
pub struct Filter<'a> {
    /// The instructions to use.
    pub backend: Backend,
    /// Weight order of the plan.
    pub layout: Layout,
    /// Geometry.
    pub window: Window,
    /// The weights, in the order of [`Layout::depthwise`].
    pub weights: In<'a, i8>,
    /// Input channels.
    pub depth: usize,
    /// Output channels.
    pub outputs: usize,
    /// Bias and scale of all output channels.
    pub channels: Channels<'a>,
    /// Zero point and range.
    pub clamp: Clamp,
    /// See [`super::matrix::Rounding`].
    pub simple: bool,
}

/// What one output pixel sees of its row.
struct Taps {
    /// The first column of taps inside the image.
    first: usize,
    /// How many columns of taps are inside.
    inside: usize,
    /// Where the first of them lies in the rows.
    from: usize,
    /// Whether three taps a row, all inside, lie as far apart as their weights.
    whole: bool,
}

/// Whether the layout's way takes all channels.
pub fn lean(filter: &Filter<'_>) -> bool {
    filter.layout == Layout::ArmDsp && super::dsp_depthwise::takes(filter)
}

/// Channels that are summed at once: what a Cortex-M's registers hold, or a vector register on larger machines.
const LANES: usize = if cfg!(target_os = "none") { 4 } else { 16 };

/// Rows of outputs, the first one at the start of `y`; `scratch` has [`Lane::line_bytes`]. Nothing happens when a window is too short.
/// Channels that [`Lane::line`] does not take are left out unless the common way is linked.
#[inline(never)]
pub fn line<X: Lane, Y: Quantized, const COMMON: bool>(
    line: &Line<'_, X>,
    filter: &Filter<'_>,
    scratch: Out<'_, u8>,
    y: Out<'_, Y>,
) {
    let Filter { window, weights, depth, channels, .. } = filter;
    let [rows, columns] = window.kernel.map(usize::from);
    let count = channels.bias.len();
    let (below, length) = (line.count.saturating_sub(1), line.width.saturating_mul(*depth));
    let inputs =
        line.rows.len() == rows + below && line.rows.iter().all(|row| row.is_empty() || row.len() >= length);
    let order = filter.layout.depthwise([rows, columns]);
    let constants = order.len(rows * columns, count).is_some_and(|len| weights.len() >= len)
        && channels.multiplier.len() == count
        && channels.shift.len() == count;
    let multiplier = count.checked_div(*depth).unwrap_or(0);
    let whole = multiplier > 0 && multiplier * depth == count;
    let room = y.len() >= span(line.count, line.stride, line.pixels.saturating_mul(count));
    if !inputs || !constants || !whole || !room {
        return;
    }
    let done = X::line(line, filter, scratch, y);
    if done == count || !COMMON {
        return;
    }
    for row in 0..line.count {
        let seen = Line { rows: line.rows.get(row..row + rows).unwrap_or(&[]), count: 1, ..*line };
        let y = y.window(row * line.stride, line.pixels * count);
        common(&seen, filter, order, done, y);
    }
}

/// One row of outputs the common way, from channel `done` on.
#[inline(always)]
fn common<X: Lane, Y: Quantized>(
    line: &Line<'_, X>,
    filter: &Filter<'_>,
    order: DepthwiseOrder,
    done: usize,
    y: Out<'_, Y>,
) {
    let Filter { window, depth, .. } = filter;
    let (columns, count) = (window.kernel[1] as usize, filter.channels.bias.len());
    let multiplier = count.checked_div(*depth).unwrap_or(1);
    let whole = columns == 3 && window.dilation[1] == 1 && multiplier == 1;
    for pixel in 0..line.pixels {
        let left = window.start(1, pixel);
        let inside = window.inside(1, left, line.width);
        let column = (left + (inside.start * window.dilation[1] as usize) as isize).max(0) as usize;
        let (first, inside) = (inside.start, inside.len());
        let taps = Taps { first, inside, from: column * depth, whole: whole && inside == 3 };
        let y = y.window(pixel * count, count);
        let mut channel = done;
        if order != DepthwiseOrder::Taps {
            (done..count).for_each(|channel| y.set(channel, single(line, &taps, filter, order, channel)));
            continue;
        }
        if multiplier == 1 {
            while channel + LANES <= count {
                // SAFETY: rows, weights, channels and `y` reach to the last channel.
                unsafe {
                    let tap = |sums: &mut _, x, w| portable::tap(sums, x, w);
                    let three = |sums: &mut _, x, w| portable::three_taps(sums, x, w, count);
                    block::<X, Y, LANES>(line, &taps, filter, (channel, channel), y, tap, three);
                }
                channel += LANES;
            }
        }
        while channel < count {
            // SAFETY: as above; channel / multiplier is an input channel.
            unsafe {
                let from = channel / multiplier;
                let tap = |sums: &mut _, x, w| portable::tap(sums, x, w);
                let three = |sums: &mut _, x, w| portable::three_taps(sums, x, w, count);
                block::<X, Y, 1>(line, &taps, filter, (from, channel), y, tap, three);
            }
            channel += 1;
        }
    }
}

/// The output of one channel, with weights in any order.
fn single<X: Lane, Y: Quantized>(
    line: &Line<'_, X>,
    taps: &Taps,
    filter: &Filter<'_>,
    order: DepthwiseOrder,
    channel: usize,
) -> Y {
    let count = filter.channels.bias.len();
    let step = filter.window.dilation[1] as usize * filter.depth;
    let from = taps.from + channel / count.checked_div(filter.depth).unwrap_or(1).max(1);
    let mut sum = 0i32;
    for (ky, row) in line.rows.iter().enumerate() {
        for kx in 0..filter.window.kernel[1] as usize {
            let column = kx.wrapping_sub(taps.first);
            let inside = !row.is_empty() && column < taps.inside;
            let value = if inside { row.get(from + column * step) } else { line.outside };
            let weight = match order {
                DepthwiseOrder::Pairs => {
                    // The high byte is the sign.
                    filter.weights.get(DepthwiseOrder::pair(ky * 3 + kx, channel))
                }
                DepthwiseOrder::Columns { pitch } => filter.weights.get(channel * TAPS + kx * pitch + ky),
                DepthwiseOrder::Taps => {
                    filter.weights.get((ky * filter.window.kernel[1] as usize + kx) * count + channel)
                }
            };
            sum = sum.wrapping_add(value.wide().wrapping_mul(weight as i32));
        }
    }
    filter.channels.finish(channel, sum, filter.clamp)
}

/// Outputs `channel .. channel + L` of a pixel from input channels `from ..`, with `tap` adding the products of one tap, and
/// `three` those of three that are as far apart as the weights.
///
/// # Safety
/// Rows that are not empty hold the image's columns; weights, channels and `y` reach to channel `channel + L`.
#[inline(always)]
unsafe fn block<X: Quantized, Y: Quantized, const L: usize>(
    line: &Line<'_, X>,
    taps: &Taps,
    filter: &Filter<'_>,
    (from, channel): (usize, usize),
    y: Out<'_, Y>,
    tap: impl Fn(&mut [i32; L], *const X, *const i8),
    three: impl Fn(&mut [i32; L], *const X, *const i8),
) {
    let channels = y.len();
    let outside = [line.outside; L];
    let columns = filter.window.kernel[1] as usize;
    let step = filter.window.dilation[1] as usize * filter.depth;
    // SAFETY: the arrays have L channels from `channel` on.
    let mut sums = unsafe { filter.channels.bias.as_ptr().add(channel).cast::<[i32; L]>().read() };
    let mut w = filter.weights.as_ptr().wrapping_add(channel);
    for row in line.rows {
        let mut x = row.as_ptr().wrapping_add(taps.from + from);
        if taps.whole && !row.is_empty() {
            three(&mut sums, x, w);
            w = w.wrapping_add(3 * channels);
            continue;
        }
        let inside = if row.is_empty() { 0 } else { taps.inside };
        for column in 0..columns {
            if column.wrapping_sub(taps.first) < inside {
                tap(&mut sums, x, w);
                x = x.wrapping_add(step);
            } else {
                tap(&mut sums, outside.as_ptr(), w);
            }
            w = w.wrapping_add(channels);
        }
    }
    // SAFETY: as for the bias.
    let (multipliers, shifts) = unsafe {
        let multipliers = filter.channels.multiplier.as_ptr().add(channel).cast::<[i32; L]>().read();
        (multipliers, filter.channels.shift.as_ptr().add(channel).cast::<[u8; L]>().read())
    };
    let full = Clamp::full::<Y>(filter.clamp.zero_point);
    let known = filter.clamp == full;
    let to = y.as_mut_ptr().wrapping_add(channel);
    for (lane, (sum, (multiplier, shift))) in
        sums.into_iter().zip(multipliers.into_iter().zip(shifts)).enumerate()
    {
        let finish = Channel { bias: 0, scale: Scale { multiplier, shift } };
        // Known limits become one saturating instruction.
        let value = if known { finish.apply(sum, full) } else { finish.apply(sum, filter.clamp) };
        // SAFETY: channel + lane is below the length of `y`.
        unsafe { to.add(lane).write(value) };
    }
}

/// Most taps of filters with a body for rows with padding.
#[cfg(not(target_os = "none"))]
pub(super) const PADDED_TAPS: usize = 64;

/// Bytes that [`padded_lines`] may read beyond the last tap of the last output.
#[cfg(not(target_os = "none"))]
pub const BEHIND: usize = 128;

/// Scratch bytes for [`prepare`], whatever the machine: for x86-64, and every 64 channels, four taps at a time of weights
/// and three constants a channel. None for filters that no backend computes from rows with padding.
#[cfg(not(target_os = "none"))]
pub fn prepared_bytes(filter: &Filter<'_>) -> Option<usize> {
    let [height, width] = filter.window.kernel.map(usize::from);
    let single = filter.channels.bias.len() == filter.depth;
    match filter.layout {
        Layout::X86 if single && height <= MAX_HEIGHT && height * width <= PADDED_TAPS => {
            Some(filter.depth.div_ceil(64) * ((height * width).div_ceil(4) + 3) * 256)
        }
        Layout::Aarch64 if single => Some(0),
        _ => None,
    }
}

/// Brings weights and constants into the form that [`padded_lines`] wants, once for all rows; false when the backend has no
/// body for them.
#[cfg(not(target_os = "none"))]
pub fn prepare(filter: &Filter<'_>, _scratch: Out<'_, u8>) -> bool {
    match filter.backend {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Backend::Avx512Vnni if filter.layout == Layout::X86 => {
            super::x86::depthwise::prepare(filter, _scratch)
        }
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Backend::Avx2 | Backend::AvxVnni => {
            filter.layout == Layout::X86 && super::x86::depthwise_avx2::takes(filter)
        }
        #[cfg(target_arch = "aarch64")]
        Backend::Neon | Backend::NeonDotProduct => filter.layout == Layout::Aarch64,
        _ => false,
    }
}

/// Rows of outputs from images whose padding is there.
#[cfg(not(target_os = "none"))]
#[derive(Clone, Copy)]
pub struct Lines<'a> {
    /// The image, from the first tap of the first output on, as far as the outputs see and [`BEHIND`] bytes more.
    pub image: In<'a, i8>,
    /// Bytes of an image row.
    pub row: usize,
    /// Rows of outputs.
    pub lines: usize,
    /// Outputs in a row.
    pub pixels: usize,
    /// What [`prepare`] wrote.
    pub prepared: In<'a, u8>,
}

#[cfg(not(target_os = "none"))]
impl Lines<'_> {
    /// Whether the image reaches as far as the outputs see, and outputs of `len` elements, rows `stride` apart, have room.
    pub(super) fn holds(&self, filter: &Filter<'_>, (len, stride): (usize, usize)) -> bool {
        let (window, depth) = (&filter.window, filter.depth);
        if self.lines == 0 || self.pixels == 0 {
            return false;
        }
        let (rows, columns) = (window.seen(0, self.lines), window.seen(1, self.pixels));
        let seen = span(rows, self.row, columns.saturating_mul(depth)).saturating_add(BEHIND);
        self.image.len() >= seen && len >= span(self.lines, stride, self.pixels.saturating_mul(depth))
    }
}

/// Computes the outputs of `lines`, rows of which go to `y` `stride` elements apart. Nothing happens when something is too
/// short.
#[cfg(not(target_os = "none"))]
pub fn padded_lines(filter: &Filter<'_>, lines: Lines<'_>, y: (Out<'_, i8>, usize)) {
    match filter.backend {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Backend::Avx512Vnni => super::x86::depthwise::padded_lines(filter, lines, y),
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Backend::Avx2 | Backend::AvxVnni => super::x86::depthwise_avx2::padded_lines(filter, lines, y),
        #[cfg(target_arch = "aarch64")]
        Backend::Neon | Backend::NeonDotProduct => super::aarch64::depthwise::padded_lines(filter, lines, y),
        _ => {}
    }
}
