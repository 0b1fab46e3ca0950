//! defmt frames of a program, as lines.

use defmt_decoder::{DecodeError, Table};

use crate::{Error, ErrorKind, Result};

/// Decodes all of `frames` with the strings of the program `elf`. Frames that are broken, as the last one
/// of a program that was ended may be, are left out.
///
/// # Errors
/// [`ErrorKind::Device`] when the program was built without defmt or with another version of it.
pub fn decode(elf: &[u8], frames: &[u8]) -> Result<Vec<String>> {
    let table = Table::parse(elf)
        .map_err(|error| unreadable().caused_by(error.to_string()))?
        .ok_or_else(unreadable)?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(frames);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => {
                let level = frame.level().map_or("print", |level| level.as_str());
                lines.push(format!("{level}: {}", frame.display_message()));
            }
            Err(DecodeError::UnexpectedEof) => return Ok(lines),
            Err(DecodeError::Malformed) if table.encoding().can_recover() => {}
            Err(DecodeError::Malformed) => return Ok(lines),
        }
    }
}

fn unreadable() -> Error {
    Error::new(ErrorKind::Device, "firmware", "its log strings cannot be read")
        .hint("the firmware and this mixel are of different versions; build both from the same sources")
}
