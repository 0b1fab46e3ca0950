//! Transposes, four by four bytes at a time.

/// What [`squares`] works on, in this order.
#[repr(C)]
pub(in crate::arch) struct Squares {
    /// The first square, and the distance of its rows.
    pub from: *const u8,
    pub down: isize,
    /// Where its first column goes, and the distance to where the next one goes.
    pub to: *mut u8,
    pub across: isize,
    /// From one square to the next, on both sides.
    pub next: [isize; 2],
    /// Squares, at least one.
    pub count: usize,
}

/// Columns of squares become rows: 26 instructions for 16 bytes.
///
/// # Safety
/// The rows of all squares are valid for reads of four bytes at any address, their places for as many
/// writes, and they share no memory.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn squares(work: &Squares) {
    // r0 from, r1 down, r2 to, r3 across, r4 and r5 to the next, r6 squares. SEL takes bytes 0 and 2 of its first
    // operand.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "ldm r0, {{r0-r6}}",
        "mov r7, #0x00FF00FF",
        "mov r8, #0x01010101",
        "usub8 r7, r7, r8",
        "2:",
        "add r11, r0, r1",
        "ldr r7, [r0]",
        "ldr r8, [r0, r1]",
        "ldr r9, [r0, r1, lsl #1]",
        "ldr r10, [r11, r1, lsl #1]",
        "add r0, r4",
        // Halves of rows 0 and 2, and of rows 1 and 3.
        "pkhbt r11, r7, r9, lsl #16",
        "pkhtb r9, r9, r7, asr #16",
        "pkhbt r12, r8, r10, lsl #16",
        "pkhtb r10, r10, r8, asr #16",
        "lsl r7, r12, #8",
        "sel r7, r11, r7",
        "lsr r11, r11, #8",
        "sel r8, r11, r12",
        "lsl r11, r10, #8",
        "sel r11, r9, r11",
        "lsr r9, r9, #8",
        "sel r12, r9, r10",
        "add lr, r2, r3",
        "str r7, [r2]",
        "str r8, [r2, r3]",
        "str r11, [r2, r3, lsl #1]",
        "str r12, [lr, r3, lsl #1]",
        "add r2, r5",
        "subs r6, #1",
        "bne 2b",
        "pop {{r4-r11, pc}}",
    )
}
