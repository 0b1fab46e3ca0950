//! Files that recordings come in.

use mixel_core::events::record5::Record5;
use mixel_core::events::{Event, Geometry};

/// The events of 5-byte records without overflow markers.
pub fn records(bytes: &[u8], geometry: Geometry) -> Vec<Event> {
    let mut all = Vec::new();
    let mut decoder = Record5::bs2(geometry);
    decoder.decode(bytes, &mut |events: &[Event]| all.extend_from_slice(events));
    all
}

/// Names and contents of the files in a USTAR archive, or `None` if it is none.
pub fn entries(mut archive: &[u8]) -> Option<Vec<(&str, &[u8])>> {
    const BLOCK: usize = 512;
    let mut files = Vec::new();
    while let Some((head, rest)) = archive.split_at_checked(BLOCK)
        && head[0] != 0
    {
        let text = |range: core::ops::Range<usize>| {
            let field = head[range].split(|&byte| byte == 0).next()?;
            core::str::from_utf8(field).ok()
        };
        if &head[257..262] != b"ustar" {
            return None;
        }
        let size = usize::from_str_radix(text(124..136)?.trim(), 8).ok()?;
        files.push((text(0..100)?, rest.get(..size)?));
        archive = rest.get(size.next_multiple_of(BLOCK)..)?;
    }
    Some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive of files, as `tar --format=ustar` writes it.
    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, content) in files {
            let mut head = [0; 512];
            head[..name.len()].copy_from_slice(name.as_bytes());
            let size = format!("{:011o}\0", content.len());
            head[124..136].copy_from_slice(size.as_bytes());
            head[257..263].copy_from_slice(b"ustar\0");
            bytes.extend(head);
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    #[test]
    fn archives_are_read_and_broken_ones_refused() {
        let files: [(&str, &[u8]); 3] = [("a.bs2", &[1; 5]), ("empty", &[]), ("b.bs2", &[2; 600])];
        let whole = archive(&files);
        assert_eq!(entries(&whole).unwrap(), files);
        assert_eq!(entries(&[]).unwrap(), []);
        assert!(entries(&[b'x'; 2000]).is_none(), "no archive");
        // The second half of the last file is missing.
        assert!(entries(&whole[..2200]).is_none());
    }

    #[test]
    fn records_follow_the_format() {
        let bytes = [18, 16, 0x80, 3, 125, 18, 17, 0x00, 4, 36, 200, 9, 0, 9, 139];
        let events = records(&bytes, Geometry::new(34, 34));
        assert_eq!(events, [Event::new(893, 18, 16, true), Event::new(1060, 18, 17, false)]);
    }
}
