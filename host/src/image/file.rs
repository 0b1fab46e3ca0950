//! PNG files as pictures.

use std::fs::File;
use std::io::{BufWriter, Cursor};
use std::path::Path;

use png::{BitDepth, ColorType, Transformations};

use super::{MOST_PIXELS, Rgb8};
use crate::{Error, ErrorKind, Result};

/// Reads a PNG file: see [`decode_png`].
///
/// # Errors
/// [`ErrorKind::Io`] if it cannot be read, [`ErrorKind::Format`] and [`ErrorKind::Unsupported`] as [`decode_png`].
pub fn read_png(path: &Path) -> Result<Rgb8> {
    let shown = path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| {
        Error::new(ErrorKind::Io, &shown, "cannot be read").hint("check the path").caused_by(error)
    })?;
    decode_png(&bytes, &shown)
}

/// Decodes a whole PNG file that is called `shown` in errors.
///
/// Taken are 1 to 8 bits a channel: grey (repeated to red, green and blue), palette, RGB, and any of them with transparency
/// where every pixel is opaque; interlaced or not. Colour profiles and gamma are left aside, as the field does.
///
/// # Errors
/// [`ErrorKind::Format`] for what is no PNG, or a damaged or cut-off one. [`ErrorKind::Unsupported`] for 16 bits a channel,
/// see-through pixels, animations, and more than [`MOST_PIXELS`] pixels.
pub fn decode_png(bytes: &[u8], shown: &str) -> Result<Rgb8> {
    let broken = |error: png::DecodingError| {
        let (message, hint) = match &error {
            _ if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") => {
                ("is not a PNG file", "give a PNG picture; convert other formats first")
            }
            png::DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                ("this PNG file is cut off", "copy it again")
            }
            _ => ("this PNG file is damaged", "copy or save it again"),
        };
        Error::new(ErrorKind::Format, shown, message).hint(hint).caused_by(error)
    };
    let unsupported =
        |message: String, hint: &str| Error::new(ErrorKind::Unsupported, shown, message).hint(hint);
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    // Palettes and less than 8 bits become 8-bit colours; a transparent colour becomes an alpha channel.
    decoder.set_transformations(Transformations::EXPAND);
    let mut reader = decoder.read_info().map_err(broken)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    if info.bit_depth == BitDepth::Sixteen {
        return Err(unsupported("has 16 bits a channel".into(), "save it with 8 bits a channel"));
    }
    if info.animation_control.is_some() {
        return Err(unsupported("is an animation".into(), "save one frame of it as a PNG of its own"));
    }
    if width.checked_mul(height).is_none_or(|pixels| pixels > MOST_PIXELS) {
        let message = format!("has {width}x{height} pixels, more than {MOST_PIXELS}");
        return Err(unsupported(message, "cut it into parts"));
    }
    let size = reader.output_buffer_size().ok_or_else(|| {
        Error::new(ErrorKind::Format, shown, "its size is out of range").hint("save it again")
    })?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(broken)?;
    reader.finish().map_err(broken)?;
    let opaque = |alpha: u8| alpha == u8::MAX;
    let (pixels, solid): (Vec<u8>, bool) = match frame.color_type {
        ColorType::Grayscale => (samples.iter().flat_map(|&grey| [grey; 3]).collect(), true),
        ColorType::GrayscaleAlpha => {
            let pairs = samples.as_chunks::<2>().0;
            (
                pairs.iter().flat_map(|&[grey, _]| [grey; 3]).collect(),
                pairs.iter().all(|&[_, alpha]| opaque(alpha)),
            )
        }
        ColorType::Rgba => {
            let quads = samples.as_chunks::<4>().0;
            (
                quads.iter().flat_map(|&[red, green, blue, _]| [red, green, blue]).collect(),
                quads.iter().all(|&[.., alpha]| opaque(alpha)),
            )
        }
        // EXPAND leaves no palette.
        ColorType::Rgb | ColorType::Indexed => (samples, true),
    };
    if !solid {
        return Err(unsupported("has see-through pixels".into(), "flatten it onto a background first"));
    }
    Rgb8::new(width, height, pixels).map_err(|error| Error { path: shown.into(), ..error })
}

/// Writes `picture` as an 8-bit RGB PNG file.
///
/// # Errors
/// [`ErrorKind::Io`].
pub fn write_png(path: &Path, picture: &Rgb8) -> Result<()> {
    let write = || -> std::result::Result<(), png::EncodingError> {
        let file = BufWriter::new(File::create(path)?);
        // Sides are at most MOST_PIXELS, far below 32 bits.
        let mut encoder = png::Encoder::new(file, picture.width() as u32, picture.height() as u32);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(picture.pixels())?;
        writer.finish()
    };
    write().map_err(|error| {
        Error::new(ErrorKind::Io, path.display().to_string(), "cannot be written")
            .hint("check that the folder exists and has space")
            .caused_by(error)
    })
}
