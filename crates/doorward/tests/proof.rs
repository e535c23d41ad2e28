//! What is compiled is proven to mean what the policy says, for every packet there can be.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod policies;

use doorward::compile::Options;
use doorward::meaning::Host;
use doorward::prove::{Difference, InTurn, compiled};
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
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
