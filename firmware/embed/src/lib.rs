//! For build scripts: takes a plan and its operator set into a program.
//!
//! `MIXEL_PLAN` names the plan, `MIXEL_OPS` the operator set that `mixel compile --ops-rs` wrote for it. The
//! program includes what comes out with `include!(concat!(env!("OUT_DIR"), "/plan.rs"));`: the constant
//! `ARENA_BYTES`, the static `PLAN`, the type `Aligned` for plan and arena, and the operator set `ops::Ops`, which must have been
//! written with this plan, or for any plan.

#![forbid(unsafe_code)]

use std::{
    env,
    error::Error,
    fs,
    path::{Path, PathBuf},
};

use mixel_core::Plan;

/// Writes `plan.rs` and the linker script `plan.x`, which gives the plan a section of its own, so that it can be
/// told from the firmware. Ends the build with a sentence when something is missing.
pub fn plan() {
    if let Err(error) = generate() {
        println!("cargo::error={error}");
    }
}

/// The folder for generated files; the linker looks there too.
///
/// # Errors
/// When this is not a build script.
pub fn out() -> Result<PathBuf, Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?);
    println!("cargo:rustc-link-search={}", out.display());
    Ok(out)
}

fn generate() -> Result<(), Box<dyn Error>> {
    let out = out()?;
    let plan = input("MIXEL_PLAN", "a plan (`mixel compile MODEL.onnx -o FILE`)")?;
    let ops = input("MIXEL_OPS", "its operator set (`mixel compile MODEL.onnx -o FILE --ops-rs FILE`)")?;
    let Facts { bytes, arena, checksum } =
        facts(&plan).map_err(|error| format!("{}: {error}", plan.display()))?;
    let generated = format!(
        "/// What plans and arenas must lie at multiples of.
#[repr(C, align(16))]
struct Aligned<T: ?Sized>(T);

/// Bytes of the plan's arena.
const ARENA_BYTES: usize = {arena};

/// The plan.
#[unsafe(link_section = \".plan\")]
static PLAN: Aligned<[u8; {bytes}]> = Aligned(*include_bytes!({plan:?}));

/// The plan's operators.
mod ops {{
    include!({ops:?});
}}

const _: () = assert!(
    match <ops::Ops as mixel_core::kernels::OpSet>::VERIFIED {{
        Some(verified) => verified.checksum() == {checksum:#010X},
        None => true,
    }},
    \"MIXEL_OPS was written for another plan than MIXEL_PLAN: write both with one `mixel compile`\"
);
"
    );
    fs::write(out.join("plan.rs"), generated)?;
    fs::write(
        out.join("plan.x"),
        "SECTIONS\n{\n  .plan : ALIGN(16)\n  {\n    KEEP(*(.plan));\n  } > FLASH\n}\nINSERT AFTER .rodata;\n",
    )?;
    Ok(())
}

/// What a program needs to know of its plan beforehand.
struct Facts {
    bytes: usize,
    arena: usize,
    checksum: u32,
}

fn facts(path: &Path) -> Result<Facts, Box<dyn Error>> {
    let file = fs::read(path)?;
    // The reader wants the alignment that the plan has in flash.
    let mut memory = vec![0; file.len() + 15];
    let start = memory.as_ptr().align_offset(16);
    let aligned = memory.get_mut(start..start + file.len()).ok_or("no aligned memory")?;
    aligned.copy_from_slice(&file);
    // All checks, by the same code that the device is built from: a set for this plan alone leaves them out there.
    let plan = Plan::new_checked(aligned)?;
    Ok(Facts { bytes: file.len(), arena: plan.arena_bytes(), checksum: plan.checksum() })
}

/// The absolute path that `variable` names.
fn input(variable: &str, what: &str) -> Result<PathBuf, String> {
    println!("cargo:rerun-if-env-changed={variable}");
    let path = env::var_os(variable).map(PathBuf::from).ok_or(format!("set {variable} to {what}"))?;
    println!("cargo:rerun-if-changed={}", path.display());
    fs::canonicalize(&path).map_err(|error| format!("{variable}: {}: {error}", path.display()))
}
