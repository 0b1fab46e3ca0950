//! Moves of bytes, two loops at a time, for machines that have a shorter way than the common one.

use super::view::{In, Out};

/// Two loops: `rows` times `inner` bytes.
#[derive(Clone, Copy)]
pub struct Plane {
    /// Iterations of the outer loop.
    pub rows: usize,
    /// Iterations of the inner loop.
    pub inner: usize,
    /// Bytes to move with every row: from where, to where.
    pub row_steps: [isize; 2],
    /// Bytes to move with every byte.
    pub steps: [isize; 2],
}

impl Plane {
    /// Whether a walk from `start` over operand `operand` stays below `len`.
    fn inside(&self, operand: usize, start: usize, len: usize) -> bool {
        let step = |steps: [isize; 2]| steps.into_iter().nth(operand).unwrap_or(0);
        let way = |count: usize, step: isize| (count as isize).saturating_sub(1).saturating_mul(step);
        let ways = [way(self.rows, step(self.row_steps)), way(self.inner, step(self.steps))];
        let (mut least, mut most) = (start as isize, start as isize);
        for way in ways {
            least = least.saturating_add(way.min(0));
            most = most.saturating_add(way.max(0));
        }
        least >= 0 && most < len as isize
    }
}

/// Copies the bytes of a plane that begins at `start` of `x` and of `y`, which share no memory; false, with nothing done, when
/// this machine has no shorter way or a place lies outside.
#[inline]
pub fn plane(x: In<'_, u8>, y: Out<'_, u8>, start: [usize; 2], plane: &Plane) -> bool {
    if !cfg!(mixel_helium) || plane.rows == 0 || plane.inner == 0 {
        return false;
    }
    let inside = plane.inside(0, start[0], x.len()) && plane.inside(1, start[1], y.len());
    #[cfg(mixel_helium)]
    let inside = inside && super::helium::moving::plane(x, y, start, plane);
    inside
}
