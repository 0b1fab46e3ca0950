//! Cross-validation: every recording is tested once, by a network that has not seen it.

use std::path::Path;

use super::Recording;
use super::baselines::Images;
use super::exported::Exported;
use super::train::{Recipe, train};
use super::zoo::Model;
use crate::onnx;

/// The fold of every recording, so that each fold has the same share of every class: the k-th recording of a class is in fold
/// `k % folds`.
pub fn assign(labels: &[usize], folds: usize) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |label| label + 1);
    let mut seen = vec![0; classes];
    labels
        .iter()
        .map(|&label| {
            seen[label] += 1;
            (seen[label] - 1) % folds
        })
        .collect()
}

/// How many recordings were tested, and how many of them each arm got right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Recordings.
    pub tested: usize,
    /// The network in float.
    pub float: usize,
    /// The network in int8, calibrated on the recordings that it was trained on.
    pub int8: usize,
    /// The five nearest of the other recordings' images.
    pub nearest: usize,
}

/// Tests `model` on the recordings of `fold`, trained on all others with `fold` as the seed. The network is the ONNX file at `path`; it
/// is trained when that is not there.
///
/// # Errors
/// The file cannot be written, and those of [`Exported`].
pub fn run(
    model: Model,
    (recordings, labels): (&[Recording], &[String]),
    (folds, fold): (&[usize], usize),
    recipe: &Recipe,
    path: &Path,
) -> mixel::Result<Score> {
    let part = |inside: bool| -> Vec<Recording> {
        let chosen = recordings.iter().zip(folds).filter(|(_, own)| (**own == fold) == inside);
        chosen.map(|(recording, _)| recording.clone()).collect()
    };
    let (known, asked) = (part(false), part(true));
    let front_end = model.front_end();
    if !path.exists() {
        let architecture = model.architecture();
        let weights = train(&architecture, &front_end, &known, recipe, fold as u64, |_, _, _| {});
        let file = onnx::event_transformer::export(model.name(), &architecture, &front_end, &weights, labels);
        std::fs::write(path, file).map_err(|error| {
            let shown = path.display().to_string();
            mixel::Error::new(mixel::ErrorKind::Io, shown, "cannot be written").caused_by(error)
        })?;
    }
    let exported = Exported::new(path, &known, front_end.histogram.geometry)?;
    let images = Images::new(&front_end, &known);
    let nearest = Images::new(&front_end, &asked).images.into_iter();
    let right = |predicted: Vec<usize>| {
        predicted.iter().zip(&asked).filter(|(class, recording)| **class == recording.label).count()
    };
    Ok(Score {
        tested: asked.len(),
        float: right(exported.float(&asked)?),
        int8: right(exported.int8(&asked)?),
        nearest: right(nearest.map(|image| images.nearest(&image, 5, labels.len())).collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::assign;

    #[test]
    fn folds_share_every_class() {
        let labels: Vec<usize> = (0..230).map(|index| index * index % 7).collect();
        let folds = assign(&labels, 10);
        for class in 0..7 {
            let count = |fold| (0..230).filter(|&at| (labels[at], folds[at]) == (class, fold)).count();
            let all = labels.iter().filter(|label| **label == class).count();
            for fold in 0..10 {
                assert!((all / 10..=all.div_ceil(10)).contains(&count(fold)), "{class} in {fold}");
            }
        }
        assert!(assign(&[], 10).is_empty());
    }
}
