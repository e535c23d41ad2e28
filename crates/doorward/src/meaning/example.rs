//! A packet of a space as an imagined connection, for people to read; judges nothing.

use super::connection::HERE;
use super::sets::Place;
use super::{Addressed, Connection, Owner, Packet, Path};
use crate::net::{Family, Proto};
use crate::ruleset::{Hook, PayloadBase};
use crate::space::{Field, Point, value_name};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Somebody outside, where nobody asked who (RFC 5737, RFC 3849).
const THERE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 7)),
];

/// The connection whose first packet this is.
#[must_use]
pub fn connection(point: &Point, family: Family, place: Place) -> Connection {
    let at = |field: &Field, usual: u128| point.get(field).unwrap_or(usual);
    let which = usize::from(family == Family::V6);
    let address = |field: &Field, usual: IpAddr| point.get(field).map_or(usual, |value| ip(family, value));
    let name = |field: &Field, usual: &str| {
        point.get(field).and_then(value_name).unwrap_or_else(|| usual.to_owned())
    };
    let proto = Proto(u8::try_from(at(&Field::Protocol, Proto::TCP.0.into())).unwrap_or(Proto::TCP.0));
    let (from, to) = (port(at(&Field::SourcePort, 40_000)), port(at(&Field::Port, 9999)));
    let packet = match (proto, family) {
        (Proto::ICMP, Family::V4) | (Proto::ICMPV6, Family::V6) => {
            let hops = at(&Field::Byte(PayloadBase::Network, 7), 64);
            Packet::Icmp { kind: from.to_be_bytes()[0], hops: u8::try_from(hops).unwrap_or(64) }
        }
        _ if proto.has_ports() => {
            let flags = at(&Field::TcpFlags, 2);
            Packet::Ports { proto, from, to, opens: proto != Proto::TCP || flags & 0x17 == 0x02 }
        }
        _ => Packet::Other(proto),
    };
    let addressed = place.translated.then(|| Addressed {
        to: address(&Field::AddressedTo, HERE[which]),
        port: port(at(&Field::AddressedPort, to.into())),
    });
    let path = match place.hook {
        Hook::Output => Path::Out {
            iface: name(&Field::Oif, "eth0"),
            owner: (at(&Field::HasOwner, 0) == 1).then(|| Owner {
                uid: u32::try_from(at(&Field::User, 1000)).unwrap_or(1000),
                gid: u32::try_from(at(&Field::Group, 1000)).unwrap_or(1000),
            }),
        },
        Hook::Forward | Hook::Postrouting => {
            Path::Forward { iif: name(&Field::Iif, "eth0"), oif: name(&Field::Oif, "eth1"), addressed }
        }
        _ => Path::In { iface: name(&Field::Iif, "eth0"), addressed },
    };
    let (here, there) = (HERE[which], THERE[which]);
    let (from, to) = if place.hook == Hook::Output { (here, there) } else { (there, here) };
    Connection { path, from: address(&Field::Source, from), to: address(&Field::Destination, to), packet }
}

/// The address of a number.
#[must_use]
pub fn ip(family: Family, value: u128) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(value).unwrap_or(u32::MAX))),
        Family::V6 => IpAddr::V6(Ipv6Addr::from_bits(value)),
    }
}

fn port(value: u128) -> u16 {
    u16::try_from(value).unwrap_or(u16::MAX)
}
