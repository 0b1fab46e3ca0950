//! ONNX to [`Graph`]: every node is understood or refused by name.
//!
//! The file is read (`model`) and checked (`structure`), tract derives shapes and folds what does not depend on the
//! inputs (`facts`), and each node is matched by our own code (`ops`), channels last. The [passes] then tidy the graph.
//! What is handled is listed in docs/onnx-operators.md.

mod builder;
mod facts;
mod front_end;
mod layout;
mod model;
mod ops;
mod picture;
mod structure;

use std::path::Path;

use builder::Builder;
use facts::Facts;
pub(crate) use layout::{reshaped as reshape_constant, transposed as transpose_constant};
pub(crate) use model::Model;
pub(crate) use picture::range as pixel_range;

use crate::graph::{Graph, Op, Origin, State, Value, passes};
use crate::{Error, ErrorKind, Result};

/// How to read a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportOptions {
    /// Bounds of dimensions without a size, by name (`--max NAME=N`).
    pub max: Vec<(String, usize)>,
    /// That the one input is a picture, and what pixels 0 and 255 are there (`--pixels LOW,HIGH`), for models whose metadata do
    /// not say so.
    pub pixels: Option<(f32, f32)>,
}

/// Reads the model at `path` and tidies it with all passes.
///
/// # Errors
/// [`ErrorKind::Io`] and [`ErrorKind::Format`] for the file, [`ErrorKind::Unsupported`] for what is not handled,
/// [`ErrorKind::Shape`] for shapes that do not fit or have no bound.
pub fn load(path: &Path, options: &ImportOptions) -> Result<Graph> {
    let mut graph = load_plain(path, options)?;
    passes::run(&mut graph);
    check_constants(&graph)?;
    Ok(graph)
}

/// Reads the model at `path`, node by node, without any pass. Errors are those of [`load`].
pub fn load_plain(path: &Path, options: &ImportOptions) -> Result<Graph> {
    let model = Model::read(path, options)?;
    let spec = front_end::read(&model)?;
    let picture = picture::read(&model, options)?;
    for node in &model.graph.node {
        ops::check(node)?;
    }
    let facts = Facts::of(&model)?;
    let mut b = Builder::new(&model, &facts);
    b.graph.front_end = spec;
    inputs(&mut b)?;
    for node in &model.graph.node {
        ops::import(&mut b, node)?;
    }
    outputs(&mut b)?;
    states(&mut b)?;
    front_end::project(&mut b.graph)?;
    picture::attach(&mut b.graph, picture)?;
    b.graph.remove_dead();
    Ok(b.graph)
}

/// Operands that are constants must be finite: no integers stand for anything else.
fn check_constants(graph: &Graph) -> Result<()> {
    for node in &graph.nodes {
        for value in node.inputs.iter().map(|&id| graph.value(id)) {
            if value.constant.as_ref().is_some_and(|constant| constant.data.iter().any(|x| !x.is_finite())) {
                let message = format!("its operand `{}` has values that are not finite", value.name);
                return Err(Error::new(ErrorKind::Unsupported, &node.name, message)
                    .hint("correct the weights; instead of an infinity take the largest value that occurs"));
            }
        }
    }
    Ok(())
}

fn inputs(b: &mut Builder) -> Result<()> {
    for name in b.model.inputs() {
        let shape = b.fact(name)?.shape.clone();
        let origin = builder::is_real(b.fact(name)?.dtype)
            .then(|| Origin { tensor: name.to_owned(), ..Origin::default() });
        let value = Value { name: b.unique(name), shape, origin, ..Value::default() };
        let id = b.graph.add(value);
        b.graph.inputs.push(id);
        b.bind(name, id);
    }
    Ok(())
}

/// Ties inputs to outputs of the run before.
fn states(b: &mut Builder) -> Result<()> {
    for spec in &b.model.states {
        let place = |names: Vec<&str>, name: &str| names.iter().position(|other| *other == name);
        let input = place(b.model.inputs(), &spec.input).map(|index| b.graph.inputs[index]);
        let output = place(b.model.outputs(), &spec.output);
        let (Some(input), Some(output)) = (input, output) else { continue };
        let (from, to) = (b.shape(b.graph.outputs[output]), b.shape(input));
        if from != to || to.dynamic != 0 {
            let message =
                format!("the state `{}` of shape {to} gets `{}` of shape {from}", spec.input, spec.output);
            return Err(Error::new(ErrorKind::Shape, &spec.input, message)
                .hint("a state has one fixed shape, the same on both sides"));
        }
        let values = match &spec.initial {
            Some(tensor) => builder::floats(&spec.input, &model::weight(tensor)?)?,
            None => vec![0.0; to.elements()],
        };
        if values.len() != to.elements() {
            let message = format!("its first value has {} elements, its shape is {to}", values.len());
            return Err(Error::new(ErrorKind::Shape, &spec.input, message).hint("correct the initializer"));
        }
        let initial = b.constant(&format!("{}:first", spec.input), &to.dims, values);
        b.graph.states.push(State { input, output, initial });
    }
    Ok(())
}

/// Names the outputs. A value that already has a part to play in the interface is passed on by an Identity.
fn outputs(b: &mut Builder) -> Result<()> {
    for name in b.model.outputs() {
        let mut id = b.value(name)?;
        if b.graph.value(id).constant.is_some() {
            let message = "the output does not depend on the inputs";
            return Err(Error::new(ErrorKind::Unsupported, name, message).hint("leave it out of the model"));
        }
        if b.graph.inputs.contains(&id) || b.graph.outputs.contains(&id) {
            let value = b.graph.value(id).clone();
            id = b.emit(name, Op::Identity, &[id], value.shape);
            let copy = b.graph.value_mut(id);
            (copy.origin, copy.given) = (value.origin, value.given);
        } else if b.graph.value(id).name != name {
            let name = b.unique(name);
            b.graph.value_mut(id).name = name;
        }
        b.graph.outputs.push(id);
    }
    Ok(())
}
