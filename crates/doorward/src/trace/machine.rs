//! A ruleset made ready to be run: chains and sets by name, base chains in the kernel's order; runs nothing.

use super::index::Index;
use super::walk::Run;
use super::{Assume, End, Hit, Packet, Stop, Trace, Visit};
use crate::net::Family;
use crate::ruleset::{ChainKind, Dynset, Element, Elements, Expr, Hook, Table, TableFamily, set_flags};
use crate::xt::{self, Xt};
use std::collections::HashMap;

/// A ruleset that is ready to be run, many times.
pub struct Machine<'a> {
    tables: Vec<Program<'a>>,
    /// All base chains of families that are run, in the order in which they are called.
    bases: Vec<Base>,
}

/// One table.
pub(super) struct Program<'a> {
    pub(super) table: &'a Table,
    pub(super) chains: HashMap<&'a str, usize>,
    pub(super) sets: HashMap<&'a str, usize>,
    pub(super) indexes: Vec<Index<'a>>,
    /// For each set that packets change, how they do.
    pub(super) dynamic: Vec<Dynamic<'a>>,
    /// Matches and targets of iptables: by chain, rule and expression.
    pub(super) extensions: HashMap<(usize, usize, usize), Xt>,
}

/// Whether and how packets change a set.
#[derive(Clone, Copy)]
pub(super) struct Dynamic<'a> {
    /// Its elements are those of a moment.
    pub(super) fleeting: bool,
    /// What a new element carries.
    pub(super) exprs: &'a [Expr],
}

struct Base {
    table: usize,
    chain: usize,
    priority: (i32, i32),
    nat: bool,
}

impl<'a> Machine<'a> {
    /// Makes these tables ready; their order is that in which they were made.
    #[must_use]
    pub fn new(tables: &'a [Table]) -> Machine<'a> {
        Machine { tables: tables.iter().map(Program::of).collect(), bases: bases(tables) }
    }

    /// Runs a packet through every base chain of its hook and family, by priority; of equal ones, the kernel
    /// calls first what was made last.
    ///
    /// What accepts ends its own base chain only, everything else ends the hook. Tables that sleep are left out.
    /// A `nat` chain is run where the kernel would ask it, for the first packet of a connection, and counts if
    /// it drops.
    pub fn hook(&self, packet: &Packet, assume: &mut dyn Assume) -> Trace<'a> {
        let mut run = Run::new(self, packet, assume);
        let mut bases = Vec::new();
        let mut end = End::Accepted;
        let mut translated = false;
        for base in self.bases.iter().filter(|base| self.meets(base, packet)) {
            // Once a chain has translated it, the kernel asks no other one of this hook.
            if base.nat && translated {
                continue;
            }
            let one = run.base(base.table, base.chain);
            end = one.end;
            translated |= run.was_translated();
            bases.push(one);
            if end != End::Accepted {
                break;
            }
        }
        run.trace(end, bases)
    }

    /// Runs a packet through one chain as if its hook had called it, whatever the hook and the state of its
    /// table. A chain that no hook calls accepts at its end.
    pub fn base_chain(
        &self,
        table: usize,
        chain: &str,
        packet: &Packet,
        assume: &mut dyn Assume,
    ) -> Trace<'a> {
        let mut run = Run::new(self, packet, assume);
        let found = self.tables.get(table).and_then(|program| program.chains.get(chain));
        let Some(&chain) = found else { return run.trace(End::Stopped(Stop::NoChain), Vec::new()) };
        let one = run.base(table, chain);
        run.trace(one.end, vec![one])
    }

    /// The element that a lookup found; none if it is no element with a structure of its own.
    #[must_use]
    pub fn element(&self, visit: &Visit<'_>, hit: &Hit) -> Option<&'a Element> {
        match &self.tables.get(visit.table)?.table.sets.get(hit.set)?.elements {
            Elements::Full(list) => list.get(hit.element?),
            Elements::Plain(_) => None,
        }
    }

    pub(super) fn program(&self, table: usize) -> &Program<'a> {
        &self.tables[table]
    }

    fn meets(&self, base: &Base, packet: &Packet) -> bool {
        let table = self.tables[base.table].table;
        let Some(at) = &table.chains[base.chain].base else { return false };
        let family = match table.family {
            TableFamily::Inet => true,
            TableFamily::Ip => packet.family == Family::V4,
            TableFamily::Ip6 => packet.family == Family::V6,
            _ => false,
        };
        let device = match at.hook {
            Hook::Ingress => &packet.iif,
            _ => &packet.oif,
        };
        let bound =
            at.devices.is_empty() || device.as_ref().is_some_and(|device| at.devices.contains(&device.name));
        family && at.hook == packet.hook && bound && (!base.nat || super::walk::translates(packet))
    }
}

/// Base chains by priority, the later made of equal ones first, as `nf_hook_entries_grow` places them.
fn bases(tables: &[Table]) -> Vec<Base> {
    const DORMANT: u32 = 1;
    let mut bases = Vec::new();
    for (number, table) in tables.iter().enumerate().rev() {
        if table.flags & DORMANT != 0 {
            continue;
        }
        for (chain, at) in table.chains.iter().enumerate().rev() {
            let Some(base) = &at.base else { continue };
            let nat = base.kind == ChainKind::Nat;
            // The kernel asks all nat chains of a hook from one place; their own priorities are of use there only.
            let place = match base.hook {
                _ if !nat => base.priority,
                Hook::Prerouting | Hook::Output => -100,
                _ => 100,
            };
            bases.push(Base { table: number, chain, priority: (place, base.priority), nat });
        }
    }
    bases.sort_by_key(|base| base.priority);
    bases
}

impl<'a> Program<'a> {
    fn of(table: &'a Table) -> Program<'a> {
        let mut chains = HashMap::new();
        for (number, chain) in table.chains.iter().enumerate() {
            chains.entry(chain.name.as_str()).or_insert(number);
        }
        let mut sets = HashMap::new();
        for (number, set) in table.sets.iter().enumerate() {
            sets.entry(set.name.as_str()).or_insert(number);
        }
        let mut dynamic: Vec<Dynamic> = table
            .sets
            .iter()
            .map(|set| Dynamic { fleeting: set.flags & set_flags::EVAL != 0, exprs: &set.exprs })
            .collect();
        let rules = table.chains.iter().flat_map(|chain| &chain.rules);
        for expr in rules.flat_map(|rule| &rule.exprs) {
            let Expr::Dynset(Dynset { set, exprs, .. }) = expr else { continue };
            if let Some(one) = sets.get(set.as_str()).and_then(|set| dynamic.get_mut(*set)) {
                one.fleeting = true;
                if one.exprs.is_empty() {
                    one.exprs = exprs;
                }
            }
        }
        let indexes = table.sets.iter().map(Index::of).collect();
        Program { table, chains, sets, indexes, dynamic, extensions: extensions(table) }
    }
}

fn extensions(table: &Table) -> HashMap<(usize, usize, usize), Xt> {
    let mut found = HashMap::new();
    for (chain, at) in table.chains.iter().enumerate() {
        for (rule, at) in at.rules.iter().enumerate() {
            for (expr, at) in at.exprs.iter().enumerate() {
                if let Some(one) = xt::read(at, table.family) {
                    found.insert((chain, rule, expr), one);
                }
            }
        }
    }
    found
}
