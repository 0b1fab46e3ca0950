//! `cargo xtask test`: everything that must hold, step by step.

use std::num::NonZero;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::{
    demo, golden, setup,
    step::{Step, Tally},
    tools::{cargo, firmware, output, root},
};

/// A step: its name, what it shows, how it is done.
struct Plan {
    name: String,
    shows: &'static str,
    work: Box<dyn Fn(&mut Step) + Send + Sync>,
}

impl Plan {
    fn new(
        name: impl Into<String>,
        shows: &'static str,
        work: impl Fn(&mut Step) + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), shows, work: Box::new(work) }
    }
}

/// What became of a step.
struct Done {
    name: String,
    time: Duration,
    tally: Tally,
}

/// Runs all steps, or those that `arguments` name.
pub fn run(arguments: &[&str]) -> Result<(), String> {
    let plans = plans()?;
    if let ["--list"] = arguments {
        for plan in &plans {
            println!("{:<20} {}", plan.name, plan.shows);
        }
        return Ok(());
    }
    let chosen = choose(&plans, arguments)?;
    setup::run()?;
    let start = Instant::now();
    let done = side_by_side(&chosen)?;
    summarize(&done, start.elapsed())
}

/// Runs `plans` in their order, as many at a time as there are cores (four at most): emulators and linkers keep one busy each, and
/// what builds in the same folder waits for its turn there. What each became, in the order given.
fn side_by_side(plans: &[&Plan]) -> Result<Vec<Done>, String> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let next = Mutex::new(plans.iter().enumerate());
    let run = || {
        let mut done = Vec::new();
        // A panic elsewhere does not spoil an iterator.
        while let Some((index, plan)) = next.lock().unwrap_or_else(|lock| lock.into_inner()).next() {
            println!("== {}: {}", plan.name, plan.shows);
            let mut step = Step::new(&plan.name)?;
            let start = Instant::now();
            (plan.work)(&mut step);
            let time = start.elapsed();
            done.push((index, Done { name: plan.name.clone(), time, tally: step.tally }));
        }
        Ok(done)
    };
    let ends: Vec<Result<Vec<_>, String>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(4)).map(|_| scope.spawn(run)).collect();
        let crashed = || "a step of the tests crashed; its message is above".to_owned();
        workers.into_iter().map(|worker| worker.join().map_err(|_| crashed())?).collect()
    });
    let mut all: Vec<(usize, Done)> =
        ends.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    all.sort_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, done)| done).collect())
}

fn choose<'a>(plans: &'a [Plan], arguments: &[&str]) -> Result<Vec<&'a Plan>, String> {
    let (pairs, []) = arguments.as_chunks::<2>() else {
        return Err("`test` takes --only NAME, again and again, or --list".into());
    };
    if pairs.is_empty() {
        return Ok(plans.iter().collect());
    }
    pairs
        .iter()
        .map(|[flag, name]| {
            let plan = plans.iter().find(|plan| *flag == "--only" && plan.name == *name);
            plan.ok_or_else(|| {
                format!("there is no step `{flag} {name}`; `cargo xtask test --list` has them")
            })
        })
        .collect()
}

fn summarize(steps: &[Done], elapsed: Duration) -> Result<(), String> {
    println!("\n{:<20} {:>7} {:>7} {:>7} {:>8}", "step", "time", "passed", "failed", "skipped");
    for Done { name, time, tally } in steps {
        let (passed, failed, skipped) = (tally.passed, tally.failed, tally.skipped.len());
        println!("{name:<20} {:>5} s {passed:>7} {failed:>7} {skipped:>8}", time.as_secs());
        for reason in &tally.skipped {
            println!("{:<20} SKIPPED: {reason}", "");
        }
    }
    println!("{:<20} {:>5} s from the first to the last\n", "all", elapsed.as_secs());
    let passed: u32 = steps.iter().map(|step| step.tally.passed).sum();
    let failed: u32 = steps.iter().map(|step| step.tally.failed).sum();
    let skipped: usize = steps.iter().map(|step| step.tally.skipped.len()).sum();
    let failing: Vec<&str> =
        steps.iter().filter(|step| step.tally.failed > 0).map(|step| step.name.as_str()).collect();
    if !failing.is_empty() {
        println!("failed: {} (logs in target/xtask/)", failing.join(", "));
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { Ok(()) } else { Err(String::new()) }
}

/// All steps, the quick ones first.
fn plans() -> Result<Vec<Plan>, String> {
    let mut plans = vec![
        Plan::new("format", "rustfmt has nothing to change", |step| {
            step.run(cargo("fmt --all --check"));
            step.run(firmware("fmt --all --check"));
        }),
        Plan::new("core-alone", "the core builds without std for every target", core_alone),
        Plan::new("clippy", "no warnings in the library, the command, the chores", |step| {
            step.run(cargo("clippy --locked --all-targets -- -D warnings"));
            step.run(cargo(
                "clippy --locked -p mixel-core --all-targets --features paper-hash,defmt -- -D warnings",
            ));
        }),
        Plan::new("clippy-firmware", "no warnings in the programs for boards", clippy_firmware),
        Plan::new("docs", "no warnings in the documentation", |step| {
            let mut doc = cargo("doc --locked --no-deps");
            doc.env("RUSTDOCFLAGS", "-D warnings");
            step.run(doc);
        }),
        Plan::new("core", "the core's tests, with and without its features", |step| {
            step.run(cargo("test --locked -p mixel-core -p mixel-testkit -p mixel-wire -- --show-output"));
            step.run(cargo("test --locked -p mixel-core --features paper-hash -- --show-output"));
        }),
        Plan::new(
            "drivers",
            "sensors, buffers and loops of firmware/ against models, without std for a board",
            |step| {
                let drivers = "--locked -p mixel-camera -p mixel-edvs -p mixel-genx320 -p mixel-intent";
                step.run(cargo(&format!("test {drivers} -- --show-output")));
                step.run(cargo(&format!("build {drivers} --target thumbv7em-none-eabihf")));
            },
        ),
        Plan::new("chores", "the tests of xtask and the benches", |step| {
            step.run(cargo("test --locked -p xtask -p mixel-benches"));
        }),
        Plan::new("core-aarch64", "the core's tests on 64-bit Arm, in QEMU", core_aarch64),
        Plan::new("core-miri", "the core's tests under miri", core_miri),
        Plan::new("host", "the library's and the command's own tests", |step| {
            step.run(cargo("test --locked -p mixel --lib --bins -- --show-output"));
            step.run(cargo("test --locked -p mixel --doc"));
        }),
    ];
    for name in host_suites()? {
        plans.push(Plan::new(format!("host-{name}"), "a test suite of the host", move |step| {
            step.run(cargo(&format!("test --locked -p mixel --test {name} -- --show-output")));
        }));
    }
    plans.push(Plan::new("firmware-apps", "the programs with a plan in them build", firmware_apps));
    plans.push(Plan::new("demo", "the demo runs", |step| {
        step.run(cargo("xtask demo"));
    }));
    plans.push(Plan::new("golden", "instructions, memory and flash as written down", golden::step));
    plans.push(Plan::new("models", "the models' definitions, without long training", |step| {
        step.run(cargo("clippy --locked -p mixel-models --all-targets -- -D warnings"));
        step.run(cargo("test --locked -p mixel-models -- --show-output"));
    }));
    Ok(plans)
}

/// Names of the suites in `host/tests`: files, and folders with a `main.rs`.
fn host_suites() -> Result<Vec<String>, String> {
    let folder = root().join("host/tests");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file()
        })
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

/// A machine with numbers of 32 bits that miri interprets, with the standard library that tests need.
const NARROW: &str = "i686-unknown-linux-gnu";

/// Alone, because a build of the whole workspace would switch on `std` in shared crates and hide a break.
fn core_alone(step: &mut Step) {
    for target in setup::TARGETS {
        step.run(cargo(&format!("build --locked -p mixel-core --target {target}")));
    }
    step.run(cargo("build --locked -p mixel-core"));
    // Optional instructions need the core named.
    for (features, cpu) in [("dsp,defmt", "cortex-m33"), ("helium,defmt", "cortex-m55")] {
        let words =
            format!("build --locked -p mixel-core --target thumbv8m.main-none-eabihf --features {features}");
        let mut build = cargo(&words);
        build.env("RUSTFLAGS", format!("-Ctarget-cpu={cpu}"));
        step.run(build);
    }
}

/// One machine with the DSP extension of its architecture, one with Helium.
fn clippy_firmware(step: &mut Step) {
    let machines = [
        ("mps2-an386", "thumbv7em-none-eabihf", "an386", "cortex-m4"),
        ("mps3-an547", "thumbv8m.main-none-eabihf", "an547", "cortex-m55"),
    ];
    for (board, target, feature, cpu) in machines {
        let programs =
            "-p mixel-runner -p mixel-selftest -p mixel-conformance -p mixel-event-camera -p mixel-decoding";
        let mut clippy = firmware(&format!("clippy --locked --release {programs}"));
        clippy
            .args(["--features", feature, "--target", target, "--target-dir", &format!("target/{board}")])
            .args(["--", "-D", "warnings"])
            .env("CARGO_ENCODED_RUSTFLAGS", format!("-Ctarget-cpu={cpu}"));
        step.run(clippy);
    }
}

fn core_aarch64(step: &mut Step) {
    let mut test = cargo("test --locked -p mixel-core -p mixel-testkit --target aarch64-unknown-linux-gnu");
    test.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", "qemu-aarch64 -L /usr/aarch64-linux-gnu");
    step.run(test);
}

fn core_miri(step: &mut Step) {
    if let Err(reason) = setup::miri() {
        step.skip(format!("miri is not there: {reason}"));
        return;
    }
    let built =
        |arguments: &[&str]| output("cargo", &[&["+nightly", "miri", "setup"], arguments].concat()).is_some();
    if !built(&[]) || !built(&["--target", NARROW]) {
        step.skip("miri cannot build its standard library here");
        return;
    }
    let mut miri = cargo("+nightly miri test --locked -p mixel-core --lib -- --skip events:: --skip text::");
    // Event decoders and text hashing hold no unsafe code, and their tests stream too much for an interpreter.
    // Tests with file access or clocks have no place in the core; random layouts are wanted.
    miri.env("MIRIFLAGS", "-Zmiri-strict-provenance -Zmiri-symbolic-alignment-check");
    step.run(miri);
    // Sizes wrap where numbers have 32 bits, as on boards.
    step.run(cargo(&format!("+nightly miri test --locked -p mixel-testkit --test sizes --target {NARROW}")));
}

/// Programs for real boards, and clippy for all that have a plan in them, with operator sets for this plan, for any, and for another.
fn firmware_apps(step: &mut Step) {
    let sentences = ["--calib", demo::SENTENCES];
    let intent = Embedded::compile(step, "pnlp-intent", "cortex-m33", &sentences);
    // Nobody runs it here, so noise does for its ranges.
    let gesture = Embedded::compile(step, "evt-gesture", "cortex-m7", &["--calib", "random"]);
    let any =
        Embedded::compile(step, "pnlp-intent", "cortex-m33", &[&sentences[..], &["--any-plan"]].concat());
    let (Some(intent), Some(gesture), Some(any)) = (intent, gesture, any) else { return };
    let rp2350 = "-p mixel-rp2350 -p mixel-rp2350-intent --target thumbv8m.main-none-eabihf --target-dir target/rp2350";
    for command in ["build", "clippy"] {
        step.run(intent.cargo(command, rp2350, "cortex-m33"));
    }
    let single =
        "-p mixel-single --features an505 --target thumbv8m.main-none-eabihf --target-dir target/rp2350";
    for set in [&intent, &any] {
        step.run(set.cargo("clippy", single, "cortex-m33"));
    }
    let mixed = Embedded { plan: gesture.plan.clone(), ops: intent.ops };
    step.refuse(mixed.cargo("check", single, "cortex-m33"), "MIXEL_OPS was written for another plan");
    let stm32 = "-p mixel-stm32h743-genx320 --target thumbv7em-none-eabihf --target-dir target/stm32h743";
    for command in ["build", "clippy"] {
        step.run(gesture.cargo(command, stm32, "cortex-m7"));
    }
}

/// A plan of the zoo and its operator set, for programs that have them in them.
struct Embedded {
    plan: PathBuf,
    ops: PathBuf,
}

impl Embedded {
    /// `arguments` say what `mixel compile` is to calibrate with, and for which plans the set is.
    fn compile(step: &mut Step, model: &str, target: &str, arguments: &[&str]) -> Option<Self> {
        let name = if arguments.contains(&"--any-plan") { format!("{model}-any") } else { model.to_owned() };
        let at = |extension: &str| root().join(format!("target/xtask/{name}.{extension}"));
        let (plan, ops) = (at("mxl"), at("rs"));
        let words =
            format!("run --locked --quiet -p mixel -- compile models/zoo/{model}.onnx --target {target}");
        let mut compile = cargo(&words);
        compile.args(arguments).arg("-o").arg(&plan).arg("--ops-rs").arg(&ops);
        step.run(compile).then_some(Self { plan, ops })
    }

    /// Cargo's `command` on `packages` with the plan in them; a warning of clippy's is an error.
    fn cargo(&self, command: &str, packages: &str, cpu: &str) -> Command {
        let flags = if command == "clippy" { "-- -D warnings" } else { "" };
        let mut cargo = firmware(&format!("{command} --locked --release {packages} {flags}"));
        cargo
            .env("CARGO_ENCODED_RUSTFLAGS", format!("-Ctarget-cpu={cpu}"))
            .env("DEFMT_LOG", "info")
            .env("MIXEL_PLAN", &self.plan)
            .env("MIXEL_OPS", &self.ops);
        cargo
    }
}
