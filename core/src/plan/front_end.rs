//! What a plan says about its raw input: how it becomes the input tensors, and what the output classes are called.

use super::RawPlan;
use super::cursor::Cursor;
use super::format::Section;
use super::tensor::{DType, Tensor};
use crate::events::Geometry;
use crate::events::histogram::HistogramConfig;
use crate::events::patch::Grid;
use crate::events::window::{Cut, Windows};
use crate::text::TextFrontEnd;

/// What a text model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextHead {
    /// One class for the sentence.
    Sequence,
    /// One class for every word.
    Tokens,
}

/// Events of a camera to tokens: windows by time, counts of the pixels of active patches through a table.
///
/// The first input is int8 `[max_tokens, token_dim]`, the second u16 `[max_tokens, 1]`, the number of each token's patch; both
/// have as many rows as there are tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFrontEnd {
    /// Patches and what is counted in them.
    pub histogram: HistogramConfig,
    /// Length of a window in microseconds of sensor time; a multiple of the bins. Ends lie at multiples of it.
    pub window_us: u32,
    /// Byte offset in the data section of the token values of counts 0 to 255, i8.
    pub table: u32,
}

impl EventFrontEnd {
    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let geometry = Geometry { width: cursor.u16(), height: cursor.u16() };
        let (left, top) = (cursor.u16() as i16, cursor.u16() as i16);
        let (shift, patch, columns, rows) = (cursor.u8(), cursor.u8(), cursor.u8(), cursor.u8());
        let grid = Grid { left, top, shift, patch, columns, rows };
        let (bins, zero, least_pixels) = (cursor.u8(), cursor.u8(), cursor.u16());
        let (max_tokens, zeros) = (cursor.u16(), cursor.u16());
        let histogram = HistogramConfig { geometry, grid, bins, least_pixels, max_tokens };
        let front_end = Self { histogram, window_us: cursor.word(), table: cursor.word() };
        let pixels = (1..=0x8000).contains(&geometry.width) && (1..=0x8000).contains(&geometry.height);
        let sound = pixels && (zero, zeros) == (0, 0) && histogram.check().is_ok();
        (sound && front_end.windows().is_some()).then_some(front_end)
    }

    /// A cutter of its windows; none when the numbers make no sense, which a checked plan does not have.
    pub fn windows(&self) -> Option<Windows> {
        Windows::new(Cut::Time { period: self.window_us }, self.histogram.bins).ok()
    }

    /// The table, in a plan that was checked.
    pub(crate) fn values<'p>(&self, plan: &RawPlan<'p>) -> Option<&'p [u8; 256]> {
        plan.section(Section::Data).get(self.table as usize..)?.first_chunk()
    }

    fn fits(&self, plan: &RawPlan<'_>) -> bool {
        let mut inputs = plan.inputs().map(|port| plan.tensor(port.tensor).ok());
        let (Some(Some(tokens)), Some(Some(patches)), None) = (inputs.next(), inputs.next(), inputs.next())
        else {
            return false;
        };
        let rows = self.histogram.max_tokens as usize;
        let ragged = |tensor: &Tensor, dtype: DType, inner: usize| {
            let shape = (tensor.outer(), tensor.inner()) == (rows, inner);
            shape && tensor.dims[2] as usize == rows && (tensor.dtype, tensor.dynamic) == (dtype, 0b0100)
        };
        let tokens = ragged(&tokens, DType::I8, self.histogram.token_dim());
        let bound = plan.max_rows() == rows && self.values(plan).is_some();
        tokens && ragged(&patches, DType::U16, 1) && bound
    }
}

/// What a model of pictures gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageHead {
    /// A score for each class.
    Classes,
    /// A picture, with the same range as the one that goes in.
    Image,
}

/// Pictures of 8-bit red, green and blue: pixel p is the real number `low + (high - low) * p / 255` of the first input, the only
/// one, which is `[1, height, width, 3]` or `[1, 3, height, width]`.
///
/// Where that input has the scale `(high - low) / 255` and the zero point -128, as compiled float models with `low` = 0 have,
/// its integer is p - 128.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageFrontEnd {
    /// What pixel 0 is, a finite number.
    pub low: f32,
    /// What pixel 255 is, a finite number above `low`.
    pub high: f32,
    /// What the first output means.
    pub head: ImageHead,
}

impl ImageFrontEnd {
    /// Bytes in the section, kind and labels not counted.
    const SIZE: usize = 12;

    fn read(cursor: &mut Cursor<'_>) -> Option<Self> {
        let (low, high) = (f32::from_bits(cursor.word()), f32::from_bits(cursor.word()));
        let head = match cursor.u16() {
            0 => ImageHead::Classes,
            1 => ImageHead::Image,
            _ => return None,
        };
        let sound = cursor.u16() == 0 && low.is_finite() && high.is_finite() && low < high;
        sound.then_some(Self { low, high, head })
    }

    fn fits(&self, plan: &RawPlan<'_>) -> bool {
        let picture = |tensor: Tensor| {
            let colours = matches!(tensor.dims, [1, _, _, 3] | [1, 3, _, _]);
            colours && tensor.dynamic == 0 && matches!(tensor.dtype, DType::I8 | DType::I16)
        };
        let of = |port: Option<super::Port<'_>>| {
            port.and_then(|port| plan.tensor(port.tensor).ok()).is_some_and(picture)
        };
        let mut inputs = plan.inputs();
        let given = of(inputs.next()) && inputs.next().is_none();
        given && (self.head == ImageHead::Classes || of(plan.outputs().next()))
    }
}

/// How raw input becomes the input tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FrontEnd {
    /// The caller fills the input tensors.
    None,
    /// UTF-8 text to fingerprint bins, u16 `[length][n]` (pNLP-Mixer).
    Text {
        /// Hash, units and sizes.
        text: TextFrontEnd,
        /// What the first output means.
        head: TextHead,
    },
    /// Events of a camera to tokens (Event Transformer).
    Events(EventFrontEnd),
    /// The caller fills the input tensor with a picture.
    Image(ImageFrontEnd),
}

impl FrontEnd {
    /// Reads the section: kind u32, the fields of the kind (docs/format.md), label names.
    pub(super) fn read(section: &[u8]) -> Option<(Self, Cursor<'_>)> {
        let mut cursor = Cursor::new(section);
        if section.is_empty() {
            return Some((Self::None, cursor));
        }
        let front_end = match cursor.word() {
            0 => Self::None,
            1 => {
                let (n, m, window, length) = (cursor.u16(), cursor.u16(), cursor.u16(), cursor.u16());
                let head = match cursor.u16() {
                    0 => TextHead::Sequence,
                    1 => TextHead::Tokens,
                    _ => return None,
                };
                cursor.u16();
                let text = TextFrontEnd::new(n, m, window, length).ok()?;
                Self::Text { text, head }
            }
            2 => Self::Events(EventFrontEnd::read(&mut cursor)?),
            3 => Self::Image(ImageFrontEnd::read(&mut cursor)?),
            _ => return None,
        };
        (!cursor.overrun()).then_some((front_end, cursor))
    }

    /// Whether the device has code to run in front of the inputs, which firmware may leave out.
    pub fn has_code(&self) -> bool {
        matches!(self, Self::Text { .. } | Self::Events(_))
    }

    /// The labels of a section whose front end has no code; none when it has some.
    pub(super) fn labels(section: &[u8]) -> Option<Cursor<'_>> {
        let mut cursor = Cursor::new(section);
        if section.is_empty() {
            return Some(cursor);
        }
        match cursor.word() {
            0 => {}
            3 => cursor.skip(ImageFrontEnd::SIZE),
            _ => return None,
        }
        (!cursor.overrun()).then_some(cursor)
    }

    /// Whether the inputs of `plan` are what this front end fills.
    pub(super) fn fits(&self, plan: &RawPlan<'_>) -> bool {
        let first = || plan.inputs().next().and_then(|port| plan.tensor(port.tensor).ok());
        match self {
            Self::None => true,
            Self::Text { text, .. } => first().is_some_and(|input| {
                input.dtype == DType::U16 && input.inner() == text.n() && input.outer() == text.length()
            }),
            Self::Events(events) => events.fits(plan),
            Self::Image(image) => image.fits(plan),
        }
    }
}

/// Whether labels are whole names to the end of their section.
pub(super) fn labels_valid(mut labels: Cursor<'_>) -> bool {
    while !labels.is_empty() {
        if labels.text().is_none() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_pixels_are_finite_and_rise() {
        let section = |low: f32, high: f32, head: u8| {
            let mut section = [0; 16];
            section[0] = 3;
            section[4..8].copy_from_slice(&low.to_le_bytes());
            section[8..12].copy_from_slice(&high.to_le_bytes());
            section[12] = head;
            section
        };
        let image = ImageFrontEnd { low: -1.0, high: 1.0, head: ImageHead::Image };
        let read = |section: [u8; 16]| {
            let (front_end, labels) = FrontEnd::read(&section)?;
            labels.is_empty().then_some(front_end)
        };
        assert_eq!(read(section(-1.0, 1.0, 1)), Some(FrontEnd::Image(image)));
        for (low, high, head) in
            [(0.0, 0.0, 0), (1.0, 0.0, 0), (f32::NAN, 1.0, 0), (0.0, f32::INFINITY, 0), (0.0, 1.0, 2)]
        {
            assert_eq!(read(section(low, high, head)), None, "{low} {high} {head}");
        }
    }

    #[test]
    fn labels_without_a_front_end_are_found_and_front_ends_are_not_taken_for_labels() {
        let section = *b"\x00\x00\x00\x00\x01a\x02bc";
        let labels = |section: &[u8]| {
            let mut found = FrontEnd::labels(section).filter(|labels| labels_valid(*labels))?;
            Some([found.text().map(str::len), found.text().map(str::len)])
        };
        assert_eq!(labels(&section), Some([Some(1), Some(2)]));
        assert_eq!(labels(&[]), Some([None; 2]));
        for kind in [1, 2, 4] {
            let mut other = section;
            other[0] = kind;
            assert_eq!(labels(&other), None);
        }
        let mut image = [0; 17];
        (image[0], image[16]) = (3, 0);
        assert_eq!(labels(&image), Some([Some(0), None]));
        assert_eq!(labels(&image[..15]), None);
        assert_eq!(labels(&section[..8]), None);
        assert_eq!(labels(&section[..3]), None);
    }
}
