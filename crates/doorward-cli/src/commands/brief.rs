//! `panic` and `open`: everything shut but the asking session, or everything open, for a while that the kernel keeps.
//!
//! Both are trials of a text that stands here. Nothing is written, so a full disk is no obstacle, and nobody can
//! confirm them: they end by themselves.

use super::Outcome;
use super::apply::untouched;
use super::ended::{Ended, ended};
use crate::change::{Wish, World, guard};
use crate::cli::Brief;
use crate::exit::{Exit, Failure};
use crate::kernel;
use crate::lock;
use crate::policy;
use crate::session::Asker;
use crate::store::{Record, Recorder, Store};
use crate::terminal::Terminal;
use crate::text::{Line, Tone, count};
use doorward::apply::{Ending, Order};
use doorward::resolve::MemoryFiles;
use doorward::ruleset::Table;
use serde_json::json;
use std::path::Path;

/// What holds for a while only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// All is shut but the asking session.
    Panic,
    /// All is open.
    Open,
}

impl Kind {
    /// The command.
    pub(super) fn word(self) -> &'static str {
        match self {
            Kind::Panic => "panic",
            Kind::Open => "open",
        }
    }

    /// What it means for the host.
    pub(super) fn means(self) -> &'static str {
        match self {
            Kind::Panic => "PANIC: everything is shut but the session that asked for it",
            Kind::Open => "OPEN: everything that arrives is let in",
        }
    }

    /// Whether what is on trial in this table is such a one.
    pub(super) fn on_trial(table: &Table) -> Option<Kind> {
        let word = kernel::brief(table)?;
        [Kind::Panic, Kind::Open].into_iter().find(|kind| kind.word() == word)
    }

    fn text(self, asker: &Asker, translations: &[String]) -> String {
        match self {
            Kind::Open => {
                let open = "default allow in, allow out, allow published, allow forward\n".to_owned();
                translations.iter().fold(open, |text, sentence| text + sentence + "\n")
            }
            Kind::Panic => {
                let mut text = "default block in, block out, block published, block forward\n".to_owned();
                if let Asker::Remote { connections } = asker {
                    let mut lines: Vec<String> = connections
                        .iter()
                        .map(|one| format!("allow {}/tcp from {}\n", one.local.port(), one.remote.ip()))
                        .collect();
                    lines.sort();
                    lines.dedup();
                    text.extend(lines);
                }
                text
            }
        }
    }
}

pub(super) fn run(kind: Kind, args: &Brief, state: &Path, terminal: &mut Terminal) -> Outcome {
    untouched(args.output.json, terminal, |terminal| hold(kind, args, state, terminal))
}

fn hold(kind: Kind, args: &Brief, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    let mut notes = Vec::new();
    // Neither the disk nor a lock on it is needed in a bad hour.
    let lock = lock::take(state, terminal).map_err(|failure| notes.extend(failure.messages)).ok();
    let store = Store::open(state).ok().flatten();
    let mut world = World::new(guard()?, store.as_ref(), None, lock.as_ref(), None)?;
    let asker = world.asker();
    if world.carry_out(Order::RollBack, terminal) == Ending::RolledBack {
        notes.push("what was on trial is taken back".to_owned());
    }
    world.close();

    // Who is reached by a translation is not reached without it, however open the host is.
    let translations = match (kind, &store) {
        (Kind::Open, Some(store)) => translations(store).unwrap_or_else(|failure| {
            notes.push("what the policy translates is left out: it cannot be read".to_owned());
            notes.extend(failure.messages);
            Vec::new()
        }),
        _ => Vec::new(),
    };
    let (record, policy) = read(kind, &kind.text(&asker, &translations), json, terminal)?;
    let wish = Wish {
        policy: &policy,
        record: &record,
        lasts: Some(args.lasts),
        forced: true,
        cut: kind == Kind::Panic,
        alone: kind == Kind::Panic,
        careful: false,
        content: &|_, _| Ok(()),
        refused: &|_, _| {},
        strict: &|_, _| {},
        armed: &|_, _| {},
    };
    let mut world = World::new(guard()?, store.as_ref(), None, lock.as_ref(), Some(wish))?;
    let ending = world.carry_out(Order::Try { waits: false }, terminal);
    if ending == Ending::OnTrial && kind == Kind::Panic {
        world.cut_now().unwrap_or_else(|failure| notes.extend(failure.messages));
    }
    let seconds = args.lasts.as_secs();
    let then = world.afterwards();
    let who = match (&asker, kind) {
        (Asker::Remote { connections }, Kind::Panic) => connections.first().map(|one| one.remote.ip()),
        _ => None,
    };
    let cut = world.cut.ended;
    let outcome = match ended(ending, &mut world) {
        Ended::Badly(stop) => Err(stop),
        says if ending != Ending::OnTrial => {
            let (Ended::Well { words, .. } | Ended::Back { words, .. }) = says else {
                return Ok(Exit::System);
            };
            Err(Failure::new(Exit::System, words).into())
        }
        _ if json => {
            terminal.json(&json!({
                "holds": kind.word(),
                "seconds": seconds,
                "then": then,
                "peer": who.map(|who| who.to_string()),
                "ended_connections": cut,
                "notes": notes,
            }));
            Ok(Exit::Done)
        }
        _ => {
            say(kind, (seconds, &then), (&asker, cut), &notes, terminal);
            Ok(Exit::Done)
        }
    };
    terminal.flush();
    world.close();
    outcome
}

/// What the confirmed policy translates, in sentences that need no names.
fn translations(store: &Store) -> Result<Vec<String>, Failure> {
    let Some(pointer) = store.confirmed()? else { return Ok(Vec::new()) };
    let number = pointer.confirmed.generation;
    let (record, facts) = (store.replay(number)?, store.index(number)?.facts());
    let policy = policy::replayed(&record, &record.main, facts)?;
    Ok(policy.resolved.nat.iter().flat_map(|nat| nat.what.sentences()).collect())
}

fn read(
    kind: Kind,
    text: &str,
    json: bool,
    terminal: &mut Terminal,
) -> Result<(Record, policy::Sound), crate::exit::Stop> {
    let name = kernel::brief_name(kind.word());
    let files = MemoryFiles::default().with(&name, text);
    let recorder = Recorder::new(&files, &name);
    let policy = policy::need_from(&recorder, &name, json, terminal)?;
    Ok((recorder.record(), policy))
}

fn say(
    kind: Kind,
    (seconds, then): (u64, &str),
    (asker, cut): (&Asker, usize),
    notes: &[String],
    terminal: &mut Terminal,
) {
    for note in notes {
        terminal.note(Line::of(Tone::Doubtful, note.as_str()));
    }
    let what = match (kind, asker) {
        (Kind::Open, _) => "OPEN: everything that arrives is let in".to_owned(),
        (Kind::Panic, Asker::Remote { connections }) => {
            let peers: Vec<String> = connections.iter().map(|one| one.remote.ip().to_string()).collect();
            format!("PANIC: everything is shut but SSH from {}", peers.join(", "))
        }
        (Kind::Panic, Asker::Console { name }) => {
            format!("PANIC: everything is shut; you sit at the machine itself ({name})")
        }
        (Kind::Panic, Asker::Unknown { .. }) => {
            "PANIC: everything is shut, and no session was found that could be spared".to_owned()
        }
    };
    terminal.line(Line::of(Tone::Bad, format!("{what}, for {seconds} s")));
    if cut > 0 {
        terminal.line(format!("  {} ended", count(cut, "open connection")));
    }
    terminal.line(format!("  the kernel keeps the time: then {then}"));
    terminal.line("  `doorward rollback` ends it now");
}
