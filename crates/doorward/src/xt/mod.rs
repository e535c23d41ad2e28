//! What iptables-nft leaves in rules: `match` and `target` expressions as typed values; runs none of them on a packet.
//!
//! `iptables` of today writes nftables rules, and puts its own extensions in whole: an expression `match` or
//! `target` holds the name and the revision of an extension, and the binary structure that the extension's
//! module in the kernel reads (`net/netfilter/nft_compat.c`). This module reads these structures, in the byte
//! order of this host, and says with each when the kernel's module lets a packet through.
//!
//! What holds for all of them (`nft_compat.c`):
//!
//! - A match that does not hold ends the rule, and the next rule is tried, like any nft expression.
//! - A match can say *drop this packet* instead (`hotdrop`): then the walk ends as with `drop`, whatever the rule
//!   says. [`Match::drops`] tells for which packets.
//! - A target goes on with the next expression, or ends the walk as [`Target::ends`] tells.
//! - Transport headers are read where nft sees them. Where a match does not look at later fragments, nothing
//!   of a later fragment is read: [`Match::later`].
//!
//! An extension that is not known here, a revision that is not, a flag that no known kernel takes, a length that
//! does not fit: all stay [`Match::Unknown`] or [`Target::Unknown`] with their bytes. Nothing is guessed.

mod info;
mod matches;
mod part;
mod targets;
#[cfg(test)]
mod tests;

pub use matches::{
    AddrTypes, Addrtype, Ah6, Basis, Bpf, BpfStep, Cgroup, Chunks, ChunksHow, Connbytes, ConnbytesOf,
    ConnbytesWay, Connlabel, Connlimit, Conntrack, Dccp, Devgroup, Ecn, Eui64, Frag, Hashlimit, Helper,
    HopOptions, Icmp, Icmp6, IfName, Iprange, Ipv6header, Later, Limit, Mac, Match, Multiport, Owner,
    Physdev, Policy, PolicyElement, Ports, PortsOf, Recent, RecentOp, Refuses, Rpfilter, Rt, RtAddrs, Sctp,
    Set, Side, Socket, States, Statistic, Statuses, Tcp, TcpMss, TcpOption, Text, Time, U32, U32Step,
    U32Test, tcp_option,
};
pub use part::{AddrMasked, AddrWithin, Is, Masked, Within};
pub use targets::{
    ConnmarkSet, CtTo, EcnSet, End, Hops, Log, NatTo, Nflog, Npt, Queue, SetTo, Shift, Target, Tee, Tproxy,
    Zone,
};

use crate::net::Family;
use crate::ruleset::{Expr, TableFamily};

/// A match or a target of iptables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Xt {
    /// Decides whether the rule goes on.
    Match(Match),
    /// Does something, and may end the walk.
    Target(Target),
}

/// The match or target in an expression; none if the expression is something else.
///
/// The family of the table belongs to the reading: the same bytes under the same name mean other things in `ip`
/// and `ip6` tables. Extensions with addresses stay unknown in `inet` tables (iptables makes none), and all
/// extensions do in those of bridges, ARP and devices, where the same names are other modules.
#[must_use]
pub fn read(expr: &Expr, family: TableFamily) -> Option<Xt> {
    let Expr::Unknown { name, data } = expr else { return None };
    let is_match = match name.as_str() {
        "match" => true,
        "target" => false,
        _ => return None,
    };
    let extension = Extension::read(data);
    let shape = match family {
        TableFamily::Ip => Some(Shape { revision: extension.revision, family: Some(Family::V4) }),
        TableFamily::Ip6 => Some(Shape { revision: extension.revision, family: Some(Family::V6) }),
        TableFamily::Inet => Some(Shape { revision: extension.revision, family: None }),
        _ => None,
    };
    let Extension { name, revision, info } = extension;
    let data = || info.to_vec();
    Some(if is_match {
        let known = shape.and_then(|shape| matches::known(&name, shape, info));
        Xt::Match(known.unwrap_or_else(|| Match::Unknown { data: data(), name, revision }))
    } else {
        let known = shape.and_then(|shape| targets::known(&name, shape, info));
        Xt::Target(known.unwrap_or_else(|| Target::Unknown { data: data(), name, revision }))
    })
}

/// The name of the match or target in an expression, known or not; none if the expression is something else.
#[must_use]
pub fn name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Unknown { name, data } if matches!(name.as_str(), "match" | "target") => {
            Some(Extension::read(data).name)
        }
        _ => None,
    }
}

/// What decides how a structure is read, besides its name.
#[derive(Clone, Copy)]
struct Shape {
    revision: u32,
    /// None in `inet` tables.
    family: Option<Family>,
}

/// `NFTA_MATCH_*` and `NFTA_TARGET_*` have the same numbers.
mod attribute {
    pub(super) const NAME: u16 = 1;
    pub(super) const REV: u16 = 2;
    pub(super) const INFO: u16 = 3;
}

/// The attributes of an expression; what is missing or cut is empty, which no extension is.
#[derive(Default)]
struct Extension<'a> {
    name: String,
    revision: u32,
    info: &'a [u8],
}

impl<'a> Extension<'a> {
    fn read(mut data: &'a [u8]) -> Extension<'a> {
        let mut found = Extension::default();
        while let Some((kind, payload, rest)) = next_attribute(data) {
            match kind {
                attribute::NAME => {
                    let text = payload.strip_suffix(&[0]).unwrap_or(payload);
                    found.name = String::from_utf8_lossy(text).into_owned();
                }
                attribute::REV => {
                    // A revision of another length is none that is known.
                    found.revision = payload.try_into().map_or(u32::MAX, u32::from_be_bytes);
                }
                attribute::INFO => found.info = payload,
                _ => {}
            }
            data = rest;
        }
        found
    }
}

/// A netlink attribute: length with the header and kind in host order, payload, filled up to four bytes.
fn next_attribute(data: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    const HEADER: usize = 4;
    const KIND: u16 = 0x3fff;
    let (header, _) = data.split_first_chunk::<HEADER>()?;
    let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
    let kind = u16::from_ne_bytes([header[2], header[3]]) & KIND;
    let payload = data.get(HEADER..len)?;
    Some((kind, payload, data.get(len.next_multiple_of(HEADER)..).unwrap_or_default()))
}
