//! The plan, and the linker scripts.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x", "-Tplan.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    mixel_embed::plan();
}
