//! Addresses, prefixes, ports and protocols as exact values; knows no sentence and no rule.

mod addrs;
mod icmp;
mod intervals;
mod prefix;
mod proto;
mod translated;

pub use addrs::AddrSet;
pub use icmp::{IcmpType, icmp_names, icmp_type};
pub use intervals::{Bits, Intervals};
pub use prefix::{IpRange, Prefix, PrefixError};
pub use proto::{PortRange, Proto};
pub use translated::{How, Translated};

/// One of the two address families that every sentence covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which they are always written.
    pub const BOTH: [Family; 2] = [Family::V4, Family::V6];

    /// Length of an address in bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Family::V4 => 32,
            Family::V6 => 128,
        }
    }

    /// The family of an address.
    #[must_use]
    pub const fn of(addr: std::net::IpAddr) -> Family {
        match addr {
            std::net::IpAddr::V4(_) => Family::V4,
            std::net::IpAddr::V6(_) => Family::V6,
        }
    }
}

/// Whether an address means something on one link only (RFC 3927, RFC 4291).
#[must_use]
pub const fn is_link_local(addr: std::net::IpAddr) -> bool {
    match addr {
        std::net::IpAddr::V4(four) => four.is_link_local(),
        std::net::IpAddr::V6(six) => six.is_unicast_link_local(),
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}
