//! Ground truth: random rulesets and policies in the real kernel, packets at the edges of their rules, and the
//! kernel's verdict beside each opinion of ours. Decides nothing about what a ruleset should do.
//!
//! `DOORWARD_PACKETS` says how many packets, `DOORWARD_SEED` where chance begins; a mismatch prints its seed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test talks and fails so")]
#![allow(clippy::cast_precision_loss, reason = "shares and rates for people")]

mod code;
mod compare;
mod dice;
mod draft;
mod fields;
mod flows;
mod lab;
mod meter;
mod opinion;
#[path = "../../../doorward-kernel/tests/common/mod.rs"]
mod oracle;
mod packets;
mod rulesets;
mod tally;
mod trial;
mod world;

use compare::{compare, flipped, stories};
use dice::Dice;
use doorward::ruleset::Ruleset;
use lab::Lab;
use opinion::{Maker, OPINIONS, READS_FRAGMENTS};
use oracle::skip;
use packets::Packets;
use rulesets::{HOOKS, Taste};
use tally::Tally;
use trial::{Trial, reads_fragments};
use world::{DEVICES, World};

/// Packets of one ruleset, over all hooks.
const PER_RULESET: usize = 1_500;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.replace('_', "").parse().unwrap())
}

/// One ruleset against the kernel, at every hook.
fn one_ruleset(lab: &Lab, what: &str, ruleset: &Ruleset, world: &World, taste: Taste, dice: &mut Dice) -> Tally {
    let mut tally = Tally { rulesets: 1, ..Tally::default() };
    let mut trial = match Trial::load(lab, ruleset) {
        Ok(trial) => trial,
        Err(error) => panic!("{what}: the kernel does not take it: {error}\n{}", doorward::emit::nft(ruleset)),
    };
    let mut wrong = Vec::new();
    for hook in HOOKS {
        let packets = Packets::of(ruleset, world, hook, taste.conntrack);
        let drafts = packets.make(dice, PER_RULESET / HOOKS.len());
        let (part, bad) = compare(&mut trial, ruleset, hook, &drafts, OPINIONS);
        tally.add(part);
        if !bad.is_empty() {
            wrong.push((drafts, bad));
        }
    }
    tally.spent = trial.spent;
    drop(trial);
    for (drafts, bad) in wrong {
        tally.mismatches.extend(stories(lab, what, ruleset, &drafts, &bad, OPINIONS));
    }
    tally
}

/// The network, and what this kernel is like.
fn lab(names: &[&str]) -> Lab {
    let lab = Lab::build(names);
    let mut dice = Dice::new(0);
    let world = World::new(&mut dice, lab.devices.clone());
    READS_FRAGMENTS.get_or_init(|| reads_fragments(&lab, &mut dice, &world));
    lab
}

fn random_rulesets(packets: u64) -> Tally {
    let lab = lab(&DEVICES);
    let first = number("DOORWARD_SEED", 1);
    let mut all = Tally::default();
    let mut seed = first;
    while (all.sent as u64) < packets {
        let mut dice = Dice::new(seed);
        let world = World::new(&mut dice, lab.devices.clone());
        let taste = Taste { conntrack: dice.chance(75) };
        let ruleset = rulesets::ruleset(&mut dice, &world, taste);
        all.coverage.count(&ruleset);
        let what = format!("DOORWARD_SEED={seed} DOORWARD_PACKETS=1");
        let one = one_ruleset(&lab, &what, &ruleset, &world, taste, &mut dice);
        all.add(one);
        seed += 1;
    }
    all
}

fn finish(what: &str, tally: &Tally) {
    for mismatch in tally.mismatches.iter().filter(|mismatch| !mismatch.story.is_empty()).take(10) {
        eprintln!("{}", mismatch.story);
    }
    eprintln!("{}", tally.summary(what));
    assert!(tally.mismatches.is_empty(), "{} mismatches", tally.mismatches.len());
}

#[test]
fn random_rulesets_do_in_the_kernel_what_is_thought_of_them() {
    if skip::without_root() {
        return;
    }
    let tally = random_rulesets(number("DOORWARD_PACKETS", 30_000));
    eprint!("{}", tally.coverage.table());
    finish("random rulesets", &tally);
}

#[allow(dead_code)]
fn unused() {
    let _: Option<Maker> = None;
    let _ = flipped;
}
