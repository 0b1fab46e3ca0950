//! mixel.
