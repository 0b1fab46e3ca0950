//! What the host and the runner firmware say to each other.
//!
//! The host writes a *job* (what to run, on which inputs), the runner answers with a stream of
//! *records* (outputs, checksums, times). Both are bytes with little-endian 32-bit fields, so they
//! travel the same way through files of an emulated board, flash and log lines of a real one.
//!
//! Both sides refuse a [`VERSION`] that is not theirs.

#![no_std]

pub mod job;
pub mod record;

/// Version of both formats. It rises with every change of a field or of a meaning.
pub const VERSION: u32 = 2;

/// CRC-32 (polynomial of IEEE 802.3, as in zip and PNG) of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32_more(0, bytes)
}

/// That of `bytes` behind others with the CRC-32 `before`, which is 0 for none.
pub fn crc32_more(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(bytes);
    hasher.finalize()
}

/// Takes a little-endian word from the front of `bytes`.
fn take_word(bytes: &mut &[u8]) -> Option<u32> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*word))
}

/// Takes `len` bytes from the front of `bytes`.
fn take<'a>(bytes: &mut &'a [u8], len: u32) -> Option<&'a [u8]> {
    let (part, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
    *bytes = rest;
    Some(part)
}
