//! Cost of a packet that a gateway passes on and translates, beside the same in nftables by hand; judges nothing.
//!
//! Three namespaces a peer: outside, the gateway, and somebody behind it. As with `packets`, the packet is delivered
//! before the call that sends it returns.

use super::space::{CLIENT, Pair, SERVER};
use super::{Bench, Outcome, peers, run_command, stats};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const INNER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Packets of one turn.
const TURN: u32 = 512;

const POLICY: &str = "masquerade from 10.0.0.0/24 on veth0
allow forward anything from 10.0.0.0/24 on veth1
publish 2222/udp to 10.0.0.5:22
allow published 2222/udp
redirect 80/udp to 8080
allow 80/udp
";

const BY_HAND: &str = "table inet gateway {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iif lo accept
		meta l4proto udp ct status dnat ct original proto-dst 80 accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iifname veth1 ip saddr 10.0.0.0/24 accept
		meta l4proto udp ct status dnat ct original proto-dst 2222 accept
	}
	chain output {
		type filter hook output priority filter; policy accept;
		ct state established,related accept
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local udp dport 2222 dnat ip to 10.0.0.5:22
		fib daddr type local udp dport 80 redirect to :8080
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.0.0.0/24 oifname veth0 masquerade
	}
}
";

/// A gateway, somebody outside, and somebody behind it.
struct Trio {
    name: &'static str,
    pair: Pair,
    inner: File,
    home: File,
    netns: String,
}

impl Trio {
    fn new(name: &'static str, tag: &str) -> Outcome<Trio> {
        let pair = Pair::new(tag)?;
        let (pid, netns) = (std::process::id(), format!("dwb{}-{tag}-i", std::process::id()));
        let gateway = format!("dwb{pid}-{tag}-s");
        let script = format!(
            "set -e
ip netns add {netns}
ip -n {gateway} link add veth1 address 02:00:00:00:00:03 type veth peer name veth0 netns {netns} address 02:00:00:00:00:04
ip -n {gateway} addr add {GATEWAY}/24 dev veth1; ip -n {netns} addr add {INNER}/24 dev veth0
ip -n {gateway} link set veth1 up; ip -n {netns} link set lo up; ip -n {netns} link set veth0 up
ip -n {netns} route add default via {GATEWAY}
ip netns exec {gateway} sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.veth1.rp_filter=0
ip -n {gateway} neigh replace {INNER} lladdr 02:00:00:00:00:04 dev veth1
ip -n {netns} neigh replace {GATEWAY} lladdr 02:00:00:00:00:03 dev veth0"
        );
        run_command(Command::new("sh").args(["-c", &script]))?;
        let open = |path: &str| File::open(path).map_err(|e| format!("{path}: {e}"));
        let inner = open(&format!("/run/netns/{netns}"))?;
        Ok(Trio { name, pair, inner, home: open("/proc/self/ns/net")?, netns })
    }

    fn in_inner<T>(&self, job: impl FnOnce() -> T) -> Outcome<T> {
        let enter = |to: &File| setns(to, CloneFlags::CLONE_NEWNET).map_err(|e| format!("setns: {e}"));
        enter(&self.inner)?;
        let done = job();
        enter(&self.home)?;
        Ok(done)
    }
}

impl Drop for Trio {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.netns]).output();
    }
}

/// The ways through a gateway.
const WAYS: [(&str, Way); 3] = [
    ("passed on and masqueraded", Way::Masquerade),
    ("published: passed on and led elsewhere", Way::Publish),
    ("redirected to another port of the gateway", Way::Redirect),
];

#[derive(Clone, Copy)]
enum Way {
    Masquerade,
    Publish,
    Redirect,
}

/// Both, one beside the other.
pub(super) fn side_by_side(bench: &Bench) -> Outcome<()> {
    let by_hand = Trio::new("nft by hand", "gwnft")?;
    let file = bench.write("gateway.nft", BY_HAND)?;
    run_command(by_hand.pair.on_server(Path::new("nft")).arg("-f").arg(file))?;
    let ours = Trio::new("doorward", "gwdw")?;
    peers::apply(bench, &ours.pair, &bench.write("gateway.dw", POLICY)?)?;
    let rounds = bench.rounds(200);
    for (words, way) in WAYS {
        let trios = [&by_hand, &ours];
        let flows: Vec<UdpSocket> = trios.iter().map(|trio| flow(trio, way)).collect::<Outcome<_>>()?;
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..=(rounds + rounds / 10) {
            for (socket, times) in flows.iter().zip(&mut times) {
                let cost = turn(socket);
                // The first rounds warm up.
                if round > rounds / 10 {
                    times.push(cost);
                }
            }
        }
        println!(
            "\npacket of an established connection, {words}: ns, median (10-90 %) of {rounds} alternated rounds"
        );
        for (trio, cost) in trios.iter().zip(&times) {
            let ratio = stats::ratios(cost, &times[0]);
            println!("{:32} {:>24} {:>22}", trio.name, stats::spread(cost, 0), stats::spread(&ratio, 3));
        }
    }
    Ok(())
}

fn turn(socket: &UdpSocket) -> f64 {
    let start = Instant::now();
    let sent = (0..TURN).filter(|_| socket.send(b"doorward: established").is_ok()).count();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred packets")]
    let cost = start.elapsed().as_nanos() as f64 / sent.max(1) as f64;
    cost
}

/// A flow that both ends have spoken in; whoever gets it saw what the gateway makes of it.
fn flow(trio: &Trio, way: Way) -> Outcome<UdpSocket> {
    let fail = |what: &str, e: std::io::Error| format!("{}: {what}: {e}", trio.name);
    let bind = |addr: Ipv4Addr, port: u16| UdpSocket::bind((addr, port));
    let (server, client, to) = match way {
        Way::Masquerade => {
            let server = trio.pair.in_client(|| bind(CLIENT, 53))?;
            (server, trio.in_inner(|| bind(INNER, 0))?, SocketAddr::from((CLIENT, 53)))
        }
        Way::Publish => {
            let server = trio.in_inner(|| bind(INNER, 22))?;
            (server, trio.pair.in_client(|| bind(CLIENT, 0))?, SocketAddr::from((SERVER, 2222)))
        }
        Way::Redirect => {
            let server = trio.pair.in_server(|| bind(SERVER, 8080))?;
            (server, trio.pair.in_client(|| bind(CLIENT, 0))?, SocketAddr::from((SERVER, 80)))
        }
    };
    let (server, client) = (server.map_err(|e| fail("bind", e))?, client.map_err(|e| fail("bind", e))?);
    let talk = || -> std::io::Result<IpAddr> {
        client.connect(to)?;
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        }
        let mut buffer = [0; 64];
        let mut seen = IpAddr::from(CLIENT);
        for _ in 0..3 {
            client.send(b"doorward")?;
            let (len, from) = server.recv_from(&mut buffer)?;
            server.send_to(&buffer[..len], from)?;
            client.recv(&mut buffer)?;
            seen = from.ip();
        }
        Ok(seen)
    };
    let seen = talk().map_err(|e| fail("the flow was not let through", e))?;
    if matches!(way, Way::Masquerade) && seen != IpAddr::from(SERVER) {
        return Err(format!("{}: {seen} was seen, not the gateway", trio.name));
    }
    // The receiver fills its buffer and drops the rest behind the firewall: the same work for all.
    std::mem::forget(server);
    Ok(client)
}
