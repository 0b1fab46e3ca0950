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
        uxth r10, r12
        lsr r12, #16
        ldr r10, [r4, r10, lsl #2]
        ldr r12, [r5, r12, lsl #2]
        adds r10, r12
        bmi ",
            $lost,
            "
        ldrb r0, [r6, r10]
        cbnz r0, ",
            $seen,
            "
        strb r9, [r6, r10]
        udiv r10, r10, r7
        strh r9, [r8, r10, lsl #1]"
        )
    };
}

/// Adds 1 to the count of each event, 255 at most, in 14 or 15 instructions; sets the mark where a count was 0, in 15
/// or 16. Gives the number of events without a place.
///
/// # Safety
/// The events and the tables up to the largest index are there, a count for every sum of entries that is not negative, and a mark for
/// every `size` of these counts.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn count(work: &Count) -> u32 {
    // r1 place, r2 end, r3 largest, r4 columns, r5 rows, r6 counts, r7 size, r8 marks, r9 one, lr lost; r0, r10, r12
    // for a moment. Two events a turn; an odd number begins with the second.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r10, lr}}",
        "ldm r0, {{r1-r8}}",
        "mov r9, #1",
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
        "pop {{r4-r10, pc}}",
        "5:",
        "add lr, #1",
        "b 3b",
        "6:",
        "add lr, #1",
        "b 4b",
        "7:",
        "uqadd8 r0, r0, r9",
        "strb r0, [r6, r10]",
        "b 3b",
        "8:",
        "uqadd8 r0, r0, r9",
        "strb r0, [r6, r10]",
        "cmp r1, r2",
        "bne 2b",
        "mov r0, lr",
        "pop {{r4-r10, pc}}",
    )
}
