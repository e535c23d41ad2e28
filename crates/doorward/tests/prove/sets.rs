//! What a set holds and a map leads to, and what happens to keys that are in none.

use super::*;
use doorward::ruleset::{Data, DataType, Element, Elements, Set, set_flags};

const INTERVAL_END: u32 = 1;
const CATCH_ALL: u32 = 2;

fn set(name: &str, flags: u32, key_len: u32, elements: Vec<Element>) -> Set {
    let mut set = Set::over(name, &[]);
    (set.flags, set.key_len, set.elements) = (flags, key_len, Elements::Full(elements));
    set
}

fn edge(key: u16, flags: u32) -> Element {
    Element { flags, ..Element::of(key.to_be_bytes().to_vec()) }
}

fn any() -> Element {
    Element { flags: CATCH_ALL, ..Element::default() }
}

fn verdicts(elements: Vec<(Element, Verdict)>) -> Set {
    let elements = elements.into_iter();
    let elements = elements.map(|(e, verdict)| Element { data: Some(Data::Verdict(verdict)), ..e }).collect();
    Set { data: Some(DataType::Verdict), ..set("m", set_flags::MAP, 2, elements) }
}

fn with(set: Set, mut table: Table) -> Table {
    table.sets.push(set);
    table
}

#[test]
fn a_set_holds_its_keys_and_an_inverted_lookup_the_others() {
    let ports = || set("s", 0, 2, vec![edge(22, 0)]);
    input().accepts(with(ports(), rule(vec![dport(), lookup("s")])), to_port(22));
    input().accepts(with(ports(), rule(vec![dport(), without("s")])), |terms| {
        let held = to_ports(terms, 22, 22);
        Pred::all([readable(terms), held.negated()])
    });
}

#[test]
fn a_verdict_map_that_misses_goes_to_the_next_rule() {
    let rules = vec![vec![dport(), vmap("m"), drop()], vec![accept()]];
    input().accepts(with(verdicts(vec![(edge(22, 0), Verdict::Drop)]), table(rules)), not_to_port(22));
}

#[test]
fn a_verdict_map_can_call_and_come_back() {
    let mut called = table(vec![vec![dport(), vmap("m")], vec![accept()]]);
    called.chains.push(chain("c", vec![vec![drop()]]));
    called.chains.push(chain("empty", vec![]));
    let to = |chain: &str| Verdict::Jump(chain.to_owned());
    let map = verdicts(vec![(edge(22, 0), to("c")), (edge(23, 0), to("empty"))]);
    input().accepts(with(map, called), not_to_port(22));
}

/// `tcp dport vmap { 22 : continue, 23 : drop } accept`.
#[test]
fn a_verdict_map_can_go_on_within_the_rule() {
    let map = verdicts(vec![(edge(22, 0), Verdict::Continue), (edge(23, 0), Verdict::Drop)]);
    input().accepts(with(map, rule(vec![dport(), vmap("m")])), to_port(22));
}

#[test]
fn a_map_that_misses_breaks_and_else_loads() {
    let element = |key, value: u8| Element { data: Some(Data::Value(vec![value, 0, 0, 0])), ..edge(key, 0) };
    let kind = DataType::Value { kind: 0, len: 4 };
    let map =
        || Set { data: Some(kind), ..set("m", set_flags::MAP, 2, vec![element(22, 1), element(80, 2)]) };
    let dreg = Some(LookupTarget::Value(R1));
    let read = || Expr::Lookup { set: "m".to_owned(), sreg: R0, dreg, invert: false };
    input().accepts(with(map(), rule(vec![dport(), read()])), |terms| {
        Pred::any([to_ports(terms, 22, 22), to_ports(terms, 80, 80)])
    });
    let unequal = Expr::Cmp { op: CmpOp::Neq, sreg: R1, data: vec![1, 0, 0, 0] };
    input().accepts(with(map(), rule(vec![dport(), read(), unequal])), to_port(80));
}

#[test]
fn the_catch_all_takes_what_no_other_element_has() {
    let map = verdicts(vec![(any(), Verdict::Accept), (edge(22, 0), Verdict::Drop)]);
    input().accepts(with(map, table(vec![vec![dport(), vmap("m")]])), |terms| {
        let held = to_ports(terms, 22, 22);
        Pred::all([readable(terms), held.negated()])
    });
    let all = || set("s", 0, 2, vec![any()]);
    input().accepts(with(all(), rule(vec![dport(), lookup("s")])), readable);
    input().accepts(with(all(), rule(vec![dport(), without("s")])), never);
}

/// 10-19, then 20, and everything from 100 on, as the kernel lists it: downwards.
#[test]
fn intervals_hold_their_first_key_and_not_their_end() {
    let edges = vec![
        edge(100, 0),
        edge(21, INTERVAL_END),
        edge(20, 0),
        edge(20, INTERVAL_END),
        edge(10, 0),
        edge(0, INTERVAL_END),
    ];
    let table = with(set("s", set_flags::INTERVAL, 2, edges), rule(vec![dport(), lookup("s")]));
    input().accepts(table, |terms| Pred::any([to_ports(terms, 10, 20), to_ports(terms, 100, u16::MAX)]));
}

#[test]
fn a_set_of_intervals_without_any_holds_nothing() {
    let none = set("s", set_flags::INTERVAL, 2, vec![]);
    input().accepts(with(none, rule(vec![dport(), lookup("s")])), never);
}

/// A network with ports 20-29, and another with all ports: each part has an interval of its own.
#[test]
fn a_concatenation_has_an_interval_for_each_part() {
    let place =
        |from: [u8; 8], to: [u8; 8]| Element { key_end: Some(to.to_vec()), ..Element::of(from.to_vec()) };
    let elements = vec![
        place([198, 51, 100, 0, 0, 20, 0, 0], [198, 51, 100, 255, 0, 29, 0, 0]),
        place([10, 0, 0, 0, 0, 0, 0, 0], [10, 255, 255, 255, 255, 255, 0, 0]),
    ];
    let flags = set_flags::INTERVAL | set_flags::CONCAT;
    let places = Set { key_parts: vec![4, 2], ..set("s", flags, 8, elements) };
    let port = Expr::Payload { base: PayloadBase::Transport, offset: 2, len: 2, dreg: R1 };
    let key = vec![load(PayloadBase::Network, 12, 4), port, lookup("s")];
    input().accepts(with(places, rule(key)), |terms| {
        let from = |terms: &mut Terms, first: [u8; 4], last: [u8; 4]| {
            let [first, last] = [first, last].map(|addr| u128::from(u32::from_be_bytes(addr)));
            terms.within(&Field::Source, vec![(first, last)])
        };
        let near = from(terms, [198, 51, 100, 0], [198, 51, 100, 255]);
        let far = from(terms, [10, 0, 0, 0], [10, 255, 255, 255]);
        let some = to_ports(terms, 20, 29);
        Pred::any([Pred::all([near, some]), Pred::all([far, readable(terms)])])
    });
}

/// A key of several parts is compared with the zeros between them.
#[test]
fn parts_of_a_key_are_padded() {
    let port = Expr::Payload { base: PayloadBase::Transport, offset: 2, len: 2, dreg: R1 };
    let key = || vec![immediate([255; 16]), meta(MetaKey::L4proto), port.clone(), lookup("s")];
    let held = |key: [u8; 8]| set("s", set_flags::CONCAT, 8, vec![Element::of(key.to_vec())]);
    input().accepts(with(held([6, 0, 0, 0, 0, 22, 0, 0]), rule(key())), |terms| {
        let port = to_ports(terms, 22, 22);
        Pred::all([terms.equals(&Field::Protocol, 6), port])
    });
    input().accepts(with(held([6, 255, 255, 255, 0, 22, 0, 0]), rule(key())), never);
}

/// It may be gone before the next packet comes.
#[test]
fn an_element_with_a_timeout_is_not_certain() {
    let timed = Element { timeout: Some(60_000), ..edge(22, 0) };
    let table = with(set("s", 0, 2, vec![timed]), rule(vec![dport(), lookup("s")]));
    input().may_accept(table, to_port(22));
}

#[test]
fn only_the_element_with_the_timeout_is_uncertain() {
    let timed = Element { timeout: Some(60_000), ..edge(22, 0) };
    let set = set("s", 0, 2, vec![timed, edge(80, 0)]);
    let Answer { mut space, accepted, expected } =
        input().answer(&[with(set, rule(vec![dport(), lookup("s")]))], to_port(80));
    let certainly = space.for_all(accepted, &Field::is_unknown);
    assert!(space.xor(certainly, expected).is_empty());
}

/// Packets bring elements: what such a set holds now says nothing about the next one.
#[test]
fn what_a_dynamic_set_holds_is_not_certain() {
    let dynamic = set("s", set_flags::EVAL, 2, vec![edge(80, 0)]);
    input().may_accept(with(dynamic, rule(vec![dport(), lookup("s")])), readable);
}

/// Nobody knows the answer, but it is one: the key cannot be in the set for one rule and not for the next.
#[test]
fn a_dynamic_set_gives_two_rules_the_same_answer() {
    let dynamic = set("s", set_flags::EVAL, 2, vec![]);
    let rules = vec![vec![dport(), lookup("s"), drop()], vec![dport(), lookup("s"), accept()]];
    input().accepts(with(dynamic, table(rules)), never);
}
