//! Two policies and what changes from one to the other, in sentences: one idea a folder.
//!
//! What is compared is the same whether the older one is a text or its table, told by the names of its sets.
//! `UPDATE_GOLDEN=1` writes what is said now into `expected.txt`: read the difference before it is kept.

#![allow(clippy::unwrap_used, clippy::panic)]

mod policies;

use doorward::compile::{Options, compile};
use doorward::meaning::{Connection, Host, Limits, judge, translate};
use doorward::net::{AddrSet, Prefix, Translated};
use doorward::prove::{Changes, Facts, InTurn, Kind, Lens, Names, Side, Telling, Told, changes, told};
use doorward::resolve::model::{Resolved, Verdict};
use doorward::resolve::{self, MemoryFiles, load, named_addresses};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fmt::Write;
use std::path::{Path, PathBuf};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/changes");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 10, "the cases are missing");
    cases
}

/// A policy and the names that it gives.
fn policy(folder: &Path, name: &str, own: &AddrSet) -> (Resolved, Names) {
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let loaded = load(&MemoryFiles::default().with("policy.dw", &text), "policy.dw");
    let (policy, reports) = resolve::resolve(&loaded, &resolve::Host::default());
    let policy = policy.unwrap_or_else(|| panic!("{}: {reports:?}", folder.display()));
    (policy, Names::new(named_addresses(&loaded), own))
}

fn own() -> AddrSet {
    let own = ["192.0.2.1", "203.0.113.2", "2001:db8:10::2"];
    AddrSet::new(own.map(|text| Prefix::parse(text).unwrap()), [])
}

fn text(changes: &Changes, names: &Names) -> String {
    let mut text = String::new();
    for told in told(changes, names, Telling::Change) {
        writeln!(text, "{}\n  for example: {}", told.sentence(), told.example).unwrap();
    }
    assert!(!changes.more, "{text}");
    if text.is_empty() { "nothing changes\n".to_owned() } else { text }
}

#[test]
fn changes_are_told() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let mut wrong = Vec::new();
    for folder in cases() {
        let (old, _) = policy(&folder, "old.dw", &own());
        let (new, names) = policy(&folder, "new.dw", &own());
        let found = changes(Side::Policy(&old), Side::Policy(&new), &own(), &InTurn).unwrap();
        let said = text(&found, &names);
        let path = folder.join("expected.txt");
        if update {
            std::fs::write(&path, &said).unwrap();
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", path.display()));
        }
        examples_are_true(&old, &new, found.list.iter().map(|one| (one.kind, &one.example)));
        let told = told(&found, &names, Telling::Change);
        examples_are_true(&old, &new, told.iter().map(|one| (one.kind, &one.example)));
        // The same from its table, and nothing from its own table to itself.
        let table = compile(&old, &Options::default());
        let facts = Facts { lens: Lens::by_names(&table), ..Facts::default() };
        let held = Side::Tables(std::slice::from_ref(&table), &facts);
        let of_table = changes(held, Side::Policy(&new), &own(), &InTurn).unwrap();
        assert_eq!(text(&of_table, &names), said, "{}", folder.display());
        let nothing = changes(held, Side::Policy(&old), &own(), &InTurn).unwrap();
        assert_eq!(nothing, Changes::default(), "{}", folder.display());
    }
    assert!(wrong.is_empty(), "{}\nUPDATE_GOLDEN=1 writes them anew", wrong.join("\n"));
}

/// The plain judge, which asks each sentence about one connection, says the same of every example.
fn examples_are_true<'a>(
    old: &Resolved,
    new: &Resolved,
    found: impl Iterator<Item = (Kind, &'a Connection)>,
) {
    let host = Host { own: vec!["192.0.2.1".parse().unwrap(), "203.0.113.2".parse().unwrap()] };
    for (kind, example) in found {
        let passes =
            |policy: &Resolved, limits| judge(policy, &host, example, limits).verdict == Verdict::Allow;
        let best = (passes(old, Limits::Unspent), passes(new, Limits::Unspent));
        let worst = (passes(old, Limits::Spent), passes(new, Limits::Spent));
        let holds = match kind {
            Kind::Opens => best == (false, true),
            Kind::Shuts => best == (true, false),
            Kind::Limits => best == (true, true) && worst == (true, false),
            Kind::Unlimits => best == (true, true) && worst == (false, true),
            Kind::Relimits => best == (true, true) && worst == (false, false),
            Kind::Leads => ends(old, &host, example) != ends(new, &host, example),
        };
        assert!(holds, "{kind:?} {example}: {best:?} {worst:?}");
    }
}

/// What becomes of both ends of a connection that arrives.
fn ends(policy: &Resolved, host: &Host, connection: &Connection) -> [Option<Translated>; 2] {
    // Whoever is translated as it arrives has addressed this host.
    let addressed = Host { own: [host.own.as_slice(), &[connection.addressed()]].concat() };
    let led = translate::led(policy, &addressed, connection).map(|(to, _)| to);
    let hidden = translate::masqueraded(policy, connection).map(|_| Translated::MASQUERADE);
    [led, hidden]
}

/// Whether the older side is a policy or its table makes no difference, and every example is true.
#[test]
fn any_policies_and_their_tables() {
    let cases = std::env::var("DOORWARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let one = || policies::policy(prop::collection::vec(policies::rule(), 0..8));
    let nobody = AddrSet::empty();
    runner
        .run(&(one(), one(), any::<bool>()), |(old, mut new, alike)| {
            if alike {
                // Most of it stays.
                new.rules.truncate(1);
                new.rules.extend(old.rules.iter().skip(1).cloned());
                new.defaults = old.defaults.clone();
            }
            let found = changes(Side::Policy(&old), Side::Policy(&new), &nobody, &InTurn).unwrap();
            let examples = found.list.iter().map(|one| (one.kind, &one.example));
            examples_are_true(&old, &new, examples);
            let told = told(&found, &Names::default(), Telling::Change);
            examples_are_true(&old, &new, told.iter().map(|one| (one.kind, &one.example)));
            let table = compile(&old, &Options::default());
            let facts = Facts { lens: Lens::by_names(&table).and(&old), ..Facts::default() };
            let held = Side::Tables(std::slice::from_ref(&table), &facts);
            prop_assert_eq!(changes(held, Side::Policy(&old), &nobody, &InTurn).unwrap(), Changes::default());
            let of_table = changes(held, Side::Policy(&new), &nobody, &InTurn).unwrap();
            prop_assert_eq!(sentences(&of_table), sentences(&found));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn sentences(changes: &Changes) -> Vec<String> {
    told(changes, &Names::default(), Telling::Change).iter().map(Told::sentence).collect()
}
