//! `mixel bench`.

use std::path::PathBuf;
use std::time::Instant;

use mixel_core::arch::Backend;
use mixel_core::plan::{DType, FrontEnd, Plan};
use mixel_core::profile::Observer;
use serde_json::{Value, json};

use super::model::InputArgs;
use super::{Verdict, print, print_json};
use crate::aligned::Aligned;
use crate::device::Sample;
use crate::inspect::inspect;
use crate::report::Align::{Left, Right};
use crate::report::{Table, short};
use crate::run::{feed, open, read_plan, session};
use crate::samples::sample;
use crate::{Error, ErrorKind, Result};

/// Runs before the first one that counts.
const WARM_UP: u32 = 20;

/// Measure the time of one inference on this machine, with one thread
#[derive(clap::Args)]
pub struct Args {
    /// A plan
    #[arg(value_name = "FILE.mxl")]
    file: PathBuf,
    /// Timed runs
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The instructions to use, instead of the fastest that the machine has
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// The time of every operator too, measured in runs of their own
    #[arg(long)]
    profile: bool,
    #[command(flatten)]
    inputs: InputArgs,
}

/// The backend called `name`, if this machine has it.
fn backend(name: Option<&str>) -> Result<Backend> {
    let Some(name) = name else { return Ok(Backend::best()) };
    let names = |backends: &mut dyn Iterator<Item = &Backend>| {
        backends.map(|backend| backend.name()).collect::<Vec<_>>().join(", ")
    };
    let Some(&backend) = Backend::ALL.iter().find(|backend| backend.name() == name) else {
        return Err(Error::new(ErrorKind::Usage, "--backend", format!("there is no backend `{name}`"))
            .hint(format!("the backends are {}", names(&mut Backend::ALL.iter()))));
    };
    Backend::with(backend).ok_or_else(|| {
        let here = names(&mut Backend::ALL.iter().filter(|backend| backend.available()));
        Error::new(ErrorKind::Device, "--backend", format!("this machine has no {name}"))
            .hint(format!("it has {here}"))
    })
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let backend = backend(args.backend.as_deref())?;
    let name = args.file.display().to_string();
    let bytes = read_plan(&args.file)?;
    let plan = open(&bytes, &name)?;
    let case = args.inputs.cases(&plan)?.and_then(|cases| cases.into_iter().next());
    let sample = match case {
        Some(case) => sample(&plan, &case)?,
        None => noise(&plan),
    };
    let facts = inspect(&plan);
    let mut arena = Aligned::zeroed(plan.arena_bytes());
    let mut session = session(plan, &mut arena)?;
    session.set_backend(backend).ok_or_else(|| Error::new(ErrorKind::Internal, "", "the backend is gone"))?;
    let mut times = Vec::with_capacity(args.runs as usize);
    for run in 0..WARM_UP + args.runs {
        // Inputs are overwritten by a run; filling them is not part of it.
        feed(&mut session, 0, &sample)?;
        let start = Instant::now();
        session.run();
        let time = start.elapsed().as_nanos() as u64;
        if run >= WARM_UP {
            times.push(time);
        }
    }
    let mut clock = Operators { started: Instant::now(), times: vec![Vec::new(); facts.ops.len()] };
    for _ in 0..if args.profile { args.runs } else { 0 } {
        feed(&mut session, 0, &sample)?;
        session.run_observed(&mut clock);
    }
    let median = micros(middle(&mut times));
    let min = micros(times.first().copied().unwrap_or(0));
    let operators: Vec<f64> = clock.times.iter_mut().map(|times| micros(middle(times))).collect();
    if json {
        let mut answer = json!({
            "median_us": median, "min_us": min, "runs": args.runs, "backend": backend.name(),
            "layout": format!("{:?}", session.plan().layout()), "threads": 1,
        });
        if args.profile {
            let ops = facts.ops.iter().zip(&operators);
            let ops: Vec<Value> = ops
                .map(|(op, time)| json!({"name": op.name, "op": op.op, "macs": op.macs, "median_us": time}))
                .collect();
            answer["ops"] = ops.into();
        }
        print_json(&answer)?;
        return Ok(Verdict::Good);
    }
    print(&format!(
        "{median:.2} us median, {min:.2} us least of {} runs, one thread, {backend}\n",
        args.runs
    ))?;
    if args.profile {
        let mut table = Table::new(&[
            ("#", Right),
            ("operator", Left),
            ("output", Left),
            ("us", Right),
            ("GMAC/s", Right),
            ("name", Left),
        ]);
        for (index, (op, &time)) in facts.ops.iter().zip(&operators).enumerate() {
            table.row([
                index.to_string(),
                op.op.clone(),
                op.outputs.first().map_or(String::new(), |output| output.shape.clone()),
                format!("{time:.2}"),
                if op.macs > 0 { format!("{:.0}", op.macs as f64 / time / 1e3) } else { String::new() },
                short(&op.name),
            ]);
        }
        print(&table.to_string())?;
    }
    Ok(Verdict::Good)
}

/// Sorts `times` and gives the middle one; 0 when there are none.
fn middle(times: &mut [u64]) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

fn micros(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e3
}

/// The times of operators, run by run.
struct Operators {
    started: Instant,
    times: Vec<Vec<u64>>,
}

impl Observer for Operators {
    fn begin(&mut self, _index: usize) {
        self.started = Instant::now();
    }

    fn end(&mut self, index: usize, _output: &[u8]) {
        let time = self.started.elapsed().as_nanos() as u64;
        self.times[index].push(time);
    }
}

/// The same random numbers in every run of the command; a sentence for models that take text.
fn noise(plan: &Plan<'_>) -> Sample {
    if matches!(plan.front_end(), FrontEnd::Text { .. }) {
        return Sample::Text("what is the cheapest flight from boston to denver tomorrow morning".into());
    }
    let mut random = fastrand::Rng::with_seed(1);
    let tensors = plan.inputs().filter_map(|port| plan.port_tensor(&port).ok());
    let inputs = tensors.map(|tensor| {
        // Plain indices stay at zero: most others name nothing.
        let plain = !matches!(tensor.dtype, DType::I8 | DType::I16);
        (0..tensor.bytes()).map(|_| if plain { 0 } else { random.u8(..) }).collect()
    });
    Sample::Tensors { rows: None, inputs: inputs.collect() }
}
