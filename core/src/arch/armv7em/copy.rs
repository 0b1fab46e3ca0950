//! Bytes from one place to another, and the same byte in many.

/// Copies `bytes` bytes, eight words at a time where both places lie at whole words.
///
/// # Safety
/// `from` is valid for `bytes` reads and `to` for as many writes, and they share no memory.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn copy(from: *const u8, to: *mut u8, bytes: usize) {
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r9}}",
        "orr r3, r0, r1",
        "lsls r3, r3, #30",
        "bne 4f",
        "subs r2, #32",
        "blo 3f",
        "2:",
        "ldm r0!, {{r3-r9, r12}}",
        "stm r1!, {{r3-r9, r12}}",
        "subs r2, #32",
        "bhs 2b",
        "3:",
        "adds r2, #32",
        // Words may lie anywhere, one at a time.
        "4:",
        "subs r2, #4",
        "blo 6f",
        "5:",
        "ldr r3, [r0], #4",
        "str r3, [r1], #4",
        "subs r2, #4",
        "bhs 5b",
        "6:",
        "adds r2, #4",
        "beq 8f",
        "7:",
        "ldrb r3, [r0], #1",
        "strb r3, [r1], #1",
        "subs r2, #1",
        "bne 7b",
        "8:",
        "pop {{r4-r9}}",
        "bx lr",
    )
}

/// Stores `value` in `bytes` bytes.
///
/// # Safety
/// `to` is valid for so many writes.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn fill(to: *mut u8, bytes: usize, value: u32) {
    core::arch::naked_asm!(
        cpu!(),
        "orr r2, r2, r2, lsl #8",
        "orr r2, r2, r2, lsl #16",
        "subs r1, #4",
        "blo 3f",
        "2:",
        "str r2, [r0], #4",
        "subs r1, #4",
        "bhs 2b",
        "3:",
        "adds r1, #4",
        "beq 5f",
        "4:",
        "strb r2, [r0], #1",
        "subs r1, #1",
        "bne 4b",
        "5:",
        "bx lr",
    )
}
