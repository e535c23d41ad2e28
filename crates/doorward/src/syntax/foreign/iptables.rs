//! Simple rules of iptables as a sentence; gives up on what it does not know, rather than leave it out.

/// What a command of iptables means.
pub(super) enum Meant {
    /// A sentence.
    Sentence(String),
    /// What this firewall does by itself.
    BuiltIn(&'static str),
    /// Not known.
    Unknown,
}

#[derive(Default)]
struct Rule<'a> {
    way: &'a str,
    verdict: &'a str,
    proto: Option<&'a str>,
    ports: Vec<String>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    on: Option<&'a str>,
    icmp: Option<&'a str>,
    states: Vec<&'a str>,
    source_port: bool,
}

/// The meaning of the words behind `iptables`.
pub(super) fn meant(words: &[&str]) -> Meant {
    if let [.., "-P" | "--policy", chain, target] = words {
        return match (way(chain), verdict(target)) {
            (Some(way), Some(verdict)) => Meant::Sentence(format!("default {verdict} {way}")),
            _ => Meant::Unknown,
        };
    }
    if words.iter().any(|word| matches!(*word, "-F" | "-X" | "-Z" | "-N" | "--flush")) {
        return Meant::BuiltIn("`doorward apply` replaces all sentences at once");
    }
    let Some(rule) = read(words) else { return Meant::Unknown };
    if rule.on == Some("lo") {
        return Meant::BuiltIn("the loopback on `lo` always passes");
    }
    let of_new = rule.states.is_empty() || rule.states.contains(&"NEW");
    let of_old = rule.states.iter().any(|state| matches!(*state, "ESTABLISHED" | "RELATED"));
    // From a port and to none: the answers of a server, to which older scripts open the way by hand.
    if rule.verdict == "allow" && (of_old && !of_new || rule.source_port && rule.ports.is_empty()) {
        return Meant::BuiltIn("replies pass by themselves");
    }
    if rule.source_port {
        return Meant::Unknown;
    }
    if rule.states == ["INVALID"] {
        return Meant::BuiltIn("invalid packets are dropped by themselves");
    }
    sentence(&rule).map_or(Meant::Unknown, Meant::Sentence)
}

fn way(chain: &str) -> Option<&'static str> {
    match chain {
        "INPUT" => Some("in"),
        "OUTPUT" => Some("out"),
        "FORWARD" => Some("forward"),
        _ => None,
    }
}

fn verdict(target: &str) -> Option<&'static str> {
    match target {
        "ACCEPT" => Some("allow"),
        "DROP" => Some("block"),
        "REJECT" => Some("reject"),
        _ => None,
    }
}

fn read<'a>(words: &[&'a str]) -> Option<Rule<'a>> {
    let mut rule = Rule::default();
    let mut words = words.iter().copied().peekable();
    while let Some(word) = words.next() {
        match word {
            "-A" | "-I" | "--append" | "--insert" => {
                rule.way = way(words.next()?)?;
                if words.peek().is_some_and(|next| next.bytes().all(|b| b.is_ascii_digit())) {
                    words.next();
                }
            }
            "-t" => {
                if words.next()? != "filter" {
                    return None;
                }
            }
            "-p" | "--protocol" => rule.proto = words.next(),
            "--dport" | "--destination-port" | "--dports" => {
                rule.ports.push(words.next()?.replacen(':', "-", 1));
                while words.peek() == Some(&",") {
                    words.next();
                    rule.ports.push(words.next()?.replacen(':', "-", 1));
                }
            }
            "--sport" | "--source-port" | "--sports" => {
                words.next()?;
                while words.peek() == Some(&",") {
                    words.nth(1)?;
                }
                rule.source_port = true;
            }
            "-s" | "--source" | "--src" => rule.from = words.next(),
            "-d" | "--destination" | "--dst" => rule.to = words.next(),
            "-i" | "--in-interface" | "-o" | "--out-interface" => {
                // Two interfaces at once cannot be said in one sentence.
                if rule.on.replace(words.next()?).is_some() {
                    return None;
                }
            }
            "--icmp-type" | "--icmpv6-type" => rule.icmp = words.next(),
            "--state" | "--ctstate" => {
                rule.states.push(words.next()?);
                while words.peek() == Some(&",") {
                    words.next();
                    rule.states.push(words.next()?);
                }
            }
            "-m" | "--match" => {
                if !matches!(
                    words.next()?,
                    "tcp" | "udp" | "sctp" | "state" | "conntrack" | "multiport" | "icmp" | "comment"
                ) {
                    return None;
                }
            }
            "-j" | "--jump" => rule.verdict = verdict(words.next()?)?,
            "--comment" | "--reject-with" => drop(words.next()?),
            "-w" | "--wait" | "--syn" | "-4" | "-6" => {}
            _ => return None,
        }
    }
    (!rule.way.is_empty() && !rule.verdict.is_empty()).then_some(rule)
}

fn sentence(rule: &Rule<'_>) -> Option<String> {
    let things = match (rule.proto, rule.icmp) {
        (Some("icmp" | "ipv6-icmp" | "icmpv6"), Some(kind)) => match kind {
            "8" | "128" | "echo-request" | "ping" => "ping".to_owned(),
            name if name.starts_with(|c: char| c.is_ascii_digit()) => {
                format!("icmp {}", super::icmp_name(name)?)
            }
            name => format!("icmp {name}"),
        },
        (Some("icmp" | "ipv6-icmp" | "icmpv6"), None) => "ping".to_owned(),
        (Some("all") | None, _) if rule.ports.is_empty() => String::new(),
        (Some(proto), _) if rule.ports.is_empty() => format!("protocol {proto}"),
        (Some(proto), _) => {
            rule.ports.iter().map(|ports| format!("{ports}/{proto}")).collect::<Vec<_>>().join(", ")
        }
        _ => return None,
    };
    let anybody = |who: Option<&str>| who.is_none_or(|who| matches!(who, "0.0.0.0/0" | "::/0" | "0/0"));
    let alone = things.is_empty() && anybody(rule.from) && anybody(rule.to) && rule.on.is_none();
    if alone {
        return Some(format!("default {} {}", rule.verdict, rule.way));
    }
    let mut sentence = rule.verdict.to_owned();
    let mut say = |word: &str| {
        sentence.push(' ');
        sentence.push_str(word);
    };
    if rule.way != "in" || things.is_empty() && rule.verdict != "allow" {
        say(rule.way);
    }
    if !things.is_empty() {
        say(&things);
    } else if rule.verdict == "allow" {
        say("anything");
    }
    for (word, who) in [("from", rule.from), ("to", rule.to), ("on", rule.on)] {
        if let Some(who) = who.filter(|who| word == "on" || !anybody(Some(who))) {
            // A negation is `! -s …`, which was given up on before.
            say(word);
            say(who);
        }
    }
    Some(sentence)
}
