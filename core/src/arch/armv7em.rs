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

/// Three staged patches times one block of two channels: sums as `[row][channel]`.
///
/// A round is 4 inputs: 5 loads, 4 widenings, 12 dual multiplications. Six sums, two registers of weights, two of inputs and
/// four pointers leave none for a count, so the loop ends where the weights do; the end is kept on the stack.
///
/// # Safety
/// `x` is valid for `3 * groups * 2` words, `w` for `groups * 2`, `sums` for 6 words, and `groups` is not zero.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn tile_2x3(x: *const u32, w: *const u32, groups: usize, sums: *mut i32) {
    // r0 x, r1 w, r2 offset of the patches and then the third one's pointer, r3 second pointer;
    // r4-r6 sums of channel 0, r7-r9 of channel 1, r10-r12 and lr weights and inputs.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r3-r11, lr}}",
        "add r12, r1, r2, lsl #3",
        "push {{r12, lr}}",
        "add r3, r0, r2, lsl #3",
        "add r2, r3, r2, lsl #3",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "mov r8, #0",
        "mov r9, #0",
        "2:",
        // Channel 0: r12 even, lr odd weights.
        "ldr r10, [r1], #4",
        "sxtb16 r12, r10",
        "sxtb16 lr, r10, ror #8",
        "ldrd r10, r11, [r0]",
        "smlad r4, r10, r12, r4",
        "smlad r4, r11, lr, r4",
        "ldrd r10, r11, [r3]",
        "smlad r5, r10, r12, r5",
        "smlad r5, r11, lr, r5",
        "ldrd r10, r11, [r2], #8",
        "smlad r6, r10, r12, r6",
        "smlad r6, r11, lr, r6",
        // Channel 1, the patches from the last to the first.
        "ldr r12, [r1], #4",
        "sxtb16 lr, r12, ror #8",
        "sxtb16 r12, r12",
        "smlad r9, r10, r12, r9",
        "smlad r9, r11, lr, r9",
        "ldrd r10, r11, [r3], #8",
        "smlad r8, r10, r12, r8",
        "smlad r8, r11, lr, r8",
        "ldrd r10, r11, [r0], #8",
        "smlad r7, r10, r12, r7",
        "smlad r7, r11, lr, r7",
        "ldr r10, [sp]",
        "cmp r1, r10",
        "bne 2b",
        "pop {{r12, lr}}",
        "pop {{r3}}",
        "strd r4, r7, [r3]",
        "strd r5, r8, [r3, #8]",
        "strd r6, r9, [r3, #16]",
        "pop {{r4-r11, pc}}",
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
