//! The command: one file a subcommand.
//!
//! What was asked for goes to standard output, as text or with `--json` as one JSON value; everything else goes to
//! standard error. Exit code 0 is success, 1 failure (for `validate` also a failing verdict), 2 a wrong command line.

mod bench;
mod boards;
mod compare;
mod compile;
mod doctor;
mod events;
mod inspect;
mod model;
mod profile;
mod run;
mod run_events;
mod run_image;
mod validate;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::{Error, ErrorKind, Result};

/// From a trained ONNX network to a verified int8 plan for microcontrollers.
#[derive(Parser)]
#[command(name = "mixel", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print one JSON value instead of text.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    Compile(compile::Args),
    Inspect(inspect::Args),
    Run(run::Args),
    Compare(compare::Args),
    Validate(validate::Args),
    Profile(profile::Args),
    Bench(bench::Args),
    #[command(subcommand)]
    Events(events::Command),
    Boards(boards::Args),
    Doctor(doctor::Args),
}

/// How a command ended that did not fail.
enum Verdict {
    Good,
    Bad,
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Compile(args) => compile::run(&args, cli.json),
        Command::Inspect(args) => inspect::run(&args, cli.json),
        Command::Run(args) => run::run(&args, cli.json),
        Command::Compare(args) => compare::run(&args, cli.json),
        Command::Validate(args) => validate::run(&args, cli.json),
        Command::Profile(args) => profile::run(&args, cli.json),
        Command::Bench(args) => bench::run(&args, cli.json),
        Command::Events(command) => events::run(&command, cli.json),
        Command::Boards(args) => boards::run(&args, cli.json),
        Command::Doctor(args) => doctor::run(&args, cli.json),
    };
    match done {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(if error.kind == ErrorKind::Usage { 2 } else { 1 })
        }
    }
}

fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Error::new(ErrorKind::Internal, "", "the answer cannot be written").caused_by(error)
    })?;
    print(&(text + "\n"))
}

/// Writes `text` to standard output; a reader that has gone away is no error.
fn print(text: &str) -> Result<()> {
    use std::io::{ErrorKind as Io, Write};
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != Io::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, "standard output", "cannot be written")
                .hint("check where it is sent to")
                .caused_by(error))
        }
        _ => Ok(()),
    }
}

/// Refuses to write `output` over `input`.
fn apart(output: &std::path::Path, input: &std::path::Path) -> Result<()> {
    let same = |a: std::path::PathBuf| std::fs::canonicalize(output).is_ok_and(|b| a == b);
    if std::fs::canonicalize(input).is_ok_and(same) {
        return Err(Error::new(ErrorKind::Usage, output.display().to_string(), "is the input itself")
            .hint("give the output a name of its own"));
    }
    Ok(())
}

fn write_file(path: &std::path::Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| {
        Error::new(ErrorKind::Io, path.display().to_string(), "cannot be written")
            .hint("check that the folder exists and has space")
            .caused_by(error)
    })
}
