//! The grammar as the man page prints it, read and walked: what may come next; judges no sentence, the reader does.

use super::value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::OnceLock;

/// The whole grammar of the language.
pub const GRAMMAR: &str = include_str!("grammar.ebnf");

/// Where rules for sentences end, and rules for single tokens begin.
const TOKENS: &str = "(* Tokens:";

/// What a rule says.
enum Node {
    /// One after the other.
    Row(Vec<Node>),
    /// One of these.
    Either(Vec<Node>),
    /// `[ … ]`
    Maybe(Box<Node>),
    /// `{ … }`
    Often(Box<Node>),
    /// A word in quotes.
    Word(&'static str),
    /// A rule by its name.
    Rule(&'static str),
    /// `? … ?`
    Prose,
}

/// What a sentence can go on with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Next {
    /// This word.
    Word(&'static str),
    /// A token of this rule.
    Token(&'static str),
}

/// The rules by name.
pub(super) struct Grammar {
    rules: BTreeMap<&'static str, Node>,
    /// Names of the rules that stand for one token.
    tokens: BTreeSet<&'static str>,
}

impl Grammar {
    /// The grammar of the language.
    pub(super) fn own() -> &'static Grammar {
        static OWN: OnceLock<Grammar> = OnceLock::new();
        OWN.get_or_init(|| {
            let (sentences, tokens) = GRAMMAR.split_once(TOKENS).unwrap_or((GRAMMAR, ""));
            // The comment goes on behind the word that was looked for.
            let tokens = tokens.split_once("*)").map_or("", |(_, rest)| rest);
            let mut rules = read(sentences);
            let tokens = read(tokens);
            let names = tokens.keys().copied().collect();
            rules.extend(tokens);
            Grammar { rules, tokens: names }
        })
    }

    /// What may follow these tokens of a sentence, and whether it may end there; nothing where they make no sense.
    pub(super) fn next(&self, tokens: &[&str]) -> (BTreeSet<Next>, bool) {
        let mut walk = Walk { grammar: self, tokens, next: BTreeSet::new() };
        let ends = walk.rule("sentence", &BTreeSet::from([0]));
        (walk.next, ends.contains(&tokens.len()))
    }
}

/// Whether a sentence of these tokens has the shape that the grammar tells.
#[must_use]
pub fn has_shape(tokens: &[&str]) -> bool {
    Grammar::own().next(tokens).1
}

/// All places that a walk through the rules can have come to, at once.
struct Walk<'a> {
    grammar: &'a Grammar,
    tokens: &'a [&'a str],
    next: BTreeSet<Next>,
}

type Places = BTreeSet<usize>;

impl Walk<'_> {
    fn rule(&mut self, name: &'static str, from: &Places) -> Places {
        if self.grammar.tokens.contains(name) {
            return self.step(from, Next::Token(name), |token| is(name, token));
        }
        match self.grammar.rules.get(name) {
            Some(node) => self.node(node, from),
            None => Places::new(),
        }
    }

    fn node(&mut self, node: &Node, from: &Places) -> Places {
        match node {
            Node::Row(nodes) => nodes.iter().fold(from.clone(), |at, node| self.node(node, &at)),
            Node::Either(nodes) => nodes.iter().flat_map(|node| self.node(node, from)).collect(),
            Node::Maybe(node) => &self.node(node, from) | from,
            Node::Often(node) => {
                let mut all = from.clone();
                loop {
                    let more = &self.node(node, &all) | &all;
                    if more == all {
                        return all;
                    }
                    all = more;
                }
            }
            Node::Word(word) => self.step(from, Next::Word(word), |token| token == *word),
            Node::Rule(name) => self.rule(name, from),
            Node::Prose => Places::new(),
        }
    }

    fn step(&mut self, from: &Places, what: Next, fits: impl Fn(&str) -> bool) -> Places {
        if from.contains(&self.tokens.len()) {
            self.next.insert(what);
        }
        let fits = |at: &&usize| self.tokens.get(**at).is_some_and(|token| fits(token));
        from.iter().filter(fits).map(|at| at + 1).collect()
    }
}

/// Whether a token is one of this rule: the reader of policies says so.
fn is(rule: &str, token: &str) -> bool {
    let is_number = !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit());
    match rule {
        "value" => value::value(token).is_ok(),
        "ports" => value::ports(token).is_ok(),
        "range" => value::port_range(token).is_ok(),
        "port" => value::port(token).is_ok(),
        "rate" => value::rate(token).is_ok(),
        "duration" => value::duration(token).is_ok(),
        "time" => value::time(token).is_ok(),
        "ifname" => value::interface(token).is_ok() && token != "," && token != "=",
        "name" | "service" => value::is_name(token),
        "number" => is_number,
        "account" | "type" | "proto" => {
            token.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c)) && !token.is_empty()
        }
        "target" => token.parse::<SocketAddr>().is_ok(),
        "string" => token.len() > 2 && token.starts_with('"') && token.ends_with('"'),
        _ => false,
    }
}

/// The rules of a text.
fn read(text: &'static str) -> BTreeMap<&'static str, Node> {
    let pieces = pieces(text);
    let mut rules = BTreeMap::new();
    let mut at = 0;
    while let Some(name) = pieces.get(at).filter(|_| pieces.get(at + 1) == Some(&"=")) {
        at += 2;
        rules.insert(*name, either(&pieces, &mut at));
    }
    rules
}

/// Words, signs, and what stands in quotes or between question marks; comments are gone.
fn pieces(text: &'static str) -> Vec<&'static str> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let close = match first {
            '"' => rest[1..].find('"').map(|at| at + 2),
            '?' => rest[1..].find('?').map(|at| at + 2),
            '(' if rest.starts_with("(*") => rest.find("*)").map(|at| at + 2),
            first if first.is_ascii_alphanumeric() => rest.find(|c: char| !c.is_ascii_alphanumeric()),
            _ => Some(first.len_utf8()),
        };
        let (piece, behind) = rest.split_at(close.unwrap_or(rest.len()));
        if !piece.starts_with("(*") {
            pieces.push(piece);
        }
        rest = behind.trim_start();
    }
    pieces
}

fn either(pieces: &[&'static str], at: &mut usize) -> Node {
    let mut rows = vec![row(pieces, at)];
    while pieces.get(*at) == Some(&"|") {
        *at += 1;
        rows.push(row(pieces, at));
    }
    if rows.len() == 1 { rows.remove(0) } else { Node::Either(rows) }
}

fn row(pieces: &[&'static str], at: &mut usize) -> Node {
    let mut nodes = Vec::new();
    while let Some(piece) = pieces.get(*at) {
        let first = piece.chars().next().unwrap_or(' ');
        let node = match first {
            '[' | '{' | '(' => {
                *at += 1;
                let inner = either(pieces, at);
                match first {
                    '[' => Node::Maybe(Box::new(inner)),
                    '{' => Node::Often(Box::new(inner)),
                    _ => inner,
                }
            }
            '"' => Node::Word(piece.trim_matches('"')),
            '?' => Node::Prose,
            // The next rule begins.
            _ if pieces.get(*at + 1) == Some(&"=") => break,
            c if c.is_ascii_alphabetic() => Node::Rule(piece),
            _ => break,
        };
        *at += 1;
        nodes.push(node);
    }
    if nodes.len() == 1 { nodes.remove(0) } else { Node::Row(nodes) }
}

#[cfg(test)]
mod tests {
    use super::super::{parse_sentence, words};
    use super::{GRAMMAR, Grammar, Next, Node, has_shape, pieces};
    use crate::report::FileId;
    use std::collections::BTreeSet;

    fn names(node: &Node, into: &mut BTreeSet<&'static str>) {
        match node {
            Node::Row(nodes) | Node::Either(nodes) => nodes.iter().for_each(|node| names(node, into)),
            Node::Maybe(node) | Node::Often(node) => names(node, into),
            Node::Rule(name) => {
                into.insert(name);
            }
            Node::Word(_) | Node::Prose => {}
        }
    }

    #[test]
    fn every_rule_is_said_and_used() {
        let grammar = Grammar::own();
        let mut used = BTreeSet::from(["policy"]);
        grammar.rules.values().for_each(|node| names(node, &mut used));
        assert_eq!(used, grammar.rules.keys().copied().collect(), "used, and said");
        let lines = GRAMMAR.lines().filter(|line| line.split_whitespace().nth(1) == Some("=")).count();
        assert_eq!(lines, grammar.rules.len(), "rules are lost");
        assert!(grammar.tokens.contains("value") && !grammar.tokens.contains("values"));
    }

    /// The words of the reader are those of the grammar, and no others.
    #[test]
    fn its_words_are_those_of_the_reader() {
        let quoted = |piece: &&str| piece.starts_with('"') && piece.chars().any(char::is_alphabetic);
        let said: BTreeSet<&str> =
            pieces(GRAMMAR).into_iter().filter(quoted).map(|piece| piece.trim_matches('"')).collect();
        // It stands between day and hour, within what the grammar tells in prose.
        let known: BTreeSet<&str> = words::all().filter(|word| *word != "T").collect();
        assert_eq!(said, known, "of the grammar, and of words.rs");
    }

    /// A walk through the grammar says what the reader understands, or what only the whole sentence can tell.
    #[test]
    fn what_it_lets_through_is_read() {
        let sample = |rule: &str| match rule {
            "value" => "203.0.113.0/24",
            "ports" => "80/tcp",
            "range" => "50000-50100",
            "port" => "8080",
            "rate" => "6/minute",
            "duration" => "10m",
            "time" => "2030-01-01T10:00",
            "account" => "www-data",
            "type" => "echo-request",
            "proto" => "gre",
            "ifname" => "eth0",
            "name" => "office",
            "service" => "ssh",
            "number" => "7",
            "target" => "10.0.0.5:22",
            "string" => "\"spam.txt\"",
            _ => panic!("no sample of `{rule}`"),
        };
        // Each is a ruling that no grammar of this kind can say.
        let rulings = [
            "clause-twice",
            "limit-not-allow",
            "clause-in-expect",
            "helper-alone",
            "by-way",
            "default-twice",
        ];
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % below
        };
        for _ in 0..500 {
            let mut tokens: Vec<&str> = Vec::new();
            loop {
                let (next, ends) = Grammar::own().next(&tokens);
                if next.is_empty() || ends && (tokens.len() > 20 || random(4) == 0) {
                    break;
                }
                let next: Vec<Next> = next.into_iter().collect();
                tokens.push(match next[random(next.len())] {
                    Next::Word(word) => word,
                    Next::Token(rule) => sample(rule),
                });
            }
            let text = tokens.join(" ");
            let reports = parse_sentence(FileId(0), &text).err().unwrap_or_default();
            for report in reports {
                let known = rulings.contains(&report.id) || report.id.starts_with("not-yet-");
                assert!(known, "`{text}`: {} {}", report.id, report.message);
            }
        }
    }

    #[test]
    fn shapes() {
        let sentence = |text: &str| has_shape(&text.split(' ').collect::<Vec<_>>());
        assert!(sentence("allow ssh , 80/tcp from anyone except spam limit 6/minute burst 3 per source"));
        assert!(sentence("block log from 10.0.0.0/8"));
        assert!(sentence("define a = file \"b\""));
        assert!(!sentence("allow ssh from"));
        assert!(!sentence("block log"));
        assert!(!sentence("trust anyone"));
    }
}
