//! Rules: walks the bytecode with symbolic registers and writes the statements; knows no table layout.

use super::context::{Context, Item};
use super::matching::{Draft, RelOp, split_front};
use super::sym::{self, Exthdr, Kind, Op, SetRef, Sym, Writer, verdict_text};
use super::types::{Base, Order, Ty};
use super::{Style, clean, key, statement};
use crate::ruleset::{
    Bitop, Chain, CmpOp, Dynset, DynsetOp, Expr, FibResult, LookupTarget, Nat, NatRange, PayloadBase, Reg,
    Rule, Table, TableFamily, Verdict, comment_of, exthdr, udata_kind,
};
use std::fmt::Write as _;

/// Chains inside of rules inside of chains: more are called by name.
const DEEPEST: u8 = 3;
/// Parts of one value.
const MOST_PARTS: usize = 256;

/// The text of a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct RuleText {
    pub(super) text: String,
    /// Expressions without words: name and bytes.
    pub(super) unknown: Vec<(String, usize)>,
}

/// Writes a rule, comment included.
pub(super) fn write(table: &Table, rule: &Rule, style: &Style) -> RuleText {
    write_inside(table, rule, style, 0)
}

/// Writes a rule so many chains deep inside of other rules.
fn write_inside(table: &Table, rule: &Rule, style: &Style, depth: u8) -> RuleText {
    let mut walk = Walk::new(table, style);
    walk.depth = depth;
    walk.run(&rule.exprs);
    let mut text = walk.text();
    if let Some(comment) = comment_of(udata_kind::RULE_COMMENT, &rule.udata) {
        let _ = write!(text, " comment \"{}\"", clean(&comment));
    }
    RuleText { text: text.trim_start().to_owned(), unknown: walk.unknown }
}

/// Writes the expressions of an element or a set; `stateless` without counts.
pub(super) fn element_exprs(table: &Table, style: &Style, exprs: &[Expr], stateless: bool) -> RuleText {
    let mut walk = Walk::new(table, style);
    walk.stateless = stateless;
    walk.run(exprs);
    RuleText { text: walk.text(), unknown: walk.unknown }
}

/// A register was used that holds no value.
#[derive(Debug)]
struct Empty;

/// A walk over the expressions of a rule.
pub(super) struct Walk<'a> {
    style: &'a Style,
    pub(super) draft: Draft<'a>,
    registers: [Option<Sym>; 16],
    stateless: bool,
    /// Inline chains around this rule.
    depth: u8,
    unknown: Vec<(String, usize)>,
}

impl<'a> Walk<'a> {
    fn new(table: &'a Table, style: &'a Style) -> Walk<'a> {
        Walk {
            style,
            draft: Draft { table, context: Context::new(table.family), items: Vec::new(), in_key: false },
            registers: Default::default(),
            stateless: false,
            depth: 0,
            unknown: Vec::new(),
        }
    }

    fn run(&mut self, exprs: &[Expr]) {
        for expr in exprs {
            if self.step(expr).is_none() {
                let (name, bytes) = match expr {
                    Expr::Unknown { name, data } => (name.clone(), data.len()),
                    known => (name_of(known).to_owned(), 0),
                };
                self.draft.items.push(Item::Text(format!("[{}]", clean(&name))));
                self.unknown.push((name, bytes));
                self.draft.context.keep_all();
            }
        }
    }

    fn text(&self) -> String {
        let writer = self.writer();
        let texts = self.draft.items.iter().filter_map(|item| match item {
            Item::Match(rel) => Some(rel.write(&writer)),
            Item::Text(text) => Some(text.clone()),
            Item::Gone => None,
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    fn writer(&self) -> Writer<'a> {
        Writer { table: self.draft.table, style: self.style, numeric: false }
    }

    /// The text of a value as it stands.
    pub(super) fn text_of(&self, sym: &Sym) -> String {
        sym.write(&self.writer())
    }

    /// Adds a statement that has effects.
    pub(super) fn statement(&mut self, text: String) {
        self.draft.items.push(Item::Text(text));
        self.draft.context.keep_all();
    }

    /// Puts a value into a register.
    pub(super) fn load(&mut self, reg: Reg, sym: Sym) -> Option<()> {
        // Values made of values of values grow without end.
        if sym.weight() > MOST_PARTS {
            return None;
        }
        *self.registers.get_mut(usize::from(reg.0))? = Some(sym);
        Some(())
    }

    /// The value that starts in a register.
    pub(super) fn value(&self, reg: Reg) -> Option<Sym> {
        self.registers.get(usize::from(reg.0))?.clone()
    }

    /// The value of so many bits: one, or a concatenation of those that stand side by side.
    pub(super) fn values(&self, reg: Reg, bits: u32) -> Option<Sym> {
        let first = self.value(reg)?;
        if first.bits >= bits || first.bits == 0 {
            return Some(first);
        }
        let mut parts = Vec::new();
        let mut index = reg.0;
        let mut left = bits;
        while left > 0 {
            let part = self.value(Reg(index)).filter(|part| part.bits > 0)?;
            let words = part.bits.div_ceil(32);
            index = index.checked_add(u8::try_from(words).ok()?)?;
            left = left.saturating_sub(words.saturating_mul(32));
            parts.push(part);
        }
        Some(Sym::new(Kind::Concat(parts), Ty::Invalid, Order::None, bits))
    }

    /// The key of a set in registers.
    fn set_key(&self, name: &str, reg: Reg) -> Option<Sym> {
        let set = self.draft.table.set(name)?;
        self.values(reg, set.key_len.checked_mul(8)?)
    }

    fn step(&mut self, expr: &Expr) -> Option<()> {
        match expr {
            Expr::Meta { key, dreg } => self.load(*dreg, sym::meta(key.number())?),
            Expr::Ct { key, dir, dreg } => self.load(*dreg, sym::ct(key.number(), *dir)?),
            Expr::Payload { base, offset, len, dreg } => {
                let layer = layer_of(*base)?;
                let sym = sym::payload(layer, offset.checked_mul(8)?, len.checked_mul(8)?);
                self.load(*dreg, sym)
            }
            Expr::Exthdr { header, offset, len, flags, op, dreg } => {
                let place = Exthdr {
                    op: *op,
                    number: *header,
                    offset: offset.checked_mul(8)?,
                    present: flags & exthdr::PRESENT != 0,
                };
                self.load(*dreg, sym::extension(place, len.checked_mul(8)?))
            }
            Expr::Fib(fib) => {
                let result = match fib.result {
                    FibResult::Oif => 1,
                    FibResult::Oifname => 2,
                    FibResult::AddrType => 3,
                    FibResult::Other(number) => number,
                };
                self.load(fib.dreg, sym::fib(result, fib.flags)?)
            }
            Expr::Rt { key, dreg } => self.load(*dreg, sym::rt(*key)?),
            Expr::Immediate { dreg, data } => self.load(*dreg, Sym::of_bytes(data)?),
            Expr::Bitwise { sreg, dreg, op, .. } => {
                let sym = bitwise(self.value(*sreg)?, op)?;
                self.load(*dreg, sym)
            }
            Expr::Byteorder { sreg, dreg, .. } => {
                let inner = self.value(*sreg)?;
                let bits = inner.bits;
                self.load(*dreg, Sym::new(Kind::Swap(Box::new(inner)), Ty::Invalid, Order::None, bits))
            }
            Expr::Cmp { op, sreg, data } => self.compare(*op, *sreg, data),
            Expr::Range { op, sreg, from, to } => {
                let left = self.value(*sreg)?;
                let (from, to) = (Sym::of_bytes(from)?, Sym::of_bytes(to)?);
                let bits = from.bits;
                let kind = Kind::Range(Box::new(from), Box::new(to));
                self.draft.relate(relation(*op), left, Sym::new(kind, Ty::Integer, Order::None, bits));
                Some(())
            }
            Expr::Lookup { set, sreg, dreg, invert } => self.lookup(set, *sreg, *dreg, *invert),
            Expr::ObjrefMap { sreg, set } => {
                let kind = self.draft.table.set(set)?.object_kind?;
                let key = self.set_key(set, *sreg)?;
                let map = Sym::new(Kind::Map(Box::new(key), SetRef::to(set)), Ty::Text, Order::Host, 0);
                let map = self.draft.finish(map);
                self.statement(format!("{}{}", statement::object_use(kind), self.text_of(&map)));
                Some(())
            }
            Expr::Verdict(verdict) => {
                let text = self.verdict(verdict);
                self.statement(text);
                Some(())
            }
            Expr::Dynset(dynset) => self.dynset(dynset),
            Expr::MetaSet { key, sreg } => {
                let template = sym::meta(key.number())?;
                let value = self.value(*sreg)?.typed(template.ty, template.order);
                let value = self.draft.finish(value);
                let target = sym::meta_text(key.number());
                self.statement(format!("{target} set {}", self.text_of(&value)));
                Some(())
            }
            Expr::CtSet { key, dir, sreg } => {
                let target = sym::ct(key.number(), *dir)?;
                let value = self.value(*sreg)?.typed(target.ty, target.order);
                let value = self.draft.finish(value);
                let value = if target.ty == Ty::CtEvent {
                    Sym::new(Kind::List(value.alternatives()), Ty::CtEvent, Order::Network, 32)
                } else {
                    value
                };
                self.statement(format!("{} set {}", self.text_of(&target), self.text_of(&value)));
                Some(())
            }
            Expr::PayloadSet { base, offset, len, sreg, .. } => {
                let target = sym::payload(layer_of(*base)?, offset.checked_mul(8)?, len.checked_mul(8)?);
                let value = self.value(*sreg)?;
                let (target, value) = self.draft.finish_payload_write(target, value);
                self.statement(format!("{} set {}", self.text_of(&target), self.text_of(&value)));
                Some(())
            }
            Expr::Nat(nat) => self.nat(nat),
            Expr::Masq(range) => self.local_nat("masquerade", *range),
            Expr::Redir(range) => self.local_nat("redirect", *range),
            Expr::Unknown { name, data } => self.foreign(name, data),
            other => self.plain(other),
        }
    }

    /// Statements that take nothing from registers.
    fn plain(&mut self, expr: &Expr) -> Option<()> {
        let text = match expr {
            Expr::Counter { .. } if self.stateless => "counter".to_owned(),
            Expr::Counter { packets, bytes } => statement::counter(*packets, *bytes),
            Expr::Limit(limit) => format!("limit {}", statement::rate(limit)),
            Expr::Quota { bytes, consumed, flags } => {
                format!("quota {}", statement::quota(*bytes, *consumed, *flags, self.stateless))
            }
            Expr::Connlimit { count, flags } => statement::connlimit(*count, *flags),
            Expr::Log(log) => statement::log(log),
            Expr::Notrack => "notrack".to_owned(),
            Expr::Objref { kind, name } => {
                statement::object_kind(*kind)?;
                format!("{}\"{}\"", statement::object_use(*kind), clean(name))
            }
            Expr::Reject(reject) => {
                let context = &mut self.draft.context;
                let mixed =
                    matches!(context.family, TableFamily::Inet | TableFamily::Bridge | TableFamily::Netdev);
                let text = statement::reject(*reject, context.network(), mixed)?;
                let is_icmpx = matches!(reject, crate::ruleset::Reject::Icmpx(_));
                if mixed && !is_icmpx {
                    context.drop_said(super::headers::layer::NETWORK, &mut self.draft.items);
                } else if !mixed && *reject == crate::ruleset::Reject::TcpReset {
                    context.drop_said(super::headers::layer::TRANSPORT, &mut self.draft.items);
                }
                text
            }
            _ => return None,
        };
        self.statement(text);
        Some(())
    }

    fn compare(&mut self, op: CmpOp, sreg: Reg, data: &[u8]) -> Option<()> {
        let mut left = self.value(sreg)?;
        let bits = sym::bits(data.len());
        let right = if left.bits > 0 && left.bits < bits && left.bits.div_ceil(8) * 8 < bits {
            left = self.values(sreg, bits)?;
            let Kind::Concat(parts) = &left.kind else { return None };
            Sym::new(Kind::Concat(split(data, parts)?), Ty::Invalid, Order::None, bits)
        } else {
            let value = Sym::of_bytes(data)?;
            if left.bits > value.bits && left.ty.base() != Base::Text {
                let missing = left.bits - value.bits;
                let number = value.number()?.checked_shl(missing).unwrap_or(0);
                let whole = Sym::constant(number, left.bits);
                Sym::new(Kind::Prefix(Box::new(whole), bits), Ty::Integer, Order::None, left.bits)
            } else {
                value
            }
        };
        self.draft.relate(relation(op), left, right);
        Some(())
    }

    fn lookup(&mut self, name: &str, sreg: Reg, dreg: Option<LookupTarget>, invert: bool) -> Option<()> {
        let set = self.draft.table.set(name)?;
        let key = self.set_key(name, sreg)?;
        let reference = SetRef::to(name);
        match dreg {
            None => {
                let op = if invert { RelOp::Neq } else { RelOp::Eq };
                let right = Sym::new(Kind::Set(reference), Ty::Invalid, Order::None, 0);
                self.draft.relate(op, key, right);
                Some(())
            }
            Some(target) => {
                let bits = match set.data {
                    Some(crate::ruleset::DataType::Value { len, .. }) => len.checked_mul(8)?,
                    _ => 0,
                };
                let map = Sym::new(Kind::Map(Box::new(key), reference), Ty::Invalid, Order::None, bits);
                if let LookupTarget::Value(reg) = target {
                    return self.load(reg, map);
                }
                let map = self.draft.finish(map);
                let text = self.text_of(&map);
                self.draft.items.push(Item::Text(text));
                self.draft.context.previous = None;
                Some(())
            }
        }
    }

    fn verdict(&mut self, verdict: &Verdict) -> String {
        let (word, name) = match verdict {
            Verdict::Jump(name) => ("jump", name),
            Verdict::Goto(name) => ("goto", name),
            other => return verdict_text(other),
        };
        match self.draft.table.chain(name) {
            Some(chain) if is_inline(chain) && self.depth < DEEPEST => {
                let mut text = format!("{word} {{\n");
                for rule in &chain.rules {
                    let inner = write_inside(self.draft.table, rule, self.style, self.depth + 1);
                    self.unknown.extend(inner.unknown);
                    let _ = writeln!(text, "\t\t\t{}", inner.text);
                }
                text + "\t\t}"
            }
            _ => verdict_text(verdict),
        }
    }

    fn dynset(&mut self, dynset: &Dynset) -> Option<()> {
        let set = self.draft.table.set(&dynset.set)?;
        let mut key = self.set_key(&dynset.set, dynset.key)?;
        if let (Kind::Concat(parts), Some((typed, _))) = (&mut key.kind, key::of(set))
            && typed.concat
        {
            for (part, of_set) in parts.iter_mut().zip(&typed.parts) {
                if part.is_constant() {
                    part.set_type(of_set.ty, of_set.ty.order());
                }
            }
        }
        let outer = std::mem::replace(&mut self.draft.in_key, true);
        let key = self.draft.finish(key);
        self.draft.in_key = outer;
        let mut inner = self.text_of(&key);
        if let Some(timeout) = dynset.timeout.filter(|timeout| *timeout > 0) {
            let _ = write!(inner, " timeout {}", super::types::duration(timeout));
        }
        let exprs = element_exprs(self.draft.table, self.style, &dynset.exprs, true);
        if !exprs.text.is_empty() {
            let _ = write!(inner, " {}", exprs.text);
        }
        self.unknown.extend(exprs.unknown);
        if let Some(reg) = dynset.data {
            let (_, data) = key::of(set)?;
            let part = *data?.parts.first()?;
            let value = self.value(reg)?.typed(part.ty, part.order);
            let value = self.draft.finish(value);
            let _ = write!(inner, " : {}", self.text_of(&value));
        }
        let anonymous = set.flags & crate::ruleset::set_flags::ANONYMOUS != 0;
        let name = clean(&dynset.set);
        let text = if anonymous && !dynset.exprs.is_empty() {
            format!("meter {name} size {} {{ {inner} }}", set.size.unwrap_or(0))
        } else {
            let op = match dynset.op {
                DynsetOp::Add => "add",
                DynsetOp::Update => "update",
                DynsetOp::Delete => "delete",
                DynsetOp::Other(_) => return None,
            };
            format!("{op} @{name} {{ {inner} }}")
        };
        self.statement(text);
        Some(())
    }

    fn nat(&mut self, nat: &Nat) -> Option<()> {
        const NETMAP: u32 = 0x40;
        let (ty, family) = match nat.family {
            10 => (Ty::Ip6, " ip6"),
            2 => (Ty::Ip4, " ip"),
            _ => (Ty::Ip4, ""),
        };
        let mut shown_family = self.draft.table.family == TableFamily::Inet;
        // A map that gives address and port at once, or both ends of a range, says all by one value.
        let by_map =
            nat.addr.0.and_then(|reg| self.value(reg)).filter(|sym| self.is_whole_nat(sym, nat.family));
        let (mut address, mut ports) = if let Some(sym) = by_map {
            shown_family = true;
            (Some(sym.typed(ty, Order::Network)), None)
        } else {
            let ports = self.pair(nat.range.proto_min, nat.range.proto_max, Ty::Service).ok()?;
            (self.pair(nat.addr.0, nat.addr.1, ty).ok()?, ports)
        };
        if let Some(sym) = address.take() {
            address = Some(self.draft.finish(sym));
        }
        if let Some(sym) = ports.take() {
            self.draft.context.keep_all();
            ports = Some(self.draft.finish(sym));
        }
        let mut text = if nat.source { "snat" } else { "dnat" }.to_owned();
        if address.is_some() || ports.is_some() {
            if shown_family {
                text.push_str(family);
            }
            if nat.range.flags & NETMAP != 0 {
                text.push_str(" prefix");
            }
            text.push_str(" to");
        }
        if let Some(address) = &address {
            let _ = write!(text, " {}", self.address_text(address, ports.is_some()));
        }
        if let Some(ports) = &ports {
            let space = if address.is_none() { " " } else { "" };
            let _ = write!(text, "{space}:{}", self.text_of(ports));
        }
        self.statement(text + &statement::nat_flags(nat.range.flags));
        Some(())
    }

    /// Whether a map's value is more than one address.
    fn is_whole_nat(&self, sym: &Sym, family: u8) -> bool {
        let Kind::Map(_, map) = &sym.kind else { return false };
        let [with_port, range, both] = if family == 10 { [160, 256, 320] } else { [64, 64, 128] };
        let interval = self.draft.table.set(&map.name).is_some_and(key::data_is_interval);
        sym.bits == with_port || interval && (sym.bits == range || sym.bits == both)
    }

    /// An address; IPv6 in brackets where a port follows.
    fn address_text(&self, address: &Sym, brackets: bool) -> String {
        let six = |sym: &Sym| brackets && sym.ty == Ty::Ip6;
        match &address.kind {
            Kind::Const(_) if six(address) => format!("[{}]", self.text_of(address)),
            Kind::Range(from, to) if six(from) => {
                format!("[{}]-[{}]", self.text_of(from), self.text_of(to))
            }
            _ => self.text_of(address),
        }
    }

    fn local_nat(&mut self, word: &str, range: NatRange) -> Option<()> {
        let mut text = word.to_owned();
        if let Some(ports) = self.pair(range.proto_min, range.proto_max, Ty::Service).ok()? {
            self.draft.context.keep_all();
            let ports = self.draft.finish(ports);
            let _ = write!(text, " to :{}", self.text_of(&ports));
        }
        self.statement(text + &statement::nat_flags(range.flags));
        Some(())
    }

    /// A value, or a range where two registers hold its ends.
    fn pair(&self, first: Option<Reg>, last: Option<Reg>, ty: Ty) -> Result<Option<Sym>, Empty> {
        let Some(first_reg) = first else { return Ok(None) };
        let from = self.value(first_reg).ok_or(Empty)?.typed(ty, Order::Network);
        let Some(last_reg) = last.filter(|last| *last != first_reg) else {
            return Ok(Some(from));
        };
        let to = self.value(last_reg).ok_or(Empty)?.typed(ty, Order::Network);
        let bits = from.bits;
        if let (Some(a), Some(b), true) = (from.number(), to.number(), ty.has_prefixes())
            && let Some(len) = prefix_len(a, b, bits)
        {
            return Ok(Some(Sym::new(Kind::Prefix(Box::new(from), len), ty, Order::Network, bits)));
        }
        let kind = Kind::Range(Box::new(from), Box::new(to));
        Ok(Some(Sym::new(kind, ty, Order::Network, bits)))
    }
}

/// The length of the prefix that a range is.
pub(super) fn prefix_len(from: u128, to: u128, bits: u32) -> Option<u32> {
    let host = (from ^ to).trailing_ones();
    let span = if host >= 128 { u128::MAX } else { (1 << host) - 1 };
    (host > 0 && from ^ to == span && from & span == 0).then(|| bits.saturating_sub(host))
}

/// Whether a chain is written inside of the rule that calls it.
pub(super) fn is_inline(chain: &Chain) -> bool {
    chain.base.is_none() && chain.name.starts_with("__chain")
}

fn layer_of(base: PayloadBase) -> Option<usize> {
    Some(match base {
        PayloadBase::Link => 1,
        PayloadBase::Network => 2,
        PayloadBase::Transport => 3,
        PayloadBase::Inner => 4,
        PayloadBase::Other(_) => return None,
    })
}

const fn relation(op: CmpOp) -> RelOp {
    match op {
        CmpOp::Eq => RelOp::Eq,
        CmpOp::Neq => RelOp::Neq,
        CmpOp::Lt => RelOp::Lt,
        CmpOp::Lte => RelOp::Lte,
        CmpOp::Gt => RelOp::Gt,
        CmpOp::Gte => RelOp::Gte,
    }
}

/// Cuts constant bytes like the values they are compared with, each padded to 4 bytes.
fn split(data: &[u8], parts: &[Sym]) -> Option<Vec<Sym>> {
    let mut rest = data;
    let mut values = Vec::new();
    for part in parts {
        let bytes = part.bits.div_ceil(8) as usize;
        let mut value = Sym::of_bytes(rest.get(..bytes)?)?;
        values.push(split_front(&mut value, part.bits)?);
        rest = rest.get(bytes.next_multiple_of(4)..).unwrap_or(&[]);
    }
    Some(values)
}

/// `(left & mask) ^ xor` as people write it: masked bits, flipped bits, set bits.
fn bitwise(left: Sym, op: &Bitop) -> Option<Sym> {
    let bits = left.bits;
    let binop = |op: Op, left: Sym, right: Sym| {
        Sym::new(Kind::Binop(op, Box::new(left), Box::new(right)), Ty::Invalid, Order::None, bits)
    };
    let amount = |by: u32| Sym::constant(u128::from(by), 32);
    let (mask, xor) = match op {
        Bitop::MaskXor { mask, xor } => (mask, xor),
        Bitop::Shl(by) => return Some(binop(Op::Shl, left, amount(*by))),
        Bitop::Shr(by) => return Some(binop(Op::Shr, left, amount(*by))),
        Bitop::Other { .. } => return None,
    };
    let width = sym::bits(mask.len());
    let (mask, xor) = (Sym::of_bytes(mask)?.number()?, Sym::of_bytes(xor)?.number()?);
    let set = xor & !mask;
    let flip = xor & mask;
    let keep = mask | set;
    let mut sym = left;
    let all = if width >= 128 { u128::MAX } else { (1 << width) - 1 };
    if keep != all {
        sym = binop(Op::And, sym, Sym::constant(keep, width));
    }
    if flip != 0 {
        sym = binop(Op::Xor, sym, Sym::constant(flip, width));
    }
    if set != 0 {
        sym = binop(Op::Or, sym, Sym::constant(set, width));
    }
    Some(sym)
}

/// What the kernel calls an expression that could not be written.
const fn name_of(expr: &Expr) -> &'static str {
    match expr {
        Expr::Meta { .. } | Expr::MetaSet { .. } => "meta",
        Expr::Payload { .. } | Expr::PayloadSet { .. } => "payload",
        Expr::Exthdr { .. } => "exthdr",
        Expr::Cmp { .. } => "cmp",
        Expr::Range { .. } => "range",
        Expr::Bitwise { .. } => "bitwise",
        Expr::Byteorder { .. } => "byteorder",
        Expr::Immediate { .. } | Expr::Verdict(_) => "immediate",
        Expr::Lookup { .. } => "lookup",
        Expr::Dynset(_) => "dynset",
        Expr::Ct { .. } | Expr::CtSet { .. } => "ct",
        Expr::Counter { .. } => "counter",
        Expr::Limit(_) => "limit",
        Expr::Quota { .. } => "quota",
        Expr::Log(_) => "log",
        Expr::Reject(_) => "reject",
        Expr::Nat(_) => "nat",
        Expr::Masq(_) => "masq",
        Expr::Redir(_) => "redir",
        Expr::Fib(_) => "fib",
        Expr::Rt { .. } => "rt",
        Expr::Connlimit { .. } => "connlimit",
        Expr::Objref { .. } | Expr::ObjrefMap { .. } => "objref",
        Expr::Last { .. } => "last",
        Expr::Notrack => "notrack",
        Expr::Unknown { .. } => "unknown",
    }
}
