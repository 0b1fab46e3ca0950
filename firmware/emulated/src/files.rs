//! Files of the host, by semihosting.

use core::ffi::CStr;

use semihosting::{
    fs::File,
    io::{Read, Write},
};

/// What went wrong with a file of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum FileError {
    /// It is not there or cannot be made.
    Open,
    /// It is larger than the memory for it.
    TooLarge,
    /// The host's read or write failed.
    Transfer,
}

impl core::fmt::Display for FileError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            FileError::Open => "cannot be opened",
            FileError::TooLarge => "is larger than the board's memory for it",
            FileError::Transfer => "cannot be read or written",
        })
    }
}

impl core::error::Error for FileError {}

impl embedded_io::Error for FileError {
    fn kind(&self) -> embedded_io::ErrorKind {
        match self {
            FileError::Open => embedded_io::ErrorKind::NotFound,
            FileError::TooLarge => embedded_io::ErrorKind::OutOfMemory,
            FileError::Transfer => embedded_io::ErrorKind::Other,
        }
    }
}

/// Reads the whole file `path` into the front of `memory` and gives its length.
///
/// # Errors
/// Any [`FileError`].
pub fn read(path: &CStr, memory: &mut [u8]) -> Result<usize, FileError> {
    let mut file = File::open(path).map_err(|_| FileError::Open)?;
    let len = file.metadata().map_err(|_| FileError::Transfer)?.len();
    let part = usize::try_from(len).ok().and_then(|len| memory.get_mut(..len)).ok_or(FileError::TooLarge)?;
    file.read_exact(part).map_err(|_| FileError::Transfer)?;
    Ok(part.len())
}

/// The file that takes the records.
pub struct RecordFile(File);

impl RecordFile {
    /// Makes the file `path`, empty.
    ///
    /// # Errors
    /// [`FileError::Open`].
    pub fn create(path: &CStr) -> Result<Self, FileError> {
        File::create(path).map(Self).map_err(|_| FileError::Open)
    }
}

impl embedded_io::ErrorType for RecordFile {
    type Error = FileError;
}

impl embedded_io::Write for RecordFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, FileError> {
        self.0.write_all(bytes).map_err(|_| FileError::Transfer)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), FileError> {
        Ok(())
    }
}
