//! `mixel run`.

use std::path::PathBuf;

use mixel_core::plan::{FrontEnd, Plan, TextHead};
use mixel_core::text::split_words;
use serde_json::{Value, json};

use super::events::Damaged;
use super::model::{InputArgs, ModelArgs, load};
use super::{Verdict, apart, print, print_json};
use crate::arrays::write_npz;
use crate::compile::Target;
use crate::device::{self, Sample, board};
use crate::report::Align::{Left, Right};
use crate::report::{Progress, Table};
use crate::run::{on_host, open};
use crate::samples::{Case, output_arrays, reals, sample};
use crate::validate::target_of;
use crate::{Error, ErrorKind, Result};

/// Run a model or plan on inputs, here or on a board
#[derive(clap::Args)]
pub struct Args {
    /// A model or a plan
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    inputs: InputArgs,
    /// Outputs to write: arrays by output name; of a model from picture to picture a PNG
    #[arg(long, value_name = "OUT.npz|OUT.png")]
    output: Option<PathBuf>,
    /// Write the plan's integers where the model gives real numbers
    #[arg(long)]
    raw: bool,
    /// Run on this board instead of this machine
    #[arg(long, value_name = "BOARD")]
    board: Option<String>,
    #[command(flatten)]
    damaged: Damaged,
    #[command(flatten)]
    model: ModelArgs,
}

/// Samples, and rows of each, of which the answer is printed when the inputs are arrays.
const SHOWN: usize = 20;
/// Classes of a sample that are printed.
const BEST: usize = 3;

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let board = args.board.as_deref().map(board).transpose()?;
    if let Some(output) = &args.output {
        apart(output, &args.file)?;
        args.inputs.input.iter().chain(&args.inputs.image).try_for_each(|input| apart(output, input))?;
    }
    let target = board.map_or(Ok(Target::Generic), target_of)?;
    let bytes = load(&args.file, &args.model, target)?;
    let plan = open(&bytes, &args.file.display().to_string())?;
    if let Some(recordings) = args.inputs.recordings()? {
        if args.output.is_some() || args.raw {
            let name = if args.raw { "--raw" } else { "--output" };
            return Err(Error::new(
                ErrorKind::Usage,
                name,
                "is for arrays, the answers over events are windows",
            )
            .hint("leave it out; --json prints the scores of every window"));
        }
        return super::run_events::run(plan, &recordings, args.damaged, board, json);
    }
    if args.damaged.any() {
        return Err(Error::new(ErrorKind::Usage, "", "--format and --max-step are for recordings")
            .hint("give --events RECORDING, or leave them out"));
    }
    if let Some(pictures) = args.inputs.pictures()? {
        return super::run_image::run(plan, &pictures, args.output.as_deref(), board, json);
    }
    let cases = args.inputs.cases(&plan)?.ok_or_else(|| {
        Error::new(ErrorKind::Usage, "", "no input")
            .hint("give --input IN.npz, --text, --text-file, --events or --image")
    })?;
    let samples: Vec<Sample> = cases.iter().map(|case| sample(&plan, case)).collect::<Result<_>>()?;
    let outputs = {
        let place = board.map_or("this machine", |board| board.name);
        let _progress = Progress::new(format!("running {} samples on {place}", samples.len()));
        match board {
            Some(board) => device::run(board, &bytes, &samples, &device::Options::default())?.outputs,
            None => on_host(plan, &samples, &mut |_, _, _| ())?,
        }
    };
    let rows: Vec<Option<usize>> = samples.iter().map(rows).collect();
    let arrays = output_arrays(&plan, &outputs, &rows, args.raw)?;
    if let Some(path) = &args.output {
        write_npz(path, &arrays)?;
    }
    if json {
        let described = arrays.iter().map(
            |(name, array)| json!({ "name": name, "shape": array.dims, "dtype": array.data.type_name() }),
        );
        let answers: Vec<Value> =
            cases.iter().zip(&outputs).map(|(case, out)| answer(&plan, case, out)).collect();
        print_json(&json!({
            "samples": samples.len(),
            "board": board.map(|board| board.name),
            "outputs": described.collect::<Vec<_>>(),
            "answers": answers,
        }))?;
    } else {
        for (name, array) in &arrays {
            let place = args.output.as_ref().map_or(String::new(), |path| format!(" -> {}", path.display()));
            eprintln!("{name}: {} {:?}{place}", array.data.type_name(), array.dims);
        }
        if args.output.is_none() || matches!(cases.first(), Some(Case::Text(_))) {
            print(&text(&plan, &cases, &outputs))?;
        }
    }
    Ok(Verdict::Good)
}

fn rows(sample: &Sample) -> Option<usize> {
    match sample {
        Sample::Tensors { rows, .. } => rows.map(|rows| rows as usize),
        Sample::Text(_) => None,
    }
}

/// One row of scores: its classes, best first, at most [`BEST`].
pub(super) fn best(plan: &Plan<'_>, scores: &[f32]) -> Vec<(String, f32)> {
    let labels: Vec<&str> = plan.labels().collect();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // Stable: of equal scores the first class wins, as an argmax has it.
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let name =
        |class: usize| labels.get(class).map_or_else(|| class.to_string(), |label| (*label).to_owned());
    order.into_iter().take(BEST).map(|class| (name(class), scores[class])).collect()
}

/// The first output of a sample as rows of scores, each with the word that it is about, if it is about one.
fn scores(plan: &Plan<'_>, case: &Case, outputs: &[Vec<u8>]) -> Vec<(Option<String>, Vec<f32>)> {
    let tensor = plan.outputs().next().and_then(|port| plan.port_tensor(&port).ok());
    let (Some(tensor), Some(bytes)) = (tensor, outputs.first()) else { return Vec::new() };
    let values = reals(&tensor, bytes);
    let rows = values.chunks(tensor.inner()).map(<[f32]>::to_vec);
    match (plan.front_end(), case) {
        (FrontEnd::Text { head: TextHead::Tokens, .. }, Case::Text(text)) => split_words(text.as_bytes())
            .map(|word| Some(String::from_utf8_lossy(word).into_owned()))
            .zip(rows)
            .collect(),
        _ => rows.map(|row| (None, row)).collect(),
    }
}

fn answer(plan: &Plan<'_>, case: &Case, outputs: &[Vec<u8>]) -> Value {
    let rows: Vec<Value> = scores(plan, case, outputs)
        .iter()
        .map(|(word, scores)| {
            let best = best(plan, scores);
            let classes: Vec<Value> =
                best.iter().map(|(label, score)| json!({ "label": label, "score": score })).collect();
            match word {
                Some(word) => json!({ "word": word, "best": classes }),
                None => json!({ "best": classes }),
            }
        })
        .collect();
    match case {
        Case::Text(text) => json!({ "text": text, "rows": rows }),
        Case::Arrays(_) => json!({ "rows": rows }),
    }
}

fn text(plan: &Plan<'_>, cases: &[Case], outputs: &[Vec<Vec<u8>>]) -> String {
    let mut table = Table::new(&[("sample", Left), ("answer", Left), ("score", Right), ("next", Left)]);
    let all = cases.iter().any(|case| matches!(case, Case::Text(_)));
    let shown = if all { cases.len() } else { SHOWN };
    for (index, (case, outputs)) in cases.iter().zip(outputs).take(shown).enumerate() {
        let rows = scores(plan, case, outputs);
        let count = if all { rows.len() } else { SHOWN };
        for (word, scores) in rows.into_iter().take(count) {
            let sample = match (&word, case) {
                (Some(word), _) => word.clone(),
                (None, Case::Text(text)) => text.clone(),
                (None, Case::Arrays(_)) => index.to_string(),
            };
            let best = best(plan, &scores);
            let next: Vec<String> =
                best.iter().skip(1).map(|(label, score)| format!("{label} {score:.4}")).collect();
            if let Some((label, score)) = best.first() {
                table.row([sample, label.clone(), format!("{score:.4}"), next.join(", ")]);
            }
        }
    }
    let more = cases.len().saturating_sub(shown);
    if more > 0 { format!("{table}... and {more} samples more\n") } else { table.to_string() }
}
