//! A syntax tree as lines of text that change only when the tree does.

use doorward::report::{Sources, Span};
use doorward::syntax::ast::{
    By, DefineValue, Item, Nat, Peer, Scope, Sentence, SentenceKind, Thing, Value, Who,
};
use doorward::syntax::{Tree, write};
use std::fmt::Write;

/// All sentences: a line `LINE:COLUMN kind`, and a line for each part.
pub(super) fn tree(sources: &Sources, tree: &Tree) -> String {
    let mut dump = Dump { sources, out: String::new() };
    for sentence in tree.sentences() {
        dump.sentence(sentence);
    }
    dump.out
}

struct Dump<'a> {
    sources: &'a Sources,
    out: String,
}

impl Dump<'_> {
    /// A part with its place and the words that it was read from.
    fn part(&mut self, name: &str, value: impl std::fmt::Display, span: Span) {
        let place = self.sources.place(span);
        let words: Vec<&str> = self.sources.slice(span).split_whitespace().collect();
        let (value, words) = (value.to_string(), words.join(" "));
        let from = if words == value { String::new() } else { format!("  «{words}»") };
        writeln!(self.out, "  {}:{} {name}: {value}{from}", place.line, place.column).unwrap();
    }

    fn sentence(&mut self, sentence: &Sentence) {
        let place = self.sources.place(sentence.span);
        writeln!(self.out, "{}:{} {}", place.line, place.column, write::sentence(sentence)).unwrap();
        match &sentence.kind {
            SentenceKind::Define(define) => {
                self.part("name", &define.name.node, define.name.span);
                match &define.value {
                    DefineValue::Items(items) => {
                        for item in items {
                            let kind = match &item.node {
                                Item::Value(value) => value_kind(value),
                                Item::Ports(_) => "ports",
                                Item::Interface(_) => "interface",
                                Item::Ping => "ping",
                                Item::Icmp(_) => "icmp",
                                Item::Protocol(_) => "protocol",
                            };
                            self.part(&format!("item, {kind}"), &item.node, item.span);
                        }
                    }
                    DefineValue::File(name) => self.part("file", &name.node, name.span),
                    DefineValue::Feed(name) => self.part("feed", &name.node, name.span),
                }
            }
            SentenceKind::Trust(values) => values.iter().for_each(|value| {
                self.part(value_kind(&value.node), &value.node, value.span);
            }),
            SentenceKind::Default(pairs) => {
                for (verdict, way) in pairs {
                    self.part("verdict", verdict.node.word(), verdict.span);
                    self.part("way", way.node.word(), way.span);
                }
            }
            SentenceKind::Rule(rule) => {
                self.part("verdict", rule.verdict.node.word(), rule.verdict.span);
                if let Some(way) = &rule.way {
                    self.part("way", way.node.word(), way.span);
                }
                rule.things.iter().for_each(|thing| self.thing(&thing.node, thing.span));
                self.scope(&rule.scope);
                if let Some(limit) = &rule.limit {
                    self.part(
                        "limit",
                        format!("{} in {} s", limit.node.rate.node, limit.node.seconds),
                        limit.span,
                    );
                    if let Some(burst) = &limit.node.burst {
                        self.part("burst", burst.node, burst.span);
                    }
                    if limit.node.per_source {
                        self.part("per source", "yes", limit.span);
                    }
                }
                if let Some(passive) = &rule.passive {
                    self.part("passive", passive.node, passive.span);
                }
                if let Some(helper) = rule.helper {
                    self.part("helper", "helper", helper);
                }
                if let Some(log) = rule.log {
                    self.part("log", "log", log);
                }
            }
            SentenceKind::Expect(expect) => {
                if let Some(way) = &expect.way {
                    self.part("way", way.node.word(), way.span);
                }
                expect.things.iter().for_each(|thing| self.thing(&thing.node, thing.span));
                self.scope(&expect.scope);
                self.part("allowed", expect.allowed.node, expect.allowed.span);
            }
            SentenceKind::Include(name) => self.part("name", &name.node, name.span),
            SentenceKind::Nat(Nat::Masquerade { .. } | Nat::Redirect { .. } | Nat::Publish { .. }) => {}
        }
    }

    fn thing(&mut self, thing: &Thing, span: Span) {
        let kind = match thing {
            Thing::Name(_) => "name",
            Thing::Ports(_) => "ports",
            Thing::Ping => "ping",
            Thing::Icmp(_) => "icmp",
            Thing::Protocol(_) => "protocol",
            Thing::Anything => "anything",
        };
        self.part(&format!("thing, {kind}"), thing, span);
    }

    fn scope(&mut self, scope: &Scope) {
        if let Some(except) = &scope.except {
            except.node.iter().for_each(|value| self.part("except", &value.node, value.span));
        }
        self.peer("from", scope.from.as_ref());
        self.peer("to", scope.to.as_ref());
        if let Some(on) = &scope.on {
            on.node.iter().for_each(|name| self.part("on", &name.node, name.span));
        }
        for (kind, by) in [("user", &scope.by_user), ("group", &scope.by_group), ("unit", &scope.by_unit)] {
            self.by(kind, by.as_ref());
        }
    }

    fn peer(&mut self, word: &str, peer: Option<&Peer>) {
        let Some(peer) = peer else { return };
        match &peer.who {
            Who::Anyone => self.part(word, "anyone", peer.span),
            Who::Values { outside, values } => {
                if let Some(outside) = outside {
                    self.part(word, "outside", *outside);
                }
                for value in values {
                    self.part(&format!("{word}, {}", value_kind(&value.node)), &value.node, value.span);
                }
            }
        }
        if let Some(except) = &peer.except {
            except
                .node
                .iter()
                .for_each(|value| self.part(&format!("{word}, except"), &value.node, value.span));
        }
    }

    fn by(&mut self, kind: &str, by: Option<&By>) {
        let Some(by) = by else { return };
        let word = if by.except { format!("by {kind}, except") } else { format!("by {kind}") };
        by.accounts.iter().for_each(|account| self.part(&word, &account.node, account.span));
    }
}

fn value_kind(value: &Value) -> &'static str {
    match value {
        Value::Prefix(_) => "prefix",
        Value::Range(_) => "range",
        Value::Name(_) => "name",
    }
}
