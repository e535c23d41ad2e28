//! Connections that are put into the kernel's table beforehand (ctnetlink), and taken out again; reads nothing.

use crate::draft::{Draft, Known, Track};
use doorward::net::Family;
use rustix::fd::OwnedFd;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use std::collections::HashSet;

/// `NFNL_SUBSYS_CTNETLINK`.
const CONNTRACK: u16 = 1;
const NEW: u16 = CONNTRACK << 8;
const DELETE: u16 = CONNTRACK << 8 | 2;
/// `NLM_F_REQUEST`, `NLM_F_CREATE`, `NLM_F_EXCL`.
const CREATE: u16 = 0x1 | 0x400 | 0x200;
const REQUEST: u16 = 0x1;
/// How many are sent at once.
const CHUNK: usize = 48;
const NESTED: u16 = 0x8000;

mod cta {
    pub(super) const TUPLE_ORIG: u16 = 1;
    pub(super) const TUPLE_REPLY: u16 = 2;
    pub(super) const STATUS: u16 = 3;
    pub(super) const PROTOINFO: u16 = 4;
    pub(super) const NAT_DST: u16 = 13;
    pub(super) const TIMEOUT: u16 = 7;
    pub(super) const MARK: u16 = 8;
    pub(super) const TUPLE_MASTER: u16 = 14;
    /// Within a tuple.
    pub(super) const IP: u16 = 1;
    pub(super) const PROTO: u16 = 2;
}

/// A socket for the table of connections of the namespace in which it was opened.
pub(crate) struct Flows {
    socket: OwnedFd,
}

/// One direction of a connection.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Tuple {
    source: Vec<u8>,
    destination: Vec<u8>,
    proto: u8,
    /// Ports; of ICMP the number, and type and code.
    first: u16,
    second: u16,
}

impl Flows {
    pub(crate) fn open() -> Flows {
        let socket =
            socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))
                .unwrap();
        Flows { socket }
    }

    /// Puts in the connections of these packets, each once.
    pub(crate) fn add(&self, drafts: &[Draft]) {
        let mut known = HashSet::new();
        let mut messages = Vec::new();
        for family in Family::BOTH {
            messages.push(message(
                family,
                &master(family),
                &turned(&master(family)),
                &Known::usual(),
                0,
                None,
            ));
        }
        for draft in drafts {
            let Track::Known(flow) = &draft.track else { continue };
            let Some(packet) = tuple(draft) else { continue };
            let back = turned(&packet);
            let (mut original, mut reply) = if flow.reply { (back, packet.clone()) } else { (packet, back) };
            // Whom the opener addressed, and who answers.
            let mut translation = None;
            if let Some((address, port)) = &flow.nat {
                let mut other = Tuple { destination: address.clone(), ..original.clone() };
                if matches!(original.proto, 6 | 17 | 132) {
                    other.second = *port;
                }
                translation = Some(if flow.reply { original.clone() } else { other.clone() });
                if flow.reply {
                    original = other;
                }
                reply = turned(&original);
            }
            if known.insert(original.clone()) {
                messages.push(message(
                    draft.family,
                    &original,
                    &reply,
                    flow,
                    draft.ct_mark,
                    translation.as_ref(),
                ));
            }
        }
        for chunk in messages.chunks(CHUNK) {
            self.send(&chunk.concat());
        }
    }

    /// Takes out all that are there.
    pub(crate) fn clear(&self) {
        for family in [2, 10] {
            self.send(&with_header(DELETE, REQUEST, family, &[]));
        }
    }

    fn send(&self, bytes: &[u8]) {
        let kernel = SocketAddrNetlink::new(0, 0);
        let sent = sendto(&self.socket, bytes, SendFlags::empty(), &kernel).unwrap();
        assert_eq!(sent, bytes.len());
        // What was refused shows as a packet in another state, which is read back anyway.
        let mut answer = [0u8; 1 << 14];
        while recv(&self.socket, &mut answer, RecvFlags::DONTWAIT).is_ok() {}
    }
}

/// The connection that has announced those that are related.
fn master(family: Family) -> Tuple {
    let addr = |last| match family {
        Family::V4 => vec![192, 0, 2, last],
        Family::V6 => [&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[last]].concat(),
    };
    Tuple { source: addr(250), destination: addr(251), proto: 17, first: 1, second: 2 }
}

fn turned(tuple: &Tuple) -> Tuple {
    let mut back = tuple.clone();
    std::mem::swap(&mut back.source, &mut back.destination);
    match tuple.proto {
        // Echo and its answer, in both families.
        1 => back.second = if tuple.second >> 8 == 8 { 0 } else { 8 << 8 },
        58 => back.second = if tuple.second >> 8 == 128 { 129 << 8 } else { 128 << 8 },
        _ => std::mem::swap(&mut back.first, &mut back.second),
    }
    back
}

/// How connection tracking reads a packet; none where it makes no connection of it.
fn tuple(draft: &Draft) -> Option<Tuple> {
    let (source, destination) = draft.addresses();
    let word = |at: usize| Some(u16::from_be_bytes(draft.transport.get(at..at + 2)?.try_into().unwrap()));
    let (first, second) = match draft.l4proto {
        6 | 17 | 132 => (word(0)?, word(2)?),
        1 if matches!(draft.transport.first(), Some(0 | 8)) => (word(4)?, word(0)?),
        58 if matches!(draft.transport.first(), Some(128 | 129)) => (word(4)?, word(0)?),
        1 | 58 | 47 => return None,
        _ => (0, 0),
    };
    Some(Tuple {
        source: source.to_vec(),
        destination: destination.to_vec(),
        proto: draft.l4proto,
        first,
        second,
    })
}

fn message(
    family: Family,
    original: &Tuple,
    reply: &Tuple,
    flow: &Known,
    mark: u32,
    translation: Option<&Tuple>,
) -> Vec<u8> {
    /// Seconds; longer than any run.
    const TIMEOUT: u32 = 3600;
    const CONFIRMED: u32 = 8;
    const EXPECTED: u32 = 1;
    const TCP: u16 = 1;
    const TCP_STATE: u16 = 1;
    const ESTABLISHED: u8 = 3;
    let mut body = Vec::new();
    put(&mut body, cta::TUPLE_ORIG | NESTED, &tuple_body(family, original));
    put(&mut body, cta::TUPLE_REPLY | NESTED, &tuple_body(family, reply));
    let status = CONFIRMED | flow.status & !EXPECTED;
    put(&mut body, cta::STATUS, &status.to_be_bytes());
    put(&mut body, cta::TIMEOUT, &TIMEOUT.to_be_bytes());
    put(&mut body, cta::MARK, &mark.to_be_bytes());
    if original.proto == 6 {
        let mut state = Vec::new();
        put(&mut state, TCP_STATE, &[ESTABLISHED]);
        let mut tcp = Vec::new();
        put(&mut tcp, TCP | NESTED, &state);
        put(&mut body, cta::PROTOINFO | NESTED, &tcp);
    }
    if flow.status & EXPECTED != 0 {
        put(&mut body, cta::TUPLE_MASTER | NESTED, &tuple_body(family, &master(family)));
    }
    if let Some(to) = translation {
        put(&mut body, cta::NAT_DST | NESTED, &translated(family, to));
    }
    with_header(NEW, CREATE, if family == Family::V4 { 2 } else { 10 }, &body)
}

fn translated(family: Family, to: &Tuple) -> Vec<u8> {
    // `CTA_NAT_V4_MINIP` and `_MAXIP`, `CTA_NAT_V6_MINIP` and `_MAXIP`.
    let (first, last) = if family == Family::V4 { (1, 2) } else { (4, 5) };
    const PROTO: u16 = 3;
    let mut body = Vec::new();
    put(&mut body, first, &to.destination);
    put(&mut body, last, &to.destination);
    if matches!(to.proto, 6 | 17 | 132) {
        let mut ports = Vec::new();
        put(&mut ports, 1, &to.second.to_be_bytes());
        put(&mut ports, 2, &to.second.to_be_bytes());
        put(&mut body, PROTO | NESTED, &ports);
    }
    body
}

fn tuple_body(family: Family, tuple: &Tuple) -> Vec<u8> {
    let (source, destination) = if family == Family::V4 { (1, 2) } else { (3, 4) };
    let mut addresses = Vec::new();
    put(&mut addresses, source, &tuple.source);
    put(&mut addresses, destination, &tuple.destination);
    let mut proto = Vec::new();
    put(&mut proto, 1, &[tuple.proto]);
    let [kind, code] = tuple.second.to_be_bytes();
    match tuple.proto {
        1 | 58 => {
            let (id, icmp_type, icmp_code) = if tuple.proto == 1 { (4, 5, 6) } else { (7, 8, 9) };
            put(&mut proto, id, &tuple.first.to_be_bytes());
            put(&mut proto, icmp_type, &[kind]);
            put(&mut proto, icmp_code, &[code]);
        }
        6 | 17 | 132 => {
            put(&mut proto, 2, &tuple.first.to_be_bytes());
            put(&mut proto, 3, &tuple.second.to_be_bytes());
        }
        _ => {}
    }
    let mut body = Vec::new();
    put(&mut body, cta::IP | NESTED, &addresses);
    put(&mut body, cta::PROTO | NESTED, &proto);
    body
}

fn put(body: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let len = u16::try_from(payload.len() + 4).unwrap();
    body.extend(len.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(payload);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn with_header(kind: u16, flags: u16, family: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 20).unwrap();
    let mut bytes = len.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([family, 0, 0, 0]);
    bytes.extend(body);
    bytes
}
