//! AVX-512 with VNNI: `VPDPBUSD` multiplies 64 unsigned with 64 signed bytes and adds fours of products to 16 sums.
//!
//! Inputs are made unsigned by adding 128 (a flipped bit); what that adds is subtracted beforehand by the heads of the
//! weight blocks. Sums stay in registers; so do their way to outputs: exact 64-bit products, one rounding, as
//! `kernels/requant.rs` has it.
#![allow(unsafe_code)]

use core::arch::x86_64::*;
use core::mem::MaybeUninit;

use super::super::rows::Task;
use crate::kernels::requant::Quantized;

/// Outputs of a block.
const LANES: usize = 16;

/// Where the sums of a block begin, and how they become outputs. With `SHORT` all shifts are 33 or more, as they are for
/// factors up to 1/4.
#[derive(Clone, Copy)]
pub(super) struct Block<const SHORT: bool> {
    pub start: __m512i,
    /// Multipliers; those of odd lanes once more in even ones.
    multiplier: __m512i,
    odd: __m512i,
    /// Half a step and the shift; with `SHORT` in 32 bits and for the product's upper word.
    half: __m512i,
    shift: __m512i,
    /// Lanes that are outputs.
    mask: __mmask16,
}

impl<const SHORT: bool> Block<SHORT> {
    /// The block of outputs `first ..`, at most 16, whose heads are at `head`.
    ///
    /// # Safety
    /// The arrays reach to the last output of the block.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub unsafe fn new(
        head: *const i32,
        (bias, multiplier, shift): (*const i32, *const i32, *const u8),
        first: usize,
        outputs: usize,
    ) -> Self {
        let mask = lanes(outputs - first);
        // SAFETY: masked lanes are not read.
        let (start, bias, multiplier, shift) = unsafe {
            (
                _mm512_maskz_loadu_epi32(mask, head),
                _mm512_maskz_loadu_epi32(mask, bias.add(first)),
                _mm512_maskz_loadu_epi32(mask, multiplier.add(first)),
                _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, shift.add(first).cast())),
            )
        };
        Self::of(_mm512_add_epi32(start, bias), multiplier, shift, mask)
    }

    /// The block whose sums begin with `start`, the lanes of `mask` of which are outputs.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub fn of(start: __m512i, multiplier: __m512i, shift: __m512i, mask: __mmask16) -> Self {
        let (shift, half) = if SHORT {
            let shift = _mm512_sub_epi32(shift, _mm512_set1_epi32(32));
            let less = _mm512_sub_epi32(shift, _mm512_set1_epi32(1));
            (shift, _mm512_sllv_epi32(_mm512_set1_epi32(1), less))
        } else {
            (shift, _mm512_setzero_si512())
        };
        Self { start, multiplier, odd: _mm512_srli_epi64::<32>(multiplier), half, shift, mask }
    }

    /// Sums as steps of the output, without its zero point, within +-2^30.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub fn scale(&self, sums: __m512i) -> __m512i {
        let even = _mm512_mul_epi32(sums, self.multiplier);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(sums), self.odd);
        if SHORT {
            let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
            return _mm512_srav_epi32(_mm512_add_epi32(high, self.half), self.shift);
        }
        let even = long(even, _mm512_and_si512(self.shift, _mm512_set1_epi64(0xFFFF_FFFF)));
        let odd = long(odd, _mm512_srli_epi64::<32>(self.shift));
        _mm512_mask_blend_epi32(0xAAAA, even, _mm512_slli_epi64::<32>(odd))
    }
}

/// Whether `count` shifts are all 33 or more.
///
/// # Safety
/// They are there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn short(shift: *const u8, count: usize) -> bool {
    let mut below = 0;
    for at in (0..count).step_by(64) {
        let mask = if count - at >= 64 { !0 } else { (1 << (count - at)) - 1 };
        // SAFETY: masked bytes are not read.
        let shift = unsafe { _mm512_maskz_loadu_epi8(mask, shift.add(at).cast()) };
        below |= _mm512_mask_cmplt_epu8_mask(mask, shift, _mm512_set1_epi8(33));
    }
    below == 0
}

/// The rule in 64 bits, limited to +-2^30: beyond any output, and its zero point can still be added.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn long(product: __m512i, shift: __m512i) -> __m512i {
    let less = _mm512_sub_epi64(shift, _mm512_set1_epi64(1));
    let half = _mm512_sllv_epi64(_mm512_set1_epi64(1), less);
    let value = _mm512_srav_epi64(_mm512_add_epi64(product, half), shift);
    let limit = 1 << 30;
    _mm512_min_epi64(_mm512_max_epi64(value, _mm512_set1_epi64(-limit)), _mm512_set1_epi64(limit))
}

/// Four inputs, unsigned, in every 32-bit lane. One instruction takes them from memory: written as a broadcast and a flip,
/// the compiler spends two more, one of them where products could be made.
///
/// # Safety
/// They are there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn four(x: *const i8, flip: __m512i) -> __m512i {
    let values;
    // SAFETY: the caller's; nothing but the register is written.
    unsafe {
        core::arch::asm!(
            "vpxord {}, {}, dword ptr [{}]{{1to16}}",
            lateout(zmm_reg) values, in(zmm_reg) flip, in(reg) x,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    values
}

/// Eight inputs, unsigned, in every 64-bit lane, as [`four`].
///
/// # Safety
/// They are there.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn eight(x: *const i8, flip: __m512i) -> __m512i {
    let values;
    // SAFETY: the caller's; nothing but the register is written.
    unsafe {
        core::arch::asm!(
            "vpxorq {}, {}, qword ptr [{}]{{1to8}}",
            lateout(zmm_reg) values, in(zmm_reg) flip, in(reg) x,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    values
}

/// The first `count` of 16 lanes.
#[inline]
fn lanes(count: usize) -> __mmask16 {
    if count >= LANES { !0 } else { (1 << count) - 1 }
}

/// Zero point and range of outputs, for 16-bit and 8-bit lanes.
#[derive(Clone, Copy)]
pub(super) struct Range {
    zero_point: __m512i,
    min: __m512i,
    max: __m512i,
}

impl Range {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub fn new<Y: Quantized>(clamp: crate::kernels::requant::Clamp) -> Self {
        let zero_point = _mm512_set1_epi16(clamp.zero_point as i16);
        if size_of::<Y>() == 1 {
            let (min, max) = (_mm512_set1_epi8(clamp.min as i8), _mm512_set1_epi8(clamp.max as i8));
            Self { zero_point, min, max }
        } else {
            let (min, max) = (_mm512_set1_epi16(clamp.min as i16), _mm512_set1_epi16(clamp.max as i16));
            Self { zero_point, min, max }
        }
    }

    /// Two vectors of scaled sums as 16-bit outputs with the zero point, in every 128-bit lane four of the first and then four
    /// of the second. Saturating before the zero point is added changes nothing: its size is below that of any range, so
    /// what saturates stays saturated.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    fn halves(self, a: __m512i, b: __m512i) -> __m512i {
        _mm512_adds_epi16(_mm512_packs_epi32(a, b), self.zero_point)
    }

    /// Four vectors of scaled sums as 8-bit outputs, in every 128-bit lane four of each.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub fn bytes(self, [a, b, c, d]: [__m512i; 4]) -> __m512i {
        let bytes = _mm512_packs_epi16(self.halves(a, b), self.halves(c, d));
        _mm512_min_epi8(_mm512_max_epi8(bytes, self.min), self.max)
    }
}

/// Stores four vectors of scaled sums as outputs, the lanes of `masks`; with `adjacent` they are all there, one vector behind
/// the other.
///
/// # Safety
/// `to` is valid for the lanes of `masks` that are set.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn store<Y: Quantized>(
    range: Range,
    values: [__m512i; 4],
    to: [*mut Y; 4],
    masks: [__mmask16; 4],
    adjacent: bool,
) {
    if size_of::<Y>() == 1 {
        let bytes = range.bytes(values);
        let order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        let bytes = _mm512_permutexvar_epi32(order, bytes);
        if adjacent {
            // SAFETY: all lanes are there, one vector after the other.
            unsafe { _mm512_storeu_si512(to[0].cast(), bytes) };
            return;
        }
        let parts = [
            _mm512_castsi512_si128(bytes),
            _mm512_extracti32x4_epi32::<1>(bytes),
            _mm512_extracti32x4_epi32::<2>(bytes),
            _mm512_extracti32x4_epi32::<3>(bytes),
        ];
        macro_rules! part {
            ($($index:literal)*) => {
                // SAFETY: the lanes that are set.
                $(unsafe {
                    match masks[$index] {
                        0 => {}
                        0xFFFF => _mm_storeu_si128(to[$index].cast(), parts[$index]),
                        0xFF => _mm_storel_epi64(to[$index].cast(), parts[$index]),
                        mask => _mm_mask_storeu_epi8(to[$index].cast(), mask, parts[$index]),
                    }
                })*
            };
        }
        part!(0 1 2 3);
    } else {
        // The zero point of 16-bit outputs may be large: it is added in 32 bits.
        let zero_point = _mm512_srai_epi32::<16>(range.zero_point);
        let (min, max) = (_mm512_castsi512_si256(range.min), _mm512_castsi512_si256(range.max));
        for ((value, to), mask) in values.into_iter().zip(to).zip(masks) {
            let halves = _mm512_cvtsepi32_epi16(_mm512_add_epi32(value, zero_point));
            let halves = _mm256_min_epi16(_mm256_max_epi16(halves, min), max);
            // SAFETY: the lanes that are set.
            unsafe { _mm256_mask_storeu_epi16(to.cast(), mask, halves) };
        }
    }
}

/// See [`super::super::rows::outputs`].
///
/// # Safety
/// The task was checked, and the machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in super::super) unsafe fn product<Y: Quantized>(task: &Task<Y>) {
    // SAFETY: the caller's.
    unsafe {
        if short(task.shift, task.outputs) {
            all::<Y, true>(task);
        } else {
            all::<Y, false>(task);
        }
    }
}

/// # Safety
/// As for [`product`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn all<Y: Quantized, const SHORT: bool>(task: &Task<Y>) {
    if task.rows * task.lines == 1 {
        // SAFETY: the caller's.
        return unsafe { single::<Y, SHORT>(task) };
    }
    let mut first = 0;
    while first < task.outputs {
        // SAFETY: the blocks are there.
        first += LANES
            * unsafe {
                match (task.outputs - first).div_ceil(LANES) {
                    4.. => {
                        some::<Y, 4, SHORT>(task, first);
                        4
                    }
                    2.. => {
                        some::<Y, 2, SHORT>(task, first);
                        2
                    }
                    _ => {
                        some::<Y, 1, SHORT>(task, first);
                        1
                    }
                }
            };
    }
}

/// One row times all blocks. Products are as many as bytes of weights, so that it counts what else an instruction does: the row is
/// made unsigned once, if it is not too long, and an input then comes as one load.
///
/// # Safety
/// The task was checked and has one row; the machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn single<Y: Quantized, const SHORT: bool>(task: &Task<Y>) {
    const MOST: usize = 2048;
    let flip = _mm512_set1_epi8(-128);
    let len = 4 * task.groups;
    let mut row = [const { MaybeUninit::<__m512i>::uninit() }; MOST / 64 + 1];
    if task.segments * len > MOST {
        // SAFETY: the caller's.
        return unsafe { blocks::<Y, SHORT>(task, |weights| products(task, weights)) };
    }
    for segment in 0..task.segments {
        for at in (0..len).step_by(64) {
            let mask = if len - at >= 64 { !0 } else { (1 << (len - at)) - 1 };
            let to = row.as_mut_ptr().cast::<i8>().wrapping_add(segment * len + at);
            // SAFETY: segment < segments; masked bytes are not read, and the row has a vector more than its inputs.
            unsafe {
                let values = _mm512_maskz_loadu_epi8(mask, task.segment(segment).wrapping_add(at));
                _mm512_storeu_si512(to.cast(), _mm512_xor_si512(values, flip));
            }
        }
    }
    let (row, groups) = (row.as_ptr().cast::<i32>(), task.segments * task.groups);
    // SAFETY: the caller's; the row's groups were written.
    unsafe { blocks::<Y, SHORT>(task, |weights| unsigned_products(row, groups, weights)) }
}

/// One row times all blocks, one after the other, so that memory is read in its order; `products` are its sums of products with the
/// weights of a block.
///
/// # Safety
/// The task was checked and has one row; the machine has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn blocks<Y: Quantized, const SHORT: bool>(task: &Task<Y>, products: impl Fn(*const i8) -> __m512i) {
    let constants = (task.bias, task.multiplier, task.shift);
    for first in (0..task.outputs).step_by(4 * LANES) {
        let (mut values, mut masks) = ([_mm512_setzero_si512(); 4], [0; 4]);
        for (index, (value, mask)) in values.iter_mut().zip(&mut masks).enumerate() {
            let first = first + index * LANES;
            if first >= task.outputs {
                break;
            }
            let weights = task.weights.wrapping_add(first / LANES * task.block);
            // SAFETY: the block is there.
            let block = unsafe { Block::<SHORT>::new(weights.cast(), constants, first, task.outputs) };
            let sum = products(weights.wrapping_add(4 * LANES));
            (*value, *mask) = (block.scale(_mm512_add_epi32(sum, block.start)), block.mask);
        }
        let to = [0, 1, 2, 3].map(|block| task.y.wrapping_add(first + block * LANES));
        // SAFETY: the lanes of the masks are outputs.
        unsafe { store(Range::new::<Y>(task.clamp), values, to, masks, masks == [!0; 4]) };
    }
}

/// Sums of products of `groups` groups of a row of unsigned inputs with the weights of a block from `w` on.
///
/// # Safety
/// The groups are there and the block; the machine has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn unsigned_products(row: *const i32, groups: usize, w: *const i8) -> __m512i {
    // Four sums, so that products need not wait for each other.
    let mut sums = [_mm512_setzero_si512(); 4];
    let product = |sum, group: usize| {
        // SAFETY: the group lies in the row and in the block.
        unsafe {
            let four = _mm512_set1_epi32(row.wrapping_add(group).read());
            _mm512_dpbusd_epi32(sum, four, _mm512_loadu_si512(w.wrapping_add(group * 4 * LANES).cast()))
        }
    };
    let mut group = 0;
    while group + 4 <= groups {
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = product(*sum, group + index);
        }
        group += 4;
    }
    for (index, sum) in sums.iter_mut().enumerate().take(groups % 4) {
        *sum = product(*sum, group + index);
    }
    let [a, b, c, d] = sums;
    _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d))
}

/// The same for the first row of the task as it lies.
///
/// # Safety
/// The task has the block; the machine has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn products<Y: Quantized>(task: &Task<Y>, mut w: *const i8) -> __m512i {
    let flip = _mm512_set1_epi8(-128);
    let mut sums = [_mm512_setzero_si512(); 4];
    for segment in 0..task.segments {
        // SAFETY: segment < segments.
        let mut x = unsafe { task.segment(segment) };
        let mut add = |sum: &mut __m512i| {
            // SAFETY: the group lies in the row and in the block.
            let (four, weights) = unsafe { (x.cast::<i32>().read_unaligned(), _mm512_loadu_si512(w.cast())) };
            *sum = _mm512_dpbusd_epi32(*sum, _mm512_xor_si512(_mm512_set1_epi32(four), flip), weights);
            (x, w) = (x.wrapping_add(4), w.wrapping_add(4 * LANES));
        };
        for _ in 0..task.groups / 4 {
            sums.iter_mut().for_each(&mut add);
        }
        sums.iter_mut().take(task.groups % 4).for_each(&mut add);
    }
    let [a, b, c, d] = sums;
    _mm512_add_epi32(_mm512_add_epi32(a, b), _mm512_add_epi32(c, d))
}

/// All rows times `B` blocks.
///
/// # Safety
/// The task was checked and has the blocks; the machine has the instructions.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn some<Y: Quantized, const B: usize, const SHORT: bool>(task: &Task<Y>, first: usize) {
    let weights = task.weights.wrapping_add(first / LANES * task.block);
    let constants = (task.bias, task.multiplier, task.shift);
    // SAFETY: the blocks are there.
    let block = |block: usize| unsafe {
        let head = weights.wrapping_add(block * task.block).cast();
        Block::<SHORT>::new(head, constants, first + block * LANES, task.outputs)
    };
    let mut blocks = [block(0); B];
    for (index, place) in blocks.iter_mut().enumerate().skip(1) {
        *place = block(index);
    }
    let adjacent = first + B * LANES <= task.outputs && (B == 4 || task.stride == B * LANES);
    let tile = Tile { weights, first, blocks, adjacent, range: Range::new::<Y>(task.clamp) };
    let most = if B == 4 { 6 } else { 8 };
    for line in 0..task.lines {
        let task = &task.at(line);
        let (mut row, mut tiles) = (0, task.rows.div_ceil(most));
        while row < task.rows {
            let rows = (task.rows - row).div_ceil(tiles);
            // SAFETY: the rows are there.
            unsafe {
                match rows {
                    1 => tile.run::<Y, 1>(task, row),
                    2 => tile.run::<Y, 2>(task, row),
                    3 => tile.run::<Y, 3>(task, row),
                    4 => tile.run::<Y, 4>(task, row),
                    5 => tile.run::<Y, 5>(task, row),
                    6 => tile.run::<Y, 6>(task, row),
                    7 => tile.run::<Y, 7>(task, row),
                    _ => tile.run::<Y, 8>(task, row),
                }
            }
            row += rows;
            tiles -= 1;
        }
    }
}

/// `B` blocks of weights, the first output of which is `first`.
struct Tile<const B: usize, const SHORT: bool> {
    weights: *const i8,
    first: usize,
    blocks: [Block<SHORT>; B],
    /// Whether all lanes are outputs, and those of a row lie right behind those of the row before.
    adjacent: bool,
    range: Range,
}

impl<const B: usize, const SHORT: bool> Tile<B, SHORT> {
    /// `R` rows from `row` on.
    ///
    /// # Safety
    /// The task has the rows and the blocks; the machine has the instructions.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    unsafe fn run<Y: Quantized, const R: usize>(&self, task: &Task<Y>, row: usize) {
        let mut sums = [[_mm512_setzero_si512(); B]; R];
        for row in &mut sums {
            for (sum, block) in row.iter_mut().zip(&self.blocks) {
                *sum = if B == 1 { _mm512_setzero_si512() } else { block.start };
            }
        }
        // Second sums of a single block, which takes two groups at once: one load of a row is then good for two products.
        let mut more = [_mm512_setzero_si512(); R];
        let flip = _mm512_set1_epi8(-128);
        let mut w = self.weights.wrapping_add(4 * LANES);
        for segment in 0..task.segments {
            // SAFETY: segment < segments.
            let mut x = unsafe { task.segment(segment) }.wrapping_add(row * task.step);
            let pairs = if B == 1 { task.groups / 2 } else { 0 };
            for _ in 0..pairs {
                // SAFETY: both groups lie in the block.
                let (first, second) = unsafe {
                    (_mm512_loadu_si512(w.cast()), _mm512_loadu_si512(w.wrapping_add(4 * LANES).cast()))
                };
                // Outputs 0, 1, 4, 5 .. and 2, 3, 6, 7 .., both groups of each next to each other.
                let (low, high) =
                    (_mm512_unpacklo_epi32(first, second), _mm512_unpackhi_epi32(first, second));
                for (row, (sums, more)) in sums.iter_mut().zip(&mut more).enumerate() {
                    // SAFETY: both groups lie in the row.
                    let eight = unsafe { eight(x.wrapping_add(row * task.step), flip) };
                    sums[0] = _mm512_dpbusd_epi32(sums[0], eight, low);
                    *more = _mm512_dpbusd_epi32(*more, eight, high);
                }
                w = w.wrapping_add(8 * LANES);
                x = x.wrapping_add(8);
            }
            for _ in 2 * pairs..task.groups {
                let mut weights = [flip; B];
                let zero = _mm512_setzero_si512();
                for (block, weights) in weights.iter_mut().enumerate() {
                    // SAFETY: the group lies in the block.
                    *weights = unsafe { _mm512_loadu_si512(w.wrapping_add(block * task.block).cast()) };
                }
                // The last group alone, as the first of two.
                let (low, high) =
                    (_mm512_unpacklo_epi32(weights[0], zero), _mm512_unpackhi_epi32(weights[0], zero));
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: the group lies in the row.
                    let four = unsafe { four(x.wrapping_add(row * task.step), flip) };
                    if B == 1 {
                        sums[0] = _mm512_dpbusd_epi32(sums[0], four, low);
                        more[row] = _mm512_dpbusd_epi32(more[row], four, high);
                        continue;
                    }
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, four, weights);
                    }
                }
                w = w.wrapping_add(4 * LANES);
                x = x.wrapping_add(4);
            }
        }
        if B == 1 {
            for (sums, more) in sums.iter_mut().zip(more) {
                let (a, b) = (_mm512_castsi512_ps(sums[0]), _mm512_castsi512_ps(more));
                let first = _mm512_castps_si512(_mm512_shuffle_ps::<0b10_00_10_00>(a, b));
                let second = _mm512_castps_si512(_mm512_shuffle_ps::<0b11_01_11_01>(a, b));
                sums[0] = _mm512_add_epi32(self.blocks[0].start, _mm512_add_epi32(first, second));
            }
        }
        // Written out, so that every index is a constant and sums never leave their registers before.
        macro_rules! quad {
            ($($at:literal)*) => {
                $(if $at < R * B {
                    let zero = _mm512_setzero_si512();
                    let at = |index: usize| ((index / B).min(R - 1), index % B);
                    let value = |index: usize| {
                        let (row, block) = at(index);
                        if index < R * B { self.blocks[block].scale(sums[row][block]) } else { zero }
                    };
                    let values = [value($at), value($at + 1), value($at + 2), value($at + 3)];
                    let to = |index: usize| {
                        let (of, block) = at(index);
                        task.y.wrapping_add((row + of) * task.stride + self.first + block * LANES)
                    };
                    let mask = |index: usize| if index < R * B { self.blocks[at(index).1].mask } else { 0 };
                    let to = [to($at), to($at + 1), to($at + 2), to($at + 3)];
                    let masks = [mask($at), mask($at + 1), mask($at + 2), mask($at + 3)];
                    // SAFETY: outputs of the row, as many as there are.
                    unsafe { store(self.range, values, to, masks, self.adjacent && $at + 4 <= R * B) };
                })*
            };
        }
        quad!(0 4 8 12 16 20);
    }
}
