//! Cost of a packet: sent into a veth, it is received, judged and delivered or dropped on the sender's CPU before
//! the call returns, so the time of the call is the cost, and the firewall's share is the difference to none.

use super::peers::{self, Peer};
use super::space::{CLIENT, SERVER};
use super::{Bench, Outcome, policy, stats};
use nix::sys::socket::{
    AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockProtocol, SockType, SockaddrIn, sendmmsg, socket,
};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Packets of one call.
const BATCH: usize = 64;
/// Calls of one turn; a turn stays below a millisecond or two.
const CALLS: usize = 8;
/// A port that every policy here opens, and one that none does.
const OPEN: u16 = 53;
const CLOSED: u16 = 9999;

/// What is sent.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Packets of one established UDP flow.
    Established,
    /// UDP to a closed port, each from another source.
    Udp,
    /// TCP SYN to a closed port, each from another source.
    Syn,
}

/// The policy of the classic script.
pub(super) fn services(bench: &Bench) -> Outcome<()> {
    let mut all = vec![
        peers::none()?,
        peers::iptables(bench, "classic script (iptables-nft)", "ipt", 0)?,
        peers::nft(bench, "nft by hand", "nft", 0)?,
        peers::doorward(bench, "doorward vps.dw", "vps", &bench.vps)?,
    ];
    all.extend(peers::ufw(bench)?);
    table(bench, "packet of an established connection, 15 services", Kind::Established, &all, 1)?;
    table(bench, "new UDP packet to a closed port, 15 services", Kind::Udp, &all, 1)?;
    table(bench, "TCP SYN to a closed port, 15 services", Kind::Syn, &all, 1)
}

/// The large policy at 10 and at 10,000.
pub(super) fn scale(bench: &Bench) -> Outcome<()> {
    let few = bench.write("policy-10.dw", &policy::doorward(10))?;
    let many = bench.write("policy-10000.dw", &policy::doorward(10_000))?;
    let all = vec![
        peers::doorward(bench, "doorward 10", "dw10", &few)?,
        peers::doorward(bench, "doorward 10,000", "dw10k", &many)?,
        peers::iptables(bench, "iptables-nft 10", "ipt10", 10)?,
        peers::iptables(bench, "iptables-nft 10,000", "ipt10k", 10_000)?,
        peers::nft(bench, "nft by hand 10", "nft10", 10)?,
        peers::nft(bench, "nft by hand 10,000", "nft10k", 10_000)?,
        peers::none()?,
    ];
    table(bench, "new UDP packet that matches nothing, large policies", Kind::Udp, &all, 0)?;
    table(bench, "TCP SYN that matches nothing, large policies", Kind::Syn, &all, 0)?;
    table(bench, "packet of an established connection, large policies", Kind::Established, &all, 0)
}

/// Visits all peers in turn, many times, and prints medians, spread and the ratio to one of them.
fn table(bench: &Bench, title: &str, kind: Kind, peers: &[Peer], base: usize) -> Outcome<()> {
    let rounds = bench.rounds(200);
    let senders: Vec<Sender> = peers.iter().map(|peer| Sender::open(peer, kind)).collect::<Outcome<_>>()?;
    let mut times = vec![Vec::new(); peers.len()];
    for round in 0..=(rounds + rounds / 10) {
        for (sender, times) in senders.iter().zip(&mut times) {
            let cost = sender.turn()?;
            // The first rounds warm up.
            if round > rounds / 10 {
                times.push(cost);
            }
        }
    }
    println!("\n{title}: ns a packet, median (10-90 %) of {rounds} alternated rounds");
    println!(
        "{:32} {:>24} {:>22}",
        "",
        "ns",
        format!("ratio to {}", peers[base].name.split(' ').next().unwrap_or(""))
    );
    for (peer, cost) in peers.iter().zip(&times) {
        let ratio = stats::ratios(cost, &times[base]);
        println!("{:32} {:>24} {:>22}", peer.name, stats::spread(cost, 0), stats::spread(&ratio, 3));
    }
    Ok(())
}

/// A way to send to one peer.
enum Sender {
    Flow(UdpSocket),
    Raw { socket: OwnedFd, packets: Vec<Vec<u8>> },
}

impl Sender {
    fn open(peer: &Peer, kind: Kind) -> Outcome<Sender> {
        let pair = &peer.pair;
        let fail = |what: &str, e: std::io::Error| format!("{}: {what}: {e}", peer.name);
        if kind == Kind::Established {
            let server = pair.in_server(|| UdpSocket::bind((SERVER, OPEN)))?.map_err(|e| fail("bind", e))?;
            let client = pair.in_client(|| UdpSocket::bind((CLIENT, 0)))?.map_err(|e| fail("bind", e))?;
            let flow = || -> std::io::Result<()> {
                client.connect((SERVER, OPEN))?;
                for socket in [&client, &server] {
                    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
                }
                let mut buffer = [0; 64];
                for _ in 0..3 {
                    client.send(b"doorward")?;
                    let (len, from) = server.recv_from(&mut buffer)?;
                    server.send_to(&buffer[..len], from)?;
                    client.recv(&mut buffer)?;
                }
                Ok(())
            };
            flow().map_err(|e| fail("the flow was not let through", e))?;
            // The receiver fills its buffer and drops the rest behind the firewall: the same work for all.
            std::mem::forget(server);
            return Ok(Sender::Flow(client));
        }
        let raw = pair
            .in_client(|| socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Raw))?
            .map_err(|e| format!("{}: raw socket: {e}", peer.name))?;
        if kind == Kind::Udp {
            // Where nothing is blocked the packet ends in a socket, not in an ICMP error.
            let sink = pair.in_server(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, CLOSED)))?;
            std::mem::forget(sink.map_err(|e| fail("bind", e))?);
        }
        let packets = (0..BATCH * CALLS * 4).map(|number| packet(kind, number)).collect();
        Ok(Sender::Raw { socket: raw, packets })
    }

    /// Sends one turn and yields nanoseconds a packet.
    fn turn(&self) -> Outcome<f64> {
        let start = Instant::now();
        let mut sent = 0usize;
        match self {
            Sender::Flow(socket) => {
                for _ in 0..BATCH * CALLS {
                    sent += usize::from(socket.send(b"doorward: established").is_ok());
                }
            }
            Sender::Raw { socket, packets } => {
                let to = SockaddrIn::from(SocketAddrV4::new(SERVER, 0));
                for batch in packets.chunks(BATCH).take(CALLS) {
                    let slices: Vec<[IoSlice<'_>; 1]> = batch.iter().map(|p| [IoSlice::new(p)]).collect();
                    let mut headers = MultiHeaders::preallocate(BATCH, None);
                    let addrs = vec![Some(to); batch.len()];
                    sent += sendmmsg(socket.as_raw_fd(), &mut headers, &slices, addrs, [], MsgFlags::empty())
                        .map_err(|e| format!("sendmmsg: {e}"))?
                        .count();
                }
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a few hundred packets")]
        let cost = start.elapsed().as_nanos() as f64 / sent.max(1) as f64;
        Ok(cost)
    }
}

/// An IPv4 packet from a source of 198.18.0.0/15 that is another for each number.
fn packet(kind: Kind, number: usize) -> Vec<u8> {
    let source = 0xc612_0000 | (u32::try_from(number).unwrap_or(0).wrapping_mul(2_654_435_761) >> 15);
    let port = 1024 + u16::try_from(number % 50_000).unwrap_or(0);
    let mut l4 = Vec::new();
    l4.extend(port.to_be_bytes());
    l4.extend(CLOSED.to_be_bytes());
    let proto = if kind == Kind::Syn {
        l4.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0, 0, 0, 0, 0]);
        6
    } else {
        l4.extend([0, 26, 0, 0]);
        l4.extend([0; 18]);
        17
    };
    let len = u16::try_from(20 + l4.len()).unwrap_or(0);
    let mut ip = vec![0x45, 0];
    ip.extend(len.to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, proto, 0, 0]);
    ip.extend(source.to_be_bytes());
    ip.extend(SERVER.octets());
    if proto == 6 {
        let mut pseudo = ip[12..].to_vec();
        pseudo.extend([0, proto, 0, 20]);
        pseudo.extend(&l4);
        let sum = checksum(&pseudo);
        l4[16..18].copy_from_slice(&sum.to_be_bytes());
    }
    ip.extend(l4);
    ip
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}
