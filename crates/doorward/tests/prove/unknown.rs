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
