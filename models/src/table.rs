//! The table of a training run: models and baselines in the same columns.

use std::fmt;

/// Scores of one arm, one entry a seed: for each metric its value on the development and on the test set.
pub type Seeds = Vec<Vec<(f64, f64)>>;

/// One row.
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Size of the model, as text: parameters or entries.
    pub size: String,
    /// Scores; several seeds print as mean and half the range.
    pub seeds: Seeds,
}

/// A table in Markdown.
pub struct Table<'a> {
    /// Names of the metrics.
    pub metrics: &'a [&'a str],
    /// Rows in order.
    pub rows: Vec<Row>,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| model | size | seeds |")?;
        for metric in self.metrics {
            write!(f, " {metric}, dev | {metric}, test |")?;
        }
        write!(f, "\n|---|---|---|{}", "---|---|".repeat(self.metrics.len()))?;
        for row in &self.rows {
            write!(f, "\n| {} | {} | {} |", row.name, row.size, row.seeds.len())?;
            for metric in 0..self.metrics.len() {
                for split in [|score: (f64, f64)| score.0, |score: (f64, f64)| score.1] {
                    let values: Vec<f64> = row.seeds.iter().map(|scores| split(scores[metric])).collect();
                    write!(f, " {} |", mean_and_spread(&values))?;
                }
            }
        }
        Ok(())
    }
}

/// `mean ± half of (largest - smallest)`, the latter only for several values.
fn mean_and_spread(values: &[f64]) -> String {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if values.len() > 1 { format!("{mean:.2} ± {:.2}", (high - low) / 2.0) } else { format!("{mean:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_markdown() {
        let table = Table {
            metrics: &["accuracy"],
            rows: vec![
                Row { name: "a".into(), size: "-".into(), seeds: vec![vec![(50.0, 40.0)]] },
                Row {
                    name: "b".into(),
                    size: "7 params".into(),
                    seeds: vec![vec![(90.0, 80.0)], vec![(91.0, 83.0)]],
                },
            ],
        };
        assert_eq!(
            table.to_string(),
            "| model | size | seeds | accuracy, dev | accuracy, test |\n\
             |---|---|---|---|---|\n\
             | a | - | 1 | 50.00 | 40.00 |\n\
             | b | 7 params | 2 | 90.50 ± 0.50 | 81.50 ± 1.50 |"
        );
    }
}
