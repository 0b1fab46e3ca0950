//! Rows of windows, three outputs by two channels at a time.

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

/// A word of a run of bytes of three patches, which is collected.
macro_rules! run_word {
    () => {
        "ldr r4, [r0, r1]
        ldr r5, [r0, r1, lsl #1]
        ldr r6, [r0], #4
        str r4, [r11, r7]
        str r5, [r11, r7, lsl #1]
        str r6, [r11], #4"
    };
}

/// Outputs of the three patches whose products with a channel are in the registers, shifted, rounded, saturated and stored.
macro_rules! store {
    ($first:literal, $second:literal, $third:literal, $shift:literal) => {
        store!($first, $second, $third, $shift, "strb ", $first, ", [r10], #1")
    };
    ($first:literal, $second:literal, $third:literal, $shift:literal, $($last:expr),*) => {
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
            $($last),*
        )
    };
}

/// As `store!`, where the next channel's output is some bytes further.
#[cfg(not(mixel_helium))]
macro_rules! store_strided {
    ($first:literal, $second:literal, $third:literal, $shift:literal) => {
        store!(
            $first,
            $second,
            $third,
            $shift,
            "strb ",
            $first,
            ", [r10]\nldr ",
            $first,
            ", [sp, #160]\nadd r10, ",
            $first
        )
    };
}

/// What [`tiles`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(in crate::arch) struct Tiles {
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
    /// Bytes to the end of the outputs of whole blocks of channels.
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
    /// Two values of those outside; of [`tiles_strided`] the distance of channels.
    pub outside: u32,
}

/// Defines a function that writes the outputs of windows, with rounds of so many bytes.
macro_rules! tiles {
    ($(#[$attribute:meta])* $name:ident, $round:ident, $round_of_one:ident, $bytes:literal, $store:ident) => {
        $(#[$attribute])*
        #[unsafe(naked)]
        pub(in crate::arch) unsafe extern "C" fn $name(tiles: Tiles) {
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
                // Of the rounds behind the first one, `g`, those are skipped that lack to a multiple of eight, which is 15 g
                // modulo 8; or all eight when there are none.
                "subs r1, r1, r0",
                "subs r1, #24",
                "adr r12, 4f",
                "beq 1f",
                "add r1, r1, r1, lsl #2",
                "ubfx r1, r1, #3, #3",
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
                $store!("r4", "r5", "r6", "r12"),
                $store!("r7", "r8", "r9", "r0"),
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
                $store!("r4", "r5", "r6", "r12"),
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
                "subs r10, #4",
                "beq 17f",
                "16:",
                run_word!(),
                "subs r10, #4",
                "bgt 16b",
                "add r0, r10",
                "add r11, r10",
                "17:",
                run_word!(),
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
    /// two pointers leave none for a count: behind the first round, which adds to the biases, eight are unrolled, the loop is entered
    /// where the last one ends with the patches, and it ends there. An output is the high word of its product, shifted; the last bit
    /// that is shifted out rounds it, which `ADC` adds together with the zero point. A last single channel has rounds of 2 loads, 2
    /// widenings and 6 dual multiplications, of which two are unrolled.
    ///
    /// # Safety
    /// `x` is valid up to `end`, the rows for all windows at any alignment, `w` and the channels for all channels, and `y` for all
    /// outputs.
    tiles, round, round_of_one, 76, store
}

#[cfg(not(mixel_helium))]
tiles! {
    /// As [`tiles`], for staged tiles only, with the distance of channels in place of the value outside: two
    /// instructions more for three outputs.
    ///
    /// # Safety
    /// As for [`tiles`].
    tiles_strided, round, round_of_one, 76, store_strided
}

#[cfg(not(mixel_helium))]
tiles! {
    /// As [`tiles`], with factors of 16 bits instead of weights: a round has 4 loads and 12 dual multiplications.
    ///
    /// # Safety
    /// As for [`tiles`]; blocks of factors take 16 bytes.
    tiles_of_halves, round_of_halves, round_of_halves_of_one, 64, store
}
