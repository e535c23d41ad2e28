//! What connections are about: ports, types of ICMP, whole protocols, and the words for them; knows no peers.

use super::describe::some;
use crate::catalogue;
use crate::meaning::{Connection, Packet, Path};
use crate::net::{Family, IcmpType, PortRange, Proto, icmp_names, icmp_type};
use std::collections::BTreeMap;

/// Kinds of connections.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct About {
    /// Protocols with everything that is in them.
    pub whole: Vec<(u8, u8)>,
    /// Ports of a protocol.
    pub ports: BTreeMap<u8, Vec<(u16, u16)>>,
    /// Types of ICMP.
    pub icmp: Vec<(u8, u8)>,
    /// The other types that there are, where not all are meant.
    pub icmp_but: Vec<(u8, u8)>,
}

impl About {
    /// Whether it is nothing.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.whole.is_empty() && self.ports.is_empty() && self.icmp.is_empty()
    }

    /// How many words it takes.
    pub(super) fn pieces(&self) -> usize {
        self.whole.len() + self.ports.values().map(Vec::len).sum::<usize>() + self.icmp_pieces()
    }

    /// Types one by one, or all but some.
    fn icmp_pieces(&self) -> usize {
        match (self.icmp.len(), self.icmp_but.len()) {
            (types, 0) => types,
            (types, others) => types.min(others + 1),
        }
    }

    /// How many kinds it is, where a protocol counts as much as its ports.
    pub(super) fn size(&self) -> f64 {
        let whole: f64 =
            self.whole.iter().map(|(first, last)| (f64::from(*last - *first) + 1.0) * 65_536.0).sum();
        let ports: f64 =
            self.ports.values().flatten().map(|(first, last)| f64::from(last - first) + 1.0).sum();
        let types: f64 = self.icmp.iter().map(|(first, last)| f64::from(last - first) + 1.0).sum();
        whole + ports + types
    }

    /// One by one: services where they have a name.
    #[must_use]
    pub fn whats(&self, family: Family) -> Vec<What> {
        let name = |(first, last): &(u8, u8)| icmp_name(family, *first, *last);
        let packet = |(first, _): &(u8, u8)| Some(Packet::Icmp { kind: *first, hops: 64 });
        let mut whats: Vec<What> = match self.icmp.first() {
            Some(first) if self.icmp_pieces() < self.icmp.len() => {
                let out: Vec<String> = self.icmp_but.iter().map(name).collect();
                vec![What { words: format!("icmp other than {}", some(&out)), packet: packet(first) }]
            }
            _ => self.icmp.iter().map(|types| What { words: name(types), packet: packet(types) }).collect(),
        };
        // What several protocols have at the same ports is said once.
        let mut by_range: BTreeMap<(u16, u16), Vec<u8>> = BTreeMap::new();
        for (proto, ranges) in &self.ports {
            for range in ranges {
                by_range.entry(*range).or_default().push(*proto);
            }
        }
        whats.extend(by_range.into_iter().flat_map(|(range, protocols)| ports(range, &protocols)));
        let whole =
            |(first, last): &(u8, u8)| What { words: protocol(*first, *last), packet: first_of(*first) };
        whats.extend(self.whole.iter().map(whole));
        whats
    }
}

/// One kind of connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct What {
    /// In words: `22/tcp (ssh)`.
    pub words: String,
    /// The first packet of such a connection, where there is a typical one.
    pub packet: Option<Packet>,
}

impl What {
    /// A connection that is one of these, in place of one that is something else.
    pub(super) fn example(&self, other: &Connection) -> Connection {
        let mut example = other.clone();
        let Some(packet) = self.packet else { return example };
        let alike = match (packet, other.packet) {
            (Packet::Ports { proto, to, .. }, Packet::Ports { proto: known, .. }) => {
                proto == known && other.port() == Some(to)
            }
            (Packet::Icmp { kind, .. }, Packet::Icmp { kind: known, .. }) => kind == known,
            (Packet::Other(proto), _) => proto == other.proto(),
            _ => false,
        };
        if alike {
            return example;
        }
        example.packet = packet;
        if let (Packet::Ports { to, .. }, Path::In { addressed, .. } | Path::Forward { addressed, .. }) =
            (packet, &mut example.path)
            && let Some(addressed) = addressed
        {
            addressed.port = to;
        }
        example
    }
}

/// One by one: kinds of connections, or everything but the others where that is shorter to say.
pub(super) fn whats(about: &About, but: Option<&About>, family: Family) -> Vec<What> {
    let Some(but) = but else { return about.whats(family) };
    let words = if but.is_nothing() {
        "anything".to_owned()
    } else {
        let out: Vec<String> = but.whats(family).into_iter().map(|what| what.words).collect();
        format!("anything except {}", some(&out))
    };
    vec![What { words, packet: None }]
}

fn first_of(proto: u8) -> Option<Packet> {
    match Proto(proto) {
        proto if proto.has_ports() => None,
        proto if proto.is_icmp() => None,
        proto => Some(Packet::Other(proto)),
    }
}

/// Ports that several protocols have; those of services with different names, and two neighbours, one by one.
fn ports((first, last): (u16, u16), protocols: &[u8]) -> Vec<What> {
    let packet = protocols.first().map(|proto| Packet::Ports {
        proto: Proto(*proto),
        from: 40_000,
        to: first,
        opens: true,
    });
    let of = protocols.iter().map(|proto| Proto(*proto).to_string()).collect::<Vec<_>>().join("+");
    if last - first == 1 {
        return [first, last].into_iter().flat_map(|port| ports((port, port), protocols)).collect();
    }
    if first != last {
        return vec![What { words: format!("{first}-{last}/{of}"), packet }];
    }
    let name = |proto: u8| catalogue::service_of(Proto(proto), PortRange::one(first));
    let names: Vec<Option<&str>> = protocols.iter().map(|proto| name(*proto)).collect();
    let alike = names.iter().all(|name| *name == names[0]);
    match names.first() {
        Some(Some(name)) if alike => vec![What { words: format!("{first}/{of} ({name})"), packet }],
        _ if alike => vec![What { words: format!("{first}/{of}"), packet }],
        _ => protocols.iter().flat_map(|proto| ports((first, last), &[*proto])).collect(),
    }
}

fn protocol(first: u8, last: u8) -> String {
    if first != last {
        return format!("protocols {first}-{last}");
    }
    match Proto(first) {
        Proto::TCP | Proto::UDP => Proto(first).to_string(),
        Proto::ICMP | Proto::ICMPV6 => "every icmp".to_owned(),
        other => format!("protocol {other}"),
    }
}

fn icmp_name(family: Family, first: u8, last: u8) -> String {
    if first != last {
        return format!("icmp types {first}-{last}");
    }
    let of = |name: &str| icmp_type(name).and_then(|kind: IcmpType| kind.in_family(family));
    match icmp_names().find(|name| of(name) == Some(first)) {
        Some("echo-request") => "ping".to_owned(),
        Some(name) => format!("icmp {name}"),
        None => format!("icmp type {first}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_connections_in_words() {
        let about = About {
            whole: vec![(17, 17), (47, 47), (51, 60)],
            ports: BTreeMap::from([
                (6, vec![(21, 22), (53, 53), (443, 443), (1000, 1999)]),
                (17, vec![(53, 53), (443, 443), (9999, 9999)]),
            ]),
            icmp: vec![(8, 8), (200, 250)],
            icmp_but: Vec::new(),
        };
        let words = [
            "ping",
            "icmp types 200-250",
            "21/tcp (ftp)",
            "22/tcp (ssh)",
            "53/tcp+udp (dns)",
            "443/tcp (https)",
            "443/udp (http3)",
            "1000-1999/tcp",
            "9999/udp",
            "udp",
            "protocol gre",
            "protocols 51-60",
        ];
        let texts = |list: Vec<What>| list.into_iter().map(|what| what.words).collect::<Vec<_>>();
        assert_eq!(texts(about.whats(Family::V4)), words);
        assert_eq!(texts(whats(&about, Some(&About::default()), Family::V4)), ["anything"]);
        let but = About { icmp: vec![(128, 128)], ..About::default() };
        assert_eq!(texts(whats(&about, Some(&but), Family::V6)), ["anything except ping"]);
        let types = vec![(0, 2), (4, 7), (9, 255)];
        let most = About { icmp: types, icmp_but: vec![(8, 8)], ..About::default() };
        assert_eq!(
            (texts(most.whats(Family::V4)), most.pieces()),
            (vec!["icmp other than ping".to_owned()], 2)
        );
    }
}
