//! AEDAT4: what is written is read, in any parts; whatever is damaged gives an error and nothing worse.

use mixel::ErrorKind;
use mixel::events::aedat4::{self, Compression};
use mixel::events::{Edge, Recording};
use mixel_core::events::{Geometry, Trigger};

use crate::streams::{self};
use crate::streams::{
    InParts, code, compressed, event_packet, framed, generated, head, packed, trigger_packet,
};

const SENSOR: Geometry = Geometry::new(346, 260);
const ALL: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];
/// Microseconds since 1970, as DV writes them.
const NOW: u64 = 1_605_537_493_718_345;

/// A short recording as a file.
fn file(compression: Compression, with_table: bool) -> (Recording, Vec<u8>) {
    let recording = generated(7, 450, SENSOR, NOW, 1000);
    let file = streams::aedat4(&recording, compression, with_table);
    (recording, file)
}

fn message(bytes: &[u8]) -> String {
    let error = Recording::decode(bytes, None).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Format);
    assert!(error.hint.contains("damaged"), "{error}");
    error.message
}

#[test]
fn what_is_written_is_read_in_any_parts() {
    for compression in ALL {
        for with_table in [true, false] {
            let (written, bytes) = file(compression, with_table);
            let read = Recording::decode(&bytes, None).unwrap();
            assert_eq!((read.geometry, read.file_bytes), (Some(SENSOR), bytes.len()));
            assert_eq!(read.events, written.events);
            // There is one channel.
            let edge = |e: &Edge| Edge { trigger: Trigger { id: 0, ..e.trigger }, ..*e };
            assert_eq!(read.triggers, written.triggers.iter().map(edge).collect::<Vec<_>>());
            assert!(!read.triggers.is_empty());
            assert_eq!(read.counts.violations(), 0);
            let contents = read.aedat4.as_ref().unwrap();
            assert_eq!(contents.compression, compression);
            assert_eq!(contents.trigger_records, written.triggers.len() as u64);
            let packets = [("EVTS", 5), ("IMUS", 5), ("TRIG", 1)].map(|(kind, n)| (kind.to_owned(), n));
            assert_eq!(contents.packets, packets.into());
            for (seed, most) in [(1, 1), (2, 7), (3, 1000)] {
                let random = fastrand::Rng::with_seed(seed);
                let parts = aedat4::read(InParts { bytes: &bytes, most, random }, None).unwrap();
                assert_eq!((&parts.events, &parts.triggers), (&read.events, &read.triggers));
            }
        }
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for compression in ALL {
        let (_, bytes) = file(compression, true);
        let table = bytes.len() - b"the table, which nobody reads".len();
        for end in b"#!AER-DAT4.0\r\n".len()..table {
            let message = message(&bytes[..end]);
            assert!(message.contains("cut off"), "{end}: {message}");
        }
        assert!(Recording::decode(&bytes[..table], None).is_ok());
        // Without a table a file may end behind any packet, and nowhere else.
        let (_, bytes) = file(compression, false);
        let ends = b"#!AER-DAT4.0\r\n".len()..bytes.len();
        let whole = ends.filter(|&end| Recording::decode(&bytes[..end], None).is_ok()).count();
        assert_eq!(whole, 11, "behind the head and behind each packet but the last");
    }
}

#[test]
fn damaged_bytes_give_an_error_or_events_on_the_sensor() {
    let mut refused = 0;
    for compression in ALL {
        let (_, bytes) = file(compression, true);
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..2000 {
            let mut bytes = bytes.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = if random.bool() { random.u8(..) } else { bytes[at] ^ 1 << random.u8(..8) };
            }
            match Recording::decode(&bytes, Some(SENSOR)) {
                Ok(read) => {
                    let bounds = read.geometry.unwrap_or(Geometry::ANY);
                    let inside = |x, y| x < bounds.width && y < bounds.height;
                    assert!(read.events.iter().all(|e| inside(e.event.x(), e.event.y())));
                    assert!(read.events.is_sorted_by_key(|e| e.t));
                }
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Format, "{error}");
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} of 6000 damaged files were refused");
    assert!(refused > 1000);
}

/// A file of this stream of events, with one packet of it.
fn of_packet(compression: Compression, body: &[u8]) -> Vec<u8> {
    [head(code(compression), -1, SENSOR, &[(0, "EVTS")]), framed(0, body)].concat()
}

#[test]
fn hostile_lengths_and_offsets_are_refused() {
    let none = |body: &[u8]| message(&of_packet(Compression::None, body));
    let one = event_packet(&[[0; 16]]);
    assert!(none(&[]).contains("no list of events"));
    // Every word of a packet with one event replaced by large numbers.
    for at in (0..one.len() - 16).step_by(4) {
        for value in [u32::MAX, i32::MAX as u32, 1 << 31, 0x0100_0000, 61] {
            let mut packet = one.clone();
            packet[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let read = Recording::decode(&of_packet(Compression::None, &packet), None);
            assert!(read.map_or(0, |read| read.events.len()) < 3, "{value} at {at}");
        }
    }
    let of_frame = |frame: &[u8]| [&head(0, -1, SENSOR, &[(0, "EVTS")]), frame].concat();
    let frame = |stream: i32, size: i32| of_frame(&[stream.to_le_bytes(), size.to_le_bytes()].concat());
    assert!(message(&frame(0, -1)).contains("negative size"));
    assert!(message(&frame(0, i32::MAX)).contains("claims 2147483647 bytes"));
    assert!(message(&frame(0, 1 << 20)).contains("cut off"));
    assert!(message(&frame(5, 8)).contains("stream 5, which the head does not name"));
    // A packet of zeros that is small until it is decompressed.
    let zeros = compressed(Compression::Zstd, &vec![0; 1 << 20]);
    assert!(zeros.len() < 1000);
    let error = Recording::decode(&of_packet(Compression::Zstd, &zeros), None).unwrap_err().to_string();
    assert!(error.contains("cannot be decompressed") && error.contains("more than"), "{error}");
    let text = b"neither LZ4 nor Zstandard";
    for compression in [Compression::Lz4, Compression::Zstd] {
        assert!(message(&of_packet(compression, text)).contains("cannot be decompressed"));
    }
}

#[test]
fn a_head_that_is_none_is_refused() {
    let good = head(0, -1, SENSOR, &[(0, "EVTS")]);
    assert!(Recording::decode(&good, None).is_ok(), "a recording without packets");
    assert!(message(&head(9, -1, SENSOR, &[(0, "EVTS")])).contains("compression 9"));
    assert!(message(&head(0, 40, SENSOR, &[(0, "EVTS")])).contains("do not end where"));
    let replaced = |from: &str, to: &str| {
        let at = good.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        message(&bytes)
    };
    assert!(replaced("IOHE", "IOHF").contains("head is malformed"));
    assert!(replaced("</dv>", "</dw>").contains("XML"));
    assert!(replaced("outInfo", "outlaws").contains("names no streams"));
    assert!(replaced("typeIdentifier", "typeIdentities").contains("without number or type"));
    // A head that is nothing but opened elements.
    let deep = "<a>".repeat(1 << 20);
    let body = [&20u32.to_le_bytes()[..], b"IOHE", &[10, 0, 20, 0, 4, 0, 8, 0, 16, 0, 0, 0, 12, 0, 0, 0][..]]
        .concat();
    let rest =
        [&[0; 12][..], &4u32.to_le_bytes(), &(deep.len() as u32).to_le_bytes(), deep.as_bytes()].concat();
    let len = ((body.len() + rest.len()) as u32).to_le_bytes();
    assert!(message(&[b"#!AER-DAT4.0\r\n", &len[..], &body, &rest].concat()).contains("XML"));
}

#[test]
fn what_is_wrong_in_good_packets_is_counted() {
    let event = |t: i64, x: i16, y: i16| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&t.to_le_bytes());
        bytes[8..10].copy_from_slice(&x.to_le_bytes());
        bytes[10..12].copy_from_slice(&y.to_le_bytes());
        bytes
    };
    let events = [
        event(100, 1, 2),
        event(-1, 1, 2),
        event(90, 3, 4),
        event(101, -1, 2),
        event(102, 346, 2),
        event(103, 0, 260),
        event(104, 345, 259),
    ];
    let read = Recording::decode(&of_packet(Compression::None, &event_packet(&events)), None).unwrap();
    let kept: Vec<_> = read.events.iter().map(|e| (e.t, e.event.x(), e.event.y())).collect();
    assert_eq!(kept, [(100, 1, 2), (100, 3, 4), (104, 345, 259)]);
    assert_eq!((read.counts.reserved, read.counts.time_high_back, read.counts.off_sensor), (1, 1, 3));
    assert_eq!(read.counts.events, 3);

    // Of two cameras the first is read, and edges on the pin are told from other records.
    let streams = [(0, "EVTS"), (1, "EVTS"), (2, "TRIG")];
    let kinds = [(10, 0), (20, 1), (30, 2), (40, 3), (50, 4), (60, 6)];
    let packets = [
        framed(1, &event_packet(&[event(1, 1, 1)])),
        framed(0, &event_packet(&[event(2, 2, 2)])),
        framed(2, &trigger_packet(&kinds)),
    ];
    let bytes = [head(0, -1, SENSOR, &streams), packets.concat()].concat();
    let read = Recording::decode(&bytes, None).unwrap();
    assert_eq!(packed(&read.events[0])[..12], event(2, 2, 2)[..12]);
    let edges: Vec<_> = read.triggers.iter().map(|e| (e.t, e.trigger.value)).collect();
    assert_eq!((read.events.len(), edges), (1, vec![(20, true), (30, false), (40, true)]));
    let contents = read.aedat4.unwrap();
    assert_eq!((contents.packets_of_other_cameras, contents.trigger_records), (1, 6));
}
