//! x86-64: what the machine has, and the micro-kernels of its instruction sets, one file each.

pub(super) mod avx2;
pub(super) mod avx512;
pub(super) mod avx_vnni;
pub(super) mod depthwise;
pub(super) mod depthwise_avx2;
pub(super) mod elementwise;
pub(super) mod evt2;
pub(super) mod matmul;
pub(super) mod normal;

use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

/// Bits of the extended state that the operating system saves: XMM and YMM, and with them opmask and ZMM.
const YMM: u64 = 0b110;
const ZMM: u64 = 0b1110_0110;

/// Bits of leaf 7: (EBX, ECX).
fn features() -> (u32, u32) {
    if __cpuid(0).eax < 7 {
        return (0, 0);
    }
    let leaf = __cpuid_count(7, 0);
    (leaf.ebx, leaf.ecx)
}

/// Whether the operating system saves this state.
#[allow(unsafe_code)]
fn saved(state: u64) -> bool {
    const OSXSAVE: u32 = 1 << 27;
    // SAFETY: the processor says that XGETBV is there.
    __cpuid(1).ecx & OSXSAVE != 0 && unsafe { xcr0() } & state == state
}

/// # Safety
/// The machine has XGETBV.
#[allow(unsafe_code)]
#[target_feature(enable = "xsave")]
unsafe fn xcr0() -> u64 {
    // SAFETY: the caller's.
    unsafe { _xgetbv(0) }
}

/// AVX2.
pub(super) fn has_avx2() -> bool {
    features().0 & 1 << 5 != 0 && saved(YMM)
}

/// AVX-VNNI, besides AVX2.
pub(super) fn has_avx_vnni() -> bool {
    has_avx2() && __cpuid_count(7, 0).eax >= 1 && __cpuid_count(7, 1).eax & 1 << 4 != 0
}

/// AVX-512 F, DQ, BW, VL and VNNI, besides AVX2.
pub(super) fn has_avx512_vnni() -> bool {
    const EBX: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
    let (ebx, ecx) = features();
    has_avx2() && ebx & EBX == EBX && ecx & 1 << 11 != 0 && saved(ZMM)
}
