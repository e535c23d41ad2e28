//! What a transaction makes of a table, as the kernel would: all steps in their order, or nothing; sends nothing.

use super::{Chain, Data, Elements, Expr, Set, Step, Table, Transaction, Verdict};

/// The step that the kernel would refuse, and why.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("step {step}: {why}")]
pub struct Refused {
    /// Index of the step.
    pub step: usize,
    /// Why.
    pub why: Why,
}

/// Why a step is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Why {
    /// What it names is not there (ENOENT).
    #[error("there is no such thing")]
    Missing,
    /// Something still names what it takes away (EBUSY).
    #[error("something still names it")]
    InUse,
}

impl Transaction {
    /// What becomes of a table; none where there is no table. The table itself is not changed if a step is refused.
    ///
    /// Whatever the kernel checks besides names (types, sizes, circles of chains) is not looked at.
    pub fn outcome(&self, before: Option<&Table>) -> Result<Option<Table>, Refused> {
        let mut table = before.cloned();
        for (step, one) in self.steps.iter().enumerate() {
            self.take(one, &mut table).map_err(|why| Refused { step, why })?;
        }
        Ok(table)
    }

    fn take(&self, step: &Step, slot: &mut Option<Table>) -> Result<(), Why> {
        match step {
            Step::AddTable { flags, udata } => {
                if slot.is_none() {
                    let mut table = Table::new(self.family, &self.table);
                    table.flags = *flags;
                    table.udata = udata.clone();
                    *slot = Some(table);
                }
                return Ok(());
            }
            Step::DeleteTable => return slot.take().map(|_| ()).ok_or(Why::Missing),
            _ => {}
        }
        change(step, slot.as_mut().ok_or(Why::Missing)?)
    }
}

fn change(step: &Step, table: &mut Table) -> Result<(), Why> {
    match step {
        Step::AddTable { .. } | Step::DeleteTable => {}
        Step::AddChain { name, base, udata } => {
            if table.chain(name).is_none() {
                let rules = Vec::new();
                let (base, udata) = (base.clone(), udata.clone());
                table.chains.push(Chain { name: name.clone(), base, udata, rules });
            }
        }
        Step::FlushChain(name) => chain(table, name)?.rules.clear(),
        Step::DeleteChain(name) => {
            chain(table, name)?.rules.clear();
            if calls(table, name) {
                return Err(Why::InUse);
            }
            table.chains.retain(|chain| chain.name != *name);
        }
        Step::AddRule { chain: name, rule } => chain(table, name)?.rules.push(rule.clone()),
        Step::AddSet(set) => {
            if table.set(&set.name).is_none() {
                table.sets.push(set.without_elements());
            }
        }
        Step::FlushSet(name) => self::set(table, name)?.elements = Elements::Full(Vec::new()),
        Step::DeleteSet(name) => {
            self::set(table, name)?;
            if looks_into(table, name) {
                return Err(Why::InUse);
            }
            table.sets.retain(|set| set.name != *name);
        }
        Step::AddElements { set: name, elements, .. } => add(self::set(table, name)?, elements),
        Step::DeleteElements { set: name, elements, key_len, .. } => {
            let set = self::set(table, name)?;
            for key in keys(elements, *key_len) {
                remove(set, key)?;
            }
        }
        Step::AddObject(object) => {
            let same =
                |one: &super::Object| one.name == object.name && one.kind.number() == object.kind.number();
            if !table.objects.iter().any(same) {
                table.objects.push(object.clone());
            }
        }
        Step::DeleteObject { kind, name } => {
            let is = |one: &super::Object| one.kind.number() == *kind && one.name == *name;
            if !table.objects.iter().any(is) {
                return Err(Why::Missing);
            }
            let mut exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
            if exprs.any(|expr| matches!(expr, Expr::Objref { kind: k, name: n } if k == kind && n == name)) {
                return Err(Why::InUse);
            }
            table.objects.retain(|one| !is(one));
        }
    }
    Ok(())
}

fn chain<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Chain, Why> {
    table.chains.iter_mut().find(|chain| chain.name == name).ok_or(Why::Missing)
}

fn set<'a>(table: &'a mut Table, name: &str) -> Result<&'a mut Set, Why> {
    table.sets.iter_mut().find(|set| set.name == name).ok_or(Why::Missing)
}

fn keys(elements: &Elements, key_len: u32) -> Vec<&[u8]> {
    match elements {
        Elements::Plain(bytes) => bytes.chunks_exact(key_len.max(1) as usize).collect(),
        Elements::Full(list) => list.iter().map(|element| element.key.as_slice()).collect(),
    }
}

/// Those that are there stay as they are.
fn add(set: &mut Set, more: &Elements) {
    let key_len = set.key_len;
    match (&mut set.elements, more) {
        (empty, more) if empty.count(key_len) == 0 => *empty = more.clone(),
        (Elements::Plain(bytes), Elements::Plain(more)) => bytes.extend(more),
        (Elements::Full(list), Elements::Full(more)) => {
            for one in more {
                if !list.iter().any(|known| known.key == one.key) {
                    list.push(one.clone());
                }
            }
        }
        // Who adds plain keys to a list with more than keys makes them elements.
        (Elements::Full(list), more @ Elements::Plain(_)) => {
            list.extend(keys(more, key_len).into_iter().map(|key| super::Element::of(key.to_vec())));
        }
        (Elements::Plain(bytes), Elements::Full(more)) => {
            bytes.extend(more.iter().flat_map(|one| &one.key));
        }
    }
}

fn remove(set: &mut Set, key: &[u8]) -> Result<(), Why> {
    let key_len = set.key_len.max(1) as usize;
    match &mut set.elements {
        Elements::Full(list) => {
            let at = list.iter().position(|one| one.key == key).ok_or(Why::Missing)?;
            list.remove(at);
        }
        Elements::Plain(bytes) => {
            let at = bytes.chunks_exact(key_len).position(|one| one == key).ok_or(Why::Missing)?;
            bytes.drain(at * key_len..(at + 1) * key_len);
        }
    }
    Ok(())
}

/// Whether a rule or a verdict map leads to a chain.
fn calls(table: &Table, name: &str) -> bool {
    let leads =
        |verdict: &Verdict| matches!(verdict, Verdict::Jump(chain) | Verdict::Goto(chain) if chain == name);
    let mut exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
    let in_rule = exprs.any(|expr| matches!(expr, Expr::Verdict(verdict) if leads(verdict)));
    in_rule
        || table.sets.iter().any(|set| match &set.elements {
            Elements::Full(list) => {
                list.iter().any(|one| matches!(&one.data, Some(Data::Verdict(verdict)) if leads(verdict)))
            }
            Elements::Plain(_) => false,
        })
}

fn looks_into(table: &Table, name: &str) -> bool {
    let mut exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
    exprs.any(|expr| match expr {
        Expr::Lookup { set, .. } => set == name,
        Expr::Dynset(dynset) => dynset.set == name,
        _ => false,
    })
}
