//! One expression: what it computes, stores and decides; what it looks up in sets stands in `sets`.

use super::Stop;
use super::foreign::{Nature, nature};
use super::load::{self, Load, Seen};
use super::machine::Program;
use super::options::{self, Found};
use super::walk::{Run, Step};
use crate::net::{Family, How, Translated};
use crate::ruleset::{
    Bitop, CmpOp, CtKey, Expr, MetaKey, NatRange, PayloadBase, Reg, TableFamily, Verdict, exthdr,
};
use std::cmp::Ordering;
use std::net::IpAddr;

/// The most that one load stores (all registers).
const LONGEST: usize = 64;

impl<'r, 'a> Run<'r, 'a> {
    pub(super) fn step(&mut self, program: &'r Program<'a>, expr: &'a Expr) -> Result<Step<'a>, Stop> {
        match expr {
            Expr::Meta { key, dreg } => {
                let len = (!self.wire.stretched).then(|| self.wire.len());
                let load = load::meta(self.packet, &self.state, len, *key);
                self.load(expr, *dreg, &load)
            }
            Expr::MetaSet { key, sreg } => self.set_meta(*key, *sreg),
            Expr::Payload { base, offset, len, dreg } => self.payload(expr, *base, (*offset, *len), *dreg),
            Expr::PayloadSet { base, offset, len, sreg, .. } => {
                self.set_payload(*base, (*offset, *len), *sreg)
            }
            Expr::Exthdr { header, offset, len, flags, op, dreg } => {
                self.exthdr(expr, (*op, *header), (*offset, *len), *flags, *dreg)
            }
            Expr::Cmp { op, sreg, data } => {
                self.compare(expr, *sreg, data.len(), |value| ordered(*op, value.cmp(data)))
            }
            Expr::Range { op, sreg, from, to } => {
                if from.len() != to.len() {
                    return Err(Stop::Operation);
                }
                let inside = |value: &[u8]| from.as_slice() <= value && value <= to.as_slice();
                match op {
                    CmpOp::Eq => self.compare(expr, *sreg, from.len(), inside),
                    CmpOp::Neq => self.compare(expr, *sreg, from.len(), |value| !inside(value)),
                    _ => Err(Stop::Operation),
                }
            }
            Expr::Bitwise { sreg, dreg, len, op } => self.bitwise(*sreg, *dreg, size(*len)?, op),
            Expr::Byteorder { sreg, dreg, len, size: one, .. } => {
                self.byteorder(*sreg, *dreg, size(*len)?, size(*one)?)
            }
            Expr::Immediate { dreg, data } => {
                self.registers.store(*dreg, data)?;
                Ok(Step::On)
            }
            Expr::Verdict(verdict) => Ok(Step::Verdict(verdict)),
            Expr::Lookup { set, sreg, dreg, invert } => {
                self.lookup(program, expr, set, *sreg, *dreg, *invert)
            }
            Expr::Dynset(dynset) => self.dynset(program, expr, dynset),
            Expr::ObjrefMap { sreg, set } => self.objref_map(program, expr, set, *sreg),
            Expr::Ct { key, dir, dreg } => {
                let load = load::ct(self.packet, &self.state, *key, *dir);
                self.load(expr, *dreg, &load)
            }
            Expr::CtSet { key, sreg, .. } => self.set_ct(*key, *sreg),
            Expr::Fib(fib) => {
                let load = load::fib(self.packet, fib);
                self.load(expr, fib.dreg, &load)
            }
            Expr::Rt { key, dreg } => {
                let len = if *key == 2 { 16 } else { 4 };
                self.load(expr, *dreg, &Load::Doubtful(len))
            }
            Expr::Notrack => {
                if matches!(self.state.seen(self.packet), Seen::Nothing) {
                    self.state.notrack = true;
                }
                Ok(Step::On)
            }
            Expr::Reject(_) => Ok(Step::Rejected),
            Expr::Nat(nat) => {
                // In a table of both families, a translation of the other family is passed over.
                let ours =
                    nat.family == load::nfproto(self.packet) || nat.family == TableFamily::Inet.number();
                let both = program.table.family == TableFamily::Inet;
                if both && !ours {
                    return Ok(Step::On);
                }
                let how = if nat.source { How::Source } else { How::Destination };
                self.translated(how, nat.addr, nat.range)
            }
            Expr::Masq(range) => self.translated(How::Masquerade, (None, None), *range),
            Expr::Redir(range) => self.translated(How::Redirect, (None, None), *range),
            Expr::Counter { .. } | Expr::Log(_) | Expr::Last { .. } => Ok(Step::On),
            Expr::Limit(_) | Expr::Quota { .. } | Expr::Connlimit { .. } => Ok(self.doubt(expr, None)),
            Expr::Objref { kind, .. } => Ok(self.object(expr, *kind)),
            Expr::Unknown { name, .. } => Ok(self.foreign(program, expr, name)),
        }
    }

    /// What a translation comes to, where that is one address and one port.
    fn translated(
        &self,
        how: How,
        (first, last): (Option<Reg>, Option<Reg>),
        range: NatRange,
    ) -> Result<Step<'a>, Stop> {
        /// Flags that say which values are given.
        const GIVEN: u32 = 1 | 2;
        let one = |first: Option<Reg>, last: Option<Reg>| last.is_none() || last == first;
        if !one(first, last) || !one(range.proto_min, range.proto_max) || range.flags & !GIVEN != 0 {
            return Ok(Step::Translated(None));
        }
        let len = match self.packet.family {
            Family::V4 => 4,
            Family::V6 => 16,
        };
        let (mut addr, mut port) = (None, None);
        if let Some(reg) = first {
            let bytes = self.registers.read(reg, len)?;
            addr = match self.packet.family {
                Family::V4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
                Family::V6 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
            };
            addr = addr.filter(|_| self.registers.known(reg, len));
        }
        if let Some(reg) = range.proto_min {
            let bytes = self.registers.read(reg, 2)?.try_into().unwrap_or_default();
            port = self.registers.known(reg, 2).then(|| u16::from_be_bytes(bytes));
        }
        let told = addr.is_some() == first.is_some() && port.is_some() == range.proto_min.is_some();
        Ok(Step::Translated(told.then_some(Translated { how, addr, port })))
    }

    /// State of an element or of a `dynset`: the same expressions, but what they say is about the element.
    pub(super) fn stateful(&mut self, exprs: &[Expr], element: Option<usize>) -> bool {
        exprs.iter().all(|expr| match expr {
            Expr::Counter { .. } | Expr::Last { .. } => true,
            _ => self.ask(expr, element),
        })
    }

    pub(super) fn doubt(&mut self, expr: &Expr, element: Option<usize>) -> Step<'a> {
        if self.ask(expr, element) { Step::On } else { Step::Break }
    }

    /// What using an object of this kind comes to.
    pub(super) fn object(&mut self, expr: &Expr, kind: u32) -> Step<'a> {
        match kind {
            // Counters, helpers, tunnels, timeouts, marks let every packet through.
            1 | 3 | 6..=8 => Step::On,
            // Quotas, limits, limits of connections.
            2 | 4 | 5 => self.doubt(expr, None),
            // Expectations and proxies may drop it as well (`nft_ct_expect_obj_eval`, `nft_synproxy_obj_eval`).
            _ if self.ask(expr, None) => Step::On,
            _ if self.ask(expr, None) => Step::Verdict(&Verdict::Drop),
            _ => Step::Break,
        }
    }

    fn foreign(&mut self, program: &'r Program<'a>, expr: &Expr, name: &str) -> Step<'a> {
        let place = self.place;
        if let Some(found) = program.extensions.get(&(place.chain, place.rule, place.expr)) {
            return self.extension(expr, found);
        }
        match nature(name) {
            Nature::On => Step::On,
            Nature::Stores => {
                self.registers.forget_all();
                Step::On
            }
            Nature::Asks => self.doubt(expr, None),
            Nature::AsksAndStores => {
                self.registers.forget_all();
                self.doubt(expr, None)
            }
            Nature::Queued => Step::Queued,
        }
    }

    /// A match of iptables drops a packet at once where the header that it looks for is not whole (`hotdrop`).
    pub(super) fn unknown_match(&mut self, expr: &Expr) -> Step<'a> {
        if self.ask(expr, None) {
            Step::On
        } else if !self.wire.is_whole() && self.ask(expr, None) {
            Step::Verdict(&Verdict::Drop)
        } else {
            Step::Break
        }
    }

    fn load(&mut self, expr: &Expr, dreg: Reg, load: &Load) -> Result<Step<'a>, Stop> {
        match load {
            Load::Value(value) => self.registers.store(dreg, value.bytes())?,
            Load::Break => return Ok(Step::Break),
            Load::Unknown(len) => self.registers.forget(dreg, *len)?,
            Load::Doubtful(len) => {
                self.registers.forget(dreg, *len)?;
                return Ok(self.doubt(expr, None));
            }
        }
        Ok(Step::On)
    }

    /// A load from a later fragment's transport header breaks, but not in every kernel: that is asked.
    fn payload(
        &mut self,
        expr: &Expr,
        base: PayloadBase,
        (offset, len): (u32, u32),
        dreg: Reg,
    ) -> Result<Step<'a>, Stop> {
        let mistaken = self.wire.mistaken(base, offset, len).is_some() && self.ask(expr, None);
        let bytes =
            if mistaken { self.wire.mistaken(base, offset, len) } else { self.wire.load(base, offset, len) };
        match bytes {
            Some(_) if !mistaken && !self.wire.knows(base, offset, size(len)?) => {
                self.registers.forget(dreg, size(len)?)?;
            }
            Some(bytes) => self.registers.store(dreg, bytes)?,
            None => return Ok(Step::Break),
        }
        Ok(Step::On)
    }

    fn set_payload(
        &mut self,
        base: PayloadBase,
        (offset, len): (u32, u32),
        sreg: Reg,
    ) -> Result<Step<'a>, Stop> {
        let len = size(len)?;
        let written = if self.registers.known(sreg, len) {
            self.wire.store(base, offset, self.registers.read(sreg, len)?)
        } else {
            self.wire.forget(base, offset, len)
        };
        Ok(if written { Step::On } else { Step::Break })
    }

    fn exthdr(
        &mut self,
        expr: &Expr,
        what: (u32, u8),
        (offset, len): (u32, u32),
        flags: u32,
        dreg: Reg,
    ) -> Result<Step<'a>, Stop> {
        let present = flags & exthdr::PRESENT != 0;
        let found = options::find(self.packet, &self.wire, what, offset, len);
        match found {
            Found::Bytes(_) | Found::Short if present => self.registers.store(dreg, &[1])?,
            Found::Absent if present => self.registers.store(dreg, &[0])?,
            Found::Bytes(_) if !self.wire.is_known() => self.registers.forget(dreg, size(len)?)?,
            Found::Bytes(bytes) => self.registers.store(dreg, bytes)?,
            Found::Short | Found::Absent | Found::Foreign => return Ok(Step::Break),
            Found::Unknown => {
                let load = if present { Load::Unknown(1) } else { Load::Doubtful(size(len)?) };
                return self.load(expr, dreg, &load);
            }
            Found::NoKind => return Err(Stop::Operation),
        }
        Ok(Step::On)
    }

    /// Goes on if a known value passes; of another, it is asked.
    fn compare(
        &mut self,
        expr: &Expr,
        sreg: Reg,
        len: usize,
        passes: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Step<'a>, Stop> {
        let value = self.registers.read(sreg, len)?;
        if !self.registers.known(sreg, len) {
            return Ok(self.doubt(expr, None));
        }
        Ok(if passes(value) { Step::On } else { Step::Break })
    }

    /// `nft_bitwise_eval`, which works on whole words.
    fn bitwise(&mut self, sreg: Reg, dreg: Reg, len: usize, op: &Bitop) -> Result<Step<'a>, Stop> {
        let whole = len.next_multiple_of(4);
        let second = match op {
            Bitop::Other { op: 3..=5, sreg2 } => *sreg2,
            Bitop::Other { .. } | Bitop::Shl(32..) | Bitop::Shr(32..) => return Err(Stop::Operation),
            _ => Some(sreg),
        };
        let source = self.registers.read(sreg, whole)?;
        let other = self.registers.read(second.unwrap_or(sreg), whole)?;
        let known = second.is_some_and(|second| self.registers.known(second, whole));
        if !known || !self.registers.known(sreg, whole) {
            self.registers.forget(dreg, whole)?;
            return Ok(Step::On);
        }
        let mut out = [0; LONGEST];
        let bytes = out.iter_mut().zip(source).zip(other);
        match op {
            Bitop::MaskXor { mask, xor } => {
                for ((out, byte), (mask, xor)) in out.iter_mut().zip(source).zip(mask.iter().zip(xor)) {
                    *out = byte & mask ^ xor;
                }
            }
            Bitop::Shl(bits) => shift_left(&mut out, source, *bits),
            Bitop::Shr(bits) => shift_right(&mut out, source, *bits),
            Bitop::Other { op: 3, .. } => bytes.for_each(|((out, a), b)| *out = a & b),
            Bitop::Other { op: 4, .. } => bytes.for_each(|((out, a), b)| *out = a | b),
            Bitop::Other { .. } => bytes.for_each(|((out, a), b)| *out = a ^ b),
        }
        self.registers.store(dreg, &out[..whole])?;
        Ok(Step::On)
    }

    /// To and from network order are the same: a swap where the machine's order is another.
    fn byteorder(&mut self, sreg: Reg, dreg: Reg, len: usize, one: usize) -> Result<Step<'a>, Stop> {
        if !matches!(one, 2 | 4 | 8) {
            return Err(Stop::Operation);
        }
        let len = len / one * one;
        if !self.registers.known(sreg, len) {
            self.registers.forget(dreg, len)?;
            return Ok(Step::On);
        }
        let mut bytes = [0; LONGEST];
        bytes[..len].copy_from_slice(self.registers.read(sreg, len)?);
        if cfg!(target_endian = "little") {
            bytes[..len].chunks_exact_mut(one).for_each(<[u8]>::reverse);
        }
        self.registers.overwrite(dreg, &bytes[..len])?;
        Ok(Step::On)
    }

    fn set_meta(&mut self, key: MetaKey, sreg: Reg) -> Result<Step<'a>, Stop> {
        match key {
            MetaKey::Mark => self.state.mark = self.word(sreg)?,
            MetaKey::Priority => self.state.priority = self.word(sreg)?,
            MetaKey::Pkttype => {
                self.state.pkttype = self.word(sreg)?.map(|word| word.to_ne_bytes()[0]);
            }
            _ => {}
        }
        Ok(Step::On)
    }

    /// Without an entry there is nothing to set, and the rule goes on.
    fn set_ct(&mut self, key: CtKey, sreg: Reg) -> Result<Step<'a>, Stop> {
        if key == CtKey::Mark && matches!(self.state.seen(self.packet), Seen::Entry(_)) {
            self.state.ct_mark = self.word(sreg)?;
        }
        Ok(Step::On)
    }

    /// A register as a number; none if it cannot be known.
    fn word(&self, reg: Reg) -> Result<Option<u32>, Stop> {
        let word = word(self.registers.read(reg, 4)?);
        Ok(self.registers.known(reg, 4).then_some(word))
    }
}

fn ordered(op: CmpOp, order: Ordering) -> bool {
    match op {
        CmpOp::Eq => order.is_eq(),
        CmpOp::Neq => order.is_ne(),
        CmpOp::Lt => order.is_lt(),
        CmpOp::Lte => order.is_le(),
        CmpOp::Gt => order.is_gt(),
        CmpOp::Gte => order.is_ge(),
    }
}

/// A length that can be that of registers.
fn size(len: u32) -> Result<usize, Stop> {
    match usize::try_from(len) {
        Ok(len) if len <= LONGEST => Ok(len),
        _ => Err(Stop::Register),
    }
}

/// Words are shifted as numbers of the machine; what leaves one enters the one before it.
fn shift_left(out: &mut [u8], source: &[u8], bits: u32) {
    let mut carry = 0;
    for (out, source) in out.chunks_exact_mut(4).zip(source.chunks_exact(4)).rev() {
        let number = word(source);
        out.copy_from_slice(&(number << bits | carry).to_ne_bytes());
        carry = number.checked_shr(32 - bits).unwrap_or(0);
    }
}

/// The same into the one behind it.
fn shift_right(out: &mut [u8], source: &[u8], bits: u32) {
    let mut carry = 0;
    for (out, source) in out.chunks_exact_mut(4).zip(source.chunks_exact(4)) {
        let number = word(source);
        out.copy_from_slice(&(carry | number >> bits).to_ne_bytes());
        carry = number.checked_shl(32 - bits).unwrap_or(0);
    }
}

/// Four bytes as a number of the machine.
fn word(bytes: &[u8]) -> u32 {
    u32::from_ne_bytes(bytes.try_into().unwrap_or_default())
}
