//! Patches on their way into the order that [`super::tiles`] reads.

/// Widens `groups` groups of four values of three rows, `step` bytes apart, into staged patches.
///
/// # Safety
/// `x` is valid for `2 * step + 4 * groups` bytes at any alignment, `to` for `6 * groups` words, and `groups` is not zero.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn stage_3(x: *const i8, step: usize, groups: usize, to: *mut u32) {
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r9}}",
        "2:",
        widen!("r3"),
        "subs r2, #1",
        "bne 2b",
        "pop {{r4-r9}}",
        "bx lr",
    )
}

/// As [`stage_3`], for rows whose values are `step` bytes apart, those of the second and third `second` and `third`
/// bytes behind those of the first one: 25 instructions for a group.
///
/// # Safety
/// `x` is valid for the values of all three rows, `to` for `6 * groups` words, and `groups` is not zero.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn stage_strided(
    x: *const i8,
    step: usize,
    groups: usize,
    to: *mut u32,
    second: usize,
    third: usize,
) {
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "ldrd r4, r5, [sp, #36]",
        "2:",
        "ldrsb r6, [r0]",
        "ldrsb r7, [r0, r4]",
        "ldrsb r8, [r0, r5]",
        "add r0, r1",
        "ldrsb r9, [r0]",
        "ldrsb r10, [r0, r4]",
        "ldrsb r11, [r0, r5]",
        "add r0, r1",
        "ldrsb r12, [r0]",
        "ldrsb lr, [r0, r4]",
        "pkhbt r6, r6, r12, lsl #16",
        "ldrsb r12, [r0, r5]",
        "pkhbt r7, r7, lr, lsl #16",
        "add r0, r1",
        "ldrsb lr, [r0]",
        "pkhbt r8, r8, r12, lsl #16",
        "ldrsb r12, [r0, r4]",
        "pkhbt r9, r9, lr, lsl #16",
        "ldrsb lr, [r0, r5]",
        "pkhbt r10, r10, r12, lsl #16",
        "add r0, r1",
        "pkhbt r11, r11, lr, lsl #16",
        "stm r3!, {{r6-r11}}",
        "subs r2, #1",
        "bne 2b",
        "pop {{r4-r11, pc}}",
    )
}

/// What [`stage_window`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(in crate::arch) struct Window {
    /// Rows of the image that the window sees; null for those outside.
    pub rows: *const *const i8,
    /// How many, not zero.
    pub height: usize,
    /// Where the part inside of the image begins in the rows.
    pub from: isize,
    /// Where the patch is staged.
    pub to: *mut u32,
    /// Groups of four values in front of a row.
    pub before: usize,
    /// Groups inside.
    pub inside: usize,
    /// Groups behind a row.
    pub behind: usize,
    /// Two values of those outside.
    pub outside: u32,
}

/// Widens the values of one window that may stick out of the image into one staged patch of three.
///
/// # Safety
/// Rows that are not null are valid for the groups inside from `from` on at any alignment, and the patch for all groups.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn stage_window(window: Window) {
    // r0 rows, r1 height, r2 from, r3 to, r4 before, r5 inside, r6 behind, r7 outside; r8 row, r9 groups; r10, r11 values.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11}}",
        "add r12, sp, #32",
        "ldm r12, {{r4-r7}}",
        "2:",
        "ldr r8, [r0], #4",
        "cmp r8, #0",
        "itt eq",
        "addeq r9, r4, r5",
        "beq 6f",
        "movs r9, r4",
        "beq 4f",
        "3:",
        "str r7, [r3], #12",
        "str r7, [r3], #12",
        "subs r9, #1",
        "bne 3b",
        "4:",
        "add r8, r2",
        "movs r9, r5",
        "beq 6f",
        "5:",
        "ldr r10, [r8], #4",
        "sxtb16 r11, r10",
        "str r11, [r3], #12",
        "sxtb16 r10, r10, ror #8",
        "str r10, [r3], #12",
        "subs r9, #1",
        "bne 5b",
        "6:",
        "adds r9, r6",
        "beq 8f",
        "7:",
        "str r7, [r3], #12",
        "str r7, [r3], #12",
        "subs r9, #1",
        "bne 7b",
        "8:",
        "subs r1, #1",
        "bne 2b",
        "pop {{r4-r11}}",
        "bx lr",
    )
}

/// Copies runs of `len` bytes of three rows, `step` apart, to places `pitch` apart: whole words, of which the last one may
/// begin inside the one before.
///
/// # Safety
/// `x` is valid for `2 * step + len` bytes, `to` for `2 * pitch + len`, and `len` is 4 or more.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn copy_3(
    x: *const i8,
    step: usize,
    len: usize,
    to: *mut u8,
    pitch: usize,
) {
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r6}}",
        "ldr r12, [sp, #12]",
        "2:",
        "ldr r4, [r0, r1]",
        "ldr r5, [r0, r1, lsl #1]",
        "ldr r6, [r0], #4",
        "str r4, [r3, r12]",
        "str r5, [r3, r12, lsl #1]",
        "str r6, [r3], #4",
        "subs r2, #4",
        "beq 3f",
        "cmp r2, #4",
        "bhs 2b",
        "subs r2, #4",
        "add r0, r2",
        "add r3, r2",
        "movs r2, #4",
        "b 2b",
        "3:",
        "pop {{r4-r6}}",
        "bx lr",
    )
}
