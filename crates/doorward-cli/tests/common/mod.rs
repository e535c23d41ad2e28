//! Two hosts in namespaces of their own, joined by a cable: one with a firewall, one outside.

#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

#[path = "../../../../tests/support/skip.rs"]
pub(crate) mod skip;

use doorward::compile::{Options, Running, TABLE, compile, replace_with};
use doorward::report::Origin;
use doorward::resolve::model::{
    DefaultRule, Defaults, Limit, Peers, Resolved, Rule, Scope, Traffic, Verdict, Way,
};
use doorward::ruleset::{Table, TableFamily};
use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, Scope as Where, Socket};
use rustix::net::{AddressFamily, SocketType, sockopt};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Addresses of the host with the firewall.
pub const HOST4: &str = "203.0.113.2";
/// The same in IPv6.
pub const HOST6: &str = "2001:db8::2";

/// The two hosts. The thread that made them is in the outside one.
pub struct Pair {
    pub host: OwnNetNs,
    pub outside: OwnNetNs,
    pub socket: Socket,
}

impl Pair {
    /// Makes both; the outside one has several addresses in each family. None where tests need root and have not.
    pub fn new() -> Option<Pair> {
        if skip::without_root() {
            return None;
        }
        let make = || {
            OwnNetNs::make().unwrap_or_else(|error| {
                panic!("this test makes network namespaces ({error}): run it as root or under `unshare -Ur`")
            })
        };
        let host = make();
        let socket = Socket::open(Guard::for_own_namespace(&host).unwrap()).unwrap();
        let in_host = Links::open().unwrap();
        let outside = make();
        let in_outside = Links::open().unwrap();
        in_outside.add_veth("veth0", "veth0", host.namespace()).unwrap();
        for (links, addrs) in [
            (&in_host, vec![(HOST4, 24), (HOST6, 64)]),
            (
                &in_outside,
                vec![
                    ("203.0.113.1", 24),
                    ("203.0.113.77", 24),
                    ("203.0.113.78", 24),
                    ("2001:db8::1", 64),
                    ("2001:db8::77", 64),
                ],
            ),
        ] {
            for name in ["lo", "veth0"] {
                let index = links.link(name).unwrap().unwrap().index;
                links.set_up(index).unwrap();
                if name == "veth0" {
                    for (addr, len) in &addrs {
                        links.add_address(index, addr.parse().unwrap(), *len).unwrap();
                    }
                }
            }
        }
        let pair = Pair { host, outside, socket };
        // The first packets of a fresh link may get lost: go on when both families answer.
        for (from, to) in [("203.0.113.1", HOST4), ("2001:db8::1", HOST6)] {
            let up = (0..50).any(|_| connect(from, (to, 9)) == Answer::Refused);
            assert!(up, "the cable between two fresh namespaces carries nothing to {to}");
        }
        Some(pair)
    }

    /// Does something on the host with the firewall.
    pub fn on_host<T>(&self, job: impl FnOnce() -> T) -> T {
        self.host.namespace().enter().unwrap();
        let done = job();
        self.outside.namespace().enter().unwrap();
        done
    }

    /// Puts a policy in force.
    pub fn load(&self, policy: &Resolved) -> Table {
        self.load_with(policy, &[])
    }

    /// Puts a policy in force on a host with these connections (peer, host).
    pub fn load_with(&self, policy: &Resolved, carried: &[(SocketAddr, SocketAddr)]) -> Table {
        let scope = Where::Table(TableFamily::Inet, TABLE.to_owned());
        let before = self.socket.read_headers(&scope).unwrap().ruleset.tables;
        let running = before.first().map(Running::of).unwrap_or_default();
        let options = Options { generation: running.next_generation(), carried: carried.to_vec() };
        let table = compile(policy, &options);
        self.socket.commit(&replace_with(&running, table.clone()), None).unwrap();
        table
    }

    /// A TCP server on the host, on this port of all addresses.
    pub fn listen(&self, port: u16) -> TcpListener {
        self.on_host(|| {
            let listener = TcpListener::bind(("::", port)).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        })
    }

    /// A UDP server on the host.
    pub fn listen_udp(&self, port: u16) -> UdpSocket {
        self.on_host(|| {
            let socket = UdpSocket::bind(("::", port)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
    }
}

/// How a try to connect ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Open,
    Refused,
    Silence,
}

/// Starts a TCP connection from one of our addresses, without waiting.
pub fn start(from: &str, to: (&str, u16)) -> OwnedFd {
    let from: IpAddr = from.parse().unwrap();
    let to = SocketAddr::new(to.0.parse().unwrap(), to.1);
    let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    rustix::io::ioctl_fionbio(&socket, true).unwrap();
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => socket,
        Err(error) => panic!("connect: {error}"),
    }
}

/// Waits for the end of a try to connect.
pub fn finish(socket: OwnedFd, patience: Duration) -> (Answer, TcpStream) {
    let stream = TcpStream::from(socket);
    let end = Instant::now() + patience;
    loop {
        match stream.take_error().unwrap() {
            // Where rules change in between, what one of them let in the next one may reset.
            Some(error)
                if [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset].contains(&error.kind()) =>
            {
                return (Answer::Refused, stream);
            }
            Some(error) => panic!("connect: {error}"),
            None if stream.peer_addr().is_ok() => return (Answer::Open, stream),
            None if Instant::now() > end => return (Answer::Silence, stream),
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// Connects and says how it went; the connection is closed.
pub fn connect(from: &str, to: (&str, u16)) -> Answer {
    finish(start(from, to), Duration::from_millis(400)).0
}

/// Sends one datagram from a fresh port.
pub fn send_udp(from: &str, to: (&str, u16)) {
    let from: IpAddr = from.parse().unwrap();
    UdpSocket::bind((from, 0)).unwrap().send_to(b"hello", to).unwrap();
}

/// How many datagrams arrived by now.
pub fn received(socket: &UdpSocket) -> usize {
    std::thread::sleep(Duration::from_millis(30));
    std::iter::from_fn(|| socket.recv(&mut [0; 64]).ok()).count()
}

/// A policy of these rules with the usual defaults.
pub fn policy(rules: Vec<Rule>) -> Resolved {
    let default = |verdict| DefaultRule { verdict, origin: None };
    Resolved {
        rules,
        trust: Vec::new(),
        defaults: Defaults {
            r#in: default(Verdict::Block),
            out: default(Verdict::Allow),
            published: default(Verdict::Block),
            forward: default(Verdict::Block),
        },
        expects: Vec::new(),
        nat: Vec::new(),
        bridges: Vec::new(),
    }
}

/// A rule for what comes in, from anyone.
pub fn rule(line: u32, verdict: Verdict, traffic: Vec<Traffic>) -> Rule {
    Rule {
        origin: Origin {
            file: "policy.dw".into(),
            line,
            sentence: format!("{} line {line}", verdict.word()).into(),
        },
        verdict,
        ways: vec![Way::In],
        traffic,
        scope: Scope::default(),
        limit: None,
        passive: None,
        log: false,
    }
}

/// The same with a limit.
pub fn limited(mut rule: Rule, rate: u32, seconds: u32, burst: u32, per_source: bool) -> Rule {
    rule.limit = Some(Limit { rate, seconds, burst, per_source });
    rule
}

/// Peers that are these addresses only.
pub fn only(addrs: &[&str]) -> Peers {
    let prefixes = addrs.iter().map(|text| doorward::net::Prefix::parse(text).unwrap());
    Peers { only: Some(std::sync::Arc::new(doorward::net::AddrSet::new(prefixes, []))), except: None }
}
