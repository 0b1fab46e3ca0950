//! Plain tables with aligned columns.

use std::fmt;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// A table: a head and rows of as many cells.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with this head.
    pub fn new(head: &[(&str, Align)]) -> Self {
        Self {
            columns: head.iter().map(|(_, align)| *align).collect(),
            rows: vec![head.iter().map(|(name, _)| (*name).to_owned()).collect()],
        }
    }

    /// Adds a row; cells beyond the head's are left out, missing ones are empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let mut row: Vec<String> = cells.into_iter().take(self.columns.len()).collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }
}

/// Characters that a column is wide at most. What is longer, as a whole text may be, is shown whole and moves its own line.
const WIDEST: usize = 200;

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).min(WIDEST)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, align), &width) in row.iter().zip(&self.columns).zip(&widths) {
                match align {
                    Align::Left => line += &format!("{cell:<width$}  "),
                    Align::Right => line += &format!("{cell:>width$}  "),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        table.row(["a".into(), "12345".into()]);
        table.row(["längste".into()]);
        assert_eq!(table.to_string(), "name         n\na        12345\nlängste\n");
    }

    #[test]
    fn a_cell_of_any_length_is_shown() {
        let mut table = Table::new(&[("text", Align::Left), ("n", Align::Right)]);
        table.row(["x".repeat(100_000), "1".into()]);
        let shown = table.to_string();
        let lines: Vec<usize> = shown.lines().map(str::len).collect();
        assert_eq!(lines, [WIDEST + 3, 100_003]);
    }
}
