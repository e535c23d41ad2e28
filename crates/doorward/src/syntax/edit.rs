//! Puts a sentence into a text or takes it out; every other byte stays, and so does every comment.

use super::ast::{RuleSentence, Sentence, SentenceKind, Verdict, Way};
use super::lex::{Kind, Token};
use super::tree::{Line, Tree, parse};
use super::write;
use crate::report::Span;
use std::fmt::Write;

/// A text after a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edited {
    /// The whole text.
    pub text: String,
    /// Where it changed: a line, counted from 1.
    pub line: usize,
    /// The sentence that stood there and is said by the new one, too.
    pub replaced: Option<String>,
}

/// The sentence stands there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlreadyThere {
    /// In this line, counted from 1.
    pub line: usize,
}

/// The sentence is not there to be taken out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotThere {
    /// The line that comes nearest, counted from 1, and its sentence.
    pub nearest: Option<(usize, String)>,
}

/// Puts a sentence behind its kin: the last of the same verb and way, else of the same verb, else at the end. One that
/// says the same but for the ports that it opens for data is replaced where it stands, with its comment.
pub fn insert(tree: &Tree, sentence: &Sentence) -> Result<Edited, AlreadyThere> {
    let canonical = write::sentence(sentence);
    if let Some(same) = tree.sentences().iter().find(|other| write::sentence(other) == canonical) {
        return Err(AlreadyThere { line: line_of(tree.text(), same.span.start as usize) });
    }
    if let Some(edited) = replaced(tree, sentence) {
        return Ok(edited);
    }
    let (verb, way) = kin(sentence);
    let last = |fits: &dyn Fn(&Sentence) -> bool| tree.sentences().iter().rposition(fits);
    let kin = last(&|other| kin(other) == (verb, way)).or_else(|| last(&|other| kin(other).0 == verb));
    let line = kin.and_then(|at| tree.lines().iter().find(|line| line.sentence == Some(at)));
    let text = tree.text();
    let at = line
        .and_then(|line| tree.tokens(line.tokens.clone()).last())
        .map_or(text.len(), |last| last.end as usize);
    let before = text.get(..at).unwrap_or(text);
    let newline = if before.ends_with("\r\n") || !before.contains('\n') && text.contains("\r\n") {
        "\r\n"
    } else {
        "\n"
    };
    let mut out = before.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str(newline);
    }
    let line = line_of(&out, out.len());
    out.push_str(&canonical);
    out.push_str(newline);
    out.push_str(text.get(at..).unwrap_or(""));
    Ok(Edited { text: out, line, replaced: None })
}

/// `allow ftp` becomes `allow ftp passive 50000-50100`: nothing that it said is lost. Nothing where other words stand
/// in the way.
fn replaced(tree: &Tree, sentence: &Sentence) -> Option<Edited> {
    let mut without = sentence.clone();
    match &mut without.kind {
        SentenceKind::Rule(rule) if rule.passive.is_some() => (rule.passive, rule.helper) = (None, None),
        _ => return None,
    }
    let old = write::sentence(&without);
    let at = tree.sentences().iter().position(|other| write::sentence(other) == old)?;
    let line = tree.lines().iter().find(|line| line.sentence == Some(at))?;
    let tokens = tree.tokens(line.tokens.clone());
    let first = tokens.iter().position(|token| token.speaks())?;
    let last = tokens.iter().rposition(|token| token.speaks())?;
    if tokens[first..=last].iter().any(|token| token.kind == Kind::Comment) {
        return None;
    }
    let (start, end) = (tokens[first].start as usize, tokens[last].end as usize);
    let (before, behind) = (tree.text().get(..start)?, tree.text().get(end..)?);
    let text = [before, &write::sentence(sentence), behind].concat();
    Some(Edited { text, line: line_of(tree.text(), start), replaced: Some(old) })
}

/// The first word of a sentence, and its way.
fn kin(sentence: &Sentence) -> (&'static str, Option<Way>) {
    match &sentence.kind {
        SentenceKind::Define(_) => ("define", None),
        SentenceKind::Trust(_) => ("trust", None),
        SentenceKind::Default(_) => ("default", None),
        SentenceKind::Rule(rule) => (rule.verdict.node.word(), way(rule)),
        SentenceKind::Expect(expect) => ("expect", Some(expect.way.as_ref().map_or(Way::In, |way| way.node))),
        SentenceKind::Include(_) => ("include", None),
        SentenceKind::Nat(_) => ("nat", None),
    }
}

/// The way of a rule, if it has only one.
fn way(rule: &RuleSentence) -> Option<Way> {
    let unsaid = (!rule.things.is_empty() || rule.verdict.node == Verdict::Allow).then_some(Way::In);
    rule.way.as_ref().map_or(unsaid, |way| Some(way.node))
}

/// Takes a sentence out, wherever it stands: as a line of its own, or its things out of longer lists
/// with the same clauses. Comments stay, on lines of their own where their sentence goes.
pub fn remove(tree: &Tree, sentence: &Sentence) -> Result<Edited, NotThere> {
    let wanted = Wanted::new(sentence);
    if !wanted.is_in(tree) {
        return Err(NotThere { nearest: nearest(tree, sentence) });
    }
    let mut first = None;
    let mut tree = tree.clone();
    // Each round takes one thing out, and there are no more things than tokens.
    for _ in 0..tree.all_tokens().len() {
        let Some((at, part)) = wanted.find(&tree) else { break };
        let (offset, text) = cut(&tree, at, part);
        let line = line_of(&text, offset);
        first = Some(first.map_or(line, |first: usize| first.min(line)));
        tree = parse(tree.file(), &text).0;
    }
    Ok(Edited { text: tree.text().to_owned(), line: first.unwrap_or(1), replaced: None })
}

/// What is to be taken out.
struct Wanted {
    canonical: String,
    list: Option<List>,
}

/// A sentence as a list of things or addresses, and all that is said about them.
struct List {
    about: String,
    items: Vec<(String, Span)>,
}

impl List {
    fn of(sentence: &Sentence) -> Option<List> {
        match &sentence.kind {
            SentenceKind::Rule(rule) if !rule.things.is_empty() => {
                let mut about = rule.verdict.node.word().to_owned();
                // Writing to a String cannot fail.
                let _ = write!(about, " {}", way(rule).map_or("", Way::word));
                let _ = write::clauses(&mut about, rule);
                let items = rule.things.iter().map(|thing| (thing.node.to_string(), thing.span)).collect();
                Some(List { about, items })
            }
            SentenceKind::Trust(values) => {
                let items = values.iter().map(|value| (value.node.to_string(), value.span)).collect();
                Some(List { about: "trust".to_owned(), items })
            }
            _ => None,
        }
    }

    fn has(&self, item: &str) -> bool {
        self.items.iter().any(|(own, _)| own == item)
    }
}

impl Wanted {
    fn new(sentence: &Sentence) -> Wanted {
        Wanted { canonical: write::sentence(sentence), list: List::of(sentence) }
    }

    /// Whether all of it stands somewhere.
    fn is_in(&self, tree: &Tree) -> bool {
        if tree.sentences().iter().any(|other| write::sentence(other) == self.canonical) {
            return true;
        }
        let Some(wanted) = &self.list else { return false };
        let lists: Vec<List> =
            tree.sentences().iter().filter_map(List::of).filter(|list| list.about == wanted.about).collect();
        wanted.items.iter().all(|(item, _)| lists.iter().any(|list| list.has(item)))
    }

    /// A sentence to take out, or one item of it.
    fn find(&self, tree: &Tree) -> Option<(usize, Option<usize>)> {
        for (at, other) in tree.sentences().iter().enumerate() {
            if write::sentence(other) == self.canonical {
                return Some((at, None));
            }
            let (Some(wanted), Some(list)) = (&self.list, List::of(other)) else { continue };
            if list.about != wanted.about {
                continue;
            }
            if let Some(item) = list.items.iter().position(|(item, _)| wanted.has(item)) {
                return Some((at, (list.items.len() > 1).then_some(item)));
            }
        }
        None
    }
}

/// The text without a sentence, or without one item of it, and where it changed.
fn cut(tree: &Tree, at: usize, item: Option<usize>) -> (usize, String) {
    let Some(line) = tree.lines().iter().find(|line| line.sentence == Some(at)) else {
        return (0, tree.text().to_owned());
    };
    let tokens = tree.tokens(line.tokens.clone());
    let (start, end) = match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => (first.start as usize, last.end as usize),
        _ => return (0, tree.text().to_owned()),
    };
    let rest = match item {
        None => comments_only(tree, line),
        Some(item) => without_item(tree, line, at, item),
    };
    let text = tree.text();
    (start, [text.get(..start).unwrap_or(""), &rest, text.get(end..).unwrap_or("")].concat())
}

/// What stays of a line when its sentence goes: each comment, and its line end.
fn comments_only(tree: &Tree, line: &Line) -> String {
    let mut rest = String::new();
    for physical in tree.tokens(line.tokens.clone()).split_inclusive(|token| token.kind == Kind::Newline) {
        if physical.iter().any(|token| token.kind == Kind::Comment) {
            let kept = physical.iter().filter(|token| matches!(token.kind, Kind::Comment | Kind::Newline));
            rest.extend(kept.map(|token| token.of(tree.text())));
        }
    }
    rest
}

/// A line without one item of its sentence's list.
fn without_item(tree: &Tree, line: &Line, at: usize, item: usize) -> String {
    let text = tree.text();
    let tokens = tree.tokens(line.tokens.clone());
    let Some(sentence) = tree.sentences().get(at) else { return String::new() };
    let span = List::of(sentence)
        .and_then(|list| list.items.get(item).map(|(_, span)| *span))
        .unwrap_or(sentence.span);
    let shorter = shorter(sentence, item);
    let expected = write::sentence(&shorter);
    let comments = |tokens: &[Token], text: &str| -> Vec<String> {
        tokens
            .iter()
            .filter(|token| token.kind == Kind::Comment)
            .map(|token| token.of(text).to_owned())
            .collect()
    };
    // The item with the comma and the blank behind it, or with the comma before it.
    let after = tokens.iter().position(|token| token.start >= span.end).unwrap_or(tokens.len());
    let before = tokens.iter().rposition(|token| token.end <= span.start).map_or(0, |at| at + 1);
    let comma_behind =
        (after..tokens.len()).find(|at| tokens[*at].speaks()).filter(|at| tokens[*at].kind == Kind::Comma);
    let comma_before =
        (0..before).rev().find(|at| tokens[*at].speaks()).filter(|at| tokens[*at].kind == Kind::Comma);
    let (mut from, mut to) = (before, after);
    if item == 0 || comma_before.is_none() {
        if let Some(comma) = comma_behind {
            to = comma + 1;
            to += usize::from(tokens.get(to).is_some_and(|token| token.kind == Kind::Blank));
        }
    } else if let Some(comma) = comma_before {
        from = comma - usize::from(tokens.get(comma - 1).is_some_and(|token| token.kind == Kind::Blank));
    }
    let kept: String = tokens[..from].iter().chain(&tokens[to..]).map(|token| token.of(text)).collect();
    let (again, reports) = parse(tree.file(), &kept);
    if reports.is_empty()
        && again.sentences().iter().map(write::sentence).eq([expected.clone()])
        && comments(again.all_tokens(), again.text()) == comments(tokens, text)
    {
        return kept;
    }
    // A comment stands in the way: they go above, and the sentence into one line.
    let newline =
        tokens.iter().rev().find(|token| token.kind == Kind::Newline).map_or("\n", |token| token.of(text));
    let mut out = comments_only(tree, line);
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str(newline);
    }
    out.push_str(&expected);
    if tokens.last().is_some_and(|last| last.kind == Kind::Newline) {
        out.push_str(newline);
    }
    out
}

/// The sentence without one item.
fn shorter(sentence: &Sentence, item: usize) -> Sentence {
    let mut shorter = sentence.clone();
    match &mut shorter.kind {
        SentenceKind::Rule(rule) => drop(rule.things.remove(item)),
        SentenceKind::Trust(values) => drop(values.remove(item)),
        _ => {}
    }
    shorter
}

/// The sentence that shares the most words with one that is not there.
fn nearest(tree: &Tree, sentence: &Sentence) -> Option<(usize, String)> {
    let canonical = write::sentence(sentence);
    let words = |text: &str| -> Vec<String> {
        text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let wanted = words(&canonical);
    let mut best: Option<(usize, &Sentence, String)> = None;
    for other in tree.sentences() {
        let text = write::sentence(other);
        let own = words(&text);
        let shared = wanted.iter().filter(|word| own.contains(word)).count();
        // In thousandths of all words of both.
        let score = shared * 2000 / (wanted.len() + own.len()).max(1);
        if score >= 500 && best.as_ref().is_none_or(|(most, _, _)| score > *most) {
            best = Some((score, other, text));
        }
    }
    best.map(|(_, other, text)| (line_of(tree.text(), other.span.start as usize), text))
}

/// The line, counted from 1, that an offset is in.
fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or(text).matches('\n').count() + 1
}
