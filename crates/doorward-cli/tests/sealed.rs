//! What was proven is sealed, kept in a file and loaded by another process: the kernel holds the same as after the
//! ordinary load.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "../../doorward-kernel/tests/common/mod.rs"]
mod oracle;
#[path = "../../doorward/tests/policies/mod.rs"]
mod policies;

use doorward::compile::{Options, Running, TABLE, replace};
use doorward::meaning::Host;
use doorward::prove::{InTurn, compiled};
use doorward::resolve::model::Resolved;
use doorward::ruleset::{Checked, Sealed, Step, Table, TableFamily, Transaction, set_flags};
use doorward_kernel::guard::Own;
use doorward_kernel::{CommitError, Guard, Socket, unseal};
use oracle::{assert_same, fresh, load, read, skip};
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::time::Instant;

fn proven(policy: &Resolved) -> Checked<Transaction> {
    let (table, proof) = compiled(policy, &Host::default(), &Options::default(), &InTurn);
    let table = table.unwrap_or_else(|| panic!("not proven: {:?}", proof.unproven));
    replace(&Running::default(), table)
}

/// Through the form of a file.
fn kept(sealed: &Sealed) -> Sealed {
    Sealed::from_bytes(&sealed.to_bytes()).unwrap()
}

fn without_table(socket: &Socket) {
    let mut end = Transaction::on(TableFamily::Inet, TABLE);
    end.steps.push(Step::DeleteTable);
    socket.commit(&end, None).unwrap();
}

/// As it is read back: what a decoder gives for what was sent.
fn as_read(mut table: Table) -> Table {
    for set in &mut table.sets {
        if set.exprs.len() > 1 {
            set.flags |= set_flags::EXPR;
        }
    }
    table.chains.sort_by(|a, b| a.name.cmp(&b.name));
    table.sets.sort_by(|a, b| a.name.cmp(&b.name));
    table
}

#[test]
fn what_is_sealed_loads_as_the_ordinary_load_does() {
    if skip::without_root() {
        return;
    }
    let (own, socket) = fresh();
    let mut runner = TestRunner::new(Config { cases: 20, failure_persistence: None, ..Config::default() });
    runner
        .run(&policy(prop::collection::vec(rule(), 0..20)), |policy| {
            let transaction = proven(&policy);
            socket.load(&transaction, None).unwrap();
            let ordinary = read(&socket);
            without_table(&socket);

            let sealed = kept(&Socket::<Own>::seal(&transaction).unwrap());
            // Another socket, which has sent nothing yet.
            let guard = Guard::for_own_namespace(&own).unwrap();
            Socket::open(guard).unwrap().load_sealed(&sealed, None).unwrap();
            assert_same(read(&socket), ordinary);
            without_table(&socket);

            // Decoded, it is the table that was compiled.
            let back = unseal(&sealed).unwrap();
            let made = back.creates().unwrap();
            let meant = (*transaction).clone().creates().unwrap();
            prop_assert_eq!(format!("{:#?}", as_read(made)), format!("{:#?}", as_read(meant)));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_sealed_batch_can_be_bound_to_a_generation_and_tells_its_mistakes() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let sealed = kept(&Socket::<Own>::seal(&proven(&plain(Vec::new()))).unwrap());
    let before = socket.generation().unwrap();
    socket.load_sealed(&sealed, Some(before)).unwrap();
    assert_eq!(socket.load_sealed(&sealed, Some(before)), Err(CommitError::Raced));
    without_table(&socket);

    // A table of that name with a set of another kind in the place of ours.
    load(&format!("table inet {TABLE} {{\nset ban4 {{ type ipv6_addr; }}\n}}\n"));
    let there = read(&socket);
    let Err(CommitError::Refused(refusals)) = socket.load_sealed(&sealed, None) else {
        panic!("the kernel takes a set twice");
    };
    let steps = unseal(&sealed).unwrap().steps;
    assert!(
        matches!(&steps[refusals[0].step.unwrap()], Step::AddSet(set) if set.name == "ban4"),
        "{refusals:?}"
    );
    assert_same(read(&socket), there);
}

fn plain(rules: Vec<doorward::resolve::model::Rule>) -> Resolved {
    use doorward::resolve::model::{DefaultRule, Defaults, Verdict};
    let default = |verdict| DefaultRule { verdict, origin: None };
    Resolved {
        rules,
        trust: Vec::new(),
        defaults: Defaults {
            r#in: default(Verdict::Block),
            out: default(Verdict::Allow),
            published: default(Verdict::Block),
            forward: default(Verdict::Block),
        },
        expects: Vec::new(),
        nat: Vec::new(),
        bridges: Vec::new(),
    }
}

/// A list of 100,000 networks: what a boot costs with `nft -f` of the same ruleset, and with what was sealed.
#[test]
#[ignore = "takes long: a measurement"]
fn a_long_list_is_back_sooner_than_from_text() {
    use doorward::net::{AddrSet, Family, Prefix};
    use doorward::report::Origin;
    use doorward::resolve::model::{Peers, Rule, Scope, Traffic, Verdict, Way};
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let networks = (0..100_000u128).map(|n| Prefix::around(Family::V4, (0x0b00_0000 + n * 512) | 1, 24));
    let origin = Origin { file: "policy.dw".into(), line: 1, sentence: "block from list".into() };
    let only = Some(std::sync::Arc::new(AddrSet::new(networks, [])));
    let transaction = proven(&plain(vec![Rule {
        origin,
        verdict: Verdict::Block,
        ways: vec![Way::In],
        traffic: vec![Traffic::Any],
        scope: Scope { from: Peers { only, except: None }, ..Scope::default() },
        limit: None,
        passive: None,
        log: false,
    }]));
    let file = Socket::<Own>::seal(&transaction).unwrap().to_bytes();
    let text = doorward::emit::nft_table(&(*transaction).clone().creates().unwrap());

    let began = Instant::now();
    let sealed = Sealed::from_bytes(&file).unwrap();
    let checked = began.elapsed();
    socket.load_sealed(&sealed, None).unwrap();
    let ours = began.elapsed();
    without_table(&socket);
    let began = Instant::now();
    load(&text);
    let theirs = began.elapsed();
    println!(
        "sealed: {} bytes, {ours:?} of which {checked:?} for the checksum; nft -f: {} bytes, {theirs:?}",
        file.len(),
        text.len()
    );
    assert!(ours < theirs);
}
