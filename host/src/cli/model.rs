//! Arguments about models, which several subcommands share, and files that are a model or a plan.

use std::path::{Path, PathBuf};

use mixel_core::plan::RawPlan;

use crate::aligned::Aligned;
use crate::arrays::read_npz;
use crate::compile::{CalibrationData, CompileOptions, Prepared, Strips, Target, prepare, read_lines};
use crate::events::list_recordings;
use crate::image::{Pictures, list_pngs, read_png};
use crate::import::{ImportOptions, pixel_range};
use crate::quantize::{self, Activations, Calibration, WeightRule};
use crate::run::{open, read_plan};
use crate::samples::{Case, cases, input_names};
use crate::{Error, ErrorKind, Result};

/// How a model becomes a plan.
#[derive(clap::Args, Default)]
pub struct ModelArgs {
    /// Calibration inputs of a float model: an .npz by input name, a text file with a sentence or the path of a recording a
    /// line, a folder of recordings, a PNG file or a folder of them, or `random`
    #[arg(long, value_name = "FILE.npz|FILE.txt|FILE.png|FOLDER|random")]
    pub calib: Option<String>,
    /// The model's one input is a picture, and this is what pixels 0 and 255 are there: 0,1 or -1,1 or 0,255. For models whose
    /// metadata do not say so
    #[arg(long, value_name = "LOW,HIGH", value_parser = pixels, allow_hyphen_values = true)]
    pub pixels: Option<(f32, f32)>,
    /// Bound of a dimension without a size; may be repeated
    #[arg(long = "max", value_name = "NAME=N", value_parser = bound)]
    pub max: Vec<(String, usize)>,
    /// Width of activations of a float model
    #[arg(long, value_enum, default_value_t)]
    pub activations: ActivationsArg,
    /// How weights are stored, of all layers or of those called NAME (* stands for anything): int8; int4; sparse, as a bitmap
    /// where that is smaller; auto, the smallest that holds the same integers. May be repeated; the last one counts
    #[arg(long, value_name = "int8|int4|sparse|auto[:NAME]")]
    pub weights: Vec<WeightRule>,
    /// How ranges are chosen from what calibration saw
    #[arg(long, value_enum, default_value_t)]
    pub ranges: RangesArg,
    /// Balance channel ranges between layers first
    #[arg(long)]
    pub equalize: bool,
    /// Leave biases as they are
    #[arg(long)]
    pub no_bias_correction: bool,
    /// Whether operators run in strips of rows, so that large tensors never exist whole
    #[arg(long, value_enum, default_value_t)]
    pub strips: Strips,
    /// Bytes of the arena at most; what takes more is refused
    #[arg(long, value_name = "BYTES")]
    pub max_arena: Option<usize>,
    /// Let images come and go row by row, through memory for a few rows, however high they are
    #[arg(long)]
    pub by_rows: bool,
}

/// Width of activations.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub enum ActivationsArg {
    Int8,
    Int16,
    /// int16 where int8 is predicted to be too noisy
    #[default]
    Auto,
}

/// Choice of ranges.
#[derive(Clone, Copy, Default, clap::ValueEnum)]
pub enum RangesArg {
    #[default]
    MinMax,
    /// 99.99 % of the values
    Percentile,
    /// Least mean squared error
    Mse,
}

fn bound(text: &str) -> std::result::Result<(String, usize), String> {
    let (name, bound) = text.split_once('=').ok_or("expected NAME=N")?;
    let bound = bound.parse().ok().filter(|&bound| bound > 0);
    Ok((name.to_owned(), bound.ok_or("expected a positive number behind the =")?))
}

fn pixels(text: &str) -> std::result::Result<(f32, f32), String> {
    pixel_range(text).ok_or_else(|| "expected two rising numbers, like 0,1".into())
}

impl ModelArgs {
    /// How to read the model.
    pub fn import(&self) -> ImportOptions {
        ImportOptions { max: self.max.clone(), pixels: self.pixels }
    }

    /// As options of the pipeline. Warns of random calibration.
    pub fn options(&self, strip: bool) -> Result<CompileOptions> {
        if self.calib.as_deref() == Some("random") {
            eprintln!(
                "warning: calibrated on random inputs; memory and time are right, answers are not. Give real inputs \
                 with --calib FILE.npz"
            );
        }
        Ok(CompileOptions {
            import: self.import(),
            quantize: quantize::Options {
                activations: match self.activations {
                    ActivationsArg::Int8 => Activations::Int8,
                    ActivationsArg::Int16 => Activations::Int16,
                    ActivationsArg::Auto => Activations::Auto,
                },
                calibration: match self.ranges {
                    RangesArg::MinMax => Calibration::MinMax,
                    RangesArg::Percentile => Calibration::Percentile(0.9999),
                    RangesArg::Mse => Calibration::Mse,
                },
                bias_correction: !self.no_bias_correction,
                equalize: self.equalize,
                weights: self.weights.clone(),
                ..quantize::Options::default()
            },
            calibration: CalibrationData::read(self.calib.as_deref())?,
            strip,
            strips: self.strips,
            max_arena: self.max_arena,
            rows: self.by_rows,
        })
    }

    /// The model at `path`, quantized. Remarks of the quantizer go to standard error.
    pub fn prepare(&self, path: &Path, strip: bool) -> Result<Prepared> {
        let prepared = prepare(path, &self.options(strip)?)?;
        for note in &prepared.quantized().notes {
            eprintln!("note: {}: {}", note.path, note.message);
        }
        Ok(prepared)
    }
}

/// Whether `path` is a plan file, by its first bytes or else by its name.
pub fn is_plan(path: &Path) -> Result<bool> {
    let bytes = read_plan(path)?;
    Ok(bytes.starts_with(b"MIXL") || path.extension().is_some_and(|extension| extension == "mxl"))
}

/// The plan at `path`, verified; a model is compiled for `target` first.
pub fn load(path: &Path, model: &ModelArgs, target: Target) -> Result<Aligned> {
    if is_plan(path)? {
        let plan = read_plan(path)?;
        open(&plan, &path.display().to_string())?;
        return Ok(plan);
    }
    Ok(model.prepare(path, false)?.compile(target)?.plan)
}

/// Where inputs come from.
#[derive(clap::Args, Default)]
pub struct InputArgs {
    /// Inputs: arrays by input name with a leading sample axis
    #[arg(long, value_name = "IN.npz")]
    pub input: Option<PathBuf>,
    /// A sentence, for models with a text front end
    #[arg(long)]
    pub text: Option<String>,
    /// A file with a sentence a line
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// A recording of an event camera, or a folder of them, for models with an event front end
    #[arg(long, value_name = "RECORDING")]
    pub events: Option<PathBuf>,
    /// A PNG file, or a folder of them, for models that take pictures
    #[arg(long, value_name = "IN.png")]
    pub image: Option<PathBuf>,
}

impl InputArgs {
    /// The recordings given; none when there is no such argument.
    pub fn recordings(&self) -> Result<Option<Vec<PathBuf>>> {
        self.one_kind()?;
        self.events.as_deref().map(list_recordings).transpose()
    }

    /// The PNG files given; none when there is no such argument.
    pub fn pictures(&self) -> Result<Option<Vec<PathBuf>>> {
        self.one_kind()?;
        self.image.as_deref().map(list_pngs).transpose()
    }

    /// The cases given for `plan`; none when there are no such arguments.
    pub fn cases(&self, plan: &RawPlan<'_>) -> Result<Option<Vec<Case>>> {
        if let Some(pictures) = self.pictures()? {
            return picture_cases(plan, &pictures).map(Some);
        }
        match (&self.input, &self.text, &self.text_file) {
            (Some(path), ..) => cases(&input_names(plan), &read_npz(path)?).map(Some),
            (_, Some(text), _) => Ok(Some(vec![Case::Text(text.clone())])),
            (_, _, Some(path)) => Ok(Some(read_lines(path)?.into_iter().map(Case::Text).collect())),
            (None, None, None) => Ok(None),
        }
    }

    fn one_kind(&self) -> Result<()> {
        let kinds = [&self.input, &self.text_file, &self.events, &self.image].map(Option::is_some);
        let given = kinds.into_iter().chain([self.text.is_some()]).filter(|&given| given).count();
        if given > 1 {
            let message = "more than one of --input, --text, --text-file, --events and --image";
            return Err(Error::new(ErrorKind::Usage, "", message).hint("give one of them"));
        }
        Ok(())
    }
}

/// The PNG files `pictures` as inputs of `plan`.
pub fn picture_cases(plan: &RawPlan<'_>, pictures: &[PathBuf]) -> Result<Vec<Case>> {
    let model = Pictures::of(plan)?;
    let case = |path: &PathBuf| {
        let about = |error: Error| Error { path: path.display().to_string(), ..error };
        model.case(&read_png(path)?).map_err(about)
    };
    pictures.iter().map(case).collect()
}
