//! Packets that no honest host sends, built by hand and put on the wire: what a policy shuts stays shut to them, and
//! what it opens still works. Each has a control without a policy. Rows 31, 32, 34 to 37 and 41 of the promises.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod common;

use common::{HOST4, HOST6, Pair, policy, received, rule};
use doorward::net::{PortRange, Proto};
use doorward::resolve::model::{Traffic, Verdict};
use nix::sys::socket::{self, AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const OPEN: u16 = 8080;
/// Somebody listens there, and the policy keeps others out.
const SHUT: u16 = 3306;
/// Nobody listens there.
const EMPTY: u16 = 9999;
const PEER4: &str = "203.0.113.77";
const PEER6: &str = "2001:db8::77";
/// So long a kernel may take to answer.
const PATIENCE: Duration = Duration::from_millis(120);

/// A header of options for the destination.
const OPTIONS: u8 = 60;
const TCP: u8 = 6;
const UDP: u8 = 17;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
const URG: u8 = 32;

/// The cable, from the outside.
struct Wire {
    pair: Pair,
    socket: OwnedFd,
    here: [u8; 6],
    there: [u8; 6],
}

impl Wire {
    fn new() -> Option<Wire> {
        let pair = Pair::new()?;
        let there = pair.on_host(link_address).addr().unwrap();
        let link = link_address();
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket =
            socket::socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
        socket::bind(socket.as_raw_fd(), &link).unwrap();
        Some(Wire { pair, socket, here: link.addr().unwrap(), there })
    }

    /// Has the kernel of the host let pass what it drops by itself: then only the policy is left.
    fn careless(&self) {
        self.pair.on_host(|| {
            for name in ["all", "veth0"] {
                for (what, value) in [("route_localnet", "1"), ("accept_local", "1"), ("rp_filter", "0")] {
                    fs::write(format!("/proc/sys/net/ipv4/conf/{name}/{what}"), value).unwrap();
                }
            }
        });
    }

    /// Lets in what is for the open port.
    fn guard(&self) {
        let open = [Proto::TCP, Proto::UDP].map(|proto| Traffic::Ports(proto, PortRange::one(OPEN)));
        self.pair.load(&policy(vec![rule(1, Verdict::Allow, open.to_vec())]));
    }

    fn send(&self, packet: &[u8]) {
        let kind: [u8; 2] = if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] };
        let frame = [&self.there[..], &self.here, &kind, packet].concat();
        assert_eq!(socket::send(self.socket.as_raw_fd(), &frame, MsgFlags::empty()), Ok(frame.len()));
    }

    /// How many of these get an answer of any kind.
    fn answered(&self, packets: &[Vec<Vec<u8>>]) -> usize {
        self.count(packets, is_answer)
    }

    /// How many of these are taken for the beginning of a connection.
    fn welcomed(&self, packets: &[Vec<Vec<u8>>]) -> usize {
        self.count(packets, is_welcome)
    }

    fn count(&self, packets: &[Vec<Vec<u8>>], wanted: fn(&[u8]) -> bool) -> usize {
        let alone = |packets: &&Vec<Vec<u8>>| {
            while socket::recv(self.socket.as_raw_fd(), &mut [0; 2048], MsgFlags::empty()).is_ok() {}
            for packet in *packets {
                self.send(packet);
            }
            self.hears(wanted)
        };
        packets.iter().filter(alone).count()
    }

    fn hears(&self, wanted: fn(&[u8]) -> bool) -> bool {
        let end = Instant::now() + PATIENCE;
        let mut frame = [0; 2048];
        while Instant::now() < end {
            match socket::recv(self.socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
                Ok(length) if frame[6..12] == self.there && wanted(&frame[12..length]) => return true,
                Ok(_) => {}
                Err(_) => std::thread::sleep(Duration::from_millis(2)),
            }
        }
        false
    }
}

/// Whether it is no chatter of neighbours and groups.
fn is_answer(packet: &[u8]) -> bool {
    match packet {
        [0x08, 0x00, ip @ ..] => ip[9] != 2,
        // What speaks to a group carries an option before it.
        [0x86, 0xdd, ip @ ..] => ip[6] != 0 && !(ip[6] == 58 && (130..=143).contains(&ip[40])),
        _ => false,
    }
}

fn is_welcome(packet: &[u8]) -> bool {
    match packet {
        [0x08, 0x00, ip @ ..] => ip[9] == TCP && ip[33] & (SYN | ACK) == SYN | ACK,
        [0x86, 0xdd, ip @ ..] => ip[6] == TCP && ip[53] & (SYN | ACK) == SYN | ACK,
        _ => false,
    }
}

/// Whether the port that nobody may come to says something.
fn is_of_shut(packet: &[u8]) -> bool {
    let ports = match packet {
        [0x08, 0x00, ip @ ..] if ip[9] == TCP => &ip[20..],
        [0x86, 0xdd, ip @ ..] if ip[6] == TCP => &ip[40..],
        _ => return false,
    };
    ports[..2] == SHUT.to_be_bytes()
}

fn link_address() -> LinkAddr {
    let of = |one: nix::ifaddrs::InterfaceAddress| {
        (one.interface_name == "veth0").then(|| one.address?.as_link_addr().copied()).flatten()
    };
    nix::ifaddrs::getifaddrs().unwrap().find_map(of).expect("the end of the cable is here")
}

fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let bytes = parts.concat();
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

fn octets(addr: &str) -> Vec<u8> {
    match addr.parse().unwrap() {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

/// With the checksum that these addresses ask for.
fn summed(from: &str, to: &str, proto: u8, mut segment: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(segment.len()).unwrap().to_be_bytes();
    let at = if proto == TCP { 16 } else { 6 };
    let sum = checksum(&[&octets(from), &octets(to), &[0, proto], &length, &segment]);
    segment[at..at + 2].copy_from_slice(&sum);
    segment
}

/// A segment with its options: long enough to be cut into pieces.
fn tcp(from: &str, to: &str, ports: (u16, u16), flags: u8) -> Vec<u8> {
    let mut segment = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x80, flags, 0xff, 0, 0, 0, 0, 0]);
    segment.extend([2, 4, 5, 0xb4, 1, 1, 1, 1, 1, 1, 1, 1]);
    summed(from, to, TCP, segment)
}

fn udp(from: &str, to: &str, ports: (u16, u16)) -> Vec<u8> {
    let mut datagram = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
    datagram.extend([0, 12, 0, 0, b'd', b'o', b'o', b'r']);
    summed(from, to, UDP, datagram)
}

/// A packet of the family of its addresses.
fn ip(from: &str, to: &str, proto: u8, payload: &[u8]) -> Vec<u8> {
    if from.contains(':') {
        ip6(from, to, proto, payload)
    } else {
        ip4(from, to, proto, (0, 0, false), payload)
    }
}

/// A piece has an id, an offset in units of eight bytes, and says whether more come.
fn ip4(from: &str, to: &str, proto: u8, (id, offset, more): (u16, u16, bool), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let place = (offset | if more { 0x2000 } else { 0 }).to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1]];
    header.extend(id.to_be_bytes());
    header.extend(place);
    header.extend([64, proto, 0, 0]);
    header.extend(octets(from));
    header.extend(octets(to));
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum);
    [&header[..], payload].concat()
}

fn ip6(from: &str, to: &str, next: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, length[0], length[1], next, 64];
    header.extend(octets(from));
    header.extend(octets(to));
    [&header[..], payload].concat()
}

/// A header of options that do nothing, or of a kind that nobody knows.
fn padding(next: u8) -> Vec<u8> {
    vec![next, 0, 1, 4, 0, 0, 0, 0]
}

/// A piece of IPv6.
fn piece6(next: u8, (id, offset, more): (u16, u16, bool), payload: &[u8]) -> Vec<u8> {
    let place = (offset << 3 | u16::from(more)).to_be_bytes();
    let id = u32::from(id).to_be_bytes();
    [&[next, 0], &place[..], &id, payload].concat()
}

fn peers() -> [(&'static str, &'static str); 2] {
    [(PEER4, HOST4), (PEER6, HOST6)]
}

/// Addresses of the host itself never come in from outside.
#[test]
fn forged_addresses() {
    let Some(wire) = Wire::new() else { return };
    wire.careless();
    let server = wire.pair.listen_udp(OPEN);
    let loopback = [("127.0.0.1", HOST4), (PEER4, "127.0.0.1"), ("::1", HOST6), (PEER6, "::1")];
    let mapped = [("::ffff:203.0.113.77", HOST6), (PEER6, "::ffff:203.0.113.2")];
    let tries = |list: &[(&str, &str)]| {
        for (from, to) in list {
            wire.send(&ip(from, to, UDP, &udp(from, to, (40_000, OPEN))));
        }
        received(&server)
    };
    assert_eq!(tries(&loopback), 2, "a careless kernel takes both of IPv4, and none of IPv6");
    assert_eq!(tries(&peers()), 2);
    wire.guard();
    assert_eq!((tries(&loopback), tries(&mapped)), (0, 0));
    // As if it came from the host itself: whatever becomes of it, nobody outside hears an answer.
    let own: Vec<_> = [HOST4, HOST6]
        .iter()
        .map(|addr| vec![ip(addr, addr, TCP, &tcp(addr, addr, (OPEN, OPEN), SYN))])
        .collect();
    assert_eq!(wire.answered(&own), 0);
    assert_eq!(tries(&peers()), 2, "what is allowed still works");
}

/// A port does not hide in pieces: too small ones, overlapping ones, with headers before and after.
#[test]
fn pieces() {
    let Some(wire) = Wire::new() else { return };
    let _servers = [OPEN, SHUT].map(|port| wire.pair.listen(port));
    let mut id = 0;
    let mut source = 41_000;
    let mut cut = |port: u16| {
        let mut list = Vec::new();
        for (from, to) in peers() {
            let mut fresh = || {
                (id, source) = (id + 1, source + 1);
                (id, tcp(from, to, (source, port), SYN))
            };
            let piece = |id, offset: u16, more, bytes: &[u8]| match from {
                PEER4 => ip4(from, to, TCP, (id, offset, more), bytes),
                _ => ip6(from, to, 44, &piece6(TCP, (id, offset, more), bytes)),
            };
            // IPv4 takes a first piece without the flags; in IPv6 it has to have all headers (RFC 8200). And that one
            // comes last.
            let (words, at) = if from == PEER4 { (1, 8) } else { (3, 24) };
            for swapped in [false, true] {
                let (id, whole) = fresh();
                let mut pieces =
                    vec![piece(id, 0, true, &whole[..at]), piece(id, words, false, &whole[at..])];
                if swapped {
                    pieces.swap(0, 1);
                }
                list.push(pieces);
            }
            if from == PEER6 {
                // Options before the header of the piece, and behind it.
                let (id, whole) = fresh();
                let before = |bytes: &[u8], offset, more| {
                    [padding(44), piece6(TCP, (id, offset, more), bytes)].concat()
                };
                list.push(vec![
                    ip6(from, to, OPTIONS, &before(&whole[..24], 0, true)),
                    ip6(from, to, OPTIONS, &before(&whole[24..], 3, false)),
                ]);
                let (id, whole) = fresh();
                let behind = [padding(TCP), whole].concat();
                list.push(vec![
                    ip6(from, to, 44, &piece6(OPTIONS, (id, 0, true), &behind[..32])),
                    ip6(from, to, 44, &piece6(OPTIONS, (id, 4, false), &behind[32..])),
                ]);
            }
        }
        list
    };
    let all = cut(SHUT);
    assert_eq!(wire.welcomed(&all), all.len(), "without a policy each of them is put together and answered");
    wire.guard();
    assert_eq!(wire.answered(&cut(SHUT)), 0);
    // With connection tracking the kernel itself loses pieces with options before them, whatever the rules are.
    let lost = 1;
    assert_eq!(wire.welcomed(&cut(OPEN)), all.len() - lost, "the same for a port that is open");
    let tiny = tcp(PEER6, HOST6, (40_999, OPEN), SYN);
    let tiny = [(0, true, &tiny[..8]), (1, false, &tiny[8..])]
        .map(|(offset, more, bytes)| ip6(PEER6, HOST6, 44, &piece6(TCP, (900, offset, more), bytes)));
    assert_eq!(wire.answered(&[tiny.to_vec()]), 0, "a first piece without all headers is none");
    // One port in the first piece, another one written over it: whichever the kernel believes, it is judged by that.
    let mut over = Vec::new();
    for (from, to) in peers() {
        for (port, then) in [(OPEN, SHUT), (SHUT, OPEN)] {
            for (length, swapped) in [(24, false), (24, true), (16, false), (16, true)] {
                let id = 500 + u16::try_from(over.len()).unwrap();
                let [one, two] = [port, then].map(|port| tcp(from, to, (42_000 + id, port), SYN));
                let piece = |offset, more, bytes: &[u8]| match from {
                    PEER4 => ip4(from, to, TCP, (id, offset, more), bytes),
                    _ => ip6(from, to, 44, &piece6(TCP, (id, offset, more), bytes)),
                };
                let mut pieces = vec![piece(0, true, &one[..24]), piece(0, true, &two[..length])];
                if swapped {
                    pieces.swap(0, 1);
                }
                pieces.push(piece(3, false, &one[24..]));
                over.push(pieces);
            }
        }
    }
    assert_eq!(wire.count(&over, is_of_shut), 0, "pieces that contradict each other open nothing");
    println!("{} kinds of pieces, {} that overlap: nothing shut was answered", all.len(), over.len());
}

/// Headers between the address and the port do not hide the port.
#[test]
fn headers_before_the_port() {
    let Some(wire) = Wire::new() else { return };
    let _servers = [OPEN, SHUT].map(|port| wire.pair.listen(port));
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    let mut source = 43_000;
    let mut of = |chain: &[u8], port: u16| {
        source += 1;
        let mut rest = tcp(PEER6, HOST6, (source, port), SYN);
        let mut next = TCP;
        for kind in chain.iter().rev() {
            let header = if *kind == ROUTING { vec![next, 0, 0, 0, 0, 0, 0, 0] } else { padding(next) };
            rest = [header, rest].concat();
            next = *kind;
        }
        vec![ip6(PEER6, HOST6, next, &rest)]
    };
    let chains: [&[u8]; 4] =
        [&[HOP_BY_HOP], &[OPTIONS], &[HOP_BY_HOP, OPTIONS], &[OPTIONS, OPTIONS, OPTIONS]];
    let shut: Vec<_> = chains.iter().map(|chain| of(chain, SHUT)).collect();
    assert_eq!(wire.welcomed(&shut), chains.len(), "without a policy all are answered");
    // A route that the sender wishes, and a header that nobody knows.
    let odd = [of(&[ROUTING], OPEN), of(&[ROUTING, OPTIONS], OPEN), of(&[253], OPEN), of(&[253], SHUT)];
    wire.guard();
    let shut: Vec<_> = chains.iter().map(|chain| of(chain, SHUT)).collect();
    assert_eq!(wire.answered(&shut), 0);
    let open: Vec<_> = chains.iter().map(|chain| of(chain, OPEN)).collect();
    assert_eq!(wire.welcomed(&open), chains.len(), "what is open is open behind them, too");
    assert_eq!(wire.answered(&odd[2..]), 0);
    // The kernel itself refuses them, by an error that tells the sender so.
    assert_eq!(wire.welcomed(&odd[..2]), 0);
}

/// Combinations of flags that begin no connection.
#[test]
fn flags() {
    let Some(wire) = Wire::new() else { return };
    let _server = wire.pair.listen(OPEN);
    let combinations = [ACK, FIN, 0, FIN | PSH | URG, SYN | FIN, SYN | RST, SYN | ACK];
    let mut source = 44_000;
    let mut to_port = |port: u16, flags: &[u8]| {
        let mut list = Vec::new();
        for (from, to) in peers() {
            for flags in flags {
                source += 1;
                list.push(vec![ip(from, to, TCP, &tcp(from, to, (source, port), *flags))]);
            }
        }
        list
    };
    // A reset is never answered.
    assert_eq!(wire.answered(&to_port(EMPTY, &combinations)), 2 * (combinations.len() - 1));
    wire.guard();
    for port in [OPEN, EMPTY] {
        assert_eq!(wire.answered(&to_port(port, &combinations)), 0, "{port}");
    }
    assert_eq!(wire.welcomed(&to_port(OPEN, &[SYN])), 2, "what begins a connection is answered");
}

/// Names of neighbours, services of networks at home: nobody comes to them by default, alone or as a group.
#[test]
fn neighbourhood() {
    let Some(wire) = Wire::new() else { return };
    let groups =
        [(5353, "224.0.0.251"), (5355, "224.0.0.252"), (1900, "239.255.255.250"), (137, "203.0.113.255")];
    let servers: Vec<UdpSocket> = wire.pair.on_host(|| {
        let open = |(port, group): &(u16, &str)| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, *port)).unwrap();
            let group: Ipv4Addr = group.parse().unwrap();
            if group.is_multicast() {
                socket.join_multicast_v4(&group, &HOST4.parse().unwrap()).unwrap();
            }
            socket.set_nonblocking(true).unwrap();
            socket
        };
        groups.iter().map(open).collect()
    });
    let tries = || -> usize {
        for (port, group) in groups {
            for to in [HOST4, group] {
                wire.send(&ip(PEER4, to, UDP, &udp(PEER4, to, (port, port))));
            }
        }
        servers.iter().map(received).sum()
    };
    assert_eq!(tries(), 2 * groups.len(), "without a policy they hear everything");
    wire.guard();
    assert_eq!(tries(), 0);
}
