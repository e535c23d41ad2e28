//! A policy's text with its sentences: what reads it, and keeps every byte.

use super::ast::Sentence;
use super::lex::{self, Kind, Token};
use super::reader::MOST_REPORTS;
use super::{meant, value, words};
use crate::report::{FileId, Report, Span};
use std::ops::Range;

/// A text and what it says. Every byte is kept: comments, blank lines, blanks and line ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tree {
    file: FileId,
    text: String,
    tokens: Vec<Token>,
    lines: Vec<Line>,
    sentences: Vec<Sentence>,
    doubtful: Vec<String>,
}

/// One line of the language: several of the text where a comma ends them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// Its tokens, line ends included.
    pub(super) tokens: Range<usize>,
    /// Which sentence it is, if it is one.
    pub(super) sentence: Option<usize>,
}

impl Tree {
    /// The text, byte for byte.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> FileId {
        self.file
    }

    /// The sentences without mistakes, in the order of the text. What is refused for now is among them.
    #[must_use]
    pub fn sentences(&self) -> &[Sentence] {
        &self.sentences
    }

    /// Names that a mistaken `define` was about: nobody should call them unknown as well.
    #[must_use]
    pub fn doubtful_names(&self) -> &[String] {
        &self.doubtful
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Tokens of a stretch, as the lines give them.
    pub(super) fn tokens(&self, range: Range<usize>) -> &[Token] {
        self.tokens.get(range).unwrap_or(&[])
    }

    pub(super) fn all_tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The stretches that the text consists of, in order and without gaps.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| token.of(&self.text))
    }
}

/// Reads a text: all its sentences, and all mistakes in it. Never half fails and never panics.
#[must_use]
pub fn parse(file: FileId, text: &str) -> (Tree, Vec<Report>) {
    let mut tree = Tree {
        file,
        text: text.to_owned(),
        tokens: Vec::new(),
        lines: Vec::new(),
        sentences: Vec::new(),
        doubtful: Vec::new(),
    };
    if text.len() > lex::LONGEST_TEXT {
        let report = Report::error(
            "text-too-long",
            Span { file, start: 0, end: 0 },
            format!("this text has {} bytes; {} are the limit", text.len(), lex::LONGEST_TEXT),
        );
        return (tree, vec![report.way_out("put addresses into a list: `define spam = file \"spam.txt\"`")]);
    }
    let (tokens, characters) = lex::tokens(file, text);
    tree.tokens = tokens;
    let mut reports = Vec::new();
    let mut characters = characters.into_iter().peekable();
    let mut at = 0;
    while at < tree.tokens.len() {
        let end = line_end(&tree.tokens, at, text);
        let text_end = tree.tokens.get(end - 1).map_or(0, |token| token.end);
        let mut odd = Vec::new();
        while let Some(report) = characters.next_if(|report| report.span.start < text_end) {
            odd.push(report);
        }
        let speaking: Vec<Token> =
            tree.tokens[at..end].iter().copied().filter(|token| token.speaks()).collect();
        let sentence = if speaking.is_empty() {
            reports.append(&mut odd);
            None
        } else if odd.is_empty() {
            let (sentence, mut found) = meant::read(file, text, &speaking);
            if sentence.is_none() {
                tree.doubtful.extend(defined_name(text, &speaking));
            }
            reports.append(&mut found);
            sentence
        } else {
            say_without(&mut odd, text, &speaking);
            tree.doubtful.extend(defined_name(text, &speaking));
            reports.append(&mut odd);
            None
        };
        let index = sentence.map(|sentence| {
            tree.sentences.push(sentence);
            tree.sentences.len() - 1
        });
        tree.lines.push(Line { tokens: at..end, sentence: index });
        at = end;
        if reports.len() > MOST_REPORTS {
            reports.truncate(MOST_REPORTS);
            break_off(&mut reports);
            tree.lines.push(Line { tokens: at..tree.tokens.len(), sentence: None });
            break;
        }
    }
    (tree, reports)
}

/// Reads exactly one sentence, as the command line says it.
pub fn parse_sentence(file: FileId, text: &str) -> Result<Sentence, Vec<Report>> {
    let (tree, mut reports) = parse(file, text);
    let mut sentences = tree.sentences.into_iter();
    match (sentences.next(), sentences.next()) {
        (Some(sentence), None) if reports.is_empty() => return Ok(sentence),
        (None, _) if reports.is_empty() => reports.push(
            Report::error("no-sentence", Span { file, start: 0, end: 0 }, "there is no sentence here")
                .way_out("say one, for example `allow ssh from office`"),
        ),
        (_, Some(second)) if reports.is_empty() => reports.push(
            Report::error("more-sentences", second.span, "one sentence at a time")
                .label("say this one in a command of its own"),
        ),
        _ => {}
    }
    Err(reports)
}

/// Behind the last token of the line that starts at `at`: where a newline follows no comma.
fn line_end(tokens: &[Token], at: usize, text: &str) -> usize {
    let mut last: Option<Token> = None;
    let mut verb = "";
    let mut index = at;
    while let Some(token) = tokens.get(index) {
        index += 1;
        if token.speaks() {
            if last.is_none() {
                verb = token.of(text);
            }
            last = Some(*token);
        }
        if token.kind == Kind::Newline
            && !(last.is_some_and(|last| last.kind == Kind::Comma) && goes_on(tokens, index, text, verb))
        {
            break;
        }
    }
    index
}

/// Whether the line behind a comma belongs to it: an empty one, or one that begins a sentence, does not.
fn goes_on(tokens: &[Token], at: usize, text: &str, verb: &str) -> bool {
    let Some(rest) = tokens.get(at..) else { return false };
    match rest.iter().find(|token| token.kind != Kind::Blank) {
        None => false,
        Some(token) => match token.kind {
            Kind::Newline => false,
            Kind::Word => verb == "default" || !words::is_verb(token.of(text)),
            _ => true,
        },
    }
}

/// Adds the sentence that was meant to what is said about characters.
fn say_without(reports: &mut [Report], text: &str, tokens: &[Token]) {
    let last = tokens.last().map_or(0, |token| token.end);
    // In a comment, nothing is wrong with the sentence.
    if reports.first().is_some_and(|report| report.span.start >= last) {
        return;
    }
    if let Some(meant) = meant::without_odd_characters(text, tokens)
        && let Some(report) = reports.first_mut()
    {
        report.ways_out.insert(0, format!("write `{meant}`"));
    }
}

fn defined_name(text: &str, tokens: &[Token]) -> Option<String> {
    let mut words = tokens.iter().map(|token| token.of(text));
    (words.next() == Some("define"))
        .then(|| words.next())?
        .filter(|name| value::is_name(name))
        .map(str::to_owned)
}

fn break_off(reports: &mut Vec<Report>) {
    let Some(span) = reports.last().map(|report| report.span) else { return };
    reports.push(
        Report::error(
            "too-many-mistakes",
            span,
            format!("{MOST_REPORTS} mistakes are enough; the rest was not read"),
        )
        .way_out("is this a policy? `doorward list services` and the man page show the language"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::write;

    fn read(text: &str) -> (Vec<String>, Vec<&'static str>) {
        let (tree, reports) = parse(FileId(0), text);
        assert_eq!(tree.text(), text);
        assert_eq!(tree.pieces().collect::<String>(), text);
        (
            tree.sentences().iter().map(write::sentence).collect(),
            reports.iter().map(|report| report.id).collect(),
        )
    }

    #[test]
    fn every_line_is_a_sentence_of_its_own() {
        let (said, wrong) = read("allow ssh # a\r\n\n  allow http,   # b\n\t# c\n  https\nblock from spam");
        assert_eq!(said, ["allow ssh", "allow http, https", "block from spam"]);
        assert!(wrong.is_empty());
    }

    #[test]
    fn a_comma_does_not_swallow_the_next_sentence() {
        let (said, wrong) =
            read("allow ssh,\nallow http\nallow smtp,\n\nimap\ndefault block in,\n allow out\n");
        assert_eq!(said, ["allow http", "default block in, allow out"]);
        assert_eq!(wrong, ["dangling-comma", "dangling-comma", "unknown-verb"]);
    }

    #[test]
    fn all_mistakes_in_one_run() {
        let (said, wrong) = read("deny ssh\nallow 80, 443\nallow ping\nallow http from 1.2.3.4/8, 010.0.0.1");
        assert_eq!(said, ["allow ping"]);
        assert_eq!(wrong, ["foreign-verb", "port-alone", "port-alone", "host-bits", "leading-zeros"]);
    }

    #[test]
    fn a_broken_definition_leaves_its_name() {
        let (tree, _) = parse(FileId(0), "define office = 1.2.3.4/8\ndefine = 2\ndefine allow = x");
        assert_eq!(tree.doubtful_names(), ["office"]);
    }
}
