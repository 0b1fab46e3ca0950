//! What this machine lacks for working with boards.

use std::{process::Command, time::Duration};

use super::{Link, boards, firmware, process::finish};
use crate::{Error, ErrorKind, Result};

/// A way to mend something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The commands, in order.
    pub commands: Vec<Vec<&'static str>>,
    /// Whether they need the rights of root.
    pub root: bool,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub name: String,
    /// What it is for.
    pub purpose: &'static str,
    /// What was found, or what is missing.
    pub found: std::result::Result<String, String>,
    /// Whether mixel works without it, except for its purpose.
    pub optional: bool,
    /// How to mend it, where a command can.
    pub fix: Option<Fix>,
}

impl Check {
    /// Whether it is as it should be.
    pub fn ok(&self) -> bool {
        self.found.is_ok()
    }
}

/// What to install for `tool`, as a sentence.
pub fn install_hint(tool: &str) -> String {
    let command = match tool {
        "qemu-system-arm" => "apt-get install qemu-system-arm",
        "probe-rs" => "cargo install probe-rs-tools --locked",
        _ => return format!("install {tool} and put it on the PATH; `mixel doctor` checks again"),
    };
    format!("install it with `{command}`, or run `mixel doctor --fix`")
}

/// Looks at everything: the Rust targets, QEMU, the firmware's sources, probe-rs.
pub fn checks() -> Vec<Check> {
    let mut checks = vec![cargo(), sources(), qemu()];
    let installed = installed_targets();
    let mut triples: Vec<&'static str> = boards().iter().map(|board| board.triple).collect();
    triples.dedup();
    checks.extend(triples.into_iter().map(|triple| target(triple, &installed)));
    checks.push(probe_rs());
    checks
}

/// Does what `check` says would mend it.
///
/// # Errors
/// [`ErrorKind::Setup`] when there is no command for it, when it needs root and this is not, or when the command
/// fails; the hint is the command to run by hand.
pub fn fix(check: &Check) -> Result<()> {
    let error = |message: String| Error::new(ErrorKind::Setup, &check.name, message);
    let Some(fix) = &check.fix else {
        return Err(
            error("no command mends this".into()).hint(check.found.clone().unwrap_or_else(|lack| lack))
        );
    };
    let lines: Vec<String> = fix.commands.iter().map(|command| command.join(" ")).collect();
    if fix.root && !is_root() {
        return Err(
            error("mending it needs root".into()).hint(format!("run `sudo {}`", lines.join(" && sudo ")))
        );
    }
    for command in &fix.commands {
        let [program, arguments @ ..] = &command[..] else { continue };
        let finished = finish(
            Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"),
            Duration::from_secs(1800),
        )?;
        if !finished.success() {
            return Err(error(format!("`{}` failed:\n{}", command.join(" "), finished.tail(10)))
                .hint("run the command by hand to see all that it says"));
        }
    }
    Ok(())
}

fn is_root() -> bool {
    matches!(say(&["id", "-u"]).as_deref(), Ok("0"))
}

/// First line that a command prints; or that it is not there.
fn say(command: &[&str]) -> std::result::Result<String, String> {
    let [program, arguments @ ..] = command else { return Err(String::new()) };
    match finish(Command::new(program).args(arguments), Duration::from_secs(20)) {
        Ok(finished) if finished.success() => {
            let text = String::from_utf8_lossy(&finished.stdout);
            Ok(text.lines().next().unwrap_or_default().to_owned())
        }
        Ok(finished) => Err(finished.tail(1)),
        Err(error) => Err(error.message),
    }
}

fn cargo() -> Check {
    Check {
        name: "cargo".into(),
        purpose: "builds the firmware",
        found: say(&["cargo", "--version"]),
        optional: false,
        fix: None,
    }
}

fn sources() -> Check {
    Check {
        name: "firmware sources".into(),
        purpose: "the programs that run on boards",
        found: firmware::workspace()
            .map(|folder| folder.display().to_string())
            .map_err(|error| error.to_string()),
        optional: false,
        fix: None,
    }
}

fn qemu() -> Check {
    Check {
        name: "qemu-system-arm".into(),
        purpose: "plays the emulated boards",
        found: say(&["qemu-system-arm", "--version"]),
        optional: false,
        fix: Some(Fix {
            commands: vec![
                vec!["apt-get", "update"],
                vec!["apt-get", "install", "--yes", "--no-install-recommends", "qemu-system-arm"],
            ],
            root: true,
        }),
    }
}

/// The Rust targets that are installed, or why they are not known.
fn installed_targets() -> std::result::Result<String, String> {
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "list", "--installed"]);
    match finish(&mut rustup, Duration::from_secs(20)) {
        Ok(finished) if finished.success() => Ok(String::from_utf8_lossy(&finished.stdout).into_owned()),
        Ok(finished) => Err(finished.tail(1)),
        Err(error) => Err(error.message),
    }
}

fn target(triple: &'static str, installed: &std::result::Result<String, String>) -> Check {
    let found = match installed {
        Ok(list) if list.lines().any(|line| line.trim() == triple) => Ok("installed".to_owned()),
        Ok(_) => Err(format!("not installed; run `rustup target add {triple}`")),
        Err(reason) => Err(format!("rustup does not answer ({reason})")),
    };
    let emulated: Vec<&str> = boards()
        .iter()
        .filter(|board| board.triple == triple && matches!(board.link, Link::Emulated { .. }))
        .map(|board| board.core)
        .collect();
    Check {
        name: format!("Rust target {triple} ({})", emulated.join(", ")),
        purpose: "builds the firmware",
        found,
        optional: false,
        fix: Some(Fix { commands: vec![vec!["rustup", "target", "add", triple]], root: false }),
    }
}

fn probe_rs() -> Check {
    Check {
        name: "probe-rs".into(),
        purpose: "flashes and runs attached boards",
        found: say(&["probe-rs", "--version"]),
        optional: true,
        fix: Some(Fix {
            commands: vec![vec!["cargo", "install", "probe-rs-tools", "--locked"]],
            root: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_required_check_says_how_to_mend_it_or_what_lacks() {
        for check in checks() {
            assert!(!check.name.is_empty() && !check.purpose.is_empty());
            if let Err(lack) = &check.found {
                assert!(check.fix.is_some() || !lack.is_empty(), "{check:?}");
            }
        }
    }

    #[test]
    fn a_check_without_a_command_is_not_mended_in_silence() {
        let mut check = cargo();
        check.found = Err("not there".into());
        assert_eq!(fix(&check).unwrap_err().kind, ErrorKind::Setup);
    }

    #[test]
    fn a_failing_command_is_reported() {
        let check = Check {
            name: "nothing".into(),
            purpose: "a test",
            found: Err("missing".into()),
            optional: false,
            fix: Some(Fix { commands: vec![vec!["false"]], root: false }),
        };
        assert!(fix(&check).unwrap_err().to_string().contains("`false` failed"));
    }
}
