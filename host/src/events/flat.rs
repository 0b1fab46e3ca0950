//! FlatBuffers of a fixed form, with every offset checked.
//!
//! The three tables that AEDAT4 needs have two or three fields each. Accessors of the `flatbuffers` crate are unsafe to call on bytes
//! that were not verified against generated code; here whatever points outside of the buffer is `None`. Nothing is followed
//! backwards and nothing is followed twice, so that reading ends.
//!
//! Format: "FlatBuffer Internals", flatbuffers.dev/internals.

/// A table: fields behind a vtable of their offsets.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    vtable: &'a [u8],
}

/// The `N` bytes at `at`.
fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    chunk(bytes, at).map(|word| u32::from_le_bytes(word) as usize)
}

impl<'a> Table<'a> {
    /// The root of a buffer `{u32 length, u32 root, 4 bytes identifier, ...}`; `None` if it is shorter than it says or has another
    /// identifier.
    pub fn root(sized: &'a [u8], identifier: [u8; 4]) -> Option<Self> {
        let bytes = sized.get(4..)?.get(..u32_at(sized, 0)?)?;
        let named = chunk(bytes, 4)? == identifier;
        if named { Self::at(bytes, u32_at(bytes, 0)?) } else { None }
    }

    fn at(bytes: &'a [u8], at: usize) -> Option<Self> {
        let back = i32::from_le_bytes(chunk(bytes, at)?);
        let vtable = bytes.get(usize::try_from(i64::try_from(at).ok()? - i64::from(back)).ok()?..)?;
        let size = u16::from_le_bytes(chunk(vtable, 0)?);
        Some(Self { bytes, at, vtable: vtable.get(..usize::from(size))? })
    }

    /// Where field `index` lies; `Some(None)` if the table does not have it.
    fn field(&self, index: usize) -> Option<Option<usize>> {
        match chunk(self.vtable, 4 + 2 * index).map(u16::from_le_bytes) {
            None | Some(0) => Some(None),
            Some(offset) => self.at.checked_add(usize::from(offset)).map(Some),
        }
    }

    /// The little-endian number in field `index`, or zeros if it is left out.
    pub fn number<const N: usize>(&self, index: usize) -> Option<[u8; N]> {
        match self.field(index)? {
            Some(at) => chunk(self.bytes, at),
            None => Some([0; N]),
        }
    }

    /// The elements of `size` bytes in the vector of field `index`, and where they lie; none if it is left out.
    fn elements(&self, index: usize, size: usize) -> Option<(usize, &'a [u8])> {
        let Some(at) = self.field(index)? else { return Some((0, &[])) };
        let vector = at.checked_add(u32_at(self.bytes, at)?)?;
        let len = u32_at(self.bytes, vector)?.checked_mul(size)?;
        let start = vector.checked_add(4)?;
        Some((start, self.bytes.get(start..)?.get(..len)?))
    }

    /// The vector of structs of `N` bytes in field `index`; empty if it is left out.
    pub fn structs<const N: usize>(&self, index: usize) -> Option<&'a [[u8; N]]> {
        Some(self.elements(index, N)?.1.as_chunks().0)
    }

    /// The text in field `index`; empty if it is left out.
    pub fn text(&self, index: usize) -> Option<&'a str> {
        std::str::from_utf8(self.elements(index, 1)?.1).ok()
    }

    /// The vector of tables in field `index`; each is `None` if it is malformed.
    pub fn tables(&self, index: usize) -> Option<impl Iterator<Item = Option<Self>>> {
        let bytes = self.bytes;
        let (start, offsets) = self.elements(index, 4)?;
        let places = (start..).step_by(4).zip(offsets.as_chunks::<4>().0);
        Some(
            places.map(move |(at, offset)| {
                Self::at(bytes, at.checked_add(u32::from_le_bytes(*offset) as usize)?)
            }),
        )
    }
}
