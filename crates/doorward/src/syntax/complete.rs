//! What the last word of an unfinished sentence can become, told by the grammar; knows no shell and no host.

use super::ast::{DefineValue, Item, Sentence, SentenceKind, Value};
use super::grammar::{Grammar, Next};
use super::lex::tokens;
use super::{parse_sentence, value, write};
use crate::net::{Proto, icmp_names};
use crate::report::FileId;
use std::collections::{BTreeMap, BTreeSet};

/// What can be named, each with a few words about it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// Services.
    pub things: BTreeMap<String, String>,
    /// Who can be spoken of.
    pub addresses: BTreeMap<String, String>,
    /// Interfaces.
    pub interfaces: BTreeMap<String, String>,
    /// Accounts of users.
    pub users: BTreeMap<String, String>,
    /// Groups.
    pub groups: BTreeMap<String, String>,
}

/// One way to go on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Candidate {
    /// What the last word becomes.
    pub text: String,
    /// What it is.
    pub about: String,
}

/// Words that this version reads and refuses, with a sentence that is refused because of it.
const REFUSED: [(&str, &str); 4] = [
    ("feed", "define a = feed \"https://example.org/list\""),
    ("then", "allow ssh limit 6/minute then ban 1h"),
    ("until", "allow ssh until 2030-01-01"),
    ("unit", "block out smtp by unit mail"),
];

/// What is wrong with a word that the grammar lets through.
const NEVER: [&str; 4] = ["clause-twice", "limit-not-allow", "clause-in-expect", "helper-alone"];

impl Known {
    /// Adds the names that sentences define.
    pub fn define(&mut self, sentences: &[Sentence]) {
        let defines = || {
            sentences.iter().filter_map(|sentence| match &sentence.kind {
                SentenceKind::Define(define) => Some((define, write::sentence(sentence))),
                _ => None,
            })
        };
        // A name can stand for another that is defined further down.
        for _ in 0..defines().count() {
            let before = (self.things.len(), self.addresses.len(), self.interfaces.len());
            for (define, text) in defines() {
                let about = text.split_once('=').map_or("", |(_, about)| about.trim());
                if let Some(names) = self.kind_of(&define.value) {
                    names.insert(define.name.node.clone(), about.to_owned());
                }
            }
            if before == (self.things.len(), self.addresses.len(), self.interfaces.len()) {
                return;
            }
        }
    }

    fn kind_of(&mut self, value: &DefineValue) -> Option<&mut BTreeMap<String, String>> {
        let DefineValue::Items(items) = value else { return Some(&mut self.addresses) };
        match &items.first()?.node {
            Item::Value(Value::Name(name)) if self.interfaces.contains_key(name) => {
                Some(&mut self.interfaces)
            }
            Item::Value(Value::Name(name)) if self.addresses.contains_key(name) => Some(&mut self.addresses),
            Item::Value(Value::Name(name)) => self.things.contains_key(name).then_some(&mut self.things),
            Item::Value(_) => Some(&mut self.addresses),
            Item::Interface(_) => Some(&mut self.interfaces),
            Item::Ports(_) | Item::Ping | Item::Icmp(_) | Item::Protocol(_) => Some(&mut self.things),
        }
    }
}

/// What the last of these words can become; the words before it stay.
#[must_use]
pub fn complete(words: &[&str], known: &Known) -> Vec<Candidate> {
    let Some((before, head, last)) = split(words) else { return Vec::new() };
    let tokens: Vec<&str> = before.iter().map(String::as_str).collect();
    let mut found = BTreeMap::new();
    for next in Grammar::own().next(&tokens).0 {
        match next {
            Next::Word(word) if word.starts_with(char::is_alphabetic) && may_follow(&tokens, word) => {
                found.insert(word.to_owned(), String::new());
            }
            Next::Word(_) => {}
            Next::Token(rule) => found.extend(of_rule(rule, &last, &tokens, known)),
        }
    }
    found
        .into_iter()
        .filter(|(text, _)| text.starts_with(&last))
        .map(|(text, about)| Candidate { text: format!("{head}{text}"), about })
        .collect()
}

/// The same where only what these sentences say makes sense: to take one of them out.
#[must_use]
pub fn complete_from<'a>(words: &[&str], sentences: impl Iterator<Item = &'a Sentence>) -> Vec<Candidate> {
    let Some((before, head, last)) = split(words) else { return Vec::new() };
    let mut found = BTreeSet::new();
    for sentence in sentences {
        if !matches!(sentence.kind, SentenceKind::Rule(_) | SentenceKind::Trust(_)) {
            continue;
        }
        let text = write::sentence(sentence);
        let tokens = spoken(&text);
        let Some(next) = tokens.get(before.len()).filter(|_| tokens.starts_with(&before)) else { continue };
        if next.starts_with(&last) {
            let comma = if tokens.get(before.len() + 1).is_some_and(|token| token == ",") { "," } else { "" };
            found.insert(Candidate { text: format!("{head}{next}{comma}"), about: text });
        }
    }
    let mut found: Vec<Candidate> = found.into_iter().collect();
    found.dedup_by(|a, b| a.text == b.text);
    found
}

/// The tokens before the last word, what of the last word stays, and what is completed.
fn split(words: &[&str]) -> Option<(Vec<String>, String, String)> {
    let (last, before) = words.split_last()?;
    let cut = last.rfind([',', '=']).map_or(0, |at| at + 1);
    let (head, last) = last.split_at(cut);
    let before = spoken(&format!("{} {head}", before.join(" ")));
    Some((before, head.to_owned(), last.to_owned()))
}

/// The tokens that sentences are made of.
fn spoken(text: &str) -> Vec<String> {
    let (tokens, _) = tokens(FileId(0), text);
    tokens.into_iter().filter(|token| token.speaks()).map(|token| token.of(text).to_owned()).collect()
}

/// Whether the reader lets this word stand behind these, as far as that can be told already.
fn may_follow(before: &[&str], word: &str) -> bool {
    let ids = |text: &str| -> Vec<String> {
        match parse_sentence(FileId(0), text) {
            Ok(_) => Vec::new(),
            Err(reports) => reports.into_iter().map(|report| report.id.to_string()).collect(),
        }
    };
    if REFUSED.iter().any(|(refused, with)| *refused == word && !ids(with).is_empty()) {
        return false;
    }
    // Only what this host sends has an account.
    if word == "by" && before.get(1) != Some(&"out") {
        return false;
    }
    let text = format!("{} {word}", before.join(" "));
    !ids(&text).iter().any(|id| NEVER.contains(&id.as_str()))
}

/// The tokens of a rule that can be named or guessed from how they begin.
fn of_rule(rule: &str, begun: &str, before: &[&str], known: &Known) -> BTreeMap<String, String> {
    let plain = |names: &mut dyn Iterator<Item = String>| names.map(|name| (name, String::new())).collect();
    let behind = |ends: &[&str]| -> BTreeMap<String, String> {
        let number = begun.split_once('/').map_or(begun, |(number, _)| number);
        let number = number.trim_end_matches(|c: char| rule == "duration" && c.is_ascii_alphabetic());
        if value::port_range(number).is_err() {
            return BTreeMap::new();
        }
        plain(&mut ends.iter().map(|end| format!("{number}{end}")))
    };
    match rule {
        "service" => known.things.clone(),
        "value" if before.first() != Some(&"define") => known.addresses.clone(),
        "value" => known.things.iter().chain(&known.addresses).map(|(a, b)| (a.clone(), b.clone())).collect(),
        "ifname" => known.interfaces.clone(),
        "account"
            if before.iter().rev().find(|word| matches!(**word, "user" | "group")) == Some(&"group") =>
        {
            known.groups.clone()
        }
        "account" => known.users.clone(),
        "type" => plain(&mut icmp_names().map(str::to_owned)),
        "proto" => plain(&mut Proto::names().map(str::to_owned)),
        "ports" => behind(&["/tcp", "/udp", "/tcp+udp", "/sctp"]),
        "rate" => behind(&["/second", "/minute", "/hour", "/day"]),
        "duration" => behind(&["s", "m", "h", "d"]),
        _ => BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::{Known, complete, complete_from};
    use crate::report::FileId;

    const POLICY: &str = "define office = 203.0.113.0/24\ndefine desks = office\ndefine lan = interface eth1\n\
        define shop = 8443/tcp\ndefine spam = file \"spam.txt\"\ntrust office\nallow ssh, http from desks\n\
        allow https\n";

    fn known() -> Known {
        let mut known = Known::default();
        known.things.insert("ssh".to_owned(), "remote shell".to_owned());
        known.things.insert("smtp".to_owned(), String::new());
        known.interfaces.insert("eth0".to_owned(), String::new());
        known.users.insert("www-data".to_owned(), String::new());
        known.groups.insert("adm".to_owned(), String::new());
        known.define(parse(FileId(0), POLICY).0.sentences());
        known
    }

    fn texts(line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        complete(&words, &known()).into_iter().map(|one| one.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_place_has_its_words() {
        let cases = [
            ("", "allow block default define expect include masquerade publish redirect reject trust"),
            ("masquerade from ", "desks office spam"),
            ("masquerade from office on ", "eth0 lan"),
            ("redirect 80/tcp ", "to"),
            ("allow ", "anything forward icmp in out ping protocol published shop smtp ssh"),
            ("allow s", "shop smtp ssh"),
            ("allow out s", "shop smtp ssh"),
            ("allow ssh,s", "ssh,shop ssh,smtp ssh,ssh"),
            ("allow ssh, sm", "smtp"),
            ("allow 80", "80/sctp 80/tcp 80/tcp+udp 80/udp"),
            ("allow 80/t", "80/tcp 80/tcp+udp"),
            ("allow ssh ", "except from limit log on passive to"),
            ("allow ssh from ", "anyone desks office outside spam"),
            ("allow ssh from outside o", "office"),
            ("allow ssh from office e", "except"),
            ("allow ssh from office f", ""),
            ("allow ssh on ", "eth0 lan"),
            ("allow ssh limit ", ""),
            ("allow ssh limit 6", "6/day 6/hour 6/minute 6/second"),
            ("allow ssh limit 6/minute p", "passive per"),
            ("allow ssh passive 50000-50100 h", "helper"),
            ("block ssh l", "log"),
            ("block f", "forward from"),
            ("block out smtp by ", "group user"),
            ("block out smtp by user ", "www-data"),
            ("block out smtp except by group ", "adm"),
            ("trust ", "desks office spam"),
            ("default ", "allow block reject"),
            ("default block in, a", "allow"),
            ("expect ssh from office is ", "allowed blocked"),
            ("expect ssh l", ""),
            ("allow protocol gr", "gre"),
            ("allow icmp echo-req", "echo-request"),
            ("allow nonsense/ ", ""),
            ("include ", ""),
        ];
        for (line, expected) in cases {
            assert_eq!(texts(line), expected, "`{line}`");
        }
    }

    #[test]
    fn names_have_a_word_about_them() {
        let found = complete(&["allow", "ssh", "from", "of"], &known());
        assert_eq!((found[0].text.as_str(), found[0].about.as_str()), ("office", "203.0.113.0/24"));
    }

    #[test]
    fn what_is_there_can_be_taken_out() {
        let tree = parse(FileId(0), POLICY).0;
        let texts = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let found = complete_from(&words, tree.sentences().iter());
            found.into_iter().map(|one| one.text).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(texts(""), "allow trust");
        assert_eq!(texts("allow "), "https ssh,");
        assert_eq!(texts("allow ssh, "), "http");
        assert_eq!(texts("allow ssh, http from "), "desks");
        assert_eq!(texts("allow ssh, http from desks "), "");
    }

    #[test]
    fn no_words_no_candidates() {
        assert!(complete(&[], &Known::default()).is_empty());
    }
}
