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
            .hint("end it in .evt2, .evt21, .evt3, .dat, .aedat2, .aedat3, .bin, .edvs or .npz, or give --to FORMAT")
    })?;
    let (mut recording, _) = args.source.read()?;
    let moved = if args.from_zero { recording.start().unwrap_or(0) } else { 0 };
    recording.move_back(moved);
    let input = args.source.file.display().to_string();
    let bytes = encode(&recording, format).map_err(|error| Error { path: input.clone(), ..error })?;
    write_file(&args.output, &bytes)?;
    let triggers = recording.triggers.iter().filter(|edge| format.keeps(edge.trigger)).count();
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
    let name = format.name();
    let left_out = recording.triggers.iter().filter(|edge| !format.keeps(edge.trigger)).count();
    if moved > 0 {
        notes.push(format!("everything is {moved} us earlier"));
    }
    if left_out > 0 {
        let has = if format == Format::Aedat3 { "no channels but 0" } else { "none among events" };
        notes.push(format!("{left_out} triggers are left out: {name} has {has}"));
    }
    if format == Format::Edvs {
        notes.push(format!("{name} is not known by its content: read it with --format edvs"));
    }
    match (recording.geometry, format.said(recording.extent())) {
        (Some(own), None) => {
            let own = size(own);
            notes.push(format!("{name} does not say the sensor's pixels: read it with --geometry {own}"));
        }
        (Some(own), Some(said)) if own != said => {
            let (own, said) = (size(own), size(said));
            notes.push(format!("{name} has no sensor of {own} pixels: one of {said} is written"));
        }
        (None, Some(said)) if format != Format::Npz => {
            let said = size(said);
            notes.push(format!(
                "the sensor's pixels are not known: {said} is written, which holds all events (--geometry says them)"
            ));
        }
        _ => {}
    }
    notes
}
