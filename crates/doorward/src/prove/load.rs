//! What loads put into registers: fields of packets and connections, and what a load needs to succeed.
//!
//! Semantics as in `net/netfilter/nft_meta.c`, `nft_payload.c`, `nft_ct.c`, `nft_exthdr.c` and `nft_fib.c`.

use super::symbol::{Byte, Symbols, host_order, known, network_order};
use crate::net::Family;
use crate::ruleset::{CtDir, CtKey, Fib, FibResult, Hook, MetaKey, PayloadBase, exthdr};
use crate::space::{Field, Pred, state};
use std::sync::Arc;

/// Where a packet is: decides what is there to be loaded.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slice {
    /// The hook.
    pub hook: Hook,
    /// Whether somebody translated the destination of the connection.
    pub translated: bool,
    /// Whether chains of type `nat` are meant, which see first packets of connections only, and no others.
    pub nat: bool,
}

/// What packets and kernels may be like where a proof takes it for granted that they are not.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Odd {
    /// Packets may end within their transport headers.
    pub cut_off: bool,
    /// The kernel reads transport headers out of later fragments, as up to Linux 6.18 (`nft_payload_fast_eval`).
    pub misread: bool,
}

/// Where a chain stands in its hook.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Stand {
    pub(super) slice: Slice,
    /// Before connection tracking (priority -200): nothing is known of connections.
    pub(super) early: bool,
    /// Before destination NAT (priority -100): the packet is as the opener sent it.
    pub(super) untranslated: bool,
}

impl Stand {
    pub(super) fn of(slice: Slice, priority: i32) -> Stand {
        const CONNTRACK: i32 = -200;
        const DESTINATION_NAT: i32 = -100;
        let first = matches!(slice.hook, Hook::Prerouting | Hook::Output);
        let ingress = slice.hook == Hook::Ingress;
        Stand {
            slice,
            early: ingress || first && priority < CONNTRACK,
            untranslated: ingress || first && priority < DESTINATION_NAT,
        }
    }

    /// The fields in which the destination address and port of a packet are found here.
    pub(super) fn destination(self) -> (Field, Field) {
        if self.slice.translated && self.untranslated {
            (Field::AddressedTo, Field::AddressedPort)
        } else {
            (Field::Destination, Field::Port)
        }
    }
}

/// What a load yields.
pub(super) struct Loaded {
    /// What must hold for it to succeed; else the rule does not match.
    pub(super) if_so: Pred,
    pub(super) bytes: Vec<Byte>,
}

/// Two ways to go on; the rule is lowered once for each.
pub(super) trait Choices {
    /// Whether this holds in the way that is being lowered.
    fn choose(&mut self, condition: Pred) -> bool;
}

impl Loaded {
    fn always(bytes: Vec<Byte>) -> Loaded {
        Loaded { if_so: Pred::Const(true), bytes }
    }
}

/// Protocols whose ports conntrack keeps where TCP has them: TCP, UDP, SCTP. Of DCCP and UDP-Lite it does so in some
/// kernels only: newer ones have no trackers for them, and keep 0.
const WITH_PORTS: [u128; 3] = [6, 17, 132];

impl Symbols<'_, '_> {
    fn field(&self, field: Field) -> Vec<Byte> {
        let width = field.width(self.terms.family());
        network_order(field, width)
    }

    pub(super) fn meta(&mut self, stand: Stand, key: MetaKey) -> Loaded {
        let slice = stand.slice;
        let arrives = matches!(slice.hook, Hook::Ingress | Hook::Prerouting | Hook::Input | Hook::Forward);
        let leaves = matches!(slice.hook, Hook::Forward | Hook::Output | Hook::Postrouting);
        let four = self.terms.family() == Family::V4;
        let bytes = match key {
            MetaKey::L4proto => self.field(Field::Protocol),
            MetaKey::Nfproto => known(&[if four { 2 } else { 10 }]),
            MetaKey::Protocol => known(if four { &[0x08, 0x00] } else { &[0x86, 0xdd] }),
            MetaKey::Iifname if arrives => self.field(Field::Iif),
            MetaKey::Oifname if leaves => self.field(Field::Oif),
            // Without a device the name is empty and the index 0.
            MetaKey::Iifname | MetaKey::Oifname => known(&[0; 16]),
            MetaKey::Iif if !arrives => known(&[0; 4]),
            MetaKey::Oif if !leaves => known(&[0; 4]),
            MetaKey::Iifkind | MetaKey::Oifkind => {
                let there = if key == MetaKey::Iifkind { arrives } else { leaves };
                if !there {
                    return Loaded { if_so: Pred::Const(false), bytes: known(&[0; 16]) };
                }
                // Of an interface without a kind nothing is loaded.
                let if_so = self.terms.equals(&Field::Meta(key), 0).negated();
                return Loaded { if_so, bytes: self.field(Field::Meta(key)) };
            }
            MetaKey::Skuid | MetaKey::Skgid => {
                let field = if key == MetaKey::Skuid { Field::User } else { Field::Group };
                let if_so = match slice.hook {
                    Hook::Output | Hook::Postrouting => self.terms.flag(&Field::HasOwner),
                    // A socket of this host is looked up for what arrives only by some devices.
                    _ => self.terms.flag(&Field::HasMeta(key)),
                };
                return Loaded { if_so, bytes: host_order(self.field(field)) };
            }
            MetaKey::Iifgroup | MetaKey::Oifgroup | MetaKey::Iiftype | MetaKey::Oiftype => {
                let if_so = self.terms.flag(&Field::HasMeta(key));
                return Loaded { if_so, bytes: host_order(self.field(Field::Meta(key))) };
            }
            MetaKey::Pkttype | MetaKey::Nftrace => self.field(Field::Meta(key)),
            MetaKey::BriIifname | MetaKey::BriOifname => {
                let if_so = self.terms.flag(&Field::HasMeta(key));
                return Loaded { if_so, bytes: self.field(Field::Meta(key)) };
            }
            MetaKey::Cgroup => {
                // Without a socket there is none.
                let if_so = self.terms.flag(&Field::HasMeta(key));
                return Loaded { if_so, bytes: host_order(self.field(Field::Meta(key))) };
            }
            MetaKey::Len | MetaKey::Priority | MetaKey::Mark | MetaKey::Iif | MetaKey::Oif | MetaKey::Cpu => {
                host_order(self.field(Field::Meta(key)))
            }
            MetaKey::Other(_) => {
                let if_so = self.terms.flag(&Field::HasMeta(key));
                let words: Arc<str> = format!("meta key {}", key.number()).into();
                return Loaded { if_so, bytes: (0..16).map(|at| Byte::Opaque(words.clone(), at)).collect() };
            }
        };
        Loaded::always(bytes)
    }

    pub(super) fn payload(
        &mut self,
        stand: Stand,
        base: PayloadBase,
        offset: u32,
        len: u32,
        choices: &mut dyn Choices,
    ) -> Loaded {
        let end = offset.saturating_add(len);
        let four = self.terms.family() == Family::V4;
        let (destination, port) = stand.destination();
        let (if_so, named): (Pred, Vec<(u32, Field)>) = match base {
            PayloadBase::Network if four => (
                self.reaches(base, end, 20),
                vec![(9, Field::Protocol), (12, Field::Source), (16, destination)],
            ),
            PayloadBase::Network => {
                let mut named = vec![(8, Field::Source), (24, destination)];
                // The next header is the protocol unless there are headers between.
                let plain = (offset..end).contains(&6) && {
                    let direct = self.terms.flag(&Field::Unknown(super::point::EXTENDED.to_owned()));
                    choices.choose(direct.negated())
                };
                if plain {
                    named.push((6, Field::Protocol));
                }
                (self.reaches(base, end, 40), named)
            }
            PayloadBase::Transport => {
                let mut whole = self.terms.flag(&Field::LaterFragment).negated();
                // Short loads within words forget to look. In IPv6 they know no place of a transport header and
                // read from the start of the packet.
                if self.odd.misread && matches!(len, 1 | 2 | 4) && offset.is_multiple_of(len) {
                    if four {
                        whole = Pred::Const(true);
                    } else if !choices.choose(whole.clone()) {
                        if choices.choose(whole.negated()) {
                            return self.payload(stand, PayloadBase::Network, offset, len, choices);
                        }
                        // Too many ways are told apart already.
                        let words: Arc<str> = "bytes of a later fragment, or not".into();
                        let if_so = self.unknown(&words);
                        let places = 0..u8::try_from(len).unwrap_or(0);
                        let bytes = places.map(|at| Byte::Opaque(words.clone(), at)).collect();
                        return Loaded { if_so, bytes };
                    }
                }
                let long = self.transport_reaches(end);
                let named = vec![(0, Field::SourcePort), (2, port), (13, Field::TcpFlags)];
                (Pred::all([whole, long]), named)
            }
            _ => (self.reaches(base, end, 0), Vec::new()),
        };
        let bytes = (offset..end)
            .map(|at| {
                for (start, field) in &named {
                    let bytes = field.width(self.terms.family()) / 8;
                    if (*start..start + bytes).contains(&at) {
                        let shift = u8::try_from((bytes - 1 - (at - start)) * 8).unwrap_or(0);
                        return Byte::Of { field: Arc::new(field.clone()), shift, and: 0xff, xor: 0 };
                    }
                }
                let field = Arc::new(Field::Byte(base, at));
                Byte::Of { field, shift: 0, and: 0xff, xor: 0 }
            })
            .collect();
        Loaded { if_so, bytes }
    }

    /// Whether a header has so many bytes, of which some are always there.
    fn reaches(&mut self, base: PayloadBase, end: u32, always: u32) -> Pred {
        if end <= always { Pred::Const(true) } else { self.terms.flag(&Field::Reaches(base, end)) }
    }

    /// Every transport header has 8 bytes, that of TCP 20, unless packets may be cut off.
    pub(super) fn transport_reaches(&mut self, end: u32) -> Pred {
        const SHORTEST: u32 = 8;
        const TCP: (u128, u32) = (6, 20);
        if end <= SHORTEST && !self.odd.cut_off {
            return Pred::Const(true);
        }
        let long = self.terms.flag(&Field::Reaches(PayloadBase::Transport, end));
        if end > TCP.1 || self.odd.cut_off {
            return long;
        }
        Pred::any([self.terms.equals(&Field::Protocol, TCP.0), long])
    }

    /// Whether conntrack has an entry; without one nothing but the state can be loaded.
    pub(super) fn tracked(&mut self, stand: Stand) -> Pred {
        if stand.early {
            return Pred::Const(false);
        }
        let without = vec![(state::INVALID, state::INVALID), (state::UNTRACKED, state::UNTRACKED)];
        self.terms.within(&Field::State, without).negated()
    }

    pub(super) fn ct(
        &mut self,
        stand: Stand,
        key: CtKey,
        dir: Option<CtDir>,
        choices: &mut dyn Choices,
    ) -> Loaded {
        if stand.early {
            let if_so = Pred::Const(key == CtKey::State);
            let invalid = host_order(known(&[0, 0, 0, 1]));
            return Loaded { if_so, bytes: if key == CtKey::State { invalid } else { known(&[0; 16]) } };
        }
        let slice = stand.slice;
        if key == CtKey::State {
            let mut bytes = known(&[0; 3]);
            bytes.extend(self.field(Field::State));
            return Loaded::always(host_order(bytes));
        }
        let tracked = self.tracked(stand);
        let bytes = match key {
            CtKey::Direction => self.field(Field::Direction),
            CtKey::Status => {
                let mut bytes = self.field(Field::STATUS);
                const DNAT: u8 = 0x20;
                if let Some(Byte::Of { and, xor, .. }) = bytes.last_mut() {
                    *and &= !DNAT;
                    *xor |= if slice.translated { DNAT } else { 0 };
                }
                host_order(bytes)
            }
            CtKey::Helper => {
                // Only a connection that another one announced has one that can be loaded.
                let there = self.terms.flag(&Field::HasCt(key, None));
                let bytes = self.field(Field::HELPER);
                return Loaded { if_so: Pred::all([tracked, there]), bytes };
            }
            CtKey::L3protocol => known(&[if self.terms.family() == Family::V4 { 2 } else { 10 }]),
            CtKey::Protocol => {
                let error = self.icmp_error();
                let field = if choices.choose(error) { Field::Ct(key, None) } else { Field::Protocol };
                self.field(field)
            }
            CtKey::Src | CtKey::SrcIp | CtKey::SrcIp6 | CtKey::Dst | CtKey::DstIp | CtKey::DstIp6 => {
                return self.tuple_address(slice, key, dir, tracked, choices);
            }
            CtKey::ProtoSrc | CtKey::ProtoDst => return self.tuple_port(slice, key, dir, tracked, choices),
            CtKey::Mark | CtKey::Secmark | CtKey::Expiration | CtKey::Eventmask | CtKey::Id => {
                host_order(self.field(Field::Ct(key, dir)))
            }
            CtKey::Zone => host_order(self.field(Field::Ct(key, dir))),
            _ => self.field(Field::Ct(key, dir)),
        };
        Loaded { if_so: tracked, bytes }
    }

    /// Whether the packet is an error of ICMP: its connection is that of what it is about, which has another
    /// protocol and other ends than the packet.
    fn icmp_error(&mut self) -> Pred {
        // Type and code stand where others have the source port.
        let (protocol, types) = match self.terms.family() {
            Family::V4 => (1, vec![(0x0300, 0x05ff), (0x0b00, 0x0cff)]),
            Family::V6 => (58, vec![(0, 0x7fff)]),
        };
        let related = self.terms.equals(&Field::State, state::RELATED);
        let icmp = self.terms.equals(&Field::Protocol, protocol);
        Pred::all([related, icmp, self.terms.within(&Field::SourcePort, types)])
    }

    /// An address of the connection. Of what opens one these are the packet's own, but for a translated end.
    fn tuple_address(
        &mut self,
        slice: Slice,
        key: CtKey,
        dir: Option<CtDir>,
        tracked: Pred,
        choices: &mut dyn Choices,
    ) -> Loaded {
        let source = matches!(key, CtKey::Src | CtKey::SrcIp | CtKey::SrcIp6);
        let other_family = match self.terms.family() {
            Family::V4 => matches!(key, CtKey::SrcIp6 | CtKey::DstIp6),
            Family::V6 => matches!(key, CtKey::SrcIp | CtKey::DstIp),
        };
        if other_family {
            return Loaded { if_so: Pred::Const(false), bytes: known(&[0; 16]) };
        }
        // What a table of one family calls so, one of both families calls by the family.
        let key = match (self.terms.family(), source) {
            (Family::V4, true) => CtKey::SrcIp,
            (Family::V4, false) => CtKey::DstIp,
            (Family::V6, true) => CtKey::SrcIp6,
            (Family::V6, false) => CtKey::DstIp6,
        };
        let field = if slice.translated && dir == Some(CtDir::Original) && !source {
            Field::AddressedTo
        } else {
            let first = self.terms.equals(&Field::Direction, 0);
            let error = self.icmp_error();
            let opening = choices.choose(Pred::all([first, error.negated()]));
            match (opening, dir, source) {
                (true, Some(CtDir::Original), true) => Field::Source,
                // A reply is expected back from where the packet goes now.
                (true, Some(CtDir::Original), false) | (true, Some(CtDir::Reply), true) => Field::Destination,
                _ => Field::Ct(key, dir),
            }
        };
        let bytes = self.field(field);
        let len = usize::from(self.terms.family().bits() / 8);
        Loaded { if_so: tracked, bytes: bytes[bytes.len().saturating_sub(len)..].to_vec() }
    }

    fn tuple_port(
        &mut self,
        slice: Slice,
        key: CtKey,
        dir: Option<CtDir>,
        tracked: Pred,
        choices: &mut dyn Choices,
    ) -> Loaded {
        if slice.translated && dir == Some(CtDir::Original) && key == CtKey::ProtoDst {
            return Loaded { if_so: tracked, bytes: self.field(Field::AddressedPort) };
        }
        let with_ports = WITH_PORTS.iter().map(|proto| (*proto, *proto)).collect();
        let has_ports = self.terms.within(&Field::Protocol, with_ports);
        let first = self.terms.equals(&Field::Direction, 0);
        let plain = choices.choose(Pred::all([first, has_ports]));
        let field = match (plain, dir, key) {
            (true, Some(CtDir::Original), CtKey::ProtoSrc) => Field::SourcePort,
            (true, Some(CtDir::Original), _) | (true, Some(CtDir::Reply), CtKey::ProtoSrc) => Field::Port,
            _ => Field::Ct(key, dir),
        };
        Loaded { if_so: tracked, bytes: self.field(field) }
    }

    pub(super) fn exthdr(&mut self, header: u8, offset: u32, len: u32, flags: u32, op: u32) -> Loaded {
        if op == exthdr::IPV6 && self.terms.family() == Family::V4
            || op == exthdr::IPV4 && self.terms.family() == Family::V6
        {
            return Loaded { if_so: Pred::Const(false), bytes: known(&[0]) };
        }
        let there = Field::HasHeader(op, header);
        if flags & exthdr::PRESENT != 0 {
            return Loaded::always(self.field(there));
        }
        let if_so = self.terms.flag(&there);
        Loaded { if_so, bytes: self.field(Field::Header(op, header, offset, len)) }
    }

    pub(super) fn fib(&mut self, fib: Fib) -> Loaded {
        /// Load only whether there is a route.
        const PRESENT: u32 = 32;
        if fib.flags & PRESENT != 0 {
            let field = Field::Fib(fib.result, fib.flags);
            return Loaded::always(self.field(field).split_off(3));
        }
        let bytes = self.field(Field::Fib(fib.result, fib.flags));
        match fib.result {
            FibResult::Oifname => {
                let words: Arc<str> = format!("fib {} oifname", fib.flags).into();
                Loaded::always((0..16).map(|at| Byte::Opaque(words.clone(), at)).collect())
            }
            _ => Loaded::always(host_order(bytes)),
        }
    }
}
