//! From this process upwards, through sudo, shells and terminal multiplexers, to a connection or a console.

use super::procfs::{INIT, Process};
use super::{Asker, Session, Sessions, sshd};
use doorward_kernel::diag::Connection;
use std::collections::BTreeSet;

/// Programs whose server outlives the terminals that are attached to it, and has those open.
const MULTIPLEXERS: [&str; 2] = ["tmux", "screen"];
/// Programs whose server talks with its clients in ways that leave no trace here.
const OPAQUE: [&str; 5] = ["dtach", "abduco", "zellij", "mosh-server", "shpool"];

pub(super) fn asker(sessions: &Sessions) -> Asker {
    let mut walk = Walk { sessions, seen: BTreeSet::new(), found: Vec::new(), console: None, why: None };
    match sessions.processes.own() {
        Some(own) => walk.climb(own),
        None => walk.because("`/proc` does not show this process"),
    }
    let Walk { found, console, why, .. } = walk;
    // With both attached to one server nobody knows who typed: the connections are what can get lost.
    match console {
        _ if !found.is_empty() => Asker::Remote { connections: found },
        Some(name) => Asker::Console { name },
        None => Asker::Unknown { why: why.unwrap_or_default() },
    }
}

struct Walk<'a> {
    sessions: &'a Sessions,
    /// No process is asked twice, whatever circles there are.
    seen: BTreeSet<u32>,
    found: Vec<Session>,
    console: Option<String>,
    why: Option<String>,
}

impl Walk<'_> {
    /// Towards process 1, until something is found.
    fn climb(&mut self, from: u32) {
        let processes = &self.sessions.processes;
        let Some(mut process) = processes.get(from) else {
            return self.because(format!("process {from} is gone"));
        };
        let mut in_ssh = false;
        while self.seen.insert(process.pid) {
            if sshd::is_ssh(process) {
                in_ssh = true;
                match self.ssh(process) {
                    Ok(session) => return self.take(session),
                    Err(why) => self.because(why),
                }
            } else if in_ssh {
                // A daemon's own ancestors say nothing about its guests.
                return;
            } else if let Some(session) = self.other_server(process) {
                return self.take(session);
            } else if MULTIPLEXERS.contains(&process.program()) && is_server(process) {
                return self.clients(process);
            } else if OPAQUE.contains(&process.program()) {
                return self.because(format!("`{}` does not let its clients be told", process.program()));
            } else if let Some(terminal) = &process.terminal
                && processes.is_console(terminal)
            {
                self.console.get_or_insert_with(|| terminal.clone());
            }
            match processes.parent(process) {
                Some(parent) if parent.pid == INIT => return self.top(process),
                Some(parent) => process = parent,
                None => return self.top(process),
            }
        }
    }

    fn because(&mut self, why: impl Into<String>) {
        // The nearest reason is the one that helps.
        self.why.get_or_insert_with(|| why.into());
    }

    /// Nothing was found on the way here.
    fn top(&mut self, process: &Process) {
        let (program, Process { pid, parent, .. }) = (process.program(), process);
        let who = format!("`{program}` (process {pid})");
        self.because(match *parent {
            _ if Some(*pid) == self.sessions.processes.own() => {
                "no process is above it but the first".to_owned()
            }
            INIT => format!("it was started by {who}, which has no SSH connection and no console"),
            0 => format!("{who} was started from outside of this PID namespace"),
            _ => format!("whoever started {who} cannot be told any more"),
        });
    }

    /// The connection of a process of an SSH daemon.
    fn ssh(&self, process: &Process) -> Result<Session, String> {
        let processes = &self.sessions.processes;
        let (program, Process { pid, .. }) = (process.program(), process);
        let files = processes
            .open_files(*pid)
            .map_err(|error| format!("what `{program}` (process {pid}) has open cannot be read: {error}"))?;
        if let Some(connection) = sshd::served(self.sessions, process, &files) {
            return Ok(self.session(process, &connection));
        }
        let own = processes.own().and_then(|own| processes.network(own));
        Err(match processes.network(*pid) {
            Some(other) if own.is_some_and(|own| own != other) => {
                "its SSH connection is in another network namespace".to_owned()
            }
            _ => format!("`{program}` (process {pid}) has no connection in this network namespace"),
        })
    }

    fn session(&self, process: &Process, connection: &Connection) -> Session {
        let (user, terminal) = match sshd::login(self.sessions, process) {
            Some((user, terminal)) => (Some(user), terminal),
            None => (None, None),
        };
        Session::new(connection, process.pid, user, terminal)
    }

    /// The connection of a process that was started for it alone, by whoever listens on its port: telnetd, tinysshd.
    fn other_server(&self, process: &Process) -> Option<Session> {
        let processes = &self.sessions.processes;
        let files = processes.open_files(process.pid).ok()?;
        if files.sockets.is_empty() {
            return None;
        }
        let parent = processes.open_files(processes.parent(process)?.pid).ok()?;
        // Most have no such parent; only for the others connections are looked at.
        sshd::listening(self.sessions, &parent).next()?;
        let held: BTreeSet<u32> = sshd::connections(self.sessions, &files).map(|one| one.inode).collect();
        // With several it would be a guess.
        let [only] = held.into_iter().collect::<Vec<u32>>()[..] else { return None };
        let connection = self.sessions.connections().get(&only)?;
        let accepted = sshd::listening(self.sessions, &parent).any(|port| port == connection.local.port());
        let itself = sshd::listening(self.sessions, &files).any(|port| port == connection.local.port());
        (accepted && !itself).then(|| self.session(process, connection))
    }

    /// Where a connection comes from this host itself (`ssh localhost`), the one behind it counts.
    fn take(&mut self, session: Session) {
        let before = self.found.len();
        if let Some(end) = self.sessions.other_end(&session) {
            let holds = |process: &&Process| {
                let files = self.sessions.processes.open_files(process.pid);
                files.is_ok_and(|files| files.sockets.contains(&end.inode))
            };
            if let Some(client) = self.sessions.processes.all().find(holds) {
                self.climb(client.pid);
            }
        }
        if self.found.len() == before && !self.found.iter().any(|one| one.inode == session.inode) {
            self.found.push(session);
        }
    }

    /// All who are attached to a multiplexer. Who started its server need not be here any more.
    fn clients(&mut self, server: &Process) {
        let processes = &self.sessions.processes;
        let attached = processes.open_files(server.pid).map(|files| files.devices).unwrap_or_default();
        // The numbers of pseudo-terminals are not the same in every container: only the own kind counts, of the same
        // user or root.
        let is_client = |one: &&Process| {
            one.program() == server.program()
                && (one.uid() == server.uid() || one.uid() == 0)
                && one.terminal.as_ref().is_some_and(|terminal| attached.contains(terminal))
        };
        for client in processes.all().filter(is_client) {
            self.climb(client.pid);
        }
        self.because(format!("no client of `{}` (process {}) is attached", server.program(), server.pid));
    }
}

/// Clients have the terminal from which they were called; the server has left it.
fn is_server(process: &Process) -> bool {
    process.terminal.is_none()
}
