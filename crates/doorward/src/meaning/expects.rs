//! Checks each `expect` over one connection of every class that the policy can tell apart; builds no ruleset.

use super::classes;
use super::connection::HERE;
use super::{Addressed, Connection, Decider, Host, Judgement, Limits, Packet, Path, judge};
use crate::net::{AddrSet, Family, PortRange, Prefix, Proto};
use crate::report::Origin;
use crate::resolve::model::{Accounts, Expect, Interface, Resolved, Rule, Traffic, Verdict, Way};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// The most work for one expectation: connections times sentences. Beyond it the answer is
/// [`Answer::NotDecided`]: about a second of work, and no policy written by hand comes near.
pub const BOUND: u64 = 20_000_000;

/// An expectation and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The expectation.
    pub origin: Origin,
    /// Whether everything it speaks of must be allowed, or blocked.
    pub allowed: bool,
    /// What became of it.
    pub answer: Answer,
}

/// What became of an expectation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It holds for each connection; so many classes were tried.
    Holds {
        /// Classes.
        tried: u64,
    },
    /// It does not hold.
    Fails {
        /// A connection for which it does not.
        example: Box<Connection>,
        /// What happens to that.
        judgement: Judgement,
    },
    /// It speaks of no connection that can be.
    Nothing,
    /// Too many classes to try ([`BOUND`]); nothing is claimed.
    NotDecided {
        /// Classes.
        classes: u64,
    },
}

/// Checks all expectations of a policy. Limits are taken as unspent: for `is allowed` by definition, for
/// `is blocked` as that is when most gets in.
pub fn expects(policy: &Resolved, host: &Host) -> Vec<Outcome> {
    policy
        .expects
        .iter()
        .map(|expect| Outcome {
            origin: expect.origin.clone(),
            allowed: expect.allowed,
            answer: answer(policy, host, expect),
        })
        .collect()
}

fn answer(policy: &Resolved, host: &Host, expect: &Expect) -> Answer {
    let spaces: Vec<Space> =
        Family::BOTH.into_iter().map(|family| Space::of(policy, host, expect, family)).collect();
    let classes = spaces.iter().map(Space::size).fold(0, u64::saturating_add);
    let sentences = u64::try_from(policy.rules.len() + policy.trust.len()).unwrap_or(u64::MAX).max(1);
    if classes.saturating_mul(sentences) > BOUND {
        return Answer::NotDecided { classes };
    }
    let mut tried = 0;
    for connection in spaces.iter().flat_map(Space::connections) {
        let judgement = judge(policy, host, &connection, Limits::Unspent);
        // Expectations speak of sources that nothing built in drops.
        if judgement.verdict != Verdict::Allow && matches!(judgement.by, Decider::BuiltIn(_)) {
            continue;
        }
        tried += 1;
        if (judgement.verdict == Verdict::Allow) != expect.allowed {
            return Answer::Fails { example: Box::new(connection), judgement };
        }
    }
    if tried == 0 { Answer::Nothing } else { Answer::Holds { tried } }
}

/// The classes of one family that an expectation speaks of.
struct Space {
    paths: Vec<Path>,
    sources: Vec<IpAddr>,
    destinations: Vec<IpAddr>,
    packets: Vec<Packet>,
}

impl Space {
    fn of(policy: &Resolved, host: &Host, expect: &Expect, family: Family) -> Space {
        let scope = &expect.scope;
        let rules: Vec<&Rule> = policy.rules.iter().filter(|rule| concerns(rule, expect.way)).collect();
        let built_in = [classes::no_sources(), classes::link_local(), own(host)];
        let mut from: Vec<&Arc<AddrSet>> = policy.trust.iter().map(|trust| &trust.who).collect();
        let mut to: Vec<&Arc<AddrSet>> = Vec::new();
        for rule in &rules {
            from.extend(rule.scope.from.only.iter().chain(&rule.scope.from.except));
            to.extend(rule.scope.to.only.iter().chain(&rule.scope.to.except));
        }
        from.extend(scope.from.only.iter().chain(&scope.from.except));
        to.extend(scope.to.only.iter().chain(&scope.to.except));
        let from = distinct(&from, &built_in);
        let to = distinct(&to, &built_in);
        let no_sources = &built_in[0];
        Space {
            paths: paths(policy, &rules, expect),
            sources: classes::sources(&from, family, |addr| {
                scope.from.contains(addr) && !no_sources.contains(addr)
            }),
            destinations: classes::destinations(&to, family, |addr| scope.to.contains(addr)),
            packets: packets(&rules, expect, family),
        }
    }

    fn size(&self) -> u64 {
        [self.paths.len(), self.sources.len(), self.destinations.len(), self.packets.len()]
            .into_iter()
            .map(|len| u64::try_from(len).unwrap_or(u64::MAX))
            .fold(1, u64::saturating_mul)
    }

    fn connections(&self) -> impl Iterator<Item = Connection> {
        self.packets.iter().flat_map(move |packet| {
            self.sources.iter().flat_map(move |from| {
                self.destinations.iter().flat_map(move |to| {
                    self.paths.iter().map(move |path| connection(path.clone(), *from, *to, *packet))
                })
            })
        })
    }
}

/// The connection of these parts; where the path says that destination NAT took place, `to` and the port
/// are what the peer addressed.
fn connection(path: Path, from: IpAddr, to: IpAddr, packet: Packet) -> Connection {
    let Path::Forward { iif, oif, addressed: Some(_) } = path else {
        return Connection { path, from, to, packet };
    };
    let port = match packet {
        Packet::Ports { to, .. } => to,
        Packet::Icmp { .. } | Packet::Other(_) => 0,
    };
    let path = Path::Forward { iif, oif, addressed: Some(Addressed { to, port }) };
    Connection { path, from, to, packet }
}

/// Whether a sentence can decide what an expectation of this way speaks of.
fn concerns(rule: &Rule, way: Way) -> bool {
    // What is published may also arrive at a local proxy, and is judged there as `in` is.
    let near = |way| matches!(way, Way::In | Way::Published);
    rule.ways.contains(&way) || near(way) && rule.ways.iter().any(|other| near(*other))
}

fn own(host: &Host) -> AddrSet {
    AddrSet::new(host.own.iter().map(|addr| Prefix::host(*addr)), [])
}

/// Sets by their identity first: lists are shared, and comparing them would cost.
fn distinct<'a>(sets: &[&'a Arc<AddrSet>], more: &'a [AddrSet]) -> Vec<&'a AddrSet> {
    let mut seen = BTreeSet::new();
    let shared = sets.iter().filter(|set| seen.insert(Arc::as_ptr(set))).map(|set| &***set);
    shared.chain(more).collect()
}

fn paths(policy: &Resolved, rules: &[&Rule], expect: &Expect) -> Vec<Path> {
    let on = &expect.scope.on;
    let named: Vec<&Interface> = rules.iter().flat_map(|rule| &rule.scope.on).chain(on).collect();
    let is_meant = |name: &String| on.is_empty() || on.iter().any(|on| on.matches(name));
    let reps: Vec<String> = classes::interfaces(&named).into_iter().filter(is_meant).collect();
    let inward = || reps.iter().map(|iface| Path::In { iface: iface.clone(), addressed: None });
    match expect.way {
        Way::In => inward().collect(),
        Way::Out => {
            let owners = owners(rules, expect);
            let leave = |iface: &String| {
                let iface = iface.clone();
                owners.iter().map(move |owner| Path::Out { iface: iface.clone(), owner: *owner })
            };
            reps.iter().flat_map(leave).collect()
        }
        Way::Published => {
            let addressed = Some(Addressed { to: HERE[0], port: 0 });
            passing(policy, &named, &reps, is_meant, addressed).into_iter().chain(inward()).collect()
        }
        Way::Forward => passing(policy, &named, &reps, is_meant, None),
    }
}

/// Each class of arrival, on its way to another interface, and where it is a bridge back to itself.
fn passing(
    policy: &Resolved,
    named: &[&Interface],
    reps: &[String],
    is_meant: impl Fn(&String) -> bool,
    addressed: Option<Addressed>,
) -> Vec<Path> {
    let path = |iif: &String, oif: &str| Path::Forward { iif: iif.clone(), oif: oif.to_owned(), addressed };
    let mut seen = BTreeSet::new();
    let bridges = policy
        .bridges
        .iter()
        .filter(|bridge| is_meant(bridge) && seen.insert(classes::classes_of(named, bridge)));
    let across = reps.iter().map(|iif| path(iif, if iif == "eth1" { "eth2" } else { "eth1" }));
    across.chain(bridges.map(|bridge| path(bridge, bridge))).collect()
}

fn owners(rules: &[&Rule], expect: &Expect) -> Vec<Option<super::Owner>> {
    let scopes = || rules.iter().map(|rule| &rule.scope).chain([&expect.scope]);
    let users: Vec<&Accounts> = scopes().filter_map(|scope| scope.user.as_ref()).collect();
    let groups: Vec<&Accounts> = scopes().filter_map(|scope| scope.group.as_ref()).collect();
    let is_meant = |owner: &Option<super::Owner>| {
        let probe = connection(
            Path::Out { iface: String::new(), owner: *owner },
            HERE[0],
            HERE[0],
            Packet::Other(Proto::TCP),
        );
        let scope = crate::resolve::model::Scope {
            user: expect.scope.user.clone(),
            group: expect.scope.group.clone(),
            ..Default::default()
        };
        super::judge::in_scope(&scope, &probe)
    };
    classes::owners(&users, &groups).into_iter().filter(is_meant).collect()
}

/// Packets of one family, one of each class that the expectation speaks of.
fn packets(rules: &[&Rule], expect: &Expect, family: Family) -> Vec<Packet> {
    let mut all = Vec::new();
    for traffic in &expect.traffic {
        match *traffic {
            Traffic::Ports(proto, range) => all.extend(with_ports(rules, expect, proto, range)),
            Traffic::Icmp(kinds) => all.extend(kinds.in_family(family).map(icmp)),
            Traffic::Protocol(proto) if proto.has_ports() => {
                all.extend(with_ports(rules, expect, proto, PortRange::ALL));
            }
            Traffic::Protocol(proto) => all.push(Packet::Other(proto)),
            Traffic::Any => all.extend(everything(rules, expect, family)),
        }
    }
    all
}

fn everything(rules: &[&Rule], expect: &Expect, family: Family) -> Vec<Packet> {
    let mut all = Vec::new();
    for proto in [Proto::TCP, Proto::UDP, Proto::SCTP] {
        all.extend(with_ports(rules, expect, proto, PortRange::ALL));
    }
    // Errors are left out: they belong to a connection, and open none.
    let errors: &[u8] = match family {
        Family::V4 => &[3, 4, 5, 11, 12],
        Family::V6 => &[1, 2, 3, 4],
    };
    all.extend((0..=u8::MAX).filter(|kind| !errors.contains(kind)).map(icmp));
    let said = rules.iter().flat_map(|rule| &rule.traffic).filter_map(|traffic| match traffic {
        Traffic::Protocol(proto) => Some(*proto),
        _ => None,
    });
    // 253 is for experiments (RFC 3692): nobody names it.
    let protos: BTreeSet<Proto> =
        said.chain([Proto(253)]).filter(|proto| !proto.has_ports() && !proto.is_icmp()).collect();
    all.extend(protos.into_iter().map(Packet::Other));
    all
}

/// As a neighbour sends it, with the hop limit that its type must have.
fn icmp(kind: u8) -> Packet {
    let multicast_listener = matches!(kind, 130..=132 | 143);
    Packet::Icmp { kind, hops: if multicast_listener { 1 } else { 255 } }
}

fn with_ports(rules: &[&Rule], expect: &Expect, proto: Proto, within: PortRange) -> Vec<Packet> {
    /// Ports of DHCP, which is built in: 67 and 68, in IPv6 546 and 547.
    const DHCP: [u16; 4] = [67, 68, 546, 547];
    let said = rules.iter().flat_map(|rule| &rule.traffic).chain(&expect.traffic);
    let mut ranges: Vec<PortRange> = said
        .filter_map(|traffic| match traffic {
            Traffic::Ports(of, range) if *of == proto => Some(*range),
            _ => None,
        })
        .collect();
    let mut sources = vec![40_000];
    match proto {
        Proto::TCP => ranges.extend(rules.iter().filter_map(|rule| rule.passive).map(|it| it.range)),
        Proto::UDP => {
            ranges.extend(DHCP.map(PortRange::one));
            sources.extend(DHCP);
        }
        _ => {}
    }
    let to = classes::ports(&ranges, within);
    to.into_iter()
        .flat_map(|to| sources.iter().map(move |from| Packet::Ports { proto, from: *from, to, opens: true }))
        .collect()
}
