//! Rows of a softmax: the weights of elements, and their quotients.

/// What [`weights`] works on, in this order.
#[repr(C)]
pub(in crate::arch) struct WeightsRow {
    /// Elements, at least four, and their end.
    pub x: *const i8,
    pub end: *const i8,
    /// Weights of the low four bits of a difference, and of the others: 16 each.
    pub low: *const u32,
    pub high: *const u32,
    /// The weights of the elements.
    pub kept: *mut u32,
}

/// The weight of one element, in the register that is named: 8 instructions.
macro_rules! weight {
    ($to:literal) => {
        concat!(
            "ldrsb r6, [r0], #1
        subs r6, r5, r6
        and r7, r6, #15
        lsrs r6, r6, #4
        ldr r7, [r2, r7, lsl #2]
        ldr r6, [r3, r6, lsl #2]
        umull r7, ",
            $to,
            ", r6, r7
        str ",
            $to,
            ", [r4], #4"
        )
    };
}

/// Keeps the weight of each element, the upper half of a product, in 10 or 11 instructions, and gives their sum; the largest element takes 6
/// for four.
///
/// # Safety
/// All elements and table entries can be read, as many weights written; two weights fit 32 bits.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn weights(row: &WeightsRow) -> u64 {
    // r0 x, r1 end, r2 low, r3 high, r4 kept, r5 max, r8 and r9 sum, r12 and lr two weights; r6 and r7 for a moment.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r9, lr}}",
        "ldm r0, {{r0-r4}}",
        // Words from the end on, and the first one.
        "ldr r5, [r0]",
        "mov r7, r1",
        "2:",
        "ldr r6, [r7, #-4]!",
        "ssub8 r8, r6, r5",
        "sel r5, r6, r5",
        "subs r6, r7, #4",
        "cmp r6, r0",
        "bhi 2b",
        "lsrs r6, r5, #16",
        "ssub8 r8, r6, r5",
        "sel r5, r6, r5",
        "lsrs r6, r5, #8",
        "ssub8 r8, r6, r5",
        "sel r5, r6, r5",
        "sxtb r5, r5",
        "movs r6, #0",
        "mov r8, r6",
        "mov r9, r6",
        // An odd number begins with the second.
        "mov r12, r6",
        "subs r6, r1, r0",
        "lsls r6, r6, #31",
        "bne 4f",
        "3:",
        weight!("r12"),
        "4:",
        weight!("lr"),
        "add r12, lr",
        "adds r8, r8, r12",
        "adc r9, r9, #0",
        "cmp r0, r1",
        "bne 3b",
        "mov r0, r8",
        "mov r1, r9",
        "pop {{r4-r9, pc}}",
    )
}

/// What [`quotients`] works on, in this order.
#[repr(C)]
pub(in crate::arch) struct QuotientsRow {
    /// Weights, at least one.
    pub kept: *const u32,
    /// Results, and their end.
    pub y: *mut i8,
    pub end: *mut i8,
    /// Not negative; the upper half of its product with a weight counts.
    pub factor: i32,
    /// What that is shifted by, 1 to 30.
    pub shift: u32,
    /// Zero point of the results.
    pub zero_point: i32,
}

/// One quotient: 6 instructions. It is rounded as in [`tiles`](super::tiles).
macro_rules! quotient {
    () => {
        "ldm r0!, {{r6}}
        smmul r6, r6, r3
        asrs r6, r4
        adcs r6, r5
        ssat r6, #8, r6
        strb r6, [r1], #1"
    };
}

/// Quotients of weights, 7 instructions each.
///
/// # Safety
/// All weights can be read, all results written.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn quotients(row: &QuotientsRow) {
    // r0 kept, r1 y, r2 end, r3 factor, r4 shift, r5 zero point.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r6, lr}}",
        "ldm r0, {{r0-r5}}",
        "subs r6, r2, r1",
        "lsls r6, r6, #31",
        "bne 3f",
        "2:",
        quotient!(),
        "3:",
        quotient!(),
        "cmp r1, r2",
        "bne 2b",
        "pop {{r4-r6, pc}}",
    )
}
