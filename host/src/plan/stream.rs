//! Images by rows: a program whose images stand in memory whole becomes one that takes its inputs and gives its output row
//! by row, with line buffers between ([`mixel_core::plan::strips`]). Its memory grows with the width of the images, not with
//! their height.
//!
//! What is summed over the whole image, channel attention's products, takes a pass of its own: one group of operators that
//! ends in the sums, then what is made of them, then the next group, which computes the operators in front anew. A line buffer
//! lives within one group.

use std::collections::BTreeMap;

use mixel_core::kernels::OpKind;
use mixel_core::kernels::feed::FeedParams;
use mixel_core::plan::strips::{Group, MAX_OPERATORS, Vertical, Walk};
use mixel_core::plan::write::MemorySizes;
use mixel_core::plan::{Direction, Place, RawPlan};

use super::{Placement, passing, place, place_within, room};
use crate::emit::encode;
use crate::graph::{Graph, Op, ValueId};
use crate::program::{Program, ProgramOperator, ProgramPort, Strips};
use crate::{Error, ErrorKind, Result};

/// Strip heights that are tried, in steps of the least.
const STEPS: [u16; 4] = [8, 4, 2, 1];
/// Work of the search for each of them.
const WORK: usize = 20_000;
/// How much more memory than the least a strip height may take for fewer calls of operators.
const MORE: f32 = 1.25;

/// Makes inputs and outputs of `graph` that are images with the channels first images with the channels last: the transpositions
/// that import put there go, and [`Graph::channels_first`] says how the model itself has them.
pub fn channels_last(graph: &mut Graph) {
    let turns = |graph: &Graph, node: usize, to: [usize; 4]| {
        graph.nodes[node].op == Op::Transpose { perm: to.to_vec() }
    };
    for index in 0..graph.inputs.len() {
        let input = graph.inputs[index];
        if let [reader] = graph.consumers(input)[..]
            && turns(graph, reader, [0, 2, 3, 1])
            && !graph.outputs.contains(&input)
        {
            let image = graph.nodes.remove(reader).output;
            graph.inputs[index] = image;
            swap(graph, input, image);
        }
    }
    for index in 0..graph.outputs.len() {
        let output = graph.outputs[index];
        if let Some(maker) = graph.producer(output)
            && turns(graph, maker, [0, 3, 1, 2])
            && graph.consumers(output).is_empty()
            && !graph.outputs.contains(&graph.nodes[maker].inputs[0])
        {
            let image = graph.nodes.remove(maker).inputs[0];
            graph.outputs[index] = image;
            swap(graph, output, image);
        }
    }
}

/// Gives `image` the name of the port that it stands for now.
fn swap(graph: &mut Graph, port: ValueId, image: ValueId) {
    let name = std::mem::take(&mut graph.value_mut(port).name);
    graph.value_mut(port).name = std::mem::replace(&mut graph.value_mut(image).name, name);
    graph.channels_first.push(image);
}

/// `program` by rows and its placement: with strips as high as a little more memory than the least allows, or with the highest
/// that fit in `limit` bytes, if one is given and some do.
///
/// # Errors
/// [`ErrorKind::Unsupported`] with the operator's name for one that needs its input whole.
pub fn by_rows(program: &Program, limit: usize) -> Result<(Program, Placement)> {
    let mut tried = Vec::new();
    for steps in STEPS {
        let streamed = Passes::new(program)?.program(steps)?;
        let arena = place_within(&streamed, WORK)?.arena();
        tried.push((arena, streamed));
    }
    let least = tried.iter().map(|(arena, _)| *arena).min().unwrap_or(0);
    let bound = if limit == usize::MAX || least > limit { (least as f32 * MORE) as usize } else { limit };
    let chosen = tried.into_iter().find(|(arena, _)| *arena <= bound);
    let (_, streamed) = chosen.ok_or_else(|| Error::new(ErrorKind::Internal, "", "no strip height"))?;
    let placement = place(&streamed)?;
    Ok((streamed, placement))
}

/// How an operator works.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Row by row.
    Rows(Vertical),
    /// On what is known of whole images.
    Once,
}

/// The program under construction, pass by pass.
struct Passes<'p> {
    old: &'p Program,
    kinds: Vec<Kind>,
    new: Program,
    /// Tensors that all passes share.
    shared: BTreeMap<u16, u16>,
    /// Images of the pass.
    images: BTreeMap<u16, u16>,
}

impl<'p> Passes<'p> {
    fn new(old: &'p Program) -> Result<Self> {
        let new =
            Program { tensors: vec![], operators: vec![], strips: vec![], ports: vec![], ..old.clone() };
        let kinds = kinds(old)?;
        let mut passes = Self { old, kinds, new, shared: BTreeMap::new(), images: BTreeMap::new() };
        let mut outputs = old.ports.iter().filter(|port| port.direction == Direction::Output);
        let (Some(output), None) = (outputs.next(), outputs.next()) else {
            return Err(Error::new(ErrorKind::Unsupported, "", "a model that goes by rows has one output")
                .hint("compile it without --by-rows, or export it with its image alone as output"));
        };
        let last = old.operators.iter().position(|operator| operator.outputs.contains(&output.tensor));
        let last = last.filter(|&last| matches!(passes.kinds[last], Kind::Rows(vertical) if !vertical.sums));
        let last = last.ok_or_else(|| whole(&output.name, "what it gives is no image"))?;
        let inputs = old.ports.iter().filter(|port| port.direction == Direction::Input);
        inputs.for_each(|port| passes.port(port, port.tensor));
        let sums: Vec<usize> = (0..old.operators.len())
            .filter(|&index| matches!(passes.kinds[index], Kind::Rows(Vertical { sums: true, .. })))
            .collect();
        for &index in &sums {
            passes.pass(index, false)?;
            passes.once(index);
        }
        passes.pass(last, true)?;
        let image = passes.images[&output.tensor];
        passes.port(output, image);
        // Inputs have the tensors of the first pass that reads them.
        let inputs = passes.new.ports.iter_mut().filter(|port| port.direction == Direction::Input);
        for (index, port) in inputs.enumerate() {
            let params = FeedParams { input: index as u8 }.encode();
            let feeds = |operator: &&ProgramOperator| {
                operator.kind == OpKind::Feed && operator.params == params.bytes()
            };
            let feed = passes.new.operators.iter().find(feeds);
            port.tensor = feed.ok_or_else(|| whole(&port.name, "nothing reads this input"))?.outputs[0];
        }
        Ok(passes)
    }

    fn port(&mut self, port: &ProgramPort, tensor: u16) {
        self.new.ports.push(ProgramPort { tensor, ..port.clone() });
    }

    /// The operators that work by rows in front of operator `last` and it itself, as one group.
    fn pass(&mut self, last: usize, streams: bool) -> Result<()> {
        self.images.clear();
        let old = self.old;
        let mut members = vec![last];
        for index in (0..last).rev().filter(|&index| self.kinds[index] != Kind::Once) {
            let read =
                |output: &u16| members.iter().any(|&member| old.operators[member].inputs.contains(output));
            if old.operators[index].outputs.iter().any(read) {
                members.push(index);
            }
        }
        members.reverse();
        let first = self.new.operators.len();
        let mut heights = Vec::new();
        let inputs = old.ports.iter().filter(|port| port.direction == Direction::Input);
        for (index, tensor) in inputs.map(|port| port.tensor).enumerate() {
            if !members.iter().any(|&member| old.operators[member].inputs.contains(&tensor)) {
                continue;
            }
            let image = self.image(tensor)?;
            self.new.operators.push(ProgramOperator {
                kind: OpKind::Feed,
                inputs: vec![],
                outputs: vec![image],
                params: FeedParams { input: index as u8 }.encode().bytes().to_vec(),
                name: old.tensors[tensor as usize].name.clone(),
            });
            heights.push(self.height(tensor)?);
        }
        for index in members {
            let operator = &old.operators[index];
            let sums = matches!(self.kinds[index], Kind::Rows(Vertical { sums: true, .. }));
            let inputs: Result<Vec<u16>> = operator.inputs.iter().map(|&input| self.operand(input)).collect();
            let output =
                if sums { self.shared(operator.outputs[0]) } else { self.image(operator.outputs[0])? };
            self.new.operators.push(ProgramOperator {
                inputs: inputs?,
                outputs: vec![output],
                ..operator.clone()
            });
            heights.push(self.height(if sums { operator.inputs[0] } else { operator.outputs[0] })?);
        }
        if heights.len() > MAX_OPERATORS {
            let message =
                format!("{} operators go over an image together; at most {MAX_OPERATORS} can", heights.len());
            return Err(Error::new(ErrorKind::Unsupported, "", message).hint("compile it without --by-rows"));
        }
        let passing = vec![false; heights.len()];
        self.new.strips.push(Strips { first, rows: 1, streams, heights, passing });
        Ok(())
    }

    /// Appends the operators that are computed once and need no sums but those of operator `last` and before.
    fn once(&mut self, last: usize) {
        let ready = |passes: &Self, operator: &ProgramOperator| {
            let known = |input: &u16| {
                passes.shared.contains_key(input)
                    || passes.old.tensors[*input as usize].tensor.place == Place::Data
            };
            operator.inputs.iter().all(known) && !passes.shared.contains_key(&operator.outputs[0])
        };
        for index in last..self.old.operators.len() {
            let operator = &self.old.operators[index];
            if self.kinds[index] == Kind::Once && ready(self, operator) {
                let inputs = operator.inputs.iter().map(|&input| self.shared(input)).collect();
                let outputs = operator.outputs.iter().map(|&output| self.shared(output)).collect();
                self.new.operators.push(ProgramOperator { inputs, outputs, ..operator.clone() });
            }
        }
    }

    fn height(&self, tensor: u16) -> Result<u16> {
        let tensor = &self.old.tensors[tensor as usize];
        u16::try_from(tensor.tensor.dims[1]).map_err(|_| whole(&tensor.name, "it has more than 65535 rows"))
    }

    /// The tensor for an input of an operator that works by rows.
    fn operand(&mut self, old: u16) -> Result<u16> {
        let image = self.images.contains_key(&old);
        if image { self.image(old) } else { Ok(self.shared(old)) }
    }

    fn image(&mut self, old: u16) -> Result<u16> {
        if let Some(&known) = self.images.get(&old) {
            return Ok(known);
        }
        let tensor = self.old.tensors[old as usize].clone();
        if tensor.alias_of.is_some() || tensor.tensor.dims[0] != 1 || tensor.tensor.dynamic != 0 {
            return Err(whole(&tensor.name, "it is another view of a tensor"));
        }
        self.new.tensors.push(tensor);
        let new = (self.new.tensors.len() - 1) as u16;
        self.images.insert(old, new);
        Ok(new)
    }

    fn shared(&mut self, old: u16) -> u16 {
        *self.shared.entry(old).or_insert_with(|| {
            self.new.tensors.push(self.old.tensors[old as usize].clone());
            (self.new.tensors.len() - 1) as u16
        })
    }

    /// The program with strips of `steps` times the least height, and line buffers that hold what these need.
    fn program(mut self, steps: u16) -> Result<Program> {
        for index in 0..self.new.strips.len() {
            let Strips { streams, heights, .. } = &self.new.strips[index];
            let (Some(&first), Some(&last)) = (heights.first(), heights.last()) else { continue };
            // As many rows of the input in every group.
            let least = if *streams { (last / first.max(1)).max(1) } else { 1 };
            self.new.strips[index].rows = steps.saturating_mul(least).min(last);
        }
        let offsets = vec![0; self.new.tensors.len()];
        let draft = encode(&self.new, &offsets, MemorySizes::default(), true)?;
        let internal = |error: String| Error::new(ErrorKind::Internal, "", error);
        let plan = RawPlan::open(&draft).map_err(|error| internal(error.to_string()))?;
        for (group, strips) in plan.groups().zip(&mut self.new.strips) {
            strips.passing = passing(plan, group).unwrap_or_else(|| vec![false; group.count]);
            let lines = lines(plan, group).map_err(|(index, fault)| {
                let name = self.new.operators.get(index).map_or("", |operator| &operator.name);
                Error::new(ErrorKind::Unsupported, name, format!("it cannot go by rows: {fault:?}"))
                    .hint("compile it without --by-rows")
            })?;
            for (index, lines) in group.operators().zip(lines) {
                let output = self.new.operators[index].outputs[0] as usize;
                if self.new.operators[index].kind != OpKind::Gram {
                    self.new.tensors[output].tensor.dims[1] = u32::from(lines);
                }
            }
        }
        Ok(self.new)
    }
}

/// The most rows that each line buffer of `group` holds.
fn lines(
    plan: RawPlan<'_>,
    group: Group<'_>,
) -> std::result::Result<Vec<u16>, (usize, mixel_core::plan::Fault)> {
    let mut room = room(group);
    let mut walk = Walk::enter(plan, group, &mut room)?;
    let mut lines = vec![1; group.count];
    while walk.advance() {
        for (index, lines) in lines.iter_mut().enumerate() {
            *lines = walk.lines(index).max(*lines);
            walk.done(index);
        }
    }
    Ok(lines)
}

/// How each operator of `program` works.
fn kinds(program: &Program) -> Result<Vec<Kind>> {
    let draft = encode(program, &vec![0; program.tensors.len()], MemorySizes::default(), true)?;
    let plan =
        RawPlan::open(&draft).map_err(|error| Error::new(ErrorKind::Internal, "", error.to_string()))?;
    let inputs = program.ports.iter().filter(|port| port.direction == Direction::Input);
    let mut images: Vec<u16> = inputs.map(|port| port.tensor).collect();
    let kind = |(index, operator): (usize, &ProgramOperator)| {
        if !operator.inputs.iter().any(|input| images.contains(input)) {
            return Ok(Kind::Once);
        }
        let vertical = plan.operator(index).and_then(|operator| Vertical::of(&operator));
        let vertical = vertical.filter(|_| operator.outputs.len() == 1);
        let vertical = vertical
            .ok_or_else(|| whole(&operator.name, &format!("a {:?} needs its whole input", operator.kind)))?;
        if !vertical.sums {
            images.push(operator.outputs[0]);
        }
        Ok(Kind::Rows(vertical))
    };
    program.operators.iter().enumerate().map(kind).collect()
}

fn whole(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::Unsupported, name, format!("the model cannot go by rows: {why}"))
        .hint("compile it without --by-rows; `mixel inspect` tells what memory the whole image takes")
}
