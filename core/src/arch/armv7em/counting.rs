//! Events of a sparse EVT3.0 stream, counted where they are read.

/// What [`count_words`] works on, and where it came to. It counts on the order.
#[repr(C)]
pub(in crate::arch) struct Counting {
    /// The next word.
    pub at: *const [u8; 2],
    /// Where the last word with five behind it lies; in front of `at` if there is none.
    pub last: usize,
    /// The largest row, and in the upper half the largest column; at most what 11 bits hold.
    pub largest: u32,
    /// The TIME_HIGH that changes nothing; more than any word if none.
    pub high_word: u32,
    pub counts: *mut u8,
    /// How far the low time may still rise, at most 12 bits.
    pub rest: u32,
    /// The TIME_LOW up to which it may.
    pub latest_low: u32,
    pub columns: *const u32,
    pub rows: *const u32,
    /// Events, at first 0.
    pub events: u32,
    /// Counts that share a mark, not zero.
    pub size: usize,
    pub marks: *mut u16,
    /// Behind the last word.
    pub end: *const [u8; 2],
    /// Numbers of the words of each kind, but for those of messages.
    pub kinds: *mut [u32; 16],
    /// Messages, which are OTHERS CONTINUED_12 CONTINUED_12 CONTINUED_4, and events without a place; at first 0.
    pub messages: u32,
    pub outside: u32,
}

macro_rules! count_words {
    ($(#[$doc:meta])* $name:ident, $outside:literal) => {
        $(#[$doc])*
        #[unsafe(naked)]
        pub(in crate::arch) unsafe extern "C" fn $name(run: *mut Counting) {
            // r1 at, r3 last, r4 largest, r5 high_word, r6 counts, r7 rest, r8 latest_low, r9 columns, r10 rows, r11
            // events; lr 1, and in the upper half the bytes of two entries; r0, r2, r12 for a moment. On the stack
            // size, marks, end, kinds, messages, a place to come back to, run.
            core::arch::naked_asm!(
                cpu!(),
                "push {{r0, r4-r11, lr}}",
                "ldm r0, {{r1, r3-r11}}",
                "ldr r2, [r0, #56]",
                "push {{r2, lr}}",
                "ldrd r2, r12, [r0, #48]",
                "push {{r2, r12}}",
                "ldrd r2, r12, [r0, #40]",
                "push {{r2, r12}}",
                "movw lr, #1",
                "movt lr, #8",
                // With its polarity goes the kind of ADDR_X, which is two entries twice.
                "subs r10, #16",
                "cmp r1, r3",
                "bhi 15f",
                "3:",
                "ldrh r0, [r1], #2",
                "cmp r0, r5",
                "beq 8f",
                "4:",
                "sub r12, r8, r0",
                "cmp r12, r7",
                "bhi 9f",
                "mov r7, r12",
                "ldr r0, [r1], #4",
                // An event if both places are on the sensor when their kinds are taken away, and polarity and origin.
                "5:",
                "eor r12, r0, #0x20000000",
                "bic r12, #0x08000800",
                "uqsub16 r2, r12, r4",
                "cbnz r2, 11f",
                "lsrs r2, r12, #16",
                "ldr r2, [r9, r2, lsl #2]",
                "smlabt r12, r12, lr, r10",
                "lsrs r0, #27",
                "ldr r12, [r12, r0, lsl #2]",
                "adds r11, #1",
                "adds r2, r12",
                $outside,
                "ldrb r0, [r6, r2]",
                "cbnz r0, 6f",
                "strb lr, [r6, r2]",
                "ldrd r0, r12, [sp]",
                "udiv r2, r2, r0",
                "strh lr, [r12, r2, lsl #1]",
                "cmp r1, r3",
                "bls 3b",
                "b 15f",
                "6:",
                "uqadd8 r0, r0, lr",
                "strb r0, [r6, r2]",
                "cmp r1, r3",
                "bls 3b",
                "b 15f",
                // Outside.
                "7:",
                "ldr r0, [sp, #24]",
                "ldr r2, [r0, #60]",
                "adds r2, #1",
                "str r2, [r0, #60]",
                "cmp r1, r3",
                "bls 3b",
                "b 15f",
                // Up to three TIME_HIGH, for which there is room in front of an event.
                "8:",
                "ldrh r0, [r1], #2",
                "cmp r0, r5",
                "bne 4b",
                "ldrh r0, [r1], #2",
                "cmp r0, r5",
                "bne 4b",
                "cmp r1, r3",
                "bls 3b",
                "b 15f",
                // No low time: a row, or a word to be skipped.
                "9:",
                "cmp r0, #0xD000",
                "bhs 10f",
                "ldr r0, [r1, #-2]",
                "adds r1, #2",
                "b 5b",
                "10:",
                "adds r1, #2",
                // No event: messages, as long as there are so many words.
                "11:",
                "subs r1, #4",
                "str r1, [sp, #20]",
                "movw r2, #0xEF00",
                "movt r2, #0xF700",
                "12:",
                "cmp r1, r3",
                "bhi 13f",
                "ldr r0, [r1]",
                "ldr r12, [r1, #4]",
                // The kinds of four words side by side.
                "and r0, #0xF000F000",
                "and r12, #0xF000F000",
                "orr r0, r0, r12, lsr #4",
                "cmp r0, r2",
                "bne 13f",
                "adds r1, #8",
                "ldrh r0, [r1]",
                "cmp r0, #0xD000",
                "bhs 12b",
                "ldr r12, [sp, #20]",
                "subs r12, r1, r12",
                "ldr r2, [sp, #16]",
                "add r2, r2, r12, lsr #3",
                "str r2, [sp, #16]",
                "cmp r1, r3",
                "bls 3b",
                "b 15f",
                "13:",
                "ldr r12, [sp, #20]",
                "subs r12, r1, r12",
                "ldr r2, [sp, #16]",
                "add r2, r2, r12, lsr #3",
                "str r2, [sp, #16]",
                // A single word to be skipped, or a TIME_HIGH behind a low time.
                "ldrh r2, [r1]",
                "lsrs r0, r2, #12",
                "movw r12, #0xE080",
                "lsr r12, r0",
                "lsls r12, #31",
                "bne 14f",
                "cmp r2, r5",
                "bne 17f",
                "adds r1, #2",
                "cmp r1, r3",
                "bls 3b",
                "b 15f",
                "14:",
                "ldr r2, [sp, #12]",
                "ldr r12, [r2, r0, lsl #2]",
                "adds r12, #1",
                "it cc",
                "strcc r12, [r2, r0, lsl #2]",
                "adds r1, #2",
                "cmp r1, r3",
                "bls 3b",
                "b 15f",
                // Less than six words: one at a time, and an event if they end with it.
                "15:",
                "ldr r2, [sp, #8]",
                "16:",
                "cmp r1, r2",
                "bhs 17f",
                "ldrh r0, [r1], #2",
                "sub r12, r8, r0",
                "cmp r12, r7",
                "itt ls",
                "movls r7, r12",
                "bls 16b",
                "cmp r0, r5",
                "beq 16b",
                "cmp r1, r2",
                "blo 9b",
                "cmp r0, #0xD000",
                "bhs 10b",
                "subs r1, #2",
                "17:",
                "ldr r2, [sp, #16]",
                "ldr r0, [sp, #24]",
                "str r1, [r0]",
                "str r7, [r0, #20]",
                "str r11, [r0, #36]",
                "str r2, [r0, #56]",
                "add sp, #28",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

count_words!(
    /// Takes TIME_LOW ADDR_Y ADDR_X and counts the event in 26 instructions, 28 if it is the first of its count, whose
    /// mark it sets; in 3 more without the time, and in 3 more for each TIME_HIGH that is repeated; a message in 13. Ends
    /// at the first word that is none of these and not to be skipped, and at an ADDR_Y that is the last word.
    ///
    /// # Safety
    /// The words from `at` to `end` can be read, `last` is six words before `end` or less, the tables up to `largest` are
    /// there, a count for every sum of their entries that is not negative, and a mark for every `size` of these counts.
    count_words,
    "bmi 7f"
);

count_words!(
    /// The same where every pixel has a place, in one instruction less.
    ///
    /// # Safety
    /// As for [`count_words`], and no sum is negative.
    count_words_inside,
    ""
);
