//! Pictures as inputs and outputs of a model ([`ImageFrontEnd`]).

use std::path::{Path, PathBuf};

use mixel_core::plan::{FrontEnd, ImageFrontEnd, ImageHead, Plan, Port, RawPlan};

use super::{Rgb8, read_png};
use crate::arrays::{Array, ArrayData};
use crate::device::{self, Board};
use crate::run::on_host;
use crate::samples::{Case, output_arrays, reals, sample};
use crate::{Error, ErrorKind, Result};

/// Colours of a pixel.
const COLOURS: usize = 3;

/// A model's image of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Whether the model has a plane for each colour, `[1, 3, height, width]`, instead of three values a pixel.
    pub planes: bool,
}

impl Frame {
    /// The frame of an array of `dims`, a batch axis of 1 included; none for another shape. Where both orders fit, the colours
    /// are the last axis.
    pub fn of_dims(dims: &[usize]) -> Option<Self> {
        match *dims {
            [1, height, width, COLOURS] => Some(Self { width, height, planes: false }),
            [1, COLOURS, height, width] => Some(Self { width, height, planes: true }),
            _ => None,
        }
    }

    fn of_port(plan: &RawPlan<'_>, port: &Port<'_>) -> Option<Self> {
        let dims = plan.port_tensor(port).ok()?.dims.map(|dim| dim as usize);
        let frame = Self::of_dims(&dims)?;
        Some(Self { planes: frame.planes || port.channels_first, ..frame })
    }

    /// `picture`, which has this size, as the model takes it: float32, pixels from `low` to `high`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it has another size.
    pub fn array(self, picture: &Rgb8, low: f32, high: f32) -> Result<Array> {
        let Self { width, height, planes } = self;
        if (picture.width(), picture.height()) != (width, height) {
            let message = format!(
                "has {}x{} pixels, the model takes {width}x{height}",
                picture.width(),
                picture.height()
            );
            return Err(Error::new(ErrorKind::Input, "", message)
                .hint("scale or cut the picture, or compile the model for this size"));
        }
        let pixels = picture.pixels();
        let real = |at: usize| low + (high - low) * f32::from(pixels[at]) / 255.0;
        let count = width * height;
        let (dims, data): (_, Vec<f32>) = if planes {
            let place = |at: usize| at % count * COLOURS + at / count;
            ([1, COLOURS, height, width], (0..pixels.len()).map(|at| real(place(at))).collect())
        } else {
            ([1, height, width, COLOURS], (0..pixels.len()).map(real).collect())
        };
        Array::new(&dims, ArrayData::F32(data))
    }

    /// The picture in `values`, which the model gave in this order: from `low` to `high`, rounded half up and clipped.
    fn picture(self, values: &[f32], low: f32, high: f32) -> Result<Rgb8> {
        let Self { width, height, planes } = self;
        let count = width * height;
        let place = |at: usize| if planes { at % COLOURS * count + at / COLOURS } else { at };
        let pixel = |value: f32| ((value - low) / (high - low) * 255.0 + 0.5).floor().clamp(0.0, 255.0) as u8;
        Rgb8::new(width, height, (0..values.len()).map(|at| pixel(values[place(at)])).collect())
    }
}

/// What a plan takes and gives.
#[derive(Clone, Copy, Debug)]
pub struct Pictures {
    front_end: ImageFrontEnd,
    /// The picture that goes in.
    pub input: Frame,
    /// The picture that comes out; none for scores of classes.
    pub output: Option<Frame>,
}

/// What a model says of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Another picture.
    Picture(Rgb8),
    /// A score for each class, the first output.
    Scores(Vec<f32>),
}

impl Pictures {
    /// That of `plan`.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it takes no picture.
    pub fn of(plan: &RawPlan<'_>) -> Result<Self> {
        let frame = |port: Option<Port<'_>>| port.and_then(|port| Frame::of_port(plan, &port));
        let FrontEnd::Image(front_end) = plan.front_end() else {
            return Err(Error::new(ErrorKind::Input, "--image", "this model takes no pictures").hint(
                "give its inputs as arrays: --input IN.npz; or, if its one input is a picture, compile it with \
                 --pixels LOW,HIGH, what pixels 0 and 255 are for it",
            ));
        };
        let input = frame(plan.inputs().next());
        let output = frame(plan.outputs().next()).filter(|_| front_end.head == ImageHead::Image);
        // Every checked plan has them.
        let input = input.ok_or_else(|| Error::new(ErrorKind::Plan, "", "its input is no picture"))?;
        Ok(Self { front_end, input, output })
    }

    /// `picture` as the input of one inference.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it has another size than the plan's.
    pub fn case(&self, picture: &Rgb8) -> Result<Case> {
        let array = self.input.array(picture, self.front_end.low, self.front_end.high)?;
        Ok(Case::Arrays(vec![array]))
    }

    /// Parts of the pictures in `files`, which show a model its ranges, each as the input of one inference ([`tiles`]).
    ///
    /// # Errors
    /// As [`tiles`].
    pub fn tiles(&self, files: &[PathBuf]) -> Result<Vec<Case>> {
        let arrays = tiles(files, self.input, &self.front_end)?;
        Ok(arrays.into_iter().map(|array| Case::Arrays(vec![array])).collect())
    }

    /// Runs `plan` on `picture`, on `board` or else on this machine.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] if it has another size than the plan's, and those of the board.
    pub fn answer(&self, plan: Plan<'_>, picture: &Rgb8, board: Option<&Board>) -> Result<Answer> {
        let samples = [sample(&plan, &self.case(picture)?)?];
        let outputs = match board {
            Some(board) => device::run(board, plan.bytes(), &samples, &device::Options::default())?.outputs,
            None => on_host(plan, &samples, &mut |_, _, _| ())?,
        };
        let Some(frame) = self.output else {
            let tensor = plan.outputs().next().and_then(|port| plan.port_tensor(&port).ok());
            let first = outputs.first().and_then(|outputs| outputs.first());
            return Ok(Answer::Scores(match (tensor, first) {
                (Some(tensor), Some(bytes)) => reals(&tensor, bytes),
                _ => Vec::new(),
            }));
        };
        let arrays = output_arrays(&plan, &outputs, &[None], false)?;
        let values = arrays.first().map(|(_, array)| array.data.to_f32()).unwrap_or_default();
        frame.picture(&values, self.front_end.low, self.front_end.high).map(Answer::Picture)
    }
}

/// The PNG files that `path` is or, if it is a folder, holds, sorted by name.
///
/// # Errors
/// [`ErrorKind::Io`] if the folder cannot be listed, [`ErrorKind::Input`] if it holds none.
pub fn list_pngs(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = crate::events::list(path)?;
    if path.is_dir() {
        files.retain(|file| is_png(file));
    }
    if files.is_empty() {
        return Err(Error::new(ErrorKind::Input, path.display().to_string(), "holds no PNG files")
            .hint("give a PNG file or a folder of them"));
    }
    Ok(files)
}

/// Whether `path` is called like a PNG file.
pub fn is_png(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"))
}

/// Parts of pictures that show a model its ranges, at most.
const MOST_TILES: usize = 256;
/// Elements of them all together, at most.
const MOST_ELEMENTS: usize = 1 << 26;

/// Parts of the size of `frame` of the pictures in `files`, side by side without a gap, as inputs of the model. Of more than
/// `MOST_TILES` in all some are left out, evenly over all pictures.
///
/// # Errors
/// Those of [`read_png`]; [`ErrorKind::Calibration`] for a picture smaller than the frame.
pub fn tiles(files: &[PathBuf], frame: Frame, front_end: &ImageFrontEnd) -> Result<Vec<Array>> {
    let Frame { width, height, .. } = frame;
    let most = (MOST_ELEMENTS / (width * height * COLOURS).max(1)).clamp(1, MOST_TILES);
    let pictures = files.iter().map(|file| Ok((file, read_png(file)?))).collect::<Result<Vec<_>>>()?;
    let mut places = Vec::new();
    for (file, picture) in &pictures {
        let (columns, rows) = (picture.width() / width, picture.height() / height);
        if columns * rows == 0 {
            let message = format!(
                "has {}x{} pixels, fewer than the {width}x{height} that the model takes",
                picture.width(),
                picture.height()
            );
            return Err(Error::new(ErrorKind::Calibration, file.display().to_string(), message)
                .hint("leave it out, or give larger pictures"));
        }
        let of_row = |row: usize| (0..columns).map(move |column| (column * width, row * height));
        places.extend((0..rows).flat_map(of_row).map(|(left, top)| (picture, left, top)));
    }
    let kept = places.len().min(most);
    (0..kept)
        .map(|index| {
            let (picture, left, top) = places[index * places.len() / kept];
            frame.array(&picture.crop(left, top, width, height)?, front_end.low, front_end.high)
        })
        .collect()
}
