//! Real rulesets of iptables, from a folder that `DOORWARD_CORPUS` names: none of their extensions stays unknown.
//!
//! Takes what it finds below that folder: dumps of `iptables-save`, scripts whose lines begin with `$IPTABLES`, and
//! the test files of iptables (`*.t`). What does not load here is left out. Nothing of it is part of this project.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use doorward::ruleset::TableFamily;
use doorward::xt::{self, Match, Target, Xt};

use super::dumps;
use super::oracle::{fresh, read, skip};
use super::words;

/// Extensions whose meaning no packet shows, or that nobody uses.
const LEFT_OUT: &[&str] = &["match cluster", "match ipvs", "match osf", "match rateest"];

#[test]
fn rules_of_a_corpus() {
    if skip::without_root() {
        return;
    }
    let Some(folder) = std::env::var_os("DOORWARD_CORPUS") else {
        skip::skip("`DOORWARD_CORPUS` names no folder with rulesets of iptables");
        return;
    };
    let mut seen = Seen::default();
    for file in dumps::files(Path::new(&folder)) {
        seen.file(&file);
    }
    let mut unknown = seen.unknown.clone();
    unknown.retain(|name, _| !LEFT_OUT.contains(&name.as_str()));
    assert!(unknown.is_empty(), "unknown: {unknown:#?}\n{seen:#?}");
    assert!(!seen.known.is_empty(), "nothing of iptables in {seen:#?}");
}

/// What the files hold.
#[derive(Default, Debug)]
struct Seen {
    /// Dumps and scripts of which at least one rule was loaded.
    files: usize,
    rules: usize,
    /// Lines of scripts and tests that do not load.
    refused: usize,
    known: BTreeMap<String, usize>,
    unknown: BTreeMap<String, usize>,
}

impl Seen {
    fn file(&mut self, path: &Path) {
        let text = dumps::text(path);
        let (_own, socket) = fresh();
        if path.extension().is_some_and(|end| end == "t") {
            let six = path.file_name().unwrap().to_string_lossy().starts_with("libip6t");
            for command in commands_of_tests(&text) {
                self.refused += usize::from(run(six, &command).is_err());
            }
        } else if text.contains("$IPTABLES ") || text.contains("$IP6TABLES ") {
            for (six, command) in commands_of_script(&text) {
                self.refused += usize::from(run(six, &command).is_err());
            }
        } else if text.lines().any(|line| line.starts_with('*')) {
            let _ = dumps::loaders(&text).iter().any(|loader| loader.load(&text));
        }
        let before = self.rules;
        for table in &read(&socket).tables {
            for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
                self.rules += 1;
                rule.exprs
                    .iter()
                    .filter_map(|expr| xt::read(expr, table.family))
                    .for_each(|found| self.count(&found));
            }
            assert!(matches!(table.family, TableFamily::Ip | TableFamily::Ip6), "{}", table.name);
        }
        self.files += usize::from(self.rules > before);
    }

    fn count(&mut self, found: &Xt) {
        let (list, name) = match found {
            Xt::Match(Match::Unknown { name, .. }) => (&mut self.unknown, format!("match {name}")),
            Xt::Target(Target::Unknown { name, .. }) => (&mut self.unknown, format!("target {name}")),
            Xt::Match(found) => (&mut self.known, format!("{found:?}")),
            Xt::Target(found) => (&mut self.known, format!("{found:?}")),
        };
        // The name of the variant is what stands before the first sign.
        let end = name.find(|sign: char| !sign.is_alphanumeric() && sign != ' ').unwrap_or(name.len());
        *list.entry(name[..end].trim_end().to_owned()).or_default() += 1;
    }
}

/// A line `:CHAIN,CHAIN` of a test tells where, `*TABLE` in which table, the others what.
fn commands_of_tests(text: &str) -> Vec<Vec<String>> {
    let (mut chains, mut table) = (Vec::new(), "filter");
    let mut commands = Vec::new();
    for line in text.lines() {
        match line.split_at_checked(1) {
            Some((":", list)) => chains = list.split(',').collect(),
            Some(("*", name)) => table = name,
            Some((sign, _)) if sign != "#" && sign != "%" => {
                let rule = line.split(';').next().unwrap();
                let args = words(rule);
                commands.extend(chains.iter().map(|chain| {
                    let place = ["-t", table, "-A", chain].map(str::to_owned);
                    [place.to_vec(), args.clone()].concat()
                }));
            }
            _ => {}
        }
    }
    commands
}

fn commands_of_script(text: &str) -> Vec<(bool, Vec<String>)> {
    let command = |line: &str| {
        let line = line.trim_start();
        let four = line.strip_prefix("$IPTABLES ").map(|rest| (false, words(rest)));
        four.or_else(|| line.strip_prefix("$IP6TABLES ").map(|rest| (true, words(rest))))
    };
    text.lines().filter_map(command).collect()
}

fn run(six: bool, args: &[String]) -> Result<(), ()> {
    let program = if six { "ip6tables-nft" } else { "iptables-nft" };
    let output = Command::new(program).args(args).output().expect("install the package iptables");
    output.status.success().then_some(()).ok_or(())
}
