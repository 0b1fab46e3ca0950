//! Writes calibration inputs of an image model, for `mixel compile --calib`.

use std::error::Error;
use std::path::PathBuf;

use mixel::arrays::write_npz;
use mixel_models::data;
use mixel_models::super_resolution::{pairs, score, zoo::Model};

/// How many inputs of which size, and where to.
#[derive(clap::Args)]
pub struct Options {
    /// Patches of small images of the training set.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
    /// Rows of a patch.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    height: u16,
    /// Columns of a patch.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    width: u16,
    /// The .npz file to write.
    #[arg(long)]
    out: PathBuf,
}

pub fn run(model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let corpus = pairs::training(&data::folder(), model.architecture().size.scale)?;
    let size = [options.height.into(), options.width.into()];
    let inputs = score::calibration(&corpus.train, options.count.into(), size);
    write_npz(&options.out, &[inputs])?;
    println!("{}: {} -> {}", model.name(), corpus.source, options.out.display());
    Ok(())
}
