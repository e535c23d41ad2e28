//! An imagined connection: the facts of its first packet, as the host meets it; holds no opinion.

use crate::net::{Family, Proto};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that stand for one of this host which no sentence names.
pub(super) const HERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// A connection by its first packet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Connection {
    /// How it meets this host.
    pub path: Path,
    /// Source address.
    pub from: IpAddr,
    /// Destination address, after any destination NAT.
    pub to: IpAddr,
    /// Protocol and what belongs to it, ports after any destination NAT.
    pub packet: Packet,
}

/// How a connection meets this host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Path {
    /// Arrives for this host.
    In {
        /// Where it arrives.
        iface: String,
        /// What the peer addressed, when destination NAT led it here.
        addressed: Option<Addressed>,
    },
    /// Sent by this host.
    Out {
        /// Where it leaves.
        iface: String,
        /// Who opened the socket; none for packets of the kernel.
        owner: Option<Owner>,
    },
    /// Passes through.
    Forward {
        /// Where it arrives.
        iif: String,
        /// Where it leaves.
        oif: String,
        /// What the peer addressed, when destination NAT leads it on.
        addressed: Option<Addressed>,
    },
}

/// What a peer addressed before destination NAT.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Addressed {
    /// Address.
    pub to: IpAddr,
    /// Port; of no meaning for protocols without.
    pub port: u16,
}

/// Who opened a socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// The first packet above the network layer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Packet {
    /// A protocol with ports.
    Ports {
        /// TCP, UDP or SCTP.
        proto: Proto,
        /// Source port.
        from: u16,
        /// Destination port.
        to: u16,
        /// Whether it opens a connection: for TCP a bare SYN; always so for the others.
        opens: bool,
    },
    /// ICMP of the addresses' family. An error is taken to belong to a connection that exists.
    Icmp {
        /// The type.
        kind: u8,
        /// Hop limit on arrival.
        hops: u8,
    },
    /// Any other protocol.
    Other(Proto),
}

impl Connection {
    /// The family of its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.from)
    }

    /// Where it arrives, for what this host sends where it leaves: what `on` speaks of.
    #[must_use]
    pub fn iface(&self) -> &str {
        match &self.path {
            Path::In { iface, .. } | Path::Out { iface, .. } => iface,
            Path::Forward { iif, .. } => iif,
        }
    }

    /// Address that the opener addressed.
    #[must_use]
    pub fn addressed(&self) -> IpAddr {
        self.nat().map_or(self.to, |addressed| addressed.to)
    }

    /// Port that the opener addressed, for protocols that have one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        match self.packet {
            Packet::Ports { to, .. } => Some(self.nat().map_or(to, |addressed| addressed.port)),
            Packet::Icmp { .. } | Packet::Other(_) => None,
        }
    }

    /// Its protocol.
    #[must_use]
    pub fn proto(&self) -> Proto {
        match (self.packet, self.family()) {
            (Packet::Ports { proto, .. } | Packet::Other(proto), _) => proto,
            (Packet::Icmp { .. }, Family::V4) => Proto::ICMP,
            (Packet::Icmp { .. }, Family::V6) => Proto::ICMPV6,
        }
    }

    fn nat(&self) -> Option<Addressed> {
        match &self.path {
            Path::In { addressed, .. } | Path::Forward { addressed, .. } => *addressed,
            Path::Out { .. } => None,
        }
    }
}

impl fmt::Display for Connection {
    /// `tcp 198.51.100.7 → port 22 on eth0`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proto = self.proto();
        write!(f, "{proto} {}", self.from)?;
        let to = self.addressed();
        f.write_str(" →")?;
        if !(HERE.contains(&to) && matches!(self.path, Path::In { .. })) {
            write!(f, " {to}")?;
        }
        match (self.packet, self.port()) {
            (Packet::Ports { .. }, Some(port)) => write!(f, " port {port}")?,
            (Packet::Icmp { kind, .. }, _) => write!(f, " type {kind}")?,
            _ => {}
        }
        if let Packet::Ports { opens: false, .. } = self.packet {
            f.write_str(" without a bare SYN")?;
        }
        write!(f, " on {}", self.iface())?;
        match &self.path {
            Path::Forward { oif, .. } => write!(f, " to {oif}"),
            Path::Out { owner: Some(owner), .. } => write!(f, " by user {} group {}", owner.uid, owner.gid),
            Path::Out { owner: None, .. } => f.write_str(" by nobody"),
            Path::In { .. } => Ok(()),
        }
    }
}
