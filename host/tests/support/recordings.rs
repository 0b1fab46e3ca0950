//! The recordings of N-MNIST with their digits, and what models answer to recordings.

use std::path::{Path, PathBuf};

use mixel::events::{FloatModel, answers};
use mixel_core::Plan;
use mixel_core::events::record5::Record5;
use mixel_core::events::{Event, Geometry};

use super::data;

/// Pixels of N-MNIST.
pub const SENSOR: Geometry = Geometry::new(34, 34);

/// A recording.
pub struct Digit {
    /// Its file.
    pub bytes: Vec<u8>,
    /// The digit.
    pub label: usize,
}

impl Digit {
    /// All of its events.
    pub fn events(&self) -> Vec<Event> {
        let mut all = Vec::new();
        Record5::bs2(SENSOR).decode(&self.bytes, &mut |events: &[Event]| all.extend_from_slice(events));
        all
    }
}

/// The part `train` (1,000 recordings) or `test` (100); none where the data are missing.
pub fn nmnist(part: &str) -> Option<Vec<Digit>> {
    let archive = std::fs::read(data(&format!("nmnist/nmnist_{part}.tar"))?).unwrap();
    let table = std::fs::read_to_string(data("nmnist/labels.csv")?).unwrap();
    let label = |name: &str| {
        let line = format!("{part},{name},");
        table.lines().find_map(|row| row.strip_prefix(&line)?.parse().ok()).unwrap()
    };
    Some(untar(&archive).map(|(name, bytes)| Digit { label: label(name), bytes: bytes.to_vec() }).collect())
}

/// Names and contents of the files of a tar archive: 512 bytes of header each, with an octal length, and contents filled up to 512.
fn untar(mut archive: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    std::iter::from_fn(move || {
        let (head, rest) = archive.split_at_checked(512).filter(|(head, _)| head[0] != 0)?;
        let text = |range: std::ops::Range<usize>| {
            std::str::from_utf8(&head[range]).unwrap().trim_matches(['\0', ' '])
        };
        let len = usize::from_str_radix(text(124..136), 8).unwrap();
        archive = rest.get(len.next_multiple_of(512)..).unwrap_or_default();
        Some((text(0..100), &rest[..len]))
    })
}

/// Writes recordings to be calibrated on into `folder`; their paths.
pub fn written<'b>(folder: &Path, recordings: impl Iterator<Item = &'b [u8]>) -> Vec<PathBuf> {
    let files = recordings.enumerate().map(|(index, bytes)| {
        let path = folder.join(format!("{index:04}"));
        std::fs::write(&path, bytes).unwrap();
        path
    });
    files.collect()
}

fn largest<T: PartialOrd + Copy>(scores: &[T]) -> usize {
    (0..scores.len()).reduce(|best, at| if scores[at] > scores[best] { at } else { best }).unwrap()
}

/// The class after the last window by a plan, and none when there is no window.
pub fn integer_class(plan: Plan<'_>, events: &[Event]) -> Option<usize> {
    let (answers, _) = answers(plan, [events]).unwrap();
    let scores: Vec<i8> = answers.last()?.outputs[0].iter().map(|&byte| byte as i8).collect();
    Some(largest(&scores))
}

/// The class after the last window by the float model, and none when there is no window.
pub fn float_class(model: &FloatModel, events: &[Event]) -> Option<usize> {
    Some(largest(&model.answers(events).unwrap().last()?[0].data.to_f32()))
}
