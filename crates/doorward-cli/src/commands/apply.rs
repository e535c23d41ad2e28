//! `apply --no-trial`: puts a policy in force at once, and tells each sentence as it takes effect.

use super::Outcome;
use crate::cli::Apply;
use crate::exit::{Exit, Failure, Stop};
use crate::expectations;
use crate::files::Disk;
use crate::host::{self, Facts};
use crate::json;
use crate::load::{self, Loaded};
use crate::lock;
use crate::policy::{self, Sound};
use crate::store::{Draft, Moment, Prepared, Record, Recorder, Who, Writer};
use crate::terminal::Terminal;
use crate::text::{Cell, Line, Tone, cell, count, table};
use doorward::prove::{Answer, Outcome as Expected};
use doorward::report::Origin;
use doorward::resolve;
use doorward::resolve::model::{Verdict, Way};
use doorward::syntax::ast::{Sentence, SentenceKind};
use doorward_kernel::guard;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// So many sentences are told one by one; nobody reads more.
const MOST_TOLD: usize = 200;
/// Nothing changed.
const CLOSING: &str = "nothing was loaded";
/// The kernel has it, the disk has not.
const HALF: &str = "the policy is in force now, but it is not the one that boot would load";

pub(super) fn run(args: &Apply, state: &Path, terminal: &mut Terminal) -> Outcome {
    if !args.no_trial {
        return Err(no_trials_yet().into());
    }
    let closed = |stop: Stop| match stop {
        Stop::Failed(failure) if failure.closing.is_none() => Stop::Failed(failure.closing(CLOSING)),
        failed @ Stop::Failed(_) => failed,
        said @ Stop::Said(_) => said,
    };
    in_force(args, state, terminal).map_err(closed).inspect_err(|stop| {
        if let (Stop::Said(_), false) = (stop, args.output.json) {
            terminal.note(CLOSING);
        }
    })
}

fn no_trials_yet() -> Failure {
    Failure::new(
        Exit::Usage,
        "trials, which end by themselves unless they are confirmed, come in a later version",
    )
    .way_out("`doorward apply --no-trial` puts the policy in force at once; if it locks you out, it stays so")
    .way_out("`doorward rehearse` tries it without any risk")
}

fn in_force(args: &Apply, state: &Path, terminal: &mut Terminal) -> Outcome {
    let began = Instant::now();
    let forbid = std::env::var_os("DOORWARD_FORBID_HOST").is_some_and(|value| value == "1");
    let guard = guard::refuse_host(forbid).map_err(|error| {
        Failure::new(Exit::Refused, error)
            .way_out("DOORWARD_FORBID_HOST=1 forbids it: run this in a network namespace, for example by `ip netns exec`")
    })?;
    let lock = lock::take(state, terminal)?;
    let disk = Disk::wary(&args.file);
    let files = Recorder::new(&disk, disk.main());
    let policy = policy::need_through(&files, disk.main(), args.output.json, terminal)?;
    let record = files.record();
    if let Some(failure) = changed_by_others(&disk) {
        return Err(failure.into());
    }
    terminal.progress("proving and loading", policy.resolved.rules.len() > MOST_TOLD);
    let writer = Writer::open(state, &lock)?;
    let facts = Facts { named: policy.named.clone(), own: policy.host.clone() };
    let mut pending = Pending::new(&writer, &record, &facts, &policy.loaded);
    let loaded = load::load(
        guard,
        &policy,
        |proof| broken(&proof.expectations, args.output.json, terminal).map_or(Ok(()), Err),
        |kernel| Ok(pending.save(kernel)?),
    )?;
    let took = milliseconds(began);
    let confirmed = pending.count();
    let told = Told::of(&policy, &loaded.expectations);
    if args.output.json {
        // One value is the answer: where the pointer failed, that is it.
        if confirmed.is_ok() {
            terminal.json(&told.json(&loaded, took));
        }
    } else {
        told.show(&loaded, took, terminal);
    }
    // The kernel takes its time when the socket is closed; all is said before.
    terminal.flush();
    drop(loaded.socket);
    // As in `load`: the end of the process gives the memory back.
    std::mem::forget((policy, told, record));
    confirmed?;
    Ok(Exit::Done)
}

/// The generation on disk, saved before the kernel is asked and confirmed after it took it.
struct Pending<'a> {
    writer: &'a Writer<'a>,
    draft: Draft<'a>,
    /// With the number that it has in the kernel.
    saved: Option<(u8, Prepared<'a>)>,
}

impl<'a> Pending<'a> {
    fn new(
        writer: &'a Writer<'a>,
        record: &'a Record,
        facts: &'a Facts,
        read: &resolve::Loaded,
    ) -> Pending<'a> {
        let uid = rustix::process::getuid().as_raw();
        let draft = Draft {
            record,
            facts,
            sentences: read.sentences.iter().filter(|one| does_something(one)).count(),
            kernel: 0,
            artifact: None,
            ssh_ports: &[],
            who: Who { uid, name: host::user_name(uid), peer: None },
            when: Moment::now(),
        };
        Pending { writer, draft, saved: None }
    }

    /// Saves it, if it was not saved with this number already: the kernel may be asked several times.
    fn save(&mut self, kernel: u8) -> Result<(), Failure> {
        if self.saved.as_ref().is_none_or(|(number, _)| *number != kernel) {
            self.saved = None;
            self.draft.kernel = kernel;
            let number = self.writer.save(&self.draft, None)?;
            self.saved = Some((kernel, self.writer.prepare(number, self.draft.when, &self.draft.who)?));
        }
        Ok(())
    }

    fn count(self) -> Result<(), Failure> {
        self.saved.map_or(Ok(()), |(_, prepared)| prepared.count()).map_err(|failure| failure.closing(HALF))
    }
}

/// Whoever can change the policy has the firewall.
fn changed_by_others(disk: &Disk) -> Option<Failure> {
    let loose = disk.loose();
    let first = loose.first()?;
    let mut failure = Failure::new(Exit::Refused, format!("`{}` {}", first.path, first.why));
    failure.messages.extend(loose.iter().skip(1).map(|one| format!("`{}` {}", one.path, one.why)));
    failure.messages.push("who can change the policy can open the firewall".to_owned());
    failure.ways_out.extend(loose.into_iter().map(|one| one.way_out));
    Some(failure)
}

fn broken(expected: &[Expected], json: bool, terminal: &mut Terminal) -> Option<Stop> {
    if !json {
        for outcome in expected {
            for line in expectations::lines(outcome) {
                terminal.note(line);
            }
        }
    }
    let broken: Vec<&Expected> = expected.iter().filter(|outcome| expectations::is_broken(outcome)).collect();
    if broken.is_empty() {
        return None;
    }
    let failure = Failure::new(Exit::Refused, format!("{} broken", count(broken.len(), "expectation")));
    if json {
        let mut value = json::failure(&failure);
        if let Some(error) = value.get_mut("error").and_then(Value::as_object_mut) {
            let expectations = broken.into_iter().map(expectations::json).collect();
            error.insert("expectations".to_owned(), Value::Array(expectations));
        }
        terminal.json(&value);
        return Some(Stop::Said(failure.exit));
    }
    Some(failure.into())
}

fn does_something(sentence: &Sentence) -> bool {
    !matches!(sentence.kind, SentenceKind::Define(_))
}

/// What takes effect, in the order of the text.
struct Told {
    sentences: Vec<Origin>,
    /// Defaults that no sentence says.
    defaults: String,
    /// Whether a sentence shuts somebody out.
    blocks: bool,
}

impl Told {
    fn of(policy: &Sound, expected: &[Expected]) -> Told {
        let holds = |origin: &Origin| {
            let same = |one: &&Expected| one.origin == *origin;
            expected.iter().find(same).is_some_and(|one| one.answer == Answer::Holds)
        };
        let sentences = resolve::list(&policy.loaded, &policy.resolved)
            .into_iter()
            .filter_map(|line| line.origin)
            .filter(|origin| match verb(origin).0 {
                "define" => false,
                "expect" => holds(origin),
                _ => true,
            })
            .collect();
        let defaults: Vec<String> = Way::ALL
            .into_iter()
            .map(|way| (way, policy.resolved.defaults.of(way)))
            .filter(|(_, default)| default.origin.is_none())
            .map(|(way, default)| format!("{} {}", default.verdict.word(), way.word()))
            .collect();
        let blocks = policy.resolved.rules.iter().any(|rule| rule.verdict != Verdict::Allow);
        Told { sentences, defaults: defaults.join(", "), blocks }
    }

    fn show(&self, loaded: &Loaded, took: f64, terminal: &mut Terminal) {
        let built_in = || cell(Tone::Faint, "built in");
        let mut rows: Vec<Vec<Cell>> = Vec::new();
        if !self.defaults.is_empty() {
            rows.push(vec![
                cell(Tone::Plain, "default"),
                cell(Tone::Plain, self.defaults.as_str()),
                built_in(),
            ]);
        }
        rows.push(vec![
            cell(Tone::Good, "allowed"),
            cell(Tone::Plain, "replies, loopback, the ICMP and DHCP that a host needs"),
            built_in(),
        ]);
        rows.extend(self.sentences.iter().take(MOST_TOLD).map(row));
        for (sentence, hits) in &loaded.gone {
            let packets = usize::try_from(hits.packets).unwrap_or(usize::MAX);
            rows.push(vec![
                cell(Tone::Doubtful, "gone"),
                cell(Tone::Plain, sentence.as_str()),
                cell(Tone::Faint, count(packets, "hit")),
            ]);
        }
        terminal.lines(table(2, &[1], &rows));
        if let Some(more @ 1..) = self.sentences.len().checked_sub(MOST_TOLD) {
            terminal.line(format!("  and {} more: `doorward list` shows them", count(more, "sentence")));
        }
        if loaded.first && loaded.carried > 0 {
            let carried = count(loaded.carried, "TCP connection");
            terminal.line(format!("  {carried} that were open may go on; idle ones have an hour to speak"));
        }
        if self.blocks && !loaded.first {
            terminal.line("  what is open already goes on until it ends, also where a block names it");
        }
        let summary = format!(
            "generation {} is in force: {} in {:.1} ms",
            loaded.generation,
            count(self.sentences.len(), "sentence"),
            took
        );
        terminal.line(Line::of(Tone::Strong, summary));
    }

    fn json(&self, loaded: &Loaded, took: f64) -> Value {
        let gone: Vec<Value> = loaded
            .gone
            .iter()
            .map(|(sentence, hits)| json!({ "sentence": sentence, "packets": hits.packets, "bytes": hits.bytes }))
            .collect();
        json!({
            "generation": loaded.generation,
            "first": loaded.first,
            "sentences": self.sentences.iter().map(json::origin).collect::<Vec<_>>(),
            "kernel_rules": loaded.rules,
            "carried": loaded.carried,
            "gone": gone,
            "milliseconds": (took * 1000.0).round() / 1000.0,
        })
    }
}

fn milliseconds(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

fn verb(origin: &Origin) -> (&str, &str) {
    origin.sentence.split_once(' ').unwrap_or((&origin.sentence, ""))
}

fn row(origin: &Origin) -> Vec<Cell> {
    let (verb, rest) = verb(origin);
    let done = match verb {
        "allow" => cell(Tone::Good, "allowed"),
        "block" => cell(Tone::Bad, "blocked"),
        "reject" => cell(Tone::Bad, "rejected"),
        "trust" => cell(Tone::Good, "trusted"),
        "expect" => cell(Tone::Faint, "holds"),
        other => cell(Tone::Plain, other),
    };
    vec![done, cell(Tone::Plain, rest), cell(Tone::Faint, origin.to_string())]
}
