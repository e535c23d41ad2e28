//! Takes a set apart field by field: who belongs to which values of the others; knows no meaning of a field.

use super::boxes::Region;
use super::diagram::Node;
use super::field::Field;
use super::terms::most;
use super::{Space, classes};

/// Values of a field that nothing tells apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Class {
    /// One of them, which stands for all.
    pub sample: u128,
    /// All of them, as sorted intervals.
    pub ranges: Vec<(u128, u128)>,
}

/// The values that belong to the same part of a set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// Which values of the fields that were picked, as a set over these.
    pub picked: Node,
    /// The part, as a set over the other fields: the same for each of the values.
    pub rest: Node,
}

impl Space {
    /// The classes of a field, but for those that no packet has; of a narrow field, as a field without classes has
    /// as many as values.
    #[must_use]
    pub fn classes(&self, field: &Field) -> Vec<Class> {
        let width = most(field.width(self.family()));
        let Some(at) = self.coded.iter().position(|coded| coded.field == *field) else {
            return vec![Class { sample: 0, ranges: vec![(0, width)] }];
        };
        let Some(found) = &self.coded[at].classes else {
            // Bit by bit every value is one of its own.
            return (0..=width).map(|sample| Class { sample, ranges: vec![(sample, sample)] }).collect();
        };
        let class = |(number, sample): (u32, &Option<u128>)| {
            let of_it = |one| one == number;
            let ranges = classes::intervals(found, || self.values_of(at), width, self.family(), &of_it);
            sample.map(|sample| Class { sample, ranges })
        };
        (0u32..).zip(&found.sample).filter_map(class).collect()
    }

    /// What is left of a set where a field has the value that stands for its class; the field is gone.
    pub fn at(&mut self, node: Node, field: &Field, sample: u128) -> Node {
        let fixed = self.fixed(node, field, sample);
        self.exists(fixed, &|one| one == field)
    }

    /// The values of a field that packets of a set have; none for every value.
    pub fn ranges(&mut self, node: Node, field: &Field) -> Option<Vec<(u128, u128)>> {
        let at = self.coded.iter().position(|coded| coded.field == *field)?;
        let domain = self.domain();
        let node = self.and(node, domain);
        let alone = self.exists(node, &|one| one != field);
        self.part(at, alone).map(|part| part.ranges)
    }

    /// The values of the picked fields by what belongs to them, at most so many shares; and what is left.
    pub fn shares(
        &mut self,
        set: Node,
        picked: &dyn Fn(&Field) -> bool,
        at_most: usize,
    ) -> (Vec<Share>, Node) {
        let domain = self.domain();
        let mut left = self.and(set, domain);
        let mut shares = Vec::new();
        while !left.is_empty() && shares.len() < at_most && self.holds_good().is_ok() {
            let Some(point) = self.point(left) else { break };
            let mut rest = set;
            for (field, value) in point.values().iter().filter(|(field, _)| picked(field)) {
                rest = self.fixed(rest, field, *value);
            }
            rest = self.exists(rest, picked);
            // Values for which the set is anything else than that.
            let differs = self.xor(set, rest);
            let differs = self.and(differs, domain);
            let others = self.exists(differs, &|field| !picked(field));
            let mine = self.exists(left, &|field| !picked(field));
            let mine = self.minus(mine, others);
            left = self.minus(left, mine);
            shares.push(Share { picked: mine, rest });
        }
        (shares, left)
    }

    /// The set as products with their sets, as [`Space::regions`]; what is as good as in a product is told with it.
    pub fn regions_but(
        &mut self,
        set: Node,
        at_most: usize,
        as_good_as: &dyn Fn(&mut Space, Node) -> Node,
    ) -> (Vec<(Region, Node)>, Node) {
        let domain = self.domain();
        let mut rest = self.and(set, domain);
        let whole = rest;
        let mut regions = Vec::new();
        while !rest.is_empty() && regions.len() < at_most && self.holds_good().is_ok() {
            let Some(point) = self.point(rest) else { break };
            let (product, parts) = self.widened(whole, &point);
            let all = as_good_as(self, product);
            rest = self.minus(rest, all);
            regions.push((Region { parts, example: point }, product));
        }
        (regions, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pred, Terms};
    use super::*;
    use crate::net::Family;

    /// Each value is in the share of what belongs to it, and the shares are the set again.
    #[test]
    fn shares_are_the_set() {
        let mut terms = Terms::new(Family::V4);
        let port = |terms: &mut Terms, first, last| terms.within(&Field::Port, vec![(first, last)]);
        let source = |terms: &mut Terms, first, last| terms.within(&Field::Source, vec![(first, last)]);
        let tcp = terms.equals(&Field::Protocol, 6);
        let pred = Pred::any([
            Pred::all([tcp.clone(), port(&mut terms, 22, 22), source(&mut terms, 10, 19)]),
            Pred::all([tcp.clone(), port(&mut terms, 80, 80), source(&mut terms, 10, 19)]),
            Pred::all([tcp, port(&mut terms, 80, 90), source(&mut terms, 30, 39)]),
        ]);
        let mut space = Space::new(terms).expect("a small space");
        let set = space.node(&pred);
        let picked = |field: &Field| matches!(field, Field::Protocol | Field::Port);
        let (shares, left) = space.shares(set, &picked, 10);
        assert!(left.is_empty());
        let mut told = Vec::new();
        let mut again = Node::FALSE;
        for share in shares {
            told.push((
                space.ranges(share.picked, &Field::Port).unwrap_or_default(),
                space.ranges(share.rest, &Field::Source).unwrap_or_default(),
            ));
            let both = space.and(share.picked, share.rest);
            again = space.or(again, both);
        }
        told.sort();
        let expected = [
            (vec![(22, 22)], vec![(10, 19)]),
            (vec![(80, 80)], vec![(10, 19), (30, 39)]),
            (vec![(81, 90)], vec![(30, 39)]),
        ];
        assert_eq!(told, expected);
        let domain = space.domain();
        let differs = space.xor(set, again);
        assert!(space.and(differs, domain).is_empty());
        let protocols = space.classes(&Field::Protocol);
        let samples: Vec<u128> = protocols.iter().map(|class| class.sample).collect();
        assert!(samples.len() == 2 && samples.contains(&6), "{samples:?}");
        assert_eq!(protocols.iter().map(|class| class.ranges.len()).sum::<usize>(), 3);
    }
}
