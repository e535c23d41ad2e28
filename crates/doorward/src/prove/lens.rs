//! Which sets of a ruleset stand for something that a policy speaks of; what is not named is unknown.

use crate::compile::{self, Stands};
use crate::resolve::model::Resolved;
use crate::ruleset::Table;
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
        Lens::standing(compile::stands_for(policy))
    }

    /// What the sets of our table stand for, read from their names: whatever policy it was compiled from.
    #[must_use]
    pub fn by_names(table: &Table) -> Lens {
        Lens::standing(compile::stands_by_name(table))
    }

    /// The same, and what the sets of a policy stand for: a long sentence is cut where the kernel keeps it.
    #[must_use]
    pub fn and(mut self, policy: &Resolved) -> Lens {
        self.sets.extend(Lens::of(policy).sets);
        self
    }

    /// The same where a table is as it is now: without connections from before the firewall there are none.
    #[must_use]
    pub fn held(mut self, table: &Table) -> Lens {
        let empty = |name: &str| table.set(name).is_some_and(|set| set.elements.count(set.key_len) == 0);
        self.sets.retain(|name, meant| *meant != Meant::Carried || !empty(name));
        self
    }

    /// The same, but that each set of a bucket is one of its own, which may hold a key or not: what only goes from
    /// one to the other is seen, too.
    #[must_use]
    pub fn without_buckets(mut self) -> Lens {
        self.sets.retain(|_, meant| !matches!(meant, Meant::Spent(_)));
        self
    }

    fn standing(stands: Vec<(String, Stands)>) -> Lens {
        let sets = stands.into_iter().map(|(name, stands)| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::{Host, MemoryFiles, load, resolve};

    /// Every set that is there stands for the same, whether the policy tells it or the kernel's names do.
    #[test]
    fn names_tell_what_the_policy_does() {
        let long = "a".repeat(100);
        let text = format!(
            "define {long} = 203.0.113.0/24\nallow ssh limit 6/minute per source\nallow http limit 1/second\n\
             allow smtp from {long} limit 3/hour\nallow out dns limit 9/second\n"
        );
        let files = MemoryFiles::default().with("policy.dw", &text);
        let policy = resolve(&load(&files, "policy.dw"), &Host::default()).0.expect("a good policy");
        let peer = "198.51.100.7:40000".parse().expect("an address");
        let options = compile::Options { generation: 3, carried: vec![(peer, peer)] };
        let table = compile::compile(&policy, &options);
        let known = Lens::of(&policy);
        let told = Lens::by_names(&table);
        let buckets = told.sets.values().filter(|meant| matches!(meant, Meant::Spent(_))).count();
        assert_eq!((told.sets.len(), buckets), (16, 13), "{told:?}");
        let (mut same, mut cut) = (0, 0);
        for (set, meant) in &told.sets {
            let counted = if known.sets.get(set) == Some(meant) { &mut same } else { &mut cut };
            *counted += 1;
        }
        assert_eq!((same, cut), (13, 3), "the comment of a long sentence is cut");
        let whole = told.and(&policy);
        assert!(whole.sets.iter().all(|(set, meant)| known.sets.get(set) == Some(meant)));
    }
}
