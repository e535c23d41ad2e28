//! The doors of a policy, one by one, from the complete list that a proof makes.

use crate::meaning::{Decider, Host, Limits, Packet, Path, judge};
use crate::net::{AddrSet, Family, PortRange, Proto};
use crate::prove::{Change, Changes, Kind, Names};
use crate::report::Origin;
use crate::resolve::Resolved;
use crate::resolve::model::{Translation, Verdict, Way};
use std::net::IpAddr;

/// Who can come.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reach {
    /// Nobody.
    Nobody,
    /// These, in words.
    Some(String),
    /// Everybody, or all but these, in words.
    Anyone(String),
}

impl Reach {
    /// In words.
    #[must_use]
    pub fn words(&self) -> &str {
        match self {
            Reach::Nobody => "nobody",
            Reach::Some(words) | Reach::Anyone(words) => words,
        }
    }
}

/// What is open.
pub struct Doors<'a> {
    /// None where no firewall of ours runs.
    open: Option<Open<'a>>,
}

#[derive(Clone, Copy)]
struct Open<'a> {
    policy: &'a Resolved,
    changes: &'a Changes,
    names: &'a Names,
}

/// A part of one protocol that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Door {
    /// The way.
    pub way: Way,
    /// The protocol.
    pub proto: Proto,
    /// The first and the last port.
    pub ports: (u16, u16),
}

/// What is addressed to some ports gets to another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Redirect {
    /// The protocol.
    pub proto: Proto,
    /// The ports that are addressed.
    pub from: PortRange,
    /// The port that gets it.
    pub to: u16,
}

impl<'a> Doors<'a> {
    /// What a policy opens, compared with one that opens nothing.
    #[must_use]
    pub fn of(policy: &'a Resolved, changes: &'a Changes, names: &'a Names) -> Doors<'a> {
        Doors { open: Some(Open { policy, changes, names }) }
    }

    /// No firewall: everything is open.
    #[must_use]
    pub fn none() -> Doors<'a> {
        Doors { open: None }
    }

    /// Whether a firewall of ours runs.
    #[must_use]
    pub fn are_there(&self) -> bool {
        self.open.is_some()
    }

    /// Ports of this host that lead to another port of it.
    #[must_use]
    pub fn redirects(&self) -> Vec<Redirect> {
        let sentences = self.open.map_or(&[][..], |open| &open.policy.nat);
        let ends = sentences.iter().filter_map(|nat| match &nat.what {
            Translation::Redirect { ports, to } => Some((ports, *to)),
            _ => None,
        });
        let of = |(ports, to): (&'a Vec<(Proto, PortRange)>, u16)| {
            ports.iter().map(move |(proto, range)| Redirect { proto: *proto, from: *range, to })
        };
        ends.flat_map(of).filter(|one| !one.from.contains(one.to)).collect()
    }

    fn open_at(&self, way: Way) -> impl Iterator<Item = &'a Change> {
        let list = self.open.map_or(&[][..], |open| &open.changes.list);
        list.iter().filter(move |change| change.kind == Kind::Opens && change.way == way)
    }

    /// All that is open on a way, by ports.
    #[must_use]
    pub fn all(&self, way: Way) -> Vec<Door> {
        let mut doors: Vec<Door> = self
            .open_at(way)
            .flat_map(|change| &change.traffic.about.ports)
            .flat_map(|(proto, ranges)| {
                ranges.iter().map(move |ports| Door { way, proto: Proto(*proto), ports: *ports })
            })
            .collect();
        doors.sort_by_key(|door| (door.proto, door.ports));
        doors.dedup();
        doors
    }

    /// The sentence that lets somebody come to a port of this host.
    #[must_use]
    pub fn sentence(&self, way: Way, proto: Proto, port: u16, own: &[IpAddr]) -> Option<Origin> {
        let Open { policy, .. } = self.open?;
        self.open_at(way).find_map(|change| {
            let mut connection = change.example.clone();
            let Packet::Ports { from, opens, .. } = connection.packet else { return None };
            connection.packet = Packet::Ports { proto, from, to: port, opens };
            if let Path::In { addressed: Some(addressed), .. }
            | Path::Forward { addressed: Some(addressed), .. } = &mut connection.path
            {
                addressed.port = port;
            }
            let judgement = judge(policy, &Host { own: own.to_vec() }, &connection, Limits::Unspent);
            match (judgement.verdict, judgement.by) {
                (Verdict::Allow, Decider::Sentence(origin)) => Some(origin),
                (Verdict::Allow, Decider::Default(_, origin)) => origin,
                _ => None,
            }
        })
    }

    /// Who can come to a port at one of these addresses; none stands for any address.
    #[must_use]
    pub fn reach(&self, way: Way, proto: Proto, port: u16, family: Family, at: Option<IpAddr>) -> Reach {
        let Some(Open { names, .. }) = self.open else { return Reach::Anyone("anyone".to_owned()) };
        let mut from = AddrSet::empty();
        let mut all = false;
        for change in self.open_at(way) {
            let traffic = &change.traffic;
            let about = &traffic.about;
            let has =
                |ranges: &[(u16, u16)]| ranges.iter().any(|(first, last)| (*first..=*last).contains(&port));
            let whole = about.whole.iter().any(|(first, last)| (*first..=*last).contains(&proto.0));
            let speaks = whole || about.ports.get(&proto.0).is_some_and(|ranges| has(ranges));
            let there = match (&traffic.to, at) {
                (Some(to), Some(at)) => to.contains(at),
                _ => true,
            };
            if !speaks || !there || !change.families.contains(&family) {
                continue;
            }
            match &traffic.from {
                Some(set) => from = from.union(set),
                None => all = true,
            }
        }
        if all || from.is_all(family) {
            return Reach::Anyone("anyone".to_owned());
        }
        if from.edges(family).is_empty() {
            return Reach::Nobody;
        }
        let words = names.sources(&from, family).words;
        if is_nearly_all(&from, family) { Reach::Anyone(words) } else { Reach::Some(words) }
    }
}

/// Whether more than half of all addresses are in a set: everybody but somebody.
fn is_nearly_all(set: &AddrSet, family: Family) -> bool {
    let value = |addr: IpAddr| match addr {
        IpAddr::V4(four) => f64::from(u32::from(four)),
        #[expect(clippy::cast_precision_loss, reason = "a share, not a number of addresses")]
        IpAddr::V6(six) => u128::from(six) as f64,
    };
    let sum: f64 = set.edges(family).into_iter().map(|(first, last)| value(last) - value(first) + 1.0).sum();
    sum > 2f64.powi(i32::from(family.bits()) - 1)
}
