//! Sentences back to text, in one form for each meaning of a text; keeps no comment and no place.

use super::ast::{
    By, DefineValue, ExpectSentence, Item, Nat, Peer, Ports, RuleSentence, Scope, Sentence, SentenceKind,
    Thing, Value, Verdict, Way, Who,
};
use super::value::unit_word;
use crate::report::Spanned;
use std::fmt::{self, Display, Write};

/// The canonical text of a sentence, by which sentences are told apart.
///
/// One blank between words, lists in their own order and joined by `, `. A way that goes without
/// saying is left out (`allow in ssh` is `allow ssh`). Clauses stand in this order: an `except` of
/// its own, `from`, `to` (each with its `except`), `on`, `by user`, `by group`, `by unit`, `limit`,
/// `passive`, `helper`, `log`, `until`.
#[must_use]
pub fn sentence(sentence: &Sentence) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = match &sentence.kind {
        SentenceKind::Define(define) => {
            let _ = write!(out, "define {} = ", define.name.node);
            match &define.value {
                DefineValue::Items(items) => list(&mut out, items),
                DefineValue::File(name) => write!(out, "file \"{}\"", name.node),
                DefineValue::Feed(name) => write!(out, "feed \"{}\"", name.node),
            }
        }
        SentenceKind::Trust(values) => {
            out.push_str("trust ");
            list(&mut out, values)
        }
        SentenceKind::Default(pairs) => {
            let pairs: Vec<String> = pairs
                .iter()
                .map(|(verdict, way)| format!("{} {}", verdict.node.word(), way.node.word()))
                .collect();
            write!(out, "default {}", pairs.join(", "))
        }
        SentenceKind::Rule(rule) => self::rule(&mut out, rule),
        SentenceKind::Expect(expect) => self::expect(&mut out, expect),
        SentenceKind::Include(name) => write!(out, "include \"{}\"", name.node),
        SentenceKind::Nat(nat) => self::nat(&mut out, nat),
    };
    out
}

fn rule(out: &mut String, rule: &RuleSentence) -> fmt::Result {
    out.push_str(rule.verdict.node.word());
    // Without a thing, `block` covers more ways than `in`.
    way(out, rule.way.as_ref(), rule.things.is_empty() && rule.verdict.node != Verdict::Allow);
    if !rule.things.is_empty() {
        out.push(' ');
        list(out, &rule.things)?;
    }
    clauses(out, rule)
}

/// All that stands behind the things of a rule, with a blank before it.
pub(super) fn clauses(out: &mut String, rule: &RuleSentence) -> fmt::Result {
    scope(out, &rule.scope)?;
    if let Some(limit) = &rule.limit {
        let limit = &limit.node;
        write!(out, " limit {}/{}", limit.rate.node, unit_word(limit.seconds))?;
        if let Some(burst) = &limit.burst {
            write!(out, " burst {}", burst.node)?;
        }
        if limit.per_source {
            out.push_str(" per source");
        }
        if let Some(ban) = &limit.ban {
            write!(out, " then ban {}", duration(ban.node))?;
        }
    }
    if let Some(passive) = &rule.passive {
        write!(out, " passive {}", passive.node)?;
    }
    if rule.helper.is_some() {
        out.push_str(" helper");
    }
    if rule.log.is_some() {
        out.push_str(" log");
    }
    if let Some(until) = &rule.until {
        write!(out, " until {}", until.node)?;
    }
    Ok(())
}

fn expect(out: &mut String, expect: &ExpectSentence) -> fmt::Result {
    out.push_str("expect");
    way(out, expect.way.as_ref(), false);
    out.push(' ');
    list(out, &expect.things)?;
    scope(out, &expect.scope)?;
    out.push_str(if expect.allowed.node { " is allowed" } else { " is blocked" });
    Ok(())
}

fn nat(out: &mut String, nat: &Nat) -> fmt::Result {
    match nat {
        Nat::Masquerade { from, on } => {
            out.push_str("masquerade from ");
            list(out, from)?;
            out.push_str(" on ");
            list(out, on)
        }
        Nat::Redirect { ports, to } => write!(out, "redirect {} to {}", ports.node, to.node),
        Nat::Publish { ports, to } => write!(out, "publish {} to {}", ports.node, to.node),
    }
}

fn way(out: &mut String, way: Option<&Spanned<Way>>, in_matters: bool) {
    if let Some(way) = way.filter(|way| way.node != Way::In || in_matters) {
        out.push(' ');
        out.push_str(way.node.word());
    }
}

fn scope(out: &mut String, scope: &Scope) -> fmt::Result {
    except(out, scope.except.as_ref())?;
    peer(out, "from", scope.from.as_ref())?;
    peer(out, "to", scope.to.as_ref())?;
    if let Some(on) = &scope.on {
        out.push_str(" on ");
        list(out, &on.node)?;
    }
    by(out, "user", scope.by_user.as_ref())?;
    by(out, "group", scope.by_group.as_ref())?;
    by(out, "unit", scope.by_unit.as_ref())
}

fn peer(out: &mut String, word: &str, peer: Option<&Peer>) -> fmt::Result {
    let Some(peer) = peer else { return Ok(()) };
    write!(out, " {word} ")?;
    match &peer.who {
        Who::Anyone => out.push_str("anyone"),
        Who::Values { outside, values } => {
            if outside.is_some() {
                out.push_str("outside ");
            }
            list(out, values)?;
        }
    }
    except(out, peer.except.as_ref())
}

fn except(out: &mut String, except: Option<&Spanned<Vec<Spanned<Value>>>>) -> fmt::Result {
    let Some(except) = except else { return Ok(()) };
    out.push_str(" except ");
    list(out, &except.node)
}

fn by(out: &mut String, kind: &str, by: Option<&By>) -> fmt::Result {
    let Some(by) = by else { return Ok(()) };
    write!(out, "{} by {kind} ", if by.except { " except" } else { "" })?;
    list(out, &by.accounts)
}

fn list<T: Display>(out: &mut String, items: &[Spanned<T>]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        write!(out, "{}{}", if at == 0 { "" } else { ", " }, item.node)?;
    }
    Ok(())
}

/// The shortest way to write so many seconds.
fn duration(seconds: u64) -> String {
    [(86400, 'd'), (3600, 'h'), (60, 'm')]
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .map_or_else(|| format!("{seconds}s"), |(unit, letter)| format!("{}{letter}", seconds / unit))
}

impl Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::Name(name) => f.write_str(name),
            Thing::Ports(ports) => ports.fmt(f),
            Thing::Ping => f.write_str("ping"),
            Thing::Icmp(name) => write!(f, "icmp {}", name.node),
            Thing::Protocol(name) => write!(f, "protocol {}", name.node),
            Thing::Anything => f.write_str("anything"),
        }
    }
}

impl Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Value(value) => value.fmt(f),
            Item::Ports(ports) => ports.fmt(f),
            Item::Interface(name) => write!(f, "interface {name}"),
            Item::Ping => f.write_str("ping"),
            Item::Icmp(name) => write!(f, "icmp {}", name.node),
            Item::Protocol(name) => write!(f, "protocol {}", name.node),
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Prefix(prefix) => prefix.fmt(f),
            Value::Range(range) => range.fmt(f),
            Value::Name(name) => f.write_str(name),
        }
    }
}

impl Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.range, self.protos.word())
    }
}
