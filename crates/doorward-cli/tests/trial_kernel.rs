//! Any trial over any policy in the real kernel: armed, read back, confirmed in time, refused too late, cleared away.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../doorward-kernel/tests/common/mod.rs"]
mod oracle;
#[path = "../../doorward/tests/policies/mod.rs"]
mod policies;

use doorward::compile::{
    ARMED, Options, Phase, Running, TABLE, compile, confirm, disarm, extend, forget, on_trial, phase,
    replace_with, settle, transition,
};
use doorward::resolve::model::Resolved;
use doorward::ruleset::{Element, Elements, Expr, Step, Table, TableFamily, Transaction, set_flags};
use doorward_kernel::{CommitError, Scope as Where, Socket};
use oracle::{fresh, skip};
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::thread::sleep;
use std::time::Duration;

fn held(socket: &Socket) -> Option<Table> {
    let scope = Where::Table(TableFamily::Inet, TABLE.to_owned());
    socket.read(&scope).unwrap().ruleset.tables.into_iter().next()
}

/// What was compiled and what was read back alike: no handles, no order, no time that is left, no templates of counters.
fn comparable(table: &Table) -> Vec<String> {
    let mut parts = Vec::new();
    for chain in &table.chains {
        let rules: Vec<_> = chain.rules.iter().map(|rule| (&rule.exprs, &rule.udata)).collect();
        parts.push(format!("chain {} {:?} {rules:?}", chain.name, chain.base));
    }
    for set in &table.sets {
        let mut keys: Vec<String> = match &set.elements {
            Elements::Full(list) => list.iter().map(element).collect(),
            Elements::Plain(bytes) => {
                bytes.chunks(set.key_len as usize).map(|key| element(&Element::of(key.to_vec()))).collect()
            }
        };
        keys.sort();
        parts.push(format!("set {} {} {keys:?}", set.name, set.flags));
    }
    parts.extend(table.objects.iter().map(|object| format!("{object:?}")));
    parts.sort();
    parts
}

/// Nothing is there that should not, and nothing is missing.
fn same(there: &[String], wanted: &[String]) {
    let more: Vec<&String> = there.iter().filter(|part| !wanted.contains(part)).collect();
    let less: Vec<&String> = wanted.iter().filter(|part| !there.contains(part)).collect();
    assert!(more.is_empty() && less.is_empty(), "there: {more:#?}\nwanted: {less:#?}");
}

fn element(one: &Element) -> String {
    let counted = one.exprs == [(Expr::Counter { packets: 0, bytes: 0 })];
    let exprs = if counted { &[][..] } else { &one.exprs };
    format!("{:?} {:?} {:?} {exprs:?}", one.key, one.data, one.udata)
}

fn armed_for(milliseconds: u64) -> Step {
    let element = Element { timeout: Some(milliseconds), ..Element::of(vec![0; 4]) };
    Step::AddElements {
        set: ARMED.to_owned(),
        flags: set_flags::TIMEOUT,
        key_len: 4,
        elements: Elements::Full(vec![element]),
    }
}

fn commit(socket: &Socket, transaction: &Transaction) {
    if let Err(error) = socket.commit(transaction, None) {
        let CommitError::Refused(refusals) = &error else { panic!("{error:?}") };
        let steps: Vec<&Step> = refusals.iter().filter_map(|one| transaction.steps.get(one.step?)).collect();
        panic!("{refusals:?} {steps:#?}");
    }
}

/// Arms a policy over what is there, and sees that the kernel holds what was meant.
fn arm(socket: &Socket, policy: &Resolved, generation: u8, milliseconds: u64) -> Table {
    let before = held(socket);
    let table = compile(policy, &Options { generation, ..Options::default() });
    let wanted = on_trial(before.as_ref(), table.clone());
    let mut transaction = transition(before.as_ref(), wanted.clone());
    if before.is_some() {
        transaction.steps.push(Step::FlushSet(ARMED.to_owned()));
    }
    transaction.steps.push(armed_for(milliseconds));
    commit(socket, &transaction);
    let mut wanted = wanted;
    let armed = wanted.sets.iter_mut().find(|set| set.name == ARMED).unwrap();
    armed.elements = Elements::Full(vec![Element::of(vec![0; 4])]);
    same(&comparable(&held(socket).unwrap()), &comparable(&wanted));
    table
}

fn not_there(error: &CommitError) -> bool {
    matches!(error, CommitError::Refused(list) if list.iter().any(|one| one.errno.raw_os_error() == 2))
}

#[test]
fn any_trial_over_any_policy() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let cases = std::env::var("DOORWARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(4);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let policies = || policy(prop::collection::vec(rule(), 0..12));
    runner
        .run(&(policies(), policies(), policies(), any::<bool>()), |(old, tried, kept, first)| {
            if held(&socket).is_some() {
                let mut gone = Transaction::on(TableFamily::Inet, TABLE);
                gone.steps.push(Step::DeleteTable);
                commit(&socket, &gone);
            }
            let mut standing = None;
            if !first {
                let table = compile(&old, &Options { generation: 1, ..Options::default() });
                commit(&socket, &replace_with(&Running::default(), table.clone()));
                standing = Some(table);
            }
            // Too late.
            arm(&socket, &tried, 2, 1000);
            sleep(Duration::from_millis(1050));
            let over = held(&socket).unwrap();
            prop_assert_eq!(phase(&over), Phase::Trial { new: 2, old: (!first).then_some(1), left: None });
            let error = socket.commit(&confirm(&over).unwrap(), None).unwrap_err();
            prop_assert!(not_there(&error), "{error:?}");
            prop_assert!(not_there(&socket.commit(&extend(1000), None).unwrap_err()));
            same(&comparable(&held(&socket).unwrap()), &comparable(&over));
            commit(&socket, &disarm());
            commit(&socket, &settle(&over).unwrap());
            let back = held(&socket);
            prop_assert_eq!(back.is_none(), first);
            // The next trial begins where the last one left remains; it is extended, and confirmed in time.
            let table = arm(&socket, &kept, 3, 1500);
            commit(&socket, &extend(60_000));
            sleep(Duration::from_millis(1600));
            let on = held(&socket).unwrap();
            let goes_on = matches!(phase(&on), Phase::Trial { new: 3, left: Some(_), .. });
            prop_assert!(goes_on, "{:?}", phase(&on));
            commit(&socket, &confirm(&on).unwrap());
            let now = held(&socket).unwrap();
            prop_assert_eq!(phase(&now), Phase::Quiet { generation: 3, remains: None });
            let used = |table: &Table| -> Vec<String> {
                let idle = |part: &String| part.starts_with("chain ") && part.ends_with(" []");
                comparable(table).into_iter().filter(|part| !idle(part)).collect()
            };
            same(&used(&now), &used(&table));
            // The way back is taken, and nothing of the trial stays.
            if let Some(standing) = standing {
                let running = Running::of(&now);
                commit(&socket, &replace_with(&running, standing.clone()));
                arm(&socket, &tried, 2, 60_000);
                commit(&socket, &disarm());
                commit(&socket, &settle(&held(&socket).unwrap()).unwrap());
                let back = held(&socket).unwrap();
                prop_assert_eq!(phase(&back), Phase::Quiet { generation: 1, remains: Some(2) });
                commit(&socket, &forget(&back).unwrap());
                same(&used(&held(&socket).unwrap()), &used(&standing));
            }
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
