//! A packet of a space as bytes and facts: what an interpreter, or a kernel, can be given; judges nothing.

use super::load::Slice;
use crate::meaning::ip;
use crate::net::Family;
use crate::ruleset::{CtDir, CtKey, Hook, MetaKey, PayloadBase, exthdr};
use crate::space::{Field, Point, state, value_name};
use crate::trace::{Conntrack, Device, Entry, Packet, Tuple};
use std::net::IpAddr;

/// The packet at a point of a space. What the point does not tell is as usual.
#[must_use]
pub fn packet(point: &Point, family: Family, slice: Slice) -> Packet {
    Maker { point, family, slice }.packet()
}

struct Maker<'a> {
    point: &'a Point,
    family: Family,
    slice: Slice,
}

impl Maker<'_> {
    fn get(&self, field: &Field, usual: u128) -> u128 {
        self.point.get(field).unwrap_or(usual)
    }

    fn byte(&self, field: &Field, usual: u8) -> u8 {
        u8::try_from(self.get(field, usual.into()) & 0xff).unwrap_or(usual)
    }

    fn port(&self, field: &Field, usual: u16) -> u16 {
        u16::try_from(self.get(field, usual.into()) & 0xffff).unwrap_or(usual)
    }

    fn word(&self, field: &Field) -> u32 {
        u32::try_from(self.get(field, 0) & u128::from(u32::MAX)).unwrap_or(0)
    }

    fn address(&self, field: &Field) -> IpAddr {
        let usual = if self.family == Family::V4 { 0xc000_0201 } else { 0x2001_0db8 << 96 | 1 };
        ip(self.family, self.get(field, usual))
    }

    fn packet(&self) -> Packet {
        let arrives = matches!(self.slice.hook, Hook::Prerouting | Hook::Input | Hook::Forward);
        let leaves = matches!(self.slice.hook, Hook::Forward | Hook::Output | Hook::Postrouting);
        let owner = self.get(&Field::HasOwner, 0) == 1 && !arrives;
        Packet {
            hook: self.slice.hook,
            family: self.family,
            iif: arrives.then(|| self.device(&Field::Iif, MetaKey::Iifkind, "eth0")),
            oif: leaves.then(|| self.device(&Field::Oif, MetaKey::Oifkind, "eth1")),
            link: Vec::new(),
            network: self.network(),
            transport: self.transport(),
            l4proto: self.byte(&Field::Protocol, 6),
            later_fragment: self.get(&Field::LaterFragment, 0) == 1,
            extensions: self.extensions(),
            mark: self.word(&Field::MARK),
            owner: owner.then(|| (self.word(&Field::User), self.word(&Field::Group))),
            ct: self.conntrack(),
            fib: self
                .point
                .values()
                .iter()
                .filter_map(|(field, value)| match field {
                    Field::Fib(result, flags) => Some((*result, *flags, u32::try_from(*value).unwrap_or(0))),
                    _ => None,
                })
                .collect(),
        }
    }

    fn device(&self, field: &Field, kind: MetaKey, usual: &str) -> Device {
        let name = self.point.get(field).and_then(value_name).unwrap_or_else(|| usual.to_owned());
        // Where rules compare its number and not its name, both stand in the point.
        let number = if kind == MetaKey::Iifkind { MetaKey::Iif } else { MetaKey::Oif };
        let told = self.point.get(&Field::Meta(number)).and_then(|index| u32::try_from(index).ok());
        let index = if name == "lo" { 1 } else { told.unwrap_or(7) };
        // A kind that nobody can name is that of no interface.
        let kind = self.point.get(&Field::Meta(kind)).and_then(value_name);
        Device { name, index, kind, group: None }
    }

    fn network(&self) -> Vec<u8> {
        let mut header = match self.family {
            Family::V4 => vec![0; 20],
            Family::V6 => vec![0; 40],
        };
        let (version, hops) = if self.family == Family::V4 { (0x45, 8) } else { (0x60, 7) };
        header[0] = version;
        header[hops] = 64;
        self.bytes(PayloadBase::Network, &mut header);
        let proto = self.byte(&Field::Protocol, 6);
        let (from, to) = (self.address(&Field::Source), self.address(&Field::Destination));
        match (self.family, from, to) {
            (Family::V4, IpAddr::V4(from), IpAddr::V4(to)) => {
                header[9] = proto;
                header[12..16].copy_from_slice(&from.octets());
                header[16..20].copy_from_slice(&to.octets());
            }
            (Family::V6, IpAddr::V6(from), IpAddr::V6(to)) => {
                header[6] = proto;
                header[8..24].copy_from_slice(&from.octets());
                header[24..40].copy_from_slice(&to.octets());
            }
            _ => {}
        }
        header
    }

    fn transport(&self) -> Vec<u8> {
        let tcp = self.byte(&Field::Protocol, 6) == 6;
        let mut header = vec![0; if tcp { 20 } else { 8 }];
        self.bytes(PayloadBase::Transport, &mut header);
        header[0..2].copy_from_slice(&self.port(&Field::SourcePort, 40_000).to_be_bytes());
        header[2..4].copy_from_slice(&self.port(&Field::Port, 9999).to_be_bytes());
        if let Some(flags) = header.get_mut(13) {
            *flags = self.byte(&Field::TcpFlags, 2);
        }
        header
    }

    /// Makes a header as long as the point says, with the bytes that it names.
    fn bytes(&self, base: PayloadBase, header: &mut Vec<u8>) {
        for (field, value) in self.point.values() {
            if let Field::Reaches(of, end) = field
                && *of == base
                && *value == 1
                && header.len() < *end as usize
            {
                header.resize(*end as usize, 0);
            }
        }
        for (field, value) in self.point.values() {
            if let Field::Byte(of, at) = field
                && *of == base
                && let Some(place) = header.get_mut(*at as usize)
            {
                *place = u8::try_from(*value).unwrap_or(0);
            }
        }
    }

    fn extensions(&self) -> Vec<(u8, Vec<u8>)> {
        let mut all = Vec::new();
        for (field, value) in self.point.values() {
            let Field::HasHeader(exthdr::IPV6, number) = field else { continue };
            if *value == 0 || self.family == Family::V4 {
                continue;
            }
            let mut header = vec![0u8; 8];
            header[0] = self.byte(&Field::Protocol, 6);
            for (field, value) in self.point.values() {
                if let Field::Header(exthdr::IPV6, of, at, len) = field
                    && of == number
                {
                    let bytes = value.to_be_bytes();
                    let len = *len as usize;
                    let end = *at as usize + len;
                    if header.len() < end {
                        header.resize(end, 0);
                    }
                    header[*at as usize..end].copy_from_slice(&bytes[16 - len.min(16)..]);
                }
            }
            all.push((*number, header));
        }
        all
    }

    fn conntrack(&self) -> Conntrack {
        match self.get(&Field::State, state::NEW) {
            state::UNTRACKED => return Conntrack::Untracked,
            state::INVALID => return Conntrack::Invalid,
            _ => {}
        }
        const DNAT: u32 = 0x20;
        let status = self.word(&Field::STATUS) & !DNAT | if self.slice.translated { DNAT } else { 0 };
        let direction = self.byte(&Field::Direction, 0);
        let announced = self.get(&Field::HasCt(CtKey::Helper, None), 0) == 1;
        let helper =
            announced.then(|| self.point.get(&Field::HELPER).and_then(value_name).unwrap_or_default());
        Conntrack::Entry(Entry {
            state: u32::try_from(self.get(&Field::State, state::NEW)).unwrap_or(8),
            status,
            direction,
            mark: self.word(&Field::CT_MARK),
            helper,
            original: self.original(direction),
            reply: self.reply(direction),
        })
    }

    fn tuple_field(&self, keys: [CtKey; 3], dir: CtDir, usual: IpAddr) -> IpAddr {
        let value = keys.into_iter().find_map(|key| self.point.get(&Field::Ct(key, Some(dir))));
        value.map_or(usual, |value| ip(self.family, value))
    }

    fn tuple_port(&self, key: CtKey, dir: CtDir, usual: u16) -> u16 {
        self.port(&Field::Ct(key, Some(dir)), usual)
    }

    /// What the opener sent; its own packet tells, but for a translated end.
    fn original(&self, direction: u8) -> Tuple {
        let (here, there) = (self.address(&Field::Source), self.address(&Field::Destination));
        let (source_port, port) = (self.port(&Field::SourcePort, 40_000), self.port(&Field::Port, 9999));
        let with_ports = matches!(self.byte(&Field::Protocol, 6), 6 | 17 | 33 | 132 | 136);
        let own = direction == 0;
        let dir = CtDir::Original;
        let mut tuple = Tuple {
            source: if own {
                here
            } else {
                self.tuple_field([CtKey::Src, CtKey::SrcIp, CtKey::SrcIp6], dir, there)
            },
            destination: if own {
                there
            } else {
                self.tuple_field([CtKey::Dst, CtKey::DstIp, CtKey::DstIp6], dir, here)
            },
            source_port: if own && with_ports {
                source_port
            } else {
                self.tuple_port(CtKey::ProtoSrc, dir, source_port)
            },
            destination_port: if own && with_ports {
                port
            } else {
                self.tuple_port(CtKey::ProtoDst, dir, port)
            },
        };
        if self.slice.translated {
            tuple.destination = self.address(&Field::AddressedTo);
            tuple.destination_port = self.port(&Field::AddressedPort, port);
        }
        tuple
    }

    /// What is expected back.
    fn reply(&self, direction: u8) -> Tuple {
        let (here, there) = (self.address(&Field::Source), self.address(&Field::Destination));
        let (source_port, port) = (self.port(&Field::SourcePort, 40_000), self.port(&Field::Port, 9999));
        let dir = CtDir::Reply;
        let (source, back) = if direction == 0 { (there, here) } else { (here, there) };
        Tuple {
            source: if direction == 0 {
                source
            } else {
                self.tuple_field([CtKey::Src, CtKey::SrcIp, CtKey::SrcIp6], dir, source)
            },
            destination: self.tuple_field([CtKey::Dst, CtKey::DstIp, CtKey::DstIp6], dir, back),
            source_port: if direction == 0 {
                port
            } else {
                self.tuple_port(CtKey::ProtoSrc, dir, source_port)
            },
            destination_port: self.tuple_port(CtKey::ProtoDst, dir, source_port),
        }
    }
}
