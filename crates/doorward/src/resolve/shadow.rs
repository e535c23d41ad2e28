//! Sentences that can never match, or say what another says already: only what is cheap to see, no proof.

use super::model::{Peers, Resolved, Rule, Verdict, Way};
use super::{Context, Places, cover};
use crate::report::Report;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// So many broad sentences are held against all others; a policy has few.
const MAX_BROAD: usize = 128;
/// A source with more intervals than this is held against others as a whole.
const MAX_INTERVALS: usize = 1024;
/// So many sentences with a wider source are looked at for each.
const MAX_WIDER: usize = 16;

/// So many needless sentences are shown: a program that writes policies can make thousands.
const MAX_SHOWN: usize = 50;

/// How one sentence makes another needless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needless {
    /// A stronger verdict takes everything.
    Shadowed,
    /// The same verdict takes everything.
    Redundant,
    /// The same verdict takes everything, and has no limit.
    LimitLifted,
    /// It is the same sentence.
    Twice,
}

/// Warns of each needless sentence once.
///
/// `lifted` are sentences of which is said already that trust lifts them.
pub(super) fn warn(
    context: &mut Context<'_>,
    resolved: &Resolved,
    places: &Places<'_>,
    lifted: &HashSet<usize>,
) {
    let mut found = Found { resolved, by: vec![None; resolved.rules.len()] };
    found.twins();
    found.broad();
    found.nested(|peers| intervals(peers, |set| set.v4().as_slice()));
    found.nested(|peers| intervals(peers, |set| set.v6().as_slice()));
    let mut warnings = Vec::new();
    for (index, by) in found.by.iter().enumerate().filter(|(index, _)| !lifted.contains(index)) {
        let (Some((other, how)), Some((span, _))) = (by, places.rules.get(index)) else { continue };
        let (Some((place, _)), Some(rule)) = (places.rules.get(*other), resolved.rules.get(*other)) else {
            continue;
        };
        let word = rule.verdict.word();
        warnings.push(match how {
            Needless::Shadowed => Report::warning("shadowed", *span, format!("a `{word}` takes all of this"))
                .label("this never matches")
                .other(*place, format!("the `{word}` is here"))
                .way_out("take one of them out, or narrow the wider one with `except`"),
            Needless::Redundant => {
                Report::warning("redundant", *span, format!("another `{word}` says this already"))
                    .label("this changes nothing")
                    .other(*place, "the wider one is here")
                    .way_out("take this one out, or narrow the wider one")
            }
            Needless::LimitLifted => {
                Report::warning("limit-lifted", *span, "another sentence allows all of this without a limit")
                    .label("this limit has no effect")
                    .other(*place, "the one without a limit is here")
                    .way_out("take one of them out, or narrow the one without a limit")
            }
            Needless::Twice => Report::warning("said-twice", *span, "this sentence is said twice")
                .label("once is enough")
                .other(*place, "the first is here")
                .way_out("take one of them out"),
        });
    }
    let more = warnings.len().saturating_sub(MAX_SHOWN);
    warnings.truncate(MAX_SHOWN);
    if let Some(last) = warnings.pop() {
        warnings.push(match more {
            0 => last,
            more => last.way_out(format!("{more} more sentences never match or change nothing")),
        });
    }
    context.reports.extend(warnings);
}

struct Found<'a> {
    resolved: &'a Resolved,
    /// For each sentence the one that makes it needless.
    by: Vec<Option<(usize, Needless)>>,
}

impl Found<'_> {
    /// Sentences that are the same but for the order of their words.
    fn twins(&mut self) {
        let mut seen: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, rule) in self.resolved.rules.iter().enumerate() {
            let alike = seen.entry(fingerprint(rule)).or_default();
            let first = alike
                .iter()
                .copied()
                .find(|first| self.resolved.rules.get(*first).is_some_and(|first| same(first, rule)));
            match first {
                Some(first) => self.mark(first, index, Needless::Twice),
                None => alike.push(index),
            }
        }
    }

    /// Sentences that speak of everybody, or of a long list, against all others.
    fn broad(&mut self) {
        let wide = |rule: &Rule| {
            rule.scope
                .from
                .only
                .as_ref()
                .is_none_or(|set| set.v4().as_slice().len() + set.v6().as_slice().len() > MAX_INTERVALS)
        };
        let broad: Vec<usize> = self
            .resolved
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| wide(rule))
            .map(|(index, _)| index)
            .take(MAX_BROAD)
            .collect();
        for a in broad {
            for b in 0..self.resolved.rules.len() {
                self.compare(a, b);
            }
        }
    }

    /// Sentences whose source lies within the source of another.
    fn nested<T: Ord + Copy>(&mut self, of: impl Fn(&Peers) -> &[(T, T)]) {
        let mut all: Vec<(T, std::cmp::Reverse<T>, usize)> = Vec::new();
        for (index, rule) in self.resolved.rules.iter().enumerate() {
            all.extend(
                of(&rule.scope.from).iter().map(|(first, last)| (*first, std::cmp::Reverse(*last), index)),
            );
        }
        all.sort_unstable();
        // Intervals that start before this one and may still hold it, the nearest last.
        let mut open: Vec<(T, T, usize)> = Vec::new();
        for (first, last, index) in all {
            let last = last.0;
            while open.last().is_some_and(|(_, end, _)| *end < first) {
                open.pop();
            }
            for (start, end, wider) in open.iter().rev().take(MAX_WIDER) {
                if last <= *end {
                    self.compare(*wider, index);
                    if (*start, *end) == (first, last) {
                        self.compare(index, *wider);
                    }
                }
            }
            open.push((first, last, index));
        }
    }

    fn compare(&mut self, a: usize, b: usize) {
        let known = |index: usize| self.by.get(index).is_none_or(Option::is_some);
        if a == b || known(a) || known(b) {
            return;
        }
        let (Some(one), Some(other)) = (self.resolved.rules.get(a), self.resolved.rules.get(b)) else {
            return;
        };
        if let Some(how) = needless(one, other)
            && cover::rule(one, other)
            && !(how == Needless::Shadowed && self.trust_lifts(other))
        {
            self.mark(a, b, how);
        }
    }

    /// Whether some of these sources are trusted, so that no block takes them all.
    fn trust_lifts(&self, rule: &Rule) -> bool {
        let from = &rule.scope.from.only;
        rule.ways != [Way::Out]
            && self.resolved.trust.iter().any(|trust| from.as_ref().is_none_or(|from| from.meets(&trust.who)))
    }

    fn mark(&mut self, by: usize, index: usize, how: Needless) {
        if let Some(slot) = self.by.get_mut(index) {
            *slot = Some((by, how));
        }
    }
}

/// What `b` would be if `a` matched all that it matches.
fn needless(a: &Rule, b: &Rule) -> Option<Needless> {
    match (a.verdict, b.verdict) {
        (Verdict::Block, Verdict::Allow | Verdict::Reject) | (Verdict::Reject, Verdict::Allow) => {
            Some(Needless::Shadowed)
        }
        (a_verdict, b_verdict) if a_verdict == b_verdict => {
            let passive = b.passive.is_none() || a.passive == b.passive;
            let log = a.log || !b.log;
            let how = if b.limit.is_some() { Needless::LimitLifted } else { Needless::Redundant };
            (a.limit.is_none() && passive && log).then_some(how)
        }
        _ => None,
    }
}

/// Whether two sentences are the same but for the order of their words.
fn same(a: &Rule, b: &Rule) -> bool {
    (a.verdict, a.limit, a.passive, a.log) == (b.verdict, b.limit, b.passive, b.log)
        && cover::rule(a, b)
        && cover::rule(b, a)
}

/// Equal for sentences that are the same; rarely equal for others.
fn fingerprint(rule: &Rule) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (mut traffic, mut on) = (rule.traffic.clone(), rule.scope.on.clone());
    traffic.sort_unstable();
    on.sort_unstable();
    (rule.verdict, rule.limit, rule.passive, rule.log, &rule.ways, traffic, on).hash(&mut hasher);
    for set in [&rule.scope.from.only, &rule.scope.from.except, &rule.scope.to.only, &rule.scope.to.except] {
        let Some(set) = set else {
            0u8.hash(&mut hasher);
            continue;
        };
        // The ends of a long list tell enough.
        (set.v4().as_slice().first(), set.v4().as_slice().last(), set.v4().as_slice().len())
            .hash(&mut hasher);
        (set.v6().as_slice().first(), set.v6().as_slice().last(), set.v6().as_slice().len())
            .hash(&mut hasher);
    }
    hasher.finish()
}

/// The intervals of a source, if they are few.
fn intervals<T>(peers: &Peers, of: impl Fn(&crate::net::AddrSet) -> &[(T, T)]) -> &[(T, T)] {
    match &peers.only {
        Some(set) => {
            let all = of(Arc::as_ref(set));
            if all.len() <= MAX_INTERVALS { all } else { &[] }
        }
        None => &[],
    }
}
