//! The questions: each says how long it took and what came out.

use crate::linear::{self, FAMILIES, Numbers};
use doorward::net::{AddrSet, Family};
use doorward::prove::{Changes, Facts, InTurn, Names, Program, Side, Slice, Telling, changes, packet, told};
use doorward::ruleset::{Chain, Hook, Table, TableFamily};
use doorward::space::{Field, Node, Pred, Space, Terms, name_value, state};
use doorward::trace::{End, Machine, Unknown};
use std::time::Instant;

/// As many products as are told one by one.
const PRODUCTS: usize = 64;

fn timed<T>(question: impl FnOnce() -> T) -> (f64, T) {
    let began = Instant::now();
    let answer = question();
    (began.elapsed().as_secs_f64() * 1000.0, answer)
}

/// Everything that the hook accepts: for sure, and if what no packet tells is so.
struct Accepted {
    space: Space,
    surely: Node,
    perhaps: Node,
}

fn accepted(tables: &[Table], hook: Hook, family: Family, of: impl FnOnce(&mut Terms) -> Pred) -> Accepted {
    let slice = slice(hook);
    let mut terms = Terms::new(family);
    let program = Program::of(tables, &[slice], &Facts::default(), &mut terms);
    let of = of(&mut terms);
    let mut space = Space::new(terms).unwrap();
    let (domain, start) = (space.domain(), space.node(&of));
    let start = space.and(domain, start);
    let (fates, _) = program.fates(&mut space, slice, start, &|_| true).unwrap();
    let surely = space.for_all(fates.accepted, &Field::is_unknown);
    let perhaps = space.exists(fates.accepted, &Field::is_unknown);
    Accepted { space, surely, perhaps }
}

fn slice(hook: Hook) -> Slice {
    Slice { hook, translated: false, nat: false }
}

pub(crate) fn let_in(tables: &[Table], hook: Hook) -> (f64, String) {
    let everything = |_: &mut Terms| Pred::Const(true);
    let (time, all) = timed(|| FAMILIES.map(|family| accepted(tables, hook, family, everything)));
    assert!(all.iter().all(|one| one.surely.is_empty() || !one.perhaps.is_empty()));
    (time, format!("{} and {} nodes", all[0].space.size(), all[1].space.size()))
}

pub(crate) fn products(tables: &[Table], hook: Hook) -> (f64, String) {
    let new = |terms: &mut Terms| terms.equals(&Field::State, state::NEW);
    let (time, counts) = timed(|| {
        FAMILIES.map(|family| {
            let mut all = accepted(tables, hook, family, new);
            let (regions, rest) = all.space.regions(all.perhaps, PRODUCTS);
            (regions.len(), !rest.is_empty())
        })
    });
    let said = counts.map(|(count, more)| format!("{count}{}", if more { " and more" } else { "" }));
    (time, said.join("; "))
}

/// Whether a packet of a kind comes in: TCP to a port from an address on an interface, in a new connection. Where no
/// rule changes packets, who is found can be put to the plain machine.
pub(crate) fn one_kind(tables: &[Table], hook: Hook, round: usize, put: bool) -> (f64, String) {
    let mut numbers = Numbers(round as u64);
    let port = numbers.port();
    let sources = FAMILIES.map(|family| {
        let (bytes, _) = numbers.prefix(family);
        bytes.iter().fold(0, |all, byte| all << 8 | u128::from(*byte))
    });
    let (time, witnesses) = timed(|| {
        [0, 1].map(|at| {
            let kind = |terms: &mut Terms| {
                Pred::all([
                    terms.equals(&Field::State, state::NEW),
                    terms.equals(&Field::LaterFragment, 0),
                    terms.equals(&Field::Iif, name_value("eth0")),
                    terms.equals(&Field::Protocol, 6),
                    terms.equals(&Field::Port, port.into()),
                    terms.equals(&Field::Source, sources[at]),
                ])
            };
            let mut all = accepted(tables, hook, FAMILIES[at], kind);
            let point = all.space.point(all.surely)?;
            Some(packet(&point, FAMILIES[at], slice(hook)))
        })
    });
    // What the machine asks makes no difference.
    let machine = Machine::new(tables);
    for witness in witnesses.iter().flatten().filter(|_| put) {
        for answer in [false, true] {
            assert_eq!(
                machine.hook(witness, &mut |_: &Unknown<'_>| answer).end,
                End::Accepted,
                "{witness:?}"
            );
        }
    }
    (time, witnesses.map(|one| if one.is_some() { "yes" } else { "no" }).join("; "))
}

fn compared(old: &[Table], new: &[Table]) -> (f64, Changes) {
    let (facts, own) = (Facts::default(), AddrSet::empty());
    timed(|| changes(Side::Tables(old, &facts), Side::Tables(new, &facts), &own, &InTurn).unwrap())
}

pub(crate) fn one_changed(tables: &[Table], round: usize) -> (f64, String) {
    let other = linear::turned(tables, round);
    let (time, changes) = compared(tables, &other);
    (time, format!("{} changes", changes.list.len()))
}

/// Against a table that lets nothing in.
pub(crate) fn doors(tables: &[Table]) -> (f64, String) {
    let mut shut = Table::new(TableFamily::Inet, "shut");
    shut.chains.push(Chain { base: Some(linear::base()), ..Chain::regular("input") });
    let (first, changes) = compared(&[shut], tables);
    let (second, told) = timed(|| told(&changes, &Names::default(), Telling::Doors));
    let more = if changes.more { " and more" } else { "" };
    (first + second, format!("{} sentences{more}", told.len()))
}
