//! A block ends connections that are there, with servers that talk all the time; and never any other.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod tool;

use common::{HOST4, HOST6, Pair};
use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};
use tool::{Folder, Said};

/// So often a server talks.
const BEAT: Duration = Duration::from_millis(100);
/// Within this a connection must be over.
const SOON: Duration = Duration::from_secs(1);
const SSH: u16 = 2222;
const DATABASE: u16 = 3306;

/// The host, the outside, and policies.
struct Place {
    pair: Pair,
    folder: Folder,
}

impl Place {
    /// With this policy in force.
    fn new(policy: &str) -> Option<Place> {
        let place = Place { pair: Pair::new()?, folder: Folder::new() };
        place.run(&["apply", "--no-trial"], policy).well();
        Some(place)
    }

    /// A command about a policy.
    fn run(&self, args: &[&str], policy: &str) -> Said {
        self.folder.write("policy.dw", policy);
        let args: Vec<&str> = args.iter().copied().chain(["policy.dw"]).collect();
        self.pair.on_host(|| self.folder.run(args))
    }

    fn say(&self, args: &[&str]) -> Said {
        self.pair.on_host(|| self.folder.run(args))
    }
}

/// What a server or a client does until it fails or is told to stop.
struct Talk {
    stop: Arc<AtomicBool>,
    /// The last moment at which it did something, and the error that ended it.
    last: Arc<Mutex<(Instant, Option<std::io::Error>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Talk {
    fn of(mut job: impl FnMut() -> std::io::Result<()> + Send + 'static) -> Talk {
        let (stop, last) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new((Instant::now(), None))));
        let (stopped, noted) = (Arc::clone(&stop), Arc::clone(&last));
        let thread = spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                match job() {
                    Ok(()) => noted.lock().unwrap().0 = Instant::now(),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(error) => {
                        noted.lock().unwrap().1 = Some(error);
                        return;
                    }
                }
            }
        });
        Talk { stop, last, thread: Some(thread) }
    }

    fn last(&self) -> Instant {
        self.last.lock().unwrap().0
    }

    fn error(&self) -> Option<String> {
        self.last.lock().unwrap().1.as_ref().map(ToString::to_string)
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A connection whose server talks at each beat; the client listens.
struct Flow {
    server: Talk,
    client: Talk,
}

impl Flow {
    fn tcp(pair: &Pair, listener: &TcpListener, from: &str, to: &str) -> Flow {
        let port = listener.local_addr().unwrap().port();
        let (answer, client) = common::finish(common::start(from, (to, port)), Duration::from_secs(2));
        assert_eq!(answer, common::Answer::Open, "{from} {to} {port}");
        let server = loop {
            match listener.accept() {
                Ok((server, _)) => break server,
                Err(_) => sleep(Duration::from_millis(5)),
            }
        };
        let _ = pair;
        Flow { server: speaks(server), client: hears(client) }
    }

    /// Both ends with sockets of their own, connected.
    fn udp(pair: &Pair, from: &str, to: &str, port: u16) -> Flow {
        let server = pair.on_host(|| UdpSocket::bind((to, port)).unwrap());
        let client = UdpSocket::bind((from, 0)).unwrap();
        client.connect((to, port)).unwrap();
        client.send(b"hello").unwrap();
        let (_, peer) = server.recv_from(&mut [0; 8]).unwrap();
        server.connect(peer).unwrap();
        client.set_read_timeout(Some(BEAT)).unwrap();
        let server = Talk::of(move || {
            sleep(BEAT);
            server.send(b"x").map(|_| ())
        });
        Flow { server, client: Talk::of(move || client.recv(&mut [0; 8]).map(|_| ())) }
    }

    /// It goes on for longer than anything else may take.
    #[track_caller]
    fn goes_on(&self) {
        sleep(SOON / 2);
        assert!(
            self.client.last().elapsed() < SOON / 2,
            "{:?} {:?}",
            self.server.error(),
            self.client.error()
        );
    }

    /// It is over soon after this, for both.
    #[track_caller]
    fn ends(&self, since: Instant) {
        sleep((SOON + SOON / 2).saturating_sub(since.elapsed()));
        let heard = self.client.last().saturating_duration_since(since);
        assert!(heard < SOON, "heard until {heard:?} after the cut");
        assert!(self.client.last().elapsed() > BEAT * 3, "it is heard still");
    }

    /// The server is told, where the kernel can tell it.
    #[track_caller]
    fn server_is_told(&self, said: &Said) {
        if said.out.contains("this kernel cannot end their sockets") {
            return;
        }
        assert!(self.server.error().is_some(), "{said:#?}");
    }
}

fn speaks(mut server: TcpStream) -> Talk {
    server.set_nonblocking(false).unwrap();
    Talk::of(move || {
        sleep(BEAT);
        server.write_all(b"x")
    })
}

fn hears(mut client: TcpStream) -> Talk {
    client.set_nonblocking(false).unwrap();
    client.set_read_timeout(Some(BEAT)).unwrap();
    Talk::of(move || match client.read(&mut [0; 8])? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    })
}

const FAMILIES: [([&str; 2], &str, &str); 2] = [
    (["203.0.113.1", "203.0.113.77"], HOST4, "203.0.113.77"),
    (["2001:db8::1", "2001:db8::77"], HOST6, "2001:db8::77"),
];

#[test]
fn a_block_in_force_at_once() {
    let Some(place) = Place::new("allow 2222/tcp, 5300/udp\n") else { return };
    let listener = place.pair.listen(SSH);
    for ([good, bad], host, blocked) in FAMILIES {
        let other = Flow::tcp(&place.pair, &listener, good, host);
        let ended = Flow::tcp(&place.pair, &listener, bad, host);
        let datagrams = Flow::udp(&place.pair, bad, host, 5300);
        ended.goes_on();
        datagrams.goes_on();
        let began = Instant::now();
        let policy = format!("allow 2222/tcp, 5300/udp\nblock from {blocked}\n");
        let said = place.run(&["apply", "--no-trial"], &policy).well();
        assert!(said.out.contains("2 open connections that the policy shuts out ended"), "{}", said.out);
        ended.ends(began);
        datagrams.ends(began);
        ended.server_is_told(&said);
        other.goes_on();
        place.run(&["apply", "--no-trial"], "allow 2222/tcp, 5300/udp\n").well();
    }
}

/// Nothing is cut on trial, as that could not be taken back; all of it when it is kept.
#[test]
fn a_block_that_is_confirmed() {
    let Some(place) = Place::new("allow 2222/tcp\n") else { return };
    let listener = place.pair.listen(SSH);
    for ([good, bad], host, blocked) in FAMILIES {
        let other = Flow::tcp(&place.pair, &listener, good, host);
        let ended = Flow::tcp(&place.pair, &listener, bad, host);
        let policy = format!("allow 2222/tcp\nblock 2222/tcp from {blocked}\n");
        place.run(&["apply", "--detach"], &policy).well();
        ended.goes_on();
        let began = Instant::now();
        let said = place.say(&["confirm", "--here"]).well();
        ended.ends(began);
        ended.server_is_told(&said);
        other.goes_on();
        place.run(&["apply", "--no-trial"], "allow 2222/tcp\n").well();
    }
}

#[test]
fn who_is_trusted_is_never_cut() {
    let Some(place) = Place::new("allow 2222/tcp\n") else { return };
    let listener = place.pair.listen(SSH);
    let trusted = Flow::tcp(&place.pair, &listener, "203.0.113.77", HOST4);
    let ended = Flow::tcp(&place.pair, &listener, "203.0.113.78", HOST4);
    let policy = "allow 2222/tcp\ntrust 203.0.113.77\nblock from 203.0.113.64/26\n";
    let began = Instant::now();
    place.run(&["apply", "--no-trial"], policy).well();
    ended.ends(began);
    trusted.goes_on();
}

/// What the policy no longer allows goes on, unless it is to be cut.
#[test]
fn what_is_no_longer_allowed() {
    const BOTH: &str = "allow 2222/tcp, 3306/tcp\n";
    let Some(place) = Place::new(BOTH) else { return };
    let (ssh, database) = (place.pair.listen(SSH), place.pair.listen(DATABASE));
    for ([good, _], host, _) in FAMILIES {
        let stays = Flow::tcp(&place.pair, &ssh, good, host);
        let goes = Flow::tcp(&place.pair, &database, good, host);
        // What this host opened itself is the policy's business, too, and allowed.
        let outside = TcpListener::bind((good, 0)).unwrap();
        let door = outside.local_addr().unwrap();
        let own = place.pair.on_host(|| TcpStream::connect(door).unwrap());
        let own = Flow { server: speaks(own), client: hears(outside.accept().unwrap().0) };
        place.run(&["apply", "--no-trial"], "allow 2222/tcp\n").well();
        goes.goes_on();
        place.run(&["apply", "--no-trial"], BOTH).well();
        place.run(&["apply", "--detach", "--cut"], "allow 2222/tcp\n").well();
        goes.goes_on();
        let began = Instant::now();
        let said = place.say(&["confirm", "--here"]).well();
        assert!(said.out.contains("1 open connection that the policy shuts out ended"), "{}", said.out);
        goes.ends(began);
        goes.server_is_told(&said);
        stays.goes_on();
        own.goes_on();
        place.run(&["apply", "--no-trial"], BOTH).well();
    }
}

/// A server behind the host, on a port that the host publishes.
#[test]
fn a_published_connection() {
    let Some(place) = Place::new("allow published 8080/tcp\n") else { return };
    let pair = &place.pair;
    let _container = OwnNetNs::make().unwrap();
    let inner = Links::open().unwrap();
    inner.add_veth("eth0", "bridge0", pair.host.namespace()).unwrap();
    let up = |links: &Links, name: &str, addr: IpAddr| {
        let link = links.link(name).unwrap().unwrap();
        links.set_up(link.index).unwrap();
        links.add_address(link.index, addr, 24).unwrap();
    };
    up(&inner, "eth0", "172.17.0.2".parse().unwrap());
    let tool = |program: &str, args: &str| {
        assert!(Command::new(program).args(args.split(' ')).status().unwrap().success(), "{program} {args}");
    };
    tool("ip", "route add default via 172.17.0.1");
    let listener = TcpListener::bind("172.17.0.2:80").unwrap();
    listener.set_nonblocking(true).unwrap();
    pair.outside.namespace().enter().unwrap();
    pair.on_host(|| {
        up(&Links::open().unwrap(), "bridge0", "172.17.0.1".parse().unwrap());
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        tool("nft", "add table ip nat");
        tool("nft", "add chain ip nat pre { type nat hook prerouting priority dstnat ; }");
        tool("nft", "add rule ip nat pre tcp dport 8080 dnat to 172.17.0.2:80");
    });
    let flow = |from: &str| {
        let to: SocketAddr = "203.0.113.2:8080".parse().unwrap();
        let (answer, client) =
            common::finish(common::start(from, ("203.0.113.2", to.port())), Duration::from_secs(2));
        assert_eq!(answer, common::Answer::Open, "{from}");
        let server = loop {
            match listener.accept() {
                Ok((server, _)) => break server,
                Err(_) => sleep(Duration::from_millis(5)),
            }
        };
        Flow { server: speaks(server), client: hears(client) }
    };
    let (good, bad) = (flow("203.0.113.1"), flow("203.0.113.77"));
    bad.goes_on();
    let began = Instant::now();
    place.run(&["apply", "--no-trial"], "allow published 8080/tcp\nblock from 203.0.113.77\n").well();
    bad.ends(began);
    good.goes_on();
    // And by its published port alone.
    let began = Instant::now();
    place.run(&["apply", "--no-trial", "--cut"], "allow published 8080/tcp from 203.0.113.9\n").well();
    good.ends(began);
}
