//! Raw UTF-8 to MinHash fingerprints and counting-Bloom bins.
