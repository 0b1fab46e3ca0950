//! `mixel run --image`: another picture, or the class of each.

use std::path::{Path, PathBuf};

use mixel_core::plan::Plan;
use serde_json::{Value, json};

use super::run::best;
use super::{Verdict, print, print_json};
use crate::device::Board;
use crate::image::{Answer, Pictures, is_png, read_png, write_png};
use crate::report::Align::{Left, Right};
use crate::report::{Progress, Table};
use crate::{Error, ErrorKind, Result};

pub fn run(
    plan: Plan<'_>,
    files: &[PathBuf],
    output: Option<&Path>,
    board: Option<&Board>,
    json: bool,
) -> Result<Verdict> {
    let model = Pictures::of(&plan)?;
    let refuse =
        |message: &str, hint: &str| Err(Error::new(ErrorKind::Usage, "--output", message).hint(hint));
    match (model.output, output, files) {
        (Some(_), None, _) => return refuse("is missing: the answer is a picture", "give --output OUT.png"),
        (Some(_), _, [_, _, ..]) => return refuse("is one picture, --image are several", "give one --image"),
        (None, Some(_), _) => {
            return refuse("is for pictures, this model gives classes", "leave it out, or use --json");
        }
        (Some(_), Some(output), _) if !is_png(output) => {
            return refuse("is not called like a PNG file, which is what is written", "end it in .png");
        }
        _ => {}
    }
    let mut table = Table::new(&[("picture", Left), ("answer", Left), ("score", Right), ("next", Left)]);
    let mut answers = Vec::new();
    let place = board.map_or("this machine", |board| board.name);
    let progress = Progress::new(format!("running {} pictures on {place}", files.len()));
    for (index, file) in files.iter().enumerate() {
        progress.step(index, files.len());
        let name = file.display().to_string();
        let about = |error: Error| {
            if error.path.is_empty() { Error { path: name.clone(), ..error } } else { error }
        };
        match model.answer(plan, &read_png(file)?, board).map_err(about)? {
            Answer::Picture(picture) => {
                let Some(output) = output else { continue };
                write_png(output, &picture)?;
                let (width, height) = (picture.width(), picture.height());
                answers.push(json!({
                    "picture": name, "output": output.display().to_string(), "width": width, "height": height,
                }));
                eprintln!("{}: {width}x{height} pixels", output.display());
            }
            Answer::Scores(scores) => {
                let best = best(&plan, &scores);
                let next: Vec<String> =
                    best.iter().skip(1).map(|(class, score)| format!("{class} {score:.4}")).collect();
                let (class, score) = best.first().cloned().unwrap_or_default();
                let classes: Vec<Value> =
                    best.iter().map(|(label, score)| json!({ "label": label, "score": score })).collect();
                answers.push(json!({ "picture": name, "best": classes }));
                table.row([name, class, format!("{score:.4}"), next.join(", ")]);
            }
        }
    }
    drop(progress);
    if json {
        print_json(&json!({ "board": board.map(|board| board.name), "answers": answers }))?;
    } else if model.output.is_none() {
        print(&table.to_string())?;
    }
    Ok(Verdict::Good)
}
