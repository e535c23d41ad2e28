//! Finds the element of a set that has a key, without a walk over all; knows no expression.

use crate::ruleset::{Element, Elements, Set, set_flags};
use std::collections::{HashMap, HashSet};

/// `NFT_SET_ELEM_INTERVAL_END`.
pub(super) const INTERVAL_END: u32 = 1;
/// `NFT_SET_ELEM_CATCHALL`.
const CATCHALL: u32 = 2;

/// The elements of a set by key.
pub(super) struct Index<'a> {
    kind: Kind<'a>,
    catchall: Option<usize>,
}

enum Kind<'a> {
    /// One key each.
    Exact(HashMap<&'a [u8], usize>),
    /// Ascending keys where an interval begins (its element) or ends.
    Intervals(Vec<(&'a [u8], Option<usize>)>),
    /// An interval for each part of a concatenation.
    Boxes(Boxes<'a>),
}

impl<'a> Index<'a> {
    pub(super) fn of(set: &'a Set) -> Index<'a> {
        let interval = set.flags & set_flags::INTERVAL != 0;
        let catchall = match &set.elements {
            Elements::Full(list) => list.iter().position(|element| element.flags & CATCHALL != 0),
            Elements::Plain(_) => None,
        };
        let kind = if interval && (set.flags & set_flags::CONCAT != 0 || set.key_parts.len() > 1) {
            Kind::Boxes(Boxes::of(set))
        } else if interval {
            Kind::Intervals(intervals(set))
        } else {
            let mut keys = HashMap::with_capacity(set.elements.count(set.key_len));
            for (number, key, _) in entries(set) {
                keys.entry(key).or_insert(number);
            }
            Kind::Exact(keys)
        };
        Index { kind, catchall }
    }

    /// The element that has this key, the catch-all left out.
    pub(super) fn find(&self, key: &[u8]) -> Option<usize> {
        match &self.kind {
            Kind::Exact(keys) => keys.get(key).copied(),
            // As the tree of the kernel: what begins (or ends) last before the key decides.
            Kind::Intervals(edges) => {
                let after = edges.partition_point(|(edge, _)| *edge <= key);
                edges.get(after.checked_sub(1)?)?.1
            }
            Kind::Boxes(boxes) => boxes.find(key),
        }
    }

    /// The element for every key that no other has.
    pub(super) fn catchall(&self) -> Option<usize> {
        self.catchall
    }
}

/// Number, key and structure of each element but the catch-all.
fn entries(set: &Set) -> Box<dyn Iterator<Item = (usize, &[u8], Option<&Element>)> + '_> {
    match &set.elements {
        Elements::Plain(bytes) => {
            let len = usize::try_from(set.key_len).unwrap_or(usize::MAX).max(1);
            Box::new(bytes.chunks_exact(len).enumerate().map(|(number, key)| (number, key, None)))
        }
        Elements::Full(list) => Box::new(
            list.iter()
                .enumerate()
                .filter(|(_, element)| element.flags & CATCHALL == 0)
                .map(|(number, element)| (number, element.key.as_slice(), Some(element))),
        ),
    }
}

fn intervals(set: &Set) -> Vec<(&[u8], Option<usize>)> {
    let mut edges: Vec<_> = entries(set)
        .map(|(number, key, element)| {
            let ends = element.is_some_and(|element| element.flags & INTERVAL_END != 0);
            (key, (!ends).then_some(number))
        })
        .collect();
    // Where one interval ends and the next begins, the beginning counts: it comes first and stays.
    edges.sort_by_key(|(key, start)| (*key, start.is_none()));
    edges.dedup_by_key(|(key, _)| *key);
    edges
}

/// Intervals in several parts; sorted by the part that tells most of them apart.
struct Boxes<'a> {
    /// Offset and length of each part.
    parts: Vec<(usize, usize)>,
    pivot: (usize, usize),
    /// Number, first and last key, ascending by where the pivot begins.
    list: Vec<(usize, &'a [u8], &'a [u8])>,
    /// For each node of a tree over `list`, how far the pivot of those below it reaches.
    reach: Vec<&'a [u8]>,
}

impl<'a> Boxes<'a> {
    fn of(set: &'a Set) -> Boxes<'a> {
        let mut parts = Vec::new();
        let mut offset = 0;
        for len in &set.key_parts {
            let len = usize::try_from(*len).unwrap_or(0);
            parts.push((offset, len));
            offset += len.next_multiple_of(4);
        }
        if parts.is_empty() {
            parts.push((0, usize::try_from(set.key_len).unwrap_or(0)));
        }
        let mut boxes: Vec<_> = entries(set)
            .map(|(number, key, element)| {
                (number, key, element.and_then(|element| element.key_end.as_deref()).unwrap_or(key))
            })
            .collect();
        let distinct = |part: &(usize, usize)| {
            boxes.iter().map(|(_, first, _)| slice(first, *part)).collect::<HashSet<_>>().len()
        };
        let pivot = parts.iter().copied().max_by_key(distinct).unwrap_or((0, 0));
        boxes.sort_by_key(|(_, first, _)| slice(first, pivot));
        let mut found = Boxes { parts, pivot, reach: vec![&[]; boxes.len() * 4], list: boxes };
        if !found.list.is_empty() {
            found.measure(1, 0, found.list.len());
        }
        found
    }

    fn measure(&mut self, node: usize, from: usize, to: usize) -> &'a [u8] {
        let reach = if to - from == 1 {
            slice(self.list[from].2, self.pivot)
        } else {
            let middle = from.midpoint(to);
            self.measure(node * 2, from, middle).max(self.measure(node * 2 + 1, middle, to))
        };
        self.reach[node] = reach;
        reach
    }

    /// The first element, in the order of the set, that has the key.
    fn find(&self, key: &[u8]) -> Option<usize> {
        let wanted = slice(key, self.pivot);
        let begun = self.list.partition_point(|(_, first, _)| slice(first, self.pivot) <= wanted);
        let mut best = None;
        if begun > 0 {
            self.stab(1, (0, self.list.len()), begun, key, &mut best);
        }
        best
    }

    fn stab(
        &self,
        node: usize,
        (from, to): (usize, usize),
        begun: usize,
        key: &[u8],
        best: &mut Option<usize>,
    ) {
        if from >= begun || self.reach[node] < slice(key, self.pivot) {
            return;
        }
        if to - from > 1 {
            let middle = from.midpoint(to);
            self.stab(node * 2, (from, middle), begun, key, best);
            self.stab(node * 2 + 1, (middle, to), begun, key, best);
            return;
        }
        let (number, first, last) = self.list[from];
        let inside = |part: &(usize, usize)| {
            let value = slice(key, *part);
            slice(first, *part) <= value && value <= slice(last, *part)
        };
        if best.is_none_or(|best| number < best) && self.parts.iter().all(inside) {
            *best = Some(number);
        }
    }
}

/// A part of a key; empty where the key is too short.
fn slice(key: &[u8], (offset, len): (usize, usize)) -> &[u8] {
    key.get(offset..offset + len).unwrap_or(&[])
}
