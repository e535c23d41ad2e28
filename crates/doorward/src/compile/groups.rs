//! Sentences of one verdict as few lookups: cells of the same shape share one set.

use super::builder::Builder;
use super::cells::{Cell, Constant, Field, Place};
use super::code::{self, R0};
use super::lists;
use crate::net::{Prefix, Proto};
use crate::resolve::model::{Rule, Traffic};
use crate::ruleset::{Expr, KeyPart};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// What a group does with a packet that matches.
#[derive(Clone, Debug)]
pub(super) struct Action {
    /// First words of the names of sets.
    pub stem: &'static str,
    /// Whether hits are counted here.
    pub counted: bool,
    /// The expressions behind the match.
    pub code: Vec<Expr>,
}

/// One sentence and its cells at a place.
pub(super) struct Said<'a> {
    /// The sentence.
    pub rule: &'a Rule,
    /// What of it is looked for here.
    pub cells: Vec<Cell>,
}

/// Cells that share constants and shape, hence one lookup.
struct Group {
    constants: Vec<Constant>,
    shape: Vec<Field>,
    /// Key, and the sentence that said it first.
    keys: BTreeMap<Vec<u8>, usize>,
    sentences: BTreeSet<usize>,
}

/// Above so many sentences the order of counters is not looked after any more.
const ORDERED_MAX: usize = 500;
/// From so many lookups on a test of the port goes first.
const GUARDED_MIN: usize = 3;

/// Adds the rules to a chain that do this for all these sentences, in as few lookups as there are shapes.
pub(super) fn emit(builder: &mut Builder<'_>, chain: &str, place: Place, said: &[Said<'_>], action: &Action) {
    let mut groups = group(said, place);
    // Runs of groups that differ in prefix length only may stand behind one test of the port.
    while !groups.is_empty() {
        let first = &groups[0];
        let like = |group: &Group| {
            group.constants == first.constants
                && without_lengths(&group.shape) == without_lengths(&first.shape)
        };
        let run = groups.iter().take_while(|group| like(group)).count().max(1);
        let rest = groups.split_off(run);
        let guarded = run >= GUARDED_MIN && !place.original && groups[0].shape.contains(&Field::Port);
        let target = if guarded { guard(builder, chain, place, &groups, action) } else { chain.to_owned() };
        for group in &groups {
            emit_group(builder, &target, place, said, group, action);
        }
        groups = rest;
    }
}

/// One test of the port for several lookups; yields the chain behind it.
fn guard(builder: &mut Builder<'_>, chain: &str, place: Place, groups: &[Group], action: &Action) -> String {
    let mut ports = BTreeMap::new();
    for group in groups {
        for key in group.keys.keys() {
            if let Some(tail) = key.len().checked_sub(8).and_then(|at| key.get(at..)) {
                ports.insert(tail, "");
            }
        }
    }
    let set = builder.set("ports", &[KeyPart::L4proto, KeyPart::Port], false, &ports);
    let behind = builder.fresh(action.stem);
    let (mut code, _) = Field::Port.load(place, false, R0);
    code.extend([code::lookup(&set, R0, false), code::jump(&behind)]);
    builder.rule(chain, code);
    builder.open(&behind);
    behind
}

fn emit_group(
    builder: &mut Builder<'_>,
    chain: &str,
    place: Place,
    said: &[Said<'_>],
    group: &Group,
    action: &Action,
) {
    let early: Vec<Vec<Expr>> = group.constants.iter().flat_map(Constant::leave_early).collect();
    let constants: Vec<Expr> = group.constants.iter().flat_map(|constant| constant.code(place)).collect();
    if early.is_empty() {
        return emit_match(builder, chain, place, said, group, constants, action);
    }
    let inner = builder.fresh(action.stem);
    builder.rule(chain, [constants, vec![code::jump(&inner)]].concat());
    for rule in early {
        builder.rule(&inner, rule);
    }
    emit_match(builder, &inner, place, said, group, Vec::new(), action);
}

fn emit_match(
    builder: &mut Builder<'_>,
    chain: &str,
    place: Place,
    said: &[Said<'_>],
    group: &Group,
    constants: Vec<Expr>,
    action: &Action,
) {
    let comment = |index: &usize| said.get(*index).map(|s| s.rule.origin.comment()).unwrap_or_default();
    if group.shape.is_empty() {
        let mut code = constants;
        if action.counted {
            code.push(code::counter());
        }
        code.extend(action.code.iter().cloned());
        let words = group.sentences.first().map(comment).unwrap_or_default();
        return builder.commented(chain, code, &words);
    }
    let typed = place.original && group.shape.iter().any(|field| matches!(field, Field::Destination(_)));
    let parts: Vec<KeyPart> = group.shape.iter().flat_map(|field| field.parts(place, typed)).collect();
    // Of thousands of cells many are of one sentence.
    let words: BTreeMap<usize, String> =
        group.sentences.iter().map(|index| (*index, comment(index))).collect();
    let elements: BTreeMap<&[u8], &str> = group
        .keys
        .iter()
        .map(|(key, index)| (key.as_slice(), words.get(index).map_or("", String::as_str)))
        .collect();
    let set = builder.set(action.stem, &parts, action.counted, &elements);
    let mut code = constants;
    let mut at = R0;
    for field in &group.shape {
        let (load, next) = field.load(place, typed, at);
        code.extend(load);
        at = next;
    }
    code.push(code::lookup(&set, R0, false));
    code.extend(action.code.iter().cloned());
    if place.original && group.shape.contains(&Field::Port) {
        // Conntrack's ports mean nothing before the protocol is known.
        for proto in protocols(&group.keys) {
            builder.rule(chain, [code::l4proto(proto), code.clone()].concat());
        }
    } else {
        builder.rule(chain, code);
    }
}

/// The protocols of keys that end in protocol and port.
fn protocols(keys: &BTreeMap<Vec<u8>, usize>) -> BTreeSet<Proto> {
    keys.keys().filter_map(|key| key.get(key.len().checked_sub(8)?).copied()).map(Proto).collect()
}

fn without_lengths(shape: &[Field]) -> Vec<Field> {
    shape
        .iter()
        .map(|field| match field {
            Field::Source(_) => Field::Source(0),
            Field::Destination(_) => Field::Destination(0),
            other => *other,
        })
        .collect()
}

/// Sorts cells into groups. A hit goes to the first sentence in the file that matches, so a sentence may
/// join a group only if no earlier one that overlaps it is looked up later.
fn group(said: &[Said<'_>], place: Place) -> Vec<Group> {
    let rounded = rounding(said);
    let ordered = said.len() <= ORDERED_MAX;
    let mut groups: Vec<Group> = Vec::new();
    let mut latest: BTreeMap<(Vec<Constant>, Vec<Field>, usize), usize> = BTreeMap::new();
    for (index, sentence) in said.iter().enumerate() {
        let cells: Vec<Cow<'_, [Cell]>> =
            sentence.cells.iter().map(|cell| round(cell, &rounded, place)).collect();
        // Where the cell before it went: most cells of a sentence are of one shape.
        let mut before: Option<usize> = None;
        for cell in cells.iter().flat_map(|cells| cells.iter()) {
            let like = |at: &usize| {
                let group = &groups[*at];
                cell.constants == group.constants && cell.has_shape(&group.shape)
            };
            let at = before.filter(like).unwrap_or_else(|| {
                let shape = cell.shape();
                let owner = if shape.is_empty() { index + 1 } else { 0 };
                let id = (cell.constants.clone(), shape.clone(), owner);
                let known = latest.get(&id).copied().filter(|at| {
                    !ordered
                        || groups[at + 1..]
                            .iter()
                            .flat_map(|later| &later.sentences)
                            .all(|earlier| *earlier == index || !overlap(said[*earlier].rule, sentence.rule))
                });
                known.unwrap_or_else(|| {
                    groups.push(Group {
                        constants: cell.constants.clone(),
                        shape,
                        keys: BTreeMap::new(),
                        sentences: BTreeSet::new(),
                    });
                    latest.insert(id, groups.len() - 1);
                    groups.len() - 1
                })
            });
            before = Some(at);
            let group = &mut groups[at];
            group.keys.entry(cell.key()).or_insert(index);
            group.sentences.insert(index);
        }
    }
    if !ordered {
        groups.sort_by_key(|group| (group.constants.clone(), without_lengths(&group.shape)));
    }
    groups
}

/// Whether a connection can match both; may say yes where the answer is no.
fn overlap(a: &Rule, b: &Rule) -> bool {
    let traffic = a.traffic.iter().any(|x| b.traffic.iter().any(|y| traffic_overlaps(*x, *y)));
    traffic && a.scope.from.set().meets(&b.scope.from.set()) && a.scope.to.set().meets(&b.scope.to.set())
}

fn traffic_overlaps(a: Traffic, b: Traffic) -> bool {
    match (a, b) {
        (Traffic::Any, _) | (_, Traffic::Any) => true,
        (Traffic::Ports(one, mine), Traffic::Ports(two, theirs)) => {
            one == two && mine.first() <= theirs.last() && theirs.first() <= mine.last()
        }
        (Traffic::Icmp(one), Traffic::Icmp(two)) => one == two,
        (Traffic::Protocol(one) | Traffic::Ports(one, _), Traffic::Protocol(two))
        | (Traffic::Protocol(one), Traffic::Ports(two, _)) => one == two,
        _ => false,
    }
}

type Shape = (Vec<Constant>, Vec<Field>);

/// Where cells of one shape have many prefix lengths, which ones to write as longer ones.
fn rounding(said: &[Said<'_>]) -> BTreeMap<Shape, BTreeMap<u8, u8>> {
    let mut counts: BTreeMap<Shape, BTreeMap<u8, usize>> = BTreeMap::new();
    for cell in said.iter().flat_map(|sentence| &sentence.cells) {
        if let Some(length) = only_length(cell) {
            let shape = (cell.constants.clone(), without_lengths(&cell.shape()));
            *counts.entry(shape).or_default().entry(length).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .map(|(shape, counts)| (shape, lists::rounding(&counts)))
        .filter(|(_, to)| !to.is_empty())
        .collect()
}

/// The prefix length of a cell that has exactly one.
fn only_length(cell: &Cell) -> Option<u8> {
    let mut lengths = cell.fields.iter().filter_map(|(field, _)| match field {
        Field::Source(length) | Field::Destination(length) => Some(*length),
        _ => None,
    });
    match (lengths.next(), lengths.next()) {
        (Some(length), None) => Some(length),
        _ => None,
    }
}

fn round<'a>(cell: &'a Cell, rounded: &BTreeMap<Shape, BTreeMap<u8, u8>>, place: Place) -> Cow<'a, [Cell]> {
    let to = (!rounded.is_empty()).then(|| only_length(cell)).flatten().and_then(|length| {
        let to = rounded.get(&(cell.constants.clone(), without_lengths(&cell.shape())))?.get(&length)?;
        (*to > length).then_some((length, *to))
    });
    let as_it_is = Cow::Borrowed(std::slice::from_ref(cell));
    let Some((length, to)) = to else { return as_it_is };
    let at =
        cell.fields.iter().position(|(field, _)| matches!(field, Field::Source(_) | Field::Destination(_)));
    let Some((at, bytes)) = at.and_then(|at| Some((at, cell.fields.get(at)?.1.first()?))) else {
        return as_it_is;
    };
    let number = bytes.iter().fold(0u128, |sum, byte| sum << 8 | u128::from(*byte));
    lists::split(Prefix::around(place.family, number, length), to)
        .map(|part| {
            let mut cell = cell.clone();
            let field = match cell.fields[at].0 {
                Field::Source(_) => Field::Source(to),
                _ => Field::Destination(to),
            };
            cell.fields[at] = (field, vec![part.bytes()]);
            cell
        })
        .collect()
}
