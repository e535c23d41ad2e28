//! Finds the sentence that a mistaken one was meant to be, and shows none that would be a mistake again.

use super::ast::Sentence;
use super::lex::{self, Kind, Token};
use super::reader::{Reader, join};
use super::{foreign, verbs, write};
use crate::report::{FileId, Report};

/// Above this a sentence is not said again in a message.
const LONGEST: usize = 400;
/// A mistake may stand behind another; this many are put right in one answer.
const ROUNDS: usize = 6;

/// The sentence of these tokens, and what is wrong with it.
pub(super) fn read(file: FileId, text: &str, tokens: &[Token]) -> (Option<Sentence>, Vec<Report>) {
    if let Some(open) = tokens.iter().find(|token| token.kind == Kind::OpenQuote) {
        return (None, vec![open_quote(file, text, tokens, *open)]);
    }
    if let Some((at, token)) = tokens.iter().enumerate().find(|(_, token)| starts_comment(token.of(text))) {
        return (None, vec![foreign_comment(file, text, tokens.get(..at).unwrap_or(&[]), *token)]);
    }
    let (sentence, mut reports) = said(file, text, tokens);
    for report in &mut reports {
        clip(&mut report.message);
        clip(&mut report.label);
        report.ways_out.iter_mut().for_each(clip);
    }
    (sentence, reports)
}

/// A quote that is not closed; what would stand in it is the rest of the line.
fn open_quote(file: FileId, text: &str, tokens: &[Token], open: Token) -> Report {
    let report = Report::error("unclosed-quote", open.span(file), "the quote is not closed in this line")
        .label("set the closing quote, or take this one out");
    let said = open.of(text).trim_end();
    let closed = format!("\"{}\"", said.get(1..).unwrap_or(""));
    let line = |last: &str| {
        join(tokens.iter().map(|token| if token.start == open.start { last } else { token.of(text) }))
    };
    let meant = if said.starts_with('"') { settle(&line(&closed), 0) } else { None };
    match meant {
        Some(meant) => report.way_out(format!("write `{meant}`")),
        None => report,
    }
}

/// How comments start elsewhere, or stand apart from the words.
fn starts_comment(word: &str) -> bool {
    word == "--" || word.starts_with("//") || word.starts_with("/*")
}

/// `mark` starts what was meant as a comment, behind `sentence`.
fn foreign_comment(file: FileId, text: &str, sentence: &[Token], mark: Token) -> Report {
    let mut shown = mark.of(text).to_owned();
    clip(&mut shown);
    let report =
        Report::error("foreign-comment", mark.span(file), format!("`{shown}` starts no comment here"))
            .label("a comment starts with `#`");
    match settle(&join(sentence.iter().map(|token| token.of(text))), 0) {
        Some(meant) => {
            report.way_out(format!("write `{meant}`")).way_out("and behind it the comment, after a `#`")
        }
        None => report,
    }
}

/// Keeps both ends of a text that a message cannot bear.
fn clip(text: &mut String) {
    if text.len() > LONGEST + 100 {
        let start: String = text.chars().take(100).collect();
        let end: Vec<char> = text.chars().rev().take(100).collect();
        *text = start + " … " + &end.into_iter().rev().collect::<String>();
    }
}

fn said(file: FileId, text: &str, tokens: &[Token]) -> (Option<Sentence>, Vec<Report>) {
    let mut reader = Reader::new(file, text, tokens);
    let sentence = verbs::sentence(&mut reader);
    if !reader.is_broken() {
        return (sentence, reader.reports);
    }
    let fixed = reader.fixed();
    let own = fixed.as_ref().and_then(|line| settle(line, 0));
    let whole = whole(text, tokens);
    let meant = whole.as_ref().and_then(|whole| whole.meant.clone()).and_then(|line| settle(&line, 0));
    if let (Some(whole), Some(first), Some(last)) = (whole, tokens.first(), tokens.last())
        && (whole.sure || meant.is_some() && own.is_none())
    {
        let span = first.span(file).to(last.span(file));
        let mut report = Report::error(whole.id, span, whole.message);
        report.ways_out = whole.ways_out;
        if let Some(meant) = meant {
            report.ways_out.insert(0, format!("write `{meant}`"));
        }
        if report.ways_out.is_empty() {
            report
                .ways_out
                .push("say what should happen, in one sentence: `allow ssh from office`".to_owned());
        }
        return (None, vec![report]);
    }
    let mut reports = reader.reports;
    let one_word =
        reports.len() == 1 && reports.iter().all(|report| report.label.starts_with("did you mean"));
    if let Some(meant) = own
        && let Some(report) = reports.first_mut()
        && !(one_word && same_but_one(text, tokens, fixed.as_deref().unwrap_or(""), &meant))
    {
        report.ways_out.insert(0, format!("write `{meant}`"));
    }
    reports.sort_by_key(|report| report.span.start);
    (sentence, reports)
}

/// The sentence of a line whose characters were wrong, if its words are right.
pub(super) fn without_odd_characters(text: &str, tokens: &[Token]) -> Option<String> {
    settle(&join(tokens.iter().map(|token| token.of(text))), 0)
}

/// Whether the label says it all already: the short fix is the whole difference.
fn same_but_one(text: &str, tokens: &[Token], fixed: &str, meant: &str) -> bool {
    let said = join(tokens.iter().map(|token| token.of(text)));
    let differing = said.split(' ').zip(fixed.split(' ')).filter(|(a, b)| a != b).count();
    fixed == meant
        && differing == 1
        && said.split(' ').count() == fixed.split(' ').count()
        && tokens.len() <= 3
}

/// The canonical text of a line that is right, or that can be put right; none if it cannot.
fn settle(line: &str, round: usize) -> Option<String> {
    if line.len() > LONGEST || round > ROUNDS {
        return None;
    }
    let (tokens, reports) = lex::tokens(FileId(0), line);
    if !reports.is_empty() || tokens.iter().any(|token| matches!(token.kind, Kind::Newline | Kind::Comment)) {
        return None;
    }
    let tokens: Vec<Token> = tokens.into_iter().filter(|token| token.speaks()).collect();
    let mut reader = Reader::new(FileId(0), line, &tokens);
    let sentence = verbs::sentence(&mut reader);
    if reader.reports.is_empty() {
        return sentence.map(|sentence| write::sentence(&sentence));
    }
    if let Some(meant) = whole(line, &tokens).and_then(|whole| whole.meant)
        && meant != line
        && let Some(settled) = settle(&meant, round + 1)
    {
        return Some(settled);
    }
    let fixed = reader.fixed().filter(|fixed| fixed != line)?;
    settle(&fixed, round + 1)
}

fn whole(text: &str, tokens: &[Token]) -> Option<foreign::Whole> {
    let (first, last) = (tokens.first()?, tokens.last()?);
    if (last.end - first.start) as usize > LONGEST {
        return None;
    }
    let words: Vec<&str> = tokens.iter().map(|token| token.of(text)).collect();
    foreign::whole(&words, text.get(first.start as usize..last.end as usize)?)
}
