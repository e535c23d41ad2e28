//! A made-up tree of processes as files, with the sockets of its host.

use super::super::{Asker, Sessions};
use doorward_kernel::diag::{Connection, Listener, Transport};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

const CHILD: &str = "sshd: anna@pts/0";
/// The number of `pts/0`; the next ones follow.
pub(super) const PTS0: i32 = 136 << 8;

/// A folder like the root of a file system, and the sockets of its host.
pub(super) struct Tree {
    pub(super) root: PathBuf,
    listeners: Vec<Listener>,
    pub(super) connections: Vec<Connection>,
}

impl Tree {
    pub(super) fn new(name: &str) -> Tree {
        let root = std::env::temp_dir().join(format!("doorward-session-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("proc/tty")).unwrap();
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(root.join("etc/passwd"), "root:x:0:0:::\nanna:x:1000:1000:::\nsshd:x:107:65534:::\n")
            .unwrap();
        let drivers = "/dev/tty             /dev/tty        5       0 system:/dev/tty\n\
             /dev/console         /dev/console    5       1 system:console\n\
             hvc                  /dev/hvc      229 0-15 system\n\
             serial               /dev/ttyS       4 64-95 serial\n\
             ttyAMA               /dev/ttyAMA   204 64-77 serial\n\
             pty_slave            /dev/pts      136 0-1048575 pty:slave\n\
             unknown              /dev/tty        4 1-63 console\nbroken\n";
        fs::write(root.join("proc/tty/drivers"), drivers).unwrap();
        let mut tree = Tree { root, listeners: Vec::new(), connections: Vec::new() };
        tree.process(1, 0, "systemd", 0, 0, "/sbin/init").process(
            100,
            1,
            "sshd",
            0,
            0,
            "sshd: /usr/sbin/sshd -D [listener] 0 of 10",
        );
        tree.fd(100, 3, "socket:[11]").listen(11, 22);
        tree
    }

    /// Without arguments a session of anna's on `pts/0`: 200 the monitor, 201 her child, 202 her shell.
    pub(super) fn with_session(name: &str) -> Tree {
        let mut tree = Tree::new(name);
        tree.process(200, 100, "sshd", 0, 0, "sshd: anna [priv]").process(201, 200, "sshd", 1000, 0, CHILD);
        tree.process(202, 201, "bash", 1000, PTS0, "-bash");
        tree.fd(200, 4, "socket:[21]").fd(201, 4, "socket:[21]");
        tree.connect(21, "192.0.2.1:22", "198.51.100.7:40000");
        tree
    }

    pub(super) fn process(
        &mut self,
        pid: u32,
        parent: u32,
        name: &str,
        uid: u32,
        tty: i32,
        title: &str,
    ) -> &mut Tree {
        let folder = self.root.join(format!("proc/{pid}"));
        fs::create_dir_all(folder.join("fd")).unwrap();
        fs::create_dir_all(folder.join("ns")).unwrap();
        let stat =
            format!("{pid} ({name}) S {parent} {pid} {pid} {tty} -1 4194304 {}{pid} 0\n", "0 ".repeat(12));
        fs::write(folder.join("stat"), stat).unwrap();
        fs::write(
            folder.join("status"),
            format!("Name:\t{}\nUid:\t{uid}\t0\t0\t0\n", name.replace('\n', "\\n")),
        )
        .unwrap();
        fs::write(folder.join("cmdline"), format!("{title}\0\0")).unwrap();
        symlink("net:[1]", folder.join("ns/net")).unwrap();
        if !name.contains(['/', '\n', '(']) {
            symlink(format!("/usr/sbin/{name}"), folder.join("exe")).unwrap();
        }
        self
    }

    pub(super) fn fd(&mut self, pid: u32, number: u32, link: &str) -> &mut Tree {
        symlink(link, self.root.join(format!("proc/{pid}/fd/{number}"))).unwrap();
        self
    }

    pub(super) fn connect(&mut self, inode: u32, local: &str, remote: &str) -> &mut Tree {
        let (local, remote) = (local.parse().unwrap(), remote.parse().unwrap());
        self.connections.push(Connection {
            transport: Transport::Tcp,
            local,
            remote,
            interface: 3,
            cookie: [0; 2],
            uid: 0,
            inode,
        });
        self
    }

    pub(super) fn listen(&mut self, inode: u32, port: u16) -> &mut Tree {
        let local: SocketAddr = ([0, 0, 0, 0], port).into();
        let (transport, both_families, interface, uid) = (Transport::Tcp, false, 0, 0);
        self.listeners.push(Listener { transport, local, both_families, interface, uid, inode });
        self
    }

    pub(super) fn link(&mut self, path: &str, to: &str) -> &mut Tree {
        let place = self.root.join("proc").join(path);
        let _ = fs::remove_file(&place);
        symlink(to, place).unwrap();
        self
    }

    pub(super) fn sessions(&self) -> Sessions {
        Sessions::read(&self.root, self.listeners.clone(), None).with(self.connections.clone())
    }

    /// The question comes from a process of this number.
    pub(super) fn asker(&mut self, own: u32) -> Asker {
        self.link("self", &own.to_string());
        self.sessions().asker()
    }

    pub(super) fn ports(&self) -> Vec<u16> {
        self.sessions().ssh_ports().iter().copied().collect()
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}
