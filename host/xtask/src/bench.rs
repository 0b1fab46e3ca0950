//! `cargo xtask bench`: builds and runs the benches, with the other engines as far as they can be had.

use std::path::PathBuf;
use std::process::Command;

use crate::tools::{cargo, root};

/// What pip installs into the private environment.
const REQUIREMENTS: &str = "benches/rivals/requirements.txt";

/// Runs the benches with `arguments`.
pub fn run(arguments: &[&str]) -> Result<(), String> {
    let build = "build --locked --release -p mixel-benches --bin bench";
    if !succeeds(cargo(build).args(["--features", "rten"])) {
        println!("SKIPPED: rten: it does not build here");
        if !succeeds(&mut cargo(build)) {
            return Err("the benches do not build".into());
        }
    }
    let mut bench = Command::new(root().join("target/release/bench"));
    bench.current_dir(root()).args(arguments);
    let asks = arguments.iter().any(|argument| matches!(*argument, "--help" | "-h"));
    match if asks { Err("only asked for help".into()) } else { python() } {
        Ok(python) => bench.arg("--python").arg(python),
        Err(reason) => bench.args(["--no-python", &reason]),
    };
    if succeeds(&mut bench) { Ok(()) } else { Err("the benches failed".into()) }
}

/// The interpreter of a private environment in `target/` that has LiteRT and ONNX Runtime, made when there is none.
fn python() -> Result<PathBuf, String> {
    let folder = root().join("target/rivals");
    let python = folder.join("bin/python");
    // Written last, with what was installed.
    let done = folder.join("requirements.txt");
    let wanted = root().join(REQUIREMENTS);
    let text = std::fs::read_to_string(&wanted).map_err(|error| format!("{REQUIREMENTS}: {error}"))?;
    if std::fs::read_to_string(&done).is_ok_and(|installed| installed == text) {
        return Ok(python);
    }
    println!("installing LiteRT and ONNX Runtime into {}", folder.display());
    if !succeeds(Command::new("python3").args(["-m", "venv"]).arg(&folder)) {
        return Err("`python3 -m venv` does not work here".into());
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&wanted);
    if !succeeds(&mut pip) {
        return Err(format!("pip does not install {REQUIREMENTS}"));
    }
    std::fs::write(&done, text).map_err(|error| format!("{}: {error}", done.display()))?;
    Ok(python)
}

/// Whether the command ran and ended well. What it says is shown.
fn succeeds(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
