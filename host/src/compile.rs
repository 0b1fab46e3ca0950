//! The pipeline as one call: an ONNX file becomes a plan.

use std::path::{Path, PathBuf};

use mixel_core::events::{Event, Geometry};
use mixel_core::kernels::{self, OpKind};
use mixel_core::pack::Layout;
use mixel_core::plan::{Interface, Operator, Plan};
use tract_onnx::pb::{ValueInfoProto, tensor_proto, type_proto};

use crate::aligned::Aligned;
use crate::arrays::{Array, ArrayData, read_npz};
use crate::events::{self, Recording};
use crate::graph::{EventSpec, Graph, ValueId};
use crate::image::{self, Frame};
use crate::import::{self, ImportOptions, Model};
use crate::lower::lower;
use crate::plan::{Gain, Placement, Saving, arrange, by_rows, channels_last, shorten, with_attention};
use crate::program::Program;
use crate::quantize::{self, Quantized, Statistics};
use crate::reference::Reference;
use crate::report::Progress;
use crate::samples::{Case, cases, features_of_text};
use crate::{Error, ErrorKind, Result, emit};

/// The processor that a plan is packed for. Plans for any of them run everywhere on a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs)]
pub enum Target {
    /// Runs on every board.
    #[default]
    Generic,
    CortexM4,
    CortexM33,
    CortexM7,
    CortexM55,
    #[value(name = "x86-64")]
    X86_64,
    Aarch64,
}

impl Target {
    /// The order of weights that its kernels read.
    pub fn layout(self) -> Layout {
        match self {
            Self::Generic => Layout::Generic,
            Self::CortexM4 | Self::CortexM33 | Self::CortexM7 => Layout::ArmDsp,
            Self::CortexM55 => Layout::Helium,
            Self::X86_64 => Layout::X86,
            Self::Aarch64 => Layout::Aarch64,
        }
    }
}

/// Where the inputs come from that show a float model's ranges.
#[derive(Clone, Debug, Default)]
pub enum CalibrationData {
    /// Nowhere: right for models that state their quantization.
    #[default]
    None,
    /// Noise. The ranges are wrong for real inputs; good for looking at memory and time.
    Random,
    /// Named arrays.
    Arrays(Vec<(String, Array)>),
    /// Sentences, for models with a text front end; paths of recordings for one with an event front end.
    Texts(Vec<String>),
    /// Recordings, for models with an event front end.
    Recordings(Vec<PathBuf>),
    /// PNG files, for models that take pictures; they are cut into parts of the model's size.
    Pictures(Vec<PathBuf>),
}

/// Samples of noise that `--calib random` makes.
const RANDOM_SAMPLES: usize = 8;

impl CalibrationData {
    /// What `--calib ARGUMENT` means: `random`, an .npz file, a text file with a sentence or the path of a recording a line,
    /// a PNG file, or a folder of recordings or PNG files.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn read(argument: Option<&str>) -> Result<Self> {
        match argument {
            None => Ok(Self::None),
            Some("random") => Ok(Self::Random),
            Some(path) if image::is_png(Path::new(path)) => Ok(Self::Pictures(vec![path.into()])),
            Some(path) if Path::new(path).is_dir() => {
                let files = events::list(Path::new(path))?;
                if files.is_empty() {
                    return Err(Error::new(ErrorKind::Calibration, path, "is an empty folder")
                        .hint("give a folder of recordings or of PNG files"));
                }
                let pictures = files.iter().any(|file| image::is_png(file));
                if pictures {
                    image::list_pngs(Path::new(path)).map(Self::Pictures)
                } else {
                    events::list_recordings(Path::new(path)).map(Self::Recordings)
                }
            }
            Some(path) if path.ends_with(".npz") => Ok(Self::Arrays(read_npz(Path::new(path))?)),
            Some(path) => Ok(Self::Texts(read_lines(Path::new(path))?)),
        }
    }
}

/// The lines of a text file that are not empty.
///
/// # Errors
/// [`ErrorKind::Io`] when it cannot be read, [`ErrorKind::Input`] when it has no line.
pub fn read_lines(path: &Path) -> Result<Vec<String>> {
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::InvalidData => {
                "save it as UTF-8; recordings are given as a folder of them, or a text file with their paths"
            }
            _ => "check the path",
        };
        Error::new(ErrorKind::Io, &shown, "cannot be read as text").hint(hint).caused_by(error)
    })?;
    let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        return Err(
            Error::new(ErrorKind::Input, shown, "holds no sentence").hint("write one sentence a line")
        );
    }
    Ok(lines)
}

/// How to compile.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Bounds of dimensions that vary.
    pub import: ImportOptions,
    /// Choice of integers.
    pub quantize: quantize::Options,
    /// Calibration inputs.
    pub calibration: CalibrationData,
    /// Leave operator names out of the plan.
    pub strip: bool,
    /// Whether operators may run in strips of rows.
    pub strips: Strips,
    /// Bytes of the arena at most.
    pub max_arena: Option<usize>,
    /// Whether images come and go row by row and may be larger than the arena.
    pub rows: bool,
}

/// Whether operators run in strips of rows, so that large tensors never exist whole. The code for it takes 4 kB of flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Strips {
    /// Where that makes the arena at least a third smaller, or a tenth and 12 kB for at most about 2 % more instructions, the stack that it
    /// takes counted; or where the arena is beyond its limit.
    #[default]
    Auto,
    /// Where that makes the arena at least a tenth smaller.
    Most,
    /// Nowhere.
    Off,
}

/// A model up to the point where targets differ.
pub struct Prepared {
    quantized: Quantized,
    interfaces: Vec<(String, Interface)>,
    strip: bool,
    strips: Strips,
    max_arena: Option<usize>,
    rows: bool,
}

/// A compiled model.
pub struct Compiled {
    /// What the plan was made from, before memory.
    pub program: Program,
    /// Where the tensors lie.
    pub placement: Placement,
    /// What running in strips gained, group by group.
    pub gains: Vec<Gain>,
    /// The plan file.
    pub plan: Aligned,
}

/// Imports and quantizes the model at `path`.
///
/// # Errors
/// Those of the stages; [`ErrorKind::Calibration`] for a float model without calibration inputs.
pub fn prepare(path: &Path, options: &CompileOptions) -> Result<Prepared> {
    let graph = {
        let _progress = Progress::new("importing");
        import::load(path, &options.import)?
    };
    let statistics = calibrate(path, &graph, options)?;
    let _progress = Progress::new("quantizing");
    let quantized = quantize::quantize(graph, statistics.as_ref(), &options.quantize)?;
    let interfaces = interfaces(&Model::read(path, &options.import)?);
    Ok(Prepared {
        quantized,
        interfaces,
        strip: options.strip,
        strips: options.strips,
        max_arena: options.max_arena,
        rows: options.rows,
    })
}

impl Prepared {
    /// The quantized graph.
    pub fn quantized(&self) -> &Quantized {
        &self.quantized
    }

    /// The plan for `target`.
    ///
    /// # Errors
    /// Those of lowering, planning and emitting.
    pub fn compile(&self, target: Target) -> Result<Compiled> {
        self.compile_with(target, self.strips, self.rows)
    }

    /// The plan for `target` without strips, to be looked at operator by operator: every tensor exists whole, but parts of a
    /// concatenation only as channels of it. It gives the same results.
    ///
    /// # Errors
    /// As [`Prepared::compile`].
    pub fn compile_whole(&self, target: Target) -> Result<Compiled> {
        self.compile_with(target, Strips::Off, false)
    }

    fn compile_with(&self, target: Target, strips: Strips, rows: bool) -> Result<Compiled> {
        let _progress = Progress::new("planning memory");
        let mut program = if rows {
            let mut quantized = self.quantized.clone();
            channels_last(&mut quantized.graph);
            lower(&quantized, target.layout())?
        } else {
            lower(&self.quantized, target.layout())?
        };
        for port in &mut program.ports {
            let found = self.interfaces.iter().find(|(name, _)| *name == port.name);
            port.interface = found.map_or(Interface::Integers, |(_, interface)| *interface);
        }
        let program = with_attention(program)?;
        let limit = self.max_arena.unwrap_or(usize::MAX);
        let saving = match strips {
            Strips::Auto => Saving { least: 1.0 / 3.0, cheap: 0.02, limit, stack: true },
            Strips::Most => Saving { least: 0.1, cheap: 0.0, limit, stack: false },
            Strips::Off => Saving { least: f32::INFINITY, cheap: 0.0, limit: usize::MAX, stack: false },
        };
        let (program, placement, gains) = if rows {
            let (program, placement) = by_rows(&program, limit)?;
            (program, placement, Vec::new())
        } else {
            let (program, placement, gains) = arrange(program, saving)?;
            let (program, placement) = shorten(program, placement, self.max_arena)?;
            (program, placement, gains)
        };
        if strips != Strips::Off && placement.arena() > limit {
            let least = placement.arena();
            return Err(Error::new(ErrorKind::Plan, "", format!("the arena takes {least} bytes, {limit} are allowed"))
                .hint("allow more with --max-arena, or make the model's largest tensors smaller (`mixel inspect` lists them)"));
        }
        let plan = emit::emit(&program, &placement, self.strip)?;
        Ok(Compiled { program, placement, gains, plan })
    }
}

/// Observations of calibration inputs; none when there is no data.
fn calibrate(path: &Path, graph: &Graph, options: &CompileOptions) -> Result<Option<Statistics>> {
    let Some(sequences) = calibration_inputs(path, graph, options)? else { return Ok(None) };
    let reference = Reference::load(path, &options.import)?;
    let progress = Progress::new("calibrating");
    let mut step = |done, all| progress.step(done, all);
    quantize::calibrate_sequences(graph, &reference, &sequences, &options.quantize, &mut step).map(Some)
}

/// Inputs of the float model, sample by sample, in sequences that begin with fresh states.
fn calibration_inputs(
    path: &Path,
    graph: &Graph,
    options: &CompileOptions,
) -> Result<Option<Vec<Vec<Vec<Array>>>>> {
    if let Some(spec) = graph.front_end.events {
        return event_inputs(&spec, &options.calibration).map(Some);
    }
    let state = |id: &ValueId| graph.states.iter().any(|state| state.input == *id);
    let given: Vec<ValueId> = graph.inputs.iter().copied().filter(|id| !state(id)).collect();
    let names: Vec<String> = given.iter().map(|&id| graph.value(id).name.clone()).collect();
    let samples: Vec<Vec<Array>> = match &options.calibration {
        CalibrationData::None => return Ok(None),
        CalibrationData::Recordings(_) => {
            return Err(Error::new(
                ErrorKind::Calibration,
                path.display().to_string(),
                "this model takes no events",
            )
            .hint("calibrate it with arrays: --calib FILE.npz"));
        }
        CalibrationData::Pictures(files) => {
            let frame = given.first().and_then(|&id| Frame::of_dims(&graph.value(id).shape.dims));
            let (Some(front_end), Some(frame)) = (&graph.front_end.image, frame) else {
                let model = path.display().to_string();
                return Err(Error::new(ErrorKind::Calibration, model, "this model takes no pictures").hint(
                    "calibrate it with arrays: --calib FILE.npz; or, if its one input is a picture, say with --pixels \
                     LOW,HIGH what pixels 0 and 255 are for it",
                ));
            };
            image::tiles(files, frame, front_end)?.into_iter().map(|array| vec![array]).collect()
        }
        CalibrationData::Arrays(arrays) => cases(&names, arrays)?
            .into_iter()
            .filter_map(|case| match case {
                Case::Arrays(arrays) => Some(arrays),
                Case::Text(_) => None,
            })
            .collect(),
        CalibrationData::Texts(texts) => {
            let Some(spec) = graph.front_end.text else {
                return Err(Error::new(
                    ErrorKind::Calibration,
                    path.display().to_string(),
                    "this model takes no text",
                )
                .hint("calibrate it with arrays: --calib FILE.npz"));
            };
            texts.iter().map(|text| Ok(vec![features_of_text(&spec.text, text)?])).collect::<Result<_>>()?
        }
        CalibrationData::Random => {
            let mut rng = fastrand::Rng::with_seed(1);
            let noise = |rng: &mut fastrand::Rng| -> Result<Vec<Array>> {
                let inputs = graph.inputs.iter().filter(|id| !state(id)).map(|&id| {
                    let dims = match graph.front_end.text {
                        Some(spec) => vec![1, spec.text.length(), spec.text.slots() * spec.text.m()],
                        None => graph.value(id).shape.dims.clone(),
                    };
                    // Sums of uniform numbers: about normal, mean 0, variance 1.
                    let data = (0..dims.iter().product::<usize>())
                        .map(|_| (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0)
                        .collect();
                    Array::new(&dims, ArrayData::F32(data))
                });
                inputs.collect()
            };
            (0..RANDOM_SAMPLES).map(|_| noise(&mut rng)).collect::<Result<_>>()?
        }
    };
    Ok(Some(match graph.states.is_empty() {
        true => samples.into_iter().map(|sample| vec![sample]).collect(),
        false => vec![samples],
    }))
}

/// Windows of recordings, a sequence each. Windows without a token are left out: the float model has nothing to run on.
fn event_inputs(spec: &EventSpec, data: &CalibrationData) -> Result<Vec<Vec<Vec<Array>>>> {
    let sequence = |events: &[Event]| -> Result<Vec<Vec<Array>>> {
        let windows = events::windows(spec, events)?;
        windows.iter().filter(|window| !window.patches.is_empty()).map(|window| window.arrays(spec)).collect()
    };
    let read = |path: &Path| sequence(&Recording::read(path, Some(spec.histogram.geometry))?.plain());
    match data {
        CalibrationData::Recordings(paths) => paths.iter().map(|path| read(path)).collect(),
        CalibrationData::Texts(paths) => paths.iter().map(|path| read(Path::new(path))).collect(),
        CalibrationData::Arrays(arrays) => {
            Ok(vec![sequence(&Recording::of_arrays(arrays, "--calib")?.plain())?])
        }
        CalibrationData::Pictures(files) => {
            let file = files.first().map_or(String::new(), |file| file.display().to_string());
            Err(Error::new(ErrorKind::Calibration, file, "is a picture; this model takes events")
                .hint("give recordings: --calib FOLDER"))
        }
        CalibrationData::Random => {
            let mut rng = fastrand::Rng::with_seed(1);
            (0..RANDOM_SAMPLES).map(|_| sequence(&noise_events(spec, &mut rng))).collect()
        }
        CalibrationData::None => Err(Error::new(
            ErrorKind::Calibration,
            "mixel.front_end",
            "a float model over events needs recordings to see its ranges",
        )
        .hint(
            "--calib FOLDER of recordings, a text file with their paths, or --calib random for a rough try",
        )),
    }
}

/// Some windows of events, most of them at a few places.
fn noise_events(spec: &EventSpec, rng: &mut fastrand::Rng) -> Vec<Event> {
    let Geometry { width, height } = spec.histogram.geometry;
    let mut t = 0;
    let mut place = (0, 0);
    let events = (0..2000).map(|at| {
        if at % 40 == 0 {
            place = (rng.u16(..width), rng.u16(..height));
        }
        t += rng.u32(..spec.window_us / 200 + 1);
        let near = |at: u16, step: u16, end: u16| at.saturating_add(step).min(end - 1);
        Event::new(t, near(place.0, rng.u16(..4), width), near(place.1, rng.u16(..4), height), rng.bool())
    });
    events.collect()
}

/// What the model itself has at its inputs and outputs.
fn interfaces(model: &Model) -> Vec<(String, Interface)> {
    let interface = |info: &ValueInfoProto| {
        use tensor_proto::DataType;
        let value = info.r#type.as_ref().and_then(|of| of.value.as_ref());
        let element = value.map(|type_proto::Value::TensorType(tensor)| tensor.elem_type);
        match element.and_then(|code| DataType::try_from(code).ok()) {
            Some(DataType::Float | DataType::Float16 | DataType::Double | DataType::Bfloat16) => {
                Interface::Reals
            }
            Some(DataType::Uint8 | DataType::Uint16) => Interface::Unsigned,
            _ => Interface::Integers,
        }
    };
    let ports = model.graph.input.iter().chain(&model.graph.output);
    ports.map(|info| (info.name.clone(), interface(info))).collect()
}

/// For which plans an operator set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetFor {
    /// For this plan alone, which stands verified: the device compares its checksum and carries no checks.
    ThisPlan,
    /// For every plan that needs no more than the set has, verified on the device.
    AnyPlan,
}

impl SetFor {
    /// What `--any-plan` asks for.
    pub fn of(any_plan: bool) -> Self {
        if any_plan { Self::AnyPlan } else { Self::ThisPlan }
    }
}

/// Rust source of the operator set `Ops` of a plan, for firmware that links no other operators.
pub fn operator_set(plan: &Plan<'_>, set_for: SetFor) -> String {
    let mut kinds: Vec<OpKind> = plan.operators().map(|operator| operator.kind).collect();
    kinds.sort_by_key(|kind| *kind as u16);
    kinds.dedup();
    // Of kinds whose operators are all of the usual forms the ways for others are left out.
    let operators =
        || (0..plan.operator_count()).filter_map(|index| Some((index, plan.whole_operator(index)?)));
    // A strip of heads may have fewer rows of queries than loops take.
    let in_strips = |index| plan.groups().any(|group| group.operators().contains(&index));
    let lean = |(index, operator): (usize, Operator<'_>)| {
        kernels::lean(&operator) && !(operator.kind == OpKind::Attention && in_strips(index))
    };
    let all_lean = |kind| operators().filter(|(_, operator)| operator.kind == kind).all(lean);
    // Layers go by the code of those that make parts, where there are some.
    let pairs = [[OpKind::Linear, OpKind::LinearPart], [OpKind::Conv, OpKind::ConvPart]];
    let shared: Vec<_> =
        pairs.into_iter().filter(|pair| pair.iter().all(|kind| kinds.contains(kind))).collect();
    let name = |&kind: &OpKind| match shared.iter().find(|pair| pair.contains(&kind)) {
        None => format!("{kind:?}{}", if all_lean(kind) { "Lean" } else { "" }),
        Some(pair) => {
            let by = if kind == pair[0] { "ByPart" } else { "" };
            format!("{kind:?}{by}{}", if pair.iter().all(|&kind| all_lean(kind)) { "Lean" } else { "" })
        }
    };
    let names: Vec<String> = kinds.iter().map(name).collect();
    // Room for the longest group.
    let strips = plan.groups().map(|group| group.count).max();
    let strips = strips.map_or("false".to_owned(), |operators| operators.to_string());
    let front_end = plan.front_end().has_code();
    let short_channels = plan.operators().any(|operator| operator.has_short_channels());
    let states = plan.state_bytes() > 0;
    let verified = match set_for {
        SetFor::ThisPlan => format!(
            "    // SAFETY: `mixel compile` verified the plan with this checksum and chose these operators for it.\n    \
             verified: unsafe {:#010X};\n",
            plan.checksum()
        ),
        SetFor::AnyPlan => String::new(),
    };
    format!(
        "// Written by `mixel compile --ops-rs`.\nmixel_core::op_set! {{\n    /// The operators of this plan.\n    \
         pub struct Ops: {};\n    strips: {strips};\n    front_end: {front_end};\n    short_channels: {short_channels};\n    \
         states: {states};\n{verified}}}\n",
        names.join(", ")
    )
}
