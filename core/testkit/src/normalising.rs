//! Cases of softmax and of the norms.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::l2_norm::{self, L2NormParams};
use mixel_core::kernels::layer_norm::{self, NormParams};
use mixel_core::kernels::requant::{Clamp, Scale};
use mixel_core::kernels::softmax::{self, SoftmaxParams};
use mixel_core::pack::Layout;
use mixel_core::plan::write::{Constant, WriteError, Writer};

use crate::bench::{narrowed, widened};
use crate::linear::Activation;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// A shape, the axes `first..=last` that are worked along, and an axis that varies, the first of them or none of them.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Dimensions.
    pub dims: [usize; 4],
    /// Axes.
    pub axes: (usize, usize),
    /// The axis that varies, and its rows present.
    pub present: Option<(usize, usize)>,
}

impl Case {
    /// Elements of a lane that are present, and the distance between them.
    fn lane(&self) -> (usize, usize) {
        let (first, last) = self.axes;
        let stride = self.dims[last + 1..].iter().product();
        let rest: usize = self.dims[first + 1..=last].iter().product();
        let present =
            self.present.filter(|&(axis, _)| axis == first).map_or(self.dims[first], |(_, rows)| rows);
        (present * rest, stride)
    }

    /// Calls `each(elements of a lane, outputs of it)` for all lanes.
    fn lanes<'m>(
        &self,
        pool: &mut Pool<'m>,
        x: &[i32],
        y: &mut [i32],
        mut each: impl FnMut(&[i32], &mut [i32]),
    ) -> Result<(), Failure> {
        let (count, stride) = self.lane();
        let bound: usize = self.dims[self.axes.0..=self.axes.1].iter().product();
        let (from, to) = (pool.take::<i32>(count)?, pool.take::<i32>(count)?);
        for block in 0..x.len() / (bound * stride) {
            for lane in 0..stride {
                let at = |row: usize| (block * bound + row) * stride + lane;
                (0..count).for_each(|row| from[row] = x[at(row)]);
                each(from, to);
                (0..count).for_each(|row| y[at(row)] = to[row]);
            }
        }
        Ok(())
    }

    fn tensor<X: Activation>(&self, zero_point: i32) -> mixel_core::plan::Tensor {
        let mut tensor = tensor(X::DTYPE, self.dims, zero_point);
        tensor.dynamic = self.present.map_or(0, |(axis, _)| 1 << axis);
        tensor
    }

    fn rows(&self) -> (usize, usize) {
        self.present.map_or((0, 0), |(axis, rows)| (self.dims[axis], rows))
    }
}

/// Adds `words` to a plan.
pub(crate) fn words(writer: &mut Writer<'_>, words: &[u32]) -> Result<Constant, WriteError> {
    Ok(Constant { offset: writer.data(bytemuck::cast_slice(words))?, count: words.len() })
}

/// Weights that fall as those of an exponential do, from one: each to `least` or more 64ths of the one before.
pub(crate) fn falling(random: &mut Random, least: i32) -> [u32; 256] {
    let mut table = [1u32 << 31; 256];
    for index in 1..256 {
        table[index] = table[index - 1] / 64 * random.range(least, 64) as u32;
    }
    table
}

/// Runs one case of a softmax.
///
/// # Errors
/// What went wrong first.
pub fn check_softmax<X: Activation, Y: Activation>(
    case: Case,
    (kind, layout): (OpKind, Layout),
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let wide = X::MAX > i8::MAX as i32;
    let (input, output) = (case.tensor::<X>(3), case.tensor::<Y>(random.range(-128, 127)));
    let x = pool.random::<X>(random, input.elements())?;
    let entries = if wide { 256 } else { 16 };
    let (low, high) = (falling(random, if wide { 64 } else { 60 }), falling(random, 40));
    // What is beyond the end has no weight.
    let whole = wide || layout == Layout::ArmDsp || layout == Layout::Generic && random.size(0, 3) > 0;
    let last = if whole { entries } else { random.size(1, entries) };
    let (low, high) = (&low[..entries], &high[..last]);
    let weight = |d: u32| {
        let (low, high) = (low[d as usize % entries], high.get(d as usize / entries).copied().unwrap_or(0));
        ((low as u64 * high as u64) >> 32) as u32
    };
    let scale = Scale { multiplier: 1 << 30, shift: 30 - 8 * size_of::<Y>() as u8 };
    let clamp = Clamp { zero_point: output.zero_point, min: Y::MIN, max: Y::MAX };
    let expected = pool.take::<i32>(x.len())?;
    let values = widened(&mut pool, x)?;
    case.lanes(&mut pool, values, expected, |x, y| softmax::reference(x, weight, scale, clamp, y))?;
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout, inputs: &inputs, output, rows: case.rows() }.run(pool, expected, |writer| {
        let (low, high) = (words(writer, low)?, words(writer, high)?);
        Ok(SoftmaxParams { axis: case.axes.0 as u8, low, high, scale }.encode())
    })
}

/// Runs one case of LayerNorm (the last axis) or GroupNorm (axes 1 to 3 in `groups`).
///
/// # Errors
/// What went wrong first.
pub fn check_norm<X: Activation, Y: Activation>(
    case: Case,
    groups: usize,
    kind: OpKind,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let (input, output) = (case.tensor::<X>(3), case.tensor::<Y>(random.range(-128, 127)));
    let x = pool.random::<X>(random, input.elements())?;
    let channels = case.dims[3];
    // A row without variance, and one of extremes.
    let rows = x.chunks_exact_mut(channels);
    rows.zip([[X::narrow(-7); 2], [X::narrow(X::MIN), X::narrow(X::MAX)]]).for_each(
        |(row, [first, rest])| {
            row.fill(rest);
            row[0] = first;
        },
    );
    let bound = case.dims[case.axes.0..].iter().product::<usize>() / groups;
    let (gamma, beta) = (pool.take::<i32>(channels)?, pool.take::<i32>(channels)?);
    let q = layer_norm::z_bits(bound);
    // Gains of about 32 output steps (8192 for 16 bits) at 16 (8) fraction bits.
    let shift = if Y::MAX > i8::MAX as i32 { 8 } else { 16 };
    gamma.iter_mut().for_each(|gamma| *gamma = random.range(-(1 << (53 - q)), 1 << (53 - q)));
    beta.iter_mut().for_each(|beta| *beta = random.range(-(1 << 21), 1 << 21));
    let epsilon = [1 << 30, 0][random.size(0, 1)];
    let params = |gamma, beta| NormParams {
        groups: groups as u16,
        epsilon: Scale { multiplier: epsilon, shift: 40 },
        fraction: 4,
        gamma,
        beta,
        shift,
        min: Y::MIN,
        max: Y::MAX,
    };
    let none = Constant { offset: 0, count: 0 };
    let clamp = Clamp { zero_point: output.zero_point, min: Y::MIN, max: Y::MAX };
    let expected = pool.take::<i32>(x.len())?;
    let values = widened(&mut pool, x)?;
    let group = channels / groups;
    let (from, to) = (pool.take::<i32>(bound)?, pool.take::<i32>(bound)?);
    case.lanes(&mut pool, values, expected, |x, y| {
        let n = x.len() / groups;
        for at in 0..groups {
            let place = |index: usize| index / group * channels + at * group + index % group;
            (0..n).for_each(|index| from[index] = x[place(index)]);
            let channel = |index: usize| at * group + index % group;
            let affine = (&*gamma, &*beta);
            layer_norm::reference(&from[..n], bound, channel, affine, &params(none, none), clamp, to);
            (0..n).for_each(|index| y[place(index)] = to[index]);
        }
    })?;
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows: case.rows() }.run(
        pool,
        expected,
        |writer| {
            let gamma = words(writer, bytemuck::cast_slice(gamma))?;
            Ok(params(gamma, words(writer, bytemuck::cast_slice(beta))?).encode())
        },
    )
}

/// Runs one case of a division by the norm.
///
/// # Errors
/// What went wrong first.
pub fn check_l2<X: Activation, Y: Activation>(
    case: Case,
    kind: OpKind,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let zeros = [random.range(-128, 127), random.range(-128, 127)];
    let (input, output) = (case.tensor::<X>(zeros[0]), case.tensor::<Y>(zeros[1]));
    let x = pool.random::<X>(random, input.elements())?;
    let (first, last) = case.axes;
    let params = L2NormParams {
        axes: ((2 << last) - (1 << first)) as u8,
        epsilon: Scale { multiplier: random.range(0, i32::MAX), shift: random.range(20, 60) as u8 },
        scale: Scale { multiplier: random.range(1 << 29, i32::MAX), shift: 31 - 7 * size_of::<Y>() as u8 },
        min: Y::MIN,
        max: Y::MAX,
    };
    let expected = pool.take::<i32>(x.len())?;
    let values = widened(&mut pool, x)?;
    let wide = kind == OpKind::L2Norm16;
    case.lanes(&mut pool, values, expected, |x, y| l2_norm::reference(x, wide, &params, zeros, y))?;
    let expected = narrowed::<Y>(&mut pool, expected)?;
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind, layout: Layout::Generic, inputs: &inputs, output, rows: case.rows() }.run(
        pool,
        expected,
        |_| Ok(params.encode()),
    )
}

const WIDE: (OpKind, Layout) = (OpKind::Softmax16, Layout::Generic);

/// All axes, single elements, rows that vary, all types.
pub fn run(bench: &mut Bench<'_, '_>) {
    let mut random = Random::new(22);
    let whole = |dims, axis| Case { dims, axes: (axis, axis), present: None };
    let softmax = (0..4)
        .flat_map(|axis| [whole([2, 3, 5, 7], axis), whole([1, 1, 9, 16], axis)])
        .chain([1, 2, 3, 4, 257].map(|length| whole([1, 1, 1, length], 3)))
        .chain([0, 1, 5, 6].into_iter().flat_map(|rows| {
            [2, 3].map(|axis| Case { dims: [1, 2, 6, 4], axes: (axis, axis), present: Some((2, rows)) })
        }));
    for case in softmax {
        let Case { dims, axes: (axis, _), present } = case;
        bench.each_layout(format_args!("Softmax {dims:?} axis {axis} {present:?}"), |pool, layout| {
            check_softmax::<i8, i8>(case, (OpKind::Softmax, layout), pool, &mut random)
        });
        bench.once(format_args!("Softmax16 {dims:?} axis {axis} {present:?}"), |pool| {
            check_softmax::<i16, i16>(case, WIDE, pool, &mut random)
        });
    }
    let case = whole([1, 1, 4, 20], 3);
    bench.once(format_args!("Softmax16 i8->i16"), |pool| {
        check_softmax::<i8, i16>(case, WIDE, pool, &mut random)
    });
    bench.once(format_args!("Softmax16 i16->i8"), |pool| {
        check_softmax::<i16, i8>(case, WIDE, pool, &mut random)
    });
    for inner in [1, 2, 4, 15, 16, 64, 100, 130, 256, 260] {
        let case = whole([1, 2, 3, inner], 3);
        bench.once(format_args!("LayerNorm {inner}"), |pool| {
            check_norm::<i8, i8>(case, 1, OpKind::LayerNorm, pool, &mut random)
        });
        bench.once(format_args!("LayerNorm16 {inner}"), |pool| {
            check_norm::<i16, i16>(case, 1, OpKind::LayerNorm16, pool, &mut random)
        });
    }
    for (present, groups) in [(None, 1), (None, 2), (None, 6), (Some(0), 2), (Some(1), 3), (Some(4), 2)] {
        let case = Case { dims: [1, 4, 5, 6], axes: (1, 3), present: present.map(|rows| (1, rows)) };
        bench.once(format_args!("GroupNorm {groups} {present:?}"), |pool| {
            check_norm::<i8, i8>(case, groups, OpKind::GroupNorm, pool, &mut random)
        });
        bench.once(format_args!("GroupNorm16 {groups} {present:?}"), |pool| {
            check_norm::<i16, i8>(case, groups, OpKind::GroupNorm16, pool, &mut random)
        });
    }
    for (axes, present) in [((3, 3), None), ((2, 2), None), ((1, 2), None), ((0, 3), None), ((1, 2), Some(2))]
    {
        let case = Case { dims: [2, 3, 4, 5], axes, present: present.map(|rows| (axes.0, rows)) };
        bench.once(format_args!("L2Norm {axes:?} {present:?}"), |pool| {
            check_l2::<i8, i8>(case, OpKind::L2Norm, pool, &mut random)
        });
        bench.once(format_args!("L2Norm16 {axes:?} {present:?}"), |pool| {
            check_l2::<i16, i16>(case, OpKind::L2Norm16, pool, &mut random)
        });
    }
}
