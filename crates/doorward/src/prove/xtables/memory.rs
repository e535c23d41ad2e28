//! Questions that no packet answers: rates, lists, the clock, chance; in which words they are asked.

use super::super::lower::Lowering;
use super::{inverted, is_fleeting};
use crate::space::Pred;
use crate::xt::{
    Cgroup, Connbytes, Connlabel, Connlimit, Hashlimit, Is, Masked, Match, Recent, RecentOp, Rpfilter, Set,
    Statistic, TcpMss, Text, U32, Within,
};

impl Lowering<'_, '_, '_> {
    /// Whether a match holds that can only be asked about.
    pub(super) fn asked(&mut self, found: &Match) -> Pred {
        let (upright, invert) = upright(found);
        let words = format!("{upright:?}");
        let holds =
            if is_fleeting(found, self.lists.sets_change) { self.anew(&words) } else { self.shared(&words) };
        inverted(holds, invert)
    }

    pub(super) fn recent(&mut self, of: &Recent) -> Pred {
        if of.op == RecentOp::Set {
            return Pred::Const(!of.invert);
        }
        if !self.lists.is_filled(self.table.1.family, &of.list) {
            self.lists.assume_empty(&of.list);
            return Pred::Const(of.invert);
        }
        self.asked(&Match::Recent(of.clone()))
    }
}

/// What a match keeps in memory, in words.
pub(super) fn kept(found: &Match) -> String {
    match found {
        Match::Hashlimit(of) => format!("another entry of the hashlimit `{}`", of.name),
        Match::Recent(of) => format!("another address in the list `{}` of recent", of.list),
        Match::Connlimit(_) => "another connection to count".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The match without what inverts it, and whether that is so; others as they are.
pub(super) fn upright(found: &Match) -> (Match, bool) {
    use Match as M;
    let is = |of: &Is<u32>| Is { invert: false, ..*of };
    match found {
        M::Cgroup(Cgroup::Class(of)) => (M::Cgroup(Cgroup::Class(is(of))), of.invert),
        M::Connbytes(of) => {
            let count = Within { invert: false, ..of.count };
            (M::Connbytes(Connbytes { count, ..*of }), of.count.invert)
        }
        M::Connlabel(of) => (M::Connlabel(Connlabel { invert: false, ..*of }), of.invert),
        M::Connlimit(of) => (M::Connlimit(Connlimit { invert: false, ..*of }), of.invert),
        M::Hashlimit(of) => (M::Hashlimit(Hashlimit { invert: false, ..of.clone() }), of.invert),
        M::Quota(of) => (M::Quota(Is { invert: false, ..*of }), of.invert),
        M::Realm(of) => (M::Realm(Masked { invert: false, ..*of }), of.invert),
        M::Recent(of) => (M::Recent(Recent { invert: false, ..of.clone() }), of.invert),
        M::Rpfilter(of) => (M::Rpfilter(Rpfilter { invert: false, ..*of }), of.invert),
        M::Set(of) => (M::Set(Set { invert: false, ..of.clone() }), of.invert),
        M::Statistic(Statistic::Random(of)) => (M::Statistic(Statistic::Random(is(of))), of.invert),
        M::Statistic(Statistic::Nth(of)) => (M::Statistic(Statistic::Nth(is(of))), of.invert),
        M::TcpMss(of) => {
            let size = Within { invert: false, ..of.size };
            (M::TcpMss(TcpMss { size }), of.size.invert)
        }
        M::Text(of) => (M::Text(Text { invert: false, ..of.clone() }), of.invert),
        M::U32(of) => (M::U32(U32 { invert: false, ..of.clone() }), of.invert),
        other => (other.clone(), false),
    }
}
