//! Plans whose sizes do not fit the numbers they are counted in: refused, for what wraps looks small and loops would run beyond it.
//!
//! Most sizes here wrap where numbers have 32 bits, as on boards, so this is worth running for such a target: the steps of
//! `cargo xtask test` do that in Miri.

use mixel_core::arch::view::In;
use mixel_core::kernels::OpKind;
use mixel_core::kernels::attention::AttentionParams;
use mixel_core::kernels::conv::ConvParams;
use mixel_core::kernels::depthwise::DepthwiseParams;
use mixel_core::kernels::linear::LinearParams;
use mixel_core::kernels::matmul::MatMulParams;
use mixel_core::kernels::part::Part;
use mixel_core::kernels::requant::{Channels, Scale};
use mixel_core::kernels::short_channels;
use mixel_core::kernels::softmax::SoftmaxParams;
use mixel_core::kernels::window::Window;
use mixel_core::pack::{Depth, Layout};
use mixel_core::plan::format::{ALIGN, NO_NAME, Section};
use mixel_core::plan::write::{Constant, MemorySizes, Params, Writer};
use mixel_core::plan::{DType, Direction, Fault};
use mixel_core::{Plan, PlanError};
use mixel_testkit::tensor;

/// An operator on int8 with its memory.
#[derive(Clone, Copy)]
struct Case {
    kind: OpKind,
    layout: Layout,
    input: [usize; 4],
    output: [usize; 4],
    /// Whether the output takes the input's place.
    in_place: bool,
    scratch: u32,
}

impl Case {
    /// What becomes of its plan; `constants` are bytes for them.
    fn load(
        &self,
        constants: usize,
        params: impl FnOnce(&mut Writer<'_>) -> Params,
    ) -> Result<(), PlanError> {
        let mut parts = vec![0; constants + 512 * Section::COUNT];
        let mut room = [512; Section::COUNT];
        room[Section::Data as usize] = constants;
        let mut writer = Writer::new(&mut parts, room);
        let params = params(&mut writer);
        let [input, mut output] = [self.input, self.output].map(|dims| tensor(DType::I8, dims, 0));
        let end = input.bytes().next_multiple_of(ALIGN);
        output.offset = if self.in_place { 0 } else { end as u32 };
        let tensors = end.max((output.offset as usize + output.bytes()).next_multiple_of(ALIGN)) as u32;
        let operands = [&input, &output].map(|tensor| writer.tensor(tensor).expect("room"));
        writer.operator(self.kind, &operands[..1], &operands[1..], params.bytes()).expect("room");
        for (tensor, direction) in operands.into_iter().zip([Direction::Input, Direction::Output]) {
            writer.port(tensor, direction, NO_NAME).expect("room");
        }
        let memory = MemorySizes { tensors, scratch: self.scratch, ..MemorySizes::default() };
        let mut plan = vec![0u128; (constants + 1024 * Section::COUNT) / 16];
        let plan: &mut [u8] = bytemuck::cast_slice_mut(&mut plan);
        let length = writer.finish(self.layout, memory, plan).expect("room");
        Plan::new_checked(&plan[..length]).map(drop)
    }

    /// The answer to a plan with `fault`.
    fn refused(&self, fault: Fault) -> Result<(), PlanError> {
        Err(PlanError::Operator(0, self.kind, fault))
    }
}

/// Zeros.
fn zeros(writer: &mut Writer<'_>, count: usize) -> Constant {
    Constant { offset: writer.data_with(count, |room| room.fill(0)).expect("room"), count }
}

/// Channels without a bias, in short form or the usual one.
fn channels(writer: &mut Writer<'_>, count: usize, short: bool) -> Constant {
    let (bias, multiplier, shift) = (vec![0; count], vec![1 << 30; count], vec![40; count]);
    let mut bytes: Vec<u8> =
        [&bias, &multiplier].into_iter().flatten().flat_map(|word: &i32| word.to_le_bytes()).collect();
    bytes.extend(&shift);
    if short {
        let channels =
            Channels { bias: In::new(&bias), multiplier: In::new(&multiplier), shift: In::new(&shift) };
        bytes.clear();
        short_channels::pack(&channels, |byte| bytes.push(byte)).expect("a short form");
    }
    Constant { offset: writer.data(&bytes).expect("room"), count: bytes.len() }
}

fn window(kernel: [u16; 2], stride: [u16; 2]) -> Window {
    Window { kernel, stride, dilation: [1; 2], pad: [0; 2] }
}

const SCRATCH: u32 = 1 << 20;

/// A convolution with `weights` bytes of weights.
fn conv(case: &Case, window: Window, weights: usize) -> Result<(), PlanError> {
    let outputs = case.output[3];
    case.load(weights + 16 * outputs + 16, |writer| {
        let (weights, channels) = (zeros(writer, weights), channels(writer, outputs, false));
        ConvParams { window, groups: 1, weights, channels, min: -128, max: 127 }.encode()
    })
}

/// A layer of one tap that makes `outputs` channels from `first` on, with the constants for `there` of them.
fn part(case: &Case, place: [u16; 2], there: usize) -> Result<(), PlanError> {
    blocks(case, place, 1, there)
}

/// The same, in blocks of positions.
fn blocks(case: &Case, [first, outputs]: [u16; 2], block: u16, there: usize) -> Result<(), PlanError> {
    let order = case.layout.matrix();
    let weights = order.len(there, Depth::whole(case.input[3])).expect("a size");
    case.load(weights + 16 * there + 16, |writer| {
        let (weights, channels) = (zeros(writer, weights), channels(writer, there, false));
        let (part, min, max) = (Part { block, ..Part::channels(first, outputs) }, -128, 127);
        if case.kind == OpKind::LinearPart {
            return LinearParams { weights, channels, min, max }.encode_part(part);
        }
        let window = window([1; 2], [1; 2]);
        ConvParams { window, groups: 1, weights, channels, min, max }.encode_part(part)
    })
}

#[test]
fn parts_lie_in_their_tensor_and_apart_from_the_input() {
    let kinds = [OpKind::ConvPart, OpKind::LinearPart];
    for (layout, kind) in Layout::ALL.into_iter().flat_map(|layout| kinds.map(|kind| (layout, kind))) {
        let (input, output) = ([1, 3, 3, 8], [1, 3, 3, 12]);
        let case = Case { kind, layout, input, output, in_place: false, scratch: SCRATCH };
        assert_eq!(part(&case, [4, 8], 8), Ok(()), "{layout:?}");
        assert_eq!(part(&case, [0, 12], 12), Ok(()), "{layout:?}");
        for (place, there) in [([5, 8], 8), ([12, 1], 1), ([4, 0], 0), ([u16::MAX, 8], 8)] {
            assert_eq!(part(&case, place, there), case.refused(Fault::Params), "{layout:?} {place:?}");
        }
        assert_eq!(part(&case, [4, 8], 7), case.refused(Fault::Constants), "{layout:?}");
        let overlapping = Case { in_place: true, ..case };
        assert_eq!(part(&overlapping, [4, 8], 8), case.refused(Fault::Aliasing), "{layout:?}");
        assert_eq!(part(&overlapping, [0, 12], 12), case.refused(Fault::Aliasing), "{layout:?}");
    }
}

#[test]
fn blocks_fill_their_tensor() {
    for layout in Layout::ALL {
        let (kind, input, output) = (OpKind::ConvPart, [1, 3, 2, 8], [1, 6, 4, 5]);
        let case = Case { kind, layout, input, output, in_place: false, scratch: SCRATCH };
        assert_eq!(blocks(&case, [0, 5], 2, 20), Ok(()), "{layout:?}");
        assert_eq!(blocks(&case, [2, 3], 2, 12), Ok(()), "{layout:?}");
        for (place, block) in [([3, 3], 2), ([0, 5], 3), ([0, 5], 0), ([0, 5], 12), ([0, 5], u16::MAX)] {
            // Channels may be looked at first.
            let refused = [Fault::Params, Fault::Constants].map(|fault| case.refused(fault));
            assert!(refused.contains(&blocks(&case, place, block, 20)), "{layout:?} {place:?} {block}");
        }
        assert_eq!(blocks(&case, [0, 5], 2, 19), case.refused(Fault::Constants), "{layout:?}");
        let short = Case { scratch: 4, ..case };
        assert_eq!(blocks(&short, [0, 5], 2, 20), Err(PlanError::Memory), "{layout:?}");
        let layers = Case { kind: OpKind::LinearPart, ..case };
        assert_eq!(blocks(&layers, [0, 5], 2, 20), layers.refused(Fault::Shapes), "{layout:?}");
        let same = Case { output: [1, 3, 2, 20], ..layers };
        assert_eq!(blocks(&same, [0, 5], 2, 20), same.refused(Fault::Params), "{layout:?}");
        let overlapping = Case { in_place: true, ..case };
        assert_eq!(blocks(&overlapping, [0, 5], 2, 20), case.refused(Fault::Aliasing), "{layout:?}");
    }
}

/// A layer with what `sides` says turned, with the constants for `depth` inputs and `outputs`.
fn turned(case: &Case, sides: u16, [depth, outputs]: [usize; 2]) -> Result<(), PlanError> {
    let weights = case.layout.matrix().len(outputs, Depth::whole(depth)).expect("a size");
    case.load(weights + 16 * outputs + 16, |writer| {
        let (weights, channels) = (zeros(writer, weights), channels(writer, outputs, false));
        let (sides, Constant { offset, count }) = (Params::new().u16(sides), weights);
        sides.constant(offset, count).constant(channels.offset, channels.count).range(-128, 127)
    })
}

#[test]
fn turned_layers_have_the_rows_and_weights_of_both_sides() {
    for layout in Layout::ALL {
        // Both sides turned, 20 columns of 6 and of 4.
        let (input, output) = ([1, 2, 6, 20], [1, 2, 4, 20]);
        let case =
            Case { kind: OpKind::LinearTurned, layout, input, output, in_place: false, scratch: SCRATCH };
        assert_eq!(turned(&case, 3, [6, 4]), Ok(()), "{layout:?}");
        for sides in [0, 4, 7, u16::MAX] {
            assert_eq!(turned(&case, sides, [6, 4]), case.refused(Fault::Params), "{layout:?} {sides}");
        }
        // As they are, six columns would become twenty.
        assert_eq!(turned(&case, 1, [6, 4]), case.refused(Fault::Shapes), "{layout:?}");
        assert_eq!(turned(&case, 2, [6, 4]), case.refused(Fault::Shapes), "{layout:?}");
        for there in [[5, 16], [6, 3]] {
            assert_eq!(turned(&case, 3, there), case.refused(Fault::Constants), "{layout:?} {there:?}");
        }
        for output in [[1, 1, 4, 20], [2, 1, 4, 20], [1, 2, 4, 19]] {
            let other = Case { output, ..case };
            assert_eq!(turned(&other, 3, [6, 4]), case.refused(Fault::Shapes), "{layout:?} {output:?}");
        }
        let overlapping = Case { in_place: true, ..case };
        assert_eq!(turned(&overlapping, 3, [6, 4]), case.refused(Fault::Aliasing), "{layout:?}");
        let tight = Case { scratch: 0, ..case };
        assert_eq!(turned(&tight, 3, [6, 4]), case.refused(Fault::Scratch), "{layout:?}");
        // Rows of 2^24 - 1 values, some at a time: in 32 bits that is less than there is, or more than all of it.
        let long = (1 << 24) - 1;
        let large = Case { input: [1, 1, long, 1], output: [1, 1, 1, 1], ..case };
        let found = turned(&large, 1, [4, 1]);
        assert!(found == case.refused(Fault::Constants), "{layout:?} {found:?}");
    }
}

/// Queries, keys, values and outputs of an attention, and where the outputs begin.
#[derive(Clone, Copy)]
struct Attention {
    layout: Layout,
    dims: [[usize; 4]; 4],
    dynamic: [u8; 4],
    /// Entries of the table of high parts.
    entries: usize,
    /// The input that the output lies on.
    over: Option<usize>,
    scratch: u32,
}

impl Attention {
    /// What becomes of its plan.
    fn load(&self, change: impl FnOnce(&mut AttentionParams)) -> Result<(), PlanError> {
        let mut parts = vec![0; 1024 * Section::COUNT];
        let mut writer = Writer::new(&mut parts, [1024; Section::COUNT]);
        let table = |writer: &mut Writer<'_>, count: usize| {
            let bytes = [1u32 << 31; 16].map(u32::to_le_bytes).concat();
            Constant { offset: writer.data(&bytes[..4 * count]).expect("room"), count }
        };
        let (low, high) = (table(&mut writer, 16), table(&mut writer, self.entries));
        let scale = Scale { multiplier: 1 << 30, shift: 38 };
        let product = |transposed| MatMulParams { transposed, scale, min: -128, max: 127 };
        let softmax = SoftmaxParams { axis: 3, low, high, scale: Scale { shift: 22, ..scale } };
        let (scores, sums) = (product(true), product(false));
        let mut params = AttentionParams { zero_points: [3, -128], scores, softmax, sums };
        change(&mut params);
        let mut tensors = self.dims.map(|dims| tensor(DType::I8, dims, 0));
        let mut end = 0;
        for index in 0..4 {
            let over = self.over.filter(|_| index == 3).map(|input| tensors[input].offset);
            tensors[index].offset = over.unwrap_or(end);
            tensors[index].dynamic = self.dynamic[index];
            let behind = tensors[index].offset as usize + tensors[index].bytes();
            end = end.max(behind.next_multiple_of(ALIGN) as u32);
        }
        let operands = tensors.map(|tensor| writer.tensor(&tensor).expect("room"));
        writer
            .operator(OpKind::Attention, &operands[..3], &operands[3..], params.encode().bytes())
            .expect("room");
        for (index, operand) in operands.into_iter().enumerate() {
            let direction = if index < 3 { Direction::Input } else { Direction::Output };
            writer.port(operand, direction, NO_NAME).expect("room");
        }
        let max_rows = if self.dynamic == [0; 4] { 0 } else { 2 };
        let memory = MemorySizes { tensors: end, scratch: self.scratch, state: 0, max_rows };
        let mut plan = vec![0u128; 1024 * Section::COUNT / 16];
        let plan: &mut [u8] = bytemuck::cast_slice_mut(&mut plan);
        let length = writer.finish(self.layout, memory, plan).expect("room");
        Plan::new_checked(&plan[..length]).map(drop)
    }
}

#[test]
fn attention_has_operands_tables_and_room_that_fit() {
    let refused = |fault| Err(PlanError::Operator(0, OpKind::Attention, fault));
    for layout in Layout::ALL {
        // 6 queries of 4 values, 7 keys, 5 values an output.
        let dims = [[1, 2, 6, 4], [1, 2, 7, 4], [1, 1, 7, 5], [1, 2, 6, 5]];
        let case = Attention { layout, dims, dynamic: [0; 4], entries: 16, over: None, scratch: SCRATCH };
        assert_eq!(case.load(|_| ()), Ok(()), "{layout:?}");
        for (operand, axis, size) in
            [(0, 3, 5), (1, 2, 6), (1, 1, 3), (2, 2, 8), (2, 1, 3), (3, 2, 5), (3, 3, 4), (3, 1, 1)]
        {
            let mut other = case;
            other.dims[operand][axis] = size;
            assert_eq!(other.load(|_| ()), refused(Fault::Shapes), "{layout:?} {operand} {axis}");
        }
        // Keys that vary, and values that do not.
        let ragged = Attention { dynamic: [0, 0b0100, 0, 0], ..case };
        assert_eq!(ragged.load(|_| ()), refused(Fault::Shapes), "{layout:?}");
        let heads = Attention { dynamic: [0b0010, 0b0010, 0, 0b0010], ..case };
        assert_eq!(heads.load(|_| ()), refused(Fault::Dynamic), "{layout:?}");
        let wrong: [fn(&mut AttentionParams); 6] = [
            |params| params.zero_points[0] = 128,
            |params| params.zero_points[1] = i32::MIN,
            |params| params.softmax.axis = 2,
            |params| params.softmax.scale.shift = 2,
            |params| params.scores.max = 128,
            |params| params.sums.scale.shift = 63,
        ];
        for (index, change) in wrong.into_iter().enumerate() {
            assert_eq!(case.load(change), refused(Fault::Params), "{layout:?} {index}");
        }
        assert_eq!(
            case.load(|params| params.softmax.low.count = 15),
            refused(Fault::Constants),
            "{layout:?}"
        );
        // Loops of the DSP extension read all of it.
        let short = Attention { entries: 15, ..case }.load(|_| ());
        let loops = matches!(layout, Layout::Generic | Layout::ArmDsp);
        assert_eq!(short, if loops { refused(Fault::Constants) } else { Ok(()) }, "{layout:?}");
        // Outputs as long as queries may take their place, longer ones and those of other inputs not.
        let alike = [[1, 2, 6, 4], [1, 2, 6, 4], [1, 2, 6, 4], [1, 2, 6, 4]];
        let over = |input| Attention { dims: alike, over: Some(input), ..case }.load(|_| ());
        let aliasing = refused(Fault::Aliasing);
        assert_eq!([over(0), over(1), over(2)], [Ok(()), aliasing, aliasing], "{layout:?}");
        assert_eq!(Attention { over: Some(0), ..case }.load(|_| ()), aliasing, "{layout:?}");
        assert_eq!(Attention { scratch: 0, ..case }.load(|_| ()), refused(Fault::Scratch), "{layout:?}");
        // Scores of a block of queries and 2^24 - 1 keys.
        let keys = (1 << 24) - 1;
        let dims = [[1, 1, 100, 1], [1, 1, keys, 1], [1, 1, keys, 1], [1, 1, 100, 1]];
        let large = Attention { dims, scratch: 1 << 28, ..case };
        assert_eq!(large.load(|_| ()), refused(Fault::Scratch), "{layout:?}");
    }
}

#[test]
fn matrices_have_all_their_weights() {
    for layout in Layout::ALL {
        // 2^32 weights seem to be none: but for heads, no bytes.
        let (input, output, order) = ([1, 1, 1, 4096], [1, 1, 1, 16], layout.matrix());
        // Enough for windows of 2^28 values.
        let scratch = 7 << 28;
        let case = Case { kind: OpKind::Conv, layout, input, output, in_place: false, scratch };
        let heads = order.head * 16 / order.channels;
        assert_eq!(
            conv(&case, window([256; 2], [1; 2]), heads),
            case.refused(Fault::Constants),
            "{layout:?}"
        );
        let small = Case { input: [1, 1, 1, 4], ..case };
        let size = order.len(16, Depth::window([2, 2], 4, true)).expect("a size");
        assert_eq!(conv(&small, window([2; 2], [1; 2]), size), Ok(()), "{layout:?}");
    }
}

/// A depthwise convolution, whose channels may be in short form.
fn depthwise(case: &Case, window: Window, short: bool) -> Result<(), PlanError> {
    let (taps, count) = (window.kernel.map(usize::from), case.output[3]);
    let order = case.layout.depthwise(taps);
    let size =
        if short { taps[0] * taps[1] * count } else { order.len(taps[0] * taps[1], count).expect("a size") };
    case.load(size + 16 * count + 16, |writer| {
        let (weights, channels) = (zeros(writer, size), channels(writer, count, short));
        DepthwiseParams { window, weights, channels, min: -128, max: 127 }.encode()
    })
}

#[test]
fn staged_columns_of_depthwise_rows_have_room() {
    // (2^29 + 3) columns of 24 bytes seem to be 72 bytes.
    let (layout, input, output) = (Layout::ArmDsp, [1, 1, 1000, 4], [1, 1, 16385, 4]);
    let case = Case { kind: OpKind::Depthwise, layout, input, output, in_place: false, scratch: SCRATCH };
    for short in [false, true] {
        assert_eq!(depthwise(&case, window([3; 2], [1, 32768]), short), case.refused(Fault::Scratch));
        assert_eq!(depthwise(&case, window([3; 2], [1, 2]), short), Ok(()));
    }
}

#[test]
fn planes_of_depthwise_rows_have_room() {
    // Whole rows, 8 planes of (2^28 + 3) columns of 6 bytes, seem to be 160 bytes. Pixel by pixel they are as many in truth, but
    // then a row of the input has to be kept.
    let (layout, input, output) = (Layout::Helium, [1, 1, 20, 8], [1, 1, 8193, 8]);
    let case = Case { kind: OpKind::Depthwise, layout, input, output, in_place: true, scratch: 160 };
    assert_eq!(depthwise(&case, window([3; 2], [1, 32768]), false), case.refused(Fault::Scratch));
    let kept = Case { scratch: 160 + 20 * 8, ..case };
    assert_eq!(depthwise(&kept, window([3; 2], [1, 32768]), false), Ok(()));
}

#[test]
fn padded_rows_have_room() {
    for layout in [Layout::X86, Layout::Aarch64] {
        // 2^16 rows of 2^16 pixels seem to be none.
        let (input, output) = ([1, 1, 1, 1], [1, 2, 2, 1]);
        let size = layout.matrix().len(1, Depth::whole(1)).expect("a size");
        let case = Case { kind: OpKind::Conv, layout, input, output, in_place: false, scratch: SCRATCH };
        assert_eq!(conv(&case, window([1; 2], [u16::MAX; 2]), size), case.refused(Fault::Scratch));
        assert_eq!(conv(&case, window([1; 2], [5, 7]), size), Ok(()));
        let case = Case { kind: OpKind::Depthwise, ..case };
        assert_eq!(depthwise(&case, window([1; 2], [u16::MAX; 2]), false), case.refused(Fault::Scratch));
        assert_eq!(depthwise(&case, window([1; 2], [5, 7]), false), Ok(()));
    }
}

#[test]
#[cfg_attr(miri, ignore = "so many weights take long")]
fn padded_rows_have_room_in_64_bits() {
    // 2^18 rows of 2^30 pixels of 2^16 bytes.
    let (layout, input, output) = (Layout::Aarch64, [1, 1, 1, 1 << 16], [1, 8, 32770, 1]);
    let case = Case { kind: OpKind::Conv, layout, input, output, in_place: false, scratch: SCRATCH };
    assert_eq!(conv(&case, window([1; 2], [37449, 32767]), 4 << 16), case.refused(Fault::Scratch));
}

#[test]
fn kept_rows_have_room() {
    // 16 rows of 2^28 bytes seem to be none.
    let (layout, input, output) = (Layout::ArmDsp, [1, 1, 1 << 23, 32], [1, 1, 1, 32]);
    let case = Case { kind: OpKind::Depthwise, layout, input, output, in_place: true, scratch: SCRATCH };
    let window = Window { pad: [15, 0], ..window([16, 1], [1; 2]) };
    assert_eq!(depthwise(&case, window, false), case.refused(Fault::Scratch));
    let narrow = Case { input: [1, 1, 1 << 10, 32], ..case };
    assert_eq!(depthwise(&narrow, window, false), Ok(()));
}
