//! The subcommands.

use std::path::{Path, PathBuf};

use mixel_models::weights::Weight;

pub mod calibration;
pub mod events;
pub mod export;
pub mod folds;
pub mod images;
pub mod score;
pub mod score_super_resolution;
pub mod super_resolution;
pub mod table;
pub mod text;

/// What every training takes.
#[derive(clap::Args)]
pub struct Options {
    /// Seeds, from 0.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Folder for MODEL.onnx (the seed that is best on the development set) and seeds/MODEL-SEED.onnx.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo"))]
    pub out: PathBuf,
    /// Seeds trained at a time, one thread each.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub jobs: u64,
    /// Passes over the training set instead of the recipe's.
    #[arg(long)]
    pub epochs: Option<usize>,
}

/// One seed's network.
pub struct Trained {
    pub seed: u64,
    pub weights: Vec<Weight>,
    /// Development and test value of every metric.
    pub scores: Vec<(f64, f64)>,
}

/// Writes every seed, and the one that is best on the development set once more.
pub fn export_all(
    name: &str,
    out: &Path,
    trained: &[Trained],
    export: impl Fn(&[Weight]) -> Vec<u8>,
) -> std::io::Result<()> {
    std::fs::create_dir_all(out.join("seeds"))?;
    for trained in trained {
        let path = out.join(format!("seeds/{name}-{}.onnx", trained.seed));
        std::fs::write(&path, export(&trained.weights))?;
        println!("seed {}: {:?} -> {}", trained.seed, trained.scores, path.display());
    }
    let dev = |trained: &Trained| trained.scores.first().map_or(0.0, |score| score.0);
    if let Some(best) = trained.iter().max_by(|a, b| dev(a).total_cmp(&dev(b))) {
        let path = out.join(format!("{name}.onnx"));
        std::fs::write(&path, export(&best.weights))?;
        println!("best on dev: seed {} -> {}", best.seed, path.display());
    }
    Ok(())
}
