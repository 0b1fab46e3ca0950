//! Writes the linker's memory map of the machine and tells the crate where its clock is.

use std::{env, fs, path::PathBuf};

/// Memory of one machine of QEMU 7.2: origin and length of code, of data with the stack, and of the
/// large memory for plan, job and arena; then the address of the FPGAIO block.
struct Machine {
    name: &'static str,
    flash: (u32, &'static str),
    ram: (u32, &'static str),
    bulk: (u32, &'static str),
    fpgaio: u32,
    tick_picoseconds: u32,
}

const MACHINES: [Machine; 5] = [
    mps2("an385", 0x2100_0000),
    mps2("an386", 0x2100_0000),
    mps2("an500", 0x6000_0000),
    Machine {
        name: "an505",
        flash: (0x1000_0000, "4M"),
        ram: (0x3800_0000, "2M"),
        bulk: (0x8000_0000, "16M"),
        fpgaio: 0x5030_2000,
        tick_picoseconds: 50_000,
    },
    Machine {
        name: "an547",
        flash: (0, "512K"),
        ram: (0x2000_0000, "512K"),
        // The secure alias of the first DDR block: the memory protection controller starts with every
        // block secure, so the other alias at 0x60000000 would fault.
        bulk: (0x7000_0000, "16M"),
        fpgaio: 0x5930_2000,
        tick_picoseconds: 50_000,
    },
];

/// The MPS2 boards without TrustZone differ only in where the PSRAM is.
const fn mps2(name: &'static str, psram: u32) -> Machine {
    Machine {
        name,
        flash: (0, "4M"),
        ram: (0x2000_0000, "4M"),
        bulk: (psram, "16M"),
        fpgaio: 0x4002_8000,
        tick_picoseconds: 40_000,
    }
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let chosen: Vec<&Machine> = MACHINES
        .iter()
        .filter(|machine| env::var_os(format!("CARGO_FEATURE_{}", machine.name.to_uppercase())).is_some())
        .collect();
    let [machine] = chosen[..] else {
        println!(
            "cargo::error=choose one machine: --features an385 | an386 | an500 | an505 | an547 (`cargo xtask` and \
             `mixel` do it)"
        );
        return;
    };
    let Machine { flash, ram, bulk, .. } = machine;
    let memory = format!(
        "MEMORY\n{{\n  FLASH : ORIGIN = {:#x}, LENGTH = {}\n  RAM : ORIGIN = {:#x}, LENGTH = {}\n  \
         BULK : ORIGIN = {:#x}, LENGTH = {}\n}}\n_bulk_start = ORIGIN(BULK);\n_bulk_end = ORIGIN(BULK) + \
         LENGTH(BULK);\n",
        flash.0, flash.1, ram.0, ram.1, bulk.0, bulk.1
    );
    let clock = format!(
        "/// Address of the FPGAIO block.\npub const FPGAIO: usize = {:#x};\n/// Length of a tick of its counter in \
         picoseconds of virtual time.\npub const TICK_PICOSECONDS: u32 = {};\n",
        machine.fpgaio, machine.tick_picoseconds
    );
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        println!("cargo::error=OUT_DIR is not set: run this through cargo");
        return;
    };
    for (name, text) in [("memory.x", memory), ("machine.rs", clock)] {
        if let Err(error) = fs::write(out.join(name), text) {
            println!("cargo::error=cannot write {name}: {error}");
        }
    }
    // A search path reaches the programs that use this crate, a linker argument would not.
    println!("cargo:rustc-link-search={}", out.display());
}
