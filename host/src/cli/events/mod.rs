//! `mixel events`: what recordings of event cameras hold, as other formats and as pictures.

mod convert;
mod info;
mod render;

use std::path::{Path, PathBuf};

use mixel_core::events::Geometry;

use super::Verdict;
use crate::events::{Reading, Recording, Stated, read_bytes};
use crate::{Error, ErrorKind, Result};

/// Look at recordings of event cameras, convert them, paint them
#[derive(clap::Subcommand)]
pub enum Command {
    Info(info::Args),
    Convert(convert::Args),
    Render(render::Args),
}

pub fn run(command: &Command, json: bool) -> Result<Verdict> {
    match command {
        Command::Info(args) => info::run(args, json),
        Command::Convert(args) => convert::run(args, json),
        Command::Render(args) => render::run(args, json),
    }
}

/// A recording on the command line.
#[derive(clap::Args)]
pub struct Source {
    /// A recording; its format is known by its content
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Pixels of the sensor, for formats that do not say them
    #[arg(long, value_name = "WxH", value_parser = geometry)]
    geometry: Option<Geometry>,
    #[command(flatten)]
    damaged: Damaged,
}

/// What says how to read a recording that is damaged.
#[derive(clap::Args, Clone, Copy, Default)]
pub struct Damaged {
    /// The recording's format, if it has no header and damage hides what its bytes would show
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Stated>,
    /// Believe a time that jumps ahead by more microseconds only when the next ones agree: for damaged recordings
    #[arg(long, value_name = "US")]
    max_step: Option<u32>,
}

impl Damaged {
    /// Whether it says anything.
    pub fn any(self) -> bool {
        self.format.is_some() || self.max_step.is_some()
    }

    /// With the pixels of the sensor.
    pub fn reading(self, geometry: Option<Geometry>) -> Reading {
        Reading { geometry, format: self.format, max_step: self.max_step }
    }
}

impl Source {
    /// The recording and the bytes of its file.
    fn read(&self) -> Result<(Recording, Vec<u8>)> {
        let shown = self.file.display().to_string();
        let bytes = read_bytes(&self.file)?;
        let recording = Recording::decode_as(&bytes, &self.damaged.reading(self.geometry))
            .map_err(|error| Error { path: shown.clone(), ..error })?;
        match (self.geometry, recording.geometry) {
            (Some(given), Some(said)) if given != said => {
                let message = format!("--geometry is {}, but the recording says {}", size(given), size(said));
                Err(Error::new(ErrorKind::Usage, shown, message).hint("leave --geometry away"))
            }
            _ => Ok((recording, bytes)),
        }
    }
}

fn geometry(text: &str) -> std::result::Result<Geometry, String> {
    let side = |text: &str| text.parse().ok().filter(|&side: &u16| (1..=0x8000).contains(&side));
    text.split_once('x')
        .and_then(|(width, height)| Some(Geometry::new(side(width)?, side(height)?)))
        .ok_or_else(|| "expected WIDTHxHEIGHT in pixels, like 640x480, each at most 32768".into())
}

/// As `--geometry` takes it.
fn size(geometry: Geometry) -> String {
    format!("{}x{}", geometry.width, geometry.height)
}

/// What reading dropped, in words; nothing where all went well.
fn dropped(recording: &Recording) -> Vec<String> {
    let counts = &recording.counts;
    let other = recording.aedat4.as_ref().map_or(0, |contents| contents.packets_of_other_cameras);
    [
        (counts.off_sensor.into(), "events off the sensor are left out"),
        (counts.before_sync.into(), "events before the first time word are left out"),
        (counts.reserved.into(), "words or records of reserved types are left out"),
        (counts.time_high_back.into(), "times went back and were held"),
        (recording.gaps.len() as u64, "gaps are in the stream"),
        (recording.unfinished_bytes as u64, "bytes of an unfinished word are at the end"),
        (other, "packets of events of other cameras are left out"),
    ]
    .into_iter()
    .filter(|&(n, _)| n > 0)
    .map(|(n, what)| format!("{n} {what}"))
    .collect()
}

/// Says `notes` about `path` on standard error.
fn say(path: &Path, notes: &[String]) {
    for note in notes {
        eprintln!("note: {}: {note}", path.display());
    }
}
