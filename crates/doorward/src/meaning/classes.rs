//! One representative of each class of values that no sentence of a policy can tell apart.
//!
//! A class is a pattern of membership in all sets that occur; its values are interchangeable, so that
//! trying one of each is trying all. Knows sets of values, and no verdicts.

use super::connection::{HERE, Owner};
use crate::net::{AddrSet, Family, PortRange, Prefix};
use crate::resolve::model::{Accounts, Interface};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that read well in a counterexample, tried before others of their class.
const THERE: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x200, 0, 0, 0, 0, 7)),
];

/// Sources that no host takes a packet from: this network, loopback, multicast, broadcast, mapped.
pub(super) fn no_sources() -> AddrSet {
    let four = [(0, 8), (127 << 24, 8), (224 << 24, 4), (u128::from(u32::MAX), 32)];
    let six = [(0, 127), (0xff << 120, 8), (0xffff << 32, 96)];
    let four = four.map(|(addr, len)| Prefix::around(Family::V4, addr, len));
    let six = six.map(|(addr, len)| Prefix::around(Family::V6, addr, len));
    AddrSet::new(four.into_iter().chain(six), [])
}

/// Where IPv6 nodes of one link speak from.
pub(super) fn link_local() -> AddrSet {
    AddrSet::new([Prefix::around(Family::V6, 0xfe80 << 112, 10)], [])
}

/// Sources, one of each class that meets `within`.
pub(super) fn sources(sets: &[&AddrSet], family: Family, within: impl Fn(IpAddr) -> bool) -> Vec<IpAddr> {
    addresses(sets, family, &THERE, within)
}

/// Destinations, one of each class that meets `within`.
pub(super) fn destinations(
    sets: &[&AddrSet],
    family: Family,
    within: impl Fn(IpAddr) -> bool,
) -> Vec<IpAddr> {
    addresses(sets, family, &HERE, within)
}

fn addresses(
    sets: &[&AddrSet],
    family: Family,
    fair: &[IpAddr],
    within: impl Fn(IpAddr) -> bool,
) -> Vec<IpAddr> {
    // A verdict can change only where an interval starts or behind one that ends.
    let mut starts = BTreeSet::from([first(family)]);
    for (start, end) in sets.iter().flat_map(|set| set.edges(family)) {
        starts.insert(start);
        starts.extend(after(end));
    }
    let fair = fair.iter().copied().filter(|addr| Family::of(*addr) == family);
    let candidates = fair.chain(starts).filter(|addr| within(*addr));
    one_of_each(candidates, |addr| sets.iter().map(|set| set.contains(*addr)).collect())
}

/// Ports, one of each class within `within`.
pub(super) fn ports(ranges: &[PortRange], within: PortRange) -> Vec<u16> {
    let mut starts = BTreeSet::from([within.first()]);
    for range in ranges {
        starts.insert(range.first());
        starts.extend(range.last().checked_add(1));
    }
    // Port 0 reads like a mistake, and is what other ports above it are as well.
    let fair = [40_000, 1].into_iter().filter(|_| within == PortRange::ALL);
    let candidates = fair.chain(starts).filter(|port| within.contains(*port));
    one_of_each(candidates, |port| ranges.iter().map(|range| range.contains(*port)).collect())
}

/// Names of interfaces but `lo`, one of each class.
pub(super) fn interfaces(named: &[&Interface]) -> Vec<String> {
    let plain = ["eth0", "ens3", "wan0", "other0", "some0"].map(str::to_owned).into_iter();
    let said = named.iter().map(|on| if on.wildcard { format!("{}0", on.name) } else { on.name.clone() });
    let shorter = named.iter().filter(|on| on.wildcard && !on.name.is_empty()).map(|on| on.name.clone());
    let candidates = said.chain(shorter).chain(plain).filter(|name| name != "lo" && name.len() <= 15);
    one_of_each(candidates, |name| classes_of(named, name))
}

/// The class of the name of an interface.
pub(super) fn classes_of(named: &[&Interface], name: &str) -> Vec<bool> {
    named.iter().map(|on| on.matches(name)).collect()
}

/// Owners of sockets, one of each class, and nobody.
pub(super) fn owners(users: &[&Accounts], groups: &[&Accounts]) -> Vec<Option<Owner>> {
    let (uids, gids) = (ids(users), ids(groups));
    let mut owners = vec![None];
    for uid in uids {
        owners.extend(gids.iter().map(|gid| Some(Owner { uid, gid: *gid })));
    }
    owners
}

fn ids(accounts: &[&Accounts]) -> Vec<u32> {
    let named: BTreeSet<u32> = accounts.iter().flat_map(|accounts| accounts.ids.iter().copied()).collect();
    let other = (1000..=u32::MAX).find(|id| !named.contains(id));
    let candidates = other.into_iter().chain(named.iter().copied());
    one_of_each(candidates, |id| accounts.iter().map(|accounts| accounts.ids.contains(id)).collect())
}

fn one_of_each<T>(candidates: impl Iterator<Item = T>, class: impl Fn(&T) -> Vec<bool>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    candidates.filter(|candidate| seen.insert(class(candidate))).collect()
}

fn first(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn after(addr: IpAddr) -> Option<IpAddr> {
    match addr {
        IpAddr::V4(four) => four.to_bits().checked_add(1).map(|next| Ipv4Addr::from_bits(next).into()),
        IpAddr::V6(six) => six.to_bits().checked_add(1).map(|next| Ipv6Addr::from_bits(next).into()),
    }
}
