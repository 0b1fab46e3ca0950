//! The dense form of the projection's input: what a float graph outside the device takes.

use core::fmt;

use super::front_end::TextFrontEnd;

/// Bins that are not a front end's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FeaturesError {
    /// `bins` or `features` has not the length that the front end needs.
    Length,
    /// A bin is not below `m`, or more words are present than the length.
    Range,
}

impl fmt::Display for FeaturesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "bins or features have not the front end's length",
            Self::Range => "a bin or the count of words is out of the front end's range",
        })
    }
}

impl core::error::Error for FeaturesError {}

impl TextFrontEnd {
    /// Values of the dense features: `length * (2 * window + 1) * m`.
    pub const fn features_len(&self) -> usize {
        self.length() * self.slots() * self.m()
    }

    /// Writes the features `[length][2 * window + 1][m]` of encoded words: slot `s` of row `t` is the counting Bloom
    /// filter (bin -> how many hashes fell into it) of word `t + s - window`, zero where there is no such word.
    ///
    /// `bins` and `present` are what [`encode`](Self::encode) gave.
    ///
    /// # Errors
    /// [`FeaturesError`], when a length or a value does not belong to this front end.
    pub fn features(&self, bins: &[u16], present: usize, features: &mut [f32]) -> Result<(), FeaturesError> {
        if bins.len() != self.bins_len() || features.len() != self.features_len() {
            return Err(FeaturesError::Length);
        }
        if present > self.length() {
            return Err(FeaturesError::Range);
        }
        features.fill(0.0);
        for (position, slot) in features.chunks_exact_mut(self.m()).enumerate() {
            let (row, slot_index) = (position / self.slots(), position % self.slots());
            let Some(word) = (row + slot_index).checked_sub(self.window()).filter(|&word| word < present)
            else {
                continue;
            };
            for &bin in bins.iter().skip(word * self.n()).take(self.n()) {
                *slot.get_mut(usize::from(bin)).ok_or(FeaturesError::Range)? += 1.0;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::{vec, vec::Vec};

    fn features(front_end: &TextFrontEnd, text: &str) -> (Vec<f32>, usize) {
        let mut bins = vec![0; front_end.bins_len()];
        let words = front_end.encode(text.as_bytes(), &mut bins).unwrap();
        let mut features = vec![f32::NAN; front_end.features_len()];
        front_end.features(&bins, words.present, &mut features).unwrap();
        (features, words.present)
    }

    #[test]
    fn every_word_counts_n() {
        for (n, m) in [(16, 256), (64, 1024), (64, 3), (1, 1)] {
            let front_end = TextFrontEnd::new(n, m, 0, 12).unwrap();
            let text = "the flight a é español \u{1f600} x1 supercalifragilistic";
            let (features, present) = features(&front_end, text);
            for (row, filter) in features.chunks(usize::from(m)).enumerate() {
                let expected = if row < present { f32::from(n) } else { 0.0 };
                assert_eq!(filter.iter().sum::<f32>(), expected);
            }
        }
    }

    #[test]
    fn slots_hold_the_neighbours() {
        let narrow = TextFrontEnd::new(16, 32, 0, 4).unwrap();
        let wide = TextFrontEnd::new(16, 32, 2, 4).unwrap();
        let (words, _) = features(&narrow, "play some jazz");
        let (windows, _) = features(&wide, "play some jazz");
        for row in 0..4_usize {
            for slot in 0..5 {
                let got = &windows[(row * 5 + slot) * 32..][..32];
                match (row + slot).checked_sub(2).filter(|&word| word < 4) {
                    Some(word) => assert_eq!(got, &words[word * 32..][..32]),
                    None => assert!(got.iter().all(|&value| value == 0.0)),
                }
            }
        }
    }

    #[test]
    fn foreign_bins_are_refused() {
        let front_end = TextFrontEnd::new(2, 4, 1, 3).unwrap();
        let mut out = vec![0.0; front_end.features_len()];
        assert_eq!(front_end.features(&[0; 5], 3, &mut out), Err(FeaturesError::Length));
        assert_eq!(front_end.features(&[0; 6], 3, &mut out[1..]), Err(FeaturesError::Length));
        assert_eq!(front_end.features(&[0; 6], 4, &mut out), Err(FeaturesError::Range));
        assert_eq!(front_end.features(&[4; 6], 1, &mut out), Err(FeaturesError::Range));
    }
}
