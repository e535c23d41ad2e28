//! Lookups: for which packets a set holds the key, and what it gives; reads elements, evaluates nothing.
//!
//! Semantics as in `net/netfilter/nft_lookup.c` and the `nft_set_*.c` beside it.

use super::lens::Meant;
use super::symbol::{Byte, Symbols, number, stretch, wanted};
use crate::ruleset::{Data, Element, Elements, Expr, Set, set_flags};
use crate::space::{Atom, Field, Pred, Terms};
use rustc_hash::FxHashMap as HashMap;
use std::sync::Arc;

/// What a set gives for keys, and for which packets.
pub(super) type Hits = Arc<Vec<(Pred, Option<Data>)>>;

/// Results of lookups that were asked before: table, set, and what stands in the key.
pub(super) type Known = HashMap<(usize, String, Vec<Byte>), Hits>;

/// The end of an interval, not the start of one (`NFT_SET_ELEM_INTERVAL_END`).
const INTERVAL_END: u32 = 1;
/// The element for every other key (`NFT_SET_ELEM_CATCHALL`).
const CATCH_ALL: u32 = 2;

impl Symbols<'_, '_> {
    /// For which packets a set holds a key, and with which value.
    pub(super) fn hits(
        &mut self,
        set: &Set,
        key: &[Byte],
        meant: Option<&Meant>,
    ) -> Vec<(Pred, Option<Data>)> {
        if let Some(meant) = meant {
            return vec![(self.meant(meant), None)];
        }
        if set.flags & set_flags::EVAL != 0 {
            let words = format!("set {} holds {}", set.name, describe(key));
            return vec![(self.shared_unknown(&words), None)];
        }
        let found = match &set.elements {
            Elements::Plain(bytes) => self.plain(set, key, bytes).map(|pred| vec![(pred, None)]),
            Elements::Full(list) => self.full(set, key, list),
        };
        found.unwrap_or_else(|| {
            let words = format!("set {} holds {}", set.name, describe(key));
            let mut values: Vec<Option<Data>> = match &set.elements {
                Elements::Full(list) => list.iter().map(|element| element.data.clone()).collect(),
                Elements::Plain(_) => vec![None],
            };
            values.sort();
            values.dedup();
            values
                .into_iter()
                .map(|value| (self.shared_unknown(&format!("{words}: {value:?}")), value))
                .collect()
        })
    }

    /// The condition that a set stands for.
    pub(super) fn meant(&mut self, meant: &Meant) -> Pred {
        match meant {
            Meant::Banned => self.terms.flag(&Field::Banned),
            Meant::Carried => self.terms.flag(&Field::Carried),
            Meant::Spent(bucket) => self.terms.flag(&Field::Room(bucket.clone())).negated(),
        }
    }

    /// Keys alone.
    fn plain(&mut self, set: &Set, key: &[Byte], bytes: &[u8]) -> Option<Pred> {
        let len = (set.key_len as usize).max(1);
        if set.flags & set_flags::INTERVAL != 0 {
            return None;
        }
        if let Some(window) = Window::of(key, self.terms) {
            let ranges = bytes.chunks_exact(len).filter_map(|value| window.exact(value)).collect();
            return Some(self.terms.within(&window.field, ranges));
        }
        let mut products = Vec::new();
        for value in bytes.chunks_exact(len) {
            products.extend(self.product(key, value)?);
        }
        Some(union(products))
    }

    fn full(&mut self, set: &Set, key: &[Byte], list: &[Element]) -> Option<Vec<(Pred, Option<Data>)>> {
        let mut by_value: Vec<(Option<Data>, Gathered)> = Vec::new();
        let mut places: HashMap<Option<Data>, usize> = HashMap::default();
        let mut catch_all: Option<&Element> = None;
        let window = Window::of(key, self.terms);
        let concatenated = !set.key_parts.is_empty();
        let intervals = set.flags & set_flags::INTERVAL != 0 && !concatenated;
        let spans = if intervals { spans(list) } else { Vec::new() };
        let elements: Box<dyn Iterator<Item = (&Element, Option<Vec<u8>>)>> = if intervals {
            Box::new(spans.into_iter())
        } else {
            Box::new(list.iter().map(|element| (element, None)))
        };
        for (element, upto) in elements {
            if element.flags & CATCH_ALL != 0 {
                catch_all = Some(element);
                continue;
            }
            let at = *places.entry(element.data.clone()).or_insert_with(|| {
                by_value.push((element.data.clone(), Gathered::default()));
                by_value.len() - 1
            });
            let condition = self.element_condition(set, element);
            let gathered = &mut by_value[at].1;
            if let Some(window) = &window
                && condition.is_none()
                && !concatenated
            {
                gathered.ranges.extend(match &upto {
                    Some(end) => window.between(&element.key, end),
                    None => window.exact(&element.key),
                });
                continue;
            }
            let pred = match (&upto, &element.key_end) {
                (Some(end), _) => self.between(key, &element.key, end)?,
                (None, Some(end)) if concatenated => self.parts_between(set, key, &element.key, end)?,
                _ => {
                    if condition.is_none() {
                        gathered.products.extend(self.product(key, &element.key)?);
                        continue;
                    }
                    self.equal(key, &element.key)?
                }
            };
            gathered.others.push(Pred::all([pred, condition.unwrap_or(Pred::Const(true))]));
        }
        // Keys are apart from each other: the order of a map decides nothing.
        by_value.sort_by(|one, other| one.0.cmp(&other.0));
        let mut hits: Vec<(Pred, Option<Data>)> = by_value
            .into_iter()
            .map(|(value, gathered)| (gathered.finish(self.terms, window.as_ref()), value))
            .collect();
        if let Some(element) = catch_all {
            let known = Pred::any(hits.iter().map(|(pred, _)| pred.clone()).collect::<Vec<_>>());
            hits.push((known.negated(), element.data.clone()));
        }
        Some(hits)
    }

    /// What besides the key decides whether an element is there.
    fn element_condition(&mut self, set: &Set, element: &Element) -> Option<Pred> {
        let timed = element.timeout.is_some() || element.expiration.is_some();
        let limited = element.exprs.iter().any(|expr| {
            matches!(
                expr,
                Expr::Limit(_) | Expr::Quota { .. } | Expr::Connlimit { .. } | Expr::Unknown { .. }
            )
        });
        if !timed && !limited {
            return None;
        }
        let words = if timed { "is still there" } else { "lets it pass" };
        Some(self.shared_unknown(&format!("the element {:02x?} of set {} {words}", element.key, set.name)))
    }

    /// The product of sets for one key: none inside if it cannot be, none outside if it cannot be said.
    #[expect(clippy::option_option, reason = "cannot be said, cannot be, or this")]
    fn product(&mut self, key: &[Byte], value: &[u8]) -> Option<Option<Vec<Atom>>> {
        let Some(fields) = wanted(key, value)? else { return Some(None) };
        let mut atoms = Vec::with_capacity(fields.len());
        for (field, bits) in fields {
            match self.bits(&field, bits) {
                Pred::Const(true) => {}
                Pred::Const(false) => return Some(None),
                pred => atoms.push(Terms::atom(&pred)?),
            }
        }
        Some(Some(atoms))
    }

    /// Whether a key lies between two, compared from the first byte on.
    fn between(&mut self, key: &[Byte], first: &[u8], last: &[u8]) -> Option<Pred> {
        use crate::ruleset::CmpOp;
        if key.iter().any(|byte| matches!(byte, Byte::Opaque(..) | Byte::Mapped(..))) {
            return None;
        }
        let words = || "an interval of a set".to_owned();
        let above = self.compare(key, CmpOp::Gte, first, &words);
        let below = self.compare(key, CmpOp::Lte, last, &words);
        Some(Pred::all([above, below]))
    }

    /// The same for each part of a concatenation by itself.
    fn parts_between(&mut self, set: &Set, key: &[Byte], first: &[u8], last: &[u8]) -> Option<Pred> {
        let mut all = Vec::new();
        let mut at = 0;
        for len in &set.key_parts {
            let len = *len as usize;
            let range = at..at + len;
            all.push(self.between(key.get(range.clone())?, first.get(range.clone())?, last.get(range)?)?);
            at += len.div_ceil(4) * 4;
        }
        Some(Pred::all(all))
    }
}

/// The condition that one of these products holds. The kernel lists elements as it likes: the same ones are the same
/// condition.
fn union(mut products: Vec<Vec<Atom>>) -> Pred {
    products.sort_unstable();
    if products.iter().any(Vec::is_empty) {
        return Pred::Const(true);
    }
    if products.is_empty() { Pred::Const(false) } else { Pred::Boxes(Arc::new(products)) }
}

/// What belongs to one value of a set.
#[derive(Default)]
struct Gathered {
    ranges: Vec<(u128, u128)>,
    products: Vec<Vec<Atom>>,
    others: Vec<Pred>,
}

impl Gathered {
    fn finish(self, terms: &mut Terms, window: Option<&Window>) -> Pred {
        let ranges = match window {
            Some(window) => terms.within(&window.field, self.ranges),
            None => Pred::Const(false),
        };
        let mut all = vec![ranges, union(self.products)];
        all.extend(self.others);
        Pred::any(all)
    }
}

/// A key that is one field from its first bit on, cut by a mask or not: elements are intervals of it.
struct Window {
    field: Field,
    mask: u128,
    /// Bits of the field behind the key.
    below: u32,
    /// Bytes of the key that are of the field; behind them it is zero, as a mask left nothing there.
    len: usize,
}

impl Window {
    fn of(key: &[Byte], terms: &Terms) -> Option<Window> {
        let Byte::Of { field, shift: top, .. } = key.first()? else { return None };
        let len = stretch(key);
        let (head, tail) = key.split_at(len);
        let Byte::Of { shift: below, .. } = head.last()? else { return None };
        let width = field.width(terms.family());
        let rest_is_cut = tail.iter().all(|byte| *byte == Byte::Known(0));
        if !rest_is_cut || u32::from(*top) + 8 != width || width < 8 {
            return None;
        }
        let mut mask = 0u128;
        for byte in head {
            let Byte::Of { and, xor: 0, .. } = byte else { return None };
            mask = mask << 8 | u128::from(*and);
        }
        let bits = u32::try_from(len).ok()? * 8;
        let all = if bits >= 128 { u128::MAX } else { (1 << bits) - 1 };
        let is_prefix = (mask | !all).leading_ones() + mask.trailing_zeros() >= 128;
        let plain = !matches!(**field, Field::Meta(_) | Field::Ct(..));
        (is_prefix && plain).then(|| Window { field: (**field).clone(), mask, below: u32::from(*below), len })
    }

    /// The values of the field that give this key.
    fn exact(&self, value: &[u8]) -> Option<(u128, u128)> {
        let (value, rest) = value.split_at_checked(self.len)?;
        let value = number(value);
        if value & !self.mask != 0 || rest.iter().any(|byte| *byte != 0) {
            return None;
        }
        let step = self.mask & self.mask.wrapping_neg();
        (step != 0).then(|| (self.up(value), self.up(value | (step - 1)) | self.rest()))
    }

    /// The values of the field whose key lies between two.
    fn between(&self, first: &[u8], last: &[u8]) -> Option<(u128, u128)> {
        let step = self.mask & self.mask.wrapping_neg();
        if step == 0 {
            return None;
        }
        let (first, first_rest) = first.split_at_checked(self.len)?;
        let (last, _) = last.split_at_checked(self.len)?;
        // Behind the field the key is zero: a bound that is not lies between two keys.
        let beyond = u128::from(first_rest.iter().any(|byte| *byte != 0));
        let first = number(first).checked_add(beyond)?.checked_add(step - 1)? & !(step - 1);
        let last = number(last) & !(step - 1);
        (first <= last).then(|| (self.up(first), self.up(last | (step - 1)) | self.rest()))
    }

    fn up(&self, value: u128) -> u128 {
        value.checked_shl(self.below).unwrap_or(0)
    }

    fn rest(&self) -> u128 {
        if self.below == 0 { 0 } else { (1 << self.below) - 1 }
    }
}

/// The intervals of a set: where one starts, and the last key that it holds.
fn spans(list: &[Element]) -> Vec<(&Element, Option<Vec<u8>>)> {
    let mut sorted: Vec<&Element> = list.iter().filter(|element| element.flags & CATCH_ALL == 0).collect();
    sorted.sort_by(|a, b| a.key.cmp(&b.key).then((b.flags & INTERVAL_END).cmp(&(a.flags & INTERVAL_END))));
    let mut out: Vec<(&Element, Option<Vec<u8>>)> =
        list.iter().filter(|element| element.flags & CATCH_ALL != 0).map(|element| (element, None)).collect();
    let mut open: Option<&Element> = None;
    for element in sorted {
        if let Some(start) = open.take() {
            out.push((start, before(&element.key)));
        }
        if element.flags & INTERVAL_END == 0 {
            open = Some(element);
        }
    }
    if let Some(start) = open {
        out.push((start, Some(vec![0xff; start.key.len()])));
    }
    out
}

/// The key just before this one.
fn before(key: &[u8]) -> Option<Vec<u8>> {
    let mut key = key.to_vec();
    for byte in key.iter_mut().rev() {
        let (less, borrow) = byte.overflowing_sub(1);
        *byte = less;
        if !borrow {
            return Some(key);
        }
    }
    None
}

/// A key in words.
pub(super) fn describe(key: &[Byte]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for byte in key {
        let word = match byte {
            Byte::Of { field, .. } => format!("{field:?}"),
            Byte::Known(0) => continue,
            Byte::Known(value) => format!("{value:#04x}"),
            Byte::Mapped(..) => "a value of a map".to_owned(),
            Byte::Opaque(words, _) => words.to_string(),
        };
        if parts.last() != Some(&word) {
            parts.push(word);
        }
    }
    if parts.is_empty() { "0".to_owned() } else { parts.join(" . ") }
}
