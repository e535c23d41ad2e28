//! Chains, verdicts, tables and hooks.

use super::*;
use doorward::ruleset::{CtKey, Reject};

/// A rule that accepts one port.
fn lets(port: u16) -> Vec<Expr> {
    vec![dport(), eq(port.to_be_bytes()), accept()]
}

/// A rule that drops one port.
fn shuts(port: u16) -> Vec<Expr> {
    vec![dport(), eq(port.to_be_bytes()), drop()]
}

#[test]
fn what_accepts_ends_its_own_base_chain_only() {
    let mut table = table(vec![vec![accept()]]);
    table.chains.push(chain_at("late", Hook::Input, 10, Policy::Accept, vec![shuts(22)]));
    input().accepts(table, not_to_port(22));
}

#[test]
fn what_drops_ends_the_hook() {
    let mut table = table(vec![shuts(22), vec![accept()]]);
    table.chains.push(chain_at("late", Hook::Input, 10, Policy::Accept, vec![vec![accept()]]));
    input().accepts(table, not_to_port(22));
}

#[test]
fn a_refusal_ends_a_rule() {
    input().accepts(rule(vec![Expr::Reject(Reject::TcpReset)]), never);
}

#[test]
fn the_policy_decides_at_the_end_of_a_base_chain_and_on_return() {
    for rules in [vec![], vec![vec![back()], vec![accept()]]] {
        input().accepts(table(rules.clone()), never);
        let mut open = table(rules);
        open.chains[0].base.as_mut().unwrap().policy = Policy::Accept;
        input().accepts(open, always);
    }
}

#[test]
fn a_table_of_one_family_sees_that_family_only() {
    let shut = |family| {
        let mut table = Table::new(family, "t");
        table.chains.push(chain_at("input", Hook::Input, 0, Policy::Drop, vec![]));
        table
    };
    input().accepts(shut(TableFamily::Ip), never);
    input6().accepts(shut(TableFamily::Ip), always);
    input().accepts(shut(TableFamily::Ip6), always);
    input6().accepts(shut(TableFamily::Ip6), never);
}

/// What nft writes before a field of IPv4 in an `inet` table.
#[test]
fn a_guard_of_the_family_holds_for_that_family_only() {
    let guarded = rule(vec![meta(MetaKey::Nfproto), eq([2])]);
    input().accepts(guarded.clone(), always);
    input6().accepts(guarded, never);
}

#[test]
fn a_dormant_table_sleeps() {
    let mut asleep = table(vec![vec![drop()]]);
    asleep.flags = 1;
    input().accepts(asleep, always);
}

#[test]
fn a_jump_comes_back_and_a_goto_does_not() {
    let called =
        |verdict| with_chains(vec![vec![verdict], vec![accept()]], vec![chain("c", vec![shuts(22)])]);
    input().accepts(called(jump("c")), not_to_port(22));
    input().accepts(called(goto("c")), never);
}

#[test]
fn after_a_goto_the_caller_of_the_caller_goes_on() {
    let table = with_chains(
        vec![vec![jump("a")], lets(22)],
        vec![chain("a", vec![vec![goto("b")], vec![accept()]]), chain("b", vec![])],
    );
    input().accepts(table, to_port(22));
}

#[test]
fn return_leaves_one_chain() {
    let table = with_chains(
        vec![vec![jump("a")], vec![accept()]],
        vec![
            chain("a", vec![vec![jump("b")], lets(22), vec![drop()]]),
            chain("b", vec![vec![back()], lets(23)]),
        ],
    );
    input().accepts(table, to_port(22));
}

#[test]
fn continue_goes_on_within_the_rule_and_break_with_the_next() {
    input().accepts(rule(vec![Expr::Verdict(Verdict::Continue)]), always);
    input().accepts(rule(vec![Expr::Verdict(Verdict::Break)]), never);
}

#[test]
fn fifteen_jumps_are_followed() {
    let nested = |deep: u32| {
        let mut chains: Vec<Chain> =
            (1..deep).map(|n| chain(&n.to_string(), vec![vec![jump(&(n + 1).to_string())]])).collect();
        chains.push(chain(&deep.to_string(), vec![lets(22)]));
        with_chains(vec![vec![jump("1")]], chains)
    };
    input().accepts(nested(15), to_port(22));
    // The kernel loads no deeper ones.
    assert_eq!(not_judged(nested(16)), NotJudged::Endless);
}

#[test]
fn chains_without_end_are_not_judged() {
    let round = chain("a", vec![vec![jump("b")]]);
    let table = with_chains(vec![vec![jump("a")]], vec![round, chain("b", vec![vec![goto("a")]])]);
    assert_eq!(not_judged(table), NotJudged::Endless);
    assert_eq!(not_judged(with_chains(vec![vec![goto("input")]], vec![])), NotJudged::Endless);
}

/// A condition under which nobody gets there does not help: nothing is claimed of such a ruleset.
#[test]
fn chains_without_end_are_not_judged_behind_a_condition_either() {
    let seldom = vec![dport(), eq([0, 22]), jump("a")];
    let table = with_chains(vec![seldom, vec![accept()]], vec![chain("a", vec![vec![jump("a")]])]);
    assert_eq!(not_judged(table), NotJudged::Endless);
}

fn sets(key: MetaKey) -> Expr {
    Expr::MetaSet { key, sreg: R0 }
}

#[test]
fn what_a_rule_did_before_it_broke_stays_done() {
    let seven = 7u32.to_ne_bytes();
    let broken = vec![immediate(seven), sets(MetaKey::Mark), dport(), eq([0, 23]), drop()];
    let asks = vec![meta(MetaKey::Mark), eq(seven), accept()];
    input().accepts(table(vec![broken, asks]), not_to_port(23));
}

#[test]
fn a_mark_is_not_set_by_a_rule_that_broke_before() {
    let seven = 7u32.to_ne_bytes();
    let clear = vec![immediate(0u32.to_ne_bytes()), sets(MetaKey::Mark)];
    let marks = vec![dport(), eq([0, 23]), immediate(seven), sets(MetaKey::Mark)];
    let asks = vec![meta(MetaKey::Mark), eq(seven), accept()];
    input().accepts(table(vec![clear, marks, asks]), to_port(23));
}

#[test]
fn a_mark_of_a_connection_that_is_not_tracked_stays_unset() {
    let seven = 7u32.to_ne_bytes();
    let set = Expr::CtSet { key: CtKey::Mark, dir: None, sreg: R0 };
    let get = Expr::Ct { key: CtKey::Mark, dir: None, dreg: R0 };
    let rules = vec![vec![immediate(seven), set], vec![get, neq(seven), accept()]];
    input().accepts(table(rules), never);
}
