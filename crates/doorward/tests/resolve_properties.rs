//! What holds for every policy that is resolved: order, merging, size; and that no text makes it panic.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/resolved.rs"]
mod resolved;

use doorward::resolve::{Host, MemoryFiles, Resolved, list, load, resolve};
use proptest::prelude::*;
use proptest::sample::subsequence;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Sentences that make a policy in any order and number: the names are defined elsewhere.
const SENTENCES: [&str; 18] = [
    "allow ping",
    "allow ssh from office",
    "allow ssh from outside office except home limit 6/minute per source",
    "allow web, 8443/tcp",
    "allow ftp passive 50000-50100",
    "allow published 8080/tcp from office",
    "allow forward anything on docker0, br-*",
    "allow out dns, ntp",
    "block from spam",
    "block telnet except home",
    "reject 113/tcp log",
    "block out smtp except by user root",
    "block forward smtp to 10.0.0.0/8",
    "trust office",
    "trust 2001:db8:77::/48",
    "default block out, reject forward",
    "expect ssh from anyone except spam is allowed",
    "expect out mysql is blocked",
];

const NAMES: &str = "define office = 203.0.113.0/24, 2001:db8:10::/48\ndefine home = 192.0.2.1, 2001:db8::1\n\
                     define spam = file \"spam.txt\"\ndefine web = http, https, more\ndefine more = http3\n";

fn read(files: &[(&str, String)]) -> Resolved {
    let files = files.iter().fold(MemoryFiles::default(), |all, (path, text)| all.with(path, text));
    let files = files.with("names.dw", NAMES).with("spam.txt", "198.51.100.0/24\n2001:db8:bad::/48\n");
    let (policy, reports) =
        resolve(&load(&files, "policy.dw"), &resolved::parse_host("interface eth0\nuser root 0\n"));
    policy.unwrap_or_else(|| panic!("{reports:?}"))
}

/// Everything but places and order.
fn meaning(policy: &Resolved) -> (Vec<String>, String) {
    let mut sentences: Vec<String> = Vec::new();
    sentences.extend(policy.rules.iter().map(|r| {
        format!(
            "{} {:?} {:?} {:?} {:?} {:?} {:?} {}",
            r.origin.sentence, r.verdict, r.ways, r.traffic, r.scope, r.limit, r.passive, r.log
        )
    }));
    sentences.extend(policy.trust.iter().map(|t| format!("{} {:?}", t.origin.sentence, t.who)));
    sentences.extend(
        policy.expects.iter().map(|e| {
            format!("{} {:?} {:?} {:?} {}", e.origin.sentence, e.way, e.traffic, e.scope, e.allowed)
        }),
    );
    sentences.sort();
    let d = &policy.defaults;
    let defaults = [&d.r#in, &d.out, &d.published, &d.forward].map(|d| d.verdict);
    (sentences, format!("{defaults:?}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any sentences in any order, over any number of files, mean what they mean in one file.
    #[test]
    fn order_and_files_never_matter(
        (plain, shuffled) in subsequence(SENTENCES.to_vec(), 0..=SENTENCES.len())
            .prop_flat_map(|some| (Just(some.clone()), Just(some).prop_shuffle())),
        cut in any::<prop::sample::Index>(),
        names_first in any::<bool>(),
    ) {
        let one = read(&[("policy.dw", format!("include \"names.dw\"\n{}\n", plain.join("\n")))]);
        let (first, second) = shuffled.split_at(cut.index(shuffled.len() + 1));
        let mut lines = ["include \"policy.d\"", "include \"names.dw\""];
        if names_first {
            lines.reverse();
        }
        let three = read(&[
            ("policy.dw", format!("{}\n{}\n", first.join("\n"), lines.join("\n"))),
            ("policy.d/00.dw", "include \"../names.dw\"\n".to_owned()),
            ("policy.d/10.dw", second.join("\n")),
        ]);
        prop_assert_eq!(meaning(&one), meaning(&three));
    }

    /// Whatever words stand in a row: reports, never a panic; and either a policy or an error.
    #[test]
    fn no_words_make_it_panic(
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(WORDS.to_vec()), 1..9), 1..12)
    ) {
        let text = lines.iter().map(|words| words.join(" ")).collect::<Vec<_>>().join("\n");
        let files = MemoryFiles::default().with("policy.dw", &text).with("a", "192.0.2.1\nx\n").with("b.dw", &text);
        let loaded = load(&files, "policy.dw");
        let (policy, reports) = resolve(&loaded, &Host::default());
        let errors = reports.iter().filter(|r| r.severity == doorward::report::Severity::Error).count();
        prop_assert_eq!(policy.is_none(), errors > 0, "{}\n{:?}", text, reports);
        for report in &reports {
            prop_assert!(!report.render(&loaded.sources).is_empty());
        }
        if let Some(policy) = policy {
            prop_assert!(!list(&loaded, &policy).is_empty());
        }
    }
}

const WORDS: [&str; 52] = [
    "allow",
    "block",
    "reject",
    "trust",
    "define",
    "default",
    "expect",
    "include",
    "in",
    "out",
    "published",
    "forward",
    "from",
    "to",
    "except",
    "outside",
    "anyone",
    "anything",
    "on",
    "by",
    "user",
    "root",
    "limit",
    "6/minute",
    "per",
    "source",
    "passive",
    "50000-50100",
    "helper",
    "log",
    "is",
    "allowed",
    "blocked",
    "ssh",
    "ftp",
    "22/tcp",
    "ping",
    "icmp",
    "echo-request",
    "protocol",
    "gre",
    "192.0.2.1",
    "2001:db8::/32",
    "0.0.0.0/0",
    "a",
    "b",
    "=",
    ",",
    "file",
    "\"a\"",
    "\"b.dw\"",
    "interface",
];

/// 20,000 sentences, half of them IPv6, and a chain of 20,000 names: no recursion, nothing quadratic.
#[test]
fn large_policies() {
    let mut text = String::new();
    for n in 0..5_000u32 {
        let (a, b) = (n / 250, n % 250);
        writeln!(text, "allow ssh from 10.{a}.{b}.0/{}", 24 + n % 9).unwrap();
        writeln!(text, "block from 192.{a}.{b}.0/{}", 24 + n % 9).unwrap();
        writeln!(text, "allow https from 2001:db8:{n:x}::/{}", 48 + n % 17).unwrap();
        writeln!(text, "block from 2001:db9:{n:x}::/{}", 48 + n % 17).unwrap();
    }
    for n in 0..20_000u32 {
        writeln!(text, "define n{n} = n{}", n + 1).unwrap();
    }
    writeln!(text, "define n20000 = 172.16.0.1\nallow http from n0").unwrap();
    let files = MemoryFiles::default().with("policy.dw", &text);
    let start = Instant::now();
    let (policy, reports) = resolve(&load(&files, "policy.dw"), &Host::default());
    let took = start.elapsed();
    assert_eq!(reports, []);
    assert_eq!(policy.unwrap().rules.len(), 20_001);
    let bound = if cfg!(debug_assertions) { 60 } else { 2 };
    assert!(took < Duration::from_secs(bound), "{took:?}");
}

/// A policy that a program wrote, with the same thousand times over, is no flood of warnings.
#[test]
fn needless_sentences_are_no_flood() {
    let files = MemoryFiles::default().with("policy.dw", &"allow ssh from 192.0.2.1\n".repeat(1000));
    let (policy, reports) = resolve(&load(&files, "policy.dw"), &Host::default());
    assert!(policy.is_some());
    assert_eq!(reports.len(), 50);
    let last = reports.last().unwrap();
    assert_eq!(last.ways_out.last().unwrap(), "949 more sentences never match or change nothing");
}

/// Thousands of names that nobody defined cost no search each.
#[test]
fn thousands_of_unknown_names() {
    let mut text = String::new();
    for n in 0..3000 {
        writeln!(text, "define known-name-{n} = 192.0.2.1\nallow ssh from unknown-name-{n}").unwrap();
    }
    let start = Instant::now();
    let (policy, reports) =
        resolve(&load(&MemoryFiles::default().with("policy.dw", &text), "policy.dw"), &Host::default());
    assert!(policy.is_none());
    assert_eq!(reports.len(), 3000);
    assert!(start.elapsed() < Duration::from_mins(1), "{:?}", start.elapsed());
}
