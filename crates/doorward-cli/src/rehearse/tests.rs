//! Each built-in promise is tried in a way that can fail: a program without its rule is found out.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::{Options, Rehearsal, rehearse};
use crate::skip;
use doorward::compile::{self, compile};
use doorward::resolve::{self, MemoryFiles, Resolved};
use doorward::ruleset::{Rule, Table, comment_of, udata_kind};

const POLICY: &str = "allow ping\nallow ssh\nreject 113/tcp\nallow published 8080/tcp\n";

fn policy() -> Resolved {
    let files = MemoryFiles::default().with("policy.dw", POLICY);
    let loaded = resolve::load(&files, "policy.dw");
    resolve::resolve(&loaded, &resolve::Host::default()).0.unwrap()
}

fn try_with(table: &Table) -> Rehearsal {
    rehearse(&policy(), table, &Options::default(), |_| ())
        .unwrap_or_else(|failure| panic!("{}", failure.message()))
}

/// The program without some of its rules; at least one must go.
fn without(is_out: impl Fn(&Rule) -> bool) -> Table {
    let mut table = compile(&policy(), &compile::Options::default());
    let count = |table: &Table| table.chains.iter().map(|chain| chain.rules.len()).sum::<usize>();
    let before = count(&table);
    for chain in &mut table.chains {
        chain.rules.retain(|rule| !is_out(rule));
    }
    assert!(count(&table) < before, "no such rule");
    table
}

fn words(rule: &Rule) -> String {
    comment_of(udata_kind::RULE_COMMENT, &rule.udata).unwrap_or_default()
}

fn finds(rehearsal: &Rehearsal, row: &str) {
    assert!(!rehearsal.agrees(), "{row}");
    let found: Vec<&str> = rehearsal.disagreements.iter().map(|one| one.words.as_str()).collect();
    assert!(found.iter().any(|words| words.contains(row)), "{row}: {found:?}");
}

#[test]
fn the_whole_program_agrees_and_this_thread_comes_home() {
    if skip::without_root() {
        return;
    }
    let here = || doorward_kernel::netns::NetNs::current().unwrap().id().unwrap();
    let before = here();
    let rehearsal = try_with(&compile(&policy(), &compile::Options::default()));
    assert!(rehearsal.agrees(), "{:?}", rehearsal.disagreements);
    assert_eq!(here(), before);
}

#[test]
fn each_missing_rule_is_found() {
    if skip::without_root() {
        return;
    }
    for (rule, row) in [
        ("built in: nobody else has our addresses", "own addresses from outside"),
        ("built in: a new TCP connection starts with a SYN alone", "does not begin with a SYN"),
        ("built in: DHCP", "DHCP"),
        ("built in: neighbour discovery", "neighbour discovery"),
        ("built in: multicast listeners", "multicast listeners"),
        ("built in: resets of what is rejected", "reject 113/tcp"),
    ] {
        let table = without(|one| words(one).contains(rule));
        finds(&try_with(&table), row);
    }
    finds(&try_with(&without(|rule| words(rule) == "built in: loopback")), "built in: loopback");
    // 127.0.0.1 is an own address as well: either rule alone keeps it out.
    let neither = without(|rule| {
        words(rule).contains("loopback addresses stay")
            || words(rule).contains("nobody else has our addresses")
    });
    finds(&try_with(&neither), "loopback addresses from outside");
}

#[test]
fn answers_are_listened_for() {
    if skip::without_root() {
        return;
    }
    // The first rule of a base chain lets established connections pass.
    let mut table = compile(&policy(), &compile::Options::default());
    table.chains.iter_mut().filter(|chain| chain.name == "input").for_each(|chain| {
        chain.rules.remove(0);
    });
    let rehearsal = try_with(&table);
    finds(&rehearsal, "answers to what this host opens");
    finds(&rehearsal, "what was let in goes on");
}
