//! Sentences that decide nothing, however many others it takes to make them so; changes none.

use super::run::NotJudged;
use crate::meaning::sets::{self, Place};
use crate::net::{AddrSet, Family};
use crate::resolve::model::{Resolved, Verdict};
use crate::space::{Node, Pred, Space, Terms};
use std::collections::BTreeSet;

/// More sentences than this are not held against each other.
const MOST: usize = 500;

/// A sentence that decides nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Needless {
    /// Its number among the rules of the policy.
    pub rule: usize,
    /// Why.
    pub why: Why,
    /// Numbers of the rules that make it so, as far as rules do.
    pub by: Vec<usize>,
}

/// Why a sentence decides nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Why {
    /// No connection that can be is one of those that it speaks of.
    Empty,
    /// Blocks, rejects, or trust take everything.
    Shadowed,
    /// Others say all of it already.
    Redundant,
    /// Others allow all of it without a limit.
    LimitLifted,
}

/// What is known of a rule so far, over all places and both families.
#[derive(Clone)]
struct Found {
    /// What may still be so.
    open: BTreeSet<Why>,
    by_stronger: BTreeSet<usize>,
    by_alike: BTreeSet<usize>,
}

/// The sentences of a policy that decide nothing. Of two that say the same, the later one is told.
pub fn needless(policy: &Resolved, own: &AddrSet) -> Result<Vec<Needless>, NotJudged> {
    if policy.rules.len() > MOST {
        return Ok(Vec::new());
    }
    let start = Found {
        open: [Why::Empty, Why::Shadowed, Why::Redundant, Why::LimitLifted].into(),
        by_stronger: BTreeSet::new(),
        by_alike: BTreeSet::new(),
    };
    let mut found = vec![start; policy.rules.len()];
    for family in Family::BOTH {
        of_family(policy, own, family, &mut found)?;
    }
    let mut all = Vec::new();
    for (rule, found) in found.into_iter().enumerate() {
        // The first that is left: what matches nothing is shadowed by nothing.
        let Some(why) = found.open.first().copied() else { continue };
        let by = match why {
            Why::Empty => BTreeSet::new(),
            Why::Shadowed => found.by_stronger,
            Why::Redundant | Why::LimitLifted => found.by_alike,
        };
        all.push(Needless { rule, why, by: by.into_iter().collect() });
    }
    Ok(all)
}

fn of_family(policy: &Resolved, own: &AddrSet, family: Family, found: &mut [Found]) -> Result<(), NotJudged> {
    let mut terms = Terms::new(family);
    let empty = Resolved::empty();
    let mut places = Vec::new();
    for place in Place::ALL {
        let opening = sets::openings(&empty, own, place, true, &mut terms);
        let said: Vec<Option<Pred>> =
            policy.rules.iter().map(|rule| sets::sentence(rule, place, &mut terms)).collect();
        let trusted = sets::trusted(policy, place, &mut terms);
        places.push((opening, said, trusted));
    }
    let mut space = Space::new(terms)?;
    for (place, (opening, said, trusted)) in Place::ALL.into_iter().zip(places) {
        let opening = space.node(&opening);
        let possible = space.domain();
        let opening = space.and(opening, possible);
        let trusted = space.node(&trusted);
        let said: Vec<Node> = said
            .iter()
            .map(|pred| {
                let node = pred.as_ref().map_or(Node::FALSE, |pred| space.node(pred));
                space.and(opening, node)
            })
            .collect();
        At { policy, place, trusted, said }.judge(&mut space, found);
        space.holds_good()?;
    }
    Ok(())
}

/// The sentences at one place.
struct At<'a> {
    policy: &'a Resolved,
    place: Place,
    trusted: Node,
    said: Vec<Node>,
}

impl At<'_> {
    fn judge(&self, space: &mut Space, found: &mut [Found]) {
        let rules = &self.policy.rules;
        let blocks = self.union(space, |rule| rule == Verdict::Block);
        let rejects = self.union(space, |rule| rule == Verdict::Reject);
        let (blocks, rejects) = (space.minus(blocks, self.trusted), space.minus(rejects, self.trusted));
        let shut = space.or(blocks, rejects);
        let default = self.policy.defaults.of(self.place.way()).verdict;
        for (number, rule) in rules.iter().enumerate() {
            let mine = self.said[number];
            if mine.is_empty() {
                continue;
            }
            let found = &mut found[number];
            found.open.remove(&Why::Empty);
            let live = match rule.verdict {
                Verdict::Allow => space.minus(mine, shut),
                Verdict::Reject => {
                    let open = space.minus(mine, self.trusted);
                    space.minus(open, blocks)
                }
                Verdict::Block => space.minus(mine, self.trusted),
            };
            if !live.is_empty() {
                found.open.remove(&Why::Shadowed);
            }
            let stronger: Vec<usize> =
                (0..rules.len()).filter(|other| stronger(rules[*other].verdict, rule.verdict)).collect();
            self.meeting(space, mine, &stronger, &mut found.by_stronger);
            if live.is_empty() {
                continue;
            }
            // Whoever comes later says it again; a limit is no less than none.
            let alike = |other: usize, unlimited: bool| {
                other != number
                    && rules[other].verdict == rule.verdict
                    && !rules[other].log
                    && (rules[other].limit.is_none() || !unlimited && rules[other].limit == rule.limit)
                    && (other < number || !self.is_twin(number, other))
            };
            let same: Vec<usize> = (0..rules.len()).filter(|other| alike(*other, false)).collect();
            let free: Vec<usize> = (0..rules.len()).filter(|other| alike(*other, true)).collect();
            let by_default = rule.verdict == Verdict::Allow && default == Verdict::Allow;
            let plain = rule.limit.is_none();
            let candidates = if plain { &same } else { &free };
            let mut covered = if by_default { live } else { Node::FALSE };
            for other in candidates {
                covered = space.or(covered, self.said[*other]);
            }
            let left = space.minus(live, covered);
            let is_covered = left.is_empty();
            if !is_covered || !plain || rule.log {
                found.open.remove(&Why::Redundant);
            }
            if !is_covered || plain {
                found.open.remove(&Why::LimitLifted);
            }
            if is_covered {
                let candidates = candidates.clone();
                self.meeting(space, live, &candidates, &mut found.by_alike);
            }
        }
    }

    fn union(&self, space: &mut Space, wanted: impl Fn(Verdict) -> bool) -> Node {
        let nodes = self
            .policy
            .rules
            .iter()
            .zip(&self.said)
            .filter(|(rule, _)| wanted(rule.verdict))
            .map(|(_, node)| *node)
            .collect();
        space.union(nodes)
    }

    /// Whether two sentences speak of the same at this place.
    fn is_twin(&self, one: usize, other: usize) -> bool {
        self.said[one] == self.said[other]
    }

    /// Which of some sentences speak of a part of a set.
    fn meeting(&self, space: &mut Space, set: Node, of: &[usize], into: &mut BTreeSet<usize>) {
        for other in of {
            if !space.and(set, self.said[*other]).is_empty() {
                into.insert(*other);
            }
        }
    }
}

/// Whether a verdict wins over another.
fn stronger(one: Verdict, than: Verdict) -> bool {
    matches!(
        (one, than),
        (Verdict::Block, Verdict::Reject | Verdict::Allow) | (Verdict::Reject, Verdict::Allow)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{Host, MemoryFiles, load, resolve};

    fn told(text: &str) -> Vec<(usize, Why, Vec<usize>)> {
        let files = MemoryFiles::default().with("p.dw", text);
        let (policy, reports) = resolve(&load(&files, "p.dw"), &Host::default());
        let policy = policy.unwrap_or_else(|| panic!("{reports:?}"));
        let all = needless(&policy, &AddrSet::empty()).expect("decided");
        all.into_iter().map(|one| (one.rule, one.why, one.by)).collect()
    }

    #[test]
    fn it_takes_several_to_make_one_needless() {
        // Two halves shadow the whole, which no one of them does.
        let halves =
            "allow ssh from 203.0.113.0/24\nblock from 203.0.113.0/25\nblock from 203.0.113.128/25\n";
        assert_eq!(told(halves), [(0, Why::Shadowed, vec![1, 2])]);
        let union = "allow 20-30/tcp from 203.0.113.0/24\nallow 10-24/tcp\nallow 25-40/tcp\n";
        assert_eq!(told(union), [(0, Why::Redundant, vec![1, 2])]);
        let lifted = "allow ssh limit 6/minute\nallow ssh from 0.0.0.0/1, ::/1\nallow ssh from 128.0.0.0/1, 8000::/1\n";
        assert_eq!(told(lifted), [(0, Why::LimitLifted, vec![1, 2])]);
    }

    #[test]
    fn what_decides_is_not_told() {
        for text in [
            "allow ssh\nblock from 203.0.113.0/24\nallow http\n",
            "allow ssh from 203.0.113.0/24 limit 6/minute\nallow ssh from 203.0.113.0/25\n",
            "allow ssh log\nallow ssh\n",
            "block telnet\nallow anything from 203.0.113.0/24\n",
        ] {
            assert_eq!(told(text), [], "{text}");
        }
    }

    #[test]
    fn of_two_that_are_the_same_one_is_told() {
        assert_eq!(told("allow ssh\nallow 22/tcp\n"), [(1, Why::Redundant, vec![0])]);
    }

    #[test]
    fn who_is_trusted_is_not_blocked() {
        assert_eq!(
            told("trust 203.0.113.0/24\nblock ssh from 203.0.113.7\nallow ssh\n"),
            [(0, Why::Shadowed, vec![])]
        );
        assert_eq!(told("allow ssh from 127.0.0.1\n"), [(0, Why::Empty, vec![])]);
    }
}
