//! What is built in (design: meaning 7, language: ruling 14); knows no sentence.

use super::{Connection, Host, Packet, Path};
use crate::net::{Family, Proto};
use std::net::IpAddr;

/// The name that the kernel gives to the loopback interface.
const LOOPBACK: &str = "lo";

/// A built-in that no sentence can change, and whether it lets the connection through.
pub(super) fn fixed(host: &Host, connection: &Connection) -> Option<(bool, &'static str)> {
    if stays_here(connection) {
        return Some((true, "loopback"));
    }
    // Neighbours tell each other about addresses, a host's own among them: that is how two with one are found.
    let arrives = !matches!(connection.path, Path::Out { .. });
    if arrives && neighbourly(connection).is_none() {
        let ends = [connection.from, connection.addressed()];
        if ends.iter().any(IpAddr::is_loopback) {
            return Some((false, "loopback address from outside"));
        }
        if ends.iter().any(is_mapped) {
            return Some((false, "IPv4-mapped address"));
        }
        if host.own.contains(&connection.from) {
            return Some((false, "own address from outside"));
        }
    }
    matches!(connection.packet, Packet::Ports { proto: Proto::TCP, opens: false, .. })
        .then_some((false, "TCP without a bare SYN"))
}

/// A built-in that lets a connection through unless a sentence that names it blocks it.
pub(super) fn essential(connection: &Connection) -> Option<&'static str> {
    match connection.packet {
        Packet::Icmp { kind, .. } => icmp_error(connection, kind).or_else(|| neighbourly(connection)),
        Packet::Ports { proto: Proto::UDP, from, to, .. } => dhcp(connection, from, to),
        _ => None,
    }
}

fn stays_here(connection: &Connection) -> bool {
    match &connection.path {
        Path::In { iface, .. } | Path::Out { iface, .. } => iface == LOOPBACK,
        Path::Forward { .. } => false,
    }
}

fn is_mapped(addr: &IpAddr) -> bool {
    matches!(addr, IpAddr::V6(six) if six.to_ipv4_mapped().is_some())
}

/// Errors, which say what became of a connection (RFC 4890).
fn icmp_error(connection: &Connection, kind: u8) -> Option<&'static str> {
    match connection.family() {
        Family::V4 => matches!(kind, 3 | 11 | 12),
        Family::V6 => matches!(kind, 1..=4),
    }
    .then_some("ICMP errors")
}

/// What ICMPv6 does on the own link. The hop limit proves that no router passed it on: 255 cannot be
/// reached from further away (RFC 4861), and 1 goes no further (RFC 3810).
fn neighbourly(connection: &Connection) -> Option<&'static str> {
    let Packet::Icmp { kind, hops } = connection.packet else { return None };
    if connection.family() == Family::V4 || matches!(connection.path, Path::Forward { .. }) {
        return None;
    }
    match (kind, hops) {
        (133..=136, 255) => Some("neighbour discovery"),
        (130..=132 | 143, 1) => Some("multicast listeners"),
        _ => None,
    }
}

fn dhcp(connection: &Connection, from: u16, to: u16) -> Option<&'static str> {
    let (server, client) = match connection.path {
        Path::In { .. } => (from, to),
        Path::Out { .. } => (to, from),
        Path::Forward { .. } => return None,
    };
    match connection.family() {
        Family::V4 => (server, client) == (67, 68),
        Family::V6 => (server, client) == (547, 546) && is_link_local(connection.from),
    }
    .then_some("DHCP")
}

fn is_link_local(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(six) if six.is_unicast_link_local())
}
