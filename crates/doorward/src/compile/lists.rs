//! Long address sets: one hash set per prefix length, named by content, so that equal lists are one.

use crate::net::{AddrSet, Family, Prefix};
use crate::ruleset::{Elements, KeyPart, Set};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Above so many prefixes an address set is a list of its own instead of values in keys.
const SHORT: usize = 64;
/// So many lookups in a row are cheap enough.
const LOOKUPS: usize = 3;

/// Whether prefixes are few enough to be values in keys.
pub(super) fn is_short(prefixes: &[Prefix]) -> bool {
    prefixes.len() <= SHORT
}

/// All lists of a ruleset.
#[derive(Default)]
pub(super) struct Lists {
    /// Sets by name.
    sets: BTreeMap<String, Set>,
    /// Lists already cut, so that a long one is not sorted again for each chain.
    known: Vec<(AddrSet, Family, bool, String, Vec<u8>)>,
}

impl Lists {
    /// The list of one family of a set: its name and the prefix lengths that it uses.
    ///
    /// `typed` keys are conntrack's addresses, the others raw bytes of the packet.
    pub(super) fn intern(&mut self, set: &AddrSet, family: Family, typed: bool) -> (String, Vec<u8>) {
        let known = self.known.iter().find(|(s, f, t, ..)| (*f, *t) == (family, typed) && s == set);
        if let Some((.., name, lengths)) = known {
            return (name.clone(), lengths.clone());
        }
        let prefixes = spread(set.prefixes(family));
        let name = name_of(&prefixes, family, typed);
        let mut by_length: BTreeMap<u8, Vec<u8>> = BTreeMap::new();
        for prefix in &prefixes {
            by_length.entry(prefix.length()).or_default().extend(prefix.bytes());
        }
        let lengths: Vec<u8> = by_length.keys().copied().collect();
        for (length, keys) in by_length {
            let part = match (family, typed) {
                (Family::V4, false) => KeyPart::Network(12, 4),
                (Family::V6, false) => KeyPart::Network(8, 16),
                (Family::V4, true) => KeyPart::Addr4,
                (Family::V6, true) => KeyPart::Addr6,
            };
            let mut set = Set::over(Lists::set_name(&name, length), &[part]);
            set.size = u32::try_from(keys.len() / usize::from(family.bits() / 8)).ok();
            set.elements = Elements::Plain(keys);
            self.sets.insert(set.name.clone(), set);
        }
        self.known.push((set.clone(), family, typed, name.clone(), lengths.clone()));
        (name, lengths)
    }

    /// The name of the set of one length of a list.
    pub(super) fn set_name(list: &str, length: u8) -> String {
        format!("{list}_{length}")
    }

    /// All sets.
    pub(super) fn into_sets(self) -> impl Iterator<Item = Set> {
        self.sets.into_values()
    }
}

fn name_of(prefixes: &[Prefix], family: Family, typed: bool) -> String {
    let mut hash = Sha256::new();
    for prefix in prefixes {
        hash.update([prefix.length()]);
        hash.update(prefix.bytes());
    }
    let mut name = String::from("list_");
    for byte in hash.finalize().iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    name.push_str(match family {
        Family::V4 => "_4",
        Family::V6 => "_6",
    });
    if typed {
        name.push('o');
    }
    name
}

/// Prefixes rewritten so that fewer lengths are in use, within the budget of [`rounding`].
fn spread(prefixes: Vec<Prefix>) -> Vec<Prefix> {
    let mut counts: BTreeMap<u8, usize> = BTreeMap::new();
    for prefix in &prefixes {
        *counts.entry(prefix.length()).or_default() += 1;
    }
    let to = rounding(&counts);
    let mut out: Vec<Prefix> = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        out.extend(split(prefix, to.get(&prefix.length()).copied().unwrap_or(prefix.length())));
    }
    out
}

/// A prefix as the prefixes of length `to` that it holds.
pub(super) fn split(prefix: Prefix, to: u8) -> impl Iterator<Item = Prefix> {
    let (first, last) = prefix.bounds();
    let family = prefix.family();
    let step = 1u128.checked_shl(u32::from(family.bits() - to)).unwrap_or(0);
    let mut next = Some(first);
    std::iter::from_fn(move || {
        let at = next?;
        next = at.checked_add(step).filter(|after| step > 0 && *after <= last);
        Some(Prefix::around(family, at, to))
    })
}

/// Which lengths to write as which longer ones, so that the fewest lookups remain.
///
/// Each lookup is paid by every packet that matches nothing; a written-out prefix costs memory, loading time
/// and a reader's patience. So up to [`LOOKUPS`] lengths stay as they are, and more are joined within a budget
/// of twice the elements and 64.
pub(super) fn rounding(counts: &BTreeMap<u8, usize>) -> BTreeMap<u8, u8> {
    if counts.len() <= LOOKUPS {
        return BTreeMap::new();
    }
    let lengths: Vec<(u8, usize)> = counts.iter().map(|(length, count)| (*length, *count)).collect();
    let total: usize = counts.values().sum();
    let budget = total.saturating_mul(2).saturating_add(64);
    // best[i][k]: fewest elements for the first i lengths with k of them kept, the last one among these.
    let size = lengths.len();
    let cost = |from: usize, to: usize| -> usize {
        lengths[from..=to].iter().fold(0usize, |sum, (length, count)| {
            let factor = 1usize.checked_shl(u32::from(lengths[to].0 - length)).unwrap_or(usize::MAX);
            sum.saturating_add(count.saturating_mul(factor))
        })
    };
    let mut best = vec![vec![(usize::MAX, 0usize); size + 1]; size + 1];
    best[0][0] = (0, 0);
    for end in 1..=size {
        for kept in 1..=end {
            for start in 0..end {
                let (before, _) = best[start][kept - 1];
                let sum = before.saturating_add(cost(start, end - 1));
                if before < usize::MAX && sum < best[end][kept].0 {
                    best[end][kept] = (sum, start);
                }
            }
        }
    }
    let Some(kept) = (1..=size).find(|kept| best[size][*kept].0 <= budget) else {
        return BTreeMap::new();
    };
    let mut to = BTreeMap::new();
    let (mut end, mut left) = (size, kept);
    while end > 0 && left > 0 {
        let (_, start) = best[end][left];
        for (length, _) in &lengths[start..end] {
            to.insert(*length, lengths[end - 1].0);
        }
        (end, left) = (start, left - 1);
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lengths_become_few() {
        let counts: BTreeMap<u8, usize> = (13..25).map(|length| (length, 416)).collect();
        let to = rounding(&counts);
        let kept: std::collections::BTreeSet<u8> = to.values().copied().collect();
        assert!(kept.len() <= 6, "{kept:?}");
        let total: usize = counts.iter().map(|(length, count)| count << (to[length] - length)).sum();
        assert!(total <= 2 * 12 * 416 + 64);
        assert!(to.iter().all(|(from, to)| from <= to));
    }

    /// A short prefix must not be written out into thousands, and few lengths are left alone.
    #[test]
    fn far_lengths_stay_apart() {
        assert!(rounding(&BTreeMap::from([(24, 3), (28, 2), (32, 5)])).is_empty());
        let to = rounding(&BTreeMap::from([(8, 1), (16, 1), (30, 1), (31, 2), (32, 10)]));
        assert_eq!(to[&8], 8);
        assert_eq!(to[&16], 16);
        assert_eq!(to[&31], 32);
    }

    #[test]
    fn splitting_is_exact() {
        let prefix = Prefix::parse("203.0.113.0/30").expect("a prefix");
        let parts: Vec<String> = split(prefix, 32).map(|p| p.to_string()).collect();
        assert_eq!(parts, ["203.0.113.0", "203.0.113.1", "203.0.113.2", "203.0.113.3"]);
        let all = Prefix::parse("::/0").expect("a prefix");
        assert_eq!(split(all, 1).count(), 2);
        assert_eq!(split(all, 0).count(), 1);
    }
}
