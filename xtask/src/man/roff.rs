//! Text for man pages: what roff would misread is escaped, and a little Markdown becomes macros; knows no command.

/// Text inside a line; backquotes and double stars make it bold.
pub(super) fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut bold = false;
    let mut code = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if c == '`' || !code && rest.starts_with("**") {
            rest = &rest[if c == '`' { 1 } else { 2 }..];
            code ^= c == '`';
            bold = !bold;
            out.push_str(if bold { "\\fB" } else { "\\fR" });
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '…' => out.push_str("..."),
            c => out.push(c),
        }
    }
    out
}

/// A line of text that no macro is; bold is for `inline`.
pub(super) fn line(text: &str) -> String {
    let text = inline(text);
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

/// Lines as they are, indented.
pub(super) fn block<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::from(".PP\n.RS 4\n.nf\n");
    for text in lines {
        // What looks like bold is meant as it stands here.
        let plain = inline(&text.replace('`', "\u{1}").replace('*', "\u{2}"));
        let plain = plain.replace('\u{1}', "\\(ga").replace('\u{2}', "*");
        let guard = if plain.starts_with('.') { "\\&" } else { "" };
        out.extend([guard, &plain, "\n"]);
    }
    out + ".fi\n.RE\n"
}

/// A tag and what it stands for.
pub(super) fn tagged(tag: &str, text: &str) -> String {
    format!(".TP\n{}\n{}\n", line(tag), line(text))
}

/// Markdown without its title: headings, paragraphs, lists, tables and fenced blocks.
pub(super) fn markdown(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(first) = lines.next() {
        if let Some(heading) = first.strip_prefix("## ") {
            out.extend([".SH ", &inline(&heading.to_uppercase()), "\n"]);
        } else if first.starts_with("```") {
            out.push_str(&block(lines.by_ref().take_while(|line| *line != "```")));
        } else if first.starts_with('|') {
            // The head and the rule below it say nothing on a page of tags.
            lines.next();
            while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                let (tag, text) = row.trim_matches(['|', ' ']).split_once(" | ").unwrap_or((row, ""));
                out.push_str(&tagged(tag, text));
            }
        } else if !first.is_empty() && !first.starts_with(['#', '<']) {
            let item = first.strip_prefix("- ");
            // Behind a heading a paragraph begins by itself.
            let heads = out.lines().last().is_none_or(|line| line.starts_with(".SH"));
            out.push_str(if item.is_some() {
                ".IP \\(bu 2\n"
            } else if heads {
                ""
            } else {
                ".PP\n"
            });
            let mut paragraph = item.unwrap_or(first).to_owned();
            let goes_on = |line: &&str| !line.is_empty() && !line.starts_with(['#', '`', '|', '-']);
            // A word in backquotes may begin a line of a paragraph; a fence may not.
            while let Some(more) =
                lines.next_if(|line| goes_on(line) || line.starts_with('`') && !line.starts_with("```"))
            {
                paragraph.push(' ');
                paragraph.push_str(more.trim());
            }
            out.extend([line(&paragraph).as_str(), "\n"]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{block, inline, line, markdown};

    #[test]
    fn nothing_is_taken_for_a_macro() {
        assert_eq!(line(".PP is text"), "\\&.PP is text");
        assert_eq!(inline("a `b\\c` **d** e-f"), "a \\fBb\\ec\\fR \\fBd\\fR e\\-f");
        assert!(block([".x", "`y` *z"].into_iter()).contains("\\&.x\n\\(gay\\(ga *z\n"));
    }

    #[test]
    fn a_little_markdown() {
        let page = markdown(
            "# title\n\n## Head\n\none\n`two`\n\n- three\n  four\n\n| a | b |\n|---|---|\n| `c` | d |\n",
        );
        let expected = ".SH HEAD\none \\fBtwo\\fR\n.IP \\(bu 2\nthree four\n.TP\n\\fBc\\fR\nd\n";
        assert_eq!(page, expected);
    }
}
