//! A trial: while it is armed the new policy judges; once it is over, all is as it was before; proves both.

use super::both::Both;
use super::check::{Claim, check};
use super::drift::{Besides, WATCHED, hook_word};
use super::equal::Difference;
use super::lens::Lens;
use super::load::Slice;
use super::program::{Facts, Program};
use super::run::NotJudged;
use super::translated::Mistranslated;
use crate::compile::{self, GENERATION_BITS, PENDING, TABLE, once_over, while_armed};
use crate::meaning::connection;
use crate::meaning::sets::Place;
use crate::meaning::translate::beginnings;
use crate::net::Family;
use crate::ruleset::{Table, TableFamily};
use crate::space::{Bit, Field, Node, Space, Terms};

/// What a trial was found to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrialProof {
    /// Packets that are treated otherwise than the new policy says while it is armed.
    pub meanwhile: Vec<Difference>,
    /// First packets that are translated otherwise than the new policy says while it is armed.
    pub mistranslated: Vec<Mistranslated>,
    /// Packets that are treated otherwise than before once it is over, of connections that it did not let in.
    pub afterwards: Vec<Besides>,
}

impl TrialProof {
    /// Whether it is a trial: the new policy for a time, and the old state afterwards.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.meanwhile.is_empty() && self.mistranslated.is_empty() && self.afterwards.is_empty()
    }
}

/// Proves a table with a trial in it. `claim` names the new policy and that table; `before` is our table before the
/// trial, with one generation that judges, or none.
pub fn on_trial(claim: Claim<'_>, before: Option<&Table>, both: &impl Both) -> Result<TrialProof, NotJudged> {
    let armed = while_armed(claim.table);
    let facts = Facts { lens: Lens::of(claim.policy), ..Facts::default() };
    let found = check(Claim { table: &armed, ..claim }, &facts, both);
    if let Some(why) = found.unproven {
        return Err(why);
    }
    let nothing = Table::new(TableFamily::Inet, TABLE);
    let two = [before.unwrap_or(&nothing), &once_over(claim.table)];
    let lens = Lens::by_names(two[1]).and(claim.policy).without_buckets();
    let facts = Facts { lens, ..Facts::default() };
    let new = claim.options.generation;
    let [four, six] = both.both(&|family| afterwards(two, new, &facts, family));
    let mut afterwards = four?;
    afterwards.extend(six?);
    Ok(TrialProof { meanwhile: found.differences, mistranslated: found.mistranslated, afterwards })
}

/// What is otherwise than before in one family.
fn afterwards(two: [&Table; 2], new: u8, facts: &Facts, family: Family) -> Result<Vec<Besides>, NotJudged> {
    let mut terms = Terms::new(family);
    let programs = Program::both(two, &WATCHED, facts, &mut terms);
    let mark =
        |terms: &mut Terms, mask: u32, value: u32| terms.masked(&Field::CT_MARK, mask.into(), value.into());
    let by_new = mark(&mut terms, GENERATION_BITS, compile::mark_of(new));
    // A generation alone asks for this bit of the mark only. Should the trial ask for more than the number of the new
    // one, packets that differ in that are treated otherwise than one of them was.
    let owes = mark(&mut terms, PENDING, PENDING);
    let begins = beginnings(&mut terms);
    let mut space = Space::new(terms)?;
    let begins = space.node(&begins);
    let [by_new, owes] = [by_new, owes].map(|pred| space.node(&pred));
    let mut found = Vec::new();
    for slice in WATCHED {
        if programs.iter().all(|program| program.base_chains(slice).is_empty()) {
            continue;
        }
        let others = space.domain();
        let mut others = space.minus(others, by_new);
        if slice.nat {
            others = space.and(others, begins);
        }
        for start in [space.minus(others, owes), space.and(others, owes)] {
            compare(&mut space, &programs, slice, start, &mut found)?;
        }
        space.holds_good()?;
    }
    Ok(found)
}

/// Compares what becomes of packets that begin with one class of marks, whatever their marks are in the end.
fn compare(
    space: &mut Space,
    programs: &[Program; 2],
    slice: Slice,
    start: Node,
    found: &mut Vec<Besides>,
) -> Result<(), NotJudged> {
    let (before, was) = programs[0].fates(space, slice, start, &|_| true)?;
    let (after, is) = programs[1].fates(space, slice, start, &|_| true)?;
    let hook = hook_word(slice.hook);
    for (what, before, after) in [
        ("let in", before.accepted, after.accepted),
        ("dropped", before.dropped, after.dropped),
        ("rejected", before.rejected, after.rejected),
        ("queued", before.queued, after.queued),
    ] {
        let [before, after] = [before, after].map(|set| whatever_mark(space, set));
        let more = space.minus(after, before);
        note(
            space,
            slice,
            more,
            format!("{hook}: this is {what} after the trial, and was not before"),
            found,
        );
    }
    // What is translated, and to what. Nothing else that rules do is looked at here.
    for (what, set) in &is {
        let before = was.get(what).copied().unwrap_or(Node::FALSE);
        let [before, after] = [before, *set].map(|set| whatever_mark(space, set));
        let more = space.minus(after, before);
        note(space, slice, more, format!("{hook}: it {what} after the trial, and did not before"), found);
    }
    for (what, set) in &was {
        let after = is.get(what).copied().unwrap_or(Node::FALSE);
        let [before, after] = [*set, after].map(|set| whatever_mark(space, set));
        let less = space.minus(before, after);
        note(space, slice, less, format!("{hook}: it no longer {what} after the trial"), found);
    }
    Ok(())
}

fn note(space: &mut Space, slice: Slice, set: Node, what: String, found: &mut Vec<Besides>) {
    let Some(point) = space.point(set) else { return };
    let family = space.family();
    let place = Place { hook: slice.hook, translated: slice.translated };
    let example = connection(&point, family, place);
    found.push(Besides { what, example, family, slice, point });
}

fn whatever_mark(space: &mut Space, set: Node) -> Node {
    (24..32).fold(set, |set, bit| space.with_bit(set, &Field::CT_MARK, bit, Bit::Anything))
}
