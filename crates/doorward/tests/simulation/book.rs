//! Every table that comes up, once: what it is about, how it judges, and where each transaction leads from it.
//!
//! Runs are many and tables are few: what was worked out of a table once is looked up afterwards.

use crate::judge;
use crate::probe::{Probe, probes};
use doorward::compile::{self, ARMED, Options, Phase, Running};
use doorward::meaning;
use doorward::prove::{self, InTurn};
use doorward::resolve::model::Resolved;
use doorward::resolve::{self, MemoryFiles, load};
use doorward::ruleset::{Chain, Checked, Element, Elements, Object, Set, Step, Table, Transaction};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// No table.
pub(crate) const NONE: usize = 0;
/// How long a trial lasts, in milliseconds.
pub(crate) const TRIAL: u64 = 90_000;
/// How long it lasts from when it is extended.
pub(crate) const LONGER: u64 = 60_000;
/// The policy that is built in, and its number in the kernel.
pub(crate) const EMERGENCY: Gen = Gen { policy: 5, number: 63 };
/// Policies that somebody may try.
pub(crate) const POLICIES: u64 = 5;

const TEXTS: [&str; 5] = [
    "allow ssh\nallow http\n",
    "allow ssh limit 6/minute per source\nallow 3306/tcp, 53/udp\nblock out 25/tcp\n",
    "allow http\nallow 5353/udp\n",
    "allow ssh\nallow ftp helper passive 50000-50100 from 192.0.2.0/24\nreject 80/tcp\n",
    "allow ssh from 192.0.2.0/24\nallow forward https from 10.0.0.0/8\nreject forward smtp\n",
];

/// A policy under a number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Gen {
    pub(crate) policy: u8,
    pub(crate) number: u8,
}

/// A change to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Move {
    Arm(Gen),
    Replace(Gen),
    /// Back to a table.
    Restore(usize),
    Load(Gen),
    Confirm,
    Disarm,
    Settle,
    Forget,
    Extend,
    Expire,
}

/// Where a move leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Led {
    /// There was nothing to do.
    Nothing,
    /// All of it was refused.
    Refused,
    /// To a table; with the time that a new element of the trial lives.
    To(usize, Option<u64>),
}

/// What is known of a table.
pub(crate) struct Entry {
    /// A chain of each generation in it.
    chains: BTreeSet<String>,
    pub(crate) table: Option<Table>,
    pub(crate) phase: Phase,
    pub(crate) verdicts: u64,
    /// The generation that is on trial in it, over or not.
    pub(crate) on: Option<Gen>,
    /// The generation that judges without the trial.
    pub(crate) under: Option<Gen>,
}

impl Entry {
    pub(crate) fn armed(&self) -> bool {
        matches!(self.phase, Phase::Trial { left: Some(_), .. })
    }

    pub(crate) fn judging(&self) -> Option<Gen> {
        if self.armed() { self.on } else { self.under }
    }
}

struct Compiled {
    table: Checked<Table>,
    verdicts: u64,
    parts: Parts,
}

pub(crate) struct Book {
    pub(crate) probes: Vec<Probe>,
    policies: Vec<Resolved>,
    compiled: FxHashMap<Gen, Compiled>,
    entries: Vec<Entry>,
    /// By what they are about.
    ids: FxHashMap<String, Vec<usize>>,
    led: FxHashMap<(usize, usize, Move), Led>,
    packets: FxHashMap<(usize, usize, bool, u32), (bool, u32)>,
    firsts: FxHashMap<(usize, usize), (bool, u32)>,
}

impl Book {
    pub(crate) fn new() -> Book {
        let nothing = Entry {
            chains: BTreeSet::new(),
            table: None,
            phase: Phase::Idle,
            verdicts: 0,
            on: None,
            under: None,
        };
        Book {
            probes: probes(),
            policies: TEXTS
                .iter()
                .map(|text| resolved(text))
                .chain([compile::emergency(&BTreeSet::from([22]))])
                .collect(),
            compiled: FxHashMap::default(),
            entries: vec![nothing],
            ids: FxHashMap::default(),
            led: FxHashMap::default(),
            packets: FxHashMap::default(),
            firsts: FxHashMap::default(),
        }
    }

    pub(crate) fn entry(&self, id: usize) -> &Entry {
        &self.entries[id]
    }

    pub(crate) fn tables(&self) -> usize {
        self.entries.len()
    }

    fn checked(&mut self, who: Gen) -> &Compiled {
        let (policies, probes) = (&self.policies, &self.probes);
        self.compiled.entry(who).or_insert_with(|| {
            let options = Options { generation: who.number, ..Options::default() };
            let policy = &policies[usize::from(who.policy)];
            let (table, _) = prove::compiled(policy, &meaning::Host::default(), &options, &InTurn);
            let table = table.unwrap();
            let verdicts = judge::verdicts(Some(&table), probes);
            let parts = parts((*table).clone());
            Compiled { table, verdicts, parts }
        })
    }

    /// How a generation judges that is alone.
    pub(crate) fn alone(&mut self, who: Option<Gen>) -> u64 {
        who.map_or(0, |who| self.checked(who).verdicts)
    }

    /// The next free number in a table, but for some.
    pub(crate) fn next_number(&self, id: usize, but: &[u8]) -> u8 {
        let mut running = Running { chains: self.entries[id].chains.clone(), ..Running::default() };
        running.chains.extend(but.iter().map(|number| format!("g{number}_")));
        running.next_generation()
    }

    /// Where a move leads that was made of one table and meets another.
    pub(crate) fn led(&mut self, read: usize, meets: usize, what: Move) -> Led {
        if let Some(led) = self.led.get(&(read, meets, what)) {
            return *led;
        }
        let held = self.entries[read].table.clone();
        let led = match self.transaction(held.as_ref(), what) {
            None => Led::Nothing,
            Some(transaction) => match transaction.outcome(self.entries[meets].table.as_ref()) {
                Err(_) => Led::Refused,
                Ok(after) => self.reached(after),
            },
        };
        self.led.insert((read, meets, what), led);
        led
    }

    fn transaction(&mut self, held: Option<&Table>, what: Move) -> Option<Transaction> {
        let plain = |checked: Checked<Transaction>| (*checked).clone();
        match what {
            Move::Arm(new) => {
                let table = self.checked(new).table.clone();
                Some(plain(compile::arm(held, table, TRIAL)))
            }
            Move::Replace(new) => {
                let running = held.map(Running::of).unwrap_or_default();
                Some(plain(compile::replace(&running, self.checked(new).table.clone())))
            }
            Move::Restore(before) => compile::back(held, self.entries[before].table.as_ref()).map(plain),
            Move::Load(new) => {
                // Whatever may be there goes in the same transaction.
                let mut all = Transaction::create(&self.checked(new).table);
                let first = all.steps[0].clone();
                all.steps.splice(0..0, [first, Step::DeleteTable]);
                Some(all)
            }
            Move::Confirm => compile::confirm(held?).map(plain),
            // The kernel's own way is the same as ours.
            Move::Disarm | Move::Expire => Some(plain(compile::disarm())),
            Move::Settle => compile::settle(held?).map(plain),
            Move::Forget => compile::forget(held?).map(plain),
            Move::Extend => Some(plain(compile::extend(LONGER))),
        }
    }

    /// The number of a table, and whether its trial has just got its time.
    fn reached(&mut self, table: Option<Table>) -> Led {
        let Some(mut table) = table else { return Led::To(NONE, None) };
        let mut fresh = None;
        if let Some(Elements::Full(list)) = elements(&mut table) {
            for element in list {
                // What stood there before has been running.
                if element.expiration.is_none() {
                    fresh = element.timeout;
                }
                (element.timeout, element.expiration) = (Some(1), Some(1));
            }
        }
        sort(&mut table);
        let about = format!("{:?}", compile::phase(&table));
        let alike = self.ids.entry(about.clone()).or_default();
        if let Some(id) = alike.iter().find(|id| self.entries[**id].table.as_ref() == Some(&table)) {
            return Led::To(*id, fresh);
        }
        let id = self.entries.len();
        alike.push(id);
        let entry = self.entry_of(table);
        self.entries.push(entry);
        Led::To(id, fresh)
    }

    fn entry_of(&mut self, table: Table) -> Entry {
        let phase = compile::phase(&table);
        let with = |list| {
            let mut table = table.clone();
            if let Some(elements) = elements(&mut table) {
                *elements = Elements::Full(list);
            }
            compile::judging(&table)
        };
        let on = with(vec![Element { timeout: Some(1), ..Element::of(vec![0; 4]) }]);
        let on = on.filter(|_| matches!(phase, Phase::Trial { .. }));
        let under = with(Vec::new());
        let (on, under) = (self.known(on), self.known(under));
        let verdicts = judge::verdicts(Some(&table), &self.probes);
        let numbers = Running::of(&table).generations();
        let chains = numbers.iter().map(|number| format!("g{number}_")).collect();
        Entry { chains, table: Some(table), phase, verdicts, on, under }
    }

    /// Which generation a table is, whole and with nothing else in it.
    fn known(&mut self, table: Option<Table>) -> Option<Gen> {
        let table = table?;
        let Phase::Quiet { generation: number, .. } = compile::phase(&table) else { return None };
        let parts = parts(table);
        (0..=EMERGENCY.policy).map(|policy| Gen { policy, number }).find(|one| {
            // The emergency's number is nobody else's, and nothing else has it.
            (one.policy == EMERGENCY.policy) == (number == EMERGENCY.number)
                && self.checked(*one).parts == parts
        })
    }

    /// A later packet of a connection: whether it passes, and the mark afterwards.
    pub(crate) fn later(&mut self, id: usize, probe: usize, reply: bool, mark: u32) -> (bool, u32) {
        let (entries, probes) = (&self.entries, &self.probes);
        *self.packets.entry((id, probe, reply, mark)).or_insert_with(|| {
            judge::packet(entries[id].table.as_ref(), &probes[probe].later(reply, mark), mark)
        })
    }

    /// The first packet of a connection.
    pub(crate) fn first(&mut self, id: usize, probe: usize) -> (bool, u32) {
        let (entries, probes) = (&self.entries, &self.probes);
        *self
            .firsts
            .entry((id, probe))
            .or_insert_with(|| judge::packet(entries[id].table.as_ref(), &probes[probe].first, 0))
    }
}

fn elements(table: &mut Table) -> Option<&mut Elements> {
    table.sets.iter_mut().find(|set| set.name == ARMED).map(|set| &mut set.elements)
}

/// Orders of names that mean nothing.
fn sort(table: &mut Table) {
    table.chains.sort_by(|a, b| a.name.cmp(&b.name));
    table.sets.sort_by(|a, b| a.name.cmp(&b.name));
}

type Parts = (Vec<Chain>, Vec<Set>, Vec<Object>);

/// What a table is made of. A base chain that nobody has use for stays behind, empty.
fn parts(mut table: Table) -> Parts {
    sort(&mut table);
    table.chains.retain(|chain| chain.base.is_none() || !chain.rules.is_empty());
    table.sets.retain(|set| set.name != ARMED);
    (table.chains, table.sets, table.objects)
}

fn resolved(text: &str) -> Resolved {
    let loaded = load(&MemoryFiles::default().with("policy.dw", text), "policy.dw");
    let (policy, reports) = resolve::resolve(&loaded, &resolve::Host::default());
    policy.unwrap_or_else(|| panic!("{text}: {reports:?}"))
}
