//! Whether a ruleset does what a policy says: both roads to the same space, and where they part.

use super::load::Slice;
use super::program::{Facts, Program};
use super::run::NotJudged;
use crate::meaning::sets::{self, Owing, Place};
use crate::net::Family;
use crate::resolve::model::{Resolved, Verdict};
use crate::ruleset::Table;
use crate::space::{Node, Point, Space, Terms};

/// A packet that a ruleset treats otherwise than the policy says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Its family.
    pub family: Family,
    /// Where it is judged.
    pub place: Place,
    /// The packet.
    pub example: Point,
    /// What the policy says.
    pub meant: Verdict,
    /// What the ruleset does.
    pub done: Verdict,
}

impl From<Place> for Slice {
    fn from(place: Place) -> Slice {
        Slice { hook: place.hook, translated: place.translated }
    }
}

/// What a proof of equality did.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Equality {
    /// One packet for each place and verdict where they part; empty if they are equal.
    pub differences: Vec<Difference>,
    /// Nodes of the larger diagram.
    pub nodes: usize,
}

/// Compares what a policy says with what a ruleset does, for every packet of both families.
pub fn equal(
    policy: &Resolved,
    tables: &[Table],
    facts: &Facts,
    owing: Owing,
) -> Result<Equality, NotJudged> {
    let mut equality = Equality::default();
    for family in Family::BOTH {
        let mut terms = Terms::new(family);
        let meant: Vec<_> =
            Place::ALL.iter().map(|place| sets::sets(policy, *place, owing, &mut terms)).collect();
        let slices: Vec<Slice> = Place::ALL.iter().map(|place| (*place).into()).collect();
        let program = Program::of(tables, &slices, facts, &mut terms);
        let mut space = Space::new(terms)?;
        for (place, meant) in Place::ALL.into_iter().zip(&meant) {
            let domain = space.node(&meant.domain);
            let possible = space.domain();
            let domain = space.and(domain, possible);
            let (fates, _) = program.fates(&mut space, place.into(), domain, &|_| true)?;
            let allowed = space.node(&meant.allowed);
            let rejected = space.node(&meant.rejected);
            let allowed = space.and(domain, allowed);
            let rejected = space.and(domain, rejected);
            let mut both = space.or(allowed, rejected);
            both = space.minus(domain, both);
            let meant = [(Verdict::Allow, allowed), (Verdict::Reject, rejected), (Verdict::Block, both)];
            let dropped = space.or(fates.dropped, fates.queued);
            let done = [
                (Verdict::Allow, fates.accepted),
                (Verdict::Reject, fates.rejected),
                (Verdict::Block, dropped),
            ];
            for (meant, said) in meant {
                for (done, does) in done {
                    if meant == done {
                        continue;
                    }
                    let parted = space.and(said, does);
                    space.holds_good()?;
                    equality.differences.extend(difference(&mut space, place, parted, meant, done));
                }
            }
        }
        space.holds_good()?;
        equality.nodes = equality.nodes.max(space.size());
    }
    Ok(equality)
}

fn difference(
    space: &mut Space,
    place: Place,
    parted: Node,
    meant: Verdict,
    done: Verdict,
) -> Option<Difference> {
    let example = space.point(parted)?;
    Some(Difference { family: space.family(), place, example, meant, done })
}
