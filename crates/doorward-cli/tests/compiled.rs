//! Any policy compiles, the kernel takes the program and gives it back unchanged, and one replaces the other.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../doorward-kernel/tests/common/mod.rs"]
mod oracle;
#[path = "../../doorward/tests/policies/mod.rs"]
mod policies;

use doorward::compile::{Options, Running, TABLE, compile, counted, replace_with};
use doorward::ruleset::{Elements, Expr, Step, Table, TableFamily, Transaction, set_flags};
use doorward_kernel::{Scope as Where, Socket};
use oracle::{fresh, skip};
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

fn read(socket: &Socket) -> Table {
    let scope = Where::Table(TableFamily::Inet, TABLE.to_owned());
    let mut tables = socket.read(&scope).unwrap().ruleset.tables;
    assert_eq!(tables.len(), 1, "the table is there");
    tables.remove(0)
}

/// Without what differs from load to load: handles, orders, what is left of timeouts, templates of counters that the
/// kernel writes into each element, and the size that it gives to a set when packets may fill it.
fn comparable(mut table: Table) -> Table {
    table.chains.sort_by(|a, b| a.name.cmp(&b.name));
    table.sets.sort_by(|a, b| a.name.cmp(&b.name));
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        rule.handle = None;
    }
    for set in &mut table.sets {
        if set.flags & set_flags::EVAL != 0 {
            set.size = Some(set.room());
        }
        let mut elements = match std::mem::replace(&mut set.elements, Elements::Full(Vec::new())) {
            Elements::Full(list) => list,
            Elements::Plain(bytes) => bytes
                .chunks(set.key_len as usize)
                .map(|key| doorward::ruleset::Element::of(key.to_vec()))
                .collect(),
        };
        for element in &mut elements {
            element.expiration = None;
            if element.exprs == [(Expr::Counter { packets: 0, bytes: 0 })] {
                element.exprs.clear();
            }
        }
        elements.sort_by(|a, b| a.key.cmp(&b.key));
        set.elements = Elements::Full(elements);
    }
    table
}

fn steps_that_failed(transaction: &Transaction, error: &doorward_kernel::CommitError) -> String {
    let doorward_kernel::CommitError::Refused(refusals) = error else { return format!("{error:?}") };
    let steps: Vec<&Step> =
        refusals.iter().filter_map(|refusal| transaction.steps.get(refusal.step?)).take(3).collect();
    format!("{:?}\n{steps:#?}", refusals.iter().take(3).collect::<Vec<_>>())
}

/// Every program loads, reads back as it was sent, and every other one can take its place.
#[test]
fn the_kernel_takes_any_program_and_gives_it_back() {
    if skip::without_root() {
        return;
    }
    let (_own, socket) = fresh();
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let policies = policy(prop::collection::vec(rule(), 0..25));
    runner
        .run(&policies, |policy| {
            // The runner takes a closure that changes nothing, so what runs is read back each time.
            let scope = Where::Table(TableFamily::Inet, TABLE.to_owned());
            let before = socket.read_headers(&scope).unwrap().ruleset.tables;
            let running = before.first().map(Running::of).unwrap_or_default();
            let options = Options { generation: running.next_generation(), carried: Vec::new() };
            let table = compile(&policy, &options);
            let transaction = replace_with(&running, table.clone());
            if let Err(error) = socket.commit(&transaction, None) {
                return Err(TestCaseError::fail(steps_that_failed(&transaction, &error)));
            }
            let (sent, back) = (comparable(table), comparable(read(&socket)));
            prop_assert_eq!(sent.sets.len(), back.sets.len());
            for (mine, theirs) in sent.sets.iter().zip(&back.sets) {
                prop_assert_eq!(mine, theirs);
            }
            // A base chain that is not needed any more stays, empty.
            let kept: Vec<_> = back
                .chains
                .iter()
                .filter(|chain| !(chain.base.is_some() && chain.rules.is_empty()))
                .collect();
            let names = |chains: &[&doorward::ruleset::Chain]| -> Vec<String> {
                chains.iter().map(|chain| chain.name.clone()).collect()
            };
            let sent_chains: Vec<_> = sent.chains.iter().collect();
            prop_assert_eq!(names(&sent_chains), names(&kept));
            for (mine, theirs) in sent_chains.iter().zip(&kept) {
                prop_assert_eq!(&mine.base, &theirs.base);
                prop_assert_eq!(mine.rules.len(), theirs.rules.len(), "chain {}", mine.name);
                for (one, other) in mine.rules.iter().zip(&theirs.rules) {
                    prop_assert_eq!(one, other, "chain {}", mine.name);
                }
            }
            Ok(())
        })
        .unwrap();
}

/// Same policy, same program, byte for byte.
#[test]
fn programs_are_deterministic() {
    let mut runner = TestRunner::new(Config { cases: 50, failure_persistence: None, ..Config::default() });
    runner
        .run(&policy(prop::collection::vec(rule(), 0..15)), |policy| {
            let one = compile(&policy, &Options::default());
            prop_assert_eq!(&one, &compile(&policy, &Options::default()));
            prop_assert!(counted(&one).values().all(|hits| hits.packets == 0));
            Ok(())
        })
        .unwrap();
}

/// The text that `export` writes loads with `nft` and lists as our own load does, byte for byte.
#[test]
fn exported_text_is_the_same_ruleset() {
    if skip::without_root() {
        return;
    }
    let mut runner = TestRunner::new(Config { cases: 40, failure_persistence: None, ..Config::default() });
    runner
        .run(&policy(prop::collection::vec(rule(), 0..12)), |policy| {
            let (_own, socket) = fresh();
            let table = compile(&policy, &Options::default());
            socket.commit(&Transaction::create(&table), None).unwrap();
            let ours = nft(&["list", "ruleset"], "");
            let text = doorward::emit::nft_table(&table);
            let (_other, _socket) = fresh();
            nft(&["-f", "-"], &text);
            let theirs = nft(&["list", "ruleset"], "");
            prop_assert!(ours == theirs, "{}\n{text}", first_difference(&ours, &theirs));
            Ok(())
        })
        .unwrap();
}

fn nft(args: &[&str], text: &str) -> String {
    oracle::nft(args, text).unwrap_or_else(|words| panic!("nft {args:?}: {words}\n{text}"))
}

fn first_difference(one: &str, other: &str) -> String {
    let pair = one.lines().zip(other.lines()).find(|(a, b)| a != b);
    pair.map_or_else(|| "one is longer".to_owned(), |(a, b)| format!("ours:   {a}\ntheirs: {b}"))
}
