//! Matches on what connection tracking knows of a packet; they say nothing of packets that it has not seen yet.

use super::Match;
use crate::ruleset::CtDir;
use crate::xt::Shape;
use crate::xt::info::{Info, Union};
use crate::xt::part::{AddrMasked, Is, Masked, Within};

/// The states of `conntrack` and `state`, told in the bits that nft's `ct state` has.
///
/// A packet has exactly one state: established, related or new if it belongs to a connection, else untracked if a
/// rule said so, else invalid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct States {
    /// [`States::INVALID`] and so on.
    pub states: u32,
    /// Holds too if the source of the connection is translated.
    pub snat: bool,
    /// Holds too if the destination of the connection is translated.
    pub dnat: bool,
    /// Holds for all others.
    pub invert: bool,
}

impl States {
    /// Belongs to no connection.
    pub const INVALID: u32 = 1;
    /// Of a connection with answers.
    pub const ESTABLISHED: u32 = 2;
    /// Expected by another connection, or an error about one.
    pub const RELATED: u32 = 4;
    /// Of a connection without answers.
    pub const NEW: u32 = 8;
    /// Not followed.
    pub const UNTRACKED: u32 = 64;

    /// Whether the condition holds for a packet with this `ct state` and `ct status` (0 without connection).
    #[must_use]
    pub fn contains(&self, state: u32, status: u32) -> bool {
        const SNAT: u32 = 16;
        const DNAT: u32 = 32;
        let within =
            self.states & state != 0 || self.snat && status & SNAT != 0 || self.dnat && status & DNAT != 0;
        within != self.invert
    }

    /// From the bits of `XT_CONNTRACK_STATE_*`, which are nft's but for the last three.
    fn of_conntrack(bits: u16, invert: bool) -> Option<States> {
        const LIKE_NFT: u16 = 0x0f;
        const SNAT: u16 = 1 << 6;
        const DNAT: u16 = 1 << 7;
        const UNTRACKED: u16 = 1 << 8;
        if bits & !(LIKE_NFT | SNAT | DNAT | UNTRACKED) != 0 {
            return None;
        }
        let untracked = if bits & UNTRACKED == 0 { 0 } else { States::UNTRACKED };
        Some(States {
            states: u32::from(bits & LIKE_NFT) | untracked,
            snat: bits & SNAT != 0,
            dnat: bits & DNAT != 0,
            invert,
        })
    }
}

/// `state`, revision 0 (`struct xt_state_info`, `net/netfilter/xt_state.c`).
pub(super) fn state(info: &mut Info) -> Option<Match> {
    let known = States::INVALID | States::ESTABLISHED | States::RELATED | States::NEW | States::UNTRACKED;
    let states = info.flags32(known)?;
    Some(Match::State(States { states, snat: false, dnat: false, invert: false }))
}

/// `conntrack`, revisions 1 to 3 (`struct xt_conntrack_mtinfo3`, `conntrack_mt` of
/// `net/netfilter/xt_conntrack.c`): all that is asked for must hold.
///
/// A packet without connection is special ([`Conntrack::without_connection`]).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Conntrack {
    /// The state.
    pub states: Option<States>,
    /// The direction of this packet.
    pub direction: Option<CtDir>,
    /// The transport protocol of the connection.
    pub proto: Option<Is<u16>>,
    /// Source address of the original direction.
    pub orig_source: Option<AddrMasked>,
    /// Destination address of the original direction.
    pub orig_dest: Option<AddrMasked>,
    /// Source address of the reply direction.
    pub reply_source: Option<AddrMasked>,
    /// Destination address of the reply direction.
    pub reply_dest: Option<AddrMasked>,
    /// Source port of the original direction; as in all four, for ICMP the identifier.
    pub orig_sport: Option<Within<u16>>,
    /// Destination port of the original direction; for ICMP type and code.
    pub orig_dport: Option<Within<u16>>,
    /// Source port of the reply direction.
    pub reply_sport: Option<Within<u16>>,
    /// Destination port of the reply direction.
    pub reply_dport: Option<Within<u16>>,
    /// The status.
    pub status: Option<Statuses>,
    /// Whole seconds that the connection has left.
    pub expires: Option<Within<u32>>,
}

/// A condition on `ct status`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Statuses {
    /// One of these bits must be set (`IPS_*`, as in nft's `ct status`); with none it never holds.
    pub bits: u32,
    /// The contrary.
    pub invert: bool,
}

impl Statuses {
    /// Whether the condition holds for this `ct status`.
    #[must_use]
    pub fn contains(&self, status: u32) -> bool {
        (self.bits & status != 0) != self.invert
    }
}

impl Conntrack {
    /// Whether the match holds for a packet without connection, whose `ct state` is invalid or untracked: if a
    /// state is asked for, that alone decides, whatever else is asked; if none is, it is false.
    #[must_use]
    pub fn without_connection(&self, state: u32) -> bool {
        self.states.is_some_and(|states| states.contains(state, 0))
    }
}

/// `XT_CONNTRACK_*`
mod asked {
    pub(super) const STATE: u16 = 1;
    pub(super) const PROTO: u16 = 1 << 1;
    pub(super) const ORIG_SOURCE: u16 = 1 << 2;
    pub(super) const ORIG_DEST: u16 = 1 << 3;
    pub(super) const REPLY_SOURCE: u16 = 1 << 4;
    pub(super) const REPLY_DEST: u16 = 1 << 5;
    pub(super) const STATUS: u16 = 1 << 6;
    pub(super) const EXPIRES: u16 = 1 << 7;
    pub(super) const ORIG_SPORT: u16 = 1 << 8;
    pub(super) const ORIG_DPORT: u16 = 1 << 9;
    pub(super) const REPLY_SPORT: u16 = 1 << 10;
    pub(super) const REPLY_DPORT: u16 = 1 << 11;
    pub(super) const DIRECTION: u16 = 1 << 12;
    /// With the next one, which only says how iptables prints it.
    pub(super) const ALL: u16 = (1 << 14) - 1;
}

pub(super) fn conntrack(info: &mut Info, shape: Shape) -> Option<Match> {
    if !matches!(shape.revision, 1..=3) {
        return None;
    }
    let mut addrs: [Option<(Union, Union)>; 4] = [None; 4];
    for addr in &mut addrs {
        *addr = Some((info.union()?, info.union()?));
    }
    let expires = (info.u32()?, info.u32()?);
    let proto = info.u16()?;
    let mut ports = [(0, 0); 4];
    for port in &mut ports {
        let first = if shape.revision == 3 { info.u16()? } else { info.be16()? };
        *port = (first, first);
    }
    let given = info.flags16(asked::ALL)?;
    let invert = info.flags16(asked::ALL)?;
    let mut bits = || if shape.revision == 1 { info.u8().map(u16::from) } else { info.u16() };
    let (state, status) = (bits()?, bits()?);
    if shape.revision == 3 {
        for port in &mut ports {
            port.1 = info.u16()?;
        }
    }
    let is = |flag| given & flag != 0;
    let not = |flag| invert & flag != 0;
    let addr = |which: usize, flag| {
        Some(match addrs[which].filter(|_| is(flag)) {
            None => None,
            Some((addr, mask)) => Some(AddrMasked {
                addr: addr.addr(shape.family)?,
                mask: mask.addr(shape.family)?,
                invert: not(flag),
            }),
        })
    };
    let port = |which: usize, flag| {
        let (first, last) = ports[which];
        is(flag).then_some(Within { first, last, invert: not(flag) })
    };
    Some(Match::Conntrack(Box::new(Conntrack {
        states: if is(asked::STATE) { Some(States::of_conntrack(state, not(asked::STATE))?) } else { None },
        direction: is(asked::DIRECTION).then_some(if not(asked::DIRECTION) {
            CtDir::Reply
        } else {
            CtDir::Original
        }),
        proto: is(asked::PROTO).then_some(Is { value: proto, invert: not(asked::PROTO) }),
        orig_source: addr(0, asked::ORIG_SOURCE)?,
        orig_dest: addr(1, asked::ORIG_DEST)?,
        reply_source: addr(2, asked::REPLY_SOURCE)?,
        reply_dest: addr(3, asked::REPLY_DEST)?,
        orig_sport: port(0, asked::ORIG_SPORT),
        orig_dport: port(1, asked::ORIG_DPORT),
        reply_sport: port(2, asked::REPLY_SPORT),
        reply_dport: port(3, asked::REPLY_DPORT),
        status: is(asked::STATUS).then_some(Statuses { bits: status.into(), invert: not(asked::STATUS) }),
        expires: is(asked::EXPIRES).then_some(Within {
            first: expires.0,
            last: expires.1,
            invert: not(asked::EXPIRES),
        }),
    })))
}

/// `connmark`, revision 1 (`struct xt_connmark_mtinfo1`, `net/netfilter/xt_connmark.c`): the mark of the
/// connection; without connection false, inverted or not.
pub(super) fn connmark(info: &mut Info, shape: Shape) -> Option<Match> {
    mark_under_mask(info, shape).map(Match::Connmark)
}

/// The structure that `mark` and `connmark` share.
pub(super) fn mark_under_mask(info: &mut Info, shape: Shape) -> Option<Masked<u32>> {
    if shape.revision != 1 {
        return None;
    }
    let (value, mask) = (info.u32()?, info.u32()?);
    Some(Masked { value, mask, invert: info.flag()? })
}

/// `connbytes`, revision 0 (`struct xt_connbytes_info`, `net/netfilter/xt_connbytes.c`): what the connection has
/// carried so far, this packet included; without connection or without its counters false, inverted or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Connbytes {
    /// How much.
    pub count: Within<u64>,
    /// Of what.
    pub of: ConnbytesOf,
    /// Which way.
    pub way: ConnbytesWay,
}

/// What `connbytes` counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConnbytesOf {
    /// Packets.
    Packets,
    /// Bytes.
    Bytes,
    /// Bytes by packets.
    Average,
}

/// Which way `connbytes` counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConnbytesWay {
    /// One direction.
    One(CtDir),
    /// Both together.
    Both,
}

pub(super) fn connbytes(info: &mut Info) -> Option<Match> {
    let (from, to) = (info.u64()?, info.u64()?);
    let of = match info.u8()? {
        0 => ConnbytesOf::Packets,
        1 => ConnbytesOf::Bytes,
        2 => ConnbytesOf::Average,
        _ => return None,
    };
    let way = match info.u8()? {
        0 => ConnbytesWay::One(CtDir::Original),
        1 => ConnbytesWay::One(CtDir::Reply),
        2 => ConnbytesWay::Both,
        _ => return None,
    };
    // A range the wrong way round is how iptables writes the contrary.
    let invert = to < from;
    Some(Match::Connbytes(Connbytes {
        count: Within { first: from.min(to), last: from.max(to), invert },
        of,
        way,
    }))
}

/// `connlabel`, revision 0 (`struct xt_connlabel_mtinfo`, `net/netfilter/xt_connlabel.c`).
///
/// Holds if the connection has the label; without connection only if inverted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Connlabel {
    /// The label's number (`ct label`).
    pub label: u16,
    /// Sets the label where it is not yet set, and counts it as set then.
    pub set: bool,
    /// Holds if it is not set.
    pub invert: bool,
}

pub(super) fn connlabel(info: &mut Info) -> Option<Match> {
    let label = info.u16()?;
    let flags = info.flags16(3)?;
    Some(Match::Connlabel(Connlabel { label, set: flags & 2 != 0, invert: flags & 1 != 0 }))
}

/// `helper`, revision 0 (`struct xt_helper_info`, `net/netfilter/xt_helper.c`).
///
/// Looks at the connection by which this one was expected; where there is none, or it has no helper, the match
/// holds only if inverted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Helper {
    /// A text that must begin with the name of that helper; empty for any helper.
    pub name: String,
    /// The contrary.
    pub invert: bool,
}

impl Helper {
    /// Whether the match holds where the expecting connection has this helper.
    #[must_use]
    pub fn contains(&self, helper: &str) -> bool {
        (self.name.is_empty() || self.name.starts_with(helper)) != self.invert
    }
}

pub(super) fn helper(info: &mut Info) -> Option<Match> {
    let invert = info.wide_flag()?;
    let name = info.name(30)?;
    info.align(4)?;
    Some(Match::Helper(Helper { name, invert }))
}

/// `connlimit`, revision 1 (`struct xt_connlimit_info`, `net/netfilter/xt_connlimit.c`).
///
/// Holds while the connections whose address is equal under the mask, this one included, are more than the limit.
/// Drops the packet where the kernel cannot count it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Connlimit {
    /// The limit.
    pub limit: u32,
    /// The bits of the address that count.
    pub mask: std::net::IpAddr,
    /// The destination address instead of the source.
    pub dest: bool,
    /// Holds while they are not more.
    pub invert: bool,
}

pub(super) fn connlimit(info: &mut Info, shape: Shape) -> Option<Match> {
    if shape.revision != 1 {
        return None;
    }
    let mask = info.union()?.addr(shape.family)?;
    let limit = info.u32()?;
    let flags = info.flags32(3)?;
    Some(Match::Connlimit(Connlimit { limit, mask, dest: flags & 2 != 0, invert: flags & 1 != 0 }))
}
