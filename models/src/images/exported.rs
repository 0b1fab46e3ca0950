//! A network as it leaves here: its ONNX file in float, run by tract, and in int8, as a device runs it.

use std::path::Path;

use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Prepared, SetFor, Target, operator_set, prepare};
use mixel::device::{self, FlashProfile, Sample, board, flash_bytes};
use mixel::import::ImportOptions;
use mixel::inspect::inspect;
use mixel::reference::Reference;
use mixel::run::{on_host, open};
use mixel::samples::{Case, sample};
use mixel::validate::target_of;

use super::{Image, SIDE};
use crate::onnx::spach::IMAGE;
use crate::train::argmax;

/// Training images that show a network's ranges.
const CALIBRATION: usize = 500;

/// An exported network.
pub struct Exported {
    float: Reference,
    int8: Prepared,
}

/// What a board needs for a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of the plan.
    pub plan: usize,
    /// Bytes of the arena.
    pub arena: usize,
    /// Instructions of one inference.
    pub instructions: u64,
}

impl Exported {
    /// Reads the file at `path` and compiles it with the ranges that it has on 500 of the `known` images, evenly spread.
    ///
    /// # Errors
    /// Those of [`prepare`] and [`Reference::load`].
    pub fn new(path: &Path, known: &[Image]) -> mixel::Result<Self> {
        let shown = known.iter().step_by((known.len() / CALIBRATION).max(1)).take(CALIBRATION);
        let values: Vec<f32> = shown.flat_map(Image::reals).collect();
        let count = values.len() / super::VALUES;
        let array = Array::new(&[count, SIDE, SIDE, 3], ArrayData::F32(values))?;
        let calibration = CalibrationData::Arrays(vec![(IMAGE.into(), array)]);
        let options = CompileOptions { calibration, ..CompileOptions::default() };
        Ok(Self { float: Reference::load(path, &ImportOptions::default())?, int8: prepare(path, &options)? })
    }

    /// The classes of images in float.
    ///
    /// # Errors
    /// Those of [`Reference::run`].
    pub fn float(&self, images: &[Image]) -> mixel::Result<Vec<usize>> {
        let class = |image: &Image| Ok(argmax(&self.float.run(&[array(image)?])?[0].data.to_f32()));
        images.iter().map(class).collect()
    }

    /// The classes of images in int8, computed here.
    ///
    /// # Errors
    /// Those of compiling and running.
    pub fn int8(&self, images: &[Image]) -> mixel::Result<Vec<usize>> {
        let compiled = self.int8.compile(Target::X86_64)?;
        let plan = open(&compiled.plan, "")?;
        let samples = images.iter().map(|image| sample(&plan, &Case::Arrays(vec![array(image)?])));
        let samples: Vec<Sample> = samples.collect::<mixel::Result<_>>()?;
        let class =
            |bytes: &[u8]| argmax(&bytes.iter().map(|&byte| f32::from(byte as i8)).collect::<Vec<f32>>());
        Ok(on_host(plan, &samples, &mut |_, _, _| {})?.iter().map(|outputs| class(&outputs[0])).collect())
    }

    /// What one inference takes of the emulated board called `name`.
    ///
    /// # Errors
    /// Those of compiling and of the board.
    pub fn cost(&self, name: &str, image: &Image) -> mixel::Result<Cost> {
        let board = board(name)?;
        let compiled = self.int8.compile(target_of(board)?)?;
        let plan = open(&compiled.plan, "")?;
        let input = sample(&plan, &Case::Arrays(vec![array(image)?]))?;
        let options = device::Options { runs: 1, ..device::Options::default() };
        let run = device::run(board, &compiled.plan, &[input], &options)?;
        let facts = inspect(&plan);
        Ok(Cost {
            macs: facts.macs,
            plan: facts.plan_bytes,
            arena: facts.arena_bytes,
            instructions: run.profile.map_or(0, |profile| profile.total.median),
        })
    }

    /// Flash of the smallest firmware with this network on the board called `name`: plan and code.
    ///
    /// # Errors
    /// Those of compiling and of building firmware.
    pub fn flash(&self, name: &str) -> mixel::Result<u64> {
        let board = board(name)?;
        let compiled = self.int8.compile(target_of(board)?)?;
        let plan = open(&compiled.plan, "")?;
        let bytes =
            flash_bytes(board, &compiled.plan, &operator_set(&plan, SetFor::ThisPlan), FlashProfile::Size)?;
        Ok(bytes.firmware + bytes.plan)
    }
}

/// The image as the network's input.
fn array(image: &Image) -> mixel::Result<Array> {
    Array::new(&[1, SIDE, SIDE, 3], ArrayData::F32(image.reals()))
}
