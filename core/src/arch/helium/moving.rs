//! Elements from one place to another.

use super::super::moving::Plane;
use super::super::view::{In, Out};
use super::columns::{NARROW, Spread};
use super::runs;

/// See [`super::super::moving::plane`]; both ends of both walks were found inside.
pub fn plane(x: In<'_, u8>, y: Out<'_, u8>, [from, to]: [usize; 2], plane: &Plane) -> bool {
    let Plane { mut rows, mut inner, mut row_steps, mut steps } = *plane;
    // The longer loop is the inner one, if it is one over neighbours that goes some bytes at a time.
    let swift = |steps: [isize; 2]| matches!(steps, [1, 2..=0xff] | [0..=0x1fff, 1]);
    if rows > inner && steps != [1, 1] && swift(row_steps) {
        (rows, inner, row_steps, steps) = (inner, rows, steps, row_steps);
    }
    let (x, y): (In<'_, i8>, Out<'_, i8>) = (x.window(from, x.len()).cast(), y.window(to, y.len()).cast());
    let (mut from, mut to) = (x.as_ptr(), y.as_mut_ptr());
    match (steps, row_steps) {
        // Short runs that lie next to each other, or single bytes, some of them in a vector.
        ([1, 1], [run, step]) if run == inner as isize && inner <= NARROW && step >= run => {
            Spread::new(inner, step as usize).row(x.window(0, rows * inner), y);
        }
        ([1, step @ 2..=0xff], [0..=isize::MAX, 0..=isize::MAX]) => {
            let spread = Spread::new(1, step as usize);
            for row in 0..rows {
                let [from, to] = row_steps.map(|step| row * step as usize);
                spread.row(x.window(from, inner), y.window(to, y.len()));
            }
        }
        ([1, 1], _) => {
            let steps = row_steps.map(|step| step as usize);
            // SAFETY: all runs lie in their windows, which do not share memory.
            unsafe { runs::copy(from, to, inner, rows, &steps) }
        }
        // Places of eight bytes are 16 bits.
        ([step @ 0..=0x1fff, 1], _) => {
            for _ in 0..rows {
                // SAFETY: the row lies in both windows.
                unsafe { gather(from, to, inner, step as usize) }
                (from, to) = (from.wrapping_offset(row_steps[0]), to.wrapping_offset(row_steps[1]));
            }
        }
        _ => return false,
    }
    true
}

/// See [`super::super::moving::blocks_of_two`]; one or two quads, and all places were found inside.
pub fn blocks_of_two(x: *const u8, [top, bottom]: [*mut u8; 2], width: usize, quads: usize, first: bool) {
    // Sixteen bytes of a row of results come from two pixels, or from one of twice the size.
    let (pixel, channels) = (8 * quads, 4 * quads);
    let places = core::array::from_fn(|at| {
        let (column, channel) = (at % pixel / channels, at % channels);
        (at / pixel * 2 * pixel + if first { 4 * channel + column } else { at % pixel }) as u8
    });
    let second = if first { 2 } else { pixel as u8 };
    // SAFETY: the caller's.
    unsafe { blocks(x, top, bottom, width * pixel, &places, second) }
}

/// Gathers `count` bytes for each of two rows: places of sixteen of the first lie within 32 bytes, those of the second `second` further.
///
/// # Safety
/// `x` is valid for reads of twice as many bytes, `top` and `bottom` for `count` writes each.
#[unsafe(naked)]
unsafe extern "C" fn blocks(
    x: *const u8,
    top: *mut u8,
    bottom: *mut u8,
    count: usize,
    places: &[u8; 16],
    second: u8,
) {
    helium!(
        "push {{r4, lr}}",
        "ldr r4, [sp, #8]",
        "vldrb.u8 q1, [r4]",
        "ldr r4, [sp, #12]",
        "vadd.i8 q2, q1, r4",
        "wlstp.8 lr, r3, 3f",
        "2:",
        "vldrb.u8 q0, [r0, q1]",
        "vstrb.8 q0, [r1], #16",
        "vldrb.u8 q0, [r0, q2]",
        "vstrb.8 q0, [r2], #16",
        "adds r0, #32",
        "letp lr, 2b",
        "3:",
        "pop {{r4, pc}}",
    )
}

/// Copies `count` bytes that lie `step` apart to one run.
///
/// # Safety
/// `from` is valid for reads of the bytes, `to` for `count` writes; eight steps fit 16 bits.
#[unsafe(naked)]
unsafe extern "C" fn gather(from: *const i8, to: *mut i8, count: usize, step: usize) {
    helium!(
        "push {{r4, lr}}",
        "movs r4, #0",
        "vidup.u16 q1, r4, #1",
        "vmul.i16 q1, q1, r3",
        "lsls r3, r3, #3",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrb.u16 q0, [r0, q1]",
        "add r0, r3",
        "vstrb.16 q0, [r1], #8",
        "letp lr, 2b",
        "3:",
        "pop {{r4, pc}}",
    )
}
