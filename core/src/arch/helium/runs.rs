//! Loops over runs of bytes.

/// The least of `count` bytes, at most 255.
///
/// # Safety
/// `bytes` is valid for `count` reads.
#[cfg(mixel_helium)]
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

#[cfg(not(mixel_helium))]
pub(super) unsafe fn least(bytes: *const u8, count: usize) -> usize {
    // SAFETY: the caller's.
    (0..count).map(|index| unsafe { *bytes.add(index) }).min().unwrap_or(u8::MAX) as usize
}

/// Limits `count` values to `min ..= max`.
///
/// # Safety
/// `values` is valid for `count` reads and writes.
#[cfg(mixel_helium)]
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

#[cfg(not(mixel_helium))]
pub(super) unsafe fn limit(values: *mut i8, count: usize, min: i32, max: i32) {
    for index in 0..count {
        // SAFETY: the caller's.
        unsafe { *values.add(index) = (*values.add(index) as i32).max(min).min(max) as i8 };
    }
}

/// Sets `count` bytes.
///
/// # Safety
/// `bytes` is valid for `count` writes.
#[cfg(mixel_helium)]
#[unsafe(naked)]
pub(super) unsafe extern "C" fn fill(bytes: *mut i8, count: usize, value: i32) {
    helium!(
        "push {{r7, lr}}",
        "vdup.8 q0, r2",
        "wlstp.8 lr, r1, 3f",
        "2:",
        "vstrb.8 q0, [r0], #16",
        "letp lr, 2b",
        "3:",
        "pop {{r7, pc}}",
    )
}

#[cfg(not(mixel_helium))]
pub(super) unsafe fn fill(bytes: *mut i8, count: usize, value: i32) {
    // SAFETY: the caller's.
    unsafe { core::ptr::write_bytes(bytes, value as u8, count) }
}

/// Copies `count` runs of `len` bytes.
///
/// # Safety
/// Runs are valid for `len` reads each and lie `steps[0]` apart, their places for as many writes and `steps[1]` apart; there is one
/// at least, and what shares memory with a run is at most its own place, which begins in front of it.
#[cfg(mixel_helium)]
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
        "cmp r2, #16",
        "bls 5f",
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
        // Runs of a vector or less.
        "5:",
        "vctp.8 r2",
        "dls lr, r3",
        "beq 7f",
        "6:",
        "vpstt",
        "vldrbt.u8 q0, [r0]",
        "vstrbt.8 q0, [r1]",
        "add r0, r6",
        "add r1, r7",
        "le lr, 6b",
        "pop {{r4-r8, pc}}",
        "7:",
        "vldrb.u8 q0, [r0]",
        "vstrb.8 q0, [r1]",
        "add r0, r6",
        "add r1, r7",
        "le lr, 7b",
        "pop {{r4-r8, pc}}",
    )
}

#[cfg(not(mixel_helium))]
pub(super) unsafe fn copy(from: *const i8, to: *mut i8, len: usize, count: usize, steps: &[usize; 2]) {
    for run in 0..count {
        // SAFETY: the caller's.
        unsafe { to.add(run * steps[1]).copy_from(from.add(run * steps[0]), len) }
    }
}
