//! From what runs to what shall run, in one transaction: nothing shared is lost, no base chain is deleted.

use super::TABLE;
use crate::ruleset::{
    Chain, Checked, Element, Elements, Expr, Rule, Set, Step, Table, TableFamily, Transaction, comment_of,
    set_flags, udata_kind,
};
use std::collections::{BTreeMap, BTreeSet};

/// Sets that no change of generations takes away.
pub(super) const FOR_EVER: [&str; 3] = ["armed", "ban4", "ban6"];

/// What of our table is in the kernel: names only, as read before a change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Running {
    /// Names of chains.
    pub chains: BTreeSet<String>,
    /// Names of sets and maps.
    pub sets: BTreeSet<String>,
    /// Names of objects with their kinds (`NFT_OBJECT_*`).
    pub objects: BTreeSet<(u32, String)>,
}

impl Running {
    /// The names in a table.
    #[must_use]
    pub fn of(table: &Table) -> Running {
        Running {
            chains: table.chains.iter().map(|chain| chain.name.clone()).collect(),
            sets: table.sets.iter().map(|set| set.name.clone()).collect(),
            objects: table.objects.iter().map(|object| (object.kind.number(), object.name.clone())).collect(),
        }
    }

    /// Generations that have chains in the kernel.
    #[must_use]
    pub fn generations(&self) -> BTreeSet<u8> {
        self.chains.iter().filter_map(|name| generation_of(name)).collect()
    }

    /// The next free number of a generation, 1 to 63 in a circle.
    #[must_use]
    pub fn next_generation(&self) -> u8 {
        let taken = self.generations();
        let last = taken.iter().next_back().copied().unwrap_or(0);
        (1..=63).map(|step| (last + step - 1) % 63 + 1).find(|number| !taken.contains(number)).unwrap_or(1)
    }
}

/// The generation that a name belongs to, if it is one of a generation (`g12_in4`).
#[must_use]
pub fn generation_of(name: &str) -> Option<u8> {
    let (number, _) = name.strip_prefix('g')?.split_once('_')?;
    number.parse().ok()
}

/// The one transaction that puts `table` in force, whatever of ours runs now.
///
/// Base chains stay: their rules are exchanged. What the old generation had goes, except what outlives
/// generations by name: `armed`, bans, and the lists and buckets that the new one uses too.
///
/// The table goes into the transaction: a list of a million addresses is not copied.
pub fn replace(running: &Running, table: Checked<Table>) -> Checked<Transaction> {
    table.map(|table| replace_with(running, table))
}

/// The same with any table, for namespaces of one's own.
pub fn replace_with(running: &Running, table: Table) -> Transaction {
    let next = Running::of(&table);
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    let steps = &mut transaction.steps;
    steps.push(Step::AddTable { flags: table.flags, udata: table.udata });
    steps.extend(table.objects.into_iter().map(Step::AddObject));
    let (base, regular): (Vec<Chain>, Vec<Chain>) =
        table.chains.into_iter().partition(|chain| chain.base.is_some());
    steps.extend(regular.iter().map(Step::add_chain));
    let fresh: Vec<Set> = table.sets.into_iter().filter(|set| !running.sets.contains(&set.name)).collect();
    steps.extend(fresh.iter().map(Step::add_set));
    steps.extend(fresh.into_iter().filter_map(Step::elements_of));
    for chain in regular {
        steps.extend(rules(chain));
    }
    for chain in base {
        if running.chains.contains(&chain.name) {
            steps.push(Step::FlushChain(chain.name.clone()));
        } else {
            steps.push(Step::add_chain(&chain));
        }
        steps.extend(rules(chain));
    }
    retire(running, &next, steps);
    transaction
}

/// From our table as the kernel holds it to the one that is wanted: what is there as it shall be stays as it is, with
/// its counters and elements, and so does a base chain that nothing is wanted of, empty.
pub fn transition(held: Option<&Table>, wanted: Table) -> Transaction {
    let running = held.map(Running::of).unwrap_or_default();
    let next = Running::of(&wanted);
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    let steps = &mut transaction.steps;
    steps.push(Step::AddTable { flags: wanted.flags, udata: wanted.udata });
    let fresh = wanted
        .objects
        .into_iter()
        .filter(|one| !running.objects.contains(&(one.kind.number(), one.name.clone())));
    steps.extend(fresh.map(Step::AddObject));
    let chains: Vec<Chain> = wanted
        .chains
        .into_iter()
        .filter(|chain| {
            let there = held.and_then(|held| held.chain(&chain.name));
            there.is_none_or(|there| !same_rules(&there.rules, &chain.rules))
        })
        .collect();
    let is_new = |chain: &&Chain| !running.chains.contains(&chain.name);
    steps.extend(chains.iter().filter(is_new).map(Step::add_chain));
    let fresh: Vec<Set> = wanted.sets.into_iter().filter(|set| !running.sets.contains(&set.name)).collect();
    steps.extend(fresh.iter().map(Step::add_set));
    steps.extend(fresh.into_iter().filter_map(Step::elements_of));
    // What is dispatched to is complete before it is dispatched to.
    let (base, regular): (Vec<Chain>, Vec<Chain>) =
        chains.into_iter().partition(|chain| chain.base.is_some());
    for chain in regular.into_iter().chain(base) {
        if running.chains.contains(&chain.name) {
            steps.push(Step::FlushChain(chain.name.clone()));
        }
        steps.extend(rules(chain));
    }
    retire(&running, &next, steps);
    transaction
}

/// Back to our table as it was read before a change, from what is there now. None where a list would have to be made
/// again: who reads a table for a change leaves the elements of lists alone.
#[must_use]
pub fn back(held: Option<&Table>, before: Option<&Table>) -> Option<Checked<Transaction>> {
    let Some(before) = before else { return Some(super::clear()) };
    let running = held.map(Running::of).unwrap_or_default();
    let mut wanted = before.clone();
    let gone = wanted.sets.iter_mut().filter(|set| !running.sets.contains(&set.name));
    for set in gone {
        if super::is_list(set) {
            return None;
        }
        if set.flags & set_flags::EVAL != 0 {
            // What packets fill begins anew.
            set.elements = Elements::Full(Vec::new());
        }
    }
    Some(Checked::vouched(transition(held, wanted)))
}

/// Leaves out sets and objects that no rule names.
pub(super) fn needed_only(table: &mut Table) {
    let mut sets: BTreeSet<&str> = FOR_EVER.into_iter().collect();
    let mut objects: BTreeSet<(u32, &str)> = BTreeSet::new();
    for expr in table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs) {
        match expr {
            Expr::Lookup { set, .. } => {
                sets.insert(set);
            }
            Expr::Dynset(dynset) => {
                sets.insert(&dynset.set);
            }
            Expr::Objref { kind, name } => {
                objects.insert((*kind, name));
            }
            _ => {}
        }
    }
    let kept: Vec<bool> = table.sets.iter().map(|set| sets.contains(set.name.as_str())).collect();
    let objects: Vec<bool> = table
        .objects
        .iter()
        .map(|object| objects.contains(&(object.kind.number(), object.name.as_str())))
        .collect();
    let mut kept = kept.into_iter();
    table.sets.retain(|_| kept.next().unwrap_or(true));
    let mut kept = objects.into_iter();
    table.objects.retain(|_| kept.next().unwrap_or(true));
}

/// Whether rules do the same, whatever they have counted.
pub(super) fn same_rules(one: &[Rule], other: &[Rule]) -> bool {
    let counter = |expr: &Expr| matches!(expr, Expr::Counter { .. });
    let same = |(one, other): (&Expr, &Expr)| one == other || counter(one) && counter(other);
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            one.udata == other.udata
                && one.exprs.len() == other.exprs.len()
                && one.exprs.iter().zip(&other.exprs).all(same)
        })
}

fn rules(chain: Chain) -> impl Iterator<Item = Step> {
    let name = chain.name;
    chain.rules.into_iter().map(move |rule| Step::AddRule { chain: name.clone(), rule })
}

/// Takes away what nothing needs any more. Chains are emptied first, then the maps that name them go.
fn retire(running: &Running, next: &Running, steps: &mut Vec<Step>) {
    let old = || running.chains.difference(&next.chains);
    // A base chain that the new generation has no use for stays, empty: deleting one can break connections.
    steps.extend(old().cloned().map(Step::FlushChain));
    steps.extend(
        running
            .sets
            .difference(&next.sets)
            .filter(|name| !FOR_EVER.contains(&name.as_str()))
            .cloned()
            .map(Step::DeleteSet),
    );
    steps.extend(old().filter(|name| generation_of(name).is_some()).cloned().map(Step::DeleteChain));
    for (kind, name) in running.objects.difference(&next.objects) {
        steps.push(Step::DeleteObject { kind: *kind, name: name.clone() });
    }
}

/// Hits of one sentence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

impl std::ops::AddAssign for Counted {
    fn add_assign(&mut self, other: Counted) {
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Hits per comment (`policy.dw:14 allow ssh`), over all rules and elements that carry it.
#[must_use]
pub fn counted(table: &Table) -> BTreeMap<String, Counted> {
    let mut sums: BTreeMap<String, Counted> = BTreeMap::new();
    let mut add = |comment: Option<String>, exprs: &[Expr]| {
        if let (Some(comment), Some(hits)) = (comment, counter(exprs)) {
            *sums.entry(comment).or_default() += hits;
        }
    };
    for rule in table.chains.iter().flat_map(|chain| &chain.rules) {
        add(comment_of(udata_kind::RULE_COMMENT, &rule.udata), &rule.exprs);
    }
    for set in &table.sets {
        if let Elements::Full(elements) = &set.elements {
            let counts = set.exprs.iter().any(|expr| matches!(expr, Expr::Counter { .. }));
            for element in elements.iter().filter(|_| counts) {
                add(comment_of(udata_kind::ELEM_COMMENT, &element.udata), &element.exprs);
                if element.exprs.is_empty() {
                    add(comment_of(udata_kind::ELEM_COMMENT, &element.udata), &set.exprs);
                }
            }
        }
    }
    sums
}

fn counter(exprs: &[Expr]) -> Option<Counted> {
    exprs.iter().find_map(|expr| match expr {
        Expr::Counter { packets, bytes } => Some(Counted { packets: *packets, bytes: *bytes }),
        _ => None,
    })
}

/// The sentence in a comment, without the place, which moves when lines are added.
fn sentence(comment: &str) -> &str {
    comment.split_once(' ').map_or(comment, |(_, sentence)| sentence)
}

/// Starts the counters of `table` where those of the same sentences stood in `old`.
///
/// The sum of a sentence goes to the first of its counters.
pub fn carry_counters(table: &mut Checked<Table>, old: &BTreeMap<String, Counted>) {
    table.adjust(|table| carry(table, old));
}

fn carry(table: &mut Table, old: &BTreeMap<String, Counted>) {
    let mut sums: BTreeMap<&str, Counted> = BTreeMap::new();
    for (comment, hits) in old {
        *sums.entry(sentence(comment)).or_default() += *hits;
    }
    sums.retain(|_, hits| *hits != Counted::default());
    if sums.is_empty() {
        return;
    }
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        carry_rule(rule, &mut sums);
    }
    for set in &mut table.sets {
        let counts = set.exprs.iter().any(|expr| matches!(expr, Expr::Counter { .. }));
        if let (true, Elements::Full(elements)) = (counts, &mut set.elements) {
            for element in elements {
                carry_element(element, &mut sums);
            }
        }
    }
}

fn carry_rule(rule: &mut Rule, sums: &mut BTreeMap<&str, Counted>) {
    let Some(comment) = comment_of(udata_kind::RULE_COMMENT, &rule.udata) else { return };
    let counter = rule.exprs.iter_mut().find(|expr| matches!(expr, Expr::Counter { .. }));
    if let Some((counter, hits)) = counter.and_then(|c| Some((c, sums.remove(sentence(&comment))?))) {
        *counter = Expr::Counter { packets: hits.packets, bytes: hits.bytes };
    }
}

fn carry_element(element: &mut Element, sums: &mut BTreeMap<&str, Counted>) {
    let Some(comment) = comment_of(udata_kind::ELEM_COMMENT, &element.udata) else { return };
    if let Some(hits) = sums.remove(sentence(&comment)) {
        element.exprs = vec![Expr::Counter { packets: hits.packets, bytes: hits.bytes }];
    }
}
