//! The baselines of a model, measured on its data.

use mixel_core::text::FrontEndError;

use crate::baselines::{
    Counts, FrequentTag, Linear, LinearRecipe, NaiveBayes, majority, summed_filter, window_counts,
};
use crate::batch::Sentence;
use crate::data::{Corpus, Example};
use crate::pnlp_mixer::{Architecture, Head};
use crate::table::Row;
use crate::zoo::Model;

/// What the linear classifiers are tried with; the best on the development set is reported.
const LINEAR_RECIPES: [LinearRecipe; 6] = {
    const fn recipe(epochs: usize, learning_rate: f32, weight_decay: f32) -> LinearRecipe {
        LinearRecipe { epochs, learning_rate, weight_decay }
    }
    [
        recipe(20, 0.003, 0.0),
        recipe(20, 0.01, 0.0),
        recipe(20, 0.03, 0.0),
        recipe(60, 0.003, 0.0),
        recipe(60, 0.01, 0.0),
        recipe(60, 0.01, 0.1),
    ]
};

/// Added to every count of naive Bayes; the best on the development set is reported.
const PSEUDO_COUNTS: [f64; 4] = [1.0, 0.3, 0.1, 0.03];

/// Fits and scores every baseline of `model`; those that depend on chance with `seeds` seeds.
///
/// # Errors
/// The architecture's sizes are out of the front end's range.
pub fn rows(
    model: Model,
    architecture: &Architecture,
    corpus: &Corpus,
    seeds: u64,
) -> Result<Vec<Row>, FrontEndError> {
    let classes = architecture.classes;
    let score = |predict: &dyn Fn(&Example) -> Vec<usize>| {
        let on = |examples: &[Example]| {
            let predicted: Vec<Vec<usize>> = examples.iter().map(predict).collect();
            model.score(&corpus.labels, examples, &predicted)
        };
        on(&corpus.dev).into_iter().zip(on(&corpus.test)).collect::<Vec<_>>()
    };
    let commonest = majority(&corpus.train, classes);
    let mut rows = vec![Row {
        name: "majority class".into(),
        size: "-".into(),
        seeds: vec![score(&|example| vec![commonest; example.target.len()])],
    }];
    match architecture.head {
        Head::Sequence => {
            let arms = PSEUDO_COUNTS.map(|pseudo_count| {
                let bayes = NaiveBayes::fit(&corpus.train, classes, pseudo_count);
                let scores = score(&|example| vec![bayes.predict(&example.text)]);
                ((pseudo_count, bayes.vocabulary()), scores)
            });
            let ((pseudo_count, vocabulary), scores) = best_on_dev(arms);
            rows.push(Row {
                name: format!("naive Bayes on words (+{pseudo_count})"),
                size: format!("{vocabulary} words"),
                seeds: vec![scores],
            });
        }
        Head::Tokens => {
            let tags = FrequentTag::fit(&corpus.train, classes);
            rows.push(Row {
                name: "most frequent tag of each word".into(),
                size: format!("{} words", tags.vocabulary()),
                seeds: vec![score(&|example| tags.predict(&example.text))],
            });
        }
    }

    let front_end = architecture.size.front_end()?;
    let (name, bins) = match architecture.head {
        Head::Sequence => ("linear on the summed filter", front_end.m()),
        Head::Tokens => ("linear on each word's window", front_end.m() * front_end.slots()),
    };
    let counts = |text: &str| -> Vec<Counts> {
        let sentence = Sentence::new(&front_end, text);
        match architecture.head {
            Head::Sequence => vec![summed_filter(&sentence)],
            Head::Tokens => window_counts(&front_end, &sentence),
        }
    };
    let train: Vec<(Counts, usize)> = corpus
        .train
        .iter()
        .flat_map(|example| counts(&example.text).into_iter().zip(example.target.iter().copied()))
        .collect();
    let fit = |recipe: &LinearRecipe, seed| {
        let linear = Linear::fit(&train, bins, classes, recipe, seed);
        score(&|example| counts(&example.text).iter().map(|counts| linear.predict(counts)).collect())
    };
    let (recipe, _) = best_on_dev(LINEAR_RECIPES.map(|recipe| (recipe, fit(&recipe, 0))));
    rows.push(Row {
        name: format!(
            "{name} ({} epochs, rate {}, decay {})",
            recipe.epochs, recipe.learning_rate, recipe.weight_decay
        ),
        size: format!("{} params", (bins + 1) * classes),
        seeds: (0..seeds).map(|seed| fit(&recipe, seed)).collect(),
    });
    Ok(rows)
}

/// Development and test value of every metric.
type Scores = Vec<(f64, f64)>;

/// The arm whose first metric is highest on the development set, the first of equals.
fn best_on_dev<T, const N: usize>(arms: [(T, Scores); N]) -> (T, Scores) {
    const { assert!(N > 0) };
    arms.into_iter()
        .reduce(|best, arm| if arm.1[0].0 > best.1[0].0 { arm } else { best })
        .expect("at least one arm")
}
