//! Depthwise rows with AVX2: sixteen channels of four pixels at once. Two taps are interleaved as 16-bit values, so that
//! `VPMADDWD` gives the sum of their products.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::depthwise::{Filter, Lines, PADDED_TAPS as TAPS};
use super::super::view::Out;
use super::avx2::{narrow, scale};

/// Channels at once.
const LANES: usize = 16;
/// Pixels at once: eight sums, two weights, two inputs.
const PIXELS: usize = 4;

/// Whether this file takes the filter: not too many taps, and shifts of 33 or more.
pub(in super::super) fn takes(filter: &Filter<'_>) -> bool {
    let channels = &filter.channels;
    let [height, width] = filter.window.kernel.map(usize::from);
    let constants = [channels.bias.len(), channels.multiplier.len(), channels.shift.len()];
    height * width <= TAPS
        && constants.into_iter().all(|len| len >= filter.depth)
        && filter.weights.len() >= height * width * filter.depth
        && (0..filter.depth).all(|channel| channels.shift.get(channel) >= 33)
}

/// See [`super::super::depthwise::padded_lines`]; for filters that [`takes`] said yes to.
pub(in super::super) fn padded_lines(
    filter: &Filter<'_>,
    lines: Lines<'_>,
    (y, stride): (Out<'_, i8>, usize),
) {
    if !lines.holds(filter, (y.len(), stride)) {
        return;
    }
    for first in (0..filter.depth).step_by(LANES) {
        let chunk = Chunk::of(filter, lines.row, first);
        for line in 0..lines.lines {
            let row = line * filter.window.stride[0] as usize * lines.row;
            let x = lines.image.as_ptr().wrapping_add(row + first);
            let y = y.as_mut_ptr().wrapping_add(line * stride + first);
            let mut pixel = 0;
            while pixel < lines.pixels {
                let x = x.wrapping_add(pixel * filter.window.stride[1] as usize * filter.depth);
                let y = y.wrapping_add(pixel * filter.depth);
                // SAFETY: image and outputs were found long enough, weights and constants by `takes`; the backend says
                // that the machine has AVX2.
                pixel += unsafe {
                    if pixel + PIXELS <= lines.pixels {
                        chunk.outputs::<PIXELS>(filter, x, y)
                    } else {
                        chunk.outputs::<1>(filter, x, y)
                    }
                };
            }
        }
    }
}

/// Up to sixteen channels. Lanes that are no channels have weights of zero.
struct Chunk {
    /// Where taps lie, and their weights.
    places: [usize; TAPS],
    weights: [[i8; LANES]; TAPS],
    bias: [i32; LANES],
    multiplier: [i32; LANES],
    shift: [u8; LANES],
    /// Channels.
    count: usize,
}

impl Chunk {
    /// Channels from `first` on, for an image with `row` bytes a row.
    fn of(filter: &Filter<'_>, row: usize, first: usize) -> Self {
        let [height, width] = filter.window.kernel.map(usize::from);
        let [down, right] = filter.window.dilation.map(usize::from);
        let channels = &filter.channels;
        let mut chunk = Self {
            places: [0; TAPS],
            weights: [[0; LANES]; TAPS],
            bias: [0; LANES],
            multiplier: [0; LANES],
            shift: [33; LANES],
            count: (filter.depth - first).min(LANES),
        };
        for lane in 0..chunk.count {
            chunk.bias[lane] = channels.bias.get(first + lane);
            chunk.multiplier[lane] = channels.multiplier.get(first + lane);
            chunk.shift[lane] = channels.shift.get(first + lane);
        }
        for tap in 0..(height * width).min(TAPS) {
            chunk.places[tap] = tap / width * down * row + tap % width * right * filter.depth;
            for (lane, weight) in chunk.weights[tap].iter_mut().enumerate().take(chunk.count) {
                *weight = filter.weights.get(tap * filter.depth + first + lane);
            }
        }
        chunk
    }

    /// `P` pixels, the first tap of which is at `x`; gives `P`.
    ///
    /// # Safety
    /// Taps are there, and the bytes behind them, and the outputs; the machine has AVX2.
    #[target_feature(enable = "avx2")]
    unsafe fn outputs<const P: usize>(&self, filter: &Filter<'_>, x: *const i8, y: *mut i8) -> usize {
        let [height, width] = filter.window.kernel.map(usize::from);
        let step = filter.window.stride[1] as usize * filter.depth;
        // SAFETY: sixteen values are there.
        let wide = |at: *const i8| unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(at.cast())) };
        // Channels 0 to 3 and 8 to 11, and the others.
        let pair = |a, b| [_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b)];
        let mut sums = [[_mm256_setzero_si256(); 2]; P];
        // The last of an odd number of taps has one beside it whose weights are zero.
        let taps = self.weights.as_chunks::<2>().0.iter().zip(self.places.as_chunks::<2>().0);
        for ([weights, next], places) in taps.take((height * width).div_ceil(2)) {
            let weights = pair(wide(weights.as_ptr()), wide(next.as_ptr()));
            for (pixel, sums) in sums.iter_mut().enumerate() {
                let [a, b] = places.map(|place| wide(x.wrapping_add(pixel * step + place)));
                for (sum, (values, weights)) in sums.iter_mut().zip(pair(a, b).into_iter().zip(weights)) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(values, weights));
                }
            }
        }
        for (pixel, [a, b]) in sums.into_iter().enumerate() {
            let halves = [_mm256_permute2x128_si256::<0x20>(a, b), _mm256_permute2x128_si256::<0x31>(a, b)];
            let mut parts = [_mm256_setzero_si256(); 2];
            for (half, (part, sums)) in parts.iter_mut().zip(halves).enumerate() {
                let constants =
                    (&self.bias[8 * half..], &self.multiplier[8 * half..], &self.shift[8 * half..]);
                let (bias, multiplier, shift) = constants;
                // SAFETY: eight channels are there.
                let scaled = unsafe { scale(sums, bias.as_ptr(), multiplier.as_ptr(), shift.as_ptr()) };
                *part = scaled.unwrap_or(*part);
            }
            let (outputs, to) = (narrow(parts, filter.clamp), y.wrapping_add(pixel * filter.depth));
            // SAFETY: so many outputs are there.
            unsafe {
                if self.count == LANES {
                    _mm_storeu_si128(to.cast(), outputs);
                } else {
                    let mut all = [0i8; LANES];
                    _mm_storeu_si128(all.as_mut_ptr().cast(), outputs);
                    to.copy_from_nonoverlapping(all.as_ptr(), self.count);
                }
            }
        }
        P
    }
}
