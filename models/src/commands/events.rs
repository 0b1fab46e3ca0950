//! Trains and exports a model of event-camera recordings.

use std::error::Error;
use std::time::Instant;

use mixel_models::events::front_end::Frame;
use mixel_models::events::zoo::{Corpus, Model};
use mixel_models::events::{Recording, controls, train};
use mixel_models::metrics::accuracy;
use mixel_models::table::{Row, Table};
use mixel_models::weights::Weight;
use mixel_models::{data, jobs, onnx};

use super::{Options, Trained, export_all};

pub fn run(model: Model, options: &Options) -> Result<(), Box<dyn Error>> {
    let corpus = model.corpus(&data::folder())?;
    println!("{}: {}", model.name(), corpus.sources.join(", "));
    println!(
        "{} / {} / {} recordings, one of the test set = {:.3} points",
        corpus.train.len(),
        corpus.dev.len(),
        corpus.test.len(),
        100.0 / corpus.test.len() as f64
    );
    let (architecture, front_end) = (model.architecture(), model.front_end());
    print_work(model, &corpus);

    let mut recipe = model.recipe();
    recipe.epochs = options.epochs.unwrap_or(recipe.epochs);
    println!("{recipe:?}");
    let frames = |recordings: &[Recording]| -> Vec<Vec<Frame>> {
        recordings.iter().map(|recording| front_end.frames(&recording.events, 0)).collect()
    };
    let (dev, test) = (frames(&corpus.dev), frames(&corpus.test));
    let score = |weights: &[Weight], frames: &[Vec<Frame>], recordings: &[Recording]| {
        let labels: Vec<usize> = recordings.iter().map(|recording| recording.label).collect();
        accuracy(&train::predict(&architecture, weights, frames), &labels)
    };
    let start = Instant::now();
    let trained = jobs::run(options.seeds, options.jobs, |seed| {
        let weights =
            train::train(&architecture, &front_end, &corpus.train, &recipe, seed, |epoch, loss, average| {
                if (epoch + 1) % 10 == 0 {
                    let score = score(average, &dev, &corpus.dev);
                    let seconds = start.elapsed().as_secs();
                    println!("seed {seed} epoch {}: loss {loss:.4}, dev {score:.2}, {seconds} s", epoch + 1);
                }
            });
        let scores = vec![(score(&weights, &dev, &corpus.dev), score(&weights, &test, &corpus.test))];
        Trained { seed, weights, scores }
    })?;
    let foreign = frames(&corpus.foreign);
    for trained in trained.iter().filter(|_| !foreign.is_empty()) {
        let predicted = train::predict(&architecture, &trained.weights, &foreign);
        let pairs: Vec<(usize, usize)> =
            corpus.foreign.iter().map(|recording| recording.label).zip(predicted).collect();
        let right = pairs.iter().filter(|(label, class)| label == class).count();
        println!(
            "seed {}: {right} of {} foreign recordings; (class, answer): {pairs:?}",
            trained.seed,
            pairs.len()
        );
    }
    let export = |weights: &[Weight]| {
        onnx::event_transformer::export(model.name(), &architecture, &front_end, weights, &corpus.labels)
    };
    export_all(model.name(), &options.out, &trained, export)?;

    let mut rows = controls::rows(model, &corpus, options.seeds, options.jobs, options.epochs)?;
    rows.push(Row {
        name: format!("**{}**", model.name()),
        size: format!("{} params", architecture.parameter_count()),
        seeds: trained.iter().map(|trained| trained.scores.clone()).collect(),
    });
    println!("\n{}", Table { metrics: &["accuracy"], rows });
    Ok(())
}

/// Windows, tokens and multiplications of the test recordings, beside those of the network on all patches.
fn print_work(model: Model, corpus: &Corpus) {
    let (architecture, front_end) = (model.architecture(), model.front_end());
    let frames: Vec<Frame> =
        corpus.test.iter().flat_map(|recording| front_end.frames(&recording.events, 0)).collect();
    let tokens = |frame: &Frame| frame.patches.len();
    let (sum, most) =
        (frames.iter().map(tokens).sum::<usize>(), frames.iter().map(tokens).max().unwrap_or(0));
    let dropped: usize = frames.iter().map(|frame| frame.dropped).sum();
    let windows = frames.len().max(1);
    let work: usize = frames.iter().map(|frame| architecture.products(tokens(frame))).sum();
    let dense = architecture.products(front_end.histogram.grid.patches());
    println!(
        "{} windows, {:.1} tokens each, at most {most}, {dropped} dropped; {} multiplications a window, {dense} for all patches ({:.2} times)",
        frames.len(),
        sum as f64 / windows as f64,
        work / windows,
        (dense * windows) as f64 / work as f64
    );
}
