//! A small binary decision diagram: boolean functions as shared nodes; knows no field and no class.
//!
//! Reduced and ordered (Bryant 1986): equal functions are equal nodes, so that a proof of equality is one
//! comparison. Nodes are only added; a question builds its diagram, asks, and drops it whole.

/// A function. Two are equal exactly if they are the same node of one diagram.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node(u32);

impl Node {
    /// The function that is never true: the empty set.
    pub const FALSE: Node = Node(0);
    /// The function that is always true: everything.
    pub const TRUE: Node = Node(1);

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Node::FALSE
    }

    fn at(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Copy)]
struct Entry {
    level: u32,
    low: Node,
    high: Node,
}

/// Level of the two constants: below every variable.
const BOTTOM: u32 = u32::MAX;
/// The smallest tables; both grow with the nodes.
const SMALLEST: usize = 1 << 12;
/// The largest cache of results, in entries: 12 bytes each.
const LARGEST_CACHE: usize = 1 << 21;
/// A free place. Not 0: pages of zeros are lent by the kernel and given again when they are written to, which takes
/// longer than what is done with them.
const FREE: u32 = u32::MAX;
/// Above the bits of a node's number in the cache stands the operation.
const OP_SHIFT: u32 = 28;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    And = 1,
    Or,
    Minus,
    Xor,
    Exists,
}

/// Operation and first operand, second operand, result.
type Known = [u32; 3];
/// Three operands, result.
type KnownOfThree = [u32; 4];

/// Nodes, and what was computed of them.
pub(super) struct Diagram {
    nodes: Vec<Entry>,
    /// Open addressing: index of a node, or a free place.
    unique: Vec<u32>,
    /// What was computed; an older result gives way.
    cache: Vec<Known>,
    /// The same for [`Diagram::or_within`]; empty until somebody asks for that.
    of_three: Vec<KnownOfThree>,
    budget: usize,
    exceeded: bool,
}

impl Diagram {
    /// An empty diagram that grows to at most so many nodes.
    pub(super) fn new(budget: usize) -> Diagram {
        let constant = Entry { level: BOTTOM, low: Node::FALSE, high: Node::FALSE };
        Diagram {
            nodes: vec![constant; 2],
            unique: vec![FREE; SMALLEST * 2],
            cache: vec![[FREE; 3]; SMALLEST],
            of_three: Vec::new(),
            budget: budget.min(1 << OP_SHIFT),
            exceeded: false,
        }
    }

    /// Whether there were more nodes than the budget: nothing that was computed since means anything.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded
    }

    pub(super) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Level of the first variable that a function depends on.
    pub(super) fn level(&self, node: Node) -> u32 {
        self.nodes[node.at()].level
    }

    /// What is left of a function when the variable of `level` is chosen.
    pub(super) fn branch(&self, node: Node, level: u32) -> (Node, Node) {
        let entry = self.nodes[node.at()];
        if entry.level == level { (entry.low, entry.high) } else { (node, node) }
    }

    /// The function that is `high` where the variable of `level` is true and `low` where it is not.
    pub(super) fn make(&mut self, level: u32, low: Node, high: Node) -> Node {
        if low == high {
            return low;
        }
        let mask = self.unique.len() - 1;
        let mut place = hash(level, low.0, high.0) & mask;
        loop {
            let index = self.unique[place];
            if index == FREE {
                break;
            }
            let entry = &self.nodes[index as usize];
            if entry.level == level && entry.low == low && entry.high == high {
                return Node(index);
            }
            place = (place + 1) & mask;
        }
        if self.nodes.len() >= self.budget {
            self.exceeded = true;
            return Node::FALSE;
        }
        let Ok(index) = u32::try_from(self.nodes.len()) else {
            self.exceeded = true;
            return Node::FALSE;
        };
        self.nodes.push(Entry { level, low, high });
        self.unique[place] = index;
        if self.nodes.len() * 2 > self.unique.len() {
            self.grow();
        }
        Node(index)
    }

    /// Makes room in place, so that memory is touched once.
    fn grow(&mut self) {
        let size = self.unique.len() * 2;
        let mask = size - 1;
        self.unique.clear();
        self.unique.resize(size, FREE);
        for (index, entry) in self.nodes.iter().enumerate().skip(2) {
            let mut place = hash(entry.level, entry.low.0, entry.high.0) & mask;
            while self.unique[place] != FREE {
                place = (place + 1) & mask;
            }
            self.unique[place] = u32::try_from(index).unwrap_or(FREE);
        }
        let size = self.cache.len();
        if size < LARGEST_CACHE && self.nodes.len() > size {
            self.cache.resize(size * 2, [FREE; 3]);
            for place in 0..size {
                let known = self.cache[place];
                let belongs = hash(known[0], known[1], 0) & (size * 2 - 1);
                if belongs != place && known[0] != FREE {
                    self.cache[belongs] = known;
                    self.cache[place] = [FREE; 3];
                }
            }
            self.grow_of_three();
        }
    }

    fn grow_of_three(&mut self) {
        let size = self.of_three.len();
        self.of_three.resize(size * 2, [FREE; 4]);
        for place in 0..size {
            let known = self.of_three[place];
            let belongs = hash(known[0], known[1], known[2]) & (size * 2 - 1);
            if belongs != place && known[0] != FREE {
                self.of_three[belongs] = known;
                self.of_three[place] = [FREE; 4];
            }
        }
    }

    /// What is in both.
    pub(super) fn and(&mut self, a: Node, b: Node) -> Node {
        match (a, b) {
            (Node::FALSE, _) | (_, Node::FALSE) => Node::FALSE,
            (Node::TRUE, other) | (other, Node::TRUE) => other,
            _ if a == b => a,
            _ => self.apply(Op::And, a.min(b), a.max(b)),
        }
    }

    /// What is in `a` and not in `b`.
    pub(super) fn minus(&mut self, a: Node, b: Node) -> Node {
        match (a, b) {
            (Node::FALSE, _) | (_, Node::TRUE) => Node::FALSE,
            (_, Node::FALSE) => a,
            _ if a == b => Node::FALSE,
            _ => self.apply(Op::Minus, a, b),
        }
    }

    /// What is in exactly one.
    pub(super) fn xor(&mut self, a: Node, b: Node) -> Node {
        match (a, b) {
            (Node::FALSE, other) | (other, Node::FALSE) => other,
            _ if a == b => Node::FALSE,
            (Node::TRUE, other) | (other, Node::TRUE) => self.minus(Node::TRUE, other),
            _ => self.apply(Op::Xor, a.min(b), a.max(b)),
        }
    }

    /// What is in either.
    pub(super) fn or(&mut self, a: Node, b: Node) -> Node {
        match (a, b) {
            (Node::TRUE, _) | (_, Node::TRUE) => Node::TRUE,
            (Node::FALSE, other) | (other, Node::FALSE) => other,
            _ if a == b => a,
            _ => self.apply(Op::Or, a.min(b), a.max(b)),
        }
    }

    /// What is in `a`, or in both of the others: in one go, so that nobody has to remember what is in both.
    pub(super) fn or_within(&mut self, a: Node, within: Node, b: Node) -> Node {
        if a == Node::FALSE {
            return self.and(within, b);
        }
        if within == Node::FALSE || b == Node::FALSE || a == within || a == b || a == Node::TRUE {
            return a;
        }
        if within == Node::TRUE {
            return self.or(a, b);
        }
        if b == Node::TRUE || within == b {
            return self.or(a, within);
        }
        if self.of_three.is_empty() {
            self.of_three.resize(self.cache.len(), [FREE; 4]);
        }
        let key = [a.0, within.0.min(b.0), within.0.max(b.0)];
        let hash = hash(key[0], key[1], key[2]);
        let known = self.of_three[hash & (self.of_three.len() - 1)];
        if known[..3] == key {
            return Node(known[3]);
        }
        let level = self.level(a).min(self.level(within)).min(self.level(b));
        let [a_sides, within_sides, b_sides] = [a, within, b].map(|node| self.branch(node, level));
        let low = self.or_within(a_sides.0, within_sides.0, b_sides.0);
        let high = self.or_within(a_sides.1, within_sides.1, b_sides.1);
        let result = self.make(level, low, high);
        // The cache may have grown since it was asked.
        let place = hash & (self.of_three.len() - 1);
        self.of_three[place] = [key[0], key[1], key[2], result.0];
        result
    }

    fn apply(&mut self, op: Op, a: Node, b: Node) -> Node {
        if let Some(result) = self.known(op, a, b) {
            return result;
        }
        let level = self.level(a).min(self.level(b));
        let (a_low, a_high) = self.branch(a, level);
        let (b_low, b_high) = self.branch(b, level);
        let (low, high) = match op {
            Op::And => (self.and(a_low, b_low), self.and(a_high, b_high)),
            Op::Or => (self.or(a_low, b_low), self.or(a_high, b_high)),
            Op::Minus => (self.minus(a_low, b_low), self.minus(a_high, b_high)),
            Op::Xor => (self.xor(a_low, b_low), self.xor(a_high, b_high)),
            Op::Exists => (self.exists(a_low, b), self.exists(a_high, b)),
        };
        let result = self.make(level, low, high);
        self.keep(op, a, b, result);
        result
    }

    fn known(&self, op: Op, a: Node, b: Node) -> Option<Node> {
        let first = (op as u32) << OP_SHIFT | a.0;
        let known = &self.cache[hash(first, b.0, 0) & (self.cache.len() - 1)];
        (known[0] == first && known[1] == b.0).then_some(Node(known[2]))
    }

    fn keep(&mut self, op: Op, a: Node, b: Node, result: Node) {
        let first = (op as u32) << OP_SHIFT | a.0;
        // The cache may have grown since it was asked.
        let place = hash(first, b.0, 0) & (self.cache.len() - 1);
        self.cache[place] = [first, b.0, result.0];
    }

    /// All variables of these levels, which are in rising order: what [`Diagram::exists`] is asked for.
    pub(super) fn variables(&mut self, levels: impl DoubleEndedIterator<Item = u32>) -> Node {
        levels.rev().fold(Node::TRUE, |rest, level| self.make(level, Node::FALSE, rest))
    }

    /// Whether there is a value of some variables with which the function holds.
    pub(super) fn exists(&mut self, node: Node, variables: Node) -> Node {
        let level = self.level(node);
        let mut variables = variables;
        while self.level(variables) < level {
            variables = self.branch(variables, self.level(variables)).1;
        }
        if level == BOTTOM || self.level(variables) == BOTTOM {
            return node;
        }
        if self.level(variables) > level {
            return self.apply(Op::Exists, node, variables);
        }
        if let Some(result) = self.known(Op::Exists, node, variables) {
            return result;
        }
        let (low, high) = self.branch(node, level);
        let (_, rest) = self.branch(variables, level);
        let low = self.exists(low, rest);
        let result = if low == Node::TRUE {
            low
        } else {
            let high = self.exists(high, rest);
            self.or(low, high)
        };
        self.keep(Op::Exists, node, variables, result);
        result
    }
}

/// Multilinear (Carter and Wegman): of the sum of products the upper half is spread well.
fn hash(a: u32, b: u32, c: u32) -> usize {
    const ODD: [u64; 3] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9];
    let product = |number: u32, odd: u64| u64::from(number).wrapping_mul(odd);
    let sum = product(a, ODD[0]).wrapping_add(product(b, ODD[1])).wrapping_add(product(c, ODD[2]));
    (sum >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A function of eight variables as a table of 256 answers.
    fn of_table(diagram: &mut Diagram, table: &[bool], level: u32) -> Node {
        match table {
            [one] => [Node::FALSE, Node::TRUE][usize::from(*one)],
            _ => {
                let (low, high) = table.split_at(table.len() / 2);
                let (low, high) = (of_table(diagram, low, level + 1), of_table(diagram, high, level + 1));
                diagram.make(level, low, high)
            }
        }
    }

    fn answers(diagram: &Diagram, node: Node) -> Vec<bool> {
        (0..256u32)
            .map(|input| {
                let mut at = node;
                for level in 0..8 {
                    let (low, high) = diagram.branch(at, level);
                    at = if input >> (7 - level) & 1 == 1 { high } else { low };
                }
                at == Node::TRUE
            })
            .collect()
    }

    fn table() -> impl Strategy<Value = Vec<bool>> {
        prop::collection::vec(any::<bool>(), 256)
    }

    proptest! {
        /// Each operation is what its truth table says, and equal tables are one node.
        #[test]
        fn operations_agree_with_truth_tables(a in table(), b in table(), c in table()) {
            let mut diagram = Diagram::new(1 << 20);
            let [x, y, z] = [&a, &b, &c].map(|table| of_table(&mut diagram, table, 0));
            let pairs = || a.iter().copied().zip(b.iter().copied());
            let or_within = pairs().zip(&c).map(|((a, b), c)| a || b && *c).collect();
            for (node, expected) in [
                (diagram.and(x, y), pairs().map(|(a, b)| a && b).collect::<Vec<_>>()),
                (diagram.or(x, y), pairs().map(|(a, b)| a || b).collect()),
                (diagram.minus(x, y), pairs().map(|(a, b)| a && !b).collect()),
                (diagram.xor(x, y), pairs().map(|(a, b)| a != b).collect()),
                (diagram.or_within(x, y, z), or_within),
            ] {
                prop_assert_eq!(answers(&diagram, node), expected.clone());
                prop_assert_eq!(of_table(&mut diagram, &expected, 0), node);
            }
            let middle = diagram.variables(2..5);
            let some = diagram.exists(x, middle);
            let expected: Vec<bool> = (0..256usize)
                .map(|input| (0..8usize).any(|middle| a[input & !0b0011_1000 | middle << 3]))
                .collect();
            prop_assert_eq!(answers(&diagram, some), expected);
        }
    }

    #[test]
    fn a_budget_is_said_not_passed_over() {
        let mut diagram = Diagram::new(5);
        let mut all = Node::TRUE;
        for level in (0..8).rev() {
            all = diagram.make(level, Node::FALSE, all);
        }
        assert!(diagram.exceeded());
    }
}
