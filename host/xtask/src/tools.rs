//! Paths of the repository and commands of its tools.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The folder of the repository.
pub fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.ancestors().nth(2).unwrap_or(xtask).to_owned()
}

/// `cargo` with `words`, run in the repository.
pub fn cargo(words: &str) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(words.split_whitespace());
    without_cargo(&mut command);
    command
}

/// `cargo` with `words` in the firmware workspace.
pub fn firmware(words: &str) -> Command {
    let mut command = cargo(words);
    command.current_dir(root().join("firmware"));
    command
}

/// Takes away what the cargo that runs this program has set, so that the child starts afresh.
fn without_cargo(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG") || text.starts_with("CARGO_MANIFEST") || text == "CARGO" {
            command.env_remove(&name);
        }
    }
}

/// What `program` prints on standard output; none when it is missing or fails.
pub fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The folder with data sets that are not part of the repository.
pub fn data() -> PathBuf {
    std::env::var_os("MIXEL_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from)
}
