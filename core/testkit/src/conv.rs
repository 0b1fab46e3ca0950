//! Cases of convolutions: with groups, of every channel on its own, transposed.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::conv::{self, ConvParams, Shapes};
use mixel_core::kernels::conv_transpose;
use mixel_core::kernels::depthwise::{self, DepthwiseParams};
use mixel_core::kernels::part::Part;
use mixel_core::kernels::requant::Clamp;
use mixel_core::kernels::shuffle::{self, ShuffleParams};
use mixel_core::kernels::window::Window;
use mixel_core::pack::{Depth, DepthwiseOrder, Layout};
use mixel_core::plan::write::Constant;

use crate::linear::Activation;
use crate::packed::Form;
use crate::part::Between;
use crate::{Bench, Failure, Job, Pool, Random, tensor};

/// Geometry of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Input (n, h, w, c).
    pub input: [usize; 4],
    /// Output height and width.
    pub size: [usize; 2],
    /// Output channels.
    pub outputs: usize,
    /// Window.
    pub window: Window,
    /// Groups; unused where every channel is on its own.
    pub groups: usize,
    /// Columns present; none for a static shape.
    pub present: Option<usize>,
    /// Side of the blocks in which [`OpKind::ConvPart`] stores its outputs; unused elsewhere.
    pub block: usize,
}

impl Case {
    /// A square window over `input` with the same padding on all sides.
    pub fn new(
        input: [usize; 4],
        outputs: usize,
        kernel: [u16; 2],
        stride: u16,
        pad: [u16; 2],
        groups: usize,
    ) -> Self {
        let window = Window { kernel, stride: [stride; 2], dilation: [1; 2], pad };
        Self { input, size: [0; 2], outputs, window, groups, present: None, block: 1 }.sized()
    }

    /// With the output size that equal padding on both sides gives; at least 1.
    pub fn sized(mut self) -> Self {
        self.size = [0, 1].map(|axis| {
            let room = self.input[axis + 1] + 2 * self.window.pad[axis] as usize;
            room.saturating_sub(self.window.extent(axis)) / self.window.stride[axis] as usize + 1
        });
        self
    }

    /// With taps `dilation` apart.
    pub fn dilated(mut self, dilation: [u16; 2]) -> Self {
        self.window.dilation = dilation;
        self.sized()
    }

    /// A window of random geometry over an image of at most 9 x 9 x 12.
    pub fn random(random: &mut Random) -> Self {
        let pair =
            |random: &mut Random, low, high| [random.range(low, high) as u16, random.range(low, high) as u16];
        let groups = [1, 1, 1, 2, 3][random.size(0, 4)];
        let input = [random.size(1, 2), random.size(1, 9), random.size(1, 9), groups * random.size(1, 4)];
        let window = Window {
            kernel: pair(random, 1, 4),
            stride: pair(random, 1, 3),
            dilation: pair(random, 1, 2),
            pad: pair(random, 0, 3),
        };
        let block = [1, 1, 2, 3][random.size(0, 3)];
        let outputs = groups * random.size(1, if block > 1 { 2 } else { 6 }) * block * block;
        let case = Self { input, size: [1; 2], outputs, window, groups, present: None, block }.sized();
        let most = if block > 1 { 6 } else { usize::MAX };
        Self { size: case.size.map(|size| random.size(1, size.min(most))), ..case }
    }

    fn output(&self) -> [usize; 4] {
        [self.input[0], self.size[0], self.size[1], self.outputs]
    }
}

/// Runs one case of [`OpKind::Conv`], [`OpKind::Depthwise`], [`OpKind::ConvTranspose`] or their variants with types
/// `X` to `Y`; of [`OpKind::ConvPart`] between channels that it must leave alone.
///
/// # Errors
/// What went wrong first.
pub fn check<X: Activation, Y: Activation>(
    case: Case,
    kind: OpKind,
    layout: Layout,
    mut pool: Pool<'_>,
    random: &mut Random,
) -> Result<(), Failure> {
    let Case { window, groups, outputs, .. } = case;
    let shapes = Shapes { input: case.input, output: case.output() };
    let single = matches!(kind, OpKind::Depthwise | OpKind::Depthwise16);
    let transposed = matches!(kind, OpKind::ConvTranspose | OpKind::ConvTranspose16);
    let depth = window.kernel.into_iter().map(usize::from).product::<usize>()
        * if single { 1 } else { case.input[3] / groups };
    let x = pool.random::<X>(random, shapes.input.into_iter().product())?;
    let form = Form::of(kind);
    let weights = &*form.weights(&mut pool, random, (outputs, depth))?;
    let wide = |max: i32| max > i8::MAX as i32;
    let mut channels =
        pool.channels(random, outputs, if wide(X::MAX) { depth << 16 } else { depth }, wide(Y::MAX))?;
    let short = channels.shorten(kind, layout, random);
    // The whole range has shorter ways on some targets.
    let min = [Y::MIN, Y::MIN, random.range(Y::MIN, 0)][random.size(0, 2)];
    let clamp = Clamp { zero_point: random.range(-128, 127), min, max: Y::MAX };
    let outside = X::narrow(random.range(-128, 127));
    let mut input = tensor(X::DTYPE, shapes.input, outside.wide());
    let part = kind == OpKind::ConvPart;
    let between = Between::random(part, random);
    let [images, height, width, _] = shapes.output;
    let block = if part { case.block } else { 1 };
    let stored = outputs / (block * block);
    let dims = [images, height * block, width * block, between.channels(stored)];
    let mut output = tensor(Y::DTYPE, dims, clamp.zero_point);
    let rows = case.present.map_or((0, 0), |present| (shapes.input[2], present));
    let made = pool.take::<Y>(images * height * width * outputs)?;
    if case.present.is_some() {
        (input.dynamic, output.dynamic) = (0b0100, 0b0100);
        // Columns that are not there count as padding; the reference sees them as such.
        for (index, value) in x.iter_mut().enumerate() {
            if index / shapes.input[3] % shapes.input[2] >= rows.1 {
                *value = outside;
            }
        }
    }
    let (view, values) = (channels.view(), (&*x, outside));
    if single {
        depthwise::reference(values, (weights, &window), &view, clamp, shapes, made);
    } else if transposed {
        conv_transpose::reference(values, (weights, &window, groups), &view, clamp, shapes, made);
    } else {
        conv::reference(values, (weights, &window, groups), &view, clamp, shapes, made);
    }
    let made = if block > 1 {
        let blocks = pool.take::<Y>(made.len())?;
        let params = ShuffleParams { block: block as u8, channels_first: false, first: 0 };
        shuffle::reference(made, width, stored, &params, blocks);
        blocks
    } else {
        made
    };
    let expected = between.expected(&mut pool, made, stored)?;
    Job { kind, layout, inputs: &[(input, bytemuck::cast_slice(x))], output, rows }.run(
        pool,
        expected,
        |writer| {
            let (min, max) = (clamp.min, clamp.max);
            if single {
                let kernel = window.kernel.map(usize::from);
                let order = if short { DepthwiseOrder::Taps } else { layout.depthwise(kernel) };
                let count = order.len(depth, outputs).unwrap_or(0);
                let pack =
                    |room: &mut [u8]| order.pack(weights, kernel, outputs, bytemuck::cast_slice_mut(room));
                let weights = Constant { offset: writer.data_with(count, pack)?, count };
                let channels = channels.write(writer)?;
                return Ok(DepthwiseParams { window, weights, channels, min, max }.encode());
            }
            let depth = if transposed { Depth::whole(depth) } else { window.depth(shapes.input[3], groups) };
            let weights = form.write(writer, layout, weights, (groups, outputs / groups, depth))?;
            let channels = channels.write(writer)?;
            let conv = ConvParams { window, groups: groups as u16, weights, channels, min, max };
            let place = Part { block: block as u16, ..between.part(stored) };
            Ok(if part { conv.encode_part(place) } else { conv.encode() })
        },
    )
}

/// Kernels, strides, dilations, paddings, groups and channel counts around the edges of tiles.
pub fn run(bench: &mut Bench<'_, '_>) {
    let cases = [
        ("3x3", Case::new([1, 6, 7, 8], 8, [3, 3], 1, [1, 1], 1)),
        ("3x3 rgb s2", Case::new([1, 9, 9, 3], 5, [3, 3], 2, [1, 1], 1)),
        ("3x3 s2 asymmetric", Case { size: [4, 4], ..Case::new([1, 8, 8, 4], 6, [3, 3], 2, [0, 0], 1) }),
        ("10x4 s2", Case::new([1, 13, 10, 1], 16, [10, 4], 2, [4, 1], 1)),
        ("1x1 s2", Case::new([1, 6, 5, 16], 17, [1, 1], 2, [0, 0], 1)),
        ("1x1", Case::new([2, 3, 3, 5], 4, [1, 1], 1, [0, 0], 1)),
        ("1-D dilated", Case::new([1, 1, 17, 6], 9, [1, 3], 1, [0, 2], 1).dilated([1, 2])),
        ("3x3 dilated", Case::new([1, 8, 9, 4], 4, [3, 3], 1, [2, 2], 1).dilated([2, 2])),
        ("3x3 in 2 groups", Case::new([1, 5, 6, 8], 6, [3, 3], 1, [1, 1], 2)),
        ("3x3 in 3 groups s2", Case::new([2, 5, 6, 9], 3, [3, 3], 2, [1, 1], 3)),
        ("window larger than image", Case::new([1, 2, 2, 3], 2, [5, 5], 1, [2, 2], 1)),
        ("padding beyond the window", Case::new([1, 3, 3, 2], 2, [2, 2], 1, [3, 3], 1)),
        ("3x3 wide", Case::new([2, 4, 11, 4], 10, [3, 3], 1, [1, 1], 1)),
        ("3x3 wide s2", Case::new([1, 5, 17, 12], 7, [3, 3], 2, [1, 1], 1)),
        ("3x3 rgb wide s2", Case::new([1, 5, 22, 3], 8, [3, 3], 2, [0, 1], 1)),
        ("3x3 in parts", Case::new([1, 3, 26, 16], 4, [3, 3], 1, [1, 1], 1)),
        ("3x3 to 3 channels", Case::new([2, 5, 34, 8], 3, [3, 3], 1, [1, 1], 1)),
        ("5x3 sliding", Case::new([1, 4, 6, 6], 8, [5, 3], 1, [3, 0], 1)),
        ("3x3 for blocks", Case::new([2, 4, 10, 8], 16, [3, 3], 1, [1, 1], 1)),
        ("3x3 for blocks of 3", Case::new([1, 5, 7, 4], 18, [3, 3], 1, [1, 1], 1)),
        ("3x3 in parts s2", Case::new([1, 3, 29, 16], 5, [3, 3], 2, [1, 1], 1)),
    ];
    for (index, (name, case)) in cases.into_iter().enumerate() {
        let mut random = Random::new(index as u32 + 100);
        bench.each_layout(format_args!("Conv {name}"), |pool, layout| {
            check::<i8, i8>(case, OpKind::Conv, layout, pool, &mut random)
        });
        bench.each_layout(format_args!("ConvPart {name}"), |pool, layout| {
            check::<i8, i8>(case, OpKind::ConvPart, layout, pool, &mut random)
        });
        for block in [2, 3].into_iter().filter(|block| case.outputs % (block * block) == 0) {
            bench.each_layout(format_args!("ConvPart {name} in blocks of {block}"), |pool, layout| {
                check::<i8, i8>(Case { block, ..case }, OpKind::ConvPart, layout, pool, &mut random)
            });
        }
        bench.each_layout(format_args!("Conv16 {name} i16->i8"), |pool, layout| {
            check::<i16, i8>(case, OpKind::Conv16, layout, pool, &mut random)
        });
        bench.each_layout(format_args!("ConvTranspose {name}"), |pool, layout| {
            check::<i8, i8>(case, OpKind::ConvTranspose, layout, pool, &mut random)
        });
        bench.each_layout(format_args!("ConvTranspose16 {name} i8->i16"), |pool, layout| {
            check::<i8, i16>(case, OpKind::ConvTranspose16, layout, pool, &mut random)
        });
    }
    for present in [0, 1, 4, 9] {
        let dynamic = Case { present: Some(present), ..Case::new([1, 1, 9, 5], 7, [1, 3], 1, [0, 1], 1) };
        let mut random = Random::new(present as u32 + 200);
        bench.each_layout(format_args!("Conv {present} of 9 columns"), |pool, layout| {
            check::<i8, i8>(dynamic, OpKind::Conv, layout, pool, &mut random)
        });
        bench.each_layout(format_args!("ConvPart {present} of 9 columns"), |pool, layout| {
            check::<i8, i8>(dynamic, OpKind::ConvPart, layout, pool, &mut random)
        });
    }
    let singles = [
        ("3x3", Case::new([1, 6, 5, 64], 64, [3, 3], 1, [1, 1], 1)),
        ("3x3 3 channels", Case::new([1, 5, 5, 3], 3, [3, 3], 1, [1, 1], 1)),
        ("3x3 17 channels s2", Case::new([1, 7, 8, 17], 17, [3, 3], 2, [1, 1], 1)),
        ("3x3 s2 asymmetric", Case { size: [4, 4], ..Case::new([1, 8, 8, 16], 16, [3, 3], 2, [0, 0], 1) }),
        ("1x9 dilated", Case::new([1, 1, 20, 5], 5, [1, 5], 1, [0, 4], 1).dilated([1, 2])),
        ("3x3 dilated", Case::new([2, 7, 7, 4], 4, [3, 3], 1, [2, 2], 1).dilated([2, 2])),
        ("multiplier 3", Case::new([1, 4, 4, 2], 6, [3, 3], 1, [1, 1], 1)),
        ("window larger than image", Case::new([1, 2, 2, 8], 8, [5, 5], 1, [2, 2], 1)),
        ("1x1", Case::new([1, 3, 3, 20], 20, [1, 1], 1, [0, 0], 1)),
        ("3x3 wide", Case::new([1, 5, 15, 8], 8, [3, 3], 1, [1, 1], 1)),
        ("3x3 wide s2", Case::new([2, 6, 16, 8], 8, [3, 3], 2, [0, 0], 1)),
        ("3x3 even s2", Case::new([1, 5, 9, 12], 12, [3, 3], 2, [1, 1], 1)),
        ("3x3 one column", Case::new([1, 4, 1, 4], 4, [3, 3], 1, [1, 1], 1)),
        ("3x3 80 channels", Case::new([1, 4, 3, 80], 80, [3, 3], 1, [1, 1], 1)),
        ("3x3 130 channels s2", Case::new([1, 4, 3, 130], 130, [3, 3], 2, [1, 1], 1)),
        ("4x3", Case::new([1, 6, 4, 65], 65, [4, 3], 1, [1, 1], 1)),
        ("15x1", Case::new([1, 17, 1, 70], 70, [15, 1], 1, [0, 0], 1)),
        ("3x3 two columns", Case::new([1, 2, 2, 4], 4, [3, 3], 1, [1, 1], 1)),
        ("3x3 in bands", Case::new([1, 7, 12, 32], 32, [3, 3], 1, [1, 1], 1)),
        ("3x3 in bands s2", Case::new([1, 9, 20, 16], 16, [3, 3], 2, [1, 1], 1)),
        ("3x3 in bands, no padding", Case::new([2, 7, 6, 16], 16, [3, 3], 1, [0, 0], 1)),
        ("3x3 in wide bands", Case::new([1, 6, 32, 8], 8, [3, 3], 1, [1, 1], 1)),
        ("5x3 of 8 channels", Case::new([1, 8, 6, 8], 8, [5, 3], 1, [2, 1], 1)),
        ("1x5 long", Case::new([1, 1, 40, 16], 16, [1, 5], 1, [0, 2], 1)),
    ];
    for (index, (name, case)) in singles.into_iter().enumerate() {
        let mut random = Random::new(index as u32 + 300);
        bench.each_layout(format_args!("Depthwise {name}"), |pool, layout| {
            check::<i8, i8>(case, OpKind::Depthwise, layout, pool, &mut random)
        });
        bench.each_layout(format_args!("Depthwise16 {name} i8->i16"), |pool, layout| {
            check::<i8, i16>(case, OpKind::Depthwise16, layout, pool, &mut random)
        });
    }
}
