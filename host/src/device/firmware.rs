//! The firmware workspace: where it is, and building its programs.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::{Board, FlashProfile, process};
use crate::{Error, ErrorKind, Result};

/// Names the folder with the firmware's sources.
const VARIABLE: &str = "MIXEL_FIRMWARE";
/// The loops where time goes are written out for each core. What the compiler unrolls of the others, and inlines beyond this, is
/// flash with little speed: on a Cortex-M4 a third of the flash for less than one instruction in a hundred of networks (see
/// docs/performance.md). The number behind it is the limit of inlining.
const SPARING: &str = "-Cllvm-args=-unroll-runtime=false -unroll-allow-partial=false -unroll-full-max-count=16 -inline-threshold=";
/// A first build downloads and compiles some thirty crates.
const BUILD_LIMIT: Duration = Duration::from_secs(900);

/// A program to be built for a board.
pub struct Program<'a> {
    /// The cargo package, whose program has the same name.
    pub package: &'a str,
    /// Its feature for the board.
    pub feature: Option<&'a str>,
    /// The cargo profile.
    pub profile: &'a str,
    /// Variables that its build script reads.
    pub variables: &'a [(&'a str, &'a Path)],
}

/// A built program.
pub struct Built {
    /// The ELF file. It stays until the same program is built again for the board.
    pub path: PathBuf,
    /// Its bytes.
    pub elf: Vec<u8>,
}

/// The folder of the firmware workspace.
///
/// # Errors
/// [`ErrorKind::Setup`] when it is not found.
pub fn workspace() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(VARIABLE).map(PathBuf::from) {
        return if is_ours(&folder) {
            Ok(folder)
        } else {
            Err(Error::new(ErrorKind::Setup, folder.display().to_string(), "not mixel's firmware workspace")
                .hint(format!("{VARIABLE} names the folder firmware/ of mixel's sources")))
        };
    }
    let from_here = std::env::current_dir().ok();
    let from_program = std::env::current_exe().ok();
    [from_here, from_program]
        .into_iter()
        .flatten()
        .find_map(|start| {
            start.ancestors().map(|folder| folder.join("firmware")).find(|folder| is_ours(folder))
        })
        .ok_or_else(|| {
            Error::new(ErrorKind::Setup, "firmware", "mixel's firmware sources are not found")
                .hint(format!("run inside mixel's source tree, or set {VARIABLE} to its folder firmware/"))
        })
}

fn is_ours(folder: &Path) -> bool {
    folder.join("runner/Cargo.toml").is_file() && folder.join("wire/Cargo.toml").is_file()
}

/// Builds `program` for `board`, which costs little when nothing changed.
///
/// # Errors
/// [`ErrorKind::Setup`] for a missing workspace, tool or target; [`ErrorKind::Device`] with the compiler's
/// words when it does not build.
pub fn build(board: &Board, program: &Program<'_>) -> Result<Built> {
    let workspace = workspace()?;
    let target = workspace.join("target").join(board.name);
    let io = |path: &Path| {
        let path = path.display().to_string();
        move |error| Error::new(ErrorKind::Io, path, "cannot be read or written").caused_by(error)
    };
    std::fs::create_dir_all(&target).map_err(io(&target))?;
    // Two builds of one program with different variables share the file name of the result.
    let lock_path = target.join(".mixel-lock");
    let lock = File::create(&lock_path).map_err(io(&lock_path))?;
    lock.lock().map_err(io(&lock_path))?;

    let mut flags = vec![format!("-Ctarget-cpu={}", board.cpu)];
    // On this core the compiler makes vectors of loops, and unrolls them for that.
    if board.cpu != "cortex-m55" {
        let inlined = if program.profile == FlashProfile::Size.cargo() { "15" } else { "75" };
        flags.push(format!("{SPARING}{inlined}"));
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(&workspace)
        .args(["build", "--quiet", "--locked", "--package", program.package, "--profile", program.profile])
        .args(["--target", board.triple])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("DEFMT_LOG", "info");
    if let Some(feature) = program.feature {
        cargo.args(["--features", feature]);
    }
    for (name, value) in program.variables {
        cargo.env(name, value);
    }
    let finished = process::finish(&mut cargo, BUILD_LIMIT)?;
    if !finished.success() {
        return Err(build_error(board, program, &finished));
    }
    let path = target.join(board.triple).join(program.profile).join(program.package);
    let elf = std::fs::read(&path).map_err(io(&path))?;
    Ok(Built { path, elf })
}

fn build_error(board: &Board, program: &Program<'_>, finished: &process::Finished) -> Error {
    let said = finished.tail(30);
    if said.contains("target may not be installed") {
        return Error::new(ErrorKind::Setup, board.triple, "the Rust target is not installed")
            .hint(format!("run `rustup target add {}`, or `mixel doctor --fix`", board.triple));
    }
    let message = match finished.status {
        None => format!("building it took longer than {} s", BUILD_LIMIT.as_secs()),
        Some(_) => format!("it does not build for {}:\n{said}", board.name),
    };
    Error::new(ErrorKind::Device, program.package, message)
        .hint("`mixel doctor` checks the tools; the first lines above name the cause")
}
