//! `mixel profile`.

use std::path::PathBuf;

use mixel_core::plan::Plan;
use serde_json::{Value, json};

use super::model::{InputArgs, ModelArgs, load};
use super::{Verdict, print, print_json, write_file};
use crate::Result;
use crate::compile::{SetFor, operator_set};
use crate::device::{self, FlashProfile, Sample, board, flash_bytes};
use crate::inspect::{Inspection, inspect};
use crate::report::Align::{Left, Right};
use crate::report::html;
use crate::report::trace::{Slice, trace};
use crate::report::{Progress, Table, grouped, short};
use crate::run::open;
use crate::samples::sample;
use crate::validate::target_of;
use crate::{Error, ErrorKind};

/// Measure where time and memory go on a board
#[derive(clap::Args)]
pub struct Args {
    /// A model or a plan
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The board
    #[arg(long, value_name = "BOARD")]
    board: String,
    /// Timed runs, of which the middle one is shown
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Write a trace that Perfetto opens
    #[arg(long, value_name = "T.json")]
    trace: Option<PathBuf>,
    /// What the firmware is built for whose flash is measured
    #[arg(long, value_enum, default_value_t)]
    flash: FlashProfile,
    /// Measure the flash of firmware that takes every plan that needs no more, and verifies it on the device
    #[arg(long)]
    any_plan: bool,
    /// Write a report to open in a browser
    #[arg(long, value_name = "R.html")]
    report: Option<PathBuf>,
    #[command(flatten)]
    inputs: InputArgs,
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let board = board(&args.board)?;
    let bytes = load(&args.file, &args.model, target_of(board)?)?;
    let plan = open(&bytes, &args.file.display().to_string())?;
    let case = args.inputs.cases(&plan)?.and_then(|cases| cases.into_iter().next());
    let input = match case {
        Some(case) => sample(&plan, &case)?,
        None => zeros(&plan),
    };
    let measured = {
        let _progress = Progress::new(format!("measuring on {}", board.name));
        let options = device::Options { runs: args.runs, ..device::Options::default() };
        device::run(board, &bytes, &[input], &options)?
    };
    let lacking = || Error::new(ErrorKind::Device, board.name, "the board gave no measurements");
    let profile = measured.profile.ok_or_else(lacking)?;
    let flash = {
        let _progress = Progress::new("measuring flash");
        flash_bytes(board, &bytes, &operator_set(&plan, SetFor::of(args.any_plan)), args.flash)?
    };
    let facts = inspect(&plan);
    let unit = profile.unit.name();
    let counts: Vec<u64> = profile.ops.iter().map(|spread| spread.median).collect();
    let total = profile.total.median;
    if let Some(path) = &args.trace {
        let slices: Vec<Slice<'_>> = facts
            .ops
            .iter()
            .zip(&counts)
            .map(|(op, &count)| Slice { name: &op.name, op: &op.op, count, macs: op.macs })
            .collect();
        let model = args.file.file_stem().unwrap_or_default().to_string_lossy();
        write_file(path, trace(&model, board.name, unit, &slices).to_string().as_bytes())?;
    }
    let ops: Vec<Value> = facts
        .ops
        .iter()
        .zip(&profile.ops)
        .map(|(op, spread)| {
            json!({
                "name": op.name, "op": op.op, "macs": op.macs, "count": spread.median,
                "min": spread.min, "max": spread.max, "shape": op.outputs.first().map(|output| &output.shape),
            })
        })
        .collect();
    let figures = json!({
        "board": board.name,
        "unit": unit,
        "runs": args.runs,
        "total": total,
        "total_min": profile.total.min,
        "total_max": profile.total.max,
        "macs": facts.macs,
        "arena_bytes": facts.arena_bytes,
        "stack_bytes": profile.stack_bytes,
        "flash_bytes": flash.firmware,
        "flash_profile": args.flash.name(),
        "flash_any_plan": args.any_plan,
        "plan_bytes": facts.plan_bytes,
        "ops": ops,
    });
    if let Some(path) = &args.report {
        let model = args.file.file_name().unwrap_or_default().to_string_lossy();
        write_file(path, html::profile(&model, &figures, &facts).as_bytes())?;
    }
    if json {
        print_json(&figures)?;
    } else {
        print(&text(&facts, &counts, total, unit))?;
        print(&format!(
            "memory: arena {} bytes, stack {}; flash: firmware {} (built for {}{}), plan {}\n",
            grouped(facts.arena_bytes as u64),
            grouped(profile.stack_bytes.into()),
            grouped(flash.firmware),
            args.flash.name(),
            if args.any_plan { ", verifies any plan" } else { "" },
            grouped(facts.plan_bytes as u64),
        ))?;
    }
    Ok(Verdict::Good)
}

/// Every input at its zero.
fn zeros(plan: &Plan<'_>) -> Sample {
    let inputs = plan.inputs().filter_map(|port| plan.port_tensor(&port).ok()).map(|tensor| {
        let zero = tensor.zero_point.to_le_bytes();
        let zero = &zero[..tensor.dtype.size()];
        std::iter::repeat_n(zero, tensor.elements()).flatten().copied().collect()
    });
    Sample::Tensors { rows: None, inputs: inputs.collect() }
}

fn text(facts: &Inspection, counts: &[u64], total: u64, unit: &str) -> String {
    let mut table = Table::new(&[
        ("#", Right),
        ("operator", Left),
        ("output", Left),
        ("MACs", Right),
        (unit, Right),
        ("share", Right),
        ("per MAC", Right),
        ("name", Left),
    ]);
    let share = |count: u64| format!("{:.1} %", 100.0 * count as f64 / total.max(1) as f64);
    let per_mac = |count: u64, macs: u64| match macs {
        0 => String::new(),
        macs => format!("{:.2}", count as f64 / macs as f64),
    };
    for (index, (op, &count)) in facts.ops.iter().zip(counts).enumerate() {
        table.row([
            index.to_string(),
            op.op.clone(),
            op.outputs.first().map_or(String::new(), |output| output.shape.clone()),
            grouped(op.macs),
            grouped(count),
            share(count),
            per_mac(count, op.macs),
            short(&op.name),
        ]);
    }
    table.row([
        String::new(),
        "all".into(),
        String::new(),
        grouped(facts.macs),
        grouped(total),
        share(total),
        per_mac(total, facts.macs),
    ]);
    table.to_string()
}
