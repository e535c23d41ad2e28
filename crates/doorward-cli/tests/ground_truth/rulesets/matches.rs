//! One match of a rule, of every kind that a packet decides; sets and maps are made elsewhere.

use super::Forge;
use crate::code::{
    R0, after, byteorder, cmp, ct, eq, host, immediate, mask, mask_xor, meta, padded, payload, shift,
};
use crate::world::{World, owner};
use doorward::net::Family;
use doorward::ruleset::{
    Bitop, CmpOp, CtDir, CtKey, Expr, Fib, FibResult, Hook, MetaKey, PayloadBase, Reg, TableFamily, exthdr,
};

const OPS: [CmpOp; 6] = [CmpOp::Eq, CmpOp::Neq, CmpOp::Lt, CmpOp::Lte, CmpOp::Gt, CmpOp::Gte];
/// Protocols that packets are made of.
pub(super) const PROTOCOLS: [u8; 8] = [6, 6, 6, 17, 17, 1, 58, 132];

type Kind = fn(&mut Forge<'_>) -> Vec<Expr>;

/// Each kind with its weight.
const KINDS: &[(usize, Kind)] = &[
    (5, |forge| forge.l4proto()),
    (3, |forge| forge.nfproto()),
    (5, |forge| forge.device_by_name()),
    (3, |forge| forge.device_by_index()),
    (4, |forge| forge.packet_mark()),
    (2, |forge| forge.ethertype()),
    (3, |forge| forge.length()),
    (3, |forge| forge.owner()),
    (12, |forge| forge.address()),
    (3, |forge| forge.hops()),
    (2, |forge| forge.protocol_field()),
    (3, |forge| forge.service_byte()),
    (11, |forge| forge.port()),
    (4, |forge| forge.icmp()),
    (4, |forge| forge.tcp_flags()),
    (4, |forge| forge.odd_slice()),
    (2, |forge| forge.inner()),
    (2, |forge| forge.constant()),
    (3, |forge| forge.extension()),
    (3, |forge| forge.fib_type()),
    (17, |forge| forge.member()),
];

/// The same for what connection tracking knows.
const CT_KINDS: &[(usize, Kind)] = &[
    (5, |forge| forge.ct_state()),
    (2, |forge| forge.ct_direction()),
    (3, |forge| forge.ct_status()),
    (3, |forge| forge.ct_mark()),
    (3, |forge| forge.ct_address()),
    (2, |forge| forge.ct_port()),
];

/// Not everything that is compared must be equal, but most.
fn op(forge: &mut Forge<'_>) -> CmpOp {
    if forge.dice.chance(60) { CmpOp::Eq } else { *forge.dice.pick(&OPS) }
}

fn eq_or_not(forge: &mut Forge<'_>) -> CmpOp {
    if forge.dice.chance(70) { CmpOp::Eq } else { CmpOp::Neq }
}

/// A range, seldom the wrong way round: then nothing is within it.
fn range(forge: &mut Forge<'_>, one: Vec<u8>, other: Vec<u8>) -> Expr {
    let (low, high) = if one <= other { (one, other) } else { (other, one) };
    let (from, to) = if forge.dice.chance(12) { (high, low) } else { (low, high) };
    Expr::Range { op: eq_or_not(forge), sreg: R0, from, to }
}

impl Forge<'_> {
    pub(super) fn one_match(&mut self) -> Vec<Expr> {
        let kinds = if self.taste.conntrack && self.dice.chance(22) { CT_KINDS } else { KINDS };
        self.dice.weighted(kinds)(self)
    }

    fn l4proto(&mut self) -> Vec<Expr> {
        let proto = if self.dice.chance(90) { *self.dice.pick(&PROTOCOLS) } else { self.dice.byte() };
        vec![meta(MetaKey::L4proto, R0), cmp(op(self), vec![proto])]
    }

    fn nfproto(&mut self) -> Vec<Expr> {
        let number = *self.dice.pick(&[2, 10]);
        vec![meta(MetaKey::Nfproto, R0), cmp(eq_or_not(self), vec![number])]
    }

    /// Keys that this chain can load; the others are tried as well, seldom.
    fn direction(&mut self, incoming: MetaKey, outgoing: MetaKey) -> MetaKey {
        let usual = match self.hook {
            Some(Hook::Input) => incoming,
            Some(Hook::Output) => outgoing,
            _ => *self.dice.pick(&[incoming, outgoing]),
        };
        if self.dice.chance(5) { *self.dice.pick(&[incoming, outgoing]) } else { usual }
    }

    fn device_by_name(&mut self) -> Vec<Expr> {
        let key = self.direction(MetaKey::Iifname, MetaKey::Oifname);
        let name = self.world.device_name(self.dice);
        let data = if self.dice.chance(35) {
            let letters = self.dice.between(1, name.len());
            name.as_bytes()[..letters].to_vec()
        } else {
            padded(&name)
        };
        vec![meta(key, R0), cmp(eq_or_not(self), data)]
    }

    fn device_by_index(&mut self) -> Vec<Expr> {
        let key = self.direction(MetaKey::Iif, MetaKey::Oif);
        let index = self.world.device_index(self.dice);
        vec![meta(key, R0), cmp(eq_or_not(self), host(index))]
    }

    fn packet_mark(&mut self) -> Vec<Expr> {
        let load = meta(MetaKey::Mark, R0);
        self.number(load)
    }

    /// A number of four bytes in the order of the host: whole, by bits, shifted, or as a number.
    fn number(&mut self, load: Expr) -> Vec<Expr> {
        let value = self.world.mark(self.dice);
        match self.dice.below(6) {
            0 | 1 => vec![load, cmp(eq_or_not(self), host(value))],
            2 => {
                let bits = *self.dice.pick(&[1, 3, 0xff, 0xff00, 0xffff_0000, 0x8000_0000]);
                let flipped = if self.dice.chance(30) { self.dice.word() & bits } else { 0 };
                vec![load, mask_xor(R0, host(bits), host(flipped)), cmp(eq_or_not(self), host(value & bits))]
            }
            3 => {
                let flipped = self.dice.word();
                vec![load, mask_xor(R0, host(u32::MAX), host(flipped)), cmp(op(self), host(value ^ flipped))]
            }
            4 => {
                let bits = u32::try_from(self.dice.between(1, 31)).unwrap();
                let (shifted, by) = if self.dice.chance(50) {
                    (value << bits, Bitop::Shl(bits))
                } else {
                    (value >> bits, Bitop::Shr(bits))
                };
                vec![load, shift(R0, by), cmp(eq_or_not(self), host(shifted))]
            }
            _ => {
                let order = byteorder(R0, 4, 4);
                let value = value.to_be_bytes().to_vec();
                if self.dice.chance(50) {
                    return vec![load, order, cmp(*self.dice.pick(&OPS), value)];
                }
                let other = self.world.mark(self.dice).to_be_bytes().to_vec();
                vec![load, order, range(self, value, other)]
            }
        }
    }

    fn ethertype(&mut self) -> Vec<Expr> {
        let kind = if self.dice.chance(50) { [8, 0] } else { [0x86, 0xdd] };
        vec![meta(MetaKey::Protocol, R0), cmp(eq_or_not(self), kind.to_vec())]
    }

    fn length(&mut self) -> Vec<Expr> {
        let some = |forge: &mut Self| {
            let bytes = forge.dice.between(20, 130);
            u32::try_from(bytes).unwrap().to_be_bytes().to_vec()
        };
        let value = some(self);
        let mut exprs = vec![meta(MetaKey::Len, R0), byteorder(R0, 4, 4)];
        exprs.push(if self.dice.chance(50) {
            cmp(*self.dice.pick(&OPS), value)
        } else {
            let other = some(self);
            range(self, value, other)
        });
        exprs
    }

    fn owner(&mut self) -> Vec<Expr> {
        let (user, group) = owner(self.dice);
        let (key, id) = if self.dice.chance(60) { (MetaKey::Skuid, user) } else { (MetaKey::Skgid, group) };
        if self.dice.chance(60) {
            return vec![meta(key, R0), cmp(eq_or_not(self), host(id))];
        }
        let other = owner(self.dice).0.to_be_bytes().to_vec();
        vec![meta(key, R0), byteorder(R0, 4, 4), range(self, id.to_be_bytes().to_vec(), other)]
    }

    /// A family for a match that makes sense in one only.
    pub(super) fn family(&mut self) -> Family {
        match self.family {
            TableFamily::Ip => Family::V4,
            TableFamily::Ip6 => Family::V6,
            _ => *self.dice.pick(&Family::BOTH),
        }
    }

    /// What nft puts before such a match; left out now and then, as a foreign ruleset may.
    pub(super) fn guard(&mut self, family: Family) -> Vec<Expr> {
        if self.family != TableFamily::Inet || self.dice.chance(15) {
            return Vec::new();
        }
        vec![meta(MetaKey::Nfproto, R0), eq(vec![if family == Family::V4 { 2 } else { 10 }])]
    }

    fn address(&mut self) -> Vec<Expr> {
        let family = self.family();
        let mut exprs = self.guard(family);
        let addr = self.world.address(self.dice, family);
        let width = u32::from(family.bits()) / 8;
        let (source, destination) = if family == Family::V4 { (12, 16) } else { (8, 24) };
        let offset = if self.dice.chance(60) { source } else { destination };
        let load = |len| payload(PayloadBase::Network, offset, len, R0);
        match self.dice.below(10) {
            0..4 => exprs.extend([load(width), cmp(eq_or_not(self), addr)]),
            4..6 => {
                let bytes = self.dice.between(1, addr.len() - 1);
                let data = addr[..bytes].to_vec();
                exprs.extend([load(u32::try_from(bytes).unwrap()), cmp(eq_or_not(self), data)]);
            }
            6 | 7 => {
                let bits = self.dice.between(4, addr.len() * 8 - 1);
                let kept = prefix_mask(addr.len(), bits, self.dice.chance(75));
                let data: Vec<u8> = addr.iter().zip(&kept).map(|(byte, mask)| byte & mask).collect();
                exprs.extend([load(width), mask(R0, kept), cmp(eq_or_not(self), data)]);
            }
            8 => {
                let other = self.world.address(self.dice, family);
                exprs.extend([load(width), range(self, addr, other)]);
            }
            _ => exprs.extend([load(width), cmp(*self.dice.pick(&OPS), addr)]),
        }
        exprs
    }

    fn hops(&mut self) -> Vec<Expr> {
        let family = self.family();
        let mut exprs = self.guard(family);
        let value = *self.dice.pick(&[1, 2, 63, 64, 65, 128, 254, 255]);
        let offset = if family == Family::V4 { 8 } else { 7 };
        exprs.extend([payload(PayloadBase::Network, offset, 1, R0), cmp(*self.dice.pick(&OPS), vec![value])]);
        exprs
    }

    fn protocol_field(&mut self) -> Vec<Expr> {
        let family = self.family();
        let mut exprs = self.guard(family);
        let proto = *self.dice.pick(&PROTOCOLS);
        let offset = if family == Family::V4 { 9 } else { 6 };
        exprs.extend([payload(PayloadBase::Network, offset, 1, R0), cmp(eq_or_not(self), vec![proto])]);
        exprs
    }

    /// The byte with DSCP and ECN; in IPv6 it lies across two.
    fn service_byte(&mut self) -> Vec<Expr> {
        let family = self.family();
        let mut exprs = self.guard(family);
        let value = *self.dice.pick(&[0u16, 0x10, 0x20, 0xb8, 0xfc]);
        let (offset, kept, data) = match family {
            Family::V4 => (1, vec![0xfc], vec![u8::try_from(value).unwrap()]),
            Family::V6 => (0, vec![0x0f, 0xc0], (value << 4).to_be_bytes().to_vec()),
        };
        let width = u32::try_from(kept.len()).unwrap();
        exprs.extend([
            payload(PayloadBase::Network, offset, width, R0),
            mask(R0, kept),
            cmp(eq_or_not(self), data),
        ]);
        exprs
    }

    fn port(&mut self) -> Vec<Expr> {
        let mut exprs = Vec::new();
        if self.dice.chance(75) {
            exprs.extend([meta(MetaKey::L4proto, R0), eq(vec![*self.dice.pick(&[6, 6, 17, 132])])]);
        }
        let offset = if self.dice.chance(70) { 2 } else { 0 };
        exprs.push(payload(PayloadBase::Transport, offset, 2, R0));
        let port = self.world.port(self.dice).to_be_bytes().to_vec();
        match self.dice.below(10) {
            0..4 => exprs.push(cmp(eq_or_not(self), port)),
            4 | 5 => exprs.push(cmp(*self.dice.pick(&OPS), port)),
            6..9 => {
                let other = self.world.port(self.dice).to_be_bytes().to_vec();
                exprs.push(range(self, port, other));
            }
            _ => {
                // As a number of the host, shifted: `th dport >> 8 == 4`.
                let value = u32::from(port[0]);
                exprs.extend([
                    byteorder(R0, 2, 2),
                    shift(R0, Bitop::Shr(8)),
                    cmp(eq_or_not(self), host(value)[..2].to_vec()),
                ]);
            }
        }
        exprs
    }

    fn icmp(&mut self) -> Vec<Expr> {
        let family = self.family();
        let (proto, types): (u8, &[u8]) =
            if family == Family::V4 { (1, &[0, 3, 8, 11, 13]) } else { (58, &[1, 128, 129, 133, 135]) };
        let mut exprs = vec![meta(MetaKey::L4proto, R0), eq(vec![proto])];
        if self.dice.chance(75) {
            let kind = *self.dice.pick(types);
            exprs.extend([payload(PayloadBase::Transport, 0, 1, R0), cmp(op(self), vec![kind])]);
        }
        if exprs.len() == 2 || self.dice.chance(25) {
            let code = *self.dice.pick(&[0, 1, 2, 4]);
            exprs.extend([payload(PayloadBase::Transport, 1, 1, R0), cmp(op(self), vec![code])]);
        }
        exprs
    }

    fn tcp_flags(&mut self) -> Vec<Expr> {
        let mut exprs = vec![meta(MetaKey::L4proto, R0), eq(vec![6])];
        exprs.push(payload(PayloadBase::Transport, 13, 1, R0));
        let bits = *self.dice.pick(&[0x02, 0x12, 0x17, 0x3f, 0xff]);
        let value = *self.dice.pick(&[0, 0x02, 0x10, 0x12, 0x04, 0x29]);
        exprs.push(mask(R0, vec![bits]));
        exprs.push(if self.dice.chance(40) {
            cmp(CmpOp::Neq, vec![0])
        } else {
            cmp(eq_or_not(self), vec![value & bits])
        });
        exprs
    }

    /// Bytes that no header field begins or ends with, across fields and headers, or behind the packet's end.
    fn odd_slice(&mut self) -> Vec<Expr> {
        let base = *self.dice.pick(&[PayloadBase::Network, PayloadBase::Transport]);
        let last = if base == PayloadBase::Network { 44 } else { 24 };
        let offset = self.dice.between(0, last);
        let len = *self.dice.pick(&[1, 3, 5, 6, 7, 9, 12, 13]);
        let width = u32::try_from(len).unwrap();
        let mut exprs = vec![payload(base, u32::try_from(offset).unwrap(), width, R0)];
        let mut data = self.dice.bytes(len);
        if self.dice.chance(60) {
            // Few bits, so that both outcomes happen.
            let mut kept = vec![0; len];
            kept[self.dice.below(len)] = *self.dice.pick(&[1, 2, 0x80, 0xc0]);
            data.iter_mut().zip(&kept).for_each(|(byte, mask)| *byte &= mask);
            exprs.push(mask(R0, kept));
            exprs.push(cmp(eq_or_not(self), data));
        } else {
            exprs.push(cmp(*self.dice.pick(&OPS), data));
        }
        exprs
    }

    /// Behind the transport header.
    fn inner(&mut self) -> Vec<Expr> {
        let offset = u32::try_from(self.dice.below(4)).unwrap();
        let data = vec![self.dice.byte()];
        vec![payload(PayloadBase::Inner, offset, 1, R0), cmp(*self.dice.pick(&OPS), data)]
    }

    /// A constant against a constant.
    fn constant(&mut self) -> Vec<Expr> {
        let data = self.dice.bytes(4);
        let other = if self.dice.chance(60) { data.clone() } else { self.dice.bytes(4) };
        vec![immediate(R0, data), cmp(eq_or_not(self), other)]
    }

    fn extension(&mut self) -> Vec<Expr> {
        const ROUTING: u8 = 43;
        let header = if self.dice.chance(85) { ROUTING } else { 60 };
        let load = |offset, flags| Expr::Exthdr { header, offset, len: 1, flags, op: exthdr::IPV6, dreg: R0 };
        if self.dice.chance(50) {
            let there = u8::from(self.dice.chance(50));
            return vec![load(0, exthdr::PRESENT), eq(vec![there])];
        }
        // The type of a routing header.
        vec![load(2, 0), cmp(eq_or_not(self), vec![*self.dice.pick(&[0, 2, 4])])]
    }

    fn fib_type(&mut self) -> Vec<Expr> {
        /// `RTN_*`: unicast, local, broadcast, unreachable.
        const TYPES: [u32; 4] = [1, 2, 3, 7];
        let flags = *self.dice.pick(&[1, 2]);
        let kind = *self.dice.pick(&TYPES);
        let fib = Fib { result: FibResult::AddrType, flags, dreg: R0 };
        vec![Expr::Fib(fib), cmp(eq_or_not(self), host(kind))]
    }

    fn ct_state(&mut self) -> Vec<Expr> {
        const STATES: [u32; 5] = [1, 2, 4, 8, 64];
        let load = ct(CtKey::State, None, R0);
        let bits = *self.dice.pick(&STATES) | *self.dice.pick(&STATES);
        match self.dice.below(3) {
            0 | 1 => vec![load, mask(R0, host(bits)), cmp(self.mostly(CmpOp::Neq, CmpOp::Eq), host(0))],
            _ => vec![load, cmp(eq_or_not(self), host(*self.dice.pick(&STATES)))],
        }
    }

    fn mostly(&mut self, usual: CmpOp, other: CmpOp) -> CmpOp {
        if self.dice.chance(75) { usual } else { other }
    }

    fn ct_direction(&mut self) -> Vec<Expr> {
        let direction = u8::from(self.dice.chance(50));
        vec![ct(CtKey::Direction, None, R0), cmp(eq_or_not(self), vec![direction])]
    }

    fn ct_status(&mut self) -> Vec<Expr> {
        let bits = *self.dice.pick(&[1, 2, 4, 8, 0x20, 0x30]);
        let neq = self.mostly(CmpOp::Neq, CmpOp::Eq);
        vec![ct(CtKey::Status, None, R0), mask(R0, host(bits)), cmp(neq, host(0))]
    }

    fn ct_mark(&mut self) -> Vec<Expr> {
        let load = ct(CtKey::Mark, None, R0);
        self.number(load)
    }

    fn ct_address(&mut self) -> Vec<Expr> {
        let family = self.family();
        let key = match (family, self.dice.chance(50)) {
            (Family::V4, true) => CtKey::SrcIp,
            (Family::V4, false) => CtKey::DstIp,
            (Family::V6, true) => CtKey::SrcIp6,
            (Family::V6, false) => CtKey::DstIp6,
        };
        let addr = self.world.address(self.dice, family);
        let mut exprs = vec![ct(key, Some(self.ct_direction_of()), R0)];
        if self.dice.chance(50) {
            let bits = self.dice.between(4, addr.len() * 8);
            let kept = prefix_mask(addr.len(), bits, true);
            let data: Vec<u8> = addr.iter().zip(&kept).map(|(byte, mask)| byte & mask).collect();
            exprs.extend([mask(R0, kept), cmp(eq_or_not(self), data)]);
        } else {
            exprs.push(cmp(op(self), addr));
        }
        exprs
    }

    fn ct_direction_of(&mut self) -> CtDir {
        if self.dice.chance(80) { CtDir::Original } else { CtDir::Reply }
    }

    fn ct_port(&mut self) -> Vec<Expr> {
        let key = if self.dice.chance(80) { CtKey::ProtoDst } else { CtKey::ProtoSrc };
        let load = ct(key, Some(self.ct_direction_of()), R0);
        let port = self.world.port(self.dice).to_be_bytes().to_vec();
        if self.dice.chance(50) {
            return vec![load, cmp(op(self), port)];
        }
        let other = self.world.port(self.dice).to_be_bytes().to_vec();
        vec![load, range(self, port, other)]
    }
}

/// A mask of so many leading bits, or of scattered ones.
fn prefix_mask(bytes: usize, bits: usize, leading: bool) -> Vec<u8> {
    let mut mask = vec![0u8; bytes];
    for bit in 0..bits {
        mask[bit / 8] |= 0x80 >> (bit % 8);
    }
    if !leading {
        mask[bytes / 2] = 0x5a;
    }
    mask
}

/// A load that is a part of a key: the expressions, its length, and a value.
pub(super) fn key_part(forge: &mut Forge<'_>, kind: Part, reg: Reg) -> (Vec<Expr>, Vec<u8>) {
    let world: &World = forge.world;
    match kind {
        Part::Address(family, offset) => {
            let width = u32::from(family.bits()) / 8;
            let addr = world.address(forge.dice, family);
            (vec![payload(PayloadBase::Network, offset, width, reg)], addr)
        }
        Part::Port(offset) => {
            let port = world.port(forge.dice).to_be_bytes().to_vec();
            (vec![payload(PayloadBase::Transport, offset, 2, reg)], port)
        }
        Part::Proto => (vec![meta(MetaKey::L4proto, reg)], vec![*forge.dice.pick(&PROTOCOLS)]),
        Part::Name(key) => (vec![meta(key, reg)], padded(&world.device_name(forge.dice))),
        Part::Mark => (vec![meta(MetaKey::Mark, reg)], host(world.mark(forge.dice))),
        Part::MarkAsNumber => {
            let value = world.mark(forge.dice).to_be_bytes().to_vec();
            (vec![meta(MetaKey::Mark, reg), byteorder(reg, 4, 4)], value)
        }
        Part::State => (vec![ct(CtKey::State, None, reg)], host(*forge.dice.pick(&[1, 2, 4, 8, 64]))),
    }
}

/// What a key can be made of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Part {
    Address(Family, u32),
    Port(u32),
    Proto,
    Name(MetaKey),
    Mark,
    MarkAsNumber,
    State,
}

impl Forge<'_> {
    /// What a key can be made of here.
    pub(super) fn part(&mut self, family: Family) -> Part {
        let (source, destination) = if family == Family::V4 { (12, 16) } else { (8, 24) };
        let state = if self.taste.conntrack { 4 } else { 0 };
        let name = self.direction(MetaKey::Iifname, MetaKey::Oifname);
        self.dice.weighted(&[
            (8, Part::Address(family, source)),
            (6, Part::Address(family, destination)),
            (9, Part::Port(2)),
            (3, Part::Port(0)),
            (6, Part::Proto),
            (3, Part::Name(name)),
            (3, Part::Mark),
            (state, Part::State),
        ])
    }

    /// The register behind a part.
    pub(super) fn behind(reg: Reg, value: &[u8]) -> Reg {
        after(reg, value.len())
    }
}
