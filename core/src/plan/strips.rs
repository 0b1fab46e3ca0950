//! Operators that run together, a strip of rows at a time, so that no tensor between them exists whole.
//!
//! A group is a range of operators whose outputs, the last one's apart, are read in the group only. Each strip gives the
//! next rows of the last output; every operator before computes the rows that are missing for them, once. What stays of a
//! tensor in between is a *line buffer*: the rows that windows below still reach. Its record in the plan has as many rows as
//! the buffer holds; the height of the tensor itself stands in the group.
//!
//! Operators do not know of strips: each is run on views of its operands ([`View`]), which are ordinary tensors with
//! fewer rows, and with the padding above that is right for the strip. So results are those of whole tensors, bit for bit.

use super::cursor::Cursor;
use super::error::Fault;
use super::operator::Operator;
use super::tensor::Tensor;
use super::{PlanError, RawPlan};
use crate::kernels::window::Window;
use crate::kernels::{self, OpKind, OpSet};

/// Most operators in one group.
pub const MAX_OPERATORS: usize = 32;
/// Most inputs of an operator in a group.
const MAX_INPUTS: usize = 2;
/// An input that no operator of the group makes.
const OUTSIDE: u8 = u8::MAX;

/// How the rows of an output come from those of the inputs: output row `r` from `extent` rows that begin with row
/// `r * stride - pad`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vertical {
    /// Rows that one output row sees.
    pub extent: u16,
    /// Rows from one to the next.
    pub stride: u16,
    /// Rows above the image.
    pub pad: u16,
}

impl Vertical {
    /// Row by row.
    const EACH: Self = Self { extent: 1, stride: 1, pad: 0 };

    /// That of `operator`; none when it cannot go by rows.
    pub fn of(operator: &Operator<'_>) -> Option<Self> {
        use OpKind::*;
        let mut params = operator.params();
        match operator.kind {
            Linear | Linear16 | Lut | Lut16 | Add | Add16 | Mul | Mul16 | Div | Div16 | Requantize
            | LayerNorm | LayerNorm16 | LinearInt4 | LinearSparse => Some(Self::EACH),
            // Along the channels only.
            Softmax | Softmax16 => (params.u8() == 3).then_some(Self::EACH),
            L2Norm | L2Norm16 => (params.u8() == 0b1000).then_some(Self::EACH),
            Conv | Conv16 | ConvInt4 | ConvSparse | Depthwise | Depthwise16 | MaxPool | MaxPool16
            | AveragePool | AveragePool16 => {
                let window = Window::whole(&mut params);
                let extent = u16::try_from(window.extent(0)).ok()?;
                window.valid().then_some(Self { extent, stride: window.stride[0], pad: window.pad[0] })
            }
            _ => None,
        }
    }

    /// The first row that output row `row` sees; below zero in the padding.
    fn start(self, row: u16) -> i64 {
        row as i64 * self.stride as i64 - self.pad as i64
    }

    /// The first row of an image that output rows from `row` on see.
    fn first(self, row: u16) -> u16 {
        self.start(row).clamp(0, u16::MAX as i64) as u16
    }

    /// Rows of an image of `height` rows that the output rows in front of `until` see.
    fn needed(self, until: u16, height: u16) -> u16 {
        let end = until.checked_sub(1).map_or(0, |last| self.start(last) + self.extent as i64);
        end.clamp(0, height as i64) as u16
    }

    /// Rows of padding above the first of these rows.
    fn above(self, row: u16) -> u16 {
        (-self.start(row)).clamp(0, u16::MAX as i64) as u16
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
    /// What the operator sees of `tensor`, its operand `operand`.
    pub(super) fn of(&self, operand: usize, tensor: Tensor) -> Tensor {
        match self.rows.get(operand) {
            None | Some((_, 0)) => tensor,
            Some(&(first, count)) => {
                let [images, _, width, channels] = tensor.dims;
                let offset = tensor.offset.wrapping_add(first as u32 * row_bytes(&tensor));
                Tensor { dims: [images, count as u32, width, channels], offset, ..tensor }
            }
        }
    }
}

fn row_bytes(tensor: &Tensor) -> u32 {
    let [_, _, width, channels] = tensor.dims;
    width.wrapping_mul(channels).wrapping_mul(tensor.dtype.size() as u32)
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
    heights: &'p [u8],
}

impl<'p> Group<'p> {
    /// A group; `heights` are those of the whole outputs of its operators, as little-endian u16.
    pub fn new(first: usize, rows: u16, heights: &'p [u8]) -> Self {
        Self { first, count: heights.len() / 2, rows, heights }
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

/// The groups of the section, up to the first that is cut off: first operator, operators, rows and 0 as u16, then the height
/// of every operator's output as u16.
pub(super) fn groups(section: &[u8]) -> impl Iterator<Item = Group<'_>> + use<'_> {
    let mut rest = section;
    core::iter::from_fn(move || {
        let (head, after) = rest.split_at_checked(group_bytes(0))?;
        let mut cursor = Cursor::new(head);
        let (first, count, rows) = (cursor.u16(), cursor.u16(), cursor.u16());
        let (heights, after) = after.split_at_checked(2 * count as usize)?;
        rest = after;
        Some(Group::new(first as usize, rows, heights))
    })
}

/// One operator of a group on its way through the strips. Rows are those of its whole output.
#[derive(Clone, Copy, Debug)]
struct Stage {
    vertical: Vertical,
    /// The stages that make its inputs, or [`OUTSIDE`].
    makers: [u8; MAX_INPUTS],
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

/// Goes through a group strip by strip.
pub struct Walk {
    rows: u16,
    stages: heapless::Vec<Stage, MAX_OPERATORS>,
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

impl Walk {
    /// The walk through `group` of `plan`, before its first strip.
    ///
    /// # Errors
    /// The first operator that cannot be part of it, and why.
    pub fn new(plan: RawPlan<'_>, group: Group<'_>) -> Result<Self, (usize, Fault)> {
        let mut stages = heapless::Vec::new();
        if group.count == 0 || group.rows == 0 {
            return Err((group.first, Fault::Params));
        }
        for (index, operator) in group.operators().enumerate() {
            let stage = stage(plan, &group, index).map_err(|fault| (operator, fault))?;
            stages.push(stage).map_err(|_| (operator, Fault::Operands))?;
        }
        Ok(Self { rows: group.rows, stages })
    }

    /// Goes on to the next strip; false when everything is done.
    pub fn advance(&mut self) -> bool {
        let Some(last) = self.stages.last_mut().filter(|last| last.target < last.height) else {
            return false;
        };
        last.target = last.target.saturating_add(self.rows).min(last.height);
        for index in (0..self.stages.len().saturating_sub(1)).rev() {
            let Some(&Stage { height, done, mut target, base: before, .. }) = self.stages.get(index) else {
                continue;
            };
            // Until the consumers have caught up, nothing of what is done may go.
            let mut base = done;
            for consumer in self.consumers(index) {
                target = target.max(consumer.vertical.needed(consumer.target, height));
                if consumer.done < consumer.height {
                    base = base.min(consumer.vertical.first(consumer.done));
                }
            }
            let base = base.max(before);
            if let Some(stage) = self.stages.get_mut(index) {
                *stage = Stage { target, base, shift: base - before, ..*stage };
            }
        }
        true
    }

    /// The stages that read the output of stage `index`.
    fn consumers(&self, index: usize) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(move |stage| stage.makers.contains(&(index as u8)))
    }

    /// What `operator`, number `index` of the group, has to keep of its output before it runs; none when nothing has to move.
    pub fn keep(&self, index: usize, operator: &Operator<'_>) -> Option<Keep> {
        let stage = self.stages.get(index).filter(|stage| stage.shift > 0)?;
        let tensor = operator.output(0).ok()?;
        let bytes = |rows: u16| rows as usize * row_bytes(&tensor) as usize;
        Some(Keep { tensor, from: bytes(stage.shift), bytes: bytes(stage.done.saturating_sub(stage.base)) })
    }

    /// `operator`, number `index` of the group, as it is in this strip; none when it has nothing to do.
    ///
    /// # Errors
    /// [`Fault::Shapes`] when it sees no row of an input, [`Fault::Bounds`] when a buffer is too short for its rows; never in
    /// a verified plan.
    pub fn view<'o>(&self, index: usize, operator: Operator<'o>) -> Result<Option<Operator<'o>>, Fault> {
        let stage = self.stages.get(index).ok_or(Fault::Operands)?;
        if stage.done == stage.target {
            return Ok(None);
        }
        let from = stage.vertical.first(stage.done);
        let mut view =
            View { pad: stage.vertical.above(stage.done), resumed: stage.done > 0, ..View::default() };
        let inputs = operator.inputs as usize;
        for (input, rows) in view.rows.iter_mut().enumerate().take(inputs) {
            let physical = operator.input(input)?.dims[1];
            let maker = stage.makers.get(input).and_then(|&maker| self.stages.get(maker as usize));
            // Constants and the like that are repeated for every row stay as they are.
            if maker.is_none() && physical == 1 && stage.vertical == Vertical::EACH {
                continue;
            }
            let whole = u16::try_from(physical).map_err(|_| Fault::Shapes)?;
            let (height, base) = maker.map_or((whole, 0), |maker| (maker.height, maker.base));
            let to = stage.vertical.needed(stage.target, height);
            let count = to.checked_sub(from).filter(|&count| count > 0).ok_or(Fault::Shapes)?;
            let first = from.checked_sub(base).ok_or(Fault::Bounds)?;
            if first as u32 + count as u32 > physical {
                return Err(Fault::Bounds);
            }
            *rows = (first, count);
        }
        let (first, count) = (stage.done - stage.base.min(stage.done), stage.target - stage.done);
        if first as u32 + count as u32 > operator.output(0)?.dims[1] {
            return Err(Fault::Bounds);
        }
        if let Some(rows) = view.rows.get_mut(inputs) {
            *rows = (first, count);
        }
        Ok(Some(operator.viewed(view)))
    }

    /// Notes that operator `index` of the group has run in this strip.
    pub fn done(&mut self, index: usize) {
        if let Some(stage) = self.stages.get_mut(index) {
            stage.done = stage.target;
        }
    }

    /// Rows that the line buffer of operator `index` of the group holds in this strip.
    pub fn lines(&self, index: usize) -> u16 {
        self.stages.get(index).map_or(0, |stage| stage.target - stage.base.min(stage.target))
    }
}

fn stage(plan: RawPlan<'_>, group: &Group<'_>, index: usize) -> Result<Stage, Fault> {
    let operator = plan.operator(group.first + index).ok_or(Fault::Operands)?;
    let vertical = Vertical::of(&operator).ok_or(Fault::Code)?;
    let inputs = operator.inputs as usize;
    if operator.outputs != 1 || inputs > MAX_INPUTS {
        return Err(Fault::Operands);
    }
    let mut makers = [OUTSIDE; MAX_INPUTS];
    for (input, maker) in makers.iter_mut().enumerate().take(inputs) {
        for before in 0..index {
            let made = plan.operator(group.first + before).ok_or(Fault::Operands)?;
            if made.tensor_index(made.inputs as usize) == operator.tensor_index(input) {
                *maker = before as u8;
            }
        }
    }
    let (height, output) = (group.height(index), operator.output(0)?);
    let whole = index + 1 < group.count || output.dims[1] == height as u32;
    if height == 0 || output.dims[0] != 1 || output.dynamic != 0 || !whole {
        return Err(Fault::Shapes);
    }
    Ok(Stage { vertical, makers, height, done: 0, target: 0, base: 0, shift: 0 })
}

/// Operator `index` of `group` with all rows of its operands, for tools: its shapes and work are those of whole tensors, its
/// memory means nothing.
pub fn whole<'p>(plan: RawPlan<'p>, group: Group<'p>, index: usize) -> Option<Operator<'p>> {
    let operator = plan.operator(group.first + index)?;
    let stage = stage(plan, &group, index).ok()?;
    let mut view = View { pad: stage.vertical.pad, ..View::default() };
    for (rows, maker) in view.rows.iter_mut().zip(stage.makers) {
        *rows = (0, if maker == OUTSIDE { 0 } else { group.height(maker as usize) });
    }
    *view.rows.get_mut(operator.inputs as usize)? = (0, stage.height);
    Some(operator.viewed(view))
}

/// How far behind the start of an input from outside, tensor `input`, the group's output may begin, in bytes; as
/// [`crate::kernels::Kernel::reach`] for operators.
///
/// # Errors
/// As [`Walk::new`].
#[inline(never)]
pub fn reach(plan: RawPlan<'_>, group: Group<'_>, input: u16) -> Result<isize, (usize, Fault)> {
    let mut walk = Walk::new(plan, group)?;
    let tensor = plan.tensor(input).map_err(|fault| (group.first, fault))?;
    let last = plan.operator(group.first + group.count - 1).and_then(|operator| operator.output(0).ok());
    let output = last.ok_or((group.first, Fault::Operands))?;
    let mut reach = tensor.bytes() as isize;
    while walk.advance() {
        (0..group.count).for_each(|index| walk.done(index));
        let mut unread = None;
        for (index, stage) in walk.stages.iter().enumerate().filter(|(_, stage)| stage.done < stage.height) {
            let operator =
                plan.operator(group.first + index).ok_or((group.first + index, Fault::Operands))?;
            if (0..operator.inputs as usize).any(|operand| operator.tensor_index(operand) == input) {
                let first = stage.vertical.first(stage.done);
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
    check_with(plan, group, kernels::check::<O>)
}

#[inline(never)]
fn check_with(plan: RawPlan<'_>, group: Group<'_>, check: Check) -> Result<usize, PlanError> {
    let refuse = |(index, fault): (usize, Fault)| {
        let kind = plan.operator(index).map_or(OpKind::Move, |operator| operator.kind);
        PlanError::Operator(index as u16, kind, fault)
    };
    let mut walk = Walk::new(plan, group).map_err(refuse)?;
    check_sharing(plan, group, &walk).map_err(refuse)?;
    let mut scratch = 0;
    while walk.advance() {
        for (index, at) in group.operators().enumerate() {
            let operator = plan.operator(at).ok_or(refuse((at, Fault::Operands)))?;
            if let Some(operator) = walk.view(index, operator).map_err(|fault| refuse((at, fault)))? {
                let needed = check(&operator).ok_or(PlanError::NotLinked(at as u16, operator.kind))?;
                scratch = scratch.max(needed.map_err(|fault| refuse((at, fault)))?);
            }
            walk.done(index);
        }
    }
    Ok(scratch)
}

/// Line buffers share memory with nothing; the output with an input from outside only as far as [`reach`] allows.
#[inline(never)]
fn check_sharing(plan: RawPlan<'_>, group: Group<'_>, walk: &Walk) -> Result<(), (usize, Fault)> {
    let operator = |at: usize| plan.operator(at).ok_or((at, Fault::Operands));
    for (index, at) in group.operators().enumerate() {
        let (writer, fault) = (operator(at)?, |fault| (at, fault));
        let output = writer.tensor_index(writer.inputs as usize);
        let memory = plan.tensor(output).map_err(fault)?;
        for (stage, other) in walk.stages.iter().zip(group.operators()) {
            let reader = operator(other)?;
            let inputs = reader.inputs as usize;
            for operand in 0..=inputs {
                let tensor = reader.tensor_index(operand);
                let made = stage.makers.get(operand).filter(|_| operand < inputs);
                let from_outside = made == Some(&OUTSIDE);
                if other == at && operand == inputs || made == Some(&(index as u8)) {
                    continue;
                }
                let shape = plan.tensor(tensor).map_err(fault)?;
                if !kernels::shared(&memory, &shape) {
                    continue;
                }
                let distance = memory.offset as isize - shape.offset as isize;
                let last = index + 1 == group.count;
                if !last || !from_outside || distance > reach(plan, group, tensor)? {
                    return Err(fault(Fault::Aliasing));
                }
            }
        }
    }
    Ok(())
}
