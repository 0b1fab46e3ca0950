//! Trains the models of the zoo, beside their baselines, and exports them.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Parser, Subcommand};
use mixel_models::data::{self, Corpus};
use mixel_models::pnlp_mixer::{Architecture, Weight};
use mixel_models::table::{Row, Table};
use mixel_models::train::{self, Encoded};
use mixel_models::zoo::Model;
use mixel_models::{controls, onnx};

#[derive(Parser)]
#[command(about, version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model with several seeds; print it beside its baselines; export every seed to ONNX.
    Train {
        /// The model.
        model: Model,
        /// Seeds, from 0.
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
        /// Folder for MODEL.onnx (the seed that is best on the development set) and seeds/MODEL-SEED.onnx.
        #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo"))]
        out: PathBuf,
        /// Seeds trained at a time, one thread each.
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
        jobs: u64,
        /// Passes over the training set instead of the recipe's.
        #[arg(long)]
        epochs: Option<usize>,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { command: Command::Train { model, seeds, out, jobs, epochs } } = Arguments::parse();
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

    let trained = train_seeds(model, &architecture, &corpus, seeds, jobs, epochs)?;
    fs::create_dir_all(out.join("seeds"))?;
    let export =
        |trained: &Trained| onnx::export(model.name(), &architecture, &trained.weights, &corpus.labels);
    for trained in &trained {
        let path = out.join(format!("seeds/{}-{}.onnx", model.name(), trained.seed));
        fs::write(&path, export(trained))?;
        println!("seed {}: {:?} -> {}", trained.seed, trained.scores, path.display());
    }
    let dev = |trained: &Trained| trained.scores.first().map_or(0.0, |score| score.0);
    if let Some(best) = trained.iter().max_by(|a, b| dev(a).total_cmp(&dev(b))) {
        let path = out.join(format!("{}.onnx", model.name()));
        fs::write(&path, export(best))?;
        println!("best on dev: seed {} -> {}", best.seed, path.display());
    }

    let mut rows = controls::rows(model, &architecture, &corpus, seeds)?;
    rows.push(Row {
        name: format!("**{}**", model.name()),
        size: format!("{} params", architecture.parameter_count()),
        seeds: trained.iter().map(|trained| trained.scores.clone()).collect(),
    });
    println!("\n{}", Table { metrics: model.metrics(), rows });
    Ok(())
}

/// One seed's network.
struct Trained {
    seed: u64,
    weights: Vec<Weight>,
    /// Development and test value of every metric.
    scores: Vec<(f64, f64)>,
}

fn train_seeds(
    model: Model,
    architecture: &Architecture,
    corpus: &Corpus,
    seeds: u64,
    jobs: u64,
    epochs: Option<usize>,
) -> Result<Vec<Trained>, Box<dyn Error>> {
    let mut recipe = model.recipe();
    recipe.epochs = epochs.unwrap_or(recipe.epochs);
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

    // A step hardly gains from a second thread; a second seed does. Each has a pool of its own.
    let next = AtomicU64::new(0);
    let trained = Mutex::new(Vec::new());
    let pools = (0..jobs.min(seeds))
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
        .collect::<Result<Vec<_>, _>>()?;
    std::thread::scope(|scope| {
        for pool in &pools {
            scope.spawn(|| {
                pool.install(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= seeds {
                            break;
                        }
                        let result = run(seed);
                        trained.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(result);
                    }
                });
            });
        }
    });
    let mut trained = trained.into_inner()?;
    trained.sort_by_key(|trained: &Trained| trained.seed);
    Ok(trained)
}
