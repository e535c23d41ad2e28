//! Conditions on what connection tracking knows; each says what holds for packets without connection.

use super::super::load::{Choices, Loaded};
use super::super::lower::Lowering;
use super::super::symbol::Byte;
use super::{inverted, memory};
use crate::ruleset::{CtDir, CtKey};
use crate::space::{Field, Pred, name_value, state};
use crate::xt::{AddrMasked, Conntrack, Helper, Is, Masked, Match, States, Statuses, Within};
use std::net::IpAddr;

/// `IPS_SRC_NAT`
const SNAT: u128 = 0x10;
/// `IPS_DST_NAT`, which the slice tells.
const DNAT: u32 = 0x20;

impl Lowering<'_, '_, '_> {
    pub(super) fn states(&mut self, of: States) -> Pred {
        if self.stand.early {
            return Pred::Const(of.contains(States::INVALID, 0));
        }
        let values = state::ALL.into_iter().filter(|value| u128::from(of.states) & value != 0);
        let mut any =
            vec![self.symbols.terms.within(&Field::State, values.map(|value| (value, value)).collect())];
        if of.snat {
            let snat = self.symbols.terms.masked(&Field::STATUS, SNAT, SNAT);
            any.push(Pred::all([self.symbols.tracked(self.stand), snat]));
        }
        if of.dnat && self.stand.slice.translated {
            any.push(self.symbols.tracked(self.stand));
        }
        inverted(Pred::any(any), of.invert)
    }

    pub(super) fn conntrack(&mut self, of: &Conntrack, choices: &mut dyn Choices) -> Pred {
        let tracked = self.symbols.tracked(self.stand);
        let mut all = Vec::new();
        if let Some(direction) = of.direction {
            let value = u128::from(direction == CtDir::Reply);
            all.push(self.symbols.terms.equals(&Field::Direction, value));
        }
        if let Some(proto) = of.proto {
            all.push(self.proto(proto, choices));
        }
        let (original, reply) = (CtDir::Original, CtDir::Reply);
        for (addr, key, dir) in [
            (of.orig_source, CtKey::Src, original),
            (of.orig_dest, CtKey::Dst, original),
            (of.reply_source, CtKey::Src, reply),
            (of.reply_dest, CtKey::Dst, reply),
        ] {
            let Some(addr) = addr else { continue };
            let loaded = self.symbols.ct(self.stand, key, Some(dir), choices);
            all.push(self.addr(&loaded, addr));
        }
        for (port, key, dir) in [
            (of.orig_sport, CtKey::ProtoSrc, original),
            (of.orig_dport, CtKey::ProtoDst, original),
            (of.reply_sport, CtKey::ProtoSrc, reply),
            (of.reply_dport, CtKey::ProtoDst, reply),
        ] {
            let Some(Within { first, last, invert }) = port else { continue };
            let loaded = self.symbols.ct(self.stand, key, Some(dir), choices);
            all.push(self.number(&loaded.bytes, Within { first: first.into(), last: last.into(), invert }));
        }
        if let Some(status) = of.status {
            all.push(self.status(status));
        }
        if let Some(Within { first, last, invert }) = of.expires {
            let within = self.anew(&format!("the connection ends in {first} to {last} s"));
            all.push(inverted(within, invert));
        }
        match of.states {
            // Without a connection the state alone decides.
            Some(states) => {
                all.push(Pred::Const(true));
                let rest = Pred::any([tracked.negated(), Pred::all(all)]);
                Pred::all([self.states(states), rest])
            }
            None => Pred::all([tracked, Pred::all(all)]),
        }
    }

    fn proto(&mut self, of: Is<u16>, choices: &mut dyn Choices) -> Pred {
        let loaded = self.symbols.ct(self.stand, CtKey::Protocol, None, choices);
        let value = of.value.into();
        self.number(&loaded.bytes, Within { first: value, last: value, invert: of.invert })
    }

    fn addr(&mut self, loaded: &Loaded, of: AddrMasked) -> Pred {
        if of.addr.is_ipv4() != self.is_v4() {
            return Pred::Const(false);
        }
        let (addr, mask) = (octets(of.addr), octets(of.mask));
        let mut bytes = loaded.bytes.clone();
        for (byte, mask) in bytes.iter_mut().zip(&mask) {
            match byte {
                Byte::Of { and, .. } => *and &= mask,
                Byte::Known(value) => *value &= mask,
                Byte::Mapped(..) | Byte::Opaque(..) => {}
            }
        }
        let wanted: Vec<u8> = addr.iter().zip(&mask).map(|(addr, mask)| addr & mask).collect();
        let equal = match self.symbols.equal(&bytes, &wanted) {
            Some(pred) => pred,
            None => {
                let words = super::super::lookup::describe(&loaded.bytes);
                self.shared(&format!("{words} & {} == {}", of.mask, of.addr))
            }
        };
        inverted(equal, of.invert)
    }

    fn status(&mut self, of: Statuses) -> Pred {
        let translated = of.bits & DNAT != 0 && self.stand.slice.translated;
        let none = self.symbols.terms.masked(&Field::STATUS, u128::from(of.bits & !DNAT), 0);
        inverted(Pred::any([Pred::Const(translated), none.negated()]), of.invert)
    }

    pub(super) fn connmark(&mut self, of: Masked<u32>) -> Pred {
        let tracked = self.symbols.tracked(self.stand);
        let equal = self.masked(&Field::CT_MARK, of);
        Pred::all([tracked, equal])
    }

    pub(super) fn connlabel(&mut self, found: &Match, invert: bool) -> Pred {
        let (upright, _) = memory::upright(found);
        let set = self.anew(&format!("{upright:?}"));
        let tracked = self.symbols.tracked(self.stand);
        inverted(Pred::all([tracked, set]), invert)
    }

    pub(super) fn connbytes(&mut self, found: &Match) -> Pred {
        let counted = self.shared("the connection is counted");
        let holds = self.asked(found);
        let tracked = self.symbols.tracked(self.stand);
        Pred::all([tracked, counted, holds])
    }

    /// The helper's name must be the beginning of the text.
    pub(super) fn helper(&mut self, of: &Helper) -> Pred {
        const LONGEST: usize = 15;
        let loaded = self.symbols.ct(self.stand, CtKey::Helper, None, &mut super::NoChoice);
        let named = if of.name.is_empty() {
            Pred::Const(true)
        } else {
            let ends = (1..=of.name.len().min(LONGEST)).filter_map(|end| of.name.get(..end));
            let values = ends.map(name_value).map(|value| (value, value)).collect();
            self.symbols.terms.within(&Field::HELPER, values)
        };
        inverted(Pred::all([loaded.if_so, named]), of.invert)
    }
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}
