//! What changes for traffic between two firewalls: complete, as few products, largest first.

use super::describe::{Traffic, of_region};
use super::load::Slice;
use super::program::{Facts, Program};
use super::run::NotJudged;
use crate::meaning::sets::{self, Given, Place};
use crate::meaning::{Connection, connection};
use crate::net::{AddrSet, Family};
use crate::resolve::model::{Resolved, Way};
use crate::ruleset::Table;
use crate::space::{Field, Node, Pred, Space, Terms};

/// One of the two.
#[derive(Clone, Copy)]
pub enum Side<'a> {
    /// What a policy says.
    Policy(&'a Resolved),
    /// What tables do, and what is known of them.
    Tables(&'a [Table], &'a Facts),
}

/// How traffic is treated now and was not before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// It was shut out, and comes in.
    Opens,
    /// It came in, and is shut out.
    Shuts,
    /// It came in without a limit, and has one.
    Limits,
    /// It had a limit, and has none.
    Unlimits,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What happens.
    pub kind: Kind,
    /// On which way.
    pub way: Way,
    /// For which families.
    pub families: Vec<Family>,
    /// Which traffic, of the first of these families.
    pub traffic: Traffic,
    /// A connection of it.
    pub example: Connection,
}

/// All changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Largest first.
    pub list: Vec<Change>,
    /// Whether there are more than could be listed.
    pub more: bool,
}

/// So many products are listed per place and kind.
const MOST: usize = 64;

/// What changes from `old` to `new` for new connections from outside, with room in all buckets and nobody banned.
pub fn changes(old: Side<'_>, new: Side<'_>, own: &AddrSet) -> Result<Changes, NotJudged> {
    let mut changes = Changes::default();
    for family in Family::BOTH {
        of_family(old, new, own, family, &mut changes)?;
    }
    changes.list.sort_by(|a, b| {
        (a.kind, b.traffic.size())
            .partial_cmp(&(b.kind, a.traffic.size()))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    Ok(changes)
}

fn of_family(
    old: Side<'_>,
    new: Side<'_>,
    own: &AddrSet,
    family: Family,
    changes: &mut Changes,
) -> Result<(), NotJudged> {
    let mut terms = Terms::new(family);
    let slices: Vec<Slice> = Place::ALL.iter().map(|place| (*place).into()).collect();
    let empty = Resolved::empty();
    let openings: Vec<Pred> =
        Place::ALL.iter().map(|place| sets::openings(&empty, own, *place, false, &mut terms)).collect();
    let sides = [old, new].map(|side| Asked::of(side, &slices, &mut terms));
    let mut space = Space::new(terms)?;
    for (at, place) in Place::ALL.into_iter().enumerate() {
        let openings = space.node(&openings[at]);
        let possible = space.domain();
        let openings = space.and(openings, possible);
        let mut worlds = [[Node::FALSE; 2]; 2];
        for (world, side) in worlds.iter_mut().zip(&sides) {
            let allowed = side.allowed(&mut space, at, place, openings)?;
            *world = [space.in_state(allowed, 1), space.in_state(allowed, 0)];
        }
        let [[old_best, old_worst], [new_best, new_worst]] = worlds;
        let opens = space.minus(new_best, old_best);
        let shuts = space.minus(old_best, new_best);
        let stays = space.and(old_best, new_best);
        let (was_free, is_free) = (space.and(stays, old_worst), space.and(stays, new_worst));
        let limits = space.minus(was_free, is_free);
        let unlimits = space.minus(is_free, was_free);
        for (kind, set) in
            [(Kind::Opens, opens), (Kind::Shuts, shuts), (Kind::Limits, limits), (Kind::Unlimits, unlimits)]
        {
            list(&mut space, kind, place, set, changes);
        }
        space.holds_good()?;
    }
    Ok(())
}

/// A side, with its terms in the space.
enum Asked {
    Policy(Vec<Pred>),
    Tables(Program),
}

impl Asked {
    fn of(side: Side<'_>, slices: &[Slice], terms: &mut Terms) -> Asked {
        match side {
            Side::Policy(policy) => Asked::Policy(
                Place::ALL
                    .iter()
                    .map(|place| sets::sets(policy, *place, Given::default(), terms).allowed)
                    .collect(),
            ),
            Side::Tables(tables, facts) => Asked::Tables(Program::of(tables, slices, facts, terms)),
        }
    }

    fn allowed(&self, space: &mut Space, at: usize, place: Place, start: Node) -> Result<Node, NotJudged> {
        match self {
            Asked::Policy(allowed) => {
                let allowed = space.node(&allowed[at]);
                Ok(space.and(start, allowed))
            }
            Asked::Tables(program) => {
                // A new connection has no mark yet.
                let start = space.fixed(start, &Field::CT_MARK, 0);
                let (fates, _) = program.fates(space, place.into(), start, &|_| true)?;
                Ok(space.exists(fates.accepted, &|field| {
                    matches!(field, Field::Meta(_) | Field::Ct(..) | Field::Unknown(_))
                }))
            }
        }
    }
}

impl Space {
    /// The packets of a set when buckets have room (1) or none (0), and nobody is banned; the state itself is gone.
    fn in_state(&mut self, node: Node, room: u128) -> Node {
        let states: Vec<Field> = self
            .fields()
            .filter(|field| matches!(field, Field::Room(_) | Field::Banned | Field::Carried))
            .cloned()
            .collect();
        let mut node = node;
        for field in &states {
            let wanted = if matches!(field, Field::Room(_)) { room } else { 0 };
            node = self.fixed(node, field, wanted);
        }
        self.exists(node, &|field| states.contains(field))
    }
}

/// Fields that people speak of; the rest is projected away.
pub(super) fn is_spoken_of(field: &Field) -> bool {
    matches!(
        field,
        Field::Iif
            | Field::Oif
            | Field::Source
            | Field::Destination
            | Field::AddressedTo
            | Field::Protocol
            | Field::Port
            | Field::AddressedPort
            | Field::SourcePort
            | Field::HasOwner
            | Field::User
            | Field::Group
    )
}

fn list(space: &mut Space, kind: Kind, place: Place, set: Node, changes: &mut Changes) {
    let set = space.exists(set, &|field| !is_spoken_of(field));
    let family = space.family();
    let (regions, rest) = space.regions(set, MOST);
    changes.more |= !rest.is_empty();
    for region in regions {
        let traffic = of_region(&region, family, place);
        let example = connection(&region.example, family, place);
        // Translated or not, it is the same to whoever comes.
        let same = |one: &Change| (one.kind, one.way) == (kind, place.way());
        if changes.list.iter().any(|one| same(one) && one.traffic == traffic) {
            continue;
        }
        // What is so in both families is one change.
        let twin = changes.list.iter_mut().find(|one| {
            same(one)
                && !one.families.contains(&family)
                && one.traffic.words() == traffic.words()
                && !one.traffic.names_addresses()
        });
        match twin {
            Some(twin) => twin.families.push(family),
            None => {
                changes.list.push(Change { kind, way: place.way(), families: vec![family], traffic, example })
            }
        }
    }
}
