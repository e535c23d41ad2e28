//! Matches: from a comparison of registers to what nft would have written for it; knows no bytecode.

use super::context::{Context, Item, ct_layer, key, meta_layer};
use super::headers::{Header, layer};
use super::sym::{Exthdr, Kind, Op, SetRef, Sym, Writer};
use super::types::{Base, Order, Ty};
use crate::ruleset::{Elements, Table, exthdr, set_flags};

/// How two sides relate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RelOp {
    /// Some of the flags are set.
    Some,
    /// None of the flags is set.
    NoneOf,
    Eq,
    Neq,
    Lt,
    Gt,
    Lte,
    Gte,
}

/// A match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Rel {
    pub(super) op: RelOp,
    pub(super) left: Sym,
    pub(super) right: Sym,
    /// The flags that are looked at, if not all.
    pub(super) mask: Option<Sym>,
}

impl Rel {
    pub(super) fn new(op: RelOp, left: Sym, right: Sym) -> Rel {
        Rel { op, left, right, mask: None }
    }

    pub(super) fn is_equality(&self) -> bool {
        self.op == RelOp::Eq
    }

    /// The text of nft.
    pub(super) fn write(&self, writer: &Writer) -> String {
        let left = self.left.write(writer);
        let right = self.right.write(writer);
        if let Some(mask) = &self.mask {
            let op = if self.op == RelOp::Neq { "!= " } else { "" };
            return format!("{left} {op}{right} / {}", mask.write(writer));
        }
        let flag = self.right.ty.base() == Base::Flags && self.right.is_constant();
        let op = match self.op {
            RelOp::Eq if flag || matches!(self.left.kind, Kind::Binop(..)) => "== ",
            RelOp::Eq | RelOp::Some => "",
            RelOp::NoneOf => "! ",
            RelOp::Neq => "!= ",
            RelOp::Lt => "< ",
            RelOp::Gt => "> ",
            RelOp::Lte => "<= ",
            RelOp::Gte => ">= ",
        };
        format!("{left} {op}{right}")
    }
}

/// A rule while it is put together.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) table: &'a Table,
    pub(super) context: Context,
    pub(super) items: Vec<Item>,
    /// Inside of a key, where a mask selects a field without a comparison.
    pub(super) in_key: bool,
}

impl Draft<'_> {
    /// Completes an expression that stands alone: names its fields, settles its constants.
    pub(super) fn finish(&mut self, mut sym: Sym) -> Sym {
        match sym.kind {
            Kind::Const(_) => return sym.settled(),
            Kind::Payload(_) => {
                self.context.complete(&mut sym);
                self.context.payload_implies(&sym, &mut self.items);
            }
            Kind::Exthdr(ref place) => {
                let said = match place.op {
                    exthdr::TCPOPT => layer::TRANSPORT,
                    exthdr::IPV4 | exthdr::IPV6 => layer::NETWORK,
                    _ => layer::NONE,
                };
                self.context.drop_said(said, &mut self.items);
            }
            Kind::Ct { key, ref mut family, .. } => self.finish_ct(key, family, &mut sym.ty, &mut sym.bits),
            Kind::Range(from, to) => {
                sym.kind = Kind::Range(Box::new(self.finish(*from)), Box::new(self.finish(*to)));
            }
            Kind::Prefix(inner, len) => sym.kind = Kind::Prefix(Box::new(self.finish(*inner)), len),
            Kind::Concat(parts) => {
                let outer = std::mem::replace(&mut self.in_key, true);
                sym.kind = Kind::Concat(parts.into_iter().map(|part| self.finish(part)).collect());
                self.in_key = outer;
            }
            Kind::Swap(inner) => {
                let inner = self.finish(*inner);
                (sym.ty, sym.order) = (inner.ty, inner.order.swapped());
                sym.kind = Kind::Swap(Box::new(inner));
            }
            Kind::Map(key, mut map) => {
                let key = self.trim_key(*key, &mut map);
                sym.kind = Kind::Map(Box::new(self.finish(key)), map);
            }
            Kind::Binop(op, left, right) => return self.finish_binop(op, *left, *right, sym.bits),
            Kind::Hash(inner, rest) => sym.kind = Kind::Hash(Box::new(self.finish(*inner)), rest),
            Kind::Meta(_) | Kind::Written(_) | Kind::Set(_) | Kind::List(_) => {}
        }
        sym
    }

    fn finish_ct(&self, ct: u32, family: &mut &'static str, ty: &mut Ty, bits: &mut u32) {
        match ct {
            key::CT_SRC | key::CT_DST => match self.context.network() {
                Some(Header::Ip) => (*family, *ty, *bits) = ("ip ", Ty::Ip4, 32),
                Some(Header::Ip6) => (*family, *ty, *bits) = ("ip6 ", Ty::Ip6, 128),
                _ => {}
            },
            key::CT_PROTO_SRC | key::CT_PROTO_DST if self.context.headers[layer::TRANSPORT].is_some() => {
                *ty = Ty::Service;
            }
            _ => {}
        }
    }

    fn finish_binop(&mut self, op: Op, left: Sym, right: Sym, bits: u32) -> Sym {
        let mut left = self.finish(left);
        let right = match op {
            Op::Shl | Op::Shr => right.typed(Ty::Integer, Order::Network),
            _ => right.typed(left.ty, left.order),
        };
        if op == Op::And && self.in_key && matches!(left.kind, Kind::Payload(_)) && right.is_constant() {
            if self.context.trim(&mut left, &right).is_some() {
                self.context.complete(&mut left);
                self.context.payload_implies(&left, &mut self.items);
                return left;
            }
            let (ty, order) = (left.ty, left.order);
            return Sym::new(Kind::Binop(op, Box::new(left), Box::new(right)), ty, order, bits);
        }
        let right = self.finish(right);
        let (ty, order) = (left.ty, left.order);
        Sym::new(Kind::Binop(op, Box::new(left), Box::new(right)), ty, order, bits)
    }

    /// A key under a mask that is one field: the field, and the map's keys shifted to it.
    fn trim_key(&mut self, mut key: Sym, map: &mut SetRef) -> Sym {
        if let Kind::Binop(Op::And, left, mask) = &mut key.kind
            && matches!(left.kind, Kind::Payload(_))
            && let Some(shift) = self.context.trim(left, mask)
        {
            map.shift = shift;
            return (**left).clone();
        }
        key
    }

    /// Adds a match.
    pub(super) fn relate(&mut self, op: RelOp, mut left: Sym, mut right: Sym) {
        if matches!(left.kind, Kind::Payload(_)) {
            return self.relate_payload(op, left, right);
        }
        left = self.finish(left);
        match (&left.kind, &mut right.kind) {
            (Kind::Concat(keys), Kind::Concat(values)) => {
                for (key, value) in keys.iter().zip(values) {
                    value.set_type(key.ty, key.ty.order());
                }
            }
            _ => right.set_type(left.ty, left.order),
        }
        right = self.finish(right);
        let rel = Rel::new(op, left, right);
        match &rel.left.kind {
            Kind::Meta(meta) => {
                let (layer, announces) = meta_layer(*meta);
                self.relate_property(rel, layer, announces);
            }
            Kind::Ct { key, .. } => {
                let announces = matches!(*key, key::CT_L3PROTO | key::CT_PROTOCOL);
                let layer = ct_layer(*key);
                self.relate_property(rel, layer, announces);
            }
            Kind::Binop(..) => self.relate_binop(rel),
            _ => self.push(rel),
        }
    }

    fn push(&mut self, rel: Rel) {
        if let Some(merged) = self.merged_range(&rel) {
            if let Some(index) = self.context.previous {
                self.items[index] = Item::Gone;
            }
            self.context.previous = Some(self.items.len());
            self.items.push(Item::Match(merged));
            return;
        }
        self.context.previous = Some(self.items.len());
        self.items.push(Item::Match(rel));
    }

    /// `>= a` and then `<= b` on the same value is `a-b`.
    fn merged_range(&self, rel: &Rel) -> Option<Rel> {
        let Item::Match(before) = self.items.get(self.context.previous?)? else {
            return None;
        };
        let op = match (before.op, rel.op) {
            (RelOp::Gte, RelOp::Lte) => RelOp::Eq,
            (RelOp::Lt, RelOp::Gt) => RelOp::Neq,
            _ => return None,
        };
        let same = before.left == rel.left && before.right.is_constant() && rel.right.is_constant();
        let range = Sym {
            kind: Kind::Range(Box::new(before.right.clone()), Box::new(rel.right.clone())),
            ..rel.right.clone()
        };
        same.then(|| Rel::new(op, rel.left.clone(), range))
    }

    fn relate_property(&mut self, rel: Rel, layer: usize, announces: bool) {
        if let (RelOp::Eq, Some(number)) = (rel.op, rel.right.number()) {
            self.context.learn(&rel.left, number);
            if layer < layer::TRANSPORT {
                if layer > layer::NONE && self.context.property_implies(&rel.left, number, &self.items) {
                    self.context.drop_said(layer, &mut self.items);
                }
                if announces {
                    self.context.say(layer, self.items.len(), &rel);
                }
            }
        }
        self.push(rel);
    }

    fn relate_payload(&mut self, op: RelOp, mut left: Sym, mut right: Sym) {
        if matches!(op, RelOp::Eq | RelOp::Neq) {
            if right.is_constant() {
                return self.relate_fields(op, &left, right);
            }
            if let Kind::Set(set) = &right.kind
                && let Some(number) = self.only_type(set)
            {
                self.context.learn_icmp_type(&left, number);
            }
        }
        self.context.complete(&mut left);
        right.set_type(left.ty, left.order);
        self.context.payload_implies(&left, &mut self.items);
        self.push(Rel::new(op, left, right));
    }

    /// The first key of an anonymous set of bytes.
    fn only_type(&self, set: &SetRef) -> Option<u8> {
        let set = self.table.set(&set.name)?;
        if set.flags & set_flags::ANONYMOUS == 0 || set.key_len != 1 {
            return None;
        }
        match &set.elements {
            Elements::Plain(bytes) => bytes.iter().min().copied(),
            Elements::Full(list) => list.iter().filter_map(|e| e.key.first()).min().copied(),
        }
    }

    /// A payload against a constant: one match for each field that it covers.
    fn relate_fields(&mut self, op: RelOp, left: &Sym, right: Sym) {
        let Kind::Payload(payload) = &left.kind else { return };
        let mut layer = payload.layer;
        let mut rest = right;
        for part in self.context.fields_of(payload, left.bits) {
            let Some(value) = split_front(&mut rest, part.bits) else { return };
            let value = value.typed(part.ty, part.order);
            let value = match &part.kind {
                Kind::Payload(p) => match p.field {
                    Some((_, field)) if part.bits < field.bits => widened(&value, field.bits),
                    _ => value,
                },
                _ => value,
            };
            let rel = Rel::new(op, part, value);
            let announces = match &rel.left.kind {
                Kind::Payload(p) => p.field.is_some_and(|(header, field)| header.announces(field)),
                _ => false,
            };
            if let (RelOp::Eq, Some(number)) = (op, rel.right.number()) {
                self.context.learn(&rel.left, number);
                if self.context.is_stacked(&rel, layer) {
                    layer = layer.saturating_sub(1);
                }
            }
            self.context.payload_implies(&rel.left, &mut self.items);
            if op == RelOp::Eq && announces {
                self.context.say(layer, self.items.len(), &rel);
            }
            self.items.push(Item::Match(rel));
        }
        self.context.previous = None;
    }

    fn relate_binop(&mut self, mut rel: Rel) {
        let (left, mask) = match &rel.left.kind {
            Kind::Binop(Op::And, left, mask) => (left.clone(), mask.clone()),
            Kind::Binop(Op::Shr, inner, by) => {
                let (inner, by) = (inner.clone(), by.clone());
                return self.relate_shifted(rel, *inner, &by);
            }
            _ => return self.push(rel),
        };
        let equality = matches!(rel.op, RelOp::Eq | RelOp::Neq);
        if equality && rel.right.ty.base() == Base::Flags && !matches!(rel.right.kind, Kind::Set(_)) {
            self.push(flag_match(rel, *left, *mask));
            return;
        }
        let Some(mask_number) = mask.number() else { return self.push(rel) };
        if left.ty.has_prefixes() && rel.right.is_constant() && is_prefix(mask_number, mask.bits) {
            let len = mask_number.count_ones();
            let (ty, order, bits) = (rel.right.ty, rel.right.order, rel.right.bits);
            rel.right = Sym::new(Kind::Prefix(Box::new(rel.right), len), ty, order, bits);
            rel.left = *left;
            return self.push(rel);
        }
        match &left.kind {
            Kind::Payload(_) => {
                let mut field = *left;
                let Some(shift) = self.context.trim(&mut field, &mask) else {
                    return self.push(rel);
                };
                shift_right(&mut rel.right, shift, field.bits);
                self.relate_payload(rel.op, field, rel.right);
            }
            Kind::Exthdr(place) => {
                if let Some((field, shift)) = narrowed(place, &mask) {
                    shift_right(&mut rel.right, shift, field.bits);
                    rel.right.set_type(field.ty, Order::Network);
                    rel.left = field;
                }
                self.push(rel);
            }
            _ => self.push(rel),
        }
    }

    /// `(payload & mask) >> n`: the field itself, if that is what mask and shift select.
    fn relate_shifted(&mut self, mut rel: Rel, inner: Sym, by: &Sym) {
        let Kind::Binop(Op::And, left, mask) = inner.kind else { return self.push(rel) };
        let amount = by.number();
        let found = match &left.kind {
            Kind::Payload(_) => {
                let mut field = (*left).clone();
                self.context.trim(&mut field, &mask).map(|shift| (field, shift))
            }
            Kind::Exthdr(place) => narrowed(place, &mask),
            _ => None,
        };
        if let Some((mut field, shift)) = found
            && amount == Some(u128::from(shift))
        {
            self.context.complete(&mut field);
            self.context.payload_implies(&field, &mut self.items);
            rel.left = field;
        }
        self.push(rel);
    }

    /// Writes a field under a mask: `ip dscp set …` reads, keeps the bits around and writes.
    pub(super) fn finish_payload_write(&mut self, target: Sym, value: Sym) -> (Sym, Sym) {
        let target = self.finish(target);
        if let Kind::Payload(p) = &target.kind
            && p.field.is_none_or(|(header, _)| header == Header::Th)
            && let Some((field, number)) = self.field_written(&target, &value)
        {
            let value = Sym::constant(number, field.bits).typed(field.ty, Order::Network);
            return (field, value);
        }
        let value = if value.is_constant() { value.typed(target.ty, target.order) } else { value };
        let value = self.finish(value);
        (target, value)
    }

    fn field_written(&self, target: &Sym, value: &Sym) -> Option<(Sym, u128)> {
        let all = |bits: u32| if bits >= 128 { u128::MAX } else { (1 << bits) - 1 };
        let (read, keep, set) = match &value.kind {
            Kind::Binop(Op::Or, left, set) => match &left.kind {
                Kind::Binop(Op::And, read, keep) => (read, keep.number()?, set.number()?),
                _ => {
                    let set = set.number()?;
                    (left, all(target.bits), set)
                }
            },
            Kind::Binop(Op::And, read, keep) => (read, keep.number()?, 0),
            _ => return None,
        };
        let (Kind::Payload(read), Kind::Payload(written)) = (&read.kind, &target.kind) else {
            return None;
        };
        if (read.layer, read.offset) != (written.layer, written.offset) {
            return None;
        }
        let mut field = target.clone();
        let changed = (all(target.bits) & !keep) | set;
        let mask = Sym::constant(changed, target.bits);
        let shift = self.context.trim(&mut field, &mask)?;
        self.context.complete(&mut field);
        matches!(&field.kind, Kind::Payload(p) if p.field.is_some()).then_some((field, set >> shift))
    }
}

/// The field of an extension header or option that a mask selects, and the bits to shift constants by.
fn narrowed(place: &Exthdr, mask: &Sym) -> Option<(Sym, u32)> {
    let number = mask.number().filter(|number| *number != 0)?;
    let shift = number.trailing_zeros();
    let len = (number >> shift).trailing_ones();
    let before = (mask.bits.div_ceil(8) * 8).checked_sub(shift + len)?;
    let place = Exthdr { offset: place.offset.checked_add(before)?, ..place.clone() };
    let known = place.find(len).1.is_some();
    known.then(|| (super::sym::extension(place, len), shift))
}

/// `flags & mask` against flags: any of them, none of them, or these of those.
fn flag_match(mut rel: Rel, left: Sym, mask: Sym) -> Rel {
    let list = |sym: Sym| {
        let (ty, order, bits) = (sym.ty, sym.order, sym.bits);
        let mut parts = sym.alternatives();
        if parts.len() == 1 {
            return parts.remove(0);
        }
        Sym::new(Kind::List(parts), ty, order, bits)
    };
    match rel.right.number() {
        Some(0) => {
            rel.op = if rel.op == RelOp::Neq { RelOp::Some } else { RelOp::NoneOf };
            rel.left = left;
            rel.right = list(mask);
        }
        Some(number) if mask.number() == Some(number) => {}
        _ => {
            rel.left = left;
            rel.mask = Some(list(mask));
            rel.right = list(rel.right);
        }
    }
    rel
}

/// Whether a mask is ones and then zeros.
fn is_prefix(mask: u128, bits: u32) -> bool {
    if mask == 0 {
        return true;
    }
    let zeros = mask.trailing_zeros();
    zeros + mask.count_ones() == bits && (mask >> zeros).trailing_ones() == mask.count_ones()
}

/// Takes the first `bits` bits off a constant.
pub(super) fn split_front(rest: &mut Sym, bits: u32) -> Option<Sym> {
    let number = rest.number()?;
    let left = rest.bits.checked_sub(bits)?;
    let front = if left >= 128 { 0 } else { number >> left };
    let kept = if left == 0 {
        0
    } else if left >= 128 {
        number
    } else {
        number & ((1 << left) - 1)
    };
    rest.kind = Kind::Const(kept);
    rest.bits = left;
    Some(Sym::constant(front, bits))
}

/// The beginning of a longer value: a prefix.
fn widened(value: &Sym, bits: u32) -> Sym {
    let (ty, order, len) = (value.ty, value.order, value.bits);
    let number = value.number().unwrap_or(0) << bits.saturating_sub(len).min(127);
    let whole = Sym::new(Kind::Const(number), ty, order, bits);
    Sym::new(Kind::Prefix(Box::new(whole), len), ty, order, bits)
}

fn shift_right(sym: &mut Sym, by: u32, bits: u32) {
    match &mut sym.kind {
        Kind::Const(number) => {
            *number = number.checked_shr(by).unwrap_or(0);
            sym.bits = bits;
        }
        Kind::Range(from, to) => {
            shift_right(from, by, bits);
            shift_right(to, by, bits);
        }
        Kind::Set(set) => set.shift = by,
        _ => {}
    }
}
