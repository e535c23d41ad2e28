//! What changes for traffic between two firewalls: complete, as few products, largest first.

use super::both::Both;
use super::describe::{TRANSLATED, Traffic};
use super::led;
use super::load::Slice;
use super::names::Never;
use super::parts::{Knife, parts};
use super::program::{Facts, Program};
use super::run::{Depth, NotJudged};
use crate::meaning::Connection;
use crate::meaning::sets::{self, Given, Place};
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
    /// It had a limit, and has another one.
    Relimits,
    /// It is translated otherwise; [`Change::was`] and [`Change::is`] say to what.
    Leads,
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
    /// Sentences whose limits it had; what it was translated to.
    pub was: Vec<String>,
    /// Sentences whose limits it has; what it is translated to.
    pub is: Vec<String>,
    /// A connection of it.
    pub example: Connection,
    /// The traffic in words, which are asked for often.
    pub(super) words: String,
}

/// All changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// By kind and way, the largest first.
    pub list: Vec<Change>,
    /// Whether there are more than could be listed.
    pub more: bool,
}

/// So many products are listed per place and kind.
const MOST: usize = 64;
/// Of so many limits it is told which is whose.
const MOST_LIMITS: usize = 32;

/// What changes from `old` to `new` for new connections from outside, with room in all buckets and nobody banned.
pub fn changes(old: Side<'_>, new: Side<'_>, own: &AddrSet, both: &impl Both) -> Result<Changes, NotJudged> {
    let [four, six] = both.both(&|family| {
        let mut half = Changes::default();
        of_family(old, new, own, family, &mut half).map(|()| half)
    });
    let (mut changes, six) = (four?, six?);
    changes.more |= six.more;
    for change in six.list {
        changes.add(change);
    }
    changes.list.sort_by(|a, b| {
        let size = |one: &Change| one.traffic.size();
        (a.kind, a.way).cmp(&(b.kind, b.way)).then(size(b).total_cmp(&size(a)))
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
    let ends = [old, new].map(|side| led::Asked::of(side, &mut terms));
    let first = led::openings(&mut terms);
    let mut space = Space::new(terms)?;
    let never = Never::of(own);
    for (at, place) in Place::ALL.into_iter().enumerate() {
        if sides[0].is_same(&sides[1], place) {
            continue;
        }
        let openings = space.node(&openings[at]);
        let possible = space.domain();
        let openings = space.and(openings, possible);
        let old = World::of(&sides[0], &mut space, at, place, openings)?;
        let new = World::of(&sides[1], &mut space, at, place, openings)?;
        let stays = space.and(old.best, new.best);
        let (was_free, is_free) = (space.and(stays, old.worst), space.and(stays, new.worst));
        let either = space.or(was_free, is_free);
        let differs = space.xor(old.allowed, new.allowed);
        let differs = space.exists(differs, &|field| matches!(field, Field::Room(_)));
        let limited = space.minus(stays, either);
        let sets = [
            (Kind::Opens, space.minus(new.best, old.best)),
            (Kind::Shuts, space.minus(old.best, new.best)),
            (Kind::Limits, space.minus(was_free, is_free)),
            (Kind::Unlimits, space.minus(is_free, was_free)),
            (Kind::Relimits, space.and(limited, differs)),
        ];
        let nothing = space.minus(openings, new.best);
        for (kind, set) in sets {
            let alike = match kind {
                Kind::Opens => new.best,
                Kind::Shuts => nothing,
                Kind::Limits | Kind::Unlimits | Kind::Relimits | Kind::Leads => Node::FALSE,
            };
            let knife =
                Knife { place, openings, alike, broad: false, never: &never, most: MOST, among: None };
            let had = matches!(kind, Kind::Unlimits | Kind::Relimits);
            let has = matches!(kind, Kind::Opens | Kind::Limits | Kind::Relimits);
            for (set, was) in split(&mut space, set, if had { &old.limits } else { &[] }) {
                for (set, is) in split(&mut space, set, if has { &new.limits } else { &[] }) {
                    list(&mut space, (kind, was.clone(), is), set, knife, changes);
                }
            }
        }
        space.holds_good()?;
    }
    led::compare(&mut space, &ends, &first, own, changes)
}

/// What one side lets in at a place, while nobody is banned.
struct World {
    /// By the state of the buckets.
    allowed: Node,
    /// With room in all of them.
    best: Node,
    /// With room in none.
    worst: Node,
    /// What each bucket lets in, by its sentence.
    limits: Vec<(String, Node)>,
}

impl World {
    fn of(
        side: &Asked,
        space: &mut Space,
        at: usize,
        place: Place,
        openings: Node,
    ) -> Result<World, NotJudged> {
        let mut allowed = side.allowed(space, at, place, openings)?;
        for field in [Field::Banned, Field::Carried] {
            allowed = space.fixed(allowed, &field, 0);
        }
        let allowed = space.exists(allowed, &|field| matches!(field, Field::Banned | Field::Carried));
        let allowed = space.and(allowed, openings);
        let rooms: Vec<Field> =
            space.fields().filter(|field| matches!(field, Field::Room(_))).cloned().collect();
        let (best, worst) =
            (space.with_room(allowed, &rooms, None, 1), space.with_room(allowed, &rooms, None, 0));
        let mut limits = Vec::new();
        for field in rooms.iter().filter(|_| rooms.len() <= MOST_LIMITS) {
            let Field::Room(sentence) = field else { continue };
            let only = space.with_room(allowed, &rooms, Some(field), 0);
            let mine = space.minus(only, worst);
            if !mine.is_empty() {
                limits.push((sentence.clone(), mine));
            }
        }
        Ok(World { allowed, best, worst, limits })
    }
}

/// A set by the buckets that its packets are of.
fn split(space: &mut Space, set: Node, limits: &[(String, Node)]) -> Vec<(Node, Vec<String>)> {
    let mut parts = vec![(set, Vec::new())];
    for (sentence, mine) in limits {
        let mut next = Vec::with_capacity(parts.len());
        for (part, names) in parts {
            let (with, without) = (space.and(part, *mine), space.minus(part, *mine));
            next.push((without, names.clone()));
            next.push((with, [names, vec![sentence.clone()]].concat()));
        }
        next.retain(|(part, _)| !part.is_empty());
        parts = next;
    }
    parts.retain(|(part, _)| !part.is_empty());
    parts
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

    /// Whether new connections meet the very same rules at a place.
    fn is_same(&self, other: &Asked, place: Place) -> bool {
        match (self, other) {
            (Asked::Tables(one), Asked::Tables(other)) => one.is_same(other, place.into()),
            _ => false,
        }
    }

    fn allowed(&self, space: &mut Space, at: usize, place: Place, start: Node) -> Result<Node, NotJudged> {
        let allowed = match self {
            Asked::Policy(allowed) => {
                let allowed = space.node(&allowed[at]);
                space.and(start, allowed)
            }
            Asked::Tables(program) => {
                // A new connection has no mark yet.
                let start = space.fixed(start, &Field::CT_MARK, 0);
                program.fates_of(Depth::Accepted, space, place.into(), start, &|_| true)?.0.accepted
            }
        };
        // What nobody speaks of may be as it likes, on both sides, as far as it can be.
        let allowed = space
            .exists(allowed, &|field| matches!(field, Field::Meta(_) | Field::Ct(..) | Field::Unknown(_)));
        Ok(space.and(allowed, start))
    }
}

impl Space {
    /// The packets of a set with so much room in all buckets but one, which has some; the rooms themselves are gone.
    fn with_room(&mut self, node: Node, rooms: &[Field], but: Option<&Field>, room: u128) -> Node {
        // All at once: each of them alone would walk the whole set.
        let mut state = Node::TRUE;
        for field in rooms {
            state = self.fixed(state, field, if but == Some(field) { 1 } else { room });
        }
        let node = self.and(node, state);
        self.exists(node, &|field| matches!(field, Field::Room(_)))
    }
}

fn list(
    space: &mut Space,
    (kind, was, is): (Kind, Vec<String>, Vec<String>),
    set: Node,
    knife: Knife<'_>,
    changes: &mut Changes,
) {
    let (parts, all) = parts(space, set, knife);
    changes.more |= !all;
    for part in parts {
        let (traffic, example) = (part.traffic, part.example);
        let change = Change::of(kind, knife.place.way(), space.family(), traffic, example);
        changes.add(Change { was: was.clone(), is: is.clone(), ..change });
    }
}

impl Change {
    /// A change without limits.
    pub(super) fn of(kind: Kind, way: Way, family: Family, traffic: Traffic, example: Connection) -> Change {
        let (was, is, words) = (Vec::new(), Vec::new(), traffic.words());
        Change { kind, way, families: vec![family], traffic, was, is, example, words }
    }

    /// The words, whether it was translated or not.
    fn plain(&self) -> &str {
        self.words.strip_suffix(TRANSLATED).unwrap_or(&self.words)
    }
}

impl Changes {
    /// Adds what changes in one family.
    pub(super) fn add(&mut self, change: Change) {
        let same = |one: &Change| {
            (one.kind, one.way, &one.was, &one.is) == (change.kind, change.way, &change.was, &change.is)
        };
        let families = |one: &Change| one.families.iter().any(|family| change.families.contains(family));
        // Translated or not, it is the same to whoever comes.
        if self.list.iter().any(|one| same(one) && families(one) && one.plain() == change.plain()) {
            return;
        }
        // What is so in both families is one change.
        let twin = self.list.iter_mut().find(|one| {
            same(one) && !families(one) && !one.traffic.names_addresses() && one.words == change.words
        });
        match twin {
            Some(twin) => twin.families.extend(change.families),
            None => self.list.push(change),
        }
    }
}
