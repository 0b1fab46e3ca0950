//! The plan, and the linker scripts.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in ["--nmagic", "-Tlink.x", "-Tplan.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    mixel_embed::plan();
    // cortex-m-rt's feature `device` includes the names of a chip's interrupts: there are none.
    let none = mixel_embed::out().and_then(|out| Ok(std::fs::write(out.join("device.x"), "")?));
    if let Err(error) = none {
        println!("cargo::error=device.x: {error}");
    }
}
