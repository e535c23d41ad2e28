//! Conditions on the header of IP, and those on bytes that are only asked about.

use super::super::lower::{BYTES, Lowering};
use super::{inverted, network};
use crate::ruleset::exthdr;
use crate::space::{Field, Pred};
use crate::xt::{AddrWithin, Ecn, Iprange, Masked, Match};
use std::net::IpAddr;

impl Lowering<'_, '_, '_> {
    /// The TOS byte, or the traffic class, which lies across two bytes.
    pub(super) fn dsfield(&mut self, of: Masked<u8>) -> Pred {
        if self.is_v4() {
            return self.masked(&network(1), of);
        }
        if of.value & !of.mask != 0 {
            return Pred::Const(of.invert);
        }
        let part = |value, mask| Masked { value, mask, invert: false };
        let upper = self.masked(&network(0), part(of.value >> 4, of.mask >> 4));
        let lower = self.masked(&network(1), part(of.value << 4, of.mask << 4));
        inverted(Pred::all([upper, lower]), of.invert)
    }

    pub(super) fn ecn(&mut self, of: Ecn) -> Pred {
        const TCP: u32 = 20;
        let mut all = Vec::new();
        if let Some(ip) = of.ip {
            all.push(self.dsfield(Masked { value: ip.value, mask: 3, invert: ip.invert }));
        }
        for (wanted, mask) in [(of.ece, 0x40u8), (of.cwr, 0x80)] {
            let Some(wanted) = wanted else { continue };
            let long = self.symbols.transport_reaches(TCP);
            let set = self.masked(&Field::TcpFlags, Masked { value: mask, mask, invert: !wanted });
            let later = self.symbols.terms.flag(&Field::LaterFragment);
            let misread =
                self.shared(&format!("{BYTES}bits {mask:#x} of byte 13 of a fragment are {wanted}"));
            let first = Pred::all([later.clone().negated(), long, set]);
            all.push(Pred::any([first, Pred::all([later, misread])]));
        }
        Pred::all(all)
    }

    pub(super) fn iprange(&mut self, of: &Iprange) -> Pred {
        let source = of.source.map_or(Pred::Const(true), |range| self.addrs(&Field::Source, range));
        let (destination, _) = self.stand.destination();
        let dest = of.dest.map_or(Pred::Const(true), |range| self.addrs(&destination, range));
        Pred::all([source, dest])
    }

    fn addrs(&mut self, field: &Field, range: AddrWithin) -> Pred {
        if range.first.is_ipv4() != self.is_v4() {
            return Pred::Const(false);
        }
        self.within(field, (number(range.first), number(range.last)), range.invert)
    }

    /// A header of IPv6, and what is asked of it; false without, inverted or not.
    pub(super) fn extension(&mut self, kind: u8, found: &Match) -> Pred {
        let there = self.symbols.terms.flag(&Field::HasHeader(exthdr::IPV6, kind));
        let so = self.of_bytes(found);
        Pred::all([there, so])
    }

    /// Something that the bytes of a packet tell, but is asked.
    pub(super) fn of_bytes(&mut self, found: &Match) -> Pred {
        let (upright, invert) = super::memory::upright(found);
        let holds = self.shared(&format!("{BYTES}{upright:?}"));
        inverted(holds, invert)
    }
}

pub(super) fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(four) => four.to_bits().into(),
        IpAddr::V6(six) => six.to_bits(),
    }
}
