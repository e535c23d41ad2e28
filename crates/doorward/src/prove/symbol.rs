//! Registers that hold fields instead of bytes, and what a comparison of them asks; runs nothing.

use super::load::Odd;
use super::questions::{Questions, Site, only_counts};
use crate::ruleset::{CmpOp, Expr, MetaKey, Reg};
use crate::space::{Field, Pred, Terms, name_value};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of one byte of a register.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Byte {
    /// Its value.
    Known(u8),
    /// A byte of a field, so many bits from its lowest one on: `(byte & and) ^ xor`.
    Of { field: Arc<Field>, shift: u8, and: u8, xor: u8 },
    /// A byte of the value that a map gave, by the number of the map's reading.
    Mapped(u32, u8),
    /// Nobody knows: what was loaded, in words, and the place in it.
    Opaque(Arc<str>, u8),
}

impl Byte {
    /// Its value where the field is this number.
    fn of_number(&self, number: u32) -> u8 {
        match self {
            Byte::Known(value) => *value,
            Byte::Of { shift, and, xor, .. } => {
                let [.., byte] = number.checked_shr((*shift).into()).unwrap_or(0).to_be_bytes();
                byte & and ^ xor
            }
            Byte::Mapped(..) | Byte::Opaque(..) => 0,
        }
    }
}

/// The registers of a rule, as far as something was written: the kernel forbids to read the rest, which is zero.
#[derive(Clone)]
pub(super) struct Registers(Vec<Byte>);

/// The kernel's registers have 64 bytes.
const SIZE: usize = 64;

impl Registers {
    /// What stands there before a rule.
    pub(super) fn new() -> Registers {
        Registers(Vec::new())
    }

    /// Stores; the rest of the last word becomes zero, as in the kernel.
    pub(super) fn put(&mut self, reg: Reg, bytes: &[Byte]) {
        let from = usize::from(reg.0) * 4;
        let to = (from + bytes.len().div_ceil(4) * 4).min(SIZE);
        if to > self.0.len() {
            self.0.resize(to, Byte::Known(0));
        }
        for at in from..to {
            self.0[at] = bytes.get(at - from).cloned().unwrap_or(Byte::Known(0));
        }
    }

    /// Reads; what is out of reach is unknown.
    pub(super) fn get(&self, reg: Reg, len: usize) -> Vec<Byte> {
        let from = usize::from(reg.0) * 4;
        let none = |at: usize| {
            if at < SIZE { Byte::Known(0) } else { Byte::Opaque("no register".into(), 0) }
        };
        (from..from + len).map(|at| self.0.get(at).cloned().unwrap_or_else(|| none(at))).collect()
    }

    /// Makes everything unknown: something was loaded, and nobody knows where to.
    pub(super) fn forget(&mut self, what: &str) {
        let what: Arc<str> = what.into();
        self.0 = (0u8..).take(SIZE).map(|at| Byte::Opaque(what.clone(), at)).collect();
    }
}

/// The bytes of a field as the network has them, the most significant first.
pub(super) fn network_order(field: Field, width: u32) -> Vec<Byte> {
    let field = Arc::new(field);
    (0..u8::try_from(width.div_ceil(8)).unwrap_or(16))
        .rev()
        .map(|at| Byte::Of { field: field.clone(), shift: at * 8, and: 0xff, xor: 0 })
        .collect()
}

/// The bytes of a number as this host has them.
pub(super) fn host_order(mut bytes: Vec<Byte>) -> Vec<Byte> {
    if cfg!(target_endian = "little") {
        bytes.reverse();
    }
    bytes
}

pub(super) fn known(bytes: &[u8]) -> Vec<Byte> {
    bytes.iter().copied().map(Byte::Known).collect()
}

/// What stands behind symbols: fields by number, names of interfaces by index, values of maps.
pub(super) struct Symbols<'a, 'q> {
    pub(super) terms: &'a mut Terms,
    /// Names of interfaces by index.
    pub(super) interfaces: &'a BTreeMap<u32, String>,
    /// What is not taken for granted.
    pub(super) odd: Odd,
    /// For each reading of a map what it can give, and when.
    pub(super) maps: Vec<Vec<(Pred, Vec<u8>)>>,
    pub(super) questions: &'a mut Questions<'q>,
    /// What was asked since the beginning of the rule.
    pub(super) asked: Vec<String>,
    pub(super) site: Site<'a>,
    /// What of the rule stands behind what is being asked.
    pub(super) rest: &'a [Expr],
}

/// Bits of one field that must have a value.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    pub(super) mask: u128,
    pub(super) value: u128,
}

/// Fields and the bits that they must have.
type Wishes = Vec<(Arc<Field>, Wanted)>;

impl Symbols<'_, '_> {
    /// Whether a register compares so to a constant.
    pub(super) fn compare(
        &mut self,
        bytes: &[Byte],
        op: CmpOp,
        data: &[u8],
        words: &dyn Fn() -> String,
    ) -> Pred {
        let unknown = bytes.iter().any(|byte| matches!(byte, Byte::Opaque(..)));
        if unknown {
            return self.unknown(&words());
        }
        if let Some(pred) = self.compare_mapped(bytes, op, data) {
            return pred;
        }
        if op != CmpOp::Eq
            && let Some(key) = index(bytes)
        {
            return self.compare_index(key, bytes, op, data, words);
        }
        self.compare_plain(bytes, op, data, words)
    }

    /// A comparison of an interface's index. Those that are known have one by their name, which no other has; what
    /// cannot be counts as not so.
    fn compare_index(
        &mut self,
        key: MetaKey,
        bytes: &[Byte],
        op: CmpOp,
        data: &[u8],
        words: &dyn Fn() -> String,
    ) -> Pred {
        let (field, name) = match key {
            MetaKey::Iif => (Field::Meta(key), Field::Iif),
            _ => (Field::Meta(key), Field::Oif),
        };
        let interfaces = self.interfaces;
        let (mut any, mut other) = (Vec::new(), vec![self.terms.equals(&field, 0).negated()]);
        for (number, known) in interfaces {
            let value: Vec<u8> = bytes.iter().map(|byte| byte.of_number(*number)).collect();
            let named = self.terms.equals(&name, name_value(known));
            other.push(named.clone().negated());
            other.push(self.terms.equals(&field, (*number).into()).negated());
            if compares(op, value.as_slice().cmp(data)) {
                any.push(named);
            }
        }
        other.push(self.compare_plain(bytes, op, data, words));
        any.push(Pred::all(other));
        Pred::any(any)
    }

    fn compare_plain(&mut self, bytes: &[Byte], op: CmpOp, data: &[u8], words: &dyn Fn() -> String) -> Pred {
        let pred = match op {
            CmpOp::Eq => self.equal(bytes, data),
            CmpOp::Neq => self.equal(bytes, data).map(Pred::negated),
            CmpOp::Lt => self.less(bytes, data, false),
            CmpOp::Lte => self.less(bytes, data, true),
            CmpOp::Gt => self.less(bytes, data, true).map(Pred::negated),
            CmpOp::Gte => self.less(bytes, data, false).map(Pred::negated),
        };
        pred.unwrap_or_else(|| self.unknown(&words()))
    }

    /// Whether a value that came from a map compares so: for each value that the map has.
    fn compare_mapped(&mut self, bytes: &[Byte], op: CmpOp, data: &[u8]) -> Option<Pred> {
        let Byte::Mapped(map, _) = bytes.first()? else { return None };
        let places: Option<Vec<usize>> = bytes
            .iter()
            .map(|byte| match byte {
                Byte::Mapped(other, at) if other == map => Some(usize::from(*at)),
                _ => None,
            })
            .collect();
        let places = places?;
        let values = self.maps.get(*map as usize)?;
        let holds = values.iter().filter(|(_, value)| {
            let taken: Vec<u8> = places.iter().map(|at| value.get(*at).copied().unwrap_or(0)).collect();
            compares(op, taken.as_slice().cmp(data))
        });
        Some(Pred::any(holds.map(|(when, _)| when.clone()).collect::<Vec<_>>()))
    }

    /// A condition that cannot be told from the packet. Two rulesets ask the same if they ask it in chains of one
    /// name before the same actions, and in the same rule as far as others ask it, too.
    pub(super) fn unknown(&mut self, words: &str) -> Pred {
        let rest: Vec<&Expr> = self.rest.iter().filter(|expr| !only_counts(expr)).collect();
        let mut words = format!("{words}, in chain {} before {rest:?}", self.site.words());
        let time = self.asked.iter().filter(|asked| **asked == words).count();
        self.asked.push(words.clone());
        let number = self.questions.number(self.site, &words, u32::try_from(time).unwrap_or(u32::MAX));
        if number > 1 {
            words = format!("{words} (no. {number})");
        }
        self.terms.flag(&Field::Unknown(words))
    }

    /// The same, the same for each who asks.
    pub(super) fn shared_unknown(&mut self, words: &str) -> Pred {
        self.terms.flag(&Field::Unknown(words.to_owned()))
    }

    /// Whether bytes are exactly these; none where a field cannot be asked so.
    pub(super) fn equal(&mut self, bytes: &[Byte], data: &[u8]) -> Option<Pred> {
        let Some(wanted) = wanted(bytes, data)? else { return Some(Pred::Const(false)) };
        let mut all = Vec::with_capacity(wanted.len());
        for (field, bits) in wanted {
            all.push(self.bits(&field, bits));
        }
        Some(Pred::all(all))
    }

    /// Whether bits of a field have a value. An index of an interface stands for its name.
    pub(super) fn bits(&mut self, field: &Field, bits: Wanted) -> Pred {
        let name = match field {
            Field::Meta(MetaKey::Iif) => Field::Iif,
            Field::Meta(MetaKey::Oif) => Field::Oif,
            _ => return self.terms.masked(field, bits.mask, bits.value),
        };
        if bits.mask != u128::from(u32::MAX) {
            return self.terms.masked(field, bits.mask, bits.value);
        }
        let known = u32::try_from(bits.value).ok().and_then(|index| self.interfaces.get(&index));
        match known {
            Some(known) => self.terms.equals(&name, name_value(known)),
            // No interface has this number now.
            None => Pred::Const(false),
        }
    }

    /// Whether bytes are less than these, or at most these, compared one after the other from the first on.
    fn less(&mut self, bytes: &[Byte], data: &[u8], or_equal: bool) -> Option<Pred> {
        let Some(first) = bytes.first() else { return Some(Pred::Const(or_equal)) };
        let (len, less) = match first {
            Byte::Known(value) => (1, Pred::Const(Some(value) < data.first())),
            Byte::Of { .. } => {
                let len = stretch(bytes).min(data.len());
                match self.field_less(&bytes[..len], &data[..len]) {
                    Some(less) => (len, less),
                    None => (1, self.byte_less(first, *data.first()?)?),
                }
            }
            Byte::Mapped(..) | Byte::Opaque(..) => return None,
        };
        let (head, tail) = bytes.split_at(len);
        let (head_data, tail_data) = data.split_at(len.min(data.len()));
        let equal = self.equal(head, head_data)?;
        let rest = self.less(tail, tail_data, or_equal)?;
        Some(Pred::any([less, Pred::all([equal, rest])]))
    }

    /// Whether one byte of a field is less: every value that it can have is tried.
    fn byte_less(&mut self, byte: &Byte, limit: u8) -> Option<Pred> {
        let Byte::Of { field, shift, and, xor } = byte else { return None };
        let mut any = Vec::new();
        for value in (0..limit).map(|value| value ^ xor).filter(|value| value & !and == 0) {
            let bits = Wanted { mask: u128::from(*and) << shift, value: u128::from(value) << shift };
            any.push(self.bits(field, bits));
        }
        Some(Pred::any(any))
    }

    /// The same for bytes of one field in its own order.
    fn field_less(&mut self, bytes: &[Byte], data: &[u8]) -> Option<Pred> {
        let (Some(Byte::Of { field, shift: top, .. }), Some(Byte::Of { shift: below, .. })) =
            (bytes.first(), bytes.last())
        else {
            return None;
        };
        let (from_top, below) = (u32::from(*top) + 8, u32::from(*below));
        let field = (**field).clone();
        let width = field.width(self.terms.family());
        let from_top = from_top >= width;
        let (mask, xor) = masks(bytes);
        let limit = number(data);
        let compared = u32::try_from(bytes.len()).ok()? * 8;
        let all = if compared >= 128 { u128::MAX } else { (1 << compared) - 1 };
        let is_prefix = (mask | !all).leading_ones() + mask.trailing_zeros() >= 128;
        if from_top && xor == 0 && is_prefix {
            // (v & mask) < limit: v is below the first multiple of the mask's step that is not below the limit.
            let step = mask & mask.wrapping_neg();
            let bound = if step == 0 {
                return Some(Pred::Const(limit > 0));
            } else {
                limit.checked_add(step - 1).map(|sum| sum & !(step - 1))
            };
            let last = match bound {
                Some(0) => return Some(Pred::Const(false)),
                Some(bound) if bound - 1 <= all => bound - 1,
                _ => return Some(Pred::Const(true)),
            };
            let last = if below == 0 { last } else { last.checked_shl(below)? | ((1 << below) - 1) };
            return Some(self.terms.within(&field, vec![(0, last)]));
        }
        // Few bits: every value is tried.
        if width > 16 {
            return None;
        }
        let values = (0..1u128 << width).filter(|value| ((value >> below) & all & mask) ^ xor < limit);
        let ranges = values.map(|value| (value, value)).collect();
        Some(self.terms.within(&field, ranges))
    }
}

/// The index of an interface, if nothing else but constants is in these bytes.
fn index(bytes: &[Byte]) -> Option<MetaKey> {
    let mut found = None;
    for byte in bytes {
        match byte {
            Byte::Known(_) => {}
            Byte::Of { field, .. } => match **field {
                Field::Meta(key @ (MetaKey::Iif | MetaKey::Oif)) if found.is_none_or(|one| one == key) => {
                    found = Some(key);
                }
                _ => return None,
            },
            Byte::Mapped(..) | Byte::Opaque(..) => return None,
        }
    }
    found
}

/// How many bytes from the first on are of one field, in its own order, or known.
pub(super) fn stretch(bytes: &[Byte]) -> usize {
    match bytes.first() {
        Some(Byte::Of { field, shift, .. }) => bytes
            .iter()
            .zip((0..=*shift).rev().step_by(8))
            .take_while(|(byte, expected)| {
                matches!(byte, Byte::Of { field: other, shift, .. } if other == field && shift == expected)
            })
            .count(),
        Some(_) => 1,
        None => 0,
    }
}

fn masks(bytes: &[Byte]) -> (u128, u128) {
    bytes.iter().fold((0, 0), |(mask, xor), byte| match byte {
        Byte::Of { and, xor: flipped, .. } => (mask << 8 | u128::from(*and), xor << 8 | u128::from(*flipped)),
        _ => (mask << 8, xor << 8),
    })
}

/// Bytes as a number, the first being the most significant.
pub(super) fn number(bytes: &[u8]) -> u128 {
    bytes.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

/// What fields must be for bytes to be these: none inside if that cannot be, none outside if it cannot be said.
#[expect(clippy::option_option, reason = "cannot be said, cannot be, or this")]
pub(super) fn wanted(bytes: &[Byte], data: &[u8]) -> Option<Option<Wishes>> {
    let mut fields: Vec<(Arc<Field>, Wanted)> = Vec::new();
    for (byte, value) in bytes.iter().zip(data) {
        match byte {
            Byte::Known(known) if known == value => {}
            Byte::Known(_) => return Some(None),
            Byte::Of { field, shift, and, xor } => {
                let value = value ^ xor;
                if value & !and != 0 {
                    return Some(None);
                }
                let (mask, value) = (u128::from(*and) << shift, u128::from(value) << shift);
                let index = match fields.iter().position(|(other, _)| other == field) {
                    Some(index) => index,
                    None => {
                        fields.push((field.clone(), Wanted::default()));
                        fields.len() - 1
                    }
                };
                let wanted = &mut fields[index].1;
                if (wanted.value ^ value) & wanted.mask & mask != 0 {
                    return Some(None);
                }
                wanted.mask |= mask;
                wanted.value |= value;
            }
            Byte::Mapped(..) | Byte::Opaque(..) => return None,
        }
    }
    Some(Some(fields))
}

/// Whether an ordering is what an operation asks for.
pub(super) fn compares(op: CmpOp, order: std::cmp::Ordering) -> bool {
    match op {
        CmpOp::Eq => order.is_eq(),
        CmpOp::Neq => order.is_ne(),
        CmpOp::Lt => order.is_lt(),
        CmpOp::Lte => order.is_le(),
        CmpOp::Gt => order.is_gt(),
        CmpOp::Gte => order.is_ge(),
    }
}
