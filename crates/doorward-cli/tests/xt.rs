//! Rules of `iptables-nft` are read from the kernel, and mean what `tests/xt/*.txt` says of each.
//!
//! A line there is the family, what `iptables` is told, `=>`, and what the rule then has of iptables' own matches
//! and targets, or `native` where all of it became nftables. `UPDATE_GOLDEN=1 cargo test -p doorward-cli
//! --test xt` writes what stands behind the arrows anew; read the difference before you commit it.
#![allow(clippy::print_stdout, clippy::format_collect, clippy::unwrap_used, clippy::panic)]

#[path = "xt/agree.rs"]
mod agree;
#[path = "xt/corpus.rs"]
mod corpus;
#[path = "../../../tests/support/dumps.rs"]
mod dumps;
#[path = "xt/judged.rs"]
mod judged;
#[path = "../../doorward-kernel/tests/common/mod.rs"]
mod oracle;
#[path = "xt/packets.rs"]
mod packets;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use doorward::ruleset::{Base, Rule, TableFamily};
use doorward::xt::{self, Xt};
use doorward_kernel::Socket;
use oracle::{fresh, read, skip};

#[test]
fn rules_of_iptables() {
    if skip::without_root() {
        return;
    }
    let missing = compare("cases.txt");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Those whose modules are not in each kernel.
#[test]
fn rules_of_iptables_with_rare_modules() {
    if skip::without_root() {
        return;
    }
    for missing in compare("rare.txt") {
        skip::skip(&missing);
    }
}

/// Compares the cases of a file; those that do not load here.
fn compare(file: &str) -> Vec<String> {
    let (_own, socket) = fresh();
    let (mut found, mut missing) = (String::new(), Vec::new());
    let text = std::fs::read_to_string(path(file)).unwrap();
    let mut cases = cases(file, &socket).into_iter();
    for line in text.lines() {
        if is_no_case(line) {
            writeln!(found, "{line}").unwrap();
            continue;
        }
        match cases.next().unwrap() {
            (rule, Ok(case)) => writeln!(found, "{rule} => {}", told(&case)).unwrap(),
            (rule, Err(error)) => {
                writeln!(found, "{line}").unwrap();
                missing.push(format!("`{rule}` does not load: {error}"));
            }
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path(file), &found).unwrap();
    }
    for (expected, found) in text.lines().zip(found.lines()) {
        assert_eq!(expected, found, "expected, found");
    }
    missing
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xt").join(file)
}

fn is_no_case(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

/// A rule as the kernel shows it.
struct Case {
    text: String,
    family: TableFamily,
    /// Where its chain stands.
    base: Base,
    rule: Rule,
}

/// Adds the rules of a file one after another; with its text each one, or why it does not load.
fn cases(file: &str, socket: &Socket) -> Vec<(String, Result<Case, String>)> {
    let text = std::fs::read_to_string(path(file)).unwrap();
    let rules = text.lines().filter(|line| !is_no_case(line)).map(|line| line.split(" => ").next().unwrap());
    rules.map(|rule| (rule.to_owned(), add(socket, rule))).collect()
}

fn add(socket: &Socket, rule: &str) -> Result<Case, String> {
    let (family, args) = rule.split_once(' ').unwrap();
    let args = words(args);
    let program = if family == "6" { "ip6tables-nft" } else { "iptables-nft" };
    let output = Command::new(program)
        .args(&args)
        .output()
        .expect("this test loads rules with `iptables-nft`: install the package iptables");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "));
    }
    let after = |word: &str| args.iter().skip_while(|arg| *arg != word).nth(1).map(String::as_str);
    let (table, chain) = (after("-t").unwrap_or("filter"), after("-A").unwrap());
    let family = if family == "6" { TableFamily::Ip6 } else { TableFamily::Ip };
    let ruleset = read(socket);
    let table = ruleset.tables.iter().find(|one| one.family == family && one.name == table).unwrap();
    let chain = table.chain(chain).unwrap();
    let (base, rule_read) = (chain.base.clone().unwrap(), chain.rules.last().unwrap().clone());
    Ok(Case { text: rule.to_owned(), family, base, rule: rule_read })
}

/// What a rule has of iptables.
fn told(case: &Case) -> String {
    let values = values(case.family, &case.rule);
    if values.is_empty() { "native".to_owned() } else { values.join("; ") }
}

/// The words of a line, where quotes keep some together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        match index % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

fn values(family: TableFamily, rule: &Rule) -> Vec<String> {
    let value = |found| match found {
        Xt::Match(found) => format!("{found:?}"),
        Xt::Target(found) => format!("{found:?}"),
    };
    rule.exprs.iter().filter_map(|expr| xt::read(expr, family)).map(value).map(without_defaults).collect()
}

/// The text of a value without the fields that say nothing, of which some have a dozen.
fn without_defaults(mut text: String) -> String {
    for nothing in [": None", ": false"] {
        while let Some(at) = text.find(nothing) {
            let start = text[..at].rfind(' ').unwrap() + 1;
            let end = at + nothing.len();
            if text[end..].starts_with(", ") {
                text.replace_range(start..end + 2, "");
            } else {
                let before = if text[..start].ends_with(", ") { start - 2 } else { start };
                text.replace_range(before..end, "");
            }
        }
    }
    text.replace(" {  }", "")
}
