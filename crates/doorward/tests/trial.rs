//! A trial over any policy: the new one judges for a time, the old one before and after, and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod policies;

use doorward::compile::{
    ARMED, Options, Phase, compile as compiled, confirm, forget, on_trial, phase, settle, transition,
};
use doorward::meaning::Host;
use doorward::prove::{self, Claim, InTurn};
use doorward::resolve::model::Resolved;
use doorward::ruleset::{Element, Elements, Table, Transaction};
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

fn options(generation: u8) -> Options {
    Options { generation, ..Options::default() }
}

/// Chains, sets and objects by name, without what is left of timeouts.
fn by_name(table: &Table) -> Table {
    let mut table = table.clone();
    table.chains.sort_by(|a, b| a.name.cmp(&b.name));
    table.sets.sort_by(|a, b| a.name.cmp(&b.name));
    table.objects.sort_by(|a, b| a.name.cmp(&b.name));
    table
}

/// The names of what is not the same, and how.
fn differences(one: &Table, other: &Table) -> Vec<String> {
    let parts = |table: &Table| -> std::collections::BTreeSet<String> {
        let table = by_name(&without_empty_bases(table.clone()));
        let chains = table.chains.iter().map(|one| format!("chain {one:?}"));
        let sets = table.sets.iter().map(|one| format!("set {one:?}"));
        chains.chain(sets).chain(table.objects.iter().map(|one| format!("object {one:?}"))).collect()
    };
    let (one, other) = (parts(one), parts(other));
    let gone = one.difference(&other).map(|text| format!("- {text}"));
    gone.chain(other.difference(&one).map(|text| format!("+ {text}"))).collect()
}

fn carried_out(transaction: &Transaction, before: Option<&Table>) -> Option<Table> {
    let after = transaction.outcome(before);
    after.unwrap_or_else(|error| panic!("{error}: {:?}", transaction.steps[error.step]))
}

/// The trial as the kernel holds it, with the element.
fn armed(before: Option<&Table>, new: &Table) -> Table {
    let mut table = carried_out(&transition(before, on_trial(before, new.clone())), before).unwrap();
    let set = table.sets.iter_mut().find(|set| set.name == ARMED).unwrap();
    set.elements = Elements::Full(vec![Element { timeout: Some(90_000), ..Element::of(vec![0; 4]) }]);
    table
}

fn over(mut table: Table) -> Table {
    let set = table.sets.iter_mut().find(|set| set.name == ARMED).unwrap();
    set.elements = Elements::Full(Vec::new());
    table
}

/// A base chain that one policy has no use for stays behind, empty.
fn without_empty_bases(mut table: Table) -> Table {
    table.chains.retain(|chain| chain.base.is_none() || !chain.rules.is_empty());
    table
}

fn runner(cases: u32) -> TestRunner {
    let cases = std::env::var("DOORWARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(cases);
    TestRunner::new(Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() })
}

fn numbered(mut policy: Resolved, file: &str) -> Resolved {
    for (line, rule) in (1u32..).zip(&mut policy.rules) {
        rule.origin.line = line;
        rule.origin.file = file.into();
    }
    policy
}

/// Whatever runs and whatever is tried: each way leads where it should, and nothing of the other stays.
#[test]
fn every_way_out_of_a_trial_leaves_one_generation_whole() {
    let policies = || policy(prop::collection::vec(rule(), 0..12));
    runner(60)
        .run(&(policies(), policies(), any::<bool>()), |(old, new, first)| {
            let old = (!first).then(|| compiled(&numbered(old, "old.dw"), &options(4)));
            let new = compiled(&numbered(new, "new.dw"), &options(5));
            let on = armed(old.as_ref(), &new);
            let before = (!first).then_some(4);
            prop_assert_eq!(phase(&on), Phase::Trial { new: 5, old: before, left: Some(90_000) });
            prop_assert_eq!(phase(&over(on.clone())), Phase::Trial { new: 5, old: before, left: None });

            let kept = carried_out(&confirm(&on).unwrap(), Some(&on)).unwrap();
            prop_assert_eq!(phase(&kept), Phase::Quiet { generation: 5, remains: None });
            prop_assert_eq!(differences(&kept, &new), Vec::<String>::new());
            // Too late: the kernel refuses all of it.
            prop_assert!(confirm(&over(on.clone())).unwrap().outcome(Some(&over(on.clone()))).is_err());

            let back = carried_out(&settle(&over(on.clone())).unwrap(), Some(&over(on)));
            let Some(old) = old else {
                prop_assert_eq!(back, None);
                return Ok(());
            };
            let back = back.unwrap();
            prop_assert_eq!(phase(&back), Phase::Quiet { generation: 4, remains: Some(5) });
            let alone = carried_out(&forget(&back).unwrap(), Some(&back)).unwrap();
            prop_assert_eq!(differences(&alone, &old), Vec::<String>::new());

            // The next trial begins where the last one left remains.
            let mut third = new;
            third = compiled_as(&third, 6);
            let next = armed(Some(&back), &third);
            let fresh = armed(Some(&old), &third);
            prop_assert_eq!(differences(&next, &fresh), Vec::<String>::new());
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// The same program under another number.
fn compiled_as(table: &Table, generation: u8) -> Table {
    let text = format!("{table:?}");
    assert!(text.contains("g5_"));
    let mut table = table.clone();
    let rename = |name: &mut String| {
        if let Some(rest) = name.strip_prefix("g5_") {
            *name = format!("g{generation}_{rest}");
        }
    };
    use doorward::ruleset::{Data, Expr, Verdict};
    let verdict = |verdict: &mut Verdict| {
        if let Verdict::Jump(name) | Verdict::Goto(name) = verdict {
            rename(name);
        }
    };
    for chain in &mut table.chains {
        rename(&mut chain.name);
        for expr in chain.rules.iter_mut().flat_map(|rule| &mut rule.exprs) {
            match expr {
                Expr::Verdict(to) => verdict(to),
                Expr::Lookup { set, .. } => rename(set),
                _ => {}
            }
        }
    }
    for set in &mut table.sets {
        rename(&mut set.name);
        if let Elements::Full(list) = &mut set.elements {
            for element in list {
                if let Some(Data::Verdict(to)) = &mut element.data {
                    verdict(to);
                }
            }
        }
    }
    table
}

/// For every packet there can be.
#[test]
fn a_trial_is_the_new_policy_for_a_time_and_the_old_one_afterwards() {
    let policies = || policy(prop::collection::vec(rule(), 0..6));
    runner(8)
        .run(&(policies(), policies(), 0..4u8), |(old, new, first)| {
            let old = (first > 0).then(|| compiled(&numbered(old, "old.dw"), &options(4)));
            let new = numbered(new, "new.dw");
            let options = options(5);
            let on = armed(old.as_ref(), &compiled(&new, &options));
            let claim = Claim { policy: &new, table: &on, host: &Host::default(), options: &options };
            let found = prove::on_trial(claim, old.as_ref(), &InTurn).unwrap();
            prop_assert!(found.holds(), "{}", told(&found));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn told(found: &prove::TrialProof) -> String {
    let meanwhile =
        found.meanwhile.iter().map(|one| format!("{:?} {:?}: {:?}", one.place, one.family, one.example));
    let afterwards = found.afterwards.iter().map(|one| format!("{} {:?}", one.what, one.point.values()));
    meanwhile.chain(afterwards).take(3).collect::<Vec<_>>().join("\n")
}

/// A trial with a mistake in its dispatch is found out.
#[test]
fn a_trial_that_is_none_is_found_out() {
    // Always the same two: those that agree on all of a hook would hide a mistake in its dispatch.
    let mut runner = TestRunner::deterministic();
    let policies = policy(prop::collection::vec(rule(), 6..7));
    let mut sample = || numbered(policies.new_tree(&mut runner).unwrap().current(), "new.dw");
    let (old, new) = (compiled(&sample(), &options(4)), sample());
    let options = options(5);
    let on = armed(Some(&old), &compiled(&new, &options));
    let proof = |table: &Table| {
        let claim = Claim { policy: &new, table, host: &Host::default(), options: &options };
        prove::on_trial(claim, Some(&old), &InTurn).unwrap()
    };
    assert!(proof(&on).holds());
    let broken = |hook: &str, change: &dyn Fn(&mut Vec<doorward::ruleset::Rule>)| {
        let mut table = on.clone();
        change(&mut table.chains.iter_mut().find(|chain| chain.name == hook).unwrap().rules);
        proof(&table)
    };
    // The dispatch is gone, the way back is gone, established connections are forgotten.
    let undispatched = broken("input", &|rules| drop(rules.remove(1)));
    assert!(!undispatched.meanwhile.is_empty() && undispatched.afterwards.is_empty());
    let no_way_back = broken("input", &|rules| drop(rules.pop()));
    assert!(!no_way_back.afterwards.is_empty() && no_way_back.meanwhile.is_empty());
    let forgotten = broken("forward", &|rules| drop(rules.remove(0)));
    assert!(forgotten.holds(), "both generations let established connections pass by themselves");
    let swapped = broken("output", &|rules| rules.swap(1, 3));
    assert!(!swapped.holds());
}
