//! Depthwise windows of 3x3, four channels at a time.

/// Stages `columns` columns of four channels of three rows: see [`crate::arch::dsp_depthwise`].
///
/// # Safety
/// `rows` are three pairs of a pointer and the distance of columns, valid for `columns` reads of four bytes at any alignment;
/// `to` is valid for `6 * columns` words, and `columns` is not zero.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn stage_columns(
    rows: *const (*const i8, usize),
    columns: usize,
    to: *mut u32,
) {
    // r0, r4, r6 rows, r3, r5, r7 their steps, r1 count, r2 to; r8-r12 and lr the column.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "ldm r0, {{r0, r3-r7}}",
        "2:",
        "ldr r8, [r0]",
        "ldr r9, [r4]",
        "ldr lr, [r6]",
        "add r0, r3",
        "add r4, r5",
        "add r6, r7",
        "sxtb16 r10, r8",
        "sxtb16 r8, r8, ror #8",
        "sxtb16 r12, r9",
        "sxtb16 r11, r9, ror #8",
        "pkhbt r9, r8, r11, lsl #16",
        "pkhtb r11, r11, r8, asr #16",
        "pkhbt r8, r10, r12, lsl #16",
        "pkhtb r10, r12, r10, asr #16",
        "sxtb16 r12, lr",
        "sxtb16 lr, lr, ror #8",
        "stm r2!, {{r8-r12, lr}}",
        "subs r1, #1",
        "bne 2b",
        "pop {{r4-r11, pc}}",
    )
}

/// Constants of [`depthwise_quad`], in the order in which it reads them.
#[repr(C)]
pub(in crate::arch) struct Quad {
    /// Biases of four channels.
    pub bias: [i32; 4],
    /// Their multipliers.
    pub multiplier: [i32; 4],
    /// Their shifts behind the high word, 1 or more.
    pub shift: [i32; 4],
    /// Zero point of the outputs.
    pub zero_point: i32,
    /// Distance of the outputs.
    pub depth: usize,
    /// Bytes from the end of an output's columns back to the next one's first.
    pub back: usize,
    /// Where the output behind the last one would be.
    pub end: *mut i8,
}

/// One column of four channels: r8-r11 inputs, r12 and lr weights, which lie at the three places.
macro_rules! column {
    ($first:literal, $second:literal, $third:literal) => {
        concat!(
            "ldm r0!, {{r8-r11}}\n",
            "ldrd r12, lr, [r1, #",
            $first,
            "]\n",
            "smlad r4, r8, r12, r4\n",
            "smlad r5, r9, lr, r5\n",
            "ldrd r12, lr, [r1, #",
            $second,
            "]\n",
            "smlad r6, r10, r12, r6\n",
            "smlad r7, r11, lr, r7\n",
            "ldrd r8, r9, [r0], #8\n",
            "ldrd r12, lr, [r1, #",
            $third,
            "]\n",
            "smlabb r4, r8, r12, r4\n",
            "smlatt r6, r8, r12, r6\n",
            "smlabb r5, r9, lr, r5\n",
            "smlatt r7, r9, lr, r7",
        )
    };
}

/// A row of outputs of four channels from staged columns, at least one.
///
/// # Safety
/// `x` is valid for the columns that the outputs see, `w` for 18 words, and `y` for four writes at each output.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn depthwise_quad(
    x: *const u32,
    w: *const u32,
    quad: &Quad,
    y: *mut i8,
) {
    // r0 x, r1 w, r2 constants, r3 y, r4-r7 sums.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "2:",
        "ldm r2, {{r4-r7}}",
        column!(0, 8, 16),
        column!(24, 32, 40),
        column!(48, 56, 64),
        "add lr, r2, #16",
        "ldm lr!, {{r8-r11}}",
        "smmul r4, r4, r8",
        "smmul r5, r5, r9",
        "smmul r6, r6, r10",
        "smmul r7, r7, r11",
        "ldm lr!, {{r8-r12}}",
        "asrs r4, r4, r8",
        "adc r4, r4, r12",
        "ssat r4, #8, r4",
        "strb r4, [r3]",
        "asrs r5, r5, r9",
        "adc r5, r5, r12",
        "ssat r5, #8, r5",
        "strb r5, [r3, #1]",
        "asrs r6, r6, r10",
        "adc r6, r6, r12",
        "ssat r6, #8, r6",
        "strb r6, [r3, #2]",
        "asrs r7, r7, r11",
        "adc r7, r7, r12",
        "ssat r7, #8, r7",
        "strb r7, [r3, #3]",
        "ldm lr, {{r8-r10}}",
        "add r3, r3, r8",
        "sub r0, r0, r9",
        "cmp r3, r10",
        "bne 2b",
        "pop {{r4-r11, pc}}",
    )
}
