//! Numbers of some bits each, one behind the other, low bits first.

use crate::arch::view::In;

/// A position in bits. What lies beyond the bytes is zero.
pub struct Bits<'p> {
    bytes: In<'p, u8>,
    next: usize,
    /// Bits that were read and not taken.
    held: u32,
    count: u32,
}

impl<'p> Bits<'p> {
    /// Starts at the beginning of `bytes`.
    pub fn new(bytes: In<'p, u8>) -> Self {
        Self { bytes, next: 0, held: 0, count: 0 }
    }

    /// The next number of `bits` bits, 16 at most.
    #[inline]
    pub fn short(&mut self, bits: u32) -> u32 {
        while self.count < bits {
            self.held |= (self.bytes.get(self.next) as u32).wrapping_shl(self.count);
            self.next += 1;
            self.count += 8;
        }
        let value = self.held & 1u32.wrapping_shl(bits).wrapping_sub(1);
        self.held = self.held.wrapping_shr(bits);
        self.count -= bits;
        value
    }

    /// The next number of `bits` bits, 32 at most.
    #[inline]
    pub fn take(&mut self, bits: u32) -> u32 {
        let low = bits.min(16);
        self.short(low) | self.short(bits.saturating_sub(low).min(16)) << 16
    }

    /// The same as a signed number.
    #[inline]
    pub fn signed(&mut self, bits: u32) -> i32 {
        let above = 32u32.saturating_sub(bits);
        (self.take(bits).wrapping_shl(above) as i32).wrapping_shr(above)
    }
}

/// Where numbers of some bits each are written, as [`Bits`] reads them: `put` gets the bytes in order.
pub struct BitWriter<F> {
    put: F,
    held: u64,
    count: u32,
}

impl<F: FnMut(u8)> BitWriter<F> {
    /// Nothing yet.
    pub fn new(put: F) -> Self {
        Self { put, held: 0, count: 0 }
    }

    /// Appends the low `bits` bits of `value`, 32 at most.
    pub fn push(&mut self, value: u32, bits: u32) {
        let mask = (1u64 << bits.min(32)) - 1;
        self.held |= (value as u64 & mask) << self.count;
        self.count += bits.min(32);
        while self.count >= 8 {
            (self.put)(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }

    /// Fills up the last byte with zeros.
    pub fn finish(mut self) {
        if self.count > 0 {
            (self.put)(self.held as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_sizes_read_back() {
        let numbers =
            (1..=32).flat_map(|bits| [(0u32, bits), (u32::MAX >> (32 - bits), bits), (0x5A5A_1234, bits)]);
        let mut bytes = heapless::Vec::<u8, 256>::new();
        let mut writer = BitWriter::new(|byte| bytes.push(byte).unwrap());
        numbers.clone().for_each(|(value, bits)| writer.push(value, bits));
        writer.finish();
        assert_eq!(bytes.len(), (3 * 33 * 16usize).div_ceil(8));
        let mut reader = Bits::new(In::new(&bytes));
        for (value, bits) in numbers {
            assert_eq!(reader.take(bits), value & (u32::MAX >> (32 - bits)), "{value:x} {bits}");
        }
        // Beyond the end there is nothing.
        assert_eq!(reader.take(32), 0);
        assert_eq!(Bits::new(In::new(&[0b110])).signed(3), -2);
        assert_eq!(Bits::new(In::new(&[0xFF; 4])).signed(32), -1);
    }
}
