//! An imagined connection as the first packet that a hook of the kernel meets; judges nothing.

use crate::meaning::{Connection, Packet, Path};
use crate::net::{Family, Proto};
use crate::ruleset::{FibResult, Hook};
use crate::trace::{self, Conntrack, Device, Entry, Tuple};
use std::net::IpAddr;

/// `IPS_DST_NAT`
const DST_NAT: u32 = 0x20;
/// What conntrack thinks of a first packet.
const NEW: u32 = 8;
/// What it thinks of an error that quotes a connection.
const RELATED: u32 = 4;

/// What a packet finds around it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Surroundings {
    /// Addresses of this host.
    pub own: Vec<IpAddr>,
    /// Interfaces; one that is not among them counts as a cable of no known kind.
    pub devices: Vec<Device>,
    /// Name of the interface where the route to the source leads, as far as it is known.
    pub back: Option<String>,
}

/// Flags of a question to the routing table (`NFTA_FIB_F_*`).
mod fib {
    pub(super) const SADDR: u32 = 1;
    pub(super) const DADDR: u32 = 2;
    pub(super) const IIF: u32 = 8;
}

/// The first packet of a connection at the hook that judges it: input, output or forward.
#[must_use]
pub fn packet(connection: &Connection, around: &Surroundings) -> trace::Packet {
    let hook = match &connection.path {
        Path::In { .. } => Hook::Input,
        Path::Out { .. } => Hook::Output,
        Path::Forward { .. } => Hook::Forward,
    };
    at(hook, connection, around)
}

/// The same at any hook that it comes by. At prerouting it is as it was sent, before any destination NAT.
#[must_use]
pub fn at(hook: Hook, connection: &Connection, around: &Surroundings) -> trace::Packet {
    let before = hook == Hook::Prerouting;
    let to = if before { connection.addressed() } else { connection.to };
    let (iif, oif, owner) = match &connection.path {
        Path::In { iface, .. } => (Some(iface), None, None),
        Path::Out { iface, owner } => (None, Some(iface), *owner),
        Path::Forward { iif, .. } if before => (Some(iif), None, None),
        Path::Forward { iif, oif, .. } => (Some(iif), Some(oif), None),
    };
    let (iif, oif) = (iif.map(|name| around.device(name)), oif.map(|name| around.device(name)));
    let fib = around.fib(connection.from, to, iif.as_ref(), oif.as_ref());
    trace::Packet {
        hook,
        family: connection.family(),
        iif,
        oif,
        link: Vec::new(),
        network: network_header(connection, to),
        transport: transport_header(connection, before),
        l4proto: connection.proto().0,
        later_fragment: false,
        extensions: Vec::new(),
        mark: 0,
        owner: owner.map(|owner| (owner.uid, owner.gid)),
        ct: conntrack(connection, before),
        fib,
    }
}

impl Surroundings {
    fn device(&self, name: &str) -> Device {
        const LO: u32 = 1;
        /// No interface that is there has it.
        const OTHER: u32 = i32::MAX.cast_unsigned();
        let known = self.devices.iter().find(|device| device.name == name).cloned();
        known.unwrap_or_else(|| {
            let index = if name == "lo" { LO } else { OTHER };
            Device { name: name.to_owned(), index, kind: Some("veth".to_owned()), group: None }
        })
    }

    /// What the routing table says of both ends.
    fn fib(
        &self,
        from: IpAddr,
        to: IpAddr,
        iif: Option<&Device>,
        oif: Option<&Device>,
    ) -> Vec<(FibResult, u32, u32)> {
        let mut all = vec![
            (FibResult::AddrType, fib::SADDR, self.kind_of(from)),
            (FibResult::AddrType, fib::DADDR, self.kind_of(to)),
        ];
        // What would leave where it came in is known by its two interfaces.
        let returns = iif.filter(|iif| oif.is_some_and(|oif| oif.name == iif.name));
        all.push((FibResult::Oif, fib::DADDR | fib::IIF, returns.map_or(0, |device| device.index)));
        if let (Some(iif), Some(back)) = (iif, &self.back) {
            let index = if *back == iif.name { iif.index } else { 0 };
            all.push((FibResult::Oif, fib::SADDR | fib::IIF, index));
            all.push((FibResult::Oifname, fib::SADDR | fib::IIF, index));
        }
        all
    }

    /// `RTN_*`
    fn kind_of(&self, addr: IpAddr) -> u32 {
        const UNICAST: u32 = 1;
        const LOCAL: u32 = 2;
        const BROADCAST: u32 = 3;
        const MULTICAST: u32 = 5;
        match addr {
            _ if self.own.contains(&addr) || addr.is_loopback() => LOCAL,
            IpAddr::V4(four) if four.is_broadcast() => BROADCAST,
            _ if addr.is_multicast() => MULTICAST,
            _ => UNICAST,
        }
    }
}

/// New; but ICMP errors belong to something, and what neighbours say is not tracked.
fn conntrack(connection: &Connection, before: bool) -> Conntrack {
    let state = match connection.packet {
        Packet::Icmp { kind, .. } => match (connection.family(), kind) {
            (Family::V4, 3 | 11 | 12) | (Family::V6, 1..=4) => RELATED,
            (Family::V6, 130..=137 | 143) => return Conntrack::Untracked,
            _ => NEW,
        },
        _ => NEW,
    };
    let translated = !before
        && matches!(
            connection.path,
            Path::In { addressed: Some(_), .. } | Path::Forward { addressed: Some(_), .. }
        );
    let (from, to) = match connection.packet {
        Packet::Ports { from, to, .. } => (from, to),
        _ => (0, 0),
    };
    Conntrack::Entry(Entry {
        state,
        status: if translated { DST_NAT } else { 0 },
        direction: 0,
        mark: 0,
        helper: None,
        original: Tuple {
            source: connection.from,
            destination: connection.addressed(),
            source_port: from,
            destination_port: connection.port().unwrap_or(0),
        },
        reply: Tuple {
            source: if before { connection.addressed() } else { connection.to },
            destination: connection.from,
            source_port: if before { connection.port().unwrap_or(0) } else { to },
            destination_port: from,
        },
    })
}

fn network_header(connection: &Connection, to: IpAddr) -> Vec<u8> {
    let hops = match connection.packet {
        Packet::Icmp { hops, .. } => hops,
        _ => 64,
    };
    let mut header = match connection.family() {
        Family::V4 => vec![0x45, 0, 0, 40, 0, 0, 0, 0, hops, connection.proto().0, 0, 0],
        Family::V6 => vec![0x60, 0, 0, 0, 0, 20, connection.proto().0, hops],
    };
    header.extend(octets(connection.from));
    header.extend(octets(to));
    header
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

fn transport_header(connection: &Connection, before: bool) -> Vec<u8> {
    match connection.packet {
        Packet::Ports { proto, from, to, opens } => {
            let to = if before { connection.port().unwrap_or(to) } else { to };
            let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
            header.resize(20, 0);
            header[12] = 0x50;
            header[13] = if proto == Proto::TCP && opens { 0x02 } else { 0x10 };
            header
        }
        Packet::Icmp { kind, .. } => vec![kind, 0, 0, 0, 0, 0, 0, 0],
        Packet::Other(_) => vec![0x11; 20],
    }
}
