//! Reading little-endian fields one after the other.

/// A position in bytes. Reading past the end gives zeros and is remembered, so that a whole record can be read first
/// and judged once.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    overrun: bool,
}

impl<'a> Cursor<'a> {
    /// Starts at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, overrun: false }
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.rest.split_first_chunk() {
            Some((field, rest)) => {
                self.rest = rest;
                *field
            }
            None => {
                self.rest = &[];
                self.overrun = true;
                [0; N]
            }
        }
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.take())
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    /// The next four bytes.
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// The next four bytes, signed.
    pub fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.take())
    }

    /// The next eight bytes, signed.
    pub fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.take())
    }

    /// Whether every field so far was there and nothing is left.
    pub fn finished(&self) -> bool {
        !self.overrun && self.rest.is_empty()
    }

    /// Whether a field was read that was not there.
    pub fn overrun(&self) -> bool {
        self.overrun
    }
}
