//! Matches and targets of iptables on one packet: what each says of it, and whether that must be asked.

mod connection;
mod host;
mod packet;
mod target;

use super::load::State;
use super::walk::{Run, Step};
use super::wire::Wire;
use super::{Packet, load};
use crate::ruleset::{Expr, Verdict};
use crate::xt::{AddrWithin, Basis, Later, Match, RecentOp, Xt};
use std::net::IpAddr;

static ACCEPT: Verdict = Verdict::Accept;
static DROP: Verdict = Verdict::Drop;

/// What a match says of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Says {
    Holds(bool),
    /// The packet is to be dropped, whatever the rule says.
    Drops,
    /// The packet does not tell.
    Asks,
}

impl From<Option<bool>> for Says {
    fn from(known: Option<bool>) -> Says {
        known.map_or(Says::Asks, Says::Holds)
    }
}

/// What a match sees.
struct Look<'p> {
    packet: &'p Packet,
    wire: &'p Wire,
    state: &'p State,
}

impl<'a> Run<'_, 'a> {
    pub(super) fn extension(&mut self, expr: &Expr, found: &Xt) -> Step<'a> {
        match found {
            Xt::Match(found) => self.matched(expr, found),
            Xt::Target(found) => self.target(expr, found),
        }
    }

    fn matched(&mut self, expr: &Expr, found: &Match) -> Step<'a> {
        let look = Look { packet: self.packet, wire: &self.wire, state: &self.state };
        let step = match look.says(found) {
            Says::Holds(true) => Step::On,
            Says::Holds(false) => Step::Break,
            Says::Drops => Step::Verdict(&DROP),
            Says::Asks if found.basis() == Basis::Unknown => self.unknown_match(expr),
            Says::Asks => self.doubt(expr, None),
        };
        match found {
            Match::Socket(of) if of.sets_mark && matches!(step, Step::On) => self.state.mark = None,
            Match::Unknown { .. } => (self.state.mark, self.state.ct_mark) = (None, None),
            _ => {}
        }
        step
    }
}

impl Look<'_> {
    fn says(&self, found: &Match) -> Says {
        use Match as M;
        if found.basis() == Basis::Packet && !self.knows(found) {
            return Says::Asks;
        }
        if let Some(refused) = self.refused(found) {
            return refused;
        }
        match found {
            M::Comment(_) => Says::Holds(true),
            M::Tcp(of) => self.tcp(of),
            M::Udp(of) => Says::Holds(self.ports(of)),
            M::Sctp(of) => self.sctp(of),
            M::Dccp(of) => self.dccp(of),
            M::Multiport(of) => {
                let (source, dest) = self.port_numbers();
                Says::Holds(of.contains(source, dest))
            }
            M::Icmp(of) => Says::Holds(of.contains(self.transport(0), self.transport(1))),
            M::Icmp6(of) => Says::Holds(of.contains(self.transport(0), self.transport(1))),
            M::Esp(of) => Says::Holds(of.contains(self.number(0))),
            M::Ah(of) => Says::Holds(of.contains(self.number(4))),
            M::Ipcomp(of) => Says::Holds(of.contains(self.port_numbers().1.into())),
            M::Mh(of) => self.mobility(*of),
            M::TcpMss(of) => self.tcpmss(*of),
            M::Ah6(_) => self.header(51),
            M::Frag(_) => self.header(44),
            M::Rt(_) => self.header(43),
            M::HopOptions(of) => self.header(if of.dest { 60 } else { 0 }),
            M::Ipv6header(of) => Says::Holds(of.contains(self.headers())),
            M::Text(of) => self.text(of),
            M::U32(of) => Says::Holds(of.holds(self.wire.network_bytes())),
            M::Hops(of) => Says::Holds(of.contains(self.hops())),
            M::Tos(of) => Says::Holds(of.contains(self.dsfield())),
            M::Dscp(of) => Says::Holds(of.contains(&(self.dsfield() >> 2))),
            M::Ecn(of) => Says::Holds(self.ecn(*of)),
            M::Iprange(of) => {
                let (source, dest) = self.addrs();
                let within = |range: Option<AddrWithin>, addr: Option<IpAddr>| {
                    range.is_none_or(|range| addr.is_some_and(|addr| range.contains(addr)))
                };
                Says::Holds(within(of.source, source) && within(of.dest, dest))
            }
            M::Length(of) => Says::Holds(of.contains(u32::try_from(self.wire.len()).unwrap_or(u32::MAX))),
            M::State(of) => Says::Holds(self.is_in(*of)),
            M::Conntrack(of) => self.conntrack(of),
            M::Connmark(of) => self.connmark(*of),
            M::Connlabel(of) => self.of_connection(of.invert),
            M::Connbytes(_) => self.of_connection(false),
            M::Helper(of) => Says::Holds(self.helper(of)),
            M::Addrtype(of) => self.addrtype(of).into(),
            M::Mac(of) => self.mac(*of).into(),
            M::Mark(of) => self.state.mark.map(|mark| of.contains(mark)).into(),
            M::Owner(of) => self.owner(of).into(),
            M::Devgroup(of) => self.devgroup(of).into(),
            M::Pkttype(of) => self.state.pkttype.map(|kind| of.contains(&kind.into())).into(),
            M::Recent(of) if of.op == RecentOp::Set => Says::Holds(!of.invert),
            M::Bpf(_)
            | M::Cgroup(_)
            | M::Connlimit(_)
            | M::Cpu(_)
            | M::Eui64(_)
            | M::Hashlimit(_)
            | M::Limit(_)
            | M::Nfacct(_)
            | M::Physdev(_)
            | M::Policy(_)
            | M::Quota(_)
            | M::Realm(_)
            | M::Recent(_)
            | M::Rpfilter(_)
            | M::Set(_)
            | M::Socket(_)
            | M::Statistic(_)
            | M::Time(_)
            | M::Unknown { .. } => Says::Asks,
        }
    }

    /// Whether all that a match on bytes looks at can be known.
    fn knows(&self, found: &Match) -> bool {
        use Match as M;
        match found {
            M::Length(_) => !self.wire.stretched,
            M::Hops(_) | M::Tos(_) | M::Dscp(_) => self.wire.knows_network(0..9),
            M::Iprange(_) => self.wire.knows_network(8..40),
            M::Ecn(_) => self.wire.knows_network(0..2) && self.wire.knows_transport(0..20),
            _ if found.later() == Later::Same => self.wire.is_known(),
            M::Tcp(of) if of.option.is_none() => self.wire.knows_transport(0..20),
            _ => self.wire.knows_transport(0..usize::MAX),
        }
    }

    fn is_v4(&self) -> bool {
        self.packet.family == crate::net::Family::V4
    }

    /// `ct state` and the connection, if there is one.
    fn seen(&self) -> (u32, Option<&super::Entry>) {
        match self.state.seen(self.packet) {
            load::Seen::Nothing => (1, None),
            load::Seen::Untracked => (64, None),
            load::Seen::Entry(entry) => (entry.state, Some(entry)),
        }
    }
}
