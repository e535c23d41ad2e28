//! Which generation judges, until when, and which one boots: the first lines of `status`.

use super::brief::Kind;
use crate::files::Disk;
use crate::since::Since;
use crate::store::{Confirmation, Kept, Record, Store};
use crate::terminal::Terminal;
use crate::text::{Cell, Line, Tone, cell, count, table};
use doorward::compile::{self, Phase};
use doorward::ruleset::Table;
use serde_json::{Value, json};
use std::path::Path;

/// So many generations are named.
const NAMED: usize = 5;

/// After the worst of boots.
const EMERGENCY: &str = "doorward is active, in an emergency: boot could load no generation. Only replies, SSH \
                         and what a host needs are let in; `doorward apply` puts a policy in force again";

/// The generations in the kernel and on the disk.
pub(super) struct Generations {
    phase: Phase,
    /// The one that judges, as the disk calls it.
    pub in_force: Option<u64>,
    /// The same for the one on trial and the one behind it.
    trial: Option<(u64, Option<u64>, u64)>,
    /// What is on trial was never meant to stay.
    brief: Option<Kind>,
    confirmed: Option<Confirmation>,
    kept: Vec<Kept>,
    /// What judges is what a boot loads at worst.
    emergency: bool,
    /// What is wrong with the disk.
    damaged: Vec<String>,
}

impl Generations {
    /// Looks at our table and at the disk.
    pub(super) fn of(table: Option<&Table>, state: &Path) -> Generations {
        let phase = table.map_or(Phase::Idle, compile::phase);
        let emergency = table.is_some_and(compile::is_emergency) && matches!(phase, Phase::Quiet { .. });
        let mut damaged = Vec::new();
        let mut note = |failure: crate::exit::Failure| damaged.extend(failure.messages);
        let store = Store::open(state).unwrap_or_else(|failure| {
            note(failure);
            None
        });
        let kept = store.as_ref().and_then(|store| store.list().ok()).unwrap_or_default();
        let pointer = store.as_ref().and_then(|store| {
            store.confirmed().unwrap_or_else(|failure| {
                note(failure);
                None
            })
        });
        let called = |number: u8| {
            let found = store.as_ref().and_then(|store| store.in_kernel(number));
            found.unwrap_or_else(|| number.into())
        };
        let trial = match phase {
            Phase::Trial { new, old, left: Some(left) } => Some((called(new), old.map(called), left)),
            _ => None,
        };
        Generations {
            phase,
            in_force: phase.in_force().filter(|_| !emergency).map(called),
            trial,
            brief: table.and_then(Kind::on_trial),
            confirmed: pointer.map(|pointer| pointer.confirmed),
            kept,
            emergency,
            damaged,
        }
    }

    pub(super) fn show(&self, active: bool, terminal: &mut Terminal) {
        let (tone, words) = match (self.trial, self.in_force.filter(|_| active)) {
            (Some((new, old, left)), _) => {
                let then = match old {
                    Some(old) => format!("generation {old} judges again"),
                    None => "the host has no firewall again".to_owned(),
                };
                let left = left.div_ceil(1000);
                match self.brief {
                    Some(kind) => (Tone::Bad, format!("{}, for another {left} s, then {then}", kind.means())),
                    None => {
                        let words = format!("generation {new} is ON TRIAL for another {left} s, then {then}");
                        (Tone::Doubtful, format!("doorward is active: {words}"))
                    }
                }
            }
            (None, _) if active && self.emergency => (Tone::Bad, EMERGENCY.to_owned()),
            (None, Some(number)) => (Tone::Good, format!("doorward is active: generation {number}")),
            (None, None) => (Tone::Bad, "doorward is not active: the kernel has no rules of it".to_owned()),
        };
        terminal.line(Line::of(tone, words));
        if self.brief.is_some() {
            terminal.line("  `doorward rollback` ends it now");
        } else if self.trial.is_some() {
            terminal
                .line("  `doorward confirm` in a new session keeps it, `doorward rollback` takes it back");
        } else if let Phase::Trial { .. } = self.phase {
            terminal.line("  a trial is over that nobody confirmed; the next command clears it away");
        }
        self.show_disk(terminal);
        for words in &self.damaged {
            terminal.line(Line::of(Tone::Bad, format!("  {words}")));
        }
    }

    fn show_disk(&self, terminal: &mut Terminal) {
        let confirmed = self.confirmed.as_ref().map(|one| one.generation);
        if self.trial.is_none()
            && self.in_force.is_some()
            && confirmed.is_some()
            && self.in_force != confirmed
        {
            let number = confirmed.unwrap_or_default();
            let words =
                format!("  the disk says that generation {number} boots: `doorward confirm` mends that");
            terminal.line(Line::of(Tone::Bad, words));
        }
        if let (Phase::Idle, Some(number)) = (self.phase, confirmed) {
            let words = format!(
                "  generation {number} is confirmed: somebody took its rules away, or nothing loaded it"
            );
            terminal.line(Line::of(Tone::Bad, words));
            terminal.line("  `doorward boot` loads it");
        }
        let rows: Vec<Vec<Cell>> = self.kept.iter().take(NAMED).map(|one| self.row(one)).collect();
        terminal.lines(table(2, &[3], &rows));
        if let Some(more @ 1..) = self.kept.len().checked_sub(NAMED) {
            terminal.line(format!("  and {more} older"));
        }
    }

    fn row(&self, one: &Kept) -> Vec<Cell> {
        let boots = self.confirmed.as_ref().is_some_and(|confirmed| confirmed.generation == one.number);
        let said = match (boots, one.confirmed.is_some()) {
            (true, _) => (Tone::Good, "confirmed, boots"),
            (false, true) => (Tone::Plain, "confirmed before"),
            (false, false) => (Tone::Faint, "never confirmed"),
        };
        let (when, who, sentences) = match &one.index {
            Ok(index) => {
                let who = one.confirmed.as_ref().map_or(&index.who, |confirmed| &confirmed.who);
                let name = who.name.clone().unwrap_or_else(|| format!("user {}", who.uid));
                let from = who.peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
                (index.when.to_string(), format!("{name}{from}"), count(index.sentences, "sentence"))
            }
            Err(_) => (String::new(), String::new(), "damaged".to_owned()),
        };
        vec![
            cell(Tone::Plain, format!("generation {}", one.number)),
            cell(said.0, said.1),
            cell(Tone::Faint, when),
            cell(Tone::Faint, who),
            cell(Tone::Faint, sentences),
        ]
    }

    /// What became of the files of the confirmed policy.
    pub(super) fn changed_since(&self, state: &Path) -> Since {
        let then = self.confirmed.as_ref().and_then(|confirmed| {
            let store = Store::open(state).ok().flatten()?;
            store.replay(confirmed.generation).ok()
        });
        // Who may not read the policy cannot say that it changed.
        let readable = |then: &Record| {
            let main = then.canonical.get(&then.main).unwrap_or(&then.main);
            std::fs::File::open(main).is_ok()
        };
        then.filter(readable)
            .map(|then| Since::of(&then, &Disk::new(Path::new(&then.main))))
            .unwrap_or_default()
    }

    /// How it is, in a word, and in words that go on; none where all is as it should be.
    pub(super) fn state(&self) -> Option<(&'static str, String)> {
        let confirmed = self.confirmed.as_ref().map(|one| one.generation);
        if let Some((new, _, left)) = self.trial {
            let left = left.div_ceil(1000);
            return Some(match self.brief {
                Some(kind) => (kind.word(), format!("for another {left} s")),
                None => ("on-trial", format!("generation {new}, for another {left} s")),
            });
        }
        if self.emergency {
            return Some(("emergency", "boot could load no generation".to_owned()));
        }
        let Some(in_force) = self.in_force else {
            return Some(("not-active", "the kernel has no rules of doorward".to_owned()));
        };
        if let Some(why) = self.damaged.first() {
            return Some(("boot-broken", why.clone()));
        }
        (confirmed != Some(in_force))
            .then(|| ("not-confirmed", format!("generation {in_force} is in force, another one boots")))
    }

    pub(super) fn trial_json(&self) -> Value {
        let trial = self.trial.map(|(generation, then, left)| {
            let holds = self.brief.map(Kind::word);
            // What was never meant to stay has no number on the disk.
            let generation = self.brief.is_none().then_some(generation);
            json!({ "generation": generation, "then": then, "left_milliseconds": left, "holds": holds })
        });
        json!(trial)
    }

    pub(super) fn confirmed_json(&self) -> Value {
        let confirmed = self.confirmed.as_ref().map(|one| {
            json!({
                "generation": one.generation,
                "when": one.when.to_string(),
                "user": one.who.name,
                "peer": one.who.peer.map(|peer| peer.to_string()),
            })
        });
        json!(confirmed)
    }
}
