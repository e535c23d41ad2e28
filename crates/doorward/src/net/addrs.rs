//! Sets of addresses that always carry both families; knows no names.

use super::prefix::{address, number};
use super::{Family, Intervals, IpRange, Prefix};
use std::net::IpAddr;

/// An exact set of IPv4 and IPv6 addresses.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct AddrSet {
    v4: Intervals<u32>,
    v6: Intervals<u128>,
}

impl AddrSet {
    /// The set with nobody in it.
    #[must_use]
    pub fn empty() -> AddrSet {
        AddrSet::default()
    }

    /// The set with everybody in it.
    #[must_use]
    pub fn everyone() -> AddrSet {
        AddrSet { v4: Intervals::full(), v6: Intervals::full() }
    }

    /// The set that these prefixes and ranges make together.
    #[must_use]
    pub fn new(
        prefixes: impl IntoIterator<Item = Prefix>,
        ranges: impl IntoIterator<Item = IpRange>,
    ) -> AddrSet {
        let (mut four, mut six) = (Vec::new(), Vec::new());
        let bounds = prefixes
            .into_iter()
            .map(|p| (p.family(), p.bounds()))
            .chain(ranges.into_iter().map(|r| (r.family(), r.bounds())));
        for (family, (first, last)) in bounds {
            match family {
                Family::V4 => four.push((low(first), low(last))),
                Family::V6 => six.push((first, last)),
            }
        }
        AddrSet { v4: Intervals::from_unsorted(four), v6: Intervals::from_unsorted(six) }
    }

    /// The IPv4 part.
    #[must_use]
    pub fn v4(&self) -> &Intervals<u32> {
        &self.v4
    }

    /// The IPv6 part.
    #[must_use]
    pub fn v6(&self) -> &Intervals<u128> {
        &self.v6
    }

    /// Whether nobody of this family is in the set.
    #[must_use]
    pub fn lacks(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4.is_empty(),
            Family::V6 => self.v6.is_empty(),
        }
    }

    /// Whether everybody of this family is in the set.
    #[must_use]
    pub fn is_all(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4.is_full(),
            Family::V6 => self.v6.is_full(),
        }
    }

    /// Whether nobody is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Whether `addr` is in the set.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        match addr {
            IpAddr::V4(_) => self.v4.contains(low(number(addr))),
            IpAddr::V6(_) => self.v6.contains(number(addr)),
        }
    }

    /// Who is in either.
    #[must_use]
    pub fn union(&self, other: &AddrSet) -> AddrSet {
        AddrSet { v4: self.v4.union(&other.v4), v6: self.v6.union(&other.v6) }
    }

    /// Who is in both.
    #[must_use]
    pub fn intersection(&self, other: &AddrSet) -> AddrSet {
        AddrSet { v4: self.v4.intersection(&other.v4), v6: self.v6.intersection(&other.v6) }
    }

    /// Who is in this set and not in the other.
    #[must_use]
    pub fn minus(&self, other: &AddrSet) -> AddrSet {
        AddrSet { v4: self.v4.minus(&other.v4), v6: self.v6.minus(&other.v6) }
    }

    /// Who is not in the set, over both families.
    #[must_use]
    pub fn complement(&self) -> AddrSet {
        AddrSet { v4: self.v4.complement(), v6: self.v6.complement() }
    }

    /// Whether somebody is in both.
    #[must_use]
    pub fn meets(&self, other: &AddrSet) -> bool {
        self.v4.meets(&other.v4) || self.v6.meets(&other.v6)
    }

    /// Whether somebody in the set has this prefix.
    #[must_use]
    pub fn meets_prefix(&self, prefix: Prefix) -> bool {
        let (first, last) = prefix.bounds();
        match prefix.family() {
            Family::V4 => self.v4.meets_interval(low(first), low(last)),
            Family::V6 => self.v6.meets_interval(first, last),
        }
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub fn covers(&self, other: &AddrSet) -> bool {
        self.v4.covers(&other.v4) && self.v6.covers(&other.v6)
    }

    /// The smallest list of prefixes of one family that holds exactly this set, in rising order.
    #[must_use]
    pub fn prefixes(&self, family: Family) -> Vec<Prefix> {
        match family {
            Family::V4 => Prefix::cover_v4(&self.v4),
            Family::V6 => Prefix::cover_v6(&self.v6),
        }
    }

    /// First and last address of every interval of one family: the places where a verdict can change.
    pub fn edges(&self, family: Family) -> Vec<(IpAddr, IpAddr)> {
        match family {
            Family::V4 => {
                edges(family, self.v4.as_slice().iter().map(|(a, b)| (u128::from(*a), u128::from(*b))))
            }
            Family::V6 => edges(family, self.v6.as_slice().iter().copied()),
        }
    }
}

fn edges(family: Family, bounds: impl Iterator<Item = (u128, u128)>) -> Vec<(IpAddr, IpAddr)> {
    bounds.map(|(a, b)| (address(family, a), address(family, b))).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "an IPv4 address lives in the low 32 bits")]
fn low(number: u128) -> u32 {
    number as u32
}
