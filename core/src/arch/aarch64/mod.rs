//! 64-bit Arm: what the machine has, and the micro-kernels of NEON, without and with dot products.

pub(super) mod depthwise;
pub(super) mod elementwise;
mod few;
pub(super) mod matmul;
pub(super) mod matrix;
pub(super) mod normal;
mod scale;

/// Whether the machine has `SDOT`.
pub(super) fn has_dot_product() -> bool {
    cfg!(target_feature = "dotprod") || instructions() >> 44 & 0xF != 0
}

/// Register ID_AA64ISAR0_EL1. Linux answers for the processor since 4.11 (Documentation/arch/arm64/cpu-feature-registers.rst).
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn instructions() -> u64 {
    let register: u64;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mrs {}, ID_AA64ISAR0_EL1", out(reg) register, options(pure, nomem, nostack, preserves_flags));
    }
    register
}

/// Elsewhere a program cannot ask the processor; what the build was told counts.
#[cfg(not(target_os = "linux"))]
fn instructions() -> u64 {
    0
}
