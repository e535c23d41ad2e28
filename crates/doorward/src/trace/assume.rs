//! What a packet does not tell, and whoever answers for it; knows no answers itself.

use crate::ruleset::Expr;

/// Answers what cannot be told from the packet: limits, quotas, members of sets that packets fill, random
/// numbers, the clock, expressions without a type; and whether the kernel is one that reads transport headers
/// out of later fragments.
pub trait Assume {
    /// Whether it holds: the expression goes on, or the set has the key.
    fn holds(&mut self, what: &Unknown<'_>) -> bool;
}

impl<F: FnMut(&Unknown<'_>) -> bool> Assume for F {
    fn holds(&mut self, what: &Unknown<'_>) -> bool {
        self(what)
    }
}

/// Something that cannot be told from the packet.
#[derive(Clone, Copy, Debug)]
pub struct Unknown<'a> {
    /// The expression that asks; for state of an element (a limit) or of a `dynset`, that state itself.
    pub expr: &'a Expr,
    /// Where the rule asks.
    pub place: Place,
    /// The element that is asked about: its state, or whether it is the one that a value nobody knows finds.
    pub element: Option<usize>,
    /// How many times this place has asked before, for this packet.
    pub times: usize,
}

/// An expression of a rule, by indexes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// Index of the table.
    pub table: usize,
    /// Index of the chain in the table.
    pub chain: usize,
    /// Index of the rule in the chain.
    pub rule: usize,
    /// Index of the expression in the rule.
    pub expr: usize,
}
