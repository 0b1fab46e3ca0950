//! `mixel boards`.

use serde_json::json;

use super::{Verdict, print, print_json};
use crate::Result;
use crate::device::boards;
use crate::report::Align::Left;
use crate::report::Table;

/// List the boards that plans run on
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, json: bool) -> Result<Verdict> {
    let kind = |emulated| if emulated { "emulated" } else { "attached" };
    if json {
        let boards = boards().iter().map(|board| {
            json!({
                "board": board.name, "core": board.core, "target": board.target, "triple": board.triple,
                "kind": kind(board.is_emulated()), "unit": board.unit.name(),
            })
        });
        print_json(&boards.collect::<Vec<_>>())?;
    } else {
        let mut table = Table::new(&[
            ("board", Left),
            ("core", Left),
            ("--target", Left),
            ("kind", Left),
            ("counts", Left),
        ]);
        for board in boards() {
            let cells = [board.name, board.core, board.target, kind(board.is_emulated()), board.unit.name()];
            table.row(cells.map(str::to_owned));
        }
        print(&table.to_string())?;
    }
    Ok(Verdict::Good)
}
