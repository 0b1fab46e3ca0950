//! The plan, the memory map and the linker scripts.

fn main() {
    println!("cargo:rerun-if-changed=memory.x");
    for argument in ["--nmagic", "-Tlink.x", "-Tdefmt.x", "-Tplan.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
    mixel_embed::plan();
    let copied = mixel_embed::out().and_then(|out| Ok(std::fs::copy("memory.x", out.join("memory.x"))?));
    if let Err(error) = copied {
        println!("cargo::error=memory.x: {error}");
    }
}
