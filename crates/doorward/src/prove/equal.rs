//! Whether a ruleset does what a policy says: both roads to the same space, and where they part.

use super::load::Slice;
use super::program::Program;
use super::run::NotJudged;
use crate::meaning::sets::{Meant, Place};
use crate::net::Family;
use crate::resolve::model::Verdict;
use crate::space::{Node, Point, Space};

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

/// Compares what a policy says with what a ruleset does, for every packet of a place; yields what the policy allows.
pub(super) fn compare(
    space: &mut Space,
    program: &Program,
    place: Place,
    meant: &Meant,
    differences: &mut Vec<Difference>,
) -> Result<Node, NotJudged> {
    let domain = space.node(&meant.domain);
    let possible = space.domain();
    let domain = space.and(domain, possible);
    let (fates, _) = program.fates(space, place.into(), domain, &|_| true)?;
    let allowed = space.node(&meant.allowed);
    let rejected = space.node(&meant.rejected);
    let said_allowed = space.and(domain, allowed);
    let said_rejected = space.and(domain, rejected);
    if (fates.accepted, fates.rejected) != (said_allowed, said_rejected) {
        let either = space.or(said_allowed, said_rejected);
        let said_blocked = space.minus(domain, either);
        let dropped = space.or(fates.dropped, fates.queued);
        let said = [
            (Verdict::Allow, said_allowed),
            (Verdict::Reject, said_rejected),
            (Verdict::Block, said_blocked),
        ];
        let done =
            [(Verdict::Allow, fates.accepted), (Verdict::Reject, fates.rejected), (Verdict::Block, dropped)];
        for (meant, said) in said {
            for (done, does) in done.into_iter().filter(|(done, _)| *done != meant) {
                let parted = space.and(said, does);
                space.holds_good()?;
                if let Some(example) = space.point(parted) {
                    differences.push(Difference { family: space.family(), place, example, meant, done });
                }
            }
        }
    }
    space.holds_good()?;
    Ok(allowed)
}
