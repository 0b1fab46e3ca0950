//! Depthwise rows with AVX-512 VNNI: 64 lanes at once, four taps a `VPDPBUSD`.
//!
//! A lane is a channel of a pixel. Bytes of four taps are interleaved by unpacking, which leaves lanes in an order of their
//! own: vector `j` of four has lanes `16 l + 4 j ..` in its 128-bit part `l`. Weights and constants are brought into that order
//! too, and packing the outputs undoes it. Where 64 is a multiple of the channels, the lanes are several pixels.
//!
//! Four taps are those of a column where windows of three columns slide by one: then every column is interleaved once for
//! the three outputs that see it. Otherwise they are the next four of the window.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::depthwise::{Filter, Lines, PADDED_TAPS as TAPS, prepared_bytes};
use super::super::view::Out;
use super::avx512::{Block, Range, short};

/// Lanes of a chunk.
const LANES: usize = 64;

/// How lanes and taps are used for a filter.
#[derive(Clone, Copy)]
struct Ways {
    /// Lanes are pixels too: a load of 64 bytes, or every second part of two, has those of several.
    flat: bool,
    /// Four taps are a column.
    slide: bool,
    stride: usize,
    /// Groups of four taps.
    quads: usize,
}

impl Ways {
    fn of(filter: &Filter<'_>) -> Self {
        let window = &filter.window;
        let [height, width] = window.kernel.map(usize::from);
        let (count, stride) = (filter.depth, window.stride[1] as usize);
        let flat = (8..LANES).contains(&count) && LANES.is_multiple_of(count) && stride <= 2;
        let slide =
            !flat && width == 3 && (3..=4).contains(&height) && stride == 1 && window.dilation[1] == 1;
        // Three or four rows of three columns are three groups either way.
        Self { flat, slide, stride, quads: (height * width).div_ceil(4) }
    }

    /// Bytes of a chunk's weights and constants.
    fn bytes(self) -> usize {
        (self.quads + 3) * 4 * LANES
    }

    /// The tap (row by row) that is number `tap` of group `quad`; none where the group is filled up.
    fn tap(self, quad: usize, tap: usize, [height, width]: [usize; 2]) -> Option<usize> {
        let (tap, there) = if self.slide {
            (tap * width + quad, tap < height)
        } else {
            (4 * quad + tap, 4 * quad + tap < height * width)
        };
        there.then_some(tap)
    }
}

/// Writes weights and constants of all chunks, interleaved, to `scratch`; false when something is too short.
pub(in super::super) fn prepare(filter: &Filter<'_>, scratch: Out<'_, u8>) -> bool {
    let ways = Ways::of(filter);
    let [height, width] = filter.window.kernel.map(usize::from);
    let constants = [filter.channels.multiplier.len(), filter.channels.shift.len()];
    let short = constants.into_iter().any(|len| len < filter.depth);
    let room = prepared_bytes(filter).is_some_and(|bytes| scratch.len() >= bytes);
    if short || !room || filter.weights.len() < height * width * filter.depth {
        return false;
    }
    for chunk in 0..filter.depth.div_ceil(LANES) {
        let (first, to) = (chunk * LANES, scratch.as_mut_ptr().wrapping_add(chunk * ways.bytes()).cast());
        let lanes = (filter.depth - first).min(LANES);
        // SAFETY: weights and channels are there, the scratch memory has room for all chunks, and the backend says that
        // the machine has the instructions.
        unsafe {
            if ways.flat {
                write::<true>(filter, ways, (first, lanes), to);
            } else {
                write::<false>(filter, ways, (first, lanes), to);
            }
        }
    }
    true
}

/// See [`super::super::depthwise::padded_lines`].
pub(in super::super) fn padded_lines(
    filter: &Filter<'_>,
    lines: Lines<'_>,
    (y, stride): (Out<'_, i8>, usize),
) {
    let ways = Ways::of(filter);
    let Filter { window, depth, .. } = filter;
    let [height, width] = window.kernel.map(usize::from);
    let [down, right] = window.dilation.map(usize::from);
    let step = window.stride[0] as usize * lines.row;
    let prepared = prepared_bytes(filter).is_some_and(|bytes| lines.prepared.len() >= bytes);
    if !prepared || !lines.holds(filter, (y.len(), stride)) || filter.channels.shift.len() < *depth {
        return;
    }
    // Groups of four are filled up with the first tap, whose weights there are zero.
    let mut taps = [0; TAPS];
    for (index, place) in taps.iter_mut().enumerate().take(4 * ways.quads) {
        if let Some(tap) = ways.tap(index / 4, index % 4, [height, width]) {
            *place = tap / width * down * lines.row + tap % width * right * depth;
        }
    }
    let run = Image { ways, taps: &taps, step, stride, lines, filter, y: y.as_mut_ptr() };
    // SAFETY: image, outputs and what was prepared were found long enough, and the backend says that the machine has the
    // instructions.
    unsafe {
        match (ways.slide, ways.flat && ways.stride == 2, short(filter.channels.shift.as_ptr(), *depth)) {
            (true, _, true) => run.slide::<true>(),
            (true, _, false) => run.slide::<false>(),
            (_, true, true) => run.gather::<true, true>(),
            (_, true, false) => run.gather::<true, false>(),
            (_, false, true) => run.gather::<false, true>(),
            (_, false, false) => run.gather::<false, false>(),
        }
    }
}

/// Lines of outputs to compute; everything was checked.
struct Image<'a> {
    ways: Ways,
    /// Where taps lie, from the first one of an output on.
    taps: &'a [usize; TAPS],
    /// Bytes of the image from one line to the next, and of the outputs.
    step: usize,
    stride: usize,
    lines: Lines<'a>,
    filter: &'a Filter<'a>,
    y: *mut i8,
}

impl Image<'_> {
    /// Weights and constants of the chunk that begins with channel `first`.
    ///
    /// # Safety
    /// It is there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn chunk<const SHORT: bool>(&self, first: usize) -> Chunk<SHORT> {
        let at = self.lines.prepared.as_ptr().wrapping_add(first / LANES * self.ways.bytes());
        // SAFETY: the caller's.
        unsafe { Chunk::read(at.cast(), self.ways, Range::new::<i8>(self.filter.clamp)) }
    }

    /// Windows of three columns, one further on for every output: the first four taps are those of a column.
    ///
    /// # Safety
    /// The machine has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn slide<const SHORT: bool>(&self) {
        let (count, flip) = (self.filter.depth, _mm512_set1_epi8(-128));
        for first in (0..count).step_by(LANES) {
            let lanes = mask(count - first);
            // SAFETY: the chunk is there.
            let chunk = unsafe { self.chunk::<SHORT>(first) };
            for line in 0..self.lines.lines {
                let x = self.lines.image.as_ptr().wrapping_add(line * self.step + first);
                let y = self.y.wrapping_add(line * self.stride + first);
                let rows = [0, 1, 2, 3].map(|row| x.wrapping_add(self.taps[row]));
                // SAFETY: all columns that outputs see are there, and the bytes behind them.
                let column = |column: usize| unsafe {
                    let at = |row: usize| rows[row].wrapping_add(column * count).cast();
                    let read = |row: usize| _mm512_xor_si512(_mm512_loadu_si512(at(row)), flip);
                    interleave([read(0), read(1), read(2), read(3)])
                };
                let (mut left, mut middle) = (column(0), column(1));
                for pixel in 0..self.lines.pixels {
                    let right = column(pixel + 2);
                    let mut sums = chunk.start();
                    for (quad, values) in [left, middle, right].into_iter().enumerate() {
                        // SAFETY: three groups of four taps.
                        unsafe { chunk.add(&mut sums, quad, values) };
                    }
                    let to = y.wrapping_add(pixel * count);
                    // SAFETY: the lanes of the mask are outputs of the pixel.
                    unsafe { _mm512_mask_storeu_epi8(to, lanes, chunk.finish(sums)) };
                    (left, middle) = (middle, right);
                }
            }
        }
    }

    /// Any window: four of its taps at a time. With `EVERY_SECOND` lanes are pixels, and every second part of two loads is
    /// one's.
    ///
    /// # Safety
    /// The machine has the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn gather<const EVERY_SECOND: bool, const SHORT: bool>(&self) {
        let (ways, count, flip) = (self.ways, self.filter.depth, _mm512_set1_epi8(-128));
        let taps = self.taps.as_chunks::<4>().0.get(..ways.quads).unwrap_or(&[]);
        let pick = match count {
            8 => _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
            16 => _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13),
            _ => _mm512_setr_epi64(0, 1, 2, 3, 8, 9, 10, 11),
        };
        let (together, pixels) = (if ways.flat { LANES / count } else { 1 }, self.lines.pixels);
        for first in (0..count).step_by(LANES) {
            // SAFETY: the chunk is there.
            let chunk = unsafe { self.chunk::<SHORT>(first) };
            for line in 0..self.lines.lines {
                let x = self.lines.image.as_ptr().wrapping_add(line * self.step + first);
                let y = self.y.wrapping_add(line * self.stride + first);
                for pixel in (0..pixels).step_by(together) {
                    let x = x.wrapping_add(pixel * ways.stride * count);
                    // SAFETY: the taps of the first pixel are there, and the bytes behind them.
                    let read = |tap: usize| unsafe {
                        let at = x.wrapping_add(tap);
                        let read = _mm512_loadu_si512(at.cast());
                        let read = if EVERY_SECOND {
                            let more = _mm512_loadu_si512(at.wrapping_add(LANES).cast());
                            _mm512_permutex2var_epi64(read, pick, more)
                        } else {
                            read
                        };
                        _mm512_xor_si512(read, flip)
                    };
                    let mut sums = chunk.start();
                    for (quad, &[a, b, c, d]) in taps.iter().enumerate() {
                        let values = interleave([read(a), read(b), read(c), read(d)]);
                        // SAFETY: as many groups of four taps.
                        unsafe { chunk.add(&mut sums, quad, values) };
                    }
                    let lanes = mask(if ways.flat { (pixels - pixel) * count } else { count - first });
                    let to = y.wrapping_add(pixel * count);
                    // SAFETY: the lanes of the mask are outputs.
                    unsafe { _mm512_mask_storeu_epi8(to, lanes, chunk.finish(sums)) };
                }
            }
        }
    }
}

/// Weights and constants of 64 lanes.
struct Chunk<const SHORT: bool> {
    /// Four vectors for every four taps.
    weights: *const __m512i,
    blocks: [Block<SHORT>; 4],
    range: Range,
}

/// The first `count` of 64 lanes.
#[inline]
fn mask(count: usize) -> u64 {
    if count >= LANES { !0 } else { (1 << count) - 1 }
}

/// Four vectors of four taps each, interleaved.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn interleave([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (low, high) = (_mm512_unpacklo_epi8(a, b), _mm512_unpackhi_epi8(a, b));
    let (low2, high2) = (_mm512_unpacklo_epi8(c, d), _mm512_unpackhi_epi8(c, d));
    [
        _mm512_unpacklo_epi16(low, low2),
        _mm512_unpackhi_epi16(low, low2),
        _mm512_unpacklo_epi16(high, high2),
        _mm512_unpackhi_epi16(high, high2),
    ]
}

/// Lanes in their natural order, 16 a vector, in the order of [`interleave`]d ones: 128-bit parts transposed.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn transpose([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (ab, ab2) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xEE>(a, b));
    let (cd, cd2) = (_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xEE>(c, d));
    [
        _mm512_shuffle_i32x4::<0x88>(ab, cd),
        _mm512_shuffle_i32x4::<0xDD>(ab, cd),
        _mm512_shuffle_i32x4::<0x88>(ab2, cd2),
        _mm512_shuffle_i32x4::<0xDD>(ab2, cd2),
    ]
}

/// 64 bytes of lanes from `at`: `lanes` of them, the rest `fill`; with `FLAT` repeated to 64.
///
/// # Safety
/// `at` is valid for `lanes` bytes; with `FLAT` they are 8, 16 or 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn bytes<const FLAT: bool>(at: *const i8, lanes: usize, fill: i8) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        let read = _mm512_mask_loadu_epi8(_mm512_set1_epi8(fill), mask(lanes), at);
        match lanes {
            8 if FLAT => _mm512_broadcastq_epi64(_mm512_castsi512_si128(read)),
            16 if FLAT => _mm512_broadcast_i32x4(_mm512_castsi512_si128(read)),
            32 if FLAT => _mm512_broadcast_i64x4(_mm512_castsi512_si256(read)),
            _ => read,
        }
    }
}

/// The same for 64 words, in the order of [`interleave`]d lanes, the rest zero.
///
/// # Safety
/// `at` is valid for `lanes` words; with `FLAT` they are 8, 16 or 32.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn words<const FLAT: bool>(at: *const i32, lanes: usize) -> [__m512i; 4] {
    let part = |part: usize| {
        let mask = (mask(lanes) >> (16 * part)) as u16;
        // SAFETY: masked lanes are not read.
        unsafe { _mm512_maskz_loadu_epi32(mask, at.wrapping_add(16 * part)) }
    };
    let natural = match lanes {
        8 if FLAT => [_mm512_broadcast_i64x4(_mm512_castsi512_si256(part(0))); 4],
        16 if FLAT => [part(0); 4],
        32 if FLAT => [part(0), part(1), part(0), part(1)],
        _ => [part(0), part(1), part(2), part(3)],
    };
    transpose(natural)
}

/// Writes a chunk's weights, starts of sums, multipliers and shifts, for `lanes` channels from `first` on.
///
/// # Safety
/// Weights and channels reach that far; `to` has room for [`Ways::bytes`] at any alignment.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn write<const FLAT: bool>(
    filter: &Filter<'_>,
    ways: Ways,
    (first, lanes): (usize, usize),
    mut to: *mut __m512i,
) {
    let [height, width] = filter.window.kernel.map(usize::from);
    let (zero, ones) = (_mm512_setzero_si512(), _mm512_set1_epi8(1));
    let mut put = |vectors: [__m512i; 4]| {
        for vector in vectors {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_si512(to, vector) };
            to = to.wrapping_add(1);
        }
    };
    let mut sums = [zero; 4];
    for quad in 0..ways.quads {
        let mut four = [zero; 4];
        for (tap, place) in four.iter_mut().enumerate() {
            if let Some(tap) = ways.tap(quad, tap, [height, width]) {
                let at = filter.weights.as_ptr().wrapping_add(tap * filter.depth + first);
                // SAFETY: the caller's.
                *place = unsafe { bytes::<FLAT>(at, lanes, 0) };
            }
        }
        let weights = interleave(four);
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = _mm512_dpbusd_epi32(*sum, ones, weights);
        }
        put(weights);
    }
    // SAFETY: the caller's.
    let (mut start, multiplier, shift) = unsafe {
        (
            words::<FLAT>(filter.channels.bias.as_ptr().add(first), lanes),
            words::<FLAT>(filter.channels.multiplier.as_ptr().add(first), lanes),
            bytes::<FLAT>(filter.channels.shift.as_ptr().add(first).cast(), lanes, 33),
        )
    };
    for (start, sum) in start.iter_mut().zip(sums) {
        // Inputs are taken 128 higher.
        *start = _mm512_sub_epi32(*start, _mm512_slli_epi32::<7>(sum));
    }
    put(start);
    put(multiplier);
    put(transpose([
        _mm512_cvtepu8_epi32(_mm512_castsi512_si128(shift)),
        _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<1>(shift)),
        _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<2>(shift)),
        _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32::<3>(shift)),
    ]));
}

impl<const SHORT: bool> Chunk<SHORT> {
    /// What [`write`] wrote to `at`.
    ///
    /// # Safety
    /// It did, for the same ways.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn read(at: *const __m512i, ways: Ways, range: Range) -> Self {
        let block = |index: usize| {
            let at = at.wrapping_add(4 * ways.quads + index);
            // SAFETY: the caller's.
            unsafe {
                let start = _mm512_loadu_si512(at);
                let (multiplier, shift) =
                    (_mm512_loadu_si512(at.wrapping_add(4)), _mm512_loadu_si512(at.wrapping_add(8)));
                Block::of(start, multiplier, shift, !0)
            }
        };
        Self { weights: at, blocks: [block(0), block(1), block(2), block(3)], range }
    }

    /// The sums without a product.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn start(&self) -> [__m512i; 4] {
        [self.blocks[0].start, self.blocks[1].start, self.blocks[2].start, self.blocks[3].start]
    }

    /// Adds the products of four taps.
    ///
    /// # Safety
    /// The chunk has so many groups of four.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn add(&self, sums: &mut [__m512i; 4], quad: usize, values: [__m512i; 4]) {
        for (index, (sum, values)) in sums.iter_mut().zip(values).enumerate() {
            // SAFETY: four vectors for every four taps.
            let weights = unsafe { _mm512_loadu_si512(self.weights.wrapping_add(4 * quad + index)) };
            *sum = _mm512_dpbusd_epi32(*sum, values, weights);
        }
    }

    /// The outputs of all lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn finish(&self, sums: [__m512i; 4]) -> __m512i {
        let scaled = |index: usize| self.blocks[index].scale(sums[index]);
        self.range.bytes([scaled(0), scaled(1), scaled(2), scaled(3)])
    }
}
