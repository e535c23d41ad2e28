//! Ports of containers under the rules that Docker writes, in both of its ways, and podman: shut unless a sentence opens
//! them.
//!
//! A server with two bridges and a container on each, the rules of Docker's iptables and nftables back ends, with and
//! without its proxy, and those of netavark, which holds published ports by a socket that nobody accepts from. Each
//! path is open without doorward, which is the control.
#![allow(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a test talks and fails so")]

#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/bench.rs"]
mod bench;
mod metadata;
mod orders;
#[allow(dead_code, reason = "another test's tool")]
#[path = "../real_clients/processes.rs"]
mod processes;
mod promises;
mod rules;
#[path = "../../../../tests/support/skip.rs"]
mod skip;
#[allow(clippy::unwrap_used, reason = "another test's tool")]
#[path = "../tool/mod.rs"]
mod tool;

use bench::{Bench, until};
use rules::{BackEnd, PUBLISHED};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A door that nobody opens is waited for so long.
const PATIENCE: Duration = Duration::from_millis(400);
const SERVER: [&str; 2] = ["203.0.113.9", "2001:db8:1::9"];
const CONTAINER: [&str; 2] = ["172.17.0.2", "fd17::2"];
/// Who is let in by sentences that name a source.
const OFFICE: [&str; 2] = ["203.0.113.77", "2001:db8:1::77"];
const OUTSIDE: [&str; 2] = ["203.0.113.1", "2001:db8:1::1"];
/// A port of the outside that containers want to reach.
const FAR: u16 = 4444;

/// A way to a container, or from it.
struct Path {
    name: &'static str,
    /// Whose connection it is, and from which address if that matters.
    from: (&'static str, Option<[&'static str; 2]>),
    to: ([&'static str; 2], u16),
    /// What opens it.
    sentence: &'static str,
}

const PATHS: [Path; 8] = [
    Path {
        name: "a published port",
        from: ("outside", Some(OUTSIDE)),
        to: (SERVER, 8080),
        sentence: "allow published 8080/tcp",
    },
    Path {
        name: "a published database",
        from: ("outside", Some(OUTSIDE)),
        to: (SERVER, 5433),
        sentence: "allow published 5433/tcp",
    },
    Path {
        name: "a published port, from some",
        from: ("outside", Some(OFFICE)),
        to: (SERVER, 8080),
        sentence: "allow published 8080/tcp from 203.0.113.77, 2001:db8:1::77",
    },
    Path {
        name: "the container's own address",
        from: ("outside", Some(OUTSIDE)),
        to: (CONTAINER, 80),
        sentence: "allow forward 80/tcp to 172.17.0.2, fd17::2",
    },
    Path {
        name: "a published port, from a container on another bridge",
        from: ("other", None),
        to: (SERVER, 8080),
        sentence: "allow published 8080/tcp",
    },
    Path {
        name: "the container's own address, from another bridge",
        from: ("other", None),
        to: (CONTAINER, 80),
        sentence: "allow forward 80/tcp on br-app",
    },
    Path {
        name: "out of the container",
        from: ("container", None),
        to: (OUTSIDE, FAR),
        sentence: "allow forward anything on docker0",
    },
    Path {
        name: "a published port that only the proxy serves",
        from: ("outside", Some(OUTSIDE)),
        to: (SERVER, PROXIED),
        sentence: "allow published 7070/tcp",
    },
];

/// Published without a rule: a rootless runtime, or IPv6 without address translation.
const PROXIED: u16 = 7070;

/// The hosts, their listeners, and doorward's folder.
struct Town {
    bench: Bench,
    stop: Arc<AtomicBool>,
}

impl Town {
    fn new(proxy: bool) -> Town {
        let bench = Bench::new(&["outside", "server", "container", "other"]);
        let wide = |addresses: [&str; 2]| [format!("{}/24", addresses[0]), format!("{}/64", addresses[1])];
        let (outside, office, server) = (wide(OUTSIDE), wide(OFFICE), wide(SERVER));
        bench.cable(
            ("outside", "eth0", &[&outside[0], &outside[1], &office[0], &office[1]]),
            ("server", "eth0", &[&server[0], &server[1]]),
        );
        for (bridge, container, net, six) in
            [("docker0", "container", "172.17.0", "fd17"), ("br-app", "other", "172.18.0", "fd18")]
        {
            let host = bench.host("server");
            host.ip(&format!("link add {bridge} type bridge"));
            host.ip(&format!("addr add {net}.1/24 dev {bridge}"));
            host.ip(&format!("addr add {six}::1/64 dev {bridge} nodad"));
            host.ip(&format!("link set {bridge} up"));
            let port = format!("v-{container}");
            bench.cable(
                ("server", &port, &[]),
                (container, "eth0", &[&format!("{net}.2/24"), &format!("{six}::2/64")]),
            );
            bench.host("server").ip(&format!("link set {port} master {bridge}"));
            bench.host(container).ip(&format!("route add default via {net}.1"));
            bench.host(container).ip(&format!("route add default via {six}::1"));
        }
        bench.host("outside").ip(&format!("route add 172.16.0.0/12 via {}", SERVER[0]));
        bench.host("outside").ip(&format!("route add fd00::/8 via {}", SERVER[1]));
        let host = bench.host("server");
        host.sysctl("net/ipv4/ip_forward", "1");
        host.sysctl("net/ipv6/conf/all/forwarding", "1");
        let mut town = Town { bench, stop: Arc::default() };
        for port in [80, 5432] {
            town.listen("container", port);
        }
        town.listen("outside", FAR);
        town.listen("server", PROXIED);
        if proxy {
            for (port, _) in PUBLISHED {
                town.listen("server", port);
            }
        }
        town
    }

    /// Somebody who says a word to whoever comes, over both families.
    fn listen(&mut self, host: &str, port: u16) {
        let bind = move || TcpListener::bind(("::", port)).expect("the port is free");
        let listener = self.bench.host(host).inside(bind);
        listener.set_nonblocking(true).expect("a socket");
        let stop = Arc::clone(&self.stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((mut peer, _)) => drop(peer.write_all(b"here")),
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
    }

    fn is_open(&self, path: &Path, family: usize) -> bool {
        let to = SocketAddr::new(path.to.0[family].parse().expect("an address"), path.to.1);
        let from: Option<IpAddr> = path.from.1.map(|from| from[family].parse().expect("an address"));
        self.bench.host(path.from.0).inside(|| talks(from, to))
    }

    /// Which of these are open, over which family.
    fn open(&self, paths: &[&Path]) -> Vec<(&'static str, usize)> {
        let tries: Vec<(&Path, usize)> = paths.iter().flat_map(|path| [(*path, 0), (*path, 1)]).collect();
        std::thread::scope(|scope| {
            let running: Vec<_> =
                tries.iter().map(|(path, family)| scope.spawn(|| self.is_open(path, *family))).collect();
            let answers = running.into_iter().map(|one| one.join().expect("an answer"));
            let open = tries.iter().zip(answers).filter(|(_, open)| *open);
            open.map(|((path, family), _)| (path.name, *family)).collect()
        })
    }

    /// Docker's rules are there and nobody else's: each path is open, which is the control.
    fn settled(&self, back_end: BackEnd) {
        back_end.load(self.bench.host("server"));
        let all: Vec<&Path> = PATHS.iter().collect();
        let mut control = Vec::new();
        // The first packets wait for neighbours to be found.
        until(Duration::from_secs(20), || {
            control = self.open(&all);
            control.len() == 2 * PATHS.len()
        });
        assert_eq!(control.len(), 2 * PATHS.len(), "without doorward all are open: {:?}", names(&control));
    }

    fn apply(&self, policy: &str) {
        self.bench.host("server").file("p.dw", policy);
        let (said, exit) = self.says(&["apply", "--no-trial", "p.dw"]);
        assert_eq!(exit, 0, "{policy}: {said}");
    }

    /// What doorward says on the server, and how it ends.
    fn says(&self, args: &[&str]) -> (String, i32) {
        let server = self.bench.host("server");
        let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
        command.env("DOORWARD_FORBID_HOST", "1").env("DOORWARD_STATE", server.folder().join("state"));
        command.current_dir(server.folder()).args(args);
        let output = server.inside(|| command.output().expect("doorward runs"));
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&said).into_owned(), output.status.code().unwrap_or(-1))
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Whether somebody answers.
fn talks(from: Option<IpAddr>, to: SocketAddr) -> bool {
    let stream = match from {
        None => TcpStream::connect_timeout(&to, PATIENCE),
        Some(from) => connect_from(from, to),
    };
    let Ok(mut stream) = stream else { return false };
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let mut word = [0; 4];
    stream.read_exact(&mut word).is_ok() && word == *b"here"
}

fn connect_from(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    let _ = connect(&socket, &to);
    let stream = TcpStream::from(socket);
    until(PATIENCE, || stream.peer_addr().is_ok());
    stream.peer_addr()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn names(open: &[(&'static str, usize)]) -> Vec<String> {
    open.iter().map(|(name, family)| format!("{name}, IPv{}", [4, 6][*family])).collect()
}

/// The whole of it for one back end; the figures are printed.
fn closed_means_closed(back_end: BackEnd, proxy: bool) {
    if std::env::var_os("DOORWARD_QUICK").is_some() && skip::without_root() {
        return;
    }
    let town = Town::new(proxy);
    let server = town.bench.host("server");
    town.settled(back_end);
    let all: Vec<&Path> = PATHS.iter().collect();
    let before = back_end.listed(server);

    town.apply("allow ssh\n");
    let open = names(&town.open(&all));
    assert_eq!(open, Vec::<String>::new(), "{back_end:?}, proxy {proxy}");
    assert_eq!(back_end.listed(server), before, "rules of others are as they were");

    for path in &PATHS {
        town.apply(&format!("allow ssh\n{}\n", path.sentence));
        let opened = town.open(&[path]);
        assert_eq!(opened.len(), 2, "{back_end:?}, proxy {proxy}: `{}` opens {}", path.sentence, path.name);
        // What names a source lets in nobody else, and each sentence opens its own path only.
        let speaks_of = |other: &&&Path| other.sentence != path.sentence && !also(path, other);
        let others: Vec<&Path> = all.iter().filter(|other| speaks_of(other)).copied().collect();
        let leaked = names(&town.open(&others));
        assert_eq!(leaked, Vec::<String>::new(), "{back_end:?}, proxy {proxy}: `{}`", path.sentence);
    }

    // Either side is loaded again, and nothing of the other breaks.
    town.apply("allow ssh\nallow published 8080/tcp\n");
    back_end.load(server);
    let [published, database] = [&PATHS[0], &PATHS[1]];
    assert_eq!(town.open(&[published, database]).len(), 2, "{back_end:?}: one port over both families");
    town.apply("allow ssh\nallow published 8080/tcp\nallow forward anything on docker0\n");
    assert_eq!(back_end.listed(server), before);
    assert_eq!(town.open(&[published, database, &PATHS[6]]).len(), 4);
}

/// Whether a sentence opens another path, too, because it says so.
fn also(path: &Path, other: &Path) -> bool {
    // A port that is published is so for whoever asks; what is let out of everywhere may go anywhere.
    let published = path.sentence == "allow published 8080/tcp" && other.to == (SERVER, 8080);
    let direct = path.sentence.starts_with("allow forward 80/tcp") && other.to == (CONTAINER, 80);
    published || direct
}

#[test]
fn docker_with_iptables() {
    closed_means_closed(BackEnd::Iptables, false);
}

#[test]
fn docker_with_iptables_and_its_proxy() {
    closed_means_closed(BackEnd::Iptables, true);
}

#[test]
fn docker_with_nftables() {
    closed_means_closed(BackEnd::Nftables, false);
}

#[test]
fn docker_with_nftables_and_its_proxy() {
    closed_means_closed(BackEnd::Nftables, true);
}

#[test]
fn podman_with_netavark() {
    closed_means_closed(BackEnd::Netavark, false);
}

#[test]
fn podman_with_netavark_and_its_sockets() {
    closed_means_closed(BackEnd::Netavark, true);
}
