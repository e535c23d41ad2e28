//! A packet on its way through every base chain that it meets, hook by hook; says who ended it, and judges nothing.
//!
//! No address is translated: at each hook the packet already is as it would be there. Marks that a rule gives
//! at one hook are not seen at the next; [`marks`] tells where that could matter.

use super::packet::{Surroundings, at};
use super::path::{Event, Step, steps};
use crate::emit::Style;
use crate::meaning::{Connection, Path};
use crate::ruleset::{ChainKind, CtKey, Expr, Hook, MetaKey, Table};
use crate::trace::{Assume, End, Machine};

/// A base chain that the packet met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base {
    /// Index of the table.
    pub table: usize,
    /// Name of the chain.
    pub chain: String,
    /// Its hook.
    pub hook: Hook,
    /// Its priority.
    pub priority: i32,
    /// Whether it translates addresses.
    pub nat: bool,
    /// How it ended.
    pub end: End,
    /// No rule decided, its policy did.
    pub by_policy: bool,
    /// The rules that it met there.
    pub steps: Vec<Step>,
}

/// The whole way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passage {
    /// How it ended.
    pub end: End,
    /// The base chains, in the order in which they are called.
    pub bases: Vec<Base>,
}

/// How a way ended, and in which base chain if not well: indexes of table and chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    /// How.
    pub end: End,
    /// Where; none where it was let through everywhere.
    pub by: Option<(usize, usize)>,
}

/// The hooks that the first packet of a connection comes by, in their order.
fn hooks(connection: &Connection) -> &'static [Hook] {
    match connection.path {
        Path::In { .. } => &[Hook::Prerouting, Hook::Input],
        Path::Out { .. } => &[Hook::Output, Hook::Postrouting],
        Path::Forward { .. } => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
    }
}

/// How it ends.
pub fn ending(
    machine: &Machine<'_>,
    connection: &Connection,
    around: &Surroundings,
    assume: &mut dyn Assume,
) -> Ending {
    for hook in hooks(connection) {
        let trace = machine.hook(&at(*hook, connection, around), assume);
        if trace.end != End::Accepted {
            return Ending { end: trace.end, by: trace.bases.last().map(|base| (base.table, base.chain)) };
        }
    }
    Ending { end: End::Accepted, by: None }
}

/// The whole way, with all rules.
pub fn whole(
    tables: &[Table],
    machine: &Machine<'_>,
    connection: &Connection,
    around: &Surroundings,
    assume: &mut dyn Assume,
    style: &Style,
) -> Passage {
    let mut passage = Passage { end: End::Accepted, bases: Vec::new() };
    for hook in hooks(connection) {
        let trace = machine.hook(&at(*hook, connection, around), assume);
        let all = steps(tables, machine, &trace, style);
        for end in &trace.bases {
            let Some(chain) = tables.get(end.table).and_then(|table| table.chains.get(end.chain)) else {
                continue;
            };
            let base = chain.base.as_ref();
            passage.bases.push(Base {
                table: end.table,
                chain: chain.name.clone(),
                hook: *hook,
                priority: base.map_or(0, |base| base.priority),
                nat: base.is_some_and(|base| base.kind == ChainKind::Nat),
                end: end.end,
                by_policy: end.by_policy,
                steps: all.get(end.visits.clone()).unwrap_or_default().to_vec(),
            });
        }
        passage.end = trace.end;
        if trace.end != End::Accepted {
            break;
        }
    }
    passage
}

/// The base chain that would lead it elsewhere: it translates the destination.
#[must_use]
pub fn translates(passage: &Passage) -> Option<&Base> {
    passage.bases.iter().find(|base| {
        matches!(base.hook, Hook::Prerouting | Hook::Output)
            && base.nat
            && base.steps.iter().any(|step| step.event == Event::Translated)
    })
}

/// The first base chain, other than at the last hook, where a rule gives a mark that later ones may look at.
#[must_use]
pub fn marks<'p>(tables: &[Table], passage: &'p Passage) -> Option<&'p Base> {
    let last = passage.bases.last()?.hook;
    let gives = |expr: &Expr| {
        matches!(expr, Expr::MetaSet { key: MetaKey::Mark, .. } | Expr::CtSet { key: CtKey::Mark, .. })
    };
    passage.bases.iter().filter(|base| base.hook != last).find(|base| {
        let took_effect = |step: &&Step| step.event != Event::Missed;
        base.steps.iter().filter(took_effect).any(|step| {
            let chain = tables.get(step.table).and_then(|table| table.chain(&step.chain));
            let rule = chain.and_then(|chain| chain.rules.get(step.rule.wrapping_sub(1)));
            rule.is_some_and(|rule| rule.exprs.iter().any(gives))
        })
    })
}
