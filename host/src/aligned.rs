//! Bytes at an address that plans and arenas need.

use std::ops::{Deref, DerefMut};

/// A cache line.
const ALIGN: usize = 64;

/// Bytes that begin at a multiple of 64, which is more than [`mixel_core::Plan`] and [`mixel_core::Session`] ask for.
#[derive(Debug)]
pub struct Aligned {
    // Over-allocated; the heap block does not move with its owner, so `start` stays right.
    buffer: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let buffer = vec![0; len + ALIGN];
        let address = buffer.as_ptr().addr();
        Self { start: address.next_multiple_of(ALIGN) - address, buffer, len }
    }

    /// Keeps the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl From<&[u8]> for Aligned {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.copy_from_slice(bytes);
        aligned
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        Self::from(&**self)
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_cache_line_also_after_moves_and_clones() {
        let many: Vec<Aligned> = (0..64).map(|len| Aligned::from(&vec![len as u8; len][..])).collect();
        for (len, bytes) in many.iter().enumerate() {
            assert_eq!(bytes.as_ptr().addr() % ALIGN, 0);
            assert_eq!(&**bytes, vec![len as u8; len]);
        }
    }
}
