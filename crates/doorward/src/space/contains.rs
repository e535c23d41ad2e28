//! Whether one packet is in a set; asks nobody what its fields are.

use super::Space;
use super::diagram::Node;
use super::field::Field;
use super::terms::Values;

impl Space {
    /// Whether the packet with these values is in a set. Fields that nobody asked for do not matter.
    #[must_use]
    pub fn contains(&self, node: Node, value: &dyn Fn(&Field) -> u128) -> bool {
        // A set that does not depend on a field needs no value of it.
        let mut numbers: Vec<Option<u128>> = vec![None; self.coded.len()];
        let mut at = node;
        while let Some((place, bit)) = self.variable(self.diagram.level(at)) {
            let number = *numbers[place].get_or_insert_with(|| {
                let coded = &self.coded[place];
                match &coded.classes {
                    Some(_) => u128::from(self.class(place, value(&coded.field))),
                    None => value(&coded.field),
                }
            });
            let (low, high) = self.diagram.branch(at, self.diagram.level(at));
            at = if number >> bit & 1 == 1 { high } else { low };
        }
        !at.is_empty()
    }

    /// The set of the packets with these values, whatever the fields are that have none.
    pub fn only(&mut self, value: &dyn Fn(&Field) -> Option<u128>) -> Node {
        let mut variables: Vec<(u32, bool)> = Vec::new();
        for (place, coded) in self.coded.iter().enumerate() {
            let Some(value) = value(&coded.field) else { continue };
            let number = match &coded.classes {
                Some(_) => u128::from(self.class(place, value)),
                None => value,
            };
            variables.extend(
                coded.levels().zip((0..coded.bits).rev()).map(|(level, bit)| (level, number >> bit & 1 == 1)),
            );
        }
        variables.sort_unstable();
        let mut node = Node::TRUE;
        for (level, set) in variables.into_iter().rev() {
            let (low, high) = if set { (Node::FALSE, node) } else { (node, Node::FALSE) };
            node = self.diagram.make(level, low, high);
        }
        self.diagram.and(node, self.domain)
    }

    /// The field of a level, and which of its bits stands there.
    fn variable(&self, level: u32) -> Option<(usize, u32)> {
        // Fields that take turns begin one after the other: the last that begins before is it, or the one before.
        let after = self.coded.partition_point(|coded| coded.level <= level);
        self.coded[..after]
            .iter()
            .enumerate()
            .rev()
            .find_map(|(place, coded)| Some((place, coded.bit_at(level)?)))
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
