//! What targets do: end the walk, change marks and bytes that later rules ask about, or nothing that matters here.

use super::super::lower::{BYTES, Becomes, Lowering, Op, Overwritten};
use super::super::translated::UNUSUAL;
use super::network;
use crate::net::{How, Translated};
use crate::ruleset::{MetaKey, Verdict};
use crate::space::{Bit, Field, Pred};
use crate::xt::{ConnmarkSet, Hops, Masked, Shift, Target, Tproxy};

const BITS: u8 = 32;

impl Lowering<'_, '_, '_> {
    pub(super) fn target(&mut self, found: &Target) {
        use Target as T;
        match found {
            T::Reject(reject) => {
                self.effect(format_args!("{reject:?}"));
                self.ops.push(Op::Reject);
            }
            // What a translation leads to is a matter of its own; in its chain it ends the walk.
            T::Dnat(_) | T::Snat(_) | T::Masquerade(_) | T::Netmap(_) | T::Redirect(_) => {
                if self.stand.slice.nat {
                    self.ops.push(Op::Translate(vec![(Pred::Const(true), led(found).into())]));
                } else {
                    self.effect(format_args!("{found:?}"));
                }
                self.ops.push(Op::Verdict(Verdict::Accept));
            }
            T::Queue(_) => self.ops.push(Op::Verdict(Verdict::Queue)),
            T::Log(log) => self.logs(log),
            T::Nflog(log) => self.logs(log),
            T::Mark { value, mask } => self.assign_mark(Field::MARK, |bit| masked(*value, *mask, bit)),
            T::Connmark(set) => self.connmark_set(set),
            T::Hmark { .. } => self.forget_mark(),
            T::Set(set) => {
                self.effect(format_args!("{found:?}"));
                if set.map.is_some() {
                    self.forget_mark();
                    self.overwrite(Overwritten::Field(Field::Meta(MetaKey::Priority)), Pred::Const(true));
                }
            }
            T::Classify(priority) => {
                let field = Field::Meta(MetaKey::Priority);
                let becomes = self.symbols.terms.equals(&field, (*priority).into());
                self.overwrite(Overwritten::Field(field), becomes);
            }
            T::Hops(hops) => self.hops(*hops),
            T::Tos { value, mask } => self.set_dsfield(*value, *mask),
            T::Dscp(dscp) => self.set_dsfield(dscp << 2, 0xfc),
            T::Ecn(of) => {
                if let Some(bits) = of.ip {
                    self.set_dsfield(bits, 3);
                }
                if of.ece.is_some() || of.cwr.is_some() {
                    self.overwrite(Overwritten::Field(Field::TcpFlags), Pred::Const(true));
                }
            }
            T::TcpMss(_) => {
                // Later fragments are left alone; of what is malformed nothing else is asked.
                let later = self.symbols.terms.flag(&Field::LaterFragment);
                let short = Field::Byte(crate::ruleset::PayloadBase::Transport, 12);
                let short = self.symbols.terms.within(&short, vec![(0, 0x4f)]);
                let cut = self.shared(&format!("{BYTES}the TCP options are cut off"));
                self.drop_if(Pred::all([later.negated(), Pred::any([short, cut])]));
                self.overwrite(Overwritten::TcpOptions, Pred::Const(true));
            }
            T::TcpOptStrip(_) => self.overwrite(Overwritten::TcpOptions, Pred::Const(true)),
            T::Dnpt(_) => self.translate_prefix(self.stand.destination().0, found),
            T::Snpt(_) => self.translate_prefix(Field::Source, found),
            T::Synproxy => {
                let taken = self.anew("SYNPROXY takes it or drops it");
                self.drop_if(taken);
            }
            T::Tproxy(of) => self.tproxy(of),
            T::Audit(_)
            | T::Checksum
            | T::Connsecmark
            | T::Ct(_)
            | T::Idletimer(_)
            | T::Led
            | T::Notrack
            | T::Rateest(_)
            | T::Secmark
            | T::Tee(_)
            | T::Trace => self.effect(format_args!("{found:?}")),
            T::Unknown { name, revision, data } => {
                self.unknown_target(&format!("target {name}, revision {revision}, {data:02x?}"));
            }
        }
    }

    /// It may do anything, and then end the walk in each way, or go on.
    fn unknown_target(&mut self, words: &str) {
        self.effect(format_args!("{words}"));
        self.forget_marks();
        let mut ends = Vec::new();
        for (verb, verdict) in [
            ("accepts", Verdict::Accept),
            ("drops", Verdict::Drop),
            ("queues", Verdict::Queue),
            ("returns", Verdict::Return),
        ] {
            ends.push((self.anew(&format!("{words} {verb}")), verdict));
        }
        ends.push((Pred::Const(true), Verdict::Continue));
        self.ops.push(Op::Map(ends));
    }

    fn tproxy(&mut self, of: &Tproxy) {
        let socket = self.anew(&format!("a transparent socket takes it for {of:?}"));
        self.drop_if(socket.negated());
        self.assign_mark(Field::MARK, |bit| masked(of.value, of.mask, bit));
        self.effect(format_args!("{of:?}"));
        self.ops.push(Op::Verdict(Verdict::Accept));
    }

    /// The address gets another prefix, or the packet is refused where that cannot be.
    fn translate_prefix(&mut self, field: Field, found: &Target) {
        self.effect(format_args!("{found:?}"));
        let refused = self.anew(&format!("it cannot be translated: {found:?}"));
        self.drop_if(refused);
        self.overwrite(Overwritten::Field(field), Pred::Const(true));
    }

    fn connmark_set(&mut self, set: &ConnmarkSet) {
        match *set {
            ConnmarkSet::Set { value, mask, shift } => {
                self.assign_mark(Field::CT_MARK, |bit| masked(value, mask, bit));
                if shift != Shift::Left(0) && shift != Shift::Right(0) {
                    self.assign_mark(Field::CT_MARK, |bit| match before(shift, bit) {
                        Some(from) => Becomes::Of(Field::CT_MARK, from.into()),
                        None => Becomes::Bit(Bit::Set(false)),
                    });
                }
            }
            ConnmarkSet::Save { connection_mask, packet_mask, shift } => {
                self.assign_mark(Field::CT_MARK, |bit| {
                    taken(&Field::MARK, connection_mask, packet_mask, shift, bit)
                });
            }
            ConnmarkSet::Restore { connection_mask, packet_mask, shift } => {
                self.assign_mark(Field::MARK, |bit| {
                    taken(&Field::CT_MARK, packet_mask, connection_mask, shift, bit)
                });
            }
        }
    }

    /// Changes a mark; both matter to the connection only if there is one, but for [`Target::Mark`].
    fn assign_mark(&mut self, field: Field, becomes: impl Fn(u8) -> Becomes) {
        let bits: Vec<Becomes> = (0..BITS).map(becomes).collect();
        let with_connection = field == Field::CT_MARK
            || bits.iter().any(|becomes| matches!(becomes, Becomes::Of(..) | Becomes::Xor(..)));
        let condition = if with_connection { self.symbols.tracked(self.stand) } else { Pred::Const(true) };
        self.assign_bits(field, bits, &condition);
    }

    /// Nobody knows what mark the packet has from here on.
    pub(super) fn forget_mark(&mut self) {
        self.assign_mark(Field::MARK, |_| Becomes::Bit(Bit::Anything));
    }

    /// Nor that of its connection.
    pub(super) fn forget_marks(&mut self) {
        self.forget_mark();
        self.assign_mark(Field::CT_MARK, |_| Becomes::Bit(Bit::Anything));
    }

    fn hops(&mut self, hops: Hops) {
        let field = network(if self.is_v4() { 8 } else { 7 });
        let becomes = match hops {
            Hops::Set(to) => self.symbols.terms.equals(&field, to.into()),
            Hops::More(by) => self.symbols.terms.within(&field, vec![(by.into(), u8::MAX.into())]),
            Hops::Less(by) => self.symbols.terms.within(&field, vec![(0, (u8::MAX - by).into())]),
        };
        self.overwrite(Overwritten::Field(field), becomes);
    }

    /// Of bits outside the mask nothing is known any more: they may have been flipped.
    fn set_dsfield(&mut self, value: u8, mask: u8) {
        let so = |value, mask| Masked { value: value & mask, mask, invert: false };
        if self.is_v4() {
            let becomes = self.masked(&network(1), so(value, mask));
            self.overwrite(Overwritten::Field(network(1)), becomes);
            return;
        }
        let (upper, lower) = (network(0), network(1));
        let becomes = self.masked(&upper, so(value >> 4, mask >> 4));
        self.overwrite(Overwritten::Field(upper), becomes);
        let becomes = self.masked(&lower, so(value << 4, mask << 4));
        self.overwrite(Overwritten::Field(lower), becomes);
    }
}

/// What a bit becomes of `(mark & !mask) ^ value`.
fn masked(value: u32, mask: u32, bit: u8) -> Becomes {
    match (mask >> bit & 1, value >> bit & 1) {
        (0, 0) => Becomes::Same,
        (0, _) => Becomes::Bit(Bit::Flipped),
        (_, value) => Becomes::Bit(Bit::Set(value == 1)),
    }
}

/// Which bit was there before a shift.
fn before(shift: Shift, bit: u8) -> Option<u8> {
    match shift {
        Shift::Left(by) => bit.checked_sub(by),
        Shift::Right(by) => bit.checked_add(by).filter(|from| *from < BITS),
    }
}

/// What a bit becomes of `(mark & !cleared) ^ shifted(other & mask)`.
fn taken(other: &Field, cleared: u32, mask: u32, shift: Shift, bit: u8) -> Becomes {
    let from = before(shift, bit).filter(|from| mask >> from & 1 == 1);
    match (cleared >> bit & 1 == 1, from) {
        (true, Some(from)) => Becomes::Of(other.clone(), from.into()),
        (true, None) => Becomes::Bit(Bit::Set(false)),
        (false, Some(from)) => Becomes::Xor(other.clone(), from.into()),
        (false, None) => Becomes::Same,
    }
}

/// A translation in words: to one end, as nft would say it, or in a way that is not told.
fn led(found: &Target) -> String {
    let one = |(first, last): &(_, _)| (first == last).then_some(*first);
    if let Target::Dnat(to) = found
        && (to.base, to.flags) == (None, 0)
        && let Some(addr) = to.addrs.as_ref().and_then(one)
        && let Some(port) =
            to.ports.map_or(Some(None), |(first, last)| (first == last).then_some(Some(first)))
    {
        return Translated { how: How::Destination, addr: Some(addr), port }.to_string();
    }
    format!("{UNUSUAL} {found:?}")
}
