//! Cases of attention between channels.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::channel_attention::{self, CosineSoftmaxParams};
use mixel_core::kernels::requant::{Clamp, Scale};
use mixel_core::pack::Layout;
use mixel_core::plan::DType;
use mixel_core::plan::write::{Constant, Params};

use crate::bench::narrowed;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Height, width, channels, and channels of a head.
type Sizes = [usize; 4];

/// Random queries and keys, their zero points, and the sums of the specification.
struct Sums<'m> {
    sides: [&'m [i8]; 2],
    zeros: [i32; 2],
    sums: &'m [i64],
}

impl<'m> Sums<'m> {
    fn new(
        [height, width, channels, head]: Sizes,
        pool: &mut Pool<'m>,
        random: &mut Random,
    ) -> Result<Self, Failure> {
        let count = height * width * channels;
        let (q, k) = (pool.random::<i8>(random, count)?, pool.random::<i8>(random, count)?);
        // One channel of zeros, and one of keys that are like its queries.
        let zeros = [random.range(-128, 127), random.range(-128, 127)];
        q.iter_mut().step_by(channels).for_each(|q| *q = zeros[0] as i8);
        k.iter_mut().zip(&*q).skip(1).step_by(channels).for_each(|(k, q)| *k = *q);
        let sums = pool.take::<i64>(channels * (head + 2))?;
        channel_attention::gram_reference(q, k, channels, head, zeros, sums);
        Ok(Self { sides: [q, k], zeros, sums })
    }
}

/// Runs one case of the sums.
///
/// # Errors
/// What went wrong first.
pub fn check_gram(sizes: Sizes, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let [height, width, channels, head] = sizes;
    let Sums { sides, zeros, sums } = Sums::new(sizes, &mut pool, random)?;
    let input = |side: usize| {
        (tensor(DType::I8, [1, height, width, channels], zeros[side]), bytemuck::cast_slice(sides[side]))
    };
    let output = tensor(DType::I32, [1, channels, head + 2, 2], 0);
    let inputs = [input(0), input(1)];
    Job { kind: OpKind::Gram, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run::<i32>(
        pool,
        bytemuck::cast_slice(sums),
        |_| Ok(Params::new()),
    )
}

/// Runs one case of the softmax of cosines.
///
/// # Errors
/// What went wrong first.
pub fn check_cosine_softmax(sizes: Sizes, mut pool: Pool<'_>, random: &mut Random) -> Result<(), Failure> {
    let [.., channels, head] = sizes;
    let Sums { sums, .. } = Sums::new(sizes, &mut pool, random)?;
    let temperatures = pool.take::<i32>(channels / head)?;
    temperatures.iter_mut().for_each(|temperature| *temperature = random.range(-(1 << 20), 1 << 22));
    let input = tensor(DType::I32, [1, channels, head + 2, 2], 0);
    let output = tensor(DType::I8, [1, 1, channels, channels], random.range(-128, 127));
    let clamp = Clamp { zero_point: output.zero_point, min: -128, max: 127 };
    let scale = Scale { multiplier: 1 << 30, shift: 22 };
    let expected = pool.take::<i32>(channels * channels)?;
    expected.fill(output.zero_point);
    let keys = pool.take::<i64>(head)?;
    for (channel, numbers) in sums.chunks_exact(head + 2).enumerate() {
        let first = channel / head * head;
        keys.iter_mut().enumerate().for_each(|(at, key)| *key = sums[(first + at) * (head + 2) + head + 1]);
        let row = &mut expected[channel * channels + first..][..head];
        let temperature = temperatures[channel / head];
        channel_attention::cosine_softmax_reference(numbers, keys, temperature, (scale, clamp), row);
    }
    let expected = narrowed::<i8>(&mut pool, expected)?;
    let inputs = [(input, bytemuck::cast_slice(sums))];
    Job { kind: OpKind::CosineSoftmax, layout: Layout::Generic, inputs: &inputs, output, rows: (0, 0) }.run(
        pool,
        expected,
        |writer| {
            let offset = writer.data(bytemuck::cast_slice(temperatures))?;
            let temperatures = Constant { offset, count: temperatures.len() };
            Ok(CosineSoftmaxParams { temperatures, scale }.encode())
        },
    )
}

/// Runs all cases: heads of one channel and of all, sizes at the edges of vectors.
pub fn run(bench: &mut Bench<'_, '_>) {
    let mut random = Random::new(22);
    for sizes in
        [[1, 1, 1, 1], [1, 1, 8, 4], [3, 5, 8, 2], [4, 4, 16, 4], [5, 7, 12, 3], [2, 17, 9, 9], [8, 8, 32, 8]]
    {
        let [height, width, channels, head] = sizes;
        let shape = format_args!("{height}x{width}x{channels} heads of {head}");
        bench.once(format_args!("Gram {shape}"), |pool| check_gram(sizes, pool, &mut random));
        bench.once(format_args!("CosineSoftmax {shape}"), |pool| {
            check_cosine_softmax(sizes, pool, &mut random)
        });
    }
}
