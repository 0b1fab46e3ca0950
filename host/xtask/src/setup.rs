//! Installs what the chores need and this machine lacks.

use std::process::Command;

use crate::tools::output;

/// Bare targets that the core is built for, and Linux on Arm for its tests.
pub const TARGETS: [&str; 5] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv8m.main-none-eabihf",
    "aarch64-unknown-linux-gnu",
];

/// A Debian package and the program by which one sees that it is there.
const PACKAGES: [(&str, &str); 4] = [
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-user", "qemu-aarch64"),
    ("gcc-aarch64-linux-gnu", "aarch64-linux-gnu-gcc"),
    // Its C library has no program: the folder is looked for.
    ("libc6-dev-arm64-cross", "/usr/aarch64-linux-gnu/lib/libc.so.6"),
];

/// Installs everything that is missing.
pub fn run() -> Result<(), String> {
    targets()?;
    packages(&PACKAGES)?;
    if let Err(reason) = miri() {
        println!("miri is not there ({reason}); `cargo xtask test` will say that it skips it");
    }
    println!("everything needed is installed");
    Ok(())
}

/// Installs what emulated boards need.
pub fn boards() -> Result<(), String> {
    targets()?;
    packages(&PACKAGES[..1])
}

fn targets() -> Result<(), String> {
    let installed = output("rustup", &["target", "list", "--installed"])
        .ok_or("rustup is not there: install Rust by rustup, which brings targets for boards")?;
    let missing: Vec<&str> =
        TARGETS.into_iter().filter(|target| !installed.lines().any(|line| line == *target)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("installing Rust targets: {}", missing.join(", "));
    sh("rustup", &[&["target", "add"], &missing[..]].concat())
}

fn packages(wanted: &[(&'static str, &str)]) -> Result<(), String> {
    let there = |sign: &str| {
        if sign.starts_with('/') {
            std::path::Path::new(sign).exists()
        } else {
            output(sign, &["--version"]).is_some()
        }
    };
    let missing: Vec<&str> =
        wanted.iter().filter(|(_, sign)| !there(sign)).map(|(package, _)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if output("id", &["-u"]).as_deref() != Some("0") {
        return Err(format!(
            "packages are missing; run\n  sudo apt-get update && sudo apt-get install {list}"
        ));
    }
    println!("installing packages: {list}");
    sh("apt-get", &["update"])?;
    sh("apt-get", &[&["install", "--yes", "--no-install-recommends"], &missing[..]].concat())
}

/// Installs the nightly toolchain with miri, unless it is there.
pub fn miri() -> Result<(), String> {
    if output("cargo", &["+nightly", "miri", "--version"]).is_some() {
        return Ok(());
    }
    println!("installing nightly Rust with miri");
    sh("rustup", &["toolchain", "install", "nightly", "--profile", "minimal", "--component", "miri,rust-src"])
}

fn sh(program: &str, arguments: &[&str]) -> Result<(), String> {
    let line = format!("{program} {}", arguments.join(" "));
    let status = Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .map_err(|error| format!("`{line}`: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`{line}` failed ({status})")) }
}
