//! Sentences by their first word; leaves clauses and single tokens to others.

use super::ast::{
    Define, DefineValue, ExpectSentence, Item, Nat, RuleSentence, Sentence, SentenceKind, Thing, Value,
    Verdict, Way,
};
use super::clauses::{Clauses, address};
use super::lex::Kind;
use super::reader::{Read, Reader, Stop};
use super::value::{self, Mistake};
use super::{foreign, words};
use crate::report::{Report, Span, Spanned, suggest};
use std::net::SocketAddr;

/// What a sentence says, if it says anything; mistakes are in the reader.
pub(super) fn sentence(reader: &mut Reader<'_>) -> Option<Sentence> {
    let kind = kind(reader).ok()?;
    if !reader.at_end() && !reader.is_broken() {
        let _: Read<()> = left_over(reader);
    }
    (!reader.is_broken()).then(|| Sentence { span: reader.since(0), kind })
}

fn kind(reader: &mut Reader<'_>) -> Read<SentenceKind> {
    let Some(verb) = reader.word() else {
        let span = reader.here();
        return reader.stop(
            Report::error("no-verb", span, "a sentence starts with a word that says what happens")
                .label("for example `allow`"),
        );
    };
    match verb {
        "define" => define(reader),
        "trust" => trust(reader),
        "default" => default(reader),
        "allow" | "block" | "reject" => rule(reader).map(|rule| SentenceKind::Rule(Box::new(rule))),
        "expect" => expect(reader).map(|expect| SentenceKind::Expect(Box::new(expect))),
        "include" => {
            reader.step();
            let path = reader.string("the name of a file or folder")?.ok_or(Stop)?;
            Ok(SentenceKind::Include(path))
        }
        "masquerade" => masquerade(reader),
        "redirect" => redirect(reader),
        "publish" => publish(reader),
        _ => no_verb(reader, verb),
    }
}

/// The first word starts no sentence.
fn no_verb<T>(reader: &mut Reader<'_>, verb: &str) -> Read<T> {
    let span = reader.here();
    if let Some(own) = foreign::verb(verb) {
        reader.fix(0, 1, own);
        return reader.stop(
            Report::error("foreign-verb", span, format!("`{verb}` is not a word of this language"))
                .label(format!("did you mean `{own}`?")),
        );
    }
    let small = verb.to_lowercase();
    if small != verb && words::is_verb(&small) {
        reader.fix(0, 1, small.clone());
        return reader.stop(
            Report::error("capitals", span, "the words of the language are written small")
                .label(format!("did you mean `{small}`?")),
        );
    }
    let report = Report::error("unknown-verb", span, format!("no sentence starts with `{}`", shown(verb)));
    if let Some(meant) = suggest(verb, words::VERBS) {
        reader.fix(0, 1, meant);
        return reader.stop(report.label(format!("did you mean `{meant}`?")));
    }
    if verb == "in"
        || verb == "out"
        || verb == "published"
        || verb == "forward"
        || verb == "from"
        || verb == "to"
    {
        return reader.stop(report.label("the verb is missing: `allow`, `block` or `reject`"));
    }
    if value::is_name(verb) && reader.word_ahead(1).is_none() && reader.position() == 0 {
        return reader.stop(report.label(format!("to open it, write `allow {verb}`")));
    }
    reader.stop(report.label("a sentence starts with `allow`, `block`, `reject`, `trust`, `default`, `define`, `expect` or `include`"))
}

/// A word cut to what a message can bear.
fn shown(word: &str) -> String {
    if word.chars().count() <= 60 {
        word.to_owned()
    } else {
        word.chars().take(57).collect::<String>() + "..."
    }
}

/// Something stands behind a finished sentence.
fn left_over<T>(reader: &mut Reader<'_>) -> Read<T> {
    let (span, word) = (reader.here(), reader.text_at(reader.position()));
    reader.stop(
        Report::error("left-over", span, format!("the sentence is complete before `{}`", shown(word)))
            .label("take this out, or begin a new line"),
    )
}

fn define(reader: &mut Reader<'_>) -> Read<SentenceKind> {
    reader.step();
    let name = match reader.word() {
        None if reader.next_is(Kind::Equals) => return reader.missing("the name"),
        _ => reader.any("the name", value::name)?,
    };
    if reader.eat_kind(Kind::Equals).is_none() {
        let (at, span) = (reader.position(), reader.here());
        let report =
            Report::error("missing-equals", span, "between the name and what it stands for `=` is missing");
        if reader.at_end() {
            return reader.stop(report.label("for example `= 203.0.113.0/24`"));
        }
        // `define office as …`, `define office: …`
        if matches!(reader.word(), Some("as" | "is" | ":" | ":=" | "to")) {
            reader.fix(at, at + 1, "=");
        } else {
            let word = reader.text_at(at);
            reader.fix(at, at + 1, format!("= {word}"));
        }
        return reader.stop(report.label("`=` stands here"));
    }
    let value = match reader.word() {
        Some("file") => {
            reader.step();
            DefineValue::File(reader.string("the name of a file")?.ok_or(Stop)?)
        }
        Some("feed") => {
            let word = reader.step();
            let address = reader.string("the address of a feed")?.ok_or(Stop)?;
            // What may follow is said by the version that fetches.
            while !reader.at_end() {
                reader.step();
            }
            reader.say(
                Report::error("not-yet-feed", word, "`feed` is not in this version")
                    .label("read, and refused")
                    .way_out("fetch the list with a timer of your own and name it: `define spam = file \"spam.txt\"`"),
            );
            DefineValue::Feed(address)
        }
        _ => DefineValue::Items(reader.list(item)?),
    };
    let name = name.ok_or(Stop)?;
    Ok(SentenceKind::Define(Define { name, value }))
}

fn item(reader: &mut Reader<'_>) -> Read<Option<Spanned<Item>>> {
    let first = reader.position();
    if let Some("file" | "feed") = reader.word() {
        let span = reader.here();
        return reader.stop(
            Report::error("list-alone", span, "a list from a file stands alone in its definition")
                .label("give it a name of its own, and use both names"),
        );
    }
    if let Some("interface") = reader.word() {
        reader.step();
        let name = reader.opaque("the name of an interface", value::interface)?;
        return Ok(name.map(|name| Spanned::new(Item::Interface(name.node), reader.since(first))));
    }
    if let Some(word @ ("anyone" | "anything" | "outside")) = reader.word() {
        let span = reader.step();
        reader.say(
            Report::error("define-everything", span, format!("`{word}` needs no other name"))
                .label("say it in the sentence that means it"),
        );
        return Ok(None);
    }
    let thing = match reader.word() {
        Some("ping" | "icmp" | "protocol") => true,
        Some(word) => {
            !value::is_name(word)
                && !value::looks_like_address(word)
                && (word.contains('/') || foreign::bare_port(word).is_some())
        }
        None => false,
    };
    if thing {
        let thing = self::thing(reader)?;
        return Ok(thing.and_then(|thing| {
            let node = match thing.node {
                Thing::Ports(ports) => Item::Ports(ports),
                Thing::Ping => Item::Ping,
                Thing::Icmp(name) => Item::Icmp(name),
                Thing::Protocol(name) => Item::Protocol(name),
                Thing::Name(name) => Item::Value(Value::Name(name)),
                Thing::Anything => return None,
            };
            Some(Spanned::new(node, thing.span))
        }));
    }
    let value = reader.value("an address, a port or a name", value::value)?;
    Ok(value.map(|value| Spanned::new(Item::Value(value.node), value.span)))
}

/// `trust` values; it lifts everything, so it never speaks of everybody.
fn trust(reader: &mut Reader<'_>) -> Read<SentenceKind> {
    reader.step();
    let (at, span) = (reader.position(), reader.here());
    match reader.word() {
        Some("from") => {
            reader.fix(at, at + 1, "");
            return reader.stop(
                Report::error("trust-from", span, "`trust` says already that connections come from there")
                    .label("take `from` out"),
            );
        }
        Some("outside") => {
            return reader.stop(
                Report::error(
                    "trust-outside",
                    span,
                    "`trust outside` would lift every block for almost everybody",
                )
                .label("name those who are trusted"),
            );
        }
        _ => {}
    }
    let values = reader.list(|reader| {
        let (span, word) = (reader.here(), reader.word().unwrap_or(""));
        if word == "anyone" || foreign::everybody(word).is_some() {
            return reader.stop(trust_everybody(span, word));
        }
        let value = address(reader)?;
        if let Some(Value::Prefix(prefix)) = value.as_ref().map(|value| &value.node)
            && prefix.is_everything()
        {
            return reader.stop(trust_everybody(span, word));
        }
        Ok(value)
    })?;
    if let Some(word) = reader.word()
        && (words::is_clause(word) || words::WAYS.contains(&word))
    {
        let span = reader.here();
        return reader.stop(
            Report::error(
                "trust-clause",
                span,
                format!("`trust` takes addresses and names, and no `{word}`"),
            )
            .label("a trusted address is trusted for everything")
            .way_out("to open one thing only, say so: `allow ssh from office`"),
        );
    }
    values_end(reader)?;
    Ok(SentenceKind::Trust(values))
}

fn trust_everybody(span: Span, word: &str) -> Report {
    Report::error("trust-anyone", span, format!("`trust {word}` would lift every block"))
        .label("name those who are trusted")
        .way_out("`default allow in` opens everything and keeps what blocks")
}

/// Behind a list: the end, or a word that lacks its comma.
pub(super) fn values_end(reader: &mut Reader<'_>) -> Read<()> {
    let Some(word) = reader.word() else { return Ok(()) };
    let (at, span) = (reader.position(), reader.here());
    if matches!(word, "and" | "or" | "&" | "+" | "also") {
        reader.fix(at, at + 1, ",");
        return reader.stop(
            Report::error("comma-as-word", span, format!("`{word}` is not how a list goes on"))
                .label("put a comma in its place"),
        );
    }
    let clause = foreign::clause(word).or_else(|| suggest(word, words::CLAUSES));
    if words::is_keyword(word) || clause.is_some() && reader.word_ahead(1).is_some() {
        return Ok(());
    }
    let before = reader.text_at(at.saturating_sub(1));
    // `203.0.113.1 - 203.0.113.9`
    if word == "-" && reader.word_ahead(1).is_some() {
        let next = reader.text_at(at + 1);
        reader.fix(at - 1, at + 2, format!("{before}-{next}"));
        return reader.stop(
            Report::error("blanks-in-range", span, "a range is written without blanks")
                .label(format!("did you mean `{before}-{next}`?")),
        );
    }
    reader.fix(at, at + 1, format!(", {word}"));
    reader.stop(
        Report::error(
            "missing-comma",
            span,
            format!("between `{}` and `{}` a comma is missing", shown(before), shown(word)),
        )
        .label("items of a list are joined by commas"),
    )
}

fn default(reader: &mut Reader<'_>) -> Read<SentenceKind> {
    reader.step();
    let mut verdict_before: Option<Verdict> = None;
    let mut seen: Vec<(Way, Span)> = Vec::new();
    let pairs = reader.list(|reader| {
        let (at, span) = (reader.position(), reader.here());
        if let (Some(verdict), Some(way)) =
            (verdict_before, reader.word().filter(|w| words::WAYS.contains(w)))
        {
            reader.fix(at, at + 1, format!("{} {way}", verdict.word()));
            reader.step();
            reader.say(
                Report::error("default-verdict-again", span, format!("what happens to `{way}` is not said"))
                    .label(format!("say `{}` again", verdict.word())),
            );
            return Ok(None);
        }
        let verdict = verdict(reader)?;
        verdict_before = Some(verdict.node);
        let (at, span) = (reader.position(), reader.here());
        let Some(way) = way(reader) else {
            return not_a_way(reader, at, span);
        };
        if let Some((_, first)) = seen.iter().find(|(seen, _)| *seen == way.node) {
            reader.say(
                Report::error("default-twice", way.span, format!("`{}` has two defaults", way.node.word()))
                    .label("keep one of them")
                    .other(*first, "the first is here"),
            );
            return Ok(None);
        }
        seen.push((way.node, way.span));
        Ok(Some((verdict, way)))
    })?;
    if !reader.at_end() {
        let (at, span) = (reader.position(), reader.here());
        let word = reader.text_at(at);
        if words::is_clause(word) {
            return reader.stop(
                Report::error("default-clause", span, format!("a default takes no `{word}`"))
                    .label("it speaks of everything that is left")
                    .way_out(
                        "say what differs in a sentence of its own, for example `allow anything from office`",
                    ),
            );
        }
        if Verdict::ALL.iter().any(|verdict| verdict.word() == word) {
            reader.fix(at, at + 1, format!(", {word}"));
            return reader.stop(
                Report::error("missing-comma", span, format!("before `{word}` a comma is missing"))
                    .label("defaults are joined by commas"),
            );
        }
        return left_over(reader);
    }
    Ok(SentenceKind::Default(pairs))
}

fn verdict(reader: &mut Reader<'_>) -> Read<Spanned<Verdict>> {
    let (at, span) = (reader.position(), reader.here());
    let Some(word) = reader.word() else { return reader.missing("`allow`, `block` or `reject`") };
    if let Some(verdict) = Verdict::ALL.into_iter().find(|verdict| verdict.word() == word) {
        reader.step();
        return Ok(Spanned::new(verdict, span));
    }
    let report = Report::error("not-a-verdict", span, format!("`{}` does not say what happens", shown(word)));
    let meant = foreign::verb(word)
        .filter(|own| matches!(*own, "allow" | "block" | "reject"))
        .or_else(|| suggest(word, Verdict::ALL.map(Verdict::word)));
    match meant {
        Some(meant) => {
            reader.fix(at, at + 1, meant);
            reader.stop(report.label(format!("did you mean `{meant}`?")))
        }
        None if words::WAYS.contains(&word) => {
            let next = reader.word_ahead(1).and_then(|next| {
                foreign::verb(next)
                    .or(Verdict::ALL.into_iter().map(Verdict::word).find(|verdict| *verdict == next))
            });
            if let Some(next) = next {
                reader.fix(at, at + 2, format!("{next} {word}"));
            }
            reader.stop(report.label("first `allow`, `block` or `reject`, then the way"))
        }
        None => reader.stop(report.label("it is `allow`, `block` or `reject`")),
    }
}

fn not_a_way<T>(reader: &mut Reader<'_>, at: usize, span: Span) -> Read<T> {
    let Some(word) = reader.word() else { return reader.missing("`in`, `out`, `published` or `forward`") };
    let report = Report::error("not-a-way", span, format!("`{}` is not a way", shown(word)));
    match foreign::way(word).or_else(|| suggest(word, words::WAYS)) {
        Some(meant) => {
            reader.fix(at, at + 1, meant);
            reader.stop(report.label(format!("did you mean `{meant}`?")))
        }
        None => reader.stop(report.label("it is `in`, `out`, `published` or `forward`")),
    }
}

fn way(reader: &mut Reader<'_>) -> Option<Spanned<Way>> {
    let word = reader.word()?;
    let way = Way::ALL.into_iter().find(|way| way.word() == word)?;
    Some(Spanned::new(way, reader.step()))
}

fn rule(reader: &mut Reader<'_>) -> Read<RuleSentence> {
    let verdict = verdict(reader)?;
    let way = way(reader);
    if way.is_some() && reader.next_is(Kind::Comma) {
        let span = reader.here();
        return reader.stop(
            Report::error("one-way", span, "a sentence speaks of one way")
                .label("write a sentence for each way"),
        );
    }
    let mut clauses = Clauses::new(verdict.node.word(), way.as_ref().map(|way| way.node));
    let says_thing = reader.word().is_some_and(|word| !words::is_clause(word))
        || !(reader.at_end() || reader.word().is_some());
    let things = if says_thing { things(reader)? } else { Vec::new() };
    if verdict.node == Verdict::Allow && !says_thing {
        return nothing_allowed(reader, way.as_ref());
    }
    clauses.read(reader)?;
    if !says_thing && clauses.scope_is_empty() {
        let (span, said) = (reader.since(0), verdict.node.word());
        let default = way.as_ref().map_or("in", |way| way.node.word());
        return reader.stop(
            Report::error(
                "shuts-everything",
                span,
                format!("`{said}` with nothing behind it would shut everything"),
            )
            .label("say what, or for whom")
            .way_out(format!("to shut all that no sentence opens: `default {said} {default}`")),
        );
    }
    let parts = clauses.finish(reader)?;
    Ok(RuleSentence {
        verdict,
        way,
        things,
        scope: parts.scope,
        limit: parts.limit,
        passive: parts.passive,
        helper: parts.helper,
        log: parts.log,
        until: parts.until,
    })
}

/// `allow from office`: what, is not said.
fn nothing_allowed<T>(reader: &mut Reader<'_>, way: Option<&Spanned<Way>>) -> Read<T> {
    let span = reader.here();
    let before = way.map_or("allow".to_owned(), |way| format!("allow {}", way.node.word()));
    let report = Report::error("allow-nothing", span, "what is allowed is not said")
        .label("a thing stands here, like `ssh` or `8080/tcp`");
    if reader.at_end() {
        return match way {
            Some(_) => reader
                .stop(report.way_out(format!("to allow all that no sentence shuts: `default {before}`"))),
            None => reader.stop(report),
        };
    }
    if !matches!(reader.word(), Some("from" | "to" | "on" | "except")) {
        return reader.stop(report);
    }
    let rest: Vec<&str> = (0..).map_while(|ahead| reader.word_ahead(ahead)).take(6).collect();
    let rest = if rest.len() < 6 { rest.join(" ") } else { format!("{} …", rest[..2].join(" ")) };
    reader.stop(report.way_out(format!("every protocol and port: `{before} anything {rest}`")))
}

fn expect(reader: &mut Reader<'_>) -> Read<ExpectSentence> {
    reader.step();
    if let Some(word) = reader.word()
        && let Some(verdict) = Verdict::ALL.into_iter().find(|verdict| verdict.word() == word)
    {
        let (at, span) = (reader.position(), reader.here());
        let outcome = if verdict == Verdict::Allow { "is allowed" } else { "is blocked" };
        let last = reader.end_position();
        reader.fix(at, at + 1, "");
        reader.fix(last, last, outcome);
        return reader.stop(
            Report::error(
                "expect-verdict",
                span,
                format!("an expectation says at its end what holds, not `{word}` here"),
            )
            .label(format!("take it out and end with `{outcome}`")),
        );
    }
    let way = way(reader);
    if reader.word().is_none_or(words::is_clause) {
        let span = reader.here();
        return reader.stop(
            Report::error("expect-nothing", span, "what is expected to be reachable or not, is not said")
                .label("a thing stands here, like `ssh` or `anything`"),
        );
    }
    let things = things(reader)?;
    let mut clauses = Clauses::new("expect", way.as_ref().map(|way| way.node));
    clauses.read(reader)?;
    let (at, span) = (reader.position(), reader.here());
    if reader.eat("is").is_none() {
        let report = Report::error("missing-is", span, "what is expected, is not said");
        if let Some(word) = reader.word()
            && let Some(outcome) = foreign::outcome(word)
        {
            reader.fix(at, at + 1, format!("is {outcome}"));
        }
        return reader.stop(report.label("end with `is allowed` or `is blocked`"));
    }
    let (at, span) = (reader.position(), reader.here());
    let allowed = match reader.word() {
        Some("allowed") => true,
        Some("blocked") => false,
        Some(word) => {
            let report =
                Report::error("expect-outcome", span, format!("`{}` cannot be expected", shown(word)));
            return match foreign::outcome(word).or_else(|| suggest(word, ["allowed", "blocked"])) {
                Some(meant) => {
                    reader.fix(at, at + 1, meant);
                    reader.stop(report.label(format!("did you mean `{meant}`?")))
                }
                None => reader.stop(report.label("it is `allowed` or `blocked`")),
            };
        }
        None => return reader.missing("`allowed` or `blocked`"),
    };
    reader.step();
    if let Some(word) = reader.word()
        && words::is_clause(word)
        && word != "is"
    {
        let span = reader.here();
        return reader.stop(
            Report::error("clause-behind-is", span, format!("`{word}` stands before `is`"))
                .label("the sentence ends with `is allowed` or `is blocked`"),
        );
    }
    let parts = clauses.finish(reader)?;
    Ok(ExpectSentence { way, things, scope: parts.scope, allowed: Spanned::new(allowed, span) })
}

fn things(reader: &mut Reader<'_>) -> Read<Vec<Spanned<Thing>>> {
    reader.list(thing)
}

fn thing(reader: &mut Reader<'_>) -> Read<Option<Spanned<Thing>>> {
    let first = reader.position();
    let Some(word) = reader.word() else {
        let name = reader.value("a thing", value::name)?;
        return Ok(name.map(|name| Spanned::new(Thing::Name(name.node), name.span)));
    };
    match word {
        "ping" => Ok(Some(Spanned::new(Thing::Ping, reader.step()))),
        "anything" => Ok(Some(Spanned::new(Thing::Anything, reader.step()))),
        "icmp" => {
            reader.step();
            let name = reader.opaque("the name of a type, like `echo-request`", icmp)?;
            Ok(name.map(|name| Spanned::new(Thing::Icmp(name), reader.since(first))))
        }
        "protocol" => {
            reader.step();
            let name = reader.opaque("the name or number of a protocol", protocol)?;
            Ok(name.map(|name| Spanned::new(Thing::Protocol(name), reader.since(first))))
        }
        _ => {
            if let Some((count, mistake)) = foreign::thing(word, reader.word_ahead(1), reader.word_ahead(2)) {
                for _ in 0..count {
                    reader.step();
                }
                if let Some(fix) = &mistake.fix {
                    reader.fix(first, first + count, fix.clone());
                }
                let span = reader.since(first);
                reader.say(mistake.at(span));
                return Ok(None);
            }
            reader.any("a thing", plain_thing)
        }
    }
}

/// A thing of one token.
fn plain_thing(word: &str) -> Result<Thing, Mistake> {
    if value::looks_like_address(word) {
        return Err(Mistake::new(
            "address-as-thing",
            format!("`{}` is an address, and here stands what is spoken of", shown(word)),
        )
        .label("addresses stand behind `from` or `to`")
        .way_out(format!("all that comes from there: `anything from {word}`")));
    }
    if word.contains('/') || foreign::bare_port(word).is_some() {
        return value::ports(word).map(Thing::Ports);
    }
    if words::is_keyword(word) {
        let mistake =
            Mistake::new("keyword-as-thing", format!("`{word}` is a word of the language and not a thing"));
        return Err(match word {
            "anyone" => mistake.meant("anything"),
            "tcp" | "udp" | "sctp" => {
                mistake.meant(format!("protocol {word}")).way_out(format!("one port of it: `80/{word}`"))
            }
            word if words::WAYS.contains(&word) => mistake.label("the way stands once, just behind the verb"),
            _ => mistake.label("a service, a port like `8080/tcp`, `ping` or `anything` stands here"),
        });
    }
    value::name(word).map(Thing::Name)
}

fn icmp(word: &str) -> Result<String, Mistake> {
    if word.bytes().all(|b| b.is_ascii_digit() || b == b'/') {
        let mistake =
            Mistake::new("icmp-number", format!("`icmp {word}` means another thing in IPv4 than in IPv6"));
        return Err(match foreign::icmp_name(word) {
            Some(name) => mistake.meant(name),
            None => mistake.label("types are called by their names, like `echo-request`"),
        });
    }
    Ok(word.to_owned())
}

fn protocol(word: &str) -> Result<String, Mistake> {
    if matches!(word, "icmp" | "ipv6-icmp" | "icmpv6" | "1" | "58") {
        return Err(Mistake::new(
            "protocol-icmp",
            format!("`protocol {word}` would take the messages that a host needs"),
        )
        .label("say which of them")
        .way_out("`ping`, or a type by its name: `icmp time-exceeded`"));
    }
    if word.bytes().all(|b| b.is_ascii_digit()) {
        let number = value::number(word)?;
        if number > 255 {
            return Err(Mistake::new("protocol-number", format!("there is no protocol {number}"))
                .label("protocols count from 0 to 255"));
        }
    }
    Ok(word.to_owned())
}

fn masquerade(reader: &mut Reader<'_>) -> Read<SentenceKind> {
    reader.step();
    if reader.eat("from").is_none() {
        return reader.missing("`from` and an address");
    }
    let from = reader.list(address)?;
    if reader.eat("on").is_none() {
        return reader.missing("`on` and an interface");
    }
    let on = reader.list(|reader| reader.opaque("the name of an interface", value::interface))?;
    Ok(SentenceKind::Nat(Nat::Masquerade { from, on }))
}

fn redirect(reader: &mut Reader<'_>) -> Read<SentenceKind> {
    reader.step();
    let ports = reader.value("a port like `80/tcp`", value::ports)?;
    if reader.eat("to").is_none() {
        return reader.missing("`to` and a port");
    }
    let to = reader.value("a port", value::port)?;
    let (Some(ports), Some(to)) = (ports, to) else { return Err(Stop) };
    Ok(SentenceKind::Nat(Nat::Redirect { ports, to }))
}

fn publish(reader: &mut Reader<'_>) -> Read<SentenceKind> {
    reader.step();
    let ports = reader.value("a port like `2222/tcp`", value::ports)?;
    if reader.eat("to").is_none() {
        return reader.missing("`to` and an address");
    }
    let to = reader.value("an address and a port", |word| {
        word.parse::<SocketAddr>().ok().filter(|to| to.port() != 0).ok_or_else(|| {
            Mistake::new("not-a-target", format!("`{word}` is not an address with a port"))
                .label("write it like `10.0.0.5:22` or `[2001:db8::5]:22`")
        })
    })?;
    let (Some(ports), Some(to)) = (ports, to) else { return Err(Stop) };
    Ok(SentenceKind::Nat(Nat::Publish { ports, to }))
}
