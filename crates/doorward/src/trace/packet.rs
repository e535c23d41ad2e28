//! A packet as one hook of the kernel meets it: bytes, and what the kernel knows besides; judges nothing.

use crate::net::Family;
use crate::ruleset::{FibResult, Hook};
use std::net::IpAddr;

/// A packet at a hook.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Packet {
    /// The hook where it is judged.
    pub hook: Hook,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The interface by which it came; none at output.
    pub iif: Option<Device>,
    /// The interface by which it leaves; none at prerouting and input.
    pub oif: Option<Device>,
    /// The link header, where there is one.
    pub link: Vec<u8>,
    /// The network header, as it is at this hook (after any destination NAT).
    pub network: Vec<u8>,
    /// Everything from the transport header on.
    pub transport: Vec<u8>,
    /// Transport protocol, behind any extension headers of IPv6.
    pub l4proto: u8,
    /// A later fragment: it has no transport header. No load from one succeeds, but kernels up to Linux 6.18 let
    /// short ones read what stands in its place; which kernel it is, is assumed.
    pub later_fragment: bool,
    /// Extension headers of IPv6 in their order: number and bytes. Not part of [`Packet::network`].
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// The packet mark.
    pub mark: u32,
    /// Who opened the socket; none for packets of the kernel and for what arrives.
    pub owner: Option<(u32, u32)>,
    /// What connection tracking says.
    pub ct: Conntrack,
    /// What the routing table says, by result and flags of the question, as the number that is loaded.
    pub fib: Vec<(FibResult, u32, u32)>,
}

/// An interface.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its index; `lo` has 1.
    pub index: u32,
    /// Its kind (`bridge`, `veth`), where it has one.
    pub kind: Option<String>,
    /// Its group, where that is known.
    pub group: Option<u32>,
}

/// What connection tracking knows of a packet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Conntrack {
    /// Left out of tracking: only the state can be loaded, as 64.
    Untracked,
    /// Not to be made sense of: only the state can be loaded, as 1.
    Invalid,
    /// It belongs to a connection.
    Entry(Entry),
}

/// A connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// `ct state`: 2 established, 4 related, 8 new.
    pub state: u32,
    /// `ct status` (`IPS_*`): 0x20 destination NAT.
    pub status: u32,
    /// `ct direction`: 0 original, 1 reply.
    pub direction: u8,
    /// The connection mark.
    pub mark: u32,
    /// Helper of the connection that announced this one.
    pub helper: Option<String>,
    /// The original tuple: what the opener sent.
    pub original: Tuple,
    /// The reply tuple: what it expects back.
    pub reply: Tuple,
}

/// One direction of a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Source port; for ICMP its id.
    pub source_port: u16,
    /// Destination port; for ICMP type and code.
    pub destination_port: u16,
}
