//! Rulesets of others, from the folders that `DOORWARD_CORPUS` names: loaded by their own programs, read back by
//! ours, and compared like any other; none of them is part of this project.

use crate::compare::{compare, stories};
use crate::dice::Dice;
use crate::dumps;
use crate::fields::{Ask, Field, tests};
use crate::lab::Lab;
use crate::opinion::OPINIONS;
use crate::oracle;
use crate::packets::Packets;
use crate::rulesets::HOOKS;
use crate::tally::Tally;
use crate::trial::Trial;
use crate::world::{DEVICES, World};
use doorward::ruleset::{Elements, MetaKey, Ruleset, Step, Transaction};
use doorward_kernel::{Scope, Socket};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;

/// Interfaces of one network; a ruleset that names more is tried with these.
const MOST_DEVICES: usize = 8;
/// A packet costs the machine of a debug build a microsecond a rule.
const MOST_RULES: usize = if cfg!(debug_assertions) { 1_500 } else { 20_000 };

/// What a folder gave.
#[derive(Default)]
pub(crate) struct Folder {
    pub(crate) files: usize,
    pub(crate) left_out: usize,
    pub(crate) tally: Tally,
}

/// Of the packets of a folder, so many must be decided, in percent.
pub(crate) const DECIDED: f64 = 90.0;

/// What stands above the lines of the folders.
pub(crate) fn head() -> String {
    format!(
        "{:32} {:>5} {:>8} {:>8} {:>8} {:>12} {:>8} {:>6}",
        "folder", "files", "left out", "rulesets", "packets", "interpreter", "prover", "wrong"
    )
}

impl Folder {
    /// What it gave in one line, with the shares of packets that were decided.
    pub(crate) fn line(&self, name: &str) -> String {
        let tally = &self.tally;
        let share = |who| match tally.asked(who) {
            0 => "-".to_owned(),
            _ => format!("{:.1} %", tally.decided(who)),
        };
        format!(
            "{name:32} {:5} {:8} {:8} {:8} {:>12} {:>8} {:6}\n",
            self.files,
            self.left_out,
            tally.rulesets,
            tally.met,
            share("interpreter"),
            share("prover"),
            tally.mismatches.len()
        )
    }
}

/// Tries everything below a folder: so many packets for each hook of each ruleset.
pub(crate) fn run(root: &Path, packets: usize, lab: &dyn Fn(&[&str]) -> Lab) -> BTreeMap<String, Folder> {
    let mut folders: BTreeMap<String, Folder> = BTreeMap::new();
    let mut lab_now: Option<(Vec<String>, Lab)> = None;
    for path in dumps::files(root) {
        let text = dumps::text(&path);
        let loaders = dumps::loaders(&text);
        if loaders.is_empty() {
            continue;
        }
        let folder = path.parent().unwrap().strip_prefix(root).unwrap().display().to_string();
        let folder = folders.entry(folder).or_default();
        folder.files += 1;
        let (own, socket) = oracle::fresh();
        let Some(loader) = loaders.iter().find(|loader| loader.load(&text)) else { continue };
        let Some(ruleset) = read(&socket) else {
            folder.left_out += 1;
            continue;
        };
        drop((socket, own));
        if rules(&ruleset) > MOST_RULES {
            folder.left_out += 1;
            continue;
        }
        let names = names(&ruleset);
        if lab_now.as_ref().is_none_or(|(known, _)| names.iter().any(|name| !known.contains(name))) {
            let refs: Vec<&str> = names.iter().map(String::as_str).collect();
            lab_now.replace((names.clone(), lab(&refs)));
        }
        let (_, lab) = lab_now.as_ref().unwrap();
        lab.enter();
        if !loader.load(&text) {
            folder.left_out += 1;
            continue;
        }
        let what = path.strip_prefix(root).unwrap().display().to_string();
        folder.tally.add(one(lab, &what, packets));
    }
    folders
}

/// The ruleset that is loaded in the network, against the kernel.
fn one(lab: &Lab, what: &str, packets: usize) -> Tally {
    let ruleset = read(&lab.socket).expect("it was read before");
    let mut dice = Dice::new(what.bytes().fold(0, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte)));
    let world = World::new(&mut dice, lab.kernel.devices.clone());
    let mut tally = Tally { rulesets: 1, ..Tally::default() };
    let mut trial = Trial::of_loaded(lab, &ruleset);
    let mut wrong = Vec::new();
    for hook in HOOKS {
        let drafts = Packets::of(&ruleset, &world, hook, true).make(&mut dice, packets);
        let (part, bad) = compare(&mut trial, &ruleset, hook, &drafts, &lab.kernel, OPINIONS);
        tally.add(part);
        if !bad.is_empty() {
            wrong.push((drafts, bad));
        }
    }
    tally.spent = trial.spent;
    drop(trial);
    for table in &ruleset.tables {
        let mut transaction = Transaction::on(table.family, &table.name);
        transaction.steps.push(Step::DeleteTable);
        lab.socket.commit(&transaction, None).unwrap();
    }
    for (drafts, bad) in wrong {
        tally.mismatches.extend(stories(lab, what, &ruleset, &drafts, &bad, OPINIONS));
    }
    tally
}

/// What is loaded, if it is all known: the elements of very large sets are not read.
fn read(socket: &Socket) -> Option<Ruleset> {
    let snapshot = socket.read(&Scope::All).ok()?;
    (snapshot.unread.is_empty() && !snapshot.ruleset.tables.is_empty()).then_some(snapshot.ruleset)
}

fn rules(ruleset: &Ruleset) -> usize {
    ruleset.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum()
}

/// Interfaces that a ruleset names, and some that it does not.
fn names(ruleset: &Ruleset) -> Vec<String> {
    let mut found = BTreeSet::new();
    for table in &ruleset.tables {
        for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
            for test in tests(table, rule) {
                for part in test.parts {
                    if !matches!(part.field, Field::Meta(MetaKey::Iifname | MetaKey::Oifname)) {
                        continue;
                    }
                    let mut add = |value: &[u8]| {
                        found.extend(value.get(part.at..).and_then(name));
                    };
                    match test.ask {
                        Ask::Cmp(_, value) => add(value),
                        Ask::Lookup(set, ..) => {
                            if let Elements::Full(list) = &set.elements {
                                for element in list {
                                    add(&element.key);
                                }
                            }
                        }
                        Ask::Range(..) => {}
                    }
                }
            }
        }
    }
    let mut names: Vec<String> = found.into_iter().take(MOST_DEVICES - 2).collect();
    for usual in DEVICES {
        if names.len() < 3 && !names.iter().any(|name| name == usual) {
            names.push(usual.to_owned());
        }
    }
    names
}

/// A name that an interface can have; the beginning of one is made whole.
fn name(value: &[u8]) -> Option<String> {
    let value = &value[..value.len().min(16)];
    let end = value.iter().position(|byte| *byte == 0);
    let mut text = String::from_utf8(value[..end.unwrap_or(value.len())].to_vec()).ok()?;
    if end.is_none() {
        text.push('7');
    }
    let fits = (1..16).contains(&text.len()) && text != "lo" && text != "." && text != "..";
    (fits && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':')).then_some(text)
}
