//! Which sets of a ruleset stand for something that a policy speaks of; what is not named is unknown.

use crate::compile::{self, Stands};
use crate::resolve::model::Resolved;
use std::collections::BTreeMap;

/// What a set whose members nobody can tell beforehand stands for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Meant {
    /// It holds the sources that are banned.
    Banned,
    /// It holds the keys whose bucket has no room left, of the sentence with this name.
    Spent(String),
    /// It holds connections from before the firewall.
    Carried,
}

/// What sets of one table mean, by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Lens {
    /// Name of the table in the family inet.
    pub table: String,
    /// Sets by name.
    pub sets: BTreeMap<String, Meant>,
}

impl Lens {
    /// What the sets of a policy's own table stand for.
    #[must_use]
    pub fn of(policy: &Resolved) -> Lens {
        let sets = compile::stands_for(policy).into_iter().map(|(name, stands)| {
            let meant = match stands {
                Stands::Banned => Meant::Banned,
                Stands::Spent(sentence) => Meant::Spent(sentence),
                Stands::Carried => Meant::Carried,
            };
            (name, meant)
        });
        Lens { table: compile::TABLE.to_owned(), sets: sets.collect() }
    }

    /// What a set stands for.
    #[must_use]
    pub fn meant(&self, table: &str, set: &str) -> Option<&Meant> {
        if table == self.table { self.sets.get(set) } else { None }
    }
}
