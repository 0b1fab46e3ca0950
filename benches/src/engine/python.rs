//! LiteRT and ONNX Runtime, in a Python process each: `rivals/engine.py`.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{Engine, Loaded};
use crate::definition::folder;

struct Process {
    name: String,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Starts `engine` on the model at `path`, with `rows` rows where they vary.
pub fn load(name: &str, engine: &str, path: &Path, rows: usize, python: Result<&Path, &str>) -> Loaded {
    let mut child = Command::new(python?)
        .arg(folder().join("rivals/engine.py"))
        .arg(engine)
        .arg(path)
        .arg(rows.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("Python does not start: {error}"))?;
    let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("Python has no pipes".into());
    };
    let mut process = Process { name: name.into(), child, questions, answers: BufReader::new(answers) };
    process.line()?;
    Ok(Box::new(process))
}

impl Process {
    /// The next answer: `ok WORDS`, or anything else as an error.
    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        match line.trim().strip_prefix("ok") {
            Some(words) => Ok(words.trim().to_owned()),
            None if line.is_empty() => Err("the Python process ended".into()),
            None => Err(line.trim().to_owned()),
        }
    }
}

impl Engine for Process {
    fn name(&self) -> &str {
        &self.name
    }

    fn time(&mut self, runs: u32) -> Result<Vec<u64>, String> {
        writeln!(self.questions, "{runs}").map_err(|error| error.to_string())?;
        let times = self.line()?;
        times.split(' ').map(|time| time.parse().map_err(|_| format!("`{time}` is no time"))).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
