//! Pictures side by side with captions, for people to compare.

use super::{Filter, Rgb8, resize};
use crate::Result;

/// Panels are repeated to at least this many pixels.
const COMFORTABLE: usize = 200;
/// Pixels between panels and around captions.
const GAP: usize = 6;
const GROUND: u8 = 255;
const INK: u8 = 32;

/// The panels, all of one size, from left to right, each below its caption. Small ones are enlarged by whole factors.
///
/// Captions may have capital letters, digits, points and blanks; other characters are left blank. What does not fit is cut.
///
/// # Errors
/// [`crate::ErrorKind::Input`] if the sheet would be too large for a picture, or a panel has another size than the first.
pub fn side_by_side(panels: &[(String, &Rgb8)]) -> Result<Rgb8> {
    let (width, height) = panels.first().map_or((0, 0), |(_, first)| (first.width(), first.height()));
    let zoom = COMFORTABLE.div_ceil(width.max(1)).max(1);
    let (wide, high) = (width * zoom, height * zoom);
    // Captions of up to 20 letters fit.
    let letter = (wide / (20 * (COLUMNS + 1))).max(1);
    let top = ROWS * letter + 2 * GAP;
    let (all, full) = (panels.len() * (wide + GAP) + GAP, top + high + GAP);
    let mut sheet = vec![GROUND; 3 * all * full];
    for (index, (caption, panel)) in panels.iter().enumerate() {
        let left = GAP + index * (wide + GAP);
        let panel = resize(panel, wide, high, Filter::Nearest)?;
        for y in 0..high {
            let at = 3 * ((top + y) * all + left);
            sheet[at..at + 3 * wide].copy_from_slice(panel.row(y));
        }
        for (x, y) in ink(caption, letter).filter(|(x, _)| *x < wide) {
            let at = 3 * ((GAP + y) * all + left + x);
            sheet[at..at + 3].fill(INK);
        }
    }
    Rgb8::new(all, full, sheet)
}

/// The dark pixels of `text` in letters of [`COLUMNS`] by [`ROWS`] squares of `size` pixels.
fn ink(text: &str, size: usize) -> impl Iterator<Item = (usize, usize)> {
    text.chars().enumerate().flat_map(move |(index, letter)| {
        let rows = glyph(letter);
        let dark = move |x: usize, y: usize| {
            let column = x / size;
            column < COLUMNS && rows[y / size] >> (COLUMNS - 1 - column) & 1 == 1
        };
        let left = index * (COLUMNS + 1) * size;
        (0..ROWS * size)
            .flat_map(move |y| (0..COLUMNS * size).filter(move |&x| dark(x, y)).map(move |x| (left + x, y)))
    })
}

const COLUMNS: usize = 5;
const ROWS: usize = 7;

/// Rows of a letter from top to bottom; the highest of five bits is the leftmost square.
fn glyph(letter: char) -> [u8; ROWS] {
    match letter {
        '0' => [14, 17, 19, 21, 25, 17, 14],
        '1' => [4, 12, 4, 4, 4, 4, 14],
        '2' => [14, 17, 1, 6, 8, 16, 31],
        '3' => [30, 1, 1, 14, 1, 1, 30],
        '4' => [2, 6, 10, 18, 31, 2, 2],
        '5' => [31, 16, 30, 1, 1, 17, 14],
        '6' => [6, 8, 16, 30, 17, 17, 14],
        '7' => [31, 1, 2, 4, 4, 8, 8],
        '8' => [14, 17, 17, 14, 17, 17, 14],
        '9' => [14, 17, 17, 15, 1, 2, 12],
        'B' => [30, 17, 17, 30, 17, 17, 30],
        'C' => [14, 17, 16, 16, 16, 17, 14],
        'D' => [30, 17, 17, 17, 17, 17, 30],
        'H' => [17, 17, 17, 31, 17, 17, 17],
        'I' => [14, 4, 4, 4, 4, 4, 14],
        'L' => [16, 16, 16, 16, 16, 16, 31],
        'O' => [14, 17, 17, 17, 17, 17, 14],
        'R' => [30, 17, 17, 30, 20, 18, 17],
        'S' => [15, 16, 16, 14, 1, 1, 30],
        'T' => [31, 4, 4, 4, 4, 4, 4],
        'U' => [17, 17, 17, 17, 17, 17, 14],
        'W' => [17, 17, 17, 21, 21, 27, 17],
        'X' => [17, 17, 10, 4, 10, 17, 17],
        '.' => [0, 0, 0, 0, 0, 12, 12],
        _ => [0; ROWS],
    }
}
