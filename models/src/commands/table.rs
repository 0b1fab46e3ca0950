//! The table of the exported networks of pictures, printed or put into README.md.

use std::error::Error;
use std::path::{Path, PathBuf};

use mixel_models::data;
use mixel_models::images::exported::Exported;
use mixel_models::images::report::{Entry, table, verdicts};
use mixel_models::images::train::predict;
use mixel_models::images::zoo::Model;
use mixel_models::images::{Image, baselines, cifar, labels};
use mixel_models::metrics::accuracy;
use rand::{SeedableRng, rngs::StdRng};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- made by `mixel-models table --renew` -->";
const END: &str = "<!-- until here -->";

/// Emulated Cortex-M4 and Cortex-M55.
const BOARDS: [&str; 2] = ["mps2-an386", "mps3-an547"];

/// What the table takes.
#[derive(clap::Args)]
pub struct Options {
    /// Folder with MODEL.onnx and seeds/MODEL-SEED.onnx.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/zoo"))]
    pub zoo: PathBuf,
    /// Put the table into models/README.md.
    #[arg(long)]
    pub renew: bool,
}

pub fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let corpus = cifar::load(&data::folder())?;
    let expected = labels(&corpus.test);
    let mut rows = vec![("chance".to_string(), 0, 100.0 / corpus.labels.len() as f64)];
    let simple = baselines::rows(&corpus.train, &corpus.dev, &corpus.test, corpus.labels.len());
    rows.extend(simple.into_iter().map(|(name, values, found)| (name, values, accuracy(&found, &expected))));
    let (name, values, found) = floor(Model::SpachConv, &corpus.test);
    rows.push((name, values, accuracy(&found, &expected)));
    let mut entries = Vec::new();
    for model in Model::ALL {
        if let Some(entry) = entry(model, &corpus, &options.zoo)? {
            println!("{entry:?}");
            entries.push(entry);
        }
    }
    let mut text = table(&entries, &rows);
    text.push('\n');
    for verdict in verdicts(&entries) {
        text.push_str(&format!("- {verdict}\n"));
    }
    println!("\n{text}");
    if options.renew { renew(&text) } else { Ok(()) }
}

/// What the network answers with random weights: name, values that it stores, its classes.
fn floor(model: Model, images: &[Image]) -> (String, usize, Vec<usize>) {
    let architecture = model.architecture();
    let weights = architecture.random(&mut StdRng::seed_from_u64(0));
    let classes = predict(&architecture, &weights, images);
    (format!("{} with random weights", model.name()), architecture.parameter_count(), classes)
}

/// The figures of a model, if its files are there.
fn entry(model: Model, corpus: &cifar::Corpus, zoo: &Path) -> Result<Option<Entry>, Box<dyn Error>> {
    let expected = labels(&corpus.test);
    let (mut float, mut int8) = (Vec::new(), Vec::new());
    let seeds = (0..).map(|seed| zoo.join(format!("seeds/{}-{seed}.onnx", model.name())));
    for path in seeds.take_while(|path| path.exists()) {
        let exported = Exported::new(&path, &corpus.train)?;
        float.push(accuracy(&exported.float(&corpus.test)?, &expected));
        int8.push(accuracy(&exported.int8(&corpus.test)?, &expected));
    }
    let best = zoo.join(format!("{}.onnx", model.name()));
    let (false, Some(image)) = (int8.is_empty(), corpus.test.first()) else {
        println!("{}: not in {}", model.name(), zoo.display());
        return Ok(None);
    };
    let exported = Exported::new(&best, &corpus.train)?;
    let [m4, m55] = [exported.cost(BOARDS[0], image)?, exported.cost(BOARDS[1], image)?];
    Ok(Some(Entry {
        name: model.name().into(),
        parameters: model.architecture().parameter_count(),
        float,
        int8,
        m4,
        m55,
        flash: exported.flash(BOARDS[0])?,
    }))
}

/// Puts `text` between the marks.
fn renew(text: &str) -> Result<(), Box<dyn Error>> {
    let readme = std::fs::read_to_string(README)?;
    let missing = |mark: &str| format!("{README} has no line `{mark}`");
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    std::fs::write(README, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
    Ok(())
}
