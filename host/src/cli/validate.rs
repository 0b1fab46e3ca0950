//! `mixel validate`.

use std::path::PathBuf;

use mixel_core::plan::RawPlan;
use serde_json::json;

use super::model::{InputArgs, ModelArgs};
use super::{Verdict, print, print_json, write_file};
use crate::arrays::{Array, ArrayData};
use crate::compile::{CalibrationData, Target};
use crate::device::board;
use crate::image::Pictures;
use crate::inspect::inspect;
use crate::reference::Reference;
use crate::report::Align::{Left, Right};
use crate::report::html;
use crate::report::{Table, short};
use crate::run::open;
use crate::samples::{Case, cases, input_names};
use crate::validate::{BoardResult, Fidelity, fidelity, on_board};
use crate::{Error, ErrorKind, Result};

/// Compare a model's plan with the float model, and boards with this machine
#[derive(clap::Args)]
pub struct Args {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    #[command(flatten)]
    inputs: InputArgs,
    /// A board to compare bit by bit; may be repeated
    #[arg(long = "board", value_name = "BOARD")]
    boards: Vec<String>,
    /// Least signal to quantization noise of the output (in front of a last softmax), in decibels
    #[arg(long, value_name = "DB", default_value_t = 20.0, value_parser = decibels)]
    min_sqnr: f64,
    /// Least share of samples with the same best class
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    min_top1: f64,
    /// Write a report to open in a browser
    #[arg(long, value_name = "R.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    options: ModelArgs,
}

/// Samples of noise when no input is given.
const NOISE: usize = 8;

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    if super::model::is_plan(&args.model)? {
        return Err(Error::new(ErrorKind::Usage, args.model.display().to_string(), "is a plan")
            .hint("validate compares with the float model: give the .onnx file"));
    }
    let boards = args.boards.iter().map(|name| board(name)).collect::<Result<Vec<_>>>()?;
    let options = args.options.options(false)?;
    let prepared = crate::compile::prepare(&args.model, &options)?;
    let compiled = prepared.compile_whole(Target::Generic)?;
    let plan = open(&compiled.plan, "")?;
    let names = input_names(&plan);
    let cases = match (args.inputs.cases(&plan)?, &options.calibration) {
        (Some(cases), _) => cases,
        (None, CalibrationData::Arrays(arrays)) => cases(&names, arrays)?,
        (None, CalibrationData::Pictures(files)) => Pictures::of(&plan)?.tiles(files)?,
        (None, CalibrationData::Texts(texts)) if compiled.program.front_end.text.is_some() => {
            texts.iter().cloned().map(Case::Text).collect()
        }
        (None, _) => {
            eprintln!("warning: validated on noise; give real inputs with --input FILE.npz");
            noise(&plan)?
        }
    };
    let reference = Reference::load(&args.model, &options.import)?;
    let fidelity = fidelity(&prepared, &compiled, &reference, &cases)?;
    let boards: Vec<BoardResult> =
        boards.into_iter().map(|board| on_board(&prepared, board, &cases)).collect::<Result<_>>()?;
    let falls = fidelity.first_below(args.min_sqnr);
    let good = fidelity.sqnr_db >= args.min_sqnr
        && fidelity.top1_agreement >= args.min_top1
        && boards.iter().all(|board| board.bit_equal);
    let verdict = if good { "pass" } else { "fail" };
    let figures = json!({
        "verdict": verdict,
        "sqnr_db": fidelity.sqnr_db,
        "top1_agreement": fidelity.top1_agreement,
        "samples": fidelity.samples,
        "min_sqnr_db": args.min_sqnr,
        "min_top1": args.min_top1,
        "first_below": falls.map(|layer| &layer.name),
        "layers": fidelity.layers,
        "boards": boards,
    });
    if let Some(path) = &args.report {
        let model = args.model.file_name().unwrap_or_default().to_string_lossy();
        write_file(path, html::validation(&model, &figures, &inspect(&plan)).as_bytes())?;
    }
    if json {
        print_json(&figures)?;
    } else {
        print(&text(&fidelity, args.min_sqnr, &boards, verdict))?;
    }
    Ok(if good { Verdict::Good } else { Verdict::Bad })
}

/// A share of all samples.
fn share(word: &str) -> std::result::Result<f64, String> {
    word.parse()
        .ok()
        .filter(|value| (0.0..=1.0).contains(value))
        .ok_or_else(|| "give a number from 0 to 1, such as 0.95".into())
}

/// A threshold: a number, since nothing is above or below what is none.
fn decibels(word: &str) -> std::result::Result<f64, String> {
    word.parse()
        .ok()
        .filter(|value: &f64| value.is_finite())
        .ok_or_else(|| "give a number of decibels, such as 20".into())
}

fn text(fidelity: &Fidelity, threshold: f64, boards: &[BoardResult], verdict: &str) -> String {
    let mut table =
        Table::new(&[("#", Right), ("operator", Left), ("SQNR dB", Right), ("", Left), ("name", Left)]);
    let falls = fidelity.first_below(threshold).map(|layer| layer.name.as_str());
    for (index, layer) in fidelity.layers.iter().enumerate() {
        let db = layer.sqnr_db.map_or("-".to_owned(), |db| format!("{db:.1}"));
        let mark = if falls == Some(&layer.name) { "<- first below" } else { "" };
        table.row([index.to_string(), layer.op.clone(), db, mark.to_owned(), short(&layer.name)]);
    }
    let mut out = table.to_string();
    for board in boards {
        let state = match &board.first_difference {
            None if board.bit_equal => "bit-equal to this machine, operator by operator".to_owned(),
            None => "its outputs differ from this machine's".to_owned(),
            Some(at) => format!("differs first at operator {} ({}) of sample {}", at.op, at.name, at.sample),
        };
        out += &format!("{}: {state}\n", board.board);
    }
    out + &format!(
        "{}: output {:.1} dB (at least {threshold:.1}), same best class {:.1} %, {} samples\n",
        verdict.to_uppercase(),
        fidelity.sqnr_db,
        100.0 * fidelity.top1_agreement,
        fidelity.samples
    )
}

/// Uniform integers over each input's whole range.
fn noise(plan: &RawPlan<'_>) -> Result<Vec<Case>> {
    let mut rng = fastrand::Rng::with_seed(2);
    (0..NOISE)
        .map(|_| {
            let arrays = plan.inputs().filter_map(|port| {
                let tensor = plan.tensor(port.tensor).ok()?;
                let dims: Vec<usize> =
                    tensor.dims[4 - tensor.rank as usize..].iter().map(|&dim| dim as usize).collect();
                let (low, high) = tensor.dtype.range();
                let (scale, zero) = (tensor.scale, tensor.zero_point);
                let data =
                    (0..tensor.elements()).map(|_| scale * (rng.i32(low..=high) - zero) as f32).collect();
                Some(Array::new(&dims, ArrayData::F32(data)))
            });
            Ok(Case::Arrays(arrays.collect::<Result<_>>()?))
        })
        .collect()
}
