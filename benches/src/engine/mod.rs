//! Engines that run a model on this machine, with one thread.

mod ours;
mod python;
#[cfg(feature = "rten")]
mod rten;
mod tract;

use std::path::Path;

use mixel::compile::{CalibrationData, CompileOptions, Prepared, Target, prepare};
use mixel::device::Sample;
use mixel::run::open;
use mixel_core::arch::Backend;
use mixel_core::plan::{DType, FrontEnd, Plan};

use crate::definition::{Model, locate};
pub use ours::Ours;

/// A model that is loaded and has its inputs.
pub trait Engine {
    /// Name in tables and records, with the instructions or the kind of model where it matters.
    fn name(&self) -> &str;

    /// Nanoseconds of each of `runs` inferences, one after the other.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn time(&mut self, runs: u32) -> Result<Vec<u64>, String>;
}

/// A loaded engine, or why it does not take the model.
type Loaded = Result<Box<dyn Engine>, String>;

/// An engine, or why it is not there: its name and the reason.
pub type Entry = Result<Box<dyn Engine>, (String, String)>;

/// This machine's target.
pub const HERE: Target = if cfg!(target_arch = "x86_64") {
    Target::X86_64
} else if cfg!(target_arch = "aarch64") {
    Target::Aarch64
} else {
    Target::Generic
};

/// Compiles `model` as far as targets share it.
///
/// # Errors
/// Those of the pipeline; a missing file among them.
pub fn prepared(model: &Model) -> mixel::Result<Prepared> {
    let calib = model.calib.as_deref().map(|calib| match calib {
        "random" => calib.to_owned(),
        path => locate(path).display().to_string(),
    });
    let calibration = CalibrationData::read(calib.as_deref())?;
    prepare(&locate(&model.onnx), &CompileOptions { calibration, ..CompileOptions::default() })
}

/// mixel on every backend, the fastest first, as far as this machine has them.
pub fn ours(plan: &[u8], sample: &Sample) -> Vec<Entry> {
    let backends = Backend::ALL.iter().rev().map(|&backend| -> Entry {
        let name = format!("mixel {backend}");
        match Backend::with(backend) {
            Some(backend) => Ok(Box::new(Ours::new(name, backend, plan, sample.clone()))),
            None => Err((name, "this machine does not have the instructions".into())),
        }
    });
    backends.collect()
}

/// The other engines on `model`, with `rows` rows where they vary. `python` has LiteRT and ONNX Runtime.
pub fn rivals(model: &Model, rows: usize, python: Result<&Path, &str>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut add = |name: &str, file: Option<&String>, load: &dyn Fn(&Path) -> Loaded| {
        let Some(file) = file else { return };
        let path = locate(file);
        let loaded = if path.is_file() { load(&path) } else { Err(format!("missing {}", path.display())) };
        entries.push(loaded.map_err(|reason| (name.to_owned(), reason)));
    };
    let quantized = (model.float.as_ref() != Some(&model.onnx)).then_some(&model.onnx);
    add("LiteRT", model.tflite.as_ref(), &|path| python::load("LiteRT", "litert", path, rows, python));
    let names = ["ONNX Runtime", "ONNX Runtime, float"];
    add(names[0], quantized, &|path| python::load(names[0], "onnxruntime", path, rows, python));
    add(names[1], model.float.as_ref(), &|path| python::load(names[1], "onnxruntime", path, rows, python));
    add("tract", quantized, &|path| tract::load("tract", path, rows));
    add("tract, float", model.float.as_ref(), &|path| tract::load("tract, float", path, rows));
    add("rten", quantized, &|path| load_rten("rten", path, rows));
    add("rten, float", model.float.as_ref(), &|path| load_rten("rten, float", path, rows));
    entries
}

#[cfg(feature = "rten")]
fn load_rten(name: &str, path: &Path, rows: usize) -> Loaded {
    rten::load(name, path, rows)
}

#[cfg(not(feature = "rten"))]
fn load_rten(_: &str, _: &Path, _: usize) -> Loaded {
    Err("not built in (feature rten)".into())
}

/// Random integers for a plan's inputs, with all rows; a sentence where it takes text.
pub fn noise(plan: &[u8], text: Option<&str>) -> mixel::Result<Sample> {
    let plan: Plan<'_> = open(plan, "")?;
    if let (FrontEnd::Text { .. }, Some(text)) = (plan.front_end(), text) {
        return Ok(Sample::Text(text.into()));
    }
    let mut random = fastrand::Rng::with_seed(1);
    let tensors = plan.inputs().filter_map(|port| plan.port_tensor(&port).ok());
    let inputs = tensors.map(|tensor| {
        // Plain indices: below 25 in all models here, bins of text too.
        let plain = matches!(tensor.dtype, DType::U16 | DType::I32);
        let element =
            |random: &mut fastrand::Rng| if plain { [random.u8(..25), 0, 0, 0] } else { [random.u8(..); 4] };
        (0..tensor.elements())
            .flat_map(|_| element(&mut random).into_iter().take(tensor.dtype.size()))
            .collect()
    });
    Ok(Sample::Tensors { rows: None, inputs: inputs.collect() })
}
