//! The matches of iptables, one type each, with the condition under which the kernel's module lets a packet pass.

mod connection;
mod ext6;
mod header;
mod host;
mod look;
mod memory;
mod policy;
mod transport;

pub use connection::{
    Connbytes, ConnbytesOf, ConnbytesWay, Connlabel, Connlimit, Conntrack, Helper, States, Statuses,
};
pub use ext6::{Ah6, Eui64, Frag, HopOptions, Ipv6header, Rt, RtAddrs};
pub use header::{Bpf, BpfStep, Ecn, Iprange, Text, U32, U32Step, U32Test};
pub use host::{AddrTypes, Addrtype, Cgroup, Devgroup, IfName, Mac, Owner, Physdev, Rpfilter, Side, Socket};
pub use look::{Basis, Later, Refuses};
pub(super) use memory::set_info;
pub use memory::{Hashlimit, Limit, Recent, RecentOp, Set, Statistic, Time};
pub use policy::{Policy, PolicyElement};
pub use transport::{
    Chunks, ChunksHow, Dccp, Icmp, Icmp6, Multiport, Ports, PortsOf, Sctp, Tcp, TcpMss, TcpOption, tcp_option,
};

use super::Shape;
use super::info::Info;
use super::part::{Is, Masked, Within};
use crate::net::Family;

/// A match; the condition of each stands with its type, or with the function that reads it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Match {
    /// `addrtype`: the type of an address.
    Addrtype(Addrtype),
    /// `ah` of IPv4: the SPI; drops what is shorter than 12 bytes.
    Ah(Within<u32>),
    /// `ah` of IPv6.
    Ah6(Ah6),
    /// `bpf`: a program.
    Bpf(Bpf),
    /// `cgroup`: the control group of the socket.
    Cgroup(Cgroup),
    /// `comment`: always holds (`net/netfilter/xt_comment.c`).
    Comment(String),
    /// `connbytes`: what the connection has carried.
    Connbytes(Connbytes),
    /// `connlabel`: a label of the connection.
    Connlabel(Connlabel),
    /// `connlimit`: how many connections an address has.
    Connlimit(Connlimit),
    /// `connmark`: the mark of the connection; without connection false, inverted or not.
    Connmark(Masked<u32>),
    /// `conntrack`: what is known of the connection.
    Conntrack(Box<Conntrack>),
    /// `cpu`: the number of the processor that handles the packet.
    Cpu(Is<u32>),
    /// `dccp`: ports, type and option.
    Dccp(Dccp),
    /// `devgroup`: the groups of the interfaces.
    Devgroup(Devgroup),
    /// `dscp`: the upper six bits of the TOS byte.
    Dscp(Is<u8>),
    /// `ecn`: the bits of congestion notification.
    Ecn(Ecn),
    /// `esp`: the SPI; drops what is shorter than 8 bytes (`net/netfilter/xt_esp.c`).
    Esp(Within<u32>),
    /// `eui64`: the source address is made from the Ethernet address.
    Eui64(Eui64),
    /// `frag`: the fragment header of IPv6.
    Frag(Frag),
    /// `hashlimit`: a rate for each kind of packets.
    Hashlimit(Hashlimit),
    /// `helper`: the helper by which the connection was expected.
    Helper(Helper),
    /// `hbh` and `dst`: options of IPv6.
    HopOptions(HopOptions),
    /// `ttl` and `hl`: the hop limit.
    Hops(Within<u8>),
    /// `icmp`: type and code.
    Icmp(Icmp),
    /// `icmp6`: type and code.
    Icmp6(Icmp6),
    /// `ipcomp`: the CPI; drops what is shorter than 4 bytes (`net/netfilter/xt_ipcomp.c`).
    Ipcomp(Within<u32>),
    /// `iprange`: addresses from one to another.
    Iprange(Iprange),
    /// `ipv6header`: which headers there are.
    Ipv6header(Ipv6header),
    /// `length`: of the packet with all headers.
    Length(Within<u32>),
    /// `limit`: a rate.
    Limit(Limit),
    /// `mac`: the Ethernet source address.
    Mac(Mac),
    /// `mark`: the mark of the packet (`net/netfilter/xt_mark.c`).
    Mark(Masked<u32>),
    /// `mh`: the type of a mobility header.
    Mh(Within<u8>),
    /// `multiport`: one of several ports.
    Multiport(Multiport),
    /// `nfacct`: counts for a named object.
    Nfacct(String),
    /// `owner`: of the socket.
    Owner(Owner),
    /// `physdev`: the ports of a bridge.
    Physdev(Physdev),
    /// `pkttype`: for whom the packet is on the link.
    Pkttype(Is<u32>),
    /// `policy`: `IPsec`.
    Policy(Policy),
    /// `quota`: so many bytes.
    Quota(Is<u64>),
    /// `realm`: of the route.
    Realm(Masked<u32>),
    /// `recent`: a list of addresses.
    Recent(Recent),
    /// `rpfilter`: the route back.
    Rpfilter(Rpfilter),
    /// `rt`: the routing header of IPv6.
    Rt(Rt),
    /// `sctp`: ports and chunks.
    Sctp(Sctp),
    /// `set`: a set of `ipset`.
    Set(Set),
    /// `socket`: whether there is one.
    Socket(Socket),
    /// `state`: of the connection.
    State(States),
    /// `statistic`: by chance, or each n-th.
    Statistic(Statistic),
    /// `tcp`: ports, flags, an option.
    Tcp(Tcp),
    /// `tcpmss`: the maximum segment size of TCP.
    TcpMss(TcpMss),
    /// `string`: a text in the packet.
    Text(Text),
    /// `time`: the clock.
    Time(Time),
    /// `tos`: the TOS byte, or the traffic class.
    Tos(Masked<u8>),
    /// `u32`: numbers in the packet.
    U32(U32),
    /// `udp` and `udplite`: ports; drops what is shorter than 8 bytes.
    Udp(Ports),
    /// Anything else: may hold or not, may drop the packet, and may change something.
    Unknown {
        /// Name, empty if the expression has none.
        name: String,
        /// Revision.
        revision: u32,
        /// The structure.
        data: Vec<u8>,
    },
}

/// How a structure ends.
enum Tail {
    /// With its last field.
    Plain,
    /// With a pointer, which the kernel does not show.
    Pointer,
    /// With fields of the kernel's own, whose size differs between hosts.
    Private,
}

/// The match of this name; none if name, revision or structure are not known.
pub(super) fn known(name: &str, shape: Shape, bytes: &[u8]) -> Option<Match> {
    let mut info = Info::new(bytes);
    let (found, tail) = read(name, shape, &mut info)?;
    match tail {
        Tail::Plain => info.end()?,
        Tail::Pointer => info.end_with_pointer()?,
        Tail::Private => {}
    }
    Some(found)
}

fn read(name: &str, shape: Shape, info: &mut Info) -> Option<(Match, Tail)> {
    let (found, tail) = match name {
        "connlimit" => (connection::connlimit(info, shape), Tail::Pointer),
        "hashlimit" => (memory::hashlimit(info, shape), Tail::Pointer),
        "nfacct" => (memory::nfacct(info, shape), Tail::Pointer),
        "quota" if shape.revision == 0 => (memory::quota(info), Tail::Pointer),
        "statistic" if shape.revision == 0 => (memory::statistic(info), Tail::Pointer),
        "string" => (header::text(info, shape), Tail::Pointer),
        "bpf" => (header::bpf(info, shape), Tail::Pointer),
        "cgroup" if shape.revision > 0 => (host::cgroup(info, shape), Tail::Pointer),
        "limit" if shape.revision == 0 => (memory::limit(info), Tail::Private),
        _ => (plain(name, shape, info), Tail::Plain),
    };
    Some((found?, tail))
}

fn plain(name: &str, shape: Shape, info: &mut Info) -> Option<Match> {
    const COMMENT: usize = 256;
    match name {
        "addrtype" => return host::addrtype(info, shape),
        "cgroup" => return host::cgroup(info, shape),
        "connmark" => return connection::connmark(info, shape),
        "conntrack" => return connection::conntrack(info, shape),
        "iprange" => return header::iprange(info, shape),
        "mark" => return connection::mark_under_mask(info, shape).map(Match::Mark),
        "multiport" => return transport::multiport(info, shape),
        "owner" => return host::owner(info, shape),
        "recent" => return memory::recent(info, shape),
        "set" => return memory::set(info, shape),
        "socket" => return host::socket(info, shape),
        "tos" => return header::tos(info, shape),
        // All others have one revision.
        _ if shape.revision != 0 => return None,
        _ => {}
    }
    match name {
        "comment" => info.text(COMMENT).map(Match::Comment),
        "connbytes" => connection::connbytes(info),
        "connlabel" => connection::connlabel(info),
        "cpu" => host::cpu(info),
        "dccp" => transport::dccp(info),
        "devgroup" => host::devgroup(info),
        "dscp" => header::dscp(info),
        "ecn" => header::ecn(info),
        "esp" => transport::spis(info).map(Match::Esp),
        "helper" => connection::helper(info),
        "ipcomp" => {
            let found = transport::spis(info).map(Match::Ipcomp);
            // The kernel does not look at what iptables asks of the reserved field.
            info.u8()?;
            found
        }
        "length" => header::length(info),
        "mac" => host::mac(info),
        "physdev" => host::physdev(info),
        "pkttype" => host::pkttype(info),
        "policy" => policy::policy(info, shape),
        "rpfilter" => host::rpfilter(info),
        "sctp" => transport::sctp(info),
        "state" => connection::state(info),
        "tcp" => transport::tcp(info),
        "tcpmss" => transport::tcpmss(info),
        "time" => memory::time(info),
        "u32" => header::u32(info),
        "udp" | "udplite" => transport::udp(info),
        _ => of_family(name, shape.family?, info),
    }
}

/// Those that only one family has, or each its own.
fn of_family(name: &str, family: Family, info: &mut Info) -> Option<Match> {
    match (family, name) {
        (Family::V4, "ah") => ext6::ah4(info),
        (Family::V4, "icmp") => transport::icmp(info),
        (Family::V4, "realm") => host::realm(info),
        (Family::V4, "ttl") | (Family::V6, "hl") => header::hops(info),
        (Family::V6, "ah") => ext6::ah6(info),
        (Family::V6, "dst") => ext6::options(info, true),
        (Family::V6, "eui64") => ext6::eui64(info),
        (Family::V6, "frag") => ext6::frag(info),
        (Family::V6, "hbh") => ext6::options(info, false),
        (Family::V6, "icmp6") => transport::icmp6(info),
        (Family::V6, "ipv6header") => ext6::ipv6header(info),
        (Family::V6, "mh") => ext6::mh(info),
        (Family::V6, "rt") => ext6::rt(info),
        _ => None,
    }
}
