//! Puts a compiled policy in force in one transaction, with what is to be kept of what ran; says nothing.

use crate::exit::{Exit, Failure, Stop};
use crate::expectations as proved;
use crate::kernel;
use crate::policy::Sound;
use crate::side::BySide;
use doorward::compile::{self, Counted, Options, Running, carry_counters, counted, replace};
use doorward::prove::{self, Outcome as Expected, Proof};
use doorward::ruleset::{Checked, Expr, Set, Table, Transaction};
use doorward_kernel::diag::Diag;
use doorward_kernel::{Anywhere, CommitError, Guard, Socket, abilities};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Others change the ruleset: so often it is read again …
const TRIES: u32 = 20;
/// … and for so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// More connections than this from before the first load are not kept: the kernel's set would cost more than
/// they are worth.
const MOST_CARRIED: usize = 65_536;

/// How a load went.
pub(crate) struct Loaded {
    /// Number of the generation that is in force now.
    pub generation: u8,
    /// Whether nothing of ours was there before.
    pub first: bool,
    /// TCP connections from before the first load that go on.
    pub carried: usize,
    /// Rules and elements that were sent.
    pub rules: usize,
    /// Sentences that are gone, with what they had counted.
    pub gone: BTreeMap<String, Counted>,
    /// Closing it waits for the kernel: keep it until all is said.
    pub socket: Socket<Anywhere>,
    /// What became of the expectations.
    pub expectations: Vec<Expected>,
}

/// Loads what was proven, if whoever asks is content with the proof. `before` hears the number of the generation
/// before the kernel is asked, each time that it is. Nothing took effect if this fails.
pub(crate) fn load(
    guard: Guard<Anywhere>,
    policy: &Sound,
    mut content: impl FnMut(&Proof) -> Result<(), Stop>,
    mut before: impl FnMut(u8) -> Result<(), Stop>,
) -> Result<Loaded, Stop> {
    let socket = Socket::open(guard).map_err(|error| kernel::unread(&error))?;
    let began = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        let attempt = Attempt::prepare(&socket, policy, &mut content)?;
        before(attempt.generation)?;
        match socket.load(&attempt.transaction, Some(attempt.seen)) {
            Ok(()) => return Ok(attempt.done(socket)),
            Err(CommitError::Raced) if tries < TRIES && began.elapsed() < PATIENCE => {}
            Err(error) => return Err(explained(&error, &attempt.transaction, &socket).into()),
        }
    }
}

/// One try: what was read, and what it leads to.
struct Attempt {
    seen: doorward_kernel::Generation,
    transaction: Checked<Transaction>,
    generation: u8,
    first: bool,
    carried: usize,
    rules: usize,
    gone: BTreeMap<String, Counted>,
    expectations: Vec<Expected>,
}

impl Attempt {
    fn prepare(
        socket: &Socket<Anywhere>,
        policy: &Sound,
        content: &mut impl FnMut(&Proof) -> Result<(), Stop>,
    ) -> Result<Attempt, Stop> {
        let wanted = |set: &Set| counts(set) || compile::is_carried(set);
        let snapshot =
            socket.read_counters(&kernel::ours(), &wanted).map_err(|error| kernel::unread(&error))?;
        let old = snapshot.ruleset.tables.first();
        let first = old.is_none();
        let running = old.map(Running::of).unwrap_or_default();
        let hits = old.map(counted).unwrap_or_default();
        let carried = match old {
            // Those that have not said anything yet stay for as long as they were given.
            Some(table) => compile::carried(table),
            None => open_connections()?,
        };
        // Its memory is used again for what comes.
        drop(snapshot.ruleset);
        let options = Options { generation: running.next_generation(), carried };
        let (table, proof) =
            prove::compiled(&policy.resolved, &policy.host, &options, &BySide::of(&policy.resolved));
        content(&proof)?;
        let Some(mut table) = table else {
            let unequal = proved::unequal(&proof, &policy.resolved, &policy.host);
            return Err(unequal.unwrap_or_else(|| Failure::new(Exit::Refused, "not proven")).into());
        };
        carry_counters(&mut table, &hits);
        Ok(Attempt {
            seen: snapshot.generation,
            generation: options.generation,
            first,
            carried: if first { options.carried.len() } else { 0 },
            rules: table.chains.iter().map(|chain| chain.rules.len()).sum(),
            gone: gone(&hits, &table),
            transaction: replace(&running, table),
            expectations: proof.expectations,
        })
    }

    fn done(self, socket: Socket<Anywhere>) -> Loaded {
        // The process is about to end and gives all memory back at once; taking thousands of rules apart first
        // would be a good part of its work.
        std::mem::forget(self.transaction);
        Loaded {
            generation: self.generation,
            first: self.first,
            carried: self.carried,
            rules: self.rules,
            gone: self.gone,
            socket,
            expectations: self.expectations,
        }
    }
}

fn counts(set: &Set) -> bool {
    set.exprs.iter().any(|expr| matches!(expr, Expr::Counter { .. }))
}

/// TCP connections that are there before the host has a firewall of ours: conntrack has not seen them begin.
fn open_connections() -> Result<Vec<(SocketAddr, SocketAddr)>, Failure> {
    let all = Diag::open().and_then(|diag| diag.connections()).map_err(|error| kernel::unread(&error))?;
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

/// Sentences that had been hit and are not there any more, wherever they stood.
fn gone(old: &BTreeMap<String, Counted>, table: &Table) -> BTreeMap<String, Counted> {
    let sentence = |comment: &str| match kernel::Comment::read(comment) {
        Some(kernel::Comment::Sentence { sentence, .. }) => Some(sentence),
        _ => None,
    };
    let now: BTreeSet<String> = counted(table).keys().filter_map(|comment| sentence(comment)).collect();
    let mut gone: BTreeMap<String, Counted> = BTreeMap::new();
    for (comment, hits) in old {
        if let Some(sentence) = sentence(comment)
            && !now.contains(&sentence)
            && hits.packets > 0
        {
            *gone.entry(sentence).or_default() += *hits;
        }
    }
    gone
}

/// The kernel's refusal, and what it lacks, if it lacks something.
fn explained(error: &CommitError, transaction: &Transaction, socket: &Socket<Anywhere>) -> Failure {
    let mut failure = kernel::refused(error, transaction);
    let permitted = |one: &doorward_kernel::Refusal| one.errno != rustix::io::Errno::PERM;
    if matches!(error, CommitError::Refused(list) if list.iter().all(permitted))
        && let Ok(missing) = abilities::missing(socket)
    {
        for one in missing {
            let load = one
                .module
                .map(|module| format!("; `modprobe {module}` loads it, where it was built"))
                .unwrap_or_default();
            failure = failure.way_out(format!("this kernel has no {}{load}", one.name));
        }
    }
    failure
}
