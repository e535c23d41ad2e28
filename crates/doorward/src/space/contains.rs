//! Whether one packet is in a set; asks nobody what its fields are.

use super::diagram::Node;
use super::field::Field;
use super::terms::Values;
use super::{Coded, Space};

impl Space {
    /// Whether the packet with these values is in a set. Fields that nobody asked for do not matter.
    #[must_use]
    pub fn contains(&self, node: Node, value: &dyn Fn(&Field) -> u128) -> bool {
        let mut at = node;
        for place in 0..self.coded.len() {
            let coded = &self.coded[place];
            // A set that does not depend on a field needs no value of it.
            if self.diagram.level(at) >= coded.level + coded.bits {
                continue;
            }
            let number = match &coded.classes {
                Some(_) => u128::from(self.class(place, value(&coded.field))),
                None => value(&coded.field),
            };
            at = self.walk(coded, at, number);
        }
        !at.is_empty()
    }

    /// The set of the packets with these values, whatever the fields are that have none.
    pub fn only(&mut self, value: &dyn Fn(&Field) -> Option<u128>) -> Node {
        let mut node = Node::TRUE;
        for place in (0..self.coded.len()).rev() {
            let coded = &self.coded[place];
            let Some(value) = value(&coded.field) else { continue };
            let number = match &coded.classes {
                Some(_) => u128::from(self.class(place, value)),
                None => value,
            };
            let levels: Vec<u32> = coded.levels().collect();
            for (bit, level) in levels.into_iter().rev().enumerate() {
                node = if number >> bit & 1 == 1 {
                    self.diagram.make(level, Node::FALSE, node)
                } else {
                    self.diagram.make(level, node, Node::FALSE)
                };
            }
        }
        self.diagram.and(node, self.domain)
    }

    fn walk(&self, coded: &Coded, mut at: Node, number: u128) -> Node {
        for (level, bit) in coded.levels().zip((0..coded.bits).rev()) {
            let (low, high) = self.diagram.branch(at, level);
            at = if number >> bit & 1 == 1 { high } else { low };
        }
        at
    }

    /// The class of a value: the one that is in the same sets.
    fn class(&self, place: usize, value: u128) -> u32 {
        let Some(classes) = &self.coded[place].classes else { return 0 };
        let family = self.family();
        let field = self.place.iter().position(|at| *at == place);
        let mut possible = vec![true; classes.sample.len()];
        for (index, (of, values)) in (0u32..).zip(&self.terms.atoms) {
            if field != Some(*of as usize) {
                continue;
            }
            let inside = holds(values, value, family);
            let mut mine = classes.of.get(&index).into_iter().flatten().copied().peekable();
            for (class, open) in (0u32..).zip(&mut possible) {
                let is_mine = mine.next_if_eq(&class).is_some();
                *open &= is_mine == inside;
            }
        }
        possible.iter().position(|open| *open).and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
    }
}

fn holds(values: &Values, value: u128, family: crate::net::Family) -> bool {
    match values {
        Values::One(first, last) => (*first..=*last).contains(&value),
        Values::Many(list) => among(list, value),
        other => other.intervals(family).any(|(first, last)| (first..=last).contains(&value)),
    }
}

fn among(list: &[(u128, u128)], value: u128) -> bool {
    let after = list.partition_point(|(first, _)| *first <= value);
    after.checked_sub(1).is_some_and(|at| value <= list[at].1)
}
