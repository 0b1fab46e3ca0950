//! The command `mixel` as its users call it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// A call in `folder`.
pub fn mixel(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mixel")).args(arguments).current_dir(folder).output().unwrap()
}

/// Standard output and standard error of a call that succeeds.
pub fn good(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = mixel(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{arguments:?}: {error}");
    (String::from_utf8(output.stdout).unwrap(), error)
}

/// The answer of a call that succeeds.
pub fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&good(folder, &[arguments, &["--json"]].concat()).0).unwrap()
}
