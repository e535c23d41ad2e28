//! Whether the kernel still holds what was compiled: every packet, and what rules do besides deciding.

use super::changes::{Changes, Side, changes};
use super::describe::Traffic;
use super::lens::Lens;
use super::load::Slice;
use super::names::Never;
use super::parts::{Knife, Part, parts};
use super::program::{BaseChain, ChainName, Facts, Program};
use super::run::NotJudged;
use crate::compile::{Options, PENDING, TABLE, compile};
use crate::meaning::sets::{self, Given, Place};
use crate::meaning::{Connection, connection};
use crate::net::{AddrSet, Family};
use crate::resolve::model::Resolved;
use crate::ruleset::{CtKey, Expr, Hook, Table, TableFamily};
use crate::space::{Field, Node, Pred, Space, Terms};
use std::collections::HashMap;

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
    /// Such a packet.
    pub example: Connection,
    /// Its connection state: 2 established, 4 related, 8 new, 64 untracked, 1 invalid.
    pub state: u128,
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
    interfaces: &HashMap<u32, String>,
) -> Result<Drift, NotJudged> {
    let expected = compile(policy, options);
    let facts =
        Facts { lens: Lens::of(policy), effects: true, interfaces: interfaces.clone() };
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
    let mut space = Space::new(terms)?;
    for slice in WATCHED {
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
        let words: std::collections::BTreeSet<_> = meant_effects.keys().chain(done_effects.keys()).cloned().collect();
        for word in words {
            let of = |effects: &super::run::Effects| effects.get(&word).copied().unwrap_or(Node::FALSE);
            let (meant, done) = (of(&meant_effects), of(&done_effects));
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
    let never = Never::of(own);
    for (at, place) in Place::ALL.into_iter().enumerate() {
        let promised = space.node(&promised[at]);
        let mut start = promised;
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
                let set = if certain { for_certain } else { possible };
                let knife = Knife { place, openings: promised, alike: Node::FALSE, never: &never, most: TOLD };
                dropped(&mut space, base, hook_word(slice.hook), set, certain, knife, found);
            }
        }
    }
    space.holds_good()?;
    Ok(())
}

fn dropped(
    space: &mut Space,
    base: &BaseChain,
    hook: &'static str,
    set: Node,
    certain: bool,
    knife: Knife<'_>,
    found: &mut Vec<Foreign>,
) {
    let family = space.family();
    let (parts, _) = parts(space, set, knife);
    for Part { traffic: one, example } in parts {
        let at = found.iter().position(|known| {
            let same = |does: &Does| matches!(does, Does::Drops { certain: known, .. } if *known == certain);
            known.chain == base.name && known.hook == hook && same(&known.does)
        });
        let at = at.unwrap_or_else(|| {
            let does = Does::Drops { traffic: Vec::new(), certain, example: Box::new(example) };
            found.push(Foreign { chain: base.name.clone(), hook, does });
            found.len() - 1
        });
        let Does::Drops { traffic, .. } = &mut found[at].does else { continue };
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
