//! `mixel compile`.

use std::path::PathBuf;

use serde_json::json;

use super::model::ModelArgs;
use super::{Verdict, apart, print, print_json, write_file};
use crate::Result;
use crate::compile::{SetFor, Target, operator_set};
use crate::inspect::inspect;
use crate::report::grouped;
use crate::run::open;

/// Compile an ONNX model to a plan
#[derive(clap::Args)]
pub struct Args {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// The plan to write
    #[arg(short, value_name = "OUT.mxl")]
    output: PathBuf,
    /// Processor whose kernels the weights are packed for
    #[arg(long, value_enum, default_value_t)]
    target: Target,
    #[command(flatten)]
    options: ModelArgs,
    /// Leave the operators' names out
    #[arg(long)]
    strip: bool,
    /// Also write the plan's operator set as Rust source, for firmware that carries this plan only
    #[arg(long, value_name = "FILE")]
    ops_rs: Option<PathBuf>,
    /// Let the operator set take every plan that needs no more, which the device verifies, instead of this one that is verified here
    #[arg(long, requires = "ops_rs")]
    any_plan: bool,
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    apart(&args.output, &args.model)?;
    let compiled = args.options.prepare(&args.model, args.strip)?.compile(args.target)?;
    let plan = open(&compiled.plan, "")?;
    write_file(&args.output, &compiled.plan)?;
    if let Some(path) = &args.ops_rs {
        write_file(path, operator_set(&plan, SetFor::of(args.any_plan)).as_bytes())?;
    }
    let facts = inspect(&plan);
    let bound = compiled.placement.lower_bound + facts.state_bytes;
    if json {
        print_json(&json!({
            "plan": args.output.display().to_string(),
            "layout": facts.layout,
            "arena_bytes": facts.arena_bytes,
            "arena_bytes_lower_bound": bound,
            "scratch_bytes": facts.scratch_bytes,
            "weights_bytes": facts.weights_bytes,
            "plan_bytes": facts.plan_bytes,
            "macs": facts.macs,
            "ops": facts.ops.len(),
            "strips": compiled.gains,
        }))?;
    } else {
        print(&format!(
            "{}: {} operators, {} MACs, layout {}\n  plan   {:>11} bytes, {} of them weights and tables\n  arena  \
             {:>11} bytes (no placement is below {}), scratch memory at most {}, state {}\n",
            args.output.display(),
            facts.ops.len(),
            grouped(facts.macs),
            facts.layout,
            grouped(facts.plan_bytes as u64),
            grouped(facts.weights_bytes as u64),
            grouped(facts.arena_bytes as u64),
            grouped(bound as u64),
            grouped(facts.scratch_bytes as u64),
            grouped(facts.state_bytes as u64),
        ))?;
        for gain in &compiled.gains {
            print(&format!(
                "  strips {:>11} rows each, operators {} to {}: arena {} bytes instead of {}, for {} more operator calls and {} \
                 bytes moved, {} instructions about\n",
                gain.rows,
                gain.operators.0,
                gain.operators.1,
                grouped(gain.arena_bytes.1 as u64),
                grouped(gain.arena_bytes.0 as u64),
                grouped(gain.extra_calls as u64),
                grouped(gain.moved_bytes as u64),
                grouped(gain.extra_instructions as u64),
            ))?;
        }
    }
    Ok(Verdict::Good)
}
