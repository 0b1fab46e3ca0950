//! Loops that the compiler makes vectors of, compiled for what this machine has.

/// A loop to be compiled for each set of instructions. Mark [`run`](Self::run) `#[inline(always)]`.
pub trait Loop {
    /// What comes of it.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

/// Runs `work` with the widest vectors that its machine has.
#[inline]
#[cfg_attr(all(target_arch = "x86_64", not(miri)), allow(unsafe_code))]
pub fn vectorised<L: Loop>(work: L) -> L::Output {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if super::Backend::best() != super::Backend::Portable {
        // SAFETY: all but the portable backend have AVX2.
        return unsafe { with_avx2(work) };
    }
    work.run()
}

/// # Safety
/// The machine has AVX2.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[allow(unsafe_code)]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
unsafe fn with_avx2<L: Loop>(work: L) -> L::Output {
    work.run()
}
