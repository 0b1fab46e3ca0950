//! How well images come out large: bicubic, a network in float, and the same in int8 as a device runs it.

use std::fmt;
use std::path::Path;

use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Compiled, Target, prepare};
use mixel::image::{Filter, Rgb8, luma, psnr, resize, ssim};
use mixel::run::{on_host, open};
use mixel::samples::{Case, output_arrays, sample};
use mixel::{Error, ErrorKind};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::pairs::Pair;
use super::planes::Planes;
use super::train::Enlarger;
use crate::onnx::scet::{IMAGE, export};
use crate::scet::Architecture;
use crate::weights::Weight;

/// PSNR in dB and SSIM, on luma without a border as wide as the scale.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Peak signal to noise, dB.
    pub psnr: f64,
    /// Structural similarity.
    pub ssim: f64,
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} / {:.4}", self.psnr, self.ssim)
    }
}

/// How near `found` comes to the large image of `pair`.
///
/// # Errors
/// [`ErrorKind::Input`] for different sizes or an image that is too small.
pub fn quality(pair: &Pair, found: &Rgb8) -> mixel::Result<Quality> {
    let border = pair.large.width() / pair.small.width();
    let (found, truth) = (luma(found).without_border(border)?, luma(&pair.large).without_border(border)?);
    Ok(Quality { psnr: psnr(&found, &truth)?, ssim: ssim(&found, &truth)? })
}

/// PSNR in dB of `found` against `other`, on luma without a border of `border` pixels: how near two ways come to each other.
///
/// # Errors
/// [`ErrorKind::Input`] for different sizes or images that are too small.
pub fn nearness(found: &Rgb8, other: &Rgb8, border: usize) -> mixel::Result<f64> {
    psnr(&luma(found).without_border(border)?, &luma(other).without_border(border)?)
}

/// The mean over `pairs` of what `enlarge` makes.
///
/// # Errors
/// Those of `enlarge` and [`quality`].
pub fn mean(pairs: &[Pair], mut enlarge: impl FnMut(&Pair) -> mixel::Result<Rgb8>) -> mixel::Result<Quality> {
    let mut sum = Quality::default();
    for pair in pairs {
        let Quality { psnr, ssim } = quality(pair, &enlarge(pair)?)?;
        sum.psnr += psnr / pairs.len() as f64;
        sum.ssim += ssim / pairs.len() as f64;
    }
    Ok(sum)
}

/// The small image of `pair` enlarged without a network.
///
/// # Errors
/// Those of [`resize`].
pub fn bicubic(pair: &Pair) -> mixel::Result<Rgb8> {
    resize(&pair.small, pair.large.width(), pair.large.height(), Filter::Bicubic)
}

/// The small image of `pair` enlarged by the network in float.
pub fn float(enlarger: &Enlarger, pair: &Pair) -> Rgb8 {
    enlarger.enlarge(&Planes::from(&pair.small)).to_rgb8()
}

/// Patches that show a network's ranges.
pub const CALIBRATION: usize = 4;

/// The input of a network for `count` patches of `height` x `width` of small images, evenly spread over these, as calibration
/// takes it. Images that are smaller than a patch are mirrored at their edges.
pub fn calibration(images: &[Pair], count: usize, [height, width]: [usize; 2]) -> (String, Array) {
    let mut rng = StdRng::seed_from_u64(0);
    let data: Vec<f32> = (0..count)
        .map(|index| &images[index * images.len() / count].small)
        .flat_map(|image| {
            let left = rng.random_range(0..=image.width().saturating_sub(width));
            let top = rng.random_range(0..=image.height().saturating_sub(height));
            Planes::from(image).window(left, top, width, height).values
        })
        .collect();
    (IMAGE.to_owned(), Array { dims: vec![count, 3, height, width], data: ArrayData::F32(data) })
}

/// A network in int8 for small images of one size.
pub struct Int8 {
    compiled: Compiled,
}

impl Int8 {
    /// Compiles the network with the ranges that it has on `count` patches of the `known` images.
    ///
    /// # Errors
    /// Those of [`prepare`]; [`ErrorKind::Io`] when no temporary file can be written.
    pub fn new(
        architecture: &Architecture,
        weights: &[Weight],
        size: [usize; 2],
        known: &[Pair],
        count: usize,
    ) -> mixel::Result<Self> {
        let failed = |error: std::io::Error| {
            Error::new(ErrorKind::Io, "", "a temporary file cannot be written").caused_by(error)
        };
        let folder = tempfile::tempdir().map_err(failed)?;
        let path = folder.path().join("scet.onnx");
        std::fs::write(&path, export("scet", architecture, size, weights)).map_err(failed)?;
        Self::read(&path, known, count, size)
    }

    /// The same for a file of [`export`].
    ///
    /// # Errors
    /// Those of [`prepare`].
    pub fn read(path: &Path, known: &[Pair], count: usize, size: [usize; 2]) -> mixel::Result<Self> {
        let calibration = CalibrationData::Arrays(vec![calibration(known, count, size)]);
        let options = CompileOptions { calibration, ..CompileOptions::default() };
        Ok(Self { compiled: prepare(path, &options)?.compile(Target::Generic)? })
    }

    /// Bytes of the plan.
    pub fn plan_bytes(&self) -> usize {
        self.compiled.plan.len()
    }

    /// Bytes of the arena.
    pub fn arena_bytes(&self) -> usize {
        self.compiled.placement.arena()
    }

    /// The large image.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] for an image of another size.
    pub fn enlarge(&self, image: &Rgb8) -> mixel::Result<Rgb8> {
        let plan = open(&self.compiled.plan, "")?;
        let planes = Planes::from(image);
        let dims = vec![1, 3, planes.height, planes.width];
        let case = Case::Arrays(vec![Array { dims, data: ArrayData::F32(planes.values) }]);
        let sample = sample(&plan, &case)?;
        let outputs = on_host(plan, &[sample], &mut |_, _, _| {})?;
        let arrays = output_arrays(&*open(&self.compiled.plan, "")?, &outputs, &[None], false)?;
        let [(_, Array { dims, data }), ..] = &arrays[..] else {
            return Err(Error::new(ErrorKind::Plan, "", "the network has no output"));
        };
        let [.., height, width] = dims[..] else {
            return Err(Error::new(ErrorKind::Plan, "", "the network's output is no image"));
        };
        Ok(Planes { width, height, values: data.to_f32() }.to_rgb8())
    }
}
