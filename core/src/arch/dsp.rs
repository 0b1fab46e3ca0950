//! Matrix tiles of the Arm DSP layout: two channels by four inputs, pairs of 16-bit products.
//!
//! `SXTB16` widens bytes 0 and 2 of a word, and bytes 1 and 3 after a rotation. Patches are widened in that same order when
//! they are staged, once for all channels, so neither they nor the weights need a shuffle. A tile is staged as `[group of four
//! values][even, odd values][patch]`, in the order in which it is read. Where the runs of values that a patch is made of
//! are no whole groups, plain patches are collected behind the tile and widened together.
//!
//! The bodies are the same on every machine over the few instructions of [`lanes`]; only the loops that need every register
//! are also written out for Cortex-M, in [`super::armv7em`].
#![allow(unsafe_code)]

#[cfg(mixel_dsp)]
use super::depthwise::MAX_HEIGHT;
#[cfg(mixel_dsp)]
use super::matrix::Windows;
use super::matrix::{Patches, Rounding, Staging, Strided, channel_at};
use super::view::{In, Out, span};
use crate::kernels::requant::{Channels, Quantized};
use crate::pack::{Depth, Layout};

/// Rows of a tile: six sums, three input and three weight registers fill a Cortex-M's file.
pub(super) const ROWS: usize = 3;

pub(super) mod lanes {
    /// Bytes 0 and 2 of `word`, sign-extended to halves.
    #[inline(always)]
    pub fn even(word: u32) -> u32 {
        #[cfg(mixel_dsp)]
        {
            let halves: u32;
            // SAFETY: register arithmetic only.
            unsafe {
                core::arch::asm!("sxtb16 {}, {}", lateout(reg) halves, in(reg) word, options(pure, nomem, nostack, preserves_flags))
            };
            halves
        }
        #[cfg(not(mixel_dsp))]
        {
            let [a, _, c, _] = word.to_le_bytes();
            (a as i8 as u16 as u32) | (c as i8 as u16 as u32) << 16
        }
    }

    /// The halves of `offsets` plus bytes 0 and 2 of `word`, and plus bytes 1 and 3.
    #[cfg(not(mixel_helium))]
    #[inline(always)]
    pub fn moved(offsets: u32, word: u32) -> (u32, u32) {
        #[cfg(mixel_dsp)]
        {
            let (even, odd): (u32, u32);
            // SAFETY: register arithmetic only.
            unsafe {
                core::arch::asm!("sxtab16 {}, {}, {}", lateout(reg) even, in(reg) offsets, in(reg) word, options(pure, nomem, nostack, preserves_flags));
                core::arch::asm!("sxtab16 {}, {}, {}, ror #8", lateout(reg) odd, in(reg) offsets, in(reg) word, options(pure, nomem, nostack, preserves_flags));
            }
            (even, odd)
        }
        #[cfg(not(mixel_dsp))]
        {
            let sum = |halves: u32| {
                let low = offsets.wrapping_add(halves) & 0xFFFF;
                low | (offsets & 0xFFFF_0000).wrapping_add(halves & 0xFFFF_0000)
            };
            (sum(even(word)), sum(odd(word)))
        }
    }

    /// Bytes 1 and 3 of `word`, sign-extended to halves.
    #[inline(always)]
    pub fn odd(word: u32) -> u32 {
        #[cfg(mixel_dsp)]
        {
            let halves: u32;
            // SAFETY: register arithmetic only.
            unsafe {
                core::arch::asm!("sxtb16 {}, {}, ror #8", lateout(reg) halves, in(reg) word, options(pure, nomem, nostack, preserves_flags))
            };
            halves
        }
        #[cfg(not(mixel_dsp))]
        even(word.rotate_right(8))
    }

    /// `sum` plus both products of signed halves.
    #[inline(always)]
    pub fn dot(a: u32, b: u32, sum: i32) -> i32 {
        #[cfg(mixel_dsp)]
        {
            let result: i32;
            // SAFETY: register arithmetic only. (SMLAD sets the Q flag, which nothing here reads.)
            unsafe {
                core::arch::asm!("smlad {}, {}, {}, {}", lateout(reg) result, in(reg) a, in(reg) b, in(reg) sum, options(pure, nomem, nostack))
            };
            result
        }
        #[cfg(not(mixel_dsp))]
        {
            let low = (a as i16 as i32).wrapping_mul(b as i16 as i32);
            let high = ((a >> 16) as i16 as i32).wrapping_mul((b >> 16) as i16 as i32);
            sum.wrapping_add(low).wrapping_add(high)
        }
    }
}

/// Bytes of the staged tile alone.
pub(super) fn staged_bytes(depth: usize) -> usize {
    ROWS * 2 * depth.next_multiple_of(4)
}

/// Bytes of a plain patch.
fn plain_bytes(depth: usize) -> usize {
    depth.next_multiple_of(4)
}

/// Whether patches made of runs of `run` values are collected as they are first.
fn plain(run: usize) -> bool {
    !run.is_multiple_of(4)
}

/// See [`super::matrix::Lane::tile_bytes`].
pub(super) fn tile_bytes(depth: usize, run: usize) -> usize {
    staged_bytes(depth) + if plain(run) { ROWS * plain_bytes(depth) } else { 0 }
}

/// See [`super::matrix::Lane::stage`].
#[inline(never)]
pub(super) fn stage(tile: &Staging<'_>, patch: usize, at: usize, values: In<'_, i8>) {
    if plain(tile.run) {
        let start = staged_bytes(tile.depth) + patch * plain_bytes(tile.depth) + at;
        return copy(tile.bytes.window(start, values.len()), values);
    }
    let words = tile.bytes.cast::<u32>();
    let first = at / 4 * ROWS * 2 + patch;
    let groups = values.len() / 4;
    if groups == 0 || first + (groups - 1) * ROWS * 2 + ROWS >= words.len() {
        return;
    }
    // SAFETY: the last group's two words lie in the tile, and the values hold `groups` groups of four bytes.
    unsafe {
        let mut from = values.as_ptr().cast::<u32>();
        let mut to = words.as_mut_ptr().add(first);
        for _ in 0..groups {
            let word = from.read_unaligned();
            to.write(lanes::even(word));
            to.add(ROWS).write(lanes::odd(word));
            from = from.add(1);
            to = to.wrapping_add(ROWS * 2);
        }
    }
}

/// See [`super::matrix::Lane::stage_all`].
pub(super) fn stage_all(tile: &Staging<'_>, rows: &[In<'_, i8>], from: usize, (step, len): (usize, usize)) {
    let reach = from.saturating_add(span(ROWS, step, len));
    if rows.iter().any(|row| row.len() < reach) {
        return;
    }
    #[cfg(mixel_dsp)]
    if has_room(tile, rows.len().saturating_mul(len)) && len >= 4 {
        // SAFETY: the rows were found long enough, and the tile has room.
        return unsafe { stage_rows(tile, rows, from, (step, len)) };
    }
    for (row, values) in rows.iter().enumerate() {
        for patch in 0..ROWS {
            stage(tile, patch, row * len, values.window(from + patch * step, len));
        }
    }
}

/// Whether `tile` has room for patches of `len` values.
#[cfg(mixel_dsp)]
fn has_room(tile: &Staging<'_>, len: usize) -> bool {
    let bytes = tile.bytes.cast::<u32>().len() * 4;
    len <= plain_bytes(tile.depth) && bytes >= tile_bytes(tile.depth, tile.run)
}

/// Stages all patches of a tile, `len` values of each row.
///
/// # Safety
/// The rows reach to `from + 2 * step + len`, `len` is at least 4, and [`has_room`] holds for that of all rows.
#[cfg(mixel_dsp)]
#[inline(always)]
unsafe fn stage_rows(tile: &Staging<'_>, rows: &[In<'_, i8>], from: usize, (step, len): (usize, usize)) {
    let (groups, start, pitch) = (len / 4, staged_bytes(tile.depth), plain_bytes(tile.depth));
    // SAFETY: every row's part lies in the tile; its words are aligned.
    unsafe {
        if plain(tile.run) {
            let mut to = tile.bytes.as_mut_ptr().add(start);
            for row in rows {
                super::armv7em::copy_3(row.as_ptr().add(from), step, len, to, pitch);
                to = to.wrapping_add(len);
            }
        } else {
            let mut to = tile.bytes.as_mut_ptr().cast::<u32>();
            for row in rows {
                super::armv7em::stage_3(row.as_ptr().add(from), step, groups, to);
                to = to.wrapping_add(groups * ROWS * 2);
            }
        }
    }
}

/// See [`super::matrix::Lane::pad`].
#[inline(never)]
pub(super) fn pad(tile: &Staging<'_>, patch: usize, at: usize, count: usize, value: i8) {
    if plain(tile.run) {
        let start = staged_bytes(tile.depth) + patch * plain_bytes(tile.depth) + at;
        return super::fill(tile.bytes.window(start, count), value as u8);
    }
    let words = tile.bytes.cast::<u32>();
    let pair = (value as u16 as u32) * 0x1_0001;
    for group in at / 4..(at + count) / 4 {
        let first = group * ROWS * 2 + patch;
        words.set(first, pair);
        words.set(first + ROWS, pair);
    }
}

/// See [`super::matrix::Lane::complete`].
pub(super) fn complete(tile: &Staging<'_>) {
    if plain(tile.run) {
        let (start, len) = (staged_bytes(tile.depth), tile.depth.next_multiple_of(4));
        let values = tile.bytes.reader().window(start, tile.bytes.len()).cast::<i8>();
        let whole = Staging { run: 4, ..*tile };
        stage_all(&whole, &[values], 0, (plain_bytes(tile.depth), len));
    }
}

/// Copies all `values` by whole words, of which the last one may begin inside the one before.
#[inline(always)]
fn copy(to: Out<'_, u8>, values: In<'_, i8>) {
    let len = values.len();
    if to.len() < len {
        return;
    }
    // SAFETY: every word and byte ends within both windows.
    unsafe {
        let (from, to) = (values.as_ptr(), to.as_mut_ptr().cast::<i8>());
        if len < 4 {
            return (0..len).for_each(|at| to.add(at).write(from.add(at).read()));
        }
        let word = |at| to.add(at).cast::<u32>().write_unaligned(from.add(at).cast::<u32>().read_unaligned());
        (0..len / 4).for_each(|index| word(index * 4));
        if !len.is_multiple_of(4) {
            word(len - 4);
        }
    }
}

/// See [`super::matrix::Lane::windows`]. Cores with Helium have plans of their own, and go tile by tile through those of others.
#[cfg(mixel_dsp)]
#[cfg_attr(mixel_helium, allow(dead_code))]
pub(super) fn windows(
    windows: Windows<'_, '_, i8>,
    (tile, staged): (&Staging<'_>, usize),
    factors: Factors<'_>,
    channels: &Channels<'_>,
    rounding: Rounding,
    (y, stride): (Out<'_, i8>, usize),
) -> Option<usize> {
    let Windows { rows, from, step, len, count, outside, last } = windows;
    let (outputs, seen) = (channels.bias.len(), Seen::new(rows)?);
    let whole = rows.len().checked_mul(len) == Some(tile.depth);
    let inputs = len >= 4 && !rows.is_empty() && whole && has_room(tile, tile.depth);
    let room = outputs > 0 && staged < ROWS && y.len() >= span(staged + count, stride, outputs);
    if !rounding.simple || !inputs || !room || !factors.fit(channels, tile.depth) {
        return None;
    }
    let plain = plain(tile.run);
    // Rows outside would have to be collected value by value.
    let one_by_one = plain && rows.iter().any(|row| row.is_empty());
    let product =
        Product { x: tile.bytes.as_mut_ptr().cast(), depth: tile.depth, factors, channels, rounding };
    let (mut place, mut staged, mut next) = (y.as_mut_ptr(), staged, 0);
    // SAFETY: windows that lie inside and all outputs were found to be there, everything else long enough. The windows are read
    // before their outputs are written.
    let staged_tile = |place: *mut i8, patches: usize| unsafe {
        if plain {
            widen(tile);
        }
        product.write(None, (place, stride * 1.min(patches - 1), stride * (patches - 1)));
    };
    while next < count {
        let from = from + (next * step) as isize;
        let inside = match seen.length.checked_sub(from.max(0) as usize + len) {
            Some(rest) if from >= 0 && staged == 0 => rest.checked_div(step).unwrap_or(0) + 1,
            _ => 0,
        };
        let tiles = inside.min(count - next) / ROWS;
        if tiles == 0 || one_by_one {
            // SAFETY: as above.
            unsafe { seen.stage(tile, staged, (from, len), outside) };
            (staged, next) = (staged + 1, next + 1);
            if staged == ROWS {
                staged_tile(place, ROWS);
                place = place.wrapping_add(ROWS * stride);
                staged = 0;
            }
            continue;
        }
        let windows = Inside { seen: &seen, tile, from: from as usize, step, len, count: tiles, outside };
        // SAFETY: as above.
        unsafe { product.write(Some(windows), (place, stride, 2 * stride)) };
        place = place.wrapping_add(tiles * ROWS * stride);
        next += tiles * ROWS;
    }
    if last && staged > 0 {
        staged_tile(place, staged);
        staged = 0;
    }
    Some(staged)
}

/// Widens the plain patches of a tile.
///
/// # Safety
/// [`has_room`] holds for all patches.
#[cfg(mixel_dsp)]
unsafe fn widen(tile: &Staging<'_>) {
    // SAFETY: the plain patches lie behind the tile, which has room for as many groups.
    unsafe {
        let from = tile.bytes.as_mut_ptr().add(staged_bytes(tile.depth)).cast();
        let groups = tile.depth.div_ceil(4);
        super::armv7em::stage_3(from, plain_bytes(tile.depth), groups, tile.bytes.as_mut_ptr().cast());
    }
}

/// The rows that windows see, as the loops want them: null ones outside.
#[cfg(mixel_dsp)]
struct Seen<'r, 'a> {
    rows: &'r [In<'a, i8>],
    starts: [core::mem::MaybeUninit<*const i8>; MAX_HEIGHT],
    /// Values of a row.
    length: usize,
}

#[cfg(mixel_dsp)]
impl<'r, 'a> Seen<'r, 'a> {
    /// None when there are too many, or rows that are not empty have more than one length.
    #[inline(always)]
    fn new(rows: &'r [In<'a, i8>]) -> Option<Self> {
        let mut starts = [const { core::mem::MaybeUninit::uninit() }; MAX_HEIGHT];
        let length = rows.iter().fold(0, |longest, row| row.len().max(longest));
        let mut fit = rows.len() <= MAX_HEIGHT;
        for (start, row) in starts.iter_mut().zip(rows) {
            fit &= row.is_empty() || row.len() == length;
            start.write(if row.is_empty() { core::ptr::null() } else { row.as_ptr() });
        }
        fit.then_some(Self { rows, starts, length })
    }

    fn starts(&self) -> *const *const i8 {
        self.starts.as_ptr().cast()
    }

    /// Stages the window of `len` values from `from` on, which may stick out, as patch `patch`.
    ///
    /// # Safety
    /// [`has_room`] holds for the values of all rows.
    #[inline(always)]
    unsafe fn stage(&self, tile: &Staging<'_>, patch: usize, (from, len): (isize, usize), outside: i8) {
        let before = ((-from).max(0) as usize).min(len);
        let until = ((self.length as isize - from).max(0) as usize).clamp(before, len);
        if plain(tile.run) {
            // SAFETY: the caller's.
            return unsafe { self.copy(tile, patch, from, [before, until, len], outside) };
        }
        // SAFETY: the values between `before` and `until` lie in the rows, and the patch has room for all groups.
        unsafe {
            super::armv7em::stage_window(super::armv7em::Window {
                rows: self.starts(),
                height: self.rows.len(),
                from: from + before as isize,
                to: tile.bytes.as_mut_ptr().cast::<u32>().add(patch),
                before: before / 4,
                inside: (until - before) / 4,
                behind: (len - until) / 4,
                outside: outside as u16 as u32 * 0x1_0001,
            });
        }
    }

    /// As [`Seen::stage`], for a plain patch whose values from `before` to `until` are inside.
    ///
    /// # Safety
    /// As there.
    #[inline(never)]
    unsafe fn copy(
        &self,
        tile: &Staging<'_>,
        patch: usize,
        from: isize,
        [before, until, len]: [usize; 3],
        outside: i8,
    ) {
        let start = staged_bytes(tile.depth) + patch * plain_bytes(tile.depth);
        let values = tile.bytes.window(start, tile.depth);
        if before > 0 || until < len || self.rows.iter().any(|row| row.is_empty()) {
            super::fill(values, outside as u8);
        }
        for (ky, row) in self.rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
            let inside = row.as_ptr().wrapping_offset(from + before as isize);
            // SAFETY: the values lie in the row, what is written in the part of the patch that belongs to it.
            unsafe {
                let to = values.as_mut_ptr().add(ky * len + before);
                super::view::copy_bytes(inside.cast(), to, until - before);
            }
        }
    }
}

/// What patches are multiplied with, in blocks of two channels by four inputs, and the loop for it: a pointer, so that a loop which
/// no operator asks for is not linked.
#[cfg(mixel_dsp)]
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    values: In<'a, u32>,
    /// Bytes of one.
    size: usize,
    tiles: unsafe extern "C" fn(super::armv7em::Tiles),
}

#[cfg(mixel_dsp)]
impl<'a> Factors<'a> {
    /// Weights of the plan.
    pub fn bytes(weights: In<'a, i8>) -> Self {
        Self { values: weights.cast(), size: 1, tiles: super::armv7em::tiles }
    }

    /// Values of 16 bits: of each block inputs 0 and 2 of both channels, then inputs 1 and 3, two in a word.
    #[cfg(not(mixel_helium))]
    pub fn halves(values: In<'a, u32>) -> Self {
        Self { values, size: 2, tiles: super::armv7em::tiles_of_halves }
    }

    /// Whether they and the scales are there for all channels of inputs of `depth` values.
    fn fit(&self, channels: &Channels<'_>, depth: usize) -> bool {
        enough((self.values.len() * 4, self.size), channels, depth)
    }
}

/// What the patches of tiles are multiplied with, and where they are staged.
#[cfg(mixel_dsp)]
struct Product<'a> {
    x: *mut u32,
    depth: usize,
    factors: Factors<'a>,
    channels: &'a Channels<'a>,
    rounding: Rounding,
}

/// Windows that do not stick out to the sides; of [`plain`] ones all rows are inside.
#[cfg(mixel_dsp)]
struct Inside<'s, 'r, 'a> {
    seen: &'s Seen<'r, 'a>,
    tile: &'s Staging<'a>,
    from: usize,
    step: usize,
    len: usize,
    /// Tiles of windows.
    count: usize,
    /// The value outside of the image.
    outside: i8,
}

#[cfg(mixel_dsp)]
impl Product<'_> {
    /// Outputs of a staged tile, or of windows. Those of the second and third patch are `second` and `third` bytes behind
    /// those of the first one, at `y`; those of a patch that is not there may be where the last one's are.
    ///
    /// # Safety
    /// `x` has room for three patches of `depth` values, at least one; weights and channels fit; the windows are there, and `y` is
    /// valid for the writes. Patches that are not there are read as they are left in the tile.
    unsafe fn write(&self, windows: Option<Inside<'_, '_, '_>>, places: (*mut i8, usize, usize)) {
        // SAFETY: the caller's; groups of four inputs are six words.
        unsafe { (self.factors.tiles)(self.tiles(windows, places)) }
    }

    /// As [`Product::write`], for a staged tile, where channels are `across` bytes apart.
    ///
    /// # Safety
    /// As there.
    #[cfg(not(mixel_helium))]
    unsafe fn write_strided(&self, places: (*mut i8, usize, usize), across: usize) {
        let mut tiles = self.tiles(None, places);
        (tiles.even, tiles.outside) = (tiles.even * across, across as u32);
        // SAFETY: the caller's.
        unsafe { super::armv7em::tiles_strided(tiles) }
    }

    #[inline(always)]
    fn tiles(
        &self,
        windows: Option<Inside<'_, '_, '_>>,
        (y, second, third): (*mut i8, usize, usize),
    ) -> super::armv7em::Tiles {
        let Self { x, depth, factors, channels, rounding } = self;
        let (x, outputs) = (*x, channels.bias.len());
        let mut tiles = super::armv7em::Tiles {
            x,
            end: x.wrapping_add(depth.div_ceil(4) * ROWS * 2),
            rows: core::ptr::null(),
            height: 0,
            step: 0,
            groups: 0,
            from: 0,
            count: 1,
            w: factors.values.as_ptr(),
            bias: channels.bias.as_ptr(),
            multiplier: channels.multiplier.as_ptr(),
            shift: channels.shift.as_ptr(),
            y,
            even: outputs & !1,
            second,
            third,
            zero_point: rounding.clamp.zero_point,
            odd: outputs & 1,
            plain: core::ptr::null_mut(),
            pitch: 0,
            len: 0,
            outside: 0,
        };
        if let Some(Inside { seen, tile, from, step, len, count, outside }) = windows {
            (tiles.rows, tiles.height) = (seen.starts(), seen.rows.len());
            (tiles.from, tiles.step, tiles.len, tiles.count) = (from, step, len, count);
            (tiles.groups, tiles.outside) = (len / 4, outside as u16 as u32 * 0x1_0001);
            if plain(tile.run) {
                tiles.plain = tile.bytes.as_mut_ptr().wrapping_add(staged_bytes(tile.depth));
                (tiles.pitch, tiles.groups) = (plain_bytes(tile.depth), depth.div_ceil(4));
            }
        }
        tiles
    }
}

/// Whether `bytes` of weights of `size` bytes each are enough for all channels of inputs of `depth` values, and there are scales.
fn enough((bytes, size): (usize, usize), channels: &Channels<'_>, depth: usize) -> bool {
    let count = channels.bias.len();
    let scales = channels.multiplier.len() >= count && channels.shift.len() >= count;
    let weights = Layout::ArmDsp.matrix().len(count, Depth::whole(depth));
    scales && weights.and_then(|weights| weights.checked_mul(size)).is_some_and(|needed| bytes >= needed)
}

/// Whether there are weights and scales for all channels of inputs of `depth` values.
fn fits(weights: In<'_, i8>, channels: &Channels<'_>, depth: usize) -> bool {
    weights.as_ptr().cast::<u32>().is_aligned() && enough((weights.len(), 1), channels, depth)
}

/// All outputs of staged patches; false when something is too short.
pub(super) fn outputs<Y: Quantized>(
    patches: Patches<'_>,
    weights: In<'_, i8>,
    channels: &Channels<'_>,
    rounding: Rounding,
    (y, stride): (Out<'_, Y>, usize),
) -> bool {
    let (rows, groups, count) = (patches.rows, patches.depth.div_ceil(4), channels.bias.len());
    let (x, w) = (patches.bytes.as_ptr().cast::<u32>(), weights.as_ptr().cast::<u32>());
    let inputs = groups > 0 && x.is_aligned() && patches.bytes.len() >= staged_bytes(patches.depth);
    let room = (1..=ROWS).contains(&rows) && y.len() >= span(rows, stride, count);
    if !inputs || !room || !fits(weights, channels, patches.depth) {
        return false;
    }
    #[cfg(mixel_dsp)]
    if rounding.simple && size_of::<Y>() == 1 {
        // SAFETY: patches, weights, channels and outputs were found long enough and aligned.
        unsafe {
            let places = (y.as_mut_ptr().cast(), stride * 1.min(rows - 1), stride * (rows - 1));
            // It is only read, as no windows are staged.
            let x = x.cast_mut();
            Product { x, depth: patches.depth, factors: Factors::bytes(weights), channels, rounding }
                .write(None, places);
        }
        return true;
    }
    // SAFETY: patches, weights, channels and outputs were found long enough and aligned.
    unsafe { one_by_one((x, rows), (w, groups), channels, rounding, (y.as_mut_ptr(), [stride, 1])) }
    true
}

/// Outputs of `rows` staged patches at `x`, each on its own: that of channel `c` of patch `r` goes to `y` at
/// `r * steps[0] + c * steps[1]`.
///
/// # Safety
/// There are three patches of `groups` groups, weights of as many and scales for all channels, and `y` is
/// valid for the writes.
#[inline(always)]
unsafe fn one_by_one<Y: Quantized>(
    (x, rows): (*const u32, usize),
    (w, groups): (*const u32, usize),
    channels: &Channels<'_>,
    rounding: Rounding,
    (y, steps): (*mut Y, [usize; 2]),
) {
    for channel in 0..channels.bias.len() {
        let order = Layout::ArmDsp.matrix();
        // SAFETY: channel is below all three lengths.
        let finish = unsafe { channel_at(channels, channel) };
        for row in 0..rows {
            let mut sum = 0;
            for group in 0..groups {
                // SAFETY: group < groups and row < ROWS, so both words of the tile and the weights' word are inside.
                unsafe {
                    let x = x.add(group * ROWS * 2 + row);
                    let weights = *w.add(order.index(Depth::whole(groups * 4), channel, group * 4) / 4);
                    sum = lanes::dot(*x, lanes::even(weights), sum);
                    sum = lanes::dot(*x.add(ROWS), lanes::odd(weights), sum);
                }
            }
            // SAFETY: the caller's.
            unsafe { y.add(row * steps[0] + channel * steps[1]).write(finish.apply(sum, rounding.clamp)) };
        }
    }
}

/// See [`super::matrix::Lane::strided`]; without `COMMON`, only where [`Rounding::simple`] holds, and `tile` has runs
/// of whole groups.
#[inline(never)]
pub(super) fn strided<Y: Quantized, const COMMON: bool>(
    tile: &Staging<'_>,
    rows: Strided<'_>,
    weights: In<'_, i8>,
    channels: &Channels<'_>,
    rounding: Rounding,
    (y, [down, across]): (Out<'_, Y>, [usize; 2]),
) {
    let Strided { x, steps: [row, value], count } = rows;
    let (depth, words, outputs) = (tile.depth, tile.bytes.cast::<u32>(), channels.bias.len());
    let groups = depth.div_ceil(4);
    let inputs = depth > 0 && x.len() >= span(count, row, span(depth, value, 1));
    let room = outputs > 0 && y.len() >= span(count, down, span(outputs, across, 1));
    if !inputs || !room || words.len() < groups * ROWS * 2 || !fits(weights, channels, depth) {
        return;
    }
    for first in (0..count).step_by(ROWS) {
        let some = ROWS.min(count - first);
        // SAFETY: rows, tile, weights, channels and outputs were found long enough and aligned.
        unsafe {
            let (from, to) = (x.as_ptr().add(first * row), y.as_mut_ptr().add(first * down));
            stage_strided(from, [row, value], (depth, some), words.as_mut_ptr());
            // Cores with Helium have plans of their own.
            #[cfg(all(mixel_dsp, not(mixel_helium)))]
            if rounding.simple && size_of::<Y>() == 1 {
                let factors = Factors::bytes(weights);
                let product = Product { x: words.as_mut_ptr(), depth, factors, channels, rounding };
                let places = (to.cast(), down * 1.min(some - 1), down * (some - 1));
                if across == 1 {
                    product.write(None, places)
                } else {
                    product.write_strided(places, across)
                }
                continue;
            }
            if COMMON || !crate::kernels::LOOPS {
                let (x, w) = (words.reader().as_ptr(), weights.as_ptr().cast());
                one_by_one((x, some), (w, groups), channels, rounding, (to, [down, across]));
            }
        }
    }
}

/// Stages `count` rows of a tile, whose values are at `x` plus `row * steps[0] + at * steps[1]`.
///
/// # Safety
/// `x` is valid for these reads, of one to three rows, and `to` for a tile of `depth` values, at least one.
#[inline(always)]
unsafe fn stage_strided(
    x: *const i8,
    [row, value]: [usize; 2],
    (depth, count): (usize, usize),
    to: *mut u32,
) {
    #[cfg(mixel_dsp)]
    let done = depth / 4;
    #[cfg(not(mixel_dsp))]
    let done = 0;
    #[cfg(mixel_dsp)]
    if done > 0 {
        // SAFETY: the caller's; rows that are not there are where the last one is.
        unsafe {
            if value == 1 && count == ROWS {
                super::armv7em::stage_3(x, row, done, to);
            } else {
                let (second, third) = (row * 1.min(count - 1), row * (count - 1));
                super::armv7em::stage_strided(x, value, done, to, second, third);
            }
        }
    }
    for group in done..depth.div_ceil(4) {
        for patch in 0..count {
            let mut bytes = [0; 4];
            for (at, byte) in (group * 4..depth).zip(&mut bytes) {
                // SAFETY: the caller's.
                *byte = unsafe { *x.add(patch * row + at * value) } as u8;
            }
            let word = u32::from_le_bytes(bytes);
            // SAFETY: both words of the group lie in the tile.
            unsafe {
                let place = to.add(group * ROWS * 2 + patch);
                place.write(lanes::even(word));
                place.add(ROWS).write(lanes::odd(word));
            }
        }
    }
}

/// All outputs of one row of plain values, which are widened as they are read; false when something is too short.
pub(super) fn row<Y: Quantized>(
    patches: Patches<'_>,
    weights: In<'_, i8>,
    channels: &Channels<'_>,
    rounding: Rounding,
    y: Out<'_, Y>,
) -> bool {
    let (depth, count, order) = (patches.depth, channels.bias.len(), Layout::ArmDsp.matrix());
    let x = patches.bytes.cast::<i8>();
    if depth == 0 || x.len() < depth || !fits(weights, channels, depth) || y.len() < count {
        return false;
    }
    #[cfg(mixel_dsp)]
    let done = if rounding.simple
        && count >= 4
        && depth.is_multiple_of(4)
        && size_of::<Y>() == 1
        // It loads two words at once, which the core does at whole words only; the planner places tensors so if it can.
        && x.as_ptr().cast::<u32>().is_aligned()
    {
        // SAFETY: row, weights, channels and outputs were found long enough and the weights aligned.
        unsafe {
            super::armv7em::row(super::armv7em::Row {
                x: x.as_ptr(),
                w: weights.as_ptr().cast(),
                bytes: depth * 2,
                end: y.as_mut_ptr().cast::<i8>().add(count & !3),
                bias: channels.bias.as_ptr(),
                multiplier: channels.multiplier.as_ptr(),
                shift: channels.shift.as_ptr(),
                y: y.as_mut_ptr().cast(),
                zero_point: rounding.clamp.zero_point,
            });
        }
        count & !3
    } else {
        0
    };
    #[cfg(not(mixel_dsp))]
    let done = 0;
    for channel in done..count {
        let sum = (0..depth).fold(0i32, |sum, at| {
            let weight = weights.get(order.index(Depth::whole(depth), channel, at));
            sum.wrapping_add(x.get(at) as i32 * weight as i32)
        });
        y.set(channel, channels.finish(channel, sum, rounding.clamp));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_no_memory_holds_are_not_there() {
        let (bias, shift) = ([0; 4], [33; 4]);
        let channels = Channels { bias: In::new(&bias), multiplier: In::new(&bias), shift: In::new(&shift) };
        assert!(enough((32, 1), &channels, 8) && !enough((31, 1), &channels, 8));
        assert!(enough((64, 2), &channels, 8) && !enough((63, 2), &channels, 8));
        // Four times that, and eight times, wrap to 0.
        for power in [2, 3] {
            let depth = 1 << (usize::BITS - power);
            assert!(!enough((1 << 20, 1), &channels, depth) && !enough((1 << 20, 2), &channels, depth));
        }
    }
}
