//! Cross-validation of an event model over all recordings of its corpus.

use std::error::Error;
use std::path::PathBuf;

use mixel_models::events::folds::{self, Score};
use mixel_models::events::zoo::Model;
use mixel_models::metrics::interval;
use mixel_models::{data, jobs};

/// What cross-validation takes.
#[derive(clap::Args)]
pub struct Options {
    /// Parts that the recordings are divided into.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..))]
    pub folds: u64,
    /// Folder for MODEL-FOLD.onnx; a fold whose file is there is tested and not trained again.
    #[arg(long)]
    pub out: PathBuf,
    /// Folds trained at a time, one thread each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub jobs: u64,
    /// Passes over the training set instead of the recipe's.
    #[arg(long)]
    pub epochs: Option<usize>,
}

pub fn run(model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let corpus = model.corpus(&data::folder())?;
    println!("{}: {}", model.name(), corpus.sources.join(", "));
    let recordings = [corpus.train, corpus.dev, corpus.test].concat();
    let classes: Vec<usize> = recordings.iter().map(|recording| recording.label).collect();
    let assigned = folds::assign(&classes, options.folds as usize);
    let mut recipe = model.recipe();
    recipe.epochs = options.epochs.unwrap_or(recipe.epochs);
    println!("{} recordings, {} folds, {recipe:?}", recordings.len(), options.folds);
    std::fs::create_dir_all(&options.out)?;
    let scores = jobs::run(options.folds, options.jobs, |fold| {
        let all = (&recordings[..], &corpus.labels[..]);
        let path = options.out.join(format!("{}-{fold}.onnx", model.name()));
        let score = folds::run(model, all, (&assigned, fold as usize), &recipe, &path);
        println!("fold {fold}: {score:?}");
        score
    })?;
    let mut all = Score::default();
    for score in scores {
        let score = score?;
        all.tested += score.tested;
        all.float += score.float;
        all.int8 += score.int8;
        all.nearest += score.nearest;
    }
    println!(
        "\n| {} recordings, each tested once | right | accuracy | 95 % interval |\n|---|---|---|---|",
        all.tested
    );
    for (name, right) in [("5-nearest", all.nearest), ("float", all.float), ("int8", all.int8)] {
        let (low, high) = interval(right, all.tested);
        println!(
            "| {name} | {right} | {:.2} | {low:.1} to {high:.1} |",
            100.0 * right as f64 / all.tested as f64
        );
    }
    Ok(())
}
