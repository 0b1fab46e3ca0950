//! Depthwise rows with AVX-512 VNNI: 64 lanes at once, four taps a `VPDPBUSD`.
//!
//! A lane is a channel of a pixel. Bytes of four taps are interleaved by unpacking, which leaves lanes in an order of their
//! own: vector `j` of four has lanes `16 l + 4 j ..` in its 128-bit part `l`. Weights and constants are brought into that order
//! too, and packing the outputs undoes it. Where 64 is a multiple of the channels, the lanes are several pixels.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::depthwise::{Filter, Line, MAX_HEIGHT, chunk_bytes};
use super::super::view::Out;
use super::avx512::{Block, Range};

/// Lanes of a chunk.
const LANES: usize = 64;
/// Most taps.
const TAPS: usize = 64;

/// One tap of every lane: where it is read for the first pixel, and whether that moves with the pixels.
#[derive(Clone, Copy)]
struct Tap {
    at: *const i8,
    moves: usize,
}

/// How lanes are used for a filter.
#[derive(Clone, Copy)]
struct Ways {
    /// Lanes are pixels too: a load of 64 bytes, or every second part of two, has those of several.
    flat: bool,
    stride: usize,
    /// Groups of four taps.
    quads: usize,
    /// Bytes of a chunk's weights and constants.
    bytes: usize,
}

impl Ways {
    /// None when the filter is not one for this file.
    fn of(filter: &Filter<'_>, scratch: Out<'_, u8>) -> Option<Self> {
        let [height, width] = filter.window.kernel.map(usize::from);
        let (count, stride, taps) = (filter.depth, filter.window.stride[1] as usize, height * width);
        let flat = (8..LANES).contains(&count) && LANES.is_multiple_of(count) && stride <= 2;
        let (quads, bytes) = (taps.div_ceil(4), chunk_bytes(filter));
        let fits = filter.channels.bias.len() == count && taps <= TAPS && height <= MAX_HEIGHT;
        let ways = Self { flat, stride, quads, bytes: bytes.checked_div(count.div_ceil(LANES)).unwrap_or(0) };
        (fits && bytes > 0 && scratch.len() >= bytes).then_some(ways)
    }
}

/// Writes weights and constants of all chunks, interleaved, to `scratch`.
pub(in super::super) fn prepare(filter: &Filter<'_>, scratch: Out<'_, u8>) {
    let Some(ways) = Ways::of(filter, scratch) else { return };
    let [height, width] = filter.window.kernel.map(usize::from);
    let needed = [filter.weights.len() / (height * width), filter.channels.multiplier.len()];
    if needed.into_iter().chain([filter.channels.shift.len()]).any(|len| len < filter.depth) {
        return;
    }
    for (chunk, first) in (0..filter.depth).step_by(LANES).enumerate() {
        let lanes = (filter.depth - first).min(LANES);
        let to = scratch.as_mut_ptr().wrapping_add(chunk * ways.bytes).cast::<__m512i>();
        // SAFETY: weights and channels are there, the scratch memory has room for all chunks, and the backend says that
        // the machine has the instructions.
        unsafe {
            if ways.flat {
                write::<true>(filter, (first, lanes), height * width, to);
            } else {
                write::<false>(filter, (first, lanes), height * width, to);
            }
        }
    }
}

/// A row of outputs, from what [`prepare`] wrote; false when the filter is not one for this way.
pub(in super::super) fn line(
    line: &Line<'_, i8>,
    filter: &Filter<'_>,
    scratch: Out<'_, u8>,
    y: Out<'_, i8>,
) -> bool {
    let Some(ways) = Ways::of(filter, scratch) else { return false };
    let prepared = scratch.as_mut_ptr().cast_const();
    // SAFETY: rows are as long as `depthwise::line` found them, for the pixels of `y`; the scratch memory has all chunks,
    // and the backend says that the machine has the instructions.
    unsafe {
        match (ways.flat, ways.stride) {
            (true, 2) => run::<true, true>(line, filter, ways, prepared, y),
            (true, _) => run::<true, false>(line, filter, ways, prepared, y),
            _ => run::<false, false>(line, filter, ways, prepared, y),
        }
    }
    true
}

/// # Safety
/// As in [`line`]; with `FLAT` the channels divide 64 and the stride is 2 with `EVERY_SECOND`, otherwise 1.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn run<const FLAT: bool, const EVERY_SECOND: bool>(
    line: &Line<'_, i8>,
    filter: &Filter<'_>,
    ways: Ways,
    prepared: *const u8,
    y: Out<'_, i8>,
) {
    let window = &filter.window;
    let [height, width] = window.kernel.map(usize::from);
    let [_, dilation] = window.dilation.map(usize::from);
    let (count, Ways { stride, quads, .. }) = (filter.depth, ways);
    let pixels = y.len().checked_div(count).unwrap_or(0);
    // Pixels that see no column outside of the image.
    let inside = |pixel: usize| {
        let left = window.start(1, pixel);
        left >= 0 && left as usize + window.extent(1) <= line.width
    };
    let begin = (0..pixels).find(|&pixel| inside(pixel)).unwrap_or(pixels);
    let mut end = pixels;
    while end > begin && !inside(end - 1) {
        end -= 1;
    }
    // What taps outside hold, for as much as two loads read.
    let outside = [line.outside; 2 * LANES];
    let range = Range::new::<i8>(filter.clamp);
    let nothing = Tap { at: outside.as_ptr(), moves: 0 };
    let mut table = [const { MaybeUninit::<Tap>::uninit() }; TAPS];
    // Quads are filled up; the weights of those taps are zero.
    table.iter_mut().take(4 * quads).for_each(|place| {
        place.write(nothing);
    });
    // SAFETY: the first `4 * quads` are there.
    let table = unsafe { core::slice::from_raw_parts_mut(table.as_mut_ptr().cast::<Tap>(), 4 * quads) };
    for (chunk, first) in (0..count).step_by(LANES).enumerate() {
        let lanes = (count - first).min(LANES);
        let at = prepared.wrapping_add(chunk * ways.bytes).cast::<__m512i>();
        // SAFETY: the chunk is there.
        let chunk = unsafe { Chunk::read(at, quads, count, range) };
        // SAFETY: every tap of a pixel inside lies in its row or is `outside`; every output in `y`.
        unsafe {
            let fill = |table: &mut [Tap], pixel: usize| {
                let left = window.start(1, pixel);
                for ky in 0..height {
                    let row = line.rows.get(ky).copied().unwrap_or(super::super::view::In::new(&[]));
                    for kx in 0..width {
                        let column = left + (kx * dilation) as isize;
                        let there = !row.is_empty() && (0..line.width as isize).contains(&column);
                        let tap = if there {
                            let at = row.as_ptr().wrapping_add(column as usize * count + first);
                            Tap { at, moves: !0 }
                        } else {
                            nothing
                        };
                        if let Some(place) = table.get_mut(ky * width + kx) {
                            *place = tap;
                        }
                    }
                }
            };
            for pixel in (0..begin).chain(end..pixels) {
                fill(table, pixel);
                let to = y.as_mut_ptr().add(pixel * count + first);
                chunk.outputs::<false>(table, 0, lanes, lanes, to);
            }
            if begin == end {
                continue;
            }
            fill(table, begin);
            let together = if FLAT { LANES / count } else { 1 };
            let mut pixel = begin;
            while pixel < end {
                let now = together.min(end - pixel);
                let (from, to) = ((pixel - begin) * stride * count, pixel * count + first);
                let (lanes, span) = (now * lanes, (now - 1) * stride * count + lanes);
                let to = y.as_mut_ptr().add(to);
                chunk.outputs::<EVERY_SECOND>(table, from, lanes, span, to);
                pixel += now;
            }
        }
    }
}

/// Weights and constants of 64 lanes.
struct Chunk {
    /// Four vectors for every four taps.
    weights: *const __m512i,
    blocks: [Block; 4],
    /// Which 8 bytes of two loads are lanes when every second pixel is.
    pick: __m512i,
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
/// Weights and channels reach that far; `to` has room for `4 * quads + 12` vectors at any alignment.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn write<const FLAT: bool>(
    filter: &Filter<'_>,
    (first, lanes): (usize, usize),
    taps: usize,
    mut to: *mut __m512i,
) {
    let (zero, ones) = (_mm512_setzero_si512(), _mm512_set1_epi8(1));
    let mut sums = [zero; 4];
    let mut put = |vectors: [__m512i; 4]| {
        for vector in vectors {
            // SAFETY: the caller's.
            unsafe { _mm512_storeu_si512(to, vector) };
            to = to.wrapping_add(1);
        }
    };
    for quad in 0..taps.div_ceil(4) {
        let mut four = [zero; 4];
        for (tap, place) in (4 * quad..taps).zip(&mut four) {
            let at = filter.weights.as_ptr().wrapping_add(tap * filter.depth + first);
            // SAFETY: the caller's.
            *place = unsafe { bytes::<FLAT>(at, lanes, 0) };
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

impl Chunk {
    /// What [`write`] wrote to `at`.
    ///
    /// # Safety
    /// It did, for so many groups of four taps.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn read(at: *const __m512i, quads: usize, channels: usize, range: Range) -> Self {
        let block = |index: usize| {
            let at = at.wrapping_add(4 * quads + index);
            // SAFETY: the caller's.
            unsafe {
                let start = _mm512_loadu_si512(at);
                let (multiplier, shift) =
                    (_mm512_loadu_si512(at.wrapping_add(4)), _mm512_loadu_si512(at.wrapping_add(8)));
                Block::of(start, multiplier, shift, !0)
            }
        };
        let pick = match channels {
            8 => _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14),
            16 => _mm512_setr_epi64(0, 1, 4, 5, 8, 9, 12, 13),
            _ => _mm512_setr_epi64(0, 1, 2, 3, 8, 9, 10, 11),
        };
        Self { weights: at, blocks: [block(0), block(1), block(2), block(3)], pick, range }
    }

    /// The outputs of `lanes` lanes, whose taps are `from` bytes further on than `taps` say and take `span` bytes.
    ///
    /// # Safety
    /// Taps are valid for that, `to` for the lanes.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn outputs<const EVERY_SECOND: bool>(
        &self,
        taps: &[Tap],
        from: usize,
        lanes: usize,
        span: usize,
        to: *mut i8,
    ) {
        let flip = _mm512_set1_epi8(-128);
        let mut sums =
            [self.blocks[0].start, self.blocks[1].start, self.blocks[2].start, self.blocks[3].start];
        let (near, far) = (mask(span), if span > LANES { mask(span - LANES) } else { 0 });
        let read = |tap: &Tap| {
            let at = tap.at.wrapping_add(from & tap.moves);
            // SAFETY: the bytes of the mask are there.
            let read = unsafe { _mm512_maskz_loadu_epi8(near, at) };
            let read = if EVERY_SECOND {
                // SAFETY: as above.
                let more = unsafe { _mm512_maskz_loadu_epi8(far, at.wrapping_add(LANES)) };
                _mm512_permutex2var_epi64(read, self.pick, more)
            } else {
                read
            };
            _mm512_xor_si512(read, flip)
        };
        for (quad, [a, b, c, d]) in taps.as_chunks::<4>().0.iter().enumerate() {
            let values = interleave([read(a), read(b), read(c), read(d)]);
            for (index, (sum, values)) in sums.iter_mut().zip(values).enumerate() {
                // SAFETY: four vectors for every four taps.
                let weights = unsafe { _mm512_loadu_si512(self.weights.wrapping_add(4 * quad + index)) };
                *sum = _mm512_dpbusd_epi32(*sum, values, weights);
            }
        }
        let scaled = |index: usize| self.blocks[index].scale(sums[index]);
        let bytes = self.range.bytes([scaled(0), scaled(1), scaled(2), scaled(3)]);
        // SAFETY: the lanes of the mask are there.
        unsafe { _mm512_mask_storeu_epi8(to, mask(lanes), bytes) };
    }
}
