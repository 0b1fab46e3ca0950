//! Operators that put integers elsewhere: each becomes one loop nest, or no work at all.

use mixel_core::kernels::OpKind;
use mixel_core::kernels::gather::GatherParams;
use mixel_core::kernels::movement::{BEHIND, Loop, MAX_LOOPS, MoveParams};
use mixel_core::kernels::shuffle::ShuffleParams;
use mixel_core::plan::operator::MAX_OPERANDS;
use mixel_core::plan::write::Constant;

use super::builder::Builder;
use super::{axis_of_four, table, window};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Node, Op, Shape, ShuffleMode, ValueId};
use crate::quantize::quantize_value;

/// Loops over elements, outermost first, with the step that each makes in input and output.
struct Nest {
    from: usize,
    to: usize,
    /// The output lies behind rows that vary, along the first loop's axis.
    behind: bool,
    loops: Vec<Step>,
}

#[derive(Clone, Copy)]
struct Step {
    count: usize,
    from: isize,
    to: isize,
    dynamic: bool,
}

/// Elements between neighbours along each axis.
fn strides(dims: &[usize]) -> Vec<isize> {
    (0..dims.len()).map(|axis| dims[axis + 1..].iter().product::<usize>() as isize).collect()
}

impl Nest {
    /// One loop for each of `shape`'s axes.
    fn over(shape: &Shape, from: &[isize], to: &[isize]) -> Self {
        let step = |axis: usize| Step {
            count: shape.dims[axis],
            from: from[axis],
            to: to[axis],
            dynamic: shape.is_dynamic(axis),
        };
        Self { from: 0, to: 0, behind: false, loops: (0..shape.rank()).map(step).collect() }
    }

    /// The same moves in as few loops as possible.
    fn merged(mut self) -> Self {
        let mut loops: Vec<Step> = Vec::new();
        // The first loop of such a nest has a meaning of its own.
        let rest = self.loops.split_off(usize::from(self.behind));
        let first = self.loops.len();
        loops.append(&mut self.loops);
        for step in rest.into_iter().filter(|step| step.count != 1 || step.dynamic) {
            let own = loops.len() > first;
            match loops.last_mut() {
                Some(outer)
                    if own
                        && !outer.dynamic
                        && !step.dynamic
                        && outer.from == step.from * step.count as isize
                        && outer.to == step.to * step.count as isize =>
                {
                    *outer = Step { count: outer.count * step.count, ..step };
                }
                _ => loops.push(step),
            }
        }
        if loops.is_empty() {
            loops.push(Step { count: 1, from: 1, to: 1, dynamic: false });
        }
        self.loops = loops;
        self
    }

    /// Whether it leaves every element where it is.
    fn keeps(&self, from: &Shape, to: &Shape) -> bool {
        let steps_alike = self.loops.iter().all(|step| step.from == step.to || step.count == 1);
        (self.from, self.to) == (0, 0) && from.elements() == to.elements() && steps_alike
    }

    fn encode(self, node: &Node, fill: Option<i32>) -> Result<MoveParams> {
        if self.loops.len() > MAX_LOOPS {
            return Err(Error::new(
                ErrorKind::Unsupported,
                &node.name,
                "it moves elements along more than six axes",
            )
            .hint("merge neighbouring axes with a Reshape before exporting"));
        }
        let too_large = || Error::new(ErrorKind::Shape, &node.name, "a tensor has more than 2^31 elements");
        let mut params = MoveParams {
            from: u32::try_from(self.from).map_err(|_| too_large())?,
            to: u32::try_from(self.to).map_err(|_| too_large())?,
            fill,
            dynamic: if self.behind { BEHIND } else { 0 },
            loops: Default::default(),
        };
        for (index, step) in self.loops.into_iter().enumerate() {
            let one = Loop {
                count: u32::try_from(step.count).map_err(|_| too_large())?,
                from_step: i32::try_from(step.from).map_err(|_| too_large())?,
                to_step: i32::try_from(step.to).map_err(|_| too_large())?,
            };
            params.dynamic |= (step.dynamic as u8) << index;
            params.loops.push(one).map_err(|_| too_large())?;
        }
        Ok(params)
    }
}

/// All of [`Op`]'s pure moves but Concat.
pub(super) fn movement(builder: &mut Builder<'_>, node: &Node) -> Result<()> {
    let (from, to) = (builder.shape(node.inputs[0]), builder.shape(node.output));
    let fill = match node.op {
        Op::Pad { value, .. } => Some(quantize_value(value as f64, &builder.quantization(node.output)?)),
        _ => None,
    };
    if let Op::DepthToSpace { block, mode } = node.op {
        return depth_to_space(builder, node, block, mode);
    }
    let nest = match nest(node, from, to) {
        Some(nest) => nest.merged(),
        None => return gather(builder, node),
    };
    let source = table::rescaled(builder, node, node.inputs[0])?;
    if fill.is_none() && nest.keeps(from, to) {
        builder.alias(node.output, source)?;
        return Ok(());
    }
    let params = nest.encode(node, fill)?;
    let output = builder.tensor(node.output)?;
    builder.operator(&node.name, OpKind::Move, &[source], output, params.encode().bytes());
    Ok(())
}

/// The loops of `node`; none when no loop nest does it.
fn nest(node: &Node, from: &Shape, to: &Shape) -> Option<Nest> {
    let (inner, outer) = (strides(&from.dims), strides(&to.dims));
    let nest = match &node.op {
        Op::Reshape => Nest { from: 0, to: 0, behind: false, loops: Vec::new() },
        Op::Transpose { perm } => {
            let moved: Vec<isize> = perm.iter().map(|&axis| inner[axis]).collect();
            Nest::over(to, &moved, &outer)
        }
        Op::Slice { starts, steps } => {
            let moved: Vec<isize> = inner.iter().zip(steps).map(|(stride, step)| stride * step).collect();
            let start = inner.iter().zip(starts).map(|(stride, &start)| *stride as usize * start).sum();
            Nest { from: start, ..Nest::over(to, &moved, &outer) }
        }
        Op::Pad { before, .. } => {
            let start = outer.iter().zip(before).map(|(stride, &before)| *stride as usize * before).sum();
            Nest { to: start, ..Nest::over(from, &inner, &outer) }
        }
        Op::Expand => {
            // Missing leading axes and axes of size 1 repeat.
            let skipped = to.rank() - from.rank();
            let moved: Vec<isize> = (0..to.rank())
                .map(|axis| match axis.checked_sub(skipped) {
                    Some(own) if from.dims[own] == to.dims[axis] => inner[own],
                    _ => 0,
                })
                .collect();
            Nest::over(to, &moved, &outer)
        }
        Op::Gather { axis, indices } => {
            let (first, second) = (*indices.first()?, *indices.get(1).unwrap_or(indices.first()?));
            let step = second as isize - first as isize;
            let progression = indices.windows(2).all(|pair| pair[1] as isize - pair[0] as isize == step);
            if !progression {
                return None;
            }
            let mut moved = inner.clone();
            moved[*axis] *= step;
            Nest { from: inner[*axis] as usize * first, ..Nest::over(to, &moved, &outer) }
        }
        Op::SpaceToDepth { block } => space_to_depth(to, *block),
        _ => return None,
    };
    Some(nest)
}

fn depth_to_space(builder: &mut Builder<'_>, node: &Node, block: usize, mode: ShuffleMode) -> Result<()> {
    let Ok(side) = u8::try_from(block) else {
        return Err(Error::new(
            ErrorKind::Unsupported,
            &node.name,
            format!("blocks of {block}; at most 255 are supported"),
        ));
    };
    let params = ShuffleParams { block: side, channels_first: mode == ShuffleMode::Crd, first: 0 };
    let source = table::rescaled(builder, node, node.inputs[0])?;
    let output = builder.tensor(node.output)?;
    builder.operator(&node.name, OpKind::Shuffle, &[source], output, params.encode().bytes());
    Ok(())
}

/// Space to depth to a tensor of shape `deep`, `N,H,W,block*block*c`.
fn space_to_depth(deep: &Shape, block: usize) -> Nest {
    let [n, h, w, depth] = deep.dims[..] else {
        return Nest { from: 0, to: 0, behind: false, loops: Vec::new() };
    };
    let c = depth / (block * block);
    let step = |count: usize, from: usize, to: usize| Step {
        count,
        from: from as isize,
        to: to as isize,
        dynamic: false,
    };
    let row = w * block * c;
    let loops = vec![
        step(n, h * block * row, h * w * depth),
        step(h, block * row, w * depth),
        step(block, row, block * c),
        step(w, block * c, depth),
        step(block * c, 1, 1),
    ];
    Nest { from: 0, to: 0, behind: false, loops }
}

fn gather(builder: &mut Builder<'_>, node: &Node) -> Result<()> {
    let Op::Gather { axis, indices } = &node.op else {
        return Err(Error::new(ErrorKind::Internal, &node.name, "not a move of elements"));
    };
    let axis = axis_of_four(node, builder.shape(node.inputs[0]), *axis)?;
    let mut bytes = Vec::new();
    for &index in indices {
        bytes.extend(window::small(node, index)?.to_le_bytes());
    }
    let indices = Constant { count: indices.len(), ..builder.data(&bytes) };
    let source = table::rescaled(builder, node, node.inputs[0])?;
    let output = builder.tensor(node.output)?;
    let params = GatherParams { axis, indices };
    builder.operator(&node.name, OpKind::Gather, &[source], output, params.encode().bytes());
    Ok(())
}

/// Keeps `output` as the state behind `input`, after everything that reads the state of the run before.
pub(super) fn keep(builder: &mut Builder<'_>, output: ValueId, input: ValueId) -> Result<()> {
    let shape = builder.shape(input);
    let name = format!("{}:keep", builder.name(output));
    let node = Node { name, op: Op::Identity, inputs: vec![output], output: input };
    let source = table::rescaled(builder, &node, output)?;
    let whole = strides(&shape.dims);
    let params = Nest::over(shape, &whole, &whole).merged().encode(&node, None)?;
    let state = builder.tensor(input)?;
    builder.operator(&node.name, OpKind::Move, &[source], state, params.encode().bytes());
    Ok(())
}

/// [`Op::Concat`]: a Join along the last axis; else one move a part, all into the same output. One part may vary along the axis;
/// what follows it is put behind the rows present.
pub(super) fn concat(builder: &mut Builder<'_>, node: &Node, axis: usize) -> Result<()> {
    let to = builder.shape(node.output);
    if axis + 1 == to.rank() && to.dynamic == 0 && node.inputs.len() < MAX_OPERANDS {
        let parts: Result<Vec<u16>> =
            node.inputs.iter().map(|&part| table::rescaled(builder, node, part)).collect();
        let output = builder.tensor(node.output)?;
        builder.operator(&node.name, OpKind::Join, &parts?, output, &[]);
        return Ok(());
    }
    let outer = strides(&to.dims);
    let output = builder.tensor(node.output)?;
    let mut before = 0;
    let parts: Vec<ValueId> = node.inputs.clone();
    let mut behind = false;
    for part in parts {
        let from = builder.shape(part);
        let mut nest =
            Nest { to: before * outer[axis] as usize, ..Nest::over(from, &strides(&from.dims), &outer) };
        if behind {
            nest.behind = true;
            nest.loops[..=axis].rotate_right(1);
        }
        behind |= from.is_dynamic(axis);
        before += from.dims[axis];
        let params = nest.merged().encode(node, None)?;
        let source = table::rescaled(builder, node, part)?;
        builder.operator(&node.name, OpKind::Move, &[source], output, params.encode().bytes());
    }
    Ok(())
}
