//! The kernel's verdict beside every opinion, and a mismatch made as small as it gets; makes no packets.

use crate::draft::Draft;
use crate::lab::Lab;
use crate::opinion::Maker;
use crate::tally::Tally;
use crate::trial::{Judged, Trial, describe, judging};
use doorward::emit;
use doorward::ruleset::{Data, Elements, Expr, Hook, Ruleset, Table, Verdict};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Mismatches of one ruleset that are told; more say no more.
const TOLD: usize = 2;
/// Rulesets that are tried to make one smaller.
const TRIES: usize = 300;

/// An opinion that the kernel does not share.
pub(crate) struct Mismatch {
    pub(crate) opinion: &'static str,
    /// The whole story.
    pub(crate) story: String,
}

/// Packets of one hook, sent and compared.
pub(crate) fn compare(trial: &mut Trial, ruleset: &Ruleset, hook: Hook, drafts: &[Draft], makers: &[Maker]) -> (Tally, Vec<Wrong>) {
    let judged = trial.judge(hook, drafts);
    let judging = judging(ruleset, hook);
    let mut tally = Tally {
        met: judged.len(),
        passed: judged.iter().filter(|one| one.passed).count(),
        sent: drafts.len(),
        ..Tally::default()
    };
    let mut wrong = Vec::new();
    for (number, maker) in makers.iter().enumerate() {
        let opinion = maker(&judging);
        let undecided = tally.undecided.entry(opinion.name()).or_default();
        for one in &judged {
            match opinion.accepts(&one.packet) {
                None => *undecided += 1,
                Some(accepts) if accepts == one.passed => {}
                Some(_) => wrong.push(Wrong { maker: number, name: opinion.name(), judged: one.clone() }),
            }
        }
    }
    (tally, wrong)
}

/// A packet of which somebody thinks otherwise than the kernel.
#[derive(Clone)]
pub(crate) struct Wrong {
    maker: usize,
    name: &'static str,
    judged: Judged,
}

/// The stories of what went wrong at a ruleset that `lab` can load.
pub(crate) fn stories(lab: &Lab, what: &str, ruleset: &Ruleset, drafts: &[Draft], wrong: &[Wrong], makers: &[Maker]) -> Vec<Mismatch> {
    let mut stories = Vec::new();
    for (at, one) in wrong.iter().enumerate() {
        let story = if at < TOLD {
            let draft = &drafts[one.judged.draft];
            let small = shrink(lab, ruleset, draft, makers[one.maker]);
            tell(lab, what, &small, draft, one, makers)
        } else {
            String::new()
        };
        stories.push(Mismatch { opinion: one.name, story });
    }
    stories
}

/// A story of a ruleset that cannot be loaded again, as it is.
pub(crate) fn plain_story(what: &str, ruleset: &Ruleset, wrong: &Wrong) -> Mismatch {
    let kernel = if wrong.judged.passed { "passed" } else { "dropped" };
    let mut story = format!("{what}\n{} says otherwise than the kernel: {kernel}\n", wrong.name);
    let _ = writeln!(story, "{}", describe(&wrong.judged.packet));
    let rules: usize = ruleset.tables.iter().flat_map(|table| &table.chains).map(|chain| chain.rules.len()).sum();
    if rules <= 60 {
        story.push_str(&emit::nft(ruleset));
    }
    Mismatch { opinion: wrong.name, story }
}

fn tell(lab: &Lab, what: &str, small: &Ruleset, draft: &Draft, wrong: &Wrong, makers: &[Maker]) -> String {
    let mut story = format!("{what}: {} is not the kernel's opinion\n", wrong.name);
    story.push_str(&emit::nft(small));
    for table in &small.tables {
        for chain in &table.chains {
            for rule in &chain.rules {
                let _ = writeln!(story, "  {} {}: {:?}", table.name, chain.name, rule.exprs);
            }
        }
        for set in &table.sets {
            let _ = writeln!(story, "  {} set {}: flags {:#x} {:?}", table.name, set.name, set.flags, set.elements);
        }
    }
    let again = Trial::load(lab, small).map(|mut trial| trial.judge(draft.hook, std::slice::from_ref(draft)));
    if let Ok([judged]) = again.as_deref() {
        let _ = writeln!(story, "kernel: {}", if judged.passed { "passed" } else { "dropped" });
        let judging = judging(small, draft.hook);
        for maker in makers {
            let opinion = maker(&judging);
            let _ = writeln!(story, "{}: accepts {:?}", opinion.name(), opinion.accepts(&judged.packet));
        }
        let _ = writeln!(story, "{}", describe(&judged.packet));
    } else {
        let _ = writeln!(story, "{}", describe(&wrong.judged.packet));
    }
    story
}

/// The smallest ruleset found in which this packet still shows the difference.
fn shrink(lab: &Lab, ruleset: &Ruleset, draft: &Draft, maker: Maker) -> Ruleset {
    let mut small = ruleset.clone();
    small.tables.iter_mut().for_each(forget_unused);
    if !differs(lab, &small, draft, maker) {
        return small;
    }
    let mut tries = 0;
    loop {
        let smaller = candidates(&small).into_iter().find(|candidate| {
            tries += 1;
            tries < TRIES && differs(lab, candidate, draft, maker)
        });
        match smaller {
            Some(smaller) => small = smaller,
            None => return small,
        }
    }
}

fn differs(lab: &Lab, ruleset: &Ruleset, draft: &Draft, maker: Maker) -> bool {
    let Ok(mut trial) = Trial::load(lab, ruleset) else { return false };
    let judged = trial.judge(draft.hook, std::slice::from_ref(draft));
    let judging = judging(ruleset, draft.hook);
    let opinion = maker(&judging);
    judged.iter().any(|one| opinion.accepts(&one.packet).is_some_and(|accepts| accepts != one.passed))
}

/// All rulesets with one thing less: the largest things first.
fn candidates(ruleset: &Ruleset) -> Vec<Ruleset> {
    let mut list = Vec::new();
    let mut with = |change: &dyn Fn(&mut Ruleset)| {
        let mut smaller = ruleset.clone();
        change(&mut smaller);
        smaller.tables.iter_mut().for_each(forget_unused);
        list.push(smaller);
    };
    let tables = ruleset.tables.len();
    for at in (0..tables).filter(|_| tables > 1) {
        with(&|smaller| drop(smaller.tables.remove(at)));
    }
    for (at, table) in ruleset.tables.iter().enumerate() {
        for chain in 0..table.chains.len() {
            with(&|smaller| remove_chain(&mut smaller.tables[at], chain));
        }
    }
    for (at, table) in ruleset.tables.iter().enumerate() {
        for (chain, rules) in table.chains.iter().map(|chain| chain.rules.len()).enumerate() {
            if rules > 3 {
                for half in [0..rules / 2, rules / 2..rules] {
                    with(&|smaller| drop(smaller.tables[at].chains[chain].rules.drain(half.clone())));
                }
            }
            for rule in 0..rules {
                with(&|smaller| drop(smaller.tables[at].chains[chain].rules.remove(rule)));
            }
        }
    }
    for (at, table) in ruleset.tables.iter().enumerate() {
        for (chain, one) in table.chains.iter().enumerate() {
            for (number, rule) in one.rules.iter().enumerate() {
                for expr in (0..rule.exprs.len()).filter(|_| rule.exprs.len() > 1) {
                    with(&|smaller| drop(smaller.tables[at].chains[chain].rules[number].exprs.remove(expr)));
                }
            }
        }
    }
    for (at, table) in ruleset.tables.iter().enumerate() {
        for (number, set) in table.sets.iter().enumerate() {
            let Elements::Full(elements) = &set.elements else { continue };
            for element in (0..elements.len()).filter(|_| elements.len() > 1) {
                with(&|smaller| {
                    if let Elements::Full(elements) = &mut smaller.tables[at].sets[number].elements {
                        elements.remove(element);
                    }
                });
            }
        }
    }
    list.retain(|smaller| size(smaller) < size(ruleset));
    list
}

fn size(ruleset: &Ruleset) -> usize {
    let of_table = |table: &Table| {
        let rules = table.chains.iter().flat_map(|chain| &chain.rules).map(|rule| 1 + rule.exprs.len());
        let elements = table.sets.iter().map(|set| 1 + set.elements.count(set.key_len));
        1 + table.chains.len() + rules.sum::<usize>() + elements.sum::<usize>()
    };
    ruleset.tables.iter().map(of_table).sum()
}

/// Takes out sets that no rule names.
fn forget_unused(table: &mut Table) {
    let named: BTreeSet<String> = table
        .chains
        .iter()
        .flat_map(|chain| &chain.rules)
        .flat_map(|rule| &rule.exprs)
        .filter_map(|expr| match expr {
            Expr::Lookup { set, .. } | Expr::ObjrefMap { set, .. } => Some(set.clone()),
            Expr::Dynset(dynset) => Some(dynset.set.clone()),
            _ => None,
        })
        .collect();
    table.sets.retain(|set| named.contains(&set.name));
}

/// Takes a chain out, and whatever calls it.
fn remove_chain(table: &mut Table, at: usize) {
    let name = table.chains.remove(at).name;
    let calls = |verdict: &Verdict| matches!(verdict, Verdict::Jump(to) | Verdict::Goto(to) if *to == name);
    for set in &mut table.sets {
        if let Elements::Full(elements) = &mut set.elements {
            elements.retain(|element| !matches!(&element.data, Some(Data::Verdict(verdict)) if calls(verdict)));
        }
    }
    for chain in &mut table.chains {
        chain.rules.retain(|rule| !rule.exprs.iter().any(|expr| matches!(expr, Expr::Verdict(verdict) if calls(verdict))));
    }
}

/// The same ruleset with one verdict turned round: what a wrong opinion is made of.
pub(crate) fn flipped(ruleset: &Ruleset, number: usize) -> Ruleset {
    let mut flipped = ruleset.clone();
    let verdicts = flipped.tables.iter_mut().flat_map(|table| &mut table.chains).flat_map(|chain| &mut chain.rules).flat_map(|rule| &mut rule.exprs);
    let mut verdicts: Vec<&mut Verdict> = verdicts
        .filter_map(|expr| match expr {
            Expr::Verdict(verdict @ (Verdict::Accept | Verdict::Drop)) => Some(verdict),
            _ => None,
        })
        .collect();
    let count = verdicts.len().max(1);
    if let Some(verdict) = verdicts.get_mut(number % count) {
        **verdict = if **verdict == Verdict::Accept { Verdict::Drop } else { Verdict::Accept };
    }
    flipped
}

