//! The word of somebody who has verified a plan elsewhere.

#![allow(unsafe_code)]

/// The checksum of a plan that was verified elsewhere against the operator set that carries it ([`crate::kernels::OpSet::VERIFIED`]).
///
/// Kernels rely on what the check of a plan makes sure of, as that operands agree in their shapes, and do not look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified(u32);

impl Verified {
    /// The plan with this checksum.
    ///
    /// # Safety
    /// [`crate::Plan::with_ops`] has accepted it, with a set of the same kernels that does its checks.
    pub const unsafe fn by_checksum(checksum: u32) -> Self {
        Self(checksum)
    }

    /// Checksum of the plan, as its header has it.
    pub const fn checksum(self) -> u32 {
        self.0
    }
}
