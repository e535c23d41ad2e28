//! Tracked connections and sessions as the language sees connections: whom a policy would let in again, and whom it
//! blocks; ends none.

use crate::host::Around;
use crate::session::Session;
use doorward::emit::Style;
use doorward::explain::{self, Surroundings};
use doorward::meaning::{
    Addressed, Connection, Decider, Host, Judgement, Limits, Packet, Path, judge, translate,
};
use doorward::net::Proto;
use doorward::resolve::Resolved;
use doorward::resolve::model::Verdict;
use doorward::ruleset::Table;
use doorward::trace::Unknown;
use doorward_kernel::conntrack::{Conntrack, Detail, Entry, Tuple};
use std::net::{IpAddr, SocketAddr};

/// An interface of which no tracked connection tells the name.
const NO_NAME: &str = "?";

/// A session that could not come in again, and why.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The session.
    pub session: Session,
    /// Its connection, if it were new.
    pub connection: Connection,
    /// Who says no.
    pub why: String,
    /// Whether it would be led elsewhere, instead of being shut out.
    pub led: bool,
}

/// What is asked whether a session could come in again.
pub(crate) struct Again<'a> {
    /// The policy that shall judge.
    pub policy: &'a Resolved,
    /// Our table as it judges now.
    pub running: Option<&'a Table>,
    /// The host.
    pub around: &'a Around,
}

impl Again<'_> {
    /// Whether the policy would let a session in again, as a new connection to what it addressed, and to the same
    /// socket.
    pub(crate) fn is_let_in(&self, session: &Session) -> Result<(), Box<Refused>> {
        let Again { policy, running, around } = self;
        let (peer, here) = (session.remote, session.local);
        // Whatever comes from here goes over `lo`, which nobody judges.
        if peer.ip().is_loopback() || around.addresses.iter().any(|(own, _)| *own == peer.ip()) {
            return Ok(());
        }
        let host = host(around);
        let sent = addressed(session);
        let packet = |to: u16| Packet::Ports { proto: Proto::TCP, from: peer.port(), to, opens: true };
        let iface = around.interface_of(here.ip()).unwrap_or(NO_NAME).to_owned();
        let plain = Path::In { iface: iface.clone(), addressed: None };
        let mut connection =
            Connection { path: plain, from: peer.ip(), to: sent.ip(), packet: packet(sent.port()) };
        let refused = |connection: &Connection, why: String, led: bool| {
            Err(Box::new(Refused { session: session.clone(), connection: connection.clone(), why, led }))
        };
        match translate::led(policy, &host, &connection) {
            Some((end, origin)) => {
                let end = (end.addr.unwrap_or(sent.ip()), end.port.unwrap_or(sent.port()));
                if end != (here.ip(), here.port()) {
                    return refused(&connection, format!("{origin}: {}", origin.sentence), true);
                }
            }
            None if sent != here && running.is_some_and(|table| leads(table, &connection, &host)) => {
                let why = format!("nothing leads port {} to port {} any more", sent.port(), here.port());
                return refused(&connection, why, true);
            }
            // Whoever else leads it here goes on doing so.
            None => {}
        }
        if sent != here {
            let addressed = Some(Addressed { to: sent.ip(), port: sent.port() });
            let path = Path::In { iface, addressed };
            connection = Connection { path, from: peer.ip(), to: here.ip(), packet: packet(here.port()) };
        }
        let judgement = judge(policy, &host, &connection, Limits::Unspent);
        if judgement.verdict == Verdict::Allow {
            Ok(())
        } else {
            refused(&connection, words(&judgement), false)
        }
    }
}

/// What the peer of a session addressed: not the socket, where a translation led it there.
fn addressed(session: &Session) -> SocketAddr {
    let replies = Tuple::tcp(session.local, session.remote);
    let found = Conntrack::open().and_then(|tracked| tracked.find(&replies, None));
    match found {
        Ok(Some(entry)) if entry.is_dst_nat() => match entry.original.detail {
            Detail::Ports { destination, .. } => SocketAddr::new(entry.original.destination, destination),
            _ => session.local,
        },
        _ => session.local,
    }
}

/// Whether our rules lead it elsewhere now.
fn leads(table: &Table, connection: &Connection, host: &Host) -> bool {
    let around = Surroundings { own: host.own.clone(), ..Surroundings::default() };
    let mut usually = |what: &Unknown<'_>| explain::usual(what.expr);
    let tables = std::slice::from_ref(table);
    explain::arriving(tables, connection, &around, &mut usually, &Style::default()).is_some()
}

fn words(judgement: &Judgement) -> String {
    let verdict = judgement.verdict.word();
    match &judgement.by {
        Decider::Sentence(origin) | Decider::Default(_, Some(origin)) => {
            format!("{origin}: {}", origin.sentence)
        }
        Decider::Default(way, None) => format!("built in: default {verdict} {}", way.word()),
        Decider::BuiltIn(why) => format!("built in: {why}"),
    }
}

pub(super) fn host(around: &Around) -> Host {
    Host { own: around.addresses.iter().map(|(addr, _)| *addr).collect() }
}

/// A tracked connection as its first packet met this host. None for what the language does not speak of.
pub(super) fn connection(entry: &Entry, around: &Around) -> Option<Connection> {
    let (original, reply) = (&entry.original, &entry.reply);
    let own = |addr: IpAddr| around.addresses.iter().any(|(one, _)| *one == addr);
    let (from, addressed_to) = (original.source, original.destination);
    // Whom the replies come from is where it really went.
    let to = if entry.is_dst_nat() { reply.source } else { addressed_to };
    let (packet, addressed_port) = match (&original.detail, &reply.detail) {
        (Detail::Ports { source, destination }, Detail::Ports { source: real, .. }) => {
            let port = if entry.is_dst_nat() { *real } else { *destination };
            let packet = Packet::Ports { proto: original.proto, from: *source, to: port, opens: true };
            (packet, *destination)
        }
        (Detail::Icmp { kind, .. }, _) => (Packet::Icmp { kind: *kind, hops: 64 }, 0),
        _ => (Packet::Other(original.proto), 0),
    };
    let addressed = entry.is_dst_nat().then_some(Addressed { to: addressed_to, port: addressed_port });
    let interface = |addr: IpAddr| around.interface_of(addr).unwrap_or(NO_NAME).to_owned();
    let path = match (own(from), own(to)) {
        // From here to here: over `lo`.
        (true, true) => return None,
        (true, false) => Path::Out { iface: interface(from), owner: None },
        (false, true) => Path::In { iface: interface(addressed_to), addressed },
        (false, false) => Path::Forward { iif: NO_NAME.to_owned(), oif: NO_NAME.to_owned(), addressed },
    };
    if from.is_loopback() || to.is_loopback() {
        return None;
    }
    Some(Connection { path, from, to, packet })
}
