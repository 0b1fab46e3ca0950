//! Starting tools with a time limit.

use std::{
    io::{ErrorKind as IoErrorKind, Read},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::doctor;
use crate::{Error, ErrorKind, Result};

/// What a tool said.
pub struct Finished {
    /// None when the time limit ended it.
    pub status: Option<ExitStatus>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

impl Finished {
    /// Whether it ended by itself with code 0.
    pub fn success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// The last `lines` lines of standard error.
    pub fn tail(&self, lines: usize) -> String {
        let text = String::from_utf8_lossy(&self.stderr);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

/// Runs `command` to its end, or ends it after `limit`.
///
/// # Errors
/// [`ErrorKind::Setup`] when the tool is not installed, with the way to install it; [`ErrorKind::Io`] for
/// what else keeps it from starting.
pub fn finish(command: &mut Command, limit: Duration) -> Result<Finished> {
    let tool = command.get_program().to_string_lossy().into_owned();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(
            |error| match error.kind() {
                IoErrorKind::NotFound => Error::new(ErrorKind::Setup, &tool, "the tool is not installed")
                    .hint(doctor::install_hint(&tool)),
                _ => Error::new(ErrorKind::Io, &tool, "the tool cannot be started").caused_by(error),
            },
        )?;
    // Both pipes are drained at once, or a full one would stop the tool.
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child, limit)
        .map_err(|error| Error::new(ErrorKind::Io, &tool, "the tool was lost").caused_by(error))?;
    let take = |reader: thread::JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
    Ok(Finished { status, stdout: take(stdout), stderr: take(stderr) })
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // A pipe that breaks leaves what came before, which is all there is to say.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn wait(child: &mut Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_hangs_is_ended() {
        let finished = finish(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap();
        assert!(finished.status.is_none() && !finished.success());
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let mut command = Command::new("qemu-system-arm");
        command.env_clear().env("PATH", "/nonexistent");
        let error = finish(&mut command, Duration::from_secs(1)).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Setup);
        assert!(error.to_string().contains("apt-get install"), "{error}");
    }
}
