//! What is compiled is proven to mean what the policy says, for every packet there can be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod policies;

use doorward::compile::{Options, PENDING, compile};
use doorward::prove::{Difference, Facts, Lens, equal};
use doorward::resolve::model::Resolved;
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fmt::Write;

fn facts(policy: &Resolved) -> Facts {
    Facts { lens: Lens::of(policy), ..Facts::default() }
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
        .run(&policy(prop::collection::vec(rule(), 0..14)), |mut policy| {
            for (line, rule) in (1u32..).zip(&mut policy.rules) {
                rule.origin.line = line;
            }
            let table = compile(&policy, &Options::default());
            let found = equal(&policy, &[table], &facts(&policy), Some(PENDING)).unwrap();
            prop_assert!(found.differences.is_empty(), "{}", told(&found.differences));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
