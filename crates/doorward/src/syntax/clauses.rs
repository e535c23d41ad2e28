//! What stands behind the things of a sentence: who, where, how often; each kind at most once.

use super::ast::{By, Limit, Peer, Scope, Value, Way, Who};
use super::reader::{Read, Reader};
use super::value::{self, Mistake};
use super::verbs::values_end;
use super::{foreign, words};
use crate::net::PortRange;
use crate::report::{Report, Span, Spanned, suggest};

/// Clauses whose items are joined by commas.
const LISTS: [&str; 7] = ["from", "to", "except", "on", "by user", "by group", "by unit"];

/// The clauses of one sentence while they are read.
pub(super) struct Clauses {
    /// The first word of the sentence.
    verb: &'static str,
    way: Option<Way>,
    parts: Parts,
    /// Which kinds were said, and where.
    seen: Vec<(&'static str, Span)>,
}

/// The clauses of one sentence.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) scope: Scope,
    pub(super) limit: Option<Spanned<Limit>>,
    pub(super) passive: Option<Spanned<PortRange>>,
    pub(super) helper: Option<Span>,
    pub(super) log: Option<Span>,
    pub(super) until: Option<Spanned<String>>,
}

impl Clauses {
    pub(super) fn new(verb: &'static str, way: Option<Way>) -> Clauses {
        Clauses { verb, way, parts: Parts::default(), seen: Vec::new() }
    }

    pub(super) fn scope_is_empty(&self) -> bool {
        !self.seen.iter().any(|(kind, _)| LISTS.contains(kind))
    }

    /// Reads clauses until the sentence ends, or `is` comes.
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        while !reader.at_end() {
            let Some(word) = reader.word() else {
                return self.no_clause(reader, reader.text_at(reader.position()));
            };
            match word {
                "is" => return Ok(()),
                "from" | "to" => self.peer(reader, word == "from")?,
                "except" if reader.word_ahead(1) == Some("by") => self.by(reader, true)?,
                "except" => self.except(reader)?,
                "by" => self.by(reader, false)?,
                "on" => self.on(reader)?,
                "limit" => self.limit(reader)?,
                "passive" => self.passive(reader)?,
                "helper" | "log" => self.flag(reader, word == "helper")?,
                "until" => self.until(reader)?,
                other => return self.no_clause(reader, other),
            }
        }
        Ok(())
    }

    /// What can only be judged when all were read.
    pub(super) fn finish(self, reader: &mut Reader<'_>) -> Read<Parts> {
        if let Some(helper) = self.parts.helper
            && self.parts.passive.is_none()
            && !self.said("passive")
        {
            return reader.stop(
                Report::error(
                    "helper-alone",
                    helper,
                    "`helper` without a range would let related connections in to any port",
                )
                .label("say the range before it")
                .way_out("for example `allow ftp passive 50000-50100 helper`"),
            );
        }
        if let Some((kind, span)) = self.seen.iter().find(|(kind, _)| kind.starts_with("by "))
            && self.way != Some(Way::Out)
        {
            let way = self.way.map_or("in", Way::word);
            return reader.stop(
                Report::error(
                    "by-way",
                    *span,
                    format!("the kernel knows no {} of what comes `{way}`", &kind[3..]),
                )
                .label("`by` belongs to `out`")
                .way_out(format!("what this host sends: `{} out … {kind} …`", self.verb)),
            );
        }
        Ok(self.parts)
    }

    fn said(&self, kind: &str) -> bool {
        self.seen.iter().any(|(seen, _)| *seen == kind)
    }

    /// Each kind at most once.
    fn once(&mut self, reader: &mut Reader<'_>, kind: &'static str, first: usize, span: Span) -> Read<()> {
        let Some((_, earlier)) = self.seen.iter().find(|(seen, _)| *seen == kind) else {
            self.seen.push((kind, span));
            return Ok(());
        };
        let report = Report::error("clause-twice", span, format!("`{kind}` is said twice"))
            .other(*earlier, "the first is here");
        let end = first + kind.split(' ').count();
        if LISTS.contains(&kind)
            && self.seen.last().is_some_and(|(last, _)| *last == kind)
            && reader.text_at(end - 1) != "by"
        {
            reader.fix(first, end, ",");
        }
        let report = match kind {
            list if LISTS.contains(&list) => {
                report.label("use a comma").way_out(format!("one list for both: `{kind} A, B`"))
            }
            _ => report.label("keep one of them"),
        };
        reader.stop(report)
    }

    fn peer(&mut self, reader: &mut Reader<'_>, from: bool) -> Read<()> {
        let first = reader.position();
        let span = reader.step();
        let kind = if from { "from" } else { "to" };
        self.once(reader, kind, first, span)?;
        let who = who(reader, kind)?;
        values_end(reader)?;
        let except = if reader.word() == Some("except") && reader.word_ahead(1) != Some("by") {
            Some(excepted(reader)?)
        } else {
            None
        };
        let peer = Peer { span: reader.since(first), who, except };
        if from {
            self.parts.scope.from = Some(peer);
        } else {
            self.parts.scope.to = Some(peer);
        }
        Ok(())
    }

    /// `except` on its own.
    fn except(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        let here = reader.here();
        if let Some((previous, _)) = self.seen.last()
            && matches!(*previous, "from" | "to")
            && self.parts.scope.except.is_none()
        {
            // The one before it took an `except` already.
            let peer = if *previous == "from" { &self.parts.scope.from } else { &self.parts.scope.to };
            if let Some(first) = peer.as_ref().and_then(|peer| peer.except.as_ref()) {
                return reader.stop(
                    Report::error("clause-twice", here, "`except` is said twice")
                        .other(first.span, "the first is here")
                        .label("use a comma")
                        .way_out("one list for both: `except A, B`"),
                );
            }
        }
        self.once(reader, "except", reader.position(), here)?;
        self.parts.scope.except = Some(excepted(reader)?);
        Ok(())
    }

    fn by(&mut self, reader: &mut Reader<'_>, except: bool) -> Read<()> {
        let first = reader.position();
        let mut span = reader.step();
        if except {
            span = span.to(reader.step());
        }
        let (at, here) = (reader.position(), reader.here());
        let kind = match reader.word() {
            Some("user") => "by user",
            Some("group") => "by group",
            Some("unit") => "by unit",
            Some(word) => {
                let report = Report::error(
                    "by-whom",
                    here,
                    format!("behind `by` stands whether `{word}` is a user or a group"),
                );
                let meant =
                    suggest(word, ["user", "group", "unit"]).filter(|_| reader.word_ahead(1).is_some());
                let meant = meant.map_or_else(|| format!("user {word}"), str::to_owned);
                reader.fix(at, at + 1, meant.clone());
                return reader.stop(report.label(format!("did you mean `{meant}`?")));
            }
            None => return reader.missing("`user` or `group`"),
        };
        reader.step();
        self.once(reader, kind, first, span)?;
        let what =
            if kind == "by group" { "the name or number of a group" } else { "the name or number of a user" };
        let accounts = reader.list(|reader| {
            let (at, here) = (reader.position(), reader.here());
            if let Some(word @ ("user" | "group")) = reader.word()
                && reader.word_ahead(1).is_some_and(|next| !words::is_clause(next))
            {
                reader.fix(at - 1, at + 1, format!("by {word}"));
                return reader.stop(
                    Report::error("by-list", here, format!("a list goes on with names, not with `{word}`"))
                        .label("start a clause of its own")
                        .way_out(format!("both must hold then: `… by {word} …`")),
                );
            }
            reader.opaque(what, account)
        })?;
        values_end(reader)?;
        let by = By { span: reader.since(first), except, accounts };
        let scope = &mut self.parts.scope;
        match kind {
            "by user" => scope.by_user = Some(by),
            "by group" => scope.by_group = Some(by),
            _ => {
                reader.say(
                    Report::error("not-yet-unit", by.span, "`by unit` is not in this version")
                        .label("read, and refused")
                        .way_out("give the service a user of its own, and say `by user`"),
                );
                scope.by_unit = Some(by);
            }
        }
        Ok(())
    }

    fn on(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        let first = reader.position();
        let span = reader.step();
        self.once(reader, "on", first, span)?;
        let names = reader.list(|reader| reader.opaque("the name of an interface", value::interface))?;
        values_end(reader)?;
        self.parts.scope.on = Some(Spanned::new(names, reader.since(first)));
        Ok(())
    }

    fn not_here(&self, reader: &mut Reader<'_>, word: &str) -> Read<()> {
        let span = reader.here();
        if self.verb == "expect" {
            return reader.stop(
                Report::error("clause-in-expect", span, format!("an expectation takes no `{word}`"))
                    .label("it asks who gets through, nothing else")
                    .way_out(format!("`{word}` belongs to the sentence that allows")),
            );
        }
        if self.verb != "allow" && word == "limit" {
            return reader.stop(
                Report::error("limit-not-allow", span, format!("`limit` belongs to `allow`, not to `{}`", self.verb))
                    .label("take it out, or allow so much of it")
                    .way_out("what is above the limit of an `allow` is not allowed by it: `allow ssh limit 6/minute per source`"),
            );
        }
        Ok(())
    }

    fn limit(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        self.not_here(reader, "limit")?;
        let first = reader.position();
        let span = reader.step();
        self.once(reader, "limit", first, span)?;
        let rate = rate(reader)?;
        let burst = match reader.eat("burst") {
            Some(_) => reader.value("a number", burst)?,
            None => None,
        };
        let per_source = per_source(reader)?;
        if let Some("burst") = reader.word() {
            let (at, here) = (reader.position(), reader.here());
            if let Some(number) = reader.word_ahead(1) {
                reader.fix(at - 2, at + 2, format!("burst {number} per source"));
            }
            return reader.stop(
                Report::error("limit-order", here, "`burst` stands before `per source`")
                    .label("change their places"),
            );
        }
        let ban = match reader.eat("then") {
            Some(then) => {
                if reader.eat("ban").is_none() {
                    return reader.missing("`ban`");
                }
                let duration = reader.value("a duration, like `10m`", value::duration)?;
                if duration.is_some() {
                    reader.say(
                        Report::error("not-yet-ban", then.to(reader.since(first)), "`then ban` is not in this version")
                            .label("read, and refused")
                            .way_out("leave it out: above the limit nothing is let in, which holds off guessers as well"),
                    );
                }
                duration
            }
            None => None,
        };
        if let Some(rate) = rate {
            let (count, seconds) = rate.node;
            let limit = Limit { rate: Spanned::new(count, rate.span), seconds, burst, per_source, ban };
            self.parts.limit = Some(Spanned::new(limit, reader.since(first)));
        }
        Ok(())
    }

    fn passive(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        self.not_here(reader, "passive")?;
        let (first, span) = (reader.position(), reader.step());
        self.once(reader, "passive", first, span)?;
        self.parts.passive =
            reader.value("a range of ports, like `50000-50100`", |word| match word.split_once('/') {
                Some((range, _)) if value::port_range(range).is_ok() => {
                    Err(Mistake::new("passive-protocol", "the data connections of `passive` are always TCP")
                        .meant(range))
                }
                _ => value::port_range(word),
            })?;
        Ok(())
    }

    fn flag(&mut self, reader: &mut Reader<'_>, helper: bool) -> Read<()> {
        let kind = if helper { "helper" } else { "log" };
        self.not_here(reader, kind)?;
        let (first, span) = (reader.position(), reader.step());
        self.once(reader, kind, first, span)?;
        if helper {
            self.parts.helper = Some(span);
        } else {
            self.parts.log = Some(span);
        }
        Ok(())
    }

    fn until(&mut self, reader: &mut Reader<'_>) -> Read<()> {
        self.not_here(reader, "until")?;
        let first = reader.position();
        let span = reader.step();
        self.once(reader, "until", first, span)?;
        self.parts.until = reader.value("a point in time, like `2026-12-31`", value::time)?;
        if self.parts.until.is_some() {
            reader.say(
                Report::error("not-yet-until", reader.since(first), "`until` is not in this version")
                    .label("read, and refused")
                    .way_out("take the sentence out when its time is over: `doorward remove …`"),
            );
        }
        Ok(())
    }

    /// A word that starts no clause.
    fn no_clause(&mut self, reader: &mut Reader<'_>, word: &str) -> Read<()> {
        let (at, span) = (reader.position(), reader.here());
        if words::WAYS.contains(&word) {
            let verb = reader.text_at(0);
            if self.way.is_none() && at > 0 {
                reader.fix(0, 1, format!("{verb} {word}"));
                reader.fix(at, at + 1, "");
            }
            return reader.stop(
                Report::error("late-way", span, format!("`{word}` stands just behind `{verb}`"))
                    .label("say the way there, and once"),
            );
        }
        if self.verb == "expect"
            && (foreign::outcome(word).is_some() || matches!(word, "allowed" | "blocked"))
        {
            // What is expected is said without `is`; that is for the sentence to say.
            return Ok(());
        }
        if word == "," {
            return reader.missing("a clause");
        }
        if matches!(word, "burst" | "per" | "then") {
            return reader.stop(
                Report::error("limit-missing", span, format!("`{word}` belongs to a `limit`"))
                    .label("say the limit before it, like `limit 6/minute`"),
            );
        }
        if let Some(own) = foreign::clause(word) {
            reader.fix(at, at + 1, own);
            return reader.stop(
                Report::error("foreign-clause", span, format!("`{word}` is not a word of this language"))
                    .label(format!("did you mean `{own}`?")),
            );
        }
        let near = suggest(word, words::CLAUSES).filter(|_| !words::is_keyword(word));
        if let Some(meant) =
            near.filter(|meant| reader.word_ahead(1).is_some() || matches!(*meant, "log" | "helper"))
        {
            reader.fix(at, at + 1, meant);
            return reader.stop(
                Report::error("unknown-clause", span, format!("`{word}` starts no clause"))
                    .label(format!("did you mean `{meant}`?")),
            );
        }
        values_end(reader)?;
        reader.stop(
            Report::error("misplaced-word", span, format!("`{word}` has no place here"))
                .label("take it out, or begin a new sentence in a line of its own"),
        )
    }
}

fn who(reader: &mut Reader<'_>, kind: &str) -> Read<Who> {
    if reader.eat("anyone").is_some() {
        if reader.next_is(super::lex::Kind::Comma) {
            let span = reader.here();
            return reader.stop(
                Report::error("anyone-in-list", span, "`anyone` is everybody already")
                    .label("end the list here"),
            );
        }
        return Ok(Who::Anyone);
    }
    let outside = reader.eat("outside");
    if outside.is_some() && reader.word() == Some("anyone") {
        let span = reader.here();
        return reader.stop(
            Report::error("outside-anyone", span, "outside `anyone` is nobody")
                .label("name those who are meant"),
        );
    }
    let start = reader.position();
    let values = reader.list(|reader| {
        let (at, here) = (reader.position(), reader.here());
        match reader.word() {
            Some("outside") if at > start || outside.is_some() => {
                let inside: Vec<&str> = (start..at)
                    .map(|position| reader.text_at(position))
                    .filter(|text| *text != ",")
                    .collect();
                let outer: Vec<&str> = (1..).map_while(|ahead| reader.word_ahead(ahead)).take(1).collect();
                let report = Report::error(
                    "mixed-outside",
                    here,
                    "`outside` stands once, first, and speaks of the whole list",
                );
                let report = if outside.is_some() {
                    reader.fix(at, at + 1, "");
                    report.label("take it out: the list is outside of all its items")
                } else {
                    report.label("inside and outside do not mix").way_out(format!(
                        "say two sentences: `… {kind} {}` and `… {kind} outside {}`",
                        inside.join(", "),
                        outer.join("")
                    ))
                };
                reader.stop(report)
            }
            Some("anyone") => reader.stop(
                Report::error("anyone-in-list", here, "`anyone` is everybody already")
                    .label(format!("say `{kind} anyone` alone")),
            ),
            _ => address(reader),
        }
    })?;
    Ok(Who::Values { outside, values })
}

/// An address, a prefix, a range or a name; the start of a clause is none of them.
pub(super) fn address(reader: &mut Reader<'_>) -> Read<Option<Spanned<Value>>> {
    reader.value("an address or a name", value::value)
}

/// `except` and its values.
fn excepted(reader: &mut Reader<'_>) -> Read<Spanned<Vec<Spanned<Value>>>> {
    let first = reader.position();
    reader.step();
    let (at, here) = (reader.position(), reader.here());
    match reader.word() {
        Some(word @ ("user" | "group" | "unit")) => {
            reader.fix(at, at + 1, format!("by {word}"));
            return reader.stop(
                Report::error("except-without-by", here, format!("`except {word}` lacks its `by`"))
                    .label(format!("did you mean `except by {word}`?")),
            );
        }
        Some(word @ ("from" | "to")) => {
            reader.fix(at, at + 1, "");
            return reader.stop(
                Report::error("except-from", here, format!("`except` belongs to the `{word}` before it"))
                    .label("take this word out"),
            );
        }
        Some(word @ ("anyone" | "outside")) => {
            return reader.stop(
                Report::error(
                    "except-everybody",
                    here,
                    format!("`except {word}` leaves out what cannot be named"),
                )
                .label("addresses and names stand here"),
            );
        }
        _ => {}
    }
    let values = reader.list(address)?;
    values_end(reader)?;
    Ok(Spanned::new(values, reader.since(first)))
}

/// `account = name | number`.
fn account(word: &str) -> Result<String, Mistake> {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        return value::number(word).map(|number| number.to_string());
    }
    let fine = word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if fine {
        return Ok(word.to_owned());
    }
    Err(Mistake::new("not-an-account", format!("`{word}` is not the name of an account"))
        .label("a name as in /etc/passwd or /etc/group, or a number"))
}

fn rate(reader: &mut Reader<'_>) -> Read<Option<Spanned<(u32, u32)>>> {
    let at = reader.position();
    // `6 per minute`, `6 / minute`
    if let (Some(count), Some("per" | "/" | "a" | "an" | "each" | "every"), Some(unit)) =
        (reader.word(), reader.word_ahead(1), reader.word_ahead(2))
        && value::number(count).is_ok()
        && unit != "source"
    {
        let meant = format!("{count}/{unit}");
        reader.fix(at, at + 3, meant.clone());
        let span = reader.here().to(reader.span_at(at + 2));
        return reader.stop(
            Report::error("rate", span, "a rate is one word").label(format!("did you mean `{meant}`?")),
        );
    }
    reader.value("a rate, like `6/minute`", value::rate)
}

fn burst(word: &str) -> Result<u32, Mistake> {
    match value::number(word)? {
        0 => Err(Mistake::new("burst-zero", "a burst of 0 lets nothing through")
            .label("at least 1, or leave it out: then it is the number in the rate")),
        burst => Ok(burst),
    }
}

fn per_source(reader: &mut Reader<'_>) -> Read<bool> {
    if reader.eat("per").is_none() {
        return Ok(false);
    }
    let (at, here) = (reader.position(), reader.here());
    match reader.word() {
        Some("source") => {
            reader.step();
            Ok(true)
        }
        Some(word) => {
            if matches!(word, "ip" | "IP" | "address" | "host" | "client" | "src" | "peer")
                || suggest(word, ["source"]).is_some()
            {
                reader.fix(at, at + 1, "source");
            }
            reader.stop(
                Report::error(
                    "per-what",
                    here,
                    format!("a limit counts for the sentence or `per source`, not per `{word}`"),
                )
                .label("did you mean `source`?"),
            )
        }
        None => reader.missing("`source`"),
    }
}
