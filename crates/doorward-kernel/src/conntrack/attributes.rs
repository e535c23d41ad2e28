//! An entry of connection tracking as attributes, both ways; takes any bytes and never panics.
//!
//! The numbers are those of `include/uapi/linux/netfilter/nfnetlink_conntrack.h`.

use std::net::IpAddr;

use doorward::net::Proto;

use super::entry::{Detail, Entry, TcpState, Tuple, Zone, ZoneDir};
use crate::message::{Message, NFGEN};
use crate::wire::{Attrs, Writer, array};

/// `NFNL_SUBSYS_CTNETLINK`.
const CTNETLINK: u16 = 1;
/// `IPCTNL_MSG_CT_NEW`: an entry that is told, or one that is to be changed.
pub(super) const NEW: u16 = CTNETLINK << 8;
/// `IPCTNL_MSG_CT_GET`.
pub(super) const GET: u16 = CTNETLINK << 8 | 1;
/// `IPCTNL_MSG_CT_DELETE`.
pub(super) const DELETE: u16 = CTNETLINK << 8 | 2;

/// `CTA_*`.
pub(super) mod cta {
    pub(crate) const TUPLE_ORIG: u16 = 1;
    pub(crate) const TUPLE_REPLY: u16 = 2;
    pub(crate) const STATUS: u16 = 3;
    pub(crate) const PROTOINFO: u16 = 4;
    pub(crate) const TIMEOUT: u16 = 7;
    pub(crate) const MARK: u16 = 8;
    pub(crate) const ID: u16 = 12;
    pub(crate) const ZONE: u16 = 18;
    pub(crate) const MARK_MASK: u16 = 21;
    /// Within [`PROTOINFO`].
    pub(crate) const PROTOINFO_TCP: u16 = 1;
    pub(crate) const TCP_STATE: u16 = 1;
    /// Within a tuple.
    pub(crate) const TUPLE_IP: u16 = 1;
    pub(crate) const TUPLE_PROTO: u16 = 2;
    pub(crate) const TUPLE_ZONE: u16 = 3;
    /// Within [`TUPLE_IP`].
    pub(crate) const V4_SRC: u16 = 1;
    pub(crate) const V4_DST: u16 = 2;
    pub(crate) const V6_SRC: u16 = 3;
    pub(crate) const V6_DST: u16 = 4;
    /// Within [`TUPLE_PROTO`].
    pub(crate) const NUM: u16 = 1;
    pub(crate) const SRC_PORT: u16 = 2;
    pub(crate) const DST_PORT: u16 = 3;
    /// Id, type and code of ICMP …
    pub(crate) const ICMP: [u16; 3] = [4, 5, 6];
    /// … and of ICMPv6.
    pub(crate) const ICMPV6: [u16; 3] = [7, 8, 9];
}

/// Writes a tuple under one of the `CTA_TUPLE_*`.
pub(super) fn write_tuple(w: &mut Writer, kind: u16, tuple: &Tuple, zone: Option<u16>) {
    w.nest(kind, |w| {
        w.nest(cta::TUPLE_IP, |w| {
            for (addr, four, six) in
                [(tuple.source, cta::V4_SRC, cta::V6_SRC), (tuple.destination, cta::V4_DST, cta::V6_DST)]
            {
                match addr {
                    IpAddr::V4(addr) => w.put(four, &addr.octets()),
                    IpAddr::V6(addr) => w.put(six, &addr.octets()),
                }
            }
        });
        w.nest(cta::TUPLE_PROTO, |w| {
            w.u8(cta::NUM, tuple.proto.0);
            match tuple.detail {
                Detail::Ports { source, destination } => {
                    w.be16(cta::SRC_PORT, source);
                    w.be16(cta::DST_PORT, destination);
                }
                Detail::Icmp { id, kind, code } => {
                    let icmp = if tuple.proto == Proto::ICMPV6 { cta::ICMPV6 } else { cta::ICMP };
                    w.be16(icmp[0], id);
                    w.u8(icmp[1], kind);
                    w.u8(icmp[2], code);
                }
                Detail::None => {}
            }
        });
        if let Some(zone) = zone {
            w.be16(cta::TUPLE_ZONE, zone);
        }
    });
}

/// The entry of a message; none where it is no entry, or lacks what every entry has.
pub(super) fn read_entry(message: &Message) -> Option<Entry> {
    (message.kind == NEW).then_some(())?;
    let (mut original, mut reply, mut id, mut zone) = (None, None, None, None);
    let (mut status, mut mark, mut timeout, mut tcp) = (0, 0, None, None);
    // Once over the attributes: there may be a hundred thousand entries.
    for (kind, payload) in Attrs::new(message.body.get(NFGEN..)?) {
        let number = || array(payload, 0).map(u32::from_be_bytes);
        match kind {
            cta::TUPLE_ORIG => original = Some(read_tuple(payload, ZoneDir::Original, &mut zone)?),
            cta::TUPLE_REPLY => reply = Some(read_tuple(payload, ZoneDir::Reply, &mut zone)?),
            cta::ZONE => zone = short(payload).map(|id| Zone { id, dir: ZoneDir::Both }),
            cta::STATUS => status = number().unwrap_or(0),
            cta::MARK => mark = number().unwrap_or(0),
            cta::TIMEOUT => timeout = number(),
            cta::PROTOINFO => tcp = tcp_state(payload),
            cta::ID => id = number(),
            _ => {}
        }
    }
    Some(Entry { original: original?, reply: reply?, status, mark, zone, timeout, tcp, id: id? })
}

/// The tuple of the opener among the attributes of an entry, wherever these stand.
pub(crate) fn read_original(bytes: &[u8]) -> Option<Tuple> {
    read_tuple(Attrs::find(bytes, cta::TUPLE_ORIG)?, ZoneDir::Original, &mut None)
}

fn short(bytes: &[u8]) -> Option<u16> {
    array(bytes, 0).map(u16::from_be_bytes)
}

fn tcp_state(protoinfo: &[u8]) -> Option<TcpState> {
    let tcp = Attrs::find(protoinfo, cta::PROTOINFO_TCP)?;
    Some(TcpState::from_number(*Attrs::find(tcp, cta::TCP_STATE)?.first()?))
}

/// A tuple, and the zone where one holds for this direction alone.
fn read_tuple(bytes: &[u8], dir: ZoneDir, zone: &mut Option<Zone>) -> Option<Tuple> {
    let (mut source, mut destination, mut proto) = (None, None, None);
    for (kind, payload) in Attrs::new(bytes) {
        match kind {
            cta::TUPLE_IP => {
                for (kind, addr) in Attrs::new(payload) {
                    match kind {
                        cta::V4_SRC => source = array::<4>(addr, 0).map(IpAddr::from),
                        cta::V4_DST => destination = array::<4>(addr, 0).map(IpAddr::from),
                        cta::V6_SRC => source = array::<16>(addr, 0).map(IpAddr::from),
                        cta::V6_DST => destination = array::<16>(addr, 0).map(IpAddr::from),
                        _ => {}
                    }
                }
            }
            cta::TUPLE_PROTO => proto = read_proto(payload),
            cta::TUPLE_ZONE => *zone = short(payload).map(|id| Zone { id, dir }),
            _ => {}
        }
    }
    let (source, destination, (proto, detail)) = (source?, destination?, proto?);
    (source.is_ipv4() == destination.is_ipv4()).then_some(Tuple { source, destination, proto, detail })
}

fn read_proto(bytes: &[u8]) -> Option<(Proto, Detail)> {
    let mut slots: [Option<&[u8]>; 10] = [None; 10];
    for (kind, payload) in Attrs::new(bytes) {
        if let Some(slot) = slots.get_mut(usize::from(kind)) {
            *slot = Some(payload);
        }
    }
    let slot = |kind: u16| slots.get(usize::from(kind)).copied().flatten();
    let byte = |kind: u16| slot(kind)?.first().copied();
    let two = |kind: u16| short(slot(kind)?);
    let icmp = |[id, kind, code]: [u16; 3]| {
        Some(Detail::Icmp { id: two(id)?, kind: byte(kind)?, code: byte(code)? })
    };
    let detail = match (two(cta::SRC_PORT), two(cta::DST_PORT)) {
        (Some(source), Some(destination)) => Detail::Ports { source, destination },
        _ => icmp(cta::ICMP).or_else(|| icmp(cta::ICMPV6)).unwrap_or(Detail::None),
    };
    Some((Proto(byte(cta::NUM)?), detail))
}
