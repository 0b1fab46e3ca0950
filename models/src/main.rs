//! Trains the models of the zoo.
use clap::Parser;
use mixel_models::{data, train, train::Encoded, zoo::Model};
#[derive(Parser)]
struct Args {
    model: Model,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[arg(long)]
    epochs: Option<usize>,
    #[arg(long)]
    lr: Option<f64>,
    #[arg(long)]
    wd: Option<f32>,
    #[arg(long)]
    hash: Option<f64>,
    #[arg(long)]
    word: Option<f64>,
    #[arg(long)]
    swap: Option<f64>,
    #[arg(long)]
    shift: Option<f64>,
    #[arg(long)]
    smooth: Option<f32>,
    #[arg(long)]
    batch: Option<usize>,
    #[arg(long, default_value_t = 5)]
    every: usize,
}
fn main() {
    let a = Args::parse();
    let c = a.model.corpus(&data::folder()).unwrap();
    let arch = a.model.architecture(c.labels.len());
    let mut r = a.model.recipe();
    if let Some(x) = a.epochs {
        r.epochs = x
    }
    if let Some(x) = a.lr {
        r.learning_rate = x
    }
    if let Some(x) = a.wd {
        r.weight_decay = x
    }
    if let Some(x) = a.hash {
        r.noise.hash_dropout = x
    }
    if let Some(x) = a.word {
        r.noise.word_dropout = x
    }
    if let Some(x) = a.swap {
        r.noise.span_swap = x
    }
    if let Some(x) = a.shift {
        r.noise.shift = x
    }
    if let Some(x) = a.smooth {
        r.smoothing = x
    }
    if let Some(x) = a.batch {
        r.batch = x
    }
    println!("{r:?} {} params, {} classes", arch.parameter_count(), arch.classes);
    let tr = Encoded::new(&arch, &c.train).unwrap();
    let dev = Encoded::new(&arch, &c.dev).unwrap();
    let start = std::time::Instant::now();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        train::train(&arch, &c.labels, &tr, &r, a.seed, |e, l, w| {
            if (e + 1) % a.every == 0 || e + 1 == r.epochs {
                let p = train::predict(&arch, w, &dev);
                println!(
                    "epoch {} loss {l:.4} dev {:.2} t {:.0}s",
                    e + 1,
                    a.model.score(&c.labels, &c.dev, &p),
                    start.elapsed().as_secs_f32()
                );
            }
        })
    });
}
