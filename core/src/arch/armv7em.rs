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

/// Four inputs of three patches times those of two channels, added to the registers that are named as sums: 19 instructions of
/// 4 bytes, which [`tiles`] counts on.
macro_rules! round {
    () => {
        round!("r5", "r6", "r8", "r9")
    };
    ($second:literal, $third:literal, $fifth:literal, $sixth:literal) => {
        concat!(
            "ldm r0!, {{r10-r12}}
        ldrd r2, r3, [r1], #8
        sxtb16 lr, r2
        smlad r5, r11, lr, ",
            $second,
            "\nsmlad r6, r12, lr, ",
            $third,
            "\nsmlad r4, r10, lr, r4
        sxtb16 lr, r3
        smlad r8, r11, lr, ",
            $fifth,
            "\nsmlad r9, r12, lr, ",
            $sixth,
            "\nsmlad r7, r10, lr, r7
        ldm r0!, {{r10-r12}}
        sxtb16 r2, r2, ror #8
        smlad r4, r10, r2, r4
        smlad r5, r11, r2, r5
        smlad r6, r12, r2, r6
        sxtb16 r3, r3, ror #8
        smlad r7, r10, r3, r7
        smlad r8, r11, r3, r8
        smlad r9, r12, r3, r9"
        )
    };
}

/// Four inputs of three patches times those of one channel of a block of two.
macro_rules! round_of_one {
    () => {
        "ldr r3, [r1], #8
        ldm r0!, {{r7-r12}}
        sxtb16 lr, r3
        smlad r4, r7, lr, r4
        smlad r5, r8, lr, r5
        smlad r6, r9, lr, r6
        sxtb16 r3, r3, ror #8
        smlad r4, r10, r3, r4
        smlad r5, r11, r3, r5
        smlad r6, r12, r3, r6"
    };
}

/// As `round!`, with factors of 16 bits: 16 instructions of 4 bytes.
#[cfg(not(mixel_helium))]
macro_rules! round_of_halves {
    () => {
        round_of_halves!("r5", "r6", "r8", "r9")
    };
    ($second:literal, $third:literal, $fifth:literal, $sixth:literal) => {
        concat!(
            "ldm r0!, {{r10-r12}}
        ldrd r2, r3, [r1], #8
        smlad r5, r11, r2, ",
            $second,
            "\nsmlad r6, r12, r2, ",
            $third,
            "\nsmlad r4, r10, r2, r4
        smlad r8, r11, r3, ",
            $fifth,
            "\nsmlad r9, r12, r3, ",
            $sixth,
            "\nsmlad r7, r10, r3, r7
        ldm r0!, {{r10-r12}}
        ldrd r2, r3, [r1], #8
        smlad r4, r10, r2, r4
        smlad r5, r11, r2, r5
        smlad r6, r12, r2, r6
        smlad r7, r10, r3, r7
        smlad r8, r11, r3, r8
        smlad r9, r12, r3, r9"
        )
    };
}

/// As `round_of_one!`, with factors of 16 bits.
#[cfg(not(mixel_helium))]
macro_rules! round_of_halves_of_one {
    () => {
        "ldr r3, [r1], #8
        ldm r0!, {{r7-r12}}
        smlad r4, r7, r3, r4
        smlad r5, r8, r3, r5
        smlad r6, r9, r3, r6
        ldr r3, [r1], #8
        smlad r4, r10, r3, r4
        smlad r5, r11, r3, r5
        smlad r6, r12, r3, r6"
    };
}

/// Outputs of the three patches whose products with a channel are in the registers, shifted, rounded, saturated and stored.
macro_rules! store {
    ($first:literal, $second:literal, $third:literal, $shift:literal) => {
        concat!(
            "asrs ",
            $third,
            ", ",
            $third,
            ", ",
            $shift,
            "\n",
            "adc ",
            $third,
            ", ",
            $third,
            ", lr\n",
            "ssat ",
            $third,
            ", #8, ",
            $third,
            "\n",
            "strb ",
            $third,
            ", [r10, r3]\n",
            "asrs ",
            $second,
            ", ",
            $second,
            ", ",
            $shift,
            "\n",
            "adc ",
            $second,
            ", ",
            $second,
            ", lr\n",
            "ssat ",
            $second,
            ", #8, ",
            $second,
            "\n",
            "strb ",
            $second,
            ", [r10, r2]\n",
            "asrs ",
            $first,
            ", ",
            $first,
            ", ",
            $shift,
            "\n",
            "adc ",
            $first,
            ", ",
            $first,
            ", lr\n",
            "ssat ",
            $first,
            ", #8, ",
            $first,
            "\n",
            "strb ",
            $first,
            ", [r10], #1",
        )
    };
}

/// Widens four values of three rows, r1 apart from r0 on, into six words at the place that is named: 10 instructions.
macro_rules! widen {
    ($to:literal) => {
        concat!(
            "ldr r8, [r0, r1]
        ldr r9, [r0, r1, lsl #1]
        ldr r7, [r0], #4
        sxtb16 r4, r7
        sxtb16 r5, r8
        sxtb16 r6, r9
        sxtb16 r7, r7, ror #8
        sxtb16 r8, r8, ror #8
        sxtb16 r9, r9, ror #8
        stm ",
            $to,
            "!, {{r4-r9}}"
        )
    };
}

/// What [`tiles`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(super) struct Tiles {
    /// Where a tile of three patches is staged.
    pub x: *mut u32,
    /// The end of that: 24 bytes a group of four inputs, not zero.
    pub end: *const u32,
    /// Rows of the image that the windows see; null for those outside, which plain patches have none of.
    pub rows: *const *const i8,
    /// How many; zero when the only tile is staged already.
    pub height: usize,
    /// Bytes from one window to the next.
    pub step: usize,
    /// Groups of four inputs of a window in a row, or of all rows where patches are collected first; not zero.
    pub groups: usize,
    /// Where the first window begins in the rows.
    pub from: usize,
    /// Tiles, at least one.
    pub count: usize,
    /// Weights in blocks of two channels by four inputs.
    pub w: *const u32,
    /// Bias of the first channel.
    pub bias: *const i32,
    /// Multiplier of the first channel.
    pub multiplier: *const i32,
    /// Shift of the first channel; see [`super::matrix::Rounding::simple`].
    pub shift: *const u8,
    /// Output of the first window and channel.
    pub y: *mut i8,
    /// Channels of whole blocks.
    pub even: usize,
    /// Distance of the second and third patches' outputs; together that of tiles.
    pub second: usize,
    /// See `second`.
    pub third: usize,
    /// Zero point of the outputs.
    pub zero_point: i32,
    /// Channels behind the whole blocks: one or none.
    pub odd: usize,
    /// Where plain patches are collected, or null.
    pub plain: *mut u8,
    /// Their distance.
    pub pitch: usize,
    /// Bytes of a window in a row, 4 or more.
    pub len: usize,
    /// Two values of those outside.
    pub outside: u32,
}

/// Defines a function that writes the outputs of windows, with rounds of so many bytes.
macro_rules! tiles {
    ($(#[$attribute:meta])* $name:ident, $round:ident, $round_of_one:ident, $bytes:literal) => {
        $(#[$attribute])*
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(tiles: Tiles) {
            // r0 x, r1 w; r4-r6 sums of the first channel, r7-r9 of the second; r2, r3, lr weights; r10-r12 inputs.
            // Stack: 0 second, 4 third, 8 y of the channels, 12 its end, 16 zero point, 20 bias, 24 multiplier, 28 shift of the
            // channels, 32 the first round; 36 x, 40 end, 44 rows, 48 height, then r4-r12, lr, 92 step, 96 groups, 100 from, 104
            // count, 108 w, 112 bias, 116 multiplier, 120 shift, 124 y, 128 even, 132 second, 136 third, 140 zero point, 144 odd, 148
            // plain, 152 pitch, 156 len, 160 outside.
            core::arch::naked_asm!(
                cpu!(),
                "push {{r0-r12, lr}}",
                "sub sp, #36",
                "ldrd r2, r3, [sp, #132]",
                "strd r2, r3, [sp]",
                "ldr r2, [sp, #140]",
                "str r2, [sp, #16]",
                // Of the rounds behind the first one, `g`, those are skipped that lack to a multiple of four, which is 3 g
                // modulo 4; or all four when there are none.
                "subs r1, r1, r0",
                "subs r1, #24",
                "adr r12, 4f",
                "beq 1f",
                "ubfx r1, r1, #3, #2",
                "adr r12, 3f",
                concat!("movs r2, #", $bytes),
                "mla r12, r1, r2, r12",
                "1:",
                "orr r12, r12, #1",
                "str r12, [sp, #32]",
                "5:",
                "ldr r3, [sp, #48]",
                "cmp r3, #0",
                "beq 8f",
                "ldr r2, [sp, #44]",
                "ldr r12, [sp, #100]",
                "ldr r1, [sp, #92]",
                "ldr r11, [sp, #148]",
                "cmp r11, #0",
                "bne 14f",
                "ldr r11, [sp, #36]",
                "6:",
                "ldr r0, [r2], #4",
                "ldr r10, [sp, #96]",
                "cmp r0, #0",
                "beq 18f",
                "add r0, r12",
                "7:",
                widen!("r11"),
                "subs r10, #1",
                "bne 7b",
                "13:",
                "subs r3, #1",
                "bne 6b",
                "add r1, r1, r1, lsl #1",
                "add r12, r1",
                "str r12, [sp, #100]",
                "8:",
                "add r0, sp, #108",
                "ldm r0, {{r1-r6}}",
                "add r0, sp, #20",
                "stm r0, {{r2-r4}}",
                "add r6, r5",
                "strd r5, r6, [sp, #8]",
                "cmp r5, r6",
                "beq 9f",
                "2:",
                "ldr r2, [sp, #20]",
                "ldrd r4, r7, [r2], #8",
                "str r2, [sp, #20]",
                "ldr r0, [sp, #36]",
                $round!("r4", "r4", "r7", "r7"),
                "ldr pc, [sp, #32]",
                ".p2align 2",
                "3:",
                $round!(),
                $round!(),
                $round!(),
                $round!(),
                "4:",
                "ldr lr, [sp, #40]",
                "cmp r0, lr",
                "bne 3b",
                "ldrd r10, r11, [sp, #24]",
                "ldrd r2, r3, [r10], #8",
                "ldrh r12, [r11], #2",
                "strd r10, r11, [sp, #24]",
                // Of a shift the lowest byte counts.
                "sub r12, r12, #0x20202020",
                "lsr r0, r12, #8",
                "smmul r4, r4, r2",
                "smmul r5, r5, r2",
                "smmul r6, r6, r2",
                "smmul r7, r7, r3",
                "smmul r8, r8, r3",
                "smmul r9, r9, r3",
                "ldm sp, {{r2, r3, r10, r11, lr}}",
                store!("r4", "r5", "r6", "r12"),
                store!("r7", "r8", "r9", "r0"),
                "str r10, [sp, #8]",
                "cmp r10, r11",
                "bne 2b",
                "9:",
                "ldr r2, [sp, #144]",
                "cmp r2, #0",
                "beq 12f",
                "ldr r2, [sp, #20]",
                "ldr r4, [r2]",
                "mov r5, r4",
                "mov r6, r4",
                "ldrd r0, r2, [sp, #36]",
                "sub r3, r2, r0",
                "tst r3, #8",
                "bne 11f",
                "10:",
                $round_of_one!(),
                "11:",
                $round_of_one!(),
                "cmp r0, r2",
                "bne 10b",
                "ldrd r10, r11, [sp, #24]",
                "ldr r2, [r10]",
                "ldrb r12, [r11]",
                "sub r12, r12, #32",
                "smmul r4, r4, r2",
                "smmul r5, r5, r2",
                "smmul r6, r6, r2",
                "ldm sp, {{r2, r3, r10, r11, lr}}",
                store!("r4", "r5", "r6", "r12"),
                "12:",
                "ldrd r2, r3, [sp]",
                "ldr r0, [sp, #124]",
                "ldr r1, [sp, #104]",
                "add r0, r2",
                "add r0, r3",
                "str r0, [sp, #124]",
                "subs r1, #1",
                "str r1, [sp, #104]",
                "bne 5b",
                "add sp, #52",
                "pop {{r4-r12, pc}}",
                // Plain patches: runs of bytes as whole words, of which the last one may begin inside the one before, and then all
                // of them are widened.
                "14:",
                "ldr r7, [sp, #152]",
                "15:",
                "ldr r0, [r2], #4",
                "ldr r10, [sp, #156]",
                "add r0, r12",
                "mov r8, r11",
                "16:",
                "ldr r4, [r0, r1]",
                "ldr r5, [r0, r1, lsl #1]",
                "ldr r6, [r0], #4",
                "str r4, [r8, r7]",
                "str r5, [r8, r7, lsl #1]",
                "str r6, [r8], #4",
                "subs r10, #4",
                "beq 17f",
                "cmp r10, #4",
                "bhs 16b",
                "subs r10, #4",
                "add r0, r10",
                "add r8, r10",
                "mov r10, #4",
                "b 16b",
                "17:",
                "ldr r10, [sp, #156]",
                "add r11, r10",
                "subs r3, #1",
                "bne 15b",
                "add r1, r1, r1, lsl #1",
                "add r12, r1",
                "str r12, [sp, #100]",
                "ldr r0, [sp, #148]",
                "mov r1, r7",
                "ldr r11, [sp, #36]",
                "ldr r10, [sp, #96]",
                "20:",
                widen!("r11"),
                "subs r10, #1",
                "bne 20b",
                "b 8b",
                // A row outside of the image.
                "18:",
                "ldr r4, [sp, #160]",
                "mov r5, r4",
                "mov r6, r4",
                "mov r7, r4",
                "mov r8, r4",
                "mov r9, r4",
                "19:",
                "stm r11!, {{r4-r9}}",
                "subs r10, #1",
                "bne 19b",
                "b 13b",
            )
        }
    };
}

tiles! {
    /// Outputs of windows, three after three, two channels after two. The third patch is written first and the first one last, so
    /// that patches which are not there may name the place of one that is.
    ///
    /// A round is 4 inputs: 3 loads, 4 widenings, 12 dual multiplications. Six sums, three inputs, three registers of weights and
    /// two pointers leave none for a count: behind the first round, which adds to the biases, four are unrolled, the loop is entered
    /// where the last one ends with the patches, and it ends there. An output is the high word of its product, shifted; the last bit
    /// that is shifted out rounds it, which `ADC` adds together with the zero point. A last single channel has rounds of 2 loads, 2
    /// widenings and 6 dual multiplications, of which two are unrolled.
    ///
    /// # Safety
    /// `x` is valid up to `end`, the rows for all windows at any alignment, `w` and the channels for all channels, and `y` for all
    /// outputs.
    tiles, round, round_of_one, 76
}

#[cfg(not(mixel_helium))]
tiles! {
    /// As [`tiles`], with factors of 16 bits instead of weights: a round has 4 loads and 12 dual multiplications.
    ///
    /// # Safety
    /// As for [`tiles`]; blocks of factors take 16 bytes.
    tiles_of_halves, round_of_halves, round_of_halves_of_one, 64
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
        widen!("r3"),
        "subs r2, #1",
        "bne 2b",
        "pop {{r4-r9}}",
        "bx lr",
    )
}

/// What [`stage_window`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(super) struct Window {
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
pub(super) unsafe extern "C" fn stage_window(window: Window) {
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
/// in [`tiles`].
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

/// What [`affine`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[cfg(not(mixel_helium))]
#[repr(C)]
pub(super) struct AffineRow {
    /// Elements.
    pub x: *const i8,
    /// Results.
    pub y: *mut i8,
    /// Gain of every channel.
    pub gamma: *const i32,
    /// Offset of every channel.
    pub beta: *const i32,
    /// The end of the elements, of which there is at least one.
    pub end: *const i8,
    /// Factor of the elements.
    pub count: i32,
    /// What is added to that.
    pub less: i32,
    /// Factor of the sum, of which the upper half counts.
    pub inverse: i32,
    /// Fraction bits, 1 to 30.
    pub shift: u32,
    /// Zero point of the results.
    pub zero_point: i32,
}

/// One element: 10 instructions. It is rounded as in [`tiles`].
#[cfg(not(mixel_helium))]
macro_rules! affine_element {
    () => {
        "ldrsb r10, [r0], #1
        ldr r11, [r2], #4
        ldr r12, [r3], #4
        mla r10, r10, r5, r6
        smmul r10, r10, r7
        smmla r10, r10, r11, r12
        asrs r10, r10, r8
        adc r10, r10, r9
        ssat r10, #8, r10
        strb r10, [r1], #1"
    };
}

/// See [`super::normal::affine`].
///
/// # Safety
/// `x` is valid up to `end`, the others for as many elements.
#[cfg(not(mixel_helium))]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn affine(row: AffineRow) {
    // r0 x, r1 y, r2 gamma, r3 beta, r4 end, r5 count, r6 less, r7 inverse, r8 shift, r9 zero point.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r12, lr}}",
        "add r12, sp, #40",
        "ldm r12, {{r4-r9}}",
        "sub r12, r4, r0",
        "lsls r12, r12, #31",
        "bne 3f",
        "2:",
        affine_element!(),
        "3:",
        affine_element!(),
        "cmp r0, r4",
        "bne 2b",
        "pop {{r4-r12, pc}}",
    )
}
