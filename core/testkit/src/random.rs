//! Repeatable random numbers.

/// A 32-bit xorshift generator (Marsaglia, "Xorshift RNGs", 2003).
#[derive(Clone, Debug)]
pub struct Random(u32);

impl Random {
    /// The sequence of a seed.
    pub fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9) | 1)
    }

    /// The next 32 bits.
    pub fn bits(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A number from `low` to `high`, both included.
    pub fn range(&mut self, low: i32, high: i32) -> i32 {
        let span = high.wrapping_sub(low) as u32;
        low.wrapping_add(if span == u32::MAX { self.bits() } else { self.bits() % (span + 1) } as i32)
    }

    /// A number from `low` to `high`, both included.
    pub fn size(&mut self, low: usize, high: usize) -> usize {
        self.range(low as i32, high as i32) as usize
    }
}
