//! The hash of the paper itself (section 3 and the public re-implementation's parameters): SHA-2 over code-point
//! trigrams of WordPiece subwords. For checking against published models; too slow and too large for a device, where
//! [`UnitHash::fnv`] takes its place.

use sha2::{Digest, Sha224, Sha256};

use super::{Fingerprint, MODULUS, UnitHash};

impl UnitHash {
    /// The paper's hash: SHA-256 and SHA-224 of the unit's UTF-8 bytes, read as little-endian integers.
    pub fn sha(unit: &str) -> Self {
        Self::new(little_endian_residue(&Sha256::digest(unit)), little_endian_residue(&Sha224::digest(unit)))
    }
}

/// A little-endian integer of any length modulo [`MODULUS`].
fn little_endian_residue(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |residue: u32, &byte| {
        let shifted = u64::from(residue) << 8 | u64::from(byte);
        (shifted % u64::from(MODULUS)) as u32
    })
}

/// The fingerprint of one WordPiece subword. A continuation piece (`##...`, the mark is not hashed) or a piece of fewer
/// than four characters is one unit; of any other, all trigrams of Unicode code points are.
pub fn subword(n: usize, piece: &str) -> Fingerprint {
    let mut fingerprint = Fingerprint::new(n);
    if let Some(continuation) = piece.strip_prefix("##") {
        fingerprint.add(UnitHash::sha(continuation));
    } else if piece.chars().count() < 4 {
        fingerprint.add(UnitHash::sha(piece));
    } else {
        let starts = piece.char_indices().map(|(start, _)| start);
        let ends = starts.clone().chain([piece.len()]).skip(3);
        for unit in starts.zip(ends).filter_map(|(start, end)| piece.get(start..end)) {
            fingerprint.add(UnitHash::sha(unit));
        }
    }
    fingerprint
}

/// The fingerprint of a word: the minimum over its subwords.
pub fn word<'a>(n: usize, pieces: impl IntoIterator<Item = &'a str>) -> Fingerprint {
    let mut fingerprint = Fingerprint::new(n);
    for piece in pieces {
        fingerprint.merge(&subword(n, piece));
    }
    fingerprint
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    #[test]
    fn unit_matches_the_vector() {
        let hash = UnitHash::sha("fli");
        assert_eq!((hash.a(), hash.b()), (1_901_534_464, 543_068_104));
    }

    #[test]
    fn subwords_match_the_vectors() {
        let flight = subword(64, "flight");
        assert_eq!(flight.values()[..4], [184_416_228, 297_118_921, 463_648_921, 605_819_437]);
        assert_eq!(flight.values()[63], 61_485_861);
        let bins: Vec<u16> = flight.bins(1024).collect();
        assert_eq!(bins[..8], [996, 201, 153, 557, 450, 1002, 946, 606]);

        let the = subword(64, "the");
        assert_eq!(the.values()[..4], [752_538_576, 840_202_199, 927_865_822, 1_015_529_445]);
        let bins: Vec<u16> = the.bins(1024).collect();
        assert_eq!(bins[..8], [976, 983, 990, 997, 1004, 1011, 1018, 1]);

        assert_eq!(
            subword(64, "##ing").values()[..4],
            [470_804_523, 158_843_416, 1_994_365_956, 1_682_404_849]
        );
    }

    #[test]
    fn word_is_the_minimum_over_its_subwords() {
        let flights = word(64, ["flight", "##s"]);
        assert_eq!(flights.values()[..4], [27_028_486, 297_118_921, 463_648_921, 605_819_437]);
    }

    #[test]
    fn trigrams_are_of_code_points() {
        let mut expected = Fingerprint::new(64);
        for unit in ["esp", "spa", "pañ", "año", "ñol"] {
            expected.add(UnitHash::sha(unit));
        }
        assert_eq!(subword(64, "español"), expected);
        // Three code points are one unit, whatever their bytes.
        let mut expected = Fingerprint::new(64);
        expected.add(UnitHash::sha("日本語"));
        assert_eq!(subword(64, "日本語"), expected);
    }
}
