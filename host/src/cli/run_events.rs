//! `mixel run --events`: an answer a window, and what was left out.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mixel_core::event_session::{Seen, Stage};
use mixel_core::plan::{FrontEnd, Plan};
use serde_json::json;

use super::events::Damaged;
use super::run::best;
use super::{Verdict, print, print_json};
use crate::device::{Board, EventRun, Unit, run_events};
use crate::events::{Answered, Format, Recording, answers, encode, read_bytes};
use crate::report::Align::{Left, Right};
use crate::report::Table;
use crate::samples::reals;
use crate::{Error, ErrorKind, Result};

pub fn run(
    plan: Plan<'_>,
    recordings: &[PathBuf],
    damaged: Damaged,
    board: Option<&Board>,
    json: bool,
) -> Result<Verdict> {
    let FrontEnd::Events(front_end) = plan.front_end() else {
        return Err(Error::new(ErrorKind::Input, "--events", "this model takes no events")
            .hint("give its inputs as arrays: --input IN.npz"));
    };
    let mut described = Vec::new();
    for path in recordings {
        let recording = Recording::read_as(path, &damaged.reading(Some(front_end.histogram.geometry)))?;
        let (answered, seen) = match board {
            Some(board) => {
                let bytes = for_board(path, &recording, damaged)?;
                let runs = run_events(board, plan.bytes(), &[bytes], Duration::from_secs(300))?;
                let run = runs.into_iter().next();
                let seen = run.as_ref().map(|run| run.seen()).unwrap_or_default();
                if let Some(run) = run.as_ref().filter(|_| !json) {
                    print(&stages(run))?;
                }
                (run.map(|run| run.answers).unwrap_or_default(), seen)
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

/// What a board gets: the file itself, or its events as DAT where the core has no decoder for it or the board would read it otherwise.
fn for_board(path: &Path, recording: &Recording, damaged: Damaged) -> Result<Vec<u8>> {
    if recording.encoding.is_some() && !damaged.any() {
        return read_bytes(path);
    }
    let mut recording = recording.clone();
    // Events carry the lower 32 bits of the time, and DAT begins with them: whole turns of these are taken away.
    let start = recording.start().unwrap_or(0);
    recording.move_back(start & !u64::from(u32::MAX));
    encode(&recording, Format::Dat).map_err(|error| Error { path: path.display().to_string(), ..error })
}

/// Where the time goes on a board.
fn stages(run: &EventRun) -> String {
    let unit = if run.unit == Unit::Instructions { "instructions" } else { "cycles" };
    let mut table = Table::new(&[("stage", Left), (unit, Right), ("a window", Right), ("an event", Right)]);
    let windows = run.answers.len().max(1) as u64;
    // Taking the answer is the runner's work.
    for (stage, &count) in Stage::ALL.iter().zip(&run.stages).take(Stage::ALL.len() - 1) {
        let event = count as f64 / f64::from(run.events.max(1));
        let row =
            [format!("{stage:?}"), count.to_string(), (count / windows).to_string(), format!("{event:.1}")];
        table.row(row);
    }
    format!("{table}arena {} bytes\n", run.arena_bytes)
}

/// Scores of the first output.
fn scores(plan: &Plan<'_>, answered: &Answered) -> Vec<f32> {
    let tensor = plan.outputs().next().and_then(|port| plan.port_tensor(&port).ok());
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
