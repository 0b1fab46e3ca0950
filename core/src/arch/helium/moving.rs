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

/// Whether sixteen bytes of positions of so many quads, `pitch` bytes apart, lie within 256 bytes, and belong to whole pixels.
pub fn near((quads, pitch): (usize, usize)) -> bool {
    matches!((quads, pitch), (1, 4..=84) | (2, 8..=248))
}

/// See [`super::super::moving::blocks_of_two`].
///
/// # Safety
/// Positions are [`near`] each other, `x` is valid for reads of all pixels, and the rows are for writes of their positions.
pub unsafe fn blocks_of_two(
    x: *const u8,
    [top, bottom]: [*mut u8; 2],
    width: usize,
    (quads, pitch): (usize, usize),
    first: bool,
) {
    let (pixel, two) = (8 * quads, quads / 2);
    let from = match (first, two) {
        (false, 0) => &const { gathered(1, false) },
        (false, _) => &const { gathered(2, false) },
        (true, 0) => &const { gathered(1, true) },
        (true, _) => &const { gathered(2, true) },
    };
    // The four bytes of each word lie together.
    let to = [0, 1, 2, 3].map(|word| ((word >> two) * pitch + (word & two) * 4) as u32 * 0x0101_0101);
    let to = to.map(|places| places.wrapping_add(0x0302_0100));
    let steps = [if first { 2 } else { pixel }, (4 >> two) * pitch];
    // SAFETY: the caller's.
    unsafe { blocks(x, top, bottom, width * pixel, &Places { from, to: &to }, &steps) }
}

/// Where sixteen bytes of a row of results come from: two pixels, or one of twice the size.
const fn gathered(quads: usize, first: bool) -> [u8; 16] {
    let (pixel, channels) = (8 * quads, 4 * quads);
    let (mut places, mut at) = ([0; 16], 0);
    while at < 16 {
        let (column, channel) = (at % pixel / channels, at % channels);
        let place = if first { 4 * channel + column } else { at % pixel };
        places[at] = (at / pixel * 2 * pixel + place) as u8;
        at += 1;
    }
    places
}

/// Where sixteen bytes come from, and where they go.
#[repr(C)]
struct Places<'a> {
    from: &'a [u8; 16],
    to: &'a [u32; 4],
}

/// Gathers `count` bytes for each of two rows: places of sixteen of the first lie within 32 bytes, those of the second `steps[0]` further;
/// and scatters them to places within 256 bytes, those of the next sixteen `steps[1]` further.
///
/// # Safety
/// `x` is valid for reads of twice as many bytes, `top` and `bottom` for `count` writes each.
#[unsafe(naked)]
unsafe extern "C" fn blocks(
    x: *const u8,
    top: *mut u8,
    bottom: *mut u8,
    count: usize,
    places: &Places<'_>,
    steps: &[usize; 2],
) {
    helium!(
        "push {{r4, lr}}",
        "ldr r12, [sp, #8]",
        "ldrd r4, r12, [r12]",
        "vldrb.u8 q1, [r4]",
        "vldrw.u32 q3, [r12]",
        "ldr r4, [sp, #12]",
        "ldr r12, [r4]",
        "vadd.i8 q2, q1, r12",
        "ldr r12, [r4, #4]",
        "wlstp.8 lr, r3, 3f",
        "2:",
        "vldrb.u8 q0, [r0, q1]",
        "vstrb.8 q0, [r1, q3]",
        "vldrb.u8 q0, [r0, q2]",
        "vstrb.8 q0, [r2, q3]",
        "adds r0, #32",
        "add r1, r12",
        "add r2, r12",
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
