//! Whether the kernel still holds what was compiled: every packet, and what rules do besides deciding.

use super::changes::{Changes, Side, changes};
use super::describe::{Traffic, of_region};
use super::lens::Lens;
use super::load::Slice;
use super::program::{BaseChain, ChainName, Facts, Program};
use super::run::{Effects, NotJudged};
use crate::compile::{Options, PENDING, TABLE, compile};
use crate::meaning::sets::{self, Given, Place};
use crate::meaning::{Connection, connection};
use crate::net::{AddrSet, Family};
use crate::resolve::model::Resolved;
use crate::ruleset::{CtKey, Expr, Hook, Table, TableFamily};
use crate::space::{Bit, Field, Node, Point, Pred, Space, Terms, state};
use std::collections::{BTreeMap, BTreeSet};

/// What became of a policy's table in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Drift {
    /// How traffic is treated otherwise than the policy says, from what it says to what the kernel does.
    pub changes: Changes,
    /// What else is otherwise: packets of connections that are open, limits, log lines.
    pub besides: Vec<Besides>,
}

impl Drift {
    /// Whether the kernel does exactly what was compiled.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.changes.list.is_empty() && self.besides.is_empty()
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

/// The hooks in which our table has chains, and each in both views.
const WATCHED: [Slice; 6] = [
    Slice { hook: Hook::Input, translated: false },
    Slice { hook: Hook::Input, translated: true },
    Slice { hook: Hook::Forward, translated: true },
    Slice { hook: Hook::Forward, translated: false },
    Slice { hook: Hook::Output, translated: false },
    Slice { hook: Hook::Prerouting, translated: false },
];

/// Compares the table that the kernel holds with what the policy compiles to.
pub fn drift(
    policy: &Resolved,
    options: &Options,
    held: &Table,
    own: &AddrSet,
    interfaces: &BTreeMap<u32, String>,
) -> Result<Drift, NotJudged> {
    let expected = compile(policy, options);
    let facts = Facts { lens: Lens::of(policy), effects: true, interfaces: interfaces.clone() };
    let mut drift = Drift::default();
    for family in Family::BOTH {
        besides(&expected, held, &facts, family, &mut drift.besides)?;
    }
    if !drift.besides.is_empty() {
        let held = std::slice::from_ref(held);
        drift.changes = changes(Side::Policy(policy), Side::Tables(held, &facts), own)?;
    }
    Ok(drift)
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
    let changed = programs.each_ref().map(|program| program.changed_bits(&Field::CT_MARK));
    let mut space = Space::new(terms)?;
    for slice in WATCHED {
        for start in starts(changed[0] | changed[1]) {
            let two = Two { programs: &programs, slice, start, changed: changed[0] | changed[1] };
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
}

impl Two<'_> {
    fn compare(&self, space: &mut Space, found: &mut Vec<Besides>) -> Result<(), NotJudged> {
        let (mask, value) = self.start;
        let mut start = space.domain();
        for bit in (0..32).filter(|bit| mask >> bit & 1 == 1) {
            if let Some(set) = space.bit(&Field::CT_MARK, bit) {
                let wanted = value >> bit & 1 == 1;
                start = if wanted { space.and(start, set) } else { space.minus(start, set) };
            }
        }
        let (meant, meant_effects) = self.programs[0].fates(space, self.slice, start, &|_| true)?;
        let (done, done_effects) = self.programs[1].fates(space, self.slice, start, &|_| true)?;
        let hook = hook_word(self.slice.hook);
        for (what, meant, done) in [
            ("lets in", meant.accepted, done.accepted),
            ("drops", meant.dropped, done.dropped),
            ("rejects", meant.rejected, done.rejected),
            ("queues", meant.queued, done.queued),
        ] {
            let more = space.minus(done, meant);
            self.note(space, format!("{hook}: the kernel {what} this, and should not"), more, found);
        }
        let words: BTreeSet<_> = meant_effects.keys().chain(done_effects.keys()).cloned().collect();
        for word in words {
            let of = |effects: &Effects| effects.get(&word).copied().unwrap_or(Node::FALSE);
            // How far the mark was changed by then does not matter.
            let meant = self.whatever_mark(space, of(&meant_effects));
            let done = self.whatever_mark(space, of(&done_effects));
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
        let mark = point.get(&Field::CT_MARK).unwrap_or(0) & !u128::from(mask) | u128::from(value);
        let point = point.with(Field::CT_MARK, mark);
        let place = Place { hook: self.slice.hook, translated: self.slice.translated };
        let family = space.family();
        let example = connection(&point, family, place);
        found.push(Besides { what, example, family, slice: self.slice, point });
    }
}

fn hook_word(hook: Hook) -> &'static str {
    match hook {
        Hook::Input => "in",
        Hook::Output => "out",
        Hook::Forward => "forward",
        Hook::Prerouting => "prerouting",
        _ => "elsewhere",
    }
}

/// A chain of somebody else that changes what a policy promises.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Foreign {
    /// The chain.
    pub chain: ChainName,
    /// Its hook, in words.
    pub hook: &'static str,
    /// What it does.
    pub does: Does,
}

/// What a foreign chain does to a promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Does {
    /// It shuts out what the policy lets in.
    Drops {
        /// What, largest first.
        traffic: Vec<(Vec<Family>, Traffic)>,
        /// Whether that is so for certain, or depends on what no packet tells.
        certain: bool,
        /// A connection of it.
        example: Box<Connection>,
    },
    /// It translates destinations, so that other doors are knocked at.
    Translates,
    /// It leaves packets out of connection tracking: replies are no longer known as such.
    Untracks,
    /// It changes bits of the connection mark that are ours.
    Marks,
}

/// So many products of what a foreign chain drops are told.
const TOLD: usize = 8;

/// The chains of others that change what the policy promises.
pub fn foreign(
    policy: &Resolved,
    tables: &[Table],
    own: &AddrSet,
    facts: &Facts,
) -> Result<Vec<Foreign>, NotJudged> {
    let others: Vec<Table> = tables
        .iter()
        .filter(|table| !(table.family == TableFamily::Inet && table.name == TABLE))
        .cloned()
        .collect();
    let mut found = side_effects(&others);
    for family in Family::BOTH {
        droppers(policy, &others, own, facts, family, &mut found)?;
    }
    Ok(found)
}

/// Where packets of a place pass, the place's own hook included.
fn passed(place: Place) -> Vec<Slice> {
    let hooks: &[Hook] = match place.hook {
        Hook::Input => &[Hook::Prerouting, Hook::Input],
        Hook::Forward => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
        _ => &[Hook::Output, Hook::Postrouting],
    };
    hooks.iter().map(|hook| Slice { hook: *hook, translated: place.translated }).collect()
}

fn droppers(
    policy: &Resolved,
    others: &[Table],
    own: &AddrSet,
    facts: &Facts,
    family: Family,
    found: &mut Vec<Foreign>,
) -> Result<(), NotJudged> {
    let mut terms = Terms::new(family);
    let mut slices: Vec<Slice> = Place::ALL.iter().flat_map(|place| passed(*place)).collect();
    slices.sort_unstable();
    slices.dedup();
    let promised: Vec<Pred> = Place::ALL
        .iter()
        .map(|place| {
            let opening = sets::openings(policy, own, *place, false, &mut terms);
            let meant = sets::sets(policy, *place, Given::default(), &mut terms);
            Pred::all([opening, meant.allowed])
        })
        .collect();
    let program = Program::of(others, &slices, facts, &mut terms);
    let mut space = Space::new(terms)?;
    for (at, place) in Place::ALL.into_iter().enumerate() {
        let mut start = space.node(&promised[at]);
        for mark in [Field::MARK, Field::CT_MARK] {
            start = space.fixed(start, &mark, 0);
        }
        for slice in passed(place) {
            for base in program.base_chains(slice) {
                let only = |one: &BaseChain| one.name == base.name && one.priority == base.priority;
                let (fates, _) = program.fates(&mut space, slice, start, &only)?;
                let mut gone = space.or(fates.dropped, fates.rejected);
                gone = space.or(gone, fates.queued);
                let may_pass = space.exists(fates.accepted, &Field::is_unknown);
                let possible = space.exists(gone, &Field::is_unknown);
                let for_certain = space.minus(possible, may_pass);
                let certain = !for_certain.is_empty();
                dropped(
                    &mut space,
                    base,
                    place,
                    slice,
                    if certain { for_certain } else { possible },
                    certain,
                    found,
                );
            }
        }
    }
    space.holds_good()?;
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one finding with all that belongs to it")]
fn dropped(
    space: &mut Space,
    base: &BaseChain,
    place: Place,
    slice: Slice,
    set: Node,
    certain: bool,
    found: &mut Vec<Foreign>,
) {
    let set = space.exists(set, &|field| !super::changes::is_spoken_of(field));
    let family = space.family();
    let (regions, _) = space.regions(set, TOLD);
    let Some(first) = regions.first() else { return };
    let example = connection(&first.example, family, place);
    let hook = hook_word(slice.hook);
    let at = found.iter().position(|one| {
        one.chain == base.name
            && one.hook == hook
            && matches!(&one.does, Does::Drops { certain: known, .. } if *known == certain)
    });
    let at = at.unwrap_or_else(|| {
        let does = Does::Drops { traffic: Vec::new(), certain, example: Box::new(example) };
        found.push(Foreign { chain: base.name.clone(), hook, does });
        found.len() - 1
    });
    let Does::Drops { traffic, .. } = &mut found[at].does else { return };
    for region in &regions {
        let one = of_region(region, family, place);
        let twin = traffic.iter_mut().find(|(families, known)| {
            known == &one || known.words() == one.words() && !families.contains(&family)
        });
        match twin {
            Some((families, _)) if families.contains(&family) => {}
            Some((families, _)) => families.push(family),
            None => traffic.push((vec![family], one)),
        }
    }
}

/// What chains of others do besides judging, as far as it touches what we rely on.
fn side_effects(others: &[Table]) -> Vec<Foreign> {
    let mut found = Vec::new();
    for table in others {
        for chain in &table.chains {
            let name =
                ChainName { family: table.family, table: table.name.clone(), chain: chain.name.clone() };
            let hook = chain.base.as_ref().map_or("elsewhere", |base| hook_word(base.hook));
            let mut does = Vec::new();
            for expr in chain.rules.iter().flat_map(|rule| &rule.exprs) {
                match expr {
                    Expr::Nat(nat) if !nat.source => does.push(Does::Translates),
                    Expr::Redir(_) => does.push(Does::Translates),
                    Expr::Notrack => does.push(Does::Untracks),
                    Expr::CtSet { key: CtKey::Mark, .. } => does.push(Does::Marks),
                    _ => {}
                }
            }
            does.dedup();
            found.extend(does.into_iter().map(|does| Foreign { chain: name.clone(), hook, does }));
        }
    }
    found
}
