//! The conditions that most matches are made of: equal, within, under a mask, each or the contrary; know no match.

use std::net::IpAddr;
use std::ops::BitAnd;

use crate::net::{Bits, Intervals};

/// One value, or with `invert` all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Is<T> {
    /// The value.
    pub value: T,
    /// Holds for all others.
    pub invert: bool,
}

impl<T: PartialEq> Is<T> {
    /// Whether the condition holds for this value.
    #[must_use]
    pub fn contains(&self, value: &T) -> bool {
        (*value == self.value) != self.invert
    }
}

/// The values from `first` to `last`, both included, or with `invert` all others.
///
/// With `first > last` there is none between them: the condition never holds, or with `invert` always.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Within<T> {
    /// The smallest.
    pub first: T,
    /// The largest.
    pub last: T,
    /// Holds for all others.
    pub invert: bool,
}

impl<T: Ord + Copy> Within<T> {
    /// Whether the condition holds for this value.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        (self.first <= value && value <= self.last) != self.invert
    }
}

impl<T: Bits> Within<T> {
    /// The values for which the condition holds.
    #[must_use]
    pub fn intervals(&self) -> Intervals<T> {
        let between = Intervals::from_unsorted(vec![(self.first, self.last)]);
        if self.invert { between.complement() } else { between }
    }

    /// Whether the condition holds for every value, so that it says nothing.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.intervals().is_full()
    }
}

/// `value & mask == self.value`, or with `invert` the contrary.
///
/// A value with bits outside the mask is never equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Masked<T> {
    /// What the bits under the mask are compared to.
    pub value: T,
    /// The bits that count.
    pub mask: T,
    /// Holds for all others.
    pub invert: bool,
}

impl<T: BitAnd<Output = T> + PartialEq + Copy> Masked<T> {
    /// Whether the condition holds for this value.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        (value & self.mask == self.value) != self.invert
    }
}

/// The addresses from `first` to `last`, both included, or with `invert` all others of their family.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AddrWithin {
    /// The smallest.
    pub first: IpAddr,
    /// The largest.
    pub last: IpAddr,
    /// Holds for all others.
    pub invert: bool,
}

impl AddrWithin {
    /// Whether the condition holds for this address; never for one of the other family.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        addr.is_ipv4() == self.first.is_ipv4() && (self.first <= addr && addr <= self.last) != self.invert
    }
}

/// The addresses that are equal to `addr` under `mask`, or with `invert` all others of their family.
///
/// Bits of `addr` outside the mask do not count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AddrMasked {
    /// The address.
    pub addr: IpAddr,
    /// The bits that count; any bits, not only leading ones.
    pub mask: IpAddr,
    /// Holds for all others.
    pub invert: bool,
}

impl AddrMasked {
    /// Whether the condition holds for this address; never for one of the other family.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let equal = match (addr, self.addr, self.mask) {
            (IpAddr::V4(one), IpAddr::V4(other), IpAddr::V4(mask)) => one & mask == other & mask,
            (IpAddr::V6(one), IpAddr::V6(other), IpAddr::V6(mask)) => one & mask == other & mask,
            _ => return false,
        };
        equal != self.invert
    }
}
