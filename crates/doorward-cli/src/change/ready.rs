//! A policy is made ready: proven, held against the asking session, and saved; nothing is loaded here.

use super::connections::{Again, Refused};
use super::{Held, World, strict};
use crate::exit::{Exit, Failure, Stop};
use crate::expectations as proved;
use crate::kernel::unread;
use crate::policy::Sound;
use crate::session::{Asker, Session};
use crate::side::BySide;
use crate::store::{Draft, Moment, Record};
use crate::terminal::Terminal;
use doorward::apply::Event;
use doorward::compile::{self, Counted, Options, Phase, Running, counted};
use doorward::prove::{self, Outcome as Expected, Proof};
use doorward::ruleset::{Checked, Table};
use doorward::syntax::ast::{Sentence, SentenceKind};
use doorward_kernel::conntrack::{Conntrack, Which};
use doorward_kernel::diag::Diag;
use doorward_kernel::{Anywhere, Socket};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// More connections than this from before the first load are not kept: the kernel's set would cost more than
/// they are worth.
const MOST_CARRIED: usize = 65_536;

/// A policy, and what is wanted of it.
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(crate) struct Wish<'a> {
    /// The policy.
    pub policy: &'a Sound,
    /// What it was read from.
    pub record: &'a Record,
    /// How long the trial lasts; none to put it in force at once.
    pub lasts: Option<Duration>,
    /// Whether the asking session may lose its way back in.
    pub forced: bool,
    /// Whether all is cut that the policy no longer allows, once it is kept.
    pub cut: bool,
    /// Whether of what was open before only the asking session may go on.
    pub alone: bool,
    /// Whether the asking session must be able to come in again though there is no trial.
    pub careful: bool,
    /// Hears what became of the expectations.
    pub content: &'a dyn Fn(&Proof, &mut Terminal) -> Result<(), Stop>,
    /// Hears who could not come in again.
    pub refused: &'a dyn Fn(&[Session], &mut Terminal),
    /// Hears of open connections that will end, though they speak.
    pub strict: &'a dyn Fn(Strict, &mut Terminal),
    /// Hears that the trial is on.
    pub armed: &'a dyn Fn(&World<'_>, &mut Terminal),
}

/// Open connections that end an hour after the first load, as the kernel takes up none in its middle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Strict {
    /// So many.
    pub count: usize,
    /// Whether that of the asking session is among them.
    pub own: bool,
}

/// A policy that is ready to be loaded.
pub(crate) struct Ready {
    /// Its number in the kernel.
    pub number: u8,
    /// Its number on disk, once it is there.
    pub id: Option<u64>,
    /// The program.
    pub table: Checked<Table>,
    /// What it was compiled with.
    pub options: Options,
    /// Whether nothing of ours was there before.
    pub first: bool,
    /// How many of the connections from before the first load end in any case.
    pub strict: usize,
    /// What became of the expectations.
    pub expectations: Vec<Expected>,
    /// What sentences had counted before.
    pub hits: BTreeMap<String, Counted>,
}

impl World<'_> {
    /// Compiles, proves, and writes to the disk.
    pub(super) fn save(&mut self, terminal: &mut Terminal) -> Result<Event, Stop> {
        let held = self.looked_at()?;
        let Some(wish) = &self.wish else { return Ok(Event::Failed) };
        let running = held.table.as_ref().map(Running::of).unwrap_or_default();
        let first = held.phase() == Phase::Idle;
        let alone = wish.alone;
        let mut carried = match &held.table {
            // Those that have not said anything yet stay for as long as they were given.
            Some(table) if !first => compile::carried(table),
            _ => open_connections()?,
        };
        if alone {
            let own = self.own_sessions();
            carried.retain(|pair| own.iter().any(|one| (one.remote, one.local) == *pair));
        }
        let Some(wish) = &self.wish else { return Ok(Event::Failed) };
        let (policy, tried) = (wish.policy, wish.lasts.is_some());
        if let Some(table) = held.table.as_ref().filter(|_| runs_already(&held, policy, &carried)) {
            let number = compile::in_force(table).unwrap_or_default();
            if self.pointed(number) {
                return Ok(Event::Unchanged);
            }
        }
        // What is not written down must not be taken for what was.
        let taken = if self.writer.is_some() { self.confirmed_numbers() } else { self.kept_numbers() };
        let number = unused(&running, &taken, tried)?;
        let options = Options { generation: number, carried };
        let both = BySide::of(&policy.resolved);
        let (table, proof) = prove::compiled(&policy.resolved, &policy.host, &options, &both);
        (wish.content)(&proof, terminal)?;
        let table = table.ok_or_else(|| {
            let unequal = proved::unequal(&proof, &policy.resolved, &policy.host);
            unequal.unwrap_or_else(|| Failure::new(Exit::Refused, "not proven"))
        })?;
        if tried || wish.careful {
            self.look_at_sessions(terminal)?;
        }
        let strict = if first { self.look_at_tracking(&options.carried, terminal)? } else { 0 };
        // What boots does not know the connections of today.
        let boots = if options.carried.is_empty() {
            table.clone()
        } else {
            let plain = Options { carried: Vec::new(), ..options.clone() };
            let (table, _) = prove::compiled(&policy.resolved, &policy.host, &plain, &both);
            table.ok_or_else(|| Failure::new(Exit::Refused, "not proven"))?
        };
        let sealed = Socket::<Anywhere>::seal(&compile::replace(&Running::default(), boots))
            .map_err(|error| Failure::new(Exit::System, error))?
            .to_bytes();
        let ports: Vec<u16> =
            self.sessions().map(|sessions| sessions.ssh_ports().iter().copied().collect())?;
        let Some(wish) = &self.wish else { return Ok(Event::Failed) };
        let facts = crate::host::Facts { named: policy.named.clone(), own: policy.host.clone() };
        let draft = Draft {
            record: wish.record,
            facts: &facts,
            sentences: policy.loaded.sentences.iter().filter(|one| does_something(one)).count(),
            kernel: number,
            artifact: Some(&sealed),
            ssh_ports: &ports,
            cut: wish.cut,
            who: self.who.clone(),
            when: Moment::now(),
        };
        let id = self.writer.map(|writer| writer.save(&draft, None)).transpose()?;
        let hits = held.table.as_ref().map(counted).unwrap_or_default();
        let expectations = proof.expectations;
        self.ready = Some(Ready { number, id, table, options, first, strict, expectations, hits });
        if !tried {
            self.prepare_pointer(number)?;
        }
        Ok(Event::Done)
    }

    fn pointed(&self, number: u8) -> bool {
        let confirmed = self.confirmed().map(|pointer| pointer.confirmed.generation);
        confirmed.is_some() && self.on_disk(number) == confirmed
    }

    /// What is open goes on, and the kernel knows it as soon as it speaks; where it never will, that is said before
    /// anything is loaded. How many there are.
    fn look_at_tracking(
        &mut self,
        open: &[(SocketAddr, SocketAddr)],
        terminal: &mut Terminal,
    ) -> Result<usize, Stop> {
        let never = strict::never_known(open)?;
        if never.is_empty() {
            return Ok(0);
        }
        let own = self.own_sessions().iter().any(|one| never.contains(&(one.remote, one.local)));
        if let Some(wish) = &self.wish {
            (wish.strict)(Strict { count: never.len(), own }, terminal);
        }
        Ok(never.len())
    }

    /// Who asks must be able to come in again; who else is logged in is named.
    fn look_at_sessions(&mut self, terminal: &mut Terminal) -> Result<(), Stop> {
        let asker = self.asker();
        let others = self.sessions()?.logged_in();
        let running = self.looked_at()?.table.as_ref().and_then(compile::judging);
        let Some(wish) = &self.wish else { return Ok(()) };
        let around = crate::host::Around::ask();
        let door = Again { policy: &wish.policy.resolved, running: running.as_ref(), around: &around };
        let again = |session: &Session| door.is_let_in(session);
        if let Asker::Remote { connections } = &asker
            && !wish.forced
            && let Some(refused) = connections.iter().find_map(|session| again(session).err())
        {
            return Err(locked_out(&refused).into());
        }
        let own = |one: &Session| match &asker {
            Asker::Remote { connections } => connections.iter().any(|own| own.remote == one.remote),
            _ => false,
        };
        let refused: Vec<Session> =
            others.into_iter().filter(|one| !own(one) && again(one).is_err()).collect();
        if !refused.is_empty() {
            (wish.refused)(&refused, terminal);
        }
        Ok(())
    }
}

/// Whether the kernel runs this very policy, alone.
fn runs_already(held: &Held, policy: &Sound, carried: &[(SocketAddr, SocketAddr)]) -> bool {
    let Phase::Quiet { generation, remains: None } = held.phase() else { return false };
    let options = Options { generation, carried: carried.to_vec() };
    let table = compile::compile(&policy.resolved, &options);
    held.table.as_ref().is_some_and(|there| compile::differs(there, &table).is_none())
}

fn does_something(sentence: &Sentence) -> bool {
    !matches!(sentence.kind, SentenceKind::Define(_))
}

fn locked_out(refused: &Refused) -> Failure {
    let who = &refused.session;
    let port = refused.connection.port().unwrap_or(who.local.port());
    let message = format!(
        "this would lock you out: a new connection from {} to port {port} {}",
        who.remote.ip(),
        if refused.led { "does not get to where yours is" } else { "is not let in" }
    );
    let failure =
        Failure::new(Exit::Refused, message).way_out(format!("{} → {}", refused.connection, refused.why));
    let failure = if refused.led {
        failure.way_out("leave that port as it is, or come in by another one first")
    } else {
        failure.way_out(format!("`allow {port}/tcp from {}` in the policy lets you in", who.remote.ip()))
    };
    failure.way_out(
        "`doorward apply --force` tries it all the same: the kernel takes it back when the time is over",
    )
}

/// A number for a generation that no chain, no connection and nothing confirmed has: after a boot the number alone
/// tells which generation judges.
fn unused(running: &Running, confirmed: &[u8], tried: bool) -> Result<u8, Failure> {
    let mut taken = running.clone();
    taken.chains.extend(confirmed.iter().map(|number| format!("g{number}_")));
    for _ in 0..63 {
        let number = taken.next_generation();
        if !tried || !has_connections(number)? {
            return Ok(number);
        }
        taken.chains.insert(format!("g{number}_"));
    }
    Ok(running.next_generation())
}

/// Whether connections are left that a trial of this number let in.
fn has_connections(number: u8) -> Result<bool, Failure> {
    let marked = Which::Marked { value: compile::mark_of(number), mask: compile::GENERATION_BITS };
    let mut any = false;
    match Conntrack::open().and_then(|conntrack| conntrack.walk(marked, |_| any = true)) {
        Ok(_) => Ok(any),
        // A kernel that never tracked anything has none.
        Err(doorward_kernel::KernelError::Refused { .. }) => Ok(false),
        Err(error) => Err(unread(&error)),
    }
}

/// TCP connections that are there before the host has a firewall of ours: conntrack has not seen them begin.
fn open_connections() -> Result<Vec<(SocketAddr, SocketAddr)>, Failure> {
    let all = Diag::open().and_then(|diag| diag.connections()).map_err(|error| unread(&error))?;
    let mut pairs: Vec<_> = all
        .into_iter()
        .filter(|one| !one.remote.ip().is_loopback())
        .map(|one| (one.remote, one.local))
        .collect();
    // Where they do not all fit, the doors of services come before what this host opened itself: the
    // administrator's is among these.
    pairs.sort_unstable_by_key(|(peer, host)| (host.port(), *peer, *host));
    pairs.dedup();
    pairs.truncate(MOST_CARRIED);
    Ok(pairs)
}
