//! Image rows as columns: what a row of outputs sees, column by column and in each row by row of the window, so that the
//! window of every pixel is one run of bytes, and that of its neighbour begins a few columns further.

use super::super::view::{In, Out, span};
use super::runs;

/// Bytes of a pixel, at most, of which one store brings some to their places.
pub(super) const NARROW: usize = 8;
/// Bytes of a vector.
const VECTOR: usize = 16;

/// How the pixels of a row go to their places.
#[repr(C)]
pub struct Spread {
    /// Bytes of a pixel, and from a pixel's place to the next.
    depth: usize,
    step: usize,
    /// Of narrow pixels: bytes of those that a vector holds, and from their places to the next ones; and where each byte of a
    /// vector goes.
    lanes: usize,
    reach: usize,
    places: [u8; VECTOR],
}

impl Spread {
    /// Pixels of `depth` bytes to places `step` bytes apart.
    pub fn new(depth: usize, step: usize) -> Self {
        let mut spread = Self { depth, step, lanes: 0, reach: 0, places: [0; VECTOR] };
        let Some(most) = VECTOR.checked_div(depth).filter(|_| depth <= NARROW) else { return spread };
        // Places are 8 bits.
        let pixels = most.min(1 + (u8::MAX as usize + 1 - depth).checked_div(step).unwrap_or(0));
        (spread.lanes, spread.reach) = (pixels * depth, pixels * step);
        let (mut pixel, mut within) = (0, 0);
        for place in spread.places.iter_mut().take(spread.lanes) {
            *place = (pixel + within) as u8;
            within += 1;
            if within == depth {
                (pixel, within) = (pixel + step, 0);
            }
        }
        spread
    }

    /// Spreads the pixels of `row` over `to`; what does not fit stays away.
    pub fn row(&self, row: In<'_, i8>, to: Out<'_, i8>) {
        let pixels = row.len().checked_div(self.depth).unwrap_or(0);
        let fits = pixels > 0 && span(pixels, self.step, self.depth) <= to.len();
        if !fits || self.step < self.depth {
            return;
        }
        let (from, to) = (row.as_ptr(), to.as_mut_ptr());
        // SAFETY: rows and places were found long enough; `lanes` is not 0 for narrow pixels, whose places lie below `reach`.
        unsafe {
            if self.depth <= NARROW {
                let bytes = pixels * self.depth;
                let whole = bytes / self.lanes;
                narrow(from, to, self, &[whole, bytes - whole * self.lanes]);
            } else {
                wide(from, to, self, pixels);
            }
        }
    }
}

/// Moves `len` bytes of every column up by `channels`: the rows of a window to those of the output below. Columns are `step` bytes.
pub fn slide(columns: Out<'_, i8>, [channels, len]: [usize; 2], step: usize) {
    let count = columns.len().checked_div(step).unwrap_or(0);
    if count > 0 && channels + len <= step {
        let (from, to) = (columns.reader().as_ptr().wrapping_add(channels), columns.as_mut_ptr());
        // SAFETY: the bytes lie in their columns, places in front of them.
        unsafe { runs::copy(from, to, len, count, &[step; 2]) }
    }
}

/// Sets all bytes.
pub fn fill(bytes: Out<'_, i8>, value: i8) {
    // SAFETY: the window has so many bytes.
    unsafe { runs::fill(bytes.as_mut_ptr(), bytes.len(), value as i32) }
}

/// Spreads vectors of whole pixels, and the bytes behind them.
///
/// # Safety
/// `from` is valid for `whole` times `lanes` reads and those of the rest (`counts`), `to` for writes at their places.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn narrow(from: *const i8, to: *mut i8, spread: &Spread, counts: &[usize; 2]) {
    // r4 lanes, r5 reach, r6 whole vectors, r12 bytes behind them; q0 values, q1 places.
    helium!(
        "push {{r4-r6, lr}}",
        "ldrd r4, r5, [r2, #8]",
        "vldrb.u8 q1, [r2, #16]",
        "ldrd r6, r12, [r3]",
        "vctp.8 r4",
        "wls lr, r6, 4f",
        "cmp r4, #16",
        "beq 5f",
        "3:",
        "vpstt",
        "vldrbt.u8 q0, [r0]",
        "vstrbt.8 q0, [r1, q1]",
        "add r0, r4",
        "add r1, r5",
        "le lr, 3b",
        "b 4f",
        "5:",
        "vldrb.u8 q0, [r0], #16",
        "vstrb.8 q0, [r1, q1]",
        "add r1, r5",
        "le lr, 5b",
        "4:",
        "vctp.8 r12",
        "vpstt",
        "vldrbt.u8 q0, [r0]",
        "vstrbt.8 q0, [r1, q1]",
        "pop {{r4-r6, pc}}",
    )
}

/// Spreads `pixels` pixels, 16 bytes of all of them before the next 16.
///
/// # Safety
/// `from` is valid for reads of so many pixels, `to` for writes at their places.
#[cfg(mixel_helium)]
#[unsafe(naked)]
unsafe extern "C" fn wide(from: *const i8, to: *mut i8, spread: &Spread, pixels: usize) {
    // r2 bytes left of a pixel, r4 depth, r5 step, r6 pixel, r7 place; q0 values.
    helium!(
        "push {{r4-r7, lr}}",
        "ldrd r4, r5, [r2]",
        "mov r2, r4",
        "2:",
        "vctp.8 r2",
        "mov r6, r0",
        "mov r7, r1",
        "dls lr, r3",
        "3:",
        "vpstt",
        "vldrbt.u8 q0, [r6]",
        "vstrbt.8 q0, [r7]",
        "add r6, r4",
        "add r7, r5",
        "le lr, 3b",
        "adds r0, #16",
        "adds r1, #16",
        "subs r2, #16",
        "bgt 2b",
        "pop {{r4-r7, pc}}",
    )
}

#[cfg(not(mixel_helium))]
unsafe fn narrow(from: *const i8, to: *mut i8, spread: &Spread, &[whole, rest]: &[usize; 2]) {
    for vector in 0..=whole {
        for lane in 0..if vector < whole { spread.lanes } else { rest } {
            let place = spread.places.get(lane).copied().unwrap_or(0) as usize;
            // SAFETY: the caller's.
            unsafe { *to.add(vector * spread.reach + place) = *from.add(vector * spread.lanes + lane) };
        }
    }
}

#[cfg(not(mixel_helium))]
unsafe fn wide(from: *const i8, to: *mut i8, spread: &Spread, pixels: usize) {
    for pixel in 0..pixels {
        let (from, to) = (from.wrapping_add(pixel * spread.depth), to.wrapping_add(pixel * spread.step));
        // SAFETY: the caller's.
        unsafe { to.copy_from_nonoverlapping(from, spread.depth) };
    }
}
