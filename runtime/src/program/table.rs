//! Text tables: columns as wide as their longest cell, nothing truncated.

use alloc::string::String;
use alloc::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A column of a table; the title is not part of the cells.
pub struct Column {
    pub title: &'static str,
    pub align: Align,
    pub cells: Vec<String>,
}

impl Column {
    pub fn new(title: &'static str, align: Align, cells: impl Iterator<Item = String>) -> Column {
        Column { title, align, cells: cells.collect() }
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| cell.chars().count());
        cells.chain([self.title.len()]).max().unwrap_or(0)
    }

    fn append(&self, line: &mut String, cell: &str, width: usize) {
        let padding = width - cell.chars().count();
        match self.align {
            Align::Left => {
                line.push_str(cell);
                line.extend(core::iter::repeat_n(' ', padding));
            }
            Align::Right => {
                line.extend(core::iter::repeat_n(' ', padding));
                line.push_str(cell);
            }
        }
    }
}

/// Titles, then a line per row; all columns have equally many cells.
pub fn render(columns: &[Column]) -> String {
    let widths: Vec<usize> = columns.iter().map(Column::width).collect();
    let rows = columns.first().map_or(0, |column| column.cells.len());
    let mut text = String::new();
    for row in 0..=rows {
        let mut line = String::new();
        for (column, width) in columns.iter().zip(&widths) {
            let cell = if row == 0 { column.title } else { &column.cells[row - 1] };
            column.append(&mut line, cell, *width);
            line.push_str("  ");
        }
        text.push_str(line.trim_ascii_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn columns_fit_their_longest_cell() {
        let cells = |cells: &[&str]| cells.iter().map(|cell| cell.to_string()).collect::<Vec<_>>().into_iter();
        let columns = [
            Column::new("name", Align::Left, cells(&["a", "größer/lang"])),
            Column::new("ms", Align::Right, cells(&["1", "23.5"])),
        ];
        assert_eq!(render(&columns), "name           ms\na               1\ngrößer/lang  23.5\n");
    }
}
