//! What no packet tells is asked, and only that.

use super::*;
use doorward::ruleset::{Bitop, Data, DataType, Element, Elements, set_flags};
use doorward::trace::Place;

fn unknown(name: &str, data: &[u8]) -> Expr {
    Expr::Unknown { name: name.to_owned(), data: data.to_vec() }
}

/// The end under an answer, and where it was asked.
fn asked(table: Table, answer: bool) -> (End, Vec<(usize, usize, usize)>) {
    let mut places = Vec::new();
    let tables = [table];
    let trace = trace::hook(&tables, &syn(), &mut |what: &Unknown| {
        let Place { rule, expr, .. } = what.place;
        places.push((rule, expr, what.times));
        answer
    });
    assert_eq!(trace.unknown, !places.is_empty());
    (trace.end, places)
}

#[test]
fn each_place_counts_how_often_it_asked() {
    let quota = Expr::Quota { bytes: 1, consumed: 0, flags: 0 };
    let mut table = table(vec![vec![jump("c")], vec![jump("c")]]);
    table.chains.push(chain("c", vec![vec![quota, accept()]]));
    assert_eq!(asked(table.clone(), false), (End::Dropped, vec![(0, 0, 0), (0, 0, 1)]));
    assert_eq!(asked(table, true), (End::Accepted, vec![(0, 0, 0)]));
}

/// Not the load asks, but what depends on it; a mask and a mark carry the doubt along.
#[test]
fn a_value_that_nobody_knows_is_asked_about_where_it_matters() {
    let mask = Bitop::MaskXor { mask: vec![1, 0, 0, 0], xor: vec![0; 4] };
    let bits = Expr::Bitwise { sreg: R0, dreg: R0, len: 4, op: mask };
    let keep = Expr::MetaSet { key: MetaKey::Mark, sreg: R0 };
    let rule = vec![meta(MetaKey::Cpu), bits, keep];
    let reads = vec![meta(MetaKey::Mark), eq([1, 0, 0, 0]), accept()];
    assert_eq!(asked(table(vec![rule.clone()]), true), (End::Dropped, vec![]));
    assert_eq!(asked(table(vec![rule, reads]), true), (End::Accepted, vec![(1, 1, 0)]));
}

#[test]
fn a_new_value_in_a_register_ends_the_doubt() {
    let rule = vec![unknown("numgen", &[]), dport(), eq([0, 22]), accept()];
    assert_eq!(asked(table(vec![rule]), true), (End::Accepted, vec![]));
}

/// `numgen random mod 2 vmap { 0 : drop, 1 : accept }`: each element is asked about until one holds.
#[test]
fn a_random_verdict_is_asked_element_by_element() {
    let element = |number: u32, verdict| Element {
        data: Some(Data::Verdict(verdict)),
        ..Element::of(number.to_ne_bytes().to_vec())
    };
    let mut map = Set::over("m", &[]);
    (map.flags, map.key_len, map.data) = (set_flags::MAP, 4, Some(DataType::Verdict));
    map.elements = Elements::Full(vec![element(0, Verdict::Drop), element(1, Verdict::Accept)]);
    let mut table = table(vec![vec![unknown("numgen", &[]), vmap("m")]]);
    table.sets.push(map);
    for (wanted, expected) in [(Some(0), End::Dropped), (Some(1), End::Accepted), (None, End::Dropped)] {
        let trace =
            trace::hook(std::slice::from_ref(&table), &syn(), &mut |what: &Unknown| what.element == wanted);
        assert_eq!(trace.end, expected);
        assert_eq!(trace.bases[0].by_policy, wanted.is_none());
    }
}

#[test]
fn facts_that_were_not_brought_along_are_asked() {
    use doorward::ruleset::{Fib, FibResult};
    let local = Expr::Fib(Fib { result: FibResult::AddrType, flags: 2, dreg: R0 });
    let rule = vec![local, eq(2u32.to_ne_bytes()), accept()];
    assert_eq!(asked(table(vec![rule]), true), (End::Accepted, vec![(0, 1, 0)]));
}

#[test]
fn extensions_that_nobody_knows_are_asked() {
    let target = |name: &str| vec![vec![extension("target", name, 0, &[]), drop()], vec![accept()]];
    // Whether it goes on; if not, whether it accepts.
    assert_eq!(asked(table(target("TARPIT")), true), (End::Dropped, vec![(0, 0, 0)]));
    assert_eq!(asked(table(target("TARPIT")), false), (End::Dropped, vec![(0, 0, 0), (0, 0, 1)]));
    let rule = vec![unknown("match", b"garbage"), accept()];
    assert_eq!(asked(table(vec![rule]), false), (End::Dropped, vec![(0, 0, 0)]));
}

/// A match of iptables that finds no whole header drops the packet at once (`hotdrop`): found by sending three
/// bytes of UDP at a real ruleset.
#[test]
fn a_match_of_iptables_may_drop_what_is_cut_off() {
    let tables = [table(vec![vec![unknown("match", b""), drop()], vec![accept()]])];
    let cut = Packet { transport: vec![3, 255, 3], l4proto: 17, ..syn() };
    let ends = |packet: &Packet| {
        let mut ends = Vec::new();
        for answers in [[false, false], [false, true]] {
            let mut answers = answers.into_iter();
            ends.push(trace::hook(&tables, packet, &mut |_: &Unknown| answers.next().unwrap()).end);
        }
        ends
    };
    assert_eq!(ends(&syn()), [End::Accepted, End::Accepted]);
    assert_eq!(ends(&cut), [End::Accepted, End::Dropped]);
}
