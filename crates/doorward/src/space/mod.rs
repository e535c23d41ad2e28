//! Sets of connections, exactly; knows neither policies nor rulesets.
//!
//! A [`Terms`] collects what is asked of each field. [`Space::new`] divides the values of each field into the
//! classes that no term tells apart, numbers them, and makes a diagram over the bits of these numbers. Addresses
//! are intervals until then and never bits, so that a list of a million prefixes costs a sort and no diagram.

mod apart;
mod boxes;
mod classes;
mod contains;
mod diagram;
mod field;
mod taste;
mod terms;
#[cfg(test)]
mod tests;

pub use apart::{Class, Share};
pub use boxes::{Part, Point, Region};
pub use diagram::Node;
pub use field::{Field, LOCAL, state};
pub use taste::{name_value, value_name};
pub use terms::{Atom, Pred, Terms};

use crate::net::Family;
use classes::Classes;
use diagram::Diagram;
use field::Coding;
use rustc_hash::FxHashMap as HashMap;
use taste::Preferred;
use terms::{Values, most};

/// So many nodes at most: some 250 MB. Beyond it nothing is claimed.
pub const BUDGET: usize = 12_000_000;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unproven {
    /// The diagram grew beyond its budget.
    TooLarge,
    /// The classes of a field did not come out when they were counted; a mistake of ours.
    Miscounted(Field),
}

impl std::fmt::Display for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unproven::TooLarge => f.write_str("too many kinds of connections to tell apart"),
            Unproven::Miscounted(field) => write!(f, "the classes of {field:?} do not come out"),
        }
    }
}

/// A field and its variables.
struct Coded {
    field: Field,
    /// Level of its first variable.
    level: u32,
    /// How many variables it has.
    bits: u32,
    /// How far it is to the next one: with 2, those of another field stand between them.
    step: u32,
    classes: Option<Classes>,
}

impl Coded {
    fn levels(&self) -> impl Iterator<Item = u32> + use<> {
        let (level, step) = (self.level, self.step);
        (0..self.bits).map(move |at| level + at * step)
    }

    /// The level of a bit, of which 0 is the lowest.
    fn level_of(&self, bit: u32) -> u32 {
        self.level + self.bits.saturating_sub(bit + 1) * self.step
    }

    /// Which bit has this level.
    fn bit_at(&self, level: u32) -> Option<u32> {
        let at = level.checked_sub(self.level)?;
        let bit = self.bits.checked_sub(1)?.checked_sub(at / self.step)?;
        at.is_multiple_of(self.step).then_some(bit)
    }
}

/// All sets of connections that can be told apart by the terms of a question.
pub struct Space {
    terms: Terms,
    /// In the order of their variables.
    coded: Vec<Coded>,
    /// Place in `coded` by number of the field.
    place: Vec<usize>,
    diagram: Diagram,
    atoms: Vec<Option<Node>>,
    domain: Node,
    /// The variables of fields that were picked before, by place.
    picked: HashMap<Vec<bool>, Node>,
    /// The sets of single classes that were asked for before, by place and class.
    singles: HashMap<(usize, usize), Node>,
}

/// From so many sets of one field on they are taken apart by class instead of one after another.
const SWITCHED: usize = 6;

impl Space {
    /// The space over everything that was asked for.
    pub fn new(terms: Terms) -> Result<Space, Unproven> {
        Space::within(terms, BUDGET)
    }

    /// The same with a budget of its own.
    pub fn within(terms: Terms, budget: usize) -> Result<Space, Unproven> {
        let family = terms.family();
        let mut of_field: Vec<Vec<(u32, &Values)>> = vec![Vec::new(); terms.fields.len()];
        for (index, (field, values)) in (0u32..).zip(&terms.atoms) {
            of_field[*field as usize].push((index, values));
        }
        let mut order: Vec<usize> = (0..terms.fields.len()).collect();
        order.sort_by_key(|at| (terms.fields[*at].rank(), *at));
        let mut coded: Vec<Coded> = Vec::with_capacity(order.len());
        let mut place = vec![0; terms.fields.len()];
        let mut level = 0;
        for at in order {
            let field = terms.fields[at].clone();
            let width = field.width(family);
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            let (bits, classes) = match terms.coding(number) {
                Coding::Bits => (width, None),
                Coding::Classes => {
                    let taste = Preferred::of(&field, family);
                    let classes = classes::classes(&of_field[at], most(width), family, &taste)
                        .map_err(|_| Unproven::Miscounted(field.clone()))?;
                    let bits = u32::BITS - classes.count().saturating_sub(1).leading_zeros();
                    (bits, Some(classes))
                }
            };
            place[at] = coded.len();
            coded.push(Coded { field, level, bits, step: 1, classes });
            level += bits;
        }
        interleave(&mut coded);
        drop(of_field);
        let atoms = vec![None; terms.atoms.len()];
        let diagram = Diagram::new(budget);
        let (domain, picked, singles) = (Node::TRUE, HashMap::default(), HashMap::default());
        let mut space = Space { terms, coded, place, diagram, atoms, domain, picked, singles };
        space.domain = space.possible();
        Ok(space)
    }

    /// The family of its addresses.
    #[must_use]
    pub fn family(&self) -> Family {
        self.terms.family()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.diagram.size()
    }

    /// An error if the budget was exceeded: then no node means anything.
    pub fn holds_good(&self) -> Result<(), Unproven> {
        if self.diagram.exceeded() { Err(Unproven::TooLarge) } else { Ok(()) }
    }

    /// All packets that can be: names of interfaces are names.
    #[must_use]
    pub fn domain(&self) -> Node {
        self.domain
    }

    fn possible(&mut self) -> Node {
        let mut all = Node::TRUE;
        for at in (0..self.coded.len()).rev() {
            let Some(classes) = &self.coded[at].classes else { continue };
            let possible: Vec<u32> =
                (0u32..).zip(&classes.sample).filter(|(_, value)| value.is_some()).map(|(c, _)| c).collect();
            let node = self.of_classes(at, &possible);
            all = self.diagram.and(node, all);
        }
        all
    }

    /// The set of a condition.
    pub fn node(&mut self, pred: &Pred) -> Node {
        match pred {
            Pred::Const(value) => constant(*value),
            Pred::Is(atom) => self.atom(*atom),
            Pred::Not(inner) => {
                let node = self.node(inner);
                self.diagram.minus(Node::TRUE, node)
            }
            Pred::All(list) => {
                let mut all = Node::TRUE;
                for one in list {
                    let node = self.node(one);
                    all = self.diagram.and(all, node);
                }
                all
            }
            Pred::Any(list) => {
                let nodes: Vec<Node> = list.iter().map(|one| self.node(one)).collect();
                self.union(nodes)
            }
            Pred::Boxes(boxes) => self.boxes(boxes),
        }
    }

    /// What is in both.
    pub fn and(&mut self, a: Node, b: Node) -> Node {
        self.diagram.and(a, b)
    }

    /// What is in either.
    pub fn or(&mut self, a: Node, b: Node) -> Node {
        self.diagram.or(a, b)
    }

    /// What is in `a`, or in both `within` and `b`.
    pub fn or_within(&mut self, a: Node, within: Node, b: Node) -> Node {
        self.diagram.or_within(a, within, b)
    }

    /// What is in `a` and not in `b`.
    pub fn minus(&mut self, a: Node, b: Node) -> Node {
        self.diagram.minus(a, b)
    }

    /// What is not in it.
    pub fn not(&mut self, a: Node) -> Node {
        self.diagram.minus(Node::TRUE, a)
    }

    /// What is in exactly one.
    pub fn xor(&mut self, a: Node, b: Node) -> Node {
        self.diagram.xor(a, b)
    }

    /// What is in one of them.
    pub fn union(&mut self, mut nodes: Vec<Node>) -> Node {
        while nodes.len() > 1 {
            nodes = nodes
                .chunks(2)
                .map(|pair| match pair {
                    [one, other] => self.diagram.or(*one, *other),
                    _ => pair[0],
                })
                .collect();
        }
        nodes.pop().unwrap_or(Node::FALSE)
    }

    /// The packets for which some value of the picked fields makes them members.
    pub fn exists(&mut self, node: Node, picked: &dyn Fn(&Field) -> bool) -> Node {
        let picks = self.coded.iter().map(|coded| picked(&coded.field)).collect();
        self.exists_at(node, picks)
    }

    /// The same with fields picked by their place.
    fn exists_at(&mut self, node: Node, picks: Vec<bool>) -> Node {
        let variables = match self.picked.get(&picks) {
            Some(variables) => *variables,
            None => {
                let mut levels: Vec<u32> = self
                    .coded
                    .iter()
                    .zip(&picks)
                    .filter(|(_, picked)| **picked)
                    .flat_map(|(coded, _)| coded.levels())
                    .collect();
                levels.sort_unstable();
                let variables = self.diagram.variables(levels.into_iter());
                self.picked.insert(picks, variables);
                variables
            }
        };
        self.diagram.exists(node, variables)
    }

    /// The packets that are members whatever the picked fields are.
    pub fn for_all(&mut self, node: Node, picked: &dyn Fn(&Field) -> bool) -> Node {
        let out = self.not(node);
        let some = self.exists(out, picked);
        self.not(some)
    }

    /// The packets with a bit of a field that is coded bit by bit; none where nobody asked for the field.
    pub fn bit(&mut self, field: &Field, bit: u32) -> Option<Node> {
        let coded = self.coded.iter().find(|coded| coded.field == *field)?;
        let level = (bit < coded.bits).then(|| coded.level_of(bit))?;
        Some(self.diagram.make(level, Node::FALSE, Node::TRUE))
    }

    /// All fields that were asked for, in the order of their variables.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        self.coded.iter().map(|coded| &coded.field)
    }

    /// One value of each class of a field; none for a field that nobody asked for or that has no classes.
    #[must_use]
    pub fn samples(&self, field: &Field) -> Vec<u128> {
        let coded = self.coded.iter().find(|coded| coded.field == *field);
        let classes = coded.and_then(|coded| coded.classes.as_ref());
        classes.map_or(Vec::new(), |classes| classes.sample.iter().flatten().copied().collect())
    }

    /// The packets of a set in which a field has a value, which it needs to have nowhere else.
    pub fn fixed(&mut self, node: Node, field: &Field, value: u128) -> Node {
        let Some(at) = self.coded.iter().position(|coded| coded.field == *field) else { return node };
        let single = self.single(at, value);
        self.diagram.and(node, single)
    }

    /// What becomes of a set when one bit of a field that is coded bit by bit is changed. Bit 0 is the lowest.
    pub fn with_bit(&mut self, node: Node, field: &Field, bit: u32, to: Bit) -> Node {
        let Some(coded) = self.coded.iter().find(|coded| coded.field == *field) else { return node };
        let level = coded.level_of(bit);
        let variable = self.diagram.make(level, Node::FALSE, Node::TRUE);
        match to {
            Bit::Set(value) => {
                let any = self.diagram.exists(node, variable);
                if value { self.diagram.and(any, variable) } else { self.diagram.minus(any, variable) }
            }
            Bit::Flipped => {
                let (clear, set) = (self.diagram.minus(node, variable), self.diagram.and(node, variable));
                let (clear, set) = (self.diagram.exists(clear, variable), self.diagram.exists(set, variable));
                let (now_set, now_clear) =
                    (self.diagram.and(clear, variable), self.diagram.minus(set, variable));
                self.diagram.or(now_set, now_clear)
            }
            Bit::Anything => self.diagram.exists(node, variable),
        }
    }

    fn atom(&mut self, atom: Atom) -> Node {
        let index = atom.0 as usize;
        if let Some(node) = self.atoms[index] {
            return node;
        }
        let (field, values) = &self.terms.atoms[index];
        let at = self.place[*field as usize];
        let node = match (&self.coded[at].classes, values) {
            (Some(classes), _) => {
                let pairs = classes.of.get(&atom.0).into_iter().flatten();
                let pairs: Vec<(u32, Node)> = pairs.map(|class| (*class, Node::TRUE)).collect();
                self.switch(at, &pairs, Node::FALSE)
            }
            (None, Values::Masked { mask, value }) => {
                let (mask, value) = (*mask, *value);
                self.of_bits(at, mask, value)
            }
            (None, _) => {
                let list: Vec<(u128, u128)> = values.intervals(self.terms.family()).collect();
                let nodes = list.iter().map(|(first, last)| self.between(at, *first, *last)).collect();
                self.union(nodes)
            }
        };
        self.atoms[index] = Some(node);
        node
    }

    /// Values whose bits within a mask are given.
    fn of_bits(&mut self, at: usize, mask: u128, value: u128) -> Node {
        let mut node = Node::TRUE;
        for bit in 0..self.coded[at].bits {
            if mask >> bit & 1 == 1 {
                let here = self.coded[at].level_of(bit);
                node = if value >> bit & 1 == 1 {
                    self.diagram.make(here, Node::FALSE, node)
                } else {
                    self.diagram.make(here, node, Node::FALSE)
                };
            }
        }
        node
    }

    /// Values of an interval, for a field that is coded bit by bit.
    fn between(&mut self, at: usize, first: u128, last: u128) -> Node {
        let (mut above, mut below) = (Node::TRUE, Node::TRUE);
        for bit in 0..self.coded[at].bits {
            let here = self.coded[at].level_of(bit);
            above = if first >> bit & 1 == 1 {
                self.diagram.make(here, Node::FALSE, above)
            } else {
                self.diagram.make(here, above, Node::TRUE)
            };
            below = if last >> bit & 1 == 1 {
                self.diagram.make(here, Node::TRUE, below)
            } else {
                self.diagram.make(here, below, Node::FALSE)
            };
        }
        self.diagram.and(above, below)
    }

    /// The set of some classes of a field, which are in rising order.
    fn of_classes(&mut self, at: usize, list: &[u32]) -> Node {
        let pairs: Vec<(u32, Node)> = list.iter().map(|class| (*class, Node::TRUE)).collect();
        self.switch(at, &pairs, Node::FALSE)
    }

    /// The set that is, for each class of a field, the given one, and `rest` for classes that are not named. The
    /// numbers behind the last class stand for it too, so that each function has one form.
    fn switch(&mut self, at: usize, pairs: &[(u32, Node)], rest: Node) -> Node {
        let Some(classes) = &self.coded[at].classes else { return rest };
        let count = classes.count();
        let (level, bits) = (self.coded[at].level, self.coded[at].bits);
        let last = match pairs.last() {
            Some((class, node)) if *class + 1 == count => *node,
            _ => rest,
        };
        self.switch_part(level, bits, 0, count, pairs, rest, last)
    }

    #[expect(clippy::too_many_arguments, reason = "one step of a recursion")]
    fn switch_part(
        &mut self,
        level: u32,
        bits: u32,
        from: u32,
        count: u32,
        pairs: &[(u32, Node)],
        rest: Node,
        last: Node,
    ) -> Node {
        if from >= count {
            return last;
        }
        if bits == 0 {
            return pairs.first().map_or(rest, |(_, node)| *node);
        }
        let half = 1u32 << (bits - 1);
        if pairs.is_empty() && (from + 2 * half <= count || last == rest) {
            return rest;
        }
        let split = pairs.partition_point(|(class, _)| *class < from + half);
        let (left, right) = pairs.split_at(split);
        let low = self.switch_part(level + 1, bits - 1, from, count, left, rest, last);
        let high = self.switch_part(level + 1, bits - 1, from + half, count, right, rest, last);
        self.diagram.make(level, low, high)
    }

    /// The union of products of sets.
    fn boxes(&mut self, boxes: &[Vec<Atom>]) -> Node {
        let mut sorted: Vec<Vec<(usize, Atom)>> = boxes
            .iter()
            .map(|one| {
                let mut atoms: Vec<(usize, Atom)> = one
                    .iter()
                    .map(|atom| (self.place[self.terms.atoms[atom.0 as usize].0 as usize], *atom))
                    .collect();
                atoms.sort_unstable();
                atoms
            })
            .collect();
        sorted.sort_unstable();
        sorted.dedup();
        self.union_of(&sorted, 0)
    }

    /// The union of sorted products that are the same up to `from`, of what stands behind.
    fn union_of(&mut self, boxes: &[Vec<(usize, Atom)>], from: usize) -> Node {
        let Some(first) = boxes.first() else { return Node::FALSE };
        // What ends is sorted before what goes on, and says all.
        let Some((at, _)) = first.get(from).copied() else { return Node::TRUE };
        let here = boxes.partition_point(|one| one[from].0 == at);
        let (boxes, without) = boxes.split_at(here);
        let base = self.union_of(without, from);
        if base == Node::TRUE {
            return base;
        }
        let mut parts: Vec<(Atom, Node)> = Vec::new();
        let mut alike: HashMap<Vec<&[(usize, Atom)]>, Node> = HashMap::default();
        for group in boxes.chunk_by(|one, other| one[from] == other[from]) {
            let atom = group[0][from].1;
            let rest = from + 1;
            let node = if group[0].len() == rest {
                Node::TRUE
            } else {
                let known = group.iter().map(|one| &one[rest..]).collect();
                match alike.get(&known) {
                    Some(node) => *node,
                    None => {
                        let node = self.union_of(group, rest);
                        alike.insert(known, node);
                        node
                    }
                }
            };
            parts.push((atom, node));
        }
        if parts.len() < SWITCHED || self.coded[at].classes.is_none() {
            let mut nodes = vec![base];
            for (atom, node) in parts {
                let set = self.atom(atom);
                nodes.push(self.diagram.and(set, node));
            }
            return self.union(nodes);
        }
        self.by_class(at, &parts, base)
    }

    /// For each class the union of what belongs to the sets that it is in.
    fn by_class(&mut self, at: usize, parts: &[(Atom, Node)], base: Node) -> Node {
        let Some(classes) = &self.coded[at].classes else { return base };
        let mut pairs: Vec<(u32, Node)> = Vec::new();
        for (atom, node) in parts {
            pairs.extend(classes.of.get(&atom.0).into_iter().flatten().map(|class| (*class, *node)));
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut known: HashMap<Vec<Node>, Node> = HashMap::default();
        let mut switched: Vec<(u32, Node)> = Vec::new();
        for group in pairs.chunk_by(|one, other| one.0 == other.0) {
            let class = group[0].0;
            let nodes: Vec<Node> = group.iter().map(|(_, node)| *node).collect();
            let node = match known.get(&nodes) {
                Some(node) => *node,
                None => {
                    let mut all = nodes.clone();
                    all.push(base);
                    let node = self.union(all);
                    known.insert(nodes, node);
                    node
                }
            };
            switched.push((class, node));
        }
        self.switch(at, &switched, base)
    }
}

/// Lets the bits of both marks take turns: else a mark that is copied to the other needs a node for each value.
fn interleave(coded: &mut [Coded]) {
    let is_mark = |coded: &Coded| matches!(coded.field, Field::MARK | Field::CT_MARK);
    let Some(first) = coded.iter().position(is_mark) else { return };
    if let Some([one, other]) = coded.get_mut(first..first + 2)
        && is_mark(other)
    {
        (one.step, other.step) = (2, 2);
        other.level = one.level + 1;
    }
}

/// What a bit becomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bit {
    /// This.
    Set(bool),
    /// The other.
    Flipped,
    /// Either: nobody knows.
    Anything,
}

fn constant(value: bool) -> Node {
    if value { Node::TRUE } else { Node::FALSE }
}
