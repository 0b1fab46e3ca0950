//! Reading little-endian fields one after the other: tables have fields of one size each, parameters of operators short
//! forms of integers (docs/format.md).

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

    /// The next two bytes, signed.
    pub fn i16(&mut self) -> i16 {
        i16::from_le_bytes(self.take())
    }

    /// The next four bytes.
    pub fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    /// The next integer of parameters: seven bits a byte, low ones first, with the high bit set in all bytes but the last
    /// (LEB128). One that does not fit into 32 bits counts as missing.
    #[inline(never)]
    pub fn u32(&mut self) -> u32 {
        // Most have one byte.
        let first = self.u8() as u32;
        if first < 128 { first } else { self.long(first & 127) }
    }

    /// The rest of an integer of which `value` has been read.
    #[inline(never)]
    fn long(&mut self, mut value: u32) -> u32 {
        for shift in [7, 14, 21, 28] {
            let byte = self.u8();
            self.overrun |= shift == 28 && byte > 15;
            value |= ((byte & 127) as u32) << shift;
            if byte < 128 {
                break;
            }
        }
        value
    }

    /// The next signed integer of parameters: 0, -1, 1, -2 .. are written as 0, 1, 2, 3 ..
    #[inline(never)]
    pub fn i32(&mut self) -> i32 {
        let folded = self.u32();
        (folded >> 1) as i32 ^ -((folded & 1) as i32)
    }

    /// The next integer of parameters, of at most 16 bits; a larger one counts as missing.
    #[inline(never)]
    pub fn short(&mut self) -> u16 {
        let value = self.u32();
        self.overrun |= value > u16::MAX as u32;
        value as u16
    }

    /// The next range of outputs, (smallest, largest), as [`super::write::Params::range`] writes it.
    #[inline(never)]
    pub fn range(&mut self) -> (i32, i32) {
        let (above, below) = (self.i32(), self.i32());
        ((i8::MIN as i32).wrapping_add(above), (i8::MAX as i32).wrapping_sub(below))
    }

    /// The next text: its length as an integer of parameters, and so many bytes. One that is cut off or not UTF-8 is none.
    #[inline(never)]
    pub fn text(&mut self) -> Option<&'a str> {
        let length = self.u32() as usize;
        let (bytes, rest) = self.rest.split_at_checked(length).filter(|_| !self.overrun)?;
        self.rest = rest;
        core::str::from_utf8(bytes).ok()
    }

    /// Passes over `bytes` bytes.
    pub fn skip(&mut self, bytes: usize) {
        (0..bytes).for_each(|_| _ = self.u8());
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::write::Params;

    #[test]
    fn short_forms_read_back() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 28, u32::MAX - 1, u32::MAX] {
            let params = Params::new().u32(value).i32(value as i32).u8(7);
            let mut cursor = Cursor::new(params.bytes());
            assert_eq!((cursor.u32(), cursor.i32(), cursor.u8()), (value, value as i32, 7));
            assert!(cursor.finished());
        }
        let lengths = [-128, 127, 8191, -8193].map(|value| Params::new().i32(value).bytes().len());
        assert_eq!(lengths, [2, 2, 2, 3]);
    }

    #[test]
    fn ranges_and_small_integers_read_back() {
        let ranges = [
            (i8::MIN as i32, i8::MAX as i32),
            (-7, -7),
            (i16::MIN as i32, i16::MAX as i32),
            (i32::MIN, i32::MAX),
        ];
        for (min, max) in ranges {
            let params = Params::new().range(min, max);
            assert_eq!(Cursor::new(params.bytes()).range(), (min, max));
        }
        assert_eq!(Params::new().range(-128, 127).bytes(), [0, 0]);
        let params = Params::new().u16(300).u32(65_536);
        let mut cursor = Cursor::new(params.bytes());
        assert_eq!((cursor.short(), cursor.overrun()), (300, false));
        cursor.short();
        assert!(cursor.overrun());
    }

    #[test]
    fn texts_are_whole_and_utf8() {
        let mut cursor = Cursor::new(b"\x03abc\x00\x02d");
        assert_eq!([cursor.text(), cursor.text(), cursor.text()], [Some("abc"), Some(""), None]);
        assert_eq!(Cursor::new(b"\x01\xFF").text(), None);
        assert_eq!(Cursor::new(b"\xFF").text(), None);
    }

    #[test]
    fn broken_short_forms_are_missing_fields() {
        // Cut off; too large for 32 bits; without an end.
        for bytes in [&[0x80][..], &[0xFF, 0xFF, 0xFF, 0xFF, 0x10], &[0xFF; 9]] {
            let mut cursor = Cursor::new(bytes);
            cursor.u32();
            assert!(cursor.overrun() && !cursor.finished(), "{bytes:?}");
        }
    }
}
