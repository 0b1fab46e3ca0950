//! Labelled sentences, read from files that stay outside the project.

use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub mod clinc;
pub mod snips;
pub mod tsv;

/// A sentence and what is to be predicted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The sentence.
    pub text: String,
    /// Indices of labels: one for a class of the sentence, one a word for tags.
    pub target: Vec<usize>,
}

/// A data set with its usual split.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// For fitting.
    pub train: Vec<Example>,
    /// For choices.
    pub dev: Vec<Example>,
    /// For the report only.
    pub test: Vec<Example>,
    /// The files it came from, as `name sha256:first twelve digits`.
    pub sources: Vec<String>,
}

/// A data file that could not be used.
#[derive(Debug)]
pub struct DataError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: DataErrorKind,
}

/// What is wrong with a data file.
#[derive(Debug)]
pub enum DataErrorKind {
    /// It is not there.
    Missing,
    /// It could not be read.
    Unreadable(std::io::Error),
    /// It is not text in UTF-8.
    NotUtf8,
    /// A line (from 1) has not the expected columns, or not as many tags as words.
    Line(usize),
    /// It is not the expected JSON.
    Json(serde_json::Error),
    /// A label, given here, is not among the training labels.
    Label(String),
    /// A line (from 1) of a table has not the expected columns.
    Row(usize),
    /// It is not a USTAR archive.
    Archive,
    /// An entry, given here, is not a JPEG of the expected size.
    Picture(String),
    /// It is not an image that can be used.
    Image(mixel::Error),
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            DataErrorKind::Missing => {
                write!(f, "{path} is missing: set MIXEL_DATA to the folder that holds the data sets")
            }
            DataErrorKind::Unreadable(error) => write!(f, "{path} could not be read: {error}"),
            DataErrorKind::NotUtf8 => write!(f, "{path} is not UTF-8 text"),
            DataErrorKind::Line(line) => {
                write!(f, "{path}:{line}: not intent TAB sentence TAB a tag a word")
            }
            DataErrorKind::Json(error) => write!(f, "{path} is not the expected JSON: {error}"),
            DataErrorKind::Label(label) => {
                write!(f, "{path}: label {label:?} does not occur in training")
            }
            DataErrorKind::Row(line) => write!(f, "{path}:{line}: not the expected columns"),
            DataErrorKind::Image(error) => write!(f, "{path}: {error}"),
            DataErrorKind::Archive => write!(f, "{path} is not a USTAR archive"),
            DataErrorKind::Picture(entry) => {
                write!(f, "{path}: {entry} is not a JPEG of the expected size")
            }
        }
    }
}

impl std::error::Error for DataError {}

/// The folder of the data sets: environment variable `MIXEL_DATA`, or `../shared/data` beside the repository.
pub fn folder() -> PathBuf {
    match std::env::var_os("MIXEL_DATA") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"),
    }
}

/// Bytes of a file, and its name with the start of its checksum.
pub(crate) fn read_bytes(folder: &Path, name: &str) -> Result<(Vec<u8>, String), DataError> {
    let path = folder.join(name);
    let bytes = std::fs::read(&path).map_err(|error| DataError {
        path,
        kind: match error.kind() {
            std::io::ErrorKind::NotFound => DataErrorKind::Missing,
            _ => DataErrorKind::Unreadable(error),
        },
    })?;
    let digits: String = Sha256::digest(&bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Ok((bytes, format!("{name} sha256:{digits}")))
}

/// Text of a file, and its name with the start of its checksum.
pub(crate) fn read(folder: &Path, name: &str) -> Result<(String, String), DataError> {
    let (bytes, source) = read_bytes(folder, name)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| DataError { path: folder.join(name), kind: DataErrorKind::NotUtf8 })?;
    Ok((text, source))
}

/// Indices of names in the sorted `labels`; `path` is for errors.
fn index_labels(
    path: &Path,
    labels: &[String],
    names: impl Iterator<Item = impl AsRef<str>>,
) -> Result<Vec<usize>, DataError> {
    names
        .map(|name| {
            let name = name.as_ref();
            labels.binary_search_by(|label| label.as_str().cmp(name)).map_err(|_| DataError {
                path: path.to_path_buf(),
                kind: DataErrorKind::Label(name.to_string()),
            })
        })
        .collect()
}
