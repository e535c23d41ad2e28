//! Who asks: the SSH connection or the console above this process, who else is logged in, and where SSH daemons
//! listen; knows no policy. The environment is not asked: `SSH_CONNECTION` can be old or made up, and sudo drops it.

mod procfs;
mod sshd;
#[cfg(test)]
mod tests;
mod walk;

use crate::host;
use doorward_kernel::KernelError;
use doorward_kernel::diag::{Connection, Diag, Listener, Transport};
use procfs::Processes;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};

/// Who started this process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asker {
    /// Somebody behind a TCP connection of this network namespace.
    Remote {
        /// Usually one; in tmux or screen one for each attached client. Never none.
        connections: Vec<Session>,
    },
    /// Somebody at the machine itself.
    Console {
        /// The terminal: `tty1`, `ttyS0`, `hvc0`.
        name: String,
    },
    /// Nobody of whom anything is known: a service, a timer, a connection of another network namespace.
    Unknown {
        /// Why, in words that go on a sentence.
        why: String,
    },
}

/// Somebody who is logged in over a TCP connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Session {
    /// Where the peer is. An IPv4 address is one in an IPv6 socket too; a link-local one has its interface as scope.
    pub remote: SocketAddr,
    /// This host's end.
    pub local: SocketAddr,
    /// Who logged in, if the name or at least the number is known; a later `su` does not count.
    pub user: Option<String>,
    /// The terminal of the login below `/dev`, if it has any: `pts/0`.
    pub terminal: Option<String>,
    /// The process that holds the connection.
    pub pid: u32,
    /// The socket.
    inode: u32,
}

/// Processes and sockets at one moment.
pub(crate) struct Sessions {
    root: PathBuf,
    processes: Processes,
    users: BTreeMap<String, u32>,
    /// Of TCP.
    listeners: Vec<Listener>,
    diag: Option<Diag>,
    /// By inode; asked for when somebody above this process, or an SSH daemon, has a socket.
    connections: OnceCell<BTreeMap<u32, Connection>>,
    /// Asked for once for each session.
    ssh_ports: OnceCell<BTreeSet<u16>>,
}

impl Session {
    fn new(connection: &Connection, pid: u32, user: Option<String>, terminal: Option<String>) -> Session {
        let end = |addr: SocketAddr| match addr {
            SocketAddr::V6(six) if six.ip().is_unicast_link_local() => {
                SocketAddrV6::new(*six.ip(), six.port(), 0, connection.interface).into()
            }
            _ => addr,
        };
        Session {
            remote: end(connection.remote),
            local: end(connection.local),
            user,
            terminal,
            pid,
            inode: connection.inode,
        }
    }
}

/// The programs that hold sockets, by the inode of the socket; of several that share one, the first.
pub(crate) fn holders() -> BTreeMap<u32, String> {
    let processes = Processes::read(Path::new("/"));
    let mut holders = BTreeMap::new();
    for process in processes.all() {
        for inode in processes.open_files(process.pid).map(|files| files.sockets).unwrap_or_default() {
            holders.entry(inode).or_insert_with(|| process.program().to_owned());
        }
    }
    holders
}

/// The names of all programs that run.
pub(crate) fn running() -> BTreeSet<String> {
    Processes::read(Path::new("/")).all().map(|process| process.name.clone()).collect()
}

impl Sessions {
    /// Looks at the system. Only root sees what the processes of others have open.
    pub(crate) fn ask() -> Result<Sessions, KernelError> {
        let diag = Diag::open()?;
        let listeners = diag.listeners_of(Transport::Tcp)?;
        Ok(Sessions::read(Path::new("/"), listeners, Some(diag)))
    }

    /// The same with all connections, for who must not miss any.
    pub(crate) fn ask_all() -> Result<Sessions, KernelError> {
        let sessions = Sessions::ask()?;
        let connections = sessions.diag.as_ref().map(Diag::connections).transpose()?;
        Ok(sessions.with(connections.unwrap_or_default()))
    }

    /// From a folder that looks like the root of a file system, and the listening sockets of its host.
    fn read(root: &Path, listeners: Vec<Listener>, diag: Option<Diag>) -> Sessions {
        Sessions {
            root: root.to_owned(),
            processes: Processes::read(root),
            users: host::accounts(root.join("etc/passwd")),
            listeners,
            diag,
            connections: OnceCell::new(),
            ssh_ports: OnceCell::new(),
        }
    }

    /// The same sessions of a host with these connections.
    fn with(self, connections: Vec<Connection>) -> Sessions {
        let connections = OnceCell::from(by_inode(connections));
        Sessions { connections, ..self }
    }

    /// By inode. Where they cannot be read there are none: nobody is found then.
    fn connections(&self) -> &BTreeMap<u32, Connection> {
        self.connections.get_or_init(|| {
            let connections = self.diag.as_ref().and_then(|diag| diag.connections().ok());
            by_inode(connections.unwrap_or_default())
        })
    }

    /// Who started this process.
    pub(crate) fn asker(&self) -> Asker {
        walk::asker(self)
    }

    /// All who are logged in over SSH, the asker among them, by peer. Whoever has not said yet who they are is not.
    pub(crate) fn logged_in(&self) -> Vec<Session> {
        sshd::logged_in(self)
    }

    /// TCP ports on which SSH daemons wait, or systemd in their place.
    pub(crate) fn ssh_ports(&self) -> &BTreeSet<u16> {
        self.ssh_ports.get_or_init(|| sshd::ports(self))
    }

    /// The name of an account, or its number.
    fn user(&self, uid: u32) -> String {
        let name = self.users.iter().find(|(_, one)| **one == uid).map(|(name, _)| name.clone());
        name.unwrap_or_else(|| uid.to_string())
    }

    /// The connection from here to here of which this is one end, seen from the other end.
    fn other_end(&self, session: &Session) -> Option<&Connection> {
        let plain = |addr: SocketAddr| -> (IpAddr, u16) { (addr.ip(), addr.port()) };
        self.connections().values().find(|one| {
            plain(one.local) == plain(session.remote) && plain(one.remote) == plain(session.local)
        })
    }
}

fn by_inode(connections: Vec<Connection>) -> BTreeMap<u32, Connection> {
    connections.into_iter().map(|one| (one.inode, one)).collect()
}
