//! Clauses that narrow a sentence, as values: addresses, interfaces, accounts; knows no verdict.

use super::Context;
use super::facts::Host;
use super::model::{Accounts, Interface, Peers, Scope, Way};
use super::names::{self, Meaning, Wanted, interface};
use crate::catalogue;
use crate::net::{AddrSet, Family, IpRange, Prefix};
use crate::report::{Report, Span, Spanned, suggest};
use crate::syntax::ast::{self, By, Peer, Value, Who};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

impl Context<'_> {
    /// The clauses of a sentence; none when one of them is wrong, which is said.
    pub(super) fn scope(&mut self, said: &ast::Scope, ways: &[Way]) -> Option<Scope> {
        let from = self.peer(said.from.as_ref());
        let to = self.peer(said.to.as_ref());
        let on = self.on(said.on.as_ref());
        let user = said.by_user.as_ref().map(|by| self.by(by, Kind::User));
        let group = said.by_group.as_ref().map(|by| self.by(by, Kind::Group));
        let (mut from, mut to) = (from?, to?);
        // Alone, `except` speaks of the other side: the source, in `out` the destination.
        if let Some(except) = &said.except {
            let side = if *ways == [Way::Out] { &mut to } else { &mut from };
            self.except(side, except)?;
        }
        let (user, group) = match (user, group) {
            (Some(None), _) | (_, Some(None)) => return None,
            (user, group) => (user.flatten(), group.flatten()),
        };
        let scope = Scope { from, to, on: on?, user, group };
        self.can_match(said, &scope);
        Some(scope)
    }

    fn peer(&mut self, said: Option<&Peer>) -> Option<Peers> {
        let Some(said) = said else { return Some(Peers::default()) };
        let mut peers = Peers::default();
        let who = match &said.who {
            Who::Anyone => Some(()),
            Who::Values { outside: None, values } => self.addresses(values).map(|set| peers.only = Some(set)),
            Who::Values { outside: Some(_), values } => {
                self.all_but(values, "outside", &AddrSet::everyone()).map(|set| peers.except = Some(set))
            }
        };
        let except = match &said.except {
            Some(except) => self.except(&mut peers, except),
            None => Some(()),
        };
        who.and(except).map(|()| peers)
    }

    fn except(&mut self, peers: &mut Peers, said: &Spanned<Vec<Spanned<Value>>>) -> Option<()> {
        let whole = peers.only.as_deref().cloned().unwrap_or_else(AddrSet::everyone);
        let set = self.all_but(&said.node, "except", &whole)?;
        if !whole.meets(&set) {
            self.reports.push(
                Report::warning("except-nobody", said.span, "none of these is among those before `except`")
                    .label("this takes nobody out")
                    .way_out("take it out, or see whether the addresses are right"),
            );
        }
        peers.except = Some(match peers.except.take() {
            Some(before) => Arc::new(before.union(&set)),
            None => set,
        });
        Some(())
    }

    /// The values behind `outside` or `except`, which are taken over both families.
    fn all_but(&mut self, values: &[Spanned<Value>], word: &str, whole: &AddrSet) -> Option<Arc<AddrSet>> {
        let set = self.addresses(values)?;
        let named = values.iter().find_map(|value| match &value.node {
            Value::Name(name) => Some((name, value.span)),
            _ => None,
        });
        let Some((name, place)) = named else { return Some(set) };
        if set.is_empty() {
            self.reports.push(
                Report::error(
                    "nobody-left-out",
                    place,
                    format!("`{name}` is empty: `{word} {name}` would be everybody"),
                )
                .label("an empty list stands here")
                .way_out("fill the list, or leave this out to say that everybody is meant"),
            );
            return None;
        }
        for family in Family::BOTH {
            if set.lacks(family) && !whole.lacks(family) {
                self.reports.push(
                    Report::warning(
                        "one-family-left-out",
                        place,
                        format!("`{name}` has no {family} address, so `{word} {name}` is everybody there"),
                    )
                    .label(format!("all of {family} is meant, too"))
                    .way_out(format!("add its {family} addresses to `{name}`")),
                );
            }
        }
        Some(set)
    }

    /// Values as one set; a single name shares the set of its definition.
    pub(super) fn addresses(&mut self, values: &[Spanned<Value>]) -> Option<Arc<AddrSet>> {
        if let [Spanned { node: Value::Name(name), span }] = values {
            return self.addresses_of(name, *span);
        }
        let (mut prefixes, mut ranges, mut sets): (Vec<Prefix>, Vec<IpRange>, Vec<Arc<AddrSet>>) =
            Default::default();
        let mut whole = true;
        for value in values {
            match &value.node {
                Value::Prefix(prefix) => prefixes.push(*prefix),
                Value::Range(range) => ranges.push(*range),
                Value::Name(name) => match self.addresses_of(name, value.span) {
                    Some(set) => sets.push(set),
                    None => whole = false,
                },
            }
        }
        sets.push(Arc::new(AddrSet::new(prefixes, ranges)));
        whole.then(|| names::union(sets))
    }

    fn addresses_of(&mut self, name: &str, span: Span) -> Option<Arc<AddrSet>> {
        let wrong = |what: &str| {
            Report::error(
                "not-addresses",
                span,
                format!("`{name}` stands for {what}, and here stand addresses"),
            )
        };
        let report = match self.names.own(name).map(|named| (&named.meaning, named.define.name.span)) {
            Some((Meaning::Addresses(set), _)) => return Some(Arc::clone(set)),
            Some((Meaning::Broken, _)) => return None,
            Some((meaning @ Meaning::Things(_), place)) => wrong(meaning.kind())
                .label("a thing stands before `from` and `to`")
                .other(place, "it is defined here"),
            Some((meaning @ Meaning::Interfaces(_), place)) => wrong(meaning.kind())
                .label(format!("did you mean `on {name}`?"))
                .other(place, "it is defined here"),
            None if self.names.is_broken(name) => return None,
            None if catalogue::named(name).is_some() => {
                wrong("a service").label("a thing stands before `from` and `to`, like `allow ssh from …`")
            }
            None if self.host.interfaces.iter().any(|i| i.name == name) => {
                wrong("an interface of this host").label(format!("did you mean `on {name}`?"))
            }
            None => self.names.unknown(name, span, Wanted::Addresses),
        };
        self.reports.push(report);
        None
    }

    /// Interfaces by name.
    pub(super) fn on(&mut self, said: Option<&Spanned<Vec<Spanned<String>>>>) -> Option<Vec<Interface>> {
        let Some(said) = said else { return Some(Vec::new()) };
        let mut said_so: Vec<(Interface, &Spanned<String>)> = Vec::new();
        let mut whole = true;
        for name in &said.node {
            let found: Vec<Interface> =
                match self.names.own(&name.node).map(|named| (&named.meaning, named.define.name.span)) {
                    Some((Meaning::Interfaces(list), _)) => list.to_vec(),
                    Some((Meaning::Broken, _)) => {
                        whole = false;
                        continue;
                    }
                    Some((meaning, place)) => {
                        let label = match meaning {
                            Meaning::Addresses(_) => format!("did you mean `from {}`?", name.node),
                            _ => "an interface stands here, like `eth0`".to_owned(),
                        };
                        let report = Report::error(
                        "not-an-interface",
                        name.span,
                        format!(
                            "`{}` stands for {}, and behind `on` stand interfaces",
                            name.node,
                            meaning.kind()
                        ),
                    )
                    .label(label)
                    .other(place, "it is defined here")
                    .way_out(
                        "an own name wins over an interface: rename the definition if the interface is meant",
                    );
                        self.reports.push(report);
                        whole = false;
                        continue;
                    }
                    None if self.names.is_broken(&name.node) => {
                        whole = false;
                        continue;
                    }
                    None => vec![interface(&name.node)],
                };
            said_so.extend(found.into_iter().map(|one| (one, name)));
        }
        let some_there = said_so.iter().any(|(one, _)| self.is_there(one));
        let mut all: Vec<Interface> = Vec::new();
        for (one, name) in said_so {
            // In `docker0, br-*` the star stands for what may come.
            if !(one.wildcard && some_there) {
                self.interface_exists(&one, name);
            }
            if !all.contains(&one) {
                all.push(one);
            }
        }
        whole.then_some(all)
    }

    fn is_there(&self, one: &Interface) -> bool {
        self.host.interfaces.iter().any(|i| i.name != "lo" && one.matches(&i.name))
    }

    /// Warns of an interface that is not there, once for each.
    fn interface_exists(&mut self, one: &Interface, said: &Spanned<String>) {
        if one.name == "lo" && !one.wildcard {
            self.reports.push(
                Report::warning(
                    "on-loopback",
                    said.span,
                    "what is on `lo` always passes, whatever a sentence says",
                )
                .label("this never matches")
                .way_out("take the sentence out: programs of one host reach each other without it"),
            );
            return;
        }
        let there = &self.host.interfaces;
        if there.is_empty() || self.is_there(one) {
            return;
        }
        let name = one.to_string();
        if !self.missing_interfaces.insert(name.clone()) {
            return;
        }
        let report = Report::warning(
            "no-such-interface",
            said.span,
            format!("no interface of this host is called `{name}`"),
        );
        let others: Vec<&str> = there.iter().map(|i| i.name.as_str()).filter(|name| *name != "lo").collect();
        let report = match suggest(&one.name, others.iter().copied()) {
            Some(near) if !one.wildcard => report.label(format!("did you mean `{near}`?")),
            _ => report.label("this matches as soon as it is there"),
        };
        self.reports.push(match others.as_slice() {
            [] => report,
            others => report.way_out(format!("there are: {}", others.join(", "))),
        });
    }

    fn by(&mut self, said: &By, kind: Kind) -> Option<Accounts> {
        let mut ids = Vec::with_capacity(said.accounts.len());
        let mut whole = true;
        for account in &said.accounts {
            match kind.id(self.host, &account.node) {
                Some(id) if ids.contains(&id) => {}
                Some(id) => ids.push(id),
                None => {
                    whole = false;
                    self.reports.push(kind.unknown(self.host, account));
                }
            }
        }
        whole.then_some(Accounts { except: said.except, ids })
    }

    /// Warns of what can never match.
    fn can_match(&mut self, said: &ast::Scope, scope: &Scope) {
        for (peers, peer) in [(&scope.from, &said.from), (&scope.to, &said.to)] {
            let Some(peer) = peer else { continue };
            if let (Some(only), Some(except)) = (&peers.only, &peers.except)
                && !only.is_empty()
                && except.covers(only)
            {
                self.reports.push(
                    Report::warning("nobody-left", peer.span, "all of these are taken out again by `except`")
                        .label("this never matches")
                        .way_out("take the sentence out, or see whether the addresses are right"),
                );
            }
            if let Some(only) = &peers.only
                && !only.is_empty()
                && loopback().covers(only)
            {
                self.reports.push(
                    Report::warning(
                        "loopback-address",
                        peer.span,
                        "loopback addresses stay on `lo`, which always passes; elsewhere they are dropped",
                    )
                    .label("this never matches")
                    .way_out("take the sentence out"),
                );
            }
        }
        let lost = |family| scope.from.lacks(family) || scope.to.lacks(family);
        let empty = |peers: &Peers| peers.only.as_ref().is_some_and(|only| only.is_empty());
        if Family::BOTH.into_iter().all(lost)
            && !empty(&scope.from)
            && !empty(&scope.to)
            && let (Some(from), Some(to)) = (&said.from, &said.to)
        {
            self.reports.push(
                Report::warning(
                    "families-never-meet",
                    to.span,
                    "a connection has one family, and these have none in common",
                )
                .label("this never matches")
                .other(from.span, "it comes from here")
                .way_out("say addresses of one family on both sides, or two sentences"),
            );
        }
    }
}

fn loopback() -> AddrSet {
    let four = Prefix::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8);
    AddrSet::new(four.ok().into_iter().chain([Prefix::host(Ipv6Addr::LOCALHOST.into())]), [])
}

/// The two kinds of accounts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    User,
    Group,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::User => "user",
            Kind::Group => "group",
        }
    }

    fn all(self, host: &Host) -> &std::collections::BTreeMap<String, u32> {
        match self {
            Kind::User => &host.users,
            Kind::Group => &host.groups,
        }
    }

    /// The number of an account; a number is its own, whether or not somebody has it.
    fn id(self, host: &Host, account: &str) -> Option<u32> {
        if let Some(id) = self.all(host).get(account) {
            return Some(*id);
        }
        let plain =
            account.bytes().all(|b| b.is_ascii_digit()) && (account == "0" || !account.starts_with('0'));
        // The largest number means "nobody" to the kernel.
        plain.then(|| account.parse().ok()).flatten().filter(|id| *id != u32::MAX)
    }

    fn unknown(self, host: &Host, account: &Spanned<String>) -> Report {
        let (word, name) = (self.word(), &account.node);
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return Report::error("account-number", account.span, format!("there is no {word} `{name}`"))
                .label(format!("numbers go from 0 to {}, without zeros before them", u32::MAX - 1));
        }
        let report =
            Report::error("unknown-account", account.span, format!("this host has no {word} `{name}`"));
        match suggest(name, self.all(host).keys().map(String::as_str)) {
            Some(near) => report.label(format!("did you mean `{near}`?")),
            None => report,
        }
        .way_out(format!("only local accounts are known; a number goes through: `by {word} 105`"))
    }
}
