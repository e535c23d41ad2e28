//! What no packet tells: limits, and a space that is too small.

use super::*;
use doorward::ruleset::{Limit, LimitUnit};
use doorward::space::Unproven;

fn limit() -> Expr {
    Expr::Limit(Limit { rate: 1, seconds: 1, burst: 5, unit: LimitUnit::Packets, over: false })
}

#[test]
fn a_limit_is_not_certain() {
    input().may_accept(rule(vec![limit()]), always);
}

/// Two rules with the same text have a bucket each: the second may be spent where the first has room.
#[test]
fn limits_of_two_rules_are_independent() {
    let calls = vec![limit(), jump("c")];
    let mark =
        |number: u32| vec![immediate(number.to_ne_bytes()), Expr::MetaSet { key: MetaKey::Mark, sreg: R0 }];
    let is = |number: u32| vec![meta(MetaKey::Mark), eq(number.to_ne_bytes())];
    let then = |mut exprs: Vec<Expr>, more: Vec<Expr>| {
        exprs.extend(more);
        exprs
    };
    // Counts in the mark how often it was called.
    let first = then(then(is(0), mark(1)), vec![back()]);
    let second = then(then(is(1), mark(2)), vec![back()]);
    let once = then(is(1), vec![accept()]);
    let table = with_chains(vec![mark(0), calls.clone(), calls, once], vec![chain("c", vec![first, second])]);
    input().may_accept(table, always);
}

/// A rule that came before it changes nothing about what a limit is asked: else two rulesets would differ in all
/// that stands behind the first difference.
#[test]
fn the_same_limit_in_two_rulesets_is_one_question() {
    let limited = vec![limit(), accept()];
    let shut = vec![dport(), eq([0, 23]), drop()];
    let mut terms = Terms::new(Family::V4);
    let programs = [vec![limited.clone()], vec![shut, limited]]
        .map(|rules| Program::of(&[table(rules)], &[INPUT], &Facts::default(), &mut terms));
    let closed = to_ports(&mut terms, 23, 23);
    let mut space = Space::new(terms).unwrap();
    let start = space.domain();
    let [old, new] =
        programs.map(|program| program.fates(&mut space, INPUT, start, &|_| true).unwrap().0.accepted);
    let closed = space.node(&closed);
    let expected = space.minus(old, closed);
    assert!(!old.is_empty() && space.xor(new, expected).is_empty());
}

/// What two rulesets accept, the second named after the first, and the ports that are told apart.
fn accepted<const N: usize>(two: [Table; 2], ports: [u16; N]) -> (Space, [Node; 2], [Node; N]) {
    let mut terms = Terms::new(Family::V4);
    let [first, second] = two;
    let first = Program::of(&[first], &[INPUT], &Facts::default(), &mut terms);
    let second = Program::beside(Some(&first), &[second], &[INPUT], &Facts::default(), &mut terms);
    let ports = ports.map(|port| to_ports(&mut terms, port, port));
    let mut space = Space::new(terms).unwrap();
    let start = space.domain();
    let accepted =
        [first, second].map(|program| program.fates(&mut space, INPUT, start, &|_| true).unwrap().0.accepted);
    let ports = ports.map(|port| space.node(&port));
    (space, accepted, ports)
}

fn to(port: u8, exprs: Vec<Expr>) -> Vec<Expr> {
    [vec![dport(), eq([0, port])], exprs].concat()
}

/// Calls of one limited chain were numbered as they came: without the first of them the second had its number, and
/// `verify` told of a difference that no packet had.
#[test]
fn a_call_that_goes_leaves_the_others_as_they_are() {
    let called = |ports: &[u8]| {
        let calls = ports.iter().map(|port| to(*port, vec![jump("c")]));
        with_chains(calls.collect(), vec![chain("c", vec![vec![limit(), accept()]])])
    };
    for (old, new, gone) in [
        (vec![22, 80, 81], vec![80, 81], 22),
        (vec![22, 80, 81], vec![22, 81, 80], 0),
        (vec![22, 80, 81], vec![23, 80, 81], 22),
        (vec![80, 81], vec![22, 81, 80], 22),
    ] {
        let (mut space, [old, new], [one, other]) = accepted([called(&old), called(&new)], [gone, 23]);
        let differ = space.xor(old, new);
        let either = space.or(one, other);
        assert_eq!(differ.is_empty(), gone == 0);
        assert!(space.minus(differ, either).is_empty(), "only who was called, or is, may notice");
    }
}

/// The same limit in two rules of one chain.
#[test]
fn a_rule_that_goes_leaves_equal_limits_as_they_are() {
    let limited = |ports: &[u8]| table(ports.iter().map(|port| to(*port, vec![limit(), accept()])).collect());
    for (old, new) in
        [(vec![22, 80, 80], vec![80, 80]), (vec![22, 80], vec![80, 22]), (vec![80], vec![22, 80])]
    {
        let (mut space, [old, new], [ssh]) = accepted([limited(&old), limited(&new)], [22]);
        let differ = space.xor(old, new);
        assert!(space.minus(differ, ssh).is_empty());
    }
}

/// Two limits are not one, neither in one rule nor in two, nor in a chain that is called twice.
#[test]
fn a_limit_less_is_a_difference() {
    let passes = vec![limit(), accept()];
    let called = |times: usize| {
        with_chains(vec![vec![jump("c")]; times], vec![chain("c", vec![vec![limit(), accept()]])])
    };
    let twice = table(vec![passes.clone(), passes.clone()]);
    let two = [vec![limit()], passes.clone()].concat();
    for two in [
        [twice, table(vec![passes.clone()])],
        [table(vec![two]), table(vec![passes])],
        [called(2), called(1)],
    ] {
        let (mut space, [old, new], []) = accepted(two, []);
        assert!(!space.xor(old, new).is_empty());
    }
}

/// 300 rules, each with an address and a port of its own, have more parts than a small space holds.
#[test]
fn a_space_that_is_too_small_claims_nothing() {
    let rules = (0..300u16).map(|number| {
        let [high, low] = number.to_be_bytes();
        let port = (number * 7).to_be_bytes();
        vec![load(PayloadBase::Network, 12, 4), eq([10, 0, high, low]), dport(), eq(port), accept()]
    });
    let table = table(rules.collect());
    let mut terms = Terms::new(Family::V4);
    let program = Program::of(&[table], &[INPUT], &Facts::default(), &mut terms);
    let mut space = Space::within(terms, 100).unwrap();
    let start = space.domain();
    let judged = program.fates(&mut space, INPUT, start, &|_| true);
    assert_eq!(judged.unwrap_err(), NotJudged::Space(Unproven::TooLarge));
}
