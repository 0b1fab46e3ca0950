//! Measures kernels and models; `cargo xtask bench` builds and runs it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use mixel::inspect::inspect;
use mixel::run::open;
use mixel_benches::board::{Counter, Counts, counters};
use mixel_benches::definition::{Kernel, Model, kernels, locate, models};
use mixel_benches::engine::{Engine, Entry, HERE, noise, ours, prepared, rivals};
use mixel_benches::kernel;
use mixel_benches::record::{KernelRecord, ModelRecord, Record, Time};
use mixel_benches::rounds::{Times, measure};

/// Instructions on emulated boards and times on this machine, of kernels and models, beside other engines
#[derive(Parser)]
struct Args {
    /// Only this: `kernels`, `models`, or the name of one (part of a kernel's name is enough); may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Only this board; `none` for none of them; may be repeated
    #[arg(long, value_name = "BOARD")]
    board: Vec<String>,
    /// Rounds in which the engines take turns; 0 leaves out times
    #[arg(long, default_value_t = 21)]
    rounds: u32,
    /// Python with LiteRT and ONNX Runtime
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// Why there is no Python
    #[arg(long, value_name = "WHY", default_value = "no --python was given")]
    no_python: String,
    /// Write the record into benches/records, with this note on the machine
    #[arg(long, value_name = "NOTE")]
    record: Option<String>,
}

impl Args {
    /// Whether `name` of the `group` is asked for.
    fn wants(&self, group: &str, name: &str) -> bool {
        let hits =
            |only: &String| only == group || only == name || group == "kernels" && name.contains(&**only);
        self.only.is_empty() || self.only.iter().any(hits)
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let kernels: Vec<Kernel> =
        kernels()?.into_iter().filter(|kernel| args.wants("kernels", &kernel.name)).collect();
    let models: Vec<Model> =
        models()?.into_iter().filter(|model| args.wants("models", &model.name)).collect();
    if kernels.is_empty() && models.is_empty() {
        return Err(format!(
            "nothing is called {}; benches/definitions has the names",
            args.only.join(" or ")
        ));
    }
    let mut record = Record::here(args.record.as_deref().unwrap_or_default());
    let (counters, lacking) = counters(&args.board);
    for (board, reason) in lacking {
        record.skip(board, reason);
    }
    for kernel in &kernels {
        let measured = measure_kernel(kernel, &counters, args, &mut record);
        record.kernels.push(measured.map_err(|error| format!("{}: {error}", kernel.name))?);
    }
    if !kernels.is_empty() {
        println!("{}", record.kernel_table());
    }
    for model in &models {
        let path = locate(&model.onnx);
        if !path.is_file() {
            record.skip(&model.name, format!("missing {}", path.display()));
            continue;
        }
        let measured = measure_model(model, &counters, args, &mut record);
        record.models.push(measured.map_err(|error| format!("{}: {error}", model.name))?);
    }
    if !record.models.is_empty() {
        println!("{}", record.model_tables());
    }
    if args.record.is_some() {
        let path = record.path();
        let text = serde_json::to_string_pretty(&record).map_err(|error| error.to_string())?;
        std::fs::write(&path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
        println!("written to {}", path.display());
    }
    Ok(())
}

fn measure_kernel(
    definition: &Kernel,
    counters: &[Counter],
    args: &Args,
    record: &mut Record,
) -> mixel::Result<KernelRecord> {
    eprintln!("{} ...", definition.name);
    let quantized = kernel::quantized(definition)?;
    let mut boards = Counts::new();
    for counter in counters {
        let plan = kernel::plan(&quantized, counter.target())?;
        boards.insert(counter.core(), counter.count(&plan, &noise(&plan, None)?)?);
    }
    let plan = kernel::plan(&quantized, HERE)?;
    let checked = open(&plan, "")?;
    let facts = inspect(&checked);
    let elements = quantized.graph.value(quantized.graph.outputs[0]).shape.elements();
    let measured = times(ours(&plan, &noise(&plan, None)?), args.rounds, &definition.name, record);
    Ok(KernelRecord {
        name: definition.name.clone(),
        operators: facts.ops.iter().map(|operator| operator.op.clone()).collect(),
        macs: facts.macs,
        elements: elements as u64,
        boards,
        cmsis_nn: definition.cmsis_nn.clone(),
        times: measured.iter().map(|(name, times)| (name.clone(), Time::from(times))).collect(),
    })
}

fn measure_model(
    model: &Model,
    counters: &[Counter],
    args: &Args,
    record: &mut Record,
) -> mixel::Result<ModelRecord> {
    eprintln!("{} ...", model.name);
    let prepared = prepared(model)?;
    let text = model.text.as_deref();
    let mut boards = Counts::new();
    for counter in counters {
        let plan = prepared.compile(counter.target())?.plan;
        boards.insert(counter.core(), counter.count(&plan, &noise(&plan, text)?)?);
    }
    let plan = prepared.compile(HERE)?.plan;
    let checked = open(&plan, "")?;
    let facts = inspect(&checked);
    let mut entries = ours(&plan, &noise(&plan, text)?);
    let python = args.python.as_deref().ok_or(args.no_python.as_str());
    if args.rounds > 0 {
        entries.extend(rivals(model, facts.max_rows.unwrap_or(1), python));
    }
    let fastest = entries.iter().find_map(|entry| entry.as_ref().ok().map(|engine| engine.name().to_owned()));
    let measured = times(entries, args.rounds, &model.name, record);
    let base = fastest.and_then(|name| measured.get(&name));
    let ratios = measured.iter().filter(|(name, _)| !name.starts_with("mixel"));
    let ratios = ratios.filter_map(|(name, times)| Some((name.clone(), base?.ratio(times)))).collect();
    Ok(ModelRecord {
        name: model.name.clone(),
        macs: facts.macs,
        boards,
        cmsis_nn: model.cmsis_nn.clone(),
        times: measured.iter().map(|(name, times)| (name.clone(), Time::from(times))).collect(),
        ratios,
    })
}

/// Times of the engines that are there; the others are noted as skipped.
fn times(entries: Vec<Entry>, rounds: u32, of: &str, record: &mut Record) -> BTreeMap<String, Times> {
    if rounds == 0 {
        return BTreeMap::new();
    }
    let mut engines: Vec<Box<dyn Engine>> = Vec::new();
    for entry in entries {
        match entry {
            Ok(engine) => engines.push(engine),
            // A backend that the machine lacks is lacking for all.
            Err((name, reason)) if name.starts_with("mixel") => record.skip(name, reason),
            Err((name, reason)) => record.skip(format!("{name} on {of}"), reason),
        }
    }
    let measured = measure(&mut engines, rounds);
    let mut all = BTreeMap::new();
    for (engine, times) in engines.iter().zip(measured) {
        match times {
            Ok(times) => drop(all.insert(engine.name().to_owned(), times)),
            Err(reason) => record.skip(format!("{} on {of}", engine.name()), reason),
        }
    }
    all
}
