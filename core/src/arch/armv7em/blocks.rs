//! Pixel shuffles by two, a word of four channels at a time.

/// What [`blocks`] and [`blocks_turned`] work on, in this order.
#[repr(C)]
pub(in crate::arch) struct Blocks {
    /// The first pixel.
    pub from: *const u8,
    /// Where the first block's rows go.
    pub top: *mut u8,
    pub bottom: *mut u8,
    /// Bytes from a position to the next there.
    pub pitch: usize,
    /// Words of a position.
    pub quads: usize,
    /// Pixels, at least one.
    pub count: usize,
}

/// Defines a function that stores blocks, from instructions that take the words of a quad to r7 (left) and r8 (right) of the top row and
/// to r9 and r10 of the bottom row, and go on to the next quad, and to the next pixel.
macro_rules! blocks {
    ($(#[$attribute:meta])* $name:ident, $quad:expr, $next:expr) => {
        $(#[$attribute])*
        ///
        /// # Safety
        /// Pixels of `4 * quads` words are valid for reads, as many positions of both rows for writes, all at any address, and they share
        /// no memory. There is at least one quad.
        #[unsafe(naked)]
        pub(in crate::arch) unsafe extern "C" fn $name(work: &Blocks) {
            // r0 from, r1 top, r2 bottom, r3 pitch, r4 bytes of a position, r5 pixels, r6 what is left of the position.
            core::arch::naked_asm!(
                cpu!(),
                "push {{r4-r11, lr}}",
                "ldm r0, {{r0-r5}}",
                "lsl r4, r4, #2",
                // SEL takes bytes 0 and 2 of its first operand.
                "mov r7, #0x00FF00FF",
                "mov r8, #0x01010101",
                "usub8 r7, r7, r8",
                "2:",
                "mov r6, r4",
                "3:",
                $quad,
                "str r8, [r1, r3]",
                "str r10, [r2, r3]",
                "str r7, [r1], #4",
                "str r9, [r2], #4",
                "subs r6, #4",
                "bne 3b",
                $next,
                "add r1, r1, r3, lsl #1",
                "add r2, r2, r3, lsl #1",
                "sub r1, r4",
                "sub r2, r4",
                "subs r5, #1",
                "bne 2b",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

blocks!(
    /// Positions of a pixel lie one behind the other: 11 instructions for 16 bytes.
    blocks,
    "ldr r8, [r0, r4]
        ldr r9, [r0, r4, lsl #1]
        add r10, r0, r4, lsl #1
        ldr r10, [r10, r4]
        ldr r7, [r0], #4",
    "add r0, r4
        add r0, r0, r4, lsl #1"
);

blocks!(
    /// The four positions of a channel lie one behind the other: 24 instructions for 16 bytes. (LDM takes words at whole words only, and
    /// pixels of a tensor that is packed closely lie anywhere.)
    blocks_turned,
    "ldr r8, [r0, #4]
        ldr r9, [r0, #8]
        ldr r10, [r0, #12]
        ldr r7, [r0], #16
        pkhbt r11, r7, r9, lsl #16
        pkhtb r9, r9, r7, asr #16
        pkhbt r12, r8, r10, lsl #16
        pkhtb r10, r10, r8, asr #16
        lsl r7, r12, #8
        sel r7, r11, r7
        lsr r11, r11, #8
        sel r8, r11, r12
        lsl r11, r10, #8
        lsr r12, r9, #8
        sel r9, r9, r11
        sel r10, r12, r10",
    ""
);
