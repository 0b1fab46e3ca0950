//! Inner loops of Cortex-M cores with the DSP extension that need more registers than a compiler finds.
#![allow(unsafe_code)]

// Whatever `-C target-cpu` says, the compiler may read module assembly for a core without these instructions (it does on
// Armv8-M, and in builds with link-time optimisation). Each block names a core that has them; the choice holds for
// blocks that follow in the same unit, so Helium is not taken away.
#[cfg(mixel_helium)]
macro_rules! cpu {
    () => {
        ".cpu cortex-m55"
    };
}
#[cfg(not(mixel_helium))]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}

/// Widens four values of three rows, r1 apart from r0 on, into six words at the place that is named: 10 instructions.
macro_rules! widen {
    ($to:literal) => {
        concat!(
            "ldr r8, [r0, r1]
        ldr r9, [r0, r1, lsl #1]
        ldr r7, [r0], #4
        sxtb16 r4, r7
        sxtb16 r5, r8
        sxtb16 r6, r9
        sxtb16 r7, r7, ror #8
        sxtb16 r8, r8, ror #8
        sxtb16 r9, r9, ror #8
        stm ",
            $to,
            "!, {{r4-r9}}"
        )
    };
}

#[cfg(not(mixel_helium))]
mod affine;
#[cfg(not(mixel_helium))]
mod blocks;
mod clear;
#[cfg(not(mixel_helium))]
mod copy;
mod count;
mod counting;
#[cfg(not(mixel_helium))]
mod depthwise;
mod row;
#[cfg(not(mixel_helium))]
mod softmax;
mod sparse;
#[cfg(not(mixel_helium))]
mod squares;
mod staging;
mod tiles;

#[cfg(not(mixel_helium))]
pub(super) use affine::{AffineRow, affine};
#[cfg(not(mixel_helium))]
pub(super) use blocks::{Blocks, blocks, blocks_turned};
pub(super) use clear::clear;
#[cfg(not(mixel_helium))]
pub(super) use copy::{copy, fill};
pub(super) use count::{Count, count};
pub(super) use counting::{Counting, count_words, count_words_inside};
#[cfg(not(mixel_helium))]
pub(super) use depthwise::{ImageRow, Pairs, Quads, StagedRows, depthwise_pairs, depthwise_row};
pub(super) use row::{Row, row};
#[cfg(not(mixel_helium))]
pub(super) use softmax::{quotients, weights};
pub(super) use sparse::{Sparse, sparse};
#[cfg(not(mixel_helium))]
pub(super) use squares::{Squares, squares};
pub(super) use staging::{Window, copy_3, stage_3, stage_strided, stage_window};
pub(super) use tiles::{Tiles, tiles};
#[cfg(not(mixel_helium))]
pub(super) use tiles::{tiles_of_halves, tiles_strided};
