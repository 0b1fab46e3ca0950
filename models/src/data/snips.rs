//! SNIPS: 13,784 spoken requests, 7 intents, slots as BIO tags (`snips/{train,dev,test}.tsv`).

use std::path::Path;

use super::{Corpus, DataError, tsv};

/// Reads the corpus for one of its two tasks.
///
/// # Errors
/// A file is missing or has not the form of [`tsv`].
pub fn load(folder: &Path, target: tsv::Target) -> Result<Corpus, DataError> {
    let mut sources = Vec::new();
    let mut read = |name: &str| {
        let (text, source) = super::read(folder, name)?;
        sources.push(source);
        tsv::parse(&folder.join(name), &text)
    };
    let (train, dev, test) = (read("snips/train.tsv")?, read("snips/dev.tsv")?, read("snips/test.tsv")?);
    let labels = tsv::labels(&train, target);
    let examples =
        |lines: &[tsv::Line], name: &str| tsv::examples(&folder.join(name), lines, target, &labels);
    Ok(Corpus {
        train: examples(&train, "snips/train.tsv")?,
        dev: examples(&dev, "snips/dev.tsv")?,
        test: examples(&test, "snips/test.tsv")?,
        labels,
        sources,
    })
}
