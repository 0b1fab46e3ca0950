//! The table of image models, measured from their files: beside bicubic, in float and in int8, and with parts left out.

use std::error::Error;
use std::path::{Path, PathBuf};

use mixel_models::scet::Architecture;
use mixel_models::super_resolution::pairs::{self, Pair, Set};
use mixel_models::super_resolution::score::{self, CALIBRATION, Int8, Quality};
use mixel_models::super_resolution::train::Enlarger;
use mixel_models::super_resolution::zoo::{ABLATION_STEPS, ABLATIONS, Model};
use mixel_models::weights::Weight;
use mixel_models::{data, onnx};

use super::super_resolution::{TILE, ablation_file};

const BEGIN: &str = "<!-- made by `mixel-models score-super-resolution --renew` -->";
const END: &str = "<!-- until here -->";

/// Patches of the tile that calibrate the plan whose bytes are reported.
const TILES: usize = 64;

/// What scoring takes.
#[derive(clap::Args)]
pub struct Options {
    /// Seeds, from 0.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Folder with seeds/MODEL-SEED.onnx and ablations/MODEL-PART.onnx.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo"))]
    models: PathBuf,
    /// Put the tables into the README, too.
    #[arg(long)]
    renew: bool,
}

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut text = Lines::default();
    for model in Model::TRAINED {
        whole(&mut text, model, options)?;
    }
    for model in Model::TRAINED {
        ablations(&mut text, model, &options.models)?;
    }
    if !options.renew {
        return Ok(());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path)?;
    let missing = |mark| format!("{} has no line `{mark}`", path.display());
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    std::fs::write(&path, format!("{before}{BEGIN}\n{}{END}{after}", text.0))?;
    Ok(())
}

/// Lines that show themselves as they come: int8 takes minutes.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn line(&mut self, line: String) {
        println!("{line}");
        self.0.push_str(&line);
        self.0.push('\n');
    }
}

/// Bicubic, and every seed in float and in int8.
fn whole(text: &mut Lines, model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let (folder, architecture) = (data::folder(), model.architecture());
    let scale = architecture.size.scale;
    let known = pairs::training(&folder, scale)?.train;
    let sets = [Set::Set5, Set::Set14].map(|set| pairs::test(&folder, set, scale).map(|(pairs, _)| pairs));
    let [set5, set14] = sets;
    let sets = [set5?, set14?];
    text.line(format!("| x{scale} | parameters | MAC a pixel | plan | arena, 32 x 32 | Set5 | Set14 | beside float |\n|---|---|---|---|---|---|---|---|"
    ));
    let [set5, set14] = each(&sets, |pairs| score::mean(pairs, score::bicubic))?;
    text.line(format!("| bicubic | - | - | - | - | {set5} | {set14} | - |"));
    for seed in 0..options.seeds {
        let path = options.models.join(format!("seeds/{}-{seed}.onnx", model.name()));
        let weights = onnx::scet::read(&architecture, &path)?;
        let enlarger = Enlarger::new(&architecture, &weights);
        let [set5, set14] =
            each(&sets, |pairs| score::mean(pairs, |pair| Ok(score::float(&enlarger, pair))))?;
        let (parameters, products) = (architecture.parameter_count(), architecture.products());
        text.line(format!(
            "| {}, seed {seed}, float | {parameters} | {products} | - | - | {set5} | {set14} | - |",
            model.name()
        ));
        let tile = Int8::read(&path, &known, TILES, TILE)?;
        let [(set5, near5), (set14, near14)] =
            each(&sets, |pairs| int8((&architecture, &weights, &enlarger), &known, pairs))?;
        text.line(format!(
            "| {}, seed {seed}, int8 | {parameters} | {products} | {} | {} | {set5} | {set14} | {near5:.2}, {near14:.2} |",
            model.name(),
            tile.plan_bytes(),
            tile.arena_bytes()
        ));
    }
    text.line(String::new());
    Ok(())
}

fn each<T>(sets: &[Vec<Pair>; 2], score: impl Fn(&[Pair]) -> mixel::Result<T>) -> mixel::Result<[T; 2]> {
    let [first, second] = sets.each_ref().map(|pairs| score(pairs));
    Ok([first?, second?])
}

/// The network in int8, compiled for the size of each image, and how near its images come to those in float, in dB.
fn int8(
    (architecture, weights, enlarger): (&Architecture, &[Weight], &Enlarger),
    known: &[Pair],
    pairs: &[Pair],
) -> mixel::Result<(Quality, f64)> {
    let mut near = 0.0;
    let quality = score::mean(pairs, |pair| {
        let size = [pair.small.height(), pair.small.width()];
        let large = Int8::new(architecture, weights, size, known, CALIBRATION)?.enlarge(&pair.small)?;
        let in_float = score::float(enlarger, pair);
        near += score::nearness(&large, &in_float, architecture.size.scale)? / pairs.len() as f64;
        Ok(large)
    })?;
    Ok((quality, near))
}

/// Every network with a part left out, in float.
fn ablations(text: &mut Lines, model: Model, models: &Path) -> Result<(), Box<dyn Error>> {
    let scale = model.architecture().size.scale;
    let (pairs, _) = pairs::test(&data::folder(), Set::Set5, scale)?;
    let folder = models.join("ablations");
    if !ablation_file(&folder, model, ABLATIONS[0].name).is_file() {
        return Ok(());
    }
    text.line(format!("| x{scale}, {ABLATION_STEPS} steps, seed 0, float | parameters | MAC a pixel | Set5 |\n|---|---|---|---|"
    ));
    for ablation in ABLATIONS {
        let architecture = Architecture { parts: ablation.parts, ..model.architecture() };
        let weights = onnx::scet::read(&architecture, &ablation_file(&folder, model, ablation.name))?;
        let enlarger = Enlarger::new(&architecture, &weights);
        let set5 = score::mean(&pairs, |pair| Ok(score::float(&enlarger, pair)))?;
        let (parameters, products) = (architecture.parameter_count(), architecture.products());
        text.line(format!("| {} | {parameters} | {products} | {set5} |", ablation.name));
    }
    text.line(String::new());
    Ok(())
}
