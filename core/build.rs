//! Turns the target and the explicit choice of instruction set into named cfgs.
//!
//! The target triple does not say whether a Cortex-M33 has the DSP extension or an M55 has Helium, and
//! `cfg(target_feature = "dsp")` is never true on stable. So: `thumbv7em` always has DSP; on `thumbv8m.main` the features
//! `dsp` and `helium` of this crate are the explicit choice, and the wrong one is an undefined instruction on the chip.
//! `portable` leaves all of them out, on bare targets.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(mixel_dsp)");
    println!("cargo::rustc-check-cfg=cfg(mixel_helium)");
    println!("cargo::rustc-check-cfg=cfg(mixel_columns)");
    println!("cargo::rustc-check-cfg=cfg(mixel_vectors)");
    println!("cargo::rerun-if-changed=build.rs");
    let target = std::env::var("TARGET").unwrap_or_default();
    let feature = |name: &str| std::env::var_os(format!("CARGO_FEATURE_{name}")).is_some();
    if feature("PORTABLE") && target.contains("-none-") {
        return;
    }
    let v8m_main = target.starts_with("thumbv8m.main");
    if target.starts_with("thumbv7em") || (v8m_main && (feature("DSP") || feature("HELIUM"))) {
        println!("cargo::rustc-cfg=mixel_dsp");
    }
    if v8m_main && feature("HELIUM") {
        println!("cargo::rustc-cfg=mixel_helium");
    }
    // Plans in the order of Helium, windows column by column, run where it is and on every host.
    if (v8m_main && feature("HELIUM")) || !target.contains("-none-") {
        println!("cargo::rustc-cfg=mixel_columns");
    }
    // Hosts with vector instructions of their own; an interpreter (cfg(miri)) has them not.
    if (target.starts_with("x86_64") || target.starts_with("aarch64")) && !target.contains("-none") {
        println!("cargo::rustc-cfg=mixel_vectors");
    }
}
