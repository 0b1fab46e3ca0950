//! Moves of bytes, two loops at a time, for machines that have a shorter way than the common one.

#![allow(unsafe_code)]

#[cfg(all(mixel_dsp, not(mixel_helium)))]
use super::armv7em::{Blocks, Squares, blocks, blocks_turned, squares};
use super::view::{In, Out, span};

/// Two loops: `rows` times `inner` bytes.
#[derive(Clone, Copy)]
pub struct Plane {
    /// Iterations of the outer loop.
    pub rows: usize,
    /// Iterations of the inner loop.
    pub inner: usize,
    /// Bytes to move with every row: from where, to where.
    pub row_steps: [isize; 2],
    /// Bytes to move with every byte.
    pub steps: [isize; 2],
}

impl Plane {
    /// Whether a walk from `start` over operand `operand` stays below `len`.
    fn inside(&self, operand: usize, start: usize, len: usize) -> bool {
        let step = |steps: [isize; 2]| steps.into_iter().nth(operand).unwrap_or(0);
        let way = |count: usize, step: isize| (count as isize).saturating_sub(1).saturating_mul(step);
        let ways = [way(self.rows, step(self.row_steps)), way(self.inner, step(self.steps))];
        let (mut least, mut most) = (start as isize, start as isize);
        for way in ways {
            least = least.saturating_add(way.min(0));
            most = most.saturating_add(way.max(0));
        }
        least >= 0 && most < len as isize
    }
}

/// Copies the bytes of a plane that begins at `start` of `x` and of `y`, which share no memory; false, with nothing done, when
/// this machine has no shorter way or a place lies outside.
#[inline]
pub fn plane(x: In<'_, u8>, y: Out<'_, u8>, start: [usize; 2], plane: &Plane) -> bool {
    // Larger counts would be negative as steps.
    let countable = (plane.rows | plane.inner) <= isize::MAX as usize;
    if !cfg!(mixel_dsp) || !countable || plane.rows == 0 || plane.inner == 0 {
        return false;
    }
    let inside = plane.inside(0, start[0], x.len()) && plane.inside(1, start[1], y.len());
    #[cfg(mixel_helium)]
    let inside = inside && super::helium::moving::plane(x, y, start, plane);
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if inside {
        // SAFETY: every place lies within its window, and the windows share no memory.
        unsafe { copy(x.as_ptr().wrapping_add(start[0]), y.as_mut_ptr().wrapping_add(start[1]), plane) }
    }
    inside
}

/// The plane, without checks: runs of bytes in words, transposed ones four by four, others byte by byte.
///
/// # Safety
/// All places of the plane are valid for reads from `x` on and for writes from `y` on, and share no memory.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
unsafe fn copy(mut x: *const u8, mut y: *mut u8, plane: &Plane) {
    let &Plane { rows, inner, row_steps, steps } = plane;
    if rows.min(inner) >= 4 && (steps[0], row_steps[1]) == (1, 1) {
        // SAFETY: the caller's.
        return unsafe { transpose(x, y, plane) };
    }
    if rows.min(inner) >= 4 && (steps[1], row_steps[0]) == (1, 1) {
        let turned = Plane { rows: inner, inner: rows, row_steps: steps, steps: row_steps };
        // SAFETY: the caller's; the same places in another order.
        return unsafe { transpose(x, y, &turned) };
    }
    let (words, rest) = if steps == [1, 1] { (inner / 4, inner % 4) } else { (0, inner) };
    // SAFETY: the caller's.
    unsafe {
        match (words, rest) {
            (1, 0) => return copy_words::<1>(x.cast(), y.cast(), plane),
            (2, 0) => return copy_words::<2>(x.cast(), y.cast(), plane),
            _ => {}
        }
    }
    for _ in 0..rows {
        let (mut from, mut to) = (x, y);
        for _ in 0..words {
            // SAFETY: four of the row's bytes; these processors have words at any address.
            unsafe { to.cast::<u32>().write_unaligned(from.cast::<u32>().read_unaligned()) }
            (from, to) = (from.wrapping_add(4), to.wrapping_add(4));
        }
        for _ in 0..rest {
            // SAFETY: a byte of the row.
            unsafe { to.write(from.read()) }
            (from, to) = (from.wrapping_offset(steps[0]), to.wrapping_offset(steps[1]));
        }
        (x, y) = (x.wrapping_offset(row_steps[0]), y.wrapping_offset(row_steps[1]));
    }
}

/// A plane that is read along its rows and written across them.
///
/// # Safety
/// As for [`copy`]; bytes of a row follow each other in `x`, and its rows in `y`.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
unsafe fn transpose(x: *const u8, y: *mut u8, plane: &Plane) {
    let &Plane { rows, inner, row_steps: [down, _], steps: [_, across] } = plane;
    let (whole, long) = (rows / 4 * 4, inner / 4 * 4);
    let place = |row: usize, at: usize| {
        let from = x.wrapping_offset(row as isize * down).wrapping_add(at);
        (from, y.wrapping_add(row).wrapping_offset(at as isize * across))
    };
    // Squares of the longer loop follow each other.
    let by_rows = rows >= inner;
    let (strips, count) = if by_rows { (long, whole / 4) } else { (whole, long / 4) };
    let next = if by_rows { [4 * down, 4] } else { [4, 4 * across] };
    for strip in (0..strips).step_by(4) {
        let (from, to) = if by_rows { place(0, strip) } else { place(strip, 0) };
        // SAFETY: four bytes of four rows, on both sides, of which there are some; the caller's.
        unsafe { squares(&Squares { from, down, to, across, next, count }) }
    }
    for row in 0..rows {
        for at in if row < whole { long..inner } else { 0..inner } {
            let (from, to) = place(row, at);
            // SAFETY: a byte of the plane.
            unsafe { to.write(from.read()) }
        }
    }
}

/// A plane whose rows are runs of `N` words, as pixels of a few channels are.
///
/// # Safety
/// As for [`copy`].
#[cfg(all(mixel_dsp, not(mixel_helium)))]
unsafe fn copy_words<const N: usize>(mut x: *const [u32; N], mut y: *mut [u32; N], plane: &Plane) {
    for _ in 0..plane.rows {
        // SAFETY: the words of a row; these processors have words at any address.
        unsafe { y.write_unaligned(x.read_unaligned()) }
        (x, y) = (x.wrapping_byte_offset(plane.row_steps[0]), y.wrapping_byte_offset(plane.row_steps[1]));
    }
}

/// Blocks of two by two positions from `width` pixels of `16 * quads` bytes, which begin at byte `from` of `x`, to two rows, at bytes
/// `to` of `y`, which shares no memory with it, in positions `pitch` bytes apart. Byte `4 k + 2 i + j` of a pixel goes to row i, column j
/// of its block, channel k, if channels are `first`; else its first half is the block's part of the first row, in order.
/// False, with nothing done, when this machine has no shorter way or a place lies outside.
#[inline]
pub fn blocks_of_two(
    x: In<'_, u8>,
    y: Out<'_, u8>,
    (from, to): (usize, [usize; 2]),
    width: usize,
    (quads, pitch): (usize, usize),
    first: bool,
) -> bool {
    let input = width.saturating_mul(16 * quads);
    let output = span(width.saturating_mul(2), pitch, 4 * quads);
    let fits =
        |start: usize, bytes: usize, len: usize| start.checked_add(bytes).is_some_and(|end| end <= len);
    let inside = fits(from, input, x.len()) && to.iter().all(|&to| fits(to, output, y.len()));
    let inside = inside && width > 0 && quads > 0 && pitch >= 4 * quads;
    #[cfg(mixel_helium)]
    let inside = inside && super::helium::moving::near((quads, pitch));
    #[cfg(mixel_dsp)]
    if inside {
        let [top, bottom] = to.map(|to| y.as_mut_ptr().wrapping_add(to));
        let from = x.as_ptr().wrapping_add(from);
        // SAFETY: all places were found inside; for words at any address there are instructions that take them.
        unsafe {
            #[cfg(mixel_helium)]
            super::helium::moving::blocks_of_two(from, [top, bottom], width, (quads, pitch), first);
            #[cfg(not(mixel_helium))]
            {
                let work = Blocks { from, top, bottom, pitch, quads, count: width };
                if first { blocks_turned(&work) } else { blocks(&work) }
            }
        }
    }
    let _ = first;
    cfg!(mixel_dsp) && inside
}
