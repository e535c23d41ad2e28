//! A tracked connection as a value; knows nothing of messages.
//!
//! The numbers are those of `include/uapi/linux/netfilter/nf_conntrack_common.h` and `nf_conntrack_tcp.h`.

use std::net::{IpAddr, SocketAddr};

use doorward::net::Proto;

/// Bits of [`Entry::status`] (`IPS_*`).
pub mod status {
    /// Another connection announced it.
    pub const EXPECTED: u32 = 0x1;
    /// Packets of both directions were seen.
    pub const SEEN_REPLY: u32 = 0x2;
    /// Not dropped early when the table is full.
    pub const ASSURED: u32 = 0x4;
    /// Its first packet left the host or reached a socket.
    pub const CONFIRMED: u32 = 0x8;
    /// Its source is translated.
    pub const SRC_NAT: u32 = 0x10;
    /// Its destination is translated.
    pub const DST_NAT: u32 = 0x20;
    /// It is being deleted.
    pub const DYING: u32 = 0x200;
    /// A flowtable forwards it; no rule sees its packets, and it has no timeout.
    pub const OFFLOAD: u32 = 0x4000;
}

/// One direction of a connection, as connection tracking looks it up (`struct nf_conntrack_tuple`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address, of the same family.
    pub destination: IpAddr,
    /// The transport protocol.
    pub proto: Proto,
    /// What tells connections between the same hosts apart.
    pub detail: Detail,
}

/// What tells connections between the same hosts apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Detail {
    /// Ports of TCP, UDP, SCTP; the keys of GRE.
    Ports {
        /// Source.
        source: u16,
        /// Destination.
        destination: u16,
    },
    /// A question of ICMP or ICMPv6.
    Icmp {
        /// Identifier.
        id: u16,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Nothing: any other protocol.
    None,
}

impl Tuple {
    /// Packets of a protocol with ports. IPv4-mapped addresses, as sockets of IPv6 show them, are taken for the
    /// IPv4 that they are on the wire.
    #[must_use]
    pub fn of_ports(proto: Proto, source: SocketAddr, destination: SocketAddr) -> Tuple {
        Tuple {
            source: source.ip().to_canonical(),
            destination: destination.ip().to_canonical(),
            proto,
            detail: Detail::Ports { source: source.port(), destination: destination.port() },
        }
    }

    /// A TCP connection; see [`Tuple::of_ports`].
    #[must_use]
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Tuple {
        Tuple::of_ports(Proto::TCP, source, destination)
    }

    /// A UDP flow; see [`Tuple::of_ports`].
    #[must_use]
    pub fn udp(source: SocketAddr, destination: SocketAddr) -> Tuple {
        Tuple::of_ports(Proto::UDP, source, destination)
    }

    /// `AF_INET` or `AF_INET6`.
    pub(super) fn family(&self) -> u8 {
        if self.source.is_ipv4() { 2 } else { 10 }
    }
}

/// A zone: entries of different zones do not see each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Zone {
    /// Its number; 0 is where entries without a zone are.
    pub id: u16,
    /// For which direction it holds.
    pub dir: ZoneDir,
}

/// For which direction a zone holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ZoneDir {
    /// Both.
    Both,
    /// The original one; replies are looked up in zone 0.
    Original,
    /// That of replies.
    Reply,
}

/// Where a TCP connection is, seen from outside (`enum tcp_conntrack`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TcpState {
    /// Not known yet.
    None,
    /// A SYN was seen.
    SynSent,
    /// SYN and SYN-ACK were seen.
    SynRecv,
    /// The handshake is complete.
    Established,
    /// One end has closed.
    FinWait,
    /// The other end has acknowledged that.
    CloseWait,
    /// Both have closed.
    LastAck,
    /// Both have acknowledged.
    TimeWait,
    /// Reset.
    Close,
    /// SYNs of both ends were seen.
    SynSent2,
    /// Any other number.
    Other(u8),
}

impl TcpState {
    pub(super) fn from_number(number: u8) -> TcpState {
        match number {
            0 => TcpState::None,
            1 => TcpState::SynSent,
            2 => TcpState::SynRecv,
            3 => TcpState::Established,
            4 => TcpState::FinWait,
            5 => TcpState::CloseWait,
            6 => TcpState::LastAck,
            7 => TcpState::TimeWait,
            8 => TcpState::Close,
            9 => TcpState::SynSent2,
            other => TcpState::Other(other),
        }
    }
}

/// A tracked connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The opener's packets, as it sent them.
    pub original: Tuple,
    /// The answers, as they are expected: translation shows here.
    pub reply: Tuple,
    /// [`status`].
    pub status: u32,
    /// The mark.
    pub mark: u32,
    /// The zone, where it has one.
    pub zone: Option<Zone>,
    /// Seconds until it is forgotten, if no packet comes; none while a flowtable has it.
    pub timeout: Option<u32>,
    /// The state, of TCP.
    pub tcp: Option<TcpState>,
    /// The kernel's number of this very entry (`CTA_ID`). The same memory with the same tuple again, which the
    /// kernel may hand out, has the same number.
    pub id: u32,
}

impl Entry {
    /// Whether the destination is translated, so that the original one is not where it went.
    #[must_use]
    pub fn is_dst_nat(&self) -> bool {
        self.status & status::DST_NAT != 0
    }
}
