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

/// Four inputs of three patches times those of two channels.
macro_rules! round {
    () => {
        "ldrd r2, r10, [r1], #8
        sxtb16 r3, r2, ror #8
        sxtb16 r2, r2
        sxtb16 r11, r10, ror #8
        sxtb16 r10, r10
        ldrd r12, lr, [r0], #8
        smlad r4, r2, r12, r4
        smlad r7, r10, r12, r7
        smlad r4, r3, lr, r4
        smlad r7, r11, lr, r7
        ldrd r12, lr, [r0], #8
        smlad r5, r2, r12, r5
        smlad r8, r10, r12, r8
        smlad r5, r3, lr, r5
        smlad r8, r11, lr, r8
        ldrd r12, lr, [r0], #8
        smlad r6, r2, r12, r6
        smlad r9, r10, r12, r9
        smlad r6, r3, lr, r6
        smlad r9, r11, lr, r9"
    };
}

/// What [`tile`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(super) struct Tile {
    /// Staged patches.
    pub x: *const u32,
    /// Weights in blocks of two channels by four inputs.
    pub w: *const u32,
    /// Bytes of one block: 8 a group of four inputs, not zero.
    pub bytes: usize,
    /// Blocks, not zero.
    pub pairs: usize,
    /// Bias of the first channel.
    pub bias: *const i32,
    /// Multiplier of the first channel.
    pub multiplier: *const i32,
    /// Shift of the first channel; all are 33 to 54.
    pub shift: *const u8,
    /// Output of the first patch and channel.
    pub y: *mut i8,
    /// Distance of the second and third patches' outputs.
    pub second: usize,
    /// See `second`.
    pub third: usize,
    /// `2 * zero_point + 1`.
    pub offset: i32,
}

/// Outputs of three staged patches, two channels after two. The third patch is written first and the first one last, so
/// that patches which are not there may name the place of one that is.
///
/// A round is 4 inputs: 4 loads, 4 widenings, 12 dual multiplications; two rounds are unrolled, and an odd number begins in
/// the middle. Six sums, four registers of weights, two of inputs and two pointers leave none for a count, so the loop ends
/// where the block does. With `offset << (shift - 33)`, half a step and the zero point are added within the
/// multiplication: `(high + half + (zero << n)) >> n`, n = shift - 32, is the rule's result plus the zero point.
///
/// # Safety
/// `x` is valid for `3 * bytes` bytes, `w` for `pairs * bytes`, the channels for `2 * pairs`, and the outputs at `y`, `y + second`
/// and `y + third` for `2 * pairs` writes.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn tile(tile: Tile) {
    // r0 x, r1 w; r4-r6 sums of the first channel, r7-r9 of the second; r2, r3 and r10, r11 weights; r12, lr inputs.
    // Stack: 0 x, 4 end of the block, 8 bytes, 12 pairs, then r4-r11 and lr, 52 bias, 56 multiplier, 60 shift, 64 y,
    // 68 second, 72 third, 76 offset.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r0-r11, lr}}",
        "2:",
        "ldr r2, [sp, #52]",
        "ldrd r4, r7, [r2], #8",
        "str r2, [sp, #52]",
        "ldr r0, [sp]",
        "ldr r3, [sp, #8]",
        "add r2, r1, r3",
        "str r2, [sp, #4]",
        "mov r5, r4",
        "mov r6, r4",
        "mov r8, r7",
        "mov r9, r7",
        "tst r3, #8",
        "bne 4f",
        "3:",
        round!(),
        "4:",
        round!(),
        "ldr r12, [sp, #4]",
        "cmp r1, r12",
        "bne 3b",
        "ldr r0, [sp, #56]",
        "ldrd r2, r3, [r0], #8",
        "str r0, [sp, #56]",
        "ldr r0, [sp, #60]",
        "ldrb r10, [r0], #1",
        "ldrb r11, [r0], #1",
        "str r0, [sp, #60]",
        "ldr r12, [sp, #76]",
        "subs r10, #33",
        "lsl lr, r12, r10",
        "adds r10, #1",
        "smmla r4, r4, r2, lr",
        "smmla r5, r5, r2, lr",
        "smmla r6, r6, r2, lr",
        "subs r11, #33",
        "lsl lr, r12, r11",
        "adds r11, #1",
        "smmla r7, r7, r3, lr",
        "smmla r8, r8, r3, lr",
        "smmla r9, r9, r3, lr",
        "ldr r0, [sp, #64]",
        "ldrd r2, r3, [sp, #68]",
        "asr r6, r6, r10",
        "ssat r6, #8, r6",
        "strb r6, [r0, r3]",
        "asr r5, r5, r10",
        "ssat r5, #8, r5",
        "strb r5, [r0, r2]",
        "asr r4, r4, r10",
        "ssat r4, #8, r4",
        "strb r4, [r0], #1",
        "asr r9, r9, r11",
        "ssat r9, #8, r9",
        "strb r9, [r0, r3]",
        "asr r8, r8, r11",
        "ssat r8, #8, r8",
        "strb r8, [r0, r2]",
        "asr r7, r7, r11",
        "ssat r7, #8, r7",
        "strb r7, [r0], #1",
        "str r0, [sp, #64]",
        "ldr r2, [sp, #12]",
        "subs r2, #1",
        "str r2, [sp, #12]",
        "bne 2b",
        "add sp, #16",
        "pop {{r4-r11, pc}}",
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
        "ldr r7, [r0, r1]",
        "ldr r9, [r0, r1, lsl #1]",
        "ldr r5, [r0], #4",
        "sxtb16 r4, r5",
        "sxtb16 r5, r5, ror #8",
        "sxtb16 r6, r7",
        "sxtb16 r7, r7, ror #8",
        "sxtb16 r8, r9",
        "sxtb16 r9, r9, ror #8",
        "stm r3!, {{r4-r9}}",
        "subs r2, #1",
        "bne 2b",
        "pop {{r4-r9}}",
        "bx lr",
    )
}

/// One row of plain values times two blocks of two channels: sums of four channels.
///
/// A round is 4 inputs: 5 loads, 10 widenings, 8 dual multiplications.
///
/// # Safety
/// `x` is valid for `4 * groups` bytes at any alignment, `first` and `second` for `2 * groups` words, `sums` for 4 words, and
/// `groups` is not zero.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn row_4(
    x: *const i8,
    first: *const u32,
    second: *const u32,
    groups: usize,
    sums: *mut i32,
) {
    // r0 x, r1 and r2 weights, r3 rounds, r4-r7 sums, r9 and r8 inputs, r11 and r10 weights.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "2:",
        "ldr r8, [r0], #4",
        "sxtb16 r9, r8",
        "sxtb16 r8, r8, ror #8",
        "ldr r10, [r1], #4",
        "sxtb16 r11, r10",
        "sxtb16 r10, r10, ror #8",
        "smlad r4, r9, r11, r4",
        "smlad r4, r8, r10, r4",
        "ldr r10, [r1], #4",
        "sxtb16 r11, r10",
        "sxtb16 r10, r10, ror #8",
        "smlad r5, r9, r11, r5",
        "smlad r5, r8, r10, r5",
        "ldr r10, [r2], #4",
        "sxtb16 r11, r10",
        "sxtb16 r10, r10, ror #8",
        "smlad r6, r9, r11, r6",
        "smlad r6, r8, r10, r6",
        "ldr r10, [r2], #4",
        "sxtb16 r11, r10",
        "sxtb16 r10, r10, ror #8",
        "smlad r7, r9, r11, r7",
        "smlad r7, r8, r10, r7",
        "subs r3, #1",
        "bne 2b",
        "ldr r12, [sp, #36]",
        "stm r12, {{r4-r7}}",
        "pop {{r4-r11, pc}}",
    )
}

/// See [`super::dsp::three_taps`]. One block, since a compiler that moves its parts about runs out of registers.
///
/// # Safety
/// `x` and `w` are valid for 4 reads at each of 0, `stride` and `2 * stride`.
#[inline(always)]
pub(super) unsafe fn three_taps(sums: &mut [i32; 4], x: *const i8, w: *const i8, stride: usize) {
    let [mut a, mut b, mut c, mut d] = *sums;
    // SAFETY: reads what the caller promises; the Q flag is not used.
    unsafe {
        core::arch::asm!(
            "ldr {x0}, [{x}]",
            "ldr {w0}, [{w}]",
            "sxtb16 {x1}, {x0}, ror #8",
            "sxtb16 {w1}, {w0}, ror #8",
            "sxtb16 {x0}, {x0}",
            "sxtb16 {w0}, {w0}",
            "smlabb {a}, {x0}, {w0}, {a}",
            "smlatt {c}, {x0}, {w0}, {c}",
            "smlabb {b}, {x1}, {w1}, {b}",
            "smlatt {d}, {x1}, {w1}, {d}",
            "ldr {x0}, [{x}, {stride}]",
            "ldr {w0}, [{w}, {stride}]",
            "sxtb16 {x1}, {x0}, ror #8",
            "sxtb16 {w1}, {w0}, ror #8",
            "sxtb16 {x0}, {x0}",
            "sxtb16 {w0}, {w0}",
            "smlabb {a}, {x0}, {w0}, {a}",
            "smlatt {c}, {x0}, {w0}, {c}",
            "smlabb {b}, {x1}, {w1}, {b}",
            "smlatt {d}, {x1}, {w1}, {d}",
            "ldr {x0}, [{x}, {stride}, lsl #1]",
            "ldr {w0}, [{w}, {stride}, lsl #1]",
            "sxtb16 {x1}, {x0}, ror #8",
            "sxtb16 {w1}, {w0}, ror #8",
            "sxtb16 {x0}, {x0}",
            "sxtb16 {w0}, {w0}",
            "smlabb {a}, {x0}, {w0}, {a}",
            "smlatt {c}, {x0}, {w0}, {c}",
            "smlabb {b}, {x1}, {w1}, {b}",
            "smlatt {d}, {x1}, {w1}, {d}",
            a = inout(reg) a,
            b = inout(reg) b,
            c = inout(reg) c,
            d = inout(reg) d,
            x = in(reg) x,
            w = in(reg) w,
            stride = in(reg) stride,
            x0 = out(reg) _,
            x1 = out(reg) _,
            w0 = out(reg) _,
            w1 = out(reg) _,
            options(pure, readonly, nostack),
        );
    }
    *sums = [a, b, c, d];
}
