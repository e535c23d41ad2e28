//! SSH daemons and what can be told of their sessions: programs, titles, sockets; climbs no tree of processes.

use super::procfs::{INIT, OpenFiles, Process};
use super::{Session, Sessions};
use doorward_kernel::diag::{Connection, Transport};
use std::collections::BTreeSet;
use std::fs;

/// Programs that are an SSH daemon or hold a connection for one. What only talks with strangers (`sshd-auth`) is not.
const PROGRAMS: [&str; 4] = ["sshd", "sshd-session", "dropbear", "dropbearmulti"];
/// Account of OpenSSH's process that talks with strangers.
const STRANGER: &str = "sshd";
/// Where systemd finds its units.
const UNITS: [&str; 6] = [
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// Names that distributions give to the sockets of SSH.
const SOCKETS: [&str; 3] = ["ssh.socket", "sshd.socket", "dropbear.socket"];

pub(super) fn is_ssh(process: &Process) -> bool {
    // The name is at hand; whoever has one of these shows by its program whether it is one.
    let named = process.name.starts_with("sshd") || process.name.starts_with("dropbear");
    named && PROGRAMS.contains(&process.program())
}

/// What OpenSSH writes over its arguments.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Title<'a> {
    /// `sshd: anna@pts/0`
    User { name: &'a str, terminal: Option<&'a str> },
    /// `sshd: anna [priv]`: keeps the connection for a process with fewer rights, which may be a stranger's.
    Monitor { name: &'a str },
    /// `sshd: [net]`, `sshd: [accepted]`: nobody has logged in.
    Stranger,
    /// A daemon, or no title of OpenSSH.
    Other,
}

impl Title<'_> {
    pub(super) fn read(title: &str) -> Title<'_> {
        let Some(text) = title.strip_prefix("sshd: ").or_else(|| title.strip_prefix("sshd-session: ")) else {
            return Title::Other;
        };
        if let Some(name) = text.strip_suffix(" [priv]") {
            return Title::Monitor { name };
        }
        if text.contains(" [listener]") || text.starts_with('/') {
            return Title::Other;
        }
        if text.ends_with(']') || text.is_empty() {
            return Title::Stranger;
        }
        // The name of an account may hold an `@` itself.
        match text.rsplit_once('@') {
            Some((name, "notty")) => Title::User { name, terminal: None },
            Some((name, terminal)) => Title::User { name, terminal: Some(terminal) },
            None => Title::User { name: text, terminal: None },
        }
    }
}

/// The connection that a process serves. None if it has none of this network namespace.
pub(super) fn served(sessions: &Sessions, process: &Process, files: &OpenFiles) -> Option<Connection> {
    // What came in over a port that the process itself opened was forwarded (`ssh -R`), and is not its own.
    let forwarded: BTreeSet<u16> = listening(sessions, files).collect();
    let parent = sessions.processes.parent(process).filter(|parent| is_ssh(parent));
    let inherited =
        parent.and_then(|parent| sessions.processes.open_files(parent.pid).ok()).unwrap_or_default();
    let doors = sessions.ssh_ports();
    connections(sessions, files)
        .filter(|one| !forwarded.contains(&one.local.port()))
        // The other end of what a client forwards (`ssh -L`) was opened from here, by the last process of the chain
        // alone. Of equals the first counts.
        .min_by_key(|one| (!inherited.sockets.contains(&one.inode), !doors.contains(&one.local.port())))
        .copied()
}

/// Connections among open files, in the order of their descriptors.
pub(super) fn connections<'a>(
    sessions: &'a Sessions,
    files: &'a OpenFiles,
) -> impl Iterator<Item = &'a Connection> {
    files.sockets.iter().filter_map(|inode| sessions.connections().get(inode))
}

/// Ports on which one of these sockets waits.
pub(super) fn listening<'a>(sessions: &'a Sessions, files: &'a OpenFiles) -> impl Iterator<Item = u16> + 'a {
    let tcp = sessions.listeners.iter().filter(|one| one.transport == Transport::Tcp);
    tcp.filter(|one| files.sockets.contains(&one.inode)).map(|one| one.local.port())
}

/// Name and terminal of whoever has logged in, if this process serves them after their login.
pub(super) fn login(sessions: &Sessions, process: &Process) -> Option<(String, Option<String>)> {
    let processes = &sessions.processes;
    let parent = processes.parent(process).filter(|parent| is_ssh(parent));
    // Anybody may call a program `sshd`; what runs as a user counts if root's daemon started it.
    let genuine = process.uid() == 0 || parent.is_some_and(|parent| parent.uid() == 0);
    if !is_ssh(process) || !genuine {
        return None;
    }
    if process.program().starts_with("dropbear") {
        // It has no titles: whoever has something running has logged in.
        let shell = processes.children(process).find(|child| !is_ssh(child))?;
        return Some((sessions.user(shell.uid()), shell.terminal.clone()));
    }
    match Title::read(process.title()) {
        Title::User { name, terminal } => Some((name.to_owned(), terminal.map(str::to_owned))),
        // After a login as root without a command there is nobody below it; before, a stranger is.
        Title::Monitor { name } => {
            let mut below = processes.children(process);
            below.all(|child| !child.program().starts_with("sshd")).then(|| (name.to_owned(), None))
        }
        Title::Stranger => None,
        Title::Other => {
            let stranger = sessions.users.get(STRANGER).is_some_and(|uid| *uid == process.uid());
            (process.uid() != 0 && !stranger && parent.is_some())
                .then(|| (sessions.user(process.uid()), None))
        }
    }
}

pub(super) fn logged_in(sessions: &Sessions) -> Vec<Session> {
    let mut all: Vec<Session> = Vec::new();
    for process in sessions.processes.all() {
        if let Some((user, terminal)) = login(sessions, process)
            && let Ok(files) = sessions.processes.open_files(process.pid)
            && let Some(connection) = served(sessions, process, &files)
            && !all.iter().any(|one| one.inode == connection.inode)
        {
            all.push(Session::new(&connection, process.pid, Some(user), terminal));
        }
    }
    all.sort_by_key(|one| (one.remote, one.local));
    all
}

pub(super) fn ports(sessions: &Sessions) -> BTreeSet<u16> {
    let processes = &sessions.processes;
    let mut ports = BTreeSet::new();
    for daemon in processes.all().filter(|process| is_daemon(sessions, process)) {
        let files = processes.open_files(daemon.pid).unwrap_or_default();
        // Dropbear has no titles: its sessions are told by what they serve.
        if daemon.program().starts_with("dropbear") && connections(sessions, &files).next().is_some() {
            continue;
        }
        ports.extend(listening(sessions, &files));
    }
    let init: BTreeSet<u16> = match processes.open_files(INIT) {
        Ok(files) => listening(sessions, &files).collect(),
        Err(_) => BTreeSet::new(),
    };
    if !init.is_empty() {
        // The files say what may be meant, the sockets what is: drop-ins that take a port back need not be understood.
        ports.extend(activated(sessions).intersection(&init));
        // Whoever is logged in over a port of systemd's came in by it, whatever its unit is called.
        for process in processes.all().filter(|one| is_ssh(one) && one.parent == INIT && one.uid() == 0) {
            let files = processes.open_files(process.pid).unwrap_or_default();
            ports.extend(
                connections(sessions, &files).map(|one| one.local.port()).filter(|at| init.contains(at)),
            );
        }
    }
    ports
}

/// Whether it waits for connections, as opposed to serving one. Root's only: what a user calls `sshd` opens no door.
fn is_daemon(sessions: &Sessions, process: &Process) -> bool {
    is_ssh(process)
        && process.uid() == 0
        && !sessions.processes.parent(process).is_some_and(is_ssh)
        && Title::read(process.title()) == Title::Other
}

/// Ports that the units of SSH's sockets name.
fn activated(sessions: &Sessions) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for folder in UNITS.map(|folder| sessions.root.join(folder)) {
        for name in SOCKETS {
            let drop_ins = fs::read_dir(folder.join(format!("{name}.d"))).into_iter().flatten().flatten();
            for file in drop_ins.map(|entry| entry.path()).chain([folder.join(name)]) {
                let text = fs::read_to_string(file).unwrap_or_default();
                let values = text.lines().filter_map(|line| line.trim().strip_prefix("ListenStream"));
                let values = values.filter_map(|rest| rest.trim_start().strip_prefix('='));
                ports.extend(values.filter_map(|value| value.trim().rsplit(':').next()?.parse::<u16>().ok()));
            }
        }
    }
    ports
}
