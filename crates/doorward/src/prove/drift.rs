//! Whether the kernel still holds what was compiled: every packet, and what rules do besides deciding.

use super::both::Both;
use super::changes::{Changes, Side, changes};
use super::lens::Lens;
use super::load::Slice;
use super::program::{Facts, Program};
use super::run::{Effects, NotJudged};
use crate::compile::{Options, PENDING, compile};
use crate::meaning::sets::Place;
use crate::meaning::translate::beginnings;
use crate::meaning::{Connection, connection};
use crate::net::{AddrSet, Family};
use crate::resolve::model::Resolved;
use crate::ruleset::{Chain, ChainKind, Hook, Policy, Table};
use crate::space::{Bit, Field, Node, Point, Space, Terms, state};
use std::collections::{BTreeMap, BTreeSet};

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
    /// Such a packet, as a connection.
    pub example: Connection,
    /// Its family.
    pub family: Family,
    /// Where it is judged.
    pub slice: Slice,
    /// All that is known of it, its connection's state among it.
    pub point: Point,
}

impl Besides {
    /// The state of its connection: 2 established, 4 related, 8 new, 64 untracked, 1 invalid.
    #[must_use]
    pub fn state(&self) -> u128 {
        self.point.get(&Field::State).unwrap_or(state::NEW)
    }
}

/// The hooks in which our table has chains, or somebody could give it one, and each in both views.
pub(super) const WATCHED: [Slice; 15] = [
    Slice { hook: Hook::Input, translated: false, nat: false },
    Slice { hook: Hook::Input, translated: true, nat: false },
    Slice { hook: Hook::Forward, translated: true, nat: false },
    Slice { hook: Hook::Forward, translated: false, nat: false },
    Slice { hook: Hook::Output, translated: false, nat: false },
    Slice { hook: Hook::Prerouting, translated: false, nat: false },
    Slice { hook: Hook::Ingress, translated: false, nat: false },
    Slice { hook: Hook::Postrouting, translated: false, nat: false },
    Slice { hook: Hook::Postrouting, translated: true, nat: false },
    Slice { hook: Hook::Prerouting, translated: false, nat: true },
    Slice { hook: Hook::Postrouting, translated: false, nat: true },
    Slice { hook: Hook::Postrouting, translated: true, nat: true },
    Slice { hook: Hook::Output, translated: false, nat: true },
    Slice { hook: Hook::Input, translated: false, nat: true },
    Slice { hook: Hook::Input, translated: true, nat: true },
];

/// Compares the table that the kernel holds with what the policy compiles to.
pub fn drift(
    policy: &Resolved,
    options: &Options,
    held: &Table,
    own: &AddrSet,
    interfaces: &BTreeMap<u32, String>,
    both: &impl Both,
) -> Result<Drift, NotJudged> {
    let expected = compile(policy, options);
    let lens = Lens::by_names(held).and(policy).held(held);
    let mut drift = Drift { strange: strange(&expected, held), ..Drift::default() };
    // A bucket is three sets. As long as each may hold a key or not there are more packets to tell apart than there
    // can be: what is equal then is equal.
    let apart = Facts {
        lens: lens.clone().without_buckets(),
        effects: true,
        interfaces: interfaces.clone(),
        ..Facts::default()
    };
    let of = |facts: &Facts| -> Result<Vec<Besides>, NotJudged> {
        let [four, six] = both.both(&|family| {
            let mut half = Vec::new();
            besides(&expected, held, facts, family, &mut half).map(|()| half)
        });
        Ok([four?, six?].concat())
    };
    let finer = of(&apart)?;
    if finer.is_empty() {
        return Ok(drift);
    }
    let facts = Facts { lens, ..apart };
    drift.besides = of(&facts)?;
    if drift.besides.is_empty() {
        // Limits are kept otherwise, and no first packet shows it.
        drift.besides = finer;
        return Ok(drift);
    }
    let held = std::slice::from_ref(held);
    drift.changes = changes(Side::Policy(policy), Side::Tables(held, &facts), own, both)?;
    Ok(drift)
}

/// Base chains of another type or place than any of ours, and objects that are not as they were made.
fn strange(expected: &Table, held: &Table) -> Vec<String> {
    let does_something = |chain: &&Chain| {
        !chain.rules.is_empty() || chain.base.as_ref().is_some_and(|base| base.policy == Policy::Drop)
    };
    let known = |chain: &Chain| {
        let watched = |hook, nat| WATCHED.iter().any(|slice| (slice.hook, slice.nat) == (hook, nat));
        chain.base.as_ref().is_none_or(|base| match base.kind {
            ChainKind::Filter => watched(base.hook, false),
            ChainKind::Nat => watched(base.hook, true),
            _ => false,
        })
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
    let programs = Program::both([expected, held], &WATCHED, facts, &mut terms);
    let otherwise: Vec<Slice> =
        WATCHED.into_iter().filter(|slice| !programs[0].is_same(&programs[1], *slice)).collect();
    if otherwise.is_empty() {
        return Ok(());
    }
    // What a connection owes at the beginning is told apart, also where no rule of one side looks.
    let _ = terms.masked(&Field::CT_MARK, PENDING.into(), 0);
    let changed = programs.each_ref().map(|program| program.changed_bits(&Field::CT_MARK));
    let changed = changed[0] | changed[1];
    let begins = beginnings(&mut terms);
    let mut space = Space::new(terms)?;
    let begins = space.node(&begins);
    let there = |slice: &Slice| programs.iter().any(|program| !program.base_chains(*slice).is_empty());
    for slice in otherwise.into_iter().filter(there) {
        for start in starts(changed) {
            let two = Two { programs: &programs, slice, start, changed, begins };
            two.compare(&mut space, found)?;
        }
        space.holds_good()?;
    }
    Ok(())
}

/// The mark that a connection has at the beginning, as far as rules change it: bits, and what they are. What it was
/// cannot be seen from what it became, so each beginning is a case of its own.
fn starts(changed: u32) -> Vec<(u32, u32)> {
    /// More bits than that are not told apart.
    const MOST: usize = 4;
    let bits: Vec<u32> = (0..32).rev().filter(|bit| changed >> bit & 1 == 1).take(MOST).collect();
    (0..1u32 << bits.len())
        .map(|case| {
            let mask = bits.iter().fold(0, |mask, bit| mask | 1 << bit);
            let value = (0u32..).zip(&bits).fold(0, |value, (at, bit)| value | (case >> at & 1) << bit);
            (mask, value)
        })
        .collect()
}

/// What was compiled and what the kernel holds, for packets of one slice that begin with one mark.
struct Two<'a> {
    programs: &'a [Program; 2],
    slice: Slice,
    start: (u32, u32),
    /// Bits of the mark that rules change.
    changed: u32,
    /// First packets of connections.
    begins: Node,
}

impl Two<'_> {
    fn compare(&self, space: &mut Space, found: &mut Vec<Besides>) -> Result<(), NotJudged> {
        let (mask, value) = self.start;
        let mut start = space.domain();
        if self.slice.nat {
            start = space.and(start, self.begins);
        }
        for bit in (0..32).filter(|bit| mask >> bit & 1 == 1) {
            if let Some(set) = space.bit(&Field::CT_MARK, bit) {
                let wanted = value >> bit & 1 == 1;
                start = if wanted { space.and(start, set) } else { space.minus(start, set) };
            }
        }
        let (meant, meant_effects) = self.programs[0].fates(space, self.slice, start, &|_| true)?;
        let (done, done_effects) = self.programs[1].fates(space, self.slice, start, &|_| true)?;
        let hook = hook_word(self.slice.hook);
        // Who is judged otherwise meets other rules, too: that is told already.
        let mut judged_otherwise = Node::FALSE;
        for (what, meant, done) in [
            ("lets in", meant.accepted, done.accepted),
            ("drops", meant.dropped, done.dropped),
            ("rejects", meant.rejected, done.rejected),
            ("queues", meant.queued, done.queued),
        ] {
            let more = space.minus(done, meant);
            self.note(space, format!("{hook}: the kernel {what} this, and should not"), more, found);
            let differs = space.xor(meant, done);
            judged_otherwise = space.or(judged_otherwise, differs);
        }
        let judged_otherwise = self.whatever_mark(space, judged_otherwise);
        let words: BTreeSet<_> = meant_effects.keys().chain(done_effects.keys()).cloned().collect();
        for word in words {
            // How far the mark was changed by then does not matter.
            let mut of = |effects: &Effects| {
                let set = effects.get(&word).copied().unwrap_or(Node::FALSE);
                let set = self.whatever_mark(space, set);
                space.minus(set, judged_otherwise)
            };
            let (meant, done) = (of(&meant_effects), of(&done_effects));
            let more = space.minus(done, meant);
            let less = space.minus(meant, done);
            self.note(space, format!("{hook}: it {word}, and should not"), more, found);
            self.note(space, format!("{hook}: it no longer {word}"), less, found);
        }
        Ok(())
    }

    fn whatever_mark(&self, space: &mut Space, set: Node) -> Node {
        (0..32)
            .filter(|bit| self.changed >> bit & 1 == 1)
            .fold(set, |set, bit| space.with_bit(set, &Field::CT_MARK, bit, Bit::Anything))
    }

    /// Notes a packet of a set, with the mark that it began with.
    fn note(&self, space: &mut Space, what: String, set: Node, found: &mut Vec<Besides>) {
        if found.iter().any(|one| one.what == what && one.slice == self.slice && one.family == space.family())
        {
            return;
        }
        let Some(point) = space.point(set) else { return };
        let (mask, value) = self.start;
        let began = point.get(&Field::CT_MARK).unwrap_or(0) & !u128::from(mask) | u128::from(value);
        let point = point.with(Field::CT_MARK, began);
        let place = Place { hook: self.slice.hook, translated: self.slice.translated };
        let family = space.family();
        let example = connection(&point, family, place);
        found.push(Besides { what, example, family, slice: self.slice, point });
    }
}

pub(super) fn hook_word(hook: Hook) -> &'static str {
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
