//! Ends connections: those that a trial left and nobody judged, and those that the policy in force blocks.

use super::connections::{connection, host};
use super::{World, guard};
use crate::exit::{Exit, Failure, Stop};
use crate::host::Around;
use crate::kernel::unread;
use crate::session::Session;
use doorward::apply::Event;
use doorward::compile;
use doorward::meaning::{Limits, judge, shuts};
use doorward::net::Proto;
use doorward::resolve::Resolved;
use doorward::resolve::model::Verdict;
use doorward_kernel::conntrack::{Change, Conntrack, ConntrackWriter, Detail, Entry, Which};
use doorward_kernel::destroy::{Destroyed, Destroyer};
use doorward_kernel::diag::Transport;
use std::net::SocketAddr;

/// What was ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cut {
    /// Connections.
    pub ended: usize,
    /// The kernel cannot end sockets: what a program here goes on sending is dropped, and it is not told.
    pub sockets_stay: bool,
}

/// Ends connections.
struct Ender {
    entries: ConntrackWriter,
    sockets: Destroyer,
    cut: Cut,
}

impl Ender {
    fn open() -> Result<Ender, Failure> {
        Ok(Ender {
            entries: ConntrackWriter::open(guard()?).map_err(|error| unread(&error))?,
            sockets: Destroyer::open(guard()?).map_err(|error| unread(&error))?,
            cut: Cut::default(),
        })
    }

    /// What is tracked is forgotten, so that the next packet is judged; and a socket of this host is ended, as it would
    /// speak first and so open a connection of its own.
    fn end(&mut self, entry: &Entry) -> Result<(), Failure> {
        if self.entries.delete(entry).map_err(|error| unread(&error))? == Change::Made {
            self.cut.ended += 1;
        }
        for (local, remote) in ends(entry) {
            let transport = match entry.original.proto {
                Proto::TCP => Transport::Tcp,
                Proto::UDP => Transport::Udp,
                _ => continue,
            };
            let became =
                self.sockets.destroy_between(transport, local, remote).map_err(|error| unread(&error))?;
            self.cut.sockets_stay |= became == Destroyed::Unsupported;
        }
        Ok(())
    }
}

/// The ends of a connection as a socket here could have them: of replies, of what was opened.
fn ends(entry: &Entry) -> Vec<(SocketAddr, SocketAddr)> {
    let pair = |tuple: &doorward_kernel::conntrack::Tuple| match tuple.detail {
        Detail::Ports { source, destination } => {
            Some((SocketAddr::new(tuple.source, source), SocketAddr::new(tuple.destination, destination)))
        }
        _ => None,
    };
    [pair(&entry.original), pair(&entry.reply)].into_iter().flatten().collect()
}

impl World<'_> {
    /// What a trial let in and nobody judged since is judged now: the policy in force lets it go on, or it ends.
    pub(super) fn forget(&mut self) -> Result<Event, Stop> {
        let Some(number) = self.held()?.remains() else { return Ok(Event::Done) };
        let marked = Which::Marked { value: compile::mark_of(number), mask: compile::GENERATION_BITS };
        let entries = list(marked)?;
        if entries.is_empty() {
            return Ok(Event::Done);
        }
        let policy = self.policy_in_force()?;
        let around = Around::ask();
        let mut ender = Ender::open()?;
        let ours = compile::GENERATION_BITS | compile::REFUSED;
        for entry in entries {
            let refused = entry.mark & compile::REFUSED != 0;
            let allowed = connection(&entry, &around).is_none_or(|connection| {
                judge(&policy, &host(&around), &connection, Limits::Unspent).verdict == Verdict::Allow
            });
            if !refused && allowed {
                // Gone is as good.
                let _ = ender.entries.set_mark(&entry, 0, ours).map_err(|error| unread(&error))?;
            } else {
                ender.end(&entry)?;
            }
        }
        Ok(Event::Done)
    }

    /// Ends what the policy in force blocks, or all that it does not allow; never the asking session, nor who is
    /// trusted.
    pub(super) fn end_blocked(&mut self) -> Result<Event, Stop> {
        let (policy, all) = self.policy_and_cut()?;
        if !all && policy.rules.iter().all(|rule| rule.verdict == Verdict::Allow) {
            return Ok(Event::Done);
        }
        let own = self.own_sessions();
        let around = Around::ask();
        let mut ender = Ender::open()?;
        let mine = |entry: &Entry| {
            let ends = ends(entry);
            own.iter().any(|session| ends.iter().any(|(a, b)| same_ends(session, *a, *b)))
        };
        for entry in list(Which::All)? {
            let Some(connection) = connection(&entry, &around) else { continue };
            let ends = if all {
                judge(&policy, &host(&around), &connection, Limits::Unspent).verdict != Verdict::Allow
            } else {
                shuts(&policy, &connection)
            };
            if ends && !mine(&entry) {
                ender.end(&entry)?;
            }
        }
        self.cut = ender.cut;
        Ok(Event::Done)
    }

    /// The same while a policy is on trial that nobody can keep.
    pub(crate) fn cut_now(&mut self) -> Result<(), Failure> {
        match self.end_blocked() {
            Ok(_) | Err(Stop::Said(_)) => Ok(()),
            Err(Stop::Failed(failure)) => Err(failure),
        }
    }

    /// The policy that the kernel has in force, as it was saved.
    fn policy_in_force(&self) -> Result<Resolved, Failure> {
        let id = self.in_force();
        let id = id.or_else(|| self.confirmed().map(|pointer| pointer.confirmed.generation));
        id.map_or_else(|| Ok(Resolved::empty()), |id| self.saved(id).map(|(policy, _)| policy))
    }

    fn policy_and_cut(&self) -> Result<(Resolved, bool), Failure> {
        if let Some(wish) = &self.wish {
            return Ok((wish.policy.resolved.clone(), wish.cut));
        }
        match self.in_force() {
            Some(id) => self.saved(id),
            None => Ok((Resolved::empty(), false)),
        }
    }

    /// A generation as it was saved, and whether it is to cut.
    fn saved(&self, id: u64) -> Result<(Resolved, bool), Failure> {
        let store = self.store.ok_or_else(|| Failure::new(Exit::System, "the disk keeps no generation"))?;
        let index = store.index(id)?;
        let record = store.replay(id)?;
        let policy = crate::policy::replayed(&record, &record.main, index.facts())?;
        Ok((policy.resolved, index.cut))
    }
}

fn same_ends(session: &Session, one: SocketAddr, other: SocketAddr) -> bool {
    let plain = |addr: SocketAddr| (addr.ip(), addr.port());
    let ends = [plain(session.local), plain(session.remote)];
    ends == [plain(one), plain(other)] || ends == [plain(other), plain(one)]
}

fn list(which: Which) -> Result<Vec<Entry>, Failure> {
    match Conntrack::open().and_then(|conntrack| conntrack.list(which)) {
        Ok(entries) => Ok(entries),
        // A kernel that never tracked anything has none.
        Err(doorward_kernel::KernelError::Refused { .. }) => Ok(Vec::new()),
        Err(error) => Err(unread(&error)),
    }
}
