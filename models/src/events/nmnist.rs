//! N-MNIST: digits that a moving 34 x 34 sensor sees, 0.3 s each.

use std::collections::HashMap;
use std::path::Path;

use mixel_core::events::Geometry;

use super::zoo::Corpus;
use super::{Recording, files};
use crate::data::{DataError, DataErrorKind, read, read_bytes};

/// Number of classes; class d is the digit d.
pub const CLASSES: usize = 10;

/// Pixels of the sensor.
pub const GEOMETRY: Geometry = Geometry::new(34, 34);

/// Reads `nmnist/` in the folder of the data sets. The split is our own: a tenth of each class of the training recordings is for
/// choices.
///
/// # Errors
/// A file is missing or malformed.
pub fn load(folder: &Path) -> Result<Corpus, DataError> {
    let (text, source) = read(folder, "nmnist/labels.csv")?;
    let table = labels(&folder.join("nmnist/labels.csv"), &text)?;
    let mut sources = vec![source];
    let mut part = |split: &'static str| {
        let name = format!("nmnist/nmnist_{split}.tar");
        let (archive, source) = read_bytes(folder, &name)?;
        sources.push(source);
        let path = folder.join(name);
        let files = files::entries(&archive)
            .ok_or_else(|| DataError { path: path.clone(), kind: DataErrorKind::Archive })?;
        files
            .into_iter()
            .map(|(file, bytes)| {
                let &label = table.get(&(split, file)).ok_or_else(|| DataError {
                    path: path.clone(),
                    kind: DataErrorKind::Label(file.to_string()),
                })?;
                Ok(Recording { events: files::records(bytes, GEOMETRY), label })
            })
            .collect::<Result<Vec<_>, DataError>>()
    };
    let (all, test) = (part("train")?, part("test")?);
    let mut seen = [0; CLASSES];
    let (dev, train) = all.into_iter().partition(|recording| {
        seen[recording.label] += 1;
        seen[recording.label] % 10 == 0
    });
    let labels = (0..CLASSES).map(|digit| digit.to_string()).collect();
    Ok(Corpus { labels, train, dev, test, foreign: Vec::new(), sources })
}

/// `split,file,label` lines under a line of titles.
fn labels<'a>(path: &Path, table: &'a str) -> Result<HashMap<(&'a str, &'a str), usize>, DataError> {
    let row = |line: &'a str| {
        let mut fields = line.split(',');
        let (split, file, label) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        (label < CLASSES && fields.next().is_none()).then_some(((split, file), label))
    };
    table
        .lines()
        .enumerate()
        .skip(1)
        .map(|(index, line)| {
            row(line)
                .ok_or_else(|| DataError { path: path.to_path_buf(), kind: DataErrorKind::Row(index + 1) })
        })
        .collect()
}
