//! What is compiled is proven to mean what the policy says, for every packet there can be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod policies;

use doorward::compile::{Options, compile};
use doorward::meaning::Host;
use doorward::prove::{Claim, Difference, Facts, InTurn, Lens, check, compiled};
use doorward::resolve::{self, MemoryFiles, load, resolve};
use doorward::ruleset::{Elements, Table};
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fmt::Write;

/// With and without a connection from before the first load.
fn options(first: bool) -> Options {
    let pair = |text: &str| text.parse().unwrap();
    let carried = if first { vec![(pair("198.51.100.7:40000"), pair("192.0.2.1:22"))] } else { Vec::new() };
    Options { carried, ..Options::default() }
}

fn told(differences: &[Difference]) -> String {
    let mut text = String::new();
    for one in differences {
        let values: Vec<String> =
            one.example.values().iter().map(|(field, value)| format!("{field:?}={value:x}")).collect();
        let (meant, done) = (one.meant.word(), one.done.word());
        writeln!(text, "{:?} {:?} meant {meant}, done {done}: {}", one.family, one.place, values.join(" "))
            .unwrap();
    }
    text
}

#[test]
fn what_is_compiled_is_what_is_meant() {
    let cases = std::env::var("DOORWARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&(policy(prop::collection::vec(rule(), 0..14)), any::<bool>()), |(mut policy, first)| {
            for (line, rule) in (1u32..).zip(&mut policy.rules) {
                rule.origin.line = line;
            }
            let (_, found) = compiled(&policy, &Host::default(), &options(first), &InTurn);
            prop_assert_eq!(&found.unproven, &None);
            prop_assert!(found.differences.is_empty(), "{}", told(&found.differences));
            prop_assert!(found.mistranslated.is_empty(), "{:#?}", found.mistranslated);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Who passes a limit is marked, and was once compared as it had become: as no packet begins with that mark, whatever
/// else came through the limit was passed over.
#[test]
fn a_limit_lets_in_no_more_than_its_sentence() {
    let files = MemoryFiles::default().with("policy.dw", "allow ssh limit 6/minute\n");
    let (policy, _) = resolve(&load(&files, "policy.dw"), &resolve::Host::default());
    let policy = policy.unwrap();
    let (host, options) = (Host::default(), Options::default());
    let mut table = compile(&policy, &options);
    let facts = Facts { lens: Lens::of(&policy), ..Facts::default() };
    let proof = |table: &Table| {
        check(Claim { policy: &policy, table, host: &host, options: &options }, &facts, &InTurn)
    };
    assert!(proof(&table).is_equal());

    let set = table.sets.iter_mut().find(|set| set.name.contains("limited")).unwrap();
    let Elements::Full(elements) = &mut set.elements else { panic!("{set:?}") };
    let mut telnet = elements[0].clone();
    assert_eq!(telnet.key[4..6], [0, 22]);
    telnet.key[5] = 23;
    elements.push(telnet);
    let found = proof(&table);
    assert!(!found.is_equal());
    assert!(told(&found.differences).contains("meant block, done allow"), "{}", told(&found.differences));
}

/// Each sentence that translates is proven by itself: without its rule, with another end, and with more than it says.
#[test]
fn a_translation_is_what_its_sentence_says() {
    let text = "masquerade from 10.0.0.0/24 on eth0\nredirect 80/tcp to 8080\n\
                publish 2222/tcp to 10.0.0.5:22\npublish 3000-3999/udp to [fd00::5]:53\n";
    let files = MemoryFiles::default().with("policy.dw", text);
    let (policy, reports) = resolve(&load(&files, "policy.dw"), &resolve::Host::default());
    let policy = policy.unwrap_or_else(|| panic!("{reports:?}"));
    let (host, options) = (Host::default(), Options::default());
    let original = compile(&policy, &options);
    let facts = Facts { lens: Lens::of(&policy), ..Facts::default() };
    let proof = |change: &dyn Fn(&mut Table)| {
        let mut table = original.clone();
        change(&mut table);
        let found =
            check(Claim { policy: &policy, table: &table, host: &host, options: &options }, &facts, &InTurn);
        let words = |end: &Option<String>| end.clone().unwrap_or_else(|| "-".to_owned());
        let told =
            found.mistranslated.iter().map(|one| format!("{} / {}", words(&one.meant), words(&one.done)));
        told.collect::<Vec<_>>()
    };
    assert_eq!(proof(&|_| ()), Vec::<String>::new());
    fn elements<'t>(table: &'t mut Table, name: &str) -> &'t mut Vec<doorward::ruleset::Element> {
        let set = table.sets.iter_mut().find(|set| set.name == name).unwrap();
        let Elements::Full(list) = &mut set.elements else { panic!("{name}") };
        list
    }
    fn rules<'t>(table: &'t mut Table, name: &str) -> &'t mut Vec<doorward::ruleset::Rule> {
        &mut table.chains.iter_mut().find(|chain| chain.name == name).unwrap().rules
    }
    let gone = proof(&|table| elements(table, "g1_publish4").clear());
    assert_eq!(gone, ["leads this to 10.0.0.5 port 22 / -"]);
    let other = proof(&|table| {
        elements(table, "g1_publish4")[0].data =
            Some(doorward::ruleset::Data::Value(vec![10, 0, 0, 6, 0, 22, 0, 0]));
    });
    assert_eq!(
        other,
        [
            "leads this to 10.0.0.5 port 22 / leads this to 10.0.0.6 port 22",
            "leads this to 10.0.0.5 port 22 / leads this to 10.0.0.6 port 22"
        ]
    );
    let more = proof(&|table| {
        let more =
            doorward::ruleset::Element { key: vec![0, 81], ..elements(table, "g1_redirect_tcp")[0].clone() };
        elements(table, "g1_redirect_tcp").push(more);
    });
    assert_eq!(more, ["- / leads this to port 8080", "- / leads this to port 8080"], "of both families");
    let elsewhere = proof(&|table| drop(rules(table, "g1_dstnat").remove(0)));
    assert!(elsewhere.iter().all(|one| one.starts_with("- / leads this to")) && elsewhere.len() == 4);
    let masquerade = proof(&|table| drop(rules(table, "g1_srcnat4").remove(0)));
    assert!(
        !masquerade.is_empty() && masquerade.iter().all(|one| one == "sends this from its own address / -")
    );
    let dropped = proof(&|table| {
        let rule = doorward::ruleset::Rule::new(vec![doorward::ruleset::Expr::Verdict(
            doorward::ruleset::Verdict::Drop,
        )]);
        rules(table, "dstnat").insert(0, rule);
    });
    assert!(dropped.iter().any(|one| one == "leads this to 10.0.0.5 port 22 / does not let this through"));
    let unhooked = proof(&|table| rules(table, "srcnat").clear());
    assert!(!unhooked.is_empty());
}
