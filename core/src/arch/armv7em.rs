//! Inner loops of Cortex-M cores with the DSP extension that need more registers than a compiler finds.
#![allow(unsafe_code)]

// Whatever `-C target-cpu` says, the compiler may read module assembly for a core without these instructions (it does on
// Armv8-M, and in builds with link-time optimisation). Each block names a core that has them; the choice holds for
// blocks that follow in the same unit, so Helium is not taken away.
#[cfg(mixel_helium)]
macro_rules! cpu {
    () => {
        ".cpu cortex-m55"
    };
}
#[cfg(not(mixel_helium))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}

/// Four inputs of three patches times those of two channels: 19 instructions of 4 bytes, which [`tile`] counts on.
macro_rules! round {
    () => {
        "ldm r0!, {{r10-r12}}
        ldrd r2, r3, [r1], #8
        sxtb16 lr, r2
        smlad r4, r10, lr, r4
        smlad r5, r11, lr, r5
        smlad r6, r12, lr, r6
        sxtb16 lr, r3
        smlad r7, r10, lr, r7
        smlad r8, r11, lr, r8
        smlad r9, r12, lr, r9
        ldm r0!, {{r10-r12}}
        sxtb16 r2, r2, ror #8
        smlad r4, r10, r2, r4
        smlad r5, r11, r2, r5
        smlad r6, r12, r2, r6
        sxtb16 r3, r3, ror #8
        smlad r7, r10, r3, r7
        smlad r8, r11, r3, r8
        smlad r9, r12, r3, r9"
    };
}

/// What [`tile`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(super) struct Tile {
    /// Staged patches.
    pub x: *const u32,
    /// Bytes of one block of weights: 8 a group of four inputs, not zero.
    pub bytes: usize,
    /// Weights in blocks of two channels by four inputs.
    pub w: *const u32,
    /// Where `y` is when all channels are done, an even number and not zero.
    pub end: *mut i8,
    /// Bias of the first channel.
    pub bias: *const i32,
    /// Multiplier of the first channel.
    pub multiplier: *const i32,
    /// Shift of the first channel; see [`super::matrix::Rounding::simple`].
    pub shift: *const u8,
    /// Output of the first patch and channel.
    pub y: *mut i8,
    /// Distance of the second and third patches' outputs.
    pub second: usize,
    /// See `second`.
    pub third: usize,
    /// Zero point of the outputs.
    pub zero_point: i32,
}

/// Outputs of three staged patches, two channels after two. The third patch is written first and the first one last, so
/// that patches which are not there may name the place of one that is.
///
/// A round is 4 inputs: 3 loads, 4 widenings, 12 dual multiplications. Six sums, three inputs, three registers of weights and
/// two pointers leave none for a count: four rounds are unrolled, the loop is entered where the last one ends with the
/// block, and it ends where the weights do. An output is the high word of its product, shifted; the last bit that is
/// shifted out rounds it, which `ADC` adds together with the zero point.
///
/// # Safety
/// `x` is valid for `3 * bytes` bytes, `w` and the channels for all channels, and `y`, `y + second` and `y + third` for as
/// many writes.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn tile(tile: Tile) {
    // r0 x, r1 w; r4-r6 sums of the first channel, r7-r9 of the second; r2, r3, lr weights; r10-r12 inputs.
    // Stack: 0 x, 4 bytes, 8 end of the block, 12 end of y, then r4-r11, 48 the first round, lr, 56 bias, 60 multiplier,
    // 64 shift, 68 y, 72 second, 76 third, 80 zero point.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r0-r12, lr}}",
        // Rounds that are skipped, times 8, times 9.5.
        "rsb r1, r1, #0",
        "and r1, r1, #24",
        "adr r12, 3f",
        "add r12, r12, r1, lsl #3",
        "add r12, r12, r1",
        "add r12, r12, r1, lsr #1",
        "orr r12, r12, #1",
        "str r12, [sp, #48]",
        "mov r1, r2",
        "2:",
        "ldr r2, [sp, #56]",
        "ldrd r4, r7, [r2], #8",
        "str r2, [sp, #56]",
        "ldrd r0, r3, [sp]",
        "add r3, r1, r3",
        "str r3, [sp, #8]",
        "mov r5, r4",
        "mov r6, r4",
        "mov r8, r7",
        "mov r9, r7",
        "ldr pc, [sp, #48]",
        ".p2align 2",
        "3:",
        round!(),
        round!(),
        round!(),
        round!(),
        "ldr lr, [sp, #8]",
        "cmp r1, lr",
        "bne 3b",
        "ldrd r10, r11, [sp, #60]",
        "ldrd r2, r3, [r10], #8",
        "ldrb r12, [r11], #1",
        "ldrb r0, [r11], #1",
        "strd r10, r11, [sp, #60]",
        "ldr lr, [sp, #80]",
        "sub r12, r12, #32",
        "subs r0, #32",
        "smmul r4, r4, r2",
        "smmul r5, r5, r2",
        "smmul r6, r6, r2",
        "smmul r7, r7, r3",
        "smmul r8, r8, r3",
        "smmul r9, r9, r3",
        "ldr r10, [sp, #68]",
        "ldrd r2, r3, [sp, #72]",
        "asrs r6, r6, r12",
        "adc r6, r6, lr",
        "ssat r6, #8, r6",
        "strb r6, [r10, r3]",
        "asrs r5, r5, r12",
        "adc r5, r5, lr",
        "ssat r5, #8, r5",
        "strb r5, [r10, r2]",
        "asrs r4, r4, r12",
        "adc r4, r4, lr",
        "ssat r4, #8, r4",
        "strb r4, [r10], #1",
        "asrs r9, r9, r0",
        "adc r9, r9, lr",
        "ssat r9, #8, r9",
        "strb r9, [r10, r3]",
        "asrs r8, r8, r0",
        "adc r8, r8, lr",
        "ssat r8, #8, r8",
        "strb r8, [r10, r2]",
        "asrs r7, r7, r0",
        "adc r7, r7, lr",
        "ssat r7, #8, r7",
        "strb r7, [r10], #1",
        "str r10, [sp, #68]",
        "ldr r2, [sp, #12]",
        "cmp r10, r2",
        "bne 2b",
        "add sp, #16",
        "pop {{r4-r12, pc}}",
    )
}

/// Widens `groups` groups of four values of three rows, `step` bytes apart, into staged patches.
///
/// # Safety
/// `x` is valid for `2 * step + 4 * groups` bytes at any alignment, `to` for `6 * groups` words, and `groups` is not zero.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn stage_3(x: *const i8, step: usize, groups: usize, to: *mut u32) {
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r9}}",
        "2:",
        "ldr r8, [r0, r1]",
        "ldr r9, [r0, r1, lsl #1]",
        "ldr r7, [r0], #4",
        "sxtb16 r4, r7",
        "sxtb16 r5, r8",
        "sxtb16 r6, r9",
        "sxtb16 r7, r7, ror #8",
        "sxtb16 r8, r8, ror #8",
        "sxtb16 r9, r9, ror #8",
        "stm r3!, {{r4-r9}}",
        "subs r2, #1",
        "bne 2b",
        "pop {{r4-r9}}",
        "bx lr",
    )
}

/// Copies runs of `len` bytes of three rows, `step` apart, to places `pitch` apart: whole words, of which the last one may
/// begin inside the one before.
///
/// # Safety
/// `x` is valid for `2 * step + len` bytes, `to` for `2 * pitch + len`, and `len` is 4 or more.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn copy_3(x: *const i8, step: usize, len: usize, to: *mut u8, pitch: usize) {
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

/// What [`row`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(super) struct Row {
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
/// in [`tile`].
///
/// # Safety
/// `x` is valid for `bytes / 2` bytes, and `w`, the channels and `y` for all channels.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn row(row: Row) {
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

/// Stages `columns` columns of four channels of three rows: see [`super::dsp_depthwise`].
///
/// # Safety
/// `rows` are three pairs of a pointer and the distance of columns, valid for `columns` reads of four bytes at any alignment;
/// `to` is valid for `6 * columns` words, and `columns` is not zero.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn stage_columns(rows: *const (*const i8, usize), columns: usize, to: *mut u32) {
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
pub(super) struct Quad {
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
pub(super) unsafe extern "C" fn depthwise_quad(x: *const u32, w: *const u32, quad: &Quad, y: *mut i8) {
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
