//! The boards that mixel knows.

use crate::{Error, ErrorKind, Result};

/// What a board's clock counts. The two are never compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Executed instructions, in an emulator.
    Instructions,
    /// Clock cycles of a real core.
    Cycles,
}

impl Unit {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Instructions => "instructions",
            Unit::Cycles => "cycles",
        }
    }
}

/// How the host reaches a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// A machine of QEMU's `qemu-system-arm`.
    Emulated {
        /// QEMU's name of the machine.
        machine: &'static str,
    },
    /// A chip behind a debug probe, through the probe-rs tools.
    Attached {
        /// probe-rs's name of the chip.
        chip: &'static str,
        /// Flash address of plan and job.
        storage: u32,
        /// Bytes of flash there.
        storage_bytes: u32,
    },
}

/// A board that can run plans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// Its name on the command line.
    pub name: &'static str,
    /// The core, as Arm names it.
    pub core: &'static str,
    /// Rust's name of the target.
    pub triple: &'static str,
    /// `-C target-cpu` of its programs.
    pub cpu: &'static str,
    /// `--target` of `mixel compile` whose plans it runs fastest; it runs `generic` ones as well.
    pub target: &'static str,
    /// How to reach it.
    pub link: Link,
    /// What its clock counts.
    pub unit: Unit,
    /// The cargo package of its runner and the feature that chooses the board in it.
    pub(super) runner: (&'static str, Option<&'static str>),
}

const fn emulated(
    machine: &'static str,
    feature: &'static str,
    core: &'static str,
    triple: &'static str,
    cpu: &'static str,
    target: &'static str,
) -> Board {
    Board {
        name: machine,
        core,
        triple,
        cpu,
        target,
        link: Link::Emulated { machine },
        unit: Unit::Instructions,
        runner: ("mixel-runner", Some(feature)),
    }
}

const M3: &str = "thumbv7m-none-eabi";
const M4: &str = "thumbv7em-none-eabihf";
const M33: &str = "thumbv8m.main-none-eabihf";

static BOARDS: [Board; 6] = [
    emulated("mps2-an385", "an385", "Cortex-M3", M3, "cortex-m3", "generic"),
    emulated("mps2-an386", "an386", "Cortex-M4", M4, "cortex-m4", "cortex-m4"),
    emulated("mps2-an500", "an500", "Cortex-M7", M4, "cortex-m7", "cortex-m7"),
    emulated("mps2-an505", "an505", "Cortex-M33", M33, "cortex-m33", "cortex-m33"),
    emulated("mps3-an547", "an547", "Cortex-M55", M33, "cortex-m55", "cortex-m55"),
    Board {
        name: "rp2350",
        core: "Cortex-M33",
        triple: M33,
        cpu: "cortex-m33",
        target: "cortex-m33",
        // The upper half of the 4 MB flash of a Pico 2.
        link: Link::Attached { chip: "RP235x", storage: 0x1020_0000, storage_bytes: 2 << 20 },
        unit: Unit::Cycles,
        runner: ("mixel-rp2350", None),
    },
];

/// All boards that mixel knows, emulated ones first.
pub fn boards() -> &'static [Board] {
    &BOARDS
}

/// The board with this name.
///
/// # Errors
/// [`ErrorKind::Device`] with the list of names.
pub fn board(name: &str) -> Result<&'static Board> {
    BOARDS.iter().find(|board| board.name == name).ok_or_else(|| {
        let names: Vec<&str> = BOARDS.iter().map(|board| board.name).collect();
        Error::new(ErrorKind::Device, name, "there is no such board")
            .hint(format!("boards are {}; `mixel boards` tells more", names.join(", ")))
    })
}

impl Board {
    /// Whether QEMU plays it.
    pub fn is_emulated(&self) -> bool {
        matches!(self.link, Link::Emulated { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_board_is_answered_with_the_known_ones() {
        let error = board("mps2-an999").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Device);
        let text = error.to_string();
        assert!(text.contains("mps2-an999") && text.contains("mps2-an386"), "{text}");
    }

    #[test]
    fn names_are_unique_and_found() {
        for known in boards() {
            assert_eq!(board(known.name).unwrap(), known);
        }
    }
}
