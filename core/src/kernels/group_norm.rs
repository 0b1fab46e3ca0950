//! Group normalisation: input `[n, h, w, c]`, each of `groups` equal parts of the channels normalised over all positions
//! and its channels. With as many groups as channels it is instance normalisation. Positions that vary at run time count
//! only where present.
//!
//! Parameters are [`super::layer_norm::NormParams`].

use core::marker::PhantomData;

use super::layer_norm::{Affine, Moments, NormParams, Standard, check_norm, z_bits};
use super::nest::elementwise_reach;
use super::width::{Bits8, Bits16, Sink, Source, Width};
use super::{Kernel, OpKind, Run};
use crate::plan::{Fault, Operator};

/// The operator on the types of `W`.
pub struct GroupNormOf<W>(PhantomData<W>);
/// The operator on int8.
pub type GroupNorm = GroupNormOf<Bits8>;
/// The operator on any of int8 and int16.
pub type GroupNorm16 = GroupNormOf<Bits16>;

/// Words of scratch memory a group.
const WORDS: usize = 3;

impl<W: Width> Kernel for GroupNormOf<W> {
    const KIND: OpKind = if W::WIDE { OpKind::GroupNorm16 } else { OpKind::GroupNorm };

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let x = operator.input(0)?;
        let params = NormParams::read(operator.params()).ok_or(Fault::Params)?;
        let groups = params.groups as usize;
        if groups == 0 || !x.inner().is_multiple_of(groups) {
            return Err(Fault::Params);
        }
        // The positions present must be the first ones.
        if x.dynamic & 0b0001 != 0 || (x.dynamic & 0b0100 != 0 && x.dims[1] > 1) {
            return Err(Fault::Dynamic);
        }
        let image: usize = x.dims.iter().skip(1).map(|&dim| dim as usize).product();
        check_norm::<W>(operator, image.checked_div(groups).unwrap_or(0))
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        NormParams::read(operator.params()).map_or(0, |params| params.groups as usize * WORDS * 4)
    }

    fn reach(operator: &Operator<'_>, input: usize) -> Option<isize> {
        elementwise_reach(&operator.input(input).ok()?, &operator.output(0).ok()?)
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = NormParams::read(run.operator().params()) else { return };
        let affine = Affine::new(run, &params, &output);
        let (x, y) = (W::read(run, &input), W::write(run, &output));
        let [images, height, width, channels] = input.dims.map(|dim| dim as usize);
        let present = input.dims_with(run.rows());
        let positions = present[1] * present[2];
        let Some(group) = channels.checked_div(params.groups as usize) else { return };
        let groups = params.groups as usize;
        let (n, z_bits) = (positions * group, z_bits(height * width * group));
        let scratch = run.scratch::<i32>(0, groups * WORDS);
        for image in 0..images {
            let (start, len) = (image * height * width * channels, positions * channels);
            let (x, y) = (x.window(start, len), y.window(start, len));
            for at in 0..groups {
                let mut moments = Moments::default();
                for position in 0..positions {
                    let x = x.window(position * channels + at * group, group);
                    (0..x.elements()).for_each(|index| moments.add(x.get(index)));
                }
                let words = moments.standard(n, &params, z_bits).pack();
                words.into_iter().enumerate().for_each(|(word, value)| scratch.set(at * WORDS + word, value));
            }
            // In the order of memory, so that the output may overlap the input from behind.
            for position in 0..positions {
                for at in 0..groups {
                    let words = core::array::from_fn(|word| scratch.get(at * WORDS + word));
                    let (from, first) = (position * channels + at * group, at * group);
                    let (x, y) = (x.window(from, group), y.window(from, group));
                    affine.window(first, group).map(Standard::unpack(words), x, y);
                }
            }
        }
    }
}
