//! `mixel run --events`: an answer a window, and what was left out.

use std::path::PathBuf;

use mixel_core::event_session::Seen;
use mixel_core::plan::{FrontEnd, Plan};
use serde_json::json;

use super::run::best;
use super::{Verdict, print, print_json};
use crate::device::Board;
use crate::events::{Answered, Recording, answers};
use crate::report::Align::{Left, Right};
use crate::report::Table;
use crate::samples::reals;
use crate::{Error, ErrorKind, Result};

pub fn run(plan: Plan<'_>, recordings: &[PathBuf], board: Option<&Board>, json: bool) -> Result<Verdict> {
    let FrontEnd::Events(front_end) = plan.front_end() else {
        return Err(Error::new(ErrorKind::Input, "--events", "this model takes no events")
            .hint("give its inputs as arrays: --input IN.npz"));
    };
    let mut described = Vec::new();
    for path in recordings {
        let recording = Recording::read(path, Some(front_end.histogram.geometry))?;
        let (answered, seen) = match board {
            Some(board) => {
                return Err(Error::new(
                    ErrorKind::Usage,
                    board.name,
                    "recordings are run on this machine only",
                )
                .hint("leave --board out"));
            }
            None => answers(plan, [&recording.plain()[..]])?,
        };
        let name = path.display().to_string();
        if json {
            described.push(described_as_json(&plan, &name, &recording, &answered, &seen));
        } else {
            print(&text(&plan, &name, &recording, &answered, &seen))?;
        }
    }
    if json {
        print_json(&json!({ "board": board.map(|board| board.name), "recordings": described }))?;
    }
    Ok(Verdict::Good)
}

/// Scores of the first output.
fn scores(plan: &Plan<'_>, answered: &Answered) -> Vec<f32> {
    let tensor = plan.outputs().next().and_then(|port| plan.tensor(port.tensor).ok());
    let (Some(tensor), Some(bytes)) = (tensor, answered.outputs.first()) else { return Vec::new() };
    reals(&tensor, bytes)
}

fn text(plan: &Plan<'_>, name: &str, recording: &Recording, answered: &[Answered], seen: &Seen) -> String {
    let mut table = Table::new(&[
        ("window ends at us", Right),
        ("events", Right),
        ("tokens", Right),
        ("dropped", Right),
        ("best classes", Left),
    ]);
    let classes = |answered: &Answered| {
        let best = best(plan, &scores(plan, answered));
        best.iter().map(|(class, score)| format!("{class} {score:.2}")).collect::<Vec<_>>().join("  ")
    };
    for answered in answered {
        table.row([
            answered.window.end.to_string(),
            answered.window.events.to_string(),
            answered.emitted.tokens.to_string(),
            answered.emitted.dropped_tokens.to_string(),
            classes(answered),
        ]);
    }
    let last = answered.last().map_or_else(|| "no window".to_owned(), classes);
    format!(
        "{name}: {} events of {}\n{table}at the end: {last}\n{} windows, {} skipped without events, {} tokens, {} beyond the \
         bound, {} events outside of the grid, {} violations in the stream\n",
        recording.events.len(),
        recording.format,
        seen.windows,
        seen.skipped,
        seen.tokens,
        seen.dropped_tokens,
        seen.outside,
        recording.counts.violations(),
    )
}

fn described_as_json(
    plan: &Plan<'_>,
    name: &str,
    recording: &Recording,
    answered: &[Answered],
    seen: &Seen,
) -> serde_json::Value {
    let labels: Vec<&str> = plan.labels().collect();
    let window = |answered: &Answered| {
        let scores = scores(plan, answered);
        let best = (0..scores.len()).rev().max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
        json!({
            "end_us": answered.window.end,
            "events": answered.window.events,
            "tokens": answered.emitted.tokens,
            "dropped_tokens": answered.emitted.dropped_tokens,
            "outside": answered.emitted.outside,
            "class": best,
            "label": best.and_then(|best| labels.get(best)),
            "scores": scores,
        })
    };
    json!({
        "recording": name,
        "format": recording.format,
        "events": recording.events.len(),
        "violations": recording.counts.violations(),
        "windows": answered.iter().map(window).collect::<Vec<_>>(),
        "skipped_windows": seen.skipped,
        "tokens": seen.tokens,
        "dropped_tokens": seen.dropped_tokens,
        "outside": seen.outside,
    })
}
