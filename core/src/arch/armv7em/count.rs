//! Events counted at places from tables.

/// What [`count`] works on, in this order.
#[repr(C)]
pub(in crate::arch) struct Count {
    /// The place of the first event, and where that of one more than the last would be; at least one event.
    pub first: *const u32,
    pub end: *const u32,
    /// The last column of the table, and in the upper half the last row.
    pub largest: u32,
    pub columns: *const u32,
    pub rows: *const u32,
    pub counts: *mut u8,
    /// Counts.
    pub len: usize,
    /// Counts that share a mark, not zero.
    pub size: usize,
    pub marks: *mut u16,
}

/// One event; goes on at the first label if it has no place, at the second if its count is not 0.
macro_rules! one_event {
    ($lost:literal, $seen:literal) => {
        concat!(
            "ldr r12, [r1], #8
        uqsub16 r0, r12, r3
        cbnz r0, ",
            $lost,
            "
        uxth r11, r12
        lsr r12, #16
        ldr r11, [r4, r11, lsl #2]
        ldr r12, [r5, r12, lsl #2]
        add r11, r12
        cmp r11, r7
        bhs ",
            $lost,
            "
        ldrb r0, [r6, r11]
        cbnz r0, ",
            $seen,
            "
        strb r10, [r6, r11]
        udiv r11, r11, r8
        strh r10, [r9, r11, lsl #1]"
        )
    };
}

/// Adds 1 to the count of each event, 255 at most, in 15 or 16 instructions; sets the mark where a count was 0, in 16 or 17. Gives the
/// number of events without a place.
///
/// # Safety
/// The events, the tables up to the largest index and the counts are there, and a mark for every `size` counts.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn count(work: &Count) -> u32 {
    // r1 place, r2 end, r3 largest, r4 columns, r5 rows, r6 counts, r7 len, r8 size, r9 marks, r10 one, lr lost; r0, r11, r12 for a
    // moment. Two events a turn; an odd number begins with the second.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "ldm r0, {{r1-r9}}",
        "mov r10, #1",
        "mov lr, #0",
        "sub r0, r2, r1",
        "tst r0, #8",
        "bne 3f",
        "2:",
        one_event!("5f", "7f"),
        "3:",
        one_event!("6f", "8f"),
        "4:",
        "cmp r1, r2",
        "bne 2b",
        "mov r0, lr",
        "pop {{r4-r11, pc}}",
        "5:",
        "add lr, #1",
        "b 3b",
        "6:",
        "add lr, #1",
        "b 4b",
        "7:",
        "uqadd8 r0, r0, r10",
        "strb r0, [r6, r11]",
        "b 3b",
        "8:",
        "uqadd8 r0, r0, r10",
        "strb r0, [r6, r11]",
        "cmp r1, r2",
        "bne 2b",
        "mov r0, lr",
        "pop {{r4-r11, pc}}",
    )
}
