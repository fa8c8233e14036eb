//! Text tables and sizes for people.

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// Rows in columns as wide as their widest cell; names are never cut. The last column is not padded.
pub fn table(header: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let cell_width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> =
        header.iter().enumerate().map(|(column, (name, _))| name.chars().count().max(cell_width(column))).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(header).zip(&widths).map(|((cell, (_, align)), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    let head = line(header.iter().map(|(name, _)| *name).collect());
    rows.iter().fold(head, |text, row| text + &line(row.iter().map(String::as_str).collect()))
}

/// `512 B`, `12.3 KB`, `4.1 MB`: thousands, as sizes of files are sold.
pub fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        1_000_000.. => format!("{:.1} MB", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "23".to_owned()]];
        let text = table(&[("name", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(text, "name   n\na      1\nlong  23\n");
    }

    #[test]
    fn sizes() {
        assert_eq!([999, 1_000, 12_345, 4_100_000].map(bytes), ["999 B", "1.0 KB", "12.3 KB", "4.1 MB"]);
    }
}
