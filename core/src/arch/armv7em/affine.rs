//! The last step of a normalisation.

/// What [`affine`] works on. The first four fields arrive in registers, the others on the stack, where they are counted on.
#[repr(C)]
pub(in crate::arch) struct AffineRow {
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
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn affine(row: AffineRow) {
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
