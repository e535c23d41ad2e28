//! A question, what is missing in it, and the words in which it would be asked; reads no words.

use super::wrong::{self, Wrong};
use crate::net::{Family, IcmpType, Proto};
use crate::syntax::ast::Way;
use std::fmt;
use std::net::{IpAddr, SocketAddrV6};

/// An imagined packet, as far as it was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// How it meets this host; `in` unless said.
    pub way: Way,
    /// Whether the way was said.
    pub way_said: bool,
    /// Its protocol.
    pub about: About,
    /// Where it comes from.
    pub from: Option<IpAddr>,
    /// Where it goes, before any destination NAT.
    pub to: Option<IpAddr>,
    /// Its source port.
    pub from_port: Option<u16>,
    /// Its destination port, before any destination NAT.
    pub port: Option<u16>,
    /// Where it arrives, in `out` where it leaves.
    pub on: Option<String>,
    /// Where it leaves, when it passes through.
    pub leaving: Option<String>,
    /// Who opened the socket.
    pub user: Option<Account>,
    /// The group of the one who did.
    pub group: Option<Account>,
}

/// A protocol, and what is said of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// TCP, UDP or SCTP.
    Ports(Proto),
    /// A type of ICMP by its name; none as long as it is not said.
    Icmp(Option<(String, IcmpType)>),
    /// `ping`
    Ping,
    /// Any other protocol.
    Other(Proto),
}

/// An account as it was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Account {
    /// By name.
    Name(String),
    /// By number.
    Number(u32),
}

/// A question, and which of the words names the policy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The question.
    pub question: Question,
    /// Index of the word that is the FILE.
    pub file: Option<usize>,
}

impl Question {
    /// Sees that nothing is missing, and that it goes together.
    pub(super) fn check(&self) -> Result<(), Wrong> {
        let proto_has_ports = matches!(self.about, About::Ports(_));
        if !proto_has_ports && (self.port.is_some() || self.from_port.is_some()) {
            return Err(wrong::no_ports(&self.about));
        }
        let type_of = if matches!(self.about, About::Icmp(None)) { " echo-request" } else { "" };
        let port = if proto_has_ports && self.port.is_none() { " 443" } else { "" };
        let rest = format!("{port}{type_of}");
        match self.way {
            Way::Out if self.to.is_none() => {
                let to = if self.from.is_some() { " to" } else { "" };
                return Err(wrong::missing("the address", self, &format!("{to} 198.51.100.7{rest}")));
            }
            Way::In | Way::Published if self.from.is_none() => {
                let from = if self.to.is_some() { " from" } else { "" };
                return Err(wrong::missing("the address", self, &format!("{from} 198.51.100.7{rest}")));
            }
            Way::Forward if self.from.is_none() || self.to.is_none() => {
                let example = match (self.from, self.to) {
                    (None, None) => " 10.0.0.2 198.51.100.7",
                    (Some(IpAddr::V4(_)), _) => " to 198.51.100.7",
                    (Some(_), _) => " to 2001:db8::7",
                    (None, Some(IpAddr::V4(_))) => " from 10.0.0.2",
                    (None, Some(_)) => " from 2001:db8:1::2",
                };
                let what = "what passes through has two addresses, and one";
                return Err(wrong::missing(what, self, &format!("{example}{rest}")));
            }
            _ => {}
        }
        if proto_has_ports && self.port.is_none() {
            return Err(wrong::missing("the port", self, " 443"));
        }
        if matches!(self.about, About::Icmp(None)) {
            return Err(wrong::missing("the type", self, " echo-request"));
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && Family::of(from) != Family::of(to)
        {
            return Err(Wrong::new(format!("`{from}` and `{to}` are of two families"))
                .way_out("a packet has both addresses of one family"));
        }
        if let (About::Icmp(Some((name, kind))), Some(family)) = (&self.about, self.family())
            && kind.in_family(family).is_none()
        {
            let other = if family == Family::V4 { Family::V6 } else { Family::V4 };
            return Err(Wrong::new(format!("`{name}` is a type of {other} only"))
                .way_out(format!("ask with an address of {other}")));
        }
        Ok(())
    }

    /// The family of its addresses.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        self.from.or(self.to).map(Family::of)
    }

    /// What is said behind the way.
    pub(super) fn tail(&self) -> String {
        let words = self.to_string();
        match words.strip_prefix(self.way.word()).and_then(|rest| rest.strip_prefix(' ')) {
            Some(rest) => rest.to_owned(),
            None => words,
        }
    }
}

impl fmt::Display for Question {
    /// The words in which it would be asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&wrong::spelled(self.way_said.then_some(self.way)))?;
        write!(f, "{}", self.about)?;
        let end = |f: &mut fmt::Formatter<'_>, addr: IpAddr, port: Option<u16>| match (addr, port) {
            (IpAddr::V6(six), Some(port)) => write!(f, "{}", SocketAddrV6::new(six, port, 0, 0)),
            (addr, Some(port)) => write!(f, "{addr}:{port}"),
            (addr, None) => write!(f, "{addr}"),
        };
        if let Some(from) = self.from {
            f.write_str(if self.way == Way::Out && self.to.is_none() { " from " } else { " " })?;
            end(f, from, self.from_port)?;
        }
        if let Some(to) = self.to {
            f.write_str(if self.way != Way::Out && self.from.is_none() { " to " } else { " " })?;
            end(f, to, None)?;
        }
        if let Some(port) = self.port {
            write!(f, " {port}")?;
        }
        if let About::Icmp(Some((name, _))) = &self.about {
            write!(f, " {name}")?;
        }
        Ok(())
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            About::Ports(proto) => write!(f, "{proto}"),
            About::Icmp(_) => f.write_str("icmp"),
            About::Ping => f.write_str("ping"),
            About::Other(proto) => write!(f, "protocol {proto}"),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Account::Name(name) => f.write_str(name),
            Account::Number(number) => write!(f, "{number}"),
        }
    }
}
