//! The table of the mixers, and what it says.

use std::fmt::Write;

use super::exported::Cost;

/// One network, its figures.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Values of all parameters.
    pub parameters: usize,
    /// Test accuracy of each seed in float, in percent.
    pub float: Vec<f64>,
    /// Test accuracy of each seed in int8, in percent.
    pub int8: Vec<f64>,
    /// On the Cortex-M4.
    pub m4: Cost,
    /// On the Cortex-M55.
    pub m55: Cost,
    /// Flash of plan and code on the Cortex-M4, in bytes.
    pub flash: u64,
}

/// Plan that the first verdict allows, in bytes: what a network adds to the flash of a firmware that has the code.
const PLAN: usize = 64 << 10;
/// Multiply-accumulates that the second verdict allows.
const MACS: u64 = 4_000_000;
/// Accuracy of guessing, in percent.
const CHANCE: f64 = 10.0;

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Smallest and largest.
fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// Mean and half the range.
fn spread(values: &[f64]) -> String {
    let (low, high) = range(values);
    format!("{:.2} ± {:.2}", mean(values), (high - low) / 2.0)
}

fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The table in Markdown: the networks, then the baselines (name, stored values, accuracy in percent).
pub fn table(entries: &[Entry], baselines: &[(String, usize, f64)]) -> String {
    let mut out = String::from(
        "| network | seeds | float | int8 | parameters | MACs | plan | arena | flash, M4 | instructions, M4 | instructions, M55 |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, values, accuracy) in baselines {
        let values = thousands(*values as u64);
        let _ = writeln!(out, "| {name} | | {accuracy:.2} | | {values} | | | | | | |");
    }
    for entry in entries {
        let numbers = [
            entry.parameters as u64,
            entry.m4.macs,
            entry.m4.plan as u64,
            entry.m4.arena as u64,
            entry.flash,
            entry.m4.instructions,
            entry.m55.instructions,
        ]
        .map(thousands);
        let _ = writeln!(
            out,
            "| **{}** | {} | {} | {} | {} |",
            entry.name,
            entry.int8.len(),
            spread(&entry.float),
            spread(&entry.int8),
            numbers.join(" | ")
        );
    }
    out
}

/// What the table says, a line each.
pub fn verdicts(entries: &[Entry]) -> Vec<String> {
    let accuracy = |entry: &Entry| entry.int8.clone();
    let small = entries.iter().filter(|entry| entry.m4.plan <= PLAN).collect::<Vec<_>>();
    let light = entries.iter().filter(|entry| entry.m4.macs <= MACS).collect::<Vec<_>>();
    let all = entries.iter().collect::<Vec<_>>();
    let per_point = |entry: &Entry| {
        entry.int8.iter().map(|accuracy| -(entry.m4.instructions as f64) / (accuracy - CHANCE)).collect()
    };
    vec![
        verdict(
            &format!("Best int8 accuracy with a plan of at most {} KiB (M4)", PLAN >> 10),
            &small,
            accuracy,
            |value| format!("{value:.2} %"),
        ),
        verdict(
            &format!("Best int8 accuracy with at most {} M MACs", MACS / 1_000_000),
            &light,
            accuracy,
            |value| format!("{value:.2} %"),
        ),
        verdict("Fewest instructions (M4) for each point above chance", &all, per_point, |value| {
            format!("{} instructions a point", thousands(-value as u64))
        }),
    ]
}

/// The entry with the highest mean of `values`, and those whose seeds reach into its range: these are not separated from it.
fn verdict(
    question: &str,
    entries: &[&Entry],
    values: impl Fn(&Entry) -> Vec<f64>,
    show: impl Fn(f64) -> String,
) -> String {
    let Some(best) = entries.iter().max_by(|a, b| mean(&values(a)).total_cmp(&mean(&values(b)))) else {
        return format!("{question}: none of them.");
    };
    let (low, _) = range(&values(best));
    let close: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.name != best.name && range(&values(entry)).1 >= low)
        .map(|entry| entry.name.as_str())
        .collect();
    let confidence = match (close.is_empty(), best.int8.len()) {
        (false, _) => format!("not separated from {}", close.join(", ")),
        (true, 1) => "one seed, so no statement about the spread".into(),
        (true, seeds) => format!("separated from the others over {seeds} seeds"),
    };
    format!("{question}: {}, {}; {confidence}.", best.name, show(mean(&values(best))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, int8: &[f64], plan: usize, macs: u64, instructions: u64) -> Entry {
        let cost = Cost { macs, plan, arena: 567, instructions };
        Entry {
            name: name.into(),
            parameters: 29_482,
            float: int8.to_vec(),
            int8: int8.to_vec(),
            m4: cost,
            m55: cost,
            flash: 79_160,
        }
    }

    #[test]
    fn verdicts_follow_the_numbers() {
        let entries = [
            entry("a", &[60.0, 61.0, 62.0], 60_000, 2_000_000, 5_000_000),
            entry("b", &[61.5, 64.0, 65.0], 65_536, 3_000_000, 9_000_000),
            entry("c", &[70.0, 71.0, 72.0], 65_537, 4_000_000, 30_000_000),
            entry("d", &[80.0, 81.0, 82.0], 90_000, 4_000_001, 90_000_000),
        ];
        assert_eq!(
            verdicts(&entries),
            [
                "Best int8 accuracy with a plan of at most 64 KiB (M4): b, 63.50 %; not separated from a.",
                "Best int8 accuracy with at most 4 M MACs: c, 71.00 %; separated from the others over 3 seeds.",
                "Fewest instructions (M4) for each point above chance: a, 98,064 instructions a point; separated from the others over 3 seeds."
            ]
        );
    }

    #[test]
    fn nothing_fits_and_one_seed() {
        let entries = [entry("d", &[80.0], 90_000, 4_000_001, 7_000_000)];
        assert_eq!(
            verdicts(&entries),
            [
                "Best int8 accuracy with a plan of at most 64 KiB (M4): none of them.",
                "Best int8 accuracy with at most 4 M MACs: none of them.",
                "Fewest instructions (M4) for each point above chance: d, 100,000 instructions a point; one seed, so no statement about the spread."
            ]
        );
    }

    #[test]
    fn rows_are_markdown() {
        let text = table(&[entry("a", &[60.0, 61.0], 60_000, 2_000_000, 999)], &[("chance".into(), 0, 10.0)]);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[2], "| chance | | 10.00 | | 0 | | | | | | |");
        assert_eq!(
            rows[3],
            "| **a** | 2 | 60.50 ± 0.50 | 60.50 ± 0.50 | 29,482 | 2,000,000 | 60,000 | 567 | 79,160 | 999 | 999 |"
        );
        assert!(rows.iter().all(|row| row.matches('|').count() == 12), "{text}");
    }
}
