//! One packet as values of fields: where it lies in a space.

use crate::net::Family;
use crate::ruleset::{CtDir, CtKey, FibResult, Hook, MetaKey, PayloadBase, exthdr};
use crate::space::{Field, name_value, state};
use crate::trace::{Conntrack, Entry, Packet, Tuple};
use std::net::IpAddr;

/// The one question that a packet answers.
pub(super) const EXTENDED: &str = "there are extension headers";

/// The value of a field for a packet; 0 for what the packet does not tell.
///
/// `AddressedTo` and `AddressedPort` are what the opener of its connection sent to.
#[must_use]
pub fn value_of(packet: &Packet, field: &Field) -> u128 {
    match field {
        Field::Iif => packet.iif.as_ref().map_or(0, |device| name_value(&device.name)),
        Field::Oif => packet.oif.as_ref().map_or(0, |device| name_value(&device.name)),
        Field::State => match &packet.ct {
            Conntrack::Untracked => state::UNTRACKED,
            Conntrack::Invalid => state::INVALID,
            Conntrack::Entry(entry) => entry.state.into(),
        },
        Field::Direction => entry(packet).map_or(0, |entry| entry.direction.into()),
        Field::Source => address(packet, true),
        Field::Destination => address(packet, false),
        Field::AddressedTo => entry(packet).map_or(0, |entry| number(entry.original.destination)),
        Field::AddressedPort => entry(packet).map_or(0, |entry| entry.original.destination_port.into()),
        Field::Protocol => packet.l4proto.into(),
        Field::Port => bytes(&packet.transport, 2, 2),
        Field::SourcePort => bytes(&packet.transport, 0, 2),
        Field::TcpFlags => bytes(&packet.transport, 13, 1),
        Field::LaterFragment => packet.later_fragment.into(),
        Field::HasOwner | Field::HasMeta(MetaKey::Skuid | MetaKey::Skgid) => packet.owner.is_some().into(),
        Field::User => packet.owner.map_or(0, |(user, _)| user.into()),
        Field::Group => packet.owner.map_or(0, |(_, group)| group.into()),
        Field::Byte(base, at) => bytes(&from(packet, *base), *at, 1),
        Field::Reaches(base, end) => u128::from(from(packet, *base).len() >= *end as usize),
        Field::HasHeader(exthdr::IPV6, number) => {
            packet.extensions.iter().any(|(known, _)| known == number).into()
        }
        Field::Header(exthdr::IPV6, number, offset, len) => packet
            .extensions
            .iter()
            .find(|(known, _)| known == number)
            .map_or(0, |(_, header)| bytes(header, *offset, *len)),
        Field::Fib(result, flags) => fib(packet, *result, *flags),
        Field::Meta(key) => meta(packet, *key),
        Field::Ct(key, dir) => entry(packet).map_or(0, |entry| ct(entry, *key, *dir)),
        Field::HasCt(CtKey::Helper, _) => entry(packet).is_some_and(|entry| entry.helper.is_some()).into(),
        Field::Unknown(words) => u128::from(words == EXTENDED && !packet.extensions.is_empty()),
        Field::HasMeta(MetaKey::Iiftype | MetaKey::Iifgroup) => packet.iif.is_some().into(),
        Field::HasMeta(MetaKey::Oifgroup) => packet.oif.is_some().into(),
        Field::HasHeader(..)
        | Field::Header(..)
        | Field::HasMeta(_)
        | Field::HasCt(..)
        | Field::Banned
        | Field::Carried
        | Field::Room(_) => 0,
    }
}

/// Whether a packet tells a field. A set contains it for certain only if it does so whatever the others are.
#[must_use]
pub fn tells(packet: &Packet, field: &Field) -> bool {
    match field {
        Field::Unknown(words) => words == EXTENDED,
        Field::Fib(result, flags) => {
            packet.fib.iter().any(|(known, asked, _)| (known, asked) == (result, flags))
        }
        Field::HasMeta(
            MetaKey::Skuid | MetaKey::Skgid | MetaKey::Iiftype | MetaKey::Iifgroup | MetaKey::Oifgroup,
        ) => true,
        Field::Meta(MetaKey::Iifgroup) => packet.iif.as_ref().is_none_or(|device| device.group.is_some()),
        Field::Meta(MetaKey::Oifgroup) => packet.oif.as_ref().is_none_or(|device| device.group.is_some()),
        Field::Meta(MetaKey::Iiftype) => packet.iif.as_ref().is_none_or(|_| device_type(packet).is_some()),
        Field::Meta(key) => {
            matches!(
                key,
                MetaKey::Mark
                    | MetaKey::Iifkind
                    | MetaKey::Oifkind
                    | MetaKey::Iif
                    | MetaKey::Oif
                    | MetaKey::Len
            ) || *key == MetaKey::Pkttype && addressed(packet).is_some()
        }
        Field::Ct(key, _) => {
            entry(packet).is_none()
                || !matches!(
                    key,
                    CtKey::Secmark
                        | CtKey::Expiration
                        | CtKey::Labels
                        | CtKey::Pkts
                        | CtKey::Bytes
                        | CtKey::Avgpkt
                        | CtKey::Zone
                        | CtKey::Eventmask
                        | CtKey::Id
                        | CtKey::Protocol
                        | CtKey::Other(_)
                )
        }
        Field::HasCt(key, _) => *key == CtKey::Helper,
        Field::HasHeader(op, _) | Field::Header(op, ..) => *op == exthdr::IPV6,
        Field::HasMeta(_) | Field::Banned | Field::Carried | Field::Room(_) => false,
        _ => true,
    }
}

/// `ARPHRD_*` of the device by which a packet came, where its link header shows it.
fn device_type(packet: &Packet) -> Option<u128> {
    const LOOPBACK_INDEX: u32 = 1;
    const ETHERNET: u128 = 1;
    const LOOPBACK: u128 = 772;
    match &packet.iif {
        Some(device) if device.index == LOOPBACK_INDEX => Some(LOOPBACK),
        // A link header of this length is that of Ethernet.
        Some(_) if packet.link.len() == 14 => Some(ETHERNET),
        _ => None,
    }
}

/// `PACKET_*`: for whom it is on the link, where its link header shows it. What a host sends is its own.
fn addressed(packet: &Packet) -> Option<u128> {
    match packet.link.get(..6) {
        None => (packet.hook == Hook::Output).then_some(0),
        Some([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]) => Some(1),
        Some(to) => Some(if to[0] & 1 == 1 { 2 } else { 0 }),
    }
}

fn entry(packet: &Packet) -> Option<&Entry> {
    match &packet.ct {
        Conntrack::Entry(entry) => Some(entry),
        Conntrack::Untracked | Conntrack::Invalid => None,
    }
}

/// The packet from the start of a header on: loads run on into what stands behind.
fn from(packet: &Packet, base: PayloadBase) -> Vec<u8> {
    let extensions = packet.extensions.iter().flat_map(|(_, header)| header);
    let network = || packet.network.iter().chain(extensions).chain(&packet.transport);
    match base {
        // Without a link header nothing is read from its place.
        PayloadBase::Link if packet.link.is_empty() => Vec::new(),
        PayloadBase::Link => packet.link.iter().chain(network()).copied().collect(),
        PayloadBase::Network => network().copied().collect(),
        PayloadBase::Transport => packet.transport.clone(),
        PayloadBase::Inner => packet.inner().map(<[u8]>::to_vec).unwrap_or_default(),
        PayloadBase::Other(_) => Vec::new(),
    }
}

fn bytes(header: &[u8], at: u32, len: u32) -> u128 {
    (at..at + len).fold(0, |sum, at| sum << 8 | u128::from(header.get(at as usize).copied().unwrap_or(0)))
}

fn address(packet: &Packet, source: bool) -> u128 {
    let (at, len) = match (packet.family, source) {
        (Family::V4, true) => (12, 4),
        (Family::V4, false) => (16, 4),
        (Family::V6, true) => (8, 16),
        (Family::V6, false) => (24, 16),
    };
    bytes(&packet.network, at, len)
}

fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}

fn fib(packet: &Packet, result: FibResult, flags: u32) -> u128 {
    let answer = packet.fib.iter().find(|(known, asked, _)| *known == result && *asked == flags);
    answer.map_or(0, |(_, _, value)| u128::from(*value))
}

fn meta(packet: &Packet, key: MetaKey) -> u128 {
    let kind = |device: &Option<crate::trace::Device>| {
        device.as_ref().and_then(|device| device.kind.as_deref()).map_or(0, name_value)
    };
    let group = |device: &Option<crate::trace::Device>| {
        device.as_ref().and_then(|device| device.group).map_or(0, u128::from)
    };
    match key {
        MetaKey::Mark => packet.mark.into(),
        MetaKey::Iifkind => kind(&packet.iif),
        MetaKey::Oifkind => kind(&packet.oif),
        MetaKey::Iif => packet.iif.as_ref().map_or(0, |device| device.index.into()),
        MetaKey::Oif => packet.oif.as_ref().map_or(0, |device| device.index.into()),
        MetaKey::Iifgroup => group(&packet.iif),
        MetaKey::Oifgroup => group(&packet.oif),
        MetaKey::Pkttype => addressed(packet).unwrap_or(0),
        MetaKey::Iiftype => device_type(packet).unwrap_or(0),
        MetaKey::Len => {
            let extensions: usize = packet.extensions.iter().map(|(_, header)| header.len()).sum();
            (packet.network.len() + extensions + packet.transport.len()) as u128
        }
        _ => 0,
    }
}

fn ct(entry: &Entry, key: CtKey, dir: Option<CtDir>) -> u128 {
    let tuple: &Tuple = match dir {
        Some(CtDir::Reply) => &entry.reply,
        _ => &entry.original,
    };
    match key {
        CtKey::Status => entry.status.into(),
        CtKey::Mark => entry.mark.into(),
        CtKey::Helper => entry.helper.as_deref().map_or(0, name_value),
        CtKey::Src | CtKey::SrcIp | CtKey::SrcIp6 => number(tuple.source),
        CtKey::Dst | CtKey::DstIp | CtKey::DstIp6 => number(tuple.destination),
        CtKey::ProtoSrc => tuple.source_port.into(),
        CtKey::ProtoDst => tuple.destination_port.into(),
        _ => 0,
    }
}
