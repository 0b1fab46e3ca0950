//! The float oracle: the model as exported, run by tract.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tract_onnx::model::ParseResult;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::InferenceModelExt;

use crate::arrays::{Array, ArrayData};
use crate::graph::{Graph, State};
use crate::guard::guarded;
use crate::import::{ImportOptions, Model};
use crate::{Error, ErrorKind, Result};

/// A model that runs in float, one sample a call.
///
/// Quantization that the model states (QuantizeLinear, DequantizeLinear) is done as written, arithmetic between is float.
pub struct Reference {
    model: Model,
    outputs: Vec<String>,
    /// For every number of rows that was seen, the last set of tensors that was asked for, made ready.
    ready: Mutex<HashMap<usize, Ready>>,
}

struct Ready {
    tensors: Vec<String>,
    plan: Arc<TypedRunnableModel>,
}

/// States of the float model from run to run.
pub struct States<'g> {
    graph: &'g Graph,
    kept: Vec<Array>,
}

impl<'g> States<'g> {
    /// Those before the first run.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] only.
    pub fn new(graph: &'g Graph) -> Result<Self> {
        let first = graph.states.iter().map(|state| {
            let value = graph.value(state.initial);
            let data = value.constant.as_ref().map(|constant| constant.data.clone()).unwrap_or_default();
            Array::new(&value.shape.dims, ArrayData::F32(data))
        });
        Ok(Self { graph, kept: first.collect::<Result<_>>()? })
    }

    /// All inputs of the model in its order, from those that are `given`.
    pub fn inputs(&self, given: &[Array]) -> Vec<Array> {
        let mut given = given.iter();
        let place = |id| self.graph.states.iter().position(|state| state.input == id);
        let all = self.graph.inputs.iter();
        all.filter_map(|&id| place(id).map_or_else(|| given.next(), |index| self.kept.get(index)).cloned())
            .collect()
    }

    /// Names of the tensors that become states.
    pub fn outputs(&self) -> Vec<String> {
        let value = |state: &State| self.graph.value(self.graph.outputs[state.output]).name.clone();
        self.graph.states.iter().map(value).collect()
    }

    /// Takes the value of tensor `name`, if it becomes a state.
    pub fn keep(&mut self, name: &str, value: &Array) {
        for (output, kept) in self.outputs().iter().zip(&mut self.kept) {
            if output == name {
                kept.clone_from(value);
            }
        }
    }
}

impl Reference {
    /// Loads the model with a batch of 1. The dimension that varies is as long as it is in the inputs of each run.
    ///
    /// # Errors
    /// Those of reading an ONNX file (see [`crate::import::load`]), and [`ErrorKind::Reference`] if tract refuses it.
    pub fn load(path: &Path, options: &ImportOptions) -> Result<Self> {
        let model = Model::read(path, options)?;
        let outputs = model.outputs().into_iter().map(str::to_owned).collect();
        let reference = Self { model, outputs, ready: Mutex::new(HashMap::new()) };
        reference.sized(reference.bound())?;
        Ok(reference)
    }

    fn bound(&self) -> usize {
        self.model.rows.as_ref().map_or(1, |rows| rows.max)
    }

    /// The model for `rows` rows.
    fn sized(&self, rows: usize) -> Result<ParseResult> {
        let folder = self.model.folder.to_string_lossy();
        guarded(|| tract_onnx::onnx().parse(&self.model.with_sizes(rows), Some(&folder)))
            .map_err(|error| failed("the model cannot be read", &error))
    }

    /// Rows of `inputs`; the bound where none of them varies, or where they do not fit anyway.
    fn rows(&self, inputs: &[Array]) -> usize {
        let varying = self.model.ragged_input();
        let rows = varying.and_then(|(input, axis)| inputs.get(input)?.dims.get(axis).copied());
        rows.map_or(self.bound(), |rows| rows.min(self.bound()))
    }

    /// The outputs of one sample, in the model's order; inputs in the model's order, shape and type (leading batch 1).
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for inputs that do not fit, [`ErrorKind::Reference`] if tract fails.
    pub fn run(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        self.compute(inputs, &self.outputs)
    }

    /// Calls `f` with the value of each of the ONNX tensors `tensors` for one sample, in that order. The first call with
    /// a list makes it ready, so use the same list for many samples.
    ///
    /// # Errors
    /// As [`run`](Self::run), and [`ErrorKind::Reference`] if the model has no such tensor.
    pub fn observe(
        &self,
        inputs: &[Array],
        tensors: &[String],
        f: &mut dyn FnMut(&str, &Array),
    ) -> Result<()> {
        let values = self.compute(inputs, tensors)?;
        for (name, value) in tensors.iter().zip(&values) {
            f(name, value);
        }
        Ok(())
    }

    fn compute(&self, inputs: &[Array], tensors: &[String]) -> Result<Vec<Array>> {
        let plan = self.plan(tensors, self.rows(inputs))?;
        let facts = plan.model().input_outlets().map_err(|error| failed("no inputs", &error))?.to_vec();
        if facts.len() != inputs.len() {
            let message = format!("{} inputs were given, the model has {}", inputs.len(), facts.len());
            return Err(Error::new(ErrorKind::Input, "", message).hint("give every input of the model"));
        }
        let mut given = TVec::new();
        for (array, outlet) in inputs.iter().zip(facts) {
            let fact = plan.model().outlet_fact(outlet).map_err(|error| failed("no such input", &error))?;
            let tensor = tensor(array, fact.datum_type)
                .map_err(|error| failed("an input cannot be passed on", &error))?;
            if fact.shape.as_concrete() != Some(&array.dims) || fact.datum_type != tensor.datum_type() {
                let name = &plan.model().node(outlet.node).name;
                let message = format!(
                    "is {} of shape {:?}, the model wants {:?} of shape {:?}",
                    array.data.type_name(),
                    array.dims,
                    fact.datum_type,
                    fact.shape
                );
                let hint = "pass one sample, with a batch dimension of 1";
                return Err(Error::new(ErrorKind::Input, name, message).hint(hint));
            }
            given.push(tensor.into_tvalue());
        }
        let values = guarded(|| plan.run(given)).map_err(|error| failed("the model does not run", &error))?;
        let arrays = values
            .iter()
            .map(|value| array(value).map_err(|error| failed("a value is not readable", &error)));
        arrays.collect()
    }

    /// The model ready to compute `tensors` for `rows` rows.
    fn plan(&self, tensors: &[String], rows: usize) -> Result<Arc<TypedRunnableModel>> {
        // A panic elsewhere cannot leave the slot half written: it is replaced whole.
        let mut ready = self.ready.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(ready) = ready.get(&rows).filter(|ready| ready.tensors == tensors) {
            return Ok(ready.plan.clone());
        }
        let parsed = self.sized(rows)?;
        let mut outlets = Vec::with_capacity(tensors.len());
        for name in tensors {
            outlets.push(*parsed.outlets_by_name.get(name).ok_or_else(|| {
                Error::new(ErrorKind::Reference, name, "the model has no such tensor")
                    .hint("see `mixel inspect`")
            })?);
        }
        let mut model = parsed.model;
        let plan = guarded(|| {
            model.select_output_outlets(&outlets)?;
            model.into_optimized()?.into_runnable()
        })
        .map_err(|error| failed("the model cannot be made ready", &error))?;
        ready.insert(rows, Ready { tensors: tensors.to_vec(), plan: plan.clone() });
        Ok(plan)
    }
}

fn failed(stage: &str, error: &TractError) -> Error {
    Error::new(ErrorKind::Reference, "", format!("{stage}: {error:#}"))
        .hint("the float reference (tract) does not run this model; check it with onnx.checker")
}

/// `array` for tract; real numbers become the real type `wanted`.
fn tensor(array: &Array, wanted: DatumType) -> TractResult<Tensor> {
    let dims = &array.dims;
    let tensor = match &array.data {
        ArrayData::F32(data) => Tensor::from_shape(dims, data),
        ArrayData::F64(data) => Tensor::from_shape(dims, data),
        ArrayData::I8(data) => Tensor::from_shape(dims, data),
        ArrayData::U8(data) => Tensor::from_shape(dims, data),
        ArrayData::I16(data) => Tensor::from_shape(dims, data),
        ArrayData::U16(data) => Tensor::from_shape(dims, data),
        ArrayData::I32(data) => Tensor::from_shape(dims, data),
        ArrayData::I64(data) => Tensor::from_shape(dims, data),
    }?;
    if tensor.datum_type().is_float() && wanted.is_float() {
        return Ok(tensor.cast_to_dt(wanted)?.into_owned());
    }
    Ok(tensor)
}

/// A tensor as an array; float16 is widened.
fn array(tensor: &Tensor) -> TractResult<Array> {
    let data = match tensor.datum_type().unquantized() {
        DatumType::F64 => ArrayData::F64(elements(tensor)?),
        DatumType::I8 => ArrayData::I8(elements(tensor)?),
        DatumType::U8 => ArrayData::U8(elements(tensor)?),
        DatumType::I16 => ArrayData::I16(elements(tensor)?),
        DatumType::U16 => ArrayData::U16(elements(tensor)?),
        DatumType::I32 => ArrayData::I32(elements(tensor)?),
        DatumType::I64 => ArrayData::I64(elements(tensor)?),
        _ => ArrayData::F32(tensor.cast_to::<f32>()?.try_as_plain_ram()?.as_slice()?.to_vec()),
    };
    Ok(Array { dims: tensor.shape().to_vec(), data })
}

fn elements<T: Datum + Copy>(tensor: &Tensor) -> TractResult<Vec<T>> {
    Ok(tensor.try_as_plain_ram()?.as_slice::<T>()?.to_vec())
}
