//! A program with one thing changed is found to be another: with a packet for which it is, or it is none.
//!
//! The packet is run through both programs by a plain machine, which shares nothing with the proof. Where the
//! proof finds no difference, packets of each class of every field must find none either.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::print_stdout)]

mod mutants;
mod policies;

use doorward::compile::{Options, compile, stands_for};
use doorward::net::AddrSet;
use doorward::prove::{Besides, InTurn, drift, packet};
use doorward::resolve::model::Resolved;
use doorward::ruleset::{Expr, Table};
use doorward::space::{Field, Point};
use doorward::trace::{End, Machine, Outcome, Packet, Unknown};
use mutants::{Mutant, mutate, packets};
use policies::{policy, rule};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What a machine saw: the end, and what rules did besides.
type Seen = (End, Vec<String>);

/// Which buckets are empty, who is banned: as a point of the space says.
struct State<'a> {
    point: &'a Point,
    sets: BTreeMap<String, Field>,
    /// The answers to everything else that nobody knows, a bit for each question in the order in which they come up.
    otherwise: u64,
    asked: RefCell<Vec<String>>,
}

impl<'a> State<'a> {
    fn of(policy: &Resolved, point: &'a Point, otherwise: u64) -> State<'a> {
        use doorward::compile::Stands;
        let sets = stands_for(policy).into_iter().map(|(name, stands)| {
            let field = match stands {
                Stands::Banned => Field::Banned,
                Stands::Carried => Field::Carried,
                Stands::Spent(sentence) => Field::Room(sentence),
            };
            (name, field)
        });
        State { point, sets: sets.collect(), otherwise, asked: RefCell::default() }
    }

    fn answers(&self, table: &Table, what: &Unknown) -> bool {
        let set = match what.expr {
            Expr::Lookup { set, .. } => Some(set),
            _ => match &table.chains[what.place.chain].rules[what.place.rule].exprs[what.place.expr] {
                Expr::Dynset(dynset) => Some(&dynset.set),
                _ => None,
            },
        };
        let field = set.and_then(|set| self.sets.get(set));
        match field.map(|field| (field, self.point.get(field))) {
            // Without room a key is in each of its bucket's sets, and above the limit.
            Some((Field::Room(_), Some(room))) => room == 0,
            Some((Field::Banned | Field::Carried, value)) => value == Some(1),
            // What each set of a bucket does is compared by itself.
            _ => self.otherwise >> self.number(set, what).min(63) & 1 == 1,
        }
    }

    /// The same question, asked as many times before, has the same number in both programs.
    fn number(&self, set: Option<&String>, what: &Unknown) -> usize {
        let times = what.times;
        let question = match (set, what.expr) {
            (Some(set), Expr::Lookup { .. }) => format!("holds {set} {times}"),
            (Some(set), _) => format!("over {set} {times}"),
            (None, other) => format!("{other:?} {times}"),
        };
        let mut asked = self.asked.borrow_mut();
        asked.iter().position(|known| *known == question).unwrap_or_else(|| {
            asked.push(question);
            asked.len() - 1
        })
    }
}

fn seen(table: &Table, machine: &Machine, packet: &Packet, state: &State) -> Seen {
    let trace = machine.hook(packet, &mut |what: &Unknown| state.answers(table, what));
    let mut does = Vec::new();
    for visit in &trace.visits {
        let rule = &table.chains[visit.chain].rules[visit.rule];
        // A bucket is charged also where its limit then ends the rule.
        let broke_at = rule.exprs.get(visit.outcome.effective(rule.exprs.len()));
        let charged = broke_at.filter(|expr| matches!(expr, Expr::Dynset(_)));
        let done = &rule.exprs[..visit.outcome.effective(rule.exprs.len())];
        for (at, expr) in done.iter().chain(charged).enumerate() {
            match expr {
                Expr::Dynset(dynset) => {
                    let set = table.set(&dynset.set).map(|set| (set.size, set.timeout));
                    does.push(format!("{dynset:?} {set:?}"));
                }
                Expr::Log(_) | Expr::Objref { .. } | Expr::Reject(_) => does.push(format!("{expr:?}")),
                // What it is set to, but not for whom.
                Expr::CtSet { .. } => {
                    let loads = |expr: &Expr| matches!(expr, Expr::Ct { .. } | Expr::Immediate { .. });
                    let from = done[..at].iter().rposition(loads).unwrap_or(0);
                    does.push(format!("{:?}", &done[from..=at]));
                }
                _ => {}
            }
        }
        if let Outcome::Translated { at, to } = &visit.outcome {
            does.push(to.map_or_else(|| format!("{:?}", rule.exprs[*at]), |to| to.to_string()));
        }
    }
    does.sort();
    does.dedup();
    (trace.end, does)
}

/// What both programs do with the packet that is said to tell them apart, for many answers to what nobody knows.
/// Up to the first that shows it.
fn witness(policy: &Resolved, tables: [&Table; 2], besides: &Besides) -> Vec<(Seen, Seen)> {
    let packet = packet(&besides.point, besides.family, besides.slice);
    const FIRST: u64 = 1 << 9;
    let machines = tables.map(|table| Machine::new(std::slice::from_ref(table)));
    let mut saw = Vec::new();
    for otherwise in [u64::MAX].into_iter().chain(0..FIRST) {
        let state = State::of(policy, &besides.point, otherwise);
        let [one, other] = [0, 1].map(|at| seen(tables[at], &machines[at], &packet, &state));
        let differ = one != other;
        saw.push((one, other));
        if differ {
            break;
        }
    }
    saw
}

#[test]
fn no_mutant_passes_for_the_original() {
    let seed: u8 = std::env::var("DOORWARD_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    let wanted: usize = std::env::var("DOORWARD_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let config = Config { failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let policies = policy(prop::collection::vec(rule(), 1..8));
    let found = RefCell::new((0usize, 0usize, BTreeMap::<&'static str, (usize, usize)>::new()));
    for case in 0..wanted {
        let mut policy = policies.new_tree(&mut runner).unwrap().current();
        for (line, rule) in (1u32..).zip(&mut policy.rules) {
            rule.origin.line = line;
        }
        let options = Options::default();
        let original = compile(&policy, &options);
        let Mutant { table, kind, words } = mutate(&original, &mut runner);
        let drift = drift(&policy, &options, &table, &AddrSet::empty(), &BTreeMap::new(), &InTurn).unwrap();
        let mut found = found.borrow_mut();
        let of_kind = found.2.entry(kind).or_default();
        if drift.besides.is_empty() {
            of_kind.1 += 1;
            found.1 += 1;
            // It must be no other one: nothing that the packets of each class could tell.
            let machines = [&original, &table].map(|table| Machine::new(std::slice::from_ref(table)));
            for (point, packet) in packets(&original, &table, &mut runner) {
                for otherwise in [u64::MAX, 0] {
                    let state = State::of(&policy, &point, otherwise);
                    let one = seen(&original, &machines[0], &packet, &state);
                    let other = seen(&table, &machines[1], &packet, &state);
                    assert_eq!(one, other, "case {case}: missed: {words}\n{packet:?}\n{policy:?}");
                }
            }
        } else {
            of_kind.0 += 1;
            found.0 += 1;
            for one in &drift.besides {
                let saw = witness(&policy, [&original, &table], one);
                assert!(
                    saw.iter().any(|(one, other)| one != other),
                    "seed {seed} case {case}: {words}\nnot true: {} {}\n{:?}\n{saw:#?}",
                    one.what,
                    one.example,
                    one.point
                );
            }
        }
    }
    let found = found.into_inner();
    println!("{} mutants found to be others, {} to be equal", found.0, found.1);
    for (kind, (other, equal)) in &found.2 {
        println!("  {kind:<28} {other:>5} others {equal:>5} equal");
    }
    // Of all less than three in ten; a small sample may have one more.
    let most = if wanted < 200 { 4 } else { 3 };
    assert!(found.1 * 10 < wanted * most, "too many mutants are equal: {} of {wanted}", found.1);
}
