//! Which new connections are translated otherwise by one firewall than by another; says nothing in words.

use super::changes::{Change, Changes, Kind, Side};
use super::load::Slice;
use super::names::Never;
use super::parts::{Knife, parts};
use super::program::Program;
use super::run::NotJudged;
use super::translated::TRANSLATING;
use crate::meaning::sets::Place;
use crate::meaning::translate::{self, End};
use crate::net::AddrSet;
use crate::resolve::model::Way;
use crate::ruleset::Hook;
use crate::space::{Field, LOCAL, Node, Pred, Space, Terms, state};
use std::collections::BTreeMap;
use std::sync::Arc;

/// So many products are listed per hook.
const MOST: usize = 64;

/// Where ours translate: as it arrives, and as it leaves.
const ENDS: [(usize, End); 2] = [(0, End::Destination), (1, End::Source)];

/// One side at both ends.
pub(super) enum Asked {
    Policy([Vec<(Arc<str>, Pred)>; 2]),
    Tables(Program),
}

impl Asked {
    pub(super) fn of(side: Side<'_>, terms: &mut Terms) -> Asked {
        match side {
            Side::Policy(policy) => Asked::Policy(ENDS.map(|(_, end)| {
                let all = translate::all(policy, end, terms);
                all.into_iter().map(|(to, about)| (to.to_string().into(), about)).collect()
            })),
            Side::Tables(tables, facts) => Asked::Tables(Program::of(tables, &TRANSLATING, facts, terms)),
        }
    }

    fn is_idle(&self, at: usize) -> bool {
        match self {
            Asked::Policy(ends) => ends[at].is_empty(),
            Asked::Tables(program) => program.base_chains(slice(at)).is_empty(),
        }
    }

    fn is_same(&self, other: &Asked, at: usize) -> bool {
        match (self, other) {
            (Asked::Tables(one), Asked::Tables(other)) => one.is_same(other, slice(at)),
            _ => false,
        }
    }

    /// What becomes of these packets, each end with those that get it.
    fn ends(&self, space: &mut Space, at: usize, start: Node) -> Result<BTreeMap<Arc<str>, Node>, NotJudged> {
        let mut ends = match self {
            Asked::Policy(ends) => {
                let mut all = BTreeMap::new();
                for (end, about) in &ends[at] {
                    let about = space.node(about);
                    all.insert(end.clone(), space.and(start, about));
                }
                all
            }
            Asked::Tables(program) => program.fates(space, slice(at), start, &|_| true)?.1,
        };
        // What nobody speaks of may be as it likes, as far as it can be.
        for set in ends.values_mut() {
            let any = space.exists(*set, &|field| {
                matches!(field, Field::Meta(_) | Field::Ct(..) | Field::Unknown(_) | Field::TcpFlags)
            });
            *set = space.and(any, start);
        }
        Ok(ends)
    }
}

/// Terms that the question itself needs.
pub(super) fn openings(terms: &mut Terms) -> [Pred; 2] {
    let opens = Pred::all([translate::beginnings(terms), terms.equals(&Field::State, state::NEW)]);
    let ours = terms.equals(&Field::DESTINATION_TYPE, LOCAL);
    [Pred::all([opens.clone(), ours]), opens]
}

/// Lists what is otherwise.
pub(super) fn compare(
    space: &mut Space,
    [old, new]: &[Asked; 2],
    openings: &[Pred; 2],
    own: &AddrSet,
    changes: &mut Changes,
) -> Result<(), NotJudged> {
    let never = Never::of(own);
    for (at, end) in ENDS {
        if (old.is_idle(at) && new.is_idle(at)) || old.is_same(new, at) {
            continue;
        }
        let start = space.node(&openings[at]);
        let possible = space.domain();
        let start = space.and(start, possible);
        let (was, is) = (old.ends(space, at, start)?, new.ends(space, at, start)?);
        let place = Place { hook: slice(at).hook, translated: false };
        let way = if end == End::Destination { Way::In } else { Way::Forward };
        let stays = |space: &mut Space, ends: &BTreeMap<Arc<str>, Node>| {
            let all = space.union(ends.values().copied().collect());
            space.minus(start, all)
        };
        let mut sides: [Vec<(Option<Arc<str>>, Node)>; 2] = [(); 2].map(|()| Vec::new());
        for (side, ends) in sides.iter_mut().zip([&was, &is]) {
            let unled = stays(space, ends);
            side.push((None, unled));
            side.extend(ends.iter().map(|(end, set)| (Some(end.clone()), *set)));
        }
        let [was, is] = sides;
        for (before, led) in &was {
            for (after, set) in is.iter().filter(|(after, _)| after != before) {
                let set = space.and(*led, *set);
                space.holds_good()?;
                if set.is_empty() {
                    continue;
                }
                let knife = Knife {
                    place,
                    openings: start,
                    alike: Node::FALSE,
                    broad: false,
                    never: &never,
                    most: MOST,
                    among: None,
                };
                let (found, all) = parts(space, set, knife);
                changes.more |= !all;
                for part in found {
                    let change = Change::of(Kind::Leads, way, space.family(), part.traffic, part.example);
                    let words = |end: &Option<Arc<str>>| end.iter().map(ToString::to_string).collect();
                    changes.add(Change { was: words(before), is: words(after), ..change });
                }
            }
        }
    }
    Ok(())
}

fn slice(at: usize) -> Slice {
    let hook = if at == 0 { Hook::Prerouting } else { Hook::Postrouting };
    Slice { hook, translated: false, nat: true }
}
