//! Programs on attached boards, through the probe-rs tools. Not run on hardware yet.
//!
//! Plan and job are written to the board's flash, 16 bytes of lengths before them; the records come back as
//! defmt lines `record: [0a, 0b]`.

use std::{process::Command, time::Duration};

use super::{Board, firmware::Built, process::finish};
use crate::{Error, ErrorKind, Result};

/// What the runner writes before the bytes of records.
const MARK: &str = "record: [";
const FLASH_LIMIT: Duration = Duration::from_secs(120);

/// Writes plan and job to `storage` (address and bytes) of the board, runs the program, and gives records, exit
/// code (none after `limit`) and log.
pub fn run(
    board: &Board,
    chip: &str,
    storage: (u32, u32),
    built: &Built,
    plan: &[u8],
    job: &[u8],
    limit: Duration,
) -> Result<(Vec<u8>, Option<i32>, Vec<String>)> {
    present(board)?;
    let image = image(plan, job);
    if image.len() > storage.1 as usize {
        return Err(Error::new(
            ErrorKind::Device,
            board.name,
            format!("plan and inputs take {} bytes, the board has {} for them", image.len(), storage.1),
        )
        .hint("give it fewer samples"));
    }
    let file = tempfile::NamedTempFile::new()
        .and_then(|file| std::fs::write(file.path(), &image).map(|()| file))
        .map_err(|error| Error::new(ErrorKind::Io, "", "no temporary file").caused_by(error))?;
    let address = format!("{:#x}", storage.0);
    let mut download = Command::new("probe-rs");
    download
        .args(["download", "--chip", chip, "--binary-format", "bin", "--base-address", &address])
        .arg(file.path());
    let written = finish(&mut download, FLASH_LIMIT)?;
    if !written.success() {
        return Err(Error::new(
            ErrorKind::Device,
            board.name,
            format!("its flash cannot be written:\n{}", written.tail(10)),
        )
        .hint("check the cable, the power and that no other program holds the probe"));
    }
    let mut start = Command::new("probe-rs");
    start.args(["run", "--chip", chip, "--log-format", "{s}"]).arg(&built.path);
    let finished = finish(&mut start, limit)?;
    let said = String::from_utf8_lossy(&finished.stdout);
    let (records, log) = parse(&said);
    Ok((records, finished.status.and_then(|status| status.code()), log))
}

/// Whether any probe is attached.
fn present(board: &Board) -> Result<()> {
    let listed = finish(Command::new("probe-rs").arg("list"), Duration::from_secs(20))?;
    let said = String::from_utf8_lossy(&listed.stdout);
    if listed.success() && !said.contains("No debug probes were found") {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Device, board.name, "no debug probe is attached").hint(
        "connect the board with a debug probe (`probe-rs list` shows it), or choose an emulated board of `mixel boards`",
    ))
}

/// Lengths of plan and job, then both, each at a multiple of 16.
fn image(plan: &[u8], job: &[u8]) -> Vec<u8> {
    let mut image = Vec::with_capacity(plan.len() + job.len() + 32);
    for length in [plan.len() as u32, job.len() as u32, 0, 0] {
        image.extend(length.to_le_bytes());
    }
    image.extend(plan);
    image.resize(image.len().next_multiple_of(16), 0);
    image.extend(job);
    image
}

/// Takes the records out of the log.
fn parse(said: &str) -> (Vec<u8>, Vec<String>) {
    let (mut records, mut log) = (Vec::new(), Vec::new());
    for line in said.lines() {
        match line.trim().strip_prefix(MARK).and_then(bytes) {
            Some(bytes) => records.extend(bytes),
            None => log.push(line.to_owned()),
        }
    }
    (records, log)
}

/// The bytes of a list `0a, 0b]`.
fn bytes(list: &str) -> Option<Vec<u8>> {
    list.strip_suffix(']')?.split(", ").map(|byte| u8::from_str_radix(byte, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_between_other_lines() {
        let (records, log) = parse("booting\n record: [0a, 0b, ff]\nrecord: [00]\nrecord: [none]\n");
        assert_eq!(records, [0x0a, 0x0b, 0xff, 0]);
        assert_eq!(log, ["booting", "record: [none]"]);
    }

    #[test]
    fn parts_of_the_image_are_aligned() {
        let image = image(&[1; 17], &[2; 3]);
        assert_eq!(image[..8], [17, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!((image[16], image[32], image[48], image.len()), (1, 1, 2, 51));
    }
}
