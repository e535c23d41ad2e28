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

/// The sentences of a policy that decide nothing. Of two that say the same, the later one is told.
pub fn needless(policy: &Resolved, own: &AddrSet) -> Result<Vec<Needless>, NotJudged> {
    if policy.rules.len() > MOST {
        return Ok(Vec::new());
    }
    // What may still be so of each rule, over all places and both families.
    let start: BTreeSet<Why> = [Why::Empty, Why::Shadowed, Why::Redundant, Why::LimitLifted].into();
    let mut open = vec![start; policy.rules.len()];
    let mut halves = Vec::new();
    for family in Family::BOTH {
        let (mut space, places) = of_family(policy, own, family)?;
        for at in &places {
            at.judge(&mut space, &mut open);
        }
        space.holds_good()?;
        halves.push((space, places));
    }
    let mut all = Vec::new();
    for (rule, open) in open.into_iter().enumerate() {
        // The first that is left: what matches nothing is shadowed by nothing.
        let Some(why) = open.first().copied() else { continue };
        let mut by = BTreeSet::new();
        for (space, places) in &mut halves {
            for at in &*places {
                at.causes(space, rule, why, &mut by);
            }
            space.holds_good()?;
        }
        all.push(Needless { rule, why, by: by.into_iter().collect() });
    }
    Ok(all)
}

fn of_family<'a>(
    policy: &'a Resolved,
    own: &AddrSet,
    family: Family,
) -> Result<(Space, Vec<At<'a>>), NotJudged> {
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
    let mut all = Vec::with_capacity(places.len());
    for (place, (opening, said, trusted)) in Place::ALL.into_iter().zip(places) {
        let opening = space.node(&opening);
        let possible = space.domain();
        let opening = space.and(opening, possible);
        let trusted = space.node(&trusted);
        let said =
            said.iter().map(|pred| pred.as_ref().map_or(Node::FALSE, |pred| space.node(pred))).collect();
        all.push(At { policy, place, opening, trusted, said });
    }
    space.holds_good()?;
    Ok((space, all))
}

/// The sentences at one place. What they say stays apart from which connections there can be: their own sets are
/// small, and few questions need both.
struct At<'a> {
    policy: &'a Resolved,
    place: Place,
    opening: Node,
    trusted: Node,
    said: Vec<Node>,
}

impl At<'_> {
    fn judge(&self, space: &mut Space, open: &mut [BTreeSet<Why>]) {
        for (number, open) in open.iter_mut().enumerate() {
            if open.is_empty() || !self.can_be(space, self.said[number]) {
                continue;
            }
            open.remove(&Why::Empty);
            let live = self.live(space, number);
            if !self.can_be(space, live) {
                continue;
            }
            open.remove(&Why::Shadowed);
            let rule = &self.policy.rules[number];
            let plain = rule.limit.is_none();
            let covered = self.is_covered(space, number, live);
            if !covered || !plain || rule.log {
                open.remove(&Why::Redundant);
            }
            if !covered || plain {
                open.remove(&Why::LimitLifted);
            }
        }
    }

    /// Whether a connection of a set can be.
    fn can_be(&self, space: &mut Space, set: Node) -> bool {
        !space.and(set, self.opening).is_empty()
    }

    /// What of a sentence no stronger one takes.
    fn live(&self, space: &mut Space, number: usize) -> Node {
        let verdict = self.policy.rules[number].verdict;
        let mine = self.said[number];
        let lifted = verdict != Verdict::Allow;
        let mut live = if lifted { space.minus(mine, self.trusted) } else { mine };
        for other in self.stronger(number) {
            let takes = space.minus(self.said[other], self.trusted);
            live = space.minus(live, takes);
        }
        live
    }

    fn stronger(&self, number: usize) -> Vec<usize> {
        let rules = &self.policy.rules;
        (0..rules.len()).filter(|other| stronger(rules[*other].verdict, rules[number].verdict)).collect()
    }

    /// Whether others, or the default, say what is left of a sentence.
    fn is_covered(&self, space: &mut Space, number: usize, live: Node) -> bool {
        let default = self.policy.defaults.of(self.place.way()).verdict;
        if self.policy.rules[number].verdict == Verdict::Allow && default == Verdict::Allow {
            return true;
        }
        let mut left = live;
        for other in self.alike(number) {
            left = space.minus(left, self.said[other]);
        }
        !self.can_be(space, left)
    }

    /// Sentences that can say the same: of two whoever comes later says it again, and a limit is no less than none.
    fn alike(&self, number: usize) -> Vec<usize> {
        let rules = &self.policy.rules;
        let rule = &rules[number];
        (0..rules.len())
            .filter(|other| {
                *other != number
                    && rules[*other].verdict == rule.verdict
                    && !rules[*other].log
                    && rules[*other].limit.is_none()
                    && (*other < number || self.said[*other] != self.said[number])
            })
            .collect()
    }

    /// The sentences that make one needless, as far as they speak of a part of it.
    fn causes(&self, space: &mut Space, number: usize, why: Why, into: &mut BTreeSet<usize>) {
        let (of, set) = match why {
            Why::Empty => return,
            Why::Shadowed => (self.stronger(number), self.said[number]),
            Why::Redundant | Why::LimitLifted => (self.alike(number), self.live(space, number)),
        };
        let set = space.and(set, self.opening);
        for other in of {
            if !space.and(set, self.said[other]).is_empty() {
                into.insert(other);
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
