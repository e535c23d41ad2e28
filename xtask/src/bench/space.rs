//! Pairs of network namespaces, client and server, joined by a veth; gone when the value is dropped.

use super::{Outcome, run_command};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::process::Command;

pub(super) const CLIENT: std::net::Ipv4Addr = std::net::Ipv4Addr::new(203, 0, 113, 1);
pub(super) const SERVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(203, 0, 113, 2);

/// A client and a server.
pub(super) struct Pair {
    pub(super) name: String,
    client: File,
    server: File,
    home: File,
}

impl Pair {
    /// Makes both namespaces; names carry the process, so that runs do not meet.
    pub(super) fn new(name: &str) -> Outcome<Pair> {
        let pid = std::process::id();
        let (client, server) = (format!("dwb{pid}-{name}-c"), format!("dwb{pid}-{name}-s"));
        let made = Names { client: client.clone(), server: server.clone() };
        let script = format!(
            "set -e
ip netns add {client}; ip netns add {server}
ip -n {client} link add veth0 address 02:00:00:00:00:01 type veth peer name veth0 netns {server} address 02:00:00:00:00:02
ip -n {client} addr add {CLIENT}/24 dev veth0; ip -n {server} addr add {SERVER}/24 dev veth0
for n in {client} {server}; do ip -n $n link set lo up; ip -n $n link set veth0 up
 ip netns exec $n sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.veth0.rp_filter=0; done
ip -n {client} neigh replace {SERVER} lladdr 02:00:00:00:00:02 dev veth0
ip -n {server} neigh replace {CLIENT} lladdr 02:00:00:00:00:01 dev veth0
ip -n {server} route add default via {CLIENT}; ip -n {client} route add blackhole default"
        );
        run_command(Command::new("sh").args(["-c", &script]))?;
        let open = |path: &str| File::open(path).map_err(|e| format!("{path}: {e}"));
        let pair = Pair {
            name: name.to_owned(),
            client: open(&format!("/run/netns/{client}"))?,
            server: open(&format!("/run/netns/{server}"))?,
            home: open("/proc/self/ns/net")?,
        };
        std::mem::forget(made);
        Ok(pair)
    }

    fn names(&self) -> Names {
        let pid = std::process::id();
        Names { client: format!("dwb{pid}-{}-c", self.name), server: format!("dwb{pid}-{}-s", self.name) }
    }

    /// A command in the server's namespace.
    pub(super) fn on_server(&self, program: &std::path::Path) -> Command {
        let names = std::mem::ManuallyDrop::new(self.names());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &names.server]).arg(program);
        command
    }

    /// Does something, such as opening a socket, in the client's namespace.
    pub(super) fn in_client<T>(&self, job: impl FnOnce() -> T) -> Outcome<T> {
        self.inside(&self.client, job)
    }

    /// The same in the server's namespace.
    pub(super) fn in_server<T>(&self, job: impl FnOnce() -> T) -> Outcome<T> {
        self.inside(&self.server, job)
    }

    fn inside<T>(&self, space: &File, job: impl FnOnce() -> T) -> Outcome<T> {
        let enter = |to: &File| setns(to, CloneFlags::CLONE_NEWNET).map_err(|e| format!("setns: {e}"));
        enter(space)?;
        let done = job();
        enter(&self.home)?;
        Ok(done)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        drop(self.names());
    }
}

/// Removes the namespaces when dropped, also when making them stopped halfway.
struct Names {
    client: String,
    server: String,
}

impl Drop for Names {
    fn drop(&mut self) {
        for name in [&self.client, &self.server] {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}
