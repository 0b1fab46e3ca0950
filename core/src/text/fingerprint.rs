//! MinHash: the elementwise minimum over a word's units.

use super::hash::{MODULUS, UnitHash};

/// Most hashes a fingerprint holds; the paper's value.
pub const MAX_HASHES: usize = 64;

/// The elementwise minimum of hash sequences, built one unit at a time.
///
/// Minimum is associative and commutative: fingerprints of parts combine with [`merge`](Self::merge).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    n: usize,
    minimum: [u32; MAX_HASHES],
}

impl Fingerprint {
    /// The fingerprint of no unit, with `n` hashes; more than [`MAX_HASHES`] are cut to it. Every value is
    /// [`MODULUS`], above any hash.
    pub fn new(n: usize) -> Self {
        Self { n: n.min(MAX_HASHES), minimum: [MODULUS; MAX_HASHES] }
    }

    /// The fingerprint of a word of any bytes and any length: its units are all 3-byte windows, and a word under 4
    /// bytes is one unit.
    pub fn of_word(n: usize, word: &[u8]) -> Self {
        let mut fingerprint = Self::new(n);
        if word.len() < 4 {
            fingerprint.add(UnitHash::fnv(word));
        } else {
            for unit in word.windows(3) {
                fingerprint.add(UnitHash::fnv(unit));
            }
        }
        fingerprint
    }

    /// Takes in one more unit.
    pub fn add(&mut self, unit: UnitHash) {
        for (minimum, hash) in self.minimum.iter_mut().take(self.n).zip(unit.sequence()) {
            *minimum = hash.min(*minimum);
        }
    }

    /// Takes in all units of another fingerprint.
    pub fn merge(&mut self, other: &Self) {
        for (minimum, &value) in self.minimum.iter_mut().zip(&other.minimum).take(self.n) {
            *minimum = value.min(*minimum);
        }
    }

    /// The values `F_0 .. F_(n-1)`, each in `0..MODULUS` once a unit was added.
    pub fn values(&self) -> &[u32] {
        self.minimum.get(..self.n).unwrap_or_default()
    }

    /// The bins `F_i mod m`; `m` = 0 counts as 1. The minimum comes first: reducing before it gives other bins.
    pub fn bins(&self, m: u16) -> impl Iterator<Item = u16> {
        let m = u32::from(m.max(1));
        self.values().iter().map(move |&value| (value % m) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    #[test]
    fn flight_and_the_match_the_vectors() {
        let flight = Fingerprint::of_word(16, b"flight");
        assert_eq!(flight.values()[..4], [751_368_779, 529_364_333, 1_208_441_571, 900_340_892]);
        assert_eq!(flight.values()[15], 145_844_870);
        let bins: Vec<u16> = flight.bins(256).collect();
        assert_eq!(bins[..8], [75, 109, 227, 156, 112, 14, 130, 83]);
        let the: Vec<u16> = Fingerprint::of_word(16, b"the").bins(256).collect();
        assert_eq!(the[..8], [249, 202, 155, 108, 61, 15, 224, 177]);
    }

    #[test]
    fn a_word_of_one_unit_is_an_arithmetic_progression() {
        // The known weakness of double hashing: bins of a short word are evenly spaced by b mod m, broken only where
        // the sequence wraps at 2^31 - 1.
        for word in [&b"a"[..], b"ab", b"the", "é".as_bytes()] {
            let unit = UnitHash::fnv(word);
            let fingerprint = Fingerprint::of_word(MAX_HASHES, word);
            for pair in fingerprint.values().windows(2) {
                let step = (pair[1] + MODULUS - pair[0]) % MODULUS;
                assert_eq!(step, unit.b());
            }
            let bins: Vec<u16> = fingerprint.bins(256).collect();
            let spacing = (unit.b() % 256) as u16;
            // 2^31 - 1 = -1 modulo 256: a wrap adds one.
            assert!(bins.windows(2).all(|pair| {
                [spacing, spacing + 1].map(|s| s % 256).contains(&((pair[1] + 256 - pair[0]) % 256))
            }));
        }
    }

    #[test]
    fn minimum_then_modulus_is_not_modulus_then_minimum() {
        let fingerprint = Fingerprint::of_word(16, b"flight");
        let reduced_first: Vec<u16> = (0..16)
            .map(|i| {
                b"flight"
                    .windows(3)
                    .filter_map(|unit| UnitHash::fnv(unit).sequence().nth(i))
                    .map(|hash| (hash % 256) as u16)
                    .min()
                    .unwrap()
            })
            .collect();
        assert_ne!(fingerprint.bins(256).collect::<Vec<_>>(), reduced_first);
    }

    #[test]
    fn merging_parts_equals_adding_all_units() {
        let mut left = Fingerprint::of_word(64, b"flight");
        left.merge(&Fingerprint::of_word(64, b"deck"));
        let mut all = Fingerprint::new(64);
        for unit in b"flight".windows(3).chain(b"deck".windows(3)) {
            all.add(UnitHash::fnv(unit));
        }
        assert_eq!(left, all);
    }

    #[test]
    fn sizes_outside_the_range_are_cut() {
        assert_eq!(Fingerprint::of_word(1000, b"word").values().len(), MAX_HASHES);
        assert!(Fingerprint::of_word(0, b"word").values().is_empty());
        assert!(Fingerprint::of_word(4, b"word").bins(0).all(|bin| bin == 0));
    }
}
