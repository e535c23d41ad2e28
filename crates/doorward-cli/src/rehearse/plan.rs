//! Chooses what to try: for each sentence what it names and what is next to it; sends nothing.

use super::led;
use super::place::{CONTAINER_PORT, Pair, Places, example};
use crate::side::BySide;
use doorward::compile::{Options, compile};
use doorward::meaning::{
    Addressed, Connection, Decider, Host, Judgement, Limits, Owner, Packet, Path, judge,
};
use doorward::net::{AddrSet, Family, IcmpType, PortRange, Prefix, Proto};
use doorward::prove::{self, Answer, Change, InTurn, Side};
use doorward::report::Origin;
use doorward::resolve::model::{Accounts, Peers, Resolved, Scope, Traffic, Verdict, Way};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The most probes of one rehearsal: their numbers have 20 bits, and each is judged by each sentence.
const PROBES: usize = 300_000;
/// The most judgements, probes times sentences: about a second of work.
const JUDGEMENTS: usize = 20_000_000;

/// What is tried, row by row of the table.
pub(super) struct Plan {
    pub(super) doors: Vec<Door>,
    pub(super) probes: Vec<Probe>,
    /// What was left out, a line each.
    pub(super) left_out: Vec<String>,
    /// The host's addresses while probes for it arrive.
    pub(super) own: Vec<IpAddr>,
}

/// A row of the table.
pub(super) struct Door {
    /// The sentence, if it is one's.
    pub(super) origin: Option<Origin>,
    /// What stands in the table.
    pub(super) words: String,
    /// Where the row stands: the number of what it is about, and whether it is about what is next to that.
    pub(super) subject: (usize, bool),
    /// What the policy promises.
    pub(super) promised: Verdict,
}

/// One packet.
pub(super) struct Probe {
    /// Index of its row.
    pub(super) door: usize,
    pub(super) connection: Connection,
    /// Whether the policy itself leads it elsewhere as it arrives.
    pub(super) led: bool,
}

/// Which part of a sentence a probe looks at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Named,
    Near,
}

/// Chooses.
pub(super) fn plan(policy: &Resolved, places: &Places, instead: Option<&Resolved>) -> Plan {
    let mut planner = Planner::new(policy, places);
    planner.sentences();
    planner.translations();
    planner.trust();
    planner.defaults();
    planner.built_ins();
    planner.expectations();
    if let Some(other) = instead {
        planner.counterexamples(other);
    }
    planner.finish()
}

struct Planner<'a> {
    policy: &'a Resolved,
    places: &'a Places,
    host: Host,
    rows: BTreeMap<(usize, Part, u8), usize>,
    doors: Vec<Door>,
    probes: Vec<Probe>,
    left_out: Vec<String>,
    /// How many probes without a handshake may still be charged to a limited sentence.
    buckets: BTreeMap<Origin, u32>,
    unspent: usize,
    both_sides: usize,
    subject: usize,
}

impl<'a> Planner<'a> {
    fn new(policy: &'a Resolved, places: &'a Places) -> Planner<'a> {
        let mut own: BTreeSet<IpAddr> = places.host.both().into();
        let rules = policy.rules.iter().filter(|rule| rule.ways.contains(&Way::In)).map(|rule| &rule.scope);
        let expects =
            policy.expects.iter().filter(|expect| expect.way == Way::In).map(|expect| &expect.scope);
        for scope in rules.chain(expects) {
            own.extend(Family::BOTH.into_iter().flat_map(|family| some_of(&scope.to, family, 1)));
        }
        let limited = policy.rules.iter().filter_map(|rule| Some((rule.origin.clone(), rule.limit?.burst)));
        Planner {
            policy,
            places,
            host: Host { own: own.into_iter().collect() },
            rows: BTreeMap::new(),
            doors: Vec::new(),
            probes: Vec::new(),
            left_out: Vec::new(),
            buckets: limited.collect(),
            unspent: 0,
            both_sides: 0,
            subject: 0,
        }
    }

    fn finish(mut self) -> Plan {
        if self.unspent > 0 {
            let n = self.unspent;
            self.left_out.push(format!("{n} packets were kept back, as a limit would have counted them"));
        }
        if self.both_sides > 0 {
            let n = self.both_sides;
            self.left_out.push(format!("{n} packets to addresses that other sentences make this host's own"));
        }
        Plan { doors: self.doors, probes: self.probes, left_out: self.left_out, own: self.host.own }
    }

    fn judge(&self, connection: &Connection) -> Judgement {
        judge(self.policy, &self.host, connection, Limits::Unspent)
    }

    /// The connection where the policy leads it, or as it is.
    fn followed(&self, connection: Connection) -> (Connection, bool) {
        let own = [self.host.own.as_slice(), &self.places.published.both()].concat();
        match led::follow(self.policy, &Host { own }, self.places, &connection) {
            Some(led) => (led, true),
            None => (connection, false),
        }
    }

    fn try_one(&mut self, origin: Option<&Origin>, words: &str, part: Part, connection: Connection) {
        let (connection, _) = self.followed(connection);
        let judgement = self.judge(&connection);
        self.try_promised(origin, words, part, connection, &judgement);
    }

    fn try_promised(
        &mut self,
        origin: Option<&Origin>,
        words: &str,
        part: Part,
        connection: Connection,
        judgement: &Judgement,
    ) {
        // An address is either this host's or somebody else's.
        let passes = matches!(connection.path, Path::Out { .. } | Path::Forward { addressed: None, .. });
        if passes && self.host.own.contains(&connection.to) {
            self.both_sides += 1;
            return;
        }
        // A handshake pays for a limit, and a SYN alone does not; anything else pays at once.
        if judgement.limited
            && connection.proto() != Proto::TCP
            && let Decider::Sentence(origin) = &judgement.by
            && let Some(left) = self.buckets.get_mut(origin)
        {
            if *left == 0 {
                self.unspent += 1;
                return;
            }
            *left -= 1;
        }
        let promised = judgement.verdict;
        let next = self.doors.len();
        let door = *self.rows.entry((self.subject, part, order(promised))).or_insert(next);
        if door == next {
            let subject = (self.subject, part == Part::Near);
            self.doors.push(Door { origin: origin.cloned(), words: words.to_owned(), subject, promised });
        }
        let (_, led) = self.followed(connection.clone());
        self.probes.push(Probe { door, connection, led });
    }

    fn has_room(&self) -> bool {
        self.probes.len() < PROBES
            && self.probes.len().saturating_mul(self.policy.rules.len().max(1)) < JUDGEMENTS
    }

    fn sentences(&mut self) {
        let policy = self.policy;
        // Of very many sentences, some from everywhere in the text.
        let each = (JUDGEMENTS / 40 / policy.rules.len().max(1)).max(1);
        let step = policy.rules.len().div_ceil(each).max(1);
        let mut tried = 0;
        for rule in policy.rules.iter().step_by(step) {
            if !self.has_room() {
                break;
            }
            tried += 1;
            self.subject += 1;
            let mut traffic = rule.traffic.clone();
            if let Some(passive) = rule.passive {
                traffic.push(Traffic::Ports(Proto::TCP, passive.range));
            }
            let words = rule.origin.comment();
            let before = self.probes.len();
            for way in &rule.ways {
                for family in Family::BOTH {
                    for (part, connection) in self.around(*way, family, &traffic, &rule.scope) {
                        self.try_one(Some(&rule.origin), &words, part, connection);
                    }
                }
            }
            if self.probes.len() == before {
                self.left_out.push(format!("{}: no packet for it could be made", rule.origin));
            }
        }
        if tried < policy.rules.len() {
            let all = policy.rules.len();
            self.left_out.push(format!("{tried} of {all} sentences were tried, from everywhere in the text"));
        }
    }

    /// Connections that a sentence names, and such as differ from them in one thing.
    fn around(
        &self,
        way: Way,
        family: Family,
        traffic: &[Traffic],
        scope: &Scope,
    ) -> Vec<(Part, Connection)> {
        let mut all = Vec::new();
        let speaker = if way == Way::Out { self.places.host } else { self.places.anyone }.of(family);
        let sources = of_these(&scope.from, family, speaker, 2);
        let usual = match way {
            Way::In => self.places.host,
            Way::Out => self.places.anyone,
            Way::Published => self.places.published,
            Way::Forward => self.places.container,
        }
        .of(family);
        let destinations = of_these(&scope.to, family, usual, 1);
        let interfaces: Vec<String> = scope.on.iter().map(example).filter(|name| name.len() <= 15).collect();
        let plain = self.places.interfaces.first().cloned().unwrap_or_default();
        let on = if scope.on.is_empty() { vec![plain.clone()] } else { interfaces };
        let owner = owner(scope);
        let base = |part, from: IpAddr, to: IpAddr, on: &str, owner, packet, all: &mut Vec<_>| {
            for path in self.paths(way, family, on, owner, to, packet) {
                all.push((part, with(path, from, to, self.places.container.of(family), packet)));
            }
        };
        let (Some(source), Some(destination), Some(iface)) =
            (sources.first(), destinations.first(), on.first())
        else {
            return all;
        };
        for thing in traffic {
            let (inside, beside) = packets(*thing, family);
            let Some(first) = inside.first() else { continue };
            for packet in &inside {
                base(Part::Named, *source, *destination, iface, owner, *packet, &mut all);
            }
            for from in &sources[1..] {
                base(Part::Named, *from, *destination, iface, owner, *first, &mut all);
            }
            for other in &on[1..] {
                base(Part::Named, *source, *destination, other, owner, *first, &mut all);
            }
            for packet in beside {
                base(Part::Near, *source, *destination, iface, owner, packet, &mut all);
            }
            let mut strangers = outside_of(&scope.from, family);
            if !scope.from.is_anyone() && way != Way::Out {
                strangers.push(self.places.anyone.of(family));
            }
            for from in strangers {
                base(Part::Near, from, *destination, iface, owner, *first, &mut all);
            }
            if !scope.to.is_anyone() && !scope.to.contains(usual) {
                base(Part::Near, *source, usual, iface, owner, *first, &mut all);
            }
            if !scope.on.is_empty() {
                base(Part::Near, *source, *destination, &plain, owner, *first, &mut all);
            }
            for other in other_owners(scope) {
                base(Part::Near, *source, *destination, iface, other, *first, &mut all);
            }
        }
        all
    }

    /// How a connection of a way comes by: what is published may be forwarded or taken by a local proxy.
    fn paths(
        &self,
        way: Way,
        family: Family,
        on: &str,
        owner: Owner,
        to: IpAddr,
        packet: Packet,
    ) -> Vec<Path> {
        let oif = self.places.inner.clone();
        let iface = on.to_owned();
        match way {
            Way::In => vec![Path::In { iface, addressed: None }],
            Way::Out => vec![Path::Out { iface, owner: Some(owner) }],
            Way::Forward => vec![Path::Forward { iif: iface, oif, addressed: None }],
            Way::Published => {
                let port = match packet {
                    Packet::Ports { to, .. } => to,
                    Packet::Icmp { .. } | Packet::Other(_) => 0,
                };
                let addressed = Some(Addressed { to, port });
                let mut paths = vec![Path::Forward { iif: iface.clone(), oif, addressed }];
                if to == self.places.published.of(family) {
                    paths.push(Path::In { iface, addressed: None });
                }
                paths
            }
        }
    }

    /// What is led elsewhere is judged as it was addressed, and what is next to it stays.
    fn translations(&mut self) {
        let policy = self.policy;
        for nat in &policy.nat {
            if nat.what.ports().is_empty() {
                continue;
            }
            self.subject += 1;
            let words = nat.origin.comment();
            for family in Family::BOTH {
                for (proto, range) in nat.what.ports() {
                    let (inside, beside) = packets(Traffic::Ports(*proto, *range), family);
                    let from = self.places.anyone.of(family);
                    let parts = [(Part::Named, inside), (Part::Near, beside)];
                    for (part, packet) in
                        parts.into_iter().flat_map(|(part, all)| all.into_iter().map(move |one| (part, one)))
                    {
                        let part = if nat.what.covers(family) { part } else { Part::Near };
                        let connection = self.inward(family, from, packet);
                        self.try_one(Some(&nat.origin), &words, part, connection);
                    }
                }
            }
        }
    }

    fn trust(&mut self) {
        let policy = self.policy;
        let port = self.shut_port();
        for trust in &policy.trust {
            self.subject += 1;
            let peers = Peers { only: Some(trust.who.clone()), except: None };
            for family in Family::BOTH {
                for from in some_of(&peers, family, 2) {
                    let connection = self.inward(family, from, syn(port));
                    self.try_one(Some(&trust.origin), &trust.origin.comment(), Part::Named, connection);
                }
            }
        }
    }

    /// A port of TCP that no sentence about it speaks of.
    fn shut_port(&self) -> u16 {
        SAMPLE.into_iter().find(|port| !self.is_said(Proto::TCP, *port)).unwrap_or(1)
    }

    fn is_said(&self, proto: Proto, port: u16) -> bool {
        self.policy.rules.iter().any(|rule| {
            let passive = rule.passive.map(|passive| Traffic::Ports(Proto::TCP, passive.range));
            rule.traffic.iter().chain(&passive).any(
                |traffic| matches!(traffic, Traffic::Ports(of, range) if *of == proto && range.contains(port)),
            )
        })
    }

    fn defaults(&mut self) {
        for way in Way::ALL {
            self.subject += 1;
            let default = self.policy.defaults.of(way);
            let origin = default.origin.clone();
            let words = match &origin {
                Some(origin) => origin.comment(),
                None => format!("built in: default {} {}", default.verdict.word(), way.word()),
            };
            let nobody = Scope::default();
            let mut traffic: Vec<Traffic> = Vec::new();
            for port in SAMPLE {
                traffic.extend(
                    [Proto::TCP, Proto::UDP].map(|proto| Traffic::Ports(proto, PortRange::one(port))),
                );
            }
            traffic.extend([Traffic::Icmp(IcmpType::ECHO_REQUEST), Traffic::Protocol(Proto(253))]);
            for family in Family::BOTH {
                for (part, connection) in self.around(way, family, &traffic, &nobody) {
                    let (connection, _) = self.followed(connection);
                    let judgement = self.judge(&connection);
                    let is_default = matches!(&judgement.by, Decider::Default(of, _) if *of == way);
                    if part == Part::Named && is_default {
                        self.try_promised(origin.as_ref(), &words, part, connection, &judgement);
                    }
                }
            }
        }
    }

    fn inward(&self, family: Family, from: IpAddr, packet: Packet) -> Connection {
        let iface = self.places.interfaces.first().cloned().unwrap_or_default();
        let to = self.places.host.of(family);
        Connection { path: Path::In { iface, addressed: None }, from, to, packet }
    }

    fn built_ins(&mut self) {
        let open = self.open_port();
        let (host, anyone) = (self.places.host, self.places.anyone);
        let neighbour = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 7]);
        let looped = Pair { four: IpAddr::from([127, 0, 0, 1]), six: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]) };
        let icmp = |kind, hops| Packet::Icmp { kind, hops };
        let ack = Packet::Ports { proto: Proto::TCP, from: 40_000, to: open, opens: false };
        let dhcp = |from, to| Packet::Ports { proto: Proto::UDP, from, to, opens: true };
        let mut rows: Vec<(&str, Vec<Connection>)> = Vec::new();
        let both = |make: &dyn Fn(Family) -> Connection| Family::BOTH.map(make).to_vec();
        let on_lo = |addr: IpAddr| Connection {
            path: Path::In { iface: "lo".to_owned(), addressed: None },
            from: addr,
            to: addr,
            packet: syn(SAMPLE[0]),
        };
        rows.push((
            "built in: loopback",
            [looped.both(), host.both()].concat().into_iter().map(on_lo).collect(),
        ));
        rows.push((
            "built in: loopback addresses from outside",
            both(&|family| self.inward(family, looped.of(family), syn(open))),
        ));
        rows.push((
            "built in: the host's own addresses from outside",
            both(&|family| self.inward(family, host.of(family), syn(open))),
        ));
        rows.push((
            "built in: TCP that does not begin with a SYN",
            both(&|family| self.inward(family, anyone.of(family), ack)),
        ));
        rows.push((
            "built in: DHCP",
            vec![
                self.inward(Family::V4, anyone.four, dhcp(67, 68)),
                self.inward(Family::V6, neighbour, dhcp(547, 546)),
                self.inward(Family::V6, anyone.six, dhcp(547, 546)),
                self.inward(Family::V4, anyone.four, dhcp(68, 67)),
            ],
        ));
        let mut discovery = Vec::new();
        for kind in 133..=136 {
            discovery.extend([255, 64].map(|hops| self.inward(Family::V6, neighbour, icmp(kind, hops))));
        }
        rows.push(("built in: neighbour discovery", discovery));
        rows.push((
            "built in: multicast listeners",
            [130, 131, 132, 143].map(|kind| self.inward(Family::V6, neighbour, icmp(kind, 1))).to_vec(),
        ));
        for (words, connections) in rows {
            self.subject += 1;
            for connection in connections {
                self.try_one(None, words, Part::Named, connection);
            }
        }
    }

    /// A port of TCP that the policy opens to anyone, so that what is built in has something to shut.
    fn open_port(&self) -> u16 {
        let said = self.policy.rules.iter().flat_map(|rule| &rule.traffic);
        let ports = said.filter_map(|traffic| match traffic {
            Traffic::Ports(Proto::TCP, range) => Some(range.first()),
            _ => None,
        });
        let opens = |port: &u16| {
            let connection = self.inward(Family::V4, self.places.anyone.four, syn(*port));
            self.judge(&connection).verdict == Verdict::Allow
        };
        ports.take(100).find(opens).unwrap_or(22)
    }

    /// One packet for each expectation: its counterexample, if there is one.
    fn expectations(&mut self) {
        let policy = self.policy;
        let (_, proof) = prove::compiled(policy, &self.host, &Options::default(), &BySide::of(policy));
        for (expect, outcome) in policy.expects.iter().zip(proof.expectations) {
            self.subject += 1;
            let promised = if expect.allowed { Verdict::Allow } else { Verdict::Block };
            let mut tries: Vec<Connection> = match outcome.answer {
                Answer::Fails { example, .. } => vec![*example],
                _ => Vec::new(),
            };
            for family in Family::BOTH {
                let named = self.around(expect.way, family, &expect.traffic, &expect.scope);
                tries.extend(named.into_iter().find(|(part, _)| *part == Part::Named).map(|(_, it)| it));
            }
            if tries.is_empty() {
                self.left_out.push(format!("{}: no packet for it could be made", expect.origin));
            }
            for connection in tries {
                // What never gets there as it was imagined says nothing of it.
                if self.followed(connection.clone()) != (connection.clone(), false) {
                    continue;
                }
                let judgement = self.judge(&connection);
                // Rejected counts as blocked.
                let verdict = match judgement.verdict {
                    Verdict::Reject if promised == Verdict::Block => Verdict::Reject,
                    _ => promised,
                };
                let judgement = Judgement { verdict, ..judgement };
                let words = expect.origin.comment();
                self.try_promised(Some(&expect.origin), &words, Part::Named, connection, &judgement);
            }
        }
    }

    /// The packets with which `plan` and `verify` show that another policy, which is loaded instead, is not this one.
    fn counterexamples(&mut self, other: &Resolved) {
        let own = AddrSet::new(self.host.own.iter().copied().map(Prefix::host), []);
        let plan = prove::changes(Side::Policy(self.policy), Side::Policy(other), &own, &InTurn);
        let (options, held) = (Options::default(), compile(other, &Options::default()));
        let drift = prove::drift(self.policy, &options, &held, &own, &BTreeMap::new(), &InTurn);
        let (Ok(plan), Ok(drift)) = (plan, drift) else {
            self.left_out.push("of the other policy nothing is proven".to_owned());
            return;
        };
        let told = |one: Change| (format!("{:?} {}", one.kind, one.traffic.words()), one.example);
        let by_plan = plan.list.into_iter().map(|one| ("plan", told(one)));
        let by_verify = drift.changes.list.into_iter().map(|one| ("verify", told(one)));
        let besides = drift.besides.into_iter().map(|one| ("verify", (one.what, one.example)));
        for (who, (what, example)) in by_plan.chain(by_verify).chain(besides) {
            self.subject += 1;
            let words = format!("{who}: {what}");
            let connection = self.abroad(example);
            let judgement = self.judge(&connection);
            let otherwise = judge(other, &self.host, &connection, Limits::Unspent).verdict;
            let arrives = self.followed(connection.clone()) == (connection.clone(), false);
            if arrives && otherwise != judgement.verdict {
                self.try_promised(None, &words, Part::Named, connection, &judgement);
            } else {
                self.left_out.push(format!("{words}: no first packet shows it"));
            }
        }
    }

    /// A connection that leaves goes to somebody else: what stands for anybody may be this host's own here.
    fn abroad(&self, mut connection: Connection) -> Connection {
        let family = Family::of(connection.to);
        let to = match connection.path {
            Path::Out { .. } => self.places.anyone,
            Path::Forward { addressed: None, .. } => self.places.container,
            _ => return connection,
        };
        if self.host.own.contains(&connection.to) {
            connection.to = to.of(family);
        }
        connection
    }
}

/// Ports that people leave open by mistake.
const SAMPLE: [u16; 8] = [3306, 1, 23, 111, 5432, 6379, 31_337, 65_535];

fn order(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Reject => 1,
        Verdict::Block => 2,
    }
}

fn syn(to: u16) -> Packet {
    Packet::Ports { proto: Proto::TCP, from: 40_000, to, opens: true }
}

/// The connection as the host meets it: behind destination NAT it goes to the container.
fn with(path: Path, from: IpAddr, to: IpAddr, container: IpAddr, packet: Packet) -> Connection {
    if !matches!(path, Path::Forward { addressed: Some(_), .. }) {
        return Connection { path, from, to, packet };
    }
    let packet = match packet {
        Packet::Ports { proto, from, opens, .. } => Packet::Ports { proto, from, to: CONTAINER_PORT, opens },
        other => other,
    };
    Connection { path, from, to: container, packet }
}

/// Packets that are what a sentence speaks of, and packets that just are not.
fn packets(traffic: Traffic, family: Family) -> (Vec<Packet>, Vec<Packet>) {
    let port = |proto, to| Packet::Ports { proto, from: 40_000, to, opens: true };
    let icmp = |kind| Packet::Icmp { kind, hops: 64 };
    let is_error = |kind: u8| match family {
        Family::V4 => matches!(kind, 3 | 4 | 5 | 11 | 12),
        Family::V6 => matches!(kind, 1..=4),
    };
    match traffic {
        Traffic::Ports(proto, range) => {
            let (first, last) = (range.first(), range.last());
            let inside: BTreeSet<u16> = [first, first + (last - first) / 2, last].into();
            let beside = [first.checked_sub(1), last.checked_add(1)].into_iter().flatten();
            let other = if proto == Proto::TCP { Proto::UDP } else { Proto::TCP };
            let beside = beside.map(|to| port(proto, to)).chain([port(other, first)]).collect();
            (inside.into_iter().map(|to| port(proto, to)).collect(), beside)
        }
        // An error belongs to a connection; alone it is invalid, and no sentence is asked.
        Traffic::Icmp(kinds) => match kinds.in_family(family) {
            Some(kind) if !is_error(kind) => (vec![icmp(kind)], Vec::new()),
            _ => (Vec::new(), Vec::new()),
        },
        Traffic::Protocol(proto) if proto.has_ports() => {
            (vec![port(proto, 7), port(proto, 60_000)], Vec::new())
        }
        Traffic::Protocol(proto) => (vec![Packet::Other(proto)], vec![Packet::Other(Proto(253))]),
        Traffic::Any => {
            let echo = if family == Family::V4 { 8 } else { 128 };
            let any =
                vec![port(Proto::TCP, 7), port(Proto::UDP, 60_000), icmp(echo), Packet::Other(Proto(253))];
            (any, Vec::new())
        }
    }
}

/// Addresses that are meant: the usual one where nobody is named, or only some that are not.
fn of_these(peers: &Peers, family: Family, usual: IpAddr, count: usize) -> Vec<IpAddr> {
    if peers.only.is_some() {
        return some_of(peers, family, count);
    }
    if peers.contains(usual) { vec![usual] } else { Vec::new() }
}

/// Some addresses of a set: its first and its last that can be a source.
pub(super) fn some_of(peers: &Peers, family: Family, count: usize) -> Vec<IpAddr> {
    let Some(only) = &peers.only else { return Vec::new() };
    let edges = only.edges(family);
    let ends = edges.iter().flat_map(|(first, last)| [*first, *last]);
    let is_fit = |addr: &IpAddr| is_source(*addr) && peers.contains(*addr);
    let first = ends.clone().find(is_fit);
    let last = ends.rev().find(is_fit).filter(|last| Some(*last) != first);
    first.into_iter().chain(last).take(count).collect()
}

/// Addresses just outside a set.
fn outside_of(peers: &Peers, family: Family) -> Vec<IpAddr> {
    let mut near = Vec::new();
    if let Some(only) = &peers.only {
        let edges = only.edges(family);
        near.extend(edges.first().and_then(|(first, _)| neighbour(*first, -1)));
        near.extend(edges.last().and_then(|(_, last)| neighbour(*last, 1)));
    }
    if let Some(except) = &peers.except {
        near.extend(except.edges(family).first().map(|(first, _)| *first));
        near.extend(except.edges(family).last().map(|(_, last)| *last));
    }
    near.dedup();
    near.retain(|addr| is_source(*addr) && !peers.contains(*addr));
    near
}

fn neighbour(addr: IpAddr, step: i8) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(four) => four
            .to_bits()
            .checked_add_signed(step.into())
            .map(|bits| std::net::Ipv4Addr::from_bits(bits).into()),
        IpAddr::V6(six) => six
            .to_bits()
            .checked_add_signed(step.into())
            .map(|bits| std::net::Ipv6Addr::from_bits(bits).into()),
    }
}

/// Whether a host takes packets from an address at all.
fn is_source(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(four) => {
            let [first, ..] = four.octets();
            first != 0 && first != 127 && first < 224
        }
        IpAddr::V6(six) => {
            !(six.is_unspecified()
                || six.is_loopback()
                || six.is_multicast()
                || six.is_unicast_link_local()
                || six.to_ipv4_mapped().is_some())
        }
    }
}

/// Somebody whom the sentence names.
fn owner(scope: &Scope) -> Owner {
    Owner { uid: named(scope.user.as_ref()), gid: named(scope.group.as_ref()) }
}

/// Root is nobody special here, and there in any user namespace.
fn named(accounts: Option<&Accounts>) -> u32 {
    match accounts {
        Some(accounts) if !accounts.except => accounts.ids.first().copied().unwrap_or(0),
        Some(accounts) => (0..=u32::MAX).find(|id| !accounts.ids.contains(id)).unwrap_or(0),
        None => 0,
    }
}

/// For each kind of account that the sentence names, somebody whom it does not.
fn other_owners(scope: &Scope) -> Vec<Owner> {
    let owner = owner(scope);
    let turned =
        |accounts: &Accounts| named(Some(&Accounts { except: !accounts.except, ids: accounts.ids.clone() }));
    let users = scope.user.iter().map(|accounts| Owner { uid: turned(accounts), ..owner });
    let groups = scope.group.iter().map(|accounts| Owner { gid: turned(accounts), ..owner });
    users.chain(groups).collect()
}
