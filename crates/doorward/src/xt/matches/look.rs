//! What can be said of a match before there is a packet: what it looks at, what it drops, what it changes.

use super::{Hashlimit, Match, RecentOp};

/// What a match looks at; the most that one of its conditions needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Basis {
    /// Nothing: it always holds.
    Nothing,
    /// The bytes of the packet from the header of IP on.
    Packet,
    /// What connection tracking knows of the packet.
    Connection,
    /// What the host knows besides: devices, link header, routes, sockets, marks.
    Host,
    /// What was before, the clock, chance, or a set that the rule does not show: cannot be told of one packet.
    Memory,
    /// Nobody here knows.
    Unknown,
}

/// What a match does for fragments that are not the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Later {
    /// False, inverted or not.
    False,
    /// False, and drops the packet if the fragment begins at byte 8 of what is fragmented (`fragoff` 1): of IPv4
    /// only, as nft counts that of IPv6 in bytes.
    FalseOrDrop,
    /// Like for any other packet: it does not look at the transport header.
    Same,
    /// Takes the first bytes of the fragment for a transport header.
    Misread,
}

/// For which packets a match says *drop*, whatever the rule says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refuses {
    /// A packet that has less bytes than these behind the headers of IP. Not for later fragments where
    /// [`Match::later`] is false.
    Shorter(u8),
    /// TCP whose data offset is below 5, or options or chunks that are not all there.
    Options,
    /// An IPv6 packet whose extension headers cannot be followed, or not to their end.
    Headers,
    /// A mobility header that says that another one follows.
    AnotherHeader,
    /// A packet whose Ethernet header is gone.
    NoLinkHeader,
    /// Where the kernel has no room to remember it.
    NoRoom,
    /// Unknown.
    Any,
}

impl Match {
    /// What it looks at.
    #[must_use]
    pub fn basis(&self) -> Basis {
        use Match as M;
        match self {
            M::Comment(_) => Basis::Nothing,
            M::Ah(_)
            | M::Ah6(_)
            | M::Dccp(_)
            | M::Dscp(_)
            | M::Ecn(_)
            | M::Esp(_)
            | M::Frag(_)
            | M::HopOptions(_)
            | M::Hops(_)
            | M::Icmp(_)
            | M::Icmp6(_)
            | M::Ipcomp(_)
            | M::Iprange(_)
            | M::Ipv6header(_)
            | M::Length(_)
            | M::Mh(_)
            | M::Multiport(_)
            | M::Rt(_)
            | M::Sctp(_)
            | M::Tcp(_)
            | M::TcpMss(_)
            | M::Text(_)
            | M::Tos(_)
            | M::U32(_)
            | M::Udp(_) => Basis::Packet,
            M::Conntrack(of) if of.expires.is_some() => Basis::Memory,
            M::Connlabel(_) | M::Connmark(_) | M::Conntrack(_) | M::Helper(_) | M::State(_) => {
                Basis::Connection
            }
            // A program can read what the kernel knows of the packet too.
            M::Addrtype(_)
            | M::Bpf(_)
            | M::Cgroup(_)
            | M::Cpu(_)
            | M::Devgroup(_)
            | M::Eui64(_)
            | M::Mac(_)
            | M::Mark(_)
            | M::Owner(_)
            | M::Physdev(_)
            | M::Pkttype(_)
            | M::Policy(_)
            | M::Realm(_)
            | M::Rpfilter(_)
            | M::Socket(_) => Basis::Host,
            M::Connbytes(_)
            | M::Connlimit(_)
            | M::Hashlimit(_)
            | M::Limit(_)
            | M::Nfacct(_)
            | M::Quota(_)
            | M::Recent(_)
            | M::Set(_)
            | M::Statistic(_)
            | M::Time(_) => Basis::Memory,
            M::Unknown { .. } => Basis::Unknown,
        }
    }

    /// What it does for fragments that are not the first.
    #[must_use]
    pub fn later(&self) -> Later {
        match self {
            Match::Tcp(_) => Later::FalseOrDrop,
            Match::Udp(_)
            | Match::Sctp(_)
            | Match::Dccp(_)
            | Match::Multiport(_)
            | Match::Icmp(_)
            | Match::Icmp6(_)
            | Match::Esp(_)
            | Match::Ah(_)
            | Match::Ipcomp(_)
            | Match::Mh(_) => Later::False,
            Match::TcpMss(_) => Later::Misread,
            Match::Ecn(ecn) if ecn.ece.is_some() || ecn.cwr.is_some() => Later::Misread,
            _ => Later::Same,
        }
    }

    /// For which packets it says *drop*; empty for most matches.
    ///
    /// It says so before it looks at the condition in question, but after those that are false: `tcp` looks at
    /// ports and flags first, and at its option last.
    #[must_use]
    pub fn drops(&self) -> &'static [Refuses] {
        use Refuses as R;
        match self {
            Match::Tcp(tcp) if tcp.option.is_some() => &[R::Shorter(20), R::Options],
            Match::Tcp(_) => &[R::Shorter(20)],
            Match::TcpMss(_) => &[R::Shorter(20), R::Options],
            Match::Sctp(sctp) if sctp.chunks.is_some() => &[R::Shorter(12), R::Options],
            Match::Dccp(dccp) if dccp.option.is_some() => &[R::Shorter(12), R::Options],
            Match::Sctp(_) | Match::Dccp(_) | Match::Ah(_) => &[R::Shorter(12)],
            Match::Udp(_) | Match::Icmp(_) | Match::Icmp6(_) | Match::Esp(_) => &[R::Shorter(8)],
            Match::Multiport(_) | Match::Ipcomp(_) => &[R::Shorter(4)],
            Match::Mh(_) => &[R::Shorter(6), R::AnotherHeader],
            Match::Ah6(_) | Match::Frag(_) | Match::HopOptions(_) | Match::Rt(_) | Match::Ipv6header(_) => {
                &[R::Headers]
            }
            Match::Eui64(_) => &[R::NoLinkHeader],
            Match::Hashlimit(of) if of.mode & Hashlimit::PORTS != 0 => &[R::Shorter(4), R::NoRoom],
            Match::Connlimit(_) | Match::Hashlimit(_) => &[R::NoRoom],
            Match::Recent(of) if of.op == RecentOp::Set => &[R::NoRoom],
            Match::Unknown { .. } => &[R::Any],
            _ => &[],
        }
    }

    /// Whether looking at the packet changes something that a later rule may test: a list, a label, the mark of the
    /// packet, a counter.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Match::Connlabel(of) => of.set,
            Match::Socket(of) => of.sets_mark,
            Match::Connlimit(_)
            | Match::Hashlimit(_)
            | Match::Nfacct(_)
            | Match::Recent(_)
            | Match::Unknown { .. } => true,
            // Their counters are the rule's own.
            _ => false,
        }
    }
}
