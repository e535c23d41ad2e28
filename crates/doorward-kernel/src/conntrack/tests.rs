//! Entries are read as they are written, for any value; and no bytes make the reader panic.

use std::net::IpAddr;

use doorward::net::Proto;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::attributes::{NEW, cta, read_entry, write_tuple};
use super::{Detail, Entry, TcpState, Tuple, Zone, ZoneDir};
use crate::message::Messages;
use crate::wire::Writer;

fn detail() -> impl Strategy<Value = Detail> {
    prop_oneof![
        any::<[u16; 2]>().prop_map(|[source, destination]| Detail::Ports { source, destination }),
        (any::<u16>(), any::<[u8; 2]>()).prop_map(|(id, [kind, code])| Detail::Icmp { id, kind, code }),
        Just(Detail::None),
    ]
}

fn tuple() -> impl Strategy<Value = Tuple> {
    let pair = prop_oneof![
        any::<[[u8; 4]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
        any::<[[u8; 16]; 2]>().prop_map(|pair| pair.map(IpAddr::from)),
        // Addresses of IPv6 that look like IPv4 stay what they are.
        any::<[[u8; 4]; 2]>()
            .prop_map(|pair| pair.map(|four| std::net::Ipv4Addr::from(four).to_ipv6_mapped().into())),
    ];
    (pair, any::<u8>(), detail()).prop_map(|([source, destination], proto, detail)| Tuple {
        source,
        destination,
        proto: Proto(proto),
        detail,
    })
}

fn zone() -> impl Strategy<Value = Zone> {
    let dir = proptest::sample::select(vec![ZoneDir::Both, ZoneDir::Original, ZoneDir::Reply]);
    (any::<u16>(), dir).prop_map(|(id, dir)| Zone { id, dir })
}

fn tcp_state() -> impl Strategy<Value = (u8, TcpState)> {
    proptest::sample::select(vec![
        (0, TcpState::None),
        (1, TcpState::SynSent),
        (2, TcpState::SynRecv),
        (3, TcpState::Established),
        (4, TcpState::FinWait),
        (5, TcpState::CloseWait),
        (6, TcpState::LastAck),
        (7, TcpState::TimeWait),
        (8, TcpState::Close),
        (9, TcpState::SynSent2),
        (77, TcpState::Other(77)),
    ])
}

/// An entry, and its message as the kernel writes it.
fn told() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    (tuple(), tuple(), any::<[u32; 3]>(), option::of(zone()), any::<Option<u32>>(), option::of(tcp_state()))
        .prop_map(|(original, reply, [status, mark, id], zone, timeout, tcp)| {
            let within = |dir| zone.filter(|zone| zone.dir == dir).map(|zone| zone.id);
            let mut w = Writer::default();
            let open = w.begin(NEW, 2, 1);
            w.raw(&[2, 0, 0, 0]);
            write_tuple(&mut w, cta::TUPLE_ORIG, &original, within(ZoneDir::Original));
            write_tuple(&mut w, cta::TUPLE_REPLY, &reply, within(ZoneDir::Reply));
            if let Some(id) = within(ZoneDir::Both) {
                w.be16(cta::ZONE, id);
            }
            w.be32(cta::STATUS, status);
            if let Some(timeout) = timeout {
                w.be32(cta::TIMEOUT, timeout);
            }
            if let Some((number, _)) = tcp {
                w.nest(cta::PROTOINFO, |w| {
                    w.nest(cta::PROTOINFO_TCP, |w| w.u8(cta::TCP_STATE, number));
                });
            }
            // As the kernel does: no mark is no attribute.
            if mark != 0 {
                w.be32(cta::MARK, mark);
            }
            w.be32(cta::ID, id);
            // What this reader has no name for.
            w.nest(9, |w| w.be64(1, 7));
            w.end(open);
            let tcp = tcp.map(|(_, state)| state);
            (Entry { original, reply, status, mark, zone, timeout, tcp, id }, w.finish().unwrap())
        })
}

proptest! {
    #[test]
    fn entries_survive((entry, bytes) in told()) {
        let read: Vec<_> = Messages::new(&bytes).map(|message| read_entry(&message)).collect();
        prop_assert_eq!(read, [Some(entry)]);
    }

    #[test]
    fn damaged_entries_are_read_without_panic(
        (_, mut bytes) in told(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
    ) {
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        for message in Messages::new(&bytes) {
            let _ = read_entry(&message);
        }
    }

    #[test]
    fn any_bytes_are_no_entry_and_no_panic(body in vec(any::<u8>(), 0..300)) {
        let message = crate::message::Message { kind: NEW, flags: 0, seq: 1, body: &body };
        let _ = read_entry(&message);
    }
}

#[test]
fn sockets_show_mapped_addresses_and_the_wire_does_not() {
    let tuple = Tuple::tcp("[::ffff:192.0.2.1]:5".parse().unwrap(), "[::ffff:192.0.2.2]:6".parse().unwrap());
    assert_eq!(tuple, Tuple::tcp("192.0.2.1:5".parse().unwrap(), "192.0.2.2:6".parse().unwrap()));
}
