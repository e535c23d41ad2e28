//! From a set back to values: one connection of it, or all of it as few products; decides nothing.

use super::classes;
use super::diagram::Node;
use super::field::Field;
use super::terms::{Values, most};
use super::{Space, constant};

/// One packet: a value for each field that was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Point {
    values: Vec<(Field, u128)>,
}

impl Point {
    /// A packet with these values.
    #[must_use]
    pub fn of(values: Vec<(Field, u128)>) -> Point {
        Point { values }
    }

    /// The same packet with another value of a field.
    #[must_use]
    pub fn with(mut self, field: Field, value: u128) -> Point {
        self.values.retain(|(one, _)| *one != field);
        self.values.push((field, value));
        self
    }

    /// The value of a field; none where nobody asked for it.
    #[must_use]
    pub fn get(&self, field: &Field) -> Option<u128> {
        self.values.iter().find(|(one, _)| one == field).map(|(_, value)| *value)
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[(Field, u128)] {
        &self.values
    }
}

/// A product of sets of values: all packets with each field within its part.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// Fields that do not take every value.
    pub parts: Vec<Part>,
    /// A packet of it.
    pub example: Point,
}

/// The values of one field in a region.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The field.
    pub field: Field,
    /// Its values, as sorted intervals.
    pub ranges: Vec<(u128, u128)>,
}

impl Region {
    /// The values of a field; none for every value.
    #[must_use]
    pub fn part(&self, field: &Field) -> Option<&[(u128, u128)]> {
        self.parts.iter().find(|part| part.field == *field).map(|part| part.ranges.as_slice())
    }
}

/// A stretch of classes with the same rest of a function.
struct Stretch {
    from: u32,
    to: u32,
    rest: Node,
}

impl Space {
    /// A packet of the set, with the most readable values; none where the set is empty.
    pub fn point(&mut self, node: Node) -> Option<Point> {
        let domain = self.domain();
        let mut node = self.and(node, domain);
        if node.is_empty() {
            return None;
        }
        let mut values = Vec::with_capacity(self.coded.len());
        for at in 0..self.coded.len() {
            let (value, rest) = self.choose(at, node)?;
            values.push((self.coded[at].field.clone(), value));
            node = rest;
        }
        Some(Point { values })
    }

    fn choose(&mut self, at: usize, node: Node) -> Option<(u128, Node)> {
        let coded = &self.coded[at];
        let Some(classes) = &coded.classes else {
            let (mut value, mut rest) = (0u128, node);
            for level in coded.levels() {
                let variable = self.diagram.make(level, Node::FALSE, Node::TRUE);
                let low = self.diagram.minus(rest, variable);
                let set = low.is_empty();
                value = value << 1 | u128::from(set);
                rest = self.diagram.exists(if set { rest } else { low }, variable);
            }
            return Some((value, rest));
        };
        let mut best: Option<(u32, u128, Node)> = None;
        for stretch in self.stretches(at, node) {
            for class in stretch.from..stretch.to {
                let (rank, sample) = (classes.rank[class as usize], classes.sample[class as usize]);
                if let Some(sample) = sample
                    && best.is_none_or(|(known, ..)| rank < known)
                {
                    best = Some((rank, sample, stretch.rest));
                }
            }
        }
        best.map(|(_, value, rest)| (value, rest))
    }

    /// The classes of a field for which something is left of a function, with what is left.
    fn stretches(&self, at: usize, node: Node) -> Vec<Stretch> {
        let coded = &self.coded[at];
        let count = coded.classes.as_ref().map_or(0, classes::Classes::count);
        let mut found = Vec::new();
        let mut open = vec![(node, coded.level, coded.bits, 0u32)];
        while let Some((node, level, bits, from)) = open.pop() {
            if node.is_empty() || from >= count {
                continue;
            }
            if self.diagram.level(node) >= coded.level + coded.bits || bits == 0 {
                let to = from.saturating_add(1u32.checked_shl(bits).unwrap_or(u32::MAX)).min(count);
                found.push(Stretch { from, to, rest: node });
                continue;
            }
            let (low, high) = self.diagram.branch(node, level);
            let half = 1u32 << (bits - 1);
            open.push((high, level + 1, bits - 1, from + half));
            open.push((low, level + 1, bits - 1, from));
        }
        found
    }

    /// The set as products, each as large as can be, at most so many; and what is left after them.
    pub fn regions(&mut self, set: Node, at_most: usize) -> (Vec<Region>, Node) {
        let domain = self.domain();
        let mut rest = self.and(set, domain);
        let whole = rest;
        let mut regions = Vec::new();
        while !rest.is_empty() && regions.len() < at_most && self.holds_good().is_ok() {
            let Some(point) = self.point(rest) else { break };
            let (product, parts) = self.widened(whole, &point);
            rest = self.minus(rest, product);
            regions.push(Region { parts, example: point });
        }
        (regions, rest)
    }

    /// The largest product around a point within a set: one field after the other takes every value with which
    /// the product stays inside.
    pub(super) fn widened(&mut self, set: Node, point: &Point) -> (Node, Vec<Part>) {
        let domain = self.domain();
        let outside = self.minus(domain, set);
        let mut sets: Vec<Node> =
            (0..self.coded.len()).map(|at| self.single(at, point.values[at].1)).collect();
        let mut order: Vec<usize> = (0..self.coded.len()).collect();
        order.sort_by_key(|at| (widening_rank(&self.coded[*at].field), *at));
        // For each step the product of the fields whose turn comes later; that of those before it grows on the way.
        let mut later = vec![Node::TRUE; order.len()];
        for step in (1..order.len()).rev() {
            later[step - 1] = self.diagram.and(sets[order[step]], later[step]);
        }
        let mut product = Node::TRUE;
        for (at, later) in order.into_iter().zip(later) {
            let others = self.diagram.and(product, later);
            let others = self.diagram.and(outside, others);
            let rest = (0..sets.len()).map(|one| one != at).collect();
            let bad = self.exists_at(others, rest);
            sets[at] = self.diagram.minus(Node::TRUE, bad);
            product = self.diagram.and(sets[at], product);
        }
        let parts = (0..self.coded.len()).filter_map(|at| self.part(at, sets[at])).collect();
        (product, parts)
    }

    /// The set of all packets whose field is in the class of a value.
    pub(super) fn single(&mut self, at: usize, value: u128) -> Node {
        let Some(classes) = &self.coded[at].classes else {
            let width = self.coded[at].bits;
            return self.of_bits(at, most(width), value);
        };
        let class = classes.sample.iter().position(|sample| *sample == Some(value)).unwrap_or(0);
        if let Some(node) = self.singles.get(&(at, class)) {
            return *node;
        }
        let node = self.of_classes(at, &[u32::try_from(class).unwrap_or(0)]);
        self.singles.insert((at, class), node);
        node
    }

    /// The values of a field in a set that depends on nothing else; none for every value.
    pub(super) fn part(&self, at: usize, node: Node) -> Option<Part> {
        if node == constant(true) {
            return None;
        }
        let coded = &self.coded[at];
        let ranges = if let Some(classes) = &coded.classes {
            let mut wanted = vec![false; classes.count() as usize];
            for stretch in self.stretches(at, node) {
                wanted[stretch.from as usize..stretch.to as usize].fill(true);
            }
            if wanted.iter().zip(&classes.sample).all(|(wanted, sample)| *wanted || sample.is_none()) {
                return None;
            }
            let width = coded.field.width(self.family());
            classes::intervals(classes, || self.values_of(at), most(width), self.family(), &|class| {
                wanted.get(class as usize).copied().unwrap_or(false)
            })
        } else {
            self.bit_ranges(at, node)
        };
        Some(Part { field: coded.field.clone(), ranges })
    }

    /// Values of a field that is coded bit by bit: as far as they are a few intervals.
    fn bit_ranges(&self, at: usize, node: Node) -> Vec<(u128, u128)> {
        const MOST: usize = 64;
        let coded = &self.coded[at];
        let mut out: Vec<(u128, u128)> = Vec::new();
        let mut open = vec![(node, coded.bits, 0u128)];
        while let Some((node, bits, from)) = open.pop() {
            if node.is_empty() || out.len() >= MOST {
                continue;
            }
            if node == constant(true) {
                let last = from | most(bits);
                match out.last_mut() {
                    Some(prior) if prior.1 + 1 == from => prior.1 = last,
                    _ => out.push((from, last)),
                }
                continue;
            }
            let (low, high) = self.diagram.branch(node, coded.level_of(bits - 1));
            open.push((high, bits - 1, from | 1 << (bits - 1)));
            open.push((low, bits - 1, from));
        }
        out
    }

    pub(super) fn values_of(&self, at: usize) -> Vec<(u32, &Values)> {
        let field = self.place.iter().position(|place| *place == at);
        (0u32..)
            .zip(&self.terms.atoms)
            .filter(|(_, (of, _))| field == Some(*of as usize))
            .map(|(index, (_, values))| (index, values))
            .collect()
    }
}

/// What a product is made wide in first: what people do not ask about, then who, then what.
fn widening_rank(field: &Field) -> u32 {
    match field {
        Field::Source => 1,
        Field::Iif | Field::Oif => 2,
        Field::Destination | Field::AddressedTo => 3,
        Field::Port | Field::AddressedPort => 4,
        Field::Protocol => 5,
        _ => 0,
    }
}
