//! Sums, products and table look-ups with the DSP extension: four elements at a time.
//!
//! Sums: operands are moved up to the upper bytes of halves, two of a word with one `AND`, and factors by eight bits, so that
//! `SMLAWB` and `SMLAWT`, which drop the low 16 bits of a product of 32 and 16, drop zeros.
#![allow(unsafe_code)]

use super::elementwise::{Product, Sum};
use super::view::{In, Out};

/// What [`sums_2`] and [`sums_3`] work on, which count on the order.
#[repr(C)]
struct Task<const N: usize> {
    x: [*const i8; N],
    /// Results, and where they end: a multiple of four further, not zero.
    y: *mut i8,
    /// Times 2^8.
    factors: [i32; N],
    /// Half a step of the results and their zero point included.
    constant: i32,
    /// To the right.
    shift: i32,
    end: *mut i8,
    /// Limits of the results, in each byte.
    min: u32,
    max: u32,
}

/// See [`super::elementwise::add`]; the lengths are equal.
pub fn add<const N: usize>(x: [In<'_, i8>; N], y: Out<'_, i8>, sum: &Sum<N>) -> bool {
    // With the zero point among the products: 3 * 255 * 2^21 + 128 * 2^22 + 2^21 < 2^31.
    if sum.shift > 22 {
        return false;
    }
    let words = y.len() & !3;
    let task = Task {
        x: x.map(|x| x.as_ptr()),
        y: y.as_mut_ptr(),
        factors: sum.factors.map(|factor| factor << 8),
        constant: sum.zero.wrapping_add((2 * sum.clamp.zero_point + 1) << sum.shift >> 1),
        shift: sum.shift.into(),
        end: y.as_mut_ptr().wrapping_add(words),
        min: u32::from_ne_bytes([sum.clamp.min as u8; 4]),
        max: u32::from_ne_bytes([sum.clamp.max as u8; 4]),
    };
    let task = &raw const task;
    // SAFETY: a task of N is one of the number that N is. The windows have so many elements, and a verified plan lays results
    // so that they may be written in order.
    unsafe {
        match N {
            _ if words == 0 => {}
            2 => sums_2(task.cast()),
            3 => sums_3(task.cast()),
            _ => return false,
        }
    }
    for index in words..y.len() {
        y.set(index, sum.apply(x.map(|x| x.get(index) as i32)) as i8);
    }
    true
}

/// Elements 0 and 2, then 1 and 3 of four of an operand, times its factor, added to sums: 7 instructions.
macro_rules! operand {
    ($x:literal, $factor:literal, $sum0:literal, $sum1:literal, $sum2:literal, $sum3:literal) => {
        concat!(
            "ldr r12, [",
            $x,
            "], #4\n",
            "and lr, r7, r12, lsl #8\n",
            "and r12, r7, r12\n",
            "smlawb r8, ",
            $factor,
            ", lr, ",
            $sum0,
            "\n",
            "smlawb r9, ",
            $factor,
            ", r12, ",
            $sum1,
            "\n",
            "smlawt r10, ",
            $factor,
            ", lr, ",
            $sum2,
            "\n",
            "smlawt r11, ",
            $factor,
            ", r12, ",
            $sum3,
        )
    };
    ($x:literal, $factor:literal) => {
        operand!($x, $factor, "r8", "r9", "r10", "r11")
    };
}

/// The body of a function of a task: `constants` is where its constants begin, `load` takes the operands' addresses into r0 to
/// r2, that of the results into r3 and the factors into r4 to r6, `operand` adds what each of them has to the sums.
macro_rules! sums {
    ($constants:literal, [$($load:literal),*], [$($operand:expr),*]) => {
        // r7 the upper bytes of halves, r8-r11 sums. Stack: 0 constant, 4 shift, 8 end, 12 min, 16 max.
        core::arch::naked_asm!(
            cpu!(),
            "push {{r4-r11, lr}}",
            concat!("add r1, r0, #", $constants),
            "ldm r1, {{r4-r8}}",
            "push {{r4-r8}}",
            $($load,)*
            "mov r7, #0xFF00FF00",
            "2:",
            "ldr r11, [sp]",
            $($operand,)*
            "ldrd r12, lr, [sp, #4]",
            "asr r8, r8, r12",
            "asr r9, r9, r12",
            "asr r10, r10, r12",
            "asr r11, r11, r12",
            "ssat r8, #8, r8",
            "ssat r9, #8, r9",
            "ssat r10, #8, r10",
            "ssat r11, #8, r11",
            "bfi r8, r9, #8, #8",
            "bfi r8, r10, #16, #8",
            "bfi r8, r11, #24, #8",
            "ldrd r9, r10, [sp, #12]",
            "ssub8 r12, r8, r9",
            "sel r8, r8, r9",
            "ssub8 r12, r10, r8",
            "sel r8, r8, r10",
            "str r8, [r3], #4",
            "cmp r3, lr",
            "bne 2b",
            "add sp, #20",
            "pop {{r4-r11, pc}}",
        )
    };
}

/// Sums of elements of two operands with factors, four at a time: 35 instructions.
///
/// # Safety
/// As for [`sums_3`].
#[unsafe(naked)]
unsafe extern "C" fn sums_2(task: *const Task<2>) {
    sums!(
        "20",
        ["ldrd r4, r5, [r0, #12]", "ldr r3, [r0, #8]", "ldrd r0, r1, [r0]"],
        [operand!("r0", "r4", "r11", "r11", "r11", "r11"), operand!("r1", "r5")]
    )
}

/// Sums of elements of three operands with factors, four at a time: 42 instructions.
///
/// # Safety
/// Operands are valid for reads and results for writes up to the end, and results lie at or in front of operands that they
/// share memory with.
#[unsafe(naked)]
unsafe extern "C" fn sums_3(task: *const Task<3>) {
    sums!(
        "28",
        ["ldm r0, {{r0-r6}}"],
        [operand!("r0", "r4", "r11", "r11", "r11", "r11"), operand!("r1", "r5"), operand!("r2", "r6")]
    )
}

/// What [`products`] works on, which counts on the order.
#[repr(C)]
struct Products {
    a: *const i8,
    b: *const i8,
    /// Results, and where they end: a multiple of four further, not zero.
    y: *mut i8,
    /// The negative zero points of the operands, in both halves.
    zeros: [u32; 2],
    multiplier: i32,
    /// Half a step of the results and their zero point.
    constant: i32,
    /// To the right.
    shift: i32,
    end: *mut i8,
    /// Limits of the results, in each byte.
    min: u32,
    max: u32,
}

/// See [`super::elementwise::multiply`]; the lengths are equal.
pub fn multiply(a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, product: &Product) -> bool {
    // What is left of the shift behind the upper words of products of 14 bits more; with the zero point below 2^31.
    let shift = product.scale.shift.wrapping_sub(18);
    if !(1..=22).contains(&shift) {
        return false;
    }
    let words = y.len() & !3;
    let [za, zb] = product.zeros.map(|zero| {
        let half = 0i32.wrapping_sub(zero) as u32 & 0xFFFF;
        half | half << 16
    });
    let task = Products {
        a: a.as_ptr(),
        b: b.as_ptr(),
        y: y.as_mut_ptr(),
        zeros: [za, zb],
        multiplier: product.scale.multiplier,
        constant: (2 * product.clamp.zero_point + 1) << shift >> 1,
        shift: shift.into(),
        end: y.as_mut_ptr().wrapping_add(words),
        min: u32::from_ne_bytes([product.clamp.min as u8; 4]),
        max: u32::from_ne_bytes([product.clamp.max as u8; 4]),
    };
    if words > 0 {
        // SAFETY: the windows have so many elements, and a verified plan lays results so that they may be written in order.
        unsafe { products(&raw const task) }
    }
    for index in words..y.len() {
        y.set(index, product.apply(a.get(index) as i32, b.get(index) as i32) as i8);
    }
    true
}

/// Products of elements of two operands, four at a time: 37 instructions.
///
/// # Safety
/// As for [`sums_3`].
#[unsafe(naked)]
unsafe extern "C" fn products(task: *const Products) {
    // r0 a, r1 b, r2 results, r3 and r4 zero points, r5 multiplier, r6 constant, r7 shift. Stack: 0 end, 4 min, 8 max.
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r11, lr}}",
        "add r1, r0, #32",
        "ldm r1, {{r4-r6}}",
        "push {{r4-r6}}",
        "ldm r0, {{r0-r7}}",
        "2:",
        "ldr r8, [r0], #4",
        "ldr r9, [r1], #4",
        "sxtab16 r10, r3, r8",
        "sxtab16 r8, r3, r8, ror #8",
        "sxtab16 r11, r4, r9",
        "sxtab16 r9, r4, r9, ror #8",
        "smulbb r12, r10, r11",
        "smultt r10, r10, r11",
        "smulbb r11, r8, r9",
        "smultt r8, r8, r9",
        "lsl r12, r12, #14",
        "lsl r11, r11, #14",
        "lsl r10, r10, #14",
        "lsl r8, r8, #14",
        "smmla r12, r12, r5, r6",
        "smmla r11, r11, r5, r6",
        "smmla r10, r10, r5, r6",
        "smmla r8, r8, r5, r6",
        "asr r12, r12, r7",
        "asr r11, r11, r7",
        "asr r10, r10, r7",
        "asr r8, r8, r7",
        "ssat r12, #8, r12",
        "ssat r11, #8, r11",
        "ssat r10, #8, r10",
        "ssat r8, #8, r8",
        "bfi r12, r11, #8, #8",
        "bfi r12, r10, #16, #8",
        "bfi r12, r8, #24, #8",
        "ldm sp, {{r9-r11}}",
        "ssub8 r8, r12, r10",
        "sel r12, r12, r10",
        "ssub8 r8, r11, r12",
        "sel r12, r12, r11",
        "str r12, [r2], #4",
        "cmp r2, r9",
        "bne 2b",
        "add sp, #12",
        "pop {{r4-r11, pc}}",
    )
}

/// See [`super::elementwise::lookup`]; the lengths are equal.
pub fn lookup(x: In<'_, i8>, y: Out<'_, i8>, table: In<'_, i8>) {
    let words = y.len() & !3;
    if words > 0 {
        // SAFETY: the windows have so many elements and the table 256; a verified plan lays results so that they may be written
        // in order.
        unsafe {
            let zero = table.as_ptr().add(128);
            entries(x.as_ptr(), y.as_mut_ptr(), zero, y.as_mut_ptr().wrapping_add(words))
        }
    }
    (words..y.len()).for_each(|at| y.set(at, table.get((x.get(at) as u8 ^ 0x80) as usize)));
}

/// The entries of a table, around the one for 0, of four elements: 13 instructions.
macro_rules! four_entries {
    () => {
        "ldr r4, [r0], #4
        sxtb r5, r4
        sxtb r6, r4, ror #8
        sxtb r7, r4, ror #16
        asr r4, r4, #24
        ldrb r5, [r2, r5]
        ldrb r6, [r2, r6]
        ldrb r7, [r2, r7]
        ldrb r4, [r2, r4]
        orr r5, r5, r6, lsl #8
        orr r5, r5, r7, lsl #16
        orr r5, r5, r4, lsl #24
        str r5, [r1], #4"
    };
}

/// Entries of a table for elements from `x` on, eight at a time up to `end`: 28 instructions. `table` is the entry for 0.
///
/// # Safety
/// `x` is valid for reads and `y` for writes up to the end, a multiple of four further and not zero, `table` for 128 reads in
/// front of it and 128 from there on; results lie at or in front of the elements that they share memory with.
#[unsafe(naked)]
unsafe extern "C" fn entries(x: *const i8, y: *mut i8, table: *const i8, end: *mut i8) {
    core::arch::naked_asm!(
        cpu!(),
        "push {{r4-r7, lr}}",
        // An odd number of fours begins with the second.
        "sub r4, r3, r1",
        "lsls r4, r4, #29",
        "bne 3f",
        "2:",
        four_entries!(),
        "3:",
        four_entries!(),
        "cmp r1, r3",
        "bne 2b",
        "pop {{r4-r7, pc}}",
    )
}
