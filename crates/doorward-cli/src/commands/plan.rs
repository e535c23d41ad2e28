//! `plan`: what a policy changes for traffic, compared with what runs or with another one; loads nothing.

use super::Outcome;
use crate::cli::{KERNEL, Plan};
use crate::exit::{Exit, Failure, Stop};
use crate::files::Disk;
use crate::host::Around;
use crate::json;
use crate::kernel;
use crate::policy::{self, Sound};
use crate::side::BySide;
use crate::store::Store;
use crate::terminal::Terminal;
use crate::text::{Line, Tone, count};
use crate::traffic::{self, Open};
use doorward::compile;
use doorward::prove::{self, Changes, Facts, Kind, Lens, Names, Side, Telling, Told};
use doorward::resolve::{self, Resolved};
use doorward::ruleset::Table;
use doorward_kernel::Reader;
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn run(args: &Plan, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.policy.output.json;
    let new = policy::need(&Disk::new(&args.policy.file), json, terminal)?;
    let against = Against::read(&args.against, state, json, terminal)?;
    let shown = [&args.policy.file, &args.against].map(|file| file.to_string_lossy().into_owned());
    let how = How { json, exit_code: args.exit_code };
    let said = Said::of(new, &against, shown, how, terminal)?;
    if json {
        terminal.json(&said.json(&against));
    } else {
        said.show(&against, args.examples, terminal);
    }
    Ok(if args.exit_code && said.changes != Changes::default() { Exit::False } else { Exit::Done })
}

/// What a policy would change for traffic, told before it is tried; for programs, what was told.
pub(super) fn tell(
    new: Sound,
    (shown, state): (&str, &Path),
    json: bool,
    terminal: &mut Terminal,
) -> Result<Option<Value>, Stop> {
    let against = Against::read(Path::new(KERNEL), state, json, terminal)?;
    let shown = [shown, KERNEL].map(str::to_owned);
    let said = Said::of(new, &against, shown, How { json, exit_code: false }, terminal)?;
    if json {
        return Ok(Some(said.json(&against)));
    }
    said.show(&against, false, terminal);
    Ok(None)
}

/// What is wanted of an answer.
#[derive(Clone, Copy)]
struct How {
    json: bool,
    exit_code: bool,
}

/// From so many sentences on it is said that a proof takes its time.
const MANY: usize = 1000;

/// What is compared with.
enum Against {
    /// Another policy.
    Policy(Box<Sound>),
    /// What the kernel has of ours, and its number.
    Kernel(Option<Table>, Option<u64>),
}

impl Against {
    fn read(said: &Path, state: &Path, json: bool, terminal: &mut Terminal) -> Result<Against, Stop> {
        if said != Path::new(KERNEL) {
            let old = policy::need_quietly(&Disk::new(said), json, terminal)?;
            return Ok(Against::Policy(Box::new(old)));
        }
        let read = Reader::open().and_then(|reader| reader.read(&kernel::ours()));
        let snapshot = read.map_err(|error| kernel::unread(&error))?;
        if let Some(set) = snapshot.unread.first() {
            let message = format!("set {} is too large to be read back", set.set);
            return Err(Failure::new(Exit::System, message).into());
        }
        let ours = snapshot.ruleset.tables.into_iter().next();
        // What judges now, as it is without a trial.
        let table = ours.and_then(|table| compile::judging(&table));
        // Who may not read the disk is told the number that the kernel has.
        let generation = table.as_ref().and_then(compile::in_force).map(|number| {
            let store = Store::open(state).ok().flatten();
            store.and_then(|store| store.in_kernel(number)).unwrap_or_else(|| number.into())
        });
        Ok(Against::Kernel(table, generation))
    }

    fn changes(&self, new: &Resolved, around: &Around) -> Result<Changes, prove::NotJudged> {
        let new_side = Side::Policy(new);
        match self {
            Against::Policy(old) => {
                prove::changes(Side::Policy(&old.resolved), new_side, &around.own(), &BySide::of(new))
            }
            Against::Kernel(table, _) => {
                let lens = table.as_ref().map(Lens::by_names).unwrap_or_default().and(new);
                let interfaces = around.interfaces.clone();
                let facts = Facts { lens, interfaces, ..Facts::default() };
                prove::changes(
                    Side::Tables(table.as_slice(), &facts),
                    new_side,
                    &around.own(),
                    &BySide::of(new),
                )
            }
        }
    }

    fn generation(&self) -> Option<u64> {
        match self {
            Against::Kernel(_, generation) => *generation,
            Against::Policy(_) => None,
        }
    }
}

/// What is said.
struct Said {
    policy: String,
    against: String,
    changes: Changes,
    told: Vec<Told>,
    /// The doors, where nothing of ours runs: everything is open, and what stays so is the shorter list.
    doors: Option<(Changes, Vec<Told>)>,
    open: Option<Open>,
}

impl Said {
    fn of(
        mut new: Sound,
        against: &Against,
        [policy, with]: [String; 2],
        how: How,
        terminal: &mut Terminal,
    ) -> Result<Said, Stop> {
        let around = Around::ask();
        if let Against::Kernel(Some(table), _) = against {
            new.resolved.bridges = around.as_loaded(compile::bridges(table));
        }
        let own = around.own();
        terminal.progress("proving", new.resolved.rules.len() > MANY);
        let first = !how.json && matches!(against, Against::Kernel(None, _));
        // Where nothing of ours runs, people are told what stays open instead of all that is shut.
        let changes = if first && !how.exit_code {
            Changes::default()
        } else {
            against.changes(&new.resolved, &around).map_err(|why| traffic::not_proven(&why))?
        };
        let mut defined = resolve::named_addresses(&new.loaded);
        if let Against::Policy(old) = against {
            // Where both have a name, the new one's is said.
            defined.extend(resolve::named_addresses(&old.loaded));
        }
        let names = Names::new(defined, &own);
        let open = match against {
            Against::Policy(_) => None,
            Against::Kernel(..) => {
                Some(Open::judged(&new.resolved, &around).map_err(|error| kernel::unread(&error))?)
            }
        };
        let doors = first
            .then(|| {
                let (nothing, all) = (Resolved::empty(), &new.resolved);
                let doors =
                    prove::changes(Side::Policy(&nothing), Side::Policy(all), &own, &BySide::of(all))?;
                let told = prove::told(&doors, &names, Telling::Doors);
                Ok((doors, told))
            })
            .transpose()
            .map_err(|why| traffic::not_proven(&why))?;
        let told = prove::told(&changes, &names, Telling::Change);
        Ok(Said { policy, against: with, told, changes, doors, open })
    }

    fn show(&self, against: &Against, examples: bool, terminal: &mut Terminal) {
        if let Some((doors, told)) = &self.doors {
            return self.show_first(doors, told, examples, terminal);
        }
        for one in &self.told {
            terminal.lines(traffic::lines(one, 0, examples));
        }
        show_more(&self.changes, terminal);
        self.show_open(terminal);
        let with = match (against, against.generation()) {
            (Against::Policy(_), _) => self.against.clone(),
            (_, Some(generation)) => format!("generation {generation} in the kernel"),
            (_, None) => "what the kernel has of doorward".to_owned(),
        };
        let (policy, changes) = (&self.policy, count(self.told.len(), "change"));
        terminal.line(if self.told.is_empty() {
            Line::of(Tone::Good, format!("nothing changes for traffic: {policy} against {with}"))
        } else {
            Line::of(Tone::Strong, format!("{policy} against {with}: {changes}"))
        });
    }

    fn show_first(&self, doors: &Changes, told: &[Told], examples: bool, terminal: &mut Terminal) {
        let policy = &self.policy;
        let opens = told.iter().any(|one| one.kind == Kind::Opens);
        terminal.line("no firewall of doorward runs: whatever arrives comes in, unless others drop it");
        let words = format!("{policy} shuts out what arrives, but for replies");
        terminal.line(Line::of(Tone::Strong, words + if opens { " and these doors:" } else { "" }));
        for one in told {
            let indent = if one.kind == Kind::Opens { 2 } else { 0 };
            terminal.lines(traffic::lines(one, indent, examples));
        }
        show_more(doors, terminal);
        self.show_open(terminal);
    }

    fn show_open(&self, terminal: &mut Terminal) {
        let Some(open) = self.open.as_ref().filter(|open| !open.refused.is_empty()) else { return };
        let connections = count(open.refused.len(), "connection");
        let words = format!("{connections} of {} from outside would not be let in anew:", open.count);
        terminal.line(Line::of(Tone::Doubtful, words));
        let named = open.named();
        let more = open.refused.len() - named.len();
        for one in named {
            terminal.line(format!("  {one}"));
        }
        if more > 0 {
            terminal.line(format!("  and {more} more"));
        }
        terminal.line("  what is open already goes on until it ends");
    }

    fn json(&self, against: &Against) -> Value {
        let runs = match against {
            Against::Policy(_) => None,
            Against::Kernel(table, _) => Some(table.is_some()),
        };
        let open = self
            .open
            .as_ref()
            .map(|open| json!({ "open": open.count, "refused": open.refused.len(), "named": open.named() }));
        json!({
            "policy": self.policy,
            "against": self.against,
            "active": runs,
            "generation": against.generation(),
            "changes": json::told(&self.told),
            "more": self.changes.more,
            "connections": open,
        })
    }
}

fn show_more(changes: &Changes, terminal: &mut Terminal) {
    if changes.more {
        terminal.line(Line::of(Tone::Doubtful, "there are more changes than can be listed"));
    }
}
