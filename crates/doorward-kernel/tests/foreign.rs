//! Rulesets that `nft` loaded are read, sent into another namespace, and listed the same there.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{assert_same, fresh, listed, load, read, skip};
use doorward::ruleset::{Expr, Transaction};

/// Loads with `nft`, copies by way of our own types, and compares `nft`'s listings and our readings.
fn survives(text: &str) -> doorward::ruleset::Ruleset {
    let (_source, socket) = fresh();
    load(text);
    let before = listed();
    let ruleset = read(&socket);
    let (_target, socket) = fresh();
    for table in &ruleset.tables {
        if let Err(error) = socket.commit(&Transaction::create(table), None) {
            panic!("{error:?}\n{before}\n{table:#?}");
        }
    }
    assert_eq!(listed(), before);
    assert_same(read(&socket), ruleset.clone());
    ruleset
}

fn unknown(ruleset: &doorward::ruleset::Ruleset) -> Vec<String> {
    let rules = ruleset.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
    let mut names: Vec<String> = rules
        .flat_map(|rule| &rule.exprs)
        .filter_map(|expr| match expr {
            Expr::Unknown { name, .. } => Some(name.clone()),
            _ => None,
        })
        .collect();
    names.dedup();
    names
}

#[test]
fn a_host_firewall() {
    if skip::without_root() {
        return;
    }
    let ruleset = survives(include_str!("foreign/host.nft"));
    assert!(unknown(&ruleset).is_empty(), "{:?}", unknown(&ruleset));
}

#[test]
fn translation_objects_and_rare_things() {
    if skip::without_root() {
        return;
    }
    let names = unknown(&survives(include_str!("foreign/rare.nft")));
    assert!(names.contains(&"numgen".to_owned()), "{names:?}");
}
