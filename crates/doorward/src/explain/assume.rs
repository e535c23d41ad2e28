//! From a question and the facts of a host to one connection, and what had to be assumed; asks no kernel.

use super::question::{About, Account, Question};
use super::wrong::Wrong;
use crate::meaning::{Addressed, Connection, Owner, Packet, Path};
use crate::net::{Family, IcmpType, is_link_local};
use crate::report::suggest;
use crate::syntax::ast::Way;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A source port as programs get one.
const FROM_PORT: u16 = 40_000;
/// Hop limit of what comes from elsewhere.
const HOPS: u8 = 64;
/// Where packets arrive if nothing is known.
const USUAL: &str = "eth0";
/// Where container runtimes have their first bridge.
const CONTAINERS: &str = "docker0";
/// How a line begins that imagines who gets what is published.
const BY_NAT: &str = "a container gets it by destination NAT: ";
/// User and group `nobody`.
const NOBODY: u32 = 65_534;

/// What is known of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Its interfaces, in the order of the kernel.
    pub interfaces: Vec<Interface>,
    /// Where packets to some addresses would go; of others nothing is known.
    pub routes: Vec<(IpAddr, Route)>,
    /// Accounts: user and first group.
    pub users: BTreeMap<String, (u32, u32)>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

/// An interface of the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its number.
    pub index: u32,
    /// What it is, where that has a name.
    pub kind: Option<String>,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Where a packet to an address would go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// The interface by which it leaves.
    pub iface: String,
    /// The address that it would come from.
    pub source: Option<IpAddr>,
}

/// A connection, and what was assumed for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assumed {
    /// The connection.
    pub connection: Connection,
    /// What nobody said, and why it is taken to be so; a line each.
    pub lines: Vec<String>,
    /// The interface was assumed.
    pub iface: bool,
    /// The address of this host was assumed.
    pub own: bool,
    /// Who opened the socket was assumed.
    pub owner: bool,
}

/// Makes a whole connection out of a question.
pub fn assume(question: &Question, facts: &Facts) -> Result<Assumed, Wrong> {
    let mut assuming =
        Assuming { question, facts, lines: Vec::new(), iface: false, own: false, owner: false };
    let connection = assuming.connection()?;
    let Assuming { lines, iface, own, owner, .. } = assuming;
    Ok(Assumed { connection, lines, iface, own, owner })
}

/// Whether a line imagines who gets what is published.
pub(super) fn by_nat(line: &str) -> bool {
    line.starts_with(BY_NAT)
}

impl Facts {
    /// All addresses of the host.
    #[must_use]
    pub fn own(&self) -> Vec<IpAddr> {
        self.interfaces.iter().flat_map(|one| one.addresses.iter().copied()).collect()
    }

    /// Whether an address is one of this host's.
    #[must_use]
    pub fn is_own(&self, addr: IpAddr) -> bool {
        addr.is_loopback() || self.interfaces.iter().any(|one| one.addresses.contains(&addr))
    }

    fn route(&self, to: IpAddr) -> Option<&Route> {
        self.routes.iter().find(|(addr, _)| *addr == to).map(|(_, route)| route)
    }

    fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|one| one.name == name)
    }
}

struct Assuming<'a> {
    question: &'a Question,
    facts: &'a Facts,
    lines: Vec<String>,
    iface: bool,
    own: bool,
    owner: bool,
}

impl Assuming<'_> {
    fn connection(&mut self) -> Result<Connection, Wrong> {
        let question = self.question;
        let (from, to, path) = match question.way {
            Way::In => {
                let from = self.said(question.from)?;
                let iface = self.iface(from, "it arrives");
                let to = self.own(question.to, from, &iface, "it goes to");
                (from, to, Path::In { iface, addressed: None })
            }
            Way::Out => {
                let to = self.said(question.to)?;
                let iface = self.iface(to, "it leaves");
                let from = self.own(question.from, to, &iface, "it comes from");
                let owner = Some(self.owner()?);
                (from, to, Path::Out { iface, owner })
            }
            Way::Published => {
                let from = self.said(question.from)?;
                let iif = self.iface(from, "it arrives");
                let addressed = self.own(question.to, from, &iif, "it was sent to");
                let oif = question.leaving.clone().unwrap_or_else(|| CONTAINERS.to_owned());
                let to = container(Family::of(from));
                self.lines.push(format!("{BY_NAT}{to} on {oif}"));
                let addressed = Some(Addressed { to: addressed, port: question.port.unwrap_or(0) });
                (from, to, Path::Forward { iif, oif, addressed })
            }
            Way::Forward => {
                let (from, to) = (self.said(question.from)?, self.said(question.to)?);
                let iif = self.iface(from, "it arrives");
                let oif = match &question.leaving {
                    Some(name) => name.clone(),
                    None => self.guess(to, "it leaves", true),
                };
                (from, to, Path::Forward { iif, oif, addressed: None })
            }
        };
        Ok(Connection { path, from, to, packet: self.packet(Family::of(from)) })
    }

    /// An address without which no question gets so far.
    fn said(&self, addr: Option<IpAddr>) -> Result<IpAddr, Wrong> {
        addr.ok_or_else(|| super::wrong::nothing(Some(self.question.way)))
    }

    fn packet(&self, family: Family) -> Packet {
        let icmp = |kind: IcmpType| {
            let kind = kind.in_family(family).unwrap_or_default();
            Packet::Icmp { kind, hops: hops(family, kind) }
        };
        match &self.question.about {
            About::Ports(proto) => Packet::Ports {
                proto: *proto,
                from: self.question.from_port.unwrap_or(FROM_PORT),
                to: self.question.port.unwrap_or(0),
                opens: true,
            },
            About::Icmp(kind) => icmp(kind.as_ref().map_or(IcmpType::ECHO_REQUEST, |(_, kind)| *kind)),
            About::Ping => icmp(IcmpType::ECHO_REQUEST),
            About::Other(proto) => Packet::Other(*proto),
        }
    }

    /// The interface on the side of the far end.
    fn iface(&mut self, far: IpAddr, verb: &str) -> String {
        if let Some(name) = &self.question.on {
            return name.clone();
        }
        self.iface = true;
        let passes = matches!(self.question.way, Way::Forward);
        self.guess(far, verb, passes)
    }

    fn guess(&mut self, far: IpAddr, verb: &str, passes: bool) -> String {
        let facts = self.facts;
        let family = Family::of(far);
        if facts.is_own(far) && !passes {
            self.lines.push(format!("{verb} on lo, as {far} is an address of this host"));
            return "lo".to_owned();
        }
        if let Some(route) = facts.route(far).filter(|route| route.iface != "lo") {
            self.lines.push(format!("{verb} on {}, where the route to {far} leads", route.iface));
            return route.iface.clone();
        }
        let outer = || facts.interfaces.iter().filter(|one| !one.loopback && one.up);
        let with_address = outer().find(|one| one.addresses.iter().any(|addr| is_near(*addr, far)));
        let (name, why) = match (with_address, outer().next()) {
            (Some(one), _) => (one.name.as_str(), format!("the first interface with an address of {family}")),
            (None, Some(one)) => (one.name.as_str(), "the first interface that is up".to_owned()),
            (None, None) => (USUAL, "as no interface of this host is up".to_owned()),
        };
        self.lines.push(format!("{verb} on {name}, {why}"));
        name.to_owned()
    }

    /// The address on our side.
    fn own(&mut self, said: Option<IpAddr>, far: IpAddr, iface: &str, verb: &str) -> IpAddr {
        let facts = self.facts;
        if let Some(addr) = said {
            let of_many = addr.is_multicast() || addr == IpAddr::V4(Ipv4Addr::BROADCAST);
            if !facts.is_own(addr) && !of_many {
                self.lines.push(format!("{addr} is taken for an address of this host"));
            }
            return addr;
        }
        self.own = true;
        let family = Family::of(far);
        let near =
            |addr: &&IpAddr| Family::of(**addr) == family && is_link_local(**addr) == is_link_local(far);
        let by_route = facts.route(far).filter(|route| route.iface == iface).and_then(|route| route.source);
        let by_iface = || facts.interface(iface).and_then(|one| one.addresses.iter().find(near).copied());
        let by_host = || {
            let all = || facts.interfaces.iter().filter(|one| !one.loopback).flat_map(|one| &one.addresses);
            all().find(near).copied()
        };
        if far.is_loopback() {
            return far;
        }
        if let Some(addr) = by_route.or_else(by_iface).filter(|addr| Family::of(*addr) == family) {
            self.lines.push(format!("{verb} {addr}, an address of {iface}"));
            return addr;
        }
        if let Some(addr) = by_host() {
            self.lines.push(format!("{verb} {addr}, an address of this host"));
            return addr;
        }
        let addr = nobody(family);
        self.lines.push(format!("{verb} {addr}, as this host has no address of {family} for it"));
        addr
    }

    fn owner(&mut self) -> Result<Owner, Wrong> {
        let users = &self.facts.users;
        let user = match &self.question.user {
            None => None,
            Some(Account::Number(uid)) => {
                let gid = users.values().find(|(known, _)| known == uid).map(|(_, gid)| *gid);
                Some((*uid, gid.unwrap_or(*uid)))
            }
            Some(Account::Name(name)) => Some(
                *users
                    .get(name)
                    .ok_or_else(|| unknown_account("user", name, users.keys().map(String::as_str)))?,
            ),
        };
        let group = match &self.question.group {
            None => None,
            Some(Account::Number(gid)) => Some(*gid),
            Some(Account::Name(name)) => Some(*self.facts.groups.get(name).ok_or_else(|| {
                unknown_account("group", name, self.facts.groups.keys().map(String::as_str))
            })?),
        };
        if user.is_none() {
            self.owner = true;
            let uid = format!("by user {NOBODY} (nobody)");
            self.lines.push(if group.is_some() { uid } else { format!("{uid}, group {NOBODY}") });
        }
        let (uid, first) = user.unwrap_or((NOBODY, NOBODY));
        Ok(Owner { uid, gid: group.unwrap_or(first) })
    }
}

fn unknown_account<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Wrong {
    let wrong = Wrong::new(format!("this host has no {kind} `{name}`"));
    match suggest(name, known) {
        Some(meant) => wrong.way_out(format!("did you mean `{meant}`?")),
        None => wrong.way_out(format!("by {kind} 33, with its number, needs no name")),
    }
}

/// What never comes from further away has the hop limit that proves it.
fn hops(family: Family, kind: u8) -> u8 {
    match (family, kind) {
        (Family::V6, 133..=137) => 255,
        (Family::V6, 130..=132 | 143) => 1,
        _ => HOPS,
    }
}

/// An address that stands for one of this host.
fn nobody(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, 1).into(),
        Family::V6 => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    }
}

/// An address as a container has one.
fn container(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(172, 17, 0, 2).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x17, 0, 0, 0, 0, 0, 2).into(),
    }
}

/// Whether a packet can have both: of one family, and what stays on the link with what does.
fn is_near(addr: IpAddr, far: IpAddr) -> bool {
    Family::of(addr) == Family::of(far) && is_link_local(addr) == is_link_local(far)
}
