//! What rules fill for other rules to ask about, outside of the ruleset's own sets; knows no contents.

use crate::ruleset::{Expr, Table, TableFamily};
use crate::xt::{self, Match, RecentOp, Target, Xt};
use std::collections::{BTreeSet, HashSet};

/// Lists of iptables' `recent` and sets of `ipset`, as far as rules change them.
#[derive(Default)]
pub(super) struct Lists {
    /// The lists of `recent` to which some rule adds, by the family whose rules share it.
    recent: HashSet<(TableFamily, String)>,
    /// Some rule changes sets of `ipset`.
    pub(super) sets_change: bool,
    /// What was taken for granted, in words.
    pub(super) assumed: BTreeSet<String>,
}

impl Lists {
    pub(super) fn of(tables: &[Table]) -> Lists {
        let mut lists = Lists::default();
        for table in tables {
            for expr in table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs) {
                if matches!(expr, Expr::Unknown { .. }) {
                    lists.add(table.family, xt::read(expr, table.family));
                }
            }
        }
        lists
    }

    fn add(&mut self, family: TableFamily, found: Option<Xt>) {
        match found {
            Some(Xt::Match(Match::Recent(of))) if of.op == RecentOp::Set => {
                self.recent.insert((family, of.list));
            }
            Some(Xt::Target(Target::Set(_))) => self.sets_change = true,
            _ => {}
        }
    }

    /// Whether a list of `recent` can have an address. Programs can add some too, which is assumed not to be.
    pub(super) fn is_filled(&self, family: TableFamily, list: &str) -> bool {
        self.recent.contains(&(family, list.to_owned()))
    }

    /// Notes that this list is taken for empty.
    pub(super) fn assume_empty(&mut self, list: &str) {
        self.assumed.insert(format!("the list `{list}` of `recent` is empty: no rule adds to it"));
    }
}
