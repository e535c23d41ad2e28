//! Connection tracking between two namespaces: what the kernel tracks is found, marked, listed and deleted.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use common::{fresh, load, skip};
use doorward::net::Proto;
use doorward_kernel::conntrack::{
    Change, Conntrack, ConntrackWriter, Detail, Entry, TcpState, Tuple, Walk, Which, Zone, ZoneDir, status,
};
use doorward_kernel::link::Links;
use doorward_kernel::netns::OwnNetNs;
use doorward_kernel::{Guard, KernelError};

/// The far end's addresses.
const FAR: [&str; 2] = ["192.0.2.2", "2001:db8::2"];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A namespace outside and one inside, in which this thread is then.
fn pair() -> (OwnNetNs, OwnNetNs) {
    let (outside, _) = fresh();
    let far = Links::open().unwrap();
    let (inside, _) = fresh();
    let near = Links::open().unwrap();
    near.add_veth("in0", "out0", outside.namespace()).unwrap();
    for (links, name, four, six) in
        [(&near, "in0", "192.0.2.1", "2001:db8::1"), (&far, "out0", FAR[0], FAR[1])]
    {
        let link = links.link(name).unwrap().unwrap();
        links.set_up(links.link("lo").unwrap().unwrap().index).unwrap();
        links.set_up(link.index).unwrap();
        links.add_address(link.index, ip(four), 24).unwrap();
        links.add_address(link.index, ip(six), 64).unwrap();
    }
    (outside, inside)
}

fn writer(own: &OwnNetNs) -> ConntrackWriter {
    ConntrackWriter::open(Guard::for_own_namespace(own).unwrap()).unwrap()
}

/// A TCP connection and a UDP flow that were answered, from inside to outside.
struct Flows {
    tcp: (TcpStream, TcpStream),
    udp: (UdpSocket, UdpSocket),
}

impl Flows {
    fn open(outside: &OwnNetNs, inside: &OwnNetNs, far: &str, door: u16) -> Flows {
        outside.namespace().enter().unwrap();
        let at = |port| SocketAddr::new(ip(far), port);
        let listener = TcpListener::bind(at(4000)).unwrap();
        let answerer = UdpSocket::bind(at(5000)).unwrap();
        inside.namespace().enter().unwrap();
        let mut client = TcpStream::connect(at(door)).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0]).unwrap();
        let asker = UdpSocket::bind(SocketAddr::new(client.local_addr().unwrap().ip(), 0)).unwrap();
        asker.connect(at(5000)).unwrap();
        asker.send(b"x").unwrap();
        let (_, from) = answerer.recv_from(&mut [0]).unwrap();
        answerer.send_to(b"y", from).unwrap();
        asker.recv(&mut [0]).unwrap();
        Flows { tcp: (client, server), udp: (asker, answerer) }
    }

    fn tuples(&self) -> [Tuple; 2] {
        let (tcp, udp) = (&self.tcp.0, &self.udp.0);
        [
            Tuple::tcp(tcp.local_addr().unwrap(), tcp.peer_addr().unwrap()),
            Tuple::udp(udp.local_addr().unwrap(), udp.peer_addr().unwrap()),
        ]
    }
}

fn reversed(tuple: &Tuple) -> Tuple {
    let detail = match tuple.detail {
        Detail::Ports { source, destination } => Detail::Ports { source: destination, destination: source },
        other => other,
    };
    Tuple { source: tuple.destination, destination: tuple.source, detail, ..*tuple }
}

fn originals(mut list: Vec<Entry>) -> Vec<Tuple> {
    list.sort_by_key(|entry| entry.original);
    list.into_iter().map(|entry| entry.original).collect()
}

#[test]
fn entries_are_found_marked_and_deleted_one_by_one() {
    if skip::without_root() {
        return;
    }
    let (outside, inside) = pair();
    load("table inet t {\nchain c {\ntype filter hook output priority 0;\nct state new counter\n}\n}\n");
    let flows = FAR.map(|far| Flows::open(&outside, &inside, far, 4000));
    let tuples: Vec<Tuple> = flows.iter().flat_map(Flows::tuples).collect();
    let (conntrack, writer) = (Conntrack::open().unwrap(), writer(&inside));

    let mut all = tuples.clone();
    all.sort();
    let tracked = |list: Vec<Entry>| {
        let mut list = originals(list);
        // Neighbour discovery and the like are not of interest here.
        list.retain(|tuple| !tuple.proto.is_icmp());
        list
    };
    assert_eq!(tracked(conntrack.list(Which::All).unwrap()), all);
    for tuple in &tuples {
        let entry = conntrack.find(tuple, None).unwrap().unwrap();
        assert_eq!(entry.original, *tuple);
        assert_eq!(entry.reply, reversed(tuple));
        assert_eq!(conntrack.find(&reversed(tuple), None).unwrap().unwrap().id, entry.id);
        assert_eq!(entry.status & status::SEEN_REPLY, status::SEEN_REPLY);
        assert!(!entry.is_dst_nat() && entry.timeout > Some(0) && entry.zone.is_none(), "{entry:?}");
        assert_eq!(entry.tcp, (tuple.proto == Proto::TCP).then_some(TcpState::Established));
    }
    let far = Tuple { source: ip("192.0.2.77"), ..tuples[0] };
    assert_eq!(conntrack.find(&far, None).unwrap(), None);

    // Bits outside the mask stay, and do not count.
    let entry = |at: usize| conntrack.find(&tuples[at], None).unwrap().unwrap();
    assert_eq!(writer.set_mark(&entry(0), 0x0000_00aa, u32::MAX).unwrap(), Change::Made);
    assert_eq!(writer.set_mark(&entry(0), 0xff00_0000, 0x0500_0000).unwrap(), Change::Made);
    assert_eq!(writer.set_mark(&entry(3), 0x0500_0001, 0x7f00_0001).unwrap(), Change::Made);
    assert_eq!((entry(0).mark, entry(3).mark), (0x0500_00aa, 0x0500_0001));
    let marked = |value, mask| tracked(conntrack.list(Which::Marked { value, mask }).unwrap());
    let mut both = vec![tuples[0], tuples[3]];
    both.sort();
    assert_eq!(marked(0x8500_0000, 0x7f00_0000), both);
    assert_eq!(marked(0x0500_0001, u32::MAX), [tuples[3]]);
    assert_eq!(marked(0, 0x7f00_0000).len(), 2);
    assert_eq!(writer.set_mark(&entry(0), 0, 0x7f00_0000).unwrap(), Change::Made);
    assert_eq!(entry(0).mark, 0xaa);
    assert_eq!(marked(0x0500_0000, 0x7f00_0000), [tuples[3]]);

    // Another number is another entry, whatever its tuple.
    let third = entry(2);
    let newer = Entry { id: third.id ^ 1, ..third.clone() };
    assert_eq!(writer.delete(&newer).unwrap(), Change::Gone);
    assert_eq!(entry(2), Entry { timeout: entry(2).timeout, ..third.clone() });
    assert_eq!(writer.delete(&third).unwrap(), Change::Made);
    assert_eq!(writer.delete(&third).unwrap(), Change::Gone);
    assert_eq!(writer.set_mark(&third, 1, 1).unwrap(), Change::Gone);
    let mut rest = tuples.clone();
    rest.remove(2);
    rest.sort();
    assert_eq!(tracked(conntrack.list(Which::All).unwrap()), rest);
}

#[test]
fn translation_zones_and_pings_show() {
    if skip::without_root() {
        return;
    }
    let (outside, inside) = pair();
    load(
        "table inet t {
            chain zones {
                type filter hook output priority -300;
                udp dport 5000 ct zone set 7
            }
            chain replies {
                type filter hook prerouting priority -300;
                udp sport 5000 ct zone set 7
            }
            chain nat {
                type nat hook output priority -100;
                ip daddr 192.0.2.2 tcp dport 4999 dnat ip to 192.0.2.2:4000
            }
        }\n",
    );
    let flows = Flows::open(&outside, &inside, FAR[0], 4999);
    let [tcp, udp] = flows.tuples();
    let (conntrack, writer) = (Conntrack::open().unwrap(), writer(&inside));

    let entry = conntrack.find(&tcp, None).unwrap().unwrap();
    assert!(entry.is_dst_nat());
    assert!(matches!(entry.original.detail, Detail::Ports { destination: 4999, .. }));
    assert!(matches!(entry.reply.detail, Detail::Ports { source: 4000, .. }));
    assert_eq!(conntrack.find(&entry.reply, None).unwrap().unwrap().id, entry.id);

    let zone = Some(Zone { id: 7, dir: ZoneDir::Both });
    assert_eq!(conntrack.find(&udp, None).unwrap(), None);
    let entry = conntrack.find(&udp, zone).unwrap().unwrap();
    assert_eq!(entry.zone, zone);
    assert_eq!(writer.set_mark(&entry, 3, 3).unwrap(), Change::Made);
    assert_eq!(conntrack.list(Which::Marked { value: 3, mask: 3 }).unwrap()[0].zone, zone);
    assert_eq!(writer.delete(&entry).unwrap(), Change::Made);
    assert_eq!(conntrack.find(&udp, zone).unwrap(), None);

    for far in FAR {
        let _ = Command::new("ping").args(["-c1", "-W2", far]).output();
    }
    let questions = conntrack.list(Which::All).unwrap();
    for (proto, kind) in [(Proto::ICMP, 8), (Proto::ICMPV6, 128)] {
        let asked = questions.iter().find(|entry| {
            entry.original.proto == proto
                && matches!(entry.original.detail, Detail::Icmp { kind: k, code: 0, .. } if k == kind)
        });
        let asked = asked.unwrap_or_else(|| panic!("no {proto} in {questions:?}"));
        assert_eq!(conntrack.find(&asked.original, None).unwrap().unwrap().id, asked.id);
        assert_eq!(writer.delete(asked).unwrap(), Change::Made);
    }
}

#[test]
fn a_hundred_thousand_entries_are_walked_without_being_kept() {
    const MANY: u32 = 100_000;
    if skip::without_root() {
        return;
    }
    let (own, _) = fresh();
    let links = Links::open().unwrap();
    links.set_up(links.link("lo").unwrap().unwrap().index).unwrap();
    load("table inet t {\nchain c {\ntype filter hook input priority 0;\nct mark 1 accept\ndrop\n}\n}\n");
    let socket = UdpSocket::bind("127.0.0.1:7000").unwrap();
    for n in 0..MANY {
        let [_, a, b, c] = n.to_be_bytes();
        socket.send_to(b"", (IpAddr::from([127, 1 + a, b, c]), 9)).unwrap();
    }
    let conntrack = Conntrack::open().unwrap();
    let mut seen = 0;
    let walk = conntrack.walk(Which::All, |_| seen += 1).unwrap();
    assert_eq!((walk, seen), (Walk::Whole, MANY));
    let entry = conntrack.list(Which::All).unwrap().swap_remove(70_000);
    let writer = writer(&own);
    assert_eq!(writer.set_mark(&entry, 1, 1).unwrap(), Change::Made);
    let marked = conntrack.list(Which::Marked { value: 1, mask: 1 }).unwrap();
    assert_eq!(originals(marked), [entry.original]);
}

#[test]
fn who_went_elsewhere_may_not_write() {
    if skip::without_root() {
        return;
    }
    let (own, _) = fresh();
    let guard = Guard::for_own_namespace(&own).unwrap();
    let _other = fresh();
    assert_eq!(ConntrackWriter::open(guard).err(), Some(KernelError::Moved));
}
