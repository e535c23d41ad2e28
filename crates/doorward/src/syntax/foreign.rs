//! Words of other tools and the word of ours that was meant; refuses to guess what it cannot know.

mod firewalld;
mod iptables;
mod ufw;
mod whole;

pub(super) use whole::{Whole, whole};

use super::value::Mistake;
use super::{value, words};
use crate::report::{Report, Span};

/// Our verb for theirs.
pub(super) fn verb(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "accept" | "permit" | "pass" | "open" | "let" | "grant" => "allow",
        "deny" | "drop" | "refuse" | "ban" | "forbid" | "deny-in" | "blacklist" | "discard" => "block",
        "whitelist" | "trusted" | "ignoreip" => "trust",
        "set" | "let-name" | "alias" | "group" | "def" | "var" => "define",
        "source" | "import" | "load" => "include",
        "assert" | "ensure" | "require" | "check-that" => "expect",
        "policy" | "defaults" => "default",
        "rejects" | "rst" => "reject",
        _ => return None,
    })
}

/// Our way for theirs.
pub(super) fn way(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "incoming" | "input" | "ingress" | "inbound" => "in",
        "outgoing" | "output" | "egress" | "outbound" => "out",
        "routed" | "route" | "forwarded" | "forwarding" | "fwd" => "forward",
        "docker" | "container" | "containers" | "dnat" => "published",
        _ => return None,
    })
}

/// What is expected, in other words.
pub(super) fn outcome(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "allow" | "open" | "accepted" | "permitted" | "reachable" | "passed" | "allowed" => "allowed",
        "block" | "closed" | "denied" | "dropped" | "rejected" | "unreachable" | "refused" | "filtered"
        | "blocked" => "blocked",
        _ => return None,
    })
}

/// Our clause for theirs.
pub(super) fn clause(word: &str) -> Option<&'static str> {
    Some(match word.to_lowercase().as_str() {
        "via" | "interface" | "iface" | "dev" | "iif" | "oif" => "on",
        "src" | "saddr" | "source" => "from",
        "dst" | "daddr" | "destination" => "to",
        "without" | "but" | "excluding" | "unless" | "not" => "except",
        "rate" | "ratelimit" | "rate-limit" => "limit",
        "logging" | "logged" | "log-all" => "log",
        "ports" | "range" => "passive",
        _ => return None,
    })
}

/// Everybody, in other words: `any`, `all`, `*`.
pub(super) fn everybody(word: &str) -> Option<Mistake> {
    matches!(
        word.to_lowercase().as_str(),
        "any"
            | "all"
            | "anywhere"
            | "everyone"
            | "everybody"
            | "everywhere"
            | "anybody"
            | "world"
            | "internet"
            | "*"
            | "0/0"
            | "::0/0"
    )
    .then(|| {
        Mistake::new("everybody", format!("`{word}` is not how this language says everybody")).meant("anyone")
    })
}

/// Whether a name looks like one of the domain name system.
pub(super) fn is_host_name(word: &str) -> bool {
    let labels: Vec<&str> = word.trim_end_matches('.').split('.').collect();
    let last = labels.last().copied().unwrap_or("");
    labels.len() >= 2
        && labels
            .iter()
            .all(|label| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
        && last.len() >= 2
        && last.chars().all(|c| c.is_ascii_alphabetic())
}

/// A host name where an address stands: who is behind it would change without anybody's doing.
pub(super) fn host_name(word: &str) -> Mistake {
    Mistake::new("host-name", format!("`{word}` is a host name, and names are not resolved"))
        .label("an address stands here")
        .way_out(
            "use a list file that a timer of yours keeps up to date: `define peers = file \"peers.txt\"`",
        )
}

/// The report for a name that nobody defined and that looks like a host's; none for other names.
#[must_use]
pub fn host_name_report(word: &str, span: Span) -> Option<Report> {
    is_host_name(word).then(|| host_name(word).at(span))
}

/// Ports that people say without a protocol: the protocol they mean, and our name.
const COMMON: [(u16, &str, &str); 22] = [
    (21, "tcp", "ftp"),
    (22, "tcp", "ssh"),
    (25, "tcp", "smtp"),
    (53, "tcp+udp", "dns"),
    (67, "udp", ""),
    (69, "udp", ""),
    (80, "tcp", "http"),
    (110, "tcp", "pop3"),
    (123, "udp", "ntp"),
    (143, "tcp", "imap"),
    (161, "udp", ""),
    (443, "tcp", "https"),
    (465, "tcp", ""),
    (500, "udp", ""),
    (514, "udp", ""),
    (587, "tcp", "submission"),
    (993, "tcp", "imaps"),
    (995, "tcp", "pop3s"),
    (1194, "udp", "openvpn"),
    (3306, "tcp", "mysql"),
    (5432, "tcp", "postgresql"),
    (51820, "udp", "wireguard"),
];

/// A port without its protocol.
pub(super) fn bare_port(word: &str) -> Option<Mistake> {
    let digits = word.starts_with(|c: char| c.is_ascii_digit())
        && word.chars().all(|c| c.is_ascii_digit() || c == '-' || c == ':');
    if !digits || word.matches([':', '-']).count() > 1 {
        return None;
    }
    let plain = word.replacen(':', "-", 1);
    let range = match value::port_range(&plain) {
        Ok(range) => range,
        Err(mistake) => return Some(mistake),
    };
    let known = COMMON.iter().find(|(port, _, _)| range.first() == *port && range.last() == *port);
    let (protocol, name) = known.map_or(("tcp", ""), |(_, protocol, name)| (*protocol, *name));
    let mistake = Mistake::new("port-alone", format!("`{word}` does not say which protocol"))
        .meant(format!("{plain}/{protocol}"));
    Some(if name.is_empty() { mistake } else { mistake.way_out(format!("or say it by its name: `{name}`")) })
}

fn protocol(word: Option<&str>) -> Option<&str> {
    word.filter(|word| value::port_protos(word).is_some())
}

/// Things as other tools say them, in one to three words: how many, and what was meant.
pub(super) fn thing(word: &str, next: Option<&str>, third: Option<&str>) -> Option<(usize, Mistake)> {
    let ports = |word: Option<&str>| {
        word.map(|word| word.replacen(':', "-", 1)).filter(|word| value::port_range(word).is_ok())
    };
    let apart = |text: &str, meant: String| {
        Mistake::new("port-apart", format!("`{text}` is not how a port is written")).meant(meant)
    };
    match (word, next) {
        // `tcp 22`, `tcp port 22`
        ("tcp" | "udp" | "sctp" | "tcp+udp", Some("port" | "dport")) if ports(third).is_some() => {
            Some((3, apart(&[word, next?, third?].join(" "), format!("{}/{word}", ports(third)?))))
        }
        ("tcp" | "udp" | "sctp" | "tcp+udp", _) if ports(next).is_some() => {
            Some((2, apart(&[word, next?].join(" "), format!("{}/{word}", ports(next)?))))
        }
        // `port 22`, `port 22 tcp`, `port tcp 22`, `port 22/tcp`
        ("port" | "ports" | "dport", _) if ports(next).is_some() => Some(match protocol(third) {
            Some(protocol) => {
                (3, apart(&[word, next?, third?].join(" "), format!("{}/{protocol}", ports(next)?)))
            }
            None => (2, apart(&[word, next?].join(" "), bare_port(next?)?.fix?)),
        }),
        ("port" | "ports" | "dport", _) if protocol(next).is_some() && ports(third).is_some() => {
            Some((3, apart(&[word, next?, third?].join(" "), format!("{}/{}", ports(third)?, next?))))
        }
        ("port" | "ports" | "service" | "services" | "app", Some(thing))
            if value::ports(thing).is_ok() || (value::is_name(thing) && word != "port") =>
        {
            Some((2, Mistake::new("needless-word", format!("`{word}` needs not be said")).meant(thing)))
        }
        // `22 tcp`
        (number, _) if ports(Some(number)).is_some() && protocol(next).is_some() => {
            Some((2, apart(&[word, next?].join(" "), format!("{}/{}", ports(Some(number))?, next?))))
        }
        ("all" | "any" | "everything" | "*", _) => Some((
            1,
            Mistake::new("every-thing", format!("`{word}` is not how this language says everything"))
                .meant("anything"),
        )),
        ("icmp-echo" | "echo-request" | "icmp/8", _) => {
            Some((1, Mistake::new("every-ping", format!("`{word}` has a short name")).meant("ping")))
        }
        (service, _) => {
            // `22tcp`, `22-tcp`
            let digits = service.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '+');
            let protocol = service.get(digits.len()..).unwrap_or("");
            let port = digits.trim_end_matches(['-', '_', '.']);
            if value::port_range(port).is_ok() && value::port_protos(protocol).is_some() {
                return Some((1, apart(service, format!("{port}/{protocol}"))));
            }
            let (name, protocol) = service.rsplit_once('/')?;
            let named = value::is_name(name) && value::port_protos(&protocol.to_lowercase()).is_some();
            (named && !words::is_keyword(name)).then(|| {
                let mistake = Mistake::new(
                    "service-protocol",
                    format!("`{service}`: a service knows its protocols itself"),
                );
                (1, mistake.meant(name))
            })
        }
    }
}

/// The name of an ICMP type that other tools give as a number of IPv4.
pub(super) fn icmp_name(number: &str) -> Option<&'static str> {
    Some(match number.split('/').next()? {
        "0" => "echo-reply",
        "3" => "destination-unreachable",
        "5" => "redirect",
        "8" | "128" => "echo-request",
        "9" | "134" => "router-advertisement",
        "10" | "133" => "router-solicitation",
        "11" => "time-exceeded",
        "12" => "parameter-problem",
        "13" => "timestamp-request",
        "14" => "timestamp-reply",
        "135" => "neighbour-solicitation",
        "136" => "neighbour-advertisement",
        _ => return None,
    })
}
