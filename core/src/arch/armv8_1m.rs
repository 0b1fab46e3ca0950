//! Inner loops of Cortex-M cores with Helium, the vector extension of Armv8.1-M, for which there are no intrinsics yet.
#![allow(unsafe_code)]

// The compiler may read module assembly for a core without these instructions, whatever `-C target-cpu` says.
macro_rules! helium {
    ($($line:expr),* $(,)?) => {
        core::arch::naked_asm!(".cpu cortex-m55", $($line),*)
    };
}

/// What [`pairs`] works on. The first nine words are loaded together into registers. The first four, and those from `shift` on,
/// move by their steps from one block of channels to the next.
#[repr(C)]
pub(super) struct Pairs {
    /// Weights of the block.
    pub w: *const i8,
    pub bias: *const i32,
    /// Where the outputs of the block's channels end.
    pub end: *mut i8,
    pub multiplier: *const i32,
    /// Whole groups of 16 inputs in front of the last one.
    pub groups: usize,
    pub zero_point: i32,
    /// From where the second row's groups end to the third row.
    pub back: isize,
    /// From a row to the next.
    pub step: usize,
    /// From a row of outputs to the next.
    pub stride: usize,
    pub shift: *const u8,
    pub y: *mut i8,
    /// Blocks that are left.
    pub blocks: usize,
    /// First and second row.
    pub x: [*const i8; 2],
    pub first_steps: [usize; 4],
    pub second_steps: [usize; 4],
    /// Inputs in the last group, 1 to 16.
    pub last: usize,
    pub min: i32,
    pub max: i32,
}

/// Pairs of rows times blocks of four channels, to the last step of the outputs.
///
/// A group of 16 inputs is 6 loads and 8 `VMLADAVA` for 128 products. Eight sums take every register that may hold one
/// (even ones), so the loop counts in an odd one.
///
/// # Safety
/// `task` describes at least one pair, one block and one input; rows, weights, channels and outputs are as long as that asks
/// for, and shifts are 33 to 62.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn pairs(task: *mut Pairs) {
    // Even registers: sums; r1 weights, r3 and r11 rows, r7 groups, r9 task, r5 outputs.
    // q0 and q1 inputs, q2 weights, q3 multipliers, q4 shifts to the left, q5 and q6 range, q7 outputs.
    helium!(
        "push {{r4-r11, lr}}",
        "vpush {{d8-d15}}",
        "mov r9, r0",
        "ldr r0, [r9, #88]",
        "vctp.8 r0",
        "ldrd r0, r2, [r9, #92]",
        "vdup.32 q5, r0",
        "vdup.32 q6, r2",
        // A block of channels.
        "1:",
        "ldm r9, {{r1, r2, r4, r6, r7, r8, r10, r12, lr}}",
        "vldrw.u32 q3, [r6]",
        "ldrd r0, r5, [r9, #36]",
        "vldrb.u32 q4, [r0]",
        "movs r0, #32",
        "vneg.s32 q4, q4",
        "vadd.i32 q4, q4, r0",
        "ldrd r3, r11, [r9, #48]",
        // A pair of rows.
        "2:",
        "ldrd r4, r6, [r2, #8]",
        "ldrd r8, r10, [r2]",
        "ldrd r12, lr, [r2, #8]",
        "ldrd r0, r2, [r2]",
        "cbz r7, 4f",
        "3:",
        "vldrb.u8 q0, [r3], #16",
        "vldrb.u8 q1, [r11], #16",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r0, q0, q2",
        "vmladava.s8 r8, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "subs r7, #1",
        "bne 3b",
        "4:",
        "vpstt",
        "vldrbt.u8 q0, [r3], #16",
        "vldrbt.u8 q1, [r11], #16",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r0, q0, q2",
        "vmladava.s8 r8, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r2, q0, q2",
        "vmladava.s8 r10, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r4, q0, q2",
        "vmladava.s8 r12, q1, q2",
        "vldrb.u8 q2, [r1], #16",
        "vmladava.s8 r6, q0, q2",
        "vmladava.s8 lr, q1, q2",
        "vmov q7[2], q7[0], r0, r4",
        "vmov q7[3], q7[1], r2, r6",
        "vmov q0[2], q0[0], r8, r12",
        "vmov q0[3], q0[1], r10, lr",
        "vmulh.s32 q7, q7, q3",
        "vmulh.s32 q0, q0, q3",
        "ldm r9, {{r1, r2, r4, r6, r7, r8, r10, r12, lr}}",
        "vrshl.s32 q7, q7, q4",
        "vrshl.s32 q0, q0, q4",
        "vadd.i32 q7, q7, r8",
        "vadd.i32 q0, q0, r8",
        "vmax.s32 q7, q7, q5",
        "vmax.s32 q0, q0, q5",
        "vmin.s32 q7, q7, q6",
        "vmin.s32 q0, q0, q6",
        "vstrb.32 q7, [r5]",
        "add r5, lr",
        "vstrb.32 q0, [r5]",
        "add r5, lr",
        "add r3, r11, r10",
        "add r11, r3, r12",
        "cmp r5, r4",
        "bne 2b",
        "vldrw.u32 q0, [r9]",
        "vldrw.u32 q1, [r9, #56]",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r9]",
        "vldrw.u32 q0, [r9, #36]",
        "vldrw.u32 q1, [r9, #72]",
        "vadd.i32 q0, q0, q1",
        "vstrw.32 q0, [r9, #36]",
        "ldr r0, [r9, #44]",
        "cmp r0, #0",
        "bne 1b",
        "vpop {{d8-d15}}",
        "pop {{r4-r11, pc}}",
    )
}

/// What [`row`] works on.
#[repr(C)]
pub(super) struct Row {
    pub y: *mut i8,
    pub shift: *const u8,
    pub x: *const i8,
    pub depth: usize,
    pub bias: *const i32,
    pub multiplier: *const i32,
    pub w: *const i8,
    /// Blocks of four channels.
    pub blocks: usize,
    pub zero_point: i32,
    /// The constant 32.
    pub thirty_two: i32,
    pub min: i32,
    pub max: i32,
}

/// One row times blocks of four channels, to the last step of the outputs: 5 loads and 4 `VMLADAVA` for 64 products.
///
/// # Safety
/// As for [`pairs`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn row(task: *const Row) {
    // r0, r2, r4, r6 sums; r1 outputs, r3 shifts, r5 row, r7 depth, r8 bias, r9 multipliers, r10 weights, r11 inputs, r12
    // blocks; q0 inputs and outputs, q1 weights and scale, q2 and q3 range.
    helium!(
        "push {{r4-r11, lr}}",
        "ldrd r1, r2, [r0, #40]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        "ldrd r1, r2, [r0, #32]",
        "push {{r1, r2}}",
        "ldm r0, {{r1, r3, r5, r7, r8, r9, r10, r12}}",
        "2:",
        "ldrd r0, r2, [r8], #8",
        "ldrd r4, r6, [r8], #8",
        "mov r11, r5",
        "dlstp.8 lr, r7",
        "3:",
        "vldrb.u8 q0, [r11], #16",
        "vldrb.u8 q1, [r10], #16",
        "vmladava.s8 r0, q0, q1",
        "vldrb.u8 q1, [r10], #16",
        "vmladava.s8 r2, q0, q1",
        "vldrb.u8 q1, [r10], #16",
        "vmladava.s8 r4, q0, q1",
        "vldrb.u8 q1, [r10], #16",
        "vmladava.s8 r6, q0, q1",
        "letp lr, 3b",
        "vmov q0[2], q0[0], r0, r4",
        "vmov q0[3], q0[1], r2, r6",
        "vldrw.u32 q1, [r9], #16",
        "vmulh.s32 q0, q0, q1",
        "vldrb.u32 q1, [r3], #4",
        "ldrd r0, r2, [sp]",
        "vneg.s32 q1, q1",
        "vadd.i32 q1, q1, r2",
        "vrshl.s32 q0, q0, q1",
        "vadd.i32 q0, q0, r0",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r1], #4",
        "subs r12, #1",
        "bne 2b",
        "pop {{r1, r2}}",
        "pop {{r4-r11, pc}}",
    )
}

/// The least of `count` bytes, at most 255.
///
/// # Safety
/// `bytes` is valid for `count` reads.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn least(bytes: *const u8, count: usize) -> usize {
    helium!(
        "push {{r7, lr}}",
        "mov r2, r0",
        "movs r0, #255",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r2], #16",
        "vminv.u8 r0, q0",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// Copies `count` runs of `len` bytes.
///
/// # Safety
/// Runs are valid for `len` reads each and lie `steps[0]` apart, their places for as many writes and `steps[1]` apart; they do
/// not overlap, and there is one at least.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn copy(
    from: *const i8,
    to: *mut i8,
    len: usize,
    count: usize,
    steps: &[usize; 2],
) {
    helium!(
        "push {{r4-r8, lr}}",
        "ldr r4, [sp, #24]",
        "ldrd r6, r7, [r4]",
        "2:",
        "mov r4, r0",
        "mov r5, r1",
        "wlstp.8 lr, r2, 4f",
        "3:",
        "vldrb.u8 q0, [r4], #16",
        "vstrb.8 q0, [r5], #16",
        "letp lr, 3b",
        "4:",
        "add r0, r6",
        "add r1, r7",
        "subs r3, #1",
        "bne 2b",
        "pop {{r4-r8, pc}}",
    )
}

/// What [`strip_8`] and [`strip_16`] work on.
#[repr(C)]
pub(super) struct Strip {
    /// The first column inside of the first channel of each kernel row; null for rows outside of the image.
    pub rows: *const *const i8,
    /// Kernel rows.
    pub height: usize,
    pub to: *mut i8,
    /// From one pixel to the next.
    pub step: usize,
    /// Columns in front of the image, in it, behind it.
    pub columns: [usize; 3],
    /// From one channel's plane to the next.
    pub plane: usize,
    /// What lies outside.
    pub outside: i32,
    /// Rows that are left.
    pub left: usize,
    /// Channel of the first plane.
    pub channel: usize,
}

/// Defines a function that writes the rows that a row of depthwise outputs sees as planes, one a channel, `[column][kernel row]`:
/// the window of an output is then one run of bytes. `VSTRB.16` stores eight channels at once, each into its plane.
macro_rules! strip {
    ($name:ident, [$($store:literal),*], [$($move:literal),*]) => {
        /// # Safety
        /// Rows have their columns of 8 or 16 channels; there is room for as many planes.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(task: *mut Strip) {
            // r1 rows, r2 kernel rows, r3 plane bytes of this row, r4 step, r5-r7 columns, r8 task, r9 place, r0 inputs;
            // q1 and q2 offsets of the planes, q3 outside.
            helium!(
                "push {{r4-r11, lr}}",
                "mov r8, r0",
                "ldm r0, {{r1, r2, r3, r4, r5, r6, r7, r9, r10}}",
                "movs r0, #0",
                "vidup.u16 q1, r0, #1",
                "vmul.i16 q1, q1, r9",
                "lsl r9, r9, #3",
                "vadd.i16 q2, q1, r9",
                "vdup.16 q3, r10",
                "ldrd r12, r11, [r8, #36]",
                "2:",
                "ldr r0, [r1], #4",
                "mov r9, r3",
                "adds r3, #1",
                "cmp r0, #0",
                "beq 7f",
                "add r0, r11",
                "wls lr, r5, 4f",
                "3:",
                $($store,)*
                "add r9, r2",
                "le lr, 3b",
                "4:",
                "wls lr, r6, 6f",
                "5:",
                $($move,)*
                "add r0, r4",
                "add r9, r2",
                "le lr, 5b",
                "6:",
                "mov r10, r7",
                "b 8f",
                "7:",
                "add r10, r5, r6",
                "add r10, r7",
                "8:",
                "wls lr, r10, 10f",
                "9:",
                $($store,)*
                "add r9, r2",
                "le lr, 9b",
                "10:",
                "subs r12, #1",
                "bne 2b",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

strip!(strip_8, ["vstrb.16 q3, [r9, q1]"], ["vldrb.u16 q0, [r0]", "vstrb.16 q0, [r9, q1]"]);
strip!(
    strip_16,
    ["vstrb.16 q3, [r9, q1]", "vstrb.16 q3, [r9, q2]"],
    ["vldrb.u16 q0, [r0]", "vstrb.16 q0, [r9, q1]", "vldrb.u16 q0, [r0, #8]", "vstrb.16 q0, [r9, q2]"]
);

/// What the [`windows`](windows_by_3) functions work on. The first eight words are loaded together; they move by their steps from
/// four channels to the next four.
#[repr(C)]
pub(super) struct Windows {
    pub y: *mut i8,
    pub shift: *const u8,
    pub bias: *const i32,
    pub multiplier: *const i32,
    /// The first channel's plane.
    pub x: *const i8,
    pub w: *const i8,
    /// Blocks of four channels that are left.
    pub blocks: usize,
    /// Outputs of a channel.
    pub width: usize,
    pub first_steps: [usize; 4],
    pub second_steps: [usize; 4],
    /// From one output of a channel to the next.
    pub stride: usize,
    pub zero_point: i32,
    /// From one channel's plane to the next.
    pub plane: usize,
    /// From one window to the next.
    pub step: usize,
}

/// Defines a function for one row of depthwise outputs from planes: a load and a `VMLADAV` an output, four channels at a time,
/// so that their sums become one vector.
macro_rules! windows {
    ($name:ident, $after:literal, [$($move:literal),*]) => {
        /// # Safety
        /// The task has a block and an output; planes are valid for 16 bytes from every window on, and shifts are 33 to 62.
        #[unsafe(naked)]
        pub(super) unsafe extern "C" fn $name(task: *mut Windows) {
            // r0, r2, r4, r6 sums; r1 outputs, r3 stride, r5 zero point, r7 task, r8-r11 windows, r12 their step;
            // q0-q3 weights, q4 multipliers, q5 shifts to the left, q6 bias, q7 inputs and outputs.
            helium!(
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "mov r7, r0",
                "ldrd r3, r5, [r7, #64]",
                "2:",
                "ldm r7, {{r1, r2, r4, r6, r8, r10, r11, lr}}",
                "vldrb.u32 q5, [r2]",
                "vldrw.u32 q6, [r4]",
                "vldrw.u32 q4, [r6]",
                "movs r0, #32",
                "vneg.s32 q5, q5",
                "vadd.i32 q5, q5, r0",
                "vldrb.u8 q0, [r10]",
                "vldrb.u8 q1, [r10, #16]",
                "vldrb.u8 q2, [r10, #32]",
                "vldrb.u8 q3, [r10, #48]",
                "ldrd r0, r12, [r7, #72]",
                "add r9, r8, r0",
                "add r10, r9, r0",
                "add r11, r10, r0",
                "dls lr, lr",
                "3:",
                concat!("vldrb.u8 q7, [r8]", $after),
                "vmladav.s8 r0, q7, q0",
                concat!("vldrb.u8 q7, [r9]", $after),
                "vmladav.s8 r2, q7, q1",
                concat!("vldrb.u8 q7, [r10]", $after),
                "vmladav.s8 r4, q7, q2",
                concat!("vldrb.u8 q7, [r11]", $after),
                "vmladav.s8 r6, q7, q3",
                $($move,)*
                "vmov q7[2], q7[0], r0, r4",
                "vmov q7[3], q7[1], r2, r6",
                "vadd.i32 q7, q7, q6",
                "vmulh.s32 q7, q7, q4",
                "vrshl.s32 q7, q7, q5",
                "vadd.i32 q7, q7, r5",
                "vqmovnb.s32 q7, q7",
                "vqmovnb.s16 q7, q7",
                "vstrb.32 q7, [r1]",
                "add r1, r3",
                "le lr, 3b",
                "vldrw.u32 q0, [r7]",
                "vldrw.u32 q1, [r7, #32]",
                "vadd.i32 q0, q0, q1",
                "vstrw.32 q0, [r7]",
                "vldrw.u32 q0, [r7, #16]",
                "vldrw.u32 q1, [r7, #48]",
                "vadd.i32 q0, q0, q1",
                "vstrw.32 q0, [r7, #16]",
                "ldr r0, [r7, #24]",
                "cmp r0, #0",
                "bne 2b",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

// Steps of 3x3 kernels, with stride 1 and 2, fit into the loads.
windows!(windows_by_3, ", #3", []);
windows!(windows_by_6, ", #6", []);
windows!(windows_by, "", ["add r8, r12", "add r9, r12", "add r10, r12", "add r11, r12"]);

/// Limits `count` values to `min ..= max`.
///
/// # Safety
/// `values` is valid for `count` reads and writes.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn limit(values: *mut i8, count: usize, min: i32, max: i32) {
    helium!(
        "push {{r7, lr}}",
        "vdup.8 q1, r2",
        "vdup.8 q2, r3",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vldrb.u8 q0, [r0]",
        "vmax.s8 q0, q0, q1",
        "vmin.s8 q0, q0, q2",
        "vstrb.8 q0, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

/// What [`gather`] works on.
#[repr(C)]
pub(super) struct Gather {
    /// The rows of the image that a window sees; null for rows outside.
    pub rows: *const *const i8,
    pub height: usize,
    /// Where the window begins in each of them.
    pub from: usize,
    /// Values in front of the image, in it, behind it.
    pub runs: [usize; 3],
    pub to: *mut i8,
    /// What lies outside.
    pub outside: i32,
}

/// Writes what a window sees, row by row.
///
/// # Safety
/// Rows have the values inside from `from` on; `to` is valid for the runs of all rows; there is one row at least.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn gather(task: *const Gather) {
    helium!(
        "push {{r4-r9, lr}}",
        "ldm r0, {{r1, r2, r3, r4, r5, r6, r7, r8}}",
        "vdup.8 q1, r8",
        "2:",
        "ldr r0, [r1], #4",
        "cbz r0, 7f",
        "add r0, r3",
        "cbz r4, 4f",
        "mov r9, r7",
        "add r7, r4",
        "dlstp.8 lr, r4",
        "3:",
        "vstrb.8 q1, [r9], #16",
        "letp lr, 3b",
        "4:",
        "mov r9, r7",
        "add r7, r5",
        "wlstp.8 lr, r5, 6f",
        "5:",
        "vldrb.u8 q0, [r0], #16",
        "vstrb.8 q0, [r9], #16",
        "letp lr, 5b",
        "6:",
        "mov r0, r6",
        "cbnz r0, 8f",
        "subs r2, #1",
        "bne 2b",
        "pop {{r4-r9, pc}}",
        "7:",
        "add r0, r4, r5",
        "add r0, r6",
        "8:",
        "mov r9, r7",
        "add r7, r0",
        "dlstp.8 lr, r0",
        "9:",
        "vstrb.8 q1, [r9], #16",
        "letp lr, 9b",
        "subs r2, #1",
        "bne 2b",
        "pop {{r4-r9, pc}}",
    )
}

/// What [`add`] works on.
#[repr(C)]
pub(super) struct Add {
    pub a: *const i8,
    pub b: *const i8,
    pub y: *mut i8,
    pub count: usize,
    pub factors: [i32; 2],
    pub zero: i32,
    /// To the left.
    pub shift: i32,
    pub zero_point: i32,
    pub min: i32,
    pub max: i32,
}

/// Sums of elements with factors, four at a time.
///
/// # Safety
/// Operands and results are valid for `count` reads and writes, and results lie at or in front of operands that they share
/// memory with.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn add(task: *const Add) {
    helium!(
        "push {{r4-r9, lr}}",
        "ldrd r1, r2, [r0, #36]",
        "vdup.32 q2, r1",
        "vdup.32 q3, r2",
        "ldm r0, {{r0, r1, r2, r3, r4, r5, r6, r7, r8}}",
        "wlstp.32 lr, r3, 3f",
        "2:",
        "vldrb.s32 q0, [r0], #4",
        "vldrb.s32 q1, [r1], #4",
        "vmul.i32 q0, q0, r4",
        "vmla.s32 q0, q1, r5",
        "vadd.i32 q0, q0, r6",
        "vrshl.s32 q0, r7",
        "vadd.i32 q0, q0, r8",
        "vmax.s32 q0, q0, q2",
        "vmin.s32 q0, q0, q3",
        "vstrb.32 q0, [r2], #4",
        "letp lr, 2b",
        "3:",
        "pop {{r4-r9, pc}}",
    )
}
