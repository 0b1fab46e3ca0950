//! Pictures: PNG files, scaling and measures, on procedural pictures and on those that the field tests on.

#[path = "../support/mod.rs"]
mod support;

mod benchmark;
