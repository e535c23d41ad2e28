//! Targets that change bytes of the packet, which later rules test.

use super::Target;
use crate::xt::Shape;
use crate::xt::info::Info;

/// `TOS`, revision 1 (`struct xt_tos_target_info`, `net/netfilter/xt_DSCP.c`).
pub(super) fn tos(info: &mut Info, shape: Shape) -> Option<Target> {
    if shape.revision != 1 {
        return None;
    }
    let (value, mask) = (info.u8()?, info.u8()?);
    Some(Target::Tos { value, mask })
}

/// `TTL` and `HL`, revision 0 (`net/netfilter/xt_HL.c`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hops {
    /// To this.
    Set(u8),
    /// So many more, up to 255.
    More(u8),
    /// So many less, down to 0.
    Less(u8),
}

impl Hops {
    /// What becomes of a hop limit.
    #[must_use]
    pub fn of(self, hops: u8) -> u8 {
        match self {
            Hops::Set(to) => to,
            Hops::More(by) => hops.saturating_add(by),
            Hops::Less(by) => hops.saturating_sub(by),
        }
    }
}

pub(super) fn hops(info: &mut Info) -> Option<Target> {
    let (mode, number) = (info.u8()?, info.u8()?);
    Some(Target::Hops(match mode {
        0 => Hops::Set(number),
        1 => Hops::More(number),
        2 => Hops::Less(number),
        _ => return None,
    }))
}

/// `ECN`, revision 0, IPv4 only (`struct ipt_ECN_info`, `net/ipv4/netfilter/ipt_ECN.c`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EcnSet {
    /// The lower two bits of the TOS byte become these.
    pub ip: Option<u8>,
    /// The bit ECE of TCP becomes so.
    pub ece: Option<bool>,
    /// The bit CWR of TCP becomes so.
    pub cwr: Option<bool>,
}

pub(super) fn ecn(info: &mut Info) -> Option<Target> {
    let asked = info.flags8(0x31)?;
    let ip = info.u8().filter(|bits| *bits <= 3)?;
    let bits = info.u8()?;
    // Bit fields, which compilers count from the end that the host counts from.
    let (ece, cwr) = if cfg!(target_endian = "big") { (0x80, 0x40) } else { (1, 2) };
    Some(Target::Ecn(EcnSet {
        ip: (asked & 1 != 0).then_some(ip),
        ece: (asked & 0x10 != 0).then_some(bits & ece != 0),
        cwr: (asked & 0x20 != 0).then_some(bits & cwr != 0),
    }))
}

/// `TCPMSS`, revision 0 (`struct xt_tcpmss_info`, `net/netfilter/xt_TCPMSS.c`): leaves later fragments alone, drops
/// TCP whose header is not all there or has a data offset below 5.
pub(super) fn tcpmss(info: &mut Info) -> Option<Target> {
    const WHAT_THE_ROUTE_TAKES: u16 = 0xffff;
    let size = info.u16()?;
    Some(Target::TcpMss((size != WHAT_THE_ROUTE_TAKES).then_some(size)))
}

/// `TCPOPTSTRIP`, revision 0 (`struct xt_tcpoptstrip_target_info`, `net/netfilter/xt_TCPOPTSTRIP.c`): puts bytes of
/// kind 1 in the place of the options.
pub(super) fn tcp_opt_strip(info: &mut Info) -> Option<Target> {
    let mut kinds = Vec::new();
    for word in 0..8u8 {
        let bits = info.u32()?;
        kinds.extend((0..32).filter(|bit| bits >> bit & 1 != 0).map(|bit| word * 32 + bit));
    }
    Some(Target::TcpOptStrip(kinds))
}
