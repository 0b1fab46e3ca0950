//! The word of somebody who has verified a plan elsewhere.

#![allow(unsafe_code)]

use core::marker::PhantomData;

/// The checksum of the plan that the operator set `O` is for and that was verified elsewhere ([`crate::kernels::OpSet::VERIFIED`]).
///
/// Kernels rely on what the check of a plan makes sure of, as that operands agree in their shapes, and do not look again.
pub struct Verified<O> {
    checksum: u32,
    set: PhantomData<fn() -> O>,
}

impl<O> Verified<O> {
    /// The plan with this checksum.
    ///
    /// # Safety
    /// [`crate::Plan::new_checked`] of this version of the crate has accepted the plan, `O` has what the plan needs (kernels that take
    /// its operators, strips, front end, short channels, states), and nobody gives [`crate::Plan::with_ops`] other bytes with the same
    /// checksum: it tells damage and mix-ups, but whoever wants to can make a file that has it.
    pub const unsafe fn by_checksum(checksum: u32) -> Self {
        Self { checksum, set: PhantomData }
    }

    /// Checksum of the plan, as its header has it.
    pub const fn checksum(&self) -> u32 {
        self.checksum
    }
}

/// What [`crate::op_set!`] makes of its last line.
#[doc(hidden)]
#[macro_export]
macro_rules! __verified {
    () => {
        None
    };
    ($checksum:literal) => {
        // SAFETY: whoever wrote the set says so, by the word `unsafe` in front of the checksum.
        Some(unsafe { $crate::plan::Verified::by_checksum($checksum) })
    };
}
