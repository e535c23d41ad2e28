//! What a policy promises, as against what it merely lets pass, and what of it there can be; judges no packet.
//!
//! Networks behind the bridges of a host are somebody's: Docker, podman and libvirt shut what they did not publish, on
//! every such host. A sentence promises the way into one only where it says `to` whom, or speaks of a published port;
//! `allow forward anything on docker0` promises the way out. Of what is published it counts where others lead it.

use super::load::Slice;
use super::program::{Facts, Program};
use super::run::NotJudged;
use crate::meaning::sets::{self, Place};
use crate::meaning::translate;
use crate::net::{AddrSet, Family, Prefix, Proto, is_link_local};
use crate::resolve::model::{Resolved, Translation, Verdict, Way};
use crate::ruleset::{Hook, Table};
use crate::space::{Field, Node, Pred, Space, Terms, name_value, state};
use std::net::IpAddr;
use std::sync::Arc;

/// What a host is wired to.
pub struct Wiring<'a> {
    /// Its own addresses.
    pub own: AddrSet,
    /// Names of all its interfaces.
    pub interfaces: Vec<String>,
    /// Those that are bridges with somebody behind them, not the way to everybody else.
    pub bridges: Vec<String>,
    /// Networks that are reached without a router, with their interfaces.
    pub networks: Vec<(Prefix, String)>,
    /// The interface by which an address is reached.
    pub route: &'a dyn Fn(IpAddr) -> Option<String>,
}

/// Where others lead what was addressed to this host.
#[derive(Debug)]
pub(super) struct Led {
    proto: u8,
    ports: Vec<(u128, u128)>,
    arriving: Vec<(u128, u128)>,
    to: To,
}

/// To whom it is led.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum To {
    /// To an address, and a port if it is another one.
    Host(IpAddr, Option<u16>),
    /// To this host itself.
    Here(Option<u16>),
    /// It cannot be told.
    Anywhere,
}

/// So many ports that keep their number are told apart.
const PORTS: u128 = 64;
const LED: Slice = Slice { hook: Hook::Prerouting, translated: false, nat: true };

impl Led {
    /// By the rules of others, and by sentences.
    pub(super) fn all(
        policy: &Resolved,
        others: &[Table],
        facts: &Facts,
        family: Family,
    ) -> Result<Vec<Led>, NotJudged> {
        let mut led = Vec::new();
        for one in &policy.nat {
            let (ports, to) = match &one.what {
                Translation::Publish { ports, to } if Family::of(to.ip()) == family => {
                    (ports, To::Host(to.ip(), Some(to.port())))
                }
                Translation::Redirect { ports, to } => (ports, To::Here(Some(*to))),
                Translation::Publish { .. } | Translation::Masquerade { .. } => continue,
            };
            led.extend(ports.iter().map(|(proto, range)| Led {
                proto: proto.0,
                ports: vec![(range.first().into(), range.last().into())],
                arriving: vec![(0, u128::MAX)],
                to,
            }));
        }
        let mut terms = Terms::new(family);
        let protos = [Proto::TCP, Proto::UDP, Proto::SCTP].map(|proto| proto.0);
        for proto in protos {
            let _ = terms.equals(&Field::Protocol, proto.into());
        }
        let first = Pred::all([translate::beginnings(&mut terms), terms.equals(&Field::State, state::NEW)]);
        let facts = Facts { effects: false, ..facts.clone() };
        let program = Program::of(others, &[LED], &facts, &mut terms);
        if program.base_chains(LED).is_empty() {
            return Ok(led);
        }
        let mut space = Space::new(terms)?;
        let (first, possible) = (space.node(&first), space.domain());
        let first = space.and(first, possible);
        let (_, ends) = program.fates(&mut space, LED, first, &|_| true)?;
        for (words, set) in ends {
            for proto in protos {
                let mine = space.at(set, &Field::Protocol, proto.into());
                if mine.is_empty() {
                    continue;
                }
                let all = |field: &Field| vec![(0, if *field == Field::Port { 0xffff } else { u128::MAX })];
                let mut values = |field| space.ranges(mine, &field).unwrap_or_else(|| all(&field));
                let (ports, arriving) = (values(Field::Port), values(Field::Iif));
                led.push(Led { proto, ports, arriving, to: end(&words) });
            }
        }
        space.holds_good()?;
        Ok(led)
    }

    /// What of a place is led there: as it is told, and as it comes in.
    fn at(&self, wiring: &Wiring<'_>, terms: &mut Terms) -> (Pred, Pred) {
        let mut all = vec![
            terms.equals(&Field::Protocol, self.proto.into()),
            terms.within(&Field::AddressedPort, self.ports.clone()),
        ];
        if let To::Host(addr, port) = self.to {
            // What nobody can send on was never promised to arrive.
            let Some(oif) = (wiring.route)(addr) else { return (Pred::Const(false), Pred::Const(false)) };
            let host = Arc::new(AddrSet::new([Prefix::host(addr)], []));
            all.push(terms.addresses(&Field::Destination, &host));
            all.push(terms.equals(&Field::Oif, name_value(&oif)));
            all.push(self.port(port, terms));
        }
        let arriving = terms.within(&Field::Iif, self.arriving.clone());
        let told = Pred::all(all);
        (told.clone(), Pred::all([told, arriving]))
    }

    /// What of it comes to this host itself.
    fn here(&self, wiring: &Wiring<'_>, terms: &mut Terms) -> Pred {
        let port = match self.to {
            To::Host(addr, _) if !wiring.own.contains(addr) => return Pred::Const(false),
            To::Host(_, port) | To::Here(port) => self.port(port, terms),
            To::Anywhere => Pred::Const(true),
        };
        Pred::all([
            terms.equals(&Field::Protocol, self.proto.into()),
            terms.within(&Field::AddressedPort, self.ports.clone()),
            terms.within(&Field::Iif, self.arriving.clone()),
            port,
        ])
    }

    /// The port that gets it.
    fn port(&self, to: Option<u16>, terms: &mut Terms) -> Pred {
        if let Some(port) = to {
            return terms.equals(&Field::Port, port.into());
        }
        if self.ports.iter().map(|(first, last)| last - first + 1).sum::<u128>() > PORTS {
            return terms.within(&Field::Port, self.ports.clone());
        }
        let one = |port: u128| {
            let pair = [terms.equals(&Field::AddressedPort, port), terms.equals(&Field::Port, port)];
            Pred::all(pair)
        };
        Pred::any(self.ports.iter().flat_map(|(first, last)| *first..=*last).map(one).collect::<Vec<_>>())
    }
}

/// `leads this to 172.17.0.2 port 80`, as proofs call it.
fn end(words: &str) -> To {
    let Some(words) = words.strip_prefix("leads this to ") else { return To::Anywhere };
    let own = words.strip_prefix("its own address, to ");
    if own == Some("the same port") {
        return To::Here(None);
    }
    let (addr, port) = match own {
        Some(rest) => (None, Some(rest)),
        None => words.split_once(' ').map_or((Some(words), None), |(addr, rest)| (Some(addr), Some(rest))),
    };
    let port = port.map(|port| port.strip_prefix("port ").and_then(|port| port.parse().ok()));
    match (addr.map(str::parse), port) {
        (Some(Ok(addr)), None) => To::Host(addr, None),
        (Some(Ok(addr)), Some(Some(port))) => To::Host(addr, Some(port)),
        (None, Some(Some(port))) => To::Here(Some(port)),
        _ => To::Anywhere,
    }
}

/// What is promised of a place.
pub(super) struct Promise {
    /// What sentences speak of that promise the way out only, and what of that goes there.
    out: (Pred, Pred),
    /// What all other sentences and expectations speak of.
    said: Pred,
    /// What there can be: by interfaces that the host has.
    there: Pred,
    /// Where others lead it that know where, as it is told, and as it comes in; and where nobody knows.
    led: Option<[(Pred, Pred); 2]>,
}

impl Promise {
    /// Of a place.
    pub(super) fn of(
        policy: &Resolved,
        wiring: &Wiring<'_>,
        led: &[Led],
        place: Place,
        terms: &mut Terms,
    ) -> Promise {
        let nothing = || (Pred::Const(false), Pred::Const(false));
        if place.hook != Hook::Forward {
            // All that comes in and goes out. What is addressed to those behind a bridge does not come in.
            let field = if place.translated { Field::AddressedTo } else { Field::Destination };
            let comes = place.hook == Hook::Input;
            let mut there = if comes { wiring.behind_none(&field, terms) } else { Pred::Const(true) };
            if comes && place.translated {
                let here: Vec<Pred> = led.iter().map(|one| one.here(wiring, terms)).collect();
                there = Pred::all([there, Pred::any(here)]);
            }
            return Promise { out: nothing(), said: Pred::Const(true), there, led: None };
        }
        let (mut said, mut out) = (Vec::new(), Vec::new());
        for rule in policy.rules.iter().filter(|rule| rule.verdict == Verdict::Allow) {
            let Some(about) = sets::sentence(rule, place, terms) else { continue };
            let list = if place.translated || !rule.scope.to.is_anyone() { &mut said } else { &mut out };
            list.push(about);
        }
        let way = if place.translated { Way::Published } else { Way::Forward };
        if !place.translated && policy.defaults.of(way).verdict == Verdict::Allow {
            out.push(Pred::Const(true));
        }
        for expect in policy.expects.iter().filter(|expect| expect.allowed && expect.way == way) {
            said.push(sets::asked(&expect.traffic, &expect.scope, place, terms));
        }
        let out = Pred::any(out);
        let leaves = Pred::all([out.clone(), wiring.leaves(terms)]);
        let mut there = wiring.there(terms);
        let led = place.translated.then(|| {
            there = Pred::all([there.clone(), wiring.behind_none(&Field::AddressedTo, terms)]);
            [true, false].map(|known| {
                let mine = led.iter().filter(|one| match one.to {
                    To::Host(..) => known,
                    To::Anywhere => !known,
                    To::Here(_) => false,
                });
                let (told, comes): (Vec<Pred>, Vec<Pred>) = mine.map(|one| one.at(wiring, terms)).unzip();
                (Pred::any(told), Pred::any(comes))
            })
        });
        Promise { out: (out, leaves), said: Pred::any(said), there, led }
    }

    /// Of what is dropped, what is promised: as it is told, and what of it there can be.
    pub(super) fn broken(&self, space: &mut Space, dropped: Node, promised: Node) -> (Node, Node) {
        match &self.led {
            Some([known, unknown]) => self.published(space, (known, unknown), dropped, promised),
            None => self.passes(space, dropped),
        }
    }

    /// It is told by whole sentences: into a network behind a bridge, too, where the way out is shut.
    fn passes(&self, space: &mut Space, dropped: Node) -> (Node, Node) {
        let there = space.node(&self.there);
        let (mut told, mut broken) = (Node::FALSE, Node::FALSE);
        for (wide, narrow) in [(&self.said, &self.said), (&self.out.0, &self.out.1)] {
            let (wide, narrow) = (space.node(wide), space.node(narrow));
            let found = space.and(narrow, there);
            let found = space.and(dropped, found);
            if !found.is_empty() {
                broken = space.or(broken, found);
                let all = space.and(dropped, wide);
                told = space.or(told, all);
            }
        }
        (told, broken)
    }

    /// It is told by what was addressed.
    fn published(
        &self,
        space: &mut Space,
        (known, unknown): (&(Pred, Pred), &(Pred, Pred)),
        dropped: Node,
        promised: Node,
    ) -> (Node, Node) {
        let (said, there) = (space.node(&self.said), space.node(&self.there));
        let (dropped, promised) = (space.and(dropped, said), space.and(promised, said));
        let where_to = |field: &Field| matches!(field, Field::Destination | Field::Port | Field::Oif);
        // What may be led anywhere is shut where nothing passes wherever it is led.
        let passes = space.minus(promised, dropped);
        let passes = space.exists(passes, &where_to);
        let shut = space.minus(dropped, passes);
        let (mut told, mut broken) = (Node::FALSE, Node::FALSE);
        for ((wide, narrow), set) in [(known, dropped), (unknown, shut)] {
            let (wide, narrow) = (space.node(wide), space.node(narrow));
            let found = space.and(narrow, there);
            let found = space.and(set, found);
            if !found.is_empty() {
                broken = space.or(broken, found);
                let all = space.and(set, wide);
                told = space.or(told, all);
            }
        }
        let told = space.exists(told, &where_to);
        (space.and(told, promised), broken)
    }
}

impl Wiring<'_> {
    /// What leaves to others than those behind a bridge. What comes from behind one comes from its network.
    fn leaves(&self, terms: &mut Terms) -> Pred {
        let bridges: Vec<(u128, u128)> = self.bridges.iter().map(|name| interface(name)).collect();
        let to = terms.within(&Field::Oif, bridges.clone()).negated();
        let mut from = vec![terms.within(&Field::Iif, bridges).negated()];
        let behind = self.networks.iter().filter(|(network, name)| {
            // What is local to a link goes nowhere else.
            self.bridges.contains(name) && !is_link_local(network.addr())
        });
        for (network, name) in behind {
            let network = Arc::new(AddrSet::new([*network], []));
            let inside = terms.addresses(&Field::Source, &network);
            from.push(Pred::all([terms.equals(&Field::Iif, name_value(name)), inside]));
        }
        Pred::all([to, Pred::any(from), self.behind_none(&Field::Destination, terms)])
    }

    /// What is not addressed to those behind a bridge. The host itself is not behind its own.
    pub(super) fn behind_none(&self, field: &Field, terms: &mut Terms) -> Pred {
        let bridged = self.networks.iter().filter(|(_, name)| self.bridges.contains(name));
        let behind = AddrSet::new(bridged.map(|(network, _)| *network), []);
        let behind = Arc::new(behind.minus(&self.own));
        terms.addresses(field, &behind).negated()
    }

    /// What comes and goes by interfaces that are there, and to where it is addressed.
    fn there(&self, terms: &mut Terms) -> Pred {
        let mut all = Vec::new();
        if !self.interfaces.is_empty() {
            let names: Vec<(u128, u128)> = self.interfaces.iter().map(|name| interface(name)).collect();
            all.push(terms.within(&Field::Iif, names.clone()));
            all.push(terms.within(&Field::Oif, names));
        }
        for (network, _) in &self.networks {
            // The same network may be at several interfaces, as that of link-local addresses is.
            let (first, last) = network.bounds();
            let overlaps = |other: &Prefix| {
                let (other_first, other_last) = other.bounds();
                other.family() == network.family() && first <= other_last && other_first <= last
            };
            let at =
                self.networks.iter().filter(|(other, _)| overlaps(other)).map(|(_, name)| interface(name));
            let leaves = terms.within(&Field::Oif, at.collect());
            let to = terms.addresses(&Field::Destination, &Arc::new(AddrSet::new([*network], [])));
            all.push(Pred::any([to.negated(), leaves]));
        }
        Pred::all(all)
    }
}

fn interface(name: &str) -> (u128, u128) {
    (name_value(name), name_value(name))
}
