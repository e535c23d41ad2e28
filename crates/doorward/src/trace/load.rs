//! What the kernel knows beside the bytes of a packet: `meta`, `ct` and `fib`; changes nothing but the mark.

use super::{Conntrack, Device, Entry, Packet};
use crate::net::Family;
use crate::ruleset::{CtDir, CtKey, Fib, FibResult, Hook, MetaKey};
use std::net::IpAddr;

/// What a load came to.
pub(super) enum Load {
    /// A value of up to 16 bytes.
    Value(Value),
    /// Nothing: the rule does not match.
    Break,
    /// A value of so many bytes that nobody can know.
    Unknown(usize),
    /// Perhaps a value, perhaps nothing.
    Doubtful(usize),
}

/// A short value.
pub(super) struct Value {
    bytes: [u8; 16],
    len: usize,
}

impl Value {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What can change while rules run.
pub(super) struct State {
    /// None once a value was written that nobody can know.
    pub(super) mark: Option<u32>,
    pub(super) ct_mark: Option<u32>,
    pub(super) priority: Option<u32>,
    pub(super) pkttype: Option<u8>,
    /// A rule left the packet out of tracking.
    pub(super) notrack: bool,
    /// This chain comes before connection tracking.
    pub(super) early: bool,
}

/// What connection tracking says while a chain runs.
pub(super) enum Seen<'p> {
    Nothing,
    Untracked,
    Entry(&'p Entry),
}

impl State {
    pub(super) fn of(packet: &Packet) -> State {
        let ct_mark = match &packet.ct {
            Conntrack::Entry(entry) => Some(entry.mark),
            _ => None,
        };
        State {
            mark: Some(packet.mark),
            ct_mark,
            priority: None,
            pkttype: pkttype(packet),
            notrack: false,
            early: false,
        }
    }

    pub(super) fn seen<'p>(&self, packet: &'p Packet) -> Seen<'p> {
        match &packet.ct {
            _ if self.notrack => Seen::Untracked,
            _ if self.early => Seen::Nothing,
            Conntrack::Untracked => Seen::Untracked,
            Conntrack::Invalid => Seen::Nothing,
            Conntrack::Entry(entry) => Seen::Entry(entry),
        }
    }
}

/// `nft_meta_get_eval`; `len` is that of the packet, none if it cannot be known.
pub(super) fn meta(packet: &Packet, state: &State, len: Option<usize>, key: MetaKey) -> Load {
    let (iif, oif) = (packet.iif.as_ref(), packet.oif.as_ref());
    match key {
        MetaKey::Len => maybe(len.map(|len| u32::try_from(len).unwrap_or(u32::MAX))),
        MetaKey::Protocol => of(&match packet.family {
            Family::V4 => [0x08, 0x00],
            Family::V6 => [0x86, 0xdd],
        }),
        MetaKey::Nfproto => of(&[nfproto(packet)]),
        MetaKey::L4proto => of(&[packet.l4proto]),
        MetaKey::Mark => maybe(state.mark),
        MetaKey::Priority => maybe(state.priority),
        MetaKey::Pkttype => state.pkttype.map_or(Load::Unknown(1), |kind| of(&[kind])),
        // Without a device these are 0 and the empty name, others do not match.
        MetaKey::Iif => word(iif.map_or(0, |device| device.index)),
        MetaKey::Oif => word(oif.map_or(0, |device| device.index)),
        MetaKey::Iifname => name(iif.map_or("", |device| &device.name)),
        MetaKey::Oifname => name(oif.map_or("", |device| &device.name)),
        MetaKey::Iifkind => kind(iif),
        MetaKey::Oifkind => kind(oif),
        MetaKey::Iiftype => iif.map_or(Load::Break, |_| Load::Unknown(2)),
        MetaKey::Oiftype => oif.map_or(Load::Break, |_| Load::Unknown(2)),
        MetaKey::Iifgroup => iif.map_or(Load::Break, |device| maybe(device.group)),
        MetaKey::Oifgroup => oif.map_or(Load::Break, |device| maybe(device.group)),
        MetaKey::Skuid => packet.owner.map_or(Load::Break, |(uid, _)| word(uid)),
        MetaKey::Skgid => packet.owner.map_or(Load::Break, |(_, gid)| word(gid)),
        MetaKey::Cpu => Load::Unknown(4),
        // 30: the clock in nanoseconds; 34: the name of a device in a routing domain.
        MetaKey::Other(30) => Load::Unknown(8),
        MetaKey::BriIifname | MetaKey::BriOifname | MetaKey::Other(34) => Load::Doubtful(16),
        // Control groups belong to sockets, but not only to those that have an owner.
        MetaKey::Cgroup | MetaKey::Nftrace | MetaKey::Other(_) => Load::Doubtful(4),
    }
}

/// `nft_ct_get_eval`: only the state is there without an entry.
pub(super) fn ct(packet: &Packet, state: &State, key: CtKey, dir: Option<CtDir>) -> Load {
    const INVALID: u32 = 1;
    const RELATED: u32 = 4;
    const UNTRACKED: u32 = 64;
    let entry = match state.seen(packet) {
        Seen::Entry(entry) => entry,
        Seen::Nothing if key == CtKey::State => return word(INVALID),
        Seen::Untracked if key == CtKey::State => return word(UNTRACKED),
        Seen::Nothing | Seen::Untracked => return Load::Break,
    };
    let tuple = match dir {
        Some(CtDir::Reply) => &entry.reply,
        _ => &entry.original,
    };
    match key {
        CtKey::State => word(entry.state),
        CtKey::Direction => of(&[entry.direction]),
        CtKey::Status => word(entry.status),
        CtKey::Mark => maybe(state.ct_mark),
        CtKey::Helper => entry.helper.as_deref().map_or(Load::Break, name),
        CtKey::L3protocol => of(&[nfproto(packet)]),
        // An error of ICMP belongs to a connection of another protocol.
        CtKey::Protocol if entry.state == RELATED && is_icmp_error(packet) => Load::Unknown(1),
        CtKey::Protocol => of(&[packet.l4proto]),
        CtKey::Src => addr(tuple.source),
        CtKey::Dst => addr(tuple.destination),
        CtKey::SrcIp => addr_of(Family::V4, tuple.source),
        CtKey::DstIp => addr_of(Family::V4, tuple.destination),
        CtKey::SrcIp6 => addr_of(Family::V6, tuple.source),
        CtKey::DstIp6 => addr_of(Family::V6, tuple.destination),
        CtKey::ProtoSrc => of(&tuple.source_port.to_be_bytes()),
        CtKey::ProtoDst => of(&tuple.destination_port.to_be_bytes()),
        CtKey::Zone => Load::Unknown(2),
        CtKey::Pkts | CtKey::Bytes | CtKey::Avgpkt => Load::Unknown(8),
        CtKey::Labels => Load::Unknown(16),
        CtKey::Secmark | CtKey::Expiration | CtKey::Id => Load::Unknown(4),
        CtKey::Eventmask | CtKey::Other(_) => Load::Doubtful(4),
    }
}

/// `nft_fib_store_result`, from what the packet brings along.
pub(super) fn fib(packet: &Packet, fib: &Fib) -> Load {
    const PRESENT: u32 = 32;
    let known = packet.fib.iter().find(|(result, flags, _)| *result == fib.result && *flags == fib.flags);
    let present = fib.flags & PRESENT != 0 && fib.result != FibResult::AddrType;
    match (known, fib.result) {
        (Some((.., number)), _) if present => of(&[u8::from(*number != 0)]),
        (Some((.., 0)), FibResult::Oifname) => name(""),
        (Some((.., index)), FibResult::Oifname) => {
            let mut devices = [&packet.iif, &packet.oif].into_iter().flatten();
            match devices.find(|device| device.index == *index) {
                Some(device) => name(&device.name),
                None => Load::Unknown(16),
            }
        }
        (Some((.., number)), _) => word(*number),
        (None, FibResult::Other(_)) => Load::Doubtful(4),
        (None, _) if present => Load::Unknown(1),
        (None, FibResult::Oifname) => Load::Unknown(16),
        (None, _) => Load::Unknown(4),
    }
}

/// `NFPROTO_*` of the packet.
pub(super) fn nfproto(packet: &Packet) -> u8 {
    match packet.family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// ICMP of either family.
pub(super) fn is_icmp(l4proto: u8) -> bool {
    matches!(l4proto, 1 | 58)
}

/// An error of ICMP, of which conntrack looks at what it is about (`nf_conntrack_proto_icmp.c`, `…icmpv6.c`).
pub(super) fn is_icmp_error(packet: &Packet) -> bool {
    match (packet.family, packet.l4proto, packet.transport.first()) {
        (Family::V4, 1, Some(kind)) => matches!(kind, 3..=5 | 11 | 12),
        (Family::V6, 58, Some(kind)) => *kind < 128,
        _ => false,
    }
}

/// `PACKET_*`, which the link header decides; packets of this host count as for this host.
fn pkttype(packet: &Packet) -> Option<u8> {
    const HOST: u8 = 0;
    const BROADCAST: u8 = 1;
    const MULTICAST: u8 = 2;
    match packet.link.get(..6) {
        None if packet.hook == Hook::Output => Some(HOST),
        None => None,
        Some(to) if to.iter().all(|byte| *byte == 0xff) => Some(BROADCAST),
        Some(to) if to[0] & 1 != 0 => Some(MULTICAST),
        Some(_) => Some(HOST),
    }
}

fn of(bytes: &[u8]) -> Load {
    let mut value = Value { bytes: [0; 16], len: bytes.len().min(16) };
    value.bytes[..value.len].copy_from_slice(&bytes[..value.len]);
    Load::Value(value)
}

fn word(number: u32) -> Load {
    of(&number.to_ne_bytes())
}

fn maybe(number: Option<u32>) -> Load {
    number.map_or(Load::Unknown(4), word)
}

/// Names take 16 bytes, whatever their length.
fn name(text: &str) -> Load {
    let mut value = Value { bytes: [0; 16], len: 16 };
    let len = text.len().min(16);
    value.bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
    Load::Value(value)
}

fn kind(device: Option<&Device>) -> Load {
    device.and_then(|device| device.kind.as_deref()).map_or(Load::Break, name)
}

fn addr(addr: IpAddr) -> Load {
    match addr {
        IpAddr::V4(addr) => of(&addr.octets()),
        IpAddr::V6(addr) => of(&addr.octets()),
    }
}

fn addr_of(family: Family, of: IpAddr) -> Load {
    if of.is_ipv4() == (family == Family::V4) { addr(of) } else { Load::Break }
}
