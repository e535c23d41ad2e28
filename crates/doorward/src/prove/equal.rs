//! Whether a ruleset does what a policy says: both roads to the same space, and where they part.

use super::load::Slice;
use super::program::Program;
use super::run::{Depth, NotJudged};
use crate::meaning::sets::{Meant, Place};
use crate::net::Family;
use crate::resolve::model::Verdict;
use crate::space::{Bit, Field, Node, Point, Space};

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
        Slice { hook: place.hook, translated: place.translated, nat: false }
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
    let marks = Marks::of(space, program, domain);
    let fates = |space: &mut Space, depth| program.fates_of(depth, space, place.into(), domain, &|_| true);
    // Each packet has one fate. Those of packets that are not told apart by their marks afterwards may be several:
    // then it does not follow from who passes who does not.
    let depth = if marks.known { Depth::Answered } else { Depth::All };
    let (done, _) = fates(space, depth)?;
    let allowed = space.node(&meant.allowed);
    let rejected = space.node(&meant.rejected);
    let said_allowed = space.and(domain, allowed);
    let said_rejected = space.and(domain, rejected);
    let passes = marks.began(space, done.accepted);
    let refused = marks.began(space, done.rejected);
    let gone = space.or(done.dropped, done.queued);
    let gone = marks.began(space, gone);
    let answered = space.or(said_allowed, said_rejected);
    let lost = space.and(gone, answered);
    if (passes, refused) != (said_allowed, said_rejected) || !lost.is_empty() {
        let (done, _) = fates(space, Depth::All)?;
        let gone = space.or(done.dropped, done.queued);
        let gone = marks.began(space, gone);
        let said_blocked = space.minus(domain, answered);
        let said = [
            (Verdict::Allow, said_allowed),
            (Verdict::Reject, said_rejected),
            (Verdict::Block, said_blocked),
        ];
        let done = [(Verdict::Allow, passes), (Verdict::Reject, refused), (Verdict::Block, gone)];
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

/// The bits of marks that rules change: a packet is compared as it came, not as it became.
struct Marks {
    bits: Vec<(Field, u32)>,
    domain: Node,
    /// Whether each of the bits is the same for all packets that come.
    known: bool,
}

impl Marks {
    fn of(space: &mut Space, program: &Program, domain: Node) -> Marks {
        let mut marks = Marks { bits: Vec::new(), domain, known: true };
        for field in [Field::MARK, Field::CT_MARK] {
            let changed = program.changed_bits(&field);
            for bit in (0..u32::BITS).filter(|bit| changed >> bit & 1 == 1) {
                let Some(set) = space.bit(&field, bit) else { continue };
                let (with, without) = (space.and(domain, set), space.minus(domain, set));
                marks.known &= with.is_empty() || without.is_empty();
                marks.bits.push((field.clone(), bit));
            }
        }
        marks
    }

    /// The packets that became these.
    fn began(&self, space: &mut Space, set: Node) -> Node {
        let any =
            self.bits.iter().fold(set, |set, (field, bit)| space.with_bit(set, field, *bit, Bit::Anything));
        space.and(any, self.domain)
    }
}
