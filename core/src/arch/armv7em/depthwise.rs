//! Depthwise windows of 3x3, four channels at a time.

/// A row of the image.
#[repr(C)]
pub(in crate::arch) struct ImageRow {
    /// The first column, from the channels on that are next.
    pub from: *const i8,
    /// Distance of columns: 0 for a row outside, four values that are read again and again.
    pub step: usize,
}

/// What [`depthwise_row`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(in crate::arch) struct Quads {
    /// Weights of the first four channels.
    pub w: *const u32,
    /// Bias of the first channel.
    pub bias: *const i32,
    /// Multiplier of the first channel.
    pub multiplier: *const i32,
    /// Shift of the first channel, 33 or more.
    pub shift: *const u8,
    /// First output.
    pub y: *mut i8,
    /// Rows of the image.
    pub rows: [ImageRow; 3],
    /// Bytes to the next four channels of each row.
    pub next: [usize; 3],
    /// Columns inside of the image.
    pub inside: usize,
    /// Where the first of them is staged.
    pub to: *mut u32,
    /// The staged columns.
    pub x: *const u32,
    /// Bytes of the outputs.
    pub length: usize,
    /// Groups of four channels, at least one.
    pub quads: usize,
    /// Zero point of the outputs.
    pub zero_point: i32,
    /// Distance of the outputs.
    pub depth: usize,
    /// Bytes from the end of an output's columns back to the next one's first.
    pub back: usize,
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

/// A row of outputs, four channels after four: 68 instructions for four outputs, 19 for a column.
///
/// # Safety
/// The rows are valid for `inside` reads of four bytes at any alignment and every four channels, `x` for the columns that the outputs
/// see, `w` and the channels for all four channels, and `y` for all outputs.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn depthwise_row(quads: Quads) {
    // r0 x, r1 w, r3 y, r4-r7 sums. Stack: 0 four biases, 16 multipliers, 32 shifts, 48 zero point, 52 depth, 56 back, 60 end of y; 64 w,
    // 68 bias, 72 multiplier, 76 shift, then r4-r12, lr, 120 y, 124 rows, 148 next, 160 inside, 164 to, 168 x, 172 length, 176 quads,
    // 180 zero point, 184 depth, 188 back.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r0-r12, lr}}",
        "sub sp, #64",
        "add r3, sp, #180",
        "ldm r3, {{r0-r2}}",
        "add r3, sp, #48",
        "stm r3, {{r0-r2}}",
        "2:",
        "ldr r1, [sp, #160]",
        "cmp r1, #0",
        "beq 4f",
        "add r12, sp, #124",
        "ldm r12, {{r0, r3-r7}}",
        "add r12, sp, #148",
        "ldm r12, {{r8-r10}}",
        "add r8, r0",
        "add r9, r4",
        "add r10, r6",
        "str r8, [sp, #124]",
        "str r9, [sp, #132]",
        "str r10, [sp, #140]",
        "ldr r2, [sp, #164]",
        // r0, r4, r6 rows, r3, r5, r7 their steps, r1 count, r2 to; r8-r12 and lr the column.
        "3:",
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
        "bne 3b",
        "4:",
        "add r12, sp, #68",
        "ldm r12, {{r0-r2}}",
        "ldm r0!, {{r4-r7}}",
        "ldm r1!, {{r8-r11}}",
        "ldr r3, [r2], #4",
        "stm r12, {{r0-r2}}",
        "stm sp, {{r4-r11}}",
        // Of a shift the lowest byte counts.
        "sub r3, r3, #0x20202020",
        "lsrs r4, r3, #8",
        "lsrs r5, r3, #16",
        "lsrs r6, r3, #24",
        "add r12, sp, #32",
        "stm r12, {{r3-r6}}",
        "ldr r3, [sp, #120]",
        "ldr r4, [sp, #172]",
        "add r4, r3",
        "str r4, [sp, #60]",
        "adds r4, r3, #4",
        "str r4, [sp, #120]",
        "ldr r0, [sp, #168]",
        "ldr r1, [sp, #64]",
        "5:",
        "ldm sp, {{r4-r7}}",
        column!(0, 8, 16),
        column!(24, 32, 40),
        column!(48, 56, 64),
        "add lr, sp, #16",
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
        "bne 5b",
        "adds r1, #72",
        "str r1, [sp, #64]",
        "ldr r0, [sp, #176]",
        "subs r0, #1",
        "str r0, [sp, #176]",
        "bne 2b",
        "add sp, #80",
        "pop {{r4-r12, pc}}",
    )
}

/// Two rows of the image on their way into columns that [`depthwise_pairs`] stages.
#[repr(C)]
pub(in crate::arch) struct StagedRows {
    /// The rows.
    pub rows: [ImageRow; 2],
    /// Where the first column is staged, of the first two channels and of the others.
    pub to: [*mut u32; 2],
    /// Bytes to the next four channels of each row.
    pub next: [usize; 2],
}

/// What [`depthwise_pairs`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(in crate::arch) struct Pairs {
    /// Weights of the first four channels.
    pub w: *const u32,
    /// Bias of the first channel.
    pub bias: *const i32,
    /// Multiplier of the first channel.
    pub multiplier: *const i32,
    /// Shift of the first channel, 33 or more.
    pub shift: *const u8,
    /// First output.
    pub y: *mut i8,
    /// Rows 0 and 1, then rows 2 and 3.
    pub staged: [StagedRows; 2],
    /// Columns inside of the image.
    pub inside: usize,
    /// The staged columns of two channels, 16 bytes each.
    pub x: *const u32,
    /// Bytes from them to those of the other two channels.
    pub plane: usize,
    /// Bytes of a row of outputs.
    pub length: usize,
    /// Groups of four channels, at least one.
    pub quads: usize,
    /// Zero point of the outputs.
    pub zero_point: i32,
    /// Bytes from a row of outputs to the one below; 0 writes only the upper one.
    pub below: usize,
    /// Bytes from the second channel of an output to the first one of the next.
    pub next: usize,
}

/// One column of two channels and two rows of outputs, with so much of the pointers: r8-r11 inputs, r2, r3, r12 and lr weights, r4-r7
/// sums, of which the second and fourth begin with the registers that are named.
macro_rules! column_of_pairs {
    ($inputs:literal, $weights:literal) => {
        column_of_pairs!($inputs, $weights, "r5", "r7")
    };
    ($inputs:literal, $weights:literal, $second:literal, $fourth:literal) => {
        concat!(
            $inputs,
            ", {{r8-r11}}\n",
            $weights,
            ", {{r2, r3, r12, lr}}\n",
            "smlad r5, r10, r12, ",
            $second,
            "\nsmlad r4, r8, r2, r4\n",
            "smlatb r5, r8, r2, r5\n",
            "smlabt r4, r10, r12, r4\n",
            "smlad r7, r11, lr, ",
            $fourth,
            "\nsmlad r6, r9, r3, r6\n",
            "smlatb r7, r9, r3, r7\n",
            "smlabt r6, r11, lr, r6",
        )
    };
}

/// Two rows of outputs with stride 1, two channels after two: 57 instructions for four outputs.
///
/// A column of two channels is four words: rows 0 and 1 of both, then rows 2 and 3. Weights of rows 0 and 1 multiply the first pair
/// for the upper output, those of rows 1 and 2 the second one for the lower output, and a single product each does the rest. The lower
/// output is written first, so that one which is not there may have the upper one's place. Rounding is that of [`super::tiles`].
///
/// # Safety
/// The rows are valid for `inside` reads of four bytes at any alignment and every four channels, `x` for the columns that the outputs
/// see in both planes, `w` and the channels for all four channels, and `y` for all outputs.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn depthwise_pairs(pairs: Pairs) {
    // r0 x, r1 w, r4-r7 sums. Stack: 0 two multipliers, two shifts, 16 zero point, 20 y, 24 below, 28 next, 32 end of y; 36 w, 40 two
    // biases, 48 weights of four channels, two after two; 144 w, 148 bias, 152 multiplier, 156 shift, then r4-r12, lr, 200 y,
    // 204 and 236 rows, 268 inside, 272 x, 276 plane, 280 length, 284 quads, 288 zero point, 292 below, 296 next.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r0-r12, lr}}",
        "sub sp, #144",
        "ldr r0, [sp, #288]",
        "str r0, [sp, #16]",
        "ldrd r0, r1, [sp, #292]",
        "strd r0, r1, [sp, #24]",
        "2:",
        "ldr r0, [sp, #268]",
        "cmp r0, #0",
        "beq 5f",
        "add lr, sp, #204",
        "3:",
        "ldm lr!, {{r0-r3, r5-r8}}",
        "add r7, r0",
        "add r8, r2",
        "str r7, [lr, #-32]",
        "str r8, [lr, #-24]",
        "ldr r4, [sp, #268]",
        "4:",
        "ldr r7, [r0]",
        "ldr r8, [r2]",
        "add r0, r1",
        "add r2, r3",
        "sxtb16 r9, r7",
        "sxtb16 r7, r7, ror #8",
        "sxtb16 r10, r8",
        "sxtb16 r8, r8, ror #8",
        "pkhbt r11, r9, r10, lsl #16",
        "pkhbt r12, r7, r8, lsl #16",
        "pkhtb r9, r10, r9, asr #16",
        "pkhtb r10, r8, r7, asr #16",
        "strd r11, r12, [r5], #16",
        "strd r9, r10, [r6], #16",
        "subs r4, #1",
        "bne 4b",
        "add r7, sp, #268",
        "cmp lr, r7",
        "bne 3b",
        // Weights of rows 0 and 1, and of rows 1 and 2.
        "5:",
        "ldr r0, [sp, #144]",
        "add r12, sp, #48",
        "movs r1, #3",
        "6:",
        "ldm r0!, {{r2-r7}}",
        "lsrs r8, r2, #16",
        "pkhbt r8, r8, r6, lsl #16",
        "lsrs r9, r3, #16",
        "pkhbt r9, r9, r7, lsl #16",
        "pkhtb r10, r6, r4, asr #16",
        "pkhtb r11, r7, r5, asr #16",
        "stm r12!, {{r2, r3, r8, r9}}",
        "strd r4, r5, [r12, #32]",
        "strd r10, r11, [r12, #40]",
        "subs r1, #1",
        "bne 6b",
        "str r0, [sp, #144]",
        "add r1, sp, #48",
        "ldr r0, [sp, #272]",
        "7:",
        "str r1, [sp, #36]",
        "adds r0, #16",
        "add lr, sp, #148",
        "ldm lr, {{r1-r3}}",
        "ldrd r4, r5, [r1], #8",
        "ldrd r6, r7, [r2], #8",
        "ldrh r8, [r3], #2",
        "stm lr, {{r1-r3}}",
        "strd r4, r5, [sp, #40]",
        // Of a shift the lowest byte counts.
        "sub r8, r8, #0x20202020",
        "lsr r9, r8, #8",
        "stm sp, {{r6-r9}}",
        "ldr r1, [sp, #200]",
        "ldr r2, [sp, #280]",
        "add r2, r1",
        "str r2, [sp, #32]",
        "str r1, [sp, #20]",
        "adds r1, #2",
        "str r1, [sp, #200]",
        "8:",
        "add lr, sp, #36",
        "ldm lr, {{r1, r4, r6}}",
        column_of_pairs!("ldmdb r0", "ldm r1!", "r4", "r6"),
        column_of_pairs!("ldm r0!", "ldm r1!"),
        column_of_pairs!("ldm r0", "ldm r1"),
        "ldm sp, {{r1-r3, r8-r12, lr}}",
        "smmul r5, r5, r1",
        "asrs r5, r5, r3",
        "adc r5, r5, r9",
        "ssat r5, #8, r5",
        "strb r5, [r10, r11]",
        "smmul r4, r4, r1",
        "asrs r4, r4, r3",
        "adc r4, r4, r9",
        "ssat r4, #8, r4",
        "strb r4, [r10], #1",
        "smmul r7, r7, r2",
        "asrs r7, r7, r8",
        "adc r7, r7, r9",
        "ssat r7, #8, r7",
        "strb r7, [r10, r11]",
        "smmul r6, r6, r2",
        "asrs r6, r6, r8",
        "adc r6, r6, r9",
        "ssat r6, #8, r6",
        "strb r6, [r10]",
        "add r10, r12",
        "str r10, [sp, #20]",
        "cmp r10, lr",
        "bne 8b",
        // The other two channels, which are done when there are no more weights.
        "ldr r1, [sp, #36]",
        "adds r1, #48",
        "ldrd r0, r2, [sp, #272]",
        "add r0, r2",
        "add r2, sp, #144",
        "cmp r1, r2",
        "bne 7b",
        "ldr r0, [sp, #284]",
        "subs r0, #1",
        "str r0, [sp, #284]",
        "bne 2b",
        "add sp, #160",
        "pop {{r4-r12, pc}}",
    )
}
