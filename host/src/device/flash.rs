//! What a plan's own firmware takes of a board's flash.

use mixel_core::pack::Layout;
use mixel_core::plan::RawPlan;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, elf};

use super::{
    Board,
    firmware::{Program, build},
};
use crate::{Error, ErrorKind, Result};

/// How the firmware is built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum FlashProfile {
    /// For speed (`opt-level = 3`).
    Speed,
    /// For size (`opt-level = "z"`).
    #[default]
    Size,
}

impl FlashProfile {
    /// Its name in reports and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            FlashProfile::Speed => "speed",
            FlashProfile::Size => "size",
        }
    }

    pub(super) const fn cargo(self) -> &'static str {
        match self {
            FlashProfile::Speed => "release",
            FlashProfile::Size => "size",
        }
    }
}

/// Bytes of flash, by what is in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlashBytes {
    /// Everything but the plan: vectors, code, constants, start values of data.
    pub firmware: u64,
    /// The plan: weights, tables, names.
    pub plan: u64,
    /// Name and bytes of every section in flash, the plan's among them.
    pub sections: Vec<(String, u64)>,
    /// Symbols of Rust's panic machinery that are linked; none when the firmware cannot panic.
    pub panics: Vec<String>,
}

/// Parts of mangled names that tell a panic: the functions of `core::panicking`, through which every panic goes, the panic
/// handler that they call, the failures of `unwrap`, `expect` and slices in front of them, and the formatting of messages.
const PANIC_SYMBOLS: [&str; 8] = [
    "core9panicking",
    "core5panic",
    "rust_begin_unwind",
    "unwrap_failed",
    "expect_failed",
    "slice5index",
    "core3fmt",
    "3fmt3num",
];

/// Where `firmware/single` puts the plan.
const PLAN_SECTION: &str = ".plan";

/// Builds the smallest firmware that runs `plan` on `board`, with the operators that `ops_rs` names (what
/// `mixel compile --ops-rs` writes), and measures it.
///
/// The program has the reset code and exception vectors (no interrupts of a chip), the session, the operators,
/// and the plan's checksum, or its check with a set for any plan; no logs, no transport and no files.
///
/// # Errors
/// As [`super::run`] for building.
pub fn flash_bytes(board: &Board, plan: &[u8], ops_rs: &str, profile: FlashProfile) -> Result<FlashBytes> {
    let folder = tempfile::tempdir()
        .map_err(|error| Error::new(ErrorKind::Io, "", "no temporary folder").caused_by(error))?;
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).map(|()| path.clone()).map_err(|error| {
            Error::new(ErrorKind::Io, path.display().to_string(), "cannot be written").caused_by(error)
        })
    };
    let plan_path = write("plan.mxl", plan)?;
    let ops_path = write("ops.rs", ops_rs.as_bytes())?;
    // A plan in the generic order needs no kernels but the portable ones.
    let portable = RawPlan::open(plan).is_ok_and(|plan| plan.layout() == Layout::Generic);
    let features: Vec<&str> = board.runner.1.into_iter().chain(portable.then_some("portable")).collect();
    let program = Program {
        package: "mixel-single",
        feature: Some(&features.join(",")),
        profile: profile.cargo(),
        variables: &[("MIXEL_PLAN", &plan_path), ("MIXEL_OPS", &ops_path)],
    };
    let built = build(board, &program)?;
    measure(&built.elf).map_err(|error| {
        Error::new(ErrorKind::Format, built.path.display().to_string(), "the program's file cannot be read")
            .caused_by(error)
    })
}

/// Adds up what is loaded into flash.
fn measure(elf: &[u8]) -> std::result::Result<FlashBytes, object::Error> {
    let file = object::File::parse(elf)?;
    let mut sections = Vec::new();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let loaded = sh_flags & u64::from(elf::SHF_ALLOC) != 0 && section.file_range().is_some();
        if loaded && section.size() > 0 {
            sections.push((section.name()?.to_owned(), section.size()));
        }
    }
    let plan = sections.iter().filter(|(name, _)| name == PLAN_SECTION).map(|(_, size)| size).sum();
    let all: u64 = sections.iter().map(|(_, size)| size).sum();
    let panics = file
        .symbols()
        .filter(|symbol| symbol.size() > 0)
        .filter_map(|symbol| symbol.name().ok())
        .filter(|name| PANIC_SYMBOLS.iter().any(|part| name.contains(part)))
        .map(str::to_owned)
        .collect();
    Ok(FlashBytes { firmware: all - plan, plan, sections, panics })
}
