//! Files of the host, by semihosting.

use core::ffi::CStr;

use semihosting::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
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
    let mut file = InputFile::open(path)?;
    let len = usize::try_from(file.len()?).ok();
    let part = len.and_then(|len| memory.get_mut(..len)).ok_or(FileError::TooLarge)?;
    if file.read_up_to(part)? < part.len() {
        return Err(FileError::Transfer);
    }
    Ok(part.len())
}

/// A file that is read piece by piece.
#[derive(Debug)]
pub struct InputFile(File);

impl InputFile {
    /// Opens the file `path` at its beginning.
    ///
    /// # Errors
    /// [`FileError::Open`].
    pub fn open(path: &CStr) -> Result<Self, FileError> {
        File::open(path).map(Self).map_err(|_| FileError::Open)
    }

    /// Its bytes.
    ///
    /// # Errors
    /// [`FileError::Transfer`].
    #[expect(clippy::len_without_is_empty, reason = "a question to the host, which may fail")]
    pub fn len(&self) -> Result<u64, FileError> {
        self.0.metadata().map(|metadata| metadata.len()).map_err(|_| FileError::Transfer)
    }

    /// Goes on reading at byte `place`.
    ///
    /// # Errors
    /// [`FileError::Transfer`].
    pub fn seek(&mut self, place: u64) -> Result<(), FileError> {
        self.0.seek(SeekFrom::Start(place)).map(|_| ()).map_err(|_| FileError::Transfer)
    }

    /// Fills `memory` as far as the file reaches, and gives the number of bytes.
    ///
    /// # Errors
    /// [`FileError::Transfer`].
    pub fn read_up_to(&mut self, memory: &mut [u8]) -> Result<usize, FileError> {
        let mut done = 0;
        while let Some(rest) = memory.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read(rest).map_err(|_| FileError::Transfer)? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }
}

impl embedded_io::ErrorType for InputFile {
    type Error = FileError;
}

impl embedded_io::Read for InputFile {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, FileError> {
        self.read_up_to(buffer)
    }
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
