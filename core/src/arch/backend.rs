//! Which instructions the kernels of this machine use. All backends give the same bytes.

/// A set of instructions, chosen when a program runs. Instructions that the target always has are not a choice; on
/// microcontrollers there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Backend {
    /// What every machine of the target has.
    Portable,
    /// AVX2.
    #[cfg(not(target_os = "none"))]
    Avx2,
    /// AVX2 with VNNI.
    #[cfg(not(target_os = "none"))]
    AvxVnni,
    /// AVX-512 (F, BW, DQ, VL) with VNNI.
    #[cfg(not(target_os = "none"))]
    Avx512Vnni,
    /// NEON, which every 64-bit Arm has.
    #[cfg(not(target_os = "none"))]
    Neon,
    /// NEON with dot products.
    #[cfg(not(target_os = "none"))]
    NeonDotProduct,
}

impl Backend {
    /// All backends of all machines, from the slowest to the fastest of each.
    pub const ALL: &'static [Backend] = &[
        Self::Portable,
        #[cfg(not(target_os = "none"))]
        Self::Avx2,
        #[cfg(not(target_os = "none"))]
        Self::AvxVnni,
        #[cfg(not(target_os = "none"))]
        Self::Avx512Vnni,
        #[cfg(not(target_os = "none"))]
        Self::Neon,
        #[cfg(not(target_os = "none"))]
        Self::NeonDotProduct,
    ];

    /// Its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            #[cfg(not(target_os = "none"))]
            Self::Avx2 => "avx2",
            #[cfg(not(target_os = "none"))]
            Self::AvxVnni => "avx-vnni",
            #[cfg(not(target_os = "none"))]
            Self::Avx512Vnni => "avx512-vnni",
            #[cfg(not(target_os = "none"))]
            Self::Neon => "neon",
            #[cfg(not(target_os = "none"))]
            Self::NeonDotProduct => "neon-dotprod",
        }
    }

    /// Whether this machine has the instructions.
    pub fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx2 => super::x86::has_avx2(),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::AvxVnni => super::x86::has_avx_vnni(),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Self::Avx512Vnni => super::x86::has_avx512_vnni(),
            #[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
            Self::Neon => true,
            #[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
            Self::NeonDotProduct => super::aarch64::has_dot_product(),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// `backend` if this machine has it.
    pub fn with(backend: Backend) -> Option<Self> {
        backend.available().then_some(backend)
    }

    /// The fastest that this machine has. It is looked for once.
    #[cfg(target_os = "none")]
    pub fn best() -> Self {
        Self::Portable
    }

    /// The fastest that this machine has. It is looked for once.
    #[cfg(not(target_os = "none"))]
    pub fn best() -> Self {
        use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        /// Index in [`Backend::ALL`] plus one; 0 is not known yet.
        static BEST: AtomicUsize = AtomicUsize::new(0);
        let known = BEST.load(Relaxed);
        let index = known.checked_sub(1).unwrap_or_else(|| {
            let best = Self::ALL.iter().rposition(|backend| backend.available()).unwrap_or(0);
            BEST.store(best + 1, Relaxed);
            best
        });
        Self::ALL.get(index).copied().unwrap_or(Self::Portable)
    }
}

impl core::fmt::Display for Backend {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_backend_is_available_and_the_choice_stays() {
        assert!(Backend::best().available());
        assert_eq!(Backend::best(), Backend::best());
        assert_eq!(Backend::with(Backend::Portable), Some(Backend::Portable));
        assert!(Backend::ALL.iter().all(|&backend| Backend::with(backend).is_some() == backend.available()));
    }
}
