//! Changes to one table that take effect together or not at all; knows what is sent, not how.

use super::{Base, Chain, Elements, Object, Rule, Set, Table, TableFamily, Udata};

/// Steps on one table, in the order in which the kernel takes them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a transaction does nothing until the kernel crate sends it"]
pub struct Transaction {
    /// Family of the table.
    pub family: TableFamily,
    /// Name of the table.
    pub table: String,
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Makes the table; one that is there stays.
    AddTable {
        /// `NFT_TABLE_F_*`.
        flags: u32,
        /// Comment.
        udata: Udata,
    },
    /// Deletes the table with all that is in it.
    DeleteTable,
    /// Makes a chain without rules; one that is there stays.
    AddChain {
        /// Name.
        name: String,
        /// Where the kernel calls it.
        base: Option<Base>,
        /// Comment.
        udata: Udata,
    },
    /// Takes all rules out of a chain.
    FlushChain(String),
    /// Deletes a chain and its rules; nothing may call it any more.
    DeleteChain(String),
    /// Adds a rule at the end of a chain.
    AddRule {
        /// Name of the chain.
        chain: String,
        /// The rule.
        rule: Rule,
    },
    /// Makes a set without elements (those of the value are not looked at); one that is there stays.
    AddSet(Set),
    /// Takes all elements out of a set.
    FlushSet(String),
    /// Deletes a set; nothing may look into it any more.
    DeleteSet(String),
    /// Adds elements; those that are there stay.
    AddElements {
        /// Name of the set.
        set: String,
        /// [`Set::flags`], which decide how an element is written.
        flags: u32,
        /// [`Set::key_len`].
        key_len: u32,
        /// The elements.
        elements: Elements,
    },
    /// Deletes elements; one that is not there fails the whole transaction.
    DeleteElements {
        /// Name of the set.
        set: String,
        /// [`Set::flags`].
        flags: u32,
        /// [`Set::key_len`].
        key_len: u32,
        /// The elements, of which only the key counts.
        elements: Elements,
    },
    /// Makes an object; one that is there stays.
    AddObject(Object),
    /// Deletes an object; nothing may use it any more.
    DeleteObject {
        /// `NFT_OBJECT_*`.
        kind: u32,
        /// Name.
        name: String,
    },
}

impl Transaction {
    /// An empty transaction on a table.
    pub fn on(family: TableFamily, table: impl Into<String>) -> Transaction {
        Transaction { family, table: table.into(), steps: Vec::new() }
    }

    /// Makes the table and everything in it: objects, sets, chains, then elements and rules, which name them.
    pub fn create(table: &Table) -> Transaction {
        let mut transaction = Transaction::on(table.family, &table.name);
        let steps = &mut transaction.steps;
        steps.push(Step::AddTable { flags: table.flags, udata: table.udata.clone() });
        steps.extend(table.objects.iter().cloned().map(Step::AddObject));
        steps.extend(table.chains.iter().map(Step::add_chain));
        steps.extend(table.sets.iter().map(Step::add_set));
        steps.extend(table.sets.iter().cloned().filter_map(Step::elements_of));
        for chain in &table.chains {
            steps.extend(
                chain
                    .rules
                    .iter()
                    .map(|rule| Step::AddRule { chain: chain.name.clone(), rule: rule.clone() }),
            );
        }
        transaction
    }

    /// The table that it makes where none is: the other way around from [`Transaction::create`]. None if it also
    /// takes away or empties something, or adds to what it does not make.
    #[must_use]
    pub fn creates(self) -> Option<Table> {
        let mut table = Table::new(self.family, self.table);
        let mut made = false;
        for step in self.steps {
            match step {
                Step::AddTable { flags, udata } => {
                    made = true;
                    (table.flags, table.udata) = (flags, udata);
                }
                Step::AddObject(object) => table.objects.push(object),
                Step::AddChain { name, base, udata } => {
                    table.chains.push(Chain { name, base, udata, rules: Vec::new() });
                }
                Step::AddRule { chain, rule } => {
                    table.chains.iter_mut().find(|one| one.name == chain)?.rules.push(rule);
                }
                Step::AddSet(set) => table.sets.push(set),
                Step::AddElements { set, elements, .. } => {
                    table.sets.iter_mut().find(|one| one.name == set)?.add(elements);
                }
                _ => return None,
            }
        }
        made.then_some(table)
    }
}

impl Step {
    /// Makes this chain, without its rules.
    #[must_use]
    pub fn add_chain(chain: &Chain) -> Step {
        Step::AddChain { name: chain.name.clone(), base: chain.base.clone(), udata: chain.udata.clone() }
    }

    /// Makes this set, without its elements.
    #[must_use]
    pub fn add_set(set: &Set) -> Step {
        Step::AddSet(set.without_elements())
    }

    /// Adds the elements of this set, if it has any.
    #[must_use]
    pub fn elements_of(set: Set) -> Option<Step> {
        (set.elements.count(set.key_len) > 0).then_some(Step::AddElements {
            set: set.name,
            flags: set.flags,
            key_len: set.key_len,
            elements: set.elements,
        })
    }
}
