//! The baselines of a model, measured on its recordings.

use rayon::ThreadPoolBuildError;

use super::baselines::{Images, Ridge};
use super::front_end::Frame;
use super::train::{Recipe, predict, train};
use super::zoo::{Corpus, Model};
use super::{Recording, cnn};
use crate::jobs;
use crate::metrics::accuracy;
use crate::table::Row;

/// Penalties that the ridge regression is tried with; the best on the development set is reported.
const PENALTIES: [f64; 5] = [10.0, 30.0, 100.0, 300.0, 1000.0];

/// Fits and scores every baseline of `model`; those that depend on chance with `seeds` seeds, `jobs` at a time, for `epochs`
/// passes or as many as the recipe of the model says.
///
/// # Errors
/// A thread could not be made.
pub fn rows(
    model: Model,
    corpus: &Corpus,
    seeds: u64,
    jobs: u64,
    epochs: Option<usize>,
) -> Result<Vec<Row>, ThreadPoolBuildError> {
    let (front_end, classes) = (model.front_end(), corpus.labels.len());
    let images = |recordings: &[Recording]| Images::new(&front_end, recordings);
    let (train_images, dev_images, test_images) =
        (images(&corpus.train), images(&corpus.dev), images(&corpus.test));
    let score = |predict: &dyn Fn(&[f32]) -> usize| {
        let on = |images: &Images| {
            let predicted: Vec<usize> = images.images.iter().map(|image| predict(image)).collect();
            accuracy(&predicted, &images.labels)
        };
        (on(&dev_images), on(&test_images))
    };
    let pixels = train_images.images.first().map_or(0, Vec::len);
    let mut rows = Vec::new();
    let mut add = |name: &str, size: String, seeds: Vec<(f64, f64)>| {
        let seeds = seeds.into_iter().map(|score| vec![score]).collect();
        rows.push(Row { name: name.into(), size, seeds });
    };

    let majority = train_images.majority(classes);
    add("majority class", "-".into(), vec![score(&|_| majority)]);
    let centroids = train_images.centroids(classes);
    let size = format!("{} values", centroids.images.len() * pixels);
    add("nearest centroid", size, vec![score(&|image| centroids.nearest(image, 1, classes))]);
    for k in [1, 5] {
        let size = format!("{} values", train_images.images.len() * pixels);
        add(&format!("{k}-nearest"), size, vec![score(&|image| train_images.nearest(image, k, classes))]);
    }
    let arms = PENALTIES.map(|penalty| {
        let ridge = Ridge::fit(&train_images, classes, penalty);
        (penalty, score(&|image| ridge.predict(image)))
    });
    let best = arms.into_iter().reduce(|best, arm| if arm.1.0 > best.1.0 { arm } else { best });
    if let Some((penalty, scores)) = best {
        let size = format!("{} params", (pixels + 1) * classes);
        add(&format!("ridge (penalty {penalty})"), size, vec![scores]);
    }

    // On larger pictures its training takes longer than everything else.
    if model != Model::EvtNmnist {
        return Ok(rows);
    }
    let grid = front_end.histogram.grid;
    let design = cnn::Architecture {
        grid: (grid.columns.into(), grid.rows.into()),
        patch: grid.patch.into(),
        values: 2 * usize::from(front_end.histogram.bins),
        classes,
    };
    let mut recipe: Recipe = model.recipe();
    recipe.epochs = epochs.unwrap_or(recipe.epochs);
    let frames = |recordings: &[Recording]| -> Vec<Vec<Frame>> {
        recordings.iter().map(|recording| front_end.frames(&recording.events, 0)).collect()
    };
    let (dev, test) = (frames(&corpus.dev), frames(&corpus.test));
    let scores = jobs::run(seeds, jobs, |seed| {
        let weights = train(&design, &front_end, &corpus.train, &recipe, seed, |_, _, _| {});
        let score =
            |frames: &[Vec<Frame>], labels: &[usize]| accuracy(&predict(&design, &weights, frames), labels);
        (score(&dev, &dev_images.labels), score(&test, &test_images.labels))
    })?;
    add("small CNN on the same histograms", format!("{} params", design.parameter_count()), scores);
    Ok(rows)
}
