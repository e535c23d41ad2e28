//! What happened to a packet: how it ended and by which rules; keeps places, no texts.

use crate::net::Translated;
use crate::ruleset::Verdict;
use std::fmt;
use std::ops::Range;

/// How a packet ended, at a whole hook or in one base chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// It goes on.
    Accepted,
    /// It is gone without a word.
    Dropped,
    /// It is gone, and the sender may hear of it.
    Rejected,
    /// User space decides.
    Queued,
    /// No kernel would have loaded this program: nothing is said of the packet.
    Stopped(Stop),
}

/// Why a program cannot be run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Stop {
    /// There is no such chain.
    NoChain,
    /// There is no such set.
    NoSet,
    /// An expression reaches beyond the registers.
    Register,
    /// A verdict, operation or length that the kernel refuses.
    Operation,
    /// More rules than any loaded ruleset can make one packet meet.
    Endless,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stop::NoChain => "a rule goes to a chain that is not there",
            Stop::NoSet => "a rule looks into a set that is not there",
            Stop::Register => "a rule reaches beyond the registers",
            Stop::Operation => "a rule has an operation that no kernel knows",
            Stop::Endless => "the rules never come to an end",
        })
    }
}

/// The way of a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace<'a> {
    /// How it ended.
    pub end: End,
    /// The base chains that it met, in their order.
    pub bases: Vec<BaseEnd>,
    /// The rules that it met, in their order.
    pub visits: Vec<Visit<'a>>,
    /// Something was asked that the packet does not tell.
    pub unknown: bool,
}

/// How one base chain ended. A `nat` chain that accepts ends nothing but itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseEnd {
    /// Index of the table.
    pub table: usize,
    /// Index of the chain in the table.
    pub chain: usize,
    /// How it ended.
    pub end: End,
    /// No rule decided, its policy did.
    pub by_policy: bool,
    /// Its part of [`Trace::visits`].
    pub visits: Range<usize>,
}

/// A rule that a packet met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit<'a> {
    /// Index of the table.
    pub table: usize,
    /// Index of the chain in the table.
    pub chain: usize,
    /// Index of the rule in the chain.
    pub rule: usize,
    /// What became of it.
    pub outcome: Outcome<'a>,
    /// The lookups that found their key, in their order.
    pub hits: Vec<Hit>,
}

/// What became of a rule; `at` is the index of an expression.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome<'a> {
    /// It ran to its end without a verdict.
    Matched,
    /// This expression did not match.
    Broke {
        /// Which.
        at: usize,
    },
    /// This expression ended it with a verdict.
    Verdict {
        /// Which.
        at: usize,
        /// The verdict.
        verdict: &'a Verdict,
    },
    /// This expression refused the packet.
    Rejected {
        /// Which.
        at: usize,
    },
    /// This expression handed the packet to user space.
    Queued {
        /// Which.
        at: usize,
    },
    /// This expression translated the packet, which accepts it.
    Translated {
        /// Which.
        at: usize,
        /// To what; none where that is a range, has flags, or cannot be known.
        to: Option<Translated>,
    },
    /// This expression cannot be run.
    Stopped {
        /// Which.
        at: usize,
        /// Why.
        stop: Stop,
    },
}

impl Outcome<'_> {
    /// How many expressions of a rule of `len` took effect, one that did not match left out.
    #[must_use]
    pub const fn effective(self, len: usize) -> usize {
        match self {
            Outcome::Matched => len,
            Outcome::Broke { at } | Outcome::Stopped { at, .. } => at,
            Outcome::Verdict { at, .. }
            | Outcome::Rejected { at }
            | Outcome::Queued { at }
            | Outcome::Translated { at, .. } => at + 1,
        }
    }
}

/// A lookup that found its key, inverted or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hit {
    /// Index of the expression.
    pub expr: usize,
    /// Index of the set in the table.
    pub set: usize,
    /// Index of the element; none if it is no element of the ruleset, but assumed or just added.
    pub element: Option<usize>,
}
