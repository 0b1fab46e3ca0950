//! Sum of two tensors: `y = clamp(zy + round((a - za) * ma / 2^shift + (b - zb) * mb / 2^shift))`, rounded once.
//!
//! Every dimension of `a` and `b` is that of the output or 1, and is then repeated. Either may be a constant. A difference
//! is a sum with a negative multiplier.

use core::marker::PhantomData;

use super::nest::{Level, broadcast, elementwise_reach};
use super::requant::{Clamp, round_shift};
use super::width::{Bits8, Bits16, Sink, Source, Width, check_binary, check_clamp};
use super::{Kernel, OpKind, Run};
use crate::arch::elementwise::{self, Sum};
use crate::arch::view::{In, Out};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, write};

/// The operator on the types of `W`.
pub struct AddOf<W>(PhantomData<W>);
/// The operator on int8.
pub type Add = AddOf<Bits8>;
/// The operator on any of int8 and int16.
pub type Add16 = AddOf<Bits16>;

/// The parameters of [`super::OpKind::Add`] and [`super::OpKind::Add16`] as the plan stores them. Zero points are those of
/// the tensors.
///
/// [`super::OpKind::Add`], int8 throughout, sums in 32 bits: `shift` is the one for which the larger of
/// `scale_a / scale_y` and `scale_b / scale_y`, times `2^shift`, rounds to 2^20 up to 2^21, but at most 30; that is what
/// LiteRT with XNNPACK computes. [`super::OpKind::Add16`] takes any of int8 and int16 and sums in 64 bits, with
/// multipliers up to 2^31 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddParams {
    /// `round(scale_a / scale_y * 2^shift)`; within +-2^21 for int8.
    pub a: i32,
    /// The same for the second operand; negative for `a - b`.
    pub b: i32,
    /// 1 to 30 for int8, 1 to 62 otherwise.
    pub shift: u8,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl AddParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().i32(self.a).i32(self.b).u8(self.shift).range(self.min, self.max)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let mut params = Self { a: cursor.i32(), b: cursor.i32(), shift: cursor.u8(), min: 0, max: 0 };
        (params.min, params.max) = cursor.range();
        cursor.finished().then_some(params)
    }

    fn clamp(&self, zero_point: i32) -> Clamp {
        Clamp { zero_point, min: self.min, max: self.max }
    }
}

impl<W: Width> Kernel for AddOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::Add16 } else { OpKind::Add };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (_, _, y) = check_binary::<W>(operator)?;
        let params = AddParams::read(operator.params()).ok_or(Fault::Params)?;
        check_factors::<W>(&[params.a, params.b], params.shift)?;
        check_clamp(params.clamp(y.zero_point), &y)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((a, b, y)) = run.operator().binary() else { return };
        let Some(params) = AddParams::read(run.operator().params()) else { return };
        let clamp = params.clamp(y.zero_point);
        if W::WIDE {
            combine::<W>(
                run,
                |_, _, _| false,
                |x, y| {
                    let a = (x - a.zero_point) as i64 * params.a as i64;
                    let b = (y - b.zero_point) as i64 * params.b as i64;
                    clamp.limit(round_shift(a + b, params.shift))
                },
            );
        } else {
            // It fits: 2 * 255 * 2^21 + 2^29 < 2^31.
            let sum = Sum::new([params.a, params.b], [a.zero_point, b.zero_point], params.shift, clamp);
            let rows = |a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>| {
                elementwise::add(run.backend(), [a, b], y, &sum)
            };
            combine::<W>(run, rows, |a, b| sum.apply([a, b]));
        }
    }
}

/// Whether the factors of a sum and its shift are in the range of `W`.
pub(super) fn check_factors<W: Width>(factors: &[i32], shift: u8) -> Result<(), Fault> {
    let (most, shifts) = if W::WIDE { (i32::MAX, 1..=62) } else { (1 << 21, 1..=30) };
    let in_range = |factor: &i32| -most <= *factor && *factor <= most;
    if factors.iter().all(in_range) && shifts.contains(&shift) { Ok(()) } else { Err(Fault::Params) }
}

/// Sets every element of the output to `function` of the elements of the two inputs, repeated to its shape. `rows` does that for
/// as many elements of all three, if the machine has a shorter way, and says whether it did.
#[inline(always)]
pub(super) fn combine<W: Width>(
    run: &Run<'_>,
    rows: impl Fn(In<'_, i8>, In<'_, i8>, Out<'_, i8>) -> bool,
    function: impl Fn(i32, i32) -> i32,
) {
    let Ok((a, b, y)) = run.operator().binary() else { return };
    let nest = broadcast(&a, &b, &y, run.rows());
    let (a, b, y) = (W::read(run, &a), W::read(run, &b), W::write(run, &y));
    // Along the innermost loop an operand moves by one element or not at all.
    let Level { count, steps: [step_a, step_b, _] } = *nest.inner();
    nest.each([0; 3], |[from_a, from_b, to]| {
        let (a, b, y) = (a.window(from_a, count), b.window(from_b, count), y.window(to, count));
        let (first_a, first_b) = (a.get(0), b.get(0));
        match (step_a, step_b) {
            (1, 1) => {
                let narrow = (a.narrow(), b.narrow(), y.narrow());
                if matches!(narrow, (Some(a), Some(b), Some(y)) if rows(a, b, y)) {
                    return;
                }
                #[cfg(not(target_os = "none"))]
                if let (Some(a), Some(b), Some(y)) = narrow {
                    return crate::arch::elements::each(run.backend(), [a, b], y, |[a, b]| function(a, b));
                }
                for index in 0..y.elements().min(a.elements()).min(b.elements()) {
                    y.set(index, function(a.get(index), b.get(index)));
                }
            }
            (1, _) | (_, 1) => {
                let turned = step_a != 1;
                let (x, same) = if turned { (b, first_a) } else { (a, first_b) };
                let done = beside((x.narrow(), y.narrow()), same, |x, same, y| {
                    let [a, b] = in_order(turned, [x, same]);
                    rows(a, b, y)
                });
                for index in done..y.elements().min(x.elements()) {
                    let [a, b] = in_order(turned, [x.get(index), same]);
                    y.set(index, function(a, b));
                }
            }
            _ => {
                let value = function(first_a, first_b);
                (0..y.elements()).for_each(|index| y.set(index, value));
            }
        }
    });
}

/// Elements of an operand that stays the same which stand side by side for `rows`.
const SAME: usize = 64;

/// The first and the second operand of two that are `turned` or not.
#[inline(always)]
fn in_order<T>(turned: bool, [x, y]: [T; 2]) -> [T; 2] {
    if turned { [y, x] } else { [x, y] }
}

/// Results of the elements of an operand and of one that is the `same` for all of them, by `rows`: how many there are, from the first.
fn beside(
    (x, y): (Option<In<'_, i8>>, Option<Out<'_, i8>>),
    same: i32,
    rows: impl Fn(In<'_, i8>, In<'_, i8>, Out<'_, i8>) -> bool,
) -> usize {
    let ((Some(x), Some(y)), same) = ((x, y), [same as i8; SAME]) else { return 0 };
    let mut done = 0;
    while done < y.len() {
        let count = SAME.min(y.len() - done);
        if !rows(x.window(done, count), In::new(&same).window(0, count), y.window(done, count)) {
            break;
        }
        done += count;
    }
    done
}

/// The specification, for operands of the same shape, with the zero points of `a`, `b` and the output.
pub fn reference(a: &[i32], b: &[i32], params: &AddParams, zero_points: [i32; 3], y: &mut [i32]) {
    let [za, zb, zy] = zero_points.map(i64::from);
    for ((a, b), y) in a.iter().zip(b).zip(y) {
        let sum = (*a as i64 - za) * params.a as i64 + (*b as i64 - zb) * params.b as i64;
        *y = (zy + round_shift(sum, params.shift)).clamp(params.min as i64, params.max as i64) as i32;
    }
}
