//! Things as traffic: ports, ICMP types, protocols, services of the catalogue; knows no own names.

use super::model::Traffic;
use crate::catalogue::{Door, Service};
use crate::net::{IcmpType, Proto, icmp_names, icmp_type};
use crate::report::{Report, Span, suggest};
use crate::syntax::ast::{PortProtos, Ports};
use std::collections::HashSet;

/// What `ping` means: echo requests of both families, and nothing else.
pub(super) const PING: Traffic = Traffic::Icmp(IcmpType::ECHO_REQUEST);

/// A ports token.
pub(super) fn ports(ports: Ports) -> Vec<Traffic> {
    let of = |proto| Traffic::Ports(proto, ports.range);
    match ports.protos {
        PortProtos::Tcp => vec![of(Proto::TCP)],
        PortProtos::Udp => vec![of(Proto::UDP)],
        PortProtos::TcpUdp => vec![of(Proto::TCP), of(Proto::UDP)],
        PortProtos::Sctp => vec![of(Proto::SCTP)],
    }
}

/// A service of the catalogue.
pub(super) fn service(service: &Service) -> Vec<Traffic> {
    let mut all = Distinct::default();
    for door in service.doors() {
        match door {
            Door::Ports(p) => all.extend(&ports(p)),
            Door::Ping => all.extend(&[PING]),
            // Names in the catalogue are held against the tables by a test.
            Door::Icmp(name) => all.extend(icmp_type(name).map(Traffic::Icmp).as_slice()),
            Door::Protocol(name) => all.extend(Proto::by_name(name).map(Traffic::Protocol).as_slice()),
        }
    }
    all.into_vec()
}

/// `icmp TYPE`.
pub(super) fn icmp(name: &str, span: Span, reports: &mut Vec<Report>) -> Option<Traffic> {
    let found = icmp_type(name).map(Traffic::Icmp);
    if found.is_none() {
        let report = Report::error("unknown-icmp-type", span, format!("`{name}` is not a type of ICMP"));
        reports.push(match suggest(name, icmp_names()) {
            Some(near) => report.label(format!("did you mean `icmp {near}`?")),
            None => report
                .label("types are called by their names, which hold for both families")
                .way_out(format!("there are: {}", icmp_names().collect::<Vec<_>>().join(", "))),
        });
    }
    found
}

/// `protocol NAME` or `protocol NUMBER`.
pub(super) fn protocol(word: &str, span: Span, reports: &mut Vec<Report>) -> Option<Traffic> {
    // Digits only: the standard library would take a sign.
    let number = word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok()).flatten();
    let proto = number.map(Proto).or_else(|| Proto::by_name(word));
    match proto {
        None => {
            let report = Report::error(
                "unknown-protocol",
                span,
                format!("`{word}` is not a protocol with a name here"),
            );
            reports.push(
                match suggest(word, Proto::names()) {
                    Some(near) => report.label(format!("did you mean `protocol {near}`?")),
                    None => report,
                }
                .way_out("every protocol can be said by its number: `protocol 112`"),
            );
            None
        }
        // The parser has refused ICMP as a whole.
        Some(proto) => Some(Traffic::Protocol(proto)),
    }
}

/// Traffic in the order in which it is said, each once.
#[derive(Default)]
pub(super) struct Distinct {
    list: Vec<Traffic>,
    seen: HashSet<Traffic>,
}

impl Distinct {
    pub(super) fn new(start: &[Traffic]) -> Distinct {
        let mut all = Distinct::default();
        all.extend(start);
        all
    }

    pub(super) fn extend(&mut self, more: &[Traffic]) {
        self.list.extend(more.iter().filter(|thing| self.seen.insert(**thing)));
    }

    pub(super) fn into_vec(self) -> Vec<Traffic> {
        self.list
    }
}

/// Whether all of `b` is in `a`.
pub(super) fn covers(a: Traffic, b: Traffic) -> bool {
    match (a, b) {
        (Traffic::Any, _) => true,
        (Traffic::Protocol(a), Traffic::Protocol(b) | Traffic::Ports(b, _)) => a == b,
        (Traffic::Ports(a, wide), Traffic::Ports(b, range)) => {
            a == b && wide.first() <= range.first() && range.last() <= wide.last()
        }
        (Traffic::Icmp(a), Traffic::Icmp(b)) => {
            (b.v4.is_none() || a.v4 == b.v4) && (b.v6.is_none() || a.v6 == b.v6)
        }
        _ => false,
    }
}
