//! Conditions on what the host knows of a packet besides: devices, routes, sockets.

use super::super::lower::Lowering;
use super::inverted;
use crate::ruleset::{FibResult, MetaKey, PayloadBase};
use crate::space::{Field, Pred};
use crate::xt::{
    AddrTypes, Addrtype, Cgroup, Devgroup, IfName, Is, Mac, Owner, Physdev, Policy, Side, Socket, Within,
};

/// Flags of `nft_fib` (`NFTA_FIB_F_*`).
mod fib {
    pub(super) const SOURCE: u32 = 1;
    pub(super) const DEST: u32 = 2;
    pub(super) const IIF: u32 = 8;
    pub(super) const OIF: u32 = 16;
}

impl Lowering<'_, '_, '_> {
    pub(super) fn addrtype(&mut self, of: &Addrtype) -> Pred {
        let on = match of.on {
            None => 0,
            Some(Side::In) => fib::IIF,
            Some(Side::Out) => fib::OIF,
        };
        let (destination, _) = self.stand.destination();
        let mut all = Vec::new();
        for (types, field, flag) in
            [(of.source, Field::Source, fib::SOURCE), (of.dest, destination, fib::DEST)]
        {
            let Some(types) = types else { continue };
            let route = Field::Fib(FibResult::AddrType, flag | on);
            all.push(if self.is_v4() {
                self.types4(types, &route)
            } else {
                self.types6(types, &field, &route)
            });
        }
        Pred::all(all)
    }

    fn types4(&mut self, of: AddrTypes, route: &Field) -> Pred {
        let values = (0..16u32).filter(|kind| of.types >> kind & 1 != 0);
        let values = values.map(|kind| (kind.into(), kind.into())).collect();
        inverted(self.symbols.terms.within(route, values), of.invert)
    }

    /// Some of the types are those of the address by itself; the route is asked for the others.
    fn types6(&mut self, of: AddrTypes, field: &Field, route: &Field) -> Pred {
        const UNSPECIFIED: u16 = 1;
        const UNICAST: u16 = 2;
        const LOCAL: u16 = 4;
        const ANYCAST: u16 = 16;
        const MULTICAST: u16 = 32;
        const UNREACHABLE: u16 = 128;
        /// What is mapped from IPv4 counts as no kind.
        const MAPPED: (u128, u128) = (0xffff << 32, 0xffff << 32 | 0xffff_ffff);
        const FIRST_MULTICAST: u128 = 0xff << 120;
        let asks = |bits| of.types & bits != 0;
        let terms = &mut *self.symbols.terms;
        let mut all = Vec::new();
        if asks(MULTICAST) {
            all.push(terms.within(field, vec![(FIRST_MULTICAST, u128::MAX)]));
        }
        if asks(UNICAST) {
            let ranges = vec![(1, MAPPED.0 - 1), (MAPPED.1 + 1, FIRST_MULTICAST - 1)];
            all.push(terms.within(field, ranges));
        }
        if asks(UNSPECIFIED) {
            all.push(terms.within(field, vec![(0, 0), MAPPED]));
        }
        if asks(LOCAL | ANYCAST | UNREACHABLE) {
            let mut values = Vec::new();
            for (bit, first, last) in [(LOCAL, 2, 2), (ANYCAST, 4, 4), (UNREACHABLE, 6, 9)] {
                if asks(bit) {
                    values.push((first, last));
                }
            }
            all.push(terms.within(route, values));
        }
        inverted(Pred::all(all), of.invert)
    }

    /// Without Ethernet header false, inverted or not.
    pub(super) fn mac(&mut self, of: Mac) -> Pred {
        const ETHERNET: u128 = 1;
        const HEADER: u32 = 14;
        let terms = &mut *self.symbols.terms;
        let device = terms.flag(&Field::HasMeta(MetaKey::Iiftype));
        let kind = terms.equals(&Field::Meta(MetaKey::Iiftype), ETHERNET);
        let there = terms.flag(&Field::Reaches(PayloadBase::Link, HEADER));
        let bytes = (6..12u32).zip(of.source.value);
        let equal: Vec<Pred> =
            bytes.map(|(at, byte)| terms.equals(&Field::Byte(PayloadBase::Link, at), byte.into())).collect();
        Pred::all([device, kind, there, inverted(Pred::all(equal), of.source.invert)])
    }

    pub(super) fn length(&mut self, of: Within<u32>) -> Pred {
        self.within(&Field::Meta(MetaKey::Len), (of.first, of.last), of.invert)
    }

    pub(super) fn pkttype(&mut self, of: Is<u32>) -> Pred {
        self.within(&Field::Meta(MetaKey::Pkttype), (of.value, of.value), of.invert)
    }

    pub(super) fn cpu(&mut self, of: Is<u32>) -> Pred {
        self.within(&Field::Meta(MetaKey::Cpu), (of.value, of.value), of.invert)
    }

    pub(super) fn devgroup(&mut self, of: &Devgroup) -> Pred {
        let mut all = Vec::new();
        for (group, key) in [(of.input, MetaKey::Iifgroup), (of.output, MetaKey::Oifgroup)] {
            let Some(group) = group else { continue };
            all.push(self.symbols.meta(self.stand, key).if_so);
            all.push(self.masked(&Field::Meta(key), group));
        }
        Pred::all(all)
    }

    pub(super) fn cgroup(&mut self, of: &Cgroup) -> Pred {
        let socket = self.symbols.terms.flag(&Field::HasMeta(MetaKey::Cgroup));
        let holds = match of {
            Cgroup::Class(Is { value, invert }) => {
                self.within(&Field::Meta(MetaKey::Cgroup), (*value, *value), *invert)
            }
            Cgroup::Path(Is { value, invert }) => {
                let within = self.shared(&format!("its socket is of the control group {value}"));
                inverted(within, *invert)
            }
        };
        Pred::all([socket, holds])
    }

    /// A socket that no process has open is one of the kernel; without it there is no owner either.
    pub(super) fn owner(&mut self, of: &Owner) -> Pred {
        let owned = self.symbols.meta(self.stand, MetaKey::Skuid).if_so;
        let nobodys = self.shared("a socket of the kernel sent it");
        let mut all = vec![Pred::Const(of.socket != Some(false))];
        if let Some(uid) = of.uid {
            all.push(self.within(&Field::User, (uid.first, uid.last), uid.invert));
        }
        if let Some(Within { first, last, invert }) = of.gid {
            let mut within = vec![self.within(&Field::Group, (first, last), false)];
            if of.groups {
                within.push(self.shared(&format!("the sender is of a group from {first} to {last} too")));
            }
            all.push(inverted(Pred::any(within), invert));
        }
        all.push(owned.clone());
        let without = match (of.with_socket(None), of.without_socket()) {
            (true, true) => Pred::Const(true),
            (true, false) => nobodys,
            (false, true) => nobodys.negated(),
            (false, false) => Pred::Const(false),
        };
        Pred::any([Pred::all(all), Pred::all([owned.negated(), without])])
    }

    /// The ports of a bridge by which a packet comes and leaves are asked, as no packet tells them.
    pub(super) fn physdev(&mut self, of: &Physdev) -> Pred {
        let seen = self.shared("a bridge has seen it");
        let has_in = Pred::all([seen.clone(), self.shared("it came by a port of a bridge")]);
        let has_out = Pred::all([seen.clone(), self.shared("it leaves by a port of a bridge")]);
        let mut all = Vec::new();
        for (wanted, there) in [(of.is_in, &has_in), (of.is_out, &has_out), (of.is_bridged, &has_out)] {
            if let Some(wanted) = wanted {
                all.push(inverted(there.clone(), !wanted));
            }
        }
        if let Some(name) = &of.input {
            let named = self.port_named("came", &name.value);
            // What a bridge has seen without a port where it came in passes.
            let bridged = Pred::any([has_in.clone().negated(), inverted(named, name.invert)]);
            all.push(without_bridge(&seen, bridged, name.invert));
        }
        if let Some(name) = &of.output {
            let named = self.port_named("leaves", &name.value);
            let bridged = Pred::all([has_out, inverted(named, name.invert)]);
            all.push(without_bridge(&seen, bridged, name.invert));
        }
        Pred::all(all)
    }

    fn port_named(&mut self, what: &str, of: &IfName) -> Pred {
        let end = if of.prefix { "+" } else { "" };
        self.shared(&format!("it {what} by the port {}{end} of a bridge", of.name))
    }

    pub(super) fn policy(&mut self, of: &Policy) -> Pred {
        let what = match of.side {
            Side::In => "IPsec has transformed it",
            Side::Out => "IPsec is to transform it",
        };
        let some = self.shared(what);
        if of.none {
            return some.negated();
        }
        let strict = if of.strict { "exactly" } else { "also" };
        let like = self.shared(&format!("{what}, {strict} like {:?}", of.elements));
        Pred::all([some, like])
    }

    pub(super) fn socket(&mut self, of: Socket) {
        let kind = if of.transparent { "transparent socket" } else { "socket" };
        let also = if of.wildcard { ", or one for every address" } else { "" };
        let there = self.shared(&format!("it has a {kind}{also}"));
        self.test(there);
        if of.sets_mark {
            self.forget_mark();
        }
    }
}

/// What a bridge has not seen has no port: the condition holds only if inverted.
fn without_bridge(seen: &Pred, bridged: Pred, invert: bool) -> Pred {
    let with = Pred::all([seen.clone(), bridged]);
    Pred::any([with, Pred::all([seen.clone().negated(), Pred::Const(invert)])])
}
