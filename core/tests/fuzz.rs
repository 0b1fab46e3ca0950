//! The properties that the fuzz targets ask for, on their corpus and on mutants of it: the short run for every day. Hours of
//! coverage-guided fuzzing are `cargo +nightly fuzz run TARGET` in `core/fuzz`.

#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::cell::Cell;
use std::path::{Path, PathBuf};

use mixel_core::events::aedat::Address;
use mixel_core::events::dat::Layout;
use mixel_core::events::evt21::WordOrder;
use mixel_core::events::header::Encoding;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ z >> 31) as usize % n
    }

    /// Changes a few things: bytes, bits, runs that are lost or come twice.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            let run = at..(at + 1 + self.below(16)).min(bytes.len());
            match self.below(5) {
                0 => bytes[at] = self.below(256) as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[run].fill(0xFF),
                3 => _ = bytes.drain(run),
                _ => {
                    let again = bytes[run].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
    }
}

/// libFuzzer names what it finds by its SHA-1; what is kept here has a name of its own.
fn left_by_the_fuzzer(file: &Path) -> bool {
    file.file_name()
        .is_some_and(|name| name.len() == 40 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit))
}

#[test]
fn what_is_kept_is_told_from_what_the_fuzzer_left() {
    assert!(left_by_the_fuzzer(Path::new("corpus/plan/00168e85c9f3f8ecdbeca774bdf700ca122c0eb4")));
    assert!(!left_by_the_fuzzer(Path::new("corpus/plan/seed13")));
}

/// Gives the target's corpus to `property`, then `mutants` of it.
fn replay(target: &str, mutants: usize, property: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |files: &[PathBuf]| files.iter().map(|file| std::fs::read(file).unwrap()).collect::<Vec<_>>();
    read(&files).iter().for_each(|bytes| property(bytes));
    // What a run of the fuzzer left here is replayed, but mutants are the same with and without it, and so is what of them runs.
    files.retain(|file| !left_by_the_fuzzer(file));
    let corpus = read(&files);
    assert!(!corpus.is_empty(), "{}", folder.display());
    let mut random = Random(7);
    for _ in 0..mutants {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        random.mutate(&mut bytes);
        property(&bytes);
    }
}

#[test]
fn decoders() {
    let targets: [(&str, &[Encoding]); 8] = [
        ("evt2", &[Encoding::Evt2]),
        ("evt21", &[Encoding::Evt21(WordOrder::Little), Encoding::Evt21(WordOrder::Legacy)]),
        ("evt3", &[Encoding::Evt3]),
        ("dat", &[Encoding::Dat(Layout::V1), Encoding::Dat(Layout::V2), Encoding::Dat(Layout::Trigger)]),
        ("aedat2", &[Encoding::Aedat2(Address::Davis), Encoding::Aedat2(Address::Dvs128)]),
        ("aedat3", &[Encoding::Aedat3]),
        ("record5", &[Encoding::Bin, Encoding::Bs2]),
        ("edvs", &[Encoding::Edvs]),
    ];
    for (target, encodings) in targets {
        for &encoding in encodings {
            replay(target, 3_000, |bytes| properties::decoder(encoding, bytes));
        }
    }
}

#[test]
fn headers() {
    replay("header", 10_000, properties::headers);
}

#[test]
fn windows() {
    replay("windows", 3_000, properties::windows);
}

#[test]
fn plans() {
    let ran = Cell::new(0);
    replay("plan", 20_000, |bytes| ran.set(ran.get() + u32::from(properties::plan(bytes))));
    println!("{} plans ran", ran.get());
    assert!(ran.get() > 1_000, "only {} plans ran", ran.get());
}

#[test]
fn text() {
    replay("text", 10_000, properties::text);
}
