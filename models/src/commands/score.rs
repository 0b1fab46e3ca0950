//! Exported event models on their recordings, in float and in int8.

use std::error::Error;
use std::path::PathBuf;

use mixel_models::data;
use mixel_models::events::Recording;
use mixel_models::events::exported::Exported;
use mixel_models::events::zoo::Model;

/// What scoring takes.
#[derive(clap::Args)]
pub struct Options {
    /// Seeds, from 0.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Folder with MODEL-SEED.onnx.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo/seeds"))]
    pub models: PathBuf,
}

pub fn run(model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let corpus = model.corpus(&data::folder())?;
    println!("{}: {}", model.name(), corpus.sources.join(", "));
    let geometry = model.front_end().histogram.geometry;
    println!(
        "| seed | recordings | float | int8 | equal answers | plan | arena |\n|---|---|---|---|---|---|---|"
    );
    for seed in 0..options.seeds {
        let path = options.models.join(format!("{}-{seed}.onnx", model.name()));
        let exported = Exported::new(&path, &corpus.train, geometry)?;
        for (part, recordings) in [("test", &corpus.test), ("foreign", &corpus.foreign)] {
            if recordings.is_empty() {
                continue;
            }
            let (float, int8) = (exported.float(recordings)?, exported.int8(recordings)?);
            let right = |classes: &[usize]| {
                let pairs = classes.iter().zip(recordings);
                pairs.filter(|(class, recording): &(&usize, &Recording)| **class == recording.label).count()
            };
            println!(
                "| {seed} | {part}, {} | {} | {} | {} | {} bytes | {} bytes |",
                recordings.len(),
                right(&float),
                right(&int8),
                float.iter().zip(&int8).filter(|(a, b)| a == b).count(),
                exported.plan_bytes(),
                exported.arena_bytes()
            );
        }
    }
    Ok(())
}
