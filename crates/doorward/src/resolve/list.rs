//! A policy as one plain text: what is in force, in order, and what is built in; resolves nothing.

use super::load::Loaded;
use super::model::{Resolved, Verdict, Way};
use super::path;
use crate::catalogue;
use crate::report::{FileId, Origin};
use crate::syntax::ast::{DefineValue, Sentence, SentenceKind};
use crate::syntax::write;
use std::collections::HashSet;
use std::fmt::Display;

/// A line of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// A sentence of the language, or a comment.
    pub text: String,
    /// Where the sentence stands; none for comments.
    pub origin: Option<Origin>,
}

/// Every sentence that is in force, those of included files in their place, and what is built in as
/// comments. The lines are a policy that means the same, when it lies where the main file lies.
#[must_use]
pub fn list(loaded: &Loaded, resolved: &Resolved) -> Vec<Listed> {
    let mut lines = Vec::new();
    let mut defined: HashSet<&str> = HashSet::new();
    for sentence in &loaded.sentences {
        if let SentenceKind::Define(define) = &sentence.kind {
            // Equal definitions may stand in several files.
            if !defined.insert(&define.name.node) {
                continue;
            }
            if let Some(service) = catalogue::named(&define.name.node) {
                lines.push(comment(format!(
                    "own name: `{}` is not the `{}` of the catalogue here",
                    service.name, service.items
                )));
            }
        }
        let said = from_main(loaded, sentence);
        let place = loaded.sources.place(sentence.span);
        let text = write::sentence(said.as_ref().unwrap_or(sentence));
        let origin =
            Origin { file: place.file, line: place.line, sentence: write::sentence(sentence).into() };
        lines.push(Listed { text, origin: Some(origin) });
    }
    lines.extend(built_in(resolved).into_iter().map(comment));
    lines
}

impl Listed {
    /// All lines as a text of the language.
    #[must_use]
    pub fn text(lines: &[Listed]) -> String {
        lines.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect()
    }
}

fn comment(text: impl Display) -> Listed {
    Listed { text: format!("# {text}"), origin: None }
}

/// A definition from a file with the path as the main file has to say it.
fn from_main(loaded: &Loaded, sentence: &Sentence) -> Option<Sentence> {
    let SentenceKind::Define(define) = &sentence.kind else { return None };
    let DefineValue::File(named) = &define.value else { return None };
    let path_of = |id: FileId| loaded.files.iter().find(|file| file.id == id).map(|file| file.path.as_str());
    let (main, from) = (loaded.files.first()?, path_of(sentence.span.file)?);
    if from == main.path {
        return None;
    }
    let mut define = define.clone();
    let mut named = named.clone();
    named.node = path::shown(&main.path, &path::beside(from, &named.node));
    define.value = DefineValue::File(named);
    Some(Sentence { span: sentence.span, kind: SentenceKind::Define(define) })
}

/// What holds without being said.
fn built_in(resolved: &Resolved) -> Vec<String> {
    let mut lines = Vec::new();
    let defaults: Vec<String> = Way::ALL
        .into_iter()
        .filter(|way| resolved.defaults.of(*way).origin.is_none())
        .map(|way| format!("{} {}", resolved.defaults.of(way).verdict.word(), way.word()))
        .collect();
    if !defaults.is_empty() {
        lines.push(format!("built in: default {}", defaults.join(", ")));
    }
    lines.extend(BUILT_IN.iter().map(|line| format!("built in: {line}")));
    if !resolved.bridges.is_empty() {
        lines.push(format!(
            "built in: allow forward what stays on one bridge ({})",
            resolved.bridges.join(", ")
        ));
    }
    if resolved.rules.iter().any(|rule| rule.verdict != Verdict::Allow) {
        lines.push(
            "not built in: a block ends connections that are open already; they go on until they end"
                .to_owned(),
        );
    }
    if resolved.nat.iter().any(|nat| !nat.what.ports().is_empty()) {
        lines.push("not built in: `redirect` and `publish` for what this host itself opens".to_owned());
    }
    lines.push(
        "not built in: reverse-path filter, addresses of one interface asked for on another, \
         an untracked path for the administrator"
            .to_owned(),
    );
    lines
}

/// What holds in every policy, in the order in which a packet meets it.
const BUILT_IN: [&str; 10] = [
    "allow everything on lo",
    "block loopback addresses that arrive anywhere else",
    "block in from this host's own addresses, from IPv4-mapped IPv6 addresses, with routing header 0",
    "block what belongs to no connection (invalid), and new TCP without a bare SYN",
    "allow replies to what was allowed, and the errors that belong to them",
    "allow icmp destination-unreachable, packet-too-big, time-exceeded, parameter-problem",
    "allow icmp neighbour-solicitation, neighbour-advertisement with hop limit 255",
    "allow icmp router-solicitation out, router-advertisement in where the host takes them",
    "allow icmp mld-query, mld-report, mld-done, mld2-report",
    "allow DHCP and DHCPv6: questions of this host, and the answers to them (68/udp, 546/udp)",
];
