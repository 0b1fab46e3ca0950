//! Cases of operators that put channels elsewhere: Join and Shuffle.

use bytemuck::Pod;
use mixel_core::kernels::OpKind;
use mixel_core::kernels::join;
use mixel_core::kernels::shuffle::{self, ShuffleParams};
use mixel_core::pack::Layout;
use mixel_core::plan::write::Params;

use crate::linear::Activation;
use crate::part::Between;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Runs one case of a Join of tensors of `channels` at `[1, h, w]` positions.
///
/// # Errors
/// What went wrong first.
pub fn check_join<X: Activation + Pod>(
    [height, width]: [usize; 2],
    channels: &[usize],
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let mut inputs = heapless::Vec::<_, 7>::new();
    let mut parts = heapless::Vec::<_, 7>::new();
    for &channels in channels {
        let x = &*pool.random::<X>(random, height * width * channels)?;
        let tensor = tensor(X::DTYPE, [1, height, width, channels], 0);
        inputs.push((tensor, bytemuck::cast_slice(x))).map_err(|_| Failure::Memory)?;
        parts.push((x, channels)).map_err(|_| Failure::Memory)?;
    }
    let output = tensor(X::DTYPE, [1, height, width, channels.iter().sum()], 0);
    let expected = pool.take::<X>(output.elements())?;
    join::reference(&parts, expected);
    Job { kind: OpKind::Join, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |_| Ok(Params::new()),
    )
}

/// Runs one case of a Shuffle to `channels` channels at `[1, h, w]` positions, or to a `part` of more, whose others it must
/// leave alone.
///
/// # Errors
/// What went wrong first.
pub fn check_shuffle<X: Activation + Pod>(
    [height, width, channels]: [usize; 3],
    (params, part): (ShuffleParams, bool),
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let block = params.block as usize;
    let input = tensor(X::DTYPE, [1, height, width, channels * block * block], 0);
    let between = Between::random(part, random);
    let output = tensor(X::DTYPE, [1, height * block, width * block, between.channels(channels)], 0);
    let x = pool.random::<X>(random, input.elements())?;
    let made = pool.take::<X>(input.elements())?;
    shuffle::reference(x, width, channels, &params, made);
    let params = ShuffleParams { first: between.first(), ..params };
    let expected = between.expected(&mut pool, made, channels)?;
    let inputs = [(input, bytemuck::cast_slice(x))];
    Job { kind: OpKind::Shuffle, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |_| Ok(params.encode()),
    )
}

/// Runs all cases: pieces of all lengths around those of words and vectors, both orders, 8 and 16 bits.
pub fn run(bench: &mut Bench<'_, '_>) {
    let mut random = Random::new(25);
    let parts: [&[usize]; 6] = [&[1, 1], &[3, 5, 2], &[4, 4], &[8, 8], &[16, 7], &[33, 1, 4]];
    for (size, channels) in
        [[1, 1], [3, 5], [4, 8]].into_iter().flat_map(|size| parts.map(|parts| (size, parts)))
    {
        let [h, w] = size;
        bench.once(format_args!("Join {h}x{w} {channels:?}"), |pool| {
            check_join::<i8>(size, channels, pool, &mut random)
        });
        bench.once(format_args!("Join {h}x{w} {channels:?} 16 bits"), |pool| {
            check_join::<i16>(size, channels, pool, &mut random)
        });
    }
    for (size, block) in [
        ([1, 1, 1], 1),
        ([3, 5, 3], 2),
        ([2, 5, 4], 2),
        ([2, 19, 4], 2),
        ([2, 3, 8], 2),
        ([1, 3, 12], 2),
        ([2, 3, 1], 4),
        ([3, 2, 7], 3),
    ] {
        for channels_first in [false, true] {
            let ([h, w, c], params) = (size, ShuffleParams { block, channels_first, first: 0 });
            bench.once(format_args!("Shuffle {h}x{w}x{c} {params:?}"), |pool| {
                check_shuffle::<i8>(size, (params, false), pool, &mut random)
            });
            bench.once(format_args!("Shuffle {h}x{w}x{c} {params:?} to a part"), |pool| {
                check_shuffle::<i8>(size, (params, true), pool, &mut random)
            });
            bench.once(format_args!("Shuffle {h}x{w}x{c} {params:?} 16 bits"), |pool| {
                check_shuffle::<i16>(size, (params, false), pool, &mut random)
            });
        }
    }
}
