//! From a sentence to the bins of its words.

use core::fmt;

use super::fingerprint::{Fingerprint, MAX_HASHES};

/// Longest sentence, in words, that a front end may be made for.
pub const MAX_LENGTH: u16 = 4096;
/// Most neighbours on each side that a projection may look at.
pub const MAX_WINDOW: u16 = 15;

/// The parameters of a text front end, checked.
///
/// Hash `fnv1a-fmix`, units `byte3`; see [`UnitHash::fnv`](super::UnitHash::fnv) and [`Fingerprint::of_word`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextFrontEnd {
    n: u16,
    m: u16,
    window: u16,
    length: u16,
}

/// How many words a sentence had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Words {
    /// Words encoded, at most the front end's length.
    pub present: usize,
    /// Words beyond the length, ignored.
    pub dropped: usize,
}

/// A parameter out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FrontEndError {
    /// `n` must be in `1..=MAX_HASHES`.
    Hashes,
    /// `m` must be at least 1.
    Bins,
    /// `window` must be at most [`MAX_WINDOW`].
    Window,
    /// `length` must be in `1..=MAX_LENGTH`.
    Length,
}

impl fmt::Display for FrontEndError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hashes => write!(f, "hashes a word (n) must be in 1..={MAX_HASHES}"),
            Self::Bins => write!(f, "bins of the filter (m) must be at least 1"),
            Self::Window => write!(f, "the window must be at most {MAX_WINDOW} words each side"),
            Self::Length => write!(f, "the length must be in 1..={MAX_LENGTH} words"),
        }
    }
}

impl core::error::Error for FrontEndError {}

/// A sentence that could not be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum EncodeError {
    /// The output is not [`TextFrontEnd::bins_len`] values long.
    BinsLength {
        /// Values needed.
        needed: usize,
        /// Values given.
        given: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BinsLength { needed, given } => {
                write!(f, "the bins take {needed} values, the buffer has {given}")
            }
        }
    }
}

impl core::error::Error for EncodeError {}

impl TextFrontEnd {
    /// A front end with `n` hashes a word, a filter of `m` bins, `window` neighbours each side seen by the projection,
    /// and sentences of `length` words. `m` need not be a power of two.
    ///
    /// # Errors
    /// The first parameter that is out of range.
    pub const fn new(n: u16, m: u16, window: u16, length: u16) -> Result<Self, FrontEndError> {
        if n == 0 || n as usize > MAX_HASHES {
            Err(FrontEndError::Hashes)
        } else if m == 0 {
            Err(FrontEndError::Bins)
        } else if window > MAX_WINDOW {
            Err(FrontEndError::Window)
        } else if length == 0 || length > MAX_LENGTH {
            Err(FrontEndError::Length)
        } else {
            Ok(Self { n, m, window, length })
        }
    }

    /// Hashes a word.
    pub const fn n(&self) -> usize {
        self.n as usize
    }

    /// Bins of the counting Bloom filter.
    pub const fn m(&self) -> usize {
        self.m as usize
    }

    /// Neighbours on each side that the projection of a word sees.
    pub const fn window(&self) -> usize {
        self.window as usize
    }

    /// Words of a sentence; longer ones are truncated.
    pub const fn length(&self) -> usize {
        self.length as usize
    }

    /// Window slots of a word: `2 * window + 1`.
    pub const fn slots(&self) -> usize {
        2 * self.window() + 1
    }

    /// Values that [`encode`](Self::encode) writes: `length * n`.
    pub const fn bins_len(&self) -> usize {
        self.length() * self.n()
    }

    /// Writes the bins of a sentence, `[length][n]`, each below `m`, one row a word in order; rows without a word are
    /// zero and mean nothing, the returned count says where they start.
    ///
    /// Words are separated by ASCII white space. They are bytes: text that is not valid UTF-8 is hashed as it stands.
    ///
    /// # Errors
    /// [`EncodeError::BinsLength`] if `bins` is not [`bins_len`](Self::bins_len) long; nothing is written then.
    pub fn encode(&self, text: &[u8], bins: &mut [u16]) -> Result<Words, EncodeError> {
        if bins.len() != self.bins_len() {
            return Err(EncodeError::BinsLength { needed: self.bins_len(), given: bins.len() });
        }
        bins.fill(0);
        let mut words = split_words(text);
        let mut present = 0;
        for (row, word) in bins.chunks_exact_mut(self.n()).zip(words.by_ref()) {
            let fingerprint = Fingerprint::of_word(self.n(), word);
            for (bin, value) in row.iter_mut().zip(fingerprint.bins(self.m)) {
                *bin = value;
            }
            present += 1;
        }
        Ok(Words { present, dropped: words.count() })
    }
}

/// The words of a text: its longest runs of bytes other than space, tab, line feed, form feed and carriage return.
pub fn split_words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::{format, string::String, vec, vec::Vec};

    fn nano() -> TextFrontEnd {
        TextFrontEnd::new(16, 256, 1, 32).unwrap()
    }

    fn encode(text: &[u8]) -> (Vec<u16>, Words) {
        let front_end = nano();
        // Stale contents must not survive.
        let mut bins = vec![0xffff; front_end.bins_len()];
        let words = front_end.encode(text, &mut bins).unwrap();
        (bins, words)
    }

    #[test]
    fn words_are_rows_in_order() {
        let (bins, words) = encode(b"  the\tflight\r\nthe ");
        assert_eq!(words, Words { present: 3, dropped: 0 });
        assert_eq!(bins[..8], [249, 202, 155, 108, 61, 15, 224, 177]);
        assert_eq!(bins[16..24], [75, 109, 227, 156, 112, 14, 130, 83]);
        assert_eq!(bins[32..48], bins[..16]);
        assert!(bins[48..].iter().all(|&bin| bin == 0));
    }

    #[test]
    fn nothing_but_white_space_has_no_words() {
        for text in [&b""[..], b" ", b" \t\r\n\x0c "] {
            let (bins, words) = encode(text);
            assert_eq!(words, Words { present: 0, dropped: 0 });
            assert!(bins.iter().all(|&bin| bin == 0));
        }
    }

    #[test]
    fn one_full_and_too_many_words() {
        for (count, present, dropped) in [(1, 1, 0), (32, 32, 0), (33, 32, 1), (1000, 32, 968)] {
            let text: String = (0..count).map(|i| format!("word{i} ")).collect();
            assert_eq!(encode(text.as_bytes()).1, Words { present, dropped });
        }
        let text: String = (0..40).map(|i| format!("word{i} ")).collect();
        let first: String = (0..32).map(|i| format!("word{i} ")).collect();
        assert_eq!(encode(text.as_bytes()).0, encode(first.as_bytes()).0);
    }

    #[test]
    fn invalid_utf8_is_hashed_as_bytes() {
        // A lone continuation byte, an overlong form, a cut sequence, a surrogate: each is an ordinary word.
        let (bins, words) = encode(b"\x80 \xc0\xaf\xff\xfe \xe2\x82 \xed\xa0\x80 caf\xc3");
        assert_eq!(words.present, 5);
        let alone = encode(b"\xc0\xaf\xff\xfe").0;
        assert_eq!(bins[16..32], alone[..16]);
        // NUL and the vertical tab are no separators.
        assert_eq!(encode(b"a\0b\x0bc").1.present, 1);
        // No-break space (U+00A0) is not ASCII, so it stays inside the word.
        assert_eq!(encode("a\u{a0}b".as_bytes()).1.present, 1);
    }

    #[test]
    fn a_word_of_any_length_is_streamed() {
        let word = vec![b'x'; 100_000];
        let (bins, words) = encode(&word);
        assert_eq!(words.present, 1);
        // All its windows are one unit, so it equals the shortest such word.
        assert_eq!(bins[..16], encode(b"xxxx").0[..16]);
    }

    #[test]
    fn any_bytes_give_bins_below_m() {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for m in [1, 3, 255, 256, 1000, u16::MAX] {
            let front_end = TextFrontEnd::new(64, m, 0, 7).unwrap();
            for length in 0..200 {
                let text: Vec<u8> = (0..length)
                    .map(|_| {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        (state >> 32) as u8
                    })
                    .collect();
                let mut bins = vec![0; front_end.bins_len()];
                let words = front_end.encode(&text, &mut bins).unwrap();
                assert_eq!(words.present + words.dropped, split_words(&text).count());
                assert!(bins.iter().all(|&bin| bin < m));
            }
        }
    }

    #[test]
    fn parameters_are_checked() {
        let new = TextFrontEnd::new;
        assert_eq!(new(0, 256, 1, 32), Err(FrontEndError::Hashes));
        assert_eq!(new(65, 256, 1, 32), Err(FrontEndError::Hashes));
        assert_eq!(new(16, 0, 1, 32), Err(FrontEndError::Bins));
        assert_eq!(new(16, 256, 16, 32), Err(FrontEndError::Window));
        assert_eq!(new(16, 256, 1, 0), Err(FrontEndError::Length));
        assert_eq!(new(16, 256, 1, 4097), Err(FrontEndError::Length));
        assert!(new(64, u16::MAX, 15, 4096).is_ok());
    }

    #[test]
    fn a_buffer_of_another_length_is_refused_untouched() {
        for given in [0, 511, 513] {
            let mut bins = vec![7; given];
            let error = nano().encode(b"word", &mut bins).unwrap_err();
            assert_eq!(error, EncodeError::BinsLength { needed: 512, given });
            assert!(bins.iter().all(|&bin| bin == 7));
        }
    }
}
