//! Exports a network to ONNX, with weights from a seed or from PyTorch.

use std::error::Error;
use std::path::PathBuf;

use mixel_models::onnx;
use mixel_models::scet::pytorch;
use mixel_models::super_resolution::zoo::Model;
use rand::{SeedableRng, rngs::StdRng};

/// Which weights, which size of images, and where to.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    weights: Weights,
    /// Rows of the small image.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    height: u16,
    /// Columns of the small image.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    width: u16,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
}

#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct Weights {
    /// Random weights of this seed, as training starts from them.
    #[arg(long, value_name = "SEED")]
    random: Option<u64>,
    /// A .safetensors file of a PyTorch state dict with the names of the official repository.
    #[arg(long, value_name = "FILE")]
    pytorch: Option<PathBuf>,
    /// An ONNX file that was exported here, such as one of the zoo.
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
}

pub fn run(model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let architecture = model.architecture();
    let Weights { random, pytorch, onnx } = &options.weights;
    let weights = match (random, pytorch, onnx) {
        (Some(seed), ..) => architecture.start(&mut StdRng::seed_from_u64(*seed)),
        (_, Some(path), _) => pytorch::read(&architecture, path)?,
        (_, _, Some(path)) => onnx::scet::read(&architecture, path)?,
        (None, None, None) => unreachable!("the argument parser wants one of them"),
    };
    let size = [options.height.into(), options.width.into()];
    std::fs::write(&options.out, onnx::scet::export(model.name(), &architecture, size, &weights))?;
    println!(
        "{}: {} parameters, {} products a pixel, {} x {} -> {}",
        model.name(),
        architecture.parameter_count(),
        architecture.products(),
        options.width,
        options.height,
        options.out.display()
    );
    Ok(())
}
