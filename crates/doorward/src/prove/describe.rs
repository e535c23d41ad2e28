//! A product of a space in words of the language: `ssh from 203.0.113.0/24 on eth0`; asks nothing.

use super::about::{self, About, What};
use super::names::{Called, Names, Never};
use crate::meaning::ip;
use crate::meaning::sets::Place;
use crate::net::{AddrSet, Family, Intervals, IpRange};
use crate::ruleset::Hook;
use crate::space::{Field, Region, name_value, value_name};
use std::net::IpAddr;

/// Traffic: all connections with each property within its part. None stands for every value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// The family of the addresses.
    pub family: Family,
    /// From whom.
    pub from: Option<AddrSet>,
    /// To whom, as the opener addressed it.
    pub to: Option<AddrSet>,
    /// Interfaces: where it arrives, going out where it leaves.
    pub on: Option<Vec<(u128, u128)>>,
    /// Interfaces where what passes through leaves.
    pub leaving: Option<Vec<(u128, u128)>>,
    /// What it is about, as the opener addressed it.
    pub about: About,
    /// What it is not about, where that is shorter to say.
    pub but: Option<About>,
    /// Users who opened the socket.
    pub by: Option<By>,
    /// Whether it is meant where a translation led there, and told by the address and port that it led to.
    pub translated: bool,
}

/// Whose sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct By {
    /// Users; none for everybody.
    pub users: Option<Vec<(u32, u32)>>,
    /// Groups; none for every one.
    pub groups: Option<Vec<(u32, u32)>>,
    /// Whether some socket is behind it; none where it does not matter.
    pub owned: Option<bool>,
}

/// So many parts of one kind are named.
const NAMED: usize = 8;

/// How traffic is told that was led there.
pub(super) const TRANSLATED: &str = " where it was translated";

/// The traffic of a region of new connections from outside.
pub(super) fn of_region(
    region: &Region,
    (about, but): (About, Option<About>),
    (family, place, to): (Family, Place, &Field),
    never: &Never,
) -> Traffic {
    let out = place.hook == Hook::Output;
    let leaves = matches!(place.hook, Hook::Output | Hook::Postrouting);
    let iface = if leaves { Field::Oif } else { Field::Iif };
    let addresses = |field: &Field, never: &AddrSet| {
        let ranges = region.part(field)?;
        let ranges = ranges
            .iter()
            .filter_map(|(first, last)| IpRange::new(ip(family, *first), ip(family, *last)).ok());
        let set = AddrSet::new([], ranges);
        let never = if out { &AddrSet::empty() } else { never };
        if set.union(never).is_all(family) { None } else { Some(set.minus(never)) }
    };
    let accounts = |field: &Field| region.part(field).map(narrow::<u32>);
    let by = match (region.part(&Field::HasOwner), accounts(&Field::User), accounts(&Field::Group)) {
        (None, None, None) => None,
        (somebody, users, groups) => {
            let owned = somebody.map(|values| *values == [(1, 1)]);
            Some(By { users, groups, owned })
        }
    };
    let others = region.part(&Field::Oif).filter(|_| place.hook == Hook::Forward);
    Traffic {
        family,
        from: addresses(&Field::Source, &never.sources),
        to: addresses(to, &never.destinations),
        on: region.part(&iface).filter(|ranges| !all_but_loopback(ranges)).map(<[_]>::to_vec),
        leaving: others.filter(|ranges| !all_but_loopback(ranges)).map(<[_]>::to_vec),
        about,
        but,
        by,
        translated: false,
    }
}

/// Whether these are all names but `lo`, of which nobody speaks.
fn all_but_loopback(ranges: &[(u128, u128)]) -> bool {
    let lo = name_value("lo");
    let before = ranges.first().is_some_and(|(first, last)| *first == 0 && last + 1 == lo);
    let behind = ranges.last().is_some_and(|(first, last)| *first == lo + 1 && *last == u128::MAX);
    ranges.len() == 2 && before && behind
}

fn narrow<T: TryFrom<u128> + Copy>(ranges: &[(u128, u128)]) -> Vec<(T, T)> {
    ranges
        .iter()
        .filter_map(|(first, last)| Some((T::try_from(*first).ok()?, T::try_from(*last).ok()?)))
        .collect()
}

impl Traffic {
    /// Whether it is of some addresses only.
    #[must_use]
    pub fn names_addresses(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    /// How much it is: the logarithm of how many connections, so that larger traffic comes first.
    #[must_use]
    pub fn size(&self) -> f64 {
        let set = |set: &Option<AddrSet>| {
            let Some(set) = set else { return f64::from(self.family.bits()) };
            set.edges(self.family).into_iter().map(|(first, last)| width(first, last)).sum::<f64>().log2()
        };
        let ports = self.about.size().max(1.0).log2();
        // The sizes of the families are not compared: both are everybody.
        (set(&self.from) + set(&self.to)) / f64::from(self.family.bits()) * 32.0 + ports
    }

    /// In words of the language, without the way and the verdict.
    #[must_use]
    pub fn words(&self) -> String {
        let names = Names::default();
        let mut words = vec![words_of(&self.what()), format!("from {}", self.sources(&names).words)];
        words.extend(self.to.iter().map(|to| format!("to {}", names.destinations(to, self.family).words)));
        words.extend(self.whereabouts());
        words.join(" ")
    }

    /// From whom.
    #[must_use]
    pub fn sources(&self, names: &Names) -> Called {
        self.from.as_ref().map_or_else(Called::anyone, |set| names.sources(set, self.family))
    }

    /// To whom.
    #[must_use]
    pub fn destinations(&self, names: &Names) -> Called {
        self.to.as_ref().map_or_else(Called::anyone, |set| names.destinations(set, self.family))
    }

    /// Interfaces and accounts, where some are meant only: `on eth0`, `by user 33`.
    #[must_use]
    pub fn whereabouts(&self) -> Vec<String> {
        let mut words: Vec<String> = self.on.iter().map(|on| interfaces("on", on)).collect();
        words.extend(self.leaving.iter().map(|leaving| interfaces("leaving on", leaving)));
        words.extend(self.by.as_ref().map(By::words));
        words.extend(self.translated.then(|| TRANSLATED.trim_start().to_owned()));
        words
    }

    /// What it is about, one by one: services where they have a name.
    #[must_use]
    pub fn what(&self) -> Vec<What> {
        about::whats(&self.about, self.but.as_ref(), self.family)
    }
}

fn words_of(whats: &[What]) -> String {
    whats.iter().map(|what| what.words.as_str()).collect::<Vec<_>>().join(", ")
}

impl By {
    fn words(&self) -> String {
        if self.owned == Some(false) {
            return "by nobody".to_owned();
        }
        let mut words = Vec::new();
        for (what, list) in [("user", &self.users), ("group", &self.groups)] {
            let Some(list) = list else { continue };
            let (rest, direct) = (ids(&between(list)), ids(list));
            let shorter =
                list.len() > between(list).len() || list.last().is_some_and(|(_, last)| *last == u32::MAX);
            words.push(match (shorter, self.owned) {
                (false, _) => format!("by {what} {direct}"),
                (true, None) => format!("except by {what} {rest}"),
                (true, Some(_)) => format!("by other {what}s than {rest}"),
            });
        }
        if words.is_empty() { "by somebody".to_owned() } else { words.join(" ") }
    }
}

fn ids(list: &[(u32, u32)]) -> String {
    let one = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    some(&list.iter().map(one).collect::<Vec<_>>())
}

/// The accounts that are not among these.
fn between(list: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let set = Intervals::from_unsorted(list.to_vec()).complement();
    set.as_slice().to_vec()
}

fn width(first: IpAddr, last: IpAddr) -> f64 {
    match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => f64::from(last.to_bits() - first.to_bits()) + 1.0,
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            // Only the order of magnitude counts.
            let bits = 128 - (last.to_bits() - first.to_bits()).leading_zeros();
            2f64.powi(i32::try_from(bits).unwrap_or(128))
        }
        _ => 1.0,
    }
}

/// A list, cut where it gets long.
pub(super) fn some(list: &[String]) -> String {
    match list.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{} and {more} more", list[..NAMED].join(", ")),
        _ => list.join(", "),
    }
}

fn interfaces(on: &str, ranges: &[(u128, u128)]) -> String {
    let names = |ranges: &[(u128, u128)]| {
        ranges.iter().filter_map(|range| valid(*range)).map(wildcard).collect::<Option<Vec<_>>>()
    };
    if let Some(names) = names(ranges) {
        return format!("{on} {}", some(&names));
    }
    let rest = complement(ranges);
    // Those that start so, without some.
    if let (Some((first, _)), Some((_, last))) = (ranges.first(), ranges.last())
        && let Some(stem) = wildcard((*first, *last)).filter(|stem| stem != "*")
    {
        let inside: Vec<(u128, u128)> = rest.iter().copied().filter(|(a, b)| a > first && b < last).collect();
        if let Some(out) = names(&inside) {
            return format!("{on} {stem} except {}", some(&out));
        }
    }
    let lo = name_value("lo");
    let rest: Vec<(u128, u128)> = rest.into_iter().filter(|range| *range != (lo, lo)).collect();
    match names(&rest) {
        Some(names) => format!("{on} other interfaces than {}", some(&names)),
        None => format!("{on} some interfaces"),
    }
}

/// The values between intervals.
fn complement(ranges: &[(u128, u128)]) -> Vec<(u128, u128)> {
    let mut rest = Vec::new();
    let mut next = Some(0);
    for (first, last) in ranges {
        if let Some(from) = next
            && from < *first
        {
            rest.push((from, first - 1));
        }
        next = last.checked_add(1);
    }
    rest.extend(next.map(|from| (from, u128::MAX)));
    rest
}

/// From the first to the last name in an interval; none where there is none. Behind the end of a name is nothing, and
/// rules that look at some bytes of it leave intervals in which something is.
fn valid((first, last): (u128, u128)) -> Option<(u128, u128)> {
    let (mut from, mut to) = (first.to_be_bytes(), last.to_be_bytes());
    if let Some(end) = from.iter().position(|byte| *byte == 0)
        && from[end..].iter().any(|byte| *byte != 0)
    {
        from[end..].fill(0);
        from[end] = 1;
    }
    if let Some(end) = to.iter().position(|byte| *byte == 0) {
        to[end..].fill(0);
    }
    let (from, to) = (u128::from_be_bytes(from), u128::from_be_bytes(to));
    (from <= to).then_some((from, to))
}

/// `br-*` for all names that start so.
fn wildcard((first, last): (u128, u128)) -> Option<String> {
    if first == last {
        return value_name(first);
    }
    let bytes = first.to_be_bytes();
    let length = bytes.iter().position(|byte| *byte == 0)?;
    let rest = u128::MAX.checked_shr(u32::try_from(length).ok()? * 8).unwrap_or(0);
    let stem = String::from_utf8(bytes[..length].to_vec()).ok()?;
    (last == first | rest).then(|| format!("{stem}*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As rules leave them that compare `docker0` with the byte behind it: the interval of one name.
    #[test]
    fn bytes_behind_a_name() {
        let (docker, app) = (name_value("docker0"), name_value("br-app"));
        let behind = |name: u128, len: u32| name | u128::MAX >> (8 * (len + 1));
        let (first, last) = (name_value("br-"), name_value("br-") | u128::MAX >> 24);
        let all = [(first, last), (docker, behind(docker, 7))];
        assert_eq!(interfaces("on", &all), "on br-*, docker0");
        let but = [(first, app - 1), (behind(app, 6) + 1, last)];
        assert_eq!(interfaces("on", &but), "on br-* except br-app");
        let none = [(docker + 1, behind(docker, 7))];
        assert_eq!(interfaces("on", &[all[0], none[0]]), "on br-*");
    }
}
