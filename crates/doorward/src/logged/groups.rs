//! Logged packets gathered by who sent them and what decided; of bounded size, whatever arrives.

use super::{Kind, Packet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// So many groups are kept; packets of further ones are only counted. A flood of forged sources is no reason to
/// fill the memory of whoever looks on.
const MOST_GROUPS: usize = 1024;
/// So many kinds of traffic are named in a group.
const MOST_KINDS: usize = 8;

/// Packets of one source that the same sentence or default decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group<By> {
    /// Who decided.
    pub by: By,
    /// The far end.
    pub peer: IpAddr,
    /// How many were logged; the kernel logs only some of many.
    pub packets: u64,
    /// What they wanted, the first few.
    pub kinds: BTreeSet<Kind>,
    /// Whether they wanted more than that.
    pub more_kinds: bool,
    /// Number of the first packet of it, and of the last, among all.
    pub seen: (u64, u64),
    /// The last one.
    pub last: Packet,
}

/// All groups of some time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Groups<By> {
    each: BTreeMap<(By, IpAddr), Group<By>>,
    /// Packets of groups that had no room.
    pub beyond: u64,
    /// All packets.
    pub packets: u64,
}

impl<By: Ord + Clone> Default for Groups<By> {
    fn default() -> Self {
        Groups { each: BTreeMap::new(), beyond: 0, packets: 0 }
    }
}

impl<By: Ord + Clone> Groups<By> {
    /// Adds a packet.
    pub fn add(&mut self, by: By, packet: Packet) {
        self.packets += 1;
        let key = (by, packet.peer());
        if !self.each.contains_key(&key) && self.each.len() >= MOST_GROUPS {
            self.beyond += 1;
            return;
        }
        let now = self.packets;
        let group = self.each.entry(key).or_insert_with_key(|(by, peer)| Group {
            by: by.clone(),
            peer: *peer,
            packets: 0,
            kinds: BTreeSet::new(),
            more_kinds: false,
            seen: (now, now),
            last: packet.clone(),
        });
        group.packets += 1;
        group.seen.1 = now;
        let kind = match packet.kind {
            Kind::Ports(proto, _, to) => Kind::Ports(proto, 0, to),
            kind => kind,
        };
        if group.kinds.len() < MOST_KINDS || group.kinds.contains(&kind) {
            group.kinds.insert(kind);
        } else {
            group.more_kinds = true;
        }
        group.last = packet;
    }

    /// The groups, those with most packets first, and among equals the latest.
    #[must_use]
    pub fn by_packets(&self) -> Vec<&Group<By>> {
        let mut all: Vec<&Group<By>> = self.each.values().collect();
        all.sort_by_key(|group| std::cmp::Reverse((group.packets, group.seen.1)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::What;
    use super::*;
    use crate::net::Proto;
    use crate::resolve::model::Way;

    fn packet(from: u32, port: u16) -> Packet {
        Packet {
            what: What::Blocked,
            way: Way::In,
            from: std::net::Ipv4Addr::from(from).into(),
            to: "192.0.2.1".parse().unwrap(),
            kind: Kind::Ports(Proto::TCP, 40_000, port),
            iif: None,
            oif: None,
            user: None,
            traced: false,
        }
    }

    #[test]
    fn a_flood_of_sources_and_ports_stays_small() {
        let mut groups = Groups::default();
        for port in 0..100 {
            groups.add("a", packet(1, port));
        }
        groups.add("b", packet(1, 1));
        for from in 2..100_000 {
            groups.add("a", packet(from, 1));
        }
        let all = groups.by_packets();
        assert_eq!((all.len(), all[0].packets, all[0].kinds.len(), all[0].more_kinds), (1024, 100, 8, true));
        assert_eq!(groups.packets, 100_099);
        assert_eq!(groups.beyond + all.iter().map(|group| group.packets).sum::<u64>(), groups.packets);
    }
}
