//! Operators that run together, a strip of rows at a time, so that no tensor between them exists whole.
//!
//! A group is a range of operators whose outputs, the last one's apart, are read in the group only. Each strip gives the
//! next rows of the last output; every operator before computes the rows that are missing for them, once. What stays of a
//! tensor in between is a *line buffer*: the rows that windows below still reach. Its record in the plan has as many rows as
//! the buffer holds; the height of the tensor itself stands in the group.
//!
//! A group may take and give rows one strip at a time as well: [`crate::kernels::feed::Feed`] stands for rows that come in, and
//! the last output of a group that *streams* holds no more than a strip's. A plan whose groups all do takes images of any
//! height in the memory for a few rows. What depends on the whole image ends a group, and the next one goes through it again:
//! the sums of [`crate::kernels::channel_attention::Gram`], to which every strip adds.
//!
//! Operators do not know of strips: each is run on views of its operands ([`View`]), which are ordinary tensors with
//! fewer rows, and with the padding above that is right for the strip. So results are those of whole tensors, bit for bit.

use super::cursor::Cursor;
use super::error::Fault;
use super::operator::Operator;
use super::tensor::Tensor;
use super::{PlanError, RawPlan};
use crate::kernels::part::Part;
use crate::kernels::shuffle::ShuffleParams;
use crate::kernels::window::Window;
use crate::kernels::{self, OpKind, OpSet};

/// Most operators in one group.
pub const MAX_OPERATORS: usize = 128;
/// Most inputs of an operator in a group.
pub const MAX_INPUTS: usize = 3;
/// An input that no operator of the group makes.
const OUTSIDE: u8 = u8::MAX;

/// How the rows of an output come from those of the inputs: output row `r` from `extent` rows that begin with row
/// `r / up * stride - pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vertical {
    /// Rows of the output for each step in the input.
    pub up: u16,
    /// Whether the output has no rows: every row of the input adds to all of it. Its height is the input's then.
    pub sums: bool,
    /// Rows that one output row sees.
    pub extent: u16,
    /// Rows from one to the next.
    pub stride: u16,
    /// Rows above the image.
    pub pad: u16,
}

impl Vertical {
    /// Row by row.
    const EACH: Self = Self { up: 1, sums: false, extent: 1, stride: 1, pad: 0 };

    /// That of `operator`; none when it cannot go by rows.
    pub fn of(operator: &Operator<'_>) -> Option<Self> {
        use OpKind::*;
        let mut params = operator.params();
        match operator.kind {
            Linear | Linear16 | Lut | Lut16 | LutSteps | Add | Add16 | Mul | Mul16 | Div | Div16
            | Requantize | LayerNorm | LayerNorm16 | LinearInt4 | LinearSparse | MatMul | MatMul16
            | Attention | Join | Feed | Sum3 | Sum3_16 => Some(Self::EACH),
            Gram => Some(Self { sums: true, ..Self::EACH }),
            Shuffle => {
                ShuffleParams::read(params).map(|params| Self { up: params.block as u16, ..Self::EACH })
            }
            // Along the channels only.
            Softmax | Softmax16 => (params.u8() == 3).then_some(Self::EACH),
            L2Norm | L2Norm16 => (params.u8() == 0b1000).then_some(Self::EACH),
            LinearPart => Some(Self::EACH),
            Conv | ConvPart | Conv16 | ConvInt4 | ConvSparse | Depthwise | Depthwise16 | MaxPool
            | MaxPool16 | AveragePool | AveragePool16 => {
                let part = operator.kind == ConvPart;
                let up = if part { Part::read(&mut params).block } else { 1 };
                let window = Window::whole(&mut params);
                let extent = u16::try_from(window.extent(0)).ok()?;
                let (stride, pad) = (window.stride[0], window.pad[0]);
                window.valid().then_some(Self { up, extent, stride, pad, ..Self::EACH })
            }
            _ => None,
        }
    }

    /// The first row that output row `row` sees, the padding's rows counted.
    fn start(self, row: u16) -> u32 {
        // Not more than 32 bits hold, even with `extent` rows behind it.
        row.checked_div(self.up).unwrap_or(0) as u32 * self.stride as u32
    }

    /// The first row of an image that output rows from `row` on see.
    fn first(self, row: u16) -> u16 {
        self.start(row).saturating_sub(self.pad as u32).min(u16::MAX as u32) as u16
    }

    /// Rows of an image of `height` rows that the output rows in front of `until` see.
    fn needed(self, until: u16, height: u16) -> u16 {
        let end = until.checked_sub(1).map_or(0, |last| self.start(last) + self.extent as u32);
        end.saturating_sub(self.pad as u32).min(height as u32) as u16
    }

    /// Rows of padding above the first of these rows.
    fn above(self, row: u16) -> u16 {
        (self.pad as u32).saturating_sub(self.start(row)) as u16
    }
}

/// Some rows of an operator's operands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// First row in memory, and number of rows, of each input and then of the output; no rows where all are seen.
    rows: [(u16, u16); MAX_INPUTS + 1],
    /// Rows of padding above them.
    pub pad: u16,
    /// Whether there were rows before these.
    pub resumed: bool,
}

impl View {
    /// Cuts `tensor`, the operator's operand `operand`, to the rows that it sees.
    pub(super) fn narrow(&self, operand: usize, tensor: &mut Tensor) {
        if let Some(&(first, count @ 1..)) = self.rows.get(operand) {
            tensor.offset = tensor.offset.wrapping_add(first as u32 * row_bytes(tensor));
            tensor.dims[1] = count as u32;
        }
    }
}

fn row_bytes(tensor: &Tensor) -> u32 {
    let [_, _, width, channels] = tensor.dims;
    width.wrapping_mul(channels).wrapping_mul(tensor.dtype.size() as u32)
}

/// Whether an operator sees all of `tensor`, an input from outside, for each of its rows.
fn repeats(tensor: &Tensor, vertical: Vertical) -> bool {
    tensor.dims[1] == 1 && vertical == Vertical::EACH
}

/// A group as the plan stores it.
#[derive(Clone, Copy, Debug)]
pub struct Group<'p> {
    /// Its first operator.
    pub first: usize,
    /// Number of operators.
    pub count: usize,
    /// Rows of the last output that a strip gives.
    pub rows: u16,
    /// Whether the last output leaves strip by strip, so that its tensor holds a strip's rows only.
    pub streams: bool,
    heights: &'p [u8],
}

impl<'p> Group<'p> {
    /// A group; `heights` are those of the whole outputs of its operators, as little-endian u16.
    pub fn new(first: usize, rows: u16, streams: bool, heights: &'p [u8]) -> Self {
        Self { first, count: heights.len() / 2, rows, streams, heights }
    }

    /// The operators in execution order.
    pub fn operators(&self) -> core::ops::Range<usize> {
        self.first..self.first + self.count
    }

    /// Height of the whole output of operator `index` of the group.
    pub fn height(&self, index: usize) -> u16 {
        Cursor::new(self.heights.get(2 * index..).unwrap_or(&[])).u16()
    }
}

/// Bytes of a group of `count` operators in its section.
pub const fn group_bytes(count: usize) -> usize {
    8 + 2 * count
}

/// The groups of the section, up to the first that is cut off or too long: first operator, operators, rows and 1 if it streams as u16,
/// then the height of every operator's output as u16.
pub(super) fn groups(section: &[u8]) -> impl Iterator<Item = Group<'_>> + use<'_> {
    let mut rest = section;
    core::iter::from_fn(move || {
        let (head, after) = rest.split_at_checked(group_bytes(0))?;
        let mut cursor = Cursor::new(head);
        let (first, count, rows, streams) = (cursor.u16(), cursor.u16(), cursor.u16(), cursor.u16());
        let (heights, after) = after.split_at_checked(2 * count as usize)?;
        rest = after;
        let valid = streams <= 1 && count as usize <= MAX_OPERATORS;
        valid.then(|| Group::new(first as usize, rows, streams == 1, heights))
    })
}

/// One operator of a group on its way through the strips, in 28 bytes. Rows are those of its whole output.
#[derive(Clone, Copy, Debug)]
pub struct Stage {
    vertical: Vertical,
    /// The stages that make its inputs, or [`OUTSIDE`].
    makers: [u8; MAX_INPUTS],
    /// The tensor that it makes, and the rows that there are in memory for it.
    output: u16,
    lines: u16,
    height: u16,
    /// Rows that are done.
    done: u16,
    /// Rows that are done after this strip.
    target: u16,
    /// The row that lies first in the line buffer.
    base: u16,
    /// By how many rows the buffer's contents move up in this strip.
    shift: u16,
}

impl Stage {
    /// That of no operator, to fill memory with.
    pub const IDLE: Self = Self {
        vertical: Vertical::EACH,
        makers: [OUTSIDE; MAX_INPUTS],
        output: 0,
        lines: 0,
        height: 0,
        done: 0,
        target: 0,
        base: 0,
        shift: 0,
    };
}

/// Memory for the walk through a group, which an operator set says how much there is of.
pub trait Room {
    /// Most operators in a group; 0 for no groups.
    const OPERATORS: usize;

    /// Has `work` done with memory on the stack for a group of `count` operators; with as much as there is, if that is less.
    fn lend<A>(count: usize, work: impl FnOnce(&mut [Stage]) -> A) -> A;
}

/// Room for groups of so many operators, [`MAX_OPERATORS`] at most: a [`Stage`] each on the stack. Where that is much, shorter groups take
/// less.
pub struct UpTo<const OPERATORS: usize>;

impl<const OPERATORS: usize> Room for UpTo<OPERATORS> {
    const OPERATORS: usize = {
        assert!(OPERATORS <= MAX_OPERATORS, "groups have 128 operators at most");
        OPERATORS
    };

    fn lend<A>(count: usize, work: impl FnOnce(&mut [Stage]) -> A) -> A {
        /// Sets for any plan have room for this many as well.
        const FEW: usize = 16;
        if Self::OPERATORS > 2 * FEW && count <= FEW {
            on_stack::<FEW, A>(work)
        } else {
            on_stack::<OPERATORS, A>(work)
        }
    }
}

/// Out of line, so that each has a stack frame of its own.
#[inline(never)]
fn on_stack<const OPERATORS: usize, A>(work: impl FnOnce(&mut [Stage]) -> A) -> A {
    work(&mut [Stage::IDLE; OPERATORS])
}

/// Goes through a group strip by strip.
pub struct Walk<'m> {
    rows: u16,
    streams: bool,
    stages: &'m mut [Stage],
}

/// Rows of a line buffer that are still needed and move to its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Keep {
    /// The buffer.
    pub tensor: Tensor,
    /// Bytes in front of what is kept.
    pub from: usize,
    /// Bytes that are kept.
    pub bytes: usize,
}

impl<'m> Walk<'m> {
    /// The walk through `group` of `plan`, before its first strip, in memory of [`Room::lend`].
    ///
    /// # Errors
    /// The first operator that cannot be part of it, and why; [`Fault::Operands`] also for one that there is no room for.
    pub fn enter(plan: RawPlan<'_>, group: Group<'_>, room: &'m mut [Stage]) -> Result<Self, (usize, Fault)> {
        if group.count == 0 || group.rows == 0 {
            return Err((group.first, Fault::Params));
        }
        let most = group.first + room.len();
        let stages = room.get_mut(..group.count).ok_or((most, Fault::Operands))?;
        for (index, operator) in group.operators().enumerate() {
            if let Some((made, [place, ..])) = stages.split_at_mut_checked(index) {
                *place = stage(plan, &group, made).map_err(|fault| (operator, fault))?;
            }
        }
        Ok(Self { rows: group.rows, streams: group.streams, stages })
    }

    /// Goes back to before the first strip.
    fn restart(&mut self) {
        for stage in self.stages.iter_mut() {
            (stage.done, stage.target, stage.base, stage.shift) = (0, 0, 0, 0);
        }
    }

    /// Goes on to the next strip; false when everything is done.
    pub fn advance(&mut self) -> bool {
        let Some((last, rest)) = self.stages.split_last_mut().filter(|(last, _)| last.target < last.height)
        else {
            return false;
        };
        last.target = last.target.saturating_add(self.rows);
        if self.streams {
            last.base = last.done;
        }
        // Until the consumers have caught up, nothing of what is done may go.
        for stage in rest {
            (stage.target, stage.shift, stage.base) = (stage.done, stage.base, stage.done);
        }
        // From the last to the first, so that each knows what all its consumers need.
        for index in (0..self.stages.len()).rev() {
            let Some(stage) = self.stages.get_mut(index) else { continue };
            stage.target = stage
                .target
                .checked_next_multiple_of(stage.vertical.up)
                .unwrap_or(u16::MAX)
                .min(stage.height);
            let consumer = *stage;
            for &maker in consumer.makers.iter().filter(|&&maker| maker != OUTSIDE) {
                let Some(maker) = self.stages.get_mut(maker as usize) else { continue };
                maker.target = maker.target.max(consumer.vertical.needed(consumer.target, maker.height));
                if consumer.done < consumer.height {
                    maker.base = maker.base.min(consumer.vertical.first(consumer.done));
                }
            }
        }
        let made = self.stages.len().saturating_sub(1);
        for stage in self.stages.iter_mut().take(made) {
            let before = stage.shift;
            stage.base = stage.base.max(before);
            stage.shift = stage.base - before;
        }
        true
    }

    /// What `operator`, number `index` of the group, has to keep of its output before it runs; none when nothing has to move.
    pub fn keep(&self, index: usize, operator: &Operator<'_>) -> Option<Keep> {
        let stage = self.stages.get(index).filter(|stage| stage.shift > 0)?;
        let tensor = operator.output(0).ok()?;
        let bytes = |rows: u16| rows as usize * row_bytes(&tensor) as usize;
        Some(Keep { tensor, from: bytes(stage.shift), bytes: bytes(stage.done.saturating_sub(stage.base)) })
    }

    /// What `operator`, number `index` of the group, sees in this strip; none when it has nothing to do.
    ///
    /// # Errors
    /// [`Fault::Shapes`] when it sees no row of an input, [`Fault::Bounds`] when a buffer is too short for its rows; never in
    /// a verified plan.
    pub fn view(&self, index: usize, operator: &Operator<'_>) -> Result<Option<View>, Fault> {
        let stage = self.stages.get(index).ok_or(Fault::Operands)?;
        if stage.done == stage.target {
            return Ok(None);
        }
        let from = stage.vertical.first(stage.done);
        let mut view =
            View { pad: stage.vertical.above(stage.done), resumed: stage.done > 0, ..View::default() };
        let inputs = operator.inputs as usize;
        for ((input, rows), maker) in view.rows.iter_mut().enumerate().zip(stage.makers).take(inputs) {
            let (height, base, lines) = match self.stages.get(maker as usize) {
                Some(maker) => (maker.height, maker.base, maker.lines),
                None => {
                    let tensor = operator.input(input)?;
                    if repeats(&tensor, stage.vertical) {
                        continue;
                    }
                    let whole = u16::try_from(tensor.dims[1]).map_err(|_| Fault::Shapes)?;
                    (whole, 0, whole)
                }
            };
            let to = stage.vertical.needed(stage.target, height);
            let count = to.checked_sub(from).filter(|&count| count > 0).ok_or(Fault::Shapes)?;
            let first = from.checked_sub(base).ok_or(Fault::Bounds)?;
            if first as u32 + count as u32 > lines as u32 {
                return Err(Fault::Bounds);
            }
            *rows = (first, count);
        }
        if stage.vertical.sums {
            return Ok(Some(view));
        }
        let (first, count) = (stage.done - stage.base.min(stage.done), stage.target - stage.done);
        if first as u32 + count as u32 > stage.lines as u32 {
            return Err(Fault::Bounds);
        }
        if let Some(rows) = view.rows.get_mut(inputs) {
            *rows = (first, count);
        }
        Ok(Some(view))
    }

    /// Notes that operator `index` of the group has run in this strip.
    pub fn done(&mut self, index: usize) {
        if let Some(stage) = self.stages.get_mut(index) {
            stage.done = stage.target;
        }
    }

    /// The rows of the whole output that operator `index` of the group adds in this strip.
    pub fn rows(&self, index: usize) -> core::ops::Range<usize> {
        self.stages.get(index).map_or(0..0, |stage| stage.done as usize..stage.target as usize)
    }

    /// Rows that the line buffer of operator `index` of the group holds in this strip.
    pub fn lines(&self, index: usize) -> u16 {
        self.stages.get(index).map_or(0, |stage| stage.target - stage.base.min(stage.target))
    }
}

/// The stage of the operator of `group` behind those that are `made`.
fn stage(plan: RawPlan<'_>, group: &Group<'_>, made: &[Stage]) -> Result<Stage, Fault> {
    let index = made.len();
    let operator = plan.operator(group.first + index).ok_or(Fault::Operands)?;
    let vertical = Vertical::of(&operator).ok_or(Fault::Code)?;
    let inputs = operator.inputs as usize;
    if operator.outputs != 1 || inputs > MAX_INPUTS {
        return Err(Fault::Operands);
    }
    let mut makers = [OUTSIDE; MAX_INPUTS];
    for (input, maker) in makers.iter_mut().enumerate().take(inputs) {
        let tensor = operator.tensor_index(input);
        let made = made.iter().rposition(|stage| stage.output == tensor);
        *maker = made.map_or(OUTSIDE, |made| made as u8);
    }
    let (height, output) = (group.height(index), operator.output(0)?);
    let last = index + 1 == group.count;
    // The rest of a tensor is made elsewhere.
    if makes_part(&operator)? && (!last || group.streams) {
        return Err(Fault::Shapes);
    }
    // Sums are whole when all rows are through: only then may something read them.
    if vertical.sums && !last || vertical.up == 0 {
        return Err(Fault::Shapes);
    }
    let whole = !last || group.streams || vertical.sums || output.dims[1] == height as u32;
    if height == 0 || output.dims[0] != 1 || output.dynamic != 0 || !whole {
        return Err(Fault::Shapes);
    }
    // No strip has more rows than numbers of 16 bits.
    let lines = u16::try_from(output.dims[1]).unwrap_or(u16::MAX);
    Ok(Stage { vertical, makers, output: operator.tensor_index(inputs), lines, height, ..Stage::IDLE })
}

/// Whether an operator may make some channels of its output only.
fn makes_part(operator: &Operator<'_>) -> Result<bool, Fault> {
    let made = |params: ShuffleParams| -> Result<bool, Fault> {
        let (input, output) = operator.unary()?;
        Ok(params.channels(input.inner()) != Some(output.inner()))
    };
    match operator.kind {
        OpKind::ConvPart | OpKind::LinearPart => Ok(true),
        OpKind::Shuffle => ShuffleParams::read(operator.params()).map_or(Ok(true), made),
        _ => Ok(false),
    }
}

/// Operator `index` of `group` with all rows of its operands, for tools: its shapes and work are those of whole tensors, its
/// memory means nothing.
pub fn whole<'p>(plan: RawPlan<'p>, group: Group<'p>, index: usize) -> Option<Operator<'p>> {
    let mut operator = plan.operator(group.first + index)?;
    UpTo::<MAX_OPERATORS>::lend(group.count, |room| {
        let walk = Walk::enter(plan, group, room).ok()?;
        let stage = walk.stages.get(index)?;
        let mut view = View { pad: stage.vertical.pad, ..View::default() };
        for (rows, maker) in view.rows.iter_mut().zip(stage.makers) {
            *rows = (0, walk.stages.get(maker as usize).map_or(0, |maker| maker.height));
        }
        let height = if stage.vertical.sums { 0 } else { stage.height };
        *view.rows.get_mut(operator.inputs as usize)? = (0, height);
        operator.look(view);
        Some(operator)
    })
}

/// How far behind the start of an input from outside, tensor `input`, the group's output may begin, in bytes; as
/// [`crate::kernels::Kernel::reach`] for operators. The walk is through `group`, and goes on from its beginning.
///
/// # Errors
/// The first operator that is not valid, and why.
#[inline(never)]
pub fn reach(
    plan: RawPlan<'_>,
    group: Group<'_>,
    walk: &mut Walk<'_>,
    input: u16,
) -> Result<isize, (usize, Fault)> {
    walk.restart();
    let tensor = plan.tensor(input).map_err(|fault| (group.first, fault))?;
    let last = plan.operator(group.first + group.count - 1).and_then(|operator| operator.output(0).ok());
    let output = last.ok_or((group.first, Fault::Operands))?;
    if group.streams || walk.stages.last().is_some_and(|last| last.vertical.sums) {
        return Ok(isize::MIN);
    }
    let mut reach = tensor.bytes() as isize;
    while walk.advance() {
        (0..group.count).for_each(|index| walk.done(index));
        let mut unread = None;
        for (index, stage) in walk.stages.iter().enumerate().filter(|(_, stage)| stage.done < stage.height) {
            let operator =
                plan.operator(group.first + index).ok_or((group.first + index, Fault::Operands))?;
            if (0..operator.inputs as usize).any(|operand| operator.tensor_index(operand) == input) {
                let repeated = repeats(&tensor, stage.vertical);
                let first = if repeated { 0 } else { stage.vertical.first(stage.done) };
                unread = Some(unread.map_or(first, |unread: u16| unread.min(first)));
            }
        }
        let (Some(unread), Some(last)) = (unread, walk.stages.last()) else { continue };
        let written = last.done as isize * row_bytes(&output) as isize;
        reach = reach.min(unread as isize * row_bytes(&tensor) as isize - written);
    }
    Ok(reach)
}

/// Checks an operator: its scratch bytes, or what is wrong; none when it is not linked.
type Check = fn(&Operator<'_>) -> Option<Result<usize, Fault>>;

/// Checks a group: that every operator takes its operands in every strip, and that nothing is overwritten that is still
/// needed. Gives the scratch bytes of the operators.
///
/// # Errors
/// The first operator for which it does not hold.
pub fn check<O: OpSet>(plan: RawPlan<'_>, group: Group<'_>) -> Result<usize, PlanError> {
    O::Strips::lend(group.count, |room| check_with(plan, group, room, kernels::check::<O>))
}

#[inline(never)]
fn check_with(
    plan: RawPlan<'_>,
    group: Group<'_>,
    room: &mut [Stage],
    check: Check,
) -> Result<usize, PlanError> {
    let refuse = |(index, fault): (usize, Fault)| {
        let kind = plan.operator(index).map_or(OpKind::Move, |operator| operator.kind);
        PlanError::Operator(index as u16, kind, fault)
    };
    let mut walk = Walk::enter(plan, group, room).map_err(refuse)?;
    check_sharing(plan, group, &mut walk).map_err(refuse)?;
    walk.restart();
    let mut scratch = 0;
    while walk.advance() {
        for (index, at) in group.operators().enumerate() {
            let mut operator = plan.operator(at).ok_or(refuse((at, Fault::Operands)))?;
            if let Some(view) = walk.view(index, &operator).map_err(|fault| refuse((at, fault)))? {
                operator.look(view);
                let needed = check(&operator).ok_or(PlanError::NotLinked(at as u16, operator.kind))?;
                scratch = scratch.max(needed.map_err(|fault| refuse((at, fault)))?);
            }
            walk.done(index);
        }
    }
    Ok(scratch)
}

/// Which operators' outputs are *passing*: every row is read up in the strip that makes it, so that their memory is free until
/// the next strip. Bit i stands for operator i of the group. The walk goes on from its beginning.
#[inline(never)]
pub fn passing(walk: &mut Walk<'_>) -> u128 {
    walk.restart();
    let mut passing = u128::MAX;
    while walk.advance() {
        for (index, stage) in walk.stages.iter_mut().enumerate() {
            if stage.base < stage.done || stage.vertical.sums {
                passing &= !(1 << index);
            }
            stage.done = stage.target;
        }
    }
    passing
}

/// Line buffers share memory with nothing, but for passing ones with other passing ones that are not needed at the same time;
/// where one operator reads one and writes the other, the operator's own check decides. The output may share with an input from
/// outside as far as [`reach`] allows.
#[inline(never)]
fn check_sharing(plan: RawPlan<'_>, group: Group<'_>, walk: &mut Walk<'_>) -> Result<(), (usize, Fault)> {
    let passing = passing(walk);
    let passes = |index: usize| passing >> index & 1 == 1;
    // The last operator that reads what operator `index` makes.
    let until = |walk: &Walk<'_>, index: usize| {
        let reads = |stage: &Stage| stage.makers.contains(&(index as u8));
        walk.stages.iter().rposition(reads).unwrap_or(index)
    };
    let operator = |at: usize| plan.operator(at).ok_or((at, Fault::Operands));
    for (index, at) in group.operators().enumerate() {
        let (writer, fault) = (operator(at)?, |fault| (at, fault));
        let output = writer.tensor_index(writer.inputs as usize);
        let memory = plan.tensor(output).map_err(fault)?;
        for (number, other) in group.operators().enumerate() {
            let (reader, makers) =
                (operator(other)?, walk.stages.get(number).map_or(Stage::IDLE, |stage| *stage).makers);
            let inputs = reader.inputs as usize;
            for operand in 0..=inputs {
                let tensor = reader.tensor_index(operand);
                let made = makers.get(operand).filter(|_| operand < inputs);
                let from_outside = made == Some(&OUTSIDE);
                if other == at && operand == inputs || made == Some(&(index as u8)) {
                    continue;
                }
                let shape = plan.tensor(tensor).map_err(fault)?;
                if !kernels::shared(&memory, &shape) {
                    continue;
                }
                // The other's maker: this reader makes it, or made it for this operand.
                let maker = match made {
                    None => Some(other - group.first),
                    Some(&OUTSIDE) => None,
                    Some(&maker) => Some(maker as usize),
                };
                if let Some(maker) = maker.filter(|&maker| passes(maker) && passes(index)) {
                    let (first, second) = if maker < index { (maker, index) } else { (index, maker) };
                    if first != second && until(walk, first) <= second {
                        continue;
                    }
                }
                let distance = memory.offset as isize - shape.offset as isize;
                let last = index + 1 == group.count;
                if !last || !from_outside || distance > reach(plan, group, walk, tensor)? {
                    return Err(fault(Fault::Aliasing));
                }
            }
        }
    }
    Ok(())
}
