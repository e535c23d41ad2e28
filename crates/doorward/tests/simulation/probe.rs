//! The connections that are tried at every door, as packets of each direction; judges none.

use doorward::explain::{self, Surroundings};
use doorward::meaning::{Connection, Owner, Packet as First, Path};
use doorward::net::{Family, Proto};
use doorward::ruleset::Hook;
use doorward::trace::{Conntrack, Packet};
use std::net::IpAddr;

const ESTABLISHED: u32 = 2;
const RELATED: u32 = 4;
const ACK: u8 = 0x10;
/// Where TCP keeps its flags.
const FLAGS: usize = 13;

/// One connection that could be opened.
pub(crate) struct Probe {
    pub(crate) what: &'static str,
    /// Its first packet.
    pub(crate) first: Packet,
    /// The same where helpers are assigned.
    pub(crate) before: Packet,
    /// Whether it goes on with packets of a state of its own.
    pub(crate) goes_on: bool,
}

impl Probe {
    /// A later packet, from the opener or to it.
    pub(crate) fn later(&self, reply: bool, mark: u32) -> Packet {
        let mut packet = if reply { turned(&self.first) } else { self.first.clone() };
        if packet.l4proto == Proto::TCP.0 {
            packet.transport[FLAGS] = ACK;
        }
        if let Conntrack::Entry(entry) = &mut packet.ct {
            entry.state = ESTABLISHED;
            entry.direction = u8::from(reply);
            entry.mark = mark;
        }
        packet
    }
}

/// The answer to a packet.
fn turned(packet: &Packet) -> Packet {
    let mut turned = packet.clone();
    turned.hook = match packet.hook {
        Hook::Input => Hook::Output,
        Hook::Output => Hook::Input,
        other => other,
    };
    std::mem::swap(&mut turned.iif, &mut turned.oif);
    turned.owner = None;
    let (at, len) = match packet.family {
        Family::V4 => (12, 4),
        Family::V6 => (8, 16),
    };
    turned.network[at..at + 2 * len].rotate_left(len);
    turned.transport[..4].rotate_left(2);
    turned
}

/// SSH from the administrator.
pub(crate) const SSH: usize = 0;

pub(crate) fn probes() -> Vec<Probe> {
    let addr = |text: &str| text.parse::<IpAddr>().unwrap();
    let (here, here6) = (addr("192.0.2.1"), addr("2001:db8::1"));
    let (peer, peer6) = (addr("198.51.100.7"), addr("2001:db8:1::7"));
    let near = addr("192.0.2.9");
    let inward = || Path::In { iface: "eth0".to_owned(), addressed: None };
    let outward = || Path::Out { iface: "eth0".to_owned(), owner: Some(Owner { uid: 1000, gid: 1000 }) };
    let through = || Path::Forward { iif: "eth1".to_owned(), oif: "eth0".to_owned(), addressed: None };
    let ports = |proto, to| First::Ports { proto, from: 40_000, to, opens: true };
    let (tcp, udp) = (|to| ports(Proto::TCP, to), |to| ports(Proto::UDP, to));
    let all = [
        ("ssh", inward(), near, here, tcp(22)),
        ("ssh, IPv6", inward(), peer6, here6, tcp(22)),
        ("ssh from afar", inward(), peer, here, tcp(22)),
        ("http", inward(), peer, here, tcp(80)),
        ("http, IPv6", inward(), peer6, here6, tcp(80)),
        ("mysql", inward(), peer, here, tcp(3306)),
        ("dns", inward(), peer, here, udp(53)),
        ("5353/udp, IPv6", inward(), peer6, here6, udp(5353)),
        ("ftp", inward(), near, here, tcp(21)),
        ("smtp out", outward(), here, peer, tcp(25)),
        ("https out, IPv6", outward(), here6, peer6, tcp(443)),
        ("https through", through(), addr("10.0.0.5"), addr("203.0.113.7"), tcp(443)),
        ("smtp through", through(), addr("10.0.0.5"), addr("203.0.113.7"), tcp(25)),
        ("ftp data", inward(), near, here, tcp(50_007)),
        ("ping", inward(), peer, here, First::Icmp { kind: 8, hops: 64 }),
    ];
    let around = Surroundings { own: vec![here, here6], ..Surroundings::default() };
    all.into_iter()
        .map(|(what, path, from, to, packet)| {
            let connection = Connection { path, from, to, packet };
            let mut first = explain::packet(&connection, &around);
            let mut goes_on = matches!(packet, First::Ports { .. });
            if let (true, Conntrack::Entry(entry)) = (what == "ftp data", &mut first.ct) {
                entry.state = RELATED;
                entry.helper = Some("ftp".to_owned());
                goes_on = false;
            }
            let before = explain::at(Hook::Prerouting, &connection, &around);
            Probe { what, first, before, goes_on }
        })
        .collect()
}
