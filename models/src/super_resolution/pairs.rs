//! Image pairs from files that stay outside the project: 54 images of BSD100 to learn from, Set5 and Set14 to report.

use std::fmt::Write as _;
use std::path::Path;

use mixel::image::{Filter, Rgb8, decode_png, resize};
use sha2::{Digest, Sha256};

use super::planes::Planes;
use crate::data::{DataError, DataErrorKind, read_bytes};

/// Images of BSD100 that are there.
const IMAGES: usize = 54;
/// The last of them, held out for choices.
const HELD_OUT: usize = 4;

/// An image and what its small one is to become.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Name of its file.
    pub name: String,
    /// The small image.
    pub small: Rgb8,
    /// The large one, a whole factor larger.
    pub large: Rgb8,
}

impl Pair {
    /// Both in numbers, the small one first.
    pub fn planes(&self) -> [Planes; 2] {
        [&self.small, &self.large].map(Planes::from)
    }
}

/// What networks learn from.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// For fitting.
    pub train: Vec<Pair>,
    /// For choices.
    pub dev: Vec<Pair>,
    /// Where they came from: a checksum of all files, one behind the other.
    pub source: String,
}

/// A set of images that is only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// Set5 (Bevilacqua et al. 2012).
    Set5,
    /// Set14 (Zeyde et al. 2010).
    Set14,
}

impl Set {
    /// Name of its folder.
    const fn folder(self) -> &'static str {
        match self {
            Self::Set5 => "set5",
            Self::Set14 => "set14",
        }
    }

    /// Name for tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Set5 => "Set5",
            Self::Set14 => "Set14",
        }
    }

    /// Names of its images.
    const fn images(self) -> &'static [&'static str] {
        match self {
            Self::Set5 => &["baby", "bird", "butterfly", "head", "woman"],
            Self::Set14 => &[
                "baboon",
                "barbara",
                "bridge",
                "coastguard",
                "comic",
                "face",
                "flowers",
                "foreman",
                "lenna",
                "man",
                "monarch",
                "pepper",
                "ppt3",
                "zebra",
            ],
        }
    }
}

/// The images of BSD100, cut to multiples of `scale`, and their small ones: MATLAB's bicubic.
///
/// # Errors
/// A file is missing or no PNG.
pub fn training(folder: &Path, scale: usize) -> Result<Corpus, DataError> {
    let mut files = Files::new(folder);
    let mut train = (1..=IMAGES)
        .map(|number| {
            let name = format!("bsd100/img_{number:03}.png");
            let large = files.read(&name)?;
            let refused = |error| DataError { path: folder.join(&name), kind: DataErrorKind::Image(error) };
            let large = large.cut_to_multiple(scale).map_err(refused)?;
            let (width, height) = (large.width() / scale, large.height() / scale);
            let small = resize(&large, width, height, Filter::Bicubic).map_err(refused)?;
            Ok(Pair { name, small, large })
        })
        .collect::<Result<Vec<Pair>, DataError>>()?;
    let dev = train.split_off(IMAGES - HELD_OUT);
    Ok(Corpus { train, dev, source: format!("bsd100/img_001..{IMAGES:03}.png {}", files.checksum()) })
}

/// The images of a test set with the small ones that come with it, and where they came from.
///
/// # Errors
/// A file is missing or no PNG.
pub fn test(folder: &Path, set: Set, scale: usize) -> Result<(Vec<Pair>, String), DataError> {
    let (mut files, root) = (Files::new(folder), set.folder());
    let pairs = set
        .images()
        .iter()
        .map(|name| {
            let path = format!("{root}/HR/{name}.png");
            let large = files.read(&path)?.cut_to_multiple(scale);
            let large = large
                .map_err(|error| DataError { path: folder.join(&path), kind: DataErrorKind::Image(error) })?;
            let small = files.read(&format!("{root}/LR_bicubic/X{scale}/{name}x{scale}.png"))?;
            Ok(Pair { name: (*name).to_owned(), small, large })
        })
        .collect::<Result<Vec<Pair>, DataError>>()?;
    Ok((pairs, format!("{root}, x{scale}, {}", files.checksum())))
}

/// Reads images and remembers what it read.
struct Files<'a> {
    folder: &'a Path,
    digest: Sha256,
}

impl<'a> Files<'a> {
    fn new(folder: &'a Path) -> Self {
        Self { folder, digest: Sha256::new() }
    }

    fn read(&mut self, name: &str) -> Result<Rgb8, DataError> {
        let (bytes, _) = read_bytes(self.folder, name)?;
        self.digest.update(&bytes);
        decode_png(&bytes, name)
            .map_err(|error| DataError { path: self.folder.join(name), kind: DataErrorKind::Image(error) })
    }

    /// As `sha256:first twelve digits` of all that was read.
    fn checksum(self) -> String {
        self.digest.finalize().iter().take(6).fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
