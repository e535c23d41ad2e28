//! What no packet tells, answered in every way: the usual answers first, then the contrary of each; knows no rule.

use crate::ruleset::Expr;
use crate::trace::{Assume, Place, Unknown};
use std::collections::VecDeque;

/// So many ways to answer are tried.
const MOST_RUNS: usize = 256;

/// One question that no packet answers, and how it was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// Where it was asked; of several hooks, each counts for itself.
    pub place: Place,
    /// The element that it is about, if it is.
    pub element: Option<usize>,
    /// What asks.
    pub expr: Expr,
    /// The answer.
    pub holds: bool,
}

/// How something ended under some answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fate<T> {
    /// How it ended.
    pub end: T,
    /// The answers that are contrary to the usual ones.
    pub contrary: Vec<Doubt>,
}

/// How something ends under all answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answers<T> {
    /// With the usual answers.
    pub usual: T,
    /// All that was asked then.
    pub asked: Vec<Doubt>,
    /// Where it ends in another way, each with the fewest contrary answers that lead there.
    pub others: Vec<Fate<T>>,
    /// Whether all answers were tried.
    pub complete: bool,
}

/// The usual answers: limits and quotas have room, bans and buckets are empty, and what nobody knows does not match.
#[must_use]
pub fn usual(expr: &Expr) -> bool {
    match expr {
        Expr::Limit(limit) => !limit.over,
        Expr::Quota { flags, .. } | Expr::Connlimit { flags, .. } => flags & 1 == 0,
        // Sets have room for what packets add.
        Expr::Dynset(_) => true,
        _ => false,
    }
}

/// Runs something with the usual answers, then with every other combination, as far as it makes a difference.
pub fn fates<T: PartialEq>(mut run: impl FnMut(&mut dyn Assume) -> T) -> Answers<T> {
    let mut record = Record { given: Vec::new(), asked: Vec::new() };
    let first = run(&mut record);
    let asked = record.asked;
    let mut left: VecDeque<Vec<bool>> = contraries(0, &asked).collect();
    let mut others: Vec<Fate<T>> = Vec::new();
    let mut runs = 1;
    while let Some(given) = left.pop_front() {
        if runs >= MOST_RUNS {
            return Answers { usual: first, asked, others, complete: false };
        }
        runs += 1;
        let fixed = given.len();
        let mut record = Record { given, asked: Vec::new() };
        let end = run(&mut record);
        left.extend(contraries(fixed, &record.asked));
        if end == first {
            continue;
        }
        let contrary: Vec<Doubt> =
            record.asked.into_iter().filter(|doubt| doubt.holds != usual(&doubt.expr)).collect();
        let known = others
            .iter()
            .any(|other| other.end == end && other.contrary.iter().all(|doubt| contrary.contains(doubt)));
        if !known {
            others.push(Fate { end, contrary });
        }
    }
    Answers { usual: first, asked, others, complete: true }
}

/// The answers up to each question from `from` on, with that one contrary to what it was.
fn contraries(from: usize, asked: &[Doubt]) -> impl Iterator<Item = Vec<bool>> + '_ {
    (from..asked.len()).map(|at| {
        let mut given: Vec<bool> = asked[..at].iter().map(|doubt| doubt.holds).collect();
        given.push(!asked[at].holds);
        given
    })
}

/// Gives the answers that are given, then the usual ones, and keeps all.
struct Record {
    given: Vec<bool>,
    asked: Vec<Doubt>,
}

impl Assume for Record {
    fn holds(&mut self, what: &Unknown<'_>) -> bool {
        let holds = self.given.get(self.asked.len()).copied().unwrap_or_else(|| usual(what.expr));
        self.asked.push(Doubt { place: what.place, element: what.element, expr: what.expr.clone(), holds });
        holds
    }
}
