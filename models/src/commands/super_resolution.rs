//! Trains and exports image models, whole and with a part left out.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use mixel_models::scet::Architecture;
use mixel_models::super_resolution::pairs::{self, Corpus, Pair, Set};
use mixel_models::super_resolution::planes::Planes;
use mixel_models::super_resolution::score;
use mixel_models::super_resolution::train::{Enlarger, Recipe, train};
use mixel_models::super_resolution::zoo::{ABLATION_STEPS, ABLATIONS, Model};
use mixel_models::weights::Weight;
use mixel_models::{data, jobs, onnx};

use super::{Trained, export_all};

/// Sides of the small images that files of the zoo are for.
pub const TILE: [usize; 2] = [32, 32];
/// Steps between two lines of progress.
const EVERY: usize = 500;

/// What training takes.
#[derive(clap::Args)]
pub struct Options {
    /// Seeds, from 0.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Seeds trained at a time, one thread each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Steps in float instead of the recipe's.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Folder for MODEL.onnx (the seed that is best on the images held out) and seeds/MODEL-SEED.onnx.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo"))]
    out: PathBuf,
}

pub fn run(model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let mut recipe = model.recipe();
    recipe.steps = options.steps.map_or(recipe.steps, |steps| steps as usize);
    let bench = Bench::new(model)?;
    let trained = jobs::run(options.seeds, options.jobs, |seed| {
        bench.train(model.architecture(), &recipe, seed, &format!("seed {seed}"))
    })?
    .into_iter()
    .collect::<mixel::Result<Vec<Trained>>>()?;
    let export = |weights: &[Weight]| onnx::scet::export(model.name(), &model.architecture(), TILE, weights);
    Ok(export_all(model.name(), &options.out, &trained, export)?)
}

/// What training with a part left out takes.
#[derive(clap::Args)]
pub struct AblationOptions {
    /// Steps of each network.
    #[arg(long, default_value_t = ABLATION_STEPS)]
    steps: usize,
    /// Folder for MODEL-PART.onnx.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo/ablations"))]
    out: PathBuf,
}

pub fn ablate(model: Model, options: &AblationOptions) -> Result<(), Box<dyn Error>> {
    let recipe = Recipe { steps: options.steps, rounded_steps: 0, ..model.recipe() };
    let bench = Bench::new(model)?;
    std::fs::create_dir_all(&options.out)?;
    for ablation in ABLATIONS {
        let architecture = Architecture { parts: ablation.parts, ..model.architecture() };
        let trained = bench.train(architecture, &recipe, 0, ablation.name)?;
        let path = ablation_file(&options.out, model, ablation.name);
        std::fs::write(&path, onnx::scet::export(model.name(), &architecture, TILE, &trained.weights))?;
        println!("{}: {:?} -> {}", ablation.name, trained.scores, path.display());
    }
    Ok(())
}

/// The file of a network with a part left out.
pub fn ablation_file(folder: &Path, model: Model, part: &str) -> PathBuf {
    folder.join(format!("{}-{part}.onnx", model.name()))
}

/// Images to learn from and to measure.
struct Bench {
    corpus: Corpus,
    train: Vec<[Planes; 2]>,
    test: Vec<Pair>,
}

impl Bench {
    fn new(model: Model) -> Result<Self, Box<dyn Error>> {
        let (folder, scale) = (data::folder(), model.architecture().size.scale);
        let corpus = pairs::training(&folder, scale)?;
        let (test, source) = pairs::test(&folder, Set::Set5, scale)?;
        println!(
            "{}: {} ({} for fitting, {} for choices); {source}",
            model.name(),
            corpus.source,
            corpus.train.len(),
            corpus.dev.len()
        );
        let train = corpus.train.iter().map(Pair::planes).collect();
        Ok(Self { corpus, train, test })
    }

    /// One network; its scores are PSNR on the images held out and on Set5.
    fn train(
        &self,
        architecture: Architecture,
        recipe: &Recipe,
        seed: u64,
        name: &str,
    ) -> mixel::Result<Trained> {
        println!("{name}: {recipe:?}");
        let psnr = |weights: &[Weight], pairs: &[Pair]| -> mixel::Result<f64> {
            let enlarger = Enlarger::new(&architecture, weights);
            Ok(score::mean(pairs, |pair| Ok(score::float(&enlarger, pair)))?.psnr)
        };
        let start = Instant::now();
        let mut failed = None;
        let weights = train(&architecture, &self.train, recipe, seed, EVERY, |step, loss, average| {
            let seconds = start.elapsed().as_secs();
            match psnr(average, &self.corpus.dev) {
                Ok(dev) => println!("{name} step {step}: loss {loss:.5}, dev {dev:.3} dB, {seconds} s"),
                Err(error) => failed = Some(error),
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        let scores = vec![(psnr(&weights, &self.corpus.dev)?, psnr(&weights, &self.test)?)];
        Ok(Trained { seed, weights, scores })
    }
}
