//! Targets that refuse, log, hand on, or tell other parts of the kernel what to do.

use std::net::IpAddr;

use super::Target;
use crate::net::Family;
use crate::ruleset::{CtDir, Reject};
use crate::xt::Shape;
use crate::xt::info::Info;
use crate::xt::matches::{Set, set_info};

/// Those whose structure ends with a pointer, which the kernel does not show.
pub(super) fn ends_with_pointer(name: &str) -> bool {
    matches!(name, "CT" | "IDLETIMER" | "LED" | "RATEEST" | "TEE")
}

/// `REJECT`, revision 0 (`net/ipv4/netfilter/ipt_REJECT.c`, `net/ipv6/netfilter/ip6t_REJECT.c`).
///
/// All ICMP answers are of the type *destination unreachable*. Those to resets, broken checksums, later fragments
/// and the like are not sent; the packet is dropped all the same.
pub(super) fn reject(info: &mut Info, family: Family) -> Option<Target> {
    let with = info.u32()?;
    Some(Target::Reject(match (family, with) {
        (Family::V4, 0..=3) | (Family::V6, 0..=4) => Reject::Icmp(u8::try_from(with).ok()?),
        (Family::V4, 5) => Reject::Icmp(9),
        (Family::V4, 6) => Reject::Icmp(10),
        (Family::V4, 7) | (Family::V6, 6) => Reject::TcpReset,
        (Family::V4, 8) => Reject::Icmp(13),
        (Family::V6, 7) => Reject::Icmp(5),
        (Family::V6, 8) => Reject::Icmp(6),
        // 4 and 5 were echo replies once, which kernels refuse now.
        _ => return None,
    }))
}

/// `LOG`, revision 0 (`struct xt_log_info`, `net/netfilter/xt_LOG.c`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Log {
    /// syslog level.
    pub level: u8,
    /// `NF_LOG_*`, as in nft: TCP sequence 1, TCP options 2, IP options 4, user 8, link header 32.
    pub flags: u8,
    /// First words of the line.
    pub prefix: String,
}

pub(super) fn log(info: &mut Info) -> Option<Target> {
    Some(Target::Log(Log { level: info.u8()?, flags: info.u8()?, prefix: info.text(30)? }))
}

/// `NFLOG`, revision 0 (`struct xt_nflog_info`, `net/netfilter/xt_NFLOG.c`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Nflog {
    /// Group.
    pub group: u16,
    /// So many bytes of the packet; none for all.
    pub size: Option<u32>,
    /// So many packets to collect.
    pub threshold: u16,
    /// First words.
    pub prefix: String,
}

pub(super) fn nflog(info: &mut Info) -> Option<Target> {
    let size = info.u32()?;
    let (group, threshold) = (info.u16()?, info.u16()?);
    let sized = info.flags16(1)? != 0;
    info.u16()?;
    let prefix = info.text(64)?;
    Some(Target::Nflog(Nflog { group, size: sized.then_some(size), threshold, prefix }))
}

/// `NFQUEUE`, revisions 0 to 3 (`struct xt_NFQ_info_v3`, `net/netfilter/xt_NFQUEUE.c`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Queue {
    /// First queue.
    pub first: u16,
    /// How many; a packet goes to one of them.
    pub count: u16,
    /// Where nobody listens the packet is accepted, instead of dropped.
    pub bypass: bool,
    /// Which one depends on the processor, not on the connection.
    pub by_cpu: bool,
}

pub(super) fn queue(info: &mut Info, shape: Shape) -> Option<Target> {
    let first = info.u16()?;
    let count = if shape.revision == 0 { 1 } else { info.u16()? };
    let flags = match shape.revision {
        0 | 1 => 0,
        2 => info.flags16(1)?,
        3 => info.flags16(3)?,
        _ => return None,
    };
    Some(Target::Queue(Queue { first, count, bypass: flags & 1 != 0, by_cpu: flags & 2 != 0 }))
}

/// `CT`, revisions 0 to 2 (`struct xt_ct_target_info_v1`, `net/netfilter/xt_CT.c`): does nothing for a packet that
/// has a connection, or is untracked, already.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct CtTo {
    /// Leaves the packet out of connection tracking: it becomes untracked.
    pub notrack: bool,
    /// The zone.
    pub zone: Zone,
    /// The direction for which the zone is meant; none for both.
    pub zone_of: Option<CtDir>,
    /// The helper of the connection; empty for none.
    pub helper: String,
    /// The timeouts of the connection by name, of which kernels show four bytes; empty for the common ones.
    pub timeout: String,
    /// Which events of the connection are told, and which of those that it expects; 0 for all.
    pub events: (u32, u32),
}

/// A zone of connection tracking.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Zone {
    /// This one.
    Number(u16),
    /// The mark of the packet.
    Mark,
}

impl Default for Zone {
    fn default() -> Zone {
        Zone::Number(0)
    }
}

pub(super) fn ct(info: &mut Info, shape: Shape) -> Option<Target> {
    // The second bit only says how iptables prints it.
    let flags = info.flags16(if shape.revision == 2 { 0x1f } else { 1 })?;
    let zone = info.u16()?;
    let events = (info.u32()?, info.u32()?);
    let helper = info.name(16)?;
    let timeout = match shape.revision {
        0 => String::new(),
        1 | 2 => info.name(32)?,
        _ => return None,
    };
    Some(Target::Ct(CtTo {
        notrack: flags & 1 != 0,
        zone: if flags & 0x10 == 0 { Zone::Number(zone) } else { Zone::Mark },
        zone_of: match flags & 0x0c {
            4 => Some(CtDir::Original),
            8 => Some(CtDir::Reply),
            _ => None,
        },
        helper,
        timeout,
        events,
    }))
}

/// `TPROXY`, revisions 0 (IPv4 only) and 1 (`struct xt_tproxy_target_info_v1`, `net/netfilter/xt_TPROXY.c`).
///
/// Accepts the packet and sets its mark to `(mark & !mask) ^ value` if a transparent socket has the connection, or
/// listens on the given address and port; drops it otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tproxy {
    /// The address; unspecified for one of the device by which the packet came.
    pub addr: IpAddr,
    /// The port; 0 for that of the packet.
    pub port: u16,
    /// Bits of the mark to flip.
    pub value: u32,
    /// Bits of the mark to clear first.
    pub mask: u32,
}

pub(super) fn tproxy(info: &mut Info, shape: Shape) -> Option<Target> {
    let (mask, value) = (info.u32()?, info.u32()?);
    let addr = match (shape.revision, shape.family) {
        (0, Some(Family::V4)) => info.v4()?,
        (1, family) => info.union()?.addr(family)?,
        _ => return None,
    };
    let port = info.be16()?;
    info.align(4)?;
    Some(Target::Tproxy(Tproxy { addr, port, value, mask }))
}

/// `TEE`, revision 1 (`struct xt_tee_tginfo`, `net/netfilter/xt_TEE.c`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tee {
    /// The next hop of the copy.
    pub gateway: IpAddr,
    /// The interface; empty for that of the route.
    pub interface: String,
}

pub(super) fn tee(info: &mut Info, shape: Shape) -> Option<Target> {
    if shape.revision != 1 {
        return None;
    }
    let gateway = info.union()?.addr(shape.family)?;
    Some(Target::Tee(Tee { gateway, interface: info.name(16)? }))
}

/// `SET`, revisions 1 to 3 (`struct xt_set_info_target_v3`, `net/netfilter/xt_set.c`).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SetTo {
    /// Adds an element for the packet.
    pub add: Option<Set>,
    /// Deletes the element for the packet.
    pub delete: Option<Set>,
    /// Sets mark, priority or queue of the packet from the element of this set, if there is one.
    pub map: Option<Set>,
}

pub(super) fn set(info: &mut Info, shape: Shape) -> Option<Target> {
    const NO_SET: u16 = 0xffff;
    let mut next = || set_info(info).map(|set| (set.index != NO_SET).then_some(set));
    let (add, delete) = (next()?, next()?);
    let map = match shape.revision {
        1 | 2 => None,
        3 => next()?,
        _ => return None,
    };
    if shape.revision >= 2 {
        // Flags and timeout of the element.
        info.u32()?;
        info.u32()?;
    }
    Some(Target::Set(SetTo { add, delete, map }))
}

/// `IDLETIMER`, revisions 0 and 1 (`net/netfilter/xt_IDLETIMER.c`).
pub(super) fn idletimer(info: &mut Info, shape: Shape) -> Option<Target> {
    info.u32()?;
    let label = info.name(28)?;
    match shape.revision {
        0 => {}
        1 => {
            info.take(2)?;
        }
        _ => return None,
    }
    Some(Target::Idletimer(label))
}

/// `LED`, revision 0 (`net/netfilter/xt_LED.c`).
pub(super) fn led(info: &mut Info) -> Option<Target> {
    info.take(28)?;
    info.u32().map(|_| Target::Led)
}

/// `RATEEST`, revision 0 (`net/netfilter/xt_RATEEST.c`).
pub(super) fn rateest(info: &mut Info) -> Option<Target> {
    let name = info.name(16)?;
    info.take(2)?;
    Some(Target::Rateest(name))
}

/// `SECMARK`, revisions 0 and 1 (`net/netfilter/xt_SECMARK.c`).
pub(super) fn secmark(info: &mut Info, shape: Shape) -> Option<Target> {
    match shape.revision {
        0 | 1 => {}
        _ => return None,
    }
    // The name of the mark, in revision 1 before its number.
    info.u8()?;
    if shape.revision == 0 {
        info.u32()?;
    }
    info.take(256)?;
    if shape.revision == 1 {
        info.u32()?;
    }
    Some(Target::Secmark)
}
