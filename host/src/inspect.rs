//! What is in a plan, for people and for programs.

use mixel_core::kernels::OpKind;
use mixel_core::plan::format::Section;
use mixel_core::plan::strips;
use mixel_core::plan::write::Constant;
use mixel_core::plan::{
    DType, Direction, FrontEnd, ImageHead, Interface, Name, Operator, Place, Port, RawPlan, Tensor, TextHead,
};
use mixel_core::{All, kernels};
use serde::Serialize;

use crate::program::in_front_of_weights;
use crate::samples::type_name;

/// Everything about a plan.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct Inspection {
    /// Name of the weight layout.
    pub layout: String,
    /// Memory that a session needs: tensors, scratch and state.
    pub arena_bytes: usize,
    /// Where the highest tensor ends.
    pub tensor_bytes: usize,
    /// Where operators have their scratch memory.
    pub scratch_offset: usize,
    /// The most that one of them needs; tensors that it does not use may lie there.
    pub scratch_bytes: usize,
    pub state_bytes: usize,
    /// Weights, tables and other constants.
    pub weights_bytes: usize,
    /// The whole file.
    pub plan_bytes: usize,
    /// Multiply-accumulates of one run at the bound.
    pub macs: u64,
    /// Bound of the rows that vary at run time, if any do.
    pub max_rows: Option<usize>,
    pub front_end: Option<TextFacts>,
    pub image: Option<ImageFacts>,
    pub labels: Vec<String>,
    pub inputs: Vec<PortFacts>,
    pub outputs: Vec<PortFacts>,
    pub ops: Vec<OpFacts>,
    /// Operators that run in strips of rows.
    pub strips: Vec<StripFacts>,
    /// Where tensors lie in the arena, and when.
    pub arena: Vec<Region>,
}

/// Operators that run together, a strip of rows at a time.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct StripFacts {
    pub first: usize,
    pub last: usize,
    /// Rows of the last output in a strip.
    pub rows: u16,
}

/// The text front end.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct TextFacts {
    pub hashes: usize,
    pub bins: usize,
    pub window: usize,
    pub words: usize,
    /// `sequence` or `tokens`.
    pub head: &'static str,
}

/// The front end of a model that takes pictures.
#[derive(Clone, Copy, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ImageFacts {
    /// What pixel 0 is.
    pub low: f32,
    /// What pixel 255 is.
    pub high: f32,
    /// `classes` or `image`.
    pub head: &'static str,
}

/// A tensor.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct TensorFacts {
    /// The model's shape, `<=` in front of a bound.
    pub shape: String,
    pub dtype: &'static str,
    pub scale: f32,
    pub zero_point: i32,
    pub bytes: usize,
}

/// An input or output.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct PortFacts {
    pub name: String,
    /// What the model has there: `float32` or an integer type.
    pub interface: &'static str,
    #[serde(flatten)]
    pub tensor: TensorFacts,
}

/// An operator.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct OpFacts {
    pub name: String,
    pub op: String,
    pub macs: u64,
    pub weights: Option<WeightFacts>,
    pub scratch_bytes: usize,
    pub inputs: Vec<TensorFacts>,
    pub outputs: Vec<TensorFacts>,
}

/// The weights of an operator as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct WeightFacts {
    /// `int8`, `int4` or `sparse`.
    pub form: &'static str,
    pub bytes: usize,
}

/// Memory of one tensor while it is needed.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Region {
    /// The input's name, or that of the operator that writes it.
    pub tensor: String,
    pub offset: usize,
    pub bytes: usize,
    /// First operator that uses it; an input is written before operator 0.
    pub first: usize,
    /// Last operator that uses it; an output is read after it.
    pub last: usize,
}

/// Looks at `plan`, which is verified or comes from this program; what cannot be read is left out.
pub fn inspect(plan: &RawPlan<'_>) -> Inspection {
    let names = names(plan);
    let ops: Vec<OpFacts> = (0..plan.operator_count())
        .filter_map(|index| plan.whole_operator(index))
        .map(|operator| {
            let needs = kernels::needs(&operator).ok();
            let inputs = (0..operator.inputs as usize).filter_map(|input| operator.input(input).ok());
            let outputs = (0..operator.outputs as usize).filter_map(|output| operator.output(output).ok());
            OpFacts {
                name: names.get(operator.index as usize).cloned().unwrap_or_default(),
                op: format!("{:?}", operator.kind),
                macs: needs.map_or(0, |needs| needs.macs),
                weights: weights(&operator),
                scratch_bytes: match plan
                    .groups()
                    .find(|group| group.operators().contains(&(operator.index as usize)))
                {
                    Some(group) => strips::check::<All>(*plan, group).unwrap_or(0),
                    None => needs.map_or(0, |needs| needs.scratch),
                },
                inputs: inputs.map(|tensor| facts(&tensor)).collect(),
                outputs: outputs.map(|tensor| facts(&tensor)).collect(),
            }
        })
        .collect();
    let front_end = match plan.front_end() {
        FrontEnd::None | FrontEnd::Events(_) | FrontEnd::Image(_) => None,
        FrontEnd::Text { text, head } => Some(TextFacts {
            hashes: text.n(),
            bins: text.m(),
            window: text.window(),
            words: text.length(),
            head: match head {
                TextHead::Sequence => "sequence",
                TextHead::Tokens => "tokens",
            },
        }),
    };
    let image = match plan.front_end() {
        FrontEnd::Image(image) => Some(ImageFacts {
            low: image.low,
            high: image.high,
            head: match image.head {
                ImageHead::Classes => "classes",
                ImageHead::Image => "image",
            },
        }),
        _ => None,
    };
    let arena = arena(plan, &names);
    Inspection {
        layout: format!("{:?}", plan.layout()),
        arena_bytes: plan.arena_bytes(),
        tensor_bytes: arena.iter().map(|region| region.offset + region.bytes).max().unwrap_or(0),
        scratch_offset: plan.tensor_bytes(),
        scratch_bytes: ops.iter().map(|op| op.scratch_bytes).max().unwrap_or(0),
        state_bytes: plan.state_bytes(),
        weights_bytes: plan.section(Section::Data).len(),
        plan_bytes: plan.bytes().len(),
        macs: ops.iter().map(|op| op.macs).sum(),
        max_rows: Some(plan.max_rows()).filter(|&rows| rows > 0),
        front_end,
        image,
        labels: plan.labels().map(str::to_owned).collect(),
        inputs: plan.inputs().filter_map(|port| port_facts(plan, &port)).collect(),
        outputs: plan.outputs().filter_map(|port| port_facts(plan, &port)).collect(),
        ops,
        strips: plan
            .groups()
            .map(|group| StripFacts { first: group.first, last: group.operators().end - 1, rows: group.rows })
            .collect(),
        arena,
    }
}

/// The names of all operators; empty when they were stripped.
pub fn names(plan: &RawPlan<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for Name { shared, rest } in plan.names() {
        let begin = names.last().and_then(|before| before.get(..shared)).unwrap_or_default();
        names.push(format!("{begin}{rest}"));
    }
    names
}

/// The weights of `operator`, if it is of a kind that has some: where its parameters say so (docs/format.md).
fn weights(operator: &Operator<'_>) -> Option<WeightFacts> {
    use OpKind::*;
    let in_front = if operator.kind == Embedding { 0 } else { in_front_of_weights(operator.kind)? };
    let form = match operator.kind {
        LinearInt4 | ConvInt4 | ProjectionInt4 => "int4",
        LinearSparse | ConvSparse => "sparse",
        _ => "int8",
    };
    let mut cursor = operator.params();
    for _ in 0..in_front {
        cursor.short();
    }
    Some(WeightFacts { form, bytes: Constant::read(&mut cursor).count })
}

fn port_facts(plan: &RawPlan<'_>, port: &Port<'_>) -> Option<PortFacts> {
    let tensor = plan.port_tensor(port).ok()?;
    let interface = match port.interface {
        Interface::Reals => "float32",
        interface => type_name(tensor.dtype, interface == Interface::Unsigned),
    };
    Some(PortFacts { name: port.name().to_owned(), interface, tensor: facts(&tensor) })
}

fn facts(tensor: &Tensor) -> TensorFacts {
    let shape = (4 - tensor.rank as usize..4).map(|axis| {
        let bound = if tensor.dynamic >> axis & 1 == 1 { "<=" } else { "" };
        format!("{bound}{}", tensor.dims[axis])
    });
    TensorFacts {
        shape: shape.collect::<Vec<_>>().join("x"),
        dtype: type_name(tensor.dtype, false),
        scale: tensor.scale,
        zero_point: tensor.zero_point,
        bytes: tensor.bytes(),
    }
}

impl TensorFacts {
    /// How the integers stand for real numbers; empty for plain ones.
    pub fn quantization(&self) -> String {
        if [DType::I8, DType::I16].map(|dtype| type_name(dtype, false)).contains(&self.dtype) {
            format!("{} * (q - {})", self.scale, self.zero_point)
        } else {
            String::new()
        }
    }
}

/// The arena's tensors in the order in which they are needed.
fn arena(plan: &RawPlan<'_>, names: &[String]) -> Vec<Region> {
    let last_operator = plan.operator_count().saturating_sub(1);
    let mut regions: Vec<Region> = Vec::new();
    let mut touch = |index: u16, operator: usize, name: &str, written: bool| {
        let Ok(tensor) = plan.tensor(index) else { return };
        if tensor.place != Place::Arena {
            return;
        }
        let (offset, bytes) = (tensor.offset as usize, tensor.bytes());
        // A view has the place of the tensor that was written there last.
        match regions.iter_mut().rev().find(|region| region.offset == offset && region.bytes == bytes) {
            Some(region) if !written => region.last = region.last.max(operator),
            _ => regions.push(Region {
                tensor: name.to_owned(),
                offset,
                bytes,
                first: operator,
                last: operator,
            }),
        }
    };
    for port in plan.inputs() {
        touch(port.tensor, 0, port.name(), true);
    }
    for operator in plan.operators() {
        let index = operator.index as usize;
        let name = names.get(index).map_or("", String::as_str);
        let inputs = operator.inputs as usize;
        (0..inputs).for_each(|operand| touch(operator.tensor_index(operand), index, name, false));
        for operand in inputs..inputs + operator.outputs as usize {
            touch(operator.tensor_index(operand), index, name, true);
        }
    }
    for port in plan.ports().filter(|port| port.direction == Direction::Output) {
        touch(port.tensor, last_operator, port.name(), false);
    }
    regions
}
