//! `mixel events info`.

use std::collections::{BTreeMap, BTreeSet};

use mixel_core::events::header::Encoding;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Source, dropped, say};
use crate::Result;
use crate::cli::{Verdict, print, print_json};
use crate::events::Recording;
use crate::report::Align::{Left, Right};
use crate::report::{Table, grouped};

/// Say what a recording holds: format, events, sums, triggers, whatever is wrong with it
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    source: Source,
}

pub fn run(args: &Args, json: bool) -> Result<Verdict> {
    let (recording, bytes) = args.source.read()?;
    let info = Info::of(&recording, &bytes);
    if json {
        print_json(&info)?;
    } else {
        print(&info.text())?;
        say(&args.source.file, &dropped(&recording));
    }
    Ok(Verdict::Good)
}

/// What a recording holds. Times are microseconds, `p` is 1 where it got brighter.
#[derive(Serialize)]
struct Info {
    format: String,
    width: Option<u16>,
    height: Option<u16>,
    file_bytes: usize,
    /// Text in front of the events.
    header_bytes: usize,
    cd_events: usize,
    sum_x: u64,
    sum_y: u64,
    sum_p: u64,
    /// In decimal: it may need more than 64 bits.
    sum_t_us: String,
    /// Since the first event.
    sum_dt_us: u128,
    first_t_us: Option<u64>,
    last_t_us: Option<u64>,
    max_x: Option<u16>,
    max_y: Option<u16>,
    /// Events earlier than the one before, as they are handed out: decoders hold time, so this is 0. What they held is below.
    t_back_steps: usize,
    sha256: String,
    triggers: usize,
    trigger_ids: BTreeSet<u8>,
    sum_t_triggers: u128,
    before_first_time_high: u32,
    events_between_time_high_and_time_low: u32,
    time_low_back_steps_without_time_high: u32,
    time_high_back_steps: u32,
    /// Words by their type, other than events, times and triggers.
    other_word_types: BTreeMap<String, u32>,
    off_sensor: u32,
    reserved: u32,
    wraps: u32,
    gaps: usize,
    unfinished_bytes: usize,
    #[serde(flatten)]
    dat: Option<Dat>,
    #[serde(flatten)]
    aedat4: Option<Aedat4>,
}

/// The two bytes in front of DAT records.
#[derive(Serialize)]
struct Dat {
    event_type: u8,
    event_size: u8,
}

/// What the head of an AEDAT4 container says, and its packets.
#[derive(Serialize)]
struct Aedat4 {
    compression: &'static str,
    size: Option<[u16; 2]>,
    packets: BTreeMap<String, u64>,
    packets_of_other_cameras: u64,
    trigger_records: u64,
}

impl Info {
    fn of(recording: &Recording, bytes: &[u8]) -> Self {
        let Recording { events, triggers, counts, geometry, .. } = recording;
        let first = events.first().map(|event| event.t);
        let numbers = match recording.encoding {
            Some(Encoding::Dat(_)) => bytes.get(..recording.header_bytes).and_then(|head| head.last_chunk()),
            _ => None,
        };
        let dat = numbers.map(|&[event_type, event_size]| Dat { event_type, event_size });
        let words = (0..16).zip(counts.other_words).filter(|&(_, n)| n > 0);
        Self {
            format: recording.format.clone(),
            width: geometry.map(|geometry| geometry.width),
            height: geometry.map(|geometry| geometry.height),
            file_bytes: recording.file_bytes,
            header_bytes: recording.header_bytes - if dat.is_some() { 2 } else { 0 },
            cd_events: events.len(),
            sum_x: events.iter().map(|event| u64::from(event.event.x())).sum(),
            sum_y: events.iter().map(|event| u64::from(event.event.y())).sum(),
            sum_p: events.iter().map(|event| u64::from(event.event.on())).sum(),
            sum_t_us: events.iter().map(|event| u128::from(event.t)).sum::<u128>().to_string(),
            sum_dt_us: events.iter().map(|event| u128::from(event.t - first.unwrap_or(0))).sum(),
            first_t_us: first,
            last_t_us: events.last().map(|event| event.t),
            max_x: events.iter().map(|event| event.event.x()).max(),
            max_y: events.iter().map(|event| event.event.y()).max(),
            t_back_steps: events.windows(2).filter(|pair| pair[1].t < pair[0].t).count(),
            sha256: Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect(),
            triggers: triggers.len(),
            trigger_ids: triggers.iter().map(|edge| edge.trigger.id).collect(),
            sum_t_triggers: triggers.iter().map(|edge| u128::from(edge.t)).sum(),
            before_first_time_high: counts.before_sync,
            events_between_time_high_and_time_low: counts.unsettled,
            time_low_back_steps_without_time_high: counts.time_low_back,
            time_high_back_steps: counts.time_high_back,
            other_word_types: words.map(|(kind, n)| (format!("0x{kind:x}"), n)).collect(),
            off_sensor: counts.off_sensor,
            reserved: counts.reserved,
            wraps: counts.wraps,
            gaps: recording.gaps.len(),
            unfinished_bytes: recording.unfinished_bytes,
            dat,
            aedat4: recording.aedat4.as_ref().map(|contents| Aedat4 {
                compression: contents.compression.name(),
                size: geometry.map(|geometry| [geometry.width, geometry.height]),
                packets: contents.packets.clone(),
                packets_of_other_cameras: contents.packets_of_other_cameras,
                trigger_records: contents.trigger_records,
            }),
        }
    }

    fn text(&self) -> String {
        let mut table = Table::new(&[("format", Left), (&self.format, Right), ("", Left)]);
        let mut row = |name: &str, value: String, more: String| table.row([name.into(), value, more]);
        let number = |n: usize| grouped(n as u64);
        let sides = self.width.zip(self.height).map(|(width, height)| format!("{width}x{height}"));
        let seen = self.max_x.zip(self.max_y);
        let seen = seen.map_or(String::new(), |(x, y)| format!("events reach column {x}, row {y}"));
        row("sensor", sides.unwrap_or_else(|| "not said".into()), seen);
        row("file", number(self.file_bytes), format!("bytes, {} of them text in front", self.header_bytes));
        let on = 100.0 * self.sum_p as f64 / self.cd_events.max(1) as f64;
        row("events", number(self.cd_events), format!("{on:.1} % ON"));
        if let (Some(first), Some(last)) = (self.first_t_us, self.last_t_us) {
            let us = last - first;
            let rate = self.cd_events as f64 / us.max(1) as f64;
            row("time", grouped(us), format!("us, from {} to {}", grouped(first), grouped(last)));
            row("rate", format!("{rate:.3}"), "million events a second".into());
        }
        let ids: Vec<String> = self.trigger_ids.iter().map(u8::to_string).collect();
        let channels = if ids.is_empty() { String::new() } else { format!("channels {}", ids.join(", ")) };
        row("triggers", number(self.triggers), channels);
        if let Some(aedat4) = &self.aedat4 {
            let each: Vec<String> = aedat4.packets.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
            let all = aedat4.packets.values().sum();
            row("packets", grouped(all), format!("{}, compression {}", each.join(", "), aedat4.compression));
        }
        let others: u64 = self.other_word_types.values().map(|&n| u64::from(n)).sum();
        if others > 0 {
            let each: Vec<String> =
                self.other_word_types.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
            row("other words", grouped(others), each.join(", "));
        }
        for (name, n, meaning) in [
            ("wraps", self.wraps, "of the format's clock"),
            ("low time back", self.time_low_back_steps_without_time_high, "without a new time word"),
            ("unsettled", self.events_between_time_high_and_time_low, "between a time word and its low bits"),
        ] {
            if n > 0 {
                row(name, grouped(n.into()), meaning.into());
            }
        }
        row("sha256", String::new(), self.sha256.clone());
        table.to_string()
    }
}
