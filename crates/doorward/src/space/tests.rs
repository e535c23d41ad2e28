//! Sets against plain membership, value by value.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::ruleset::PayloadBase;
use proptest::prelude::*;

const FIELDS: [Field; 4] =
    [Field::Protocol, Field::TcpFlags, Field::MARK, Field::Byte(PayloadBase::Network, 8)];

/// A condition as a value that can be asked about single packets.
#[derive(Clone, Debug)]
enum Said {
    Within(usize, Vec<(u128, u128)>),
    Masked(usize, u128, u128),
    Not(Box<Said>),
    All(Vec<Said>),
    Any(Vec<Said>),
    Boxes(Vec<Vec<(usize, (u128, u128))>>),
}

impl Said {
    fn holds(&self, packet: &[u128]) -> bool {
        match self {
            Said::Within(at, ranges) => ranges.iter().any(|(a, b)| (*a..=*b).contains(&packet[*at])),
            Said::Masked(at, mask, value) => packet[*at] & mask & most_of(*at) == *value & most_of(*at),
            Said::Not(inner) => !inner.holds(packet),
            Said::All(list) => list.iter().all(|one| one.holds(packet)),
            Said::Any(list) => list.iter().any(|one| one.holds(packet)),
            Said::Boxes(boxes) => {
                boxes.iter().any(|one| one.iter().all(|(at, (a, b))| (*a..=*b).contains(&packet[*at])))
            }
        }
    }

    fn pred(&self, terms: &mut Terms) -> Pred {
        match self {
            Said::Within(at, ranges) => terms.within(&FIELDS[*at], ranges.clone()),
            Said::Masked(at, mask, value) => terms.masked(&FIELDS[*at], *mask, *value),
            Said::Not(inner) => inner.pred(terms).negated(),
            Said::All(list) => Pred::all(list.iter().map(|one| one.pred(terms)).collect::<Vec<_>>()),
            Said::Any(list) => Pred::any(list.iter().map(|one| one.pred(terms)).collect::<Vec<_>>()),
            Said::Boxes(boxes) => {
                let boxes = boxes
                    .iter()
                    .map(|one| {
                        one.iter()
                            .filter_map(|(at, range)| Terms::atom(&terms.within(&FIELDS[*at], vec![*range])))
                            .collect()
                    })
                    .collect();
                Pred::Boxes(std::sync::Arc::new(boxes))
            }
        }
    }
}

fn most_of(at: usize) -> u128 {
    if at == 2 { u128::from(u32::MAX) } else { 255 }
}

fn range() -> impl Strategy<Value = (u128, u128)> {
    (any::<u8>(), any::<u8>()).prop_map(|(a, b)| (u128::from(a.min(b)), u128::from(a.max(b))))
}

fn said() -> impl Strategy<Value = Said> {
    let product = prop::sample::subsequence(vec![0usize, 1, 2, 3], 1..4)
        .prop_flat_map(|fields| fields.into_iter().map(|at| (Just(at), range())).collect::<Vec<_>>());
    let leaf = prop_oneof![
        (0usize..4, prop::collection::vec(range(), 1..4)).prop_map(|(at, ranges)| Said::Within(at, ranges)),
        (0usize..4, any::<u8>(), any::<u8>()).prop_map(|(at, mask, value)| Said::Masked(
            at,
            mask.into(),
            (mask & value).into()
        )),
        prop::collection::vec(product, 1..20).prop_map(Said::Boxes),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| Said::Not(Box::new(one))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Said::All),
            prop::collection::vec(inner, 1..4).prop_map(Said::Any),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Membership is what the condition says, regions make up the set, and quantified bits are gone.
    #[test]
    fn sets_agree_with_membership(
        said in said(),
        packets in prop::collection::vec(prop::array::uniform4(any::<u8>()), 30),
    ) {
        let mut terms = Terms::new(Family::V4);
        let pred = said.pred(&mut terms);
        let singles: Vec<(Vec<u128>, Pred)> = packets
            .iter()
            .map(|packet| {
                let packet: Vec<u128> = packet.iter().map(|byte| u128::from(*byte)).collect();
                let fields = FIELDS.iter().zip(&packet).map(|(field, value)| terms.equals(field, *value));
                let all = Pred::all(fields.collect::<Vec<_>>());
                (packet, all)
            })
            .collect();
        let mut space = Space::new(terms).unwrap();
        let set = space.node(&pred);
        for (packet, single) in &singles {
            let node = space.node(single);
            prop_assert_eq!(!space.and(set, node).is_empty(), said.holds(packet), "{:?}", packet);
            let value = |field: &Field| packet[FIELDS.iter().position(|one| one == field).unwrap()];
            prop_assert_eq!(space.contains(set, &value), said.holds(packet), "{:?}", packet);
        }
        if let Some(point) = space.point(set) {
            let packet: Vec<u128> = FIELDS.iter().map(|field| point.get(field).unwrap()).collect();
            prop_assert!(said.holds(&packet), "{:?}", packet);
        }
        let (regions, rest) = space.regions(set, 5);
        for region in &regions {
            let packet: Vec<u128> =
                FIELDS.iter().map(|field| region.example.get(field).unwrap()).collect();
            prop_assert!(said.holds(&packet), "{:?}", packet);
        }
        prop_assert_eq!(regions.is_empty(), set.is_empty());
        prop_assert!(regions.len() == 5 || rest.is_empty());

        // A changed bit: the packets that have a way to get there.
        for (to, value) in [(Bit::Set(true), true), (Bit::Set(false), false)] {
            let after = space.with_bit(set, &Field::MARK, 3, to);
            for (packet, single) in &singles {
                let node = space.node(single);
                let was = [packet[2] | 8, packet[2] & !8].iter().any(|mark| {
                    said.holds(&[packet[0], packet[1], *mark, packet[3]])
                });
                let expected = (packet[2] & 8 != 0) == value && was;
                prop_assert_eq!(!space.and(after, node).is_empty(), expected);
            }
        }
        let flipped = space.with_bit(set, &Field::MARK, 3, Bit::Flipped);
        let twice = space.with_bit(flipped, &Field::MARK, 3, Bit::Flipped);
        prop_assert_eq!(twice, set);
    }
}

/// Regions are whole: each is inside the set, and cannot be wider in any field.
#[test]
fn regions_are_maximal() {
    let mut terms = Terms::new(Family::V4);
    let ssh = Pred::all([terms.equals(&Field::Protocol, 6), terms.equals(&Field::Port, 22)]);
    let web = Pred::all([terms.equals(&Field::Protocol, 6), terms.within(&Field::Port, vec![(80, 81)])]);
    let mut space = Space::new(terms).unwrap();
    let set = space.node(&Pred::any([ssh, web]));
    let (regions, rest) = space.regions(set, 10);
    assert!(rest.is_empty());
    assert_eq!(regions.len(), 1, "one protocol, both sets of ports: {regions:?}");
    assert_eq!(regions[0].part(&Field::Port), Some([(22, 22), (80, 81)].as_slice()));
    assert_eq!(regions[0].part(&Field::Source), None);
}

#[test]
fn a_budget_that_is_exceeded_is_said() {
    let mut terms = Terms::new(Family::V4);
    let boxes: Vec<Vec<Atom>> = (0..200u128)
        .map(|n| {
            [Field::Source, Field::Port, Field::Protocol]
                .iter()
                .zip([n * 7, n * 3, n])
                .filter_map(|(field, value)| Terms::atom(&terms.equals(field, value)))
                .collect()
        })
        .collect();
    let mut space = Space::within(terms, 100).unwrap();
    space.node(&Pred::Boxes(std::sync::Arc::new(boxes)));
    assert_eq!(space.holds_good(), Err(Unproven::TooLarge));
}
