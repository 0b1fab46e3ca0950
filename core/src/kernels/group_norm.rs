//! Group normalisation: input `[n, h, w, c]`, each of `groups` equal parts of the channels normalised over all positions
//! and its channels. With as many groups as channels it is instance normalisation. Positions that vary at run time count
//! only where present.
//!
//! Parameters are [`super::layer_norm::NormParams`].
