//! Exact sets of numbers as sorted intervals; knows nothing of what the numbers mean.

/// A number that intervals can be made of.
pub trait Bits: Copy + Ord + std::fmt::Debug {
    /// The smallest value.
    const MIN: Self;
    /// The largest value.
    const MAX: Self;
    /// The next larger value, none after the largest.
    fn next(self) -> Option<Self>;
    /// The next smaller value, none before the smallest.
    fn prev(self) -> Option<Self>;
}

macro_rules! bits {
    ($($t:ty),*) => {$(
        impl Bits for $t {
            const MIN: Self = <$t>::MIN;
            const MAX: Self = <$t>::MAX;
            fn next(self) -> Option<Self> { self.checked_add(1) }
            fn prev(self) -> Option<Self> { self.checked_sub(1) }
        }
    )*};
}
bits!(u8, u16, u32, u128);

/// A set of numbers: sorted, disjoint intervals that do not touch, both ends included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Intervals<T>(Vec<(T, T)>);

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Intervals(Vec::new())
    }
}

impl<T: Bits> Intervals<T> {
    /// The set with nothing in it.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The set with every number in it.
    #[must_use]
    pub fn full() -> Self {
        Intervals(vec![(T::MIN, T::MAX)])
    }

    /// A set from intervals in any order, overlapping or not; those with first > last hold nothing.
    #[must_use]
    pub fn from_unsorted(mut list: Vec<(T, T)>) -> Self {
        list.retain(|(first, last)| first <= last);
        list.sort_unstable();
        let mut merged: Vec<(T, T)> = Vec::with_capacity(list.len());
        for (first, last) in list {
            match merged.last_mut() {
                Some(prior) if prior.1.next().is_none_or(|after| first <= after) => {
                    prior.1 = prior.1.max(last);
                }
                _ => merged.push((first, last)),
            }
        }
        merged.shrink_to_fit();
        Intervals(merged)
    }

    /// The intervals in rising order.
    #[must_use]
    pub fn as_slice(&self) -> &[(T, T)] {
        &self.0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every number is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.as_slice() == [(T::MIN, T::MAX)]
    }

    /// Whether `value` is in the set.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        let after = self.0.partition_point(|(first, _)| *first <= value);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, last)| value <= *last)
    }

    /// What is in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_unsorted(self.0.iter().chain(&other.0).copied().collect())
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut both = Vec::new();
        while let (Some(a), Some(b)) = (mine.peek(), theirs.peek()) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                both.push((first, last));
            }
            if a.1 < b.1 {
                mine.next();
            } else {
                theirs.next();
            }
        }
        Intervals(both)
    }

    /// What is not in the set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        let mut from = Some(T::MIN);
        for (first, last) in &self.0 {
            if let (Some(start), Some(end)) = (from, first.prev())
                && start <= end
            {
                rest.push((start, end));
            }
            from = last.next();
        }
        if let Some(start) = from {
            rest.push((start, T::MAX));
        }
        Intervals(rest)
    }

    /// What is in this set and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.intersection(&other.complement())
    }

    /// Whether the sets have a number in common.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        if self.0.len() > other.0.len() {
            return other.meets(self);
        }
        self.0.iter().any(|(first, last)| other.meets_interval(*first, *last))
    }

    /// Whether a number between two, both included, is in the set.
    #[must_use]
    pub fn meets_interval(&self, first: T, last: T) -> bool {
        let at = self.0.partition_point(|(_, end)| *end < first);
        self.0.get(at).is_some_and(|(start, _)| *start <= last)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(first, last)| {
            let at = self.0.partition_point(|(_, end)| end < first);
            self.0.get(at).is_some_and(|(start, end)| start <= first && last <= end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set() -> impl Strategy<Value = Intervals<u8>> {
        prop::collection::vec((any::<u8>(), any::<u8>()), 0..8).prop_map(Intervals::from_unsorted)
    }

    proptest! {
        /// Every operation is what the membership of each single number says.
        #[test]
        fn operations_agree_with_membership(a in set(), b in set()) {
            let (union, both, rest) = (a.union(&b), a.intersection(&b), a.minus(&b));
            for n in 0..=u8::MAX {
                prop_assert_eq!(union.contains(n), a.contains(n) || b.contains(n));
                prop_assert_eq!(both.contains(n), a.contains(n) && b.contains(n));
                prop_assert_eq!(rest.contains(n), a.contains(n) && !b.contains(n));
                prop_assert_eq!(a.complement().contains(n), !a.contains(n));
            }
            prop_assert_eq!(a.meets(&b), !both.is_empty());
            prop_assert_eq!(a.covers(&b), b.minus(&a).is_empty());
            prop_assert_eq!(a.complement().complement(), a);
        }

        /// The form is canonical: equal sets are equal values.
        #[test]
        fn intervals_neither_touch_nor_overlap(a in set()) {
            for pair in a.as_slice().windows(2) {
                prop_assert!(u16::from(pair[0].1) + 1 < u16::from(pair[1].0));
            }
        }
    }
}
