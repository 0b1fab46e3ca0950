//! `cargo xtask demo`: a trained model of our own, from ONNX to a profiled board.

use std::path::Path;

use crate::{
    setup,
    tools::{cargo, root},
};

/// Intents of requests to an assistant, from raw text; see models/zoo.
const MODEL: &str = "models/zoo/pnlp-intent.onnx";
/// Sentences of our own. They calibrate the model, and the boards answer some of them.
pub const SENTENCES: &str = "host/xtask/demo/sentences.txt";
/// Boards, and the targets that the plans are compiled for.
const BOARDS: [(&str, &str); 2] = [("mps3-an547", "cortex-m55"), ("mps2-an386", "cortex-m4")];
/// Every so many sentences one is answered.
const EVERY: usize = 8;

/// Runs the demo.
pub fn run() -> Result<(), String> {
    setup::boards()?;
    let folder = root().join("target/demo");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let sentences =
        std::fs::read_to_string(root().join(SENTENCES)).map_err(|error| format!("{SENTENCES}: {error}"))?;
    let asked: Vec<&str> = sentences.lines().step_by(EVERY).collect();
    let questions = folder.join("questions.txt");
    std::fs::write(&questions, asked.join("\n"))
        .map_err(|error| format!("{}: {error}", questions.display()))?;
    let questions = text(&questions);

    say("What this machine has");
    mixel(&["doctor"])?;
    say("The model: a float ONNX file that describes its text front end");
    mixel(&["inspect", MODEL, "--calib", SENTENCES])?;
    say("Validated: int8 against float (tract), boards against this machine, bit for bit");
    mixel(&[
        "validate",
        MODEL,
        "--calib",
        SENTENCES,
        "--text-file",
        SENTENCES,
        "--board",
        BOARDS[0].0,
        "--board",
        BOARDS[1].0,
    ])?;
    for (board, target) in BOARDS {
        let plan = text(&folder.join(format!("{target}.mxl")));
        say(&format!("Compiled for {target}; {board} answers raw text"));
        mixel(&["compile", MODEL, "-o", &plan, "--target", target, "--calib", SENTENCES])?;
        mixel(&["run", &plan, "--text-file", &questions, "--board", board])?;
        say(&format!("Where time and memory go on {board}"));
        mixel(&["profile", &plan, "--board", board, "--text", "play some jazz"])?;
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn say(what: &str) {
    println!("\n== {what}");
}

/// Shows the command and what it prints.
fn mixel(arguments: &[&str]) -> Result<(), String> {
    let shown: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    let line = format!("mixel {}", shown.join(" "));
    println!("$ {line}");
    let status = cargo("run --locked --quiet -p mixel --").args(arguments).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{line}` failed ({status})")),
        Err(error) => Err(format!("`{line}`: {error}")),
    }
}

fn quoted(word: &str) -> String {
    let word =
        word.strip_prefix(&*root().to_string_lossy()).map_or(word, |rest| rest.trim_start_matches('/'));
    if word.contains(' ') { format!("\"{word}\"") } else { word.to_owned() }
}
