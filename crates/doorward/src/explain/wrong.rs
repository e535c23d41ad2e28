//! What is wrong with a question, and the way out; reads no words itself.

use super::question::{About, Question};
use crate::catalogue::{self, Door};
use crate::net::{Proto, icmp_names};
use crate::report::suggest;
use crate::syntax::ast::Way;
use std::net::IpAddr;

/// A question that cannot be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// One line.
    pub message: String,
    /// What to do, a line each.
    pub ways_out: Vec<String>,
}

/// An address of nobody, for examples.
const SOMEBODY: &str = "198.51.100.7";
/// So many ways out are enough where a service has many doors.
const MOST_DOORS: usize = 3;

impl Wrong {
    pub(super) fn new(message: impl Into<String>) -> Wrong {
        Wrong { message: message.into(), ways_out: Vec::new() }
    }

    pub(super) fn way_out(mut self, text: impl Into<String>) -> Wrong {
        self.ways_out.push(text.into());
        self
    }

    /// The same, with a question as it could have been meant.
    pub(super) fn ask(self, words: &str) -> Wrong {
        self.way_out(format!("doorward explain {words}"))
    }
}

/// Nobody said what the packet is.
pub(super) fn nothing(way: Option<Way>) -> Wrong {
    let (ends, way) = (ends(way, SOMEBODY), spelled(way));
    Wrong::new("no packet is asked about")
        .ask(&format!("{way}tcp {ends} 443"))
        .ask(&format!("{way}ping {ends}"))
}

/// The first word is none of those that a question can begin with; `next` stands behind it.
pub(super) fn no_protocol(word: &str, next: Option<&str>, way: Option<Way>) -> Wrong {
    let first = |word: &str| ends(way, word);
    let from = first(next.filter(|next| next.parse::<IpAddr>().is_ok()).unwrap_or(SOMEBODY));
    let spelled = spelled(way);
    let way = spelled.as_str();
    if word.parse::<IpAddr>().is_ok() {
        return Wrong::new(format!("the protocol is missing before `{word}`"))
            .ask(&format!("{way}tcp {} 443", first(word)));
    }
    if let Some((ports, proto)) = word.split_once('/')
        && matches!(proto, "tcp" | "udp" | "sctp" | "tcp+udp")
    {
        let (port, proto) = (first_port(ports), proto.split('+').next().unwrap_or(proto));
        return Wrong::new(format!(
            "`{word}` stands for the protocol and the port, which are two words here"
        ))
        .ask(&format!("{way}{proto} {from} {port}"));
    }
    if matches!(word, "icmpv6" | "ipv6-icmp" | "icmp6") {
        return Wrong::new(format!("`{word}` is said as `icmp`, for both families"))
            .ask(&format!("{way}icmp {from} echo-request"));
    }
    if Proto::by_name(word).is_some() {
        return Wrong::new(format!("`{word}` has neither ports nor types: say `protocol` before it"))
            .ask(&format!("{way}protocol {word} {from}"));
    }
    if let Some(service) = catalogue::named(word) {
        let wrong = Wrong::new(format!("`{word}` is a service, and a question is about one packet"));
        return service.doors().iter().take(MOST_DOORS).fold(wrong, |wrong, door| {
            wrong.ask(&match door {
                Door::Ports(ports) => {
                    let proto = ports.protos.word().split('+').next().unwrap_or_default();
                    format!("{way}{proto} {from} {}", ports.range.first())
                }
                Door::Ping => format!("{way}ping {from}"),
                Door::Icmp(kind) => format!("{way}icmp {from} {kind}"),
                Door::Protocol(proto) => format!("{way}protocol {proto} {from}"),
            })
        });
    }
    let known = ["tcp", "udp", "sctp", "icmp", "ping", "protocol", "in", "out", "published", "forward"];
    let wrong = Wrong::new(format!("`{word}` is not a protocol"));
    match suggest(word, known) {
        Some(meant) => wrong.way_out(format!("did you mean `{meant}`?")),
        None => wrong.ask(&format!("{way}tcp {from} 443")),
    }
}

/// `protocol` with something that is none.
pub(super) fn no_number(word: Option<&str>) -> Wrong {
    let Some(word) = word else {
        return Wrong::new("the protocol is missing behind `protocol`")
            .ask(&format!("protocol gre {SOMEBODY}"));
    };
    if matches!(word, "icmp" | "ipv6-icmp" | "1" | "58") {
        return Wrong::new("ICMP is asked about by its types").ask(&format!("icmp {SOMEBODY} echo-request"));
    }
    let wrong = Wrong::new(format!("`{word}` is not a protocol"));
    match suggest(word, Proto::names()) {
        Some(meant) => wrong.way_out(format!("did you mean `{meant}`?")),
        None => wrong.way_out("say its number, 0 to 255"),
    }
}

/// An address was to follow.
pub(super) fn no_address(word: &str) -> Wrong {
    if let Some((addr, _)) = word.split_once('/')
        && addr.parse::<IpAddr>().is_ok()
    {
        return Wrong::new(format!("`{word}` stands for many addresses, and a packet has one"))
            .way_out(format!("name one of them, such as {addr}"));
    }
    if word == "anyone" {
        return Wrong::new("`anyone` is many, and a packet comes from one address")
            .way_out(format!("name one of them, such as {SOMEBODY}"));
    }
    if let Some((addr, port)) = word.rsplit_once(':')
        && addr.contains(':')
        && addr.parse::<IpAddr>().is_ok()
    {
        return Wrong::new(format!("`{word}` is not an address"))
            .way_out(format!("with a port it stands in brackets: [{addr}]:{port}"));
    }
    if let Some(inner) = word.strip_prefix('[').and_then(|rest| rest.split(']').next())
        && inner.parse::<IpAddr>().is_ok()
    {
        return Wrong::new(format!("`{word}` is not an address with a port"))
            .way_out(format!("without a port: {inner}"))
            .way_out(format!("with one: [{inner}]:40000"));
    }
    if word.parse::<u16>().is_ok() {
        return Wrong::new(format!("the address is missing before `{word}`"))
            .way_out(format!("name the one that it comes from, such as {SOMEBODY}"));
    }
    let wrong = Wrong::new(format!("`{word}` is not an address"));
    if word.starts_with(|first: char| first.is_ascii_alphabetic()) && !word.contains([':', '/']) {
        return wrong.way_out("names are not resolved: say the address itself");
    }
    wrong.way_out("an address is written like 198.51.100.7 or 2001:db8::7")
}

/// A port was to follow.
pub(super) fn no_port(word: &str, proto: Proto) -> Wrong {
    if let Some((port, _)) = word.split_once('/')
        && port.parse::<u16>().is_ok()
    {
        return Wrong::new(format!("the protocol is said already: `{word}`"))
            .way_out(format!("say {port} alone"));
    }
    if let Some((first, last)) = word.split_once('-')
        && first.parse::<u16>().is_ok()
        && last.parse::<u16>().is_ok()
    {
        return Wrong::new(format!("`{word}` are many ports, and a packet has one"))
            .way_out(format!("say one of them, such as {first}"));
    }
    if word.contains('/') || word.contains('.') {
        return Wrong::new(format!("the port is missing before `{word}`"))
            .way_out("the policy comes last, behind the port");
    }
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return Wrong::new(format!("`{word}` is not a port")).way_out("ports are 1 to 65535");
    }
    if let Some(service) = catalogue::named(word) {
        return Wrong::new(format!("`{word}` is not one port of {proto}: it is {}", service.items))
            .way_out("say the number of the port");
    }
    let wrong = Wrong::new(format!("`{word}` is not a port"));
    match suggest(word, catalogue::services().iter().map(|service| service.name)) {
        Some(meant) => wrong.way_out(format!("did you mean `{meant}`?")),
        None => wrong.way_out("say its number; a policy comes last, behind the port"),
    }
}

/// An ICMP type was to follow.
pub(super) fn no_type(word: &str) -> Wrong {
    if word.contains(['/', '.']) {
        return Wrong::new(format!("the type is missing before `{word}`"))
            .way_out("the policy comes last, behind the type");
    }
    let wrong = Wrong::new(format!("`{word}` is not a type of ICMP"));
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        return wrong.way_out("numbers differ between the families: say its name, such as echo-request");
    }
    match suggest(word, icmp_names()) {
        Some(meant) => wrong.way_out(format!("did you mean `{meant}`?")),
        None => wrong.way_out("types are said by name, such as echo-request or packet-too-big"),
    }
}

/// Something is not there at the end of a question.
pub(super) fn missing(what: &str, so_far: &Question, more: &str) -> Wrong {
    Wrong::new(format!("{what} is missing")).ask(&format!("{so_far}{more}"))
}

/// A port where there is none.
pub(super) fn no_ports(about: &About) -> Wrong {
    Wrong::new(format!("`{about}` has no ports")).way_out("leave the port out")
}

/// A word behind all that a question has.
pub(super) fn too_much(word: &str) -> Wrong {
    Wrong::new(format!("nothing is known of `{word}` at this place"))
        .way_out("the order is: [WAY] PROTOCOL FROM [TO] PORT [on IFACE] [by user U] [FILE]")
}

pub(super) fn spelled(way: Option<Way>) -> String {
    way.map(|way| format!("{} ", way.word())).unwrap_or_default()
}

/// The addresses of an example: what passes through has two.
fn ends(way: Option<Way>, from: &str) -> String {
    match way {
        Some(Way::Forward) if from.contains(':') => format!("{from} 2001:db8::7"),
        Some(Way::Forward) if from == SOMEBODY => format!("10.0.0.2 {from}"),
        Some(Way::Forward) => format!("{from} {SOMEBODY}"),
        _ => from.to_owned(),
    }
}

fn first_port(ports: &str) -> &str {
    ports.split('-').next().unwrap_or(ports)
}
