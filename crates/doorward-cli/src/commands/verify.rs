//! `verify`: proves that the kernel does what the policy says, or shows what is otherwise; repairs nothing.

use super::Outcome;
use crate::cli::{POLICY, Verify};
use crate::exit::{Exit, Failure, Stop};
use crate::files::Disk;
use crate::host::Around;
use crate::json;
use crate::kernel;
use crate::policy::{self, Sound};
use crate::side::BySide;
use crate::store::Store;
use crate::terminal::Terminal;
use crate::text::{Line, Tone};
use crate::traffic;
use doorward::compile::{self, Options, Phase, Running, TABLE};
use doorward::prove::{
    self, ChainName, Does, Facts, Foreign, Lens, Names, NotJudged, Otherwise, Telling, Told,
};
use doorward::resolve;
use doorward::ruleset::{Table, TableFamily, set_flags};
use doorward_kernel::{Reader, Scope, SetName};
use serde_json::{Value, json};
use std::path::Path;

/// From so many sentences on it is said that a proof takes its time.
const MANY: usize = 1000;

pub(super) fn run(args: &Verify, state: &Path, terminal: &mut Terminal) -> Outcome {
    let named = args.file.as_deref().map(|file| named(file, args.output.json, terminal)).transpose()?;
    let held = Held::read()?;
    let (policy, shown) = match named {
        Some(named) => named,
        None => in_force(state, &held, args.output.json, terminal)?,
    };
    terminal.progress("proving", policy.resolved.rules.len() > MANY);
    let said = Said::of(policy, &held, &shown).map_err(|why| traffic::not_proven(&why))?;
    if args.output.json {
        terminal.json(&said.json());
    } else {
        said.show(terminal);
    }
    Ok(if said.holds() { Exit::Done } else { Exit::False })
}

/// Whether the kernel does what the confirmed policy says, for a command that shows nothing of it.
pub(super) fn does_it(state: &Path, terminal: &mut Terminal) -> Result<bool, Stop> {
    let held = Held::read()?;
    let (policy, shown) = in_force(state, &held, true, terminal)?;
    Ok(Said::of(policy, &held, &shown).map_err(|why| traffic::not_proven(&why))?.holds())
}

/// A policy, and what it is called.
type Called = (Sound, String);

/// The policy in a file; its mistakes are told before anything is asked of the kernel.
fn named(file: &Path, json: bool, terminal: &mut Terminal) -> Result<Called, Stop> {
    let policy = policy::need_quietly(&Disk::new(file), json, terminal)?;
    Ok((policy, file.to_string_lossy().into_owned()))
}

/// The policy that is on trial, or else the confirmed one.
fn in_force(state: &Path, held: &Held, json: bool, terminal: &mut Terminal) -> Result<Called, Stop> {
    if let Some(store) = Store::open(state)?
        && let Some(number) = held
            .on_trial
            .and_then(|number| store.in_kernel(number))
            .or(store.confirmed()?.map(|pointer| pointer.confirmed.generation))
    {
        let record = store.replay(number)?;
        // What boot loads is no less a part of it.
        store.artifact(number)?;
        let facts = store.index(number)?.facts();
        let policy = policy::as_then(&record, &record.main, facts, json, terminal)?;
        return Ok((policy, record.main));
    }
    named(Path::new(POLICY), json, terminal)
}

/// What the kernel holds.
struct Held {
    ours: Table,
    /// What ours is called that is on trial now.
    on_trial: Option<u8>,
    tables: Vec<Table>,
    /// Sets of others whose elements were not read.
    unread: Vec<SetName>,
}

impl Held {
    fn read() -> Result<Held, Failure> {
        let read = Reader::open().and_then(|reader| reader.read(&Scope::All));
        let snapshot = read.map_err(|error| kernel::unread(&error))?;
        let is_ours = |family: TableFamily, name: &str| family == TableFamily::Inet && name == TABLE;
        let mut tables = snapshot.ruleset.tables;
        let Some(at) = tables.iter().position(|table| is_ours(table.family, &table.name)) else {
            return Err(Failure::new(Exit::System, "doorward is not active: the kernel has no rules of it")
                .way_out("`doorward apply` tries a policy"));
        };
        // On trial, or with what a trial left: what judges now, as it is alone.
        let ours = tables.remove(at);
        let on_trial = match compile::phase(&ours) {
            Phase::Trial { new, left: Some(_), .. } => Some(new),
            _ => None,
        };
        let ours = compile::judging(&ours).unwrap_or(ours);
        if let Some(set) = snapshot.unread.iter().find(|set| is_ours(set.family, &set.table)) {
            return Err(Failure::new(
                Exit::System,
                format!("not proven: set {} is too large to be read", set.set),
            ));
        }
        for table in &mut tables {
            let unread = |name: &str| {
                let one = SetName { family: table.family, table: table.name.clone(), set: name.to_owned() };
                snapshot.unread.contains(&one)
            };
            for set in table.sets.iter_mut().filter(|set| unread(&set.name)) {
                // Nobody knows what is in it.
                set.flags |= set_flags::EVAL;
            }
        }
        Ok(Held { ours, on_trial, tables, unread: snapshot.unread })
    }
}

/// What is said.
struct Said {
    policy: String,
    generation: Option<u8>,
    traffic: Vec<Told>,
    more: bool,
    otherwise: Vec<Otherwise>,
    strange: Vec<String>,
    foreign: Vec<(Foreign, Vec<Told>)>,
    unread: Vec<String>,
}

impl Said {
    fn of(policy: Sound, held: &Held, shown: &str) -> Result<Said, NotJudged> {
        let around = Around::ask();
        let own = around.own();
        let generation = compile::in_force(&held.ours);
        let known = Running::of(&held.ours).generations();
        let options = Options {
            generation: generation.or_else(|| known.into_iter().next_back()).unwrap_or(1),
            carried: compile::carried(&held.ours),
        };
        let names = Names::new(resolve::named_addresses(&policy.loaded), &own);
        let mut resolved = policy.resolved;
        // Bridges that came or went since the policy was loaded are no fault of the kernel's rules.
        resolved.bridges = around.as_loaded(compile::bridges(&held.ours));
        let drift =
            prove::drift(&resolved, &options, &held.ours, &own, &around.interfaces, &BySide::of(&resolved))?;
        let route = |addr| around.way_to(addr);
        let facts = Facts { interfaces: around.interfaces.clone(), ..Facts::default() };
        let foreign = prove::foreign(&resolved, &held.tables, &around.wiring(&route), &facts)?;
        let foreign = foreign.into_iter().map(|one| {
            let told = dropped(&one.does, &names);
            (one, told)
        });
        let foreign = foreign.collect();
        let lens = Lens::by_names(&held.ours).and(&resolved);
        Ok(Said {
            policy: shown.to_owned(),
            generation,
            traffic: prove::told(&drift.changes, &names, Telling::Fault),
            more: drift.changes.more,
            otherwise: prove::otherwise(&drift, &lens),
            strange: drift.strange,
            foreign,
            unread: held.unread.iter().map(set_name).collect(),
        })
    }

    fn means_the_policy(&self) -> bool {
        self.traffic.is_empty() && self.otherwise.is_empty() && self.strange.is_empty()
    }

    fn holds(&self) -> bool {
        self.means_the_policy() && !self.foreign.iter().any(|(one, _)| one.does.breaks())
    }

    fn show(&self, terminal: &mut Terminal) {
        terminal.line(self.verdict());
        for one in &self.traffic {
            terminal.lines(traffic::lines(one, 2, true));
        }
        if self.more {
            terminal.line(Line::of(Tone::Doubtful, "  there is more than can be listed"));
        }
        let (follow, others): (Vec<&Otherwise>, Vec<&Otherwise>) =
            self.otherwise.iter().partition(|one| one.follows);
        for one in others {
            terminal.line(Line::of(Tone::Bad, format!("  {}", one.words)));
            terminal.lines(traffic::example(&one.example, 4));
        }
        if !follow.is_empty() {
            terminal.line("  what is logged, counted or marked is otherwise, too: --json tells");
        }
        for words in &self.strange {
            terminal.line(Line::of(Tone::Bad, format!("  {words}")));
        }
        if !self.means_the_policy() {
            terminal.line(format!("  `doorward apply {}` puts the policy on trial again", self.policy));
        }
        for (one, told) in &self.foreign {
            show_foreign(one, told, terminal);
        }
        for set in &self.unread {
            let words = format!("warning: {set} is too large to be read; what is in it is not known");
            terminal.line(Line::of(Tone::Doubtful, words));
        }
        if self.foreign.iter().any(|(one, _)| one.does.breaks()) {
            terminal.line("  `doorward explain --whole-kernel` shows what becomes of one packet");
        }
    }

    fn verdict(&self) -> Line {
        let policy = &self.policy;
        let generation = self.generation.map(|number| format!(" (generation {number})")).unwrap_or_default();
        match (self.means_the_policy(), self.holds()) {
            (true, true) => {
                Line::of(Tone::Good, format!("proven: the kernel does what {policy} says{generation}"))
            }
            (true, false) => Line::of(
                Tone::Bad,
                format!("the rules of {policy} are in force{generation}, but others break them"),
            ),
            (false, _) => {
                Line::of(Tone::Bad, format!("the kernel does not do what {policy} says{generation}"))
            }
        }
    }

    fn json(&self) -> Value {
        let otherwise: Vec<Value> = self
            .otherwise
            .iter()
            .map(|one| {
                json!({
                    "words": one.words,
                    "follows": one.follows,
                    "example": one.example.to_string(),
                    "details": one.details,
                })
            })
            .collect();
        json!({
            "policy": self.policy,
            "ok": self.holds(),
            "generation": self.generation,
            "proven": self.means_the_policy(),
            "changes": json::told(&self.traffic),
            "more": self.more,
            "otherwise": otherwise,
            "strange": self.strange,
            "foreign": self.foreign.iter().map(|(one, told)| foreign_json(one, told)).collect::<Vec<_>>(),
            "unread": self.unread,
        })
    }
}

fn set_name(set: &SetName) -> String {
    format!("set {} of table {} {}", set.set, set.family, set.table)
}

/// As nft spells it.
fn chain_name(chain: &ChainName) -> String {
    format!("{} {} {}", chain.family, chain.table, chain.chain)
}

/// What is dropped.
fn dropped(does: &Does, names: &Names) -> Vec<Told> {
    let Does::Drops { changes, .. } = does else { return Vec::new() };
    prove::told(changes, names, Telling::Lost)
}

fn show_foreign(one: &Foreign, told: &[Told], terminal: &mut Terminal) {
    let (tone, does, example) = match &one.does {
        Does::Drops { promised: false, .. } => {
            (Tone::Faint, "drops what may pass through; no promise is broken", None)
        }
        Does::Drops { certain: true, .. } => (Tone::Bad, "drops what the policy lets in:", None),
        Does::Drops { .. } => (Tone::Doubtful, "drops, at times, what the policy lets in:", None),
        Does::Untracks { example } => {
            (Tone::Bad, "leaves connections untracked: replies are not known as such", example.as_ref())
        }
        Does::Marks => (Tone::Bad, "may change bits of the connection mark that are doorward's", None),
        Does::Translates => (Tone::Faint, "translates destinations, judged where they lead", None),
    };
    let chain = format!("chain {}", chain_name(&one.chain));
    terminal.lines(traffic::laid_out(&format!("{chain} {does}"), &chain, tone, 0));
    // Of what breaks nothing there is a lot beside Docker: `--json` tells it.
    for one in told.iter().filter(|_| one.does.breaks()) {
        terminal.lines(traffic::lines(one, 2, true));
    }
    if let Some(example) = example {
        terminal.lines(traffic::example(example, 4));
    }
}

fn foreign_json(one: &Foreign, told: &[Told]) -> Value {
    let (does, certain, example) = match &one.does {
        Does::Drops { certain, .. } => ("drops", *certain, None),
        Does::Untracks { example } => ("untracks", example.is_some(), example.as_ref()),
        Does::Translates => ("translates", true, None),
        Does::Marks => ("marks", false, None),
    };
    json!({
        "family": one.chain.family.to_string(),
        "table": one.chain.table,
        "chain": one.chain.chain,
        "hook": one.hook,
        "does": does,
        "certain": certain,
        "breaks": one.does.breaks(),
        "changes": json::told(told),
        "example": example.map(ToString::to_string),
    })
}
