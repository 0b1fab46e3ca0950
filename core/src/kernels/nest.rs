//! Walking through tensors: loop nests for shapes that differ, lanes for operators that work along an axis.

use crate::plan::{Fault, Rows, Tensor};

/// Most loops of a nest.
pub const MAX_LEVELS: usize = 7;

/// One loop of a nest: how far each of `K` operands moves with every step, in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level<const K: usize> {
    /// Iterations.
    pub count: usize,
    /// Elements to move.
    pub steps: [isize; K],
}

/// Loops inside one another, outermost first. Neighbours that walk on evenly are one loop.
#[derive(Clone, Debug)]
pub struct Nest<const K: usize> {
    outer: heapless::Vec<Level<K>, MAX_LEVELS>,
    inner: Level<K>,
    empty: bool,
}

impl<const K: usize> Nest<K> {
    /// The nest of `levels`, at most [`MAX_LEVELS`] of them.
    pub fn new(levels: impl IntoIterator<Item = Level<K>>) -> Self {
        let mut nest =
            Self { outer: heapless::Vec::new(), inner: Level { count: 1, steps: [0; K] }, empty: false };
        for level in levels {
            nest.push(level);
        }
        nest
    }

    fn push(&mut self, level: Level<K>) {
        self.empty |= level.count == 0;
        if level.count <= 1 {
            return;
        }
        let even = |(outer, inner): (&isize, &isize)| *outer == inner.wrapping_mul(level.count as isize);
        if self.inner.count == 1 {
            self.inner = level;
        } else if self.inner.steps.iter().zip(&level.steps).all(even) {
            self.inner = Level { count: self.inner.count.wrapping_mul(level.count), steps: level.steps };
        } else {
            let _ = self.outer.push(core::mem::replace(&mut self.inner, level));
        }
    }

    /// The innermost loop.
    pub fn inner(&self) -> &Level<K> {
        &self.inner
    }

    /// Takes away the innermost of the outer loops, for the caller to do in the body.
    pub fn pop(&mut self) -> Level<K> {
        self.outer.pop().unwrap_or(Level { count: 1, steps: [0; K] })
    }

    /// Calls `body` with the operands' positions at every start of the innermost loop, beginning at `start`.
    #[inline]
    pub fn each(&self, start: [usize; K], mut body: impl FnMut([usize; K])) {
        if self.empty {
            return;
        }
        let mut position = start;
        let mut done = [0usize; MAX_LEVELS];
        'run: loop {
            body(position);
            for (level, done) in self.outer.iter().zip(&mut done).rev() {
                *done += 1;
                let back = if *done < level.count { 0 } else { level.count as isize };
                for (position, step) in position.iter_mut().zip(&level.steps) {
                    *position = position.wrapping_add_signed(step.wrapping_mul(1 - back));
                }
                if back == 0 {
                    continue 'run;
                }
                *done = 0;
            }
            return;
        }
    }
}

/// Elements from one index to the next of every dimension.
pub fn strides([_, b, c, d]: [usize; 4]) -> [usize; 4] {
    [b * c * d, c * d, d, 1]
}

/// The elements present of output `y` with those of operands `a` and `b`, whose dimensions of 1 are repeated.
pub fn broadcast(a: &Tensor, b: &Tensor, y: &Tensor, rows: Rows) -> Nest<3> {
    let present = y.dims_with(rows);
    let steps = [a, b, y].map(|tensor| {
        let strides = strides(tensor.dims.map(|dim| dim as usize));
        core::array::from_fn::<_, 4, _>(
            |axis| if tensor.dims[axis] == 1 { 0 } else { strides[axis] as isize },
        )
    });
    Nest::new((0..4).map(|axis| Level { count: present[axis], steps: steps.map(|steps| steps[axis]) }))
}

/// Whether `x` can be repeated to the shape of `y`.
///
/// # Errors
/// [`Fault::Shapes`].
pub fn check_broadcast(x: &Tensor, y: &Tensor) -> Result<(), Fault> {
    let fits = |axis: usize| x.dims[axis] == y.dims[axis] || x.dims[axis] == 1;
    if (0..4).all(fits) && x.dynamic & !y.dynamic == 0 { Ok(()) } else { Err(Fault::Shapes) }
}

/// [`super::Kernel::reach`] of an operator that writes element i after it has read element i, and reads no element before
/// i again: none for an input that is repeated.
pub fn elementwise_reach(x: &Tensor, y: &Tensor) -> Option<isize> {
    let (from, to) = (x.dtype.size() as isize, y.dtype.size() as isize);
    let spread = if from >= to { from - to } else { (from - to) * (y.elements() as isize - 1) };
    (x.dims == y.dims).then_some(spread)
}

/// Lines of elements along neighbouring axes: `blocks` times `stride` lanes of `count` elements, `stride` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lanes {
    /// Blocks at the bound, `bound * stride` elements each.
    pub blocks: usize,
    /// Elements of a lane at the bound.
    pub bound: usize,
    /// Elements of a lane that are present: the first ones.
    pub count: usize,
    /// Lanes of a block, next to each other.
    pub stride: usize,
}

impl Lanes {
    /// Lanes of `tensor` along the axes `first..=last`, with `rows` rows present.
    ///
    /// # Errors
    /// [`Fault::Params`] for axes that are none; [`Fault::Dynamic`] where what is present along the axes is not their
    /// beginning.
    pub fn new(tensor: &Tensor, first: usize, last: usize, rows: Rows) -> Result<Self, Fault> {
        if first > last || last > 3 {
            return Err(Fault::Params);
        }
        let (dims, present) = (tensor.dims.map(|dim| dim as usize), tensor.dims_with(rows));
        let lane = |axis: usize| (first..=last).contains(&axis);
        let mut lanes = Self { blocks: 1, bound: 1, count: 1, stride: 1 };
        for axis in 0..4 {
            if lane(axis) {
                if tensor.dynamic >> axis & 1 == 1 && lanes.bound > 1 {
                    return Err(Fault::Dynamic);
                }
                lanes.bound *= dims[axis];
                lanes.count *= present[axis];
            } else if axis < first {
                lanes.blocks *= dims[axis];
            } else {
                lanes.stride *= dims[axis];
            }
        }
        Ok(lanes)
    }

    /// Elements of a block at the bound.
    pub fn block(&self) -> usize {
        self.bound * self.stride
    }
}

/// The blocks in front of axis `axis` (all dimensions before it) that are present.
pub fn blocks(tensor: &Tensor, axis: usize, rows: Rows) -> impl Iterator<Item = usize> + use<> {
    let (dims, present) = (tensor.dims.map(|dim| dim as usize), tensor.dims_with(rows));
    let total: usize = dims.iter().take(axis).product();
    (0..total).filter(move |block| {
        let mut rest = *block;
        dims.iter().zip(&present).take(axis).rev().all(|(dim, present)| {
            let index = rest.checked_rem(*dim).unwrap_or(0);
            rest = rest.checked_div(*dim).unwrap_or(0);
            index < *present
        })
    })
}
