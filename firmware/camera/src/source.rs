//! Where the bytes of a stream come from.

use core::convert::Infallible;

use embedded_io::Read;

/// The next bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// As the sensor sent them; words may be split between chunks.
    pub bytes: &'a [u8],
    /// Bytes that are missing right before these: none where the stream is whole, 0 where their number is not known.
    pub lost: Option<u32>,
    /// When the last of them came, in ticks of the board's clock; none for recordings.
    pub filled: Option<u32>,
}

/// Hands out the stream of an event camera.
pub trait EventSource {
    /// Why the stream cannot be read.
    type Error;

    /// Waits for the next bytes; none at the end of the stream, and from then on. An empty chunk tells of a loss at the end.
    ///
    /// # Errors
    /// Those of the medium. What a live sensor loses is no error but in the next [`Chunk`].
    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, Self::Error>;
}

/// A stream that lies in memory, such as a recording in flash; nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    rest: &'a [u8],
    chunk: usize,
}

impl<'a> Stored<'a> {
    /// Hands out `stream` in chunks of `chunk` bytes, at least one.
    pub fn new(stream: &'a [u8], chunk: usize) -> Self {
        Self { rest: stream, chunk: chunk.max(1) }
    }
}

impl EventSource for Stored<'_> {
    type Error = Infallible;

    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, Infallible> {
        let (bytes, rest) = self.rest.split_at(self.rest.len().min(self.chunk));
        self.rest = rest;
        Ok((!bytes.is_empty()).then_some(Chunk { bytes, lost: None, filled: None }))
    }
}

/// A stream that is read from a file, or from a serial port that is polled.
///
/// A port without a buffer of its own loses bytes while the program is busy and may not say so; for a live sensor fill an
/// [`Exchange`](crate::Exchange) from its interrupt.
#[derive(Debug)]
pub struct Reader<'b, R> {
    reader: R,
    buffer: &'b mut [u8],
}

impl<'b, R: Read> Reader<'b, R> {
    /// Reads chunks of at most `buffer`'s length.
    pub fn new(reader: R, buffer: &'b mut [u8]) -> Self {
        Self { reader, buffer }
    }
}

impl<R: Read> EventSource for Reader<'_, R> {
    type Error = R::Error;

    fn next_chunk(&mut self) -> Result<Option<Chunk<'_>>, R::Error> {
        let count = self.reader.read(self.buffer)?;
        let bytes = self.buffer.get(..count).unwrap_or_default();
        Ok((!bytes.is_empty()).then_some(Chunk { bytes, lost: None, filled: None }))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn all<S: EventSource>(mut source: S) -> Vec<Vec<u8>>
    where
        S::Error: core::fmt::Debug,
    {
        let mut chunks = Vec::new();
        while let Some(chunk) = source.next_chunk().unwrap() {
            assert_eq!((chunk.lost, chunk.filled), (None, None));
            chunks.push(chunk.bytes.to_vec());
        }
        assert_eq!(source.next_chunk().unwrap(), None);
        chunks
    }

    #[test]
    fn memory_and_readers_give_the_whole_stream() {
        let stream: Vec<u8> = (0..10).collect();
        let expected = [&stream[..4], &stream[4..8], &stream[8..]];
        assert_eq!(all(Stored::new(&stream, 4)), expected);
        assert_eq!(all(Reader::new(&stream[..], &mut [0; 4])), expected);
        assert_eq!(all(Stored::new(&stream, 0)).concat(), stream);
        assert!(all(Stored::new(&[], 4)).is_empty());
    }
}
