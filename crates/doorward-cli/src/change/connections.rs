//! Tracked connections and sessions as the language sees connections: whom a policy would let in again, and whom it
//! blocks; ends none.

use crate::host::Around;
use crate::session::Session;
use doorward::meaning::{Addressed, Connection, Decider, Host, Judgement, Limits, Packet, Path, judge};
use doorward::net::Proto;
use doorward::resolve::Resolved;
use doorward::resolve::model::Verdict;
use doorward_kernel::conntrack::{Detail, Entry};
use std::net::IpAddr;

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
}

/// Whether a policy would let a session in again, as a new connection to the port that it uses now.
pub(crate) fn is_let_in_again(
    policy: &Resolved,
    around: &Around,
    session: &Session,
) -> Result<(), Box<Refused>> {
    let (peer, here) = (session.remote, session.local);
    // Whatever comes from here goes over `lo`, which nobody judges.
    if peer.ip().is_loopback() || around.addresses.iter().any(|(own, _)| *own == peer.ip()) {
        return Ok(());
    }
    let connection = Connection {
        path: Path::In {
            iface: around.interface_of(here.ip()).unwrap_or(NO_NAME).to_owned(),
            addressed: None,
        },
        from: peer.ip(),
        to: here.ip(),
        packet: Packet::Ports { proto: Proto::TCP, from: peer.port(), to: here.port(), opens: true },
    };
    let judgement = judge(policy, &host(around), &connection, Limits::Unspent);
    if judgement.verdict == Verdict::Allow {
        return Ok(());
    }
    let why = words(&judgement);
    Err(Box::new(Refused { session: session.clone(), connection, why }))
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
