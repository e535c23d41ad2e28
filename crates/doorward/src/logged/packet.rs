//! One logged packet: its headers as far as a sentence could speak of them; judges nothing.

use super::What;
use crate::net::{Family, Proto, icmp_names, icmp_type};
use crate::ruleset::Hook;
use crate::syntax::ast::{Verdict, Way};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Extension headers of IPv6 that are stepped over; nobody sends more.
const MOST_EXTENSIONS: usize = 8;

/// A packet that a rule of ours logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// Why it was logged.
    pub what: What,
    /// How it meets this host.
    pub way: Way,
    /// Source.
    pub from: IpAddr,
    /// Destination, as it was addressed where that is known, else as it is behind a translation.
    pub to: IpAddr,
    /// What is above the network layer.
    pub kind: Kind,
    /// Where it arrived.
    pub iif: Option<String>,
    /// Where it would leave.
    pub oif: Option<String>,
    /// Whose socket sent it.
    pub user: Option<u32>,
    /// Whether it is known what its sender addressed.
    pub traced: bool,
}

/// What a packet is, above the network layer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// TCP, UDP or SCTP, with source and destination port.
    Ports(Proto, u16, u16),
    /// ICMP of either family, with its type.
    Icmp(Proto, u8),
    /// Any other protocol; also one whose header is cut off.
    Other(Proto),
}

impl Packet {
    /// Reads the beginning of a packet, from its network header on; none where there is no such header.
    #[must_use]
    pub fn read(what: What, hook: Hook, bytes: &[u8]) -> Option<Packet> {
        let (from, to, proto, above) = match bytes.first()? >> 4 {
            4 => ipv4(bytes)?,
            6 => ipv6(bytes)?,
            _ => return None,
        };
        let way = match (&what, hook) {
            (What::Default { way, .. }, _) => *way,
            (_, Hook::Input) => Way::In,
            (_, Hook::Output) => Way::Out,
            _ => Way::Forward,
        };
        let port = |at: usize| Some(u16::from_be_bytes(above.get(at..at + 2)?.try_into().ok()?));
        let kind = match (proto.has_ports(), port(0).zip(port(2))) {
            (true, Some((from, to))) => Kind::Ports(proto, from, to),
            _ if proto.is_icmp() && !above.is_empty() => Kind::Icmp(proto, above[0]),
            _ => Kind::Other(proto),
        };
        Some(Packet { what, way, from, to, kind, iif: None, oif: None, user: None, traced: false })
    }

    /// Takes in what its sender addressed, before any destination NAT. What passes through and was translated is
    /// published.
    pub fn addressed(&mut self, to: IpAddr, port: Option<u16>) {
        let known = (self.to, self.kind);
        self.traced = true;
        self.to = to;
        if let (Kind::Ports(_, _, to), Some(port)) = (&mut self.kind, port) {
            *to = port;
        }
        if known != (self.to, self.kind) && self.way == Way::Forward {
            self.way = Way::Published;
        }
    }

    /// The far end: who knocked, or whom this host wanted to talk to.
    #[must_use]
    pub fn peer(&self) -> IpAddr {
        if self.way == Way::Out { self.to } else { self.from }
    }

    /// Whether a sentence would speak of other addresses and ports than those that are known.
    fn hidden(&self) -> bool {
        self.way == Way::Published && !self.traced
    }

    /// The words that `explain` would be asked with; none for a type of ICMP that has no name, and where it is not
    /// known what was addressed.
    #[must_use]
    pub fn question(&self) -> Option<Vec<String>> {
        if self.hidden() {
            return None;
        }
        let mut words = vec![self.way.word().to_owned()];
        let from = |port: Option<u16>| match (self.from, port) {
            (from, None) => from.to_string(),
            (IpAddr::V4(from), Some(port)) => format!("{from}:{port}"),
            (IpAddr::V6(from), Some(port)) => format!("[{from}]:{port}"),
        };
        let to = self.to.to_string();
        match self.kind {
            Kind::Ports(proto, source, port) => {
                words.extend([proto.to_string(), from(Some(source)), to, port.to_string()]);
            }
            Kind::Icmp(proto, kind) => match icmp_name(proto, kind)? {
                PING => words.extend(["ping".to_owned(), from(None), to]),
                name => words.extend(["icmp".to_owned(), from(None), to, name.to_owned()]),
            },
            Kind::Other(proto) => {
                words.extend(["protocol".to_owned(), proto.0.to_string(), from(None), to]);
            }
        }
        if let Some(on) = if self.way == Way::Out { &self.oif } else { &self.iif } {
            words.extend(["on".to_owned(), on.clone()]);
            if let Some(leaving) = self.oif.as_ref().filter(|_| self.passes()) {
                words.extend(["to".to_owned(), leaving.clone()]);
            }
        }
        if let Some(user) = self.user.filter(|_| self.way == Way::Out) {
            words.extend(["by".to_owned(), "user".to_owned(), user.to_string()]);
        }
        Some(words)
    }

    fn passes(&self) -> bool {
        matches!(self.way, Way::Forward | Way::Published)
    }

    /// The sentence that would let it in, where no other sentence is against it; none where none can speak of it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        if self.hidden() {
            return None;
        }
        if let Kind::Icmp(proto, kind) = self.kind {
            icmp_name(proto, kind)?;
        }
        let way = match self.way {
            Way::In => String::new(),
            way => format!("{} ", way.word()),
        };
        let (end, peer) = if self.way == Way::Out { ("to", self.to) } else { ("from", self.from) };
        let to = if self.way == Way::Forward { format!(" to {}", self.to) } else { String::new() };
        Some(format!("allow {way}{} {end} {peer}{to}", self.kind))
    }

    /// Whether nobody but a sentence that says otherwise keeps it out.
    #[must_use]
    pub fn by_default(&self) -> bool {
        matches!(self.what, What::Default { .. })
    }

    /// Whether it was let in.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.what.verdict() == Verdict::Allow
    }
}

impl Kind {
    /// Whether it is ICMP of either family.
    #[must_use]
    pub fn is_icmp(self) -> bool {
        matches!(self, Kind::Icmp(..))
    }
}

/// As a sentence speaks of it: `8080/tcp`, `ping`, `icmp timestamp-request`, `protocol 47`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Kind::Ports(proto, _, port) => write!(f, "{port}/{proto}"),
            Kind::Icmp(proto, kind) => match icmp_name(proto, kind) {
                Some(PING) => f.write_str("ping"),
                Some(name) => write!(f, "icmp {name}"),
                None => write!(f, "icmp type {kind}"),
            },
            Kind::Other(proto) => write!(f, "protocol {}", proto.0),
        }
    }
}

/// What `ping` sends.
const PING: &str = "echo-request";

/// The name of a type, where it has one.
fn icmp_name(proto: Proto, kind: u8) -> Option<&'static str> {
    let family = if proto == Proto::ICMP { Family::V4 } else { Family::V6 };
    icmp_names().find(|name| icmp_type(name).and_then(|one| one.in_family(family)) == Some(kind))
}

type Headers<'a> = (IpAddr, IpAddr, Proto, &'a [u8]);

fn ipv4(bytes: &[u8]) -> Option<Headers<'_>> {
    let address = |at: usize| -> Option<IpAddr> {
        Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?).into())
    };
    let length = usize::from(bytes.first()? & 0xf) * 4;
    Some((address(12)?, address(16)?, Proto(*bytes.get(9)?), bytes.get(length..).unwrap_or_default()))
}

fn ipv6(bytes: &[u8]) -> Option<Headers<'_>> {
    const HOPS: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const OPTIONS: u8 = 60;
    let address = |at: usize| -> Option<IpAddr> {
        Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?).into())
    };
    let (mut next, mut above) = (*bytes.get(6)?, bytes.get(40..)?);
    for _ in 0..MOST_EXTENSIONS {
        let length = match next {
            HOPS | ROUTING | OPTIONS => above.get(1).map_or(usize::MAX, |units| 8 + usize::from(*units) * 8),
            FRAGMENT => 8,
            _ => break,
        };
        let Some(rest) = above.get(length..).filter(|rest| !rest.is_empty()) else { break };
        next = above[0];
        above = rest;
    }
    Some((address(8)?, address(24)?, Proto(next), above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v4(proto: u8, above: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, proto, 0, 0, 198, 51, 100, 7, 203, 0, 113, 2];
        bytes.extend(above);
        bytes
    }

    fn v6(next: u8, above: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        for address in ["2001:db8::7", "2001:db8::2"] {
            bytes.extend(address.parse::<Ipv6Addr>().unwrap().octets());
        }
        bytes.extend(above);
        bytes
    }

    fn read(bytes: &[u8]) -> Packet {
        Packet::read(What::Default { way: Way::In, place: None }, Hook::Input, bytes).unwrap()
    }

    /// What a packet leads to is a question and a sentence that the others of this crate can read.
    fn asked(packet: &Packet) -> (String, String) {
        let words = packet.question().unwrap();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        crate::explain::read(&words).unwrap_or_else(|wrong| panic!("{words:?}: {wrong:?}"));
        let remedy = packet.remedy().unwrap();
        let (_, reports) = crate::syntax::parse(crate::report::FileId(0), &remedy);
        assert!(reports.is_empty(), "{remedy}: {reports:?}");
        (words.join(" "), remedy)
    }

    #[test]
    fn packets_of_both_families_become_questions_and_sentences() {
        let mut tcp = read(&v4(6, &[0xc3, 0x50, 0x1f, 0x90]));
        tcp.iif = Some("eth0".to_owned());
        assert_eq!(
            asked(&tcp),
            (
                "in tcp 198.51.100.7:50000 203.0.113.2 8080 on eth0".to_owned(),
                "allow 8080/tcp from 198.51.100.7".to_owned()
            )
        );
        let udp = read(&v6(0, &[60, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0x50, 0, 53]));
        assert_eq!(udp.kind, Kind::Ports(Proto::UDP, 50000, 53));
        assert_eq!(
            asked(&udp),
            (
                "in udp [2001:db8::7]:50000 2001:db8::2 53".to_owned(),
                "allow 53/udp from 2001:db8::7".to_owned()
            )
        );
        assert_eq!(asked(&read(&v6(58, &[128, 0]))).1, "allow ping from 2001:db8::7");
        assert_eq!(asked(&read(&v4(1, &[13, 0]))).1, "allow icmp timestamp-request from 198.51.100.7");
        assert_eq!(asked(&read(&v4(47, &[]))).1, "allow protocol 47 from 198.51.100.7");
        let mut out = Packet::read(What::Blocked, Hook::Output, &v4(6, &[0, 9, 0, 25])).unwrap();
        out.oif = Some("eth0".to_owned());
        out.user = Some(33);
        assert_eq!(
            asked(&out),
            (
                "out tcp 198.51.100.7:9 203.0.113.2 25 on eth0 by user 33".to_owned(),
                "allow out 25/tcp to 203.0.113.2".to_owned()
            )
        );
        let mut forward = Packet::read(What::Blocked, Hook::Forward, &v4(6, &[0, 9, 0, 25])).unwrap();
        (forward.iif, forward.oif) = (Some("br0".to_owned()), Some("eth0".to_owned()));
        assert_eq!(asked(&forward).1, "allow forward 25/tcp from 198.51.100.7 to 203.0.113.2");
    }

    #[test]
    fn what_was_translated_is_told_as_it_was_addressed() {
        let mut packet = Packet::read(What::Blocked, Hook::Forward, &v4(6, &[0, 9, 0, 80])).unwrap();
        packet.addressed("203.0.113.2".parse().unwrap(), Some(80));
        assert_eq!(packet.way, Way::Forward);
        packet.addressed("192.0.2.9".parse().unwrap(), Some(8080));
        let (question, remedy) = asked(&packet);
        assert_eq!(question, "published tcp 198.51.100.7:9 192.0.2.9 8080");
        assert_eq!(remedy, "allow published 8080/tcp from 198.51.100.7");
    }

    #[test]
    fn what_is_cut_off_has_no_ports() {
        assert_eq!(read(&v4(6, &[1])).kind, Kind::Other(Proto::TCP));
        assert_eq!(read(&v6(0, &[6])).kind, Kind::Other(Proto(0)));
        assert_eq!(Packet::read(What::Blocked, Hook::Input, &[0x45; 15]), None);
        assert_eq!(Packet::read(What::Blocked, Hook::Input, &[0x15; 60]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_stumble(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            if let Some(packet) = Packet::read(What::Rejected, Hook::Forward, &bytes) {
                let _ = (packet.question(), packet.remedy(), packet.peer());
            }
        }
    }
}
