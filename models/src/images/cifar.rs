//! A part of CIFAR-10 as JPEGs in two archives.

use std::path::Path;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Image, SIDE, VALUES};
use crate::data::{DataError, DataErrorKind, read_bytes};
use crate::events::files::entries;

/// One image of this many is held out for choices.
const HELD_OUT: usize = 10;

/// Images with a split.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// Names of the classes.
    pub labels: Vec<String>,
    /// For fitting.
    pub train: Vec<Image>,
    /// For choices: every tenth image of each class.
    pub dev: Vec<Image>,
    /// For the report only.
    pub test: Vec<Image>,
    /// Where they came from.
    pub sources: Vec<String>,
}

/// Reads the corpus from `cifar10/` in the folder of the data sets.
///
/// # Errors
/// The archives are missing or malformed, or have other classes than each other.
pub fn load(folder: &Path) -> Result<Corpus, DataError> {
    let (labels, all, train_source) = archive(folder, "cifar10/train.tar", None)?;
    let (labels, test, test_source) = archive(folder, "cifar10/test.tar", Some(labels))?;
    let (mut train, mut dev) = (Vec::new(), Vec::new());
    let mut counts = vec![0; labels.len()];
    for image in all {
        counts[image.label] += 1;
        if counts[image.label] % HELD_OUT == 0 { dev.push(image) } else { train.push(image) }
    }
    Ok(Corpus { labels, train, dev, test, sources: vec![train_source, test_source] })
}

/// Classes, images and source of an archive of `class/name.jpg`. Without `known` classes they are those of the archive, sorted.
fn archive(
    folder: &Path,
    name: &str,
    known: Option<Vec<String>>,
) -> Result<(Vec<String>, Vec<Image>, String), DataError> {
    let (bytes, source) = read_bytes(folder, name)?;
    let error = |kind| DataError { path: folder.join(name), kind };
    let files = entries(&bytes).ok_or_else(|| error(DataErrorKind::Archive))?;
    let class = |file: &str| file.split_once('/').map_or("", |(class, _)| class).to_string();
    let labels = known.unwrap_or_else(|| {
        let mut labels: Vec<String> = files.iter().map(|(file, _)| class(file)).collect();
        labels.sort();
        labels.dedup();
        labels
    });
    let images = files
        .iter()
        .map(|(file, jpeg)| {
            let class = class(file);
            let label = labels.binary_search(&class).map_err(|_| error(DataErrorKind::Label(class)))?;
            let pixels = decode(jpeg).ok_or_else(|| error(DataErrorKind::Picture((*file).to_string())))?;
            Ok(Image { pixels, label })
        })
        .collect::<Result<_, _>>()?;
    Ok((labels, images, source))
}

/// The pixels of a JPEG of the right size.
fn decode(jpeg: &[u8]) -> Option<Vec<u8>> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let pixels = decoder.decode().ok()?;
    (decoder.dimensions() == Some((SIDE, SIDE)) && pixels.len() == VALUES).then_some(pixels)
}
