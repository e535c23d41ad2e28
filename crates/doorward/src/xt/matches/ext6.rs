//! Matches on the extension headers of IPv6: they say of each packet by its bytes alone.
//!
//! But for [`Ipv6header`] and [`Match::Mh`], each looks for the first header of its kind; without one it is false,
//! inverted or not. Where the headers cannot be followed, or the header is not all there, they drop the packet.
//! Connection tracking puts fragments together before: then there is no fragment header to find.

use std::net::Ipv6Addr;

use super::Match;
use super::transport::spis;
use crate::xt::info::Info;
use crate::xt::part::{Is, Within};

/// `ah` of IPv6, revision 0 (`struct ip6t_ah`, `net/ipv6/netfilter/ip6t_ah.c`): all must hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ah6 {
    /// The SPI.
    pub spi: Within<u32>,
    /// The length of the header in bytes.
    pub length: Option<Is<u32>>,
    /// The reserved field must be zero.
    pub reserved_zero: bool,
}

pub(super) fn ah6(info: &mut Info) -> Option<Match> {
    let (first, last) = (info.u32()?, info.u32()?);
    let length = info.u32()?;
    let reserved = info.u8()?;
    let invert = info.flags8(3)?;
    Some(Match::Ah6(Ah6 {
        spi: Within { first, last, invert: invert & 1 != 0 },
        // The kernel takes 0 for not asked.
        length: (length != 0).then_some(Is { value: length, invert: invert & 2 != 0 }),
        reserved_zero: reserved != 0,
    }))
}

/// `ah` of IPv4, revision 0 (`struct ipt_ah`, `net/ipv4/netfilter/ipt_ah.c`).
pub(super) fn ah4(info: &mut Info) -> Option<Match> {
    spis(info).map(Match::Ah)
}

/// `frag`, revision 0 (`struct ip6t_frag`, `net/ipv6/netfilter/ip6t_frag.c`): all must hold.
///
/// iptables can ask for the length of the header too; the kernel does not look at that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Frag {
    /// The identification.
    pub id: Within<u32>,
    /// The reserved byte and the two reserved bits of the offset must be zero.
    pub reserved_zero: bool,
    /// The offset must be zero.
    pub first: bool,
    /// Whether more fragments must follow (or none).
    pub more: Option<bool>,
}

pub(super) fn frag(info: &mut Info) -> Option<Match> {
    let (first, last) = (info.u32()?, info.u32()?);
    info.u32()?;
    let asked = info.flags8(0x3f)?;
    let invert = info.flags8(3)?;
    let more = match asked & 0x30 {
        0 => None,
        0x10 => Some(true),
        0x20 => Some(false),
        // Both at once never hold.
        _ => return None,
    };
    Some(Match::Frag(Frag {
        id: Within { first, last, invert: invert & 1 != 0 },
        reserved_zero: asked & 4 != 0,
        first: asked & 8 != 0,
        more,
    }))
}

/// `hbh` and `dst`, revision 0 (`struct ip6t_opts`, `net/ipv6/netfilter/ip6t_hbh.c`).
///
/// Holds if the length does and the options begin with those listed, in that order.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct HopOptions {
    /// The destination options header instead of the hop-by-hop one.
    pub dest: bool,
    /// The length of the header in bytes.
    pub length: Option<Is<u32>>,
    /// Kind and length of each option, if they are asked for; padding counts, that of one byte has no length.
    pub options: Option<Vec<(u8, Option<u8>)>>,
}

pub(super) fn options(info: &mut Info, dest: bool) -> Option<Match> {
    const ROOM: usize = 16;
    const ANY_LENGTH: u8 = 0xff;
    let length = info.u32()?;
    let asked = info.flags8(3)?;
    let invert = info.flags8(1)?;
    let mut options = Vec::new();
    for _ in 0..ROOM {
        let [kind, len] = info.u16()?.to_be_bytes();
        options.push((kind, (len != ANY_LENGTH).then_some(len)));
    }
    let count = usize::from(info.u8()?);
    if count > ROOM {
        return None;
    }
    options.truncate(count);
    Some(Match::HopOptions(HopOptions {
        dest,
        length: (asked & 1 != 0).then_some(Is { value: length, invert: invert & 1 != 0 }),
        options: (asked & 2 != 0).then_some(options),
    }))
}

/// `ipv6header`, revision 0 (`struct ip6t_ipv6header_info`, `net/ipv6/netfilter/ip6t_ipv6header.c`).
///
/// Bits of headers: hop-by-hop 128, destination 64, routing 32, fragment 16, AH 8, ESP 4, none (59) 2, and 1 for
/// anything else behind them. False if less than two bytes are left for the next header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ipv6header {
    /// The headers asked for.
    pub headers: u8,
    /// Others may be there too.
    pub soft: bool,
    /// Without `soft` 0, or 255 for the contrary; with it, those of the headers that must *not* be there.
    pub invert: u8,
}

impl Ipv6header {
    /// Whether the match holds for a packet with these headers.
    #[must_use]
    pub fn contains(&self, present: u8) -> bool {
        if self.soft {
            (present ^ self.headers ^ self.invert) & self.headers == 0
        } else {
            (present == self.headers) != (self.invert != 0)
        }
    }
}

pub(super) fn ipv6header(info: &mut Info) -> Option<Match> {
    let (headers, invert, mode) = (info.u8()?, info.u8()?, info.u8()?);
    let soft = mode != 0;
    (soft || matches!(invert, 0 | 0xff)).then_some(Match::Ipv6header(Ipv6header { headers, soft, invert }))
}

/// `rt`, revision 0 (`struct ip6t_rt`, `net/ipv6/netfilter/ip6t_rt.c`): all must hold.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rt {
    /// The type of the routing header.
    pub kind: Option<Is<u32>>,
    /// How many segments are left.
    pub segments_left: Within<u32>,
    /// The length of the header in bytes.
    pub length: Option<Is<u32>>,
    /// The four reserved bytes of type 0 must be zero.
    pub reserved_zero: bool,
    /// The addresses in the header, from byte 8 on.
    pub addrs: Option<RtAddrs>,
}

/// Addresses of a routing header.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RtAddrs {
    /// In this order.
    pub addrs: Vec<Ipv6Addr>,
    /// Others may stand before, between and behind.
    pub others: bool,
}

pub(super) fn rt(info: &mut Info) -> Option<Match> {
    const ROOM: usize = 16;
    let kind = info.u32()?;
    let (first, last) = (info.u32()?, info.u32()?);
    let length = info.u32()?;
    let asked = info.flags8(0x3f)?;
    let invert = info.flags8(7)?;
    info.align(4)?;
    let mut addrs = Vec::new();
    for _ in 0..ROOM {
        addrs.push(Ipv6Addr::from(info.array::<16>()?));
    }
    let count = usize::from(info.u8()?);
    info.align(4)?;
    if count > ROOM {
        return None;
    }
    addrs.truncate(count);
    Some(Match::Rt(Rt {
        kind: (asked & 1 != 0).then_some(Is { value: kind, invert: invert & 1 != 0 }),
        segments_left: Within { first, last, invert: invert & 2 != 0 },
        length: (asked & 4 != 0).then_some(Is { value: length, invert: invert & 4 != 0 }),
        reserved_zero: asked & 8 != 0,
        addrs: (asked & 0x10 != 0).then_some(RtAddrs { addrs, others: asked & 0x20 != 0 }),
    }))
}

/// `mh`, revision 0 (`struct ip6t_mh`, `net/ipv6/netfilter/ip6t_mh.c`): the type of a mobility header, which must
/// be the last one. Drops what is shorter than 6 bytes, or says that another header follows.
pub(super) fn mh(info: &mut Info) -> Option<Match> {
    let (first, last) = (info.u8()?, info.u8()?);
    Some(Match::Mh(Within { first, last, invert: info.flags8(1)? != 0 }))
}

/// `eui64`, revision 0 (`net/ipv6/netfilter/ip6t_eui64.c`).
///
/// Holds if the lower half of the source address is made from the Ethernet source address. False for packets
/// that came by another device; drops those whose Ethernet header is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Eui64;

pub(super) fn eui64(info: &mut Info) -> Option<Match> {
    info.u32().map(|_| Match::Eui64(Eui64))
}
