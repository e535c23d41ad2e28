//! `apply`: puts a policy on trial, or in force at once, and tells each sentence as it takes effect.

use super::Outcome;
use super::ended::{Ended, UNTOUCHED, ended};
use super::told::{MOST_TOLD, Told};
use crate::change::{Strict, Wish, World, guard, who};
use crate::cli::{Apply, Rollback, STATE, Tried};
use crate::exit::{Exit, Failure, Stop};
use crate::expectations;
use crate::files::Disk;
use crate::json;
use crate::kernel::ours;
use crate::lock::{self, Lock};
use crate::policy::{self, Sound};
use crate::session::Session;
use crate::since::{Placed, Since};
use crate::store::{Record, Recorder, Store, Writer};
use crate::terminal::Terminal;
use crate::text::{Line, Tone, count};
use doorward::apply::{Ending, Order};
use doorward::compile::{self, Phase};
use doorward::prove::{Outcome as Expected, Proof};
use doorward_kernel::{Anywhere, Guard, Reader};
use serde_json::Value;
use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is wanted of a policy besides its text.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
pub(super) struct How {
    /// None to put it in force at once.
    pub lasts: Option<Duration>,
    pub detach: bool,
    pub cut: bool,
    pub force: bool,
    /// Without a trial, see to it all the same that the asking session could come in again.
    pub careful: bool,
    pub json: bool,
}

impl How {
    /// As the flags of a trial say it.
    pub(super) fn of(trial: Tried, json: bool) -> How {
        let lasts = (!trial.no_trial).then_some(trial.lasts);
        How { lasts, detach: trial.detach, cut: false, force: trial.force, careful: false, json }
    }
}

pub(super) fn run(args: &Apply, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    untouched(json, terminal, |terminal| try_file(args, state, terminal))
}

/// Whoever was refused is told that nothing happened.
pub(super) fn untouched(
    json: bool,
    terminal: &mut Terminal,
    job: impl FnOnce(&mut Terminal) -> Outcome,
) -> Outcome {
    job(terminal).map_err(|stop| match stop {
        Stop::Failed(failure) if failure.closing.is_none() => Stop::Failed(failure.closing(UNTOUCHED)),
        Stop::Said(exit) => {
            if !json {
                terminal.note(UNTOUCHED);
            }
            Stop::Said(exit)
        }
        failed @ Stop::Failed(_) => failed,
    })
}

fn try_file(args: &Apply, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    let mut how = How { cut: args.cut, ..How::of(args.trial, json) };
    let guard = guard()?;
    let lock = lock::take(state, terminal)?;
    let disk = Disk::wary(&args.file);
    let files = Recorder::new(&disk, disk.main());
    let policy = policy::need_through(&files, disk.main(), json, terminal)?;
    let record = files.record();
    if let Some(failure) = changed_by_others(&disk) {
        return Err(failure.into());
    }
    if how.lasts.is_some() && only_lists_changed(state, &record) {
        how = How { lasts: None, careful: !args.trial.force, ..how };
        if !json {
            terminal.line("only lists changed since the policy was confirmed: in force without a trial");
        }
    }
    carry_out(guard, policy, record, how, (state, &lock), &Besides::default(), terminal)
}

/// Whether the kernel runs what was confirmed, and only lists are otherwise now: who may write them needs no trial,
/// as their sentences had one.
fn only_lists_changed(state: &Path, now: &Record) -> bool {
    let then = Store::open(state).ok().flatten().and_then(|store| {
        let confirmed = store.confirmed().ok()??.confirmed.generation;
        let held = Reader::open().ok()?.read_sets(&ours(), &|set| set.name == compile::ARMED).ok()?;
        let Phase::Quiet { generation, .. } = compile::phase(held.ruleset.tables.first()?) else {
            return None;
        };
        (store.in_kernel(generation) == Some(confirmed)).then(|| store.replay(confirmed).ok())?
    });
    then.is_some_and(|then| then.main == now.main && Since::of(&then, &Placed(now)).is_lists_only())
}

/// `rollback N`: what was saved is put on trial as if it were new.
pub(super) fn earlier(args: &Rollback, generation: u64, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    untouched(json, terminal, |terminal| try_earlier(args, generation, state, terminal))
}

fn try_earlier(args: &Rollback, generation: u64, state: &Path, terminal: &mut Terminal) -> Outcome {
    let json = args.output.json;
    let how = How {
        lasts: Some(args.lasts),
        detach: args.detach,
        cut: false,
        force: args.force,
        careful: false,
        json,
    };
    let guard = guard()?;
    let lock = lock::take(state, terminal)?;
    let store = Store::open(state)?.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{}` has no generations", state.display()))
            .way_out("`doorward apply` makes the first")
    })?;
    let record = store.replay(generation)?;
    // Names mean what they mean on this host now.
    let policy = policy::need_through(&record, &record.main, json, terminal)?;
    carry_out(guard, policy, record, how, (state, &lock), &Besides::default(), terminal)
}

/// What else a command wants of a change.
#[derive(Default)]
pub(super) struct Besides<'a> {
    /// More to say to programs.
    pub json: Option<Value>,
    /// Hears how it ended.
    pub ended: Option<&'a dyn Fn(Ending)>,
}

/// Puts a policy on trial, or in force at once, and tells how it went.
pub(super) fn carry_out(
    guard: Guard<Anywhere>,
    policy: Sound,
    record: Record,
    how: How,
    (state, lock): (&Path, &Lock),
    besides: &Besides<'_>,
    terminal: &mut Terminal,
) -> Outcome {
    const SHORTEST: Duration = Duration::from_secs(10);
    let began = Instant::now();
    let json = how.json;
    if state == Path::new(STATE) && how.lasts.is_some_and(|lasts| lasts < SHORTEST) {
        return Err(
            Failure::new(Exit::Usage, "a trial lasts at least 10s: a new session needs its time").into()
        );
    }
    terminal.progress("proving and loading", policy.resolved.rules.len() > MOST_TOLD);
    let writer = Writer::open(state, lock)?;
    let warned: RefCell<Vec<String>> = RefCell::default();
    let content = |proof: &Proof, terminal: &mut Terminal| {
        broken(&proof.expectations, json, terminal).map_or(Ok(()), Err)
    };
    let refused = |sessions: &[Session], terminal: &mut Terminal| {
        for session in sessions {
            let words = not_again(session);
            if !json {
                terminal.note(Line::of(Tone::Doubtful, format!("warning: {words}")));
            }
            warned.borrow_mut().push(words);
        }
    };
    let strict = |strict: Strict, terminal: &mut Terminal| {
        let words = goes_on_for_an_hour(strict);
        if !json {
            terminal.note(Line::of(Tone::Doubtful, format!("warning: {words}")));
            terminal.note(format!("  {TAKE_UP}"));
        }
        warned.borrow_mut().push(format!("{words}: {TAKE_UP}"));
    };
    let wish = Wish {
        policy: &policy,
        record: &record,
        lasts: how.lasts,
        forced: how.force,
        cut: how.cut,
        alone: false,
        careful: how.careful,
        content: &content,
        refused: &refused,
        strict: &strict,
        armed: &|world, terminal| {
            if !json {
                on_trial(world, began, how, terminal);
            }
        },
    };
    let order = if how.lasts.is_some() { Order::Try { waits: !how.detach } } else { Order::Replace };
    let mut world = World::new(guard, Some(&writer.store), Some(&writer), lock, Some(wish))?;
    world.who = who(&mut world);
    let ending = world.carry_out(order, terminal);
    if let Some(hears) = besides.ended {
        hears(ending);
    }
    let took = began.elapsed().as_secs_f64() * 1000.0;
    let told = world.ready.as_ref().map(|ready| Told::of(&policy, ready));
    let outcome = match ended(ending, &mut world) {
        Ended::Badly(stop) => Err(stop),
        says if json => {
            let value = says.json(&warned.borrow());
            let mut value = told.map_or_else(|| value.clone(), |told| told.json(value.clone(), took));
            if let (Some(value), Some(Value::Object(more))) = (value.as_object_mut(), &besides.json) {
                value.extend(more.clone());
            }
            terminal.json(&value);
            Ok(says.exit())
        }
        Ended::Well { words, .. } => {
            if let Some(told) = told.filter(|_| ending == Ending::InForce) {
                told.show(terminal);
                let words = format!("{words}: {} in {took:.1} ms", told.count());
                terminal.line(Line::of(Tone::Strong, words));
            } else if ending != Ending::OnTrial {
                terminal.line(Line::of(Tone::Strong, words));
            }
            if let Some(line) = cut_words(&world) {
                terminal.line(line);
            }
            Ok(Exit::Done)
        }
        Ended::Back { words, .. } => {
            terminal.line(Line::of(Tone::Bad, words));
            Ok(Exit::Refused)
        }
    };
    // The kernel takes its time when the socket is closed; all is said before. The end of the process gives the memory
    // back at once: taking thousands of rules apart first would be a good part of its work.
    terminal.flush();
    world.close();
    std::mem::forget((policy, record));
    outcome
}

/// What was ended by the policy, in words.
pub(super) fn cut_words(world: &World<'_>) -> Option<String> {
    let cut = world.cut;
    (cut.ended > 0).then(|| {
        let stays = if cut.sockets_stay { "; this kernel cannot end their sockets" } else { "" };
        format!("  {} that the policy shuts out ended{stays}", count(cut.ended, "open connection"))
    })
}

/// Said as soon as the trial is on.
fn on_trial(world: &World<'_>, began: Instant, how: How, terminal: &mut Terminal) {
    let Some((ready, wish)) = world.ready.as_ref().zip(world.wish.as_ref()) else { return };
    let told = Told::of(wish.policy, ready);
    told.show(terminal);
    let took = began.elapsed().as_secs_f64() * 1000.0;
    let generation = world.generation_words();
    let seconds = how.lasts.unwrap_or_default().as_secs();
    let words = format!("{generation} is on trial for {seconds} s: {} in {took:.1} ms", told.count());
    terminal.line(Line::of(Tone::Strong, words));
    let afterwards = world.afterwards();
    terminal.line(format!("  open a NEW session and run `doorward confirm` there; else {afterwards}"));
    if !how.detach {
        terminal.line("  Ctrl-C takes it back at once; a lost session does no harm");
    }
}

fn not_again(session: &Session) -> String {
    let user = session.user.as_deref().unwrap_or("somebody");
    let terminal = session.terminal.as_deref().map(|name| format!(" on {name}")).unwrap_or_default();
    format!("{user}{terminal} from {} could not come in again", session.remote.ip())
}

/// The way out for connections that the kernel would never know.
const TAKE_UP: &str =
    "`sysctl -w net.netfilter.nf_conntrack_tcp_loose=1` before, and 0 again when each has spoken, keeps them";

fn goes_on_for_an_hour(Strict { count: all, own }: Strict) -> String {
    let (are, end) = if all == 1 { ("is", "ends") } else { ("are", "end") };
    let yours = match (own, all) {
        (false, _) => "",
        (true, 1) => " (yours)",
        (true, _) => " (yours among them)",
    };
    format!(
        "{} that {are} open{yours} {end} an hour after this, also if in use: the kernel takes up none \
         in its middle (net.netfilter.nf_conntrack_tcp_loose is 0)",
        count(all, "TCP connection")
    )
}

/// Whoever can change the policy has the firewall.
pub(super) fn changed_by_others(disk: &Disk) -> Option<Failure> {
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
    let mut failure = Failure::new(Exit::Refused, format!("{} broken", count(broken.len(), "expectation")));
    if let Some(first) = broken.first() {
        let place = &first.origin;
        failure = failure.way_out(format!("if this is meant, change what {place} expects, or take it out"));
    }
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

#[cfg(test)]
mod tests {
    use super::{Strict, goes_on_for_an_hour};

    #[test]
    fn whose_connection_ends() {
        let said = |count, own| goes_on_for_an_hour(Strict { count, own });
        for (words, begin) in [
            (said(1, false), "1 TCP connection that is open ends an hour after this, "),
            (said(1, true), "1 TCP connection that is open (yours) ends an hour after this, "),
            (said(3, true), "3 TCP connections that are open (yours among them) end an hour after this, "),
        ] {
            assert!(words.starts_with(begin), "{words}");
        }
    }
}
