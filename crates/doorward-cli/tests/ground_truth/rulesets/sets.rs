//! Lookups and the sets, maps and verdict maps behind them: hashes, intervals, concatenations, catch-all.

use super::Forge;
use super::matches::{Part, key_part};
use crate::code::{R0, cmp, counter, host, lookup};
use doorward::net::Family;
use doorward::ruleset::{
    CmpOp, Data, DataType, Element, Elements, Expr, KeyPart, LookupTarget, MetaKey, Reg, Set, set_flags,
};
use std::collections::BTreeSet;

/// `NFT_SET_ELEM_INTERVAL_END`.
const INTERVAL_END: u32 = 1;
/// `NFT_SET_ELEM_CATCHALL`.
const CATCH_ALL: u32 = 2;
/// nftables' number for the type of a mark.
const TYPE_MARK: u32 = 19;

/// How a set finds its elements.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Hash,
    Intervals,
    Concat,
    ConcatIntervals,
}

/// A set being made: its header, and which values its elements have.
struct Sketch {
    load: Vec<Expr>,
    set: Set,
}

impl Forge<'_> {
    /// A set that holds the key, or does not.
    pub(super) fn member(&mut self) -> Vec<Expr> {
        let family = self.family();
        let mut exprs = self.guard(family);
        if self.dice.chance(15) {
            // A map to numbers, one of which is then compared.
            let (load, name) = self.numbers();
            exprs.extend(load);
            exprs.push(lookup(&name, Some(LookupTarget::Value(R0)), false));
            let value = host(self.world.mark(self.dice));
            let op = *self.dice.pick(&[CmpOp::Eq, CmpOp::Neq]);
            exprs.push(cmp(op, value));
            return exprs;
        }
        let Sketch { load, mut set } = self.sketch(family, 5);
        if self.dice.chance(40) {
            set.flags |= set_flags::ANONYMOUS | set_flags::CONSTANT;
            set.name = format!("__set{}", self.sets.len());
        }
        let name = set.name.clone();
        self.sets.push(set);
        exprs.extend(load);
        exprs.push(lookup(&name, None, self.dice.chance(25)));
        exprs
    }

    /// A map whose values end the rule, with a counter at each element.
    pub(super) fn verdict_map(&mut self) -> Vec<Expr> {
        let family = self.family();
        let mut exprs = self.guard(family);
        let Sketch { load, mut set } = self.sketch(family, 8);
        set.flags |= set_flags::MAP;
        set.data = Some(DataType::Verdict);
        if self.dice.chance(50) {
            set.exprs.push(counter());
        }
        self.with_values(&mut set, |forge| Data::Verdict(forge.end()));
        let name = set.name.clone();
        self.sets.push(set);
        exprs.extend(load);
        exprs.push(lookup(&name, Some(LookupTarget::Verdict), false));
        exprs
    }

    /// A map from ports to marks: the load of its key, and its name.
    pub(super) fn marks_by_port(&mut self) -> (Vec<Expr>, String) {
        self.numbers_of(&[Part::Port(2)], Shape::Hash)
    }

    fn numbers(&mut self) -> (Vec<Expr>, String) {
        let family = self.family();
        let part = self.part(family);
        self.numbers_of(&[part], Shape::Hash)
    }

    fn numbers_of(&mut self, parts: &[Part], shape: Shape) -> (Vec<Expr>, String) {
        let Sketch { load, mut set } = self.sketch_of(parts, shape, 8);
        set.flags |= set_flags::MAP;
        set.data = Some(DataType::Value { kind: TYPE_MARK, len: 4 });
        self.with_values(&mut set, |forge| Data::Value(host(forge.world.mark(forge.dice))));
        let name = set.name.clone();
        self.sets.push(set);
        (load, name)
    }

    /// A set of any shape.
    fn sketch(&mut self, family: Family, most: usize) -> Sketch {
        let shape = self.dice.weighted(&[
            (6, Shape::Hash),
            (6, Shape::Intervals),
            (5, Shape::Concat),
            (5, Shape::ConcatIntervals),
        ]);
        let parts: Vec<Part> = match shape {
            Shape::Hash => vec![self.part(family)],
            Shape::Intervals => {
                let (source, destination) = if family == Family::V4 { (12, 16) } else { (8, 24) };
                vec![self.dice.weighted(&[
                    (4, Part::Address(family, source)),
                    (3, Part::Address(family, destination)),
                    (4, Part::Port(2)),
                    (1, Part::Port(0)),
                    (2, Part::MarkAsNumber),
                ])]
            }
            Shape::Concat | Shape::ConcatIntervals => self.different_parts(family),
        };
        self.sketch_of(&parts, shape, most)
    }

    fn different_parts(&mut self, family: Family) -> Vec<Part> {
        let count = self.dice.between(2, 3);
        let mut parts: Vec<Part> = Vec::new();
        while parts.len() < count {
            let part = self.part(family);
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        parts
    }

    fn sketch_of(&mut self, parts: &[Part], shape: Shape, most: usize) -> Sketch {
        let count = self.dice.between(1, most);
        let mut load = Vec::new();
        let mut reg = R0;
        let mut columns: Vec<Vec<Vec<u8>>> = Vec::new();
        for part in parts {
            let (exprs, value) = key_part(self, *part, reg);
            reg = Self::behind(reg, &value);
            load.extend(exprs);
            let more = (0..=count * 2).map(|_| key_part(self, *part, Reg(0)).1);
            columns.push(std::iter::once(value).chain(more).collect());
        }
        let kinds: Vec<KeyPart> = parts.iter().map(|part| kind(*part)).collect();
        let mut set = Set::over(format!("s{}", self.sets.len()), &kinds);
        set.elements = Elements::Full(match shape {
            Shape::Hash | Shape::Concat => self.keys(&columns, count),
            Shape::Intervals => {
                set.flags |= set_flags::INTERVAL;
                self.intervals(&columns[0], count)
            }
            Shape::ConcatIntervals => {
                set.flags |= set_flags::INTERVAL | set_flags::CONCAT;
                set.key_parts = columns.iter().map(|column| crate::code::len(&column[0])).collect();
                self.boxes(&columns, count)
            }
        });
        Sketch { load, set }
    }

    fn keys(&mut self, columns: &[Vec<Vec<u8>>], count: usize) -> Vec<Element> {
        let keys: BTreeSet<Vec<u8>> = (0..count)
            .map(|_| {
                let values: Vec<&[u8]> =
                    columns.iter().map(|column| self.dice.pick(column).as_slice()).collect();
                concat(&values)
            })
            .collect();
        keys.into_iter().map(Element::of).collect()
    }

    /// Starts and ends in turn, none touching another.
    fn intervals(&mut self, column: &[Vec<u8>], count: usize) -> Vec<Element> {
        let bounds: BTreeSet<&Vec<u8>> = column.iter().collect();
        let mut bounds: Vec<&Vec<u8>> = bounds.into_iter().take(count * 2).collect();
        if bounds.len() % 2 == 1 {
            bounds.pop();
        }
        if bounds.is_empty() {
            // One value: the interval that begins there and has no end.
            return vec![Element::of(column[0].clone())];
        }
        let mut elements: Vec<Element> = bounds
            .iter()
            .enumerate()
            .map(|(at, bound)| Element {
                flags: if at % 2 == 1 { INTERVAL_END } else { 0 },
                ..Element::of((*bound).clone())
            })
            .collect();
        if self.dice.chance(15) {
            // The last one has no end.
            elements.pop();
        }
        elements
    }

    /// Boxes that do not overlap: they differ in the first part.
    fn boxes(&mut self, columns: &[Vec<Vec<u8>>], count: usize) -> Vec<Element> {
        let firsts: BTreeSet<&Vec<u8>> = columns[0].iter().collect();
        let firsts: Vec<&Vec<u8>> = firsts.into_iter().take(count * 2).collect();
        let mut boxes = Vec::new();
        for pair in firsts.chunks(2) {
            let wide = pair.len() == 2 && self.dice.chance(60);
            let (low, high) = (pair[0].as_slice(), if wide { pair[1] } else { pair[0] }.as_slice());
            let (mut lows, mut highs) = (vec![low], vec![high]);
            for column in &columns[1..] {
                let (one, other) = (self.dice.pick(column), self.dice.pick(column));
                let (low, high) =
                    if self.dice.chance(50) { (one, one) } else { (one.min(other), one.max(other)) };
                lows.push(low);
                highs.push(high);
            }
            boxes.push(Element { key_end: Some(concat(&highs)), ..Element::of(concat(&lows)) });
        }
        boxes
    }

    /// Gives each element a value, and the set a catch-all now and then.
    fn with_values(&mut self, set: &mut Set, mut value: impl FnMut(&mut Self) -> Data) {
        let counted = set.exprs.clone();
        let Elements::Full(elements) = &mut set.elements else { return };
        if self.dice.chance(30) {
            elements.push(Element { flags: CATCH_ALL, ..Element::default() });
        }
        for element in elements.iter_mut().filter(|element| element.flags & INTERVAL_END == 0) {
            element.data = Some(value(self));
            element.exprs.clone_from(&counted);
        }
    }
}

/// Values one behind the other, each padded to whole registers where there are several.
fn concat(values: &[&[u8]]) -> Vec<u8> {
    if let [one] = values {
        return one.to_vec();
    }
    let mut key = Vec::new();
    for value in values {
        key.extend_from_slice(value);
        key.resize(key.len().next_multiple_of(4), 0);
    }
    key
}

fn kind(part: Part) -> KeyPart {
    let small = |n: u32| u16::try_from(n).unwrap();
    match part {
        Part::Address(family, offset) => KeyPart::Network(small(offset), u16::from(family.bits()) / 8),
        Part::Port(2) => KeyPart::Port,
        Part::Port(offset) => KeyPart::Transport(small(offset), 2),
        Part::Proto => KeyPart::L4proto,
        Part::Name(MetaKey::Oifname) => KeyPart::Oifname,
        Part::Name(_) => KeyPart::Iifname,
        Part::Mark | Part::MarkAsNumber => KeyPart::Mark,
        Part::State => KeyPart::CtState,
    }
}
