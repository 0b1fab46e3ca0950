//! Lines of `intent TAB sentence TAB tags`; words and tags separated by one space, equal in number.

use std::collections::BTreeSet;
use std::path::Path;

use super::{DataError, DataErrorKind, Example, index_labels};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Class of the sentence.
    pub intent: String,
    /// The sentence.
    pub text: String,
    /// Tag of every word, empty if the file has no third column.
    pub tags: Vec<String>,
}

/// What of a line is to be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The class of the sentence.
    Intent,
    /// The tag of every word.
    Tags,
}

impl Line {
    fn names(&self, target: Target) -> &[String] {
        match target {
            Target::Intent => std::slice::from_ref(&self.intent),
            Target::Tags => &self.tags,
        }
    }
}

/// Reads the lines of a text; `path` is for errors.
///
/// # Errors
/// A line with fewer than two columns, or with tags that are not as many as its words.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Line>, DataError> {
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let bad_line = || DataError { path: path.to_path_buf(), kind: DataErrorKind::Line(index + 1) };
            let mut columns = line.split('\t');
            let (Some(intent), Some(text)) = (columns.next(), columns.next()) else {
                return Err(bad_line());
            };
            let tags: Vec<String> = columns
                .next()
                .map(|tags| tags.split_ascii_whitespace().map(String::from).collect())
                .unwrap_or_default();
            if !tags.is_empty() && tags.len() != text.split_ascii_whitespace().count() {
                return Err(bad_line());
            }
            Ok(Line { intent: intent.to_string(), text: text.to_string(), tags })
        })
        .collect()
}

/// The distinct names to be predicted, sorted.
pub fn labels(lines: &[Line], target: Target) -> Vec<String> {
    let names: BTreeSet<&String> = lines.iter().flat_map(|line| line.names(target)).collect();
    names.into_iter().cloned().collect()
}

/// Lines as examples with indices into the sorted `labels`; `path` is for errors.
///
/// # Errors
/// A name that is not among the labels.
pub fn examples(
    path: &Path,
    lines: &[Line],
    target: Target,
    labels: &[String],
) -> Result<Vec<Example>, DataError> {
    lines
        .iter()
        .map(|line| {
            Ok(Example {
                text: line.text.clone(),
                target: index_labels(path, labels, line.names(target).iter())?,
            })
        })
        .collect()
}
