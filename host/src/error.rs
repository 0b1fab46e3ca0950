//! What goes wrong on the host: a kind, where, and what to do about it.

use std::fmt;

/// The stage or subject that an error belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file cannot be read or written.
    Io,
    /// A file is not what it should be (broken ONNX, plan or array file).
    Format,
    /// An operator, type or attribute that mixel does not do.
    Unsupported,
    /// Shapes do not fit or are not known.
    Shape,
    /// A float model without calibration data, or data that does not fit.
    Calibration,
    /// An input array: missing, wrong name, shape or type.
    Input,
    /// Quantization cannot represent the model.
    Quantization,
    /// The plan was refused by the core's reader.
    Plan,
    /// The float oracle failed.
    Reference,
    /// A board: unknown, not there, or its run failed.
    Device,
    /// A tool or target is missing.
    Setup,
    /// The command line.
    Usage,
    /// A fault of mixel itself.
    Internal,
}

/// An error with its place and a hint.
#[derive(Debug)]
pub struct Error {
    /// What sort of error.
    pub kind: ErrorKind,
    /// Node, file or argument that it is about; may be empty.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// The error underneath.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result of host functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind` about `path`.
    pub fn new(kind: ErrorKind, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, path: path.into(), message: message.into(), hint: String::new(), source: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With the error underneath.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}", self.message)?;
        let mut source = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        if !self.hint.is_empty() {
            write!(f, "\n  hint: {}", self.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
