//! Takes the plan and its operator set into the program.
//!
//! `MIXEL_PLAN` names the plan, `MIXEL_OPS` the operator set that `mixel compile --ops-rs` wrote for it.

use std::{env, error::Error, fs, path::PathBuf};

use mixel_core::plan::RawPlan;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in ["--nmagic", "-Tlink.x", "-Tplan.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    if let Err(error) = generate() {
        println!("cargo::error={error}");
    }
}

fn generate() -> Result<(), Box<dyn Error>> {
    let plan_path = input("MIXEL_PLAN", "a plan (`mixel compile MODEL.onnx -o FILE`)")?;
    let ops_path = input("MIXEL_OPS", "its operator set (`mixel compile MODEL.onnx --ops-rs FILE`)")?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?);

    let bytes = fs::read(&plan_path).map_err(|error| format!("{}: {error}", plan_path.display()))?;
    // The reader wants the alignment that the plan has in flash.
    let mut memory = vec![0; bytes.len() + 15];
    let start = memory.as_ptr().align_offset(16);
    let aligned = memory.get_mut(start..start + bytes.len()).ok_or("no aligned memory")?;
    aligned.copy_from_slice(&bytes);
    let plan = RawPlan::open(aligned).map_err(|error| format!("{}: {error}", plan_path.display()))?;
    let generated = format!(
        "/// Bytes of the plan's arena.\nconst ARENA_BYTES: usize = {};\n/// The plan.\n#[unsafe(link_section = \
         \".plan\")]\nstatic PLAN: Aligned<[u8; {}]> = Aligned(*include_bytes!({plan_path:?}));\n/// The plan's \
         operators.\nmod ops {{\n    include!({ops_path:?});\n}}\n",
        plan.arena_bytes(),
        bytes.len(),
    );
    fs::write(out.join("plan.rs"), generated)?;
    fs::write(out.join("plan.x"), PLAN_SECTION)?;
    fs::write(out.join("device.x"), "")?;
    println!("cargo:rustc-link-search={}", out.display());
    Ok(())
}

/// The plan has a section of its own, so that it can be told from the firmware.
const PLAN_SECTION: &str =
    "SECTIONS\n{\n  .plan : ALIGN(16)\n  {\n    KEEP(*(.plan));\n  } > FLASH\n}\nINSERT AFTER .rodata;\n";

/// The absolute path that `variable` names.
fn input(variable: &str, what: &str) -> Result<PathBuf, String> {
    println!("cargo:rerun-if-env-changed={variable}");
    let path = env::var_os(variable).map(PathBuf::from).ok_or(format!("set {variable} to {what}"))?;
    println!("cargo:rerun-if-changed={}", path.display());
    fs::canonicalize(&path).map_err(|error| format!("{variable}: {}: {error}", path.display()))
}
