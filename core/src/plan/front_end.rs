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
    /// Bytes in the section, kind and labels not counted.
    pub(super) const SIZE: usize = 28;

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
}

impl FrontEnd {
    /// Reads the section: kind u32, the fields of the kind (docs/format.md), label offsets.
    pub(super) fn read(section: &[u8]) -> Option<(Self, &[u8])> {
        let mut cursor = Cursor::new(section);
        if section.is_empty() {
            return Some((Self::None, &[]));
        }
        let (front_end, size) = match cursor.word() {
            0 => (Self::None, 4),
            1 => {
                let (n, m, window, length) = (cursor.u16(), cursor.u16(), cursor.u16(), cursor.u16());
                let head = match cursor.u16() {
                    0 => TextHead::Sequence,
                    1 => TextHead::Tokens,
                    _ => return None,
                };
                cursor.u16();
                let text = TextFrontEnd::new(n, m, window, length).ok()?;
                (Self::Text { text, head }, 16)
            }
            2 => (Self::Events(EventFrontEnd::read(&mut cursor)?), 4 + EventFrontEnd::SIZE),
            _ => return None,
        };
        let labels = section.get(size..)?;
        labels.len().is_multiple_of(4).then_some((front_end, labels))
    }

    /// The label offsets of a section without a front end; none when it has one.
    pub(super) fn labels(section: &[u8]) -> Option<&[u8]> {
        match section.split_first_chunk::<4>() {
            Some((kind, labels)) => (*kind == [0; 4] && labels.len().is_multiple_of(4)).then_some(labels),
            None => section.is_empty().then_some(section),
        }
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_without_a_front_end_are_found_and_front_ends_are_not_taken_for_labels() {
        let section = [0u8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(FrontEnd::labels(&section), Some(&section[4..]));
        assert_eq!(FrontEnd::labels(&[]), Some(&[][..]));
        for kind in [1, 2, 3] {
            let mut other = section;
            other[0] = kind;
            assert_eq!(FrontEnd::labels(&other), None);
        }
        assert_eq!(FrontEnd::labels(&section[..6]), None);
        assert_eq!(FrontEnd::labels(&section[..3]), None);
    }
}
