//! `mixel inspect`.

use std::fmt::Write;
use std::path::PathBuf;

use super::model::{ModelArgs, load};
use super::{Verdict, print, print_json};
use crate::compile::{CalibrationData, CompileOptions, Target, prepare};
use crate::inspect::{Inspection, PortFacts, inspect};
use crate::report::Align::{Left, Right};
use crate::report::arena::{letter, picture};
use crate::report::{Table, grouped, short};
use crate::run::open;
use crate::{ErrorKind, Result};

/// Show the operators, types, quantization, work and memory of a model or plan
#[derive(clap::Args)]
pub struct Args {
    /// A model or a plan
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Processor, when FILE is a model
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let mut loaded = load(&args.file, &args.model, args.target);
    if loaded.as_ref().is_err_and(|error| error.kind == ErrorKind::Calibration) && args.model.calib.is_none()
    {
        // A float model has operators and memory without calibration too; only its scales need real inputs.
        eprintln!("note: a float model without --calib; scales and zero points are those of random inputs");
        let options = CompileOptions { calibration: CalibrationData::Random, ..args.model.options(false)? };
        loaded = prepare(&args.file, &options).and_then(|prepared| Ok(prepared.compile(args.target)?.plan));
    }
    let plan = loaded?;
    let plan = open(&plan, &args.file.display().to_string())?;
    let facts = inspect(&plan);
    if json {
        print_json(&facts)?;
    } else {
        print(&text(&facts))?;
    }
    Ok(Verdict::Good)
}

fn text(facts: &Inspection) -> String {
    let mut out = String::new();
    let bytes = |bytes: usize| grouped(bytes as u64);
    let mut line = |text: String| out += &(text + "\n");
    line(format!("layout   {}", facts.layout));
    line(format!("work     {} MACs in {} operators", grouped(facts.macs), facts.ops.len()));
    line(format!(
        "plan     {} bytes, {} of them weights and tables",
        bytes(facts.plan_bytes),
        bytes(facts.weights_bytes)
    ));
    line(format!(
        "arena    {} bytes: tensors and scratch memory, at most {}, in {}, state {}",
        bytes(facts.arena_bytes),
        bytes(facts.scratch_bytes),
        bytes(facts.arena_bytes - facts.state_bytes),
        bytes(facts.state_bytes)
    ));
    if let Some(rows) = facts.max_rows {
        line(format!("rows     at most {rows}"));
    }
    if let Some(text) = facts.front_end {
        line(format!(
            "text     up to {} words, {} hashes into {} bins, window {}, head {}",
            text.words, text.hashes, text.bins, text.window, text.head
        ));
    }
    if let Some(image) = facts.image {
        line(format!("image    pixels from {} to {}, head {}", image.low, image.high, image.head));
    }
    for (what, ports) in [("input", &facts.inputs), ("output", &facts.outputs)] {
        for PortFacts { name, interface, tensor } in ports {
            let quantization = tensor.quantization();
            let real =
                if quantization.is_empty() { String::new() } else { format!(", real = {quantization}") };
            line(format!(
                "{what:<8} {name}: {} {interface}, {} in the plan{real}",
                tensor.shape, tensor.dtype
            ));
        }
    }
    if !facts.labels.is_empty() {
        line(format!("labels   {}", facts.labels.join(", ")));
    }
    let head = [("#", Right), ("operator", Left), ("input", Left), ("output", Left), ("type", Left)];
    let mut table = Table::new(
        &[
            &head[..],
            &[("real value", Left), ("MACs", Right), ("weights", Left), ("scratch", Right), ("name", Left)],
        ]
        .concat(),
    );
    for (index, op) in facts.ops.iter().enumerate() {
        let shapes: Vec<&str> = op.inputs.iter().map(|tensor| tensor.shape.as_str()).collect();
        let Some(output) = op.outputs.first() else { continue };
        table.row([
            index.to_string(),
            op.op.clone(),
            shapes.join(" "),
            output.shape.clone(),
            output.dtype.to_owned(),
            output.quantization(),
            grouped(op.macs),
            op.weights.map_or(String::new(), |weights| format!("{} {}", weights.form, bytes(weights.bytes))),
            bytes(op.scratch_bytes),
            short(&op.name),
        ]);
    }
    let _ = write!(out, "\n{table}\n");
    let _ = writeln!(
        out,
        "arena over time: operators from left to right, bytes from the bottom up\n{}",
        picture(facts)
    );
    let mut map = Table::new(&[
        ("", Left),
        ("arena from", Right),
        ("to", Right),
        ("bytes", Right),
        ("operators", Left),
        ("tensor", Left),
    ]);
    for (index, region) in facts.arena.iter().enumerate() {
        map.row([
            letter(index).to_string(),
            bytes(region.offset),
            bytes(region.offset + region.bytes),
            bytes(region.bytes),
            format!("{}-{}", region.first, region.last),
            short(&region.tensor),
        ]);
    }
    let _ = write!(out, "{map}");
    out
}
