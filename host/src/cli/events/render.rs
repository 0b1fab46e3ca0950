//! `mixel events render`.

use std::ops::Range;
use std::path::PathBuf;

use serde_json::json;

use super::{Source, dropped, say};
use crate::cli::{Verdict, print, print_json};
use crate::events::{Image, ImageWriter, Picture, Recording, Style, paint};
use crate::report::{Progress, grouped};
use crate::{Error, ErrorKind, Result};

/// Paint a recording: a PNG of a stretch of time, or a GIF or APNG with a frame a window
///
/// Orange is where it got brighter, blue where it got darker.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
    /// The picture; .png is one picture, .gif and .apng move
    #[arg(value_name = "OUT.png|OUT.gif|OUT.apng")]
    output: PathBuf,
    /// Where to begin, in milliseconds after the first event
    #[arg(long, value_name = "MS", value_parser = milliseconds, default_value = "0")]
    at: u64,
    /// Length of the picture's stretch of time, without this all; or of each frame, without this 40 ms, or less so that there
    /// are 24 frames
    #[arg(long, value_name = "MS", value_parser = milliseconds)]
    window: Option<u64>,
    /// What brightness says; without this counts in a picture, decay in one that moves
    #[arg(long, value_enum)]
    style: Option<Style>,
    /// Frames at most
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
}

/// Microseconds of a frame when it is not said, and how many frames there should be at least.
const FRAME_US: u64 = 40_000;
const LEAST_FRAMES: u64 = 24;
/// A frame is shown no shorter than this many hundredths of a second; windows that are shorter move in slow motion.
const LEAST_DELAY: u64 = 4;

/// Milliseconds with decimals, as microseconds.
fn milliseconds(text: &str) -> std::result::Result<u64, String> {
    let us = text.parse::<f64>().map(|ms| (ms * 1000.0).round());
    us.ok()
        .filter(|us| (0.0..1e15).contains(us))
        .map(|us| us as u64)
        .ok_or_else(|| "expected milliseconds, like 20 or 0.5".into())
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let output = args.output.display().to_string();
    let image = Image::of_path(&args.output).ok_or_else(|| {
        Error::new(ErrorKind::Usage, &output, "its name does not say a picture format")
            .hint("end it in .png for one picture, in .gif or .apng for one that moves")
    })?;
    let (recording, _) = args.source.read()?;
    let moves = image != Image::Png;
    let Windows { windows, more } = windows(args, &recording, moves)?;
    let (Some(first), Some(last)) = (windows.first(), windows.last()) else {
        return Err(Error::new(ErrorKind::Internal, output, "there is no frame"));
    };
    let (from, to, length) = (first.start, last.end, first.end - first.start);
    let picture = Picture::of(recording.extent());
    let style = args.style.unwrap_or(if moves { Style::Decay } else { Style::Counts });
    let delay = (length / 10_000).clamp(LEAST_DELAY, u16::MAX.into());
    let mut writer = ImageWriter::create(&args.output, image, &picture, windows.len() as u32, delay as u16)?;
    let progress = Progress::new(format!("painting {} frames", windows.len()));
    let mut done = 0;
    paint(&recording, &picture, &windows, style, |pixels| {
        done += 1;
        progress.step(done, windows.len());
        writer.frame(pixels)
    })?;
    drop(progress);
    writer.finish()?;
    let shown = recording.events.iter().filter(|event| (from..to).contains(&event.t)).count();
    say(&args.source.file, &dropped(&recording));
    let start = recording.events.first().map_or(0, |event| event.t);
    let Picture { width, height, repeat, fold } = picture;
    if json {
        print_json(&json!({
            "output": output,
            "width": width,
            "height": height,
            "picture_pixels_per_cell": repeat,
            "sensor_pixels_per_cell": fold,
            "style": if style == Style::Counts { "counts" } else { "decay" },
            "frames": windows.len(),
            "frames_left_out": more,
            "window_us": length,
            "frame_shown_us": if moves { Some(delay * 10_000) } else { None },
            "from_us": from,
            "to_us": to,
            "cd_events": shown,
        }))?;
    } else {
        let ms = |us: u64| us as f64 / 1000.0;
        let scale = match (repeat, fold) {
            (1, 1) => String::new(),
            (repeat, 1) => format!(", {repeat} times the sensor"),
            (_, fold) => format!(", one pixel for {fold} of the sensor in both directions"),
        };
        let frames = match moves {
            false => String::new(),
            true => {
                format!(", {} frames of {} ms, each shown for {} ms", windows.len(), ms(length), delay * 10)
            }
        };
        print(&format!(
            "{output}: {width}x{height}{scale}, {} events from {} to {} ms{frames}\n",
            grouped(shown as u64),
            ms(from - start),
            ms(to - start),
        ))?;
        if more > 0 {
            eprintln!("note: {output}: {more} windows more are not shown; see --at, --window and --frames");
        }
    }
    Ok(Verdict::Good)
}

/// Stretches of time, each a frame.
struct Windows {
    windows: Vec<Range<u64>>,
    /// How many more there would be.
    more: u64,
}

fn windows(args: &Args, recording: &Recording, moves: bool) -> Result<Windows> {
    let refuse = |message: String, hint: &str| {
        Error::new(ErrorKind::Input, args.source.file.display().to_string(), message).hint(hint)
    };
    let (Some(first), Some(last)) = (recording.events.first(), recording.events.last()) else {
        let off = recording.counts.off_sensor;
        return Err(match off {
            0 => refuse("holds no events".into(), "there is nothing to paint"),
            _ => refuse(format!("all {off} events lie off the sensor"), "give the true --geometry"),
        });
    };
    let from = first.t.saturating_add(args.at);
    if from > last.t {
        let ms = (last.t - first.t) as f64 / 1000.0;
        return Err(refuse(
            format!("--at {} ms is behind its last event at {ms} ms", args.at as f64 / 1000.0),
            "give fewer milliseconds",
        ));
    }
    let all = last.t + 1 - from;
    let length = match args.window {
        Some(0) => return Err(refuse("--window is empty".into(), "give 0.001 ms or more")),
        Some(length) => length,
        None if moves => FRAME_US.min(all.div_ceil(LEAST_FRAMES)),
        None => all,
    };
    let count = if moves { all.div_ceil(length) } else { 1 };
    let kept = count.min(args.frames.into());
    let windows = (0..kept).map(|index| from + index * length..from + (index + 1) * length).collect();
    Ok(Windows { windows, more: if moves { count - kept } else { 0 } })
}
