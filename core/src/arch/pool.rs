//! Windows of pools, some channels at once.

use super::view::In;
use crate::kernels::requant::Quantized;

/// Channels that are folded at once.
pub const LANES: usize = if cfg!(target_os = "none") { 8 } else { 32 };

/// How values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Their sum.
    Sum,
    /// The largest.
    Max,
}

impl Fold {
    #[inline(always)]
    fn of(self, a: i32, b: i32) -> i32 {
        match self {
            Self::Sum => a.wrapping_add(b),
            Self::Max => a.max(b),
        }
    }
}

/// Taps of a window.
#[derive(Clone, Copy)]
pub struct Taps {
    /// Element of the first one.
    pub first: usize,
    /// Rows of them.
    pub rows: usize,
    /// Taps in a row.
    pub columns: usize,
    /// Elements from row to row.
    pub row_step: usize,
    /// Elements from tap to tap.
    pub column_step: usize,
}

/// Folds the first `lanes` elements, at most [`LANES`], from every tap on into `values`.
#[inline(always)]
pub fn fold<X: Quantized>(fold: Fold, x: In<'_, X>, taps: &Taps, lanes: usize, values: &mut [i32; LANES]) {
    #[cfg(mixel_helium)]
    if size_of::<X>() == 1 && lanes == LANES && taps.rows > 0 && taps.columns > 0 {
        let last = (taps.rows - 1) * taps.row_step + (taps.columns - 1) * taps.column_step;
        let x = x.window(taps.first, last + LANES);
        if x.len() == last + LANES {
            return super::helium::pool::fold(fold, x.cast(), taps, values);
        }
    }
    for row in 0..taps.rows {
        for column in 0..taps.columns {
            let x = x.window(taps.first + row * taps.row_step + column * taps.column_step, lanes);
            if let Some(x) = x.array::<LANES>() {
                for (value, x) in values.iter_mut().zip(x) {
                    *value = fold.of(*value, x.wide());
                }
                continue;
            }
            for (lane, value) in values.iter_mut().enumerate().take(x.len()) {
                *value = fold.of(*value, x.get(lane).wide());
            }
        }
    }
}
