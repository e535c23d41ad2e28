//! Sets, maps and what packets do to them.

use super::*;
use doorward::ruleset::{
    CtKey, Data, DataType, Dynset, DynsetOp, Element, Elements, Limit, LimitUnit, comment_of, set_flags,
    udata_kind,
};
use doorward::trace::Machine;

const INTERVAL_END: u32 = 1;
const CATCHALL: u32 = 2;

fn set(name: &str, flags: u32, key_len: u32, elements: Vec<Element>) -> Set {
    let mut set = Set::over(name, &[]);
    (set.flags, set.key_len, set.elements) = (flags, key_len, Elements::Full(elements));
    set
}

fn ports(ports: &[u16]) -> Set {
    set("s", 0, 2, ports.iter().map(|port| Element::of(port.to_be_bytes().to_vec())).collect())
}

fn edge(key: u16, flags: u32) -> Element {
    Element { flags, ..Element::of(key.to_be_bytes().to_vec()) }
}

fn verdicts(elements: Vec<(Element, Verdict)>) -> Set {
    let elements = elements.into_iter();
    let elements = elements.map(|(e, verdict)| Element { data: Some(Data::Verdict(verdict)), ..e }).collect();
    Set { data: Some(DataType::Verdict), ..set("m", set_flags::MAP, 2, elements) }
}

fn to(port: u16) -> Packet {
    let mut packet = syn();
    packet.transport[2..4].copy_from_slice(&port.to_be_bytes());
    packet
}

fn limit() -> Expr {
    Expr::Limit(Limit { rate: 1, seconds: 1, burst: 5, unit: LimitUnit::Packets, over: false })
}

fn without(set: &str) -> Expr {
    Expr::Lookup { set: set.to_owned(), sreg: R0, dreg: None, invert: true }
}

#[test]
fn a_set_holds_its_keys() {
    for (port, held) in [(22, true), (23, false)] {
        assert_eq!(finds(ports(&[22, 80]), vec![dport(), lookup("s")], &to(port)), held);
        assert_eq!(finds(ports(&[22, 80]), vec![dport(), without("s")], &to(port)), !held);
    }
    let plain = Set { elements: Elements::Plain(vec![0, 80, 0, 22]), ..ports(&[]) };
    assert!(finds(plain, vec![dport(), lookup("s")], &to(22)));
}

/// `ct state { established, new }` is no test of bits.
#[test]
fn states_in_braces_are_exact() {
    let states = [2u32, 8].map(|bit| Element::of(bit.to_ne_bytes().to_vec())).to_vec();
    let state = Expr::Ct { key: CtKey::State, dir: None, dreg: R0 };
    for (number, held) in [(8, true), (2, true), (8 | 2, false), (4, false)] {
        let packet = Packet { ct: Conntrack::Entry(entry(number)), ..syn() };
        let states = set("s", 0, 4, states.clone());
        assert_eq!(finds(states, vec![state.clone(), lookup("s")], &packet), held, "{number}");
    }
}

#[test]
fn a_verdict_map_that_misses_goes_to_the_next_rule() {
    let mut table = table(vec![vec![dport(), vmap("m"), drop()], vec![accept()]]);
    table.sets.push(verdicts(vec![(edge(22, 0), Verdict::Drop)]));
    assert_eq!(end(table.clone(), &to(23)), End::Accepted);
    assert_eq!(end(table, &to(22)), End::Dropped);
}

#[test]
fn a_verdict_map_can_call_and_come_back() {
    let mut table = table(vec![vec![dport(), vmap("m")], vec![accept()]]);
    table.sets.push(verdicts(vec![(edge(22, 0), Verdict::Jump("c".to_owned()))]));
    table.chains.push(chain("c", vec![]));
    assert_eq!(end(table, &to(22)), End::Accepted);
}

#[test]
fn a_map_that_misses_breaks_and_else_loads() {
    let element = Element { data: Some(Data::Value(vec![1, 2, 3])), ..edge(22, 0) };
    let kind = DataType::Value { kind: 0, len: 3 };
    let map = Set { data: Some(kind), ..set("m", set_flags::MAP, 2, vec![element]) };
    let dreg = Some(LookupTarget::Value(R1));
    let read = Expr::Lookup { set: "m".to_owned(), sreg: R0, dreg, invert: false };
    let cmp = Expr::Cmp { op: CmpOp::Eq, sreg: R1, data: vec![1, 2, 3, 0] };
    assert!(finds(map.clone(), vec![dport(), read.clone(), cmp], &to(22)));
    assert!(!finds(map, vec![dport(), read], &to(23)));
}

#[test]
fn the_catch_all_takes_what_no_other_element_has() {
    let any = Element { flags: CATCHALL, ..Element::default() };
    let map = || verdicts(vec![(any.clone(), Verdict::Accept), (edge(22, 0), Verdict::Drop)]);
    assert!(finds(map(), vec![dport(), vmap("m")], &to(23)));
    assert!(!finds(map(), vec![dport(), vmap("m")], &to(22)));
    let all = || set("s", 0, 2, vec![any.clone()]);
    assert!(!finds(all(), vec![dport(), without("s")], &to(22)));
}

/// 10-19, then 20 and everything from 100 on, as the kernel lists it: downwards.
#[test]
fn intervals_begin_and_end_at_elements() {
    let edges = vec![
        edge(100, 0),
        edge(21, INTERVAL_END),
        edge(20, 0),
        edge(20, INTERVAL_END),
        edge(10, 0),
        edge(0, INTERVAL_END),
    ];
    for (port, element) in [
        (0, None),
        (9, None),
        (10, Some(4)),
        (19, Some(4)),
        (20, Some(2)),
        (21, None),
        (99, None),
        (100, Some(0)),
        (65_535, Some(0)),
    ] {
        let mut table = table(vec![vec![dport(), lookup("s"), accept()]]);
        table.sets.push(set("s", set_flags::INTERVAL, 2, edges.clone()));
        let tables = [table];
        let trace = run(&tables, &to(port));
        assert_eq!(trace.visits[0].hits.first().and_then(|hit| hit.element), element, "{port}");
    }
    let none = set("s", set_flags::INTERVAL, 2, vec![]);
    assert!(!finds(none, vec![dport(), lookup("s")], &to(1)));
}

/// One address and ports 20-29, a network and port 22, a network and all ports.
fn places() -> Set {
    let place =
        |from: [u8; 8], to: [u8; 8]| Element { key_end: Some(to.to_vec()), ..Element::of(from.to_vec()) };
    let elements = vec![
        place([198, 51, 100, 7, 0, 20, 0, 0], [198, 51, 100, 7, 0, 29, 0, 0]),
        place([198, 51, 0, 0, 0, 22, 0, 0], [198, 51, 255, 255, 0, 22, 0, 0]),
        place([10, 0, 0, 0, 0, 0, 0, 0], [10, 255, 255, 255, 255, 255, 0, 0]),
    ];
    let flags = set_flags::INTERVAL | set_flags::CONCAT;
    Set { key_parts: vec![4, 2], ..set("s", flags, 8, elements) }
}

#[test]
fn a_concatenation_has_an_interval_for_each_part() {
    let port = Expr::Payload { base: PayloadBase::Transport, offset: 2, len: 2, dreg: R1 };
    for (from, to_port, element) in [
        ([198, 51, 100, 7], 20, Some(0)),
        ([198, 51, 100, 7], 22, Some(0)),
        ([198, 51, 100, 7], 30, None),
        ([198, 51, 100, 8], 22, Some(1)),
        ([198, 51, 100, 8], 20, None),
        ([198, 52, 0, 0], 22, None),
        ([10, 1, 2, 3], 5555, Some(2)),
        ([11, 0, 0, 0], 0, None),
    ] {
        let mut packet = to(to_port);
        packet.network[12..16].copy_from_slice(&from);
        let rule = vec![load(PayloadBase::Network, 12, 4), port.clone(), lookup("s"), accept()];
        let mut table = table(vec![rule]);
        table.sets.push(places());
        let tables = [table];
        let trace = run(&tables, &packet);
        assert_eq!(
            trace.visits[0].hits.first().and_then(|hit| hit.element),
            element,
            "{from:?} port {to_port}"
        );
    }
}

/// A key of several parts is compared with the zeros between them.
#[test]
fn parts_of_a_key_are_padded() {
    let key = vec![6, 0, 0, 0, 0, 22, 0, 0];
    let port = Expr::Payload { base: PayloadBase::Transport, offset: 2, len: 2, dreg: R1 };
    let full = Expr::Immediate { dreg: R0, data: vec![255; 16] };
    let held = set("s", set_flags::CONCAT, 8, vec![Element::of(key)]);
    assert!(finds(held, vec![full, meta(MetaKey::L4proto), port, lookup("s")], &syn()));
}

#[test]
fn an_element_is_told_by_its_comment() {
    let mut table = table(vec![vec![dport(), vmap("m")]]);
    table.sets.push(verdicts(vec![(edge(22, 0).commented("line 7"), Verdict::Accept)]));
    let tables = [table];
    let machine = Machine::new(&tables);
    let trace = machine.hook(&syn(), &mut nothing);
    let element = machine.element(&trace.visits[0], &trace.visits[0].hits[0]).unwrap();
    assert_eq!(comment_of(udata_kind::ELEM_COMMENT, &element.udata).as_deref(), Some("line 7"));
}

/// The state of an element runs when it is hit, and takes back even a verdict.
#[test]
fn the_limit_of_an_element_decides_last() {
    let element = Element { exprs: vec![Expr::Counter { packets: 0, bytes: 0 }, limit()], ..edge(22, 0) };
    let mut table = table(vec![vec![dport(), vmap("m")]]);
    table.sets.push(verdicts(vec![(element, Verdict::Accept)]));
    for (under, expected) in [(true, End::Accepted), (false, End::Dropped)] {
        let mut asked = Vec::new();
        let trace = trace::hook(std::slice::from_ref(&table), &syn(), &mut |what: &Unknown| {
            asked.push((what.expr.clone(), what.place.expr, what.element));
            under
        });
        assert_eq!((trace.end, trace.unknown), (expected, true));
        assert_eq!(asked, [(limit(), 1, Some(0))]);
    }
}

fn change(op: DynsetOp, invert: bool, exprs: Vec<Expr>) -> Expr {
    let set = "s".to_owned();
    Expr::Dynset(Dynset { set, op, key: R0, data: None, timeout: None, invert, exprs })
}

fn end_with(set: Set, rules: Vec<Vec<Expr>>, assume: &mut dyn FnMut(&Unknown) -> bool) -> End {
    let mut table = table(rules);
    table.sets.push(set);
    trace::hook(&[table], &syn(), &mut |what: &Unknown| assume(what)).end
}

#[test]
fn an_element_that_was_added_is_there_for_the_rules_that_follow() {
    let dynamic = Set { flags: set_flags::EVAL, ..ports(&[]) };
    let add = vec![dport(), change(DynsetOp::Add, false, vec![])];
    let then = vec![dport(), lookup("s"), accept()];
    assert_eq!(end_with(dynamic.clone(), vec![add, then.clone()], &mut nothing), End::Accepted);
    let full = Set { flags: set_flags::EVAL, ..ports(&[22]) };
    let delete = vec![dport(), change(DynsetOp::Delete, false, vec![])];
    assert_eq!(end_with(full, vec![delete, then], &mut nothing), End::Dropped);
}

#[test]
fn members_that_packets_may_have_brought_are_asked_for_once() {
    let dynamic = Set { flags: set_flags::EVAL, ..ports(&[80]) };
    let mut asked = 0;
    let rules = vec![vec![dport(), without("s"), drop()], vec![dport(), lookup("s"), accept()]];
    let end = end_with(dynamic, rules, &mut |_: &Unknown| {
        asked += 1;
        true
    });
    assert_eq!((end, asked), (End::Accepted, 1));
}

#[test]
fn a_change_that_was_made_breaks_when_inverted() {
    let dynamic = || Set { flags: set_flags::EVAL, ..ports(&[]) };
    let rule = |invert| vec![vec![dport(), change(DynsetOp::Update, invert, vec![]), accept()]];
    assert_eq!(end_with(dynamic(), rule(false), &mut nothing), End::Accepted);
    assert_eq!(end_with(dynamic(), rule(true), &mut nothing), End::Dropped);
}

#[test]
fn the_limit_of_a_change_is_asked() {
    let dynamic = Set { flags: set_flags::EVAL, ..ports(&[]) };
    let rule = vec![dport(), change(DynsetOp::Update, false, vec![limit()]), accept()];
    assert_eq!(end_with(dynamic.clone(), vec![rule.clone()], &mut |_| true), End::Accepted);
    assert_eq!(end_with(dynamic, vec![rule], &mut |_| false), End::Dropped);
}

#[test]
fn whether_a_full_set_takes_one_more_is_asked() {
    let full = Set { flags: set_flags::EVAL, size: Some(1), ..ports(&[80]) };
    let rule = vec![dport(), change(DynsetOp::Add, false, vec![]), accept()];
    assert_eq!(end_with(full.clone(), vec![rule.clone()], &mut |_| false), End::Dropped);
    assert_eq!(end_with(full, vec![rule], &mut |_| true), End::Accepted);
}

/// The index finds what a walk over all elements finds.
#[test]
fn large_sets_agree_with_a_plain_search() {
    let mut seed = 1u32;
    let mut random = |below: u32| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 8) % below
    };
    let mut elements = Vec::new();
    for _ in 0..300 {
        let (from, port) = (random(200), random(50));
        let key = |from: u32, port: u32| [from.to_be_bytes(), (port << 16).to_be_bytes()].concat();
        let key_end = key(from + random(20), port + random(3));
        elements.push(Element { key_end: Some(key_end), ..Element::of(key(from, port)) });
    }
    let flags = set_flags::INTERVAL | set_flags::CONCAT;
    let boxes = Set { key_parts: vec![4, 2], ..set("s", flags, 8, elements.clone()) };
    let mut table = table(vec![vec![load(PayloadBase::Network, 12, 4), second_port(), lookup("s")]]);
    table.sets.push(boxes);
    let tables = [table];
    let machine = Machine::new(&tables);
    for _ in 0..2000 {
        let (from, port) = (random(230), random(60));
        let mut packet = to(u16::try_from(port).unwrap());
        packet.network[12..16].copy_from_slice(&from.to_be_bytes());
        let key = [from.to_be_bytes(), (port << 16).to_be_bytes()].concat();
        let plain = elements.iter().position(|element| {
            let end = element.key_end.as_ref().unwrap();
            [0..4, 4..6]
                .into_iter()
                .all(|part| element.key[part.clone()] <= key[part.clone()] && key[part.clone()] <= end[part])
        });
        let trace = machine.hook(&packet, &mut nothing);
        assert_eq!(trace.visits[0].hits.first().and_then(|hit| hit.element), plain, "{from} {port}");
    }
}

fn second_port() -> Expr {
    Expr::Payload { base: PayloadBase::Transport, offset: 2, len: 2, dreg: R1 }
}
