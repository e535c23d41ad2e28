//! Whether the kernel still holds what was compiled: every packet, and what rules do besides deciding.

use super::changes::{Changes, Side, changes};
use super::lens::Lens;
use super::load::Slice;
use super::program::{Facts, Program};
use super::run::NotJudged;
use crate::compile::{Options, PENDING, compile};
use crate::meaning::sets::Place;
use crate::meaning::{Connection, connection};
use crate::net::{AddrSet, Family};
use crate::resolve::model::Resolved;
use crate::ruleset::{Chain, ChainKind, Hook, Policy, Table};
use crate::space::{Field, Node, Space, Terms};
use std::collections::HashMap;

/// What became of a policy's table in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Drift {
    /// How traffic is treated otherwise than the policy says, from what it says to what the kernel does.
    pub changes: Changes,
    /// What else is otherwise: packets of connections that are open, limits, log lines.
    pub besides: Vec<Besides>,
    /// What is there that doorward does not make, or is not as it makes it, where no packet shows it.
    pub strange: Vec<String>,
}

impl Drift {
    /// Whether the kernel does exactly what was compiled.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.changes.list.is_empty() && self.besides.is_empty() && self.strange.is_empty()
    }
}

/// A packet for which the kernel does otherwise, though it opens nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Besides {
    /// What is otherwise, in words.
    pub what: String,
    /// Such a packet.
    pub example: Connection,
    /// Its connection state: 2 established, 4 related, 8 new, 64 untracked, 1 invalid.
    pub state: u128,
}

/// The hooks in which our table has chains, or somebody could give it one, and each in both views.
const WATCHED: [Slice; 9] = [
    Slice { hook: Hook::Input, translated: false },
    Slice { hook: Hook::Input, translated: true },
    Slice { hook: Hook::Forward, translated: true },
    Slice { hook: Hook::Forward, translated: false },
    Slice { hook: Hook::Output, translated: false },
    Slice { hook: Hook::Prerouting, translated: false },
    Slice { hook: Hook::Ingress, translated: false },
    Slice { hook: Hook::Postrouting, translated: false },
    Slice { hook: Hook::Postrouting, translated: true },
];

/// Compares the table that the kernel holds with what the policy compiles to.
pub fn drift(
    policy: &Resolved,
    options: &Options,
    held: &Table,
    own: &AddrSet,
    interfaces: &HashMap<u32, String>,
) -> Result<Drift, NotJudged> {
    let expected = compile(policy, options);
    let lens = Lens::by_names(held).and(policy).held(held);
    let mut drift = Drift { strange: strange(&expected, held), ..Drift::default() };
    // A bucket is three sets. As long as each may hold a key or not there are more packets to tell apart than there
    // can be: what is equal then is equal.
    let apart = Facts { lens: lens.clone().without_buckets(), effects: true, interfaces: interfaces.clone() };
    let mut finer = Vec::new();
    for family in Family::BOTH {
        besides(&expected, held, &apart, family, &mut finer)?;
    }
    if finer.is_empty() {
        return Ok(drift);
    }
    let facts = Facts { lens, ..apart };
    for family in Family::BOTH {
        besides(&expected, held, &facts, family, &mut drift.besides)?;
    }
    if drift.besides.is_empty() {
        // Limits are kept otherwise, and no first packet shows it.
        drift.besides = finer;
        return Ok(drift);
    }
    let held = std::slice::from_ref(held);
    drift.changes = changes(Side::Policy(policy), Side::Tables(held, &facts), own)?;
    Ok(drift)
}

/// Base chains of another type or place than any of ours, and objects that are not as they were made.
fn strange(expected: &Table, held: &Table) -> Vec<String> {
    let does_something = |chain: &&Chain| {
        !chain.rules.is_empty() || chain.base.as_ref().is_some_and(|base| base.policy == Policy::Drop)
    };
    let known = |chain: &Chain| {
        let watched = |hook| WATCHED.iter().any(|slice| slice.hook == hook);
        chain.base.as_ref().is_none_or(|base| base.kind == ChainKind::Filter && watched(base.hook))
    };
    let chains = held.chains.iter().filter(|chain| !known(chain)).filter(does_something);
    let mut found: Vec<String> =
        chains.map(|chain| format!("chain {} is none of doorward's", chain.name)).collect();
    for object in &expected.objects {
        let is = held.objects.iter().any(|one| (&one.name, &one.kind) == (&object.name, &object.kind));
        if !is {
            found.push(format!("object {} is not as doorward makes it", object.name));
        }
    }
    found
}

/// Everything that is otherwise in one family.
fn besides(
    expected: &Table,
    held: &Table,
    facts: &Facts,
    family: Family,
    found: &mut Vec<Besides>,
) -> Result<(), NotJudged> {
    let mut terms = Terms::new(family);
    let programs =
        [expected, held].map(|table| Program::of(std::slice::from_ref(table), &WATCHED, facts, &mut terms));
    // What a connection owes at the beginning is told apart, also where no rule of one side looks.
    let _ = terms.masked(&Field::CT_MARK, PENDING.into(), 0);
    let mut space = Space::new(terms)?;
    let there = |slice: &Slice| programs.iter().any(|program| !program.base_chains(*slice).is_empty());
    for slice in WATCHED.into_iter().filter(there) {
        let possible = space.domain();
        let [(meant, meant_effects), (done, done_effects)] = {
            let first = programs[0].fates(&mut space, slice, possible, &|_| true)?;
            [first, programs[1].fates(&mut space, slice, possible, &|_| true)?]
        };
        let mut note = |space: &mut Space, what: String, set: Node| {
            if let Some(point) = space.point(set) {
                let place = Place { hook: slice.hook, translated: slice.translated };
                let state = point.get(&Field::State).unwrap_or(crate::space::state::NEW);
                found.push(Besides { what, example: connection(&point, family, place), state });
            }
        };
        let hook = hook_word(slice.hook);
        for (what, meant, done) in [
            ("lets in", meant.accepted, done.accepted),
            ("drops", meant.dropped, done.dropped),
            ("rejects", meant.rejected, done.rejected),
            ("queues", meant.queued, done.queued),
        ] {
            let more = space.minus(done, meant);
            note(&mut space, format!("{hook}: the kernel {what} this, and should not"), more);
        }
        // Who is judged otherwise meets other rules, too: that is told already.
        let verdicts = [
            (meant.accepted, done.accepted),
            (meant.dropped, done.dropped),
            (meant.rejected, done.rejected),
            (meant.queued, done.queued),
        ];
        let mut judged_otherwise = Node::FALSE;
        for (meant, done) in verdicts {
            let differs = space.xor(meant, done);
            judged_otherwise = space.or(judged_otherwise, differs);
        }
        let judged_otherwise = space.exists(judged_otherwise, &|field| *field == Field::CT_MARK);
        let words: std::collections::BTreeSet<_> = meant_effects.keys().chain(done_effects.keys()).cloned().collect();
        for word in words {
            let of = |effects: &super::run::Effects| effects.get(&word).copied().unwrap_or(Node::FALSE);
            let (meant, done) = (of(&meant_effects), of(&done_effects));
            let done = space.minus(done, judged_otherwise);
            let meant = space.minus(meant, judged_otherwise);
            let more = space.minus(done, meant);
            let less = space.minus(meant, done);
            note(&mut space, format!("{hook}: it {word}, and should not"), more);
            note(&mut space, format!("{hook}: it no longer {word}"), less);
        }
        space.holds_good()?;
    }
    Ok(())
}

fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::Input => "in",
        Hook::Output => "out",
        Hook::Forward => "forward",
        Hook::Prerouting => "prerouting",
        Hook::Postrouting => "postrouting",
        Hook::Ingress => "ingress",
        Hook::Egress => "egress",
        Hook::Other(_) => "elsewhere",
    }
}
