//! What was measured, on which machine and when: a file in git, and tables for people.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use mixel::report::Align::{Left, Right};
use mixel::report::{Table, grouped};
use serde::Serialize;

use crate::board::Counts;
use crate::definition::{Figures, folder};
use crate::rounds::Times;

/// One run of the benchmarks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Record {
    /// Day in UTC, `YYYY-MM-DD`.
    pub date: String,
    /// What it ran on.
    pub machine: Machine,
    /// Commit, compiler, emulator.
    pub versions: BTreeMap<&'static str, String>,
    /// Kernels in the order of their definition.
    pub kernels: Vec<KernelRecord>,
    /// Models in the order of their definition.
    pub models: Vec<ModelRecord>,
    /// What was not measured, and why.
    pub skipped: Vec<Skipped>,
}

/// A machine, by what it is and not by its name.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Name of the processor.
    pub cpu: String,
    /// Cores that the program may use.
    pub cores: usize,
    /// What else is to be known, as that others used it too.
    pub note: String,
}

/// Something that was not measured.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct Skipped {
    pub what: String,
    pub why: String,
}

/// A kernel.
#[derive(Clone, Debug, Serialize)]
pub struct KernelRecord {
    /// Its name.
    pub name: String,
    /// Operators of the plan.
    pub operators: Vec<String>,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Elements of the output.
    pub elements: u64,
    /// Instructions by core.
    pub boards: Counts,
    /// Instructions of CMSIS-NN's kernel for a multiply-accumulate or element.
    pub cmsis_nn: Figures,
    /// Times by engine.
    pub times: BTreeMap<String, Time>,
}

/// A model.
#[derive(Clone, Debug, Serialize)]
pub struct ModelRecord {
    /// Its name.
    pub name: String,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Instructions by core.
    pub boards: Counts,
    /// Million instructions of CMSIS-NN's kernels.
    pub cmsis_nn: Figures,
    /// Times by engine.
    pub times: BTreeMap<String, Time>,
    /// How long the fastest mixel takes against every other engine, round by round, medians.
    pub ratios: BTreeMap<String, f64>,
}

/// Time of an inference.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Time {
    /// Median over rounds of the median of a round, microseconds.
    pub median_us: f64,
    /// Shortest of all, microseconds.
    pub min_us: f64,
}

impl From<&Times> for Time {
    fn from(times: &Times) -> Self {
        Self { median_us: times.median_us(), min_us: times.min_us }
    }
}

impl Record {
    /// An empty record of this machine, today.
    pub fn here(note: &str) -> Self {
        let mut versions = BTreeMap::new();
        let programs: [(&str, &[&str]); 4] = [
            ("commit", &["git", "-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"]),
            ("rustc", &["rustc", "--version"]),
            ("qemu", &["qemu-system-arm", "--version"]),
            ("date", &["date", "-u", "+%F"]),
        ];
        for (name, command) in programs {
            versions.insert(name, says(command));
        }
        let date = versions.remove("date").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let machine = Machine { cpu: cpu(), cores, note: note.to_owned() };
        Self { date, machine, versions, ..Self::default() }
    }

    /// Notes what was not measured; the same only once.
    pub fn skip(&mut self, what: impl Into<String>, why: impl Into<String>) {
        let (what, why) = (what.into(), why.into());
        if !self.skipped.iter().any(|known| known.what == what && known.why == why) {
            println!("SKIPPED: {what}: {why}");
            self.skipped.push(Skipped { what, why });
        }
    }

    /// The file for it, by date and processor.
    pub fn path(&self) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let words: String = self.machine.cpu.chars().map(plain).collect();
        let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).collect();
        folder().join("records").join(format!("{}-{}.json", self.date, words.join("-")))
    }

    /// Instructions of kernels for a multiply-accumulate or element, beside CMSIS-NN's, and times on this machine.
    pub fn kernel_table(&self) -> String {
        let cores = names(self.kernels.iter().flat_map(|kernel| kernel.boards.keys()));
        let engines = names(self.kernels.iter().flat_map(|kernel| kernel.times.keys()));
        let mut head = vec![("kernel", Left), ("for a", Left)];
        for core in &cores {
            head.push((core, Right));
            if self.kernels.iter().any(|kernel| kernel.cmsis_nn.contains_key(core)) {
                head.push(("CMSIS-NN", Right));
            }
        }
        let us: Vec<String> = engines.iter().map(|engine| format!("{engine}, us")).collect();
        head.extend(us.iter().map(|name| (name.as_str(), Right)));
        let mut table = Table::new(&head);
        for kernel in &self.kernels {
            let (unit, count) = match kernel.macs {
                0 => ("element", kernel.elements),
                macs => ("MAC", macs),
            };
            let mut row = vec![kernel.name.clone(), unit.into()];
            for core in &cores {
                let each = kernel.boards.get(core).map(|board| board.operators as f64 / count.max(1) as f64);
                row.push(each.map_or(String::new(), significant));
                if head.iter().any(|(name, _)| name == core)
                    && self.kernels.iter().any(|kernel| kernel.cmsis_nn.contains_key(core))
                {
                    row.push(kernel.cmsis_nn.get(core).map_or(String::new(), |each| significant(*each)));
                }
            }
            for engine in &engines {
                row.push(kernel.times.get(engine).map_or(String::new(), |time| significant(time.median_us)));
            }
            table.row(row);
        }
        table.to_string()
    }

    /// Instructions of models, and times on this machine with ratios.
    pub fn model_tables(&self) -> String {
        let mut boards = Table::new(&[
            ("model", Left),
            ("core", Left),
            ("instructions", Right),
            ("CMSIS-NN", Right),
            ("ratio", Right),
            ("per MAC", Right),
            ("arena", Right),
            ("stack", Right),
        ]);
        let mut times = Table::new(&[
            ("model", Left),
            ("engine", Left),
            ("median us", Right),
            ("least us", Right),
            ("mixel takes", Right),
        ]);
        for model in &self.models {
            for (core, count) in &model.boards {
                let theirs = model.cmsis_nn.get(core).map(|millions| millions * 1e6);
                boards.row([
                    model.name.clone(),
                    core.clone(),
                    grouped(count.total),
                    theirs.map_or(String::new(), |theirs| grouped(theirs as u64)),
                    theirs.map_or(String::new(), |theirs| format!("{:.2}", count.total as f64 / theirs)),
                    significant(count.total as f64 / model.macs.max(1) as f64),
                    grouped(count.arena_bytes.into()),
                    grouped(count.stack_bytes.into()),
                ]);
            }
            let mut engines: Vec<_> = model.times.iter().collect();
            engines.sort_by(|a, b| a.1.median_us.total_cmp(&b.1.median_us));
            for (engine, time) in engines {
                times.row([
                    model.name.clone(),
                    engine.clone(),
                    significant(time.median_us),
                    significant(time.min_us),
                    model.ratios.get(engine).map_or(String::new(), |ratio| format!("{ratio:.2} of it")),
                ]);
            }
        }
        format!("{boards}\n{times}")
    }
}

/// Sorted and each once.
fn names<'a>(all: impl Iterator<Item = &'a String>) -> Vec<String> {
    all.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// Three digits that count.
fn significant(x: f64) -> String {
    let decimals = (2 - x.abs().max(1e-9).log10().floor() as i32).clamp(0, 4) as usize;
    format!("{x:.decimals$}")
}

/// First line that a command prints; empty when it does not answer.
fn says(command: &[&str]) -> String {
    let [program, arguments @ ..] = command else { return String::new() };
    let output =
        Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned()
}

/// Name of the processor, where the system tells it.
fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| format!("unknown {}", std::env::consts::ARCH), |(_, name)| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_by_day_and_processor() {
        let machine = Machine { cpu: "AMD EPYC 9B14 (x)".into(), ..Machine::default() };
        let record = Record { date: "2026-01-02".into(), machine, ..Record::default() };
        assert!(record.path().ends_with("records/2026-01-02-amd-epyc-9b14-x.json"), "{:?}", record.path());
    }

    #[test]
    fn three_digits_count() {
        let shown = [517.0, 81.4, 13.82, 0.3884, 0.0125, 12345.6].map(significant);
        assert_eq!(shown, ["517", "81.4", "13.8", "0.388", "0.0125", "12346"]);
    }
}
