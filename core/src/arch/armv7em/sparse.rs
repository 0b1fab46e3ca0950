//! Events of a sparse EVT3.0 stream.

use crate::events::Event;

/// What [`sparse`] works on, and where it came to. It counts on the order.
#[repr(C)]
pub(in crate::arch) struct Sparse {
    /// The next word.
    pub at: *const [u8; 2],
    /// Where the last word with three behind it lies; in front of `at` if there is none.
    pub last: usize,
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
    /// Numbers of the words of each kind, but for those of messages.
    pub counts: *mut [u32; 16],
    /// Messages: OTHERS CONTINUED_12 CONTINUED_12 CONTINUED_4.
    pub messages: u32,
}

/// Takes TIME_LOW ADDR_Y ADDR_X in 18 instructions, in 3 more without the time, in 6 more behind a repeated TIME_HIGH; a message in
/// 11. Ends at the first word that is none of these and not to be skipped, and at an ADDR_Y that is the last word.
///
/// # Safety
/// The words from `at` to `end` can be read, `last` is three words before `end`, and for every two of the words there is a slot.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn sparse(run: *mut Sparse) {
    // r1 at, r2 last, r3 slot, r4 largest, r5 high_word, r6 latest, r7 rest; r8 the largest TIME_LOW, lr the kinds of a message, folded;
    // r9 word, r10 ADDR_Y and ADDR_X, r11 and r12 time and place, r0 and others for a moment.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r0, r4-r11, lr}}",
        "ldm r0, {{r1-r7}}",
        "movw r8, #0x6FFF",
        "movw lr, #0xEF00",
        "movt lr, #0xF700",
        "2:",
        "cmp r1, r2",
        "bhi 12f",
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
        "b 12f",
        // No low time: one TIME_HIGH, for which there is room in front of an event.
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
        // No event: messages.
        "8:",
        "subs r1, #4",
        "ldr r0, [sp]",
        "ldr r12, [r0, #36]",
        "cmp r1, r2",
        "bhi 10f",
        "9:",
        "ldr r9, [r1]",
        "ldr r11, [r1, #4]",
        // The kinds of four words side by side.
        "and r9, #0xF000F000",
        "and r11, #0xF000F000",
        "orr r9, r9, r11, lsr #4",
        "cmp r9, lr",
        "bne 10f",
        "adds r12, #1",
        "adds r1, #8",
        "cmp r1, r2",
        "bls 9b",
        "str r12, [r0, #36]",
        "b 12f",
        // A single word to be skipped, or what comes behind the messages, or a TIME_HIGH behind a low time.
        "10:",
        "ldrh r9, [r1]",
        "lsr r10, r9, #12",
        "movw r11, #0xE080",
        "lsr r11, r10",
        "lsls r11, #31",
        "bne 11f",
        "ldr r11, [r0, #36]",
        "str r12, [r0, #36]",
        "cmp r11, r12",
        "bne 3b",
        "cmp r9, r5",
        "bne 14f",
        "adds r1, #2",
        "b 2b",
        "11:",
        "str r12, [r0, #36]",
        "ldr r11, [r0, #32]",
        "ldr r12, [r11, r10, lsl #2]",
        "adds r12, #1",
        "it cc",
        "strcc r12, [r11, r10, lsl #2]",
        "adds r1, #2",
        "b 2b",
        // Less than four words: one at a time, and an event if they end with it.
        "12:",
        "ldr r0, [sp]",
        "ldr r10, [r0, #28]",
        "13:",
        "cmp r1, r10",
        "bhi 14f",
        "ldrh r9, [r1], #2",
        "sub r12, r8, r9",
        "cmp r12, r7",
        "itt ls",
        "movls r7, r12",
        "bls 13b",
        "cmp r9, r5",
        "beq 13b",
        "cmp r1, r10",
        "bls 7b",
        "subs r1, #2",
        "14:",
        "ldr r0, [sp]",
        "stm r0, {{r1-r7}}",
        "pop {{r0, r4-r11, pc}}",
    )
}
