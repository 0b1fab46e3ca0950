//! Everything that touches raw memory or an instruction set.
//!
//! [`view`] gives operators their windows into the arena, [`verified`] takes somebody's word for a plan; the other files hold the
//! micro-kernels of one instruction set each. All unsafe code of the crate is in this folder.

#[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
mod aarch64;
#[cfg(mixel_dsp)]
#[macro_use]
mod armv7em;
mod backend;
pub mod bitmap;
mod clear;
pub mod count;
pub mod depthwise;
mod dsp;
mod dsp_depthwise;
#[cfg(all(mixel_dsp, not(mixel_helium)))]
mod dsp_elementwise;
mod dsp_int4;
#[cfg(any(all(mixel_dsp, not(mixel_helium)), not(target_os = "none")))]
pub mod dsp_matmul;
#[cfg(not(target_os = "none"))]
pub mod elements;
pub mod elementwise;
pub mod evt2;
pub mod evt3;
#[cfg(mixel_columns)]
#[macro_use]
pub mod helium;
#[cfg(mixel_helium)]
mod helium_int4;
#[cfg(not(target_os = "none"))]
pub mod host_matmul;
pub mod int4;
pub mod matrix;
pub mod moving;
pub mod normal;
pub mod planes;
pub mod pool;
mod portable;
pub mod product;
#[cfg(not(target_os = "none"))]
pub mod rows;
pub mod verified;
pub mod view;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod x86;

#[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
use aarch64 as native;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use x86 as native;

pub use backend::Backend;
pub use clear::clear;
pub use view::fill;

/// Which weight layouts this build accepts. A plan packed for another one is refused at load.
///
/// The host runs every layout through the portable lanes, so that a plan for a board can be checked without it.
pub fn accepts(layout: crate::pack::Layout) -> bool {
    use crate::pack::Layout;
    match layout {
        Layout::Generic => true,
        #[cfg(not(target_os = "none"))]
        _ => true,
        #[cfg(all(target_os = "none", mixel_dsp))]
        Layout::ArmDsp => true,
        #[cfg(all(target_os = "none", mixel_helium))]
        Layout::Helium => true,
        #[cfg(target_os = "none")]
        _ => false,
    }
}
