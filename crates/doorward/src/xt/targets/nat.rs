//! Targets that translate addresses; they choose nothing, the kernel does within what is given here.

use std::net::{IpAddr, Ipv6Addr};

use crate::net::Family;
use crate::xt::Shape;
use crate::xt::info::Info;

/// What an address and a port are translated to (`struct nf_nat_range2`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct NatTo {
    /// First and last address; none keeps the address, or the target chooses it.
    pub addrs: Option<(IpAddr, IpAddr)>,
    /// First and last port, or what the protocol has instead; none keeps it if it is free.
    pub ports: Option<(u16, u16)>,
    /// The port becomes the first port and as many as it is above this one.
    pub base: Option<u16>,
    /// `NF_NAT_RANGE_*` of the rest: 4 random, 8 persistent, 16 fully random, 64 netmap.
    pub flags: u32,
}

const ADDRS: u32 = 1;
const PORTS: u32 = 2;
const BASE: u32 = 32;
const KNOWN: u32 = 0x7f;

/// `SNAT` and `DNAT`, revisions 0 (IPv4 only), 1 and 2 (`net/netfilter/xt_nat.c`).
pub(super) fn address(info: &mut Info, shape: Shape) -> Option<NatTo> {
    match (shape.revision, shape.family) {
        (0, Some(Family::V4)) => old(info),
        (1, family) => range(info, family, false),
        (2, family) => range(info, family, true),
        _ => None,
    }
}

/// `MASQUERADE`, `REDIRECT` and `NETMAP` (`net/netfilter/xt_MASQUERADE.c` and so on), revision 0.
pub(super) fn of_family(info: &mut Info, shape: Shape) -> Option<NatTo> {
    match shape.family? {
        Family::V4 => old(info),
        Family::V6 => range(info, Some(Family::V6), false),
    }
}

/// `struct nf_nat_ipv4_multi_range_compat`, in which there is one range only.
fn old(info: &mut Info) -> Option<NatTo> {
    if info.u32()? != 1 {
        return None;
    }
    let flags = info.flags32(KNOWN)?;
    let addrs = (info.v4()?, info.v4()?);
    let ports = (info.be16()?, info.be16()?);
    Some(NatTo {
        addrs: (flags & ADDRS != 0).then_some(addrs),
        ports: (flags & PORTS != 0).then_some(ports),
        base: None,
        flags: flags & !(ADDRS | PORTS | BASE),
    })
}

/// `struct nf_nat_range`, or the second one with a base.
fn range(info: &mut Info, family: Option<Family>, with_base: bool) -> Option<NatTo> {
    let flags = info.flags32(KNOWN)?;
    let (first, last) = (info.union()?, info.union()?);
    let ports = (info.be16()?, info.be16()?);
    let base = if with_base { info.be16()? } else { 0 };
    Some(NatTo {
        addrs: match flags & ADDRS {
            0 => None,
            _ => Some((first.addr(family)?, last.addr(family)?)),
        },
        ports: (flags & PORTS != 0).then_some(ports),
        base: (flags & BASE != 0).then_some(base),
        flags: flags & !(ADDRS | PORTS | BASE),
    })
}

/// `SNPT` and `DNPT`, revision 0 (`struct ip6t_npt_tginfo`, `net/ipv6/netfilter/ip6t_NPT.c`): the address gets the
/// other prefix, and is changed once more so that checksums stay.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Npt {
    /// The prefix inside.
    pub source: (Ipv6Addr, u8),
    /// The prefix that it becomes.
    pub dest: (Ipv6Addr, u8),
}

pub(super) fn npt(info: &mut Info) -> Option<Npt> {
    let (source, dest) = (info.array::<16>()?, info.array::<16>()?);
    let (source_len, dest_len) = (info.u8()?, info.u8()?);
    // A number of the kernel's own.
    info.u16()?;
    Some(Npt { source: (source.into(), source_len), dest: (dest.into(), dest_len) })
}
