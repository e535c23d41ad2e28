//! Matches on what the host knows of a packet beyond its bytes: devices, routes, marks; they ask no one.

use super::Match;
use crate::xt::Shape;
use crate::xt::info::Info;
use crate::xt::part::{Is, Masked, Within};

/// `addrtype`, revisions 0 and 1 (`struct xt_addrtype_info_v1`, `net/netfilter/xt_addrtype.c`): both conditions
/// must hold.
///
/// With [`Addrtype::on`] the types are those that the addresses have on this device (`inet_dev_addr_type`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Addrtype {
    /// The type of the source address.
    pub source: Option<AddrTypes>,
    /// The type of the destination address.
    pub dest: Option<AddrTypes>,
    /// The device by which the packet came, or is to leave.
    pub on: Option<Side>,
}

/// A condition on the type of an address.
///
/// IPv4: holds if the bit of the type (bit n for `RTN_*` n, as nft's `fib … type`) is among these: unspecified 1,
/// unicast 2, local 4, broadcast 8, anycast 16, multicast 32, blackhole 64, unreachable 128, prohibited 256.
///
/// IPv6: the bits are conditions that must *all* hold, but for the last: multicast 32, unicast 2 and unspecified 1
/// ask what kind of address it is by itself; then, if any of local 4, anycast 16 and unreachable 128 is there, the
/// route to the address must be of one of these.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AddrTypes {
    /// The bits.
    pub types: u16,
    /// The contrary of all that.
    pub invert: bool,
}

/// An end of a packet's way through this host, or of the packet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// In; the source.
    In,
    /// Out; the destination.
    Out,
}

pub(super) fn addrtype(info: &mut Info, shape: Shape) -> Option<Match> {
    let (source, dest) = (info.u16()?, info.u16()?);
    let (invert_source, invert_dest, on) = match shape.revision {
        0 => (info.wide_flag()?, info.wide_flag()?, None),
        1 => {
            let flags = info.flags32(0x0f)?;
            let on = match flags & 0x0c {
                0 => None,
                4 => Some(Side::In),
                8 => Some(Side::Out),
                _ => return None,
            };
            (flags & 1 != 0, flags & 2 != 0, on)
        }
        _ => return None,
    };
    let asked = |types: u16, invert| (types != 0).then_some(AddrTypes { types, invert });
    Some(Match::Addrtype(Addrtype {
        source: asked(source, invert_source),
        dest: asked(dest, invert_dest),
        on,
    }))
}

/// `owner`, revision 1 (`struct xt_owner_match_info`, `net/netfilter/xt_owner.c`): the socket that sent the
/// packet; all that is asked for must hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Owner {
    /// User id of the process that opened it.
    pub uid: Option<Within<u32>>,
    /// Group id of that process, or with [`Owner::groups`] one of its other groups.
    pub gid: Option<Within<u32>>,
    /// The other groups count too.
    pub groups: bool,
    /// Whether there must be a socket.
    pub socket: Option<bool>,
}

impl Owner {
    /// Whether the match holds for a packet without socket (of the kernel, or forwarded): if each condition is
    /// inverted.
    #[must_use]
    pub fn without_socket(&self) -> bool {
        self.socket != Some(true) && !self.groups && self.without_file()
    }

    /// Whether the match holds for a socket that no process has open, if `socket` does not forbid it.
    fn without_file(&self) -> bool {
        self.uid.is_none_or(|uid| uid.invert) && self.gid.is_none_or(|gid| gid.invert)
    }

    /// Whether the match holds for a socket; of whom, or none if no process has it open.
    #[must_use]
    pub fn with_socket(&self, of: Option<(u32, u32, &[u32])>) -> bool {
        if self.socket == Some(false) {
            return false;
        }
        let Some((uid, gid, others)) = of else { return self.without_file() };
        let group = |wanted: Within<u32>| {
            let within = |gid: u32| wanted.first <= gid && gid <= wanted.last;
            (within(gid) || self.groups && others.iter().any(|gid| within(*gid))) != wanted.invert
        };
        self.uid.is_none_or(|wanted| wanted.contains(uid)) && self.gid.is_none_or(group)
    }
}

pub(super) fn owner(info: &mut Info, shape: Shape) -> Option<Match> {
    const UID: u8 = 1;
    const GID: u8 = 2;
    const SOCKET: u8 = 4;
    const GROUPS: u8 = 8;
    if shape.revision != 1 {
        return None;
    }
    let (uid, gid) = ((info.u32()?, info.u32()?), (info.u32()?, info.u32()?));
    let asked = info.flags8(UID | GID | SOCKET | GROUPS)?;
    // That groups are inverted, or what is not asked for, iptables never says.
    let invert = info.flags8(asked & !GROUPS)?;
    let within = |flag, (first, last)| {
        (asked & flag != 0).then_some(Within { first, last, invert: invert & flag != 0 })
    };
    Some(Match::Owner(Owner {
        uid: within(UID, uid),
        gid: within(GID, gid),
        groups: asked & GROUPS != 0,
        socket: (asked & SOCKET != 0).then_some(invert & SOCKET == 0),
    }))
}

/// `physdev`, revision 0 (`struct xt_physdev_info`, `net/netfilter/xt_physdev.c`): the ports of a bridge by which
/// the packet came and leaves; all that is asked for must hold.
///
/// A packet that no bridge has seen has neither port: for it, each condition holds only if inverted. For others,
/// a name for a port that there is not holds for `input`, and is false for `output`, inverted or not.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Physdev {
    /// Name of the port by which it came.
    pub input: Option<Is<IfName>>,
    /// Name of the port by which it leaves.
    pub output: Option<Is<IfName>>,
    /// Whether it came by such a port.
    pub is_in: Option<bool>,
    /// Whether it leaves by such a port.
    pub is_out: Option<bool>,
    /// Whether it is bridged: leaves by such a port, and is not routed.
    pub is_bridged: Option<bool>,
}

/// The name of an interface, or with `prefix` how it begins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IfName {
    /// The name.
    pub name: String,
    /// Any that begin so.
    pub prefix: bool,
}

impl IfName {
    /// Whether this is the name, whatever inverts the condition.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        if self.prefix { name.starts_with(&self.name) } else { name == self.name }
    }

    /// A name and the mask of the bytes that count: leading ones, with the zero behind the name or without.
    fn read(name: &[u8; 16], mask: &[u8; 16]) -> Option<IfName> {
        let counted = mask.iter().take_while(|byte| **byte == 0xff).count();
        if mask.iter().skip(counted).any(|byte| *byte != 0) {
            return None;
        }
        let text = name.get(..counted)?;
        let end = text.iter().position(|byte| *byte == 0);
        let prefix = end.is_none() && counted < name.len();
        let name = String::from_utf8(text.get(..end.unwrap_or(counted))?.to_vec()).ok()?;
        Some(IfName { name, prefix })
    }
}

pub(super) fn physdev(info: &mut Info) -> Option<Match> {
    let [input, in_mask, output, out_mask] = [info.array()?, info.array()?, info.array()?, info.array()?];
    let invert = info.flags8(0x1f)?;
    let asked = info.flags8(0x1f)?;
    let named = |flag: u8, name, mask| {
        Some(match asked & flag {
            0 => None,
            _ => Some(Is { value: IfName::read(name, mask)?, invert: invert & flag != 0 }),
        })
    };
    let wanted = |flag: u8| (asked & flag != 0).then_some(invert & flag == 0);
    Some(Match::Physdev(Physdev {
        input: named(1, &input, &in_mask)?,
        output: named(2, &output, &out_mask)?,
        is_bridged: wanted(4),
        is_in: wanted(8),
        is_out: wanted(0x10),
    }))
}

/// `pkttype`, revision 0 (`struct xt_pkttype_info`, `net/netfilter/xt_pkttype.c`): the type of the packet
/// (`PACKET_*`, nft's `meta pkttype`: 0 for this host, 1 broadcast, 2 multicast, 3 other host), where a looped
/// back one counts as multicast if it is IPv6 or its destination is multicast, else as broadcast.
pub(super) fn pkttype(info: &mut Info) -> Option<Match> {
    let value = info.u32()?;
    Some(Match::Pkttype(Is { value, invert: info.wide_flag()? }))
}

/// `mac`, revision 0 (`struct xt_mac_info`, `net/netfilter/xt_mac.c`).
///
/// Without Ethernet header (another kind of device, or sent by this host) false, inverted or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mac {
    /// The Ethernet source address.
    pub source: Is<[u8; 6]>,
}

pub(super) fn mac(info: &mut Info) -> Option<Match> {
    let value = info.array()?;
    Some(Match::Mac(Mac { source: Is { value, invert: info.wide_flag()? } }))
}

/// `socket`, revisions 0 to 3 (`struct xt_socket_mtinfo3`, `net/netfilter/xt_socket.c`).
///
/// Holds if the packet has a socket, or one is found for its addresses and ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Socket {
    /// It must be transparent.
    pub transparent: bool,
    /// One that listens on every address counts too.
    pub wildcard: bool,
    /// Sets the mark of the packet to that of the socket, if the match holds.
    pub sets_mark: bool,
}

pub(super) fn socket(info: &mut Info, shape: Shape) -> Option<Match> {
    let flags = match shape.revision {
        0 => 0,
        1 => info.flags8(1)?,
        2 => info.flags8(3)?,
        3 => info.flags8(7)?,
        _ => return None,
    };
    Some(Match::Socket(Socket {
        transparent: flags & 1 != 0,
        wildcard: flags & 2 != 0,
        sets_mark: flags & 4 != 0,
    }))
}

/// `cgroup`, revisions 0 to 2 (`struct xt_cgroup_info_v2`, `net/netfilter/xt_cgroup.c`): the control group of the
/// socket; without socket false, inverted or not.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Cgroup {
    /// This group, or one below it.
    Path(Is<String>),
    /// The class of the old `net_cls` groups (nft's `meta cgroup`).
    Class(Is<u32>),
}

pub(super) fn cgroup(info: &mut Info, shape: Shape) -> Option<Match> {
    if shape.revision == 0 {
        let value = info.u32()?;
        return Some(Match::Cgroup(Cgroup::Class(Is { value, invert: info.wide_flag()? })));
    }
    let (has_path, has_class) = (info.u8()? != 0, info.u8()? != 0);
    let (invert_path, invert_class) = (info.flag()?, info.flag()?);
    let (path, class) = match shape.revision {
        1 => (info.name(4096), info.u32()?),
        2 => {
            let union = info.take(512)?;
            (Info::new(union).name(512), Info::new(union).u32()?)
        }
        _ => return None,
    };
    Some(Match::Cgroup(match (has_path, has_class) {
        (true, false) => Cgroup::Path(Is { value: path?, invert: invert_path }),
        (false, true) => Cgroup::Class(Is { value: class, invert: invert_class }),
        _ => return None,
    }))
}

/// `rpfilter`, revision 0 (`struct xt_rpfilter_info`, `net/ipv4/netfilter/ipt_rpfilter.c` and
/// `net/ipv6/netfilter/ip6t_rpfilter.c`).
///
/// Holds if an answer would leave by the device by which the packet came, for what came by the loopback device,
/// and for some packets without source address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the kernel's four flags")]
pub struct Rpfilter {
    /// Any device will do.
    pub loose: bool,
    /// The mark of the packet counts for the route.
    pub with_mark: bool,
    /// An address of this host will do.
    pub accept_local: bool,
    /// The contrary.
    pub invert: bool,
}

pub(super) fn rpfilter(info: &mut Info) -> Option<Match> {
    let flags = info.flags8(0x0f)?;
    Some(Match::Rpfilter(Rpfilter {
        loose: flags & 1 != 0,
        with_mark: flags & 2 != 0,
        accept_local: flags & 4 != 0,
        invert: flags & 8 != 0,
    }))
}

/// `realm`, revision 0 (`struct xt_realm_info`, `net/netfilter/xt_realm.c`): the realm of the route.
pub(super) fn realm(info: &mut Info) -> Option<Match> {
    let (value, mask) = (info.u32()?, info.u32()?);
    Some(Match::Realm(Masked { value, mask, invert: info.flag()? }))
}

/// `devgroup`, revision 0 (`struct xt_devgroup_info`, `net/netfilter/xt_devgroup.c`): the groups of the
/// interfaces (nft's `meta iifgroup` and `oifgroup`); both conditions must hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Devgroup {
    /// Of that by which the packet came.
    pub input: Option<Masked<u32>>,
    /// Of that by which it leaves.
    pub output: Option<Masked<u32>>,
}

pub(super) fn devgroup(info: &mut Info) -> Option<Match> {
    let flags = info.flags32(0x0f)?;
    let [in_group, in_mask, out_group, out_mask] = [info.u32()?, info.u32()?, info.u32()?, info.u32()?];
    let asked = |given: u32, invert: u32, value: u32, mask: u32| {
        // Bits of the group outside the mask do not count.
        (flags & given != 0).then_some(Masked { value: value & mask, mask, invert: flags & invert != 0 })
    };
    Some(Match::Devgroup(Devgroup {
        input: asked(1, 2, in_group, in_mask),
        output: asked(4, 8, out_group, out_mask),
    }))
}

/// `cpu`, revision 0 (`struct xt_cpu_info`, `net/netfilter/xt_cpu.c`).
pub(super) fn cpu(info: &mut Info) -> Option<Match> {
    let value = info.u32()?;
    Some(Match::Cpu(Is { value, invert: info.wide_flag()? }))
}
