//! Two generations in one table: the set `armed` says which of them judges, and the kernel empties it in time.
//!
//! A base chain on trial, of generation 5 over generation 4:
//!
//! ```text
//! ct state established ct mark & 0x3f000000 != 0x05000000 … accept      let in by anyone but the candidate
//! meta mark & 0 @armed goto g5_base_input                               the lookup that expires
//! ct state established ct mark & 0x3f000000 == 0x05000000 goto g4_again_input
//! goto g4_base_input
//! ```
//!
//! `gN_base_…` hold what the base chain of that generation is outside of a trial. `g5_yes` writes the number into the
//! ct mark of what it lets in; once the trial is over, `g4_again_…` judges such connections as if they were new.

use super::code::{self, R0, state};
use super::replace::{generation_of, needed_only, transition};
use super::{PENDING, TABLE};
use crate::net::Proto;
use crate::ruleset::{
    Chain, Checked, CmpOp, CtKey, Element, Elements, Expr, KeyPart, MetaKey, Rule, Set, Step, Table,
    TableFamily, Transaction, Verdict, set_flags,
};

/// The bits of the ct mark that hold the number of the generation that let a connection in.
pub const GENERATION_BITS: u32 = 0x3f00_0000;

/// The bit of the ct mark of a connection that a trial let in and that the generation before it refuses.
pub const REFUSED: u32 = 0x8000_0000;

/// The set whose one element says that a trial goes on.
pub const ARMED: &str = "armed";

/// What the connections that a generation let in have in [`GENERATION_BITS`], as far as it was on trial then.
#[must_use]
pub fn mark_of(generation: u8) -> u32 {
    u32::from(generation) << 24 & GENERATION_BITS
}

/// What our table in the kernel is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// No generation judges.
    Idle,
    /// One generation judges.
    Quiet {
        /// Its number.
        generation: u8,
        /// A generation whose trial is over: what it let in is judged again.
        remains: Option<u8>,
    },
    /// One generation judges for a time.
    Trial {
        /// Its number.
        new: u8,
        /// The one that judges afterwards; none where the host had no firewall of ours.
        old: Option<u8>,
        /// Milliseconds that are left; none when it is over.
        left: Option<u64>,
    },
}

impl Phase {
    /// The generation that judges.
    #[must_use]
    pub fn in_force(self) -> Option<u8> {
        match self {
            Phase::Idle => None,
            Phase::Quiet { generation, .. } => Some(generation),
            Phase::Trial { new, left: Some(_), .. } => Some(new),
            Phase::Trial { old, left: None, .. } => old,
        }
    }
}

/// Reads what a table is about; the elements of [`ARMED`] must have been read.
#[must_use]
pub fn phase(table: &Table) -> Phase {
    let Some(rules) = table.chain("input").map(|chain| &chain.rules) else { return Phase::Idle };
    let target = |rule: &Rule| {
        rule.exprs.iter().find_map(|expr| match expr {
            Expr::Verdict(Verdict::Goto(name)) => Some((generation_of(name)?, name.clone())),
            _ => None,
        })
    };
    let dispatched = rules.iter().find(|rule| looks_at_armed(rule)).and_then(target);
    let last = rules.last().filter(|rule| rule.exprs.len() == 1).and_then(target);
    match (dispatched, last) {
        (Some((new, _)), old) => Phase::Trial { new, old: old.map(|(old, _)| old), left: left(table) },
        (None, Some((generation, _))) => {
            let remains = rules.first().and_then(marked);
            Phase::Quiet { generation, remains }
        }
        (None, None) => Phase::Idle,
    }
}

/// What is left of a trial, in milliseconds.
fn left(table: &Table) -> Option<u64> {
    match &table.set(ARMED)?.elements {
        Elements::Full(list) => list.first().map(|one| one.expiration.or(one.timeout).unwrap_or(u64::MAX)),
        Elements::Plain(bytes) => (!bytes.is_empty()).then_some(u64::MAX),
    }
}

fn looks_at_armed(rule: &Rule) -> bool {
    rule.exprs.iter().any(|expr| matches!(expr, Expr::Lookup { set, .. } if set == ARMED))
}

/// The generation whose connections a rule sends to be judged again.
fn marked(rule: &Rule) -> Option<u8> {
    let again = |expr: &Expr| matches!(expr, Expr::Verdict(Verdict::Goto(name)) if name.contains("_again_"));
    rule.exprs.last().filter(|expr| again(expr))?;
    (1..=63).find(|generation| rule.exprs.starts_with(&let_in_by(*generation, CmpOp::Eq)))
}

/// Established connections, of those that a generation let in while on trial, or of all others.
fn let_in_by(generation: u8, op: CmpOp) -> Vec<Expr> {
    let mut code = vec![
        Expr::Ct { key: CtKey::Mark, dir: None, dreg: R0 },
        code::mask(R0, code::host(GENERATION_BITS)),
        code::cmp(op, code::host(mark_of(generation))),
    ];
    code.extend(code::ct_state(state::ESTABLISHED));
    code
}

/// The first rule of a judging base chain outside of a trial: established connections pass, but for ICMP and for
/// what still owes for a limit.
pub(super) fn established(owing: bool) -> Vec<Expr> {
    let mut code = code::ct_state(state::ESTABLISHED);
    if owing {
        code.extend(code::mark_clear(PENDING));
    }
    code.extend(code::not_icmp());
    code.push(code::accept());
    code
}

/// The names of a generation's chains.
fn name(generation: u8, what: &str, hook: &str) -> String {
    format!("g{generation}_{what}_{hook}")
}

/// Puts a proven generation on trial over what runs, for so many milliseconds, in one transaction. `held` is our
/// table as it is, with all rules; a trial that is over in it is cleared away.
pub fn arm(held: Option<&Table>, table: Checked<Table>, milliseconds: u64) -> Checked<Transaction> {
    table.map(|table| {
        let mut transaction = transition(held, on_trial(held, table));
        if held.is_some_and(|held| held.set(ARMED).is_some()) {
            // An element that is there would stay as it is.
            transaction.steps.push(Step::FlushSet(ARMED.to_owned()));
        }
        transaction.steps.push(armed_for(milliseconds));
        transaction
    })
}

/// The table with a trial in it, but for the element that says so.
///
/// What is kept of `held` is the generation that judges without the trial; lists and buckets that both name are
/// shared.
#[must_use]
pub fn on_trial(held: Option<&Table>, mut table: Table) -> Table {
    let old = held.and_then(quiet);
    let Some(new) = table.chains.iter().find_map(|chain| generation_of(&chain.name)) else { return table };
    let mut hooks: Vec<String> = base_chains(&table);
    for hook in old.iter().flat_map(|old| base_chains(&old.table)) {
        if !hooks.contains(&hook) {
            hooks.push(hook);
        }
    }
    let mut added = Vec::new();
    if let Some(old) = &old {
        let generation = old.generation;
        for chain in &old.table.chains {
            if generation_of(&chain.name) == Some(generation) {
                added.push(chain.clone());
            } else if chain.base.is_some() && table.chain(&chain.name).is_none() {
                table.chains.push(Chain { rules: Vec::new(), ..chain.clone() });
            }
        }
        for set in &old.table.sets {
            if table.set(&set.name).is_none() {
                table.sets.push(set.clone());
            }
        }
        for object in &old.table.objects {
            if !table.objects.contains(object) {
                table.objects.push(object.clone());
            }
        }
        set_rules(&mut added, &name_yes(generation), vec![clears(), Rule::new(vec![code::accept()])]);
    }
    for hook in hooks {
        let own = table.chain(&hook).map(|chain| chain.rules.clone()).unwrap_or_default();
        let before = old.as_ref().and_then(|old| old.table.chain(&hook)).map(|chain| chain.rules.clone());
        let rules = dispatch(&hook, new, &own, old.as_ref(), before.as_deref().unwrap_or_default());
        if !own.is_empty() {
            added.push(with_rules(name(new, "base", &hook), own));
        }
        if let (Some(old), Some(before)) = (&old, before.filter(|rules| !rules.is_empty())) {
            if let Some(again) = again(&old.table, old.generation, &hook) {
                added.push(again);
            }
            added.push(with_rules(name(old.generation, "base", &hook), before));
        }
        set_rules(&mut table.chains, &hook, rules);
    }
    set_rules(&mut table.chains, &name_yes(new), vec![writes(new), Rule::new(vec![code::accept()])]);
    table.chains.extend(added);
    table
}

fn name_yes(generation: u8) -> String {
    format!("g{generation}_yes")
}

fn base_chains(table: &Table) -> Vec<String> {
    table.chains.iter().filter(|chain| chain.base.is_some()).map(|chain| chain.name.clone()).collect()
}

fn with_rules(name: String, rules: Vec<Rule>) -> Chain {
    Chain { rules, ..Chain::regular(name) }
}

fn set_rules(chains: &mut [Chain], name: &str, rules: Vec<Rule>) {
    if let Some(chain) = chains.iter_mut().find(|chain| chain.name == name) {
        chain.rules = rules;
    }
}

/// The rules of a base chain on trial.
fn dispatch(hook: &str, new: u8, own: &[Rule], old: Option<&Quiet>, before: &[Rule]) -> Vec<Rule> {
    let judges = |rules: &[Rule]| {
        rules.first().is_some_and(|rule| [true, false].iter().any(|owing| rule.exprs == established(*owing)))
    };
    let owing =
        [own, before].iter().any(|rules| rules.first().is_some_and(|rule| rule.exprs == established(true)));
    let judging = judges(own) || judges(before);
    let mut rules = Vec::new();
    if judging {
        let mut code = let_in_by(new, CmpOp::Neq);
        if owing {
            code.extend(code::mark_clear(PENDING));
        }
        code.extend(code::not_icmp());
        code.push(code::accept());
        rules.push(Rule::new(code));
    }
    let there = if own.is_empty() { code::accept() } else { code::goto(&name(new, "base", hook)) };
    // A constant, in a form that `nft` lists and reads.
    let armed =
        [code::meta(MetaKey::Mark, R0), code::mask(R0, code::host(0)), code::lookup(ARMED, R0, false), there];
    rules.push(Rule::new(armed.to_vec()));
    if let Some(old) = old.filter(|_| !before.is_empty()) {
        if judging {
            rules.push(judged_again(new, old.generation, hook));
        }
        rules.push(Rule::new(vec![code::goto(&name(old.generation, "base", hook))]));
    }
    rules
}

/// Sends what a trial let in to be judged again.
fn judged_again(new: u8, old: u8, hook: &str) -> Rule {
    let mut code = let_in_by(new, CmpOp::Eq);
    code.extend(code::not_icmp());
    code.push(code::goto(&name(old, "again", hook)));
    Rule::new(code)
}

/// What a generation does with connections that another let in: as with new ones, but for what only first packets
/// have. The chain is made of the one that judges: without the tests of TCP flags, which end what is not a SYN.
fn again(table: &Table, generation: u8, hook: &str) -> Option<Chain> {
    let main = table.chain(&format!("g{generation}_{hook}"))?;
    let protocols = format!("g{generation}_{hook}_protocols");
    let by_protocol = |rule: &&Rule| {
        rule.exprs.iter().any(|expr| matches!(expr, Expr::Lookup { set, .. } if *set == protocols))
    };
    if !main.rules.iter().any(|rule| by_protocol(&rule)) {
        return None;
    }
    let reply = |mut code: Vec<Expr>, verdict: Expr| {
        let mut all = code::ct_reply();
        all.append(&mut code);
        all.push(verdict);
        Rule::new(all)
    };
    let mut rules = vec![
        // Judged and refused: silence both ways.
        reply(code::mark_set(REFUSED), code::drop()),
        // What TCP may still say is bounded by its window; others wait for the opener.
        reply(code::l4proto(Proto::TCP), code::accept()),
        reply(Vec::new(), code::drop()),
        Rule::new(code::set_mark(!(REFUSED | PENDING), REFUSED)),
    ];
    rules.extend(main.rules.iter().filter(|rule| !by_protocol(rule)).map(|rule| {
        let exprs = rule.exprs.iter().map(|expr| match expr {
            Expr::Counter { .. } => code::counter(),
            other => other.clone(),
        });
        Rule { exprs: exprs.collect(), udata: rule.udata.clone(), handle: None }
    }));
    Some(with_rules(name(generation, "again", hook), rules))
}

/// Writes the number of a generation into the mark of what it lets in. An ICMP error carries the connection that
/// it quotes, and leaves its mark alone.
fn writes(generation: u8) -> Rule {
    let mut code = code::not_icmp();
    code.extend(code::set_mark(!(GENERATION_BITS | REFUSED), mark_of(generation)));
    Rule::new(code)
}

/// What is let in, too, by the generation before the trial is its own from now on.
fn clears() -> Rule {
    let mut code = code::not_icmp();
    code.extend(code::mark_set(GENERATION_BITS | REFUSED));
    code.extend(code::set_mark(!(GENERATION_BITS | REFUSED), 0));
    Rule::new(code)
}

/// A generation as it is outside of a trial.
struct Quiet {
    generation: u8,
    table: Table,
}

/// The generation that judges without a trial, and its table.
fn quiet(held: &Table) -> Option<Quiet> {
    match phase(held) {
        Phase::Idle | Phase::Trial { old: None, .. } => None,
        Phase::Quiet { generation, remains } => {
            let mut table = held.clone();
            if remains.is_some() {
                for chain in table.chains.iter_mut().filter(|chain| chain.base.is_some()) {
                    if chain.rules.first().and_then(marked).is_some() {
                        chain.rules.remove(0);
                    }
                }
            }
            Some(Quiet { generation, table: alone(table, generation) })
        }
        Phase::Trial { old: Some(old), .. } => {
            Some(Quiet { generation: old, table: alone(unpacked(held.clone(), old), old) })
        }
    }
}

/// Gives the base chains what a generation's `gN_base_…` keep for them.
fn unpacked(mut table: Table, generation: u8) -> Table {
    for hook in base_chains(&table) {
        let rules = table.chain(&name(generation, "base", &hook)).map(|chain| chain.rules.clone());
        set_rules(&mut table.chains, &hook, rules.unwrap_or_default());
    }
    table
}

/// Leaves out everything of other generations, and what nothing needs then; what the trial changed is as before.
fn alone(mut table: Table, generation: u8) -> Table {
    let helps = |name: &str| {
        let tail = name.split_once('_').map_or("", |(_, tail)| tail);
        tail.starts_with("base_") || tail.starts_with("again_")
    };
    let goes = |name: &str| generation_of(name).is_some_and(|one| one != generation || helps(name));
    table.chains.retain(|chain| !goes(&chain.name));
    set_rules(&mut table.chains, &name_yes(generation), vec![Rule::new(vec![code::accept()])]);
    needed_only(&mut table);
    table
}

/// Makes the generation on trial the one that judges. Refused as a whole, because there is no such element, when the
/// time is over (ENOENT).
pub fn confirm(held: &Table) -> Option<Checked<Transaction>> {
    let Phase::Trial { new, .. } = phase(held) else { return None };
    let wanted = alone(unpacked(held.clone(), new), new);
    let mut transaction = transition(Some(held), wanted);
    transaction.steps.insert(0, disarmed());
    // What it leads to was proven before it was armed.
    Some(Checked::vouched(transaction))
}

/// Ends a trial at once: the generation before it judges again. Also succeeds when it is over already.
pub fn disarm() -> Checked<Transaction> {
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    transaction.steps.push(Step::FlushSet(ARMED.to_owned()));
    Checked::vouched(transaction)
}

/// Gives a trial so many milliseconds from now. Refused (ENOENT) when it is over.
pub fn extend(milliseconds: u64) -> Checked<Transaction> {
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    // Adding an element that is there succeeds and extends nothing.
    transaction.steps.extend([disarmed(), armed_for(milliseconds)]);
    Checked::vouched(transaction)
}

/// Takes our table away, with all that is in it.
pub fn clear() -> Checked<Transaction> {
    let mut transaction = Transaction::on(TableFamily::Inet, TABLE);
    transaction.steps.push(Step::DeleteTable);
    Checked::vouched(transaction)
}

/// Clears a trial away that is over: the generation before it is alone, and goes on judging what the trial let in. The
/// table goes where there was none. None where there is nothing to clear, and where the trial goes on: who ends it
/// says so first.
pub fn settle(held: &Table) -> Option<Checked<Transaction>> {
    let Phase::Trial { new, old, left: None } = phase(held) else { return None };
    let Some(old) = old else {
        return Some(clear());
    };
    Some(Checked::vouched(transition(Some(held), settled(held, new, old))))
}

/// The generation before a trial, with what judges the remains of the trial.
fn settled(held: &Table, new: u8, old: u8) -> Table {
    let mut table = alone(unpacked(held.clone(), old), old);
    for hook in base_chains(&table) {
        let chain = name(old, "again", &hook);
        let Some(again) = held.chain(&chain) else { continue };
        table.chains.push(again.clone());
        if let Some(base) = table.chains.iter_mut().find(|chain| chain.name == hook) {
            base.rules.insert(0, judged_again(new, old, &hook));
        }
    }
    set_rules(&mut table.chains, &name_yes(old), vec![clears(), Rule::new(vec![code::accept()])]);
    // What only the again chains name is named by the chains that they were made of, too.
    table
}

/// Stops judging the remains of a trial; its connections must be gone or judged by then. None where there are none.
pub fn forget(held: &Table) -> Option<Checked<Transaction>> {
    let Phase::Quiet { remains: Some(_), .. } = phase(held) else { return None };
    let wanted = quiet(held)?.table;
    Some(Checked::vouched(transition(Some(held), wanted)))
}

/// The generation that judges now, as its table is outside of a trial; none where none judges.
#[must_use]
pub fn judging(held: &Table) -> Option<Table> {
    match phase(held) {
        Phase::Trial { new, left: Some(_), .. } => Some(alone(unpacked(held.clone(), new), new)),
        _ => quiet(held).map(|quiet| quiet.table),
    }
}

/// What a table with a trial does while it is armed.
#[must_use]
pub fn while_armed(held: &Table) -> Table {
    let mut table = held.clone();
    for rule in table.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        if looks_at_armed(rule) {
            let verdict = rule.exprs.pop();
            rule.exprs = verdict.into_iter().collect();
        }
    }
    table
}

/// What a table with a trial does once it is over, with connections that the trial did not let in.
#[must_use]
pub fn once_over(held: &Table) -> Table {
    let mut table = held.clone();
    for chain in table.chains.iter_mut().filter(|chain| chain.base.is_some()) {
        chain.rules.retain(|rule| !looks_at_armed(rule) && marked(rule).is_none());
    }
    table
}

fn armed_for(milliseconds: u64) -> Step {
    let element = Element { timeout: Some(milliseconds), ..Element::of(code::host(0)) };
    let Set { flags, key_len, .. } = armed_set();
    Step::AddElements { set: ARMED.to_owned(), flags, key_len, elements: Elements::Full(vec![element]) }
}

fn disarmed() -> Step {
    let Set { flags, key_len, .. } = armed_set();
    let elements = Elements::Full(vec![Element::of(code::host(0))]);
    Step::DeleteElements { set: ARMED.to_owned(), flags, key_len, elements }
}

/// The set itself, empty.
pub(super) fn armed_set() -> Set {
    let mut set = Set::over(ARMED, &[KeyPart::Mark]);
    set.flags = set_flags::TIMEOUT;
    set
}
