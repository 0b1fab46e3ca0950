//! Products of two activations in the layouts for hosts: the second operand is packed first, without its zero point, as 16-bit values
//! in the order that the machine multiplies in, once for all rows of the first one.
#![allow(unsafe_code)]

use super::Backend;
use super::product::Matrices;
use super::view::{Out, span};

/// Columns that are multiplied at a time.
pub(super) const LANES: usize = 16;

/// Rows that are multiplied at a time.
pub(super) const ROWS: usize = 4;

/// Columns that are packed at a time, so that the scratch memory does not grow with them.
const PANEL: usize = 64;

/// Pairs of values of scratch memory for a second operand of `depth` rows and `columns` columns: its panel, and some rows of the first
/// one.
pub fn pairs(depth: usize, columns: usize) -> usize {
    depth.div_ceil(2).saturating_mul(columns.min(PANEL).next_multiple_of(LANES) + ROWS)
}

/// Results `[rows][columns]`, rows `stride` apart; `scratch` has [`pairs`]. Nothing happens, and false comes back, when something is too
/// short, the second operand has neighbours neither in depth nor across, or the machine has no way of its own.
pub fn multiply(
    backend: Backend,
    matrices: &Matrices<'_>,
    scratch: Out<'_, i32>,
    (y, stride): (Out<'_, i8>, usize),
) -> bool {
    let Matrices { a: (a, a_row), b: (b, [down, across]), sizes: [rows, depth, columns], .. } = *matrices;
    let complete = rows > 0
        && depth > 0
        && columns > 0
        && (down == 1 || across == 1)
        && a.len() >= span(rows, a_row, depth)
        && b.len() >= span(depth, down, span(columns, across, 1))
        && y.len() >= span(rows, stride, columns)
        && scratch.len() >= pairs(depth, columns);
    if !complete || backend == Backend::Portable {
        return false;
    }
    for first in (0..columns).step_by(PANEL) {
        let count = PANEL.min(columns - first);
        let b = (b.window(first * across, b.len()), [down, across]);
        let panel = Matrices { b, sizes: [rows, depth, count], ..*matrices };
        let y = y.window(first, y.len());
        #[cfg(all(mixel_vectors, not(miri)))]
        // SAFETY: all rows, columns and results were found to be there, and scratch memory for the panel; every backend but the
        // portable one has the instructions of its architecture.
        unsafe {
            super::native::matmul::panel(&panel, scratch.as_mut_ptr(), (y.as_mut_ptr(), stride));
        }
        #[cfg(not(all(mixel_vectors, not(miri))))]
        {
            let _ = (panel, y.as_mut_ptr());
            return false;
        }
    }
    true
}
