//! The table of supported operators and decoders in the README, made from the conformance cases.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use mixel_core::pack::Layout;

use crate::tools::root;

const FILE: &str = "README.md";
const BEGIN: &str = "<!-- made by `cargo xtask support --renew` -->";
const END: &str = "<!-- until here -->";

/// `cargo xtask support`: shows the table, or puts it into the README.
pub fn run(renew: bool) -> Result<(), String> {
    let table = table()?;
    if !renew {
        print!("{table}");
        return Ok(());
    }
    let path = root().join(FILE);
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{FILE}: {error}"))?;
    let (before, _, after) = split(&text)?;
    std::fs::write(&path, format!("{before}{BEGIN}\n{table}{END}{after}"))
        .map_err(|error| format!("{FILE}: {error}"))
}

/// What is in front of the table, the table, and what is behind it.
fn split(text: &str) -> Result<(&str, &str, &str), String> {
    let missing = |mark| format!("{FILE} has no line `{mark}`");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(|| missing(BEGIN))?;
    let (table, after) = rest.split_once(END).ok_or_else(|| missing(END))?;
    Ok((before, table.trim_start(), after))
}

/// Cases of an operator: with 8 bits, with 16 bits, and the weight orders that they run for.
#[derive(Default)]
struct Cases {
    narrow: u32,
    wide: u32,
    orders: BTreeSet<String>,
}

/// Runs every case and counts them, a row an operator.
fn table() -> Result<String, String> {
    let mut rows = BTreeMap::<String, Cases>::new();
    let mut failed = Vec::new();
    let mut memory = vec![0; mixel_testkit::MEMORY];
    mixel_testkit::run_all(&mut memory, &mut |case, result| {
        if let Err(failure) = result {
            failed.push(format!("{case}: {failure}"));
        }
        let mut words = case.split_whitespace();
        let operator = words.next().unwrap_or_default();
        let cases = rows.entry(operator.trim_end_matches("16").to_owned()).or_default();
        *(if operator.ends_with("16") { &mut cases.wide } else { &mut cases.narrow }) += 1;
        let order = words.last().filter(|word| Layout::ALL.iter().any(|order| format!("{order:?}") == *word));
        cases.orders.extend(order.map(str::to_owned));
    });
    if !failed.is_empty() {
        return Err(format!("conformance cases fail:\n{}", failed.join("\n")));
    }
    let mut text =
        "| operator or decoder | cases, 8 bits | cases, 16 bits | weight orders |\n|---|---:|---:|---:|\n"
            .to_owned();
    for (operator, Cases { narrow, wide, orders }) in rows {
        let shown = |count: usize| if count > 0 { count.to_string() } else { "-".into() };
        let [narrow, wide] = [narrow, wide].map(|count| shown(count as usize));
        let _ = writeln!(text, "| {operator} | {narrow} | {wide} | {} |", shown(orders.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_the_table() {
        let text = std::fs::read_to_string(root().join(FILE)).unwrap();
        let (_, found, _) = split(&text).unwrap();
        assert!(found == table().unwrap(), "the table is out of date: cargo xtask support --renew");
    }
}
