//! Double hashing of a unit: two 31-bit residues that span its whole hash sequence.

/// The Mersenne prime 2^31 - 1. All hash values are below it.
pub const MODULUS: u32 = 0x7fff_ffff;

/// FNV-1a, 32 bits: offset basis and prime (RFC 9923).
const FNV_BASIS: u32 = 0x811c_9dc5;
const FNV_PRIME: u32 = 0x0100_0193;
/// A second starting value makes the second, independent hash.
const SECOND_BASIS: u32 = 0x0123_4567;

/// The hash sequence of one unit: `h_i = (a + i * b) mod (2^31 - 1)`, `i = 0, 1, ...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitHash {
    a: u32,
    b: u32,
}

impl UnitHash {
    /// Reduces two hashes of a unit modulo [`MODULUS`].
    pub const fn new(h1: u32, h2: u32) -> Self {
        Self { a: h1 % MODULUS, b: h2 % MODULUS }
    }

    /// The embeddable hash: FNV-1a over the unit's bytes from two starting values, each finished with MurmurHash3's
    /// `fmix32` because FNV alone leaves short units' high bits poorly mixed.
    pub fn fnv(unit: &[u8]) -> Self {
        Self::new(fmix32(fnv1a(FNV_BASIS, unit)), fmix32(fnv1a(SECOND_BASIS, unit)))
    }

    /// First value of the sequence, `0..MODULUS`.
    pub const fn a(self) -> u32 {
        self.a
    }

    /// Step of the sequence, `0..MODULUS`.
    pub const fn b(self) -> u32 {
        self.b
    }

    /// The endless sequence, every value in `0..MODULUS`.
    pub fn sequence(self) -> impl Iterator<Item = u32> {
        let mut next = self.a;
        core::iter::repeat_with(move || {
            let value = next;
            // Both terms are below 2^31 - 1, so the sum fits 32 bits and one subtraction reduces it.
            let sum = next + self.b;
            next = if sum >= MODULUS { sum - MODULUS } else { sum };
            value
        })
    }
}

fn fnv1a(basis: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(basis, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(FNV_PRIME))
}

/// The finaliser of MurmurHash3 for 32 bits.
const fn fmix32(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_of_fli_matches_the_vector() {
        let hash = UnitHash::fnv(b"fli");
        assert_eq!((hash.a(), hash.b()), (1_937_283_782, 739_564_198));
    }

    #[test]
    fn sequence_is_the_closed_form() {
        // The extremes make the sum wrap at every step; 2^31 - 1 and 2^32 - 2 reduce to 0.
        for (h1, h2) in [
            (0, 0),
            (MODULUS - 1, MODULUS - 1),
            (u32::MAX, u32::MAX),
            (MODULUS, 7),
            (u32::MAX - 1, 1),
            (1_937_283_782, 739_564_198),
        ] {
            let hash = UnitHash::new(h1, h2);
            for (i, value) in hash.sequence().take(1000).enumerate() {
                let expected = (u64::from(h1) + i as u64 * u64::from(h2)) % u64::from(MODULUS);
                assert_eq!(u64::from(value), expected, "h1 {h1} h2 {h2} i {i}");
            }
        }
    }
}
