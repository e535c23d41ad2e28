//! The proof of a policy: that its ruleset does what it says, and that it keeps its expectations.

use super::both::Both;
use super::equal::{Difference, compare};
use super::lens::Lens;
use super::load::Slice;
use super::program::{Facts, Program};
use super::run::NotJudged;
use super::translated::{self, Mistranslated, TRANSLATING};
use crate::compile::{Options, PENDING, compile};
use crate::meaning::sets::{self, Given, Meant, Place};
use crate::meaning::{Connection, Host, Judgement, Limits, connection, judge};
use crate::net::{AddrSet, Family, Prefix};
use crate::report::Origin;
use crate::resolve::model::{Expect, Resolved, Traffic, Way};
use crate::ruleset::{Checked, Hook, Table};
use crate::space::{Field, Node, Pred, Space, Terms};

/// What a proof found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proof {
    /// Packets that the ruleset treats otherwise than the policy says; a mistake of ours, or of whoever changed it.
    pub differences: Vec<Difference>,
    /// First packets that the ruleset translates otherwise than the policy says.
    pub mistranslated: Vec<Mistranslated>,
    /// What became of the expectations, in their order.
    pub expectations: Vec<Outcome>,
    /// Why nothing is claimed, where the proof grew too large.
    pub unproven: Option<NotJudged>,
    /// Nodes of the larger diagram.
    pub nodes: usize,
}

impl Proof {
    /// Whether the ruleset was proven to mean the policy. Expectations are another matter.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.unproven.is_none() && self.differences.is_empty() && self.mistranslated.is_empty()
    }
}

/// An expectation and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The expectation.
    pub origin: Origin,
    /// Whether everything it speaks of must be allowed, or blocked.
    pub allowed: bool,
    /// What became of it.
    pub answer: Answer,
}

/// What became of an expectation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It holds for each connection, in every state that limits and bans can be in.
    Holds,
    /// It does not hold.
    Fails {
        /// A connection for which it does not.
        example: Box<Connection>,
        /// What happens to that.
        judgement: Judgement,
    },
    /// It speaks of no connection that can be.
    Nothing,
    /// Too many kinds of connections to tell apart; nothing is claimed.
    NotProven,
}

/// A policy and its table, to be proven.
#[derive(Clone, Copy)]
pub struct Claim<'a> {
    /// The policy.
    pub policy: &'a Resolved,
    /// The table that it compiled to.
    pub table: &'a Table,
    /// The host that it is for.
    pub host: &'a Host,
    /// What it was compiled with.
    pub options: &'a Options,
}

/// The proof of one family.
struct Half {
    differences: Vec<Difference>,
    mistranslated: Vec<Mistranslated>,
    found: Vec<Found>,
    unproven: Option<NotJudged>,
    nodes: usize,
}

/// Compiles a policy and proves that its table means it. The table is there only if that was proven.
#[must_use]
pub fn compiled(
    policy: &Resolved,
    host: &Host,
    options: &Options,
    both: &impl Both,
) -> (Option<Checked<Table>>, Proof) {
    let table = compile(policy, options);
    let facts = Facts { lens: Lens::of(policy), ..Facts::default() };
    let proof = check(Claim { policy, table: &table, host, options }, &facts, both);
    (proof.is_equal().then(|| Checked::vouched(table)), proof)
}

/// Proves a policy.
#[must_use]
pub fn check(claim: Claim<'_>, facts: &Facts, both: &impl Both) -> Proof {
    let [four, six] = both.both(&|family| half(claim, facts, family));
    let unproven = four.unproven.or(six.unproven);
    let found = four.found.into_iter().zip(six.found).map(|(four, six)| four.or(six));
    let expectations = claim
        .policy
        .expects
        .iter()
        .zip(found)
        .map(|(expect, found)| Outcome {
            origin: expect.origin.clone(),
            allowed: expect.allowed,
            answer: found.answer(claim, unproven.is_some()),
        })
        .collect();
    let mut differences = four.differences;
    differences.extend(six.differences);
    let mut mistranslated = four.mistranslated;
    mistranslated.extend(six.mistranslated);
    Proof { differences, mistranslated, expectations, unproven, nodes: four.nodes.max(six.nodes) }
}

/// What was found of one expectation so far.
#[derive(Default)]
struct Found {
    speaks: bool,
    example: Option<Connection>,
}

impl Found {
    fn or(self, other: Found) -> Found {
        Found { speaks: self.speaks || other.speaks, example: self.example.or(other.example) }
    }

    fn answer(self, claim: Claim<'_>, unproven: bool) -> Answer {
        match self.example {
            Some(example) => Answer::Fails {
                judgement: judge(claim.policy, claim.host, &example, Limits::Unspent),
                example: Box::new(example),
            },
            None if unproven => Answer::NotProven,
            None if self.speaks => Answer::Holds,
            None => Answer::Nothing,
        }
    }
}

/// The part of an expectation that one place has.
struct Asked {
    expect: usize,
    place: usize,
    pred: Pred,
}

fn half(claim: Claim<'_>, facts: &Facts, family: Family) -> Half {
    let found = claim.policy.expects.iter().map(|_| Found::default()).collect();
    let mut half =
        Half { differences: Vec::new(), mistranslated: Vec::new(), found, unproven: None, nodes: 0 };
    if let Err(why) = prove(claim, facts, family, &mut half) {
        half.unproven = Some(why);
    }
    half
}

fn prove(claim: Claim<'_>, facts: &Facts, family: Family, half: &mut Half) -> Result<(), NotJudged> {
    let mut terms = Terms::new(family);
    let carried = claim.options.carried.iter().any(|(peer, _)| Family::of(peer.ip()) == family);
    let given = Given { owing: Some(PENDING), carried };
    let meant: Vec<Meant> =
        Place::ALL.iter().map(|place| sets::sets(claim.policy, *place, given, &mut terms)).collect();
    let translated = translated::Meant::of(claim.policy, &mut terms);
    let slices: Vec<Slice> = Place::ALL.iter().map(|place| (*place).into()).chain(TRANSLATING).collect();
    let program = Program::of(std::slice::from_ref(claim.table), &slices, facts, &mut terms);
    let asked = asked(claim, &mut terms);
    let mut space = Space::new(terms)?;
    for (at, place) in Place::ALL.into_iter().enumerate() {
        let allowed = compare(&mut space, &program, place, &meant[at], &mut half.differences)?;
        for one in asked.iter().filter(|one| one.place == at) {
            expectation(&mut space, claim, one, allowed, &mut half.found[one.expect]);
        }
    }
    for meant in translated {
        meant.compare(&mut space, &program, &mut half.mistranslated)?;
    }
    space.holds_good()?;
    half.nodes = space.size();
    Ok(())
}

/// What the expectations ask, place by place.
fn asked(claim: Claim<'_>, terms: &mut Terms) -> Vec<Asked> {
    let own = AddrSet::new(claim.host.own.iter().map(|addr| Prefix::host(*addr)), []);
    let mut openings: Vec<[Option<Pred>; 2]> = vec![[None, None]; Place::ALL.len()];
    let mut asked = Vec::new();
    for (number, expect) in claim.policy.expects.iter().enumerate() {
        for place in places(expect.way) {
            let Some(at) = Place::ALL.iter().position(|one| one == place) else { continue };
            // What quotes another connection opens none; it is spoken of by its name only.
            let (named, rest): (Vec<Traffic>, Vec<Traffic>) =
                expect.traffic.iter().partition(|traffic| matches!(traffic, Traffic::Icmp(_)));
            let mut parts = Vec::new();
            for (traffic, errors) in [(rest, false), (named, true)] {
                if traffic.is_empty() {
                    continue;
                }
                let opening = openings[at][usize::from(errors)]
                    .get_or_insert_with(|| sets::openings(claim.policy, &own, *place, errors, terms))
                    .clone();
                let about = sets::asked(&traffic, &expect.scope, *place, terms);
                parts.push(Pred::all([opening, about]));
            }
            asked.push(Asked { expect: number, place: at, pred: Pred::any(parts) });
        }
    }
    asked
}

/// Where an expectation looks. What is published may arrive at a local proxy, too.
fn places(way: Way) -> &'static [Place] {
    const IN: [Place; 2] =
        [Place { hook: Hook::Input, translated: false }, Place { hook: Hook::Input, translated: true }];
    const PUBLISHED: [Place; 2] =
        [Place { hook: Hook::Forward, translated: true }, Place { hook: Hook::Input, translated: false }];
    const OUT: [Place; 1] = [Place { hook: Hook::Output, translated: false }];
    const FORWARD: [Place; 1] = [Place { hook: Hook::Forward, translated: false }];
    match way {
        Way::In => &IN,
        Way::Published => &PUBLISHED,
        Way::Out => &OUT,
        Way::Forward => &FORWARD,
    }
}

fn expectation(space: &mut Space, claim: Claim<'_>, asked: &Asked, allowed: Node, found: &mut Found) {
    if found.example.is_some() {
        return;
    }
    let expect: &Expect = &claim.policy.expects[asked.expect];
    let mut about = space.node(&asked.pred);
    let possible = space.domain();
    about = space.and(about, possible);
    if about.is_empty() {
        return;
    }
    found.speaks = true;
    let broken = if expect.allowed {
        // Limits unspent, bans empty.
        let refused = space.minus(about, allowed);
        space.at_best(refused)
    } else {
        // In every state that they can be in.
        space.and(about, allowed)
    };
    // Of several examples one with room in every bucket, and nobody banned.
    let readable = space.at_best(broken);
    let broken = if readable.is_empty() { broken } else { readable };
    if let Some(point) = space.point(broken) {
        found.example = Some(connection(&point, space.family(), Place::ALL[asked.place]));
    }
}

impl Space {
    /// The packets of a set with room in every bucket and a source that is not banned.
    fn at_best(&mut self, node: Node) -> Node {
        let mut node = node;
        let states: Vec<Field> =
            self.fields().filter(|field| matches!(field, Field::Room(_) | Field::Banned)).cloned().collect();
        for field in states {
            let wanted = u128::from(matches!(field, Field::Room(_)));
            node = self.fixed(node, &field, wanted);
        }
        node
    }
}
