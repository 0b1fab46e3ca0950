//! Golden values: instructions, memory and flash of models on boards, as `mixel profile` measures them.
//!
//! They are facts, not limits: any change shows itself here, and `cargo xtask golden --renew` writes the new ones
//! down, so that a review sees what a change costs or gains.
//!
//! Flash alone has a little room, [`FLASH_ROOM`]: the compiler orders functions by hashes that the folder of the checkout is
//! part of, and with the order change the fill between them and the reach of their branches.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    step::Step,
    tools::{cargo, data, output, root},
};

/// Fields of `mixel profile --json` that are kept.
const FIELDS: [&str; 3] = ["total", "arena_bytes", "stack_bytes"];
const MODELS: &str = "benches/definitions/models.toml";
const FILE: &str = "benches/golden/boards.json";

/// Boards with the target that plans for them are compiled for.
const BOARDS: [(&str, &str); 2] = [("mps2-an386", "cortex-m4"), ("mps3-an547", "cortex-m55")];

/// Options of the firmware whose flash is kept, with the field for it.
const FLASH: [(&[&str], &str); 3] = [
    (&["--flash", "speed"], "flash_bytes"),
    (&["--flash", "size"], "flash_bytes_size"),
    (&["--flash", "size", "--any-plan"], "flash_bytes_size_any_plan"),
];

/// How far flash may be from its golden value, in bytes. Two checkouts were seen to differ by up to 24.
const FLASH_ROOM: u64 = 64;

/// A model, and what compiling and profiling it takes.
struct Model {
    path: String,
    compile: Vec<String>,
    profile: Vec<String>,
}

impl Model {
    /// Its file.
    fn file(&self) -> PathBuf {
        if self.path.starts_with("models/") { root().join(&self.path) } else { data().join(&self.path) }
    }
}

/// The models of the benches that are marked as golden.
fn models() -> Result<Vec<Model>, String> {
    let text = std::fs::read_to_string(root().join(MODELS)).map_err(|error| format!("{MODELS}: {error}"))?;
    let file: toml::Table = toml::from_str(&text).map_err(|error| format!("{MODELS}: {error}"))?;
    let all = file.get("model").and_then(toml::Value::as_array).ok_or(format!("{MODELS} has no models"))?;
    let golden = all.iter().filter(|model| model.get("golden").and_then(toml::Value::as_bool) == Some(true));
    golden
        .map(|model| {
            let field = |name: &str| model.get(name).and_then(toml::Value::as_str).map(str::to_owned);
            let flag = |flag: &str, value: Option<String>| {
                value.map_or_else(Vec::new, |value| vec![flag.to_owned(), value])
            };
            Ok(Model {
                path: field("onnx").ok_or(format!("{MODELS}: a model without `onnx`"))?,
                compile: flag("--calib", field("calib")),
                profile: flag("--text", field("text")),
            })
        })
        .collect()
}

/// Values by `board model`, each a map of fields.
type Values = BTreeMap<String, BTreeMap<String, u64>>;

/// `cargo xtask golden`: shows the differences, or writes the new values down.
pub fn run(renew: bool) -> Result<(), String> {
    let mut step = Step::new("golden")?;
    let values = measure(&mut step)?;
    if renew {
        if !step.tally.skipped.is_empty() {
            return Err("golden values are renewed only when all of them can be measured".into());
        }
        let file = json!({ "rustc": rustc()?, "values": values });
        let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())?;
        return std::fs::write(root().join(FILE), text + "\n").map_err(|error| format!("{FILE}: {error}"));
    }
    compare(&mut step, &values)?;
    if step.tally.failed == 0 {
        Ok(())
    } else {
        Err("if the new values are wanted: cargo xtask golden --renew".into())
    }
}

/// The step of the tests.
pub fn step(step: &mut Step) {
    let done = measure(step).and_then(|values| compare(step, &values));
    if let Err(reason) = done {
        step.check(false, &reason);
    }
}

fn rustc() -> Result<String, String> {
    output("rustc", &["--version"]).ok_or_else(|| "rustc does not answer".into())
}

/// Compiles and profiles every model on every board, boards beside each other: they are built in folders of their own.
fn measure(step: &mut Step) -> Result<Values, String> {
    let folder = root().join("target/xtask/golden");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut models = models()?;
    models.retain(|model| {
        let there = model.file().is_file();
        if !there {
            step.skip(format!("golden values of {}: missing {}", model.path, model.file().display()));
        }
        there
    });
    std::thread::scope(|scope| {
        let work = BOARDS.map(|(board, target)| {
            let (plan, models) = (folder.join(format!("{target}.mxl")), &models);
            scope.spawn(move || -> Result<Values, String> {
                let measured = |model: &Model| {
                    Ok((format!("{board} {}", model.path), profile(board, target, &plan, model)?))
                };
                models.iter().map(measured).collect()
            })
        });
        let mut values = Values::new();
        for work in work {
            values.extend(work.join().map_err(|_| "a measurement panicked")??);
        }
        Ok(values)
    })
}

/// The fields of one model on one board; `plan` is written.
fn profile(board: &str, target: &str, plan: &Path, model: &Model) -> Result<BTreeMap<String, u64>, String> {
    let plan = text(plan);
    mixel(&["compile", &text(&model.file()), "-o", &plan, "--target", target], &model.compile)?;
    let mut fields = BTreeMap::new();
    for (options, field) in FLASH {
        let profile = [&["profile", &plan, "--board", board, "--json"], options].concat();
        let profile: Value = serde_json::from_str(&mixel(&profile, &model.profile)?)
            .map_err(|error| format!("`mixel profile --json` on {board}: {error}"))?;
        let of = |field: &str| {
            let value = profile.get(field).and_then(Value::as_u64);
            value.ok_or_else(|| format!("`mixel profile --json` gives no whole number `{field}`"))
        };
        fields.insert(field.to_owned(), of("flash_bytes")?);
        for field in FIELDS {
            fields.insert(field.to_owned(), of(field)?);
        }
    }
    Ok(fields)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// What the command prints.
fn mixel(arguments: &[&str], more: &[String]) -> Result<String, String> {
    let line = [&arguments.join(" "), more.join(" ").as_str()].join(" ");
    let output = cargo("run --locked --quiet -p mixel --")
        .args(arguments)
        .args(more)
        .output()
        .map_err(|error| format!("`mixel {line}`: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("`mixel {line}` failed:\n{}", String::from_utf8_lossy(&output.stderr)))
    }
}

/// Every value counts as a test.
fn compare(step: &mut Step, values: &Values) -> Result<(), String> {
    let text = std::fs::read_to_string(root().join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let golden: Value = serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
    let (ours, theirs) = (rustc()?, golden["rustc"].as_str().unwrap_or_default());
    if ours != theirs {
        step.skip(format!("golden values were measured with {theirs}, this is {ours}"));
        return Ok(());
    }
    for (name, fields) in values {
        for (field, value) in fields {
            let expected = golden["values"][name][field].as_u64();
            let room = if FLASH.iter().any(|(_, flash)| flash == field) { FLASH_ROOM } else { 0 };
            let words = match expected {
                Some(expected) => format!("{name}: {field} is {value}, golden {expected}"),
                None => format!("{name}: {field} is {value}, and has no golden value yet"),
            };
            step.check(expected.is_some_and(|expected| expected.abs_diff(*value) <= room), &words);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_models_come_from_the_definitions_of_the_benches() {
        let models = models().unwrap();
        let find = |name: &str| models.iter().find(|model| model.path.ends_with(name));
        assert!(find("kws_qdq.onnx").is_some_and(|model| model.compile.is_empty()));
        assert_eq!(find("pnlp-intent.onnx").unwrap().profile, ["--text", "play some jazz"]);
        assert_eq!(find("evt-nmnist.onnx").unwrap().compile, ["--calib", "random"]);
    }
}
