//! The memory map, and linker scripts for the runner.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=memory.x");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        println!("cargo::error=OUT_DIR is not set: run this through cargo");
        return;
    };
    if let Err(error) = fs::copy("memory.x", out.join("memory.x")) {
        println!("cargo::error=memory.x: {error}");
    }
    // Reaches the programs that use this crate.
    println!("cargo:rustc-link-search={}", out.display());
}
