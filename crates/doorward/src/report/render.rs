//! A report as text, in the house style: place and message, the line with carets, the ways out.

use super::{Report, Severity, Sources, Span};
use std::fmt::Write;

impl Report {
    /// The report as lines of text without colour, ending in a newline.
    ///
    /// ```text
    /// policy.dw:14:10: `shh` is not a service
    ///   14 │ allow in shh from office
    ///      │          ^^^ did you mean `ssh`?
    /// ```
    #[must_use]
    pub fn render(&self, sources: &Sources) -> String {
        let mut out = String::new();
        let kind = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}: {kind}{}", sources.place(self.span), self.message);
        snippet(&mut out, sources, self.span, &self.label);
        if let Some((span, text)) = &self.other {
            let _ = writeln!(out, "{}: {text}", sources.place(*span));
            snippet(&mut out, sources, *span, "");
        }
        for way in &self.ways_out {
            let _ = writeln!(out, "  {way}");
        }
        out.chars().map(printable).collect()
    }
}

/// The line of a span with carets under it.
fn snippet(out: &mut String, sources: &Sources, span: Span, label: &str) {
    let place = sources.place(span);
    let text = sources.text(span.file);
    let start = span.start as usize;
    let line_start = text.get(..start).and_then(|t| t.rfind('\n')).map_or(0, |at| at + 1);
    let line = text.get(line_start..).unwrap_or("").lines().next().unwrap_or("");
    let number = place.line.to_string();
    let mut before = place.column.saturating_sub(1) as usize;
    let shown = window(line, &mut before);
    let _ = writeln!(out, "  {number} │ {shown}");
    let in_line = line.get(start - line_start..).unwrap_or("").len();
    let width = sources
        .text(span.file)
        .get(start..start + in_line.min((span.end.saturating_sub(span.start)) as usize))
        .map_or(1, |t| t.chars().count())
        .clamp(1, shown.chars().count().saturating_sub(before).max(1));
    let gap = if label.is_empty() { "" } else { " " };
    let _ =
        writeln!(out, "  {:pad$} │ {:before$}{}{gap}{label}", "", "", "^".repeat(width), pad = number.len());
}

/// A longer line is shown around its carets only.
const WIDEST: usize = 160;

/// The part of a line that is shown; `before`, the column of the carets, is moved with it.
fn window(line: &str, before: &mut usize) -> String {
    let printed = |from: usize, count: usize| line.chars().skip(from).take(count);
    let from = before.saturating_sub(WIDEST / 2);
    let more = line.chars().nth(from + WIDEST).is_some();
    if from == 0 && !more {
        return printed(0, WIDEST).collect();
    }
    let start = if from == 0 { "" } else { "…" };
    *before = *before - from + start.chars().count();
    start.chars().chain(printed(from, WIDEST)).chain(more.then_some('…')).collect()
}

/// What commands a terminal, or turns the direction of writing, never reaches one from a policy, be it
/// in the line shown or quoted in a message; a tab keeps its place as one blank.
fn printable(c: char) -> char {
    match c {
        '\n' => '\n',
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Report, Sources, Span};

    #[test]
    fn carets_stand_under_characters_not_bytes() {
        let mut sources = Sources::default();
        let file = sources.add("policy.dw", "# ü\nallow ü shh # ü\n");
        let start = u32::try_from("# ü\nallow ü ".len()).expect("short");
        let report =
            Report::error("unknown-service", Span { file, start, end: start + 3 }, "`shh` is not a service")
                .label("did you mean `ssh`?")
                .way_out("`doorward list services` shows all of them");
        assert_eq!(
            report.render(&sources),
            "policy.dw:2:9: `shh` is not a service\n  2 │ allow ü shh # ü\n    │         ^^^ did you mean `ssh`?\n  `doorward list services` shows all of them\n"
        );
    }

    /// Found by fuzzing: the line was cleaned, and the message quoted the same characters as they were.
    #[test]
    fn nothing_commands_the_terminal() {
        let mut sources = Sources::default();
        let file = sources.add("p\u{1b}[2J", "allow \u{1b}]0;x\u{7}\u{202e}\n");
        let said = Report::error("x", Span { file, start: 6, end: 12 }, "`\u{1b}]0;x` is no thing")
            .label("\u{9b}31m")
            .way_out("\u{2066}\tway")
            .other(Span { file, start: 0, end: 5 }, "\r")
            .render(&sources);
        assert!(said.contains("\u{fffd}]0;x\u{fffd}\u{fffd}"), "{said:?}");
        assert!(
            !said.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{2066}', '\t', '\r']),
            "{said:?}"
        );
    }

    /// What reverses or hides text is replaced, and a long line is cut around its carets.
    #[test]
    fn a_terminal_is_not_fooled() {
        let mut sources = Sources::default();
        let file = sources.add("p", format!("a\u{202e}b\n{}ssh{}", "x".repeat(300), "y".repeat(300)));
        let odd = Report::error("x", Span { file, start: 1, end: 4 }, "m").render(&sources);
        assert_eq!(odd, "p:1:2: m\n  1 │ a\u{fffd}b\n    │  ^\n");
        let long =
            Report::error("x", Span { file, start: 306, end: 309 }, "m").label("here").render(&sources);
        let lines: Vec<&str> = long.lines().collect();
        assert_eq!(lines[1], format!("  2 │ …{}ssh{}…", "x".repeat(80), "y".repeat(77)));
        assert_eq!(lines[2], format!("    │ {}^^^ here", " ".repeat(81)));
    }

    /// A span at the end of the text, and one past it, must not panic.
    #[test]
    fn places_at_the_end() {
        let mut sources = Sources::default();
        let file = sources.add("p", "allow");
        for start in [5, 6, 100] {
            let _ = Report::error("x", Span { file, start, end: start + 1 }, "m").render(&sources);
        }
    }
}
