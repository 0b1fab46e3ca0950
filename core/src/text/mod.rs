//! Raw bytes to MinHash fingerprints and counting-Bloom bins: the text front end of pNLP-Mixer
//! (arXiv 2202.04350), with no vocabulary, no buffer of a word's length and no allocator.
//!
//! A sentence is split into words, each word into *units* (short byte strings), each unit hashed to an arithmetic
//! progression modulo 2^31 - 1 ([`UnitHash`]). The elementwise minimum of a word's progressions is its [`Fingerprint`];
//! each of its values modulo `m` names the bin of a counting Bloom filter that it increments. A linear layer over the
//! filter is then a sum of weight rows, one row a bin, so the filter itself never has to exist: the device keeps the
//! bins, `[length][n]`, which is what [`TextFrontEnd::encode`] writes.
//!
//! ```
//! use mixel_core::text::TextFrontEnd;
//!
//! let front_end = TextFrontEnd::new(16, 256, 1, 32)?;
//! let mut bins = [0u16; 16 * 32];
//! let words = front_end.encode("play some jazz".as_bytes(), &mut bins)?;
//! assert_eq!((words.present, words.dropped), (3, 0));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod features;
mod fingerprint;
mod front_end;
mod hash;
#[cfg(feature = "paper-hash")]
pub mod paper;

pub use features::FeaturesError;
pub use fingerprint::{Fingerprint, MAX_HASHES};
pub use front_end::{EncodeError, FrontEndError, MAX_LENGTH, MAX_WINDOW, TextFrontEnd, Words, split_words};
pub use hash::{MODULUS, UnitHash};

/// What stands in the bins of a row that has no word. Filters of 65,535 bins or fewer never use it.
pub const ABSENT: u16 = u16::MAX;
