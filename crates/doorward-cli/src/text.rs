//! Lines with tones, and tables of them within 80 columns; knows no terminal and prints nothing.

use std::fmt::Write as _;

/// Tables keep within this many columns.
pub(crate) const WIDTH: usize = 80;
/// Blanks between two columns.
const GAP: usize = 2;

/// What a piece of text means, for those who see colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// A heading, or what the line is about.
    Strong,
    /// As it should be; what is let in.
    Good,
    /// Not as it should be; what is kept out.
    Bad,
    /// Probably not as meant.
    Doubtful,
    /// Beside the point.
    Faint,
}

/// A line of pieces, without its end.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Line(pub Vec<(Tone, String)>);

impl Line {
    /// A line of one piece.
    pub(crate) fn of(tone: Tone, text: impl Into<String>) -> Line {
        Line(vec![(tone, text.into())])
    }

    /// A line without any tone.
    pub(crate) fn plain(text: impl Into<String>) -> Line {
        Line::of(Tone::Plain, text)
    }

    /// The same with one more piece.
    pub(crate) fn and(mut self, tone: Tone, text: impl Into<String>) -> Line {
        self.0.push((tone, text.into()));
        self
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Line {
        Line::plain(text)
    }
}

impl From<String> for Line {
    fn from(text: String) -> Line {
        Line::plain(text)
    }
}

/// A cell of a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    tone: Tone,
    text: String,
    right: bool,
}

/// A cell with text at its left edge.
pub(crate) fn cell(tone: Tone, text: impl Into<String>) -> Cell {
    Cell { tone, text: text.into(), right: false }
}

/// A cell with a number at its right edge.
pub(crate) fn number(tone: Tone, number: u64) -> Cell {
    Cell { tone, text: grouped(number), right: true }
}

/// Lays rows out in columns. The columns `breaks` are wrapped where a row would be wider than [`WIDTH`]: the
/// last of them takes what the others leave.
pub(crate) fn table(indent: usize, breaks: &[usize], rows: &[Vec<Cell>]) -> Vec<Line> {
    /// What a wrapped column gets that is not the last; narrower ones cannot be read.
    const MOST: usize = 28;
    const LEAST: usize = 16;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| chars(&cell.text)).max().unwrap_or(0)
    };
    let mut widths: Vec<usize> = (0..columns).map(width_of).collect();
    let gaps = indent + GAP * columns.saturating_sub(1);
    for (at, column) in breaks.iter().enumerate() {
        let others: usize = widths.iter().sum::<usize>() - widths.get(*column).copied().unwrap_or(0);
        let room = WIDTH.saturating_sub(gaps + others).max(LEAST);
        if let Some(width) = widths.get_mut(*column) {
            let is_last = at + 1 == breaks.len();
            *width = (*width).min(if is_last { room } else { room.max(MOST) });
        }
    }
    rows.iter().flat_map(|row| lay_out(indent, breaks, &widths, row)).collect()
}

fn lay_out(indent: usize, breaks: &[usize], widths: &[usize], row: &[Cell]) -> Vec<Line> {
    let parts: Vec<Vec<String>> = row
        .iter()
        .zip(widths)
        .enumerate()
        .map(
            |(column, (cell, width))| {
                if breaks.contains(&column) { wrap(&cell.text, *width) } else { vec![cell.text.clone()] }
            },
        )
        .collect();
    let height = parts.iter().map(Vec::len).max().unwrap_or(0);
    let mut lines = Vec::new();
    for at in 0..height {
        let mut line = Line::plain(" ".repeat(indent));
        let mut owed = 0;
        for ((cell, width), parts) in row.iter().zip(widths).zip(&parts) {
            let text = parts.get(at).map_or("", String::as_str);
            let blanks = width.saturating_sub(chars(text));
            let before = if cell.right { owed + blanks } else { owed };
            if text.is_empty() {
                owed += width + GAP;
            } else {
                line = line.and(Tone::Plain, " ".repeat(before)).and(cell.tone, text);
                owed = GAP + if cell.right { 0 } else { blanks };
            }
        }
        lines.push(line);
    }
    lines
}

/// Breaks a text at blanks into lines of at most `width` characters; a longer word stays whole.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let len = chars(word);
        if used > 0 && used + 1 + len > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
            used += len;
        }
    }
    lines
}

/// A number with a comma between thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 sentence`, `2 sentences`.
pub(crate) fn count(number: usize, one: &str) -> String {
    let mut out = grouped(number as u64);
    // Writing to a String cannot fail.
    let _ = write!(out, " {one}{}", if number == 1 { "" } else { "s" });
    out
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.0.iter().map(|(_, text)| text.as_str()).collect()).collect()
    }

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let rows = [
            vec![cell(Tone::Good, "allowed"), number(Tone::Plain, 7), cell(Tone::Plain, "ssh")],
            vec![cell(Tone::Bad, "no"), number(Tone::Plain, 1_234_567), cell(Tone::Plain, "a b")],
        ];
        assert_eq!(shown(&table(2, &[2], &rows)), ["  allowed          7  ssh", "  no       1,234,567  a b"]);
    }

    #[test]
    fn long_cells_break_and_nothing_else_repeats() {
        let words = "word ".repeat(30);
        let rows =
            [vec![cell(Tone::Plain, "one"), cell(Tone::Plain, words.trim()), cell(Tone::Faint, "place:1")]];
        let lines = shown(&table(2, &[1], &rows));
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| chars(line) <= WIDTH), "{lines:?}");
        assert!(lines[0].ends_with("place:1"));
        assert!(lines[1].starts_with("       word") && lines[1].ends_with("word"));
    }

    #[test]
    fn numbers_and_plurals() {
        assert_eq!([0, 999, 1000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(count(1, "sentence"), "1 sentence");
        assert_eq!(count(1200, "sentence"), "1,200 sentences");
    }
}
