//! `mixel events convert`.

use std::path::PathBuf;

use serde_json::json;

use super::{Source, dropped, say, size};
use crate::cli::{Verdict, print, print_json, write_file};
use crate::events::{Format, Recording, encode};
use crate::report::grouped;
use crate::{Error, ErrorKind, Result};

/// Write a recording in another format
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// The file to write
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Its format; without this the end of its name says it
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Option<Format>,
    /// Count time from the first event or trigger
    #[arg(long)]
    from_zero: bool,
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let output = args.output.display().to_string();
    let format = args.to.or_else(|| Format::of_path(&args.output)).ok_or_else(|| {
        Error::new(ErrorKind::Usage, &output, "its name does not say a format")
            .hint("end it in .evt2, .evt21, .evt3, .dat, .bin or .npz, or give --to FORMAT")
    })?;
    let (mut recording, _) = args.source.read()?;
    let moved = if args.from_zero { recording.start().unwrap_or(0) } else { 0 };
    recording.move_back(moved);
    let input = args.source.file.display().to_string();
    let bytes = encode(&recording, format).map_err(|error| Error { path: input.clone(), ..error })?;
    write_file(&args.output, &bytes)?;
    let triggers = if format.has_triggers() { recording.triggers.len() } else { 0 };
    let notes = notes(&recording, format, moved);
    say(&args.source.file, &notes);
    if json {
        print_json(&json!({
            "input": input,
            "output": output,
            "format": format.name(),
            "file_bytes": bytes.len(),
            "cd_events": recording.events.len(),
            "triggers": triggers,
            "moved_back_us": moved,
            "notes": notes,
        }))?;
    } else {
        let events = recording.events.len();
        print(&format!(
            "{output}: {}, {} events, {triggers} triggers, {} bytes ({:.2} an event)\n",
            format.name(),
            grouped(events as u64),
            grouped(bytes.len() as u64),
            bytes.len() as f64 / events.max(1) as f64,
        ))?;
    }
    Ok(Verdict::Good)
}

/// What the new file does not say, and what it says that the old one did not.
fn notes(recording: &Recording, format: Format, moved: u64) -> Vec<String> {
    let mut notes = dropped(recording);
    let (name, triggers) = (format.name(), recording.triggers.len());
    if moved > 0 {
        notes.push(format!("everything is {moved} us earlier"));
    }
    if triggers > 0 && !format.has_triggers() {
        notes.push(format!("{triggers} triggers are left out: {name} has none among events"));
    }
    match recording.geometry {
        Some(geometry) if !format.has_geometry() => {
            let size = size(geometry);
            notes.push(format!("{name} does not say the sensor's pixels: read it with --geometry {size}"));
        }
        None if format.has_geometry() && format != Format::Npz => {
            let extent = size(recording.extent());
            notes.push(format!(
                "the sensor's pixels are not known: {extent} is written, which holds all events (--geometry says them)"
            ));
        }
        _ => {}
    }
    notes
}
