//! Matches on what the host knows of the packet, as far as the packet brings it along; none where it does not.

use super::Look;
use crate::ruleset::FibResult;
use crate::trace::Device;
use crate::xt::{AddrTypes, Addrtype, Devgroup, Mac, Masked, Owner, Side};
use std::net::IpAddr;

impl Look<'_> {
    pub(super) fn addrtype(&self, of: &Addrtype) -> Option<bool> {
        let on = match of.on {
            None => 0,
            Some(Side::In) => 8,
            Some(Side::Out) => 16,
        };
        let (source, dest) = self.addrs();
        let source = of.source.map_or(Some(true), |types| self.is_of(types, source, 1 | on));
        let dest = of.dest.map_or(Some(true), |types| self.is_of(types, dest, 2 | on));
        match (source, dest) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    fn is_of(&self, of: AddrTypes, addr: Option<IpAddr>, flags: u32) -> Option<bool> {
        let known = self.packet.fib.iter();
        let mut known = known.filter(|(result, asked, _)| (*result, *asked) == (FibResult::AddrType, flags));
        let route = known.next().map(|(.., kind)| *kind);
        let holds = match addr? {
            IpAddr::V4(_) => of.types.checked_shr(route?).unwrap_or(0) & 1 != 0,
            IpAddr::V6(addr) => {
                let mapped = addr.to_ipv4_mapped().is_some();
                let unspecified = addr.is_unspecified() || mapped;
                let unicast = !addr.is_multicast() && !unspecified;
                let itself = [(32, addr.is_multicast()), (2, unicast), (1, unspecified)];
                if itself.iter().any(|(bit, is)| of.types & bit != 0 && !is) {
                    false
                } else if of.types & (4 | 16 | 128) == 0 {
                    true
                } else {
                    match route? {
                        2 => of.types & 4 != 0,
                        4 => of.types & 16 != 0,
                        6..=9 => of.types & 128 != 0,
                        _ => false,
                    }
                }
            }
        };
        Some(holds != of.invert)
    }

    /// Without Ethernet header false, inverted or not.
    pub(super) fn mac(&self, of: Mac) -> Option<bool> {
        let Some(link) = self.ethernet() else { return Some(false) };
        let source: [u8; 6] = link.get(6..12)?.try_into().ok()?;
        Some(of.source.contains(&source))
    }

    /// Without a device false, inverted or not.
    pub(super) fn devgroup(&self, of: &Devgroup) -> Option<bool> {
        let is_of = |group: Option<Masked<u32>>, device: &Option<Device>| match (group, device) {
            (None, _) => Some(true),
            (Some(_), None) => Some(false),
            (Some(group), Some(device)) => device.group.map(|number| group.contains(number)),
        };
        match (is_of(of.input, &self.packet.iif), is_of(of.output, &self.packet.oif)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// Other groups of the owner are not known, nor whether a packet without owner has a socket.
    pub(super) fn owner(&self, of: &Owner) -> Option<bool> {
        let (one, other) = match self.packet.owner {
            None => (of.without_socket(), of.with_socket(None)),
            Some((uid, gid)) => {
                let also = of.gid.map_or(gid, |wanted| wanted.first);
                let with = |others: &[u32]| of.with_socket(Some((uid, gid, others)));
                (with(&[]), with(&[also]))
            }
        };
        (one == other).then_some(one)
    }
}
