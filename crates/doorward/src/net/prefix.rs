//! Prefixes and ranges of addresses, strictly read; repairs nothing silently.

use super::{Bits, Family, Intervals};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A prefix without host bits: `203.0.113.0/24`, `2001:db8::/32`. A single address is its longest form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    family: Family,
    len: u8,
    /// The address as a number; IPv4 in the low 32 bits.
    addr: u128,
}

/// Why a text is no prefix, no range, no address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PrefixError {
    /// Not an address in the strict notation of the standard library (no leading zeros, no short forms).
    Address,
    /// The part behind the slash is no length of this family.
    Length(Family),
    /// Bits are set behind the prefix length; the prefix that was probably meant.
    HostBits(Prefix),
    /// An IPv4 address written as IPv6 (`::ffff:192.0.2.1`); the IPv4 address.
    Mapped(Ipv4Addr),
    /// A range whose ends are of two families.
    MixedRange,
    /// A range that ends before it starts.
    Backwards,
}

impl Prefix {
    /// The prefix of length `len` that holds `addr`; host bits are an error that names the right one.
    pub fn new(addr: IpAddr, len: u8) -> Result<Prefix, PrefixError> {
        let family = Family::of(addr);
        if len > family.bits() {
            return Err(PrefixError::Length(family));
        }
        if let IpAddr::V6(six) = addr
            && let Some(four) = six.to_ipv4_mapped()
        {
            return Err(PrefixError::Mapped(four));
        }
        let number = number(addr);
        let meant = Prefix { family, len, addr: number & mask(family, len) };
        if meant.addr == number { Ok(meant) } else { Err(PrefixError::HostBits(meant)) }
    }

    /// The prefix of exactly one address.
    #[must_use]
    pub fn host(addr: IpAddr) -> Prefix {
        let family = Family::of(addr);
        Prefix { family, len: family.bits(), addr: number(addr) }
    }

    /// The prefix of length `len` around the number `addr`, host bits cut off.
    #[must_use]
    pub fn around(family: Family, addr: u128, len: u8) -> Prefix {
        let len = len.min(family.bits());
        Prefix { family, len, addr: addr & mask(family, len) }
    }

    /// Reads `address` or `address/length`.
    pub fn parse(text: &str) -> Result<Prefix, PrefixError> {
        let (addr, len) = match text.split_once('/') {
            None => (text, None),
            Some((addr, len)) => (addr, Some(len)),
        };
        let addr: IpAddr = addr.parse().map_err(|_| PrefixError::Address)?;
        let family = Family::of(addr);
        let len = match len {
            None => family.bits(),
            // A length has no sign and no leading zero.
            Some(digits) if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
                let value = digits.parse().map_err(|_| PrefixError::Length(family))?;
                if digits.len() > 1 && digits.starts_with('0') {
                    return Err(PrefixError::Length(family));
                }
                value
            }
            Some(_) => return Err(PrefixError::Length(family)),
        };
        Prefix::new(addr, len)
    }

    /// The family.
    #[must_use]
    pub fn family(self) -> Family {
        self.family
    }

    /// The length in bits.
    #[must_use]
    pub fn length(self) -> u8 {
        self.len
    }

    /// Whether this is the prefix of length 0, which holds the whole family.
    #[must_use]
    pub fn is_everything(self) -> bool {
        self.len == 0
    }

    /// The first address.
    #[must_use]
    pub fn addr(self) -> IpAddr {
        address(self.family, self.addr)
    }

    /// First and last address as numbers.
    #[must_use]
    pub fn bounds(self) -> (u128, u128) {
        (self.addr, self.addr | !mask(self.family, self.len) & full(self.family))
    }

    /// The first address in network byte order: 4 or 16 bytes.
    #[must_use]
    pub fn bytes(self) -> Vec<u8> {
        match self.addr() {
            IpAddr::V4(four) => four.octets().to_vec(),
            IpAddr::V6(six) => six.octets().to_vec(),
        }
    }

    /// The netmask in network byte order: 4 or 16 bytes.
    #[must_use]
    pub fn mask_bytes(family: Family, len: u8) -> Vec<u8> {
        match address(family, mask(family, len)) {
            IpAddr::V4(four) => four.octets().to_vec(),
            IpAddr::V6(six) => six.octets().to_vec(),
        }
    }

    /// The smallest list of prefixes that holds exactly these IPv4 addresses, in rising order.
    #[must_use]
    pub fn cover_v4(set: &Intervals<u32>) -> Vec<Prefix> {
        cover(Family::V4, set.as_slice().iter().map(|(a, b)| (u128::from(*a), u128::from(*b))))
    }

    /// The smallest list of prefixes that holds exactly these IPv6 addresses, in rising order.
    #[must_use]
    pub fn cover_v6(set: &Intervals<u128>) -> Vec<Prefix> {
        cover(Family::V6, set.as_slice().iter().copied())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.addr())?;
        if self.len == self.family.bits() { Ok(()) } else { write!(f, "/{}", self.len) }
    }
}

/// A range of addresses of one family, never empty: `203.0.113.5-203.0.113.9`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IpRange {
    family: Family,
    first: u128,
    last: u128,
}

impl IpRange {
    /// The range from `first` to `last`, both included.
    pub fn new(first: IpAddr, last: IpAddr) -> Result<IpRange, PrefixError> {
        for addr in [first, last] {
            if let IpAddr::V6(six) = addr
                && let Some(four) = six.to_ipv4_mapped()
            {
                return Err(PrefixError::Mapped(four));
            }
        }
        if Family::of(first) != Family::of(last) {
            return Err(PrefixError::MixedRange);
        }
        if last < first {
            return Err(PrefixError::Backwards);
        }
        Ok(IpRange { family: Family::of(first), first: number(first), last: number(last) })
    }

    /// The family.
    #[must_use]
    pub fn family(self) -> Family {
        self.family
    }

    /// First and last address as numbers.
    #[must_use]
    pub fn bounds(self) -> (u128, u128) {
        (self.first, self.last)
    }
}

impl fmt::Display for IpRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", address(self.family, self.first), address(self.family, self.last))
    }
}

/// An address as a number; IPv4 in the low 32 bits.
pub(super) fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits(),
    }
}

/// The address of a number.
#[expect(clippy::cast_possible_truncation, reason = "an IPv4 address lives in the low 32 bits")]
pub(super) fn address(family: Family, number: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

fn full(family: Family) -> u128 {
    match family {
        Family::V4 => u128::from(u32::MAX),
        Family::V6 => u128::MAX,
    }
}

fn mask(family: Family, len: u8) -> u128 {
    let host = u32::from(family.bits().saturating_sub(len));
    full(family) & u128::MAX.checked_shl(host).unwrap_or(0)
}

/// Greedy and minimal: at each start the largest aligned block that still fits.
fn cover(family: Family, intervals: impl Iterator<Item = (u128, u128)>) -> Vec<Prefix> {
    let mut out = Vec::new();
    for (first, last) in intervals {
        let mut at = first;
        loop {
            let aligned = if at == 0 { 128 } else { at.trailing_zeros() };
            let mut host = aligned.min(u32::from(family.bits()));
            let end = loop {
                let end = at | !u128::MAX.checked_shl(host).unwrap_or(0);
                if end <= last {
                    break end;
                }
                host -= 1;
            };
            #[expect(clippy::cast_possible_truncation, reason = "host is at most 128")]
            out.push(Prefix::around(family, at, family.bits() - host as u8));
            match end.next() {
                Some(next) if end < last => at = next,
                _ => break,
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strict_reading() {
        for (text, error) in [
            ("010.0.0.1", PrefixError::Address),
            ("10.1", PrefixError::Address),
            ("localhost", PrefixError::Address),
            ("10.0.0.0/33", PrefixError::Length(Family::V4)),
            ("10.0.0.0/08", PrefixError::Length(Family::V4)),
            ("10.0.0.0/+8", PrefixError::Length(Family::V4)),
            ("2001:db8::/129", PrefixError::Length(Family::V6)),
            ("::ffff:1.2.3.4", PrefixError::Mapped(Ipv4Addr::new(1, 2, 3, 4))),
        ] {
            assert_eq!(Prefix::parse(text), Err(error), "{text}");
        }
        let meant = Prefix::parse("203.0.113.0/24").expect("a prefix");
        assert_eq!(Prefix::parse("203.0.113.5/24"), Err(PrefixError::HostBits(meant)));
    }

    proptest! {
        /// The cover of an interval holds exactly the interval, without overlap.
        #[test]
        fn cover_is_exact(a in any::<u32>(), b in any::<u32>()) {
            let (first, last) = (a.min(b), a.max(b));
            let set = Intervals::from_unsorted(vec![(first, last)]);
            let prefixes = Prefix::cover_v4(&set);
            let mut next = Some(u128::from(first));
            for prefix in &prefixes {
                let (start, end) = prefix.bounds();
                prop_assert_eq!(Some(start), next);
                next = end.checked_add(1);
            }
            prop_assert_eq!(next, Some(u128::from(last) + 1));
            prop_assert!(prefixes.len() <= 62);
        }

        #[test]
        fn text_round_trip(addr in any::<u128>(), len in 0u8..=128) {
            let prefix = Prefix::around(Family::V6, addr, len);
            prop_assume!(!matches!(prefix.addr(), IpAddr::V6(six) if six.to_ipv4_mapped().is_some()));
            prop_assert_eq!(Prefix::parse(&prefix.to_string()), Ok(prefix));
        }
    }
}
