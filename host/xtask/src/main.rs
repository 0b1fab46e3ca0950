//! Chores of this repository: `cargo xtask COMMAND`.

mod bench;
mod demo;
mod golden;
mod setup;
mod step;
mod support;
mod tests;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask COMMAND

  setup                     install what is missing: Rust targets, QEMU, cross compiler, miri
  test [--only NAME]...     everything that must hold; ends with a table and `N passed, N failed, N skipped`
  test --list               the steps of `test`
  golden [--renew]          instructions, memory and flash of models on boards against benches/golden
  support [--renew]         the README's table of operators, from the conformance cases
  bench [ARGUMENT]...       kernels and models on boards and on this machine, beside other engines; `bench --help`
  demo                      a trained model from ONNX to a profiled board
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["setup"] => setup::run(),
        ["test", ref rest @ ..] => tests::run(rest),
        ["bench", ref rest @ ..] => bench::run(rest),
        ["demo"] => demo::run(),
        ["support"] => support::run(false),
        ["support", "--renew"] => support::run(true),
        ["golden"] => golden::run(false),
        ["golden", "--renew"] => golden::run(true),
        ["help" | "--help" | "-h"] | [] => {
            print!("{HELP}");
            Ok(())
        }
        _ => Err(format!("unknown command `{}`\n\n{HELP}", words.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
