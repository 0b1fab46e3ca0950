//! What tract's analysis knows of each tensor: shape, type, and value if it does not depend on the inputs.
//!
//! The dimension that varies is found by analysing the model at two sizes: dimensions that follow the size are the rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::InferenceModelExt;

use super::model::{Model, NodeExt};
use super::structure::check_size;
use crate::graph::Shape;
use crate::guard::guarded;
use crate::{Error, ErrorKind, Result};

/// What is known of a tensor.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Shape in the ONNX axis order.
    pub shape: Shape,
    /// Element type.
    pub dtype: DatumType,
    /// Its value, if it does not depend on the inputs. For rows less than the bound it is a prefix along the rows.
    pub constant: Option<Arc<Tensor>>,
    /// It depends on the number of rows only, but not as a part of the value at the bound.
    pub varies: bool,
}

/// Facts by tensor name.
pub struct Facts(HashMap<String, std::result::Result<Fact, String>>);

impl Facts {
    /// Analyses `model`.
    pub fn of(model: &Model) -> Result<Self> {
        let max = model.rows.as_ref().map_or(1, |rows| rows.max);
        let at_bound = analyse(model, max)?;
        let probe = match &model.rows {
            Some(rows) if rows.max > 1 => Some((rows.max - 1, analyse(model, rows.max - 1)?)),
            _ => None,
        };
        let facts = at_bound.into_iter().map(|(name, fact)| {
            let fact = match &probe {
                Some((size, below)) => match below.get(&name) {
                    Some(other) => compare(fact, other, max, *size),
                    None => Err("exists only for some numbers of rows".into()),
                },
                None => Ok(fact),
            };
            (name, fact)
        });
        Ok(Self(facts.collect()))
    }

    /// The fact of tensor `name`.
    pub fn get(&self, name: &str) -> Result<&Fact> {
        match self.0.get(name) {
            Some(Ok(fact)) => Ok(fact),
            Some(Err(reason)) => Err(Error::new(ErrorKind::Shape, name, reason.clone())
                .hint("only the number of rows itself may vary; fix this dimension in the exported model")),
            None => Err(Error::new(ErrorKind::Shape, name, "its shape cannot be derived")
                .hint("export with static shapes, or simplify the model")),
        }
    }
}

/// One fact from two sizes.
fn compare(mut fact: Fact, other: &Fact, max: usize, probe: usize) -> std::result::Result<Fact, String> {
    if fact.shape.rank() != other.shape.rank() || fact.dtype != other.dtype {
        return Err("changes its rank or type with the number of rows".into());
    }
    for (axis, (&at_max, &at_probe)) in fact.shape.dims.iter().zip(&other.shape.dims).enumerate() {
        if at_max == at_probe {
            continue;
        }
        // As many as there are rows, or some more that are there in any case.
        if at_max < max || at_max.wrapping_sub(at_probe) != max - probe {
            return Err(format!("dimension {axis} is {at_max} for {max} rows but {at_probe} for {probe}"));
        }
        fact.shape.dynamic |= 1 << axis;
    }
    // A value that depends on the number of rows is usable only if fewer rows are a part of it.
    if let (Some(at_max), Some(at_probe)) = (&fact.constant, &other.constant)
        && !is_part(at_probe, at_max)
    {
        fact.constant = None;
        fact.varies = true;
    }
    Ok(fact)
}

/// Whether `part` is the beginning of `whole` along every axis.
fn is_part(part: &Tensor, whole: &Tensor) -> bool {
    let mut whole = whole.clone();
    for axis in 0..whole.rank() {
        match whole.slice(axis, 0, part.shape()[axis].min(whole.shape()[axis])) {
            Ok(slice) => whole = slice,
            Err(_) => return false,
        }
    }
    whole == *part
}

/// Facts of all tensors at one number of rows.
fn analyse(model: &Model, rows: usize) -> Result<HashMap<String, Fact>> {
    let failed = |stage: &str, error: TractError| {
        Error::new(ErrorKind::Shape, "", format!("{stage}: {error:#}"))
            .hint("check the model with onnx.checker; shapes must follow from the inputs' shapes")
    };
    let proto = model.with_sizes(rows);
    let folder = model.folder.to_string_lossy();
    let parsed = guarded(|| tract_onnx::onnx().parse(&proto, Some(&folder)))
        .map_err(|error| failed("the model's operators cannot be read", error))?;
    let names: Vec<(String, OutletId)> = parsed.outlets_by_name.into_iter().collect();
    let outlets: Vec<OutletId> = names.iter().map(|(_, outlet)| *outlet).collect();
    let mut all = parsed.model.clone();
    let typed = guarded(|| all.select_output_outlets(&outlets).and_then(|()| all.into_typed()))
        .map_err(|error| failed("shapes do not fit", error))?;
    let mut facts = HashMap::new();
    for ((name, _), outlet) in names.iter().zip(&typed.outputs) {
        let fact = typed.outlet_fact(*outlet).map_err(|error| failed(name, error))?;
        let dims: Option<Vec<usize>> = fact.shape.as_concrete().map(<[usize]>::to_vec);
        if let Some(dims) = dims {
            let constant = fact.konst.clone();
            let shape = Shape::fixed(&dims);
            facts.insert(name.clone(), Fact { shape, dtype: fact.datum_type, constant, varies: false });
        }
    }
    let fixed = independent(model);
    for name in model.graph.node.iter().flat_map(|node| &node.output) {
        let Some(fact) = facts.get(name) else { continue };
        check_size(name, &fact.shape.dims)?;
        if fact.shape.elements() == 0 && !fixed.contains(name.as_str()) {
            return Err(Error::new(
                ErrorKind::Shape,
                name,
                format!("its shape {} has no element", fact.shape),
            )
            .hint("the node in front of it is given too small an input, or wrong sizes"));
        }
    }
    // What the analysis left unevaluated although nothing it needs is an input.
    let missing: Vec<&(String, OutletId)> = names
        .iter()
        .filter(|(name, _)| fixed.contains(name.as_str()))
        .filter(|(name, _)| facts.get(name).is_some_and(|fact| fact.constant.is_none()))
        .collect();
    if !missing.is_empty() {
        let outlets: Vec<OutletId> = missing.iter().map(|(_, outlet)| *outlet).collect();
        let mut constants = parsed.model;
        let values = guarded(|| {
            constants.set_input_outlets(&[])?;
            constants.select_output_outlets(&outlets)?;
            constants.into_typed()?.into_runnable()?.run(tvec!())
        })
        .map_err(|error| failed("constants cannot be computed", error))?;
        for ((name, _), value) in missing.iter().zip(values) {
            if let Some(fact) = facts.get_mut(name) {
                fact.constant = Some(value.into_arc_tensor());
            }
        }
    }
    Ok(facts)
}

/// Names of the tensors that no input reaches.
fn independent(model: &Model) -> HashSet<&str> {
    let graph = &model.graph;
    let mut fixed: HashSet<&str> = graph.initializer.iter().map(|weight| weight.name.as_str()).collect();
    for node in &graph.node {
        let inputs = (0..node.input.len()).filter_map(|index| node.input_name(index));
        if node.op_type.starts_with("Random") || !inputs.clone().all(|name| fixed.contains(name)) {
            continue;
        }
        fixed.extend(node.output.iter().map(String::as_str));
    }
    fixed
}
