//! A network as it leaves here: its ONNX file in float, run by tract, and in int8, as a device runs it.

use std::path::{Path, PathBuf};

use mixel::compile::{CalibrationData, CompileOptions, Compiled, Target, prepare};
use mixel::events::{FloatModel, answers};
use mixel::run::open;
use mixel::{Error, ErrorKind};
use mixel_core::events::Geometry;
use mixel_core::events::encode::{Encoder, Evt3Encoder, header};
use mixel_core::events::header::Encoding;

use super::Recording;
use crate::train::argmax;

/// Recordings that show a network's ranges.
const CALIBRATION: usize = 100;

/// An exported network.
pub struct Exported {
    float: FloatModel,
    int8: Compiled,
}

impl Exported {
    /// Reads the file at `path` and compiles it with the ranges that it has on 100 of the `known` recordings, evenly spread.
    ///
    /// # Errors
    /// Those of [`FloatModel::load`] and [`prepare`]; [`ErrorKind::Io`] when no temporary file can be written.
    pub fn new(path: &Path, known: &[Recording], geometry: Geometry) -> mixel::Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Io, "", "a temporary file cannot be written").caused_by(error)
        };
        let folder = tempfile::tempdir().map_err(failed)?;
        let step = (known.len() / CALIBRATION).max(1);
        let shown = known.iter().step_by(step).take(CALIBRATION).enumerate();
        let files = shown.map(|(index, recording)| {
            let path = folder.path().join(format!("{index}.raw"));
            std::fs::write(&path, encoded(recording, geometry)).map(|()| path)
        });
        let calibration =
            CalibrationData::Recordings(files.collect::<Result<Vec<PathBuf>, _>>().map_err(failed)?);
        let options = CompileOptions { calibration, ..CompileOptions::default() };
        Ok(Self { float: FloatModel::load(path)?, int8: prepare(path, &options)?.compile(Target::Generic)? })
    }

    /// Bytes of the plan.
    pub fn plan_bytes(&self) -> usize {
        self.int8.plan.len()
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        self.int8.placement.arena()
    }

    /// The class after the last window of every recording, in float.
    ///
    /// # Errors
    /// Those of [`FloatModel::answers`].
    pub fn float(&self, recordings: &[Recording]) -> mixel::Result<Vec<usize>> {
        let class = |recording: &Recording| {
            let answers = self.float.answers(&recording.events)?;
            let logits = answers.last().and_then(|outputs| outputs.first());
            Ok(logits.map_or(0, |logits| argmax(&logits.data.to_f32())))
        };
        recordings.iter().map(class).collect()
    }

    /// The class after the last window of every recording, in int8.
    ///
    /// # Errors
    /// Those of [`answers`].
    pub fn int8(&self, recordings: &[Recording]) -> mixel::Result<Vec<usize>> {
        let plan = open(&self.int8.plan, "")?;
        let class = |recording: &Recording| {
            let (answers, _) = answers(plan, [&recording.events[..]])?;
            let logits = answers.last().and_then(|answer| answer.outputs.first());
            Ok(logits.map_or(0, |bytes| {
                argmax(&bytes.iter().map(|&byte| f32::from(byte as i8)).collect::<Vec<f32>>())
            }))
        };
        recordings.iter().map(class).collect()
    }
}

/// The recording as a file in EVT 3.0.
fn encoded(recording: &Recording, geometry: Geometry) -> Vec<u8> {
    let mut text = String::new();
    header(Encoding::Evt3, geometry, &mut text).expect("a string takes all text");
    let mut bytes = text.into_bytes();
    let mut put = |word: &[u8]| bytes.extend_from_slice(word);
    let mut encoder = Evt3Encoder::default();
    for &event in &recording.events {
        encoder.event(event, &mut put).expect("recordings are in order and their sensors small");
    }
    encoder.finish(&mut put);
    bytes
}
