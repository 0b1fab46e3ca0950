//! Trains and exports the models of pictures.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use mixel_models::data;
use mixel_models::images::train::{Recipe, predict, train};
use mixel_models::images::zoo::{Model, RECIPE};
use mixel_models::images::{Image, Normalisation, cifar, labels};
use mixel_models::metrics::accuracy;
use mixel_models::onnx::{self, spach::DEV_ACCURACY};
use mixel_models::weights::Weight;

use super::Trained;

/// What a training takes.
#[derive(clap::Args)]
pub struct Options {
    /// The models; without any all of the zoo.
    pub models: Vec<Model>,
    /// Seeds, from 0. All models have a seed before the next one begins.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    pub first_seed: u64,
    /// Folder for seeds/MODEL-SEED.onnx and MODEL.onnx, the seed that is best on the development set, of earlier runs too.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo"))]
    pub out: PathBuf,
    /// Passes over the training set instead of the recipe's.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Peak learning rate instead of the recipe's.
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Images a step instead of the recipe's.
    #[arg(long)]
    pub batch: Option<usize>,
    /// Training images, from the first, instead of all.
    #[arg(long)]
    pub limit: Option<usize>,
}

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut corpus = cifar::load(&data::folder())?;
    println!("{}", corpus.sources.join(", "));
    if let Some(limit) = options.limit {
        let step = (corpus.train.len() / limit).max(1);
        corpus.train = corpus.train.into_iter().step_by(step).take(limit).collect();
    }
    println!("{} / {} / {} images", corpus.train.len(), corpus.dev.len(), corpus.test.len());
    let recipe = Recipe {
        epochs: options.epochs.unwrap_or(RECIPE.epochs),
        learning_rate: options.learning_rate.unwrap_or(RECIPE.learning_rate),
        batch: options.batch.unwrap_or(RECIPE.batch),
        ..RECIPE
    };
    println!("{recipe:?}");
    let models = if options.models.is_empty() { Model::ZOO.to_vec() } else { options.models.clone() };
    std::fs::create_dir_all(options.out.join("seeds"))?;
    for seed in options.first_seed..options.first_seed + options.seeds {
        for &model in &models {
            let trained = one(model, &corpus, &recipe, seed)?;
            let [(dev, test)] = trained.scores[..] else { continue };
            println!("{} seed {seed}: dev {dev:.2}, test {test:.2}", model.name());
            if model.is_control() {
                continue;
            }
            let file = onnx::spach::export(
                model.name(),
                &model.architecture(),
                &Normalisation::CIFAR10,
                &trained.weights,
                &corpus.labels,
                dev,
            );
            std::fs::write(options.out.join(format!("seeds/{}-{seed}.onnx", model.name())), &file)?;
            // Seeds of earlier runs count.
            let best = options.out.join(format!("{}.onnx", model.name()));
            let earlier = std::fs::read(&best).ok().and_then(|file| onnx::metadata(&file, DEV_ACCURACY));
            if earlier.and_then(|text| text.parse().ok()).is_none_or(|earlier: f64| dev > earlier) {
                std::fs::write(best, &file)?;
            }
        }
    }
    Ok(())
}

/// Trains one network.
fn one(model: Model, corpus: &cifar::Corpus, recipe: &Recipe, seed: u64) -> Result<Trained, Box<dyn Error>> {
    let architecture = model.architecture();
    let score = |weights: &[Weight], images: &[Image]| {
        accuracy(&predict(&architecture, weights, images), &labels(images))
    };
    let start = Instant::now();
    let report = |epoch: usize, loss: f32, average: &[Weight]| {
        if (epoch + 1).is_multiple_of(5) {
            let dev = score(average, &corpus.dev);
            let seconds = start.elapsed().as_secs_f32();
            let rate = ((epoch + 1) * corpus.train.len()) as f32 / seconds;
            println!(
                "{} seed {seed} epoch {}: loss {loss:.4}, dev {dev:.2}, {seconds:.0} s, {rate:.0} images/s",
                model.name(),
                epoch + 1
            );
        }
    };
    // A pool of one thread: a step hardly gains from a second.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let weights = pool.install(|| train(&architecture, &corpus.train, recipe, seed, report));
    let scores = vec![(score(&weights, &corpus.dev), score(&weights, &corpus.test))];
    Ok(Trained { seed, weights, scores })
}
