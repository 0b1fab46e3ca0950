//! A step of the tests: commands, what they said, and how many tests that were.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    process::{Command, Stdio},
    sync::mpsc::{Sender, channel},
    thread,
};

use crate::tools::root;

/// Lines of a failed command that are shown at once; the log has all.
const SHOWN: usize = 80;

/// Counts of a step.
#[derive(Default)]
pub struct Tally {
    /// Tests, or commands that are one.
    pub passed: u32,
    /// The same, failed.
    pub failed: u32,
    /// Why something was not tried.
    pub skipped: Vec<String>,
}

/// The running step. Others may run beside it, so what it prints bears its name.
pub struct Step {
    name: String,
    /// Counts so far.
    pub tally: Tally,
    log: File,
}

impl Step {
    /// A step that keeps its log in `target/xtask/NAME.log`.
    pub fn new(name: &str) -> Result<Self, String> {
        let folder = root().join("target/xtask");
        let path = folder.join(format!("{}.log", name.replace(['/', ' '], "-")));
        let log = std::fs::create_dir_all(&folder)
            .and_then(|()| File::create(&path))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { name: name.to_owned(), tally: Tally::default(), log })
    }

    /// Notes something that is not tried, and why.
    pub fn skip(&mut self, reason: impl Into<String>) {
        let reason = reason.into();
        println!("    {}: SKIPPED: {reason}", self.name);
        self.tally.skipped.push(reason);
    }

    /// Counts a check that is no command.
    pub fn check(&mut self, passed: bool, words: &str) {
        if passed {
            self.tally.passed += 1;
        } else {
            println!("    {}: FAILED: {words}", self.name);
            self.tally.failed += 1;
        }
    }

    /// Runs `command`; it counts as the tests that it reports, or as one if it reports none.
    pub fn run(&mut self, mut command: Command) -> bool {
        let line = describe(&command);
        // A log that cannot be written must not stop the tests.
        let _ = writeln!(self.log, "$ {line}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                self.check(false, &format!("`{line}`: {error}"));
                return false;
            }
        };
        let (sender, lines) = channel();
        forward(child.stdout.take(), sender.clone());
        forward(child.stderr.take(), sender);
        let mut said = Vec::new();
        let before = (self.tally.passed, self.tally.failed);
        for line in lines {
            let _ = writeln!(self.log, "{line}");
            self.read(&line);
            said.push(line);
        }
        let status = child.wait();
        let success = status.as_ref().is_ok_and(|status| status.success());
        if !success {
            let end = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let last = &said[said.len().saturating_sub(SHOWN)..];
            // One write, or lines of other steps come between.
            println!(
                "    {}: `{line}` failed ({end}); its last lines:\n    | {}",
                self.name,
                last.join("\n    | ")
            );
        }
        if !success && self.tally.failed == before.1 {
            self.tally.failed += 1;
        } else if success && (self.tally.passed, self.tally.failed) == before {
            self.tally.passed += 1;
        }
        success
    }

    /// Runs `command`, which must fail and say `reason`.
    pub fn refuse(&mut self, mut command: Command, reason: &str) {
        let line = describe(&command);
        let output = match command.stdin(Stdio::null()).output() {
            Ok(output) => output,
            Err(error) => return self.check(false, &format!("`{line}`: {error}")),
        };
        let said =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        // A log that cannot be written must not stop the tests.
        let _ = writeln!(self.log, "$ {line} (must fail)\n{said}");
        let refused = !output.status.success() && said.contains(reason);
        self.check(refused, &format!("`{line}` was to fail with \"{reason}\""));
    }

    /// Takes counts out of a line.
    fn read(&mut self, line: &str) {
        if let Some((passed, failed)) = result(line) {
            self.tally.passed += passed;
            self.tally.failed += failed;
        } else if let Some(reason) = line.trim_start().strip_prefix("SKIPPED: ")
            && !self.tally.skipped.iter().any(|known| known == reason)
        {
            self.skip(reason);
        }
    }
}

/// Passed and failed of libtest's closing line.
fn result(line: &str) -> Option<(u32, u32)> {
    let rest = line.trim_start().strip_prefix("test result: ")?;
    let (_, counts) = rest.split_once(". ")?;
    let mut numbers = counts.split("; ").map(|part| {
        let (number, word) = part.split_once(' ')?;
        Some((number.parse::<u32>().ok()?, word))
    });
    match (numbers.next()??, numbers.next()??) {
        ((passed, "passed"), (failed, "failed")) => Some((passed, failed)),
        _ => None,
    }
}

/// Sends every line of `pipe`.
fn forward(pipe: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            // The receiver lives as long as a sender does.
            let _ = sender.send(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

fn describe(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
    format!("{} {}", command.get_program().to_string_lossy(), words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_from_closing_lines() {
        let line =
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1s";
        assert_eq!(result(line), Some((3, 1)));
        assert_eq!(result("test result: ok. 0 passed; 0 failed; 0 ignored"), Some((0, 0)));
        assert_eq!(result("test kernels::add ... ok"), None);
        assert_eq!(result("test result: ok. many passed"), None);
    }

    #[test]
    fn a_command_counts_as_its_tests_or_as_one() {
        let mut step = Step::new("self-test").unwrap();
        let say = |line: &str| {
            let mut command = Command::new("printf");
            command.arg(format!("{line}\\n"));
            command
        };
        assert!(step.run(say("test result: ok. 5 passed; 0 failed; 0 ignored")));
        assert!(step.run(say("SKIPPED: nothing is here")));
        step.refuse(Command::new("false"), "");
        step.refuse(say("a reason"), "a reason");
        assert!(!step.run(Command::new("false")));
        assert!(!step.run(Command::new("no-such-program")));
        assert_eq!((step.tally.passed, step.tally.failed), (7, 3), "what was to be refused succeeded once");
        assert_eq!(step.tally.skipped, ["nothing is here"]);
    }
}
