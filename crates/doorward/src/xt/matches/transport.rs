//! Matches on the header behind that of IP: ports, flags, types; they say of each packet by its bytes alone.
//!
//! But for [`TcpMss`], all of them are false for later fragments, inverted or not, and drop a packet that is too
//! short for the header. None asks which protocol it is: the rule does that before, and the kernel insists on it.

use super::Match;
use crate::net::Intervals;
use crate::xt::Shape;
use crate::xt::info::Info;
use crate::xt::part::{Is, Masked, Within};

/// Source and destination ports; both conditions must hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Ports {
    /// Source.
    pub source: Within<u16>,
    /// Destination.
    pub dest: Within<u16>,
}

impl Ports {
    /// Whether both conditions hold.
    #[must_use]
    pub fn contains(&self, source: u16, dest: u16) -> bool {
        self.source.contains(source) && self.dest.contains(dest)
    }
}

const ANY_PORT: Within<u16> = Within { first: 0, last: u16::MAX, invert: false };

/// Two ranges, of which the inverting flags come later.
struct Ranges([u16; 4]);

impl Ranges {
    fn read(info: &mut Info) -> Option<Ranges> {
        Some(Ranges([info.u16()?, info.u16()?, info.u16()?, info.u16()?]))
    }

    fn ports(&self, invert_source: bool, invert_dest: bool) -> Ports {
        let [s, t, d, e] = self.0;
        Ports {
            source: Within { first: s, last: t, invert: invert_source },
            dest: Within { first: d, last: e, invert: invert_dest },
        }
    }
}

/// `tcp`, revision 0 (`struct xt_tcp`, `tcp_mt` of `net/netfilter/xt_tcpudp.c`).
///
/// Holds if ports, flags and option do. Drops the packet if it is a fragment of IPv4 that starts at byte 8, if the header
/// of 20 bytes is not all there, and, where an option is asked for, if the data offset is below 5 or the options
/// that it announces are not all there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Tcp {
    /// Ports.
    pub ports: Ports,
    /// Byte 13 of the header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
    pub flags: Masked<u8>,
    /// An option that is there, or with `invert` not there.
    pub option: Option<TcpOption>,
}

/// A TCP option by its kind; the values of [`Is`] are those for which [`tcp_option`] finds something.
pub type TcpOption = Is<u8>;

/// The place of the first option of this kind in the options of a TCP (or DCCP) header, as the kernel looks for it.
///
/// Steps over kinds 0 and 1 byte by byte, even behind the end mark 0, over others by their length, by one byte
/// where that is 0. The options are all bytes from byte 20 to the data offset.
#[must_use]
pub fn tcp_option(options: &[u8], kind: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(&found) = options.get(at) {
        if found == kind {
            return Some(at);
        }
        at += step(options, at);
    }
    None
}

/// How far it is to the next option.
fn step(options: &[u8], at: usize) -> usize {
    match (options.get(at), options.get(at + 1)) {
        (Some(2..), Some(&len)) => usize::from(len).max(1),
        _ => 1,
    }
}

pub(super) fn tcp(info: &mut Info) -> Option<Match> {
    let ranges = Ranges::read(info)?;
    let (option, mask, value) = (info.u8()?, info.u8()?, info.u8()?);
    let invert = info.flags8(0x0f)?;
    Some(Match::Tcp(Tcp {
        ports: ranges.ports(invert & 1 != 0, invert & 2 != 0),
        flags: Masked { value, mask, invert: invert & 4 != 0 },
        // Kind 0 means that none is asked for.
        option: (option != 0).then_some(Is { value: option, invert: invert & 8 != 0 }),
    }))
}

/// `udp` and `udplite`, revision 0 (`struct xt_udp`, `udp_mt` of `net/netfilter/xt_tcpudp.c`): drops what is
/// shorter than 8 bytes.
pub(super) fn udp(info: &mut Info) -> Option<Match> {
    let ranges = Ranges::read(info)?;
    let invert = info.flags8(3)?;
    Some(Match::Udp(ranges.ports(invert & 1 != 0, invert & 2 != 0)))
}

/// `sctp`, revision 0 (`struct xt_sctp_info`, `net/netfilter/xt_sctp.c`).
///
/// Drops what is shorter than 12 bytes, and where chunks are asked for, packets with a chunk header that is cut
/// off or says length 0.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sctp {
    /// Ports.
    pub ports: Ports,
    /// The chunks, if they are asked for.
    pub chunks: Option<Chunks>,
}

/// A condition on the chunks of an SCTP packet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Chunks {
    /// How many of them.
    pub how: ChunksHow,
    /// The kinds.
    pub kinds: Vec<u8>,
    /// For a kind (the first of these): under the second as mask, the flags must be the third. A chunk whose
    /// flags are others counts as not there, but for [`ChunksHow::Only`], which is false then.
    pub flags: Vec<(u8, u8, u8)>,
    /// The contrary of all that.
    pub invert: bool,
}

/// How many of the kinds there must be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChunksHow {
    /// One of them.
    Any,
    /// Each of them, others may be too.
    All,
    /// No others.
    Only,
}

pub(super) fn sctp(info: &mut Info) -> Option<Match> {
    const FLAG_INFOS: usize = 4;
    // The destination comes first here.
    let [d, e, s, t] = Ranges::read(info)?.0;
    let mut kinds = Vec::new();
    // The map of 256 bits lies in 256 bytes; the kernel tests the first 32.
    for word in 0..64u32 {
        let bits = info.u32()?;
        let set = (0..32).filter(|bit| bits >> bit & 1 != 0).map(|bit| word * 32 + bit);
        for kind in set {
            kinds.push(u8::try_from(kind).ok()?);
        }
    }
    let how = info.u32()?;
    let infos = info.array::<{ 3 * FLAG_INFOS }>()?;
    let count = usize::try_from(info.u32()?).ok().filter(|count| *count <= FLAG_INFOS)?;
    let asked = info.flags32(7)?;
    let invert = info.flags32(7)?;
    let chunks = match asked & 4 {
        0 => None,
        _ => Some(Chunks {
            how: match how {
                1 => ChunksHow::Any,
                2 => ChunksHow::All,
                4 => ChunksHow::Only,
                _ => return None,
            },
            kinds,
            flags: infos.chunks_exact(3).take(count).map(|one| (one[0], one[2], one[1])).collect(),
            invert: invert & 4 != 0,
        }),
    };
    Some(Match::Sctp(Sctp { ports: asked_ports([s, t, d, e], asked, invert), chunks }))
}

/// Ports of which only those count that are asked for: source 1, destination 2.
fn asked_ports(ranges: [u16; 4], asked: u32, invert: u32) -> Ports {
    let ports = Ranges(ranges).ports(invert & 1 != 0, invert & 2 != 0);
    Ports {
        source: if asked & 1 == 0 { ANY_PORT } else { ports.source },
        dest: if asked & 2 == 0 { ANY_PORT } else { ports.dest },
    }
}

/// `dccp`, revision 0 (`struct xt_dccp_info`, `net/netfilter/xt_dccp.c`).
///
/// Drops what is shorter than 12 bytes, and where an option is asked for, packets whose options are not all there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dccp {
    /// Ports.
    pub ports: Ports,
    /// Bit n stands for the packets of type n.
    pub types: Option<Is<u16>>,
    /// An option, looked for with [`tcp_option`] in the options of the header.
    pub option: Option<Is<u8>>,
}

impl Dccp {
    /// Whether the condition on the type of the packet (0 to 15) holds.
    #[must_use]
    pub fn of_type(&self, kind: u8) -> bool {
        self.types.is_none_or(|types| {
            let bit = 1u16.checked_shl(kind.into()).unwrap_or(0);
            (types.value & bit != 0) != types.invert
        })
    }
}

pub(super) fn dccp(info: &mut Info) -> Option<Match> {
    let [d, e, s, t] = Ranges::read(info)?.0;
    let asked = info.flags16(0x0f)?;
    let invert = info.flags16(0x0f)?;
    let (types, option) = (info.u16()?, info.u8()?);
    Some(Match::Dccp(Dccp {
        ports: asked_ports([s, t, d, e], asked.into(), invert.into()),
        types: (asked & 4 != 0).then_some(Is { value: types, invert: invert & 4 != 0 }),
        option: (asked & 8 != 0).then_some(Is { value: option, invert: invert & 8 != 0 }),
    }))
}

/// `multiport`, revision 1 (`struct xt_multiport_v1`, `net/netfilter/xt_multiport.c`).
///
/// Drops what is shorter than the 4 bytes of the two ports.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Multiport {
    /// Which port is looked at.
    pub of: PortsOf,
    /// First and last of each range.
    pub ranges: Vec<(u16, u16)>,
    /// Holds if no range has the port, with [`PortsOf::Either`] neither port.
    pub invert: bool,
}

/// Which ports are looked at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PortsOf {
    /// The source port.
    Source,
    /// The destination port.
    Dest,
    /// Both; one within is enough.
    Either,
}

impl Multiport {
    /// The ports within the ranges, whatever `invert` says.
    #[must_use]
    pub fn ports(&self) -> Intervals<u16> {
        Intervals::from_unsorted(self.ranges.clone())
    }

    /// Whether the match holds for these ports.
    #[must_use]
    pub fn contains(&self, source: u16, dest: u16) -> bool {
        let within = |port| self.ranges.iter().any(|(first, last)| *first <= port && port <= *last);
        let found = match self.of {
            PortsOf::Source => within(source),
            PortsOf::Dest => within(dest),
            PortsOf::Either => within(source) || within(dest),
        };
        found != self.invert
    }
}

pub(super) fn multiport(info: &mut Info, shape: Shape) -> Option<Match> {
    const ROOM: usize = 15;
    if shape.revision != 1 {
        return None;
    }
    let of = match info.u8()? {
        0 => PortsOf::Source,
        1 => PortsOf::Dest,
        2 => PortsOf::Either,
        _ => return None,
    };
    let count = usize::from(info.u8()?);
    let mut ports = [0; ROOM];
    for port in &mut ports {
        *port = info.u16()?;
    }
    let opens_range = info.array::<ROOM>()?;
    let invert = info.flag()?;
    let (ports, opens_range) = (ports.get(..count)?, opens_range.get(..count)?);
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(&first) = ports.get(at) {
        let last = if opens_range[at] == 0 { first } else { *ports.get(at + 1)? };
        at += if opens_range[at] == 0 { 1 } else { 2 };
        ranges.push((first, last));
    }
    Some(Match::Multiport(Multiport { of, ranges, invert }))
}

/// `icmp`, revision 0 (`struct ipt_icmp`; `icmp_match` of `net/ipv4/netfilter/ip_tables.c`, in later kernels of
/// `net/netfilter/xt_tcpudp.c`): drops what is shorter than 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Icmp {
    /// The type; none means every type *and* every code.
    pub kind: Option<u8>,
    /// First and last code.
    pub codes: (u8, u8),
    /// The contrary of type and code together.
    pub invert: bool,
}

impl Icmp {
    /// Whether the match holds for this type and code.
    #[must_use]
    pub fn contains(&self, kind: u8, code: u8) -> bool {
        let (first, last) = self.codes;
        self.kind.is_none_or(|wanted| kind == wanted && first <= code && code <= last) != self.invert
    }
}

/// `icmp6`, revision 0 (`struct ip6t_icmp`; `icmp6_match` of `net/ipv6/netfilter/ip6_tables.c`, in later kernels
/// of `net/netfilter/xt_tcpudp.c`): drops what is shorter than 8 bytes. Type 255 is a type like others here.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Icmp6 {
    /// The type.
    pub kind: u8,
    /// First and last code.
    pub codes: (u8, u8),
    /// The contrary of type and code together.
    pub invert: bool,
}

impl Icmp6 {
    /// Whether the match holds for this type and code.
    #[must_use]
    pub fn contains(&self, kind: u8, code: u8) -> bool {
        let (first, last) = self.codes;
        (kind == self.kind && first <= code && code <= last) != self.invert
    }
}

pub(super) fn icmp(info: &mut Info) -> Option<Match> {
    const ANY: u8 = 0xff;
    let Icmp6 { kind, codes, invert } = icmp_fields(info)?;
    Some(Match::Icmp(Icmp { kind: (kind != ANY).then_some(kind), codes, invert }))
}

pub(super) fn icmp6(info: &mut Info) -> Option<Match> {
    icmp_fields(info).map(Match::Icmp6)
}

fn icmp_fields(info: &mut Info) -> Option<Icmp6> {
    Some(Icmp6 { kind: info.u8()?, codes: (info.u8()?, info.u8()?), invert: info.flags8(1)? != 0 })
}

/// A range of numbers (SPI, CPI) and the flag that inverts it, as `esp`, `ah` and `ipcomp` begin.
pub(super) fn spis(info: &mut Info) -> Option<Within<u32>> {
    let (first, last) = (info.u32()?, info.u32()?);
    Some(Within { first, last, invert: info.flags8(1)? != 0 })
}

/// `tcpmss`, revision 0 (`struct xt_tcpmss_match_info`, `net/netfilter/xt_tcpmss.c`).
///
/// Drops what is shorter than the 20 bytes of a TCP header, has a data offset below 5 or not all of the options.
/// Does not ask whether the packet is a later fragment: it takes the bytes that are there for a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TcpMss {
    /// The maximum segment size.
    pub size: Within<u16>,
}

impl TcpMss {
    /// Whether the match holds for a header with these options; without the option it holds if inverted.
    #[must_use]
    pub fn contains(&self, options: &[u8]) -> bool {
        const MSS: [u8; 2] = [2, 4];
        let mut at = 0;
        while at < options.len() {
            if let Some([kind, len, high, low]) = options.get(at..at + 4)
                && [*kind, *len] == MSS
            {
                return self.size.contains(u16::from_be_bytes([*high, *low]));
            }
            at += step(options, at);
        }
        self.size.invert
    }
}

pub(super) fn tcpmss(info: &mut Info) -> Option<Match> {
    let (first, last) = (info.u16()?, info.u16()?);
    Some(Match::TcpMss(TcpMss { size: Within { first, last, invert: info.flag()? } }))
}
