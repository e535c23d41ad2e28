//! Divides the values of a field into classes that no term tells apart; knows intervals, no meaning.
//!
//! Sort and sweep: walking over all ends of intervals in rising order, the set of terms that hold changes at
//! each; values with the same such set are one class. Sets are told apart exactly, never by a hash alone, and
//! afterwards each term is counted: its classes must have as many values as it has itself.

use super::terms::Values;
use crate::net::Family;
use rustc_hash::FxHashMap as HashMap;

/// The classes of a field.
#[derive(Default)]
pub(super) struct Classes {
    /// For each class a value, the most readable that was found; none where no value is possible.
    pub(super) sample: Vec<Option<u128>>,
    /// For each class how readable its value is: less is better.
    pub(super) rank: Vec<u32>,
    /// For each term, by its number, its classes in rising order.
    pub(super) of: HashMap<u32, Vec<u32>>,
    /// Where each stretch of values begins, and its class; none where there are too many to keep.
    stretches: Option<Vec<(u128, u32)>>,
}

/// How readable values are chosen.
pub(super) trait Taste {
    /// A value in this interval and its rank, less being better; none where no value is possible at all.
    fn pick(&self, first: u128, last: u128) -> Option<(u32, u128)>;
}

/// Sets of more intervals than this are walked where they are, the others are sorted together.
const LONG: usize = 256;
/// So many stretches are kept; a field with more is walked again.
const KEPT: usize = 4096;

impl Classes {
    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.sample.len()).unwrap_or(u32::MAX)
    }
}

/// Divides the values up to `most`; an error if the count afterwards does not come out.
pub(super) fn classes(
    terms: &[(u32, &Values)],
    most: u128,
    family: Family,
    taste: &dyn Taste,
) -> Result<Classes, u32> {
    let mut machine = Machine::new();
    let mut classes = Classes { stretches: Some(Vec::new()), ..Classes::default() };
    let mut class_of: Vec<Option<u32>> = Vec::new();
    let mut widths: Vec<u128> = Vec::new();
    sweep(terms, most, family, &mut machine, &mut |state, first, last| {
        let at = state as usize;
        if class_of.len() <= at {
            class_of.resize(at + 1, None);
        }
        let class = *class_of[at].get_or_insert_with(|| {
            classes.sample.push(None);
            classes.rank.push(u32::MAX);
            widths.push(0);
            u32::try_from(classes.sample.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(kept) = classes.stretches.as_mut().filter(|kept| kept.len() < KEPT) {
            kept.push((first, class));
        } else {
            classes.stretches = None;
        }
        let class = class as usize;
        // All of them together may be 2^128, which is 0 here: compared with the same kind of sum.
        widths[class] = widths[class].wrapping_add(last - first).wrapping_add(1);
        if let Some((rank, value)) = taste.pick(first, last)
            && (classes.sample[class].is_none() || rank < classes.rank[class])
        {
            classes.sample[class] = Some(value);
            classes.rank[class] = rank;
        }
    });
    for (state, class) in class_of.iter().enumerate() {
        if let Some(class) = class {
            for term in &machine.states[state] {
                classes.of.entry(*term).or_default().push(*class);
            }
        }
    }
    for (term, values) in terms {
        let mine = classes.of.entry(*term).or_default();
        mine.sort_unstable();
        let sum = mine.iter().fold(0u128, |sum, class| sum.wrapping_add(widths[*class as usize]));
        let own = values
            .intervals(family)
            .fold(0u128, |sum, (first, last)| sum.wrapping_add(last - first).wrapping_add(1));
        if sum != own {
            return Err(*term);
        }
    }
    Ok(classes)
}

/// The intervals of some classes, in rising order; a field with very many of them is walked again.
pub(super) fn intervals<'a>(
    classes: &Classes,
    terms: impl FnOnce() -> Vec<(u32, &'a Values)>,
    most: u128,
    family: Family,
    wanted: &dyn Fn(u32) -> bool,
) -> Vec<(u128, u128)> {
    let mut out: Vec<(u128, u128)> = Vec::new();
    let mut take = |class, first, last| {
        if !wanted(class) {
            return;
        }
        match out.last_mut() {
            Some(prior) if prior.1.checked_add(1) == Some(first) => prior.1 = last,
            _ => out.push((first, last)),
        }
    };
    if let Some(stretches) = &classes.stretches {
        let ends = stretches.iter().skip(1).map(|(first, _)| first - 1).chain([most]);
        for ((first, class), last) in stretches.iter().zip(ends) {
            take(*class, *first, last);
        }
        return out;
    }
    let mut class_of: HashMap<u32, u32> = HashMap::default();
    sweep(&terms(), most, family, &mut Machine::new(), &mut |state, first, last| {
        let next = u32::try_from(class_of.len()).unwrap_or(u32::MAX);
        take(*class_of.entry(state).or_insert(next), first, last);
    });
    out
}

/// Sets of terms that hold, by number, and what becomes of each when a term starts or ends.
struct Machine {
    states: Vec<Box<[u32]>>,
    known: HashMap<Box<[u32]>, u32>,
    steps: HashMap<(u32, u32), u32>,
}

impl Machine {
    fn new() -> Machine {
        let none: Box<[u32]> = Box::default();
        Machine {
            states: vec![none.clone()],
            known: std::iter::once((none, 0)).collect(),
            steps: HashMap::default(),
        }
    }

    fn step(&mut self, state: u32, term: u32) -> u32 {
        if let Some(next) = self.steps.get(&(state, term)) {
            return *next;
        }
        let mut active = self.states[state as usize].to_vec();
        match active.binary_search(&term) {
            Ok(at) => {
                active.remove(at);
            }
            Err(at) => active.insert(at, term),
        }
        let active = active.into_boxed_slice();
        let next = match self.known.get(&active) {
            Some(next) => *next,
            None => {
                let next = u32::try_from(self.states.len()).unwrap_or(u32::MAX);
                self.states.push(active.clone());
                self.known.insert(active, next);
                next
            }
        };
        self.steps.insert((state, term), next);
        next
    }
}

/// A long set that is walked where it is.
struct Cursor<'a> {
    term: u32,
    intervals: Box<dyn Iterator<Item = (u128, u128)> + 'a>,
    /// Where the set starts or ends next.
    next: Option<u128>,
    end: Option<u128>,
}

impl Cursor<'_> {
    fn advance(&mut self) {
        self.next = match self.end.take() {
            Some(end) => Some(end),
            None => self.intervals.next().map(|(first, last)| {
                self.end = last.checked_add(1);
                first
            }),
        };
        // A set that ends with the largest value never ends.
    }
}

/// Calls `each` for every elementary interval with the state that holds there.
fn sweep(
    terms: &[(u32, &Values)],
    most: u128,
    family: Family,
    machine: &mut Machine,
    each: &mut dyn FnMut(u32, u128, u128),
) {
    let mut short: Vec<(u128, u32)> = Vec::new();
    let mut long: Vec<Cursor<'_>> = Vec::new();
    for (term, values) in terms {
        if values.count(family) > LONG {
            let mut cursor =
                Cursor { term: *term, intervals: values.intervals(family), next: None, end: None };
            cursor.advance();
            long.push(cursor);
            continue;
        }
        for (first, last) in values.intervals(family) {
            short.push((first, *term));
            short.extend(last.checked_add(1).map(|after| (after, *term)));
        }
    }
    short.sort_unstable();
    let mut short = short.into_iter().peekable();
    let (mut state, mut at) = (0, 0u128);
    loop {
        let next = long.iter().filter_map(|cursor| cursor.next).chain(short.peek().map(|(p, _)| *p)).min();
        let Some(next) = next.filter(|next| *next <= most) else { break };
        if next > at {
            each(state, at, next - 1);
            at = next;
        }
        while short.peek().is_some_and(|(position, _)| *position == next) {
            if let Some((_, term)) = short.next() {
                state = machine.step(state, term);
            }
        }
        for cursor in &mut long {
            while cursor.next == Some(next) {
                state = machine.step(state, cursor.term);
                cursor.advance();
            }
        }
    }
    each(state, at, most);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    struct Any;

    impl Taste for Any {
        fn pick(&self, first: u128, _: u128) -> Option<(u32, u128)> {
            Some((0, first))
        }
    }

    fn values() -> impl Strategy<Value = Values> {
        prop::collection::vec((any::<u8>(), any::<u8>()), 1..5).prop_map(|list| {
            let set = crate::net::Intervals::from_unsorted(
                list.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect(),
            );
            Values::Many(set.as_slice().iter().map(|(a, b)| (u128::from(*a), u128::from(*b))).collect())
        })
    }

    fn holds(values: &Values, value: u128) -> bool {
        values.intervals(Family::V4).any(|(first, last)| (first..=last).contains(&value))
    }

    proptest! {
        /// Two values share a class exactly if the same terms hold for both.
        #[test]
        fn classes_are_what_terms_tell_apart(list in prop::collection::vec(values(), 0..7)) {
            let terms: Vec<(u32, &Values)> = (10u32..).zip(&list).collect();
            let found = classes(&terms, 255, Family::V4, &Any).expect("the count comes out");
            let mut patterns = BTreeSet::new();
            for value in 0..=255u128 {
                patterns.insert(list.iter().map(|one| holds(one, value)).collect::<Vec<_>>());
            }
            prop_assert_eq!(found.sample.len(), patterns.len());
            for (term, values) in &terms {
                for (class, sample) in found.sample.iter().enumerate() {
                    let inside = found.of[term].contains(&u32::try_from(class).unwrap_or(0));
                    prop_assert_eq!(inside, holds(values, sample.expect("every value is possible")));
                }
            }
            for class in 0..found.count() {
                let back = intervals(&found, || terms.clone(), 255, Family::V4, &|one| one == class);
                let walked = Classes { stretches: None, ..Classes::default() };
                let again = intervals(&walked, || terms.clone(), 255, Family::V4, &|one| one == class);
                prop_assert_eq!(&back, &again);
                let sample = found.sample[class as usize].expect("every value is possible");
                for value in 0..=255u128 {
                    let same = list.iter().all(|one| holds(one, value) == holds(one, sample));
                    let inside = back.iter().any(|(first, last)| (*first..=*last).contains(&value));
                    prop_assert_eq!(inside, same);
                }
            }
        }
    }

    /// Long sets are walked, not sorted: the same classes come out.
    #[test]
    fn long_sets_and_the_largest_value() {
        let long = Values::Many((0..1000).map(|n| (n * 10, n * 10 + 4)).collect());
        let rest = Values::One(5000, u128::MAX);
        let found = classes(&[(0, &long), (1, &rest)], u128::MAX, Family::V6, &Any).expect("counts");
        assert_eq!(found.count(), 4);
        assert_eq!(found.of[&1].len(), 2);
    }
}
