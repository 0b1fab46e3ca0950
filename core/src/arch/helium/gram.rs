//! Products of the channels of two images, summed over positions, where they lie: the elements of a channel at eight
//! positions are gathered at once and lose their zero point as 16 bits.

use super::super::view::In;

/// Key channels that are multiplied with a query channel at once.
const KEYS: usize = 4;
/// Positions whose products, 255^2 each, add up to 31 bits.
const POSITIONS: usize = 1 << 15;

/// What [`products_of_four`] and [`products_of_one`] work on.
#[repr(C)]
struct Task {
    query: *const i8,
    key: *const i8,
    /// From a position to the next.
    step: usize,
    /// Positions.
    count: usize,
    /// What is added to the elements of each side.
    terms: [i32; 2],
    /// Products with the keys, and the query's square.
    sums: [i32; KEYS + 1],
}

/// Calls `add` with parts of the sums of every channel, by their numbers: those with the `width` key channels of its head, the
/// square of the query and that of the key. False, with nothing done, when rows are too long or not complete.
pub fn sums(
    [q, k]: [In<'_, i8>; 2],
    zeros: [i32; 2],
    [channels, width]: [usize; 2],
    mut add: impl FnMut(usize, usize, i32),
) -> bool {
    // Places of eight elements and three more are 16 bits.
    let fits = channels > 0 && channels <= 1 << 12 && width > 0 && channels.is_multiple_of(width);
    if !fits || q.len() != k.len() || !q.len().is_multiple_of(channels) {
        return false;
    }
    let [term_q, term_k] = zeros.map(|zero| -zero);
    let positions = q.len() / channels;
    for first in (0..positions).step_by(POSITIONS) {
        let count = POSITIONS.min(positions - first);
        let task = |(a, of_a, term_a), (b, of_b, term_b)| {
            let place = |x: In<'_, i8>, channel| x.as_ptr().wrapping_add(first * channels + channel);
            let (query, key, terms) = (place(a, of_a), place(b, of_b), [term_a, term_b]);
            Task { query, key, step: channels, count, terms, sums: [0; KEYS + 1] }
        };
        for channel in 0..channels {
            let (query, own) = ((q, channel, term_q), (k, channel, term_k));
            let head = channel / width * width;
            // SAFETY: all channels lie in the images at every position.
            unsafe {
                for partner in (0..width).step_by(KEYS) {
                    let mut task = task(query, (k, head + partner, term_k));
                    let keys = KEYS.min(width - partner);
                    if keys == KEYS {
                        products_of_four(&mut task);
                    } else {
                        for sum in 0..keys {
                            task.sums[sum] = products_of_one(&task);
                            task.key = task.key.wrapping_add(1);
                        }
                    }
                    (0..keys).for_each(|key| add(channel, partner + key, task.sums[key]));
                    if partner == 0 {
                        let [.., of_query] = task.sums;
                        add(channel, width, if keys == KEYS { of_query } else { square(&task) });
                    }
                }
                add(channel, width + 1, square(&task(own, own)));
            }
        }
    }
    true
}

/// Sets the sums of a query's products with four keys that lie next to each other, and with itself.
///
/// # Safety
/// Query and keys are valid for `count` reads, `step` apart; seven steps and three fit 16 bits.
#[unsafe(naked)]
unsafe extern "C" fn products_of_four(task: *mut Task) {
    // r1 query, r3 keys, r5 eight steps, r7 and r9 terms; r4, r6, r8, r10 and r12 sums; q4-q7 places.
    helium!(
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "ldrd r1, r3, [r0]",
        "ldrd r5, r2, [r0, #8]",
        "ldrd r7, r9, [r0, #16]",
        "movs r4, #0",
        "movs r6, #1",
        "vidup.u16 q4, r4, #1",
        "vmul.i16 q4, q4, r5",
        "vadd.i16 q5, q4, r6",
        "vadd.i16 q6, q5, r6",
        "vadd.i16 q7, q6, r6",
        "lsls r5, r5, #3",
        "movs r4, #0",
        "mov r6, r4",
        "mov r8, r4",
        "mov r10, r4",
        "mov r12, r4",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrb.s16 q0, [r1, q4]",
        "add r1, r5",
        "vadd.i16 q0, q0, r7",
        "vmladava.s16 r12, q0, q0",
        "vldrb.s16 q1, [r3, q4]",
        "vadd.i16 q1, q1, r9",
        "vmladava.s16 r4, q0, q1",
        "vldrb.s16 q1, [r3, q5]",
        "vadd.i16 q1, q1, r9",
        "vmladava.s16 r6, q0, q1",
        "vldrb.s16 q1, [r3, q6]",
        "vadd.i16 q1, q1, r9",
        "vmladava.s16 r8, q0, q1",
        "vldrb.s16 q1, [r3, q7]",
        "vadd.i16 q1, q1, r9",
        "vmladava.s16 r10, q0, q1",
        "add r3, r5",
        "letp lr, 2b",
        "3:",
        "strd r4, r6, [r0, #24]",
        "strd r8, r10, [r0, #32]",
        "str.w r12, [r0, #40]",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

/// The sum of a query's products with one key.
///
/// # Safety
/// As for [`products_of_four`].
#[unsafe(naked)]
unsafe extern "C" fn products_of_one(task: *const Task) -> i32 {
    helium!(
        "push {{r4-r9, lr}}",
        "ldrd r1, r3, [r0]",
        "ldrd r5, r2, [r0, #8]",
        "ldrd r7, r9, [r0, #16]",
        "movs r4, #0",
        "vidup.u16 q2, r4, #1",
        "vmul.i16 q2, q2, r5",
        "lsls r5, r5, #3",
        "movs r0, #0",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrb.s16 q0, [r1, q2]",
        "vldrb.s16 q1, [r3, q2]",
        "vadd.i16 q0, q0, r7",
        "vadd.i16 q1, q1, r9",
        "vmladava.s16 r0, q0, q1",
        "add r1, r5",
        "add r3, r5",
        "letp lr, 2b",
        "3:",
        "pop {{r4-r9, pc}}",
    )
}

/// The sum of a query's squares.
///
/// # Safety
/// As for [`products_of_four`].
#[unsafe(naked)]
unsafe extern "C" fn square(task: *const Task) -> i32 {
    helium!(
        "push {{r4, r5, r7, lr}}",
        "ldr r1, [r0]",
        "ldrd r5, r2, [r0, #8]",
        "ldr r7, [r0, #16]",
        "movs r4, #0",
        "vidup.u16 q2, r4, #1",
        "vmul.i16 q2, q2, r5",
        "lsls r5, r5, #3",
        "movs r0, #0",
        "wlstp.16 lr, r2, 3f",
        "2:",
        "vldrb.s16 q0, [r1, q2]",
        "vadd.i16 q0, q0, r7",
        "vmladava.s16 r0, q0, q0",
        "add r1, r5",
        "letp lr, 2b",
        "3:",
        "pop {{r4, r5, r7, pc}}",
    )
}
