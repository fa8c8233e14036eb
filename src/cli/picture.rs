//! Small gray images as text: half blocks in shades of gray on a terminal, characters elsewhere.

use std::env;
use std::io::{self, IsTerminal};

/// How pictures are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Two pixels in one character, in 24 shades of gray (escape sequences of xterm's 256 colours).
    Shades,
    /// One pixel in two characters, darker ones for higher values.
    Plain,
}

impl Style {
    /// Shades on a terminal, unless the user wants no colours (<https://no-color.org>).
    pub fn of_stdout() -> Style {
        let colours = io::stdout().is_terminal()
            && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && env::var_os("TERM").is_none_or(|term| term != "dumb");
        if colours { Style::Shades } else { Style::Plain }
    }
}

/// Lines of the image `pixels`, row by row in 0..=1. All lines have the same width on the terminal: `width` characters in
/// shades, twice as many otherwise.
pub fn lines(pixels: &[f32], width: usize, style: Style) -> Vec<String> {
    let rows: Vec<&[f32]> = pixels.chunks(width.max(1)).collect();
    match style {
        Style::Shades => rows.chunks(2).map(|pair| shades(pair[0], pair.last().copied().unwrap_or_default())).collect(),
        Style::Plain => rows.into_iter().map(plain).collect(),
    }
}

fn shades(upper: &[f32], lower: &[f32]) -> String {
    let cell = |(above, below): (&f32, &f32)| format!("\x1b[38;5;{};48;5;{}m\u{2580}", gray(*above), gray(*below));
    upper.iter().zip(lower).map(cell).collect::<String>() + "\x1b[0m"
}

/// Number of the shade in xterm's colours: 232 is nearly black, 255 nearly white.
fn gray(value: f32) -> u8 {
    232 + (value.clamp(0.0, 1.0) * 23.0).round() as u8
}

fn plain(row: &[f32]) -> String {
    const RAMP: [char; 10] = [' ', '.', ':', '-', '=', '+', '*', '#', '%', '@'];
    let character = |value: &f32| RAMP[(value.clamp(0.0, 1.0) * 9.0).round() as usize];
    row.iter().flat_map(|value| [character(value); 2]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_pictures() {
        assert_eq!(lines(&[0.0, 1.0, 0.5, 7.0], 2, Style::Plain), ["  @@", "++@@"]);
    }

    #[test]
    fn shaded_pictures() {
        let expected = "\x1b[38;5;232;48;5;244m\u{2580}\x1b[38;5;255;48;5;232m\u{2580}\x1b[0m";
        assert_eq!(lines(&[0.0, 1.0, 0.5, -1.0], 2, Style::Shades), [expected]);
    }
}
