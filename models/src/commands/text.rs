//! Trains and exports a text model.

use std::error::Error;
use std::time::Instant;

use mixel_models::data::{self, Corpus};
use mixel_models::pnlp_mixer::Architecture;
use mixel_models::table::{Row, Table};
use mixel_models::train::{self, Encoded};
use mixel_models::weights::Weight;
use mixel_models::zoo::Model;
use mixel_models::{controls, jobs, onnx};

use super::{Options, Trained, export_all};

pub fn run(model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let corpus = model.corpus(&data::folder())?;
    let architecture = model.architecture(corpus.labels.len());
    println!("{}: {}", model.name(), corpus.sources.join(", "));
    println!(
        "{} / {} / {} sentences, one of the test set = {:.3} points",
        corpus.train.len(),
        corpus.dev.len(),
        corpus.test.len(),
        100.0 / corpus.test.len() as f64
    );

    let trained = train_seeds(model, &architecture, &corpus, options)?;
    let export =
        |weights: &[Weight]| onnx::pnlp_mixer::export(model.name(), &architecture, weights, &corpus.labels);
    export_all(model.name(), &options.out, &trained, export)?;

    let mut rows = controls::rows(model, &architecture, &corpus, options.seeds)?;
    rows.push(Row {
        name: format!("**{}**", model.name()),
        size: format!("{} params", architecture.parameter_count()),
        seeds: trained.iter().map(|trained| trained.scores.clone()).collect(),
    });
    println!("\n{}", Table { metrics: model.metrics(), rows });
    Ok(())
}

fn train_seeds(
    model: Model,
    architecture: &Architecture,
    corpus: &Corpus,
    options: &Options,
) -> Result<Vec<Trained>, Box<dyn Error>> {
    let mut recipe = model.recipe();
    recipe.epochs = options.epochs.unwrap_or(recipe.epochs);
    println!("{recipe:?}");
    let train = Encoded::new(architecture, &corpus.train)?;
    let dev = Encoded::new(architecture, &corpus.dev)?;
    let test = Encoded::new(architecture, &corpus.test)?;
    let start = Instant::now();
    let run = |seed| {
        let weights =
            train::train(architecture, &corpus.labels, &train, &recipe, seed, |epoch, loss, average| {
                if (epoch + 1) % 10 == 0 {
                    let predicted = train::predict(architecture, average, &dev);
                    let score = model.score(&corpus.labels, &corpus.dev, &predicted)[0];
                    let seconds = start.elapsed().as_secs();
                    println!("seed {seed} epoch {}: loss {loss:.4}, dev {score:.2}, {seconds} s", epoch + 1);
                }
            });
        let score = |examples, encoded| {
            model.score(&corpus.labels, examples, &train::predict(architecture, &weights, encoded))
        };
        let scores = score(&corpus.dev, &dev).into_iter().zip(score(&corpus.test, &test)).collect();
        Trained { seed, weights, scores }
    };
    Ok(jobs::run(options.seeds, options.jobs, run)?)
}
