//! Cuts a text into tokens that together are the text again; knows characters, not sentences.

use crate::report::{FileId, Report, Span};

/// A text above this is no policy; lists belong into files of their own.
pub(super) const LONGEST_TEXT: usize = 16 << 20;
/// A line above this is no sentence that anybody could read.
pub(super) const LONGEST_LINE: usize = 64 << 10;

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Anything without space, comma, `=`, quote or `#`.
    Word,
    /// `,`
    Comma,
    /// `=`
    Equals,
    /// `"…"`
    Quoted,
    /// The same in quotes of another kind.
    OddQuoted,
    /// A quote without its partner, and the rest of the line.
    OpenQuote,
    /// `#` to the end of the line.
    Comment,
    /// Spaces and tabs.
    Blank,
    /// The end of a line.
    Newline,
    /// What the language has no use for; reported where it stands.
    Junk,
}

/// A stretch of text and what it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Token {
    /// Whether sentences are made of it.
    pub(super) fn speaks(self) -> bool {
        !matches!(self.kind, Kind::Comment | Kind::Blank | Kind::Newline | Kind::Junk)
    }

    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or("")
    }

    pub(super) fn span(self, file: FileId) -> Span {
        Span { file, start: self.start, end: self.end }
    }
}

/// All tokens, in order and without gaps, and what is wrong with the characters; one report a line at most.
pub(super) fn tokens(file: FileId, text: &str) -> (Vec<Token>, Vec<Report>) {
    let mut lexer = Lexer { file, text, tokens: Vec::new(), reports: Vec::new() };
    let mut start = 0;
    while start < text.len() {
        let rest = text.get(start..).unwrap_or("");
        let end = rest.find('\n').map_or(text.len(), |at| start + at + 1);
        lexer.line(start, end);
        start = end;
    }
    (lexer.tokens, lexer.reports)
}

struct Lexer<'a> {
    file: FileId,
    text: &'a str,
    tokens: Vec<Token>,
    reports: Vec<Report>,
}

impl Lexer<'_> {
    /// One line with its newline.
    fn line(&mut self, start: usize, end: usize) {
        let text = self.text;
        let line = text.get(start..end).unwrap_or("");
        let content = line.strip_suffix('\n').map_or(line, |l| l.strip_suffix('\r').unwrap_or(l));
        let content_end = start + content.len();
        if content.len() > LONGEST_LINE {
            self.push(Kind::Junk, start, content_end);
            self.reports.push(
                Report::error(
                    "line-too-long",
                    self.span(start, start + 1),
                    format!("this line has {} bytes; {LONGEST_LINE} are the limit", content.len()),
                )
                .way_out("end a line behind a comma and go on in the next, or put addresses into a list: `define spam = file \"spam.txt\"`"),
            );
        } else {
            let before = self.reports.len();
            let mut at = start;
            while at < content_end {
                at = self.token(at, content_end, before);
            }
        }
        if content_end < end {
            self.push(Kind::Newline, content_end, end);
        }
    }

    /// The token at `at`; returns where it ends. `before` is how many reports the earlier lines have.
    fn token(&mut self, at: usize, line_end: usize, before: usize) -> usize {
        let rest = self.text.get(at..line_end).unwrap_or("");
        let Some(first) = rest.chars().next() else { return line_end };
        let fresh = self.reports.len() == before;
        let (kind, len) = match first {
            ',' => (Kind::Comma, 1),
            '=' => (Kind::Equals, 1),
            '#' => {
                let odd = rest
                    .char_indices()
                    .find(|(_, c)| forbidden(*c) && !matches!(c, '\u{200b}'..='\u{200d}' | '\u{feff}'));
                if let (Some((offset, c)), true) = (odd, fresh) {
                    self.odd_character(at + offset, c);
                }
                (Kind::Comment, rest.len())
            }
            c if blank(c) => {
                let len = rest.find(|c| !blank(c)).unwrap_or(rest.len());
                let run = rest.get(..len).unwrap_or("");
                let odd = run.char_indices().find(|(_, c)| !matches!(c, ' ' | '\t'));
                if let (Some((offset, c)), true) = (odd, fresh) {
                    self.odd_blank(at + offset, c);
                }
                (Kind::Blank, len)
            }
            c if forbidden(c) => {
                if fresh {
                    self.odd_character(at, c);
                }
                (Kind::Junk, c.len_utf8())
            }
            c if quote(c) => {
                let (kind, len) = quoted(c, rest);
                let odd = rest.get(..len).unwrap_or("").char_indices().find(|(_, c)| forbidden(*c));
                match odd {
                    Some((offset, c)) => {
                        if fresh {
                            self.odd_character(at + offset, c);
                        }
                        (Kind::Junk, len)
                    }
                    None => (kind, len),
                }
            }
            _ => (Kind::Word, rest.find(ends_word).unwrap_or(rest.len())),
        };
        self.push(kind, at, at + len);
        at + len
    }

    fn odd_character(&mut self, at: usize, c: char) {
        let span = self.span(at, at + c.len_utf8());
        let code = u32::from(c);
        let report = if at == 0 && c == '\u{feff}' {
            Report::error("byte-order-mark", span, "the text starts with a byte order mark").way_out(
                "save the file as UTF-8 without it, for example `sed -i '1s/^\\xEF\\xBB\\xBF//' policy.dw`",
            )
        } else if c == '\r' {
            Report::error("lone-carriage-return", span, "a carriage return stands inside the line")
                .label("end lines with a newline")
                .way_out("`sed -i 's/\\r/\\n/g' policy.dw` turns the line ends of old systems into newlines")
        } else if c.is_control() {
            Report::error(
                "control-character",
                span,
                format!("the character U+{code:04X} cannot be seen and does not belong into a policy"),
            )
            .label("take it out")
        } else if c == char::REPLACEMENT_CHARACTER {
            Report::error("not-utf-8", span, "this byte is not UTF-8")
                .label("take it out, or save the file as UTF-8")
        } else {
            Report::error(
                "hidden-character",
                span,
                format!(
                    "the character U+{code:04X} changes what the eye sees and does not belong into a policy"
                ),
            )
            .label("take it out")
        };
        self.reports.push(report);
    }

    fn odd_blank(&mut self, at: usize, c: char) {
        let span = self.span(at, at + c.len_utf8());
        let what = if c == '\u{a0}' {
            "a non-breaking space".to_owned()
        } else {
            format!("the blank U+{:04X}", u32::from(c))
        };
        self.reports.push(
            Report::error("odd-blank", span, format!("{what} stands between the words"))
                .label("type a plain space"),
        );
    }

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.tokens.push(Token { kind, start: offset(start), end: offset(end) });
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Span { file: self.file, start: offset(start), end: offset(end) }
    }
}

/// What starts with a quote, and how long it is.
fn quoted(open: char, rest: &str) -> (Kind, usize) {
    let inner = rest.get(open.len_utf8()..).unwrap_or("");
    let partner = |c: char| if open == '"' { c == '"' } else { quote(c) && c != '"' };
    match inner.char_indices().find(|(_, c)| partner(*c)) {
        Some((at, close)) => {
            let kind = if open == '"' { Kind::Quoted } else { Kind::OddQuoted };
            (kind, open.len_utf8() + at + close.len_utf8())
        }
        None => (Kind::OpenQuote, rest.len()),
    }
}

/// Blanks, also those that a word processor makes.
fn blank(c: char) -> bool {
    c == ' ' || c == '\t' || (c.is_whitespace() && !c.is_control())
}

/// Quotes, also those that a word processor makes.
fn quote(c: char) -> bool {
    matches!(c, '"' | '\'' | '`' | '\u{ab}' | '\u{bb}' | '\u{2018}'..='\u{201f}' | '\u{2039}' | '\u{203a}')
}

/// Control characters, and those that hide or turn round what is read.
fn forbidden(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2028}' | '\u{2029}' | '\u{feff}' | char::REPLACEMENT_CHARACTER)
}

fn ends_word(c: char) -> bool {
    matches!(c, ',' | '=' | '#') || blank(c) || quote(c) || forbidden(c)
}
