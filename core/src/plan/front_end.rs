//! What a plan says about its raw input: how it becomes the first input tensor, and what the output classes are called.

use super::cursor::Cursor;
use super::tensor::{DType, Tensor};
use crate::text::TextFrontEnd;

/// What a text model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextHead {
    /// One class for the sentence.
    Sequence,
    /// One class for every word.
    Tokens,
}

/// How raw input becomes the first input tensor.
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
}

impl FrontEnd {
    /// Reads the section: kind u32; for text n, m, window, length as u16 each, head u16, zero u16; then label offsets.
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
            _ => return None,
        };
        let labels = section.get(size..)?;
        labels.len().is_multiple_of(4).then_some((front_end, labels))
    }

    /// Whether `input` is what this front end fills.
    pub(super) fn fits(&self, input: Option<Tensor>) -> bool {
        match (self, input) {
            (Self::None, _) => true,
            (Self::Text { text, .. }, Some(input)) => {
                input.dtype == DType::U16 && input.inner() == text.n() && input.outer() == text.length()
            }
            (Self::Text { .. }, None) => false,
        }
    }
}
