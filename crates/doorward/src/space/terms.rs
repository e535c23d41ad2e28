//! What is asked of fields, collected before anything is computed: sets of values and conditions over them.
//!
//! All rulesets and policies of one question put their terms here first; only then can the values of a field be
//! divided into classes that none of the terms tells apart.

use super::field::{Coding, Field, state};
use crate::net::{AddrSet, Family};
use rustc_hash::FxHashMap as HashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set of values of one field, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Atom(pub(super) u32);

/// A condition on a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pred {
    /// Always or never.
    Const(bool),
    /// The field of a set has one of its values.
    Is(Atom),
    /// Not so.
    Not(Box<Pred>),
    /// All of them.
    All(Vec<Pred>),
    /// One of them.
    Any(Vec<Pred>),
    /// One of many products of sets, each field at most once in a product.
    Boxes(Arc<Vec<Vec<Atom>>>),
}

impl Pred {
    /// The opposite.
    #[must_use]
    pub fn negated(self) -> Pred {
        match self {
            Pred::Const(value) => Pred::Const(!value),
            Pred::Not(inner) => *inner,
            other => Pred::Not(Box::new(other)),
        }
    }

    /// All of them; constants are taken out.
    #[must_use]
    pub fn all(list: impl IntoIterator<Item = Pred>) -> Pred {
        let mut rest = Vec::new();
        for pred in list {
            match pred {
                Pred::Const(true) => {}
                Pred::Const(false) => return Pred::Const(false),
                Pred::All(more) => rest.extend(more),
                other => rest.push(other),
            }
        }
        match rest.len() {
            0 => Pred::Const(true),
            1 => rest.remove(0),
            _ => Pred::All(rest),
        }
    }

    /// One of them; constants are taken out.
    #[must_use]
    pub fn any(list: impl IntoIterator<Item = Pred>) -> Pred {
        let mut rest = Vec::new();
        for pred in list {
            match pred {
                Pred::Const(false) => {}
                Pred::Const(true) => return Pred::Const(true),
                Pred::Any(more) => rest.extend(more),
                other => rest.push(other),
            }
        }
        match rest.len() {
            0 => Pred::Const(false),
            1 => rest.remove(0),
            _ => Pred::Any(rest),
        }
    }
}

/// Values of a field.
#[derive(Clone, Debug)]
pub(super) enum Values {
    /// One interval, both ends included: the usual case, without memory of its own.
    One(u128, u128),
    /// Sorted, disjoint intervals.
    Many(Vec<(u128, u128)>),
    /// Sorted, disjoint intervals of IPv4 addresses: half of the memory.
    Short(Vec<(u32, u32)>),
    /// The addresses of one family of a set that somebody else holds.
    Addresses(Arc<AddrSet>),
    /// Values whose bits within `mask` are `value`; for fields that are coded bit by bit.
    Masked { mask: u128, value: u128 },
}

/// A mask is not written out as more intervals than this.
const MOST_INTERVALS: u32 = 1 << 10;
/// Sets up to so many intervals are looked for before they are added.
const INTERNED: usize = 64;

/// All sets of values that are asked for.
pub struct Terms {
    family: Family,
    pub(super) fields: Vec<Field>,
    numbers: HashMap<Field, u32>,
    pub(super) atoms: Vec<(u32, Values)>,
    known: HashMap<(u32, Vec<(u128, u128)>), Atom>,
    known_ones: HashMap<(u32, u128, u128), Atom>,
    known_addresses: HashMap<(u32, usize), Atom>,
    known_masks: HashMap<(u32, u128, u128), Atom>,
    /// Fields of which bits are asked that make no few intervals.
    by_bits: BTreeSet<u32>,
}

impl Terms {
    /// No terms yet; addresses are of this family.
    #[must_use]
    pub fn new(family: Family) -> Terms {
        Terms {
            family,
            fields: Vec::new(),
            numbers: HashMap::default(),
            atoms: Vec::new(),
            known: HashMap::default(),
            known_ones: HashMap::default(),
            known_addresses: HashMap::default(),
            known_masks: HashMap::default(),
            by_bits: BTreeSet::new(),
        }
    }

    /// The family of all addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        self.family
    }

    fn number(&mut self, field: &Field) -> u32 {
        if let Some(number) = self.numbers.get(field) {
            return *number;
        }
        let number = u32::try_from(self.fields.len()).unwrap_or(u32::MAX);
        self.fields.push(field.clone());
        self.numbers.insert(field.clone(), number);
        number
    }

    fn add(&mut self, field: u32, values: Values) -> Atom {
        let atom = Atom(u32::try_from(self.atoms.len()).unwrap_or(u32::MAX));
        self.atoms.push((field, values));
        atom
    }

    /// Whether the field is within these intervals, in any order.
    pub fn within(&mut self, field: &Field, ranges: Vec<(u128, u128)>) -> Pred {
        if let [(first, last)] = *ranges {
            return self.between(field, first, last);
        }
        let most = most(field.width(self.family));
        let merged = merge(ranges, most);
        match merged.as_slice() {
            [] => Pred::Const(false),
            [(first, last)] => self.between(field, *first, *last),
            _ => {
                let number = self.number(field);
                if merged.len() > INTERNED {
                    let values = self.compact(merged);
                    return Pred::Is(self.add(number, values));
                }
                if let Some(atom) = self.known.get(&(number, merged.clone())) {
                    return Pred::Is(*atom);
                }
                let atom = self.add(number, Values::Many(merged.clone()));
                self.known.insert((number, merged), atom);
                Pred::Is(atom)
            }
        }
    }

    /// Whether the field is within one interval, both ends included.
    fn between(&mut self, field: &Field, first: u128, last: u128) -> Pred {
        let most = most(field.width(self.family));
        if first > last || first > most {
            return Pred::Const(false);
        }
        match (first, last.min(most)) {
            (0, last) if last == most => Pred::Const(true),
            (first, last) => Pred::Is(self.one(field, first, last)),
        }
    }

    fn compact(&self, ranges: Vec<(u128, u128)>) -> Values {
        if self.family == Family::V6 {
            return Values::Many(ranges);
        }
        let short: Result<Vec<(u32, u32)>, _> = ranges
            .iter()
            .map(|(first, last)| {
                Ok::<_, std::num::TryFromIntError>(((*first).try_into()?, (*last).try_into()?))
            })
            .collect();
        short.map_or(Values::Many(ranges), Values::Short)
    }

    fn one(&mut self, field: &Field, first: u128, last: u128) -> Atom {
        let number = self.number(field);
        if let Some(atom) = self.known_ones.get(&(number, first, last)) {
            return *atom;
        }
        let atom = self.add(number, Values::One(first, last));
        self.known_ones.insert((number, first, last), atom);
        atom
    }

    /// Whether the field has this value.
    pub fn equals(&mut self, field: &Field, value: u128) -> Pred {
        self.between(field, value, value)
    }

    /// Whether a field of one bit is set.
    pub fn flag(&mut self, field: &Field) -> Pred {
        self.equals(field, 1)
    }

    /// Whether an address is in a set. The set is shared, not copied.
    pub fn addresses(&mut self, field: &Field, set: &Arc<AddrSet>) -> Pred {
        if set.lacks(self.family) {
            return Pred::Const(false);
        }
        if set.is_all(self.family) {
            return Pred::Const(true);
        }
        let edges = match self.family {
            Family::V4 => set.v4().as_slice().len(),
            Family::V6 => set.v6().as_slice().len(),
        };
        if edges <= INTERNED {
            let ranges = intervals_of(set, self.family).collect();
            return self.within(field, ranges);
        }
        let number = self.number(field);
        let id = (number, Arc::as_ptr(set) as usize);
        if let Some(atom) = self.known_addresses.get(&id) {
            return Pred::Is(*atom);
        }
        let atom = self.add(number, Values::Addresses(set.clone()));
        self.known_addresses.insert(id, atom);
        Pred::Is(atom)
    }

    /// Whether the bits of a field within `mask` are `value`. Where that would be too many intervals, the field is
    /// coded bit by bit in this space.
    pub fn masked(&mut self, field: &Field, mask: u128, value: u128) -> Pred {
        let most = most(field.width(self.family));
        let impossible = value & !most != 0;
        let mask = mask & most;
        if impossible || value & !mask != 0 {
            return Pred::Const(false);
        }
        if mask == 0 {
            return Pred::Const(true);
        }
        if *field == Field::State {
            // Its bits are never set together: five values are all there are.
            let values = state::ALL.into_iter().filter(|state| state & mask == value);
            return self.within(field, values.map(|state| (state, state)).collect());
        }
        if field.coding() == Coding::Bits {
            return self.bitwise(field, mask, value);
        }
        let free_below = mask.trailing_zeros();
        let low = if free_below == 0 { 0 } else { (1u128 << free_below) - 1 };
        let holes = most & !mask & !low;
        if holes == 0 {
            return self.between(field, value, value | low);
        }
        if holes.count_ones() > MOST_INTERVALS.trailing_zeros() {
            return self.bitwise(field, mask, value);
        }
        // All values of the free bits above the lowest one that is asked for, in rising order.
        let mut ranges = Vec::new();
        let mut hole = 0u128;
        loop {
            ranges.push((hole | value, hole | value | low));
            hole = hole.wrapping_sub(holes) & holes;
            if hole == 0 {
                break;
            }
        }
        self.within(field, ranges)
    }

    fn bitwise(&mut self, field: &Field, mask: u128, value: u128) -> Pred {
        let number = self.number(field);
        if let Some(atom) = self.known_masks.get(&(number, mask, value)) {
            return Pred::Is(*atom);
        }
        self.by_bits.insert(number);
        let atom = self.add(number, Values::Masked { mask, value });
        self.known_masks.insert((number, mask, value), atom);
        Pred::Is(atom)
    }

    /// How a field is coded here.
    pub(super) fn coding(&self, number: u32) -> Coding {
        if self.by_bits.contains(&number) { Coding::Bits } else { self.fields[number as usize].coding() }
    }

    /// Sets of values that products may be made of: the atom of a condition on one field.
    #[must_use]
    pub fn atom(pred: &Pred) -> Option<Atom> {
        match pred {
            Pred::Is(atom) => Some(*atom),
            _ => None,
        }
    }
}

/// The largest value of so many bits.
pub(super) const fn most(width: u32) -> u128 {
    if width >= 128 { u128::MAX } else { (1 << width) - 1 }
}

fn merge(mut ranges: Vec<(u128, u128)>, most: u128) -> Vec<(u128, u128)> {
    ranges.retain(|(first, last)| first <= last && *first <= most);
    if ranges.len() > 1 {
        ranges.sort_unstable();
    }
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(ranges.len().min(4));
    for (first, last) in ranges {
        let last = last.min(most);
        match merged.last_mut() {
            Some(prior) if prior.1 == u128::MAX || first <= prior.1 + 1 => prior.1 = prior.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

pub(super) fn intervals_of(set: &AddrSet, family: Family) -> Box<dyn Iterator<Item = (u128, u128)> + '_> {
    match family {
        Family::V4 => {
            Box::new(set.v4().as_slice().iter().map(|(first, last)| (u128::from(*first), u128::from(*last))))
        }
        Family::V6 => Box::new(set.v6().as_slice().iter().copied()),
    }
}

impl Values {
    /// The intervals in rising order; none for what is not intervals.
    pub(super) fn intervals(&self, family: Family) -> Box<dyn Iterator<Item = (u128, u128)> + '_> {
        match self {
            Values::One(first, last) => Box::new(std::iter::once((*first, *last))),
            Values::Many(list) => Box::new(list.iter().copied()),
            Values::Short(list) => {
                Box::new(list.iter().map(|(first, last)| (u128::from(*first), u128::from(*last))))
            }
            Values::Addresses(set) => intervals_of(set, family),
            Values::Masked { .. } => Box::new(std::iter::empty()),
        }
    }

    pub(super) fn count(&self, family: Family) -> usize {
        match self {
            Values::One(..) | Values::Masked { .. } => 1,
            Values::Many(list) => list.len(),
            Values::Short(list) => list.len(),
            Values::Addresses(set) => match family {
                Family::V4 => set.v4().as_slice().len(),
                Family::V6 => set.v6().as_slice().len(),
            },
        }
    }
}
