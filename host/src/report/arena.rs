//! The arena over time as a picture of letters: operators from left to right, bytes from the bottom up.

use super::grouped;
use crate::inspect::{Inspection, Region};

/// Most operators side by side; of longer plans a column shows several.
const COLUMNS: usize = 96;
/// Bands of bytes on top of each other.
const ROWS: usize = 16;
/// Where nothing lies.
const FREE: char = '.';

/// The letter of region `index`; they come again after 62 tensors.
pub fn letter(index: usize) -> char {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    LETTERS[index % LETTERS.len()] as char
}

/// The tensor region of `facts` as lines of text; none for a plan without tensors in the arena.
pub fn picture(facts: &Inspection) -> String {
    let (bytes, ops) = (facts.tensor_bytes, facts.ops.len());
    if bytes == 0 || ops == 0 {
        return String::new();
    }
    let columns = ops.min(COLUMNS);
    let rows = ROWS.min(bytes);
    let part = |index: usize, of: usize, all: usize| index * all / of..((index + 1) * all).div_ceil(of);
    let width = grouped(bytes as u64).len();
    let mut out = String::new();
    for row in (0..rows).rev() {
        let band = part(row, rows, bytes);
        let edge = if row + 1 == rows { grouped(bytes as u64) } else { String::new() };
        out += &format!("{edge:>width$} |");
        out.extend((0..columns).map(|column| cell(&facts.arena, part(column, columns, ops), &band)));
        out += "\n";
    }
    let last = ops - 1;
    out += &format!("{:>width$} +{}\n", 0, "-".repeat(columns));
    out + &format!("{:>width$}  0{:>rest$}\n", "", last, rest = columns.saturating_sub(1))
}

/// What lies in these bytes during these operators: what covers the middle, or else whatever reaches in.
fn cell(regions: &[Region], ops: std::ops::Range<usize>, band: &std::ops::Range<usize>) -> char {
    let middle = (band.start + band.end) / 2;
    let here = |region: &Region| {
        let alive = region.first < ops.end && ops.start <= region.last;
        alive && region.offset < band.end && band.start < region.offset + region.bytes
    };
    let inside = |region: &Region| (region.offset..region.offset + region.bytes).contains(&middle);
    let mut found = FREE;
    for (index, region) in regions.iter().enumerate().filter(|(_, region)| here(region)) {
        if inside(region) || found == FREE {
            found = letter(index);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::OpFacts;

    fn region(offset: usize, bytes: usize, first: usize, last: usize) -> Region {
        Region { tensor: String::new(), offset, bytes, first, last }
    }

    #[test]
    fn tensors_stand_where_and_when_they_live() {
        let op = OpFacts {
            name: String::new(),
            op: String::new(),
            macs: 0,
            weights: None,
            scratch_bytes: 0,
            inputs: vec![],
            outputs: vec![],
        };
        let facts = Inspection {
            tensor_bytes: 4,
            ops: vec![op; 3],
            arena: vec![region(0, 2, 0, 0), region(2, 2, 0, 1), region(0, 1, 1, 2)],
            ..Inspection::default()
        };
        assert_eq!(picture(&facts), "4 |bb.\n  |bb.\n  |a..\n  |acc\n0 +---\n   0 2\n");
        assert_eq!(picture(&Inspection::default()), "");
    }

    #[test]
    fn long_plans_share_columns_and_large_arenas_share_bands() {
        let op = OpFacts {
            name: String::new(),
            op: String::new(),
            macs: 0,
            weights: None,
            scratch_bytes: 0,
            inputs: vec![],
            outputs: vec![],
        };
        let facts = Inspection {
            tensor_bytes: 1 << 20,
            ops: vec![op; 1000],
            arena: vec![region(0, 16, 999, 999)],
            ..Inspection::default()
        };
        let text = picture(&facts);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), ROWS + 2);
        // Too small for a band and too short for a column, and yet shown.
        assert!(lines[ROWS - 1].ends_with(".a"), "{text}");
    }
}
