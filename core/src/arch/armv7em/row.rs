//! One row of inputs, where it lies.

/// What [`row`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(in crate::arch) struct Row {
    /// Plain values at a whole word.
    pub x: *const i8,
    /// Weights in blocks of two channels by four inputs.
    pub w: *const u32,
    /// Bytes of one block: 8 a group of four inputs, not zero.
    pub bytes: usize,
    /// Where `y` is when all channels are done, a multiple of four and not zero.
    pub end: *mut i8,
    /// Bias of the first channel.
    pub bias: *const i32,
    /// Multiplier of the first channel.
    pub multiplier: *const i32,
    /// Shift of the first channel; see [`super::matrix::Rounding::simple`].
    pub shift: *const u8,
    /// Output of the first channel.
    pub y: *mut i8,
    /// Zero point of the outputs.
    pub zero_point: i32,
}

/// Four inputs of one row, in the register that is named, times those of four channels: 20 instructions of 4 bytes, which
/// [`row`] counts on.
macro_rules! row_round {
    ($inputs:literal) => {
        concat!(
            "sxtb16 r8, ",
            $inputs,
            "\nsxtb16 r9, ",
            $inputs,
            ", ror #8
        ldrd r10, r11, [r1], #8
        sxtb16 r12, r10
        sxtb16 r10, r10, ror #8
        smlad r4, r8, r12, r4
        smlad r4, r9, r10, r4
        sxtb16 r12, r11
        sxtb16 r11, r11, ror #8
        smlad r5, r8, r12, r5
        smlad r5, r9, r11, r5
        ldrd r10, r11, [r2], #8
        sxtb16 r12, r10
        sxtb16 r10, r10, ror #8
        smlad r6, r8, r12, r6
        smlad r6, r9, r10, r6
        sxtb16 r12, r11
        sxtb16 r11, r11, ror #8
        smlad r7, r8, r12, r7
        smlad r7, r9, r11, r7"
        )
    };
}

/// Outputs of one row of plain values, four channels after four.
///
/// A round is 4 inputs: 2 loads and half a one, 10 widenings, 8 dual multiplications. The loop is entered and outputs are rounded as
/// in [`tiles`].
///
/// # Safety
/// `x` is valid for `bytes / 2` bytes, and `w`, the channels and `y` for all channels.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn row(row: Row) {
    // r0 x, r1 and r2 weights, r3 their end, r4-r7 sums. Stack: 0 x, 4 w, 8 bytes, 12 end of y, then r4-r11, 48 the first round,
    // lr, 56 bias, 60 multiplier, 64 shift, 68 y, 72 zero point.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r0-r12, lr}}",
        // Rounds that are skipped, times 8, times 10.25, and 2 for half a pair.
        "rsb r2, r2, #0",
        "and r2, r2, #24",
        "adr r12, 3f",
        "add r12, r12, r2, lsl #3",
        "add r12, r12, r2, lsl #1",
        "add r12, r12, r2, lsr #2",
        "and r2, r2, #8",
        "add r12, r12, r2, lsr #2",
        "orr r12, r12, #1",
        "str r12, [sp, #48]",
        "2:",
        "ldrd r1, r2, [sp, #4]",
        "ldr r0, [sp, #56]",
        "ldm r0!, {{r4-r7}}",
        "str r0, [sp, #56]",
        "ldr r0, [sp]",
        "tst r2, #8",
        "it ne",
        "ldrne lr, [r0], #4",
        "add r3, r1, r2",
        "add r2, r1, r2",
        "ldr pc, [sp, #48]",
        ".p2align 2",
        "3:",
        "ldrd r9, lr, [r0], #8",
        row_round!("r9"),
        row_round!("lr"),
        "ldrd r9, lr, [r0], #8",
        row_round!("r9"),
        row_round!("lr"),
        "cmp r1, r3",
        "bne 3b",
        "str r2, [sp, #4]",
        "ldr r0, [sp, #60]",
        "ldm r0!, {{r8-r11}}",
        "str r0, [sp, #60]",
        "ldr r0, [sp, #64]",
        "ldr r3, [r0], #4",
        "str r0, [sp, #64]",
        "ldr lr, [sp, #72]",
        "sub r3, r3, #0x20202020",
        "uxtb r0, r3",
        "smmul r4, r4, r8",
        "asrs r4, r4, r0",
        "adc r4, r4, lr",
        "ssat r4, #8, r4",
        "ubfx r0, r3, #8, #8",
        "smmul r5, r5, r9",
        "asrs r5, r5, r0",
        "adc r5, r5, lr",
        "ssat r5, #8, r5",
        "ubfx r0, r3, #16, #8",
        "smmul r6, r6, r10",
        "asrs r6, r6, r0",
        "adc r6, r6, lr",
        "ssat r6, #8, r6",
        "lsrs r0, r3, #24",
        "smmul r7, r7, r11",
        "asrs r7, r7, r0",
        "adc r7, r7, lr",
        "ssat r7, #8, r7",
        "ldr r0, [sp, #68]",
        "strb r4, [r0], #1",
        "strb r5, [r0], #1",
        "strb r6, [r0], #1",
        "strb r7, [r0], #1",
        "str r0, [sp, #68]",
        "ldr r1, [sp, #12]",
        "cmp r0, r1",
        "bne 2b",
        "add sp, #16",
        "pop {{r4-r12, pc}}",
    )
}
