//! The targets of iptables: what they do to a packet, its mark or its connection, and whether the walk ends there.

mod change;
mod mark;
mod nat;
mod other;

pub use change::{EcnSet, Hops};
pub use mark::{ConnmarkSet, Shift};
pub use nat::{NatTo, Npt};
pub use other::{CtTo, Log, Nflog, Queue, SetTo, Tee, Tproxy, Zone};

use super::Shape;
use super::info::Info;
use crate::net::Family;
use crate::ruleset::Reject;

/// A target. What iptables calls `ACCEPT`, `DROP` and `RETURN` are no targets in the kernel but plain verdicts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// `AUDIT`: tells the audit system 0 accepted, 1 dropped, 2 rejected.
    Audit(u8),
    /// `CHECKSUM`: fills in the checksum that the device would have.
    Checksum,
    /// `CLASSIFY`: sets the priority of the packet (nft's `meta priority`).
    Classify(u32),
    /// `CONNMARK`: sets the mark of the connection, or that of the packet from it.
    Connmark(ConnmarkSet),
    /// `CONNSECMARK`: copies the security mark.
    Connsecmark,
    /// `CT`: what connection tracking shall do with the packet.
    Ct(CtTo),
    /// `DNAT`: translates the destination.
    Dnat(NatTo),
    /// `DNPT`: translates the prefix of the destination, without connection.
    Dnpt(Npt),
    /// `DSCP`: sets the upper six bits of the TOS byte.
    Dscp(u8),
    /// `ECN`: sets bits of congestion notification.
    Ecn(EcnSet),
    /// `HMARK`: sets the mark of the packet to a hash: `first` and what is less than `first + modulus`. Where
    /// there is nothing to hash, the mark stays.
    Hmark {
        /// The smallest.
        first: u32,
        /// How many.
        modulus: u32,
    },
    /// `TTL` and `HL`: change the hop limit.
    Hops(Hops),
    /// `IDLETIMER`: starts a timer of this name.
    Idletimer(String),
    /// `LED`: switches a light.
    Led,
    /// `LOG`: writes to the kernel's log.
    Log(Log),
    /// `MARK`: sets the mark of the packet to `(mark & !mask) ^ value`; [`Target::marked`].
    Mark {
        /// Bits to flip then.
        value: u32,
        /// Bits to clear first.
        mask: u32,
    },
    /// `MASQUERADE`: translates the source to an address of the device by which the packet leaves.
    Masquerade(NatTo),
    /// `NETMAP`: translates the prefix of an address: of the destination in prerouting and output, else of the
    /// source. The prefix is where first and last address are equal.
    Netmap(NatTo),
    /// `NFLOG`: hands a copy to user space.
    Nflog(Nflog),
    /// `NFQUEUE`: hands the packet to user space.
    Queue(Queue),
    /// `NOTRACK`: leaves the packet out of connection tracking, if it has no connection yet.
    Notrack,
    /// `RATEEST`: measures a rate.
    Rateest(String),
    /// `REDIRECT`: translates the destination to this host.
    Redirect(NatTo),
    /// `REJECT`: answers and drops.
    Reject(Reject),
    /// `SECMARK`: sets the security mark.
    Secmark,
    /// `SET`: changes a set of `ipset`, and may set mark and priority from it.
    Set(SetTo),
    /// `SNAT`: translates the source.
    Snat(NatTo),
    /// `SNPT`: translates the prefix of the source, without connection.
    Snpt(Npt),
    /// `SYNPROXY`: answers for the server until the client has proven itself.
    Synproxy,
    /// `TCPMSS`: makes the maximum segment size smaller: to this, or without a number to what the route takes.
    TcpMss(Option<u16>),
    /// `TCPOPTSTRIP`: takes out TCP options of these kinds.
    TcpOptStrip(Vec<u8>),
    /// `TEE`: sends a copy elsewhere.
    Tee(Tee),
    /// `TOS`: sets the TOS byte to `(byte & !mask) ^ value`.
    Tos {
        /// Bits to flip then.
        value: u8,
        /// Bits to clear first.
        mask: u8,
    },
    /// `TPROXY`: hands the packet to a local socket.
    Tproxy(Tproxy),
    /// `TRACE`: lets the kernel tell each rule that the packet meets.
    Trace,
    /// Anything else: may do anything, and end the walk or not.
    Unknown {
        /// Name, empty if the expression has none.
        name: String,
        /// Revision.
        revision: u32,
        /// The structure.
        data: Vec<u8>,
    },
}

/// How the walk ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum End {
    /// As with nft's `accept`: this base chain, the next one still judges.
    Accept,
    /// As with nft's `drop`.
    Drop,
    /// To user space, which decides.
    Queue,
    /// Accepts where the target finds what it needs, else drops.
    AcceptOrDrop,
    /// Takes the packet out of the stack or drops it, or goes on; it depends on the packet.
    Some,
    /// Nobody here knows.
    Unknown,
}

impl Target {
    /// How the walk ends; none if it goes on with the next expression.
    ///
    /// What changes a packet drops it where it cannot: [`Target::may_drop`].
    #[must_use]
    pub fn ends(&self) -> Option<End> {
        match self {
            Target::Reject(_) => Some(End::Drop),
            // `nf_nat_setup_info` accepts, and drops where no translation is left; masquerading drops where
            // the device has no address.
            Target::Dnat(_)
            | Target::Snat(_)
            | Target::Masquerade(_)
            | Target::Netmap(_)
            | Target::Redirect(_) => Some(End::Accept),
            Target::Queue(_) => Some(End::Queue),
            Target::Tproxy(_) => Some(End::AcceptOrDrop),
            Target::Synproxy => Some(End::Some),
            Target::Unknown { .. } => Some(End::Unknown),
            _ => None,
        }
    }

    /// Whether it drops packets that it cannot change: cut off or malformed ones, without memory, without a
    /// translation that is left.
    #[must_use]
    pub fn may_drop(&self) -> bool {
        matches!(
            self,
            Target::Checksum
                | Target::Dnat(_)
                | Target::Dnpt(_)
                | Target::Dscp(_)
                | Target::Ecn(_)
                | Target::Hops(_)
                | Target::Masquerade(_)
                | Target::Netmap(_)
                | Target::Redirect(_)
                | Target::Reject(_)
                | Target::Snat(_)
                | Target::Snpt(_)
                | Target::Synproxy
                | Target::TcpMss(_)
                | Target::TcpOptStrip(_)
                | Target::Tos { .. }
                | Target::Tproxy(_)
                | Target::Unknown { .. }
        )
    }

    /// What becomes of the mark of a packet whose connection has this mark (none without connection); none if
    /// that cannot be told.
    #[must_use]
    pub fn marked(&self, packet: u32, connection: Option<u32>) -> Option<u32> {
        Some(match self {
            Target::Mark { value, mask } => packet & !mask ^ value,
            Target::Connmark(set) => set.marked(packet, connection).0,
            Target::Hmark { .. } | Target::Unknown { .. } | Target::Tproxy(_) => return None,
            Target::Set(set) if set.map.is_some() => return None,
            _ => packet,
        })
    }

    /// What becomes of the mark of the connection; none if that cannot be told, or there is no connection.
    #[must_use]
    pub fn connection_marked(&self, packet: u32, connection: Option<u32>) -> Option<u32> {
        match self {
            Target::Connmark(set) => set.marked(packet, connection).1,
            Target::Unknown { .. } => None,
            _ => connection,
        }
    }
}

/// The target of this name; none if name, revision or structure are not known.
pub(super) fn known(name: &str, shape: Shape, bytes: &[u8]) -> Option<Target> {
    let mut info = Info::new(bytes);
    let found = read(name, shape, &mut info)?;
    if other::ends_with_pointer(name) { info.end_with_pointer() } else { info.end() }?;
    Some(found)
}

fn read(name: &str, shape: Shape, info: &mut Info) -> Option<Target> {
    match name {
        "CONNMARK" => return mark::connmark(info, shape),
        "CT" => return other::ct(info, shape),
        "DNAT" => return nat::address(info, shape).map(Target::Dnat),
        "IDLETIMER" => return other::idletimer(info, shape),
        "MARK" => return mark::mark(info, shape),
        "NFQUEUE" => return other::queue(info, shape),
        "SECMARK" => return other::secmark(info, shape),
        "SET" => return other::set(info, shape),
        "SNAT" => return nat::address(info, shape).map(Target::Snat),
        "TEE" => return other::tee(info, shape),
        "TOS" => return change::tos(info, shape),
        "TPROXY" => return other::tproxy(info, shape),
        // All others have one revision.
        _ if shape.revision != 0 => return None,
        _ => {}
    }
    match name {
        "AUDIT" => info.u8().filter(|kind| *kind <= 2).map(Target::Audit),
        "CHECKSUM" => info.u8().filter(|what| *what == 1).map(|_| Target::Checksum),
        "CLASSIFY" => info.u32().map(Target::Classify),
        "CONNSECMARK" => info.u8().map(|_| Target::Connsecmark),
        "DSCP" => info.u8().map(Target::Dscp),
        "HMARK" => mark::hmark(info),
        "LED" => other::led(info),
        "LOG" => other::log(info),
        "MASQUERADE" => nat::of_family(info, shape).map(Target::Masquerade),
        "NETMAP" => nat::of_family(info, shape).map(Target::Netmap),
        "NFLOG" => other::nflog(info),
        "NOTRACK" => Some(Target::Notrack),
        "RATEEST" => other::rateest(info),
        "REDIRECT" => nat::of_family(info, shape).map(Target::Redirect),
        "SYNPROXY" => info.u32().map(|_| Target::Synproxy),
        "TCPMSS" => change::tcpmss(info),
        "TCPOPTSTRIP" => change::tcp_opt_strip(info),
        "TRACE" => Some(Target::Trace),
        _ => match (shape.family?, name) {
            (family, "REJECT") => other::reject(info, family),
            (Family::V4, "ECN") => change::ecn(info),
            (Family::V4, "TTL") | (Family::V6, "HL") => change::hops(info),
            (Family::V6, "DNPT") => nat::npt(info).map(Target::Dnpt),
            (Family::V6, "SNPT") => nat::npt(info).map(Target::Snpt),
            _ => None,
        },
    }
}
