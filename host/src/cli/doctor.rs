//! `mixel doctor`.

use serde_json::json;

use super::{Verdict, print, print_json};
use crate::Result;
use crate::device::doctor::{checks, fix};
use crate::report::Align::Left;
use crate::report::{Progress, Table};

/// Look for what is missing on this machine
#[derive(clap::Args)]
pub struct Args {
    /// Install what is missing
    #[arg(long)]
    fix: bool,
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let mut found = checks();
    if args.fix {
        for check in found.iter().filter(|check| !check.ok() && !check.optional) {
            let _progress = Progress::new(format!("mending {}", check.name));
            fix(check)?;
        }
        found = checks();
    }
    let sound = found.iter().all(|check| check.ok() || check.optional);
    let state = |ok: bool, optional: bool| match (ok, optional) {
        (true, _) => "ok",
        (false, true) => "not there (optional)",
        (false, false) => "MISSING",
    };
    if json {
        let checks = found.iter().map(|check| {
            let fix =
                check.fix.as_ref().map(|fix| fix.commands.iter().map(|c| c.join(" ")).collect::<Vec<_>>());
            let detail = check.found.as_ref().unwrap_or_else(|lack| lack);
            json!({
                "name": check.name, "purpose": check.purpose, "ok": check.ok(), "optional": check.optional,
                "detail": detail, "fix": fix,
            })
        });
        print_json(&json!({ "ok": sound, "checks": checks.collect::<Vec<_>>() }))?;
    } else {
        let mut table = Table::new(&[("what", Left), ("state", Left), ("for", Left), ("detail", Left)]);
        for check in &found {
            let detail = check.found.as_ref().unwrap_or_else(|lack| lack);
            let cells = [
                check.name.clone(),
                state(check.ok(), check.optional).into(),
                check.purpose.into(),
                detail.clone(),
            ];
            table.row(cells);
        }
        print(&table.to_string())?;
        for check in found.iter().filter(|check| !check.ok()) {
            for command in check.fix.iter().flat_map(|fix| &fix.commands) {
                print(&format!("{}: {}\n", check.name, command.join(" ")))?;
            }
        }
    }
    Ok(if sound { Verdict::Good } else { Verdict::Bad })
}
