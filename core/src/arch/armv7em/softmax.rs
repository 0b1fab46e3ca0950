//! Rows of a softmax: the weights of elements, and their quotients.

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

/// Keeps the weight of each element up to `end`, the upper half of a product of one of `low`, by the low four bits of its difference to the
/// largest, and one of `high`, by the others, in 10 or 11 instructions, and gives their sum. The largest element takes 6 for four.
///
/// # Safety
/// There is an element; all of them and 16 entries of each table can be read, as many weights written. Two weights fit 32 bits.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn weights(
    x: *const i8,
    end: *const i8,
    low: *const u32,
    high: *const u32,
    kept: *mut u32,
) -> u64 {
    // r0 x, r1 end, r2 low, r3 high, r4 kept, r5 max, r8 and r9 sum, r12 and lr two weights; r6 and r7 for a moment.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r9, lr}}",
        "ldr r4, [sp, #28]",
        // Words from the end on, and then single ones.
        "mov r5, #0x80808080",
        "mov r7, r1",
        "b 3f",
        "2:",
        "ldr r6, [r7, #-4]!",
        "ssub8 r8, r6, r5",
        "sel r5, r6, r5",
        "3:",
        "subs r6, r7, #4",
        "cmp r6, r0",
        "bhs 2b",
        "lsrs r6, r5, #16",
        "ssub8 r8, r6, r5",
        "sel r5, r6, r5",
        "lsrs r6, r5, #8",
        "ssub8 r8, r6, r5",
        "sel r5, r6, r5",
        "sxtb r5, r5",
        "b 5f",
        "4:",
        "ldrsb r6, [r7, #-1]!",
        "cmp r6, r5",
        "it gt",
        "movgt r5, r6",
        "5:",
        "cmp r7, r0",
        "bne 4b",
        "movs r6, #0",
        "mov r8, r6",
        "mov r9, r6",
        // An odd number begins with the second.
        "mov r12, r6",
        "subs r6, r1, r0",
        "lsls r6, r6, #31",
        "bne 7f",
        "6:",
        weight!("r12"),
        "7:",
        weight!("lr"),
        "add r12, lr",
        "adds r8, r8, r12",
        "adc r9, r9, #0",
        "cmp r0, r1",
        "bne 6b",
        "mov r0, r8",
        "mov r1, r9",
        "pop {{r4-r9, pc}}",
    )
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

/// Quotients of weights up to the result at `end`, 7 instructions each: the upper half of the product with `factor`, which is not negative,
/// shifted by 1 to 30.
///
/// # Safety
/// There is a weight; all of them can be read and all results written.
#[unsafe(naked)]
pub(in crate::arch) unsafe extern "C" fn quotients(
    kept: *const u32,
    y: *mut i8,
    end: *mut i8,
    factor: i32,
    shift: u32,
    zero_point: i32,
) {
    // r0 kept, r1 y, r2 end, r3 factor, r4 shift, r5 zero point.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r6, lr}}",
        "ldrd r4, r5, [sp, #16]",
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
