//! The words of one sentence in a row, and what is wrong with them; knows no verb and no clause.

use super::lex::{Kind, Token};
use super::value::Mistake;
use super::words;
use crate::report::{FileId, Report, Severity, Span, Spanned};

/// A change that would make the sentence what was meant: these tokens become this text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fix {
    pub(super) first: usize,
    /// Behind the last.
    pub(super) end: usize,
    pub(super) text: String,
}

/// The rest of a sentence makes no sense any more; why is among the reports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop;

/// After so many mistakes a text is no policy, and a list of them helps nobody.
pub(super) const MOST_REPORTS: usize = 1000;

/// How the ids of reports start that refuse what a later version brings.
pub(super) const NOT_YET: &str = "not-yet-";

pub(super) type Read<T> = Result<T, Stop>;

/// Reads the tokens of one sentence from left to right.
pub(super) struct Reader<'a> {
    file: FileId,
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
    pub(super) reports: Vec<Report>,
    pub(super) fixes: Vec<Fix>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: FileId, text: &'a str, tokens: &'a [Token]) -> Reader<'a> {
        Reader { file, text, tokens, at: 0, reports: Vec::new(), fixes: Vec::new() }
    }

    /// Which token comes next.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn kind(&self, ahead: usize) -> Option<Kind> {
        self.tokens.get(self.at + ahead).map(|token| token.kind)
    }

    /// The next token but `ahead`, if it is a word.
    pub(super) fn word_ahead(&self, ahead: usize) -> Option<&'a str> {
        let token = self.tokens.get(self.at + ahead).filter(|token| token.kind == Kind::Word)?;
        Some(token.of(self.text))
    }

    /// The next token, if it is a word.
    pub(super) fn word(&self) -> Option<&'a str> {
        self.word_ahead(0)
    }

    /// The text of a token by its position.
    pub(super) fn text_at(&self, position: usize) -> &'a str {
        self.tokens.get(position).map_or("", |token| token.of(self.text))
    }

    /// The place of the next token; behind the last one at the end.
    pub(super) fn here(&self) -> Span {
        self.span_at(self.at)
    }

    pub(super) fn span_at(&self, position: usize) -> Span {
        match (self.tokens.get(position), self.tokens.last()) {
            (Some(token), _) => token.span(self.file),
            (None, Some(last)) => Span { file: self.file, start: last.end, end: last.end },
            (None, None) => Span { file: self.file, start: 0, end: 0 },
        }
    }

    /// From the token at `first` to the one just read.
    pub(super) fn since(&self, first: usize) -> Span {
        let start = self.span_at(first);
        if self.at <= first + 1 { start } else { start.to(self.span_at(self.at - 1)) }
    }

    pub(super) fn step(&mut self) -> Span {
        let span = self.here();
        self.at += 1;
        span
    }

    /// Takes the next word if it is this one.
    pub(super) fn eat(&mut self, word: &str) -> Option<Span> {
        (self.word() == Some(word)).then(|| self.step())
    }

    /// Takes the next token if it is of this kind.
    pub(super) fn eat_kind(&mut self, kind: Kind) -> Option<Span> {
        (self.kind(0) == Some(kind)).then(|| self.step())
    }

    pub(super) fn next_is(&self, kind: Kind) -> bool {
        self.kind(0) == Some(kind)
    }

    /// Files a mistake and goes on.
    pub(super) fn say(&mut self, report: Report) {
        if self.reports.len() <= MOST_REPORTS {
            self.reports.push(report);
        }
    }

    /// Files a mistake that ends the reading of this sentence.
    pub(super) fn stop<T>(&mut self, report: Report) -> Read<T> {
        self.say(report);
        Err(Stop)
    }

    /// Notes what the tokens from `first` up to `end` should have been.
    pub(super) fn fix(&mut self, first: usize, end: usize, text: impl Into<String>) {
        if self.fixes.len() > MOST_REPORTS {
            return;
        }
        self.fixes.push(Fix { first, end, text: text.into() });
    }

    /// Files what is wrong with the token at `position`, and its fix.
    pub(super) fn wrong(&mut self, position: usize, mistake: &Mistake) {
        let report = mistake.at(self.span_at(position));
        if let Some(fix) = &mistake.fix {
            self.fix(position, position + 1, fix.clone());
        }
        self.say(report);
    }

    /// Whether a mistake was found so far; what is refused for now was read well.
    pub(super) fn is_broken(&self) -> bool {
        self.reports
            .iter()
            .any(|report| report.severity == Severity::Error && !report.id.starts_with(NOT_YET))
    }

    /// Behind the last token.
    pub(super) fn end_position(&self) -> usize {
        self.tokens.len()
    }

    /// Reads the next word with `read`; a mistake is filed and the word passed over.
    pub(super) fn value<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&'a str) -> Result<T, Mistake>,
    ) -> Read<Option<Spanned<T>>> {
        // The next clause begins already.
        if self.word().is_some_and(words::is_clause) {
            return self.missing(what);
        }
        self.any(what, read)
    }

    /// The same for a word that may be one of the language.
    pub(super) fn any<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&'a str) -> Result<T, Mistake>,
    ) -> Read<Option<Spanned<T>>> {
        let position = self.at;
        let word = self.unquoted(what)?;
        let span = self.step();
        match read(word) {
            Ok(node) => Ok(Some(Spanned::new(node, span))),
            Err(mistake) => {
                self.wrong(position, &mistake);
                Ok(None)
            }
        }
    }

    /// The next word, not taken yet; quotes around it are a mistake that is passed over.
    fn unquoted(&mut self, what: &str) -> Read<&'a str> {
        match self.kind(0) {
            Some(Kind::Word) => Ok(self.word().unwrap_or("")),
            Some(Kind::Quoted | Kind::OddQuoted) => {
                let quoted = self.text_at(self.at);
                let inner = inside_quotes(quoted);
                let span = self.here();
                let report =
                    Report::error("quotes-around-name", span, format!("{what} stands without quotes"));
                if inner.contains([' ', '\t', ',', '=', '#']) || inner.is_empty() {
                    return self.stop(report.label("only names of files stand in quotes"));
                }
                self.say(report.label(format!("did you mean `{inner}`?")));
                self.fix(self.at, self.at + 1, inner);
                Ok(inner)
            }
            _ => self.missing(what),
        }
    }

    /// Files that something is missing here.
    pub(super) fn missing<T>(&mut self, what: &str) -> Read<T> {
        let (span, before) = (self.here(), self.text_at(self.at.saturating_sub(1)));
        let message = match self.kind(0) {
            None if before == "," => return self.dangling(),
            None => format!("behind `{before}` {what} is missing"),
            Some(Kind::Comma) if before != "," => {
                format!("between `{before}` and the comma {what} is missing")
            }
            Some(Kind::Comma) => return self.double_comma(),
            Some(_) => format!("before `{}` {what} is missing", self.text_at(self.at)),
        };
        self.stop(Report::error("missing-word", span, message).label(format!("{what} stands here")))
    }

    fn dangling<T>(&mut self) -> Read<T> {
        let comma = self.at.saturating_sub(1);
        let span = self.span_at(comma);
        self.fix(comma, self.at, "");
        self.stop(
            Report::error("dangling-comma", span, "the comma promises more, but the sentence ends here")
                .label("take it out, or go on in the next line"),
        )
    }

    fn double_comma<T>(&mut self) -> Read<T> {
        let span = self.here();
        self.fix(self.at, self.at + 1, "");
        self.stop(Report::error("double-comma", span, "two commas stand in a row").label("one is enough"))
    }

    /// Items with commas between; an item that is none has been filed and is left out.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Read<Option<T>>) -> Read<Vec<T>> {
        let mut items = Vec::new();
        loop {
            items.extend(item(self)?);
            if self.eat_kind(Kind::Comma).is_none() {
                return Ok(items);
            }
            let comma = self.at - 1;
            if let Some(word) = self.word()
                && words::is_clause(word)
                && !self.opaque_here()
            {
                let span = self.span_at(comma);
                self.fix(comma, comma + 1, "");
                self.say(
                    Report::error("comma-before-clause", span, format!("no comma stands before `{word}`"))
                        .label("take it out"),
                );
                return Ok(items);
            }
        }
    }

    /// Whether the next word may be a name of somebody else's making although it is a word of the language.
    pub(super) fn opaque_here(&self) -> bool {
        match self.word() {
            Some(word) if words::is_keyword(word) => match self.word_ahead(1) {
                Some(next) => words::is_clause(next),
                None => matches!(self.kind(1), None | Some(Kind::Comma)),
            },
            Some(_) => true,
            None => false,
        }
    }

    /// A word that the language does not choose: an interface, an account, a type.
    pub(super) fn opaque<T>(
        &mut self,
        what: &str,
        read: impl FnOnce(&'a str) -> Result<T, Mistake>,
    ) -> Read<Option<Spanned<T>>> {
        if self.word().is_some() && !self.opaque_here() {
            return self.missing(what);
        }
        self.any(what, read)
    }

    /// A string in quotes: the name of a file or the address of a feed.
    pub(super) fn string(&mut self, what: &str) -> Read<Option<Spanned<String>>> {
        let (position, span, text) = (self.at, self.here(), self.text_at(self.at));
        match self.kind(0) {
            Some(Kind::Quoted) => {
                self.step();
                let inner = inside_quotes(text);
                if inner.trim().is_empty() {
                    self.say(
                        Report::error("empty-string", span, format!("between the quotes {what} is missing"))
                            .label(format!("{what} stands here")),
                    );
                    return Ok(None);
                }
                Ok(Some(Spanned::new(inner.to_owned(), span)))
            }
            Some(Kind::OddQuoted) => {
                self.step();
                let meant = format!("\"{}\"", inside_quotes(text));
                self.fix(position, position + 1, meant.clone());
                self.say(
                    Report::error(
                        "odd-quotes",
                        span,
                        "only plain double quotes go around the name of a file",
                    )
                    .label(format!("did you mean `{meant}`?")),
                );
                Ok(None)
            }
            Some(Kind::Word) => {
                self.step();
                let meant = format!("\"{text}\"");
                self.fix(position, position + 1, meant.clone());
                self.say(
                    Report::error("missing-quotes", span, format!("{what} stands in quotes"))
                        .label(format!("did you mean `{meant}`?")),
                );
                Ok(None)
            }
            _ => self.missing(what),
        }
    }

    /// The sentence with all fixes made, as one line; none if there are none, or they overlap.
    pub(super) fn fixed(&self) -> Option<String> {
        if self.fixes.is_empty() {
            return None;
        }
        let mut fixes = self.fixes.clone();
        fixes.sort_by_key(|fix| (fix.first, fix.end));
        let mut pieces: Vec<&str> = Vec::new();
        let mut at = 0;
        for fix in &fixes {
            if fix.first < at {
                return None;
            }
            pieces.extend((at..fix.first).map(|position| self.text_at(position)));
            pieces.push(&fix.text);
            at = fix.end;
        }
        pieces.extend((at..self.tokens.len()).map(|position| self.text_at(position)));
        Some(join(pieces.into_iter()))
    }
}

/// What stands between two quotes of any kind.
fn inside_quotes(quoted: &str) -> &str {
    let mut chars = quoted.chars();
    chars.next();
    chars.next_back();
    chars.as_str()
}

/// Tokens as a line: a blank between two, none before a comma.
pub(super) fn join<'a>(pieces: impl Iterator<Item = &'a str>) -> String {
    let mut line = String::new();
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        if !line.is_empty() && !piece.starts_with(',') {
            line.push(' ');
        }
        line.push_str(piece);
    }
    line
}
