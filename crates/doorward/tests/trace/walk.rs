//! Chains, verdicts, tables and hooks.

use super::*;
use doorward::net::Translated;
use doorward::ruleset::{CtKey, Reject};
use doorward::trace::{Outcome, Stop};

/// A base chain `input` with these rules, and chains that it can call.
fn with_chains(rules: Vec<Vec<Expr>>, chains: Vec<Chain>) -> Table {
    let mut table = table(rules);
    table.chains.extend(chains);
    table
}

#[test]
fn what_accepts_ends_its_own_base_chain_only() {
    let mut first = table(vec![vec![accept()]]);
    first.chains.push(chain_at("late", Hook::Input, 10, Policy::Accept, vec![vec![drop()]]));
    let tables = [first];
    let trace = run(&tables, &syn());
    assert_eq!(trace.end, End::Dropped);
    let ends: Vec<_> = trace.bases.iter().map(|base| (base.end, base.by_policy)).collect();
    assert_eq!(ends, [(End::Accepted, false), (End::Dropped, false)]);
}

#[test]
fn what_drops_ends_the_hook() {
    let mut early = table(vec![vec![drop()]]);
    early.chains.push(chain_at("late", Hook::Input, 10, Policy::Accept, vec![vec![accept()]]));
    assert_eq!(run(&[early], &syn()).bases.len(), 1);
}

#[test]
fn a_refusal_is_its_own_end() {
    let reject = Expr::Reject(Reject::TcpReset);
    assert_eq!(end(table(vec![vec![reject, accept()]]), &syn()), End::Rejected);
}

#[test]
fn the_policy_decides_at_the_end_of_a_base_chain_and_on_return() {
    for rules in [vec![], vec![vec![Expr::Verdict(Verdict::Return)], vec![accept()]]] {
        let tables = [table(rules)];
        let trace = run(&tables, &syn());
        assert_eq!((trace.end, trace.bases[0].by_policy), (End::Dropped, true));
    }
}

/// Measured with two chains that drop, each with a counter: the one that was made later counted.
#[test]
fn of_equal_priorities_the_later_made_is_called_first() {
    let chains = |first: &str, second: &str| {
        let mut table = Table::new(TableFamily::Inet, "t");
        for name in [first, second] {
            table.chains.push(chain_at(name, Hook::Input, 0, Policy::Drop, vec![]));
        }
        table
    };
    assert_eq!(run(&[chains("a", "b")], &syn()).bases[0].chain, 1);
    let mut ip = Table::new(TableFamily::Ip, "u");
    ip.chains.push(chain_at("c", Hook::Input, 0, Policy::Drop, vec![]));
    assert_eq!(run(&[chains("a", "b"), ip], &syn()).bases[0].table, 1);
}

#[test]
fn only_tables_of_the_family_and_chains_of_the_hook_are_asked() {
    for (family, at, asked) in [
        (TableFamily::Ip, Hook::Input, true),
        (TableFamily::Ip6, Hook::Input, false),
        (TableFamily::Netdev, Hook::Input, false),
        (TableFamily::Ip, Hook::Forward, false),
    ] {
        let mut table = Table::new(family, "t");
        table.chains.push(chain_at("c", at, 0, Policy::Drop, vec![]));
        assert_eq!(run(&[table], &syn()).end == End::Dropped, asked, "{family:?} {at:?}");
    }
}

#[test]
fn a_dormant_table_sleeps() {
    let mut asleep = table(vec![vec![drop()]]);
    asleep.flags = 1;
    assert_eq!(end(asleep, &syn()), End::Accepted);
}

#[test]
fn nat_chains_see_first_packets_only_and_may_drop() {
    let nat = |rules| {
        let mut table = table(rules);
        table.chains[0].base.as_mut().unwrap().kind = ChainKind::Nat;
        table
    };
    let known = Packet { ct: Conntrack::Entry(entry(2)), ..syn() };
    assert_eq!(end(nat(vec![vec![drop()]]), &syn()), End::Dropped);
    assert_eq!(end(nat(vec![vec![drop()]]), &known), End::Accepted);
    let masquerade = Expr::Masq(doorward::ruleset::NatRange::default());
    let tables = [nat(vec![vec![masquerade], vec![drop()]])];
    let trace = run(&tables, &syn());
    assert_eq!(
        (trace.end, &trace.visits[0].outcome),
        (End::Accepted, &Outcome::Translated { at: 0, to: Some(Translated::MASQUERADE) })
    );
}

#[test]
fn a_jump_comes_back_and_a_goto_does_not() {
    let called = |verdict| with_chains(vec![vec![verdict], vec![accept()]], vec![chain("c", vec![])]);
    assert_eq!(end(called(jump("c")), &syn()), End::Accepted);
    assert_eq!(end(called(goto("c")), &syn()), End::Dropped);
}

#[test]
fn after_a_goto_the_caller_of_the_caller_goes_on() {
    let table = with_chains(
        vec![vec![jump("a")], vec![accept()]],
        vec![chain("a", vec![vec![goto("b")], vec![drop()]]), chain("b", vec![])],
    );
    assert_eq!(end(table, &syn()), End::Accepted);
}

#[test]
fn return_leaves_one_chain() {
    let back = vec![Expr::Verdict(Verdict::Return)];
    let table = with_chains(
        vec![vec![jump("a")], vec![drop()]],
        vec![chain("a", vec![vec![jump("b")], vec![accept()]]), chain("b", vec![back, vec![drop()]])],
    );
    assert_eq!(end(table, &syn()), End::Accepted);
}

#[test]
fn sixteen_jumps_deep_and_no_deeper() {
    let deep = |jumps: usize| {
        let mut chains: Vec<Chain> =
            (1..jumps).map(|n| chain(&n.to_string(), vec![vec![jump(&(n + 1).to_string())]])).collect();
        chains.push(chain(&jumps.to_string(), vec![vec![accept()]]));
        with_chains(vec![vec![jump("1")]], chains)
    };
    assert_eq!(end(deep(16), &syn()), End::Accepted);
    let tables = [deep(17)];
    let trace = run(&tables, &syn());
    assert_eq!((trace.end, trace.bases[0].by_policy), (End::Dropped, false));
}

/// The code of `continue` is the one that means that nothing has been decided.
#[test]
fn continue_goes_on_within_the_rule() {
    let rule = vec![Expr::Verdict(Verdict::Continue), accept()];
    assert_eq!(end(table(vec![rule]), &syn()), End::Accepted);
    let rule = vec![Expr::Verdict(Verdict::Break), accept()];
    assert_eq!(end(table(vec![rule]), &syn()), End::Dropped);
}

#[test]
fn what_a_rule_did_before_it_broke_stays_done() {
    let mark = |number: u32| Expr::Immediate { dreg: R0, data: number.to_ne_bytes().to_vec() };
    let set = Expr::MetaSet { key: MetaKey::Mark, sreg: R0 };
    let set_ct = Expr::CtSet { key: CtKey::Mark, dir: None, sreg: R0 };
    let get_ct = Expr::Ct { key: CtKey::Mark, dir: None, dreg: R0 };
    let broken = vec![mark(7), set, set_ct, dport(), eq([0, 23])];
    let asks = vec![meta(MetaKey::Mark), eq(7u32.to_ne_bytes()), get_ct, eq(7u32.to_ne_bytes()), accept()];
    assert_eq!(end(table(vec![broken, asks]), &syn()), End::Accepted);
}

#[test]
fn a_packet_is_changed_for_the_rules_that_follow() {
    let write = Expr::PayloadSet {
        base: PayloadBase::Network,
        offset: 8,
        len: 1,
        sreg: R0,
        csum_type: 1,
        csum_offset: 10,
        csum_flags: 0,
    };
    let ttl = Expr::Immediate { dreg: R0, data: vec![1] };
    let rules = vec![vec![ttl, write], vec![load(PayloadBase::Network, 8, 1), eq([1]), accept()]];
    assert_eq!(end(table(rules), &syn()), End::Accepted);
}

#[test]
fn the_way_is_told_rule_by_rule() {
    let table = with_chains(
        vec![vec![dport(), eq([0, 23]), drop()], vec![Expr::Notrack], vec![jump("c")]],
        vec![chain("c", vec![vec![dport(), eq([0, 22]), accept()]])],
    );
    let tables = [table];
    let trace = run(&tables, &syn());
    let way: Vec<_> =
        trace.visits.into_iter().map(|visit| (visit.chain, visit.rule, visit.outcome)).collect();
    assert_eq!(
        way,
        [
            (0, 0, Outcome::Broke { at: 1 }),
            (0, 1, Outcome::Matched),
            (0, 2, Outcome::Verdict { at: 0, verdict: &Verdict::Jump("c".to_owned()) }),
            (1, 0, Outcome::Verdict { at: 2, verdict: &Verdict::Accept }),
        ]
    );
    assert!(!trace.unknown);
}

#[test]
fn a_program_that_no_kernel_loads_is_stopped() {
    for (rules, stop) in [
        (vec![vec![jump("nowhere")]], Stop::NoChain),
        (vec![vec![goto("input")]], Stop::Endless),
        (vec![vec![lookup("nothing")]], Stop::NoSet),
        (vec![vec![load(PayloadBase::Network, 0, 65)]], Stop::Register),
        (vec![vec![Expr::Immediate { dreg: Reg(200), data: vec![1] }]], Stop::Register),
        (vec![vec![Expr::Immediate { dreg: Reg(15), data: vec![1; 5] }]], Stop::Register),
        (vec![vec![Expr::Verdict(Verdict::Other(4))]], Stop::Operation),
    ] {
        let long = Packet { network: vec![0; 100], ..syn() };
        assert_eq!(end(table(rules), &long), End::Stopped(stop));
    }
    assert_eq!(end(with_chains(vec![vec![jump("input")]], vec![]), &syn()), End::Dropped);
    let empty = table(vec![]);
    let none = trace::base_chain(&empty, "none", &syn(), &mut nothing);
    assert_eq!(none.end, End::Stopped(Stop::NoChain));
}
