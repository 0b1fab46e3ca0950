//! Programs on emulated boards.

use std::{path::Path, process::Command, time::Duration};

use super::{
    Board, Link,
    firmware::{Built, Program, build},
    log,
    process::finish,
};
use crate::{Error, ErrorKind, Result};

/// `-icount shift`: every instruction moves virtual time by 2^8 ns.
pub const ICOUNT_SHIFT: u32 = 8;

/// A program that ran on an emulated board.
#[derive(Debug)]
pub struct ProgramRun {
    /// Its exit code; none when the time limit ended it.
    pub exit: Option<i32>,
    /// Its log, a line a frame.
    pub log: Vec<String>,
}

/// Builds `package` of the firmware workspace for `board` and runs it in `folder`, where it finds and leaves
/// its files.
///
/// # Errors
/// As [`super::run`], but what the program itself makes of it is in the result.
pub fn run_program(board: &Board, package: &str, folder: &Path, limit: Duration) -> Result<ProgramRun> {
    let Link::Emulated { machine } = board.link else {
        return Err(Error::new(ErrorKind::Device, board.name, "it is not an emulated board")
            .hint("choose a board of `mixel boards` that QEMU plays"));
    };
    let feature = board.runner.1;
    let built = build(board, &Program { package, feature, profile: "release", variables: &[] })?;
    emulate(machine, &built, folder, limit)
}

/// Runs a built program on `machine` with the working directory `folder`.
pub fn emulate(machine: &str, built: &Built, folder: &Path, limit: Duration) -> Result<ProgramRun> {
    let kernel = std::path::absolute(&built.path).unwrap_or_else(|_| built.path.clone());
    let mut qemu = Command::new("qemu-system-arm");
    qemu.current_dir(folder)
        .args(["-machine", machine, "-nographic", "-monitor", "none", "-serial", "none"])
        .args(["-semihosting-config", "enable=on,target=native"])
        .args(["-icount", &format!("shift={ICOUNT_SHIFT}")])
        .arg("-kernel")
        .arg(kernel);
    let finished = finish(&mut qemu, limit)?;
    let mut log = log::decode(&built.elf, &finished.stdout)?;
    let said = String::from_utf8_lossy(&finished.stderr);
    log.extend(said.lines().map(|line| format!("qemu: {line}")));
    Ok(ProgramRun { exit: finished.status.and_then(|status| status.code()), log })
}
