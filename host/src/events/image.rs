//! Picture files: PNG, animated PNG and GIF, of pixels that are numbers into [`palette`].

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::picture::{Picture, palette};
use crate::{Error, ErrorKind, Result};

/// A picture format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Image {
    /// One picture.
    Png,
    /// A sequence, as an animated PNG.
    Apng,
    /// A sequence, as a GIF.
    Gif,
}

impl Image {
    /// The format that is named like the end of `path`.
    pub fn of_path(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "apng" => Some(Self::Apng),
            "gif" => Some(Self::Gif),
            _ => None,
        }
    }
}

/// A picture file that is being written.
pub struct ImageWriter {
    kind: Kind,
    path: String,
    width: u16,
    height: u16,
    /// Hundredths of a second.
    delay: u16,
}

enum Kind {
    Png(png::Writer<BufWriter<File>>),
    Gif(gif::Encoder<BufWriter<File>>),
}

impl ImageWriter {
    /// The file `path` of `frames` frames, each shown for `delay` hundredths of a second, again and again.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn create(path: &Path, image: Image, picture: &Picture, frames: u32, delay: u16) -> Result<Self> {
        let (width, height) = (picture.width as u16, picture.height as u16);
        let path = path.display().to_string();
        let file = BufWriter::new(File::create(&path).map_err(failed(&path))?);
        let kind = match image {
            Image::Gif => {
                let mut encoder =
                    gif::Encoder::new(file, width, height, &palette()).map_err(failed(&path))?;
                encoder.set_repeat(gif::Repeat::Infinite).map_err(failed(&path))?;
                Kind::Gif(encoder)
            }
            Image::Png | Image::Apng => {
                let mut encoder = png::Encoder::new(file, width.into(), height.into());
                encoder.set_color(png::ColorType::Indexed);
                encoder.set_depth(png::BitDepth::Eight);
                encoder.set_palette(palette());
                encoder.set_filter(png::Filter::NoFilter);
                if image == Image::Apng {
                    encoder.set_animated(frames, 0).map_err(failed(&path))?;
                    encoder.set_frame_delay(delay, 100).map_err(failed(&path))?;
                }
                Kind::Png(encoder.write_header().map_err(failed(&path))?)
            }
        };
        Ok(Self { kind, path, width, height, delay })
    }

    /// Adds a frame of `width * height` pixels.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn frame(&mut self, pixels: Vec<u8>) -> Result<()> {
        match &mut self.kind {
            Kind::Png(writer) => writer.write_image_data(&pixels).map_err(failed(&self.path)),
            Kind::Gif(encoder) => {
                let (width, height, delay) = (self.width, self.height, self.delay);
                let frame = gif::Frame { width, height, delay, buffer: pixels.into(), ..Default::default() };
                encoder.write_frame(&frame).map_err(failed(&self.path))
            }
        }
    }

    /// Ends the file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn finish(self) -> Result<()> {
        match self.kind {
            Kind::Png(writer) => writer.finish().map_err(failed(&self.path)),
            Kind::Gif(encoder) => {
                encoder.into_inner().map_err(failed(&self.path))?.flush().map_err(failed(&self.path))
            }
        }
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(path: &str) -> impl Fn(E) -> Error {
    move |error| {
        Error::new(ErrorKind::Io, path, "cannot be written")
            .hint("check that the folder exists and has space")
            .caused_by(error)
    }
}
