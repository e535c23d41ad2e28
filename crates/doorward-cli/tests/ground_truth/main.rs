//! Ground truth: rulesets in the real kernel, packets at the edges of their rules, and the kernel's verdict beside
//! each opinion of ours. Decides nothing about what a ruleset should do.
//!
//! `DOORWARD_PACKETS` says how many packets in all, `DOORWARD_EACH` how many for one ruleset, `DOORWARD_SEED` where
//! chance begins: a mismatch prints the three that show it again. `DOORWARD_CORPUS` names a folder with rulesets of
//! others.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test talks and fails so")]
#![allow(clippy::cast_precision_loss, reason = "shares and rates for people")]

mod code;
mod compare;
mod corpus;
mod dice;
mod draft;
#[path = "../../../../tests/support/dumps.rs"]
mod dumps;
mod fields;
mod flows;
mod lab;
mod meter;
mod opinion;
#[path = "../../../doorward-kernel/tests/common/mod.rs"]
mod oracle;
mod packets;
#[path = "../../../doorward/tests/policies/mod.rs"]
mod policies;
mod prover;
mod rulesets;
mod shrink;
mod tally;
mod trial;
mod world;

use compare::{compare, stories};
use dice::Dice;
use doorward::compile::{Options, compile};
use doorward::ruleset::{Expr, Rule, Ruleset, Verdict};
use lab::Lab;
use opinion::{Asked, FEWER, OPINIONS, TURNED, contrary, is_turned};
use oracle::skip;
use packets::Packets;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rulesets::{HOOKS, Taste};
use std::collections::BTreeMap;
use std::path::Path;
use tally::Tally;
use trial::{Trial, reads_fragments};
use world::{DEVICES, World};

/// Packets of one ruleset, over all hooks, where there are only few in all; in long runs so many more.
const PER_RULESET: usize = 900;
const PER_RULESET_LONG: usize = 5_000;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.replace('_', "").parse().unwrap())
}

/// The network, and what this kernel is like.
fn lab(names: &[&str]) -> Lab {
    let mut lab = Lab::build(names);
    let mut dice = Dice::new(0);
    let world = World::new(&mut dice, lab.kernel.devices.clone());
    lab.kernel.reads_fragments = reads_fragments(&lab, &mut dice, &world);
    lab
}

/// One ruleset in the kernel, at every hook.
fn one_ruleset(lab: &Lab, ruleset: &Ruleset, case: &mut Case, asked: &[Asked]) -> Tally {
    let mut tally = Tally { rulesets: 1, ..Tally::default() };
    let mut trial = match Trial::load(lab, ruleset) {
        Ok(trial) => trial,
        Err(error) => panic!("{}: the kernel does not take it: {error}", case.what()),
    };
    let mut wrong = Vec::new();
    for hook in HOOKS {
        let packets = Packets::of(ruleset, &case.world, hook, case.taste.conntrack);
        let drafts = packets.make(&mut case.dice, case.packets / HOOKS.len());
        let (part, bad) = compare(&mut trial, ruleset, hook, &drafts, &lab.kernel, asked);
        tally.add(part);
        if !bad.is_empty() {
            wrong.push((drafts, bad));
        }
    }
    tally.spent = trial.spent;
    drop(trial);
    for (drafts, bad) in wrong {
        tally.mismatches.extend(stories(lab, &case.what(), ruleset, &drafts, &bad, asked));
    }
    tally
}

/// What chance decides about one ruleset.
struct Case {
    seed: u64,
    dice: Dice,
    world: World,
    taste: Taste,
    packets: usize,
}

impl Case {
    fn new(lab: &Lab, seed: u64, packets: usize) -> Case {
        let mut dice = Dice::new(seed);
        let world = World::new(&mut dice, lab.kernel.devices.clone());
        let taste = Taste { conntrack: dice.chance(75) };
        Case { seed, dice, world, taste, packets }
    }

    fn what(&self) -> String {
        format!("DOORWARD_SEED={} DOORWARD_EACH={} DOORWARD_PACKETS=1", self.seed, self.packets)
    }

    fn random_ruleset(&mut self) -> Ruleset {
        rulesets::ruleset(&mut self.dice, &self.world, self.taste)
    }

    /// What a random policy compiles to.
    fn compiled_policy(&mut self) -> Ruleset {
        // Compiled programs always ask connection tracking.
        self.taste.conntrack = true;
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let sentences = proptest::collection::vec(policies::rule(), 0..25);
        let policy = policies::policy(sentences).new_tree(&mut runner).unwrap().current();
        Ruleset { tables: vec![compile(&policy, &Options::default())] }
    }
}

/// So many packets, at rulesets that `make` makes one after another.
fn many(packets: u64, make: impl Fn(&mut Case) -> Ruleset) -> Tally {
    let lab = lab(&DEVICES);
    let usual = if packets > 200_000 { PER_RULESET_LONG } else { PER_RULESET };
    let each = number("DOORWARD_EACH").map_or(usual, |each| usize::try_from(each).unwrap());
    let asked = if number("DOORWARD_PACKETS").is_some() { OPINIONS } else { FEWER };
    let mut all = Tally::default();
    for seed in number("DOORWARD_SEED").unwrap_or(1).. {
        let mut case = Case::new(&lab, seed, each);
        let ruleset = make(&mut case);
        all.coverage.count(&ruleset);
        all.add(one_ruleset(&lab, &ruleset, &mut case, asked));
        if all.sent as u64 >= packets {
            break;
        }
    }
    all
}

/// Says how it went, and fails if anybody was wrong.
fn finish(what: &str, tally: &Tally) {
    const TOLD: usize = 6;
    let mut told: BTreeMap<&str, usize> = BTreeMap::new();
    for mismatch in tally.mismatches.iter().filter(|mismatch| !mismatch.story.is_empty()) {
        let count = told.entry(mismatch.opinion).or_default();
        *count += 1;
        if *count <= TOLD {
            eprintln!("{}", mismatch.story);
        }
    }
    eprint!("what was not known\n{}", tally.reasons());
    eprintln!("{}", tally.summary(what));
    assert!(tally.mismatches.is_empty(), "{} mismatches", tally.mismatches.len());
    assert!(tally.met * 10 > tally.sent * 9, "too many packets never meet their hook");
}

#[test]
fn random_rulesets_do_in_the_kernel_what_is_thought_of_them() {
    if skip::without_root() {
        return;
    }
    let packets = number("DOORWARD_PACKETS");
    let tally = many(packets.unwrap_or(18_000), Case::random_ruleset);
    // One ruleset does not have everything in it.
    if packets.is_none_or(|packets| packets >= 18_000) {
        eprint!("{}", tally.coverage.table());
        let missing: Vec<_> = tally.coverage.shares().into_iter().filter(|(_, share)| *share < 1.0).collect();
        assert!(missing.is_empty(), "in less than 1 % of the rules: {missing:?}");
        assert!(tally.coverage.median_rules() >= 20);
        eprint!("share of packets\n{}", tally::table(&tally.packets()));
        let missing: Vec<_> = tally.packets().into_iter().filter(|(_, share)| *share < 0.5).collect();
        assert!(missing.is_empty(), "less than 0.5 % of the packets: {missing:?}");
        let passed = tally.passed * 100 / tally.met;
        assert!((20..=80).contains(&passed), "{passed} % passed");
    }
    finish("random rulesets", &tally);
}

#[test]
fn compiled_policies_do_in_the_kernel_what_is_thought_of_them() {
    if skip::without_root() {
        return;
    }
    let tally = many(number("DOORWARD_PACKETS").unwrap_or(7_200), Case::compiled_policy);
    finish("compiled policies", &tally);
}

/// The control: whoever reads one rule the wrong way is caught, and the rule is what is left of the ruleset.
#[test]
fn a_wrong_opinion_is_caught() {
    const CASES: u64 = 6;
    if skip::without_root() {
        return;
    }
    let lab = lab(&DEVICES);
    let mut caught = 0;
    for seed in 1..=CASES {
        let mut case = Case::new(&lab, seed, 600);
        let mut ruleset = case.random_ruleset();
        turn_one(&mut ruleset, &mut case.dice);
        let asked = &[Asked { maker: contrary, every: 1 }];
        let tally = one_ruleset(&lab, &ruleset, &mut case, asked);
        let Some(first) = tally.mismatches.first() else { continue };
        caught += 1;
        let small = first.small.as_ref().unwrap();
        let rules = || small.tables.iter().flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        assert!(rules().any(is_turned), "{}", first.story);
        assert!(rules().count() <= 9, "{}", first.story);
        assert!(first.story.contains(TURNED) && first.story.contains("DOORWARD_SEED"), "{}", first.story);
    }
    // A rule behind others may decide nothing.
    assert!(caught * 2 >= CASES, "only {caught} of {CASES} wrong opinions were caught");
}

/// Marks a rule of a chain that the kernel calls, so that one opinion reads it the wrong way.
fn turn_one(ruleset: &mut Ruleset, dice: &mut Dice) {
    let decides = |rule: &Rule| {
        let ends = |expr: &Expr| matches!(expr, Expr::Verdict(Verdict::Accept | Verdict::Drop));
        rule.exprs.last().is_some_and(ends)
    };
    let chains = ruleset.tables.iter_mut().flat_map(|table| &mut table.chains);
    let bases = chains.filter(|chain| chain.base.is_some());
    let mut rules: Vec<&mut Rule> =
        bases.flat_map(|chain| &mut chain.rules).filter(|rule| decides(rule)).collect();
    let rule = rules.remove(dice.below(rules.len()));
    *rule = std::mem::take(rule).commented(TURNED);
}

/// Rulesets of others: as many as load.
#[test]
fn rulesets_of_others_do_in_the_kernel_what_is_thought_of_them() {
    if skip::without_root() {
        return;
    }
    let Some(corpus) = std::env::var_os("DOORWARD_CORPUS") else {
        return skip::skip("DOORWARD_CORPUS names no folder with rulesets");
    };
    let packets = number("DOORWARD_PACKETS").unwrap_or(300);
    let folders = corpus::run(Path::new(&corpus), usize::try_from(packets).unwrap(), &lab);
    let mut all = Tally::default();
    let mut few = Vec::new();
    eprintln!("{}", corpus::head());
    for (name, folder) in folders {
        eprint!("{}", folder.line(&name));
        let knows = |who| folder.tally.asked(who) == 0 || folder.tally.decided(who) >= corpus::DECIDED;
        if !["interpreter", "prover"].into_iter().all(knows) {
            eprint!("{}", folder.tally.reasons());
            few.push(name);
        }
        all.add(folder.tally);
    }
    assert!(all.rulesets > 0, "none of them loads");
    finish("rulesets of others", &all);
    assert!(few.is_empty(), "less than {} % of the packets are decided: {few:?}", corpus::DECIDED);
}
