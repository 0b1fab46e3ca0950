//! What people and other programs read: tables, traces, progress.

pub mod arena;
pub mod html;
mod table;
pub mod trace;

pub use table::{Align, Table};

use std::io::IsTerminal;

/// Says on standard error what a long piece of work is at; silent when nobody watches.
pub struct Progress {
    what: String,
    watched: bool,
}

impl Progress {
    /// Work that is called `what`.
    pub fn new(what: impl Into<String>) -> Self {
        let progress = Self { what: what.into(), watched: std::io::stderr().is_terminal() };
        if progress.watched {
            eprint!("{} ...", progress.what);
        }
        progress
    }

    /// `done` of `all` steps are done.
    pub fn step(&self, done: usize, all: usize) {
        if self.watched {
            eprint!("\r{} ... {done} of {all}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.watched {
            // Back to the beginning of the line, and the line erased (ECMA-48).
            eprint!("\r\x1b[K");
        }
    }
}

/// The end of a long name, for tables: exporters put a whole path, or several, into one.
pub fn short(name: &str) -> String {
    const WIDTH: usize = 40;
    let length = name.chars().count();
    if length <= WIDTH {
        name.to_owned()
    } else {
        format!("..{}", name.chars().skip(length - WIDTH + 2).collect::<String>())
    }
}

/// `number` with a comma before every three digits.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_names_keep_their_end() {
        let name = format!("{}/conv2d", "a".repeat(60));
        assert_eq!(super::short(&name).len(), 40);
        assert!(super::short(&name).ends_with("a/conv2d"));
        assert_eq!(super::short("conv"), "conv");
    }

    #[test]
    fn digits_are_grouped_from_the_right() {
        let shown = [0, 999, 1000, 12_345_678].map(super::grouped);
        assert_eq!(shown, ["0", "999", "1,000", "12,345,678"]);
    }
}
