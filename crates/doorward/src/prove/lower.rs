//! Rules as conditions and what they lead to: bytecode run once on symbols; computes no set.
//!
//! Where a load depends on the packet (what `ct original` reads is the packet's own address only for the one who
//! opened the connection), the rule is lowered once for each way, behind the condition that tells them apart.

use super::lens::Lens;
use super::lists::Lists;
use super::load::{Choices, Odd, Stand};
use super::lookup::{Hits, Known, describe};
use super::questions::{Questions, Site};
use super::symbol::{Byte, Registers, Symbols, known};
use super::translated;
use super::xtables::only_tells;
use crate::net::Family;
use crate::ruleset::{
    Bitop, CmpOp, CtKey, Data, Dynset, DynsetOp, Expr, LookupTarget, MetaKey, Nat, PayloadBase, Reg, Rule,
    Table, TableFamily, Verdict, exthdr,
};
use crate::space::{Bit, Field, Pred, Terms};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One step of a lowered rule.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Op {
    /// Goes on only for these packets.
    Test(Pred),
    /// Ends the rule.
    Verdict(Verdict),
    /// Refuses with an answer.
    Reject,
    /// Ends the rule with the verdict of the element; without one the rule does not match.
    Map(Vec<(Pred, Verdict)>),
    /// Changes a mark: for each case what its bits become, from the lowest on.
    Assign { field: Field, cases: Vec<(Pred, Vec<Becomes>)> },
    /// Writes to the packet: what was known of it there is forgotten, but for this.
    Overwrite { what: Overwritten, becomes: Pred },
    /// Does something that later packets, or people, notice.
    Effect(Arc<str>),
    /// Translates: to what, in words, and for which packets.
    Translate(Vec<(Pred, Arc<str>)>),
}

/// What a bit of a mark becomes.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Becomes {
    /// What it is.
    Same,
    /// This.
    Bit(Bit),
    /// What a bit of either mark is.
    Of(Field, u32),
    /// The other, where a bit of the other mark is set.
    Xor(Field, u32),
}

/// What a rule writes to.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Overwritten {
    /// One field.
    Field(Field),
    /// The options of TCP.
    TcpOptions,
}

/// How a question begins whose answer stands in the bytes of the packet: another one once they are written to.
pub(super) const BYTES: &str = "bytes of the packet: ";

impl Overwritten {
    /// Whether nothing is known of a field any more.
    pub(super) fn touches(&self, field: &Field) -> bool {
        match (self, field) {
            (_, Field::Unknown(words)) => words.starts_with(BYTES),
            (Overwritten::Field(mine), other) => mine == other,
            (Overwritten::TcpOptions, Field::HasHeader(op, _) | Field::Header(op, ..)) => {
                *op == exthdr::TCPOPT
            }
            // With one that is put in, the lengths of the headers change too.
            (Overwritten::TcpOptions, Field::Meta(MetaKey::Len) | Field::Reaches(..)) => true,
            (Overwritten::TcpOptions, Field::Byte(base, at)) => match base {
                PayloadBase::Network => (2..6).contains(at),
                PayloadBase::Transport => *at >= 12,
                _ => true,
            },
            (Overwritten::TcpOptions, _) => false,
        }
    }
}

/// One of several ways through a rule that exclude each other.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Way {
    /// For which packets this is the way.
    pub(super) when: Pred,
    /// Its steps.
    pub(super) ops: Vec<Op>,
}

/// What all rules of a question share.
pub(super) struct Shared<'a, 'q> {
    pub(super) terms: &'a mut Terms,
    pub(super) interfaces: &'a BTreeMap<u32, String>,
    pub(super) odd: Odd,
    pub(super) questions: &'a mut Questions<'q>,
    pub(super) known: &'a mut Known,
    pub(super) lens: &'a Lens,
    pub(super) lists: &'a mut Lists,
    /// Whether log lines and counters are noticed too.
    pub(super) effects: bool,
}

/// Ways are told apart so often at most; beyond it what is loaded is unknown.
const MOST_CHOICES: usize = 6;

/// Lowers a rule.
pub(super) fn rule(shared: &mut Shared<'_, '_>, site: Site<'_>, rule: &Rule) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut open: Vec<Vec<bool>> = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let mut chosen = Path { sides: path, at: 0, conditions: Vec::new(), fork: None };
        let mut lowering = Lowering {
            symbols: Symbols {
                terms: shared.terms,
                interfaces: shared.interfaces,
                odd: shared.odd,
                maps: Vec::new(),
                questions: shared.questions,
                asked: Vec::new(),
                site,
                rest: &[],
            },
            known: shared.known,
            lens: shared.lens,
            lists: shared.lists,
            effects: shared.effects,
            stand: site.stand,
            table: site.table,
            registers: Registers::new(),
            ops: Vec::new(),
            rate: None,
        };
        lowering.all(rule, &mut chosen);
        let mut ops = lowering.ops;
        if matches!(ops.last(), Some(Op::Test(_))) {
            // Nothing depends on it.
            ops.pop();
        }
        if let Some(fork) = chosen.fork {
            // Both ways from the start: the one that was begun is only half told.
            for side in [true, false] {
                let mut path = chosen.sides.clone();
                path.truncate(fork);
                path.push(side);
                open.push(path);
            }
            continue;
        }
        ways.push(Way { when: Pred::all(chosen.conditions), ops });
    }
    ways
}

/// The choices that were made in a way.
struct Path {
    sides: Vec<bool>,
    at: usize,
    conditions: Vec<Pred>,
    /// Where a new choice came up.
    fork: Option<usize>,
}

impl Choices for Path {
    fn choose(&mut self, condition: Pred) -> bool {
        if let Pred::Const(value) = condition {
            return value;
        }
        if self.conditions.contains(&condition) {
            return true;
        }
        if self.conditions.contains(&condition.clone().negated()) {
            return false;
        }
        let Some(side) = self.sides.get(self.at).copied() else {
            if self.at < MOST_CHOICES {
                self.fork.get_or_insert(self.at);
            }
            return false;
        };
        self.at += 1;
        self.conditions.push(if side { condition } else { condition.negated() });
        side
    }
}

/// A rule on its way.
pub(super) struct Lowering<'a, 's, 'q> {
    pub(super) symbols: Symbols<'s, 'q>,
    known: &'s mut Known,
    lens: &'s Lens,
    pub(super) lists: &'s mut Lists,
    effects: bool,
    pub(super) stand: Stand,
    pub(super) table: (usize, &'a Table),
    registers: Registers,
    pub(super) ops: Vec<Op>,
    /// The rate of log lines.
    rate: Option<String>,
}

impl<'s> Lowering<'_, 's, '_> {
    fn all(&mut self, rule: &'s Rule, choices: &mut dyn Choices) {
        for (at, expr) in rule.exprs.iter().enumerate() {
            self.symbols.rest = &rule.exprs[at + 1..];
            self.expr(expr, choices);
            if self.ops.last().is_some_and(ends) {
                // What stands behind is never reached.
                return;
            }
        }
    }

    /// Tests in a row are one.
    pub(super) fn test(&mut self, pred: Pred) {
        if pred == Pred::Const(true) {
            return;
        }
        match self.ops.last_mut() {
            Some(Op::Test(before)) => {
                let both = std::mem::replace(before, Pred::Const(true));
                *before = Pred::all([both, pred]);
            }
            _ => self.ops.push(Op::Test(pred)),
        }
    }

    fn put(&mut self, reg: Reg, loaded: super::load::Loaded) {
        self.test(loaded.if_so);
        self.registers.put(reg, &loaded.bytes);
    }

    fn expr(&mut self, expr: &Expr, choices: &mut dyn Choices) {
        match expr {
            Expr::Meta { key, dreg } => {
                let loaded = self.symbols.meta(self.stand, *key);
                self.put(*dreg, loaded);
            }
            Expr::Payload { base, offset, len, dreg } => {
                let loaded = self.symbols.payload(self.stand, *base, *offset, *len, choices);
                self.put(*dreg, loaded);
            }
            Expr::Ct { key, dir, dreg } => {
                let loaded = self.symbols.ct(self.stand, *key, *dir, choices);
                self.put(*dreg, loaded);
            }
            Expr::Exthdr { header, offset, len, flags, op, dreg } => {
                let loaded = self.symbols.exthdr(*header, *offset, *len, *flags, *op);
                self.put(*dreg, loaded);
            }
            Expr::Fib(fib) => {
                let loaded = self.symbols.fib(*fib);
                self.put(fib.dreg, loaded);
            }
            Expr::Immediate { dreg, data } => self.registers.put(*dreg, &known(data)),
            Expr::Bitwise { sreg, dreg, len, op } => self.bitwise(*sreg, *dreg, *len as usize, op),
            Expr::Byteorder { sreg, dreg, len, size, .. } => {
                let mut bytes = self.registers.get(*sreg, *len as usize);
                if cfg!(target_endian = "little") {
                    for number in bytes.chunks_mut((*size as usize).max(1)) {
                        number.reverse();
                    }
                }
                self.registers.put(*dreg, &bytes);
            }
            Expr::Cmp { op, sreg, data } => {
                let bytes = self.registers.get(*sreg, data.len());
                let words = || format!("{} {op:?} {data:02x?}", describe(&bytes));
                let pred = self.symbols.compare(&bytes, *op, data, &words);
                self.test(pred);
            }
            Expr::Range { op, sreg, from, to } => {
                let bytes = self.registers.get(*sreg, from.len());
                let words = || format!("{} in {from:02x?}-{to:02x?}", describe(&bytes));
                let above = self.symbols.compare(&bytes, CmpOp::Gte, from, &words);
                let below = self.symbols.compare(&bytes, CmpOp::Lte, to, &words);
                let within = Pred::all([above, below]);
                self.test(if *op == CmpOp::Neq { within.negated() } else { within });
            }
            Expr::Lookup { set, sreg, dreg, invert } => self.lookup(set, *sreg, *dreg, *invert),
            Expr::Verdict(verdict) => self.ops.push(Op::Verdict(verdict.clone())),
            Expr::Reject(reject) => {
                self.effect(format_args!("{reject:?}"));
                self.ops.push(Op::Reject);
            }
            Expr::MetaSet { key: MetaKey::Mark, sreg } => self.assign(Field::MARK, *sreg),
            Expr::CtSet { key: CtKey::Mark, sreg, .. } => {
                let tracked = self.symbols.tracked(self.stand);
                // Without an entry nothing is set, and the rule goes on.
                self.assign_if(Field::CT_MARK, *sreg, &tracked);
            }
            Expr::MetaSet { key, sreg } => {
                let bytes = self.registers.get(*sreg, 4);
                self.effect(format_args!("sets meta {key:?} to {}", describe(&bytes)));
                self.overwrite(Overwritten::Field(Field::Meta(*key)), Pred::Const(true));
            }
            Expr::CtSet { key, dir, sreg } => {
                let bytes = self.registers.get(*sreg, 4);
                self.effect(format_args!("sets ct {key:?} to {}", describe(&bytes)));
                self.overwrite(Overwritten::Field(Field::Ct(*key, *dir)), Pred::Const(true));
            }
            Expr::Counter { .. } | Expr::Last { .. } => {}
            Expr::Limit(limit) => {
                let words = format!("limit {}/{} burst {}", limit.rate, limit.seconds, limit.burst);
                // Where nothing but log lines depends on it, it belongs to them and decides nothing.
                let family = self.table.1.family;
                let idle = |expr: &Expr| match expr {
                    Expr::Log(_) | Expr::Counter { .. } | Expr::Last { .. } => true,
                    Expr::Unknown { .. } => only_tells(expr, family),
                    _ => false,
                };
                if self.symbols.rest.iter().all(idle) {
                    self.rate = Some(format!("{} {words}", if limit.over { "over" } else { "under" }));
                    return;
                }
                let under = self.symbols.unknown(&format!("under {words}"));
                self.test(if limit.over { under.negated() } else { under });
            }
            Expr::Quota { bytes, flags, .. } => self.unknown(&format!("quota {bytes} flags {flags}")),
            Expr::Connlimit { count, flags } => self.unknown(&format!("connlimit {count} flags {flags}")),
            Expr::Rt { key, dreg } => {
                let words = format!("rt key {key}");
                self.registers.put(*dreg, &opaque(&words, 16));
            }
            Expr::Dynset(dynset) => self.dynset(dynset),
            Expr::Log(log) => {
                self.logs(log);
            }
            Expr::PayloadSet { base, offset, len, .. } => {
                self.effect(format_args!("writes {len} bytes at {base:?} {offset}"));
                let there = self.symbols.payload(self.stand, *base, *offset, *len, choices);
                self.test(there.if_so);
                for byte in there.bytes {
                    if let Byte::Of { field, .. } = byte {
                        self.overwrite(Overwritten::Field((*field).clone()), Pred::Const(true));
                    }
                }
            }
            // What a translation leads to is a matter of its own; in its chain it ends the walk.
            Expr::Nat(nat) if self.is_of_others(nat) => {}
            Expr::Nat(_) | Expr::Masq(_) | Expr::Redir(_) => {
                if self.stand.slice.nat {
                    let read = |reg, len| self.registers.get(reg, len);
                    self.ops.push(Op::Translate(translated::cases(expr, &self.symbols, read)));
                } else {
                    self.effect(format_args!("{expr:?}"));
                }
                self.ops.push(Op::Verdict(Verdict::Accept));
            }
            Expr::Objref { kind, name } => self.object(*kind, &format!("object {kind} {name}")),
            Expr::ObjrefMap { set, sreg } => {
                // Without an element the rule does not match.
                self.lookup(set, *sreg, None, false);
                let kind = self.table.1.set(set).and_then(|set| set.object_kind);
                self.object(kind.unwrap_or(0), &format!("an object of {set}"));
            }
            Expr::Notrack => self.effect(format_args!("leaves it out of connection tracking")),
            Expr::Unknown { name, data } => self.foreign(expr, name, data, choices),
        }
    }

    /// What was known of something is forgotten, but for this.
    pub(super) fn overwrite(&mut self, what: Overwritten, becomes: Pred) {
        let op = Op::Overwrite { what, becomes };
        if self.ops.last() != Some(&op) {
            self.ops.push(op);
        }
    }

    pub(super) fn logs(&mut self, log: &dyn std::fmt::Debug) {
        let rate = self.rate.clone();
        let rate = rate.as_deref().unwrap_or("always");
        self.effect(format_args!("logs {log:?}, {rate}"));
    }

    /// The words are made only where somebody looks at them.
    pub(super) fn effect(&mut self, words: std::fmt::Arguments<'_>) {
        if self.effects {
            self.ops.push(Op::Effect(words.to_string().into()));
        }
    }

    /// In a table of both families, a translation of the other family is passed over.
    fn is_of_others(&self, nat: &Nat) -> bool {
        let family = match self.symbols.terms.family() {
            Family::V4 => TableFamily::Ip,
            Family::V6 => TableFamily::Ip6,
        };
        let of_both = TableFamily::Inet;
        self.table.1.family == of_both && ![family.number(), of_both.number()].contains(&nat.family)
    }

    fn unknown(&mut self, words: &str) {
        let pred = self.symbols.unknown(words);
        self.test(pred);
    }

    fn bitwise(&mut self, sreg: Reg, dreg: Reg, len: usize, op: &Bitop) {
        let mut bytes = self.registers.get(sreg, len);
        let known = |bytes: &[Byte]| -> Option<Vec<u8>> {
            bytes.iter().map(|byte| if let Byte::Known(value) = byte { Some(*value) } else { None }).collect()
        };
        match op {
            Bitop::MaskXor { mask, xor } => {
                for (byte, (mask, flip)) in bytes.iter_mut().zip(mask.iter().zip(xor)) {
                    *byte = masked(byte, *mask, *flip);
                }
            }
            Bitop::Shl(0) | Bitop::Shr(0) => {}
            Bitop::Shl(_) | Bitop::Shr(_) | Bitop::Other { .. } => {
                let words = format!("{op:?} of {}", describe(&bytes));
                bytes = match (known(&bytes), op) {
                    (Some(value), Bitop::Shl(bits) | Bitop::Shr(bits)) => {
                        shifted(&value, *bits, matches!(op, Bitop::Shl(_)))
                    }
                    _ => opaque(&words, len),
                };
            }
        }
        self.registers.put(dreg, &bytes);
    }

    fn lookup(&mut self, name: &str, sreg: Reg, dreg: Option<LookupTarget>, invert: bool) {
        let (index, table) = self.table;
        let Some(set) = table.set(name) else {
            return self.unknown(&format!("the set {name}, which is not there"));
        };
        let key = self.registers.get(sreg, set.key_len as usize);
        let meant = match table.family {
            TableFamily::Inet => self.lens.meant(&table.name, name),
            _ => None,
        };
        let id = (index, name.to_owned(), key);
        let hits: Hits = match self.known.get(&id) {
            Some(hits) => hits.clone(),
            None => {
                let hits: Hits = Arc::new(self.symbols.hits(set, &id.2, meant));
                self.known.insert(id, hits.clone());
                hits
            }
        };
        match dreg {
            Some(LookupTarget::Verdict) => {
                let map = hits.iter().filter_map(|(pred, data)| match (pred, data) {
                    (Pred::Const(false), _) => None,
                    (_, Some(Data::Verdict(verdict))) => Some((pred.clone(), verdict.clone())),
                    _ => None,
                });
                self.ops.push(Op::Map(map.collect()));
            }
            Some(LookupTarget::Value(dreg)) => {
                let values: Vec<(Pred, Vec<u8>)> = hits
                    .iter()
                    .filter_map(|(pred, data)| match data {
                        Some(Data::Value(value)) => Some((pred.clone(), value.clone())),
                        _ => None,
                    })
                    .collect();
                let any = Pred::any(values.iter().map(|(pred, _)| pred.clone()).collect::<Vec<_>>());
                self.test(any);
                let len = values.first().map_or(0, |(_, value)| value.len());
                let number = u32::try_from(self.symbols.maps.len()).unwrap_or(u32::MAX);
                self.symbols.maps.push(values);
                let bytes = (0..u8::try_from(len).unwrap_or(16)).map(|at| Byte::Mapped(number, at));
                self.registers.put(dreg, &bytes.collect::<Vec<_>>());
            }
            None => {
                let any = Pred::any(hits.iter().map(|(pred, _)| pred.clone()).collect::<Vec<_>>());
                self.test(if invert { any.negated() } else { any });
            }
        }
    }

    /// Uses an object of this kind.
    fn object(&mut self, kind: u32, words: &str) {
        self.effect(format_args!("uses {words}"));
        match kind {
            // Counters, helpers, tunnels, timeouts, marks let every packet through.
            1 | 3 | 6..=8 => {}
            // Quotas, limits, limits of connections.
            2 | 4 | 5 => self.unknown(words),
            // Expectations and proxies may drop it as well.
            _ => {
                let drops = self.symbols.unknown(&format!("{words} drops"));
                let others = drops.clone().negated();
                self.ops.push(Op::Map(vec![(drops, Verdict::Drop), (others, Verdict::Continue)]));
                self.unknown(words);
            }
        }
    }

    /// Changes a set: goes on if the element is there afterwards and what it carries lets it.
    fn dynset(&mut self, dynset: &Dynset) {
        let len = self.table.1.set(&dynset.set).map_or(4, |set| set.key_len as usize);
        let key = self.registers.get(dynset.key, len);
        let what = match dynset.op {
            DynsetOp::Add => "adds",
            DynsetOp::Update => "renews",
            DynsetOp::Delete => "deletes",
            DynsetOp::Other(_) => "changes",
        };
        let timeout = dynset.timeout.unwrap_or(0);
        let exprs = &dynset.exprs;
        let set = self.table.1.set(&dynset.set).map(|set| (set.room(), set.timeout));
        self.effect(format_args!(
            "{what} {} in {} {set:?} for {timeout} ms, {exprs:?}",
            describe(&key),
            dynset.set
        ));
        if dynset.op == DynsetOp::Delete {
            return;
        }
        for expr in exprs {
            match expr {
                Expr::Limit(limit) => {
                    let meant = self.lens.meant(&self.table.1.name, &dynset.set);
                    let over = match meant {
                        Some(meant) => self.symbols.meant(meant),
                        None => {
                            let words = format!("set {}: {} is over its limit", dynset.set, describe(&key));
                            self.symbols.unknown(&words)
                        }
                    };
                    self.test(if limit.over { over } else { over.negated() });
                }
                Expr::Quota { .. } | Expr::Connlimit { .. } => {
                    self.unknown(&format!("set {}: {} is under its limit", dynset.set, describe(&key)));
                }
                _ => {}
            }
        }
        if dynset.invert {
            // Goes on only where nothing could be added.
            self.unknown(&format!("set {} is full", dynset.set));
        }
    }

    fn assign(&mut self, field: Field, sreg: Reg) {
        self.assign_if(field, sreg, &Pred::Const(true));
    }

    fn assign_if(&mut self, field: Field, sreg: Reg, condition: &Pred) {
        let mut bytes = self.registers.get(sreg, 4);
        if let Some(Byte::Mapped(map, _)) = bytes.first() {
            let values = self.symbols.maps.get(*map as usize).cloned().unwrap_or_default();
            let mut cases: Vec<(Pred, Vec<Becomes>)> = values
                .into_iter()
                .map(|(when, value)| {
                    let mut value = value;
                    value.resize(4, 0);
                    (
                        Pred::all([condition.clone(), when]),
                        becomes(&field, &most_significant_first(known(&value))),
                    )
                })
                .collect();
            let none = Pred::any(cases.iter().map(|(when, _)| when.clone()).collect::<Vec<_>>()).negated();
            cases.push((none, Vec::new()));
            self.effect(format_args!("changes {field:?} by a map: {cases:?}"));
            self.ops.push(Op::Assign { field, cases });
            return;
        }
        bytes = most_significant_first(bytes);
        let bits = becomes(&field, &bytes);
        self.assign_bits(field, bits, condition);
    }

    /// Changes a mark where the condition holds.
    pub(super) fn assign_bits(&mut self, field: Field, bits: Vec<Becomes>, condition: &Pred) {
        // A change of a mark that nobody knew at the beginning leaves no trace in what is known of it afterwards.
        let changed: Vec<(usize, &Becomes)> =
            bits.iter().enumerate().filter(|(_, bit)| **bit != Becomes::Same).collect();
        self.effect(format_args!("changes {field:?}: {changed:?}"));
        let mut cases = vec![(condition.clone(), bits)];
        if *condition != Pred::Const(true) {
            cases.push((condition.clone().negated(), Vec::new()));
        }
        self.ops.push(Op::Assign { field, cases });
    }

    /// What has no type of ours.
    fn foreign(&mut self, expr: &Expr, name: &str, data: &[u8], choices: &mut dyn Choices) {
        match name {
            // These go on, whatever they do.
            "dup" | "flow_offload" | "notrack" => self.effect(format_args!("{name} {data:02x?}")),
            "queue" => self.ops.push(Op::Verdict(Verdict::Queue)),
            "match" | "target" => self.xtables(expr, choices),
            _ => {
                let words = format!("{name} {data:02x?}");
                self.effect(format_args!("{words}"));
                self.unknown(&words);
                self.registers.forget(&words);
            }
        }
    }
}

/// Whether no packet goes on with the next expression. `continue` does, alone or out of a map.
fn ends(op: &Op) -> bool {
    match op {
        Op::Test(pred) => *pred == Pred::Const(false),
        Op::Verdict(verdict) => *verdict != Verdict::Continue,
        Op::Map(map) => map.iter().all(|(_, verdict)| *verdict != Verdict::Continue),
        Op::Reject => true,
        Op::Assign { .. } | Op::Overwrite { .. } | Op::Effect(_) | Op::Translate(_) => false,
    }
}

fn opaque(words: &str, len: usize) -> Vec<Byte> {
    let words: Arc<str> = words.into();
    (0..len).map(|at| Byte::Opaque(words.clone(), u8::try_from(at).unwrap_or(0))).collect()
}

fn masked(byte: &Byte, mask: u8, flip: u8) -> Byte {
    match byte {
        Byte::Known(value) => Byte::Known(value & mask ^ flip),
        _ if mask == 0 => Byte::Known(flip),
        Byte::Of { field, shift, and, xor } => {
            Byte::Of { field: field.clone(), shift: *shift, and: and & mask, xor: xor & mask ^ flip }
        }
        Byte::Mapped(..) | Byte::Opaque(..) if mask == 0xff && flip == 0 => byte.clone(),
        Byte::Mapped(..) => Byte::Opaque(format!("a value of a map & {mask:#04x} ^ {flip:#04x}").into(), 0),
        Byte::Opaque(words, at) => Byte::Opaque(format!("{words} & {mask:#04x} ^ {flip:#04x}").into(), *at),
    }
}

/// A shift over the words of a register, each in the order of the host, the first the most significant.
fn shifted(value: &[u8], bits: u32, left: bool) -> Vec<Byte> {
    let mut number = value.chunks(4).fold(0u128, |sum, word| {
        let mut bytes = [0; 4];
        bytes[..word.len()].copy_from_slice(word);
        sum << 32 | u128::from(u32::from_ne_bytes(bytes))
    });
    number = if left { number.checked_shl(bits) } else { number.checked_shr(bits) }.unwrap_or(0);
    let words = value.len().div_ceil(4);
    let mut bytes: Vec<u8> = (0..words)
        .rev()
        .flat_map(|word| {
            let part = u32::try_from(number >> (32 * word) & u128::from(u32::MAX)).unwrap_or(0);
            part.to_ne_bytes()
        })
        .collect();
    bytes.truncate(value.len());
    known(&bytes)
}

fn most_significant_first(mut bytes: Vec<Byte>) -> Vec<Byte> {
    if cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

/// What each bit becomes, from the lowest on, when these bytes are written to a mark.
fn becomes(mark: &Field, bytes: &[Byte]) -> Vec<Becomes> {
    let mut bits = Vec::with_capacity(32);
    for (byte, place) in bytes.iter().rev().zip(0u32..) {
        for bit in 0..8u32 {
            bits.push(match byte {
                Byte::Known(value) => Becomes::Bit(Bit::Set(value >> bit & 1 == 1)),
                Byte::Of { and, xor, .. } if and >> bit & 1 == 0 => {
                    Becomes::Bit(Bit::Set(xor >> bit & 1 == 1))
                }
                Byte::Of { field, shift, xor, .. } if **field == *mark && u32::from(*shift) == place * 8 => {
                    if xor >> bit & 1 == 1 {
                        Becomes::Bit(Bit::Flipped)
                    } else {
                        Becomes::Same
                    }
                }
                Byte::Of { field, shift, xor, .. }
                    if xor >> bit & 1 == 0 && matches!(**field, Field::MARK | Field::CT_MARK) =>
                {
                    Becomes::Of((**field).clone(), u32::from(*shift) + bit)
                }
                _ => Becomes::Bit(Bit::Anything),
            });
        }
    }
    bits
}
