//! Events of a sparse EVT3.0 stream.

use crate::events::Event;

/// What [`sparse`] works on, and where it came to. It counts on the order.
#[repr(C)]
pub(in crate::arch) struct Sparse {
    /// The next word.
    pub at: *const [u8; 2],
    /// The last word with three behind it; in front of `at` if there is none.
    pub last: *const [u8; 2],
    /// Where the next event goes.
    pub slot: *mut Event,
    /// The largest row, and in the upper half the largest column; at most what 11 bits hold.
    pub largest: u32,
    /// The TIME_HIGH that changes nothing; more than any word if none.
    pub high_word: u32,
    /// The last microsecond of this TIME_HIGH.
    pub latest: u32,
    /// How far the low time may still rise, at most 12 bits.
    pub rest: u32,
    /// The last word.
    pub end: *const [u8; 2],
    /// Numbers of the words of each kind.
    pub counts: *mut [u32; 16],
}

/// Takes TIME_LOW ADDR_Y ADDR_X in 18 instructions, in 3 more without the time, in 6 more behind a repeated TIME_HIGH; a word to be
/// skipped in 11. Ends at the first word that is none of these, or that is an ADDR_Y at the end.
///
/// # Safety
/// The words from `at` to `end` can be read, `last` is three before `end`, and half as many events as these are words can be written
/// from `slot` on.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn sparse(run: *mut Sparse) {
    // r1 at, r2 last, r3 slot, r4 largest, r5 high_word, r6 latest, r7 rest; r8 the last low time, lr kinds to be skipped; r9 word,
    // r10 ADDR_Y and ADDR_X, r11 place; r0, r12 for a moment.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r0, r4-r11, lr}}",
        "ldm r0, {{r1-r7}}",
        "movw r8, #0x6FFF",
        "movw lr, #0xE080",
        "2:",
        "cmp r1, r2",
        "bhi 9f",
        "3:",
        "ldrh r9, [r1], #2",
        "sub r12, r8, r9",
        "cmp r12, r7",
        "bhi 6f",
        "4:",
        "mov r7, r12",
        "ldr r10, [r1], #4",
        // An event if both places are on the sensor when their kinds are taken away, and polarity and origin.
        "5:",
        "eor r11, r10, #0x20000000",
        "bic r11, #0x08000800",
        "uqsub16 r0, r11, r4",
        "cbnz r0, 8f",
        "lsr r12, r11, #16",
        "orr r12, r12, r11, lsl #17",
        "lsr r10, #27",
        "bfi r12, r10, #16, #1",
        "sub r11, r6, r7",
        "strd r11, r12, [r3], #8",
        "cmp r1, r2",
        "bls 3b",
        "b 9f",
        // Not a low time: one TIME_HIGH, for which there is room in front of an event.
        "6:",
        "cmp r9, r5",
        "bne 7f",
        "ldrh r9, [r1], #2",
        "sub r12, r8, r9",
        "cmp r12, r7",
        "bls 4b",
        "cmp r9, r5",
        "beq 2b",
        "7:",
        "ldr r10, [r1, #-2]",
        "adds r1, #2",
        "b 5b",
        // No event.
        "8:",
        "subs r1, #4",
        "uxth r9, r10",
        "cmp r9, r5",
        "itt eq",
        "addeq r1, #2",
        "beq 2b",
        "ldr r0, [sp]",
        "ldrd r10, r11, [r0, #28]",
        "lsr r12, r9, #12",
        "lsr r0, lr, r12",
        "lsls r0, #31",
        "beq 13f",
        // Skipped words, up to one that is not.
        "10:",
        "ldr r0, [r11, r12, lsl #2]",
        "adds r0, #1",
        "it cc",
        "strcc r0, [r11, r12, lsl #2]",
        "cmp r1, r10",
        "beq 11f",
        "ldrh r9, [r1, #2]!",
        "lsr r12, r9, #12",
        "lsr r0, lr, r12",
        "lsls r0, #31",
        "bne 10b",
        "b 2b",
        "11:",
        "adds r1, #2",
        "b 13f",
        // Less than four words: one at a time, and an event if they end with it.
        "9:",
        "ldr r0, [sp]",
        "ldr r10, [r0, #28]",
        "12:",
        "cmp r1, r10",
        "bhi 13f",
        "ldrh r9, [r1], #2",
        "sub r12, r8, r9",
        "cmp r12, r7",
        "itt ls",
        "movls r7, r12",
        "bls 12b",
        "cmp r9, r5",
        "beq 12b",
        "cmp r1, r10",
        "bls 7b",
        "subs r1, #2",
        "13:",
        "ldr r0, [sp]",
        "stm r0, {{r1-r7}}",
        "pop {{r0, r4-r11, pc}}",
    )
}
