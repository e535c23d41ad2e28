//! Lays a text out anew: same sentences, same comments, one look; judges nothing but looks.

use super::lex::{Kind, Token};
use super::reader::join;
use super::tree::{Line, Tree, parse};
use super::write;
use crate::report::{FileId, Report};

/// How far the lines of a sentence behind its first stand in.
const INDENT: &str = "    ";
/// A line longer than this does not push the comments of its neighbours away.
const WIDEST: usize = 72;

/// One line of the result.
enum Row {
    Blank,
    /// A comment on its own; one inside a sentence stands in with it.
    Comment {
        text: String,
        inside: bool,
    },
    Code {
        text: String,
        comment: Option<String>,
    },
}

/// The text as it should look: what `fmt` writes. Doing it twice changes nothing more.
///
/// A sentence in one line gets its canonical form; one over several lines keeps its order and its
/// line ends. Comments and blank lines stay, at most one blank line in a row. The `=` of
/// definitions and the comments behind sentences are aligned within lines that follow each other.
/// A text with mistakes is not laid out: these are returned.
pub fn format(file: FileId, text: &str) -> Result<String, Vec<Report>> {
    let (tree, reports) = parse(file, text);
    if !reports.is_empty() {
        return Err(reports);
    }
    let mut rows = Vec::new();
    for line in tree.lines() {
        of_line(&tree, line, &mut rows);
    }
    rows.dedup_by(|b, a| matches!((a, b), (Row::Blank, Row::Blank)));
    let start = usize::from(matches!(rows.first(), Some(Row::Blank)));
    let end = rows.len() - usize::from(rows.len() > start && matches!(rows.last(), Some(Row::Blank)));
    let mut out = String::with_capacity(text.len());
    for block in rows.get_mut(start..end).unwrap_or(&mut []).chunk_by_mut(|a, b| is_code(a) && is_code(b)) {
        align_definitions(block);
        write_block(block, &mut out);
    }
    Ok(out)
}

fn is_code(row: &Row) -> bool {
    matches!(row, Row::Code { .. })
}

fn of_line(tree: &Tree, line: &Line, rows: &mut Vec<Row>) {
    let tokens = tree.tokens(line.tokens.clone());
    let physical: Vec<&[Token]> = tokens.split_inclusive(|token| token.kind == Kind::Newline).collect();
    let sentence = line.sentence.and_then(|at| tree.sentences().get(at));
    for (at, tokens) in physical.iter().enumerate() {
        let comment = tokens.iter().find(|token| token.kind == Kind::Comment);
        let comment = comment.map(|token| token.of(tree.text()).trim_end().to_owned());
        let words = join(tokens.iter().filter(|token| token.speaks()).map(|token| token.of(tree.text())));
        rows.push(match (words.is_empty(), comment) {
            (true, None) => Row::Blank,
            (true, Some(text)) => Row::Comment { text, inside: at > 0 },
            (false, comment) => {
                let text = match sentence {
                    Some(sentence) if physical.len() == 1 => write::sentence(sentence),
                    _ if at > 0 => format!("{INDENT}{words}"),
                    _ => words,
                };
                Row::Code { text, comment }
            }
        });
    }
}

/// Brings the `=` of definitions that follow each other under each other.
fn align_definitions(block: &mut [Row]) {
    let name_end = |row: &Row| match row {
        Row::Code { text, .. } if text.starts_with("define ") => text.find(" ="),
        _ => None,
    };
    for run in block.chunk_by_mut(|a, b| name_end(a).is_some() == name_end(b).is_some()) {
        let widest = run.iter().filter_map(name_end).max().unwrap_or(0);
        for row in run {
            if let (Some(end), Row::Code { text, .. }) = (name_end(row), row) {
                text.insert_str(end, &" ".repeat(widest - end));
            }
        }
    }
}

fn write_block(block: &[Row], out: &mut String) {
    let width = |text: &str| text.chars().count();
    let commented = |row: &Row| match row {
        Row::Code { text, comment: Some(_) } => Some(width(text)),
        _ => None,
    };
    let column = block.iter().filter_map(commented).filter(|width| *width <= WIDEST).max().unwrap_or(0);
    for row in block {
        match row {
            Row::Blank => {}
            Row::Comment { text, inside } => {
                out.push_str(if *inside { INDENT } else { "" });
                out.push_str(text);
            }
            Row::Code { text, comment } => {
                out.push_str(text);
                if let Some(comment) = comment {
                    let gap = column.saturating_sub(width(text)) + 2;
                    out.push_str(&" ".repeat(gap));
                    out.push_str(comment);
                }
            }
        }
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(text: &str) -> String {
        let once = format(FileId(0), text).expect("a policy");
        assert_eq!(format(FileId(0), &once).as_deref(), Ok(once.as_str()), "twice is once");
        once
    }

    #[test]
    fn blocks_are_aligned_each_for_itself() {
        assert_eq!(
            laid_out("define  a=1.2.3.4 # x\ndefine office = 5.6.7.8   # y\n\n\n\nallow  ssh#z\n  # w  \n\n"),
            "define a      = 1.2.3.4  # x\ndefine office = 5.6.7.8  # y\n\nallow ssh  # z\n# w\n"
                .replace("# z", "#z")
        );
    }

    #[test]
    fn long_lines_do_not_push() {
        let long = format!("allow ssh from {}", ["203.0.113.1"; 8].join(", "));
        assert_eq!(
            laid_out(&format!("{long} # a\nallow http # b")),
            format!("{long}  # a\nallow http  # b\n")
        );
    }

    #[test]
    fn lines_of_a_sentence_stay() {
        assert_eq!(
            laid_out(
                "allow http ,# web\n# more\n\thttps from office\r\nallow ssh limit 6/minute from office"
            ),
            "allow http,  # web\n    # more\n    https from office\nallow ssh from office limit 6/minute\n"
        );
    }

    #[test]
    fn nothing_stays_nothing_and_mistakes_stay_as_they_are() {
        assert_eq!(laid_out(""), "");
        assert_eq!(laid_out("\n\n \n"), "");
        assert!(format(FileId(0), "alow ssh").is_err());
    }
}
