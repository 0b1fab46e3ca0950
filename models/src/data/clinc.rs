//! CLINC150, small version, in-scope part: 150 intents, 7,500 / 3,000 / 4,500 sentences (`clinc150/data_small.json`).

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::{Corpus, DataError, DataErrorKind, Example, index_labels};

#[derive(Deserialize)]
struct File {
    train: Vec<(String, String)>,
    val: Vec<(String, String)>,
    test: Vec<(String, String)>,
}

/// Reads the in-scope sentences.
///
/// # Errors
/// The file is missing or is not the expected JSON.
pub fn load(folder: &Path) -> Result<Corpus, DataError> {
    let name = "clinc150/data_small.json";
    let path = folder.join(name);
    let (text, source) = super::read(folder, name)?;
    let file: File = serde_json::from_str(&text)
        .map_err(|error| DataError { path: path.clone(), kind: DataErrorKind::Json(error) })?;
    let labels: BTreeSet<&String> = file.train.iter().map(|(_, label)| label).collect();
    let labels: Vec<String> = labels.into_iter().cloned().collect();
    let examples = |pairs: &[(String, String)]| {
        pairs
            .iter()
            .map(|(text, label)| {
                Ok(Example { text: text.clone(), target: index_labels(&path, &labels, [label].into_iter())? })
            })
            .collect::<Result<Vec<_>, _>>()
    };
    Ok(Corpus {
        train: examples(&file.train)?,
        dev: examples(&file.val)?,
        test: examples(&file.test)?,
        labels,
        sources: vec![source],
    })
}
