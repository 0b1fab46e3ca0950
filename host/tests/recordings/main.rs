//! Recordings of event cameras on the command line: `mixel events info`, `convert`, `render`, and files that are none.

mod aedat4;
mod convert;
mod errors;
mod info;
mod render;
mod run;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use support::command::{good, json, mixel};
