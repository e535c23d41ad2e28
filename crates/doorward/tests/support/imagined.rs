//! An imagined connection as the packet that the kernel would meet, and what became of it in one table; the
//! facts of the host are made up here, the judgement is the machine's.
#![allow(dead_code, reason = "each test program uses its part")]

use doorward::meaning::{Connection, Packet, Path};
use doorward::net::{Family, Proto};
use doorward::ruleset::{Expr, FibResult, Hook, Table, comment_of, udata_kind};
use doorward::trace::{self, Conntrack, Device, End, Entry, Machine, Trace, Tuple, Unknown};
use std::net::IpAddr;

/// What happened to a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fate {
    pub(crate) end: End,
    /// The comment of the last counter that counted it.
    pub(crate) counted: Option<String>,
    /// Whether something was logged.
    pub(crate) logged: bool,
}

/// Runs the base chain that this connection's first packet meets; `spent`: whether buckets of limits are empty.
pub(crate) fn fate(table: &Table, machine: &Machine, packet: &trace::Packet, spent: bool) -> Fate {
    let mut assume = |what: &Unknown| match what.expr {
        Expr::Lookup { set, .. } => spent && (set.starts_with("spent_") || set.starts_with("debt_")),
        // Logs are never limited away here; a limit that goes on above the rate needs an empty bucket.
        Expr::Limit(limit) => !limit.over || spent,
        other => panic!("nobody knows what {other:?} comes to"),
    };
    let trace = machine.hook(packet, &mut assume);
    let by_policy = trace.bases.iter().any(|base| base.by_policy);
    assert!(!by_policy, "the policy of a base chain is never reached");
    assert_eq!(trace.bases.len(), 1, "each hook has a base chain");
    let (mut counted, mut logged) = (None, false);
    effects(table, machine, &trace, |expr, comment| match expr {
        Expr::Counter { .. } => counted = comment,
        Expr::Log(_) => logged = true,
        _ => {}
    });
    Fate { end: trace.end, counted, logged }
}

/// Every expression that took effect, with the comment of its rule; state of elements with that of the element.
fn effects<'a>(
    table: &'a Table,
    machine: &Machine<'a>,
    trace: &Trace,
    mut each: impl FnMut(&'a Expr, Option<String>),
) {
    for visit in &trace.visits {
        let rule = &table.chains[visit.chain].rules[visit.rule];
        for (at, expr) in rule.exprs[..visit.outcome.effective(rule.exprs.len())].iter().enumerate() {
            each(expr, comment_of(udata_kind::RULE_COMMENT, &rule.udata));
            for hit in visit.hits.iter().filter(|hit| hit.expr == at) {
                let element = machine.element(visit, hit);
                let comment =
                    element.and_then(|element| comment_of(udata_kind::ELEM_COMMENT, &element.udata));
                table.sets[hit.set].exprs.iter().for_each(|expr| each(expr, comment.clone()));
            }
        }
    }
}

/// The first packet of a connection, for a host that has the addresses `own`.
pub(crate) fn packet(connection: &Connection, own: &[IpAddr]) -> trace::Packet {
    let device = |name: &String| Device {
        name: name.clone(),
        index: if name == "lo" { 1 } else { 7 },
        kind: Some("veth".to_owned()),
    };
    let (hook, iif, oif, owner) = match &connection.path {
        Path::In { iface, .. } => (Hook::Input, Some(device(iface)), None, None),
        Path::Out { iface, owner } => (Hook::Output, None, Some(device(iface)), *owner),
        Path::Forward { iif, oif, .. } => (Hook::Forward, Some(device(iif)), Some(device(oif)), None),
    };
    let ours = own.contains(&connection.from) || connection.from.is_loopback();
    trace::Packet {
        hook,
        family: connection.family(),
        iif,
        oif,
        link: Vec::new(),
        network: network_header(connection),
        transport: transport_header(connection),
        l4proto: connection.proto().0,
        later_fragment: false,
        extensions: Vec::new(),
        mark: 0,
        owner: owner.map(|owner| (owner.uid, owner.gid)),
        ct: conntrack(connection),
        // Whether the source is of this host; no route leads back to where a packet came from.
        fib: vec![(FibResult::AddrType, 1, if ours { 2 } else { 1 }), (FibResult::Oif, 2 | 8, 0)],
    }
}

/// New; but ICMP errors belong to something, and what neighbours say is not tracked.
fn conntrack(connection: &Connection) -> Conntrack {
    const RELATED: u32 = 4;
    const NEW: u32 = 8;
    const DST_NAT: u32 = 0x20;
    let state = match connection.packet {
        Packet::Icmp { kind, .. } => match (connection.family(), kind) {
            (Family::V4, 3 | 11 | 12) | (Family::V6, 1..=4) => RELATED,
            (Family::V6, 130..=137 | 143) => return Conntrack::Untracked,
            _ => NEW,
        },
        _ => NEW,
    };
    let translated = matches!(
        connection.path,
        Path::In { addressed: Some(_), .. } | Path::Forward { addressed: Some(_), .. }
    );
    let (from, to) = match connection.packet {
        Packet::Ports { from, to, .. } => (from, to),
        _ => (0, 0),
    };
    Conntrack::Entry(Entry {
        state,
        status: if translated { DST_NAT } else { 0 },
        direction: 0,
        mark: 0,
        helper: None,
        original: Tuple {
            source: connection.from,
            destination: connection.addressed(),
            source_port: from,
            destination_port: connection.port().unwrap_or(0),
        },
        reply: Tuple {
            source: connection.to,
            destination: connection.from,
            source_port: to,
            destination_port: from,
        },
    })
}

fn network_header(connection: &Connection) -> Vec<u8> {
    let hops = match connection.packet {
        Packet::Icmp { hops, .. } => hops,
        _ => 64,
    };
    let mut header = match connection.family() {
        Family::V4 => vec![0x45, 0, 0, 40, 0, 0, 0, 0, hops, connection.proto().0, 0, 0],
        Family::V6 => vec![0x60, 0, 0, 0, 0, 20, connection.proto().0, hops],
    };
    header.extend(octets(connection.from));
    header.extend(octets(connection.to));
    header
}

fn octets(addr: IpAddr) -> Vec<u8> {
    match addr {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

fn transport_header(connection: &Connection) -> Vec<u8> {
    match connection.packet {
        Packet::Ports { proto, from, to, opens } => {
            let mut header = [from.to_be_bytes(), to.to_be_bytes()].concat();
            header.resize(20, 0);
            header[12] = 0x50;
            header[13] = if proto == Proto::TCP && opens { 0x02 } else { 0x10 };
            header
        }
        Packet::Icmp { kind, .. } => vec![kind, 0, 0, 0, 0, 0, 0, 0],
        Packet::Other(_) => vec![0x11; 20],
    }
}
